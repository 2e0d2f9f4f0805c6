/* SPDX-License-Identifier: MIT
 *
 * fakereal_synth: the same bytes for any number of threads, files that differ in nothing but their pixels, no
 * scene in two places, and classes that brightness, colour, contrast and file size cannot tell apart.
 */
#include "programs.h"
#include "suite.h"

#include <apps/synth.h>

enum { SPLITS = 3, CLASSES = 2, TINY = 16 };

#define synth(folder, ...) run("fakereal_synth", "--output", in_tree(folder), __VA_ARGS__, NULL)

/* The data set below tree/FOLDER with its hashes. */
static nn_dataset *hashed(const char *folder)
{
    nn_dataset *d = load(folder);

    ck_assert_int_eq(nn_dataset_hash(d, 1, &why), NN_OK);
    return d;
}

static void digest(const char *folder, char hex[65])
{
    nn_dataset *d = hashed(folder);

    ck_assert_int_eq(nn_dataset_digest(d, 0, hex), NN_OK);
    nn_dataset_free(d);
}

START_TEST(same_bytes)
{
    char one[65], three[65], other[65], *a, *b;
    size_t n, m;

    synth("one", "--count", "60", "--image-size", "32", "--threads", "1", "--sheet", in_tree("one.png"));
    expect_code(0);
    ck_assert_str_eq(ran.out, "train\t20 fake\t20 real\nvalid\t5 fake\t5 real\ntest\t5 fake\t5 real\n");
    synth("three", "--count", "60", "--image-size", "32", "--threads", "3", "--sheet", in_tree("three.png"));
    expect_code(0);
    synth("other", "--count", "60", "--image-size", "32", "--seed", "7");
    expect_code(0);
    digest("one", one);
    digest("three", three);
    digest("other", other);
    ck_assert_str_eq(one, three);
    ck_assert_str_ne(one, other);
    a = get_bytes("one.png", &n);
    b = get_bytes("three.png", &m);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(a, b, n);
    free(a);
    free(b);
}
END_TEST

/* Pictures are the same on every machine and with every compiler; who changes the physics puts the new value
 * here. */
START_TEST(known_bytes)
{
    struct synth *s = synth_new(TINY, 42);
    uint8_t rgb[TINY * TINY * 3];
    uint64_t hash = NNI_HASH_BASIS;

    ck_assert_ptr_nonnull(s);
    for (uint64_t scene = 0; scene < 40; scene++)
        for (int fake = 0; fake < CLASSES; fake++) {
            synth_picture(s, scene, fake, rgb);
            hash = nni_hash(rgb, sizeof rgb, hash);
        }
    synth_free(s);
    ck_assert_msg(hash == UINT64_C(0xa10c9443e755ff0b), "0x%llx", (unsigned long long)hash);
}
END_TEST

START_TEST(files_alike)
{
    nn_dataset *d;
    char *template;
    uint64_t size;

    synth("set", "--count", "60", "--image-size", "20");
    expect_code(0);
    d = hashed("set");
    ck_assert_int_eq(d->samples, 60);
    ck_assert_int_eq(d->problems, 0);
    size = d->sample[0].size;
    for (int64_t i = 0; i < d->samples; i++) {
        nn_image_info info;

        ck_assert_uint_eq(d->sample[i].size, size);
        ck_assert_int_eq(nn_image_probe_file(&info, d->sample[i].file, &why), NN_OK);
        ck_assert_int_eq(info.width, 20);
        ck_assert_int_eq(info.height, 20);
        ck_assert_int_eq(info.format, NN_IMAGE_PNG);
    }
    /* No content twice, not even within a split. */
    ck_assert_int_eq(nn_dataset_deduplicate(d, &why), NN_OK);
    ck_assert_int_eq(d->problems, 0);
    nn_dataset_free(d);
    template = read_text("set/test/sample_submission.csv");
    expect_in(template, "ImageId,answer\n0000050.png,0\n0000051.png,0\n");
    expect_in(template, "\n0000059.png,0\n");
    expect_not_in(template, "0000049");
    free(template);
}
END_TEST

