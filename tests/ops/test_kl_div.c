/* SPDX-License-Identifier: MIT
 *
 * The divergence of probabilities, of which one may be 0.
 */
#include "cases.h"

LOSS(nn_kl_div(g, in[0], in[1], r), t > 0 ? t * (log(t) - x) : 0, 0)

static const double one_zero[4] = { 0.25, 0, 0.5, 0.25 };

static const op_case cases[] = {
    LOSS_CASES(0.05, 1),
    { .name = "a probability of 0",
      .in = { { .shape = { { 4 }, 1 }, .low = -4, .high = -1 },
              { .shape = { { 4 }, 1 }, .values = one_zero, .no_grad = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = &loss_sum },
};

OP_TEST(kl_div, OP_CASES(cases));
