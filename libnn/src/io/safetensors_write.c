/* SPDX-License-Identifier: MIT
 *
 * Writing safetensors: a header of sorted entries and the data behind it, byte for byte what the reference
 * writer makes of the same tensors.
 */
#include "data/data.h"
#include "tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 16 << 20 }; /* what readers accept */

static const char metadata_key[] = "__metadata__";

static void put_number(nni_buffer *t, uint64_t x)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, x);

    nni_buffer_put(t, digits, (size_t)n);
}

/* Escapes as the reference's JSON writer does: the short forms, else \u00xx in lower case. */
static void put_quoted(nni_buffer *t, const char *s)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";

    nni_buffer_put(t, "\"", 1);
    for (; *s; s++) {
        const char *at = strchr(plain, *s);
        char escape[8];

        if (at) {
            nni_buffer_put(t, "\\", 1);
            nni_buffer_put(t, &letter[at - plain], 1);
        } else if ((unsigned char)*s < 0x20) {
            nni_buffer_put(t, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*s));
        } else {
            nni_buffer_put(t, s, 1);
        }
    }
    nni_buffer_put(t, "\"", 1);
}

static int by_rank_then_name(const void *a, const void *b)
{
    const struct nni_pending *x = a, *y = b;

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
static int check_item(const char *path, int64_t i, struct nni_pending *p, nn_message *why)
{
    const nn_safetensors_item *item = p->item;
    nni_text name, shape;
    int64_t n;

    if (!item->name)
        return nni_fail(why, NN_EINVAL, "%s: item %" PRId64 " has no name", path, i);
    if (!nni_is_utf8(item->name) || nni_has_control(item->name))
        return nni_fail(why, NN_EINVAL,
                        "%s: the name of item %" PRId64 " is not UTF-8 or has control characters", path, i);
    (void)nni_brief(item->name, &name);
    if (!strcmp(item->name, metadata_key))
        return nni_fail(why, NN_EINVAL, "%s: the name \"%s\" is reserved by the format", path, name.s);
    p->raw = nni_raw_by_type(item->type);
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

int nni_check_items(const char *path, const nn_safetensors_item *items, int64_t n,
                    struct nni_pending *pending, const void **order, nn_message *why)
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
                            nni_brief(((const nn_safetensors_item *)order[i])->name, &name));
    qsort(pending, (size_t)n, sizeof *pending, by_rank_then_name);
    return NN_OK;
}

static int check_metadata(const char *path, const nn_pair *metadata, int64_t m, const void **order,
                          nn_message *why)
{
    nni_text name;

    for (int64_t i = 0; i < m; i++) {
        const nn_pair *p = &metadata[i];

        if (!p->key || !p->value || !nni_is_utf8(p->key) || nni_has_control(p->key) || !nni_is_utf8(p->value))
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
                            nni_brief(((const nn_pair *)order[i])->key, &name));
    return NN_OK;
}

static void put_header(nni_buffer *t, const struct nni_pending *pending, int64_t n, const void **metadata,
                       int64_t m)
{
    uint64_t at = 0;

    nni_buffer_put(t, "\0\0\0\0\0\0\0\0", 8); /* becomes the header's size */
    nni_buffer_text(t, "{");
    for (int64_t i = 0; i < m; i++) {
        const nn_pair *p = metadata[i];

        nni_buffer_text(t, i ? "," : "\"__metadata__\":{");
        put_quoted(t, p->key);
        nni_buffer_text(t, ":");
        put_quoted(t, p->value);
    }
    if (m)
        nni_buffer_text(t, n ? "}," : "}");
    for (int64_t i = 0; i < n; i++) {
        const nn_safetensors_item *item = pending[i].item;

        if (i)
            nni_buffer_text(t, ",");
        put_quoted(t, item->name);
        nni_buffer_text(t, ":{\"dtype\":");
        put_quoted(t, pending[i].raw->name);
        nni_buffer_text(t, ",\"shape\":[");
        for (int k = 0; k < item->shape.rank; k++) {
            if (k)
                nni_buffer_text(t, ",");
            put_number(t, (uint64_t)item->shape.dim[k]);
        }
        nni_buffer_text(t, "],\"data_offsets\":[");
        put_number(t, at);
        nni_buffer_text(t, ",");
        at += pending[i].bytes;
        put_number(t, at);
        nni_buffer_text(t, "]}");
    }
    nni_buffer_text(t, "}");
    while (!t->failed && t->size % 8)
        nni_buffer_put(t, " ", 1);
}

static int write_file(const char *path, const nni_buffer *header, const struct nni_pending *pending,
                      int64_t n, nn_message *why)
{
    nni_writer w;
    int rc = nni_writer_open(&w, path, why);

    if (rc)
        return rc;
    rc = nni_writer_put(&w, header->data, header->size, why);
    for (int64_t i = 0; i < n && !rc; i++)
        if (pending[i].bytes)
            rc = nni_writer_put(&w, pending[i].item->data, (size_t)pending[i].bytes, why);
    return rc ? rc : nni_writer_commit(&w, why);
}

int nn_safetensors_write(const char *path, const nn_safetensors_item *items, int64_t n,
                         const nn_pair *metadata, int64_t m, nn_message *why)
{
    struct nni_pending *pending;
    nni_buffer header = { 0 };
    const void **order;
    uint64_t total = 0;
    int rc;

    if (!path || n < 0 || m < 0 || (n && !items) || (m && !metadata))
        return nni_fail(why, NN_EINVAL, "%s: nothing to write", path ? path : "no path");
    pending = nni_alloc_array((size_t)n, sizeof *pending);
    order = nni_alloc_array((size_t)(n > m ? n : m), sizeof *order);
    rc = pending && order ? nni_check_items(path, items, n, pending, order, why)
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
            header.data[i] = (char)((header.size - 8) >> (8 * i) & 255u);
        rc = write_file(path, &header, pending, n, why);
    }
    nni_free(header.data);
    nni_free(pending);
    nni_free((void *)order);
    return rc;
}
