/* SPDX-License-Identifier: MIT
 *
 * Whole networks through the whole pipeline: fused against unfused plans, gradients against
 * differences of the loss, thread counts, accumulation, averaging, freezing, non-finite gradients,
 * and memory that runs out anywhere.
 */
#include "core/core.h"
#include "suite.h"
#include "ops/list.h"

#include <check.h>
#include <math.h>
#include <nn/models/efficientnet.h>
#include <stdlib.h>
#include <string.h>

/* Double shows that fusion changes rounding only; in float that can take a unit across a kink of ReLU6. */
static double tolerance(const char *network)
{
    if (NN_REAL == NN_F64)
        return 1e-9;
    return strstr(network, "lite") ? 1e-2 : 2e-3;
}

struct bench {
    nn_device *device;
    nn_model *model;
    nn_plan *plan;
    int64_t count; /* elements of the parameter buffer */
};

static nn_tensor *record(nn_graph *g, const char *name, int64_t batch, int64_t size)
{
    static const int32_t target[] = { 0, 1, 2, 0, 1, 2, 0, 1 };
    nn_efficientnet_config c = *nn_efficientnet_find(name);
    nn_tensor *x = nn_input(g, "image", NN_REAL, NN_SHAPE4(batch, size, size, 3)), *logits;

    c.classes = 3;
    logits = nn_observe(g, "logits", nn_efficientnet(g, x, &c));
    return nn_cross_entropy(g, logits, nn_constant(g, NN_I32, NN_SHAPE1(batch), target), (nn_ce_opts){ 0 });
}

static void fill(nn_plan *p, uint64_t seed)
{
    nni_stream s = nni_stream_of(seed, 7);
    size_t bytes;
    nn_real *x = nn_host(p, "image", &bytes);

    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        uint32_t w[4];

        nni_stream_at(&s, 0, 0, (uint32_t)i, w);
        x[i] = (nn_real)(2 * nni_uniform(w[0]) - 1);
    }
}

static struct bench make(const char *name, int64_t batch, int threads, const char *isa, nn_plan_opts o)
{
    struct bench b = { 0 };
    size_t bytes;
    nn_graph *g;
    int rc;

    ck_assert_int_eq(nn_open(&b.device, "cpu", &(nn_device_options){ .threads = threads, .isa = isa }, NULL),
                     NN_OK);
    ck_assert_int_eq(nn_model_new(&b.model, b.device, 3), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, b.device, b.model, NN_TRAIN), NN_OK);
    o.loss = record(g, name, batch, 32 + 32 * (batch < 3));
    o.seed = 5;
    rc = nn_compile(&b.plan, g, o);
    ck_assert_msg(rc == NN_OK, "%s", nn_graph_error(g));
    nn_graph_free(g);
    (void)nn_model_buffer(b.model, NN_BASE_PARAM, &bytes);
    b.count = (int64_t)(bytes / sizeof(nn_real));
    fill(b.plan, 11);
    return b;
}

