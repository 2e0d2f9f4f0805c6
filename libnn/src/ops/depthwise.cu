/* SPDX-License-Identifier: MIT
 *
 * depthwise.c on the GPU. A thread has one channel: neighbouring threads read neighbouring addresses of
 * [N,H,W,C]. Forward and the gradient of x gather; the gradient of the weights sums over output pixels, all
 * taps at once for the kernels that networks have (3 and 5), tap by tap for others.
 */
#include "cuda/slots.h"

namespace
{

enum { X, WEIGHT, BIAS, MEAN };

nni_conv_geometry geometry(const nn_step *s)
{
    return nni_conv_of(static_cast<const nn_conv_opts *>(s->attrs), s->in[X].shape, s->in[WEIGHT].shape);
}
int64_t in_rows(const nni_conv_geometry *g) { return g->n * g->h * g->w; }
int64_t out_rows(const nni_conv_geometry *g) { return g->n * g->oh * g->ow; }

template <class T> struct forwarder {
    enum { SUMS = 0 };
    nni_conv_geometry g;
    const T *x;
    const float *weight, *bias;
    T *y;

    __device__ void enter(int64_t, int64_t) {}
    __device__ void row(int64_t r, int64_t c, float *)
    {
        int64_t q = r % g.ow, p = r / g.ow % g.oh, n = r / g.ow / g.oh;
        const float *w = weight + c * g.kh * g.kw;
        float sum = 0;

        for (int64_t i = 0; i < g.kh; i++) {
            int64_t y0 = p * g.stride - g.pad_top + i * g.dilation;

            for (int64_t j = 0; j < g.kw; j++) {
                int64_t x0 = q * g.stride - g.pad_left + j * g.dilation;

                if (y0 >= 0 && y0 < g.h && x0 >= 0 && x0 < g.w)
                    sum += w[i * g.kw + j] * static_cast<float>(x[((n * g.h + y0) * g.w + x0) * g.c + c]);
            }
        }
        y[r * g.c + c] = static_cast<T>(sum + (bias ? bias[c] : 0));
    }
};

template <class T> struct data_gradient {
    enum { SUMS = 0 };
    nni_conv_geometry g;
    const T *dy;
    const float *weight;
    T *dx;
    bool add;

    __device__ void enter(int64_t, int64_t) {}
    __device__ void row(int64_t r, int64_t c, float *)
    {
        int64_t z = r % g.w, y = r / g.w % g.h, n = r / g.w / g.h;
        const float *w = weight + c * g.kh * g.kw;
        float sum = 0;

        for (int64_t i = 0; i < g.kh; i++) {
            int64_t p = y + g.pad_top - i * g.dilation;

            if (p < 0 || p % g.stride || p / g.stride >= g.oh)
                continue;
            for (int64_t j = 0; j < g.kw; j++) {
                int64_t q = z + g.pad_left - j * g.dilation;

                if (q >= 0 && q % g.stride == 0 && q / g.stride < g.ow)
                    sum +=
                        w[i * g.kw + j] *
                        static_cast<float>(dy[((n * g.oh + p / g.stride) * g.ow + q / g.stride) * g.c + c]);
            }
        }
        nni_put(dx + r * g.c + c, add, sum);
    }
};

/* All taps of a K x K kernel, or (K 1) the single tap (i0, j0) of any. */
template <class T, int K> struct weight_gradient {
    enum { SUMS = K * K };
    nni_conv_geometry g;
    const T *x, *dy;
    int64_t i0, j0;

    __device__ void enter(int64_t, int64_t) {}
    __device__ void row(int64_t r, int64_t c, float *sum)
    {
        int64_t q = r % g.ow, p = r / g.ow % g.oh, n = r / g.ow / g.oh;
        float d = static_cast<float>(dy[r * g.c + c]);

        for (int i = 0; i < K; i++) {
            int64_t y0 = p * g.stride - g.pad_top + (i0 + i) * g.dilation;

            for (int j = 0; j < K; j++) {
                int64_t x0 = q * g.stride - g.pad_left + (j0 + j) * g.dilation;

                if (y0 >= 0 && y0 < g.h && x0 >= 0 && x0 < g.w)
                    sum[i * K + j] += d * static_cast<float>(x[((n * g.h + y0) * g.w + x0) * g.c + c]);
            }
        }
    }
};

template <int TAPS> struct merge_weight {
    float *dw;
    int64_t taps, first;
    bool add;

    __device__ void operator()(int64_t, int64_t c, const double *sum) const
    {
        for (int t = 0; t < TAPS; t++)
            nni_put(dw + c * taps + first + t, add, sum[t]);
    }
};

template <int K, class T>
int weight_taps(const nn_step *s, void *stream, const nni_conv_geometry *g, const T *a, const T *dy,
                int64_t i, int64_t j, float *partial)
{
    nni_split split = nni_split_of(out_rows(g), g->c, 1);
    weight_gradient<T, K> f = { *g, a, dy, i, j };
    merge_weight<K *K> merge = { nni_at(&s->din[WEIGHT]), g->kh * g->kw, i * g->kw + j, nni_adds(s, WEIGHT) };
    int e = nni_rows(stream, split, f, partial);

    return e ? e : nni_merge<K * K>(stream, partial, split, merge);
}

template <class T>
int weight_launch(const nn_step *s, void *stream, const nni_conv_geometry *g, const T *a, const T *dy,
                  float *partial)
{
    int e = 0;

    if (g->kh == 3)
        return weight_taps<3>(s, stream, g, a, dy, 0, 0, partial);
    if (g->kh == 5)
        return weight_taps<5>(s, stream, g, a, dy, 0, 0, partial);
    for (int64_t t = 0; !e && t < g->kh * g->kw; t++)
        e = weight_taps<1>(s, stream, g, a, dy, t / g->kw, t % g->kw, partial);
    return e;
}

template <class T> struct parts {
    T *a, *total;
    float *moments, *weight, *sums, *unread;
    size_t bytes;
};

bool has_moments(const nn_step *s) { return nn_has(&s->out[1]) || nn_has(&s->out[2]); }
bool wants_data(const nn_step *s) { return nn_has(&s->din[X]) || nni_unreads(s, MEAN, 0); }
nni_split read_split(const nni_conv_geometry *g) { return nni_split_of(in_rows(g), g->c, 1); }

template <class T> parts<T> forward_parts(const nn_step *s)
{
    nni_conv_geometry g = geometry(s);
    nni_layout l = nni_scratch(s);
    parts<T> p = {};

    if (nni_has_reading(s, MEAN, 0, 0))
        p.a = l.take<T>(in_rows(&g) * g.c);
    if (has_moments(s))
        p.moments = l.take<float>(nni_moments_floats(out_rows(&g), g.c));
    p.bytes = l.bytes;
    return p;
}

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nni_conv_geometry g = geometry(s);
    nni_reading r = nni_reading_of(s, MEAN, 0, 0);
    nni_split split = read_split(&g);
    parts<T> p = forward_parts<T>(s);
    const T *x = nni_at<T>(&s->in[X]);
    T *y = nni_at<T>(&s->out[0]);
    forwarder<T> f = { g, p.a ? p.a : x, nni_at(&s->in[WEIGHT]), nni_at(&s->in[BIAS]), y };
    int e = p.a ? nni_cuda_read<T>(stream, &r, &split, x, nullptr, p.a) : 0;

