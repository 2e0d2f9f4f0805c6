/* SPDX-License-Identifier: MIT
 *
 * Choices: each of mask and operands whole and repeated; masks of bytes.
 */
#include "cases.h"

RECORD(nn_where(g, in[0], in[1], in[2]))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape y = common_shape(c, 3);

    for (int64_t i = 0; i < nn_shape_count(y); i++) {
        double mask = in[0][source(y, c->in[0].shape, i)];

        out[0][i] = mask != 0 ? in[1][source(y, c->in[1].shape, i)] : in[2][source(y, c->in[2].shape, i)];
    }
}

/* A mask of bytes from 0 to 2. */
#define MASK(...)                                                                                            \
    {                                                                                                        \
        .shape = __VA_ARGS__, .type = NN_U8, .low = 0, .high = 2                                             \
    }

static const double real_mask[6] = { 0, -0.5, 1, 0, 3, -0.0 };

static const op_case cases[] = {
    { .name = "equal shapes",
      .in = { MASK({ { 2, 3, 3, 5 }, 4 }),
              { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 },
              { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "scalars",
      .in = { MASK({ { 0 }, 0 }), { .shape = { { 0 }, 0 } }, { .shape = { { 0 }, 0 } } },
      .ins = 3,
      .build = record,
      .oracle = oracle },
    { .name = "mask of numbers",
      .in = { { .shape = { { 6 }, 1 }, .values = real_mask, .no_grad = 1 },
              { .shape = { { 6 }, 1 } },
              { .shape = { { 6 }, 1 } } },
      .build = record,
      .oracle = oracle },
    { .name = "mask of pixels",
      .in = { MASK({ { 3, 5, 4, 1 }, 4 }), { .shape = { { 3, 5, 4, 7 }, 4 } }, { .shape = { { 7 }, 1 } } },
      .build = record,
      .oracle = oracle },
    { .name = "mask larger than both",
      .in = { MASK({ { 4, 6, 5 }, 3 }), { .shape = { { 5 }, 1 }, .param = 1 }, { .shape = { { 0 }, 0 } } },
      .ins = 3,
      .build = record,
      .oracle = oracle },
    { .name = "all different",
      .in = { MASK({ { 4, 1, 1 }, 3 }),
              { .shape = { { 6, 1 }, 2 }, .param = 1 },
              { .shape = { { 5 }, 1 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "several tiles",
      .in = { MASK({ { 2, 29, 31, 1 }, 4 }),
              { .shape = { { 2, 29, 31, 23 }, 4 } },
              { .shape = { { 2, 1, 1, 23 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .probes = 12 },
    { .name = "do not fit",
      .in = { MASK({ { 2, 3 }, 2 }), { .shape = { { 3 }, 1 } }, { .shape = { { 2 }, 1 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[2,3] and [2] do not broadcast" },
    { .name = "pixels",
      .in = { { .shape = { { 8, 56, 56, 1 }, 4 }, .no_grad = 1 },
              { .shape = { { 8, 56, 56, 192 }, 4 } },
              { .shape = { { 192 }, 1 } } },
      .build = record,
      .bench = 1 },
};

OP_TEST(where, OP_CASES(cases));
