/* SPDX-License-Identifier: MIT
 *
 * The decoder against files of every kind it promises, and against damage of every kind a file can have. PNG
 * files are written here, so each colour type, depth, filter and interlacing has an expectation computed
 * apart from the decoder; JPEG files come from Pillow (jpegs.h). Every allocation is counted: nothing may
 * leak, whatever fails.
 */
#include "vision/vision.h"
#include "suite.h"

#include <nn/vision.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "jpegs.h"

/* ------------------------------------------------------------------------------------- counting allocator */

static struct nni_seam real;
static int64_t live_blocks, live_bytes, peak_bytes, calls, fail_at;

static void *counting_alloc(size_t size)
{
    size_t *memory;

    if (++calls == fail_at)
        return NULL;
    memory = real.alloc(size + 64);
    if (!memory)
        return NULL;
    memory[0] = size;
    live_blocks++;
    live_bytes += (int64_t)size;
    peak_bytes = live_bytes > peak_bytes ? live_bytes : peak_bytes;
    return (char *)memory + 64;
}

static void counting_free(void *memory)
{
    size_t *block = (size_t *)(void *)((char *)memory - 64);

    live_blocks--;
    live_bytes -= (int64_t)block[0];
    real.free(block);
}

static void setup(void)
{
    real = nni_seam;
    nni_seam.alloc = counting_alloc;
    nni_seam.free = counting_free;
    live_blocks = live_bytes = peak_bytes = calls = fail_at = 0;
}

static void teardown(void)
{
    nni_seam = real;
    ck_assert_int_eq(live_blocks, 0);
}

/* --------------------------------------------------------------------------------------------- PNG writer */

struct bytes {
    uint8_t *at;
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

static void put_byte(struct bytes *b, unsigned v) { put(b, &(uint8_t){ (uint8_t)v }, 1); }

static void put32(struct bytes *b, uint32_t v)
{
    for (int i = 24; i >= 0; i -= 8)
        put_byte(b, v >> i & 255);
}

static void put_chunk(struct bytes *b, const char *type, const void *data, size_t size)
{
    size_t begin;

    put32(b, (uint32_t)size);
    begin = b->size;
    put(b, type, 4);
    put(b, data, size);
    put32(b, (uint32_t)crc32(0, b->at + begin, (uInt)(size + 4)));
}

struct spec {
    uint32_t width, height;
    int depth, colour, interlaced, palette; /* palette: entries */
};

static int channels_of(int colour) { return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1; }

/* Sample c of pixel (x,y), over the whole range of the depth. */
static unsigned sample(const struct spec *s, uint32_t x, uint32_t y, int c)
{
    unsigned v = (x * 7919u + y * 104729u + (unsigned)c * 1299709u) * 2654435761u >> 7;

    if (s->colour == 3)
        return v % (unsigned)(s->palette < 1 << s->depth ? s->palette : 1 << s->depth);
    return v & ((1u << s->depth) - 1);
}

static void palette_entry(unsigned index, uint8_t rgb[3])
{
    for (unsigned c = 0; c < 3; c++)
        rgb[c] = (uint8_t)((index + 1) * (37 + 50 * c));
}

static uint8_t paeth(int a, int b, int c)
{
    int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);

    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* One (sub)image, its rows with the five filters in turn. */
static void put_rows(struct bytes *out, const struct spec *s, uint32_t x0, uint32_t y0, uint32_t dx,
                     uint32_t dy)
{
    uint32_t w = s->width > x0 ? (s->width - x0 + dx - 1) / dx : 0,
             h = s->height > y0 ? (s->height - y0 + dy - 1) / dy : 0;
    int channels = channels_of(s->colour), bits = channels * s->depth;
    size_t n = ((size_t)w * (size_t)bits + 7) / 8, step = bits < 8 ? 1 : (size_t)bits / 8;
    uint8_t *row = calloc(n + 1, 1), *above = calloc(n + 1, 1);

    for (uint32_t y = 0; y < h && w; y++) {
        int filter = (int)(y % 5);
        uint8_t *keep = above;

        memset(row, 0, n);
        for (uint32_t x = 0; x < w; x++) {
            for (int c = 0; c < channels; c++) {
                unsigned v = sample(s, x0 + x * dx, y0 + y * dy, c);
                size_t bit = ((size_t)x * (size_t)channels + (size_t)c) * (size_t)s->depth;

                if (s->depth == 16)
                    row[bit / 8] = (uint8_t)(v >> 8), row[bit / 8 + 1] = (uint8_t)v;
                else
                    row[bit / 8] = (uint8_t)(row[bit / 8] | v << (8 - s->depth - (int)(bit % 8)));
            }
        }
        put_byte(out, (unsigned)filter);
        for (size_t i = 0; i < n; i++) {
            int left = i >= step ? row[i - step] : 0, up = above[i], corner = i >= step ? above[i - step] : 0;
            int guess[5] = { 0, left, up, (left + up) / 2, paeth(left, up, corner) };

            put_byte(out, (unsigned)(row[i] - guess[filter]) & 255);
        }
        above = row;
        row = keep;
    }
    free(row);
    free(above);
}

static void pack(struct bytes *out, const struct bytes *raw)
{
    uLongf size = compressBound((uLong)raw->size);
    uint8_t *packed = malloc(size);

    ck_assert_int_eq(compress2(packed, &size, raw->at, (uLong)raw->size, 9), Z_OK);
    put(out, packed, size);
    free(packed);
}

static void put_head(struct bytes *png, const struct spec *s)
{
    struct bytes head = { 0 };

    put(png, "\x89PNG\r\n\x1a\n", 8);
    put32(&head, s->width);
    put32(&head, s->height);
    put(&head, (uint8_t[]){ (uint8_t)s->depth, (uint8_t)s->colour, 0, 0, (uint8_t)s->interlaced }, 5);
    put_chunk(png, "IHDR", head.at, head.size);
    free(head.at);
}

static struct bytes png_pixels(const struct spec *s)
{
    static const uint8_t pass[7][4] = { { 0, 0, 8, 8 }, { 4, 0, 8, 8 }, { 0, 4, 4, 8 }, { 2, 0, 4, 4 },
                                        { 0, 2, 2, 4 }, { 1, 0, 2, 2 }, { 0, 1, 1, 2 } };
    struct bytes raw = { 0 }, packed = { 0 };

