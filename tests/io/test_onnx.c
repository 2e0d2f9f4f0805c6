/* SPDX-License-Identifier: MIT
 *
 * ONNX models are read back field by field, by nothing but the encoding of Protocol Buffers: a network of
 * every op that can be written becomes the nodes, attributes and weights that it must. That runtimes compute
 * the same with them is for make parity (tests/parity/onnx_parity.py).
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <nn/io.h>
#include <nn/layers.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static nn_device *device;
static char path[64];
static nn_message why;
static struct nni_seam real_seam;

static void setup(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    (void)snprintf(path, sizeof path, "/tmp/nn_onnx_%ld", (long)getpid());
    real_seam = nni_seam;
}

static void teardown(void)
{
    nni_seam = real_seam;
    (void)remove(path);
    nn_close(device);
}

/* ------------------------------------------------------------------ reading */

struct part {
    const unsigned char *at;
    size_t size;
};

struct field {
    int number;
    uint64_t value; /* of a varint or of 32 bits */
    struct part part;
};

static uint64_t varint(struct part *p)
{
    uint64_t x = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        ck_assert_uint_gt(p->size, 0);
        x |= (uint64_t)(*p->at & 127) << shift;
        p->size--;
        if (!(*p->at++ & 128))
            return x;
    }
    ck_abort_msg("a number of more than ten bytes");
    return 0;
}

/* Takes the first field off a message; false at its end. */
static bool next(struct part *message, struct field *f)
{
    uint64_t key;

    if (!message->size)
        return false;
    key = varint(message);
    *f = (struct field){ .number = (int)(key >> 3) };
    if ((key & 7) == 5) {
        ck_assert_uint_ge(message->size, 4);
        memcpy(&f->value, message->at, 4);
        f->part.size = 4;
    } else {
        ck_assert((key & 7) == 0 || (key & 7) == 2);
        f->value = varint(message);
        if ((key & 7) == 0)
            return true;
        f->part.size = f->value;
        f->part.at = message->at;
    }
    ck_assert_uint_le(f->part.size, message->size);
    message->at += f->part.size;
    message->size -= f->part.size;
    return true;
}

/* Occurrence `index` of a field; false when there are not so many. */
static bool field_of(struct part message, int number, int index, struct field *f)
{
    while (next(&message, f))
        if (f->number == number && !index--)
            return true;
    return false;
}

static struct part inside(struct part message, int number, int index)
{
    struct field f;

    ck_assert_msg(field_of(message, number, index, &f), "there is no field %d number %d", number, index);
    return f.part;
}

static const char *text_of(struct part p)
{
    static char text[8][256];
    static int turn;

    turn = (turn + 1) % 8;
    (void)snprintf(text[turn], sizeof text[turn], "%.*s", (int)p.size, (const char *)p.at);
    return text[turn];
}

/* The numbers of a field, as text. */
static const char *numbers(struct part message, int number)
{
    static char text[128];
    struct field f;
    size_t n = 0;

    text[0] = 0;
    for (int i = 0; field_of(message, number, i, &f); i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i ? " %lld" : "%lld", (long long)f.value);
    return text;
}

static struct part read_file(void)
{
    struct part p;
    void *data;

    ck_assert_msg(!nni_read_file(path, 1 << 24, &data, &p.size, &why), "%s", why.text);
    p.at = data;
    return p;
}

static void release(struct part p) { nni_free((void *)(uintptr_t)p.at); }

enum { GRAPH = 7, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 };

/* "Conv Relu ...", the ops of all nodes. */
static const char *ops(struct part graph)
{
    static char text[1024];
    struct field f;
    size_t n = 0;

    for (int i = 0; field_of(graph, NODE, i, &f); i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i ? " %s" : "%s", text_of(inside(f.part, 4, 0)));
    return text;
}

/* Node `index` of those with this op. */
static struct part node_of(struct part graph, const char *op, int index)
{
    struct field f;

    for (int i = 0; field_of(graph, NODE, i, &f); i++)
        if (!strcmp(text_of(inside(f.part, 4, 0)), op) && !index--)
            return f.part;
    ck_abort_msg("there are not so many nodes %s", op);
    return f.part;
}

static struct part attribute_of(struct part node, const char *name)
{
    struct field f;

    for (int i = 0; field_of(node, 5, i, &f); i++)
        if (!strcmp(text_of(inside(f.part, 1, 0)), name))
            return f.part;
    ck_abort_msg("there is no attribute %s", name);
    return f.part;
}

static struct part initializer_of(struct part graph, const char *name)
{
    struct field f;

