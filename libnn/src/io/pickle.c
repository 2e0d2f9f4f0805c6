/* SPDX-License-Identifier: MIT
 *
 * An interpreter for the small part of Python's pickle language that torch.save uses. A pickle is a program
 * for a stack machine, and the real machine can call any function there is; this one knows 34 opcodes and a
 * list of names. REDUCE on a name of the list builds one of our nodes, on any other an opaque one: what is
 * not on the list can be carried along, as checkpoints do with their options, but never becomes a tensor.
 *
 * A hostile program can also ask for memory without end. So the stack, the memo, the nesting and the
 * number of opcodes are limited, and all nodes together take no more than the caller allows.
 *
 * Language: Python's pickletools. What torch writes: torch/serialization.py, torch/_utils.py.
 */
#include "pickle.h"

#include "tensors.h"

#include <inttypes.h>
#include <string.h>

enum {
    MAX_STACK = 1 << 16,
    MAX_DEPTH = 64,
    MAX_TEXT = 1 << 20,
    MAX_NAME = 512,
    MAX_MEMO = 4 << 20,
    MAX_OPCODES = 4 << 20
};

/* Names that mean something to us; all others are opaque. */
enum name {
    N_ORDERED_DICT,
    N_REBUILD_TENSOR,
    N_REBUILD_PARAMETER,
    N_SIZE,
    N_STORAGE /* and its element type */
};
static const struct known {
    const char *name; /* module and attribute */
    enum name is;
    const char *type; /* of a storage, as safetensors spells it */
} known[] = {
    { "collections.OrderedDict", N_ORDERED_DICT, NULL },
    { "torch._utils._rebuild_tensor_v2", N_REBUILD_TENSOR, NULL },
    { "torch._utils._rebuild_parameter", N_REBUILD_PARAMETER, NULL },
    { "torch.Size", N_SIZE, NULL },
    { "torch.FloatStorage", N_STORAGE, "F32" },
    { "torch.DoubleStorage", N_STORAGE, "F64" },
    { "torch.HalfStorage", N_STORAGE, "F16" },
    { "torch.BFloat16Storage", N_STORAGE, "BF16" },
    { "torch.LongStorage", N_STORAGE, "I64" },
    { "torch.IntStorage", N_STORAGE, "I32" },
    { "torch.ShortStorage", N_STORAGE, "I16" },
    { "torch.CharStorage", N_STORAGE, "I8" },
    { "torch.ByteStorage", N_STORAGE, "U8" },
    { "torch.BoolStorage", N_STORAGE, "BOOL" },
};
enum { KNOWN = sizeof known / sizeof *known };

const char *nni_storage_class(const char *type)
{
    for (int i = 0; i < KNOWN; i++)
        if (known[i].is == N_STORAGE && !strcmp(known[i].type, type))
            return known[i].name + strlen("torch.");
    return NULL;
}

struct machine {
    struct nni_pickle *p;
    size_t at, op; /* next byte; where the opcode began */
    struct nni_node **stack, **memo;
    size_t depth, stack_room, memo_count, memo_room;
    size_t mark[MAX_DEPTH];
    int marks;
};

static int fail(const struct machine *m, int status, const char *what)
{
    return nni_fail(m->p->why, status, "%s: byte %zu: pickle opcode 0x%02x: %s", m->p->label, m->op,
                    m->op < m->p->end ? m->p->bytes[m->op] : 0u, what);
}

/* ------------------------------------------------------------------- memory */

static size_t used(const struct machine *m)
{
    return m->p->arena.total + (m->stack_room + m->memo_room) * sizeof(struct nni_node *);
}

static int no_room(const struct machine *m, size_t wanted)
{
    if (used(m) + wanted > m->p->limit)
        return fail(m, NN_EFORMAT, "asks for more memory than a file of this size should");
    return fail(m, NN_ENOMEM, "no memory");
}

static void *take(struct machine *m, size_t size)
{
    return used(m) + size > m->p->limit ? NULL : nni_arena_take(&m->p->arena, size);
}

