/* SPDX-License-Identifier: MIT
 *
 * fakereal_audit: every planted defect is found and counted, nothing is found in a clean set, and a set whose
 * classes differ in nothing but their format is told so.
 */
#include "programs.h"
#include "suite.h"

#include <apps/train_audit.h>

#include <jansson.h>

enum { MOST = 64, CLEAN = 200 };

#define audit(folder, ...)                                                                                   \
    run("fakereal_audit", "--data", in_tree(folder), "--json", in_tree("audit.json"), __VA_ARGS__, NULL)

static json_t *report(void)
{
    char *text = read_text("audit.json");
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

    ck_assert_ptr_nonnull(root);
    free(text);
    return root;
}

static const json_t *found(const json_t *root, const char *name)
{
    size_t i;
    json_t *f;

    json_array_foreach(json_object_get(root, "findings"), i,
                       f) if (!strcmp(json_string_value(json_object_get(f, "name")), name)) return f;
    return NULL;
}

static const char *severity(const json_t *root, const char *name)
{
    const json_t *f = found(root, name);

    return f ? json_string_value(json_object_get(f, "severity")) : "absent";
}

static double score(const json_t *root, const char *field)
{
    const json_t *classes = json_object_get(root, "classes");

    return json_number_value(field ? json_object_get(json_object_get(classes, "fields"), field)
                                   : json_object_get(classes, "balanced_accuracy"));
}

/* A set in which nothing is wrong. */
static void clean_set(const char *folder, const char *side)
{
    char count[16];

    (void)snprintf(count, sizeof count, "%d", CLEAN);
    run("fakereal_synth", "--output", in_tree(folder), "--count", count, "--image-size", side, NULL);
    expect_code(0);
}

/* Before a training it has little time. */
START_TEST(given_up)
{
    struct audit a;
    nn_dataset *d;

    clean_set("set", "32");
    d = load("set");
    ck_assert_int_eq(train_audit(&a, d, 0, 1, 0), 0);
    ck_assert_ptr_null(a.file);
    ck_assert_int_eq(train_audit(&a, d, 0, 1, 100), 0);
    ck_assert_ptr_nonnull(a.file);
    audit_free(&a);
    nn_dataset_free(d);
}
END_TEST

/* Decoding does not make damage of what is only too large. */
START_TEST(too_large_decoded)
{
    struct bytes b = { .size = 0 };
    json_t *root;

    clean_set("set", "32");
    begin_png(&b, 20000, 19000, 8, 2);
    add_chunk(&b, "IDAT", "x", 1);
    add_chunk(&b, "IEND", NULL, 0);
    put_bytes("set/train/fake_images/large.png", b.at, b.size);
    audit("set", "--decode");
    expect_code(1);
    root = report();
    ck_assert_ptr_nonnull(found(root, "too-large"));
    ck_assert_ptr_null(found(root, "damaged"));
    json_decref(root);
}
END_TEST

START_TEST(nothing_to_find)
{
    json_t *root;

    clean_set("set", "32");
    audit("set", "--decode");
    expect_code(0);
    expect_in(ran.out, "0 errors, 0 warnings, 0 notes");
    root = report();
    ck_assert_uint_eq(json_array_size(json_object_get(root, "findings")), 0);
    ck_assert_double_le(score(root, NULL), 0.6);
    ck_assert_double_gt(score(root, NULL), 0);
    json_decref(root);
}
END_TEST

/* ---------------------------------------------------------------------------- planted defects */

static struct {
    char name[24], file[64];
    int64_t count;
} planted[MOST];
static int kinds;

/* Notes that `file` has to be counted under each of the findings `names`, separated by spaces. */
static void expect(const char *names, const char *file)
{
    char copy[128], *next;
    int k;

    (void)snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok_r(copy, " ", &next); name; name = strtok_r(NULL, " ", &next)) {
        for (k = 0; k < kinds && strcmp(planted[k].name, name) != 0;)
            k++;
        ck_assert_int_lt(k, MOST);
        kinds += k == kinds;
        (void)snprintf(planted[k].name, sizeof planted[k].name, "%s", name);
        (void)snprintf(planted[k].file, sizeof planted[k].file, "%s", file);
        planted[k].count++;
    }
}

