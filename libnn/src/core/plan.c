/* SPDX-License-Identifier: MIT
 *
 * The plan: compile a graph into an array of steps over planned memory, bind the operands to
 * addresses, and replay. This file is the pipeline's table of contents (nn_compile) and its loop
 * (nn_run).
 */
#include "core/core.h"
#include "cpu/cpu.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ----------------------------------------------------------------- binding */

static const nn_base STATE_TWIN[NN_BASES] = {
    [NN_BASE_PARAM] = NN_BASE_STATE, [NN_BASE_EMA] = NN_BASE_STATE_EMA
};

static void *base_address(const nn_plan *p, const nn_operand *o)
{
    switch (o->base) {
    case NN_BASE_ACT: return p->memory->at;
    case NN_BASE_CACHE: return p->cache;
    case NN_BASE_INPUT: return p->input;
    default: return p->model[o->model]->buffer[p->role[o->base]];
    }
}

static void bind_operand(const nn_plan *p, nn_operand *o)
{
    if (nn_has(o))
        o->at = (char *)base_address(p, o) + o->offset;
}

static void bind_step(const nn_plan *p, struct nni_planned *s)
{
    nn_step *t = &s->step;
    size_t guard = p->flags & NN_PLAN_DEBUG ? NNI_GUARD : 0;

    for (int k = 0; k < NN_MAX_IN; k++) {
        bind_operand(p, &t->in[k]);
        bind_operand(p, &t->din[k]);
    }
    for (int k = 0; k < NN_MAX_OUT; k++) {
        bind_operand(p, &t->out[k]);
        bind_operand(p, &t->dout[k]);
    }
    for (int k = 0; k < NN_MAX_SAVE; k++)
        bind_operand(p, &t->save[k]);
    for (int k = 0; k < 4; k++)
        bind_operand(p, &t->pooled[k]);
    if (s->scratch_store >= 0)
        t->scratch = (char *)p->memory->at + p->store[s->scratch_store].offset + guard;
    if (s->derived_store >= 0)
        t->derived.at = s->derived_cached ? (char *)p->cache + p->store[s->derived_store].offset
                                          : (char *)p->memory->at + p->store[s->derived_store].offset + guard;
}

static void bind(nn_plan *p)
{
    for (int64_t i = 0; i < p->steps; i++)
        bind_step(p, &p->step[i]);
    for (int64_t i = 0; i < p->readables; i++) {
        bind_operand(p, &p->readable[i].value);
        bind_operand(p, &p->readable[i].gradient);
    }
    bind_operand(p, &p->loss);
    for (int i = 0; i < p->seed_count; i++) {
        bind_operand(p, &p->seed[i]);
        p->device->backend->unmirror(p->device, p->seeded[i]);
        p->seeded[i] = NULL;
    }
    p->rebinds++;
}

/* ---------------------------------------------------------------- compiling */

/* After placement an operand's .offset, so far the number of a store, becomes an offset. */
static void settle(const nn_plan *p, nn_operand *o)
{
    const struct nni_store *s;

    if (o->base != NN_BASE_ACT)
        return;
    s = &p->store[o->offset];
    o->offset = s->offset + (p->flags & NN_PLAN_DEBUG ? NNI_GUARD : 0);
    if (s->cache)
        o->base = NN_BASE_CACHE;
}

static void settle_all(nn_plan *p)
{
    for (int64_t i = 0; i < p->steps; i++) {
        nn_step *t = &p->step[i].step;

        for (int k = 0; k < NN_MAX_IN; k++) {
            settle(p, &t->in[k]);
            settle(p, &t->din[k]);
        }
        for (int k = 0; k < NN_MAX_OUT; k++) {
            settle(p, &t->out[k]);
            settle(p, &t->dout[k]);
        }
        for (int k = 0; k < NN_MAX_SAVE; k++)
            settle(p, &t->save[k]);
        for (int k = 0; k < 4; k++)
            settle(p, &t->pooled[k]);
    }
    for (int64_t i = 0; i < p->readables; i++) {
        settle(p, &p->readable[i].value);
        settle(p, &p->readable[i].gradient);
    }
    settle(p, &p->loss);
    for (int i = 0; i < p->seed_count; i++)
        settle(p, &p->seed[i]);
}

static int collect_inputs(struct nni_compile *c)
{
    nn_plan *p = c->plan;

    p->inputs = nni_arena_take(&p->arena, (size_t)(c->tensors + 1) * sizeof *p->inputs);
    if (!p->inputs)
        return NN_ENOMEM;
    for (int64_t i = 0; i < c->tensors; i++) {
        nn_tensor *t = c->tensor[i];
        struct nni_plan_input *in = &p->inputs[p->input_count];

        if (t->base != NN_BASE_INPUT || t->detached)
            continue;
        if (t->name) {
            in->name = nni_arena_text(&p->arena, t->name);
            if (!in->name)
                return NN_ENOMEM;
            if (!p->batch)
                p->batch = t->shape.rank ? t->shape.dim[0] : 1;
        }
        in->type = t->type;
        in->shape = t->shape;
        in->offset = p->input_bytes;
        in->bytes = (size_t)nn_shape_count(t->shape) * nn_dtype_size(t->type);
        if (!nni_add_aligned(&p->input_bytes, in->bytes))
            return NN_ENOMEM;
        t->index = p->input_count++;
    }
    return NN_OK;
}

