/* SPDX-License-Identifier: MIT
 *
 * The C side of op_parity.py: records each op that the script names on the script's tensors, and writes
 * its output and gradients.
 *
 *     op_parity INPUT OUTPUT [FOLDER]
 *
 * INPUT has for each case "CASE/in.0", "CASE/in.1", ..., "CASE/seed", the gradient of the output, and
 * "CASE/options" [F64]; CASE is a number, a slash and the op's name in the table below. OUTPUT gets
 * "CASE/out" and, of inputs of floating type that have one, "CASE/grad.0" ... In FOLDER a case whose ops can
 * be written as ONNX becomes NUMBER.onnx, with inputs that are called as in INPUT.
 */
#include <nn/io.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096, INPUTS = 6, OPTIONS = 8 };

typedef nn_tensor *record(nn_graph *g, nn_tensor *const *in, const double *k);

static nn_reduce_opts axes(const double *k)
{
    return (nn_reduce_opts){ .axes = (uint32_t)k[0], .keep = k[1] != 0 };
}

static nn_pool_opts window(const double *k)
{
    return (nn_pool_opts){ .k = (int64_t)k[0],
                           .stride = (int64_t)k[1],
                           .pad = (int64_t)k[2],
                           .ceil_mode = k[3] != 0,
                           .exclude_pad = k[4] != 0 };
}

static nn_tensor *permute(nn_graph *g, nn_tensor *x, const double *k)
{
    int order[OPTIONS];

    for (int i = 0; i < OPTIONS; i++)
        order[i] = (int)k[i];
    return nn_permute(g, x, order);
}

static nn_tensor *transposed(nn_graph *g, nn_tensor *const *in, const double *k)
{
    return nn_conv_transpose2d(g, in[0], in[1], in[2],
                               (nn_conv_transpose_opts){ .stride = (int64_t)k[0],
                                                         .pad = (int64_t)k[1],
                                                         .output_pad = (int64_t)k[2],
                                                         .groups = (int64_t)k[3],
                                                         .dilation = (int64_t)k[4] });
}

