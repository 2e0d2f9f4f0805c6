/* SPDX-License-Identifier: MIT
 *
 * See loss.h. With l(x, t, w) the loss of one element and D the divisor of the reduction
 *
 *     y = sum l/D        dx = dy/D * dl/dx        dt = dy/D * dl/dt
 *
 * The target has the shape of the prediction; the weight is broadcast, is 1 where it is absent, and is a
 * constant. Sums are taken in double, tile by tile, and merged in the order of tiles.
 */
#include "ops/loss.h"

#include "ops/broadcast.h"

enum { X, TARGET, WEIGHT, BLOCK = 1024 };

static const struct nni_loss *loss_of(const nn_step *s) { return s->attrs; }

static double divisor_of(const nn_step *s) { return nni_loss_divisor(loss_of(s), s->in[X].shape); }

static void geometry_of(const nn_step *s, struct nni_broadcast *g)
{
    nn_shape shape[NNI_OPERANDS] = { s->in[X].shape, s->in[TARGET].shape, s->in[WEIGHT].shape };

    nni_broadcast_all(shape, nn_has(&s->in[WEIGHT]) ? 3 : 2, g);
}

struct map {
    const nn_step *s;
    const struct nni_broadcast *g;
    double sum;
};

static struct nni_row row_at(const struct map *m, const int64_t at[NNI_OPERANDS])
{
    static const nn_real one = 1;
    struct nni_row row = { .at = { NULL, NULL, &one }, .step = { 1, 1, 0 } };

    for (int i = X; i <= WEIGHT; i++) {
        if (!nn_has(&m->s->in[i]))
            continue;
        row.at[i] = (const nn_real *)m->s->in[i].at + at[i];
        row.step[i] = m->g->step[i][m->g->rank - 1] != 0;
    }
    return row;
}

static void sum_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    struct map *m = context;
    struct nni_row row = row_at(m, at);
    nn_real loss[BLOCK];

    (void)y;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t count = n - i < BLOCK ? n - i : BLOCK;

        nni_cpu_of(m->s)->function->value(&loss_of(m->s)->formula, loss, &row, count);
        m->sum += nni_sum(loss, count);
        for (int o = X; o <= WEIGHT; o++)
            row.at[o] += count * row.step[o];
    }
}

static void sum_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;
    struct map m = { s, &g, 0 };

    (void)lane;
    geometry_of(s, &g);
    nni_broadcast_rows(&g, tile, sum_row, &m);
    ((double *)s->scratch)[tile] = m.sum;
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    const double *part = s->scratch;
    double sum = 0;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < s->choice[0]; i++)
        sum += part[i];
    *(nn_real *)s->out[0].at = (nn_real)(sum / divisor_of(s));
}

static void each_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct map *m = context;
    struct nni_row row = row_at(m, at);

    nni_cpu_of(m->s)->function->value(&loss_of(m->s)->formula, (nn_real *)m->s->out[0].at + y, &row, n);
}

static void each_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;
    struct map m = { s, &g, 0 };

    (void)lane;
    geometry_of(s, &g);
    nni_broadcast_rows(&g, tile, each_row, &m);
}

int nni_loss_forward(nn_step *s)
{
    struct nni_broadcast g;

    geometry_of(s, &g);
    s->flops = 4 * (double)nn_shape_count(s->in[X].shape);
    s->choice[0] = nni_broadcast_tiles(&g);
    if (loss_of(s)->reduction == NN_REDUCE_NONE) {
        nn_phase(s, s->choice[0], each_tile);
        return NN_OK;
    }
    s->scratch_bytes = (size_t)s->choice[0] * sizeof(double);
    nn_phase(s, s->choice[0], sum_tile);
    nn_phase(s, 1, merge_tile);
    return NN_OK;
}

static void back_row(void *context, int64_t y, const int64_t at[NNI_OPERANDS], int64_t n)
{
    const struct map *m = context;
    const nn_step *s = m->s;
    struct nni_row row = row_at(m, at);
    bool each = loss_of(s)->reduction == NN_REDUCE_NONE;
    struct nni_row_grad g = { .dy = (const nn_real *)s->dout[0].at + (each ? y : 0),
                              .dy_step = each,
                              .factor = (nn_real)(1 / divisor_of(s)) };

    for (int i = X; i <= TARGET; i++) {
        g.d[i] = nn_has(&s->din[i]) ? (nn_real *)s->din[i].at + y : NULL;
        g.add[i] = s->accumulate & NN_IN(i);
    }
    nni_cpu_of(s)->function->grad(&loss_of(s)->formula, &g, &row, n);
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;
    struct map m = { s, &g, 0 };

    (void)lane;
    geometry_of(s, &g);
    nni_broadcast_rows(&g, tile, back_row, &m);
}

int nni_loss_backward(nn_step *s)
{
    struct nni_broadcast g;

    geometry_of(s, &g);
    nn_phase(s, nni_broadcast_tiles(&g), back_tile);
    s->flops = 4 * (double)nn_shape_count(s->in[X].shape);
    return NN_OK;
}

int nni_loss_infer(nn_node *n)
{
    const struct nni_loss *loss = n->attrs;
    nn_shape x = nn_shape_get(n->in[X]), t = nn_shape_get(n->in[TARGET]), w = nn_shape_get(n->in[WEIGHT]), y;
    nni_text a, b;
    int rc = nni_infer_real(n, X, loss->reduction == NN_REDUCE_BATCH_MEAN);

    if (!rc)
        rc = nni_infer_real(n, TARGET, 0);
    if (!rc && !nn_shape_equal(x, t))
        rc = nn_infer_fail(n, "prediction %s and target %s must have one shape", nni_shape_text(x, &a),
                           nni_shape_text(t, &b));
    if (!rc && n->in[WEIGHT])
        rc = nni_infer_real(n, WEIGHT, 0);
    if (!rc && n->in[WEIGHT] && !(nni_broadcast_shape(x, w, &y) && nn_shape_equal(x, y)))
        rc = nn_infer_fail(n, "weight %s does not broadcast to %s", nni_shape_text(w, &a),
                           nni_shape_text(x, &b));
    if (!rc && (loss->reduction < NN_REDUCE_MEAN || loss->reduction > NN_REDUCE_NONE))
        rc = nn_infer_fail(n, "there is no reduction %d", (int)loss->reduction);
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, loss->reduction == NN_REDUCE_NONE ? x : NN_SHAPE0());
}
