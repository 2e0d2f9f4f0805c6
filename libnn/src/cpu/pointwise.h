/* SPDX-License-Identifier: MIT
 *
 * The memory-bound kernels: elementwise maps, the affine map of a normalisation with its gradient,
 * column statistics, sums, and the merging of what tiles have left. Each reads and writes an element
 * once; what would be several passes in terms of ops is one here. Matrices are [rows, cols] dense,
 * with the channel as the column. Outputs may be the same memory as an input of the same shape.
 */
#ifndef NNI_POINTWISE_H
#define NNI_POINTWISE_H

#include <nn/op.h>

#include <stdbool.h>

/* v(x) = act(scale*(x - mean) + beta) for each channel; the identity when mean is NULL, no beta when
 * that is NULL. */
struct nni_pointwise_affine {
    const nn_real *mean, *scale, *beta;
    int act;
};

/* Two operands of a matrix of results: steps between rows, and between columns (0 or 1). */
struct nni_pointwise_grid {
    int64_t rows, cols;
    int64_t y_row, a_row, b_row;
    int a_col, b_col;
};

/* What is void here is an activation, in the table's type of storage. */
struct nni_pointwise_kernels {
    /* Between the table's type of storage and nn_real: to = from, and to (+)= from. */
    void (*widen)(nn_real *to, const void *from, int64_t n, bool add);
    void (*narrow)(void *to, const nn_real *from, int64_t n, bool add);
    /* y = act(x) for an nn_act. */
    void (*act)(void *y, const void *x, int64_t n, int act);
    /* dx (+)= dy*act'(x). */
    void (*act_grad)(void *dx, const void *x, const void *dy, int64_t n, int act, bool add);
    /* y (+)= factor*x + shift. */
    void (*scale)(void *y, const void *x, int64_t n, nn_real factor, nn_real shift, bool add);
    /* y = factor*v(x) + plus; plus [rows, cols] or NULL. */
    void (*affine)(void *y, const void *x, const void *plus, int64_t rows, int64_t cols,
                   const struct nni_pointwise_affine *v, nn_real factor);
    /* With dz = factor*dy*act'(z): dx (+)= scale*dz unless NULL; sums[c] += sum dz and
     * sums[cols+c] += sum dz*(x-mean) unless NULL. dy_row is cols, or 0 when all rows share one row
     * of dy, which then is nn_real. Without an affine x is not read and sums must be NULL. */
    void (*affine_grad)(void *dx, nn_real *sums, const void *x, const void *dy, int64_t dy_row, int64_t rows,
                        int64_t cols, const struct nni_pointwise_affine *v, nn_real factor, bool add);
    /* sum[c] = the sum of v(x) over rows; slopes[c] and slopes[cols+c], unless NULL, those of act' and of
     * act'*(x-mean). */
    void (*affine_sum)(nn_real *sum, nn_real *slopes, const void *x, int64_t rows, int64_t cols,
                       const struct nni_pointwise_affine *v);
    /* Mean of each column and sum of squared distances from it; work [cols]. The second pass corrects
     * the rounding error of the first. */
    void (*moments)(nn_real *mean, nn_real *m2, nn_real *work, const void *x, int64_t rows, int64_t cols);
    /* y = a + b, and y (+)= a*b. */
    void (*add)(void *y, const void *a, const void *b, const struct nni_pointwise_grid *g);
    void (*mul)(void *y, const void *a, const void *b, const struct nni_pointwise_grid *g, bool add);
    /* da (+)= dy*b, then db (+)= dy*a; either may be NULL. */
    void (*mul_grad)(void *da, void *db, const void *a, const void *b, const void *dy, int64_t n, bool add_a,
                     bool add_b);
    /* sum[c] += the sum of a*b over rows; b NULL: of a. g->a_col is 1, g->y_row is not used. */
    void (*sum_rows)(nn_real *sum, const void *a, const void *b, const struct nni_pointwise_grid *g);
    /* The sum of a*b over everything; b NULL: of a. */
    nn_real (*sum_all)(const void *a, const void *b, const struct nni_pointwise_grid *g);
    /* acc[c] += partial[t*stride + c] for t = 0, 1, ... */
    void (*merge_sums)(double *acc, const nn_real *partial, int64_t tiles, int64_t stride, int64_t cols);
    /* Chan's formula for tiles of `each` rows of `rows` in all: mean[t*stride + c], m2[t*stride + c] of
     * tile t. Leaves the mean and the sum of squared distances of all rows. */
    void (*merge_moments)(double *mean, double *m2, const nn_real *tile_mean, const nn_real *tile_m2,
                          int64_t tiles, int64_t stride, int64_t cols, int64_t each, int64_t rows);
};

extern const struct nni_pointwise_kernels nni_pointwise_portable, nni_pointwise_avx2, nni_pointwise_avx512;
extern const struct nni_pointwise_kernels nni_pointwise_bf16_portable, nni_pointwise_bf16_avx2,
    nni_pointwise_bf16_avx512, nni_pointwise_bf16_avx512_bf16;

/* Columns that one tile of a merging phase takes: its double accumulators live on the stack. */
enum { NNI_MERGE = 64 };

/* Rows of a tile over [rows, cols]: a few microseconds of work, and few enough rows that sums in nn_real stay
 * exact to some ulp. */
static inline int64_t nni_tile_rows(int64_t cols)
{
    int64_t rows = 32768 / (cols > 0 ? cols : 1);

    return rows < 16 ? 16 : rows > 256 ? 256 : rows;
}

/* The part [begin, begin+count) of `total` things that tile `tile` of `each` has. */
struct nni_part {
    int64_t begin, count;
};
static inline struct nni_part nni_part_of(int64_t tile, int64_t each, int64_t total)
{
    struct nni_part p = { tile * each, total - tile * each };

    if (p.count > each)
        p.count = each;
    return p;
}
static inline int64_t nni_parts(int64_t total, int64_t each) { return (total + each - 1) / each; }

/* ---- pointwise.c: for ops of this kind; an affine is at in[k..k+2] ---- */

/* For infer. in[i] is NN_REAL, of at least this rank; in[i], if there, is [channels]; the affine, if
 * there, is whole and of these channels. */
int nni_infer_real(nn_node *n, int i, int rank);
/* in[i] is an activation: NN_REAL or bfloat16, and like in[0]. */
int nni_infer_activation(nn_node *n, int i, int rank);
int nni_infer_vector(nn_node *n, int i, int64_t channels);
/* The constant called `name` is from `low` to `high`, and so no NaN. */
int nni_infer_constant(nn_node *n, const char *name, double value, double low, double high);
#define NNI_MOST_EPS 1e30 /* finite in nn_real */
int nni_infer_affine(nn_node *n, int k, int64_t channels);

/* The affine as a kernel takes it; the identity when the slot is empty. For tiles. */
struct nni_pointwise_affine nni_affine_operands(const nn_step *s, int k);
/* Does anybody want the gradient of mean, scale or beta? */
bool nni_affine_wanted(const nn_step *s, int k);
/* Tile `tile` of nni_parts(C, NNI_MERGE): gradients of mean, scale and beta out of what affine_grad left in
 * sums[tiles][2][C]. */
void nni_affine_merge(const nn_step *s, int k, const nn_real *sums, int64_t tiles, int64_t tile);

#endif
