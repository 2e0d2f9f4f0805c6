/* SPDX-License-Identifier: MIT
 *
 * The CUDA backend on the shim (tests/cuda_host): whole networks are compiled, recorded, replayed and
 * trained, and compared with the CPU backend; threads and blocks in every order and streams early or late
 * give the same bits.
 */
#include "core/core.h"
#include "shim.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/models/efficientnet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct network {
    nn_device *device;
    nn_model *model;
    nn_plan *plan;
};

enum { BATCH = 6, SIDE = 40, CLASSES = 3 }; /* batch norm sees 24 values at least */

static void fill(nn_plan *p, uint64_t seed)
{
    nni_stream s = nni_stream_of(seed, 7);
    size_t bytes;
    uint8_t *x = nn_host(p, "image", &bytes);
    int32_t *target;

    for (size_t i = 0; i < bytes; i++) {
        uint32_t w[4];

        nni_stream_at(&s, 0, 0, (uint32_t)i, w);
        x[i] = (uint8_t)(w[0] >> 24);
    }
    target = nn_host(p, "target", &bytes);
    for (int32_t i = 0; i < BATCH; i++)
        target[i] = (int32_t)((seed + (uint64_t)i) % CLASSES);
}

static nn_tensor *record(nn_graph *g)
{
    static const double mean[3] = { 0.485, 0.456, 0.406 }, std[3] = { 0.229, 0.224, 0.225 };
    nn_efficientnet_config c = *nn_efficientnet_find("efficientnet_b0");
    nn_tensor *x =
        nn_normalize(g, nn_input(g, "image", NN_U8, NN_SHAPE4(BATCH, SIDE, SIDE, 3)), mean, std, 255);

    c.width = 0.25; /* the same blocks with fewer channels, for time */
    c.depth = 0.4;
    c.classes = CLASSES;
    x = nn_observe(g, "logits", nn_efficientnet(g, x, &c));
    return nn_cross_entropy(g, x, nn_input(g, "target", NN_I32, NN_SHAPE1(BATCH)),
                            (nn_ce_opts){ .smoothing = 0.1 });
}

static struct network make(const char *device, nn_plan_opts o)
{
    struct network n = { 0 };
    nn_message why = { "" };
    nn_graph *g;

    ck_assert_msg(!nn_open(&n.device, device, &(nn_device_options){ .threads = 2 }, &why), "%s", why.text);
    ck_assert_int_eq(nn_model_new(&n.model, n.device, 3), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, n.device, n.model, NN_TRAIN), NN_OK);
    o.loss = record(g);
    o.seed = 5;
    ck_assert_msg(!nn_compile(&n.plan, g, o), "%s", nn_graph_error(g));
    nn_graph_free(g);
    return n;
}

static void drop(struct network *n)
{
    nn_plan_free(n->plan);
    nn_model_free(n->model);
    nn_close(n->device);
    ck_assert_msg(!*shim_error(), "%s", shim_error());
}

static void step(struct network *n, int k, unsigned what)
{
    fill(n->plan, (uint64_t)k);
    ck_assert_msg(!nn_run(n->plan, what), "%s: %s", nn_plan_error(n->plan), shim_error());
}

