/* SPDX-License-Identifier: MIT
 *
 * The safetensors reader and writer. A file of this format is what strangers hand us, so the reader
 * trusts nothing: every number is compared with the size of the file before it is used.
 *
 * JSON is jansson's, but not all that JSON allows occurs in a header. A first walk over the bytes
 * (member_end) accepts only braces, strings and digits, at most three levels deep, and cuts the header
 * into its members. jansson then sees one member at a time: that bounds what a header of millions of
 * members can make it allocate, keeps 64-bit numbers away from any floating-point path, and tells at
 * which byte of the file an error lies. jansson itself allocates with malloc, not through the seam: its
 * allocator is a process-wide setting (json_set_alloc_funcs), which belongs to the program.
 *
 * The header is always read into memory of our own before it is checked, so nobody can change it
 * between check and use; only tensor data stay in the mapped file.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data are used as they lie in the file");

enum {
    MAX_HEADER = 16 << 20, /* unless the caller says otherwise; B6 needs 0.1 MiB */
    MAX_DEPTH = 3,         /* file, tensor, shape */
    PEEK = 64              /* enough bytes to recognise what is not a safetensors file */
};

static const char metadata_key[] = "__metadata__";

/* -------------------------------------------------------------------- types */

enum kind { OPAQUE, BOOLEAN, UNSIGNED, SIGNED, FLOATING };

/* In the rising order of the reference, whose writer sorts by it: mostly by size. */
/* clang-format off */
struct raw_type {
    const char *name;
    uint64_t bits;
    nn_dtype type;
    enum kind kind;
};
static const struct raw_type raw_types[] = {
    { "BOOL", 8, NN_DTYPES, BOOLEAN },     { "F4", 4, NN_DTYPES, OPAQUE },
    { "F6_E2M3", 6, NN_DTYPES, OPAQUE },   { "F6_E3M2", 6, NN_DTYPES, OPAQUE },
    { "U8", 8, NN_U8, UNSIGNED },          { "I8", 8, NN_DTYPES, SIGNED },
    { "F8_E5M2", 8, NN_DTYPES, OPAQUE },   { "F8_E4M3", 8, NN_DTYPES, OPAQUE },
    { "F8_E8M0", 8, NN_DTYPES, OPAQUE },   { "F8_E4M3FNUZ", 8, NN_DTYPES, OPAQUE },
    { "F8_E5M2FNUZ", 8, NN_DTYPES, OPAQUE }, { "I16", 16, NN_DTYPES, SIGNED },
    { "U16", 16, NN_DTYPES, UNSIGNED },    { "F16", 16, NN_F16, FLOATING },
    { "BF16", 16, NN_BF16, FLOATING },     { "I32", 32, NN_I32, SIGNED },
    { "U32", 32, NN_DTYPES, UNSIGNED },    { "F32", 32, NN_F32, FLOATING },
    { "C64", 64, NN_DTYPES, OPAQUE },      { "F64", 64, NN_F64, FLOATING },
    { "I64", 64, NN_I64, SIGNED },         { "U64", 64, NN_DTYPES, UNSIGNED },
};
/* clang-format on */
enum { RAW_TYPES = sizeof raw_types / sizeof raw_types[0] };

static const struct raw_type *raw_by_name(const char *name)
{
    for (int i = 0; i < RAW_TYPES; i++)
        if (!strcmp(raw_types[i].name, name))
            return &raw_types[i];
    return NULL;
}

static const struct raw_type *raw_by_type(nn_dtype type)
{
    for (int i = 0; i < RAW_TYPES && type < NN_DTYPES; i++)
        if (raw_types[i].type == type)
            return &raw_types[i];
    return NULL;
}

/* ------------------------------------------------------------------- object */

struct tensor {
    nn_safetensors_entry entry;
    const struct raw_type *raw;
    uint64_t begin, end;
};

struct nn_safetensors {
    nni_arena arena; /* names, metadata */
    struct tensor *tensors;
    int64_t count, room;
    const struct tensor **by_name;
    nn_pair *metadata;
    int64_t pairs;
    bool has_metadata;
    const unsigned char *data; /* data_size bytes behind the header */
    uint64_t data_size;
    void *map, *memory; /* what `data` lies in, if it is ours */
    size_t map_size;
    char label[208]; /* path for messages */
};

/* Text for messages: what does not fit loses its beginning, where paths and names differ least. */
static void shorten(char *to, size_t room, const char *text)
{
    size_t size = strlen(text);

    if (size < room) {
        memcpy(to, text, size + 1);
        return;
    }
    text += size - (room - 4);
    while (((unsigned char)*text & 0xc0u) == 0x80u)
        text++;
    (void)snprintf(to, room, "...%s", text);
}

static const char *brief(const char *name, nni_text *text)
{
    shorten(text->s, 100, name);
    return text->s;
}

/* Names go to terminals, logs and file names: no control characters, C1 and DEL included. */
static bool has_control(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
            return true;
    return false;
}

void nn_safetensors_free(nn_safetensors *file)
{
    if (!file)
        return;
    if (file->map)
        (void)nni_seam.unmap(file->map, file->map_size);
    nni_free(file->memory);
    nni_free(file->tensors);
    nni_free(file->by_name);
    nni_arena_free(&file->arena);
    nni_free(file);
}

/* ------------------------------------------------------------------- header */

struct header {
    nn_safetensors *file;
    const unsigned char *text;
    size_t size;
    nn_message *why;
};

static int no_memory(const struct header *h)
{
    return nni_fail(h->why, NN_ENOMEM, "%s: no memory for the header", h->file->label);
}

/* Positions in messages count from the start of the file, as a hex editor does. */
static int header_fail(const struct header *h, size_t at, const char *what)
{
    return nni_fail(h->why, NN_EFORMAT,
                    "%s: byte %zu: %s; the file is damaged or was not made by a conforming writer",
                    h->file->label, at + 8, what);
}

