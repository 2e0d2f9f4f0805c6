/* SPDX-License-Identifier: MIT
 *
 * Augmentation pipelines: pixels equal to Albumentations' for the parameters it drew, the text of a pipeline
 * in and out, what a sample's draws depend on, and every failure of memory. The long comparison, with
 * hundreds of draws and their distributions, is tests/parity/augment.py.
 */
#include "../golden/augment.h"
#include "vision/transform.h"
#include "suite.h"

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

/* The picture of the goldens, as bytes or normalised as the notebook does it. */
static void golden_picture(struct nni_canvas *c, bool real)
{
    const struct nni_step normalize = { .transform = &nni_transform_normalize, .low = { 225 } };
    uint8_t *rgb = nni_canvas_next(c, GOLDEN_WIDTH, GOLDEN_HEIGHT, false);

    for (int y = 0; y < GOLDEN_HEIGHT; y++)
        for (int x = 0; x < GOLDEN_WIDTH; x++)
            for (int k = 0; k < 3; k++)
                *rgb++ = (uint8_t)(x * 37 + y * 59 + k * 83 + x * y * (5 + k));
    nni_canvas_turn(c, GOLDEN_WIDTH, GOLDEN_HEIGHT, false);
    if (real)
        ck_assert_int_eq(nni_transform_normalize.apply(&normalize, NULL, c), NN_OK);
}

START_TEST(equal_to_albumentations)
{
    nn_preprocess record = nn_preprocess_default();
    struct nni_drawn drawn = { .noise = golden[_i].has_noise ? golden[_i].noise : NULL };
    nn_vision_scratch scratch = { .size = { 0 } };
    struct nni_canvas c = { .slot = NNI_SCRATCH_CANVAS, .scratch = &scratch, .record = &record };
    const struct nni_step *step;
    nn_augment *a;
    int64_t values;
    int off = 0, beyond = 0;

    record.size = 8;
    ck_assert_msg(!nn_augment_new(&a, golden[_i].text, &why), "%s", why.text);
    step = nni_augment_step(a, 1) ? nni_augment_step(a, 1) : nni_augment_step(a, 0);
    memcpy(drawn.v, golden[_i].v, sizeof drawn.v);
    golden_picture(&c, golden[_i].real);
    ck_assert_int_eq(step->transform->apply(step, &drawn, &c), NN_OK);
    values = nni_canvas_values(&c);
    ck_assert_int_eq(values, step->transform->fits ? 3 * record.size * record.size
                                                   : 3 * GOLDEN_HEIGHT * GOLDEN_WIDTH);
    for (int64_t i = 0; i < values; i++) {
        float d = c.real ? (((float *)c.at)[i] - golden[_i].value[i]) * 1e6f
                         : (float)(((uint8_t *)c.at)[i] - golden[_i].rgb[i]);

        off += d != 0;
        beyond += !(d >= -1 && d <= 1);
    }
    /* Floats that OpenCV multiplies and adds in one go differ in their last bits. */
    ck_assert_msg(
        (off <= values / 100 || (c.real && step->transform == &nni_transform_color_jitter)) && !beyond,
        "%s: %d of %d values differ, %d by more than one", golden[_i].text, off, (int)values, beyond);
    nn_augment_free(a);
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
        "notebook",
        "notebook-fixed",
        "random_crop; flip",
        "normalize",
        "flip p=0.25; affine rotate=-5..5 # turned a little\n\n  gauss_noise variance=3",
        "affine;resize;affine p=1;;",
        "elastic alpha=1e2\r\nflip\r\n",
    };
    static const int64_t steps[] = { 1, 1, 2, 8, 8, 7, 2, 2, 4, 3, 3 };

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

