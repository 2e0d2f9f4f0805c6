/* SPDX-License-Identifier: MIT
 *
 * A model's entries, read and written in every role by name, and on a device that has memory of its own:
 * what the host wrote must arrive there whatever the host looks at in between. The device here is the CPU
 * with mirrors that lie elsewhere.
 */
#include "core/core.h"
#include "suite.h"

#include <check.h>
#include <string.h>

static nn_device *device;
static nn_model *model;
static struct nni_backend apart;

static void *mirror(nn_device *d, void *at, size_t bytes)
{
    (void)d;
    (void)at;
    return nni_alloc(bytes);
}

static void unmirror(nn_device *d, void *at)
{
    (void)d;
    nni_free(at);
}

/* Two parameters and one piece of state, in that order in memory. */
static void set_up(void)
{
    nn_graph *g;

    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    apart = *device->backend;
    apart.mirror = mirror;
    apart.unmirror = unmirror;
    ck_assert_int_eq(nn_model_new(&model, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_EVAL), NN_OK);
    ck_assert_ptr_nonnull(nn_param(g, "first", NN_SHAPE1(1000), (nn_init){ NN_INIT_CONSTANT, 1 }));
    ck_assert_ptr_nonnull(nn_param(g, "last", NN_SHAPE1(2), (nn_init){ NN_INIT_CONSTANT, 2 }));
    ck_assert_ptr_nonnull(nn_state(g, "state", NN_REAL, NN_SHAPE1(2), 3));
    nn_graph_free(g);
}

static void tear_down(void)
{
    nn_model_free(model);
    nn_close(device);
}

static double number(const char *name, nn_base role)
{
    double pair[2] = { 0, 0 };

    ck_assert_msg(!nn_model_read(model, name, role, NN_F64, pair), "%s", nn_model_error(model));
    ck_assert_double_eq(pair[0], pair[1]);
    return pair[0];
}

/* The averages of parameters and of state are two roles of different sizes; either name means the entry's. */
START_TEST(roles)
{
    static const nn_base plain[] = { NN_BASE_NONE, NN_BASE_PARAM, NN_BASE_STATE };
    static const nn_base average[] = { NN_BASE_EMA, NN_BASE_STATE_EMA };
    static const nn_base gradients[] = { NN_BASE_GRAD, NN_BASE_MOMENT1, NN_BASE_MOMENT2 };
    static const nn_base none[] = { NN_BASE_ACT, NN_BASE_INPUT, NN_BASE_CACHE, NN_BASES, (nn_base)99 };
    const double four[2] = { 4, 4 }, five[2] = { 5, 5 };
    double pair[2];

    ck_assert_int_eq(nni_model_need(model, NN_BASE_EMA), NN_OK);
    ck_assert_int_eq(nni_model_need(model, NN_BASE_STATE_EMA), NN_OK);
    ck_assert_int_eq(nn_model_write(model, "last", NN_BASE_EMA, NN_F64, four), NN_OK);
    ck_assert_int_eq(nn_model_write(model, "state", NN_BASE_EMA, NN_F64, five), NN_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(number("last", plain[i]), 2);
        ck_assert_double_eq(number("state", plain[i]), 3);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_double_eq(number("last", average[i]), 4);
        ck_assert_double_eq(number("state", average[i]), 5);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(nn_model_read(model, "last", gradients[i], NN_F64, pair), NN_ESTATE);
        ck_assert_int_eq(nn_model_read(model, "state", gradients[i], NN_F64, pair), NN_EINVAL);
    }
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(nn_model_read(model, "last", none[i], NN_F64, pair), NN_EINVAL);
        ck_assert_int_eq(nn_model_read(model, "state", none[i], NN_F64, pair), NN_EINVAL);
    }
}
END_TEST

START_TEST(what_was_written_arrives)
{
    const double seven[2] = { 7, 7 };
    const nn_segment *last = nn_model_find(model, "last");
    nn_real *there;

    device->backend = &apart;
    ck_assert_int_eq(nn_model_write(model, "last", NN_BASE_PARAM, NN_F64, seven), NN_OK);
    ck_assert_double_eq(number("last", NN_BASE_PARAM), 7);
    ck_assert_double_eq(number("state", NN_BASE_STATE), 3);
    ck_assert_int_eq(nni_model_push(model), NN_OK);
    there = (nn_real *)(void *)((char *)model->buffer[NN_BASE_PARAM] + last->offset);
    ck_assert_double_eq((double)there[1], 7);
    /* And back, once kernels have changed it. */
    there[0] = there[1] = 8;
    nni_model_ran(model, NN_BASE_PARAM);
    ck_assert_double_eq(number("last", NN_BASE_PARAM), 8);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("model");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, roles);
    tcase_add_test(t, what_was_written_arrives);
    suite_add_tcase(s, t);
    return suite_run(s);
}