static void plant(const char *names, const char *file, const void *bytes, size_t size)
{
    char path[128];

    (void)snprintf(path, sizeof path, "set/%s", file);
    put_bytes(path, bytes, size);
    expect(names, file);
}

static void plant_text(const char *names, const char *file, const char *text)
{
    plant(names, file, text, strlen(text));
}

static void plant_built(const char *names, const char *file, const struct bytes *b)
{
    plant(names, file, b->at, b->size);
}

/* A PNG of any size whose pixels are missing: no matter as long as none is decoded. `type` NULL, or a chunk
 * behind the header. */
static struct bytes shell(uint32_t width, uint32_t height, int depth, int colour, const char *type,
                          const char *data, size_t size)
{
    static unsigned number;
    struct bytes b = { .size = 0 };

    begin_png(&b, width, height, depth, colour);
    if (type)
        add_chunk(&b, type, data, size);
    number++;
    add_chunk(&b, "IDAT", &number, sizeof number);
    add_chunk(&b, "IEND", NULL, 0);
    return b;
}

/* The JPEG with a segment behind its signature. */
static struct bytes with_segment(const uint8_t *jpeg, size_t size, int marker, const char *data, size_t n)
{
    struct bytes b = { .size = 0 };
    uint8_t head[4] = { 0xFF, (uint8_t)marker, (uint8_t)((n + 2) >> 8), (uint8_t)(n + 2) };

    add(&b, jpeg, 2);
    add(&b, head, 4);
    add(&b, data, n);
    add(&b, jpeg + 2, size - 2);
    return b;
}
#define segment(jpeg, marker, text) with_segment(jpeg, sizeof(jpeg), marker, text, sizeof(text) - 1)

static void copy(const char *names, const char *from, const char *to)
{
    char path[128];
    size_t size;
    char *bytes;

    (void)snprintf(path, sizeof path, "set/%s", from);
    bytes = get_bytes(path, &size);
    plant(names, to, bytes, size);
    free(bytes);
}

/* Path of the n-th picture of a folder of the clean set. */
static const char *picture(const char *folder, int n)
{
    static char path[8][128];
    static int turn;
    char *out = path[turn++ % 8];

    for (int i = 0; i < CLEAN; i++) {
        char whole[160];

        (void)snprintf(out, sizeof path[0], "%s/%07d.png", folder, i);
        (void)snprintf(whole, sizeof whole, "set/%s", out);
        if (!access(in_tree(whole), F_OK) && !n--)
            return out;
    }
    ck_abort_msg("too few pictures in %s", folder);
    return NULL;
}

#define F "train/fake_images/"
#define R "train/real_images/"

static void plant_unusable(void)
{
    struct bytes b = png(8, 2, 5);
    uint8_t zeros[64] = { 0 };

    plant_text("not-an-image", F "page.jpg", "<!DOCTYPE html><title>404</title>");
    plant_text("not-an-image", F "animation.png", "GIF89a..............................");
    plant("not-an-image", R "web.jpg", "RIFF\x20\0\0\0WEBPVP8 ........", 24);
    plant_text("not-an-image", R "lfs.png", "version https://git-lfs.github.com/spec/v1\n");
    plant("not-an-image", R "next.jpg",
          "\0\0\0\x20"
          "ftypavif....................",
          32);
    plant_text("not-an-image", R "text.png", "this is not an image");
    plant_text("damaged", F "empty.png", "");
    plant("damaged", F "zeros.jpg", zeros, sizeof zeros);
    plant("damaged", F "short.jpg", baseline_420, sizeof baseline_420 - 40);
    plant("damaged", F "head.jpg", baseline_420, 100);
    plant("damaged", F "short.png", b.at, b.size - 20);
    plant("damaged", R "signature.png", b.at, 5);
    b.at[20] ^= 1;
    plant("damaged", R "checksum.png", b.at, b.size);
    ck_assert_int_eq(symlink("nowhere", in_tree("set/" F "dangling.png")), 0);
    expect("unreadable", F "dangling.png");
}

