/* SPDX-License-Identifier: MIT
 *
 * The first half of an inverted residual block as one op: a 1x1 convolution that widens x, an affine
 * map and an activation that do not depend on the batch, and a depthwise convolution,
 *
 *     e[r,c] = sum_i w1[c,i] x[r,i]     y = depthwise(act(scale*(e - mean) + beta), w2)
 *
 * e is several times as wide as x and y and is not needed by anyone else: here its rows are made when
 * the depthwise kernels ask for them, a block of channels at a time, in the ring they read from.
 * Backward makes them again; then de = scale*dz (see depthwise.c) goes to scratch, and
 *
 *     dx = de w1     dw1 = de^T x
 *
 * are ordinary products. So between forward and backward only x is kept.
 */
#include "cuda/if_cuda.h"
#include "ops/product.h"

enum { X, EXPAND, MEAN, SCALE, BETA, WEIGHT, COST_COPY = 4 };
enum { SPLITS, O_TILES, I_TILES };

static int64_t rows_of(const nn_step *s) { return nni_rows(s->in[X].shape); }
static int64_t inner_of(const nn_step *s) { return s->in[EXPAND].shape.dim[1]; }
static int64_t outer_of(const nn_step *s) { return s->in[EXPAND].shape.dim[0]; }

static nn_shape expanded(nn_shape x, nn_shape w1)
{
    x.dim[3] = w1.dim[0];
    return x;
}

static void describe(struct nni_depthwise *d, const nn_step *s, bool backward)
{
    const nn_expand_opts *opts = s->attrs;

    *d = (struct nni_depthwise){ .act = (int)opts->act, .inner = inner_of(s) };
    d->g = nni_conv_of(&opts->conv, expanded(s->in[X].shape, s->in[EXPAND].shape), s->in[WEIGHT].shape);
    nni_depthwise_plan(d, nni_depthwise_of(s)->vec, backward);
    d->x = s->in[X].at;
    d->weight = s->derived.at;
    d->expand = d->weight ? d->weight + nni_depthwise_packed(d) : NULL;
    d->mean = s->in[MEAN].at;
    d->scale = s->in[SCALE].at;
    d->beta = nni_real_at(&s->in[BETA]);
}

/* Elements of both packed weights. */
static int64_t packed(const struct nni_depthwise *d)
{
    return nni_depthwise_packed(d) + nni_depthwise_packed(d) / (d->g.kh * d->g.kw) * d->inner;
}

static void pack(const nn_step *s, bool backward, int64_t block)
{
    struct nni_depthwise d;

    describe(&d, s, backward);
    nni_depthwise_of(s)->pack(&d, s->in[WEIGHT].at, s->derived.at, backward, block);
    nni_depthwise_of(s)->pack_expand(&d, s->in[EXPAND].at,
                                     (nn_real *)s->derived.at + nni_depthwise_packed(&d), block);
}

static double flops(const nn_step *s, const struct nni_depthwise *d, double products, double convolutions)
{
    return 2.0 * products * (double)rows_of(s) * (double)(d->g.c * d->inner) +
           2.0 * convolutions * (double)(d->g.n * d->g.oh * d->g.ow) * (double)(d->g.c * d->g.kh * d->g.kw);
}

/* ---------------------------------------------------------------- forward */

static void pack_forward(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    pack(s, false, tile);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_depthwise d;

    describe(&d, s, false);
    d.y = s->out[0].at;
    nni_depthwise_of(s)->forward(&d, tile, lane);
}

static int forward(nn_step *s)
{
    struct nni_depthwise d;

    describe(&d, s, false);
    s->derived.bytes = (size_t)packed(&d) * sizeof(nn_real);
    s->derived.tiles = d.blocks;
    s->derived.run = pack_forward;
    s->derived.reads = NN_IN(EXPAND) | NN_IN(WEIGHT);
    s->lane_bytes = nni_depthwise_lane(&d, false);
    s->flops = flops(s, &d, 1, 1);
    nn_phase(s, nni_depthwise_tiles(&d), forward_tile);
    return NN_OK;
}

/* --------------------------------------------------------------- backward */

static bool wants_products(const nn_step *s) { return nn_has(&s->din[X]) || nn_has(&s->din[EXPAND]); }

/* Scratch: partial sums of the depthwise part, de, partial sums of dw1. */
struct work {
    struct nni_depthwise d;
    nni_gemm dx;
    nni_gemm_tn dw;
    int64_t dx_tiles, dw_tiles;
    nn_real *de, *dw_sums;
    size_t bytes;
};

static struct work work_of(const nn_step *s)
{
    const struct nni_gemm_kernels *gemm = nni_gemm_kernels_of(s);
    struct work w = { 0 };
    char *at = s->scratch;

