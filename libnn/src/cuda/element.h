/* SPDX-License-Identifier: MIT
 *
 * One element of any type as a double and back, as ops/element.h has it for the CPU: the 16-bit types by
 * their bits, rounded to nearest even.
 */
#ifndef NNI_CUDA_ELEMENT_H
#define NNI_CUDA_ELEMENT_H

#include "cuda/kernel.h"

static __device__ inline uint32_t nni_float_bits(float x)
{
    union {
        float value;
        uint32_t bits;
    } u;

    u.value = x;
    return u.bits;
}
static __device__ inline float nni_bits_float(uint32_t bits)
{
    union {
        uint32_t bits;
        float value;
    } u;

    u.bits = bits;
    return u.value;
}

static __device__ inline float nni_from_bf16(uint16_t x)
{
    return nni_bits_float(static_cast<uint32_t>(x) << 16);
}

static __device__ inline uint16_t nni_to_bf16(float x)
{
    uint32_t bits = nni_float_bits(x);

    if (isnan(x))
        return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* 1 sign, 5 exponent, 10 fraction bits. */
static __device__ inline float nni_from_f16(uint16_t x)
{
    uint32_t sign = static_cast<uint32_t>(x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 1023;

    if (exponent == 31)
        return nni_bits_float(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0)
        return nni_bits_float(sign | nni_float_bits(static_cast<float>(fraction) * 0x1p-24f));
    return nni_bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

static __device__ inline uint16_t nni_to_f16(float x)
{
    uint32_t bits = nni_float_bits(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;

    if (size > 0x7f800000)
        return static_cast<uint16_t>(sign | 0x7e00 | (size >> 13 & 0x3ff));
    if (size >= 0x477ff000) /* 65520: from here on infinity is nearer */
        return static_cast<uint16_t>(sign | 0x7c00);
    if (size < 0x38800000) /* 2^-14: below it there are multiples of 2^-24; adding 1/2 rounds to them */
        return static_cast<uint16_t>(sign | (nni_float_bits(nni_bits_float(size) + 0.5f) - 0x3f000000));
    return static_cast<uint16_t>(sign | (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
}

static __device__ inline double nni_get(const void *data, nn_dtype type, int64_t i)
{
    switch (type) {
    case NN_F32: return static_cast<double>(static_cast<const float *>(data)[i]);
    case NN_F64: return static_cast<const double *>(data)[i];
    case NN_BF16: return static_cast<double>(nni_from_bf16(static_cast<const uint16_t *>(data)[i]));
    case NN_F16: return static_cast<double>(nni_from_f16(static_cast<const uint16_t *>(data)[i]));
    case NN_I32: return static_cast<double>(static_cast<const int32_t *>(data)[i]);
    case NN_I64: return static_cast<double>(static_cast<const int64_t *>(data)[i]);
    default: return static_cast<double>(static_cast<const uint8_t *>(data)[i]);
    }
}

/* To a floating type. */
static __device__ inline void nni_set(void *data, nn_dtype type, int64_t i, double x)
{
    switch (type) {
    case NN_F64: static_cast<double *>(data)[i] = x; break;
    case NN_BF16: static_cast<uint16_t *>(data)[i] = nni_to_bf16(static_cast<float>(x)); break;
    case NN_F16: static_cast<uint16_t *>(data)[i] = nni_to_f16(static_cast<float>(x)); break;
    default: static_cast<float *>(data)[i] = static_cast<float>(x); break;
    }
}

static inline bool nni_is_floating(nn_dtype type)
{
    return type == NN_F32 || type == NN_F64 || type == NN_BF16 || type == NN_F16;
}

#endif
