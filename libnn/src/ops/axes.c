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

int64_t nni_axes_count(nn_shape x, uint32_t axes)
{
    int64_t results = nn_shape_count(nni_axes_kept(x, axes));

    return results > 0 ? nn_shape_count(x) / results : 0;
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
    return nn_infer_out(n, 0, NN_REAL, y);
}

void nni_axes_reduction(const nn_step *s, struct nni_reduction *r)
{
    const struct nni_axes *a = s->attrs;
    nn_shape x = s->in[0].shape, kept = nni_axes_kept(x, a->opts.axes);

    nni_reduction_all((nn_shape[]){ x, kept, kept }, 3, 1, r);
}

struct map {
    const nn_step *s;
    const struct nni_formula *f;
    const nn_real *result, *dy;
    nn_real factor;
    int step; /* of result and dy along a row */
};

static struct nni_row row_at(const struct map *m, int64_t y, const int64_t at[NNI_OPERANDS])
{
    const nn_real *x = nn_has(&m->s->in[0]) ? m->s->in[0].at : NULL;

    return (struct nni_row){ .at = { x ? x + y : NULL, m->result ? m->result + at[1] : NULL },
                             .step = { 1, m->step } };
}

static const nn_real *fill(void *context, nn_real *to, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct map *m = context;
    struct nni_row row = row_at(m, y, at);

    if (!m->f)
        return row.at[0];
    nni_cpu_of(m->s)->function->value(m->f, to, &row, n);
    return to;
}

void nni_axes_gather(const nn_step *s, int64_t tile, const struct nni_formula *f, const nn_real *result,
                     bool largest)
{
    struct nni_reduction r;
    struct map m = { .s = s, .f = f, .result = result };

    nni_axes_reduction(s, &r);
    m.step = r.cols_kept;
    nni_reduction_fill(s, &r, tile, s->scratch, largest, fill, &m);
}

void nni_axes_sums(const nn_step *s, int64_t tile, nn_real *to, double divisor)
{
    struct nni_reduction r;
    struct nni_part p;

    nni_axes_reduction(s, &r);
    p = nni_reduction_merged(&r, tile);
    nni_reduction_merge(s, &r, tile, s->scratch, to, NN_REAL, false);
    for (int64_t i = p.begin; i < p.begin + p.count; i++)
        to[i] = (nn_real)((double)to[i] / divisor);
}

void nni_axes_largest(const nn_step *s, int64_t tile, nn_real *to)
{
    struct nni_reduction r;

    nni_axes_reduction(s, &r);
    nni_reduction_merge_largest(&r, tile, s->scratch, to);
}

static void back_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct map *m = context;
    struct nni_row row = row_at(m, y, at);
    struct nni_row_grad g = { .dy = m->dy + at[1],
                              .dy_step = m->step,
                              .factor = m->factor,
                              .d = { (nn_real *)m->s->din[0].at + y },
                              .add = { m->s->accumulate & NN_IN(0) } };

    nni_cpu_of(m->s)->function->grad(m->f, &g, &row, n);
}

int64_t nni_axes_back_tiles(const nn_step *s)
{
    struct nni_reduction r;

    nni_axes_reduction(s, &r);
    return nni_broadcast_tiles(&r.g);
}

void nni_axes_back(const nn_step *s, int64_t tile, const struct nni_formula *f, const nn_real *result,
                   const nn_real *dy, double factor)
{
    struct nni_reduction r;
    struct map m = { .s = s, .f = f, .result = result, .dy = dy, .factor = (nn_real)factor };

    nni_axes_reduction(s, &r);
    m.step = r.cols_kept;
    nni_broadcast_rows(&r.g, tile, back_row, &m);
}
