/* SPDX-License-Identifier: MIT
 *
 * fakereal_predict: every image that was asked for has its row, the good ones the right number, the bad
 * ones an empty answer and their name on stderr; templates come back byte for byte.
 */
#include "programs.h"
#include "suite.h"

#include <signal.h>

static const char *checkpoint;

static void setup(void)
{
    programs_setup();
    make_checkpoint("a.safetensors", 1, 0.5);
    checkpoint = strdup(in_tree("a.safetensors"));
}

static void teardown(void)
{
    free((void *)(uintptr_t)checkpoint);
    programs_teardown();
}

#define predict(...) run("fakereal_predict", "--checkpoint", checkpoint, "--threads", "1", __VA_ARGS__, NULL)

/* P(fake) in the row of `path` of tree/out.csv; -1 when its answer is empty, -2 without such a row. */
static double answer(const char *path)
{
    char *text = read_text("out.csv"), wanted[256], *at;
    double p = -2;

    (void)snprintf(wanted, sizeof wanted, "\n%s,", path);
    at = strstr(text, wanted);
    if (at) {
        at += strlen(wanted);
        p = *at == ',' ? -1 : strtod(at + 2, NULL);
        if (p >= 0)
            ck_assert_int_eq(*at - '0', p >= 0.5);
    }
    free(text);
    return p;
}

static int rows(const char *path)
{
    char *text = read_text(path);
    int n = -1;

    for (char *c = text; *c; c++)
        n += *c == '\n';
    free(text);
    return n;
}

START_TEST(every_kind_of_image)
{
    static const int kinds[][2] = { { 1, 0 }, { 8, 0 }, { 4, 3 }, { 8, 3 }, { 16, 2 }, { 8, 6 }, { 16, 0 } };
    struct network n = small_network(1);
    double logits[2], low = 1, high = 0;
    struct bytes b;
    char path[64];

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        b = png(kinds[i][0], kinds[i][1], (unsigned)i);
        (void)snprintf(path, sizeof path, "images/png_%zu.png", i);
        put_bytes(path, b.at, b.size);
    }
    put_bytes("images/progressive.jpg", progressive, sizeof progressive);
    put_bytes("images/cmyk.JPG", cmyk, sizeof cmyk);
    put_bytes("images/below/grey.jpeg", grey, sizeof grey);
    put_png("images/really_png.jpg", 77);
    put("images/notes.txt", "no image");
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--batch-size", "4");
    expect_code(0);
    expect_in(ran.err, "1 file ignored");
    ck_assert_int_eq(rows("out.csv"), 11);
    for (int i = 0; i < 11; i++) {
        static const char *const names[] = { "below/grey.jpeg", "cmyk.JPG", "progressive.jpg",
                                             "really_png.jpg" };
        double p;

        if (i < 4)
            (void)snprintf(path, sizeof path, "images/%s", names[i]);
        else
            (void)snprintf(path, sizeof path, "images/png_%d.png", i - 4);
        say(&n, path, logits);
        p = nn_probability_fake(logits);
        low = p < low ? p : low;
        high = p > high ? p : high;
        ck_assert_double_eq_tol(answer(path + 7), p, 1e-5);
    }
    ck_assert_double_gt(high - low, 1e-3); /* or nothing above would notice a mix-up */
    network_free(&n);
}
END_TEST

