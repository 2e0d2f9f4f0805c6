/* SPDX-License-Identifier: MIT
 *
 * A recorded graph as an ONNX model, so that what was trained here runs wherever there is an ONNX runtime.
 * The graph is walked in its order, and a table says what each op becomes; an op that is not in it is an
 * error that names it. Nothing in here knows of networks.
 *
 * ONNX puts channels second. So a tensor of four dimensions exists in up to two layouts, as it was recorded
 * and as an image [N,C,H,W]; whoever needs one that is not there yet makes it with a Transpose. In a
 * convolution network that happens once, at the input. Batch norms are written as such: runtimes fold them.
 *
 * Sources: onnx.proto (numbers of fields) and Operators.md of ONNX 1.12, whose opset is 17.
 */
#include "core/core.h"
#include "cpu/function.h"
#include "io/protobuf.h"
#include "io/tensors.h"
#include "ops/attrs.h"
#include "ops/conv.h"
#include "ops/list.h"
#include "ops/pool.h"

#include <stdio.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17 };

/* Numbers of fields, by message. */
enum {
    MODEL_IR = 1,
    MODEL_PRODUCER,
    MODEL_PRODUCER_VERSION,
    MODEL_GRAPH = 7,
    MODEL_OPSETS,
    MODEL_METADATA = 14
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION };
enum { PAIR_KEY = 1, PAIR_VALUE };
enum { GRAPH_NODE = 1, GRAPH_NAME, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_TYPE, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F, ATTRIBUTE_I, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_NAME = 8, TENSOR_DATA };
enum { VALUE_NAME = 1, VALUE_TYPE };
enum { TYPE_TENSOR = 1, TYPE_ELEMENT = 1, TYPE_SHAPE, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM };

/* An initializer: a parameter, some state or a constant. */
struct constant {
    const char *name;
    nn_dtype type;
    nn_shape shape;
    const void *data;
};

struct export
{
    const nn_graph *graph;
    const char *path;
    nni_arena arena;
    struct value {
        bool wanted;
        const char *plain, *image; /* its names in the model; NULL: does not exist in this layout yet */
    } * value;                     /* by tensor */
    struct constant *constant;
    size_t constants, room;
    nni_buffer body; /* fields of the graph without its initializers */
    int64_t nodes;
    int status; /* the first failure; nothing is done after it */
    nn_message *why;
};

static void *fail(struct export *e, int status, const char *format, ...) NN_PRINTF(3, 4);
static void *fail(struct export *e, int status, const char *format, ...)
{
    nn_message text;
    va_list args;

    if (e->status)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    e->status = nni_fail(e->why, status, "%.150s: %.350s", e->path, text.text);
    return NULL;
}

static void *no_memory(struct export *e) { return fail(e, NN_ENOMEM, "no memory to describe the network"); }

/* ONNX's number of an element type. Double is a matter of our own tests. */
static int element_of(nn_dtype type)
{
    static const int number[NN_DTYPES] = {
        [NN_F32] = 1, [NN_U8] = 2, [NN_I32] = 6, [NN_I64] = 7, [NN_F16] = 10, [NN_F64] = 11, [NN_BF16] = 16
    };

    return number[type == NN_REAL ? NN_F32 : type];
}

/* --------------------------------------------------------- nodes and constants */

struct attribute {
    const char *name;
    enum { INT, INTS, FLOAT } kind;
    int count; /* of INTS */
    int64_t i[NN_MAX_RANK];
    double f;
};

static struct attribute integer(const char *name, int64_t i)
{
    return (struct attribute){ .name = name, .kind = INT, .i = { i } };
}

static struct attribute real(const char *name, double f)
{
    return (struct attribute){ .name = name, .kind = FLOAT, .f = f };
}

/* For rows and columns; for the four sides of an image, or an order of dimensions. */
static struct attribute pair(const char *name, int64_t rows, int64_t cols)
{
    return (struct attribute){ .name = name, .kind = INTS, .count = 2, .i = { rows, cols } };
}

static struct attribute four(const char *name, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (struct attribute){ .name = name, .kind = INTS, .count = 4, .i = { a, b, c, d } };
}

struct call {
    const char *type;
    const char *in[6];        /* up to NULL */
    struct attribute attr[7]; /* up to one without a name */
};

