/* SPDX-License-Identifier: MIT
 *
 * The tiles of the depthwise convolution. Depthwise layers have one multiplication per load and
 * tap, so what decides is where the operands come from. Seven output pixels are computed at a time:
 * a loaded pixel is used for up to k of them, the accumulators and the weights of one kernel row fit
 * the 16 registers of AVX2, and seven divides the widths of the usual networks (7, 14, 28, 56, 112).
 * The weight gradient keeps the accumulators of one kernel row, twice, so that enough independent
 * additions are in flight; each loaded input pixel meets the gradients of up to k output pixels.
 * Rows that lie in the padding are skipped, columns there are zeros in the rings.
 *
 * k = 3 and 5 with stride 1 and 2 are instances of these kernels; the rest goes through plain loops
 * on the same rings. The data gradient of stride 2 falls into two problems of stride 1, one for the
 * even and one for the odd columns, each with its own half of the taps.
 */
#include "cpu/cpu.h"
#include "cpu/simd/vec.h"

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* Accumulators, gradients and one pixel of the weight gradient must fit the registers. */
enum { PIXELS = 7, GRAD_PIXELS = VEC_BYTES == 64 ? 7 : 4, EXPAND_PIXELS = VEC_BYTES == 64 ? 7 : 6 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* --------------------------------------------------- rows of a convolution */

/* out[i] = init + sum over rows r and taps j of in[r][i*stride + j] * wt[r][j], for n pixels; *sum
 * += the sum of the results. Pixels of `in` and taps are VEC apart, results `step`. */
typedef void row_fn(const nn_real *const *in, const nn_real *const *wt, int64_t rows, int64_t n,
                    const nn_real *init, nn_real *out, int64_t step, nn_real *sum);

INLINE vec row_block(int k, int s, int p, const nn_real *const *in, const nn_real *const *wt, int64_t rows,
                     int64_t at, vec init, nn_real *out, int64_t step)
{
    vec a[PIXELS], w[5], sum = vzero();

    UNROLL
    for (int i = 0; i < p; i++)
        a[i] = init;
    for (int64_t r = 0; r < rows; r++) {
        const nn_real *x = in[r] + at;

        UNROLL
        for (int j = 0; j < k; j++)
            w[j] = vload(wt[r] + j * VEC);
        UNROLL
        for (int c = 0; c < (p - 1) * s + k; c++) {
            vec t = vload(x + c * VEC);

            UNROLL
            for (int i = 0; i < p; i++)
                if (c - i * s >= 0 && c - i * s < k)
                    a[i] += t * w[c - i * s];
        }
    }
    UNROLL
    for (int i = 0; i < p; i++) {
        vstore(out + i * step, a[i]);
        sum += a[i];
    }
    return sum;
}

INLINE void row_any(int k, int s, const nn_real *const *in, const nn_real *const *wt, int64_t rows, int64_t n,
                    const nn_real *init, nn_real *out, int64_t step, nn_real *sum)
{
    vec first = vload(init), total = vload(sum);
    int64_t i = 0;

    for (; i + PIXELS <= n; i += PIXELS)
        total += row_block(k, s, PIXELS, in, wt, rows, i * s * VEC, first, out + i * step, step);
    if (i + 4 <= n) {
        total += row_block(k, s, 4, in, wt, rows, i * s * VEC, first, out + i * step, step);
        i += 4;
    }
    if (i + 2 <= n) {
        total += row_block(k, s, 2, in, wt, rows, i * s * VEC, first, out + i * step, step);
        i += 2;
    }
    if (i < n)
        total += row_block(k, s, 1, in, wt, rows, i * s * VEC, first, out + i * step, step);
    vstore(sum, total);
}

#define ROW(k, s)                                                                                            \
    static void row_##k##_##s(const nn_real *const *in, const nn_real *const *wt, int64_t rows, int64_t n,   \
                              const nn_real *init, nn_real *out, int64_t step, nn_real *sum)                 \
    {                                                                                                        \
        row_any(k, s, in, wt, rows, n, init, out, step, sum);                                                \
    }
ROW(1, 1)
ROW(2, 1)
ROW(3, 1)
ROW(5, 1)
ROW(3, 2)
ROW(5, 2)

/* The same for any k, stride and dilation. */
static void row_plain(const nni_conv_geometry *g, const nn_real *const *in, const nn_real *const *wt,
                      int64_t rows, int64_t n, const nn_real *init, nn_real *out, int64_t step, nn_real *sum)
{
    int64_t s = g->stride * VEC, d = g->dilation * VEC, k = g->kw, i = 0;
    vec total = vload(sum);

    for (; i + 4 <= n; i += 4) {
        vec a = vload(init), b = a, c = a, e = a;

        for (int64_t r = 0; r < rows; r++) {
            const nn_real *x = in[r] + i * s, *w = wt[r];

            for (int64_t j = 0; j < k; j++, x += d, w += VEC) {
                vec t = vload(w);

                a += t * vload(x);
                b += t * vload(x + s);
                c += t * vload(x + 2 * s);
                e += t * vload(x + 3 * s);
            }
        }
        vstore(out + i * step, a);
        vstore(out + (i + 1) * step, b);
        vstore(out + (i + 2) * step, c);
        vstore(out + (i + 3) * step, e);
        total += (a + b) + (c + e);
    }
    for (; i < n; i++) {
        vec a = vload(init);

        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < k; j++)
                a += vload(in[r] + i * s + j * d) * vload(wt[r] + j * VEC);
        vstore(out + i * step, a);
        total += a;
    }
    vstore(sum, total);
}