static double distance(const nn_real *a, const nn_real *b, int64_t n)
{
    double d = 0, s = 0;

    for (int64_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    /* Below 1e-3 on average is rounding: means of normalised channels are zero but for it. */
    return sqrt(d / fmax(s, (double)n * 1e-6));
}

/* A role's buffer in memory of our own. */
static nn_real *take(struct network *n, nn_base role, size_t *bytes)
{
    const void *at = nn_model_buffer(n->model, role, bytes);
    nn_real *copy = malloc(*bytes);

    ck_assert(at && copy);
    return memcpy(copy, at, *bytes);
}

/* Gradients, logits and running statistics of one run, fused and not, with guards around every tensor, and
 * the same where activations are bfloat16. There the two sum in other orders, and batch norm
 * over 24 values makes much of that: the bounds are about twice what lies between the CPU's own bfloat16 and
 * float32. */
START_TEST(one_run)
{
    static const uint32_t flags[] = { 0, NN_PLAN_DEBUG, NN_PLAN_RECOMPUTE };
    nn_plan_opts o = { .flags = flags[_i % 3], .precision = _i < 3 ? NN_F32 : NN_BF16 };
    double exact = _i < 3 ? 1e-4 : 0.08, near = _i < 3 ? 1e-3 : 0.25;
    struct network cpu = make("cpu", o), gpu = make("cuda", o);
    nn_real a[BATCH * CLASSES], b[BATCH * CLASSES], *x, *y;
    nn_message why = { "" };
    nn_summary summary;
    size_t bytes;

    step(&cpu, 1, NN_GRADIENTS);
    step(&gpu, 1, NN_GRADIENTS);
    ck_assert_double_eq_tol(nn_loss(gpu.plan), nn_loss(cpu.plan), exact / 5 * nn_loss(cpu.plan));
    ck_assert_msg(!nni_plan_check_guards(gpu.plan, &why), "%s", why.text);
    ck_assert_int_eq(nn_read(cpu.plan, "logits", NN_REAL, a, BATCH * CLASSES), NN_OK);
    ck_assert_int_eq(nn_read(gpu.plan, "logits", NN_REAL, b, BATCH * CLASSES), NN_OK);
    ck_assert_double_lt(distance(b, a, BATCH * CLASSES), exact);
    x = take(&cpu, NN_BASE_GRAD, &bytes);
    y = take(&gpu, NN_BASE_GRAD, &bytes);
    ck_assert_double_lt(distance(y, x, (int64_t)(bytes / sizeof *x)), near);
    free(x);
    free(y);
    for (int64_t i = 0; i < nn_model_count(cpu.model); i++) {
        const nn_segment *s = nn_model_segment(cpu.model, i);

        if (s->base != NN_BASE_STATE || s->type != NN_REAL)
            continue;
        x = malloc((size_t)s->count * sizeof *x);
        y = malloc((size_t)s->count * sizeof *y);
        ck_assert_int_eq(nn_model_read(cpu.model, s->name, NN_BASE_PARAM, NN_REAL, x), NN_OK);
        ck_assert_int_eq(nn_model_read(gpu.model, s->name, NN_BASE_PARAM, NN_REAL, y), NN_OK);
        ck_assert_msg(distance(y, x, s->count) < (_i < 3 ? exact : near), "%s", s->name);
        free(x);
        free(y);
    }
    nn_plan_summary(gpu.plan, &summary);
    ck_assert_uint_gt(nn_device_peak_bytes(gpu.device), summary.peak_bytes);
    ck_assert_uint_eq(nn_device_peak_bytes(cpu.device), 0);
    drop(&cpu);
    drop(&gpu);
}
END_TEST

static nn_plan_opts trainer(nn_optim optim, nn_dtype precision)
{
    return (nn_plan_opts){ .optim = optim, .clip_norm = 1, .ema_decay = 0.9, .precision = precision };
}

/* Ten steps with two micro-batches each; every optimizer follows the CPU's, in bfloat16 the first. */
START_TEST(training)
{
    const nn_optim optims[] = { nn_adamw((nn_adam_opts){ .decay = 0.01 }),
                                nn_sgd((nn_sgd_opts){ .momentum = 0.9, .decay = 1e-4, .nesterov = 1 }),
                                nn_adam((nn_adam_opts){ .decay = 0.01 }), nn_radam((nn_adam_opts){ 0 }) };
    static const nn_base roles[] = { NN_BASE_PARAM, NN_BASE_EMA };
    nn_plan_opts o = trainer(optims[_i % 4], _i < 4 ? NN_F32 : NN_BF16);
    struct network n[2] = { make("cpu", o), make("cuda", o) };
    int steps = _i % 4 ? 3 : 10;
    double near = _i < 4 ? 1 : 10; /* times what fp32 is allowed */

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(nn_set(n[i].plan, NN_LOSS_SEED, 0.5), NN_OK);
        for (int k = 0; k < steps; k++) {
            (void)nn_set(n[i].plan, NN_LEARNING_RATE, 1e-5 * (k + 1));
            step(&n[i], 2 * k, NN_GRADIENTS);
            step(&n[i], 2 * k + 1, NN_GRADIENTS | NN_ACCUMULATE);
            ck_assert_int_eq(nn_run(n[i].plan, NN_UPDATE), NN_OK);
        }
    }
    ck_assert_double_eq_tol(nn_loss(n[1].plan), nn_loss(n[0].plan), near * 5e-3 * fabs(nn_loss(n[0].plan)));
    ck_assert(nn_get(n[1].plan, NN_APPLIED) == steps);
    ck_assert(nn_get(n[1].plan, NN_STEP) == steps);
    ck_assert_double_eq_tol(nn_get(n[1].plan, NN_GRAD_NORM), nn_get(n[0].plan, NN_GRAD_NORM),
                            near * 1e-2 * nn_get(n[0].plan, NN_GRAD_NORM));
    for (int r = 0; r < 2; r++) {
        size_t bytes;
        nn_real *x = take(&n[0], roles[r], &bytes), *y = take(&n[1], roles[r], &bytes);

        ck_assert_msg(distance(y, x, (int64_t)(bytes / sizeof *x)) < near * 1e-3, "role %d differs by %g",
                      roles[r], distance(y, x, (int64_t)(bytes / sizeof *x)));
        free(x);
        free(y);
    }
    drop(&n[0]);
    drop(&n[1]);
}
END_TEST

