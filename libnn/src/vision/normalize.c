/* SPDX-License-Identifier: MIT
 *
 * (x - mean*maximum)/(std*maximum) as a step of the pipeline, in single precision as Albumentations 1.3.1's
 * Normalize computes it. The network normalises by itself; this step exists for pipelines that go on with
 * floats, and then the network takes them as they come.
 */
#include "vision/pixels.h"
#include "vision/transform.h"

enum { MAXIMUM };

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    const nn_preprocess *r = c->record;
    float *to = nni_canvas_next(c, c->width, c->height, true), maximum = (float)s->low[MAXIMUM];
    float offset[3], factor[3];

    (void)drawn;
    if (!to)
        return NN_ENOMEM;
    for (int k = 0; k < 3; k++) {
        offset[k] = (float)r->mean[k] * maximum;
        factor[k] = 1 / ((float)r->std[k] * maximum);
    }
    nni_pixels()->normalize(to, c->at, c->width * c->height, offset, factor);
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
