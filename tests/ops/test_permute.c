/* SPDX-License-Identifier: MIT
 *
 * permute: from channels last to channels first and back, no change, and other ranks and types.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_permute(g, in[0], c->extra);
}

/* Walks the input: each element goes where its index, permuted, leads. */
static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    const int *order = c->extra;

    for (int64_t e = 0; e < nn_shape_count(x); e++) {
        int64_t index[NN_MAX_RANK], rest = e, to = 0;

        for (int k = x.rank; k-- > 0;) {
            index[k] = rest % x.dim[k];
            rest /= x.dim[k];
        }
        for (int k = 0; k < x.rank; k++)
            to = to * x.dim[order[k]] + index[order[k]];
        out[0][to] = in[0][e];
    }
}

#define WITH(...) .build = record, .oracle = oracle, .extra = (const int[])__VA_ARGS__
static const op_case cases[] = {
    { .name = "channels first",
      .in = { { .shape = { { 2, 3, 4, 5 }, 4 } } },
      WITH({ 0, 3, 1, 2 }),
      .expect = { { { 2, 5, 3, 4 }, 4 } } },
    { .name = "channels last",
      .in = { { .shape = { { 2, 3, 4, 5 }, 4 } } },
      WITH({ 0, 2, 3, 1 }),
      .expect = { { { 2, 4, 5, 3 }, 4 } } },
    { .name = "rows", .in = { { .shape = { { 2, 3, 4, 5 }, 4 } } }, WITH({ 2, 1, 0, 3 }) },
    { .name = "the same", .in = { { .shape = { { 3, 4, 2 }, 3 } } }, WITH({ 0, 1, 2 }) },
    { .name = "a vector", .in = { { .shape = { { 7 }, 1 } } }, WITH({ 0 }) },
    { .name = "five dimensions", .in = { { .shape = { { 2, 3, 2, 4, 3 }, 5 } } }, WITH({ 4, 2, 0, 3, 1 }) },
    { .name = "several tiles", .in = { { .shape = { { 3, 60, 130 }, 3 } } }, WITH({ 2, 0, 1 }) },
    { .name = "bytes",
      .in = { { .shape = { { 2, 3, 4, 3 }, 4 }, .type = NN_U8 } },
      .no_backward = 1,
      WITH({ 0, 3, 1, 2 }) },
    { .name = "twice the same",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      WITH({ 0, 1, 1 }),
      .fails = NN_ESHAPE,
      .says = "twice" },
    { .name = "no such dimension",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      WITH({ 0, 1, 3 }),
      .fails = NN_ESHAPE,
      .says = "names 3" },
    { .name = "vgg", .in = { { .shape = { { 8, 7, 7, 512 }, 4 } } }, WITH({ 0, 3, 1, 2 }), .bench = 1 },
    { .name = "an image", .in = { { .shape = { { 8, 56, 56, 64 }, 4 } } }, WITH({ 0, 3, 1, 2 }), .bench = 1 },
};

OP_TEST(permute, OP_CASES(cases));
