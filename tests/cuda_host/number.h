/* SPDX-License-Identifier: MIT
 *
 * An element of either type that the libraries of the shim work on.
 */
#ifndef SHIM_NUMBER_H
#define SHIM_NUMBER_H

#include "cublasLt.h"
#include "cuda_bf16.h"

static inline float shim_load(const void *at, cudaDataType type, int64_t i)
{
    return type == CUDA_R_16BF ? float(static_cast<const __nv_bfloat16 *>(at)[i])
                               : static_cast<const float *>(at)[i];
}

static inline void shim_store(void *at, cudaDataType type, int64_t i, float x)
{
    if (type == CUDA_R_16BF)
        static_cast<__nv_bfloat16 *>(at)[i] = __nv_bfloat16(x);
    else
        static_cast<float *>(at)[i] = x;
}

#endif
