/* SPDX-License-Identifier: MIT
 *
 * The smallest over every choice of axes.
 */
#include "cases.h"

RECORD_AXES(nn_min(g, in[0], o))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape y = kept_shape(c);

    for (int64_t i = 0; i < nn_shape_count(y); i++)
        out[0][i] = INFINITY;
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++) {
        double *to = &out[0][source(c->in[0].shape, y, i)];

        *to = fmin(*to, in[0][i]);
    }
}

static const op_case cases[] = {
    AXES_CASES,
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "min", OP_CASES(cases) });
}
