/* SPDX-License-Identifier: MIT
 *
 * SiLU from far below zero, where it vanishes, to far above, where it is the identity.
 */
#include "cases.h"

UNARY(nn_silu(g, in[0]), x / (1 + exp(-x)))
FUSED_ACTIVATION(nn_silu, 3)

static const op_case cases[] = {
    UNARY_CASES(-20, 20, NULL),
};

OP_TEST(silu, OP_CASES(cases), OP_FUSED(fused));