static bool is_blank(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Index of the comma or brace that ends the member beginning at `begin`. */
static int member_end(const struct header *h, size_t begin, size_t *end)
{
    int depth = 1, commas = 0;
    bool quoted = false;

    for (size_t i = begin; i < h->size; i++) {
        unsigned char c = h->text[i];

        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        switch (c) {
        case '"': quoted = true; break;
        case '{':
        case '[':
            if (++depth > MAX_DEPTH)
                return header_fail(h, i, "nested deeper than any safetensors header");
            commas = 0;
            break;
        case '}':
        case ']':
            if (--depth == 0) {
                if (c != '}')
                    return header_fail(h, i, "the header is closed by ']'");
                *end = i;
                return NN_OK;
            }
            break;
        case ',':
            if (depth == 1) {
                *end = i;
                return NN_OK;
            }
            /* Checked here, before jansson builds a list as long as the header. */
            if (depth == MAX_DEPTH && ++commas >= NN_MAX_RANK)
                return nni_fail(h->why, NN_EUNSUPPORTED,
                                "%s: byte %zu: a list of more than %d numbers; tensors of a higher rank are "
                                "not supported",
                                h->file->label, i + 8, NN_MAX_RANK);
            break;
        case '-':
        case '+':
        case '.':
        case 'e':
        case 'E': return header_fail(h, i, "numbers must be whole, not negative and without exponent");
        default:
            if ((c < '0' || c > '9') && c != ':' && !is_blank(c))
                return header_fail(h, i, "only names, lists and whole numbers may stand here");
        }
    }
    return header_fail(h, h->size, quoted ? "the header ends inside a name" : "the header ends too early");
}

/* jansson's source: the member with braces around it. */
struct feed {
    const unsigned char *text;
    size_t size, at;
};

static size_t feed_member(void *buffer, size_t room, void *context)
{
    struct feed *f = context;
    char *to = buffer;
    size_t n = 0;

    for (; n < room && f->at < f->size + 2; f->at++)
        to[n++] = f->at == 0 ? '{' : f->at == f->size + 1 ? '}' : (char)f->text[f->at - 1];
    return n;
}

/* Bytes of all texts of a valid member once decoded, and the same from jansson's tree. Its tokenizer drops
 * characters silently when memory for a long text runs out, so the two are compared. */
static size_t bytes_of_texts(const unsigned char *text, size_t size)
{
    bool quoted = false;
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        char digits[5] = { 0 };
        unsigned long code = 0;

        if (text[i] == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && text[i] == '\\' && text[++i] == 'u' && size - i > 4) {
            memcpy(digits, text + i + 1, 4);
            code = strtoul(digits, NULL, 16);
            i += 4;
        }
        if (quoted) /* half of a surrogate pair is half of four bytes */
            n += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3;
    }
    return n;
}

static size_t bytes_of_tree(json_t *value)
{
    size_t n = 0;

    if (json_is_string(value))
        return json_string_length(value);
    for (size_t i = 0; i < json_array_size(value); i++)
        n += bytes_of_tree(json_array_get(value, i));
    for (void *it = json_object_iter(value); it; it = json_object_iter_next(value, it))
        n += strlen(json_object_iter_key(it)) + bytes_of_tree(json_object_iter_value(it));
    return n;
}

static int load_member(const struct header *h, size_t begin, size_t end, json_t **out)
{
    struct feed feed = { .text = h->text + begin, .size = end - begin };
    json_error_t error;
    size_t at;

    memset(&error, 0, sizeof error);
    *out = json_load_callback(feed_member, &feed, JSON_REJECT_DUPLICATES, &error);
    if (*out && bytes_of_texts(feed.text, feed.size) == bytes_of_tree(*out))
        return NN_OK;
    if (*out) {
        json_decref(*out);
        return no_memory(h);
    }
    if (!error.text[0] || json_error_code(&error) == json_error_out_of_memory)
        return no_memory(h);
    at = begin + (error.position > 1 ? (size_t)error.position - 1 : 0);
    if (at > end)
        at = end;
    switch (json_error_code(&error)) {
    case json_error_numeric_overflow: return header_fail(h, at, "a number of 2^63 or more");
    case json_error_duplicate_key: return header_fail(h, at, "the same key twice in one object");
    case json_error_null_character:
    case json_error_null_byte_in_key: return header_fail(h, at, "a NUL character in a text");
    case json_error_invalid_utf8: return header_fail(h, at, "the header is not valid UTF-8");
    default: return header_fail(h, at, "the header is not valid JSON");
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const nn_pair *)a)->key, ((const nn_pair *)b)->key);
}

static int take_metadata(const struct header *h, json_t *object, size_t at)
{
    nn_safetensors *f = h->file;

    if (f->has_metadata)
        return header_fail(h, at, "__metadata__ occurs twice");
    if (!json_is_object(object))
        return header_fail(h, at, "__metadata__ is not an object");
    f->has_metadata = true;
    if (!json_object_size(object))
        return NN_OK;
    f->metadata = nni_arena_take(&f->arena, json_object_size(object) * sizeof *f->metadata);
    if (!f->metadata)
        return no_memory(h);
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *value = json_object_iter_value(it);
        nn_pair *pair = &f->metadata[f->pairs];

        if (has_control(key))
            return header_fail(h, at, "a control character in a key of __metadata__");
        if (!json_is_string(value))
            return header_fail(h, at, "a value in __metadata__ is not a text");
        pair->key = nni_arena_text(&f->arena, key);
        pair->value = nni_arena_text(&f->arena, json_string_value(value));
        if (!pair->key || !pair->value)
            return no_memory(h);
        f->pairs++;
    }
    qsort(f->metadata, (size_t)f->pairs, sizeof *f->metadata, by_key);
    return NN_OK;
}

