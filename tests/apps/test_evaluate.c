/* SPDX-License-Identifier: MIT
 *
 * fakereal_evaluate: the numbers are those of the library's metrics over what the network says of each
 * image; images that the run trained on are found under any name; one bad file spoils nothing else.
 */
#include "programs.h"
#include "suite.h"

#include <jansson.h>

static char *checkpoint, *json_path;

static void setup(void)
{
    programs_setup();
    make_folders("run");
    make_checkpoint("run/best.safetensors", 1, 0.5);
    checkpoint = strdup(in_tree("run/best.safetensors"));
    json_path = strdup(in_tree("result.json"));
}

static void teardown(void)
{
    free(checkpoint);
    free(json_path);
    programs_teardown();
}

#define evaluate(...)                                                                                        \
    run("fakereal_evaluate", "--checkpoint", checkpoint, "--threads", "1", "--json", json_path, __VA_ARGS__, \
        NULL)

/* tree/FOLDER/{fake,real}_images with `n` images each; `seed` makes the contents. */
static void put_images(const char *folder, int n, unsigned seed)
{
    char path[256];

    for (int i = 0; i < 2 * n; i++) {
        (void)snprintf(path, sizeof path, "%s/%s_images/%d.png", folder, i % 2 ? "fake" : "real", i);
        put_png(path, seed + (unsigned)i);
    }
}

static json_t *result(void)
{
    json_error_t error;
    json_t *j = json_load_file(json_path, 0, &error);

    ck_assert_msg(j != NULL, "%s", error.text);
    return j;
}

static double number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);

    ck_assert_msg(json_is_number(v), "%s is no number", key);
    return json_number_value(v);
}

static json_int_t samples(void)
{
    json_t *j = result();
    json_int_t n = json_integer_value(json_object_get(j, "samples"));

    json_decref(j);
    return n;
}

/* A split.tsv as fakereal_train writes it for the data below tree/FOLDER. */
static void write_split(const char *folder, double fraction)
{
    nn_dataset *d = load(folder);

    ck_assert_int_eq(nn_dataset_hash(d, 1, &why), NN_OK);
    if (fraction > 0)
        ck_assert_int_eq(nn_dataset_split(d, fraction, 1, &why), NN_OK);
    ck_assert_int_eq(nn_split_write(d, in_tree("run/split.tsv"), &why), NN_OK);
    nn_dataset_free(d);
}

