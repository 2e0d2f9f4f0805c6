/* SPDX-License-Identifier: MIT
 *
 * The rectifier; the harness leaves out elements beside the kink at 0.
 */
#include "cases.h"

UNARY(nn_relu(g, in[0]), fmax(x, 0))
FUSED_ACTIVATION(nn_relu, 3)

static const op_case cases[] = {
    UNARY_CASES(-2, 3, NULL),
};

OP_TEST(relu, OP_CASES(cases), OP_FUSED(fused));
