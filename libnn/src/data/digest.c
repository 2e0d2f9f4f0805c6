/* SPDX-License-Identifier: MIT
 *
 * One number for a whole source of images: two runs that show the same digest trained on the same
 * bytes under the same labels and splits, wherever the folder lay.
 */
#include <nn/data.h>

#include "base/base.h"

#include <nettle/sha2.h>
#include <string.h>

int nn_dataset_digest(const nn_dataset *d, int32_t source, char hex[65])
{
    struct sha256_ctx c;
    uint8_t digest[SHA256_DIGEST_SIZE];

    if (!hex)
        return NN_EINVAL;
    hex[0] = 0;
    if (!d || source < 0 || source >= d->sources)
        return NN_EINVAL;
    sha256_init(&c);
    for (int64_t i = 0; i < d->samples; i++) {
        const nn_sample *s = &d->sample[i];
        uint8_t place[2] = { (uint8_t)s->label, s->excluded ? (uint8_t)NN_SPLITS : (uint8_t)s->split };

        if (s->source != source || s->label == NN_LABEL_NONE)
            continue;
        if (!s->sha256[0] && !s->excluded)
            return NN_ESTATE;
        sha256_update(&c, strlen(s->path) + 1, (const uint8_t *)s->path);
        sha256_update(&c, strlen(s->sha256), (const uint8_t *)s->sha256);
        sha256_update(&c, sizeof place, place);
    }
    sha256_digest(&c, sizeof digest, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = 0;
    return NN_OK;
}
