/* SPDX-License-Identifier: MIT
 *
 * What is differentiated. A gradient is computed of what somebody wants to know it of, where the loss depends
 * on that; both are marked before any step is emitted. From this follows what backward reads, and from that
 * which outputs of CHEAP ops are emitted again before their backward reader instead of being kept from
 * forward to backward: what is kept is what is expensive to compute.
 */
#include "core/core.h"

enum { CHEAP_LEAST_BYTES = 1 << 14 }; /* below this a kept tensor costs nothing */

static bool is_real(const nn_tensor *t)
{
    return t->type == NN_REAL || t->type == NN_BF16 || t->type == NN_F16;
}

/* Whether the plan trains this parameter. */
static bool updated(const struct nni_compile *c, const nn_tensor *t)
{
    const nn_segment *s = &c->plan->model[t->model]->segment[t->index];

    return s->trainable && (!c->opts->wrt || nn_match(c->opts->wrt, s->name));
}

/* wanted: a gradient asked for lies at or above the tensor. */
static void mark_wanted(struct nni_compile *c)
{
    for (int64_t i = 0; i < c->tensors; i++) {
        const nn_tensor *t = c->tensor[i];

        if (t->base == NN_BASE_PARAM && !t->detached)
            c->wanted[i] = updated(c, t);
    }
    for (int i = 0; i < c->opts->input_count; i++)
        c->wanted[c->input[i]->id] = true;
    for (const struct nni_observed *o = c->observed; o; o = o->next)
        if (is_real(o->tensor) && !(o->tensor->node && o->tensor->node->op->flags & NN_OP_NO_GRAD))
            c->wanted[o->tensor->id] = true;
    for (int64_t i = 0; i < c->nodes; i++) {
        const struct nni_cnode *n = c->node[i];
        bool any = false;

        for (int k = 0; k < NN_MAX_IN; k++)
            any = any || (n->n.in[k] && !(n->detached & NN_IN(k)) && c->wanted[n->n.in[k]->id]);
        if (!any || n->n.op->flags & NN_OP_NO_GRAD)
            continue;
        for (int k = 0; k < NN_MAX_OUT; k++)
            if (n->n.out[k] && is_real(n->n.out[k]))
                c->wanted[n->n.out[k]->id] = true;
    }
}

bool nni_wants_gradient(const struct nni_compile *c, const struct nni_cnode *n, int k)
{
    const nn_tensor *t = n->n.in[k];

    return t && !(n->detached & NN_IN(k)) && c->wanted[t->id] && is_real(t);
}

bool nni_differentiates(const struct nni_compile *c, const struct nni_cnode *n)
{
    bool in = false, out = false;

    if (n->n.op->flags & NN_OP_NO_GRAD)
        return false;
    for (int k = 0; k < NN_MAX_IN; k++)
        in = in || nni_wants_gradient(c, n, k);
    for (int k = 0; k < NN_MAX_OUT; k++)
        out = out || (n->n.out[k] && c->reached[n->n.out[k]->id]);
    return in && out;
}

/* reached: the loss depends on the tensor and somebody wants to know how. */
static void mark_reached(struct nni_compile *c)
{
    if (c->loss)
        c->reached[c->loss->id] = c->wanted[c->loss->id];
    for (int i = 0; i < c->opts->seed_count; i++)
        c->reached[c->seed[i]->id] = c->wanted[c->seed[i]->id];
    for (int64_t i = c->nodes - 1; i >= 0; i--) {
        const struct nni_cnode *n = c->node[i];

        if (!nni_differentiates(c, n))
            continue;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (nni_wants_gradient(c, n, k))
                c->reached[n->n.in[k]->id] = true;
    }
}

uint32_t nni_backward_reads(const struct nni_cnode *n)
{
    const nn_op *op = n->n.op;
    uint32_t r = op->reads;

    if (op->slot[NN_SLOT_AFFINE] && n->n.in[op->slot[NN_SLOT_AFFINE]])
        for (int j = 0; j < 3; j++)
            r |= NN_IN(0) | NN_IN(op->slot[NN_SLOT_AFFINE] + j);
    if (op->slot[NN_SLOT_GATE] && n->n.in[op->slot[NN_SLOT_GATE]])
        r |= NN_IN(0) | NN_IN(op->slot[NN_SLOT_GATE]);
    if (op->slot[NN_SLOT_MASK] && n->n.in[op->slot[NN_SLOT_MASK]])
        r |= NN_IN(op->slot[NN_SLOT_MASK]);
    if (op->slot[NN_SLOT_MOMENTS] && n->n.out[op->slot[NN_SLOT_MOMENTS]])
        r |= NN_OUT(0) | NN_OUT(op->slot[NN_SLOT_MOMENTS]);
    return r;
}

