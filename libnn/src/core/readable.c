/* SPDX-License-Identifier: MIT
 *
 * What can be read after a run: the loss, what was observed, the inputs whose gradient was asked for, and in
 * a debug plan everything. Its memory is pinned: nothing else is put there.
 */
#include "core/core.h"

#include <string.h>

static void pin(nn_plan *p, int64_t store)
{
    if (store >= 0)
        p->store[store].pinned = true;
}

static int make_readable(struct nni_compile *c, const char *name, const nn_tensor *t)
{
    nn_plan *p = c->plan;
    struct nni_readable *r = &p->readable[p->readables];

    r->name = nni_arena_text(&p->arena, name);
    if (!r->name)
        return NN_ENOMEM;
    if (t->base != NN_BASE_ACT || c->value[t->id] >= 0)
        r->value = nni_operand_of(c, t, c->value[t->id]);
    if (t->base == NN_BASE_ACT)
        pin(p, c->value[t->id]);
    if (c->written[t->id] && t->base != NN_BASE_PARAM) {
        r->gradient = nni_operand_in(t->shape, t->type, c->grad[t->id]);
        pin(p, c->grad[t->id]);
    } else if (c->written[t->id]) {
        r->gradient = nni_operand_of(c, t, 0);
        r->gradient.base = NN_BASE_GRAD;
    }
    p->readables++;
    return NN_OK;
}

/* In a debug plan every tensor has a name: "path/op", "path/op#2" for the second such node in that scope,
 * ":1" after it for the second output. */
static int name_everything(struct nni_compile *c)
{
    for (int64_t i = 0; i < c->nodes; i++) {
        const struct nni_cnode *n = c->node[i];
        int earlier = 0;

        for (int64_t j = 0; j < i; j++)
            earlier += c->node[j]->n.op == n->n.op && !strcmp(c->node[j]->n.path, n->n.path);
        for (int k = 0; k < NN_MAX_OUT; k++) {
            const char *base, *name;
            int rc;

            if (!n->n.out[k])
                continue;
            base = earlier ? nni_arena_printf(&c->arena, "%s/%s#%d", n->n.path, n->n.op->name, earlier + 1)
                           : nni_arena_printf(&c->arena, "%s/%s", n->n.path, n->n.op->name);
            name = base && k ? nni_arena_printf(&c->arena, "%s:%d", base, k) : base;
            if (!name)
                return NN_ENOMEM;
            rc = make_readable(c, name, n->n.out[k]);
            if (rc)
                return rc;
        }
    }
    return NN_OK;
}

int nni_collect_readable(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    int64_t most = c->opts->input_count;
    int rc = NN_OK;

    for (const struct nni_observed *o = c->observed; o; o = o->next)
        most++;
    if (p->flags & NN_PLAN_DEBUG)
        most += c->nodes * NN_MAX_OUT;
    p->readable = nni_arena_take(&p->arena, (size_t)(most + 1) * sizeof *p->readable);
    if (!p->readable)
        return NN_ENOMEM;
    for (const struct nni_observed *o = c->observed; !rc && o; o = o->next)
        rc = make_readable(c, o->name, o->tensor);
    for (int i = 0; !rc && i < c->opts->input_count; i++) {
        const nn_tensor *t = c->input[i];
        const char *name = t->name ? t->name : nni_arena_printf(&c->arena, "input%d", i);

        rc = name ? make_readable(c, name, t) : NN_ENOMEM;
    }
    if (!rc && p->flags & NN_PLAN_DEBUG)
        rc = name_everything(c);
    if (!rc && c->loss) {
        p->loss = nni_operand_of(c, c->loss, c->value[c->loss->id]);
        if (c->loss->base == NN_BASE_ACT)
            pin(p, c->value[c->loss->id]);
    }
    return rc;
}
