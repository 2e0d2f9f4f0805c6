/* SPDX-License-Identifier: MIT
 *
 * See window.h.
 */
#include "vision/window.h"

#include <math.h>

enum { ATTEMPTS = 10 };

bool nni_window_draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                     int64_t spare, struct nni_window *out)
{
    double low = log(s->low[NNI_WINDOW_RATIO]), high = log(s->high[NNI_WINDOW_RATIO]);

    for (int i = 0; i < ATTEMPTS; i++) {
        double area =
            (double)(width * height) * nni_dice_uniform(d, s->low[NNI_WINDOW_AREA], s->high[NNI_WINDOW_AREA]);
        double ratio = exp(nni_dice_uniform(d, low, high)); /* wide is as likely as tall */

        out->width = llrint(sqrt(area * ratio));
        out->height = llrint(sqrt(area / ratio));
        if (out->width < 1 || out->width > width - spare || out->height < 1 || out->height > height - spare)
            continue;
        out->y = nni_dice_int(d, 0, height - out->height);
        out->x = nni_dice_int(d, 0, width - out->width);
        return true;
    }
    return false;
}
