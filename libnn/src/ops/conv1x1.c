/* SPDX-License-Identifier: MIT
 *
 * y[r,o] = sum_i a[r,i] w[o,i] + b[o] over the rows r of an activation: the 1x1 convolution, and the
 * linear layer. The input is read through its slots,
 *
 *     z = scale*(x - mean) + beta,   a = gate * act(z)
 *
 * while it is loaded into the product, so neither the normalised nor the gated tensor exists. With
 * g the total gradient of y (that of its statistics included) and ds = g w:
 *
 *     dw = g^T a   db = sum_r g   dgate[n,i] = sum over image n of act(z)*ds   dz = gate*ds*act'(z)
 *     dx = scale*dz   dscale = sum dz*(x-mean)   dbeta = sum dz   dmean = -scale*dbeta
 *
 * ds is used up block by block and never written; each block is exchanged for one of a, made again for dw.
 */
#include "cuda/if_cuda.h"
#include "ops/product.h"

enum { X, WEIGHT, BIAS, MEAN, SCALE, BETA, GATE };

static int64_t rows_of(const nn_step *s) { return nni_rows(s->in[X].shape); }
static int64_t outputs(const nn_step *s) { return s->in[WEIGHT].shape.dim[0]; }
static int64_t inputs(const nn_step *s) { return nni_channels(s->in[X].shape); }
static int64_t image_rows(const nn_step *s)
{
    return nn_has(&s->in[GATE]) ? rows_of(s) / s->in[X].shape.dim[0] : rows_of(s);
}
static int has_prologue(const nn_step *s) { return nn_has(&s->in[MEAN]) || nn_has(&s->in[GATE]); }
/* Whether activations of so many channels lie in memory as the product takes them (as words of bfloat16,
 * perhaps), and whether they do as it gives them. */
static int takes(const nn_step *s, int64_t channels)
{
    return !nni_stored(s) || (nni_gemm_kernels_of(s)->depth == 2 && channels % 2 == 0);
}
static int gives(const nn_step *s) { return !nni_stored(s); }

static struct nni_prologue prologue_of(const nn_step *s, int64_t image, int64_t col0)
{
    struct nni_prologue p = { 0 };

    if (nn_has(&s->in[MEAN])) {
        p.mean = (const nn_real *)s->in[MEAN].at + col0;
        p.scale = (const nn_real *)s->in[SCALE].at + col0;
        p.beta = nn_has(&s->in[BETA]) ? (const nn_real *)s->in[BETA].at + col0 : NULL;
        p.act = s->act;
    }
    if (nn_has(&s->in[GATE]))
        p.gate = (const nn_real *)s->in[GATE].at + image * inputs(s) + col0;
    return p;
}

/* Loads a, image by image where they have gates of their own. */
static void load_a(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols, nn_real *dst,
                   int64_t ld)
{
    const nn_step *s = context;
    int64_t per = image_rows(s), channels = inputs(s), done, some;

    for (done = 0; done < rows; done += some) {
        int64_t image = (row0 + done) / per;
        struct nni_prologue p = prologue_of(s, image, col0);

        some = nni_min64(rows - done, (image + 1) * per - row0 - done);
        nni_gemm_kernels_of(s)->prologue(dst + done * ld, ld,
                                         nni_at(&s->in[X], (row0 + done) * channels + col0), channels, some,
                                         cols, &p);
    }
}

static void load_gradient(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                          nn_real *dst, int64_t ld)
{
    nni_total_gradient(context, nni_gemm_kernels_of(context), row0, rows, col0, cols, dst, ld);
}

/* ------------------------------------------------------------------ forward */

static nni_gemm forward_product(const nn_step *s)
{
    return nni_gemm_of(nni_gemm_kernels_of(s), rows_of(s), outputs(s), inputs(s),
                       has_prologue(s)       ? NNI_LOAD_COSTLY
                       : takes(s, inputs(s)) ? NNI_LOAD_NONE
                                             : NNI_LOAD_COPY);
}

/* Scratch: the staged input, then the tiles' statistics. */
static struct nni_output output_of(const nn_step *s, const nni_gemm *g)
{
    return nni_output_of(s, (char *)s->scratch + nni_padded(g->stage_bytes), g->row_tiles, g->rows);
}

