/* SPDX-License-Identifier: MIT
 *
 * Hard swish; the range reaches beyond both corners.
 */
#include "cases.h"

UNARY(nn_hardswish(g, in[0]), x *fmin(fmax(x + 3, 0), 6) / 6)

static const op_case cases[] = {
    UNARY_CASES(-7, 6, NULL),
};

OP_TEST(hardswish, OP_CASES(cases));