static row_fn *row_of(const nni_conv_geometry *g)
{
    if (g->dilation != 1 || (g->kw != 3 && g->kw != 5) || g->stride > 2)
        return NULL;
    return g->kw == 3 ? (g->stride == 1 ? row_3_1 : row_3_2) : (g->stride == 1 ? row_5_1 : row_5_2);
}

/* -------------------------------------------------- weights of one kernel row */

/* acc[j] += sum over rows r and pixels i < n of x[r][i*stride + j] * dy[r][i]. */
typedef void grad_fn(const nn_real *const *x, const nn_real *const *dy, int64_t rows, int64_t n,
                     nn_real *acc);

INLINE void grad_block(int k, int s, int p, const nn_real *x, const nn_real *dy, vec a[2][5])
{
    vec g[PIXELS];

    UNROLL
    for (int i = 0; i < p; i++)
        g[i] = vload(dy + i * VEC);
    UNROLL
    for (int c = 0; c < (p - 1) * s + k; c++) {
        vec t = vload(x + c * VEC);

        UNROLL
        for (int i = 0; i < p; i++)
            if (c - i * s >= 0 && c - i * s < k)
                a[i & 1][c - i * s] += t * g[i];
    }
}

INLINE void grad_any(int k, int s, const nn_real *const *x, const nn_real *const *dy, int64_t rows, int64_t n,
                     nn_real *acc)
{
    vec a[2][5];

    UNROLL
    for (int j = 0; j < k; j++)
        a[0][j] = a[1][j] = vzero();
    for (int64_t r = 0; r < rows; r++) {
        const nn_real *xr = x[r], *yr = dy[r];
        int64_t i = 0;

        for (; i + GRAD_PIXELS <= n; i += GRAD_PIXELS)
            grad_block(k, s, GRAD_PIXELS, xr + i * s * VEC, yr + i * VEC, a);
        for (; i < n; i++)
            grad_block(k, s, 1, xr + i * s * VEC, yr + i * VEC, a);
    }
    UNROLL
    for (int j = 0; j < k; j++)
        vstore(acc + j * VEC, vload(acc + j * VEC) + (a[0][j] + a[1][j]));
}

#define GRAD(k, s)                                                                                           \
    static void grad_##k##_##s(const nn_real *const *x, const nn_real *const *dy, int64_t rows, int64_t n,   \
                               nn_real *acc)                                                                 \
    {                                                                                                        \
        grad_any(k, s, x, dy, rows, n, acc);                                                                 \
    }
GRAD(3, 1)
GRAD(5, 1)
GRAD(3, 2)
GRAD(5, 2)

static void grad_plain(const nni_conv_geometry *g, const nn_real *const *x, const nn_real *const *dy,
                       int64_t rows, int64_t n, nn_real *acc)
{
    int64_t s = g->stride * VEC;

    for (int64_t j = 0; j < g->kw; j++) {
        vec a = vzero(), b = a, c = a, e = a;

        for (int64_t r = 0; r < rows; r++) {
            const nn_real *xr = x[r] + j * g->dilation * VEC, *yr = dy[r];
            int64_t i = 0;

            for (; i + 4 <= n; i += 4, xr += 4 * s, yr += 4 * VEC) {
                a += vload(xr) * vload(yr);
                b += vload(xr + s) * vload(yr + VEC);
                c += vload(xr + 2 * s) * vload(yr + 2 * VEC);
                e += vload(xr + 3 * s) * vload(yr + 3 * VEC);
            }
            for (; i < n; i++, xr += s, yr += VEC)
                a += vload(xr) * vload(yr);
        }
        vstore(acc + j * VEC, vload(acc + j * VEC) + ((a + b) + (c + e)));
    }
}

static grad_fn *grad_of(const nni_conv_geometry *g)
{
    if (!row_of(g))
        return NULL;
    return g->kw == 3 ? (g->stride == 1 ? grad_3_1 : grad_3_2) : (g->stride == 1 ? grad_5_1 : grad_5_2);
}

/* ------------------------------------------------------------ rows of memory */

/* What will be needed soon: the next row of the input, and the rows that the steps after this one
 * read (`load`) and write (`store`). Filling the rings is the only part that waits for memory, and the
 * activations leave room for it; with channels far apart the hardware's own prefetching is no help. */
struct soon {
    const elem *next, *load[2], *store;
    int64_t step;
};

static inline void fetch(const struct soon *s, int64_t at)
{
    __builtin_prefetch(s->next + at);
    __builtin_prefetch(s->load[0] + at);
    __builtin_prefetch(s->load[1] + at);
    __builtin_prefetch(s->store + at, 1);
}

/* n pixels of `step` elements (of VEC, if they are `made` and not activations in memory) to pixels of VEC,
 * through the affine and the activation: values to `a`, derivatives of the activation to `slope`. */