static void put_attribute(nni_buffer *node, const struct attribute *a)
{
    static const int type[] = { [INT] = 2, [INTS] = 7, [FLOAT] = 1 };
    nni_buffer b = { 0 };

    nni_protobuf_text(&b, ATTRIBUTE_NAME, a->name);
    if (a->kind == FLOAT)
        nni_protobuf_float(&b, ATTRIBUTE_F, (float)a->f);
    if (a->kind == INT)
        nni_protobuf_int(&b, ATTRIBUTE_I, a->i[0]);
    for (int i = 0; a->kind == INTS && i < a->count; i++)
        nni_protobuf_int(&b, ATTRIBUTE_INTS, a->i[i]);
    nni_protobuf_int(&b, ATTRIBUTE_TYPE, type[a->kind]);
    nni_protobuf_message(node, NODE_ATTRIBUTE, &b);
}

/* Appends a node that makes `name`. */
static void put_node(struct export *e, const char *name, const struct call *c)
{
    nni_buffer b = { 0 };

    for (int i = 0; i < 6 && c->in[i]; i++)
        nni_protobuf_text(&b, NODE_INPUT, c->in[i]);
    nni_protobuf_text(&b, NODE_OUTPUT, name);
    nni_protobuf_text(&b, NODE_NAME, name);
    nni_protobuf_text(&b, NODE_TYPE, c->type);
    for (int i = 0; i < 7 && c->attr[i].name; i++)
        put_attribute(&b, &c->attr[i]);
    nni_protobuf_message(&e->body, GRAPH_NODE, &b);
}

/* The same under a name made of the node's path: that is returned, or NULL after a failure. */
static const char *put(struct export *e, const char *path, struct call c)
{
    const char *name;

    if (e->status)
        return NULL;
    name = nni_arena_printf(&e->arena, "%s%s%s_%lld", path, *path ? "/" : "", c.type, (long long)++e->nodes);
    if (!name)
        return no_memory(e);
    put_node(e, name, &c);
    return name;
}

static const char *add_constant(struct export *e, struct constant c)
{
    struct constant *moved;

    if (e->status)
        return NULL;
    moved = nni_one_more(e->constant, e->constants, &e->room, sizeof *moved);
    if (!moved)
        return no_memory(e);
    e->constant = moved;
    e->constant[e->constants++] = c;
    return c.name;
}

/* `count` numbers of the type that tensors have, or whole ones that say something of shapes. */
static const char *floats(struct export *e, const char *path, nn_shape shape, const double *x)
{
    int64_t count = nn_shape_count(shape);
    float *data = nni_arena_take(&e->arena, (size_t)count * sizeof *data);
    const char *name = nni_arena_printf(&e->arena, "%s/constant_%zu", path, e->constants);

    if (!data || !name)
        return no_memory(e);
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)x[i];
    return add_constant(e, (struct constant){ name, NN_F32, shape, data });
}

static const char *integers(struct export *e, const char *path, int count, const int64_t *x)
{
    int64_t *data = nni_arena_take(&e->arena, (size_t)count * sizeof *data);
    const char *name = nni_arena_printf(&e->arena, "%s/constant_%zu", path, e->constants);

    if (!data || !name)
        return no_memory(e);
    memcpy(data, x, (size_t)count * sizeof *data);
    return add_constant(e, (struct constant){ name, NN_I64, NN_SHAPE1(count), data });
}

/* Of the build in double, as float. */
static struct constant narrowed(struct export *e, struct constant c)
{
    int64_t count = nn_shape_count(c.shape);
    void *narrow;

    if (c.type != NN_REAL || c.type == NN_F32)
        return c;
    narrow = nni_arena_take(&e->arena, (size_t)count * sizeof(float));
    if (!narrow)
        (void)no_memory(e);
    else
        (void)nni_convert(c.data, NN_REAL, narrow, NN_F32, count);
    c.type = NN_F32;
    c.data = narrow;
    return c;
}

static const char *parameter(struct export *e, const nn_tensor *t)
{
    nn_model *m = e->graph->model[t->model];
    const nn_segment *s = nn_model_segment(m, t->index);
    const char *data = nni_model_host(m, t->base);
    struct constant c = { s->name, s->type, s->shape, data ? data + s->offset : NULL };

    if (!data)
        return fail(e, NN_ESTATE, "%s has no value yet: seal or load the model first", s->name);
    return add_constant(e, narrowed(e, c));
}

static const char *constant(struct export *e, const nn_tensor *t)
{
    struct constant c = { nni_arena_printf(&e->arena, "constant_%zu", e->constants), t->type, t->shape,
                          t->data };

    return c.name ? add_constant(e, narrowed(e, c)) : no_memory(e);
}