START_TEST(numbers)
{
    enum { N = 12 };
    static const char *const keys[] = { "precision", "recall", "f1" };
    struct network n = small_network(1);
    double logits[2 * N], middle = 0, threshold, interval[2], loss = 0;
    int32_t label[N];
    nn_metrics m;
    char path[64], text[32];
    json_t *j, *c;

    put_images("faces/valid", N / 2, 1);
    put_images("faces/train", 1, 100);
    for (int i = 0; i < N; i++) {
        (void)snprintf(path, sizeof path, "faces/valid/%s_images/%d.png", i % 2 ? "fake" : "real", i);
        say(&n, path, logits + 2 * i);
        label[i] = i % 2;
        middle += nn_probability_fake(logits + 2 * i) / N;
    }
    for (int pass = 0; pass < 2; pass++) {
        threshold = pass ? middle : 0.5;
        (void)snprintf(text, sizeof text, "%.17g", threshold);
        if (pass)
            evaluate("--data", in_tree("faces"), "--batch-size", "5", "--threshold", text);
        else
            evaluate("--data", in_tree("faces"));
        expect_code(0);
        expect_in(ran.err, "no split.tsv");
        expect_not_in(ran.out, "LEAK");
        ck_assert_int_eq(nn_metrics_binary(&m, logits, label, N, threshold), NN_OK);
        j = result();
        ck_assert_int_eq(json_integer_value(json_object_get(j, "samples")), N);
        ck_assert_double_eq_tol(number(j, "accuracy"), m.accuracy, 1e-12);
        ck_assert_double_eq_tol(number(j, "balanced_accuracy"), m.balanced_accuracy, 1e-12);
        ck_assert_double_eq_tol(number(j, "macro_f1"), m.macro_f1, 1e-12);
        ck_assert_int_eq(nn_macro_f1_interval(interval, &m, 0), NN_OK);
        c = json_object_get(j, "macro_f1_interval");
        for (size_t i = 0; i < 2; i++)
            ck_assert_double_eq_tol(json_real_value(json_array_get(c, i)), interval[i], 1e-12);
        ck_assert_double_eq_tol(number(j, "auc"), m.auc, 1e-12);
        loss = number(j, "loss");
        ck_assert_double_eq_tol(loss, m.loss, 1e-5);
        ck_assert_double_eq(number(j, "threshold"), threshold);
        ck_assert_str_eq(json_string_value(json_object_get(j, "split")), "valid");
        ck_assert(json_is_null(json_object_get(j, "leaks")));
        for (size_t t = 0; t < 2; t++)
            for (size_t p = 0; p < 2; p++)
                ck_assert_int_eq(
                    json_integer_value(json_array_get(json_array_get(json_object_get(j, "confusion"), t), p)),
                    m.confusion[t][p]);
        for (int k = 0; k < 2; k++) {
            const double want[3] = { m.per_class[k].precision, m.per_class[k].recall, m.per_class[k].f1 };

            c = json_object_get(json_object_get(j, "per_class"), k ? "fake" : "real");
            for (int i = 0; i < 3; i++)
                ck_assert_double_eq_tol(number(c, keys[i]), want[i], 1e-12);
            ck_assert_int_eq(json_integer_value(json_object_get(c, "support")), N / 2);
        }
        json_decref(j);
        (void)snprintf(path, sizeof path, "accuracy           %.6f\n", m.accuracy);
        expect_in(ran.out, path);
    }
    /* With the threshold in the middle both answers occur: the columns were not exchanged. */
    ck_assert_int_gt(m.confusion[0][0] + m.confusion[1][0], 0);
    ck_assert_int_gt(m.confusion[0][1] + m.confusion[1][1], 0);
    /* Activations in bfloat16: nearly the same, but not the same. */
    evaluate("--data", in_tree("faces"), "--precision", "bf16");
    expect_code(0);
    j = result();
    ck_assert_double_eq_tol(number(j, "loss"), m.loss, 0.1 * m.loss);
    ck_assert_double_ne(number(j, "loss"), loss);
    json_decref(j);
    network_free(&n);
}
END_TEST

START_TEST(one_class)
{
    json_t *j;
    char *text;

    put_png("faces/test/fake/1.png", 1);
    put_png("faces/test/fake/2.png", 2);
    put_png("faces/train/real/1.png", 3);
    evaluate("--data", in_tree("faces"), "--split-name", "test");
    expect_code(0);
    j = result();
    ck_assert(json_is_null(json_object_get(j, "auc")));
    ck_assert_int_eq(samples(), 2);
    json_decref(j);
    text = read_text("result.json");
    expect_not_in(text, "nan");
    expect_not_in(text, "NaN");
    free(text);
}
END_TEST

START_TEST(bad_images)
{
    json_t *j, *list;

    put_images("faces/valid", 2, 1);
    put("faces/valid/fake_images/page.jpg", "<html>404</html>");
    put_bytes("faces/valid/real_images/line\nend.jpg", baseline_420, 300);
    evaluate("--data", in_tree("faces"));
    expect_code(3);
    expect_in(ran.err, "fake_images/page.jpg: ");
    expect_in(ran.err, "real_images/line\\nend.jpg: ");
    expect_in(ran.out, "2 left out");
    ck_assert_int_eq(samples(), 4);
    j = result();
    list = json_object_get(j, "excluded");
    ck_assert_uint_eq(json_array_size(list), 2);
    expect_in(json_string_value(json_object_get(json_array_get(list, 0), "file")), "page.jpg");
    expect_in(json_string_value(json_object_get(json_array_get(list, 0), "reason")), "HTML");
    json_decref(j);

    put("broken/valid/fake/1.png", "");
    put("broken/valid/real/1.png", "");
    evaluate("--data", in_tree("broken"));
    expect_code(3);
    expect_in(ran.err, "none of the images");
}
END_TEST