/* A list of pointers with room for one more, doubled as it fills. */
static bool widen(struct machine *m, struct nni_node ***list, size_t count, size_t *room, size_t most)
{
    size_t wanted = *room ? 2 * *room : 256;
    void *grown;

    if (count < *room)
        return true;
    if (wanted > most)
        wanted = most;
    if (wanted <= count || used(m) + wanted * sizeof **list > m->p->limit)
        return false;
    grown = nni_grow(*list, *room * sizeof **list, wanted * sizeof **list);
    if (!grown)
        return false;
    *list = grown;
    *room = wanted;
    return true;
}

/* -------------------------------------------------------------------- stack */

static int push(struct machine *m, struct nni_node *node)
{
    if (m->depth == MAX_STACK)
        return fail(m, NN_EFORMAT, "the stack is deeper than any checkpoint needs");
    if (!widen(m, &m->stack, m->depth, &m->stack_room, MAX_STACK))
        return no_room(m, 2 * m->stack_room * sizeof *m->stack);
    m->stack[m->depth++] = node;
    return NN_OK;
}

static int push_new(struct machine *m, enum nni_node_kind kind, struct nni_node **out)
{
    struct nni_node *node = take(m, sizeof *node);

    *out = node;
    if (!node)
        return no_room(m, sizeof *node);
    node->kind = (uint8_t)kind;
    node->at = (uint32_t)m->op;
    return push(m, node);
}

static int push_integer(struct machine *m, enum nni_node_kind kind, int64_t value)
{
    struct nni_node *node;
    int rc = push_new(m, kind, &node);

    if (!rc)
        node->u.integer = value;
    return rc;
}

/* Whether `n` values lie above the last mark. */
static bool has(const struct machine *m, size_t n)
{
    return m->depth - (m->marks ? m->mark[m->marks - 1] : 0) >= n;
}

static int underflow(const struct machine *m)
{
    return fail(m, NN_EFORMAT, "takes more than is on the stack");
}

/* Index of the first value above the last mark, which is removed. */
static int pop_mark(struct machine *m, size_t *first)
{
    if (!m->marks)
        return fail(m, NN_EFORMAT, "there is no mark on the stack");
    *first = m->mark[--m->marks];
    return NN_OK;
}

static struct nni_node *top(const struct machine *m) { return m->stack[m->depth - 1]; }

/* `box` now holds `item`. */
static int contain(const struct machine *m, struct nni_node *box, const struct nni_node *item)
{
    if (item->depth >= MAX_DEPTH)
        return fail(m, NN_EFORMAT, "nested deeper than any checkpoint");
    if (box->depth <= item->depth)
        box->depth = (uint8_t)(item->depth + 1);
    return NN_OK;
}

static int append(struct machine *m, struct nni_node *box, struct nni_node *item)
{
    int rc = contain(m, box, item);

    if (rc)
        return rc;
    if (box->count == box->room) {
        uint32_t room = box->room ? 2 * box->room : 4;
        struct nni_node **grown = take(m, room * sizeof *grown);

        if (!grown)
            return no_room(m, room * sizeof *grown);
        if (box->count)
            memcpy(grown, box->u.item, box->count * sizeof *grown);
        box->u.item = grown;
        box->room = room;
    }
    box->u.item[box->count++] = item;
    return NN_OK;
}

/* -------------------------------------------------------------------- bytes */

static int need(const struct machine *m, size_t n)
{
    return m->p->end - m->at >= n ? NN_OK : fail(m, NN_EFORMAT, "its operand ends behind the pickle");
}

static uint64_t little(const struct machine *m, size_t at, size_t n)
{
    uint64_t x = 0;

    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)m->p->bytes[at + i] << (8 * i);
    return x;
}

/* `n` bytes of operand as a number. */
static int operand(struct machine *m, size_t n, uint64_t *x)
{
    int rc = need(m, n);

    if (!rc) {
        *x = little(m, m->at, n);
        m->at += n;
    }
    return rc;
}

static int take_text(struct machine *m, size_t n, const char **out)
{
    char *text;
    int rc = n > MAX_TEXT ? fail(m, NN_EFORMAT, "a text longer than any name") : need(m, n);

    if (rc)
        return rc;
    text = take(m, n + 1);
    if (!text)
        return no_room(m, n + 1);
    memcpy(text, m->p->bytes + m->at, n);
    if (memchr(text, 0, n) || !nni_is_utf8(text))
        return fail(m, NN_EFORMAT, "a text that is not UTF-8 or contains NUL");
    m->at += n;
    *out = text;
    return NN_OK;
}

