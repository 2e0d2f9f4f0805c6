/* SPDX-License-Identifier: MIT
 *
 * Masks: the very numbers that the random stream holds (drawn here word by word), their rate, and
 * that nothing but seed, step, sample and place decides them. Dropout and stochastic depth are
 * products with them.
 */
#include "op_test.h"
#include "ops/list.h"

#include "base/base.h"
#include "core/core.h"

#include <math.h>
#include <string.h>

struct drop {
    double p;
    int kind; /* 0 keep_mask, 1 dropout, 2 drop_path */
};

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const struct drop *d = c->extra;

    if (d->kind == 0)
        return out[0] = nn_keep_mask(g, nn_shape_get(in[0]), d->p);
    /* Something must follow: an output that is the input itself has no backward segment. */
    return out[0] =
               nn_scale(g, d->kind == 1 ? nn_dropout(g, in[0], d->p) : nn_drop_path(g, in[0], d->p), 1, 0);
}

static void identity(const op_case *c, const double *const *in, double *const *out)
{
    memcpy(out[0], in[0], (size_t)nn_shape_count(c->in[0].shape) * sizeof(double));
}

static const struct drop minus = { -0.1, 0 }, one = { 1, 0 }, dropout_one = { 1, 1 }, path_nan = { NAN, 2 };
static const struct drop half_path = { 0.5, 2 }, half = { 0.5, 1 }, zero = { 0, 1 }, zero_path = { 0, 2 };

#define SMALL                                                                                                \
    {                                                                                                        \
        {                                                                                                    \
            .shape = { { 2, 3, 4 }, 3 }                                                                      \
        }                                                                                                    \
    }
static const op_case cases[] = {
    { .name = "dropout in evaluation",
      .in = SMALL,
      .build = record,
      .oracle = identity,
      .extra = &half,
      .mode = NN_EVAL },
    { .name = "stochastic depth in evaluation",
      .in = SMALL,
      .build = record,
      .oracle = identity,
      .extra = &half_path,
      .mode = NN_EVAL },
    { .name = "dropout of nothing",
      .in = SMALL,
      .build = record,
      .oracle = identity,
      .extra = &zero,
      .mode = NN_TRAIN },
    { .name = "stochastic depth of nothing",
      .in = SMALL,
      .build = record,
      .oracle = identity,
      .extra = &zero_path,
      .mode = NN_TRAIN },
    { .name = "negative", .in = SMALL, .build = record, .extra = &minus, .fails = NN_ESHAPE, .says = "-0.1" },
    { .name = "all", .in = SMALL, .build = record, .extra = &one, .fails = NN_ESHAPE, .says = "[0,1)" },
    { .name = "dropout of all",
      .in = SMALL,
      .build = record,
      .extra = &dropout_one,
      .fails = NN_EINVAL,
      .says = "dropout" },
    { .name = "stochastic depth of NaN",
      .in = SMALL,
      .build = record,
      .extra = &path_nan,
      .fails = NN_EINVAL,
      .says = "drop_path" },
};

static nn_tensor *one_mask(nn_graph *g, nn_shape shape, double p, const char *name)
{
    return nn_observe(g, name, nn_keep_mask(g, shape, p));
}

/* A plan whose output "y" is made of `shape` by `kind`, with input "x" of that shape (ones). */
static nn_plan *plan_of(nn_device *device, nn_shape shape, struct drop d, uint64_t seed, uint64_t *key)
{
    nn_graph *g = NULL;
    nn_plan *p = NULL;
    nn_tensor *x, *y;
    nn_real *at;
    int64_t n = nn_shape_count(shape);

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_TRAIN), NN_OK);
    nn_push(g, "block");
    x = nn_input(g, "x", NN_REAL, shape);
    y = d.kind == 0   ? nn_keep_mask(g, shape, d.p)
        : d.kind == 1 ? nn_dropout(g, x, d.p)
                      : nn_drop_path(g, x, d.p);
    ck_assert_msg(y != NULL, "%s", nn_graph_error(g));
    (void)nn_observe(g, "y", y);
    for (int64_t i = 0; key && i < g->nodes; i++)
        if (g->node[i]->op == &nn_op_keep_mask)
            *key = g->node[i]->key;
    ck_assert_msg(nn_compile(&p, g,
                             (nn_plan_opts){ .seed = seed,
                                             .inputs = &x,
                                             .input_count = 1,
                                             .seeds = &y,
                                             .seed_count = d.kind != 0,
                                             .flags = NN_PLAN_DEBUG }) == NN_OK,
                  "%s", nn_graph_error(g));
    at = nn_host(p, "x", NULL);
    for (int64_t i = 0; i < n && at; i++)
        at[i] = 1;
    nn_graph_free(g);
    return p;
}

