/* SPDX-License-Identifier: MIT
 *
 * log_softmax over the last dimension, also where exp of the input would overflow or vanish.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_log_softmax(g, in[0]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape shape = c->in[0].shape;
    int64_t n = shape.dim[shape.rank - 1], rows = nn_shape_count(shape) / n;

    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n;
        double most = x[0], sum = 0;

        for (int64_t e = 0; e < n; e++)
            most = fmax(most, x[e]);
        for (int64_t e = 0; e < n; e++)
            sum += exp(x[e] - most);
        for (int64_t e = 0; e < n; e++)
            out[0][r * n + e] = x[e] - most - log(sum);
    }
}

static const double far[8] = { 1000, 1001, 999, 1002, -5000, -5001, -4999, -5000.5 };
static const double lost[6] = { 1, NAN, 2, 1, 2, 3 };
static const double masked[6] = { 1, -INFINITY, 2, 1, 2, 3 };

static const op_case cases[] = {
    { .name = "two classes",
      .in = { { .shape = { { 5, 2 }, 2 }, .low = -4, .high = 4 } },
      .build = record,
      .oracle = oracle },
    { .name = "one class", .in = { { .shape = { { 5, 1 }, 2 } } }, .build = record, .oracle = oracle },
    { .name = "a row", .in = { { .shape = { { 7 }, 1 }, .param = 1 } }, .build = record, .oracle = oracle },
    { .name = "several tiles",
      .in = { { .shape = { { 9, 1000 }, 2 }, .low = -9, .high = 9 } },
      .build = record,
      .oracle = oracle },
    { .name = "four dimensions",
      .in = { { .shape = { { 2, 3, 4, 5 }, 4 } } },
      .build = record,
      .oracle = oracle },
    { .name = "large and small logits",
      .in = { { .shape = { { 2, 4 }, 2 }, .values = far } },
      .build = record,
      .oracle = oracle },
    { .name = "NaN stays in its row",
      .in = { { .shape = { { 2, 3 }, 2 }, .values = lost } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
    { .name = "minus infinity",
      .in = { { .shape = { { 2, 3 }, 2 }, .values = masked } },
      .build = record,
      .oracle = oracle,
      .no_backward = 1 },
    { .name = "a scalar",
      .in = { { .shape = { { 0 }, 0 } } },
      .ins = 1,
      .build = record,
      .fails = NN_ESHAPE,
      .says = "last dimension" },
    { .name = "bench 1000 classes",
      .in = { { .shape = { { 256, 1000 }, 2 }, .low = -9, .high = 9 } },
      .build = record,
      .bench = 1 },
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "log_softmax", OP_CASES(cases) });
}
