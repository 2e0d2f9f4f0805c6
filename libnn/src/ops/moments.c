/* SPDX-License-Identifier: MIT
 *
 * Mean and biased variance of each channel over all n rows: the statistics of batch norm. The sum of
 * squares minus the square of the sum cancels where the mean is large beside the deviation, so a tile
 * takes its own mean, then (while it is still in the cache) the squared distances from it, and tiles
 * are merged in order, in double, with Chan's formula
 *
 *     mean += d*m/(k+m)      M2 += M2' + d*d*k*m/(k+m)      with d = mean' - mean
 *
 * for k rows before and m in the tile. Since d var/d mean is zero,
 *
 *     dx = dmean/n + 2*dvar/n * (x - mean)
 *
 * which is an affine of x, with coefficients made in a first phase.
 *
 * Source: Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->in[0].shape));
    nn_real *mean = (nn_real *)s->scratch + tile * 2 * channels;

    nni_pointwise_of(s)->moments(mean, mean + channels, lane, nni_at(&s->in[0], p.begin * channels), p.count,
                                 channels);
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[0].shape), rows = nni_rows(s->in[0].shape);
    struct nni_part p = nni_part_of(tile, NNI_MERGE, channels);
    const nn_real *from = (const nn_real *)s->scratch + p.begin;
    nn_real *mean = s->out[0].at, *variance = s->out[1].at;
    double m[NNI_MERGE], m2[NNI_MERGE];

    (void)lane;
    nni_pointwise_of(s)->merge_moments(m, m2, from, from + channels, s->phase[0].tiles, 2 * channels, p.count,
                                       s->choice[0], rows);
    for (int64_t c = 0; c < p.count; c++) {
        mean[p.begin + c] = (nn_real)m[c];
        variance[p.begin + c] = (nn_real)(m2[c] / (double)rows);
    }
}

static int forward(nn_step *s)
{
    int64_t channels = nni_channels(s->in[0].shape), tiles;

    s->choice[0] = nni_tile_rows(channels);
    tiles = nni_parts(nni_rows(s->in[0].shape), s->choice[0]);
    s->scratch_bytes = (size_t)(tiles * 2 * channels) * sizeof(nn_real);
    s->lane_bytes = (size_t)channels * sizeof(nn_real);
    nn_phase(s, tiles, forward_tile);
    nn_phase(s, nni_parts(channels, NNI_MERGE), merge_tile);
    s->flops = 5 * (double)nn_shape_count(s->in[0].shape);
    return NN_OK;
}

static void coefficient_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[0].shape);
    double n = (double)nni_rows(s->in[0].shape);
    const nn_real *dmean = nn_has(&s->dout[0]) ? s->dout[0].at : NULL;
    const nn_real *dvariance = nn_has(&s->dout[1]) ? s->dout[1].at : NULL;
    nn_real *scale = s->scratch, *beta = scale + channels;

    (void)tile;
    (void)lane;
    for (int64_t c = 0; c < channels; c++) {
        scale[c] = dvariance ? (nn_real)(2 * (double)dvariance[c] / n) : 0;
        beta[c] = dmean ? (nn_real)((double)dmean[c] / n) : 0;
    }
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->in[0].shape));
    const nn_real *scale = s->scratch;
    struct nni_pointwise_affine v = { s->out[0].at, scale, scale + channels, NN_ACT_NONE };
    int64_t at = p.begin * channels;
    void *dx = nni_at(&s->din[0], at);

    (void)lane;
    nni_pointwise_of(s)->affine(dx, nni_at(&s->in[0], at), s->accumulate & NN_IN(0) ? dx : NULL, p.count,
                                channels, &v, 1);
}

static int backward(nn_step *s)
{
    int64_t channels = nni_channels(s->in[0].shape);

    s->choice[0] = nni_tile_rows(channels);
    s->scratch_bytes = (size_t)(2 * channels) * sizeof(nn_real);
    nn_phase(s, 1, coefficient_tile);
    nn_phase(s, nni_parts(nni_rows(s->in[0].shape), s->choice[0]), backward_tile);
    s->flops = 3 * (double)nn_shape_count(s->in[0].shape);
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_activation(n, 0, 1);
    nni_text text;

    if (rc)
        return rc;
    if (nni_rows(nn_shape_get(n->in[0])) < 2)
        return nn_infer_fail(n, "more than one value per channel is needed in training, input 0 is %s",
                             nni_shape_text(nn_shape_get(n->in[0]), &text));
    for (int i = 0; !rc && i < 2; i++)
        rc = nn_infer_out(n, i, NN_REAL, NN_SHAPE1(nn_dim(n->in[0], -1)));
    return rc;
}

const nn_op nn_op_moments = {
    .abi = NN_OP_ABI,
    .name = "moments",
    .inputs = 1,
    .reads = NN_IN(0) | NN_OUT(0),
    .flags = NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_moments_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_moments_backward) },
};

int nn_moments(nn_graph *g, nn_tensor *x, nn_tensor **mean, nn_tensor **variance)
{
    nn_node *n = nn_apply_all(g, &nn_op_moments, NULL, &x, 1);

    if (mean)
        *mean = n ? n->out[0] : NULL;
    if (variance)
        *variance = n ? n->out[1] : NULL;
    return n ? NN_OK : nn_graph_status(g);
}
