/* SPDX-License-Identifier: MIT
 *
 * The mean of all elements, of few and of many more than one tile; where large numbers cancel only
 * sums in double come out right.
 */
#include "cases.h"

RECORD(nn_mean(g, in[0]))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    out[0][0] = total(c, in) / (double)nn_shape_count(c->in[0].shape);
}

static const op_case cases[] = {
    TOTAL_CASES,
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "mean", OP_CASES(cases) });
}
