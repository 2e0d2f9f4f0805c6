/* SPDX-License-Identifier: MIT
 *
 * The general convolution: any kernel, stride, dilation, padding and number of groups,
 *
 *     y[n,p,q,o] = b[o] + sum_{i,j,c} x[n, p*stride-top+i*dilation, q*stride-left+j*dilation, c] w[o,c,i,j]
 *
 * as a product of the matrix of patches [N*H'*W', kh*kw*C] with the weights. The matrix exists one
 * row tile at a time, in cache. The gradient of x gathers, for every tap, the one output pixel that
 * read this input pixel through it (zero where the stride skips it), times the weights turned
 * around; the gradient of w is the gradient of y times the patches. So nothing is ever scattered, and
 * no two tiles write the same place. Groups are separate products of the same shape.
 */
#include "cuda/if_cuda.h"
#include "ops/conv.h"
#include "ops/product.h"

#include <string.h>

enum { X, WEIGHT, BIAS };
enum { SPLITS, O_TILES, I_TILES };
enum { COST_GRADIENT = 4, COST_PATCHES = 12 }; /* cycles for a vector */

/* A group of a convolution: the context of the loads. */
struct group {
    const nn_step *s;
    nni_conv_geometry g;
    int64_t index, ci, co, taps; /* channels in and out of a group */
};

static struct group group_of(const nn_step *s, int64_t index)
{
    struct group v = { .s = s, .index = index };

    v.g = nni_conv_of(s->attrs, s->in[X].shape, s->in[WEIGHT].shape);
    v.ci = v.g.c / v.g.groups;
    v.co = v.g.o / v.g.groups;
    v.taps = v.g.kh * v.g.kw;
    return v;
}

/* Elements of an operand, from `at` on. */
static void copy(const struct group *v, nn_real *to, const nn_operand *o, int64_t at, int64_t count)
{
    const nn_real *from = nni_at(o, at);

    if (nni_stored(v->s) != NNI_STORED_REAL)
        nni_pointwise_of(v->s)->widen(to, from, count, false);
    else if (count >= 16)
        memcpy(to, from, (size_t)count * sizeof *to);
    else
        for (int64_t i = 0; i < count; i++)
            to[i] = from[i];
}

static void zero(nn_real *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = 0;
}

/* Rows of the patch matrix; its columns are [kh][kw][channels of the group]. */
static void load_patches(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                         nn_real *dst, int64_t ld)
{
    const struct group *v = context;
    const nni_conv_geometry *g = &v->g;
    const nn_operand *x = &v->s->in[X];
    int64_t first = v->index * v->ci;
    int64_t q = row0 % g->ow, p = row0 / g->ow % g->oh, n = row0 / g->ow / g->oh;
    int64_t tap0 = col0 / v->ci, tap1 = (col0 + cols - 1) / v->ci + 1;
    int dense = col0 == 0 && cols == v->taps * v->ci && g->dilation == 1 && g->groups == 1;

    for (int64_t r = 0; r < rows; r++, dst += ld) {
        int64_t top = p * g->stride - g->pad_top, left = q * g->stride - g->pad_left;

        if (dense && top >= 0 && left >= 0 && top + g->kh <= g->h && left + g->kw <= g->w) {
            for (int64_t i = 0; i < g->kh; i++)
                copy(v, dst + i * g->kw * g->c, x, ((n * g->h + top + i) * g->w + left) * g->c, g->kw * g->c);
        } else {
            for (int64_t tap = tap0; tap < tap1; tap++) {
                int64_t y = top + tap / g->kw * g->dilation, z = left + tap % g->kw * g->dilation;
                int64_t from = tap > tap0 ? 0 : col0 - tap0 * v->ci;
                int64_t to = nni_min64(v->ci, col0 + cols - tap * v->ci);
                nn_real *at = dst + tap * v->ci + from - col0;

                if (y >= 0 && y < g->h && z >= 0 && z < g->w)
                    copy(v, at, x, ((n * g->h + y) * g->w + z) * g->c + first + from, to - from);
                else
                    zero(at, to - from);
            }
        }
        if (++q == g->ow) {
            q = 0;
            if (++p == g->oh) {
                p = 0;
                n++;
            }
        }
    }
}

/* For input pixels, the gradient of the output pixels that read them; columns are [kh][kw][outputs of the
 * group]. */
