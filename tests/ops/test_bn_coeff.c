/* SPDX-License-Identifier: MIT
 *
 * gamma/sqrt(variance + eps), with and without gamma, down to a variance far below eps.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_bn_coeff(g, in[0], in[1], *(const double *)c->extra);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = (in[1] ? in[1][i] : 1) / sqrt(in[0][i] + *(const double *)c->extra);
}

static const double small = 1e-5, large = 1e-3;
static const double tiny[4] = { 1e-3, 1e-2, 4, 100 };

static const op_case cases[] = {
    { .name = "with gamma",
      .in = { { .shape = { { 37 }, 1 }, .low = 0.1, .high = 2 }, { .shape = { { 37 }, 1 }, .param = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = &large },
    { .name = "without gamma",
      .in = { { .shape = { { 5 }, 1 }, .low = 0.1, .high = 2, .param = 1 }, { .absent = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = &small },
    { .name = "small variance",
      .in = { { .shape = { { 4 }, 1 }, .values = tiny }, { .shape = { { 4 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .extra = &large,
      .tolerance = 4 },
    { .name = "other length",
      .in = { { .shape = { { 4 }, 1 } }, { .shape = { { 5 }, 1 } } },
      .build = record,
      .extra = &small,
      .fails = NN_ESHAPE,
      .says = "input 1 [5]" },
    { .name = "b6",
      .in = { { .shape = { { 3456 }, 1 }, .low = 0.1, .high = 2 }, { .shape = { { 3456 }, 1 } } },
      .build = record,
      .extra = &large,
      .bench = 1 },
};

OP_TEST(bn_coeff, OP_CASES(cases));
