/* SPDX-License-Identifier: MIT
 *
 * Where each piece of planned memory lies. Every store is in use from one step to another; two
 * stores may overlap in memory only if they do not overlap in time. Largest first, each into the
 * smallest gap that holds it: within a few percent of the lower bound on the networks here.
 */
#include "core/core.h"

#include <stdlib.h>

struct item {
    const struct nni_store *store;
    int64_t index;
};

static int larger_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->store->bytes != y->store->bytes)
        return x->store->bytes < y->store->bytes ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static bool together(const struct nni_store *a, const struct nni_store *b)
{
    return a->pinned || b->pinned || (a->birth <= b->death && b->birth <= a->death);
}

/* Lowest end of the smallest gap that holds `bytes` between the stores that live at the same time as `s`;
 * `placed` is in order of offsets. */
static size_t fit(const struct nni_store *s, size_t bytes, struct nni_store *const *placed, int64_t count)
{
    size_t best = 0, best_gap = SIZE_MAX, end = 0;

    for (int64_t i = 0; i < count; i++) {
        const struct nni_store *other = placed[i];

        if (!together(s, other))
            continue;
        if (other->offset >= end + bytes && other->offset - end < best_gap) {
            best = end;
            best_gap = other->offset - end;
        }
        if (other->offset + nni_aligned(other->bytes) > end)
            end = other->offset + nni_aligned(other->bytes);
    }
    return best_gap == SIZE_MAX ? end : best;
}

size_t nni_place_stores(struct nni_store *store, int64_t count, bool reuse, nni_arena *arena)
{
    size_t n = (size_t)(count ? count : 1), total = 0;
    struct item *order = nni_arena_take(arena, n * sizeof *order);
    struct nni_store **placed = nni_arena_take(arena, n * sizeof *placed); /* in order of offsets */
    int64_t items = 0;

    if (!order || !placed)
        return SIZE_MAX;
    for (int64_t i = 0; i < count; i++)
        if (store[i].root == i && !store[i].cache)
            order[items++] = (struct item){ .store = &store[i], .index = i };
    qsort(order, (size_t)items, sizeof *order, larger_first);
    for (int64_t i = 0; i < items; i++) {
        struct nni_store *s = &store[order[i].index];
        size_t bytes = nni_aligned(s->bytes);
        int64_t at = i;

        if (bytes > PTRDIFF_MAX - total)
            return SIZE_MAX;
        s->offset = reuse ? fit(s, bytes, placed, i) : total;
        if (s->offset + bytes > total)
            total = s->offset + bytes;
        for (; at > 0 && placed[at - 1]->offset > s->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = s;
    }
    for (int64_t i = 0; i < count; i++)
        if (store[i].root != i)
            store[i].offset = store[store[i].root].offset;
    return total;
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

/* Debug plans leave a guard on both sides of every store, see nni_plan_check_guards. */
int nni_place(nn_plan *p, bool reuse)
{
    nni_arena arena = { 0 };
    size_t guard = p->flags & NN_PLAN_DEBUG ? NNI_GUARD : 0;

    if (reuse)
        alias(p);
    for (int64_t i = 0; i < p->stores; i++) {
        struct nni_store *s = &p->store[i];

        if (s->cache) {
            s->offset = p->cache_bytes;
            if (!nni_add_aligned(&p->cache_bytes, s->bytes))
                return NN_ENOMEM;
            continue;
        }
        s->used = s->bytes;
        s->bytes = nni_aligned(s->bytes) + 2 * guard;
    }
    p->memory_bytes = nni_place_stores(p->store, p->stores, reuse, &arena);
    nni_arena_free(&arena);
    return p->memory_bytes == SIZE_MAX ? NN_ENOMEM : NN_OK;
}
