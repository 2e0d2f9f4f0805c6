/* SPDX-License-Identifier: MIT
 *
 * y = factor*x + shift with two constants; dx = factor*dy. For residual branches, loss weights and
 * averages: a constant that is an attribute needs no tensor and no broadcasting.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_scale *a = s->attrs;
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));

    (void)lane;
    nni_pointwise_of(s)->scale(nni_at(&s->out[0], p.begin), nni_at(&s->in[0], p.begin), p.count,
                               (nn_real)a->factor, (nn_real)a->shift, false);
}

static int forward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), forward_tile);
    s->flops = 2 * (double)n;
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_scale *a = s->attrs;
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->din[0].shape));

    (void)lane;
    nni_pointwise_of(s)->scale(nni_at(&s->din[0], p.begin), nni_at(&s->dout[0], p.begin), p.count,
                               (nn_real)a->factor, 0, s->accumulate & NN_IN(0));
}

static int backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->din[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    s->flops = (double)n;
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_activation(n, 0, 0);

    return rc ? rc : nn_infer_out(n, 0, nn_type_get(n->in[0]), nn_shape_get(n->in[0]));
}

const nn_op nn_op_scale = {
    .abi = NN_OP_ABI,
    .name = "scale",
    .inputs = 1,
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .attrs_bytes = sizeof(struct nni_scale),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_scale_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_scale_backward) },
};

nn_tensor *nn_scale(nn_graph *g, nn_tensor *x, double factor, double shift)
{
    return nn_apply(g, &nn_op_scale, &(struct nni_scale){ factor, shift }, &x, 1);
}
