/* SPDX-License-Identifier: MIT
 *
 * Recording: tensors, nodes, scopes. Nothing runs here. The first failure stays in the graph, with
 * the path and the shapes, and every later builder call passes NULL through.
 */
#include "core/core.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_mode(nn_mode mode) { return mode == NN_EVAL || mode == NN_TRAIN; }

int nn_graph_new(nn_graph **out, nn_device *device, nn_model *model, nn_mode mode)
{
    nn_graph *g;

    if (!out)
        return NN_EINVAL;
    *out = NULL;
    if (!device || !is_mode(mode))
        return NN_EINVAL;
    g = nni_alloc_zero(sizeof *g);
    if (!g)
        return NN_ENOMEM;
    nni_link_in(&device->graphs, &g->link);
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
    nni_link_out(&g->link);
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
    enum { TAIL = 160 }; /* of a path says where, and leaves room for what */
    size_t length = g ? strlen(path_of(g)) : 0;
    nn_message text;
    va_list args;

    if (!g || g->status)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    g->status = status < 0 ? status : NN_EINVAL;
    (void)nni_fail(&g->message, status, "%s%s%.440s", path_of(g) + (length > TAIL ? length - TAIL : 0),
                   g->scope ? ": " : "", text.text);
    return NULL;
}

static void *no_memory(nn_graph *g)
{
    (void)nn_graph_fail(g, NN_ENOMEM, "out of memory while recording");
    return NULL;
}

/* Bytes: paths become names in files, and scopes that nest forever are a mistake. */
enum { MOST_PATH = 1024 };

/* Whether `function` was given a name that is there and can follow the scope's path. */
static bool is_name(nn_graph *g, const char *function, const char *name)
{
    if (!name || !*name)
        (void)nn_graph_fail(g, NN_EINVAL, "%s: a name is needed", function);
    else if (strlen(path_of(g)) + strlen(name) > MOST_PATH)
        (void)nn_graph_fail(g, NN_EINVAL, "%s: with the name \"%.40s\" the path is longer than %d bytes",
                            function, name, MOST_PATH);
    else
        return true;
    return false;
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

    if (!is_mode(mode))
        (void)nn_graph_fail(g, NN_EINVAL, "nn_use_mode: there is no mode %d", (int)mode);
    else if (g)
        g->mode = mode;
    return old;
}

void nn_use_mode_at(nn_graph *g, const char *pattern, nn_mode mode)
{
    struct nni_mode_at *m;

    if (!g || !is_name(g, "nn_use_mode_at", pattern))
        return;
    if (!is_mode(mode)) {
        (void)nn_graph_fail(g, NN_EINVAL, "nn_use_mode_at: there is no mode %d", (int)mode);
        return;
    }
    m = nni_arena_take(&g->arena, sizeof *m);
    if (m)
        *m = (struct nni_mode_at){ g->mode_at, nni_arena_text(&g->arena, pattern), mode };
    if (m && m->pattern)
        g->mode_at = m;
    else
        (void)no_memory(g);
}

nn_mode nn_mode_of(const nn_graph *g)
{
    for (const struct nni_mode_at *m = g && g->scope ? g->mode_at : NULL; m; m = m->next)
        if (nn_match(m->pattern, g->scope->path))
            return m->mode;
    return g ? g->mode : NN_EVAL;
}