START_TEST(bad_images_are_named_and_the_rest_answered)
{
    static const char *const bad[] = { "cut.jpg",     "page.jpg", "empty.png",
                                       "flipped.png", "huge.png", "bomb.png" };
    struct bytes b = png(8, 2, 5);
    double before[2];

    put_png("images/good.png", 1);
    put_png("images/other.png", 2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"));
    expect_code(0);
    before[0] = answer("good.png");
    before[1] = answer("other.png");
    put_bytes("images/cut.jpg", baseline_420, sizeof baseline_420 - 100);
    put("images/page.jpg", "<!DOCTYPE html><html><body>404</body></html>");
    put("images/empty.png", "");
    b.at[b.size / 2] ^= 4;
    put_bytes("images/flipped.png", b.at, b.size);
    b.size = 0;
    begin_png(&b, 60000, 60000, 8, 2);
    add_chunk(&b, "IDAT", "0123456789abcdefghijklmnopq", 27);
    put_bytes("images/huge.png", b.at, b.size);
    /* A 1x1 image whose data inflate to 600 MB. The stream is put together from one compressed megabyte of
     * zeros, repeated after full flushes: compressing it all would take long. */
    {
        static uint8_t zeros[1 << 20], block[1 << 12];
        uint8_t *all = malloc(600 * sizeof block), *png_bytes;
        z_stream z = { 0 };
        size_t size = 0, head;
        uint32_t crc;

        ck_assert_ptr_nonnull(all);
        ck_assert_int_eq(deflateInit(&z, 9), Z_OK);
        z.next_out = all;
        z.avail_out = (uInt)(600 * sizeof block);
        z.next_in = zeros;
        z.avail_in = sizeof zeros;
        ck_assert_int_eq(deflate(&z, Z_FULL_FLUSH), Z_OK);
        size = (size_t)(z.next_out - all);
        z.next_in = zeros;
        z.avail_in = sizeof zeros;
        ck_assert_int_eq(deflate(&z, Z_FULL_FLUSH), Z_OK);
        head = (size_t)(z.next_out - all) - size;
        ck_assert_uint_le(head, sizeof block);
        memcpy(block, all + size, head);
        (void)deflateEnd(&z);
        for (int i = 0; i < 600; i++, size += head)
            memcpy(all + size, block, head);
        b.size = 0;
        begin_png(&b, 1, 1, 8, 2);
        png_bytes = malloc(b.size + size + 12);
        ck_assert_ptr_nonnull(png_bytes);
        add32(&b, (uint32_t)size);
        add(&b, "IDAT", 4);
        memcpy(png_bytes, b.at, b.size);
        memcpy(png_bytes + b.size, all, size);
        crc = (uint32_t)crc32(0, png_bytes + b.size - 4, (uInt)(size + 4));
        size += b.size;
        for (int i = 24; i >= 0; i -= 8)
            png_bytes[size++] = (uint8_t)(crc >> i);
        put_bytes("images/bomb.png", png_bytes, size);
        free(png_bytes);
        free(all);
    }
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"));
    expect_code(3);
    ck_assert_int_eq(rows("out.csv"), 8);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char named[64];

        (void)snprintf(named, sizeof named, "images/%s: ", bad[i]);
        expect_in(ran.err, named);
        ck_assert_double_eq(answer(bad[i]), -1);
    }
    expect_in(ran.err, "HTML");
    expect_not_in(ran.err, "good.png");
    ck_assert_double_eq_tol(answer("good.png"), before[0], 1e-6);
    ck_assert_double_eq_tol(answer("other.png"), before[1], 1e-6);
    ck_assert_double_lt(ran.seconds, 20);
#ifndef __SANITIZE_ADDRESS__
    ck_assert_int_lt(ran.peak_kb, 400000);
#endif
}
END_TEST

START_TEST(template_byte_for_byte)
{
    make_checkpoint("a.safetensors", 1, 0.0); /* everything is fake */
    put_png("images/b.png", 1);
    put_png("images/a, b.png", 2);
    put_png("images/say \"x\".png", 3);
    put("t.csv", "\xef\xbb\xbfImageId,answer\r\nb.png,0\r\n\"a, b\",\"0\"\r\n\"say \"\"x\"\".png\",7");
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("out.csv"));
    expect_code(0);
    expect_file("out.csv",
                "\xef\xbb\xbfImageId,answer\r\nb.png,1\r\n\"a, b\",\"1\"\r\n\"say \"\"x\"\".png\",1");
    make_checkpoint("a.safetensors", 1, 1.0); /* nothing is */
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("out.csv"));
    expect_code(0);
    expect_file("out.csv",
                "\xef\xbb\xbfImageId,answer\r\nb.png,0\r\n\"a, b\",\"0\"\r\n\"say \"\"x\"\".png\",0");
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("p.csv"),
            "--probabilities");
    expect_code(0);
    {
        char *text = read_text("p.csv"), number[32], *at = strstr(text, "b.png,") + 6;
        double logits[2];
        struct network n = small_network(1);

        say(&n, "images/b.png", logits);
        ck_assert_double_eq_tol(strtod(at, &at), nn_probability_fake(logits), 1e-5);
        ck_assert_int_eq(*at, '\r');
        (void)nn_csv_number(number, strtod(strstr(text, "\"a, b\",\"") + 8, NULL));
        expect_in(text, number);
        network_free(&n);
        free(text);
    }
}
END_TEST

