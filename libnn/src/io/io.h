/* SPDX-License-Identifier: MIT
 *
 * What the files of this folder share among themselves and with the rest of the library.
 */
#ifndef NNI_IO_H
#define NNI_IO_H

#include "base/base.h"

#include <nn/io.h>

/* SHA-256 (FIPS 180-4) of the file at `path` as 64 lower-case hex digits: the identity of an image or of
 * a weight file. NN_ENOTFOUND, NN_EFORMAT (a folder), NN_EIO, NN_ENOMEM. */
int nni_sha256_file(const char *path, char hex[65], nn_message *why);

#endif