INLINE void activate(int act, int grad, int made, const void *x, int64_t step, int64_t n, vec mean, vec scale,
                     vec beta, nn_real *a, nn_real *slope, const struct soon *soon)
{
    for (int64_t i = 0; i < n; i++) {
        vec in = made ? vload((const nn_real *)x + i * VEC) : eload((const elem *)x + i * step);
        vec z = scale * (in - mean) + beta, v, g;

        fetch(soon, i * soon->step);
        v = vact_slope(act, z, &g);
        vstore(a + i * VEC, v);
        if (grad)
            vstore(slope + i * VEC, g);
    }
}

static void activate_row(int act, int made, const void *x, int64_t step, int64_t n, vec mean, vec scale,
                         vec beta, nn_real *a, nn_real *slope, const struct soon *soon)
{
#define CASE(name)                                                                                           \
    case name:                                                                                               \
        if (made && slope)                                                                                   \
            activate(name, 1, 1, x, step, n, mean, scale, beta, a, slope, soon);                             \
        else if (made)                                                                                       \
            activate(name, 0, 1, x, step, n, mean, scale, beta, a, NULL, soon);                              \
        else if (slope)                                                                                      \
            activate(name, 1, 0, x, step, n, mean, scale, beta, a, slope, soon);                             \
        else                                                                                                 \
            activate(name, 0, 0, x, step, n, mean, scale, beta, a, NULL, soon);                              \
        break;
    switch (act) {
        CASE(NN_ACT_RELU)
        CASE(NN_ACT_RELU6)
        CASE(NN_ACT_SILU)
        CASE(NN_ACT_SIGMOID)
        CASE(NN_ACT_NONE)
    }
#undef CASE
}

/* The first `lanes` elements of n pixels into pixels of VEC. */
static void gather(const elem *x, int64_t step, int64_t n, int lanes, nn_real *out, const struct soon *soon)
{
    if (lanes == VEC)
        for (int64_t i = 0; i < n; i++) {
            vstore(out + i * VEC, eload(x + i * step));
            fetch(soon, i * soon->step);
        }
    else
        for (int64_t i = 0; i < n; i++)
            vstore(out + i * VEC, eload_part(x + i * step, lanes));
}

/* --------------------------------------------------------------- the tile */

struct tile {
    const struct nni_depthwise *d;
    int64_t image, channel, vectors, number;
    int64_t unit, units;
    nn_real *xs, *slopes, *ys; /* rings */
    nn_real *made;             /* ring of rows that were made by a product, as they were before the affine */
    nn_real *row, *spare;      /* one padded input row; two unpadded rows */
    nn_real *sum;              /* [vectors][sums][VEC] */
    const nn_real **in, **wt;  /* lists of rows */
    int64_t *x_slot, *y_slot;  /* where a row lies in its ring */
    int64_t next_x, next_y;    /* rows below are in the rings */
    int64_t sums;
};

static nn_real *take(char **lane, int64_t count)
{
    nn_real *at = (nn_real *)(void *)*lane;

    *lane += (count * (int64_t)sizeof(nn_real) + 63) / 64 * 64;
    return at;
}

static inline nn_real *x_row(const struct tile *t, int64_t v, int64_t row)
{
    const struct nni_depthwise *d = t->d;

    return t->xs + (v * d->x_rows + t->x_slot[row]) * d->x_width * VEC;
}

static inline nn_real *slope_row(const struct tile *t, int64_t v, int64_t row)
{
    const struct nni_depthwise *d = t->d;

    return t->slopes + (v * d->x_rows + t->x_slot[row]) * d->g.w * VEC;
}

static inline nn_real *made_row(const struct tile *t, int64_t v, int64_t row)
{
    const struct nni_depthwise *d = t->d;

    return t->made + (v * d->x_rows + t->x_slot[row]) * d->g.w * VEC;
}

static inline nn_real *y_row(const struct tile *t, int64_t v, int64_t row)
{
    const struct nni_depthwise *d = t->d;

    return t->ys + (v * d->y_rows + t->y_slot[row]) * d->y_width * VEC;
}

static inline int lanes_of(const struct tile *t, int64_t v)
{
    return (int)least(VEC, t->d->g.c - t->channel - v * VEC);
}

static inline int64_t x_offset(const struct tile *t, int64_t v, int64_t row)
{
    const nni_conv_geometry *g = &t->d->g;

    return ((t->image * g->h + row) * g->w) * g->c + t->channel + v * VEC;
}

static inline int64_t y_offset(const struct tile *t, int64_t v, int64_t row)
{
    const nni_conv_geometry *g = &t->d->g;

    return ((t->image * g->oh + row) * g->ow) * g->c + t->channel + v * VEC;
}

/* Row r of a ring of `depth` rows lies at r modulo depth; divisions are too slow for where it is needed. */
static void number_rows(int64_t *slot, int64_t rows, int64_t depth)
{
    for (int64_t r = 0, at = 0; r < rows; r++) {
        slot[r] = at;
        at = at + 1 < depth ? at + 1 : 0;
    }
}

