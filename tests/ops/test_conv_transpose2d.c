/* SPDX-License-Identifier: MIT
 *
 * conv_transpose2d against the scatter of its definition: strides with and without taps for every pixel, more
 * stride than kernel, strides beyond those that have lattices, padding, output padding, dilation, groups.
 */
#include "op_test.h"

enum { X, WEIGHT, BIAS };

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const nn_conv_transpose_opts *opts = c->extra;

    return out[0] = nn_conv_transpose2d(g, in[X], in[WEIGHT], in[BIAS],
                                        opts ? *opts : (nn_conv_transpose_opts){ 0 });
}

static int64_t or_one(int64_t x) { return x ? x : 1; }

/* The place [n][y][z] of an image that pixel (n, p, q) of x writes to through tap (i, j); -1: outside. */
static int64_t target(const nn_conv_transpose_opts *o, const int64_t *x, const int64_t *w,
                      const int64_t at[5])
{
    int64_t stride = or_one(o->stride), dilation = or_one(o->dilation);
    int64_t high = (x[1] - 1) * stride - 2 * o->pad + dilation * (w[2] - 1) + o->output_pad + 1;
    int64_t wide = (x[2] - 1) * stride - 2 * o->pad + dilation * (w[3] - 1) + o->output_pad + 1;
    int64_t y = at[1] * stride - o->pad + at[3] * dilation, z = at[2] * stride - o->pad + at[4] * dilation;

    return y < 0 || z < 0 || y >= high || z >= wide ? -1 : (at[0] * high + y) * wide + z;
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const nn_conv_transpose_opts *o = c->extra ? c->extra : &(const nn_conv_transpose_opts){ 0 };
    const int64_t *x = c->in[X].shape.dim, *w = c->in[WEIGHT].shape.dim;
    int64_t groups = or_one(o->groups), channels = w[1] * groups, per = w[0] / groups;
    int64_t last[5] = { x[0] - 1, x[1] - 1, x[2] - 1, 0, 0 }, pixels;

    pixels =
        x[0] *
        ((x[1] - 1) * or_one(o->stride) - 2 * o->pad + or_one(o->dilation) * (w[2] - 1) + o->output_pad + 1) *
        ((x[2] - 1) * or_one(o->stride) - 2 * o->pad + or_one(o->dilation) * (w[3] - 1) + o->output_pad + 1);
    for (int64_t i = 0; i < pixels * channels; i++)
        out[0][i] = in[BIAS] ? in[BIAS][i % channels] : 0;
    for (int64_t r = 0; r < (last[0] + 1) * x[1] * x[2] * w[2] * w[3]; r++) {
        int64_t tap = r % (w[2] * w[3]), pixel = r / (w[2] * w[3]);
        int64_t at[5] = { pixel / x[2] / x[1], pixel / x[2] % x[1], pixel % x[2], tap / w[3], tap % w[3] };
        int64_t to = target(o, x, w, at);

        for (int64_t k = 0; to >= 0 && k < w[0]; k++)
            for (int64_t ch = 0; ch < w[1]; ch++)
                out[0][to * channels + k / per * w[1] + ch] +=
                    in[X][pixel * w[0] + k] * in[WEIGHT][(k * w[1] + ch) * w[2] * w[3] + tap];
    }
}

#define WITH .build = record, .oracle = oracle
#define X4(n, h, w, i)                                                                                       \
    {                                                                                                        \
        .shape = { { n, h, w, i }, 4 }                                                                       \
    }
#define W4(i, o, h, w)                                                                                       \
    {                                                                                                        \
        .shape = { { i, o, h, w }, 4 }, .param = 1                                                           \
    }
#define B(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .param = 1                                                                    \
    }
#define OPTS(...)                                                                                            \
    .extra = &(const nn_conv_transpose_opts) { __VA_ARGS__ }

