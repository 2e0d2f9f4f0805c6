/* SPDX-License-Identifier: MIT
 *
 * moments.c on the GPU.
 */
#include "cuda/slots.h"

namespace
{

int64_t rows_of(const nn_step *s) { return nni_rows_of(s->in[0].shape); }
int64_t cols_of(const nn_step *s) { return nni_cols(s->in[0].shape); }

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    return nni_cuda_moments(stream, nni_at<T>(&s->in[0]), rows_of(s), cols_of(s),
                            static_cast<float *>(s->scratch), nni_at(&s->out[0]), nni_at(&s->out[1]));
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    return nni_cuda_total<T>(stream, nullptr, nni_at(&s->dout[0]), nni_at(&s->dout[1]), nni_at<T>(&s->in[0]),
                             nni_at(&s->out[0]), rows_of(s), cols_of(s), nni_at<T>(&s->din[0]),
                             nni_adds(s, 0));
}

} // namespace

int nni_cuda_moments_forward(nn_step *s)
{
    s->scratch_bytes = static_cast<size_t>(nni_moments_floats(rows_of(s), cols_of(s))) * sizeof(float);
    s->flops = 5 * static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[0]);
    return NN_OK;
}

int nni_cuda_moments_backward(nn_step *s)
{
    s->flops = 3 * static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = NNI_FOR_TYPE(backward_launch, s->in[0]);
    return NN_OK;
}