static void values(nn_plan *p, nn_real *y, int64_t n)
{
    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(p, "y", NN_REAL, y, n), NN_OK);
}

START_TEST(numbers_of_the_stream)
{
    static const nn_shape shapes[] = {
        { { 3, 5, 7 }, 3 }, { { 4, 1, 1, 1 }, 4 }, { { 9 }, 1 }, { { 2, 10001 }, 2 }, { { 3000, 2 }, 2 }
    };
    static nn_real y[20002];

    for (int k = 0; k < OP_COUNT(shapes); k++)
        for (int threads = 1; threads <= 3; threads += 2) {
            nn_device *device = op_test_device(NULL, threads);
            int64_t n = nn_shape_count(shapes[k]), rows = shapes[k].dim[0], width = n / rows;
            struct drop d = { 0.3, 0 };
            uint64_t key = 0;
            nn_plan *p = plan_of(device, shapes[k], d, 1234567890123u, &key);
            nni_stream s = nni_stream_of(1234567890123u, key);

            ck_assert_int_eq(nn_set(p, NN_STEP, 17), NN_OK);
            ck_assert_int_eq(nn_set(p, NN_SAMPLE, 1000), NN_OK);
            values(p, y, n);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t e = 0; e < width; e++) {
                    uint32_t word[4];
                    nn_real expected;

                    nni_stream_at(&s, (uint64_t)(1000 + r), 17, (uint32_t)(e / 4), word);
                    expected = nni_uniform(word[e % 4]) >= 0.3 ? (nn_real)(1 / 0.7) : 0;
                    ck_assert_msg(y[r * width + e] == expected, "shape %d, row %lld, element %lld", k,
                                  (long long)r, (long long)e);
                }
            nn_plan_free(p);
            nn_close(device);
        }
}
END_TEST

START_TEST(rate)
{
    enum { N = 40000 };
    static nn_real y[N];
    static const double rates[] = { 0.05, 0.5, 0.9 };
    nn_device *device = op_test_device(NULL, 2);

    for (int k = 0; k < OP_COUNT(rates); k++) {
        nn_plan *p = plan_of(device, NN_SHAPE2(8, N / 8), (struct drop){ rates[k], 0 }, 5, NULL);
        double zeros = 0, sigma = sqrt(rates[k] * (1 - rates[k]) * N);

        values(p, y, N);
        for (int i = 0; i < N; i++)
            zeros += y[i] == 0;
        ck_assert_double_eq_tol(zeros, rates[k] * N, 4 * sigma);
        nn_plan_free(p);
    }
    nn_close(device);
}
END_TEST

/* A sample's mask is the same in whatever batch it comes. */
START_TEST(batches_do_not_matter)
{
    nn_device *device = op_test_device(NULL, 1);
    nn_plan *whole = plan_of(device, NN_SHAPE2(6, 50), (struct drop){ 0.5, 0 }, 9, NULL);
    nn_plan *part = plan_of(device, NN_SHAPE2(2, 50), (struct drop){ 0.5, 0 }, 9, NULL);
    nn_real y[300], z[100], other[300];

    values(whole, y, 300);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq((int)nn_get(part, NN_SAMPLE), i * 2);
        values(part, z, 100);
        ck_assert_mem_eq(z, y + i * 100, sizeof z);
    }
    /* The next step, the next samples, another seed: other masks. */
    ck_assert_int_eq(nn_set(whole, NN_SAMPLE, 0), NN_OK);
    ck_assert_int_eq(nn_set(whole, NN_STEP, 1), NN_OK);
    values(whole, other, 300);
    ck_assert_mem_ne(other, y, sizeof y);
    ck_assert_int_eq(nn_set(whole, NN_STEP, 0), NN_OK);
    values(whole, other, 300);
    ck_assert_mem_ne(other, y, sizeof y);
    nn_plan_free(whole);
    whole = plan_of(device, NN_SHAPE2(6, 50), (struct drop){ 0.5, 0 }, 10, NULL);
    values(whole, other, 300);
    ck_assert_mem_ne(other, y, sizeof y);
    nn_plan_free(whole);
    nn_plan_free(part);
    nn_close(device);
}
END_TEST

