/* SPDX-License-Identifier: MIT
 *
 * What layers add to ops: names in the order of torchvision's state dicts, first values, and which
 * statistics batch norm uses and changes in which mode.
 */
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/nn.h>
#include <stdlib.h>
#include <string.h>

static nn_device *device;
static nn_model *m;
static nn_graph *g;

static void setup(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 2 }, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, device, 11), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
}

static void teardown(void)
{
    nn_graph_free(g);
    nn_model_free(m);
    nn_close(device);
}

static nn_tensor *input(int64_t n, int64_t h, int64_t w, int64_t c)
{
    return nn_input(g, "x", NN_REAL, NN_SHAPE4(n, h, w, c));
}

/* Mean, standard deviation and largest magnitude of a parameter's first values. */
struct moments {
    int64_t count;
    double mean, deviation, most;
};
static struct moments moments_of(const char *name)
{
    const nn_segment *s = nn_model_find(m, name);
    struct moments r = { 0 };
    double *x;

    ck_assert_msg(s != NULL, "there is no %s", name);
    r.count = s->count;
    x = malloc((size_t)s->count * sizeof *x);
    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(nn_model_read(m, name, NN_BASE_PARAM, NN_F64, x), NN_OK);
    for (int64_t i = 0; i < s->count; i++) {
        r.mean += x[i] / (double)s->count;
        r.most = fmax(r.most, fabs(x[i]));
    }
    for (int64_t i = 0; i < s->count; i++)
        r.deviation += (x[i] - r.mean) * (x[i] - r.mean) / (double)s->count;
    r.deviation = sqrt(r.deviation);
    free(x);
    return r;
}

static void expect_normal(const char *name, double deviation)
{
    struct moments r = moments_of(name);
    double error = 5 / sqrt((double)r.count);

    ck_assert_msg(fabs(r.deviation / deviation - 1) < error && fabs(r.mean) < error * deviation,
                  "%s: mean %g, deviation %g instead of %g", name, r.mean, r.deviation, deviation);
    ck_assert_msg(r.most > 2.5 * deviation, "%s: no tails, the largest value is %g", name, r.most);
}

static void expect_uniform(const char *name, double bound)
{
    struct moments r = moments_of(name);
    double error = 5 / sqrt((double)r.count);

    ck_assert_msg(r.most <= bound && r.most > bound * (1 - error), "%s: largest value %g of bound %g", name,
                  r.most, bound);
    ck_assert_msg(fabs(r.deviation / bound * sqrt(3) - 1) < error && fabs(r.mean) < error * bound,
                  "%s: mean %g, deviation %g, bound %g", name, r.mean, r.deviation, bound);
}

static void expect_constant(const char *name, double value)
{
    struct moments r = moments_of(name);

    ck_assert_msg(r.mean == value && r.deviation == 0, "%s: mean %g, deviation %g", name, r.mean,
                  r.deviation);
}

static void expect_entries(const char *const *name, int64_t count)
{
    ck_assert_msg(nn_graph_status(g) == NN_OK, "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_model_count(m), count);
    for (int64_t i = 0; i < count; i++)
        ck_assert_str_eq(nn_model_segment(m, i)->name, name[i]);
    ck_assert_int_eq(nn_model_seal(m), NN_OK);
}

START_TEST(conv2d)
{
    static const char *const names[] = { "a.full.weight", "a.full.bias", "a.depth.weight", "a.bare.weight",
                                         "a.bare.bias" };
    nn_tensor *x = input(2, 9, 7, 24);

    nn_push(g, "a");
    x = nn_layer_conv2d(g, "full", x,
                        (nn_conv2d_opts){ .out = 48, .k = 3, .stride = 2, .bias = 1, .init_fan_out = 1 });
    ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE4(2, 5, 4, 48)));
    x = nn_layer_conv2d(g, "depth", x,
                        (nn_conv2d_opts){ .out = 48, .k = 5, .groups = 48, .init_fan_out = 1 });
    ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE4(2, 5, 4, 48)));
    x = nn_layer_conv2d(g, "bare", x, (nn_conv2d_opts){ .out = 500, .k = 1, .bias = 1 });
    nn_pop(g);
    expect_entries(names, 5);
    ck_assert(nn_shape_equal(nn_model_find(m, "a.depth.weight")->shape, NN_SHAPE4(48, 1, 5, 5)));
    expect_normal("a.full.weight", sqrt(2.0 / (48 * 9)));
    expect_constant("a.full.bias", 0);
    expect_normal("a.depth.weight", sqrt(2.0 / (48 * 25))); /* torch's fan_out knows no groups */
    expect_uniform("a.bare.weight", 1 / sqrt(48));
    expect_uniform("a.bare.bias", 1 / sqrt(48));
}
END_TEST

