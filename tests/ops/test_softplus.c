/* SPDX-License-Identifier: MIT
 *
 * Softplus, which is its argument where exp would say nothing more.
 */
#include "cases.h"

UNARY(nn_softplus(g, in[0]), x > 20 ? x : log1p(exp(x)))

static const op_case cases[] = {
    UNARY_CASES(-6, 6, NULL),
    { .name = "straight",
      .in = { { .shape = { { 40 }, 1 }, .low = 21, .high = 90 } },
      .build = record,
      .oracle = oracle },
};

OP_TEST(softplus, OP_CASES(cases));