/* -------------------------------------------------------------------- values */

static const nn_tensor *origin(const nn_tensor *t) { return t->detached ? t->of : t; }

/* The tensor in another order of its four dimensions. */
static const char *transpose(struct export *e, const nn_tensor *t, const char *from, struct attribute perm)
{
    return put(e, t->node ? t->node->path : from,
               (struct call){ .type = "Transpose", .in = { from }, .attr = { perm } });
}

/* The name of a tensor in the layout in which it was recorded. */
static const char *plain(struct export *e, const nn_tensor *t)
{
    struct value *v = &e->value[origin(t)->id];

    t = origin(t);
    if (e->status || v->plain)
        return v->plain;
    if (v->image)
        v->plain = transpose(e, t, v->image, four("perm", 0, 2, 3, 1));
    else if (!t->node)
        v->plain = t->data ? constant(e, t) : parameter(e, t);
    else
        return fail(e, NN_EUNSUPPORTED, "%s: the value of op \"%s\" is needed by itself", t->node->path,
                    t->node->op->name);
    return v->plain;
}

/* The same with channels second. */
static const char *image(struct export *e, const nn_tensor *t)
{
    struct value *v = &e->value[origin(t)->id];

    if (!e->status && !v->image)
        v->image = transpose(e, origin(t), plain(e, t), four("perm", 0, 3, 1, 2));
    return v->image;
}

/* Images where there are four dimensions. */
static bool is_image(const nn_tensor *t) { return t->shape.rank == 4; }
static const char *usual(struct export *e, const nn_tensor *t)
{
    return is_image(t) ? image(e, t) : plain(e, t);
}

/* A node that makes the output of `n`, in the usual layout or as it was recorded. */
static void put_usual(struct export *e, const nn_node *n, struct call c)
{
    struct value *v = &e->value[n->out[0]->id];

    *(is_image(n->out[0]) ? &v->image : &v->plain) = put(e, n->path, c);
}

static void put_plain(struct export *e, const nn_node *n, struct call c)
{
    e->value[n->out[0]->id].plain = put(e, n->path, c);
}

/* ----------------------------------------------------------------------- ops */

/* Padding after the image that makes of `in` just `out` windows. */
static int64_t padding_after(int64_t in, int64_t out, int64_t stride, int64_t extent, int64_t before)
{
    int64_t after = (out - 1) * stride + extent - in - before;

    return after > 0 ? after : 0;
}

/* The same node under ONNX's name. Dimensions that are aligned at the end must lie in one order. */
static void direct(struct export *e, const nn_node *n, const char *type)
{
    struct call c = { .type = type };
    bool alike = true;

    for (int i = 0; i < 6 && n->in[i]; i++)
        alike = alike && n->in[i]->shape.rank == n->out[0]->shape.rank;
    for (int i = 0; i < 6 && n->in[i]; i++)
        c.in[i] = alike ? usual(e, n->in[i]) : plain(e, n->in[i]);
    if (alike)
        put_usual(e, n, c);
    else
        put_plain(e, n, c);
}

/* Constants of an elementwise function, and nodes of one or two operands in the middle of one. */
static double constant_of(const nn_node *n, int i)
{
    return (double)((const struct nni_formula *)n->attrs)->k[i];
}

static const char *number(struct export *e, const nn_node *n, double x)
{
    return floats(e, n->path, NN_SHAPE0(), &x);
}

static const char *step(struct export *e, const nn_node *n, const char *type, const char *a, const char *b)
{
    return put(e, n->path, (struct call){ .type = type, .in = { a, b } });
}

static void between(struct export *e, const nn_node *n, const char *type)
{
    bool six = n->op == &nn_op_relu6;
    const char *low = number(e, n, six ? 0 : constant_of(n, 0));
    const char *high = number(e, n, six ? 6 : constant_of(n, 1));

    put_usual(e, n, (struct call){ .type = type, .in = { usual(e, n->in[0]), low, high } });
}

static void with_alpha(struct export *e, const nn_node *n, const char *type)
{
    put_usual(e, n,
              (struct call){
                  .type = type, .in = { usual(e, n->in[0]) }, .attr = { real("alpha", constant_of(n, 0)) } });
}

static void power(struct export *e, const nn_node *n, const char *type)
{
    const char *exponent = number(e, n, constant_of(n, 0));

    put_usual(e, n, (struct call){ .type = type, .in = { usual(e, n->in[0]), exponent } });
}

