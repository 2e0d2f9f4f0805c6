/* SPDX-License-Identifier: MIT
 *
 * Stencils of five points, of each result's way from the middle, so that what does not change leaves no
 * trace; then the weighted sum. Rounding is that of the results which change, or where none does of all:
 * their changes may be too small to be seen.
 *
 *     slope = (8*(f(h) - f(-h)) - (f(2h) - f(-2h)))/(12h) + O(h^4)
 *     jump  = (4*(f(h) + f(-h)) - (f(2h) + f(-2h)) - 6*f(0))/(2h) + O(h^3)
 *
 * The second is the slope on the right less that on the left, each from three points: at a kink in the
 * middle, where every symmetric difference gives the mean of both slopes, it is their difference.
 */
#include "core/slope.h"

#include "base/base.h"

#include <float.h>

/* Errors of kernels, in roundings of their results. */
enum { ROUNDINGS = 4 };

/* The results at a point and in the middle, and what has been made of them. */
struct results {
    double *now, *middle, *odd, *even;
};

static int stencil(const struct nni_line *line, double h, const struct results *r, struct nni_slope *slope)
{
    static const double at[5] = { 0, 1, -1, 2, -2 };
    static const double odd[5] = { 0, 8, -8, -1, 1 }, even[5] = { 0, 4, 4, -1, -1 };
    const double unit = NN_REAL == NN_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    int64_t all = 0;

    for (int j = 0; j < line->parts; j++)
        all += line->count[j];
    for (int k = 0; k < 5; k++) {
        double *y = k ? r->now : r->middle;
        int rc = line->value(line->context, at[k] * h, y);

        if (rc)
            return rc;
        for (int64_t e = 0; e < all; e++) {
            r->odd[e] = k ? r->odd[e] + odd[k] * (y[e] - r->middle[e]) : 0;
            r->even[e] = k ? r->even[e] + even[k] * (y[e] - r->middle[e]) : 0;
        }
    }
    for (int64_t j = 0, e = 0; j < line->parts; j++) {
        double moved = 0, still = 0;

        slope[j] = (struct nni_slope){ 0 };
        for (int64_t end = e + line->count[j]; e < end; e++) {
            slope[j].fine += line->weight[e] * r->odd[e] / (12 * h);
            slope[j].jump += line->weight[e] * r->even[e] / (2 * h);
            *(r->odd[e] != 0 || r->even[e] != 0 ? &moved : &still) +=
                line->weight[e] * line->weight[e] * r->now[e] * r->now[e];
        }
        slope[j].noise = ROUNDINGS * unit * sqrt(moved > 0 ? moved : still) / h;
    }
    return NN_OK;
}

int nni_slopes(const struct nni_line *line, double step, struct nni_slope slope[NN_MAX_OUT])
{
    struct nni_slope coarse[NN_MAX_OUT];
    struct results r;
    int64_t all = 0;
    int rc;

    for (int j = 0; j < line->parts; j++)
        all += line->count[j];
    r.now = nni_alloc_array((size_t)all, 4 * sizeof *r.now);
    if (!r.now)
        return NN_ENOMEM;
    r.middle = r.now + all;
    r.odd = r.middle + all;
    r.even = r.odd + all;
    rc = stencil(line, step, &r, coarse);
    if (!rc)
        rc = stencil(line, step / 4, &r, slope);
    for (int j = 0; !rc && j < line->parts; j++)
        slope[j].coarse = coarse[j].fine;
    nni_free(r.now);
    return rc;
}
