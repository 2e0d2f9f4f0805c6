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

/* Images [N,H,W,C] to logits [N,2]. Nothing is computed here: the calls are only recorded. */
static nn_tensor *network(nn_graph *g, nn_tensor *x)
{
    x = nn_relu(g, nn_layer_conv2d(g, "1", x, (nn_conv2d_opts){ .out = 16, .k = 5, .bias = 1 }));
    return nn_layer_linear(g, "head", nn_flatten(g, nn_global_avg_pool(g, x)), (nn_linear_opts){ .out = 2 });
}

int main(void)
{
    nn_plan_opts opts = { .optim = nn_adamw((nn_adam_opts){ .decay = 0.01 }) };
    double logits[BATCH][2], right = 0;
    const int32_t *class;
    nn_message why;
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_tensor *z;
    nn_plan *p;

    must(nn_open(&device, "cpu", NULL, &why), why.text);
    must(nn_model_new(&model, device, 42), "no model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "no graph");
    z = nn_observe(g, "logits", network(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 1))));
    opts.loss = nn_cross_entropy(g, z, nn_input(g, "class", NN_I32, NN_SHAPE1(BATCH)), (nn_ce_opts){ 0 });
    must(nn_compile(&p, g, opts), nn_graph_error(g)); /* where a mistake in network() would be told */

    for (int k = 0; k <= STEPS; k++) { /* the last time it is only asked */
        draw(nn_host(p, "image", NULL), nn_host(p, "class", NULL));
        nn_set(p, NN_LEARNING_RATE, nn_cosine(k, 1e-2, 0, STEPS));
        must(nn_run(p, k < STEPS ? NN_GRADIENTS | NN_UPDATE : NN_FORWARD), nn_plan_error(p));
        printf("step %3d: loss %.4f\n", k, nn_loss(p));
    }
    class = nn_host(p, "class", NULL);
    must(nn_read(p, "logits", NN_F64, logits, 2 * BATCH), nn_plan_error(p));
    for (int n = 0; n < BATCH; n++)
        right += (logits[n][1] > logits[n][0]) == class[n];
    printf("accuracy on %d new images: %.3f\n", BATCH, right / BATCH);

    nn_plan_free(p);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return right > 0.9 * BATCH ? 0 : 1;
}
