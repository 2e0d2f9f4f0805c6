/* SPDX-License-Identifier: MIT
 *
 * Recording: tensors, nodes, scopes. Nothing runs here. The first failure stays in the graph, with
 * the path and the shapes, and every later builder call passes NULL through.
 */
#include "core/core.h"

#include <stdio.h>
#include <string.h>

int nn_graph_new(nn_graph **out, nn_device *device, nn_model *model, nn_mode mode)
{
    nn_graph *g;

    if (!out)
        return NN_EINVAL;
    *out = NULL;
    if (!device)
        return NN_EINVAL;
    g = nni_alloc_zero(sizeof *g);
    if (!g)
        return NN_ENOMEM;
    g->device = device;
    g->mode = mode;
    g->current = -1;
    if (model)
        (void)nn_use_model(g, model);
    *out = g;
    return NN_OK;
}

void nn_graph_free(nn_graph *g)
{
    if (!g)
        return;
    nni_free(g->node);
    nni_free(g->tensor);
    nni_arena_free(&g->arena);
    nni_free(g);
}

int nn_graph_status(const nn_graph *g) { return g ? g->status : NN_EINVAL; }
const char *nn_graph_error(const nn_graph *g) { return g ? g->message.text : "no graph"; }

static const char *path_of(const nn_graph *g) { return g->scope ? g->scope->path : ""; }

nn_tensor *nn_graph_fail(nn_graph *g, int status, const char *format, ...)
{
    nn_message text;
    va_list args;

    if (!g || g->status)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    g->status = status;
    (void)nni_fail(&g->message, status, "%s%s%.440s", path_of(g), g->scope ? ": " : "", text.text);
    return NULL;
}

static void *no_memory(nn_graph *g)
{
    (void)nn_graph_fail(g, NN_ENOMEM, "out of memory while recording");
    return NULL;
}

nn_model *nn_use_model(nn_graph *g, nn_model *model)
{
    nn_model *old;

    if (!g)
        return NULL;
    old = g->current >= 0 ? g->model[g->current] : NULL;
    if (model && model->device != g->device) {
        (void)nn_graph_fail(g, NN_EINVAL, "the model lives on another device than the graph");
        return old;
    }
    g->current = -1;
    for (int i = 0; model && i < g->models; i++)
        if (g->model[i] == model)
            g->current = i;
    if (model && g->current < 0) {
        if (g->models == NNI_MAX_MODELS) {
            (void)nn_graph_fail(g, NN_EUNSUPPORTED, "a graph uses at most %d models", (int)NNI_MAX_MODELS);
            return old;
        }
        g->current = g->models++;
        g->model[g->current] = model;
    }
    return old;
}

nn_mode nn_use_mode(nn_graph *g, nn_mode mode)
{
    nn_mode old = g ? g->mode : NN_EVAL;

    if (g)
        g->mode = mode;
    return old;
}

void nn_use_mode_at(nn_graph *g, const char *pattern, nn_mode mode)
{
    struct nni_mode_at *m = g ? nni_arena_take(&g->arena, sizeof *m) : NULL;

    if (m)
        *m = (struct nni_mode_at){ g->mode_at, nni_arena_text(&g->arena, pattern), mode };
    if (m && m->pattern)
        g->mode_at = m;
    else if (g)
        (void)no_memory(g);
}

nn_mode nn_mode_of(const nn_graph *g)
{
    for (const struct nni_mode_at *m = g && g->scope ? g->mode_at : NULL; m; m = m->next)
        if (nn_match(m->pattern, g->scope->path))
            return m->mode;
    return g ? g->mode : NN_EVAL;
}

void nn_push(nn_graph *g, const char *name)
{
    struct nni_scope *s;

    if (!g)
        return;
    s = nni_arena_take(&g->arena, sizeof *s);
    if (!s) {
        (void)no_memory(g);
        return;
    }
    s->up = g->scope;
    s->path = g->scope ? nni_arena_printf(&g->arena, "%s.%s", g->scope->path, name)
                       : nni_arena_text(&g->arena, name);
    if (!s->path) {
        (void)no_memory(g);
        s->path = "";
    }
    g->scope = s;
}

void nn_pushi(nn_graph *g, int64_t index)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)index);
    nn_push(g, text);
}

void nn_pop(nn_graph *g)
{
    if (g && g->scope)
        g->scope = g->scope->up;
}

const char *nn_namei(nn_graph *g, int64_t index)
{
    char *text = g ? nni_arena_printf(&g->arena, "%lld", (long long)index) : NULL;

    return text ? text : "?";
}

static nn_tensor *new_tensor(nn_graph *g, nn_shape shape, nn_dtype type)
{
    nn_tensor *t;

    if (g->tensors == g->tensor_room) {
        int64_t room = g->tensor_room ? g->tensor_room * 2 : 256;
        nn_tensor **list =
            nni_grow(g->tensor, (size_t)g->tensors * sizeof *list, (size_t)room * sizeof *list);

        if (!list)
            return no_memory(g);
        g->tensor = list;
        g->tensor_room = room;
    }
    t = nni_arena_take(&g->arena, sizeof *t);
    if (!t)
        return no_memory(g);
    *t = (nn_tensor){ .graph = g, .shape = shape, .type = type, .base = NN_BASE_ACT, .id = g->tensors };
    g->tensor[g->tensors++] = t;
    return t;
}