static void hardsigmoid(struct export *e, const nn_node *n, const char *type)
{
    put_usual(e, n,
              (struct call){ .type = type,
                             .in = { usual(e, n->in[0]) },
                             .attr = { real("alpha", 1.0 / 6), real("beta", 0.5) } });
}

static void mish(struct export *e, const nn_node *n, const char *type)
{
    const char *x = usual(e, n->in[0]), *t = step(e, n, "Tanh", step(e, n, type, x, NULL), NULL);

    put_usual(e, n, (struct call){ .type = "Mul", .in = { x, t } });
}

/* x times (1 + erf(x/sqrt(2)))/2, or the sigmoid that stands for that. */
static void gelu(struct export *e, const nn_node *n, const char *type)
{
    const char *x = usual(e, n->in[0]), *y;

    if (((const struct nni_formula *)n->attrs)->f == NNI_GELU_TANH) {
        y = step(e, n, "Mul", step(e, n, "Mul", x, x), number(e, n, 0.071354816272600252));
        y = step(e, n, "Add", y, number(e, n, 1.5957691216057308));
        y = step(e, n, "Sigmoid", step(e, n, "Mul", y, x), NULL);
    } else {
        y = step(e, n, type, step(e, n, "Mul", x, number(e, n, 0.70710678118654752)), NULL);
        y = step(e, n, "Add", y, number(e, n, 1));
        y = step(e, n, "Mul", y, number(e, n, 0.5));
    }
    put_usual(e, n, (struct call){ .type = "Mul", .in = { x, y } });
}

static void silu(struct export *e, const nn_node *n, const char *type)
{
    const char *x = usual(e, n->in[0]), *s = put(e, n->path, (struct call){ .type = type, .in = { x } });

    put_usual(e, n, (struct call){ .type = "Mul", .in = { x, s } });
}

static void conv(struct export *e, const nn_node *n, const char *type)
{
    nn_conv_opts o = n->op->attrs_bytes ? *(const nn_conv_opts *)n->attrs : (nn_conv_opts){ 0 };
    nn_shape x = n->in[0]->shape, w = n->in[1]->shape;
    const char *weight = plain(e, n->in[1]), *bias = n->in[2] ? plain(e, n->in[2]) : NULL;
    nni_conv_geometry g;
    int64_t bottom, right;

    if (x.rank != 4 || w.rank != 4) {
        (void)fail(e, NN_EUNSUPPORTED, "%s: op \"%s\" of something else than images", n->path, n->op->name);
        return;
    }
    if (n->op == &nn_op_depthwise)
        o.groups = x.dim[3];
    g = nni_conv_of(&o, x, w);
    bottom = g.pad_top;
    right = g.pad_left;
    if (o.padding == NN_PAD_SAME) {
        bottom = padding_after(g.h, g.oh, g.stride, g.dilation * (g.kh - 1) + 1, g.pad_top);
        right = padding_after(g.w, g.ow, g.stride, g.dilation * (g.kw - 1) + 1, g.pad_left);
    }
    put_usual(e, n,
              (struct call){ .type = type,
                             .in = { image(e, n->in[0]), weight, bias },
                             .attr = { pair("dilations", g.dilation, g.dilation), integer("group", g.groups),
                                       pair("kernel_shape", g.kh, g.kw),
                                       four("pads", g.pad_top, g.pad_left, bottom, right),
                                       pair("strides", g.stride, g.stride) } });
}

static void linear(struct export *e, const nn_node *n, const char *type)
{
    const char *x = plain(e, n->in[0]), *w = plain(e, n->in[1]), *bias = n->in[2] ? plain(e, n->in[2]) : NULL;

    put_plain(e, n, (struct call){ .type = type, .in = { x, w, bias }, .attr = { integer("transB", 1) } });
}

/* What scales or shifts channels, or `same` for each where there is no such parameter. */
static const char *per_channel(struct export *e, const nn_node *n, const nn_tensor *t, double same)
{
    nn_shape channels = NN_SHAPE1(nn_dim(n->out[0], -1));
    double *x;

    if (t)
        return plain(e, t);
    x = nni_arena_take(&e->arena, (size_t)channels.dim[0] * sizeof *x);
    if (!x)
        return no_memory(e);
    for (int64_t c = 0; c < channels.dim[0]; c++)
        x[c] = same;
    return floats(e, n->path, channels, x);
}

