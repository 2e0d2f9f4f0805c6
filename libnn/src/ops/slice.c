/* SPDX-License-Identifier: MIT
 *
 * `length` elements along an axis, from `begin` on. Derivative: dy there, zero elsewhere.
 */
#include "cuda/if_cuda.h"
#include "ops/attrs.h"
#include "ops/stripe.h"

#include <nn/ops.h>

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_slice *a = s->attrs;
    struct nni_stripe stripe = nni_stripe_of(s->in[0].shape, a->axis, a->begin, a->length);

    (void)lane;
    nni_stripe_move(&stripe, s->out[0], s->in[0], true, false, tile);
}

static void zero_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, NNI_STRIPE_TILE, nn_shape_count(s->din[0].shape));

    (void)lane;
    if (!(s->accumulate & NN_IN(0)))
        memset((nn_real *)s->din[0].at + p.begin, 0, (size_t)p.count * sizeof(nn_real));
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_slice *a = s->attrs;
    struct nni_stripe stripe = nni_stripe_of(s->din[0].shape, a->axis, a->begin, a->length);

    (void)lane;
    nni_stripe_move(&stripe, s->dout[0], s->din[0], false, s->accumulate & NN_IN(0), tile);
}

static int forward(nn_step *s)
{
    nn_phase(s, nni_stripe_tiles(s->out[0].shape), forward_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    if (s->din[0].type != NN_REAL || s->dout[0].type != NN_REAL)
        return NN_EUNSUPPORTED;
    nn_phase(s, nni_stripe_tiles(s->din[0].shape), zero_tile);
    nn_phase(s, nni_stripe_tiles(s->dout[0].shape), backward_tile);
    return NN_OK;
}

static int infer(nn_node *n)
{
    const struct nni_slice *a = n->attrs;
    nn_shape y = nn_shape_get(n->in[0]);
    nni_text text;

    if (a->axis < 0)
        return nn_infer_fail(n, "%s has no such axis", nni_shape_text(y, &text));
    if (a->begin < 0 || a->length < 1 || a->begin > y.dim[a->axis] - a->length)
        return nn_infer_fail(n, "%lld from %lld on are not within axis %d of %s", (long long)a->length,
                             (long long)a->begin, a->axis, nni_shape_text(y, &text));
    y.dim[a->axis] = a->length;
    return nn_infer_out(n, 0, nn_type_get(n->in[0]), y);
}

const nn_op nn_op_slice = {
    .abi = NN_OP_ABI,
    .name = "slice",
    .inputs = 1,
    .attrs_bytes = sizeof(struct nni_slice),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_slice_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_slice_backward) },
};

nn_tensor *nn_slice(nn_graph *g, nn_tensor *x, int axis, int64_t begin, int64_t length)
{
    struct nni_slice a = { nni_axis(nn_shape_get(x).rank, axis), begin, length };

    return nn_apply(g, &nn_op_slice, &a, &x, 1);
}
