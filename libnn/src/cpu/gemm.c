/* SPDX-License-Identifier: MIT
 *
 * Blocking of the matrix products. What a tile computes and in which order follows from the shape
 * and the instruction set, so results do not depend on who runs the tiles.
 *
 * A tile of C = A B is a block of rows whose A panel stays in the second-level cache while the
 * packed B streams past it, panel by panel. Few rows (batch 1, squeeze-excite) are shared out by
 * columns as well. C = Y^T X walks the rows in chunks of which both operands stay in that cache, X
 * by rows. A pair S = G W, C = G^T A walks them in chunks of G that stay there for both products; each
 * column panel of S is exchanged for one of A in the first-level cache.
 */
#include "cpu/gemm.h"

enum {
    PANEL_BYTES = 384 << 10, /* of A, in a 1 MiB second-level cache that B streams through */
    CHUNK_BYTES = 512 << 10, /* of Y and X together */
    SCRATCH_BYTES = 32 << 20,
    TARGET = 32,          /* tiles: enough for 16 threads to finish together */
    TILE_FLOPS = 2000000, /* some 20 microseconds: below, a tile costs more than it brings */
    PAIR_BYTES = 768 << 10,
    PAIR_ROWS = 192,    /* of a chunk of G */
    LEAST_ROWS = 104,   /* of a chunk, where there are as many: below, reading and writing C shows */
    SLAB = 16,          /* rows of a piece of B packed together with those of the other pieces, at most */
    GROUP = 16,         /* rows loaded together that are then turned into words of pairs of them */
    LEAST_STRETCH = 32, /* of k that is read where it lies: below, a copy costs less than many short sums */
    Y_COLS = 48         /* of a panel of Y: an odd number of cache lines, or rows would collide */
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t panels_of(const struct nni_gemm_kernels *k, int64_t n)
{
    return ceil_div(ceil_div(n, NNI_GEMM_UNIT), k->units);
}

/* First unit of a panel; panel `panels` gives the end. Whole vectors are dealt to panels as evenly as can be,
 * so that at most one panel ends in half a vector and none is narrow: 56 is 32 + 24 rather than 48 + 8. */
static int64_t panel_unit(const struct nni_gemm_kernels *k, int64_t n, int64_t panels, int64_t panel)
{
    int64_t units = ceil_div(n, NNI_GEMM_UNIT);

    return least(units, ceil_div(units, k->quantum) * panel / panels * k->quantum);
}

/* A row stride that is an odd number of cache lines: eight rows read in step then never share a set. */
static int64_t row_stride(int64_t cols)
{
    const int64_t line = 64 / (int64_t)sizeof(nn_real);
    int64_t lines = ceil_div(cols, line);

    return (lines | 1) * line;
}

static int64_t target_tiles(int64_t m, int64_t n, int64_t k)
{
    double flops = 2.0 * (double)m * (double)n * (double)k;

    return flops > (double)TILE_FLOPS * TARGET ? TARGET : 1 + (int64_t)(flops / TILE_FLOPS);
}

/* Rows of a tile that stages them: small ones, for there may be little else to do at the same time. */
static int64_t stage_rows(int64_t rows) { return round_up(ceil_div(rows, 2 * TARGET), 16); }

/* Into tiles of which the rows fit, but not fewer than `low`. */
static void divide(nni_gemm *g, int64_t low, int64_t fit)
{
    int64_t target = target_tiles(g->m, g->n, g->k), step = g->kernels->rows;

    g->rows = most(low, least(fit / step * step, round_up(ceil_div(g->m, target), step)));
    if (g->rows >= g->m || ceil_div(g->m, g->rows) < 4)
        g->rows = round_up(g->m, step);
    g->row_tiles = ceil_div(g->m, g->rows);
    g->col_tiles = 2 * g->row_tiles > target ? 1 : least(g->panels, ceil_div(target, g->row_tiles));
}

static nni_gemm without_division(const struct nni_gemm_kernels *kernels, int64_t m, int64_t n, int64_t k)
{
    nni_gemm g = { .kernels = kernels, .m = m, .n = n, .k = k, .words = ceil_div(k, kernels->depth) };

    g.ld = row_stride(g.words);
    g.panels = panels_of(kernels, n);
    g.packed_bytes = (size_t)(round_up(n, NNI_GEMM_UNIT) * g.words) * sizeof(nn_real);
    return g;
}

static size_t block_bytes(const struct nni_gemm_kernels *k)
{
    return (size_t)(k->block * k->units * NNI_GEMM_UNIT) * sizeof(nn_real);
}

nni_gemm nni_gemm_of(const struct nni_gemm_kernels *kernels, int64_t m, int64_t n, int64_t k, int load)
{
    nni_gemm g = without_division(kernels, m, n, k);

    divide(&g, kernels->rows * (load == NNI_LOAD_COSTLY ? 3 : 6),
           PANEL_BYTES / ((int64_t)sizeof(nn_real) * g.ld));
    g.stage_tiles = load == NNI_LOAD_COSTLY && g.col_tiles > 1 ? ceil_div(m, stage_rows(m)) : 0;
    g.stage_bytes = g.stage_tiles ? (size_t)(m * g.ld) * sizeof(nn_real) : 0;
    g.lane_bytes = block_bytes(kernels);
    if (!g.stage_tiles && load != NNI_LOAD_NONE)
        g.lane_bytes += (size_t)(g.rows * g.ld) * sizeof(nn_real);
    return g;
}

nni_gemm nni_gemm_taps_of(const struct nni_gemm_kernels *kernels, int64_t m, int64_t n, int64_t taps,
                          int64_t k)
{
    nni_gemm g = without_division(kernels, m, n, taps * k);

    if (!kernels->taps || k < LEAST_STRETCH || !taps)
        return nni_gemm_of(kernels, m, n, taps * k, NNI_LOAD_COPY);
    g.taps = taps;
    divide(&g, kernels->block,
           PANEL_BYTES / ((int64_t)sizeof(nn_real) * k + taps * (int64_t)sizeof(nn_real *)));
    g.lane_bytes = block_bytes(kernels) + (size_t)row_stride(k) * sizeof(nn_real) +
                   (size_t)(g.rows * taps + kernels->rows) * sizeof(nn_real *);
    return g;
}

struct nni_gemm_panel nni_gemm_panel_of(const nni_gemm *g, int64_t panel)
{
    int64_t col0 = panel_unit(g->kernels, g->n, g->panels, panel) * NNI_GEMM_UNIT;
    int64_t width = panel_unit(g->kernels, g->n, g->panels, panel + 1) * NNI_GEMM_UNIT - col0;

