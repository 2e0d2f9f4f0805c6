/* SPDX-License-Identifier: MIT
 *
 * The C side of the comparison with PyTorch: runs a network on tensors that a script has written
 * and writes what came out. Both directions are safetensors files.
 *
 *     nn_parity eval  NETWORK WEIGHTS INPUT OUTPUT [bf16]
 *     nn_parity train NETWORK WEIGHTS INPUT OUTPUT [debug|bf16]
 *     nn_parity optim NAME WEIGHTS INPUT OUTPUT
 *     nn_parity classify DIALECT|- WEIGHTS INPUT OUTPUT
 *
 * eval: "image" [N,H,W,3] -> "logits". train: "image.0", "image.1", ... and "target" [N] -> "loss.K"
 * and, in a debug plan, every mask as "mask.K.PATH"; of run 0 every gradient as "grad.NAME"; after
 * the last run the state as "state.NAME". The parameters do not change, unless "rate" gives AdamW (decay
 * 0.01) a learning rate for each run. optim: a small network, see below, updated as often as INPUT's "steps"
 * says with the numbers in "options" -> "rate" [steps] and, after each update, all parameters in a row,
 * "params" [steps,count]. classify: weights of anyone's; "rgb" [N,S,S,3], 8-bit pixels of the size to
 * classify at -> "logits" [N,C], all images at once, and "single", one after the other.
 */
#include <nn/classifier.h>
#include <nn/models/networks.h>
#include <nn/io.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8192 };

static nn_message why;
static nn_safetensors *input;
static nn_safetensors_item output[MOST];
static int64_t outputs;

static void check(int rc, const char *what, const char *text)
{
    if (rc) {
        (void)fprintf(stderr, "nn_parity: %s: %s (%s)\n", what, text, nn_strerror(rc));
        exit(1);
    }
}

/* Memory for one more tensor of the output file. */
static void *emit(const char *prefix, const char *name, nn_dtype type, nn_shape shape)
{
    size_t size = strlen(prefix) + strlen(name) + 1;
    char *full = malloc(size);
    void *data = calloc((size_t)nn_shape_count(shape) + 1, nn_dtype_size(type));

    if (!full || !data || outputs == MOST)
        check(NN_ENOMEM, name, "no room for it");
    (void)snprintf(full, size, "%s%s", prefix, name);
    output[outputs++] = (nn_safetensors_item){ .name = full, .type = type, .shape = shape, .data = data };
    return data;
}

static const nn_safetensors_entry *given(const char *name)
{
    return nn_safetensors_at(input, nn_safetensors_find(input, name));
}

static void fetch(const char *name, nn_dtype type, void *to, int64_t count)
{
    check(nn_safetensors_read(input, nn_safetensors_find(input, name), type, to, count, &why), name,
          why.text);
}

/* A number of INPUT's "options", in the order in which the script wrote them. */
static double option(int i)
{
    double value[16];
    int64_t count = given("options")->count;

    fetch("options", NN_F64, value, count);
    return value[i];
}

static void load(nn_model *m, const char *path)
{
    check(nn_model_load(m, path, NULL, NULL), path, nn_model_error(m));
}

/* With 1000 outputs, as the framework's has. */
static nn_tensor *record(nn_graph *g, nn_network *net, const char *name, nn_tensor *image)
{
    check(nn_network_find(name, net), name, "no such network");
    return net->record(g, image, net, 1000);
}

static void run_eval(nn_graph *g, nn_model *m, const char *network, const char *weights, nn_dtype precision)
{
    nn_shape shape = given("image")->shape;
    nn_network net;
    nn_tensor *z = record(g, &net, network, nn_input(g, "image", NN_REAL, shape));
    nn_plan *plan;

    shape = nn_shape_get(nn_observe(g, "logits", z));
    check(nn_compile(&plan, g, (nn_plan_opts){ .precision = precision }), network, nn_graph_error(g));
    load(m, weights);
    fetch("image", NN_REAL, nn_host(plan, "image", NULL), given("image")->count);
    check(nn_run(plan, NN_FORWARD), network, nn_plan_error(plan));
    check(nn_read(plan, "logits", NN_REAL, emit("", "logits", NN_REAL, shape), nn_shape_count(shape)),
          "logits", nn_plan_error(plan));
    nn_plan_free(plan);
}

