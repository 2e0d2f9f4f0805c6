/* SPDX-License-Identifier: MIT
 *
 * The logistic function in three straight pieces.
 */
#include "cases.h"

UNARY(nn_hardsigmoid(g, in[0]), fmin(fmax(x + 3, 0), 6) / 6)

static const op_case cases[] = {
    UNARY_CASES(-5, 5, NULL),
};

OP_TEST(hardsigmoid, OP_CASES(cases));
