/* SPDX-License-Identifier: MIT
 *
 * The schedule: forward steps in recorded order, then backward steps in reverse. Before the first
 * backward step that reads the output of a CHEAP op, that op is emitted again, so its output need
 * not live from forward to backward: what is kept is what is expensive to compute.
 *
 * Gradients are not new nodes. A backward step is the same op with din and dout; the first one that
 * writes a tensor's gradient overwrites it, later ones add.
 */
#include "core/core.h"
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"

#include <string.h>

enum { CHEAP_LEAST_BYTES = 1 << 14 }; /* below this a kept tensor costs nothing */

/* Added to the plan where one tensor feeds two inputs of one node: kernels write their gradients
 * independently of each other, so each gets its own memory and this sums them. */
static void add_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t n = nn_shape_count(s->in[0].shape), per = s->choice[0];
    int64_t end = (tile + 1) * per < n ? (tile + 1) * per : n;

    (void)lane;
    nni_pointwise_of(s)->scale(nni_at(&s->out[0], tile * per), nni_at(&s->in[0], tile * per),
                               end - tile * per, 1, 0, true);
}

static int add_prepare(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    s->choice[0] = 1 << 14;
    nn_phase(s, (n + s->choice[0] - 1) / s->choice[0], add_tile);
    return NN_OK;
}

static const nn_op op_gradient_sum = { .abi = NN_OP_ABI,
                                       .name = "gradient_sum",
                                       .forward = { add_prepare,
                                                    NNI_IF_CUDA(nni_cuda_gradient_sum_forward) } };

/* The gradient of the loss itself. */
static void seed_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)tile;
    (void)lane;
    *(nn_real *)s->out[0].at = (nn_real)s->now->loss_seed;
}

static int seed_prepare(nn_step *s)
{
    nn_phase(s, 1, seed_tile);
    return NN_OK;
}

static const nn_op op_seed = { .abi = NN_OP_ABI,
                               .name = "loss_seed",
                               .forward = { seed_prepare, NNI_IF_CUDA(nni_cuda_loss_seed_forward) } };

/* ------------------------------------------------------------------- stores */

static int64_t new_store(nn_plan *p, size_t bytes, int64_t birth)
{
    if (p->stores == p->store_room) {
        int64_t room = p->store_room ? p->store_room * 2 : 1024;
        struct nni_store *list =
            nni_grow(p->store, (size_t)p->stores * sizeof *list, (size_t)room * sizeof *list);

        if (!list)
            return -1;
        p->store = list;
        p->store_room = room;
    }
    p->store[p->stores] =
        (struct nni_store){ .bytes = bytes, .birth = birth, .death = birth, .root = p->stores };
    return p->stores++;
}

static void touch(nn_plan *p, int64_t store, int64_t at)
{
    if (store >= 0 && p->store[store].death < at)
        p->store[store].death = at;
}

static size_t bytes_of(nn_shape shape, nn_dtype type)
{
    return (size_t)nn_shape_count(shape) * nn_dtype_size(type);
}

/* ------------------------------------------------------------------ operands */

/* For ACT and CACHE operands .offset holds the number of the store until memory is placed. */
static nn_operand in_store(nn_shape shape, nn_dtype type, int64_t store)
{
    return (nn_operand){ .shape = shape, .type = type, .base = NN_BASE_ACT, .offset = (size_t)store };
}

