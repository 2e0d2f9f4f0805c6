/* SPDX-License-Identifier: MIT
 *
 * The smallest over every choice of axes.
 */
#include "cases.h"

RECORD_AXES(nn_min(g, in[0], o))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    FOLD(INFINITY, fmin(*y, x));
}

static const op_case cases[] = {
    AXES_CASES,
};

OP_TEST(min, OP_CASES(cases));