static void fill_inputs(const struct nni_compile *c)
{
    const nn_plan *p = c->plan;

    memset(p->fed, 0, p->input_bytes);
    for (int64_t i = 0; i < c->tensors; i++) {
        const nn_tensor *t = c->tensor[i];

        if (t->data && !t->detached)
            memcpy((char *)p->fed + p->inputs[t->index].offset, t->data, p->inputs[t->index].bytes);
    }
}

/* Derived values are kept where nobody can change what they are made from. */
static void choose_cached(nn_plan *p, bool keep)
{
    for (int64_t i = 0; keep && i < p->steps; i++) {
        struct nni_planned *s = &p->step[i];
        bool constant = s->derived_store >= 0;

        for (int k = 0; constant && k < NN_MAX_IN; k++)
            if (s->step.derived.reads & NN_IN(k))
                constant = s->step.in[k].base == NN_BASE_PARAM || s->step.in[k].base == NN_BASE_STATE;
        if (constant) {
            s->derived_cached = true;
            p->store[s->derived_store].cache = true;
        }
    }
}

static void repaint_guards(nn_plan *p)
{
    const struct nni_backend *b = p->device->backend;

    if (!(p->flags & NN_PLAN_DEBUG))
        return;
    for (int64_t i = 0; i < p->stores; i++) {
        const struct nni_store *s = &p->store[i];

        if (s->cache || s->root != i)
            continue;
        (void)b->fill(p->device, (char *)p->memory->at + s->offset, NNI_GUARD_BYTE, NNI_GUARD);
        (void)b->fill(p->device, (char *)p->memory->at + s->offset + NNI_GUARD + s->used, NNI_GUARD_BYTE,
                      s->bytes - NNI_GUARD - s->used);
    }
    p->memory->owner = NULL; /* whoever shares it: there is paint on its values */
}

/* A guard is as it was painted; it is never longer than two of them. */
static bool whole(nn_plan *p, size_t offset, size_t bytes)
{
    unsigned char now[2 * NNI_GUARD];

    if (p->device->backend->copy(p->device, now, (const char *)p->memory->at + offset, bytes))
        return false;
    for (size_t k = 0; k < bytes; k++)
        if (now[k] != NNI_GUARD_BYTE)
            return false;
    return true;
}

int nni_plan_check_guards(nn_plan *p, nn_message *why)
{
    for (int64_t i = 0; i < p->stores && p->flags & NN_PLAN_DEBUG; i++) {
        const struct nni_store *s = &p->store[i];

        if (!s->cache && s->root == i &&
            (!whole(p, s->offset, NNI_GUARD) ||
             !whole(p, s->offset + NNI_GUARD + s->used, s->bytes - NNI_GUARD - s->used)))
            return nni_fail(
                why, NN_ESTATE,
                "a kernel wrote outside its tensor: store %lld of %zu bytes, born in step %lld (%s %s)",
                (long long)i, s->bytes, (long long)s->birth, p->step[s->birth].step.name,
                p->step[s->birth].step.op->name);
    }
    return NN_OK;
}

/* Joins (or makes) the arena; grows it for everybody when this plan needs more. */
static int join_memory(nn_plan *p, nn_plan *share)
{
    struct nni_memory *m = share ? share->memory : nni_alloc_zero(sizeof *m);
    const struct nni_backend *b = p->device->backend;

    if (!m)
        return NN_ENOMEM;
    if (p->memory_bytes > m->bytes || !m->at) {
        void *at = b->alloc(p->device, p->memory_bytes);

        if (!at) {
            if (!share)
                nni_free(m);
            return NN_ENOMEM;
        }
        b->free(p->device, m->at);
        m->at = at;
        m->bytes = p->memory_bytes;
        m->owner = NULL;
        /* Gradient seeds and the like of the others are gone; they are written before each run. */
        for (nn_plan *q = m->first; q; q = q->next_in_memory) {
            q->memory = m;
            bind(q);
            repaint_guards(q);
            q->loss_valid = false;
        }
    }
    p->memory = m;
    p->next_in_memory = m->first;
    m->first = p;
    return NN_OK;
}

static void leave_memory(nn_plan *p)
{
    struct nni_memory *m = p->memory;

    if (!m)
        return;
    for (nn_plan **at = &m->first; *at; at = &(*at)->next_in_memory) {
        if (*at == p) {
            *at = p->next_in_memory;
            break;
        }
    }
    if (m->owner == p)
        m->owner = NULL;
    if (!m->first) {
        p->device->backend->free(p->device, m->at);
        nni_free(m);
    }
    p->memory = NULL;
}

