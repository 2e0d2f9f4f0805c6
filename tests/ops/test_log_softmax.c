/* SPDX-License-Identifier: MIT
 *
 * log_softmax over the last dimension, also where exp of the input would overflow or vanish.
 */
#include "cases.h"

RECORD(nn_log_softmax(g, in[0]))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    rows_log_softmax(c, in[0], out[0]);
}

static const op_case cases[] = {
    ROW_CASES,
    { .name = "bench attention",
      .in = { { .shape = { { 8, 12, 197, 197 }, 4 } } },
      .build = record,
      .bench = 1 },
};

OP_TEST(log_softmax, OP_CASES(cases));
