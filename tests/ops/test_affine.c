/* SPDX-License-Identifier: MIT
 *
 * The affine of batch norm with and without beta and with each activation that fusion can put into
 * it; channel counts around the vector lengths, and rows for one tile and for several.
 */
#include "around.h"
#include "ops/list.h"

/* The activation is what fusion would set. */
static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    nn_node *n = nn_apply_all(g, &nn_op_affine, NULL, in, 4);

    if (!n)
        return NULL;
    n->act = (uint8_t)c->act;
    return out[0] = n->out[0];
}

static nn_tensor *record_public(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_affine(g, in[0], in[1], in[2], in[3]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    int64_t channels = nn_shape_count(c->in[1].shape);

    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++) {
        int64_t k = i % channels;

        out[0][i] = act_of(c->act, in[2][k] * (in[0][i] - in[1][k]) + (in[3] ? in[3][k] : 0));
    }
}

#define VECTOR(c)                                                                                            \
    {                                                                                                        \
        .shape = { { c }, 1 }, .param = 1                                                                    \
    }
#define CASE(what, activation, c, ...)                                                                       \
    {                                                                                                        \
        .name = what, .act = activation, .build = record, .oracle = oracle, .probes = 12, .in = {            \
            { .shape = __VA_ARGS__, .low = -2, .high = 2 },                                                  \
            VECTOR(c),                                                                                       \
            { .shape = { { c }, 1 }, .low = -3, .high = 3 },                                                 \
            VECTOR(c)                                                                                        \
        }                                                                                                    \
    }

static const op_case cases[] = {
    CASE("none", NN_ACT_NONE, 5, { { 2, 3, 3, 5 }, 4 }),
    CASE("relu", NN_ACT_RELU, 7, { { 2, 3, 3, 7 }, 4 }),
    CASE("relu6", NN_ACT_RELU6, 19, { { 2, 4, 3, 19 }, 4 }),
    CASE("silu", NN_ACT_SILU, 33, { { 2, 3, 3, 33 }, 4 }),
    CASE("sigmoid", NN_ACT_SIGMOID, 16, { { 1, 5, 3, 16 }, 4 }),
    CASE("rank 2", NN_ACT_SILU, 65, { { 6, 65 }, 2 }),
    CASE("one channel", NN_ACT_SILU, 1, { { 2, 5, 5, 1 }, 4 }),
    CASE("one row", NN_ACT_NONE, 17, { { 1, 1, 1, 17 }, 4 }),
    CASE("several tiles", NN_ACT_SILU, 20, { { 3, 17, 13, 20 }, 4 }),
    CASE("many channels", NN_ACT_SILU, 2305, { { 5, 7, 2305 }, 3 }),
    { .name = "no beta",
      .act = NN_ACT_SILU,
      .build = record,
      .oracle = oracle,
      .in = { { .shape = { { 2, 3, 5, 11 }, 4 } }, VECTOR(11), VECTOR(11), { .absent = 1 } } },
    { .name = "no beta, no activation",
      .build = record_public,
      .oracle = oracle,
      .in = { { .shape = { { 2, 3, 5, 11 }, 4 } }, VECTOR(11), VECTOR(11), { .absent = 1 } } },
    { .name = "wrong channels",
      .build = record_public,
      .fails = NN_ESHAPE,
      .says = "input 2 [4]",
      .in = { { .shape = { { 2, 3, 5, 3 }, 4 } }, VECTOR(3), VECTOR(4), VECTOR(3) } },
    { .name = "bytes",
      .build = record_public,
      .fails = NN_ESHAPE,
      .says = "U8",
      .in = { { .shape = { { 2, 3 }, 2 }, .type = NN_U8 }, VECTOR(3), VECTOR(3), VECTOR(3) } },
    { .name = "b6",
      .act = NN_ACT_SILU,
      .build = record,
      .bench = 1,
      .in = { { .shape = { { 8, 112, 112, 56 }, 4 } }, VECTOR(56), VECTOR(56), VECTOR(56) } },
};

OP_TEST(affine, OP_CASES(cases));
