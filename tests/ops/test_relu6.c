/* SPDX-License-Identifier: MIT
 *
 * The capped rectifier; the range reaches beyond both kinks.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_relu6(g, in[0]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = fmin(fmax(in[0][i], 0), 6);
}

/* After a batch norm the op moves into the affine. */
static nn_tensor *record_affine(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_relu6(g, nn_affine(g, in[0], in[1], in[2], in[3]));
}

static const op_case cases[] = {
    { .name = "a scalar",
      .in = { { .shape = { { 0 }, 0 }, .low = -4, .high = 10 } },
      .ins = 1,
      .build = record,
      .oracle = oracle },
    { .name = "three",
      .in = { { .shape = { { 3 }, 1 }, .low = -4, .high = 10 } },
      .build = record,
      .oracle = oracle },
    { .name = "odd",
      .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .low = -4, .high = 10, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "rank 2",
      .in = { { .shape = { { 4, 64 }, 2 }, .low = -4, .high = 10 } },
      .build = record,
      .oracle = oracle },
    { .name = "several tiles",
      .in = { { .shape = { { 2, 29, 31, 23 }, 4 }, .low = -4, .high = 10 } },
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
              { .shape = { { 19 }, 1 }, .low = -9, .high = 9 },
              { .shape = { { 19 }, 1 } } },
      .build = record_affine },
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "relu6", OP_CASES(cases), OP_FUSED(fused) });
}
