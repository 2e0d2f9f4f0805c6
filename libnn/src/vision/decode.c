/* SPDX-License-Identifier: MIT
 *
 * From a file to pixels. Folders of images hold web pages, half downloads and formats with the wrong ending,
 * so the first bytes decide what a file is, and what is not supported is called by its name. The work itself
 * is check (jpeg.c, png.c), decode (stb.c, turbo.c, spng.c), turn upright.
 */
#include "vision.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { PREFIX = 1 << 16 };

static const nn_decode_opts defaults = { .max_pixels = 64000000, .max_bytes = (size_t)256 << 20 };

void nn_image_free(nn_image *image)
{
    if (!image)
        return;
    nni_free(image->rgb);
    *image = (nn_image){ .rgb = NULL };
}

/* ----------------------------------------------------------------------------------------------- format */

static bool at_is(const uint8_t *data, size_t size, size_t at, const char *text)
{
    size_t n = strlen(text);

    return size >= at + n && memcmp(data + at, text, n) == 0;
}

/* Name of a well-known format that is not ours; NULL when it is none of them. */
static const char *foreign(const uint8_t *d, size_t n)
{
    size_t text = 0;

    if (at_is(d, n, 0, "RIFF") && at_is(d, n, 8, "WEBP"))
        return "a WebP image";
    if (at_is(d, n, 0, "GIF8"))
        return "a GIF image";
    if (at_is(d, n, 0, "BM") && n >= 26)
        return "a BMP image";
    if (n >= 4 && (!memcmp(d, "II*\0", 4) || !memcmp(d, "MM\0*", 4)))
        return "a TIFF image";
    if (at_is(d, n, 4, "ftypavif") || at_is(d, n, 4, "ftypavis"))
        return "an AVIF image";
    if (at_is(d, n, 4, "ftyphei") || at_is(d, n, 4, "ftyphev") || at_is(d, n, 4, "ftypmif1") ||
        at_is(d, n, 4, "ftypmsf1"))
        return "a HEIC image";
    if (at_is(d, n, 4, "ftyp"))
        return "a video or HEIF file";
    if (at_is(d, n, 4, "jP  \r\n") || at_is(d, n, 0, "\xFF\x4F\xFF\x51"))
        return "a JPEG 2000 image";
    if (at_is(d, n, 0, "\xFF\x0A") || at_is(d, n, 4, "JXL \r\n"))
        return "a JPEG XL image";
    if (at_is(d, n, 0, "8BPS"))
        return "a Photoshop document";
    if (at_is(d, n, 0, "%PDF"))
        return "a PDF document";
    if (at_is(d, n, 0, "PK\3\4"))
        return "a zip archive";
    if (at_is(d, n, 0, "\x1F\x8B"))
        return "gzip-compressed";
    if (at_is(d, n, 0, "version https://git-lfs"))
        return "a git-lfs pointer instead of the image (run git lfs pull)";
    if (at_is(d, n, 0, "\xEF\xBB\xBF"))
        text = 3;
    while (text < n && (d[text] == ' ' || (d[text] >= '\t' && d[text] <= '\r')))
        text++;
    if (at_is(d, n, text, "<!") || at_is(d, n, text, "<html") || at_is(d, n, text, "<HTML") ||
        at_is(d, n, text, "<head"))
        return "an HTML page (a failed download?)";
    if (at_is(d, n, text, "<svg"))
        return "an SVG drawing";
    if (at_is(d, n, text, "<?xml"))
        return "an XML document";
    return NULL;
}

static int check(const uint8_t *data, size_t size, nn_image_info *info, const nn_decode_opts *limit,
                 struct nni_clean *clean, nn_message *why)
{
    static const uint8_t jpeg[] = { 0xFF, 0xD8, 0xFF }, png[] = { 137, 'P', 'N', 'G', '\r', '\n', 26, '\n' };
    const char *name;
    size_t zeros = 0;

    *info = (nn_image_info){ .format = NN_IMAGE_UNKNOWN };
    if (size >= sizeof jpeg && !memcmp(data, jpeg, sizeof jpeg))
        return nni_jpeg_check(data, size, info, limit, clean, why);
    if (size >= sizeof png && !memcmp(data, png, sizeof png))
        return nni_png_check(data, size, info, limit, clean, why);
    if (size == 0)
        return nni_fail(why, NN_EFORMAT, "the file is empty; get it again");
    if ((size < sizeof jpeg && !memcmp(data, jpeg, size)) || (size < sizeof png && !memcmp(data, png, size)))
        return nni_fail(why, NN_EFORMAT,
                        "truncated: the file ends at byte %zu, inside its signature; get it again", size);
    name = foreign(data, size);
    if (name)
        return nni_fail(why, NN_EUNSUPPORTED, "this is %s; only JPEG and PNG are supported", name);
    while (zeros < size && data[zeros] == 0)
        zeros++;
    if (zeros == size)
        return nni_fail(why, NN_EFORMAT, "the file holds %zu zero bytes and nothing else; get it again",
                        size);
    return nni_fail(why, NN_EUNSUPPORTED,
                    "not an image this library knows (it begins %02x %02x %02x %02x); only JPEG and PNG "
                    "are supported",
                    data[0], size > 1 ? data[1] : 0u, size > 2 ? data[2] : 0u, size > 3 ? data[3] : 0u);
}

