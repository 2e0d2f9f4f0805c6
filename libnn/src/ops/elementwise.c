/* SPDX-License-Identifier: MIT
 *
 * See elementwise.h. The gradient of an operand that has the result's shape is written where it belongs;
 * that of a repeated one is summed over the places where its elements were used, through scratch.
 *
 * din[0] may lie over dy. So sums are taken first, all gradients of the result's shape are made in one
 * pass, and sums leave scratch when nobody reads dy any more.
 */
#include "ops/elementwise.h"

#include "ops/broadcast.h"

static void geometry_of(const nn_step *s, struct nni_broadcast *g)
{
    nn_shape shape[NNI_OPERANDS] = { s->in[0].shape, s->in[1].shape, s->in[2].shape };

    nni_broadcast_all(shape, s->op->inputs, g);
}

struct map {
    const nn_step *s;
    const struct nni_broadcast *g;
    int sum_of; /* the operand whose gradient is summed */
};

/* Operands that backward does not read are absent. */
static struct nni_row row_at(const struct map *m, const int64_t at[NNI_OPERANDS])
{
    struct nni_row row = { .step = { 0 } };

    for (int i = 0; i < m->s->op->inputs; i++) {
        row.at[i] = nn_has(&m->s->in[i]) ? (const nn_real *)m->s->in[i].at + at[i] : NULL;
        row.step[i] = m->g->step[i][m->g->rank - 1] != 0;
    }
    return row;
}

static void value_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct map *m = context;
    struct nni_row row = row_at(m, at);

    nni_cpu_of(m->s)->function->value(m->s->attrs, (nn_real *)m->s->out[0].at + y, &row, n);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;
    struct map m = { s, &g, 0 };

    (void)lane;
    geometry_of(s, &g);
    nni_broadcast_rows(&g, tile, value_row, &m);
}

int nni_elementwise_forward(nn_step *s)
{
    struct nni_broadcast g;

    geometry_of(s, &g);
    nn_phase(s, nni_broadcast_tiles(&g), forward_tile);
    s->flops = (double)nn_shape_count(s->out[0].shape);
    return NN_OK;
}

/* ---- backward ---- */

static bool is_whole(const nn_step *s, int i)
{
    return nn_shape_count(s->in[i].shape) == nn_shape_count(s->dout[0].shape);
}

static void whole_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct map *m = context;
    const nn_step *s = m->s;
    struct nni_row row = row_at(m, at);
    struct nni_row_grad g = { .dy = (const nn_real *)s->dout[0].at + y, .dy_step = 1, .factor = 1 };

    for (int i = 0; i < s->op->inputs; i++) {
        if (nn_has(&s->din[i]) && is_whole(s, i))
            g.d[i] = (nn_real *)s->din[i].at + y;
        g.add[i] = s->accumulate & NN_IN(i);
    }
    nni_cpu_of(s)->function->grad(s->attrs, &g, &row, n);
}

static void whole_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;
    struct map m = { s, &g, 0 };

    (void)lane;
    geometry_of(s, &g);
    nni_broadcast_rows(&g, tile, whole_row, &m);
}

static const nn_real *summand_row(void *context, nn_real *to, int64_t y, const int64_t at[NNI_OPERANDS],
                                  int64_t n)
{
    const struct map *m = context;
    const nn_step *s = m->s;
    struct nni_row row = row_at(m, at);
    struct nni_row_grad g = { .dy = (const nn_real *)s->dout[0].at + y, .dy_step = 1, .factor = 1 };

    g.d[m->sum_of] = to;
    nni_cpu_of(s)->function->grad(s->attrs, &g, &row, n);
    return to;
}

/* Partial sums of operand i lie choice[i] bytes into scratch. */
static nn_real *partial(const nn_step *s, int i) { return (nn_real *)((char *)s->scratch + s->choice[i]); }

static void reduction_of(const nn_step *s, int i, struct nni_reduction *r)
{
    nn_shape shape[NNI_OPERANDS] = { s->in[0].shape, s->in[1].shape, s->in[2].shape };

    nni_reduction_all(shape, s->op->inputs, i, r);
}

static void sum(const nn_step *s, int i, int64_t tile)
{
    struct nni_reduction r;
    struct map m = { s, &r.g, i };

    reduction_of(s, i, &r);
    nni_reduction_fill(s, &r, tile, partial(s, i), false, summand_row, &m);
}

static void merge(const nn_step *s, int i, int64_t tile)
{
    struct nni_reduction r;

    reduction_of(s, i, &r);
    nni_reduction_merge(s, &r, tile, partial(s, i), s->din[i].at, s->din[i].type, s->accumulate & NN_IN(i));
}

/* Tile functions know their operand by being different functions. */
#define OF_OPERAND(i)                                                                                        \
    static void sum##i(const nn_step *s, int64_t tile, void *lane)                                           \
    {                                                                                                        \
        (void)lane;                                                                                          \
        sum(s, i, tile);                                                                                     \
    }                                                                                                        \
    static void merge##i(const nn_step *s, int64_t tile, void *lane)                                         \
    {                                                                                                        \
        (void)lane;                                                                                          \
        merge(s, i, tile);                                                                                   \
    }
OF_OPERAND(0)
OF_OPERAND(1)
OF_OPERAND(2)

int nni_elementwise_backward(nn_step *s)
{
    static nn_tile *const sums[NNI_OPERANDS] = { sum0, sum1, sum2 };
    static nn_tile *const merges[NNI_OPERANDS] = { merge0, merge1, merge2 };
    struct nni_reduction r[NNI_OPERANDS];
    struct nni_broadcast g;
    bool whole = false;

    for (int i = 0; i < s->op->inputs; i++) {
        if (!nn_has(&s->din[i]))
            continue;
        s->flops += 2 * (double)nn_shape_count(s->dout[0].shape);
        if (is_whole(s, i)) {
            whole = true;
            continue;
        }
        reduction_of(s, i, &r[i]);
        s->choice[i] = (int64_t)s->scratch_bytes;
        s->scratch_bytes += (r[i].bytes + 63) / 64 * 64;
        nn_phase(s, r[i].tiles, sums[i]);
    }
    geometry_of(s, &g);
    if (whole)
        nn_phase(s, nni_broadcast_tiles(&g), whole_tile);
    for (int i = 0; i < s->op->inputs; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i))
            nn_phase(s, r[i].merge_tiles, merges[i]);
    return NN_OK;
}

int nni_elementwise_infer(nn_node *n)
{
    nn_shape y = { { 0 }, 0 };
    nni_text a, b;

    for (int i = 0; i < n->op->inputs; i++) {
        nn_shape x = nn_shape_get(n->in[i]), before = y;
        int rc = nni_infer_real(n, i, 0);

        if (rc)
            return rc;
        if (!nni_broadcast_shape(before, x, &y))
            return nn_infer_fail(n, "shapes %s and %s do not broadcast", nni_shape_text(before, &a),
                                 nni_shape_text(x, &b));
    }
    return nn_infer_out(n, 0, NN_REAL, y);
}
