/* SPDX-License-Identifier: MIT
 *
 * max_pool2d.c on the GPU: a thread takes an output, and backward an input, which looks for itself in the
 * windows that cover it.
 */
#include "cuda/kernel.h"
#include "ops/spans.h"

namespace
{

/* Of x [.,h,w,c] and y [.,oh,ow,c]. */
struct geometry {
    nni_pooling p;
    int64_t h, w, oh, ow, c;
};

geometry geometry_of(const nn_step *s, nn_shape x, nn_shape y)
{
    return { nni_pooling_of(static_cast<const nn_pool_opts *>(s->attrs)),
             x.dim[1],
             x.dim[2],
             y.dim[1],
             y.dim[2],
             x.dim[3] };
}

struct forwarder {
    geometry g;
    const float *x;
    float *y;
    int32_t *tap;

    __device__ void operator()(int64_t i) const
    {
        int64_t c = i % g.c, pixel = i / g.c, q = pixel % g.ow, p = pixel / g.ow % g.oh,
                n = pixel / g.ow / g.oh;
        int64_t top = p * g.p.stride - g.p.pad, left = q * g.p.stride - g.p.pad, at = -1;
        float most = 0;

        for (int64_t h = nni_window_begin(&g.p, p); h < nni_window_end(&g.p, g.h, p); h++)
            for (int64_t w = nni_window_begin(&g.p, q); w < nni_window_end(&g.p, g.w, q); w++) {
                float v = x[((n * g.h + h) * g.w + w) * g.c + c];

                if (at < 0 || v > most || isnan(v)) {
                    most = v;
                    at = (h - top) * g.p.k + w - left;
                }
            }
        y[i] = most;
        if (tap)
            tap[i] = static_cast<int32_t>(at);
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->out[0].shape),
                   forwarder{ geometry_of(s, s->in[0].shape, s->out[0].shape), nni_at(&s->in[0]),
                              nni_at(&s->out[0]), static_cast<int32_t *>(s->save[0].at) });
}

struct backwarder {
    geometry g;
    const float *dy;
    const int32_t *tap;
    float *dx;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        int64_t c = i % g.c, pixel = i / g.c, w = pixel % g.w, h = pixel / g.w % g.h, n = pixel / g.w / g.h;
        nni_span v = nni_windows_over(&g.p, h, g.oh), u = nni_windows_over(&g.p, w, g.ow);
        float sum = 0;

        for (int64_t p = v.begin; p < v.end; p++)
            for (int64_t q = u.begin; q < u.end; q++) {
                int64_t own = (h + g.p.pad - p * g.p.stride) * g.p.k + w + g.p.pad - q * g.p.stride;
                int64_t at = ((n * g.oh + p) * g.ow + q) * g.c + c;

                if (tap[at] == own)
                    sum += dy[at];
            }
        nni_put(dx + i, add, sum);
    }
};

int backward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->din[0].shape),
                   backwarder{ geometry_of(s, s->din[0].shape, s->dout[0].shape), nni_at(&s->dout[0]),
                               static_cast<const int32_t *>(s->save[0].at), nni_at(&s->din[0]),
                               nni_adds(s, 0) });
}

double comparisons(const nn_step *s, nn_shape y)
{
    nni_pooling p = nni_pooling_of(static_cast<const nn_pool_opts *>(s->attrs));

    return static_cast<double>(p.k * p.k) * static_cast<double>(nn_shape_count(y));
}

} // namespace

int nni_cuda_max_pool2d_forward(nn_step *s)
{
    s->flops = comparisons(s, s->out[0].shape);
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_max_pool2d_backward(nn_step *s)
{
    s->flops = comparisons(s, s->dout[0].shape);
    s->launch = backward_launch;
    return NN_OK;
}
