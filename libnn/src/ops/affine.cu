/* SPDX-License-Identifier: MIT
 *
 * affine.c on the GPU: what slots do, as an op of its own.
 */
#include "cuda/slots.h"

namespace
{

enum { X, MEAN };

nni_split split_of(const nn_step *s)
{
    return nni_split_of(nni_rows_of(s->in[X].shape), nni_cols(s->in[X].shape), 1);
}

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nni_reading r = nni_reading_of(s, MEAN, 0, 0);
    nni_split split = split_of(s);

    return nni_cuda_read<T>(stream, &r, &split, nni_at<T>(&s->in[X]), nullptr, nni_at<T>(&s->out[0]));
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nni_unreading<T> u = nni_unreading_of<T>(s, MEAN, 0, 0);
    nni_split split = split_of(s);

    u.da = nni_at<T>(&s->dout[0]);
    return nni_cuda_unread(stream, &u, &split, static_cast<float *>(s->scratch));
}

} // namespace

int nni_cuda_affine_forward(nn_step *s)
{
    s->flops = 3 * static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[X]);
    return NN_OK;
}

int nni_cuda_affine_backward(nn_step *s)
{
    nni_split split = split_of(s);

    s->scratch_bytes = static_cast<size_t>(nni_unread_floats(s, MEAN, 0, &split)) * sizeof(float);
    s->flops = 5 * static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = NNI_FOR_TYPE(backward_launch, s->in[X]);
    return NN_OK;
}
