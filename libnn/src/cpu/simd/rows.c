/* SPDX-License-Identifier: MIT
 *
 * Row kernels (see cpu/rows.h). Rows of a network fit the first-level cache, so that a second and third
 * walk over one costs little.
 */
#include "cpu/rows.h"

#include "cpu/simd/vec.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    PIECE = 4096, /* elements summed in nn_real */
    CHAINS = 4,   /* sums that do not wait for each other */
    AHEAD = 1024  /* elements fetched before they are needed, which hardware alone does too late */
};

INLINE vec get_ahead(const nn_real *p, int n)
{
    __builtin_prefetch(p + AHEAD);
    return vload_some(p, n);
}
INLINE void put_ahead(nn_real *p, vec x, int n)
{
    __builtin_prefetch(p + AHEAD, 1);
    vstore_some(p, x, n);
}
INLINE vec get_or(const nn_real *p, int64_t i, int n, nn_real otherwise)
{
    return p ? vload_some(p + i, n) : vset(otherwise);
}
INLINE void add_to(nn_real *p, vec x, int n) { vstore_some(p, vload_some(p, n) + x, n); }

/* x in the first n lanes, else 0. */
INLINE vec only(vec x, int n)
{
    ivec lane;

    if (n == VEC)
        return x;
    for (int i = 0; i < VEC; i++)
        lane[i] = i;
    return vand(lane < n - (ivec){ 0 }, x);
}

/* Runs step(i, w, chain) over the vectors of [begin,end), the last one with w < VEC. */
#define FOR_VECTORS(begin, end, step)                                                                        \
    do {                                                                                                     \
        int64_t i_ = (begin);                                                                                \
        for (; i_ + CHAINS * VEC <= (end); i_ += CHAINS * VEC)                                               \
            for (int k_ = 0; k_ < CHAINS; k_++)                                                              \
                step(i_ + k_ * VEC, VEC, k_);                                                                \
        for (; i_ + VEC <= (end); i_ += VEC)                                                                 \
            step(i_, VEC, 0);                                                                                \
        if (i_ < (end))                                                                                      \
            step(i_, (int)((end)-i_), 0);                                                                    \
    } while (0)

struct chains {
    vec sum[CHAINS];
};
INLINE double total(const struct chains *c)
{
    vec all = c->sum[0];

    for (int k = 1; k < CHAINS; k++)
        all += c->sum[k];
    return (double)vsum(all);
}
INLINE int64_t end_of(int64_t begin, int64_t n) { return begin + PIECE < n ? begin + PIECE : n; }

/* Pieces are merged by Chan's formula; a second walk corrects the rounding error of a piece's mean. */
static void k_moments(double *mean, double *m2, const nn_real *x, int64_t n)
{
    *mean = *m2 = 0;
    for (int64_t at = 0, end; at < n; at = end) {
        struct chains sum = { 0 }, off = { 0 }, squares = { 0 };
        double count, inverse, rest, piece, d;
        vec middle;

        end = end_of(at, n);
        count = (double)(end - at);
        inverse = 1 / count;
#define SUM(i, w, k) sum.sum[k] += vload_some(x + (i), w)
        FOR_VECTORS(at, end, SUM);
#undef SUM
        middle = vset((nn_real)(total(&sum) * inverse));
#define SQUARES(i, w, k)                                                                                     \
    do {                                                                                                     \
        vec d_ = only(vload_some(x + (i), w) - middle, w);                                                   \
        off.sum[k] += d_;                                                                                    \
        squares.sum[k] += d_ * d_;                                                                           \
    } while (0)
        FOR_VECTORS(at, end, SQUARES);
#undef SQUARES
        rest = total(&off);
        piece = (double)middle[0] + rest * inverse;
        d = piece - *mean;
        *m2 += total(&squares) - rest * rest * inverse + d * d * (double)at * count / (double)end;
        *mean += d * count / (double)end;
    }
}

static void k_norm(nn_real *y, const nn_real *x, const struct nni_row_norm *v, int64_t n)
{
    vec mean = vset(v->mean), scale = vset(v->scale);
    const nn_real *gamma = v->gamma, *beta = v->beta;

#define NORM(i, w, k)                                                                                        \
    vstore_some(y + (i),                                                                                     \
                (vload_some(x + (i), w) - mean) * scale * get_or(gamma, i, w, 1) + get_or(beta, i, w, 0), w)
    FOR_VECTORS(0, n, NORM);
#undef NORM
}

