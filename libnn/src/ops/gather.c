/* SPDX-License-Identifier: MIT
 *
 * Entries of x along an axis, chosen by number: y[a,k,b] = x[a, index[k], b]. An embedding is this along
 * the first axis of its table. A number that is out of range gives NaN, because a kernel has no other way
 * to speak up, and takes no part in the gradient.
 *
 * Derivative: dx[a,v,b] = sum of dy[a,k,b] over the k with index[k] = v. A tile owns a range of
 * entries of x and adds to them in the order of k, so it needs no atomics and the sum has one order.
 */
#include "cuda/if_cuda.h"
#include "ops/attrs.h"
#include "ops/element.h"
#include "ops/stripe.h"

#include <nn/ops.h>

#include <math.h>

enum { X, INDEX };

/* x [outer, entries, inner], index [chosen]. */
struct layout {
    int64_t outer, entries, inner, chosen;
};

static struct layout layout_of(const nn_step *s, nn_shape x)
{
    const struct nni_gather *a = s->attrs;
    struct layout l = { 1, x.dim[a->axis], 1, nn_shape_count(s->in[INDEX].shape) };

    for (int k = 0; k < a->axis; k++)
        l.outer *= x.dim[k];
    for (int k = a->axis + 1; k < x.rank; k++)
        l.inner *= x.dim[k];
    return l;
}

static int64_t index_at(const nn_step *s, int64_t k)
{
    return s->in[INDEX].type == NN_I64 ? ((const int64_t *)s->in[INDEX].at)[k]
                                       : ((const int32_t *)s->in[INDEX].at)[k];
}

/* choice[0] rows of the result, or entries of dx, to a tile. */
static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct layout l = layout_of(s, s->in[X].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], l.outer * l.chosen);
    size_t bytes = (size_t)l.inner * nn_dtype_size(s->in[X].type);

    (void)lane;
    for (int64_t r = p.begin; r < p.begin + p.count; r++) {
        int64_t v = index_at(s, r % l.chosen), from = r / l.chosen * l.entries + v;
        char *to = (char *)s->out[0].at + (size_t)r * bytes;

        if (v >= 0 && v < l.entries)
            memcpy(to, (const char *)s->in[X].at + (size_t)from * bytes, bytes);
        else
            for (int64_t i = 0; i < l.inner; i++)
                nni_put(s->out[0].at, s->out[0].type, r * l.inner + i, (double)NAN);
    }
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct layout l = layout_of(s, s->din[X].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], l.outer * l.entries);
    const nn_real *dy = s->dout[0].at;
    nn_real *dx = s->din[X].at;

    (void)lane;
    if (!(s->accumulate & NN_IN(X)))
        memset(dx + p.begin * l.inner, 0, (size_t)(p.count * l.inner) * sizeof *dx);
    for (int64_t o = p.begin / l.entries; o * l.entries < p.begin + p.count; o++)
        for (int64_t k = 0; k < l.chosen; k++) {
            int64_t v = index_at(s, k), to = o * l.entries + v, from = o * l.chosen + k;

            if (v < 0 || v >= l.entries || to < p.begin || to >= p.begin + p.count)
                continue;
            for (int64_t i = 0; i < l.inner; i++)
                dx[to * l.inner + i] += dy[from * l.inner + i];
        }
}

static int forward(nn_step *s)
{
    struct layout l = layout_of(s, s->in[X].shape);

    nn_phase(s, nni_tiles(l.outer * l.chosen, 1 + 16384 / (l.inner + 1), 64, &s->choice[0]), forward_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    struct layout l = layout_of(s, s->din[X].shape);

    if (s->dout[0].type != NN_REAL)
        return NN_EUNSUPPORTED;
    nn_phase(s, nni_tiles(l.outer * l.entries, 1 + 16384 / (l.inner + 1), 32, &s->choice[0]), backward_tile);
    return NN_OK;
}

static int infer(nn_node *n)
{
    const struct nni_gather *a = n->attrs;
    nn_shape x = nn_shape_get(n->in[X]), index = nn_shape_get(n->in[INDEX]), y = x;
    nn_dtype type = nn_type_get(n->in[INDEX]);
    nni_text text;

    if (a->axis < 0)
        return nn_infer_fail(n, "%s has no such axis", nni_shape_text(x, &text));
    if (type != NN_I32 && type != NN_I64)
        return nn_infer_fail(n, "the index is %s; I32 or I64 wanted", nn_dtype_name(type));
    if (!nni_floating(nn_type_get(n->in[X])))
        return nn_infer_fail(n, "the input is %s; a floating type wanted",
                             nn_dtype_name(nn_type_get(n->in[X])));
    if (x.rank - 1 + index.rank > NN_MAX_RANK)
        return nn_infer_fail(n, "the result would have %d dimensions", (int)(x.rank - 1 + index.rank));
    y.rank = x.rank - 1 + index.rank;
    for (int k = 0; k < index.rank; k++)
        y.dim[a->axis + k] = index.dim[k];
    for (int k = a->axis + 1; k < x.rank; k++)
        y.dim[k - 1 + index.rank] = x.dim[k];
    return nn_infer_out(n, 0, nn_type_get(n->in[X]), y);
}

const nn_op nn_op_gather = {
    .abi = NN_OP_ABI,
    .name = "gather",
    .inputs = 2,
    .reads = NN_IN(INDEX),
    .attrs_bytes = sizeof(struct nni_gather),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_gather_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_gather_backward) },
};

nn_tensor *nn_gather(nn_graph *g, nn_tensor *x, nn_tensor *index, int axis)
{
    struct nni_gather a = { nni_axis(nn_shape_get(x).rank, axis) };
    nn_tensor *in[2] = { x, index };

    return nn_apply(g, &nn_op_gather, &a, in, 2);
}

nn_tensor *nn_embedding(nn_graph *g, nn_tensor *weight, nn_tensor *index)
{
    if (weight && nn_shape_get(weight).rank != 2)
        return nn_graph_fail(g, NN_ESHAPE, "embedding: the weight must be [V,D]");
    return nn_gather(g, weight, index, 0);
}