static void open_tile(struct tile *t, const struct nni_depthwise *d, int64_t number, char *lane,
                      bool backward)
{
    const nni_conv_geometry *g = &d->g;
    int64_t vectors = d->block / VEC, rest = number / d->blocks;

    t->d = d;
    t->number = number;
    t->channel = number % d->blocks * d->block;
    t->vectors = (least(d->block, g->c - t->channel) + VEC - 1) / VEC;
    t->unit = rest % d->bands * d->band;
    t->units = least(d->band, d->units - t->unit);
    t->image = rest / d->bands;
    t->sums = backward ? g->kh * g->kw + 3 : 4;
    t->sum = take(&lane, vectors * t->sums * VEC);
    t->xs = take(&lane, vectors * d->x_rows * d->x_width * VEC);
    t->row = take(&lane, d->x_width * VEC);
    t->spare = take(&lane, 2 * most(g->w, g->ow) * VEC);
    t->slopes = t->ys = t->made = NULL;
    if (backward && d->inner)
        t->made = take(&lane, vectors * d->x_rows * g->w * VEC);
    if (backward) {
        t->slopes = take(&lane, vectors * d->x_rows * g->w * VEC);
        t->ys = take(&lane, vectors * d->y_rows * d->y_width * VEC);
    }
    t->in = (const nn_real **)(void *)lane;
    t->wt = t->in + 2 * most(g->kh, d->step);
    t->x_slot = (int64_t *)(void *)(t->wt + 2 * most(g->kh, d->step));
    t->y_slot = t->x_slot + g->h;
    number_rows(t->x_slot, g->h, d->x_rows);
    if (backward)
        number_rows(t->y_slot, g->oh, d->y_rows);
    memset(t->sum, 0, (size_t)(vectors * t->sums * VEC) * sizeof(nn_real));
    t->next_x = t->next_y = 0;
}

/* Zeros left and right of the rows of a ring; fills never touch them. */
static void pad_ring(nn_real *ring, int64_t rows, int64_t width, int64_t left, int64_t inner)
{
    for (int64_t r = 0; r < rows; r++, ring += width * VEC) {
        memset(ring, 0, (size_t)(left * VEC) * sizeof *ring);
        memset(ring + (left + inner) * VEC, 0, (size_t)((width - left - inner) * VEC) * sizeof *ring);
    }
}

static struct soon soon_after(const struct tile *t, int64_t v, int64_t row, const elem *x)
{
    const struct nni_depthwise *d = t->d;
    const nni_conv_geometry *g = &d->g;
    int64_t next = row + 1 < g->h ? g->w * g->c : 0;
    struct soon s = { .next = x + next, .load = { x + next, x + next }, .store = x + next, .step = g->c };

    if (d->dx)
        s.store = (const elem *)d->dx + (x - (const elem *)d->x);
    if (row % g->stride == 0 && row / g->stride < g->oh) {
        int64_t same = y_offset(t, v, row / g->stride);

        if (d->y)
            s.store = (const elem *)d->y + same;
        if (d->dy)
            s.load[0] = (const elem *)d->dy + same;
        if (d->dvar)
            s.load[1] = (const elem *)d->y_value + same;
    }
    return s;
}

/* a[i] = sum over the inner channels of x[i] times one or two vectors of the matrix, for p pixels. */
INLINE void expand_block(int p, int vectors, const elem *x, const nn_real *w, int64_t inner,
                         nn_real *const *out, int64_t at)
{
    vec a[2][PIXELS];

    UNROLL
    for (int i = 0; i < p; i++)
        a[0][i] = a[1][i] = vzero();
    for (int64_t j = 0; j < inner; j++) {
        vec w0 = vload(w + j * VEC), w1 = vectors > 1 ? vload(w + (inner + j) * VEC) : vzero();

        UNROLL
        for (int i = 0; i < p; i++) {
            vec e = eset(x + i * inner + j);

            a[0][i] += e * w0;
            if (vectors > 1)
                a[1][i] += e * w1;
        }
    }
    UNROLL
    for (int i = 0; i < p; i++) {
        vstore(out[0] + (at + i) * VEC, a[0][i]);
        if (vectors > 1)
            vstore(out[1] + (at + i) * VEC, a[1][i]);
    }
}

INLINE void expand_any(int vectors, const elem *x, const nn_real *w, int64_t inner, int64_t n,
                       nn_real *const *out)
{
    int64_t i = 0;

    for (; i + EXPAND_PIXELS <= n; i += EXPAND_PIXELS)
        expand_block(EXPAND_PIXELS, vectors, x + i * inner, w, inner, out, i);
    for (; i < n; i++)
        expand_block(1, vectors, x + i * inner, w, inner, out, i);
}

static void expand_1(const elem *x, const nn_real *w, int64_t inner, int64_t n, nn_real *const *out)
{
    expand_any(1, x, w, inner, n, out);
}

static void expand_2(const elem *x, const nn_real *w, int64_t inner, int64_t n, nn_real *const *out)
{
    expand_any(2, x, w, inner, n, out);
}

/* One input row of the ring, made from the row of x that is multiplied. */
static void make_row(struct tile *t, int64_t row, bool slopes)
{
    const struct nni_depthwise *d = t->d;
    int64_t w = d->g.w;
    const elem *x = (const elem *)d->x + (t->image * d->g.h + row) * w * d->inner;
    const struct soon nothing = { .next = x, .load = { x, x }, .store = x };
    int64_t some;

    for (int64_t v = 0; v < t->vectors; v += some) {
        nn_real *out[2] = { t->spare, t->spare + w * VEC };

        some = least(2, t->vectors - v);
        for (int64_t i = 0; t->made && i < some; i++)
            out[i] = made_row(t, v + i, row);
        (some > 1 ? expand_2 : expand_1)(x, d->expand + (t->channel + v * VEC) * d->inner, d->inner, w, out);
        for (int64_t i = 0; i < some; i++) {
            int64_t at = t->channel + (v + i) * VEC;
            int lanes = lanes_of(t, v + i);

            activate_row(d->act, 1, out[i], VEC, w, vload_some(d->mean + at, lanes),
                         vload_some(d->scale + at, lanes),
                         d->beta ? vload_some(d->beta + at, lanes) : vzero(),
                         x_row(t, v + i, row) + d->g.pad_left * VEC, slopes ? slope_row(t, v + i, row) : NULL,
                         &nothing);
        }
    }
}