static void plant_shapes(void)
{
    struct bytes b = shell(20000, 19000, 8, 2, NULL, NULL, 0);
    uint8_t turned[sizeof baseline_444], poor[sizeof progressive];

    plant_built("too-large", F "side.png", &b);
    b = shell(9000, 9000, 8, 2, NULL, NULL, 0);
    plant_built("too-large", F "area.png", &b);
    b = shell(31, 40, 8, 2, NULL, NULL, 0);
    plant_built("tiny", F "tiny.png", &b);
    b = shell(400, 100, 8, 2, NULL, NULL, 0);
    plant_built("narrow", F "wide.png", &b);
    b = shell(100, 400, 8, 2, NULL, NULL, 0);
    plant_built("narrow", F "tall.png", &b);
    b = shell(64, 64, 16, 2, NULL, NULL, 0);
    plant_built("16-bit", F "deep.png", &b);
    b = shell(64, 64, 8, 6, NULL, NULL, 0);
    plant_built("alpha", F "alpha.png", &b);
    b = shell(64, 64, 8, 2, "tRNS", "\0\1\0\1\0\1", 6);
    plant_built("alpha", F "key.png", &b);
    b = shell(64, 64, 8, 3, NULL, NULL, 0);
    plant_built("grey", F "palette.png", &b);
    b = shell(64, 64, 8, 2, NULL, NULL, 0);
    plant_built("extension", F "wrong.jpg", &b);
    plant("extension tiny", F "wrong.png", baseline_420, sizeof baseline_420);
    plant("grey tiny", F "grey.jpg", grey, sizeof grey);
    plant("cmyk tiny", F "cmyk.jpg", cmyk, sizeof cmyk);
    memcpy(turned, baseline_444, sizeof turned);
    for (size_t i = 0; i + 10 < sizeof turned; i++)
        if (!memcmp(turned + i, "\1\x12\0\3\0\0\0\1\0\1", 10))
            turned[i + 9] = 6;
    plant("orientation tiny", F "turned.jpg", turned, sizeof turned);
    memcpy(poor, progressive, sizeof poor);
    for (size_t i = 0; i + 69 < sizeof poor; i++)
        if (poor[i] == 0xFF && poor[i + 1] == 0xDB)
            memset(poor + i + 5, 200, 64);
    plant("low-quality tiny", F "poor.jpg", poor, sizeof poor);
}

static void plant_origins(void)
{
    static const char *const keys[] = { "parameters", "prompt", "workflow", "invokeai_metadata", "Dream" };
    struct bytes b;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char file[64], text[64] = { 0 };

        (void)snprintf(file, sizeof file, F "key%zu.png", i);
        (void)snprintf(text, sizeof text, "%s%ca cat", keys[i], 0);
        b = shell(64, 64, 8, 2, i % 2 ? "iTXt" : "tEXt", text, strlen(keys[i]) + 6);
        plant_built("generator", file, &b);
    }
    b = shell(64, 64, 8, 2, "tEXt", "prompt\0a dog", 12);
    plant_built("generator doubtful-label", R "prompt.png", &b);
    b = segment(restart, 0xE1, "http://ns.adobe.com/xap/1.0/\0<x>.../trainedAlgorithmicMedia</x>");
    plant_built("generator doubtful-label tiny", R "xmp.jpg", &b);
    b = segment(baseline_444, 0xEB, "JP....jumbjumdc2pa and so on");
    plant_built("c2pa tiny", F "manifest.jpg", &b);
    b = shell(64, 64, 8, 2, "caBX", "jumbjumdc2pa trainedAlgorithmicMedia", 36);
    plant_built("c2pa generator", F "manifest.png", &b);
}