static int need_roles(nn_plan *p, bool backward)
{
    int rc = NN_OK;

    for (int i = 0; !rc && i < p->models; i++) {
        nn_model *m = p->model[i];

        rc = nn_model_seal(m);
        if (!rc && backward)
            rc = nni_model_need(m, NN_BASE_GRAD);
        if (!rc && p->optim.name && p->optim.moments > 0)
            rc = nni_model_need(m, NN_BASE_MOMENT1);
        if (!rc && p->optim.name && p->optim.moments > 1)
            rc = nni_model_need(m, NN_BASE_MOMENT2);
        if (!rc && p->ema)
            rc = nni_model_need(m, NN_BASE_EMA);
        if (!rc && p->ema)
            rc = nni_model_need(m, NN_BASE_STATE_EMA);
        if (rc)
            (void)nni_fail(&p->message, rc, "%s", nn_model_error(m));
    }
    return rc;
}

static int check_options(struct nni_compile *c)
{
    const unsigned known =
        NN_PLAN_DEBUG | NN_PLAN_NO_FUSE | NN_PLAN_NO_REUSE | NN_PLAN_NO_CHEAP | NN_PLAN_RECOMPUTE;
    const nn_plan_opts *o = c->opts;
    nni_text text;

    if (o->flags & ~known)
        return nni_fail(&c->graph->message, NN_EINVAL, "nn_compile: unknown flags 0x%x", o->flags & ~known);
    if (o->seed_count < 0 || o->input_count < 0 || (o->seed_count && !o->seeds) ||
        (o->input_count && !o->inputs))
        return nni_fail(&c->graph->message, NN_EINVAL, "nn_compile: %d seeds and %d inputs cannot be%s",
                        o->seed_count, o->input_count,
                        o->seed_count < 0 || o->input_count < 0 ? "" : " at NULL");
    if (o->loss && o->loss->graph != c->graph)
        return nni_fail(&c->graph->message, NN_EINVAL, "the loss belongs to another graph");
    if (o->loss && (nn_shape_count(o->loss->shape) != 1 || o->loss->type != NN_REAL))
        return nni_fail(&c->graph->message, NN_ESHAPE,
                        "the loss is %s %s: it must be one number of type %s (nn_mean, nn_sum)",
                        nni_shape_text(o->loss->shape, &text), nn_dtype_name(o->loss->type),
                        nn_dtype_name(NN_REAL));
    if (o->loss && o->loss->detached)
        return nni_fail(&c->graph->message, NN_EINVAL, "the loss is detached: it has no gradient");
    if (o->loss && o->seed_count)
        return nni_fail(&c->graph->message, NN_EINVAL, "give a loss or seeds, not both");
    for (int i = 0; i < o->seed_count; i++)
        if (!o->seeds[i] || o->seeds[i]->graph != c->graph || o->seeds[i]->detached)
            return nni_fail(&c->graph->message, NN_EINVAL,
                            "seed %d is not a tensor of this graph, or detached", i);
    for (int i = 0; i < o->input_count; i++)
        if (!o->inputs[i] || o->inputs[i]->graph != c->graph || o->inputs[i]->detached)
            return nni_fail(&c->graph->message, NN_EINVAL,
                            "input %d is not a tensor of this graph, or detached", i);
    if (o->precision != NN_F32 && o->precision != NN_REAL && o->precision != NN_BF16)
        return nni_fail(&c->graph->message, NN_EINVAL, "activations can be stored as %s or BF16, not as %s",
                        nn_dtype_name(NN_REAL), nn_dtype_name(o->precision));
    if (o->precision == NN_BF16 && !c->graph->device->backend->bf16)
        return nni_fail(&c->graph->message, NN_EUNSUPPORTED,
                        "this build has no kernels for activations in BF16 on %s; compile without precision",
                        nn_device_name(c->graph->device));
    if (!(o->clip_norm >= 0) || !(o->ema_decay >= 0 && o->ema_decay <= 1))
        return nni_fail(&c->graph->message, NN_EINVAL,
                        "clip_norm %g must be 0 or more, ema_decay %g from 0 to 1", o->clip_norm,
                        o->ema_decay);
    if (o->optim.name && (o->optim.wrong || !o->optim.update || o->optim.moments < 0 || o->optim.moments > 2))
        return nni_fail(&c->graph->message, NN_EINVAL, "optimizer %s: %s", o->optim.name,
                        o->optim.wrong ? o->optim.wrong : "it needs an update function and 0 to 2 moments");
    if (o->optim.name && !o->loss && !o->seed_count)
        return nni_fail(&c->graph->message, NN_EINVAL, "an optimizer needs a loss");
    if (o->share && o->share->device != c->graph->device)
        return nni_fail(&c->graph->message, NN_EINVAL, "plans that share memory must be on one device");
    if (!o->loss && !o->seed_count && !c->graph->observed && !(o->flags & NN_PLAN_DEBUG)) {
        for (int64_t i = 0; i < c->graph->nodes; i++)
            if (c->graph->node[i]->op->flags & NN_OP_EFFECT)
                return NN_OK;
        return nni_fail(&c->graph->message, NN_EINVAL,
                        "nothing to compute: no loss, no seed and nothing observed");
    }
    return NN_OK;
}

