/* SPDX-License-Identifier: MIT
 *
 * Output sizes of pooling, as PyTorch defines them: floor, or with ceil_mode one more window where
 * pixels are left over, as long as it begins inside the image or the padding before it.
 */
#include "ops/pool.h"

#include "cpu/cpu.h"

static int64_t outputs(const struct nni_pooling *p, int64_t in, int ceil_mode)
{
    int64_t room = in + 2 * p->pad - p->k, n;

    if (room < 0)
        return 0;
    n = (room + (ceil_mode ? p->stride - 1 : 0)) / p->stride + 1;
    return ceil_mode && (n - 1) * p->stride >= in + p->pad ? n - 1 : n;
}

int nni_pooling_infer(nn_node *node, nn_shape *out)
{
    enum { MOST = 1 << 15 };
    const nn_pool_opts *o = node->attrs;
    struct nni_pooling p = nni_pooling_of(o);
    nn_shape x = nn_shape_get(node->in[0]);
    nni_text text;
    int rc = nni_infer_real(node, 0, 1);

    if (rc)
        return rc;
    if (x.rank != 4)
        return nn_infer_fail(node, "the input must be [N,H,W,C], not %s", nni_shape_text(x, &text));
    if (p.k < 1 || p.k > MOST || p.stride < 1 || p.stride > MOST || p.pad < 0 || p.pad > p.k / 2)
        return nn_infer_fail(node,
                             "window %lld, stride %lld and padding %lld: window and stride must be in "
                             "[1,%d] and the padding at most half the window",
                             (long long)p.k, (long long)p.stride, (long long)p.pad, MOST);
    *out = NN_SHAPE4(x.dim[0], outputs(&p, x.dim[1], o->ceil_mode), outputs(&p, x.dim[2], o->ceil_mode),
                     x.dim[3]);
    if (out->dim[1] < 1 || out->dim[2] < 1)
        return nn_infer_fail(node, "a window of %lld is larger than the padded input %s", (long long)p.k,
                             nni_shape_text(x, &text));
    return NN_OK;
}
