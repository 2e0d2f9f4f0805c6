/* SPDX-License-Identifier: MIT
 *
 * See slots.h. Everything here is bound by memory traffic, so each functor touches an element once.
 */
#include "cuda/slots.h"

namespace
{

bool has(const nn_step *s, int i) { return i && nn_has(&s->in[i]); }

/* A column of the reading: what does not change from row to row. */
struct column {
    float mean, scale, beta, factor;

    __device__ void enter(const nni_reading &r, int64_t group, int64_t c, int64_t cols)
    {
        mean = r.mean ? r.mean[c] : 0;
        scale = r.mean ? r.scale[c] : 1;
        beta = r.beta ? r.beta[c] : 0;
        factor = r.factor;
        if (r.gate)
            factor *= r.gate[group * cols + c];
        if (r.mask)
            factor *= r.mask[group];
    }
};

template <class T> struct reader {
    enum { SUMS = 0 };
    nni_reading r;
    const T *x, *plus;
    T *y;
    int64_t cols;
    column k;

    __device__ void enter(int64_t group, int64_t c) { k.enter(r, group, c, cols); }
    __device__ void row(int64_t i, int64_t c, float *)
    {
        int64_t at = i * cols + c;
        float a = static_cast<float>(x[at]);

        if (r.mean)
            a = nni_act(r.act, k.scale * (a - k.mean) + k.beta);
        y[at] = static_cast<T>(k.factor * a + (plus ? static_cast<float>(plus[at]) : 0));
    }
};

/* -------------------------------------------------------------------- unread */

/* With `SUMS` 3: sum dz, sum dz*(x - mean), sum act(z)*da (without the gate). */
template <class T, int N> struct unreader {
    enum { SUMS = N };
    nni_unreading<T> u;
    int64_t cols;
    column k;
    float of_image;

    __device__ void enter(int64_t group, int64_t c)
    {
        k.enter(u.reading, group, c, cols);
        of_image = u.of_image ? u.of_image[group * cols + c] : 0;
    }
    __device__ void row(int64_t i, int64_t c, float *sum)
    {
        int64_t at = i * cols + c;
        float da = u.of_image ? of_image : static_cast<float>(u.da[at]), dz = k.factor * da;
        float x = u.x && (u.reading.mean || N) ? static_cast<float>(u.x[at]) : 0, d = x - k.mean, z = x;

        if (u.reading.mean) {
            z = k.scale * d + k.beta;
            dz *= nni_act_grad(u.reading.act, z);
        }
        if (u.dx)
            nni_put(u.dx + at, u.add_x, k.scale * dz);
        if (N) {
            sum[0] += dz;
            sum[N > 1 ? 1 : 0] += N > 1 ? dz * d : 0;
            sum[N > 2 ? 2 : 0] += N > 2 ? nni_act(u.reading.mean ? u.reading.act : NN_ACT_NONE, z) * da : 0;
        }
    }
};

/* All images' sums together. */
template <class T> struct merge_affine {
    nni_unreading<T> u;

    __device__ void operator()(int64_t, int64_t c, const double *sum) const
    {
        if (u.dmean)
            nni_put(u.dmean + c, u.add_mean, -static_cast<double>(u.reading.scale[c]) * sum[0]);
        if (u.dscale)
            nni_put(u.dscale + c, u.add_scale, sum[1]);
        if (u.dbeta)
            nni_put(u.dbeta + c, u.add_beta, sum[0]);
    }
};

template <class T> struct merge_gate {
    nni_unreading<T> u;
    int64_t cols;

    __device__ void operator()(int64_t group, int64_t c, const double *sum) const
    {
        nni_put(u.dgate + group * cols + c, u.add_gate, sum[2]);
    }
};

/* --------------------------------------------------------------------- total */

template <class T> struct totaller {
    enum { SUMS = 0 };
    const T *dy, *y;
    const float *dmean, *dvar, *mean;
    T *g;
    int64_t rows, cols;
    bool add;
    float shift, slope, centre;

    __device__ void enter(int64_t, int64_t c)
    {
        shift = dmean ? static_cast<float>(static_cast<double>(dmean[c]) / static_cast<double>(rows)) : 0;
        slope = dvar ? static_cast<float>(2 * static_cast<double>(dvar[c]) / static_cast<double>(rows)) : 0;
        centre = dvar ? mean[c] : 0;
    }
    __device__ void row(int64_t i, int64_t c, float *)
    {
        int64_t at = i * cols + c;

        nni_put(g + at, add,
                (dy ? static_cast<float>(dy[at]) : 0) + shift +
                    (dvar ? slope * (static_cast<float>(y[at]) - centre) : 0));
    }
};

/* -------------------------------------------------------------------- moments */

/* A part's mean and sum of squared distances: each line by Welford's recurrence, the lines in order by
 * Chan's. Means are distances from the column's first element, so that an offset costs no digits. */
template <class T>
__global__ void __launch_bounds__(NNI_COLUMNS *NNI_LINES)
    moments_kernel(const T *x, nni_split s, float *partial)
{
    int64_t c = s.column_of(blockIdx.x, threadIdx.x), part = s.part_of(blockIdx.x);
    int64_t row = part * s.each, end = row + s.each < s.per ? row + s.each : s.per, rows = end - row;
    unsigned me = threadIdx.y * NNI_COLUMNS + threadIdx.x;
    float origin = c < s.cols ? static_cast<float>(x[c]) : 0, mean = 0, m2 = 0, count = 0;

    NNI_SHARED(float, means, NNI_COLUMNS *NNI_LINES);
    NNI_SHARED(float, squares, NNI_COLUMNS *NNI_LINES);
    if (c < s.cols)
        for (row += threadIdx.y; row < end; row += NNI_LINES) {
            float value = static_cast<float>(x[row * s.cols + c]) - origin, d = value - mean;

            count += 1;
            mean += d / count;
            m2 += d * (value - mean);
        }
    means[me] = mean;
    squares[me] = m2;
    __syncthreads();
    if (threadIdx.y || c >= s.cols)
        return;
    for (int64_t line = 1; line < NNI_LINES && line < rows; line++) {
        float n = static_cast<float>((rows - line + NNI_LINES - 1) / NNI_LINES);
        float d = means[line * NNI_COLUMNS + threadIdx.x] - mean, share = n / (count + n);

        m2 += squares[line * NNI_COLUMNS + threadIdx.x] + d * d * count * share;
        mean += d * share;
        count += n;
    }
    partial[(2 * part) * s.cols + c] = mean;
    partial[(2 * part + 1) * s.cols + c] = m2;
}

/* What is known of `count` values: their mean and their squared distances from it. */
struct known {
    double mean, m2, count;

