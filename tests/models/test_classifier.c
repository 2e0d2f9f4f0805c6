/* SPDX-License-Identifier: MIT
 *
 * The classifier: what it says equals what its parts say when put together by hand; what a file lacks is
 * named; threads with an object each agree with one thread alone; threads that share a device take turns or
 * are told. Run under ThreadSanitizer in CI.
 */
#include "suite.h"

#include <check.h>
#include <nn/classifier.h>
#include <nn/io.h>
#include <nn/nn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 16, CLASSES = 3, WIDTH = 21, HEIGHT = 13, STRIDE = 3 * WIDTH + 5, THREADS = 8 };

static char path[] = "/tmp/test_classifier_XXXXXX";
static uint8_t image[HEIGHT * STRIDE];
static nn_message why;

static nn_tensor *tiny(nn_graph *g, nn_tensor *x, int64_t classes)
{
    x = nn_relu(g, nn_layer_conv2d(g, "conv", x, (nn_conv2d_opts){ .out = 8, .k = 3, .stride = 2 }));
    x = nn_flatten(g, nn_global_avg_pool(g, x));
    return nn_layer_linear(g, "head", x, (nn_linear_opts){ .out = classes });
}

static nn_tensor *wrong_width(nn_graph *g, nn_tensor *x, int64_t classes) { return tiny(g, x, classes + 1); }

static const nn_classifier_opts own = { .threads = 1, .network = tiny };

/* A file with the weights of `tiny`; its metadata are those given, NULL: none. */
static void save_as(const char *record, const char *network, const char *threshold)
{
    nn_pair pairs[3];
    int64_t n = 0;
    nn_device *d;
    nn_model *m;
    nn_graph *g;

    if (record)
        pairs[n++] = (nn_pair){ NN_PREPROCESS_KEY, record };
    if (network)
        pairs[n++] = (nn_pair){ NN_NETWORK_KEY, network };
    if (threshold)
        pairs[n++] = (nn_pair){ NN_THRESHOLD_KEY, threshold };
    ck_assert_int_eq(nn_open(&d, "cpu", &(nn_device_options){ .threads = 1 }, &why), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, d, 7), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, d, m, NN_EVAL), NN_OK);
    ck_assert_ptr_nonnull(tiny(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(1, SIZE, SIZE, 3)), CLASSES));
    ck_assert_msg(!nn_model_save(m, path, NN_BASE_NONE, pairs, n), "%s", nn_model_error(m));
    nn_graph_free(g);
    nn_model_free(m);
    nn_close(d);
}

static char *record_text(int64_t classes)
{
    static const char *const names[] = { "cat", "dog", "neither" };
    static char text[2048];
    nn_preprocess p = nn_preprocess_default();
    size_t length;

    p.size = p.resize_width = p.resize_height = SIZE;
    ck_assert_int_eq(nn_preprocess_set_classes(&p, names, classes, &why), NN_OK);
    ck_assert_int_eq(nn_preprocess_write(&p, text, sizeof text, &length, &why), NN_OK);
    nn_preprocess_free(&p);
    return text;
}

static void setup(void)
{
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    for (size_t i = 0; i < sizeof image; i++)
        image[i] = (uint8_t)(i * i * 31 + i * 7);
    save_as(record_text(CLASSES), NULL, "0.25");
}

static void teardown(void)
{
    (void)unlink(path);
    memset(path + strlen(path) - 6, 'X', 6);
}

static nn_classifier *open_ok(const nn_classifier_opts *opts)
{
    nn_classifier *c;

    ck_assert_msg(!nn_classifier_open(&c, path, opts, &why), "%s", why.text);
    return c;
}

static void expect_failure(const nn_classifier_opts *opts, int status, const char *text)
{
    nn_classifier *c = (nn_classifier *)&why;
    int rc = nn_classifier_open(&c, path, opts, &why);

    ck_assert_msg(rc == status, "%d, not %d: %s", rc, status, why.text);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(why.text, path) && strstr(why.text, text), "\"%s\" lacks \"%s\"", why.text, text);
    ck_assert_int_eq(nn_classifier_open(&c, path, opts, NULL), status);
}

