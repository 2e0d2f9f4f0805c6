/* SPDX-License-Identifier: MIT
 *
 * Limits on both sides, on one, and on none.
 */
#include "cases.h"

UNARY(nn_clamp(g, in[0], k[0], k[1]), fmin(fmax(x, k[0]), k[1]))

static const double both[2] = { -0.5, 0.75 }, above[2] = { -INFINITY, 0.5 }, below[2] = { -0.25, INFINITY };

static const op_case cases[] = {
    UNARY_CASES(-1, 1.5, both),
    { .name = "above only",
      .in = { { .shape = { { 70 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .extra = above },
    { .name = "below only",
      .in = { { .shape = { { 70 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .extra = below },
};

OP_TEST(clamp, OP_CASES(cases));
