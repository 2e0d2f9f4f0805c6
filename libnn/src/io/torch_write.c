/* SPDX-License-Identifier: MIT
 *
 * Writing a state dict as torch.save does: a zip archive of a pickle and one storage for each tensor, aligned
 * to 64 bytes so that readers can map it. Nothing in it is compressed, and no member needs zip64, so writing
 * the archive is less work than asking a library for these properties.
 */
#include "data/data.h"
#include "pickle.h"
#include "tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { ALIGNMENT = 64, HEADER = 30, MOST_TENSORS = 65000 };

/* `x` in `size` bytes, the lowest first. */
static void put_number(nni_buffer *b, uint64_t x, size_t size)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(x >> (8 * i));
    nni_buffer_put(b, bytes, size);
}

/* ------------------------------------------------------------------- pickle */

static void pickle_text(nni_buffer *b, const char *text)
{
    nni_buffer_text(b, "X");
    put_number(b, strlen(text), 4);
    nni_buffer_text(b, text);
}

static void pickle_number(nni_buffer *b, int64_t x)
{
    bool small = x <= INT32_MAX;

    nni_buffer_put(b, small ? "J" : "\212\010", small ? 1 : 2);
    put_number(b, (uint64_t)x, small ? 4 : 8);
}

static void pickle_tensor(nni_buffer *b, const struct nni_pending *p, int64_t index)
{
    const nn_safetensors_item *item = p->item;
    int64_t stride[NN_MAX_RANK], step = 1;
    char key[24];

    for (int i = item->shape.rank; i-- > 0; step *= item->shape.dim[i])
        stride[i] = step;
    (void)snprintf(key, sizeof key, "%" PRId64, index);
    nni_buffer_text(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    pickle_text(b, "storage");
    nni_buffer_text(b, "ctorch\n");
    nni_buffer_text(b, nni_storage_class(p->raw->name));
    nni_buffer_text(b, "\n");
    pickle_text(b, key);
    pickle_text(b, "cpu");
    pickle_number(b, nn_shape_count(item->shape));
    nni_buffer_text(b, "tQK");
    put_number(b, 0, 1); /* offset */
    nni_buffer_text(b, "(");
    for (int i = 0; i < item->shape.rank; i++)
        pickle_number(b, item->shape.dim[i]);
    nni_buffer_text(b, "t(");
    for (int i = 0; i < item->shape.rank; i++)
        pickle_number(b, stride[i]);
    nni_buffer_text(b, "t\211ccollections\nOrderedDict\n)RtR");
}

/* ---------------------------------------------------------------------- zip */

struct archive {
    nni_writer w;
    nni_buffer directory;
    int64_t members;
    nn_message *why;
};

/* What local header and directory have in common. */
static void describe(nni_buffer *b, uint32_t crc, size_t size, const char *name, size_t extra)
{
    put_number(b, 20, 2);                   /* version needed */
    put_number(b, 0x0800, 2);               /* the name is UTF-8 */
    put_number(b, 0, 2);                    /* stored */
    put_number(b, UINT64_C(0x00210000), 4); /* 1 January 1980 */
    put_number(b, crc, 4);
    put_number(b, size, 4);
    put_number(b, size, 4);
    put_number(b, strlen(name), 2);
    put_number(b, extra, 2);
}

static int add_member(struct archive *a, const char *name, const void *data, size_t size)
{
    static const char padding[ALIGNMENT] = { 0 };
    nni_buffer head = { 0 };
    uint64_t at = a->w.written;
    size_t used = (size_t)((at + HEADER + strlen(name) + 4) % ALIGNMENT);
    size_t pad = used ? ALIGNMENT - used : 0;
    uint32_t crc = 0;
    int rc;

    for (size_t done = 0; done < size;) {
        size_t n = size - done < 1u << 30 ? size - done : 1u << 30;

        crc = (uint32_t)crc32(crc, (const Bytef *)data + done, (uInt)n);
        done += n;
    }
    if (at > UINT32_MAX || size > UINT32_MAX)
        return nni_fail(a->why, NN_EUNSUPPORTED, "%s: would have 4 GiB or more; write safetensors instead",
                        a->w.path);
    nni_buffer_text(&head, "PK\3\4");
    describe(&head, crc, size, name, 4 + pad);
    nni_buffer_text(&head, name);
    nni_buffer_text(&head, "FB"); /* torch's own kind of extra field */
    put_number(&head, pad, 2);
    nni_buffer_put(&head, padding, pad);

    nni_buffer_text(&a->directory, "PK\1\2");
    put_number(&a->directory, 20, 2); /* version made by */
    describe(&a->directory, crc, size, name, 0);
    put_number(&a->directory, 0, 8); /* no comment, first disk, no attributes */
    put_number(&a->directory, 0, 2);
    put_number(&a->directory, at, 4);
    nni_buffer_text(&a->directory, name);
    a->members++;

    if (head.failed || a->directory.failed)
        rc = nni_fail(a->why, NN_ENOMEM, "%s: no memory for its directory", a->w.path);
    else
        rc = nni_writer_put(&a->w, head.data, head.size, a->why);
    nni_free(head.data);
    return rc || !size ? rc : nni_writer_put(&a->w, data, size, a->why);
}

static int add_directory(struct archive *a)
{
    uint64_t at = a->w.written;
    size_t size = a->directory.size;

    if (at + size > UINT32_MAX)
        return nni_fail(a->why, NN_EUNSUPPORTED, "%s: would have 4 GiB or more; write safetensors instead",
                        a->w.path);
    nni_buffer_text(&a->directory, "PK\5\6");
    put_number(&a->directory, 0, 4);
    put_number(&a->directory, (uint64_t)a->members, 2);
    put_number(&a->directory, (uint64_t)a->members, 2);
    put_number(&a->directory, size, 4);
    put_number(&a->directory, at, 4);
    put_number(&a->directory, 0, 2);
    if (a->directory.failed)
        return nni_fail(a->why, NN_ENOMEM, "%s: no memory for its directory", a->w.path);
    return nni_writer_put(&a->w, a->directory.data, a->directory.size, a->why);
}

static int add_members(struct archive *a, const nni_buffer *pickle, const struct nni_pending *pending,
                       int64_t n)
{
    int rc = add_member(a, "archive/data.pkl", pickle->data, pickle->size);

    if (!rc)
        rc = add_member(a, "archive/byteorder", "little", 6);
    for (int64_t i = 0; !rc && i < n; i++) {
        char name[48];

        (void)snprintf(name, sizeof name, "archive/data/%" PRId64, i);
        rc = add_member(a, name, pending[i].item->data, (size_t)pending[i].bytes);
    }
    if (!rc)
        rc = add_member(a, "archive/version", "3\n", 2);
    return rc ? rc : add_directory(a);
}

int nn_torch_write(const char *path, const nn_safetensors_item *items, int64_t n, nn_message *why)
{
    struct archive a = { .why = why };
    nni_buffer pickle = { 0 };
    struct nni_pending *pending;
    const void **order;
    int rc;

    if (!path || n < 0 || (n && !items))
        return nni_fail(why, NN_EINVAL, "%s: nothing to write", path ? path : "no path");
    if (n > MOST_TENSORS)
        return nni_fail(why, NN_EUNSUPPORTED, "%s: more than %d tensors", path, MOST_TENSORS);
    pending = nni_alloc_array((size_t)n, sizeof *pending);
    order = nni_alloc_array((size_t)n, sizeof *order);
    rc = pending && order ? nni_check_items(path, items, n, pending, order, why)
                          : nni_fail(why, NN_ENOMEM, "%s: no memory for the list of tensors", path);
    if (!rc) {
        nni_buffer_text(&pickle, "\200\002ccollections\nOrderedDict\n)R(");
        for (int64_t i = 0; i < n; i++) {
            pickle_text(&pickle, pending[i].item->name);
            pickle_tensor(&pickle, &pending[i], i);
        }
        nni_buffer_text(&pickle, "u.");
        if (pickle.failed)
            rc = nni_fail(why, NN_ENOMEM, "%s: no memory for the list of tensors", path);
    }
    if (!rc)
        rc = nni_writer_open(&a.w, path, why);
    if (!rc) {
        rc = add_members(&a, &pickle, pending, n);
        if (rc)
            nni_writer_abort(&a.w);
        else
            rc = nni_writer_commit(&a.w, why);
    }
    nni_free(a.directory.data);
    nni_free(pickle.data);
    nni_free(pending);
    nni_free((void *)order);
    return rc;
}
