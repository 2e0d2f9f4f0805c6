/* SPDX-License-Identifier: MIT
 *
 * See metadata.h.
 */
#include "metadata.h"

#include <jansson.h>
#include <stdio.h>

int nni_metadata_fraction(const nn_safetensors *file, const char *key, double *value, nn_message *why)
{
    const char *text = nn_safetensors_metadata(file, key);
    json_t *number;
    double x;

    if (!text)
        return NN_OK;
    number = json_loads(text, JSON_DECODE_ANY, NULL); /* unlike strtod it knows no locale */
    x = json_is_number(number) ? json_number_value(number) : -1;
    json_decref(number);
    if (!(x >= 0 && x <= 1)) {
        if (why)
            (void)snprintf(why->text, sizeof why->text, "\"%s\" in its metadata is no number from 0 to 1",
                           key);
        return NN_EFORMAT;
    }
    *value = x;
    return NN_OK;
}
