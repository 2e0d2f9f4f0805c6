/* SPDX-License-Identifier: MIT
 *
 * What a file says about who wrote it. A classifier of real and fake that could as well look at the
 * container, the quantisation tables or the size has learned how a data set was collected; to see that, one
 * has to read these things, and for all files of a set, so not one pixel is decoded. The headers themselves
 * are checked by jpeg.c and png.c; here the rest is walked leniently, for odd metadata are a finding, not an
 * error.
 *
 * Sources: ITU-T T.81 (markers); W3C PNG; C2PA 2.1 (where
 * manifests are embedded); IPTC's digital source types.
 */
#include "vision.h"

#include <stdlib.h>
#include <string.h>

enum { SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, DQT = 0xDB, COM = 0xFE, APP1 = 0xE1, APP2 = 0xE2, APP11 = 0xEB };
enum { SIDE2 = 64, FACTS_BYTES = 1 << 30 };

static bool holds(const uint8_t *p, size_t size, const char *text)
{
    size_t n = strlen(text);
    const uint8_t *end = p + size;

    for (; (size_t)(end - p) >= n; p++) {
        p = memchr(p, text[0], (size_t)(end - p) - n + 1);
        if (!p)
            return false;
        if (!memcmp(p, text, n))
            return true;
    }
    return false;
}

static bool begins(const uint8_t *p, size_t size, const char *text)
{
    size_t n = strlen(text);

    return size >= n && !memcmp(p, text, n);
}

/* The first to name a program wins. Strangers' bytes end on terminals and in pages: only printable ones pass.
 */
static void name_software(nn_image_facts *f, const uint8_t *text, size_t size)
{
    size_t n = 0;

    if (f->software[0])
        return;
    while (n < size && n < sizeof f->software - 1 && text[n]) {
        f->software[n] = text[n] >= ' ' && text[n] < 127 ? (char)text[n] : '?';
        n++;
    }
    f->software[n] = 0;
}

/* Keywords under which programs that make pictures keep what they were told. */
static const char *const keywords[] = { "parameters",  "prompt",          "workflow", "invokeai_metadata",
                                        "sd-metadata", "generation_data", "dream",    "Dream" };

static void name_generator(nn_image_facts *f, const char *name)
{
    if (!f->generator[0])
        memcpy(f->generator, name, strlen(name) + 1);
}

static void look_for_source_type(nn_image_facts *f, const uint8_t *p, size_t size)
{
    static const char name[] = "trainedAlgorithmicMedia";

    if (holds(p, size, name))
        name_generator(f, name);
}

static void exif(nn_image_facts *f, const uint8_t *tiff, size_t size)
{
    const uint8_t *text = NULL;
    size_t n = nni_exif_software(tiff, size, &text);

    f->exif = 1;
    if (n)
        name_software(f, text, n);
}

static void manifest(nn_image_facts *f, const uint8_t *p, size_t size)
{
    if (!holds(p, size, "c2pa"))
        return;
    f->c2pa = 1;
    look_for_source_type(f, p, size);
}

/* ------------------------------------------------------------------------------------------------- JPEG */

/* `table` is in zigzag order, as files store it. */
static void quality(nn_image_facts *f, const int table[SIDE2])
{
    int best = INT32_MAX;

    for (int q = 100; q >= 1; q--) {
        int distance = 0;

        for (int i = 0; i < SIDE2; i++)
            distance += abs(table[i] - nni_jpeg_quantum(false, nni_jpeg_zigzag[i], q));
        if (distance < best) {
            best = distance;
            f->quality = q;
            f->quality_exact = !distance;
        }
    }
}

static void tables(nn_image_facts *f, const uint8_t *p, size_t size)
{
    while (size) {
        size_t wide = p[0] >> 4 ? 2 : 1, bytes = 1 + wide * SIDE2;
        int table[SIDE2];

        if (size < bytes)
            return;
        for (size_t i = 0; i < SIDE2; i++)
            table[i] = wide == 2 ? (int)nni_be16(p + 1 + 2 * i) : p[1 + i];
        if (!(p[0] & 15))
            quality(f, table);
        p += bytes;
        size -= bytes;
    }
}

static void frame(nn_image_facts *f, const uint8_t *p, size_t size)
{
    static const struct {
        int across, down, name;
    } known[] = { { 1, 1, 444 }, { 2, 1, 422 }, { 2, 2, 420 }, { 1, 2, 440 }, { 4, 1, 411 } };
    int y, cb;

    if (size < 15 || p[5] != 3)
        return;
    y = p[7];
    cb = p[10];
    f->sampling = 1;
    for (size_t i = 0; cb == p[13] && i < sizeof known / sizeof *known; i++)
        if (y >> 4 == known[i].across * (cb >> 4) && (y & 15) == known[i].down * (cb & 15))
            f->sampling = known[i].name;
}

