/* SPDX-License-Identifier: MIT
 *
 * A 3x3 convolution of stride 1 in squares of 2x2 results (Winograd's F(2x2,3x3); Lavin and Gray, Fast
 * algorithms for convolutional neural networks, 2016):
 *
 *     Y = A^T [ (G g G^T) * (B^T d B) ] A          d: the 4x4 pixels a square reads, g: the weights
 *
 * where * is by element. Summed over channels, each of the 16 elements is a matrix product, squares x
 * channels times channels x cols: 16 multiplications for 4 results, where the direct way takes 36. The
 * matrices of A and B are 0, 1, -1 and 1/2, and sums are a ninth as long as the direct ones, so results are
 * about as precise.
 *
 * A tile is some rows of squares and some columns. Its transformed pixels and the 16 products of a chunk of
 * rows stay in the second-level cache.
 */
#include "ops/winograd.h"

#include <string.h>

enum { SQUARE = 4, TAPS = 9, PLANES = NNI_WINOGRAD };
enum {
    CACHED = 768 << 10, /* bytes of a chunk, unless that were fewer squares than LEAST */
    LEAST = 48,         /* squares that share a pass over the weights */
    TARGET = 32,        /* tiles */
    TILE_FLOPS = 2000000,
    PACKED = 64, /* channels of the weights in lane memory */
    BLOCK = 96,  /* of cols and of channels in the weights' gradient */
    SCRATCH_BYTES = 32 << 20
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* An odd number of cache lines: 16 matrices written in step never share a set. */
static int64_t odd_lines(int64_t elements)
{
    const int64_t line = 64 / (int64_t)sizeof(nn_real);

    return (ceil_div(elements, line) | 1) * line;
}

/* What a tile has in its lane memory. */
struct memory {
    nn_real *zero;  /* a pixel outside of the image */
    nn_real *v, *m; /* 16 matrices of pixels, and of products */
    nn_real *block; /* results of a row of squares and a panel */
    int64_t ldv, v_apart, ldm, m_apart, width;
};

static struct memory memory_of(const struct nni_winograd *w, void *lane, size_t *bytes)
{
    int64_t squares = w->chunk * w->across, wide = w->gemm->units * NNI_GEMM_UNIT, all;
    struct memory x = { .ldv = odd_lines(w->channels),
                        .ldm = odd_lines(ceil_div(w->panels, w->col_tiles) * wide),
                        .width = wide };
    int64_t block = 4 * w->across * wide;

    x.v_apart = odd_lines(squares * x.ldv);
    x.m_apart = odd_lines(squares * x.ldm);
    all = x.ldv + PLANES * (x.v_apart + x.m_apart) + block;
    if (bytes)
        *bytes = (size_t)all * sizeof(nn_real);
    if (lane) {
        x.zero = lane;
        x.v = x.zero + x.ldv;
        x.m = x.v + PLANES * x.v_apart;
        x.block = x.m + PLANES * x.m_apart;
    }
    return x;
}

/* Rows of squares of a tile. Statistics want all tiles but the last of one size: whole images, or an equal
 * part of each. */
static void divide(struct nni_winograd *w, int64_t squares)
{
    int64_t wanted = ceil_div(squares, w->across);

    if (wanted >= w->down || w->dst_h % 2) {
        int64_t images = most(1, wanted / w->down);

        w->rows = least(images, w->n) * w->down;
        w->tile_pixels = least(images, w->n) * w->dst_h * w->dst_w;
    } else {
        while (w->down % wanted)
            wanted++;
        w->rows = wanted;
        w->tile_pixels = 2 * wanted * w->dst_w;
    }
    w->row_tiles = ceil_div(w->n * w->down, w->rows);
    w->chunk = least(w->rows, ceil_div(squares, w->across));
}

struct nni_winograd nni_winograd_of(const struct nni_gemm_kernels *gemm, struct nni_winograd w)
{
    int64_t squares, target;
    double flops;

