/* SPDX-License-Identifier: MIT
 *
 * Three products, of any kernel, stride, dilation and number of groups, which are separate products of
 * the same shape.
 *
 *     down      map[r,o] = sum of patches[r,(tap,c)] * w        patches: what a pixel of the map reads
 *     up        image[p,c] = sum of readers[p,(tap,o)] * w      readers: what reads a pixel of the image
 *     weights   w[o,(tap,c)] = sum over r of map[r,o] * patches[r,(tap,c)]
 *
 * The matrices of patches and of readers never exist as a whole: a product takes pointers to the pixels
 * under each tap. Where it cannot (thin channels, bfloat16, weights, kernels without taps) they are copied,
 * one row tile at a time, in cache. Nothing is ever scattered, so that no two tiles write the same place.
 * With a stride a pixel of the image is read through some of the taps only, the same for all pixels a stride
 * apart: "up" is a product for each such lattice of pixels, with its own taps, and multiplies no zeros.
 */
#include "ops/patches.h"

#include "ops/product.h"
#include "ops/winograd.h"

#include <string.h>

enum { X, WEIGHT, BIAS };
enum { DIRECTION, SPLITS, O_TILES, I_TILES };  /* choices */
enum { COST_GRADIENT = 4, COST_PATCHES = 12 }; /* cycles for a vector */
enum { STEPS = 8 };                            /* larger strides have one lattice, and zeros */
enum { SMALL = 32, TOTAL_ROWS = 32, TOTAL_TILES = 64 };

/* Pixels as a product reads them: an operand, or its values (perhaps not yet computed) as nn_real. */
struct pixels {
    const nn_operand *operand;
    const nn_real *real;
};

/* A group of a convolution: the context of the loads. */
struct group {
    const nn_step *s;
    nni_conv_geometry g;
    int64_t index, ci, co, taps; /* ci, co: channels of the image and of the map in a group */
    struct pixels image, map;
};

static struct group group_of(const nn_step *s, int64_t index)
{
    struct group v = { .s = s, .index = index };
    struct pixels x = { .operand = &s->in[X] }, y = { .operand = &s->dout[0] };

    if (s->choice[DIRECTION] == NNI_IMAGE_TO_MAP) {
        v.g = nni_conv_of(s->attrs, s->in[X].shape, s->in[WEIGHT].shape);
        v.image = x;
        v.map = y;
    } else {
        v.g = nni_conv_transpose_of(s->attrs, s->in[X].shape, s->in[WEIGHT].shape);
        v.image = y;
        v.map = x;
    }
    v.ci = v.g.c / v.g.groups;
    v.co = v.g.o / v.g.groups;
    v.taps = v.g.kh * v.g.kw;
    return v;
}

/* The first of them, where they are nn_real. */
static const nn_real *pixels_at(const struct pixels *p) { return p->real ? p->real : p->operand->at; }

/* The product of a matrix of patches or readers, k of each tap. `there`: they are pixels of a tensor, all of
 * them, and read where they lie if that is nn_real. */
static nni_gemm product_of(const struct group *v, int64_t m, int64_t n, int64_t taps, int64_t k, bool there)
{
    if (there && nni_stored(v->s) == NNI_STORED_REAL)
        return nni_gemm_taps_of(nni_gemm_plain(v->s), m, n, taps, k);
    return nni_gemm_of(nni_gemm_plain(v->s), m, n, taps * k, NNI_LOAD_COPY);
}

static int64_t map_rows(const nni_conv_geometry *g) { return g->n * g->oh * g->ow; }

/* Elements from `at` on. */
static void copy(const struct group *v, nn_real *to, const struct pixels *p, int64_t at, int64_t count)
{
    const nn_real *from = p->real ? p->real + at : nni_at(p->operand, at);

    if (!p->real && nni_stored(v->s) != NNI_STORED_REAL)
        nni_pointwise_of(v->s)->widen(to, (const void *)from, count, false);
    else if (count >= SMALL)
        nni_gemm_real(v->s)->prologue(to, 0, from, 0, 1, count, &(struct nni_prologue){ 0 });
    else {
        int64_t i = 0;

        for (; i + 4 <= count; i += 4)
            memcpy(to + i, from + i, 4 * sizeof *to); /* which is one instruction */
        for (; i < count; i++)
            to[i] = from[i];
    }
}

static void zero(nn_real *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = 0;
}

