/* SPDX-License-Identifier: MIT
 *
 * LeNet on real data: handwritten digits, which lie beside this file. The network is LeNet-5 with windows
 * for images of 8 x 8 instead of 32 x 32, ReLU, and a maximum instead of a learned mean.
 *
 * Source: LeCun, Bottou, Bengio, Haffner: "Gradient-Based Learning Applied to Document Recognition", 1998.
 */
#include "digits.h"

#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 33, STEPS = 1200, TESTS = 297, CLASSES = 10 };

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

/* Images [N,8,8,1] to logits [N,10]. */
static nn_tensor *lenet(nn_graph *g, nn_tensor *x)
{
    nn_conv2d_opts c1 = { .out = 6, .k = 5, .bias = 1 }, c3 = { .out = 16, .k = 3, .bias = 1 };
    nn_linear_opts f5 = { .out = 120 }, f6 = { .out = 84 };
    nn_linear_opts out = { .out = CLASSES };

    x = nn_relu(g, nn_layer_conv2d(g, "c1", x, c1));
    x = nn_max_pool2d(g, x, (nn_pool_opts){ .k = 2 });
    x = nn_relu(g, nn_layer_conv2d(g, "c3", x, c3));
    x = nn_flatten(g, nn_max_pool2d(g, x, (nn_pool_opts){ .k = 2 }));
    x = nn_relu(g, nn_layer_linear(g, "f5", x, f5));
    x = nn_relu(g, nn_layer_linear(g, "f6", x, f6));
    return nn_layer_linear(g, "out", x, out);
}

/* Puts digit `which` at place n of a batch, as numbers from -1 to 1. */
static void put(nn_real *image, int32_t *class, int n, int which)
{
    const char *digit = digits[which];

    class[n] = digit[0] - '0';
    for (int i = 0; i < SIDE * SIDE; i++)
        image[n * SIDE * SIDE + i] = (nn_real)(digit[1 + i] - 'A') / 8 - 1;
}

static int largest(const double *x)
{
    int most = 0;

    for (int i = 1; i < CLASSES; i++)
        if (x[i] > x[most])
            most = i;
    return most;
}

int main(void)
{
    nn_plan_opts opts = { .optim = nn_adamw((nn_adam_opts){ .decay = 0.01 }) };
    double logits[BATCH][CLASSES];
    nn_tensor *image, *class, *z;
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *p;
    nn_message why;
    int right = 0;

    must(nn_open(&device, "cpu", NULL, &why), why.text);
    must(nn_model_new(&model, device, 42), "no model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "no graph");
    image = nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 1));
    class = nn_input(g, "class", NN_I32, NN_SHAPE1(BATCH));
    z = nn_observe(g, "logits", lenet(g, image));
    opts.loss = nn_cross_entropy(g, z, class, (nn_ce_opts){ .smoothing = 0.1 });
    must(nn_compile(&p, g, opts), nn_graph_error(g));

    for (int k = 0; k < STEPS; k++) {
        for (int n = 0; n < BATCH; n++)
            put(nn_host(p, "image", NULL), nn_host(p, "class", NULL), n, rand() % (DIGITS - TESTS));
        nn_set(p, NN_LEARNING_RATE, nn_cosine(k, 3e-3, 0, STEPS));
        must(nn_run(p, NN_GRADIENTS | NN_UPDATE), nn_plan_error(p));
        if (k % 200 == 0)
            printf("step %4d: loss %.4f\n", k, nn_loss(p));
    }

    for (int first = DIGITS - TESTS; first < DIGITS; first += BATCH) {
        const int32_t *truth = nn_host(p, "class", NULL);

        for (int n = 0; n < BATCH; n++)
            put(nn_host(p, "image", NULL), nn_host(p, "class", NULL), n, first + n);
        must(nn_run(p, NN_FORWARD), nn_plan_error(p));
        must(nn_read(p, "logits", NN_F64, logits, BATCH * CLASSES), nn_plan_error(p));
        for (int n = 0; n < BATCH; n++)
            right += largest(logits[n]) == truth[n];
    }
    printf("right on %d of %d digits that it has not seen\n", right, TESTS);
    nn_plan_free(p);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return right > 0.9 * TESTS ? 0 : 1;
}
