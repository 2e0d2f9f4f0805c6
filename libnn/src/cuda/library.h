/* SPDX-License-Identifier: MIT
 *
 * Shared libraries at run time. The one place where they are looked for: without it cuBLASLt would be needed
 * to start a program that never opens a GPU. The tests put a library of their own in its place.
 */
#ifndef NNI_LIBRARY_H
#define NNI_LIBRARY_H

#include <nn/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first of `names` (NULL at the end) that can be loaded; NULL and the loader's reason when none can. */
void *nni_library_open(const char *const *names, nn_message *why);
/* NULL: no such symbol. */
void *nni_library_symbol(void *library, const char *name);
void nni_library_close(void *library);

#ifdef __cplusplus
}
#endif

#endif
