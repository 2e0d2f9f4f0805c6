/* SPDX-License-Identifier: MIT
 *
 * A weight file as the programs take it from --weights: of any format and dialect, with what lies beside it.
 */
#ifndef APPS_WEIGHTS_H
#define APPS_WEIGHTS_H

#include <nn/io.h>
#include <nn/models/pretrained.h>
#include <stdbool.h>

struct weights {
    const char *path;
    nn_safetensors *file;
    nn_pretrained about;
};

/* The config.json beside a file, NULL when there is none; to be freed. */
char *weights_config(const char *path);
/* Opens and identifies it; `dialect` may be NULL. 0 or the exit code, with the reason printed. Either way it
 * is to be freed. */
int weights_open(struct weights *w, const char *path, const char *dialect, bool averaged);
void weights_free(struct weights *w);
/* Refuses values that no network can have, naming each tensor with them: NaN, infinity and negative
 * variances. Weights of a run that diverged are found here rather than in what they say. */
int weights_check_values(const struct weights *w);
/* "efficientnet_b0, 1000 classes, dialect timm-tf (by its file name): padding same, eps 0.001". */
void weights_describe(const struct weights *w, char text[256]);
/* The exit code of a status that comes from opening or identifying a file. */
int weights_exit_code(int status);

#endif