    __device__ void join(const known &more)
    {
        double d = more.mean - mean, share = more.count > 0 ? more.count / (count + more.count) : 0;

        m2 += more.m2 + d * d * count * share;
        mean += d * share;
        count += more.count;
    }
};

/* Each line joins every so-manieth part, then the lines are joined in order. */
template <class T>
__global__ void __launch_bounds__(NNI_COLUMNS *NNI_LINES)
    moments_merge_kernel(const T *x, const float *partial, nni_split s, float *mean, float *variance)
{
    int64_t c = s.column_of(blockIdx.x, threadIdx.x);
    known all = { 0, 0, 0 };

    NNI_SHARED(known, lines, NNI_COLUMNS * NNI_LINES);
    for (int64_t part = threadIdx.y; part < s.chunks && c < s.cols; part += blockDim.y) {
        int64_t first = part * s.each;

        all.join({ static_cast<double>(partial[2 * part * s.cols + c]),
                   static_cast<double>(partial[(2 * part + 1) * s.cols + c]),
                   static_cast<double>(first + s.each < s.per ? s.each : s.per - first) });
    }
    if (blockDim.y > 1) {
        lines[threadIdx.y * NNI_COLUMNS + threadIdx.x] = all;
        __syncthreads();
        for (unsigned line = 1; line < blockDim.y && threadIdx.y == 0; line++)
            all.join(lines[line * NNI_COLUMNS + threadIdx.x]);
    }
    if (threadIdx.y || c >= s.cols)
        return;
    if (mean)
        mean[c] = static_cast<float>(static_cast<double>(static_cast<float>(x[c])) + all.mean);
    if (variance)
        variance[c] = static_cast<float>(all.m2 / all.count);
}

/* ----------------------------------------------------------------- sums, bias */

template <class T> struct summer {
    enum { SUMS = 1 };
    const T *g;
    int64_t cols;

    __device__ void enter(int64_t, int64_t) {}
    __device__ void row(int64_t i, int64_t c, float *sum) { sum[0] += static_cast<float>(g[i * cols + c]); }
};
struct merge_sum {
    float *to;
    bool add;

