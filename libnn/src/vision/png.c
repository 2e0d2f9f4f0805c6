/* SPDX-License-Identifier: MIT
 *
 * Is this PNG whole, and does it inflate to what it declares? PNG carries a CRC per chunk and an Adler-32
 * over the pixels, stb_image checks neither, and it lets 600 KB inflate to 600 MB before it looks at the
 * size. So the chunks are walked here, and zlib inflates the pixel data into as much memory as they may need.
 *
 * The copy for the decoder holds the four chunks that make pixels, without checksums, since all has been
 * checked. What was inflated stays so: in the copy the pixel data are stored blocks, which inflate by being
 * copied. With a palette that has fewer colours than the depth has indices the copy is called grey, and its
 * indices are looked up here afterwards: decoders take a colour for one that is not there, most of them
 * black.
 *
 * Source: W3C Portable Network Graphics (Third Edition); RFC 1950 and 1951.
 */
#include "vision.h"

#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };
enum { PAETH = 4 }; /* the last of the filters */
enum { SIGNATURE = 8, AROUND = 12, PALETTE_BYTES = 768 };
enum { STORED = 65535, STORED_HEAD = 5 }; /* bytes of a stored block, and those before them */
enum { MOST_STREAM = 1 << 30 };           /* what the decoders take in one chunk */

struct png {
    const uint8_t *data;
    size_t size, at;
    nn_image_info *info;
    nn_message *why;
    int colour;
    size_t palette_size, pixel_bytes; /* pixel_bytes: payload of all IDAT chunks */
    const uint8_t *palette;
    size_t first_pixels; /* offset of the first IDAT */
};

struct chunk {
    size_t at; /* offset of its length field */
    uint32_t length;
    const uint8_t *type, *data;
};

static int damaged(struct png *p, size_t at, const char *what)
{
    return nni_fail(p->why, NN_EFORMAT, "PNG: damaged: %s at byte %zu; get the file again", what, at);
}

static int no_memory(struct png *p)
{
    return nni_fail(p->why, NN_ENOMEM, "PNG: no memory to verify %lld x %lld pixels",
                    (long long)p->info->width, (long long)p->info->height);
}

static bool is(const struct chunk *c, const char *type) { return memcmp(c->type, type, 4) == 0; }

/* The chunk at p->at; moves behind it. With `headers` the payload of pixel data need not be there. */
static int next_chunk(struct png *p, struct chunk *c, bool headers)
{
    *c = (struct chunk){ .at = p->at };
    if (p->size - p->at >= 8) {
        c->length = nni_be32(p->data + p->at);
        c->type = p->data + p->at + 4;
        c->data = c->type + 4;
        if (headers && is(c, "IDAT"))
            return NN_OK;
    }
    if (p->size - p->at < AROUND || c->length > p->size - p->at - AROUND)
        return nni_fail(p->why, NN_EFORMAT,
                        "PNG: truncated: the file ends at byte %zu inside a chunk that begins at "
                        "byte %zu; get it again",
                        p->size, c->at);
    if (crc32(crc32(0, NULL, 0), c->type, (uInt)c->length + 4) != nni_be32(c->data + c->length))
        return damaged(p, c->at, "a chunk with a wrong checksum");
    for (int i = 0; i < 4; i++)
        if ((c->type[i] | 32) < 'a' || (c->type[i] | 32) > 'z')
            return damaged(p, c->at, "a chunk without a name");
    p->at += AROUND + (size_t)c->length;
    return NN_OK;
}

