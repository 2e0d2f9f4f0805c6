/* SPDX-License-Identifier: MIT
 *
 * adaptive_avg_pool2d: sizes that divide, that do not, equal sizes, and larger outputs.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_adaptive_avg_pool2d(g, in[0], c->expect[0].dim[1], c->expect[0].dim[2]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const int64_t *x = c->in[0].shape.dim, *y = c->expect[0].dim;

    for (int64_t e = 0; e < nn_shape_count(c->expect[0]); e++) {
        int64_t ch = e % y[3], q = e / y[3] % y[2], p = e / y[3] / y[2] % y[1], n = e / y[3] / y[2] / y[1];
        double height = (double)x[1] / (double)y[1], width = (double)x[2] / (double)y[2], sum = 0, count = 0;
        int64_t bottom = (int64_t)ceil((double)(p + 1) * height - 1e-9);
        int64_t right = (int64_t)ceil((double)(q + 1) * width - 1e-9);

        for (int64_t h = (int64_t)floor((double)p * height + 1e-9); h < bottom; h++)
            for (int64_t w = (int64_t)floor((double)q * width + 1e-9); w < right; w++, count++)
                sum += in[0][((n * x[1] + h) * x[2] + w) * x[3] + ch];
        out[0][e] = sum / count;
    }
}

#define CASE(what, n, h, w, c, oh, ow)                                                                       \
    {                                                                                                        \
        .name = what, .in = { { .shape = { { n, h, w, c }, 4 } } }, .build = record, .oracle = oracle,       \
        .expect = {                                                                                          \
            { { n, oh, ow, c }, 4 }                                                                          \
        }                                                                                                    \
    }

static const op_case cases[] = {
    CASE("divides", 2, 6, 4, 5, 3, 2),
    CASE("overlaps", 2, 7, 10, 17, 3, 4),
    CASE("the same", 2, 3, 4, 3, 3, 4),
    CASE("one pixel", 2, 5, 3, 8, 1, 1),
    CASE("larger", 2, 2, 3, 6, 7, 7),
    CASE("several tiles", 2, 30, 28, 64, 14, 13),
    { .name = "no output",
      .in = { { .shape = { { 1, 4, 5, 2 }, 4 } } },
      .build = record,
      .expect = { { { 1, 0, 2, 2 }, 4 } },
      .fails = NN_ESHAPE,
      .says = "0 x 2" },
    { .name = "vgg at 320",
      .in = { { .shape = { { 8, 10, 10, 512 }, 4 } } },
      .build = record,
      .expect = { { { 8, 7, 7, 512 }, 4 } },
      .bench = 1 },
};

OP_TEST(adaptive_avg_pool2d, OP_CASES(cases));