START_TEST(leaks)
{
    json_t *j;

    put_images("faces/train", 3, 1);
    put_images("faces/valid", 2, 100);
    write_split("faces", 0);
    evaluate("--data", in_tree("faces"));
    expect_code(0);
    expect_not_in(ran.out, "LEAK");
    j = result();
    ck_assert_double_eq(number(j, "leaks"), 0);
    json_decref(j);

    evaluate("--data", in_tree("faces"), "--split-name", "train");
    expect_code(3);
    expect_in(ran.out, "LEAK: 6\n");

    /* A training image under another name in other data. */
    put_images("other/valid", 2, 200);
    put_png("other/valid/real_images/again.png", 3);
    evaluate("--data", in_tree("other"));
    expect_code(3);
    expect_in(ran.out, "LEAK: 1\n");
    expect_in(ran.err, "again.png: trained on as train/");
    ck_assert_int_eq(samples(), 5);
    j = result();
    ck_assert_double_eq(number(j, "leaks"), 1);
    json_decref(j);

    /* A folder where an image should be: its images, which were trained on, are not what is evaluated. */
    put("some.csv", "path,label\nfaces/train,1\nfaces/valid/real_images/0.png,0\n"
                    "faces/valid/fake_images/1.png,1\n");
    evaluate("--csv", in_tree("some.csv"));
    expect_code(3);
    ck_assert_int_eq(samples(), 2);
    expect_not_in(ran.out, "LEAK");

    run("fakereal_evaluate", "-c", checkpoint, "--data", in_tree("faces"), "--json", in_tree("run/split.tsv"),
        NULL);
    expect_code(2); /* that is what leaks are found by */
    put("run/split.tsv", "nonsense\n");
    evaluate("--data", in_tree("faces"));
    expect_code(3);
    expect_in(ran.err, "split.tsv: line 1");
    ck_assert_int_eq(samples(), 4);
}
END_TEST

/* The loss is that of the mean probabilities, and an image leaks if any of the runs has trained on it. */
START_TEST(several_checkpoints)
{
    enum { N = 6, CHECKPOINTS = 3 };
    double loss = 0, p[N] = { 0 };
    char path[64];
    json_t *j;

    make_folders("second");
    make_checkpoint("second/best.safetensors", 2, 0.9);
    make_checkpoint("second/last.safetensors", 3, 0.5);
    put_images("faces/valid", N / 2, 1);
    for (uint64_t seed = 1; seed <= CHECKPOINTS; seed++) {
        struct network n = small_network(seed);
        double logits[2];

        for (int i = 0; i < N; i++) {
            (void)snprintf(path, sizeof path, "faces/valid/%s_images/%d.png", i % 2 ? "fake" : "real", i);
            say(&n, path, logits);
            p[i] += nn_probability_fake(logits) / CHECKPOINTS;
        }
        network_free(&n);
    }
    for (int i = 0; i < N; i++)
        loss -= log(i % 2 ? p[i] : 1 - p[i]) / N;
    /* One image is of the second run's training, another of both. */
    put_png("train/train/fake_images/a.png", 1);
    put_png("train/train/real_images/b.png", 2);
    write_split("train", 0);
    ck_assert(!rename(in_tree("run/split.tsv"), in_tree("second/split.tsv")));
    ck_assert(!unlink(in_tree("train/train/fake_images/a.png")));
    put_png("train/train/fake_images/a.png", 500);
    write_split("train", 0);
    run("fakereal_evaluate", "-c", checkpoint, in_tree("second/best.safetensors"), "--data", in_tree("faces"),
        "--json", json_path, "-c", in_tree("second/last.safetensors"), NULL);
    expect_code(3);
    expect_in(ran.out, "LEAK: 2\n");
    expect_in(ran.err, "its threshold is 0.9");
    j = result();
    ck_assert_uint_eq(json_array_size(json_object_get(j, "checkpoints")), CHECKPOINTS);
    ck_assert_double_eq(number(j, "leaks"), 2);
    ck_assert_double_eq(number(j, "threshold"), 0.5);
    ck_assert_double_eq_tol(number(j, "loss"), loss, 1e-5);
    json_decref(j);
}
END_TEST

