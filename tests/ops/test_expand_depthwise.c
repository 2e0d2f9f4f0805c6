/* SPDX-License-Identifier: MIT
 *
 * expand_depthwise: both products' tails (inner and outer channels), every activation, the kernels
 * of the depthwise part (fast and plain), bands of rows, and shapes of B6. The oracle writes the
 * expanded tensor down, which the op never does.
 */
#include "around.h"
#include <stdlib.h>

enum { X, EXPAND, MEAN, SCALE, BETA, WEIGHT };

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    nn_expand_opts opts = { 0 };

    if (c->extra)
        opts.conv = *(const nn_conv_opts *)c->extra;
    opts.act = (nn_act)c->act;
    return out[0] = nn_expand_depthwise(g, in[X], in[EXPAND], &in[MEAN], in[WEIGHT], opts);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_conv_opts o = c->extra ? *(const nn_conv_opts *)c->extra : (nn_conv_opts){ 0 };
    const int64_t *x = c->in[X].shape.dim, k = c->in[WEIGHT].shape.dim[2], wide = c->in[EXPAND].shape.dim[0];
    int64_t top, left, oh = axis(&o, x[1], k, &top), ow = axis(&o, x[2], k, &left);
    int64_t stride = o.stride ? o.stride : 1, dilation = o.dilation ? o.dilation : 1,
            rows = x[0] * x[1] * x[2];
    double *e = malloc((size_t)(rows * wide) * sizeof *e);

    if (!e)
        ck_abort_msg("no memory");
    for (int64_t r = 0; r < rows; r++)
        for (int64_t ch = 0; ch < wide; ch++) {
            double sum = 0;

            for (int64_t i = 0; i < x[3]; i++)
                sum += in[EXPAND][ch * x[3] + i] * in[X][r * x[3] + i];
            e[r * wide + ch] =
                act_of(c->act, in[SCALE][ch] * (sum - in[MEAN][ch]) + (in[BETA] ? in[BETA][ch] : 0));
        }
    for (int64_t r = 0; r < x[0] * oh * ow; r++) {
        int64_t n = r / ow / oh, p = r / ow % oh, q = r % ow;

        for (int64_t ch = 0; ch < wide; ch++) {
            double sum = 0;

            for (int64_t i = 0; i < k; i++)
                for (int64_t j = 0; j < k; j++) {
                    int64_t y = p * stride + top + i * dilation, z = q * stride + left + j * dilation;

                    if (y >= 0 && y < x[1] && z >= 0 && z < x[2])
                        sum += e[((n * x[1] + y) * x[2] + z) * wide + ch] * in[WEIGHT][(ch * k + i) * k + j];
                }
            out[0][r * wide + ch] = sum;
        }
    }
    free(e);
}

#define WITH .build = record, .oracle = oracle
#define X4(n, h, w, i)                                                                                       \
    {                                                                                                        \
        .shape = { { n, h, w, i }, 4 }                                                                       \
    }
#define E4(e, i)                                                                                             \
    {                                                                                                        \
        .shape = { { e, i, 1, 1 }, 4 }, .param = 1                                                           \
    }
#define W4(e, k)                                                                                             \
    {                                                                                                        \
        .shape = { { e, 1, k, k }, 4 }, .param = 1                                                           \
    }
#define V(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .param = 1                                                                    \
    }
#define S(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .low = 0.5, .high = 1.5                                                       \
    }
#define IN(n, h, w, i, e, k) .in = { X4(n, h, w, i), E4(e, i), V(e), S(e), V(e), W4(e, k) }
#define OPTS(...)                                                                                            \
    .extra = &(const nn_conv_opts) { __VA_ARGS__ }
#define SILU .act = NN_ACT_SILU

static const op_case cases[] = {
    { .name = "a number", IN(1, 1, 1, 1, 1, 1), WITH },
    { .name = "k3", IN(2, 5, 6, 5, 21, 3), WITH, SILU, .expect = { { { 2, 5, 6, 21 }, 4 } } },
    { .name = "without beta",
      .in = { X4(1, 4, 5, 3), E4(16, 3), V(16), S(16), { .absent = 1 }, W4(16, 3) },
      WITH,
      SILU },
    { .name = "relu", IN(2, 4, 5, 3, 16, 3), WITH, .act = NN_ACT_RELU },
    { .name = "relu6", IN(2, 4, 5, 3, 17, 3), WITH, .act = NN_ACT_RELU6 },
    { .name = "sigmoid", IN(1, 4, 5, 3, 7, 3), WITH, .act = NN_ACT_SIGMOID },
    { .name = "no activation", IN(1, 4, 5, 3, 7, 5), WITH },
    { .name = "k5, wide", IN(1, 6, 15, 8, 40, 5), WITH, SILU },
    { .name = "k5 stride 2", IN(2, 9, 8, 7, 33, 5), WITH, SILU, OPTS(.stride = 2), .probes = 20 },
    { .name = "k3 stride 2 same",
      IN(1, 8, 9, 7, 9, 3),
      WITH,
      SILU,
      OPTS(.stride = 2, .padding = NN_PAD_SAME) },
    { .name = "k7", IN(1, 6, 7, 4, 5, 7), WITH, SILU },
    { .name = "k3 stride 3 dilation 2", IN(1, 9, 8, 4, 5, 3), WITH, SILU, OPTS(.stride = 3, .dilation = 2) },
    { .name = "blocks of channels", IN(2, 4, 4, 12, 200, 3), WITH, SILU, .probes = 12 },
    { .name = "bands of rows", IN(1, 70, 5, 3, 9, 3), WITH, SILU, .probes = 12 },
    { .name = "late stage", IN(1, 7, 7, 40, 240, 5), WITH, SILU, .probes = 8 },
    { .name = "channels disagree",
      .in = { X4(1, 4, 4, 3), E4(8, 4), V(8), S(8), V(8), W4(8, 3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[8,4,1,1]" },
    { .name = "weights disagree",
      .in = { X4(1, 4, 4, 3), E4(8, 3), V(8), S(8), V(8), W4(9, 3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[9,1,3,3]" },
    { .name = "mean of another size",
      .in = { X4(1, 4, 4, 3), E4(8, 3), V(7), S(8), V(8), W4(8, 3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "mean" },

    { .name = "bench stage 2 first, batch 1",
      IN(1, 112, 112, 32, 192, 3),
      WITH,
      SILU,
      OPTS(.stride = 2),
      .bench = 1 },
    { .name = "bench stage 2, batch 1", IN(1, 56, 56, 40, 240, 3), WITH, SILU, .bench = 1 },
    { .name = "bench stage 3, batch 1", IN(1, 28, 28, 72, 432, 5), WITH, SILU, .bench = 1 },
    { .name = "bench stage 4, batch 1", IN(1, 14, 14, 144, 864, 3), WITH, SILU, .bench = 1 },
    { .name = "bench stage 5, batch 1", IN(1, 14, 14, 200, 1200, 5), WITH, SILU, .bench = 1 },
    { .name = "bench stage 6, batch 1", IN(1, 7, 7, 344, 2064, 5), WITH, SILU, .bench = 1 },
    { .name = "bench stage 2, batch 8", IN(8, 56, 56, 40, 240, 3), WITH, SILU, .bench = 1 },
};

OP_TEST(expand_depthwise, OP_CASES(cases));