/* The same pictures in other folders, half of each kind in each class. */
START_TEST(shuffled_labels)
{
    nn_dataset *d, *e;
    int64_t kept[SPLITS][CLASSES] = { { 0 } };

    synth("set", "--count", "200", "--image-size", "16");
    expect_code(0);
    synth("control", "--count", "200", "--image-size", "16", "--shuffle-labels");
    expect_code(0);
    d = hashed("set");
    e = hashed("control");
    for (int s = 0; s < SPLITS; s++)
        for (int c = 0; c < CLASSES; c++)
            ck_assert_int_eq(d->count[s][c], e->count[s][c]);
    for (int64_t i = 0; i < d->samples; i++)
        for (int64_t k = 0; k < e->samples; k++)
            if (!strcmp(d->sample[i].sha256, e->sample[k].sha256)) {
                ck_assert_int_eq(d->sample[i].split, e->sample[k].split);
                ck_assert_str_eq(strrchr(d->sample[i].path, '/'), strrchr(e->sample[k].path, '/'));
                kept[d->sample[i].split][d->sample[i].label] += d->sample[i].label == e->sample[k].label;
            }
    /* 70 pictures of each class in train: 35 +- 4.2 stay where they were. */
    for (int c = 0; c < CLASSES; c++) {
        ck_assert_int_gt(kept[0][c], 35 - 17);
        ck_assert_int_lt(kept[0][c], 35 + 17);
    }
    nn_dataset_free(d);
    nn_dataset_free(e);
}
END_TEST

/* ---------------------------------------------------------------------------- scenes */

enum { COARSE = 8 };

/* What is left of a picture without its detail: grey means of 8x8 areas, of mean 0 and length 1. */
static void outline(float out[COARSE * COARSE], const uint8_t *rgb, int side)
{
    float mean = 0, square = 0;

    for (int i = 0; i < COARSE * COARSE; i++) {
        int part = side / COARSE;

        out[i] = 0;
        for (int p = 0; p < part * part; p++) {
            const uint8_t *at =
                rgb + 3 * ((i / COARSE * part + p / part) * side + i % COARSE * part + p % part);

            out[i] += (float)(at[0] + at[1] + at[2]);
        }
        mean += out[i] / (COARSE * COARSE);
    }
    for (int i = 0; i < COARSE * COARSE; i++) {
        out[i] -= mean;
        square += out[i] * out[i];
    }
    for (int i = 0; i < COARSE * COARSE; i++)
        out[i] /= sqrtf(square);
}

