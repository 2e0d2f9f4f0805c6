/* SPDX-License-Identifier: MIT
 *
 * Mish, on both sides of its minimum.
 */
#include "cases.h"

UNARY(nn_mish(g, in[0]), x *tanh(log1p(exp(x))))

static const op_case cases[] = {
    UNARY_CASES(-6, 6, NULL),
    { .name = "straight",
      .in = { { .shape = { { 40 }, 1 }, .low = 10, .high = 90 } },
      .build = record,
      .oracle = oracle },
};

OP_TEST(mish, OP_CASES(cases));
