/* SPDX-License-Identifier: MIT
 *
 * The logistic function over the range in which float can tell it from 0 and 1.
 */
#include "cases.h"

UNARY(nn_sigmoid(g, in[0]), 1 / (1 + exp(-x)))
FUSED_ACTIVATION(nn_sigmoid, 3)

static const op_case cases[] = {
    UNARY_CASES(-20, 15, NULL),
};

OP_TEST(sigmoid, OP_CASES(cases), OP_FUSED(fused));