    if (!s->interlaced)
        put_rows(&raw, s, 0, 0, 1, 1);
    for (int i = 0; s->interlaced && i < 7; i++)
        put_rows(&raw, s, pass[i][0], pass[i][1], pass[i][2], pass[i][3]);
    pack(&packed, &raw);
    free(raw.at);
    return packed;
}

static void put_palette(struct bytes *png, int entries)
{
    uint8_t rgb[768];

    for (int i = 0; i < entries; i++)
        palette_entry((unsigned)i, rgb + 3 * i);
    put_chunk(png, "PLTE", rgb, 3 * (size_t)entries);
}

/* The colour of the first pixel is to be invisible; or each entry of the palette half so. */
static void put_transparency(struct bytes *png, const struct spec *s)
{
    struct bytes data = { 0 };

    for (int i = 0; s->colour == 3 && i < s->palette; i++)
        put_byte(&data, 128);
    for (int c = 0; s->colour != 3 && c < channels_of(s->colour); c++) {
        put_byte(&data, sample(s, 0, 0, c) >> 8);
        put_byte(&data, sample(s, 0, 0, c) & 255);
    }
    put_chunk(png, "tRNS", data.at, data.size);
    free(data.at);
}

static struct bytes png_with(const struct spec *s, bool transparency)
{
    struct bytes out = { 0 }, data = png_pixels(s);

    put_head(&out, s);
    if (s->colour == 3)
        put_palette(&out, s->palette);
    if (transparency)
        put_transparency(&out, s);
    put_chunk(&out, "tEXt", "Comment\0made by a test", 22);
    put_chunk(&out, "IDAT", data.at, data.size / 2);
    put_chunk(&out, "IDAT", NULL, 0);
    put_chunk(&out, "IDAT", data.at + data.size / 2, data.size - data.size / 2);
    put_chunk(&out, "IEND", NULL, 0);
    free(data.at);
    return out;
}

static struct bytes png(const struct spec *s) { return png_with(s, false); }

static void expected(const struct spec *s, uint32_t x, uint32_t y, uint8_t rgb[3])
{
    if (s->colour == 3) {
        palette_entry(sample(s, x, y, 0), rgb);
        return;
    }
    for (int c = 0; c < 3; c++) {
        unsigned v = sample(s, x, y, s->colour & 2 ? c : 0);

        rgb[c] = (uint8_t)(s->depth == 16 ? v >> 8 : v * 255 / ((1u << s->depth) - 1));
    }
}

/* ------------------------------------------------------------------------------------------------ helpers */

static int decode(nn_image *out, const struct bytes *b, nn_message *why)
{
    /* A block of exactly this size lets a sanitizer see every read beyond the end. */
    uint8_t *copy = malloc(b->size ? b->size : 1);
    int rc;

    if (b->size)
        memcpy(copy, b->at, b->size);
    rc = nn_image_decode(out, copy, b->size, NULL, why);
    free(copy);
    return rc;
}

static void refused(const struct bytes *b, int rc, const char *text)
{
    nn_image image;
    nn_message why = { .text = "" };

    int got = decode(&image, b, &why);

    ck_assert_msg(got == rc, "got %d (%s), want %d (%s)", got, why.text, rc, text);
    ck_assert_ptr_null(image.rgb);
    ck_assert_msg(strstr(why.text, text) != NULL, "\"%s\" does not mention \"%s\"", why.text, text);
}

static const struct {
    const char *name;
    const uint8_t *file;
    size_t size;
    const uint8_t *rgb;
    int tolerance, channels, progressive;
} jpegs[] = {
    { "baseline_444", baseline_444, sizeof baseline_444, baseline_444_rgb, 3, 3, 0 },
    { "baseline_420", baseline_420, sizeof baseline_420, baseline_420_rgb, 3, 3, 0 },
    { "progressive", progressive, sizeof progressive, progressive_rgb, 3, 3, 1 },
    { "grey", grey, sizeof grey, grey_rgb, 1, 1, 0 },
    { "cmyk", cmyk, sizeof cmyk, cmyk_rgb, 3, 4, 0 },
    { "restart", restart, sizeof restart, restart_rgb, 3, 3, 0 },
};
enum { JPEGS = sizeof jpegs / sizeof jpegs[0], W = 21, H = 13 };

static struct bytes jpeg(int i)
{
    struct bytes b = { 0 };

