/* SPDX-License-Identifier: MIT
 *
 * Elementwise functions and their derivatives (see cpu/function.h). Which function it is, is a
 * constant argument of an inlined loop, so that each gets a loop of its own.
 */
#include "cpu/function.h"
#include "cpu/simd/math.h"

#define INLINE static inline __attribute__((always_inline))

/* 2*sqrt(2/pi)*(x + 0.044715*x^3): the tanh form of GELU is x*sigmoid of it. */
INLINE vec gelu_argument(vec x)
{
    return x * (vset((nn_real)1.5957691216057308) + vset((nn_real)0.071354816272600252) * (x * x));
}

INLINE vec gelu_tanh_grad(vec x)
{
    vec s = vsigmoid(gelu_argument(x));

    return s + x * s * (vset(1) - s) *
                   (vset((nn_real)1.5957691216057308) + vset((nn_real)0.21406444881780074) * (x * x));
}

INLINE vec gelu_grad(vec x)
{
    return vnormal(x) + x * vset((nn_real)0.3989422804014327) * vexp(x * x * vset((nn_real)-0.5));
}

INLINE vec hardswish(vec x) { return x * vmin(vset(6), vmax(vzero(), x + vset(3))) * vset((nn_real)1 / 6); }

INLINE vec hardswish_grad(vec x)
{
    vec slope = x * vset((nn_real)1 / 3) + vset((nn_real)0.5);

    return vselect(x < vset(3), vand(x > vset(-3), slope), vset(1));
}

INLINE vec smooth_error(vec d, const nn_real *k)
{
    vec size = vabs(d), most = vset(k[1]), half = vset((nn_real)0.5);

    return vset(k[0]) * vselect(size < most, half * d * d, most * (size - half * most));
}

/* log(1 + exp(-x)), which is -log(sigmoid(x)). */
INLINE vec softplus_of_minus(vec x) { return vmax(vzero(), -x) + vlog1p(vexp(-vabs(x))); }

INLINE vec bce(vec x, vec t, vec weight)
{
    vec both = vset(1) + (weight - vset(1)) * t;

    return (vset(1) - t) * x + both * softplus_of_minus(x);
}

INLINE vec value_of(int f, vec a, vec b, vec c, const nn_real *k)
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
INLINE void grad_of(int f, vec a, vec b, vec c, const nn_real *k, vec d[NNI_OPERANDS])
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

/* n is VEC or less, and a constant where it is VEC. */
INLINE vec get(const nn_real *p, int n) { return n == VEC ? vload(p) : vload_part(p, n); }
INLINE void put(nn_real *p, vec x, int n)
{
    if (n == VEC)
        vstore(p, x);
    else
        vstore_part(p, x, n);
}
INLINE vec operand(const nn_real *p, int64_t i, int n, int step)
{
    return !p ? vzero() : step ? get(p + i, n) : vset(*p);
}

INLINE void value_step(int f, nn_real *y, const struct nni_row *row, int64_t i, int n, const nn_real *k)
{
    vec a = operand(row->at[0], i, n, row->step[0]), b = operand(row->at[1], i, n, row->step[1]);
    vec c = operand(row->at[2], i, n, row->step[2]);

    put(y + i, value_of(f, a, b, c, k), n);
}

INLINE void value_loop(int f, nn_real *y, const struct nni_row *row, int64_t n, const nn_real *k)
{
    int64_t i = 0;

    for (; i + VEC <= n; i += VEC)
        value_step(f, y, row, i, VEC, k);
    if (i < n)
        value_step(f, y, row, i, (int)(n - i), k);
}

INLINE void grad_step(int f, const struct nni_row_grad *g, const struct nni_row *row, int64_t i, int n,
                      const nn_real *k)
{
    vec a = operand(row->at[0], i, n, row->step[0]), b = operand(row->at[1], i, n, row->step[1]);
    vec c = operand(row->at[2], i, n, row->step[2]), w = operand(g->dy, i, n, g->dy_step) * vset(g->factor);
    vec d[NNI_OPERANDS] = { vzero(), vzero(), vzero() };

    grad_of(f, a, b, c, k, d);
    for (int o = 0; o < NNI_OPERANDS; o++)
        if (g->d[o])
            put(g->d[o] + i, g->add[o] ? get(g->d[o] + i, n) + w * d[o] : w * d[o], n);
}

INLINE void grad_loop(int f, const struct nni_row_grad *g, const struct nni_row *row, int64_t n,
                      const nn_real *k)
{
    int64_t i = 0;

    for (; i + VEC <= n; i += VEC)
        grad_step(f, g, row, i, VEC, k);
    if (i < n)
        grad_step(f, g, row, i, (int)(n - i), k);
}

#define FOR_ALL(X)                                                                                           \
    X(NNI_EXP)                                                                                               \
    X(NNI_LOG)                                                                                               \
    X(NNI_SQRT)                                                                                              \
    X(NNI_TANH)                                                                                              \
    X(NNI_GELU)                                                                                              \
    X(NNI_GELU_TANH)                                                                                         \
    X(NNI_HARDSWISH)                                                                                         \
    X(NNI_LEAKY_RELU)                                                                                        \
    X(NNI_CLAMP)                                                                                             \
    X(NNI_LINEAR)                                                                                            \
    X(NNI_SUB)                                                                                               \
    X(NNI_DIV)                                                                                               \
    X(NNI_PEAK)                                                                                              \
    X(NNI_WHERE)                                                                                             \
    X(NNI_SQUARED_ERROR)                                                                                     \
    X(NNI_ABSOLUTE_ERROR)                                                                                    \
    X(NNI_SMOOTH_ERROR)                                                                                      \
    X(NNI_DIVERGENCE)                                                                                        \
    X(NNI_BCE)

static void k_value(const struct nni_formula *f, nn_real *y, const struct nni_row *row, int64_t n)
{
    switch (f->f) {
#define X(name)                                                                                              \
    case name: value_loop(name, y, row, n, f->k); break;
        FOR_ALL(X)
#undef X
    }
}

static void k_grad(const struct nni_formula *f, const struct nni_row_grad *g, const struct nni_row *row,
                   int64_t n)
{
    switch (f->f) {
#define X(name)                                                                                              \
    case name: grad_loop(name, g, row, n, f->k); break;
        FOR_ALL(X)
#undef X
    }
}

/* The larger one, or NaN if there is one. */
INLINE vec larger(vec a, vec b) { return vselect((a > b) | (a != a), a, b); }

static void k_largest(nn_real *to, const nn_real *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += VEC) {
        int w = n - i < VEC ? (int)(n - i) : VEC;

        put(to + i, larger(get(to + i, w), get(x + i, w)), w);
    }
}

static nn_real k_largest_of(nn_real most, const nn_real *x, int64_t n)
{
    vec m = vset(most);
    int64_t i = 0;

    for (; i + VEC <= n; i += VEC)
        m = larger(m, vload(x + i));
    for (; i < n; i++)
        m = larger(m, vset(x[i]));
    for (int j = 0; j < VEC; j++)
        m = larger(m, vset(m[j]));
    return m[0];
}

const struct nni_function_kernels NNI_NAME(nni_function) = { k_value, k_grad, k_largest, k_largest_of };
