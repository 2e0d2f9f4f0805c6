/* SPDX-License-Identifier: MIT
 *
 * See early_stop.h.
 */
#include "early_stop.h"

#include <math.h>

int early_stop_update(struct early_stop *s, double value)
{
    int better = !isnan(value) && (!s->seen || (s->maximize ? value >= s->best : value <= s->best));

    if (better) {
        s->best = value;
        s->best_epoch = s->epochs;
        s->seen = 1;
        s->bad_epochs = 0;
    } else {
        s->bad_epochs++;
    }
    s->epochs++;
    return better;
}

int early_stop_done(const struct early_stop *s) { return s->patience > 0 && s->bad_epochs >= s->patience; }
