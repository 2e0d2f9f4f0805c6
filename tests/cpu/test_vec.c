/* SPDX-License-Identifier: MIT
 *
 * The functions of vec.h, through the kernels of each instruction set: the activations and
 * their derivatives against double, over every order of magnitude that float has, and what they make of
 * NaN, infinities and numbers so small that they are denormal. Errors are counted in ulp of the exact
 * result.
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
static const double largest = DBL_MAX;
#else
enum { DIGITS = FLT_MANT_DIG, LEAST = FLT_MIN_EXP };
static const double largest = FLT_MAX;
#endif

static const struct nni_pointwise_kernels *kernels(int i)
{
    switch (i) {
    case 0: return &nni_pointwise_portable;
#if !defined(NN_REAL_DOUBLE) && defined(__x86_64__)
    case 1:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &nni_pointwise_avx2 : NULL;
    case 2: return strstr(nn_device_isas(), "avx512") ? &nni_pointwise_avx512 : NULL;
#endif
    default: return NULL;
    }
}

/* |got - exact| in units of the last place of exact; results below the normal range count in units of its
 * least number, because the library runs with denormals flushed to zero. */
static double ulps(double got, long double exact)
{
    int exponent;

    (void)frexpl(exact, &exponent);
    if (exponent <= LEAST)
        return (double)(fabsl((long double)got - exact) / ldexpl(1, LEAST - 1));
    return (double)(fabsl((long double)got - exact) / ldexpl(1, exponent - DIGITS));
}

static long double sigmoid(long double x) { return 1 / (1 + expl(-x)); }

static long double exact_act(int act, long double x)
{
    switch (act) {
    case NN_ACT_RELU: return x > 0 ? x : 0;
    case NN_ACT_RELU6: return x > 6 ? 6 : x > 0 ? x : 0;
    case NN_ACT_SILU: return x * sigmoid(x);
    case NN_ACT_SIGMOID: return sigmoid(x);
    default: return x;
    }
}

static long double exact_grad(int act, long double x)
{
    long double s = sigmoid(x);

    switch (act) {
    case NN_ACT_RELU: return x > 0;
    case NN_ACT_RELU6: return x > 0 && x < 6;
    case NN_ACT_SILU: return s * (1 + x * (1 - s));
    case NN_ACT_SIGMOID: return s * (1 - s);
    default: return 1;
    }
}

enum { POINTS = 40011 }; /* no multiple of a vector */

/* Evenly spaced in [low,high], and all the magnitudes around 0. */
static nn_real *points(double low, double high)
{
    nn_real *x = malloc(POINTS * sizeof *x);

    for (int i = 0; i < POINTS; i++) {
        if (i % 4)
            x[i] = (nn_real)(low + (high - low) * i / (POINTS - 1));
        else
            x[i] = (nn_real)ldexp(i % 8 ? -1.25 : 1.25, LEAST + i % (-LEAST + 5));
        if (x[i] < (nn_real)low || x[i] > (nn_real)high)
            x[i] = (nn_real)low;
    }
    return x;
}

START_TEST(activations_are_accurate)
{
    nn_real *x = points(-80, 80), *y = malloc(POINTS * sizeof *y);
    const struct nni_pointwise_kernels *k;

    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        for (int act = 0; act < NN_ACTS; act++) {
            double worst = 0, at = 0;

            k->act(y, x, POINTS, act);
            for (int j = 0; j < POINTS; j++) {
                double e = ulps((double)y[j], exact_act(act, (long double)x[j]));

                if (e > worst) {
                    worst = e;
                    at = (double)x[j];
                }
            }
            ck_assert_msg(worst <= 4, "kernel %d: activation %d is off by %g ulp at %.9g", i, act, worst, at);
        }
    }
    free(x);
    free(y);
}
END_TEST

/* A derivative has zeros, beside which an error is relative to the terms that cancel. */
START_TEST(derivatives_are_accurate)
{
    nn_real *x = points(-80, 80), *y = malloc(POINTS * sizeof *y), *dy = malloc(POINTS * sizeof *y);
    const struct nni_pointwise_kernels *k;
    double unit = ldexp(1, -DIGITS);

    for (int j = 0; j < POINTS; j++)
        dy[j] = 1;
    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        for (int act = 0; act < NN_ACTS; act++) {
            k->act_grad(y, x, dy, POINTS, act, false);
            for (int j = 0; j < POINTS; j++) {
                double exact = (double)exact_grad(act, (long double)x[j]), error = fabs((double)y[j] - exact);
                double s = (double)sigmoid((long double)x[j]), terms = s + fabs((double)x[j]) * s;

                ck_assert_msg(error <= 8 * unit * (terms + fabs(exact)) + ldexp(1, LEAST),
                              "kernel %d: derivative of activation %d at %.9g is %.9g, not %.9g", i, act,
                              (double)x[j], (double)y[j], exact);
            }
        }
    }
    free(x);
    free(y);
    free(dy);
}
END_TEST

