/* SPDX-License-Identifier: MIT
 *
 * The squared error.
 */
#include "cases.h"

LOSS(nn_mse(g, in[0], in[1], r), (x - t) * (x - t), 0)

static const op_case cases[] = {
    LOSS_CASES(-4, 4),
};

OP_TEST(mse, OP_CASES(cases));
