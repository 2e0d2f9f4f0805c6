/* SPDX-License-Identifier: MIT
 *
 * Right arguments at the wrong time: runs without what they need, values read before they are there, objects
 * freed in any order, graphs used after a failure, sizes that no memory holds.
 */
#include "suite.h"

#include <check.h>
#include <nn/nn.h>
#include <stdio.h>
#include <string.h>

static nn_device *device;
static nn_model *model;
static nn_graph *graph;

static void set_up(void)
{
    nn_message why;

    ck_assert_msg(!nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, &why), "%s", why.text);
    ck_assert_int_eq(nn_model_new(&model, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&graph, device, model, NN_TRAIN), NN_OK);
}

static void tear_down(void)
{
    nn_graph_free(graph);
    nn_model_free(model);
    nn_close(device);
}

/* sum of silu(x*v) over [4,256], which keeps values for its gradient. */
static nn_tensor *record(void)
{
    nn_tensor *x = nn_input(graph, "x", NN_REAL, NN_SHAPE2(4, 256));
    nn_tensor *v = nn_param(graph, "v", NN_SHAPE1(256), (nn_init){ NN_INIT_CONSTANT, 0.5 });

    x = nn_observe(graph, "y", nn_silu(graph, nn_mul(graph, x, v)));
    return nn_sum(graph, nn_exp(graph, nn_tanh(graph, x)), (nn_reduce_opts){ 0 });
}

static nn_plan *compile(nn_plan_opts opts)
{
    nn_plan *p;

    ck_assert_msg(!nn_compile(&p, graph, opts), "%s", nn_graph_error(graph));
    return p;
}

static void expect(nn_plan *p, int status, const char *says)
{
    ck_assert_int_eq(status, NN_ESTATE);
    ck_assert_msg(strstr(nn_plan_error(p), says) != NULL, "%s", nn_plan_error(p));
}

static void fill(nn_plan *p)
{
    size_t bytes;
    nn_real *x = nn_host(p, "x", &bytes);

    for (size_t i = 0; i < bytes / sizeof *x; i++)
        x[i] = (nn_real)((double)(i % 17) / 8 - 1);
}

/* What a forward run leaves is overwritten by the backward run, unless nothing is reused. */
START_TEST(backward_runs_once)
{
    nn_tensor *loss = record();
    nn_plan *p = compile((nn_plan_opts){ .loss = loss });
    nn_plan *keeps = compile((nn_plan_opts){ .loss = loss, .flags = NN_PLAN_NO_REUSE });
    double first[256], again[256];

    expect(p, nn_run(p, NN_BACKWARD), "forward run");
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS),
                     NN_OK); /* of zeros: an input that was not written holds these */
    ck_assert_double_eq(nn_loss(p), 4 * 256);
    fill(p);
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_model_read(model, "v", NN_BASE_GRAD, NN_F64, first), NN_OK);
    expect(p, nn_run(p, NN_BACKWARD), "NN_PLAN_NO_REUSE");
    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_run(p, NN_BACKWARD), NN_OK);
    fill(keeps);
    ck_assert_int_eq(nn_run(keeps, NN_FORWARD), NN_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(nn_run(keeps, NN_BACKWARD), NN_OK);
        ck_assert_int_eq(nn_model_read(model, "v", NN_BASE_GRAD, NN_F64, again), NN_OK);
        ck_assert_mem_eq(first, again, sizeof first);
    }
    nn_plan_free(p);
    nn_plan_free(keeps);
}
END_TEST

START_TEST(seeds_are_written)
{
    nn_tensor *y = record();
    nn_plan *p = compile((nn_plan_opts){ .seeds = &y, .seed_count = 1 });

    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    expect(p, nn_run(p, NN_BACKWARD), "seed 0");
    nn_seed(p, 0)[0] = 1;
    ck_assert_int_eq(nn_run(p, NN_BACKWARD), NN_OK);
    nn_plan_free(p);
}
END_TEST

/* Values in the arena, and those made of parameters once and kept. */
START_TEST(values_are_there)
{
    nn_tensor *v = nn_param(graph, "v", NN_SHAPE1(256), (nn_init){ NN_INIT_CONSTANT, 0.5 });
    double number[1024];
    nn_plan *p;

    (void)nn_observe(graph, "kept", nn_scale(graph, v, 2, 0));
    (void)record();
    p = compile((nn_plan_opts){ 0 });
    expect(p, nn_read(p, "y", NN_F64, number, 1024), "has not run");
    expect(p, nn_read(p, "kept", NN_F64, number, 256), "has not run");
    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(p, "y", NN_F64, number, 1024), NN_OK);
    ck_assert_int_eq(nn_read(p, "kept", NN_F64, number, 256), NN_OK);
    ck_assert_double_eq(number[255], 1);
    nn_plan_free(p);
}
END_TEST

