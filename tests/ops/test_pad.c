/* SPDX-License-Identifier: MIT
 *
 * Padding of height and width, on each side by itself and on all.
 */
#include "op_test.h"

#include <string.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const int64_t *p = c->extra;

    return out[0] = nn_pad(g, in[0], p[0], p[1], p[2], p[3]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const int64_t *p = c->extra, *x = c->in[0].shape.dim;
    int64_t height = x[1] + p[0] + p[1], width = x[2] + p[2] + p[3];

    for (int64_t n = 0; n < x[0]; n++)
        for (int64_t h = 0; h < height; h++)
            for (int64_t w = 0; w < width; w++)
                for (int64_t k = 0; k < x[3]; k++) {
                    int64_t y = h - p[0], z = w - p[2];
                    int inside = y >= 0 && y < x[1] && z >= 0 && z < x[2];

                    out[0][((n * height + h) * width + w) * x[3] + k] =
                        inside ? in[0][((n * x[1] + y) * x[2] + z) * x[3] + k] : 0;
                }
}

static const int64_t all[4] = { 1, 2, 3, 4 }, top[4] = { 2, 0, 0, 0 }, bottom[4] = { 0, 1, 0, 0 };
static const int64_t left[4] = { 0, 0, 1, 0 }, right[4] = { 0, 0, 0, 5 }, none[4] = { 0 },
                     minus[4] = { 0, -1, 0, 0 };

#define SMALL                                                                                                \
    {                                                                                                        \
        {                                                                                                    \
            .shape = { { 2, 3, 4, 5 }, 4 }                                                                   \
        }                                                                                                    \
    }
static const op_case cases[] = {
    { .name = "all sides",
      .in = SMALL,
      .build = record,
      .oracle = oracle,
      .extra = all,
      .expect = { { { 2, 6, 11, 5 }, 4 } } },
    { .name = "top", .in = SMALL, .build = record, .oracle = oracle, .extra = top },
    { .name = "bottom", .in = SMALL, .build = record, .oracle = oracle, .extra = bottom },
    { .name = "left", .in = SMALL, .build = record, .oracle = oracle, .extra = left },
    { .name = "right", .in = SMALL, .build = record, .oracle = oracle, .extra = right },
    { .name = "nothing", .in = SMALL, .build = record, .oracle = oracle, .extra = none },
    { .name = "several tiles",
      .in = { { .shape = { { 2, 33, 40, 16 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .extra = all,
      .probes = 20 },
    { .name = "bytes",
      .in = { { .shape = { { 2, 3, 4, 3 }, 4 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = all,
      .no_backward = 1 },
    { .name = "negative", .in = SMALL, .build = record, .extra = minus, .fails = NN_ESHAPE, .says = "-1" },
    { .name = "a matrix",
      .in = { { .shape = { { 3, 4 }, 2 } } },
      .build = record,
      .extra = all,
      .fails = NN_ESHAPE,
      .says = "[3,4]" },
    { .name = "bench",
      .in = { { .shape = { { 8, 112, 112, 32 }, 4 } } },
      .build = record,
      .extra = all,
      .bench = 1 },
};

OP_TEST(pad, OP_CASES(cases));
