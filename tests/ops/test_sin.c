/* SPDX-License-Identifier: MIT
 *
 * The sine, near 0 and where its argument has to be reduced.
 */
#include "cases.h"

UNARY(nn_sin(g, in[0]), sin(x))

static const op_case cases[] = {
    UNARY_CASES(-7, 7, NULL),
    { .name = "far away",
      .in = { { .shape = { { 40 }, 1 }, .low = -60000, .high = 60000 } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
};

OP_TEST(sin, OP_CASES(cases));
