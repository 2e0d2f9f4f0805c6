/* SPDX-License-Identifier: MIT
 *
 * Resize, crop and flip. The sums are CRC-32 of what OpenCV and Pillow themselves made of the same noise
 * (printed by tests/parity/vision.py --goldens resize), so bit-equality is proven here without Python.
 */
#include "base/base.h"
#include "suite.h"

#include <nn/vision.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static struct nni_seam real;
static int64_t live, calls, fail_at;

static void *counting_alloc(size_t size)
{
    void *memory = ++calls == fail_at ? NULL : real.alloc(size);

    live += memory != NULL;
    return memory;
}

static void counting_free(void *memory)
{
    live--;
    real.free(memory);
}

static void setup(void)
{
    real = nni_seam;
    nni_seam.alloc = counting_alloc;
    nni_seam.free = counting_free;
    live = calls = fail_at = 0;
}

static void teardown(void)
{
    nni_seam = real;
    ck_assert_int_eq(live, 0);
}

/* splitmix64 of the byte's index, as in the script that made the sums. */
static nn_image noise(int64_t width, int64_t height)
{
    nn_image image = { .width = width, .height = height };
    size_t size = (size_t)(width * height) * 3;

    image.rgb = malloc(size);
    ck_assert_ptr_nonnull(image.rgb);
    for (size_t i = 0; i < size; i++) {
        uint64_t z = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);

        z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
        image.rgb[i] = (uint8_t)(z ^ z >> 31);
    }
    return image;
}

static const struct {
    int64_t width, height, to_width, to_height;
    uint32_t sum[NN_RESIZE_KERNELS];
} goldens[] = {
    { 1, 1, 5, 7, { 0xbee76793, 0xbee76793, 0xbee76793 } },
    { 1, 9, 4, 3, { 0x68ded1a4, 0x35dd2245, 0x84ca889e } },
    { 9, 1, 3, 4, { 0xbb4b5d20, 0x1dedf2c6, 0xb1a624ab } },
    { 5, 7, 1, 1, { 0xd00c258b, 0x513ae0a7, 0xd2ac5432 } },
    { 2, 2, 1, 1, { 0x86a7365f, 0xad8a659c, 0xad8a659c } },
    { 448, 448, 224, 224, { 0xbea38212, 0xa8275be5, 0xebc94f6d } },
    { 256, 256, 224, 224, { 0xc5233f6e, 0x7ea908c7, 0xdef57e25 } },
    { 640, 512, 224, 224, { 0x6e0f1d7b, 0x57750297, 0xd8e9e54b } },
    { 224, 224, 256, 256, { 0x6fd2222e, 0xfd0533dd, 0xbdcb959c } },
    { 300, 200, 300, 100, { 0x7c4090c4, 0x1912b854, 0x01e625e0 } },
    { 300, 200, 150, 200, { 0x9cade69d, 0xa26fdb41, 0x5b38e228 } },
    { 300, 200, 150, 100, { 0x5aff5622, 0x8d03bc04, 0x4d0ee8db } },
    { 299, 201, 150, 100, { 0x62b87f2f, 0xa4ac0b65, 0x84b0ba27 } },
    { 1000, 3, 7, 300, { 0x8ad3b4d9, 0x7f9dc84f, 0xe11f899c } },
    { 64, 64, 224, 224, { 0x05ee5303, 0x45a69b22, 0x5b58fe3d } },
    { 1024, 1024, 224, 224, { 0x7bef9fdc, 0x66403aed, 0x4c43ce68 } },
    { 225, 225, 224, 224, { 0xeb876113, 0x82c3fc47, 0xa3e118a7 } },
    { 600, 400, 336, 224, { 0xd3fa0c53, 0x9cc977f6, 0xd1a56fc1 } },
    { 178, 218, 224, 224, { 0x541999d9, 0x6b476726, 0xc712ff1a } },
    { 512, 512, 128, 128, { 0xb96f361a, 0xc8dcdad0, 0xb4d71c28 } },
    { 128, 128, 384, 384, { 0xc2436381, 0x710be2fc, 0x760e0d87 } },
    { 97, 61, 194, 122, { 0xd18bd420, 0x7ece1fe2, 0xf094dc0f } },
};
enum { GOLDENS = sizeof goldens / sizeof goldens[0] };