static void segment(nn_image_facts *f, int marker, const uint8_t *p, size_t size)
{
    if (marker == DQT) {
        tables(f, p, size);
    } else if (marker >= 0xC0 && marker <= 0xC2) {
        frame(f, p, size);
    } else if (marker == APP1 && begins(p, size, "Exif")) {
        if (size > 6)
            exif(f, p + 6, size - 6);
    } else if (marker == APP1 && begins(p, size, "http://ns.adobe.com/x")) {
        f->xmp = 1;
        look_for_source_type(f, p, size);
    } else if (marker == APP2 && begins(p, size, "ICC_PROFILE")) {
        f->icc = 1;
    } else if (marker == APP11) {
        manifest(f, p, size);
    } else if (marker == COM) {
        name_software(f, p, size);
    }
}

/* False when the end marker is missing. */
static bool walk_jpeg(nn_image_facts *f, const uint8_t *p, size_t size)
{
    size_t at = 2;

    while (at + 1 < size) {
        const uint8_t *next = memchr(p + at, 0xFF, size - at - 1);
        int marker = next ? next[1] : 0;

        if (!next)
            return false;
        at = (size_t)(next - p) + 1;
        if (marker == EOI)
            return true;
        /* Fill bytes, stuffed zeros and restart markers within entropy-coded data. */
        if (marker == 0xFF || marker <= 1 || (marker >= 0xD0 && marker <= SOI))
            continue;
        at++;
        if (size - at < 2 || nni_be16(p + at) < 2 || nni_be16(p + at) > size - at)
            return false;
        segment(f, marker, p + at + 2, nni_be16(p + at) - 2u);
        at += nni_be16(p + at);
    }
    return false;
}

/* -------------------------------------------------------------------------------------------------- PNG */

static void text_chunk(nn_image_facts *f, const uint8_t *p, size_t size, bool plain)
{
    const uint8_t *end = memchr(p, 0, size);
    size_t n = end ? (size_t)(end - p) : size;

    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (n == strlen(keywords[i]) && !memcmp(p, keywords[i], n))
            name_generator(f, keywords[i]);
    if (plain && end && n == 8 && !memcmp(p, "Software", 8))
        name_software(f, end + 1, size - n - 1);
    if (begins(p, size, "XML:com.adobe.xmp")) {
        f->xmp = 1;
        look_for_source_type(f, p, size);
    }
}

static void chunk(nn_image_facts *f, const uint8_t *type, const uint8_t *p, size_t size)
{
    if (!memcmp(type, "tEXt", 4) || !memcmp(type, "iTXt", 4) || !memcmp(type, "zTXt", 4))
        text_chunk(f, p, size, type[0] == 't');
    else if (!memcmp(type, "eXIf", 4))
        exif(f, p, size);
    else if (!memcmp(type, "iCCP", 4))
        f->icc = 1;
    else if (!memcmp(type, "tRNS", 4))
        f->alpha = 1;
    else if (!memcmp(type, "caBX", 4))
        manifest(f, p, size);
}

static bool walk_png(nn_image_facts *f, const uint8_t *p, size_t size)
{
    size_t at = 8;

    while (size - at >= 12) {
        size_t n = nni_be32(p + at);

        if (n > size - at - 12)
            return false;
        if (!memcmp(p + at + 4, "IEND", 4))
            return true;
        chunk(f, p + at + 4, p + at + 8, n);
        at += 12 + n;
    }
    return false;
}

int nn_image_facts_file(nn_image_facts *out, const char *path, nn_message *why)
{
    nn_message reason = { .text = "" };
    void *bytes = NULL;
    size_t size = 0;
    bool whole;
    int rc;

    if (!out || !path)
        return nni_fail(why, NN_EINVAL, path ? "nowhere to put the facts" : "no path");
    memset(out, 0, sizeof *out);
    rc = nni_read_file(path, FACTS_BYTES, &bytes, &size, why);
    if (rc)
        return rc;
    out->size = size;
    rc = nni_image_probe(&out->info, bytes, size, &reason);
    if (!rc) {
        out->alpha = out->info.format == NN_IMAGE_PNG && out->info.channels % 2 == 0;
        whole = (out->info.format == NN_IMAGE_JPEG ? walk_jpeg : walk_png)(out, bytes, size);
        if (!whole)
            rc = nni_fail(&reason, NN_EFORMAT, "truncated: the file has no end marker; get it again");
    }
    nni_free(bytes);
    return rc ? nni_fail(why, rc, "%s: %s", path, reason.text) : NN_OK;
}
