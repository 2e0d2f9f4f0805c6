/* SPDX-License-Identifier: MIT
 *
 * depthwise: every kernel size, stride and dilation (the fast instances and the plain loops), every
 * padding rule, images narrower than a register block and smaller than the kernel, channel counts
 * with every kind of tail, several bands of rows in an image, and its slots (affine with each
 * activation, statistics) alone and together, as fusion fills them.
 */
#include "around.h"

enum { X, WEIGHT, BIAS, MEAN, SCALE, BETA };

/* The convolution's options, and what stands around it. */
struct around {
    nn_conv_opts conv;
    int affine;
};

static const struct around *around_of(const op_case *c)
{
    static const struct around nothing;

    return c->extra ? c->extra : &nothing;
}

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const struct around *a = around_of(c);
    nn_tensor *x = in[X];

    if (a->affine)
        x = record_act(g, nn_affine(g, x, in[MEAN], in[SCALE], in[BETA]), c->act);
    out[0] = nn_depthwise(g, x, in[WEIGHT], in[BIAS], a->conv);
    if (c->outs == 3 && nn_moments(g, out[0], &out[1], &out[2]))
        return NULL;
    return out[0];
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const struct around *a = around_of(c);
    const nn_conv_opts *o = &a->conv;
    const int64_t *x = c->in[X].shape.dim, k = c->in[WEIGHT].shape.dim[2], C = x[3];
    int64_t top, left, oh = axis(o, x[1], k, &top), ow = axis(o, x[2], k, &left), rows = x[0] * oh * ow;
    int64_t stride = o->stride ? o->stride : 1, dilation = o->dilation ? o->dilation : 1;

    for (int64_t e = 0; e < rows * C; e++)
        out[0][e] = in[BIAS] ? in[BIAS][e % C] : 0;
    for (int64_t n = 0; n < x[0]; n++)
        for (int64_t y = 0; y < x[1]; y++)
            for (int64_t z = 0; z < x[2]; z++)
                for (int64_t ch = 0; ch < C; ch++) {
                    double v = in[X][((n * x[1] + y) * x[2] + z) * C + ch];

                    if (a->affine)
                        v = act_of(c->act,
                                   in[SCALE][ch] * (v - in[MEAN][ch]) + (in[BETA] ? in[BETA][ch] : 0));
                    for (int64_t i = 0; i < k; i++)
                        for (int64_t j = 0; j < k; j++) {
                            int64_t p = y - top - i * dilation, q = z - left - j * dilation;

                            if (p < 0 || q < 0 || p % stride || q % stride || p / stride >= oh ||
                                q / stride >= ow)
                                continue;
                            out[0][((n * oh + p / stride) * ow + q / stride) * C + ch] +=
                                v * in[WEIGHT][(ch * k + i) * k + j];
                        }
                }
    for (int64_t ch = 0; c->outs == 3 && ch < C; ch++) {
        double mean = 0, var = 0;

        for (int64_t r = 0; r < rows; r++)
            mean += out[0][r * C + ch] / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            var += (out[0][r * C + ch] - mean) * (out[0][r * C + ch] - mean) / (double)rows;
        out[1][ch] = mean;
        out[2][ch] = var;
    }
}

#define WITH .build = record, .oracle = oracle
#define X4(n, h, w, c)                                                                                       \
    {                                                                                                        \
        .shape = { { n, h, w, c }, 4 }                                                                       \
    }
#define W4(c, k)                                                                                             \
    {                                                                                                        \
        .shape = { { c, 1, k, k }, 4 }, .param = 1                                                           \
    }
#define V(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .param = 1                                                                    \
    }
#define S(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .low = 0.5, .high = 1.5                                                       \
    }
#define ABSENT                                                                                               \
    {                                                                                                        \
        .absent = 1                                                                                          \
    }
#define OPTS(...)                                                                                            \
    .extra = &(const struct around) { { __VA_ARGS__ }, 0 }