/* Brings input rows up to `end` into the ring; rows before `begin` are not needed. */
static void fill_x(struct tile *t, int64_t begin, int64_t end, bool slopes)
{
    const struct nni_depthwise *d = t->d;
    int64_t c = d->g.c, w = d->g.w, row = most(most(begin, 0), t->next_x);

    for (end = least(end, d->g.h); row < end; row++) {
        if (d->inner) {
            make_row(t, row, slopes);
            continue;
        }
        for (int64_t v = 0; v < t->vectors; v++) {
            const elem *x = (const elem *)d->x + x_offset(t, v, row);
            nn_real *a = x_row(t, v, row) + d->g.pad_left * VEC;
            int lanes = lanes_of(t, v);
            int64_t at = t->channel + v * VEC;
            struct soon soon = soon_after(t, v, row, x);

            if (!d->mean) {
                gather(x, c, w, lanes, a, &soon);
                continue;
            }
            if (lanes < VEC) {
                gather(x, c, w, lanes, t->spare, &soon);
                soon = (struct soon){ .next = x, .load = { x, x }, .store = x };
            }
            activate_row(d->act, lanes < VEC, lanes < VEC ? (const void *)t->spare : x, c, w,
                         vload_some(d->mean + at, lanes), vload_some(d->scale + at, lanes),
                         d->beta ? vload_some(d->beta + at, lanes) : vzero(), a,
                         slopes ? slope_row(t, v, row) : NULL, &soon);
        }
    }
    t->next_x = most(t->next_x, end);
}

/* ---------------------------------------------------------------- forward */

/* Mean and squared distances of rows [begin, end), whose sum is known, into those of the tile. */
static void count_rows(struct tile *t, int64_t v, int64_t begin, int64_t end, const nn_real *total)
{
    const nni_conv_geometry *g = &t->d->g;
    nn_real *s = t->sum + v * t->sums * VEC;
    nn_real n = (nn_real)((end - begin) * g->ow), before = s[3 * VEC], all = before + n;
    vec mean = vload(total) / vset(n), m2 = vzero(), off = vzero(), delta;
    int lanes = lanes_of(t, v);

    for (int64_t row = begin; row < end; row++) {
        const elem *y = (const elem *)t->d->y + y_offset(t, v, row);
        vec a = vzero(), b = vzero(), p = vzero(), q = vzero();
        int64_t i = 0;

        if (lanes == VEC)
            for (; i + 2 <= g->ow; i += 2) {
                vec e = eload(y + i * g->c) - mean, f = eload(y + (i + 1) * g->c) - mean;

                a += e * e;
                b += f * f;
                p += e;
                q += f;
            }
        for (; i < g->ow; i++) {
            vec e = eload_some(y + i * g->c, lanes) - mean;

            a += e * e;
            p += e;
        }
        m2 += a + b;
        off += p + q;
    }
    /* What rounding left in the mean. */
    m2 -= off * off / vset(n);
    mean += off / vset(n);
    delta = mean - vload(s + VEC);
    vstore(s + VEC, vload(s + VEC) + delta * vset(n / all));
    vstore(s + 2 * VEC, vload(s + 2 * VEC) + m2 + delta * delta * vset(before * (n / all)));
    s[3 * VEC] = all;
}

static void forward(const struct nni_depthwise *d, int64_t number, void *lane)
{
    const nni_conv_geometry *g = &d->g;
    row_fn *fast = row_of(g);
    struct tile t;
    nn_real init[VEC] __attribute__((aligned(64)));

    open_tile(&t, d, number, lane, false);
    pad_ring(t.xs, t.vectors * d->x_rows, d->x_width, d->g.pad_left, g->w);
    for (int64_t u = t.unit; u < t.unit + t.units; u += d->step) {
        int64_t begin, end;

        nni_depthwise_rows(d, u, least(d->step, t.unit + t.units - u), false, &begin, &end);
        if (begin == end)
            continue;
        fill_x(&t, begin * g->stride - g->pad_top,
               (end - 1) * g->stride - g->pad_top + (g->kh - 1) * g->dilation + 1, false);
        for (int64_t v = 0; v < t.vectors; v++) {
            const nn_real *weight = d->weight + (t.channel + v * VEC) * g->kh * g->kw;
            nn_real *sum = t.sum + v * t.sums * VEC;
            int lanes = lanes_of(&t, v);

            vstore(init, d->bias ? vload_some(d->bias + t.channel + v * VEC, lanes) : vzero());
            vstore(sum, vzero());
            for (int64_t row = begin; row < end; row++) {
                elem *y = (elem *)d->y + y_offset(&t, v, row);
                /* Rows are computed in nn_real: where they lie in memory as something else they are put there
                 * afterwards. */
                bool direct = lanes == VEC && sizeof *y == sizeof(nn_real);
                nn_real *out = direct ? (nn_real *)(void *)y : t.spare;
                int64_t step = direct ? g->c : VEC, rows = 0;

                for (int64_t i = 0; i < g->kh; i++) {
                    int64_t r = row * g->stride - g->pad_top + i * g->dilation;

                    if (r < 0 || r >= g->h)
                        continue;
                    t.in[rows] = x_row(&t, v, r);
                    t.wt[rows++] = weight + i * g->kw * VEC;
                }
                if (fast)
                    fast(t.in, t.wt, rows, g->ow, init, out, step, sum);
                else
                    row_plain(g, t.in, t.wt, rows, g->ow, init, out, step, sum);
                if (!direct)
                    for (int64_t i = 0; i < g->ow; i++)
                        estore_some(y + i * g->c, vload(t.spare + i * VEC), lanes);
            }
            if (d->moments)
                count_rows(&t, v, begin, end, sum);
        }
    }
    if (d->moments)
        for (int64_t v = 0; v < t.vectors; v++)
            for (int i = 0; i < 2; i++)
                vstore(d->moments + (number * 2 + i) * d->block + v * VEC,
                       vload(t.sum + (v * t.sums + 1 + i) * VEC));
}

