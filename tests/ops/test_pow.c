/* SPDX-License-Identifier: MIT
 *
 * Powers: the exponents that have code of their own, others, and negative numbers to a whole exponent.
 */
#include "cases.h"

UNARY(nn_pow(g, in[0], k[0]), pow(x, k[0]))

static const double exponent[] = { 2.5, 0, 1, 2, 3, -1, 0.5, 4, -2, NAN };
static const double corners[4] = { 0, -2, 1, INFINITY };

#define BOTH_SIGNS(e)                                                                                        \
    {                                                                                                        \
        .name = #e, .in = { { .shape = { { 70 }, 1 }, .low = -2, .high = 3 } }, .build = record,             \
        .oracle = oracle, .extra = &exponent[e]                                                              \
    }

static const op_case cases[] = {
    UNARY_CASES(0.1, 4, exponent),
    BOTH_SIGNS(1),
    BOTH_SIGNS(2),
    BOTH_SIGNS(3),
    BOTH_SIGNS(4),
    BOTH_SIGNS(7),
    { .name = "inverse",
      .in = { { .shape = { { 70 }, 1 }, .low = -2, .high = -0.3 } },
      .build = record,
      .oracle = oracle,
      .extra = &exponent[5] },
    { .name = "inverse of a square",
      .in = { { .shape = { { 70 }, 1 }, .low = 0.3, .high = 2 } },
      .build = record,
      .oracle = oracle,
      .extra = &exponent[8] },
    { .name = "root",
      .in = { { .shape = { { 70 }, 1 }, .low = 0.3, .high = 2 } },
      .build = record,
      .oracle = oracle,
      .extra = &exponent[6] },
    { .name = "corners",
      .in = { { .shape = { { 4 }, 1 }, .values = corners } },
      .build = record,
      .oracle = oracle,
      .extra = exponent,
      .no_backward = 1 },
    { .name = "no exponent",
      .in = { { .shape = { { 3 }, 1 } } },
      .build = record,
      .extra = &exponent[9],
      .fails = NN_ESHAPE,
      .says = "exponent" },
};

OP_TEST(pow, OP_CASES(cases));
