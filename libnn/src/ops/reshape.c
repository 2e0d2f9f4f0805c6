/* SPDX-License-Identifier: MIT
 *
 * The same elements in the same order under another shape. Planned memory lets output and input be
 * one buffer, and then nothing is done; when they cannot be (the input is fed from outside, or is
 * needed afterwards), the bytes are copied.
 *
 * Derivative: dx = dy, reshaped back.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/element.h"

#include <nn/ops.h>

#include <string.h>

struct attrs {
    nn_shape shape;
};

/* Elements of a tile. */
enum { TILE = 1 << 16 };

static void copy(const nn_operand *from, const nn_operand *to, int64_t tile)
{
    size_t size = nn_dtype_size(to->type);
    int64_t count = nn_shape_count(to->shape), at = tile * TILE, n = count - at < TILE ? count - at : TILE;

    if (from->at != to->at && n > 0)
        memcpy((char *)to->at + (size_t)at * size, (const char *)from->at + (size_t)at * size,
               (size_t)n * size);
}

static void copy_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    copy(&s->in[0], &s->out[0], tile);
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_operand *dy = &s->dout[0], *dx = &s->din[0];
    int64_t count = nn_shape_count(dx->shape), at = tile * TILE, end = count - at < TILE ? count : at + TILE;

    (void)lane;
    if (!(s->accumulate & 1u))
        copy(dy, dx, tile);
    else
        for (int64_t e = at; e < end; e++)
            nni_put(dx->at, dx->type, e, nni_get(dx->at, dx->type, e) + nni_get(dy->at, dy->type, e));
}

static int forward(nn_step *s)
{
    nn_phase(s, (nn_shape_count(s->out[0].shape) + TILE - 1) / TILE, copy_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    if (!nni_floating(s->din[0].type) || s->din[0].type != s->dout[0].type)
        return NN_EUNSUPPORTED;
    nn_phase(s, (nn_shape_count(s->din[0].shape) + TILE - 1) / TILE, back_tile);
    return NN_OK;
}

static int infer(nn_node *node)
{
    const struct attrs *a = node->attrs;
    nn_shape from = nn_shape_get(node->in[0]);
    nni_text old, new;

    if (nn_shape_count(a->shape) < 0 || nn_shape_count(a->shape) != nn_shape_count(from))
        return nn_infer_fail(node, "%s cannot be reshaped to %s: the numbers of elements differ",
                             nni_shape_text(from, &old), nni_shape_text(a->shape, &new));
    return nn_infer_out(node, 0, nn_type_get(node->in[0]), a->shape);
}

const nn_op nn_op_reshape = {
    .abi = NN_OP_ABI,
    .name = "reshape",
    .inputs = 1,
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .attrs_bytes = sizeof(struct attrs),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_reshape_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_reshape_backward) },
};

/* The size that is left for a dimension given as -1; another such dimension, or a rest, is for infer to find.
 */
static nn_shape completed(nn_shape shape, int64_t count)
{
    int open = -1;

    for (int i = 0; i < shape.rank && i < NN_MAX_RANK; i++)
        if (shape.dim[i] == -1)
            open = i;
    if (open >= 0) {
        shape.dim[open] = 1;
        if (nn_shape_count(shape) > 0 && count % nn_shape_count(shape) == 0)
            shape.dim[open] = count / nn_shape_count(shape);
        else
            shape.dim[open] = -1;
    }
    return shape;
}

nn_tensor *nn_reshape(nn_graph *g, nn_tensor *x, nn_shape shape)
{
    struct attrs a = { .shape = completed(shape, nn_shape_count(nn_shape_get(x))) };

    return nn_apply(g, &nn_op_reshape, &a, &x, 1);
}

nn_tensor *nn_flatten(nn_graph *g, nn_tensor *x)
{
    if (x && nn_shape_get(x).rank < 1)
        return nn_graph_fail(g, NN_ESHAPE, "flatten: a scalar has no first dimension to keep");
    return nn_reshape(g, x, NN_SHAPE2(nn_dim(x, 0), -1));
}
