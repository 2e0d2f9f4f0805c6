/* SPDX-License-Identifier: MIT
 *
 * Pointwise kernels (see cpu/pointwise.h). They wait for memory, so what counts is to touch each element once
 * and to have several loads under way: the inner step takes one vector of channels in four rows, which also
 * divides the loads of what belongs to the channel, and the sums kept in memory, by four.
 *
 * Every choice that is constant within a call (activation, whether a slot is there) is a constant
 * argument of an inlined function, so each combination gets a loop of its own without branches.
 */
#include "cpu/pointwise.h"
#include "cpu/simd/vec.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS = 4, IDENTITY = -1 };

/* Runs `body(c, n)` over the columns, the last ones with n < VEC. */
#define FOR_COLUMNS(cols, body)                                                                              \
    do {                                                                                                     \
        int64_t column = 0;                                                                                  \
        for (; column + VEC <= (cols); column += VEC)                                                        \
            body(column, VEC);                                                                               \
        if (column < (cols))                                                                                 \
            body(column, (int)((cols)-column));                                                              \
    } while (0)

/* Runs `body(r, n)` over the rows, four at a time and the last ones one by one. */
#define FOR_ROWS(rows, body)                                                                                 \
    do {                                                                                                     \
        int64_t row = 0;                                                                                     \
        for (; row + ROWS <= (rows); row += ROWS)                                                            \
            body(row, ROWS);                                                                                 \
        for (; row < (rows); row++)                                                                          \
            body(row, 1);                                                                                    \
    } while (0)

/* One loop for each activation. */
#define FOR_ACT(act, call)                                                                                   \
    do {                                                                                                     \
        switch (act) {                                                                                       \
        case IDENTITY: call(IDENTITY); break;                                                                \
        case NN_ACT_RELU: call(NN_ACT_RELU); break;                                                          \
        case NN_ACT_RELU6: call(NN_ACT_RELU6); break;                                                        \
        case NN_ACT_SILU: call(NN_ACT_SILU); break;                                                          \
        case NN_ACT_SIGMOID: call(NN_ACT_SIGMOID); break;                                                    \
        default: call(NN_ACT_NONE); break;                                                                   \
        }                                                                                                    \
    } while (0)

/* ---- elementwise ---- */

static void k_widen(nn_real *to, const void *from, int64_t n, bool add)
{
    const elem *x = from;

#define BODY(c, w)                                                                                           \
    vstore_some(to + (c), add ? vload_some(to + (c), w) + eload_some(x + (c), w) : eload_some(x + (c), w), w)
    FOR_COLUMNS(n, BODY);
#undef BODY
}

static void k_narrow(void *to, const nn_real *from, int64_t n, bool add)
{
    elem *y = to;

#define BODY(c, w)                                                                                           \
    estore_some(y + (c),                                                                                     \
                add ? eload_some(y + (c), w) + vload_some(from + (c), w) : vload_some(from + (c), w), w)
    FOR_COLUMNS(n, BODY);
#undef BODY
}

INLINE void act_loop(elem *y, const elem *x, int64_t n, int act)
{
#define BODY(c, w) estore_some(y + (c), vact(act, eload_some(x + (c), w)), w)
    FOR_COLUMNS(n, BODY);
#undef BODY
}

static void k_act(void *y, const void *x, int64_t n, int act)
{
#define CALL(a) act_loop(y, x, n, a)
    FOR_ACT(act, CALL);
#undef CALL
}

INLINE void act_grad_loop(elem *dx, const elem *x, const elem *dy, int64_t n, int act, bool add)
{
    if (add) {
#define BODY(c, w)                                                                                           \
    estore_some(dx + (c),                                                                                    \
                eload_some(dx + (c), w) + eload_some(dy + (c), w) * vact_grad(act, eload_some(x + (c), w)),  \
                w)
        FOR_COLUMNS(n, BODY);
#undef BODY
    } else {
#define BODY(c, w) estore_some(dx + (c), eload_some(dy + (c), w) * vact_grad(act, eload_some(x + (c), w)), w)
        FOR_COLUMNS(n, BODY);
#undef BODY
    }
}

