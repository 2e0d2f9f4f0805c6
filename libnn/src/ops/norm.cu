/* SPDX-License-Identifier: MIT
 *
 * norm.c on the GPU: a block takes a set, in double as there; the gradients of gamma and beta are sums over
 * rows (kernel.h).
 */
#include "cuda/block.h"

extern "C" {
#include "ops/norm.h"
}

namespace
{

enum { X, GAMMA, BETA };

/* x is [samples, places, groups*cols]; a set is a group of one sample. */
struct sets {
    int64_t places, groups, cols;

    __device__ int64_t size() const { return places * cols; }
    /* Element i of a set, and its channel. */
    __device__ int64_t element(int64_t set, int64_t i) const
    {
        return (set / groups * places + i / cols) * groups * cols + channel(set, i);
    }
    __device__ int64_t channel(int64_t set, int64_t i) const { return set % groups * cols + i % cols; }
    /* The set that row r and channel c belong to. */
    __device__ int64_t of(int64_t r, int64_t c) const { return r / places * groups + c / cols; }
};

const nni_norm_attrs *attrs_of(const nn_step *s) { return static_cast<const nni_norm_attrs *>(s->attrs); }

sets sets_of(const nn_step *s)
{
    const nni_norm_attrs *a = attrs_of(s);

    return { a->places, a->groups, nni_cols(s->in[X].shape) / a->groups };
}

int64_t count_of(const nn_step *s)
{
    return nni_rows_of(s->in[X].shape) / attrs_of(s)->places * attrs_of(s)->groups;
}

int64_t size_of(const nn_step *s) { return attrs_of(s)->places * sets_of(s).cols; }

__device__ inline double or_else(const float *at, int64_t i, double value)
{
    return at ? static_cast<double>(at[i]) : value;
}

__global__ void __launch_bounds__(NNI_THREADS)
    forward_kernel(sets v, const float *x, const float *gamma, const float *beta, double eps, float *y,
                   float *means, float *scales)
{
    int64_t set = blockIdx.x, size = v.size();
    double sum = 0, squares = 0, mean, scale;

    for (int64_t i = threadIdx.x; i < size; i += blockDim.x)
        sum += static_cast<double>(x[v.element(set, i)]);
    mean = nni_block_join<nni_adding>(sum) / static_cast<double>(size);
    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
        double d = static_cast<double>(x[v.element(set, i)]) - mean;

        squares += d * d;
    }
    scale = 1 / sqrt(nni_block_join<nni_adding>(squares) / static_cast<double>(size) + eps);
    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
        int64_t at = v.element(set, i), c = v.channel(set, i);
        double h = (static_cast<double>(x[at]) - mean) * scale;

        y[at] = static_cast<float>(h * or_else(gamma, c, 1) + or_else(beta, c, 0));
    }
    if (threadIdx.x == 0 && means) {
        means[set] = static_cast<float>(mean);
        scales[set] = static_cast<float>(scale);
    }
}

int forward_launch(const nn_step *s, void *stream)
{
    return nni_launch(stream, dim3(static_cast<unsigned>(count_of(s))), nni_block_of(size_of(s)),
                      forward_kernel, sets_of(s), nni_at(&s->in[X]), nni_at(&s->in[GAMMA]),
                      nni_at(&s->in[BETA]), attrs_of(s)->eps, nni_at(&s->out[0]), nni_at(&s->save[0]),
                      nni_at(&s->save[1]));
}

__global__ void __launch_bounds__(NNI_THREADS)
    data_kernel(sets v, const float *x, const float *gamma, const float *dy, const float *means,
                const float *scales, float *dx, bool add)
{
    int64_t set = blockIdx.x, size = v.size();
    double mean = static_cast<double>(means[set]), scale = static_cast<double>(scales[set]);
    double g = 0, gh = 0;

    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
        int64_t at = v.element(set, i);
        double d = static_cast<double>(dy[at]) * or_else(gamma, v.channel(set, i), 1);

        g += d;
        gh += d * (static_cast<double>(x[at]) - mean) * scale;
    }
    g = nni_block_join<nni_adding>(g) / static_cast<double>(size);
    gh = nni_block_join<nni_adding>(gh) / static_cast<double>(size);
    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
        int64_t at = v.element(set, i);
        double d = static_cast<double>(dy[at]) * or_else(gamma, v.channel(set, i), 1);
        double h = (static_cast<double>(x[at]) - mean) * scale;

        nni_put(dx + at, add, static_cast<float>(scale * (d - g - h * gh)));
    }
}

/* Sums of dy*h and of dy over all rows. */
struct summer {
    enum { SUMS = 2 };
    sets v;
    const float *x, *dy, *means, *scales;
    int64_t channels;

    __device__ void enter(int64_t, int64_t) {}
    __device__ void row(int64_t r, int64_t c, float *sum)
    {
        int64_t set = v.of(r, c), at = r * channels + c;

        sum[0] += dy[at] * ((x[at] - means[set]) * scales[set]);
        sum[1] += dy[at];
    }
};

struct merger {
    float *dgamma, *dbeta;
    bool add_gamma, add_beta;

    __device__ void operator()(int64_t, int64_t c, const double *sum) const
    {
        if (dgamma)
            nni_put(dgamma + c, add_gamma, sum[0]);
        if (dbeta)
            nni_put(dbeta + c, add_beta, sum[1]);
    }
};

bool wants_sums(const nn_step *s) { return nn_has(&s->din[GAMMA]) || nn_has(&s->din[BETA]); }

nni_split split_of(const nn_step *s)
{
    return nni_split_of(nni_rows_of(s->in[X].shape), nni_cols(s->in[X].shape), 1);
}

int sums_launch(const nn_step *s, void *stream)
{
    nni_split split = split_of(s);
    float *partial = static_cast<float *>(s->scratch);
    summer f = { sets_of(s),          nni_at(&s->in[X]),   nni_at(&s->dout[0]),
                 nni_at(&s->save[0]), nni_at(&s->save[1]), split.cols };
    int e = nni_rows(stream, split, f, partial);

    return e ? e
             : nni_merge<2>(stream, partial, split,
                            merger{ nni_at(&s->din[GAMMA]), nni_at(&s->din[BETA]), nni_adds(s, GAMMA),
                                    nni_adds(s, BETA) });
}

int backward_launch(const nn_step *s, void *stream)
{
    int e = wants_sums(s) ? sums_launch(s, stream) : 0;

    if (e || !nn_has(&s->din[X]))
        return e;
    return nni_launch(stream, dim3(static_cast<unsigned>(count_of(s))), nni_block_of(size_of(s)), data_kernel,
                      sets_of(s), nni_at(&s->in[X]), nni_at(&s->in[GAMMA]), nni_at(&s->dout[0]),
                      nni_at(&s->save[0]), nni_at(&s->save[1]), nni_at(&s->din[X]), nni_adds(s, X));
}

} // namespace

int nni_cuda_norm_forward(nn_step *s)
{
    s->flops = 7 * static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_norm_backward(nn_step *s)
{
    nni_split split = split_of(s);

    if (wants_sums(s))
        s->scratch_bytes = static_cast<size_t>(2 * split.parts() * split.cols) * sizeof(float);
    s->flops = 16 * static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = backward_launch;
    return NN_OK;
}
