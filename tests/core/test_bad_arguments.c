/* SPDX-License-Identifier: MIT
 *
 * Wrong arguments end in a status and a text, never in a crash and never in silence. The rows below hand each
 * public function what it cannot use: NULL for what it needs, numbers that make no sense, enumerators and
 * flags that do not exist. Each row runs in a process of its own. A function without a row fails
 * `all_are_here`, which reads the headers: whoever adds one adds its row.
 */
#include "ops/list.h"
#include "source.h"
#include "suite.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <nn/models/networks.h>
#include <nn/models/pretrained.h>
#include <nn/nn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD 77          /* no enumerator of any kind */
#define NOT (double)NAN /* no number */

/* The objects to which the rows do wrong. */
static nn_device *device;
static nn_model *model;
static nn_graph *graph; /* of its model, training; with x [2,4,4,8], and then, what it takes */
static nn_tensor *x, *row, *w, *v, *mean, *s0, *s1, *foreign;
static nn_plan *plan; /* of another graph and model */
static nn_safetensors *file;
static nn_augment *augment;
static nn_dataset *data;
static nn_message why;
static double number[8];
static int32_t label[2];
static uint8_t bytes[64];

static const char stored[] =
    "\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}          \0\0\0\0";

static nn_graph *new_graph(nn_model **m)
{
    nn_graph *g;

    ck_assert_int_eq(nn_model_new(m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, *m, NN_TRAIN), NN_OK);
    return g;
}

static void set_up(void)
{
    static unsigned char copy[sizeof stored];
    nn_graph *other;
    nn_model *sealed;

    memcpy(copy, stored, sizeof stored);
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, &why), NN_OK);
    graph = new_graph(&model);
    x = nn_input(graph, "x", NN_REAL, NN_SHAPE4(2, 4, 4, 8));
    row = nn_flatten(graph, nn_global_avg_pool(graph, x));
    w = nn_param(graph, "w", NN_SHAPE4(8, 8, 1, 1), (nn_init){ 0 });
    v = nn_param(graph, "v", NN_SHAPE1(8), (nn_init){ 0 });
    mean = nn_mean(graph, x, (nn_reduce_opts){ .axes = NN_AXIS(0) | NN_AXIS(1) | NN_AXIS(2) });
    s0 = nn_state(graph, "s0", NN_REAL, NN_SHAPE1(8), 0);
    s1 = nn_state(graph, "s1", NN_REAL, NN_SHAPE1(8), 1);
    ck_assert_msg(s1 && !nn_graph_status(graph), "%s", nn_graph_error(graph));
    other = new_graph(&sealed);
    foreign = nn_input(other, "x", NN_REAL, NN_SHAPE4(2, 4, 4, 8));
    (void)nn_observe(other, "y", foreign);
    (void)nn_sum(other, nn_mul(other, foreign, nn_param(other, "v", NN_SHAPE1(8), (nn_init){ 0 })),
                 (nn_reduce_opts){ 0 });
    ck_assert_msg(!nn_compile(&plan, other, (nn_plan_opts){ 0 }), "%s", nn_graph_error(other));
    ck_assert_msg(!nn_safetensors_parse(&file, copy, sizeof stored - 1, "memory", NULL, &why), "%s",
                  why.text);
    ck_assert_msg(!nn_augment_new(&augment, "flip", &why), "%s", why.text);
    ck_assert_int_eq(nn_dataset_new(&data), NN_OK);
}

/* ---- rows ---- */

static const char *text_of[1000];
static int rows, wanted;

/* Every row is counted and remembered; the one that is wanted runs. */
static int now(const char *text)
{
    text_of[rows] = text;
    return rows++ == wanted;
}

static void has_failed(const char *row_text, int status, const char *text, const char *says)
{
    ck_assert_msg(status < 0, "%s was accepted", row_text);
    ck_assert_msg(strstr(text, says) != NULL, "%s: \"%s\" does not say \"%s\"", row_text, text, says);
}

/* Recording fails and the graph says why; a call that fails with a status and writes a text that says so;
 * with a status alone; and what must be true. */
