/* SPDX-License-Identifier: MIT
 *
 * Files of the simd/ folders are compiled once for each instruction set with NNI_ISA set to its name
 * (portable, avx2, avx512); which of them run on this processor is decided when the program does.
 */
#ifndef NNI_ISA_H
#define NNI_ISA_H

#include <stdbool.h>

#define NNI_PASTE2(a, b) a##_##b
#define NNI_PASTE(a, b) NNI_PASTE2(a, b)
/* The name of this instruction set's variant of a symbol. */
#define NNI_NAME(x) NNI_PASTE(x, NNI_ISA)

/* Whether this processor has the instructions that the set of that name is compiled for. */
bool nni_isa_runs(const char *isa);

#endif