    for (int i = 0; field_of(graph, INITIALIZER, i, &f); i++)
        if (!strcmp(text_of(inside(f.part, 8, 0)), name))
            return f.part;
    ck_abort_msg("there is no initializer %s", name);
    return f.part;
}

/* "image 2: batch 9 8 3": a border, its element type and its shape. */
static const char *border(struct part graph, int field, int index)
{
    static char text[256];
    struct part value = inside(graph, field, index), tensor = inside(inside(value, 2, 0), 1, 0);
    struct part shape = inside(tensor, 2, 0);
    struct field f, d;
    size_t n;

    ck_assert(field_of(tensor, 1, 0, &f));
    n = (size_t)snprintf(text, sizeof text, "%s %d:", text_of(inside(value, 1, 0)), (int)f.value);
    for (int i = 0; field_of(shape, 1, i, &f); i++) {
        if (field_of(f.part, 1, 0, &d))
            n += (size_t)snprintf(text + n, sizeof text - n, " %lld", (long long)d.value);
        else
            n += (size_t)snprintf(text + n, sizeof text - n, " %s", text_of(inside(f.part, 2, 0)));
    }
    return text;
}

/* ---------------------------------------------------------------- recording */

struct net {
    nn_model *model;
    nn_graph *graph;
    nn_tensor *x; /* [2,9,8,3], normalised */
};

static struct net begin(nn_mode mode)
{
    static const double mean[3] = { 0.5, 0.4, 0.3 }, std[3] = { 0.25, 0.2, 0.125 };
    struct net n;

    ck_assert_int_eq(nn_model_new(&n.model, device, 7), NN_OK);
    ck_assert_int_eq(nn_graph_new(&n.graph, device, n.model, mode), NN_OK);
    n.x = nn_normalize(n.graph, nn_input(n.graph, "image", NN_U8, NN_SHAPE4(2, 9, 8, 3)), mean, std, 255);
    return n;
}

static void seal(const struct net *n)
{
    ck_assert_msg(!nn_graph_status(n->graph), "%s", nn_graph_error(n->graph));
    ck_assert_msg(!nn_model_seal(n->model), "%s", nn_model_error(n->model));
}

static void end(struct net *n)
{
    nn_graph_free(n->graph);
    nn_model_free(n->model);
}

/* Every op that there is a rule for. */
static struct net all_ops(void)
{
    static const int first[4] = { 0, 3, 1, 2 };
    nn_conv2d_opts stem = { .out = 8, .k = 3, .stride = 2, .padding = NN_PAD_SAME };
    nn_conv2d_opts filter = { .out = 8, .k = 5, .stride = 2, .groups = 8 };
    struct net n = begin(NN_EVAL);
    nn_graph *g = n.graph;
    nn_tensor *x, *y;

    x = nn_layer_conv2d(g, "stem", n.x, stem); /* [2,5,4,8] */
    x = nn_relu6(g, nn_layer_batchnorm(g, "norm", x, (nn_batchnorm_opts){ .eps = 0.25 }));
    y = nn_silu(g, nn_layer_conv2d(g, "filter", x, filter)); /* [2,3,2,8] */
    y = nn_layer_squeeze_excite(g, "excite", y, 2);
    x = nn_max_pool2d(g, x, (nn_pool_opts){ .k = 3, .stride = 2, .pad = 1 }); /* [2,3,2,8] */
    x = nn_relu(g, nn_add(g, x, y));
    x = nn_max_pool2d(g, x, (nn_pool_opts){ .k = 2, .ceil_mode = 1 }); /* [2,2,1,8] */
    x = nn_adaptive_avg_pool2d(g, x, 3, 2);
    x = nn_layer_linear(g, "fc", nn_flatten(g, nn_permute(g, x, first)), (nn_linear_opts){ .out = 4 });
    x = nn_observe(g, "logits", x);
    (void)nn_observe(g, "probabilities", nn_softmax(g, x));
    (void)nn_slice(g, n.x, 0, 0,
                   1); /* nothing that is observed needs it, so there being no rule is no matter */
    seal(&n);
    return n;
}

static void expect_weights(struct part graph, const nn_model *m, const char *name, const char *shape)
{
    const nn_segment *s = nn_model_find(m, name);
    struct part tensor = initializer_of(graph, name), data = inside(tensor, 9, 0);

    ck_assert_str_eq(numbers(tensor, 1), shape);
    ck_assert_str_eq(numbers(tensor, 2), "1");
    ck_assert_uint_eq(data.size, (size_t)s->count * sizeof(float));
    ck_assert(!memcmp(data.at,
                      (const char *)nn_model_buffer((nn_model *)(uintptr_t)m, s->base, NULL) + s->offset,
                      data.size));
}

