/* SPDX-License-Identifier: MIT
 *
 * The test of an op of one's own, with Check: values against the formula, gradients against differences of
 * the values (nn_gradcheck), and a parameter in front of it, which the same call checks too. Linked with the
 * library in double (make REAL=double) it is the same test, a thousand times as strict.
 */
#include "snake.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { COUNT = 5000 };

static nn_device *device;
static nn_model *model;
static nn_graph *g;
static nn_message why;

static void set_up(void)
{
    ck_assert_msg(!nn_open(&device, "cpu", NULL, &why), "%s", why.text);
    ck_assert_int_eq(nn_model_new(&model, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_TRAIN), NN_OK);
}

static void tear_down(void) { nn_close(device); }

START_TEST(values)
{
    static double y[COUNT];
    double worst = 0;
    nn_real *x;
    nn_plan *p;

    (void)nn_observe(g, "y", snake(g, nn_input(g, "x", NN_REAL, NN_SHAPE1(COUNT))));
    ck_assert_msg(!nn_compile(&p, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    x = nn_host(p, "x", NULL);
    for (int i = 0; i < COUNT; i++)
        x[i] = (nn_real)(i * 0.004 - 10);
    ck_assert_msg(!nn_run(p, NN_FORWARD), "%s", nn_plan_error(p));
    ck_assert_msg(!nn_read(p, "y", NN_F64, y, COUNT), "%s", nn_plan_error(p));
    for (int i = 0; i < COUNT; i++)
        worst = fmax(worst, fabs(y[i] - (x[i] + sin(x[i]) * sin(x[i]))));
    ck_assert_double_lt(worst, NN_REAL == NN_F32 ? 2e-6 : 1e-14);
}
END_TEST

START_TEST(gradients)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(500, 10)), *y;

    y = snake(g, nn_layer_linear(g, "widen", x, (nn_linear_opts){ .out = 20 }));
    ck_assert_msg(!nn_gradcheck(g, y, (nn_gradcheck_opts){ .low = -10, .high = 10 }, &why), "%s", why.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("snake");
    TCase *t = tcase_create("snake");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, values);
    tcase_add_test(t, gradients);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