/* Two steps, in fp32 and in bfloat16, are the same to the bit in every order of threads and blocks, with
 * streams that run at once or when waited for, whatever memory begins as, and again. */
START_TEST(same_bits)
{
    static const struct shim_settings settings[] = {
        { .order = SHIM_ASCENDING, .poison = 0xff, .devices = 1 },
        { .order = SHIM_ASCENDING, .poison = 0xff, .devices = 1 },
        { .order = SHIM_DESCENDING, .poison = 0x3c, .devices = 1 },
        { .order = SHIM_RANDOM, .eager = 1, .poison = 0xff, .devices = 1 },
    };
    nn_real *first[3] = { NULL };
    static const nn_base roles[] = { NN_BASE_PARAM, NN_BASE_GRAD, NN_BASE_STATE };

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct network n;

        shim_set(settings[i]);
        n = make("cuda", trainer(nn_adamw((nn_adam_opts){ 0 }), _i ? NN_BF16 : NN_F32));
        (void)nn_set(n.plan, NN_LEARNING_RATE, 1e-3);
        for (int k = 0; k < 2; k++)
            step(&n, k, NN_GRADIENTS | NN_UPDATE);
        for (int r = 0; r < 3; r++) {
            size_t bytes;
            nn_real *now = take(&n, roles[r], &bytes);

            if (!first[r])
                first[r] = now;
            ck_assert_msg(!memcmp(first[r], now, bytes), "role %d differs in setting %zu", roles[r], i);
            if (first[r] != now)
                free(now);
        }
        drop(&n);
    }
    for (int r = 0; r < 3; r++)
        free(first[r]);
}
END_TEST

/* A gradient that is not finite changes nothing and is counted; the host need not have asked in between. */
START_TEST(skipping)
{
    struct network n = make("cuda", trainer(nn_adam((nn_adam_opts){ 0 }), NN_F32));
    size_t bytes;
    nn_real *before = take(&n, NN_BASE_PARAM, &bytes), *after;

    (void)nn_set(n.plan, NN_LEARNING_RATE, 1e-3);
    (void)nn_set(n.plan, NN_LOSS_SEED, INFINITY);
    for (int k = 0; k < 12; k++)
        step(&n, k, NN_GRADIENTS | NN_UPDATE);
    after = take(&n, NN_BASE_PARAM, &bytes);
    ck_assert(!memcmp(before, after, bytes));
    ck_assert(nn_get(n.plan, NN_SKIPPED) == 12 && nn_get(n.plan, NN_APPLIED) == 0);
    free(before);
    free(after);
    drop(&n);
}
END_TEST

