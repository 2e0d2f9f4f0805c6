/* SPDX-License-Identifier: MIT
 *
 * What a graph may hold besides ops: constants, values found by the scope that made them; and what of it a
 * plan is told to compute.
 */
#include "core/core.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/nn.h>
#include <string.h>

static nn_device *device;
static nn_model *m;
static nn_graph *g;
static nn_plan *plan;

static void setup(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 2 }, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, device, 11), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    plan = NULL;
}

static void teardown(void)
{
    nn_plan_free(plan);
    nn_graph_free(g);
    nn_model_free(m);
    nn_close(device);
}

static void compile(nn_plan_opts opts)
{
    int rc = nn_compile(&plan, g, opts);

    ck_assert_msg(rc == NN_OK, "%s", nn_graph_error(g));
}

/* x [3,2] -> [3,2], with the parameters "map.weight" and "map.bias". */
static nn_tensor *network(void)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(3, 2));

    return nn_layer_linear(g, "map", x, (nn_linear_opts){ .out = 2 });
}

static nn_tensor *squares(nn_tensor *x) { return nn_mean(g, nn_mul(g, x, x), (nn_reduce_opts){ 0 }); }

/* Copied when recorded, there in each run and each plan, and no input that could be filled or counted. */
START_TEST(constants)
{
    nn_real table[4] = { 1, 2, 3, 4 }, y[6];
    int32_t index[3] = { 1, 0, 1 };
    nn_tensor *rows = nn_constant(g, NN_REAL, NN_SHAPE2(2, 2), table);
    nn_tensor *which = nn_constant(g, NN_I32, NN_SHAPE1(3), index);
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(3, 2));

    (void)nn_observe(g, "y", nn_add(g, x, nn_embedding(g, rows, which)));
    memset(table, 0, sizeof table);
    memset(index, 0, sizeof index);
    compile((nn_plan_opts){ 0 });
    nn_graph_free(g);
    g = NULL;
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < 6; i++)
            ((nn_real *)nn_host(plan, "x", NULL))[i] = (nn_real)(10 * run);
        ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
        ck_assert_int_eq(nn_read(plan, "y", NN_REAL, y, 6), NN_OK);
        for (int i = 0; i < 6; i++)
            ck_assert(y[i] == (nn_real)(10 * run + (i / 2 == 1 ? 1 : 3) + i % 2));
    }
    ck_assert_ptr_null(nn_host(plan, "constant", NULL));
    ck_assert(nn_get(plan, NN_SAMPLE) == 6); /* two batches of three */
}
END_TEST

START_TEST(impossible_constants)
{
    nn_real one = 1;

    ck_assert_ptr_null(nn_constant(g, NN_REAL, NN_SHAPE1(0), &one));
    ck_assert_int_eq(nn_graph_status(g), NN_ESHAPE);
    nn_graph_free(g);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    ck_assert_ptr_null(nn_constant(g, NN_REAL, NN_SHAPE1(1), NULL));
    ck_assert_int_eq(nn_graph_status(g), NN_EINVAL);
    ck_assert_ptr_null(nn_constant(NULL, NN_REAL, NN_SHAPE1(1), &one));
}
END_TEST

START_TEST(output_of_a_scope)
{
    nn_tensor *a, *b, *c;

    nn_push(g, "body");
    nn_push(g, "1");
    a = nn_relu(g, network());
    nn_pop(g);
    nn_push(g, "10");
    b = nn_silu(g, a);
    nn_pop(g);
    nn_pop(g);
    c = nn_scale(g, b, 2, 0);
    ck_assert_ptr_eq(nn_output_of(g, "body.1"), a); /* not that of body.10 */
    ck_assert_ptr_eq(nn_output_of(g, "body"), b);
    ck_assert_ptr_eq(nn_output_of(g, ""), c);
    ck_assert_ptr_null(nn_output_of(g, "bod"));
    ck_assert_int_eq(nn_graph_status(g), NN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(nn_graph_error(g), "\"bod\""));
}
END_TEST

/* wrt "" asks for the loss alone: no gradients, so averaged weights can be evaluated. */
START_TEST(loss_without_gradients)
{
    nn_tensor *loss = squares(network());
    nn_plan *train;
    nn_real zero[4] = { 0 };
    double before;

    ck_assert_int_eq(
        nn_compile(&train, g,
                   (nn_plan_opts){ .loss = loss, .optim = nn_sgd((nn_sgd_opts){ 0 }), .ema_decay = 0.5 }),
        NN_OK);
    compile((nn_plan_opts){ .loss = loss, .wrt = "" });
    for (int i = 0; i < 6; i++)
        ((nn_real *)nn_host(plan, "x", NULL))[i] = 1;
    ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
    before = nn_loss(plan);
    ck_assert(before > 0);
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS), NN_ESTATE);
    ck_assert_int_eq(nn_model_write(m, "map.weight", NN_BASE_EMA, NN_REAL, zero), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "map.bias", NN_BASE_EMA, NN_REAL, zero), NN_OK);
    ck_assert_int_eq(nn_rebind(plan, NN_BASE_PARAM, NN_BASE_EMA), NN_OK);
    ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
    ck_assert(nn_loss(plan) == 0);
    ck_assert_int_eq(nn_rebind(train, NN_BASE_PARAM, NN_BASE_EMA), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(nn_plan_error(train), "wrt"));
    nn_plan_free(train);
}
END_TEST