static int describe(nn_plan *p);
static void summarise(nn_plan *p);

static int build(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    const struct nni_backend *b = p->device->backend;
    int rc = need_roles(p, c->backward);

    if (rc)
        return rc;
    if ((rc = nni_lower(c)) || (rc = collect_inputs(c)))
        return rc;
    if (!(p->flags & (NN_PLAN_DEBUG | NN_PLAN_NO_FUSE)) && (rc = nni_fuse(c)))
        return rc;
    if (c->opts->precision == NN_BF16 && (rc = nni_precision(c)))
        return rc;
    if ((rc = nni_schedule(c)))
        return rc;
    choose_cached(p, !c->backward && !c->opts->share && !(p->flags & NN_PLAN_DEBUG));
    if ((rc = nni_place(p, !(p->flags & (NN_PLAN_DEBUG | NN_PLAN_NO_REUSE)))))
        return rc;
    settle_all(p);
    p->cache = b->alloc(p->device, p->cache_bytes);
    p->input = b->alloc(p->device, p->input_bytes);
    if (!p->cache || !p->input || !(p->fed = b->mirror(p->device, p->input, p->input_bytes)))
        return NN_ENOMEM;
    fill_inputs(c);
    if ((rc = join_memory(p, c->opts->share)))
        return rc;
    bind(p);
    repaint_guards(p);
    if ((p->optim.name && (rc = nni_update_prepare(p, &p->message))) || (rc = describe(p)) ||
        (rc = b->ready(p, &p->message)))
        return rc;
    summarise(p);
    return NN_OK;
}

int nn_compile(nn_plan **out, nn_graph *graph, nn_plan_opts opts)
{
    bool of_parameters = !opts.wrt || *opts.wrt;
    struct nni_compile c = { .graph = graph,
                             .opts = &opts,
                             .backward =
                                 opts.seed_count || (opts.loss && (of_parameters || opts.input_count)) };
    nn_plan *p;
    int rc;

    if (!out || !graph)
        return NN_EINVAL;
    *out = NULL;
    if (graph->status)
        return graph->status;
    if ((rc = check_options(&c)))
        return rc;
    p = nni_alloc_zero(sizeof *p);
    if (!p)
        return nni_fail(&graph->message, NN_ENOMEM, "no memory for the plan");
    nni_link_in(&graph->device->plans, &p->link);
    p->device = graph->device;
    p->flags = opts.flags;
    p->models = graph->models;
    for (int i = 0; i < graph->models; i++)
        p->model[i] = graph->model[i];
    for (int i = 0; i < NN_BASES; i++)
        p->role[i] = (nn_base)i;
    p->optim = opts.optim;
    p->clip_norm = opts.clip_norm;
    p->ema = opts.ema_decay > 0;
    p->now = (nn_scalars){ .seed = opts.seed,
                           .loss_seed = 1,
                           .learning_rate = opts.optim.rate,
                           .grad_factor = 1,
                           .ema_decay = opts.ema_decay };
    c.plan = p;
    rc = build(&c);
    if (rc) {
        if (graph->status)
            graph->status = NN_OK; /* the reason stays; the recording itself was fine */
        else if (p->message.text[0])
            graph->message = p->message;
        else
            (void)nni_fail(&graph->message, rc, "compiling failed: %s", nn_strerror(rc));
        nn_plan_free(p);
    } else {
        *out = p;
        nni_log(p->device, NN_LOG_DEBUG,
                "compiled %lld forward and %lld backward steps, %zu bytes of activations",
                (long long)p->summary.steps[0], (long long)p->summary.steps[1], p->summary.activation_bytes);
    }
    nni_arena_free(&c.arena);
    return rc;
}

void nn_plan_free(nn_plan *p)
{
    const struct nni_backend *b;

    if (!p)
        return;
    nni_link_out(&p->link);
    b = p->device->backend;
    b->forget(p);
    for (int i = 0; p->seeded && i < p->seed_count; i++)
        b->unmirror(p->device, p->seeded[i]);
    leave_memory(p);
    nni_free(p->step);
    nni_free(p->store);
    b->unmirror(p->device, p->fed);
    b->free(p->device, p->cache);
    b->free(p->device, p->input);
    nni_free(p->tile);
    nni_free(p->partial);
    nni_arena_free(&p->arena);
    nni_free(p);
}

const char *nn_plan_error(const nn_plan *p) { return p ? p->message.text : "no plan"; }

/* ------------------------------------------------------------------ running */

static uint64_t version_of(const nn_plan *p)
{
    uint64_t v = p->rebinds << 32;

    for (int i = 0; i < p->models; i++)
        v += p->model[i]->version;
    return v;
}

