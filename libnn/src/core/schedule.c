/* SPDX-License-Identifier: MIT
 *
 * The schedule: forward steps in recorded order, then backward steps in reverse, and right before the
 * first of these that reads it what grad.c chose to be emitted again.
 *
 * Gradients are not new nodes. A backward step is the same op with din and dout; the first one that
 * writes a tensor's gradient overwrites it, later ones add.
 */
#include "core/core.h"
#include "ops/gradient.h"

#include <string.h>

/* ------------------------------------------------------------------- stores */

static int64_t new_store(nn_plan *p, size_t bytes, int64_t birth)
{
    struct nni_store *list = nni_one_more(p->store, (size_t)p->stores, &p->store_room, sizeof *list);

    if (!list)
        return -1;
    p->store = list;
    p->store[p->stores] =
        (struct nni_store){ .bytes = bytes, .birth = birth, .death = birth, .root = p->stores };
    return p->stores++;
}

static void touch(nn_plan *p, int64_t store, int64_t at)
{
    if (store >= 0 && p->store[store].death < at)
        p->store[store].death = at;
}

/* ------------------------------------------------------------------ operands */

nn_operand nni_operand_in(nn_shape shape, nn_dtype type, int64_t store)
{
    return (nn_operand){ .shape = shape, .type = type, .base = NN_BASE_ACT, .offset = (size_t)store };
}

nn_operand nni_operand_of(const struct nni_compile *c, const nn_tensor *t, int64_t store)
{
    nn_operand o = { .shape = t->shape, .type = t->type, .base = t->base, .model = t->model };

    if (t->base == NN_BASE_PARAM || t->base == NN_BASE_STATE)
        o.offset = c->plan->model[t->model]->segment[t->index].offset;
    else if (t->base == NN_BASE_INPUT)
        o.offset = c->plan->inputs[t->index].offset;
    else
        o.offset = (size_t)store;
    return o;
}

/* --------------------------------------------------------------------- steps */

static struct nni_planned *new_step(struct nni_compile *c, const nn_op *op, int kind)
{
    nn_plan *p = c->plan;
    struct nni_planned *list = nni_one_more(p->step, (size_t)p->steps, &p->step_room, sizeof *list), *s;

    if (!list)
        return NULL;
    p->step = list; /* steps refer to nothing inside it */
    s = &p->step[p->steps++];
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->scratch_store = s->derived_store = -1;
    s->step.op = op;
    s->step.device = p->device;
    s->step.now = &p->now;
    return s;
}

/* Runs the op's preparation and gives it its scratch. */
static int prepare(struct nni_compile *c, struct nni_planned *s, int (*choose)(nn_step *))
{
    nn_plan *p = c->plan;
    int64_t at = p->steps - 1;
    int rc = choose(&s->step);

    if (rc) {
        (void)nn_graph_fail(c->graph, rc, "%s: %s: no kernel for these operands", s->step.name,
                            s->step.op->name);
        return rc;
    }
    if (s->step.lane_bytes > p->lane_bytes)
        p->lane_bytes = s->step.lane_bytes;
    if (s->step.scratch_bytes && (s->scratch_store = new_store(p, s->step.scratch_bytes, at)) < 0)
        return NN_ENOMEM;
    if (s->step.derived.bytes && (s->derived_store = new_store(p, s->step.derived.bytes, at)) < 0)
        return NN_ENOMEM;
    return NN_OK;
}

/* Describes the node; operands are filled by the callers. */
static struct nni_planned *step_of(struct nni_compile *c, const struct nni_cnode *n, int kind)
{
    struct nni_planned *s = new_step(c, n->n.op, kind);

