/* SPDX-License-Identifier: MIT
 *
 * Elementwise functions and their derivatives (see cpu/function.h) over rows. Which function it is, is a
 * constant argument of an inlined loop, so that each gets a loop of its own.
 */
#include "cpu/function.h"
#include "cpu/simd/math.h"

#define INLINE static inline __attribute__((always_inline))
#define NNI_FORMULA INLINE
#include "ops/formula.h"

INLINE vec operand(const nn_real *p, int64_t i, int n, int step)
{
    return !p ? vzero() : step ? vload_some(p + i, n) : vset(*p);
}

INLINE void value_step(int f, nn_real *y, const struct nni_row *row, int64_t i, int n, const nn_real *k)
{
    vec a = operand(row->at[0], i, n, row->step[0]), b = operand(row->at[1], i, n, row->step[1]);
    vec c = operand(row->at[2], i, n, row->step[2]);

    vstore_some(y + i, nni_value_of(f, a, b, c, k), n);
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

    nni_grad_of(f, a, b, c, k, d);
    for (int o = 0; o < NNI_OPERANDS; o++)
        if (g->d[o])
            vstore_some(g->d[o] + i, g->add[o] ? vload_some(g->d[o] + i, n) + w * d[o] : w * d[o], n);
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

/* One loop for each function, in which it is a constant. */
static void k_value(const struct nni_formula *f, nn_real *y, const struct nni_row *row, int64_t n)
{
    switch (f->f) {
#define X(NAME)                                                                                              \
    case NNI_##NAME:                                                                                         \
        value_loop(NNI_##NAME, y, row, n, f->k);                                                             \
        break;
#define ROW(op, NAME, reads, value, derivative) X(NAME)
        NNI_UNARY_LIST(ROW)
        NNI_FUNCTION_LIST(X)
#undef X
    default: break;
    }
}

static void k_grad(const struct nni_formula *f, const struct nni_row_grad *g, const struct nni_row *row,
                   int64_t n)
{
    switch (f->f) {
#define X(NAME)                                                                                              \
    case NNI_##NAME: grad_loop(NNI_##NAME, g, row, n, f->k); break;
        NNI_UNARY_LIST(ROW)
        NNI_FUNCTION_LIST(X)
#undef X
    default: break;
    }
}

/* The larger one, or NaN if there is one. */
INLINE vec larger(vec a, vec b) { return vselect((a > b) | (a != a), a, b); }

static void k_largest(nn_real *to, const nn_real *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += VEC) {
        int w = n - i < VEC ? (int)(n - i) : VEC;

        vstore_some(to + i, larger(vload_some(to + i, w), vload_some(x + i, w)), w);
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