/* The affine at the end of a batch norm in evaluation, whose scale is bn_coeff(variance, gamma). */
static void batch_norm(struct export *e, const nn_node *n, const char *type)
{
    enum { X, MEAN, SCALE, BETA };
    const nn_node *coeff = origin(n->in[SCALE])->node;
    struct call c = { .type = type };

    if (!coeff || coeff->op != &nn_op_bn_coeff) {
        (void)fail(e, NN_EUNSUPPORTED, "%s: op \"affine\" outside of a batch norm", n->path);
        return;
    }
    c.in[0] = usual(e, n->in[X]);
    c.in[1] = per_channel(e, n, coeff->in[1], 1);
    c.in[2] = per_channel(e, n, n->in[BETA], 0);
    c.in[3] = plain(e, n->in[MEAN]);
    c.in[4] = plain(e, coeff->in[0]);
    c.attr[0] = real("epsilon", ((const struct nni_bn_coeff *)coeff->attrs)->eps);
    put_usual(e, n, c);
}

/* (x/maximum - mean)/std as factor*x + shift. */
static void normalize(struct export *e, const nn_node *n, const char *type)
{
    const struct nni_normalize *a = n->attrs;
    const char *x = plain(e, n->in[0]), *by, *plus;
    double factor[3], shift[3];

    for (int c = 0; c < 3; c++) {
        factor[c] = 1 / (a->maximum * a->std[c]);
        shift[c] = -a->mean[c] / a->std[c];
    }
    by = floats(e, n->path, NN_SHAPE1(3), factor);
    plus = floats(e, n->path, NN_SHAPE1(3), shift);
    if (n->in[0]->type != NN_REAL)
        x = put(e, n->path,
                (struct call){ .type = type, .in = { x }, .attr = { integer("to", element_of(NN_F32)) } });
    x = put(e, n->path, (struct call){ .type = "Mul", .in = { x, by } });
    put_plain(e, n, (struct call){ .type = "Add", .in = { x, plus } });
}

static void max_pool(struct export *e, const nn_node *n, const char *type)
{
    const nn_pool_opts *o = n->attrs;
    struct nni_pooling p = nni_pooling_of(o);
    nn_shape x = n->in[0]->shape, y = n->out[0]->shape;
    int64_t after[2];

    /* The window that ceil_mode adds is one of padding here. */
    for (int i = 0; i < 2; i++)
        after[i] = o->ceil_mode ? padding_after(x.dim[1 + i], y.dim[1 + i], p.stride, p.k, p.pad) : p.pad;
    put_usual(e, n,
              (struct call){ .type = type,
                             .in = { image(e, n->in[0]) },
                             .attr = { pair("kernel_shape", p.k, p.k),
                                       four("pads", p.pad, p.pad, after[0], after[1]),
                                       pair("strides", p.stride, p.stride) } });
}

/* A matrix that averages `in` numbers to `out`, of those rows, or transposed. */
static const char *averaging(struct export *e, const char *path, int64_t in, int64_t out, bool transposed)
{
    double *a = nni_arena_take(&e->arena, (size_t)(in * out) * sizeof *a);

    if (!a)
        return no_memory(e);
    for (int64_t o = 0; o < out; o++) {
        int64_t begin = o * in / out, end = ((o + 1) * in + out - 1) / out;

        for (int64_t i = begin; i < end; i++)
            a[transposed ? i * out + o : o * in + i] = 1.0 / (double)(end - begin);
    }
    return floats(e, path, transposed ? NN_SHAPE2(in, out) : NN_SHAPE2(out, in), a);
}

/* ONNX has no such op: a product on either side, of each channel's [H,W]. */
static void adaptive_pool(struct export *e, const nn_node *n, const char *type)
{
    nn_shape x = n->in[0]->shape, y = n->out[0]->shape;
    const char *rows = averaging(e, n->path, x.dim[1], y.dim[1], false);
    const char *cols = averaging(e, n->path, x.dim[2], y.dim[2], true);
    const char *half = put(e, n->path, (struct call){ .type = type, .in = { image(e, n->in[0]), cols } });

    put_usual(e, n, (struct call){ .type = type, .in = { rows, half } });
}

