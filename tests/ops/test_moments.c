/* SPDX-License-Identifier: MIT
 *
 * Mean and biased variance of each channel; with few rows, several tiles, a mean that is large
 * beside the deviation, and inputs that are not finite.
 */
#include "op_test.h"

#include <math.h>
#include <stdlib.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    if (nn_moments(g, in[0], &out[0], &out[1]))
        return NULL;
    return out[0];
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    int64_t channels = x.dim[x.rank - 1], rows = nn_shape_count(x) / channels;

    for (int64_t k = 0; k < channels; k++) {
        double mean = 0, square = 0;

        for (int64_t r = 0; r < rows; r++)
            mean += in[0][r * channels + k] / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            square += (in[0][r * channels + k] - mean) * (in[0][r * channels + k] - mean);
        out[0][k] = mean;
        out[1][k] = square / (double)rows;
    }
}

static const op_case cases[] = {
    { .name = "odd",
      .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 } },
      .outs = 2,
      .build = record,
      .oracle = oracle,
      .expect = { { { 5 }, 1 }, { { 5 }, 1 } } },
    { .name = "rank 2",
      .in = { { .shape = { { 9, 33 }, 2 } } },
      .outs = 2,
      .build = record,
      .oracle = oracle },
    { .name = "one channel",
      .in = { { .shape = { { 3, 3, 3, 1 }, 4 } } },
      .outs = 2,
      .build = record,
      .oracle = oracle },
    { .name = "two rows",
      .in = { { .shape = { { 2, 1, 1, 67 }, 4 } } },
      .outs = 2,
      .build = record,
      .oracle = oracle },
    { .name = "several tiles",
      .in = { { .shape = { { 2, 25, 27, 18 }, 4 }, .low = -1, .high = 3 } },
      .outs = 2,
      .build = record,
      .oracle = oracle,
      .probes = 12 },
    { .name = "thousands of rows",
      .in = { { .shape = { { 4500, 2 }, 2 }, .low = -1, .high = 3 } },
      .outs = 2,
      .build = record,
      .oracle = oracle,
      .probes = 12 },
    { .name = "many channels",
      .in = { { .shape = { { 47, 2305 }, 2 } } },
      .outs = 2,
      .build = record,
      .oracle = oracle,
      .probes = 8 },
    /* The mean itself is only good to half an ulp of 1000, which is 1e-4 of a deviation. */
    { .name = "large mean",
      .in = { { .shape = { { 2, 20, 20, 7 }, 4 }, .low = 1000, .high = 1001 } },
      .outs = 2,
      .build = record,
      .oracle = oracle,
      .probes = 12,
      .tolerance = 30 },
    { .name = "one row",
      .in = { { .shape = { { 1, 1, 1, 8 }, 4 } } },
      .outs = 2,
      .build = record,
      .fails = NN_ESHAPE,
      .says = "more than one value per channel" },
    { .name = "bytes",
      .in = { { .shape = { { 4, 3 }, 2 }, .type = NN_U8 } },
      .outs = 2,
      .build = record,
      .fails = NN_ESHAPE,
      .says = "U8" },
    { .name = "b6",
      .in = { { .shape = { { 8, 112, 112, 56 }, 4 } } },
      .outs = 2,
      .build = record,
      .bench = 1 },
    { .name = "b6 late",
      .in = { { .shape = { { 8, 7, 7, 3456 }, 4 } } },
      .outs = 2,
      .build = record,
      .bench = 1 },
};

/* Evaluates moments of x [rows, channels] on an instruction set. */
static void moments(const char *isa, nn_real *x, int64_t rows, int64_t channels, nn_real *mean,
                    nn_real *variance)
{
    nn_device *d = op_test_device(isa, 1);
    nn_tensor *m, *v;
    nn_graph *g;
    nn_plan *p;

    ck_assert_int_eq(nn_graph_new(&g, d, NULL, NN_TRAIN), NN_OK);
    ck_assert_int_eq(nn_moments(g, nn_input(g, "x", NN_REAL, NN_SHAPE2(rows, channels)), &m, &v), NN_OK);
    nn_observe(g, "mean", m);
    nn_observe(g, "variance", v);
    ck_assert_msg(!nn_compile(&p, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_write(p, "x", x, (size_t)(rows * channels) * sizeof *x), NN_OK);
    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(p, "mean", NN_REAL, mean, channels), NN_OK);
    ck_assert_int_eq(nn_read(p, "variance", NN_REAL, variance, channels), NN_OK);
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(d);
}

enum { ROWS = 3000, CHANNELS = 19 };

/* A deviation of 0.6 at a mean of 30000: the square of the mean has no digit of it in float. What is
 * lost is the rounding of the tiles' means, half an ulp of 30000. */
START_TEST(offset_is_harmless)
{
    nn_real *x = malloc(ROWS * CHANNELS * sizeof *x), mean[CHANNELS], variance[CHANNELS];
    const char *isa;

    for (int64_t i = 0; i < (int64_t)ROWS * CHANNELS; i++)
        x[i] = (nn_real)(30000 + floor(op_test_uniform(1, i, 0, 4)) / 2);
    for (int n = 0; (isa = op_test_isa(n)) != NULL; n++) {
        moments(isa, x, ROWS, CHANNELS, mean, variance);
        for (int64_t c = 0; c < CHANNELS; c++) {
            double m = 0, v = 0;

            for (int64_t r = 0; r < ROWS; r++)
                m += ((double)x[r * CHANNELS + c] - 30000) / ROWS;
            for (int64_t r = 0; r < ROWS; r++)
                v += pow((double)x[r * CHANNELS + c] - 30000 - m, 2) / ROWS;
            ck_assert_double_le(fabs((double)mean[c] - 30000 - m), 2e-3);
            ck_assert_double_le(fabs((double)variance[c] - v), 3e-5 * v);
        }
    }
    free(x);
}
END_TEST

/* Constant channels have no variance, and what is not finite shows in its channel alone. */
START_TEST(special_values)
{
    nn_real *x = malloc(ROWS * CHANNELS * sizeof *x), mean[CHANNELS], variance[CHANNELS];
    const char *isa;

    for (int64_t i = 0; i < (int64_t)ROWS * CHANNELS; i++)
        x[i] = (nn_real)0.1 * (nn_real)(i % CHANNELS);
    x[1000 * CHANNELS + 3] = NAN;
    x[2000 * CHANNELS + 18] = -INFINITY;
    for (int n = 0; (isa = op_test_isa(n)) != NULL; n++) {
        moments(isa, x, ROWS, CHANNELS, mean, variance);
        for (int64_t c = 0; c < CHANNELS; c++) {
            if (c == 3 || c == 18) {
                ck_assert(!isfinite(mean[c]) && !isfinite(variance[c]));
                continue;
            }
            ck_assert_double_le(fabs((double)(mean[c] - x[c])), 2e-7 * fabs((double)x[c]));
            ck_assert_double_ge((double)variance[c], 0);
            ck_assert_double_le((double)variance[c], 1e-12);
        }
    }
    free(x);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, offset_is_harmless);
    tcase_add_test(t, special_values);
}

OP_TEST(moments, OP_CASES(cases), .more = more);
