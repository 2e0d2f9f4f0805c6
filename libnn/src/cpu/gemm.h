/* SPDX-License-Identifier: MIT
 *
 * The matrix products behind conv1x1, linear and conv2d. One seam for all of them: operands come in
 * through callbacks that fill a block of rows, results leave through a callback that takes a block
 * while it is in the first-level cache. So normalisation, activation, gate, im2col, bias and
 * statistics are written once, as prologues and epilogues, and cost no pass over memory; and only
 * they know the type of what lies in memory.
 *
 *     nni_gemm        C[m,n] = A[m,k] B[k,n]     B packed beforehand: forward and data gradients
 *     nni_gemm_tn     C[o,i] = sum_r Y[r,o] X[r,i]                    weight gradients
 *     nni_gemm_pair   both gradients of rows times a matrix, which share their operands
 *
 * Tile counts and block sizes follow from the shapes and the instruction set alone.
 */
#ifndef NNI_GEMM_H
#define NNI_GEMM_H

#include <nn/op.h>

enum { NNI_GEMM_UNIT = 8 }; /* panels are multiples of this many columns */

/* How the first operand of a convolution is read: gate * act(scale*(x-mean)+beta). */
struct nni_prologue {
    const nn_real *mean, *scale, *beta; /* mean NULL: no affine and no activation; beta may be NULL */
    const nn_real *gate;                /* of the one image that the rows belong to; may be NULL */
    int act;
};

/* Where the gradient through a prologue goes; each sum is of one channel, added to. In double: terms nearly
 * cancel where a normalisation follows. */
struct nni_prologue_sums {
    double *scale, *beta; /* sum dz*(x-mean), sum dz; both or neither */
    double *gate;         /* sum a*dS of this image, or NULL */
};

/* The statistics' share of a gradient: dy + dmean/rows + 2*dvar/rows*(y-mean). */
struct nni_moment_grad {
    const nn_real *dmean, *dvar; /* NULL: that one has no gradient */
    const void *y;               /* y and mean: read with dvar only */
    const nn_real *mean;
    int64_t rows; /* that the statistics were taken over */
};

/* Row strides (ld) are in elements; columns are contiguous. What is void is an activation, in the table's
 * type of storage: only prologues and epilogues see those, between them everything is nn_real.
 *
 * Where the processor multiplies pairs of bfloat16 the operands of a product are rounded to that: `depth` is
 * 2 then, each word of a panel (an nn_real to everybody else) holds two neighbours along k, and nn and tn
 * take k in words. Whoever loads an operand (prologue, prologue_back, gradient) writes its rows as elements
 * of bfloat16 then, an odd number of them with a zero behind; the strides of these rows are in words. Sums
 * are nn_real as ever. */
