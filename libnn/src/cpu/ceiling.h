/* SPDX-License-Identifier: MIT
 *
 * The two ceilings of a roofline, measured by loops that do nothing else.
 */
#ifndef NNI_CEILING_H
#define NNI_CEILING_H

#include <nn/op.h>

struct nni_ceiling_kernels {
    /* Runs `rounds` rounds of independent fused multiply-adds; returns the operations done (two for each
     * element). `sink` keeps the compiler from dropping them. */
    double (*arithmetic)(int64_t rounds, nn_real *sink);
    /* to[i] = from[i]. */
    void (*copy)(nn_real *to, const nn_real *from, int64_t count);
};
extern const struct nni_ceiling_kernels nni_ceiling_portable, nni_ceiling_avx2, nni_ceiling_avx512;

#endif
