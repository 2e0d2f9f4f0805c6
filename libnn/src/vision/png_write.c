/* SPDX-License-Identifier: MIT
 *
 * Pixels to a PNG file: a container of four chunks around what zlib makes of the rows. All rows get the Paeth
 * filter, the best single choice for photographs, or none where nothing is compressed.
 *
 * Source: W3C Portable Network Graphics (Third Edition).
 */
#include "vision.h"

#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

enum { NO_FILTER = 0, PAETH = 4, BEFORE_PIXELS = 8 + 12 + 13 + 8, AFTER_PIXELS = 4 + 12 };

static uint8_t *put_be32(uint8_t *to, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *to++ = (uint8_t)(value >> shift);
    return to;
}

static uint8_t *put_bytes(uint8_t *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

/* The checksum behind a chunk whose name begins at `type`. */
static uint8_t *end_chunk(uint8_t *to, const uint8_t *type)
{
    return put_be32(to, (uint32_t)crc32_z(crc32(0, NULL, 0), type, (size_t)(to - type)));
}

static uint8_t paeth(int left, int above, int corner)
{
    int to_left = abs(above - corner), to_above = abs(left - corner),
        to_corner = abs(left + above - 2 * corner);

    return (uint8_t)(to_left <= to_above && to_left <= to_corner ? left
                     : to_above <= to_corner                     ? above
                                                                 : corner);
}

/* Row y behind the number of its filter. */
static void filter_row(uint8_t *out, const nn_image *image, int64_t y, int filter)
{
    size_t stride = nni_image_stride(image), n = (size_t)image->width * 3;
    const uint8_t *row = image->rgb + (size_t)y * stride;

    *out++ = (uint8_t)filter;
    if (filter == NO_FILTER) {
        memcpy(out, row, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int left = i < 3 ? 0 : row[i - 3], above = y ? row[i - stride] : 0;

        out[i] = (uint8_t)(row[i] - paeth(left, above, i < 3 || !y ? 0 : row[i - 3 - stride]));
    }
}

/* The whole file; *file is to be released. */
static int encode(uint8_t **file, size_t *size, const nn_image *image, int level)
{
    z_stream z = { .zalloc = nni_zlib_alloc, .zfree = nni_zlib_free };
    size_t row = (size_t)image->width * 3 + 1, room;
    uint8_t *line = nni_alloc(row), *out = NULL, *at, *pixels;

    if (!line || deflateInit(&z, level)) {
        nni_free(line);
        return NN_ENOMEM;
    }
    room = deflateBound(&z, row * (size_t)image->height);
    out = nni_alloc(BEFORE_PIXELS + room + AFTER_PIXELS);
    if (out) {
        at = put_bytes(out, "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", 16);
        at = put_be32(put_be32(at, (uint32_t)image->width), (uint32_t)image->height);
        at = put_bytes(at, "\x08\x02\0\0\0", 5); /* 8 bits, colour, and the only methods there are */
        at = end_chunk(at, at - 17);
        pixels = at + 8;
        z.next_out = pixels;
        z.avail_out = (uInt)room;
        for (int64_t y = 0; y < image->height; y++) {
            filter_row(line, image, y, level ? PAETH : NO_FILTER);
            z.next_in = line;
            z.avail_in = (uInt)row;
            (void)deflate(&z, y == image->height - 1 ? Z_FINISH : Z_NO_FLUSH); /* there is room for all */
        }
        at = put_bytes(put_be32(at, (uint32_t)z.total_out), "IDAT", 4) + z.total_out;
        at = end_chunk(at, pixels - 4);
        at = put_bytes(at, "\0\0\0\0IEND", 8);
        at = end_chunk(at, at - 4);
        *file = out;
        *size = (size_t)(at - out);
    }
    (void)deflateEnd(&z);
    nni_free(line);
    return out ? NN_OK : NN_ENOMEM;
}

int nn_image_save_png(const nn_image *image, const char *path, int level, nn_message *why)
{
    uint8_t *data = NULL;
    size_t size = 0;
    nni_writer w;
    int rc;

    if (!path)
        return nni_null(why, __func__, "path");
    if (!nni_image_usable(image, NNI_IMAGE_SIDE) || level < 0 || level > 9)
        return nni_fail(why, NN_EINVAL,
                        "%s: sides are 1 to %d, a stride is no shorter than a row, the level is 0 to 9", path,
                        NNI_IMAGE_SIDE);
    rc = encode(&data, &size, image, level);
    if (rc)
        return nni_fail(why, rc, "%s: no memory to encode %lld x %lld pixels", path, (long long)image->width,
                        (long long)image->height);
    rc = nni_writer_open(&w, path, why);
    w.unsynced = true; /* thousands may be written */
    if (!rc)
        rc = nni_writer_put(&w, data, size, why);
    if (!rc)
        rc = nni_writer_commit(&w, why);
    nni_free(data);
    return rc;
}
