/* SPDX-License-Identifier: MIT
 *
 * slice: along every axis, at both ends, everything, and more elements than one tile has.
 */
#include "op_test.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const int64_t *k = c->extra;

    return out[0] = nn_slice(g, in[0], (int)k[0], k[1], k[2]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const int64_t *k = c->extra;
    nn_shape x = c->in[0].shape;
    int axis = (int)(k[0] + x.rank) % x.rank;
    int64_t inner = 1, to = 0;

    for (int i = axis + 1; i < x.rank; i++)
        inner *= x.dim[i];
    for (int64_t e = 0; e < nn_shape_count(x); e++)
        if (e / inner % x.dim[axis] >= k[1] && e / inner % x.dim[axis] < k[1] + k[2])
            out[0][to++] = in[0][e];
}

#define PART(axis, begin, length)                                                                            \
    .build = record, .oracle = oracle, .extra = (const int64_t[]) { axis, begin, length }
#define SMALL .in = { { .shape = { { 3, 4, 5 }, 3 } } }

static const op_case cases[] = {
    { .name = "first axis", SMALL, PART(0, 1, 2), .expect = { { { 2, 4, 5 }, 3 } } },
    { .name = "between", SMALL, PART(1, 1, 2), .expect = { { { 3, 2, 5 }, 3 } } },
    { .name = "last axis", SMALL, PART(-1, 0, 3), .expect = { { { 3, 4, 3 }, 3 } } },
    { .name = "the end", SMALL, PART(2, 4, 1) },
    { .name = "all", SMALL, PART(1, 0, 4) },
    { .name = "several tiles", .in = { { .shape = { { 30, 40, 50 }, 3 } } }, PART(1, 3, 31), .probes = 8 },
    { .name = "integers",
      .in = { { .shape = { { 4, 3 }, 2 }, .type = NN_I64 } },
      PART(0, 2, 2),
      .no_backward = 1 },
    { .name = "beyond the end", SMALL, PART(1, 2, 3), .fails = NN_ESHAPE, .says = "3 from 2 on" },
    { .name = "before the beginning", SMALL, PART(1, -1, 3), .fails = NN_ESHAPE, .says = "not within" },
    { .name = "no such axis", SMALL, PART(3, 0, 1), .fails = NN_ESHAPE, .says = "axis" },
    { .name = "half the channels",
      .in = { { .shape = { { 8, 56, 56, 64 }, 4 } } },
      PART(3, 32, 32),
      .bench = 1 },
};

OP_TEST(slice, OP_CASES(cases));