static void drop(struct bench *b)
{
    nn_plan_free(b->plan);
    nn_model_free(b->model);
    nn_close(b->device);
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

static const char *const NETS[] = { "efficientnet_b0", "efficientnet_lite0", "entry_b6" };

/* Fused, unfused without re-emission, and debug plans compute the same thing. */
START_TEST(fused_equals_unfused)
{
    static const uint32_t flags[] = {
        NN_PLAN_DEBUG,    NN_PLAN_NO_FUSE,  NN_PLAN_NO_FUSE | NN_PLAN_NO_CHEAP, 0, NN_PLAN_NO_CHEAP,
        NN_PLAN_NO_REUSE, NN_PLAN_RECOMPUTE
    };
    nn_real *reference = NULL, *state = NULL;
    double loss = 0;

    for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
        struct bench b = make(NETS[_i], 2, 2, NULL, (nn_plan_opts){ .flags = flags[k] });
        size_t bytes, state_bytes;
        nn_real *grad, *now;

        ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS), NN_OK);
        grad = nn_model_buffer(b.model, NN_BASE_GRAD, &bytes);
        now = nn_model_buffer(b.model, NN_BASE_STATE, &state_bytes);
        ck_assert_int_eq(nni_plan_check_guards(b.plan, NULL), NN_OK);
        if (!k) {
            reference = malloc(bytes);
            state = malloc(state_bytes);
            memcpy(reference, grad, bytes);
            memcpy(state, now, state_bytes);
            loss = nn_loss(b.plan);
            ck_assert(isfinite(loss));
        } else {
            double d = distance(grad, reference, b.count);

            ck_assert_msg(fabs(nn_loss(b.plan) - loss) <= tolerance(NETS[_i]) * fabs(loss),
                          "flags %u: loss %.9g, debug plan %.9g", flags[k], nn_loss(b.plan), loss);
            ck_assert_msg(d <= tolerance(NETS[_i]), "flags %u: gradients differ by %.3g (relative L2)",
                          flags[k], d);
            for (int64_t i = 0; i < nn_model_count(b.model); i++) {
                const nn_segment *s = nn_model_segment(b.model, i);
                const char *from = (const char *)state + s->offset;

                if (s->base != NN_BASE_STATE)
                    continue;
                if (s->type == NN_I64)
                    ck_assert(!memcmp(from, (char *)now + s->offset, (size_t)s->count * 8));
                else
                    ck_assert_msg(distance((nn_real *)(void *)((char *)now + s->offset),
                                           (const nn_real *)(const void *)from,
                                           s->count) <= tolerance(NETS[_i]),
                                  "%s after flags %u: %.6g, debug plan %.6g", s->name, flags[k],
                                  (double)((nn_real *)(void *)((char *)now + s->offset))[0],
                                  (double)((const nn_real *)(const void *)from)[0]);
            }
        }
        drop(&b);
    }
    free(reference);
    free(state);
}
END_TEST

/* Recomputing gives the same bits in less memory. */
START_TEST(recomputing)
{
    nn_real *reference = NULL;
    nn_summary kept, again;

    for (int k = 0; k < 2; k++) {
        struct bench b =
            make("efficientnet_b0", 2, 2, NULL, (nn_plan_opts){ .flags = k ? NN_PLAN_RECOMPUTE : 0 });
        size_t bytes;
        nn_real *grad;

        nn_plan_summary(b.plan, k ? &again : &kept);
        ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS), NN_OK);
        grad = nn_model_buffer(b.model, NN_BASE_GRAD, &bytes);
        if (!k) {
            reference = malloc(bytes);
            memcpy(reference, grad, bytes);
        }
        ck_assert(!memcmp(reference, grad, bytes));
        drop(&b);
    }
    ck_assert_uint_lt(again.activation_bytes, kept.activation_bytes / 10 * 9);
    free(reference);
}
END_TEST

START_TEST(threads_do_not_matter)
{
    nn_real *reference = NULL;

    for (int threads = 1; threads <= 4; threads++) {
        struct bench b = make("efficientnet_b0", 3, threads, NULL,
                              (nn_plan_opts){ .optim = nn_adamw((nn_adam_opts){ 0 }) });
        size_t bytes;
        nn_real *param;

        (void)nn_set(b.plan, NN_LEARNING_RATE, 1e-3);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
        param = nn_model_buffer(b.model, NN_BASE_PARAM, &bytes);
        if (!reference) {
            reference = malloc(bytes);
            memcpy(reference, param, bytes);
        }
        ck_assert_msg(!memcmp(reference, param, bytes), "%d threads give other bits than one", threads);
        drop(&b);
    }
    free(reference);
}
END_TEST

#ifdef NN_REAL_DOUBLE
/* Gradients of the whole network along directions of all parameters and pixels at once. */
START_TEST(directional_gradient)
{
    /* ReLU6 has kinks: within 1e-6 of some weights, never within 1e-8 of these. */
    nn_gradcheck_opts opts = { .elements = -1, .step = strstr(NETS[_i], "lite") ? 1e-8 : 1e-6 };
    nn_device *device;
    nn_model *model;
    nn_message why;
    nn_graph *g;

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&model, device, 3), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_TRAIN), NN_OK);
    opts.tolerance = 1e-5;
    ck_assert_msg(!nn_gradcheck(g, record(g, NETS[_i], 2, 64), opts, &why), "%s", why.text);
    nn_close(device);
}
END_TEST
#endif