/* ------------------------------------------------------------------- values */

static int op_unicode(struct machine *m)
{
    struct nni_node *node;
    uint64_t n = 0;
    int rc = operand(m, 4, &n);

    if (!rc)
        rc = push_new(m, NNI_NODE_TEXT, &node);
    return rc ? rc : take_text(m, (size_t)n, &node->text);
}

/* Whole numbers of up to 255 bytes, of which 8 are more than a size can need. */
static int op_long(struct machine *m)
{
    uint64_t n = 0, x;
    int rc = operand(m, 1, &n);

    if (!rc)
        rc = n > 8 ? fail(m, NN_EFORMAT, "a number beyond 64 bits") : need(m, (size_t)n);
    if (rc)
        return rc;
    x = little(m, m->at, (size_t)n);
    if (n && n < 8 && m->p->bytes[m->at + n - 1] & 0x80u)
        x |= ~UINT64_C(0) << (8 * n);
    m->at += n;
    return push_integer(m, NNI_NODE_INT, (int64_t)x);
}

static int op_float(struct machine *m)
{
    struct nni_node *node;
    uint64_t bits = 0;
    int rc = need(m, 8);

    if (!rc)
        rc = push_new(m, NNI_NODE_REAL, &node);
    if (rc)
        return rc;
    for (int i = 0; i < 8; i++) /* the one number that is big-endian */
        bits = bits << 8 | m->p->bytes[m->at++];
    memcpy(&node->u.real, &bits, sizeof bits);
    return NN_OK;
}

/* Two lines, module and name. */
static int op_global(struct machine *m)
{
    struct nni_node *node;
    char *text;
    size_t dot = 0, size = 0;
    int lines = 0, rc;

    while (lines < 2) {
        if (m->at + size == m->p->end)
            return fail(m, NN_EFORMAT, "its operand ends behind the pickle");
        if (size == MAX_NAME)
            return fail(m, NN_EFORMAT, "a name longer than any class has");
        if (m->p->bytes[m->at + size++] != '\n')
            continue;
        if (!lines++)
            dot = size - 1;
    }
    rc = push_new(m, NNI_NODE_OPAQUE, &node);
    if (rc)
        return rc;
    text = take(m, size);
    if (!text)
        return no_room(m, size);
    memcpy(text, m->p->bytes + m->at, size);
    text[dot] = '.';
    text[size - 1] = 0;
    m->at += size;
    if (strlen(text) != size - 1 || !nni_is_utf8(text) || nni_has_control(text))
        return fail(m, NN_EFORMAT, "a name with NUL or control characters, or not UTF-8");
    node->text = text;
    for (int i = 0; i < KNOWN; i++) {
        if (!strcmp(known[i].name, text)) {
            node->kind = NNI_NODE_GLOBAL;
            node->u.integer = i;
        }
    }
    return NN_OK;
}

static int op_tuple(struct machine *m, size_t first)
{
    size_t n = m->depth - first;
    struct nni_node *node, **item = take(m, (n ? n : 1) * sizeof *item);
    int rc = NN_OK;

    if (!item)
        return no_room(m, n * sizeof *item);
    if (n)
        memcpy(item, m->stack + first, n * sizeof *item);
    m->depth = first;
    rc = push_new(m, NNI_NODE_TUPLE, &node);
    if (rc)
        return rc;
    node->count = node->room = (uint32_t)n;
    node->u.item = item;
    for (size_t i = 0; !rc && i < n; i++)
        rc = contain(m, node, item[i]);
    return rc;
}

/* The values from `first` on into the list below them. */
static int op_append(struct machine *m, size_t first)
{
    struct nni_node *list;
    int rc = NN_OK;

    if (first == (m->marks ? m->mark[m->marks - 1] : 0))
        return underflow(m);
    list = m->stack[first - 1];
    if (list->kind != NNI_NODE_LIST && list->kind != NNI_NODE_OPAQUE)
        return fail(m, NN_EFORMAT, "appends to something that is no list");
    for (size_t i = first; !rc && i < m->depth && list->kind == NNI_NODE_LIST; i++)
        rc = append(m, list, m->stack[i]);
    m->depth = first;
    return rc;
}