START_TEST(split_of_the_run)
{
    put_images("faces", 5, 1);
    write_split("faces", 0.2);
    evaluate("--data", in_tree("faces"));
    expect_code(0);
    expect_in(ran.err, "as the run chose them");
    ck_assert_int_eq(samples(), 2);

    /* With extra data in the split the same needs the extra data. */
    put_images("extra/train", 2, 300);
    {
        nn_dataset *d = load("faces");

        ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("extra"), &why), NN_OK);
        ck_assert_int_eq(nn_dataset_hash(d, 1, &why), NN_OK);
        ck_assert_int_eq(nn_dataset_split(d, 0.2, 1, &why), NN_OK);
        ck_assert_int_eq(nn_split_write(d, in_tree("run/split.tsv"), &why), NN_OK);
        nn_dataset_free(d);
    }
    evaluate("--data", in_tree("faces"), "--extra-data", in_tree("extra"));
    expect_code(0);
    ck_assert_int_eq(samples(), 2);
    evaluate("--data", in_tree("faces"), "--split-name", "valid");
    expect_code(3);
    expect_in(ran.err, "the split does not fit");

    /* Other data without splits are evaluated whole. */
    put_images("other", 3, 200);
    evaluate("--data", in_tree("other"));
    expect_code(0);
    expect_in(ran.err, "all images are evaluated");
    ck_assert_int_eq(samples(), 6);
    evaluate("--fake-dir", in_tree("other/fake_images"), "--real-dir", in_tree("other/real_images"));
    expect_code(0);
    ck_assert_int_eq(samples(), 6);
    evaluate("--data", in_tree("other"), "--split-name", "test");
    expect_code(3);
    expect_in(ran.err, "no labelled images in the test split");
}
END_TEST

/* A network whose answer is finite for some images only: its features are none below zero, so the greater
 * their sum, the sooner a large weight makes them overflow. */
static int64_t overflowing(const char *path, int images)
{
    static float weight[2 * 1280];
    const float bias[2] = { 0, 0 };
    const size_t features = sizeof weight / sizeof *weight / 2;
    struct network n = small_network(1);
    double logits[2], sum[16], middle = 0;
    char image[64];
    int64_t over = 0;

    for (size_t i = 0; i < features; i++)
        weight[i] = 1;
    ck_assert_int_eq(nn_model_write(n.model, "classifier.1.weight", NN_BASE_PARAM, NN_F32, weight), NN_OK);
    ck_assert_int_eq(nn_model_write(n.model, "classifier.1.bias", NN_BASE_PARAM, NN_F32, bias), NN_OK);
    for (int i = 0; i < images; i++) {
        (void)snprintf(image, sizeof image, "faces/valid/%s_images/%d.png", i % 2 ? "fake" : "real", i);
        say(&n, image, logits);
        sum[i] = logits[0];
        middle += sum[i] / images;
    }
    for (int i = 0; i < images; i++)
        over += sum[i] > middle;
    for (size_t i = 0; i < features; i++)
        weight[i] = (float)(0x1p128 / middle);
    ck_assert_int_eq(nn_model_write(n.model, "classifier.1.weight", NN_BASE_PARAM, NN_F32, weight), NN_OK);
    save(&n, path, 0.5);
    network_free(&n);
    return over;
}

/* An image for which the network gives no number has no answer: it is no real one. */
START_TEST(diverged)
{
    enum { N = 8 };
    int64_t without;
    char text[64];
    json_t *j, *c;

    put_images("faces/valid", N / 2, 1);
    without = overflowing("run/best.safetensors", N);
    ck_assert(without > 0 && without < N);
    evaluate("--data", in_tree("faces"));
    expect_code(3);
    (void)snprintf(text, sizeof text, "no finite output for %d images", (int)without);
    expect_in(ran.err, text);
    (void)snprintf(text, sizeof text, "no answer          %d of those left out", (int)without);
    expect_in(ran.out, text);
    j = result();
    ck_assert_int_eq(json_integer_value(json_object_get(j, "samples")), N - without);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "not_finite")), without);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "excluded")), (size_t)without);
    c = json_array_get(json_object_get(j, "confusion"), 0);
    ck_assert_int_le(json_integer_value(json_array_get(c, 0)), N - without);
    ck_assert(json_is_number(json_object_get(j, "loss")));
    json_decref(j);
}
END_TEST

/* A result for a device goes to the device, which is still there afterwards. */
START_TEST(results_to_devices)
{
    struct stat st;

    put_images("faces/valid", 1, 1);
    ck_assert_int_eq(symlink("/dev/stdout", in_tree("out.json")), 0);
    run("fakereal_evaluate", "--checkpoint", checkpoint, "--data", in_tree("faces"), "--json",
        in_tree("out.json"), NULL);
    expect_code(0);
    expect_in(ran.out, "\"macro_f1\"");
    ck_assert(!lstat(in_tree("out.json"), &st) && S_ISLNK(st.st_mode));
    run("fakereal_evaluate", "--checkpoint", checkpoint, "--data", in_tree("faces"), "--json", "/dev/full",
        NULL);
    expect_code(4);
    ck_assert(!stat("/dev/full", &st) && S_ISCHR(st.st_mode));
}
END_TEST