START_TEST(template_and_images_differ)
{
    make_checkpoint("a.safetensors", 1, 0.0);
    put_png("images/one.png", 1);
    put_png("images/extra.png", 2);
    put_png("images/twice.png", 3);
    put_png("images/below/twice.jpg", 4);
    put("images/bad.png", "nothing");
    put("t.csv", "ImageId,answer\nabsent.png,\none,\ntwice,\n");
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("out.csv"));
    expect_code(3);
    expect_file("out.csv", "ImageId,answer\nabsent.png,\none,1\ntwice,\n");
    expect_in(ran.err, "absent.png: no usable image");
    expect_in(ran.err, "twice: no usable image");
    expect_in(ran.err, "for 1 of these rows several images");
    expect_in(ran.err, "extra.png: no row");
    expect_in(ran.err, "images/bad.png: ");
    (void)unlink(in_tree("images/bad.png"));
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("out.csv"),
            "--fill", "0");
    expect_code(3);
    expect_file("out.csv", "ImageId,answer\nabsent.png,0\none,1\ntwice,0\n");
    expect_in(ran.err, "absent.png: ");
    /* An image that cannot be used is never nothing, filled or not. */
    put("images/one.png", "broken");
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("out.csv"),
            "--fill", "1");
    expect_code(3);
    expect_file("out.csv", "ImageId,answer\nabsent.png,1\none,1\ntwice,1\n");
    put("t.csv", "Id,Label\na,0\n");
    predict("--images", in_tree("images"), "--template", in_tree("t.csv"), "--output", in_tree("none.csv"));
    expect_code(3);
    expect_in(ran.err, "t.csv: line 1");
    ck_assert_int_ne(access(in_tree("none.csv"), F_OK), 0);
}
END_TEST

START_TEST(list_on_standard_input)
{
    char list[4096], want[4096], *got;
    size_t n;

    put_png("x/with space.png", 1);
    put_png("x/line\nend.png", 2);
    put_png("x/comma,.dat", 3);
    (void)snprintf(list, sizeof list, "%s\n\n%s\r\n%s\n%s", in_tree("x/comma,.dat"),
                   in_tree("x/with space.png"), in_tree("x/absent.png"), in_tree("x/with space.png"));
    put("stdin", list);
    predict("--images", "-", "--output", in_tree("out.csv"));
    expect_code(3);
    expect_in(ran.err, "x/absent.png: ");
    ck_assert_int_eq(rows("out.csv"), 4);
    got = read_text("out.csv");
    (void)snprintf(want, sizeof want, "path,label,probability_fake\n\"%s\",", in_tree("x/comma,.dat"));
    ck_assert_int_eq(strncmp(got, want, strlen(want)), 0);
    (void)snprintf(want, sizeof want, "\n%s,,\n%s,", in_tree("x/absent.png"), in_tree("x/with space.png"));
    expect_in(got, want);
    free(got);

    n = (size_t)snprintf(list, sizeof list, "%s", in_tree("x/line\nend.png")) + 1;
    n += (size_t)snprintf(list + n, sizeof list - n, "%s", in_tree("x/with space.png")) + 1;
    put_bytes("stdin", list, n);
    predict("--images", "-", "--output", in_tree("out.csv"));
    expect_code(0);
    got = read_text("out.csv");
    (void)snprintf(want, sizeof want, "\n\"%s\",", in_tree("x/line\nend.png"));
    expect_in(got, want);
    free(got);
    put("x/line\nend.png", "broken");
    predict("--images", "-", "--output", in_tree("out.csv"));
    expect_code(3);
    expect_in(ran.err, "x/line\\nend.png: ");

    put("stdin", "\n\n");
    predict("--images", "-", "--output", in_tree("out.csv"));
    expect_code(3);
    expect_in(ran.err, "no images");
}
END_TEST

/* Somebody who waits for a list that does not come gives up. */
START_TEST(interrupted_while_listing)
{
    const char *const arguments[] = { "-c", checkpoint, "-i", "-", "-o", in_tree("out.csv"), NULL };
    pid_t child;
    int fd, caught = 0;

    ck_assert(!mkfifo(in_tree("stdin"), 0666));
    fd = open(in_tree("stdin"), O_RDWR | O_CLOEXEC); /* or the program would write to itself */
    ck_assert_int_ge(fd, 0);
    child = start("fakereal_predict", arguments);
    for (int i = 0; !caught && i < 1000; i++) { /* until it catches signals */
        char path[64], line[256];
        FILE *f;

        (void)usleep(10000);
        (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)child);
        f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
            if (!strncmp(line, "SigCgt:", 7))
                caught = (strtoull(line + 7, NULL, 16) >> (SIGTERM - 1) & 1) != 0;
        if (f)
            (void)fclose(f);
    }
    ck_assert(caught && !kill(child, SIGTERM));
    finish(child); /* though nobody closes the pipe */
    (void)close(fd);
    expect_code(128 + SIGTERM);
    expect_in(ran.err, "interrupted");
    ck_assert_int_ne(access(in_tree("out.csv"), F_OK), 0);
}
END_TEST

