/* SPDX-License-Identifier: MIT
 *
 * Depthwise convolution: each channel with its own k x k kernel,
 *
 *     y[n,p,q,c] = bias[c] + sum_ij w[c,i,j] * a[n,r,s,c]
 *
 *     r = p*stride - top + i*dilation, s = q*stride - left + j*dilation
 *
 * with a = act(scale*(x - mean) + beta) when the affine slot is filled, else x; padding is zeros of a.
 * Gradients:
 *
 *     dw[c,i,j] = sum_npq dy[n,p,q,c] * a[n,r,s,c]
 *
 *     da[n,r,s,c] = sum of w[c,i,j]*dy[n,p,q,c] over all that read (r,s)
 *
 *     dz = da*act'(z), dx = scale*dz, dbeta = sum dz, dscale = sum dz*(x - mean), dmean = -scale*dbeta
 *
 * and with MOMENTS dy is the sum of dout[0], dmean/rows and 2*dvar/rows*(y - mean); the gradient of a mean
 * over y's rows is added as well (NNI_OP_TAKES_POOLED). Both gradients are taken in one pass over x and dy.
 * All kernels are in cpu/simd/depthwise.c; here are the shapes of tiles and what merges their partial
 * results, in double and in the order of tiles.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/conv.h"

enum { BLOCK = 64, TILES = 32, LEAST_BAND = 8, LEAST_EXPANDED = 16, RING_BYTES = 16384 };

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

void nni_depthwise_plan(struct nni_depthwise *d, int vec, bool backward)
{
    const nni_conv_geometry *g = &d->g;
    /* The rows that two bands share are made twice: that costs more where they are products. */
    int64_t least = d->inner ? LEAST_EXPANDED : LEAST_BAND;
    int64_t reach = (g->kh - 1) * g->dilation, row, below, ahead;

    d->vec = vec;
    d->block = up(up(g->c, up(g->c, BLOCK)), vec) * vec;
    d->blocks = up(g->c, d->block);
    d->units = greater(g->oh, up(g->h, g->stride));
    d->bands = greater(1, lesser(up(TILES, g->n * d->blocks), d->units / greater(least, 2 * g->kh)));
    d->band = up(d->units, d->bands);
    d->bands = up(d->units, d->band);

    d->x_width = g->pad_left + greater(g->w, (g->ow - 1) * g->stride + reach + 1 - g->pad_left);
    row = d->x_width * vec * (int64_t)sizeof(nn_real);
    d->step = lesser(d->band, greater(2, (RING_BYTES / row - reach) / g->stride));

    /* The rows that a step reads, relative to its first: for its outputs, and backward also its inputs. */
    below = g->pad_top;
    ahead = (d->step - 1) * g->stride - g->pad_top + reach;
    if (backward)
        ahead = greater(ahead, d->step * g->stride - 1);
    d->x_rows = lesser(g->h, below + ahead + 1);
    below = greater(0, up(greater(0, reach - g->pad_top), g->stride));
    ahead = greater(d->step - 1, (d->step * g->stride - 1 + g->pad_top) / g->stride);
    d->y_rows = lesser(g->oh, below + ahead + 1);
    d->y_left = up(greater(0, reach - g->pad_left), g->stride);
    d->y_width = d->y_left + greater(g->ow, (g->w - 1 + g->pad_left) / g->stride + 1);
}

size_t nni_depthwise_lane(const struct nni_depthwise *d, bool backward)
{
    const nni_conv_geometry *g = &d->g;
    int64_t vectors = d->block / d->vec, count;

    count = vectors * (g->kh * g->kw + 4) + (vectors * d->x_rows + 1) * d->x_width + 2 * greater(g->w, g->ow);
    if (backward)
        count += vectors * (d->x_rows * g->w + d->y_rows * d->y_width);
    if (backward && d->inner)
        count += vectors * d->x_rows * g->w;
    return (size_t)(count * d->vec) * sizeof(nn_real) + 4 * (size_t)greater(g->kh, d->step) * sizeof(void *) +
           (size_t)(g->h + g->oh) * sizeof(int64_t) + 9 * 64;
}

static void describe(struct nni_depthwise *d, const nn_step *s, bool backward)
{
    *d = (struct nni_depthwise){ .g = nni_conv_of(s->attrs, s->in[0].shape, s->in[1].shape), .act = s->act };
    nni_depthwise_plan(d, nni_depthwise_of(s)->vec, backward);
    d->x = s->in[0].at;
    d->weight = s->derived.at;
    d->mean = s->in[3].at;
    d->scale = s->in[4].at;
    d->beta = s->in[5].at;
}

static void pack(const nn_step *s, bool backward, int64_t tile)
{
    struct nni_depthwise d;

    describe(&d, s, backward);
    nni_depthwise_of(s)->pack(&d, s->in[1].at, s->derived.at, backward, tile);
}