static const op_case cases[] = {
    { .name = "3x3",
      .in = { X4(2, 4, 5, 3), W4(3, 7, 3, 3), B(7) },
      WITH,
      .expect = { { { 2, 6, 7, 7 }, 4 } } },
    { .name = "4x4 of a generator",
      .in = { X4(2, 4, 4, 6), W4(6, 5, 4, 4) },
      WITH,
      OPTS(.stride = 2, .pad = 1),
      .expect = { { { 2, 8, 8, 5 }, 4 } } },
    { .name = "2x2 of a U-net",
      .in = { X4(1, 3, 5, 18), W4(18, 9, 2, 2), B(9) },
      WITH,
      OPTS(.stride = 2),
      .expect = { { { 1, 6, 10, 9 }, 4 } } },
    { .name = "output padding",
      .in = { X4(1, 4, 3, 4), W4(4, 3, 3, 3), B(3) },
      WITH,
      OPTS(.stride = 2, .pad = 1, .output_pad = 1),
      .expect = { { { 1, 8, 6, 3 }, 4 } } },
    { .name = "output padding under a dilation",
      .in = { X4(1, 4, 3, 2), W4(2, 3, 2, 2), B(3) },
      WITH,
      OPTS(.dilation = 3, .output_pad = 2),
      .expect = { { { 1, 9, 8, 3 }, 4 } } },
    { .name = "stride beyond the kernel",
      .in = { X4(1, 3, 3, 3), W4(3, 4, 2, 2), B(4) },
      WITH,
      OPTS(.stride = 5, .output_pad = 4),
      .expect = { { { 1, 16, 16, 4 }, 4 } } },
    { .name = "stride beyond lattices",
      .in = { X4(1, 3, 2, 3), W4(3, 4, 3, 2), B(4) },
      WITH,
      OPTS(.stride = 9, .pad = 1),
      .expect = { { { 1, 19, 9, 4 }, 4 } } },
    { .name = "dilated, stride",
      .in = { X4(1, 5, 4, 2), W4(2, 4, 3, 3) },
      WITH,
      OPTS(.dilation = 3, .stride = 2) },
    { .name = "dilation and stride with a common factor",
      .in = { X4(1, 4, 5, 3), W4(3, 4, 3, 3), B(4) },
      WITH,
      OPTS(.dilation = 2, .stride = 4, .pad = 1, .output_pad = 3) },
    { .name = "not square", .in = { X4(2, 5, 4, 3), W4(3, 4, 1, 5), B(4) }, WITH, OPTS(.stride = 3) },
    { .name = "padding beyond the kernel",
      .in = { X4(1, 6, 7, 3), W4(3, 4, 3, 3), B(4) },
      WITH,
      OPTS(.pad = 5, .stride = 3) },
    { .name = "groups", .in = { X4(2, 4, 4, 12), W4(12, 2, 3, 3), B(6) }, WITH, OPTS(.groups = 3) },
    { .name = "groups, stride",
      .in = { X4(1, 4, 5, 6), W4(6, 5, 3, 3) },
      WITH,
      OPTS(.groups = 2, .stride = 2) },
    { .name = "depthwise",
      .in = { X4(1, 4, 4, 10), W4(10, 1, 4, 4) },
      WITH,
      OPTS(.groups = 10, .stride = 2, .pad = 1) },
    { .name = "1x1", .in = { X4(2, 3, 3, 8), W4(8, 12, 1, 1), B(12) }, WITH },
    { .name = "many rows",
      .in = { X4(2, 21, 20, 2), W4(2, 9, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .probes = 12 },
    { .name = "taps in place",
      .in = { X4(2, 5, 6, 34), W4(34, 20, 4, 4), B(20) },
      WITH,
      OPTS(.stride = 2, .pad = 1),
      .probes = 12 },
    { .name = "taps in place, groups, dilation, output padding",
      .in = { X4(1, 4, 5, 64), W4(64, 6, 3, 2), B(12) },
      WITH,
      OPTS(.groups = 2, .dilation = 3, .stride = 2, .pad = 2, .output_pad = 1),
      .probes = 12 },
    { .name = "taps in place, not all pixels read",
      .in = { X4(1, 3, 4, 36), W4(36, 9, 2, 2), B(9) },
      WITH,
      OPTS(.stride = 3, .output_pad = 2),
      .probes = 12 },
    { .name = "taps in place, several tiles",
      .in = { X4(1, 24, 21, 40), W4(40, 33, 4, 4) },
      WITH,
      OPTS(.stride = 2, .pad = 1),
      .probes = 6 },
    { .name = "stride beyond lattices, many channels",
      .in = { X4(1, 2, 3, 33), W4(33, 4, 3, 3) },
      WITH,
      OPTS(.stride = 9),
      .probes = 12 },
    { .name = "one pixel", .in = { X4(1, 1, 1, 3), W4(3, 2, 3, 3) }, WITH, OPTS(.stride = 2) },
    { .name = "nothing left",
      .in = { X4(1, 2, 2, 3), W4(3, 2, 3, 3) },
      .build = record,
      OPTS(.pad = 2),
      .fails = NN_ESHAPE,
      .says = "makes an image" },
    { .name = "channels disagree",
      .in = { X4(1, 4, 4, 3), W4(4, 3, 3, 3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[3,O/groups,kh,kw]" },
    { .name = "groups do not divide",
      .in = { X4(1, 4, 4, 5), W4(5, 2, 3, 3) },
      .build = record,
      OPTS(.groups = 2),
      .fails = NN_ESHAPE,
      .says = "groups" },
    { .name = "output padding without stride",
      .in = { X4(1, 4, 4, 3), W4(3, 2, 3, 3) },
      .build = record,
      OPTS(.output_pad = 1),
      .fails = NN_ESHAPE,
      .says = "output_pad" },
    { .name = "wrong bias",
      .in = { X4(1, 4, 4, 3), W4(3, 2, 3, 3), B(3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "bias" },
    { .name = "squares",
      .in = { X4(2, 6, 7, 34), W4(34, 40, 3, 3), B(40) },
      WITH,
      OPTS(.pad = 1),
      .probes = 20 },
    { .name = "bench generator",
      .in = { X4(8, 28, 28, 128), W4(128, 64, 4, 4) },
      WITH,
      OPTS(.stride = 2, .pad = 1),
      .bench = 1 },
    { .name = "bench U-net",
      .in = { X4(8, 28, 28, 256), W4(256, 128, 2, 2), B(128) },
      WITH,
      OPTS(.stride = 2),
      .bench = 1 },
};

OP_TEST(conv_transpose2d, OP_CASES(cases));
