/* SPDX-License-Identifier: MIT
 *
 * max_pool2d: windows that touch, overlap and leave gaps; padding, ceil_mode, ties.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_max_pool2d(g, in[0], *(const nn_pool_opts *)c->extra);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const nn_pool_opts *o = c->extra;
    const int64_t *x = c->in[0].shape.dim, *y = c->expect[0].dim;
    int64_t stride = o->stride ? o->stride : o->k;

    for (int64_t e = 0; e < nn_shape_count(c->expect[0]); e++) {
        int64_t ch = e % y[3], q = e / y[3] % y[2], p = e / y[3] / y[2] % y[1], n = e / y[3] / y[2] / y[1];
        double most = -INFINITY;

        for (int64_t h = p * stride - o->pad; h < p * stride - o->pad + o->k; h++)
            for (int64_t w = q * stride - o->pad; w < q * stride - o->pad + o->k; w++)
                if (h >= 0 && h < x[1] && w >= 0 && w < x[2])
                    most = fmax(most, in[0][((n * x[1] + h) * x[2] + w) * x[3] + ch]);
        out[0][e] = most;
    }
}

#define CASE(what, n, h, w, c, oh, ow, ...)                                                                  \
    {                                                                                                        \
        .name = what, .in = { { .shape = { { n, h, w, c }, 4 } } }, .build = record, .oracle = oracle,       \
        .expect = { { { n, oh, ow, c }, 4 } }, .extra = &(const nn_pool_opts)__VA_ARGS__                     \
    }
#define WRONG(what, text, ...)                                                                               \
    {                                                                                                        \
        .name = what, .in = { { .shape = { { 1, 4, 5, 2 }, 4 } } }, .build = record, .fails = NN_ESHAPE,     \
        .says = text, .extra = &(const nn_pool_opts)__VA_ARGS__                                              \
    }

static const op_case cases[] = {
    CASE("2x2", 2, 6, 4, 5, 3, 2, { .k = 2 }),
    CASE("2x2, odd size", 2, 7, 5, 3, 3, 2, { .k = 2 }),
    CASE("2x2, ceil_mode", 2, 7, 5, 17, 4, 3, { .k = 2, .ceil_mode = 1 }),
    CASE("resnet", 2, 9, 8, 19, 5, 4, { .k = 3, .stride = 2, .pad = 1 }),
    CASE("resnet, ceil_mode", 2, 8, 9, 4, 5, 5, { .k = 3, .stride = 2, .pad = 1, .ceil_mode = 1 }),
    CASE("ceil_mode drops a window of padding", 1, 4, 6, 3, 3, 4,
         { .k = 2, .stride = 2, .pad = 1, .ceil_mode = 1 }),
    CASE("overlap", 1, 7, 6, 33, 7, 6, { .k = 5, .stride = 1, .pad = 2 }),
    CASE("gaps", 2, 11, 8, 2, 3, 2, { .k = 2, .stride = 4 }),
    CASE("whole image", 3, 4, 4, 6, 1, 1, { .k = 4 }),
    CASE("several tiles", 3, 40, 24, 64, 20, 12, { .k = 3, .stride = 2, .pad = 1 }),
    WRONG("no window", "window 0", { .k = 0 }),
    WRONG("padding too large", "padding 2", { .k = 3, .pad = 2 }),
    WRONG("window too large", "larger than", { .k = 5 }),
    WRONG("an option of averages", "exclude_pad", { .k = 2, .exclude_pad = 1 }),
    { .name = "bench ResNet",
      .in = { { .shape = { { 8, 112, 112, 64 }, 4 } } },
      .build = record,
      .extra = &(const nn_pool_opts){ .k = 3, .stride = 2, .pad = 1 },
      .bench = 1 },
    { .name = "bench VGG",
      .in = { { .shape = { { 8, 112, 112, 128 }, 4 } } },
      .build = record,
      .extra = &(const nn_pool_opts){ .k = 2 },
      .bench = 1 },
};

/* Runs a 3x3 image of one channel through one window; returns the maximum, and dx in `dx`. */
static double one_window(const nn_real *x, nn_real *dx)
{
    nn_device *device = op_test_device(NULL, 1);
    nn_tensor *image, *y;
    nn_plan *plan;
    nn_graph *g;
    nn_real most;

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_EVAL), NN_OK);
    image = nn_observe(g, "x", nn_input(g, "image", NN_REAL, NN_SHAPE4(1, 3, 3, 1)));
    y = nn_observe(g, "y", nn_max_pool2d(g, image, (nn_pool_opts){ .k = 3 }));
    ck_assert_int_eq(
        nn_compile(&plan, g,
                   (nn_plan_opts){ .seeds = &y, .seed_count = 1, .inputs = &image, .input_count = 1 }),
        NN_OK);
    nn_graph_free(g);
    ck_assert_int_eq(nn_write(plan, "image", x, 9 * sizeof *x), NN_OK);
    *nn_seed(plan, 0) = 2;
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, &most, 1), NN_OK);
    ck_assert_int_eq(nn_read_gradient(plan, "x", NN_REAL, dx, 9), NN_OK);
    nn_plan_free(plan);
    nn_close(device);
    return (double)most;
}

START_TEST(first_of_equals)
{
    const nn_real x[9] = { 0, 1, 3, 3, 2, 3, 3, 0, 1 };
    nn_real dx[9];

    ck_assert_double_eq(one_window(x, dx), 3);
    for (int i = 0; i < 9; i++)
        ck_assert_double_eq((double)dx[i], i == 2 ? 2 : 0);
}
END_TEST

START_TEST(not_a_number)
{
    nn_real x[9] = { 0, 1, 3, (nn_real)NAN, 2, 5, 3, 0, 1 };
    nn_real dx[9];

    ck_assert(isnan(one_window(x, dx)));
    for (int i = 0; i < 9; i++)
        x[i] = (nn_real)-INFINITY;
    ck_assert_double_eq(one_window(x, dx), -INFINITY);
    ck_assert_double_eq((double)dx[0], 2);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, first_of_equals);
    tcase_add_test(t, not_a_number);
}

OP_TEST(max_pool2d, OP_CASES(cases), .more = more);
