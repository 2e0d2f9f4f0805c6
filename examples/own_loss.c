/* SPDX-License-Identifier: MIT
 *
 * A loss is any scalar: compose it from ops and give it to nn_compile. This one, the pinball loss, teaches a
 * network a quantile instead of a mean: being below the data costs q, being above 1-q, so at the best place
 * a share q of the data is below. What the program checks is just that.
 */
#include <math.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 256, STEPS = 3000, TESTS = 40 };
static const double quantile = 0.9;

/* mean(q*max(d,0) + (1-q)*max(-d,0)) with d = truth - guess. */
static nn_tensor *pinball(nn_graph *g, nn_tensor *guess, nn_tensor *truth, double q)
{
    nn_tensor *d = nn_add(g, truth, nn_scale(g, guess, -1, 0));
    nn_tensor *below = nn_scale(g, nn_relu(g, d), q, 0);
    nn_tensor *above = nn_scale(g, nn_relu(g, nn_scale(g, d, -1, 0)), 1 - q, 0);

    return nn_mean(g, nn_add(g, below, above), (nn_reduce_opts){ 0 });
}

static double uniform(void) { return rand() / (double)RAND_MAX; }

/* A sine under noise that grows from left to right. */
static void fill(nn_plan *p)
{
    nn_real *x = nn_host(p, "x", NULL), *y = nn_host(p, "y", NULL);

    for (int i = 0; i < BATCH; i++) {
        double at = uniform();

        x[i] = (nn_real)at;
        y[i] = (nn_real)(sin(6 * at) + (0.2 + at) * (uniform() - 0.5));
    }
}

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

int main(void)
{
    nn_linear_opts hidden = { .out = 32 }, last = { .out = 1 };
    double guess[BATCH], below = 0;
    nn_tensor *x, *y, *loss;
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *step;
    nn_message why;

    must(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, &why), why.text);
    must(nn_model_new(&model, device, 1), "model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "graph");
    x = nn_input(g, "x", NN_REAL, NN_SHAPE2(BATCH, 1));
    y = nn_input(g, "y", NN_REAL, NN_SHAPE2(BATCH, 1));
    x = nn_silu(g, nn_layer_linear(g, "1", x, hidden));
    x = nn_silu(g, nn_layer_linear(g, "2", x, hidden));
    x = nn_observe(g, "guess", nn_layer_linear(g, "3", x, last));
    loss = pinball(g, x, y, quantile);
    must(nn_compile(&step, g, (nn_plan_opts){ .loss = loss, .optim = nn_adam((nn_adam_opts){ 0 }) }),
         nn_graph_error(g));

    for (int k = 0; k < STEPS; k++) {
        fill(step);
        nn_set(step, NN_LEARNING_RATE, nn_cosine(k, 5e-3, 0, STEPS));
        must(nn_run(step, NN_GRADIENTS | NN_UPDATE), nn_plan_error(step));
        if (k % 500 == 0)
            printf("step %4d: loss %.4f\n", k, nn_loss(step));
    }

    for (int k = 0; k < TESTS; k++) {
        const nn_real *truth = nn_host(step, "y", NULL);

        fill(step);
        must(nn_run(step, NN_FORWARD), nn_plan_error(step));
        must(nn_read(step, "guess", NN_F64, guess, BATCH), nn_plan_error(step));
        for (int i = 0; i < BATCH; i++)
            below += truth[i] < guess[i];
    }
    below /= TESTS * BATCH;
    printf("%.3f of the data are below the curve, %.1f should be\n", below, quantile);
    nn_plan_free(step);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return fabs(below - quantile) < 0.03 ? 0 : 1;
}
