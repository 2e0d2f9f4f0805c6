/* SPDX-License-Identifier: MIT
 *
 * upsample: the three ways to place an output between the inputs, larger and smaller.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] = nn_upsample(g, in[0], *(const nn_upsample_opts *)c->extra);
}

/* Both neighbours along one axis, and the weight of the second. */
static double neighbours(const nn_upsample_opts *o, int64_t in, int64_t out, int64_t at, int64_t *first,
                         int64_t *second)
{
    double x = o->align_corners ? (out > 1 ? (double)(at * (in - 1)) / (double)(out - 1) : 0)
                                : fmax(((double)at + 0.5) * (double)in / (double)out - 0.5, 0);

    if (!o->bilinear)
        x = (double)(at * in / out);
    *first = (int64_t)floor(x);
    *second = *first + 1 < in ? *first + 1 : *first;
    return x - floor(x);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const nn_upsample_opts *o = c->extra;
    const int64_t *x = c->in[0].shape.dim;

    for (int64_t e = 0; e < x[0] * o->height * o->width * x[3]; e++) {
        int64_t ch = e % x[3], q = e / x[3] % o->width, p = e / x[3] / o->width % o->height;
        int64_t n = e / x[3] / o->width / o->height, h[2], w[2];
        double a = neighbours(o, x[1], o->height, p, &h[0], &h[1]);
        double b = neighbours(o, x[2], o->width, q, &w[0], &w[1]);

        out[0][e] = 0;
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++)
                out[0][e] +=
                    (i ? a : 1 - a) * (j ? b : 1 - b) * in[0][((n * x[1] + h[i]) * x[2] + w[j]) * x[3] + ch];
    }
}

#define CASE(what, n, h, w, c, ...)                                                                          \
    {                                                                                                        \
        .name = what, .in = { { .shape = { { n, h, w, c }, 4 } } }, .build = record, .oracle = oracle,       \
        .extra = &(const nn_upsample_opts)__VA_ARGS__                                                        \
    }

static const op_case cases[] = {
    CASE("nearest, twice", 2, 3, 4, 5, { 6, 8, 0, 0 }),
    CASE("nearest, odd", 2, 3, 4, 17, { 7, 5, 0, 0 }),
    CASE("nearest, smaller", 2, 7, 6, 3, { 3, 4, 0, 0 }),
    CASE("bilinear, twice", 2, 3, 4, 5, { 6, 8, 1, 0 }),
    CASE("bilinear, odd", 2, 3, 4, 17, { 7, 5, 1, 0 }),
    CASE("bilinear, smaller", 2, 7, 6, 3, { 3, 4, 1, 0 }),
    CASE("bilinear, one pixel", 2, 1, 1, 4, { 3, 2, 1, 0 }),
    CASE("corners, twice", 2, 3, 4, 5, { 6, 8, 1, 1 }),
    CASE("corners, odd", 2, 3, 4, 17, { 7, 5, 1, 1 }),
    CASE("corners, smaller", 2, 7, 6, 3, { 3, 4, 1, 1 }),
    CASE("corners, to one pixel", 2, 3, 4, 4, { 1, 1, 1, 1 }),
    CASE("several tiles", 2, 12, 13, 64, { 24, 26, 1, 0 }),
    { .name = "past the caches",
      .in = { { .shape = { { 1, 5, 4, 260 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .extra = &(const nn_upsample_opts){ 90, 92, 1, 0 },
      .probes = 2 },
    { .name = "corners of the nearest",
      .in = { { .shape = { { 1, 4, 5, 2 }, 4 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "align_corners",
      .extra = &(const nn_upsample_opts){ 2, 2, 0, 1 } },
    { .name = "no output",
      .in = { { .shape = { { 1, 4, 5, 2 }, 4 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "2 x 0",
      .extra = &(const nn_upsample_opts){ 2, 0, 0, 0 } },
    { .name = "bench nearest",
      .in = { { .shape = { { 8, 28, 28, 256 }, 4 } } },
      .build = record,
      .extra = &(const nn_upsample_opts){ 56, 56, 0, 0 },
      .bench = 1 },
    { .name = "bench bilinear",
      .in = { { .shape = { { 8, 28, 28, 256 }, 4 } } },
      .build = record,
      .extra = &(const nn_upsample_opts){ 56, 56, 1, 0 },
      .bench = 1 },
};

OP_TEST(upsample, OP_CASES(cases));
