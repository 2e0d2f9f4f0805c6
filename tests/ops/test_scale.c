/* SPDX-License-Identifier: MIT
 *
 * factor*x + shift, with constants that float holds and one that it has to round.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const double *k = c->extra;

    return out[0] = nn_scale(g, in[0], k[0], k[1]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const double *k = c->extra;

    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = k[0] * in[0][i] + k[1];
}

static const double half[2] = { 0.5, 0 }, third[2] = { -1.0 / 3, 2 }, none[2] = { 0, 7 };

static const op_case cases[] = {
    { .name = "a scalar",
      .in = { { .shape = { { 0 }, 0 } } },
      .ins = 1,
      .build = record,
      .oracle = oracle,
      .extra = half },
    { .name = "odd",
      .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = third },
    { .name = "factor 0",
      .in = { { .shape = { { 33 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .extra = none },
    { .name = "several tiles",
      .in = { { .shape = { { 3, 12345 }, 2 } } },
      .build = record,
      .oracle = oracle,
      .extra = third,
      .probes = 12 },
    { .name = "bytes",
      .in = { { .shape = { { 6 }, 1 }, .type = NN_U8 } },
      .build = record,
      .extra = half,
      .fails = NN_ESHAPE,
      .says = "U8" },
    { .name = "b6",
      .in = { { .shape = { { 8, 112, 112, 56 }, 4 } } },
      .build = record,
      .extra = half,
      .bench = 1 },
};

OP_TEST(scale, OP_CASES(cases));