/* Row, column and image of a pixel that walks along the rows of a matrix. */
struct walk {
    int64_t q, p, n;
};

static struct walk walk_from(int64_t row, int64_t height, int64_t width)
{
    return (struct walk){ .q = row % width, .p = row / width % height, .n = row / width / height };
}

static void walk_on(struct walk *at, int64_t height, int64_t width)
{
    if (++at->q < width)
        return;
    at->q = 0;
    if (++at->p < height)
        return;
    at->p = 0;
    at->n++;
}

/* Rows of the matrix of patches; its columns are [kh][kw][channels of the group]. */
static void load_patches(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                         nn_real *dst, int64_t ld)
{
    const struct group *v = context;
    const nni_conv_geometry *g = &v->g;
    struct walk at = walk_from(row0, g->oh, g->ow);
    int64_t end = col0 + cols, across = g->kw * v->ci;
    int dense =
        g->dilation == 1 && g->groups == 1; /* a row of the kernel is in one piece, inside the image */

    for (int64_t r = 0; r < rows; r++, dst += ld, walk_on(&at, g->oh, g->ow)) {
        int64_t top = at.p * g->stride - g->pad_top, left = at.q * g->stride - g->pad_left;
        int whole = dense && top >= 0 && left >= 0 && top + g->kh <= g->h && left + g->kw <= g->w;

        for (int64_t col = col0, piece; col < end; col += piece) {
            int64_t size = whole ? across : v->ci, tap = col / v->ci, inside = col % size;
            int64_t y = top + tap / g->kw * g->dilation, z = left + (whole ? 0 : tap % g->kw * g->dilation);

            piece = nni_min64(size - inside, end - col);
            if (y >= 0 && y < g->h && z >= 0 && z < g->w)
                copy(v, dst + col - col0, &v->image,
                     ((at.n * g->h + y) * g->w + z) * g->c + v->index * v->ci + inside, piece);
            else
                zero(dst + col - col0, piece);
        }
    }
}

/* Where the pixels of those rows lie, by tap. */
static void point_patches(const void *context, int64_t row0, int64_t rows, const nn_real *zero,
                          const nn_real **row)
{
    const struct group *v = context;
    const nni_conv_geometry *g = &v->g;
    const nn_real *image = pixels_at(&v->image) + v->index * v->ci;
    struct walk at = walk_from(row0, g->oh, g->ow);

    for (int64_t r = 0; r < rows; r++, walk_on(&at, g->oh, g->ow)) {
        int64_t y = at.p * g->stride - g->pad_top, left = at.q * g->stride - g->pad_left;
        const nn_real **to = row + r;

        for (int64_t i = 0; i < g->kh; i++, y += g->dilation) {
            const nn_real *line = y >= 0 && y < g->h ? image + (at.n * g->h + y) * g->w * g->c : NULL;
            int64_t x = left;

            for (int64_t j = 0; j < g->kw; j++, x += g->dilation, to += rows)
                *to = line && x >= 0 && x < g->w ? line + x * g->c : zero;
        }
    }
}

/* Rows of the map. */
static void load_map(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                     nn_real *dst, int64_t ld)
{
    const struct group *v = context;
    int64_t first = v->index * v->co + col0;

    if (!v->map.real && v->map.operand == &v->s->dout[0])
        nni_total_gradient(v->s, nni_gemm_plain(v->s), row0, rows, first, cols, dst, ld);
    else
        for (int64_t r = 0; r < rows; r++)
            copy(v, dst + r * ld, &v->map, (row0 + r) * v->g.o + first, cols);
}

/* ----------------------------------------------------- down: from image to map */

static nni_gemm down_of(const struct group *v)
{
    return product_of(v, map_rows(&v->g), v->co, v->taps, v->ci, true);
}

static void *packed_at(const nn_step *s, size_t offset) { return (char *)s->derived.at + offset; }

static struct nni_gemm_b weights_down(const struct group *v)
{
    int64_t k = v->taps * v->ci;

    return (struct nni_gemm_b){ .at = (const nn_real *)v->s->in[WEIGHT].at + v->index * v->co * k,
                                .inner = v->ci,
                                .outer_stride = 1,
                                .inner_stride = v->taps,
                                .n_stride = k };
}