static void expect_pads(struct part node, const char *pads, const char *strides)
{
    ck_assert_str_eq(numbers(attribute_of(node, "pads"), 8), pads);
    ck_assert_str_eq(numbers(attribute_of(node, "strides"), 8), strides);
}

START_TEST(structure)
{
    static const nn_pair pairs[] = { { "a", "1" }, { "b", "zwei \xc3\xa9" } };
    struct net n = all_ops();
    struct part model, graph, norm;
    struct field f;
    float eps;

    ck_assert_msg(!nn_onnx_write(n.graph, path, pairs, 2, &why), "%s", why.text);
    model = read_file();
    ck_assert_str_eq(numbers(model, 1), "8");
    ck_assert_str_eq(text_of(inside(model, 2, 0)), "libnn");
    ck_assert_str_eq(numbers(inside(model, 8, 0), 2), "17");
    ck_assert_str_eq(text_of(inside(inside(model, 14, 1), 1, 0)), "b");
    ck_assert_str_eq(text_of(inside(inside(model, 14, 1), 2, 0)), pairs[1].value);

    graph = inside(model, GRAPH, 0);
    ck_assert_str_eq(border(graph, INPUT, 0), "image 2: batch 9 8 3");
    ck_assert(!field_of(graph, INPUT, 1, &f));
    ck_assert_str_eq(border(graph, OUTPUT, 0), "logits 1: batch 4");
    ck_assert_str_eq(border(graph, OUTPUT, 1), "probabilities 1: batch 4");
    /* Images are transposed once, and what the network permutes is there already. */
    ck_assert_str_eq(ops(graph),
                     "Cast Mul Add Transpose Conv BatchNormalization Clip Conv Sigmoid Mul "
                     "GlobalAveragePool Conv Sigmoid Mul Conv Sigmoid Mul MaxPool Add Relu MaxPool MatMul "
                     "MatMul Reshape Gemm Softmax Identity Identity");

    expect_pads(node_of(graph, "Conv", 0), "1 0 1 1", "2 2");
    expect_pads(node_of(graph, "Conv", 1), "2 2 2 2", "2 2");
    expect_pads(node_of(graph, "MaxPool", 0), "1 1 1 1", "2 2");
    expect_pads(node_of(graph, "MaxPool", 1), "0 0 1 0", "2 2");
    ck_assert_str_eq(numbers(attribute_of(node_of(graph, "Conv", 1), "group"), 3), "8");
    norm = node_of(graph, "BatchNormalization", 0);
    ck_assert_str_eq(text_of(inside(norm, 1, 1)), "norm.weight");
    ck_assert_str_eq(text_of(inside(norm, 1, 2)), "norm.bias");
    ck_assert_str_eq(text_of(inside(norm, 1, 3)), "norm.running_mean");
    ck_assert_str_eq(text_of(inside(norm, 1, 4)), "norm.running_var");
    ck_assert(field_of(attribute_of(norm, "epsilon"), 2, 0, &f));
    memcpy(&eps, &f.value, sizeof eps);
    ck_assert_float_eq(eps, 0.25F);

    expect_weights(graph, n.model, "stem.weight", "8 3 3 3");
    expect_weights(graph, n.model, "filter.weight", "8 1 5 5");
    expect_weights(graph, n.model, "norm.running_var", "8");
    expect_weights(graph, n.model, "fc.weight", "4 48");
    release(model);
    end(&n);
}
END_TEST

/* Two layers with one parameter; a value that is wanted in another layout than it was made in. */
START_TEST(shared_and_transposed)
{
    struct net n = begin(NN_EVAL);
    nn_tensor *x = n.x;
    struct part model, graph;
    struct field f;

    for (int i = 0; i < 2; i++)
        x = nn_relu(n.graph, nn_layer_conv2d(n.graph, "twice", x, (nn_conv2d_opts){ .out = 3, .k = 3 }));
    (void)nn_observe(n.graph, "picture", x);
    (void)nn_observe(n.graph, "flat", nn_flatten(n.graph, x));
    seal(&n);
    ck_assert_msg(!nn_onnx_write(n.graph, path, NULL, 0, &why), "%s", why.text);
    model = read_file();
    graph = inside(model, GRAPH, 0);
    ck_assert_str_eq(ops(graph),
                     "Cast Mul Add Transpose Conv Relu Conv Relu Transpose Reshape Identity Identity");
    ck_assert_str_eq(border(graph, OUTPUT, 0), "picture 1: batch 9 8 3");
    ck_assert_str_eq(border(graph, OUTPUT, 1), "flat 1: batch 216");
    ck_assert_str_eq(numbers(attribute_of(node_of(graph, "Transpose", 0), "perm"), 8), "0 3 1 2");
    ck_assert_str_eq(numbers(attribute_of(node_of(graph, "Transpose", 1), "perm"), 8), "0 2 3 1");
    ck_assert(field_of(graph, INITIALIZER, 3, &f)); /* factor and shift, the weight, a shape, and no more */
    ck_assert(!field_of(graph, INITIALIZER, 4, &f));
    release(model);
    end(&n);
}
END_TEST

