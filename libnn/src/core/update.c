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

/* Tiles of the segments that are trained, or of the others, into `to` unless it is NULL; how many. */
static int64_t cut(const nn_plan *p, bool trained, struct nni_update_tile *to)
{
    int64_t n = 0, first = 0;

    for (int m = 0; m < p->models; m++) {
        for (int64_t i = 0; i < p->model[m]->count; i++) {
            int64_t count = p->model[m]->segment[i].count;

            for (int64_t at = 0; (p->wanted[first + i] != 0) == trained && at < count; at += TILE, n++)
                if (to)
                    to[n] = (struct nni_update_tile){
                        .model = m, .segment = i, .first = at, .count = count - at < TILE ? count - at : TILE
                    };
        }
        first += p->model[m]->count;
    }
    return n;
}

/* What is only averaged comes last: weights that are not trained, and state. */
int nni_update_prepare(nn_plan *p, nn_message *why)
{
    p->tiles = cut(p, true, NULL);
    p->averaged_tiles = p->ema ? p->tiles + cut(p, false, NULL) : 0;
    p->tile = nni_alloc_array((size_t)(p->ema ? p->averaged_tiles : p->tiles) + 1, sizeof *p->tile);
    p->partial = nni_alloc_array((size_t)p->tiles + 1, sizeof *p->partial);
    if (!p->tile || !p->partial)
        return nni_fail(why, NN_ENOMEM, "no memory for the update's table");
    (void)cut(p, true, p->tile);
    if (p->ema)
        (void)cut(p, false, p->tile + p->tiles);
    return NN_OK;
}

static const nn_segment *segment_of(const nn_plan *p, const struct nni_update_tile *t)
{
    return &p->model[t->model]->segment[t->segment];
}

static void *at(const nn_plan *p, const struct nni_update_tile *t, nn_base base)
{
    const nn_segment *s = segment_of(p, t);

    return (char *)p->model[t->model]->buffer[base] + s->offset + (size_t)t->first * nn_dtype_size(s->type);
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
    const nn_segment *s = segment_of(p, t);
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

/* Averages of everything: trained or not, weights and running statistics. */
static void average_tile(void *context, int64_t tile, int lane)
{
    nn_plan *p = context;
    const struct nni_update_tile *t = &p->tile[tile];
    const nn_segment *s = segment_of(p, t);
    void *ema = at(p, t, s->base == NN_BASE_STATE ? NN_BASE_STATE_EMA : NN_BASE_EMA);

    (void)lane;
    if (s->type == NN_REAL)
        average(ema, at(p, t, s->base), t->count, p->now.ema_decay);
    else
        memcpy(ema, at(p, t, s->base), (size_t)t->count * nn_dtype_size(s->type));
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
        nni_pool_run(p->device->pool, p->averaged_tiles, average_tile, p);
    }
    p->now.step++;
    return NN_OK;
}
