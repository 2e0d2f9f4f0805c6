/* SPDX-License-Identifier: MIT
 *
 * The CPU as the core's backend. Host and device are one memory, so mirrors are the memory itself and nothing
 * is ever behind; steps run phase by phase, each phase's tiles on all threads.
 */
#include "cpu/cpu.h"

#include <string.h>

static void *take(nn_device *d, size_t bytes)
{
    (void)d;
    return nni_alloc(bytes);
}

static void give(nn_device *d, void *at)
{
    (void)d;
    nni_free(at);
}

static void *mirror(nn_device *d, void *at, size_t bytes)
{
    (void)d;
    (void)bytes;
    return at;
}

static void unmirror(nn_device *d, void *at)
{
    (void)d;
    (void)at;
}

static int copy(nn_device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    memcpy(to, from, bytes);
    return NN_OK;
}

static int fill(nn_device *d, void *at, int byte, size_t bytes)
{
    (void)d;
    memset(at, byte, bytes);
    return NN_OK;
}

static int ready(nn_plan *p, nn_message *why)
{
    const size_t page = 4096;
    size_t bytes;

    /* Not cleared: the first to touch a page decides in which processor's memory it lies, and that should be
     * the thread whose lane it is. */
    p->lane_bytes = (p->lane_bytes + page - 1) & ~(page - 1);
    if (!__builtin_mul_overflow((size_t)nni_pool_threads(p->device->pool), p->lane_bytes, &bytes))
        p->lanes = nni_alloc(bytes);
    return p->lanes ? NN_OK : nni_fail(why, NN_ENOMEM, "no memory for the threads' scratch");
}

static void forget(nn_plan *p) { nni_free(p->lanes); }

/* ------------------------------------------------------------------ running */

struct job {
    const nn_step *step;
    nn_tile *run;
    char *lanes;
    size_t lane_bytes;
};

static void run_tile(void *context, int64_t tile, int lane)
{
    const struct job *j = context;

    j->run(j->step, tile, j->lanes + (size_t)lane * j->lane_bytes);
}

static void run_phase(nn_plan *p, const nn_step *s, int64_t tiles, nn_tile *run)
{
    struct job j = { .step = s, .run = run, .lanes = p->lanes, .lane_bytes = p->lane_bytes };

    nni_pool_run(p->device->pool, tiles, run_tile, &j);
}

static void run_step(nn_plan *p, struct nni_planned *s, unsigned what, bool stale)
{
    double start = p->profiling ? nni_seconds() : 0;

    s->step.accumulate = s->accumulate | (what & NN_ACCUMULATE ? s->run_accumulate : 0);
    if (s->derived_store >= 0 && (!s->derived_cached || stale))
        run_phase(p, &s->step, s->step.derived.tiles, s->step.derived.run);
    for (int i = 0; i < s->step.phases; i++)
        run_phase(p, &s->step, s->step.phase[i].tiles, s->step.phase[i].run);
    if (p->profiling) {
        s->seconds += nni_seconds() - start;
        s->runs++;
    }
}

static int forward(nn_plan *p, bool stale)
{
    for (int64_t i = 0; i < p->forward_steps; i++)
        if (!p->step[i].hoisted || stale)
            run_step(p, &p->step[i], 0, stale);
    return NN_OK;
}

static int backward(nn_plan *p, unsigned what)
{
    for (int64_t i = p->forward_steps; i < p->steps; i++)
        run_step(p, &p->step[i], what, false);
    return NN_OK;
}

static int settle(nn_plan *p)
{
    (void)p;
    return NN_OK;
}

static double loss(nn_plan *p) { return (double)*(const nn_real *)p->loss.at; }

const struct nni_backend nni_cpu_backend = {
    .kernels = NN_DEVICE_CPU,
    .pooled = true,
    .bf16 = NN_REAL == NN_F32,
    .alloc = take,
    .free = give,
    .mirror = mirror,
    .unmirror = unmirror,
    .copy = copy,
    .fill = fill,
    .ready = ready,
    .forget = forget,
    .forward = forward,
    .backward = backward,
    .update = nni_update_run,
    .settle = settle,
    .loss = loss,
    .close = nni_cpu_close,
};