#define RECORD(says, ...)                                                                                    \
    do {                                                                                                     \
        if (now(#__VA_ARGS__)) {                                                                             \
            (void)(__VA_ARGS__);                                                                             \
            has_failed(#__VA_ARGS__, nn_graph_status(graph), nn_graph_error(graph), says);                   \
        }                                                                                                    \
    } while (0)
#define FAIL(text, says, ...)                                                                                \
    do {                                                                                                     \
        if (now(#__VA_ARGS__)) {                                                                             \
            int status = (int)(__VA_ARGS__);                                                                 \
                                                                                                             \
            has_failed(#__VA_ARGS__, status, text, says);                                                    \
        }                                                                                                    \
    } while (0)
#define STATUS(...) FAIL("", "", __VA_ARGS__)
#define TRUE(...)                                                                                            \
    do {                                                                                                     \
        if (now(#__VA_ARGS__))                                                                               \
            ck_assert_msg((__VA_ARGS__), "%s", #__VA_ARGS__);                                                \
    } while (0)
#define CALM(...)                                                                                            \
    do {                                                                                                     \
        if (now(#__VA_ARGS__))                                                                               \
            __VA_ARGS__;                                                                                     \
    } while (0)

static void base_rows(void)
{
    uint32_t four[4] = { 0 };

    TRUE(nn_strerror(BAD)[0] != 0);
    TRUE(nn_dtype_size((nn_dtype)BAD) == 0);
    TRUE(nn_dtype_name((nn_dtype)BAD)[0] == '?');
    TRUE(nn_shape_count(nn_shape_of(BAD, 1, 1, 1, 1)) == -1);
    TRUE(nn_shape_count(NN_SHAPE4(INT64_MAX, INT64_MAX, 2, 2)) == -1);
    TRUE(!nn_shape_equal(nn_shape_of(BAD, 1, 1, 1, 1), nn_shape_of(BAD, 1, 1, 1, 1)));
    CALM(nn_philox(NULL, four, four));
    CALM(nn_philox(four, four, NULL));
}

static void device_rows(void)
{
    nn_device *d;
    nn_ceilings c;

    FAIL(why.text, "nn_open", nn_open(NULL, "cpu", NULL, &why));
    FAIL(why.text, "nn_open", nn_open(&d, NULL, NULL, &why));
    FAIL(why.text, "abacus", nn_open(&d, "abacus", NULL, &why));
    FAIL(why.text, "cpu:7", nn_open(&d, "cpu:7", NULL, &why));
    FAIL(why.text, "-3 threads", nn_open(&d, "cpu", &(nn_device_options){ .threads = -3 }, &why));
    FAIL(why.text, "mmx", nn_open(&d, "cpu", &(nn_device_options){ .threads = 1, .isa = "mmx" }, &why));
    CALM(nn_close(NULL));
    TRUE(nn_device_name(NULL)[0] == 0);
    TRUE(nn_device_isa(NULL)[0] == 0);
    TRUE(nn_device_threads(NULL) == 0);
    TRUE(nn_device_peak_bytes(NULL) == 0);
    STATUS(nn_device_ceilings(NULL, &c));
    STATUS(nn_device_ceilings(device, NULL));
}

static void model_rows(void)
{
    nn_model *m;

    STATUS(nn_model_new(NULL, device, 0));
    STATUS(nn_model_new(&m, NULL, 0));
    CALM(nn_model_free(NULL));
    TRUE(nn_model_error(NULL)[0] != 0);
    TRUE(nn_model_count(NULL) == 0);
    TRUE(!nn_model_segment(NULL, 0));
    TRUE(!nn_model_segment(model, -1));
    TRUE(!nn_model_segment(model, BAD));
    TRUE(!nn_model_find(NULL, "v"));
    TRUE(!nn_model_find(model, NULL));
    TRUE(nn_model_parameters(NULL) == 0);
    STATUS(nn_model_seal(NULL));
    TRUE(!nn_model_buffer(NULL, NN_BASE_PARAM, NULL));
    TRUE(!nn_model_buffer(model, (nn_base)BAD, NULL));
    CALM(nn_model_changed(NULL));
    STATUS(nn_model_read(NULL, "v", NN_BASE_PARAM, NN_F64, number));
    FAIL(nn_model_error(model), "nn_model_read", nn_model_read(model, NULL, NN_BASE_PARAM, NN_F64, number));
    FAIL(nn_model_error(model), "nn_model_read", nn_model_read(model, "v", NN_BASE_PARAM, NN_F64, NULL));
    FAIL(nn_model_error(model), "role", nn_model_read(model, "v", (nn_base)BAD, NN_F64, number));
    FAIL(nn_model_error(model), "?", nn_model_read(model, "v", NN_BASE_PARAM, (nn_dtype)BAD, number));
    STATUS(nn_model_write(NULL, "v", NN_BASE_PARAM, NN_F64, number));
    FAIL(nn_model_error(model), "nn_model_write", nn_model_write(model, NULL, NN_BASE_PARAM, NN_F64, number));
    FAIL(nn_model_error(model), "nn_model_write", nn_model_write(model, "v", NN_BASE_PARAM, NN_F64, NULL));
    FAIL(nn_model_error(model), "nobody", nn_model_write(model, "nobody", NN_BASE_PARAM, NN_F64, number));
    STATUS(nn_model_set_trainable(NULL, "*", 1));
    FAIL(nn_model_error(model), "nn_model_set_trainable", nn_model_set_trainable(model, NULL, 1));
    FAIL(nn_model_error(model), "scale", nn_model_set_lr_scale(model, "*", NOT));
    FAIL(nn_model_error(model), "nn_model_set_lr_scale", nn_model_set_lr_scale(model, NULL, 1));
    FAIL(nn_model_error(model), "-1", nn_model_set_decay_scale(model, "*", -1));
    TRUE(!nn_match(NULL, "v"));
    TRUE(!nn_match("*", NULL));
}

static const char *too_long(void)
{
    static char name[5000];

    return memset(name, 'n', sizeof name - 1);
}

static void push_many(void)
{
    for (int i = 0; i < 100000; i++)
        nn_push(graph, "deep");
}

static void graph_rows(void)
{
    nn_graph *g;
    nn_shape huge = NN_SHAPE4(INT64_MAX, 2, 2, 2);

    STATUS(nn_graph_new(NULL, device, model, NN_EVAL));
    STATUS(nn_graph_new(&g, NULL, model, NN_EVAL));
    STATUS(nn_graph_new(&g, device, model, (nn_mode)BAD));
    CALM(nn_graph_free(NULL));
    STATUS(nn_graph_status(NULL));
    TRUE(nn_graph_error(NULL)[0] != 0);
    TRUE(!nn_graph_fail(NULL, NN_EINVAL, "no graph"));
    RECORD("no failure", nn_graph_fail(graph, NN_OK, "no failure"));
    TRUE(!nn_use_model(NULL, model));
    RECORD("nn_use_mode", nn_use_mode(graph, (nn_mode)BAD));
    TRUE(nn_use_mode(NULL, NN_TRAIN) == NN_EVAL);
    TRUE(nn_mode_of(NULL) == NN_EVAL);
    CALM(nn_use_mode_at(NULL, "*", NN_EVAL));
    RECORD("nn_use_mode_at", nn_use_mode_at(graph, NULL, NN_EVAL));
    RECORD("nn_use_mode_at", nn_use_mode_at(graph, "*", (nn_mode)BAD));
    CALM(nn_push(NULL, "a"));
    RECORD("nn_push", nn_push(graph, NULL));
    RECORD("nn_push", nn_push(graph, ""));
    RECORD("nn_push", nn_push(graph, too_long()));
    RECORD("longer than", push_many());
    CALM(nn_pushi(NULL, 0));
    CALM(nn_pop(NULL));
    CALM(nn_pop(graph));
    TRUE(nn_namei(NULL, 0)[0] == '?');
    TRUE(!nn_input(NULL, "a", NN_REAL, NN_SHAPE1(1)));
    RECORD("nn_input", nn_input(graph, NULL, NN_REAL, NN_SHAPE1(1)));
    RECORD("nn_input", nn_input(graph, too_long(), NN_REAL, NN_SHAPE1(1)));
    RECORD("\"a\"", nn_input(graph, "a", NN_REAL, huge));
    RECORD("\"a\"", nn_input(graph, "a", NN_REAL, NN_SHAPE1(-1)));
    RECORD("\"a\"", nn_input(graph, "a", (nn_dtype)BAD, NN_SHAPE1(1)));
    TRUE(!nn_param(NULL, "p", NN_SHAPE1(1), (nn_init){ 0 }));
    RECORD("nn_param", nn_param(graph, NULL, NN_SHAPE1(1), (nn_init){ 0 }));
    RECORD("shape", nn_param(graph, "p", huge, (nn_init){ 0 }));
    RECORD("shape", nn_param(graph, "p", NN_SHAPE2(3, 0), (nn_init){ 0 }));
    RECORD("initialiser", nn_param(graph, "p", NN_SHAPE1(1), (nn_init){ (nn_init_kind)BAD, 1 }));
    RECORD("initialiser", nn_param(graph, "p", NN_SHAPE1(1), (nn_init){ NN_INIT_NORMAL, -1 }));
    RECORD("initialiser", nn_param(graph, "p", NN_SHAPE1(1), (nn_init){ NN_INIT_CONSTANT, NOT }));
    TRUE(!nn_state(NULL, "s", NN_REAL, NN_SHAPE1(1), 0));
    RECORD("nn_state", nn_state(graph, NULL, NN_REAL, NN_SHAPE1(1), 0));
    RECORD("s: ", nn_state(graph, "s", (nn_dtype)BAD, NN_SHAPE1(1), 0));
    RECORD("s: ", nn_state(graph, "s", NN_I64, NN_SHAPE1(1), NOT));
    RECORD("nn_observe", nn_observe(graph, NULL, x));
    RECORD("nn_observe", nn_observe(graph, "o", NULL));
    RECORD("nn_observe", nn_observe(graph, "o", foreign));
    RECORD("nn_output_of", nn_output_of(graph, NULL));
    RECORD("nowhere", nn_output_of(graph, "nowhere"));
    RECORD("constant", nn_constant(graph, NN_REAL, NN_SHAPE1(8), NULL));
    RECORD("constant", nn_constant(graph, (nn_dtype)BAD, NN_SHAPE1(8), number));
    RECORD("constant", nn_constant(graph, NN_REAL, NN_SHAPE1(-1), number));
    RECORD("nn_detach", nn_detach(graph, NULL));
    RECORD("nn_detach", nn_detach(graph, foreign));
    TRUE(nn_shape_get(NULL).rank == 0);
    TRUE(nn_type_get(NULL) == NN_REAL);
    TRUE(nn_dim(NULL, 0) == 0);
    TRUE(nn_dim(x, BAD) == 0);
}

static int no_infer(nn_node *n) { return nn_infer_out(n, BAD, NN_REAL, NN_SHAPE1(1)); }

static int no_save(nn_node *n) { return nn_infer_save(n, BAD, NN_REAL, NN_SHAPE1(1)); }

static void op_rows(void)
{
    static const nn_op old = { .abi = 1, .name = "old" }, empty = { .abi = NN_OP_ABI, .name = "empty" };
    static const nn_op outs = { .abi = NN_OP_ABI, .name = "outs", .infer = no_infer };
    static const nn_op saves = { .abi = NN_OP_ABI, .name = "saves", .infer = no_save };
    nn_tensor *many[NN_MAX_IN + 1] = { x, x, x, x, x, x, x, x, x, x, x };

    TRUE(!nn_apply(NULL, &nn_op_relu, NULL, &x, 1));
    RECORD("nn_apply", nn_apply(graph, NULL, NULL, &x, 1));
    RECORD("old", nn_apply(graph, &old, NULL, &x, 1));
    RECORD("empty", nn_apply(graph, &empty, NULL, &x, 1));
    RECORD("outs", nn_apply(graph, &outs, NULL, &x, 1));
    RECORD("saves", nn_apply(graph, &saves, NULL, &x, 1));
    RECORD("relu", nn_apply(graph, &nn_op_relu, NULL, NULL, 1));
    RECORD("relu", nn_apply(graph, &nn_op_relu, NULL, &x, 0));
    RECORD("relu", nn_apply(graph, &nn_op_relu, NULL, &x, -1));
    RECORD("concat", nn_apply(graph, &nn_op_concat, NULL, &x, 1));
    RECORD("relu", nn_apply_all(graph, &nn_op_relu, NULL, many, NN_MAX_IN + 1));
    RECORD("another graph", nn_apply_all(graph, &nn_op_relu, NULL, &foreign, 1));
    STATUS(nn_infer_out(NULL, 0, NN_REAL, NN_SHAPE1(1)));
    STATUS(nn_infer_save(NULL, 0, NN_REAL, NN_SHAPE1(1)));
    STATUS(nn_infer_fail(NULL, "no node"));
}

static void map_rows(void)
{
    nn_conv_opts padding = { .padding = (nn_padding)BAD }, stride = { .stride = -1 },
                 dilation = { .dilation = -1 };
    nn_conv_opts groups = { .groups = 3 }, pad = { .padding = NN_PAD_EXPLICIT, .pad = INT64_MAX };
    nn_group_norm_opts none = { 0 }, eps = { .groups = 2, .eps = -1 };
    nn_tensor *norm[3] = { mean, v, NULL };

    RECORD("conv2d", nn_conv2d(graph, NULL, w, NULL, (nn_conv_opts){ 0 }));
    RECORD("conv2d", nn_conv2d(graph, x, NULL, NULL, (nn_conv_opts){ 0 }));
    RECORD("padding", nn_conv2d(graph, x, w, NULL, padding));
    RECORD("stride", nn_conv2d(graph, x, w, NULL, stride));
    RECORD("dilation", nn_conv2d(graph, x, w, NULL, dilation));
    RECORD("groups", nn_conv2d(graph, x, w, NULL, groups));
    RECORD("pad", nn_conv2d(graph, x, w, NULL, pad));
    RECORD("conv_transpose2d", nn_conv_transpose2d(graph, NULL, w, NULL, (nn_conv_transpose_opts){ 0 }));
    RECORD("output_pad",
           nn_conv_transpose2d(graph, x, w, NULL, (nn_conv_transpose_opts){ .output_pad = -1 }));
    RECORD("conv1x1", nn_conv1x1(graph, NULL, w, NULL));
    RECORD("conv1x1", nn_conv1x1(graph, x, NULL, NULL));
    RECORD("depthwise", nn_depthwise(graph, NULL, w, NULL, (nn_conv_opts){ 0 }));
    RECORD("depthwise", nn_depthwise(graph, x, NULL, NULL, (nn_conv_opts){ 0 }));
    RECORD("linear", nn_linear(graph, NULL, w, NULL));
    RECORD("linear", nn_linear(graph, row, NULL, NULL));
    RECORD("matmul", nn_matmul(graph, row, NULL, (nn_matmul_opts){ 0 }));
    RECORD("layer_norm", nn_layer_norm(graph, NULL, NULL, NULL, 1e-5));
    RECORD("eps", nn_layer_norm(graph, x, NULL, NULL, -1));
    RECORD("eps", nn_layer_norm(graph, x, NULL, NULL, NOT));
    RECORD("group_norm", nn_group_norm(graph, x, NULL, NULL, none));
    RECORD("eps", nn_group_norm(graph, x, NULL, NULL, eps));
    RECORD("moments", nn_moments(graph, NULL, &norm[0], &norm[1]));
    STATUS(nn_moments(NULL, x, NULL, NULL));
    RECORD("bn_coeff", nn_bn_coeff(graph, NULL, NULL, 1e-5));
    RECORD("eps", nn_bn_coeff(graph, v, NULL, NOT));
    RECORD("eps", nn_bn_coeff(graph, v, NULL, -1e-5));
    RECORD("affine", nn_affine(graph, NULL, v, v, v));
    RECORD("affine", nn_affine(graph, x, NULL, NULL, v));
    RECORD("bn_track", nn_bn_track(graph, NULL, mean, s0, s1, NULL, 0.1, 32));
    RECORD("momentum", nn_bn_track(graph, mean, mean, s0, s1, NULL, 1.5, 32));
    RECORD("momentum", nn_bn_track(graph, mean, mean, s0, s1, NULL, NOT, 32));
    RECORD("bn_track", nn_bn_track(graph, mean, mean, s0, s1, NULL, 0.1, -1));
    RECORD("expand_depthwise", nn_expand_depthwise(graph, x, w, NULL, w, (nn_expand_opts){ 0 }));
    RECORD("expand_depthwise", nn_expand_depthwise(graph, NULL, w, norm, w, (nn_expand_opts){ 0 }));
    RECORD("activation", nn_expand_depthwise(graph, x, w, norm, w, (nn_expand_opts){ .act = (nn_act)BAD }));
}

static void element_rows(void)
{
    RECORD("silu", nn_silu(graph, NULL));
    RECORD("relu", nn_relu(graph, NULL));
    RECORD("relu6", nn_relu6(graph, NULL));
    RECORD("sigmoid", nn_sigmoid(graph, NULL));
    RECORD("exp", nn_exp(graph, NULL));
    RECORD("log", nn_log(graph, NULL));
    RECORD("sqrt", nn_sqrt(graph, NULL));
    RECORD("tanh", nn_tanh(graph, NULL));
    RECORD("hardswish", nn_hardswish(graph, NULL));
    RECORD("hardsigmoid", nn_hardsigmoid(graph, NULL));
    RECORD("sin", nn_sin(graph, NULL));
    RECORD("cos", nn_cos(graph, NULL));
    RECORD("abs", nn_abs(graph, NULL));
    RECORD("softplus", nn_softplus(graph, NULL));
    RECORD("mish", nn_mish(graph, NULL));
    RECORD("pow", nn_pow(graph, NULL, 2));
    RECORD("exponent", nn_pow(graph, x, NOT));
    RECORD("elu", nn_elu(graph, NULL, 1));
    RECORD("alpha", nn_elu(graph, x, NOT));
    RECORD("slope", nn_leaky_relu(graph, x, NOT));
    RECORD("gelu", nn_gelu(graph, NULL, 0));
    RECORD("leaky_relu", nn_leaky_relu(graph, NULL, 0.1));
    RECORD("clamp", nn_clamp(graph, NULL, 0, 1));
    RECORD("high", nn_clamp(graph, x, 5, -5));
    RECORD("low", nn_clamp(graph, x, NOT, 1));
    RECORD("high", nn_clamp(graph, x, 0, NOT));
    RECORD("add", nn_add(graph, x, NULL));
    RECORD("sub", nn_sub(graph, NULL, x));
    RECORD("mul", nn_mul(graph, x, NULL));
    RECORD("div", nn_div(graph, NULL, x));
    RECORD("where", nn_where(graph, NULL, x, x));
    RECORD("where", nn_where(graph, x, NULL, x));
    RECORD("scale", nn_scale(graph, NULL, 1, 0));
    RECORD("cast", nn_cast(graph, NULL, NN_BF16));
    RECORD("cast", nn_cast(graph, x, (nn_dtype)BAD));
    RECORD("normalize", nn_normalize(graph, NULL, number, number, 1));
    RECORD("normalize", nn_normalize(graph, x, NULL, number, 1));
    RECORD("normalize", nn_normalize(graph, x, number, NULL, 1));
    RECORD("keep_mask", nn_keep_mask(graph, NN_SHAPE1(2), 1));
    RECORD("keep_mask", nn_keep_mask(graph, NN_SHAPE1(-2), 0.5));
    RECORD("dropout", nn_dropout(graph, NULL, 0.5));
    RECORD("dropout", nn_dropout(graph, x, -0.5));
    RECORD("dropout", nn_dropout(graph, x, NOT));
    RECORD("drop_path", nn_drop_path(graph, NULL, 0));
    RECORD("drop_path", nn_drop_path(graph, x, 1));
}

static void shape_rows(void)
{
    nn_tensor *two[2] = { x, NULL };
    int order[4] = { 0, 0, 1, BAD };
    nn_reduce_opts axes = { .axes = NN_AXIS(7) };

    RECORD("reshape", nn_reshape(graph, NULL, NN_SHAPE1(1)));
    RECORD("reshape", nn_reshape(graph, x, nn_shape_of(BAD, 1, 1, 1, 1)));
    RECORD("reshape", nn_flatten(graph, NULL));
    RECORD("permute", nn_permute(graph, NULL, order));
    RECORD("permute", nn_permute(graph, x, NULL));
    RECORD("permute", nn_permute(graph, x, order));
    RECORD("concat", nn_concat(graph, NULL, 2, 0));
    RECORD("concat", nn_concat(graph, two, 2, 0));
    RECORD("concat", nn_concat(graph, two, -1, 0));
    RECORD("concat", nn_concat(graph, two, 1, BAD));
    RECORD("slice", nn_slice(graph, NULL, 0, 0, 1));
    RECORD("slice", nn_slice(graph, x, BAD, 0, 1));
    RECORD("slice", nn_slice(graph, x, 0, INT64_MAX, INT64_MAX));
    RECORD("gather", nn_gather(graph, NULL, x, 0));
    RECORD("gather", nn_gather(graph, x, NULL, 0));
    RECORD("gather", nn_embedding(graph, NULL, x));
    RECORD("pad", nn_pad(graph, NULL, 1, 1, 1, 1));
    RECORD("pad", nn_pad(graph, x, -1, INT64_MAX, 0, 0));
    RECORD("sum", nn_sum(graph, NULL, axes));
    RECORD("mean", nn_mean(graph, x, axes));
    RECORD("max", nn_max(graph, NULL, axes));
    RECORD("min", nn_min(graph, x, axes));
    RECORD("variance", nn_variance(graph, NULL, 1, (nn_reduce_opts){ 0 }));
    RECORD("variance", nn_variance(graph, x, -1, (nn_reduce_opts){ 0 }));
    RECORD("global_avg_pool", nn_global_avg_pool(graph, NULL));
    RECORD("softmax", nn_softmax(graph, NULL));
    RECORD("log_softmax", nn_log_softmax(graph, NULL));
    RECORD("max_pool2d", nn_max_pool2d(graph, NULL, (nn_pool_opts){ .k = 2 }));
    RECORD("max_pool2d", nn_max_pool2d(graph, x, (nn_pool_opts){ 0 }));
    RECORD("max_pool2d", nn_max_pool2d(graph, x, (nn_pool_opts){ .k = 2, .pad = INT64_MAX - 1 }));
    RECORD("avg_pool2d", nn_avg_pool2d(graph, x, (nn_pool_opts){ .k = 2, .stride = -1 }));
    RECORD("adaptive_avg_pool2d", nn_adaptive_avg_pool2d(graph, x, INT64_MAX, -1));
    RECORD("upsample", nn_upsample(graph, NULL, (nn_upsample_opts){ .height = 2, .width = 2 }));
    RECORD("upsample", nn_upsample(graph, x, (nn_upsample_opts){ 0 }));
}

static void loss_rows(void)
{
    nn_tensor *t = wanted < 0 ? NULL : nn_input(graph, "t", NN_I32, NN_SHAPE1(2));
    nn_reduction bad = (nn_reduction)BAD;

    RECORD("cross_entropy", nn_cross_entropy(graph, NULL, t, (nn_ce_opts){ 0 }));
    RECORD("cross_entropy", nn_cross_entropy(graph, row, NULL, (nn_ce_opts){ 0 }));
    RECORD("smoothing", nn_cross_entropy(graph, row, t, (nn_ce_opts){ .smoothing = 1 }));
    RECORD("smoothing", nn_cross_entropy(graph, row, t, (nn_ce_opts){ .smoothing = NOT }));
    RECORD("mse", nn_mse(graph, x, NULL, NN_REDUCE_MEAN));
    RECORD("reduction", nn_mse(graph, x, x, bad));
    RECORD("l1", nn_l1(graph, x, NULL, NN_REDUCE_MEAN));
    RECORD("reduction", nn_l1(graph, x, x, bad));
    RECORD("smooth_l1", nn_smooth_l1(graph, x, NULL, 1, NN_REDUCE_MEAN));
    RECORD("beta", nn_smooth_l1(graph, x, x, NOT, NN_REDUCE_MEAN));
    RECORD("huber", nn_huber(graph, x, NULL, 1, NN_REDUCE_MEAN));
    RECORD("delta", nn_huber(graph, x, x, -1, NN_REDUCE_MEAN));
    RECORD("kl_div", nn_kl_div(graph, NULL, x, NN_REDUCE_MEAN));
    RECORD("reduction", nn_kl_div(graph, x, x, bad));
    RECORD("bce_with_logits", nn_bce_with_logits(graph, NULL, x, NULL, NN_REDUCE_MEAN));
    RECORD("reduction", nn_bce_with_logits(graph, x, x, NULL, bad));
}

static void layer_rows(void)
{
    nn_conv2d_opts conv = { .out = 8, .k = 3 }, wide = { .out = INT64_MAX, .k = INT64_MAX };
    nn_conv2d_opts padding = { .out = 8, .k = 1, .padding = (nn_padding)BAD };
    nn_mbconv_opts block = { .out = 8, .k = 3 }, expand = { .out = 8, .k = 3, .expand = INT64_MAX };
    nn_batchnorm_opts norm = { 0 };

    RECORD("nn_layer_conv2d", nn_layer_conv2d(graph, NULL, x, conv));
    RECORD("nn_layer_conv2d", nn_layer_conv2d(graph, "a", NULL, conv));
    RECORD("shape", nn_layer_conv2d(graph, "a", x, wide));
    RECORD("padding", nn_layer_conv2d(graph, "a", x, padding));
    RECORD("'a'", nn_layer_conv2d(graph, "a", x, (nn_conv2d_opts){ .out = -1, .k = 0 }));
    RECORD("nn_layer_conv_transpose2d",
           nn_layer_conv_transpose2d(graph, NULL, x, (nn_conv_transpose2d_opts){ .out = 8, .k = 3 }));
    RECORD("nn_layer_conv_transpose2d",
           nn_layer_conv_transpose2d(graph, "a", NULL, (nn_conv_transpose2d_opts){ 0 }));
    RECORD("'a'", nn_layer_conv_transpose2d(graph, "a", x, (nn_conv_transpose2d_opts){ 0 }));
    RECORD("nn_layer_batchnorm", nn_layer_batchnorm(graph, NULL, x, norm));
    RECORD("nn_layer_batchnorm", nn_layer_batchnorm(graph, "a", NULL, norm));
    RECORD("eps", nn_layer_batchnorm(graph, "a", x, (nn_batchnorm_opts){ .eps = -1 }));
    RECORD("momentum", nn_layer_batchnorm(graph, "a", x, (nn_batchnorm_opts){ .momentum = 2 }));
    RECORD("nn_layer_linear", nn_layer_linear(graph, NULL, row, (nn_linear_opts){ .out = 2 }));
    RECORD("nn_layer_linear", nn_layer_linear(graph, "a", NULL, (nn_linear_opts){ .out = 2 }));
    RECORD("'a'", nn_layer_linear(graph, "a", row, (nn_linear_opts){ 0 }));
    RECORD("initialiser", nn_layer_linear(graph, "a", row, (nn_linear_opts){ .out = 2, .init_std = -1 }));
    RECORD("nn_layer_layernorm", nn_layer_layernorm(graph, NULL, x, 0));
    RECORD("nn_layer_layernorm", nn_layer_layernorm(graph, "a", NULL, 0));
    RECORD("eps", nn_layer_layernorm(graph, "a", x, -1));
    RECORD("nn_layer_groupnorm", nn_layer_groupnorm(graph, NULL, x, (nn_group_norm_opts){ .groups = 2 }));
    RECORD("nn_layer_groupnorm", nn_layer_groupnorm(graph, "a", NULL, (nn_group_norm_opts){ .groups = 2 }));
    RECORD("groups", nn_layer_groupnorm(graph, "a", x, (nn_group_norm_opts){ 0 }));
    RECORD("nn_layer_embedding", nn_layer_embedding(graph, NULL, row, (nn_embedding_opts){ 2, 2, 0 }));
    RECORD("nn_layer_embedding", nn_layer_embedding(graph, "a", NULL, (nn_embedding_opts){ 2, 2, 0 }));
    RECORD("'a'", nn_layer_embedding(graph, "a", row, (nn_embedding_opts){ 0 }));
    RECORD("initialiser", nn_layer_embedding(graph, "a", row, (nn_embedding_opts){ 2, 2, -1 }));
    RECORD("nn_push", nn_layer_conv2d_norm(graph, NULL, x, conv, norm));
    RECORD("nn_layer_conv2d", nn_layer_conv2d_norm(graph, "a", NULL, conv, norm));
    RECORD("nn_push", nn_layer_squeeze_excite(graph, NULL, x, 2));
    RECORD("global_avg_pool", nn_layer_squeeze_excite(graph, "a", NULL, 2));
    RECORD("convolution", nn_layer_squeeze_excite(graph, "a", x, -2));
    RECORD("nn_push", nn_layer_mbconv(graph, NULL, x, block));
    RECORD("nn_layer_conv2d", nn_layer_mbconv(graph, "a", NULL, block));
    RECORD("expand", nn_layer_mbconv(graph, "a", x, expand));
}

/* A plan is refused, and the graph says why. */
static int compile(nn_plan_opts o)
{
    nn_plan *p = plan;
    int rc = nn_compile(&p, graph, o);

    ck_assert(!rc || !p);
    nn_plan_free(p);
    return rc;
}

static int compile_with(nn_optim o)
{
    return compile(
        (nn_plan_opts){ .loss = nn_sum(graph, nn_mul(graph, x, v), (nn_reduce_opts){ 0 }), .optim = o });
}

static void optim_rows(void)
{
    nn_optim none = { .name = "none" };
    nn_plateau broken = { .patience = -1 };

    FAIL(nn_graph_error(graph), "none", compile_with(none));
    FAIL(nn_graph_error(graph), "momentum", compile_with(nn_sgd((nn_sgd_opts){ .momentum = -1 })));
    FAIL(nn_graph_error(graph), "decay", compile_with(nn_sgd((nn_sgd_opts){ .decay = NOT })));
    FAIL(nn_graph_error(graph), "rate", compile_with(nn_sgd((nn_sgd_opts){ .rate = -1 })));
    FAIL(nn_graph_error(graph), "rate", compile_with(nn_adam((nn_adam_opts){ .rate = NOT })));
    FAIL(nn_graph_error(graph), "Nesterov", compile_with(nn_sgd((nn_sgd_opts){ .nesterov = 1 })));
    FAIL(nn_graph_error(graph), "beta1", compile_with(nn_adam((nn_adam_opts){ .beta1 = 1 })));
    FAIL(nn_graph_error(graph), "beta2", compile_with(nn_adamw((nn_adam_opts){ .beta2 = -0.1 })));
    FAIL(nn_graph_error(graph), "eps", compile_with(nn_adamw((nn_adam_opts){ .eps = -1e-8 })));
    FAIL(nn_graph_error(graph), "decay", compile_with(nn_radam((nn_adam_opts){ .decay = -1 })));
    TRUE(isnan(nn_warmup(-1, 1e-4, 100)));
    TRUE(isnan(nn_warmup(1, NOT, 100)));
    TRUE(isnan(nn_cosine(1, 1e-4, -1, 100)));
    TRUE(isnan(nn_cosine(1, 1e-4, 0, -100)));
    TRUE(isnan(nn_step_decay(1, 1e-4, 0.1, -1)));
    TRUE(isnan(nn_step_decay(1, 1e-4, NOT, 1)));
    TRUE(isnan(nn_plateau_next(NULL, 1)));
    TRUE(isnan(nn_plateau_next(&broken, 1)));
}

static void plan_rows(void)
{
    nn_plan *p;
    nn_tensor *nothing = NULL;
    nn_summary summary;

    STATUS(nn_compile(NULL, graph, (nn_plan_opts){ 0 }));
    STATUS(nn_compile(&p, NULL, (nn_plan_opts){ 0 }));
    FAIL(nn_graph_error(graph), "nothing to compute", compile((nn_plan_opts){ 0 }));
    FAIL(nn_graph_error(graph), "flags", compile((nn_plan_opts){ .flags = 1u << 20 }));
    FAIL(nn_graph_error(graph), "loss", compile((nn_plan_opts){ .loss = foreign }));
    FAIL(nn_graph_error(graph), "seed", compile((nn_plan_opts){ .seed_count = 1 }));
    FAIL(nn_graph_error(graph), "seed", compile((nn_plan_opts){ .seed_count = -1 }));
    FAIL(nn_graph_error(graph), "seed", compile((nn_plan_opts){ .seeds = &nothing, .seed_count = 1 }));
    FAIL(nn_graph_error(graph), "input", compile((nn_plan_opts){ .input_count = 1 }));
    FAIL(nn_graph_error(graph), "clip_norm", compile((nn_plan_opts){ .clip_norm = NOT }));
    FAIL(nn_graph_error(graph), "ema_decay", compile((nn_plan_opts){ .ema_decay = 2 }));
    FAIL(nn_graph_error(graph), "stored as", compile((nn_plan_opts){ .precision = (nn_dtype)BAD }));
    CALM(nn_plan_free(NULL));
    TRUE(nn_plan_error(NULL)[0] != 0);
    STATUS(nn_run(NULL, NN_FORWARD));
    FAIL(nn_plan_error(plan), "nn_run", nn_run(plan, 0));
    FAIL(nn_plan_error(plan), "nn_run", nn_run(plan, NN_FORWARD | 1u << 9));
    FAIL(nn_plan_error(plan), "backward", nn_run(plan, NN_GRADIENTS));
    FAIL(nn_plan_error(plan), "update", nn_run(plan, NN_FORWARD | NN_UPDATE));
    TRUE(!nn_host(NULL, "x", NULL));
    TRUE(!nn_host(plan, NULL, NULL));
    TRUE(!nn_host(plan, "nobody", NULL));
    STATUS(nn_write(NULL, "x", bytes, 8));
    FAIL(nn_plan_error(plan), "nn_write", nn_write(plan, NULL, bytes, 8));
    FAIL(nn_plan_error(plan), "nn_write", nn_write(plan, "x", NULL, 8));
    FAIL(nn_plan_error(plan), "nobody", nn_write(plan, "nobody", bytes, 8));
    FAIL(nn_plan_error(plan), "got 8", nn_write(plan, "x", bytes, 8));
    STATUS(nn_read(NULL, "y", NN_F64, number, 8));
    FAIL(nn_plan_error(plan), "nn_read", nn_read(plan, NULL, NN_F64, number, 8));
    FAIL(nn_plan_error(plan), "nn_read", nn_read(plan, "y", NN_F64, NULL, 256));
    FAIL(nn_plan_error(plan), "8 elements", nn_read(plan, "y", NN_F64, number, 8));
    STATUS(nn_read_gradient(NULL, "y", NN_F64, number, 8));
    FAIL(nn_plan_error(plan), "nn_read_gradient", nn_read_gradient(plan, "y", NN_F64, NULL, 256));
    TRUE(!nn_seed(NULL, 0));
    TRUE(!nn_seed(plan, -1));
    TRUE(isnan(nn_loss(NULL)));
    TRUE(isnan(nn_loss(plan)));
    STATUS(nn_set(NULL, NN_STEP, 1));
    FAIL(nn_plan_error(plan), "setting 77", nn_set(plan, (nn_setting)BAD, 1));
    FAIL(nn_plan_error(plan), "setting", nn_set(plan, NN_GRAD_NORM, 1));
    FAIL(nn_plan_error(plan), "rate", nn_set(plan, NN_LEARNING_RATE, NOT));
    FAIL(nn_plan_error(plan), "counter", nn_set(plan, NN_STEP, -1));
    TRUE(isnan(nn_get(NULL, NN_STEP)));
    TRUE(isnan(nn_get(plan, (nn_setting)BAD)));
    STATUS(nn_rebind(NULL, NN_BASE_PARAM, NN_BASE_EMA));
    FAIL(nn_plan_error(plan), "rebound", nn_rebind(plan, (nn_base)BAD, NN_BASE_EMA));
    FAIL(nn_plan_error(plan), "averaged", nn_rebind(plan, NN_BASE_PARAM, NN_BASE_EMA));
    CALM(nn_plan_summary(NULL, &summary));
    CALM(nn_plan_summary(plan, NULL));
    CALM(nn_profile(NULL, 1));
    TRUE(nn_profile_rows(NULL, NULL, 1) == 0);
    TRUE(nn_profile_rows(plan, NULL, BAD) >= 0);
    FAIL(why.text, "graph", nn_gradcheck(NULL, x, (nn_gradcheck_opts){ 0 }, &why));
    FAIL(why.text, "needs y", nn_gradcheck(graph, NULL, (nn_gradcheck_opts){ 0 }, &why));
    FAIL(why.text, "this graph", nn_gradcheck(graph, foreign, (nn_gradcheck_opts){ 0 }, &why));
    FAIL(why.text, "tolerance", nn_gradcheck(graph, row, (nn_gradcheck_opts){ .tolerance = NOT }, &why));
    FAIL(why.text, "tolerance", nn_gradcheck(graph, row, (nn_gradcheck_opts){ .step = -1 }, &why));
    FAIL(why.text, "-7", nn_gradcheck(graph, row, (nn_gradcheck_opts){ .elements = -7 }, &why));
    FAIL(why.text, "flags", nn_gradcheck(graph, row, (nn_gradcheck_opts){ .flags = 1u << 30 }, &why));
    FAIL(why.text, "nobody", nn_gradcheck(graph, row, (nn_gradcheck_opts){ .wrt = "nobody" }, &why));
}

static const char *rename_none(void *payload, const char *name, char text[256])
{
    (void)payload;
    (void)name;
    (void)text;
    return NULL;
}

static void io_rows(void)
{
    nn_safetensors_item item = { .name = "a", .type = (nn_dtype)BAD, .shape = NN_SHAPE1(1), .data = bytes };
    nn_safetensors_item nameless = { .type = NN_U8, .shape = NN_SHAPE1(1), .data = bytes };
    nn_safetensors *f;
    int64_t n;

    FAIL(why.text, "nn_safetensors_open", nn_safetensors_open(NULL, "a", NULL, &why));
    FAIL(why.text, "nn_safetensors_open", nn_safetensors_open(&f, NULL, NULL, &why));
    FAIL(why.text, "nn_safetensors_parse", nn_safetensors_parse(NULL, bytes, 8, "a", NULL, &why));
    FAIL(why.text, "nn_safetensors_parse", nn_safetensors_parse(&f, NULL, 8, "a", NULL, &why));
    STATUS(nn_safetensors_parse(&f, NULL, 0, NULL, NULL, NULL));
    CALM(nn_safetensors_free(NULL));
    FAIL(why.text, "nn_weights_open", nn_weights_open(NULL, "a", NULL, &why));
    FAIL(why.text, "nn_weights_open", nn_weights_open(&f, NULL, NULL, &why));
    TRUE(nn_safetensors_count(NULL) == 0);
    TRUE(!nn_safetensors_at(NULL, 0));
    TRUE(!nn_safetensors_at(file, -1));
    TRUE(nn_safetensors_find(NULL, "a") == -1);
    TRUE(nn_safetensors_find(file, NULL) == -1);
    FAIL(why.text, "nn_safetensors_rename", nn_safetensors_rename(NULL, rename_none, NULL, &why));
    FAIL(why.text, "nn_safetensors_rename", nn_safetensors_rename(file, NULL, NULL, &why));
    TRUE(nn_safetensors_metadata_count(NULL) == 0);
    TRUE(!nn_safetensors_metadata_at(NULL, 0));
    TRUE(!nn_safetensors_metadata(NULL, "a"));
    TRUE(!nn_safetensors_metadata(file, NULL));
    FAIL(why.text, "nn_safetensors_read", nn_safetensors_read(NULL, 0, NN_F32, bytes, 1, &why));
    FAIL(why.text, "nn_safetensors_read", nn_safetensors_read(file, 0, NN_F32, NULL, 1, &why));
    FAIL(why.text, "no tensor 77", nn_safetensors_read(file, BAD, NN_F32, bytes, 1, &why));
    FAIL(why.text, "\"a\"", nn_safetensors_read(file, 0, (nn_dtype)BAD, bytes, 1, &why));
    FAIL(why.text, "nn_safetensors_nonfinite", nn_safetensors_nonfinite(NULL, 0, &n, &n, &why));
    FAIL(why.text, "nn_safetensors_nonfinite", nn_safetensors_nonfinite(file, 0, NULL, &n, &why));
    FAIL(why.text, "no path", nn_safetensors_write(NULL, &item, 1, NULL, 0, &why));
    FAIL(why.text, "nowhere", nn_safetensors_write("nowhere", NULL, 1, NULL, 0, &why));
    FAIL(why.text, "\"a\"", nn_safetensors_write("/nowhere/at/all", &item, 1, NULL, 0, &why));
    FAIL(why.text, "nowhere", nn_safetensors_write("/nowhere/at/all", &nameless, 1, NULL, 0, &why));
    FAIL(why.text, "no path", nn_torch_write(NULL, &item, 1, &why));
    FAIL(why.text, "nowhere", nn_torch_write("nowhere", NULL, -1, &why));
    FAIL(nn_model_error(model), "nn_safetensors_open", nn_model_load(model, NULL, NULL, NULL));
    STATUS(nn_model_load(NULL, "a", NULL, NULL));
    FAIL(nn_model_error(model), "nn_model_load_from", nn_model_load_from(model, NULL, NULL, NULL));
    FAIL(nn_model_error(model), "role",
         nn_model_load_from(model, file, &(nn_load_opts){ .role = (nn_base)BAD }, NULL));
    STATUS(nn_model_load_from(NULL, file, NULL, NULL));
    FAIL(nn_model_error(model), "nn_model_save", nn_model_save(model, NULL, NN_BASE_PARAM, NULL, 0));
    FAIL(nn_model_error(model), "role", nn_model_save(model, "/nowhere/at/all", (nn_base)BAD, NULL, 0));
    FAIL(nn_model_error(model), "nowhere", nn_model_save(model, "/nowhere/at/all", NN_BASE_PARAM, NULL, 1));
    STATUS(nn_model_save(NULL, "a", NN_BASE_PARAM, NULL, 0));
    FAIL(why.text, "no path", nn_onnx_write(graph, NULL, NULL, 0, &why));
    FAIL(why.text, "nowhere", nn_onnx_write(NULL, "nowhere", NULL, 0, &why));
    FAIL(why.text, "nn_checkpoint_save", nn_checkpoint_save(NULL, model, "a", NULL, 0, &why));
    FAIL(why.text, "nn_checkpoint_save", nn_checkpoint_save(plan, NULL, "a", NULL, 0, &why));
    FAIL(why.text, "nn_checkpoint_save", nn_checkpoint_save(plan, model, NULL, NULL, 0, &why));
    FAIL(why.text, "nn_checkpoint_save", nn_checkpoint_save(plan, model, "a", NULL, 1, &why));
    FAIL(why.text, "nn_checkpoint_check", nn_checkpoint_check(NULL, &why));
    FAIL(why.text, "nn_checkpoint_load", nn_checkpoint_load(plan, NULL, file, &why));
    FAIL(why.text, "nn_checkpoint_load", nn_checkpoint_load(NULL, model, file, &why));
    FAIL(why.text, "nn_checkpoint_load", nn_checkpoint_load(plan, model, NULL, &why));
}

static void vision_rows(void)
{
    nn_image image = { 0 }, seen = { .rgb = bytes, .width = 4, .height = 4 }, huge = { .width = INT64_MAX },
             narrow = { .rgb = bytes, .width = 4, .height = 4, .stride = 11 };
    nn_preprocess record = { 0 }, good = nn_preprocess_default();
    nn_augment_key key = { 0 };
    const char *const names[2] = { "a", "a" };
    nn_image_info info;
    nn_image_facts facts;
    nn_resize_kernel kernel;
    nn_augment *a;
    size_t length;

    CALM(nn_image_free(NULL));
    FAIL(why.text, "image", nn_image_decode(NULL, bytes, 8, NULL, &why));
    FAIL(why.text, "bytes", nn_image_decode(&image, NULL, 8, NULL, &why));
    FAIL(why.text, "max_pixels",
         nn_image_decode(&image, bytes, 8, &(nn_decode_opts){ .max_pixels = -1 }, &why));
    FAIL(why.text, "path", nn_image_load(&image, NULL, NULL, &why));
    FAIL(why.text, "image", nn_image_load(NULL, "a", NULL, &why));
    FAIL(why.text, "path", nn_image_probe_file(&info, NULL, &why));
    STATUS(nn_image_probe_file(NULL, "a", &why));
    FAIL(why.text, "path", nn_image_facts_file(&facts, NULL, &why));
    STATUS(nn_image_facts_file(NULL, "a", &why));
    FAIL(why.text, "nn_image_save_png", nn_image_save_png(&seen, NULL, 1, &why));
    FAIL(why.text, "sides", nn_image_save_png(NULL, "a", 1, &why));
    FAIL(why.text, "level", nn_image_save_png(&seen, "a", BAD, &why));
    TRUE(nn_resize_name((nn_resize_kernel)BAD)[0] == '?');
    FAIL(why.text, "name", nn_resize_named(&kernel, NULL, &why));
    FAIL(why.text, "name", nn_resize_named(NULL, "cv2-linear", &why));
    CALM(nn_vision_scratch_free(NULL));
    FAIL(why.text, "image", nn_image_resize(NULL, &seen, NN_RESIZE_OPENCV_LINEAR, NULL, &why));
    FAIL(why.text, "image", nn_image_resize(&image, NULL, NN_RESIZE_OPENCV_LINEAR, NULL, &why));
    FAIL(why.text, "make an image", nn_image_resize(&huge, &seen, NN_RESIZE_OPENCV_LINEAR, NULL, &why));
    FAIL(why.text, "kernel", nn_image_resize(&image, &seen, (nn_resize_kernel)BAD, NULL, &why));
    FAIL(why.text, "image", nn_image_crop(NULL, &seen, 0, 0, &why));
    FAIL(why.text, "image", nn_image_crop(&image, NULL, INT64_MIN, INT64_MAX, &why));
    FAIL(why.text, "image", nn_image_crop_centre(&image, NULL, &why));
    FAIL(why.text, "stride", nn_image_save_png(&narrow, "a", 1, &why));
    FAIL(why.text, "stride", nn_image_resize(&image, &narrow, NN_RESIZE_OPENCV_LINEAR, NULL, &why));
    FAIL(why.text, "stride", nn_image_resize(&narrow, &seen, NN_RESIZE_OPENCV_LINEAR, NULL, &why));
    FAIL(why.text, "stride", nn_image_crop(&image, &narrow, 0, 0, &why));
    FAIL(why.text, "stride", nn_preprocess_apply(&good, &narrow, bytes, NULL, &why));
    CALM(nn_image_flip(&narrow));
    CALM(nn_image_flip(NULL));
    CALM(nn_preprocess_free(NULL));
    FAIL(why.text, "class names", nn_preprocess_set_classes(NULL, names, 2, &why));
    FAIL(why.text, "class names", nn_preprocess_set_classes(&record, NULL, 2, &why));
    FAIL(why.text, "class", nn_preprocess_set_classes(&record, names, 2, &why));
    FAIL(why.text, "record", nn_preprocess_check(NULL, &why));
    FAIL(why.text, "size", nn_preprocess_check(&record, &why));
    FAIL(why.text, "record", nn_preprocess_apply(NULL, &seen, bytes, NULL, &why));
    FAIL(why.text, "image", nn_preprocess_apply(&good, NULL, bytes, NULL, &why));
    FAIL(why.text, "pixels", nn_preprocess_apply(&good, &seen, NULL, NULL, &why));
    FAIL(why.text, "record", nn_preprocess_write(NULL, NULL, 0, &length, &why));
    FAIL(why.text, "record", nn_preprocess_write(&good, NULL, 8, &length, &why));
    FAIL(why.text, "record", nn_preprocess_read(&record, NULL, &why));
    FAIL(why.text, "record", nn_preprocess_read(NULL, "{}", &why));
    FAIL(why.text, "pipeline", nn_augment_new(NULL, "flip", &why));
    FAIL(why.text, "pipeline", nn_augment_new(&a, NULL, &why));
    FAIL(why.text, "wobble", nn_augment_new(&a, "wobble", &why));
    CALM(nn_augment_free(NULL));
    TRUE(nn_augment_text(NULL)[0] == 0);
    TRUE(nn_augment_type(NULL) == NN_U8);
    CALM(nn_augment_settle(NULL, &record));
    CALM(nn_augment_settle(augment, NULL));
    FAIL(why.text, "pipeline", nn_augment_apply(NULL, &good, &seen, key, bytes, NULL, &why));
    FAIL(why.text, "record", nn_augment_apply(augment, NULL, &seen, key, bytes, NULL, &why));
    FAIL(why.text, "image", nn_augment_apply(augment, &good, NULL, key, bytes, NULL, &why));
    FAIL(why.text, "stride", nn_augment_apply(augment, &good, &narrow, key, bytes, NULL, &why));
}

static void dataset_rows(void)
{
    char hex[65];
    int64_t n;

    TRUE(nn_split_name(BAD)[0] == '?');
    TRUE(nn_split_named(NULL) == -1);
    TRUE(nn_problem_name((nn_problem_kind)BAD)[0] == '?');
    STATUS(nn_dataset_new(NULL));
    CALM(nn_dataset_free(NULL));
    FAIL(why.text, "nn_dataset_add", nn_dataset_add(NULL, "a", &why));
    FAIL(why.text, "nn_dataset_add", nn_dataset_add(data, NULL, &why));
    FAIL(why.text, "nn_dataset_add_pair", nn_dataset_add_pair(data, NULL, "a", &why));
    FAIL(why.text, "nn_dataset_add_extra", nn_dataset_add_extra(data, NULL, &why));
    FAIL(why.text, "nn_dataset_add_table", nn_dataset_add_table(data, NULL, NN_SPLIT_TRAIN, &why));
    FAIL(why.text, "77", nn_dataset_add_table(data, "a", BAD, &why));
    FAIL(why.text, "nn_dataset_add_images", nn_dataset_add_images(data, NULL, &why));
    FAIL(why.text, "nn_dataset_hash", nn_dataset_hash(NULL, 1, &why));
    FAIL(why.text, "-1 threads", nn_dataset_hash(data, -1, &why));
    STATUS(nn_dataset_digest(NULL, 0, hex));
    STATUS(nn_dataset_digest(data, 0, NULL));
    STATUS(nn_dataset_digest(data, BAD, hex));
    FAIL(why.text, "nn_dataset_deduplicate", nn_dataset_deduplicate(NULL, &why));
    FAIL(why.text, "nn_dataset_split", nn_dataset_split(NULL, 0.5, 0, &why));
    FAIL(why.text, "between 0 and 1", nn_dataset_split(data, NOT, 0, &why));
    FAIL(why.text, "nn_dataset_check", nn_dataset_check(NULL, NN_SPLIT_TRAIN, &why));
    FAIL(why.text, "77", nn_dataset_check(data, BAD, &why));
    FAIL(why.text, "nn_split_write", nn_split_write(NULL, "a", &why));
    FAIL(why.text, "nn_split_write", nn_split_write(data, NULL, &why));
    FAIL(why.text, "nn_split_apply", nn_split_apply(NULL, "a", &why));
    FAIL(why.text, "nn_split_apply", nn_split_apply(data, NULL, &why));
    FAIL(why.text, "nn_split_leaks", nn_split_leaks(NULL, "a", 0, &n, &why));
    FAIL(why.text, "nn_split_leaks", nn_split_leaks(data, "a", 0, NULL, &why));
    FAIL(why.text, "77", nn_split_leaks(data, "a", BAD, &n, &why));
    FAIL(why.text, "nn_dataset_verify", nn_dataset_verify(NULL, 1, NULL, NULL, &why));
    FAIL(why.text, "-1 threads", nn_dataset_verify(data, -1, NULL, NULL, &why));
}

static void data_rows(void)
{
    const nn_preprocess as_usual = nn_preprocess_default();
    nn_loader_opts opts = { .data = data, .batch = -1, .preprocess = &as_usual };
    nn_metrics metrics = { 0 };
    nn_template *t;
    nn_loader *l;
    nn_batch batch;
    char text[8];

    FAIL(why.text, "loader", nn_loader_new(NULL, &opts, &why));
    FAIL(why.text, "loader", nn_loader_new(&l, NULL, &why));
    FAIL(why.text, "batch of -1", nn_loader_new(&l, &opts, &why));
    opts.batch = 1;
    opts.split = BAD;
    FAIL(why.text, "split", nn_loader_new(&l, &opts, &why));
    opts.split = NN_SPLIT_TRAIN;
    opts.threads = 1 << 20;
    FAIL(why.text, "threads", nn_loader_new(&l, &opts, &why));
    opts.threads = 0;
    opts.ahead = -1;
    FAIL(why.text, "ahead", nn_loader_new(&l, &opts, &why));
    opts.ahead = 0;
    opts.mixup = NOT;
    FAIL(why.text, "mixup", nn_loader_new(&l, &opts, &why));
    opts.preprocess = NULL;
    FAIL(why.text, "preprocessing", nn_loader_new(&l, &opts, &why));
    CALM(nn_loader_free(NULL));
    TRUE(nn_loader_samples(NULL) == 0);
    STATUS(nn_loader_start(NULL, 0, 0));
    STATUS(nn_loader_next(NULL, &batch));
    TRUE(isnan(nn_probability_fake(NULL)));
    STATUS(nn_metrics_binary(NULL, number, label, 1, 0.5));
    STATUS(nn_metrics_binary(&metrics, NULL, label, 1, 0.5));
    STATUS(nn_metrics_binary(&metrics, number, NULL, 1, 0.5));
    STATUS(nn_metrics_binary(&metrics, number, label, -1, 0.5));
    STATUS(nn_metrics_binary(&metrics, number, label, 1, NOT));
    STATUS(nn_macro_f1_interval(NULL, &metrics, 0));
    STATUS(nn_macro_f1_interval(number, NULL, 0));
    STATUS(nn_macro_f1_interval(number, &metrics, 0));
    TRUE(nn_csv_field(NULL, 8, "a") == 1);
    TRUE(nn_csv_field(text, sizeof text, NULL) == 0);
    TRUE(nn_csv_number(NULL, 1)[0] == 0);
    FAIL(why.text, "nn_predictions_write", nn_predictions_write(NULL, NULL, 0, &why));
    FAIL(why.text, "nn_predictions_write", nn_predictions_write("a", NULL, 1, &why));
    FAIL(why.text, "nn_template_read", nn_template_read(NULL, "a", &why));
    FAIL(why.text, "nn_template_read", nn_template_read(&t, NULL, &why));
    CALM(nn_template_free(NULL));
    FAIL(why.text, "nn_template_write", nn_template_write(NULL, "a", NULL, 0, NULL, NULL, &why));
}

static void classifier_rows(void)
{
    nn_classifier *c;

    FAIL(why.text, "nn_classifier_open", nn_classifier_open(NULL, "a", NULL, &why));
    FAIL(why.text, "nn_classifier_open", nn_classifier_open(&c, NULL, NULL, &why));
    FAIL(why.text, "batch", nn_classifier_open(&c, "a", &(nn_classifier_opts){ .batch = -1 }, &why));
    FAIL(why.text, "size", nn_classifier_open(&c, "a", &(nn_classifier_opts){ .size = INT64_MAX }, &why));
    CALM(nn_classifier_close(NULL));
    TRUE(!nn_classifier_about(NULL));
    TRUE(nn_classifier_error(NULL)[0] != 0);
    STATUS(nn_classifier_run(NULL, bytes, 4, 4, 0, number));
    STATUS(nn_classifier_logits(NULL, bytes, 1, number));
}

static void network_rows(void)
{
    nn_efficientnet_config b0 = *nn_efficientnet_find("efficientnet_b0");
    nn_network network;
    nn_pretrained p;

    RECORD("nn_efficientnet", nn_efficientnet(graph, x, NULL));
    RECORD("nn_layer_conv2d", nn_efficientnet(graph, NULL, &b0));
    TRUE(!nn_efficientnet_find(NULL));
    TRUE(!nn_efficientnet_at(-1));
    STATUS(nn_network_find(NULL, &network));
    STATUS(nn_network_find("vgg16_bn", NULL));
    STATUS(nn_network_at(-1, &network));
    STATUS(nn_network_at(0, NULL));
    FAIL(why.text, "nn_pretrained_identify", nn_pretrained_identify(NULL, file, NULL, &why));
    FAIL(why.text, "nn_pretrained_identify", nn_pretrained_identify(&p, NULL, NULL, &why));
    TRUE(!nn_imagenet_class(-1));
    RECORD("nn_resnet", nn_resnet(graph, x, NULL));
    RECORD("nn_layer_conv2d", nn_resnet(graph, NULL, nn_resnet_find("resnet18")));
    TRUE(!nn_resnet_find(NULL));
    RECORD("nn_vgg", nn_vgg(graph, x, NULL));
    RECORD("nn_layer_conv2d", nn_vgg(graph, NULL, nn_vgg_find("vgg11_bn")));
    TRUE(!nn_vgg_find(NULL));
}

static void go_through(int one)
{
    static void (*const part[])(void) = { base_rows,  device_rows,     model_rows,  graph_rows,  op_rows,
                                          map_rows,   element_rows,    shape_rows,  loss_rows,   layer_rows,
                                          optim_rows, plan_rows,       io_rows,     vision_rows, dataset_rows,
                                          data_rows,  classifier_rows, network_rows };

    wanted = one;
    rows = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        part[i]();
}

START_TEST(is_refused)
{
    set_up();
    go_through(_i);
}
END_TEST

/* ---- which functions there are ---- */

static bool has_row(const char *function)
{
    char call[80];

    (void)snprintf(call, sizeof call, "%s(", function);
    for (int i = 0; i < rows; i++) {
        const char *at = strstr(text_of[i], call);

        if (at && (at == text_of[i] || !(isalnum((unsigned char)at[-1]) || at[-1] == '_')))
            return true;
    }
    return false;
}

/* Every declaration of a header that takes arguments; returns how many there were. */
static int check_header(const char *path)
{
    static char text[1 << 18];
    FILE *f = fopen(path, "rb");
    int n = 0;

    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    (void)fclose(f);
    for (const char *at = text; (at = strstr(at, "NN_API ")); at++) {
        const char *open = strchr(at, '('), *name = open;
        char function[64];

        while (name && name > at && (isalnum((unsigned char)name[-1]) || name[-1] == '_'))
            name--;
        if (!name || strncmp(name, "nn_", 3) != 0 || !strncmp(open, "(void)", 6))
            continue;
        (void)snprintf(function, sizeof function, "%.*s", (int)(open - name), name);
        ck_assert_msg(has_row(function), "%s of %s has no row in tests/core/test_bad_arguments.c", function,
                      path);
        n++;
    }
    return n;
}

START_TEST(all_are_here)
{
    static const char *const folder[] = { "libnn/include/nn", "libnn/include/nn/models" };
    int n = 0;

    go_through(-1);
    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
        char at[512], path[1024];
        struct dirent *e;
        DIR *d;

        ck_assert_msg(source_path(at, sizeof at, folder[i]), "the source tree was not found");
        d = opendir(at);
        ck_assert_ptr_nonnull(d);
        while ((e = readdir(d))) {
            (void)snprintf(path, sizeof path, "%s/%s", at, e->d_name);
            n += strstr(e->d_name, ".h") ? check_header(path) : 0;
        }
        (void)closedir(d);
    }
    ck_assert_int_gt(n, 200);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bad_arguments");
    TCase *t = tcase_create("bad_arguments");

    go_through(-1);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, is_refused, 0, rows);
    tcase_add_test(t, all_are_here);
    suite_add_tcase(s, t);
    return suite_run(s);
}