#define AFFINE(...)                                                                                          \
    .extra = &(const struct around) { { __VA_ARGS__ }, 1 }
#define NORM(c) V(c), S(c), V(c)
/* A layer of B6 as it is in a training step. */
#define BENCH(text, h, c, k, s)                                                                              \
    {                                                                                                        \
        .name = "bench " text, .in = { X4(8, h, h, c), W4(c, k), ABSENT, NORM(c) }, WITH,                    \
        AFFINE(.stride = s), .outs = 3, .act = NN_ACT_SILU, .bench = 1                                       \
    }

static const op_case cases[] = {
    { .name = "a number", .in = { X4(1, 1, 1, 1), W4(1, 1), V(1) }, WITH },
    { .name = "k1", .in = { X4(2, 3, 5, 7), W4(7, 1) }, WITH },
    { .name = "k1 stride 2", .in = { X4(2, 4, 5, 16), W4(16, 1), V(16) }, WITH, OPTS(.stride = 2) },
    { .name = "k2", .in = { X4(1, 5, 4, 3), W4(3, 2) }, WITH, .expect = { { { 1, 4, 3, 3 }, 4 } } },
    { .name = "k2 stride 2 same",
      .in = { X4(1, 5, 4, 3), W4(3, 2) },
      WITH,
      OPTS(.stride = 2, .padding = NN_PAD_SAME),
      .expect = { { { 1, 3, 2, 3 }, 4 } } },
    { .name = "k3", .in = { X4(2, 7, 7, 40), W4(40, 3), V(40) }, WITH, .expect = { { { 2, 7, 7, 40 }, 4 } } },
    { .name = "k3, one channel", .in = { X4(3, 5, 9, 1), W4(1, 3) }, WITH },
    { .name = "k3, wide", .in = { X4(1, 4, 27, 16), W4(16, 3) }, WITH },
    { .name = "k3, one pixel", .in = { X4(2, 1, 1, 3), W4(3, 3) }, WITH },
    { .name = "k3, one column", .in = { X4(2, 9, 1, 3), W4(3, 3), V(3) }, WITH },
    { .name = "k3 valid",
      .in = { X4(1, 5, 6, 3), W4(3, 3) },
      WITH,
      OPTS(.padding = NN_PAD_VALID),
      .expect = { { { 1, 3, 4, 3 }, 4 } } },
    { .name = "k3 stride 2", .in = { X4(2, 8, 9, 72), W4(72, 3), V(72) }, WITH, OPTS(.stride = 2) },
    { .name = "k3 stride 2 same, even",
      .in = { X4(1, 8, 8, 16), W4(16, 3) },
      WITH,
      OPTS(.stride = 2, .padding = NN_PAD_SAME) },
    { .name = "k3 stride 2 same, odd",
      .in = { X4(1, 7, 9, 3), W4(3, 3) },
      WITH,
      OPTS(.stride = 2, .padding = NN_PAD_SAME) },
    { .name = "k3 stride 2 valid",
      .in = { X4(1, 8, 6, 3), W4(3, 3) },
      WITH,
      OPTS(.stride = 2, .padding = NN_PAD_VALID) },
    { .name = "k3 stride 3", .in = { X4(2, 8, 10, 5), W4(5, 3) }, WITH, OPTS(.stride = 3) },
    { .name = "k3 dilation 2", .in = { X4(2, 6, 7, 5), W4(5, 3) }, WITH, OPTS(.dilation = 2) },
    { .name = "k3 stride 2 dilation 2",
      .in = { X4(2, 6, 7, 16), W4(16, 3), V(16) },
      WITH,
      OPTS(.stride = 2, .dilation = 2) },
    { .name = "k3 pad 5",
      .in = { X4(1, 3, 4, 3), W4(3, 3) },
      WITH,
      OPTS(.padding = NN_PAD_EXPLICIT, .pad = 5),
      .expect = { { { 1, 11, 12, 3 }, 4 } } },
    { .name = "k3 stride 2 pad 4",
      .in = { X4(1, 3, 4, 3), W4(3, 3) },
      WITH,
      OPTS(.stride = 2, .padding = NN_PAD_EXPLICIT, .pad = 4) },
    { .name = "k4", .in = { X4(1, 6, 5, 3), W4(3, 4) }, WITH },
    { .name = "k4 stride 3",
      .in = { X4(1, 9, 8, 3), W4(3, 4) },
      WITH,
      OPTS(.stride = 3, .padding = NN_PAD_SAME) },
    { .name = "k5", .in = { X4(2, 7, 7, 100), W4(100, 5), V(100) }, WITH },
    { .name = "k5, wide", .in = { X4(1, 5, 20, 3), W4(3, 5) }, WITH },
    { .name = "k5, smaller image", .in = { X4(3, 2, 3, 16), W4(16, 5), V(16) }, WITH },
    { .name = "k5 valid", .in = { X4(1, 6, 9, 3), W4(3, 5) }, WITH, OPTS(.padding = NN_PAD_VALID) },
    { .name = "k5 stride 2", .in = { X4(2, 9, 8, 40), W4(40, 5), V(40) }, WITH, OPTS(.stride = 2) },
    { .name = "k5 stride 2 same",
      .in = { X4(1, 8, 13, 16), W4(16, 5) },
      WITH,
      OPTS(.stride = 2, .padding = NN_PAD_SAME) },
    { .name = "k5 stride 2, smaller image", .in = { X4(1, 3, 2, 3), W4(3, 5) }, WITH, OPTS(.stride = 2) },
    { .name = "k5 dilation 2", .in = { X4(1, 7, 7, 3), W4(3, 5) }, WITH, OPTS(.dilation = 2) },
    { .name = "k6 stride 2", .in = { X4(1, 9, 8, 3), W4(3, 6) }, WITH, OPTS(.stride = 2) },
    { .name = "k7", .in = { X4(1, 9, 8, 16), W4(16, 7), V(16) }, WITH },
    { .name = "k7 stride 3, smaller image", .in = { X4(2, 4, 5, 3), W4(3, 7) }, WITH, OPTS(.stride = 3) },
    { .name = "k7 stride 2 dilation 2",
      .in = { X4(1, 9, 8, 3), W4(3, 7) },
      WITH,
      OPTS(.stride = 2, .dilation = 2) },
    { .name = "bands of rows", .in = { X4(1, 66, 7, 3), W4(3, 3), V(3) }, WITH },
    { .name = "bands of rows, stride 2",
      .in = { X4(2, 67, 9, 16), W4(16, 5), V(16) },
      WITH,
      OPTS(.stride = 2) },
    { .name = "refilled rings", .in = { X4(1, 19, 70, 3), W4(3, 5), V(3) }, WITH },
    { .name = "channels disagree",
      .in = { X4(1, 4, 4, 3), W4(4, 3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[4,1,3,3]" },
    { .name = "not depthwise",
      .in = { X4(1, 4, 4, 3), { .shape = { { 3, 3, 3, 3 }, 4 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[3,3,3,3]" },
    { .name = "not square",
      .in = { X4(1, 4, 4, 3), { .shape = { { 3, 1, 3, 5 }, 4 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[3,1,3,5]" },
    { .name = "bias of another size",
      .in = { X4(1, 4, 4, 3), W4(3, 3), V(4) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "bias" },
    { .name = "larger than the image",
      .in = { X4(1, 4, 4, 3), W4(3, 5) },
      .build = record,
      OPTS(.padding = NN_PAD_VALID),
      .fails = NN_ESHAPE,
      .says = "larger" },

    BENCH("stage 1 first", 112, 56, 3, 1),
    BENCH("stage 1", 112, 32, 3, 1),
    BENCH("stage 2 first", 112, 192, 3, 2),
    BENCH("stage 2", 56, 240, 3, 1),
    BENCH("stage 3 first", 56, 240, 5, 2),
    BENCH("stage 3", 28, 432, 5, 1),
    BENCH("stage 4 first", 28, 432, 3, 2),
    BENCH("stage 4", 14, 864, 3, 1),
    BENCH("stage 5 first", 14, 864, 5, 1),
    BENCH("stage 5", 14, 1200, 5, 1),
    BENCH("stage 6 first", 14, 1200, 5, 2),
    BENCH("stage 6", 7, 2064, 5, 1),
    BENCH("stage 7 first", 7, 2064, 3, 1),
    BENCH("stage 7", 7, 3456, 3, 1),
};

static const op_case fused[] = {
    { .name = "affine", .in = { X4(2, 5, 5, 21), W4(21, 3), V(21), NORM(21) }, WITH, AFFINE(0) },
    { .name = "affine without beta",
      .in = { X4(2, 5, 5, 21), W4(21, 3), ABSENT, V(21), S(21), ABSENT },
      .ins = 6,
      WITH,
      AFFINE(0) },
    { .name = "affine, relu",
      .in = { X4(2, 5, 5, 16), W4(16, 3), V(16), NORM(16) },
      WITH,
      AFFINE(0),
      .act = NN_ACT_RELU },
    { .name = "affine, relu6",
      .in = { { .shape = { { 2, 5, 5, 16 }, 4 }, .low = -9, .high = 9 }, W4(16, 3), V(16), NORM(16) },
      WITH,
      AFFINE(0),
      .act = NN_ACT_RELU6 },
    { .name = "affine, sigmoid",
      .in = { X4(2, 5, 5, 21), W4(21, 5), V(21), NORM(21) },
      WITH,
      AFFINE(0),
      .act = NN_ACT_SIGMOID },
    { .name = "affine, silu, k5",
      .in = { X4(2, 9, 7, 40), W4(40, 5), ABSENT, NORM(40) },
      WITH,
      AFFINE(0),
      .act = NN_ACT_SILU },
    { .name = "affine, silu, stride 2",
      .in = { X4(2, 9, 8, 21), W4(21, 3), V(21), NORM(21) },
      WITH,
      AFFINE(.stride = 2),
      .act = NN_ACT_SILU },
    { .name = "affine, silu, dilation 2",
      .in = { X4(2, 6, 7, 5), W4(5, 3), V(5), NORM(5) },
      WITH,
      AFFINE(.dilation = 2),
      .act = NN_ACT_SILU },
    { .name = "statistics", .in = { X4(2, 5, 6, 24), W4(24, 3), V(24) }, WITH, .outs = 3 },
    { .name = "statistics, stride 2, tail",
      .in = { X4(3, 9, 9, 9), W4(9, 5), V(9) },
      WITH,
      OPTS(.stride = 2),
      .outs = 3 },
    { .name = "statistics of bands", .in = { X4(2, 66, 9, 19), W4(19, 3) }, WITH, .outs = 3, .probes = 8 },
    { .name = "all, k3",
      .in = { X4(2, 7, 7, 72), W4(72, 3), V(72), NORM(72) },
      WITH,
      AFFINE(0),
      .outs = 3,
      .act = NN_ACT_SILU },
    { .name = "all, k5 stride 2",
      .in = { X4(3, 14, 14, 40), W4(40, 5), V(40), NORM(40) },
      WITH,
      AFFINE(.stride = 2),
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 12 },
    { .name = "all, refilled rings and bands",
      .in = { X4(1, 35, 37, 16), W4(16, 5), ABSENT, NORM(16) },
      WITH,
      AFFINE(0),
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 6 },
    { .name = "all, k4 stride 3",
      .in = { X4(2, 10, 11, 21), W4(21, 4), V(21), NORM(21) },
      WITH,
      AFFINE(.stride = 3),
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 12 },
};

OP_TEST(depthwise, OP_CASES(cases), OP_FUSED(fused));