static void reshape(struct export *e, const nn_node *n, const char *type)
{
    nn_shape x = n->in[0]->shape, y = n->out[0]->shape;
    int64_t dims[NN_MAX_RANK];
    bool same = x.rank == 4 && x.dim[1] == 1 && x.dim[2] == 1; /* whichever layout */
    const char *to;

    if (!x.rank || !y.rank || x.dim[0] != y.dim[0])
        (void)fail(e, NN_EUNSUPPORTED, "%s: op \"reshape\" does not keep the first dimension, the batch",
                   n->path);
    for (int i = 0; i < y.rank; i++)
        dims[i] = i ? y.dim[i] : 0; /* 0: as it was */
    to = integers(e, n->path, y.rank, dims);
    put_plain(e, n,
              (struct call){ .type = type, .in = { same ? image(e, n->in[0]) : plain(e, n->in[0]), to } });
}

/* Of an image that exists channels first, from there: to put channels first is then nothing at all. */
static void permute(struct export *e, const nn_node *n, const char *type)
{
    static const int64_t second[4] = { 0, 2, 3, 1 }; /* dimension of the image that was dimension k */
    const struct nni_permute *a = n->attrs;
    const char *x = e->value[origin(n->in[0])->id].image;
    struct attribute perm = { .name = "perm", .kind = INTS, .count = n->in[0]->shape.rank };
    bool moved = false;

    for (int k = 0; k < perm.count; k++) {
        perm.i[k] = x ? second[a->order[k]] : a->order[k];
        moved |= perm.i[k] != k;
    }
    if (!x)
        x = plain(e, n->in[0]);
    if (moved)
        put_plain(e, n, (struct call){ .type = type, .in = { x }, .attr = { perm } });
    else
        e->value[n->out[0]->id].plain = x;
}

static void softmax(struct export *e, const nn_node *n, const char *type)
{
    put_plain(e, n,
              (struct call){ .type = type, .in = { plain(e, n->in[0]) }, .attr = { integer("axis", -1) } });
}

static const struct rule {
    const nn_op *op;
    void (*write)(struct export *e, const nn_node *n, const char *type); /* NULL: together with its reader */
    const char *type;
} rules[] = {
    { &nn_op_conv2d, conv, "Conv" },
    { &nn_op_conv1x1, conv, "Conv" },
    { &nn_op_depthwise, conv, "Conv" },
    { &nn_op_linear, linear, "Gemm" },
    { &nn_op_bn_coeff, NULL, NULL },
    { &nn_op_affine, batch_norm, "BatchNormalization" },
    { &nn_op_normalize, normalize, "Cast" },
    { &nn_op_relu, direct, "Relu" },
    { &nn_op_relu6, between, "Clip" },
    { &nn_op_silu, silu, "Sigmoid" },
    { &nn_op_sigmoid, direct, "Sigmoid" },
    { &nn_op_exp, direct, "Exp" },
    { &nn_op_log, direct, "Log" },
    { &nn_op_sqrt, direct, "Sqrt" },
    { &nn_op_tanh, direct, "Tanh" },
    { &nn_op_sin, direct, "Sin" },
    { &nn_op_cos, direct, "Cos" },
    { &nn_op_abs, direct, "Abs" },
    { &nn_op_pow, power, "Pow" },
    { &nn_op_softplus, direct, "Softplus" },
    { &nn_op_elu, with_alpha, "Elu" },
    { &nn_op_gelu, gelu, "Erf" },
    { &nn_op_mish, mish, "Softplus" },
    { &nn_op_hardsigmoid, hardsigmoid, "HardSigmoid" },
    { &nn_op_hardswish, direct, "HardSwish" },
    { &nn_op_leaky_relu, with_alpha, "LeakyRelu" },
    { &nn_op_clamp, between, "Clip" },
    { &nn_op_add, direct, "Add" },
    { &nn_op_sub, direct, "Sub" },
    { &nn_op_mul, direct, "Mul" },
    { &nn_op_div, direct, "Div" },
    { &nn_op_max_pool2d, max_pool, "MaxPool" },
    { &nn_op_adaptive_avg_pool2d, adaptive_pool, "MatMul" },
    { &nn_op_global_avg_pool, direct, "GlobalAveragePool" },
    { &nn_op_reshape, reshape, "Reshape" },
    { &nn_op_permute, permute, "Transpose" },
    { &nn_op_softmax, softmax, "Softmax" },
};

/* ------------------------------------------------------------------- the graph */

