/* SPDX-License-Identifier: MIT
 *
 * The sum of all elements, of few and of many more than one tile; where large numbers cancel only
 * sums in double come out right.
 */
#include "cases.h"

RECORD(nn_sum(g, in[0]))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    out[0][0] = total(c, in);
}

static const op_case cases[] = {
    TOTAL_CASES,
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "sum", OP_CASES(cases) });
}