START_TEST(activations_at_the_ends)
{
    const nn_real x[] = { (nn_real)NAN,
                          (nn_real)INFINITY,
                          -(nn_real)INFINITY,
                          0,
                          (nn_real)ldexp(1, LEAST - 3),
                          -(nn_real)ldexp(1, LEAST - 3),
                          (nn_real)-largest,
                          (nn_real)largest,
                          6 };
    enum { N = sizeof x / sizeof *x };
    nn_real y[NN_ACTS][N], d[NN_ACTS][N];
    const nn_real one[N] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    const struct nni_pointwise_kernels *k;

    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        for (int act = 0; act < NN_ACTS; act++) {
            k->act(y[act], x, N, act);
            k->act_grad(d[act], x, one, N, act, false);
            ck_assert_msg(isnan(y[act][0]), "kernel %d: activation %d loses a NaN", i, act);
        }
        ck_assert(isinf(y[NN_ACT_RELU][1]) && y[NN_ACT_RELU][2] == 0 && y[NN_ACT_RELU][3] == 0);
        ck_assert(y[NN_ACT_RELU6][1] == 6 && y[NN_ACT_RELU6][2] == 0 && y[NN_ACT_RELU6][7] == 6);
        ck_assert(isinf(y[NN_ACT_SILU][1]) && y[NN_ACT_SILU][3] == 0);
        ck_assert(y[NN_ACT_SIGMOID][1] == 1 && y[NN_ACT_SIGMOID][2] == 0 &&
                  y[NN_ACT_SIGMOID][3] == (nn_real)0.5);
        ck_assert(y[NN_ACT_SIGMOID][6] == 0 && y[NN_ACT_SIGMOID][7] == 1);
        /* x*0.5 of a denormal: right, or flushed to zero. */
        ck_assert_double_le(fabs((double)y[NN_ACT_SILU][4]), (double)x[4]);
        ck_assert_double_le(fabs((double)y[NN_ACT_SILU][5]), (double)x[4]);
        ck_assert(y[NN_ACT_SILU][6] == 0 && y[NN_ACT_SILU][7] == (nn_real)largest);
        ck_assert(d[NN_ACT_RELU][3] == 0 && d[NN_ACT_RELU][6] == 0 && d[NN_ACT_RELU][7] == 1);
        ck_assert(d[NN_ACT_RELU6][3] == 0 && d[NN_ACT_RELU6][8] == 0 && d[NN_ACT_RELU6][7] == 0);
        ck_assert(d[NN_ACT_SILU][7] == 1 && d[NN_ACT_SILU][6] == 0 && d[NN_ACT_SILU][3] == (nn_real)0.5);
        ck_assert(d[NN_ACT_SIGMOID][7] == 0 && d[NN_ACT_SIGMOID][6] == 0 &&
                  d[NN_ACT_SIGMOID][3] == (nn_real)0.25);
    }
}
END_TEST

/* An element's result is the same wherever in a vector or in a tail it lies. */
START_TEST(tails_equal_bodies)
{
    enum { N = 67 };
    nn_real x[N], whole[N], part[N];
    const struct nni_pointwise_kernels *k;

    for (int j = 0; j < N; j++)
        x[j] = (nn_real)(sin(j) * 9);
    for (int i = 0; (k = kernels(i)) != NULL; i++) {
        for (int act = 0; act < NN_ACTS; act++) {
            k->act(whole, x, N, act);
            for (int n = 1; n < 35; n++) {
                for (int j = 0; j < N; j++)
                    part[j] = 77;
                k->act(part, x + 3, n, act);
                ck_assert_mem_eq(part, whole + 3, (size_t)n * sizeof *part);
                ck_assert(part[n] == 77);
            }
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vec");
    TCase *t = tcase_create("vec");

    tcase_set_timeout(t, 300);
    tcase_add_test(t, activations_are_accurate);
    tcase_add_test(t, derivatives_are_accurate);
    tcase_add_test(t, activations_at_the_ends);
    tcase_add_test(t, tails_equal_bodies);
    suite_add_tcase(s, t);
    return suite_run(s);
}
