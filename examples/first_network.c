/* SPDX-License-Identifier: MIT
 *
 * The whole way once: record a network, compile it, feed it, train it, ask it about images it has not seen.
 * It tells discs from squares, drawn anywhere in several sizes and drowned in noise.
 */
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 16, BATCH = 64, STEPS = 400, TESTS = 10 };

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
        int r = 3 + rand() % 3, x = r + rand() % (SIDE - 2 * r), y = r + rand() % (SIDE - 2 * r);

        class[n] = rand() % 2;
        for (int i = 0; i < SIDE * SIDE; i++) {
            int dx = i % SIDE - x, dy = i / SIDE - y;
            int inside = class[n] ? dx * dx + dy * dy <= r * r : abs(dx) < r && abs(dy) < r;

            *image++ = (nn_real)(inside + rand() / (double)RAND_MAX - 0.5);
        }
    }
}

/* Images [N,H,W,C] to logits [N,2]. Nothing is computed here: the calls are only recorded. */
static nn_tensor *network(nn_graph *g, nn_tensor *x)
{
    x = nn_relu(g, nn_layer_conv2d(g, "1", x, (nn_conv2d_opts){ .out = 16, .k = 3, .bias = 1 }));
    x = nn_relu(g, nn_layer_conv2d(g, "2", x, (nn_conv2d_opts){ .out = 32, .k = 3, .stride = 2, .bias = 1 }));
    return nn_layer_linear(g, "head", nn_flatten(g, x), (nn_linear_opts){ .out = 2, .init_default = 1 });
}

int main(void)
{
    nn_plan_opts opts = { .optim = nn_adamw((nn_adam_opts){ .decay = 0.01 }) };
    double logits[BATCH][2], right = 0;
    nn_tensor *image, *class, *z;
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *p;
    nn_message why;

    must(nn_open(&device, "cpu", NULL, &why), why.text);
    must(nn_model_new(&model, device, 42), "no model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "no graph");
    image = nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 1));
    class = nn_input(g, "class", NN_I32, NN_SHAPE1(BATCH));
    z = nn_observe(g, "logits", network(g, image));
    opts.loss = nn_cross_entropy(g, z, class, (nn_ce_opts){ 0 });
    must(nn_compile(&p, g, opts), nn_graph_error(g)); /* where a mistake in network() would be told */

    for (int k = 0; k < STEPS; k++) {
        draw(nn_host(p, "image", NULL), nn_host(p, "class", NULL));
        nn_set(p, NN_LEARNING_RATE, nn_cosine(k, 4e-3, 0, STEPS));
        must(nn_run(p, NN_GRADIENTS | NN_UPDATE), nn_plan_error(p));
        if (k % 50 == 0)
            printf("step %3d: loss %.4f\n", k, nn_loss(p));
    }

    for (int k = 0; k < TESTS; k++) { /* new images, forward only */
        const int32_t *truth = nn_host(p, "class", NULL);

        draw(nn_host(p, "image", NULL), nn_host(p, "class", NULL));
        must(nn_run(p, NN_FORWARD), nn_plan_error(p));
        must(nn_read(p, "logits", NN_F64, logits, 2 * BATCH), nn_plan_error(p));
        for (int n = 0; n < BATCH; n++)
            right += (logits[n][1] > logits[n][0]) == truth[n];
    }
    printf("accuracy on %d new images: %.3f\n", TESTS * BATCH, right / (TESTS * BATCH));
    nn_plan_free(p);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return right / (TESTS * BATCH) > 0.9 ? 0 : 1;
}