static void plant_copies(void)
{
    copy("duplicate", picture("train/fake_images", 0), F "copy.png");
    copy("duplicate", picture("train/real_images", 0), R "copy.png");
    copy("leak", picture("valid/fake_images", 0), F "from_valid.png");
    copy("leak", picture("valid/real_images", 0), R "from_valid.png");
    copy("leak", picture("test/real_images", 0), R "from_test.png");
    copy("conflict duplicate", picture("train/fake_images", 1), R "other_label.png");
}

static void plant_beside(void)
{
    plant_text("ignored-file", F "picture.webp", "x");
    plant_text("ignored-file", R "notes.txt", "x");
    ck_assert_int_eq(mkdir(in_tree("set/train/other"), 0777), 0);
    expect("ignored-folder", "train/other");
    ck_assert_int_eq(mkfifo(in_tree("set/" F "pipe.png"), 0666), 0);
    expect("skipped", F "pipe.png");
}

START_TEST(planted_defects)
{
    int64_t all = 0;
    json_t *root, *f;
    size_t i;

    kinds = 0;
    memset(planted, 0, sizeof planted);
    clean_set("set", "32");
    plant_unusable();
    plant_shapes();
    plant_origins();
    plant_copies();
    plant_beside();
    audit("set", "--html", in_tree("audit.html"));
    expect_code(1);
    root = report();
    for (int k = 0; k < kinds; k++) {
        const json_t *got = found(root, planted[k].name);
        bool named = false;
        json_t *e;

        ck_assert_msg(got != NULL, "%s is not found in: %.2000s", planted[k].name, ran.out);
        ck_assert_msg(json_integer_value(json_object_get(got, "count")) == planted[k].count,
                      "%s: %lld expected in: %.2000s", planted[k].name, (long long)planted[k].count, ran.out);
        json_array_foreach(json_object_get(got, "examples"), i, e) named =
            named || strstr(json_string_value(json_object_get(e, "file")), planted[k].file) ||
            strstr(json_string_value(json_object_get(e, "why")), planted[k].file);
        ck_assert_msg(named || planted[k].count > 5 || !strcmp(planted[k].name, "ignored-file"),
                      "%s does not name %s: %.2000s", planted[k].name, planted[k].file, ran.out);
        all += planted[k].count;
    }
    ck_assert_int_ge(all, 40);
    json_array_foreach(json_object_get(root, "findings"), i, f)
    {
        const char *name = json_string_value(json_object_get(f, "name"));
        bool known = false;

        for (int k = 0; k < kinds; k++)
            known = known || !strcmp(planted[k].name, name);
        ck_assert_msg(known, "%s was not planted: %.2000s", name, ran.out);
    }
    ck_assert_str_eq(severity(root, "leak"), "error");
    ck_assert_str_eq(severity(root, "c2pa"), "note");
    json_decref(root);
}
END_TEST