/* The tensor's own rules; those between tensors are check_layout's. */
static int check_tensor(const struct header *h, struct tensor *t)
{
    const char *label = h->file->label;
    nni_text name, shape;
    uint64_t bits;

    (void)brief(t->entry.name, &name);
    if (t->end < t->begin)
        return nni_fail(h->why, NN_EFORMAT,
                        "%s: tensor \"%s\": data_offsets [%" PRIu64 ",%" PRIu64 "] end before they begin",
                        label, name.s, t->begin, t->end);
    if (t->end > h->file->data_size)
        return nni_fail(h->why, NN_EFORMAT,
                        "%s: tensor \"%s\": its data end at %" PRIu64 ", but the file has only %" PRIu64
                        " bytes of data; was it cut short? Fetch it again",
                        label, name.s, t->end, h->file->data_size);
    t->entry.count = nn_shape_count(t->entry.shape);
    if (t->entry.count < 0 || __builtin_mul_overflow((uint64_t)t->entry.count, t->raw->bits, &bits))
        return nni_fail(h->why, NN_EFORMAT, "%s: tensor \"%s\": the size of shape %s overflows", label,
                        name.s, nni_shape_text(t->entry.shape, &shape));
    if (bits % 8)
        return nni_fail(h->why, NN_EFORMAT,
                        "%s: tensor \"%s\": %s elements of type %s do not fill whole bytes", label, name.s,
                        nni_shape_text(t->entry.shape, &shape), t->raw->name);
    if (bits / 8 != t->end - t->begin)
        return nni_fail(
            h->why, NN_EFORMAT,
            "%s: tensor \"%s\": shape %s of %s takes %" PRIu64 " bytes, data_offsets hold %" PRIu64, label,
            name.s, nni_shape_text(t->entry.shape, &shape), t->raw->name, bits / 8, t->end - t->begin);
    t->entry.bytes = (size_t)(t->end - t->begin);
    return NN_OK;
}

static int tensor_fail(const struct header *h, const char *name, const char *what)
{
    nni_text text;

    return nni_fail(h->why, NN_EFORMAT, "%s: tensor \"%s\": %s", h->file->label, brief(name, &text), what);
}

static int take_tensor(const struct header *h, const char *name, json_t *object, size_t at)
{
    nn_safetensors *f = h->file;
    struct tensor t = { .entry.name = name };
    json_t *dtype, *shape, *offsets, *begin, *end;
    nni_text text;
    int rc;

    if (has_control(name))
        return header_fail(h, at, "a control character in a tensor's name");
    if (!json_is_object(object))
        return tensor_fail(h, name, "not described by an object");
    dtype = json_object_get(object, "dtype");
    shape = json_object_get(object, "shape");
    offsets = json_object_get(object, "data_offsets");
    if (!json_is_string(dtype))
        return tensor_fail(h, name, dtype ? "dtype is not a text" : "dtype is missing");
    if (!json_is_array(shape))
        return tensor_fail(h, name, shape ? "shape is not a list" : "shape is missing");
    if (!json_is_array(offsets))
        return tensor_fail(h, name, offsets ? "data_offsets is not a list" : "data_offsets is missing");
    if (json_object_size(object) != 3)
        return tensor_fail(h, name, "has a key other than dtype, shape and data_offsets");

    t.raw = raw_by_name(json_string_value(dtype));
    if (!t.raw)
        return nni_fail(h->why, NN_EUNSUPPORTED,
                        "%s: tensor \"%s\": unknown dtype; libnn knows those of the format up to "
                        "version 0.8 of the reference",
                        f->label, brief(name, &text));
    for (size_t i = 0; i < json_array_size(shape); i++) { /* at most NN_MAX_RANK: member_end */
        const json_t *value = json_array_get(shape, i);

        if (!json_is_integer(value))
            return tensor_fail(h, name, "a dimension is not a number");
        t.entry.shape.dim[t.entry.shape.rank++] = json_integer_value(value);
    }
    begin = json_array_get(offsets, 0);
    end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return tensor_fail(h, name, "data_offsets are not two numbers");
    t.begin = (uint64_t)json_integer_value(begin);
    t.end = (uint64_t)json_integer_value(end);
    rc = check_tensor(h, &t);
    if (rc)
        return rc;

    t.entry.dtype = t.raw->name;
    t.entry.type = t.raw->type;
    t.entry.loadable = t.raw->kind != OPAQUE;
    t.entry.name = nni_arena_text(&f->arena, name);
    if (!t.entry.name)
        return no_memory(h);
    if (f->count == f->room) {
        int64_t room = f->room ? 2 * f->room : 16;
        void *grown = nni_grow(f->tensors, (size_t)f->room * sizeof t, (size_t)room * sizeof t);

        if (!grown)
            return no_memory(h);
        f->tensors = grown;
        f->room = room;
    }
    f->tensors[f->count++] = t;
    return NN_OK;
}

static int take_member(const struct header *h, size_t begin, size_t end)
{
    const char *key;
    json_t *object;
    void *member;
    int rc = load_member(h, begin, end, &object);

    if (rc)
        return rc;
    member = json_object_iter(object);
    key = member ? json_object_iter_key(member) : NULL;
    if (!key)
        rc = header_fail(h, begin, "a name is missing");
    else if (!strcmp(key, metadata_key))
        rc = take_metadata(h, json_object_iter_value(member), begin);
    else
        rc = take_tensor(h, key, json_object_iter_value(member), begin);
    json_decref(object);
    return rc;
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->entry.name, y->entry.name);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *const *x = a, *const *y = b;

    return strcmp((*x)->entry.name, (*y)->entry.name);
}

/* No name twice; the data tile the rest of the file without gap, overlap or tail. That leaves no room for
 * a second file hidden in the first. */
