/* SPDX-License-Identifier: MIT
 *
 * Tensors one after another along an axis. Derivative: each gets its part of dy.
 */
#include "cuda/if_cuda.h"
#include "ops/attrs.h"
#include "ops/stripe.h"

#include <nn/ops.h>

/* The input of a tile, and that tile's number within the input. Inputs whose gradient nobody wants have no
 * tiles. */
static struct nni_stripe stripe_of(const nn_step *s, const nn_operand *part, nn_shape whole, int64_t *tile,
                                   int *index)
{
    const struct nni_concat *a = s->attrs;
    int64_t begin = 0;

    for (*index = 0;; ++*index) {
        nn_shape shape = nn_has(&part[*index]) ? part[*index].shape : s->in[*index].shape;
        int64_t tiles = nn_has(&part[*index]) ? nni_stripe_tiles(shape) : 0;

        if (*tile < tiles)
            return nni_stripe_of(whole, a->axis, begin, shape.dim[a->axis]);
        *tile -= tiles;
        begin += shape.dim[a->axis];
    }
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    int k;
    struct nni_stripe stripe = stripe_of(s, s->in, s->out[0].shape, &tile, &k);

    (void)lane;
    nni_stripe_move(&stripe, s->in[k], s->out[0], false, false, tile);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    int k;
    struct nni_stripe stripe = stripe_of(s, s->din, s->dout[0].shape, &tile, &k);

    (void)lane;
    nni_stripe_move(&stripe, s->din[k], s->dout[0], true, s->accumulate >> k & 1, tile);
}

static int prepare(nn_step *s, const nn_operand *part, nn_tile *run)
{
    const struct nni_concat *a = s->attrs;
    int64_t tiles = 0;

    for (int k = 0; k < a->count; k++)
        if (nn_has(&part[k]))
            tiles += nni_stripe_tiles(part[k].shape);
    nn_phase(s, tiles, run);
    return NN_OK;
}

static int forward(nn_step *s) { return prepare(s, s->in, forward_tile); }
static int backward(nn_step *s)
{
    return s->dout[0].type == NN_REAL ? prepare(s, s->din, backward_tile) : NN_EUNSUPPORTED;
}

static int infer(nn_node *n)
{
    const struct nni_concat *a = n->attrs;
    nn_shape y = nn_shape_get(n->in[0]);
    nni_text first, other;

    if (a->axis < 0)
        return nn_infer_fail(n, "%s has no such axis", nni_shape_text(y, &first));
    for (int k = 1; k < a->count; k++) {
        nn_shape x = nn_shape_get(n->in[k]);
        int64_t length = x.dim[a->axis];

        x.dim[a->axis] = y.dim[a->axis];
        if (!nn_shape_equal(x, y) || nn_type_get(n->in[k]) != nn_type_get(n->in[0]))
            return nn_infer_fail(n, "input %d, %s %s, and input 0, %s %s, may differ along axis %d only", k,
                                 nni_shape_text(nn_shape_get(n->in[k]), &other),
                                 nn_dtype_name(nn_type_get(n->in[k])),
                                 nni_shape_text(nn_shape_get(n->in[0]), &first),
                                 nn_dtype_name(nn_type_get(n->in[0])), a->axis);
        y.dim[a->axis] += length;
    }
    return nn_infer_out(n, 0, nn_type_get(n->in[0]), y);
}

const nn_op nn_op_concat = {
    .abi = NN_OP_ABI,
    .name = "concat",
    .inputs = 1,
    .optional = (NN_IN(NN_MAX_IN) - 1) & ~NN_IN(0),
    .attrs_bytes = sizeof(struct nni_concat),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_concat_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_concat_backward) },
};

nn_tensor *nn_concat(nn_graph *g, nn_tensor *const *x, int count, int axis)
{
    struct nni_concat a = { nni_axis(x && count > 0 ? nn_shape_get(x[0]).rank : 0, axis), count };

    if (count < 1 || count > NN_MAX_IN)
        return nn_graph_fail(g, NN_EINVAL, "concat: %d tensors; from 1 to %d can be concatenated", count,
                             NN_MAX_IN);
    return nn_apply(g, &nn_op_concat, &a, x, count);
}