START_TEST(several_checkpoints_are_averaged)
{
    double one[2], two[2];
    char *second = strdup(in_tree("b.safetensors"));

    make_checkpoint("b.safetensors", 2, 0.9);
    put_png("images/p.png", 1);
    put_png("images/q.png", 2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"));
    expect_code(0);
    one[0] = answer("p.png");
    one[1] = answer("q.png");
    run("fakereal_predict", "-c", second, "--images", in_tree("images"), "--output", in_tree("b.csv"), NULL);
    expect_code(0);
    (void)rename(in_tree("b.csv"), in_tree("out.csv"));
    {
        char *text = read_text("out.csv");

        ck_assert_int_eq(
            sscanf(text, "path,label,probability_fake\np.png,%*d,%lf\nq.png,%*d,%lf", &two[0], &two[1]), 2);
        free(text);
    }
    ck_assert_double_gt(fabs(one[0] - two[0]), 1e-3);
    for (int form = 0; form < 2; form++) {
        run("fakereal_predict", "--checkpoint", checkpoint, form ? second : "--checkpoint",
            form ? "--images" : second, form ? in_tree("images") : "--images",
            form ? "--output" : in_tree("images"), form ? in_tree("out.csv") : "--output",
            form ? NULL : in_tree("out.csv"), NULL);
        expect_code(0);
        ck_assert_double_eq_tol(answer("p.png"), (one[0] + two[0]) / 2, 2e-9);
        ck_assert_double_eq_tol(answer("q.png"), (one[1] + two[1]) / 2, 2e-9);
    }
    expect_in(ran.err, "its threshold is 0.9");
    free(second);
}
END_TEST

START_TEST(several_images_and_whole_data_sets)
{
    char *p = strdup(in_tree("x/p.png")), *q = strdup(in_tree("x/q.png"));

    put_png("x/p.png", 1);
    put_png("x/q.png", 2);
    predict("--images", q, p, "--output", in_tree("out.csv"));
    expect_code(0);
    ck_assert_int_eq(rows("out.csv"), 2);
    ck_assert_double_ge(answer(p), 0);
    ck_assert_double_ge(answer(q), 0);
    free(p);
    free(q);
    put_png("faces/data/train/fake_images/f.png", 1);
    put_png("faces/data/train/real_images/r.png", 2);
    put_png("faces/data/test/images/t.png", 3);
    predict("--images", in_tree("faces"), "--output", in_tree("out.csv"));
    expect_code(0);
    ck_assert_int_eq(rows("out.csv"), 1);
    ck_assert_double_ge(answer("t.png"), 0);
    make_folders("nothing");
    predict("--images", in_tree("nothing"), "--output", in_tree("out.csv"));
    expect_code(3);
    expect_in(ran.err, "there is no image in it");
    predict("--images", in_tree("absent"), "--output", in_tree("out.csv"));
    expect_code(3);
    expect_in(ran.err, "absent");
}
END_TEST

START_TEST(wrong_checkpoints)
{
    struct network n = small_network(1);
    float bias[2] = { NAN, 0 };
    size_t size;
    char *bytes;

    put_png("images/p.png", 1);
    put("page.safetensors", "<!DOCTYPE html><html><body>404</body></html>");
    put("old.pth", "PK\003\004 archive/data.pkl and more of it");
    put("empty.safetensors", "");
    {
        FILE *f = fopen(in_tree("a.safetensors"), "rb");

        bytes = malloc(1 << 20);
        ck_assert_ptr_nonnull(f);
        size = fread(bytes, 1, 1 << 20, f);
        (void)fclose(f);
        put_bytes("cut.safetensors", bytes, size);
        free(bytes);
    }
    ck_assert_int_eq(nn_model_save(n.model, in_tree("bare.safetensors"), 0, NULL, 0), NN_OK);
    for (int i = 0; i < 6; i++) {
        static const char *const names[] = { "page.safetensors", "old.pth",          "empty.safetensors",
                                             "cut.safetensors",  "bare.safetensors", "absent.safetensors" };

        for (int program = 0; program < 2; program++) {
            if (program)
                run("fakereal_evaluate", "--checkpoint", in_tree(names[i]), "--data", in_tree("images"),
                    NULL);
            else
                run("fakereal_predict", "-c", checkpoint, in_tree(names[i]), "--images", in_tree("images"),
                    "-o", in_tree("out.csv"), NULL);
            expect_code(3);
            expect_in(ran.err, names[i]);
        }
        ck_assert_int_ne(access(in_tree("out.csv"), F_OK), 0);
    }
    ck_assert_int_eq(nn_model_write(n.model, "classifier.1.bias", NN_BASE_PARAM, NN_F32, bias), NN_OK);
    save(&n, "nan.safetensors", 0.5);
    run("fakereal_predict", "-c", in_tree("nan.safetensors"), "-i", in_tree("images"), "-o",
        in_tree("out.csv"), NULL);
    expect_code(3);
    expect_in(ran.err, "p.png: the network gives no finite number");
    expect_file("out.csv", "path,label,probability_fake\np.png,,\n");
    network_free(&n);
}
END_TEST

START_TEST(exit_codes)
{
    put_png("images/p.png", 1);
    put("file", "");
    predict("--images", in_tree("images"), "--output", in_tree("absent/out.csv"));
    expect_code(4);
    expect_in(ran.err, "absent/out.csv");
    predict("--images", in_tree("images"), "--output", in_tree("images"));
    expect_code(4);
    predict("--images", in_tree("images"), "--output", "");
    expect_code(2);
    expect_in(ran.err, "a file needs a name");
    predict("--images", in_tree("images"), "--output", "/dev/full");
    expect_code(4);
    predict("--images", in_tree("images"), "--output", in_tree("file/out.csv"));
    expect_code(4);
    run("fakereal_predict", NULL);
    expect_code(2);
    predict("--images", in_tree("images"));
    expect_code(2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--fill", "2", "--template",
            "t.csv");
    expect_code(2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--fill", "1");
    expect_code(2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "stray");
    expect_code(2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--batch-size", "0");
    expect_code(2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--nonsense");
    expect_code(2);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--isa", "mmx");
    expect_code(5);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--device", "cuda");
    expect_code(5);
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--template",
            in_tree("absent.csv"));
    expect_code(3);
    ck_assert_int_ne(access(in_tree("out.csv"), F_OK), 0);
    /* Nothing that is read is replaced, whatever it is called. */
    put("t.csv", "ImageId,answer\np.png,\n");
    ck_assert(!link(in_tree("t.csv"), in_tree("hard.csv")) && !symlink("t.csv", in_tree("soft.csv")));
    for (int i = 0; i < 4; i++) {
        static const char *const to[] = { "t.csv", "hard.csv", "soft.csv", "images/../t.csv" };

        predict("--images", in_tree("images"), "--output", in_tree(to[i]), "--template", in_tree("t.csv"));
        expect_code(2);
        expect_in(ran.err, "would replace a file that is to be read (--template)");
        expect_file("t.csv", "ImageId,answer\np.png,\n");
    }
    predict("--images", in_tree("images/p.png"), "--output", in_tree("images/p.png"));
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read (--images)");
    predict("--images", in_tree("images"), "--output", checkpoint);
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read (--checkpoint)");
    ck_assert(!mkfifo(in_tree("pipe"), 0666));
    predict("--images", in_tree("images"), "--output", in_tree("out.csv"), "--template", in_tree("pipe"));
    expect_code(2);
    expect_in(ran.err, "not a regular file");
    {
        char name[256] = { 0 }, path[512];

        /* The longest name there is, and one that is longer. */
        memset(name, 'n', 255);
        (void)snprintf(path, sizeof path, "%s/%s", tree, name);
        predict("--images", in_tree("images"), "--output", path);
        expect_code(0);
        ck_assert_int_eq(access(path, F_OK), 0);
        (void)snprintf(path, sizeof path, "%s/%sn", tree, name);
        predict("--images", in_tree("images"), "--output", path);
        expect_code(4);
        expect_in(ran.err, "cannot be written: File name too long");
    }
    run("fakereal_predict", "--help", NULL);
    expect_code(0);
    ck_assert(strstr(ran.out, "Examples:") &&
              strstr(ran.out, "Examples:") < strstr(ran.out, "--output=FILE"));
    ck_assert_str_eq(ran.err, "");
    run("fakereal_predict", "--version", NULL);
    expect_code(0);
    expect_in(ran.out, "fakereal_predict (libnn) " NN_VERSION "\nJPEG files are decoded by ");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("predict");
    TCase *t = tcase_create("predict");

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_kind_of_image);
    tcase_add_test(t, bad_images_are_named_and_the_rest_answered);
    tcase_add_test(t, template_byte_for_byte);
    tcase_add_test(t, template_and_images_differ);
    tcase_add_test(t, list_on_standard_input);
    tcase_add_test(t, interrupted_while_listing);
    tcase_add_test(t, several_checkpoints_are_averaged);
    tcase_add_test(t, several_images_and_whole_data_sets);
    tcase_add_test(t, wrong_checkpoints);
    tcase_add_test(t, exit_codes);
    return suite_run(s);
}
