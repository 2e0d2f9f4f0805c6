/* SPDX-License-Identifier: MIT
 *
 * The mean over an image, plain and with an affine and each activation in its slot; areas of one
 * chunk and of several; and that fusion fills the slot.
 */
#include "around.h"
#include "ops/list.h"

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_global_avg_pool(g, in[0]);
}

/* The slot as fusion fills it: x, mean, scale, beta. */
static nn_tensor *record_slot(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    nn_node *n = nn_apply_all(g, &nn_op_global_avg_pool, NULL, in, 4);

    if (!n)
        return NULL;
    n->act = (uint8_t)c->act;
    return out[0] = n->out[0];
}

static nn_tensor *record_normed(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_global_avg_pool(g, nn_silu(g, nn_affine(g, in[0], in[1], in[2], in[3])));
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    int64_t area = x.dim[1] * x.dim[2], channels = x.dim[3];

    for (int64_t i = 0; i < x.dim[0] * channels; i++)
        out[0][i] = 0;
    for (int64_t i = 0; i < nn_shape_count(x); i++) {
        int64_t k = i % channels, n = i / (area * channels);
        double v = in[0][i];

        if (c->in[1].shape.rank)
            v = act_of(c->act, in[2][k] * (v - in[1][k]) + (in[3] ? in[3][k] : 0));
        out[0][n * channels + k] += v / (double)area;
    }
}

#define VECTOR(c)                                                                                            \
    {                                                                                                        \
        .shape = { { c }, 1 }, .param = 1                                                                    \
    }
#define SLOT(what, activation, c, ...)                                                                       \
    {                                                                                                        \
        .name = what, .act = activation, .build = record_slot, .oracle = oracle, .probes = 12, .in = {       \
            { .shape = __VA_ARGS__, .low = -2, .high = 2 },                                                  \
            VECTOR(c),                                                                                       \
            { .shape = { { c }, 1 }, .low = -3, .high = 3 },                                                 \
            VECTOR(c)                                                                                        \
        }                                                                                                    \
    }

static const op_case cases[] = {
    { .name = "odd",
      .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 } },
      .build = record,
      .oracle = oracle,
      .expect = { { { 2, 1, 1, 5 }, 4 } } },
    { .name = "one pixel", .in = { { .shape = { { 3, 1, 1, 33 }, 4 } } }, .build = record, .oracle = oracle },
    { .name = "several chunks",
      .in = { { .shape = { { 2, 21, 19, 70 }, 4 }, .low = 0, .high = 3 } },
      .build = record,
      .oracle = oracle,
      .probes = 12 },
    { .name = "many channels",
      .in = { { .shape = { { 1, 5, 7, 2305 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .probes = 12 },
    SLOT("affine", NN_ACT_NONE, 5, { { 2, 3, 3, 5 }, 4 }),
    SLOT("affine, relu", NN_ACT_RELU, 18, { { 2, 3, 3, 18 }, 4 }),
    SLOT("affine, relu6", NN_ACT_RELU6, 7, { { 2, 3, 5, 7 }, 4 }),
    SLOT("affine, silu", NN_ACT_SILU, 37, { { 3, 4, 3, 37 }, 4 }),
    SLOT("affine, sigmoid", NN_ACT_SIGMOID, 16, { { 2, 3, 3, 16 }, 4 }),
    SLOT("affine, several chunks", NN_ACT_SILU, 30, { { 2, 23, 19, 30 }, 4 }),
    SLOT("affine, many chunks", NN_ACT_SILU, 2, { { 1, 67, 67, 2 }, 4 }),
    { .name = "affine without beta",
      .act = NN_ACT_SILU,
      .build = record_slot,
      .oracle = oracle,
      .in = { { .shape = { { 2, 3, 3, 9 }, 4 } }, VECTOR(9), VECTOR(9), { .absent = 1 } } },
    { .name = "slot left empty",
      .build = record_slot,
      .oracle = oracle,
      .in = { { .shape = { { 2, 3, 3, 9 }, 4 } }, { .absent = 1 }, { .absent = 1 }, { .absent = 1 } } },
    { .name = "rank 2",
      .in = { { .shape = { { 2, 3 }, 2 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "[2,3]" },
    { .name = "half an affine",
      .build = record_slot,
      .fails = NN_ESHAPE,
      .says = "together",
      .in = { { .shape = { { 2, 3, 3, 9 }, 4 } }, VECTOR(9), { .absent = 1 }, { .absent = 1 } } },
    { .name = "b6", .in = { { .shape = { { 8, 112, 112, 56 }, 4 } } }, .build = record, .bench = 1 },
    { .name = "b6 slot",
      .act = NN_ACT_SILU,
      .build = record_slot,
      .bench = 1,
      .in = { { .shape = { { 8, 56, 56, 192 }, 4 } }, VECTOR(192), VECTOR(192), VECTOR(192) } },
    { .name = "b6 late",
      .act = NN_ACT_SILU,
      .build = record_slot,
      .bench = 1,
      .in = { { .shape = { { 8, 7, 7, 3456 }, 4 } }, VECTOR(3456), VECTOR(3456), VECTOR(3456) } },
};

static const op_case fused[] = {
    { .name = "affine and activation move in",
      .act = NN_ACT_SILU,
      .build = record_normed,
      .oracle = oracle,
      .in = { { .shape = { { 2, 5, 3, 21 }, 4 } }, VECTOR(21), VECTOR(21), VECTOR(21) } },
};

OP_TEST(global_avg_pool, OP_CASES(cases), OP_FUSED(fused));
