/* SPDX-License-Identifier: MIT
 *
 * See weight.h.
 */
#include "cuda/weight.h"

namespace
{

struct rounder {
    const float *from;
    nni_bf16 *to;
    int64_t cols, stride;

    __device__ void operator()(int64_t i) const
    {
        int64_t r = i / stride, c = i % stride;

        to[i] = static_cast<nni_bf16>(c < cols ? from[r * cols + c] : 0.0f);
    }
};

int64_t rows_of(const nn_step *s) { return s->in[NNI_WEIGHT].shape.dim[0]; }
int64_t cols_of(const nn_step *s)
{
    return rows_of(s) > 0 ? nn_shape_count(s->in[NNI_WEIGHT].shape) / rows_of(s) : 0;
}

int launch(const nn_step *s, void *stream)
{
    int64_t stride = nni_stride_of(NN_BF16, cols_of(s));

    return nni_map(
        stream, rows_of(s) * stride,
        rounder{ nni_at(&s->in[NNI_WEIGHT]), static_cast<nni_bf16 *>(s->derived.at), cols_of(s), stride });
}

/* Channels last. */
template <class T> struct turner {
    const float *from;
    T *to;
    int64_t taps, channels;

    __device__ void operator()(int64_t i) const
    {
        int64_t c = i % channels, t = i / channels % taps, o = i / channels / taps;

        to[i] = static_cast<T>(from[(o * channels + c) * taps + t]);
    }
};

template <class T> int turn_launch(const nn_step *s, void *stream)
{
    nn_shape w = s->in[NNI_WEIGHT].shape;

    return nni_map(stream, nn_shape_count(w),
                   turner<T>{ nni_at(&s->in[NNI_WEIGHT]), static_cast<T *>(s->derived.at),
                              w.dim[2] * w.dim[3], w.dim[1] });
}

} // namespace

void nni_need_weight(nn_step *s)
{
    if (s->in[0].type != NN_BF16)
        return;
    s->derived.bytes =
        static_cast<size_t>(rows_of(s) * nni_stride_of(NN_BF16, cols_of(s))) * sizeof(nni_bf16);
    s->derived.reads = NN_IN(NNI_WEIGHT);
    s->derived.launch = launch;
}

void nni_need_weight_images(nn_step *s)
{
    s->derived.bytes =
        static_cast<size_t>(nn_shape_count(s->in[NNI_WEIGHT].shape)) * nn_dtype_size(s->in[0].type);
    s->derived.reads = NN_IN(NNI_WEIGHT);
    s->derived.launch = NNI_FOR_TYPE(turn_launch, s->in[0]);
}