    return (struct nni_gemm_panel){ col0, least(width, g->n - col0), width };
}

void nni_gemm_pack(const nni_gemm *g, const struct nni_gemm_b *b, nn_real *packed, int64_t panel)
{
    nni_gemm_pack_panel(g, b, packed + nni_gemm_panel_of(g, panel).col0 * g->words, panel);
}

/* Where piece `piece` of B begins. */
static int64_t piece_at(const struct nni_gemm_b *b, int64_t piece)
{
    int64_t across = most(1, b->across);

    return piece / across * b->outer_stride + piece % across * b->across_stride;
}

/* The pieces of a convolution's weights, one for each tap, lie between each other: a stretch of memory with
 * elements of all of them at a time, so that each cache line is read once. */
static int pack_between(const nni_gemm *g, const struct nni_gemm_b *b, nn_real *to,
                        const struct nni_gemm_panel *at)
{
    enum { RUN = 1024 };
    int64_t row[RUN], pieces = g->k / b->inner, low = 0, high = 0, span, some;

    for (int64_t p = 0; p < pieces; p++) {
        low = least(low, piece_at(b, p));
        high = most(high, piece_at(b, p));
    }
    span = high - low + 1;
    if (span > RUN)
        return 0;
    some = b->inner_stride > span ? 1 : least(SLAB, RUN / span);
    for (int64_t from = 0; from < b->inner; from += some) {
        int64_t rows = least(some, b->inner - from), count = (rows - 1) * b->inner_stride + span;

        for (int64_t i = 0; i < count; i++)
            row[i] = -1;
        for (int64_t p = 0; p < pieces; p++)
            for (int64_t r = 0; r < rows; r++)
                row[r * b->inner_stride + piece_at(b, p) - low] = p * b->inner + from + r;
        g->kernels->pack_run(to, at->width, b->at + low + from * b->inner_stride + at->col0 * b->n_stride,
                             b->n_stride, row, count, at->cols);
    }
    return 1;
}

void nni_gemm_pack_panel(const nni_gemm *g, const struct nni_gemm_b *b, nn_real *to, int64_t panel)
{
    struct nni_gemm_panel at = nni_gemm_panel_of(g, panel);

    if (b->inner < g->k && pack_between(g, b, to, &at))
        return;
    for (int64_t p = 0; p < g->k; p += b->inner)
        g->kernels->pack(to + p * at.width, at.width,
                         b->at + piece_at(b, p / b->inner) + at.col0 * b->n_stride, b->inner_stride,
                         b->n_stride, b->inner, at.cols);
}

void nni_gemm_stage(const nni_gemm *g, const nni_gemm_io *io, nn_real *stage, int64_t tile)
{
    int64_t rows = stage_rows(g->m), row0 = tile * rows;

    io->load_a(io->load_context, row0, least(rows, g->m - row0), 0, g->k, stage + row0 * g->ld, g->ld);
}

/* Pointers to the rows of a tile's stretches, block by block, and as many as a register block has to those
 * that come first again, for the next panel. */
static const nn_real **point(const nni_gemm *g, const nni_gemm_io *io, int64_t row0, int64_t rows,
                             void *memory)
{
    nn_real *zero = memory;
    int64_t stretch = g->k / g->taps, all = rows * g->taps;
    const nn_real **row = (const nn_real **)(void *)(zero + row_stride(stretch));

    for (int64_t i = 0; i < stretch; i++)
        zero[i] = 0;
    for (int64_t r = 0; r < rows; r += g->kernels->block)
        io->point_a(io->load_context, row0 + r, least(g->kernels->block, rows - r), zero, row + r * g->taps);
    for (int64_t i = 0; i < g->kernels->rows; i++)
        row[all + i] = row[i % all];
    return row;
}

void nni_gemm_tile(const nni_gemm *g, const nni_gemm_io *io, const nn_real *packed, int64_t tile, void *lane)
{
    const struct nni_gemm_kernels *kernels = g->kernels;
    int64_t row0 = tile / g->col_tiles * g->rows, rows = least(g->rows, g->m - row0);
    int64_t ct = tile % g->col_tiles;
    int64_t p0 = g->panels * ct / g->col_tiles, p1 = g->panels * (ct + 1) / g->col_tiles, lda = g->ld;
    const nn_real *a = NULL, **row = NULL;
    nn_real *block = lane, *memory = block + kernels->block * kernels->units * NNI_GEMM_UNIT;

    if (g->taps) {
        row = point(g, io, row0, rows, memory);
    } else if (io->a) {
        a = io->a + row0 * io->lda;
        lda = io->lda;
    } else {
        io->load_a(io->load_context, row0, rows, 0, g->k, memory, g->ld);
        a = memory;
    }
    for (int64_t p = p0; p < p1; p++) {
        struct nni_gemm_panel at = nni_gemm_panel_of(g, p);
        int units = (int)(at.width / NNI_GEMM_UNIT);
        const nn_real *b = packed + at.col0 * g->words;

        for (int64_t r = 0; r < rows; r += kernels->block) {
            int64_t some = least(kernels->block, rows - r), ldc = at.width;
            nn_real *c = io->c ? io->c + (row0 + r) * io->ldc + at.col0 : NULL, *to = block;

            if (c && at.cols == at.width) {
                to = c;
                ldc = io->ldc;
            }
            if (row)
                kernels->taps(some, g->taps, g->k / g->taps, row + r * g->taps, b, units, to, ldc);
            else
                kernels->nn(some, g->words, a + r * lda, lda, b, units, to, ldc);
            if (c && to != c)
                kernels->store(c, io->ldc, block, at.width, some, at.cols, NULL, 0);
            if (io->store_c)
                io->store_c(io->store_context, row0 + r, some, at.col0, at.cols, to, ldc);
        }
    }
}

/* -------------------------------------------------------------------- C = Y^T X */

/* Partial results lie one behind the other; a tile of the merge adds up `size` of their `all` elements. */
static int64_t merge_size(int64_t all) { return most(4096, round_up(ceil_div(all, 64), 16)); }

static void merge_parts(const struct nni_gemm_kernels *kernels, int64_t parts, int64_t all, int64_t size,
                        nn_real *c, int add, const nn_real *scratch, int64_t tile)
{
    int64_t from = tile * size;

    kernels->column_sums(c + from, scratch + from, all, parts, least(size, all - from), NULL, add);
}

/* Rows of a chunk for blocks of o x i. */
static int64_t chunk_rows(int64_t rows, int64_t o, int64_t i)
{
    int64_t fit = CHUNK_BYTES / ((int64_t)sizeof(nn_real) * (round_up(o, Y_COLS) + i + NNI_GEMM_UNIT));

    fit = least(most(fit / 8 * 8, 64), 512);
    return ceil_div(rows, ceil_div(rows, fit));
}

/* What a division into splits x o_tiles x i_tiles costs beyond the multiplications, in cycles: operands
 * loaded again for each block of the other, C read and written once a chunk, partial sums merged. */
static double overhead(const nni_gemm_tn *g, int64_t splits, int64_t o_tiles, int64_t i_tiles, int cost_y,
                       int cost_x)
{
    double r = (double)g->rows, o = (double)g->o, i = (double)g->i;
    int64_t per = ceil_div(g->rows, splits);
    double chunks =
        (double)(splits * ceil_div(per, chunk_rows(per, ceil_div(g->o, o_tiles), ceil_div(g->i, i_tiles))));

    double loads = r * i * cost_x * (double)o_tiles + r * o * cost_y * (double)i_tiles;
    double merges = splits > 1 ? 6 * (double)splits * o * i : 0;

    return (loads + 3 * chunks * o * i + merges) / 16;
}

nni_gemm_tn nni_gemm_tn_of(const struct nni_gemm_kernels *kernels, int64_t rows, int64_t o, int64_t i,
                           int cost_y, int cost_x)
{
    nni_gemm_tn g = { .kernels = kernels, .rows = rows, .o = o, .i = i };
    int64_t target = least(target_tiles(rows, o, i), TARGET / 2);
    int64_t most_splits = most(1, least(64, rows / 64));
    double best = -1;

    g.panels = panels_of(kernels, i);
    for (int64_t s = 1; s <= most_splits; s *= 2) {
        if (s > 1 && (double)s * (double)o * (double)i * (double)sizeof(nn_real) > SCRATCH_BYTES)
            break;
        for (int64_t ot = 1; ot <= ceil_div(o, kernels->rows) && ot <= target; ot++) {
            int64_t it = least(g.panels, ceil_div(target, s * ot));
            double cost = overhead(&g, s, ot, it, cost_y, cost_x);

            /* Too few tiles leave threads idle: worse than any overhead. */
            if (s * ot * it < target)
                cost += 1e30 / (double)(s * ot * it);
            if (best < 0 || cost < best) {
                best = cost;
                g.splits = s;
                g.o_tiles = ot;
                g.i_tiles = it;
            }
        }
    }
    return nni_gemm_tn_with(kernels, rows, o, i, g.splits, g.o_tiles, g.i_tiles);
}

nni_gemm_tn nni_gemm_tn_with(const struct nni_gemm_kernels *kernels, int64_t rows, int64_t o, int64_t i,
                             int64_t splits, int64_t o_tiles, int64_t i_tiles)
{
    nni_gemm_tn g = { .kernels = kernels,
                      .rows = rows,
                      .o = o,
                      .i = i,
                      .splits = splits,
                      .o_tiles = o_tiles,
                      .i_tiles = i_tiles };

    g.panels = panels_of(kernels, i);
    g.split_rows = ceil_div(rows, g.splits);
    g.splits = ceil_div(rows, g.split_rows);
    g.o_size = round_up(ceil_div(o, g.o_tiles), kernels->rows);
    g.o_tiles = ceil_div(o, g.o_size);
    g.tiles = g.splits * g.o_tiles * g.i_tiles;
    g.ldx = row_stride(ceil_div(g.panels, g.i_tiles) * kernels->units * NNI_GEMM_UNIT);
    g.chunk = chunk_rows(g.split_rows, g.o_size, g.ldx);
    g.lane_bytes = (size_t)(g.chunk * (round_up(g.o_size, Y_COLS) + g.ldx)) * sizeof(nn_real);
    g.scratch_bytes = g.splits > 1 ? (size_t)(g.splits * o * i) * sizeof(nn_real) : 0;
    g.merge_size = merge_size(o * i);
    g.merge_tiles = g.splits > 1 ? ceil_div(o * i, g.merge_size) : 0;
    return g;
}

void nni_gemm_tn_tile(const nni_gemm_tn *g, const nni_gemm_tn_io *io, nn_real *c, int add, nn_real *scratch,
                      int64_t tile, void *lane)
{
    enum { group = 16 }; /* rows loaded before the next panel's, so that the source is read nearly in order */
    const struct nni_gemm_kernels *kernels = g->kernels;
    int64_t it = tile % g->i_tiles, ot = tile / g->i_tiles % g->o_tiles;
    int64_t split = tile / g->i_tiles / g->o_tiles;
    int64_t p0 = g->panels * it / g->i_tiles, p1 = g->panels * (it + 1) / g->i_tiles;
    int64_t o0 = ot * g->o_size, o1 = least(o0 + g->o_size, g->o);
    int64_t row0 = split * g->split_rows, row1 = least(row0 + g->split_rows, g->rows);
    int64_t i0 = panel_unit(g->kernels, g->i, g->panels, p0) * NNI_GEMM_UNIT;
    int64_t i1 = panel_unit(g->kernels, g->i, g->panels, p1) * NNI_GEMM_UNIT, cols = least(i1, g->i) - i0;
    nn_real *y = lane, *x = y + g->chunk * round_up(g->o_size, Y_COLS);

    if (g->splits > 1) {
        c = scratch + split * g->o * g->i;
        add = 0;
    }
    for (int64_t r0 = row0; r0 < row1; r0 += g->chunk) {
        int64_t rows = least(g->chunk, row1 - r0);

        for (int64_t r = 0; r < rows; r += group) {
            int64_t some = least(group, rows - r);

            for (int64_t o = o0; o < o1; o += Y_COLS)
                io->load_y(io->y_context, r0 + r, some, o, least(Y_COLS, o1 - o),
                           y + (o - o0) * g->chunk + r * Y_COLS, Y_COLS);
            io->load_x(io->x_context, r0 + r, some, i0, cols, x + r * g->ldx, g->ldx);
            /* The unused columns of the last unit are multiplied though never stored. */
            for (int64_t q = r; q < r + some; q++)
                for (int64_t j = cols; j < i1 - i0; j++)
                    x[q * g->ldx + j] = 0;
        }
        for (int64_t p = p0; p < p1; p++) {
            int64_t u0 = panel_unit(g->kernels, g->i, g->panels, p);
            int64_t u1 = panel_unit(g->kernels, g->i, g->panels, p + 1);
            int64_t col = u0 * NNI_GEMM_UNIT;

            for (int64_t o = o0; o < o1; o += Y_COLS)
                kernels->tn(least(Y_COLS, o1 - o), rows, y + (o - o0) * g->chunk, Y_COLS, x + (col - i0),
                            g->ldx, (int)(u1 - u0), c + o * g->i + col, g->i,
                            least((u1 - u0) * NNI_GEMM_UNIT, g->i - col), add || r0 > row0);
        }
    }
}

void nni_gemm_tn_merge(const nni_gemm_tn *g, nn_real *c, int add, const nn_real *scratch, int64_t tile)
{
    merge_parts(g->kernels, g->splits, g->o * g->i, g->merge_size, c, add, scratch, tile);
}

/* ------------------------------------------------------- S = G W and C = G^T A */

static int64_t pair_chunk(int64_t rows, int64_t ld)
{
    int64_t fit = PAIR_BYTES / (int64_t)sizeof(nn_real) / ld;

    fit = least(most(fit, LEAST_ROWS), PAIR_ROWS);
    return least(rows, round_up(ceil_div(rows, ceil_div(rows, fit)), 8));
}

/* What a division costs, in cycles: the multiplications, shared unevenly or leaving threads idle at the end,
 * and on top what is read and written more often, in vectors. */
static double pair_cost(const nni_gemm_pair *g, int64_t row_tiles, int64_t i_tiles)
{
    double rows = (double)g->rows, o = (double)g->o, i = (double)g->i, r = (double)row_tiles,
           c = (double)i_tiles;
    int64_t per = ceil_div(g->rows, row_tiles), width = ceil_div(g->panels, i_tiles);
    double chunks = r * (double)ceil_div(per, pair_chunk(per, g->ld));
    double work = rows * o * i * (g->want_s + g->want_c) / 32;
    double uneven = (double)(width * i_tiles) / (double)g->panels - 1;
    double staging = g->loaded && i_tiles > 1 ? 3 * rows * o : 0;
    /* What a tile holds of W and C should leave room for G in the second-level cache. */
    double held =
        (double)(width * g->kernels->units * NNI_GEMM_UNIT) * o * (g->want_s + g->want_c) * sizeof(nn_real);
    double spilled = held > 2 * PAIR_BYTES ? 8 : 2;
    double moved = staging + c * rows * o + (chunks * spilled + r + (r > 1 ? 4 * r : 0)) * o * i;

    return work * (1 + uneven / 4 + 1 / (2 * r * c)) + moved / 16;
}

/* As many row tiles as make the number of tiles enough, for each number of column tiles. */
static void divide_pair(nni_gemm_pair *g)
{
    int64_t target = least(target_tiles(g->rows, g->o, g->i * (g->want_s + g->want_c)), TARGET / 2);
    double best = -1;

    for (int64_t it = 1; it <= g->panels; it++) {
        int64_t rt = most(1, least(ceil_div(target, it), g->rows / (LEAST_ROWS / 2)));
        double cost;

        if (rt > 1 && (double)rt * (double)g->o * (double)g->i * (double)sizeof(nn_real) > SCRATCH_BYTES)
            continue;
        cost = pair_cost(g, rt, it);
        if (rt * it < target)
            cost += 1e30 / (double)(rt * it);
        if (best < 0 || cost < best) {
            best = cost;
            g->row_tiles = rt;
            g->i_tiles = it;
        }
    }
}

nni_gemm_pair nni_gemm_pair_of(const struct nni_gemm_kernels *kernels, int64_t rows, int64_t o, int64_t i,
                               int load, int want_s, int want_c, int64_t row_tiles, int64_t i_tiles)
{
    nni_gemm_pair g = { .kernels = kernels,
                        .rows = rows,
                        .o = o,
                        .i = i,
                        .row_tiles = row_tiles,
                        .i_tiles = i_tiles,
                        .want_s = want_s,
                        .want_c = want_c,
                        .loaded = load != NNI_LOAD_NONE };
    int64_t width, held = 0;

    g.panels = panels_of(kernels, i);
    g.words = ceil_div(o, kernels->depth);
    g.ld = row_stride(g.words);
    if (!g.row_tiles)
        divide_pair(&g);
    width = ceil_div(g.panels, g.i_tiles) * kernels->units * NNI_GEMM_UNIT;
    g.tile_rows = round_up(ceil_div(rows, g.row_tiles), kernels->rows);
    g.row_tiles = ceil_div(rows, g.tile_rows);
    g.stage_tiles = g.loaded && g.i_tiles > 1 ? ceil_div(rows, stage_rows(rows)) : 0;
    g.chunk = pair_chunk(g.tile_rows, g.ld);
    held = (kernels->block + g.chunk) * kernels->units * NNI_GEMM_UNIT;
    if (want_s)
        held += width * g.words;
    if (g.loaded && !g.stage_tiles)
        held += g.chunk * g.ld;
    if (kernels->depth > 1)
        held += kernels->block * kernels->units * NNI_GEMM_UNIT / 2 + (g.chunk + 1) / 2 * row_stride(o);
    g.lane_bytes = (size_t)held * sizeof(nn_real);
    g.stage_bytes = g.stage_tiles ? (size_t)(rows * g.ld) * sizeof(nn_real) : 0;
    if (want_c && g.row_tiles > 1) {
        g.scratch_bytes = (size_t)(g.row_tiles * o * i) * sizeof(nn_real);
        g.merge_size = merge_size(o * i);
        g.merge_tiles = ceil_div(o * i, g.merge_size);
    }
    return g;
}

void nni_gemm_pair_stage(const nni_gemm_pair *g, const nni_gemm_pair_io *io, nn_real *stage, int64_t tile)
{
    int64_t rows = stage_rows(g->rows), row0 = tile * rows;

    io->load_g(io->load_context, row0, least(rows, g->rows - row0), 0, g->o, stage + row0 * g->ld, g->ld);
}

/* A tile's memory. With a depth of 2 the product for C takes words of two rows, which are made from rows. */
struct pair_memory {
    nn_real *s;           /* a block of S */
    nn_real *a, *a_rows;  /* A of a chunk as the product takes it; a block of its rows, where that differs */
    nn_real *rows, *cols; /* the same of G */
    nn_real *w;           /* packed panels of W */
};

static struct pair_memory pair_memory(const nni_gemm_pair *g, void *lane)
{
    const struct nni_gemm_kernels *k = g->kernels;
    int64_t wide = k->units * NNI_GEMM_UNIT;
    struct pair_memory m = { .s = lane };