/* Buffers that the host has written reach the device before they are read. */
static int push(nn_plan *p)
{
    int rc = NN_OK;

    for (int i = 0; !rc && i < p->models; i++)
        rc = nni_model_push(p->model[i]);
    return rc ? nni_fail(&p->message, rc, "cannot bring parameters to the device") : NN_OK;
}

static void changed(nn_plan *p, nn_base base)
{
    for (int i = 0; i < p->models; i++)
        if (p->model[i]->buffer[base])
            nni_model_ran(p->model[i], base);
}

static int forward(nn_plan *p)
{
    uint64_t version = version_of(p);
    bool effects = false;
    int rc;

    p->now.sample = p->next_sample;
    p->memory->owner = p;
    p->gradients_valid = false;
    if ((rc = p->device->backend->forward(p, version != p->cache_version))) {
        p->memory->owner = NULL;
        return rc;
    }
    p->next_sample += p->batch;
    p->cache_version = version;
    for (int64_t i = 0; i < p->forward_steps; i++)
        effects = effects || p->step[i].step.op->flags & NN_OP_EFFECT;
    for (int i = 0; effects && i < p->models; i++)
        p->model[i]->version++;
    if (effects)
        changed(p, p->role[NN_BASE_STATE]);
    p->loss_valid = true;
    return NN_OK;
}

static int backward(nn_plan *p, unsigned what)
{
    const struct nni_backend *b = p->device->backend;
    int rc = NN_OK;

    for (int i = 0; i < p->seed_count; i++)
        if (nn_has(&p->seed[i]) && !p->seeded[i])
            return nni_fail(&p->message, NN_ESTATE,
                            "seed %d has no values: write them to nn_seed before the backward run", i);
    for (int64_t i = 0; !rc && i < p->zeros && !(what & NN_ACCUMULATE); i++) {
        const nn_model *m = p->model[p->zero[i].model];
        const nn_segment *s = &m->segment[p->zero[i].segment];

        rc = b->fill(p->device, (char *)m->buffer[NN_BASE_GRAD] + s->offset, 0,
                     (size_t)s->count * nn_dtype_size(s->type));
    }
    for (int i = 0; !rc && i < p->seed_count; i++)
        if (p->seeded[i] && p->seeded[i] != p->seed[i].at)
            rc = b->copy(p->device, p->seed[i].at, p->seeded[i],
                         (size_t)nn_shape_count(p->seed[i].shape) * nn_dtype_size(p->seed[i].type));
    if (rc)
        return nni_fail(&p->message, rc, "cannot prepare gradients on the device");
    if ((rc = b->backward(p, what)))
        return rc;
    changed(p, NN_BASE_GRAD);
    p->gradients_valid = true;
    return NN_OK;
}

static int update(nn_plan *p)
{
    double start = p->profiling ? nni_seconds() : 0;
    int rc = p->device->backend->update(p);

    if (rc)
        return rc;
    for (int i = 0; i < p->models; i++)
        p->model[i]->version++;
    for (int i = NN_BASE_PARAM; i <= NN_BASE_MOMENT2; i++)
        changed(p, (nn_base)i);
    if (p->profiling) {
        p->update_seconds += nni_seconds() - start;
        p->update_runs++;
    }
    return NN_OK;
}

static int run(nn_plan *p, unsigned what)
{
    const unsigned segments = NN_FORWARD | NN_BACKWARD | NN_UPDATE;
    int rc;

    if (!(what & segments) || what & ~(segments | NN_ACCUMULATE))
        return nni_fail(&p->message, NN_EINVAL, "nn_run: 0x%x names no segment, or something that is none",
                        what);
    if (what & NN_BACKWARD && p->steps == p->forward_steps && !p->zeros)
        return nni_fail(
            &p->message, NN_ESTATE,
            "this plan has no backward segment: compile it with a loss that depends on trainable parameters");
    if (what & NN_UPDATE && !p->optim.name)
        return nni_fail(&p->message, NN_ESTATE,
                        "this plan has no update segment: compile it with an optimizer");
    if (what & NN_BACKWARD && !(what & NN_FORWARD) && p->memory->owner != p)
        return nni_fail(&p->message, NN_ESTATE,
                        "a backward run needs the forward run before it: none was made, or another plan that "
                        "shares the arena has run since");
    if (what & NN_BACKWARD && !(what & NN_FORWARD) && p->gradients_valid &&
        !(p->flags & (NN_PLAN_DEBUG | NN_PLAN_NO_REUSE)))
        return nni_fail(
            &p->message, NN_ESTATE,
            "the backward run before this one has used up what the forward run left: run that again, "
            "or compile with NN_PLAN_NO_REUSE");
    if ((rc = push(p)))
        return rc;
    if (what & NN_FORWARD && (rc = forward(p)))
        return rc;
    if (what & NN_BACKWARD && (rc = backward(p, what)))
        return rc;
    return what & NN_UPDATE ? update(p) : NN_OK;
}