static void k_act_grad(void *dx, const void *x, const void *dy, int64_t n, int act, bool add)
{
#define CALL(a) act_grad_loop(dx, x, dy, n, a, add)
    FOR_ACT(act, CALL);
#undef CALL
}

static void k_scale(void *to, const void *from, int64_t n, nn_real factor, nn_real shift, bool add)
{
    elem *y = to;
    const elem *x = from;
    vec f = vset(factor), s = vset(shift);

    if (add) {
#define BODY(c, w) estore_some(y + (c), eload_some(y + (c), w) + (f * eload_some(x + (c), w) + s), w)
        FOR_COLUMNS(n, BODY);
#undef BODY
    } else {
#define BODY(c, w) estore_some(y + (c), f * eload_some(x + (c), w) + s, w)
        FOR_COLUMNS(n, BODY);
#undef BODY
    }
}

/* ---- affine ---- */

struct channel {
    vec mean, scale, beta;
};

INLINE struct channel channel_of(const struct nni_pointwise_affine *v, int64_t c, int w, int act)
{
    struct channel k = { vzero(), vset(1), vzero() };

    if (act != IDENTITY) {
        k.mean = vload_some(v->mean + c, w);
        k.scale = vload_some(v->scale + c, w);
        if (v->beta)
            k.beta = vload_some(v->beta + c, w);
    }
    return k;
}

INLINE vec apply(const struct channel *k, vec x, int act)
{
    return act == IDENTITY ? x : vact(act, k->scale * (x - k->mean) + k->beta);
}

INLINE int act_of(const struct nni_pointwise_affine *v) { return v && v->mean ? v->act : IDENTITY; }

INLINE void affine_step(elem *y, const elem *x, const elem *plus, int64_t cols, vec factor,
                        const struct nni_pointwise_affine *v, int64_t c, int w, int rows, int act, bool more)
{
    struct channel k = channel_of(v, c, w, act);
    vec z[ROWS];

    for (int r = 0; r < rows; r++) {
        z[r] = factor * apply(&k, eload_some(x + r * cols + c, w), act);
        if (more)
            z[r] += eload_some(plus + r * cols + c, w);
    }
    for (int r = 0; r < rows; r++)
        estore_some(y + r * cols + c, z[r], w);
}

INLINE void affine_loop(elem *y, const elem *x, const elem *plus, int64_t rows, int64_t cols,
                        const struct nni_pointwise_affine *v, nn_real factor, int act, bool more)
{
    vec f = vset(factor);

#define STEP4(c, w) affine_step(y + at, x + at, more ? plus + at : NULL, cols, f, v, c, w, ROWS, act, more)
#define STEP1(c, w) affine_step(y + at, x + at, more ? plus + at : NULL, cols, f, v, c, w, 1, act, more)
#define BODY(r, n)                                                                                           \
    do {                                                                                                     \
        int64_t at = (r)*cols;                                                                               \
        if ((n) == ROWS)                                                                                     \
            FOR_COLUMNS(cols, STEP4);                                                                        \
        else                                                                                                 \
            FOR_COLUMNS(cols, STEP1);                                                                        \
    } while (0)
    FOR_ROWS(rows, BODY);
#undef BODY
#undef STEP1
#undef STEP4
}

static void k_affine(void *y, const void *x, const void *plus, int64_t rows, int64_t cols,
                     const struct nni_pointwise_affine *v, nn_real factor)
{
    if (plus) {
#define CALL(a) affine_loop(y, x, plus, rows, cols, v, factor, a, true)
        FOR_ACT(act_of(v), CALL);
#undef CALL
    } else {
#define CALL(a) affine_loop(y, x, NULL, rows, cols, v, factor, a, false)
        FOR_ACT(act_of(v), CALL);
#undef CALL
    }
}

