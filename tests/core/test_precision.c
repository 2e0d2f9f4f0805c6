/* SPDX-License-Identifier: MIT
 *
 * Plans that store activations as bfloat16: where the casts are (a plan's steps, by op, as its profile names
 * them), what stays as recorded, and that a network trains with it as it does without.
 */
#include "op_test.h"
#include "suite.h"

#include <math.h>
#include <nn/layers.h>
#include <nn/models/efficientnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_device *device;
static nn_model *model;
static nn_graph *g;

static void setup(void)
{
    device = op_test_device(NULL, 2);
    ck_assert_int_eq(nn_model_new(&model, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_TRAIN), NN_OK);
}

static void teardown(void)
{
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
}

static nn_tensor *image(int64_t size) { return nn_input(g, "image", NN_REAL, NN_SHAPE4(2, size, size, 8)); }

static nn_tensor *conv(const char *name, nn_tensor *x)
{
    return nn_layer_conv2d(g, name, x, (nn_conv2d_opts){ .out = 8, .k = 1 });
}

#ifndef NN_REAL_DOUBLE

/* An op that knows nothing of types: y = 2*x. */
static void double_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < nn_shape_count(s->in[0].shape); i++)
        y[i] = 2 * x[i];
}

static void double_back(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < nn_shape_count(s->din[0].shape); i++)
        dx[i] = 2 * dy[i] + (s->accumulate & 1u ? dx[i] : 0);
}

static int double_infer(nn_node *n)
{
    if (nn_type_get(n->in[0]) != NN_REAL)
        return nn_infer_fail(n, "x must be %s", nn_dtype_name(NN_REAL));
    return nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}

static int double_forward(nn_step *s)
{
    nn_phase(s, 1, double_tile);
    return NN_OK;
}

static int double_backward(nn_step *s)
{
    nn_phase(s, 1, double_back);
    return NN_OK;
}

static const nn_op op_double = { .abi = NN_OP_ABI,
                                 .name = "double",
                                 .inputs = 1,
                                 .infer = double_infer,
                                 .forward = { double_forward },
                                 .backward = { double_backward } };

static nn_tensor *own(nn_tensor *x) { return nn_apply(g, &op_double, NULL, &x, 1); }

