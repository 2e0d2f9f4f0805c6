/* SPDX-License-Identifier: MIT
 *
 * stb_image, compiled once, behind walls. It was written for images one's own artists made: it allocates what
 * a file asks for, leaves parts of its output uninitialised on damaged data, and asserts. Here all its memory
 * comes from a per-decode list of zeroed blocks with a cap computed from the header, and an assertion unwinds
 * to nni_stb_decode, where the list is released as a whole. What it decodes was verified before (jpeg.c,
 * png.c).
 */
#include "vision.h"

#include <setjmp.h>
#include <string.h>

struct block {
    struct block *next, **link;
    size_t size;
};

struct nni_stb {
    struct block *blocks;
    size_t live, limit;
    bool no_memory;
    const char *assertion;
    jmp_buf unwind;
};

/* The decoder's allocation hooks have no context argument. */
static _Thread_local struct nni_stb *current;

enum { HEADER = 64 }; /* keeps the alignment nni_alloc gives */
_Static_assert(sizeof(struct block) <= HEADER, "block header");

static void *take(size_t size)
{
    struct block *b;

    if (size > current->limit - current->live)
        return NULL;
    b = nni_alloc_zero(HEADER + size);
    if (!b) {
        current->no_memory = true;
        return NULL;
    }
    *b = (struct block){ .next = current->blocks, .link = &current->blocks, .size = size };
    if (b->next)
        b->next->link = &b->next;
    current->blocks = b;
    current->live += size;
    return (char *)b + HEADER;
}

static void give(void *memory)
{
    struct block *b;

    if (!memory)
        return;
    b = (struct block *)(void *)((char *)memory - HEADER);
    *b->link = b->next;
    if (b->next)
        b->next->link = b->link;
    current->live -= b->size;
    nni_free(b);
}

static void *retake(void *old, size_t old_size, size_t size)
{
    void *memory = take(size);

    if (memory && old) {
        memcpy(memory, old, old_size < size ? old_size : size);
        give(old);
    }
    return memory;
}

static _Noreturn void asserted(const char *text)
{
    current->assertion = text;
    longjmp(current->unwind, 1);
}

#define STBI_MALLOC(size) take(size)
#define STBI_REALLOC_SIZED(old, old_size, size) retake(old, old_size, size)
#define STBI_FREE(memory) give(memory)
#define STBI_ASSERT(x) ((x) ? (void)0 : asserted(#x))
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
/* Static, so that a program can have its own stb_image; the header declares a few functions that this
 * selection of formats never defines, which gcc notes at the end of the file. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>

static void release(struct nni_stb *s)
{
    while (s->blocks) {
        struct block *b = s->blocks;

        s->blocks = b->next;
        nni_free(b);
    }
    nni_free(s);
}

/* [n,4] to [n,3]; all but the last pixel by writing a fourth byte that the next one replaces. */
static void drop_fourth(uint8_t *rgb, const uint8_t *four, int64_t n)
{
    for (int64_t i = 0; i < n - 1; i++)
        memcpy(rgb + 3 * i, four + 4 * i, 4);
    memcpy(rgb + 3 * (n - 1), four + 4 * (n - 1), 3);
}

int nni_stb_decode(const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb, nn_message *why)
{
    struct nni_stb *s = nni_alloc_zero(sizeof *s);
    const char *format = info->format == NN_IMAGE_PNG ? "PNG" : "JPEG";
    /* The vector code that makes colours of a JPEG knows four channels only. */
    int width = 0, height = 0, channels = 0, made = info->format == NN_IMAGE_PNG ? 3 : 4, rc = NN_OK;
    const uint8_t *pixels = NULL;

    if (!s)
        return nni_fail(why, NN_ENOMEM, "%s: no memory to decode it", format);
    /* Most is a 16-bit interlaced RGBA image: 8 bytes per pixel inflated, in passes, and put together. */
    s->limit =
        (size_t)(info->width + 64) * (size_t)(info->height + 64) * 32 + ((size_t)1 << 20) + 2 * clean->size;
    current = s;
    if (setjmp(s->unwind))
        rc = nni_fail(why, NN_EFORMAT, "%s: damaged: the decoder refused it (%s)", format, s->assertion);
    else
        pixels = stbi_load_from_memory(clean->bytes, (int)clean->size, &width, &height, &channels, made);
    current = NULL;
    if (!rc && !pixels && s->no_memory)
        rc = nni_fail(why, NN_ENOMEM, "%s: no memory to decode %lld x %lld pixels", format,
                      (long long)info->width, (long long)info->height);
    else if (!rc && !pixels)
        rc = nni_fail(why, NN_EFORMAT, "%s: damaged: the decoder says \"%s\"", format,
                      stbi_failure_reason() ? stbi_failure_reason() : "failed");
    else if (!rc && (width != info->width || height != info->height))
        rc = nni_fail(why, NN_EFORMAT, "%s: damaged: decoded to %d x %d instead of %lld x %lld pixels",
                      format, width, height, (long long)info->width, (long long)info->height);
    if (!rc && made == 4)
        drop_fourth(rgb, pixels, info->width * info->height);
    else if (!rc)
        memcpy(rgb, pixels, (size_t)(info->width * info->height * 3));
    release(s);
    return rc;
}
