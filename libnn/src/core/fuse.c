/* SPDX-License-Identifier: MIT
 *
 * Fusion. There are no fused ops: four rules move a neighbour's operands into a node's optional
 * slots, so that a tensor need not be written and read again.
 *
 *     1  act(affine(x))        -> the affine's own activation
 *     2  op(mul(x, gate))      -> op's GATE or MASK slot
 *     3  op(affine(x))         -> op's AFFINE slot, if every reader of the affine can take it
 *     4  moments(op(...))      -> op's MOMENTS outputs
 *
 * What is left without a reader disappears. The rewritten nodes are ordinary nodes: gradients,
 * memory and kernels follow from them without knowing that fusion took place.
 */
#include "core/core.h"
#include "ops/list.h"

static struct nni_cnode *producer(const nn_tensor *t)
{
    return t ? (struct nni_cnode *)(void *)t->node : NULL;
}

bool nni_held(const struct nni_compile *c, const nn_tensor *t)
{
    if (t == c->loss)
        return true;
    for (int i = 0; i < c->opts->seed_count; i++)
        if (c->seed[i] == t)
            return true;
    for (int i = 0; i < c->opts->input_count; i++)
        if (c->input[i] == t)
            return true;
    for (const struct nni_observed *o = c->observed; o; o = o->next)
        if (o->tensor == t)
            return true;
    return false;
}

static int uses(const struct nni_compile *c, const nn_tensor *t)
{
    int n = nni_held(c, t);

    for (int64_t i = 0; i < c->nodes; i++)
        for (int k = 0; !c->node[i]->dead && k < NN_MAX_IN; k++)
            n += c->node[i]->n.in[k] == t;
    return n;
}

static bool accepts(const struct nni_compile *c, const struct nni_cnode *n, int slot,
                    const struct nni_cnode *neighbour)
{
    int k = n->n.op->slot[slot];

    if (!k || (slot == NN_SLOT_MOMENTS ? n->n.out[k] != NULL : n->n.in[k] != NULL))
        return false;
    return !n->n.op->accepts || n->n.op->accepts(&n->n, slot, &neighbour->n, c->graph->device);
}

/* Rule 1. */
static void move_activation(struct nni_compile *c, struct nni_cnode *n)
{
    struct nni_cnode *p = producer(n->n.in[0]);

    if (!n->n.op->activation || n->detached || !p || p->n.op != &nn_op_affine || p->n.act != NN_ACT_NONE ||
        uses(c, n->n.in[0]) != 1)
        return;
    p->n.act = n->n.op->activation;
    p->n.out[0] = n->n.out[0];
    p->n.out[0]->node = &p->n;
    n->dead = true;
}

/* Rule 2: x*gate[N,1,1,C] or x*mask[N,1,1,1], whichever slot the reader has. */
static void move_gate(struct nni_compile *c, struct nni_cnode *n)
{
    struct nni_cnode *p = producer(n->n.in[0]);

    if (n->detached & NN_IN(0) || !p || p->n.op != &nn_op_mul || p->detached || uses(c, n->n.in[0]) != 1)
        return;
    for (int which = 0; which < 2; which++) {
        nn_tensor *x = p->n.in[which], *gate = p->n.in[1 - which];
        int64_t channels = nn_dim(gate, 3);
        int slot;

        /* What is in a slot has the kernels' own type; a gate that was recorded as another stays outside. */
        if (gate->type != NN_REAL || x->shape.rank != 4 || gate->shape.rank != 4 ||
            gate->shape.dim[0] != x->shape.dim[0] || gate->shape.dim[1] != 1 || gate->shape.dim[2] != 1 ||
            !nn_shape_equal(x->shape, n->n.in[0]->shape))
            continue;
        slot = channels == 1 && n->n.op->slot[NN_SLOT_MASK] ? NN_SLOT_MASK : NN_SLOT_GATE;
        if ((slot == NN_SLOT_GATE && channels != x->shape.dim[3]) || !accepts(c, n, slot, p))
            continue;
        /* An affine already in the slot would come after the product. */
        if (n->n.op->slot[NN_SLOT_AFFINE] && n->n.in[n->n.op->slot[NN_SLOT_AFFINE]])
            continue;
        n->n.in[n->n.op->slot[slot]] = gate;
        n->n.in[0] = x;
        n->fused = true;
        p->dead = true;
        return;
    }
}

/* Rule 3, for all readers of one affine or for none: when the tensor must exist anyway, reading it
 * is cheaper than computing it again. */
static void move_affine(struct nni_compile *c, struct nni_cnode *p)
{
    nn_tensor *y = p->n.out[0];
    int readers = 0;

    if (p->n.op != &nn_op_affine || p->detached || nni_held(c, y))
        return;
    for (int64_t i = 0; i < c->nodes; i++) {
        const struct nni_cnode *n = c->node[i];

        for (int k = 0; !n->dead && k < NN_MAX_IN; k++) {
            if (n->n.in[k] != y)
                continue;
            if (k != 0 || n->detached & NN_IN(0) || !accepts(c, n, NN_SLOT_AFFINE, p))
                return;
            readers++;
        }
    }
    if (!readers)
        return;
    for (int64_t i = 0; i < c->nodes; i++) {
        struct nni_cnode *n = c->node[i];
        int k = n->n.op->slot[NN_SLOT_AFFINE];

        if (n->dead || n->n.in[0] != y)
            continue;
        n->n.in[0] = p->n.in[0];
        for (int j = 0; j < 3; j++)
            n->n.in[k + j] = p->n.in[1 + j];
        n->n.act = p->n.act;
        n->fused = true;
    }
    p->dead = true;
}

/* Rule 4. */
static void move_moments(struct nni_compile *c, struct nni_cnode *n)
{
    struct nni_cnode *p = producer(n->n.in[0]);
    int k;

    if (n->n.op != &nn_op_moments || n->detached || !p || p->dead || n->n.in[0] != p->n.out[0] ||
        !accepts(c, p, NN_SLOT_MOMENTS, n))
        return;
    k = p->n.op->slot[NN_SLOT_MOMENTS];
    for (int j = 0; j < 2; j++) {
        p->n.out[k + j] = n->n.out[j];
        if (n->n.out[j]) {
            n->n.out[j]->node = &p->n;
            n->n.out[j]->out = k + j;
        }
    }
    p->fused = true;
    n->dead = true;
}

int nni_fuse(struct nni_compile *c)
{
    int64_t live = 0;

    for (int64_t i = 0; i < c->nodes; i++)
        move_activation(c, c->node[i]);
    for (int64_t i = 0; i < c->nodes; i++)
        if (!c->node[i]->dead)
            move_gate(c, c->node[i]);
    for (int64_t i = 0; i < c->nodes; i++)
        if (!c->node[i]->dead)
            move_affine(c, c->node[i]);
    for (int64_t i = 0; i < c->nodes; i++)
        if (!c->node[i]->dead)
            move_moments(c, c->node[i]);
    for (int64_t i = 0; i < c->nodes; i++) {
        struct nni_cnode *n = c->node[i];

        if (n->dead)
            continue;
        c->node[live++] = n;
        /* What a node saves may depend on its slots. */
        if (n->fused && n->n.op->infer(&n->n))
            return NN_ESHAPE;
    }
    c->nodes = live;
    return NN_OK;
}