/* Compiles for `seed` (unless NULL) and what is observed, and returns the forward steps' ops in a row. */
static const char *compiled(nn_plan **out, nn_tensor *seed, nn_dtype precision, uint32_t flags)
{
    static char text[4096];
    nn_profile_row rows[256];
    nn_plan *p;
    int rc = nn_compile(
        &p, g,
        (nn_plan_opts){ .seeds = &seed, .seed_count = seed != NULL, .precision = precision, .flags = flags });
    int64_t n;

    ck_assert_msg(!rc, "%s", nn_graph_error(g));
    n = nn_profile_rows(p, rows, 256);
    ck_assert_int_le(n, 256);
    text[0] = 0;
    for (int64_t i = 0; i < n && rows[i].segment == NN_FORWARD; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", rows[i].op);
    if (out)
        *out = p;
    else
        nn_plan_free(p);
    return text;
}

static void expect_steps(nn_tensor *y, const char *steps)
{
    nn_observe(g, "y", y);
    ck_assert_str_eq(compiled(NULL, NULL, NN_BF16, 0), steps);
}

START_TEST(one_cast_before_a_chain)
{
    expect_steps(nn_global_avg_pool(g, nn_silu(g, conv("b", nn_relu(g, conv("a", image(4)))))),
                 "cast conv1x1 relu conv1x1 silu global_avg_pool");
}
END_TEST

/* One cast of a tensor serves all its readers. */
START_TEST(a_cast_is_shared)
{
    nn_tensor *x = image(4), *a = conv("a", x), *b = conv("b", x);

    expect_steps(nn_add(g, a, b), "cast conv1x1 conv1x1 add");
}
END_TEST

START_TEST(unknown_ops_see_what_was_recorded)
{
    expect_steps(nn_global_avg_pool(g, conv("b", own(conv("a", image(4))))),
                 "cast conv1x1 cast double cast conv1x1 global_avg_pool");
}
END_TEST

/* An op that follows joins an image and one that is not stored as one. */
START_TEST(followers)
{
    nn_tensor *x = image(4), *a = own(x), *b = conv("a", x);

    expect_steps(nn_global_avg_pool(g, nn_add(g, a, b)), "double cast conv1x1 cast add global_avg_pool");
}
END_TEST

START_TEST(small_tensors_stay)
{
    expect_steps(nn_sigmoid(g, conv("b", nn_relu(g, conv("a", image(1))))), "conv1x1 relu conv1x1 sigmoid");
}
END_TEST

START_TEST(recorded_casts_vanish)
{
    nn_tensor *x = nn_cast(g, conv("a", image(4)), NN_BF16);

    expect_steps(nn_global_avg_pool(g, conv("b", nn_cast(g, nn_relu(g, x), NN_REAL))),
                 "cast conv1x1 relu conv1x1 global_avg_pool");
}
END_TEST

/* Normalisation, gates, statistics and masks end in the slots they end in without casts. */
START_TEST(fusion_is_what_it_was)
{
    nn_tensor *x = image(6), *y;
    char *plain;
    const char *narrow;

    y = nn_silu(g, nn_layer_batchnorm(g, "n1", conv("a", x), (nn_batchnorm_opts){ 0 }));
    y = nn_layer_conv2d(g, "d", y, (nn_conv2d_opts){ .out = 8, .k = 3, .groups = 8 });
    y = nn_silu(g, nn_layer_batchnorm(g, "n2", y, (nn_batchnorm_opts){ 0 }));
    y = nn_layer_squeeze_excite(g, "se", y, 4);
    y = nn_layer_batchnorm(g, "n3", conv("b", y), (nn_batchnorm_opts){ 0 });
    y = nn_add(g, nn_drop_path(g, y, 0.2), x);
    nn_observe(g, "y", nn_global_avg_pool(g, y));
    plain = strdup(compiled(NULL, NULL, NN_F32, 0));
    ck_assert_ptr_null(strstr(plain, "cast"));
    narrow = compiled(NULL, NULL, NN_BF16, 0);
    ck_assert_int_eq(strncmp(narrow, "cast ", 5), 0);
    ck_assert_str_eq(narrow + 5, plain);
    free(plain);
}
END_TEST

/* Slots hold the kernels' own type: a gate that a user made bfloat16 is multiplied by itself. */
START_TEST(a_narrow_gate_stays_outside)
{
    nn_tensor *x = image(4), *gate = nn_sigmoid(g, nn_global_avg_pool(g, x));

    x = nn_mul(g, nn_cast(g, x, NN_BF16), nn_cast(g, gate, NN_BF16));
    nn_observe(g, "y", nn_cast(g, conv("a", x), NN_REAL));
    ck_assert_str_eq(compiled(NULL, NULL, NN_F32, 0), "global_avg_pool sigmoid cast cast mul conv1x1 cast");
}
END_TEST

/* What is seeded is handed out as NN_REAL: its op works on what was recorded. What is observed need not be.
 */
START_TEST(seeds_and_observed)
{
    nn_tensor *x = image(4), *a = nn_observe(g, "a", conv("a", x)), *y = nn_observe(g, "y", conv("b", a));
    double value[2 * 4 * 4 * 8], gradient[2 * 4 * 4 * 8];
    nn_plan *p;
    nn_real *seed, *in;

    ck_assert_str_eq(compiled(&p, y, NN_BF16, 0), "cast conv1x1 cast conv1x1");
    in = nn_host(p, "image", NULL);
    seed = nn_seed(p, 0);
    ck_assert(in && seed);
    for (int i = 0; i < 2 * 4 * 4 * 8; i++) {
        in[i] = (nn_real)op_test_uniform(1, i, -1, 1);
        seed[i] = 1;
    }
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read(p, "a", NN_F64, value, 2 * 4 * 4 * 8), NN_OK);
    ck_assert_int_eq(nn_read_gradient(p, "a", NN_F64, gradient, 2 * 4 * 4 * 8), NN_OK);
    for (int i = 0; i < 2 * 4 * 4 * 8; i++) {
        float v = (float)value[i], d = (float)gradient[i];
        uint32_t bits[2];

        memcpy(&bits[0], &v, 4);
        memcpy(&bits[1], &d, 4);
        ck_assert_msg(!(bits[0] & 0xffff) && !(bits[1] & 0xffff), "element %d: %.9g, %.9g are no bfloat16", i,
                      value[i], gradient[i]);
    }
    nn_plan_free(p);
}
END_TEST

/* A debug plan shows every tensor, in whatever it is stored. */
START_TEST(everything_is_readable)
{
    nn_real y[2 * 4 * 4 * 8];
    nn_plan *p;

    (void)conv("a", image(4));
    ck_assert_str_eq(compiled(&p, NULL, NN_BF16, NN_PLAN_DEBUG), "cast conv1x1");
    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(p, "a/conv1x1", NN_REAL, y, 2 * 4 * 4 * 8), NN_OK);
    nn_plan_free(p);
}
END_TEST

/* ------------------------------------------------------------------- training */

enum { BATCH = 8, SIDE = 64, STEPS = 12 };

struct run {
    double loss[STEPS];
    size_t activations;
    void *weights;
    size_t bytes;
};

static struct run train(nn_dtype precision, int threads, const char *isa, uint32_t flags)
{
    nn_efficientnet_config c = *nn_efficientnet_find("efficientnet_b0");
    struct run r = { .bytes = 0 };
    nn_device *d = op_test_device(isa, threads);
    nn_model *m = NULL;
    nn_graph *net = NULL;
    nn_tensor *x, *loss;
    nn_summary summary;
    nn_plan *p;
    int32_t *target;
    nn_real *in;

