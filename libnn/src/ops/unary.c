/* SPDX-License-Identifier: MIT
 *
 * See unary.h: y = f(x), dx = dy*f'(x), one element after another.
 */
#include "ops/unary.h"

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    struct nni_row x = { .at = { (const nn_real *)s->in[0].at + p.begin }, .step = { 1 } };

    (void)lane;
    nni_cpu_of(s)->function->value(s->attrs, (nn_real *)s->out[0].at + p.begin, &x, p.count);
}

int nni_unary_forward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), forward_tile);
    s->flops = (double)n;
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_operand *of = nn_has(&s->out[0]) ? &s->out[0] : &s->in[0];
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->din[0].shape));
    struct nni_row v = { .at = { (const nn_real *)of->at + p.begin }, .step = { 1 } };
    struct nni_row_grad g = { .dy = (const nn_real *)s->dout[0].at + p.begin,
                              .dy_step = 1,
                              .factor = 1,
                              .d = { (nn_real *)s->din[0].at + p.begin },
                              .add = { s->accumulate & NN_IN(0) } };

    (void)lane;
    nni_cpu_of(s)->function->grad(s->attrs, &g, &v, p.count);
}

int nni_unary_backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->din[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    s->flops = 2 * (double)n;
    return NN_OK;
}

int nni_unary_infer(nn_node *n)
{
    int rc = nni_infer_real(n, 0, 0);

    return rc ? rc : nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}