/* Of inputs in[] and options k[]. */
#define OPS(X)                                                                                               \
    X(relu, nn_relu(g, in[0]))                                                                               \
    X(relu6, nn_relu6(g, in[0]))                                                                             \
    X(silu, nn_silu(g, in[0]))                                                                               \
    X(sigmoid, nn_sigmoid(g, in[0]))                                                                         \
    X(exp, nn_exp(g, in[0]))                                                                                 \
    X(log, nn_log(g, in[0]))                                                                                 \
    X(sqrt, nn_sqrt(g, in[0]))                                                                               \
    X(tanh, nn_tanh(g, in[0]))                                                                               \
    X(hardswish, nn_hardswish(g, in[0]))                                                                     \
    X(hardsigmoid, nn_hardsigmoid(g, in[0]))                                                                 \
    X(sin, nn_sin(g, in[0]))                                                                                 \
    X(cos, nn_cos(g, in[0]))                                                                                 \
    X(abs, nn_abs(g, in[0]))                                                                                 \
    X(softplus, nn_softplus(g, in[0]))                                                                       \
    X(mish, nn_mish(g, in[0]))                                                                               \
    X(pow, nn_pow(g, in[0], k[0]))                                                                           \
    X(elu, nn_elu(g, in[0], k[0]))                                                                           \
    X(gelu, nn_gelu(g, in[0], k[0] != 0))                                                                    \
    X(leaky_relu, nn_leaky_relu(g, in[0], k[0]))                                                             \
    X(clamp, nn_clamp(g, in[0], k[0], k[1]))                                                                 \
    X(add, nn_add(g, in[0], in[1]))                                                                          \
    X(sub, nn_sub(g, in[0], in[1]))                                                                          \
    X(mul, nn_mul(g, in[0], in[1]))                                                                          \
    X(div, nn_div(g, in[0], in[1]))                                                                          \
    X(where, nn_where(g, in[0], in[1], in[2]))                                                               \
    X(softmax, nn_softmax(g, in[0]))                                                                         \
    X(log_softmax, nn_log_softmax(g, in[0]))                                                                 \
    X(sum, nn_sum(g, in[0], axes(k)))                                                                        \
    X(mean, nn_mean(g, in[0], axes(k)))                                                                      \
    X(max, nn_max(g, in[0], axes(k)))                                                                        \
    X(min, nn_min(g, in[0], axes(k)))                                                                        \
    X(variance, nn_variance(g, in[0], (int64_t)k[2], axes(k)))                                               \
    X(mse, nn_mse(g, in[0], in[1], (nn_reduction)k[0]))                                                      \
    X(l1, nn_l1(g, in[0], in[1], (nn_reduction)k[0]))                                                        \
    X(smooth_l1, nn_smooth_l1(g, in[0], in[1], k[1], (nn_reduction)k[0]))                                    \
    X(huber, nn_huber(g, in[0], in[1], k[1], (nn_reduction)k[0]))                                            \
    X(kl_div, nn_kl_div(g, in[0], in[1], (nn_reduction)k[0]))                                                \
    X(bce_with_logits, nn_bce_with_logits(g, in[0], in[1], in[2], (nn_reduction)k[0]))                       \
    X(cross_entropy, nn_cross_entropy(g, in[0], in[1],                                                       \
                                      (nn_ce_opts){ .smoothing = k[0],                                       \
                                                    .class_weights = in[2],                                  \
                                                    .ignore = k[1] != 0,                                     \
                                                    .ignore_index = (int32_t)k[2] }))                        \
    X(conv_transpose2d, transposed(g, in, k))                                                                \
    X(max_pool2d, nn_max_pool2d(g, in[0], window(k)))                                                        \
    X(avg_pool2d, nn_avg_pool2d(g, in[0], window(k)))                                                        \
    X(adaptive_avg_pool2d, nn_adaptive_avg_pool2d(g, in[0], (int64_t)k[0], (int64_t)k[1]))                   \
    X(upsample,                                                                                              \
      nn_upsample(g, in[0], (nn_upsample_opts){ (int64_t)k[0], (int64_t)k[1], k[2] != 0, k[3] != 0 }))       \
    X(permute, permute(g, in[0], k))                                                                         \
    X(concat, nn_concat(g, in, 3, (int)k[0]))                                                                \
    X(slice, nn_slice(g, in[0], (int)k[0], (int64_t)k[1], (int64_t)k[2]))                                    \
    X(gather, nn_gather(g, in[0], in[1], (int)k[0]))                                                         \
    X(embedding, nn_embedding(g, in[0], in[1]))                                                              \
    X(matmul, nn_matmul(g, in[0], in[1], (nn_matmul_opts){ k[0] != 0, k[1] != 0 }))                          \
    X(layer_norm, nn_layer_norm(g, in[0], in[1], in[2], k[0]))                                               \
    X(group_norm, nn_group_norm(g, in[0], in[1], in[2], (nn_group_norm_opts){ (int64_t)k[0], k[1] }))

#define X(name, call)                                                                                        \
    static nn_tensor *record_##name(nn_graph *g, nn_tensor *const *in, const double *k)                      \
    {                                                                                                        \
        (void)k;                                                                                             \
        return call;                                                                                         \
    }
OPS(X)
#undef X

static const struct {
    const char *name;
    record *call;
} op[] = {
#define X(name, call) { #name, record_##name },
    OPS(X)
#undef X
};

static nn_message why;
static nn_safetensors *file;
static nn_safetensors_item output[MOST];
static int64_t outputs;

static void check(int rc, const char *what, const char *text)
{
    if (rc) {
        (void)fprintf(stderr, "op_parity: %s: %s (%s)\n", what, text, nn_strerror(rc));
        exit(1);
    }
}

static const char *name_of(char name[128], const char *which, const char *tensor, int i)
{
    (void)snprintf(name, 128, i < 0 ? "%s/%s" : "%s/%s.%d", which, tensor, i);
    return name;
}

static const nn_safetensors_entry *find(const char *which, const char *tensor, int i)
{
    char name[128];

    return nn_safetensors_at(file, nn_safetensors_find(file, name_of(name, which, tensor, i)));
}

static void fetch(const nn_safetensors_entry *e, nn_dtype type, void *to)
{
    check(nn_safetensors_read(file, nn_safetensors_find(file, e->name), type, to, e->count, &why), e->name,
          why.text);
}

/* Memory for one more tensor of the output file. */
static nn_real *emit(const char *which, const char *tensor, int i, nn_shape shape)
{
    char *name = malloc(128);
    nn_real *data = calloc((size_t)nn_shape_count(shape) + 1, sizeof *data);

    if (!name || !data || outputs == MOST)
        check(NN_ENOMEM, which, "no room for it");
    (void)name_of(name, which, tensor, i);
    output[outputs++] = (nn_safetensors_item){ .name = name, .type = NN_REAL, .shape = shape, .data = data };
    return data;
}