/* Functions of one element, of which some are several nodes or have their constants as inputs. */
START_TEST(functions)
{
    struct net n = begin(NN_EVAL);
    nn_graph *g = n.graph;
    nn_tensor *x = nn_flatten(g, nn_global_avg_pool(g, n.x));
    struct part model, graph;
    struct field f;
    float alpha;

    x = nn_elu(g, nn_leaky_relu(g, nn_abs(g, nn_sin(g, nn_cos(g, x))), 0.125), 0.5);
    x = nn_log(g, nn_sqrt(g, nn_pow(g, nn_softplus(g, nn_exp(g, nn_tanh(g, x))), 1.5)));
    x = nn_hardswish(g, nn_hardsigmoid(g, nn_clamp(g, nn_mish(g, x), -2, 3)));
    x = nn_gelu(g, nn_gelu(g, x, 0), 1);
    x = nn_div(g, x, nn_sub(g, x, nn_abs(g, x)));
    (void)nn_observe(g, "y", x);
    seal(&n);
    ck_assert_msg(!nn_onnx_write(g, path, NULL, 0, &why), "%s", why.text);
    model = read_file();
    graph = inside(model, GRAPH, 0);
    ck_assert_str_eq(ops(graph),
                     "Cast Mul Add Transpose GlobalAveragePool Reshape Cos Sin Abs LeakyRelu Elu Tanh Exp "
                     "Softplus Pow Sqrt Log Softplus Tanh Mul Clip HardSigmoid HardSwish Mul Erf Add Mul Mul "
                     "Mul Mul Add Mul Sigmoid Mul Abs Sub Div Identity");
    ck_assert(field_of(attribute_of(node_of(graph, "Elu", 0), "alpha"), 2, 0, &f));
    memcpy(&alpha, &f.value, sizeof alpha);
    ck_assert_float_eq(alpha, 0.5F);
    release(model);
    end(&n);
}
END_TEST

/* What the network itself brings along is a value of the file, not an input. */
START_TEST(a_constant)
{
    static const nn_real shift[4] = { 1, -2, 0.5, 8 };
    static const float floats[4] = { 1, -2, 0.5F, 8 };
    struct net n = begin(NN_EVAL);
    nn_tensor *x = nn_flatten(n.graph, nn_global_avg_pool(n.graph, n.x)), *c;
    struct part model, graph, data = { 0 };
    struct field f;

    x = nn_layer_linear(n.graph, "fc", x, (nn_linear_opts){ .out = 4 });
    c = nn_constant(n.graph, NN_REAL, NN_SHAPE1(4), shift);
    (void)nn_observe(n.graph, "shifted", nn_add(n.graph, x, c));
    seal(&n);
    ck_assert_msg(!nn_onnx_write(n.graph, path, NULL, 0, &why), "%s", why.text);
    model = read_file();
    graph = inside(model, GRAPH, 0);
    ck_assert(!field_of(graph, INPUT, 1, &f));
    data = inside(initializer_of(graph, text_of(inside(node_of(graph, "Add", 1), 1, 1))), 9, 0);
    ck_assert_uint_eq(data.size, sizeof floats);
    ck_assert(!memcmp(data.at, floats, sizeof floats));
    release(model);
    end(&n);
}
END_TEST

static void expect_failure(struct net *n, int status, const char *says)
{
    int rc = nn_onnx_write(n->graph, path, NULL, 0, &why);

    ck_assert_msg(rc == status, "%s instead of %s: %s", nn_strerror(rc), nn_strerror(status), why.text);
    ck_assert_msg(strstr(why.text, says) != NULL, "\"%s\" is not in: %s", says, why.text);
    ck_assert_int_ne(access(path, F_OK), 0);
    end(n);
}

