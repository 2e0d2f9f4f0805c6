/* SPDX-License-Identifier: MIT
 *
 * Tests that read the project's own files (headers, documents, other tests) find them wherever they run.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stddef.h>

/* The path of what is called `tail` below the top of the source tree; 0 when it is not found. */
int source_path(char *path, size_t size, const char *tail);

#endif