/* --------------------------------------------------------------- backward */

/* What the rows of y get of the gradients of its statistics, and of a mean over them: plus, factor*(y -
 * mean), and share*act'(scale*(y - pool_mean) + beta). */
struct shares {
    vec plus, factor, mean;
    vec share, pool_mean, scale, beta;
};

static struct shares shares_of(const struct tile *t, int64_t v)
{
    const struct nni_depthwise *d = t->d;
    const nni_conv_geometry *g = &d->g;
    const vec rows = vset((nn_real)(g->n * g->oh * g->ow));
    int64_t at = t->channel + v * VEC;
    int lanes = lanes_of(t, v);
    struct shares s = { .scale = vset(1) };

    if (d->dmean)
        s.plus = vload_some(d->dmean + at, lanes) / rows;
    if (d->dvar) {
        s.factor = vset(2) * (vload_some(d->dvar + at, lanes) / rows);
        s.mean = vload_some(d->y_mean + at, lanes);
    }
    if (d->pooled)
        s.share = vload_some(d->pooled + t->image * g->c + at, lanes) / vset((nn_real)(g->oh * g->ow));
    if (d->pooled && d->pool_mean) {
        s.pool_mean = vload_some(d->pool_mean + at, lanes);
        s.scale = vload_some(d->pool_scale + at, lanes);
        s.beta = d->pool_beta ? vload_some(d->pool_beta + at, lanes) : vzero();
        s.share *= s.scale;
    }
    return s;
}

/* One row of the total gradient of y: what came from behind, and the shares. dy or y may be NULL; act -1:
 * there is no mean. */
INLINE void total(const elem *dy, const elem *y, int act, int64_t step, int64_t n, int64_t ahead, int lanes,
                  const struct shares *s, nn_real *out)
{
    const struct shares k = *s;

    for (int64_t i = 0; i < n; i++) {
        vec g = k.plus;

        if (dy)
            g += eload_some(dy + i * step, lanes);
        if (dy && lanes == VEC)
            __builtin_prefetch(dy + i * step + ahead);
        if (y && lanes == VEC)
            __builtin_prefetch(y + i * step + ahead);
        if (y) {
            vec value = eload_some(y + i * step, lanes);

            g += k.factor * (value - k.mean);
            if (act >= 0)
                g += k.share * vact_grad(act, k.scale * (value - k.pool_mean) + k.beta);
        }
        vstore(out + i * VEC, g);
    }
}

/* Rows in [own, own_end) count for the bias. */
static void fill_y(struct tile *t, int64_t begin, int64_t end, int64_t own, int64_t own_end)
{
    const struct nni_depthwise *d = t->d;
    const nni_conv_geometry *g = &d->g;
    const elem *value = d->dvar || d->pooled ? d->y_value : NULL;
    const int act = d->pooled ? d->pool_act : -1;
    int64_t row = most(most(begin, 0), t->next_y);

    for (end = least(end, g->oh); row < end; row++)
        for (int64_t v = 0; v < t->vectors; v++) {
            int64_t from = y_offset(t, v, row), ahead = row + 1 < g->oh ? g->ow * g->c : 0;
            const elem *dy = d->dy ? (const elem *)d->dy + from : NULL, *y = value ? value + from : NULL;
            nn_real *out = y_row(t, v, row) + d->y_left * VEC;
            int lanes = lanes_of(t, v);
            struct shares s = shares_of(t, v);

            if (lanes < VEC)
                total(dy, y, act, g->c, g->ow, 0, lanes, &s, out);
            else if (dy && y && act == NN_ACT_SILU)
                total(dy, y, NN_ACT_SILU, g->c, g->ow, ahead, VEC, &s, out);
            else if (dy && y && act < 0)
                total(dy, y, -1, g->c, g->ow, ahead, VEC, &s, out);
            else
                total(dy, y, act, g->c, g->ow, ahead, VEC, &s, out);
            if (d->want_db && row >= own && row < own_end) {
                nn_real *sum = t->sum + (v * t->sums + g->kh * g->kw) * VEC;
                vec all = vzero();

                for (int64_t i = 0; i < g->ow; i++)
                    all += vload(out + i * VEC);
                vstore(sum, vload(sum) + all);
            }
        }
    t->next_y = most(t->next_y, end);
}