/* Two runs that accumulate, each seeded with 1/2, are the mean of two gradients. */
START_TEST(accumulation)
{
    struct bench b = make("efficientnet_lite0", 2, 1, NULL, (nn_plan_opts){ 0 });
    size_t bytes;
    nn_real *grad = nn_model_buffer(b.model, NN_BASE_GRAD, &bytes), *sum = calloc(1, bytes);

    for (int k = 0; k < 2; k++) {
        fill(b.plan, (uint64_t)k);
        (void)nn_set(b.plan, NN_SAMPLE, 2 * k);
        ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS), NN_OK);
        for (int64_t i = 0; i < b.count; i++)
            sum[i] += grad[i] / 2;
    }
    (void)nn_set(b.plan, NN_LOSS_SEED, 0.5);
    for (int k = 0; k < 2; k++) {
        fill(b.plan, (uint64_t)k);
        (void)nn_set(b.plan, NN_SAMPLE, 2 * k);
        ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | (k ? NN_ACCUMULATE : 0)), NN_OK);
    }
    ck_assert_double_le(distance(grad, sum, b.count), 1e-5);
    free(sum);
    drop(&b);
}
END_TEST

/* A gradient that is not finite changes no weight and no moment, and is counted; running statistics
 * of a batch that is not finite are not taken in either. */
START_TEST(non_finite_step_is_skipped)
{
    struct bench b =
        make("efficientnet_lite0", 2, 2, NULL, (nn_plan_opts){ .optim = nn_adam((nn_adam_opts){ 0 }) });
    static const nn_base roles[] = { NN_BASE_PARAM, NN_BASE_MOMENT1, NN_BASE_MOMENT2, NN_BASE_STATE };
    void *copy[4];
    size_t bytes[4], n;
    nn_real *x;

    (void)nn_set(b.plan, NN_LEARNING_RATE, 1e-3);
    ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    for (int i = 0; i < 4; i++) {
        const void *at = nn_model_buffer(b.model, roles[i], &bytes[i]);

        copy[i] = malloc(bytes[i]);
        memcpy(copy[i], at, bytes[i]);
    }
    x = nn_host(b.plan, "image", &n);
    x[5] = (nn_real)NAN;
    ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_msg(!memcmp(copy[i], nn_model_buffer(b.model, roles[i], NULL), bytes[i]), "role %d changed",
                      i);
        free(copy[i]);
    }
    ck_assert_double_eq(nn_get(b.plan, NN_SKIPPED), 1);
    ck_assert_double_eq(nn_get(b.plan, NN_APPLIED), 1);
    ck_assert_double_eq(nn_get(b.plan, NN_STEP), 2);
    fill(b.plan, 11);
    ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    ck_assert_double_eq(nn_get(b.plan, NN_APPLIED), 2);
    drop(&b);
}
END_TEST

START_TEST(clipping)
{
    struct bench b = make("efficientnet_lite0", 2, 1, NULL,
                          (nn_plan_opts){ .optim = nn_sgd((nn_sgd_opts){ 0 }), .clip_norm = 0.25 });
    size_t bytes;
    nn_real *param = nn_model_buffer(b.model, NN_BASE_PARAM, &bytes), *before = malloc(bytes);
    double moved = 0;

    memcpy(before, param, bytes);
    (void)nn_set(b.plan, NN_LEARNING_RATE, 1);
    ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    ck_assert_double_gt(nn_get(b.plan, NN_GRAD_NORM), 0.25);
    for (int64_t i = 0; i < b.count; i++)
        moved += ((double)param[i] - (double)before[i]) * ((double)param[i] - (double)before[i]);
    ck_assert_double_le(fabs(sqrt(moved) - 0.25), 1e-3);
    free(before);
    drop(&b);
}
END_TEST