/* What a call of affine_grad does not change between steps. */
struct affine_grad {
    const struct nni_pointwise_affine *v;
    elem *dx;
    nn_real *sums;
    const elem *x;
    const void *dy;
    int64_t cols, dy_row;
    vec factor;
    bool add;
};

/* shared: there is one row of dy for all. */
INLINE void affine_grad_step(const struct affine_grad *a, int64_t row, int64_t c, int w, int rows, int act,
                             bool shared)
{
    struct channel k = channel_of(a->v, c, w, act);
    vec s0 = vzero(), s1 = vzero(), dz[ROWS];

    for (int r = 0; r < rows; r++) {
        dz[r] = a->factor * (shared ? vload_some((const nn_real *)a->dy + c, w)
                                    : eload_some((const elem *)a->dy + (row + r) * a->dy_row + c, w));
        if (act != IDENTITY) {
            vec d = eload_some(a->x + (row + r) * a->cols + c, w) - k.mean;

            if (act != NN_ACT_NONE)
                dz[r] *= vact_grad(act, k.scale * d + k.beta);
            s0 += dz[r];
            s1 += dz[r] * d;
            dz[r] *= k.scale;
        }
    }
    if (a->dx) {
        for (int r = 0; r < rows; r++) {
            elem *to = a->dx + (row + r) * a->cols + c;

            estore_some(to, a->add ? eload_some(to, w) + dz[r] : dz[r], w);
        }
    }
    if (act != IDENTITY && a->sums) {
        vstore_some(a->sums + c, vload_some(a->sums + c, w) + s0, w);
        vstore_some(a->sums + a->cols + c, vload_some(a->sums + a->cols + c, w) + s1, w);
    }
}

INLINE void affine_grad_loop(const struct affine_grad *a, int64_t rows, int act, bool shared)
{
#define STEP4(c, w) affine_grad_step(a, row, c, w, ROWS, act, shared)
#define STEP1(c, w) affine_grad_step(a, row, c, w, 1, act, shared)
#define BODY(r, n)                                                                                           \
    do {                                                                                                     \
        if ((n) == ROWS)                                                                                     \
            FOR_COLUMNS(a->cols, STEP4);                                                                     \
        else                                                                                                 \
            FOR_COLUMNS(a->cols, STEP1);                                                                     \
    } while (0)
    FOR_ROWS(rows, BODY);
#undef BODY
#undef STEP1
#undef STEP4
}

static void k_affine_grad(void *dx, nn_real *sums, const void *x, const void *dy, int64_t dy_row,
                          int64_t rows, int64_t cols, const struct nni_pointwise_affine *v, nn_real factor,
                          bool add)
{
    struct affine_grad a = { v, dx, sums, x, dy, cols, dy_row, vset(factor), add };

    if (dy_row) {
#define CALL(c) affine_grad_loop(&a, rows, c, false)
        FOR_ACT(act_of(v), CALL);
#undef CALL
    } else {
#define CALL(c) affine_grad_loop(&a, rows, c, true)
        FOR_ACT(act_of(v), CALL);
#undef CALL
    }
}

INLINE void affine_sum_step(nn_real *sum, nn_real *slopes, const elem *x, int64_t cols,
                            const struct nni_pointwise_affine *v, int64_t c, int w, int rows, int act)
{
    struct channel k = channel_of(v, c, w, act);
    vec s = vzero(), s0 = vzero(), s1 = vzero();

    for (int r = 0; r < rows; r++) {
        vec d = eload_some(x + r * cols + c, w) - k.mean, z = k.scale * d + k.beta;

        if (act == IDENTITY) {
            s += d;
        } else {
            vec slope, a = vact_slope(act, z, &slope);

            s += a;
            s0 += slope;
            s1 += slope * d;
        }
    }
    vstore_some(sum + c, vload_some(sum + c, w) + s, w);
    if (slopes) {
        vstore_some(slopes + c, vload_some(slopes + c, w) + s0, w);
        vstore_some(slopes + cols + c, vload_some(slopes + cols + c, w) + s1, w);
    }
}