nn_tensor *nn_input(nn_graph *g, const char *name, nn_dtype type, nn_shape shape)
{
    nn_tensor *t;
    nni_text text;

    if (!g || g->status)
        return NULL;
    if (nn_shape_count(shape) <= 0 || !nn_dtype_size(type))
        return nn_graph_fail(g, NN_ESHAPE, "input \"%s\": impossible shape %s", name,
                             nni_shape_text(shape, &text));
    if (type == (NN_REAL == NN_F32 ? NN_F64 : NN_F32))
        return nn_graph_fail(g, NN_EUNSUPPORTED,
                             "input \"%s\": this build computes in %s; declare it as NN_REAL", name,
                             nn_dtype_name(NN_REAL));
    for (int64_t i = 0; i < g->tensors; i++) {
        t = g->tensor[i];
        if (t->base == NN_BASE_INPUT && !t->detached && !strcmp(t->name, name)) {
            if (t->type == type && nn_shape_equal(t->shape, shape))
                return t;
            return nn_graph_fail(g, NN_ESHAPE, "input \"%s\" is declared twice with different shapes", name);
        }
    }
    t = new_tensor(g, shape, type);
    if (!t)
        return NULL;
    t->base = NN_BASE_INPUT;
    t->name = nni_arena_text(&g->arena, name);
    return t->name ? t : no_memory(g);
}

/* A parameter or state entry, one tensor for each entry and graph. */
static nn_tensor *entry(nn_graph *g, const char *name, nn_base base, nn_dtype type, nn_shape shape,
                        nn_init init, double fill)
{
    const char *path;
    nn_tensor *t;
    int64_t index;
    int rc;

    if (!g || g->status)
        return NULL;
    if (g->current < 0)
        return nn_graph_fail(g, NN_ESTATE, "%s: the graph has no model to declare it in", name);
    path = g->scope ? nni_arena_printf(&g->arena, "%s.%s", g->scope->path, name) : name;
    if (!path)
        return no_memory(g);
    rc = nni_model_declare(g->model[g->current], path, base, type, shape, init, fill, &index);
    if (rc)
        return nn_graph_fail(g, rc, "%s", nn_model_error(g->model[g->current]));
    for (int64_t i = 0; i < g->tensors; i++) {
        t = g->tensor[i];
        if (t->base == base && t->model == g->current && t->index == index && !t->detached)
            return t;
    }
    t = new_tensor(g, shape, type);
    if (!t)
        return NULL;
    t->base = (uint8_t)base;
    t->model = (uint8_t)g->current;
    t->index = index;
    t->name = nni_arena_text(&g->arena, path);
    return t->name ? t : no_memory(g);
}

nn_tensor *nn_param(nn_graph *g, const char *name, nn_shape shape, nn_init init)
{
    return entry(g, name, NN_BASE_PARAM, NN_REAL, shape, init, 0);
}

nn_tensor *nn_state(nn_graph *g, const char *name, nn_dtype type, nn_shape shape, double fill)
{
    if (type != NN_I64 && type != NN_REAL)
        return nn_graph_fail(g, NN_EUNSUPPORTED, "%s: state is NN_REAL or NN_I64", name);
    return entry(g, name, NN_BASE_STATE, type, shape, (nn_init){ 0 }, fill);
}

nn_tensor *nn_observe(nn_graph *g, const char *name, nn_tensor *x)
{
    struct nni_observed *o;

    if (!g || !x || g->status)
        return NULL;
    for (const struct nni_observed *other = g->observed; other; other = other->next)
        if (!strcmp(other->name, name))
            return nn_graph_fail(g, NN_EINVAL, "\"%s\" is observed twice", name);
    o = nni_arena_take(&g->arena, sizeof *o);
    if (!o)
        return no_memory(g);
    o->name = nni_arena_text(&g->arena, name);
    if (!o->name)
        return no_memory(g);
    o->tensor = x;
    o->next = g->observed;
    g->observed = o;
    return x;
}

nn_tensor *nn_detach(nn_graph *g, nn_tensor *x)
{
    nn_tensor *t;

    if (!g || !x || g->status)
        return NULL;
    t = new_tensor(g, x->shape, x->type);
    if (!t)
        return NULL;
    t->of = x->detached ? x->of : x;
    t->detached = true;
    t->base = x->base;
    return t;
}

nn_shape nn_shape_get(const nn_tensor *x) { return x ? x->shape : (nn_shape){ 0 }; }
nn_dtype nn_type_get(const nn_tensor *x) { return x ? x->type : NN_REAL; }

int64_t nn_dim(const nn_tensor *x, int axis)
{
    if (!x)
        return 0;
    if (axis < 0)
        axis += x->shape.rank;
    return axis >= 0 && axis < x->shape.rank ? x->shape.dim[axis] : 0;
}