static void pack_down(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    nni_gemm g = down_of(&v);
    struct nni_gemm_b b;

    (void)lane;
    v.index = tile / g.panels;
    b = weights_down(&v);
    nni_gemm_pack(&g, &b, packed_at(s, (size_t)v.index * g.packed_bytes), tile % g.panels);
}

/* A tile of the group that v is of. */
static void down_tile(const struct group *v, const nni_gemm *g, nni_gemm_store *store, const void *context,
                      int64_t tile, void *lane)
{
    nni_gemm_io io = { .load_a = load_patches,
                       .point_a = point_patches,
                       .load_context = v,
                       .store_c = store,
                       .store_context = context };

    nni_gemm_tile(g, &io, packed_at(v->s, (size_t)v->index * g->packed_bytes), tile, lane);
}

/* ------------------------------------------------------- up: from map to image */

/* Every `step`-th pixel of the image along an axis, and the taps through which they are read. */
struct axis {
    int64_t first, count;
    int64_t tap, apart, taps; /* the first tap, and from one to the next */
};

static struct axis axis_of(int64_t first, int64_t size, int64_t step, int64_t k, int64_t pad,
                           int64_t dilation)
{
    struct axis a = { .first = first,
                      .count = first < size ? (size - first + step - 1) / step : 0,
                      .apart = 1 };

    while (a.apart * dilation % step)
        a.apart++;
    while (a.tap < a.apart && (first + pad - a.tap * dilation) % step)
        a.tap++;
    if (a.tap < a.apart && a.tap < k)
        a.taps = (k - a.tap + a.apart - 1) / a.apart;
    return a;
}

static int64_t last_tap(const struct axis *a) { return a->tap + (a->taps - 1) * a->apart; }

struct lattice {
    const struct group *v;
    int64_t step;
    struct axis y, x;
    nni_gemm gemm;         /* all zero when there is no pixel */
    int64_t tiles, panels; /* of all earlier lattices */
    size_t packed_bytes;
};

/* For lattice_next, which goes from one to the next, and after the last returns 0 with the sums of all. */
static struct lattice lattices_of(const struct group *v)
{
    return (struct lattice){ .v = v, .step = v->g.stride <= STEPS ? v->g.stride : 1, .x.first = -1 };
}

static int lattice_next(struct lattice *l)
{
    const nni_conv_geometry *g = &l->v->g;
    int64_t y = l->y.first, x = l->x.first + 1;

    l->tiles += nni_gemm_tiles(&l->gemm);
    l->panels += l->gemm.panels;
    l->packed_bytes += l->gemm.packed_bytes;
    if (x == l->step) {
        x = 0;
        y++;
    }
    if (y == l->step)
        return 0;
    l->y = axis_of(y, g->h, l->step, g->kh, g->pad_top, g->dilation);
    l->x = axis_of(x, g->w, l->step, g->kw, g->pad_left, g->dilation);
    l->gemm = (nni_gemm){ 0 };
    if (l->y.count && l->x.count)
        l->gemm = product_of(l->v, g->n * l->y.count * l->x.count, l->v->ci, l->y.taps * l->x.taps, l->v->co,
                             l->step == g->stride);
    return 1;
}

/* Tiles, panels and bytes of one group. */
static struct lattice all_lattices(const struct group *v)
{
    struct lattice l = lattices_of(v);

    while (lattice_next(&l))
        ;
    return l;
}

/* Rows of the matrix of readers; its columns are [tap][tap][channels of the group], the last tap first: at
 * the leftmost pixel of the map. */
static void load_readers(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                         nn_real *dst, int64_t ld)
{
    const struct lattice *l = context;
    const struct group *v = l->v;
    const nni_conv_geometry *g = &v->g;
    struct walk at = walk_from(row0, l->y.count, l->x.count);
    int64_t stride = g->stride, apart = l->x.apart * g->dilation;
    int64_t last_y = last_tap(&l->y) * g->dilation, last_x = last_tap(&l->x) * g->dilation;
    int zeros = l->step != stride, dense = !zeros && apart == stride && g->groups == 1;

    (void)col0;
    (void)cols;
    for (int64_t r = 0; r < rows; r++, dst += ld, walk_on(&at, l->y.count, l->x.count)) {
        int64_t top = l->y.first + at.p * l->step + g->pad_top - last_y;
        int64_t left = l->x.first + at.q * l->step + g->pad_left - last_x;
        nn_real *to = dst;

        for (int64_t i = 0; i < l->y.taps; i++, top += l->y.apart * g->dilation) {
            int inside = top >= 0 && top < g->oh * stride && !(zeros && top % stride);
            int64_t row = inside ? (at.n * g->oh + top / stride) * g->ow : 0;
            int whole = dense && left >= 0 && left + (l->x.taps - 1) * apart < g->ow * stride;
            int64_t pieces = whole ? 1 : l->x.taps, piece = v->co * (whole ? l->x.taps : 1);

            for (int64_t j = 0; j < pieces; j++, to += piece) {
                int64_t z = left + j * apart;

                if (inside && z >= 0 && z < g->ow * stride && !(zeros && z % stride))
                    copy(v, to, &v->map, (row + z / stride) * g->o + v->index * v->co, piece);
                else
                    zero(to, piece);
            }
        }
    }
}