    if (!s)
        return NULL;
    /* The plan outlives the graph: it takes its own copies. */
    if (n->n.attrs) {
        void *attrs = nni_arena_take(&c->plan->arena, n->n.op->attrs_bytes);

        if (!attrs)
            return NULL;
        s->step.attrs = memcpy(attrs, n->n.attrs, n->n.op->attrs_bytes);
    }
    s->step.act = n->n.act;
    s->step.key = n->n.key;
    s->step.name = nni_arena_text(&c->plan->arena, n->n.path);
    return s->step.name ? s : NULL;
}

/* Store of a tensor's value as backward sees it: the re-emitted one if there is one. */
static int64_t current(const struct nni_compile *c, const nn_tensor *t)
{
    return c->again[t->id] >= 0 ? c->again[t->id] : c->value[t->id];
}

/* Backward would see running statistics after their update: what forward saw is gone by then. */
static int check_state(struct nni_compile *c, const struct nni_cnode *n, const nn_tensor *t)
{
    if (t->base != NN_BASE_STATE || !c->changed[t->id])
        return NN_OK;
    (void)nn_graph_fail(c->graph, NN_EUNSUPPORTED,
                        "%s: %s needs %s for its gradient, which this graph changes in the same run; record "
                        "the two uses in two graphs",
                        n->n.path, n->n.op->name, t->name);
    return NN_EUNSUPPORTED;
}

static int emit_forward(struct nni_compile *c, const struct nni_cnode *n, int kind, int64_t *save)
{
    nn_plan *p = c->plan;
    struct nni_planned *s = step_of(c, n, kind);
    int64_t at = p->steps - 1;
    int kernels = p->device->backend->kernels;
    bool constant = !(n->n.op->flags & (NN_OP_EFFECT | NN_OP_RANDOM)) && kind == NNI_FORWARD_STEP;

    if (!s)
        return NN_ENOMEM;
    for (int k = 0; k < NN_MAX_IN; k++) {
        const nn_tensor *t = n->n.in[k];
        int64_t store;

        if (!t)
            continue;
        if (kind == NNI_REEMIT_STEP && check_state(c, n, t))
            return NN_EUNSUPPORTED;
        store = kind == NNI_REEMIT_STEP ? current(c, t) : c->value[t->id];
        s->step.in[k] = nni_operand_of(c, t, store);
        if (t->base == NN_BASE_ACT)
            touch(p, store, at);
        constant = constant && (t->base == NN_BASE_PARAM || t->base == NN_BASE_STATE ||
                                (t->base == NN_BASE_ACT && p->store[store].cache));
    }
    /* Only a plan that nobody trains beside can keep what it made from parameters. */
    s->hoisted = constant && !c->backward && !c->opts->share && !(p->flags & NN_PLAN_DEBUG);
    for (int k = 0; k < NN_MAX_OUT; k++) {
        const nn_tensor *t = n->n.out[k];
        int64_t store;

        if (!t)
            continue;
        store = new_store(p, nni_bytes(t->shape, t->type), at);
        if (store < 0)
            return NN_ENOMEM;
        p->store[store].cache = s->hoisted;
        *(kind == NNI_REEMIT_STEP ? &c->again[t->id] : &c->value[t->id]) = store;
        s->step.out[k] = nni_operand_of(c, t, store);
    }
    for (int k = 0; k < NN_MAX_SAVE; k++) {
        if (n->n.save_shape[k].rank < 0)
            continue;
        /* What a pool saves takes work that is for nothing where there is no backward. */
        if (n->n.op->flags & NNI_OP_POOLS && !c->backward)
            continue;
        if ((save[k] = new_store(p, nni_bytes(n->n.save_shape[k], n->n.save_type[k]), at)) < 0)
            return NN_ENOMEM;
        s->step.save[k] = nni_operand_in(n->n.save_shape[k], n->n.save_type[k], save[k]);
    }
    if (!n->n.op->forward[kernels]) {
        (void)nn_graph_fail(c->graph, NN_EUNSUPPORTED, "%s: %s has no forward kernel on this device",
                            n->n.path, n->n.op->name);
        return NN_EUNSUPPORTED;
    }
    return prepare(c, s, n->n.op->forward[kernels]);
}