    put(&b, jpegs[i].file, jpegs[i].size);
    return b;
}

/* Offset of the n-th marker `m` (from 0). */
static size_t marker(const struct bytes *b, unsigned m, int n)
{
    for (size_t i = 0; i + 1 < b->size; i++)
        if (b->at[i] == 0xFF && b->at[i + 1] == m && n-- == 0)
            return i;
    ck_abort_msg("no marker %02x", m);
    return 0;
}

static void remove_bytes(struct bytes *b, size_t at, size_t n)
{
    memmove(b->at + at, b->at + at + n, b->size - at - n);
    b->size -= n;
}

static void insert_bytes(struct bytes *b, size_t at, const void *data, size_t n)
{
    struct bytes out = { 0 };

    put(&out, b->at, at);
    put(&out, data, n);
    put(&out, b->at + at, b->size - at);
    free(b->at);
    *b = out;
}

/* --------------------------------------------------------------------------------------------------- PNG */

START_TEST(png_every_kind)
{
    static const int kinds[][2] = { { 0, 1 }, { 0, 2 },  { 0, 4 },  { 0, 8 }, { 0, 16 },
                                    { 2, 8 }, { 2, 16 }, { 3, 1 },  { 3, 2 }, { 3, 4 },
                                    { 3, 8 }, { 4, 8 },  { 4, 16 }, { 6, 8 }, { 6, 16 } };
    static const uint32_t sizes[][2] = { { 1, 1 }, { 3, 2 }, { 17, 11 }, { 64, 9 }, { 5, 33 } };

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++)
            for (int variant = 0; variant < 4; variant++) {
                int interlaced = variant & 1;
                struct spec s = { sizes[n][0], sizes[n][1], kinds[k][1], kinds[k][0], interlaced, 200 };
                struct bytes b;
                nn_image image;
                nn_image_info info;
                nn_message why = { .text = "" };

                s.palette = s.colour == 3 && s.depth < 8 ? 1 << s.depth : s.palette;
                b = png_with(&s, variant > 1 && s.colour < 4);
                ck_assert_msg(decode(&image, &b, &why) == NN_OK, "%s", why.text);
                ck_assert(image.width == s.width && image.height == s.height);
                for (uint32_t y = 0; y < s.height; y++)
                    for (uint32_t x = 0; x < s.width; x++) {
                        uint8_t want[3], *got = image.rgb + y * image.stride + 3 * x;

                        expected(&s, x, y, want);
                        ck_assert_msg(memcmp(got, want, 3) == 0,
                                      "colour %d depth %d variant %d at %u,%u: %d %d %d, want %d %d %d",
                                      s.colour, s.depth, variant, x, y, got[0], got[1], got[2], want[0],
                                      want[1], want[2]);
                    }
                ck_assert_int_eq(nni_image_probe(&info, b.at, b.size, &why), NN_OK);
                ck_assert(info.format == NN_IMAGE_PNG && info.width == s.width && info.height == s.height);
                ck_assert(info.bit_depth == s.depth && info.channels == channels_of(s.colour));
                ck_assert(info.progressive == interlaced && info.orientation == 1);
                nn_image_free(&image);
                ck_assert_ptr_null(image.rgb);
                free(b.at);
            }
}
END_TEST

static const struct spec small = { 9, 7, 8, 2, 0, 0 };

START_TEST(png_checksums)
{
    struct bytes b = png(&small);
    size_t chunks = 0;

    /* One bit of each chunk's data, or of its checksum when it has none. */
    for (size_t at = 8; at + 12 <= b.size; chunks++) {
        size_t length = (size_t)b.at[at + 2] << 8 | b.at[at + 3];

        b.at[at + 8 + length / 2] ^= 4;
        refused(&b, NN_EFORMAT, at == 8 ? "checksum at byte 8" : "checksum");
        b.at[at + 8 + length / 2] ^= 4;
        at += 12 + length;
    }
    ck_assert_uint_eq(chunks, 6);
    free(b.at);
}
END_TEST

/* A file around `packed` pixel data. */
static struct bytes wrap(const struct spec *s, const uint8_t *packed, size_t size)
{
    struct bytes b = { 0 };

    put_head(&b, s);
    put_chunk(&b, "IDAT", packed, size);
    put_chunk(&b, "IEND", NULL, 0);
    return b;
}

START_TEST(png_pixel_data)
{
    struct bytes data = png_pixels(&small), raw = { 0 }, more = { 0 }, b;
    struct spec taller = small, filter = small;

    data.at[data.size - 1] ^= 1;
    b = wrap(&small, data.at, data.size);
    refused(&b, NN_EFORMAT, "incorrect data check");
    free(b.at);
    data.at[data.size - 1] ^= 1;

    b = wrap(&small, data.at, data.size - 6);
    refused(&b, NN_EFORMAT, "truncated");
    free(b.at);

    taller.height++;
    b = wrap(&taller, data.at, data.size);
    refused(&b, NN_EFORMAT, "truncated");
    free(b.at);

    taller.height -= 2;
    b = wrap(&taller, data.at, data.size);
    refused(&b, NN_EFORMAT, "more than the declared 9 x 6");
    free(b.at);

    put_rows(&raw, &filter, 0, 0, 1, 1);
    for (size_t y = 0; y < 7; y += 6) {
        size_t at = y * raw.size / 7;
        char want[64];

        raw.at[at] += 9;
        pack(&more, &raw);
        b = wrap(&filter, more.at, more.size);
        (void)snprintf(want, sizeof want, "row %zu of the pixel data at byte 33 has the filter %d", y,
                       raw.at[at]);
        refused(&b, NN_EFORMAT, want);
        raw.at[at] -= 9;
        free(b.at);
        free(more.at);
        more = (struct bytes){ 0 };
    }
    free(raw.at);
    free(data.at);
}
END_TEST

START_TEST(png_structure)
{
    struct bytes b = png(&small), data = png_pixels(&small);
    struct spec s = small;
    nn_image image;

    put(&b, "trailing garbage", 16);
    ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
    nn_image_free(&image);
    b.size -= 16;
    b.size -= 12;
    refused(&b, NN_EFORMAT, "truncated");
    put_chunk(&b, "ABCD", "x", 1);
    refused(&b, NN_EUNSUPPORTED, "\"ABCD\"");
    b.size -= 13;
    put_chunk(&b, "tEXt", "x", 1);
    put_chunk(&b, "IDAT", "x", 1);
    refused(&b, NN_EFORMAT, "two places");
    free(b.at);

    s.colour = 3;
    b = wrap(&s, data.at, data.size);
    refused(&b, NN_EFORMAT, "palette");
    free(b.at);
    s.colour = 5;
    b = wrap(&s, data.at, data.size);
    refused(&b, NN_EFORMAT, "colour type");
    free(b.at);
    s = small;
    s.depth = 4;
    b = wrap(&s, data.at, data.size);
    refused(&b, NN_EFORMAT, "colour type");
    free(b.at);
    s = small;
    s.width = 0;
    b = wrap(&s, data.at, data.size);
    refused(&b, NN_EFORMAT, "impossible header");
    free(b.at);
    b = (struct bytes){ 0 };
    put(&b, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&b, "CgBI", "\x50\0\x20\2", 4);
    refused(&b, NN_EUNSUPPORTED, "Apple");
    free(b.at);
    free(data.at);
}
END_TEST

