/* SPDX-License-Identifier: MIT
 *
 * The absolute error; the harness leaves out elements beside the kink.
 */
#include "cases.h"

LOSS(nn_l1(g, in[0], in[1], r), fabs(x - t), 0)

static const op_case cases[] = {
    LOSS_CASES(-4, 4),
};

OP_TEST(l1, OP_CASES(cases));