static int header(struct png *p)
{
    static const struct {
        int colour, channels, depths; /* bit n: depth n is allowed */
    } kinds[] = {
        { GREY, 1, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16 },
        { RGB, 3, 1 << 8 | 1 << 16 },
        { PALETTE, 1, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 },
        { GREY_ALPHA, 2, 1 << 8 | 1 << 16 },
        { RGB_ALPHA, 4, 1 << 8 | 1 << 16 },
    };
    nn_image_info *info = p->info;
    struct chunk c;
    int rc;

    if (p->size - p->at >= 8 && !memcmp(p->data + p->at + 4, "CgBI", 4))
        return nni_fail(p->why, NN_EUNSUPPORTED,
                        "PNG in Apple's private CgBI flavour is not supported; convert it");
    if ((rc = next_chunk(p, &c, false)))
        return rc;
    if (!is(&c, "IHDR") || c.length != 13)
        return damaged(p, c.at, "something else instead of the header");
    info->width = nni_be32(c.data);
    info->height = nni_be32(c.data + 4);
    info->bit_depth = c.data[8];
    p->colour = c.data[9];
    info->progressive = c.data[12] == 1;
    if (info->width < 1 || info->height < 1 || info->width > INT32_MAX || info->height > INT32_MAX ||
        c.data[10] || c.data[11] || c.data[12] > 1)
        return damaged(p, c.at, "an impossible header");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].colour == p->colour && info->bit_depth <= 16 && kinds[i].depths >> info->bit_depth & 1)
            info->channels = kinds[i].channels;
    if (!info->channels)
        return damaged(p, c.at, "an impossible combination of colour type and depth");
    return NN_OK;
}

static int chunks(struct png *p, bool headers)
{
    bool pixels_over = false;

    for (;;) {
        struct chunk c;
        int rc = next_chunk(p, &c, headers);

        if (rc)
            return rc;
        if (is(&c, "IDAT")) {
            if (headers)
                return NN_OK;
            if (pixels_over)
                return damaged(p, c.at, "pixel data in two places");
            if (!p->first_pixels)
                p->first_pixels = c.at;
            p->pixel_bytes += c.length;
            continue;
        }
        pixels_over = p->first_pixels != 0;
        if (is(&c, "IEND"))
            return pixels_over && !c.length ? NN_OK : damaged(p, c.at, "an end chunk before any pixels");
        if (is(&c, "PLTE")) {
            if (p->palette || pixels_over || !c.length || c.length % 3 || c.length > PALETTE_BYTES)
                return damaged(p, c.at, "an impossible palette");
            p->palette = c.data;
            p->palette_size = c.length;
        } else if (is(&c, "eXIf")) {
            if (!pixels_over)
                p->info->orientation = nni_exif_orientation(c.data, c.length);
        } else if (!(c.type[0] & 32)) {
            return nni_fail(p->why, NN_EUNSUPPORTED,
                            "PNG: the critical chunk \"%.4s\" at byte %zu is not known; convert it",
                            (const char *)c.type, c.at);
        }
    }
}

enum { PASSES = 7 };

/* Rows of pass i, an image that is not interlaced has pass 0 alone, and the bytes of each: its filter, then
 * its pixels. None in a pass without pixels. */
static uint64_t rows_of(const nn_image_info *info, int i, uint64_t *bytes)
{
    static const uint8_t x0[] = { 0, 4, 0, 2, 0, 1, 0 }, y0[] = { 0, 0, 4, 0, 2, 0, 1 };
    static const uint8_t dx[] = { 8, 8, 4, 4, 2, 2, 1 }, dy[] = { 8, 8, 8, 4, 4, 2, 2 };
    uint64_t bits = (uint64_t)(info->channels * info->bit_depth);
    uint64_t across = (uint64_t)info->width, down = i ? 0 : (uint64_t)info->height;

    if (info->progressive) {
        across = (across + dx[i] - 1u - x0[i]) / dx[i];
        down = ((uint64_t)info->height + dy[i] - 1u - y0[i]) / dy[i];
    }
    *bytes = 1 + (across * bits + 7) / 8;
    return across ? down : 0;
}

/* Bytes of the filtered rows: what the pixel data must inflate to. */
static uint64_t inflated_size(const nn_image_info *info)
{
    uint64_t total = 0, bytes;

    for (int i = 0; i < PASSES; i++) {
        uint64_t rows = rows_of(info, i, &bytes);

        total += rows * bytes;
    }
    return total;
}

void *nni_zlib_alloc(void *unused, uInt count, uInt size)
{
    (void)unused;
    return nni_alloc_array(count, size);
}

void nni_zlib_free(void *unused, void *memory)
{
    (void)unused;
    nni_free(memory);
}

static uint8_t *put32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    return to + 4;
}

