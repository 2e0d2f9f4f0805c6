/* SPDX-License-Identifier: MIT
 *
 * A folder as the worst of users might have it, more than 200 entries: names that break lists and lines,
 * links in circles, pipes, sockets and folders that are called like images, files that are not what their
 * name says, damaged in every way a file can be. It is trained on for an epoch, evaluated and predicted. Each
 * program ends with the code it documents, in little memory, and every image has its row.
 */
#include "programs.h"
#include "suite.h"

#include <jansson.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LONG = 200, MOST_KB = 1 << 20, GOOD = 110, ODD = 12 };

/* Names, without extension, that are not to be lost on the way. */
static const char *const odd_name[ODD] = {
    "two words",           "a\nnew line",
    "tab\tand \"quotes\"", "comma, comma",
    "caf\xc3\xa9",         "latin1 \xe9\xff",
    "back\\slash",         "-rf",
    "%s%n $(reboot) `x`",  "'",
    "\x01\x1b[31m",        "trailing. dots..",
};

static int entries;

static void entry(const char *path, const void *data, size_t size)
{
    put_bytes(path, data, size);
    entries++;
}

static void good(const char *path, unsigned seed)
{
    static const int kind[5][2] = {
        { 8, 2 }, { 8, 6 }, { 16, 2 }, { 8, 0 }, { 8, 3 }
    }; /* depth, colour type */
    struct bytes b = png(kind[seed % 5][0], kind[seed % 5][1], seed);

    entry(path, b.at, b.size);
}