struct nni_gemm_kernels {
    int depth;       /* elements of k in a word of a panel: 1 or 2 */
    int rows, units; /* register block: rows x units*NNI_GEMM_UNIT */
    int quantum;     /* units of a vector: all panels but one are multiples of it */
    int block;       /* rows of a block handed to an epilogue */
    /* C[m, units*8] = A[m,k] B with B a packed panel [k][units*8]. */
    void (*nn)(int64_t m, int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int units, nn_real *c,
               int64_t ldc);
    /* The same with the columns of A in `taps` stretches of k: row r of stretch t is at row[t*m + r]. Behind
     * the last are pointers to what will be read next, `rows` of them. NULL: A has to be loaded. */
    void (*taps)(int64_t m, int64_t taps, int64_t k, const nn_real *const *row, const nn_real *b, int units,
                 nn_real *c, int64_t ldc);
    /* Like nn with A given as [k][m] and B as [k][ldb]; only `cols` columns are written, or added to when
     * `add`. */
    void (*tn)(int64_t m, int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int64_t ldb, int units,
               nn_real *c, int64_t ldc, int64_t cols, int add);
    /* With a depth of 2: each two rows of an operand to one row of words of both, the last one perhaps with
     * zeros. */
    void (*pair)(nn_real *to, int64_t ldt, const nn_real *from, int64_t ldf, int64_t rows, int64_t cols);
    const struct nni_gemm_kernels *plain; /* the same storage with a depth of 1 */
    /* to[p*width + j] = from[p*k_stride + j*n_stride] for p < k, j < cols; zero from there up to width. With
     * a depth of 2 in words: then k is all there is. */
    void (*pack)(nn_real *to, int64_t width, const nn_real *from, int64_t k_stride, int64_t n_stride,
                 int64_t k, int64_t cols);
    /* to[row[i]*width + j] = from[i + j*n_stride] for i < count, j < cols, where row[i] is not negative; zero
     * from there up to width. With a depth of 1. */
    void (*pack_run)(nn_real *to, int64_t width, const nn_real *from, int64_t n_stride, const int64_t *row,
                     int64_t count, int64_t cols);
    /* dst = gate*act(scale*(src-mean)+beta); the operand's vectors begin at column 0 of dst. */
    void (*prologue)(nn_real *dst, int64_t ldd, const void *src, int64_t lds, int64_t rows, int64_t cols,
                     const struct nni_prologue *p);
    /* From ds, the gradient of the prologue's result, to dx (NULL: not wanted), the sums, and once more the
     * result itself to a[rows][lda] (NULL: not wanted). */
    void (*prologue_back)(void *dx, int64_t ldx, const nn_real *ds, int64_t lds, const void *x, int64_t ldsx,
                          int64_t rows, int64_t cols, const struct nni_prologue *p,
                          const struct nni_prologue_sums *sums, int add, nn_real *a, int64_t lda);
    /* dst = dy (NULL: zero) plus the statistics' share. */
    void (*gradient)(nn_real *dst, int64_t ldd, const void *dy, int64_t ldy, int64_t rows, int64_t cols,
                     const struct nni_moment_grad *m);
    /* dst = tile + bias, or dst += that; bias may be NULL. */
    void (*store)(void *dst, int64_t ldd, const nn_real *tile, int64_t ldt, int64_t rows, int64_t cols,
                  const nn_real *bias, int add);
    /* Merges a block's mean and sum of squared distances from it into those of `before` earlier rows. */
    void (*moments)(const nn_real *tile, int64_t ldt, int64_t rows, int64_t cols, int64_t before,
                    nn_real *mean, nn_real *m2);
    /* Merges tiles of `size` rows (the last one shorter) in order; mean and var may be NULL. */
    void (*moments_merge)(const nn_real *mean, const nn_real *m2, int64_t ld, int64_t rows, int64_t size,
                          int64_t cols, nn_real *mean_out, nn_real *var_out);
    /* dst[j] = (add ? dst[j] : 0) + factor[j] * sum over rows, in order, of src; factor NULL: 1. */
    void (*column_sums)(nn_real *dst, const nn_real *src, int64_t ld, int64_t rows, int64_t cols,
                        const nn_real *factor, int add);
};
extern const struct nni_gemm_kernels nni_gemm_portable, nni_gemm_avx2, nni_gemm_avx512;
extern const struct nni_gemm_kernels nni_gemm_bf16_portable, nni_gemm_bf16_avx2, nni_gemm_bf16_avx512,
    nni_gemm_bf16_avx512_bf16;

/* Fills dst[rows][ld] with rows row0.. and columns col0..col0+cols of an operand, as the kernels take it. */
typedef void nni_gemm_load(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                           nn_real *dst, int64_t ld);
/* Fills row[t*rows + r] with where row row0 + r of an operand lies in stretch t; `zero` is a stretch of
 * zeros. */
typedef void nni_gemm_point(const void *context, int64_t row0, int64_t rows, const nn_real *zero,
                            const nn_real **row);
/* Takes a block of C. For each range of columns the blocks of a tile's rows come in order. */
typedef void nni_gemm_store(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                            const nn_real *block, int64_t ld);

/* ------------------------------------------------------------------------ C = A B */