/* What only decoding shows: the same picture in another size, and pixel data that end too early. */
START_TEST(decoded)
{
    static const char from[] = "train/fake_images";
    const char *to[] = { "valid/fake_images/near.png", F "near.png", R "near.png" };
    nn_image image = { .rgb = NULL }, large;
    struct bytes b = shell(64, 64, 8, 2, NULL, NULL, 0);
    json_t *root;

    clean_set("set", "96");
    for (int i = 0; i < 3; i++) {
        char path[160];

        (void)snprintf(path, sizeof path, "set/%s", picture(from, i));
        ck_assert_int_eq(nn_image_load(&image, in_tree(path), NULL, &why), NN_OK);
        large = (nn_image){ .width = 72, .height = 72 };
        ck_assert_int_eq(nn_image_resize(&large, &image, NN_RESIZE_PILLOW_BICUBIC, NULL, &why), NN_OK);
        (void)snprintf(path, sizeof path, "set/%s", to[i]);
        ck_assert_int_eq(nn_image_save_png(&large, in_tree(path), 6, &why), NN_OK);
        nn_image_free(&image);
        nn_image_free(&large);
    }
    put_bytes("set/" R "hollow.png", b.at, b.size);
    audit("set", "--decode");
    expect_code(1);
    root = report();
    for (int i = 0; i < 4; i++) {
        static const char *const name[] = { "near-leak", "near-duplicate", "near-conflict", "damaged" };
        const json_t *f = found(root, name[i]);

        ck_assert_msg(f != NULL, "%s is not found in: %.2000s", name[i], ran.out);
        ck_assert_int_eq(json_integer_value(json_object_get(f, "count")), 1);
    }
    json_decref(root);
}
END_TEST

/* ------------------------------------------------------------------------------- shortcuts */

/* `n` files in tree/folder: JPEG or PNG. Segments and seeds make them differ. */
static void files(const char *folder, int n, bool jpeg)
{
    for (int i = 0; i < n; i++) {
        char path[128], number[16];
        struct bytes b;

        (void)snprintf(number, sizeof number, "%s %d", folder[6] == 'f' ? "f" : "r", i);
        b = jpeg ? with_segment(baseline_420, sizeof baseline_420, 0xE5, number, strlen(number))
                 : shell(21, 13, 8, 2, "abCd", number, strlen(number));
        (void)snprintf(path, sizeof path, "%s/%03d.%s", folder, i, jpeg ? "jpg" : "png");
        put_bytes(path, b.at, b.size);
    }
}

START_TEST(format_shortcut)
{
    json_t *root;

    files("set/train/fake", 60, false);
    files("set/train/real", 60, true);
    audit("set", "--threads", "3");
    expect_code(1);
    root = report();
    ck_assert_double_ge(score(root, NULL), 0.95);
    ck_assert_double_ge(score(root, "container"), 0.95);
    ck_assert_double_le(score(root, "orientation"), 0.6);
    ck_assert_str_eq(severity(root, "shortcut"), "error");
    expect_in(ran.out, "a classifier that never sees a pixel reaches 100.0 %");
    json_decref(root);
}
END_TEST

START_TEST(same_formats)
{
    json_t *root;

    files("set/train/fake", 60, false);
    files("set/train/real", 60, false);
    audit("set", "--threads", "3");
    root = report();
    ck_assert_double_le(score(root, NULL), 0.6);
    ck_assert_ptr_null(found(root, "shortcut"));
    json_decref(root);
}
END_TEST

START_TEST(classes_and_splits)
{
    json_t *root;

    files("set/train/fake", 60, false);
    files("set/train/real", 15, false);
    files("set/valid/fake", 20, true);
    audit("set", "--threads", "1");
    expect_code(1);
    root = report();
    ck_assert_str_eq(severity(root, "imbalance"), "warning");
    ck_assert_str_eq(severity(root, "one-class"), "error");
    ck_assert_str_eq(severity(root, "drift"), "error");
    json_decref(root);
}
END_TEST

/* --------------------------------------------------------------------------------- the rest */

/* Two flat images: the means are their colours, the deviations are those of two halves. */
START_TEST(mean_std)
{
    uint8_t rgb[32 * 32 * 3];
    nn_image image = { .rgb = rgb, .width = 32, .height = 32 };
    json_t *root;

    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 32 * 32; i++) {
            rgb[3 * i] = k ? 255 : 0;
            rgb[3 * i + 1] = 51;
            rgb[3 * i + 2] = i < 16 * 32 ? 0 : (uint8_t)(k ? 0 : 102);
        }
        put_png(k ? "set/fake/x.png" : "set/real/x.png", 1);
        ck_assert_int_eq(nn_image_save_png(&image, in_tree(k ? "set/fake/x.png" : "set/real/x.png"), 6, &why),
                         NN_OK);
    }
    audit("set", "--mean-std");
    expect_in(ran.out, "mean  0.500000 0.200000 0.1");
    expect_in(ran.out, "std   0.000000 0.000000 0.0");
    root = report();
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_object_get(root, "mean"), 2)), 0.1, 1e-6);
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_object_get(root, "std"), 2)), 0.1, 2e-3);
    json_decref(root);
}
END_TEST