/* Two masks of one scope differ; the same network recorded again gets the same ones. */
START_TEST(places_have_their_own)
{
    nn_device *device = op_test_device(NULL, 1);
    nn_real a[2][100], b[2][100], c[2][100];

    for (int k = 0; k < 2; k++) {
        nn_graph *g = NULL;
        nn_plan *p = NULL;

        ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_TRAIN), NN_OK);
        (void)nn_input(g, "x", NN_REAL, NN_SHAPE2(2, 2));
        nn_push(g, "one");
        (void)one_mask(g, NN_SHAPE2(4, 25), 0.5, "a");
        (void)one_mask(g, NN_SHAPE2(4, 25), 0.5, "b");
        nn_pop(g);
        /* What is recorded elsewhere in between is none of the other masks' business. */
        nn_push(g, "other");
        for (int i = 0; i < k; i++)
            (void)one_mask(g, NN_SHAPE2(4, 25), 0.5, "unused");
        nn_pop(g);
        nn_push(g, "two");
        (void)one_mask(g, NN_SHAPE2(4, 25), 0.5, "c");
        nn_pop(g);
        ck_assert_msg(nn_compile(&p, g, (nn_plan_opts){ .seed = 3 }) == NN_OK, "%s", nn_graph_error(g));
        ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
        ck_assert_int_eq(nn_read(p, "a", NN_REAL, a[k], 100), NN_OK);
        ck_assert_int_eq(nn_read(p, "b", NN_REAL, b[k], 100), NN_OK);
        ck_assert_int_eq(nn_read(p, "c", NN_REAL, c[k], 100), NN_OK);
        nn_plan_free(p);
        nn_graph_free(g);
    }
    ck_assert_mem_ne(a[0], b[0], sizeof a[0]);
    ck_assert_mem_ne(a[0], c[0], sizeof a[0]);
    ck_assert_mem_eq(a[0], a[1], sizeof a[0]);
    ck_assert_mem_eq(b[0], b[1], sizeof b[0]);
    ck_assert_mem_eq(c[0], c[1], sizeof c[0]);
    nn_close(device);
}
END_TEST

/* y = x*mask: with x = 1 the output is the mask, and the gradient is the seed times the same mask,
 * although it may have been drawn a second time. */
START_TEST(products)
{
    enum { N = 6 * 64 * 64 * 3 };
    static nn_real y[N], d[N];

    for (int kind = 1; kind <= 2; kind++) {
        nn_device *device = op_test_device(NULL, 3);
        nn_plan *p = plan_of(device, NN_SHAPE4(6, 64, 64, 3), (struct drop){ 0.4, kind }, 21, NULL);
        nn_real *seed = nn_seed(p, 0);
        int zeros = 0;

        ck_assert_ptr_nonnull(seed);
        for (int i = 0; i < N; i++)
            seed[i] = (nn_real)(i % 7);
        ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
        ck_assert_int_eq(nn_read(p, "y", NN_REAL, y, N), NN_OK);
        ck_assert_int_eq(nn_read_gradient(p, "x", NN_REAL, d, N), NN_OK);
        for (int i = 0; i < N; i++) {
            ck_assert(y[i] == 0 || y[i] == (nn_real)(1 / 0.6));
            ck_assert(d[i] == y[i] * (nn_real)(i % 7));
            ck_assert(kind == 1 || y[i] == y[i - i % (N / 6)]);
            zeros += y[i] == 0;
        }
        ck_assert(zeros > 0 && zeros < N);
        nn_plan_free(p);
        nn_close(device);
    }
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, numbers_of_the_stream);
    tcase_add_test(t, rate);
    tcase_add_test(t, batches_do_not_matter);
    tcase_add_test(t, places_have_their_own);
    tcase_add_test(t, products);
}

OP_TEST(keep_mask, OP_CASES(cases), .more = more);