/* ------------------------------------------------------------------ gradients */

/* Emits what `t` needs again, once. */
static int ensure(struct nni_compile *c, const nn_tensor *t)
{
    const struct nni_cnode *n = (const struct nni_cnode *)(const void *)t->node;
    int64_t none[NN_MAX_SAVE] = { 0 };

    if (!n || !c->repeated[t->id] || c->again[t->id] >= 0)
        return NN_OK;
    for (int k = 0; k < NN_MAX_IN; k++) {
        int rc = n->n.in[k] ? ensure(c, n->n.in[k]) : NN_OK;

        if (rc)
            return rc;
    }
    return emit_forward(c, n, NNI_REEMIT_STEP, none);
}

static int sum_into(struct nni_compile *c, const char *name, nn_operand from, nn_operand to)
{
    struct nni_planned *s = new_step(c, &nni_op_gradient_sum, NNI_BACKWARD_STEP);

    if (!s)
        return NN_ENOMEM;
    s->step.name = nni_arena_text(&c->plan->arena, name);
    if (!s->step.name)
        return NN_ENOMEM;
    s->step.in[0] = from;
    s->step.out[0] = to;
    if (from.base == NN_BASE_ACT)
        touch(c->plan, (int64_t)from.offset, c->plan->steps - 1);
    if (to.base == NN_BASE_ACT)
        touch(c->plan, (int64_t)to.offset, c->plan->steps - 1);
    return prepare(c, s, nni_op_gradient_sum.forward[c->plan->device->backend->kernels]);
}

/* The place of a tensor's gradient. */
static nn_operand gradient_of(struct nni_compile *c, const nn_tensor *t, int64_t at)
{
    nn_operand o = nni_operand_of(c, t, 0);

    if (t->base == NN_BASE_PARAM) {
        o.base = NN_BASE_GRAD;
        return o;
    }
    if (c->grad[t->id] < 0)
        c->grad[t->id] = new_store(c->plan, nni_bytes(t->shape, t->type), at);
    if (c->grad[t->id] < 0)
        return (nn_operand){ 0 };
    touch(c->plan, c->grad[t->id], at);
    return nni_operand_in(t->shape, t->type, c->grad[t->id]);
}

/* Whether the gradient of what node n pools can be left to the backward of whoever made that: it runs later
 * than all readers', and nobody looks at the sum before. */
static bool leaves_pooled(const struct nni_compile *c, const struct nni_cnode *n)
{
    const nn_tensor *t = n->n.in[0];

    return c->plan->device->backend->pooled && n->n.op->flags & NNI_OP_POOLS && t->node &&
           t->node->op->flags & NNI_OP_TAKES_POOLED && t == t->node->out[0] && c->written[t->id] &&
           !c->pool[t->id] && !nni_held(c, t) && !(c->plan->flags & NN_PLAN_DEBUG);
}

/* The operands of the mean that the node's backward takes in. */
static void take_pooled(struct nni_compile *c, const struct nni_cnode *pool, nn_step *s, int64_t at)
{
    int k = pool->n.op->slot[NN_SLOT_AFFINE];
    const nn_tensor *y = pool->n.out[0];

    s->pooled[0] = nni_operand_in(y->shape, y->type, c->grad[y->id]);
    touch(c->plan, c->grad[y->id], at);
    for (int j = 0; j < 3; j++) {
        const nn_tensor *t = pool->n.in[k + j];

        if (!t)
            continue;
        s->pooled[1 + j] = nni_operand_of(c, t, current(c, t));
        if (t->base == NN_BASE_ACT)
            touch(c->plan, current(c, t), at);
    }
    s->pooled_act = pool->n.act;
}

