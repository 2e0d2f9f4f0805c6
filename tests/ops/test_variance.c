/* SPDX-License-Identifier: MIT
 *
 * Variances over every choice of axes, biased and not; a large mean must not swallow a small variance.
 */
#include "cases.h"

#include <stdlib.h>

RECORD_AXES(nn_variance(g, in[0], n, o))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape, y = kept_shape(c);
    int64_t results = nn_shape_count(y), each = nn_shape_count(x) / results;
    double *mean = calloc((size_t)results, sizeof *mean);

    for (int64_t i = 0; i < results; i++)
        out[0][i] = 0;
    for (int64_t i = 0; i < nn_shape_count(x); i++)
        mean[source(x, y, i)] += in[0][i] / (double)each;
    for (int64_t i = 0; i < nn_shape_count(x); i++) {
        double d = in[0][i] - mean[source(x, y, i)];

        out[0][source(x, y, i)] += d * d / (double)(each - ((const struct axes_extra *)c->extra)->correction);
    }
    free(mean);
}

static const op_case cases[] = {
    AXES_CASES,
    { .name = "far from 0",
      .in = { { .shape = { { 500, 6 }, 2 }, .low = 1000, .high = 1001 } },
      .build = record,
      .oracle = oracle,
      .extra = &axes_first,
      .tolerance = 30,
      .no_backward = 1 },
    { .name = "of one element",
      .in = { { .shape = { { 3, 1 }, 2 } } },
      .build = record,
      .extra = &axes_last,
      .fails = NN_ESHAPE,
      .says = "a variance of 1 elements with correction 1" },
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "variance", OP_CASES(cases) });
}
