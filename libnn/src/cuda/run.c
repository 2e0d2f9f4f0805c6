/* SPDX-License-Identifier: MIT
 *
 * Running a plan on the GPU. Each segment is recorded in its second run as a CUDA graph and then launched as
 * a whole: a training step is some hundred kernels of a few microseconds, and starting them one by one would
 * take longer than running them. Only a rebinding (other addresses) records again.
 *
 * The host is never waited for and waits for the device only where it wants numbers:
 *   - inputs go from pinned memory to one of two staging buffers on a stream of their own, while the step
 *     before still computes; nn_run returns when that copy is done, so the memory of nn_host can be refilled;
 *   - what changes from run to run is a block of scalars, written by a copy in front of the segment;
 *   - the loss, and what an update leaves, are copied into a slot of a ring behind an event. Slots are read
 *     when somebody asks, or when the ring comes round to them: the host is a few runs ahead at most.
 */
#include "core/core.h"
#include "cuda/cuda.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { SLOTS = 8 };
enum segment { FORWARD, BACKWARD, BACKWARD_ADD, UPDATE, SEGMENTS };

/* One segment's run: what went in and what came out. */
struct slot {
    nn_scalars in, out;
    float loss;
    enum segment segment;
};

struct cuda_run {
    nn_scalars *now;   /* the device's block */
    nn_scalars known;  /* what the host has sent of it */
    struct slot *slot; /* pinned */
    cudaEvent_t done[SLOTS];
    int64_t taken, read; /* slots so far */
    int64_t last_forward;
    double loss;
    void *stage[2];
    cudaEvent_t arrived[2], used[2]; /* the copy into it; the copy out of it */
    int64_t fed;
    bool ran[SEGMENTS];
    bool waits; /* for each step */
    cudaGraphExec_t exec[SEGMENTS];
    uint64_t rebinds;       /* of the plan when they were recorded */
    cudaEvent_t begin, end; /* for profiles */
    struct nni_cuda_update update;
    struct nni_cuda_range *range; /* the host's copy of its table */
};

/* What the host decides, the first part of the block. */
static const size_t HOST_PART = offsetof(nn_scalars, grad_norm);

static int check(nn_plan *p, int e, const char *what)
{
    if (e == cudaSuccess)
        return NN_OK;
    return nni_fail(&p->message, e == cudaErrorMemoryAllocation ? NN_ENOMEM : NN_EDEVICE, "%s: %s", what,
                    cudaGetErrorString((cudaError_t)e));
}

/* -------------------------------------------------------------------- slots */

/* Reads the oldest slot that nobody has read. */
static int read_slot(nn_plan *p)
{
    struct cuda_run *r = p->run;
    const struct slot *s = &r->slot[r->read % SLOTS];
    int rc = check(p, cudaEventSynchronize(r->done[r->read % SLOTS]), "waiting for the device");

    if (rc)
        return rc;
    r->read++;
    if (s->segment == FORWARD)
        r->loss = (double)s->loss;
    if (s->segment != UPDATE)
        return NN_OK;
    if (s->out.skip)
        nni_log(p->device, NN_LOG_WARN, "update %lld skipped: a gradient is not finite",
                (long long)s->out.step);
    p->now.grad_norm = s->out.grad_norm;
    p->now.grad_factor = s->out.grad_factor;
    p->now.applied = s->out.applied;
    p->now.skipped = s->out.skipped;
    p->now.skip = s->out.skip;
    return NN_OK;
}

static int settle(nn_plan *p)
{
    struct cuda_run *r = p->run;
    int rc = NN_OK;

    while (!rc && r->read < r->taken)
        rc = read_slot(p);
    return rc;
}

static double loss(nn_plan *p)
{
    struct cuda_run *r = p->run;

    while (r->read < r->last_forward)
        if (read_slot(p))
            return (double)NAN;
    return r->loss;
}

/* ----------------------------------------------------------------- segments */