static void pack_forward(const nn_step *s, int64_t tile, void *lane)
{
    nni_gemm g = forward_product(s);
    int64_t channels = inputs(s);
    struct nni_gemm_b b = {
        .at = s->in[WEIGHT].at, .inner = channels, .inner_stride = 1, .n_stride = channels
    };

    (void)lane;
    nni_gemm_pack(&g, &b, s->derived.at, tile);
}

static void stage_forward(const nn_step *s, int64_t tile, void *lane)
{
    nni_gemm g = forward_product(s);
    nni_gemm_io io = { .load_a = load_a, .load_context = s };

    (void)lane;
    nni_gemm_stage(&g, &io, s->scratch, tile);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    nni_gemm g = forward_product(s);
    struct nni_output o = output_of(s, &g);
    nni_gemm_io io = {
        .load_a = load_a, .load_context = s, .store_c = nni_output_store, .store_context = &o
    };

    if (g.stage_tiles) {
        io.a = s->scratch;
        io.lda = g.ld;
    } else if (!has_prologue(s) && takes(s, inputs(s))) {
        io.a = s->in[X].at;
        io.lda = inputs(s) / g.kernels->depth;
    }
    if (!nn_has(&s->in[BIAS]) && gives(s)) {
        io.c = s->out[0].at;
        io.ldc = outputs(s);
        io.store_c = o.mean ? nni_output_look : NULL;
    }
    nni_gemm_tile(&g, &io, s->derived.at, tile, lane);
}

static void merge_forward(const nn_step *s, int64_t tile, void *lane)
{
    nni_gemm g = forward_product(s);
    struct nni_output o = output_of(s, &g);

    (void)lane;
    nni_output_merge(&o, tile);
}

int nni_conv1x1_forward(nn_step *s)
{
    nni_gemm g = forward_product(s);

    s->derived.bytes = g.packed_bytes;
    s->derived.tiles = g.panels;
    s->derived.run = pack_forward;
    s->derived.reads = NN_IN(WEIGHT);
    if (g.stage_tiles)
        nn_phase(s, g.stage_tiles, stage_forward);
    nn_phase(s, nni_gemm_tiles(&g), forward_tile);
    if (nni_wants_moments(s))
        nn_phase(s, nni_output_merge_tiles(s), merge_forward);
    s->scratch_bytes = nni_padded(g.stage_bytes) + nni_output_bytes(s, g.row_tiles);
    s->lane_bytes = g.lane_bytes;
    s->flops = 2.0 * (double)g.m * (double)g.n * (double)g.k;
    return NN_OK;
}

/* ----------------------------------------------------------------- backward */

/* One phase makes both products and the bias' partial sums, so that the tiles of one fill the gaps
 * of another; the last merges. Everything here follows from shapes and the step's choices. */
struct work {
    const nn_step *s;
    int wants_ds, wants_affine, wants_gate;
    nni_gemm_pair g;
    int64_t pair_tiles, bias_tiles;
    int64_t per, span; /* rows of an image; images that a row tile can touch */
    size_t lane_bytes, bytes;
    nn_real *stage;
    double *scale_sums, *beta_sums; /* [row tiles, I] */
    double *gate_sums;              /* [row tiles, span, I] */
    nn_real *dw_sums, *bias_sums;
    int64_t channel_merges,
        gate_merges; /* tiles of the last phase, with those of dw; the bias' is the last */
};

enum { ROW_TILES, I_TILES, MERGE_COLS = 64 };

/* Whether the gradient is in memory what the products take. */
static int as_it_lies(const nn_step *s) { return nni_plain_gradient(s) && takes(s, outputs(s)); }

static void *take(const nn_step *s, size_t *bytes, size_t want)
{
    void *at = s->scratch ? (char *)s->scratch + *bytes : NULL;

    *bytes += nni_padded(want);
    return at;
}

static struct work work_of(const nn_step *s)
{
    struct work w = { .s = s };
    int64_t i = inputs(s);
    size_t sums;

