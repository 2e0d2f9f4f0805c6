/* SPDX-License-Identifier: MIT
 *
 * Zeros around height and width: y[n,h,w,:] = x[n,h-top,w-left,:] inside, 0 outside. Convolutions
 * pad for themselves; this is for networks whose padding is not symmetric in the way theirs is.
 *
 * Derivative: dx[n,h,w,:] = dy[n,h+top,w+left,:].
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <nn/ops.h>

#include <string.h>

/* A tile is `choice[0]` rows of the output (forward) or of the input (backward). */
static void pad_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_pad *a = s->attrs;
    const nn_shape *x = &s->in[0].shape, *y = &s->out[0].shape;
    size_t size = nn_dtype_size(s->in[0].type), pixel = (size_t)x->dim[3] * size;
    size_t left = (size_t)a->left * pixel, inside = (size_t)x->dim[2] * pixel,
           right = (size_t)a->right * pixel;
    int64_t rows = y->dim[0] * y->dim[1],
            end = (tile + 1) * s->choice[0] < rows ? (tile + 1) * s->choice[0] : rows;

    (void)lane;
    for (int64_t r = tile * s->choice[0]; r < end; r++) {
        int64_t n = r / y->dim[1], h = r % y->dim[1] - a->top;
        char *to = (char *)s->out[0].at + (size_t)r * (left + inside + right);

        if (h < 0 || h >= x->dim[1]) {
            memset(to, 0, left + inside + right);
            continue;
        }
        memset(to, 0, left);
        memcpy(to + left, (const char *)s->in[0].at + (size_t)(n * x->dim[1] + h) * inside, inside);
        memset(to + left + inside, 0, right);
    }
}

static void crop_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_pad *a = s->attrs;
    const nn_shape *x = &s->din[0].shape, *y = &s->dout[0].shape;
    int64_t rows = x->dim[0] * x->dim[1],
            end = (tile + 1) * s->choice[0] < rows ? (tile + 1) * s->choice[0] : rows;
    int64_t inside = x->dim[2] * x->dim[3];
    const nn_real *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;
    int add = s->accumulate & 1u;

    (void)lane;
    for (int64_t r = tile * s->choice[0]; r < end; r++) {
        int64_t n = r / x->dim[1], h = r % x->dim[1];
        const nn_real *from = dy + ((n * y->dim[1] + h + a->top) * y->dim[2] + a->left) * x->dim[3];
        nn_real *to = dx + r * inside;

        for (int64_t e = 0; e < inside; e++)
            to[e] = add ? to[e] + from[e] : from[e];
    }
}

static int forward(nn_step *s)
{
    const nn_shape *y = &s->out[0].shape;
    int64_t row = y->dim[2] * y->dim[3];

    nn_phase(s, nni_tiles(y->dim[0] * y->dim[1], 1 + 8192 / (row + 1), 128, &s->choice[0]), pad_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    const nn_shape *x = &s->din[0].shape;
    int64_t row = x->dim[2] * x->dim[3];

    if (s->din[0].type != NN_REAL || s->dout[0].type != NN_REAL)
        return NN_EUNSUPPORTED;
    nn_phase(s, nni_tiles(x->dim[0] * x->dim[1], 1 + 8192 / (row + 1), 128, &s->choice[0]), crop_tile);
    return NN_OK;
}

static int infer(nn_node *node)
{
    const struct nni_pad *a = node->attrs;
    nn_shape x = nn_shape_get(node->in[0]);
    const int64_t most = INT64_C(1) << 31;
    nni_text text;

    if (x.rank != 4)
        return nn_infer_fail(node, "the input is %s; [N,H,W,C] wanted", nni_shape_text(x, &text));
    if (a->top < 0 || a->bottom < 0 || a->left < 0 || a->right < 0 || a->top > most || a->bottom > most ||
        a->left > most || a->right > most)
        return nn_infer_fail(node, "padding %lld, %lld, %lld, %lld is not in [0,2^31]", (long long)a->top,
                             (long long)a->bottom, (long long)a->left, (long long)a->right);
    x.dim[1] += a->top + a->bottom;
    x.dim[2] += a->left + a->right;
    return nn_infer_out(node, 0, nn_type_get(node->in[0]), x);
}

const nn_op nn_op_pad = {
    .abi = NN_OP_ABI,
    .name = "pad",
    .inputs = 1,
    .attrs_bytes = sizeof(struct nni_pad),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_pad_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_pad_backward) },
};

nn_tensor *nn_pad(nn_graph *g, nn_tensor *x, int64_t top, int64_t bottom, int64_t left, int64_t right)
{
    struct nni_pad a = { .top = top, .bottom = bottom, .left = left, .right = right };

    return nn_apply(g, &nn_op_pad, &a, &x, 1);
}