/* The report does not depend on threads; a page holds what strangers wrote only in a harmless form. */
START_TEST(files_written)
{
    struct bytes wide = shell(42, 13, 8, 2, "abCd", "wide", 4);
    char *one, *three, *page;

    files("set/train/fake", 20, false);
    files("set/train/real", 20, true);
    put_bytes("set/train/fake/wide.png", wide.at, wide.size);
    put_bytes("set/train/real/<script>\"&.jpg", "<html>", 6);
    put_bytes("set/train/real/\xc3\xa9\xff.jpg", "<html>", 6);
    audit("set", "--threads", "1", "--html", in_tree("audit.html"));
    one = read_text("audit.json");
    audit("set", "--threads", "3");
    three = read_text("audit.json");
    ck_assert_str_eq(one, three);
    page = read_text("audit.html");
    expect_not_in(page, "<script");
    expect_in(page, "&#60;script");
    expect_in(page, "<svg"); /* of widths */
    expect_in(page, "<h3>Height</h3>\n<p>13 everywhere.</p>");
    expect_in(page, "\xc3\xa9\\xff.jpg"); /* a page is UTF-8 whatever names are */
    expect_in(page, "</html>");
    free(one);
    free(three);
    free(page);
}
END_TEST

START_TEST(mistakes)
{
    audit("missing", "--decode");
    expect_code(3);
    put("set/readme.txt", "nothing");
    audit("set", "--decode");
    expect_code(3);
    ck_assert(!mkdir(in_tree("set/fake"), 0777) && !mkdir(in_tree("set/real"), 0777));
    audit("set", "--decode");
    expect_code(3);
    expect_in(ran.err, "there is no image in it");
    files("set/fake", 2, true);
    files("set/real", 2, true);
    run("fakereal_audit", "--data", in_tree("set"), "--json", in_tree("no/such/folder.json"), NULL);
    expect_code(4);
    ck_assert_str_eq(ran.out, ""); /* before the work, not after it */
    run("fakereal_audit", "--data", in_tree("set"), "--html", in_tree("set/fake/000.jpg"), NULL);
    expect_code(2);
    expect_in(ran.err, "is an image that is to be read");
    ck_assert_str_eq(ran.out, "");
    run("fakereal_audit", "--data", in_tree("set"), "--html", "", NULL);
    expect_code(2);
    run("fakereal_audit", NULL);
    expect_code(2);
    run("fakereal_audit", "--data", in_tree("set"), "--json", in_tree("one"), "--html", in_tree("./one"),
        NULL);
    expect_code(2);
    expect_in(ran.err, "--json and --html are one file");
    ck_assert_str_eq(ran.out, "");
    ck_assert_int_ne(access(in_tree("one"), F_OK), 0);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("audit");
    Suite *s = suite_create("audit");

    tcase_add_checked_fixture(c, programs_setup, programs_teardown);
    tcase_set_timeout(c, 240);
    tcase_add_test(c, nothing_to_find);
    tcase_add_test(c, given_up);
    tcase_add_test(c, too_large_decoded);
    tcase_add_test(c, planted_defects);
    tcase_add_test(c, decoded);
    tcase_add_test(c, format_shortcut);
    tcase_add_test(c, same_formats);
    tcase_add_test(c, classes_and_splits);
    tcase_add_test(c, mean_std);
    tcase_add_test(c, files_written);
    tcase_add_test(c, mistakes);
    suite_add_tcase(s, c);
    return suite_run(s);
}
