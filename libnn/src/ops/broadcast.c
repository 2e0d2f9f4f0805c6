/* SPDX-License-Identifier: MIT
 *
 * See broadcast.h. A gradient that is a sum over repeated dimensions may have any mixture of kept and
 * summed dimensions; the innermost one decides which kernel runs (columns are added up, or a row is), all
 * others are walked.
 */
#include "ops/broadcast.h"

#include "ops/element.h"

#include <math.h>
#include <string.h>

enum { TILE = 32768, MERGED = 1024 }; /* elements of a tile, about, and of a tile that merges */

bool nni_broadcast_shape(nn_shape a, nn_shape b, nn_shape *out)
{
    nn_shape r = { { 0 }, a.rank > b.rank ? a.rank : b.rank };

    for (int i = 0; i < r.rank; i++) {
        int64_t p = i < a.rank ? a.dim[a.rank - 1 - i] : 1, q = i < b.rank ? b.dim[b.rank - 1 - i] : 1;

        if (p != q && p != 1 && q != 1)
            return false;
        r.dim[r.rank - 1 - i] = p == 1 ? q : p;
    }
    *out = r;
    return true;
}

void nni_broadcast_all(const nn_shape *shape, int count, struct nni_broadcast *out)
{
    int rank = 0, n = 0;
    int64_t size[NNI_OPERANDS] = { 1, 1, 1 };
    struct nni_broadcast r; /* from inner to outer here */

    for (int o = 0; o < count; o++)
        rank = shape[o].rank > rank ? shape[o].rank : rank;
    for (int i = 0; i < rank; i++) {
        int64_t step[NNI_OPERANDS] = { 0 }, dim = 1;
        bool alike = n > 0;

        for (int o = 0; o < count; o++) {
            int64_t own = i < shape[o].rank ? shape[o].dim[shape[o].rank - 1 - i] : 1;

            step[o] = own == 1 ? 0 : size[o];
            size[o] *= own;
            dim = own == 1 ? dim : own;
        }
        if (dim == 1)
            continue;
        for (int o = 0; alike && o < count; o++)
            alike = step[o] == r.step[o][n - 1] * r.dim[n - 1];
        if (alike) {
            r.dim[n - 1] *= dim;
            continue;
        }
        r.dim[n] = dim;
        for (int o = 0; o < count; o++)
            r.step[o][n] = step[o];
        n++;
    }
    memset(out, 0, sizeof *out);
    out->rank = n > 0 ? n : 1;
    out->dim[0] = 1;
    for (int i = 0; i < n; i++) {
        out->dim[i] = r.dim[n - 1 - i];
        for (int o = 0; o < count; o++)
            out->step[o][i] = r.step[o][n - 1 - i];
    }
}

void nni_broadcast_of(nn_shape a, nn_shape b, struct nni_broadcast *out)
{
    nni_broadcast_all((nn_shape[]){ a, b }, 2, out);
}

/* ---- maps ---- */

struct map_tiles {
    int64_t rows, cols, rows_each, cols_each, cols_tiles, tiles;
};

static struct map_tiles map_tiles(const struct nni_broadcast *g)
{
    struct map_tiles t = { 1, g->dim[g->rank - 1], 1, 0, 1, 1 };

    for (int i = 0; i < g->rank - 1; i++)
        t.rows *= g->dim[i];
    t.cols_each = t.cols < TILE ? t.cols : TILE;
    if (t.cols > 0 && t.cols < TILE)
        t.rows_each = TILE / t.cols;
    t.cols_tiles = t.cols > 0 ? nni_parts(t.cols, t.cols_each) : 1;
    t.tiles = t.cols_tiles * nni_parts(t.rows, t.rows_each);
    return t;
}

int64_t nni_broadcast_tiles(const struct nni_broadcast *g) { return map_tiles(g).tiles; }