/* Pairs from `first` on into the dict below them. */
static int op_setitems(struct machine *m, size_t first)
{
    struct nni_node *dict;
    int rc = NN_OK;

    if (first == (m->marks ? m->mark[m->marks - 1] : 0) || (m->depth - first) % 2)
        return underflow(m);
    dict = m->stack[first - 1];
    if (dict->kind != NNI_NODE_DICT && dict->kind != NNI_NODE_OPAQUE)
        return fail(m, NN_EFORMAT, "sets an item of something that is no dict");
    for (size_t i = first; !rc && i < m->depth && dict->kind == NNI_NODE_DICT; i += 2) {
        int kind = m->stack[i]->kind;

        if (kind != NNI_NODE_TEXT && kind != NNI_NODE_INT)
            return fail(m, NN_EFORMAT, "a key that is neither a text nor a whole number");
        rc = append(m, dict, m->stack[i]);
        if (!rc)
            rc = append(m, dict, m->stack[i + 1]);
    }
    m->depth = first;
    return rc;
}

/* ------------------------------------------------------------------ objects */

static bool is(const struct nni_node *node, enum nni_node_kind kind) { return node->kind == (uint8_t)kind; }

/* ('storage', type, key, device, elements), in old files and a view, which torch always writes as None. */
static int op_persid(struct machine *m)
{
    struct nni_node *id, *node;
    int rc;

    if (!has(m, 1))
        return underflow(m);
    id = m->stack[--m->depth];
    if (!is(id, NNI_NODE_TUPLE) || id->count != (m->p->legacy ? 6u : 5u) ||
        !is(id->u.item[0], NNI_NODE_TEXT) || strcmp(id->u.item[0]->text, "storage") != 0 ||
        !is(id->u.item[2], NNI_NODE_TEXT) || !is(id->u.item[3], NNI_NODE_TEXT) ||
        !is(id->u.item[4], NNI_NODE_INT))
        return fail(m, NN_EFORMAT, "a persistent id that describes no storage");
    if (!is(id->u.item[1], NNI_NODE_GLOBAL) || known[id->u.item[1]->u.integer].is != N_STORAGE)
        return fail(m, NN_EUNSUPPORTED, "a storage of a type that is not supported");
    if (m->p->legacy && !is(id->u.item[5], NNI_NODE_NONE))
        return fail(m, NN_EUNSUPPORTED, "a view of a storage, as torch wrote before version 0.4");
    rc = push_new(m, NNI_NODE_STORAGE, &node);
    if (rc)
        return rc;
    node->text = known[id->u.item[1]->u.integer].type;
    for (int i = 0; !rc && i < 2; i++)
        rc = append(m, node, id->u.item[i ? 4 : 2]);
    return rc ? rc : append(m, &m->p->storages, node);
}

static bool is_sizes(const struct nni_node *node)
{
    for (uint32_t i = 0; is(node, NNI_NODE_TUPLE) && i < node->count; i++)
        if (!is(node->u.item[i], NNI_NODE_INT))
            return false;
    return is(node, NNI_NODE_TUPLE);
}

/* (storage, offset, sizes, strides, requires_grad, hooks [, metadata]) */
static int rebuild_tensor(struct machine *m, const struct nni_node *args)
{
    struct nni_node *node, **a = args->u.item;
    int rc;

    if (args->count < 6 || args->count > 7 || !is(a[0], NNI_NODE_STORAGE) || !is(a[1], NNI_NODE_INT) ||
        !is_sizes(a[2]) || !is_sizes(a[3]) || a[2]->count != a[3]->count)
        return fail(m, NN_EFORMAT, "a tensor that is not made of storage, offset, sizes and strides");
    rc = push_new(m, NNI_NODE_TENSOR, &node);
    for (int i = 0; !rc && i < 4; i++)
        rc = append(m, node, a[i]);
    return rc;
}

