/* SPDX-License-Identifier: MIT
 *
 * The product of a 3x3 convolution of stride 1 by Winograd's F(2x2,3x3): see winograd.c.
 */
#ifndef NNI_WINOGRAD_H
#define NNI_WINOGRAD_H

#include "cpu/cpu.h"

/* dst[n,dst_h,dst_w,cols] of src[n,h,w,channels]: pixel (y,x) reads from (y-top,x-left) on. */
struct nni_winograd {
    const struct nni_gemm_kernels *gemm;
    int64_t n, h, w, channels, dst_h, dst_w, cols, top, left;
    int64_t across, down;           /* squares of 2x2 results in a row of them; rows of squares in an image */
    int64_t row_tiles, rows, chunk; /* rows of squares of a tile, and of them that are transformed together */
    int64_t tile_pixels;            /* of dst, in all row tiles but the last */
    int64_t col_tiles, panels;
    nni_gemm product; /* of one of the 16 matrices: its panels */
    size_t packed_bytes, lane_bytes, pack_lane_bytes;
};

/* top and left are those of the first argument: the geometry alone (n to left). */
struct nni_winograd nni_winograd_of(const struct nni_gemm_kernels *gemm, struct nni_winograd geometry);
static inline int64_t nni_winograd_tiles(const struct nni_winograd *w) { return w->row_tiles * w->col_tiles; }

/* Packs a panel of the weights, B of the direct product. */
void nni_winograd_pack(const struct nni_winograd *w, const struct nni_winograd_kernels *kernels,
                       const struct nni_gemm_b *b, nn_real *packed, int64_t panel, void *lane);

struct nni_winograd_pixels {
    const struct nni_winograd_kernels *kernels; /* for the type of what is there */
    const void *at;
    size_t size; /* bytes of an element of it */
};

struct nni_winograd_io {
    struct nni_winograd_pixels src;
    /* Both take the rows of a tile in order, of dst as [pixels,cols]; `look`, which may be NULL, with rows
     * numbered in that order from row tile * tile_pixels on. */
    nni_gemm_store *store, *look;
    const void *store_context, *look_context;
};
void nni_winograd_tile(const struct nni_winograd *w, const struct nni_winograd_io *io, const nn_real *packed,
                       int64_t tile, void *lane);

/* The gradient of the weights, in two phases: tiles leave partial sums [splits][16][cols][channels] in
 * scratch, which are merged in order. */
struct nni_winograd_back {
    struct nni_winograd w;
    int64_t splits, rows, chunk; /* rows of squares of a split, and of them that are transformed together */
    int64_t o_tiles, o_size;     /* of cols */
    int64_t c_tiles;             /* of channels */
    nni_gemm over;               /* its panels are those of channels */
    int64_t tiles;
    size_t lane_bytes, merge_lane_bytes, scratch_bytes;
};
struct nni_winograd_back nni_winograd_back_of(const struct nni_winograd *w);
void nni_winograd_back_tile(const struct nni_winograd_back *b, const struct nni_winograd_pixels *src,
                            const struct nni_winograd_pixels *dst_grad, nn_real *sums, int64_t tile,
                            void *lane);
/* taps[9][channels] of weight `col`; lane memory for 16 such rows. */
void nni_winograd_back_merge(const struct nni_winograd_back *b, const struct nni_winograd_kernels *kernels,
                             const nn_real *sums, int64_t col, nn_real *taps, nn_real *lane);

#endif
