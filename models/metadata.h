/* SPDX-License-Identifier: MIT
 *
 * Numbers that a weight file says of itself as text.
 */
#ifndef MODELS_METADATA_H
#define MODELS_METADATA_H

#include <nn/io.h>

/* A number from 0 to 1 in the metadata of a file. Where there is none *value stays; NN_EFORMAT: something
 * else is there. */
int nni_metadata_fraction(const nn_safetensors *file, const char *key, double *value, nn_message *why);

#endif