/* Where the readers of those rows lie, without the zeros of a lattice that is finer than the map. */
static void point_readers(const void *context, int64_t row0, int64_t rows, const nn_real *zero,
                          const nn_real **row)
{
    const struct lattice *l = context;
    const struct group *v = l->v;
    const nni_conv_geometry *g = &v->g;
    const nn_real *map = pixels_at(&v->map) + v->index * v->co;
    struct walk at = walk_from(row0, l->y.count, l->x.count);
    int64_t down = l->y.apart * g->dilation / g->stride, across = l->x.apart * g->dilation / g->stride;
    int64_t top = (l->y.first + g->pad_top - last_tap(&l->y) * g->dilation) / g->stride;
    int64_t left = (l->x.first + g->pad_left - last_tap(&l->x) * g->dilation) / g->stride;

    for (int64_t r = 0; r < rows; r++, walk_on(&at, l->y.count, l->x.count)) {
        const nn_real **to = row + r;

        for (int64_t i = 0; i < l->y.taps; i++) {
            int64_t p = at.p + top + i * down, q = at.q + left;
            const nn_real *line = p >= 0 && p < g->oh ? map + (at.n * g->oh + p) * g->ow * g->o : NULL;

            for (int64_t j = 0; j < l->x.taps; j++, q += across, to += rows)
                *to = line && q >= 0 && q < g->ow ? line + q * g->o : zero;
        }
    }
}

/* Blocks of a lattice go to out[0], with the bias, or to din[X]. */
static void store_up(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                     const nn_real *block, int64_t ld)
{
    const struct lattice *l = context;
    const struct group *v = l->v;
    const nni_conv_geometry *g = &v->g;
    const nn_operand *to = nn_has(&v->s->din[X]) ? &v->s->din[X] : &v->s->out[0];
    const nn_real *bias = to == &v->s->out[0] ? nni_real_at(&v->s->in[BIAS]) : NULL;
    int64_t first = v->index * v->ci + col0;

    for (int64_t run; rows > 0; rows -= run, row0 += run, block += run * ld) {
        struct walk at = walk_from(row0, l->y.count, l->x.count);
        int64_t y = l->y.first + at.p * l->step, x = l->x.first + at.q * l->step;

        run = l->step == 1 ? rows : nni_min64(rows, l->x.count - at.q);
        nni_gemm_plain(v->s)->store(nni_at(to, ((at.n * g->h + y) * g->w + x) * g->c + first), l->step * g->c,
                                    block, ld, run, cols, bias ? bias + first : NULL,
                                    to == &v->s->din[X] && nni_adds(v->s, X));
    }
}

static struct nni_gemm_b weights_up(const struct lattice *l)
{
    const struct group *v = l->v;
    int64_t k = v->taps * v->ci, last = last_tap(&l->y) * v->g.kw + last_tap(&l->x);

    return (struct nni_gemm_b){ .at = (const nn_real *)v->s->in[WEIGHT].at + v->index * v->co * k + last,
                                .inner = v->co,
                                .across = l->x.taps,
                                .outer_stride = -l->y.apart * v->g.kw,
                                .across_stride = -l->x.apart,
                                .inner_stride = k,
                                .n_stride = v->taps };
}

static void pack_up(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    struct lattice all = all_lattices(&v), l = lattices_of(&v);
    int64_t panel = tile % all.panels;
    struct nni_gemm_b b;

    (void)lane;
    v.index = tile / all.panels;
    while (lattice_next(&l) && panel >= l.panels + l.gemm.panels)
        ;
    if (!l.gemm.k)
        return;
    b = weights_up(&l);
    nni_gemm_pack(&l.gemm, &b, packed_at(s, (size_t)v.index * all.packed_bytes + l.packed_bytes),
                  panel - l.panels);
}

