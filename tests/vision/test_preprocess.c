/* SPDX-License-Identifier: MIT
 *
 * The preprocessing record: what it does to pixels, and that its text is read back bit for bit or refused by
 * name.
 */
#include "base/base.h"
#include "suite.h"

#include <nn/vision.h>

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static nn_image gradient(int64_t width, int64_t height)
{
    nn_image image = { .width = width, .height = height };

    image.rgb = malloc((size_t)(width * height) * 3);
    ck_assert_ptr_nonnull(image.rgb);
    for (int64_t i = 0; i < width * height * 3; i++)
        image.rgb[i] = (uint8_t)((i % (width * 3)) * 5 + (i / (width * 3)) * 3);
    return image;
}

static char *text_of(const nn_preprocess *r)
{
    size_t length, again;
    nn_message why = { .text = "" };
    char *text;

    ck_assert_int_eq(nn_preprocess_write(r, NULL, 0, &length, &why), NN_EINVAL);
    text = malloc(length + 1);
    memset(text, 'x', length + 1);
    ck_assert_int_eq(nn_preprocess_write(r, text, length, &again, &why), NN_EINVAL);
    ck_assert_int_eq(text[0], 'x');
    ck_assert_msg(nn_preprocess_write(r, text, length + 1, &again, &why) == NN_OK, "%s", why.text);
    ck_assert_uint_eq(again, length);
    ck_assert_uint_eq(strlen(text), length);
    return text;
}

/* ------------------------------------------------------------------------------------------------ pixels */

START_TEST(squash)
{
    nn_preprocess r = nn_preprocess_default();
    nn_image in = gradient(60, 40), want = { .width = 224, .height = 224 };
    uint8_t *got = malloc(224 * 224 * 3);

    ck_assert_int_eq(nn_preprocess_apply(&r, &in, got, NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_image_resize(&want, &in, NN_RESIZE_OPENCV_LINEAR, NULL, NULL), NN_OK);
    ck_assert_mem_eq(got, want.rgb, 224 * 224 * 3);
    nn_image_free(&want);
    free(got);
    free(in.rgb);
}
END_TEST

/* torchvision's Resize(16) + CenterCrop(12). */
START_TEST(shorter_side_and_crop)
{
    static const int64_t sizes[][4] = {
        { 60, 41, 23, 16 }, { 41, 60, 16, 23 }, { 50, 50, 16, 16 }, { 5, 9, 16, 28 }
    };
    nn_vision_scratch scratch = { .size = { 0 } };
    uint8_t got[12 * 12 * 3], with_scratch[12 * 12 * 3];

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        nn_preprocess r = nn_preprocess_default();
        nn_image in = gradient(sizes[i][0], sizes[i][1]),
                 middle = { .width = sizes[i][2], .height = sizes[i][3] };
        nn_image want = { .width = 12, .height = 12 };

        r.kernel = NN_RESIZE_PILLOW_BICUBIC;
        r.resize_height = r.resize_width = 0;
        r.resize_shorter = 16;
        r.crop = 1;
        r.size = 12;
        ck_assert_int_eq(nn_preprocess_apply(&r, &in, got, NULL, NULL), NN_OK);
        ck_assert_int_eq(nn_preprocess_apply(&r, &in, with_scratch, &scratch, NULL), NN_OK);
        ck_assert_int_eq(nn_image_resize(&middle, &in, r.kernel, NULL, NULL), NN_OK);
        ck_assert_int_eq(nn_image_crop_centre(&want, &middle, NULL), NN_OK);
        ck_assert_mem_eq(got, want.rgb, sizeof got);
        ck_assert_mem_eq(with_scratch, want.rgb, sizeof got);
        calls = 0;
        ck_assert_int_eq(nn_preprocess_apply(&r, &in, with_scratch, &scratch, NULL), NN_OK);
        ck_assert_int_eq(calls, 0);
        nn_image_free(&want);
        nn_image_free(&middle);
        free(in.rgb);
    }
    nn_vision_scratch_free(&scratch);
}
END_TEST

