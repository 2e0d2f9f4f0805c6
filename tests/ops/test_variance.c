/* SPDX-License-Identifier: MIT
 *
 * Variances over every choice of axes, biased and not; a large mean must not swallow a small variance.
 */
#include "cases.h"

#include <stdlib.h>

RECORD_AXES(nn_variance(g, in[0], n, o))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    double count = each(c), divisor = count - (double)((const struct axes_extra *)c->extra)->correction;
    nn_shape shape = c->in[0].shape, kept = kept_shape(c);
    double *mean = calloc((size_t)nn_shape_count(kept), sizeof *mean);

    for (int64_t i = 0; i < nn_shape_count(shape); i++)
        mean[source(shape, kept, i)] += in[0][i] / count;
    FOLD(0, *y + pow(x - mean[source(shape, kept, i)], 2) / divisor);
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

OP_TEST(variance, OP_CASES(cases));
