/* SPDX-License-Identifier: MIT
 *
 * SiLU, or swish: y = x*s(x) with the logistic function s(x) = 1/(1 + exp(-x)). From s' = s*(1 - s)
 *
 *     dx = dy * s*(1 + x*(1 - s))
 *
 * Backward computes s from x again: that costs less than to keep y, and lets y be recomputed or never
 * exist (after a batch norm fusion makes it that op's activation).
 *
 * Source: Elfwing, Uchibe, Doya: "Sigmoid-weighted linear units", 2017; torch.nn.SiLU.
 */
#include "cuda/if_cuda.h"
#include "ops/activation.h"

/* Which function it is stands in the descriptor, so relu, relu6 and sigmoid are these functions too. */
static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));

    (void)lane;
    nni_pointwise_of(s)->act(nni_at(&s->out[0], p.begin), nni_at(&s->in[0], p.begin), p.count,
                             s->op->activation);
}

int nni_activation_forward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), forward_tile);
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));

    (void)lane;
    nni_pointwise_of(s)->act_grad(nni_at(&s->din[0], p.begin), nni_at(&s->in[0], p.begin),
                                  nni_at(&s->dout[0], p.begin), p.count, s->op->activation,
                                  s->accumulate & NN_IN(0));
}

int nni_activation_backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    return NN_OK;
}

int nni_activation_infer(nn_node *n)
{
    int rc = nni_infer_activation(n, 0, 0);

    return rc ? rc : nn_infer_out(n, 0, nn_type_get(n->in[0]), nn_shape_get(n->in[0]));
}

const nn_op nn_op_silu = {
    .abi = NN_OP_ABI,
    .name = "silu",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .activation = NN_ACT_SILU,
    .infer = nni_activation_infer,
    .forward = { nni_activation_forward, NNI_IF_CUDA(nni_cuda_activation_forward) },
    .backward = { nni_activation_backward, NNI_IF_CUDA(nni_cuda_activation_backward) },
};

nn_tensor *nn_silu(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_silu, NULL, &x, 1); }