static int check_layout(const struct header *h)
{
    nn_safetensors *f = h->file;
    uint64_t at = 0;
    nni_text name;

    if (f->count) {
        qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, by_offset);
        f->by_name = nni_alloc_array((size_t)f->count, sizeof(struct tensor *));
        if (!f->by_name)
            return no_memory(h);
        for (int64_t i = 0; i < f->count; i++)
            f->by_name[i] = &f->tensors[i];
        qsort(f->by_name, (size_t)f->count, sizeof *f->by_name, by_name);
        for (int64_t i = 1; i < f->count; i++)
            if (!by_name(&f->by_name[i - 1], &f->by_name[i]))
                return tensor_fail(h, f->by_name[i]->entry.name, "occurs twice");
    }
    for (int64_t i = 0; i < f->count; i++) {
        struct tensor *t = &f->tensors[i];

        if (t->begin != at)
            return nni_fail(h->why, NN_EFORMAT,
                            "%s: tensor \"%s\": its data begin at %" PRIu64
                            ", but those before it end at %" PRIu64 ": %s",
                            f->label, brief(t->entry.name, &name), t->begin, at,
                            t->begin < at ? "overlap" : "gap");
        at = t->end;
    }
    if (at != f->data_size)
        return nni_fail(h->why, NN_EFORMAT,
                        "%s: %" PRIu64 " bytes follow the last tensor, which no tensor owns", f->label,
                        f->data_size - at);
    return NN_OK;
}

static int parse_header(const struct header *h)
{
    size_t at = 0, end = 0;
    bool more = true;
    int rc;

    while (at < h->size && is_blank(h->text[at]))
        at++;
    if (at == h->size || h->text[at] != '{')
        return header_fail(h, at, "the header does not begin with '{'");
    at++;
    while (more) {
        rc = member_end(h, at, &end);
        if (rc)
            return rc;
        more = h->text[end] == ',';
        while (at < end && is_blank(h->text[at]))
            at++;
        /* The empty header is the one place where no member stands before the brace. */
        if (at < end || more || h->file->count || h->file->has_metadata) {
            rc = take_member(h, at, end);
            if (rc)
                return rc;
        }
        at = end + 1;
    }
    for (; at < h->size; at++)
        if (!is_blank(h->text[at]))
            return header_fail(h, at, "text behind the header's closing brace");
    return check_layout(h);
}

/* ------------------------------------------------------------------ opening */

/* What people pass by mistake, by how it begins. */
static const char *other_format(const unsigned char *head, size_t have)
{
    static const struct {
        const char *magic;
        size_t size;
        const char *what;
    } known[] = {
        { "version https://git-lfs", 23, "a git-lfs pointer instead of the file; run `git lfs pull`" },
        { "PK\3\4", 4,
          "a zip archive, as torch.save writes .pth and .pt files; convert it with nn_weights convert" },
        { "\x80\x02\x8a", 3,
          "a Python pickle, as old versions of torch.save wrote; save it again as safetensors" },
        { "\x1f\x8b\x08", 3, "a gzip archive; unpack it first" },
        { "\x89HDF", 4, "an HDF5 file, as Keras writes; save the weights as safetensors" },
        { "\x93NUMPY", 6, "a NumPy array" },
        { "GGUF", 4, "a GGUF file" },
        { "\x89PNG", 4, "a PNG image" },
        { "\xff\xd8\xff", 3, "a JPEG image" },
    };
    size_t at = have >= 3 && !memcmp(head, "\xef\xbb\xbf", 3) ? 3 : 0;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (have >= known[i].size && !memcmp(head, known[i].magic, known[i].size))
            return known[i].what;
    while (at < have && is_blank(head[at]))
        at++;
    if (at < have && head[at] == '<')
        return "an HTML or XML page; the download met an error or login page";
    if (at < have && (head[at] == '{' || head[at] == '['))
        return "a JSON text, perhaps the index of a model in several files; open the files that it names";
    return NULL;
}

/* The header's size from the first bytes of a file of `size` bytes. */
static int check_prefix(const nn_safetensors *f, const unsigned char *head, size_t have, uint64_t size,
                        const nn_safetensors_opts *opts, size_t *header_size, nn_message *why)
{
    size_t limit = opts && opts->max_header ? opts->max_header : MAX_HEADER;
    const char *other = other_format(head, have);
    uint64_t n = 0;

    if (!size)
        return nni_fail(why, NN_EFORMAT, "%s: the file is empty", f->label);
    for (size_t i = 0; i < 8 && i < have; i++)
        n |= (uint64_t)head[i] << (8 * i);
    if (size >= 8 && n <= size - 8 && n <= limit) {
        *header_size = (size_t)n;
        return NN_OK;
    }
    if (other)
        return nni_fail(why, NN_EFORMAT, "%s: not a safetensors file but %s", f->label, other);
    if (size < 8)
        return nni_fail(why, NN_EFORMAT, "%s: %" PRIu64 " bytes are too few for a safetensors file", f->label,
                        size);
    if (n > size - 8)
        return nni_fail(why, NN_EFORMAT,
                        "%s: announces a header of %" PRIu64 " bytes, but the file has %" PRIu64
                        "; it was cut short, or it is not a safetensors file",
                        f->label, n, size);
    return nni_fail(why, NN_EFORMAT,
                    "%s: header of %" PRIu64 " bytes, more than the limit of %zu; raise max_header if you "
                    "trust the file",
                    f->label, n, limit);
}

static void point_at_data(nn_safetensors *f, const unsigned char *data)
{
    f->data = data;
    for (int64_t i = 0; i < f->count; i++)
        f->tensors[i].entry.data = data + f->tensors[i].begin;
}