static void derive(nn_step *s, const struct nni_depthwise *d, nn_tile *run)
{
    s->derived.bytes = (size_t)nni_depthwise_packed(d) * sizeof(nn_real);
    s->derived.tiles = d->blocks;
    s->derived.run = run;
    s->derived.reads = NN_IN(1);
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
    d.bias = s->in[2].at;
    d.y = s->out[0].at;
    d.moments = nn_has(&s->out[1]) || nn_has(&s->out[2]) ? s->scratch : NULL;
    nni_depthwise_of(s)->forward(&d, tile, lane);
}

/* Mean and variance of one block of channels (Chan, Golub, LeVeque 1979). */
static void merge_moments(const nn_step *s, int64_t block, void *lane)
{
    struct nni_depthwise d;
    double mean[BLOCK] = { 0 }, m2[BLOCK] = { 0 }, count = 0;
    nn_real *out[2] = { s->out[1].at, s->out[2].at };
    int64_t channels;

    (void)lane;
    describe(&d, s, false);
    channels = lesser(d.block, d.g.c - block * d.block);
    for (int64_t t = block; t < nni_depthwise_tiles(&d); t += d.blocks) {
        const nn_real *from = (const nn_real *)s->scratch + t * 2 * d.block;
        int64_t unit = t / d.blocks % d.bands * d.band, begin, end;
        double n;

        nni_depthwise_rows(&d, unit, d.band, false, &begin, &end);
        n = (double)((end - begin) * d.g.ow);
        for (int64_t c = 0; c < channels && n > 0; c++) {
            double delta = (double)from[c] - mean[c], part = n / (count + n);

            mean[c] += delta * part;
            m2[c] += (double)from[d.block + c] + delta * delta * count * part;
        }
        count += n;
    }
    for (int64_t c = 0; c < channels; c++) {
        if (out[0])
            out[0][block * d.block + c] = (nn_real)mean[c];
        if (out[1])
            out[1][block * d.block + c] = (nn_real)(m2[c] / count);
    }
}

static int forward(nn_step *s)
{
    struct nni_depthwise d;

    describe(&d, s, false);
    derive(s, &d, pack_forward);
    s->lane_bytes = nni_depthwise_lane(&d, false);
    s->flops = 2.0 * (double)(d.g.n * d.g.oh * d.g.ow * d.g.c) * (double)(d.g.kh * d.g.kw);
    nn_phase(s, nni_depthwise_tiles(&d), forward_tile);
    if (nn_has(&s->out[1]) || nn_has(&s->out[2])) {
        s->scratch_bytes = (size_t)(nni_depthwise_tiles(&d) * 2 * d.block) * sizeof(nn_real);
        nn_phase(s, d.blocks, merge_moments);
    }
    return NN_OK;
}

/* --------------------------------------------------------------- backward */

static bool wants_affine(const nn_step *s)
{
    return nn_has(&s->in[3]) && (nn_has(&s->din[3]) || nn_has(&s->din[4]) || nn_has(&s->din[5]));
}

static bool wants_sums(const nn_step *s)
{
    return nn_has(&s->din[1]) || nn_has(&s->din[2]) || wants_affine(s);
}

static void pack_backward(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    pack(s, true, tile);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_depthwise d;

    describe(&d, s, true);
    d.dy = s->dout[0].at;
    d.y_value = s->out[0].at;
    d.y_mean = s->out[1].at;
    d.dmean = s->dout[1].at;
    d.dvar = s->dout[2].at;
    d.pooled = s->pooled[0].at;
    d.pool_mean = s->pooled[1].at;
    d.pool_scale = s->pooled[2].at;
    d.pool_beta = s->pooled[3].at;
    d.pool_act = s->pooled_act;
    d.dx = s->din[0].at;
    d.add_dx = s->accumulate & 1;
    d.want_dw = nn_has(&s->din[1]);
    d.want_db = nn_has(&s->din[2]);
    d.want_affine = wants_affine(s);
    d.partial = wants_sums(s) ? s->scratch : NULL;
    nni_depthwise_of(s)->backward(&d, tile, lane);
}

/* Writes or adds `count` values, `step` apart, to one of the sums from `at` on, times -factor unless NULL. */
static void put(const struct nni_depthwise_sums *s, int i, int64_t at, int64_t step, const double *value,
                const nn_real *factor, int64_t count)
{
    nn_real *to = s->to[i];

    for (int64_t c = 0; to && c < count; c++, at += step) {
        double x = value[c] * (factor ? -(double)factor[c] : 1);

        to[at] = (nn_real)(s->add >> i & 1 ? (double)to[at] + x : x);
    }
}

