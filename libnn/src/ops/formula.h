/* SPDX-License-Identifier: MIT
 *
 * The elementwise functions of cpu/function.h and their derivatives, written once for all backends. Who
 * includes this says what they are computed on: `vec`, which has + - * / and comparisons, and vset, vzero,
 * vselect, vand, vmin, vmax, vabs, vsqrt, vexp, vexpm1, vlog, vlog1p, vpow, vsin, vcos, vtanh, vsigmoid,
 * vnormal as the vectors of cpu/simd have them; and NNI_FORMULA, how an inlined function is declared.
 */
#ifndef NNI_OPS_FORMULA_H
#define NNI_OPS_FORMULA_H

#include "cpu/function.h"

/* 2*sqrt(2/pi)*(x + 0.044715*x^3): the tanh form of GELU is x*sigmoid of it. */
NNI_FORMULA vec gelu_argument(vec x)
{
    return x * (vset((nn_real)1.5957691216057308) + vset((nn_real)0.071354816272600252) * (x * x));
}

NNI_FORMULA vec gelu_tanh_grad(vec x)
{
    vec s = vsigmoid(gelu_argument(x));

    return s + x * s * (vset(1) - s) *
                   (vset((nn_real)1.5957691216057308) + vset((nn_real)0.21406444881780074) * (x * x));
}

NNI_FORMULA vec gelu_grad(vec x)
{
    return vnormal(x) + x * vset((nn_real)0.3989422804014327) * vexp(x * x * vset((nn_real)-0.5));
}

/* x^e: a root and small powers are what they are in torch, more precise than the general case, and fast. */
NNI_FORMULA vec power(vec x, nn_real e)
{
    if (e == 0)
        return vset(1);
    if (e == 1)
        return x;
    if (e == 2)
        return x * x;
    if (e == 3)
        return x * x * x;
    if (e == -1)
        return vset(1) / x;
    return e == (nn_real)0.5 ? vsqrt(x) : vpow(x, e);
}

NNI_FORMULA vec power_grad(vec x, nn_real e) { return e == 0 ? vzero() : vset(e) * power(x, e - 1); }

/* tanh(log(1 + e)) = n/(n + 2), n = e*(e + 2), e = exp(x); beyond 20 it is 1. */
NNI_FORMULA vec mish(vec x)
{
    vec e = vexp(vmin(vset(20), x)), n = e * (e + vset(2));

    return x * (n / (n + vset(2)));
}

NNI_FORMULA vec mish_grad(vec x)
{
    vec e = vexp(vmin(vset(20), x)), n = e * (e + vset(2)), rest = vset(2) / (n + vset(2));

    return vselect(x > vset(20), vset(1), n / (n + vset(2)) + x * vsigmoid(x) * (rest * (vset(2) - rest)));
}

NNI_FORMULA vec hardsigmoid(vec x)
{
    return vmin(vset(6), vmax(vzero(), x + vset(3))) * vset((nn_real)1 / 6);
}

NNI_FORMULA vec hardswish_grad(vec x)
{
    vec slope = x * vset((nn_real)1 / 3) + vset((nn_real)0.5);

    return vselect(x >= vset(3), vset(1), vselect(x <= vset(-3), vzero(), slope));
}

NNI_FORMULA vec smooth_error(vec d, const nn_real *k)
{
    vec size = vabs(d), most = vset(k[1]), half = vset((nn_real)0.5);

    return vset(k[0]) * vselect(size < most, half * d * d, most * (size - half * most));
}

/* log(1 + exp(x)); of -x it is -log(sigmoid(x)). */
NNI_FORMULA vec softplus(vec x) { return vmax(vzero(), x) + vlog1p(vexp(-vabs(x))); }

NNI_FORMULA vec bce(vec x, vec t, vec weight)
{
    vec both = vset(1) + (weight - vset(1)) * t;

    return (vset(1) - t) * x + both * softplus(-x);
}

NNI_FORMULA vec nni_value_of(int f, vec a, vec b, vec c, const nn_real *k)
{
    vec one = vset(1), zero = vzero();

    switch (f) {
#define X(op, NAME, reads, value, derivative)                                                                \
    case NNI_##NAME: return value;
        NNI_UNARY_LIST(X)
#undef X
    case NNI_GELU_TANH: return a * vsigmoid(gelu_argument(a));
    case NNI_LINEAR: return vset(k[0]) * a + vset(k[1]);
    case NNI_SUB: return a - b;
    case NNI_DIV: return a / b;
    case NNI_PEAK: return vand(a == b, one);
    case NNI_WHERE: return vselect(a != zero, b, c);
    case NNI_SQUARED_ERROR: return (a - b) * (a - b);
    case NNI_ABSOLUTE_ERROR: return vabs(a - b);
    case NNI_SMOOTH_ERROR: return smooth_error(a - b, k);
    case NNI_DIVERGENCE: return vselect(b == zero, zero, b * vlog(b)) - b * a;
    default: return bce(a, b, c);
    }
}

/* The derivatives d[i] by each operand. What nobody stores is not computed: f is a constant. */
NNI_FORMULA void nni_grad_of(int f, vec a, vec b, vec c, const nn_real *k, vec d[NNI_OPERANDS])
{
    vec one = vset(1), zero = vzero();

    switch (f) {
#define X(op, NAME, reads, value, derivative)                                                                \
    case NNI_##NAME: d[0] = derivative; break;
        NNI_UNARY_LIST(X)
#undef X
    case NNI_GELU_TANH: d[0] = gelu_tanh_grad(a); break;
    case NNI_LINEAR: d[0] = vset(k[0]); break;
    case NNI_SUB:
        d[0] = one;
        d[1] = -one;
        break;
    case NNI_DIV:
        d[0] = one / b;
        d[1] = -a / (b * b);
        break;
    case NNI_PEAK: d[0] = vand(a == b, one); break;
    case NNI_WHERE:
        d[1] = vand(a != zero, one);
        d[2] = vand(a == zero, one);
        break;
    case NNI_SQUARED_ERROR:
        d[0] = vset(2) * (a - b);
        d[1] = -d[0];
        break;
    case NNI_ABSOLUTE_ERROR:
        d[0] = vand(a > b, one) - vand(a < b, one);
        d[1] = -d[0];
        break;
    case NNI_SMOOTH_ERROR:
        d[0] = vset(k[0]) * vmin(vset(k[1]), vmax(vset(-k[1]), a - b));
        d[1] = -d[0];
        break;
    case NNI_DIVERGENCE:
        d[0] = -b;
        d[1] = vlog(b) + one - a;
        break;
    case NNI_BCE:
        d[0] = (one + (c - one) * b) * vsigmoid(a) - c * b;
        d[1] = (c - one) * softplus(-a) - a;
        break;
    default: break;
    }
}

#endif
