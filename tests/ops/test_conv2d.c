/* SPDX-License-Identifier: MIT
 *
 * conv2d: every padding rule, stride, dilation, groups, kernels that are not square or larger than
 * the image, statistics of the output, and the two special cases it hands on (1x1 and depthwise).
 */
#include "around.h"

enum { X, WEIGHT, BIAS };

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const nn_conv_opts *opts = c->extra;

    out[0] = nn_conv2d(g, in[X], in[WEIGHT], in[BIAS], opts ? *opts : (nn_conv_opts){ 0 });
    if (c->outs == 3 && nn_moments(g, out[0], &out[1], &out[2]))
        return NULL;
    return out[0];
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_conv_opts o = c->extra ? *(const nn_conv_opts *)c->extra : (nn_conv_opts){ 0 };
    const int64_t *x = c->in[X].shape.dim, *w = c->in[WEIGHT].shape.dim;
    int64_t top, left, oh = axis(&o, x[1], w[2], &top), ow = axis(&o, x[2], w[3], &left),
                       rows = x[0] * oh * ow;
    int64_t stride = o.stride ? o.stride : 1, dilation = o.dilation ? o.dilation : 1, co = w[0];
    int64_t per = co / (o.groups ? o.groups : 1);

    for (int64_t r = 0; r < rows; r++) {
        int64_t n = r / ow / oh, p = r / ow % oh, q = r % ow;

        for (int64_t k = 0; k < co; k++) {
            double sum = in[BIAS] ? in[BIAS][k] : 0;

            for (int64_t i = 0; i < w[2]; i++)
                for (int64_t j = 0; j < w[3]; j++) {
                    int64_t y = p * stride + top + i * dilation, z = q * stride + left + j * dilation;

                    for (int64_t ch = 0; y >= 0 && y < x[1] && z >= 0 && z < x[2] && ch < w[1]; ch++)
                        sum += in[X][((n * x[1] + y) * x[2] + z) * x[3] + k / per * w[1] + ch] *
                               in[WEIGHT][((k * w[1] + ch) * w[2] + i) * w[3] + j];
                }
            out[0][r * co + k] = sum;
        }
    }
    for (int64_t k = 0; c->outs == 3 && k < co; k++) {
        double mean = 0, var = 0;

        for (int64_t r = 0; r < rows; r++)
            mean += out[0][r * co + k] / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            var += (out[0][r * co + k] - mean) * (out[0][r * co + k] - mean) / (double)rows;
        out[1][k] = mean;
        out[2][k] = var;
    }
}

#define WITH .build = record, .oracle = oracle
#define X4(n, h, w, i)                                                                                       \
    {                                                                                                        \
        .shape = { { n, h, w, i }, 4 }                                                                       \
    }
#define W4(o, i, h, w)                                                                                       \
    {                                                                                                        \
        .shape = { { o, i, h, w }, 4 }, .param = 1                                                           \
    }
#define B(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .param = 1                                                                    \
    }
#define OPTS(...)                                                                                            \
    .extra = &(const nn_conv_opts) { __VA_ARGS__ }

