/* SPDX-License-Identifier: MIT
 *
 * linear: rows times a matrix, down to one row and one output.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_linear(g, in[0], in[1], in[2]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    int64_t rows = c->in[0].shape.dim[0], ci = c->in[0].shape.dim[1], co = c->in[1].shape.dim[0];

    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < co; o++) {
            double sum = in[2] ? in[2][o] : 0;

            for (int64_t i = 0; i < ci; i++)
                sum += in[0][r * ci + i] * in[1][o * ci + i];
            out[0][r * co + o] = sum;
        }
}

#define M(r, c)                                                                                              \
    {                                                                                                        \
        .shape = { { r, c }, 2 }                                                                             \
    }
#define P(r, c)                                                                                              \
    {                                                                                                        \
        .shape = { { r, c }, 2 }, .param = 1                                                                 \
    }
#define B(n)                                                                                                 \
    {                                                                                                        \
        .shape = { { n }, 1 }, .param = 1                                                                    \
    }
#define WITH .build = record, .oracle = oracle

static const op_case cases[] = {
    { .name = "one number", .in = { M(1, 1), P(1, 1), B(1) }, WITH },
    { .name = "two classes", .in = { M(8, 230), P(2, 230), B(2) }, WITH, .expect = { { { 8, 2 }, 2 } } },
    { .name = "no bias", .in = { M(7, 13), P(5, 13) }, WITH },
    { .name = "one row", .in = { M(1, 129), P(100, 129), B(100) }, WITH },
    { .name = "many rows", .in = { M(700, 3), P(4, 3), B(4) }, WITH },
    { .name = "thousands of rows", .in = { M(4500, 2), P(3, 2), B(3) }, WITH },
    { .name = "sizes disagree",
      .in = { M(2, 3), P(4, 5), B(4) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[2,3]" },
    { .name = "bias of another size",
      .in = { M(2, 3), P(4, 3), B(3) },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "bias" },
    { .name = "bench classifier", .in = { M(8, 2304), P(1000, 2304), B(1000) }, WITH, .bench = 1 },
    { .name = "bench classifier, batch 1", .in = { M(1, 2304), P(1000, 2304), B(1000) }, WITH, .bench = 1 },
};

OP_TEST(linear, OP_CASES(cases));