static int emit_backward(struct nni_compile *c, const struct nni_cnode *n, const int64_t *save)
{
    nn_plan *p = c->plan;
    const struct nni_cnode *pool = n->n.out[0] ? c->pool[n->n.out[0]->id] : NULL;
    uint32_t r = nni_backward_reads(n) | (pool ? NN_OUT(0) : 0);
    struct nni_planned *s;
    int kernels = p->device->backend->kernels;
    int64_t at;
    struct {
        nn_operand from, to;
    } sum[NN_MAX_IN];
    int sums = 0, rc;

    if (!n->n.op->backward[kernels]) {
        (void)nn_graph_fail(c->graph, NN_EUNSUPPORTED, "%s: %s has no derivative on this device", n->n.path,
                            n->n.op->name);
        return NN_EUNSUPPORTED;
    }
    for (int k = 0; k < NN_MAX_IN; k++)
        if (n->n.in[k] && r & NN_IN(k) && (rc = ensure(c, n->n.in[k])))
            return rc;
    for (int k = 0; k < NN_MAX_OUT; k++)
        if (n->n.out[k] && r & NN_OUT(k) && (rc = ensure(c, n->n.out[k])))
            return rc;
    s = step_of(c, n, NNI_BACKWARD_STEP);
    if (!s)
        return NN_ENOMEM;
    at = p->steps - 1;
    for (int k = 0; k < NN_MAX_IN; k++) {
        const nn_tensor *t = n->n.in[k];

        if (!t)
            continue;
        s->step.in[k].shape = t->shape; /* of what is absent, too */
        s->step.in[k].type = t->type;
        if (!(r & NN_IN(k)))
            continue;
        if ((rc = check_state(c, n, t)))
            return rc;
        s->step.in[k] = nni_operand_of(c, t, current(c, t));
        if (t->base == NN_BASE_ACT)
            touch(p, current(c, t), at);
    }
    for (int k = 0; k < NN_MAX_OUT; k++) {
        const nn_tensor *t = n->n.out[k];

        if (!t)
            continue;
        s->step.out[k].shape = t->shape;
        s->step.out[k].type = t->type;
        if (r & NN_OUT(k)) {
            s->step.out[k] = nni_operand_of(c, t, current(c, t));
            touch(p, current(c, t), at);
        }
        if (c->written[t->id]) {
            s->step.dout[k] = nni_operand_in(t->shape, t->type, c->grad[t->id]);
            touch(p, c->grad[t->id], at);
        }
    }
    for (int k = 0; k < NN_MAX_SAVE; k++) {
        if (n->n.save_shape[k].rank < 0)
            continue;
        s->step.save[k] = nni_operand_in(n->n.save_shape[k], n->n.save_type[k], save[k]);
        touch(p, save[k], at);
    }
    if (pool)
        take_pooled(c, pool, &s->step, at);
    for (int k = 0; k < NN_MAX_IN; k++) {
        const nn_tensor *t = n->n.in[k];
        bool twice = false;

        if (!nni_wants_gradient(c, n, k))
            continue;
        if (k == 0 && leaves_pooled(c, n)) {
            c->pool[t->id] = n;
            continue;
        }
        for (int j = 0; j < k; j++)
            twice = twice || (n->n.in[j] == t && nn_has(&s->step.din[j]));
        s->step.din[k] = gradient_of(c, t, at);
        if (!nn_has(&s->step.din[k]))
            return NN_ENOMEM;
        if (twice) {
            int64_t store = new_store(p, nni_bytes(t->shape, t->type), at);

            if (store < 0)
                return NN_ENOMEM;
            sum[sums].to = s->step.din[k];
            sum[sums++].from = s->step.din[k] = nni_operand_in(t->shape, t->type, store);
            continue;
        }
        if (c->written[t->id])
            s->accumulate |= NN_IN(k);
        else if (t->base == NN_BASE_PARAM)
            s->run_accumulate |= NN_IN(k);
        c->written[t->id] = true;
    }
    s->step.accumulate = s->accumulate;
    rc = prepare(c, s, n->n.op->backward[kernels]);
    for (int i = 0; !rc && i < sums; i++)
        rc = sum_into(c, n->n.path, sum[i].from, sum[i].to);
    return rc;
}

