/* SPDX-License-Identifier: MIT
 *
 * nn_gradcheck says yes to what is right, kinks, masks and batch statistics included, leaves the model as it
 * was, and says no, and where, to derivatives that are a little wrong.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/nn.h>
#include <stdlib.h>
#include <string.h>

static nn_device *device;
static nn_model *model;
static nn_graph *g;
static nn_message why;

static void set_up(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 2 }, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&model, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_TRAIN), NN_OK);
}

static void tear_down(void) { nn_close(device); }

static void agrees(nn_tensor *y, nn_gradcheck_opts opts)
{
    ck_assert_msg(!nn_gradcheck(g, y, opts, &why), "%s", why.text);
    ck_assert_ptr_nonnull(strstr(why.text, "slopes agree"));
}

static void differs(nn_tensor *y, nn_gradcheck_opts opts, const char *says)
{
    ck_assert_int_eq(nn_gradcheck(g, y, opts, &why), NN_EDIFFER);
    ck_assert_msg(strstr(why.text, says) != NULL, "\"%s\" does not say \"%s\"", why.text, says);
}

/* ---- x^3, whose derivative is off by a factor, and for element 3 by that and more ---- */

static double off, off_at_3;

static void cube(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < nn_shape_count(s->in[0].shape); i++)
        ((nn_real *)s->out[0].at)[i] = x[i] * x[i] * x[i];
}

static void cube_back(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at, *dy = s->dout[0].at;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < nn_shape_count(s->in[0].shape); i++)
        ((nn_real *)s->din[0].at)[i] = dy[i] * 3 * x[i] * x[i] * (nn_real)(1 + off + (i == 3 ? off_at_3 : 0));
}

static int forward(nn_step *s)
{
    nn_phase(s, 1, cube);
    return NN_OK;
}

static int backward(nn_step *s)
{
    nn_phase(s, 1, cube_back);
    return NN_OK;
}

static int infer(nn_node *n) { return nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0])); }

static const nn_op op_cube = { .abi = NN_OP_ABI,
                               .name = "cube",
                               .reads = NN_IN(0),
                               .infer = infer,
                               .forward = { forward },
                               .backward = { backward } };

static nn_tensor *cubed(const char *name, int64_t count)
{
    nn_tensor *x = nn_input(g, name, NN_REAL, NN_SHAPE1(count));

    return nn_apply(g, &op_cube, NULL, &x, 1);
}

START_TEST(right_and_wrong)
{
    nn_tensor *y = cubed("x", 40);

    agrees(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2 });
    off = 0.01;
    differs(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2 }, "\"x\"[");
    agrees(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2, .tolerance = 0.02 });
    off = 0.05;
    differs(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2, .elements = -1 }, "direction");
    off = 0;
    off_at_3 = 0.05;
    differs(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2, .elements = 40 }, "\"x\"[3]");
    off_at_3 = -1; /* no gradient at all */
    differs(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2, .elements = 40 }, " is 0 by backward");
    off_at_3 = (double)NAN;
    differs(y, (nn_gradcheck_opts){ .low = 0.5, .high = 2, .elements = 40 }, "nan");
    off_at_3 = 0;
}
END_TEST

/* The backward pass reaches nothing, yet values depend on it; and wrt leaves it out. */
START_TEST(a_way_that_is_cut)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE1(7)), *z = nn_input(g, "z", NN_REAL, NN_SHAPE1(7));
    nn_tensor *y = nn_mul(g, nn_detach(g, x), z);

    differs(y, (nn_gradcheck_opts){ 0 }, "\"x\"");
    agrees(y, (nn_gradcheck_opts){ .wrt = "z" });
    ck_assert_int_eq(nn_gradcheck(g, y, (nn_gradcheck_opts){ .wrt = "nobody" }, &why), NN_EINVAL);
}
END_TEST

START_TEST(kinks)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(8, 60)), *y = nn_relu(g, x);

    agrees(y, (nn_gradcheck_opts){ .elements = 480 });
    /* All of it beside the kink: nothing is left that could be said. */
    differs(y, (nn_gradcheck_opts){ .low = -1e-4, .high = 1e-4 }, "not smooth");
}
END_TEST

