/* SPDX-License-Identifier: MIT
 *
 * The leaky rectifier with two slopes.
 */
#include "cases.h"

UNARY(nn_leaky_relu(g, in[0], k[0]), x > 0 ? x : k[0] * x)

static const double small[1] = { 0.01 }, large[1] = { 0.3 };

static const op_case cases[] = {
    UNARY_CASES(-3, 2, small),
    { .name = "large slope",
      .in = { { .shape = { { 70 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .extra = large },
};

OP_TEST(leaky_relu, OP_CASES(cases));