/* What `folder` holds besides images: nothing of it is one, and some of it bites whoever opens it. */
static void traps(const char *folder)
{
    char path[512], other[512];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

#define AT(name) ((void)snprintf(path, sizeof path, "%s/%s", folder, name), entries++, in_tree(path))
    ck_assert_int_eq(mkfifo(AT("pipe.png"), 0666), 0);
    ck_assert_int_ge(s, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", AT("socket.jpg"));
    ck_assert(!bind(s, (const struct sockaddr *)&address, sizeof address));
    (void)close(s);
    ck_assert(!symlink(".", AT("circle")));
    ck_assert(!symlink("..", AT("upwards")));
    ck_assert(!symlink("mirror.png", AT("mirror.png"))); /* to itself */
    ck_assert(!symlink("nowhere.png", AT("dangling.jpg")));
    ck_assert(!symlink("/dev/zero", AT("zero.png")));
    ck_assert(!mkdir(AT("folder.png"), 0777));
#undef AT
    (void)snprintf(other, sizeof other, "%s/.hidden.png", folder);
    good(other, 1);
    (void)snprintf(other, sizeof other, "%s/Thumbs.db", folder);
    entry(other, "x", 1);
    (void)snprintf(other, sizeof other, "%s/notes.txt", folder);
    entry(other, "not an image", 12);
}

/* Damaged or foreign images; returns how many. `each`, unless NULL, is told of every path. */
static int bad(const char *folder, void (*each)(const char *path))
{
    static const struct {
        const char *name, *bytes;
        size_t size;
    } foreign[] = {
        { "empty.png", "", 0 },
        { "text.jpg", "this is no image", 16 },
        { "half a signature.png", "\x89PNG", 4 },
        { "signature.png", "\x89PNG\r\n\x1a\n", 8 },
        { "gif.jpg", "GIF89a\1\0\1\0\0\0\0;", 14 },
        { "webp.png", "RIFF\x1a\0\0\0WEBPVP8L", 16 },
        { "bmp.png", "BM\x1e\0\0\0\0\0\0\0\x1a\0\0\0", 14 },
        { "start.jpg", "\xff\xd8\xff", 3 },
        { "script.png", "#!/bin/sh\nexit 1\n", 17 },
    };
    char path[512];
    struct bytes b = png(8, 2, 7);
    int n = 0;

#define BAD(format, what, data, length)                                                                      \
    do {                                                                                                     \
        (void)snprintf(path, sizeof path, "%s/" format, folder, what);                                       \
        entry(path, data, length);                                                                           \
        if (each)                                                                                            \
            each(path);                                                                                      \
        n++;                                                                                                 \
    } while (0)
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        BAD("%s", foreign[i].name, foreign[i].bytes, foreign[i].size);
    for (size_t cut = 1; cut <= 12; cut++)
        BAD("cut %d.png", (int)cut, b.at, b.size * cut / 13);
    for (size_t cut = 1; cut <= 6; cut++)
        BAD("cut %d.jpg", (int)cut, baseline_444, sizeof baseline_444 * cut / 7);
    for (int i = 0; i < 4; i++) { /* each in another chunk: the checksums notice */
        struct bytes flipped = b;

        flipped.at[i ? b.size - 17 - 40 * (size_t)i : 20] ^= 4;
        BAD("flipped %d.png", i, flipped.at, flipped.size);
    }
    for (int i = 0; i < 3; i++) { /* a few bytes that claim to be a picture of gigabytes, or of none */
        static const uint32_t side[3] = { 0, 60000, UINT32_C(0x7fffffff) };
        struct bytes bomb = { .size = 0 };

        begin_png(&bomb, side[i], side[i], 8, 2);
        add_chunk(&bomb, "IDAT", "x\x9c\x03\0\0\0\0\1", 8);
        add_chunk(&bomb, "IEND", NULL, 0);
        BAD("bomb %d.png", i, bomb.at, bomb.size);
    }
#undef BAD
    return n;
}

/* Images under odd names, the longest there are, under a wrong extension, and two with one stem. */
static int odd(const char *folder, unsigned seed, void (*each)(const char *path))
{
    char path[512], name[LONG + 1] = { 0 };
    int n = 0;

#define GOOD_AT(format, what)                                                                                \
    do {                                                                                                     \
        (void)snprintf(path, sizeof path, "%s/" format, folder, what);                                       \
        good(path, seed++);                                                                                  \
        if (each)                                                                                            \
            each(path);                                                                                      \
        n++;                                                                                                 \
    } while (0)
    for (int i = 0; i < ODD; i++)
        GOOD_AT("%s.png", odd_name[i]);
    memset(name, 'n', LONG);
    GOOD_AT("%s.png", name);
    GOOD_AT("%s", "a png.jpg");
    GOOD_AT("%s", "SHOUTING.PNG");
    GOOD_AT("%s", "stem.png");
    GOOD_AT("%s", "stem.jpeg");
    GOOD_AT("%s", "deeper/and deeper/stem.png");
#undef GOOD_AT
    return n;
}

/* What ought to come out of fakereal_predict. */
static struct {
    char path[256][512];
    int count;
} asked;

static void ask(const char *path)
{
    ck_assert_int_lt(asked.count, 256);
    (void)snprintf(asked.path[asked.count++], sizeof *asked.path, "%s", path);
}

static void grow(void)
{
    static const char *const class[2] = { "real_images", "fake_images" };
    char folder[64], path[128];

    programs_setup();
    entries = asked.count = 0;
    for (unsigned fake = 0; fake < 2; fake++) {
        (void)snprintf(folder, sizeof folder, "h/train/%s", class[fake]);
        for (unsigned i = 0; i < GOOD; i++) {
            (void)snprintf(path, sizeof path, "%s/%03u.png", folder, i);
            good(path, 5000 * fake + i);
        }
        (void)odd(folder, 10000 + 5000 * fake, NULL);
        traps(folder);
        (void)snprintf(path, sizeof path, "%s/one bad.png", folder);
        entry(path, "no image", 8);
        (void)snprintf(folder, sizeof folder, "h/valid/%s", class[fake]);
        (void)odd(folder, 20000 + 5000 * fake, NULL);
        traps(folder);
    }
    entry("h/train/elsewhere/stray.png", "", 0);
    (void)odd("h/test/images", 30000, ask);
    (void)bad("h/test/images", ask);
    traps("h/test/images");
    ck_assert_int_ge(entries, 200);
}

static void expect_modest(void)
{
#ifndef __SANITIZE_ADDRESS__ /* which takes memory of its own */
    ck_assert_msg(ran.peak_kb < MOST_KB, "%ld kB", ran.peak_kb);
#endif
}

/* Does the CSV file have a row that begins with `field`, quoted as it has to be, and a comma? */
static bool has_row(const char *csv, const char *field)
{
    char want[2048] = "\n";
    size_t n = nn_csv_field(want + 1, sizeof want - 2, field) + 1;

    want[n] = ',';
    want[n + 1] = 0;
    return strstr(csv, want) != NULL;
}

START_TEST(train_evaluate_predict)
{
    const char *run_folder = in_tree("r");
    char *text;
    size_t size;
    json_t *result;
    int unusable;

    run("fakereal_train", "--data", in_tree("h"), "--model", "efficientnet_lite0", "--image-size", "32",
        "--batch-size", "16", "--epochs", "1", "--threads", "2", "--run-dir", run_folder, NULL);
    expect_code(0);
    expect_in(ran.err, "one bad.png");
    expect_modest();
    text = all_of("r/split.tsv", &size);
    expect_in(text, "a\\nnew line.png");
    expect_in(text, "latin1 \\xe9\\xff.png");
    free(text);

    run("fakereal_evaluate", "--checkpoint", in_tree("r/best.safetensors"), "--data", in_tree("h"), "--json",
        in_tree("e.json"), NULL);
    expect_code(3); /* links to nowhere; the rest is measured */
    expect_modest();
    result = json_load_file(in_tree("e.json"), 0, NULL);
    ck_assert_ptr_nonnull(result);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "samples")), 2 * (ODD + 6));
    json_decref(result);

    run("fakereal_predict", "--checkpoint", in_tree("r/best.safetensors"), "--images",
        in_tree("h/test/images"), "--output", in_tree("p.csv"), NULL);
    expect_code(3); /* some cannot be used, the rest is there */
    expect_modest();
    text = all_of("p.csv", &size);
    for (int i = 0; i < asked.count; i++)
        ck_assert_msg(has_row(text, asked.path[i] + strlen("h/test/images/")), "%s has no row",
                      asked.path[i]);
    unusable = 0;
    for (const char *at = text; (at = strstr(at, ",,\n")); at++)
        unusable++;
    ck_assert_int_ge(unusable, asked.count - (ODD + 6));
    free(text);
}
END_TEST