START_TEST(crop_alone)
{
    nn_preprocess r = nn_preprocess_default();
    nn_image in = gradient(9, 30), want = { .width = 12, .height = 12 };
    uint8_t got[12 * 12 * 3];

    r.resize_height = r.resize_width = 0;
    r.crop = 1;
    r.size = 12;
    ck_assert_int_eq(nn_preprocess_apply(&r, &in, got, NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_image_crop_centre(&want, &in, NULL), NN_OK);
    ck_assert_mem_eq(got, want.rgb, sizeof got);
    nn_image_free(&want);
    free(in.rgb);
}
END_TEST

START_TEST(too_thin)
{
    nn_preprocess r = nn_preprocess_default();
    nn_image in = gradient(1, 5000);
    nn_vision_scratch scratch = { .size = { 0 } };
    static uint8_t got[224 * 224 * 3];

    r.resize_height = r.resize_width = 0;
    r.resize_shorter = 256;
    r.crop = 1;
    ck_assert_int_eq(nn_preprocess_apply(&r, &in, got, NULL, NULL), NN_EINVAL);
    ck_assert_int_eq(nn_preprocess_apply(&r, &in, got, &scratch, NULL), NN_EINVAL);
    ck_assert_int_eq(nn_preprocess_apply(&r, NULL, got, &scratch, NULL), NN_EINVAL);
    ck_assert_int_eq(nn_preprocess_apply(&r, &in, NULL, &scratch, NULL), NN_EINVAL);
    nn_vision_scratch_free(&scratch);
    free(in.rgb);
}
END_TEST

START_TEST(no_memory)
{
    nn_preprocess r = nn_preprocess_default();
    nn_image in = gradient(40, 30);
    uint8_t got[12 * 12 * 3];

    r.resize_height = r.resize_width = 0;
    r.resize_shorter = 16;
    r.crop = 1;
    r.size = 12;
    r.kernel = NN_RESIZE_PILLOW_BILINEAR;
    for (int with = 0; with < 2; with++)
        for (int64_t n = 1;; n++) {
            nn_vision_scratch scratch = { .size = { 0 } };
            int rc;

            calls = 0;
            fail_at = n;
            rc = nn_preprocess_apply(&r, &in, got, with ? &scratch : NULL, NULL);
            nn_vision_scratch_free(&scratch);
            ck_assert_int_eq(live, 0);
            if (rc == NN_OK) {
                ck_assert_int_eq(n, 4);
                break;
            }
            ck_assert_int_eq(rc, NN_ENOMEM);
        }
    free(in.rgb);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- text */

START_TEST(round_trip)
{
    static const char *const names[] = { "real", "fake", "na\xC3\xAFve \"quoted\" \\ \n \x01" };
    nn_preprocess r = nn_preprocess_default(), back;
    nn_message why = { .text = "" };
    nni_stream stream = nni_stream_of(3, 9);

    ck_assert_int_eq(nn_preprocess_set_classes(&r, names, 3, &why), NN_OK);
    for (uint64_t n = 0; n < 500; n++) {
        uint32_t word[8];
        char *text, *again;

        nni_stream_at(&stream, n, 0, 0, word);
        nni_stream_at(&stream, n, 0, 1, word + 4);
        for (int i = 0; i < 3; i++) {
            r.mean[i] = ldexp(nni_uniform(word[i]) - 0.5, (int)(word[i + 1] % 110) - 100);
            r.std[i] = ldexp(nni_uniform(word[i + 4]), (int)(word[i] % 20) - 10) + 1e-4;
        }
        r.maximum = n % 2 ? 255 : nni_uniform(word[7]) + 1;
        r.kernel = (nn_resize_kernel)(n % NN_RESIZE_KERNELS);
        r.size = 1 + (int64_t)(n * 131 % 4096);
        r.crop = n % 3 != 0;
        r.resize_shorter = n % 3 == 1 ? 17 : 0;
        r.resize_height = n % 3 == 0 ? r.size : n % 3 == 2 ? 33 : 0;
        r.resize_width = n % 3 == 0 ? r.size : n % 3 == 2 ? 44 : 0;
        text = text_of(&r);
        ck_assert_msg(nn_preprocess_read(&back, text, &why) == NN_OK, "%s in %s", why.text, text);
        ck_assert(back.kernel == r.kernel && back.size == r.size && back.crop == r.crop);
        ck_assert(back.resize_height == r.resize_height && back.resize_width == r.resize_width);
        ck_assert_int_eq(back.resize_shorter, r.resize_shorter);
        ck_assert_mem_eq(back.mean, r.mean, sizeof r.mean);
        ck_assert_mem_eq(back.std, r.std, sizeof r.std);
        ck_assert_mem_eq(&back.maximum, &r.maximum, sizeof r.maximum);
        ck_assert_int_eq(back.classes, 3);
        for (int i = 0; i < 3; i++)
            ck_assert_str_eq(back.class_names[i], names[i]);
        again = text_of(&back);
        ck_assert_str_eq(again, text);
        nn_preprocess_free(&back);
        free(again);
        free(text);
    }
    nn_preprocess_free(&r);
    nn_preprocess_free(&r);
    nn_preprocess_free(NULL);
}
END_TEST

/* Replaces the first `from` by `to`. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *out = malloc(strlen(text) + strlen(to) + 1);

    ck_assert_msg(at != NULL, "%s is not in %s", from, text);
    (void)sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

START_TEST(strict)
{
    static const struct {
        const char *from, *to, *text;
    } cases[] = {
        { "{", "{\"colour\":1,", "\"colour\"" },
        { "{", "{\"size\":224,", "duplicate" },
        { "\"size\":224,", "", "\"size\" is missing" },
        { "\"size\":224", "\"size\":224.0", "\"size\" is not a whole number" },
        { "\"size\":224", "\"size\":0", "size" },
        { "\"size\":224", "\"size\":225", "crop" },
        { "\"cv2-linear\"", "\"cv2-lunar\"", "cv2-lunar" },
        { "\"cv2-linear\"", "7", "\"kernel\" is not a string" },
        { "\"crop\":false", "\"crop\":0", "\"crop\" is not true or false" },
        { "\"resize_width\":224", "\"resize_width\":0", "resize_width" },
        { "\"resize_shorter\":0", "\"resize_shorter\":9", "resize_shorter" },
        { "\"resize_shorter\":0", "\"resize_shorter\":null", "resize_shorter" },
        { "\"mean\":[", "\"mean\":[1,", "\"mean\" is not a list of three" },
        { "\"mean\":[", "\"mean\":[[],", "\"mean\" is not a list of three" },
        { "\"std\":[0.22900000000000001", "\"std\":[0", "std" },
        { "\"std\":[0.22900000000000001", "\"std\":[-1", "std" },
        { "\"std\":[0.22900000000000001", "\"std\":[\"a\"", "\"std\" is not a number" },
        { "\"std\":[0.22900000000000001", "\"std\":[1e999", "preprocessing record" },
        { "\"std\":[0.22900000000000001", "\"std\":[NaN", "preprocessing record" },
        { "\"maximum\":255", "\"maximum\":-255", "maximum" },
        { "\"maximum\":255", "\"maximum\":\"255", "preprocessing record" },
        { "\"class_names\":[]", "\"class_names\":{}", "\"class_names\" is not a list" },
        { "\"class_names\":[]", "\"class_names\":[1]", "\"class_names\" is not a list of strings" },
        { "\"class_names\":[]", "\"class_names\":[\"a\",\"a\"]", "appears twice" },
        { "\"class_names\":[]", "\"class_names\":[\"\"]", "empty" },
        { "\"class_names\":[]", "\"class_names\":[\"a\\u0000b\"]", "\"class_names\": a zero character" },
        { "\"cv2-linear\"", "\"cv2-linear\\u0000\"", "\"kernel\": a zero character" },
        { "\"size\":224", "\"size\\u0000\":224", "a zero character" },
        { "}", "} x", "byte" },
        { "}", "", "byte" },
    };
    nn_preprocess r = nn_preprocess_default(), back;
    char *text = text_of(&r);
    nn_message why;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *bad = replaced(text, cases[i].from, cases[i].to);

        why.text[0] = 0;
        ck_assert_msg(nn_preprocess_read(&back, bad, &why) == NN_EFORMAT, "case %zu: %s", i, bad);
        ck_assert_msg(strstr(why.text, cases[i].text) != NULL, "case %zu: %s", i, why.text);
        ck_assert_ptr_null(back.class_names);
        ck_assert_int_eq(back.size, 0);
        free(bad);
    }
    ck_assert_int_eq(nn_preprocess_read(&back, "[]", &why), NN_EFORMAT);
    ck_assert_int_eq(nn_preprocess_read(&back, "", &why), NN_EFORMAT);
    ck_assert_int_eq(nn_preprocess_read(&back, NULL, &why), NN_EINVAL);
    free(text);
}
END_TEST

START_TEST(check)
{
    static const struct {
        double mean, std, maximum;
        const char *field; /* that is refused */
    } absurd[] = {
        { 123.68, 58.4, 1, NULL }, /* of pixels from 0 to 255 */
        { -1, 1. / 255, 65535, NULL }, { 1e300, 1, 255, "mean" },         { -INFINITY, 1, 255, "mean" },
        { 0.5, 0, 255, "std" },        { 0.5, -0.2, 255, "std" },         { 0.5, 1e-300, 255, "std" },
        { 0.5, 1e300, 255, "std" },    { 0.5, NAN, 255, "std" },          { 0.5, 0.2, -255, "maximum" },
        { 0.5, 0.2, 1e-9, "maximum" }, { 0.5, 0.2, INFINITY, "maximum" },
    };
    nn_preprocess good = nn_preprocess_default(), r = good;
    size_t length;
    nn_message why;

    ck_assert_int_eq(nn_preprocess_check(&good, &why), NN_OK);
    r.mean[1] = NAN;
    ck_assert_int_eq(nn_preprocess_check(&r, &why), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(why.text, "mean"));
    ck_assert_int_eq(nn_preprocess_write(&r, NULL, 0, &length, &why), NN_EINVAL);
    ck_assert_uint_eq(length, 0);
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        r = good;
        r.mean[0] = absurd[i].mean;
        r.std[2] = absurd[i].std;
        r.maximum = absurd[i].maximum;
        ck_assert_int_eq(nn_preprocess_check(&r, &why), absurd[i].field ? NN_EINVAL : NN_OK);
        ck_assert(!absurd[i].field || !strncmp(why.text, absurd[i].field, strlen(absurd[i].field)));
    }
    r = good;
    r.size = r.resize_height = r.resize_width = 4097;
    ck_assert_int_eq(nn_preprocess_check(&r, &why), NN_EINVAL);
    r = good;
    r.kernel = NN_RESIZE_KERNELS;
    ck_assert_int_eq(nn_preprocess_check(&r, &why), NN_EINVAL);
    r = good;
    r.classes = 2;
    ck_assert_int_eq(nn_preprocess_check(&r, &why), NN_EINVAL);
    r = (nn_preprocess){ .classes = 0 };
    ck_assert_int_eq(nn_preprocess_check(&r, &why), NN_EINVAL);
    ck_assert_int_eq(nn_preprocess_check(NULL, &why), NN_EINVAL);
}
END_TEST