static nn_tensor *record_case(nn_graph *g, const char *which, nn_tensor *const *in)
{
    const char *slash = strchr(which, '/');
    double k[OPTIONS] = { 0 };

    if (find(which, "options", -1))
        fetch(find(which, "options", -1), NN_F64, k);
    for (size_t i = 0; slash && i < sizeof op / sizeof *op; i++)
        if (!strcmp(slash + 1, op[i].name))
            return nn_observe(g, "out", op[i].call(g, in, k));
    check(NN_ENOTFOUND, which, "no such op in the table");
    return NULL;
}

static void write_onnx(const nn_graph *g, const char *which, const char *folder)
{
    char path[4096];
    int rc;

    (void)snprintf(path, sizeof path, "%s/%.3s.onnx", folder, which);
    rc = nn_onnx_write(g, path, NULL, 0, &why);
    check(rc == NN_EUNSUPPORTED ? NN_OK : rc, which, why.text);
}

static void run_case(nn_device *device, const char *which, const char *folder)
{
    nn_tensor *in[INPUTS] = { NULL }, *wanted[INPUTS], *out;
    nn_plan_opts opts = { .inputs = wanted, .seeds = &out, .seed_count = 1 };
    const nn_safetensors_entry *e;
    nn_dtype type[INPUTS];
    char name[128];
    nn_graph *g;
    nn_plan *p;

    check(nn_graph_new(&g, device, NULL, NN_TRAIN), which, "no graph");
    for (int i = 0; i < INPUTS && (e = find(which, "in", i)) != NULL; i++) {
        type[i] = e->type == NN_F32 || e->type == NN_F64 ? NN_REAL : e->type;
        in[i] = nn_input(g, name_of(name, which, "in", i), type[i], e->shape);
        if (type[i] == NN_REAL)
            wanted[opts.input_count++] = in[i];
    }
    out = record_case(g, which, in);
    if (folder)
        write_onnx(g, which, folder);
    check(nn_compile(&p, g, opts), which, nn_graph_error(g));
    for (int i = 0; i < INPUTS && in[i]; i++)
        fetch(find(which, "in", i), type[i], nn_host(p, name_of(name, which, "in", i), NULL));
    fetch(find(which, "seed", -1), NN_REAL, nn_seed(p, 0));
    check(nn_run(p, NN_GRADIENTS), which, nn_plan_error(p));
    check(nn_read(p, "out", NN_REAL, emit(which, "out", -1, nn_shape_get(out)),
                  nn_shape_count(nn_shape_get(out))),
          which, nn_plan_error(p));
    for (int i = 0; i < INPUTS && in[i]; i++) {
        nn_shape shape = nn_shape_get(in[i]);
        nn_real *to;

        /* Masks and weights have no gradient: reading it fails, and the place for it is given back. */
        if (type[i] != NN_REAL)
            continue;
        to = emit(which, "grad", i, shape);
        if (nn_read_gradient(p, name_of(name, which, "in", i), NN_REAL, to, nn_shape_count(shape))) {
            outputs--;
            free((void *)(uintptr_t)output[outputs].name);
            free(to);
        }
    }
    nn_plan_free(p);
    nn_graph_free(g);
}

int main(int argc, char **argv)
{
    nn_device *device;

    if (argc != 3 && argc != 4) {
        (void)fprintf(stderr, "usage: op_parity INPUT OUTPUT [FOLDER]\n");
        return 2;
    }
    check(nn_safetensors_open(&file, argv[1], NULL, &why), argv[1], why.text);
    check(nn_open(&device, "cpu", NULL, &why), "device", why.text);
    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        const char *name = nn_safetensors_at(file, i)->name, *end = strstr(name, "/seed");
        char which[96];

        if (!end)
            continue;
        (void)snprintf(which, sizeof which, "%.*s", (int)(end - name), name);
        run_case(device, which, argv[3]);
    }
    check(nn_safetensors_write(argv[2], output, outputs, NULL, 0, &why), argv[2], why.text);
    for (int64_t i = 0; i < outputs; i++) {
        free((void *)(uintptr_t)output[i].name);
        free((void *)(uintptr_t)output[i].data);
    }
    nn_safetensors_free(file);
    nn_close(device);
    return 0;
}