typedef struct nni_gemm {
    const struct nni_gemm_kernels *kernels;
    int64_t m, n, k;
    int64_t rows;                 /* of a tile, but for the last */
    int64_t row_tiles, col_tiles; /* tile = row tile * col_tiles + column tile */
    int64_t panels, words, ld;    /* words of k; stride of a loaded row of them */
    int64_t taps; /* stretches of k in which A is read where it lies, through pointers; 0: it is loaded */
    int64_t stage_tiles; /* of nni_gemm_stage, by which A is prepared once, in scratch; 0: it is not */
    size_t lane_bytes, packed_bytes, stage_bytes;
} nni_gemm;

typedef struct nni_gemm_io {
    const nn_real *a; /* A (or words of it) as it is, when there is nothing to do to it; else load_a */
    int64_t lda;
    nni_gemm_load *load_a;
    nni_gemm_point *point_a; /* read with taps only */
    const void *load_context;
    nn_real *c; /* C as it is; then store_c may be NULL, and only looks at what has been written */
    int64_t ldc;
    nni_gemm_store *store_c;
    const void *store_context;
} nni_gemm_io;

/* What becoming a row of A costs: nothing (io.a), a copy, or more, which is not to be done twice. */
enum { NNI_LOAD_NONE, NNI_LOAD_COPY, NNI_LOAD_COSTLY };
nni_gemm nni_gemm_of(const struct nni_gemm_kernels *kernels, int64_t m, int64_t n, int64_t k, int load);
/* The same with A in stretches: k is that of one. Kernels without `taps`, and thin stretches, load it. */
nni_gemm nni_gemm_taps_of(const struct nni_gemm_kernels *kernels, int64_t m, int64_t n, int64_t taps,
                          int64_t k);
static inline int64_t nni_gemm_tiles(const nni_gemm *g) { return g->row_tiles * g->col_tiles; }

/* B[k,n] in the caller's layout: element ((k1*across + k2)*inner + k3, n), k2 < across, k3 < inner, is at
 * k1*outer_stride + k2*across_stride + k3*inner_stride + n*n_stride. */
struct nni_gemm_b {
    const nn_real *at;
    int64_t inner, across; /* across 0: 1 */
    int64_t outer_stride, across_stride, inner_stride, n_stride;
};
/* Columns col0.. of panel `panel` of `panels`: `cols` of them, kept in `width`. */
struct nni_gemm_panel {
    int64_t col0, cols, width;
};
struct nni_gemm_panel nni_gemm_panel_of(const nni_gemm *g, int64_t panel);
/* Packs a panel, to its place among all of them or to `to`. */
void nni_gemm_pack(const nni_gemm *g, const struct nni_gemm_b *b, nn_real *packed, int64_t panel);
void nni_gemm_pack_panel(const nni_gemm *g, const struct nni_gemm_b *b, nn_real *to, int64_t panel);
/* Prepares some rows in `stage`; the product's tiles then take that as their A, with lda = g->ld. */
void nni_gemm_stage(const nni_gemm *g, const nni_gemm_io *io, nn_real *stage, int64_t tile);
void nni_gemm_tile(const nni_gemm *g, const nni_gemm_io *io, const nn_real *packed, int64_t tile, void *lane);

/* -------------------------------------------------------------------- C = Y^T X */

typedef struct nni_gemm_tn {
    const struct nni_gemm_kernels *kernels;
    int64_t rows, o, i;
    int64_t splits, split_rows;       /* of the rows; partial sums are merged in order */
    int64_t o_tiles, o_size;          /* of C's rows */
    int64_t i_tiles, panels;          /* of C's columns */
    int64_t chunk, ldx, tiles;        /* rows of a chunk; stride of a loaded row of X */
    int64_t merge_tiles, merge_size;  /* of C's elements */
    size_t lane_bytes, scratch_bytes; /* scratch: splits x [o,i]; none for a single split */
} nni_gemm_tn;

typedef struct nni_gemm_tn_io {
    nni_gemm_load *load_y, *load_x;
    const void *y_context, *x_context;
} nni_gemm_tn_io;