static nn_operand of_tensor(const struct nni_compile *c, const nn_tensor *t, int64_t store)
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
    struct nni_planned *s;

    /* The list is grown by doubling; its steps refer to nothing inside it. */
    if ((p->steps & (p->steps - 1)) == 0) {
        int64_t room = p->steps ? p->steps * 2 : 64;

        if (p->steps == 0 || p->steps >= 64) {
            struct nni_planned *list =
                nni_grow(p->step, (size_t)p->steps * sizeof *list, (size_t)room * sizeof *list);

            if (!list)
                return NULL;
            p->step = list;
        }
    }
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
        s->step.in[k] = of_tensor(c, t, store);
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
        store = new_store(p, bytes_of(t->shape, t->type), at);
        if (store < 0)
            return NN_ENOMEM;
        p->store[store].cache = s->hoisted;
        *(kind == NNI_REEMIT_STEP ? &c->again[t->id] : &c->value[t->id]) = store;
        s->step.out[k] = of_tensor(c, t, store);
    }
    for (int k = 0; k < NN_MAX_SAVE; k++) {
        if (n->n.save_shape[k].rank < 0)
            continue;
        /* What a pool saves takes work that is for nothing where there is no backward. */
        if (n->n.op->flags & NN_OP_POOLS && !c->backward)
            continue;
        if ((save[k] = new_store(p, bytes_of(n->n.save_shape[k], n->n.save_type[k]), at)) < 0)
            return NN_ENOMEM;
        s->step.save[k] = in_store(n->n.save_shape[k], n->n.save_type[k], save[k]);
    }
    if (!n->n.op->forward[kernels]) {
        (void)nn_graph_fail(c->graph, NN_EUNSUPPORTED, "%s: %s has no forward kernel on this device",
                            n->n.path, n->n.op->name);
        return NN_EUNSUPPORTED;
    }
    return prepare(c, s, n->n.op->forward[kernels]);
}

/* ------------------------------------------------------------------ gradients */

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

static bool differentiates(const struct nni_compile *c, const struct nni_cnode *n)
{
    bool in = false, out = false;

    if (n->n.op->flags & NN_OP_NO_GRAD)
        return false;
    for (int k = 0; k < NN_MAX_IN; k++)
        in = in ||
             (n->n.in[k] && !(n->detached & NN_IN(k)) && c->wanted[n->n.in[k]->id] && is_real(n->n.in[k]));
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

        if (!differentiates(c, n))
            continue;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (n->n.in[k] && !(n->detached & NN_IN(k)) && c->wanted[n->n.in[k]->id] && is_real(n->n.in[k]))
                c->reached[n->n.in[k]->id] = true;
    }
}

/* What the backward of a node reads: its declaration, and what filled slots imply. */
static uint32_t reads(const struct nni_cnode *n)
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

/* May the node be emitted again? CHEAP ops always; where memory is short, those that widen their input too.
 */
static bool repeatable(const struct nni_compile *c, const struct nni_cnode *n)
{
    const nn_tensor *x = n->n.in[0], *y = n->n.out[0];

    if (n->n.op->flags & NN_OP_CHEAP)
        return !n->n.out[1];
    return c->plan->flags & NN_PLAN_RECOMPUTE && n->n.op->flags & NN_OP_RECOMPUTE && x && y &&
           bytes_of(y->shape, y->type) >= 2 * bytes_of(x->shape, x->type);
}

/* Which outputs of CHEAP ops are worth emitting again: large ones that backward reads, whose large
 * inputs are there in backward anyway or can be emitted again themselves. */
static bool *choose_again(struct nni_compile *c)
{
    bool *kept = nni_arena_take(&c->arena, (size_t)c->tensors + 1);
    bool *again = nni_arena_take(&c->arena, (size_t)c->tensors + 1);

    if (!kept || !again)
        return NULL;
    for (int64_t i = 0; i < c->nodes; i++) {
        const struct nni_cnode *n = c->node[i];
        uint32_t r = reads(n);

        if (!differentiates(c, n))
            continue;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (n->n.in[k] && r & NN_IN(k))
                kept[n->n.in[k]->id] = true;
        for (int k = 0; k < NN_MAX_OUT; k++)
            if (n->n.out[k] && r & NN_OUT(k))
                kept[n->n.out[k]->id] = true;
    }
    if (c->plan->flags & NN_PLAN_NO_CHEAP)
        return again;
    for (int64_t i = c->nodes - 1; i >= 0; i--) {
        const struct nni_cnode *n = c->node[i];
        const nn_tensor *y = n->n.out[0];
        bool worth = y && kept[y->id] && repeatable(c, n) && bytes_of(y->shape, y->type) >= CHEAP_LEAST_BYTES;

        for (int k = 0; worth && k < NN_MAX_IN; k++) {
            const nn_tensor *x = n->n.in[k];
            const struct nni_cnode *from = x ? (const struct nni_cnode *)(const void *)x->node : NULL;

            if (!x || x->base != NN_BASE_ACT || bytes_of(x->shape, x->type) < CHEAP_LEAST_BYTES ||
                kept[x->id])
                continue;
            worth = from && from->n.op->flags & NN_OP_CHEAP;
        }
        if (!worth)
            continue;
        again[y->id] = true;
        for (int k = 0; k < NN_MAX_IN; k++)
            if (n->n.in[k])
                kept[n->n.in[k]->id] = true;
    }
    return again;
}

