/* SPDX-License-Identifier: MIT
 *
 * Reading what torch.save writes, as the opener of weight files of any kind (weights.c) uses it.
 */
#ifndef NNI_TORCH_H
#define NNI_TORCH_H

#include "base/base.h"

#include <nn/io.h>

/* Whether a file that begins so is to be read by nni_torch_parse. */
bool nni_is_torch(const unsigned char *head, size_t have);
/* Opens a file that is in memory. `bytes` is borrowed until nn_safetensors_free; `averaged` takes the moving
 * average that a training program kept beside the weights. NN_EFORMAT, NN_EUNSUPPORTED, NN_ENOMEM: the text
 * says at which byte. */
int nni_torch_parse(nn_safetensors **out, const void *bytes, size_t size, const char *name, bool averaged,
                    nn_message *why);

#endif