START_TEST(bytes_of_the_originals)
{
    nn_image in = noise(goldens[_i].width, goldens[_i].height);
    nn_vision_scratch scratch = { .size = { 0 } };

    for (int k = 0; k < NN_RESIZE_KERNELS; k++) {
        nn_image out = { .width = goldens[_i].to_width, .height = goldens[_i].to_height };
        nn_message why = { .text = "" };
        uint32_t sum;

        ck_assert_msg(nn_image_resize(&out, &in, (nn_resize_kernel)k, &scratch, &why) == NN_OK, "%s",
                      why.text);
        sum = (uint32_t)crc32(0, out.rgb, (uInt)(out.width * out.height * 3));
        ck_assert_msg(sum == goldens[_i].sum[k], "%s %lldx%lld -> %lldx%lld",
                      nn_resize_name((nn_resize_kernel)k), (long long)in.width, (long long)in.height,
                      (long long)out.width, (long long)out.height);
        nn_image_free(&out);
    }
    nn_vision_scratch_free(&scratch);
    free(in.rgb);
}
END_TEST

/* Rows apart in memory, caller's buffer, guard bytes, no scratch: the same pixels. */
START_TEST(strides_and_guards)
{
    enum { IW = 33, IH = 21, OW = 14, OH = 30, IS = IW * 3 + 7, OS = OW * 3 + 5 };
    static uint8_t wide[IH * IS], got[OH * OS];
    nn_image in = noise(IW, IH), spaced = { wide, IW, IH, IS };

    for (int y = 0; y < IH; y++)
        memcpy(wide + y * IS, in.rgb + y * IW * 3, IW * 3);
    for (int k = 0; k < NN_RESIZE_KERNELS; k++) {
        nn_image plain = { .width = OW, .height = OH }, out = { got, OW, OH, OS };

        memset(got, 0xAB, sizeof got);
        ck_assert_int_eq(nn_image_resize(&plain, &in, (nn_resize_kernel)k, NULL, NULL), NN_OK);
        ck_assert_int_eq(nn_image_resize(&out, &spaced, (nn_resize_kernel)k, NULL, NULL), NN_OK);
        for (int y = 0; y < OH; y++) {
            ck_assert_mem_eq(got + y * OS, plain.rgb + (size_t)y * plain.stride, OW * 3);
            for (int i = OW * 3; i < OS; i++)
                ck_assert_int_eq(got[y * OS + i], 0xAB);
        }
        nn_image_free(&plain);
    }
    free(in.rgb);
}
END_TEST

START_TEST(same_size_is_a_copy)
{
    nn_image in = noise(19, 23);

    for (int k = 0; k < NN_RESIZE_KERNELS; k++) {
        nn_image out = { .width = 19, .height = 23 };

        ck_assert_int_eq(nn_image_resize(&out, &in, (nn_resize_kernel)k, NULL, NULL), NN_OK);
        ck_assert_mem_eq(out.rgb, in.rgb, 19 * 23 * 3);
        nn_image_free(&out);
    }
    free(in.rgb);
}
END_TEST

START_TEST(flat_stays_flat)
{
    static const int sizes[] = { 1, 2, 3, 7, 64, 65 };
    nn_image in = noise(50, 40);

    for (int i = 0; i < 50 * 40 * 3; i++)
        in.rgb[i] = (uint8_t)(i % 3 == 0 ? 255 : i % 3 == 1 ? 0 : 77);
    for (size_t w = 0; w < sizeof sizes / sizeof sizes[0]; w++)
        for (size_t h = 0; h < sizeof sizes / sizeof sizes[0]; h++)
            for (int k = NN_RESIZE_PILLOW_BILINEAR; k < NN_RESIZE_KERNELS; k++) {
                nn_image out = { .width = sizes[w], .height = sizes[h] };

                ck_assert_int_eq(nn_image_resize(&out, &in, (nn_resize_kernel)k, NULL, NULL), NN_OK);
                for (int64_t i = 0; i < out.width * out.height * 3; i++)
                    ck_assert_int_eq(out.rgb[i], in.rgb[i % 3]);
                nn_image_free(&out);
            }
    free(in.rgb);
}
END_TEST

