/* SPDX-License-Identifier: MIT
 *
 * GELU in both forms. Where x is far below zero the result keeps its digits: it is compared there by itself.
 */
#include "cases.h"

/* k[0]: the form with a tanh. */
UNARY(nn_gelu(g, in[0], k[0] != 0), k[0] != 0
                                        ? x / (1 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))
                                        : x * 0.5 * erfc(-x * 0.70710678118654752))

static const double exact[1] = { 0 }, approximate[1] = { 1 };

static const op_case cases[] = {
    UNARY_CASES(-6, 6, exact),
    { .name = "approximate",
      .in = { { .shape = { { 2, 29, 31, 23 }, 4 }, .low = -6, .high = 6 } },
      .build = record,
      .oracle = oracle,
      .extra = approximate,
      .probes = 12 },
    { .name = "far below zero",
      .in = { { .shape = { { 20 }, 1 }, .low = -6.5, .high = -5.5 } },
      .build = record,
      .oracle = oracle,
      .extra = exact },
    { .name = "approximate, b6",
      .in = { { .shape = { { 8, 112, 112, 56 }, 4 } } },
      .build = record,
      .extra = approximate,
      .bench = 1 },
};

OP_TEST(gelu, OP_CASES(cases));