/* Only what matches `wrt` and is trainable gets a gradient and moves; the lr scale of an entry counts. */
START_TEST(freezing)
{
    struct bench b = { 0 };
    nn_real *weight, *before;
    const nn_segment *s;
    size_t bytes;
    nn_graph *g;
    nn_plan_opts o = { .wrt = "*.weight", .optim = nn_sgd((nn_sgd_opts){ 0 }) };

    ck_assert_int_eq(nn_open(&b.device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&b.model, b.device, 3), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, b.device, b.model, NN_TRAIN), NN_OK);
    o.loss = record(g, "efficientnet_lite0", 2, 32);
    ck_assert_int_gt(nn_model_set_trainable(b.model, "features.0.*", 0), 0);
    ck_assert_int_eq(nn_model_set_lr_scale(b.model, "classifier.1.weight", 0), 1);
    ck_assert_int_eq(nn_compile(&b.plan, g, o), NN_OK);
    nn_graph_free(g);
    fill(b.plan, 1);
    weight = nn_model_buffer(b.model, NN_BASE_PARAM, &bytes);
    before = malloc(bytes);
    memcpy(before, weight, bytes);
    (void)nn_set(b.plan, NN_LEARNING_RATE, 0.1);
    ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    for (int64_t i = 0; i < nn_model_count(b.model); i++) {
        bool frozen;
        int64_t at;

        s = nn_model_segment(b.model, i);
        if (s->base != NN_BASE_PARAM)
            continue;
        at = (int64_t)(s->offset / sizeof *weight);
        frozen = nn_match("features.0.*", s->name) || !nn_match("*.weight", s->name) ||
                 !strcmp(s->name, "classifier.1.weight");
        ck_assert_msg(!memcmp(weight + at, before + at, (size_t)s->count * sizeof *weight) == frozen, "%s",
                      s->name);
    }
    free(before);
    drop(&b);
}
END_TEST

/* EMA after two steps, by hand; a plan bound to the averages computes with them. */
START_TEST(averaging)
{
    struct bench b = make("efficientnet_lite0", 2, 1, NULL,
                          (nn_plan_opts){ .optim = nn_sgd((nn_sgd_opts){ 0 }), .ema_decay = 0.75 });
    nn_real *param, *ema, *mine;
    void *state;
    double logits[2][6];
    nn_plan *eval;
    size_t bytes;
    nn_graph *g;

    param = nn_model_buffer(b.model, NN_BASE_PARAM, &bytes);
    ema = nn_model_buffer(b.model, NN_BASE_EMA, &bytes);
    mine = malloc(bytes);
    memcpy(mine, param, bytes);
    (void)nn_set(b.plan, NN_LEARNING_RATE, 0.05);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
        for (int64_t i = 0; i < b.count; i++)
            mine[i] = (nn_real)0.75 * mine[i] + (nn_real)0.25 * param[i];
    }
    ck_assert_double_le(distance(ema, mine, b.count), 1e-6);
    ck_assert_int_eq(nn_graph_new(&g, b.device, b.model, NN_EVAL), NN_OK);
    (void)record(g, "efficientnet_lite0", 2, 64);
    ck_assert_msg(nn_compile(&eval, g, (nn_plan_opts){ 0 }) == NN_OK, "%s", nn_graph_error(g));
    nn_graph_free(g);
    fill(eval, 11);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
        ck_assert_int_eq(nn_read(eval, "logits", NN_F64, logits[k], 6), NN_OK);
        ck_assert_int_eq(nn_rebind(eval, NN_BASE_PARAM, NN_BASE_EMA), NN_OK);
    }
    ck_assert_double_ne(logits[0][0], logits[1][0]);
    /* The averages put in the place of the weights give the same bits: cached packings are renewed. */
    memcpy(param, ema, bytes);
    state = nn_model_buffer(b.model, NN_BASE_STATE, &bytes);
    memcpy(state, nn_model_buffer(b.model, NN_BASE_STATE_EMA, NULL), bytes);
    ck_assert_int_eq(nn_rebind(eval, NN_BASE_PARAM, NN_BASE_PARAM), NN_OK);
    ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(eval, "logits", NN_F64, logits[0], 6), NN_OK);
    ck_assert(!memcmp(logits[0], logits[1], sizeof logits[0]));
    free(mine);
    nn_plan_free(eval);
    drop(&b);
}
END_TEST

