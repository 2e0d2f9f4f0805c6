/* SPDX-License-Identifier: MIT
 *
 * avg_pool2d: what counts as part of a window, with padding, ceil_mode and both together.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_avg_pool2d(g, in[0], *(const nn_pool_opts *)c->extra);
}

/* Pixels are counted one by one: those of the image, and those of the padding unless it is excluded. */
static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const nn_pool_opts *o = c->extra;
    const int64_t *x = c->in[0].shape.dim, *y = c->expect[0].dim;
    int64_t stride = o->stride ? o->stride : o->k;

    for (int64_t e = 0; e < nn_shape_count(c->expect[0]); e++) {
        int64_t ch = e % y[3], q = e / y[3] % y[2], p = e / y[3] / y[2] % y[1], n = e / y[3] / y[2] / y[1];
        double sum = 0, count = 0;

        for (int64_t h = p * stride - o->pad; h < p * stride - o->pad + o->k; h++)
            for (int64_t w = q * stride - o->pad; w < q * stride - o->pad + o->k; w++) {
                int inside = h >= 0 && h < x[1] && w >= 0 && w < x[2];

                if (inside)
                    sum += in[0][((n * x[1] + h) * x[2] + w) * x[3] + ch];
                count += inside || (!o->exclude_pad && h < x[1] + o->pad && w < x[2] + o->pad);
            }
        out[0][e] = sum / count;
    }
}

#define CASE(what, n, h, w, c, oh, ow, ...)                                                                  \
    {                                                                                                        \
        .name = what, .in = { { .shape = { { n, h, w, c }, 4 } } }, .build = record, .oracle = oracle,       \
        .expect = { { { n, oh, ow, c }, 4 } }, .extra = &(const nn_pool_opts)__VA_ARGS__                     \
    }

static const op_case cases[] = {
    CASE("2x2", 2, 6, 4, 5, 3, 2, { .k = 2 }),
    CASE("padding counts", 2, 7, 6, 18, 4, 3, { .k = 3, .stride = 2, .pad = 1 }),
    CASE("padding does not count", 2, 7, 6, 3, 4, 3, { .k = 3, .stride = 2, .pad = 1, .exclude_pad = 1 }),
    CASE("ceil_mode", 2, 7, 6, 4, 4, 3, { .k = 2, .ceil_mode = 1 }),
    CASE("ceil_mode, padding counts", 1, 8, 7, 4, 5, 4, { .k = 3, .stride = 2, .pad = 1, .ceil_mode = 1 }),
    CASE("ceil_mode, padding does not count", 1, 8, 7, 4, 5, 4,
         { .k = 3, .stride = 2, .pad = 1, .ceil_mode = 1, .exclude_pad = 1 }),
    CASE("overlap", 1, 6, 5, 33, 6, 5, { .k = 5, .stride = 1, .pad = 2 }),
    CASE("gaps", 2, 9, 8, 2, 2, 2, { .k = 2, .stride = 4 }),
    CASE("several tiles", 3, 40, 24, 64, 20, 12, { .k = 3, .stride = 2, .pad = 1 }),
    { .name = "window too large",
      .in = { { .shape = { { 1, 4, 5, 2 }, 4 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "larger than",
      .extra = &(const nn_pool_opts){ .k = 5 } },
    { .name = "bench 3x3",
      .in = { { .shape = { { 8, 112, 112, 64 }, 4 } } },
      .build = record,
      .extra = &(const nn_pool_opts){ .k = 3, .stride = 2, .pad = 1 },
      .bench = 1 },
};

OP_TEST(avg_pool2d, OP_CASES(cases));