    w.wants_affine = nn_has(&s->din[MEAN]) || nn_has(&s->din[SCALE]) || nn_has(&s->din[BETA]);
    w.wants_gate = nn_has(&s->din[GATE]);
    w.wants_ds = nn_has(&s->din[X]) || w.wants_affine || w.wants_gate;
    w.per = image_rows(s);
    if (w.wants_ds || nn_has(&s->din[WEIGHT])) {
        w.g = nni_gemm_pair_of(nni_gemm_kernels_of(s), rows_of(s), outputs(s), i,
                               as_it_lies(s) ? NNI_LOAD_NONE : NNI_LOAD_COPY, w.wants_ds,
                               nn_has(&s->din[WEIGHT]), s->choice[ROW_TILES], s->choice[I_TILES]);
        w.pair_tiles = nni_gemm_pair_tiles(&w.g);
        w.span = nni_min64(s->in[X].shape.dim[0], (w.g.tile_rows + w.per - 2) / w.per + 1);
    }
    w.bias_tiles = nni_bias_tiles(s);
    w.lane_bytes = nni_max_size(w.g.lane_bytes, nni_bias_lane_bytes(s));

    w.stage = take(s, &w.bytes, w.g.stage_bytes);
    sums = (size_t)(w.g.row_tiles * i) * sizeof(double);
    if (w.wants_affine) {
        w.scale_sums = take(s, &w.bytes, sums);
        w.beta_sums = take(s, &w.bytes, sums);
        w.channel_merges = (i + MERGE_COLS - 1) / MERGE_COLS;
    }
    if (w.wants_gate) {
        w.gate_sums = take(s, &w.bytes, sums * (size_t)w.span);
        w.gate_merges = s->in[X].shape.dim[0];
    }
    w.dw_sums = take(s, &w.bytes, w.g.scratch_bytes);
    w.bias_sums = take(s, &w.bytes, nni_bias_bytes(s));
    return w;
}

static void zero(double *at, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        at[i] = 0;
}

static double *gate_sums_of(const struct work *w, int64_t row_tile, int64_t image)
{
    return w->gate_sums + (row_tile * w->span + image - row_tile * w->g.tile_rows / w->per) * inputs(w->s);
}

/* A block of ds: through gate, activation and affine to dx and the sums; on the way a is made again. */
static void through_prologue(const struct work *w, int64_t row_tile, int64_t row0, int64_t rows, int64_t col0,
                             int64_t cols, const nn_real *ds, int64_t lds, nn_real *a, int64_t lda)
{
    const nn_step *s = w->s;
    int64_t i = inputs(s), done, some;
    struct nni_prologue_sums sums = { 0 };

    if (w->wants_affine) {
        sums.scale = w->scale_sums + row_tile * i + col0;
        sums.beta = w->beta_sums + row_tile * i + col0;
    }
    if (row0 == row_tile * w->g.tile_rows) {
        if (w->wants_affine) {
            zero(sums.scale, cols);
            zero(sums.beta, cols);
        }
        for (int64_t k = 0; w->wants_gate && k < w->span; k++)
            zero(w->gate_sums + (row_tile * w->span + k) * i + col0, cols);
    }
    for (done = 0; done < rows; done += some) {
        int64_t image = (row0 + done) / w->per, at = (row0 + done) * i + col0;
        struct nni_prologue p = prologue_of(s, image, col0);

        some = nni_min64(rows - done, (image + 1) * w->per - row0 - done);
        if (w->wants_gate)
            sums.gate = gate_sums_of(w, row_tile, image) + col0;
        nni_gemm_kernels_of(s)->prologue_back(nni_at(&s->din[X], at), i, ds + done * lds, lds,
                                              nni_at(&s->in[X], at), i, some, cols, &p, &sums, nni_adds(s, X),
                                              a ? a + done * lda : NULL, lda);
    }
}

static void exchange(const void *context, int64_t row_tile, int64_t row0, int64_t rows, int64_t col0,
                     int64_t cols, const nn_real *ds, int64_t lds, nn_real *a, int64_t lda)
{
    const struct work *w = context;
    const nn_step *s = w->s;
    int64_t i = inputs(s);

    if (ds && has_prologue(s)) {
        through_prologue(w, row_tile, row0, rows, col0, cols, ds, lds, a, lda);
        return;
    }
    if (ds)
        nni_gemm_kernels_of(s)->store(nni_at(&s->din[X], row0 * i + col0), i, ds, lds, rows, cols, NULL,
                                      nni_adds(s, X));
    if (a)
        load_a(s, row0, rows, col0, cols, a, lda);
}

