/* SPDX-License-Identifier: MIT
 *
 * Lowering: a private copy of the part of the graph that the plan needs. The graph stays as it was
 * recorded, so it can be compiled several times in different ways.
 */
#include "core/core.h"

/* Number of the tensor that holds the value. */
static int64_t id_of(const nn_tensor *t) { return t->detached ? t->of->id : t->id; }

static nn_tensor *copy_of(struct nni_compile *c, const nn_tensor *t)
{
    return t ? c->tensor[id_of(t)] : NULL;
}

static void *take(struct nni_compile *c, int64_t count, size_t size)
{
    return nni_arena_take(&c->arena, (size_t)(count ? count : 1) * size);
}

/* Marks the nodes that something asked for depends on. Recorded order is topological. */
static bool *mark_needed(struct nni_compile *c)
{
    const nn_graph *g = c->graph;
    bool *need = take(c, g->tensors, sizeof *need), *keep = take(c, g->nodes, sizeof *keep);

    if (!need || !keep)
        return NULL;
    if (c->opts->loss)
        need[id_of(c->opts->loss)] = true;
    for (int i = 0; i < c->opts->seed_count; i++)
        need[id_of(c->opts->seeds[i])] = true;
    for (const struct nni_observed *o = g->observed; o; o = o->next)
        need[id_of(o->tensor)] = true;
    for (int64_t i = g->nodes - 1; i >= 0; i--) {
        const nn_node *n = g->node[i];

        keep[i] = n->op->flags & NN_OP_EFFECT || c->plan->flags & NN_PLAN_DEBUG;
        for (int k = 0; k < NN_MAX_OUT; k++)
            keep[i] = keep[i] || (n->out[k] && need[n->out[k]->id]);
        for (int k = 0; keep[i] && k < NN_MAX_IN; k++)
            if (n->in[k])
                need[id_of(n->in[k])] = true;
    }
    return keep;
}

int nni_lower(struct nni_compile *c)
{
    const nn_graph *g = c->graph;
    const nn_plan_opts *o = c->opts;
    bool *keep = mark_needed(c);

    c->tensors = g->tensors;
    c->tensor = take(c, g->tensors, sizeof *c->tensor);
    c->node = take(c, g->nodes, sizeof *c->node);
    c->seed = take(c, o->seed_count, sizeof *c->seed);
    c->input = take(c, o->input_count, sizeof *c->input);
    if (!keep || !c->tensor || !c->node || !c->seed || !c->input)
        return NN_ENOMEM;
    for (int64_t i = 0; i < g->tensors; i++) {
        c->tensor[i] = nni_arena_take(&c->arena, sizeof **c->tensor);
        if (!c->tensor[i])
            return NN_ENOMEM;
        *c->tensor[i] = *g->tensor[i];
        c->tensor[i]->node = NULL;
    }
    for (int64_t i = 0; i < g->nodes; i++) {
        struct nni_cnode *n;

        if (!keep[i])
            continue;
        n = nni_arena_take(&c->arena, sizeof *n);
        if (!n)
            return NN_ENOMEM;
        n->n = *g->node[i];
        for (int k = 0; k < NN_MAX_IN; k++) {
            const nn_tensor *t = g->node[i]->in[k];

            n->n.in[k] = copy_of(c, t);
            if (t && t->detached)
                n->detached |= NN_IN(k);
        }
        for (int k = 0; k < NN_MAX_OUT; k++) {
            n->n.out[k] = copy_of(c, g->node[i]->out[k]);
            if (n->n.out[k])
                n->n.out[k]->node = &n->n;
        }
        c->node[c->nodes++] = n;
    }
    c->loss = copy_of(c, o->loss);
    for (int i = 0; i < o->seed_count; i++)
        c->seed[i] = copy_of(c, o->seeds[i]);
    for (int i = 0; i < o->input_count; i++)
        c->input[i] = copy_of(c, o->inputs[i]);
    for (const struct nni_observed *x = g->observed; x; x = x->next) {
        struct nni_observed *y = nni_arena_take(&c->arena, sizeof *y);

        if (!y)
            return NN_ENOMEM;
        *y = (struct nni_observed){ .name = x->name, .tensor = copy_of(c, x->tensor), .next = c->observed };
        c->observed = y;
    }
    return NN_OK;
}