int nn_run(nn_plan *p, unsigned what)
{
    int rc;

    if (!p)
        return NN_EINVAL;
    if (atomic_flag_test_and_set(&p->device->busy))
        return nni_fail(&p->message, NN_ESTATE,
                        "another thread is running a plan of this device: open a device for each thread");
    rc = run(p, what);
    atomic_flag_clear(&p->device->busy);
    return rc;
}

/* ------------------------------------------------------------ values in and out */

static const struct nni_plan_input *find_input(const nn_plan *p, const char *name)
{
    for (int64_t i = 0; name && i < p->input_count; i++)
        if (p->inputs[i].name && !strcmp(p->inputs[i].name, name))
            return &p->inputs[i];
    return NULL;
}

void *nn_host(nn_plan *p, const char *name, size_t *bytes)
{
    const struct nni_plan_input *in = p ? find_input(p, name) : NULL;

    if (bytes)
        *bytes = in ? in->bytes : 0;
    return in ? (char *)p->fed + in->offset : NULL;
}

int nn_write(nn_plan *p, const char *name, const void *data, size_t bytes)
{
    const struct nni_plan_input *in;
    nni_text text;

    if (!p)
        return NN_EINVAL;
    if (!name || !data)
        return nni_null(&p->message, __func__, "name and data");
    in = find_input(p, name);
    if (!in)
        return nni_fail(&p->message, NN_ENOTFOUND, "no input is called \"%s\"", name);
    if (bytes != in->bytes)
        return nni_fail(&p->message, NN_ESHAPE, "input \"%s\" is %s %s, %zu bytes; got %zu", name,
                        nn_dtype_name(in->type), nni_shape_text(in->shape, &text), in->bytes, bytes);
    memcpy((char *)p->fed + in->offset, data, bytes);
    return NN_OK;
}

static int read_operand(nn_plan *p, const char *name, const nn_operand *o, nn_dtype type, void *data,
                        int64_t count)
{
    size_t bytes = (size_t)nn_shape_count(o->shape) * nn_dtype_size(o->type);
    const struct nni_backend *b = p->device->backend;
    void *here;
    nni_text text;
    int rc;

    if (!nn_has(o))
        return nni_fail(&p->message, NN_ENOTFOUND, "\"%s\" has no such value in this plan", name);
    if ((o->base == NN_BASE_ACT && p->memory->owner != p) || (o->base == NN_BASE_CACHE && !p->cache_version))
        return nni_fail(&p->message, NN_ESTATE,
                        "\"%s\" is not in memory: this plan has not run, or another one that shares its "
                        "arena has run since",
                        name);
    if (count != nn_shape_count(o->shape))
        return nni_fail(&p->message, NN_ESHAPE, "\"%s\" is %s: not %lld elements", name,
                        nni_shape_text(o->shape, &text), (long long)count);
    here = b->mirror(p->device, o->at, bytes);
    if (!here || (here != o->at && b->copy(p->device, here, o->at, bytes))) {
        b->unmirror(p->device, here);
        return nni_fail(&p->message, here ? NN_EDEVICE : NN_ENOMEM, "cannot fetch \"%s\", %zu bytes", name,
                        bytes);
    }
    rc = nni_convert(here, o->type, data, type, count);
    b->unmirror(p->device, here);
    return rc ? nni_fail(&p->message, rc, "\"%s\" is %s, which cannot be read as %s", name,
                         nn_dtype_name(o->type), nn_dtype_name(type))
              : NN_OK;
}

static int read_named(nn_plan *p, const char *name, bool gradient, nn_dtype type, void *data, int64_t count)
{
    if (!p)
        return NN_EINVAL;
    if (!name || !data)
        return nni_null(&p->message, gradient ? "nn_read_gradient" : "nn_read", "name and data");
    for (int64_t i = 0; i < p->readables; i++)
        if (!strcmp(p->readable[i].name, name)) {
            const nn_operand *o = gradient ? &p->readable[i].gradient : &p->readable[i].value;

            if (gradient && o->base == NN_BASE_ACT && !p->gradients_valid)
                return nni_fail(
                    &p->message, NN_ESTATE,
                    "the gradient of \"%s\" is not there: no backward run since the last forward run", name);
            return read_operand(p, name, o, type, data, count);
        }
    return nni_fail(&p->message, NN_ENOTFOUND,
                    "nothing readable is called \"%s\" (nn_observe it, or compile with NN_PLAN_DEBUG)", name);
}

int nn_read(nn_plan *p, const char *name, nn_dtype type, void *data, int64_t count)
{
    return read_named(p, name, false, type, data, count);
}

int nn_read_gradient(nn_plan *p, const char *name, nn_dtype type, void *data, int64_t count)
{
    return read_named(p, name, true, type, data, count);
}

nn_real *nn_seed(nn_plan *p, int i)
{
    const nn_operand *o = p && i >= 0 && i < p->seed_count ? &p->seed[i] : NULL;

    if (!o || !nn_has(o))
        return NULL;
    if (!p->seeded[i])
        p->seeded[i] = p->device->backend->mirror(p->device, o->at,
                                                  (size_t)nn_shape_count(o->shape) * nn_dtype_size(o->type));
    return p->seeded[i];
}

