/* SPDX-License-Identifier: MIT
 *
 * matmul: each combination of transposes, batches, one matrix for a whole batch, and sizes beside those
 * of the kernels' blocks.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_matmul(g, in[0], in[1], *(const nn_matmul_opts *)c->extra);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const nn_matmul_opts *o = c->extra;
    nn_shape a = c->in[0].shape, b = c->in[1].shape;
    int64_t rows = a.dim[a.rank - 2], cols = a.dim[a.rank - 1],
            other = b.dim[b.rank - (o->transpose_b ? 2 : 1)];
    int64_t m = o->transpose_a ? cols : rows, inner = o->transpose_a ? rows : cols;

    for (int64_t e = 0; e < nn_shape_count(a) / inner * other; e++) {
        int64_t j = e % other, i = e / other % m, t = e / other / m;
        const double *x = in[0] + t * rows * cols, *y = in[1] + (b.rank > 2 ? t * inner * other : 0);

        out[0][e] = 0;
        for (int64_t k = 0; k < inner; k++)
            out[0][e] += x[o->transpose_a ? k * cols + i : i * cols + k] *
                         y[o->transpose_b ? j * inner + k : k * other + j];
    }
}

#define CASE(what, ta, tb, ...)                                                                              \
    {                                                                                                        \
        .name = what, .in = __VA_ARGS__, .build = record, .oracle = oracle, .extra = &(const nn_matmul_opts) \
        {                                                                                                    \
            ta, tb                                                                                           \
        }                                                                                                    \
    }
#define T(...)                                                                                               \
    {                                                                                                        \
        .shape = __VA_ARGS__, .param = 1                                                                     \
    }

static const op_case cases[] = {
    CASE("plain", 0, 0, { T({ { 3, 5 }, 2 }), T({ { 5, 4 }, 2 }) }),
    CASE("a transposed", 1, 0, { T({ { 5, 3 }, 2 }), T({ { 5, 4 }, 2 }) }),
    CASE("b transposed", 0, 1, { T({ { 3, 5 }, 2 }), T({ { 4, 5 }, 2 }) }),
    CASE("both transposed", 1, 1, { T({ { 5, 3 }, 2 }), T({ { 4, 5 }, 2 }) }),
    CASE("batch", 0, 0, { T({ { 2, 3, 4, 6 }, 4 }), T({ { 2, 3, 6, 5 }, 4 }) }),
    CASE("batch, a transposed", 1, 0, { T({ { 3, 6, 4 }, 3 }), T({ { 3, 6, 5 }, 3 }) }),
    CASE("batch, b transposed", 0, 1, { T({ { 3, 4, 6 }, 3 }), T({ { 3, 5, 6 }, 3 }) }),
    CASE("one b for all", 0, 0, { T({ { 3, 4, 6 }, 3 }), T({ { 6, 5 }, 2 }) }),
    CASE("one transposed b for all", 0, 1, { T({ { 2, 2, 4, 6 }, 4 }), T({ { 5, 6 }, 2 }) }),
    CASE("a row and a column", 0, 0, { T({ { 1, 9 }, 2 }), T({ { 9, 1 }, 2 }) }),
    CASE("a column, transposed", 1, 0, { T({ { 9, 1 }, 2 }), T({ { 9, 3 }, 2 }) }),
    CASE("a column, both transposed", 1, 1, { T({ { 2, 9, 1 }, 3 }), T({ { 2, 5, 9 }, 3 }) }),
    CASE("outer product", 0, 0, { T({ { 7, 1 }, 2 }), T({ { 1, 6 }, 2 }) }),
    CASE("outer product, transposed", 1, 1, { T({ { 3, 1, 7 }, 3 }), T({ { 3, 6, 1 }, 3 }) }),
    CASE("onto one column", 0, 1, { T({ { 5, 8 }, 2 }), T({ { 1, 8 }, 2 }) }),
    CASE("many columns", 1, 0, { T({ { 40, 9, 1 }, 3 }), T({ { 40, 9, 6 }, 3 }) }),
    CASE("blocks", 0, 0, { T({ { 70, 53 }, 2 }), T({ { 53, 61 }, 2 }) }),
    CASE("blocks, transposed", 1, 1, { T({ { 53, 70 }, 2 }), T({ { 61, 53 }, 2 }) }),
    CASE("many", 0, 0, { T({ { 34, 11, 9 }, 3 }), T({ { 34, 9, 50 }, 3 }) }),
    CASE("many, a transposed", 1, 0, { T({ { 33, 9, 21 }, 3 }), T({ { 33, 9, 5 }, 3 }) }),
    CASE("many, both transposed", 1, 1, { T({ { 4, 8, 9, 11 }, 4 }), T({ { 4, 8, 13, 9 }, 4 }) }),
    { .name = "inner sizes differ",
      .in = { T({ { 3, 5 }, 2 }), T({ { 4, 5 }, 2 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 0 },
      .fails = NN_ESHAPE,
      .says = "[4,5]" },
    { .name = "batches differ",
      .in = { T({ { 2, 3, 5 }, 3 }), T({ { 3, 5, 4 }, 3 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 0 },
      .fails = NN_ESHAPE,
      .says = "leading" },
    { .name = "a vector",
      .in = { T({ { 5 }, 1 }), T({ { 5, 4 }, 2 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 0 },
      .fails = NN_ESHAPE,
      .says = "[5]" },
    { .name = "bench queries, keys",
      .in = { T({ { 8, 12, 197, 64 }, 4 }), T({ { 8, 12, 197, 64 }, 4 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 1 },
      .bench = 1 },
    { .name = "bench weights, values",
      .in = { T({ { 8, 12, 197, 197 }, 4 }), T({ { 8, 12, 197, 64 }, 4 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 0 },
      .bench = 1 },
    { .name = "bench windows",
      .in = { T({ { 8, 12, 96, 64 }, 4 }), T({ { 8, 12, 64, 96 }, 4 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 0 },
      .bench = 1 },
    { .name = "bench 1024",
      .in = { T({ { 1024, 1024 }, 2 }), T({ { 1024, 1024 }, 2 }) },
      .build = record,
      .extra = &(const nn_matmul_opts){ 0, 0 },
      .bench = 1 },
};

OP_TEST(matmul, OP_CASES(cases));
