/* SPDX-License-Identifier: MIT
 *
 * The mean over height and width, [N,H,W,C] -> [N,1,1,C], of x or, when fusion has filled the affine
 * slot, of a = act(scale*(x - mean) + beta), which then need not exist as a tensor:
 *
 *     y[n,c] = 1/(H*W) * sum a[n,h,w,c]        da = dy/(H*W)
 *
 * and from da on as in affine.c. y is nn_real whatever x is stored as: it is small. Because dy is the same
 * for all rows of a sample, the gradients of the affine need only the sums of act'(z) and of act'(z)*(x -
 * mean) over each sample, which forward leaves; and dx is left to whoever made x, if that can take it in
 * while it reads x anyway (NNI_OP_POOLS). A sample is split into chunks of rows, so that few samples of a
 * large image keep many threads busy; chunks are added up in order, in double.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"

enum { X, MEAN, SCALE, BETA };

/* How the rows of x [N,H,W,C] are split. */
struct split {
    int64_t samples, area, channels;
    int64_t each, chunks; /* rows of a chunk, chunks of a sample */
};

static struct split split_of(nn_shape x)
{
    struct split p = { x.dim[0], x.dim[1] * x.dim[2], x.dim[3], nni_tile_rows(x.dim[3]), 1 };

    if (p.each > p.area)
        p.each = p.area;
    p.chunks = nni_parts(p.area, p.each);
    return p;
}

/* Sums of a chunk: of a, and where the affine's gradient may be wanted its slopes. */
static int64_t sums_of(const nn_step *s) { return nn_has(&s->save[0]) ? 3 : 1; }

static void sum_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct split p = split_of(s->in[X].shape);
    struct nni_part rows = nni_part_of(tile % p.chunks, p.each, p.area);
    struct nni_pointwise_affine v = nni_affine_operands(s, MEAN);
    int64_t at = (tile / p.chunks * p.area + rows.begin) * p.channels;
    nn_real *sum = (nn_real *)s->scratch + tile * sums_of(s) * p.channels;

    (void)lane;
    nni_pointwise_of(s)->affine_sum(sum, sums_of(s) > 1 ? sum + p.channels : NULL, nni_at(&s->in[X], at),
                                    rows.count, p.channels, &v);
}

static void mean_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct split p = split_of(s->in[X].shape);
    int64_t blocks = nni_parts(p.channels, NNI_MERGE), sample = tile / blocks, sums = sums_of(s);
    struct nni_part c = nni_part_of(tile % blocks, NNI_MERGE, p.channels);

    (void)lane;
    for (int64_t k = 0; k < sums; k++) {
        const nn_real *from = (const nn_real *)s->scratch + (sample * p.chunks * sums + k) * p.channels;
        nn_real *to = k ? (nn_real *)s->save[0].at + (2 * sample + k - 1) * p.channels
                        : (nn_real *)s->out[0].at + sample * p.channels;
        double sum[NNI_MERGE] = { 0 };

        nni_pointwise_of(s)->merge_sums(sum, from + c.begin, p.chunks, sums * p.channels, c.count);
        for (int64_t i = 0; i < c.count; i++)
            to[c.begin + i] = (nn_real)(sum[i] / (double)p.area);
    }
}

static int forward(nn_step *s)
{
    struct split p = split_of(s->in[X].shape);

    s->scratch_bytes = (size_t)(p.samples * p.chunks * sums_of(s) * p.channels) * sizeof(nn_real);
    nn_phase(s, p.samples * p.chunks, sum_tile);
    nn_phase(s, p.samples * nni_parts(p.channels, NNI_MERGE), mean_tile);
    s->flops = (double)nn_shape_count(s->in[X].shape) * (nn_has(&s->in[MEAN]) ? 4 : 1);
    return NN_OK;
}

/* in[X] is not there without an affine: then the shape is known from din[X]. */
static nn_shape shape_of(const nn_step *s) { return nn_has(&s->in[X]) ? s->in[X].shape : s->din[X].shape; }

static void spread_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct split p = split_of(shape_of(s));
    struct nni_part rows = nni_part_of(tile % p.chunks, p.each, p.area);
    struct nni_pointwise_affine v = nni_affine_operands(s, MEAN);
    int64_t sample = tile / p.chunks, at = (sample * p.area + rows.begin) * p.channels;
    const nn_real *dy = s->dout[0].at;

    (void)lane;
    nni_pointwise_of(s)->affine_grad(nni_at(&s->din[X], at), NULL, nni_at(&s->in[X], at),
                                     dy + sample * p.channels, 0, rows.count, p.channels, &v,
                                     (nn_real)(1 / (double)p.area), s->accumulate & NN_IN(X));
}

/* A sample's share of the sums of dz and dz*(x - mean). */
static void slope_tile(const nn_step *s, int64_t sample, void *lane)
{
    int64_t channels = nni_channels(shape_of(s));
    const nn_real *dy = (const nn_real *)s->dout[0].at + sample * channels;

    (void)lane;
    for (int64_t k = 0; k < 2; k++) {
        const nn_real *slope = (const nn_real *)s->save[0].at + (2 * sample + k) * channels;
        nn_real *to = (nn_real *)s->scratch + (2 * sample + k) * channels;

        for (int64_t c = 0; c < channels; c++)
            to[c] = dy[c] * slope[c];
    }
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_affine_merge(s, MEAN, s->scratch, shape_of(s).dim[0], tile);
}

static int backward(nn_step *s)
{
    struct split p = split_of(shape_of(s));

    if (nn_has(&s->din[X]))
        nn_phase(s, p.samples * p.chunks, spread_tile);
    if (nni_affine_wanted(s, MEAN)) {
        s->scratch_bytes = (size_t)(p.samples * 2 * p.channels) * sizeof(nn_real);
        nn_phase(s, p.samples, slope_tile);
        nn_phase(s, nni_parts(p.channels, NNI_MERGE), merge_tile);
    }
    s->flops = nn_has(&s->din[X]) ? (double)nn_shape_count(shape_of(s)) * (nn_has(&s->in[MEAN]) ? 6 : 1) : 0;
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_activation(n, X, 1);
    nn_shape x = nn_shape_get(n->in[X]);
    nni_text text;

    if (!rc && x.rank != 4)
        rc = nn_infer_fail(n, "input 0 %s must be [N,H,W,C]", nni_shape_text(x, &text));
    if (!rc)
        rc = nni_infer_affine(n, MEAN, x.dim[3]);
    /* The means of act'(z) and act'(z)*(x - mean), for backward. */
    if (!rc && n->in[MEAN])
        rc = nn_infer_save(n, 0, NN_REAL, NN_SHAPE3(x.dim[0], 2, x.dim[3]));
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, NN_SHAPE4(x.dim[0], 1, 1, x.dim[3]));
}

const nn_op nn_op_global_avg_pool = {
    .abi = NN_OP_ABI,
    .name = "global_avg_pool",
    .inputs = 1,
    .optional = NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA),
    .reads = NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA),
    .flags = NN_OP_FOLLOW | NNI_OP_POOLS,
    .slot = { [NN_SLOT_AFFINE] = MEAN },
    .narrow = NN_IN(X),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_global_avg_pool_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_global_avg_pool_backward) },
};

nn_tensor *nn_global_avg_pool(nn_graph *g, nn_tensor *x)
{
    return nn_apply(g, &nn_op_global_avg_pool, NULL, &x, 1);
}