    __device__ void operator()(int64_t, int64_t c, const double *sum) const { nni_put(to + c, add, sum[0]); }
};

template <class T> struct biaser {
    enum { SUMS = 0 };
    T *y;
    const float *bias;
    int64_t cols;
    float b;

    __device__ void enter(int64_t, int64_t c) { b = bias[c]; }
    __device__ void row(int64_t i, int64_t c, float *) { nni_put(y + i * cols + c, true, b); }
};

} // namespace

nni_reading nni_reading_of(const nn_step *s, int affine, int gate, int mask)
{
    nni_reading r = {};

    if (has(s, affine)) {
        r.mean = nni_at(&s->in[affine]);
        r.scale = nni_at(&s->in[affine + 1]);
        r.beta = nni_at(&s->in[affine + 2]);
        r.act = s->act;
    }
    r.gate = has(s, gate) ? nni_at(&s->in[gate]) : nullptr;
    r.mask = has(s, mask) ? nni_at(&s->in[mask]) : nullptr;
    r.factor = 1;
    return r;
}

bool nni_has_reading(const nn_step *s, int affine, int gate, int mask)
{
    return has(s, affine) || has(s, gate) || has(s, mask);
}

template <class T>
int nni_cuda_read(void *stream, const nni_reading *r, const nni_split *split, const T *x, const T *plus, T *y)
{
    reader<T> f = { *r, x, plus, y, split->cols, {} };

    return nni_rows(stream, *split, f);
}

bool nni_unreads(const nn_step *s, int affine, int gate)
{
    return (affine &&
            (nn_has(&s->din[affine]) || nn_has(&s->din[affine + 1]) || nn_has(&s->din[affine + 2]))) ||
           (gate && nn_has(&s->din[gate]));
}

template <class T> nni_unreading<T> nni_unreading_of(const nn_step *s, int affine, int gate, int mask)
{
    nni_unreading<T> u = {};

    u.reading = nni_reading_of(s, affine, gate, mask);
    u.x = nni_at<T>(&s->in[0]);
    u.dx = nni_at<T>(&s->din[0]);
    u.add_x = nni_adds(s, 0);
    if (affine) {
        u.dmean = nni_at(&s->din[affine]);
        u.dscale = nni_at(&s->din[affine + 1]);
        u.dbeta = nni_at(&s->din[affine + 2]);
        u.add_mean = nni_adds(s, affine);
        u.add_scale = nni_adds(s, affine + 1);
        u.add_beta = nni_adds(s, affine + 2);
    }
    u.dgate = gate ? nni_at(&s->din[gate]) : nullptr;
    u.add_gate = gate && nni_adds(s, gate);
    return u;
}

int64_t nni_unread_floats(const nn_step *s, int affine, int gate, const nni_split *split)
{
    return nni_unreads(s, affine, gate) ? 3 * split->parts() * split->cols : 0;
}

template <class T>
int nni_cuda_unread(void *stream, const nni_unreading<T> *u, const nni_split *split, float *scratch)
{
    int e;

    if (!u->dmean && !u->dscale && !u->dbeta && !u->dgate)
        return u->dx ? nni_rows(stream, *split, unreader<T, 0>{ *u, split->cols, {}, 0 }) : 0;
    e = nni_rows(stream, *split, unreader<T, 3>{ *u, split->cols, {}, 0 }, scratch);
    if (!e && (u->dmean || u->dscale || u->dbeta))
        e = nni_merge<3>(stream, scratch, nni_together(*split), merge_affine<T>{ *u });
    if (!e && u->dgate)
        e = nni_merge<3>(stream, scratch, *split, merge_gate<T>{ *u, split->cols });
    return e;
}

