/* SPDX-License-Identifier: MIT
 *
 * concat: along every axis, one tensor, several, and more elements than one tile has.
 */
#include "op_test.h"

static int count_of(const op_case *c)
{
    int n = 0;

    while (n < NN_MAX_IN && c->in[n].shape.rank)
        n++;
    return n;
}

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_concat(g, in, count_of(c), *(const int *)c->extra);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape first = c->in[0].shape;
    int axis = (*(const int *)c->extra + first.rank) % first.rank;
    int64_t outer = 1, to = 0;

    for (int k = 0; k < axis; k++)
        outer *= first.dim[k];
    for (int64_t o = 0; o < outer; o++)
        for (int i = 0; i < count_of(c); i++) {
            int64_t each = nn_shape_count(c->in[i].shape) / outer;

            for (int64_t e = 0; e < each; e++)
                out[0][to++] = in[i][o * each + e];
        }
}

#define T(...)                                                                                               \
    {                                                                                                        \
        .shape = __VA_ARGS__                                                                                 \
    }
#define ALONG(k)                                                                                             \
    .build = record, .oracle = oracle, .extra = &(const int) { k }

static const op_case cases[] = {
    { .name = "channels",
      .in = { T({ { 2, 3, 5 }, 3 }), T({ { 2, 3, 2 }, 3 }), T({ { 2, 3, 1 }, 3 }) },
      ALONG(-1) },
    { .name = "the first axis", .in = { T({ { 2, 4 }, 2 }), T({ { 3, 4 }, 2 }) }, ALONG(0) },
    { .name = "between", .in = { T({ { 2, 1, 3 }, 3 }), T({ { 2, 4, 3 }, 3 }) }, ALONG(1) },
    { .name = "one", .in = { T({ { 2, 3 }, 2 }) }, ALONG(1) },
    { .name = "several tiles",
      .in = { T({ { 40, 21, 30 }, 3 }), T({ { 40, 21, 7 }, 3 }) },
      ALONG(2),
      .probes = 8 },
    { .name = "bytes",
      .in = { { .shape = { { 2, 3 }, 2 }, .type = NN_U8 }, { .shape = { { 2, 2 }, 2 }, .type = NN_U8 } },
      ALONG(1),
      .no_backward = 1 },
    { .name = "other sizes",
      .in = { T({ { 2, 4 }, 2 }), T({ { 3, 5 }, 2 }) },
      ALONG(0),
      .fails = NN_ESHAPE,
      .says = "along axis 0 only" },
    { .name = "no such axis", .in = { T({ { 2, 4 }, 2 }) }, ALONG(2), .fails = NN_ESHAPE, .says = "axis" },
    { .name = "a skip connection",
      .in = { T({ { 8, 56, 56, 64 }, 4 }), T({ { 8, 56, 56, 32 }, 4 }) },
      ALONG(3),
      .bench = 1 },
};

OP_TEST(concat, OP_CASES(cases));