static void load_readers(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                         nn_real *dst, int64_t ld)
{
    const struct group *v = context;
    const nni_conv_geometry *g = &v->g;
    int plain = nni_plain_gradient(v->s);
    int64_t q = row0 % g->w, p = row0 / g->w % g->h, n = row0 / g->w / g->h;

    (void)col0;
    (void)cols;
    for (int64_t r = 0; r < rows; r++, dst += ld) {
        for (int64_t tap = 0; tap < v->taps; tap++) {
            int64_t y = p + g->pad_top - tap / g->kw * g->dilation,
                    z = q + g->pad_left - tap % g->kw * g->dilation;
            nn_real *at = dst + tap * v->co;

            if (y < 0 || z < 0 || y % g->stride || z % g->stride || y / g->stride >= g->oh ||
                z / g->stride >= g->ow) {
                zero(at, v->co);
            } else {
                int64_t row = (n * g->oh + y / g->stride) * g->ow + z / g->stride;

                if (plain)
                    copy(v, at, &v->s->dout[0], row * g->o + v->index * v->co, v->co);
                else
                    nni_total_gradient(v->s, row, 1, v->index * v->co, v->co, at, v->co);
            }
        }
        if (++q == g->w) {
            q = 0;
            if (++p == g->h) {
                p = 0;
                n++;
            }
        }
    }
}

static void load_gradient(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                          nn_real *dst, int64_t ld)
{
    const struct group *v = context;

    nni_total_gradient(v->s, row0, rows, v->index * v->co + col0, cols, dst, ld);
}

/* ------------------------------------------------------------------ forward */

/* The product of one group. It is staged never: patches are cheap next to what becomes of them. */
static nni_gemm forward_product(const struct group *v)
{
    return nni_gemm_of(nni_gemm_plain(v->s), v->g.n * v->g.oh * v->g.ow, v->co, v->taps * v->ci,
                       NNI_LOAD_COPY);
}

static void pack_forward(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    nni_gemm g = forward_product(&v);
    int64_t index = tile / g.panels, k = v.taps * v.ci;
    struct nni_gemm_b b = { .at = (const nn_real *)s->in[WEIGHT].at + index * v.co * k,
                            .inner = v.ci,
                            .outer_stride = 1,
                            .inner_stride = v.taps,
                            .n_stride = k };

    (void)lane;
    nni_gemm_pack(&g, &b, (nn_real *)(void *)((char *)s->derived.at + (size_t)index * g.packed_bytes),
                  tile % g.panels);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    nni_gemm g = forward_product(&v);
    struct nni_output o = nni_output_of(s, s->scratch, g.row_tiles, g.rows);
    nni_gemm_io io = {
        .load_a = load_patches, .load_context = &v, .store_c = nni_output_store, .store_context = &o
    };

    v.index = tile / nni_gemm_tiles(&g);
    o.first = v.index * v.co;
    nni_gemm_tile(&g, &io,
                  (const nn_real *)(void *)((char *)s->derived.at + (size_t)v.index * g.packed_bytes),
                  tile % nni_gemm_tiles(&g), lane);
}

static void merge_forward(const nn_step *s, int64_t tile, void *lane)
{
    struct group v = group_of(s, 0);
    nni_gemm g = forward_product(&v);
    struct nni_output o = nni_output_of(s, s->scratch, g.row_tiles, g.rows);

    (void)lane;
    nni_output_merge(&o, tile);
}

static int forward(nn_step *s)
{
    struct group v = group_of(s, 0);
    nni_gemm g = forward_product(&v);

    s->derived.bytes = (size_t)v.g.groups * g.packed_bytes;
    s->derived.tiles = v.g.groups * g.panels;
    s->derived.run = pack_forward;
    s->derived.reads = NN_IN(WEIGHT);
    nn_phase(s, v.g.groups * nni_gemm_tiles(&g), forward_tile);
    if (nni_wants_moments(s))
        nn_phase(s, nni_output_merge_tiles(s), merge_forward);
    s->scratch_bytes = nni_output_bytes(s, g.row_tiles);
    s->lane_bytes = g.lane_bytes;
    s->flops = 2.0 * (double)g.m * (double)g.n * (double)g.k * (double)v.g.groups;
    return NN_OK;
}

/* ----------------------------------------------------------------- backward */