int nn_safetensors_parse(nn_safetensors **out, const void *bytes, size_t size, const char *name,
                         const nn_safetensors_opts *opts, nn_message *why)
{
    const unsigned char *head = bytes;
    nn_safetensors *f;
    size_t n = 0;
    int rc;

    *out = NULL;
    f = nni_alloc_zero(sizeof *f);
    if (!f)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", name ? name : "memory");
    shorten(f->label, sizeof f->label, name ? name : "memory");
    rc = check_prefix(f, head, size < PEEK ? size : PEEK, size, opts, &n, why);
    if (!rc) {
        f->data_size = size - 8 - n;
        rc = parse_header(&(struct header){ .file = f, .text = head + 8, .size = n, .why = why });
    }
    if (rc) {
        nn_safetensors_free(f);
        return rc;
    }
    point_at_data(f, head + 8 + n);
    *out = f;
    return NN_OK;
}

static int io_fail(const nn_safetensors *f, nn_message *why, const char *what)
{
    return nni_fail(why, NN_EIO, "%s: %s: %s", f->label, what, strerror(errno));
}

static int read_exactly(const nn_safetensors *f, int fd, void *to, size_t size, nn_message *why)
{
    size_t got;

    if (nni_read_all(fd, to, size, &got))
        return io_fail(f, why, "cannot read");
    if (got != size)
        return nni_fail(why, NN_EIO, "%s: became shorter while it was read", f->label);
    return NN_OK;
}

/* Touching a mapped page behind the end of the file would kill the process, so the last byte is read in
 * the ordinary way first: the size from stat may be older than the file that was opened. */
static int map_data(nn_safetensors *f, int fd, size_t header_size, size_t size, nn_message *why)
{
    unsigned char last;
    int rc;

    if (nni_seam.seek(fd, (int64_t)size - 1) < 0)
        return io_fail(f, why, "cannot seek");
    rc = read_exactly(f, fd, &last, 1, why);
    if (rc)
        return rc;
    f->map = nni_seam.map(fd, size);
    if (f->map) {
        f->map_size = size;
        point_at_data(f, (const unsigned char *)f->map + 8 + header_size);
    }
    return NN_OK;
}

static int copy_data(nn_safetensors *f, int fd, size_t header_size, nn_message *why)
{
    f->memory = nni_alloc((size_t)f->data_size);
    if (!f->memory)
        return nni_fail(why, NN_ENOMEM, "%s: no memory for %" PRIu64 " bytes of data", f->label,
                        f->data_size);
    if (nni_seam.seek(fd, (int64_t)(8 + header_size)) < 0)
        return io_fail(f, why, "cannot seek");
    point_at_data(f, f->memory);
    return read_exactly(f, fd, f->memory, (size_t)f->data_size, why);
}

static int open_fd(nn_safetensors *f, int fd, uint64_t size, const nn_safetensors_opts *opts, nn_message *why)
{
    unsigned char head[PEEK];
    size_t have = size < PEEK ? (size_t)size : PEEK, n = 0;
    void *text;
    int rc = read_exactly(f, fd, head, have, why);

    if (!rc)
        rc = check_prefix(f, head, have, size, opts, &n, why);
    if (rc)
        return rc;
    f->data_size = size - 8 - n;
    text = nni_alloc(n);
    if (!text)
        return nni_fail(why, NN_ENOMEM, "%s: no memory for a header of %zu bytes", f->label, n);
    if (nni_seam.seek(fd, 8) < 0)
        rc = io_fail(f, why, "cannot seek");
    if (!rc)
        rc = read_exactly(f, fd, text, n, why);
    if (!rc)
        rc = parse_header(&(struct header){ .file = f, .text = text, .size = n, .why = why });
    nni_free(text);
    if (!rc && !(opts && opts->copy))
        rc = map_data(f, fd, n, (size_t)size, why);
    if (!rc && !f->map)
        rc = copy_data(f, fd, n, why);
    return rc;
}

int nn_safetensors_open(nn_safetensors **out, const char *path, const nn_safetensors_opts *opts,
                        nn_message *why)
{
    nn_safetensors *f;
    struct nni_stat st;
    int fd, rc;

    *out = NULL;
    f = nni_alloc_zero(sizeof *f);
    if (!f)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", path);
    shorten(f->label, sizeof f->label, path);
    if (nni_seam.stat(path, &st)) {
        rc = errno == ENOENT || errno == ENOTDIR ? NN_ENOTFOUND : NN_EIO;
        (void)nni_fail(why, rc, "%s: %s", f->label, strerror(errno));
    } else if (st.is_dir) {
        rc = nni_fail(why, NN_EFORMAT, "%s: is a folder; name the file in it", f->label);
    } else if (!st.is_file) {
        rc = nni_fail(why, NN_EFORMAT, "%s: not a regular file", f->label);
    } else if (st.size > PTRDIFF_MAX) {
        rc = nni_fail(why, NN_EUNSUPPORTED, "%s: too large for this machine's addresses", f->label);
    } else if ((fd = nni_seam.open(path, O_RDONLY, 0)) < 0) {
        rc = io_fail(f, why, "cannot open");
    } else {
        rc = open_fd(f, fd, st.size, opts, why);
        (void)nni_seam.close(fd);
    }
    if (rc) {
        nn_safetensors_free(f);
        return rc;
    }
    *out = f;
    return NN_OK;
}

/* ------------------------------------------------------------------ reading */

int64_t nn_safetensors_count(const nn_safetensors *file) { return file->count; }

const nn_safetensors_entry *nn_safetensors_at(const nn_safetensors *file, int64_t index)
{
    return index < 0 || index >= file->count ? NULL : &file->tensors[index].entry;
}

int64_t nn_safetensors_find(const nn_safetensors *file, const char *name)
{
    struct tensor key = { .entry.name = name };
    const struct tensor *wanted = &key, *const *found = NULL;

    if (file->count)
        found = bsearch(&wanted, file->by_name, (size_t)file->count, sizeof *file->by_name, by_name);
    return found ? *found - file->tensors : -1;
}