START_TEST(conv_transpose2d)
{
    static const char *const names[] = { "full.weight", "full.bias", "bare.weight", "bare.bias" };
    nn_tensor *x = input(2, 4, 5, 24);

    x = nn_layer_conv_transpose2d(
        g, "full", x,
        (nn_conv_transpose2d_opts){ .out = 48, .k = 4, .stride = 2, .pad = 1, .bias = 1, .init_fan_out = 1 });
    ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE4(2, 8, 10, 48)));
    x = nn_layer_conv_transpose2d(g, "bare", x,
                                  (nn_conv_transpose2d_opts){ .out = 300, .k = 3, .groups = 3, .bias = 1 });
    ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE4(2, 10, 12, 300)));
    expect_entries(names, 4);
    ck_assert(nn_shape_equal(nn_model_find(m, "full.weight")->shape, NN_SHAPE4(24, 48, 4, 4)));
    ck_assert(nn_shape_equal(nn_model_find(m, "bare.weight")->shape, NN_SHAPE4(48, 100, 3, 3)));
    expect_normal("full.weight", sqrt(2.0 / (24 * 16))); /* torch's fan_out of [I,O,k,k] */
    expect_constant("full.bias", 0);
    expect_uniform("bare.weight", 1 / sqrt(100 * 9));
    expect_uniform("bare.bias", 1 / sqrt(100 * 9));
    ck_assert_ptr_null(
        nn_layer_conv_transpose2d(g, "odd", x, (nn_conv_transpose2d_opts){ .out = 4, .k = 3, .groups = 7 }));
    ck_assert_ptr_nonnull(strstr(nn_graph_error(g), "'odd'"));
}
END_TEST

START_TEST(linear)
{
    static const char *const names[] = { "head.weight", "head.bias", "bare.weight", "bare.bias",
                                         "none.weight" };
    nn_tensor *x = nn_input(g, "x", NN_REAL, NN_SHAPE2(3, 70));

    x = nn_layer_linear(g, "head", x, (nn_linear_opts){ .out = 300, .init_fan_out = 1 });
    x = nn_layer_linear(g, "bare", x, (nn_linear_opts){ .out = 200 });
    x = nn_layer_linear(g, "none", x, (nn_linear_opts){ .out = 5, .no_bias = 1 });
    ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE2(3, 5)));
    expect_entries(names, 5);
    expect_uniform("head.weight", 1 / sqrt(300));
    expect_constant("head.bias", 0);
    expect_uniform("bare.weight", 1 / sqrt(300));
    expect_uniform("bare.bias", 1 / sqrt(300));
}
END_TEST

START_TEST(norms_of_samples)
{
    static const char *const names[] = { "a.weight", "a.bias", "b.weight", "b.bias" };
    nn_real y[2][8], z[2][8];
    nn_plan *plan;

    (void)nn_observe(g, "y", nn_layer_layernorm(g, "a", nn_input(g, "x", NN_REAL, NN_SHAPE2(2, 8)), 0));
    (void)nn_observe(g, "z",
                     nn_layer_groupnorm(g, "b", nn_input(g, "x", NN_REAL, NN_SHAPE2(2, 8)),
                                        (nn_group_norm_opts){ .groups = 4 }));
    expect_entries(names, 4);
    ck_assert(nn_shape_equal(nn_model_find(m, "b.weight")->shape, NN_SHAPE1(8)));
    expect_constant("a.weight", 1);
    expect_constant("b.bias", 0);
    ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ 0 }), NN_OK);
    for (int i = 0; i < 16; i++)
        ((nn_real *)nn_host(plan, "x", NULL))[i] = (nn_real)(i * i);
    ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, y, 16), NN_OK);
    ck_assert_int_eq(nn_read(plan, "z", NN_REAL, z, 16), NN_OK);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 8; i += 2) {
            ck_assert(fabs((double)z[n][i] + 1) < 1e-4 && fabs((double)z[n][i + 1] - 1) < 1e-4);
            ck_assert(y[n][i] < y[n][i + 1]);
        }
    /* 0 1 4 9 16 25 36 49 have mean 17.5 and variance 278.25 */
    ck_assert(fabs((double)y[0][0] + 17.5 / sqrt(278.25)) < 1e-5);
    nn_plan_free(plan);
}
END_TEST

