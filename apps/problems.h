/* SPDX-License-Identifier: MIT
 *
 * Telling people about files that could not be used, or were used otherwise than they may think.
 */
#ifndef APPS_PROBLEMS_H
#define APPS_PROBLEMS_H

#include <nn/data.h>
#include <stdio.h>

/* `text` with control bytes made visible: a file name may hold line ends and terminal commands. */
void problem_print(FILE *to, const char *text);
/* "FILE: REASON" to stderr, control bytes made visible; a reason that begins with the file's name says it
 * once. */
void problem_say(const char *file, const char *reason);
/* The reason without that name. */
const char *problem_reason(const char *file, const char *text);
/* Prints problems[from..] of the dataset: of files that could not be used all, of the rest the first few.
 * Returns how many of them are files that could not be used. */
int64_t problems_say(const nn_dataset *d, int64_t from);
/* Whether `output`, the argument of `option` or NULL, is none of the images: it would replace one. APP_OK or
 * APP_USAGE, and said. */
int problems_spares(const char *option, const char *output, const nn_dataset *d);

#endif
