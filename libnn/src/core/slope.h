/* SPDX-License-Identifier: MIT
 *
 * Slopes of a function that can only be called: what a gradient is compared with.
 */
#ifndef NNI_SLOPE_H
#define NNI_SLOPE_H

#include <nn/op.h>

#include <math.h>

/* A function along a line, whose results come in parts. */
struct nni_line {
    int (*value)(void *context, double t, double *y); /* at a distance t; returns a status */
    void *context;
    int parts;
    int64_t count[NN_MAX_OUT]; /* results of each part; they lie one after another */
    const double *weight;      /* of each result: the slope of a part is that of its weighted sum */
};

/* Of one part. */
struct nni_slope {
    double coarse, fine; /* with the step, and with a quarter of it, which is the better one */
    double jump;         /* from the slope on the left to that on the right */
    double noise;        /* what rounding the results to NN_REAL may add */
};

/* No kink within reach: both steps and both sides tell the same. */
static inline int nni_is_smooth(const struct nni_slope *s, double allowed)
{
    return fabs(s->coarse - s->fine) <= allowed && fabs(s->jump) <= allowed + 4 * s->noise;
}

/* Five-point stencils; an error of the function, or NN_ENOMEM. */
int nni_slopes(const struct nni_line *line, double step, struct nni_slope slope[NN_MAX_OUT]);

#endif