void nni_broadcast_tile(const nn_step *s, const struct nni_broadcast *g, int64_t tile,
                        nni_broadcast_visit *visit)
{
    struct map_tiles t = map_tiles(g);
    struct nni_part rows = nni_part_of(tile / t.cols_tiles, t.rows_each, t.rows);
    struct nni_part cols = nni_part_of(tile % t.cols_tiles, t.cols_each, t.cols);
    int last = g->rank - 1;
    int64_t middle = last > 0 ? g->dim[last - 1] : 1;
    struct nni_pointwise_grid p = { 0,
                                    cols.count,
                                    t.cols,
                                    last > 0 ? g->step[0][last - 1] : 0,
                                    last > 0 ? g->step[1][last - 1] : 0,
                                    g->step[0][last] != 0,
                                    g->step[1][last] != 0 };

    for (int64_t row = rows.begin, end = rows.begin + rows.count; row < end; row += p.rows) {
        int64_t at = row % middle, outer = row / middle;
        int64_t a = at * p.a_row + cols.begin * p.a_col, b = at * p.b_row + cols.begin * p.b_col;

        for (int i = last - 2; i >= 0; i--) {
            a += outer % g->dim[i] * g->step[0][i];
            b += outer % g->dim[i] * g->step[1][i];
            outer /= g->dim[i];
        }
        p.rows = middle - at < end - row ? middle - at : end - row;
        visit(s, row * t.cols + cols.begin, a, b, &p);
    }
}

void nni_broadcast_rows(const struct nni_broadcast *g, int64_t tile, nni_row_visit *visit, void *context)
{
    struct map_tiles t = map_tiles(g);
    struct nni_part rows = nni_part_of(tile / t.cols_tiles, t.rows_each, t.rows);
    struct nni_part cols = nni_part_of(tile % t.cols_tiles, t.cols_each, t.cols);
    int last = g->rank - 1;

    for (int64_t row = rows.begin; row < rows.begin + rows.count; row++) {
        int64_t at[NNI_OPERANDS], outer = row;

        for (int o = 0; o < NNI_OPERANDS; o++)
            at[o] = cols.begin * g->step[o][last];
        for (int i = last - 1; i >= 0; i--) {
            int64_t index = outer % g->dim[i];

            for (int o = 0; o < NNI_OPERANDS; o++)
                at[o] += index * g->step[o][i];
            outer /= g->dim[i];
        }
        visit(context, row * t.cols + cols.begin, at, cols.count);
    }
}

/* ---- gradients ---- */

void nni_reduction_all(const nn_shape *shape, int count, int of, struct nni_reduction *r)
{
    int64_t cols;

    memset(r, 0, sizeof *r);
    nni_broadcast_all(shape, count, &r->g);
    cols = r->g.dim[r->g.rank - 1];
    r->of = of;
    r->elements = nn_shape_count(shape[of]);
    r->kept = r->reduced = 1;
    for (int i = 0; i < r->g.rank - 1; i++) {
        if (r->g.step[of][i])
            r->kept *= r->g.dim[i];
        else
            r->reduced *= r->g.dim[i];
    }
    r->cols_kept = r->g.step[of][r->g.rank - 1] != 0;
    /* Long rows are summed in pieces of some thousand elements, columns in pieces of some hundred rows: then
     * the sums of a tile lose nothing that matters in nn_real. */
    r->cols_each = cols < TILE ? cols : TILE;
    if (r->cols_each < 1)
        r->cols_each = 1;
    r->reduced_each = nni_tile_rows(r->cols_each);
    if (r->reduced_each > r->reduced)
        r->reduced_each = r->reduced > 0 ? r->reduced : 1;
    r->kept_each = TILE / (r->reduced_each * r->cols_each);
    if (r->kept_each < 1)
        r->kept_each = 1;
    if (r->kept_each > r->kept)
        r->kept_each = r->kept > 0 ? r->kept : 1;
    r->kept_tiles = nni_parts(r->kept, r->kept_each);
    r->reduced_tiles = nni_parts(r->reduced, r->reduced_each);
    r->cols_tiles = nni_parts(cols, r->cols_each);
    r->tiles = r->kept_tiles * r->reduced_tiles * r->cols_tiles;
    r->chunks = r->cols_kept ? r->reduced_tiles : r->reduced_tiles * r->cols_tiles;
    r->merge_tiles = nni_parts(r->elements, MERGED);
    r->bytes = (size_t)(r->chunks * r->elements) * sizeof(nn_real);
}