/* A training network: masks, statistics of the batch, parameters; twice, with the same numbers. */
START_TEST(a_network)
{
    static const int32_t target[6] = { 0, 1, 2, 2, 1, 0 };
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE4(6, 5, 5, 3)), *y;
    size_t bytes[2];
    void *kept[2];
    nn_message again;

    y = nn_layer_conv2d_norm(g, "a", x, (nn_conv2d_opts){ .out = 4, .k = 3 }, (nn_batchnorm_opts){ 0 });
    y = nn_dropout(g, nn_flatten(g, nn_global_avg_pool(g, nn_silu(g, y))), 0.3);
    y = nn_layer_linear(g, "b", y, (nn_linear_opts){ .out = 3 });
    y = nn_cross_entropy(g, y, nn_constant(g, NN_I32, NN_SHAPE1(6), target), (nn_ce_opts){ 0 });
    ck_assert_msg(!nn_graph_status(g), "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_model_seal(model), NN_OK);
    for (int i = 0; i < 2; i++) {
        const void *now = nn_model_buffer(model, i ? NN_BASE_STATE : NN_BASE_PARAM, &bytes[i]);

        kept[i] = malloc(bytes[i]);
        memcpy(kept[i], now, bytes[i]);
    }
    agrees(y, (nn_gradcheck_opts){ .seed = 3 });
    again = why;
    agrees(y, (nn_gradcheck_opts){ .seed = 3 });
    ck_assert_str_eq(again.text, why.text);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            memcmp(kept[i], nn_model_buffer(model, i ? NN_BASE_STATE : NN_BASE_PARAM, NULL), bytes[i]), 0);
        free(kept[i]);
    }
}
END_TEST

/* What rounding hides is no verdict: neither against a right gradient nor for a wrong one. */
START_TEST(rounding)
{
    nn_tensor *y = nn_scale(g, cubed("x", 40), 1, NN_REAL == NN_F32 ? 1e5 : 1e12);

    differs(y, (nn_gradcheck_opts){ 0 }, "nothing can be told");
    off = -1; /* no gradient at all */
    differs(y, (nn_gradcheck_opts){ 0 }, "nothing can be told");
    off = 0;
    differs(cubed("z", 40), (nn_gradcheck_opts){ .step = 1e-30 }, "nothing can be told");
}
END_TEST

START_TEST(parameters_alone)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(8, 8)),
              *w = nn_param(g, "w", NN_SHAPE1(3), (nn_init){ 0 });
    nn_plan *plan;

    (void)nn_layer_linear(g, "unused", x, (nn_linear_opts){ .out = 3 });
    agrees(nn_tanh(g, x), (nn_gradcheck_opts){ 0 });
    ck_assert_ptr_nonnull(strstr(why.text, ", 0 beside kinks"));
    ck_assert_int_eq(nn_gradcheck(g, w, (nn_gradcheck_opts){ 0 }, &why), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(why.text, "is the parameter \"w\""));
    ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ .seeds = &w, .seed_count = 1 }), NN_EINVAL);
    agrees(nn_scale(g, w, 2, 0), (nn_gradcheck_opts){ 0 });
}
END_TEST

START_TEST(what_it_cannot_draw)
{
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(4, 3)), *t = nn_input(g, "t", NN_I32, NN_SHAPE1(4));

    ck_assert_int_eq(
        nn_gradcheck(g, nn_cross_entropy(g, x, t, (nn_ce_opts){ 0 }), (nn_gradcheck_opts){ 0 }, &why),
        NN_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why.text, "\"t\" is I32"));
}
END_TEST

/* Whichever allocation fails: a status, and the weights as they were. */
static void *(*plain_alloc)(size_t size);
static int until_failure;

static void *failing_alloc(size_t size) { return until_failure-- > 0 ? plain_alloc(size) : NULL; }

START_TEST(no_memory)
{
    nn_tensor *y =
        nn_layer_linear(g, "a", nn_input(g, "x", NN_REAL, NN_SHAPE2(2, 3)), (nn_linear_opts){ .out = 2 });
    double before[6], after[6];
    int rc = NN_ENOMEM;

    ck_assert_int_eq(nn_model_read(model, "a.weight", 0, NN_F64, before), NN_OK);
    plain_alloc = nni_seam.alloc;
    nni_seam.alloc = failing_alloc;
    for (int n = 0; rc; n++) {
        until_failure = n;
        rc = nn_gradcheck(g, y, (nn_gradcheck_opts){ .elements = 4 }, &why);
        ck_assert_msg(!rc || rc == NN_ENOMEM, "allocation %d: %s: %s", n, nn_strerror(rc), why.text);
        ck_assert_int_lt(n, 1000);
        until_failure = 1000;
        ck_assert_int_eq(nn_model_read(model, "a.weight", 0, NN_F64, after), NN_OK);
        ck_assert(!memcmp(before, after, sizeof before));
    }
    nni_seam.alloc = plain_alloc;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradcheck");
    TCase *t = tcase_create("gradcheck");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, right_and_wrong);
    tcase_add_test(t, a_way_that_is_cut);
    tcase_add_test(t, kinks);
    tcase_add_test(t, a_network);
    tcase_add_test(t, rounding);
    tcase_add_test(t, parameters_alone);
    tcase_add_test(t, what_it_cannot_draw);
    tcase_add_test(t, no_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