/* May the node be emitted again? CHEAP ops always; where memory is short, those that widen their input. */
static bool repeatable(const struct nni_compile *c, const struct nni_cnode *n)
{
    const nn_tensor *x = n->n.in[0], *y = n->n.out[0];

    if (n->n.op->flags & NN_OP_CHEAP)
        return !n->n.out[1];
    return c->plan->flags & NN_PLAN_RECOMPUTE && n->n.op->flags & NN_OP_RECOMPUTE && x && y &&
           nni_bytes(y->shape, y->type) >= 2 * nni_bytes(x->shape, x->type);
}

/* Which outputs of CHEAP ops are worth emitting again: large ones that backward reads, whose large
 * inputs are there in backward anyway or can be emitted again themselves. */
static void choose_repeated(struct nni_compile *c, bool *kept)
{
    for (int64_t i = 0; i < c->nodes; i++) {
        const struct nni_cnode *n = c->node[i];
        uint32_t r = nni_backward_reads(n);

        if (!nni_differentiates(c, n))
            continue;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (n->n.in[k] && r & NN_IN(k))
                kept[n->n.in[k]->id] = true;
        for (int k = 0; k < NN_MAX_OUT; k++)
            if (n->n.out[k] && r & NN_OUT(k))
                kept[n->n.out[k]->id] = true;
    }
    if (c->plan->flags & NN_PLAN_NO_CHEAP)
        return;
    for (int64_t i = c->nodes - 1; i >= 0; i--) {
        const struct nni_cnode *n = c->node[i];
        const nn_tensor *y = n->n.out[0];
        bool worth =
            y && kept[y->id] && repeatable(c, n) && nni_bytes(y->shape, y->type) >= CHEAP_LEAST_BYTES;

        for (int k = 0; worth && k < NN_MAX_IN; k++) {
            const nn_tensor *x = n->n.in[k];
            const struct nni_cnode *from = x ? (const struct nni_cnode *)(const void *)x->node : NULL;

            if (!x || x->base != NN_BASE_ACT || nni_bytes(x->shape, x->type) < CHEAP_LEAST_BYTES ||
                kept[x->id])
                continue;
            worth = from && from->n.op->flags & NN_OP_CHEAP;
        }
        if (!worth)
            continue;
        c->repeated[y->id] = true;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (n->n.in[k])
                kept[n->n.in[k]->id] = true;
    }
}

int nni_grad(struct nni_compile *c)
{
    size_t n = (size_t)c->tensors + 1;
    bool *kept = nni_arena_take(&c->arena, n);

    c->wanted = nni_arena_take(&c->arena, n);
    c->reached = nni_arena_take(&c->arena, n);
    c->repeated = nni_arena_take(&c->arena, n);
    if (!kept || !c->wanted || !c->reached || !c->repeated)
        return NN_ENOMEM;
    if (c->backward) {
        mark_wanted(c);
        mark_reached(c);
        choose_repeated(c, kept);
    }
    return NN_OK;
}

int nni_collect_trained(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    int64_t total = 0, first = 0;
    bool any = false;

    for (int m = 0; m < p->models; m++)
        total += p->model[m]->count;
    p->wanted = nni_arena_take(&p->arena, (size_t)total + 1);
    p->zero = nni_arena_take(&p->arena, (size_t)(total + 1) * sizeof *p->zero);
    if (!p->wanted || !p->zero)
        return NN_ENOMEM;
    for (int m = 0; m < p->models; m++) {
        for (int64_t i = 0; i < c->tensors; i++) {
            const nn_tensor *t = c->tensor[i];

            if (t->base != NN_BASE_PARAM || t->model != m || !c->wanted[i])
                continue;
            /* Looking at a gradient is one thing, changing the parameter by it another. */
            p->wanted[first + t->index] = updated(c, t);
            any = any || p->wanted[first + t->index];
            if (!c->written[i]) {
                p->zero[p->zeros].model = m;
                p->zero[p->zeros++].segment = t->index;
            }
        }
        first += p->model[m]->count;
    }
    if (!any && (p->optim.name || (c->backward && c->opts->wrt && *c->opts->wrt))) {
        (void)nn_graph_fail(c->graph, NN_ENOTFOUND,
                            "nothing to train: no trainable parameter is called \"%s\"",
                            c->opts->wrt ? c->opts->wrt : "*");
        return NN_ENOTFOUND;
    }
    return NN_OK;
}
