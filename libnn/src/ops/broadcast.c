/* SPDX-License-Identifier: MIT
 *
 * See broadcast.h. A gradient that is a sum over repeated dimensions may have any mixture of kept and
 * summed dimensions; the innermost one decides which kernel runs (columns are added up, or a row is), all
 * others are walked.
 */
#include "ops/broadcast.h"

#include <string.h>

enum { TILE = 32768 }; /* elements of a tile, about */

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

void nni_broadcast_of(nn_shape a, nn_shape b, struct nni_broadcast *out)
{
    int rank = a.rank > b.rank ? a.rank : b.rank, n = 0;
    int64_t a_size = 1, b_size = 1;
    struct nni_broadcast r; /* from inner to outer here */

    for (int i = 0; i < rank; i++) {
        int64_t p = i < a.rank ? a.dim[a.rank - 1 - i] : 1, q = i < b.rank ? b.dim[b.rank - 1 - i] : 1;
        int64_t a_step = p == 1 ? 0 : a_size, b_step = q == 1 ? 0 : b_size, dim = p == 1 ? q : p;

        a_size *= p;
        b_size *= q;
        if (dim == 1)
            continue;
        if (n > 0 && a_step == r.a[n - 1] * r.dim[n - 1] && b_step == r.b[n - 1] * r.dim[n - 1]) {
            r.dim[n - 1] *= dim;
        } else {
            r.dim[n] = dim;
            r.a[n] = a_step;
            r.b[n] = b_step;
            n++;
        }
    }
    if (n == 0) {
        r.dim[0] = 1;
        r.a[0] = r.b[0] = 0;
        n = 1;
    }
    out->rank = n;
    for (int i = 0; i < n; i++) {
        out->dim[i] = r.dim[n - 1 - i];
        out->a[i] = r.a[n - 1 - i];
        out->b[i] = r.b[n - 1 - i];
    }
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
                                    last > 0 ? g->a[last - 1] : 0,
                                    last > 0 ? g->b[last - 1] : 0,
                                    g->a[last] != 0,
                                    g->b[last] != 0 };

    for (int64_t row = rows.begin, end = rows.begin + rows.count; row < end; row += p.rows) {
        int64_t at = row % middle, outer = row / middle;
        int64_t a = at * p.a_row + cols.begin * p.a_col, b = at * p.b_row + cols.begin * p.b_col;

        for (int i = last - 2; i >= 0; i--) {
            a += outer % g->dim[i] * g->a[i];
            b += outer % g->dim[i] * g->b[i];
            outer /= g->dim[i];
        }
        p.rows = middle - at < end - row ? middle - at : end - row;
        visit(s, row * t.cols + cols.begin, a, b, &p);
    }
}

/* ---- gradients ---- */

void nni_reduction_of(nn_shape a, nn_shape b, struct nni_reduction *r)
{
    int64_t cols;

    memset(r, 0, sizeof *r);
    nni_broadcast_of(a, b, &r->g);
    cols = r->g.dim[r->g.rank - 1];
    r->elements = nn_shape_count(a);
    r->kept = r->reduced = 1;
    for (int i = 0; i < r->g.rank - 1; i++) {
        if (r->g.a[i])
            r->kept *= r->g.dim[i];
        else
            r->reduced *= r->g.dim[i];
    }
    r->cols_kept = r->g.a[r->g.rank - 1] != 0;
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
    r->merge_tiles = nni_parts(r->elements, 1024);
    r->bytes = (size_t)(r->chunks * r->elements) * sizeof(nn_real);
}

/* Offsets in x and b of the kept index k and the summed index j. */
static void locate(const struct nni_broadcast *g, int64_t k, int64_t j, int64_t *x, int64_t *b)
{
    int64_t x_step = g->dim[g->rank - 1];

    *x = *b = 0;
    for (int i = g->rank - 2; i >= 0; i--) {
        int64_t *index = g->a[i] ? &k : &j;

        *x += *index % g->dim[i] * x_step;
        *b += *index % g->dim[i] * g->b[i];
        *index /= g->dim[i];
        x_step *= g->dim[i];
    }
}

void nni_reduction_tile(const nn_step *s, const struct nni_reduction *r, int64_t tile, nn_real *partial,
                        const nn_real *x, const nn_real *other)
{
    const struct nni_pointwise_kernels *cpu = nni_cpu_of(s)->pointwise;
    const struct nni_broadcast *g = &r->g;
    int last = g->rank - 1,
        inner = last - 1; /* inner: the innermost summed dimension, whose rows go to a kernel together */
    int64_t cols_tile = tile % r->cols_tiles, reduced_tile = tile / r->cols_tiles % r->reduced_tiles;
    struct nni_part cols = nni_part_of(cols_tile, r->cols_each, g->dim[last]);
    struct nni_part reduced = nni_part_of(reduced_tile, r->reduced_each, r->reduced);
    struct nni_part kept = nni_part_of(tile / r->cols_tiles / r->reduced_tiles, r->kept_each, r->kept);
    struct nni_pointwise_grid p = { 0, cols.count, 0, 0, 0, 1, g->b[last] != 0 };
    int64_t length = 1, x_step = g->dim[last];

    for (; inner >= 0 && g->a[inner]; inner--)
        x_step *= g->dim[inner];
    if (inner >= 0) {
        length = g->dim[inner];
        p.a_row = x_step;
        p.b_row = g->b[inner];
    }
    partial += (r->cols_kept ? reduced_tile : reduced_tile * r->cols_tiles + cols_tile) * r->elements;
    for (int64_t k = kept.begin; k < kept.begin + kept.count; k++) {
        nn_real *to = partial + (r->cols_kept ? k * g->dim[last] + cols.begin : k), sum = 0;

        if (r->cols_kept)
            memset(to, 0, (size_t)cols.count * sizeof *to);
        for (int64_t j = reduced.begin, end = reduced.begin + reduced.count; j < end; j += p.rows) {
            int64_t x_at, b_at;

            p.rows = length - j % length < end - j ? length - j % length : end - j;
            locate(g, k, j, &x_at, &b_at);
            x_at += cols.begin;
            b_at += cols.begin * p.b_col;
            if (r->cols_kept)
                cpu->sum_rows(to, x + x_at, other ? other + b_at : NULL, &p);
            else
                sum += cpu->sum_all(x + x_at, other ? other + b_at : NULL, &p);
        }
        if (!r->cols_kept)
            *to = sum;
    }
}

void nni_reduction_merge(const nn_step *s, const struct nni_reduction *r, int64_t tile,
                         const nn_real *partial, nn_real *to, bool add)
{
    struct nni_part all = nni_part_of(tile, 1024, r->elements);

    for (int64_t i = all.begin; i < all.begin + all.count; i += NNI_MERGE) {
        struct nni_part p = nni_part_of(i / NNI_MERGE, NNI_MERGE, r->elements);
        double sum[NNI_MERGE] = { 0 };

        nni_cpu_of(s)->pointwise->merge_sums(sum, partial + p.begin, r->chunks, r->elements, p.count);
        for (int64_t c = 0; c < p.count; c++)
            to[p.begin + c] = (nn_real)(add ? (double)to[p.begin + c] + sum[c] : sum[c]);
    }
}