/* What a pipeline says about evaluation. */
START_TEST(settled)
{
    static const struct {
        const char *text;
        nn_dtype type;
        double maximum;
        int crop;
    } cases[] = {
        { "entry", NN_U8, 255, 0 },
        { "notebook", NN_F32, 225, 0 },
        { "notebook-fixed", NN_U8, 255, 0 },
        { "flip; normalize; random_crop", NN_F32, 255, 1 },
        { "random_crop; jpeg", NN_U8, 255, 1 },
        { "random_resized_crop", NN_U8, 255, 0 },
        { "rotate; random_crop; resize", NN_U8, 255, 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_preprocess record = nn_preprocess_default();
        nn_augment *a;

        ck_assert_msg(!nn_augment_new(&a, cases[i].text, &why), "%s", why.text);
        nn_augment_settle(a, &record);
        ck_assert_int_eq(nn_augment_type(a), cases[i].type);
        ck_assert(record.maximum == cases[i].maximum);
        ck_assert_int_eq(record.crop, cases[i].crop);
        ck_assert_int_eq(record.resize_height, cases[i].crop ? 0 : 224);
        ck_assert_msg(!nn_preprocess_check(&record, &why), "%s", why.text);
        nn_augment_free(a);
    }
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
    { "flip p=0.5 p=0.7", "line 1, column 12: a second \"p\" in one step" },
    { "affine rotate=1 p=1 rotate=2", "column 21: a second \"rotate\"" },
    { "normalize; resize", "column 12: \"resize\" takes bytes and cannot come after normalize" },
    { "normalize\nnormalize", "line 2, column 1: a second \"normalize\"" },
    { "random_crop p=0.5", "no setting \"p\"" },
    { "cutout holes=33", "beyond what this setting can be" },
    { "flip; jpeg quality=0..50", "line 1, column 20: \"0..50\" is beyond what this setting can be" },
    { "jpeg subsample=0.2..0.5", "column 16: \"0.2..0.5\" is a range" },
    { "normalize; jpeg", "column 12: \"jpeg\" takes bytes and cannot come after normalize" },
    { "gaussian_blur sigma=0", "column 21: \"0\" is beyond" },
    { "rescale scale=0.01..1", "column 15: \"0.01..1\" is beyond" },
    { "random_resized_crop area=0..1", "column 26: \"0..1\" is beyond" },
    { "flip; advanced_blur kernel=2..2", "line 1, column 7: kernel: there is no odd number" },
    { "advanced_blur kernel=4..4.5", "no odd number" },
    { "advanced_blur beta=2..3", "beta: 1 is not in its range" },
    { "advanced_blur noise=0", "noise: " },
    { "erasing ratio=0.1..200", "column 15: \"0.1..200\" is beyond" },
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

/* Each value of the window is where it was in the picture; what is too small lies in black. */
START_TEST(crops)
{
    static uint8_t rgb[BYTES];
    bool seen[50 - SIDE + 1] = { false };
    nn_preprocess record = nn_preprocess_default();
    nn_image small = { .rgb = source, .width = 50, .height = 7 };
    nn_augment *a;

    for (uint64_t i = 0; i < 400; i++) {
        int x = 0, y = 0;

        run("random_crop", (nn_augment_key){ .sample = i }, rgb);
        while (y <= 40 - SIDE && memcmp(rgb, source + 3 * (y * 50 + x), 3 * SIDE) != 0)
            if (++x > 50 - SIDE) {
                x = 0;
                y++;
            }
        ck_assert_int_le(y, 40 - SIDE);
        for (int k = 0; k < SIDE; k++)
            ck_assert_mem_eq(rgb + 3 * SIDE * k, source + 3 * ((y + k) * 50 + x), 3 * SIDE);
        seen[x] = true;
    }
    for (int x = 0; x <= 50 - SIDE; x++)
        ck_assert(seen[x]);
    record.size = record.resize_height = record.resize_width = SIDE;
    ck_assert_int_eq(nn_augment_new(&a, "random_crop", &why), NN_OK);
    for (uint64_t i = 0; i < 50; i++) {
        static const uint8_t black[3 * SIDE];
        int rows = 0;

        ck_assert_int_eq(
            nn_augment_apply(a, &record, &small, (nn_augment_key){ .sample = i }, rgb, NULL, &why), NN_OK);
        for (int y = 0; y < SIDE; y++)
            rows += memcmp(rgb + 3 * SIDE * y, black, 3 * SIDE) != 0;
        ck_assert_int_eq(rows, 7);
    }
    nn_augment_free(a);
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
                           "affine p=1;elastic alpha=300 p=1;rotate p=1;cutout p=1;brightness_contrast p=1;"
                           "jpeg p=1;gaussian_blur sigma=30 p=1;rescale p=1;erasing p=1;random_resized_crop;"
                           "random_crop;resize;advanced_blur p=1;elastic p=1",
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
    static float pixels[BYTES];
    int rc = NN_ENOMEM, n;

    record.size = record.resize_height = record.resize_width = SIDE;
    real_seam = nni_seam;
    nni_seam.alloc = failing_alloc;
    nni_seam.free = counting_free;
    for (n = 1; rc && n < 200; n++) {
        nn_augment *a = NULL;

        allocs = 0;
        fail_at = n;
        rc = nn_augment_new(
            &a,
            "advanced_blur p=1; affine p=1; elastic p=1; jpeg p=1; gaussian_blur p=1; rescale p=1;"
            "random_resized_crop; resize; flip; normalize; random_crop",
            &why);
        if (!rc)
            rc = nn_augment_apply(a, &record, &image, (nn_augment_key){ .seed = 1 }, pixels, NULL, &why);
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

    paint();
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, equal_to_albumentations, 0, (int)(sizeof golden / sizeof *golden));
    tcase_add_test(c, text_in_and_out);
    tcase_add_test(c, resolved);
    tcase_add_test(c, settled);
    tcase_add_loop_test(c, mistakes, 0, (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(c, too_many_steps);
    tcase_add_test(c, draws_depend_on_the_key);
    tcase_add_test(c, draws_do_not_depend_on_other_steps);
    tcase_add_test(c, probability);
    tcase_add_test(c, noise_is_normal);
    tcase_add_test(c, field_is_smoothed_noise);
    tcase_add_test(c, crops);
    tcase_add_test(c, any_size);
    tcase_add_test(c, every_allocation_fails_once);
    suite_add_tcase(s, c);
    return suite_run(s);
}
