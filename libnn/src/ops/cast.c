/* SPDX-License-Identifier: MIT
 *
 * y = x in another floating type, rounded to nearest even; bytes become their value. Storage in 16
 * bits halves the traffic of a tensor, while arithmetic stays in nn_real: casts are the border.
 *
 * Derivative: dx = dy, in the type of dx. A byte has none.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"
#include "ops/element.h"

#include <nn/ops.h>

/* Elements of a tile; a multiple of 32 so that tiles of bytes do not share a cache line. */
enum { TILE = 8192 };

static void convert(const nn_step *s, const nn_operand *from, const nn_operand *to, int64_t tile, int add)
{
    const struct nni_pointwise_kernels *narrow = nni_cpu_of(s)->pointwise[NNI_STORED_BF16];
    int64_t count = nn_shape_count(to->shape), at = tile * TILE, end = at + TILE < count ? at + TILE : count;

    if (from->type == NN_U8 && to->type == NN_REAL) {
        const uint8_t *x = from->at;
        nn_real *y = to->at;

        for (int64_t e = at; e < end; e++)
            y[e] = (nn_real)x[e];
        return;
    }
    if (NN_REAL == NN_F32 && from->type == NN_BF16 && to->type == NN_REAL) {
        narrow->widen(nni_at(to, at), nni_at(from, at), end - at, add);
        return;
    }
    if (NN_REAL == NN_F32 && from->type == NN_REAL && to->type == NN_BF16) {
        narrow->narrow(nni_at(to, at), nni_at(from, at), end - at, add);
        return;
    }
    for (int64_t e = at; e < end; e++) {
        double x = nni_get(from->at, from->type, e);

        nni_put(to->at, to->type, e, add ? x + nni_get(to->at, to->type, e) : x);
    }
}

static void cast_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    convert(s, &s->in[0], &s->out[0], tile, 0);
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    convert(s, &s->dout[0], &s->din[0], tile, s->accumulate & 1u);
}

static int forward(nn_step *s)
{
    nn_phase(s, (nn_shape_count(s->out[0].shape) + TILE - 1) / TILE, cast_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    if (!nni_floating(s->din[0].type) || !nni_floating(s->dout[0].type))
        return NN_EUNSUPPORTED;
    nn_phase(s, (nn_shape_count(s->din[0].shape) + TILE - 1) / TILE, back_tile);
    return NN_OK;
}

static int infer(nn_node *node)
{
    const struct nni_cast *a = node->attrs;
    nn_dtype from = nn_type_get(node->in[0]);

    if (!nni_floating(a->type))
        return nn_infer_fail(node, "cannot cast to %s: only floating types", nn_dtype_name(a->type));
    if (!nni_floating(from) && from != NN_U8)
        return nn_infer_fail(node, "cannot cast from %s: only floating types and U8", nn_dtype_name(from));
    return nn_infer_out(node, 0, a->type, nn_shape_get(node->in[0]));
}

const nn_op nn_op_cast = {
    .abi = NN_OP_ABI,
    .name = "cast",
    .inputs = 1,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_cast),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_cast_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_cast_backward) },
};

const void *nni_cast_attrs(nn_dtype type)
{
    static const struct nni_cast to[NN_DTYPES] = { { NN_F32 }, { NN_F64 }, { NN_BF16 }, { NN_F16 } };

    return &to[type];
}

nn_tensor *nn_cast(nn_graph *g, nn_tensor *x, nn_dtype type)
{
    struct nni_cast a = { .type = type };

    if (x && nn_type_get(x) == type)
        return x;
    return nn_apply(g, &nn_op_cast, &a, &x, 1);
}
