/* SPDX-License-Identifier: MIT
 *
 * The largest element of each window and channel,
 *
 *     y[n,p,q,c] = max over i,j < k of x[n, p*stride-pad+i, q*stride-pad+j, c], where that exists
 *
 * Derivative: dy goes to the first of the largest elements, as in PyTorch. Forward keeps where it
 * was, so backward reads neither x nor y; each input pixel sums over the windows that cover it.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/pool.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_pooling p = nni_pooling_of(s->attrs);
    const int64_t *x = s->in[0].shape.dim, *y = s->out[0].shape.dim;
    struct nni_part rows = nni_part_of(tile, s->choice[0], y[0] * y[1]);
    struct nni_window w = { .row = x[2] * x[3], .channels = x[3] };
    int64_t at = rows.begin * y[2] * y[3];

    (void)lane;
    w.tap_row = (nni_tap)p.k;
    w.tap_col = 1;
    for (int64_t r = rows.begin; r < rows.begin + rows.count; r++) {
        int64_t top = nni_window_begin(&p, r % y[1]), skipped = top - (r % y[1] * p.stride - p.pad);
        const nn_real *from = (const nn_real *)s->in[0].at + (r / y[1] * x[1] + top) * w.row;

        w.rows = nni_window_end(&p, x[1], r % y[1]) - top;
        for (int64_t q = 0; q < y[2]; q++, at += x[3]) {
            int64_t left = nni_window_begin(&p, q);

            w.cols = nni_window_end(&p, x[2], q) - left;
            w.first = (nni_tap)(skipped * p.k + left - (q * p.stride - p.pad));
            nni_cpu_of(s)->pool->max((nn_real *)s->out[0].at + at, (nni_tap *)s->save[0].at + at,
                                     from + left * x[3], &w);
        }
    }
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_pooling p = nni_pooling_of(s->attrs);
    const int64_t *x = s->din[0].shape.dim, *y = s->dout[0].shape.dim;
    struct nni_part rows = nni_part_of(tile, s->choice[0], x[0] * x[1]);
    struct nni_window w = { .row = y[2] * y[3], .channels = x[3] };
    nn_real *dx = (nn_real *)s->din[0].at + rows.begin * x[2] * x[3];

    (void)lane;
    w.tap_row = (nni_tap)(-p.stride * p.k);
    w.tap_col = (nni_tap)-p.stride;
    for (int64_t r = rows.begin; r < rows.begin + rows.count; r++) {
        int64_t i = r % x[1];
        struct nni_span v = nni_windows_over(&p, i, y[1]);

        w.rows = v.end - v.begin;
        for (int64_t j = 0; j < x[2]; j++, dx += x[3]) {
            struct nni_span h = nni_windows_over(&p, j, y[2]);
            int64_t at = ((r / x[1] * y[1] + v.begin) * y[2] + h.begin) * y[3];

            w.cols = h.end - h.begin;
            w.first = (nni_tap)((i + p.pad - v.begin * p.stride) * p.k + j + p.pad - h.begin * p.stride);
            nni_cpu_of(s)->pool->max_grad(dx, (const nn_real *)s->dout[0].at + at,
                                          (const nni_tap *)s->save[0].at + at, &w, s->accumulate & NN_IN(0));
        }
    }
}

static int prepare(nn_step *s, nn_shape to, double flops, nn_tile *run)
{
    s->flops = flops;
    nn_phase(s, nni_tiles(to.dim[0] * to.dim[1], 1 + 8192 / (to.dim[2] * to.dim[3] + 1), 64, &s->choice[0]),
             run);
    return NN_OK;
}

static double comparisons(const nn_step *s, nn_shape y)
{
    struct nni_pooling p = nni_pooling_of(s->attrs);

    return (double)(p.k * p.k) * (double)nn_shape_count(y);
}

static int forward(nn_step *s)
{
    return prepare(s, s->out[0].shape, comparisons(s, s->out[0].shape), forward_tile);
}

static int backward(nn_step *s)
{
    return prepare(s, s->din[0].shape, comparisons(s, s->dout[0].shape), backward_tile);
}

static int infer(nn_node *n)
{
    const nn_pool_opts *o = n->attrs;
    nn_shape y;
    int rc = nni_pooling_infer(n, &y);

    if (!rc && o->exclude_pad)
        rc = nn_infer_fail(n, "exclude_pad is for averages: padding never is a maximum");
    if (!rc)
        rc = nn_infer_save(n, 0, NNI_TAP, y);
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, y);
}

const nn_op nn_op_max_pool2d = {
    .abi = NN_OP_ABI,
    .name = "max_pool2d",
    .inputs = 1,
    .attrs_bytes = sizeof(nn_pool_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_max_pool2d_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_max_pool2d_backward) },
};

nn_tensor *nn_max_pool2d(nn_graph *g, nn_tensor *x, nn_pool_opts opts)
{
    return nn_apply(g, &nn_op_max_pool2d, &opts, &x, 1);
}