/* Rows lie far apart, which hardware prefetchers do not follow. */
static void soon(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols)
{
    const struct work *w = context;
    int64_t i = inputs(w->s), size = (int64_t)nn_dtype_size(w->s->in[X].type);
    const char *x = nni_at(&w->s->in[X], row0 * i + col0), *dx = nni_at(&w->s->din[X], row0 * i + col0);

    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols * size; j += 64) {
            __builtin_prefetch(x + r * i * size + j);
            __builtin_prefetch((dx ? dx : x) + r * i * size + j, 1);
        }
}

static void stage_backward(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);
    nni_gemm_pair_io io = { .load_g = load_gradient, .load_context = s };

    (void)lane;
    nni_gemm_pair_stage(&w.g, &io, w.stage, tile);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);
    nni_gemm_pair_io io = { .load_g = load_gradient,
                            .load_context = s,
                            .w = s->in[WEIGHT].at,
                            .exchange = exchange,
                            .soon = has_prologue(s) || nn_has(&s->din[WEIGHT]) ? soon : NULL,
                            .context = &w };

    if (tile >= w.pair_tiles) {
        nni_bias_tile(s, w.bias_sums, tile - w.pair_tiles, lane);
        return;
    }
    if (w.g.stage_tiles) {
        io.g = w.stage;
        io.ldg = w.g.ld;
    } else if (as_it_lies(s)) {
        io.g = s->dout[0].at;
        io.ldg = outputs(s) / w.g.kernels->depth;
    }
    nni_gemm_pair_tile(&w.g, &io, s->din[WEIGHT].at, nni_adds(s, WEIGHT), w.dw_sums, tile, lane);
}

static void add_to(double *to, const double *sums, int64_t count)
{
    for (int64_t j = 0; j < count; j++)
        to[j] += sums[j];
}

/* Writes or adds `count` sums from `at` on to the gradient of input `i`, if that is wanted. */
static void put_sums(const nn_step *s, int i, int64_t at, const double *sums, int64_t count)
{
    nn_real *to = s->din[i].at;

    for (int64_t j = 0; to && j < count; j++)
        to[at + j] = (nn_real)(sums[j] + (nni_adds(s, i) ? (double)to[at + j] : 0));
}

static void merge_channels(const struct work *w, int64_t tile)
{
    const nn_step *s = w->s;
    int64_t i = inputs(s), c = tile * MERGE_COLS, cols = nni_min64(MERGE_COLS, i - c);
    double beta[MERGE_COLS] = { 0 }, scale[MERGE_COLS] = { 0 };

    for (int64_t t = 0; t < w->g.row_tiles; t++) {
        add_to(beta, w->beta_sums + t * i + c, cols);
        add_to(scale, w->scale_sums + t * i + c, cols);
    }
    put_sums(s, BETA, c, beta, cols);
    put_sums(s, SCALE, c, scale, cols);
    for (int64_t j = 0; j < cols; j++)
        beta[j] *= -(double)((const nn_real *)s->in[SCALE].at)[c + j];
    put_sums(s, MEAN, c, beta, cols);
}

/* One image's gate: its share of every row tile that touches it. */
static void merge_gate(const struct work *w, int64_t image)
{
    const nn_step *s = w->s;
    int64_t i = inputs(s), first = image * w->per / w->g.tile_rows,
            last = ((image + 1) * w->per - 1) / w->g.tile_rows;

    for (int64_t c = 0; c < i; c += MERGE_COLS) {
        int64_t cols = nni_min64(MERGE_COLS, i - c);
        double sum[MERGE_COLS] = { 0 };

        for (int64_t t = first; t <= last; t++)
            add_to(sum, gate_sums_of(w, t, image) + c, cols);
        put_sums(s, GATE, image * i + c, sum, cols);
    }
}

