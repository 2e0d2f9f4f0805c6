/* SPDX-License-Identifier: MIT
 *
 * Telling people about files that could not be used, or were used otherwise than they may think.
 */
#ifndef APPS_PROBLEMS_H
#define APPS_PROBLEMS_H

#include <jansson.h>
#include <nn/data.h>

/* "FILE: REASON" to stderr; a reason that begins with the file's name says it once. */
void problem_say(const char *file, const char *reason);
/* `text` for JSON, which is UTF-8: as app_print writes it where it is not. */
json_t *problem_json(const char *text);
/* The reason without that name. */
const char *problem_reason(const char *file, const char *text);
/* Prints problems[from..] of the dataset: of files that could not be used all, of the rest the first few.
 * Returns how many of them are files that could not be used. */
int64_t problems_say(const nn_dataset *d, int64_t from);
/* How many folders could not be read: of them nobody knows which images are missing. */
int64_t problems_folders(const nn_dataset *d);
/* Whether `output`, the argument of `option` or NULL, is none of the images: it would replace one. APP_OK or
 * APP_USAGE, and said. */
int problems_spares(const char *option, const char *output, const nn_dataset *d);

#endif