/* Masks are what this side drew; the script needs them to do the same. */
static void emit_masks(nn_plan *plan, const nn_model *m, const char *head_scope, int k)
{
    static nn_profile_row row[MOST];
    int64_t rows = nn_profile_rows(plan, row, MOST), batch = given("target")->count, width;
    char weight[64];

    (void)snprintf(weight, sizeof weight, "%s.weight", head_scope);
    width = nn_model_find(m, weight)->shape.dim[1]; /* dropout is before layers as wide as the last */
    for (int64_t i = 0; i < rows && i < MOST; i++) {
        int whole_rows = strstr(row[i].name, "stochastic_depth") != NULL;
        nn_shape shape = NN_SHAPE2(batch, whole_rows ? 1 : width);
        char path[512], prefix[32];

        if (strcmp(row[i].op, "keep_mask") || row[i].segment != NN_FORWARD)
            continue;
        (void)snprintf(prefix, sizeof prefix, "mask.%d.", k);
        (void)snprintf(path, sizeof path, "%s/keep_mask", row[i].name);
        check(nn_read(plan, path, NN_REAL, emit(prefix, row[i].name, NN_REAL, shape), nn_shape_count(shape)),
              path, nn_plan_error(plan));
    }
}

static void run_train(nn_graph *g, nn_model *m, const char *network, const char *weights, unsigned flags,
                      nn_dtype precision)
{
    nn_plan_opts opts = { .seed = 7, .flags = flags, .precision = precision };
    double rate[MOST];
    nn_network net;
    nn_tensor *loss = record(g, &net, network, nn_input(g, "image", NN_REAL, given("image.0")->shape));
    nn_tensor *target = nn_input(g, "target", NN_I32, given("target")->shape);
    nn_plan *plan;
    char name[32];

    opts.loss = nn_cross_entropy(g, loss, target, (nn_ce_opts){ 0 });
    if (given("rate")) {
        opts.optim = nn_adamw((nn_adam_opts){ .decay = 0.01 });
        fetch("rate", NN_F64, rate, given("rate")->count);
    }
    check(nn_compile(&plan, g, opts), network, nn_graph_error(g));
    load(m, weights);
    fetch("target", NN_I32, nn_host(plan, "target", NULL), given("target")->count);
    for (int k = 0; (void)snprintf(name, sizeof name, "image.%d", k), given(name); k++) {
        fetch(name, NN_REAL, nn_host(plan, "image", NULL), given(name)->count);
        if (opts.optim.name)
            check(nn_set(plan, NN_LEARNING_RATE, rate[k]), "rate", nn_plan_error(plan));
        check(nn_run(plan, NN_GRADIENTS | (opts.optim.name ? NN_UPDATE : 0)), network, nn_plan_error(plan));
        (void)snprintf(name, sizeof name, "loss.%d", k);
        *(double *)emit("", name, NN_F64, NN_SHAPE0()) = nn_loss(plan);
        if (flags & NN_PLAN_DEBUG)
            emit_masks(plan, m, net.head, k);
        for (int64_t i = 0; !k && i < nn_model_count(m); i++) {
            const nn_segment *s = nn_model_segment(m, i);

            if (s->base == NN_BASE_PARAM)
                check(nn_model_read(m, s->name, NN_BASE_GRAD, NN_REAL,
                                    emit("grad.", s->name, NN_REAL, s->shape)),
                      s->name, nn_model_error(m));
        }
    }
    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);

        if (s->base == NN_BASE_STATE)
            check(
                nn_model_read(m, s->name, NN_BASE_STATE, s->type, emit("state.", s->name, s->type, s->shape)),
                s->name, nn_model_error(m));
    }
    nn_plan_free(plan);
}

/* A convolution, batch norm, squeeze-and-excite, a convolution and a linear layer: each kind of
 * parameter that an EfficientNet has, and small enough for hundreds of updates. */
static nn_tensor *small_network(nn_graph *g, nn_tensor *x)
{
    x = nn_layer_conv2d(g, "conv1", x, (nn_conv2d_opts){ .out = 6, .k = 3, .stride = 2 });
    x = nn_silu(g, nn_layer_batchnorm(g, "norm1", x, (nn_batchnorm_opts){ 0 }));
    x = nn_layer_squeeze_excite(g, "se", x, 2);
    x = nn_layer_conv2d(g, "conv2", x, (nn_conv2d_opts){ .out = 8, .k = 1 });
    x = nn_silu(g, nn_layer_batchnorm(g, "norm2", x, (nn_batchnorm_opts){ 0 }));
    x = nn_flatten(g, nn_global_avg_pool(g, x));
    return nn_layer_linear(g, "linear", x, (nn_linear_opts){ .out = 3 });
}

static nn_optim optimizer(const char *name)
{
    nn_adam_opts o = { .beta1 = option(3), .beta2 = option(4), .decay = option(5), .eps = option(6) };

    if (!strcmp(name, "sgd"))
        return nn_sgd((nn_sgd_opts){
            .momentum = option(3), .dampening = option(4), .decay = option(5), .nesterov = option(6) != 0 });
    return !strcmp(name, "adam") ? nn_adam(o) : !strcmp(name, "adamw") ? nn_adamw(o) : nn_radam(o);
}

