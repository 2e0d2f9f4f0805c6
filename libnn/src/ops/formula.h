/* SPDX-License-Identifier: MIT
 *
 * The elementwise functions of cpu/function.h and their derivatives, written once for all backends. Who
 * includes this says what they are computed on: `vec`, which has + - * / and comparisons, and vset, vzero,
 * vselect, vand, vmin, vmax, vabs, vsqrt, vexp, vlog, vlog1p, vtanh, vsigmoid, vnormal as the vectors of
 * cpu/simd have them; and NNI_FORMULA, how an inlined function is declared.
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

NNI_FORMULA vec hardswish(vec x)
{
    return x * vmin(vset(6), vmax(vzero(), x + vset(3))) * vset((nn_real)1 / 6);
}

NNI_FORMULA vec hardswish_grad(vec x)
{
    vec slope = x * vset((nn_real)1 / 3) + vset((nn_real)0.5);

    return vselect(x < vset(3), vand(x > vset(-3), slope), vset(1));
}

NNI_FORMULA vec smooth_error(vec d, const nn_real *k)
{
    vec size = vabs(d), most = vset(k[1]), half = vset((nn_real)0.5);

    return vset(k[0]) * vselect(size < most, half * d * d, most * (size - half * most));
}

/* log(1 + exp(-x)), which is -log(sigmoid(x)). */
NNI_FORMULA vec softplus_of_minus(vec x) { return vmax(vzero(), -x) + vlog1p(vexp(-vabs(x))); }

NNI_FORMULA vec bce(vec x, vec t, vec weight)
{
    vec both = vset(1) + (weight - vset(1)) * t;

    return (vset(1) - t) * x + both * softplus_of_minus(x);
}

NNI_FORMULA vec nni_value_of(int f, vec a, vec b, vec c, const nn_real *k)
{
    switch (f) {
    case NNI_EXP: return vexp(a);
    case NNI_LOG: return vlog(a);
    case NNI_SQRT: return vsqrt(a);
    case NNI_TANH: return vtanh(a);
    case NNI_GELU: return a * vnormal(a);
    case NNI_GELU_TANH: return a * vsigmoid(gelu_argument(a));
    case NNI_HARDSWISH: return hardswish(a);
    case NNI_LEAKY_RELU: return vselect(a > vzero(), a, vset(k[0]) * a);
    case NNI_CLAMP: return vmin(vset(k[1]), vmax(vset(k[0]), a));
    case NNI_LINEAR: return vset(k[0]) * a + vset(k[1]);
    case NNI_SUB: return a - b;
    case NNI_DIV: return a / b;
    case NNI_PEAK: return vand(a == b, vset(1));
    case NNI_WHERE: return vselect(a != vzero(), b, c);
    case NNI_SQUARED_ERROR: return (a - b) * (a - b);
    case NNI_ABSOLUTE_ERROR: return vabs(a - b);
    case NNI_SMOOTH_ERROR: return smooth_error(a - b, k);
    case NNI_DIVERGENCE: return vselect(b == vzero(), vzero(), b * vlog(b)) - b * a;
    default: return bce(a, b, c);
    }
}

/* The derivatives d[i] by each operand. What nobody stores is not computed: f is a constant. */
NNI_FORMULA void nni_grad_of(int f, vec a, vec b, vec c, const nn_real *k, vec d[NNI_OPERANDS])
{
    vec one = vset(1), zero = vzero();

    switch (f) {
    case NNI_EXP: d[0] = a; break;
    case NNI_LOG: d[0] = one / a; break;
    case NNI_SQRT: d[0] = vset((nn_real)0.5) / a; break;
    case NNI_TANH: d[0] = one - a * a; break;
    case NNI_GELU: d[0] = gelu_grad(a); break;
    case NNI_GELU_TANH: d[0] = gelu_tanh_grad(a); break;
    case NNI_HARDSWISH: d[0] = hardswish_grad(a); break;
    case NNI_LEAKY_RELU: d[0] = vselect(a > zero, one, vset(k[0])); break;
    case NNI_CLAMP: d[0] = vand((a > vset(k[0])) & (a < vset(k[1])), one); break;
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
        d[1] = (c - one) * softplus_of_minus(a) - a;
        break;
    default: break;
    }
}

#endif
