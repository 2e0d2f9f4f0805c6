/* SPDX-License-Identifier: MIT
 *
 * The UPDATE segment: one walk over the segment table. First the gradient's norm, which also tells
 * whether every gradient is finite; then, unless it is not, the optimizer and the moving average,
 * tile by tile. Tiles are cut from the shapes and the norm is summed in their order, so the result
 * does not depend on the number of threads.
 */
#include "core/core.h"

#include <math.h>
#include <string.h>

enum { TILE = 1 << 16 };

int nni_update_prepare(nn_plan *p, nn_message *why)
{
    int64_t n = 0, first = 0;

    for (int m = 0; m < p->models; m++) {
        for (int64_t i = 0; i < p->model[m]->count; i++)
            if (p->wanted[first + i])
                n += (p->model[m]->segment[i].count + TILE - 1) / TILE;
        first += p->model[m]->count;
    }
    p->tile = nni_alloc_array((size_t)n + 1, sizeof *p->tile);
    p->partial = nni_alloc_array((size_t)n + 1, sizeof *p->partial);
    if (!p->tile || !p->partial)
        return nni_fail(why, NN_ENOMEM, "no memory for the update's table");
    first = 0;
    for (int m = 0; m < p->models; m++) {
        for (int64_t i = 0; i < p->model[m]->count; i++) {
            int64_t count = p->model[m]->segment[i].count;

            for (int64_t at = 0; p->wanted[first + i] && at < count; at += TILE)
                p->tile[p->tiles++] = (struct nni_update_tile){
                    .model = m, .segment = i, .first = at, .count = count - at < TILE ? count - at : TILE
                };
        }
        first += p->model[m]->count;
    }
    return NN_OK;
}

static nn_real *at(const nn_plan *p, const struct nni_update_tile *t, nn_base base)
{
    const nn_model *m = p->model[t->model];

    if (!m->buffer[base])
        return NULL;
    return (nn_real *)(void *)((char *)m->buffer[base] + m->segment[t->segment].offset) + t->first;
}

/* Sum of squares; eight sums so that the compiler can use vectors without reordering anything. */
static void norm_tile(void *context, int64_t tile, int lane)
{
    nn_plan *p = context;
    const nn_real *g = at(p, &p->tile[tile], NN_BASE_GRAD);
    int64_t n = p->tile[tile].count, i = 0;
    double sum[8] = { 0 };

    (void)lane;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += (double)g[i + k] * (double)g[i + k];
    for (; i < n; i++)
        sum[0] += (double)g[i] * (double)g[i];
    p->partial[tile] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static void average(nn_real *ema, const nn_real *value, int64_t count, double decay)
{
    nn_real d = (nn_real)decay, e = (nn_real)(1 - decay);

    for (int64_t i = 0; i < count; i++)
        ema[i] = d * ema[i] + e * value[i];
}

static void update_tile(void *context, int64_t tile, int lane)
{
    nn_plan *p = context;
    const struct nni_update_tile *t = &p->tile[tile];
    const nn_segment *s = &p->model[t->model]->segment[t->segment];
    nn_update u = { .param = at(p, t, NN_BASE_PARAM),
                    .grad = at(p, t, NN_BASE_GRAD),
                    .m1 = p->optim.moments > 0 ? at(p, t, NN_BASE_MOMENT1) : NULL,
                    .m2 = p->optim.moments > 1 ? at(p, t, NN_BASE_MOMENT2) : NULL,
                    .count = t->count,
                    .grad_factor = p->now.grad_factor,
                    .learning_rate = p->now.learning_rate * s->lr_scale,
                    .decay = p->optim.decay * s->decay_scale,
                    .t = p->now.applied + 1 };

    (void)lane;
    p->optim.update(&p->optim, &u);
}

/* Averages of everything: trained or not, weights and running statistics. A tile is one segment. */
static void average_tile(void *context, int64_t tile, int lane)
{
    nn_plan *p = context;
    const nn_segment *s;
    int m = 0;
    char *ema, *value;

    (void)lane;
    while (tile >= p->model[m]->count)
        tile -= p->model[m++]->count;
    s = &p->model[m]->segment[tile];
    ema = (char *)p->model[m]->buffer[s->base == NN_BASE_STATE ? NN_BASE_STATE_EMA : NN_BASE_EMA] + s->offset;
    value = (char *)p->model[m]->buffer[s->base] + s->offset;
    if (s->type == NN_REAL)
        average((nn_real *)(void *)ema, (const nn_real *)(const void *)value, s->count, p->now.ema_decay);
    else
        memcpy(ema, value, (size_t)s->count * nn_dtype_size(s->type));
}

/* Averages begin with the values at the first update: weights may have been loaded after compiling. */
static void start_averages(nn_plan *p)
{
    for (int m = 0; p->ema && m < p->models; m++) {
        nn_model *model = p->model[m];

        memcpy(model->buffer[NN_BASE_EMA], model->buffer[NN_BASE_PARAM], model->bytes[0]);
        memcpy(model->buffer[NN_BASE_STATE_EMA], model->buffer[NN_BASE_STATE], model->bytes[1]);
    }
}

static void average_all(nn_plan *p)
{
    int64_t segments = 0;

    for (int m = 0; m < p->models; m++)
        segments += p->model[m]->count;
    if (p->ema)
        nni_pool_run(p->device->pool, segments, average_tile, p);
}

int nni_update_run(nn_plan *p)
{
    double sum = 0;

    nni_pool_run(p->device->pool, p->tiles, norm_tile, p);
    for (int64_t i = 0; i < p->tiles; i++)
        sum += p->partial[i];
    p->now.grad_norm = sqrt(sum);
    p->now.skip = !isfinite(sum);
    p->now.grad_factor = 1;
    if (p->clip_norm > 0 && p->now.grad_norm > p->clip_norm)
        p->now.grad_factor = p->clip_norm / (p->now.grad_norm + 1e-6);
    if (p->now.skip) {
        p->now.skipped++;
        nni_log(p->device, NN_LOG_WARN, "update %lld skipped: a gradient is not finite",
                (long long)p->now.step);
    } else {
        if (p->now.applied == 0)
            start_averages(p);
        nni_pool_run(p->device->pool, p->tiles, update_tile, p);
        p->now.applied++;
        average_all(p);
    }
    p->now.step++;
    return NN_OK;
}
