/* SPDX-License-Identifier: MIT
 *
 * What the .cu files of ops are made of. Three frames carry nearly all kernels, and an op says only what
 * happens to an element:
 *
 *     nni_map     y[i] for i < n
 *     nni_rows    a matrix [rows, cols], the channel as the column, row by row: what belongs to a column is
 *                 loaded once, and sums over rows can be taken on the way
 *     nni_merge   adds up what blocks of nni_rows have left, in their order, in double
 *
 * How a matrix is divided follows from its shape alone, and no two threads ever add to one place, so results
 * are the same to the bit in every run. A functor is a struct of pointers and numbers with __device__
 * methods; it is a kernel's argument and travels by value.
 *
 * Sources are CUDA C++ for nvcc and plain C++ for the tests' shim (tests/cuda_host).
 */
#ifndef NNI_KERNEL_H
#define NNI_KERNEL_H

#include "cuda/cuda.h"
#include "cuda/if_cuda.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* The other type in which activations are stored. Arithmetic is float: an element converts when it is loaded
 * and is rounded to nearest even when it is stored. Kernels are templates on the type T of the activations
 * that the op names in `narrow`; all else is float. */
typedef __nv_bfloat16 nni_bf16;

/* The function template `name` for the type of an operand. */
#define NNI_FOR_TYPE(name, operand) ((operand).type == NN_BF16 ? name<nni_bf16> : name<float>)

/* Shared memory of a block. The shim has its own, which it can watch. */
#ifndef NNI_SHARED
#define NNI_SHARED(type, name, count) __shared__ type name[count]
#endif

template <class T> struct nni_same {
    typedef T type;
};

/* Enqueues a kernel; an empty grid is no error. */
template <class... P>
static inline int nni_launch(void *stream, dim3 grid, dim3 block, void (*kernel)(P...),
                             typename nni_same<P>::type... args)
{
    cudaLaunchConfig_t config = {};

    if (!grid.x || !grid.y || !grid.z)
        return 0;
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = static_cast<cudaStream_t>(stream);
    return static_cast<int>(cudaLaunchKernelEx(&config, kernel, args...));
}

template <class T = float> static inline T *nni_at(const nn_operand *o)
{
    return nn_has(o) ? static_cast<T *>(o->at) : nullptr;
}
static inline bool nni_adds(const nn_step *s, int i) { return s->accumulate >> i & 1; }
static inline int64_t nni_cols(nn_shape s) { return s.rank ? s.dim[s.rank - 1] : 1; }
static inline int64_t nni_rows_of(nn_shape s)
{
    return nni_cols(s) > 0 ? nn_shape_count(s) / nni_cols(s) : 0;
}
static inline int64_t nni_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Where the parts of a step's scratch lie: call in the same order when it is sized (at compile time, without
 * memory) and when it is used. */
struct nni_layout {
    char *base;
    size_t bytes;

    template <class T> T *take(int64_t count)
    {
        T *at = base ? reinterpret_cast<T *>(base + bytes) : nullptr;

        bytes += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
        return at;
    }
};
static inline nni_layout nni_scratch(const nn_step *s) { return { static_cast<char *>(s->scratch), 0 }; }

/* -------------------------------------------------------------------- nni_map */

enum { NNI_THREADS = 256 };

template <class F> __global__ void __launch_bounds__(NNI_THREADS) nni_map_kernel(F f, int64_t n)
{
    int64_t i = static_cast<int64_t>(blockIdx.x) * NNI_THREADS + threadIdx.x;

    if (i < n)
        f(i);
}

/* f(i) for each i below n. */
template <class F> static inline int nni_map(void *stream, int64_t n, F f)
{
    dim3 grid(static_cast<unsigned>(nni_up(n, NNI_THREADS)));

    return nni_launch(stream, grid, dim3(NNI_THREADS), nni_map_kernel<F>, f, n);
}

/* ------------------------------------------------------------------- nni_rows */

enum { NNI_COLUMNS = 32, NNI_LINES = 8 }; /* of a block of threads */

/* `groups` groups (images, or one) of `per` rows; a block takes `each` rows of one group. */
struct nni_split {
    int64_t groups, per, each, chunks, cols; /* chunks: of a group */

    int64_t parts() const { return groups * chunks; }
    __host__ __device__ int64_t tiles() const { return (cols + NNI_COLUMNS - 1) / NNI_COLUMNS; }
    /* A block for each tile of each part: the first dimension of a grid is the only large one. */
    dim3 grid() const { return dim3(static_cast<unsigned>(parts() * tiles())); }
    __device__ int64_t part_of(unsigned block) const { return block / static_cast<unsigned>(tiles()); }
    __device__ int64_t column_of(unsigned block, unsigned thread) const
    {
        return block % static_cast<unsigned>(tiles()) * NNI_COLUMNS + thread;
    }
};

/* Enough blocks to fill a GPU, but no thread sums more than 64 rows in float. */
static inline nni_split nni_split_of(int64_t rows, int64_t cols, int64_t groups)
{
    nni_split s = { groups, groups > 0 ? rows / groups : 0, 0, 0, cols };
    int64_t tiles = nni_up(cols, NNI_COLUMNS) * groups;
    int64_t each = nni_up(nni_up(s.per * tiles, 2048), NNI_LINES) * NNI_LINES;

    s.each = each < 8 * NNI_LINES ? 8 * NNI_LINES : each > 64 * NNI_LINES ? 64 * NNI_LINES : each;
    s.chunks = nni_up(s.per, s.each);
    return s;
}