void nni_reduction_of(nn_shape a, nn_shape b, struct nni_reduction *r)
{
    nni_reduction_all((nn_shape[]){ a, b }, 2, 0, r);
}

/* Where the row of the kept index k and the summed index j begins in the result and in the operands. */
static int64_t locate(const struct nni_reduction *r, int64_t k, int64_t j, int64_t at[NNI_OPERANDS])
{
    const struct nni_broadcast *g = &r->g;
    int64_t x = 0, x_step = g->dim[g->rank - 1];

    for (int o = 0; o < NNI_OPERANDS; o++)
        at[o] = 0;
    for (int i = g->rank - 2; i >= 0; i--) {
        int64_t *from = g->step[r->of][i] ? &k : &j, index = *from % g->dim[i];

        x += index * x_step;
        for (int o = 0; o < NNI_OPERANDS; o++)
            at[o] += index * g->step[o][i];
        *from /= g->dim[i];
        x_step *= g->dim[i];
    }
    return x;
}

/* What a tile works on: a number of kept indices, of summed ones, and of columns. */
struct pieces {
    struct nni_part kept, reduced, cols;
    int64_t chunk; /* of partial sums */
};

static struct pieces pieces_of(const struct nni_reduction *r, int64_t tile)
{
    int64_t cols_tile = tile % r->cols_tiles, reduced_tile = tile / r->cols_tiles % r->reduced_tiles;
    int64_t kept_tile = tile / r->cols_tiles / r->reduced_tiles;

    return (struct pieces){ nni_part_of(kept_tile, r->kept_each, r->kept),
                            nni_part_of(reduced_tile, r->reduced_each, r->reduced),
                            nni_part_of(cols_tile, r->cols_each, r->g.dim[r->g.rank - 1]),
                            r->cols_kept ? reduced_tile : reduced_tile * r->cols_tiles + cols_tile };
}

void nni_reduction_tile(const nn_step *s, const struct nni_reduction *r, int64_t tile, nn_real *partial,
                        const void *x, const void *other)
{
    const struct nni_pointwise_kernels *cpu = nni_pointwise_of(s);
    const int64_t size = (int64_t)nn_dtype_size(s->dout[0].type);
    const struct nni_broadcast *g = &r->g;
    int last = g->rank - 1,
        inner = last - 1; /* inner: the innermost summed dimension, whose rows go to a kernel together */
    struct pieces t = pieces_of(r, tile);
    struct nni_pointwise_grid p = { 0, t.cols.count, 0, 0, 0, 1, g->step[1][last] != 0 };
    int64_t length = 1, x_step = g->dim[last];

    for (; inner >= 0 && g->step[0][inner]; inner--)
        x_step *= g->dim[inner];
    if (inner >= 0) {
        length = g->dim[inner];
        p.a_row = x_step;
        p.b_row = g->step[1][inner];
    }
    partial += t.chunk * r->elements;
    for (int64_t k = t.kept.begin; k < t.kept.begin + t.kept.count; k++) {
        nn_real *to = partial + (r->cols_kept ? k * g->dim[last] + t.cols.begin : k), sum = 0;

        if (r->cols_kept)
            memset(to, 0, (size_t)t.cols.count * sizeof *to);
        for (int64_t j = t.reduced.begin, end = t.reduced.begin + t.reduced.count; j < end; j += p.rows) {
            int64_t at[NNI_OPERANDS], x_at = locate(r, k, j, at) + t.cols.begin;
            int64_t b_at = at[1] + t.cols.begin * p.b_col;

            p.rows = length - j % length < end - j ? length - j % length : end - j;
            if (r->cols_kept)
                cpu->sum_rows(to, (const char *)x + x_at * size,
                              other ? (const char *)other + b_at * size : NULL, &p);
            else
                sum += cpu->sum_all((const char *)x + x_at * size,
                                    other ? (const char *)other + b_at * size : NULL, &p);
        }
        if (!r->cols_kept)
            *to = sum;
    }
}