/* Averaged weights by another plan on the same model: rebinding records again, loading reaches the device. */
START_TEST(rebinding)
{
    nn_dtype precision = _i ? NN_BF16 : NN_F32; /* copies of weights are then kept, and made again */
    struct network n = make("cuda", trainer(nn_adam((nn_adam_opts){ 0 }), precision));
    nn_real trained[BATCH * CLASSES], averaged[BATCH * CLASSES], again[BATCH * CLASSES];
    nn_plan *eval;
    nn_graph *g;

    ck_assert_int_eq(nn_graph_new(&g, n.device, n.model, NN_EVAL), NN_OK);
    (void)record(g);
    ck_assert_msg(!nn_compile(&eval, g, (nn_plan_opts){ .precision = precision }), "%s", nn_graph_error(g));
    nn_graph_free(g);
    (void)nn_set(n.plan, NN_LEARNING_RATE, 1e-2);
    for (int k = 0; k < 3; k++)
        step(&n, k, NN_GRADIENTS | NN_UPDATE);
    fill(eval, 9);
    ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(eval, "logits", NN_REAL, trained, BATCH * CLASSES), NN_OK);
    ck_assert_int_eq(nn_rebind(eval, NN_BASE_PARAM, NN_BASE_EMA), NN_OK);
    ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(eval, "logits", NN_REAL, averaged, BATCH * CLASSES), NN_OK);
    ck_assert(memcmp(trained, averaged, sizeof trained) != 0);
    ck_assert_int_eq(nn_rebind(eval, NN_BASE_PARAM, NN_BASE_PARAM), NN_OK);
    ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(eval, "logits", NN_REAL, again, BATCH * CLASSES), NN_OK);
    ck_assert(!memcmp(trained, again, sizeof trained));
    memcpy(nn_model_buffer(n.model, NN_BASE_PARAM, NULL), nn_model_buffer(n.model, NN_BASE_EMA, NULL),
           n.model->bytes[0]);
    memcpy(nn_model_buffer(n.model, NN_BASE_STATE, NULL), nn_model_buffer(n.model, NN_BASE_STATE_EMA, NULL),
           n.model->bytes[1]);
    nn_model_changed(n.model);
    ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(eval, "logits", NN_REAL, again, BATCH * CLASSES), NN_OK);
    ck_assert(!memcmp(averaged, again, sizeof again));
    nn_plan_free(eval);
    drop(&n);
}
END_TEST

/* A run that is saved and goes on in another process is the run that was never interrupted, to the bit. */
START_TEST(resuming)
{
    nn_plan_opts o = trainer(nn_adamw((nn_adam_opts){ .decay = 0.01 }), NN_BF16);
    char path[] = "/tmp/nn_cuda_XXXXXX";
    struct network a = make("cuda", o), b;
    nn_message why = { "" };
    nn_safetensors *file;
    size_t bytes;
    nn_real *x, *y;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    (void)nn_set(a.plan, NN_LEARNING_RATE, 1e-3);
    step(&a, 0, NN_GRADIENTS | NN_UPDATE);
    ck_assert_msg(!nn_checkpoint_save(a.plan, a.model, path, NULL, 0, &why), "%s", why.text);
    step(&a, 1, NN_GRADIENTS | NN_UPDATE);
    x = take(&a, NN_BASE_PARAM, &bytes);
    drop(&a);
    b = make("cuda", o);
    step(&b, 7, NN_GRADIENTS | NN_UPDATE);
    ck_assert_msg(!nn_safetensors_open(&file, path, NULL, &why), "%s", why.text);
    ck_assert_msg(!nn_checkpoint_load(b.plan, b.model, file, &why), "%s", why.text);
    nn_safetensors_free(file);
    (void)nn_set(b.plan, NN_LEARNING_RATE, 1e-3);
    step(&b, 1, NN_GRADIENTS | NN_UPDATE);
    y = take(&b, NN_BASE_PARAM, &bytes);
    ck_assert(!memcmp(x, y, bytes));
    free(x);
    free(y);
    drop(&b);
    (void)unlink(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cuda");
    TCase *t = tcase_create("training");

    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, one_run, 0, 6);
    tcase_add_loop_test(t, training, 0, 5);
    tcase_add_loop_test(t, same_bits, 0, 2);
    tcase_add_test(t, skipping);
    tcase_add_loop_test(t, rebinding, 0, 2);
    tcase_add_test(t, resuming);
    suite_add_tcase(s, t);
    return suite_run(s);
}