/* Emits what `t` needs again, once. */
static int ensure(struct nni_compile *c, const nn_tensor *t, const bool *again)
{
    const struct nni_cnode *n = (const struct nni_cnode *)(const void *)t->node;
    int64_t none[NN_MAX_SAVE] = { 0 };

    if (!n || !again[t->id] || c->again[t->id] >= 0)
        return NN_OK;
    for (int k = 0; k < NN_MAX_IN; k++) {
        int rc = n->n.in[k] ? ensure(c, n->n.in[k], again) : NN_OK;

        if (rc)
            return rc;
    }
    return emit_forward(c, n, NNI_REEMIT_STEP, none);
}

static int sum_into(struct nni_compile *c, const char *name, nn_operand from, nn_operand to)
{
    struct nni_planned *s = new_step(c, &op_gradient_sum, NNI_BACKWARD_STEP);

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
    return prepare(c, s, op_gradient_sum.forward[c->plan->device->backend->kernels]);
}

/* The place of a tensor's gradient. */
static nn_operand gradient_of(struct nni_compile *c, const nn_tensor *t, int64_t at)
{
    nn_operand o = of_tensor(c, t, 0);

    o.type = t->type;
    if (t->base == NN_BASE_PARAM) {
        o.base = NN_BASE_GRAD;
        return o;
    }
    if (c->grad[t->id] < 0)
        c->grad[t->id] = new_store(c->plan, bytes_of(t->shape, t->type), at);
    if (c->grad[t->id] < 0)
        return (nn_operand){ 0 };
    touch(c->plan, c->grad[t->id], at);
    return in_store(t->shape, t->type, c->grad[t->id]);
}

/* Whether the gradient of what node n pools can be left to the backward of whoever made that: it runs later
 * than all readers', and nobody looks at the sum before. */
static bool leaves_pooled(const struct nni_compile *c, const struct nni_cnode *n)
{
    const nn_tensor *t = n->n.in[0];

    return c->plan->device->backend->pooled && n->n.op->flags & NN_OP_POOLS && t->node &&
           t->node->op->flags & NN_OP_TAKES_POOLED && t == t->node->out[0] && c->written[t->id] &&
           !c->pool[t->id] && !nni_held(c, t) && !(c->plan->flags & NN_PLAN_DEBUG);
}

/* The operands of the mean that the node's backward takes in. */
static void take_pooled(struct nni_compile *c, const struct nni_cnode *pool, nn_step *s, int64_t at)
{
    int k = pool->n.op->slot[NN_SLOT_AFFINE];
    const nn_tensor *y = pool->n.out[0];

    s->pooled[0] = in_store(y->shape, y->type, c->grad[y->id]);
    touch(c->plan, c->grad[y->id], at);
    for (int j = 0; j < 3; j++) {
        const nn_tensor *t = pool->n.in[k + j];

        if (!t)
            continue;
        s->pooled[1 + j] = of_tensor(c, t, current(c, t));
        if (t->base == NN_BASE_ACT)
            touch(c->plan, current(c, t), at);
    }
    s->pooled_act = pool->n.act;
}