/* The result does not fit: the code says so, and what was there before is still there. */
START_TEST(full_disk)
{
    static char filling[1 << 16];

    programs_setup();
    make_checkpoint("c.safetensors", 3, 0.5);
    put_png("i/a.png", 1);
    make_folders("small");
    if (mount("none", in_tree("small"), "tmpfs", 0, "size=64k")) {
        (void)printf("SKIPPED full_disk: no right to mount: %s\n", strerror(errno));
        programs_teardown();
        return;
    }
    put("small/p.csv", "of yesterday\n");
    {
        FILE *f = fopen(in_tree("small/filling"), "wb");

        ck_assert_ptr_nonnull(f);
        (void)fwrite(filling, 1, sizeof filling, f);
        (void)fclose(f);
    }
    run("fakereal_predict", "-c", in_tree("c.safetensors"), "-i", in_tree("i"), "-o", in_tree("small/p.csv"),
        NULL);
    expect_code(4);
    expect_in(ran.err, "No space left");
    expect_file("small/p.csv", "of yesterday\n");
    ck_assert(!umount2(in_tree("small"), MNT_DETACH));
    programs_teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostile");
    TCase *t = tcase_create("tree");

    tcase_add_checked_fixture(t, grow, programs_teardown);
    tcase_set_timeout(t, 240);
    tcase_add_test(t, train_evaluate_predict);
    suite_add_tcase(s, t);
    t = tcase_create("disk");
    tcase_set_timeout(t, 240);
    tcase_add_test(t, full_disk);
    suite_add_tcase(s, t);
    return suite_run(s);
}