/* ------------------------------------- either of them, in squares (winograd.h) */

enum { LEAST_CHANNELS = 32, LEAST_SIDE = 4 }; /* below, the transforms cost more than they save */

static bool in_squares(const struct group *v)
{
    const nni_conv_geometry *g = &v->g;

    return g->kh == 3 && g->kw == 3 && g->stride == 1 && g->dilation == 1 && g->groups == 1 &&
           nni_min64(g->c, g->o) >= LEAST_CHANNELS && nni_min64(g->h, g->w) >= LEAST_SIDE &&
           nni_min64(g->oh, g->ow) >= LEAST_SIDE;
}

/* Up is down from the map, with the kernel turned around. */
static struct nni_winograd squares_of(const struct group *v, int up)
{
    const nni_conv_geometry *g = &v->g;
    struct nni_winograd down = { .n = g->n,
                                 .h = g->h,
                                 .w = g->w,
                                 .channels = g->c,
                                 .dst_h = g->oh,
                                 .dst_w = g->ow,
                                 .cols = g->o,
                                 .top = g->pad_top,
                                 .left = g->pad_left };
    struct nni_winograd turned = { .n = g->n,
                                   .h = g->oh,
                                   .w = g->ow,
                                   .channels = g->o,
                                   .dst_h = g->h,
                                   .dst_w = g->w,
                                   .cols = g->c,
                                   .top = g->kh - 1 - g->pad_top,
                                   .left = g->kw - 1 - g->pad_left };

    return nni_winograd_of(nni_gemm_plain(v->s), up ? turned : down);
}

static void pack_squares(const nn_step *s, int up, int64_t panel, void *lane)
{
    struct group v = group_of(s, 0);
    struct lattice l = lattices_of(&v);
    struct nni_winograd w = squares_of(&v, up);
    struct nni_gemm_b b = weights_down(&v);

    if (up && lattice_next(&l)) /* the only one */
        b = weights_up(&l);
    nni_winograd_pack(&w, nni_cpu_of(s)->winograd[NNI_STORED_REAL], &b, packed_at(s, 0), panel, lane);
}

static void pack_squares_down(const nn_step *s, int64_t tile, void *lane) { pack_squares(s, 0, tile, lane); }
static void pack_squares_up(const nn_step *s, int64_t tile, void *lane) { pack_squares(s, 1, tile, lane); }

static struct nni_winograd_pixels squares_read(const struct group *v, const struct pixels *p)
{
    int stored = p->real ? NNI_STORED_REAL : nni_stored(v->s);

    return (struct nni_winograd_pixels){ .kernels = nni_cpu_of(v->s)->winograd[stored],
                                         .at = p->real ? p->real : p->operand->at,
                                         .size = nn_dtype_size(p->real ? NN_REAL : p->operand->type) };
}

/* statistics may be NULL. */
static void squares_tile(const struct group *v, int up, nni_gemm_store *store, const void *context,
                         const struct nni_output *statistics, int64_t tile, void *lane)
{
    struct nni_winograd w = squares_of(v, up);
    struct nni_winograd_io io = { .src = squares_read(v, up ? &v->map : &v->image),
                                  .store = store,
                                  .store_context = context,
                                  .look = statistics ? nni_output_look : NULL,
                                  .look_context = statistics };

    nni_winograd_tile(&w, &io, packed_at(v->s, 0), tile, lane);
}

static void up_tile(struct group *v, int64_t tile, void *lane)
{
    struct lattice all = all_lattices(v), l = lattices_of(v);
    nni_gemm_io io = { .load_a = load_readers,
                       .point_a = point_readers,
                       .load_context = &l,
                       .store_c = store_up,
                       .store_context = &l };

    if (in_squares(v)) {
        (void)lattice_next(&l);
        squares_tile(v, 1, store_up, &l, NULL, tile, lane);
        return;
    }
    v->index = tile / all.tiles;
    tile %= all.tiles;
    while (lattice_next(&l) && tile >= l.tiles + nni_gemm_tiles(&l.gemm))
        ;
    nni_gemm_tile(&l.gemm, &io, packed_at(v->s, (size_t)v->index * all.packed_bytes + l.packed_bytes),
                  tile - l.tiles, lane);
}