/* Training and evaluation in one arena disturb each other in nothing. */
START_TEST(shared_arena)
{
    nn_real *reference = NULL;

    for (int shared = 0; shared < 2; shared++) {
        struct bench b =
            make("efficientnet_lite0", 2, 2, NULL, (nn_plan_opts){ .optim = nn_adamw((nn_adam_opts){ 0 }) });
        nn_plan *eval;
        nn_graph *g;
        size_t bytes;
        nn_real *param;

        ck_assert_int_eq(nn_graph_new(&g, b.device, b.model, NN_EVAL), NN_OK);
        (void)record(g, "efficientnet_lite0", 8, 96); /* larger: the arena grows under the training plan */
        ck_assert_int_eq(nn_compile(&eval, g, (nn_plan_opts){ .share = shared ? b.plan : NULL }), NN_OK);
        nn_graph_free(g);
        fill(eval, 4);
        (void)nn_set(b.plan, NN_LEARNING_RATE, 1e-3);
        for (int k = 0; k < 3; k++) {
            ck_assert_int_eq(nn_run(b.plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
            ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
        }
        param = nn_model_buffer(b.model, NN_BASE_PARAM, &bytes);
        if (!reference) {
            reference = malloc(bytes);
            memcpy(reference, param, bytes);
        }
        ck_assert(!memcmp(param, reference, bytes));
        nn_plan_free(b.plan); /* the owner may go first */
        ck_assert_int_eq(nn_run(eval, NN_FORWARD), NN_OK);
        b.plan = eval;
        drop(&b);
    }
    free(reference);
}
END_TEST

/* Packed weights are kept only where they are parameters: a weight that is an input may change. */
START_TEST(weights_from_outside)
{
    nn_device *device;
    nn_plan *plan;
    nn_graph *g;
    size_t bytes;
    nn_real y[3];

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_EVAL), NN_OK);
    (void)nn_observe(g, "y",
                     nn_linear(g, nn_input(g, "x", NN_REAL, NN_SHAPE2(1, 2)),
                               nn_input(g, "w", NN_REAL, NN_SHAPE2(3, 2)), NULL));
    ck_assert_msg(nn_compile(&plan, g, (nn_plan_opts){ 0 }) == NN_OK, "%s", nn_graph_error(g));
    nn_graph_free(g);
    for (int k = 1; k < 4; k++) {
        nn_real *x = nn_host(plan, "x", &bytes), *w = nn_host(plan, "w", &bytes);

        x[0] = x[1] = 1;
        for (int i = 0; i < 6; i++)
            w[i] = (nn_real)(k * i);
        ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
        ck_assert_int_eq(nn_read(plan, "y", NN_REAL, y, 3), NN_OK);
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq((double)y[i], k * (4 * i + 1));
    }
    nn_plan_free(plan);
    nn_close(device);
}
END_TEST

/* FORWARD and BACKWARD as two calls: a mask made again in backward is the one forward drew. */
START_TEST(masks_outlive_the_call)
{
    double got[2];

    for (int split = 0; split < 2; split++) {
        nn_device *device;
        nn_model *m;
        nn_plan *plan;
        nn_graph *g;
        nn_tensor *x, *loss;
        size_t bytes;
        nn_real *in, *grad;

        ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
        ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
        ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
        x = nn_input(g, "x", NN_REAL, NN_SHAPE2(8, 4096));
        x = nn_mul(g, x, nn_param(g, "w", NN_SHAPE1(4096), (nn_init){ NN_INIT_CONSTANT, 1 }));
        loss = nn_sum(g, nn_dropout(g, x, 0.3), (nn_reduce_opts){ 0 });
        ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ .loss = loss }), NN_OK);
        nn_graph_free(g);
        in = nn_host(plan, "x", &bytes);
        for (size_t i = 0; i < bytes / sizeof *in; i++)
            in[i] = 1;
        ck_assert_int_eq(nn_run(plan, NN_BACKWARD), NN_ESTATE); /* there is no forward run yet */
        if (split) {
            ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
            ck_assert_int_eq(nn_run(plan, NN_BACKWARD), NN_OK);
        } else {
            ck_assert_int_eq(nn_run(plan, NN_GRADIENTS), NN_OK);
        }
        ck_assert_double_eq(nn_get(plan, NN_SAMPLE), 8);
        grad = nn_model_buffer(m, NN_BASE_GRAD, &bytes);
        got[0] = 0;
        for (int i = 0; i < 4096; i++)
            got[0] += (double)grad[i];
        got[1] = nn_loss(plan); /* linear in w, which is 1 */
        ck_assert_msg(fabs(got[0] - got[1]) <= 1e-5 * got[1], "gradient %.9g, loss %.9g", got[0], got[1]);
        nn_plan_free(plan);
        nn_model_free(m);
        nn_close(device);
    }
}
END_TEST

