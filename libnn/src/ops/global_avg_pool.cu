/* SPDX-License-Identifier: MIT
 *
 * global_avg_pool.c on the GPU: sums of an image's rows, and back the same for all of them.
 */
#include "cuda/slots.h"

namespace
{

enum { X, MEAN };

nni_split split_of(nn_shape x) { return nni_split_of(nni_rows_of(x), nni_cols(x), x.dim[0]); }

template <class T> struct summer {
    enum { SUMS = 1 };
    nni_reading r;
    const T *x;
    int64_t cols;
    float mean, scale, beta;

    __device__ void enter(int64_t, int64_t c)
    {
        mean = r.mean ? r.mean[c] : 0;
        scale = r.mean ? r.scale[c] : 1;
        beta = r.beta ? r.beta[c] : 0;
    }
    __device__ void row(int64_t i, int64_t c, float *sum)
    {
        float a = static_cast<float>(x[i * cols + c]);

        sum[0] += r.mean ? nni_act(r.act, scale * (a - mean) + beta) : a;
    }
};

struct divider {
    float *y;
    int64_t area, cols;

    __device__ void operator()(int64_t group, int64_t c, const double *sum) const
    {
        y[group * cols + c] = static_cast<float>(sum[0] / static_cast<double>(area));
    }
};

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nni_split split = split_of(s->in[X].shape);
    summer<T> f = { nni_reading_of(s, MEAN, 0, 0), nni_at<T>(&s->in[X]), split.cols, 0, 0, 0 };
    float *partial = static_cast<float *>(s->scratch);
    int e = nni_rows(stream, split, f, partial);

    return e ? e : nni_merge<1>(stream, partial, split, divider{ nni_at(&s->out[0]), split.per, split.cols });
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nni_unreading<T> u = nni_unreading_of<T>(s, MEAN, 0, 0);
    nni_split split = split_of(s->in[X].shape);

    u.reading.factor = static_cast<float>(1 / static_cast<double>(split.per));
    u.of_image = nni_at(&s->dout[0]);
    return nni_cuda_unread(stream, &u, &split, static_cast<float *>(s->scratch));
}

} // namespace

int nni_cuda_global_avg_pool_forward(nn_step *s)
{
    nni_split split = split_of(s->in[X].shape);

    s->scratch_bytes = static_cast<size_t>(split.parts() * split.cols) * sizeof(float);
    s->flops = static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[X]);
    return NN_OK;
}

int nni_cuda_global_avg_pool_backward(nn_step *s)
{
    nni_split split = split_of(s->in[X].shape);

    s->scratch_bytes = static_cast<size_t>(nni_unread_floats(s, MEAN, 0, &split)) * sizeof(float);
    s->flops = static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = NNI_FOR_TYPE(backward_launch, s->in[X]);
    return NN_OK;
}
