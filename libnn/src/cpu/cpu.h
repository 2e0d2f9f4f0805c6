/* SPDX-License-Identifier: MIT
 *
 * The CPU backend's table of kernels. Each file of simd/ exports one table of functions for each
 * instruction set; a device points at one struct nni_cpu, chosen when it is opened. Ops reach
 * their hot loops through step->device->cpu and stay portable themselves.
 */
#ifndef NNI_CPU_H
#define NNI_CPU_H

#include "core/core.h"
#include "cpu/ceiling.h"
#include "cpu/depthwise.h"
#include "cpu/function.h"
#include "cpu/gemm.h"
#include "cpu/pointwise.h"
#include "cpu/pool.h"
#include "cpu/rows.h"
#include "cpu/winograd.h"

/* How activations lie in memory: kernels that touch them are there once for each (see simd/vec.h). */
enum { NNI_STORED_REAL, NNI_STORED_BF16, NNI_STORED };

struct nni_cpu {
    const char *name;
    const struct nni_gemm_kernels *gemm[NNI_STORED];
    const struct nni_depthwise_kernels *depthwise[NNI_STORED];
    const struct nni_pointwise_kernels *pointwise[NNI_STORED];
    const struct nni_winograd_kernels *winograd[NNI_STORED];
    const struct nni_pool_kernels *pool;
    const struct nni_row_kernels *row;
    const struct nni_function_kernels *function;
    const struct nni_ceiling_kernels *ceiling;
};

extern const struct nni_backend nni_cpu_backend;
int nni_cpu_open(nn_device *d, const char *name, const nn_device_options *options, nn_message *why);
void nni_cpu_close(nn_device *d);

static inline const struct nni_cpu *nni_cpu_of(const nn_step *s) { return s->device->cpu; }

/* An op's activations are all stored like its first input, whose type is known in backward too. */
static inline int nni_stored(const nn_step *s) { return s->in[0].type == NN_BF16; }
static inline const struct nni_pointwise_kernels *nni_pointwise_of(const nn_step *s)
{
    return nni_cpu_of(s)->pointwise[nni_stored(s)];
}
static inline const struct nni_depthwise_kernels *nni_depthwise_of(const nn_step *s)
{
    return nni_cpu_of(s)->depthwise[nni_stored(s)];
}
/* Where element i of an operand lies; NULL for an absent one. */
static inline void *nni_at(const nn_operand *o, int64_t i)
{
    return nn_has(o) ? (char *)o->at + (size_t)i * nn_dtype_size(o->type) : NULL;
}

/* Splits `count` things into tiles of at least `least`, at most `most` tiles: a function of the
 * shape alone. Returns the number of tiles; *size is the things of each but the last. */
static inline int64_t nni_tiles(int64_t count, int64_t least, int64_t most, int64_t *size)
{
    int64_t n = least > 0 ? count / least : count;

    n = n < 1 ? 1 : n > most ? most : n;
    *size = (count + n - 1) / n;
    if (*size < 1)
        *size = 1;
    n = (count + *size - 1) / *size;
    return n < 1 ? 1 : n;
}

/* Rows and channels of an activation: [N,H,W,C] is N*H*W rows of C. */
static inline int64_t nni_channels(nn_shape s) { return s.rank ? s.dim[s.rank - 1] : 1; }
static inline int64_t nni_rows(nn_shape s)
{
    int64_t c = nni_channels(s), n = nn_shape_count(s);

    return c > 0 ? n / c : 0;
}

#endif
