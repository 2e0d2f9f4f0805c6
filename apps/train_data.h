/* SPDX-License-Identifier: MIT
 *
 * The images of a training: which there are, which are usable, which validate, and how that is told.
 */
#ifndef APPS_TRAIN_DATA_H
#define APPS_TRAIN_DATA_H

#include "train_options.h"

#include <jansson.h>
#include <nn/data.h>
#include <nn/vision.h>

/* Fills `d` from the options: read, decoded once, hashed, without copies, split and counted. Prints what was
 * found. *walked is how many problems there were before any file was opened. 0 or an exit code. */
int train_data_read(const struct options *o, nn_dataset *d, int64_t *walked);
/* The pipeline that --augment means: a preset, a text, or else a file with one. 0 or an exit code. */
int train_data_augment(nn_augment **out, const char *option);
/* Bytes for the caches of both loaders as --cache wants it, told. */
void train_data_cache(const struct options *o, const nn_dataset *d, const nn_augment *augment, size_t *train,
                      size_t *valid);
/* Of one source, for config.json: where it is, the hash of its content, images of each split and class. */
json_t *train_data_describe(const nn_dataset *d, int32_t source);

#endif