    describe(&w.d, s, true);
    w.d.dy = s->dout[0].at;
    w.d.want_dw = nn_has(&s->din[WEIGHT]);
    w.d.want_affine = nn_has(&s->din[MEAN]) || nn_has(&s->din[SCALE]) || nn_has(&s->din[BETA]);
    w.d.partial = s->scratch;
    w.bytes = nni_padded(nni_depthwise_partial(&w.d));
    if (wants_products(s)) {
        w.de = at ? (nn_real *)(void *)(at + w.bytes) : NULL;
        w.d.dx = w.de;
        w.bytes += nni_padded((size_t)(rows_of(s) * outer_of(s)) * sizeof(nn_real));
    }
    if (nn_has(&s->din[X])) {
        w.dx = nni_gemm_of(gemm, rows_of(s), inner_of(s), outer_of(s), NNI_LOAD_NONE);
        w.dx_tiles = nni_gemm_tiles(&w.dx);
    }
    if (nn_has(&s->din[EXPAND])) {
        w.dw = nni_gemm_tn_with(gemm, rows_of(s), outer_of(s), inner_of(s), s->choice[SPLITS],
                                s->choice[O_TILES], s->choice[I_TILES]);
        w.dw_tiles = w.dw.tiles;
        w.dw_sums = at ? (nn_real *)(void *)(at + w.bytes) : NULL;
        w.bytes += w.dw.scratch_bytes;
    }
    return w;
}

/* The first weight again, for the product that makes dx. */
static nn_real *packed_again(const nn_step *s, const struct work *w)
{
    return (nn_real *)(void *)((char *)s->derived.at + nni_padded((size_t)packed(&w->d) * sizeof(nn_real)));
}

static void pack_backward(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);
    struct nni_gemm_b b = {
        .at = s->in[EXPAND].at, .inner = outer_of(s), .inner_stride = inner_of(s), .n_stride = 1
    };

    (void)lane;
    if (tile < w.d.blocks)
        pack(s, true, tile);
    else
        nni_gemm_pack(&w.dx, &b, packed_again(s, &w), tile - w.d.blocks);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);

    nni_depthwise_of(s)->backward(&w.d, tile, lane);
}

/* Rows of a dense matrix, as they are. */
struct matrix {
    const nn_step *s;
    const nn_real *at;
    int64_t cols;
};

static void load_rows(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                      nn_real *dst, int64_t ld)
{
    const struct matrix *m = context;
    const struct nni_prologue nothing = { 0 };

    nni_gemm_kernels_of(m->s)->prologue(dst, ld, m->at + row0 * m->cols + col0, m->cols, rows, cols,
                                        &nothing);
}

static void add_dx(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                   const nn_real *block, int64_t ld)
{
    const nn_step *s = context;
    int64_t inner = inner_of(s);

    nni_gemm_kernels_of(s)->store((nn_real *)s->din[X].at + row0 * inner + col0, inner, block, ld, rows, cols,
                                  NULL, 1);
}

static void product_tile(const nn_step *s, int64_t tile, void *lane)
{
    static const int of[NNI_DEPTHWISE_SUMS] = { WEIGHT, -1, BETA, SCALE, MEAN };
    struct work w = work_of(s);

    if (tile < w.dx_tiles) {
        nni_gemm_io io = { .a = w.de, .lda = outer_of(s) };

        if (nni_adds(s, X)) {
            io.store_c = add_dx;
            io.store_context = s;
        } else {
            io.c = s->din[X].at;
            io.ldc = inner_of(s);
        }
        nni_gemm_tile(&w.dx, &io, packed_again(s, &w), tile, lane);
    } else if ((tile -= w.dx_tiles) < w.dw_tiles) {
        struct matrix de = { s, w.de, outer_of(s) }, x = { s, s->in[X].at, inner_of(s) };
        nni_gemm_tn_io io = { .load_y = load_rows, .y_context = &de, .load_x = load_rows, .x_context = &x };

        nni_gemm_tn_tile(&w.dw, &io, s->din[EXPAND].at, nni_adds(s, EXPAND), w.dw_sums, tile, lane);
    } else {
        struct nni_depthwise_sums sums = { 0 };

        for (int i = 0; i < NNI_DEPTHWISE_SUMS; i++) {
            if (of[i] < 0 || !nn_has(&s->din[of[i]]))
                continue;
            sums.to[i] = s->din[of[i]].at;
            sums.add |= (uint32_t)nni_adds(s, of[i]) << i;
        }
        nni_depthwise_merge(&w.d, nni_cpu_of(s), &sums, tile - w.dw_tiles);
    }
}

static void merge_dw(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);

    (void)lane;
    nni_gemm_tn_merge(&w.dw, s->din[EXPAND].at, nni_adds(s, EXPAND), w.dw_sums, tile);
}

