/* SPDX-License-Identifier: MIT
 *
 * Rectifier with a ceiling: y = min(max(x, 0), 6); dx = dy where 0 < x < 6, else 0 (at the corners too,
 * as in torch). A NaN stays one. The ceiling keeps activations within what few bits can represent.
 *
 * Source: Howard et al.: "MobileNets", 2017.
 */
#include "cpu/cpu.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    nni_cpu_of(s)->pointwise->act(y + p.begin, x + p.begin, p.count, NN_ACT_RELU6);
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
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    const nn_real *x = s->in[0].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;

    (void)lane;
    nni_cpu_of(s)->pointwise->act_grad(dx + p.begin, x + p.begin, dy + p.begin, p.count, NN_ACT_RELU6,
                                       s->accumulate & NN_IN(0));
}

static int backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    s->flops = 4 * (double)n;
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_real(n, 0, 0);

    return rc ? rc : nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}

const nn_op nn_op_relu6 = {
    .abi = NN_OP_ABI,
    .name = "relu6",
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .activation = NN_ACT_RELU6,
    .infer = infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *nn_relu6(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_relu6, NULL, &x, 1); }
