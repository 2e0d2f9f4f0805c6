/* SPDX-License-Identifier: MIT
 *
 * A transformer that continues sequences of tokens. It is shown six digits and the same six sorted, one
 * sequence, and learns to say the next token (Vaswani et al., 2017; normalised before each part, as GPT-2).
 * Then it sorts digits that it has not seen, one token at a time, each guess being part of what comes next.
 */
#include <math.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 6, LENGTH = 2 * DIGITS - 1, TOKENS = 10, WIDTH = 48, HEADS = 4, DEPTH = 2 };
enum { BATCH = 64, STEPS = 250 };

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

static nn_tensor *linear(nn_graph *g, const char *name, nn_tensor *x, int64_t out)
{
    return nn_layer_linear(g, name, x, (nn_linear_opts){ .out = out });
}

/* Part i of [N,T,3*WIDTH] as [N,HEADS,T,WIDTH/HEADS]. */
static nn_tensor *heads(nn_graph *g, nn_tensor *x, int i)
{
    x = nn_slice(g, x, -1, i * WIDTH, WIDTH);
    x = nn_reshape(g, x, NN_SHAPE4(nn_dim(x, 0), nn_dim(x, 1), HEADS, -1));
    return nn_permute(g, x, (int[]){ 0, 2, 1, 3 });
}

/* Each place looks at itself and those before it. The mask is added to the scores: 0 or "never". */
static nn_tensor *attention(nn_graph *g, nn_tensor *x, nn_tensor *mask)
{
    nn_tensor *qkv = linear(g, "qkv", x, 3 * WIDTH), *y;

    y = nn_matmul(g, heads(g, qkv, 0), heads(g, qkv, 1), (nn_matmul_opts){ .transpose_b = 1 });
    y = nn_softmax(g, nn_add(g, nn_scale(g, y, 1 / sqrt(WIDTH / HEADS), 0), mask));
    y = nn_matmul(g, y, heads(g, qkv, 2), (nn_matmul_opts){ 0 });
    y = nn_reshape(g, nn_permute(g, y, (int[]){ 0, 2, 1, 3 }), nn_shape_get(x));
    return linear(g, "out", y, WIDTH);
}

/* Tokens [N,LENGTH] to the logits of what follows each of them, [N,LENGTH,TOKENS]. */
static nn_tensor *transformer(nn_graph *g, nn_tensor *token)
{
    nn_embedding_opts words = { .count = TOKENS, .width = WIDTH, .init_std = 0.1 };
    nn_init small = { NN_INIT_NORMAL, 0.1 };
    nn_real never[LENGTH][LENGTH];
    nn_tensor *x, *y, *mask;

    for (int i = 0; i < LENGTH * LENGTH; i++)
        never[i / LENGTH][i % LENGTH] = i % LENGTH > i / LENGTH ? (nn_real)-1e9 : 0;
    mask = nn_constant(g, NN_REAL, NN_SHAPE2(LENGTH, LENGTH), never);
    x = nn_layer_embedding(g, "token", token, words);
    x = nn_add(g, x, nn_param(g, "place", NN_SHAPE2(LENGTH, WIDTH), small));
    for (int i = 0; i < DEPTH; i++) {
        nn_pushi(g, i);
        x = nn_add(g, x, attention(g, nn_layer_layernorm(g, "norm1", x, 0), mask));
        y = nn_gelu(g, linear(g, "wide", nn_layer_layernorm(g, "norm2", x, 0), 4 * WIDTH), 0);
        x = nn_add(g, x, linear(g, "narrow", y, WIDTH));
        nn_pop(g);
    }
    return linear(g, "head", nn_layer_layernorm(g, "norm", x, 0), TOKENS);
}

