/* SPDX-License-Identifier: MIT
 *
 * Elastic deformation (Simard, Steinkraus and Platt, ICDAR 2003) as Albumentations 1.3.1 does it: three
 * points of a square are moved at random and the affine map that moves them so is applied; then every pixel
 * is fetched from a place shifted by smoothed noise. Both warps mirror the edges.
 *
 * The original smooths with a Gaussian of hundreds of taps. Over a mirrored edge that is diagonal in the
 * cosine basis q_k(i) = cos(pi k (2i+1) / 2n): noise with the coefficients C_kl becomes sum_kl H(k) H(l) C_kl
 * q_k q_l. White noise has independent coefficients, each a sum over the whole picture and so as good as
 * normal, and of the eigenvalues H only the first few are not small. So the noise itself is never made: those
 * coefficients are drawn.
 */
#include "vision/pixels.h"
#include "vision/warp.h"

#include <math.h>

enum { ALPHA, SIGMA, AFFINE };
enum { POINTS }; /* drawn: shifts of the three points, x and y */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    for (int i = 0; i < 6; i++)
        out->v[POINTS + i] = nni_dice_uniform(d, -s->high[AFFINE], s->high[AFFINE]);
    out->dice = *d;
}

/* The map that moves from[i] to to[i], three points; false where they lie on a line. */
static bool map_points(const float from[6], const float to[6], double m[6])
{
    double x0 = (double)from[0], y0 = (double)from[1], x1 = (double)from[2] - x0, y1 = (double)from[3] - y0,
           x2 = (double)from[4] - x0, y2 = (double)from[5] - y0, d = x1 * y2 - x2 * y1;

    if (d == 0)
        return false;
    for (int i = 0; i < 2; i++) {
        double t0 = (double)to[i], t1 = (double)to[2 + i] - t0, t2 = (double)to[4 + i] - t0;

        m[3 * i] = (t1 * y2 - t2 * y1) / d;
        m[3 * i + 1] = (x1 * t2 - x2 * t1) / d;
        m[3 * i + 2] = t0 - m[3 * i] * x0 - m[3 * i + 1] * y0;
    }
    return true;
}

static int warp_points(const struct nni_drawn *drawn, struct nni_canvas *c)
{
    /* The original takes the height for x and the width for y. */
    float cx = (float)(c->height / 2), cy = (float)(c->width / 2);
    float side = (float)((c->width < c->height ? c->width : c->height) / 3);
    const float from[6] = { cx + side, cy + side, cx + side, cy - side, cx - side, cy - side };
    float to[6];
    double m[6] = { 0 };

    for (int i = 0; i < 6; i++)
        to[i] = from[i] + (float)drawn->v[POINTS + i];
    (void)map_points(from, to, m); /* of a picture too small for a triangle OpenCV makes a map of zeros */
    return nni_warp_affine(c, m, NNI_BORDER_MIRROR);
}

/* ------------------------------------------------------------------------- smoothed noise */

/* Modes of which less is left are left out. */
#define LEAST 1e-4

/* The smooth modes of one side. */
struct basis {
    int64_t n, modes;
    double sigma;
    double *left; /* [modes]: H(k) over the norm of q_k, so that a normal number times it is a coefficient */
    float *q;     /* [modes][n] */
};

static double gauss(int64_t j, double sigma) { return exp(-0.5 * (double)(j * j) / (sigma * sigma)); }
static int64_t radius_of(double sigma) { return (int64_t)(4 * sigma + 0.5); }

/* H(k): what is left of mode k of n. */
static double response(int64_t k, int64_t n, double sigma)
{
    double h = 1, all = 1;

    for (int64_t j = 1; j <= radius_of(sigma); j++) {
        h += 2 * gauss(j, sigma) * cos(3.14159265358979323846 * (double)(k * j % (2 * n)) / (double)n);
        all += 2 * gauss(j, sigma);
    }
    return h / all;
}

static size_t basis_bytes(int64_t n)
{
    return sizeof(struct basis) + (size_t)n * sizeof(double) + (size_t)(n * n) * sizeof(float);
}

/* At `memory`; kept there as long as size and sigma stay the same. */
static const struct basis *basis_at(void *memory, bool fresh, int64_t n, double sigma)
{
    struct basis *b = memory;
    double h = 1;

    if (!fresh && b->n == n && b->sigma == sigma)
        return b;
    *b = (struct basis){ .n = n, .sigma = sigma };
    b->left = (double *)(b + 1);
    b->q = (float *)(b->left + n);
    for (int64_t k = 0; k < n && fabs(h) > LEAST; k++) {
        b->left[k] = h / sqrt(k ? 0.5 * (double)n : (double)n);
        for (int64_t i = 0; i < n; i++)
            b->q[k * n + i] =
                (float)cos(3.14159265358979323846 * (double)(k * (2 * i + 1) % (4 * n)) / (double)(2 * n));
        b->modes = k + 1;
        h = response(k + 1, n, sigma);
    }
    return b;
}