INLINE void affine_sum_loop(nn_real *sum, nn_real *slopes, const elem *x, int64_t rows, int64_t cols,
                            const struct nni_pointwise_affine *v, int act)
{
#define STEP4(c, w) affine_sum_step(sum, slopes, x + row * cols, cols, v, c, w, ROWS, act)
#define STEP1(c, w) affine_sum_step(sum, slopes, x + row * cols, cols, v, c, w, 1, act)
#define BODY(r, n)                                                                                           \
    do {                                                                                                     \
        if ((n) == ROWS)                                                                                     \
            FOR_COLUMNS(cols, STEP4);                                                                        \
        else                                                                                                 \
            FOR_COLUMNS(cols, STEP1);                                                                        \
    } while (0)
    FOR_ROWS(rows, BODY);
#undef BODY
#undef STEP1
#undef STEP4
}

static void k_affine_sum(nn_real *sum, nn_real *slopes, const void *from, int64_t rows, int64_t cols,
                         const struct nni_pointwise_affine *v)
{
    const elem *x = from;

    memset(sum, 0, (size_t)cols * sizeof *sum);
    if (slopes) {
        memset(slopes, 0, 2 * (size_t)cols * sizeof *slopes);
#define CALL(a) affine_sum_loop(sum, slopes, x, rows, cols, v, a)
        FOR_ACT(act_of(v), CALL);
#undef CALL
    } else {
#define CALL(a) affine_sum_loop(sum, NULL, x, rows, cols, v, a)
        FOR_ACT(act_of(v), CALL);
#undef CALL
    }
}

/* ---- statistics ---- */

INLINE void spread_step(nn_real *m2, nn_real *rest, const nn_real *mean, const elem *x, int64_t cols,
                        int64_t c, int w, int rows)
{
    vec m = vload_some(mean + c, w), s = vload_some(m2 + c, w), e = vload_some(rest + c, w);

    for (int r = 0; r < rows; r++) {
        vec d = eload_some(x + r * cols + c, w) - m;

        s += d * d;
        e += d;
    }
    vstore_some(m2 + c, s, w);
    vstore_some(rest + c, e, w);
}

static void k_moments(nn_real *mean, nn_real *m2, nn_real *work, const void *from, int64_t rows, int64_t cols)
{
    const elem *x = from;
    vec inverse = vset((nn_real)1 / (nn_real)rows);

    k_affine_sum(mean, NULL, from, rows, cols, NULL);
#define BODY(c, w) vstore_some(mean + (c), vload_some(mean + (c), w) * inverse, w)
    FOR_COLUMNS(cols, BODY);
#undef BODY
    memset(m2, 0, (size_t)cols * sizeof *m2);
    memset(work, 0, (size_t)cols * sizeof *work);
#define STEP4(c, w) spread_step(m2, work, mean, x + row * cols, cols, c, w, ROWS)
#define STEP1(c, w) spread_step(m2, work, mean, x + row * cols, cols, c, w, 1)
#define BODY(r, n)                                                                                           \
    do {                                                                                                     \
        if ((n) == ROWS)                                                                                     \
            FOR_COLUMNS(cols, STEP4);                                                                        \
        else                                                                                                 \
            FOR_COLUMNS(cols, STEP1);                                                                        \
    } while (0)
    FOR_ROWS(rows, BODY);
#undef BODY
#undef STEP1
#undef STEP4
    /* The distances should add up to nothing: what they do add up to is the mean's rounding error. */
#define BODY(c, w)                                                                                           \
    do {                                                                                                     \
        vec e = vload_some(work + (c), w) * inverse;                                                         \
        vec s = vload_some(m2 + (c), w) - e * vload_some(work + (c), w);                                     \
        vstore_some(m2 + (c), vmax(vzero(), s), w);                                                          \
        vstore_some(mean + (c), vload_some(mean + (c), w) + e, w);                                           \
    } while (0)
    FOR_COLUMNS(cols, BODY);
#undef BODY
}

