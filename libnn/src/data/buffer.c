/* SPDX-License-Identifier: MIT
 *
 * A small file before it is written: whoever fills it need not look at every allocation.
 */
#include "data.h"

#include <string.h>

/* Room for `size` more bytes; false, and from then on always, when there is no memory. */
static bool reserve(nni_buffer *b, size_t size)
{
    if (!b->failed && b->room - b->size < size) {
        size_t room = b->room + b->room / 2 + size + 4096;
        char *grown = nni_grow(b->data, b->size, room);

        b->failed = !grown;
        if (grown) {
            b->data = grown;
            b->room = room;
        }
    }
    return !b->failed;
}

void nni_buffer_put(nni_buffer *b, const void *data, size_t size)
{
    if (!size || !reserve(b, size))
        return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void nni_buffer_text(nni_buffer *b, const char *text) { nni_buffer_put(b, text, strlen(text)); }

void nni_buffer_csv_field(nni_buffer *b, const char *text)
{
    size_t size = nn_csv_field(NULL, 0, text);

    if (!reserve(b, size + 1)) /* the terminating zero needs a place for a moment */
        return;
    (void)nn_csv_field(b->data + b->size, size + 1, text);
    b->size += size;
}

int nni_buffer_save(nni_buffer *b, const char *path, nn_message *why)
{
    nni_writer w;
    int rc;

    if (b->failed)
        rc = nni_fail(why, NN_ENOMEM, "%s: no memory for its contents", path);
    else
        rc = nni_writer_open(&w, path, why);
    if (!rc)
        rc = nni_writer_put(&w, b->data, b->size, why);
    if (!rc)
        rc = nni_writer_commit(&w, why);
    nni_free(b->data);
    *b = (nni_buffer){ 0 };
    return rc;
}
