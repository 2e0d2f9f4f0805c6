/* SPDX-License-Identifier: MIT
 *
 * Means over every choice of axes, of few elements and of many more than one tile; where large numbers cancel
 * only sums in double come out right.
 */
#include "cases.h"

RECORD_AXES(nn_mean(g, in[0], o))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    FOLD(0, *y + x);
    for (int64_t i = 0; i < nn_shape_count(kept_shape(c)); i++)
        out[0][i] /= each(c);
}

static const op_case cases[] = {
    SUM_CASES,
};

OP_TEST(mean, OP_CASES(cases));