static void run_optim(nn_graph *g, nn_model *m, const char *name, const char *weights)
{
    int64_t steps = (int64_t)option(0), warmup = (int64_t)option(1), count;
    nn_tensor *z = small_network(g, nn_input(g, "image", NN_REAL, given("image")->shape));
    nn_tensor *loss =
        nn_cross_entropy(g, z, nn_input(g, "target", NN_I32, given("target")->shape), (nn_ce_opts){ 0 });
    nn_real *params;
    double *rate;
    nn_plan *plan;

    check(nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .optim = optimizer(name) }), name,
          nn_graph_error(g));
    load(m, weights);
    count = nn_model_parameters(m);
    rate = emit("", "rate", NN_F64, NN_SHAPE1(steps));
    params = emit("", "params", NN_REAL, NN_SHAPE2(steps, count));
    fetch("image", NN_REAL, nn_host(plan, "image", NULL), given("image")->count);
    fetch("target", NN_I32, nn_host(plan, "target", NULL), given("target")->count);
    for (int64_t k = 0; k < steps; k++) {
        rate[k] = nn_warmup(k, option(2), warmup);
        check(nn_set(plan, NN_LEARNING_RATE, rate[k]), "rate", nn_plan_error(plan));
        check(nn_run(plan, NN_GRADIENTS | NN_UPDATE), name, nn_plan_error(plan));
        for (int64_t i = 0; i < nn_model_count(m); i++) {
            const nn_segment *s = nn_model_segment(m, i);

            if (s->base != NN_BASE_PARAM)
                continue;
            check(nn_model_read(m, s->name, NN_BASE_PARAM, NN_REAL, params), s->name, nn_model_error(m));
            params += s->count;
        }
    }
    nn_plan_free(plan);
}

/* Logits of `count` images at a time. */
static void classify(const char *name, nn_classifier_opts opts, const char *weights, int64_t count)
{
    const nn_safetensors_entry *rgb = given("rgb");
    int64_t n = rgb->shape.dim[0], bytes = rgb->count / n, classes;
    nn_classifier *c;
    double *logits;

    opts.batch = count;
    check(nn_classifier_open(&c, weights, &opts, &why), weights, why.text);
    classes = nn_classifier_about(c)->preprocess.classes;
    logits = emit("", name, NN_F64, NN_SHAPE2(n, classes));
    for (int64_t i = 0; i < n; i += count)
        check(nn_classifier_logits(c, (const uint8_t *)rgb->data + i * bytes, count, logits + i * classes),
              weights, nn_classifier_error(c));
    nn_classifier_close(c);
}

static void run_classify(nn_device *device, const char *dialect, const char *weights)
{
    const nn_safetensors_entry *rgb = given("rgb");
    nn_classifier_opts opts = { .device = device, .dialect = strcmp(dialect, "-") != 0 ? dialect : NULL };

    if (!rgb || rgb->type != NN_U8 || rgb->shape.rank != 4)
        check(NN_ESHAPE, "rgb", "must be [N,S,S,3] of 8 bits");
    opts.size = rgb->shape.dim[1];
    classify("logits", opts, weights, rgb->shape.dim[0]);
    classify("single", opts, weights, 1);
}

int main(int argc, char **argv)
{
    int pretrained = argc > 1 && !strcmp(argv[1], "classify");
    int train = argc > 1 && !strcmp(argv[1], "train"), eval = argc > 1 && !strcmp(argv[1], "eval");
    int debug = argc == 7 && train && !strcmp(argv[6], "debug");
    int bf16 = argc == 7 && (eval || train) && !strcmp(argv[6], "bf16");
    nn_device *device;
    nn_model *m;
    nn_graph *g;

    if (argc != 6 && !debug && !bf16) {
        (void)fprintf(stderr,
                      "usage: nn_parity eval|train|optim|classify NAME WEIGHTS INPUT OUTPUT [debug|bf16]\n");
        return 2;
    }
    check(nn_safetensors_open(&input, argv[4], NULL, &why), argv[4], why.text);
    check(nn_open(&device, "cpu", NULL, &why), "device", why.text);
    check(nn_model_new(&m, device, 1), "model", "");
    check(nn_graph_new(&g, device, m, eval ? NN_EVAL : NN_TRAIN), "graph", "");
    if (pretrained)
        run_classify(device, argv[2], argv[3]);
    else if (eval)
        run_eval(g, m, argv[2], argv[3], bf16 ? NN_BF16 : NN_F32);
    else if (train)
        run_train(g, m, argv[2], argv[3], debug ? NN_PLAN_DEBUG : 0, bf16 ? NN_BF16 : NN_F32);
    else
        run_optim(g, m, argv[2], argv[3]);
    check(nn_safetensors_write(argv[5], output, outputs, NULL, 0, &why), argv[5], why.text);
    for (int64_t i = 0; i < outputs; i++) {
        free((void *)(uintptr_t)output[i].name);
        free((void *)(uintptr_t)output[i].data);
    }
    nn_graph_free(g);
    nn_model_free(m);
    nn_safetensors_free(input);
    nn_close(device);
    return 0;
}