static float likeness(const float *a, const float *b)
{
    float sum = 0;

    for (int i = 0; i < COARSE * COARSE; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Most scenes are recognised whether photographed or made; no two files show the same one. */
START_TEST(no_scene_twice)
{
    enum { N = 300, BIG = 32, SCENES = 50 };
    static float file[N][COARSE * COARSE];
    const float same = 0.985f;
    struct synth *s = synth_new(BIG, 42);
    uint8_t rgb[BIG * BIG * 3];
    nn_dataset *d;
    float most = -1;
    int recognised = 0;

    ck_assert_ptr_nonnull(s);
    for (uint64_t i = 0; i < SCENES; i++) {
        synth_picture(s, i, false, rgb);
        outline(file[0], rgb, BIG);
        synth_picture(s, i, true, rgb);
        outline(file[1], rgb, BIG);
        recognised += likeness(file[0], file[1]) > same;
    }
    synth_free(s);
    synth("set", "--count", "300", "--image-size", "32");
    expect_code(0);
    d = load("set");
    ck_assert_int_eq(d->samples, N);
    for (int64_t i = 0; i < N; i++) {
        nn_image image = { 0 };

        ck_assert_int_eq(nn_image_load(&image, d->sample[i].file, NULL, &why), NN_OK);
        outline(file[i], image.rgb, BIG);
        nn_image_free(&image);
        for (int64_t k = 0; k < i; k++)
            most = fmaxf(most, likeness(file[i], file[k]));
    }
    nn_dataset_free(d);
    ck_assert_msg(recognised > SCENES / 2 && most < same, "%d scenes recognised, files %g alike", recognised,
                  (double)most);
}
END_TEST

/* -------------------------------------------------------------------------- fairness */

enum { FEATURES = 8 };

/* Colour means, contrasts of the colours and of grey, size of the file. */
static void measure(double f[FEATURES], const nn_sample *s)
{
    nn_image image = { 0 };
    double n, square[4] = { 0 }, sum[4] = { 0 };

    ck_assert_int_eq(nn_image_load(&image, s->file, NULL, &why), NN_OK);
    n = (double)(image.width * image.height);
    for (int64_t i = 0; i < image.width * image.height; i++) {
        const uint8_t *p = image.rgb + 3 * i;
        const double v[4] = { p[0], p[1], p[2], (p[0] + p[1] + p[2]) / 3.0 };

        for (int c = 0; c < 4; c++) {
            sum[c] += v[c];
            square[c] += v[c] * v[c];
        }
    }
    for (int c = 0; c < 4; c++)
        f[3 + c] = sqrt(square[c] / n - sum[c] / n * sum[c] / n);
    for (int c = 0; c < 3; c++)
        f[c] = sum[c] / n;
    f[7] = (double)s->size;
    nn_image_free(&image);
}

/* Logistic regression by gradient descent on standardised features: weights w, the last is the bias. */
static void fit(double w[FEATURES + 1], double (*x)[FEATURES], const int32_t *y, int n)
{
    memset(w, 0, (FEATURES + 1) * sizeof *w);
    for (int step = 0; step < 3000; step++) {
        double g[FEATURES + 1] = { 0 };

        for (int i = 0; i < n; i++) {
            double z = w[FEATURES], error;

            for (int k = 0; k < FEATURES; k++)
                z += w[k] * x[i][k];
            error = 1 / (1 + exp(-z)) - y[i];
            for (int k = 0; k < FEATURES; k++)
                g[k] += error * x[i][k];
            g[FEATURES] += error;
        }
        for (int k = 0; k <= FEATURES; k++)
            w[k] -= 0.5 * g[k] / n;
    }
}

/* Balanced accuracy on the second half of what was fitted to the first; features are changed. */
static double separable(double (*x)[FEATURES], const int32_t *y, int n)
{
    double w[FEATURES + 1], hit[CLASSES] = { 0 }, all[CLASSES] = { 0 };

    for (int k = 0; k < FEATURES; k++) {
        double mean = 0, square = 0;

        for (int i = 0; i < n; i++)
            mean += x[i][k] / n;
        for (int i = 0; i < n; i++)
            square += (x[i][k] - mean) * (x[i][k] - mean) / n;
        for (int i = 0; i < n; i++)
            x[i][k] = square > 0 ? (x[i][k] - mean) / sqrt(square) : 0;
    }
    fit(w, x, y, n / 2);
    for (int i = n / 2; i < n; i++) {
        double z = w[FEATURES];

        for (int k = 0; k < FEATURES; k++)
            z += w[k] * x[i][k];
        all[y[i]]++;
        hit[y[i]] += (z > 0) == y[i];
    }
    return (hit[0] / all[0] + hit[1] / all[1]) / 2;
}

START_TEST(fair)
{
    enum { N = 2000 };
    static double x[N][FEATURES], leaky[N][FEATURES];
    static int32_t y[N];
    nn_dataset *d;
    double honest;

    synth("set", "--count", "2000", "--image-size", "48");
    expect_code(0);
    d = load("set");
    ck_assert_int_eq(d->samples, N);
    for (int64_t i = 0; i < N; i++) {
        /* The file's number, so that both halves hold every split and class. */
        long at = strtol(strrchr(d->sample[i].path, '/') + 1, NULL, 10) * 7 % N;

        measure(x[at], &d->sample[i]);
        y[at] = d->sample[i].label;
    }
    nn_dataset_free(d);
    memcpy(leaky, x, sizeof x);
    honest = separable(x, y, N);
    ck_assert_msg(fabs(honest - 0.5) <= 0.07, "balanced accuracy %g", honest);
    /* It would have been found if fakes had less contrast by a fifth. */
    for (int i = 0; i < N; i++)
        for (int k = 3; k < 7; k++)
            leaky[i][k] *= y[i] ? 0.8 : 1;
    honest = separable(leaky, y, N);
    ck_assert_msg(honest > 0.6, "balanced accuracy %g", honest);
}
END_TEST

/* -------------------------------------------------------------------------- refusals */

START_TEST(refused)
{
    static const char *const bad[][2] = { { "--count", "21" },      { "--count", "18" },
                                          { "--image-size", "30" }, { "--image-size", "8" },
                                          { "--seed", "-1" },       { "--threads", "0" } };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        synth("set", bad[i][0], bad[i][1]);
        expect_code(2);
        expect_in(ran.err, bad[i][0]);
        ck_assert_int_eq(access(in_tree("set"), F_OK), -1);
    }
    run("fakereal_synth", "--count", "20", NULL);
    expect_code(2);
    expect_in(ran.err, "--output");
    put("full/notes.txt", "mine");
    synth("full", "--count", "20");
    expect_code(2);
    expect_in(ran.err, "not empty");
    expect_file("full/notes.txt", "mine");
    ck_assert_int_eq(access(in_tree("full/train"), F_OK), -1);
    for (int i = 0; i < 2; i++) {
        const char *sheet =
            i ? "sheeted/test/../test/sample_submission.csv" : "sheeted/train/real_images/0000000.png";

        synth("sheeted", "--count", "20", "--sheet", in_tree(sheet));
        expect_code(2);
        expect_in(ran.err, "lies among the files of the set");
        ck_assert_int_eq(access(in_tree("sheeted/train"), F_OK), -1);
    }
    put("file", "");
    synth("file", "--count", "20");
    expect_code(4);
    run("fakereal_synth", "--output", "", NULL);
    expect_code(2);
    expect_in(ran.err, "a folder needs a name");
    /* Nothing is left, but what was there before is. */
    make_folders("mine/empty");
    synth("mine/empty", "--count", "20", "--sheet", in_tree("absent/sheet.png"));
    expect_code(4);
    synth("mine/new/deeper/", "--count", "20", "--sheet", in_tree("absent/sheet.png"));
    expect_code(4);
    ck_assert_int_eq(access(in_tree("mine/empty"), F_OK), 0);
    ck_assert_int_eq(access(in_tree("mine/empty/train"), F_OK), -1);
    ck_assert_int_eq(access(in_tree("mine/new"), F_OK), -1);
}
END_TEST

/* A limit on the size of files is a full disk to the program. */
START_TEST(disk_full)
{
    struct rlimit old, small = { .rlim_cur = 1000 };

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    synth("set", "--count", "40", "--image-size", "32");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    expect_code(4);
    expect_in(ran.err, strerror(EFBIG));
    ck_assert_int_eq(access(in_tree("set"), F_OK), -1);
    synth("set", "--count", "40", "--image-size", "32");
    expect_code(0);
}
END_TEST

START_TEST(interrupted)
{
    const char *const arguments[] = { "--output", in_tree("set"), "--count", "100000", NULL };
    pid_t child = start("fakereal_synth", arguments);

    while (access(in_tree("set/train/real_images"), F_OK) && nni_seconds() - ran.start < 60)
        (void)usleep(1000);
    ck_assert_int_eq(kill(child, SIGTERM), 0);
    finish(child);
    expect_code(143);
    ck_assert_int_eq(access(in_tree("set/train"), F_OK), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synth");
    TCase *t = tcase_create("programs");

    tcase_add_checked_fixture(t, programs_setup, programs_teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, same_bytes);
    tcase_add_test(t, known_bytes);
    tcase_add_test(t, files_alike);
    tcase_add_test(t, shuffled_labels);
    tcase_add_test(t, no_scene_twice);
    tcase_add_test(t, fair);
    tcase_add_test(t, refused);
    tcase_add_test(t, disk_full);
    tcase_add_test(t, interrupted);
    suite_add_tcase(s, t);
    return suite_run(s);
}
