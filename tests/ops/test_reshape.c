/* SPDX-License-Identifier: MIT
 *
 * Reshape and flatten: the elements stay what and where they are.
 */
#include "op_test.h"

#include <string.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = c->extra ? nn_reshape(g, in[0], *(const nn_shape *)c->extra) : nn_flatten(g, in[0]);
}

/* In the middle of something: both neighbours are planned memory, so the copy can go away. */
static nn_tensor *between(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    nn_tensor *y = nn_scale(g, in[0], 2, 1);

    return out[0] = nn_scale(g, nn_reshape(g, y, *(const nn_shape *)c->extra), 3, 0);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    memcpy(out[0], in[0], (size_t)nn_shape_count(c->in[0].shape) * sizeof(double));
}

static void oracle_between(const op_case *c, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = 3 * (2 * in[0][i] + 1);
}

static const nn_shape six_four = { { 6, 4 }, 2 }, scalar = { { 0 }, 0 }, wrong = { { 5, 5 }, 2 };
static const nn_shape rest = { { 4, -1, 3 }, 3 }, two_rests = { { -1, -1 }, 2 }, no_rest = { { 5, -1 }, 2 };
static const nn_shape deep = { { 1, 2, 1, 3, 1, 4, 1, 1 }, 8 }, long_row = { { 70000 }, 1 };

static const op_case cases[] = {
    { .name = "to a matrix",
      .in = { { .shape = { { 2, 3, 4 }, 3 }, .param = 1 } },
      .build = record,
      .oracle = oracle,
      .extra = &six_four,
      .expect = { { { 6, 4 }, 2 } } },
    { .name = "the rest",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      .build = record,
      .oracle = oracle,
      .extra = &rest,
      .expect = { { { 4, 2, 3 }, 3 } } },
    { .name = "to eight dimensions",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      .build = record,
      .oracle = oracle,
      .extra = &deep },
    { .name = "to a scalar",
      .in = { { .shape = { { 1, 1 }, 2 } } },
      .build = record,
      .oracle = oracle,
      .extra = &scalar },
    { .name = "several tiles",
      .in = { { .shape = { { 7, 100, 100 }, 3 } } },
      .build = record,
      .oracle = oracle,
      .extra = &long_row },
    { .name = "flatten",
      .in = { { .shape = { { 3, 4, 5, 2 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .expect = { { { 3, 40 }, 2 } } },
    { .name = "flatten a row",
      .in = { { .shape = { { 3 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .expect = { { { 3, 1 }, 2 } } },
    { .name = "bytes",
      .in = { { .shape = { { 2, 3, 4 }, 3 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = &six_four,
      .no_backward = 1 },
    { .name = "between ops",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      .build = between,
      .oracle = oracle_between,
      .extra = &six_four },
    { .name = "other count",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      .build = record,
      .extra = &wrong,
      .fails = NN_ESHAPE,
      .says = "[2,3,4] cannot be reshaped to [5,5]" },
    { .name = "two rests",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      .build = record,
      .extra = &two_rests,
      .fails = NN_ESHAPE,
      .says = "[2,3,4] cannot be reshaped to [-1,-1]" },
    { .name = "no rest",
      .in = { { .shape = { { 2, 3, 4 }, 3 } } },
      .build = record,
      .extra = &no_rest,
      .fails = NN_ESHAPE,
      .says = "[2,3,4] cannot be reshaped to [5,-1]" },
    { .name = "flatten a scalar",
      .in = { { .shape = { { 0 }, 0 } } },
      .ins = 1,
      .build = record,
      .fails = NN_ESHAPE,
      .says = "scalar" },
    { .name = "bench", .in = { { .shape = { { 700, 100, 100 }, 3 } } }, .build = record, .bench = 1 },
};

OP_TEST(reshape, OP_CASES(cases));
