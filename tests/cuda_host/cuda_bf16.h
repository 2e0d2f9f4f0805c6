/* SPDX-License-Identifier: MIT
 *
 * CUDA's bfloat16 as far as kernels use it: a number that converts to float and is rounded to nearest even
 * when it is made from one. A NaN becomes the one that the hardware makes. Conversions are explicit here, as
 * those of the toolkit are ambiguous beside its operators.
 */
#ifndef SHIM_CUDA_BF16_H
#define SHIM_CUDA_BF16_H

#include <stdint.h>
#include <string.h>

struct __nv_bfloat16 {
    uint16_t bits;

    __nv_bfloat16() = default;
    explicit __nv_bfloat16(float x)
    {
        uint32_t u;

        memcpy(&u, &x, sizeof u);
        bits = static_cast<uint16_t>(x != x ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
    explicit operator float() const
    {
        uint32_t u = static_cast<uint32_t>(bits) << 16;
        float x;

        memcpy(&x, &u, sizeof x);
        return x;
    }
};

#endif