    m.a = m.s + k->block * wide;
    m.rows = m.a + g->chunk * wide;
    m.w = m.rows + (g->loaded && !g->stage_tiles ? g->chunk * g->ld : 0);
    if (k->depth > 1) {
        m.a_rows = m.w;
        m.cols = m.a_rows + k->block * wide / 2;
        m.w = m.cols + (g->chunk + 1) / 2 * row_stride(g->o);
    }
    return m;
}

/* Rows of G for S, and for C. */
static void pair_rows(const nni_gemm_pair *g, const nni_gemm_pair_io *io, int64_t row0, int64_t rows,
                      const struct pair_memory *m)
{
    int64_t group = g->kernels->depth > 1 ? GROUP : rows, ld = io->g ? io->ldg : g->ld;

    for (int64_t r = 0; r < rows; r += group) {
        int64_t some = least(group, rows - r);

        if (!io->g)
            io->load_g(io->load_context, row0 + r, some, 0, g->o, m->rows + r * ld, ld);
        if (g->want_c && g->kernels->depth > 1)
            g->kernels->pair(m->cols + r / 2 * row_stride(g->o), row_stride(g->o),
                             io->g ? io->g + (row0 + r) * ld : m->rows + r * ld, ld, some, g->o);
    }
}

void nni_gemm_pair_tile(const nni_gemm_pair *g, const nni_gemm_pair_io *io, nn_real *c, int add,
                        nn_real *scratch, int64_t tile, void *lane)
{
    const struct nni_gemm_kernels *kernels = g->kernels;
    int64_t rt = tile / g->i_tiles, it = tile % g->i_tiles, depth = kernels->depth;
    int64_t p0 = g->panels * it / g->i_tiles, p1 = g->panels * (it + 1) / g->i_tiles;
    int64_t i0 = panel_unit(kernels, g->i, g->panels, p0) * NNI_GEMM_UNIT, ld = io->g ? io->ldg : g->ld;
    int64_t row0 = rt * g->tile_rows, row1 = least(row0 + g->tile_rows, g->rows);
    int64_t ldc = depth > 1 ? row_stride(g->o) : ld;
    struct pair_memory m = pair_memory(g, lane);

    if (g->row_tiles > 1) {
        c = scratch + rt * g->o * g->i;
        add = 0;
    }
    for (int64_t r0 = row0; r0 < row1; r0 += g->chunk) {
        int64_t rows = least(g->chunk, row1 - r0);
        const nn_real *by_rows = io->g ? io->g + r0 * ld : m.rows;
        const nn_real *by_cols = depth > 1 ? m.cols : by_rows;

        pair_rows(g, io, r0, rows, &m);
        for (int64_t p = p0; p < p1; p++) {
            int64_t u0 = panel_unit(kernels, g->i, g->panels, p), col = u0 * NNI_GEMM_UNIT;
            int units = (int)(panel_unit(kernels, g->i, g->panels, p + 1) - u0);
            int64_t width = (int64_t)units * NNI_GEMM_UNIT, cols = least(width, g->i - col);
            nn_real *wp = m.w + (col - i0) * g->words;

            if (g->want_s && r0 == row0)
                kernels->pack(wp, width, io->w + col, g->i, 1, g->o, cols);
            for (int64_t r = 0; r < rows; r += kernels->block) {
                int64_t some = least(kernels->block, rows - r);
                int64_t lda = width / depth;
                nn_real *a = depth > 1 ? m.a_rows : m.a + r * width;

                if (io->soon)
                    io->soon(io->context, r0 + r, some, col, cols);
                if (g->want_s)
                    kernels->nn(some, g->words, by_rows + r * ld, ld, wp, units, m.s, width);
                io->exchange(io->context, rt, r0 + r, some, col, cols, g->want_s ? m.s : NULL, width,
                             g->want_c ? a : NULL, lda);
                /* The unused columns of the last unit are multiplied though never stored. */
                for (int64_t q = 0; g->want_c && cols < width && q < some; q++)
                    for (int64_t j = ceil_div(cols, depth); j < lda; j++)
                        a[q * lda + j] = 0;
                if (g->want_c && depth > 1)
                    kernels->pair(m.a + r / 2 * width, width, a, lda, some, width);
            }
            if (g->want_c)
                kernels->tn(g->o, ceil_div(rows, depth), by_cols, ldc, m.a, width, units, c + col, g->i, cols,
                            add || r0 > row0);
        }
    }
}

void nni_gemm_pair_merge(const nni_gemm_pair *g, nn_real *c, int add, const nn_real *scratch, int64_t tile)
{
    merge_parts(g->kernels, g->row_tiles, g->o * g->i, g->merge_size, c, add, scratch, tile);
}