/* Displacements of the pixels of a picture, [height][width], and what they are made with. */
struct field {
    float *dx, *dy;
    float *place;       /* [width] */
    float *waves;       /* [modes of y][width] */
    float *weight;      /* [most modes] */
    const float **from; /* [most modes] */
};

static int field_at(struct field *f, const struct basis *by, const struct basis *bx,
                    nn_vision_scratch *scratch)
{
    int64_t most = bx->modes > by->modes ? bx->modes : by->modes, n = by->n * bx->n;
    int64_t floats = 2 * n + bx->n + by->modes * bx->n + most;

    f->from = nni_scratch(scratch, NNI_SCRATCH_FIELD,
                          (size_t)most * sizeof *f->from + (size_t)floats * sizeof(float));
    if (!f->from)
        return NN_ENOMEM;
    f->dx = (float *)(f->from + most);
    f->dy = f->dx + n;
    f->place = f->dy + n;
    f->waves = f->place + bx->n;
    f->weight = f->waves + by->modes * bx->n;
    return NN_OK;
}

/* One displacement: alpha times smoothed noise that is uniform in [-1,1), so that its variance is 1/3. */
static void draw_field(const struct field *f, const struct basis *by, const struct basis *bx, double alpha,
                       struct nni_dice *dice, float *to)
{
    const struct nni_pixel_kernels *pixels = nni_pixels();

    for (int64_t l = 0; l < bx->modes; l++)
        f->from[l] = bx->q + l * bx->n;
    for (int64_t k = 0; k < by->modes; k++) {
        for (int64_t l = 0; l < bx->modes; l++)
            f->weight[l] = (float)(alpha * sqrt(1.0 / 3) * by->left[k] * bx->left[l] * nni_dice_normal(dice));
        pixels->weighted_sum(f->waves + k * bx->n, f->from, f->weight, bx->modes, bx->n);
    }
    for (int64_t k = 0; k < by->modes; k++)
        f->from[k] = f->waves + k * bx->n;
    for (int64_t y = 0; y < by->n; y++) {
        for (int64_t k = 0; k < by->modes; k++)
            f->weight[k] = by->q[k * by->n + y];
        pixels->weighted_sum(to + y * bx->n, f->from, f->weight, by->modes, bx->n);
    }
}

static void row(const void *context, int64_t y, int64_t width, int32_t *sx, int32_t *sy)
{
    const struct nni_pixel_kernels *pixels = nni_pixels();
    const struct field *f = context;

    for (int64_t x = 0; x < width; x++)
        f->place[x] = (float)x + f->dx[y * width + x];
    pixels->round_places(sx, f->place, width);
    for (int64_t x = 0; x < width; x++)
        f->place[x] = (float)y + f->dy[y * width + x];
    pixels->round_places(sy, f->place, width);
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t n = c->width * c->height;
    size_t first = (basis_bytes(c->width) + 63) & ~(size_t)63, size = first + basis_bytes(c->height);
    bool fresh = !c->scratch->memory[NNI_SCRATCH_BASIS] || c->scratch->size[NNI_SCRATCH_BASIS] < size;
    char *bases = nni_scratch(c->scratch, NNI_SCRATCH_BASIS, size);
    double alpha = s->low[ALPHA];
    const struct basis *bx, *by;
    struct nni_dice dice = drawn->dice;
    struct field f;
    int rc = bases ? warp_points(drawn, c) : NN_ENOMEM;

    if (rc)
        return rc;
    bx = basis_at(bases, fresh, c->width, s->low[SIGMA]);
    by = c->width == c->height ? bx : basis_at(bases + first, true, c->height, s->low[SIGMA]);
    rc = field_at(&f, by, bx, c->scratch);
    if (rc)
        return rc;
    for (int64_t i = 0; drawn->noise && i < 2 * n; i++) /* dx, then dy */
        f.dx[i] = (float)(drawn->noise[i] * alpha);
    if (!drawn->noise) {
        draw_field(&f, by, bx, alpha, &dice, f.dx);
        draw_field(&f, by, bx, alpha, &dice, f.dy);
    }
    return nni_warp(c, row, &f, NNI_BORDER_MIRROR);
}

const struct nni_transform nni_transform_elastic = {
    .name = "elastic",
    .p = 0.5,
    .setting = { [ALPHA] = { "alpha", 1, 1, 0, 1e6 },
                 [SIGMA] = { "sigma", 50, 50, 1, 1000 },
                 [AFFINE] = { "affine", 50, 50, 0, 1e6 } },
    .draw = draw,
    .apply = apply,
};
