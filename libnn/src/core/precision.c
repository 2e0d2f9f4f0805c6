/* SPDX-License-Identifier: MIT
 *
 * Precision. In a plan of lower precision images are stored as bfloat16, which halves what a network that
 * waits for memory has to move and to keep. Arithmetic stays as it was, and so does everything whose error
 * would be seen or whose size would not: parameters and their gradients, statistics and coefficients, gates
 * and whatever has one value for each channel of a sample, the loss, the update.
 *
 * Which is which follows from two declarations of an op and one look at a shape:
 *
 * COMPUTE: it stores the activations that it names in `narrow` as bfloat16 if the first is an image, that is
 * [N,H,W,C] of more than one pixel.
 *
 * FOLLOW: it does so if one of them is bfloat16 already.
 *
 * Neither: it works on what was recorded.
 *
 * Where neighbours differ a cast goes between them, one for each tensor and type, and a cast that undoes
 * another takes its operand instead. Gradients have the types of their tensors. All of this comes after
 * fusion: operands are in their slots by then, where no cast can part them.
 */
#include "core/core.h"
#include "ops/list.h"

struct pass {
    struct nni_compile *c;
    nn_dtype *recorded; /* by tensor id */
    nn_tensor **same;   /* instead of it, where a recorded cast has become superfluous */
    nn_tensor **twin;   /* its value in the other type */
    struct nni_cnode **node;
    int64_t nodes;
};

static bool image(nn_shape s) { return s.rank == 4 && s.dim[1] * s.dim[2] > 1; }

/* Its memory is handed out as NN_REAL. */
static bool handed_out(const struct nni_compile *c, const nn_tensor *t)
{
    if (t == c->loss)
        return true;
    for (int i = 0; i < c->opts->seed_count; i++)
        if (c->seed[i] == t)
            return true;
    return false;
}

static bool narrows(const struct nni_compile *c, const struct nni_cnode *n)
{
    const nn_op *op = n->n.op;

    for (int k = 0; k < NN_MAX_OUT; k++)
        if (n->n.out[k] && handed_out(c, n->n.out[k]))
            return false;
    if (op->flags & NN_OP_COMPUTE && image(n->n.in[0]->shape))
        return true;
    for (int k = 0; op->flags & NN_OP_FOLLOW && k < NN_MAX_IN; k++)
        if (op->narrow & NN_IN(k) && n->n.in[k] && n->n.in[k]->type == NN_BF16)
            return true;
    return false;
}

static bool is_cast(const nn_tensor *t) { return t->node && t->node->op == &nn_op_cast; }

/* The value of `t` in `type`: itself, what it was cast from, or a new cast; NULL without memory. */
static nn_tensor *as(struct pass *p, nn_tensor *t, nn_dtype type, const struct nni_cnode *reader)
{
    struct nni_compile *c = p->c;
    struct nni_cnode *n;
    nn_tensor *y;

    if (t->type == type)
        return t;
    if (is_cast(t) && type == NN_BF16 && t->node->in[0]->type == type && !nni_held(c, t) &&
        !((const struct nni_cnode *)(const void *)t->node)->detached)
        return t->node->in[0];
    if (p->twin[t->id])
        return p->twin[t->id];
    n = nni_arena_take(&c->arena, sizeof *n);
    y = nni_arena_take(&c->arena, sizeof *y);
    if (!n || !y)
        return NULL;
    *y = (nn_tensor){ .graph = t->graph,
                      .node = &n->n,
                      .shape = t->shape,
                      .type = type,
                      .base = NN_BASE_ACT,
                      .id = c->tensors };
    n->n = (nn_node){ .op = &nn_op_cast,
                      .attrs = nni_cast_attrs(type),
                      .graph = t->graph,
                      .path = reader->n.path,
                      .in = { t },
                      .out = { y } };
    for (int i = 0; i < NN_MAX_SAVE; i++)
        n->n.save_shape[i].rank = -1;
    p->node[p->nodes++] = n;
    c->tensor[c->tensors++] = y;
    return p->twin[t->id] = y;
}

static int convert(struct pass *p, struct nni_cnode *n)
{
    bool narrow, cast = n->n.op == &nn_op_cast;

    for (int k = 0; k < NN_MAX_IN; k++)
        if (n->n.in[k] && p->same[n->n.in[k]->id])
            n->n.in[k] = p->same[n->n.in[k]->id];
    if (cast && n->n.in[0]->type == n->n.out[0]->type && !n->detached && !nni_held(p->c, n->n.out[0])) {
        p->same[n->n.out[0]->id] = n->n.in[0];
        return NN_OK;
    }
    narrow = narrows(p->c, n);
    for (int k = 0; k < NN_MAX_IN && !cast; k++) {
        nn_tensor *t = n->n.in[k];

        if (!t)
            continue;
        n->n.in[k] = as(p, t, narrow && n->n.op->narrow & NN_IN(k) ? NN_BF16 : p->recorded[t->id], n);
        if (!n->n.in[k])
            return NN_ENOMEM;
    }
    p->node[p->nodes++] = n;
    return narrow ? n->n.op->infer(&n->n) : NN_OK;
}

/* Casts whose readers have all gone to what was cast. */
static int drop_unread(struct pass *p)
{
    bool *read = nni_arena_take(&p->c->arena, (size_t)p->c->tensors + 1);
    int64_t kept = p->nodes;

    if (!read)
        return NN_ENOMEM;
    for (int64_t i = p->nodes - 1; i >= 0; i--) {
        struct nni_cnode *n = p->node[i];

        if (n->n.op == &nn_op_cast && !read[n->n.out[0]->id] && !nni_held(p->c, n->n.out[0]))
            continue;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (n->n.in[k])
                read[n->n.in[k]->id] = true;
        p->node[--kept] = n;
    }
    p->c->node = p->node + kept;
    p->c->nodes = p->nodes - kept;
    return NN_OK;
}

int nni_precision(struct nni_compile *c)
{
    size_t tensors = (size_t)c->tensors + 1, nodes = (size_t)c->nodes + 1;
    struct pass p = { .c = c,
                      .recorded = nni_arena_take(&c->arena, tensors * sizeof *p.recorded),
                      .same = nni_arena_take(&c->arena, tensors * sizeof *p.same),
                      .twin = nni_arena_take(&c->arena, tensors * sizeof *p.twin),
                      .node = nni_arena_take(&c->arena, (tensors + nodes) * sizeof *p.node) };
    nn_tensor **tensor = nni_arena_take(&c->arena, 2 * tensors * sizeof *tensor);

    if (!p.recorded || !p.same || !p.twin || !p.node || !tensor)
        return NN_ENOMEM;
    for (int64_t i = 0; i < c->tensors; i++) {
        tensor[i] = c->tensor[i];
        p.recorded[i] = tensor[i]->type;
    }
    c->tensor = tensor;
    for (int64_t i = 0; i < c->nodes; i++) {
        int rc = convert(&p, c->node[i]);

        if (rc)
            return rc;
    }
    return drop_unread(&p);
}
