/* SPDX-License-Identifier: MIT
 *
 * An op that the library does not have: an op is one constant, and the graph points at it. Nothing is
 * registered. Snake (Ziyin et al., 2020) is an activation for periodic data:
 *
 *     y = x + sin(x)^2        dx = dy * (1 + sin(2x))
 *
 * docs/adding-an-op.md tells the whole contract; test_snake.c is the test that a new op deserves.
 */
#include "snake.h"

#include <math.h>

enum { TILE = 1024 };

/* Work comes in tiles, in any order and on any thread: what a tile does depends on its number alone. */
static int64_t end_of(const nn_step *s, int64_t tile)
{
    int64_t count = nn_shape_count(s->in[0].shape);

    return (tile + 1) * TILE < count ? (tile + 1) * TILE : count;
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    for (int64_t i = tile * TILE; i < end_of(s, tile); i++)
        y[i] = (nn_real)(x[i] + sin(x[i]) * sin(x[i]));
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;
    int add = (s->accumulate & NN_IN(0)) != 0;

    (void)lane;
    for (int64_t i = tile * TILE; i < end_of(s, tile); i++)
        dx[i] = (nn_real)(dy[i] * (1 + sin(2 * x[i]))) + (add ? dx[i] : 0);
}

/* Called once, when the plan is compiled: says how many tiles there are. */
static int prepare(nn_step *s, nn_tile *run)
{
    nn_phase(s, (nn_shape_count(s->in[0].shape) + TILE - 1) / TILE, run);
    return NN_OK;
}
static int forward(nn_step *s) { return prepare(s, forward_tile); }
static int backward(nn_step *s) { return prepare(s, backward_tile); }

/* Called while the graph is recorded: one output, shaped like the input. */
static int infer(nn_node *node) { return nn_infer_out(node, 0, NN_REAL, nn_shape_get(node->in[0])); }

static const nn_op snake_op = {
    .abi = NN_OP_ABI,
    .name = "snake",
    .inputs = 1,
    .reads = NN_IN(0),    /* what backward needs besides dy */
    .flags = NN_OP_CHEAP, /* better computed again than kept */
    .infer = infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *snake(nn_graph *g, nn_tensor *x) { return nn_apply(g, &snake_op, NULL, &x, 1); }