START_TEST(classes)
{
    static const char *const names[] = { "a", "b" }, *const twice[] = { "a", "a" }, *const bad[] = { "\xFF" };
    nn_preprocess r = nn_preprocess_default();
    nn_message why;

    for (int64_t n = 1; n <= 3; n++) {
        fail_at = calls + n;
        ck_assert_int_eq(nn_preprocess_set_classes(&r, names, 2, &why), NN_ENOMEM);
        ck_assert_int_eq(live, 0);
    }
    fail_at = 0;
    ck_assert_int_eq(nn_preprocess_set_classes(&r, names, 2, &why), NN_OK);
    ck_assert_int_eq(nn_preprocess_set_classes(&r, twice, 2, &why), NN_EINVAL);
    ck_assert_int_eq(nn_preprocess_set_classes(&r, bad, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_preprocess_set_classes(&r, NULL, 1, &why), NN_EINVAL);
    ck_assert_int_eq(r.classes, 2);
    ck_assert_str_eq(r.class_names[1], "b");
    ck_assert_int_eq(nn_preprocess_set_classes(&r, NULL, 0, &why), NN_OK);
    ck_assert_ptr_null(r.class_names);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("preprocess");
    TCase *t = tcase_create("preprocess");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, squash);
    tcase_add_test(t, shorter_side_and_crop);
    tcase_add_test(t, crop_alone);
    tcase_add_test(t, too_thin);
    tcase_add_test(t, no_memory);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, strict);
    tcase_add_test(t, check);
    tcase_add_test(t, classes);
    suite_add_tcase(s, t);
    return suite_run(s);
}