/* More colours than the depth has indices. */
START_TEST(png_palette_too_long)
{
    struct spec s = { 40, 40, 2, 3, 0, 200 };
    struct bytes b = png(&s);
    nn_image image;

    ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
    for (uint32_t i = 0; i < s.width * s.height; i++) {
        uint8_t want[3];

        palette_entry(sample(&s, i % s.width, i / s.width, 0), want);
        ck_assert_mem_eq(image.rgb + i / s.width * image.stride + 3 * (i % s.width), want, 3);
    }
    nn_image_free(&image);
    free(b.at);
}
END_TEST

/* Of every depth, also where the last bits of a row are no pixel. */
START_TEST(png_palette_index_beyond)
{
    static const int depths[] = { 2, 4, 8 };

    for (int i = 0; i < 6; i++) {
        struct spec s = { 41, 7, depths[i / 2], 3, i % 2, 1 << depths[i / 2] }, shorter = s;
        struct bytes data = png_pixels(&s), b = { 0 };
        nn_image image;
        int used = 0;

        for (uint32_t k = 0; k < s.width * s.height; k++) {
            int index = (int)sample(&s, k % s.width, k / s.width, 0);

            used = index >= used ? index + 1 : used;
        }
        for (int lack = 0; lack < 2; lack++) {
            shorter.palette = used - lack;
            put_head(&b, &s);
            put_palette(&b, shorter.palette);
            put_chunk(&b, "IDAT", data.at, data.size);
            put_chunk(&b, "IEND", NULL, 0);
            if (lack) {
                char text[64];

                (void)snprintf(text, sizeof text, "has the index %d of a palette of %d colours", used - 1,
                               used - 1);
                refused(&b, NN_EFORMAT, text);
            } else {
                ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
                for (uint32_t k = 0; k < s.width * s.height; k++) {
                    uint8_t want[3];

                    palette_entry(sample(&s, k % s.width, k / s.width, 0), want);
                    ck_assert_mem_eq(image.rgb + 3 * k, want, 3);
                }
                nn_image_free(&image);
            }
            free(b.at);
            b = (struct bytes){ 0 };
        }
        free(data.at);
    }
}
END_TEST

START_TEST(png_bombs)
{
    struct spec one = { 1, 1, 8, 2, 0, 0 }, huge = { 60000, 60000, 1, 0, 0, 0 },
                large = { 16000, 16000, 8, 2, 0, 0 };
    struct spec lying = { 7000, 7000, 8, 2, 0, 0 };
    struct bytes packed = { 0 }, b;
    z_stream z = { 0 };
    uint8_t zeros[1 << 14] = { 0 }, out[1 << 14];
    double start;

    /* 600 MiB of zeros behind a header that says 1x1. */
    ck_assert_int_eq(deflateInit(&z, 9), Z_OK);
    for (int i = 0; i < 38400; i++) {
        z.next_in = zeros;
        z.avail_in = sizeof zeros;
        do {
            z.next_out = out;
            z.avail_out = sizeof out;
            ck_assert_int_ne(deflate(&z, i == 38399 ? Z_FINISH : Z_NO_FLUSH), Z_STREAM_ERROR);
            put(&packed, out, sizeof out - z.avail_out);
        } while (z.avail_out == 0);
    }
    (void)deflateEnd(&z);
    b = wrap(&one, packed.at, packed.size);
    peak_bytes = 0;
    start = nni_seconds();
    refused(&b, NN_EFORMAT, "more than the declared 1 x 1");
    ck_assert_double_lt(nni_seconds() - start, 0.2);
    ck_assert_int_lt(peak_bytes, 1 << 20);
    free(b.at);
    free(packed.at);

    peak_bytes = 0;
    b = wrap(&huge, (const uint8_t *)"tiny", 4);
    refused(&b, NN_EFORMAT, "60000 x 60000");
    free(b.at);
    b = wrap(&large, (const uint8_t *)"tiny", 4);
    refused(&b, NN_EFORMAT, "max_pixels");
    free(b.at);
    b = wrap(&lying, (const uint8_t *)"tiny", 4);
    refused(&b, NN_EFORMAT, "cannot hold");
    free(b.at);
    ck_assert_int_lt(peak_bytes, 1 << 20);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- JPEG
 */

START_TEST(jpeg_like_pillow)
{
    const size_t i = (size_t)_i;
    struct bytes b = jpeg(_i);
    nn_image image;
    nn_image_info info;
    nn_message why = { .text = "" };

    ck_assert_msg(decode(&image, &b, &why) == NN_OK, "%s: %s", jpegs[i].name, why.text);
    ck_assert(image.width == W && image.height == H);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W * 3; x++) {
            int got = image.rgb[(size_t)y * image.stride + (size_t)x], want = jpegs[i].rgb[y * W * 3 + x];

            ck_assert_msg(abs(got - want) <= jpegs[i].tolerance, "%s: %d,%d: %d, want %d", jpegs[i].name,
                          x / 3, y, got, want);
        }
    nn_image_free(&image);
    ck_assert_int_eq(nni_image_probe(&info, b.at, b.size, &why), NN_OK);
    ck_assert(info.format == NN_IMAGE_JPEG && info.width == W && info.height == H && info.bit_depth == 8);
    ck_assert(info.channels == jpegs[i].channels && info.progressive == jpegs[i].progressive &&
              info.orientation == 1);
    put(&b, "trailing garbage", 16);
    ck_assert_int_eq(decode(&image, &b, &why), NN_OK);
    nn_image_free(&image);
    free(b.at);
}
END_TEST

