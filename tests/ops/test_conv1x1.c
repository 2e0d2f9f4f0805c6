/* SPDX-License-Identifier: MIT
 *
 * conv1x1: channel counts with every kind of tail, one row, several images in one tile and several
 * tiles in one image, and its slots (affine with each activation, gate, statistics) alone and all
 * together, as fusion fills them.
 */
#include "around.h"
#include <stdlib.h>

enum { X, WEIGHT, BIAS, MEAN, SCALE, BETA, GATE, MOST = 4096 };

/* What stands around the convolution. */
struct around {
    int affine, gate, moments; /* moments: 1 all outputs, 2 the mean alone, 3 the variance alone */
};
static const struct around nothing = { 0, 0, 0 }, affine = { 1, 0, 0 }, gate = { 0, 1, 0 },
                           moments = { 0, 0, 1 }, mean_alone = { 0, 0, 2 }, var_alone = { 0, 0, 3 },
                           affine_gate = { 1, 1, 0 }, affine_moments = { 1, 0, 1 }, all = { 1, 1, 1 };

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const struct around *a = c->extra ? c->extra : &nothing;
    nn_tensor *x = in[X];

    if (a->affine)
        x = record_act(g, nn_affine(g, x, in[MEAN], in[SCALE], in[BETA]), c->act);
    if (a->gate)
        x = nn_mul(g, x, in[GATE]);
    out[0] = nn_conv1x1(g, x, in[WEIGHT], in[BIAS]);
    if (a->moments && nn_moments(g, out[0], &out[1], &out[2]))
        return NULL;
    if (a->moments > 1)
        out[0] = out[a->moments - 1];
    return out[0];
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const struct around *a = c->extra ? c->extra : &nothing;
    nn_shape x = c->in[X].shape;
    int64_t ci = x.dim[x.rank - 1], co = c->in[WEIGHT].shape.dim[0], rows = nn_shape_count(x) / ci;
    int64_t per = a->gate ? rows / x.dim[0] : rows;
    double *y = a->moments > 1 ? malloc((size_t)(rows * co) * sizeof *y) : out[0];

    ck_assert_ptr_nonnull(y);

    for (int64_t r = 0; r < rows; r++) {
        double v[MOST];

        for (int64_t i = 0; i < ci; i++) {
            v[i] = in[X][r * ci + i];
            if (a->affine)
                v[i] = act_of(c->act, in[SCALE][i] * (v[i] - in[MEAN][i]) + (in[BETA] ? in[BETA][i] : 0));
            if (a->gate)
                v[i] *= in[GATE][r / per * ci + i];
        }
        for (int64_t o = 0; o < co; o++) {
            double sum = in[BIAS] ? in[BIAS][o] : 0;

            for (int64_t i = 0; i < ci; i++)
                sum += v[i] * in[WEIGHT][o * ci + i];
            y[r * co + o] = sum;
        }
    }
    for (int64_t o = 0; a->moments && o < co; o++) {
        double mean = 0, var = 0;

        for (int64_t r = 0; r < rows; r++)
            mean += y[r * co + o] / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            var += (y[r * co + o] - mean) * (y[r * co + o] - mean) / (double)rows;
        if (a->moments == 1) {
            out[1][o] = mean;
            out[2][o] = var;
        } else {
            out[0][o] = a->moments == 2 ? mean : var;
        }
    }
    if (y != out[0])
        free(y);
}

#define V(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }                                                                                \
    }
#define ABSENT                                                                                               \
    {                                                                                                        \
        .absent = 1                                                                                          \
    }
#define WITH .build = record, .oracle = oracle
#define X4(n, h, w, i)                                                                                       \
    {                                                                                                        \
        .shape = { { n, h, w, i }, 4 }                                                                       \
    }
#define W4(o, i)                                                                                             \
    {                                                                                                        \
        .shape = { { o, i, 1, 1 }, 4 }, .param = 1                                                           \
    }
#define SCALES(n)                                                                                            \
    {                                                                                                        \
        .shape = { { n }, 1 }, .low = 0.5, .high = 1.5                                                       \
    }
#define GATES(n, c)                                                                                          \
    {                                                                                                        \
        .shape = { { n, 1, 1, c }, 4 }, .low = 0.2, .high = 1                                                \
    }

