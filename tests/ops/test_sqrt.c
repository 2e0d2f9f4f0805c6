/* SPDX-License-Identifier: MIT
 *
 * The square root.
 */
#include "cases.h"

UNARY(nn_sqrt(g, in[0]), sqrt(x))

static const double ends[4] = { 0, INFINITY, -1, NAN };

static const op_case cases[] = {
    UNARY_CASES(0.05, 20, NULL),
    { .name = "the ends",
      .in = { { .shape = { { 4 }, 1 }, .values = ends } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
};

OP_TEST(sqrt, OP_CASES(cases));
