/* SPDX-License-Identifier: MIT
 *
 * The natural logarithm, to both sides of 1 and at the ends of its range.
 */
#include "cases.h"

UNARY(nn_log(g, in[0]), log(x))

static const double ends[4] = { 0, INFINITY, -1, NAN };

static const op_case cases[] = {
    UNARY_CASES(0.05, 20, NULL),
    { .name = "the ends",
      .in = { { .shape = { { 4 }, 1 }, .values = ends } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
};

OP_TEST(log, OP_CASES(cases));