START_TEST(embedding)
{
    static const char *const names[] = { "tokens.weight", "places.weight" };
    nn_tensor *index = nn_input(g, "index", NN_I32, NN_SHAPE2(2, 3));
    nn_real x[6][40], table[50][40];
    nn_plan *plan;

    (void)nn_observe(g, "x", nn_layer_embedding(g, "tokens", index, (nn_embedding_opts){ 50, 40, 0 }));
    (void)nn_layer_embedding(g, "places", index, (nn_embedding_opts){ 50, 40, 0.02 });
    expect_entries(names, 2);
    expect_normal("tokens.weight", 1);
    expect_normal("places.weight", 0.02);
    ck_assert_int_eq(nn_compile(&plan, g, (nn_plan_opts){ 0 }), NN_OK);
    for (int i = 0; i < 6; i++)
        ((int32_t *)nn_host(plan, "index", NULL))[i] = 7 * i;
    ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(plan, "x", NN_REAL, x, 240), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "tokens.weight", NN_BASE_PARAM, NN_REAL, table), NN_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_mem_eq(x[i], table[7 * i], sizeof x[i]);
    nn_plan_free(plan);
    ck_assert_ptr_null(nn_layer_embedding(g, "none", index, (nn_embedding_opts){ .count = 5 }));
    ck_assert_ptr_nonnull(strstr(nn_graph_error(g), "embedding 'none'"));
}
END_TEST

START_TEST(batchnorm_entries)
{
    static const char *const names[] = { "n.weight", "n.bias", "n.running_mean", "n.running_var",
                                         "n.num_batches_tracked" };

    ck_assert_ptr_nonnull(nn_layer_batchnorm(g, "n", input(2, 3, 4, 5), (nn_batchnorm_opts){ 0 }));
    expect_entries(names, 5);
    ck_assert_int_eq(nn_model_segment(m, 4)->type, NN_I64);
    ck_assert_int_eq(nn_model_segment(m, 4)->shape.rank, 0);
    ck_assert_int_eq(nn_model_segment(m, 1)->base, NN_BASE_PARAM);
    ck_assert_int_eq(nn_model_segment(m, 2)->base, NN_BASE_STATE);
    expect_constant("n.weight", 1);
    expect_constant("n.bias", 0);
    expect_constant("n.running_mean", 0);
    expect_constant("n.running_var", 1);
}
END_TEST

enum { N = 4, H = 3, W = 2, C = 3, ROWS = N * H * W };

static double value(int64_t i) { return 3 * sin(1.7 * (double)i) + (double)(i % C); }

/* One forward run of a batch norm recorded in `mode` within the training graph. */
static void run_batchnorm(nn_mode mode, nn_real *y)
{
    static const double gamma[C] = { 2, 0.5, 1 }, beta[C] = { 1, -1, 0 }, mean[C] = { 0.5, 1, -2 },
                        var[C] = { 4, 2, 1 };
    nn_tensor *x = input(N, H, W, C);
    nn_plan *plan;
    nn_real *in;

    (void)nn_use_mode(g, mode);
    (void)nn_observe(g, "y",
                     nn_layer_batchnorm(g, "n", x, (nn_batchnorm_opts){ .eps = 1e-3, .momentum = 0.25 }));
    ck_assert_msg(!nn_compile(&plan, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_model_write(m, "n.weight", NN_BASE_PARAM, NN_F64, gamma), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "n.bias", NN_BASE_PARAM, NN_F64, beta), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "n.running_mean", NN_BASE_STATE, NN_F64, mean), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "n.running_var", NN_BASE_STATE, NN_F64, var), NN_OK);
    in = nn_host(plan, "x", NULL);
    for (int64_t i = 0; i < ROWS * C; i++)
        in[i] = (nn_real)value(i);
    ck_assert_msg(!nn_run(plan, NN_FORWARD), "%s", nn_plan_error(plan));
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, y, ROWS * C), NN_OK);
    nn_plan_free(plan);
}

