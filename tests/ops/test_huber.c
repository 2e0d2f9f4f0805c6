/* SPDX-License-Identifier: MIT
 *
 * The Huber loss, with elements in all its parts.
 */
#include "cases.h"

LOSS(nn_huber(g, in[0], in[1], k, r), fabs(x - t) < k ? (x - t) * (x - t) / 2 : k * (fabs(x - t) - k / 2),
     1.5)

static const op_case cases[] = {
    LOSS_CASES(-4, 4),
};

OP_TEST(huber, OP_CASES(cases));