START_TEST(losses_that_are_none)
{
    nn_tensor *x = network();
    nn_graph *other;

    ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ .loss = x }), NN_ESHAPE);
    ck_assert_ptr_nonnull(strstr(nn_graph_error(g), "[3,2]"));
    ck_assert_int_eq(nn_graph_new(&other, device, m, NN_TRAIN), NN_OK);
    ck_assert_int_eq(nn_compile(&plan, other, (nn_plan_opts){ .loss = squares(x) }), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(nn_graph_error(other), "another graph"));
    nn_graph_free(other);
}
END_TEST

/* With inputs named, their gradients are all that there is. */
START_TEST(gradients_of_inputs_alone)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(3, 2)), *loss = squares(network());
    const nn_real *grad;
    nn_real dx[6];
    size_t bytes;

    compile((nn_plan_opts){ .loss = loss, .wrt = "", .inputs = &x, .input_count = 1 });
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read_gradient(plan, "x", NN_REAL, dx, 6), NN_OK);
    ck_assert(dx[0] != 0);
    grad = nn_model_buffer(m, NN_BASE_GRAD, &bytes);
    for (size_t i = 0; grad && i < bytes / sizeof *grad; i++)
        ck_assert(grad[i] == 0);
}
END_TEST

START_TEST(nothing_to_train)
{
    nn_tensor *loss = squares(network());

    ck_assert_int_eq(
        nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .wrt = "", .optim = nn_sgd((nn_sgd_opts){ 0 }) }),
        NN_ENOTFOUND);
}
END_TEST

/* The rate of the optimizer holds until another is set; a value can be read without naming its role. */
START_TEST(learning_rate_at_first)
{
    nn_real before[2], grad[2], after[2];

    compile((nn_plan_opts){ .loss = squares(network()), .optim = nn_sgd((nn_sgd_opts){ .rate = 0.25 }) });
    ck_assert(nn_get(plan, NN_LEARNING_RATE) == 0.25);
    ck_assert_int_eq(nn_model_read(m, "map.bias", 0, NN_REAL, before), NN_OK);
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "map.bias", NN_BASE_GRAD, NN_REAL, grad), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "map.bias", 0, NN_REAL, after), NN_OK);
    for (int i = 0; i < 2; i++)
        ck_assert(fabs((double)(after[i] - (before[i] - grad[i] / 4))) < 1e-7 && grad[i] != 0);
    ck_assert(nn_adamw((nn_adam_opts){ 0 }).rate == 1e-3);
    ck_assert(nn_sgd((nn_sgd_opts){ 0 }).rate == 1e-3);
}
END_TEST

static int64_t live;
static struct nni_seam real;

static void *counting_alloc(size_t bytes)
{
    void *at = real.alloc(bytes);

    live += at != NULL;
    return at;
}

static void counting_free(void *at)
{
    live -= at != NULL;
    real.free(at);
}

/* Whatever is left, in whatever order it was made and partly freed. */
START_TEST(closing_frees_what_is_left)
{
    nn_model *first, *second, *third;
    nn_plan *left, *freed;
    nn_device *d;
    nn_graph *h;

    real = nni_seam;
    nni_seam.alloc = counting_alloc;
    nni_seam.free = counting_free;
    live = 0;
    ck_assert_int_eq(nn_open(&d, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&first, d, 1), NN_OK);
    ck_assert_int_eq(nn_model_new(&second, d, 2), NN_OK);
    ck_assert_int_eq(nn_model_new(&third, d, 3), NN_OK);
    nn_model_free(second);
    ck_assert_int_eq(nn_graph_new(&h, d, third, NN_TRAIN), NN_OK);
    (void)nn_observe(
        h, "y",
        nn_layer_linear(h, "a", nn_input(h, "x", NN_REAL, NN_SHAPE2(2, 3)), (nn_linear_opts){ .out = 4 }));
    ck_assert_int_eq(nn_compile(&left, h, (nn_plan_opts){ 0 }), NN_OK);
    ck_assert_int_eq(nn_compile(&freed, h, (nn_plan_opts){ .share = left }), NN_OK);
    ck_assert_int_eq(nn_compile(&left, h, (nn_plan_opts){ .share = left }), NN_OK);
    nn_plan_free(freed);
    ck_assert_int_gt(live, 0);
    nn_close(d);
    ck_assert_int_eq(live, 0);
    nni_seam = real;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("graph");
    TCase *t = tcase_create("graph");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, constants);
    tcase_add_test(t, impossible_constants);
    tcase_add_test(t, output_of_a_scope);
    tcase_add_test(t, loss_without_gradients);
    tcase_add_test(t, losses_that_are_none);
    tcase_add_test(t, gradients_of_inputs_alone);
    tcase_add_test(t, nothing_to_train);
    tcase_add_test(t, learning_rate_at_first);
    tcase_add_test(t, closing_frees_what_is_left);
    suite_add_tcase(s, t);
    return suite_run(s);
}