/* Looking at a frozen parameter's gradient does not train it, and a pattern that names nothing is an error.
 */
START_TEST(observed_is_not_trained)
{
    nn_device *device;
    nn_model *m;
    nn_plan *plan;
    nn_graph *g;
    nn_tensor *w, *loss;
    nn_real value, grad;

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    w = nn_observe(g, "w", nn_param(g, "w", NN_SHAPE0(), (nn_init){ NN_INIT_CONSTANT, 3 }));
    loss = nn_mul(g, w, nn_param(g, "v", NN_SHAPE0(), (nn_init){ NN_INIT_CONSTANT, 2 }));
    (void)nn_model_set_trainable(m, "w", 0);
    ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .wrt = "nobody" }), NN_ENOTFOUND);
    ck_assert(strstr(nn_graph_error(g), "nobody") != NULL);
    ck_assert_ptr_null(plan);
    ck_assert_int_eq(
        nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .optim = nn_sgd((nn_sgd_opts){ 0 }) }), NN_OK);
    nn_graph_free(g);
    (void)nn_set(plan, NN_LEARNING_RATE, 0.5);
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    ck_assert_int_eq(nn_read_gradient(plan, "w", NN_REAL, &grad, 1), NN_OK);
    ck_assert_double_eq((double)grad, 2);
    ck_assert_int_eq(nn_model_read(m, "w", NN_BASE_PARAM, NN_REAL, &value), NN_OK);
    ck_assert_double_eq((double)value, 3);
    ck_assert_int_eq(nn_model_read(m, "v", NN_BASE_PARAM, NN_REAL, &value), NN_OK);
    ck_assert_double_eq((double)value, 0.5);
    nn_plan_free(plan);
    nn_model_free(m);
    nn_close(device);
}
END_TEST

/* What a careless caller records is refused with a reason rather than run. */
START_TEST(refused_recordings)
{
    nn_device *device;
    nn_model *m;
    nn_tensor *x, *mean;
    nn_plan *plan;
    nn_graph *g;

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE2(4, 3));
    ck_assert_ptr_nonnull(nn_detach(g, x));
    ck_assert_ptr_eq(nn_input(g, "x", NN_REAL, NN_SHAPE2(4, 3)), x); /* a detached copy has no name */
    ck_assert_int_eq(
        nn_compile(&plan, g, (nn_plan_opts){ .loss = nn_detach(g, nn_sum(g, x, (nn_reduce_opts){ 0 })) }),
        NN_EINVAL);
    ck_assert_ptr_null(nn_apply(g, &nn_op_add, NULL, &x, 1));
    ck_assert(strstr(nn_graph_error(g), "needs 2 inputs") != NULL);
    nn_graph_free(g);

    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    ck_assert_ptr_null(nn_input(g, "x", NN_REAL, NN_SHAPE1(INT64_C(1) << 61)));
    nn_graph_free(g);

    /* Backward would read running statistics that the same run has changed. */
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE2(4, 3));
    mean = nn_state(g, "mean", NN_REAL, NN_SHAPE1(3), 0);
    x = nn_affine(g, x, mean, nn_param(g, "scale", NN_SHAPE1(3), (nn_init){ NN_INIT_CONSTANT, 1 }), NULL);
    nn_bn_track(g, nn_param(g, "scale", NN_SHAPE1(3), (nn_init){ NN_INIT_CONSTANT, 1 }),
                nn_param(g, "scale", NN_SHAPE1(3), (nn_init){ NN_INIT_CONSTANT, 1 }), mean,
                nn_state(g, "var", NN_REAL, NN_SHAPE1(3), 1), NULL, 0.1, 4);
    ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ .loss = nn_sum(g, x, (nn_reduce_opts){ 0 }) }),
                     NN_EUNSUPPORTED);
    ck_assert_msg(strstr(nn_graph_error(g), "mean") != NULL, "%s", nn_graph_error(g));
    nn_graph_free(g);
    nn_model_free(m);
    nn_close(device);
}
END_TEST

