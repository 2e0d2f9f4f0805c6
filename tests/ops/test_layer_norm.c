/* SPDX-License-Identifier: MIT
 *
 * layer_norm over rows of several lengths, with and without gamma and beta.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_layer_norm(g, in[0], in[1], in[2], 1e-5);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    int64_t n = x.dim[x.rank - 1];

    for (int64_t r = 0; r < nn_shape_count(x) / n; r++) {
        const double *from = in[0] + r * n;
        double mean = 0, variance = 0;

        for (int64_t i = 0; i < n; i++)
            mean += from[i] / (double)n;
        for (int64_t i = 0; i < n; i++)
            variance += (from[i] - mean) * (from[i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++)
            out[0][r * n + i] =
                (in[1] ? in[1][i] : 1) * (from[i] - mean) / sqrt(variance + 1e-5) + (in[2] ? in[2][i] : 0);
    }
}

#define VECTOR(c)                                                                                            \
    {                                                                                                        \
        .shape = { { c }, 1 }, .param = 1                                                                    \
    }
#define WITH .build = record, .oracle = oracle

static const op_case cases[] = {
    { .name = "rows", .in = { { .shape = { { 4, 7 }, 2 } }, VECTOR(7), VECTOR(7) }, WITH },
    { .name = "tokens", .in = { { .shape = { { 2, 3, 32 }, 3 } }, VECTOR(32), VECTOR(32) }, WITH },
    { .name = "without beta", .in = { { .shape = { { 3, 5 }, 2 } }, VECTOR(5), { .absent = 1 } }, WITH },
    { .name = "without gamma", .in = { { .shape = { { 3, 5 }, 2 } }, { .absent = 1 }, VECTOR(5) }, WITH },
    { .name = "neither", .in = { { .shape = { { 3, 9 }, 2 } }, { .absent = 1 }, { .absent = 1 } }, WITH },
    { .name = "several tiles",
      .in = { { .shape = { { 300, 130 }, 2 } }, VECTOR(130), VECTOR(130) },
      WITH,
      .probes = 8 },
    { .name = "gamma of another size",
      .in = { { .shape = { { 3, 5 }, 2 } }, VECTOR(4), VECTOR(5) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "5 channels" },
    { .name = "bench ViT",
      .in = { { .shape = { { 8, 197, 768 }, 3 } }, VECTOR(768), VECTOR(768) },
      .build = record,
      .bench = 1 },
    { .name = "bench short rows",
      .in = { { .shape = { { 8192, 64 }, 2 } }, VECTOR(64), VECTOR(64) },
      .build = record,
      .bench = 1 },
};

OP_TEST(layer_norm, OP_CASES(cases));
