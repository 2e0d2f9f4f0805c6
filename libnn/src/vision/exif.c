/* SPDX-License-Identifier: MIT
 *
 * Two EXIF tags: the one that changes pixels, and the one that names a program. Cameras store what the sensor
 * saw and note how it was held; a network that is shown the stored pixels sees faces lying on their side. A
 * damaged EXIF block says nothing about the pixels, so it is ignored, not an error.
 */
#include "vision.h"

enum { TAG_ORIENTATION = 0x0112, TAG_SOFTWARE = 0x0131, TYPE_ASCII = 2, TYPE_SHORT = 3, ENTRY = 12 };

static unsigned get16(const uint8_t *p, bool little)
{
    return little ? (unsigned)p[1] << 8 | p[0] : nni_be16(p);
}

static uint32_t get32(const uint8_t *p, bool little)
{
    return little ? (uint32_t)get16(p + 2, true) << 16 | get16(p, true) : nni_be32(p);
}

/* The entry of `tag` in the first directory; NULL when it is absent or the structure makes no sense. */
static const uint8_t *entry(const uint8_t *tiff, size_t size, unsigned tag, bool *little)
{
    size_t at, entries;

    if (size < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M'))
        return NULL;
    *little = tiff[0] == 'I';
    at = get32(tiff + 4, *little);
    if (get16(tiff + 2, *little) != 42 || at > size - 2)
        return NULL;
    entries = get16(tiff + at, *little);
    at += 2;
    for (size_t i = 0; i < entries && size - at >= ENTRY; i++, at += ENTRY)
        if (get16(tiff + at, *little) == tag)
            return tiff + at;
    return NULL;
}

int nni_exif_orientation(const uint8_t *tiff, size_t size)
{
    bool little;
    const uint8_t *e = entry(tiff, size, TAG_ORIENTATION, &little);
    unsigned value = e ? get16(e + 8, little) : 0;

    if (!e || get16(e + 2, little) != TYPE_SHORT || get32(e + 4, little) != 1 || value < 1 || value > 8)
        return 1;
    return (int)value;
}

size_t nni_exif_software(const uint8_t *tiff, size_t size, const uint8_t **text)
{
    bool little;
    const uint8_t *e = entry(tiff, size, TAG_SOFTWARE, &little);
    size_t n = e ? get32(e + 4, little) : 0, at;

    if (!n || get16(e + 2, little) != TYPE_ASCII)
        return 0;
    at = n <= 4 ? (size_t)(e + 8 - tiff) : get32(e + 8, little);
    if (at > size || n > size - at)
        return 0;
    *text = tiff + at;
    return n;
}
