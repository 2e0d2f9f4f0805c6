/* SPDX-License-Identifier: MIT
 *
 * libspng instead of stb_image (make PNG=spng), for those who trust it more. The pixels are the same, since
 * PNG loses nothing, and so is the time, most of which png.c takes to inflate. Like stb_image it sees only
 * the copy that png.c has made of a verified file, which has no checksums, and its memory comes from the
 * library's allocator.
 */
#include "vision.h"

#include <spng.h>

/* What zlib inside libspng lacks is reported as damage, and the allocation hooks have no context argument. */
static _Thread_local bool no_memory;

static void *noted(void *memory)
{
    no_memory = no_memory || !memory;
    return memory;
}

static void *take(size_t size) { return noted(nni_alloc(size)); }
static void *take_zeros(size_t count, size_t size) { return noted(nni_alloc_array(count, size)); }
static void give(void *memory) { nni_free(memory); }

/* Lists of texts and unknown chunks grow by this, and there are none. */
static void *retake(void *memory, size_t size)
{
    (void)memory;
    (void)size;
    return NULL;
}

static int decode(spng_ctx *c, const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb)
{
    size_t size = (size_t)(info->width * info->height * 3), needed = 0;
    int rc = spng_set_crc_action(c, SPNG_CRC_USE, SPNG_CRC_USE);

    if (!rc)
        rc = spng_set_png_buffer(c, clean->bytes, clean->size);
    if (!rc)
        rc = spng_decoded_image_size(c, SPNG_FMT_RGB8, &needed);
    if (!rc && needed != size)
        rc = SPNG_EOVERFLOW;
    return rc ? rc : spng_decode_image(c, rgb, size, SPNG_FMT_RGB8, 0);
}

int nni_spng_decode(const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb, nn_message *why)
{
    struct spng_alloc memory = {
        .malloc_fn = take, .realloc_fn = retake, .calloc_fn = take_zeros, .free_fn = give
    };
    spng_ctx *c;
    int rc;

    no_memory = false;
    c = spng_ctx_new2(&memory, SPNG_CTX_IGNORE_ADLER32);
    rc = c ? decode(c, clean, info, rgb) : SPNG_EMEM;
    spng_ctx_free(c);
    if (rc && no_memory)
        return nni_fail(why, NN_ENOMEM, "PNG: no memory to decode %lld x %lld pixels", (long long)info->width,
                        (long long)info->height);
    return rc ? nni_fail(why, NN_EFORMAT, "PNG: damaged: the decoder says \"%s\"", spng_strerror(rc)) : NN_OK;
}