/* As in conv1x1: one phase for both products and the bias, one that merges. */
struct work {
    struct group v;
    int wants_dx, wants_dw;
    nni_gemm dx;
    nni_gemm_tn dw;
    int64_t dx_tiles, dw_tiles, bias_tiles; /* dx_tiles, dw_tiles: of all groups */
    size_t lane_bytes, bytes, dw_bytes;     /* dw_bytes: partial sums of one group */
    nn_real *dw_sums, *bias_sums;
};

static struct work work_of(const nn_step *s)
{
    struct work w = { .v = group_of(s, 0),
                      .wants_dx = nn_has(&s->din[X]),
                      .wants_dw = nn_has(&s->din[WEIGHT]) };
    int64_t k = w.v.taps * w.v.ci, groups = w.v.g.groups;

    if (w.wants_dx) {
        w.dx = nni_gemm_of(nni_gemm_plain(s), w.v.g.n * w.v.g.h * w.v.g.w, w.v.ci, w.v.taps * w.v.co,
                           NNI_LOAD_COPY);
        w.dx_tiles = groups * nni_gemm_tiles(&w.dx);
        w.lane_bytes = w.dx.lane_bytes;
    }
    if (w.wants_dw) {
        w.dw = nni_gemm_tn_with(nni_gemm_plain(s), w.v.g.n * w.v.g.oh * w.v.g.ow, w.v.co, k,
                                s->choice[SPLITS], s->choice[O_TILES], s->choice[I_TILES]);
        w.dw_tiles = groups * w.dw.tiles;
        w.dw_bytes = nni_padded((size_t)(w.dw.splits * w.v.co * k) * sizeof(nn_real));
        w.lane_bytes = nni_max_size(w.lane_bytes, nni_max_size(w.dw.lane_bytes, (size_t)k * sizeof(nn_real)));
    }
    w.bias_tiles = nni_bias_tiles(s);
    w.lane_bytes = nni_max_size(w.lane_bytes, nni_bias_lane_bytes(s));
    w.bytes = (size_t)groups * w.dw_bytes;
    if (s->scratch) {
        w.dw_sums = s->scratch;
        w.bias_sums = (nn_real *)(void *)((char *)s->scratch + w.bytes);
    }
    w.bytes += nni_bias_bytes(s);
    return w;
}

static nn_real *dw_sums(const struct work *w, int64_t index)
{
    return (nn_real *)(void *)((char *)w->dw_sums + (size_t)index * w->dw_bytes);
}

static void store_dx(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                     const nn_real *block, int64_t ld)
{
    const struct group *v = context;
    void *dx = nni_at(&v->s->din[X], row0 * v->g.c + v->index * v->ci + col0);

    nni_gemm_plain(v->s)->store(dx, v->g.c, block, ld, rows, cols, NULL, nni_adds(v->s, X));
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);

    if (tile < w.dx_tiles) {
        nni_gemm_io io = {
            .load_a = load_readers, .load_context = &w.v, .store_c = store_dx, .store_context = &w.v
        };
        int64_t tiles = nni_gemm_tiles(&w.dx);

        w.v.index = tile / tiles;
        nni_gemm_tile(
            &w.dx, &io,
            (const nn_real *)(void *)((char *)s->derived.at + (size_t)w.v.index * w.dx.packed_bytes),
            tile % tiles, lane);
    } else if ((tile -= w.dx_tiles) < w.dw_tiles) {
        nni_gemm_tn_io io = {
            .load_y = load_gradient, .y_context = &w.v, .load_x = load_patches, .x_context = &w.v
        };

        w.v.index = tile / w.dw.tiles;
        nni_gemm_tn_tile(&w.dw, &io, dw_sums(&w, w.v.index), 0, dw_sums(&w, w.v.index), tile % w.dw.tiles,
                         lane);
    } else {
        nni_bias_tile(s, w.bias_sums, tile - w.dw_tiles, lane);
    }
}

/* One output channel of dw: partial sums added up, and put from [kh][kw][c] into [c][kh][kw]. */
static void merge_dw(const struct work *w, int64_t o, nn_real *row)
{
    const nn_step *s = w->v.s;
    int64_t k = w->v.taps * w->v.ci, index = o / w->v.co;
    nn_real *to = (nn_real *)s->din[WEIGHT].at + o * k;

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

static void pack_backward(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);
    int64_t index = tile / w.dx.panels, k = w.v.taps * w.v.ci;
    struct nni_gemm_b b = { .at = (const nn_real *)s->in[WEIGHT].at + index * w.v.co * k,
                            .inner = w.v.co,
                            .outer_stride = 1,
                            .inner_stride = k,
                            .n_stride = w.v.taps };

    (void)lane;
    nni_gemm_pack(&w.dx, &b, (nn_real *)(void *)((char *)s->derived.at + (size_t)index * w.dx.packed_bytes),
                  tile % w.dx.panels);
}