double nn_loss(nn_plan *p)
{
    return p && p->loss_valid && p->memory->owner == p && nn_has(&p->loss) ? p->device->backend->loss(p)
                                                                           : (double)NAN;
}

int nn_set(nn_plan *p, nn_setting what, double value)
{
    if (!p)
        return NN_EINVAL;
    if (what >= NN_STEP && what <= NN_SKIPPED && !(value >= 0 && value <= 0x1p53))
        return nni_fail(&p->message, NN_EINVAL, "setting %d is a counter: %g is none", (int)what, value);
    if (what == NN_APPLIED || what == NN_SKIPPED) {
        int rc = p->device->backend->settle(p);

        if (rc)
            return rc;
        p->counters_set = true;
    }
    if (what == NN_LEARNING_RATE && !(value >= 0 && value <= DBL_MAX))
        return nni_fail(&p->message, NN_EINVAL, "%g is no learning rate: 0 or more", value);
    if (what == NN_EMA_DECAY && !(value >= 0 && value <= 1))
        return nni_fail(&p->message, NN_EINVAL, "%g is no decay of an average: 0 to 1", value);
    switch (what) {
    case NN_LEARNING_RATE: p->now.learning_rate = value; return NN_OK;
    case NN_LOSS_SEED: p->now.loss_seed = value; return NN_OK;
    case NN_STEP: p->now.step = (int64_t)value; return NN_OK;
    case NN_SAMPLE: p->next_sample = (int64_t)value; return NN_OK;
    case NN_APPLIED: p->now.applied = (int64_t)value; return NN_OK;
    case NN_SKIPPED: p->now.skipped = (int64_t)value; return NN_OK;
    case NN_EMA_DECAY: p->now.ema_decay = value; return NN_OK;
    default:
        return nni_fail(&p->message, NN_EINVAL, "setting %d (%s) cannot be set", (int)what,
                        what == NN_GRAD_NORM ? "NN_GRAD_NORM, to be read" : "unknown");
    }
}

double nn_get(nn_plan *p, nn_setting what)
{
    bool left = what == NN_APPLIED || what == NN_SKIPPED || what == NN_GRAD_NORM;

    if (!p || (left && p->device->backend->settle(p)))
        return (double)NAN;
    switch (what) {
    case NN_LEARNING_RATE: return p->now.learning_rate;
    case NN_LOSS_SEED: return p->now.loss_seed;
    case NN_STEP: return (double)p->now.step;
    case NN_SAMPLE: return (double)p->next_sample;
    case NN_APPLIED: return (double)p->now.applied;
    case NN_SKIPPED: return (double)p->now.skipped;
    case NN_GRAD_NORM: return p->now.grad_norm;
    case NN_EMA_DECAY: return p->now.ema_decay;
    default: return (double)NAN;
    }
}

int nn_rebind(nn_plan *p, nn_base from, nn_base to)
{
    if (!p)
        return NN_EINVAL;
    if (from != NN_BASE_PARAM || (to != NN_BASE_PARAM && to != NN_BASE_EMA))
        return nni_fail(&p->message, NN_EINVAL, "only NN_BASE_PARAM can be rebound, to NN_BASE_EMA or back");
    if (p->steps > p->forward_steps && to != NN_BASE_PARAM)
        return nni_fail(
            &p->message, NN_EINVAL,
            "a plan with gradients cannot be rebound to averaged weights: compile one without a loss, or "
            "with wrt \"\"");
    for (int i = 0; i < p->models; i++)
        if (!p->model[i]->buffer[to] || !p->model[i]->buffer[STATE_TWIN[to]])
            return nni_fail(&p->message, NN_ESTATE, "the model has no averaged weights yet");
    p->role[NN_BASE_PARAM] = to;
    p->role[NN_BASE_STATE] = STATE_TWIN[to];
    bind(p);
    return NN_OK;
}

/* ------------------------------------------------------------ summary, profile */

static double operand_bytes(const nn_operand *o)
{
    return nn_has(o) ? (double)nn_shape_count(o->shape) * (double)nn_dtype_size(o->type) : 0;
}

static double step_bytes(const struct nni_planned *s)
{
    double n = 0;

    for (int k = 0; k < NN_MAX_IN; k++)
        n += operand_bytes(&s->step.in[k]) +
             operand_bytes(&s->step.din[k]) * (s->accumulate & NN_IN(k) ? 2 : 1);
    for (int k = 0; k < NN_MAX_OUT; k++)
        n += operand_bytes(&s->step.out[k]) + operand_bytes(&s->step.dout[k]);
    for (int k = 0; k < NN_MAX_SAVE; k++)
        n += operand_bytes(&s->step.save[k]);
    return n;
}

static int put_shape(char *text, size_t size, int at, const char *before, const nn_operand *o)
{
    if (!nn_has(o) || at < 0 || (size_t)at >= size)
        return at;
    at += snprintf(text + at, size - (size_t)at, "%s", before);
    for (int i = 0; i < o->shape.rank && (size_t)at < size; i++)
        at += snprintf(text + at, size - (size_t)at, i ? "x%lld" : "%lld", (long long)o->shape.dim[i]);
    return at;
}