int64_t nn_safetensors_metadata_count(const nn_safetensors *file) { return file->pairs; }

const nn_pair *nn_safetensors_metadata_at(const nn_safetensors *file, int64_t index)
{
    return index < 0 || index >= file->pairs ? NULL : &file->metadata[index];
}

const char *nn_safetensors_metadata(const nn_safetensors *file, const char *key)
{
    nn_pair wanted = { .key = key }, *found = NULL;

    if (file->pairs)
        found = bsearch(&wanted, file->metadata, (size_t)file->pairs, sizeof wanted, by_key);
    return found ? found->value : NULL;
}

/* Element i, wherever it lies: files of others need not be aligned. */
#define LOAD(type, from, i) load_##type(from, i)
#define DEFINE_LOAD(type)                                                                                    \
    static type load_##type(const unsigned char *from, int64_t i)                                            \
    {                                                                                                        \
        type x;                                                                                              \
        memcpy(&x, from + (size_t)i * sizeof x, sizeof x);                                                   \
        return x;                                                                                            \
    }
DEFINE_LOAD(uint16_t)
DEFINE_LOAD(uint32_t)
DEFINE_LOAD(uint64_t)
DEFINE_LOAD(float)
DEFINE_LOAD(double)

/* Integer i of `raw` as int64; false when that cannot hold it. */
static bool load_integer(const struct raw_type *raw, const unsigned char *from, int64_t i, int64_t *out)
{
    uint64_t bits = 0;

    memcpy(&bits, from + (size_t)i * (raw->bits / 8), raw->bits / 8);
    if (raw->kind == SIGNED && raw->bits < 64 && bits >> (raw->bits - 1))
        bits |= ~UINT64_C(0) << raw->bits;
    *out = (int64_t)bits;
    return raw->kind == SIGNED || bits <= INT64_MAX;
}

static bool fits(nn_dtype to, int64_t x)
{
    switch (to) {
    case NN_U8: return x >= 0 && x <= UINT8_MAX;
    case NN_I32: return x >= INT32_MIN && x <= INT32_MAX;
    default: return true;
    }
}

/* The first element that cannot be converted, -1 when all could. */
static int64_t read_integers(const struct tensor *t, nn_dtype to, void *dst)
{
    for (int64_t i = 0; i < t->entry.count; i++) {
        int64_t x;

        if (!load_integer(t->raw, t->entry.data, i, &x) || !fits(to, x) || (t->raw->kind == BOOLEAN && x > 1))
            return i;
        if (to == NN_U8)
            ((uint8_t *)dst)[i] = (uint8_t)x;
        else if (to == NN_I32)
            ((int32_t *)dst)[i] = (int32_t)x;
        else
            ((int64_t *)dst)[i] = x;
    }
    return -1;
}

static int64_t read_floats(const struct tensor *t, nn_dtype to, void *dst)
{
    const unsigned char *from = t->entry.data;
    int64_t n = t->entry.count;
    double *wide = dst;
    float *narrow = dst;

    if (t->raw->type == NN_F64) { /* to F32: the only narrowing */
        for (int64_t i = 0; i < n; i++) {
            double x = LOAD(double, from, i);

            narrow[i] = (float)x;
            if (isinf(narrow[i]) && !isinf(x))
                return i;
        }
        return -1;
    }
    for (int64_t i = 0; i < n; i++) {
        float x = t->raw->type == NN_F32    ? LOAD(float, from, i)
                  : t->raw->type == NN_BF16 ? nni_bf16_to_f32(LOAD(uint16_t, from, i))
                                            : nni_f16_to_f32(LOAD(uint16_t, from, i));

        if (to == NN_F32)
            narrow[i] = x;
        else
            wide[i] = (double)x;
    }
    return -1;
}

int nn_safetensors_read(const nn_safetensors *file, int64_t index, nn_dtype to, void *dst, int64_t count,
                        nn_message *why)
{
    const nn_safetensors_entry *entry = nn_safetensors_at(file, index);
    const struct tensor *t;
    int64_t bad = -1;
    nni_text name, shape;

    if (!entry)
        return nni_fail(why, NN_EINVAL, "%s: there is no tensor %" PRId64 " of %" PRId64, file->label, index,
                        file->count);
    t = &file->tensors[index];
    (void)brief(entry->name, &name);
    if (count != entry->count)
        return nni_fail(why, NN_ESHAPE, "%s: tensor \"%s\": %" PRId64 " elements wanted, its shape is %s",
                        file->label, name.s, count, nni_shape_text(entry->shape, &shape));
    if (t->raw->kind == OPAQUE)
        return nni_fail(why, NN_EUNSUPPORTED,
                        "%s: tensor \"%s\": type %s can be listed but not loaded; convert it to F32 "
                        "or BF16 first",
                        file->label, name.s, t->raw->name);
    if (t->raw->type == to && to < NN_DTYPES) {
        if (count) /* dst may be NULL otherwise */
            memcpy(dst, entry->data, entry->bytes);
    } else if (t->raw->kind == FLOATING && (to == NN_F32 || to == NN_F64))
        bad = read_floats(t, to, dst);
    else if (t->raw->kind != FLOATING && (to == NN_I64 || to == NN_I32 || to == NN_U8))
        bad = read_integers(t, to, dst);
    else
        return nni_fail(why, NN_EUNSUPPORTED, "%s: tensor \"%s\": type %s is not converted to %s",
                        file->label, name.s, t->raw->name, nn_dtype_name(to));
    if (bad >= 0)
        return nni_fail(why, NN_EFORMAT,
                        "%s: tensor \"%s\": element %" PRId64 " of type %s has a value that %s cannot hold",
                        file->label, name.s, bad, t->raw->name, nn_dtype_name(to));
    return NN_OK;
}

