/* SPDX-License-Identifier: MIT
 *
 * exp over a range in which errors of the large results do not hide those of the small ones.
 */
#include "cases.h"

UNARY(nn_exp(g, in[0]), exp(x))

static const op_case cases[] = {
    UNARY_CASES(-3, 3, NULL),
};

OP_TEST(exp, OP_CASES(cases));