/* A debug plan paints guards into the arena that it shares. */
START_TEST(paint_is_no_value)
{
    nn_tensor *loss = record();
    nn_plan *p = compile((nn_plan_opts){ .loss = loss, .flags = NN_PLAN_NO_REUSE }), *debug;
    double number[1024];

    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    debug = compile((nn_plan_opts){ .share = p, .flags = NN_PLAN_DEBUG });
    expect(p, nn_read(p, "y", NN_F64, number, 1024), "has not run");
    expect(p, nn_run(p, NN_BACKWARD), "another plan");
    nn_plan_free(debug);
    nn_plan_free(p);
}
END_TEST

/* All orders in which a graph, its model and two plans of one arena can be freed; the device is the last. */
START_TEST(any_order_of_freeing)
{
    nn_tensor *loss = record();
    nn_plan *p = compile((nn_plan_opts){ .loss = loss }),
            *q = compile((nn_plan_opts){ .loss = loss, .share = p });
    int left[4] = { 0, 1, 2, 3 };

    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    for (int n = 4, code = _i; n > 0; n--) {
        int k = code % n;

        code /= n;
        switch (left[k]) {
        case 0: nn_graph_free(graph); break;
        case 1: nn_model_free(model); break;
        case 2: nn_plan_free(p); break;
        default: nn_plan_free(q); break;
        }
        left[k] = left[n - 1];
    }
    graph = NULL;
    model = NULL;
}
END_TEST

/* A graph that could not be compiled one way can be compiled in another; one that failed stays failed. */
START_TEST(after_failures)
{
    nn_tensor *loss = record(), *x;
    nn_plan *p, *q;

    ck_assert_int_eq(nn_compile(&p, graph, (nn_plan_opts){ .loss = loss, .wrt = "nobody" }), NN_ENOTFOUND);
    ck_assert_ptr_null(p);
    p = compile((nn_plan_opts){ .loss = loss });
    q = compile((nn_plan_opts){ .loss = loss, .flags = NN_PLAN_DEBUG });
    fill(p);
    fill(q);
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_run(q, NN_GRADIENTS), NN_OK);
    ck_assert_double_eq_tol(nn_loss(p), nn_loss(q), 1e-3);
    nn_plan_free(q);
    ck_assert_ptr_null(nn_param(graph, "late", NN_SHAPE1(1), (nn_init){ 0 }));
    ck_assert_int_eq(nn_graph_status(graph), NN_ESTATE);
    x = nn_relu(graph, nn_input(graph, "z", NN_REAL, NN_SHAPE1(1)));
    ck_assert_ptr_null(x);
    ck_assert_ptr_null(nn_observe(graph, "z", loss));
    ck_assert(strstr(nn_graph_error(graph), "late") != NULL);
    ck_assert_int_eq(nn_compile(&q, graph, (nn_plan_opts){ .loss = loss }), NN_ESTATE);
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK); /* a plan does not need its graph */
    nn_plan_free(p);
}
END_TEST

/* 2^48 elements: as many tensors of I64, or twice as many of NN_REAL, have more bytes than a size can say. */
enum { LARGEST = 48, MANY = 1 << 13 };

START_TEST(too_many_parameters)
{
    char name[16];
    int n = 0;

    while (n < 2 * MANY && !nn_graph_status(graph)) {
        (void)snprintf(name, sizeof name, "p%d", n++);
        (void)nn_param(graph, name, NN_SHAPE1(INT64_C(1) << LARGEST), (nn_init){ 0 });
    }
    ck_assert_int_lt(n, 2 * MANY);
    ck_assert_msg(strstr(nn_graph_error(graph), name) != NULL, "%s", nn_graph_error(graph));
}
END_TEST

START_TEST(too_many_inputs)
{
    nn_plan *p;

    for (int i = 0; i < MANY; i++)
        (void)nn_observe(graph, nn_namei(graph, i),
                         nn_input(graph, nn_namei(graph, i), NN_I64, NN_SHAPE1(INT64_C(1) << LARGEST)));
    ck_assert_int_eq(nn_graph_status(graph), NN_OK);
    ck_assert_int_eq(nn_compile(&p, graph, (nn_plan_opts){ 0 }), NN_ENOMEM);
}
END_TEST

START_TEST(too_many_activations)
{
    nn_tensor *x = nn_input(graph, "x", NN_REAL, NN_SHAPE1(INT64_C(1) << LARGEST));
    nn_plan *p;

    for (int i = 0; i < 2 * MANY; i++)
        x = nn_silu(graph, x);
    (void)nn_observe(graph, "y", x);
    ck_assert_int_eq(nn_compile(&p, graph, (nn_plan_opts){ .flags = NN_PLAN_NO_REUSE | NN_PLAN_NO_FUSE }),
                     NN_ENOMEM);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("misuse");
    TCase *t = tcase_create("misuse");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, backward_runs_once);
    tcase_add_test(t, seeds_are_written);
    tcase_add_test(t, values_are_there);
    tcase_add_test(t, paint_is_no_value);
    tcase_add_loop_test(t, any_order_of_freeing, 0, 24);
    tcase_add_test(t, after_failures);
    tcase_add_test(t, too_many_parameters);
    tcase_add_test(t, too_many_inputs);
    tcase_add_test(t, too_many_activations);
    suite_add_tcase(s, t);
    return suite_run(s);
}
