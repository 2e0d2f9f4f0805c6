/* SPDX-License-Identifier: MIT
 *
 * See rows.h.
 */
#include "ops/rows.h"

#include "ops/broadcast.h"

#include <math.h>

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_row_op *op = s->attrs;
    int64_t n = nni_channels(s->in[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->in[0].shape));
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    for (int64_t r = p.begin; r < p.begin + p.count; r++)
        op->forward(s, y + r * n, x + r * n, n);
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_row_op *op = s->attrs;
    int64_t n = nni_channels(s->din[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], nni_rows(s->din[0].shape));
    const nn_real *y = s->out[0].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;

    (void)lane;
    for (int64_t r = p.begin; r < p.begin + p.count; r++)
        op->backward(s, dx + r * n, y + r * n, dy + r * n, n, s->accumulate & NN_IN(0));
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

static void map(const nn_step *s, nn_real *to, const nn_real *y, int64_t n, struct nni_formula f)
{
    const struct nni_row row = { .at = { y }, .step = { 1 } };

    nni_cpu_of(s)->function->value(&f, to, &row, n);
}

void nni_rows_exp(const nn_step *s, nn_real *to, const nn_real *y, int64_t n)
{
    map(s, to, y, n, (struct nni_formula){ .f = NNI_EXP });
}

void nni_rows_linear(const nn_step *s, nn_real *to, const nn_real *y, int64_t n, double factor, double shift)
{
    map(s, to, y, n, (struct nni_formula){ .f = NNI_LINEAR, .k = { (nn_real)factor, (nn_real)shift } });
}

double nni_rows_shift(const nn_step *s, nn_real *y, const nn_real *x, int64_t n)
{
    enum { BLOCK = 512 };
    nn_real most = nni_cpu_of(s)->function->largest_of(-(nn_real)INFINITY, x, n), e[BLOCK];
    double sum = 0;

    nni_rows_linear(s, y, x, n, 1, -(double)most);
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t count = n - i < BLOCK ? n - i : BLOCK;

        nni_rows_exp(s, e, y + i, count);
        sum += nni_sum(e, count);
    }
    return sum;
}