static size_t up_lane_bytes(const struct group *v)
{
    struct lattice l = lattices_of(v);
    size_t most = 0;

    while (lattice_next(&l))
        most = nni_max_size(most, l.gemm.lane_bytes);
    return most;
}

/* Tiles of either product. */
static int64_t product_tiles(const struct group *v, int up)
{
    struct lattice all = all_lattices(v);
    nni_gemm down = down_of(v);

    if (in_squares(v)) {
        struct nni_winograd w = squares_of(v, up);

        return nni_winograd_tiles(&w);
    }
    return v->g.groups * (up ? all.tiles : nni_gemm_tiles(&down));
}

/* Declares the packed weights. */
static void prepare_product(nn_step *s, int up)
{
    struct group v = group_of(s, 0);
    struct lattice all = all_lattices(&v);
    nni_gemm down = down_of(&v);

    s->derived.reads = NN_IN(WEIGHT);
    if (in_squares(&v)) {
        struct nni_winograd w = squares_of(&v, up);

        s->derived.bytes = w.packed_bytes;
        s->derived.tiles = w.panels;
        s->derived.run = up ? pack_squares_up : pack_squares_down;
        s->lane_bytes = nni_max_size(s->lane_bytes, nni_max_size(w.lane_bytes, w.pack_lane_bytes));
        return;
    }
    s->derived.bytes = (size_t)v.g.groups * (up ? all.packed_bytes : down.packed_bytes);
    s->derived.tiles = v.g.groups * (up ? all.panels : down.panels);
    s->derived.run = up ? pack_up : pack_down;
    s->lane_bytes = nni_max_size(s->lane_bytes, up ? up_lane_bytes(&v) : down.lane_bytes);
}

/* ------------------------------------------------------------------ forward */

/* Row tiles of the map. */
static int64_t row_tiles(const struct group *v, int64_t *rows)
{
    struct nni_winograd w;
    nni_gemm g = down_of(v);

    *rows = g.rows;
    if (!in_squares(v))
        return g.row_tiles;
    w = squares_of(v, 0);
    *rows = w.tile_pixels;
    return w.row_tiles;
}

static struct nni_output output_of(const struct group *v)
{
    int64_t rows, tiles = row_tiles(v, &rows);

    return nni_output_of(v->s, v->s->scratch, tiles, rows);
}

static void forward_down(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    nni_gemm g = down_of(&v);
    struct nni_output o = output_of(&v), plain = o;

    if (in_squares(&v)) {
        plain.mean = NULL;
        squares_tile(&v, 0, nni_output_store, &plain, o.mean ? &o : NULL, tile, lane);
        return;
    }
    v.index = tile / nni_gemm_tiles(&g);
    o.first = v.index * v.co;
    down_tile(&v, &g, nni_output_store, &o, tile % nni_gemm_tiles(&g), lane);
}

static void merge_forward(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    struct nni_output o = output_of(&v);

    (void)lane;
    nni_output_merge(&o, tile);
}

static void forward_up(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);

    up_tile(&v, tile, lane);
}

static double flops_of(const struct group *v)
{
    return 2.0 * (double)map_rows(&v->g) * (double)v->g.o * (double)(v->taps * v->ci);
}

int nni_patches_forward(nn_step *s, int direction)
{
    struct group v;
    int64_t rows;
    int up = direction == NNI_MAP_TO_IMAGE;

    s->choice[DIRECTION] = direction;
    v = group_of(s, 0);
    prepare_product(s, up);
    nn_phase(s, product_tiles(&v, up), up ? forward_up : forward_down);
    if (nni_wants_moments(s)) { /* of a map: the transposed convolution has no slot for them */
        nn_phase(s, nni_output_merge_tiles(s), merge_forward);
        s->scratch_bytes = nni_output_bytes(s, row_tiles(&v, &rows));
    }
    s->flops = flops_of(&v);
    return NN_OK;
}

/* ----------------------------------------------------------------- backward */

/* As in conv1x1: one phase for both products and the bias, one that merges. Where statistics have a gradient
 * and readers would make the total gradient of each pixel once for each tap, a phase before them makes it. */
