/* SPDX-License-Identifier: MIT
 *
 * The hyperbolic tangent, near 0 and where it is almost 1.
 */
#include "cases.h"

UNARY(nn_tanh(g, in[0]), tanh(x))

static const double ends[6] = { INFINITY, -INFINITY, NAN, 0, 1e-20, -100 };

static const op_case cases[] = {
    UNARY_CASES(-4, 4, NULL),
    { .name = "the ends",
      .in = { { .shape = { { 6 }, 1 }, .values = ends } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
};

OP_TEST(tanh, OP_CASES(cases));
