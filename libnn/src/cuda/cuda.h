/* SPDX-License-Identifier: MIT
 *
 * The CUDA backend's own interface, for its C files and for the .cu files of ops: the device, matrix
 * products. Return values of what is enqueued are errors of the CUDA runtime, 0 being none.
 */
#ifndef NNI_CUDA_H
#define NNI_CUDA_H

#include <nn/optim.h>

#include <cuda_runtime_api.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "ops/conv.h"

struct nni_blas;
struct nni_dnn;

struct nni_cuda {
    int index;
    cudaStream_t stream; /* everything runs here ... */
    cudaStream_t feed;   /* ... but inputs come from the host on this one, beside the step before */
    struct nni_blas *blas;
    struct nni_dnn *dnn;            /* NULL until there is a convolution for it */
    size_t free_before, least_free; /* bytes of the GPU: before anything was allocated, and since then */
    char isa[16];                   /* "sm_90" */
};

/* Makes the device the calling thread's and returns it. */
struct nni_cuda *nni_cuda_of(const nn_device *d);
extern const struct nni_backend nni_cuda_backend;
/* Entries of that table, see core.h. */
void *nni_cuda_alloc(nn_device *d, size_t bytes);
void nni_cuda_free(nn_device *d, void *at);
void *nni_cuda_mirror(nn_device *d, void *at, size_t bytes); /* pinned memory */
void nni_cuda_unmirror(nn_device *d, void *mirror);
int nni_cuda_copy(nn_device *d, void *to, const void *from, size_t bytes);
int nni_cuda_fill(nn_device *d, void *at, int byte, size_t bytes);
size_t nni_cuda_peak(nn_device *d);
void nni_cuda_close(nn_device *d);

/* ---- blas.c: row-major C[m,n] = op(A)[m,k] op(B)[k,n] + beta*C by cuBLASLt, summed in fp32 ---- */

enum { NNI_ALIGNED = 64 }; /* every operand begins at a multiple of so many bytes */
/* Products of one shape in one call, and the elements from each one's matrices to the next one's. */
struct nni_batch {
    int64_t count; /* 0: one product */
    int64_t a, b, c;
};
struct nni_product {
    bool ta, tb; /* A is given as [k,m], B as [n,k] */
    int64_t m, n, k;
    int64_t lda, ldb, ldc; /* elements between rows as they are given */
    nn_dtype type, result; /* of A and B; of C: NN_F32 or NN_BF16 */
    int64_t alignment;     /* all addresses are multiples of so many bytes; a power of two */
    struct nni_batch batch;
};
int nni_blas_open(struct nni_blas **out, nn_message *why);
size_t nni_blas_version(const struct nni_blas *b); /* as cuBLASLt counts it */
void nni_blas_close(struct nni_blas *b);
/* Finds the algorithm: cuBLASLt's first choice for the shape. For prepare functions; NN_EUNSUPPORTED: none.
 */
int nni_product_ready(nn_device *d, const struct nni_product *p);
/* Enqueues a product that was found. */
int nni_product_run(nn_device *d, const struct nni_product *p, const void *a, const void *b, float beta,
                    void *c, void *stream);

/* ---- dnn.c: convolutions of [N,H,W,C] by cuDNN, where it is installed; weights [O,KH,KW,C/groups] ---- */

typedef enum nni_convolution_part {
    NNI_CONVOLVE,        /* of x and w: y */
    NNI_CONVOLVE_DATA,   /* of dy and w: dx */
    NNI_CONVOLVE_WEIGHT, /* of x and dy: dw */
    NNI_CONVOLVE_PARTS
} nni_convolution_part;

struct nni_convolution {
    nni_convolution_part part;
    nn_dtype type; /* of all three: NN_F32 or NN_BF16; sums are float */
    nni_conv_geometry g;
};
void nni_dnn_close(struct nni_dnn *b);
/* For prepare functions: the bytes that it works in. NN_EUNSUPPORTED: no cuDNN here, or not this one. */
int nni_convolution_ready(nn_device *d, const struct nni_convolution *c, size_t *workspace);
/* Enqueues what was found; its operands as listed above. */
int nni_convolution_run(nn_device *d, const struct nni_convolution *c, const void *first, const void *second,
                        float beta, void *to, void *workspace, void *stream);

/* ---- update.cu ---- */

/* One range of one parameter in device memory, as a block of the update takes it. */
struct nni_cuda_range {
    float *param, *m1, *m2;
    const float *grad;
    int64_t count;
    double lr_scale, decay_scale;
};
/* A segment of weights or state and its average. */
struct nni_cuda_average {
    const void *value;
    void *average;
    int64_t bytes;
    bool real; /* else it is copied */
};
/* The update's tables, all in device memory. */
struct nni_cuda_update {
    struct nni_cuda_range *range;
    int64_t ranges;
    double *partial; /* one for each range */
    struct nni_cuda_average *average;
    int64_t averages;
    nn_scalars *now;
    double clip_norm;
};
/* Enqueues norm and clipping factor, the optimizer, the averages. */
int nni_cuda_update_launch(const struct nni_cuda_update *u, const nn_optim *optim, void *stream);

#ifdef __cplusplus
}
#endif

#endif
