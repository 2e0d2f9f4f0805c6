/* SPDX-License-Identifier: MIT
 *
 * The whole way once: record a network, compile it, feed it, train it, ask it about images it has not seen.
 * It tells stripes that lie from stripes that stand, drowned in noise.
 */
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 16, BATCH = 64, STEPS = 100 };

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

static void draw(nn_real *image, int32_t *class)
{
    for (int n = 0; n < BATCH; n++) {
        class[n] = rand() % 2;
        for (int i = 0; i < SIDE * SIDE; i++)
            *image++ = (nn_real)((class[n] ? i % SIDE : i / SIDE) / 2 % 2 + 4.0 * rand() / RAND_MAX - 2);
    }
}

int main(void)
{
    nn_optim adam = nn_adam((nn_adam_opts){ .rate = 1e-2 });
    double logits[2 * BATCH];
    nn_metrics m;
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *p;
    nn_tensor *x, *class;

    must(nn_open(&device, "cpu", NULL, NULL), "no CPU");
    must(nn_model_new(&model, device, 42), "no model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "no graph");
    /* Nothing is computed here: the calls are only recorded. */
    x = nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 1));
    class = nn_input(g, "class", NN_I32, NN_SHAPE1(BATCH));
    x = nn_relu(g, nn_layer_conv2d(g, "1", x, (nn_conv2d_opts){ .out = 16, .k = 5, .bias = 1 }));
    x = nn_layer_linear(g, "head", nn_flatten(g, nn_global_avg_pool(g, x)), (nn_linear_opts){ .out = 2 });
    x = nn_cross_entropy(g, nn_observe(g, "logits", x), class, (nn_ce_opts){ 0 });
    must(nn_compile(&p, g, (nn_plan_opts){ .loss = x, .optim = adam }), nn_graph_error(g));
    for (int k = 0; k <= STEPS; k++) { /* the last time it is only asked */
        draw(nn_host(p, "image", NULL), nn_host(p, "class", NULL));
        must(nn_run(p, k < STEPS ? NN_GRADIENTS | NN_UPDATE : NN_FORWARD), nn_plan_error(p));
        printf("step %3d: loss %.4f\n", k, nn_loss(p));
    }
    must(nn_read(p, "logits", NN_F64, logits, 2 * BATCH), nn_plan_error(p));
    must(nn_metrics_binary(&m, logits, nn_host(p, "class", NULL), BATCH, 0.5), "no metrics");
    printf("accuracy on %d new images: %.3f\n", BATCH, m.accuracy);
    nn_close(device); /* and all that was made on it */
    return m.accuracy > 0.9 ? 0 : 1;
}