static int ascending(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* Digits and the same sorted. */
static void draw(int32_t sequence[2 * DIGITS])
{
    for (int i = 0; i < DIGITS; i++)
        sequence[i] = sequence[i + DIGITS] = rand() % TOKENS;
    qsort(sequence + DIGITS, DIGITS, sizeof *sequence, ascending);
}

/* A plan that says logits, and learns if it shall. What follows a digit that is still random is no matter. */
static nn_plan *compile(nn_device *device, nn_model *model, nn_mode mode)
{
    nn_plan_opts opts = { .clip_norm = 1 };
    nn_tensor *z, *next;
    nn_graph *g;
    nn_plan *p;

    must(nn_graph_new(&g, device, model, mode), "no graph");
    z = transformer(g, nn_input(g, "token", NN_I32, NN_SHAPE2(BATCH, LENGTH)));
    z = nn_observe(g, "logits", nn_slice(g, z, 1, DIGITS - 1, DIGITS));
    if (mode == NN_TRAIN) {
        next = nn_input(g, "next", NN_I32, NN_SHAPE2(BATCH, DIGITS));
        opts.loss = nn_cross_entropy(g, z, next, (nn_ce_opts){ 0 });
        opts.optim = nn_adamw((nn_adam_opts){ .decay = 0.01 });
    }
    must(nn_compile(&p, g, opts), nn_graph_error(g));
    nn_graph_free(g);
    return p;
}

/* Has sorted what it sees in `truth`, BATCH times, and counts the digits that are in their place. */
static int sorted(nn_plan *p, int32_t truth[BATCH][2 * DIGITS])
{
    static float logits[BATCH][DIGITS][TOKENS];
    int32_t(*token)[LENGTH] = nn_host(p, "token", NULL);
    int right = 0;

    for (int n = 0; n < BATCH; n++)
        for (int i = 0; i < LENGTH; i++)
            token[n][i] = i < DIGITS ? truth[n][i] : 0; /* which nobody sees before something is said there */
    for (int i = 0; i < DIGITS; i++) {
        must(nn_run(p, NN_FORWARD), nn_plan_error(p));
        must(nn_read(p, "logits", NN_F32, logits, BATCH * DIGITS * TOKENS), nn_plan_error(p));
        for (int n = 0; n < BATCH; n++) {
            int best = 0;

            for (int t = 1; t < TOKENS; t++)
                best = logits[n][i][t] > logits[n][i][best] ? t : best;
            right += best == truth[n][DIGITS + i];
            if (i < DIGITS - 1)
                token[n][DIGITS + i] = best;
        }
    }
    return right;
}

int main(void)
{
    static int32_t truth[BATCH][2 * DIGITS];
    int right, all = BATCH * DIGITS;
    nn_device *device;
    nn_model *model;
    nn_plan *train;
    nn_message why;

    must(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, &why), why.text);
    must(nn_model_new(&model, device, 1), "no model");
    train = compile(device, model, NN_TRAIN);
    for (int k = 0; k < STEPS; k++) {
        int32_t(*token)[LENGTH] = nn_host(train, "token", NULL),
        (*next)[DIGITS] = nn_host(train, "next", NULL);

        for (int n = 0; n < BATCH; n++) {
            draw(truth[n]);
            memcpy(token[n], truth[n], sizeof token[n]);
            memcpy(next[n], truth[n] + DIGITS, sizeof next[n]);
        }
        nn_set(train, NN_LEARNING_RATE, nn_cosine(k, 3e-3, 0, STEPS));
        must(nn_run(train, NN_GRADIENTS | NN_UPDATE), nn_plan_error(train));
        if (k % 50 == 0)
            printf("step %3d: loss %.4f\n", k, nn_loss(train));
    }
    for (int n = 0; n < BATCH; n++)
        draw(truth[n]);
    right = sorted(compile(device, model, NN_EVAL), truth);
    printf("sorted: %d of %d digits are in their place\n", right, all);
    nn_close(device); /* and all that was made on it */
    return right > all * 9 / 10 ? 0 : 1;
}