/* Its CRC is left to be zero. */
static uint8_t *put_chunk(uint8_t *to, const char *type, const void *data, size_t size)
{
    to = put32(to, (uint32_t)size);
    memcpy(to, type, 4);
    if (size)
        memcpy(to + 4, data, size);
    memset(to + 4 + size, 0, 4);
    return to + 4 + size + 4;
}

/* The head of a stored block, RFC 1951 3.2.4. */
static uint8_t *put_stored(uint8_t *to, unsigned size, bool last)
{
    to[0] = last;
    to[1] = (uint8_t)size;
    to[2] = (uint8_t)(size >> 8);
    to[3] = (uint8_t)~to[1];
    to[4] = (uint8_t)~to[2];
    return to + STORED_HEAD;
}

/* Inflates the IDAT chunks, whose CRCs are verified, into stored blocks of `size` bytes in all. */
static int inflate_pixels(struct png *p, z_stream *z, uint8_t *to, uint64_t size)
{
    size_t at = p->first_pixels;
    uint64_t left = size;
    bool all = false;
    uint8_t beyond;
    int state = Z_OK;

    while (state == Z_OK) {
        if (!z->avail_in && at + AROUND <= p->size && !memcmp(p->data + at + 4, "IDAT", 4)) {
            z->avail_in = nni_be32(p->data + at);
            z->next_in = p->data + at + 8;
            at += AROUND + (size_t)z->avail_in;
            continue;
        }
        if (!z->avail_out && left) {
            unsigned some = left < STORED ? (unsigned)left : STORED;

            z->next_out = put_stored(to, some, some == left);
            z->avail_out = some;
            to = z->next_out + some;
            left -= some;
        } else if (!z->avail_out) {
            z->next_out = &beyond;
            z->avail_out = 1;
            all = true;
        }
        state = inflate(z, Z_NO_FLUSH);
        if (all && !z->avail_out)
            return nni_fail(p->why, NN_EFORMAT,
                            "PNG: the pixel data at byte %zu inflate to more than the declared "
                            "%lld x %lld pixels; refused",
                            p->first_pixels, (long long)p->info->width, (long long)p->info->height);
    }
    if (state == Z_MEM_ERROR)
        return no_memory(p);
    if (state == Z_BUF_ERROR || (state == Z_STREAM_END && z->total_out < size))
        return nni_fail(p->why, NN_EFORMAT,
                        "PNG: truncated: the pixel data at byte %zu inflate to %llu of %llu bytes; "
                        "get the file again",
                        p->first_pixels, (unsigned long long)z->total_out, (unsigned long long)size);
    if (state != Z_STREAM_END)
        return nni_fail(p->why, NN_EFORMAT,
                        "PNG: damaged: the pixel data at byte %zu do not inflate (%s); get the file again",
                        p->first_pixels, z->msg ? z->msg : "bad stream");
    return NN_OK;
}

/* Whether every row of what lies in stored blocks at `pixels` names one of the five filters: a decoder would
 * refuse it, too, but cannot say which. */
static int check_filters(struct png *p, const uint8_t *pixels)
{
    uint64_t at = 0, bytes;

    for (int i = 0; i < PASSES; i++) {
        uint64_t rows = rows_of(p->info, i, &bytes);

        for (uint64_t y = 0; y < rows; y++, at += bytes) {
            unsigned filter = pixels[at + (at / STORED + 1) * STORED_HEAD];

            if (filter <= PAETH)
                continue;
            return nni_fail(p->why, NN_EFORMAT,
                            "PNG: damaged: row %llu of the pixel data at byte %zu%s has the filter %u, and "
                            "there are 0 to 4; get the file again",
                            (unsigned long long)y, p->first_pixels,
                            p->info->progressive ? ", in one of its passes," : "", filter);
        }
    }
    return NN_OK;
}