struct work {
    struct group v;
    int up, wants_dx, wants_dw, squares;
    nni_gemm_tn dw; /* or, in squares: */
    struct nni_winograd_back dw_squares;
    int64_t total_tiles, total_rows;        /* 0: the total gradient is made where it is read */
    int64_t dx_tiles, dw_tiles, bias_tiles; /* dx_tiles, dw_tiles: of all groups */
    size_t bytes, dw_bytes;                 /* of scratch; of the partial sums of one group */
    nn_real *total, *dw_sums, *bias_sums;
};

/* Takes bytes of scratch. */
static nn_real *take(const nn_step *s, struct work *w, size_t bytes)
{
    nn_real *at = s->scratch ? (nn_real *)(void *)((char *)s->scratch + w->bytes) : NULL;

    w->bytes += nni_padded(bytes);
    return at;
}

static struct work work_of(const nn_step *s)
{
    struct work w = { .v = group_of(s, 0),
                      .up = s->choice[DIRECTION] == NNI_IMAGE_TO_MAP,
                      .wants_dx = nn_has(&s->din[X]),
                      .wants_dw = nn_has(&s->din[WEIGHT]) };
    int64_t rows = map_rows(&w.v.g), k = w.v.taps * w.v.ci, groups = w.v.g.groups;

    w.squares = in_squares(&w.v);
    if ((w.wants_dx || w.squares) && !nni_plain_gradient(s)) {
        w.total_tiles = nni_tiles(rows, TOTAL_ROWS, TOTAL_TILES, &w.total_rows);
        w.total = take(s, &w, (size_t)(rows * w.v.g.o) * sizeof(nn_real));
        w.v.map.real = w.total;
    }
    if (w.wants_dx)
        w.dx_tiles = product_tiles(&w.v, w.up);
    if (w.wants_dw && w.squares) {
        struct nni_winograd down = squares_of(&w.v, 0);

        w.dw_squares = nni_winograd_back_of(&down);
        w.dw_tiles = w.dw_squares.tiles;
        w.dw_sums = take(s, &w, w.dw_squares.scratch_bytes);
    } else if (w.wants_dw) {
        w.dw = nni_gemm_tn_with(nni_gemm_plain(s), rows, w.v.co, k, s->choice[SPLITS], s->choice[O_TILES],
                                s->choice[I_TILES]);
        w.dw_tiles = groups * w.dw.tiles;
        w.dw_bytes = nni_padded((size_t)(w.dw.splits * w.v.co * k) * sizeof(nn_real));
        w.dw_sums = take(s, &w, (size_t)groups * w.dw_bytes);
    }
    w.bias_tiles = nni_bias_tiles(s);
    w.bias_sums = take(s, &w, nni_bias_bytes(s));
    return w;
}

static void total_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);
    int64_t row0 = tile * w.total_rows, o = w.v.g.o;

    (void)lane;
    nni_total_gradient(s, nni_gemm_plain(s), row0, nni_min64(w.total_rows, map_rows(&w.v.g) - row0), 0, o,
                       w.total + row0 * o, o);
}

static nn_real *dw_sums(const struct work *w, int64_t index)
{
    return (nn_real *)(void *)((char *)w->dw_sums + (size_t)index * w->dw_bytes);
}

static void store_dx(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                     const nn_real *block, int64_t ld)
{
    const struct group *v = context;
    void *dx = nni_at(&v->s->din[X], row0 * v->g.o + v->index * v->co + col0);

    nni_gemm_plain(v->s)->store(dx, v->g.o, block, ld, rows, cols, NULL, nni_adds(v->s, X));
}

static void dx_tile(struct work *w, int64_t tile, void *lane)
{
    nni_gemm g;

    if (w->up) {
        up_tile(&w->v, tile, lane);
        return;
    }
    if (in_squares(&w->v)) {
        squares_tile(&w->v, 0, store_dx, &w->v, NULL, tile, lane);
        return;
    }
    g = down_of(&w->v);
    w->v.index = tile / nni_gemm_tiles(&g);
    down_tile(&w->v, &g, store_dx, &w->v, tile % nni_gemm_tiles(&g), lane);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);

    if (tile < w.dx_tiles) {
        dx_tile(&w, tile, lane);
    } else if ((tile -= w.dx_tiles) < w.dw_tiles && w.squares) {
        struct nni_winograd_pixels image = squares_read(&w.v, &w.v.image), map = squares_read(&w.v, &w.v.map);

        nni_winograd_back_tile(&w.dw_squares, &image, &map, w.dw_sums, tile, lane);
    } else if (tile < w.dw_tiles) {
        nni_gemm_tn_io io = {
            .load_y = load_map, .y_context = &w.v, .load_x = load_patches, .x_context = &w.v
        };

        w.v.index = tile / w.dw.tiles;
        nni_gemm_tn_tile(&w.dw, &io, dw_sums(&w, w.v.index), 0, dw_sums(&w, w.v.index), tile % w.dw.tiles,
                         lane);
    } else {
        nni_bias_tile(s, w.bias_sums, tile - w.dw_tiles, lane);
    }
}