static void k_merge_sums(double *acc, const nn_real *partial, int64_t tiles, int64_t stride, int64_t cols)
{
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t c = 0; c < cols; c++)
            acc[c] += (double)partial[t * stride + c];
}

static void k_merge_moments(double *mean, double *m2, const nn_real *tile_mean, const nn_real *tile_m2,
                            int64_t tiles, int64_t stride, int64_t cols, int64_t each, int64_t rows)
{
    for (int64_t c = 0; c < cols; c++)
        mean[c] = m2[c] = 0;
    for (int64_t t = 0; t < tiles; t++) {
        struct nni_part p = nni_part_of(t, each, rows);
        double before = (double)p.begin, total = (double)(p.begin + p.count);
        double part = (double)p.count / total, weight = before * part;

        for (int64_t c = 0; c < cols; c++) {
            double d = (double)tile_mean[t * stride + c] - mean[c];

            mean[c] += d * part;
            m2[c] += (double)tile_m2[t * stride + c] + d * d * weight;
        }
    }
}

/* ---- two operands ---- */

INLINE vec operand(const elem *p, int64_t c, int w, int step)
{
    return step ? eload_some(p + c, w) : eset(p);
}

INLINE void add_loop(elem *y, const elem *a, const elem *b, const struct nni_pointwise_grid *g, int a_col,
                     int b_col)
{
    for (int64_t r = 0; r < g->rows; r++, y += g->y_row, a += g->a_row, b += g->b_row) {
#define BODY(c, w) estore_some(y + (c), operand(a, c, w, a_col) + operand(b, c, w, b_col), w)
        FOR_COLUMNS(g->cols, BODY);
#undef BODY
    }
}

static void k_add(void *y, const void *a, const void *b, const struct nni_pointwise_grid *g)
{
    if (g->a_col && g->b_col)
        add_loop(y, a, b, g, 1, 1);
    else if (g->a_col)
        add_loop(y, a, b, g, 1, 0);
    else if (g->b_col)
        add_loop(y, a, b, g, 0, 1);
    else
        add_loop(y, a, b, g, 0, 0);
}

INLINE void mul_loop(elem *y, const elem *a, const elem *b, const struct nni_pointwise_grid *g, int a_col,
                     int b_col, bool add)
{
    for (int64_t r = 0; r < g->rows; r++, y += g->y_row, a += g->a_row, b += g->b_row) {
#define BODY(c, w)                                                                                           \
    do {                                                                                                     \
        vec p = operand(a, c, w, a_col) * operand(b, c, w, b_col);                                           \
        estore_some(y + (c), add ? eload_some(y + (c), w) + p : p, w);                                       \
    } while (0)
        FOR_COLUMNS(g->cols, BODY);
#undef BODY
    }
}

static void k_mul(void *y, const void *a, const void *b, const struct nni_pointwise_grid *g, bool add)
{
    if (g->a_col && g->b_col)
        mul_loop(y, a, b, g, 1, 1, add);
    else if (g->a_col)
        mul_loop(y, a, b, g, 1, 0, add);
    else if (g->b_col)
        mul_loop(y, a, b, g, 0, 1, add);
    else
        mul_loop(y, a, b, g, 0, 0, add);
}

static void k_mul_grad(void *to_a, void *to_b, const void *of_a, const void *of_b, const void *of_y,
                       int64_t n, bool add_a, bool add_b)
{
    elem *da = to_a, *db = to_b;
    const elem *a = of_a, *b = of_b, *dy = of_y;

    /* da may be dy, and da may be db when a is b: everything is read before the first store, and
     * what is added to after it. */
#define BODY(c, w)                                                                                           \
    do {                                                                                                     \
        vec d = eload_some(dy + (c), w), u = eload_some(a + (c), w), v = eload_some(b + (c), w);             \
        if (da)                                                                                              \
            estore_some(da + (c), add_a ? eload_some(da + (c), w) + d * v : d * v, w);                       \
        if (db)                                                                                              \
            estore_some(db + (c), add_b ? eload_some(db + (c), w) + d * u : d * u, w);                       \
    } while (0)
    FOR_COLUMNS(n, BODY);
#undef BODY
}