/* Fills *clean, whose memory is there, with `size` bytes of pixel data in a stream of `stream` bytes. */
static int copy(struct png *p, z_stream *z, uint64_t size, uint64_t stream, struct nni_clean *clean)
{
    static const uint8_t zlib_head[] = { 0x78, 0x01 };
    size_t entries = (size_t)3 << p->info->bit_depth;
    uint8_t *to = clean->bytes, *head;
    int rc;

    memcpy(to, p->data, SIGNATURE);
    head = to + SIGNATURE;
    to = put_chunk(head, "IHDR", p->data + SIGNATURE + 8, 13);
    if (p->colour == PALETTE && p->palette_size >= entries) {
        to = put_chunk(to, "PLTE", p->palette, entries);
    } else if (p->colour == PALETTE) {
        head[8 + 9] = GREY;
        clean->palette = p->palette;
        clean->colours = (unsigned)(p->palette_size / 3);
    }
    to = put32(to, (uint32_t)stream);
    memcpy(to, "IDAT", 4);
    memcpy(to + 4, zlib_head, sizeof zlib_head);
    rc = inflate_pixels(p, z, to + 4 + sizeof zlib_head, size);
    if (!rc)
        rc = check_filters(p, to + 4 + sizeof zlib_head);
    if (rc)
        return rc;
    memset(to + stream, 0, 8); /* the checksums of stream and chunk */
    to = put_chunk(to + stream + 8, "IEND", NULL, 0);
    clean->size = (size_t)(to - clean->bytes);
    return NN_OK;
}

static int verify_pixels(struct png *p, struct nni_clean *clean)
{
    z_stream z = { .zalloc = nni_zlib_alloc, .zfree = nni_zlib_free };
    uint64_t size = inflated_size(p->info);
    uint64_t stream = 2 + size + (size + STORED - 1) / STORED * STORED_HEAD + 4;
    int rc;

    /* Deflate cannot do better than 1032:1, so a lying header needs no inflating to be found out. */
    if (size / 1032 > p->pixel_bytes)
        return nni_fail(p->why, NN_EFORMAT,
                        "PNG: truncated: %zu bytes of pixel data cannot hold %lld x %lld pixels; "
                        "get the file again",
                        p->pixel_bytes, (long long)p->info->width, (long long)p->info->height);
    if (stream > MOST_STREAM)
        return nni_fail(p->why, NN_EUNSUPPORTED,
                        "PNG: %lld x %lld pixels of this kind are more than 1 GiB, which is not supported",
                        (long long)p->info->width, (long long)p->info->height);
    *clean = (struct nni_clean){ .bytes = nni_alloc(SIGNATURE + 4 * AROUND + 13 + PALETTE_BYTES + stream) };
    rc = clean->bytes ? inflateInit(&z) : Z_MEM_ERROR;
    if (!rc) {
        rc = copy(p, &z, size, stream, clean);
        (void)inflateEnd(&z);
    } else {
        rc = no_memory(p);
    }
    if (rc) {
        nni_free(clean->bytes);
        *clean = (struct nni_clean){ .bytes = NULL };
    }
    return rc;
}

int nni_png_check(const uint8_t *data, size_t size, nn_image_info *info, const nn_decode_opts *limit,
                  struct nni_clean *clean, nn_message *why)
{
    struct png p = { .data = data, .size = size, .at = SIGNATURE, .info = info, .why = why };
    int rc;

    *info = (nn_image_info){ .format = NN_IMAGE_PNG, .orientation = 1 };
    rc = header(&p);
    if (!rc && limit)
        rc = nni_image_limits(info, limit, why);
    if (!rc)
        rc = chunks(&p, !limit);
    if (rc || !limit)
        return rc;
    if (p.colour == PALETTE && !p.palette)
        return damaged(&p, p.first_pixels, "pixel data without their palette");
    return verify_pixels(&p, clean);
}

int nni_png_colours(uint8_t *rgb, const nn_image_info *info, const struct nni_clean *clean, nn_message *why)
{
    /* Grey of fewer than 8 bits is spread over 0..255. */
    unsigned step = 255u / ((1u << info->bit_depth) - 1);

    for (int64_t i = 0; i < info->width * info->height; i++) {
        unsigned index = rgb[3 * i] / step;

        if (index >= clean->colours)
            return nni_fail(
                why, NN_EFORMAT,
                "PNG: damaged: pixel %lld,%lld has the index %u of a palette of %u colours, which "
                "are 0 to %u; get the file again",
                (long long)(i % info->width), (long long)(i / info->width), index, clean->colours,
                clean->colours - 1);
        memcpy(rgb + 3 * i, clean->palette + 3 * (size_t)index, 3);
    }
    return NN_OK;
}