static int backward(nn_step *s)
{
    struct group v = group_of(s, 0);
    struct work w;

    if (nn_has(&s->din[WEIGHT])) {
        nni_gemm_tn dw = nni_gemm_tn_of(nni_gemm_plain(s), v.g.n * v.g.oh * v.g.ow, v.co, v.taps * v.ci,
                                        COST_GRADIENT, COST_PATCHES);

        s->choice[SPLITS] = dw.splits;
        s->choice[O_TILES] = dw.o_tiles;
        s->choice[I_TILES] = dw.i_tiles;
    }
    w = work_of(s);
    if (w.wants_dx) {
        s->derived.bytes = (size_t)v.g.groups * w.dx.packed_bytes;
        s->derived.tiles = v.g.groups * w.dx.panels;
        s->derived.run = pack_backward;
        s->derived.reads = NN_IN(WEIGHT);
    }
    nn_phase(s, w.dx_tiles + w.dw_tiles + w.bias_tiles, backward_tile);
    if (w.wants_dw || w.bias_tiles)
        nn_phase(s, (w.wants_dw ? v.g.o : 0) + (w.bias_tiles > 0), merge_backward);
    s->scratch_bytes = w.bytes;
    s->lane_bytes = w.lane_bytes;
    s->flops = 2.0 * (double)(v.g.n * v.g.oh * v.g.ow) * (double)v.g.o * (double)(v.taps * v.ci) *
               (w.wants_dx + w.wants_dw);
    return NN_OK;
}

/* --------------------------------------------------------------- descriptor */

static int infer(nn_node *node)
{
    nni_conv_geometry g;
    nni_text text;
    int status;

    if ((status = nni_infer_activation(node, X, 0)))
        return status;
    for (int i = WEIGHT; i <= BIAS; i++)
        if (node->in[i] && (status = nni_infer_real(node, i, 0)))
            return status;
    if ((status = nni_conv_infer(node, node->attrs, nn_shape_get(node->in[X]), nn_shape_get(node->in[WEIGHT]),
                                 &g)))
        return status;
    if (node->in[BIAS] && !nn_shape_equal(nn_shape_get(node->in[BIAS]), NN_SHAPE1(g.o)))
        return nn_infer_fail(node, "the bias must be [%lld], not %s", (long long)g.o,
                             nni_shape_text(nn_shape_get(node->in[BIAS]), &text));
    return nn_infer_out(node, 0, nn_type_get(node->in[X]), NN_SHAPE4(g.n, g.oh, g.ow, g.o));
}

const nn_op nn_op_conv2d = {
    .abi = NN_OP_ABI,
    .name = "conv2d",
    .inputs = 2,
    .optional = NN_IN(BIAS) | NN_OUT(1) | NN_OUT(2),
    .reads = NN_IN(X) | NN_IN(WEIGHT) | NN_OUT(1),
    .flags = NN_OP_COMPUTE,
    .narrow = NN_IN(X),
    .slot = { [NN_SLOT_MOMENTS] = 1 },
    .attrs_bytes = sizeof(nn_conv_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_conv2d_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_conv2d_backward) },
};

nn_tensor *nn_conv2d(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias, nn_conv_opts opts)
{
    nn_tensor *in[3] = { x, weight, bias };
    nn_shape w = nn_shape_get(weight), s = nn_shape_get(x);

    if (s.rank == 4 && w.rank == 4 && w.dim[2] == w.dim[3]) {
        int one = opts.groups == 0 || opts.groups == 1;

        if (w.dim[2] == 1 && one && (opts.stride == 0 || opts.stride == 1) && !opts.pad)
            return nn_conv1x1(g, x, weight, bias);
        if (!one && opts.groups == s.dim[3] && opts.groups == w.dim[0])
            return nn_depthwise(g, x, weight, bias, opts);
    }
    return nn_apply(g, &nn_op_conv2d, &opts, in, 3);
}
