/* SPDX-License-Identifier: MIT
 *
 * The elementwise functions of each instruction set against the C library in long double, in units of the
 * last place, and what they make of NaN, infinities, zeros and arguments for which exp overflows. In the
 * double variant they are the C library's, give or take an operation.
 */
#include "cpu/cpu.h"
#include "suite.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef NN_REAL_DOUBLE
enum { DIGITS = DBL_MANT_DIG, LEAST = DBL_MIN_EXP };
#else
enum { DIGITS = FLT_MANT_DIG, LEAST = FLT_MIN_EXP };
#endif

static const struct nni_function_kernels *kernels(int i)
{
    switch (i) {
    case 0: return &nni_function_portable;
#if !defined(NN_REAL_DOUBLE) && defined(__x86_64__)
    case 1: return strstr(nn_device_isas(), "avx2") ? &nni_function_avx2 : NULL;
    case 2: return strstr(nn_device_isas(), "avx512") ? &nni_function_avx512 : NULL;
#endif
    default: return NULL;
    }
}

static void value(const struct nni_function_kernels *k, enum nni_function f, nn_real *y, const nn_real *x,
                  int64_t n)
{
    k->value(&(struct nni_formula){ .f = f }, y, &(struct nni_row){ .at = { x }, .step = { 1 } }, n);
}

/* |got - exact| in units of the last place of exact; results below the normal range count in units of its
 * least number, because the library runs with denormals flushed to zero. */
static double ulps(nn_real got, long double exact)
{
    int exponent;

    (void)frexpl(exact, &exponent);
    exponent = exponent < LEAST ? LEAST : exponent;
    return (double)(fabsl((long double)got - exact) / ldexpl(1, exponent - DIGITS));
}

static long double gelu(long double x) { return x * 0.5L * erfcl(-x * 0.70710678118654752440L); }
static long double gelu_tanh(long double x)
{
    return x / (1 + expl(-1.59576912160573071176L * (x + 0.044715L * x * x * x)));
}

static long double softplus(long double x) { return fmaxl(x, 0) + log1pl(expl(-fabsl(x))); }
static long double mish(long double x) { return x * tanhl(softplus(x)); }

/* Ranges of which one is all orders of magnitude; `most` in ulp. The forms of GELU lose digits of x^2 below
 * zero: there the bound rises with x^2. */
static const struct {
    const char *name;
    enum nni_function f;
    long double (*exact)(long double x);
    double low, high, most;
    bool magnitudes;
} accuracy[] = {
    { "exp", NNI_EXP, expl, -87.33, 88.72, 2, false },
    { "exp near 0", NNI_EXP, expl, 1e-30, 1, 2, true },
    { "log", NNI_LOG, logl, 0.5, 2, 3, false },
    { "log of all magnitudes", NNI_LOG, logl, 1e-37, 1e38, 3, true },
    { "sqrt", NNI_SQRT, sqrtl, 1e-37, 1e38, 0.51, true },
    { "tanh", NNI_TANH, tanhl, -10, 10, 4, false },
    { "tanh near 0", NNI_TANH, tanhl, 1e-30, 1, 4, true },
    { "sin", NNI_SIN, sinl, -3, 3, 2, false },
    { "sin near 0", NNI_SIN, sinl, 1e-30, 1, 2, true },
    { "sin of thousands", NNI_SIN, sinl, 1000, 8000, 12, false },
    { "sin far away", NNI_SIN, sinl, 1e4, 1e30, 1, true },
    { "cos", NNI_COS, cosl, -3, 3, 2, false },
    { "cos far away", NNI_COS, cosl, 1e4, 1e30, 1, true },
    { "softplus", NNI_SOFTPLUS, softplus, -80, 80, 4, false },
    { "mish", NNI_MISH, mish, -80, 80, 6, false },
    { "mish near 0", NNI_MISH, mish, 1e-30, 1, 6, true },
    { "gelu", NNI_GELU, gelu, -2, 20, 8, false },
    { "gelu below zero", NNI_GELU, gelu, -6, -2, 60, false },
    { "gelu near 0", NNI_GELU, gelu, 1e-30, 1, 8, true },
    { "gelu, tanh form", NNI_GELU_TANH, gelu_tanh, -1, 20, 8, false },
    { "gelu, tanh form, below zero", NNI_GELU_TANH, gelu_tanh, -5, -1, 60, false },
};

enum { POINTS = 40011 }; /* no multiple of a vector */