/* Where pixel (x,y) of the upright image lies in the stored one, from the words of the EXIF standard: which
 * side of the picture row 0 and column 0 are. */
static void stored_at(int orientation, int64_t x, int64_t y, int64_t w, int64_t h, int64_t *sx, int64_t *sy)
{
    switch (orientation) {
    case 2: *sx = w - 1 - x, *sy = y; break;         /* top, right */
    case 3: *sx = w - 1 - x, *sy = h - 1 - y; break; /* bottom, right */
    case 4: *sx = x, *sy = h - 1 - y; break;         /* bottom, left */
    case 5: *sx = y, *sy = x; break;                 /* left, top */
    case 6: *sx = y, *sy = h - 1 - x; break;         /* right, top */
    case 7: *sx = w - 1 - y, *sy = h - 1 - x; break; /* right, bottom */
    case 8: *sx = w - 1 - y, *sy = x; break;         /* left, bottom */
    default: *sx = x, *sy = y; break;
    }
}

static void check_orientation(struct bytes *b, uint8_t *tag)
{
    const nn_decode_opts stored = { .ignore_orientation = 1 };
    nn_image plain, turned, ignored;

    *tag = 1;
    ck_assert_int_eq(decode(&plain, b, NULL), NN_OK);
    for (int o = 0; o <= 9; o++) {
        nn_image_info info;

        *tag = (uint8_t)o;
        ck_assert_int_eq(nni_image_probe(&info, b->at, b->size, NULL), NN_OK);
        ck_assert_int_eq(info.orientation, o < 1 || o > 8 ? 1 : o);
        ck_assert_int_eq(decode(&turned, b, NULL), NN_OK);
        ck_assert_int_eq(turned.width, info.orientation >= 5 ? plain.height : plain.width);
        ck_assert_int_eq(turned.height, info.orientation >= 5 ? plain.width : plain.height);
        for (int64_t y = 0; y < turned.height; y++)
            for (int64_t x = 0; x < turned.width; x++) {
                int64_t sx, sy;

                stored_at(o, x, y, plain.width, plain.height, &sx, &sy);
                ck_assert_mem_eq(turned.rgb + (size_t)y * turned.stride + 3 * x,
                                 plain.rgb + (size_t)sy * plain.stride + 3 * sx, 3);
            }
        ck_assert_int_eq(nn_image_decode(&ignored, b->at, b->size, &stored, NULL), NN_OK);
        ck_assert_int_eq(ignored.width, plain.width);
        ck_assert_mem_eq(ignored.rgb, plain.rgb, plain.stride * (size_t)plain.height);
        nn_image_free(&turned);
        nn_image_free(&ignored);
    }
    nn_image_free(&plain);
}

START_TEST(orientation_jpeg)
{
    struct bytes b = jpeg(0);
    size_t at = marker(&b, 0xE1, 0) + 10;

    /* Pillow writes big-endian with the orientation as the first tag. */
    ck_assert_mem_eq(b.at + at, "MM\0*\0\0\0\10", 8);
    ck_assert_mem_eq(b.at + at + 10, "\1\x12\0\3\0\0\0\1", 8);
    check_orientation(&b, b.at + at + 19);
    free(b.at);
}
END_TEST

START_TEST(orientation_little_endian_and_damaged)
{
    uint8_t exif[] = { 0xFF, 0xE1, 0, 46, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0,
                       0,    0,    2, 0,  0,   1,   4,   0,   1, 0, 0,   0,   9,  9, 9, 9, /* another tag */
                       0x12, 1,    3, 0,  1,   0,   0,   0,   6, 0, 0,   0,   0,  0, 0, 0 };
    struct bytes b = jpeg(3);
    nn_image_info info;

    insert_bytes(&b, 2, exif, sizeof exif);
    ck_assert_int_eq(nni_image_probe(&info, b.at, b.size, NULL), NN_OK);
    ck_assert_int_eq(info.orientation, 6);
    /* Any single changed byte gives 1..8 and no error (the segment length aside). */
    for (size_t i = 6; i < sizeof exif; i++)
        for (int v = 0; v < 256; v += 5) {
            uint8_t keep = b.at[i];
            nn_image image;

            b.at[i] = (uint8_t)v;
            ck_assert_int_eq(nni_image_probe(&info, b.at, b.size, NULL), NN_OK);
            ck_assert(info.orientation >= 1 && info.orientation <= 8);
            ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
            nn_image_free(&image);
            b.at[i] = keep;
        }
    free(b.at);
}
END_TEST

START_TEST(orientation_png)
{
    uint8_t exif[] = { 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0 };
    struct bytes data = png_pixels(&small);

    for (int o = 1; o <= 8; o++) {
        struct bytes b = { 0 };
        nn_image image;

        exif[19] = (uint8_t)o;
        put_head(&b, &small);
        put_chunk(&b, "eXIf", exif, sizeof exif);
        put_chunk(&b, "IDAT", data.at, data.size);
        put_chunk(&b, "IEND", NULL, 0);
        ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
        for (int64_t y = 0; y < image.height; y++)
            for (int64_t x = 0; x < image.width; x++) {
                int64_t sx, sy;
                uint8_t want[3];

                stored_at(o, x, y, small.width, small.height, &sx, &sy);
                expected(&small, (uint32_t)sx, (uint32_t)sy, want);
                ck_assert_mem_eq(image.rgb + (size_t)y * image.stride + 3 * x, want, 3);
            }
        nn_image_free(&image);
        free(b.at);
    }
    free(data.at);
}
END_TEST

