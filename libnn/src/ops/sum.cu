/* SPDX-License-Identifier: MIT
 *
 * sum.c and mean.c on the GPU.
 */
#include "cuda/axes.h"

namespace
{

/* choice[0]: the divisor. */
int forward_launch(const nn_step *s, void *stream)
{
    return nni_fold_all<nni_adding>(
        stream, nni_axes_fold(s), static_cast<double *>(s->scratch), nni_axes_element{ nni_at(&s->in[0]) },
        nni_axes_quotient{ nni_at(&s->out[0]), static_cast<double>(s->choice[0]) });
}

struct share {
    const float *dy;
    float factor;

    __device__ float operator()(int64_t, int64_t k) const { return dy[k] * factor; }
};

int backward_launch(const nn_step *s, void *stream)
{
    return nni_axes_back(
        s, stream, share{ nni_at(&s->dout[0]), static_cast<float>(1 / static_cast<double>(s->choice[0])) });
}

int forward(nn_step *s, int64_t divisor)
{
    s->choice[0] = divisor;
    s->scratch_bytes = static_cast<size_t>(nni_axes_fold(s).partials()) * sizeof(double);
    s->flops = static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int backward(nn_step *s, int64_t divisor)
{
    s->choice[0] = divisor;
    s->launch = backward_launch;
    return NN_OK;
}

} // namespace

int nni_cuda_sum_forward(nn_step *s) { return forward(s, 1); }
int nni_cuda_sum_backward(nn_step *s) { return backward(s, 1); }
int nni_cuda_mean_forward(nn_step *s) { return forward(s, nni_axes_each(s)); }
int nni_cuda_mean_backward(nn_step *s) { return backward(s, nni_axes_each(s)); }
