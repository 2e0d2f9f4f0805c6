/* SPDX-License-Identifier: MIT
 *
 * variance.c on the GPU: the mean first, then distances from it.
 */
#include "cuda/axes.h"

namespace
{

double divisor_of(const nn_step *s)
{
    return static_cast<double>(nni_axes_each(s) - nni_axes_of(s)->correction);
}

struct square {
    const float *x, *mean;

    __device__ float operator()(int64_t i, int64_t k) const
    {
        float d = x[i] - mean[k];

        return d * d;
    }
};

/* The mean lies in save[0], in a graph without gradients too: in scratch otherwise. */
struct parts {
    double *partial;
    float *mean;
    size_t bytes;
};

parts parts_of(const nn_step *s)
{
    nni_fold fold = nni_axes_fold(s);
    nni_layout l = nni_scratch(s);
    parts p = {};

    p.partial = l.take<double>(fold.partials());
    p.mean = nn_has(&s->save[0]) ? nni_at(&s->save[0]) : l.take<float>(fold.kept);
    p.bytes = l.bytes;
    return p;
}

int forward_launch(const nn_step *s, void *stream)
{
    nni_fold fold = nni_axes_fold(s);
    parts p = parts_of(s);
    const float *x = nni_at(&s->in[0]);
    int e = nni_fold_all<nni_adding>(stream, fold, p.partial, nni_axes_element{ x },
                                     nni_axes_quotient{ p.mean, static_cast<double>(nni_axes_each(s)) });

    return e ? e
             : nni_fold_all<nni_adding>(stream, fold, p.partial, square{ x, p.mean },
                                        nni_axes_quotient{ nni_at(&s->out[0]), divisor_of(s) });
}

struct slope {
    const float *x, *mean, *dy;
    float factor;

    __device__ float operator()(int64_t i, int64_t k) const { return factor * dy[k] * (x[i] - mean[k]); }
};

int backward_launch(const nn_step *s, void *stream)
{
    return nni_axes_back(s, stream,
                         slope{ nni_at(&s->in[0]), nni_at(&s->save[0]), nni_at(&s->dout[0]),
                                static_cast<float>(2 / divisor_of(s)) });
}

} // namespace

int nni_cuda_variance_forward(nn_step *s)
{
    s->scratch_bytes = parts_of(s).bytes;
    s->flops = 4 * static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_variance_backward(nn_step *s)
{
    s->flops = 3 * static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = backward_launch;
    return NN_OK;
}
