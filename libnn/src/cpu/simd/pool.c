/* SPDX-License-Identifier: MIT
 *
 * Window kernels (see cpu/pool.h). Some vectors of channels stay in registers while the window is walked.
 */
#include "cpu/pool.h"

#include "cpu/simd/vec.h"

#define INLINE static inline __attribute__((always_inline))

INLINE ivec get_tap(const nni_tap *p, int n) { return (ivec)vload_some((const nn_real *)(const void *)p, n); }
INLINE void put_tap(nni_tap *p, ivec x, int n) { vstore_some((nn_real *)(void *)p, (vec)x, n); }
INLINE ivec tap_of(const struct nni_window *w, int64_t i, int64_t j)
{
    return w->first + (nni_tap)i * w->tap_row + (nni_tap)j * w->tap_col - (ivec){ 0 };
}
INLINE ivec choose(ivec mask, ivec a, ivec b) { return (a & mask) | (b & ~mask); }

enum {
    SOME = 4
}; /* vectors whose sums stay in registers together, so that each tap costs its overhead once */

/* Runs step(c, m, n) over the channels, m vectors at a time, the last one with n < VEC. */
#define FOR_CHANNELS(step)                                                                                   \
    do {                                                                                                     \
        int64_t c = 0;                                                                                       \
        for (; c + SOME * VEC <= w->channels; c += SOME * VEC)                                               \
            step(c, SOME, VEC);                                                                              \
        for (; c + VEC <= w->channels; c += VEC)                                                             \
            step(c, 1, VEC);                                                                                 \
        if (c < w->channels)                                                                                 \
            step(c, 1, (int)(w->channels - c));                                                              \
    } while (0)

INLINE void weigh_step(nn_real *y, const nn_real *x, const struct nni_window *w, const nn_real *a,
                       const nn_real *b, int how, int m, int n)
{
    bool stream = how == NNI_STREAM && n == VEC && (uintptr_t)y % VEC_BYTES == 0;
    vec sum[SOME];

    for (int v = 0; v < m; v++)
        sum[v] = how == NNI_ADD ? vload_some(y + v * VEC, n) : vzero();
    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) {
            const nn_real *from = x + i * w->row + j * w->channels;
            vec weight = vset(a[i] * b[j]);

            for (int v = 0; v < m; v++)
                sum[v] += weight * vload_some(from + v * VEC, n);
        }
    for (int v = 0; v < m; v++)
        if (stream)
            vstream(y + v * VEC, sum[v]);
        else
            vstore_some(y + v * VEC, sum[v], n);
}

static void k_weigh(nn_real *y, const nn_real *x, const struct nni_window *w, const nn_real *a,
                    const nn_real *b, int how)
{
#define STEP(c, m, n) weigh_step(y + (c), x + (c), w, a, b, how, m, n)
    FOR_CHANNELS(STEP);
#undef STEP
}

INLINE void max_step(nn_real *y, nni_tap *tap, const nn_real *x, const struct nni_window *w, int m, int n)
{
    vec most[SOME];
    ivec at[SOME];

    for (int v = 0; v < m; v++) {
        most[v] = vload_some(x + v * VEC, n);
        at[v] = tap_of(w, 0, 0);
    }
    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) {
            const nn_real *from = x + i * w->row + j * w->channels;
            ivec here = tap_of(w, i, j);

            for (int v = 0; v < m; v++) {
                vec z = vload_some(from + v * VEC, n);
                ivec better = (z > most[v]) | (z != z);

                most[v] = (vec)choose(better, (ivec)z, (ivec)most[v]);
                at[v] = choose(better, here, at[v]);
            }
        }
    for (int v = 0; v < m; v++) {
        vstore_some(y + v * VEC, most[v], n);
        put_tap(tap + v * VEC, at[v], n);
    }
}

static void k_max(nn_real *y, nni_tap *tap, const nn_real *x, const struct nni_window *w)
{
#define STEP(c, m, n) max_step(y + (c), tap + (c), x + (c), w, m, n)
    FOR_CHANNELS(STEP);
#undef STEP
}

INLINE void max_grad_step(nn_real *dx, const nn_real *dy, const nni_tap *tap, const struct nni_window *w,
                          bool add, int m, int n)
{
    vec sum[SOME];

    for (int v = 0; v < m; v++)
        sum[v] = add ? vload_some(dx + v * VEC, n) : vzero();
    for (int64_t i = 0; i < w->rows; i++)
        for (int64_t j = 0; j < w->cols; j++) {
            int64_t at = i * w->row + j * w->channels;
            ivec here = tap_of(w, i, j);

            for (int v = 0; v < m; v++)
                sum[v] += vand(get_tap(tap + at + v * VEC, n) == here, vload_some(dy + at + v * VEC, n));
        }
    for (int v = 0; v < m; v++)
        vstore_some(dx + v * VEC, sum[v], n);
}

static void k_max_grad(nn_real *dx, const nn_real *dy, const nni_tap *tap, const struct nni_window *w,
                       bool add)
{
#define STEP(c, m, n) max_grad_step(dx + (c), dy + (c), tap + (c), w, add, m, n)
    FOR_CHANNELS(STEP);
#undef STEP
}

const struct nni_pool_kernels NNI_NAME(nni_pool) = {
    .weigh = k_weigh,
    .streamed = vstreamed,
    .max = k_max,
    .max_grad = k_max_grad,
};
