/* SPDX-License-Identifier: MIT
 *
 * Elastic deformation (Simard, Steinkraus and Platt, ICDAR 2003) as Albumentations 1.3.1 does it: three
 * points of a square are moved at random and the affine map that moves them so is applied; then every pixel
 * is fetched from a place shifted by smoothed noise. Both warps mirror the edges.
 *
 * The smoothing is a Gaussian of hundreds of taps. Over a mirrored edge it is diagonal in the cosine basis
 * q_k(i) = cos(pi k (2i+1) / 2n), and of its eigenvalues H(k) only the first few are not small: the field is
 * sum_kl H(k) H(l) C_kl q_k q_l with C the noise in that basis, and where neither k nor l is among the first,
 * the product is below what a float of the map can hold. What is left costs a few percent of the taps.
 */
#include "vision/warp.h"

#include <math.h>
#include <string.h>

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

/* The cosine basis of one side and what smoothing does to it. */
struct basis {
    int64_t n;
    int64_t few; /* modes that are not small */
    double sigma;
    double *response; /* [n]: H(k) over the square of the norm of q_k */
    double *q;        /* [n][n]: q[k][i] */
};

static size_t basis_bytes(int64_t n) { return sizeof(struct basis) + (size_t)(n + n * n) * sizeof(double); }

/* At `memory`; kept there as long as size and sigma stay the same. */
static struct basis *basis_at(void *memory, bool fresh, int64_t n, double sigma)
{
    struct basis *b = memory;
    int64_t radius = (int64_t)(4 * sigma + 0.5), k;
    double all = 0;

    if (!fresh && b->n == n && b->sigma == sigma)
        return b;
    *b = (struct basis){ .n = n, .sigma = sigma };
    b->response = (double *)(b + 1);
    b->q = b->response + n;
    for (k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++)
            b->q[k * n + i] =
                cos(3.14159265358979323846 * (double)(k * (2 * i + 1) % (4 * n)) / (double)(2 * n));
    for (int64_t j = -radius; j <= radius; j++)
        all += exp(-0.5 * (double)(j * j) / (sigma * sigma));
    for (k = 0; k < n; k++) {
        double h = 0;

        for (int64_t j = -radius; j <= radius; j++)
            h += exp(-0.5 * (double)(j * j) / (sigma * sigma)) *
                 cos(3.14159265358979323846 * (double)(k * j % (2 * n)) / (double)n);
        h /= all;
        if (fabs(h) > 1e-4)
            b->few = k + 1;
        b->response[k] = h / (k ? 0.5 * (double)n : (double)n);
    }
    return b;
}

/* out[k][x] = sum_y q[k][y] in[y][x] for k below `few` */
static void analyse_columns(const struct basis *b, const double *in, int64_t width, int64_t few, double *out)
{
    memset(out, 0, (size_t)(few * width) * sizeof *out);
    for (int64_t y = 0; y < b->n; y++)
        for (int64_t k = 0; k < few; k++) {
            double q = b->q[k * b->n + y];

            for (int64_t x = 0; x < width; x++)
                out[k * width + x] += q * in[y * width + x];
        }
}

