/* SPDX-License-Identifier: MIT
 *
 * y = the largest element over the chosen axes. Where m elements are equally large each has the m-th part of
 * the gradient, as in torch.amax:
 *
 *     dx = dy/m where x = y, else 0
 *
 * A NaN is larger than everything. min is this of -x.
 */
#include "cuda/if_cuda.h"
#include "ops/axes.h"

static nn_real sign_of(const nn_step *s) { return ((const struct nni_axes *)s->attrs)->sign; }

static void largest_tile(const nn_step *s, int64_t tile, void *lane)
{
    static const struct nni_formula minus = { .f = NNI_LINEAR, .k = { -1 } };

    (void)lane;
    nni_axes_gather(s, tile, sign_of(s) < 0 ? &minus : NULL, NULL, true);
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    nn_real *y = s->out[0].at;
    struct nni_reduction r;
    struct nni_part p;

    (void)lane;
    nni_axes_reduction(s, &r);
    p = nni_reduction_merged(&r, tile);
    nni_axes_largest(s, tile, y);
    for (int64_t i = p.begin; i < p.begin + p.count; i++)
        y[i] *= sign_of(s);
}

int nni_extreme_forward(nn_step *s)
{
    struct nni_reduction r;

    nni_axes_reduction(s, &r);
    s->scratch_bytes = r.bytes;
    s->flops = (double)nn_shape_count(s->in[0].shape);
    nn_phase(s, r.tiles, largest_tile);
    nn_phase(s, r.merge_tiles, merge_tile);
    return NN_OK;
}

/* ---- backward: counts the equal ones first. The shares dy/m lie behind the partial counts. ---- */

static const struct nni_formula peak = { .f = NNI_PEAK };

static nn_real *shares(const nn_step *s) { return (nn_real *)((char *)s->scratch + s->choice[0]); }

static void count_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_gather(s, tile, &peak, s->out[0].at, false);
}

static void share_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *dy = s->dout[0].at;
    nn_real *share = shares(s);
    struct nni_reduction r;
    struct nni_part p;

    (void)lane;
    nni_axes_reduction(s, &r);
    p = nni_reduction_merged(&r, tile);
    nni_axes_sums(s, tile, share, 1);
    for (int64_t i = p.begin; i < p.begin + p.count; i++)
        share[i] = dy[i] / share[i];
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_back(s, tile, &peak, s->out[0].at, shares(s), 1);
}

int nni_extreme_backward(nn_step *s)
{
    struct nni_reduction r;

    nni_axes_reduction(s, &r);
    s->choice[0] = (int64_t)r.bytes;
    s->scratch_bytes = r.bytes + (size_t)r.elements * sizeof(nn_real);
    s->flops = 2 * (double)nn_shape_count(s->in[0].shape);
    nn_phase(s, r.tiles, count_tile);
    nn_phase(s, r.merge_tiles, share_tile);
    nn_phase(s, nni_axes_back_tiles(s), back_tile);
    return NN_OK;
}

int nni_extreme_infer(nn_node *n)
{
    nni_text text;
    int rc = nni_axes_infer(n);

    if (!rc && nn_shape_count(nn_shape_get(n->in[0])) == 0)
        return nn_infer_fail(n, "%s has no elements", nni_shape_text(nn_shape_get(n->in[0]), &text));
    return rc;
}

const nn_op nn_op_max = {
    .abi = NN_OP_ABI,
    .name = "max",
    .inputs = 1,
    .reads = NN_IN(0) | NN_OUT(0),
    .attrs_bytes = sizeof(struct nni_axes),
    .infer = nni_extreme_infer,
    .forward = { nni_extreme_forward, NNI_IF_CUDA(nni_cuda_max_forward) },
    .backward = { nni_extreme_backward, NNI_IF_CUDA(nni_cuda_max_backward) },
};

nn_tensor *nn_max(nn_graph *g, nn_tensor *x, nn_reduce_opts opts)
{
    return nn_apply(g, &nn_op_max, &(struct nni_axes){ .opts = opts, .sign = 1 }, &x, 1);
}
