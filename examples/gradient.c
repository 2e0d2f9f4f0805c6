/* SPDX-License-Identifier: MIT
 *
 * Reading a gradient in the middle of a network: which part of an image made it decide so (Grad-CAM,
 * Selvaraju et al., 2017). A small network learns whether there is a disc in the noise. Then a second plan
 * of the same model, in evaluation mode, is asked for the gradient of one logit: instead of a loss it has a
 * seed, the tensor whose gradient we write ourselves. Where the features times their mean gradient are
 * largest, there should be the disc; nobody ever told the network where it was.
 */
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 24, GRID = SIDE / 2, CHANNELS = 16, BATCH = 32, STEPS = 200, TESTS = 50, RADIUS = 4 };

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

/* Noise, and a brighter disc around (x,y) if there shall be one. */
static void draw(nn_real *image, int disc, int x, int y)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        int dx = i % SIDE - x, dy = i / SIDE - y;

        image[i] = (nn_real)(rand() / (double)RAND_MAX - 0.5);
        if (disc && dx * dx + dy * dy <= RADIUS * RADIUS)
            image[i] += (nn_real)0.6;
    }
}

static int somewhere(void) { return RADIUS + rand() % (SIDE - 2 * RADIUS); }

static nn_tensor *network(nn_graph *g, nn_tensor *x)
{
    nn_conv2d_opts conv = { .out = CHANNELS, .k = 5, .stride = 2, .bias = 1 };

    x = nn_relu(g, nn_layer_conv2d(g, "1", x, conv));
    conv.stride = 1;
    x = nn_relu(g, nn_layer_conv2d(g, "2", x, conv));
    x = nn_observe(g, "features", x); /* [N,GRID,GRID,CHANNELS]: its value and its gradient can be read */
    x = nn_flatten(g, nn_global_avg_pool(g, x));
    return nn_layer_linear(g, "head", x, (nn_linear_opts){ .out = 2 });
}

static void train(nn_device *device, nn_model *model)
{
    nn_plan_opts opts = { .optim = nn_adam((nn_adam_opts){ 0 }) };
    nn_tensor *z, *class;
    nn_graph *g;
    nn_plan *p;

    must(nn_graph_new(&g, device, model, NN_TRAIN), "no graph");
    z = network(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 1)));
    class = nn_input(g, "class", NN_I32, NN_SHAPE1(BATCH));
    opts.loss = nn_cross_entropy(g, z, class, (nn_ce_opts){ 0 });
    must(nn_compile(&p, g, opts), nn_graph_error(g));
    nn_set(p, NN_LEARNING_RATE, 3e-3);
    for (int k = 0; k < STEPS; k++) {
        nn_real *image = nn_host(p, "image", NULL);
        int32_t *truth = nn_host(p, "class", NULL);

        for (int n = 0; n < BATCH; n++) {
            truth[n] = rand() % 2;
            draw(image + n * SIDE * SIDE, truth[n], somewhere(), somewhere());
        }
        must(nn_run(p, NN_GRADIENTS | NN_UPDATE), nn_plan_error(p));
        if (k % 50 == 0)
            printf("step %3d: loss %.4f\n", k, nn_loss(p));
    }
    nn_plan_free(p);
    nn_graph_free(g);
}

/* The place of the largest sum over channels of feature times the channel's mean gradient. */
static int hottest(const float *feature, const float *gradient)
{
    double weight[CHANNELS] = { 0 }, best = -1e30;
    int at = 0;

    for (int i = 0; i < GRID * GRID * CHANNELS; i++)
        weight[i % CHANNELS] += gradient[i];
    for (int i = 0; i < GRID * GRID; i++) {
        double heat = 0;

        for (int c = 0; c < CHANNELS; c++)
            heat += weight[c] * feature[i * CHANNELS + c];
        at = heat > best ? i : at;
        best = heat > best ? heat : best;
    }
    return at;
}

int main(void)
{
    static float feature[GRID * GRID * CHANNELS], gradient[GRID * GRID * CHANNELS];
    int64_t count = GRID * GRID * CHANNELS;
    int found = 0;
    nn_plan_opts opts = { .seed_count = 1 };
    nn_device *device;
    nn_model *model;
    nn_tensor *z;
    nn_graph *g;
    nn_plan *p;
    nn_message why;

    must(nn_open(&device, "cpu", NULL, &why), why.text);
    must(nn_model_new(&model, device, 3), "no model");
    train(device, model);

    must(nn_graph_new(&g, device, model, NN_EVAL), "no graph");
    z = network(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(1, SIDE, SIDE, 1)));
    opts.seeds = &z;
    must(nn_compile(&p, g, opts), nn_graph_error(g));
    for (int k = 0; k < TESTS; k++) {
        int x = somewhere(), y = somewhere(), at, dx, dy;

        draw(nn_host(p, "image", NULL), 1, x, y);
        must(nn_run(p, NN_FORWARD), nn_plan_error(p));
        nn_seed(p, 0)[0] = 0;
        nn_seed(p, 0)[1] = 1; /* the logit of "there is a disc" */
        must(nn_run(p, NN_BACKWARD), nn_plan_error(p));
        must(nn_read(p, "features", NN_F32, feature, count), nn_plan_error(p));
        must(nn_read_gradient(p, "features", NN_F32, gradient, count), nn_plan_error(p));
        at = hottest(feature, gradient);
        dx = at % GRID * 2 - x;
        dy = at / GRID * 2 - y;
        found += dx * dx + dy * dy <= (RADIUS + 2) * (RADIUS + 2);
    }
    printf("the hottest place lies on the disc in %d of %d images\n", found, TESTS);
    nn_plan_free(p);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return found >= TESTS * 8 / 10 ? 0 : 1;
}
