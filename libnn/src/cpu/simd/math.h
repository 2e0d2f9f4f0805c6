/* SPDX-License-Identifier: MIT
 *
 * Logarithm, hyperbolic tangent, root, sine, cosine and normal distribution on vectors, for the elementwise
 * functions. In double they call the C library. In float they are short series with relative errors of a
 * few units of the last place, zero and infinity included; none has a branch, but for sines far from 0, which
 * the C library computes, as it does powers.
 */
#ifndef NNI_MATH_H
#define NNI_MATH_H

#include "cpu/simd/vec.h"

static inline vec vselect(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* Without the sign, also of zero. */
static inline vec vabs(vec x) { return (vec)((ivec)x & ~(ivec)vset((nn_real)-0.0)); }

static inline vec vsqrt(vec x)
{
    for (int i = 0; i < VEC; i++)
#ifdef NN_REAL_DOUBLE
        x[i] = sqrt(x[i]);
#else
        x[i] = sqrtf(x[i]);
#endif
    return x;
}

static inline vec vpow(vec x, nn_real e)
{
    for (int i = 0; i < VEC; i++)
#ifdef NN_REAL_DOUBLE
        x[i] = pow(x[i], e);
#else
        x[i] = powf(x[i], e);
#endif
    return x;
}

#ifdef NN_REAL_DOUBLE
#define NNI_EACH(expression)                                                                                 \
    do {                                                                                                     \
        for (int i = 0; i < VEC; i++)                                                                        \
            x[i] = (expression);                                                                             \
        return x;                                                                                            \
    } while (0)

static inline vec vlog(vec x) { NNI_EACH(log(x[i])); }
static inline vec vlog1p(vec x) { NNI_EACH(log1p(x[i])); }
static inline vec vexpm1(vec x) { NNI_EACH(expm1(x[i])); }
static inline vec vsin(vec x) { NNI_EACH(sin(x[i])); }
static inline vec vcos(vec x) { NNI_EACH(cos(x[i])); }
static inline vec vtanh(vec x) { NNI_EACH(tanh(x[i])); }
static inline vec vnormal(vec x) { NNI_EACH(0.5 * erfc(-x[i] * 0.70710678118654752)); }
#undef NNI_EACH

#else

/* log((1+s)/(1-s)) = 2*artanh(s) = 2*(s + s^3/3 + s^5/5 + ...), for |s| <= 1/3. */
static inline vec vlog_ratio(vec s)
{
    vec q = s * s, p = vset(1.0f / 17) * q + vset(1.0f / 15);

    p = p * q + vset(1.0f / 13);
    p = p * q + vset(1.0f / 11);
    p = p * q + vset(1.0f / 9);
    p = p * q + vset(1.0f / 7);
    p = p * q + vset(1.0f / 5);
    p = p * q + vset(1.0f / 3);
    s = s + s;
    return s + s * (q * p);
}

/* log(1+x) for 0 <= x <= 1. */
static inline vec vlog1p(vec x) { return vlog_ratio(x / (x + vset(2))); }

/* log(x): x = m*2^e with m in [sqrt(1/2), sqrt(2)), so that no digits cancel near 1. */
static inline vec vlog(vec x)
{
    const int32_t half = 0x3f3504f3;                    /* the bits of sqrt(1/2) */
    ivec bits = (ivec)vselect(x > vzero(), x, vset(1)); /* for the others see below */
    ivec e = (bits - half) >> 23;
    vec m = (vec)(bits - (e << 23)), n = __builtin_convertvector(e, vec), y;

    /* The logarithm of 2 in two parts: n times the first is exact. */
    y = n * vset(0.693359375f) + (n * vset(-2.12194440e-4f) + vlog_ratio((m - vset(1)) / (m + vset(1))));
    y = vselect(x < vset(INFINITY), y, x);
    y = vselect(x > vzero(), y, vset(-INFINITY));
    y = vselect(x < vzero(), vset(NAN), y);
    return vselect(x == x, y, x);
}

/* tanh(x): Lambert's continued fraction x/(1+x^2/(3+x^2/(5+...))) near 0, 1 - 2/(exp(2|x|)+1) beyond. */
static inline vec vtanh(vec x)
{
    vec q = x * x, size = vabs(x);
    vec near = x * ((q + vset(105)) * q + vset(945)) / ((vset(15) * q + vset(420)) * q + vset(945));
    vec far = vset(1) - vset(2) / (vexp(size + size) + vset(1));

    return vselect(size < vset(0.5625f), near, vselect(x < vzero(), -far, far));
}

/* exp(x) - 1 for x <= 0: (1 + t)/(1 - t) is exp(x) where t = tanh(x/2). */
static inline vec vexpm1(vec x)
{
    vec t = vtanh(x * vset(0.5f));

    return (t + t) / (vset(1) - t);
}

/* sin(x + turn*pi/2): the nearest multiple n of pi/2 is taken off in three parts, whose products with n are
 * exact below 8192, and the rest r goes into a minimax polynomial of sin or cos (relative errors 3.6e-9 and
 * 1.2e-10), whichever n asks for. */
static inline vec vsin_turned(vec x, int turn)
{
    const nn_real magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    vec far = vabs(x), t = x * vset(0.636619772f) + vset(magic), n = t - vset(magic), r, q, s, c, y;
    ivec quarter = (ivec)t + turn;

    r = x - n * vset(1.5703125f);
    r = r - n * vset(4.837512969970703e-4f);
    r = r - n * vset(7.549790126404332e-8f);
    q = r * r;
    s = vset(-1.9517235e-4f) * q + vset(8.332178e-3f);
    s = r + r * q * (s * q + vset(-0.16666655f));
    c = vset(2.4433082e-5f) * q + vset(-1.3887315e-3f);
    c = vset(1) - vset(0.5f) * q + q * q * (c * q + vset(4.1666646e-2f));
    y = vselect((quarter & 1) != 0, c, s);
    y = vselect((quarter & 2) != 0, -y, y);
    if (vlargest(far) < 8192)
        return y;
    for (int i = 0; i < VEC; i++)
        if (!(far[i] < 8192))
            y[i] = turn ? cosf(x[i]) : sinf(x[i]);
    return y;
}

static inline vec vsin(vec x) { return vsin_turned(x, 0); }
static inline vec vcos(vec x) { return vsin_turned(x, 1); }

/* The normal distribution function. Below zero it is exp(-x^2/2) times a ratio that falls slowly from 1/2:
 * a polynomial in t = 1/(1 + 0.35*|x|), fitted for the least relative error (3.2e-8) over |x| < 14. */
static inline vec vnormal(vec x)
{
    vec t = vset(1) / (vset(1) + vset(0.35f) * vabs(x)), p;

    p = vset(-0.02914594f) * t + vset(0.14397174f);
    p = p * t + vset(-0.25571434f);
    p = p * t + vset(0.15917426f);
    p = p * t + vset(-0.0231099f);
    p = p * t + vset(0.10550803f);
    p = p * t + vset(0.11983286f);
    p = p * t + vset(0.13986187f);
    p = p * t + vset(0.1396214f);
    p = p * t * vexp(x * x * vset(-0.5f));
    return vselect(x > vzero(), vset(1) - p, p);
}
#endif

#endif
