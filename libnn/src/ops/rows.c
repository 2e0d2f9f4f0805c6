/* SPDX-License-Identifier: MIT
 *
 * See rows.h.
 */
#include "ops/rows.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_row_op *op = s->attrs;
    int64_t n = nni_channels(s->in[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->in[0].shape));
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    for (int64_t at = p.begin * n; at < (p.begin + p.count) * n; at += n)
        nni_cpu_of(s)->row->softmax[op->logarithm](y + at, x + at, n);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_row_op *op = s->attrs;
    int64_t n = nni_channels(s->din[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->din[0].shape));
    const nn_real *y = s->out[0].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;

    (void)lane;
    for (int64_t at = p.begin * n; at < (p.begin + p.count) * n; at += n)
        nni_cpu_of(s)->row->softmax_grad[op->logarithm](dx + at, y + at, dy + at, n,
                                                        s->accumulate & NN_IN(0));
}

static int prepare(nn_step *s, nn_shape shape, nn_tile *run)
{
    s->flops = 4 * (double)nn_shape_count(shape);
    nn_phase(s, nni_tiles(nni_rows(shape), 1 + 2048 / (nni_channels(shape) + 1), 256, &s->choice[0]), run);
    return NN_OK;
}

int nni_rows_forward(nn_step *s) { return prepare(s, s->in[0].shape, forward_tile); }
int nni_rows_backward(nn_step *s) { return prepare(s, s->din[0].shape, backward_tile); }

int nni_rows_infer(nn_node *n)
{
    nn_shape shape = nn_shape_get(n->in[0]);
    nni_text text;

    if (nn_type_get(n->in[0]) != NN_REAL || shape.rank < 1 || shape.dim[shape.rank - 1] < 1)
        return nn_infer_fail(n, "the input is %s %s; %s with a last dimension wanted",
                             nni_shape_text(shape, &text), nn_dtype_name(nn_type_get(n->in[0])),
                             nn_dtype_name(NN_REAL));
    return nn_infer_out(n, 0, NN_REAL, shape);
}