static const op_case cases[] = {
    { .name = "3x3",
      .in = { X4(2, 5, 6, 3), W4(7, 3, 3, 3), B(7) },
      WITH,
      .expect = { { { 2, 5, 6, 7 }, 4 } } },
    { .name = "3x3 without bias", .in = { X4(1, 4, 4, 17), W4(5, 17, 3, 3) }, WITH },
    { .name = "stem",
      .in = { X4(2, 20, 20, 3), W4(56, 3, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .expect = { { { 2, 10, 10, 56 }, 4 } },
      .probes = 20 },
    { .name = "stem, odd size",
      .in = { X4(1, 21, 19, 3), W4(40, 3, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .expect = { { { 1, 11, 10, 40 }, 4 } },
      .probes = 20 },
    { .name = "valid",
      .in = { X4(2, 6, 5, 4), W4(3, 4, 3, 3), B(3) },
      WITH,
      OPTS(.padding = NN_PAD_VALID),
      .expect = { { { 2, 4, 3, 3 }, 4 } } },
    { .name = "same, the odd pixel after",
      .in = { X4(1, 6, 6, 4), W4(3, 4, 3, 3) },
      WITH,
      OPTS(.padding = NN_PAD_SAME, .stride = 2),
      .expect = { { { 1, 3, 3, 3 }, 4 } } },
    { .name = "same, 2x2",
      .in = { X4(1, 5, 5, 4), W4(3, 4, 2, 2) },
      WITH,
      OPTS(.padding = NN_PAD_SAME),
      .expect = { { { 1, 5, 5, 3 }, 4 } } },
    { .name = "explicit",
      .in = { X4(1, 4, 3, 2), W4(3, 2, 3, 3) },
      WITH,
      OPTS(.padding = NN_PAD_EXPLICIT, .pad = 3, .stride = 3) },
    { .name = "stride beyond the kernel",
      .in = { X4(1, 9, 9, 3), W4(4, 3, 2, 2) },
      WITH,
      OPTS(.padding = NN_PAD_VALID, .stride = 4),
      .expect = { { { 1, 2, 2, 4 }, 4 } } },
    { .name = "1x1 with stride",
      .in = { X4(2, 5, 5, 6), W4(8, 6, 1, 1) },
      WITH,
      OPTS(.stride = 2),
      .expect = { { { 2, 3, 3, 8 }, 4 } } },
    { .name = "dilated",
      .in = { X4(1, 9, 8, 3), W4(4, 3, 3, 3) },
      WITH,
      OPTS(.dilation = 2),
      .expect = { { { 1, 9, 8, 4 }, 4 } } },
    { .name = "dilated, stride",
      .in = { X4(1, 11, 11, 2), W4(4, 2, 3, 3) },
      WITH,
      OPTS(.dilation = 3, .stride = 2) },
    { .name = "not square",
      .in = { X4(2, 5, 7, 3), W4(4, 3, 1, 5), B(4) },
      WITH,
      .expect = { { { 2, 5, 7, 4 }, 4 } } },
    { .name = "kernel larger than the image", .in = { X4(1, 2, 3, 3), W4(4, 3, 5, 5) }, WITH },
    { .name = "groups", .in = { X4(2, 5, 5, 12), W4(6, 4, 3, 3), B(6) }, WITH, OPTS(.groups = 3) },
    { .name = "groups, stride",
      .in = { X4(1, 6, 7, 6), W4(10, 3, 3, 3) },
      WITH,
      OPTS(.groups = 2, .stride = 2) },
    { .name = "groups of 1x1", .in = { X4(2, 3, 3, 8), W4(12, 2, 1, 1) }, WITH, OPTS(.groups = 4) },
    { .name = "depthwise with two filters each",
      .in = { X4(1, 5, 5, 3), W4(6, 1, 3, 3) },
      WITH,
      OPTS(.groups = 3) },
    { .name = "depthwise, handed on", .in = { X4(1, 5, 5, 10), W4(10, 1, 3, 3) }, WITH, OPTS(.groups = 10) },
    { .name = "stride and dilation of many channels",
      .in = { X4(2, 9, 8, 10), W4(6, 10, 3, 3), B(6) },
      WITH,
      OPTS(.stride = 2, .dilation = 2),
      .probes = 12 },
    { .name = "same, the odd pixel after, of many channels",
      .in = { X4(1, 6, 6, 9), W4(3, 9, 3, 3) },
      WITH,
      OPTS(.padding = NN_PAD_SAME, .stride = 2),
      .probes = 12 },
    { .name = "1x1, handed on", .in = { X4(2, 3, 3, 8), W4(12, 8, 1, 1), B(12) }, WITH },
    { .name = "many rows", .in = { X4(2, 40, 41, 2), W4(9, 2, 3, 3) }, WITH, .probes = 12 },
    { .name = "long sums", .in = { X4(1, 4, 4, 65), W4(50, 65, 3, 3) }, WITH, .probes = 12 },
    { .name = "taps in place, stride",
      .in = { X4(2, 9, 8, 34), W4(20, 34, 3, 3), B(20) },
      WITH,
      OPTS(.stride = 2),
      .probes = 12 },
    { .name = "taps in place, groups, dilation, wide border",
      .in = { X4(1, 7, 9, 64), W4(12, 32, 3, 2), B(12) },
      WITH,
      OPTS(.groups = 2, .dilation = 2, .padding = NN_PAD_EXPLICIT, .pad = 4),
      .probes = 12 },
    { .name = "taps in place, several tiles",
      .in = { X4(1, 47, 45, 33), W4(56, 33, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .probes = 6 },
    { .name = "1x1 with stride, in place",
      .in = { X4(2, 5, 7, 40), W4(24, 40, 1, 1) },
      WITH,
      OPTS(.stride = 3),
      .probes = 12 },
    { .name = "one pixel", .in = { X4(1, 1, 1, 3), W4(2, 3, 3, 3) }, WITH },
    { .name = "kernel too large",
      .in = { X4(1, 2, 2, 3), W4(2, 3, 3, 3) },
      .build = record,
      OPTS(.padding = NN_PAD_VALID),
      .fails = NN_ESHAPE,
      .says = "larger than" },
    { .name = "channels disagree",
      .in = { X4(1, 4, 4, 3), W4(2, 4, 3, 3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[1,4,4,3]" },
    { .name = "groups do not divide",
      .in = { X4(1, 4, 4, 5), W4(4, 2, 3, 3) },
      .build = record,
      OPTS(.groups = 2),
      .fails = NN_ESHAPE,
      .says = "groups" },
    { .name = "pad without EXPLICIT",
      .in = { X4(1, 4, 4, 3), W4(2, 3, 3, 3) },
      .build = record,
      OPTS(.pad = 1),
      .fails = NN_ESHAPE,
      .says = "NN_PAD_EXPLICIT" },
    { .name = "negative stride",
      .in = { X4(1, 4, 4, 3), W4(2, 3, 3, 3) },
      .build = record,
      OPTS(.stride = -1),
      .fails = NN_ESHAPE,
      .says = "stride" },
    { .name = "squares", .in = { X4(2, 6, 8, 32), W4(32, 32, 3, 3), B(32) }, WITH, .probes = 20 },
    { .name = "squares, odd sizes", .in = { X4(3, 7, 5, 33), W4(50, 33, 3, 3) }, WITH, .probes = 20 },
    { .name = "squares, valid",
      .in = { X4(1, 9, 6, 34), W4(35, 34, 3, 3), B(35) },
      WITH,
      OPTS(.padding = NN_PAD_VALID),
      .probes = 20 },
    { .name = "squares, wide border",
      .in = { X4(1, 4, 5, 32), W4(40, 32, 3, 3) },
      WITH,
      OPTS(.padding = NN_PAD_EXPLICIT, .pad = 3),
      .probes = 20 },
    { .name = "squares, several tiles", .in = { X4(1, 28, 50, 40), W4(56, 40, 3, 3) }, WITH, .probes = 6 },
    { .name = "squares, several blocks", .in = { X4(1, 5, 4, 110), W4(100, 110, 3, 3) }, WITH, .probes = 6 },
    { .name = "bench stem",
      .in = { { .shape = { { 8, 224, 224, 3 }, 4 }, .no_grad = 1 }, W4(56, 3, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .bench = 1 },
    { .name = "bench stem, statistics",
      .in = { { .shape = { { 8, 224, 224, 3 }, 4 }, .no_grad = 1 }, W4(56, 3, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .outs = 3,
      .bench = 1 },
    { .name = "bench 3x3 of 64", .in = { X4(8, 56, 56, 64), W4(64, 64, 3, 3) }, WITH, .bench = 1 },
    { .name = "bench 3x3 of 256, stride",
      .in = { X4(8, 28, 28, 256), W4(256, 256, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .bench = 1 },
};

static const op_case fused[] = {
    { .name = "statistics", .in = { X4(2, 5, 6, 3), W4(7, 3, 3, 3), B(7) }, WITH, .outs = 3 },
    { .name = "statistics of the stem",
      .in = { { .shape = { { 2, 33, 35, 3 }, 4 }, .no_grad = 1 }, W4(40, 3, 3, 3) },
      WITH,
      OPTS(.stride = 2),
      .outs = 3,
      .probes = 12 },
    { .name = "statistics, squares",
      .in = { X4(1, 28, 50, 32), W4(40, 32, 3, 3), B(40) },
      WITH,
      .outs = 3,
      .probes = 8 },
    { .name = "statistics, squares of whole images",
      .in = { X4(21, 5, 9, 33), W4(49, 33, 3, 3) },
      WITH,
      .outs = 3,
      .probes = 8 },
    { .name = "statistics, groups",
      .in = { X4(2, 5, 5, 12), W4(6, 4, 3, 3), B(6) },
      WITH,
      OPTS(.groups = 3),
      .outs = 3 },
};

OP_TEST(conv2d, OP_CASES(cases), OP_FUSED(fused));
