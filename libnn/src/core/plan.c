/* SPDX-License-Identifier: MIT
 *
 * The plan: compile a graph into an array of steps over planned memory, bind the operands to
 * addresses, and replay. This file is the pipeline's table of contents (nn_compile) and its loop
 * (nn_run).
 */
#include "core/core.h"

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

typedef void visitor(const nn_plan *p, nn_operand *o);

static void for_each(const nn_plan *p, nn_operand *list, int count, visitor *visit)
{
    for (int i = 0; i < count; i++)
        if (nn_has(&list[i]))
            visit(p, &list[i]);
}

/* All operands that the plan has. */
static void for_operands(nn_plan *p, visitor *visit)
{
    for (int64_t i = 0; i < p->steps; i++) {
        nn_step *t = &p->step[i].step;

        for_each(p, t->in, NN_MAX_IN, visit);
        for_each(p, t->din, NN_MAX_IN, visit);
        for_each(p, t->out, NN_MAX_OUT, visit);
        for_each(p, t->dout, NN_MAX_OUT, visit);
        for_each(p, t->save, NN_MAX_SAVE, visit);
        for_each(p, t->pooled, (int)(sizeof t->pooled / sizeof *t->pooled), visit);
    }
    for (int64_t i = 0; i < p->readables; i++) {
        for_each(p, &p->readable[i].value, 1, visit);
        for_each(p, &p->readable[i].gradient, 1, visit);
    }
    for_each(p, &p->loss, 1, visit);
    for_each(p, p->seed, p->seed_count, visit);
}

static void bind_operand(const nn_plan *p, nn_operand *o) { o->at = (char *)base_address(p, o) + o->offset; }

static void *in_arena(const nn_plan *p, int64_t store)
{
    return (char *)p->memory->at + p->store[store].offset + (p->flags & NN_PLAN_DEBUG ? NNI_GUARD : 0);
}

static void bind(nn_plan *p)
{
    for_operands(p, bind_operand);
    for (int64_t i = 0; i < p->steps; i++) {
        struct nni_planned *s = &p->step[i];

        if (s->scratch_store >= 0)
            s->step.scratch = in_arena(p, s->scratch_store);
        if (s->derived_store >= 0)
            s->step.derived.at = s->derived_cached ? (char *)p->cache + p->store[s->derived_store].offset
                                                   : in_arena(p, s->derived_store);
    }
    for (int i = 0; i < p->seed_count; i++) {
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
        in->bytes = nni_bytes(t->shape, t->type);
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
        else if (o->seeds[i]->base == NN_BASE_PARAM)
            return nni_fail(
                &c->graph->message, NN_EINVAL,
                "seed %d is the parameter \"%s\": seeds are what ops made, nn_scale(g, x, 1, 0) for "
                "one",
                i, o->seeds[i]->name);
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
    if ((rc = nni_grad(c)) || (rc = nni_schedule(c)) || (rc = nni_collect_readable(c)) ||
        (rc = nni_collect_trained(c)))
        return rc;
    choose_cached(p, !c->backward && !c->opts->share && !(p->flags & NN_PLAN_DEBUG));
    if ((rc = nni_place(p, !(p->flags & (NN_PLAN_DEBUG | NN_PLAN_NO_REUSE)))))
        return rc;
    for_operands(p, settle);
    p->cache = b->alloc(p->device, p->cache_bytes);
    p->input = b->alloc(p->device, p->input_bytes);
    if (!p->cache || !p->input || !(p->fed = b->mirror(p->device, p->input, p->input_bytes)))
        return NN_ENOMEM;
    fill_inputs(c);
    if ((rc = join_memory(p, c->opts->share)))
        return rc;
    bind(p);
    repaint_guards(p);
    if ((p->optim.name && (rc = nni_update_prepare(p, &p->message))) || (rc = nni_describe(p)) ||
        (rc = b->ready(p, &p->message)))
        return rc;
    nni_summarise(p);
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
            rc =
                b->copy(p->device, p->seed[i].at, p->seeded[i], nni_bytes(p->seed[i].shape, p->seed[i].type));
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
