/* SPDX-License-Identifier: MIT
 *
 * See isa.h. The names and what they stand for are those of the flags in the Makefile.
 */
#include "base/isa.h"

#include <string.h>

bool nni_isa_runs(const char *isa)
{
#if defined(__x86_64__)
    if (!strcmp(isa, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!strcmp(isa, "avx512_bf16"))
        return __builtin_cpu_supports("avx512bf16") && nni_isa_runs("avx512");
    if (!strcmp(isa, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return !strcmp(isa, "portable");
}
