/* SPDX-License-Identifier: MIT
 *
 * A picture saved as a JPEG file and read again, as happens to most pictures on their way to somebody who
 * asks whether they are real. A detector that has not seen it learns traces that the first upload wipes out.
 *
 * What happens to pixels is libjpeg-turbo's accurate integer path, to the bit, without making a file, because
 * entropy coding loses nothing: YCbCr, chroma averaged over 2x2 pixels or not, 8x8 blocks filled up with
 * their last pixels, integer cosine transform, quantisation, and all of it back, chroma by the "fancy"
 * triangle filter.
 */
#include "vision/transform.h"

enum { QUALITY, SUBSAMPLE }; /* settings, and drawn: quality; whether chroma is halved */
enum { SIDE = 8, BLOCK = SIDE * SIDE, HALF_BITS = 16 };

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[QUALITY] = (double)nni_dice_int(d, (int64_t)s->low[QUALITY], (int64_t)s->high[QUALITY]);
    out->v[SUBSAMPLE] = nni_dice_uniform(d, 0, 1) < s->low[SUBSAMPLE];
}

/* ---------------------------------------------------------------------------------- cosine transform */

/* The left half of sqrt(8) times the orthonormal cosine basis with 13 bits; the right half mirrors it, with
 * the sign of odd frequencies turned. The entries are sums of rounded constants of the fast algorithm by
 * Loeffler, Ligtenberg and Moschytz, therefore some are one off their cosine. */
static const int32_t basis[SIDE][SIDE / 2] = {
    { 8192, 8192, 8192, 8192 },     { 11363, 9633, 6437, 2260 },   { 10703, 4433, -4433, -10703 },
    { 9633, -2259, -11362, -6436 }, { 8192, -8192, -8192, 8192 },  { 6437, -11362, 2261, 9633 },
    { 4433, -10704, 10704, -4433 }, { 2260, -6436, 9633, -11363 },
};

static void transpose(int32_t block[BLOCK])
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < y; x++) {
            int32_t keep = block[y * SIDE + x];

            block[y * SIDE + x] = block[x * SIDE + y];
            block[x * SIDE + y] = keep;
        }
}

/* Each column to frequencies, with `shift` bits rounded away. */
static void analyse(int32_t block[BLOCK], int shift)
{
    int32_t fold[2][SIDE / 2][SIDE];

    for (int y = 0; y < SIDE / 2; y++)
        for (int x = 0; x < SIDE; x++) {
            int32_t a = block[y * SIDE + x], b = block[(SIDE - 1 - y) * SIDE + x];

            fold[0][y][x] = a + b;
            fold[1][y][x] = a - b;
        }
    for (int k = 0; k < SIDE; k++)
        for (int x = 0; x < SIDE; x++) {
            int32_t sum = 1 << (shift - 1);

            for (int y = 0; y < SIDE / 2; y++)
                sum += basis[k][y] * fold[k & 1][y][x];
            block[k * SIDE + x] = sum >> shift;
        }
}

/* And back. */
static void synthesise(int32_t block[BLOCK], int shift)
{
    int32_t in[BLOCK];

    for (int i = 0; i < BLOCK; i++)
        in[i] = block[i];
    for (int y = 0; y < SIDE / 2; y++)
        for (int x = 0; x < SIDE; x++) {
            int32_t even = 1 << (shift - 1), odd = 0;

            for (int k = 0; k < SIDE; k += 2) {
                even += basis[k][y] * in[k * SIDE + x];
                odd += basis[k + 1][y] * in[(k + 1) * SIDE + x];
            }
            block[y * SIDE + x] = (even + odd) >> shift;
            block[(SIDE - 1 - y) * SIDE + x] = (even - odd) >> shift;
        }
}