void nni_depthwise_merge(const struct nni_depthwise *d, const struct nni_cpu *cpu,
                         const struct nni_depthwise_sums *sums, int64_t block)
{
    int64_t kk = d->g.kh * d->g.kw, all = kk + 3, first = block * d->block,
            channels = lesser(d->block, d->g.c - first);

    for (int64_t i = 0; i < all; i++) {
        double sum[BLOCK] = { 0 };

        cpu->pointwise[NNI_STORED_REAL]->merge_sums(sum, d->partial + (block * all + i) * d->block,
                                                    d->g.n * d->bands, d->blocks * all * d->block, channels);
        if (i < kk) {
            put(sums, NNI_DEPTHWISE_WEIGHT, first * kk + i, kk, sum, NULL, channels);
        } else if (i == kk) {
            put(sums, NNI_DEPTHWISE_BIAS, first, 1, sum, NULL, channels);
        } else if (i == kk + 1) {
            put(sums, NNI_DEPTHWISE_BETA, first, 1, sum, NULL, channels);
            put(sums, NNI_DEPTHWISE_MEAN, first, 1, sum, d->scale ? d->scale + first : NULL, channels);
        } else {
            put(sums, NNI_DEPTHWISE_SCALE, first, 1, sum, NULL, channels);
        }
    }
}

static void merge_sums(const nn_step *s, int64_t block, void *lane)
{
    static const int of[NNI_DEPTHWISE_SUMS] = { 1, 2, 5, 4, 3 };
    struct nni_depthwise_sums sums = { 0 };
    struct nni_depthwise d;

    (void)lane;
    describe(&d, s, true);
    d.partial = s->scratch;
    for (int i = 0; i < NNI_DEPTHWISE_SUMS; i++) {
        sums.to[i] = nn_has(&s->din[of[i]]) ? s->din[of[i]].at : NULL;
        sums.add |= (s->accumulate >> of[i] & 1) << i;
    }
    nni_depthwise_merge(&d, nni_cpu_of(s), &sums, block);
}

static int backward(nn_step *s)
{
    struct nni_depthwise d;
    bool data = nn_has(&s->din[0]) || wants_affine(s);

    describe(&d, s, true);
    derive(s, &d, pack_backward);
    s->lane_bytes = nni_depthwise_lane(&d, true);
    s->flops = 2.0 * (double)(d.g.n * d.g.oh * d.g.ow * d.g.c) * (double)(d.g.kh * d.g.kw) *
               (data + nn_has(&s->din[1]));
    nn_phase(s, nni_depthwise_tiles(&d), backward_tile);
    if (wants_sums(s)) {
        s->scratch_bytes = nni_depthwise_partial(&d);
        nn_phase(s, d.blocks, merge_sums);
    }
    return NN_OK;
}

/* ---------------------------------------------------------------------- */

static int infer(nn_node *node)
{
    nn_conv_opts opts = *(const nn_conv_opts *)node->attrs;
    nn_shape x = nn_shape_get(node->in[0]), w = nn_shape_get(node->in[1]);
    nni_conv_geometry g;
    nni_text text;
    int status;

    if (x.rank == 4 && (w.rank != 4 || w.dim[0] != x.dim[3] || w.dim[1] != 1 || w.dim[2] != w.dim[3]))
        return nn_infer_fail(node, "the weight must be [%lld,1,k,k], not %s", (long long)x.dim[3],
                             nni_shape_text(w, &text));
    opts.groups = x.rank == 4 ? x.dim[3] : 1;
    if ((status = nni_conv_infer(node, &opts, x, w, &g)))
        return status;
    if (node->in[2] && !nn_shape_equal(nn_shape_get(node->in[2]), NN_SHAPE1(g.c)))
        return nn_infer_fail(node, "the bias must be [%lld], not %s", (long long)g.c,
                             nni_shape_text(nn_shape_get(node->in[2]), &text));
    if ((status = nni_infer_activation(node, 0, 4)))
        return status;
    for (int i = 1; i < 3; i++)
        if (node->in[i] && (status = nni_infer_real(node, i, 1)))
            return status;
    return nn_infer_out(node, 0, nn_type_get(node->in[0]), NN_SHAPE4(g.n, g.oh, g.ow, g.o));
}

const nn_op nn_op_depthwise = {
    .abi = NN_OP_ABI,
    .name = "depthwise",
    .inputs = 2,
    .optional = NN_IN(2) | NN_IN(3) | NN_IN(4) | NN_IN(5) | NN_OUT(1) | NN_OUT(2),
    .reads = NN_IN(0) | NN_IN(1) | NN_IN(3) | NN_IN(4) | NN_IN(5) | NN_OUT(1),
    .flags = NN_OP_COMPUTE | NNI_OP_TAKES_POOLED,
    .narrow = NN_IN(0),
    .slot = { [NN_SLOT_AFFINE] = 3, [NN_SLOT_MOMENTS] = 1 },
    .attrs_bytes = sizeof(nn_conv_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_depthwise_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_depthwise_backward) },
};

nn_tensor *nn_depthwise(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias, nn_conv_opts opts)
{
    nn_tensor *in[3] = { x, weight, bias };

    return nn_apply(g, &nn_op_depthwise, &opts, in, 3);
}
