/* SPDX-License-Identifier: MIT
 *
 * softmax.c and log_softmax.c on the GPU: a block takes a row. Results may lie over what they are made of:
 * a thread reads and writes the same columns.
 */
#include "cuda/block.h"

namespace
{

template <bool LOGARITHM>
__global__ void __launch_bounds__(NNI_THREADS) forward_kernel(const float *x, float *y, int64_t cols)
{
    int64_t first = blockIdx.x * cols;
    double most = nni_largest::start(), sum = 0;
    float top;

    for (int64_t c = threadIdx.x; c < cols; c += blockDim.x)
        most = nni_largest::join(most, static_cast<double>(x[first + c]));
    top = static_cast<float>(nni_block_join<nni_largest>(most));
    for (int64_t c = threadIdx.x; c < cols; c += blockDim.x)
        sum += static_cast<double>(expf(x[first + c] - top));
    sum = nni_block_join<nni_adding>(sum);
    for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
        float z = x[first + c] - top;

        y[first + c] = LOGARITHM ? z - static_cast<float>(log(sum)) : expf(z) * static_cast<float>(1 / sum);
    }
}

template <bool LOGARITHM>
__global__ void __launch_bounds__(NNI_THREADS)
    backward_kernel(const float *y, const float *dy, float *dx, int64_t cols, bool add)
{
    int64_t first = blockIdx.x * cols;
    double sum = 0;

    for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
        double d = static_cast<double>(dy[first + c]);

        sum += LOGARITHM ? d : d * static_cast<double>(y[first + c]);
    }
    sum = nni_block_join<nni_adding>(sum);
    for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
        double d = static_cast<double>(dy[first + c]);
        float at = y[first + c];

        nni_put(dx + first + c, add,
                static_cast<float>(LOGARITHM ? d - static_cast<double>(expf(at)) * sum
                                             : static_cast<double>(at) * (d - sum)));
    }
}

dim3 grid_of(nn_shape x) { return dim3(static_cast<unsigned>(nni_rows_of(x))); }

template <bool LOGARITHM> int forward_launch(const nn_step *s, void *stream)
{
    nn_shape x = s->in[0].shape;

    return nni_launch(stream, grid_of(x), nni_block_of(nni_cols(x)), forward_kernel<LOGARITHM>,
                      nni_at(&s->in[0]), nni_at(&s->out[0]), nni_cols(x));
}

template <bool LOGARITHM> int backward_launch(const nn_step *s, void *stream)
{
    nn_shape x = s->din[0].shape;

    return nni_launch(stream, grid_of(x), nni_block_of(nni_cols(x)), backward_kernel<LOGARITHM>,
                      nni_at(&s->out[0]), nni_at(&s->dout[0]), nni_at(&s->din[0]), nni_cols(x),
                      nni_adds(s, 0));
}

int prepare(nn_step *s, nn_shape x, int (*launch)(const nn_step *, void *))
{
    s->flops = 4 * static_cast<double>(nn_shape_count(x));
    s->launch = launch;
    return NN_OK;
}

} // namespace

int nni_cuda_softmax_forward(nn_step *s) { return prepare(s, s->in[0].shape, forward_launch<false>); }
int nni_cuda_softmax_backward(nn_step *s) { return prepare(s, s->din[0].shape, backward_launch<false>); }
int nni_cuda_log_softmax_forward(nn_step *s) { return prepare(s, s->in[0].shape, forward_launch<true>); }
int nni_cuda_log_softmax_backward(nn_step *s) { return prepare(s, s->din[0].shape, backward_launch<true>); }
