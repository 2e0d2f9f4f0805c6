/* SPDX-License-Identifier: MIT
 *
 * The absolute value: its derivative changes sign at 0, and is 0 there.
 */
#include "cases.h"

UNARY(nn_abs(g, in[0]), fabs(x))

static const op_case cases[] = {
    UNARY_CASES(-3, 3, NULL),
};

OP_TEST(abs, OP_CASES(cases));