static void merge_backward(const nn_step *s, int64_t tile, void *lane)
{
    struct work w = work_of(s);

    (void)lane;
    if (tile < w.channel_merges)
        merge_channels(&w, tile);
    else if ((tile -= w.channel_merges) < w.gate_merges)
        merge_gate(&w, tile);
    else if ((tile -= w.gate_merges) < w.g.merge_tiles)
        nni_gemm_pair_merge(&w.g, s->din[WEIGHT].at, nni_adds(s, WEIGHT), w.dw_sums, tile);
    else
        nni_bias_merge(s, w.bias_sums);
}

int nni_conv1x1_backward(nn_step *s)
{
    struct work w;
    int64_t merges;

    s->choice[ROW_TILES] = s->choice[I_TILES] = 0;
    w = work_of(s);
    s->choice[ROW_TILES] = w.g.row_tiles;
    s->choice[I_TILES] = w.g.i_tiles;
    if (w.g.stage_tiles)
        nn_phase(s, w.g.stage_tiles, stage_backward);
    nn_phase(s, w.pair_tiles + w.bias_tiles, backward_tile);
    merges = w.channel_merges + w.gate_merges + w.g.merge_tiles + (w.bias_tiles > 0);
    if (merges)
        nn_phase(s, merges, merge_backward);
    s->scratch_bytes = w.bytes;
    s->lane_bytes = w.lane_bytes;
    s->flops = 2.0 * (double)rows_of(s) * (double)outputs(s) * (double)inputs(s) *
               (w.wants_ds + nn_has(&s->din[WEIGHT]));
    return NN_OK;
}

/* --------------------------------------------------------------- descriptor */

int nni_product_infer(nn_node *node)
{
    nn_shape x = nn_shape_get(node->in[X]), w = nn_shape_get(node->in[WEIGHT]), y = x;
    nni_text a, b;
    int status;

    nni_shape_text(x, &a);
    nni_shape_text(w, &b);
    if ((status = nni_infer_activation(node, X, 0)))
        return status;
    for (int i = WEIGHT; i <= BIAS; i++)
        if (node->in[i] && (status = nni_infer_real(node, i, 0)))
            return status;
    if (x.rank < 1)
        return nn_infer_fail(node, "the input must have a channel dimension, not the shape %s", a.s);
    if (!(w.rank == 2 || (w.rank == 4 && w.dim[2] == 1 && w.dim[3] == 1)) || w.dim[1] != x.dim[x.rank - 1])
        return nn_infer_fail(node, "input %s needs a weight [O,%lld] or [O,%lld,1,1], not %s", a.s,
                             (long long)x.dim[x.rank - 1], (long long)x.dim[x.rank - 1], b.s);
    if (node->in[BIAS] && !nn_shape_equal(nn_shape_get(node->in[BIAS]), NN_SHAPE1(w.dim[0])))
        return nn_infer_fail(node, "the bias must be [%lld], not %s", (long long)w.dim[0],
                             nni_shape_text(nn_shape_get(node->in[BIAS]), &a));
    y.dim[y.rank - 1] = w.dim[0];
    return nn_infer_out(node, 0, nn_type_get(node->in[X]), y);
}

const nn_op nn_op_conv1x1 = {
    .abi = NN_OP_ABI,
    .name = "conv1x1",
    .inputs = 2,
    .optional = NN_IN(BIAS) | NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA) | NN_IN(GATE) | NN_OUT(1) | NN_OUT(2),
    .reads = NN_IN(X) | NN_IN(WEIGHT) | NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA) | NN_IN(GATE) | NN_OUT(1),
    .flags = NN_OP_RECOMPUTE | NN_OP_COMPUTE,
    .narrow = NN_IN(X),
    .slot = { [NN_SLOT_AFFINE] = MEAN, [NN_SLOT_GATE] = GATE, [NN_SLOT_MOMENTS] = 1 },
    .infer = nni_product_infer,
    .forward = { nni_conv1x1_forward, NNI_IF_CUDA(nni_cuda_conv1x1_forward) },
    .backward = { nni_conv1x1_backward, NNI_IF_CUDA(nni_cuda_conv1x1_backward) },
};

nn_tensor *nn_conv1x1(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias)
{
    nn_tensor *in[3] = { x, weight, bias };

    return nn_apply(g, &nn_op_conv1x1, NULL, in, 3);
}