/* What distinguishes one call of an op from another. */
static int describe(nn_plan *p)
{
    static const char *const SLOT[NN_SLOTS] = { " +affine", " +gate", " +mask", " +moments" };

    for (int64_t i = 0; i < p->steps; i++) {
        struct nni_planned *s = &p->step[i];
        const nn_step *t = &s->step;
        bool back = s->kind == NNI_BACKWARD_STEP;
        char text[256] = "";
        int at = put_shape(text, sizeof text, 0, "", back && !nn_has(&t->in[0]) ? &t->dout[0] : &t->in[0]);

        at = put_shape(text, sizeof text, at, " > ",
                       back ? nn_has(&t->dout[0]) ? &t->dout[0] : &t->out[0] : &t->out[0]);
        if (t->in[1].base == NN_BASE_PARAM)
            at = put_shape(text, sizeof text, at, " w", &t->in[1]);
        for (int k = 0; k < NN_SLOTS && (size_t)at < sizeof text; k++) {
            int slot = t->op->slot[k];

            if (slot && nn_has(k == NN_SLOT_MOMENTS ? &t->out[slot] : &t->in[slot]))
                at += snprintf(text + at, sizeof text - (size_t)at, "%s", SLOT[k]);
        }
        s->shape = nni_arena_text(&p->arena, text);
        if (!s->shape)
            return NN_ENOMEM;
    }
    return NN_OK;
}

static void summarise(nn_plan *p)
{
    nn_summary *s = &p->summary;
    double flops = 0, bytes = 0;
    int64_t w = 0;

    for (int i = 0; i < p->models; i++) {
        const nn_model *m = p->model[i];

        s->parameters += nn_model_parameters(m);
        for (int64_t k = 0; k < m->count; k++, w++)
            if (p->wanted && p->wanted[w])
                s->trainable += m->segment[k].count;
        for (int b = 0; b < NN_BASES; b++)
            if (m->buffer[b])
                s->parameter_bytes += m->bytes[b == NN_BASE_STATE || b == NN_BASE_STATE_EMA];
    }
    for (int64_t i = 0; i < p->forward_steps; i++) {
        const nn_step *t = &p->step[i].step;

        flops += t->flops;
        bytes += step_bytes(&p->step[i]);
        /* Multiply-adds as the field counts them: products with a weight matrix. */
        if (t->in[1].base == NN_BASE_PARAM && t->in[1].shape.rank >= 2)
            s->multiply_adds += t->flops / 2;
    }
    s->activation_bytes = p->memory_bytes;
    s->input_bytes = p->input_bytes;
    s->cache_bytes = p->cache_bytes;
    s->scratch_bytes = p->lane_bytes * (size_t)nni_pool_threads(p->device->pool);
    s->peak_bytes =
        s->activation_bytes + s->input_bytes + s->cache_bytes + s->scratch_bytes + s->parameter_bytes;
    s->steps[0] = p->forward_steps;
    s->steps[1] = p->steps - p->forward_steps;
    s->steps[2] = p->tiles;
    s->arithmetic_intensity = bytes > 0 ? flops / bytes : 0;
}

void nn_plan_summary(const nn_plan *p, nn_summary *out)
{
    if (out)
        *out = p ? p->summary : (nn_summary){ 0 };
}

void nn_profile(nn_plan *p, int on)
{
    if (!p)
        return;
    p->profiling = on != 0;
    if (!on)
        return;
    for (int64_t i = 0; i < p->steps; i++) {
        p->step[i].runs = 0;
        p->step[i].seconds = 0;
    }
    p->update_runs = 0;
    p->update_seconds = 0;
}

int64_t nn_profile_rows(const nn_plan *p, nn_profile_row *rows, int64_t most)
{
    int64_t n = p ? p->steps + (p->optim.name != NULL) : 0;

    if (!p || !rows)
        return n;
    for (int64_t i = 0; i < p->steps && i < most; i++) {
        const struct nni_planned *s = &p->step[i];

        rows[i] = (nn_profile_row){ .name = s->step.name,
                                    .op = s->step.op->name,
                                    .shape = s->shape,
                                    .segment = i < p->forward_steps ? NN_FORWARD : NN_BACKWARD,
                                    .runs = s->runs,
                                    .seconds = s->seconds,
                                    .flops = s->step.flops,
                                    .bytes = step_bytes(s) };
    }
    if (p->optim.name && p->steps < most) {
        double count = (double)p->summary.trainable;

        rows[p->steps] =
            (nn_profile_row){ .name = "",
                              .op = p->optim.name,
                              .shape = "",
                              .segment = NN_UPDATE,
                              .runs = p->update_runs,
                              .seconds = p->update_seconds,
                              .bytes = count * (double)sizeof(nn_real) * (4 + 2 * p->optim.moments) };
    }
    return n;
}
