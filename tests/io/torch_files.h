/* SPDX-License-Identifier: MIT
 *
 * Files as torch.save writes them and as nobody should: pickles from pieces, put into zip archives and legacy
 * streams whose every field can be wrong.
 */
#ifndef TESTS_IO_TORCH_FILES_H
#define TESTS_IO_TORCH_FILES_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct bytes {
    unsigned char *at;
    size_t size, room;
};

static void put(struct bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->at = realloc(b->at, b->room);
        ck_assert_ptr_nonnull(b->at);
    }
    if (size)
        memcpy(b->at + b->size, data, size);
    b->size += size;
}

static void put_number(struct bytes *b, uint64_t x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = i < 8 ? (unsigned char)(x >> (8 * i)) : 0;

        put(b, &c, 1);
    }
}

static void clear(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){ .size = 0 };
}

/* ------------------------------------------------------------------- pickles */

/* clang-format off */
#define PROTO "\200\002"
#define ORDERED "ccollections\nOrderedDict\n)R"
#define TEXT1(letter) "X\1\0\0\0" letter
#define STORAGE_OF(class, key, elements) \
    "(X\7\0\0\0storagectorch\n" class "\n" TEXT1(key) "X\3\0\0\0cpu" elements "tQ"
#define STORAGE STORAGE_OF("FloatStorage", "0", "K\10")
/* Sizes and strides are tuples. */
#define TENSOR(storage, offset, sizes, strides) \
    "ctorch._utils\n_rebuild_tensor_v2\n(" storage offset sizes strides "\211" ORDERED "tR"
#define EIGHT TENSOR(STORAGE, "K\0", "K\10\205", "K\1\205")
/* clang-format on */

/* ---------------------------------------------------------------------- zip */

struct member {
    const char *name;
    const void *data;
    size_t size;
    uint16_t method, flags;
    uint32_t crc_xor;    /* makes the checksum wrong */
    int64_t same_as;     /* 1 + index of the member whose bytes it claims; 0: its own */
    int without_sum;     /* checksum zero */
    uint32_t size_added; /* to the size in the directory */
};

static struct bytes zip(const struct member *m, size_t n)
{
    struct bytes b = { .size = 0 };
    size_t at[16] = { 0 }, directory = 0;

    ck_assert_uint_le(n, 16);
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            directory = b.size;
        for (size_t i = 0; i < n; i++) {
            uint32_t crc =
                m[i].without_sum ? 0 : (uint32_t)crc32(0, m[i].data, (uInt)m[i].size) ^ m[i].crc_xor;

            if (!pass && m[i].same_as) {
                at[i] = at[m[i].same_as - 1];
                continue;
            }
            if (!pass)
                at[i] = b.size;
            put(&b, pass ? "PK\1\2\24\0" : "PK\3\4", pass ? 6 : 4);
            put_number(&b, 20, 2);
            put_number(&b, m[i].flags, 2);
            put_number(&b, m[i].method, 2);
            put_number(&b, 0, 4);
            put_number(&b, crc, 4);
            put_number(&b, m[i].size + (pass ? m[i].size_added : 0), 4);
            put_number(&b, m[i].size + (pass ? m[i].size_added : 0), 4);
            put_number(&b, strlen(m[i].name), 2);
            put_number(&b, 0, pass ? 12 : 2);
            if (pass)
                put_number(&b, at[i], 4);
            put(&b, m[i].name, strlen(m[i].name));
            if (!pass)
                put(&b, m[i].data, m[i].size);
        }
    }
    put(&b, "PK\5\6\0\0\0\0", 8);
    put_number(&b, n, 2);
    put_number(&b, n, 2);
    put_number(&b, b.size - directory - 12, 4);
    put_number(&b, directory, 4);
    put_number(&b, 0, 2);
    return b;
}

static const float eight[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* The archive of a pickle and one storage of eight floats, key 0. */
static inline struct bytes archive(const void *pickle, size_t size)
{
    const struct member m[] = { { .name = "a/data.pkl", .data = pickle, .size = size },
                                { .name = "a/data/0", .data = eight, .size = sizeof eight },
                                { .name = "a/version", .data = "3\n", .size = 2 } };

    return zip(m, 3);
}

/* ------------------------------------------------------------------- legacy */

#define LEGACY_MAGIC "\200\002\212\012\154\374\234\106\371\040\152\250\120\031\056"
#define LEGACY_VERSION "\200\002M\351\003."
#define LEGACY_MACHINE "\200\002}X\15\0\0\0little_endian\210s."
#define LEGACY_STORAGE "(X\7\0\0\0storagectorch\nFloatStorage\n" TEXT1("0") "X\3\0\0\0cpuK\10NtQ"
#define LEGACY_OBJECT PROTO "}" TEXT1("w") TENSOR(LEGACY_STORAGE, "K\0", "K\10\205", "K\1\205") "s."
#define LEGACY_KEYS "\200\002](" TEXT1("0") "e."

#endif