static void weight_gradient(struct tile *t, int64_t v, int64_t begin, int64_t end, grad_fn *fast)
{
    const struct nni_depthwise *d = t->d;
    const nni_conv_geometry *g = &d->g;

    for (int64_t i = 0; i < g->kh; i++) {
        nn_real *acc = t->sum + (v * t->sums + i * g->kw) * VEC;
        int64_t rows = 0;

        for (int64_t row = begin; row < end; row++) {
            int64_t r = row * g->stride - g->pad_top + i * g->dilation;

            if (r < 0 || r >= g->h)
                continue;
            t->in[rows] = x_row(t, v, r);
            t->wt[rows++] = y_row(t, v, row) + d->y_left * VEC;
        }
        if (fast)
            fast(t->in, t->wt, rows, g->ow, acc);
        else
            grad_plain(g, t->in, t->wt, rows, g->ow, acc);
    }
}

/* The gradient of the activated input row into t->row (from pad_left on): for each parity of columns,
 * a convolution of stride 1 of the output gradients with the taps that meet them. */
static void data_row_fast(struct tile *t, int64_t v, int64_t row)
{
    static const nn_real zero[VEC] __attribute__((aligned(64)));
    static row_fn *const fast[] = { NULL, row_1_1, row_2_1, row_3_1, NULL, row_5_1 };
    const struct nni_depthwise *d = t->d;
    const nni_conv_geometry *g = &d->g;
    const nn_real *weight = d->weight + (t->channel + v * VEC) * g->kh * g->kw;
    int64_t k = g->kw, s = g->stride, rows = 0, first[2], taps[2], from[2];
    nn_real sum[VEC] __attribute__((aligned(64)));

    /* Columns first, first+s, ... meet taps q, q+s, ...; the last of them comes first. */
    for (int64_t q = 0; q < s; q++) {
        first[q] = (q + s * g->pad_left - g->pad_left) % s;
        taps[q] = (k - q + s - 1) / s;
        from[q] = ((first[q] + g->pad_left - q) / s - (taps[q] - 1) + d->y_left) * VEC;
    }
    for (int64_t i = (row + g->pad_top) % s; i < k; i += s) {
        int64_t r = (row + g->pad_top - i) / s;

        if (row + g->pad_top < i || r >= g->oh)
            continue;
        for (int64_t q = 0; q < s; q++) {
            t->in[q * k + rows] = y_row(t, v, r) + from[q];
            t->wt[q * k + rows] = weight + (i * k + q * taps[0]) * VEC;
        }
        rows++;
    }
    memset(sum, 0, sizeof sum);
    for (int64_t q = 0; q < s; q++)
        fast[taps[q]](t->in + q * k, t->wt + q * k, rows, first[q] < g->w ? (g->w - first[q] + s - 1) / s : 0,
                      zero, t->row + (g->pad_left + first[q]) * VEC, s * VEC, sum);
}

static void data_row_plain(struct tile *t, int64_t v, int64_t row)
{
    const struct nni_depthwise *d = t->d;
    const nni_conv_geometry *g = &d->g;
    const nn_real *weight = d->weight + (t->channel + v * VEC) * g->kh * g->kw;

    memset(t->row, 0, (size_t)(d->x_width * VEC) * sizeof(nn_real));
    for (int64_t i = 0; i < g->kh; i++) {
        int64_t at = row + g->pad_top - i * g->dilation;

        if (at < 0 || at % g->stride || at / g->stride >= g->oh)
            continue;
        for (int64_t j = 0; j < g->kw; j++) {
            const nn_real *dy = y_row(t, v, at / g->stride) + d->y_left * VEC;
            nn_real *out = t->row + j * g->dilation * VEC;
            vec w = vload(weight + (i * g->kw + j) * VEC);

            for (int64_t x = 0; x < g->ow; x++, out += g->stride * VEC)
                vstore(out, vload(out) + w * vload(dy + x * VEC));
        }
    }
}

/* From the gradient of the activated row to that of the row itself and of the affine map. */
INLINE void finish(const struct tile *t, int64_t v, int64_t row, int lanes, bool affine, bool sums, elem *dx,
                   bool add)
{
    const struct nni_depthwise *d = t->d;
    int64_t c = d->g.c, w = d->g.w, at = t->channel + v * VEC;
    const nn_real *da = t->row + d->g.pad_left * VEC, *slope = affine ? slope_row(t, v, row) : NULL;
    const nn_real *made = t->made ? made_row(t, v, row) : NULL;
    const elem *x = sums && !made ? (const elem *)d->x + x_offset(t, v, row) : NULL;
    nn_real *sum = t->sum + (v * t->sums + d->g.kh * d->g.kw + 1) * VEC;
    vec mean = affine ? vload_some(d->mean + at, lanes) : vzero();
    vec scale = affine ? vload_some(d->scale + at, lanes) : vzero();
    vec dbeta = vzero(), dscale = vzero();

    for (int64_t i = 0; i < w; i++) {
        vec g = vload(da + i * VEC);

        if (affine)
            g *= vload(slope + i * VEC);
        if (sums) {
            dbeta += g;
            dscale += g * ((made ? vload(made + i * VEC) : eload_some(x + i * c, lanes)) - mean);
        }
        if (affine)
            g *= scale;
        if (dx && add)
            g += eload_some(dx + i * c, lanes);
        if (dx)
            estore_some(dx + i * c, g, lanes);
    }
    if (sums) {
        vstore(sum, vload(sum) + dbeta);
        vstore(sum + VEC, vload(sum + VEC) + dscale);
    }
}

