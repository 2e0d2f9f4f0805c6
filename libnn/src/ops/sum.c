/* SPDX-License-Identifier: MIT
 *
 * y = the sum of x over the chosen axes, or the mean (mean.c): tiles are summed, and the sums of tiles merged
 * in their order, in double. Where everything becomes one number the tiles are summed in double, too.
 *
 * Derivative: dx = dy/divisor everywhere.
 */
#include "cuda/if_cuda.h"
#include "ops/axes.h"

/* ---- into one number. choice[0]: elements of a tile; choice[1]: the divisor. ---- */

static void part_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));

    (void)lane;
    ((double *)s->scratch)[tile] = nni_sum((const nn_real *)s->in[0].at + p.begin, p.count);
}

static void total_tile(const nn_step *s, int64_t tile, void *lane)
{
    const double *part = s->scratch;
    double sum = 0;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < s->phase[0].tiles; i++)
        sum += part[i];
    *(nn_real *)s->out[0].at = (nn_real)(sum / (double)s->choice[1]);
}

/* ---- into several ---- */

static void gather_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_gather(s, tile, NULL, NULL, false);
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_sums(s, tile, s->out[0].at, (double)s->choice[1]);
}

int nni_sum_forward(nn_step *s, int64_t divisor)
{
    int64_t count = nn_shape_count(s->in[0].shape), tiles;
    struct nni_reduction r;

    s->choice[1] = divisor;
    s->flops = (double)count;
    if (nn_shape_count(s->out[0].shape) == 1) {
        tiles = nni_tiles(count, 8192, 256, &s->choice[0]);
        s->scratch_bytes = (size_t)tiles * sizeof(double);
        nn_phase(s, tiles, part_tile);
        nn_phase(s, 1, total_tile);
        return NN_OK;
    }
    nni_axes_reduction(s, &r);
    s->scratch_bytes = r.bytes;
    nn_phase(s, r.tiles, gather_tile);
    nn_phase(s, r.merge_tiles, merge_tile);
    return NN_OK;
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    static const struct nni_formula identity = { .f = NNI_LINEAR, .k = { 1 } };

    (void)lane;
    nni_axes_back(s, tile, &identity, NULL, s->dout[0].at, 1 / (double)s->choice[1]);
}

int nni_sum_backward(nn_step *s, int64_t divisor)
{
    s->choice[1] = divisor;
    nn_phase(s, nni_axes_back_tiles(s), back_tile);
    return NN_OK;
}

static int forward(nn_step *s) { return nni_sum_forward(s, 1); }
static int backward(nn_step *s) { return nni_sum_backward(s, 1); }

const nn_op nn_op_sum = {
    .abi = NN_OP_ABI,
    .name = "sum",
    .inputs = 1,
    .attrs_bytes = sizeof(struct nni_axes),
    .infer = nni_axes_infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_sum_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_sum_backward) },
};

nn_tensor *nn_sum(nn_graph *g, nn_tensor *x, nn_reduce_opts opts)
{
    return nn_apply(g, &nn_op_sum, &(struct nni_axes){ .opts = opts }, &x, 1);
}