static uint8_t limited(int32_t v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* Two bits more than needed are kept between the passes; frequencies are eight times what is quantised. */
static void save_and_read(uint8_t *at, int64_t stride, const int quantum[BLOCK])
{
    int32_t block[BLOCK];

    for (int i = 0; i < BLOCK; i++)
        block[i] = at[i / SIDE * stride + i % SIDE] - 128;
    transpose(block);
    analyse(block, 13 - 2);
    transpose(block);
    analyse(block, 13 + 2);
    for (int i = 0; i < BLOCK; i++) {
        int32_t size = block[i] < 0 ? -block[i] : block[i], q = 8 * quantum[i];

        size = (size + q / 2) / q * quantum[i];
        block[i] = block[i] < 0 ? -size : size;
    }
    synthesise(block, 13 - 2);
    transpose(block);
    synthesise(block, 13 + 2 + 3);
    transpose(block);
    for (int i = 0; i < BLOCK; i++)
        at[i / SIDE * stride + i % SIDE] = limited(block[i] + 128);
}

/* ----------------------------------------------------------------------------------------------- colour */

/* One of Y, Cb and Cr: what is there of it, and the whole blocks that it is kept in. */
struct plane {
    uint8_t *at;
    int64_t width, height, stride, rows;
};

static int64_t at_most(int64_t v, int64_t most) { return v < most ? v : most; }

/* Y, Cb or Cr of a pixel; weights with 16 bits. */
static int component(const uint8_t *p, int which)
{
    static const int32_t weight[3][3] = { { 19595, 38470, 7471 },
                                          { -11059, -21709, 32768 },
                                          { 32768, -27439, -5329 } };
    int32_t half = 1 << (HALF_BITS - 1), offset = which ? (128 << HALF_BITS) + half - 1 : half;

    return (weight[which][0] * p[0] + weight[which][1] * p[1] + weight[which][2] * p[2] + offset) >>
           HALF_BITS;
}

/* Fills a plane, of which each value stands for `step` x `step` pixels, beyond the edges with the last ones.
 */
static void take(const struct plane *to, const struct nni_canvas *c, int which, int step)
{
    for (int64_t y = 0; y < to->rows; y++) {
        int64_t top = step * at_most(y, to->height - 1), bottom = at_most(top + step - 1, c->height - 1);
        const uint8_t *upper = (const uint8_t *)c->at + 3 * c->width * top;
        const uint8_t *lower = (const uint8_t *)c->at + 3 * c->width * bottom;

        for (int64_t x = 0; x < to->stride; x++) {
            int64_t left = 3 * at_most(step * x, c->width - 1),
                    right = 3 * at_most(step * x + 1, c->width - 1);

            to->at[y * to->stride + x] =
                (uint8_t)(step == 1 ? component(upper + left, which)
                                    : (component(upper + left, which) + component(upper + right, which) +
                                       component(lower + left, which) + component(lower + right, which) + 1 +
                                       (x & 1)) >>
                                          2); /* halves are rounded up and down in turn */
        }
    }
}

/* Row y of a plane of half the size, at full size: 3/4 of the nearer row and column and 1/4 of the farther.
 * Where a plane is no more than two values wide libjpeg repeats them instead. */
static void widen(const struct plane *p, int64_t y, int64_t width, uint8_t *to)
{
    int64_t other = y & 1 ? at_most(y / 2 + 1, p->height - 1) : y > 1 ? y / 2 - 1 : 0;
    const uint8_t *near = p->at + y / 2 * p->stride, *far = p->at + other * p->stride;

    for (int64_t x = 0; x < width; x++) {
        int64_t i = x / 2, j = x & 1 ? at_most(i + 1, p->width - 1) : i > 0 ? i - 1 : 0;

        to[x] = p->width <= 2
                    ? near[i]
                    : (uint8_t)((3 * (3 * near[i] + far[i]) + 3 * near[j] + far[j] + (x & 1 ? 7 : 8)) >> 4);
    }
}

static void put_row(uint8_t *rgb, const uint8_t *luma, const uint8_t *blue, const uint8_t *red, int64_t width)
{
    const int32_t half = 1 << (HALF_BITS - 1);

    for (int64_t x = 0; x < width; x++, rgb += 3) {
        int32_t cb = blue[x] - 128, cr = red[x] - 128;

        rgb[0] = limited(luma[x] + ((91881 * cr + half) >> HALF_BITS));
        rgb[1] = limited(luma[x] + ((-22554 * cb - 46802 * cr + half) >> HALF_BITS));
        rgb[2] = limited(luma[x] + ((116130 * cb + half) >> HALF_BITS));
    }
}

static void put(const struct plane plane[3], struct nni_canvas *c, bool halved, uint8_t *row[2])
{
    for (int64_t y = 0; y < c->height; y++) {
        const uint8_t *chroma[2];

        for (int k = 0; k < 2; k++) {
            const struct plane *p = &plane[k + 1];

            chroma[k] = halved ? row[k] : p->at + y * p->stride;
            if (halved)
                widen(p, y, c->width, row[k]);
        }
        put_row((uint8_t *)c->at + 3 * c->width * y, plane[0].at + y * plane[0].stride, chroma[0], chroma[1],
                c->width);
    }
}

static int64_t blocks(int64_t n) { return (n + SIDE - 1) / SIDE; }

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    bool halved = drawn->v[SUBSAMPLE] != 0;
    struct plane plane[3];
    size_t bytes = 0;
    uint8_t *memory, *row[2];

    (void)s;
    for (int k = 0; k < 3; k++) {
        struct plane *p = &plane[k];

        p->width = k && halved ? (c->width + 1) / 2 : c->width;
        p->height = k && halved ? (c->height + 1) / 2 : c->height;
        p->stride = blocks(p->width) * SIDE;
        p->rows = blocks(p->height) * SIDE;
        bytes += (size_t)(p->stride * p->rows);
    }
    memory = nni_scratch(c->scratch, NNI_SCRATCH_FIELD, bytes + 2 * (size_t)c->width);
    if (!memory)
        return NN_ENOMEM;
    for (int k = 0; k < 3; k++) {
        struct plane *p = &plane[k];
        int quantum[BLOCK];

        p->at = memory;
        memory += p->stride * p->rows;
        for (int i = 0; i < BLOCK; i++)
            quantum[i] = nni_jpeg_quantum(k > 0, i, (int)drawn->v[QUALITY]);
        take(p, c, k, k && halved ? 2 : 1);
        for (int64_t i = 0; i < blocks(p->width) * blocks(p->height); i++)
            save_and_read(p->at + i / blocks(p->width) * SIDE * p->stride + i % blocks(p->width) * SIDE,
                          p->stride, quantum);
    }
    row[0] = memory;
    row[1] = memory + c->width;
    put(plane, c, halved, row);
    return NN_OK;
}

const struct nni_transform nni_transform_jpeg = {
    .name = "jpeg",
    .p = 0.5,
    .bytes = true,
    .setting = { [QUALITY] = { "quality", 30, 95, 1, 100 }, [SUBSAMPLE] = { "subsample", 1, 1, 0, 1 } },
    .draw = draw,
    .apply = apply,
};