int nni_image_limits(const nn_image_info *info, const nn_decode_opts *limit, nn_message *why)
{
    if (info->width > NNI_IMAGE_SIDE || info->height > NNI_IMAGE_SIDE)
        return nni_fail(why, NN_EFORMAT,
                        "the header declares %lld x %lld pixels; at most %d on a side are decoded",
                        (long long)info->width, (long long)info->height, NNI_IMAGE_SIDE);
    if (info->width * info->height > limit->max_pixels)
        return nni_fail(why, NN_EFORMAT,
                        "the header declares %lld x %lld pixels, more than the limit of %lld (max_pixels)",
                        (long long)info->width, (long long)info->height, (long long)limit->max_pixels);
    return NN_OK;
}

/* ----------------------------------------------------------------------------------------------- decode */

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#ifdef NN_JPEG_TURBO
#include <jpeglib.h>
#define DECODE_JPEG nni_turbo_decode
static const char jpeg_decoder[] = "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION);
#else
#define DECODE_JPEG nni_stb_decode
static const char jpeg_decoder[] = "stb_image";
#endif
#ifdef NN_PNG_SPNG
#include <spng.h>
#define DECODE_PNG nni_spng_decode
static const char png_decoder[] =
    "libspng " TEXT(SPNG_VERSION_MAJOR) "." TEXT(SPNG_VERSION_MINOR) "." TEXT(SPNG_VERSION_PATCH);
#else
#define DECODE_PNG nni_stb_decode
static const char png_decoder[] = "stb_image";
#endif

const char *nn_jpeg_decoder(void) { return jpeg_decoder; }
const char *nn_png_decoder(void) { return png_decoder; }

/* `out` has its size; copies while turning: steps in the stored image for one step right and one step down.
 */
static void turn(const nn_image *out, const uint8_t *rgb, const nn_image_info *info, int orientation)
{
    int64_t w = info->width, h = info->height, right = 3, down = 3 * w, start = 0;

    if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
        start += right * (w - 1), right = -right;
    if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7)
        start += down * (h - 1), down = -down;
    if (orientation >= 5) {
        int64_t keep = right;

        right = down;
        down = keep;
    }
    for (int64_t y = 0; y < out->height; y++) {
        const uint8_t *from = rgb + start + y * down;
        uint8_t *to = out->rgb + (size_t)y * out->stride;

        for (int64_t x = 0; x < out->width; x++, from += right, to += 3)
            memcpy(to, from, 3);
    }
}

static int decode_upright(nn_image *out, const struct nni_clean *clean, const nn_image_info *info,
                          int orientation, nn_message *why)
{
    bool swap = orientation >= 5;
    nn_image image = { .width = swap ? info->height : info->width,
                       .height = swap ? info->width : info->height };
    size_t size = (size_t)(info->width * info->height * 3);
    uint8_t *stored;
    int rc = NN_OK;

    image.stride = (size_t)image.width * 3;
    image.rgb = nni_alloc(size);
    stored = orientation == 1 ? image.rgb : nni_alloc(size);
    if (!image.rgb || !stored)
        rc = nni_fail(why, NN_ENOMEM, "no memory for %lld x %lld pixels", (long long)info->width,
                      (long long)info->height);
    if (!rc)
        rc = info->format == NN_IMAGE_JPEG ? DECODE_JPEG(clean, info, stored, why)
                                           : DECODE_PNG(clean, info, stored, why);
    if (!rc && clean->palette)
        rc = nni_png_colours(stored, info, clean, why);
    if (!rc && stored != image.rgb)
        turn(&image, stored, info, orientation);
    if (stored != image.rgb)
        nni_free(stored);
    if (rc)
        nni_free(image.rgb);
    else
        *out = image;
    return rc;
}

/* How near stb_image is to OpenCV, measured: at most 3 levels (4 for 4:2:2), except the chroma of the last
 * two columns of a 4:2:2 JPEG, which stb_image interpolates otherwise, and of 4:2:0 images less than 5 pixels
 * wide. Palettes are expanded (an index beyond the palette is black), small grey depths scaled to 0..255,
 * gAMA is ignored; of an APNG there is the default image.
 *
 * How much damage is seen. PNG: every chunk CRC, the Adler-32 and the exact amount of pixel data. JPEG has no
 * checksum: the entropy-coded data of every scan are decoded once beforehand, so truncation, an undefined
 * code, a coefficient out of range, a restart marker out of order, and data that end too early or too late
 * are found. A stream of the same length with plausible values is not: of single flipped bits in photographs
 * about one in four is noticed, of three random bytes about 70 %. Neither is a file whose last progressive
 * scans were cut off and whose end marker was put back. */
