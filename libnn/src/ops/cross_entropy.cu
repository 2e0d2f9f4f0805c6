/* SPDX-License-Identifier: MIT
 *
 * cross_entropy.c on the GPU: a block takes a row of logits, its threads columns, and everything is summed in
 * double in the order of threads. One more thread adds up the rows.
 */
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

enum { LOGITS, TARGET, WEIGHTS, THREADS = 64 };

/* What rows are compared with, see cross_entropy.c: q[r,c] = w[c]*((1-s)*target + s/C). */
struct target {
    const int *index; /* or */
    const float *chance;
    const float *weight; /* NULL: ones */
    int64_t classes;
    nni_cross_entropy a;

    __device__ bool ignored(int64_t r) const { return a.ignore && index[r] == a.ignore_index; }
    __device__ int64_t of(int64_t r) const
    {
        int64_t y = index ? index[r] : -1;

        return y >= 0 && y < classes ? y : -1;
    }
    __device__ double share(int64_t r, int64_t y, int64_t c) const
    {
        double t = index ? static_cast<double>(c == y) : static_cast<double>(chance[r * classes + c]);
        double q = (1 - a.smoothing) * t + a.smoothing / static_cast<double>(classes);

        return weight ? q * static_cast<double>(weight[c]) : q;
    }
};

int64_t classes_of(nn_shape z) { return z.dim[z.rank - 1]; }
int64_t rows_of(nn_shape z) { return nn_shape_count(z) / classes_of(z); }

target target_of(const nn_step *s)
{
    bool indices = s->in[TARGET].type == NN_I32;

    return { indices ? static_cast<const int *>(s->in[TARGET].at) : nullptr,
             indices ? nullptr : nni_at(&s->in[TARGET]), nni_at(&s->in[WEIGHTS]),
             classes_of(s->in[LOGITS].shape), *static_cast<const nni_cross_entropy *>(s->attrs) };
}

/* The sum of all threads' values, for all of them. */
__device__ inline double block_sum(double *all, double value)
{
    double sum = 0;

    __syncthreads();
    all[threadIdx.x] = value;
    __syncthreads();
    for (int i = 0; i < THREADS; i++)
        sum += all[i];
    return sum;
}

__global__ void __launch_bounds__(THREADS)
    rows_kernel(const float *logits, target t, float *saved, double *losses, double *divisors)
{
    int64_t r = blockIdx.x, y = t.of(r);
    const float *z = logits + r * t.classes;
    double total = 0, loss = 0, most, offset;

    NNI_SHARED(double, all, THREADS);
    NNI_SHARED(float, top, THREADS);
    top[threadIdx.x] = z[0];
    for (int64_t c = threadIdx.x; c < t.classes; c += THREADS)
        top[threadIdx.x] = z[c] > top[threadIdx.x] ? z[c] : top[threadIdx.x];
    __syncthreads();
    most = static_cast<double>(top[0]);
    for (int i = 1; i < THREADS; i++)
        most = static_cast<double>(top[i]) > most ? static_cast<double>(top[i]) : most;
    for (int64_t c = threadIdx.x; c < t.classes; c += THREADS)
        total += exp(static_cast<double>(z[c]) - most);
    offset = most + log(block_sum(all, total));
    for (int64_t c = threadIdx.x; c < t.classes; c += THREADS) {
        double l = static_cast<double>(z[c]) - offset, q = t.share(r, y, c);

        if (q != 0 || !t.index || isnan(l))
            loss -= q * l;
        if (saved)
            saved[r * t.classes + c] = static_cast<float>(l);
    }
    loss = block_sum(all, loss);
    if (threadIdx.x)
        return;
    losses[r] = t.ignored(r) ? 0 : loss;
    divisors[r] = t.ignored(r) ? 0
                  : !t.index   ? 1
                  : y < 0      ? nan("")
                  : t.weight   ? static_cast<double>(t.weight[y])
                               : 1;
}

struct merger {
    const double *losses, *divisors;
    int64_t rows;
    float *loss, *divisor;

    __device__ void operator()(int64_t) const
    {
        double sum = 0, by = 0;

        for (int64_t r = 0; r < rows; r++) {
            sum += losses[r];
            by += divisors[r];
        }
        *loss = static_cast<float>(sum / by);
        if (divisor)
            *divisor = static_cast<float>(by);
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    int64_t rows = rows_of(s->in[LOGITS].shape);
    double *losses = static_cast<double *>(s->scratch), *divisors = losses + rows;
    int e = nni_launch(stream, dim3(static_cast<unsigned>(rows)), dim3(THREADS), rows_kernel,
                       nni_at(&s->in[LOGITS]), target_of(s), nni_at(&s->save[0]), losses, divisors);

    return e ? e
             : nni_map(stream, 1, merger{ losses, divisors, rows, nni_at(&s->out[0]), nni_at(&s->save[1]) });
}

__global__ void __launch_bounds__(THREADS)
    backward_kernel(const float *saved, const float *divisor, const float *dloss, target t, float *dz,
                    float *dt, bool add_z, bool add_t)
{
    int64_t r = blockIdx.x, y = t.of(r);
    double factor = static_cast<double>(*dloss) / static_cast<double>(*divisor), total = 0;
    const float *l = saved + r * t.classes;

    NNI_SHARED(double, all, THREADS);
    for (int64_t c = threadIdx.x; c < t.classes; c += THREADS)
        total += t.share(r, y, c);
    total = block_sum(all, total);
    for (int64_t c = threadIdx.x; c < t.classes; c += THREADS) {
        double weight = t.weight ? static_cast<double>(t.weight[c]) : 1, lc = static_cast<double>(l[c]);

        if (dz)
            nni_put(dz + r * t.classes + c, add_z,
                    t.ignored(r) ? 0 : static_cast<float>(factor * (exp(lc) * total - t.share(r, y, c))));
        if (dt)
            nni_put(dt + r * t.classes + c, add_t,
                    static_cast<float>(-factor * (1 - t.a.smoothing) * weight * lc));
    }
}

nn_shape shape_of(const nn_step *s)
{
    return nn_has(&s->din[LOGITS]) ? s->din[LOGITS].shape : s->din[TARGET].shape;
}

int backward_launch(const nn_step *s, void *stream)
{
    return nni_launch(stream, dim3(static_cast<unsigned>(rows_of(shape_of(s)))), dim3(THREADS),
                      backward_kernel, nni_at(&s->save[0]), nni_at(&s->save[1]), nni_at(&s->dout[0]),
                      target_of(s), nni_at(&s->din[LOGITS]), nni_at(&s->din[TARGET]), nni_adds(s, LOGITS),
                      nni_adds(s, TARGET));
}

} // namespace

int nni_cuda_cross_entropy_forward(nn_step *s)
{
    s->scratch_bytes = 2 * static_cast<size_t>(rows_of(s->in[LOGITS].shape)) * sizeof(double);
    s->flops = 6 * static_cast<double>(nn_shape_count(s->in[LOGITS].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_cross_entropy_backward(nn_step *s)
{
    if (nn_has(&s->din[WEIGHTS]) || (nn_has(&s->din[TARGET]) && s->in[TARGET].type != NN_F32))
        return NN_EUNSUPPORTED;
    s->flops = 6 * static_cast<double>(nn_shape_count(shape_of(s)));
    s->launch = backward_launch;
    return NN_OK;
}