INLINE void sum_rows_loop(nn_real *sum, const elem *a, const elem *b, const struct nni_pointwise_grid *g,
                          bool two, int b_col)
{
    int64_t row = 0;

#define STEP(c, w, n)                                                                                        \
    do {                                                                                                     \
        vec s = vload_some(sum + (c), w);                                                                    \
        for (int i = 0; i < (n); i++) {                                                                      \
            vec x = eload_some(a + (row + i) * g->a_row + (c), w);                                           \
            s += two ? x * operand(b + (row + i) * g->b_row, c, w, b_col) : x;                               \
        }                                                                                                    \
        vstore_some(sum + (c), s, w);                                                                        \
    } while (0)
#define STEP4(c, w) STEP(c, w, ROWS)
#define STEP1(c, w) STEP(c, w, 1)
    for (; row + ROWS <= g->rows; row += ROWS)
        FOR_COLUMNS(g->cols, STEP4);
    for (; row < g->rows; row++)
        FOR_COLUMNS(g->cols, STEP1);
#undef STEP1
#undef STEP4
#undef STEP
}

static void k_sum_rows(nn_real *sum, const void *a, const void *b, const struct nni_pointwise_grid *g)
{
    if (!b)
        sum_rows_loop(sum, a, NULL, g, false, 0);
    else if (g->b_col)
        sum_rows_loop(sum, a, b, g, true, 1);
    else
        sum_rows_loop(sum, a, b, g, true, 0);
}

/* The sum of one row, in four chains so that additions overlap. */
INLINE vec sum_row(const elem *a, const elem *b, int64_t n, bool two, int b_col)
{
    vec s[ROWS] = { vzero(), vzero(), vzero(), vzero() };
    int64_t c = 0;

    for (; c + ROWS * VEC <= n; c += ROWS * VEC)
        for (int i = 0; i < ROWS; i++) {
            vec x = eload(a + c + i * VEC);

            s[i] += two ? x * operand(b, c + i * VEC, VEC, b_col) : x;
        }
    for (; c < n; c += VEC) {
        int w = n - c < VEC ? (int)(n - c) : VEC;
        vec x = eload_some(a + c, w);

        s[0] += two ? x * operand(b, c, w, b_col) : x;
    }
    return (s[0] + s[1]) + (s[2] + s[3]);
}

static nn_real k_sum_all(const void *of_a, const void *of_b, const struct nni_pointwise_grid *g)
{
    const elem *a = of_a, *b = of_b;
    vec s = vzero();

    for (int64_t r = 0; r < g->rows; r++, a += g->a_row) {
        if (!b)
            s += sum_row(a, NULL, g->cols, false, 0);
        else if (g->b_col)
            s += sum_row(a, b, g->cols, true, 1);
        else
            s += sum_row(a, b, g->cols, true, 0);
        if (b)
            b += g->b_row;
    }
    return vsum(s);
}

const struct nni_pointwise_kernels NNI_NAME(nni_pointwise) = {
    .widen = k_widen,
    .narrow = k_narrow,
    .act = k_act,
    .act_grad = k_act_grad,
    .scale = k_scale,
    .affine = k_affine,
    .affine_grad = k_affine_grad,
    .affine_sum = k_affine_sum,
    .moments = k_moments,
    .add = k_add,
    .mul = k_mul,
    .mul_grad = k_mul_grad,
    .sum_rows = k_sum_rows,
    .sum_all = k_sum_all,
    .merge_sums = k_merge_sums,
    .merge_moments = k_merge_moments,
};
