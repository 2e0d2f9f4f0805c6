/* SPDX-License-Identifier: MIT
 *
 * What torch.save writes: a pickle that describes tensors, and the storages that these are views of. Today
 * the two are members of a zip archive; until version 1.5 they followed each other in one stream. Tensors
 * that lie contiguously in their storage are used in place, others are gathered.
 *
 * The pickle says how long a storage is and the container does too. Believing either alone has cost other
 * readers their memory safety, so here they must agree, and each view must lie within.
 */
#include "torch.h"

#include "pickle.h"
#include "tensors.h"
#include "zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME = 512,
    MAX_PICKLE = 64 << 20,
    SLACK = 4 << 20 /* what even a small file may take in memory */
};

static const unsigned char legacy_magic[] = { 0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                              0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e };

bool nni_is_torch(const unsigned char *head, size_t have)
{
    return (have >= 4 && !memcmp(head, "PK\3\4", 4)) ||
           (have >= sizeof legacy_magic && !memcmp(head, legacy_magic, sizeof legacy_magic));
}

struct storage {
    const char *key;
    size_t offset, size;
};

struct torch {
    nn_safetensors *file;
    const unsigned char *bytes;
    size_t size;
    nn_message *why;
    struct nni_pickle pickle;
    nni_arena names; /* of the container */
    bool swapped;    /* numbers are big-endian */

    struct nni_member *member; /* zip */
    int64_t members;
    const char *folder;

    struct storage *storage; /* legacy, sorted by key */
    size_t storages;

    size_t gathered, listed; /* bytes of gathered tensors; of all tensors */
};

static int no_memory(const struct torch *t)
{
    return nni_fail(t->why, NN_ENOMEM, "%s: no memory for its list of tensors", t->file->label);
}

static int bad(const struct torch *t, size_t at, const char *name, const char *what)
{
    nni_text text;

    return nni_fail(t->why, NN_EFORMAT, "%s: byte %zu: \"%s\": %s", t->file->label, at,
                    nni_brief(name, &text), what);
}

/* ------------------------------------------------------------------ storages */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct storage *)a)->key, ((const struct storage *)b)->key);
}

static const char *key_of(const struct nni_node *storage) { return storage->u.item[0]->text; }

/* Bytes of the storage as the pickle describes it; false when that is no size. */
static bool size_of(const struct nni_node *storage, uint64_t *bytes)
{
    int64_t n = storage->u.item[1]->u.integer;

    return n >= 0 && !__builtin_mul_overflow((uint64_t)n, nni_raw_by_name(storage->text)->bits / 8, bytes);
}

/* Where the container has it. */
static int find_storage(struct torch *t, const char *name, const struct nni_node *node, size_t *offset)
{
    size_t size;
    uint64_t wanted;

    if (t->member) {
        char path[2 * MAX_NAME];
        const struct nni_member *m;
        int n = snprintf(path, sizeof path, "%sdata/%s", t->folder, key_of(node));

        m = n > 0 && (size_t)n < sizeof path ? nni_zip_find(t->member, t->members, path) : NULL;
        if (!m)
            return bad(t, node->at, name, "its storage is not in the file");
        *offset = m->offset;
        size = m->size;
    } else {
        struct storage key = { .key = key_of(node) };
        const struct storage *s =
            t->storages ? bsearch(&key, t->storage, t->storages, sizeof key, by_key) : NULL;

        if (!s)
            return bad(t, node->at, name, "its storage is not in the file");
        *offset = s->offset;
        size = s->size;
    }
    if (!size_of(node, &wanted) || wanted != size)
        return bad(t, node->at, name, "its storage has another size in the file than in the pickle");
    return NN_OK;
}

/* ------------------------------------------------------------------- tensors */

struct view {
    nn_shape shape;
    int64_t stride[NN_MAX_RANK];
    int64_t offset;
};

/* Sizes and strides that lie within `elements` of storage. */
static int read_view(const struct torch *t, const char *name, const struct nni_node *node, int64_t elements,
                     struct view *v)
{
    const struct nni_node *size = node->u.item[2], *stride = node->u.item[3];
    int64_t last = node->u.item[1]->u.integer, count;