static void put_border(struct export *e, int field, const char *name, const nn_tensor *t)
{
    nni_buffer value = { 0 }, type = { 0 }, tensor = { 0 }, shape = { 0 }, dim = { 0 };
    nn_shape s = t->shape;

    for (int i = 0; i < s.rank; i++) {
        if (i)
            nni_protobuf_int(&dim, DIM_VALUE, s.dim[i]);
        else
            nni_protobuf_text(&dim, DIM_PARAM, "batch");
        nni_protobuf_message(&shape, SHAPE_DIM, &dim);
    }
    nni_protobuf_int(&tensor, TYPE_ELEMENT, element_of(t->type));
    nni_protobuf_message(&tensor, TYPE_SHAPE, &shape);
    nni_protobuf_message(&type, TYPE_TENSOR, &tensor);
    nni_protobuf_text(&value, VALUE_NAME, name);
    nni_protobuf_message(&value, VALUE_TYPE, &type);
    nni_protobuf_message(&e->body, field, &value);
}

static bool is_wanted(const struct export *e, const nn_node *n)
{
    for (int k = 0; k < NN_MAX_OUT; k++)
        if (n->out[k] && e->value[n->out[k]->id].wanted)
            return true;
    return false;
}

/* Marks what the observed tensors depend on: nodes are recorded after those that they read. */
static void mark(struct export *e)
{
    const nn_graph *g = e->graph;

    for (const struct nni_observed *o = g->observed; o; o = o->next)
        e->value[origin(o->tensor)->id].wanted = true;
    for (int64_t i = g->nodes; i-- > 0;) {
        const nn_node *n = g->node[i];

        for (int k = 0; is_wanted(e, n) && k < NN_MAX_IN; k++)
            if (n->in[k])
                e->value[origin(n->in[k])->id].wanted = true;
    }
}

static void put_inputs(struct export *e)
{
    for (int64_t i = 0; i < e->graph->tensors; i++) {
        const nn_tensor *t = e->graph->tensor[i];

        if (t->base != NN_BASE_INPUT || t->data || t->detached || !e->value[t->id].wanted)
            continue;
        if (e->graph->models && nn_model_find(e->graph->model[0], t->name))
            (void)fail(e, NN_EINVAL, "\"%s\" would be an input and a parameter", t->name);
        e->value[t->id].plain = t->name;
        put_border(e, GRAPH_INPUT, t->name, t);
    }
}

static void put_nodes(struct export *e)
{
    for (int64_t i = 0; i < e->graph->nodes && !e->status; i++) {
        const nn_node *n = e->graph->node[i];
        const struct rule *r = rules, *end = rules + sizeof rules / sizeof *rules;

        if (!is_wanted(e, n))
            continue;
        while (r < end && r->op != n->op)
            r++;
        if (r == end)
            (void)fail(e, NN_EUNSUPPORTED, "%s: op \"%s\" cannot be written as ONNX%s", n->path, n->op->name,
                       n->op == &nn_op_moments ? ": record the network for evaluation" : "");
        else if (r->write)
            r->write(e, n, r->type);
    }
}

/* What is observed, the first one first. */
static void put_outputs(struct export *e, const struct nni_observed *o)
{
    if (!o)
        return;
    put_outputs(e, o->next);
    for (int64_t i = 0; i < e->graph->tensors; i++) {
        const nn_tensor *t = e->graph->tensor[i];

        if (t->name && !strcmp(t->name, o->name))
            (void)fail(e, NN_EINVAL, "\"%s\" would be an output and an input or a parameter", o->name);
    }
    if (e->status)
        return;
    put_node(e, o->name, &(struct call){ .type = "Identity", .in = { plain(e, o->tensor) } });
    put_border(e, GRAPH_OUTPUT, o->name, o->tensor);
}

/* -------------------------------------------------------------------- the file */

/* All of an initializer but its data, as a field of the graph. */
static uint64_t put_tensor_head(nni_buffer *b, const struct constant *c)
{
    uint64_t bytes = (uint64_t)nn_shape_count(c->shape) * nn_dtype_size(c->type);
    nni_buffer head = { 0 };

    for (int i = 0; i < c->shape.rank; i++)
        nni_protobuf_int(&head, TENSOR_DIMS, c->shape.dim[i]);
    nni_protobuf_int(&head, TENSOR_TYPE, element_of(c->type));
    nni_protobuf_text(&head, TENSOR_NAME, c->name);
    nni_protobuf_head(&head, TENSOR_DATA, bytes);
    nni_protobuf_head(b, GRAPH_INITIALIZER, head.size + bytes);
    nni_buffer_put(b, head.data, head.size);
    b->failed |= head.failed;
    nni_free(head.data);
    return bytes;
}

