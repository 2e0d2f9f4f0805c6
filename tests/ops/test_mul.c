/* SPDX-License-Identifier: MIT
 *
 * Products: every way in which two shapes can broadcast, of both operands, for one tile and for
 * several, and the square of a tensor.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_mul(g, in[0], in[1]);
}

/* The shape of the result. */
static nn_shape shape_of(const op_case *c)
{
    nn_shape a = c->in[0].shape, b = c->in[1].shape, y = { { 0 }, a.rank > b.rank ? a.rank : b.rank };

    for (int i = 1; i <= y.rank; i++) {
        int64_t p = i <= a.rank ? a.dim[a.rank - i] : 1, q = i <= b.rank ? b.dim[b.rank - i] : 1;

        y.dim[y.rank - i] = p > q ? p : q;
    }
    return y;
}

/* Where element `i` of the result finds its value in an operand. */
static int64_t source(nn_shape y, nn_shape operand, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int k = 1; k <= y.rank; k++) {
        int64_t index = i % y.dim[y.rank - k];

        i /= y.dim[y.rank - k];
        if (k > operand.rank)
            continue;
        at += operand.dim[operand.rank - k] == 1 ? 0 : index * step;
        step *= operand.dim[operand.rank - k];
    }
    return at;
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape y = shape_of(c);

    for (int64_t i = 0; i < nn_shape_count(y); i++)
        out[0][i] = in[0][source(y, c->in[0].shape, i)] * in[1][source(y, c->in[1].shape, i)];
}

static nn_tensor *record_square(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_mul(g, in[0], in[0]);
}

static void square(const op_case *c, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = in[0][i] * in[0][i];
}

static const op_case cases[] = {
    { .name = "scalars",
      .in = { { .shape = { { 0 }, 0 } }, { .shape = { { 0 }, 0 } } },
      .build = record,
      .oracle = oracle,
      .ins = 2 },
    { .name = "equal",
      .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 },
              { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "equal, several tiles",
      .in = { { .shape = { { 3, 13, 11, 93 }, 4 } }, { .shape = { { 3, 13, 11, 93 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .probes = 10 },
    { .name = "channels",
      .in = { { .shape = { { 2, 3, 3, 19 }, 4 }, .param = 1 }, { .shape = { { 19 }, 1 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "channels first",
      .in = { { .shape = { { 33 }, 1 } }, { .shape = { { 2, 7, 33 }, 3 } } },
      .build = record,
      .oracle = oracle },
    { .name = "channels, many rows",
      .in = { { .shape = { { 3, 23, 17, 31 }, 4 } }, { .shape = { { 31 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .probes = 10 },
    { .name = "gate",
      .in = { { .shape = { { 3, 5, 4, 37 }, 4 }, .param = 1 },
              { .shape = { { 3, 1, 1, 37 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "gate, many rows",
      .in = { { .shape = { { 2, 29, 23, 17 }, 4 } }, { .shape = { { 2, 1, 1, 17 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .probes = 10 },
    { .name = "gate first",
      .in = { { .shape = { { 3, 1, 1, 6 }, 4 } }, { .shape = { { 3, 5, 4, 6 }, 4 } } },
      .build = record,
      .oracle = oracle },
    { .name = "mask",
      .in = { { .shape = { { 4, 5, 3, 7 }, 4 }, .param = 1 },
              { .shape = { { 4, 1, 1, 1 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "mask, long rows",
      .in = { { .shape = { { 2, 41, 29, 31 }, 4 } }, { .shape = { { 2, 1, 1, 1 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .probes = 10 },
    { .name = "mask first",
      .in = { { .shape = { { 4, 1, 1, 1 }, 4 } }, { .shape = { { 4, 5, 3, 7 }, 4 } } },
      .build = record,
      .oracle = oracle },
    { .name = "scalar",
      .in = { { .shape = { { 3, 4, 5 }, 3 } }, { .shape = { { 0 }, 0 } } },
      .build = record,
      .oracle = oracle,
      .ins = 2 },
    { .name = "scalar, much",
      .in = { { .shape = { { 0 }, 0 } }, { .shape = { { 3, 77, 331 }, 3 } } },
      .build = record,
      .oracle = oracle,
      .ins = 2,
      .probes = 10 },
    { .name = "outer",
      .in = { { .shape = { { 9, 1 }, 2 }, .param = 1 }, { .shape = { { 1, 35 }, 2 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "outer, large",
      .in = { { .shape = { { 300, 1 }, 2 } }, { .shape = { { 301 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .probes = 10 },
    { .name = "interleaved",
      .in = { { .shape = { { 3, 1, 4, 1, 5 }, 5 } }, { .shape = { { 2, 1, 6, 1 }, 4 } } },
      .build = record,
      .oracle = oracle },
    { .name = "interleaved, last dimension repeated",
      .in = { { .shape = { { 5, 3, 1, 4, 1 }, 5 } }, { .shape = { { 3, 7, 1, 6 }, 4 } } },
      .build = record,
      .oracle = oracle },
    { .name = "rank 8",
      .in = { { .shape = { { 2, 1, 3, 1, 2, 1, 3, 1 }, 8 } },
              { .shape = { { 1, 2, 1, 3, 1, 2, 1, 2 }, 8 } } },
      .build = record,
      .oracle = oracle },
    { .name = "rows of one",
      .in = { { .shape = { { 500, 3 }, 2 } }, { .shape = { { 500, 1 }, 2 } } },
      .build = record,
      .oracle = oracle },
    { .name = "do not fit",
      .in = { { .shape = { { 2, 3 }, 2 } }, { .shape = { { 3, 2 }, 2 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[2,3] and [3,2] do not broadcast" },
    { .name = "bytes",
      .in = { { .shape = { { 3 }, 1 } }, { .shape = { { 3 }, 1 }, .type = NN_U8 } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "U8" },
    { .name = "square",
      .in = { { .shape = { { 7, 11 }, 2 }, .param = 1 } },
      .build = record_square,
      .oracle = square },
    { .name = "b6 gate",
      .in = { { .shape = { { 8, 28, 28, 432 }, 4 } }, { .shape = { { 8, 1, 1, 432 }, 4 } } },
      .build = record,
      .bench = 1 },
    { .name = "b6 mask",
      .in = { { .shape = { { 8, 28, 28, 72 }, 4 } }, { .shape = { { 8, 1, 1, 1 }, 4 } } },
      .build = record,
      .bench = 1 },
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "mul", OP_CASES(cases) });
}