    if (!e)
        e = nni_rows(stream, nni_split_of(out_rows(&g), g.c, 1), f);
    if (!e && has_moments(s))
        e = nni_cuda_moments(stream, y, out_rows(&g), g.c, p.moments, nni_at(&s->out[1]), nni_at(&s->out[2]));
    return e;
}

double flops(const nni_conv_geometry *g)
{
    return 2.0 * static_cast<double>(out_rows(g) * g->c) * static_cast<double>(g->kh * g->kw);
}

/* `a` is first the input as it was read, then the gradient with respect to that. */
template <class T> parts<T> backward_parts(const nn_step *s)
{
    nni_conv_geometry g = geometry(s);
    nni_split split = read_split(&g);
    nni_layout l = nni_scratch(s);
    parts<T> p = {};
    int64_t taps = g.kh == 3 || g.kh == 5 ? g.kh * g.kh : 1;

    if (nni_needs_total(s))
        p.total = l.take<T>(out_rows(&g) * g.c);
    if (nni_has_reading(s, MEAN, 0, 0))
        p.a = l.take<T>(in_rows(&g) * g.c);
    if (nn_has(&s->din[WEIGHT]))
        p.weight = l.take<float>(nni_split_of(out_rows(&g), g.c, 1).chunks * taps * g.c);
    if (nn_has(&s->din[BIAS]))
        p.sums = l.take<float>(nni_sums_floats(out_rows(&g), g.c));
    p.unread = l.take<float>(nni_unread_floats(s, MEAN, 0, &split));
    p.bytes = l.bytes;
    return p;
}

template <class T>
int data_launch(const nn_step *s, void *stream, const nni_conv_geometry *g, const parts<T> *p, const T *dy)
{
    nni_unreading<T> u = nni_unreading_of<T>(s, MEAN, 0, 0);
    nni_split split = read_split(g);
    data_gradient<T> f = { *g, dy, nni_at(&s->in[WEIGHT]), p->a ? p->a : u.dx, !p->a && nni_adds(s, X) };
    int e = nni_rows(stream, split, f);

    u.da = p->a;
    return e || !p->a ? e : nni_cuda_unread(stream, &u, &split, p->unread);
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nni_conv_geometry g = geometry(s);
    nni_reading r = nni_reading_of(s, MEAN, 0, 0);
    nni_split split = read_split(&g);
    parts<T> p = backward_parts<T>(s);
    const T *x = nni_at<T>(&s->in[X]), *dy;
    int e = nni_cuda_gradient(s, stream, p.total, &dy);

    if (!e && nn_has(&s->din[WEIGHT]) && p.a)
        e = nni_cuda_read<T>(stream, &r, &split, x, nullptr, p.a);
    if (!e && nn_has(&s->din[WEIGHT]))
        e = weight_launch(s, stream, &g, p.a ? p.a : x, dy, p.weight);
    if (!e && nn_has(&s->din[BIAS]))
        e = nni_cuda_sums(stream, dy, out_rows(&g), g.c, p.sums, nni_at(&s->din[BIAS]), nni_adds(s, BIAS));
    if (!e && wants_data(s))
        e = data_launch(s, stream, &g, &p, dy);
    return e;
}

template <class T> int prepare_forward(nn_step *s)
{
    nni_conv_geometry g = geometry(s);

    s->scratch_bytes = forward_parts<T>(s).bytes;
    s->flops = flops(&g);
    s->launch = forward_launch<T>;
    return NN_OK;
}

template <class T> int prepare_backward(nn_step *s)
{
    nni_conv_geometry g = geometry(s);

    s->scratch_bytes = backward_parts<T>(s).bytes;
    s->flops = flops(&g) * (wants_data(s) + nn_has(&s->din[WEIGHT]));
    s->launch = backward_launch<T>;
    return NN_OK;
}

} // namespace

int nni_cuda_depthwise_forward(nn_step *s) { return NNI_FOR_TYPE(prepare_forward, s->in[X])(s); }
int nni_cuda_depthwise_backward(nn_step *s) { return NNI_FOR_TYPE(prepare_backward, s->in[X])(s); }
