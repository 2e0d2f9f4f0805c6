/* SPDX-License-Identifier: MIT
 *
 * Two models in one graph: a generator that turns noise into numbers, and a critic that tells them from real
 * ones. Each has its own plan, because each has its own loss, but the plans share the models, so what one
 * learns the other sees at once. nn_use_model says whose parameters the next layers are; nn_detach keeps the
 * critic's loss from reaching the generator; `wrt` keeps the generator's from changing the critic.
 *
 * The real numbers are normal, of mean 4 and standard deviation 0.5; the program checks that the generated
 * ones are near that.
 */
#include <math.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 128, STEPS = 3000, LAST = 500 };
static const double MEAN = 4, DEVIATION = 0.5;

static const nn_linear_opts wide = { .out = 32 }, one = { .out = 1 }, two = { .out = 2 };

static nn_tensor *generator(nn_graph *g, nn_model *m, nn_tensor *noise)
{
    nn_tensor *x;

    (void)nn_use_model(g, m);
    nn_push(g, "generator");
    x = nn_silu(g, nn_layer_linear(g, "1", noise, wide));
    x = nn_layer_linear(g, "2", x, one);
    nn_pop(g);
    return x;
}

/* Logits [N,2] of made, real. It may be called several times: the second call finds the parameters. */
static nn_tensor *critic(nn_graph *g, nn_model *m, nn_tensor *x)
{
    (void)nn_use_model(g, m);
    nn_push(g, "critic");
    x = nn_silu(g, nn_layer_linear(g, "1", x, wide));
    x = nn_silu(g, nn_layer_linear(g, "2", x, wide));
    x = nn_layer_linear(g, "3", x, two);
    nn_pop(g);
    return x;
}

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

/* Box and Muller. */
static double normal(void)
{
    double u = (rand() + 1.0) / (RAND_MAX + 1.0), v = rand() / (double)RAND_MAX;

    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void fill(nn_plan *p, const char *name, double mean, double deviation)
{
    nn_real *x = nn_host(p, name, NULL);

    for (int i = 0; i < BATCH; i++)
        x[i] = (nn_real)(mean + deviation * normal());
}

int main(void)
{
    nn_plan_opts opts = { .optim = nn_adam((nn_adam_opts){ .beta1 = 0.5 }) };
    double made[BATCH], sum = 0, squares = 0, mean, deviation;
    nn_tensor *noise, *fake, *truth, *is_made, *is_real;
    nn_model *artist, *judge;
    nn_device *device;
    nn_plan *judging, *making;
    nn_message why;
    nn_graph *g;

    must(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, &why), why.text);
    must(nn_model_new(&artist, device, 1), "model");
    must(nn_model_new(&judge, device, 2), "model");
    must(nn_graph_new(&g, device, artist, NN_TRAIN), "graph");
    noise = nn_input(g, "noise", NN_REAL, NN_SHAPE2(BATCH, 1));
    truth = nn_input(g, "truth", NN_REAL, NN_SHAPE2(BATCH, 1));
    is_made = nn_input(g, "is_made", NN_I32, NN_SHAPE1(BATCH)); /* all 0 */
    is_real = nn_input(g, "is_real", NN_I32, NN_SHAPE1(BATCH)); /* all 1 */
    fake = nn_observe(g, "fake", generator(g, artist, noise));

    opts.wrt = "critic.*";
    opts.loss =
        nn_add(g, nn_cross_entropy(g, critic(g, judge, nn_detach(g, fake)), is_made, (nn_ce_opts){ 0 }),
               nn_cross_entropy(g, critic(g, judge, truth), is_real, (nn_ce_opts){ 0 }));
    must(nn_compile(&judging, g, opts), nn_graph_error(g));
    opts.wrt = "generator.*";
    opts.loss = nn_cross_entropy(g, critic(g, judge, fake), is_real, (nn_ce_opts){ 0 });
    must(nn_compile(&making, g, opts), nn_graph_error(g));

    for (int i = 0; i < BATCH; i++) {
        ((int32_t *)nn_host(judging, "is_made", NULL))[i] = 0;
        ((int32_t *)nn_host(judging, "is_real", NULL))[i] = 1;
        ((int32_t *)nn_host(making, "is_real", NULL))[i] = 1;
    }
    for (int k = 0; k < STEPS; k++) {
        fill(judging, "noise", 0, 1);
        fill(judging, "truth", MEAN, DEVIATION);
        nn_set(judging, NN_LEARNING_RATE, nn_cosine(k, 2e-3, 0, STEPS));
        must(nn_run(judging, NN_GRADIENTS | NN_UPDATE), nn_plan_error(judging));
        fill(making, "noise", 0, 1);
        nn_set(making, NN_LEARNING_RATE, nn_cosine(k, 1e-3, 0, STEPS));
        must(nn_run(making, NN_GRADIENTS | NN_UPDATE), nn_plan_error(making));
        if (k % 500 == 0)
            printf("step %4d: loss of the critic %.3f, of the generator %.3f\n", k, nn_loss(judging),
                   nn_loss(making));
        if (k < STEPS - LAST)
            continue;
        must(nn_read(making, "fake", NN_F64, made, BATCH), nn_plan_error(making));
        for (int i = 0; i < BATCH; i++) {
            sum += made[i];
            squares += made[i] * made[i];
        }
    }
    mean = sum / (LAST * BATCH);
    deviation = sqrt(squares / (LAST * BATCH) - mean * mean);
    printf("generated: mean %.2f, standard deviation %.2f; real: %.2f, %.2f\n", mean, deviation, MEAN,
           DEVIATION);
    nn_plan_free(judging);
    nn_plan_free(making);
    nn_graph_free(g);
    nn_model_free(artist);
    nn_model_free(judge);
    nn_close(device);
    return fabs(mean - MEAN) < 0.2 && fabs(deviation - DEVIATION) < 0.2 ? 0 : 1;
}