static void put_pair(nni_buffer *b, const nn_pair *p)
{
    nni_buffer pair = { 0 };

    nni_protobuf_text(&pair, PAIR_KEY, p->key);
    nni_protobuf_text(&pair, PAIR_VALUE, p->value);
    nni_protobuf_message(b, MODEL_METADATA, &pair);
}

/* The model up to its graph, whose size is then known, and the graph's other fields. */
static uint64_t put_head(struct export *e, nni_buffer *head, const nn_pair *metadata, int64_t m)
{
    nni_buffer b = { 0 };
    uint64_t size = e->body.size;

    for (size_t i = 0; i < e->constants; i++, b.size = 0) {
        size += put_tensor_head(&b, &e->constant[i]);
        size += b.size;
    }
    nni_protobuf_int(head, MODEL_IR, IR_VERSION);
    nni_protobuf_text(head, MODEL_PRODUCER, "libnn");
    nni_protobuf_text(head, MODEL_PRODUCER_VERSION, NN_VERSION);
    for (int64_t i = 0; i < m; i++)
        put_pair(head, &metadata[i]);
    b.size = 0;
    nni_protobuf_text(&b, OPSET_DOMAIN, "");
    nni_protobuf_int(&b, OPSET_VERSION, OPSET);
    nni_protobuf_message(head, MODEL_OPSETS, &b);
    nni_protobuf_head(head, MODEL_GRAPH, size);
    nni_buffer_put(head, e->body.data, e->body.size);
    head->failed |= e->body.failed;
    return head->size + size - e->body.size;
}

static int write_file(struct export *e, const nni_buffer *head)
{
    nni_buffer b = { 0 };
    nni_writer w;
    int rc = nni_writer_open(&w, e->path, e->why);

    if (rc)
        return rc;
    rc = nni_writer_put(&w, head->data, head->size, e->why);
    for (size_t i = 0; !rc && i < e->constants; i++, b.size = 0) {
        uint64_t bytes = put_tensor_head(&b, &e->constant[i]);

        if (b.failed)
            rc = nni_fail(e->why, NN_ENOMEM, "%s: no memory to describe its weights", e->path);
        if (!rc)
            rc = nni_writer_put(&w, b.data, b.size, e->why);
        if (!rc && bytes)
            rc = nni_writer_put(&w, e->constant[i].data, (size_t)bytes, e->why);
    }
    nni_free(b.data);
    if (!rc)
        return nni_writer_commit(&w, e->why);
    nni_writer_abort(&w);
    return rc;
}

int nn_onnx_write(const nn_graph *graph, const char *path, const nn_pair *metadata, int64_t m,
                  nn_message *why)
{
    struct export e = { .graph = graph, .path = path, .why = why };
    nni_buffer head = { 0 };

    if (!graph || !path || m < 0 || (m && !metadata))
        return nni_fail(why, NN_EINVAL, "%s: nothing to write", path ? path : "no path");
    e.value = nni_alloc_array((size_t)graph->tensors + 1, sizeof *e.value);
    if (!e.value)
        (void)no_memory(&e);
    else if (graph->status)
        (void)fail(&e, graph->status, "%.350s", graph->message.text);
    else if (!graph->observed)
        (void)fail(&e, NN_EINVAL, "nothing is observed that could be its output");
    else if (graph->models > 1)
        (void)fail(&e, NN_EUNSUPPORTED, "the graph uses %d models, whose names may be the same",
                   graph->models);
    for (int64_t i = 0; !e.status && i < m; i++)
        if (!metadata[i].key || !metadata[i].value || !nni_is_utf8(metadata[i].key) ||
            !nni_is_utf8(metadata[i].value))
            (void)fail(&e, NN_EINVAL, "metadata %lld is missing or not UTF-8", (long long)i);
    if (!e.status) {
        nni_protobuf_text(&e.body, GRAPH_NAME, "network");
        mark(&e);
        put_inputs(&e);
        put_nodes(&e);
        put_outputs(&e, graph->observed);
    }
    if (!e.status && put_head(&e, &head, metadata, m) > INT32_MAX)
        (void)fail(&e, NN_EUNSUPPORTED, "would have 2 GiB or more");
    if (!e.status && head.failed)
        (void)no_memory(&e);
    if (!e.status)
        e.status = write_file(&e, &head);
    nni_free(head.data);
    nni_free(e.body.data);
    nni_free(e.constant);
    nni_free(e.value);
    nni_arena_free(&e.arena);
    return e.status;
}