static int op_reduce(struct machine *m)
{
    struct nni_node *callable, *args, *node;
    int rc = NN_OK;

    if (!has(m, 2))
        return underflow(m);
    args = m->stack[--m->depth];
    callable = m->stack[--m->depth];
    if (!is(args, NNI_NODE_TUPLE))
        return fail(m, NN_EFORMAT, "arguments that are no tuple");
    if (is(callable, NNI_NODE_OPAQUE)) {
        rc = push_new(m, NNI_NODE_OPAQUE, &node);
        if (!rc)
            node->text = callable->text;
        return rc;
    }
    if (!is(callable, NNI_NODE_GLOBAL))
        return fail(m, NN_EFORMAT, "calls something that is no function");
    switch (known[callable->u.integer].is) {
    case N_ORDERED_DICT:
        if (args->count)
            return fail(m, NN_EUNSUPPORTED, "an OrderedDict made from arguments");
        return push_new(m, NNI_NODE_DICT, &node);
    case N_REBUILD_TENSOR: return rebuild_tensor(m, args);
    case N_REBUILD_PARAMETER:
        if (args->count != 3 || !is(args->u.item[0], NNI_NODE_TENSOR))
            return fail(m, NN_EFORMAT, "a parameter that is no tensor");
        return push(m, args->u.item[0]);
    case N_SIZE:
        if (args->count != 1 || !is_sizes(args->u.item[0]))
            return fail(m, NN_EFORMAT, "a size that is not made of whole numbers");
        return push(m, args->u.item[0]);
    default: return fail(m, NN_EFORMAT, "calls something that is no function");
    }
}

/* An object without its attributes: of a class that is not known, or it would be on the list. */
static int op_newobj(struct machine *m)
{
    struct nni_node *class, *node;
    int rc;

    if (!has(m, 2))
        return underflow(m);
    if (!is(m->stack[--m->depth], NNI_NODE_TUPLE))
        return fail(m, NN_EFORMAT, "arguments that are no tuple");
    class = m->stack[--m->depth];
    if (!is(class, NNI_NODE_OPAQUE))
        return fail(m, NN_EFORMAT, "makes an object of something that is no class");
    rc = push_new(m, NNI_NODE_OPAQUE, &node);
    if (!rc)
        node->text = class->text;
    return rc;
}

/* Attributes of an object: those of a dict (the versions of a network's modules) mean nothing here. */
static int op_build(struct machine *m)
{
    const struct nni_node *state;

    if (!has(m, 2))
        return underflow(m);
    state = m->stack[--m->depth];
    if (is(top(m), NNI_NODE_DICT) && is(state, NNI_NODE_DICT))
        return NN_OK;
    return is(top(m), NNI_NODE_OPAQUE) ? NN_OK : fail(m, NN_EFORMAT, "sets attributes of a plain value");
}

/* --------------------------------------------------------------------- memo */

static int op_put(struct machine *m, size_t bytes)
{
    uint64_t index = 0;
    int rc = operand(m, bytes, &index);

    if (rc)
        return rc;
    if (!has(m, 1))
        return underflow(m);
    if (index > m->memo_count || index >= MAX_MEMO)
        return fail(m, NN_EFORMAT, "a memo index beyond those in use");
    if (index == m->memo_count) {
        if (!widen(m, &m->memo, m->memo_count, &m->memo_room, MAX_MEMO))
            return no_room(m, 2 * m->memo_room * sizeof *m->memo);
        m->memo_count++;
    }
    m->memo[index] = top(m);
    return NN_OK;
}

static int op_get(struct machine *m, size_t bytes)
{
    uint64_t index = 0;
    int rc = operand(m, bytes, &index);

    if (rc)
        return rc;
    return index < m->memo_count ? push(m, m->memo[index]) : fail(m, NN_EFORMAT, "a memo index not in use");
}

/* ------------------------------------------------------------------ machine */

static int op_mark(struct machine *m)
{
    if (m->marks == MAX_DEPTH)
        return fail(m, NN_EFORMAT, "nested deeper than any checkpoint");
    m->mark[m->marks++] = m->depth;
    return NN_OK;
}

