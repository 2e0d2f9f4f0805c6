/* SPDX-License-Identifier: MIT
 *
 * The safetensors reader. A file of this format is what strangers hand us, so the reader
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
#include "tensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_HEADER = 16 << 20, /* unless the caller says otherwise; B6 needs 0.1 MiB */
    MAX_DEPTH = 3,         /* file, tensor, shape */
    PEEK = 64              /* enough bytes to recognise what is not a safetensors file */
};

static const char metadata_key[] = "__metadata__";

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

        if (nni_has_control(key))
            return header_fail(h, at, "a control character in a key of __metadata__");
        if (!json_is_string(value))
            return header_fail(h, at, "a value in __metadata__ is not a text");
        pair->key = nni_arena_text(&f->arena, key);
        pair->value = nni_arena_text(&f->arena, json_string_value(value));
        if (!pair->key || !pair->value)
            return no_memory(h);
        f->pairs++;
    }
    nni_tensors_sort_metadata(f);
    return NN_OK;
}

/* The tensor's own rules; those between tensors are check_layout's. */
static int check_tensor(const struct header *h, struct nni_stored *t)
{
    const char *label = h->file->label;
    nni_text name, shape;
    uint64_t bits;

    (void)nni_brief(t->entry.name, &name);
    if (t->end < t->begin)
        return nni_fail(h->why, NN_EFORMAT,
                        "%s: tensor \"%s\": data_offsets [%" PRIu64 ",%" PRIu64 "] end before they begin",
                        label, name.s, t->begin, t->end);
    if (t->end > h->file->data_size)
        return nni_fail(h->why, NN_EFORMAT,
                        "%s: tensor \"%s\": its data end at %" PRIu64 ", but the file has only %" PRIu64
                        " bytes of data; was it cut short? Fetch or copy it again",
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

    return nni_fail(h->why, NN_EFORMAT, "%s: tensor \"%s\": %s", h->file->label, nni_brief(name, &text),
                    what);
}

static int take_tensor(const struct header *h, const char *name, json_t *object, size_t at)
{
    nn_safetensors *f = h->file;
    struct nni_stored t = { .entry.name = name }, *slot;
    json_t *dtype, *shape, *offsets, *begin, *end;
    nni_text text;
    int rc;

    if (nni_has_control(name))
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

    t.raw = nni_raw_by_name(json_string_value(dtype));
    if (!t.raw)
        return nni_fail(h->why, NN_EUNSUPPORTED,
                        "%s: tensor \"%s\": unknown dtype; libnn knows those of the format up to "
                        "version 0.8 of the reference",
                        f->label, nni_brief(name, &text));
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
    t.entry.loadable = t.raw->kind != NNI_OPAQUE;
    t.entry.name = nni_arena_text(&f->arena, name);
    if (!t.entry.name)
        return no_memory(h);
    slot = nni_tensors_add(f);
    if (!slot)
        return no_memory(h);
    *slot = t;
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
    const struct nni_stored *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->entry.name, y->entry.name);
}
/* No name twice; the data tile the rest of the file without gap, overlap or tail. That leaves no room for
 * a second file hidden in the first. */
static int check_layout(const struct header *h)
{
    nn_safetensors *f = h->file;
    uint64_t at = 0;
    nni_text name;

    if (f->count) {
        int rc;

        qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, by_offset);
        rc = nni_tensors_index(f, h->why);
        if (rc)
            return rc;
    }
    for (int64_t i = 0; i < f->count; i++) {
        struct nni_stored *t = &f->tensors[i];

        if (t->begin != at)
            return nni_fail(h->why, NN_EFORMAT,
                            "%s: tensor \"%s\": its data begin at %" PRIu64
                            ", but those before it end at %" PRIu64 ": %s",
                            f->label, nni_brief(t->entry.name, &name), t->begin, at,
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

/* A message of protocol buffers whose field 1 is the version of the format and whose second field is one of
 * those that exporters write there: producer_name, domain, graph or opset_import. */
static bool is_onnx(const unsigned char *head, size_t have)
{
    return have >= 8 && head[0] == 0x08 && head[1] >= 3 && head[1] < 64 &&
           (head[2] == 0x12 || head[2] == 0x22 || head[2] == 0x3a || head[2] == 0x42);
}

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

    if (is_onnx(head, have))
        return "an ONNX model, which libnn writes but does not read; keep what it was made of";
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

    if (!out || (size && !bytes))
        return nni_null(why, __func__, "out and bytes");
    *out = NULL;
    f = nni_tensors_new(name ? name : "memory");
    if (!f)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", name ? name : "memory");
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

    if (!out || !path)
        return nni_null(why, __func__, "out and path");
    *out = NULL;
    f = nni_tensors_new(path);
    if (!f)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", path);
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
