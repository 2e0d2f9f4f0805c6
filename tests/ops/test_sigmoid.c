/* SPDX-License-Identifier: MIT
 *
 * The logistic function over the range in which float can tell it from 0 and 1.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_sigmoid(g, in[0]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = 1 / (1 + exp(-in[0][i]));
}

/* After a batch norm the op moves into the affine. */
static nn_tensor *record_affine(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_sigmoid(g, nn_affine(g, in[0], in[1], in[2], in[3]));
}

static const op_case cases[] = {
    { .name = "a scalar",
      .in = { { .shape = { { 0 }, 0 }, .low = -20, .high = 15 } },
      .ins = 1,
      .build = record,
      .oracle = oracle },
    { .name = "three",
      .in = { { .shape = { { 3 }, 1 }, .low = -20, .high = 15 } },
      .build = record,
      .oracle = oracle },
    { .name = "odd",
      .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .low = -20, .high = 15, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "rank 2",
      .in = { { .shape = { { 4, 64 }, 2 }, .low = -20, .high = 15 } },
      .build = record,
      .oracle = oracle },
    { .name = "several tiles",
      .in = { { .shape = { { 2, 29, 31, 23 }, 4 }, .low = -20, .high = 15 } },
      .build = record,
      .oracle = oracle,
      .probes = 12 },
    { .name = "bytes",
      .in = { { .shape = { { 6 }, 1 }, .type = NN_U8 } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "U8" },
    { .name = "b6", .in = { { .shape = { { 8, 112, 112, 56 }, 4 } } }, .build = record, .bench = 1 },
};

static const op_case fused[] = {
    { .name = "after an affine",
      .in = { { .shape = { { 2, 5, 5, 19 }, 4 } },
              { .shape = { { 19 }, 1 } },
              { .shape = { { 19 }, 1 }, .low = -3, .high = 3 },
              { .shape = { { 19 }, 1 } } },
      .build = record_affine },
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "sigmoid", OP_CASES(cases), OP_FUSED(fused) });
}