START_TEST(jpeg_flavours)
{
    static const struct {
        uint8_t sof;
        const char *text;
    } kinds[] = { { 0xC3, "lossless" },   { 0xC5, "hierarchical" }, { 0xC7, "hierarchical" },
                  { 0xC9, "arithmetic" }, { 0xCA, "arithmetic" },   { 0xCB, "arithmetic" } };
    struct bytes b = jpeg(0);
    size_t sof = marker(&b, 0xC0, 0);
    nn_image image;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        b.at[sof + 1] = kinds[i].sof;
        refused(&b, NN_EUNSUPPORTED, kinds[i].text);
    }
    b.at[sof + 1] = 0xC1;
    ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
    nn_image_free(&image);
    b.at[sof + 1] = 0xC0;
    b.at[sof + 4] = 12;
    refused(&b, NN_EUNSUPPORTED, "12-bit");
    b.at[sof + 4] = 8;
    b.at[sof + 6] = 0;
    refused(&b, NN_EUNSUPPORTED, "height");
    b.at[sof + 6] = H;
    b.at[sof + 11] = 0x31;
    b.at[sof + 14] = 0x21;
    refused(&b, NN_EUNSUPPORTED, "fractional");
    free(b.at);

    /* Four components without Adobe's marker are CMYK all the same. */
    b = jpeg(4);
    remove_bytes(&b, marker(&b, 0xEE, 0), 16);
    ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
    for (int i = 0; i < W * H * 3; i++)
        ck_assert_int_le(abs(image.rgb[i] - cmyk_rgb[i]), 3);
    nn_image_free(&image);
    free(b.at);
}
END_TEST

START_TEST(jpeg_markers)
{
    struct bytes b = jpeg(0);
    size_t scan = marker(&b, 0xDA, 0), data = scan + 2 + 12, at;
    nn_image image;

    b.size -= 2;
    refused(&b, NN_EFORMAT, "truncated");
    put(&b, "\0\0\0\xFF\xFF\xD9", 6); /* camera padding and fill bytes are no damage */
    ck_assert_int_eq(decode(&image, &b, NULL), NN_OK);
    nn_image_free(&image);
    b.size = data + 20;
    put(&b, "\xFF\xD9", 2);
    refused(&b, NN_EFORMAT, "too early");
    free(b.at);

    b = jpeg(0);
    insert_bytes(&b, b.size - 2, "extra pixels", 12);
    refused(&b, NN_EFORMAT, "more entropy-coded data");
    free(b.at);

    b = jpeg(0);
    remove_bytes(&b, scan, b.size - 2 - scan);
    refused(&b, NN_EFORMAT, "before any pixels");
    free(b.at);

    b = jpeg(0);
    insert_bytes(&b, data + 10, "\xFF\xD3", 2);
    refused(&b, NN_EFORMAT, "scan 1");
    free(b.at);

    b = jpeg(5);
    b.at[marker(&b, 0xD1, 0) + 1] = 0xD2;
    refused(&b, NN_EFORMAT, "restart marker");
    free(b.at);

    b = jpeg(2);
    scan = marker(&b, 0xDA, 0);
    for (at = scan; b.at[at] != 0xFF || b.at[at + 1] != 0xC4;)
        at++;
    remove_bytes(&b, scan, at - scan);
    refused(&b, NN_EFORMAT, "begins without the mean");
    free(b.at);

    b = jpeg(0);
    remove_bytes(&b, marker(&b, 0xDB, 0), 69);
    refused(&b, NN_EFORMAT, "quantisation table");
    free(b.at);
}
END_TEST

/* A progressive 8x8 grey image with a code for "nothing" alone, and `scans` scans after the first. */
static struct bytes scan_bomb(int scans)
{
    static const uint8_t lengths[16] = { 1 };
    struct bytes b = { 0 };
    int done = 0;

    put(&b, "\xFF\xD8\xFF\xDB\0\x43\0", 7);
    for (int i = 0; i < 64; i++)
        put_byte(&b, 1);
    put(&b, "\xFF\xC2\0\x0B\x08\0\x08\0\x08\1\1\x11\0", 13);
    for (unsigned kind = 0; kind < 2; kind++) {
        put(&b, "\xFF\xC4\0\x14", 4);
        put_byte(&b, kind << 4);
        put(&b, lengths, 16);
        put_byte(&b, 0);
    }
    put(&b, "\xFF\xDA\0\x08\1\1\0\0\0\0\x7F", 11);
    for (unsigned low = 13;; low--) {
        for (unsigned k = 1; k < 64; k++) {
            uint8_t scan[] = { 0xFF, 0xDA, 0, 8, 1, 1, 0, (uint8_t)k, (uint8_t)k, 0, 0x7F };

            if (done++ == scans) {
                put(&b, "\xFF\xD9", 2);
                return b;
            }
            scan[9] = (uint8_t)((low == 13 ? 0 : low + 1) << 4 | low);
            put(&b, scan, sizeof scan);
        }
    }
}