template <class T>
int nni_cuda_total(void *stream, const T *dy, const float *dmean, const float *dvar, const T *y,
                   const float *mean, int64_t rows, int64_t cols, T *g, bool add)
{
    totaller<T> f = { dy, y, dmean, dvar, mean, g, rows, cols, add, 0, 0, 0 };

    return nni_rows(stream, nni_split_of(rows, cols, 1), f);
}

bool nni_needs_total(const nn_step *s)
{
    return !nn_has(&s->dout[0]) || nn_has(&s->dout[1]) || nn_has(&s->dout[2]);
}

template <class T> int nni_cuda_gradient(const nn_step *s, void *stream, T *room, const T **g)
{
    nn_shape shape = nn_has(&s->out[0]) ? s->out[0].shape : s->dout[0].shape;
    const T *dy;

    *g = nni_at<T>(&s->dout[0]);
    if (!nni_needs_total(s))
        return 0;
    dy = *g;
    *g = room;
    return nni_cuda_total(stream, dy, nni_at(&s->dout[1]), nni_at(&s->dout[2]), nni_at<T>(&s->out[0]),
                          nni_at(&s->out[1]), nni_rows_of(shape), nni_cols(shape), room, false);
}

int64_t nni_moments_floats(int64_t rows, int64_t cols)
{
    return 2 * nni_split_of(rows, cols, 1).chunks * cols;
}

template <class T>
int nni_cuda_moments(void *stream, const T *x, int64_t rows, int64_t cols, float *scratch, float *mean,
                     float *variance)
{
    nni_split s = nni_split_of(rows, cols, 1);
    int e = nni_launch(stream, s.grid(), dim3(NNI_COLUMNS, NNI_LINES), moments_kernel<T>, x, s, scratch);

    return e ? e
             : nni_launch(stream, dim3(static_cast<unsigned>(s.tiles())), nni_merging_block(s.chunks),
                          moments_merge_kernel<T>, x, scratch, s, mean, variance);
}

int64_t nni_sums_floats(int64_t rows, int64_t cols) { return nni_split_of(rows, cols, 1).chunks * cols; }

template <class T>
int nni_cuda_sums(void *stream, const T *g, int64_t rows, int64_t cols, float *scratch, float *to, bool add)
{
    nni_split s = nni_split_of(rows, cols, 1);
    int e = nni_rows(stream, s, summer<T>{ g, cols }, scratch);

    return e ? e : nni_merge<1>(stream, scratch, s, merge_sum{ to, add });
}

template <class T> int nni_cuda_bias(void *stream, T *y, const float *bias, int64_t rows, int64_t cols)
{
    return nni_rows(stream, nni_split_of(rows, cols, 1), biaser<T>{ y, bias, cols, 0 });
}

#define INSTANCES(T)                                                                                         \
    template int nni_cuda_read<T>(void *, const nni_reading *, const nni_split *, const T *, const T *,      \
                                  T *);                                                                      \
    template nni_unreading<T> nni_unreading_of<T>(const nn_step *, int, int, int);                           \
    template int nni_cuda_unread<T>(void *, const nni_unreading<T> *, const nni_split *, float *);           \
    template int nni_cuda_total<T>(void *, const T *, const float *, const float *, const T *,               \
                                   const float *, int64_t, int64_t, T *, bool);                              \
    template int nni_cuda_gradient<T>(const nn_step *, void *, T *, const T **);                             \
    template int nni_cuda_moments<T>(void *, const T *, int64_t, int64_t, float *, float *, float *);        \
    template int nni_cuda_sums<T>(void *, const T *, int64_t, int64_t, float *, float *, bool);              \
    template int nni_cuda_bias<T>(void *, T *, const float *, int64_t, int64_t);
INSTANCES(float)
INSTANCES(nni_bf16)
