/* SPDX-License-Identifier: MIT
 *
 * The one EXIF tag that changes pixels. Cameras store what the sensor saw and note how it was held; a network
 * that is shown the stored pixels sees faces lying on their side. A damaged EXIF block says nothing about the
 * pixels, so it is ignored, not an error.
 */
#include "vision.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY = 12 };

static unsigned get16(const uint8_t *p, bool little)
{
    return little ? (unsigned)p[1] << 8 | p[0] : nni_be16(p);
}

static uint32_t get32(const uint8_t *p, bool little)
{
    return little ? (uint32_t)get16(p + 2, true) << 16 | get16(p, true) : nni_be32(p);
}

int nni_exif_orientation(const uint8_t *tiff, size_t size)
{
    bool little;
    size_t at, entries;

    if (size < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M'))
        return 1;
    little = tiff[0] == 'I';
    at = get32(tiff + 4, little);
    if (get16(tiff + 2, little) != 42 || at > size - 2)
        return 1;
    entries = get16(tiff + at, little);
    at += 2;
    for (size_t i = 0; i < entries && size - at >= ENTRY; i++, at += ENTRY) {
        const uint8_t *e = tiff + at;

        if (get16(e, little) == TAG_ORIENTATION) {
            unsigned value = get16(e + 8, little);

            if (get16(e + 2, little) != TYPE_SHORT || get32(e + 4, little) != 1 || value < 1 || value > 8)
                return 1;
            return (int)value;
        }
    }
    return 1;
}