int nn_image_decode(nn_image *out, const void *bytes, size_t size, const nn_decode_opts *opts,
                    nn_message *why)
{
    nn_decode_opts limit = opts ? *opts : defaults;
    struct nni_clean clean = { .bytes = NULL };
    nn_image_info info;
    int rc;

    if (!out)
        return nni_fail(why, NN_EINVAL, "no image to decode into");
    *out = (nn_image){ .rgb = NULL };
    if ((!bytes && size) || limit.max_pixels < 0)
        return nni_fail(why, NN_EINVAL, bytes ? "max_pixels is negative" : "no bytes to decode");
    if (!limit.max_pixels)
        limit.max_pixels = defaults.max_pixels;
    if (!limit.max_bytes)
        limit.max_bytes = defaults.max_bytes;
    if (limit.max_bytes > INT32_MAX / 2)
        limit.max_bytes = INT32_MAX / 2;
    if (size > limit.max_bytes)
        return nni_fail(why, NN_EFORMAT, "%zu bytes, more than the limit of %zu (max_bytes)", size,
                        limit.max_bytes);
    rc = check(bytes, size, &info, &limit, &clean, why);
    if (!rc)
        rc = decode_upright(out, &clean, &info, limit.ignore_orientation ? 1 : info.orientation, why);
    nni_free(clean.bytes);
    return rc;
}

int nn_image_load(nn_image *out, const char *path, const nn_decode_opts *opts, nn_message *why)
{
    size_t limit = opts && opts->max_bytes ? opts->max_bytes : defaults.max_bytes, size = 0;
    nn_message reason = { .text = "" };
    void *bytes = NULL;
    int rc;

    if (!out || !path)
        return nni_fail(why, NN_EINVAL, path ? "no image to decode into" : "no path");
    *out = (nn_image){ .rgb = NULL };
    rc = nni_read_file(path, limit, &bytes, &size, why);
    if (rc)
        return rc;
    rc = nn_image_decode(out, bytes, size, opts, &reason);
    nni_free(bytes);
    return rc ? nni_fail(why, rc, "%s: %s", path, reason.text) : NN_OK;
}

/* ------------------------------------------------------------------------------------------------ probe */

int nni_image_probe(nn_image_info *out, const void *bytes, size_t size, nn_message *why)
{
    nn_image_info info;
    int rc;

    if (!out || (!bytes && size))
        return nni_fail(why, NN_EINVAL, out ? "no bytes to probe" : "nowhere to put what the header says");
    rc = check(bytes, size, &info, NULL, NULL, why);
    *out = rc ? (nn_image_info){ .format = NN_IMAGE_UNKNOWN } : info;
    return rc;
}

int nn_image_probe_file(nn_image_info *out, const char *path, nn_message *why)
{
    nn_message reason = { .text = "" };
    struct nni_stat st;
    void *bytes;
    size_t size = 0;
    int fd, rc;

    if (!out || !path)
        return nni_fail(why, NN_EINVAL, path ? "nowhere to put what the header says" : "no path");
    *out = (nn_image_info){ .format = NN_IMAGE_UNKNOWN };
    if (nni_seam.stat(path, &st))
        return nni_fail(why, errno == ENOENT ? NN_ENOTFOUND : NN_EIO, "%s: %s", path, strerror(errno));
    if (!st.is_file)
        return nni_fail(why, NN_EFORMAT, "%s: not a regular file", path);
    bytes = nni_alloc(PREFIX);
    if (!bytes)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", path);
    fd = nni_seam.open(path, O_RDONLY, 0);
    rc = fd < 0 ? NN_EIO : nni_read_all(fd, bytes, PREFIX, &size);
    if (rc)
        (void)snprintf(reason.text, sizeof reason.text, "%s", strerror(errno));
    if (fd >= 0)
        (void)nni_seam.close(fd);
    if (!rc)
        rc = nni_image_probe(out, bytes, size, &reason);
    nni_free(bytes);
    /* Long comments, colour profiles and previews can stand before the frame header. */
    if (rc == NN_EFORMAT && size == PREFIX) {
        rc = nni_read_file(path, defaults.max_bytes, &bytes, &size, why);
        if (rc)
            return rc;
        rc = nni_image_probe(out, bytes, size, &reason);
        nni_free(bytes);
    }
    return rc ? nni_fail(why, rc, "%s: %s", path, reason.text) : NN_OK;
}