    c.dropout = c.drop_path = 0;
    c.width = 0.5;
    c.depth = 0.6;
    c.classes = 2;
    ck_assert_int_eq(nn_model_new(&m, d, 3), NN_OK);
    ck_assert_int_eq(nn_graph_new(&net, d, m, NN_TRAIN), NN_OK);
    x = nn_efficientnet(net, nn_input(net, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 3)), &c);
    loss = nn_cross_entropy(net, x, nn_input(net, "target", NN_I32, NN_SHAPE1(BATCH)), (nn_ce_opts){ 0 });
    ck_assert_msg(!nn_compile(&p, net,
                              (nn_plan_opts){ .loss = loss,
                                              .optim = nn_adamw((nn_adam_opts){ 0 }),
                                              .precision = precision,
                                              .flags = flags }),
                  "%s", nn_graph_error(net));
    nn_graph_free(net);
    nn_plan_summary(p, &summary);
    r.activations = summary.activation_bytes;
    in = nn_host(p, "image", NULL);
    target = nn_host(p, "target", NULL);
    (void)nn_set(p, NN_LEARNING_RATE, 5e-5);
    for (int k = 0; k < STEPS; k++) {
        for (int i = 0; i < BATCH * SIDE * SIDE * 3; i++) {
            int64_t of = i / (SIDE * SIDE * 3);

            in[i] = (nn_real)(op_test_uniform((uint64_t)k % 3, i, -1, 1) + (of % 2 && i % 3 == 0 ? 1 : 0));
            target[of] = (int32_t)(of % 2);
        }
        ck_assert_msg(!nn_run(p, NN_GRADIENTS | NN_UPDATE), "%s", nn_plan_error(p));
        r.loss[k] = nn_loss(p);
    }
    {
        const void *at = nn_model_buffer(m, NN_BASE_PARAM, &r.bytes);

        r.weights = malloc(r.bytes);
        ck_assert_ptr_nonnull(r.weights);
        memcpy(r.weights, at, r.bytes);
    }
    nn_plan_free(p);
    nn_model_free(m);
    nn_close(d);
    return r;
}

START_TEST(trains_like_fp32)
{
    struct run real = train(NN_F32, 2, NULL, 0), narrow = train(NN_BF16, 2, NULL, 0);
    double apart = 0, all = 0;

    for (int k = 0; k < STEPS; k++) {
        ck_assert_msg(fabs(real.loss[k] - narrow.loss[k]) <= 0.1 + 0.1 * real.loss[k],
                      "step %d: the loss is %.6f, %.6f in fp32", k, narrow.loss[k], real.loss[k]);
        apart += fabs(real.loss[k] - narrow.loss[k]);
        all += real.loss[k];
    }
    ck_assert_double_gt(apart, 0);
    ck_assert_msg(apart < 0.12 * all, "losses are %.3g apart in all, of %.3g", apart, all);
    ck_assert_double_lt(narrow.loss[STEPS - 1], 0.5 * narrow.loss[0]);
    ck_assert_double_lt((double)narrow.activations, 0.7 * (double)real.activations);
    free(real.weights);
    free(narrow.weights);
}
END_TEST

/* For each instruction set: threads, reuse of memory and re-emission change no bit. */
START_TEST(same_bits)
{
    const char *isa = op_test_isa(_i);
    struct run one, other;

    if (!isa)
        return;
    one = train(NN_BF16, 1, isa, 0);
    other = train(NN_BF16, 3, isa, NN_PLAN_NO_REUSE);
    ck_assert_msg(!memcmp(one.weights, other.weights, one.bytes), "%s: weights differ", isa);
    for (int k = 0; k < STEPS; k++)
        ck_assert_double_eq(one.loss[k], other.loss[k]);
    free(one.weights);
    free(other.weights);
}
END_TEST

#endif

START_TEST(refused)
{
    nn_plan *p;

    nn_observe(g, "y", conv("a", image(4)));
    ck_assert_int_eq(nn_compile(&p, g, (nn_plan_opts){ .precision = NN_U8 }), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(nn_graph_error(g), "U8"));
    if (NN_REAL == NN_F64) {
        ck_assert_int_eq(nn_compile(&p, g, (nn_plan_opts){ .precision = NN_BF16 }), NN_EUNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(nn_graph_error(g), "BF16"));
    }
    ck_assert_int_eq(nn_compile(&p, g, (nn_plan_opts){ .precision = NN_REAL }), NN_OK);
    nn_plan_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("precision");
    TCase *t = tcase_create("plans");

    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, setup, teardown);
#ifndef NN_REAL_DOUBLE
    tcase_add_test(t, one_cast_before_a_chain);
    tcase_add_test(t, a_cast_is_shared);
    tcase_add_test(t, unknown_ops_see_what_was_recorded);
    tcase_add_test(t, followers);
    tcase_add_test(t, small_tensors_stay);
    tcase_add_test(t, recorded_casts_vanish);
    tcase_add_test(t, fusion_is_what_it_was);
    tcase_add_test(t, a_narrow_gate_stays_outside);
    tcase_add_test(t, seeds_and_observed);
    tcase_add_test(t, everything_is_readable);
    tcase_add_test(t, trains_like_fp32);
    tcase_add_loop_test(t, same_bits, 0, 4);
#endif
    tcase_add_test(t, refused);
    suite_add_tcase(s, t);
    return suite_run(s);
}