START_TEST(are_accurate)
{
    nn_real *x = malloc(POINTS * sizeof *x), *y = malloc(POINTS * sizeof *y);
    const struct nni_function_kernels *k;
    double low = accuracy[_i].low, high = accuracy[_i].high;

    for (int j = 0; j < POINTS; j++) {
        double part = (double)j / (POINTS - 1);

        x[j] = (nn_real)(accuracy[_i].magnitudes ? low * pow(high / low, part) : low + (high - low) * part);
    }
    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        double worst = 0, at = 0;

        value(k, accuracy[_i].f, y, x, POINTS);
        for (int j = 0; j < POINTS; j++) {
            double e = ulps(y[j], accuracy[_i].exact((long double)x[j]));

            if (!(e <= worst)) {
                worst = e;
                at = (double)x[j];
            }
        }
        ck_assert_msg(worst <= accuracy[_i].most, "kernel %d: %s is off by %g ulp at %.9g", i,
                      accuracy[_i].name, worst, at);
    }
    free(x);
    free(y);
}
END_TEST

/* Where the result is not a question of accuracy. */
static const struct {
    enum nni_function f;
    double x, y;
} ends[] = {
    { NNI_EXP, INFINITY, INFINITY },
    { NNI_EXP, -INFINITY, 0 },
    { NNI_EXP, NAN, NAN },
    { NNI_EXP, 0, 1 },
    { NNI_EXP, 1e30, INFINITY },
    { NNI_EXP, -1e30, 0 },
    { NNI_EXP, 709.8, INFINITY },
    { NNI_EXP, -1e5, 0 },
    { NNI_EXP, -760, 0 },
    { NNI_EXP, 1e-39, 1 },
    { NNI_LOG, INFINITY, INFINITY },
    { NNI_LOG, 0, -INFINITY },
    { NNI_LOG, -0.0, -INFINITY },
    { NNI_LOG, -1, NAN },
    { NNI_LOG, -INFINITY, NAN },
    { NNI_LOG, NAN, NAN },
    { NNI_LOG, 1, 0 },
    { NNI_SQRT, INFINITY, INFINITY },
    { NNI_SQRT, 0, 0 },
    { NNI_SQRT, -1, NAN },
    { NNI_TANH, INFINITY, 1 },
    { NNI_TANH, -INFINITY, -1 },
    { NNI_TANH, 1e30, 1 },
    { NNI_TANH, -1e4, -1 },
    { NNI_TANH, NAN, NAN },
    { NNI_TANH, 0, 0 },
    { NNI_GELU, INFINITY, INFINITY },
    { NNI_GELU, 100, 100 },
    { NNI_GELU, -100, 0 },
    { NNI_GELU, NAN, NAN },
    { NNI_GELU_TANH, 100, 100 },
    { NNI_GELU_TANH, -100, 0 },
    { NNI_SIN, 0, 0 },
    { NNI_SIN, NAN, NAN },
    { NNI_SIN, INFINITY, NAN },
    { NNI_COS, 0, 1 },
    { NNI_COS, -INFINITY, NAN },
    { NNI_ABS, -INFINITY, INFINITY },
    { NNI_ABS, NAN, NAN },
    { NNI_SOFTPLUS, INFINITY, INFINITY },
    { NNI_SOFTPLUS, -INFINITY, 0 },
    { NNI_SOFTPLUS, NAN, NAN },
    { NNI_MISH, INFINITY, INFINITY },
    { NNI_MISH, -200, 0 },
    { NNI_MISH, NAN, NAN },
    { NNI_ELU, NAN, NAN },
    { NNI_ELU, 5, 5 },
    { NNI_HARDSIGMOID, -3, 0 },
    { NNI_HARDSIGMOID, 3, 1 },
    { NNI_HARDSIGMOID, NAN, NAN },
    { NNI_HARDSWISH, 3, 3 },
    { NNI_HARDSWISH, -3, 0 },
    { NNI_HARDSWISH, NAN, NAN },
};

START_TEST(ends_are_right)
{
    const struct nni_function_kernels *k;
    nn_real x = (nn_real)ends[_i].x, y;

    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        value(k, ends[_i].f, &y, &x, 1);
        ck_assert_msg(isnan(ends[_i].y) ? isnan(y) : y == (nn_real)ends[_i].y,
                      "kernel %d: function %d of %g is %g, not %g", i, (int)ends[_i].f, (double)x, (double)y,
                      ends[_i].y);
    }
}
END_TEST