static int op_number(struct machine *m, size_t bytes)
{
    uint64_t x = 0;
    int rc = operand(m, bytes, &x);

    return rc ? rc : push_integer(m, NNI_NODE_INT, bytes == 4 ? (int64_t)(int32_t)(uint32_t)x : (int64_t)x);
}

static int op_proto(struct machine *m)
{
    uint64_t version = 0;
    int rc = operand(m, 1, &version);

    return rc || version == 2 ? rc : fail(m, NN_EUNSUPPORTED, "torch writes pickles of protocol 2 only");
}

/* All opcodes but STOP. */
static int execute(struct machine *m, unsigned char opcode)
{
    struct nni_node *node;
    size_t first = 0;
    int rc;

    switch (opcode) {
    case 0x80: return op_proto(m);
    case '(': return op_mark(m);
    case ')': return op_tuple(m, m->depth);
    case 't': rc = pop_mark(m, &first); return rc ? rc : op_tuple(m, first);
    case 0x85:
    case 0x86:
    case 0x87: return has(m, opcode - 0x84u) ? op_tuple(m, m->depth - (opcode - 0x84u)) : underflow(m);
    case '}': return push_new(m, NNI_NODE_DICT, &node);
    case ']': return push_new(m, NNI_NODE_LIST, &node);
    case 'a': return has(m, 2) ? op_append(m, m->depth - 1) : underflow(m);
    case 'e': rc = pop_mark(m, &first); return rc ? rc : op_append(m, first);
    case 's': return has(m, 3) ? op_setitems(m, m->depth - 2) : underflow(m);
    case 'u': rc = pop_mark(m, &first); return rc ? rc : op_setitems(m, first);
    case 'X': return op_unicode(m);
    case 'c': return op_global(m);
    case 'K': return op_number(m, 1);
    case 'M': return op_number(m, 2);
    case 'J': return op_number(m, 4);
    case 0x8a: return op_long(m);
    case 'G': return op_float(m);
    case 'N': return push_new(m, NNI_NODE_NONE, &node);
    case 0x88: return push_integer(m, NNI_NODE_BOOL, 1);
    case 0x89: return push_integer(m, NNI_NODE_BOOL, 0);
    case 'q': return op_put(m, 1);
    case 'r': return op_put(m, 4);
    case 'h': return op_get(m, 1);
    case 'j': return op_get(m, 4);
    case 'Q': return op_persid(m);
    case 'R': return op_reduce(m);
    case 0x81: return op_newobj(m);
    case 'b': return op_build(m);
    default: return fail(m, NN_EUNSUPPORTED, "not one of those that weights need; save a state_dict");
    }
}

int nni_pickle_run(struct nni_pickle *p, size_t *at, struct nni_node **root)
{
    struct machine m = { .p = p, .at = *at, .op = *at };
    int rc = NN_OK;

    for (;;) {
        unsigned char opcode;

        m.op = m.at;
        if (m.at == p->end) {
            rc = nni_fail(p->why, NN_EFORMAT, "%s: byte %zu: the pickle has no end; the file was cut short",
                          p->label, m.at);
            break;
        }
        opcode = p->bytes[m.at++];
        if (m.op == *at && opcode != 0x80) {
            rc = fail(&m, NN_EFORMAT, "not the beginning of a pickle of protocol 2");
            break;
        }
        if (++p->opcodes > MAX_OPCODES) {
            rc = fail(&m, NN_EFORMAT, "longer than any checkpoint");
            break;
        }
        if (opcode == '.') {
            rc = m.depth == 1 && !m.marks ? NN_OK : fail(&m, NN_EFORMAT, "leaves not exactly one value");
            break;
        }
        rc = execute(&m, opcode);
        if (rc)
            break;
    }
    if (!rc) {
        *root = m.stack[0];
        *at = m.at;
    }
    nni_free(m.stack);
    nni_free(m.memo);
    return rc;
}

struct nni_node *nni_node_find(const struct nni_node *dict, const char *key)
{
    struct nni_node *found = NULL;

    for (uint32_t i = 0; i + 1 < dict->count; i += 2)
        if (is(dict->u.item[i], NNI_NODE_TEXT) && !strcmp(dict->u.item[i]->text, key))
            found = dict->u.item[i + 1];
    return found;
}