/* `recorded`: the graph's mode; `mode`: what is in force for the layer. */
static void expect_batchnorm(nn_mode recorded, nn_mode mode)
{
    static const double gamma[C] = { 2, 0.5, 1 }, beta[C] = { 1, -1, 0 }, mean[C] = { 0.5, 1, -2 },
                        var[C] = { 4, 2, 1 };
    nn_real y[ROWS * C];
    double tracked[C], spread[C];
    int64_t batches = -1;

    run_batchnorm(recorded, y);
    ck_assert_int_eq(nn_model_read(m, "n.running_mean", NN_BASE_STATE, NN_F64, tracked), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "n.running_var", NN_BASE_STATE, NN_F64, spread), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "n.num_batches_tracked", NN_BASE_STATE, NN_I64, &batches), NN_OK);
    ck_assert_int_eq(batches, mode == NN_TRAIN);
    for (int c = 0; c < C; c++) {
        double a = 0, b = 0, by_mean, by_var;

        for (int64_t r = 0; r < ROWS; r++)
            a += value(r * C + c) / ROWS;
        for (int64_t r = 0; r < ROWS; r++)
            b += (value(r * C + c) - a) * (value(r * C + c) - a) / ROWS;
        by_mean = mode == NN_TRAIN ? a : mean[c];
        by_var = mode == NN_TRAIN ? b : var[c];
        for (int64_t r = 0; r < ROWS; r++) {
            double want = gamma[c] * (value(r * C + c) - by_mean) / sqrt(by_var + 1e-3) + beta[c];

            ck_assert_msg(fabs((double)y[r * C + c] - want) < 1e-5, "row %lld, channel %d: %g, not %g",
                          (long long)r, c, (double)y[r * C + c], want);
        }
        if (mode == NN_TRAIN) {
            ck_assert(fabs(tracked[c] - (0.75 * mean[c] + 0.25 * a)) < 1e-5);
            ck_assert(fabs(spread[c] - (0.75 * var[c] + 0.25 * b * ROWS / (ROWS - 1))) < 1e-5); /* unbiased */
        } else {
            ck_assert(tracked[c] == mean[c] && spread[c] == var[c]);
        }
    }
}

START_TEST(batchnorm_training) { expect_batchnorm(NN_TRAIN, NN_TRAIN); }
END_TEST
START_TEST(batchnorm_frozen) { expect_batchnorm(NN_EVAL, NN_EVAL); }
END_TEST

START_TEST(batchnorm_frozen_from_outside)
{
    nn_use_mode_at(g, "*", NN_TRAIN);
    nn_use_mode_at(g, "n", NN_EVAL);
    nn_use_mode_at(g, "n.*", NN_TRAIN);
    expect_batchnorm(NN_TRAIN, NN_EVAL);
    ck_assert_int_eq(nn_mode_of(g), NN_TRAIN);
}
END_TEST