START_TEST(tells_about_itself)
{
    nn_classifier *c = open_ok(&own);
    const nn_classifier_info *about = nn_classifier_about(c);

    ck_assert_str_eq(about->network, "");
    ck_assert_int_eq(about->preprocess.classes, CLASSES);
    ck_assert_str_eq(about->preprocess.class_names[1], "dog");
    ck_assert_double_eq(about->threshold, 0.25);
    ck_assert_int_eq(about->batch, 1);
    ck_assert_str_eq(nn_classifier_error(c), "");
    nn_classifier_close(c);
    nn_classifier_close(NULL);
}
END_TEST

/* Raw pixels with a stride, against preprocessing by hand and the softmax of the logits. */
START_TEST(equals_its_parts)
{
    nn_classifier_opts four = own;
    nn_image view = { image, WIDTH, HEIGHT, STRIDE };
    uint8_t pixels[3 * SIZE * SIZE * 3] = { 0 };
    double p[CLASSES], logits[3 * CLASSES], sum = 0;
    nn_classifier *one = open_ok(&own), *many;

    four.batch = 4;
    many = open_ok(&four);
    ck_assert_int_eq(nn_classifier_run(one, image, WIDTH, HEIGHT, STRIDE, p), NN_OK);
    ck_assert_int_eq(nn_preprocess_apply(&nn_classifier_about(many)->preprocess, &view,
                                         pixels + 2 * SIZE * SIZE * 3, NULL, &why),
                     NN_OK);
    ck_assert_msg(!nn_classifier_logits(many, pixels, 3, logits), "%s", nn_classifier_error(many));
    for (int i = 0; i < CLASSES; i++)
        sum += exp(logits[2 * CLASSES + i]);
    for (int i = 0; i < CLASSES; i++)
        ck_assert_double_eq_tol(p[i], exp(logits[2 * CLASSES + i]) / sum, 1e-6);
    ck_assert_double_eq_tol(p[0] + p[1] + p[2], 1, 1e-12);
    ck_assert_int_ne(memcmp(logits, logits + 2 * CLASSES, CLASSES * sizeof *logits), 0);
    nn_classifier_close(one);
    nn_classifier_close(many);
}
END_TEST

START_TEST(refuses_what_cannot_be)
{
    double p[CLASSES];
    nn_classifier *c = open_ok(&own);

    ck_assert_int_eq(nn_classifier_run(c, image, 0, HEIGHT, 0, p), NN_EINVAL);
    ck_assert_str_ne(nn_classifier_error(c), "");
    ck_assert_int_eq(nn_classifier_run(c, NULL, WIDTH, HEIGHT, 0, p), NN_EINVAL);
    ck_assert_int_eq(nn_classifier_run(c, image, WIDTH, HEIGHT, 3, p), NN_EINVAL);
    ck_assert_int_eq(nn_classifier_logits(c, image, 2, p), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(nn_classifier_error(c), "batch of 1"));
    ck_assert_int_eq(nn_classifier_run(c, image, WIDTH, HEIGHT, STRIDE, p), NN_OK);
    nn_classifier_close(c);
}
END_TEST

START_TEST(names_what_a_file_lacks)
{
    nn_classifier_opts wrong = { .threads = 1, .network = wrong_width }, named = { .threads = 1 };

    expect_failure(&wrong, NN_ESHAPE, "3 classes");
    expect_failure(&named, NN_EUNSUPPORTED, NN_NETWORK_KEY);
    save_as(NULL, NULL, NULL);
    expect_failure(&own, NN_EFORMAT, NN_PREPROCESS_KEY);
    save_as("{}", NULL, NULL);
    expect_failure(&own, NN_EFORMAT, "kernel");
    save_as(record_text(0), NULL, NULL);
    expect_failure(&own, NN_EFORMAT, "no classes");
    save_as(record_text(CLASSES), NULL, "1.5");
    expect_failure(&own, NN_EFORMAT, NN_THRESHOLD_KEY);
    save_as(record_text(CLASSES), "nonesuch", NULL);
    expect_failure(&named, NN_ENOTFOUND, "nonesuch");
    save_as(record_text(CLASSES), "efficientnet_lite0", NULL);
    expect_failure(&named, NN_EFORMAT, "features.0.0.weight");
    ck_assert_int_eq(unlink(path), 0);
    expect_failure(&own, NN_ENOTFOUND, path);
}
END_TEST

