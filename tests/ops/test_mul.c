/* SPDX-License-Identifier: MIT
 *
 * Products: every way in which two shapes can broadcast, of both operands, for one tile and for
 * several, and the square of a tensor.
 */
#include "cases.h"

BINARY(nn_mul(g, in[0], in[1]), a *b)

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
    BROADCAST_CASES(0, 0),
    { .name = "square",
      .in = { { .shape = { { 7, 11 }, 2 }, .param = 1 } },
      .build = record_square,
      .oracle = square },
    { .name = "b6 mask",
      .in = { { .shape = { { 8, 28, 28, 72 }, 4 } }, { .shape = { { 8, 1, 1, 1 }, 4 } } },
      .build = record,
      .bench = 1 },
};

OP_TEST(mul, OP_CASES(cases));
