/* SPDX-License-Identifier: MIT
 *
 * Philox4x32-10 itself, for every device: a mask must be the same wherever it is drawn. See rng.c.
 */
#ifndef NNI_PHILOX_H
#define NNI_PHILOX_H

#include <stdint.h>

#ifdef __CUDACC__
#define NNI_EVERYWHERE __host__ __device__
#else
#define NNI_EVERYWHERE
#endif

static NNI_EVERYWHERE inline void nni_philox_words(const uint32_t counter[4], const uint32_t key[2],
                                                   uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)UINT32_C(0xD2511F53) * c0;
        uint64_t b = (uint64_t)UINT32_C(0xCD9E8D57) * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;

        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

#endif
