/* SPDX-License-Identifier: MIT
 *
 * max.c and min.c on the GPU.
 */
#include "cuda/axes.h"

namespace
{

float sign_of(const nn_step *s) { return nni_axes_of(s)->sign; }

struct signed_element {
    const float *x;
    float sign;

    __device__ float operator()(int64_t i, int64_t) const { return sign * x[i]; }
};

struct extreme {
    float *y;
    float sign;

    __device__ void operator()(int64_t k, double most) const { y[k] = sign * static_cast<float>(most); }
};

int forward_launch(const nn_step *s, void *stream)
{
    return nni_fold_all<nni_largest>(stream, nni_axes_fold(s), static_cast<double *>(s->scratch),
                                     signed_element{ nni_at(&s->in[0]), sign_of(s) },
                                     extreme{ nni_at(&s->out[0]), sign_of(s) });
}

/* Is element i the extreme one k? */
struct peak {
    const float *x, *y;

    __device__ float operator()(int64_t i, int64_t k) const { return x[i] == y[k]; }
};

/* dy divided by how many share it. */
struct sharer {
    const float *dy;
    float *share;

    __device__ void operator()(int64_t k, double count) const
    {
        share[k] = dy[k] / static_cast<float>(count);
    }
};

struct peak_share {
    peak is;
    const float *share;

    __device__ float operator()(int64_t i, int64_t k) const { return is(i, k) * share[k]; }
};

struct parts {
    double *partial;
    float *share;
    size_t bytes;
};

parts parts_of(const nn_step *s)
{
    nni_fold fold = nni_axes_fold(s);
    nni_layout l = nni_scratch(s);
    parts p = {};

    p.partial = l.take<double>(fold.partials());
    p.share = l.take<float>(fold.kept);
    p.bytes = l.bytes;
    return p;
}

int backward_launch(const nn_step *s, void *stream)
{
    peak is = { nni_at(&s->in[0]), nni_at(&s->out[0]) };
    parts p = parts_of(s);
    int e = nni_fold_all<nni_adding>(stream, nni_axes_fold(s), p.partial, is,
                                     sharer{ nni_at(&s->dout[0]), p.share });

    return e ? e : nni_axes_back(s, stream, peak_share{ is, p.share });
}

} // namespace

int nni_cuda_max_forward(nn_step *s)
{
    s->scratch_bytes = static_cast<size_t>(nni_axes_fold(s).partials()) * sizeof(double);
    s->flops = static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_max_backward(nn_step *s)
{
    s->scratch_bytes = parts_of(s).bytes;
    s->flops = 2 * static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = backward_launch;
    return NN_OK;
}
