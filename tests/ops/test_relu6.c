/* SPDX-License-Identifier: MIT
 *
 * The capped rectifier; the range reaches beyond both kinks.
 */
#include "cases.h"

UNARY(nn_relu6(g, in[0]), fmin(fmax(x, 0), 6))
FUSED_ACTIVATION(nn_relu6, 9)

static const op_case cases[] = {
    UNARY_CASES(-4, 10, NULL),
};

OP_TEST(relu6, OP_CASES(cases), OP_FUSED(fused));
