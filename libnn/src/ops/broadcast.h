/* SPDX-License-Identifier: MIT
 *
 * NumPy broadcasting as geometry: which rows of which operand meet in a tile. Shapes are first
 * collapsed (neighbouring dimensions that all operands walk through alike become one), so
 * that equal shapes are one long row, a gate [N,1,1,C] is rows of C and a mask [N,1,1,1] is N long rows:
 * the common cases are fast without being special. All of it depends on shapes only.
 */
#ifndef NNI_BROADCAST_H
#define NNI_BROADCAST_H

#include "cpu/cpu.h"
#include "ops/broadcast_shape.h"

/* A map over the result in tiles: calls `visit` with the offsets of matrices of results and operands. */
typedef void nni_broadcast_visit(const nn_step *s, int64_t y, int64_t a, int64_t b,
                                 const struct nni_pointwise_grid *g);
int64_t nni_broadcast_tiles(const struct nni_broadcast *g);
void nni_broadcast_tile(const nn_step *s, const struct nni_broadcast *g, int64_t tile,
                        nni_broadcast_visit *visit);

/* The same map row by row, for any number of operands: where n results and their operands begin. */
typedef void nni_row_visit(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n);
void nni_broadcast_rows(const struct nni_broadcast *g, int64_t tile, nni_row_visit *visit, void *context);

/* The gradient of operand a, sum of x*b or of x over the places where an element of a was used, with x
 * of the result's shape: tiles leave partial sums, a second phase merges them in order. */
struct nni_reduction {
    struct nni_broadcast g;
    int of;                                     /* the operand a */
    int64_t elements;                           /* of a */
    int64_t kept, reduced;                      /* products of the outer dimensions of either kind */
    int64_t kept_each, reduced_each, cols_each; /* per tile */
    int64_t kept_tiles, reduced_tiles, cols_tiles;
    bool cols_kept; /* is the innermost dimension one of a's? */
    int64_t tiles, merge_tiles, chunks;
    size_t bytes; /* of partial sums */
};
void nni_reduction_of(nn_shape a, nn_shape b, struct nni_reduction *r);
/* Of operand `of` among several. */
void nni_reduction_all(const nn_shape *shape, int count, int of, struct nni_reduction *r);
/* x and other are activations; other: b's values, or NULL for a sum of x alone. */
void nni_reduction_tile(const nn_step *s, const struct nni_reduction *r, int64_t tile, nn_real *partial,
                        const void *x, const void *other);
void nni_reduction_merge(const nn_step *s, const struct nni_reduction *r, int64_t tile,
                         const nn_real *partial, void *to, nn_dtype type, bool add);
/* The same of anything: `fill` computes n summands from the operands at y and at[] and returns where they
 * are: in `to`, or where they are already. With `largest` the maximum is taken instead of the sum, and has
 * its own merge. */
typedef const nn_real *nni_fill(void *context, nn_real *to, int64_t y, const int64_t at[NNI_OPERANDS],
                                int64_t n);
void nni_reduction_fill(const nn_step *s, const struct nni_reduction *r, int64_t tile, nn_real *partial,
                        bool largest, nni_fill *fill, void *context);
void nni_reduction_merge_largest(const struct nni_reduction *r, int64_t tile, const nn_real *partial,
                                 nn_real *to);
/* The range of elements that a tile of a merge writes. */
struct nni_part nni_reduction_merged(const struct nni_reduction *r, int64_t tile);

/* The sum of n elements in double, in a fixed order. */
double nni_sum(const nn_real *x, int64_t n);

#endif
