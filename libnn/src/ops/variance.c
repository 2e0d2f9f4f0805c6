/* SPDX-License-Identifier: MIT
 *
 * Variance over the chosen axes, of n elements each:
 *
 *     y = sum (x - mean)^2 / (n - correction)        dx = dy * 2*(x - mean)/(n - correction)
 *
 * The mean is taken first and kept for backward, so that large numbers do not cancel; it depends on x, but
 * the distances from it add up to nothing. Correction 1 is the unbiased variance, 0 the biased one.
 */
#include "cuda/if_cuda.h"
#include "ops/axes.h"

static const struct nni_axes *axes_of(const nn_step *s) { return s->attrs; }

static double count_of(const nn_step *s)
{
    return (double)nni_axes_count(s->in[0].shape, axes_of(s)->opts.axes);
}

static double divisor_of(const nn_step *s) { return count_of(s) - (double)axes_of(s)->correction; }

/* The mean lies in save[0], in a graph without gradients too: behind the partial sums otherwise. */
static nn_real *mean_of(const nn_step *s)
{
    return nn_has(&s->save[0]) ? s->save[0].at : (void *)((char *)s->scratch + s->choice[0]);
}

static const struct nni_formula square = { .f = NNI_SQUARED_ERROR };

static void values_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_gather(s, tile, NULL, NULL, false);
}

static void mean_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_sums(s, tile, mean_of(s), count_of(s));
}

static void squares_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_gather(s, tile, &square, mean_of(s), false);
}

static void variance_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_sums(s, tile, s->out[0].at, divisor_of(s));
}

static int forward(nn_step *s)
{
    struct nni_reduction r;

    nni_axes_reduction(s, &r);
    s->choice[0] = (int64_t)r.bytes;
    s->scratch_bytes = r.bytes + (nn_has(&s->save[0]) ? 0 : (size_t)r.elements * sizeof(nn_real));
    s->flops = 4 * (double)nn_shape_count(s->in[0].shape);
    nn_phase(s, r.tiles, values_tile);
    nn_phase(s, r.merge_tiles, mean_tile);
    nn_phase(s, r.tiles, squares_tile);
    nn_phase(s, r.merge_tiles, variance_tile);
    return NN_OK;
}

/* 2*(x - mean) is the derivative of the squared error. */
static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_axes_back(s, tile, &square, s->save[0].at, s->dout[0].at, 1 / divisor_of(s));
}

static int backward(nn_step *s)
{
    nn_phase(s, nni_axes_back_tiles(s), back_tile);
    s->flops = 3 * (double)nn_shape_count(s->in[0].shape);
    return NN_OK;
}

static int infer(nn_node *n)
{
    const struct nni_axes *a = n->attrs;
    nn_shape x = nn_shape_get(n->in[0]);
    int rc = nni_axes_infer(n);

    if (!rc && (a->correction < 0 || a->correction >= nni_axes_count(x, a->opts.axes)))
        return nn_infer_fail(n, "a variance of %lld elements with correction %lld",
                             (long long)nni_axes_count(x, a->opts.axes), (long long)a->correction);
    return rc ? rc : nn_infer_save(n, 0, NN_REAL, nni_axes_kept(x, a->opts.axes));
}

const nn_op nn_op_variance = {
    .abi = NN_OP_ABI,
    .name = "variance",
    .inputs = 1,
    .reads = NN_IN(0),
    .attrs_bytes = sizeof(struct nni_axes),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_variance_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_variance_backward) },
};

nn_tensor *nn_variance(nn_graph *g, nn_tensor *x, int64_t correction, nn_reduce_opts opts)
{
    return nn_apply(g, &nn_op_variance, &(struct nni_axes){ .opts = opts, .correction = correction }, &x, 1);
}
