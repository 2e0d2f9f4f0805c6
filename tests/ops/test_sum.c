/* SPDX-License-Identifier: MIT
 *
 * The sum of all elements, of few and of many more than one tile; where large numbers cancel only
 * sums in double come out right.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_sum(g, in[0]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    long double sum = 0;

    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        sum += (long double)in[0][i];
    out[0][0] = (double)sum;
}

static const double cancelling[6] = { 16777216, 3, -16777216, 5, 1048576, -1048576 };

static const op_case cases[] = {
    { .name = "one element", .in = { { .shape = { { 1 }, 1 } } }, .build = record, .oracle = oracle },
    { .name = "a scalar", .in = { { .shape = { { 0 }, 0 } } }, .ins = 1, .build = record, .oracle = oracle },
    { .name = "a few",
      .in = { { .shape = { { 2, 3, 4, 5 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "cancelling",
      .in = { { .shape = { { 6 }, 1 }, .values = cancelling } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
    { .name = "several tiles",
      .in = { { .shape = { { 7, 9001 }, 2 }, .low = 1, .high = 2 } },
      .build = record,
      .oracle = oracle,
      .probes = 10 },
    { .name = "bytes",
      .in = { { .shape = { { 6 }, 1 }, .type = NN_U8 } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "U8" },
    { .name = "bench", .in = { { .shape = { { 8, 112, 112, 32 }, 4 } } }, .build = record, .bench = 1 },
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "sum", OP_CASES(cases) });
}
