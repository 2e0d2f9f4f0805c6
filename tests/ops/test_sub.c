/* SPDX-License-Identifier: MIT
 *
 * Differences: every way in which two shapes can broadcast, and a tensor less itself.
 */
#include "cases.h"

BINARY(nn_sub(g, in[0], in[1]), a - b)

static const op_case cases[] = {
    BROADCAST_CASES(0, 0),
};

OP_TEST(sub, OP_CASES(cases));
