/* SPDX-License-Identifier: MIT
 *
 * See protobuf.h.
 */
#include "io/protobuf.h"

#include <string.h>

enum { VARINT = 0, LENGTH = 2, FIXED32 = 5 };

/* Seven bits in a byte, the lowest first; the eighth says that more follow. */
static void put_varint(nni_buffer *b, uint64_t x)
{
    unsigned char bytes[10];
    size_t n = 0;

    for (; x >= 128; x >>= 7)
        bytes[n++] = (unsigned char)(x | 128);
    bytes[n++] = (unsigned char)x;
    nni_buffer_put(b, bytes, n);
}

static void put_key(nni_buffer *b, int field, int kind)
{
    put_varint(b, (uint64_t)field << 3 | (uint64_t)kind);
}

void nni_protobuf_int(nni_buffer *b, int field, int64_t value)
{
    put_key(b, field, VARINT);
    put_varint(b, (uint64_t)value);
}

void nni_protobuf_float(nni_buffer *b, int field, float value)
{
    put_key(b, field, FIXED32);
    nni_buffer_put(b, &value, sizeof value); /* little-endian, as this machine (io/tensors.h) */
}

void nni_protobuf_head(nni_buffer *b, int field, uint64_t size)
{
    put_key(b, field, LENGTH);
    put_varint(b, size);
}

void nni_protobuf_text(nni_buffer *b, int field, const char *text)
{
    nni_protobuf_head(b, field, strlen(text));
    nni_buffer_text(b, text);
}

void nni_protobuf_message(nni_buffer *b, int field, nni_buffer *inner)
{
    nni_protobuf_head(b, field, inner->size);
    nni_buffer_put(b, inner->data, inner->size);
    b->failed |= inner->failed;
    nni_free(inner->data);
    *inner = (nni_buffer){ 0 };
}