static int backward(nn_step *s)
{
    struct work w;
    nni_gemm_tn dw;

    if (nn_has(&s->din[EXPAND])) {
        dw = nni_gemm_tn_of(nni_gemm_kernels_of(s), rows_of(s), outer_of(s), inner_of(s), COST_COPY,
                            COST_COPY);
        s->choice[SPLITS] = dw.splits;
        s->choice[O_TILES] = dw.o_tiles;
        s->choice[I_TILES] = dw.i_tiles;
    }
    w = work_of(s);
    s->derived.bytes = nni_padded((size_t)packed(&w.d) * sizeof(nn_real)) + w.dx.packed_bytes;
    s->derived.tiles = w.d.blocks + w.dx.panels;
    s->derived.run = pack_backward;
    s->derived.reads = NN_IN(EXPAND) | NN_IN(WEIGHT);
    s->scratch_bytes = w.bytes;
    s->lane_bytes =
        nni_max_size(nni_depthwise_lane(&w.d, true), nni_max_size(w.dx.lane_bytes, w.dw.lane_bytes));
    s->flops = flops(s, &w.d, 1 + nn_has(&s->din[X]) + nn_has(&s->din[EXPAND]),
                     (wants_products(s) || w.d.want_affine) + w.d.want_dw);
    nn_phase(s, nni_depthwise_tiles(&w.d), backward_tile);
    nn_phase(s, w.dx_tiles + w.dw_tiles + w.d.blocks, product_tile);
    if (w.dw.merge_tiles)
        nn_phase(s, w.dw.merge_tiles, merge_dw);
    return NN_OK;
}

/* ---------------------------------------------------------------------- */

static int infer(nn_node *node)
{
    const nn_expand_opts *opts = node->attrs;
    nn_shape x = nn_shape_get(node->in[X]), w1 = nn_shape_get(node->in[EXPAND]),
             w2 = nn_shape_get(node->in[WEIGHT]);
    nn_conv_opts conv = opts->conv;
    nni_conv_geometry g;
    nni_text a, b;
    int status;

    nni_shape_text(x, &a);
    nni_shape_text(w1, &b);
    for (int i = X; i <= WEIGHT; i++)
        if (node->in[i] && nn_type_get(node->in[i]) != NN_REAL)
            return nn_infer_fail(node, "operand %d is %s; it must be %s", i,
                                 nn_dtype_name(nn_type_get(node->in[i])), nn_dtype_name(NN_REAL));
    if (opts->act < NN_ACT_NONE || opts->act >= NN_ACTS)
        return nn_infer_fail(node, "unknown activation %d", (int)opts->act);
    if (x.rank != 4)
        return nn_infer_fail(node, "the input must be [N,H,W,I], not %s", a.s);
    if (w1.rank != 4 || w1.dim[1] != x.dim[3] || w1.dim[2] != 1 || w1.dim[3] != 1)
        return nn_infer_fail(node, "input %s needs a first weight [E,%lld,1,1], not %s", a.s,
                             (long long)x.dim[3], b.s);
    for (int i = MEAN; i <= BETA; i++)
        if (node->in[i] && !nn_shape_equal(nn_shape_get(node->in[i]), NN_SHAPE1(w1.dim[0])))
            return nn_infer_fail(node, "mean, scale and beta must be [%lld], not %s", (long long)w1.dim[0],
                                 nni_shape_text(nn_shape_get(node->in[i]), &a));
    if (w2.rank != 4 || w2.dim[0] != w1.dim[0] || w2.dim[1] != 1 || w2.dim[2] != w2.dim[3])
        return nn_infer_fail(node, "the second weight must be [%lld,1,k,k], not %s", (long long)w1.dim[0],
                             nni_shape_text(w2, &a));
    conv.groups = w1.dim[0];
    if ((status = nni_conv_infer(node, &conv, expanded(x, w1), w2, &g)))
        return status;
    return nn_infer_out(node, 0, NN_REAL, NN_SHAPE4(g.n, g.oh, g.ow, g.o));
}

const nn_op nn_op_expand_depthwise = {
    .abi = NN_OP_ABI,
    .name = "expand_depthwise",
    .inputs = 6,
    .optional = NN_IN(BETA),
    .reads = NN_IN(X) | NN_IN(EXPAND) | NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA) | NN_IN(WEIGHT),
    .attrs_bytes = sizeof(nn_expand_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_expand_depthwise_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_expand_depthwise_backward) },
};

nn_tensor *nn_expand_depthwise(nn_graph *g, nn_tensor *x, nn_tensor *w1, nn_tensor *const norm[3],
                               nn_tensor *w2, nn_expand_opts opts)
{
    nn_tensor *in[6] = { x, w1, norm ? norm[0] : NULL, norm ? norm[1] : NULL, norm ? norm[2] : NULL, w2 };

    return nn_apply(g, &nn_op_expand_depthwise, &opts, in, 6);
}
