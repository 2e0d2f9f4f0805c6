/* SPDX-License-Identifier: MIT
 *
 * See axes.h.
 */
#include "ops/axes.h"

/* Bits of `axes` as dimensions: bit i is dimension i, bit 32-i the i-th from the end. */
static bool is_reduced(uint32_t axes, int rank, int i)
{
    return axes == 0 || (axes & (NN_AXIS(i) | NN_AXIS(i - rank))) != 0;
}

nn_shape nni_axes_kept(nn_shape x, uint32_t axes)
{
    for (int i = 0; i < x.rank; i++)
        if (is_reduced(axes, x.rank, i))
            x.dim[i] = 1;
    return x;
}

int nni_axes_infer(nn_node *n)
{
    const struct nni_axes *a = n->attrs;
    nn_shape x = nn_shape_get(n->in[0]), y = { { 0 }, 0 };
    uint32_t known = 0;
    nni_text text;
    int rc = nni_infer_real(n, 0, 0);

    if (rc)
        return rc;
    for (int i = 0; i < x.rank; i++) {
        known |= NN_AXIS(i) | NN_AXIS(i - x.rank);
        if (!is_reduced(a->opts.axes, x.rank, i))
            y.dim[y.rank++] = x.dim[i];
        else if (a->opts.keep)
            y.dim[y.rank++] = 1;
    }
    if (a->opts.axes & ~known)
        return nn_infer_fail(n, "axes 0x%x are not all dimensions of %s", (unsigned)a->opts.axes,
                             nni_shape_text(x, &text));
    if (nn_shape_count(x) == 0)
        return nn_infer_fail(n, "%s has no elements", nni_shape_text(x, &text));
    return nn_infer_out(n, 0, NN_REAL, y);
}

void nni_axes_reduction(const nn_step *s, struct nni_reduction *r)
{
    const struct nni_axes *a = s->attrs;
    nn_shape x = s->in[0].shape, kept = nni_axes_kept(x, a->opts.axes);

    nni_reduction_all((nn_shape[]){ x, kept, kept }, 3, 1, r);
}

struct back {
    const nn_step *s;
    const struct nni_formula *f;
    const nn_real *result, *dy;
    nn_real factor;
    int step;
};

static void back_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct back *b = context;
    struct nni_row row = { .at = { (const nn_real *)b->s->in[0].at + y, b->result + at[1] },
                           .step = { 1, b->step } };
    struct nni_row_grad g = { .dy = b->dy + at[1],
                              .dy_step = b->step,
                              .factor = b->factor,
                              .d = { (nn_real *)b->s->din[0].at + y },
                              .add = { b->s->accumulate & NN_IN(0) } };

    nni_cpu_of(b->s)->function->grad(b->f, &g, &row, n);
}

int64_t nni_axes_back_tiles(const nn_step *s)
{
    struct nni_reduction r;

    nni_axes_reduction(s, &r);
    return nni_broadcast_tiles(&r.g);
}

void nni_axes_back_tile(const nn_step *s, int64_t tile, const struct nni_formula *f, const nn_real *result,
                        const nn_real *dy, nn_real factor)
{
    struct nni_reduction r;
    struct back b = { s, f, result, dy, factor, 0 };

    nni_axes_reduction(s, &r);
    b.step = r.g.step[1][r.g.rank - 1] != 0;
    nni_broadcast_rows(&r.g, tile, back_row, &b);
}