static double dot(const double *a, const double *b, int64_t n)
{
    double part[4] = { 0 };
    int64_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            part[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        part[0] += a[i] * b[i];
    return (part[0] + part[2]) + (part[1] + part[3]);
}

/* Smooths noise[height][width] in place; `work` holds 2*(height+width)*MOST(few) numbers. */
static void smooth(const struct basis *by, const struct basis *bx, double *noise, double *work)
{
    int64_t h = by->n, w = bx->n, fy = by->few, fx = bx->few;
    double *rows = work, *shaped = rows + fy * w, *columns = shaped + fy * w, *turned = columns + h * fx;

    /* Few modes along y, all along x: rows[k] is first the noise seen through q_k, then what it becomes. */
    analyse_columns(by, noise, w, fy, rows);
    memset(shaped, 0, (size_t)(fy * w) * sizeof *shaped);
    for (int64_t k = 0; k < fy; k++)
        for (int64_t l = 0; l < w; l++) {
            double a = dot(rows + k * w, bx->q + l * w, w) * bx->response[l] * by->response[k];

            for (int64_t x = 0; x < w; x++)
                shaped[k * w + x] += a * bx->q[l * w + x];
        }
    /* Few along x and, along y, those not counted yet. */
    for (int64_t y = 0; y < h; y++)
        for (int64_t l = 0; l < fx; l++)
            columns[l * h + y] = dot(noise + y * w, bx->q + l * w, w);
    memset(turned, 0, (size_t)(h * fx) * sizeof *turned);
    for (int64_t l = 0; l < fx; l++)
        for (int64_t k = fy; k < h; k++) {
            double a = dot(columns + l * h, by->q + k * h, h) * bx->response[l] * by->response[k];

            for (int64_t y = 0; y < h; y++)
                turned[l * h + y] += a * by->q[k * h + y];
        }
    memset(noise, 0, (size_t)(h * w) * sizeof *noise);
    for (int64_t y = 0; y < h; y++) {
        double *to = noise + y * w;

        for (int64_t k = 0; k < fy; k++) {
            double q = by->q[k * h + y];

            for (int64_t x = 0; x < w; x++)
                to[x] += q * shaped[k * w + x];
        }
        for (int64_t l = 0; l < fx; l++) {
            double t = turned[l * h + y];

            for (int64_t x = 0; x < w; x++)
                to[x] += t * bx->q[l * w + x];
        }
    }
}

struct field {
    const double *dx, *dy; /* [height][width] */
    int64_t width;
    double alpha;
};

static void row(const void *context, int64_t y, int64_t width, int32_t *sx, int32_t *sy)
{
    const struct field *f = context;
    const double *dx = f->dx + y * f->width, *dy = f->dy + y * f->width;

    for (int64_t x = 0; x < width; x++) {
        sx[x] = nni_warp_round((float)((double)x + (double)(float)(dx[x] * f->alpha)));
        sy[x] = nni_warp_round((float)((double)y + (double)(float)(dy[x] * f->alpha)));
    }
}

/* Uniform in [-1,1). */
static void fill(const struct nni_drawn *drawn, int64_t n, double *noise)
{
    struct nni_dice dice = drawn->dice;

    for (int64_t i = 0; i < n; i += 4) {
        uint32_t word[4];

        nni_stream_at(&dice.stream, dice.sample, dice.epoch, dice.index++, word);
        for (int64_t k = 0; k < 4 && i + k < n; k++)
            noise[i + k] = nni_uniform(word[k]) * 2 - 1;
    }
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t n = c->width * c->height;
    size_t first = (basis_bytes(c->width) + 63) & ~(size_t)63, size = first + basis_bytes(c->height);
    bool fresh = !c->scratch->memory[NNI_SCRATCH_BASIS] || c->scratch->size[NNI_SCRATCH_BASIS] < size;
    char *bases = nni_scratch(c->scratch, NNI_SCRATCH_BASIS, size);
    const struct basis *bx, *by;
    struct field f = { .width = c->width, .alpha = s->low[ALPHA] };
    double *noise;
    int rc;

    if (!bases)
        return NN_ENOMEM;
    bx = basis_at(bases, fresh, c->width, s->low[SIGMA]);
    by = c->width == c->height ? bx : basis_at(bases + first, true, c->height, s->low[SIGMA]);
    noise = nni_scratch(c->scratch, NNI_SCRATCH_FIELD,
                        (size_t)(2 * n + 2 * (by->few * c->width + bx->few * c->height)) * sizeof *noise);
    if (!noise)
        return NN_ENOMEM;
    rc = warp_points(drawn, c);
    if (rc)
        return rc;
    if (drawn->noise)
        memcpy(noise, drawn->noise, (size_t)(2 * n) * sizeof *noise);
    else
        fill(drawn, 2 * n, noise);
    for (int i = 0; i < 2; i++)
        smooth(by, bx, noise + i * n, noise + 2 * n);
    f.dx = noise;
    f.dy = noise + n;
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
