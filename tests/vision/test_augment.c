/* SPDX-License-Identifier: MIT
 *
 * Augmentation pipelines: pixels equal to Albumentations' for the parameters it drew, the text of a pipeline
 * in and out, what a sample's draws depend on, and every failure of memory. The long comparison, with
 * hundreds of draws and their distributions, is tests/parity/augment.py.
 */
#include "../golden/augment.h"
#include "vision/transform.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static nn_message why;

static int64_t steps_of(const char *text)
{
    int64_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* ------------------------------------------------------------------------ Albumentations */

START_TEST(equal_to_albumentations)
{
    enum { BYTES = GOLDEN_HEIGHT * GOLDEN_WIDTH * 3 };
    const char *text = golden[_i].text;
    const struct nni_transform *t = nni_transform_named(text, strcspn(text, " "));
    struct nni_step step = { .transform = t };
    struct nni_drawn drawn = { .noise = golden[_i].has_noise ? golden[_i].noise : NULL };
    nn_vision_scratch scratch = { .size = { 0 } };
    struct nni_canvas c = { .slot = NNI_SCRATCH_CANVAS, .scratch = &scratch };
    uint8_t *rgb;
    int off = 0, beyond = 0;

    ck_assert_ptr_nonnull(t);
    for (int i = 0; i < NNI_SETTINGS && t->setting[i].name; i++) {
        step.low[i] = t->setting[i].low;
        step.high[i] = t->setting[i].high;
    }
    if (!strcmp(t->name, "elastic"))
        step.low[0] = 300; /* alpha; the others of the table have no setting that apply reads */
    memcpy(drawn.v, golden[_i].v, sizeof drawn.v);
    rgb = nni_canvas_next(&c, GOLDEN_WIDTH, GOLDEN_HEIGHT, false);
    for (int y = 0; y < GOLDEN_HEIGHT; y++)
        for (int x = 0; x < GOLDEN_WIDTH; x++)
            for (int k = 0; k < 3; k++)
                *rgb++ = (uint8_t)(x * 37 + y * 59 + k * 83 + x * y * (5 + k));
    nni_canvas_turn(&c, GOLDEN_WIDTH, GOLDEN_HEIGHT, false);
    ck_assert_int_eq(t->apply(&step, &drawn, &c), NN_OK);
    rgb = c.at;
    for (int i = 0; i < BYTES; i++) {
        int d = abs(rgb[i] - golden[_i].rgb[i]);

        off += d > 0;
        beyond += d > 1;
    }
    ck_assert_msg(off <= BYTES / 100 && !beyond, "%s: %d of %d values differ, %d by more than one level",
                  t->name, off, BYTES, beyond);
    nn_vision_scratch_free(&scratch);
}
END_TEST

/* ------------------------------------------------------------------------------ the text */

START_TEST(text_in_and_out)
{
    static const char *const texts[] = {
        "",
        "none",
        "flip",
        "entry",
        "flip p=0.25; affine rotate=-5..5 # turned a little\n\n  gauss_noise variance=3",
        "affine;resize;affine p=1;;",
        "elastic alpha=1e2\r\nflip\r\n",
    };
    static const int64_t steps[] = { 1, 1, 2, 8, 4, 3, 3 };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        nn_augment *a, *b;

        ck_assert_msg(!nn_augment_new(&a, texts[i], &why), "%s", why.text);
        ck_assert_int_eq(steps_of(nn_augment_text(a)), steps[i]);
        ck_assert_msg(!nn_augment_new(&b, nn_augment_text(a), &why), "%s", why.text);
        ck_assert_str_eq(nn_augment_text(a), nn_augment_text(b));
        nn_augment_free(b);
        nn_augment_free(a);
    }
}
END_TEST

START_TEST(resolved)
{
    nn_augment *a;

    ck_assert_int_eq(nn_augment_new(&a, "flip; optical_distortion distort=-0.3..0.3", &why), NN_OK);
    ck_assert_str_eq(nn_augment_text(a),
                     "resize\nflip p=0.5\noptical_distortion distort=-0.3..0.3 shift=-0.05..0.05 p=0.5\n");
    nn_augment_free(a);
}
END_TEST