START_TEST(exit_codes)
{
    put_images("faces/valid", 1, 1);
    run("fakereal_evaluate", "--checkpoint", checkpoint, NULL);
    expect_code(2);
    run("fakereal_evaluate", "--data", in_tree("faces"), NULL);
    expect_code(2);
    evaluate("--data", in_tree("faces"), "--fake-dir", "x");
    expect_code(2);
    evaluate("--data", in_tree("faces"), "--split-name", "some");
    expect_code(2);
    evaluate("--data", in_tree("faces"), "--threshold", "nan");
    expect_code(2);
    run("fakereal_evaluate", "--checkpoint", checkpoint, "--data", in_tree("faces"), "--json", checkpoint,
        NULL);
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read");
    put("faces/some.csv", "path,label\nvalid/fake_images/0.png,fake\n");
    ck_assert(!symlink("some.csv", in_tree("faces/link.csv")));
    ck_assert(!link(in_tree("faces/some.csv"), in_tree("faces/hard.csv")));
    for (int i = 0; i < 3; i++) {
        static const char *const spelled[] = { "faces/../faces/some.csv", "faces/link.csv",
                                               "faces/hard.csv" };

        run("fakereal_evaluate", "--checkpoint", checkpoint, "--csv", in_tree("faces/some.csv"), "--json",
            in_tree(spelled[i]), NULL);
        expect_code(2);
        expect_in(ran.err, "would replace a file that is to be read");
    }
    /* The split of any of the runs is read. */
    make_folders("second");
    make_checkpoint("second/best.safetensors", 2, 0.5);
    put("second/split.tsv", "path\tsplit\tlabel\tsha256\n");
    run("fakereal_evaluate", "--checkpoint", checkpoint, in_tree("second/best.safetensors"), "--data",
        in_tree("faces"), "--json", in_tree("second/split.tsv"), NULL);
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read (the run's split.tsv)");
    expect_file("second/split.tsv", "path\tsplit\tlabel\tsha256\n");
    /* One checkpoint is no ensemble. */
    ck_assert(!symlink("best.safetensors", in_tree("second/again.safetensors")));
    run("fakereal_evaluate", "--checkpoint", in_tree("second/best.safetensors"),
        in_tree("second/again.safetensors"), "--data", in_tree("faces"), NULL);
    expect_code(2);
    expect_in(ran.err, "second/again.safetensors is given twice, also as");
    evaluate("--data", in_tree("absent"));
    expect_code(3);
    expect_in(ran.err, "absent");
    evaluate("--data", in_tree("run"));
    expect_code(3);
    run("fakereal_evaluate", "--checkpoint", checkpoint, "--data", in_tree("faces"), "--json",
        in_tree("absent/r.json"), NULL);
    expect_code(4);
    expect_in(ran.err, "absent/r.json");
    ck_assert(!rename(checkpoint, in_tree("run/last.safetensors")));
    put("run/best.safetensors", "half of it");
    evaluate("--data", in_tree("faces"));
    expect_code(3);
    expect_in(ran.err, "run/last.safetensors beside it holds the weights of the run's last step");
    ck_assert(!rename(in_tree("run/last.safetensors"), checkpoint));
    evaluate("--data", in_tree("faces"), "--device", "cuda:1");
    expect_code(5);
    ck_assert_int_ne(access(json_path, F_OK), 0);
    run("fakereal_evaluate", "--help", NULL);
    expect_code(0);
    ck_assert(strstr(ran.out, "Examples:") && strstr(ran.out, "Examples:") < strstr(ran.out, "--split-name"));
    run("fakereal_evaluate", "--version", NULL);
    expect_code(0);
    expect_in(ran.out, "fakereal_evaluate (libnn) " NN_VERSION "\nJPEG files are decoded by ");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("evaluate");
    TCase *t = tcase_create("evaluate");

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, numbers);
    tcase_add_test(t, one_class);
    tcase_add_test(t, bad_images);
    tcase_add_test(t, leaks);
    tcase_add_test(t, several_checkpoints);
    tcase_add_test(t, split_of_the_run);
    tcase_add_test(t, diverged);
    tcase_add_test(t, exit_codes);
    tcase_add_test(t, results_to_devices);
    return suite_run(s);
}
