/* SPDX-License-Identifier: MIT
 *
 * Random masks: an element is 0 with probability p, else 1/(1-p), so that its mean is 1. Dropout is
 * a product with a mask of the tensor's shape, stochastic depth one with a single value per sample.
 *
 * The number behind element e of row r is a pure function of seed, stream key, step, the *global*
 * index of the sample and e. So a mask does not depend on threads or on how a batch is cut up, it is
 * the same after a resume, and it is cheaper to draw again before backward than to keep.
 *
 * Sources: Srivastava et al., "Dropout", JMLR 2014; Huang et al., "Deep Networks with Stochastic
 * Depth", ECCV 2016 (row mode, scaled at training time, as in torchvision).
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <nn/ops.h>

/* Elements of a tile within a row; a multiple of 4, the words of one draw. */
enum { PART = 4096 };

/* choice[0]: tiles of a row; choice[1]: rows of a tile (more than 1 only when a row is one tile). */
static void mask_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_keep_mask *a = s->attrs;
    int64_t rows = s->out[0].shape.dim[0], width = nn_shape_count(s->out[0].shape) / rows;
    int64_t row = tile / s->choice[0] * s->choice[1], at = tile % s->choice[0] * PART;
    int64_t last = row + s->choice[1] < rows ? row + s->choice[1] : rows,
            end = at + PART < width ? at + PART : width;
    nni_stream stream = nni_stream_of(s->now->seed, s->key);
    nn_real kept = (nn_real)(1 / (1 - a->p)), *y = s->out[0].at;

    (void)lane;
    for (int64_t r = row; r < last; r++)
        for (int64_t e = at; e < end; e += 4) {
            uint32_t word[4];

            nni_stream_at(&stream, (uint64_t)(s->now->sample + r), (uint32_t)s->now->step, (uint32_t)(e / 4),
                          word);
            for (int64_t k = 0; k < 4 && e + k < end; k++)
                y[r * width + e + k] = nni_uniform(word[k]) >= a->p ? kept : 0;
        }
}

static int forward(nn_step *s)
{
    int64_t count = nn_shape_count(s->out[0].shape), rows = s->out[0].shape.dim[0], width, blocks;

    if (count == 0)
        return NN_OK;
    width = count / rows;
    s->choice[0] = (width + PART - 1) / PART;
    blocks = nni_tiles(rows, 1 + PART / width, rows, &s->choice[1]);
    if (s->choice[0] > 1) {
        blocks = rows;
        s->choice[1] = 1;
    }
    nn_phase(s, blocks * s->choice[0], mask_tile);
    return NN_OK;
}

static int infer(nn_node *node)
{
    const struct nni_keep_mask *a = node->attrs;
    nni_text text;

    if (!(a->p >= 0 && a->p < 1))
        return nn_infer_fail(node, "the probability is %g; it must be in [0,1)", a->p);
    if (a->shape.rank < 1 || nn_shape_count(a->shape) < 0)
        return nn_infer_fail(node, "%s is no shape of a mask: its first dimension counts samples",
                             nni_shape_text(a->shape, &text));
    return nn_infer_out(node, 0, NN_REAL, a->shape);
}

const nn_op nn_op_keep_mask = {
    .abi = NN_OP_ABI,
    .name = "keep_mask",
    .flags = NN_OP_RANDOM | NN_OP_CHEAP | NN_OP_NO_GRAD,
    .attrs_bytes = sizeof(struct nni_keep_mask),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_keep_mask_forward) },
};

nn_tensor *nn_keep_mask(nn_graph *g, nn_shape shape, double p)
{
    struct nni_keep_mask a = { .shape = shape, .p = p };

    return nn_apply(g, &nn_op_keep_mask, &a, NULL, 0);
}

static nn_tensor *masked(nn_graph *g, nn_tensor *x, double p, const char *what, int whole_rows)
{
    nn_shape shape = nn_shape_get(x);

    if (!x)
        return nn_graph_fail(g, NN_EINVAL, "%s: there is no input", what);
    if (!(p >= 0 && p < 1))
        return nn_graph_fail(g, NN_EINVAL, "%s: the probability is %g; it must be in [0,1)", what, p);
    if (p == 0 || nn_mode_of(g) == NN_EVAL)
        return x;
    for (int i = 1; whole_rows && i < shape.rank; i++)
        shape.dim[i] = 1;
    return nn_mul(g, x, nn_keep_mask(g, shape, p));
}

nn_tensor *nn_dropout(nn_graph *g, nn_tensor *x, double p) { return masked(g, x, p, "dropout", 0); }

nn_tensor *nn_drop_path(nn_graph *g, nn_tensor *x, double p) { return masked(g, x, p, "drop_path", 1); }