/* Derivatives far out, where the parts of a formula overflow or lose all their digits. */
static const struct {
    enum nni_function f;
    double x, slope;
} far_slopes[] = {
    { NNI_MISH, 1e12, 1 },       { NNI_MISH, 1e38, 1 },      { NNI_MISH, -200, 0 },
    { NNI_MISH, NAN, NAN },      { NNI_HARDSWISH, 1e30, 1 }, { NNI_HARDSWISH, -1e30, 0 },
    { NNI_HARDSWISH, NAN, NAN }, { NNI_GELU, 1e4, 1 },       { NNI_SOFTPLUS, 1e30, 1 },
    { NNI_TANH, 1, 0 }, /* of the result */
};

START_TEST(far_slopes_are_right)
{
    const struct nni_function_kernels *k;
    const nn_real x = (nn_real)far_slopes[_i].x, one = 1;
    nn_real slope;

    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        k->grad(&(struct nni_formula){ .f = far_slopes[_i].f },
                &(struct nni_row_grad){ .dy = &one, .dy_step = 1, .factor = 1, .d = { &slope } },
                &(struct nni_row){ .at = { &x }, .step = { 1 } }, 1);
        ck_assert_msg(isnan(far_slopes[_i].slope) ? isnan(slope) : slope == (nn_real)far_slopes[_i].slope,
                      "kernel %d: the slope of function %d at %g is %g, not %g", i, (int)far_slopes[_i].f,
                      (double)x, (double)slope, far_slopes[_i].slope);
    }
}
END_TEST

START_TEST(abs_of_zero_has_no_sign)
{
    const struct nni_function_kernels *k;
    const nn_real x[2] = { 0, (nn_real)-0.0 };
    nn_real y[2];

    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        value(k, NNI_ABS, y, x, 2);
        ck_assert(y[0] == 0 && y[1] == 0 && !signbit(y[0]) && !signbit(y[1]));
    }
}
END_TEST

/* An element's result is the same wherever in a vector or in a tail it lies. */
START_TEST(tails_equal_bodies)
{
    enum { N = 67 };
    nn_real x[N], whole[N], part[N];
    const struct nni_function_kernels *k;

    for (int j = 0; j < N; j++)
        x[j] = (nn_real)(sin(j) * 9);
    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        for (int f = NNI_EXP; f < NNI_GELU_TANH; f++) {
            value(k, (enum nni_function)f, whole, x, N);
            for (int n = 1; n < 35; n++) {
                for (int j = 0; j < N; j++)
                    part[j] = 77;
                value(k, (enum nni_function)f, part, x + 3, n);
                for (int j = 0; j < n; j++)
                    ck_assert(part[j] == whole[j + 3] || (isnan(part[j]) && isnan(whole[j + 3])));
                ck_assert(part[n] == 77);
            }
        }
    }
}
END_TEST

/* The largest of every length, and that a NaN anywhere is it. */
START_TEST(largest)
{
    enum { N = 41 };
    nn_real x[N], to[N];
    const struct nni_function_kernels *k;

    for (int j = 0; j < N; j++)
        x[j] = (nn_real)sin(j + 1);
    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        for (int n = 1; n <= N; n++) {
            nn_real most = x[0], nan = x[n / 2];

            for (int j = 0; j < n; j++) {
                most = x[j] > most ? x[j] : most;
                to[j] = (nn_real)0.25;
            }
            ck_assert(k->largest_of(-(nn_real)INFINITY, x, n) == most);
            ck_assert(k->largest_of(2, x, n) == 2);
            k->largest(to, x, n);
            for (int j = 0; j < n; j++)
                ck_assert(to[j] == (x[j] > (nn_real)0.25 ? x[j] : (nn_real)0.25));
            x[n / 2] = (nn_real)NAN;
            ck_assert(isnan(k->largest_of(-(nn_real)INFINITY, x, n)));
            k->largest(to, x, n);
            ck_assert(isnan(to[n / 2]));
            x[n / 2] = nan;
            k->largest(to, x, n);
            ck_assert(isnan(to[n / 2]));
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("function");
    TCase *t = tcase_create("function");

    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, are_accurate, 0, sizeof accuracy / sizeof *accuracy);
    tcase_add_loop_test(t, ends_are_right, 0, sizeof ends / sizeof *ends);
    tcase_add_loop_test(t, far_slopes_are_right, 0, sizeof far_slopes / sizeof *far_slopes);
    tcase_add_test(t, abs_of_zero_has_no_sign);
    tcase_add_test(t, tails_equal_bodies);
    tcase_add_test(t, largest);
    suite_add_tcase(s, t);
    return suite_run(s);
}