static void k_norm_grad(nn_real *dx, nn_real *dgamma, nn_real *dbeta, const nn_real *x, const nn_real *dy,
                        const struct nni_row_norm *v, int64_t n, bool add)
{
    vec mean = vset(v->mean), scale = vset(v->scale), of_g, of_gh;
    const nn_real *gamma = v->gamma;
    double g = 0, gh = 0;

    for (int64_t at = 0, end; at < n; at = end) {
        struct chains sum_g = { 0 }, sum_gh = { 0 };

        end = end_of(at, n);
#define SUMS(i, w, k)                                                                                        \
    do {                                                                                                     \
        vec d_ = vload_some(dy + (i), w), h_ = (vload_some(x + (i), w) - mean) * scale;                      \
        vec g_ = d_ * get_or(gamma, i, w, 1);                                                                \
        sum_g.sum[k] += g_;                                                                                  \
        sum_gh.sum[k] += g_ * h_;                                                                            \
        add_to(dgamma + (i), d_ * h_, w);                                                                    \
        add_to(dbeta + (i), d_, w);                                                                          \
    } while (0)
        FOR_VECTORS(at, end, SUMS);
#undef SUMS
        g += total(&sum_g);
        gh += total(&sum_gh);
    }
    if (!dx)
        return;
    of_g = vset((nn_real)(g / (double)n));
    of_gh = vset((nn_real)(gh / (double)n));
#define GRAD(i, w, k)                                                                                        \
    do {                                                                                                     \
        vec h_ = (vload_some(x + (i), w) - mean) * scale,                                                    \
            g_ = vload_some(dy + (i), w) * get_or(gamma, i, w, 1);                                           \
        vec d_ = scale * (g_ - of_g - h_ * of_gh);                                                           \
        vstore_some(dx + (i), add ? vload_some(dx + (i), w) + d_ : d_, w);                                   \
    } while (0)
    FOR_VECTORS(0, n, GRAD);
#undef GRAD
}

/* A NaN may be missed: it is in the sum of exponentials all the same. */
static nn_real largest_of(const nn_real *x, int64_t n)
{
    vec most[CHAINS];
    nn_real largest;
    int64_t i = 0;

    for (int k = 0; k < CHAINS; k++)
        most[k] = vset(x[0]);
    for (; i + CHAINS * VEC <= n; i += CHAINS * VEC)
        for (int k = 0; k < CHAINS; k++)
            most[k] = vmax(get_ahead(x + i + k * VEC, VEC), most[k]);
    for (; i + VEC <= n; i += VEC)
        most[0] = vmax(get_ahead(x + i, VEC), most[0]);
    largest = vlargest(vmax(vmax(most[1], most[0]), vmax(most[3], most[2])));
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* The sum of exp(x - most), whose terms go to y unless that is NULL. */
INLINE double sum_exp(nn_real *y, const nn_real *x, nn_real most, int64_t n)
{
    double sum = 0;

    for (int64_t at = 0, end; at < n; at = end) {
        struct chains part = { 0 };

        end = end_of(at, n);
#define EXP(i, w, k)                                                                                         \
    do {                                                                                                     \
        vec e_ = only(vexp(vload_some(x + (i), w) - vset(most)), w);                                         \
        part.sum[k] += e_;                                                                                   \
        if (y)                                                                                               \
            put_ahead(y + (i), e_, w);                                                                       \
    } while (0)
        FOR_VECTORS(at, end, EXP);
#undef EXP
        sum += total(&part);
    }
    return sum;
}

/* The sum of a, or of a*b. */
INLINE double sum_of(const nn_real *a, const nn_real *b, int64_t n)
{
    double sum = 0;

    for (int64_t at = 0, end; at < n; at = end) {
        struct chains part = { 0 };

        end = end_of(at, n);
#define PRODUCT(i, w, k)                                                                                     \
    part.sum[k] += b ? get_ahead(a + (i), w) * get_ahead(b + (i), w) : get_ahead(a + (i), w)
        FOR_VECTORS(at, end, PRODUCT);
#undef PRODUCT
        sum += total(&part);
    }
    return sum;
}

static void k_softmax(nn_real *y, const nn_real *x, int64_t n)
{
    vec factor = vset((nn_real)(1 / sum_exp(y, x, largest_of(x, n), n)));

#define SCALE(i, w, k) vstore_some(y + (i), vload_some(y + (i), w) * factor, w)
    FOR_VECTORS(0, n, SCALE);
#undef SCALE
}

static void k_log_softmax(nn_real *y, const nn_real *x, int64_t n)
{
    nn_real most = largest_of(x, n);
    vec shift = vset((nn_real)log(sum_exp(NULL, x, most, n)));

#define SHIFT(i, w, k) put_ahead(y + (i), vload_some(x + (i), w) - vset(most) - shift, w)
    FOR_VECTORS(0, n, SHIFT);
#undef SHIFT
}

#define STORE(i, w, d) put_ahead(dx + (i), add ? vload_some(dx + (i), w) + (d) : (d), w)

static void k_softmax_grad(nn_real *dx, const nn_real *y, const nn_real *dy, int64_t n, bool add)
{
    vec dot = vset((nn_real)sum_of(y, dy, n));

#define GRAD(i, w, k) STORE(i, w, vload_some(y + (i), w) * (vload_some(dy + (i), w) - dot))
    FOR_VECTORS(0, n, GRAD);
#undef GRAD
}

static void k_log_softmax_grad(nn_real *dx, const nn_real *y, const nn_real *dy, int64_t n, bool add)
{
    vec sum = vset((nn_real)sum_of(dy, NULL, n));

#define GRAD(i, w, k) STORE(i, w, vload_some(dy + (i), w) - vexp(get_ahead(y + (i), w)) * sum)
    FOR_VECTORS(0, n, GRAD);
#undef GRAD
}

const struct nni_row_kernels NNI_NAME(nni_row) = {
    .moments = k_moments,
    .norm = k_norm,
    .norm_grad = k_norm_grad,
    .softmax = { k_softmax, k_log_softmax },
    .softmax_grad = { k_softmax_grad, k_log_softmax_grad },
};