/* The costs are of loading, in cycles for a vector: about 4 for a copy, 30 with an activation. */
nni_gemm_tn nni_gemm_tn_of(const struct nni_gemm_kernels *kernels, int64_t rows, int64_t o, int64_t i,
                           int cost_y, int cost_x);
/* The same with a division that was found before (a tile does not search again). */
nni_gemm_tn nni_gemm_tn_with(const struct nni_gemm_kernels *kernels, int64_t rows, int64_t o, int64_t i,
                             int64_t splits, int64_t o_tiles, int64_t i_tiles);
/* `c` [o,i] is written (or added to), or with several splits `scratch` is. */
void nni_gemm_tn_tile(const nni_gemm_tn *g, const nni_gemm_tn_io *io, nn_real *c, int add, nn_real *scratch,
                      int64_t tile, void *lane);
/* With several splits, once all tiles are done. */
void nni_gemm_tn_merge(const nni_gemm_tn *g, nn_real *c, int add, const nn_real *scratch, int64_t tile);

/* ------------------------------------------------------- S = G W and C = G^T A */

/* The gradients of Y = A W^T, G being that of Y: S [rows,i] is that of A, C [o,i] that of W. A tile makes
 * both for some rows and some columns i, so that G is read once, and A once: by whoever takes S. */
typedef struct nni_gemm_pair {
    const struct nni_gemm_kernels *kernels;
    int64_t rows, o, i;
    int64_t row_tiles, tile_rows; /* tile = row tile * i_tiles + column tile */
    int64_t i_tiles, panels;
    int64_t chunk, ld; /* rows of G that meet all of a tile's columns before the next; their stride */
    int64_t words;     /* of a row of G */
    int want_s, want_c;
    int loaded;                      /* G is loaded by each tile, or */
    int64_t stage_tiles;             /* once, by so many of nni_gemm_pair_stage */
    int64_t merge_tiles, merge_size; /* of C's elements */
    size_t lane_bytes, stage_bytes;
    size_t scratch_bytes; /* row_tiles x [o,i]; none for a single row tile */
} nni_gemm_pair;

/* Takes a block of S, and fills a[rows][lda] with the same block of A; either is NULL when not wanted. For
 * each range of columns the blocks of a row tile come in order. */
typedef void nni_gemm_exchange(const void *context, int64_t row_tile, int64_t row0, int64_t rows,
                               int64_t col0, int64_t cols, const nn_real *s, int64_t lds, nn_real *a,
                               int64_t lda);

typedef struct nni_gemm_pair_io {
    const nn_real *g; /* G as it is or staged (then ldg is the pair's ld); else load_g */
    int64_t ldg;
    nni_gemm_load *load_g;
    const void *load_context;
    const nn_real *w; /* [o,i]; read with S only */
    nni_gemm_exchange *exchange;
    /* That block will be exchanged next: fetch what that needs while its product is made. May be NULL. */
    void (*soon)(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols);
    const void *context;
} nni_gemm_pair_io;

/* `load` is what a row of G costs; row_tiles and i_tiles 0: to be chosen. A tile passes what was chosen. */
nni_gemm_pair nni_gemm_pair_of(const struct nni_gemm_kernels *kernels, int64_t rows, int64_t o, int64_t i,
                               int load, int want_s, int want_c, int64_t row_tiles, int64_t i_tiles);
static inline int64_t nni_gemm_pair_tiles(const nni_gemm_pair *g) { return g->row_tiles * g->i_tiles; }
void nni_gemm_pair_stage(const nni_gemm_pair *g, const nni_gemm_pair_io *io, nn_real *stage, int64_t tile);
/* C is written (or added to), or with several row tiles `scratch` is. */
void nni_gemm_pair_tile(const nni_gemm_pair *g, const nni_gemm_pair_io *io, nn_real *c, int add,
                        nn_real *scratch, int64_t tile, void *lane);
/* With several row tiles, once all tiles are done. */
void nni_gemm_pair_merge(const nni_gemm_pair *g, nn_real *c, int add, const nn_real *scratch, int64_t tile);

#endif