START_TEST(jpeg_scans)
{
    struct bytes b = scan_bomb(255);
    nn_image image;
    nn_message why = { .text = "" };

    ck_assert_msg(decode(&image, &b, &why) == NN_OK, "%s", why.text);
    for (int i = 0; i < 8 * 8 * 3; i++)
        ck_assert_int_eq(image.rgb[i], 128);
    nn_image_free(&image);
    free(b.at);
    b = scan_bomb(256);
    refused(&b, NN_EFORMAT, "more than 256 scans");
    free(b.at);
    /* The same bits of the same coefficient twice. */
    b = scan_bomb(2);
    b.at[b.size - 2 - 11 + 7] = b.at[b.size - 2 - 11 + 8] = 1;
    refused(&b, NN_EFORMAT, "repeats or skips");
    free(b.at);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- damage
 */

static struct bytes victim(int i)
{
    struct spec s = { 19, 14, 8, 3, 1, 100 };

    return i < JPEGS ? jpeg(i) : png(i == JPEGS ? &small : &s);
}

START_TEST(truncation_is_an_error)
{
    struct bytes b = victim(_i);
    size_t whole = b.size;

    for (b.size = 0; b.size < whole; b.size++) {
        nn_image image;
        nn_image_info info;
        nn_message why = { .text = "" };
        int rc = decode(&image, &b, &why);

        ck_assert_msg(rc == NN_EFORMAT, "%zu of %zu bytes: %d %s", b.size, whole, rc, why.text);
        ck_assert_uint_gt(strlen(why.text), 10);
        rc = nni_image_probe(&info, b.at, b.size, &why);
        ck_assert(rc == NN_OK || rc == NN_EFORMAT);
    }
    free(b.at);
}
END_TEST

START_TEST(mutations_never_crash)
{
    struct bytes b = victim(_i);
    nni_stream stream = nni_stream_of(7, (uint64_t)_i);
    int accepted = 0;

    for (uint64_t n = 0; n < 2000; n++) {
        struct bytes m = { 0 };
        nn_image image;
        nn_message why = { .text = "" };
        uint32_t index = 0;
        int rc, changes = 1 + (int)nni_below(&stream, n, 0, &index, 4);

        put(&m, b.at, b.size);
        for (int i = 0; i < changes; i++) {
            size_t at = nni_below(&stream, n, 0, &index, (uint32_t)m.size);

            switch (nni_below(&stream, n, 0, &index, 4)) {
            case 0: m.at[at] = (uint8_t)nni_below(&stream, n, 0, &index, 256); break;
            case 1: m.at[at] ^= (uint8_t)(1u << nni_below(&stream, n, 0, &index, 8)); break;
            case 2: m.at[at] = nni_below(&stream, n, 0, &index, 2) ? 0xFF : 0; break;
            default: remove_bytes(&m, at, 1); break;
            }
        }
        if (_i >= JPEGS)
            /* Repair the checksums, or nothing behind them would be tested. */
            for (size_t at = 8; at + 12 <= m.size;) {
                size_t length = (size_t)m.at[at + 2] << 8 | m.at[at + 3];
                uint32_t crc;

                if (m.size - at - 12 < length || n % 4 == 0)
                    break;
                crc = (uint32_t)crc32(0, m.at + at + 4, (uInt)length + 4);
                for (size_t i = 0; i < 4; i++)
                    m.at[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
                at += 12 + length;
            }
        rc = decode(&image, &m, &why);
        ck_assert(rc == NN_OK || rc == NN_EFORMAT || rc == NN_EUNSUPPORTED);
        ck_assert(rc == NN_OK || strlen(why.text) > 10);
        accepted += rc == NN_OK;
        nn_image_free(&image);
        free(m.at);
    }
    free(b.at);
    ck_assert_int_lt(accepted, 2000);
}
END_TEST

/* What the entropy pass is for: single flipped bits inside the pixel data. stb_image alone accepts nearly
 * all. */
START_TEST(flipped_bits_are_found)
{
    struct bytes b = jpeg(_i);
    size_t begin = marker(&b, 0xDA, 0) + 14;
    int found = 0, total = 0;

    for (size_t at = begin; at + 2 < b.size; at++)
        for (int bit = 0; bit < 8; bit++, total++) {
            nn_image image;

            b.at[at] ^= (uint8_t)(1 << bit);
            found += decode(&image, &b, NULL) != NN_OK;
            nn_image_free(&image);
            b.at[at] ^= (uint8_t)(1 << bit);
        }
    ck_assert_msg(5 * found > total, "%s: only %d of %d flipped bits found", jpegs[_i].name, found, total);
    free(b.at);
}
END_TEST

START_TEST(no_memory)
{
    struct bytes b = victim(_i);
    int64_t n = 0;

    for (;;) {
        nn_image image;
        nn_message why = { .text = "" };
        int rc;

        calls = 0;
        fail_at = ++n;
        rc = decode(&image, &b, &why);
        if (rc == NN_OK) {
            nn_image_free(&image);
            break;
        }
        ck_assert_msg(rc == NN_ENOMEM, "allocation %lld: %d %s", (long long)n, rc, why.text);
        ck_assert_ptr_null(image.rgb);
        ck_assert_int_eq(live_blocks, 0);
    }
    ck_assert_int_gt(n, 4);
    fail_at = 0;
    free(b.at);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- others
 */

START_TEST(other_formats_have_names)
{
    static const struct {
        const char *bytes;
        size_t size;
        int rc;
        const char *text;
    } files[] = {
        { "", 0, NN_EFORMAT, "empty" },
        { "\xFF", 1, NN_EFORMAT, "truncated" },
        { "\x89PN", 3, NN_EFORMAT, "truncated" },
        { "\0\0\0\0\0\0\0\0", 8, NN_EFORMAT, "zero bytes" },
        { "RIFF\x10\0\0\0WEBPVP8 ", 16, NN_EUNSUPPORTED, "WebP" },
        { "GIF89a\1\0\1\0", 10, NN_EUNSUPPORTED, "GIF" },
        { "BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\2\0\0\0\2\0\0\0", 26, NN_EUNSUPPORTED, "BMP" },
        { "II*\0\x08\0\0\0", 8, NN_EUNSUPPORTED, "TIFF" },
        { "MM\0*\0\0\0\x08", 8, NN_EUNSUPPORTED, "TIFF" },
        { "\0\0\0\x18"
          "ftypheic",
          12, NN_EUNSUPPORTED, "HEIC" },
        { "\0\0\0\x1c"
          "ftypavif",
          12, NN_EUNSUPPORTED, "AVIF" },
        { "\n <!DOCTYPE html><html>", 23, NN_EUNSUPPORTED, "HTML" },
        { "<html><body>404", 15, NN_EUNSUPPORTED, "HTML" },
        { "version https://git-lfs.github.com/spec/v1\n", 43, NN_EUNSUPPORTED, "git-lfs" },
        { "PK\3\4", 4, NN_EUNSUPPORTED, "zip" },
        { "hello, world", 12, NN_EUNSUPPORTED, "68 65 6c 6c" },
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct bytes b = { (uint8_t *)(uintptr_t)files[i].bytes, files[i].size, 0 };
        nn_image_info info;
        nn_message why = { .text = "" };

        refused(&b, files[i].rc, files[i].text);
        ck_assert_int_eq(nni_image_probe(&info, b.at, b.size, &why), files[i].rc);
    }
}
END_TEST

static void write_file(const char *path, const struct bytes *b)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(b->at, 1, b->size, f), b->size);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(files)
{
    char folder[] = "/tmp/nn_decode_XXXXXX", path[64];
    struct bytes b = jpeg(0), comment = { 0 };
    nn_image image;
    nn_image_info info;
    nn_message why = { .text = "" };

    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/face.jpg", folder);
    write_file(path, &b);
    ck_assert_int_eq(nn_image_load(&image, path, NULL, &why), NN_OK);
    ck_assert(image.width == W && image.height == H);
    nn_image_free(&image);
    ck_assert_int_eq(nn_image_probe_file(&info, path, &why), NN_OK);
    ck_assert(info.width == W && info.height == H);

    /* The prefix that a probe reads ends inside comments. */
    put(&comment, "\xFF\xFE\xFF\xFF", 4);
    for (int i = 0; i < 65533; i++)
        put_byte(&comment, 'x');
    insert_bytes(&b, 2, comment.at, comment.size);
    insert_bytes(&b, 2, comment.at, comment.size);
    write_file(path, &b);
    ck_assert_int_eq(nn_image_probe_file(&info, path, &why), NN_OK);
    ck_assert(info.width == W && info.height == H);
    ck_assert_int_eq(nn_image_load(&image, path, NULL, &why), NN_OK);
    nn_image_free(&image);

    ck_assert_int_eq(nn_image_load(&image, path, &(nn_decode_opts){ .max_bytes = 1000 }, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, path));
    ck_assert_int_eq(nn_image_load(&image, path, &(nn_decode_opts){ .max_pixels = W * H - 1 }, &why),
                     NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, path));
    ck_assert_ptr_nonnull(strstr(why.text, "max_pixels"));
    ck_assert_int_eq(nn_image_load(&image, path, &(nn_decode_opts){ .max_pixels = W * H }, &why), NN_OK);
    nn_image_free(&image);

    b.size -= 9;
    write_file(path, &b);
    ck_assert_int_eq(nn_image_load(&image, path, NULL, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, path));
    ck_assert_ptr_nonnull(strstr(why.text, "byte"));
    ck_assert_ptr_nonnull(strstr(why.text, "get"));
    fail_at = calls + 1;
    ck_assert_int_eq(nn_image_load(&image, path, NULL, &why), NN_ENOMEM);
    fail_at = calls + 1;
    ck_assert_int_eq(nn_image_probe_file(&info, path, &why), NN_ENOMEM);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(nn_image_load(&image, path, NULL, &why), NN_ENOTFOUND);
    ck_assert_int_eq(nn_image_probe_file(&info, path, &why), NN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(why.text, path));
    ck_assert_int_eq(nn_image_load(&image, folder, NULL, &why), NN_EFORMAT);
    ck_assert_int_eq(nn_image_probe_file(&info, folder, &why), NN_EFORMAT);
    ck_assert_int_eq(rmdir(folder), 0);
    free(comment.at);
    free(b.at);
}
END_TEST

START_TEST(wrong_arguments)
{
    nn_image image;
    nn_image_info info;
    nn_message why;

    ck_assert_int_eq(nn_image_decode(NULL, "x", 1, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_decode(&image, NULL, 1, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_decode(&image, "x", 1, &(nn_decode_opts){ .max_pixels = -1 }, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_load(NULL, "x", NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_load(&image, NULL, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nni_image_probe(NULL, "x", 1, &why), NN_EINVAL);
    ck_assert_int_eq(nni_image_probe(&info, NULL, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_probe_file(&info, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_decode(&image, baseline_444, sizeof baseline_444, NULL, NULL), NN_OK);
    nn_image_free(&image);
    nn_image_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decode");
    TCase *t = tcase_create("decode");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, png_every_kind);
    tcase_add_test(t, png_checksums);
    tcase_add_test(t, png_pixel_data);
    tcase_add_test(t, png_structure);
    tcase_add_test(t, png_palette_index_beyond);
    tcase_add_test(t, png_palette_too_long);
    tcase_add_test(t, png_bombs);
    tcase_add_loop_test(t, jpeg_like_pillow, 0, JPEGS);
    tcase_add_test(t, orientation_jpeg);
    tcase_add_test(t, orientation_little_endian_and_damaged);
    tcase_add_test(t, orientation_png);
    tcase_add_test(t, jpeg_flavours);
    tcase_add_test(t, jpeg_markers);
    tcase_add_test(t, jpeg_scans);
    tcase_add_loop_test(t, truncation_is_an_error, 0, JPEGS + 2);
    tcase_add_loop_test(t, mutations_never_crash, 0, JPEGS + 2);
    tcase_add_loop_test(t, flipped_bits_are_found, 0, JPEGS);
    tcase_add_loop_test(t, no_memory, 0, JPEGS + 2);
    tcase_add_test(t, other_formats_have_names);
    tcase_add_test(t, files);
    tcase_add_test(t, wrong_arguments);
    suite_add_tcase(s, t);
    return suite_run(s);
}