/* F has SUMS and
 *     void enter(int64_t group, int64_t c)        once for a thread: what belongs to the column
 *     void row(int64_t r, int64_t c, float *sum)  for each row; adds to sum[0..SUMS) */
template <class F>
__global__ void __launch_bounds__(NNI_COLUMNS *NNI_LINES) nni_rows_kernel(F f, nni_split s, float *partial)
{
    constexpr int SUMS = F::SUMS, ROOM = SUMS > 0 ? SUMS : 1, WHOLE = NNI_COLUMNS * NNI_LINES;
    int64_t c = s.column_of(blockIdx.x, threadIdx.x), part = s.part_of(blockIdx.x);
    int64_t group = part / s.chunks, first = group * s.per;
    int64_t row = (part - group * s.chunks) * s.each, end = row + s.each < s.per ? row + s.each : s.per;
    float sum[ROOM] = {};

    if (c < s.cols) {
        f.enter(group, c);
        for (row += threadIdx.y; row < end; row += NNI_LINES)
            f.row(first + row, c, sum);
    }
    if (SUMS > 0) {
        NNI_SHARED(float, all, ROOM *WHOLE);

        for (int k = 0; k < SUMS; k++)
            all[k * WHOLE + threadIdx.y * NNI_COLUMNS + threadIdx.x] = sum[k];
        __syncthreads();
        for (int k = threadIdx.y; k < SUMS && c < s.cols; k += NNI_LINES) {
            float total = 0;

            for (int line = 0; line < NNI_LINES; line++)
                total += all[k * WHOLE + line * NNI_COLUMNS + threadIdx.x];
            partial[(part * SUMS + k) * s.cols + c] = total;
        }
    }
}

/* partial: [parts][SUMS][cols], NULL without sums. */
template <class F> static inline int nni_rows(void *stream, const nni_split &s, F f, float *partial = nullptr)
{
    return nni_launch(stream, s.grid(), dim3(NNI_COLUMNS, NNI_LINES), nni_rows_kernel<F>, f, s, partial);
}

/* ------------------------------------------------------------------ nni_merge */

/* Threads that share the parts of one result: few parts are sooner added up by one. */
static inline dim3 nni_merging_block(int64_t chunks)
{
    return dim3(NNI_COLUMNS, chunks < 8 * NNI_LINES ? 1 : NNI_LINES);
}

/* G: void operator()(int64_t group, int64_t c, const double *sum). Each line takes every so-manieth part,
 * then the lines are added up in order. */
template <int SUMS, class G>
__global__ void __launch_bounds__(NNI_COLUMNS *NNI_LINES)
    nni_merge_kernel(G g, const float *partial, nni_split s)
{
    int64_t c = s.column_of(blockIdx.x, threadIdx.x), group = s.part_of(blockIdx.x);
    double sum[SUMS] = {};

    NNI_SHARED(double, all, NNI_COLUMNS *NNI_LINES);
    for (int64_t i = threadIdx.y; i < s.chunks && c < s.cols; i += blockDim.y)
        for (int k = 0; k < SUMS; k++)
            sum[k] += static_cast<double>(partial[((group * s.chunks + i) * SUMS + k) * s.cols + c]);
    for (int k = 0; k < SUMS && blockDim.y > 1; k++) {
        all[threadIdx.y * NNI_COLUMNS + threadIdx.x] = sum[k];
        __syncthreads();
        for (unsigned line = 1; line < blockDim.y && threadIdx.y == 0; line++)
            sum[k] += all[line * NNI_COLUMNS + threadIdx.x];
        __syncthreads();
    }
    if (threadIdx.y == 0 && c < s.cols)
        g(group, c, sum);
}

/* What nni_rows has left of `parts`: sums of each group's. */
template <int SUMS, class G>
static inline int nni_merge(void *stream, const float *partial, const nni_split &parts, G g)
{
    dim3 grid(static_cast<unsigned>(parts.groups * parts.tiles()));

    return nni_launch(stream, grid, nni_merging_block(parts.chunks), nni_merge_kernel<SUMS, G>, g, partial,
                      parts);
}

/* The same of all groups together. */
static inline nni_split nni_together(nni_split s)
{
    s.chunks = s.parts();
    s.groups = 1;
    return s;
}

/* ----------------------------------------------------------------- activations */

static __device__ inline float nni_sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* As on the CPU: a NaN stays one. */
static __device__ inline float nni_act(int act, float x)
{
    switch (act) {
    case NN_ACT_RELU: return x < 0 ? 0 : x;
    case NN_ACT_RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case NN_ACT_SILU: return x * nni_sigmoid(x);
    case NN_ACT_SIGMOID: return nni_sigmoid(x);
    default: return x;
    }
}

static __device__ inline float nni_act_grad(int act, float x)
{
    float s;

    switch (act) {
    case NN_ACT_RELU: return x > 0;
    case NN_ACT_RELU6: return x > 0 && x < 6;
    case NN_ACT_SILU: s = nni_sigmoid(x); return s * (1 + x * (1 - s));
    case NN_ACT_SIGMOID: s = nni_sigmoid(x); return s * (1 - s);
    default: return 1;
    }
}

/* A result that is written, or added to what is there. */
template <class T> static __device__ inline void nni_put(T *at, bool add, float x)
{
    *at = static_cast<T>(add ? static_cast<float>(*at) + x : x);
}
template <class T> static __device__ inline void nni_put(T *at, bool add, double x)
{
    *at = static_cast<T>(static_cast<float>(add ? static_cast<double>(static_cast<float>(*at)) + x : x));
}

#endif
