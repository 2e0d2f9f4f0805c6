/* SPDX-License-Identifier: MIT
 *
 * Quotients: every way in which two shapes can broadcast. Divisors stay away from 0.
 */
#include "cases.h"

BINARY(nn_div(g, in[0], in[1]), a / b)

static const op_case cases[] = {
    BROADCAST_CASES(0.5, 2),
};

OP_TEST(div, OP_CASES(cases));