    if (size->count > NN_MAX_RANK)
        return bad(t, node->at, name, "more dimensions than are supported");
    *v = (struct view){ .offset = last, .shape.rank = (int32_t)size->count };
    for (uint32_t i = 0; i < size->count; i++) {
        v->shape.dim[i] = size->u.item[i]->u.integer;
        v->stride[i] = stride->u.item[i]->u.integer;
        if (v->shape.dim[i] < 0 || v->stride[i] < 0)
            return bad(t, node->at, name, "a negative size or stride");
    }
    count = nn_shape_count(v->shape);
    if (count < 0 || last < 0)
        return bad(t, node->at, name, "its size overflows");
    for (uint32_t i = 0; count && i < size->count; i++) {
        int64_t reach;

        if (__builtin_mul_overflow(v->shape.dim[i] - 1, v->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return bad(t, node->at, name, "its strides overflow");
    }
    if (count ? last >= elements : last > elements)
        return bad(t, node->at, name, "reaches beyond its storage");
    return NN_OK;
}

static bool is_contiguous(const struct view *v)
{
    int64_t step = 1;

    for (int i = v->shape.rank; i-- > 0;) {
        if (v->shape.dim[i] != 1 && v->stride[i] != step)
            return false;
        step *= v->shape.dim[i];
    }
    return true;
}

/* Copies the elements in row-major order, turning their bytes round if need be. */
static void gather(unsigned char *to, const unsigned char *from, const struct view *v, size_t item, bool swap)
{
    int64_t at[NN_MAX_RANK] = { 0 }, index = 0, count = nn_shape_count(v->shape);

    for (int64_t n = 0; n < count; n++, to += item) {
        const unsigned char *x = from + (size_t)index * item;

        for (size_t k = 0; k < item; k++)
            to[k] = x[swap ? item - 1 - k : k];
        for (int i = v->shape.rank; i-- > 0;) {
            index += v->stride[i];
            if (++at[i] < v->shape.dim[i])
                break;
            index -= at[i] * v->stride[i];
            at[i] = 0;
        }
    }
}

static int take_tensor(struct torch *t, const char *name, const struct nni_node *node)
{
    const struct nni_node *storage = node->u.item[0];
    const struct nni_raw_type *raw = nni_raw_by_name(storage->text);
    size_t item = (size_t)raw->bits / 8, base = 0;
    struct nni_stored *s;
    struct view v = { .offset = 0 };
    int rc;

    if (!*name || strlen(name) > MAX_NAME || nni_has_control(name))
        return bad(t, node->at, name, "a name that is empty, too long or has control characters");
    rc = find_storage(t, name, storage, &base);
    if (!rc)
        rc = read_view(t, name, node, storage->u.item[1]->u.integer, &v);
    if (rc)
        return rc;
    s = nni_tensors_add(t->file);
    if (!s)
        return no_memory(t);
    s->raw = raw;
    s->entry = (nn_safetensors_entry){ .name = nni_arena_text(&t->file->arena, name),
                                       .dtype = raw->name,
                                       .type = raw->type,
                                       .loadable = raw->kind != NNI_OPAQUE,
                                       .shape = v.shape,
                                       .count = nn_shape_count(v.shape) };
    if (!s->entry.name)
        return no_memory(t);
    /* A view that lies within its storage can still be as large as it likes if its strides are 0. */
    if (s->entry.count > INT64_MAX / 8 ||
        __builtin_mul_overflow((size_t)s->entry.count, item, &s->entry.bytes) ||
        __builtin_add_overflow(t->listed, s->entry.bytes, &t->listed) || t->listed / 8 > t->size)
        return bad(t, node->at, name, "the tensors together are far larger than the file");
    if (!s->entry.count)
        return NN_OK;
    base += (size_t)v.offset * item;
    s->entry.data = t->bytes + base;
    if (is_contiguous(&v) && (!t->swapped || item == 1))
        return NN_OK;
    t->gathered += s->entry.bytes;
    if (t->gathered > t->size + SLACK)
        return bad(t, node->at, name, "views with gaps or repetitions larger than the file");
    s->entry.data = nni_arena_take(&t->file->arena, s->entry.bytes);
    if (!s->entry.data)
        return no_memory(t);
    gather((unsigned char *)(uintptr_t)s->entry.data, t->bytes + base, &v, item, t->swapped);
    return NN_OK;
}

/* ---------------------------------------------------------------- state dict */

/* What training programs keep their state dict under; the latter three are averages. */
static const char *const wrappers[] = { "state_dict",     "model",     "model_state_dict",
                                        "state_dict_ema", "model_ema", "ema" };
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers, AVERAGES = 3 };

static bool holds_tensors(const struct nni_node *dict)
{
    for (uint32_t i = 1; dict->kind == NNI_NODE_DICT && i < dict->count; i += 2)
        if (dict->u.item[i]->kind == NNI_NODE_TENSOR)
            return true;
    return false;
}

static const struct nni_node *unwrap(const struct nni_node *root, bool averaged, const char **from)
{
    for (int i = averaged ? AVERAGES : 0; root->kind == NNI_NODE_DICT && i < WRAPPERS; i++) {
        const struct nni_node *inner = nni_node_find(root, wrappers[i]);

        if (inner && holds_tensors(inner)) {
            *from = wrappers[i];
            return inner;
        }
    }
    return !averaged && holds_tensors(root) ? root : NULL;
}

static int no_state_dict(const struct torch *t, const struct nni_node *root, bool averaged)
{
    nni_text text;

    if (averaged)
        return nni_fail(t->why, NN_EFORMAT, "%s: byte %" PRIu32 ": there are no averaged weights in it",
                        t->file->label, root->at);
    if (root->kind == NNI_NODE_OPAQUE)
        return nni_fail(t->why, NN_EUNSUPPORTED,
                        "%s: byte %" PRIu32 ": an object of class %s, which only Python can load; save its "
                        "state_dict() instead",
                        t->file->label, root->at, nni_brief(root->text, &text));
    return nni_fail(t->why, NN_EFORMAT, "%s: byte %" PRIu32 ": no dict of tensors, nor one under %s, %s ...",
                    t->file->label, root->at, wrappers[0], wrappers[1]);
}

/* Plain values beside the tensors ("epoch", "arch") become metadata. */
static int take_note(struct torch *t, const char *key, const struct nni_node *value)
{
    nn_pair *p = &t->file->metadata[t->file->pairs];
    char number[32];

    if (nni_has_control(key))
        return NN_OK;
    switch (value->kind) {
    case NNI_NODE_TEXT: p->value = nni_arena_text(&t->file->arena, value->text); break;
    case NNI_NODE_INT: p->value = nni_arena_printf(&t->file->arena, "%" PRId64, value->u.integer); break;
    case NNI_NODE_REAL:
        p->value = nni_arena_text(&t->file->arena, nni_print_number(number, value->u.real, 17));
        break;
    case NNI_NODE_OPAQUE: p->value = nni_arena_printf(&t->file->arena, "(%s)", value->text); break;
    default: return NN_OK;
    }
    p->key = nni_arena_printf(&t->file->arena, "torch.%s", key);
    if (!p->key || !p->value)
        return no_memory(t);
    t->file->pairs++;
    return NN_OK;
}

static int take_notes(struct torch *t, const struct nni_node *root, const char *from)
{
    const struct nni_node path = { .kind = NNI_NODE_TEXT, .text = from };
    int rc;

    t->file->metadata = nni_arena_take(&t->file->arena, (root->count / 2 + 1) * sizeof(nn_pair));
    if (!t->file->metadata)
        return no_memory(t);
    rc = from ? take_note(t, "taken", &path) : NN_OK;
    for (uint32_t i = 0; !rc && i < root->count; i += 2)
        if (root->u.item[i]->kind == NNI_NODE_TEXT && strcmp(root->u.item[i]->text, "taken") != 0)
            rc = take_note(t, root->u.item[i]->text, root->u.item[i + 1]);
    nni_tensors_sort_metadata(t->file);
    return rc;
}

static int take_root(struct torch *t, const struct nni_node *root, bool averaged)
{
    const char *from = NULL;
    const struct nni_node *dict = unwrap(root, averaged, &from);
    int rc;

    if (!dict)
        return no_state_dict(t, root, averaged);
    rc = take_notes(t, root, from);
    for (uint32_t i = 0; !rc && i < dict->count; i += 2) {
        const struct nni_node *key = dict->u.item[i], *value = dict->u.item[i + 1];
        nni_text text;

        if (value->kind == NNI_NODE_TENSOR && key->kind == NNI_NODE_TEXT)
            rc = take_tensor(t, key->text, value);
        else if (value->kind == NNI_NODE_TENSOR)
            rc = bad(t, value->at, "", "a tensor without a name");
        else if (value->kind == NNI_NODE_OPAQUE)
            rc = nni_fail(t->why, NN_EUNSUPPORTED,
                          "%s: byte %" PRIu32 ": an object of class %s among the weights", t->file->label,
                          value->at, nni_brief(value->text, &text));
    }
    return rc ? rc : nni_tensors_index(t->file, t->why);
}

/* ---------------------------------------------------------------- containers */

static int interpret(struct torch *t, size_t *at, size_t end, struct nni_node **root)
{
    t->pickle.bytes = t->bytes;
    t->pickle.end = end - *at > MAX_PICKLE ? *at + MAX_PICKLE : end;
    t->pickle.label = t->file->label;
    t->pickle.limit = t->size / 2 + SLACK;
    t->pickle.why = t->why;
    t->pickle.storages.kind = NNI_NODE_LIST;
    return nni_pickle_run(&t->pickle, at, root);
}

/* Bytes of a short member, compared with a text. */
static bool says(const struct torch *t, const struct nni_member *m, const char *text)
{
    return m->size == strlen(text) && !memcmp(t->bytes + m->offset, text, m->size);
}

static const struct nni_member *in_folder(const struct torch *t, const char *name)
{
    char path[2 * MAX_NAME];
    int n = snprintf(path, sizeof path, "%s%s", t->folder, name);

    return n > 0 && (size_t)n < sizeof path ? nni_zip_find(t->member, t->members, path) : NULL;
}

/* All members lie in one folder, whatever its name is. */
static int find_folder(struct torch *t)
{
    const char *slash = t->members ? strchr(t->member[0].name, '/') : NULL;
    size_t n = slash ? (size_t)(slash - t->member[0].name) + 1 : 0;
    char *folder = nni_arena_take(&t->names, n + 1);

    if (!folder)
        return no_memory(t);
    for (int64_t i = 0; n && i < t->members; i++)
        if (strncmp(t->member[i].name, t->member[0].name, n) != 0)
            return bad(t, t->member[i].offset, t->member[i].name,
                       "lies in another folder than the member before; not written by torch.save");
    if (n)
        memcpy(folder, t->member[0].name, n);
    t->folder = folder;
    return NN_OK;
}

static int read_zip(struct torch *t, struct nni_node **root)
{
    const struct nni_member *m, *order;
    size_t at;
    int rc = nni_zip_members(t->bytes, t->size, t->file->label, &t->names, &t->member, &t->members, t->why);

    if (!rc)
        rc = find_folder(t);
    if (rc)
        return rc;
    if (in_folder(t, "constants.pkl"))
        return nni_fail(t->why, NN_EUNSUPPORTED,
                        "%s: byte %zu: a TorchScript program; save the state_dict() of its module instead",
                        t->file->label, in_folder(t, "constants.pkl")->offset);
    m = in_folder(t, "data.pkl");
    if (!m)
        return nni_fail(t->why, NN_EFORMAT,
                        "%s: byte 0: a zip archive without data.pkl, so not made by torch.save",
                        t->file->label);
    order = in_folder(t, "byteorder");
    t->swapped = order && says(t, order, "big");
    if (order && !t->swapped && !says(t, order, "little"))
        return bad(t, order->offset, order->name, "neither little nor big");
    at = m->offset;
    rc = interpret(t, &at, m->offset + m->size, root);
    return rc || at == m->offset + m->size ? rc : bad(t, at, m->name, "goes on behind the end of the pickle");
}

static bool is_true(const struct nni_node *node)
{
    return node && node->kind == NNI_NODE_BOOL && node->u.integer;
}

/* The storage of that key as the pickle describes it. */
static const struct nni_node *described(const struct torch *t, const char *key)
{
    for (uint32_t i = 0; i < t->pickle.storages.count; i++)
        if (!strcmp(key_of(t->pickle.storages.u.item[i]), key))
            return t->pickle.storages.u.item[i];
    return NULL;
}

/* Behind the last pickle: for each key a number of elements and the elements. */
static int find_storages(struct torch *t, const struct nni_node *keys, size_t at)
{
    t->storage = nni_arena_take(&t->names, (keys->count + 1) * sizeof *t->storage);
    if (!t->storage)
        return no_memory(t);
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct nni_node *key = keys->u.item[i], *node;
        struct storage *s = &t->storage[t->storages++];
        uint64_t count = 0, bytes;

        node = key->kind == NNI_NODE_TEXT ? described(t, key->text) : NULL;
        if (!node)
            return nni_fail(t->why, NN_EFORMAT, "%s: byte %zu: a storage that no tensor uses", t->file->label,
                            at);
        if (t->size - at < 8)
            return bad(t, at, key->text, "its storage is missing; the file was cut short");
        for (size_t k = 0; k < 8; k++)
            count |= (uint64_t)t->bytes[at + k] << (8 * k);
        if (count != (uint64_t)node->u.item[1]->u.integer || !size_of(node, &bytes))
            return bad(t, at, key->text, "its storage has another size in the file than in the pickle");
        at += 8;
        if (bytes > t->size - at)
            return bad(t, at, key->text, "its storage ends behind the file, which was cut short");
        *s = (struct storage){ .key = key->text, .offset = at, .size = (size_t)bytes };
        at += (size_t)bytes;
    }
    if (at != t->size)
        return nni_fail(t->why, NN_EFORMAT, "%s: byte %zu: bytes that belong to no storage", t->file->label,
                        at);
    qsort(t->storage, t->storages, sizeof *t->storage, by_key);
    for (size_t i = 1; i < t->storages; i++)
        if (!by_key(&t->storage[i - 1], &t->storage[i]))
            return bad(t, t->storage[i].offset, t->storage[i].key, "the same storage twice");
    return NN_OK;
}

