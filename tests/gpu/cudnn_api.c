/* SPDX-License-Identifier: MIT
 *
 * libnn declares what it uses of cuDNN by itself (cuda/cudnn_api.h), and no compiler would notice a mistake
 * there. Where cuDNN's own header is at hand this file is compiled twice (.ci/run): with that header
 * (REAL_CUDNN), against which every function of ours is declared again; and without it. The numbers below
 * have to come out equal.
 */
#ifdef REAL_CUDNN
#include <cudnn.h>
#define NNI_CUDNN_TYPES
#endif
#include "cuda/cudnn_api.h"

const int cudnn_numbers[] = {
    CUDNN_STATUS_SUCCESS,
    CUDNN_STATUS_BAD_PARAM,
    CUDNN_STATUS_NOT_SUPPORTED,
    CUDNN_DATA_FLOAT,
    CUDNN_DATA_BFLOAT16,
    CUDNN_TENSOR_NHWC,
    CUDNN_TENSOR_OP_MATH,
    CUDNN_FMA_MATH,
    CUDNN_CROSS_CORRELATION,
    CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
    CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
    CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
    sizeof(cudnnStatus_t),
    sizeof(cudnnDataType_t),
    sizeof(cudnnTensorFormat_t),
    sizeof(cudnnMathType_t),
    sizeof(cudnnConvolutionMode_t),
    sizeof(cudnnConvolutionFwdAlgo_t),
    sizeof(cudnnConvolutionBwdDataAlgo_t),
    sizeof(cudnnConvolutionBwdFilterAlgo_t),
};
