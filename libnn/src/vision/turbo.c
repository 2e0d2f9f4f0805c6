/* SPDX-License-Identifier: MIT
 *
 * libjpeg-turbo instead of stb_image (make JPEG=turbo): twice as fast, and the bytes of OpenCV and Pillow,
 * which are a few levels from stb_image's. Its slow integer transform and smooth upsampling are the same for
 * all instruction sets. Like stb_image it sees only files that jpeg.c has verified; where it warns all the
 * same, that is damage. Its memory is its own: bounded here, but not taken from the library's allocator.
 */
#include "vision.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>

enum { ROWS = 8 };

struct turbo {
    struct jpeg_error_mgr error; /* first: the library hands out a pointer to it */
    struct jpeg_decompress_struct c;
    jmp_buf unwind;
    char text[JMSG_LENGTH_MAX];
    bool no_memory;
    uint8_t *cmyk; /* rows of four channels */
};

static _Noreturn void stop(j_common_ptr c)
{
    struct turbo *t = (struct turbo *)(void *)c->err;

    t->no_memory = c->err->msg_code == JERR_OUT_OF_MEMORY;
    c->err->format_message(c, t->text);
    longjmp(t->unwind, 1);
}

/* Level -1 is a warning. Three of them are about what a file claims to be, not about its pixels. */
static void heed(j_common_ptr c, int level)
{
    int code = c->err->msg_code;

    if (level < 0 && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR && code != JWRN_BOGUS_PROGRESSION)
        stop(c);
}

static void say_nothing(j_common_ptr c) { (void)c; }

/* Adobe stores ink as 255 - ink. */
static void to_rgb(const uint8_t *cmyk, uint8_t *rgb, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 3; k++)
            rgb[3 * i + k] = (uint8_t)((cmyk[4 * i + k] * cmyk[4 * i + 3] + 127) / 255);
}

static bool decode(struct turbo *t, const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb)
{
    struct jpeg_decompress_struct *c = &t->c;
    int64_t width = info->width;

    jpeg_create_decompress(c);
    /* Coefficients of all components for progressive files; without a limit of ours the environment has one.
     */
    c->mem->max_memory_to_use = (long)((width + 64) * (info->height + 64) * 16 + (1 << 20));
    jpeg_mem_src(c, clean->bytes, (unsigned long)clean->size);
    (void)jpeg_read_header(c, TRUE);
    if (c->image_width != width || c->image_height != info->height)
        return false;
    c->out_color_space = info->channels == 4 ? JCS_CMYK : JCS_RGB;
    c->dct_method = JDCT_ISLOW;
    c->do_fancy_upsampling = TRUE;
    (void)jpeg_start_decompress(c);
    while (c->output_scanline < c->output_height) {
        uint8_t *to = rgb + 3 * width * c->output_scanline;
        JSAMPROW row[ROWS];
        JDIMENSION left = c->output_height - c->output_scanline, rows = left < ROWS ? left : ROWS;

        for (JDIMENSION i = 0; i < rows; i++)
            row[i] = t->cmyk ? t->cmyk + 4 * width * i : to + 3 * width * i;
        rows = jpeg_read_scanlines(c, row, rows);
        if (t->cmyk)
            to_rgb(t->cmyk, to, width * rows);
    }
    (void)jpeg_finish_decompress(c);
    return true;
}

int nni_turbo_decode(const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb, nn_message *why)
{
    struct turbo *t = nni_alloc_zero(sizeof *t);
    int rc = NN_OK;

    if (t && info->channels == 4)
        t->cmyk = nni_alloc((size_t)info->width * 4 * ROWS);
    if (!t || (info->channels == 4 && !t->cmyk)) {
        nni_free(t);
        return nni_fail(why, NN_ENOMEM, "JPEG: no memory to decode it");
    }
    t->c.err = jpeg_std_error(&t->error);
    t->error.error_exit = stop;
    t->error.emit_message = heed;
    t->error.output_message = say_nothing;
    if (setjmp(t->unwind))
        rc = t->no_memory ? nni_fail(why, NN_ENOMEM, "JPEG: no memory to decode %lld x %lld pixels",
                                     (long long)info->width, (long long)info->height)
                          : nni_fail(why, NN_EFORMAT, "JPEG: damaged: the decoder says \"%s\"", t->text);
    else if (!decode(t, clean, info, rgb))
        rc = nni_fail(why, NN_EFORMAT, "JPEG: damaged: two different sizes");
    jpeg_destroy_decompress(&t->c);
    nni_free(t->cmyk);
    nni_free(t);
    return rc;
}
