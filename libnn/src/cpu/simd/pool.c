/* SPDX-License-Identifier: MIT
 *
 * Window kernels (see cpu/pool.h). A vector of channels stays in registers while the window is walked.
 */
#include "cpu/pool.h"

#include "cpu/simd/vec.h"

#define INLINE static inline __attribute__((always_inline))

/* n is VEC, as a constant, or less. */
INLINE vec get(const nn_real *p, int n) { return n == VEC ? vload(p) : vload_part(p, n); }
INLINE void put(nn_real *p, vec x, int n)
{
    if (n == VEC)
        vstore(p, x);
    else
        vstore_part(p, x, n);
}
INLINE ivec get_tap(const nni_tap *p, int n) { return (ivec)get((const nn_real *)(const void *)p, n); }
INLINE void put_tap(nni_tap *p, ivec x, int n) { put((nn_real *)(void *)p, (vec)x, n); }
INLINE ivec tap_of(const struct nni_window *w, int64_t i, int64_t j)
{
    return w->first + (nni_tap)i * w->tap_row + (nni_tap)j * w->tap_col - (ivec){ 0 };
}
INLINE ivec choose(ivec mask, ivec a, ivec b) { return (a & mask) | (b & ~mask); }

/* Runs `step` over vectors of channels, the last one with n < VEC. */
#define FOR_CHANNELS(step)                                                                                   \
    do {                                                                                                     \
        int64_t c = 0;                                                                                       \
        for (; c + VEC <= w->channels; c += VEC)                                                             \
            step(c, VEC);                                                                                    \
        if (c < w->channels)                                                                                 \
            step(c, (int)(w->channels - c));                                                                 \
    } while (0)

INLINE void weigh_step(nn_real *y, const nn_real *x, const struct nni_window *w, const nn_real *a,
                       const nn_real *b, bool add, int n)
{
    vec sum = add ? get(y, n) : vzero();

    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++)
            sum += vset(a[i] * b[j]) * get(x + i * w->row + j * w->channels, n);
    put(y, sum, n);
}

static void k_weigh(nn_real *y, const nn_real *x, const struct nni_window *w, const nn_real *a,
                    const nn_real *b, bool add)
{
#define STEP(c, n) weigh_step(y + (c), x + (c), w, a, b, add, n)
    FOR_CHANNELS(STEP);
#undef STEP
}

INLINE void max_step(nn_real *y, nni_tap *tap, const nn_real *x, const struct nni_window *w, int n)
{
    vec most = get(x, n);
    ivec at = tap_of(w, 0, 0);

    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) {
            vec v = get(x + i * w->row + j * w->channels, n);
            ivec better = (v > most) | (v != v);

            most = (vec)choose(better, (ivec)v, (ivec)most);
            at = choose(better, tap_of(w, i, j), at);
        }
    put(y, most, n);
    put_tap(tap, at, n);
}

static void k_max(nn_real *y, nni_tap *tap, const nn_real *x, const struct nni_window *w)
{
#define STEP(c, n) max_step(y + (c), tap + (c), x + (c), w, n)
    FOR_CHANNELS(STEP);
#undef STEP
}

INLINE void max_grad_step(nn_real *dx, const nn_real *dy, const nni_tap *tap, const struct nni_window *w,
                          bool add, int n)
{
    vec sum = add ? get(dx, n) : vzero();

    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) {
            int64_t at = i * w->row + j * w->channels;

            sum += vand(get_tap(tap + at, n) == tap_of(w, i, j), get(dy + at, n));
        }
    put(dx, sum, n);
}

static void k_max_grad(nn_real *dx, const nn_real *dy, const nni_tap *tap, const struct nni_window *w,
                       bool add)
{
#define STEP(c, n) max_grad_step(dx + (c), dy + (c), tap + (c), w, add, n)
    FOR_CHANNELS(STEP);
#undef STEP
}

const struct nni_pool_kernels NNI_NAME(nni_pool) = { .weigh = k_weigh, .max = k_max, .max_grad = k_max_grad };
