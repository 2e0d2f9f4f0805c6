/* SPDX-License-Identifier: MIT
 *
 * Sums over every choice of axes, of few elements and of many more than one tile; where large numbers cancel
 * only sums in double come out right.
 */
#include "cases.h"

RECORD_AXES(nn_sum(g, in[0], o))

static void oracle(const op_case *c, const double *const *in, double *const *out) { FOLD(0, *y + x); }

static const op_case cases[] = {
    SUM_CASES,
};

OP_TEST(sum, OP_CASES(cases));
