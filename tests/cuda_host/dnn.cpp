/* SPDX-License-Identifier: MIT
 *
 * cuDNN's convolutions by plain loops over [N,H,W,C] and [O,KH,KW,C/groups], summed in double. The workspace
 * is poisoned by each of them, as it may be.
 */
#include "shim.h"

#include "cuda/cudnn_api.h"
#include "cuda_bf16.h"
#include "cuda_runtime.h"
#include "number.h"

#include <cstring>
#include <vector>

struct cudnnContext {
    cudaStream_t stream;
};
struct cudnnTensorStruct {
    cudnnDataType_t type;
    int n, c, h, w;
};
struct cudnnFilterStruct {
    cudnnDataType_t type;
    int k, c, h, w;
};
struct cudnnConvolutionStruct {
    int pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, groups;
};

namespace
{

enum { WORKSPACE = 512, ALIGNMENT = 256 };

struct problem {
    cudnnTensorStruct x, y;
    cudnnFilterStruct w;
    cudnnConvolutionStruct d;
};

int side(int size, int pad, int kernel, int stride, int dilation)
{
    return (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

bool fits(const problem &p)
{
    return p.x.type == p.w.type && p.w.type == p.y.type && p.x.n == p.y.n && p.w.k == p.y.c &&
           p.x.c == p.w.c * p.d.groups && p.w.k % p.d.groups == 0 &&
           p.y.h == side(p.x.h, p.d.pad_h, p.w.h, p.d.stride_h, p.d.dilation_h) &&
           p.y.w == side(p.x.w, p.d.pad_w, p.w.w, p.d.stride_w, p.d.dilation_w);
}

/* Calls f(x's, w's and y's index) for every product of the convolution, in the order that f's sums are taken
 * in. */
template <class F> void for_taps(const problem &p, int n, int o, int oy, int ox, F f)
{
    int first = o / (p.w.k / p.d.groups) * p.w.c;

    for (int i = 0; i < p.w.h; i++)
        for (int j = 0; j < p.w.w; j++) {
            int y = oy * p.d.stride_h - p.d.pad_h + i * p.d.dilation_h,
                x = ox * p.d.stride_w - p.d.pad_w + j * p.d.dilation_w;

            for (int c = 0; y >= 0 && y < p.x.h && x >= 0 && x < p.x.w && c < p.w.c; c++)
                f(((int64_t(n) * p.x.h + y) * p.x.w + x) * p.x.c + first + c,
                  ((int64_t(o) * p.w.h + i) * p.w.w + j) * p.w.c + c);
        }
}

template <class F> void for_outputs(const problem &p, F f)
{
    for (int n = 0; n < p.y.n; n++)
        for (int y = 0; y < p.y.h; y++)
            for (int x = 0; x < p.y.w; x++)
                for (int o = 0; o < p.y.c; o++)
                    f(n, o, y, x, ((int64_t(n) * p.y.h + y) * p.y.w + x) * p.y.c + o);
}

/* to = sum + beta*to, rounded once. */
void finish(const std::vector<double> &sum, float beta, void *to, cudaDataType type)
{
    for (size_t i = 0; i < sum.size(); i++) {
        double before = beta != 0 ? double(beta) * double(shim_load(to, type, int64_t(i))) : 0;

        shim_store(to, type, int64_t(i), float(sum[i] + before));
    }
}

cudaDataType type_of(const problem &p) { return p.x.type == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF : CUDA_R_32F; }

enum part { FORWARD, DATA, FILTER };

/* a and b are the operands that are read, in the order x, w, y. */
void convolve(const problem &p, part what, const void *a, const void *b, float beta, void *to,
              void *workspace)
{
    cudaDataType t = type_of(p);
    size_t room = what == FORWARD ? size_t(p.y.n) * size_t(p.y.h * p.y.w) * size_t(p.y.c)
                  : what == DATA  ? size_t(p.x.n) * size_t(p.x.h * p.x.w) * size_t(p.x.c)
                                  : size_t(p.w.k) * size_t(p.w.h * p.w.w) * size_t(p.w.c);
    std::vector<double> sum(room);

    memset(workspace, 0xff, WORKSPACE);
    for_outputs(p, [&](int n, int o, int oy, int ox, int64_t y) {
        for_taps(p, n, o, oy, ox, [&](int64_t x, int64_t w) {
            if (what == FORWARD)
                sum[size_t(y)] += double(shim_load(a, t, x)) * double(shim_load(b, t, w));
            else if (what == DATA)
                sum[size_t(x)] += double(shim_load(a, t, w)) * double(shim_load(b, t, y));
            else
                sum[size_t(w)] += double(shim_load(a, t, x)) * double(shim_load(b, t, y));
        });
    });
    finish(sum, beta, to, t);
}

cudnnStatus_t launch(cudnnHandle_t h, const problem &p, part what, const void *a, const void *b,
                     const void *alpha, const void *beta, void *to, void *workspace, size_t bytes)
{
    static const char WHO[] = "cudnnConvolution";
    cudaLaunchConfig_t config = { 1, 1, 0, h->stream };
    float scale = *static_cast<const float *>(beta);

    if (!fits(p) || bytes < WORKSPACE || !workspace || reinterpret_cast<uintptr_t>(workspace) % ALIGNMENT ||
        *static_cast<const float *>(alpha) != 1)
        return CUDNN_STATUS_BAD_PARAM;
    return shim_launch(&config, WHO, WHO, [=] { convolve(p, what, a, b, scale, to, workspace); }) ==
                   cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t size(const problem &p, size_t *bytes)
{
    *bytes = WORKSPACE;
    return fits(p) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

template <class T> cudnnStatus_t create(T **d)
{
    *d = new T();
    return CUDNN_STATUS_SUCCESS;
}
template <class T> cudnnStatus_t destroy(T *d)
{
    delete d;
    return CUDNN_STATUS_SUCCESS;
}

} // namespace

extern "C" {

size_t cudnnGetVersion(void) { return 90000; }
const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_SUCCESS ? "no error" : "a convolution that cannot be";
}
cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { return create(h); }
cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { return destroy(h); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
    h->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *d) { return create(d); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t, cudnnDataType_t type,
                                         int n, int c, int h, int w)
{
    *d = { type, n, c, h, w };
    return n > 0 && c > 0 && h > 0 && w > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *d) { return create(d); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t,
                                         int k, int c, int h, int w)
{
    *d = { type, k, c, h, w };
    return k > 0 && c > 0 && h > 0 && w > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *d) { return create(d); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t, cudnnDataType_t)
{
    *d = { pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, 1 };
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t, cudnnMathType_t)
{
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups)
{
    d->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, const cudnnTensorDescriptor_t x,
                                                      const cudnnFilterDescriptor_t w,
                                                      const cudnnConvolutionDescriptor_t d,
                                                      const cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t, size_t *bytes)
{
    return size({ *x, *y, *w, *d }, bytes);
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void *alpha, const cudnnTensorDescriptor_t xd,
                                      const void *x, const cudnnFilterDescriptor_t wd, const void *w,
                                      const cudnnConvolutionDescriptor_t d, cudnnConvolutionFwdAlgo_t,
                                      void *workspace, size_t bytes, const void *beta,
                                      const cudnnTensorDescriptor_t yd, void *y)
{
    return launch(h, { *xd, *yd, *wd, *d }, FORWARD, x, w, alpha, beta, y, workspace, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, const cudnnFilterDescriptor_t w,
                                                           const cudnnTensorDescriptor_t dy,
                                                           const cudnnConvolutionDescriptor_t d,
                                                           const cudnnTensorDescriptor_t dx,
                                                           cudnnConvolutionBwdDataAlgo_t, size_t *bytes)
{
    return size({ *dx, *dy, *w, *d }, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void *alpha,
                                           const cudnnFilterDescriptor_t wd, const void *w,
                                           const cudnnTensorDescriptor_t dyd, const void *dy,
                                           const cudnnConvolutionDescriptor_t d,
                                           cudnnConvolutionBwdDataAlgo_t, void *workspace, size_t bytes,
                                           const void *beta, const cudnnTensorDescriptor_t dxd, void *dx)
{
    return launch(h, { *dxd, *dyd, *wd, *d }, DATA, w, dy, alpha, beta, dx, workspace, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, const cudnnTensorDescriptor_t x,
                                                             const cudnnTensorDescriptor_t dy,
                                                             const cudnnConvolutionDescriptor_t d,
                                                             const cudnnFilterDescriptor_t dw,
                                                             cudnnConvolutionBwdFilterAlgo_t, size_t *bytes)
{
    return size({ *x, *dy, *dw, *d }, bytes);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void *alpha,
                                             const cudnnTensorDescriptor_t xd, const void *x,
                                             const cudnnTensorDescriptor_t dyd, const void *dy,
                                             const cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t, void *workspace, size_t bytes,
                                             const void *beta, const cudnnFilterDescriptor_t dwd, void *dw)
{
    return launch(h, { *xd, *dyd, *dwd, *d }, FILTER, x, dy, alpha, beta, dw, workspace, bytes);
}

} // extern "C"