/* ---- threads ---- */

struct job {
    double p[CLASSES];
    int status;
};

static void *work(void *argument)
{
    struct job *j = argument;
    nn_classifier *c;

    j->status = nn_classifier_open(&c, path, &own, NULL);
    for (int i = 0; !j->status && i < 20; i++)
        j->status = nn_classifier_run(c, image, WIDTH, HEIGHT, STRIDE, j->p);
    nn_classifier_close(c);
    return NULL;
}

static void work_side_by_side(struct job *job, int n)
{
    pthread_t thread[THREADS];

    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, work, &job[i]), 0);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
}

START_TEST(an_object_for_each_thread)
{
    struct job job[THREADS] = { 0 }, alone = { 0 };

    (void)work(&alone);
    work_side_by_side(job, THREADS);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(job[i].status, NN_OK);
        ck_assert_int_eq(memcmp(job[i].p, alone.p, sizeof alone.p), 0);
    }
}
END_TEST

START_TEST(in_turns_on_one_device)
{
    nn_classifier_opts shared = own;
    struct job alone = { 0 };
    nn_classifier *c[2];
    nn_device *d;
    double p[CLASSES];

    (void)work(&alone);
    ck_assert_int_eq(nn_open(&d, "cpu", &(nn_device_options){ .threads = 2 }, &why), NN_OK);
    shared.device = d;
    c[0] = open_ok(&shared);
    c[1] = open_ok(&shared);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(nn_classifier_run(c[i % 2], image, WIDTH, HEIGHT, STRIDE, p), NN_OK);
        ck_assert_int_eq(memcmp(p, alone.p, sizeof p), 0);
    }
    nn_classifier_close(c[0]);
    ck_assert_int_eq(nn_classifier_run(c[1], image, WIDTH, HEIGHT, STRIDE, p), NN_OK);
    nn_classifier_close(c[1]);
    nn_close(d);
}
END_TEST

struct turn {
    nn_classifier *c;
    const double *expected;
    int wrong, done;
};

static void *take_turns(void *argument)
{
    struct turn *t = argument;
    double p[CLASSES];

    for (int i = 0; i < 50; i++) {
        int rc = nn_classifier_run(t->c, image, WIDTH, HEIGHT, STRIDE, p);

        t->done += !rc;
        t->wrong += rc ? rc != NN_ESTATE : memcmp(p, t->expected, sizeof p) != 0;
    }
    return NULL;
}

/* At once on one device: at worst refused, never wrong. */
START_TEST(at_once_on_one_device)
{
    nn_classifier_opts shared = own;
    struct job alone = { 0 };
    struct turn turn[2] = { { .wrong = 0 }, { .wrong = 0 } };
    pthread_t thread[2];
    nn_device *d;

    (void)work(&alone);
    ck_assert_int_eq(nn_open(&d, "cpu", &(nn_device_options){ .threads = 2 }, &why), NN_OK);
    shared.device = d;
    for (int i = 0; i < 2; i++)
        turn[i] = (struct turn){ .c = open_ok(&shared), .expected = alone.p };
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, take_turns, &turn[i]), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_int_eq(turn[0].wrong + turn[1].wrong, 0);
    ck_assert_int_gt(turn[0].done + turn[1].done, 0);
    for (int i = 0; i < 2; i++)
        nn_classifier_close(turn[i].c);
    nn_close(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("classifier");
    TCase *t = tcase_create("classifier");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, tells_about_itself);
    tcase_add_test(t, equals_its_parts);
    tcase_add_test(t, refuses_what_cannot_be);
    tcase_add_test(t, names_what_a_file_lacks);
    tcase_add_test(t, an_object_for_each_thread);
    tcase_add_test(t, in_turns_on_one_device);
    tcase_add_test(t, at_once_on_one_device);
    suite_add_tcase(s, t);
    return suite_run(s);
}
