/* SPDX-License-Identifier: MIT
 *
 * Twelve chains of multiply-adds hide the latency of two units; a copy moves one read and one write
 * for each element.
 */
#include "cpu/ceiling.h"

#include "vec.h"

enum { CHAINS = 12 };

static double arithmetic(int64_t rounds, nn_real *sink)
{
    vec a[CHAINS], sum = vzero(), x = vset(sink[0]), y = vset(sink[1]);

    for (int i = 0; i < CHAINS; i++)
        a[i] = vset((nn_real)i);
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            a[i] = a[i] * x + y;
    }
    for (int i = 0; i < CHAINS; i++)
        sum = sum + a[i];
    sink[2] = vsum(sum);
    return 2.0 * CHAINS * VEC * (double)rounds;
}

static void copy(nn_real *to, const nn_real *from, int64_t count)
{
    int64_t i = 0;

    for (; i + VEC <= count; i += VEC)
        vstore(to + i, vload(from + i));
    for (; i < count; i++)
        to[i] = from[i];
}

const struct nni_ceiling_kernels NNI_NAME(nni_ceiling) = { arithmetic, copy };