/* ------------------------------------------------------------------- everything */

static int make_tables(struct nni_compile *c)
{
    size_t n = (size_t)c->tensors + 1;

    c->changed = nni_arena_take(&c->arena, n);
    c->written = nni_arena_take(&c->arena, n);
    c->value = nni_arena_take(&c->arena, n * sizeof *c->value);
    c->again = nni_arena_take(&c->arena, n * sizeof *c->again);
    c->grad = nni_arena_take(&c->arena, n * sizeof *c->grad);
    c->pool = nni_arena_take(&c->arena, n * sizeof *c->pool);
    if (!c->changed || !c->written || !c->value || !c->again || !c->grad || !c->pool)
        return NN_ENOMEM;
    for (size_t i = 0; i < n; i++)
        c->value[i] = c->again[i] = c->grad[i] = -1;
    for (int64_t i = 0; i < c->nodes; i++)
        for (int k = 0; c->node[i]->n.op->flags & NN_OP_EFFECT && k < NN_MAX_IN; k++)
            if (c->node[i]->n.in[k] && c->node[i]->n.in[k]->base == NN_BASE_STATE)
                c->changed[c->node[i]->n.in[k]->id] = true;
    return NN_OK;
}

/* The gradient of the loss, which a step writes. */
static int seed_loss(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    struct nni_planned *s = new_step(c, &nni_op_loss_seed, NNI_BACKWARD_STEP);

    if (!s)
        return NN_ENOMEM;
    s->step.name = "";
    s->step.out[0] = gradient_of(c, c->loss, p->steps - 1);
    if (!nn_has(&s->step.out[0]))
        return NN_ENOMEM;
    c->written[c->loss->id] = true;
    return prepare(c, s, nni_op_loss_seed.forward[p->device->backend->kernels]);
}

/* Gradients that are written from outside: they must survive from before the run until their reader. */
static int place_seeds(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    size_t n = (size_t)c->opts->seed_count + 1;

    p->seed = nni_arena_take(&p->arena, n * sizeof *p->seed);
    p->seeded = nni_arena_take(&p->arena, n * sizeof *p->seeded);
    if (!p->seed || !p->seeded)
        return NN_ENOMEM;
    p->seed_count = c->opts->seed_count;
    for (int i = 0; i < p->seed_count; i++) {
        const nn_tensor *t = c->seed[i];

        if (!c->reached[t->id])
            continue;
        p->seed[i] = gradient_of(c, t, p->steps);
        if (!nn_has(&p->seed[i]))
            return NN_ENOMEM;
        p->store[c->grad[t->id]].pinned = true;
        c->written[t->id] = true;
    }
    return NN_OK;
}

static bool any_written(const struct nni_compile *c, const struct nni_cnode *n)
{
    for (int k = 0; k < NN_MAX_OUT; k++)
        if (n->n.out[k] && c->written[n->n.out[k]->id])
            return true;
    return false;
}

int nni_schedule(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    int64_t(*save)[NN_MAX_SAVE] = nni_arena_take(&c->arena, (size_t)(c->nodes + 1) * sizeof *save);
    int rc = save ? make_tables(c) : NN_ENOMEM;

    for (int64_t i = 0; !rc && i < c->nodes; i++)
        rc = emit_forward(c, c->node[i], NNI_FORWARD_STEP, save[i]);
    p->forward_steps = p->steps;
    if (rc || !c->backward)
        return rc;
    if (c->loss && c->reached[c->loss->id])
        rc = seed_loss(c);
    if (!rc)
        rc = place_seeds(c);
    for (int64_t i = c->nodes - 1; !rc && i >= 0; i--)
        if (any_written(c, c->node[i]) && nni_differentiates(c, c->node[i]))
            rc = emit_backward(c, c->node[i], save[i]);
    return rc;
}
