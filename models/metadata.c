/* SPDX-License-Identifier: MIT
 *
 * See metadata.h.
 */
#include "metadata.h"

#include <stdio.h>
#include <stdlib.h>

int nni_metadata_fraction(const nn_safetensors *file, const char *key, double *value, nn_message *why)
{
    const char *text = nn_safetensors_metadata(file, key);
    char *end;
    double x;

    if (!text)
        return NN_OK;
    x = strtod(text, &end);
    if (end == text || *end || !(x >= 0 && x <= 1)) {
        if (why)
            (void)snprintf(why->text, sizeof why->text, "\"%s\" in its metadata is no number from 0 to 1",
                           key);
        return NN_EFORMAT;
    }
    *value = x;
    return NN_OK;
}
