/* SPDX-License-Identifier: MIT
 *
 * An op that the library does not have: an op is one constant, and the graph points at it. Nothing is
 * registered. Snake (Ziyin et al., 2020) is an activation for periodic data:
 *
 *     y = x + sin(x)^2        dx = dy * (1 + sin(2x))
 *
 * The program compares its gradient with the difference of two values, as every new op deserves.
 * docs/adding-an-op.md tells the whole contract.
 */
#include <math.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { TILE = 1024, COUNT = 5000 };

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

static nn_tensor *snake(nn_graph *g, nn_tensor *x) { return nn_apply(g, &snake_op, NULL, &x, 1); }

/* ---- the comparison ---- */

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

static double value(double x) { return x + sin(x) * sin(x); }

int main(void)
{
    static double x[COUNT], y[COUNT], dx[COUNT];
    double worst_value = 0, worst_gradient = 0, h = 1e-5;
    nn_tensor *in, *out, *loss;
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *plan;
    nn_real *host;
    nn_message why;

    must(nn_open(&device, "cpu", NULL, &why), why.text);
    must(nn_model_new(&model, device, 0), "model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "graph");
    in = nn_observe(g, "x", nn_input(g, "x", NN_REAL, NN_SHAPE2(COUNT / 10, 10)));
    out = nn_observe(g, "y", snake(g, in));
    loss = nn_sum(g, out, (nn_reduce_opts){ 0 });
    must(nn_compile(&plan, g, (nn_plan_opts){ .loss = loss }), nn_graph_error(g));

    host = nn_host(plan, "x", NULL);
    for (int i = 0; i < COUNT; i++)
        x[i] = host[i] = (nn_real)(i * 0.004 - 10);
    must(nn_run(plan, NN_GRADIENTS), nn_plan_error(plan));
    must(nn_read(plan, "y", NN_F64, y, COUNT), nn_plan_error(plan));
    must(nn_read_gradient(plan, "x", NN_F64, dx, COUNT), nn_plan_error(plan));
    for (int i = 0; i < COUNT; i++) {
        worst_value = fmax(worst_value, fabs(y[i] - value(x[i])));
        worst_gradient = fmax(worst_gradient, fabs(dx[i] - (value(x[i] + h) - value(x[i] - h)) / (2 * h)));
    }
    printf("snake at %d places: off by at most %.1e in value, %.1e in gradient\n", COUNT, worst_value,
           worst_gradient);
    nn_plan_free(plan);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return worst_value < 1e-5 && worst_gradient < 1e-5 ? 0 : 1;
}
