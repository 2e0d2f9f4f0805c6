/* SPDX-License-Identifier: MIT
 *
 * The logistic function: y = 1/(1 + exp(-x)), with dx = dy * y*(1 - y). Backward computes y from x
 * again, so that fusion can move the op into a neighbour and y need not exist. For large negative x
 * exp(-x) is infinite and y is 0, as it should be.
 */
#include "cpu/cpu.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    nni_cpu_of(s)->pointwise->act(y + p.begin, x + p.begin, p.count, NN_ACT_SIGMOID);
}

static int forward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), forward_tile);
    s->flops = 19 * (double)n;
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    const nn_real *x = s->in[0].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;

    (void)lane;
    nni_cpu_of(s)->pointwise->act_grad(dx + p.begin, x + p.begin, dy + p.begin, p.count, NN_ACT_SIGMOID,
                                       s->accumulate & NN_IN(0));
}

static int backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    s->flops = 22 * (double)n;
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_real(n, 0, 0);

    return rc ? rc : nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}

const nn_op nn_op_sigmoid = {
    .abi = NN_OP_ABI,
    .name = "sigmoid",
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .activation = NN_ACT_SIGMOID,
    .infer = infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *nn_sigmoid(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_sigmoid, NULL, &x, 1); }