static const op_case cases[] = {
    { .name = "a number", .in = { X4(1, 1, 1, 1), W4(1, 1), V(1) }, WITH },
    { .name = "no bias", .in = { X4(2, 3, 5, 7), W4(9, 7) }, WITH },
    { .name = "bias",
      .in = { X4(2, 3, 5, 7), W4(9, 7), { .shape = { { 9 }, 1 }, .param = 1 } },
      WITH,
      .expect = { { { 2, 3, 5, 9 }, 4 } } },
    { .name = "weight of rank 2, rows",
      .in = { { .shape = { { 11, 6 }, 2 } }, { .shape = { { 5, 6 }, 2 }, .param = 1 }, V(5) },
      WITH },
    { .name = "one row", .in = { X4(1, 1, 1, 40), W4(73, 40), V(73) }, WITH },
    { .name = "half vectors", .in = { X4(1, 7, 7, 56), W4(40, 56) }, WITH },
    { .name = "panels", .in = { X4(2, 5, 5, 24), W4(200, 24) }, WITH },
    { .name = "odd panels", .in = { X4(2, 5, 5, 51), W4(101, 51), V(101) }, WITH },
    { .name = "many rows", .in = { X4(3, 33, 31, 8), W4(12, 8), V(12) }, WITH },
    { .name = "long sums", .in = { X4(1, 2, 3, 1030), W4(17, 1030) }, WITH },
    { .name = "squeeze-excite", .in = { X4(8, 1, 1, 144), W4(36, 144), V(36) }, WITH },
    { .name = "split rows, blocks of weights", .in = { X4(2, 21, 21, 72), W4(136, 72) }, WITH, .probes = 6 },
    { .name = "channels disagree",
      .in = { X4(1, 2, 2, 3), W4(4, 5) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[1,2,2,3]" },
    { .name = "not 1x1",
      .in = { X4(1, 2, 2, 3), { .shape = { { 4, 3, 3, 3 }, 4 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[4,3,3,3]" },
    { .name = "bias of another size",
      .in = { X4(1, 2, 2, 3), W4(4, 3), V(3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "bias" },

    { .name = "bench stage 2 expand", .in = { X4(8, 56, 56, 40), W4(240, 40) }, WITH, .bench = 1 },
    { .name = "bench stage 2 project", .in = { X4(8, 56, 56, 240), W4(40, 240) }, WITH, .bench = 1 },
    { .name = "bench stage 3 expand", .in = { X4(8, 28, 28, 72), W4(432, 72) }, WITH, .bench = 1 },
    { .name = "bench stage 3 project", .in = { X4(8, 28, 28, 432), W4(72, 432) }, WITH, .bench = 1 },
    { .name = "bench stage 4 expand", .in = { X4(8, 14, 14, 144), W4(864, 144) }, WITH, .bench = 1 },
    { .name = "bench stage 4 project", .in = { X4(8, 14, 14, 864), W4(144, 864) }, WITH, .bench = 1 },
    { .name = "bench stage 5 expand", .in = { X4(8, 14, 14, 200), W4(1200, 200) }, WITH, .bench = 1 },
    { .name = "bench stage 5 project", .in = { X4(8, 14, 14, 1200), W4(200, 1200) }, WITH, .bench = 1 },
    { .name = "bench stage 6 expand", .in = { X4(8, 7, 7, 344), W4(2064, 344) }, WITH, .bench = 1 },
    { .name = "bench stage 6 project", .in = { X4(8, 7, 7, 2064), W4(344, 2064) }, WITH, .bench = 1 },
    { .name = "bench stage 7 expand", .in = { X4(8, 7, 7, 576), W4(3456, 576) }, WITH, .bench = 1 },
    { .name = "bench stage 7 project", .in = { X4(8, 7, 7, 3456), W4(576, 3456) }, WITH, .bench = 1 },
    { .name = "bench stage 2 project, all slots",
      .in = { X4(8, 56, 56, 240), W4(40, 240), ABSENT, V(240), SCALES(240), V(240), GATES(8, 240) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .bench = 1 },
    { .name = "bench stage 5 project, all slots",
      .in = { X4(8, 14, 14, 1200), W4(200, 1200), ABSENT, V(1200), SCALES(1200), V(1200), GATES(8, 1200) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .bench = 1 },
    { .name = "bench stage 6 project, all slots",
      .in = { X4(8, 7, 7, 2064), W4(344, 2064), ABSENT, V(2064), SCALES(2064), V(2064), GATES(8, 2064) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .bench = 1 },
    { .name = "bench stage 6 project, batch 1",
      .in = { X4(1, 7, 7, 2064), W4(344, 2064) },
      WITH,
      .bench = 1 },
};

static const op_case fused[] = {
    { .name = "affine",
      .in = { X4(2, 3, 3, 21), W4(10, 21), V(10), V(21), SCALES(21), V(21) },
      WITH,
      .extra = &affine },
    { .name = "affine without beta",
      .in = { X4(2, 3, 3, 21), W4(10, 21), ABSENT, V(21), SCALES(21), ABSENT },
      .ins = 6,
      WITH,
      .extra = &affine },
    { .name = "affine, relu",
      .in = { X4(2, 3, 3, 21), W4(10, 21), V(10), V(21), SCALES(21), V(21) },
      WITH,
      .extra = &affine,
      .act = NN_ACT_RELU },
    { .name = "affine, relu6",
      .in = { { .shape = { { 2, 3, 3, 21 }, 4 }, .low = -9, .high = 9 },
              W4(10, 21),
              V(10),
              V(21),
              SCALES(21),
              V(21) },
      WITH,
      .extra = &affine,
      .act = NN_ACT_RELU6 },
    { .name = "affine, sigmoid",
      .in = { X4(2, 3, 3, 21), W4(10, 21), V(10), V(21), SCALES(21), V(21) },
      WITH,
      .extra = &affine,
      .act = NN_ACT_SIGMOID },
    { .name = "affine, silu",
      .in = { X4(2, 5, 5, 40), W4(24, 40), ABSENT, V(40), SCALES(40), V(40) },
      WITH,
      .extra = &affine,
      .act = NN_ACT_SILU },
    { .name = "gate",
      .in = { X4(3, 3, 3, 21), W4(10, 21), V(10), ABSENT, ABSENT, ABSENT, GATES(3, 21) },
      WITH,
      .extra = &gate },
    { .name = "statistics",
      .in = { X4(2, 5, 5, 24), W4(50, 24), V(50) },
      WITH,
      .extra = &moments,
      .outs = 3 },
    { .name = "mean alone", .in = { X4(2, 5, 5, 24), W4(50, 24), V(50) }, WITH, .extra = &mean_alone },
    { .name = "variance alone",
      .in = { X4(2, 5, 5, 24), W4(50, 24), V(50) },
      WITH,
      .extra = &var_alone,
      .cancels = 1 },
    { .name = "statistics of several tiles",
      .in = { X4(3, 29, 31, 9), W4(60, 9) },
      WITH,
      .extra = &moments,
      .outs = 3 },
    { .name = "affine, gate",
      .in = { X4(5, 3, 3, 33), W4(17, 33), V(17), V(33), SCALES(33), V(33), GATES(5, 33) },
      WITH,
      .extra = &affine_gate,
      .act = NN_ACT_SILU },
    { .name = "affine, statistics",
      .in = { X4(5, 3, 3, 33), W4(17, 33), V(17), V(33), SCALES(33), V(33) },
      WITH,
      .extra = &affine_moments,
      .outs = 3,
      .act = NN_ACT_SILU },
    { .name = "all",
      .in = { X4(8, 7, 7, 48), W4(56, 48), V(56), V(48), SCALES(48), V(48), GATES(8, 48) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 12 },
    { .name = "all, tiles within images",
      .in = { X4(2, 37, 37, 16), W4(24, 16), ABSENT, V(16), SCALES(16), V(16), GATES(2, 16) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 6 },
    { .name = "all, tiles across images",
      .in = { X4(9, 5, 5, 344), W4(56, 344), ABSENT, V(344), SCALES(344), V(344), GATES(9, 344) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 8 },
    { .name = "few rows, prepared once",
      .in = { X4(1, 7, 7, 264), W4(344, 264), ABSENT, V(264), SCALES(264), V(264), GATES(1, 264) },
      WITH,
      .extra = &all,
      .outs = 3,
      .act = NN_ACT_SILU,
      .probes = 8 },
};

OP_TEST(conv1x1, OP_CASES(cases), OP_FUSED(fused));