static const struct {
    const char *text, *said;
} wrong[] = {
    { "flop", "line 1, column 1: there is no transform \"flop\"" },
    { "flip\n  flop", "line 2, column 3: there is no transform" },
    { "flip p=2", "line 1, column 8: the probability" },
    { "flip p=0..1", "column 8: the probability" },
    { "flip p=", "neither a number nor a range" },
    { "flip p=nan", "neither a number nor a range" },
    { "flip angle=3", "column 6: no setting \"angle\"" },
    { "affine rotate", "a setting is written name=value" },
    { "affine rotate=1..", "neither a number" },
    { "affine rotate=9..1", "upside down" },
    { "affine rotate=-1e9..0", "beyond what this setting can be" },
    { "elastic alpha=1..2", "is a range, and this setting is a plain number" },
    { "resize p=0.5", "no setting \"p\"" },
    { "resize;resize", "a second \"resize\"" },
};

START_TEST(mistakes)
{
    nn_augment *a = NULL;

    ck_assert_int_eq(nn_augment_new(&a, wrong[_i].text, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, wrong[_i].said) != NULL, "%s", why.text);
    ck_assert_ptr_null(a);
}
END_TEST

START_TEST(too_many_steps)
{
    char text[33 * 5 + 1] = "";
    nn_augment *a;

    for (int i = 0; i < 33; i++)
        strcat(text, "flip;");
    ck_assert_int_eq(nn_augment_new(&a, text, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "too many steps") != NULL, "%s", why.text);
}
END_TEST

/* ---------------------------------------------------------------------------------- runs */

enum { SIDE = 32, BYTES = 3 * SIDE * SIDE };
static uint8_t source[50 * 40 * 3];
static const nn_image image = { .rgb = source, .width = 50, .height = 40 };

static void paint(void)
{
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = (uint8_t)(i * i / 7 + i / 150 * 3);
}

static void run(const char *text, nn_augment_key key, uint8_t *rgb)
{
    nn_preprocess record = nn_preprocess_default();
    nn_augment *a;

    record.size = record.resize_height = record.resize_width = SIDE;
    ck_assert_msg(!nn_augment_new(&a, text, &why), "%s", why.text);
    ck_assert_msg(!nn_augment_apply(a, &record, &image, key, rgb, NULL, &why), "%s", why.text);
    nn_augment_free(a);
}

/* One uint64 of key for each of seed, sample and epoch changes something; nothing else does. */
START_TEST(draws_depend_on_the_key)
{
    static uint8_t first[BYTES], now[BYTES];
    nn_augment_key key = { .seed = 9, .sample = 1, .epoch = 2 };

    run("entry", key, first);
    run("entry", key, now);
    ck_assert(!memcmp(first, now, BYTES));
    for (int i = 0; i < 3; i++) {
        bool differs = false;

        for (unsigned k = 1; k < 6 && !differs; k++) {
            nn_augment_key other = key;

            other.seed += i == 0 ? k : 0;
            other.sample += i == 1 ? k : 0;
            other.epoch += i == 2 ? k : 0;
            run("entry", other, now);
            differs = memcmp(first, now, BYTES) != 0;
        }
        ck_assert(differs);
    }
}
END_TEST

/* A transform draws the same whatever stands before it, and two of a kind draw differently. */
START_TEST(draws_do_not_depend_on_other_steps)
{
    static uint8_t a[BYTES], b[BYTES];
    bool differs = false;

    for (uint64_t sample = 0; sample < 20; sample++) {
        nn_augment_key key = { .seed = 3, .sample = sample };

        run("gauss_noise variance=100 p=1", key, a);
        run("flip p=0; gauss_noise variance=100 p=1", key, b);
        ck_assert(!memcmp(a, b, BYTES));
        run("flip; flip", key, a);
        run("none", key, b);
        differs = differs || memcmp(a, b, BYTES) != 0; /* when only one of the two happened */
    }
    ck_assert(differs);
}
END_TEST

START_TEST(probability)
{
    static uint8_t plain[BYTES], now[BYTES];
    int happened = 0;

    run("none", (nn_augment_key){ .seed = 1 }, plain);
    for (uint64_t i = 0; i < 1000; i++) {
        run("flip p=0.3", (nn_augment_key){ .seed = 1, .sample = i }, now);
        happened += memcmp(plain, now, BYTES) != 0;
    }
    ck_assert_int_gt(happened, 240);
    ck_assert_int_lt(happened, 360);
    run("flip p=0", (nn_augment_key){ .seed = 1 }, now);
    ck_assert(!memcmp(plain, now, BYTES));
}
END_TEST