START_TEST(names)
{
    nn_resize_kernel kernel;
    nn_message why = { .text = "" };

    for (int k = 0; k < NN_RESIZE_KERNELS; k++) {
        ck_assert_int_eq(nn_resize_named(&kernel, nn_resize_name((nn_resize_kernel)k), &why), NN_OK);
        ck_assert_int_eq(kernel, k);
    }
    ck_assert_str_eq(nn_resize_name(NN_RESIZE_OPENCV_LINEAR), "cv2-linear");
    ck_assert_str_eq(nn_resize_name(NN_RESIZE_PILLOW_BILINEAR), "pil-bilinear");
    ck_assert_str_eq(nn_resize_name(NN_RESIZE_PILLOW_BICUBIC), "pil-bicubic");
    ck_assert_str_eq(nn_resize_name((nn_resize_kernel)77), "?");
    ck_assert_int_eq(nn_resize_named(&kernel, "lanczos", &why), NN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(why.text, "lanczos"));
    ck_assert_ptr_nonnull(strstr(why.text, "pil-bicubic"));
    ck_assert_int_eq(nn_resize_named(&kernel, NULL, &why), NN_EINVAL);
}
END_TEST

START_TEST(refusals)
{
    nn_image in = noise(4, 4), out = { .width = 0, .height = 4 }, none = { .width = 4, .height = 4 };
    nn_message why;

    ck_assert_int_eq(nn_image_resize(&out, &in, NN_RESIZE_OPENCV_LINEAR, NULL, &why), NN_EINVAL);
    out.width = 65537;
    ck_assert_int_eq(nn_image_resize(&out, &in, NN_RESIZE_OPENCV_LINEAR, NULL, &why), NN_EINVAL);
    out = (nn_image){ .width = 4, .height = 4, .stride = 11 };
    ck_assert_int_eq(nn_image_resize(&out, &in, NN_RESIZE_OPENCV_LINEAR, NULL, &why), NN_EINVAL);
    out.stride = 0;
    ck_assert_int_eq(nn_image_resize(&out, &none, NN_RESIZE_OPENCV_LINEAR, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_resize(&out, NULL, NN_RESIZE_OPENCV_LINEAR, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_resize(NULL, &in, NN_RESIZE_OPENCV_LINEAR, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_resize(&out, &in, NN_RESIZE_KERNELS, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_crop_centre(&out, NULL, &why), NN_EINVAL);
    ck_assert_int_eq(nn_image_crop(NULL, &in, 0, 0, &why), NN_EINVAL);
    free(in.rgb);
}
END_TEST

START_TEST(no_memory)
{
    nn_image in = noise(30, 20);

    for (int k = 0; k < NN_RESIZE_KERNELS; k++)
        for (int64_t n = 1;; n++) {
            nn_image out = { .width = 17, .height = 41 };
            nn_message why = { .text = "" };
            int rc;

            calls = 0;
            fail_at = n;
            rc = nn_image_resize(&out, &in, (nn_resize_kernel)k, NULL, &why);
            nn_image_free(&out);
            ck_assert_int_eq(live, 0);
            if (rc == NN_OK) {
                ck_assert_int_eq(n, 4);
                break;
            }
            ck_assert_int_eq(rc, NN_ENOMEM);
        }
    fail_at = calls + 1;
    ck_assert_int_eq(nn_image_crop_centre(&(nn_image){ .width = 3, .height = 3 }, &in, NULL), NN_ENOMEM);
    free(in.rgb);
}
END_TEST

START_TEST(scratch_is_reused)
{
    nn_vision_scratch scratch = { .size = { 0 } };
    static uint8_t pixels[64 * 64 * 3];
    nn_image in = noise(90, 70), out = { pixels, 64, 64, 0 };
    int64_t before;

    ck_assert_int_eq(nn_image_resize(&out, &in, NN_RESIZE_PILLOW_BICUBIC, &scratch, NULL), NN_OK);
    before = calls;
    for (int k = 0; k < NN_RESIZE_KERNELS; k++)
        ck_assert_int_eq(nn_image_resize(&out, &in, (nn_resize_kernel)k, &scratch, NULL), NN_OK);
    ck_assert_int_eq(calls, before);
    nn_vision_scratch_free(&scratch);
    nn_vision_scratch_free(&scratch);
    nn_vision_scratch_free(NULL);
    free(in.rgb);
}
END_TEST

START_TEST(flip)
{
    for (int64_t w = 1; w < 6; w++) {
        nn_image in = noise(w, 3), image = noise(w, 3);

        nn_image_flip(&image);
        for (int64_t y = 0; y < 3; y++)
            for (int64_t x = 0; x < w; x++)
                ck_assert_mem_eq(image.rgb + (y * w + x) * 3, in.rgb + (y * w + w - 1 - x) * 3, 3);
        nn_image_flip(&image);
        ck_assert_mem_eq(image.rgb, in.rgb, (size_t)w * 9);
        free(image.rgb);
        free(in.rgb);
    }
    nn_image_flip(NULL);
    nn_image_flip(&(nn_image){ .width = 1, .height = 1 });
    {
        nn_image in = noise(4, 3), image = noise(4, 3);

        /* Rows that overlap would be read and written where there are none. */
        image.stride = 11;
        nn_image_flip(&image);
        ck_assert_mem_eq(image.rgb, in.rgb, 36);
        free(image.rgb);
        free(in.rgb);
    }
}
END_TEST

START_TEST(crop)
{
    static const int64_t windows[][4] = { { 0, 0, 7, 5 },         { 2, 1, 3, 3 },        { -2, -1, 4, 4 },
                                          { 5, 3, 9, 9 },         { -3, 0, 3, 5 },       { 7, 0, 2, 2 },
                                          { -9, -9, 30, 30 },     { 0, 5, 7, 1 },        { 3, 2, 1, 1 },
                                          { INT64_MIN, 0, 2, 2 }, { 0, INT64_MAX, 2, 2 } };
    nn_image in = noise(7, 5);

    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        int64_t left = windows[i][0], top = windows[i][1];
        nn_image out = { .width = windows[i][2], .height = windows[i][3] };

        ck_assert_int_eq(nn_image_crop(&out, &in, left, top, NULL), NN_OK);
        for (int64_t y = 0; y < out.height; y++)
            for (int64_t x = 0; x < out.width; x++) {
                static const uint8_t black[3];
                bool inside = left > -100 && left < 100 && top < 100 && left + x >= 0 && left + x < 7 &&
                              top + y >= 0 && top + y < 5;

                ck_assert_mem_eq(out.rgb + (y * out.width + x) * 3,
                                 inside ? in.rgb + ((top + y) * 7 + left + x) * 3 : black, 3);
            }
        nn_image_free(&out);
    }
    free(in.rgb);
}
END_TEST

/* Where torchvision's CenterCrop(4) begins for widths 1..12. */
START_TEST(crop_centre)
{
    static const int64_t begins[] = { -1, -1, 0, 0, 0, 1, 2, 2, 2, 3, 4, 4 };

    for (int64_t w = 1; w <= 12; w++) {
        nn_image in = noise(w, w), got = { .width = 4, .height = 4 }, want = got;

        ck_assert_int_eq(nn_image_crop_centre(&got, &in, NULL), NN_OK);
        ck_assert_int_eq(nn_image_crop(&want, &in, begins[w - 1], begins[w - 1], NULL), NN_OK);
        ck_assert_mem_eq(got.rgb, want.rgb, 48);
        nn_image_free(&got);
        nn_image_free(&want);
        free(in.rgb);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resize");
    TCase *t = tcase_create("resize");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, bytes_of_the_originals, 0, GOLDENS);
    tcase_add_test(t, strides_and_guards);
    tcase_add_test(t, same_size_is_a_copy);
    tcase_add_test(t, flat_stays_flat);
    tcase_add_test(t, names);
    tcase_add_test(t, refusals);
    tcase_add_test(t, no_memory);
    tcase_add_test(t, scratch_is_reused);
    tcase_add_test(t, flip);
    tcase_add_test(t, crop);
    tcase_add_test(t, crop_centre);
    suite_add_tcase(s, t);
    return suite_run(s);
}
