/* SPDX-License-Identifier: MIT
 *
 * Rectifier: y = max(x, 0); dx = dy where x > 0, else 0 (at 0 too, as in torch). A NaN stays one.
 */
#include "cpu/cpu.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    nni_cpu_of(s)->pointwise->act(y + p.begin, x + p.begin, p.count, NN_ACT_RELU);
}

static int forward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), forward_tile);
    s->flops = 1 * (double)n;
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    const nn_real *x = s->in[0].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;

    (void)lane;
    nni_cpu_of(s)->pointwise->act_grad(dx + p.begin, x + p.begin, dy + p.begin, p.count, NN_ACT_RELU,
                                       s->accumulate & NN_IN(0));
}

static int backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    s->flops = 2 * (double)n;
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_real(n, 0, 0);

    return rc ? rc : nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}

const nn_op nn_op_relu = {
    .abi = NN_OP_ABI,
    .name = "relu",
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .activation = NN_ACT_RELU,
    .infer = infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *nn_relu(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_relu, NULL, &x, 1); }
