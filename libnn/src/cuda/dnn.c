/* SPDX-License-Identifier: MIT
 *
 * Convolutions by cuDNN. The library is large and no part of the toolkit, so it is looked for when a network
 * first has a convolution for it; where there is none, patches and products take its place (ops/conv2d.cu).
 *
 * One fixed algorithm for each direction, of those that are deterministic, never the fastest of several:
 * results must not depend on a measurement. float32 is multiplied as float32 (CUDNN_FMA_MATH), not as TF32.
 * An algorithm that wants more than a gigabyte to work in is none: patches want less.
 */
#include "base/base.h"
#include "core/core.h"
#include "cuda/cuda.h"
#include "cuda/cudnn_api.h"
#include "cuda/library.h"

#include <limits.h>
#include <string.h>

enum { ALIGNMENT = 256, MOST_WORKSPACE = 1 << 30 };

struct found {
    struct nni_convolution shape;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t how;
    size_t workspace;
    struct found *next;
};

struct nni_dnn {
    void *library; /* NULL: there is none, which is not looked for again */
#define X(name) __typeof__(&cudnn##name) name;
    NNI_CUDNN_FUNCTIONS(X)
#undef X
    cudnnHandle_t handle;
    struct found *list;
};

static bool find_functions(struct nni_dnn *b)
{
#define X(name)                                                                                              \
    {                                                                                                        \
        void *at = nni_library_symbol(b->library, "cudnn" #name);                                            \
                                                                                                             \
        if (!at)                                                                                             \
            return false;                                                                                    \
        memcpy(&b->name, &at, sizeof at);                                                                    \
    }
    NNI_CUDNN_FUNCTIONS(X)
#undef X
    return true;
}

/* NULL: no memory. */
static struct nni_dnn *open_library(nn_device *d)
{
    static const char *const names[] = { "libcudnn.so.9", "libcudnn.so", NULL };
    struct nni_dnn *b = nni_alloc_zero(sizeof *b);
    nn_message why = { "" };

    if (!b)
        return NULL;
    b->library = nni_library_open(names, &why);
    if (b->library && (!find_functions(b) || b->Create(&b->handle) != CUDNN_STATUS_SUCCESS)) {
        (void)nni_fail(&why, NN_EDEVICE, "cuDNN cannot be started, or is another version than 9");
        nni_library_close(b->library);
        b->library = NULL;
    }
    if (b->library)
        nni_log(d, NN_LOG_INFO, "cuda: cuDNN %zu", b->GetVersion());
    else
        nni_log(d, NN_LOG_INFO, "convolutions by patches and products: %s", why.text);
    return b;
}

static void forget(struct nni_dnn *b, struct found *f)
{
    if (f->x)
        (void)b->DestroyTensorDescriptor(f->x);
    if (f->y)
        (void)b->DestroyTensorDescriptor(f->y);
    if (f->w)
        (void)b->DestroyFilterDescriptor(f->w);
    if (f->how)
        (void)b->DestroyConvolutionDescriptor(f->how);
    nni_free(f);
}

void nni_dnn_close(struct nni_dnn *b)
{
    if (!b)
        return;
    for (struct found *f = b->list, *next; f; f = next) {
        next = f->next;
        forget(b, f);
    }
    if (b->handle)
        (void)b->Destroy(b->handle);
    if (b->library)
        nni_library_close(b->library);
    nni_free(b);
}

static bool same(const struct nni_convolution *a, const struct nni_convolution *b)
{
    const struct nni_conv_geometry *p = &a->g, *q = &b->g;

    return a->part == b->part && a->type == b->type && p->n == q->n && p->h == q->h && p->w == q->w &&
           p->c == q->c && p->o == q->o && p->kh == q->kh && p->kw == q->kw && p->oh == q->oh &&
           p->ow == q->ow && p->stride == q->stride && p->dilation == q->dilation && p->groups == q->groups &&
           p->pad_top == q->pad_top && p->pad_left == q->pad_left;
}

static struct found *look_up(const struct nni_dnn *b, const struct nni_convolution *c)
{
    struct found *f = b->list;

    while (f && !same(&f->shape, c))
        f = f->next;
    return f;
}

/* Pixels of the output along one side, as cuDNN counts them: it pads both ends alike. */
static int64_t outputs(int64_t size, int64_t pad, int64_t kernel, int64_t stride, int64_t dilation)
{
    return (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

static bool suits(const nni_conv_geometry *g)
{
    return g->n * g->h * g->w * g->c <= INT_MAX && g->n * g->oh * g->ow * g->o <= INT_MAX &&
           outputs(g->h, g->pad_top, g->kh, g->stride, g->dilation) == g->oh &&
           outputs(g->w, g->pad_left, g->kw, g->stride, g->dilation) == g->ow;
}

static bool describe(const struct nni_dnn *b, struct found *f)
{
    const nni_conv_geometry *g = &f->shape.g;
    cudnnDataType_t type = f->shape.type == NN_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    cudnnMathType_t math = f->shape.type == NN_BF16 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH;

    return b->CreateTensorDescriptor(&f->x) == CUDNN_STATUS_SUCCESS &&
           b->CreateTensorDescriptor(&f->y) == CUDNN_STATUS_SUCCESS &&
           b->CreateFilterDescriptor(&f->w) == CUDNN_STATUS_SUCCESS &&
           b->CreateConvolutionDescriptor(&f->how) == CUDNN_STATUS_SUCCESS &&
           b->SetTensor4dDescriptor(f->x, CUDNN_TENSOR_NHWC, type, (int)g->n, (int)g->c, (int)g->h,
                                    (int)g->w) == CUDNN_STATUS_SUCCESS &&
           b->SetTensor4dDescriptor(f->y, CUDNN_TENSOR_NHWC, type, (int)g->n, (int)g->o, (int)g->oh,
                                    (int)g->ow) == CUDNN_STATUS_SUCCESS &&
           b->SetFilter4dDescriptor(f->w, type, CUDNN_TENSOR_NHWC, (int)g->o, (int)(g->c / g->groups),
                                    (int)g->kh, (int)g->kw) == CUDNN_STATUS_SUCCESS &&
           b->SetConvolution2dDescriptor(f->how, (int)g->pad_top, (int)g->pad_left, (int)g->stride,
                                         (int)g->stride, (int)g->dilation, (int)g->dilation,
                                         CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT) == CUDNN_STATUS_SUCCESS &&
           b->SetConvolutionGroupCount(f->how, (int)g->groups) == CUDNN_STATUS_SUCCESS &&
           b->SetConvolutionMathType(f->how, math) == CUDNN_STATUS_SUCCESS;
}

/* Whether the part can be done, and in how much memory. */
static bool measure(const struct nni_dnn *b, struct found *f)
{
    switch (f->shape.part) {
    case NNI_CONVOLVE:
        return b->GetConvolutionForwardWorkspaceSize(b->handle, f->x, f->w, f->how, f->y,
                                                     CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                                                     &f->workspace) == CUDNN_STATUS_SUCCESS;
    case NNI_CONVOLVE_DATA:
        return b->GetConvolutionBackwardDataWorkspaceSize(b->handle, f->w, f->y, f->how, f->x,
                                                          CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
                                                          &f->workspace) == CUDNN_STATUS_SUCCESS;
    default:
        return b->GetConvolutionBackwardFilterWorkspaceSize(b->handle, f->x, f->y, f->how, f->w,
                                                            CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
                                                            &f->workspace) == CUDNN_STATUS_SUCCESS;
    }
}

int nni_convolution_ready(nn_device *d, const struct nni_convolution *c, size_t *workspace)
{
    struct nni_cuda *cuda = nni_cuda_of(d);
    struct nni_dnn *b = cuda->dnn ? cuda->dnn : (cuda->dnn = open_library(d));
    struct found *f;

    if (!b)
        return NN_ENOMEM;
    if (!b->library || !suits(&c->g))
        return NN_EUNSUPPORTED;
    f = look_up(b, c);
    if (!f) {
        f = nni_alloc_zero(sizeof *f);
        if (!f)
            return NN_ENOMEM;
        f->shape = *c;
        if (!describe(b, f) || !measure(b, f) || f->workspace > MOST_WORKSPACE) {
            forget(b, f);
            return NN_EUNSUPPORTED;
        }
        f->next = b->list;
        b->list = f;
    }
    *workspace = f->workspace + ALIGNMENT;
    return NN_OK;
}

/* Planned memory begins at smaller multiples. */
static void *aligned(void *at) { return (char *)at + (ALIGNMENT - (uintptr_t)at % ALIGNMENT) % ALIGNMENT; }

static cudnnStatus_t run(const struct nni_dnn *b, const struct found *f, const void *first,
                         const void *second, float beta, void *to, void *workspace)
{
    float one = 1;

    switch (f->shape.part) {
    case NNI_CONVOLVE:
        return b->ConvolutionForward(b->handle, &one, f->x, first, f->w, second, f->how,
                                     CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, workspace,
                                     f->workspace, &beta, f->y, to);
    case NNI_CONVOLVE_DATA:
        return b->ConvolutionBackwardData(b->handle, &one, f->w, second, f->y, first, f->how,
                                          CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, workspace, f->workspace, &beta,
                                          f->x, to);
    default:
        return b->ConvolutionBackwardFilter(b->handle, &one, f->x, first, f->y, second, f->how,
                                            CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, workspace, f->workspace,
                                            &beta, f->w, to);
    }
}

int nni_convolution_run(nn_device *d, const struct nni_convolution *c, const void *first, const void *second,
                        float beta, void *to, void *workspace, void *stream)
{
    const struct nni_dnn *b = nni_cuda_of(d)->dnn;
    const struct found *f = look_up(b, c);
    cudnnStatus_t status = CUDNN_STATUS_NOT_SUPPORTED;

    if (f)
        status = b->SetStream(b->handle, (cudaStream_t)stream);
    if (f && status == CUDNN_STATUS_SUCCESS)
        status = run(b, f, first, second, beta, to, aligned(workspace));
    if (status == CUDNN_STATUS_SUCCESS)
        return cudaSuccess;
    nni_log(d, NN_LOG_ERROR, "cuDNN refuses a convolution (%lld to %lld channels, %lld x %lld): %s",
            (long long)c->g.c, (long long)c->g.o, (long long)c->g.kh, (long long)c->g.kw,
            b->GetErrorString(status));
    return cudaErrorLaunchFailure;
}
