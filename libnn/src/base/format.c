/* SPDX-License-Identifier: MIT
 *
 * bfloat16 and IEEE half to and from float, bit by bit, rounding to nearest even. Used where
 * speed does not matter: files, and as the reference of the vector conversions.
 */
#include "base.h"

#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

float nni_bf16_to_f32(uint16_t x) { return float_of((uint32_t)x << 16); }

uint16_t nni_f32_to_bf16(float x)
{
    uint32_t u = bits_of(x);

    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

float nni_f16_to_f32(uint16_t x)
{
    uint32_t sign = (uint32_t)(x & 0x8000u) << 16;
    uint32_t exponent = (x >> 10) & 0x1fu, mantissa = x & 0x3ffu;

    if (exponent == 31)
        return float_of(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24 is exact */
        float magnitude = (float)mantissa * 0x1p-24f;

        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

uint16_t nni_f32_to_f16(float x)
{
    uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;

    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (a < 0x38800000u) { /* below 2^-14: a subnormal half */
        uint32_t shift = 126u - (a >> 23), mantissa = (a & 0x7fffffu) | 0x800000u, kept, rest, half;

        if (shift > 24)
            return (uint16_t)sign;
        kept = mantissa >> shift;
        rest = mantissa & ((1u << shift) - 1u);
        half = 1u << (shift - 1u);
        kept += rest > half || (rest == half && (kept & 1u));
        return (uint16_t)(sign | kept);
    }
    return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
}
