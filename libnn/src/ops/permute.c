/* SPDX-License-Identifier: MIT
 *
 * Dimensions in another order: y[i_0,...,i_r] = x[j_0,...,j_r] with j_order[k] = i_k. The library's own
 * networks hardly need it, because everything is channels last; networks of others do where they flatten
 * channels first.
 *
 * Derivative: dy with the order undone.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <nn/ops.h>

#include <string.h>

/* The result's dimensions from outer to inner, and the steps along them in what is read. */
struct walk {
    const nn_operand *from, *to;
    int rank;
    int64_t step[NN_MAX_RANK];
};

static struct walk walk_of(const nn_step *s)
{
    const struct nni_permute *a = s->attrs;
    bool back = nn_has(&s->dout[0]);
    struct walk w = { .from = back ? &s->dout[0] : &s->in[0], .to = back ? &s->din[0] : &s->out[0] };
    int64_t dense = 1, step[NN_MAX_RANK] = { 0 };

    w.rank = w.from->shape.rank;
    for (int k = w.rank; k-- > 0;) {
        step[k] = dense;
        dense *= w.from->shape.dim[k];
    }
    for (int k = 0; k < w.rank; k++)
        w.step[back ? a->order[k] : k] = step[back ? k : a->order[k]];
    return w;
}

/* to[i] = from[i*step]. */
static void copy_row(void *to, const void *from, size_t size, int64_t count, int64_t step)
{
    if (step == 1) {
        memcpy(to, from, (size_t)count * size);
    } else if (size == 4) {
        for (int64_t i = 0; i < count; i++)
            ((uint32_t *)to)[i] = ((const uint32_t *)from)[i * step];
    } else {
        for (int64_t i = 0; i < count; i++)
            memcpy((char *)to + (size_t)i * size, (const char *)from + (size_t)(i * step) * size, size);
    }
}

/* A tile is choice[0] rows of the result's last dimension. */
static void permute_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct walk w = walk_of(s);
    size_t size = nn_dtype_size(w.to->type);
    const int64_t *dim = w.to->shape.dim, cols = dim[w.rank - 1], step = w.step[w.rank - 1];
    struct nni_part rows = nni_part_of(tile, s->choice[0], nni_rows(w.to->shape));
    bool add = nn_has(&s->dout[0]) && s->accumulate & NN_IN(0);

    (void)lane;
    for (int64_t r = rows.begin; r < rows.begin + rows.count; r++) {
        int64_t rest = r, at = 0;

        for (int k = w.rank - 1; k-- > 0;) {
            at += rest % dim[k] * w.step[k];
            rest /= dim[k];
        }
        if (add)
            for (int64_t c = 0; c < cols; c++)
                ((nn_real *)w.to->at)[r * cols + c] += ((const nn_real *)w.from->at)[at + c * step];
        else
            copy_row((char *)w.to->at + (size_t)(r * cols) * size,
                     (const char *)w.from->at + (size_t)at * size, size, cols, step);
    }
}

static int prepare(nn_step *s)
{
    nn_shape to = nn_has(&s->dout[0]) ? s->din[0].shape : s->out[0].shape;

    nn_phase(s, nni_tiles(nni_rows(to), 1 + 16384 / (nni_channels(to) + 1), 64, &s->choice[0]), permute_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    return s->din[0].type == NN_REAL && s->dout[0].type == NN_REAL ? prepare(s) : NN_EUNSUPPORTED;
}

static int infer(nn_node *node)
{
    const struct nni_permute *a = node->attrs;
    nn_shape x = nn_shape_get(node->in[0]), y = x;
    unsigned seen = 0;
    nni_text text;

    if (x.rank < 1 || nn_shape_count(x) < 1)
        return nn_infer_fail(node, "%s has no dimensions to permute", nni_shape_text(x, &text));
    for (int k = 0; k < x.rank; k++) {
        if (a->order[k] < 0 || a->order[k] >= x.rank || seen >> a->order[k] & 1)
            return nn_infer_fail(node, "the order of the %d dimensions of %s names %d, %s", (int)x.rank,
                                 nni_shape_text(x, &text), a->order[k],
                                 a->order[k] < 0 || a->order[k] >= x.rank ? "which there is not" : "twice");
        seen |= 1u << a->order[k];
        y.dim[k] = x.dim[a->order[k]];
    }
    return nn_infer_out(node, 0, nn_type_get(node->in[0]), y);
}

const nn_op nn_op_permute = {
    .abi = NN_OP_ABI,
    .name = "permute",
    .inputs = 1,
    .attrs_bytes = sizeof(struct nni_permute),
    .infer = infer,
    .forward = { prepare, NNI_IF_CUDA(nni_cuda_permute_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_permute_backward) },
};

nn_tensor *nn_permute(nn_graph *g, nn_tensor *x, const int *order)
{
    struct nni_permute a = { { 0 } };

    for (int k = 0; order && k < nn_shape_get(x).rank; k++)
        a.order[k] = order[k];
    return nn_apply(g, &nn_op_permute, order ? &a : NULL, &x, 1);
}