int nn_safetensors_nonfinite(const nn_safetensors *file, int64_t index, int64_t *count, nn_message *why)
{
    const nn_safetensors_entry *entry = nn_safetensors_at(file, index);
    const unsigned char *from;
    const struct raw_type *raw;
    nni_text name;
    int64_t n = 0;

    *count = 0;
    if (!entry)
        return nni_fail(why, NN_EINVAL, "%s: there is no tensor %" PRId64 " of %" PRId64, file->label, index,
                        file->count);
    raw = file->tensors[index].raw;
    from = entry->data;
    if (raw->kind == OPAQUE)
        return nni_fail(why, NN_EUNSUPPORTED, "%s: tensor \"%s\": values of type %s cannot be inspected",
                        file->label, brief(entry->name, &name), raw->name);
    if (raw->kind != FLOATING)
        return NN_OK;
    /* By bit pattern (all exponent bits set), so that compiler flags cannot change the answer. */
    for (int64_t i = 0; i < entry->count; i++)
        switch (raw->type) {
        case NN_F64: n += (LOAD(uint64_t, from, i) >> 52 & 0x7ffu) == 0x7ffu; break;
        case NN_F32: n += (LOAD(uint32_t, from, i) >> 23 & 0xffu) == 0xffu; break;
        case NN_BF16: n += (LOAD(uint16_t, from, i) >> 7 & 0xff) == 0xff; break;
        default: n += (LOAD(uint16_t, from, i) >> 10 & 0x1f) == 0x1f; break;
        }
    *count = n;
    return NN_OK;
}

/* ------------------------------------------------------------------ writing */

/* A growing text; once memory fails it stays failed, so callers look once at the end. */
struct text {
    char *s;
    size_t size, room;
    bool failed;
};

static void put(struct text *t, const char *s, size_t size)
{
    if (t->failed || !size)
        return;
    if (size > t->room - t->size) {
        size_t room = t->room + (t->room > size ? t->room : size) + 256;
        char *grown = nni_grow(t->s, t->size, room);

        if (!grown) {
            t->failed = true;
            return;
        }
        t->s = grown;
        t->room = room;
    }
    memcpy(t->s + t->size, s, size);
    t->size += size;
}

static void put_text(struct text *t, const char *s) { put(t, s, strlen(s)); }

static void put_number(struct text *t, uint64_t x)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, x);

    put(t, digits, (size_t)n);
}

/* Escapes as the reference's JSON writer does: the short forms, else \u00xx in lower case. */
static void put_quoted(struct text *t, const char *s)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";

    put(t, "\"", 1);
    for (; *s; s++) {
        const char *at = strchr(plain, *s);
        char escape[8];

        if (at) {
            put(t, "\\", 1);
            put(t, &letter[at - plain], 1);
        } else if ((unsigned char)*s < 0x20) {
            put(t, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*s));
        } else {
            put(t, s, 1);
        }
    }
    put(t, "\"", 1);
}

/* Shortest forms only, no surrogates, at most U+10FFFF (Unicode, table 3-7). */
static bool is_utf8(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    while (*c) {
        unsigned char lead = *c++, low = 0x80, high = 0xbf;
        int rest = lead < 0x80   ? 0
                   : lead < 0xc2 ? -1
                   : lead < 0xe0 ? 1
                   : lead < 0xf0 ? 2
                   : lead < 0xf5 ? 3
                                 : -1;

        if (rest < 0)
            return false;
        if (lead == 0xe0)
            low = 0xa0;
        else if (lead == 0xed)
            high = 0x9f;
        else if (lead == 0xf0)
            low = 0x90;
        else if (lead == 0xf4)
            high = 0x8f;
        for (; rest; rest--, c++, low = 0x80, high = 0xbf)
            if (*c < low || *c > high)
                return false;
    }
    return true;
}

struct pending {
    const nn_safetensors_item *item;
    const struct raw_type *raw;
    uint64_t bytes;
};

static int by_rank_then_name(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;

    if (x->raw != y->raw)
        return x->raw > y->raw ? -1 : 1;
    return strcmp(x->item->name, y->item->name);
}

static int by_item_name(const void *a, const void *b)
{
    return strcmp((*(const nn_safetensors_item *const *)a)->name,
                  (*(const nn_safetensors_item *const *)b)->name);
}

static int by_pair_key(const void *a, const void *b)
{
    return strcmp((*(const nn_pair *const *)a)->key, (*(const nn_pair *const *)b)->key);
}

/* The writer holds itself to the reader's rules: what it writes, the reader opens. */
static int check_item(const char *path, int64_t i, struct pending *p, nn_message *why)
{
    const nn_safetensors_item *item = p->item;
    nni_text name, shape;
    int64_t n;

    if (!item->name)
        return nni_fail(why, NN_EINVAL, "%s: item %" PRId64 " has no name", path, i);
    if (!is_utf8(item->name) || has_control(item->name))
        return nni_fail(why, NN_EINVAL,
                        "%s: the name of item %" PRId64 " is not UTF-8 or has control characters", path, i);
    (void)brief(item->name, &name);
    if (!strcmp(item->name, metadata_key))
        return nni_fail(why, NN_EINVAL, "%s: the name \"%s\" is reserved by the format", path, name.s);
    p->raw = raw_by_type(item->type);
    if (!p->raw)
        return nni_fail(why, NN_EINVAL, "%s: tensor \"%s\" has no valid type", path, name.s);
    n = nn_shape_count(item->shape);
    if (n < 0 || __builtin_mul_overflow((uint64_t)n, p->raw->bits / 8, &p->bytes) || p->bytes > PTRDIFF_MAX)
        return nni_fail(why, NN_ESHAPE, "%s: tensor \"%s\" has no valid shape: %s", path, name.s,
                        item->shape.rank < 0 || item->shape.rank > NN_MAX_RANK
                            ? "its rank"
                            : nni_shape_text(item->shape, &shape));
    if (n && !item->data)
        return nni_fail(why, NN_EINVAL, "%s: tensor \"%s\" has no data", path, name.s);
    return NN_OK;
}