/* ------------------------------------------------------------------ nodes */

int nn_infer_out(nn_node *n, int i, nn_dtype type, nn_shape shape)
{
    nni_text text;

    if (i < 0 || i >= NN_MAX_OUT)
        return nn_infer_fail(n, "output %d is out of range", i);
    if (nn_shape_count(shape) <= 0)
        return nn_infer_fail(n, "output %d would have the impossible shape %s", i,
                             nni_shape_text(shape, &text));
    if (!n->out[i]) {
        n->out[i] = new_tensor(n->graph, shape, type);
        if (!n->out[i])
            return NN_ENOMEM;
        n->out[i]->node = n;
        n->out[i]->out = i;
    }
    n->out[i]->shape = shape;
    n->out[i]->type = type;
    return NN_OK;
}

int nn_infer_save(nn_node *n, int i, nn_dtype type, nn_shape shape)
{
    if (i < 0 || i >= NN_MAX_SAVE || nn_shape_count(shape) < 0)
        return nn_infer_fail(n, "saved value %d has an impossible shape", i);
    n->save_shape[i] = shape;
    n->save_type[i] = type;
    return NN_OK;
}

int nn_infer_fail(nn_node *n, const char *format, ...)
{
    nn_message text;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    (void)nn_graph_fail(n->graph, NN_ESHAPE, "%s: %.400s", n->op->name, text.text);
    return NN_ESHAPE;
}

static bool append(nn_graph *g, nn_node *n)
{
    if (g->nodes == g->node_room) {
        int64_t room = g->node_room ? g->node_room * 2 : 256;
        nn_node **list = nni_grow(g->node, (size_t)g->nodes * sizeof *list, (size_t)room * sizeof *list);

        if (!list)
            return false;
        g->node = list;
        g->node_room = room;
    }
    g->node[g->nodes++] = n;
    return true;
}

/* Random streams are keyed by path and op, plus a counter where one scope draws twice from the same op:
 * never by node number, so that adding a layer elsewhere changes no mask. */
static uint64_t stream_key(const nn_graph *g, const nn_op *op)
{
    const char *path = path_of(g);
    uint64_t h = nni_hash(path, strlen(path), NNI_HASH_BASIS), again = 0;

    h = nni_hash(op->name, strlen(op->name), h);
    for (int64_t i = 0; i < g->nodes; i++)
        if ((g->node[i]->op == op) && !strcmp(g->node[i]->path, path))
            again++;
    return nni_hash(&again, sizeof again, h);
}

nn_node *nn_apply_all(nn_graph *g, const nn_op *op, const void *attrs, nn_tensor *const *in, int count)
{
    nn_node *n;
    void *copy = NULL;

    if (!g || g->status)
        return NULL;
    if (op->abi != NN_OP_ABI)
        return (void)nn_graph_fail(g, NN_EINVAL, "op %s was built for ABI %u of libnn, this is %d", op->name,
                                   op->abi, NN_OP_ABI),
               NULL;
    if (count > NN_MAX_IN)
        return (void)nn_graph_fail(g, NN_EINVAL, "%s: more than %d inputs", op->name, (int)NN_MAX_IN), NULL;
    if (count < op->inputs || (op->attrs_bytes && !attrs))
        return (void)nn_graph_fail(g, NN_EINVAL, "%s: needs %d inputs%s", op->name, op->inputs,
                                   op->attrs_bytes ? " and attributes" : ""),
               NULL;
    for (int i = 0; i < count; i++) {
        if (!in[i] && !(op->optional & NN_IN(i)))
            return (void)nn_graph_fail(g, NN_EINVAL, "%s: input %d is missing", op->name, i), NULL;
        if (in[i] && in[i]->graph != g)
            return (void)nn_graph_fail(g, NN_EINVAL, "%s: input %d belongs to another graph", op->name, i),
                   NULL;
    }
    n = nni_arena_take(&g->arena, sizeof *n);
    if (n && attrs && op->attrs_bytes) {
        copy = nni_arena_take(&g->arena, op->attrs_bytes);
        if (copy)
            memcpy(copy, attrs, op->attrs_bytes);
    }
    if (!n || (attrs && op->attrs_bytes && !copy))
        return no_memory(g);
    n->op = op;
    n->attrs = copy;
    n->graph = g;
    n->path = path_of(g);
    for (int i = 0; i < NN_MAX_SAVE; i++)
        n->save_shape[i].rank = -1;
    for (int i = 0; i < count; i++)
        n->in[i] = in[i];
    if (op->flags & NN_OP_RANDOM)
        n->key = stream_key(g, op);
    if (op->infer(n)) {
        (void)nn_graph_fail(g, NN_ESHAPE, "%s: inputs do not fit", op->name);
        return NULL;
    }
    if (g->status)
        return NULL;
    if (!append(g, n))
        return no_memory(g);
    return n;
}

nn_tensor *nn_apply(nn_graph *g, const nn_op *op, const void *attrs, nn_tensor *const *in, int count)
{
    nn_node *n = nn_apply_all(g, op, attrs, in, count);

    return n ? n->out[0] : NULL;
}
