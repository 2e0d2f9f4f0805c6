/* SPDX-License-Identifier: MIT
 *
 * softmax over the last dimension, also where exp of the input would overflow or vanish.
 */
#include "cases.h"

RECORD(nn_softmax(g, in[0]))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    rows_log_softmax(c, in[0], out[0]);
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = exp(out[0][i]);
}

static const op_case cases[] = {
    ROW_CASES,
    { .name = "bench attention",
      .in = { { .shape = { { 8, 12, 197, 197 }, 4 } } },
      .build = record,
      .bench = 1 },
};

OP_TEST(softmax, OP_CASES(cases));
