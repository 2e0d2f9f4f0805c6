/* SPDX-License-Identifier: MIT
 *
 * Random numbers without state. Philox4x32-10 turns a counter and a key into four words, so a
 * number is a pure function of (seed, stream, step, sample, index): the same for any number of
 * threads, any batch split and after any resume, and the same on every device.
 *
 * Source: Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11.
 */
#include "base.h"
#include "base/philox.h"

#include <math.h>

void nn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    if (counter && key && out)
        nni_philox_words(counter, key, out);
}

nni_stream nni_stream_of(uint64_t seed, uint64_t stream)
{
    uint64_t both[2] = { seed, stream };
    uint32_t counter[4] = { (uint32_t)both[0], (uint32_t)(both[0] >> 32), (uint32_t)both[1],
                            (uint32_t)(both[1] >> 32) };
    uint32_t key[2] = { UINT32_C(0x6c69626e), UINT32_C(0x6e000001) };
    uint32_t out[4];

    nn_philox(counter, key, out);
    return (nni_stream){ .key = { out[0], out[1] } };
}

void nni_stream_at(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t index, uint32_t out[4])
{
    uint32_t counter[4] = { index, step, (uint32_t)sample, (uint32_t)(sample >> 32) };

    nn_philox(counter, s->key, out);
}

void nni_normal2(const uint32_t word[2], double out[2])
{
    double u = ((double)word[0] + 0.5) * 0x1p-32;
    double v = (double)word[1] * 0x1p-32;
    double r = sqrt(-2.0 * log(u));
    double angle = 6.283185307179586476925286766559 * v;

    out[0] = r * cos(angle);
    out[1] = r * sin(angle);
}

uint32_t nni_below(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t *index, uint32_t bound)
{
    uint32_t reject = (uint32_t)(-(int64_t)bound) % bound; /* 2^32 mod bound */

    for (;;) {
        uint32_t word[4];

        nni_stream_at(s, sample, step, (*index)++, word);
        for (int i = 0; i < 4; i++) {
            uint64_t product = (uint64_t)word[i] * bound;

            if ((uint32_t)product >= reject)
                return (uint32_t)(product >> 32);
        }
    }
}