    w.gemm = gemm;
    w.across = ceil_div(w.dst_w, 2);
    w.down = ceil_div(w.dst_h, 2);
    flops = 2.0 * PLANES * (double)(w.n * w.down * w.across) * (double)w.channels * (double)w.cols;
    target = flops > (double)TILE_FLOPS * TARGET ? TARGET : 1 + (int64_t)(flops / TILE_FLOPS);
    squares = most(LEAST, CACHED / (PLANES * (int64_t)sizeof(nn_real)) / (w.channels + w.cols));
    divide(&w, squares);
    w.product = nni_gemm_of(gemm, w.chunk * w.across, w.cols, w.channels, NNI_LOAD_NONE);
    w.panels = w.product.panels;
    w.col_tiles = 2 * w.row_tiles > target ? 1 : least(w.panels, ceil_div(target, w.row_tiles));
    w.packed_bytes = PLANES * w.product.packed_bytes;
    w.pack_lane_bytes =
        (size_t)(TAPS * least(w.channels, PACKED) * gemm->units * NNI_GEMM_UNIT) * sizeof(nn_real);
    (void)memory_of(&w, NULL, &w.lane_bytes);
    return w;
}

void nni_winograd_pack(const struct nni_winograd *w, const struct nni_winograd_kernels *kernels,
                       const struct nni_gemm_b *b, nn_real *packed, int64_t panel, void *lane)
{
    struct nni_gemm_panel p = nni_gemm_panel_of(&w->product, panel);
    int64_t apart = (int64_t)(w->product.packed_bytes / sizeof(nn_real));

    for (int64_t c = 0; c < w->channels; c += PACKED) {
        int64_t some = least(PACKED, w->channels - c), count = some * p.width;
        struct nni_gemm_b part = *b;
        nni_gemm taps = w->product;

        part.at += c * b->inner_stride;
        part.inner = some;
        taps.k = TAPS * some;
        nni_gemm_pack_panel(&taps, &part, lane, panel);
        kernels->weights(packed + p.col0 * w->channels + c * p.width, apart, lane, count, count);
    }
}

/* Pixels as a transform takes them. */
struct grid {
    const struct nni_winograd_pixels *from;
    int64_t h, w, channels;  /* of an image */
    int64_t top, left, side; /* a square has side x side pixels, and the first one begins at (-top,-left) */
    int64_t first, count;    /* channels that are wanted */
    const void *zero;        /* those of a pixel outside of the image */
};

typedef void transform(nn_real *to, int64_t apart, const void *const *pixel, int64_t channels);

/* The pixels of the squares of rows j.. of all images, transformed to 16 matrices [squares][ld]. */
static void load(const struct nni_winograd *w, const struct grid *g, transform *apply, int64_t j,
                 int64_t rows, nn_real *to, int64_t ld, int64_t apart)
{
    for (int64_t end = j + rows; j < end; j++) {
        int64_t row0 = j / w->down * g->h, y0 = j % w->down * 2 - g->top;

        for (int64_t q = 0; q < w->across; q++, to += ld) {
            const void *pixel[SQUARE * SQUARE];

            for (int64_t i = 0; i < g->side * g->side; i++) {
                int64_t y = y0 + i / g->side, z = 2 * q - g->left + i % g->side;
                int64_t at = ((row0 + y) * g->w + z) * g->channels + g->first;

                pixel[i] = y >= 0 && y < g->h && z >= 0 && z < g->w
                               ? (const char *)g->from->at + (size_t)at * g->from->size
                               : g->zero;
            }
            apply(to, apart, pixel, g->count);
        }
    }
}

static struct grid grid_of(const struct nni_winograd *w, const struct nni_winograd_pixels *src,
                           const void *zero)
{
    return (struct grid){ .from = src,
                          .h = w->h,
                          .w = w->w,
                          .channels = w->channels,
                          .top = w->top,
                          .left = w->left,
                          .side = SQUARE,
                          .count = w->channels,
                          .zero = zero };
}

/* The results of the same rows in the columns of a panel, which begin at m. `seen` pixels of the tile have
 * been. */
static void store(const struct nni_winograd *w, const struct nni_winograd_io *io, int64_t j, int64_t rows,
                  struct nni_gemm_panel p, const nn_real *m, const struct memory *x, int64_t seen)
{
    int64_t ld = x->width;
    nn_real *below = x->block + 2 * w->across * ld;

