/* SPDX-License-Identifier: MIT
 *
 * The directory of a zip archive whose members lie uncompressed in memory, so that they can be used in place.
 */
#ifndef NNI_ZIP_H
#define NNI_ZIP_H

#include "base/base.h"

struct nni_member {
    const char *name;
    size_t offset, size; /* of its bytes in the archive */
    uint32_t crc;
};

/* Members of the archive in `bytes`, sorted by name, in memory of `arena`. None is compressed or encrypted,
 * all lie within the archive, no two overlap or have the same name. Checksums are verified unless all of them
 * are zero, as some writers leave them. `label` names the file in messages. NN_EFORMAT, NN_EUNSUPPORTED,
 * NN_ENOMEM. */
int nni_zip_members(const void *bytes, size_t size, const char *label, nni_arena *arena,
                    struct nni_member **out, int64_t *count, nn_message *why);
/* The member of that name, NULL when there is none. */
const struct nni_member *nni_zip_find(const struct nni_member *members, int64_t count, const char *name);

#endif