/* Five pickles: magic number, version, kind of machine, the object, and the keys of its storages. */
static int read_legacy(struct torch *t, struct nni_node **root)
{
    struct nni_node *version, *machine, *keys;
    size_t at = sizeof legacy_magic, object;
    int rc;

    t->pickle.legacy = true;
    rc = interpret(t, &at, t->size, &version);
    if (!rc && (version->kind != NNI_NODE_INT || version->u.integer != 1001))
        rc = bad(t, version->at, "version", "not 1001, the only one there is");
    if (!rc)
        rc = interpret(t, &at, t->size, &machine);
    if (!rc && (machine->kind != NNI_NODE_DICT || !is_true(nni_node_find(machine, "little_endian"))))
        rc = bad(t, machine->at, "little_endian", "not true");
    object = at;
    if (!rc)
        rc = interpret(t, &at, t->size, root);
    if (!rc)
        rc = interpret(t, &at, t->size, &keys);
    if (rc)
        return rc;
    if (keys->kind != NNI_NODE_LIST)
        return bad(t, object, "keys", "no list of storages behind the object");
    return find_storages(t, keys, at);
}

int nni_torch_parse(nn_safetensors **out, const void *bytes, size_t size, const char *name, bool averaged,
                    nn_message *why)
{
    struct torch t = { .bytes = bytes, .size = size, .why = why };
    struct nni_node *root = NULL;
    int rc;

    *out = NULL;
    t.file = nni_tensors_new(name);
    if (!t.file)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", name);
    rc = size >= sizeof legacy_magic && !memcmp(bytes, legacy_magic, sizeof legacy_magic)
             ? read_legacy(&t, &root)
             : read_zip(&t, &root);
    if (!rc)
        rc = take_root(&t, root, averaged);
    nni_arena_free(&t.pickle.arena);
    nni_arena_free(&t.names);
    if (rc)
        nn_safetensors_free(t.file);
    else
        *out = t.file;
    return rc;
}