/* The weights of one channel of the map: partial sums added up, and put from [kh][kw][c] into [c][kh][kw]. */
static void merge_dw(const struct work *w, int64_t o, nn_real *row)
{
    const nn_step *s = w->v.s;
    int64_t k = w->v.taps * w->v.ci, index = o / w->v.co;
    nn_real *to = (nn_real *)s->din[WEIGHT].at + o * k;

    if (w->squares)
        nni_winograd_back_merge(&w->dw_squares, nni_cpu_of(s)->winograd[NNI_STORED_REAL], w->dw_sums, o, row,
                                row + k);
    else
        nni_gemm_plain(s)->column_sums(row, dw_sums(w, index) + o % w->v.co * k, w->v.co * k, w->dw.splits, k,
                                       NULL, 0);
    for (int64_t c = 0; c < w->v.ci; c++)
        for (int64_t tap = 0; tap < w->v.taps; tap++, to++)
            *to = (nni_adds(s, WEIGHT) ? *to : 0) + row[tap * w->v.ci + c];
}

static void merge_backward(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);

    if (w.wants_dw && tile < w.v.g.o)
        merge_dw(&w, tile, lane);
    else
        nni_bias_merge(s, w.bias_sums);
}

int nni_patches_backward(nn_step *s, int direction)
{
    struct group v;
    struct work w;

    s->choice[DIRECTION] = direction;
    v = group_of(s, 0);
    if (nn_has(&s->din[WEIGHT]) && !in_squares(&v)) {
        int64_t k = v.taps * v.ci;
        nni_gemm_tn dw =
            nni_gemm_tn_of(nni_gemm_plain(s), map_rows(&v.g), v.co, k, COST_GRADIENT, COST_PATCHES);

        s->choice[SPLITS] = dw.splits;
        s->choice[O_TILES] = dw.o_tiles;
        s->choice[I_TILES] = dw.i_tiles;
        s->lane_bytes = nni_max_size(dw.lane_bytes, (size_t)k * sizeof(nn_real));
    }
    s->lane_bytes = nni_max_size(s->lane_bytes, nni_bias_lane_bytes(s));
    w = work_of(s);
    if (w.wants_dw && w.squares)
        s->lane_bytes =
            nni_max_size(s->lane_bytes, nni_max_size(w.dw_squares.lane_bytes,
                                                     w.dw_squares.merge_lane_bytes +
                                                         (size_t)(v.taps * v.ci) * sizeof(nn_real)));
    if (w.total_tiles)
        nn_phase(s, w.total_tiles, total_tile);
    if (w.wants_dx)
        prepare_product(s, w.up);
    nn_phase(s, w.dx_tiles + w.dw_tiles + w.bias_tiles, backward_tile);
    if (w.wants_dw || w.bias_tiles)
        nn_phase(s, (w.wants_dw ? v.g.o : 0) + (w.bias_tiles > 0), merge_backward);
    s->scratch_bytes = w.bytes;
    s->flops = flops_of(&v) * (w.wants_dx + w.wants_dw);
    return NN_OK;
}

/* -------------------------------------------------------------------- infer */

int nni_patches_infer(nn_node *node, nn_shape out)
{
    nn_tensor *bias = node->in[BIAS];
    nni_text text;
    int status = nni_infer_activation(node, X, 0);

    for (int i = WEIGHT; !status && i <= BIAS; i++)
        if (node->in[i])
            status = nni_infer_real(node, i, 0);
    if (status)
        return status;
    if (bias && !nn_shape_equal(nn_shape_get(bias), NN_SHAPE1(out.dim[3])))
        return nn_infer_fail(node, "the bias must be [%lld], not %s", (long long)out.dim[3],
                             nni_shape_text(nn_shape_get(bias), &text));
    return nn_infer_out(node, 0, nn_type_get(node->in[X]), out);
}