/* A slot for a segment's run, and the scalars as they are now. */
static int begin(nn_plan *p, enum segment segment, struct slot **out)
{
    struct nni_cuda *c = nni_cuda_of(p->device);
    struct cuda_run *r = p->run;
    struct slot *s;
    int rc = NN_OK;

    if (r->taken - r->read == SLOTS)
        rc = read_slot(p);
    s = *out = &r->slot[r->taken % SLOTS];
    s->segment = segment;
    if (rc || (!p->counters_set && !memcmp(&p->now, &r->known, HOST_PART)))
        return rc;
    s->in = p->now;
    rc = check(p,
               cudaMemcpyAsync(r->now, &s->in, p->counters_set ? sizeof s->in : HOST_PART,
                               cudaMemcpyHostToDevice, c->stream),
               "scalars");
    memcpy(&r->known, &p->now, HOST_PART);
    p->counters_set = false;
    return rc;
}

static int end(nn_plan *p)
{
    struct cuda_run *r = p->run;

    return check(p, cudaEventRecord(r->done[r->taken++ % SLOTS], nni_cuda_of(p->device)->stream), "event");
}

/* What the step makes from its weights for itself. */
static int launch_derived(nn_plan *p, struct nni_planned *s)
{
    int e = s->step.derived.launch(&s->step, nni_cuda_of(p->device)->stream);

    return check(p, e, s->step.name);
}

static int launch_step(nn_plan *p, struct nni_planned *s, bool add)
{
    struct cuda_run *r = p->run;
    cudaStream_t stream = nni_cuda_of(p->device)->stream;
    float milliseconds;
    int e, rc;

    s->step.accumulate = s->accumulate | (add ? s->run_accumulate : 0);
    if (p->profiling)
        (void)cudaEventRecord(r->begin, stream);
    if (s->derived_store >= 0 && !s->derived_cached && (rc = launch_derived(p, s)))
        return rc;
    e = s->step.launch(&s->step, stream);
    if (!e && p->profiling)
        e = cudaEventRecord(r->end, stream);
    if (!e && r->waits)
        e = cudaStreamSynchronize(stream);
    if (e)
        return nni_fail(&p->message, NN_EDEVICE, "%s: %s: %s", s->step.name, s->step.op->name,
                        cudaGetErrorString((cudaError_t)e));
    if (p->profiling && cudaEventElapsedTime(&milliseconds, r->begin, r->end) == cudaSuccess) {
        s->seconds += (double)milliseconds * 1e-3;
        s->runs++;
    }
    return NN_OK;
}

static int launch_all(nn_plan *p, enum segment segment)
{
    struct cuda_run *r = p->run;
    int64_t first = segment == FORWARD ? 0 : p->forward_steps;
    int64_t last = segment == FORWARD ? p->forward_steps : p->steps;
    int rc = NN_OK;

    if (segment == UPDATE) {
        cudaStream_t stream = nni_cuda_of(p->device)->stream;
        int e = nni_cuda_update_launch(&r->update, &p->optim, stream);

        return check(p, e || !r->waits ? e : (int)cudaStreamSynchronize(stream), p->optim.name);
    }
    for (int64_t i = first; !rc && i < last; i++)
        if (!p->step[i].hoisted)
            rc = launch_step(p, &p->step[i], segment == BACKWARD_ADD);
    return rc;
}

static void drop_graphs(struct cuda_run *r)
{
    for (int i = 0; i < SEGMENTS; i++) {
        if (r->exec[i])
            (void)cudaGraphExecDestroy(r->exec[i]);
        r->exec[i] = NULL;
    }
}