START_TEST(squeeze_excite)
{
    static const char *const names[] = { "se.fc1.weight", "se.fc1.bias", "se.fc2.weight", "se.fc2.bias" };
    nn_tensor *x = input(2, 4, 4, 6);
    double w1[2][6], w2[6][2], b1[2] = { 0.1, -0.2 }, b2[6] = { 0, 1, 2, -1, -2, 0.5 };
    nn_real *in, y[2 * 16 * 6];
    nn_plan *plan;

    (void)nn_observe(g, "y", nn_layer_squeeze_excite(g, "se", x, 2));
    expect_entries(names, 4);
    ck_assert_msg(!nn_compile(&plan, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_model_read(m, "se.fc1.weight", NN_BASE_PARAM, NN_F64, w1), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "se.fc2.weight", NN_BASE_PARAM, NN_F64, w2), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "se.fc1.bias", NN_BASE_PARAM, NN_F64, b1), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "se.fc2.bias", NN_BASE_PARAM, NN_F64, b2), NN_OK);
    in = nn_host(plan, "x", NULL);
    for (int64_t i = 0; i < 2 * 16 * 6; i++)
        in[i] = (nn_real)value(i);
    ck_assert_msg(!nn_run(plan, NN_FORWARD), "%s", nn_plan_error(plan));
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, y, 2 * 16 * 6), NN_OK);
    for (int64_t n = 0; n < 2; n++) {
        double mean[6] = { 0 }, hidden[2];

        for (int64_t p = 0; p < 16; p++)
            for (int c = 0; c < 6; c++)
                mean[c] += value((n * 16 + p) * 6 + c) / 16;
        for (int k = 0; k < 2; k++) {
            hidden[k] = b1[k];
            for (int c = 0; c < 6; c++)
                hidden[k] += w1[k][c] * mean[c];
            hidden[k] /= 1 + exp(-hidden[k]);
        }
        for (int c = 0; c < 6; c++) {
            double gate = 1 / (1 + exp(-(b2[c] + w2[c][0] * hidden[0] + w2[c][1] * hidden[1])));

            for (int64_t p = 0; p < 16; p++) {
                int64_t i = (n * 16 + p) * 6 + c;

                ck_assert(fabs((double)y[i] - gate * value(i)) < 1e-5);
            }
        }
    }
    nn_plan_free(plan);
}
END_TEST

/* Every part present, then every part absent; values are those of EfficientNet's own tests. */
START_TEST(mbconv)
{
    static const char *const all[] = { "0.block.0.0.weight",   "0.block.0.1.weight", "0.block.0.1.bias",
                                       "0.block.1.0.weight",   "0.block.1.1.weight", "0.block.1.1.bias",
                                       "0.block.2.fc1.weight", "0.block.2.fc1.bias", "0.block.2.fc2.weight",
                                       "0.block.2.fc2.bias",   "0.block.3.0.weight", "0.block.3.1.weight",
                                       "0.block.3.1.bias",     "1.block.0.0.weight", "1.block.0.1.weight",
                                       "1.block.0.1.bias",     "1.block.1.0.weight", "1.block.1.1.weight",
                                       "1.block.1.1.bias" };
    nn_mbconv_opts full = { .out = 6, .k = 5, .expand = 4, .squeeze = 2, .drop_path = 0.5 };
    nn_mbconv_opts bare = { .out = 8, .k = 3, .stride = 2, .relu6 = 1 };
    nn_tensor *x = nn_layer_mbconv(g, "0", input(2, 7, 7, 6), full);
    nn_shape shape;
    int64_t n = 0;

    ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE4(2, 7, 7, 6)));
    shape = nn_shape_get(nn_layer_mbconv(g, "1", x, bare));
    ck_assert_msg(nn_shape_equal(shape, NN_SHAPE4(2, 4, 4, 8)), "%s", nn_graph_error(g));
    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);

        if (s->base == NN_BASE_PARAM)
            ck_assert_str_eq(s->name, all[n++]);
    }
    ck_assert_int_eq(n, sizeof all / sizeof *all);
    ck_assert_int_eq(nn_model_find(m, "0.block.1.0.weight")->shape.dim[0], 24);
    ck_assert_int_eq(nn_model_find(m, "1.block.0.0.weight")->shape.dim[0], 6);
    x = nn_layer_mbconv(g, "even", x, (nn_mbconv_opts){ .out = 6, .k = 2 }); /* one row less: no sum */
    ck_assert_msg(nn_shape_equal(nn_shape_get(x), NN_SHAPE4(2, 6, 6, 6)), "%s", nn_graph_error(g));
}
END_TEST

