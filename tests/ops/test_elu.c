/* SPDX-License-Identifier: MIT
 *
 * ELU with two alphas, the second of which makes a corner at 0.
 */
#include "cases.h"

UNARY(nn_elu(g, in[0], k[0]), x > 0 ? x : k[0] * expm1(x))

static const double one[1] = { 1 }, large[1] = { 2.5 }, none[1] = { INFINITY };

static const op_case cases[] = {
    UNARY_CASES(-6, 2, one),
    { .name = "large alpha",
      .in = { { .shape = { { 70 }, 1 }, .low = -3, .high = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = large },
    { .name = "near 0",
      .in = { { .shape = { { 70 }, 1 }, .low = -1e-3, .high = -1e-5 } },
      .build = record,
      .oracle = oracle,
      .extra = one },
    { .name = "infinite alpha",
      .in = { { .shape = { { 3 }, 1 } } },
      .build = record,
      .extra = none,
      .fails = NN_ESHAPE,
      .says = "alpha" },
};

OP_TEST(elu, OP_CASES(cases));