/* The noise that is made here, not given: normal with the variance asked for. */
START_TEST(noise_is_normal)
{
    static uint8_t grey[64 * 64 * 3], out[64 * 64 * 3];
    nn_preprocess record = nn_preprocess_default();
    double sum = 0, squares = 0, fourth = 0, n = 0;
    nn_augment *a;

    memset(grey, 128, sizeof grey);
    record.size = record.resize_height = record.resize_width = 64;
    ck_assert_int_eq(nn_augment_new(&a, "gauss_noise variance=100 p=1", &why), NN_OK);
    for (uint64_t i = 0; i < 20; i++) {
        nn_image in = { .rgb = grey, .width = 64, .height = 64 };

        ck_assert_int_eq(nn_augment_apply(a, &record, &in, (nn_augment_key){ .sample = i }, out, NULL, &why),
                         NN_OK);
        for (size_t k = 0; k < sizeof out; k++) {
            double d = (double)out[k] - 127.5; /* fractions were cut off */

            sum += d;
            squares += d * d;
            fourth += d * d * d * d;
            n++;
        }
    }
    ck_assert_double_lt(sum / n, 0.1);
    ck_assert_double_gt(sum / n, -0.1);
    ck_assert_double_lt(squares / n, 101.5);
    ck_assert_double_gt(squares / n, 98.5);
    ck_assert_double_lt(fourth / n / (squares / n * squares / n), 3.06); /* a normal distribution has 3 */
    ck_assert_double_gt(fourth / n / (squares / n * squares / n), 2.94);
    nn_augment_free(a);
}
END_TEST

/* ------------------------------------------------------------------------------ elastic */

/* What smoothing makes of the covariance of white noise at two places of a side: the products of the taps
 * that reach both, edges mirrored. */
static double shared_taps(int64_t n, double sigma, int64_t a, int64_t b)
{
    double weight[2][SIDE] = { { 0 } }, all = 0, sum = 0;
    int64_t radius = (int64_t)(4 * sigma + 0.5);

    for (int64_t j = -radius; j <= radius; j++)
        all += exp(-0.5 * (double)(j * j) / (sigma * sigma));
    for (int k = 0; k < 2; k++)
        for (int64_t j = -radius; j <= radius; j++) {
            int64_t i = (((k ? b : a) + j) % (2 * n) + 2 * n) % (2 * n);

            weight[k][i < n ? i : 2 * n - 1 - i] += exp(-0.5 * (double)(j * j) / (sigma * sigma)) / all;
        }
    for (int64_t i = 0; i < n; i++)
        sum += weight[0][i] * weight[1][i];
    return sum;
}

/* The field is drawn as a few waves instead of being noise that is smoothed: its variances and covariances
 * have to be those of the latter. It is seen through a picture whose values are places. */
START_TEST(field_is_smoothed_noise)
{
    enum { DRAWS = 4000, POINTS = 4, SCALE = 7 };
    static const struct {
        int64_t x, y;
    } at[POINTS] = { { 16, 16 }, { 10, 16 }, { 16, 21 }, { 22, 12 } };
    static uint8_t ramp[BYTES], rgb[BYTES];
    nn_preprocess record = nn_preprocess_default();
    nn_vision_scratch scratch = { .size = { 0 } };
    double sum[POINTS][POINTS] = { { 0 } }, mean[POINTS] = { 0 }, fourth = 0;
    const double sigma = 5, alpha = 30;
    nn_augment *a;

    record.size = record.resize_height = record.resize_width = SIDE;
    for (int i = 0; i < SIDE * SIDE; i++)
        ramp[3 * i] = (uint8_t)(SCALE * (i % SIDE));
    ck_assert_int_eq(nn_augment_new(&a, "elastic alpha=30 sigma=5 affine=0 p=1", &why), NN_OK);
    for (uint64_t i = 0; i < DRAWS; i++) {
        nn_image in = { .rgb = ramp, .width = SIDE, .height = SIDE };
        double d[POINTS];

        ck_assert_int_eq(
            nn_augment_apply(a, &record, &in, (nn_augment_key){ .sample = i }, rgb, &scratch, &why), NN_OK);
        for (int p = 0; p < POINTS; p++) {
            d[p] = (double)rgb[3 * (SIDE * at[p].y + at[p].x)] / SCALE - (double)at[p].x;
            mean[p] += d[p] / DRAWS;
        }
        for (int p = 0; p < POINTS; p++)
            for (int q = 0; q < POINTS; q++)
                sum[p][q] += d[p] * d[q] / DRAWS;
        fourth += d[0] * d[0] * d[0] * d[0] / DRAWS;
    }
    for (int p = 0; p < POINTS; p++) {
        ck_assert_double_lt(fabs(mean[p]), 0.1);
        for (int q = 0; q < POINTS; q++) {
            double want = alpha * alpha / 3 * shared_taps(SIDE, sigma, at[p].x, at[q].x) *
                          shared_taps(SIDE, sigma, at[p].y, at[q].y);

            ck_assert_msg(fabs(sum[p][q] - want) < 0.1, "points %d and %d: %g instead of %g", p, q, sum[p][q],
                          want);
        }
    }
    ck_assert_double_gt(fourth / (sum[0][0] * sum[0][0]), 2.7); /* a normal distribution has 3 */
    ck_assert_double_lt(fourth / (sum[0][0] * sum[0][0]), 3.3);
    nn_augment_free(a);
    nn_vision_scratch_free(&scratch);
}
END_TEST