/* Two models in one graph; a detached value; the gradient of an observed tensor. */
START_TEST(two_models)
{
    nn_device *device;
    nn_model *a, *b;
    nn_tensor *x, *y, *z, *loss;
    nn_real grad[4], value[4];
    nn_plan *plan;
    nn_graph *g;
    size_t bytes;
    nn_real *in;

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&a, device, 1), NN_OK);
    ck_assert_int_eq(nn_model_new(&b, device, 2), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, a, NN_TRAIN), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE1(4));
    y = nn_observe(g, "y", nn_mul(g, x, nn_param(g, "w", NN_SHAPE1(4), (nn_init){ NN_INIT_CONSTANT, 2 })));
    ck_assert_ptr_eq(nn_use_model(g, b), a);
    z = nn_mul(g, nn_add(g, y, nn_detach(g, y)),
               nn_param(g, "w", NN_SHAPE1(4), (nn_init){ NN_INIT_CONSTANT, 3 }));
    loss = nn_sum(g, z, (nn_reduce_opts){ 0 });
    ck_assert_msg(nn_compile(&plan, g, (nn_plan_opts){ .loss = loss }) == NN_OK, "%s", nn_graph_error(g));
    nn_graph_free(g);
    in = nn_host(plan, "x", &bytes);
    for (int i = 0; i < 4; i++)
        in[i] = (nn_real)(i + 1);
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS), NN_OK);
    ck_assert_double_eq(nn_loss(plan), 3 * 2 * 2 * (1 + 2 + 3 + 4));
    ck_assert_int_eq(nn_model_read(a, "w", NN_BASE_GRAD, NN_REAL, grad), NN_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq((double)grad[i], 3 * (i + 1)); /* the detached half has none */
    ck_assert_int_eq(nn_model_read(b, "w", NN_BASE_GRAD, NN_REAL, grad), NN_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq((double)grad[i], 4 * (i + 1));
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, value, 4), NN_OK);
    ck_assert_int_eq(nn_read_gradient(plan, "y", NN_REAL, grad, 4), NN_OK);
    ck_assert_double_eq((double)value[2], 6);
    ck_assert_double_eq((double)grad[2], 3);
    ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK); /* whose gradients nobody has made */
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, value, 4), NN_OK);
    ck_assert_int_eq(nn_read_gradient(plan, "y", NN_REAL, grad, 4), NN_ESTATE);
    ck_assert_int_eq(nn_read(plan, "nothing", NN_REAL, value, 4), NN_ENOTFOUND);
    nn_plan_free(plan);
    nn_model_free(a);
    nn_model_free(b);
    nn_close(device);
}
END_TEST

START_TEST(numbers_that_cannot_be)
{
    static const nn_plan_opts refused[] = { { .clip_norm = -1 },   { .clip_norm = (double)NAN },
                                            { .ema_decay = 3 },    { .ema_decay = (double)NAN },
                                            { .input_count = -1 }, { .seed_count = -1 } };
    nn_device *device;
    nn_model *m;
    nn_graph *g;
    nn_tensor *loss;
    nn_plan *plan;

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    loss = nn_sum(g, nn_param(g, "w", NN_SHAPE1(4), (nn_init){ NN_INIT_CONSTANT, 2 }), (nn_reduce_opts){ 0 });
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        nn_plan_opts opts = refused[i];

        opts.loss = loss;
        ck_assert_int_eq(nn_compile(&plan, g, opts), NN_EINVAL);
    }
    ck_assert_int_eq(
        nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .optim = nn_sgd((nn_sgd_opts){ 0 }) }), NN_OK);
    ck_assert_int_eq(nn_set(plan, NN_LEARNING_RATE, 0.5), NN_OK);
    ck_assert_int_eq(nn_set(plan, NN_LEARNING_RATE, (double)NAN), NN_EINVAL);
    ck_assert_int_eq(nn_set(plan, NN_LEARNING_RATE, (double)INFINITY), NN_EINVAL);
    ck_assert_int_eq(nn_set(plan, NN_LEARNING_RATE, -1), NN_EINVAL);
    ck_assert_int_eq(nn_set(plan, NN_LOSS_SEED, (double)NAN), NN_OK); /* such updates are skipped */
    ck_assert_int_eq(nn_set(plan, NN_EMA_DECAY, 1.5), NN_EINVAL);
    ck_assert_double_eq(nn_get(plan, NN_LEARNING_RATE), 0.5);
    nn_plan_free(plan);
    nn_graph_free(g);
    nn_model_free(m);
    nn_close(device);
}
END_TEST