static int emit_backward(struct nni_compile *c, const struct nni_cnode *n, const int64_t *save,
                         const bool *again)
{
    nn_plan *p = c->plan;
    const struct nni_cnode *pool = n->n.out[0] ? c->pool[n->n.out[0]->id] : NULL;
    uint32_t r = reads(n) | (pool ? NN_OUT(0) : 0);
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
        if (n->n.in[k] && r & NN_IN(k) && (rc = ensure(c, n->n.in[k], again)))
            return rc;
    for (int k = 0; k < NN_MAX_OUT; k++)
        if (n->n.out[k] && r & NN_OUT(k) && (rc = ensure(c, n->n.out[k], again)))
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
        s->step.in[k] = of_tensor(c, t, current(c, t));
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
            s->step.out[k] = of_tensor(c, t, current(c, t));
            touch(p, current(c, t), at);
        }
        if (c->written[t->id]) {
            s->step.dout[k] = in_store(t->shape, t->type, c->grad[t->id]);
            touch(p, c->grad[t->id], at);
        }
    }
    for (int k = 0; k < NN_MAX_SAVE; k++) {
        if (n->n.save_shape[k].rank < 0)
            continue;
        s->step.save[k] = in_store(n->n.save_shape[k], n->n.save_type[k], save[k]);
        touch(p, save[k], at);
    }
    if (pool)
        take_pooled(c, pool, &s->step, at);
    for (int k = 0; k < NN_MAX_IN; k++) {
        const nn_tensor *t = n->n.in[k];
        bool twice = false;

        if (!t || n->detached & NN_IN(k) || !c->wanted[t->id] || !is_real(t))
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
            int64_t store = new_store(p, bytes_of(t->shape, t->type), at);

            if (store < 0)
                return NN_ENOMEM;
            sum[sums].to = s->step.din[k];
            sum[sums++].from = s->step.din[k] = in_store(t->shape, t->type, store);
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

/* One output may take over the memory of an operand whose last reader this step is. */
static void try_alias(nn_plan *p, const nn_operand *to, const nn_operand *from, int64_t at)
{
    struct nni_store *a, *b;

    if (to->base != NN_BASE_ACT || from->base != NN_BASE_ACT)
        return;
    a = &p->store[p->store[from->offset].root];
    b = &p->store[to->offset];
    if (b->root != (int64_t)to->offset || a == b || b->birth != at || a->death != at || a->pinned ||
        b->pinned || a->cache || b->cache || a->bytes < b->bytes)
        return;
    b->root = p->store[from->offset].root;
    a->death = b->death;
}

static void alias(nn_plan *p)
{
    for (int64_t i = 0; i < p->steps; i++) {
        const struct nni_planned *s = &p->step[i];
        uint32_t a = s->step.op->alias;

        if (s->kind != NNI_BACKWARD_STEP) {
            if (a & NN_ALIAS_FORWARD)
                try_alias(p, &s->step.out[0], &s->step.in[0], i);
            continue;
        }
        if (a & NN_ALIAS_BACKWARD0 && !(s->accumulate & NN_IN(0)))
            try_alias(p, &s->step.din[0], &s->step.dout[0], i);
        if (a & NN_ALIAS_BACKWARD1 && !(s->accumulate & NN_IN(1)))
            try_alias(p, &s->step.din[1], &s->step.dout[0], i);
    }
}

/* ------------------------------------------------------------------- readable */

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
        r->value = of_tensor(c, t, c->value[t->id]);
    if (t->base == NN_BASE_ACT)
        pin(p, c->value[t->id]);
    if (c->written[t->id] && t->base != NN_BASE_PARAM) {
        r->gradient = in_store(t->shape, t->type, c->grad[t->id]);
        pin(p, c->grad[t->id]);
    } else if (c->written[t->id]) {
        r->gradient = of_tensor(c, t, 0);
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

static int collect_readable(struct nni_compile *c)
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
    return rc;
}

/* Parameters that are wanted but that the loss does not depend on: their gradient is zero. */
static int collect_wanted(struct nni_compile *c)
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

int nni_schedule(struct nni_compile *c)
{
    nn_plan *p = c->plan;
    size_t n = (size_t)(c->tensors + 1);
    int64_t(*save)[NN_MAX_SAVE] = nni_arena_take(&c->arena, (size_t)(c->nodes + 1) * sizeof *save);
    bool *again;
    int rc = NN_OK;

    c->wanted = nni_arena_take(&c->arena, n);
    c->changed = nni_arena_take(&c->arena, n);
    c->reached = nni_arena_take(&c->arena, n);
    c->written = nni_arena_take(&c->arena, n);
    c->value = nni_arena_take(&c->arena, n * sizeof *c->value);
    c->again = nni_arena_take(&c->arena, n * sizeof *c->again);
    c->grad = nni_arena_take(&c->arena, n * sizeof *c->grad);
    c->pool = nni_arena_take(&c->arena, n * sizeof *c->pool);
    if (!save || !c->wanted || !c->changed || !c->reached || !c->written || !c->value || !c->again ||
        !c->grad || !c->pool)
        return NN_ENOMEM;
    for (size_t i = 0; i < n; i++)
        c->value[i] = c->again[i] = c->grad[i] = -1;
    for (int64_t i = 0; i < c->nodes; i++)
        for (int k = 0; c->node[i]->n.op->flags & NN_OP_EFFECT && k < NN_MAX_IN; k++)
            if (c->node[i]->n.in[k] && c->node[i]->n.in[k]->base == NN_BASE_STATE)
                c->changed[c->node[i]->n.in[k]->id] = true;
    for (int64_t i = 0; !rc && i < c->nodes; i++)
        rc = emit_forward(c, c->node[i], NNI_FORWARD_STEP, save[i]);
    if (rc)
        return rc;
    p->forward_steps = p->steps;
    if (c->backward) {
        mark_wanted(c);
        mark_reached(c);
        again = choose_again(c);
        if (!again)
            return NN_ENOMEM;
        if (c->loss && c->reached[c->loss->id]) {
            struct nni_planned *s = new_step(c, &op_seed, NNI_BACKWARD_STEP);

            if (!s)
                return NN_ENOMEM;
            s->step.name = "";
            s->step.out[0] = gradient_of(c, c->loss, p->steps - 1);
            if (!nn_has(&s->step.out[0]))
                return NN_ENOMEM;
            c->written[c->loss->id] = true;
            rc = prepare(c, s, op_seed.forward[p->device->backend->kernels]);
        }
        p->seed = nni_arena_take(&p->arena, (size_t)(c->opts->seed_count + 1) * sizeof *p->seed);
        p->seeded = nni_arena_take(&p->arena, (size_t)(c->opts->seed_count + 1) * sizeof *p->seeded);
        if (!p->seed || !p->seeded)
            return NN_ENOMEM;
        for (int i = 0; i < c->opts->seed_count; i++) {
            const nn_tensor *t = c->seed[i];

            if (!c->reached[t->id])
                continue;
            p->seed[i] = gradient_of(c, t, p->steps);
            if (!nn_has(&p->seed[i]))
                return NN_ENOMEM;
            /* Written from outside: must survive from before the run until its reader. */
            pin(p, c->grad[t->id]);
            c->written[t->id] = true;
        }
        p->seed_count = c->opts->seed_count;
        for (int64_t i = c->nodes - 1; !rc && i >= 0; i--) {
            bool any = false;

            for (int k = 0; k < NN_MAX_OUT; k++)
                any = any || (c->node[i]->n.out[k] && c->written[c->node[i]->n.out[k]->id]);
            if (any && differentiates(c, c->node[i]))
                rc = emit_backward(c, c->node[i], save[i], again);
        }
    }
    if (!rc)
        rc = collect_readable(c);
    if (!rc)
        rc = collect_wanted(c);
    if (!rc && c->loss) {
        p->loss = of_tensor(c, c->loss, c->value[c->loss->id]);
        if (c->loss->base == NN_BASE_ACT)
            pin(p, c->value[c->loss->id]);
    }
    if (!rc && !(p->flags & (NN_PLAN_DEBUG | NN_PLAN_NO_REUSE)))
        alias(p);
    return rc;
}
