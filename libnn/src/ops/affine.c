/* SPDX-License-Identifier: MIT
 *
 * The affine map of a normalisation, one for each channel:
 *
 *     z = scale*(x - mean) + beta,   y = act(z)
 *
 * The mean is subtracted before the product: folded into one constant (beta - scale*mean) the result loses
 * its digits where the mean is large beside the deviation. The builder makes the identity for act; fusion
 * puts the activation that follows there. With dz = dy*act'(z)
 *
 *     dx = scale*dz      dscale = sum dz*(x - mean)      dbeta = sum dz      dmean = -scale*dbeta
 *
 * The sums are over rows. Each tile leaves its two (dz, dz*(x - mean)) while it computes dx, and a
 * second phase merges them in the order of tiles.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"

#include <string.h>

enum { X, MEAN, SCALE, BETA };

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[X].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->in[X].shape));
    struct nni_pointwise_affine v = nni_affine_operands(s, MEAN);
    int64_t at = p.begin * channels;

    (void)lane;
    nni_pointwise_of(s)->affine(nni_at(&s->out[0], at), nni_at(&s->in[X], at), NULL, p.count, channels, &v,
                                1);
}

static int forward(nn_step *s)
{
    int64_t rows = nni_rows(s->in[X].shape);

    s->choice[0] = nni_tile_rows(nni_channels(s->in[X].shape));
    nn_phase(s, nni_parts(rows, s->choice[0]), forward_tile);
    s->flops = 3 * (double)nn_shape_count(s->in[X].shape);
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[X].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->in[X].shape));
    struct nni_pointwise_affine v = nni_affine_operands(s, MEAN);
    nn_real *sums = nni_affine_wanted(s, MEAN) ? (nn_real *)s->scratch + tile * 2 * channels : NULL;
    int64_t at = p.begin * channels;

    (void)lane;
    if (sums)
        memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
    nni_pointwise_of(s)->affine_grad(nni_at(&s->din[X], at), sums, nni_at(&s->in[X], at),
                                     nni_at(&s->dout[0], at), channels, p.count, channels, &v, 1,
                                     s->accumulate & NN_IN(X));
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_affine_merge(s, MEAN, s->scratch, s->phase[0].tiles, tile);
}

static int backward(nn_step *s)
{
    int64_t channels = nni_channels(s->in[X].shape), tiles;

    s->choice[0] = nni_tile_rows(channels);
    tiles = nni_parts(nni_rows(s->in[X].shape), s->choice[0]);
    nn_phase(s, tiles, backward_tile);
    if (nni_affine_wanted(s, MEAN)) {
        s->scratch_bytes = (size_t)(tiles * 2 * channels) * sizeof(nn_real);
        nn_phase(s, nni_parts(channels, NNI_MERGE), merge_tile);
    }
    s->flops = 5 * (double)nn_shape_count(s->in[X].shape);
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_activation(n, X, 1);

    if (!rc)
        rc = nni_infer_affine(n, MEAN, nn_dim(n->in[X], -1));
    return rc ? rc : nn_infer_out(n, 0, nn_type_get(n->in[X]), nn_shape_get(n->in[X]));
}

const nn_op nn_op_affine = {
    .abi = NN_OP_ABI,
    .name = "affine",
    .inputs = 3,
    .optional = NN_IN(BETA),
    .reads = NN_IN(X) | NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(X),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_affine_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_affine_backward) },
};

nn_tensor *nn_affine(nn_graph *g, nn_tensor *x, nn_tensor *mean, nn_tensor *scale, nn_tensor *beta)
{
    return nn_apply(g, &nn_op_affine, NULL, (nn_tensor *[]){ x, mean, scale, beta }, 4);
}
