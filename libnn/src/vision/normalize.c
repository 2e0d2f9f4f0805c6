/* SPDX-License-Identifier: MIT
 *
 * (x - mean*maximum)/(std*maximum) as a step of the pipeline, in single precision as Albumentations 1.3.1's
 * Normalize computes it. The network normalises by itself; this step exists for pipelines that go on with
 * floats, and then the network takes them as they come.
 */
#include "vision/transform.h"

enum { MAXIMUM };

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    const nn_preprocess *r = c->record;
    const uint8_t *from = c->at;
    float *to = nni_canvas_next(c, c->width, c->height, true), maximum = (float)s->low[MAXIMUM];
    float table[3][256];

    (void)drawn;
    if (!to)
        return NN_ENOMEM;
    for (int k = 0; k < 3; k++) {
        float mean = (float)r->mean[k] * maximum, factor = 1 / ((float)r->std[k] * maximum);

        for (int v = 0; v < 256; v++)
            table[k][v] = ((float)v - mean) * factor;
    }
    for (int64_t i = 0; i < nni_canvas_values(c); i += 3)
        for (int k = 0; k < 3; k++)
            to[i + k] = table[k][from[i + k]];
    nni_canvas_turn(c, c->width, c->height, true);
    return NN_OK;
}

const struct nni_transform nni_transform_normalize = {
    .name = "normalize",
    .p = 1,
    .bytes = true,
    .setting = { [MAXIMUM] = { "maximum", 255, 255, 1, 65535 } },
    .apply = apply,
};