    for (int64_t end = j + rows; j < end; j++) {
        int64_t y = j % w->down * 2, row0 = (j / w->down * w->dst_h + y) * w->dst_w;

        for (int64_t q = 0; q < w->across; q++, m += x->ldm)
            io->src.kernels->output(x->block + 2 * q * ld, below + 2 * q * ld, ld, m, x->m_apart, p.cols);
        for (int i = 0; i < 2 && y + i < w->dst_h; i++, row0 += w->dst_w, seen += w->dst_w) {
            const nn_real *block = i ? below : x->block;

            io->store(io->store_context, row0, w->dst_w, p.col0, p.cols, block, ld);
            if (io->look)
                io->look(io->look_context, seen, w->dst_w, p.col0, p.cols, block, ld);
        }
    }
}

/* Pixels in rows of squares [j0,j1). */
static int64_t pixels_of(const struct nni_winograd *w, int64_t j0, int64_t j1)
{
    int64_t odd = w->dst_h % 2 ? j1 / w->down - j0 / w->down : 0; /* each image's last row has one line */

    return (2 * (j1 - j0) - odd) * w->dst_w;
}

void nni_winograd_tile(const struct nni_winograd *w, const struct nni_winograd_io *io, const nn_real *packed,
                       int64_t tile, void *lane)
{
    struct memory x = memory_of(w, lane, NULL);
    int64_t rt = tile / w->col_tiles, ct = tile % w->col_tiles,
            apart = (int64_t)(w->product.packed_bytes / sizeof *packed);
    int64_t p0 = w->panels * ct / w->col_tiles, p1 = w->panels * (ct + 1) / w->col_tiles;
    int64_t j0 = rt * w->rows, j1 = least(j0 + w->rows, w->n * w->down);
    int64_t first = nni_gemm_panel_of(&w->product, p0).col0;
    struct grid g = grid_of(w, &io->src, x.zero);

    memset(x.zero, 0, (size_t)w->channels * sizeof *x.zero);
    for (int64_t j = j0; j < j1; j += w->chunk) {
        int64_t rows = least(w->chunk, j1 - j);

        load(w, &g, io->src.kernels->input, j, rows, x.v, x.ldv, x.v_apart);
        for (int i = 0; i < PLANES; i++)
            for (int64_t p = p0; p < p1; p++) {
                struct nni_gemm_panel b = nni_gemm_panel_of(&w->product, p);

                w->gemm->nn(rows * w->across, w->channels, x.v + i * x.v_apart, x.ldv,
                            packed + i * apart + b.col0 * w->channels, (int)(b.width / NNI_GEMM_UNIT),
                            x.m + i * x.m_apart + b.col0 - first, x.ldm);
            }
        for (int64_t p = p0; p < p1; p++) {
            struct nni_gemm_panel b = nni_gemm_panel_of(&w->product, p);

            store(w, io, j, rows, b, x.m + b.col0 - first, &x, rt * w->tile_pixels + pixels_of(w, j0, j));
        }
    }
}

/* ------------------------------------------------------- gradient of the weights */

/* What a tile has in its lane memory: zeros, and 16 matrices of each kind of pixels. */
struct memory_back {
    nn_real *zero, *v, *e;
    int64_t ldv, v_apart, lde, e_apart;
};

static struct memory_back memory_back_of(const struct nni_winograd_back *b, void *lane, size_t *bytes)
{
    int64_t squares = b->chunk * b->w.across, wide = b->w.gemm->units * NNI_GEMM_UNIT;
    struct memory_back x = { .ldv = odd_lines(ceil_div(b->w.panels, b->c_tiles) * wide),
                             .lde = odd_lines(b->o_size) };
    int64_t zeros = most(x.ldv, x.lde);

    x.v_apart = odd_lines(squares * x.ldv);
    x.e_apart = odd_lines(squares * x.lde);
    if (bytes)
        *bytes = (size_t)(zeros + PLANES * (x.v_apart + x.e_apart)) * sizeof(nn_real);
    if (lane) {
        x.zero = lane;
        x.v = x.zero + zeros;
        x.e = x.v + PLANES * x.v_apart;
    }
    return x;
}

static int64_t plane_of(const struct nni_winograd_back *b) { return b->w.cols * b->w.channels; }

struct nni_winograd_back nni_winograd_back_of(const struct nni_winograd *w)
{
    struct nni_winograd_back b = { .w = *w };
    int64_t all = w->n * w->down, per = BLOCK / NNI_GEMM_UNIT / w->gemm->units, blocks;
    int64_t squares = CACHED / (PLANES * (int64_t)sizeof(nn_real)) / (2 * BLOCK);
    double bytes = (double)PLANES * (double)plane_of(&b) * sizeof(nn_real);