/* "<scope>.<name>" in the graph's memory; NULL: there is none. */
static const char *path_to(nn_graph *g, const char *name)
{
    return g->scope ? nni_arena_printf(&g->arena, "%s.%s", g->scope->path, name)
                    : nni_arena_text(&g->arena, name);
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
    s->path = path_of(g); /* stays so after a failure, for the nn_pop that belongs here will come */
    if (is_name(g, "nn_push", name)) {
        const char *path = path_to(g, name);

        if (path)
            s->path = path;
        else
            (void)no_memory(g);
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
    nn_tensor **list = nni_one_more(g->tensor, (size_t)g->tensors, &g->tensor_room, sizeof *list);
    nn_tensor *t = nni_arena_take(&g->arena, sizeof *t);

    if (list)
        g->tensor = list;
    if (!list || !t)
        return no_memory(g);
    *t = (nn_tensor){ .graph = g, .shape = shape, .type = type, .base = NN_BASE_ACT, .id = g->tensors };
    g->tensor[g->tensors++] = t;
    return t;
}

/* What is given from outside, by the caller before runs or by the plan itself. */
static nn_tensor *given(nn_graph *g, const char *what, nn_dtype type, nn_shape shape)
{
    nn_tensor *t;
    nni_text text;

    if (nn_shape_count(shape) <= 0 || !nn_dtype_size(type))
        return nn_graph_fail(g, NN_ESHAPE, "%s: impossible shape %s or type %s", what,
                             nni_shape_text(shape, &text), nn_dtype_name(type));
    if (type == (NN_REAL == NN_F32 ? NN_F64 : NN_F32))
        return nn_graph_fail(g, NN_EUNSUPPORTED, "%s: this build computes in %s; declare it as NN_REAL", what,
                             nn_dtype_name(NN_REAL));
    t = new_tensor(g, shape, type);
    if (t)
        t->base = NN_BASE_INPUT;
    return t;
}

nn_tensor *nn_input(nn_graph *g, const char *name, nn_dtype type, nn_shape shape)
{
    nn_message what;
    nn_tensor *t;

    if (!g || g->status || !is_name(g, "nn_input", name))
        return NULL;
    for (int64_t i = 0; i < g->tensors; i++) {
        t = g->tensor[i];
        if (t->base == NN_BASE_INPUT && t->name && !strcmp(t->name, name)) {
            if (t->type == type && nn_shape_equal(t->shape, shape))
                return t;
            return nn_graph_fail(g, NN_ESHAPE, "input \"%s\" is declared twice with different shapes", name);
        }
    }
    (void)snprintf(what.text, sizeof what.text, "input \"%s\"", name);
    t = given(g, what.text, type, shape);
    if (!t)
        return NULL;
    t->name = nni_arena_text(&g->arena, name);
    return t->name ? t : no_memory(g);
}

nn_tensor *nn_constant(nn_graph *g, nn_dtype type, nn_shape shape, const void *data)
{
    nn_tensor *t;
    size_t bytes;
    void *copy;

    if (!g || g->status)
        return NULL;
    if (!data)
        return nn_graph_fail(g, NN_EINVAL, "constant: no data");
    t = given(g, "constant", type, shape);
    if (!t)
        return NULL;
    bytes = nni_bytes(shape, type);
    copy = nni_arena_take(&g->arena, bytes);
    if (!copy)
        return no_memory(g);
    t->data = memcpy(copy, data, bytes);
    return t;
}

/* A parameter or state entry, one tensor for each entry and graph. */
static nn_tensor *entry(nn_graph *g, const char *name, nn_base base, nn_dtype type, nn_shape shape,
                        nn_init init, double fill)
{
    const char *path;
    nn_tensor *t;
    int64_t index;
    nni_text text;
    int rc;

    if (g->current < 0)
        return nn_graph_fail(g, NN_ESTATE, "%s: the graph has no model to declare it in", name);
    if (nn_shape_count(shape) <= 0)
        return nn_graph_fail(g, NN_ESHAPE, "%s: impossible shape %s", name, nni_shape_text(shape, &text));
    path = path_to(g, name);
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
    t->name = path;
    return t;
}

nn_tensor *nn_param(nn_graph *g, const char *name, nn_shape shape, nn_init init)
{
    bool random = init.kind == NN_INIT_NORMAL || init.kind == NN_INIT_UNIFORM;

    if (!g || g->status || !is_name(g, "nn_param", name))
        return NULL;
    if (!random && init.kind != NN_INIT_ZERO && init.kind != NN_INIT_CONSTANT)
        return nn_graph_fail(g, NN_EINVAL, "%s: there is no kind %d of initialiser", name, (int)init.kind);
    if (!isfinite(init.a) || (random && init.a < 0))
        return nn_graph_fail(g, NN_EINVAL, "%s: %g cannot be what its initialiser needs: %s", name, init.a,
                             random ? "a number from 0 on" : "a finite number");
    return entry(g, name, NN_BASE_PARAM, NN_REAL, shape, init, 0);
}

nn_tensor *nn_state(nn_graph *g, const char *name, nn_dtype type, nn_shape shape, double fill)
{
    if (!g || g->status || !is_name(g, "nn_state", name))
        return NULL;
    if (type != NN_I64 && type != NN_REAL)
        return nn_graph_fail(g, NN_EUNSUPPORTED, "%s: state is NN_REAL or NN_I64", name);
    if (type == NN_I64 && !(fabs(fill) <= 0x1p53))
        return nn_graph_fail(g, NN_EINVAL, "%s: %g is no integer to begin with", name, fill);
    return entry(g, name, NN_BASE_STATE, type, shape, (nn_init){ 0 }, fill);
}

/* Whether `function` was given a tensor of this graph, of which no failure is known. */
static bool is_own(nn_graph *g, const char *function, const nn_tensor *x)
{
    if (!g || g->status)
        return false;
    if (!x || x->graph != g)
        (void)nn_graph_fail(g, NN_EINVAL, "%s: %s", function,
                            x ? "the tensor belongs to another graph" : "there is no tensor");
    return x && x->graph == g;
}

nn_tensor *nn_observe(nn_graph *g, const char *name, nn_tensor *x)
{
    struct nni_observed *o;

    if (!is_own(g, "nn_observe", x) || !is_name(g, "nn_observe", name))
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

static bool is_below(const char *scope, const char *path)
{
    size_t n = strlen(scope);

    return !strncmp(path, scope, n) && (path[n] == 0 || path[n] == '.' || n == 0);
}

nn_tensor *nn_output_of(nn_graph *g, const char *scope)
{
    if (!g || g->status)
        return NULL;
    if (!scope)
        return nn_graph_fail(g, NN_EINVAL, "nn_output_of: no scope");
    for (int64_t i = g->nodes - 1; i >= 0; i--)
        if (g->node[i]->out[0] && is_below(scope, g->node[i]->path))
            return g->node[i]->out[0];
    return nn_graph_fail(g, NN_ENOTFOUND, "nothing was recorded in \"%s\"", scope);
}

nn_tensor *nn_detach(nn_graph *g, nn_tensor *x)
{
    nn_tensor *t;

    if (!is_own(g, "nn_detach", x))
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

    if (!n)
        return NN_EINVAL;
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
    if (!n)
        return NN_EINVAL;
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

    if (!n)
        return NN_EINVAL;
    va_start(args, format);
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    (void)nn_graph_fail(n->graph, NN_ESHAPE, "%s: %.400s", n->op->name, text.text);
    return NN_ESHAPE;
}

static bool append(nn_graph *g, nn_node *n)
{
    nn_node **list = nni_one_more(g->node, (size_t)g->nodes, &g->node_room, sizeof *list);

    if (!list)
        return false;
    g->node = list;
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
    if (!op)
        return (void)nn_graph_fail(g, NN_EINVAL, "nn_apply: there is no op"), NULL;
    if (op->abi != NN_OP_ABI || !op->name || !op->infer)
        return (void)nn_graph_fail(g, NN_EINVAL,
                                   "op %s was built for ABI %u of libnn, this is %d; or has no infer",
                                   op->name ? op->name : "without a name", op->abi, NN_OP_ABI),
               NULL;
    if (count > NN_MAX_IN || count < op->inputs || (count > 0 && !in))
        return (void)nn_graph_fail(g, NN_EINVAL, "%s: %d inputs given; it needs %d inputs, or up to %d",
                                   op->name, in ? count : 0, op->inputs, (int)NN_MAX_IN),
               NULL;
    if (op->attrs_bytes && !attrs)
        return (void)nn_graph_fail(g, NN_EINVAL, "%s: an argument that it needs is NULL", op->name), NULL;
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