/* A projection of zeros leaves the sum's other half, or nothing where the shape changes. */
START_TEST(mbconv_adds_what_came_in)
{
    static const double zeros[6 * 24];
    nn_mbconv_opts opts = { .out = 6, .k = 3, .expand = 4 };
    nn_tensor *x = input(1, 4, 4, 6);
    nn_real *in, same[96], halved[24];
    nn_plan *plan;

    (void)nn_observe(g, "same", nn_layer_mbconv(g, "a", x, opts));
    opts.stride = 2;
    (void)nn_observe(g, "halved", nn_layer_mbconv(g, "b", x, opts));
    ck_assert_msg(!nn_compile(&plan, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_model_write(m, "a.block.2.0.weight", NN_BASE_PARAM, NN_F64, zeros), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "b.block.2.0.weight", NN_BASE_PARAM, NN_F64, zeros), NN_OK);
    in = nn_host(plan, "x", NULL);
    for (int64_t i = 0; i < 96; i++)
        in[i] = (nn_real)value(i);
    ck_assert_msg(!nn_run(plan, NN_FORWARD), "%s", nn_plan_error(plan));
    ck_assert_int_eq(nn_read(plan, "same", NN_REAL, same, 96), NN_OK);
    ck_assert_int_eq(nn_read(plan, "halved", NN_REAL, halved, 24), NN_OK);
    for (int64_t i = 0; i < 96; i++)
        ck_assert(same[i] == (nn_real)value(i));
    for (int64_t i = 0; i < 24; i++)
        ck_assert(halved[i] == 0);
    nn_plan_free(plan);
}
END_TEST

START_TEST(mistakes_are_named)
{
    nn_push(g, "features");
    ck_assert_ptr_null(
        nn_layer_conv2d(g, "odd", input(1, 4, 4, 6), (nn_conv2d_opts){ .out = 8, .k = 3, .groups = 4 }));
    ck_assert_int_eq(nn_graph_status(g), NN_ESHAPE);
    ck_assert_msg(strstr(nn_graph_error(g), "features") && strstr(nn_graph_error(g), "odd"), "%s",
                  nn_graph_error(g));
    ck_assert_ptr_null(nn_layer_linear(g, "later", input(1, 1, 1, 6), (nn_linear_opts){ .out = 8 }));
    ck_assert_msg(strstr(nn_graph_error(g), "odd") != NULL, "the first failure is kept: %s",
                  nn_graph_error(g));
}
END_TEST

START_TEST(null_passes_through)
{
    ck_assert_ptr_null(nn_layer_conv2d(g, "a", NULL, (nn_conv2d_opts){ .out = 8, .k = 3 }));
    ck_assert_ptr_null(nn_layer_linear(g, "b", NULL, (nn_linear_opts){ .out = 8 }));
    ck_assert_ptr_null(nn_layer_batchnorm(g, "c", NULL, (nn_batchnorm_opts){ 0 }));
    ck_assert_ptr_null(nn_layer_squeeze_excite(g, "d", NULL, 2));
    ck_assert_ptr_null(
        nn_layer_conv2d_norm(g, "e", NULL, (nn_conv2d_opts){ .out = 8, .k = 3 }, (nn_batchnorm_opts){ 0 }));
    ck_assert_ptr_null(nn_layer_mbconv(g, "f", NULL, (nn_mbconv_opts){ .out = 8, .k = 3 }));
    ck_assert_ptr_null(nn_layer_layernorm(g, "h", NULL, 0));
    ck_assert_ptr_null(nn_layer_groupnorm(g, "i", NULL, (nn_group_norm_opts){ .groups = 2 }));
    ck_assert_ptr_null(nn_layer_embedding(g, "j", NULL, (nn_embedding_opts){ .count = 2, .width = 2 }));
    ck_assert_int_eq(nn_model_count(m), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("layers");
    TCase *t = tcase_create("layers");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, conv2d);
    tcase_add_test(t, conv_transpose2d);
    tcase_add_test(t, linear);
    tcase_add_test(t, norms_of_samples);
    tcase_add_test(t, embedding);
    tcase_add_test(t, batchnorm_entries);
    tcase_add_test(t, batchnorm_training);
    tcase_add_test(t, batchnorm_frozen);
    tcase_add_test(t, batchnorm_frozen_from_outside);
    tcase_add_test(t, squeeze_excite);
    tcase_add_test(t, mbconv);
    tcase_add_test(t, mbconv_adds_what_came_in);
    tcase_add_test(t, mistakes_are_named);
    tcase_add_test(t, null_passes_through);
    suite_add_tcase(s, t);
    return suite_run(s);
}