/* Adds the n values to to[0..n), or to *to; or takes the largest. */
static void gather(const nn_step *s, nn_real *to, const nn_real *value, int64_t n, bool each, bool largest)
{
    const struct nni_cpu *cpu = nni_cpu_of(s);
    const struct nni_pointwise_grid row = { 1, n, 0, 0, 0, 1, 0 };

    if (largest && each)
        cpu->function->largest(to, value, n);
    else if (largest)
        *to = cpu->function->largest_of(*to, value, n);
    else if (each)
        cpu->pointwise[NNI_STORED_REAL]->sum_rows(to, value, NULL, &row);
    else
        *to += cpu->pointwise[NNI_STORED_REAL]->sum_all(value, NULL, &row);
}

void nni_reduction_fill(const nn_step *s, const struct nni_reduction *r, int64_t tile, nn_real *partial,
                        bool largest, nni_fill *fill, void *context)
{
    enum { BLOCK = 1024 };
    const struct nni_broadcast *g = &r->g;
    int last = g->rank - 1;
    struct pieces t = pieces_of(r, tile);
    nn_real value[BLOCK];

    partial += t.chunk * r->elements;
    for (int64_t k = t.kept.begin; k < t.kept.begin + t.kept.count; k++) {
        nn_real *to = partial + (r->cols_kept ? k * g->dim[last] + t.cols.begin : k);

        for (int64_t c = 0; c < (r->cols_kept ? t.cols.count : 1); c++)
            to[c] = largest ? -(nn_real)INFINITY : 0;
        for (int64_t j = t.reduced.begin; j < t.reduced.begin + t.reduced.count; j++) {
            int64_t at[NNI_OPERANDS], x = locate(r, k, j, at) + t.cols.begin;

            for (int o = 0; o < NNI_OPERANDS; o++)
                at[o] += t.cols.begin * g->step[o][last];
            for (int64_t c = 0; c < t.cols.count; c += BLOCK) {
                int64_t n = t.cols.count - c < BLOCK ? t.cols.count - c : BLOCK;

                gather(s, r->cols_kept ? to + c : to, fill(context, value, x + c, at, n), n, r->cols_kept,
                       largest);
                for (int o = 0; o < NNI_OPERANDS; o++)
                    at[o] += n * g->step[o][last];
            }
        }
    }
}

struct nni_part nni_reduction_merged(const struct nni_reduction *r, int64_t tile)
{
    return nni_part_of(tile, MERGED, r->elements);
}

void nni_reduction_merge_largest(const struct nni_reduction *r, int64_t tile, const nn_real *partial,
                                 nn_real *to)
{
    struct nni_part p = nni_reduction_merged(r, tile);

    for (int64_t i = p.begin; i < p.begin + p.count; i++) {
        nn_real most = partial[i];

        for (int64_t c = 1; c < r->chunks; c++) {
            nn_real x = partial[c * r->elements + i];

            most = most > x || isnan(most) ? most : x;
        }
        to[i] = most;
    }
}

void nni_reduction_merge(const nn_step *s, const struct nni_reduction *r, int64_t tile,
                         const nn_real *partial, void *to, nn_dtype type, bool add)
{
    struct nni_part all = nni_reduction_merged(r, tile);

    for (int64_t i = all.begin; i < all.begin + all.count; i += NNI_MERGE) {
        struct nni_part p = nni_part_of(i / NNI_MERGE, NNI_MERGE, r->elements);
        double sum[NNI_MERGE] = { 0 };

        nni_pointwise_of(s)->merge_sums(sum, partial + p.begin, r->chunks, r->elements, p.count);
        for (int64_t c = 0; c < p.count; c++)
            nni_put(to, type, p.begin + c, add ? nni_get(to, type, p.begin + c) + sum[c] : sum[c]);
    }
}

double nni_sum(const nn_real *x, int64_t n)
{
    double sum[4] = { 0 };
    int64_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += (double)x[i + k];
    for (; i < n; i++)
        sum[0] += (double)x[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
