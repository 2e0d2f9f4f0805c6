/* SPDX-License-Identifier: MIT
 *
 * PNG files that are written: the decoder, which verifies every checksum, gives the same pixels back; what
 * could not be finished leaves nothing; the size of a stored file says nothing about its pixels.
 */
#include "../data/tree.h"
#include "suite.h"

#include <nn/vision.h>

enum { WIDE = 37, HIGH = 23 };

static uint8_t pixels[HIGH][WIDE * 3 + 5]; /* rows are longer than the image is wide */

/* Smooth in one half, random in the other. */
static nn_image some_image(uint64_t seed)
{
    nni_stream s = nni_stream_of(seed, 1);

    for (uint32_t y = 0; y < HIGH; y++)
        for (uint32_t x = 0; x < sizeof pixels[0]; x++) {
            uint32_t word[4];

            nni_stream_at(&s, y, x, 0, word);
            pixels[y][x] = (uint8_t)(y < HIGH / 2 ? 3 * y + x : word[0]);
        }
    return (nn_image){ .rgb = pixels[0], .width = WIDE, .height = HIGH, .stride = sizeof pixels[0] };
}

static size_t size_of(const char *path)
{
    struct stat st;

    ck_assert(!stat(in_tree(path), &st));
    return (size_t)st.st_size;
}

START_TEST(round_trip)
{
    static const int64_t width[] = { 1, 1, WIDE, 2, WIDE }, height[] = { 1, HIGH, 1, 3, HIGH };

    for (size_t i = 0; i < sizeof width / sizeof *width; i++)
        for (int level = 0; level <= 9; level += 3) {
            nn_image in = some_image(i), out = { 0 };

            in.width = width[i];
            in.height = height[i];
            ck_assert_msg(!nn_image_save_png(&in, in_tree("a.png"), level, &why), "%s", why.text);
            ck_assert_msg(!nn_image_load(&out, in_tree("a.png"), NULL, &why), "%s", why.text);
            ck_assert_int_eq(out.width, in.width);
            ck_assert_int_eq(out.height, in.height);
            for (int64_t y = 0; y < in.height; y++)
                ck_assert_mem_eq(out.rgb + y * in.width * 3, pixels[y], (size_t)in.width * 3);
            nn_image_free(&out);
        }
}
END_TEST

START_TEST(sizes)
{
    nn_image image = some_image(1);
    size_t stored, small;

    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 0, &why), NN_OK);
    stored = size_of("a.png");
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 9, &why), NN_OK);
    small = size_of("a.png");
    ck_assert_uint_lt(small, stored);
    memset(pixels, 7, sizeof pixels);
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 0, &why), NN_OK);
    ck_assert_uint_eq(size_of("a.png"), stored);
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 9, &why), NN_OK);
    ck_assert_uint_lt(size_of("a.png"), small);
}
END_TEST

START_TEST(arguments)
{
    nn_image image = some_image(1), empty = { 0 }, wide = image;

    wide.width = 16385;
    image.stride = (size_t)image.width * 3 - 1;
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 1, &why), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(why.text, "stride"));
    image.stride = 0;
    ck_assert_int_eq(nn_image_save_png(&empty, in_tree("a.png"), 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_save_png(&wide, in_tree("a.png"), 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 10, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), -1, NULL), NN_EINVAL);
    ck_assert_int_eq(access(in_tree("a.png"), F_OK), -1);
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("no/folder.png"), 1, &why), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, "no/folder.png"));
}
END_TEST

/* Through a link the picture that it leads to is replaced. */
START_TEST(links)
{
    nn_image image = some_image(1);
    struct stat st;

    put("pictures/a.png", "of before");
    ck_assert(!symlink("pictures/a.png", in_tree("link.png")));
    ck_assert_msg(!nn_image_save_png(&image, in_tree("link.png"), 1, &why), "%s", why.text);
    ck_assert(!lstat(in_tree("link.png"), &st) && S_ISLNK(st.st_mode));
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("pictures"), 1, &why), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, "no regular file"));
}
END_TEST

START_TEST(no_memory)
{
    nn_image image = some_image(1);
    int rc = NN_ENOMEM, n;

    count_memory();
    for (n = 1; rc == NN_ENOMEM; n++) {
        seen.allocs = 0;
        seen.fail_alloc = n;
        rc = nn_image_save_png(&image, in_tree("a.png"), 6, &why);
        ck_assert_int_eq(seen.live, 0);
        ck_assert_int_eq(access(in_tree("a.png"), F_OK), rc ? -1 : 0);
    }
    ck_assert_int_eq(rc, NN_OK);
    ck_assert_int_gt(n, 3);
}
END_TEST

static bool no_close;

static int64_t full_write(int fd, const void *data, size_t size)
{
    static bool half;

    half = !half;
    if (half || no_close)
        return real_seam.write(fd, data, no_close ? size : size / 2);
    errno = ENOSPC;
    return -1;
}

static int failing_close(int fd)
{
    (void)real_seam.close(fd);
    errno = EDQUOT; /* as network file systems do */
    return -1;
}

START_TEST(disk_full)
{
    nn_image image = some_image(1);

    no_close = _i;
    nni_seam.write = full_write;
    if (no_close)
        nni_seam.close = failing_close;
    ck_assert_int_eq(nn_image_save_png(&image, in_tree("a.png"), 0, &why), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, strerror(no_close ? EDQUOT : ENOSPC)));
    ck_assert_int_eq(access(in_tree("a.png"), F_OK), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("png_write");
    TCase *t = tcase_create("files");

    tcase_add_checked_fixture(t, tree_setup, tree_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, sizes);
    tcase_add_test(t, arguments);
    tcase_add_test(t, links);
    tcase_add_test(t, no_memory);
    tcase_add_loop_test(t, disk_full, 0, 2);
    suite_add_tcase(s, t);
    return suite_run(s);
}