    b.over = nni_gemm_of(w->gemm, squares, w->channels, w->cols, NNI_LOAD_NONE);
    b.w.panels = b.over.panels;
    b.c_tiles = ceil_div(b.over.panels, most(1, per));
    b.o_size = ceil_div(w->cols, ceil_div(w->cols, BLOCK));
    b.o_size = ceil_div(b.o_size, w->gemm->rows) * w->gemm->rows;
    b.o_tiles = ceil_div(w->cols, b.o_size);
    blocks = b.o_tiles * b.c_tiles;
    b.splits = most(1, least(ceil_div(TARGET, blocks), least(all, (int64_t)(SCRATCH_BYTES / bytes))));
    b.rows = ceil_div(all, b.splits);
    b.splits = ceil_div(all, b.rows);
    b.chunk = least(b.rows, ceil_div(squares, w->across));
    b.tiles = b.splits * blocks;
    b.scratch_bytes = (size_t)b.splits * (size_t)(PLANES * plane_of(&b)) * sizeof(nn_real);
    b.merge_lane_bytes = (size_t)(PLANES * w->channels) * sizeof(nn_real);
    (void)memory_back_of(&b, NULL, &b.lane_bytes);
    return b;
}

void nni_winograd_back_tile(const struct nni_winograd_back *b, const struct nni_winograd_pixels *src,
                            const struct nni_winograd_pixels *dst_grad, nn_real *sums, int64_t tile,
                            void *lane)
{
    const struct nni_winograd *w = &b->w;
    struct memory_back x = memory_back_of(b, lane, NULL);
    int64_t ct = tile % b->c_tiles, ot = tile / b->c_tiles % b->o_tiles,
            split = tile / b->c_tiles / b->o_tiles;
    int64_t p0 = w->panels * ct / b->c_tiles, p1 = w->panels * (ct + 1) / b->c_tiles;
    int64_t j0 = split * b->rows, j1 = least(j0 + b->rows, w->n * w->down), o0 = ot * b->o_size;
    struct nni_gemm_panel last = nni_gemm_panel_of(&b->over, p1 - 1);
    struct grid v = grid_of(w, src, x.zero);
    struct grid e = { .from = dst_grad,
                      .h = w->dst_h,
                      .w = w->dst_w,
                      .channels = w->cols,
                      .side = 2,
                      .first = o0,
                      .count = least(b->o_size, w->cols - o0),
                      .zero = x.zero };

    v.first = nni_gemm_panel_of(&b->over, p0).col0;
    v.count = last.col0 + last.cols - v.first;
    sums += split * PLANES * plane_of(b);
    memset(x.zero, 0,
           (size_t)(x.e - x.zero) * sizeof *x.zero); /* columns beyond the last are multiplied, too */
    for (int64_t j = j0; j < j1; j += b->chunk) {
        int64_t rows = least(b->chunk, j1 - j);

        load(w, &v, src->kernels->input, j, rows, x.v, x.ldv, x.v_apart);
        load(w, &e, dst_grad->kernels->gradient, j, rows, x.e, x.lde, x.e_apart);
        for (int i = 0; i < PLANES; i++)
            for (int64_t p = p0; p < p1; p++) {
                struct nni_gemm_panel c = nni_gemm_panel_of(&b->over, p);

                w->gemm->tn(e.count, rows * w->across, x.e + i * x.e_apart, x.lde,
                            x.v + i * x.v_apart + c.col0 - v.first, x.ldv, (int)(c.width / NNI_GEMM_UNIT),
                            sums + i * plane_of(b) + o0 * w->channels + c.col0, w->channels, c.cols, j > j0);
            }
    }
}

void nni_winograd_back_merge(const struct nni_winograd_back *b, const struct nni_winograd_kernels *kernels,
                             const nn_real *sums, int64_t col, nn_real *taps, nn_real *lane)
{
    int64_t c = b->w.channels;

    for (int i = 0; i < PLANES; i++)
        b->w.gemm->column_sums(lane + i * c, sums + i * plane_of(b) + col * c, PLANES * plane_of(b),
                               b->splits, c, NULL, 0);
    kernels->weights_back(taps, c, lane, c, c);
}
