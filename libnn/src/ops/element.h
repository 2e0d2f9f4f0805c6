/* SPDX-License-Identifier: MIT
 *
 * One element of any type as a double and back, for the few ops that work on all types. Where the
 * type is the library's own (NN_REAL) ops write their own loops.
 */
#ifndef NNI_ELEMENT_H
#define NNI_ELEMENT_H

#include "base/base.h"

static inline int nni_floating(nn_dtype type)
{
    return type == NN_F32 || type == NN_F64 || type == NN_BF16 || type == NN_F16;
}

static inline double nni_get(const void *data, nn_dtype type, int64_t i)
{
    switch (type) {
    case NN_F32: return (double)((const float *)data)[i];
    case NN_F64: return ((const double *)data)[i];
    case NN_BF16: return (double)nni_bf16_to_f32(((const uint16_t *)data)[i]);
    case NN_F16: return (double)nni_f16_to_f32(((const uint16_t *)data)[i]);
    case NN_I32: return (double)((const int32_t *)data)[i];
    case NN_I64: return (double)((const int64_t *)data)[i];
    default: return (double)((const uint8_t *)data)[i];
    }
}

/* To a floating type. A double reaches the 16-bit types through float, rounded twice. */
static inline void nni_put(void *data, nn_dtype type, int64_t i, double x)
{
    switch (type) {
    case NN_F64: ((double *)data)[i] = x; break;
    case NN_BF16: ((uint16_t *)data)[i] = nni_f32_to_bf16((float)x); break;
    case NN_F16: ((uint16_t *)data)[i] = nni_f32_to_f16((float)x); break;
    default: ((float *)data)[i] = (float)x; break;
    }
}

#endif