START_TEST(refusals)
{
    static const nn_pair pair = { "a", "\xff" };
    struct net n = begin(NN_EVAL);

    nn_push(n.graph, "head");
    (void)nn_observe(n.graph, "y", nn_slice(n.graph, n.x, 0, 0, 1));
    nn_pop(n.graph);
    seal(&n);
    expect_failure(&n, NN_EUNSUPPORTED, "head: op \"slice\"");

    n = begin(NN_TRAIN);
    (void)nn_observe(n.graph, "y", nn_layer_batchnorm(n.graph, "norm", n.x, (nn_batchnorm_opts){ 0 }));
    seal(&n);
    expect_failure(&n, NN_EUNSUPPORTED, "for evaluation");

    n = begin(NN_EVAL);
    (void)nn_observe(n.graph, "y", nn_reshape(n.graph, n.x, NN_SHAPE2(1, 432)));
    seal(&n);
    expect_failure(&n, NN_EUNSUPPORTED, "first dimension");

    n = begin(NN_EVAL);
    (void)nn_observe(n.graph, "image", n.x);
    seal(&n);
    expect_failure(&n, NN_EINVAL, "\"image\" would be an output and an input");

    n = begin(NN_EVAL);
    n.x = nn_layer_linear(n.graph, "fc", nn_input(n.graph, "fc.weight", NN_REAL, NN_SHAPE2(2, 3)),
                          (nn_linear_opts){ .out = 2 });
    (void)nn_observe(n.graph, "y", n.x);
    seal(&n);
    expect_failure(&n, NN_EINVAL, "\"fc.weight\" would be an input and a parameter");

    n = begin(NN_EVAL);
    seal(&n);
    expect_failure(&n, NN_EINVAL, "nothing is observed");

    n = begin(NN_EVAL);
    (void)nn_observe(n.graph, "y",
                     nn_layer_linear(n.graph, "fc", nn_flatten(n.graph, n.x), (nn_linear_opts){ .out = 2 }));
    expect_failure(&n, NN_ESTATE, "fc.");

    n = all_ops();
    ck_assert_int_eq(nn_onnx_write(n.graph, path, &pair, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_onnx_write(n.graph, "/nowhere/x.onnx", NULL, 0, &why), NN_EIO);
    end(&n);
}
END_TEST

/* ----------------------------------------------------------------- failures */

static int calls, fail_at;
static int64_t live;

static bool fails(int error)
{
    errno = error;
    return ++calls == fail_at;
}

static void *my_alloc(size_t size)
{
    void *memory = fails(ENOMEM) ? NULL : real_seam.alloc(size);

    live += memory != NULL;
    return memory;
}

static void my_free(void *memory)
{
    live--;
    real_seam.free(memory);
}

static int my_open(const char *at, int flags, int mode)
{
    return fails(EACCES) ? -1 : real_seam.open(at, flags, mode);
}

static int64_t my_write(int fd, const void *data, size_t size)
{
    return fails(ENOSPC) ? -1 : real_seam.write(fd, data, size);
}

/* Every allocation, open and write fails once: the old file stays, nothing is lost, the bytes are always the
 * same. */
START_TEST(failures_leave_the_old_file)
{
    struct net n = all_ops();
    struct part want, got;
    int rc = 1, failed = 0;

    ck_assert_int_eq(nn_onnx_write(n.graph, path, NULL, 0, &why), NN_OK);
    want = read_file();
    for (fail_at = 1; rc; fail_at++) {
        calls = 0;
        live = 0;
        why.text[0] = 0;
        nni_seam.alloc = my_alloc;
        nni_seam.free = my_free;
        nni_seam.open = my_open;
        nni_seam.write = my_write;
        rc = nn_onnx_write(n.graph, path, NULL, 0, &why);
        nni_seam = real_seam;
        failed += rc != 0;
        ck_assert_int_eq(live, 0);
        ck_assert(!rc || rc == NN_ENOMEM || rc == NN_EIO);
        ck_assert_int_eq(rc != 0, why.text[0] != 0);
        got = read_file();
        ck_assert_uint_eq(got.size, want.size);
        ck_assert(!memcmp(got.at, want.at, want.size));
        release(got);
    }
    ck_assert_int_gt(failed, 50);
    release(want);
    end(&n);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("onnx");
    TCase *t = tcase_create("write");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, structure);
    tcase_add_test(t, shared_and_transposed);
    tcase_add_test(t, functions);
    tcase_add_test(t, a_constant);
    tcase_add_test(t, refusals);
    tcase_add_test(t, failures_leave_the_old_file);
    suite_add_tcase(s, t);
    return suite_run(s);
}