/* ------------------------------------------------------------------ out of memory */

static int64_t live, calls, fail_at;
static bool for_ever;
static void *(*real_alloc)(size_t);
static void (*real_free)(void *);

static void *failing_alloc(size_t size)
{
    void *m;

    calls++;
    if (calls == fail_at || (for_ever && calls > fail_at))
        return NULL;
    m = real_alloc(size);
    live += m != NULL;
    return m;
}
static void counting_free(void *m)
{
    live--;
    real_free(m);
}

static int whole_life(void)
{
    nn_device *device = NULL;
    nn_model *model = NULL;
    nn_graph *g = NULL;
    nn_plan *plan = NULL;
    int rc = nn_open(&device, "cpu", &(nn_device_options){ .threads = 2 }, NULL);

    if (!rc)
        rc = nn_model_new(&model, device, 1);
    if (!rc)
        rc = nn_graph_new(&g, device, model, NN_TRAIN);
    if (!rc) {
        nn_tensor *loss = record(g, "efficientnet_lite0", 2, 32);

        rc = nn_compile(
            &plan, g,
            (nn_plan_opts){ .loss = loss, .optim = nn_adamw((nn_adam_opts){ 0 }), .ema_decay = 0.9 });
        if (rc)
            ck_assert_msg(nn_graph_error(g)[0], "a failed compilation must say why");
    }
    if (!rc)
        rc = nn_run(plan, NN_GRADIENTS | NN_UPDATE);
    nn_plan_free(plan);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
    return rc;
}

START_TEST(memory_runs_out_anywhere)
{
    int rc = NN_ENOMEM;
    int64_t n;

    real_alloc = nni_seam.alloc;
    real_free = nni_seam.free;
    nni_seam.alloc = failing_alloc;
    nni_seam.free = counting_free;
    for_ever = _i == 1;
    for (n = 1; rc; n++) {
        fail_at = n;
        calls = live = 0;
        rc = whole_life();
        ck_assert_msg(!rc || rc == NN_ENOMEM, "allocation %lld: status %d", (long long)n, rc);
        ck_assert_msg(live == 0, "allocation %lld: %lld blocks are lost", (long long)n, (long long)live);
    }
    ck_assert_int_gt(n, 20);
    nni_seam.alloc = real_alloc;
    nni_seam.free = real_free;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("training");
    TCase *t = tcase_create("training");
    int nets = (int)(sizeof NETS / sizeof *NETS);

    tcase_set_timeout(t, 900);
    tcase_add_loop_test(t, fused_equals_unfused, 0, nets);
    tcase_add_test(t, recomputing);
    tcase_add_test(t, threads_do_not_matter);
#ifdef NN_REAL_DOUBLE
    tcase_add_loop_test(t, directional_gradient, 0, 2); /* 40 million parameters would take minutes */
#endif
    tcase_add_test(t, accumulation);
    tcase_add_test(t, non_finite_step_is_skipped);
    tcase_add_test(t, clipping);
    tcase_add_test(t, freezing);
    tcase_add_test(t, averaging);
    tcase_add_test(t, shared_arena);
    tcase_add_test(t, weights_from_outside);
    tcase_add_test(t, masks_outlive_the_call);
    tcase_add_test(t, observed_is_not_trained);
    tcase_add_test(t, refused_recordings);
    tcase_add_test(t, two_models);
    tcase_add_test(t, numbers_that_cannot_be);
    tcase_add_loop_test(t, memory_runs_out_anywhere, 0, 2);
    suite_add_tcase(s, t);
    return suite_run(s);
}