static void finish_row(const struct tile *t, int64_t v, int64_t row)
{
    const struct nni_depthwise *d = t->d;
    elem *dx = d->dx ? (elem *)d->dx + x_offset(t, v, row) : NULL;
    int lanes = lanes_of(t, v);

    if (lanes < VEC)
        finish(t, v, row, lanes, d->mean != NULL, d->want_affine, dx, d->add_dx);
    else if (!d->mean)
        finish(t, v, row, VEC, false, false, dx, d->add_dx);
    else if (!dx)
        finish(t, v, row, VEC, true, true, NULL, false);
    else if (d->want_affine && !d->add_dx)
        finish(t, v, row, VEC, true, true, dx, false);
    else
        finish(t, v, row, VEC, true, d->want_affine, dx, d->add_dx);
}

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static void backward(const struct nni_depthwise *d, int64_t number, void *lane)
{
    const nni_conv_geometry *g = &d->g;
    int64_t reach = (g->kh - 1) * g->dilation, own, own_end;
    bool data = d->dx || d->want_affine;
    grad_fn *fast = grad_of(g);
    struct tile t;

    open_tile(&t, d, number, lane, true);
    if (d->want_dw)
        pad_ring(t.xs, t.vectors * d->x_rows, d->x_width, d->g.pad_left, g->w);
    pad_ring(t.ys, t.vectors * d->y_rows, d->y_width, d->y_left, g->ow);
    nni_depthwise_rows(d, t.unit, t.units, false, &own, &own_end);
    for (int64_t u = t.unit; u < t.unit + t.units; u += d->step) {
        int64_t units = least(d->step, t.unit + t.units - u), y0, y1, x0, x1;

        nni_depthwise_rows(d, u, units, false, &y0, &y1);
        nni_depthwise_rows(d, u, units, true, &x0, &x1);
        if (d->want_dw || (data && d->mean)) {
            int64_t begin = x0, end = x1;

            if (d->want_dw && y0 < y1) {
                begin = x0 < x1 ? least(begin, y0 * g->stride - g->pad_top) : y0 * g->stride - g->pad_top;
                end = most(end, (y1 - 1) * g->stride - g->pad_top + reach + 1);
            }
            fill_x(&t, begin, end, data && d->mean);
        }
        if (d->want_dw || data || d->want_db) {
            int64_t begin = y0, end = y1;

            if (data && x0 < x1) {
                int64_t low = -floor_div(reach - x0 - g->pad_top, g->stride);

                begin = y0 < y1 ? least(begin, low) : low;
                end = most(end, (x1 - 1 + g->pad_top) / g->stride + 1);
            }
            fill_y(&t, begin, end, own, own_end);
        }
        for (int64_t v = 0; v < t.vectors; v++) {
            if (d->want_dw)
                weight_gradient(&t, v, y0, y1, fast);
            for (int64_t row = x0; data && row < x1; row++) {
                if (fast)
                    data_row_fast(&t, v, row);
                else
                    data_row_plain(&t, v, row);
                finish_row(&t, v, row);
            }
        }
    }
    if (d->partial)
        for (int64_t i = 0; i < t.sums; i++)
            for (int64_t v = 0; v < t.vectors; v++)
                vstore(d->partial + (number * t.sums + i) * d->block + v * VEC,
                       vload(t.sum + (v * t.sums + i) * VEC));
}

static void pack(const struct nni_depthwise *d, const nn_real *weight, nn_real *packed, bool backward_order,
                 int64_t block)
{
    int64_t k = d->g.kw, kk = k * k, first = block * d->block, end = least(first + d->block, d->g.c);
    bool turn = backward_order && row_of(&d->g);

    for (int64_t c = first; c < end; c += VEC)
        for (int64_t i = 0; i < k; i++) {
            nn_real *out = packed + (c * kk + i * k * VEC);

            for (int64_t q = 0; q < (turn ? d->g.stride : 1); q++)
                for (int64_t n = 0, s = turn ? d->g.stride : 1, taps = (k - q + s - 1) / s; n < taps;
                     n++, out += VEC) {
                    int64_t j = turn ? q + s * (taps - 1 - n) : n;

                    for (int64_t e = 0; e < VEC; e++)
                        out[e] = c + e < end ? weight[(c + e) * kk + i * k + j] : 0;
                }
        }
}

static void pack_expand(const struct nni_depthwise *d, const nn_real *w, nn_real *packed, int64_t block)
{
    int64_t first = block * d->block, end = least(first + d->block, d->g.c);

    for (int64_t c = first; c < end; c += VEC)
        for (int64_t j = 0; j < d->inner; j++)
            for (int64_t e = 0; e < VEC; e++)
                packed[c * d->inner + j * VEC + e] = c + e < end ? w[(c + e) * d->inner + j] : 0;
}

const struct nni_depthwise_kernels NNI_NAME(nni_depthwise) = { VEC, pack, pack_expand, forward, backward };