/* Sorted views of the arguments; `order` is scratch for finding duplicates and holds the metadata last. */
static int check_items(const char *path, const nn_safetensors_item *items, int64_t n, struct pending *pending,
                       const void **order, nn_message *why)
{
    nni_text name;

    for (int64_t i = 0; i < n; i++) {
        int rc;

        pending[i].item = &items[i];
        rc = check_item(path, i, &pending[i], why);
        if (rc)
            return rc;
        order[i] = &items[i];
    }
    qsort(order, (size_t)n, sizeof *order, by_item_name);
    for (int64_t i = 1; i < n; i++)
        if (!by_item_name(&order[i - 1], &order[i]))
            return nni_fail(why, NN_EINVAL, "%s: tensor \"%s\" is given twice", path,
                            brief(((const nn_safetensors_item *)order[i])->name, &name));
    qsort(pending, (size_t)n, sizeof *pending, by_rank_then_name);
    return NN_OK;
}

static int check_metadata(const char *path, const nn_pair *metadata, int64_t m, const void **order,
                          nn_message *why)
{
    nni_text name;

    for (int64_t i = 0; i < m; i++) {
        const nn_pair *p = &metadata[i];

        if (!p->key || !p->value || !is_utf8(p->key) || has_control(p->key) || !is_utf8(p->value))
            return nni_fail(why, NN_EINVAL,
                            "%s: metadata %" PRId64 " lacks key or value, is not UTF-8, or its key has "
                            "control characters",
                            path, i);
        order[i] = p;
    }
    qsort(order, (size_t)m, sizeof *order, by_pair_key);
    for (int64_t i = 1; i < m; i++)
        if (!by_pair_key(&order[i - 1], &order[i]))
            return nni_fail(why, NN_EINVAL, "%s: metadata \"%s\" is given twice", path,
                            brief(((const nn_pair *)order[i])->key, &name));
    return NN_OK;
}

static void put_header(struct text *t, const struct pending *pending, int64_t n, const void **metadata,
                       int64_t m)
{
    uint64_t at = 0;

    put(t, "\0\0\0\0\0\0\0\0", 8); /* becomes the header's size */
    put_text(t, "{");
    for (int64_t i = 0; i < m; i++) {
        const nn_pair *p = metadata[i];

        put_text(t, i ? "," : "\"__metadata__\":{");
        put_quoted(t, p->key);
        put_text(t, ":");
        put_quoted(t, p->value);
    }
    if (m)
        put_text(t, n ? "}," : "}");
    for (int64_t i = 0; i < n; i++) {
        const nn_safetensors_item *item = pending[i].item;

        if (i)
            put_text(t, ",");
        put_quoted(t, item->name);
        put_text(t, ":{\"dtype\":");
        put_quoted(t, pending[i].raw->name);
        put_text(t, ",\"shape\":[");
        for (int k = 0; k < item->shape.rank; k++) {
            if (k)
                put_text(t, ",");
            put_number(t, (uint64_t)item->shape.dim[k]);
        }
        put_text(t, "],\"data_offsets\":[");
        put_number(t, at);
        put_text(t, ",");
        at += pending[i].bytes;
        put_number(t, at);
        put_text(t, "]}");
    }
    put_text(t, "}");
    while (!t->failed && t->size % 8)
        put(t, " ", 1);
}

static int write_file(const char *path, const struct text *header, const struct pending *pending, int64_t n,
                      nn_message *why)
{
    nni_writer w;
    int rc = nni_writer_open(&w, path, why);

    if (rc)
        return rc;
    rc = nni_writer_put(&w, header->s, header->size, why);
    for (int64_t i = 0; i < n && !rc; i++)
        if (pending[i].bytes)
            rc = nni_writer_put(&w, pending[i].item->data, (size_t)pending[i].bytes, why);
    return rc ? rc : nni_writer_commit(&w, why);
}

int nn_safetensors_write(const char *path, const nn_safetensors_item *items, int64_t n,
                         const nn_pair *metadata, int64_t m, nn_message *why)
{
    struct pending *pending;
    struct text header = { 0 };
    const void **order;
    uint64_t total = 0;
    int rc;

    if (!path || n < 0 || m < 0 || (n && !items) || (m && !metadata))
        return nni_fail(why, NN_EINVAL, "%s: nothing to write", path ? path : "no path");
    pending = nni_alloc_array((size_t)n, sizeof *pending);
    order = nni_alloc_array((size_t)(n > m ? n : m), sizeof *order);
    rc = pending && order ? check_items(path, items, n, pending, order, why)
                          : nni_fail(why, NN_ENOMEM, "%s: no memory for the header", path);
    if (!rc)
        rc = check_metadata(path, metadata, m, order, why);
    for (int64_t i = 0; i < n && !rc; i++)
        if (__builtin_add_overflow(total, pending[i].bytes, &total) || total > INT64_MAX)
            rc = nni_fail(why, NN_EINVAL, "%s: the tensors are larger than any file", path);
    if (!rc) {
        put_header(&header, pending, n, order, m);
        if (header.failed)
            rc = nni_fail(why, NN_ENOMEM, "%s: no memory for the header", path);
        else if (header.size - 8 > MAX_HEADER)
            rc = nni_fail(why, NN_EINVAL,
                          "%s: the header would take %zu bytes, readers accept %d; write fewer tensors or "
                          "less metadata",
                          path, header.size - 8, (int)MAX_HEADER);
    }
    if (!rc) {
        for (unsigned i = 0; i < 8; i++)
            header.s[i] = (char)((header.size - 8) >> (8 * i) & 255u);
        rc = write_file(path, &header, pending, n, why);
    }
    nni_free(header.s);
    nni_free(pending);
    nni_free((void *)order);
    return rc;
}
