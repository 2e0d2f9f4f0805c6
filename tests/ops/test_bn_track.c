/* SPDX-License-Identifier: MIT
 *
 * Running statistics: the update rule over several runs, with and without a counter, and that a batch
 * with one statistic that is not finite leaves every one of them as it was.
 */
#include "op_test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { CHANNELS = 5, COUNT = 10 };

struct bench {
    nn_device *device;
    nn_model *model;
    nn_plan *plan;
};

static struct bench set_up(bool counted)
{
    struct bench b = { op_test_device(NULL, 2), NULL, NULL };
    nn_shape shape = NN_SHAPE1(CHANNELS);
    nn_graph *g;

    ck_assert_int_eq(nn_model_new(&b.model, b.device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, b.device, b.model, NN_TRAIN), NN_OK);
    nn_bn_track(g, nn_input(g, "mean", NN_REAL, shape), nn_input(g, "variance", NN_REAL, shape),
                nn_state(g, "running_mean", NN_REAL, shape, 0), nn_state(g, "running_var", NN_REAL, shape, 1),
                counted ? nn_state(g, "batches", NN_I64, NN_SHAPE0(), 0) : NULL, 0.25, COUNT);
    ck_assert_msg(!nn_compile(&b.plan, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    nn_graph_free(g);
    return b;
}

static void tear_down(struct bench *b)
{
    nn_plan_free(b->plan);
    nn_model_free(b->model);
    nn_close(b->device);
}

static void feed(struct bench *b, const nn_real *mean, const nn_real *variance)
{
    ck_assert_int_eq(nn_write(b->plan, "mean", mean, CHANNELS * sizeof *mean), NN_OK);
    ck_assert_int_eq(nn_write(b->plan, "variance", variance, CHANNELS * sizeof *variance), NN_OK);
    ck_assert_int_eq(nn_run(b->plan, NN_FORWARD), NN_OK);
}

static void read_state(struct bench *b, nn_real *mean, nn_real *variance)
{
    ck_assert_int_eq(nn_model_read(b->model, "running_mean", NN_BASE_PARAM, NN_REAL, mean), NN_OK);
    ck_assert_int_eq(nn_model_read(b->model, "running_var", NN_BASE_PARAM, NN_REAL, variance), NN_OK);
}

static int64_t batches(struct bench *b)
{
    int64_t n = -1;

    ck_assert_int_eq(nn_model_read(b->model, "batches", NN_BASE_PARAM, NN_I64, &n), NN_OK);
    return n;
}

START_TEST(follows_the_rule)
{
    struct bench b = set_up(true);
    nn_real mean[CHANNELS], variance[CHANNELS];
    double running_mean[CHANNELS] = { 0 }, running_variance[CHANNELS] = { 1, 1, 1, 1, 1 };

    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < CHANNELS; c++) {
            mean[c] = (nn_real)(c - k);
            variance[c] = (nn_real)(c * c + k);
            running_mean[c] = 0.75 * running_mean[c] + 0.25 * (c - k);
            running_variance[c] = 0.75 * running_variance[c] + 0.25 * (c * c + k) * COUNT / (COUNT - 1);
        }
        feed(&b, mean, variance);
    }
    read_state(&b, mean, variance);
    for (int c = 0; c < CHANNELS; c++) {
        ck_assert_double_eq_tol((double)mean[c], running_mean[c], 1e-6);
        ck_assert_double_eq_tol((double)variance[c], running_variance[c], 1e-6 * running_variance[c]);
    }
    ck_assert_int_eq(batches(&b), 3);
    tear_down(&b);
}
END_TEST

START_TEST(bad_batch_changes_nothing)
{
    static const nn_real bad[3] = { NAN, INFINITY, -INFINITY };
    struct bench b = set_up(true);
    nn_real good[CHANNELS] = { 1, 2, 3, 4, 5 }, mean[CHANNELS], variance[CHANNELS], m[CHANNELS], v[CHANNELS];

    feed(&b, good, good);
    read_state(&b, mean, variance);
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < CHANNELS; c++) {
            nn_real broken[CHANNELS] = { 9, 9, 9, 9, 9 };

            broken[c] = bad[k];
            feed(&b, broken, good);
            feed(&b, good, broken);
        }
    }
    read_state(&b, m, v);
    ck_assert_mem_eq(m, mean, sizeof m);
    ck_assert_mem_eq(v, variance, sizeof v);
    ck_assert_int_eq(batches(&b), 1);
    tear_down(&b);
}
END_TEST

START_TEST(counter_is_optional)
{
    struct bench b = set_up(false);
    nn_real mean[CHANNELS] = { 4, 4, 4, 4, 4 }, variance[CHANNELS] = { 9, 9, 9, 9, 9 };

    feed(&b, mean, variance);
    read_state(&b, mean, variance);
    for (int c = 0; c < CHANNELS; c++) {
        ck_assert_double_eq_tol((double)mean[c], 1, 1e-6);
        ck_assert_double_eq_tol((double)variance[c], 0.75 + 0.25 * 10, 1e-6);
    }
    tear_down(&b);
}
END_TEST

/* What it changes must be state, and a count of one has no unbiased variance. */
START_TEST(wrong_inputs)
{
    nn_device *d = op_test_device(NULL, 1);
    nn_shape shape = NN_SHAPE1(3);

    for (int k = 0; k < 3; k++) {
        nn_model *m;
        nn_graph *g;
        nn_tensor *x, *state;

        ck_assert_int_eq(nn_model_new(&m, d, 1), NN_OK);
        ck_assert_int_eq(nn_graph_new(&g, d, m, NN_TRAIN), NN_OK);
        x = nn_input(g, "x", NN_REAL, shape);
        state = nn_state(g, "s", NN_REAL, k == 1 ? NN_SHAPE1(4) : shape, 0);
        nn_bn_track(g, x, x, k == 0 ? x : state, nn_state(g, "t", NN_REAL, shape, 0), NULL, 0.1,
                    k == 2 ? 1 : 8);
        ck_assert_int_eq(nn_graph_status(g), NN_ESHAPE);
        ck_assert(strstr(nn_graph_error(g), k == 0   ? "must be state"
                                            : k == 1 ? "[4]"
                                                     : "more than one value"));
        nn_graph_free(g);
        nn_model_free(m);
    }
    nn_close(d);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, follows_the_rule);
    tcase_add_test(t, bad_batch_changes_nothing);
    tcase_add_test(t, counter_is_optional);
    tcase_add_test(t, wrong_inputs);
}

OP_TEST(bn_track, .more = more);
