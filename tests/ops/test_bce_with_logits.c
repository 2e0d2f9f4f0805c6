/* SPDX-License-Identifier: MIT
 *
 * Binary cross entropy, with weights for positive targets and logits whose exp would overflow.
 */
#include "cases.h"

static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

LOSS(nn_bce_with_logits(g, in[0], in[1], in[2], r), w *t *softplus(-x) + (1 - t) * softplus(x), 0)

static const double far[4] = { 200, -200, 150, -90 };

static const op_case cases[] = {
    LOSS_CASES(0.05, 0.95),
    { .name = "a weight for each class",
      .in = { { .shape = { { 9, 5 }, 2 }, .low = -4, .high = 4, .param = 1 },
              { .shape = { { 9, 5 }, 2 }, .low = 0.05, .high = 0.95 },
              { .shape = { { 5 }, 1 }, .low = 0.5, .high = 4, .no_grad = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = &loss_mean },
    { .name = "one weight, not reduced",
      .in = { { .shape = { { 3, 700 }, 2 } },
              { .shape = { { 3, 700 }, 2 }, .low = 0.05, .high = 0.95 },
              { .shape = { { 1 }, 1 }, .low = 2, .high = 3, .no_grad = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = &loss_none },
    { .name = "far logits",
      .in = { { .shape = { { 4 }, 1 }, .values = far },
              { .shape = { { 4 }, 1 }, .low = 0.05, .high = 0.95 } },
      .build = record,
      .oracle = oracle,
      .extra = &loss_none },
    { .name = "weights of another shape",
      .in = { { .shape = { { 2, 3 }, 2 } }, { .shape = { { 2, 3 }, 2 } }, { .shape = { { 2 }, 1 } } },
      .build = record,
      .extra = &loss_mean,
      .fails = NN_ESHAPE,
      .says = "weight [2] does not broadcast to [2,3]" },
};

OP_TEST(bce_with_logits, OP_CASES(cases));