START_TEST(any_size)
{
    static const int64_t sizes[][2] = { { 1, 1 }, { 1, 9 }, { 9, 1 }, { 2, 2 }, { 3, 2 } };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        nn_image in = { .rgb = source, .width = sizes[i][0], .height = sizes[i][1] };
        nn_preprocess record = nn_preprocess_default();
        uint8_t rgb[3 * 5 * 5];
        nn_augment *a;

        record.size = record.resize_height = record.resize_width = i % 2 ? 5 : 1;
        ck_assert_int_eq(
            nn_augment_new(&a,
                           "advanced_blur p=1;color_jitter p=1;gauss_noise p=1;optical_distortion p=1;"
                           "affine p=1;elastic alpha=300 p=1;resize;advanced_blur p=1;elastic p=1",
                           &why),
            NN_OK);
        ck_assert_msg(!nn_augment_apply(a, &record, &in, (nn_augment_key){ .seed = i }, rgb, NULL, &why),
                      "%s", why.text);
        nn_augment_free(a);
    }
}
END_TEST

/* ------------------------------------------------------------------------------ failures */

static struct nni_seam real_seam;
static int allocs, fail_at, live;

static void *failing_alloc(size_t size)
{
    void *memory = ++allocs == fail_at ? NULL : real_seam.alloc(size);

    live += memory != NULL;
    return memory;
}

static void counting_free(void *memory)
{
    live -= memory != NULL;
    real_seam.free(memory);
}

START_TEST(every_allocation_fails_once)
{
    nn_preprocess record = nn_preprocess_default();
    static uint8_t rgb[BYTES];
    int rc = NN_ENOMEM, n;

    record.size = record.resize_height = record.resize_width = SIDE;
    real_seam = nni_seam;
    nni_seam.alloc = failing_alloc;
    nni_seam.free = counting_free;
    for (n = 1; rc && n < 200; n++) {
        nn_augment *a = NULL;

        allocs = 0;
        fail_at = n;
        rc = nn_augment_new(&a, "advanced_blur p=1; affine p=1; elastic p=1; resize; flip", &why);
        if (!rc)
            rc = nn_augment_apply(a, &record, &image, (nn_augment_key){ .seed = 1 }, rgb, NULL, &why);
        nn_augment_free(a);
        ck_assert_msg(!rc || rc == NN_ENOMEM, "%d", rc);
        ck_assert_int_eq(live, 0);
    }
    nni_seam = real_seam;
    ck_assert_int_eq(rc, NN_OK);
    ck_assert_int_gt(n, 8);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("augment");
    Suite *s = suite_create("augment");
    SRunner *r;
    int failed;

    paint();
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, equal_to_albumentations, 0, (int)(sizeof golden / sizeof *golden));
    tcase_add_test(c, text_in_and_out);
    tcase_add_test(c, resolved);
    tcase_add_loop_test(c, mistakes, 0, (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(c, too_many_steps);
    tcase_add_test(c, draws_depend_on_the_key);
    tcase_add_test(c, draws_do_not_depend_on_other_steps);
    tcase_add_test(c, probability);
    tcase_add_test(c, noise_is_normal);
    tcase_add_test(c, field_is_smoothed_noise);
    tcase_add_test(c, any_size);
    tcase_add_test(c, every_allocation_fails_once);
    suite_add_tcase(s, c);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