static int record(nn_plan *p, enum segment segment)
{
    struct cuda_run *r = p->run;
    cudaStream_t stream = nni_cuda_of(p->device)->stream;
    cudaGraph_t graph = NULL;
    int rc = check(p, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording"), ended;

    if (rc)
        return rc;
    rc = launch_all(p, segment);
    ended = cudaStreamEndCapture(stream, &graph);
    if (!rc)
        rc = check(p, ended, "recording");
    if (!rc)
        rc = check(p, cudaGraphInstantiate(&r->exec[segment], graph, 0), "recording");
    if (graph)
        (void)cudaGraphDestroy(graph);
    return rc;
}

static int run_segment(nn_plan *p, enum segment segment)
{
    struct cuda_run *r = p->run;
    int rc = NN_OK;

    /* The first run loads kernels, ours and the libraries', which a recording need not allow. It waits for
     * each step, so that an error of the GPU, which else is told much later, has the step's name. */
    r->waits = p->profiling || !r->ran[segment];
    if (r->waits) {
        r->ran[segment] = true;
        return launch_all(p, segment);
    }
    if (r->rebinds != p->rebinds)
        drop_graphs(r);
    r->rebinds = p->rebinds;
    if (!r->exec[segment])
        rc = record(p, segment);
    return rc ? rc : check(p, cudaGraphLaunch(r->exec[segment], nni_cuda_of(p->device)->stream), "launch");
}

/* From the host's memory by way of a staging buffer to where kernels read. */
static int feed(nn_plan *p)
{
    struct nni_cuda *c = nni_cuda_of(p->device);
    struct cuda_run *r = p->run;
    int k = (int)(r->fed++ % 2);
    cudaError_t e = cudaSuccess;

    if (!p->input_bytes)
        return NN_OK;
    if (r->fed > 2)
        e = cudaStreamWaitEvent(c->feed, r->used[k], 0);
    if (e == cudaSuccess)
        e = cudaMemcpyAsync(r->stage[k], p->fed, p->input_bytes, cudaMemcpyHostToDevice, c->feed);
    if (e == cudaSuccess)
        e = cudaEventRecord(r->arrived[k], c->feed);
    if (e == cudaSuccess)
        e = cudaStreamWaitEvent(c->stream, r->arrived[k], 0);
    if (e == cudaSuccess)
        e = cudaMemcpyAsync(p->input, r->stage[k], p->input_bytes, cudaMemcpyDeviceToDevice, c->stream);
    if (e == cudaSuccess)
        e = cudaEventRecord(r->used[k], c->stream);
    return check(p, e, "inputs");
}

static int forward(nn_plan *p, bool stale)
{
    cudaStream_t stream = nni_cuda_of(p->device)->stream;
    struct cuda_run *r = p->run;
    struct slot *s;
    int rc = begin(p, FORWARD, &s);

    if (!rc)
        rc = feed(p);
    for (int64_t i = 0; !rc && stale && i < p->forward_steps; i++) {
        if (p->step[i].derived_cached)
            rc = launch_derived(p, &p->step[i]);
        if (!rc && p->step[i].hoisted)
            rc = launch_step(p, &p->step[i], false);
    }
    if (!rc)
        rc = run_segment(p, FORWARD);
    if (!rc && nn_has(&p->loss))
        rc = check(p, cudaMemcpyAsync(&s->loss, p->loss.at, sizeof s->loss, cudaMemcpyDeviceToHost, stream),
                   "the loss");
    if (!rc)
        rc = end(p);
    r->last_forward = r->taken;
    /* The host may write its inputs again. */
    if (!rc && p->input_bytes)
        rc = check(p, cudaEventSynchronize(r->arrived[(r->fed - 1) % 2]), "inputs");
    return rc;
}

static int backward(nn_plan *p, unsigned what)
{
    enum segment segment = what & NN_ACCUMULATE ? BACKWARD_ADD : BACKWARD;
    struct slot *s;
    int rc = begin(p, segment, &s);

    if (!rc)
        rc = run_segment(p, segment);
    return rc ? rc : end(p);
}

/* A segment's scales may have been set since the last update. */
static int refresh_scales(nn_plan *p)
{
    struct cuda_run *r = p->run;
    bool changed = false;
    int rc = NN_OK;

    for (int64_t i = 0; i < p->tiles; i++) {
        const nn_segment *s = &p->model[p->tile[i].model]->segment[p->tile[i].segment];

        changed = changed || r->range[i].lr_scale != s->lr_scale || r->range[i].decay_scale != s->decay_scale;
        r->range[i].lr_scale = s->lr_scale;
        r->range[i].decay_scale = s->decay_scale;
    }
    if (changed)
        rc = nni_cuda_copy(p->device, r->update.range, r->range, (size_t)p->tiles * sizeof *r->range);
    return rc ? nni_fail(&p->message, rc, "cannot bring the update's table to the device") : NN_OK;
}

static int update(nn_plan *p)
{
    struct cuda_run *r = p->run;
    struct slot *s;
    int rc = begin(p, UPDATE, &s);

    if (!rc)
        rc = refresh_scales(p);
    if (!rc)
        rc = run_segment(p, UPDATE);
    if (!rc)
        rc = check(p,
                   cudaMemcpyAsync(&s->out, r->now, sizeof s->out, cudaMemcpyDeviceToHost,
                                   nni_cuda_of(p->device)->stream),
                   "counters");
    p->now.step++;
    return rc ? rc : end(p);
}

/* ------------------------------------------------------------- making, freeing */

/* A table of the host's in device memory; freed with `at`. */
static void *to_device(nn_plan *p, const void *table, size_t bytes)
{
    void *at = nni_cuda_alloc(p->device, bytes);

    if (at && nni_cuda_copy(p->device, at, table, bytes)) {
        nni_cuda_free(p->device, at);
        at = NULL;
    }
    return at;
}

static void *in_role(const nn_model *m, nn_base base, const nn_segment *s)
{
    return m->buffer[base] ? (char *)m->buffer[base] + s->offset : NULL;
}

static float *element(const nn_plan *p, const struct nni_update_tile *t, nn_base base)
{
    const nn_model *m = p->model[t->model];
    float *at = in_role(m, base, &m->segment[t->segment]);

    return at ? at + t->first : NULL;
}

static bool make_ranges(nn_plan *p, struct cuda_run *r)
{
    struct nni_cuda_update *u = &r->update;

    r->range = nni_alloc_array((size_t)p->tiles + 1, sizeof *r->range);
    for (int64_t i = 0; r->range && i < p->tiles; i++) {
        const struct nni_update_tile *t = &p->tile[i];
        const nn_segment *s = &p->model[t->model]->segment[t->segment];

        r->range[i] =
            (struct nni_cuda_range){ .param = element(p, t, NN_BASE_PARAM),
                                     .grad = element(p, t, NN_BASE_GRAD),
                                     .m1 = p->optim.moments > 0 ? element(p, t, NN_BASE_MOMENT1) : NULL,
                                     .m2 = p->optim.moments > 1 ? element(p, t, NN_BASE_MOMENT2) : NULL,
                                     .count = t->count,
                                     .lr_scale = s->lr_scale,
                                     .decay_scale = s->decay_scale };
    }
    u->ranges = p->tiles;
    u->range = r->range ? to_device(p, r->range, (size_t)p->tiles * sizeof *r->range) : NULL;
    u->partial = nni_cuda_alloc(p->device, (size_t)p->tiles * sizeof *u->partial);
    return u->range && u->partial;
}

static bool make_averages(nn_plan *p, struct nni_cuda_update *u)
{
    struct nni_cuda_average *list;
    int64_t segments = 0;

    for (int i = 0; i < p->models; i++)
        segments += p->model[i]->count;
    list = nni_alloc_array((size_t)segments + 1, sizeof *list);
    for (int i = 0; list && i < p->models; i++) {
        const nn_model *m = p->model[i];

        for (int64_t k = 0; k < m->count; k++) {
            const nn_segment *s = &m->segment[k];

            list[u->averages++] = (struct nni_cuda_average){
                .value = in_role(m, s->base, s),
                .average = in_role(m, s->base == NN_BASE_STATE ? NN_BASE_STATE_EMA : NN_BASE_EMA, s),
                .bytes = s->count * (int64_t)nn_dtype_size(s->type),
                .real = s->type == NN_REAL
            };
        }
    }
    u->average = list ? to_device(p, list, (size_t)segments * sizeof *list) : NULL;
    nni_free(list);
    return u->average;
}

static bool make_events(struct cuda_run *r)
{
    bool good = cudaEventCreateWithFlags(&r->begin, cudaEventDefault) == cudaSuccess &&
                cudaEventCreateWithFlags(&r->end, cudaEventDefault) == cudaSuccess;

    for (int i = 0; good && i < SLOTS; i++)
        good = cudaEventCreateWithFlags(&r->done[i], cudaEventDisableTiming) == cudaSuccess;
    for (int i = 0; good && i < 2; i++)
        good = cudaEventCreateWithFlags(&r->arrived[i], cudaEventDisableTiming) == cudaSuccess &&
               cudaEventCreateWithFlags(&r->used[i], cudaEventDisableTiming) == cudaSuccess;
    return good;
}

static int ready(nn_plan *p, nn_message *why)
{
    struct cuda_run *r = p->run = nni_alloc_zero(sizeof *r);
    nn_device *d = p->device;

    if (p->optim.name && !p->optim.launch)
        return nni_fail(why, NN_EUNSUPPORTED, "the optimizer %s has no kernel on this device", p->optim.name);
    if (!r || !(r->slot = nni_cuda_mirror(d, NULL, SLOTS * sizeof *r->slot)) ||
        !(r->now = to_device(p, &p->now, sizeof p->now)) ||
        !(r->stage[0] = nni_cuda_alloc(d, p->input_bytes)) ||
        !(r->stage[1] = nni_cuda_alloc(d, p->input_bytes)) || !make_events(r) ||
        (p->optim.name && !make_ranges(p, r)) || (p->ema && !make_averages(p, &r->update)))
        return nni_fail(why, NN_ENOMEM, "no memory on the device to run the plan");
    r->known = p->now;
    r->waits = true;
    r->update.now = r->now;
    r->update.clip_norm = p->clip_norm;
    for (int64_t i = 0; i < p->steps; i++)
        p->step[i].step.now = r->now;
    return NN_OK;
}

static void drop_event(cudaEvent_t e)
{
    if (e)
        (void)cudaEventDestroy(e);
}

static void forget(nn_plan *p)
{
    struct nni_cuda *c = nni_cuda_of(p->device);
    struct cuda_run *r = p->run;

    if (!r)
        return;
    (void)cudaStreamSynchronize(c->stream);
    drop_graphs(r);
    for (int i = 0; i < SLOTS; i++)
        drop_event(r->done[i]);
    for (int i = 0; i < 2; i++) {
        drop_event(r->arrived[i]);
        drop_event(r->used[i]);
        nni_cuda_free(p->device, r->stage[i]);
    }
    drop_event(r->begin);
    drop_event(r->end);
    nni_cuda_free(p->device, r->now);
    nni_cuda_free(p->device, r->update.range);
    nni_cuda_free(p->device, r->update.partial);
    nni_cuda_free(p->device, r->update.average);
    nni_cuda_unmirror(p->device, r->slot);
    nni_free(r->range);
    nni_free(r);
    p->run = NULL;
}

const struct nni_backend nni_cuda_backend = {
    .kernels = NN_DEVICE_CUDA,
    .bf16 = true,
    .alloc = nni_cuda_alloc,
    .free = nni_cuda_free,
    .mirror = nni_cuda_mirror,
    .unmirror = nni_cuda_unmirror,
    .copy = nni_cuda_copy,
    .fill = nni_cuda_fill,
    .ready = ready,
    .forget = forget,
    .forward = forward,
    .backward = backward,
    .update = update,
    .settle = settle,
    .loss = loss,
    .peak = nni_cuda_peak,
    .close = nni_cuda_close,
};
