/* SPDX-License-Identifier: MIT
 *
 * A program that links the library may have told the C library that numbers are written with a comma here.
 * What the library reads and writes has a point all the same: in tables, pipelines and weight files.
 */
#include "base/base.h"
#include "models/metadata.h"
#include "suite.h"

#include <check.h>
#include <locale.h>
#include <nn/data.h>
#include <nn/io.h>
#include <nn/vision.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool comma(void) { return localeconv()->decimal_point[0] == ','; }

/* Few machines have such a locale compiled, but most have what it is compiled from. */
static bool go_there(void)
{
    char folder[] = "/tmp/nn_locale_XXXXXX", command[256];

    if (setlocale(LC_ALL, "de_DE.UTF-8") && comma())
        return true;
    if (mkdtemp(folder)) {
        (void)snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1",
                       folder);
        if (!system(command) && !setenv("LOCPATH", folder, 1))
            (void)setlocale(LC_ALL, "de_DE.UTF-8");
        (void)snprintf(command, sizeof command, "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
    }
    if (!comma())
        (void)printf("SKIPPED: no locale with a decimal comma\n");
    return comma();
}

static void check_numbers(void)
{
    static const double values[] = { 0, 0.5, -1.0 / 3, 1e-300, 12345678.9, 5e-324, 1.7976931348623157e308 };
    char text[32], *end;

    ck_assert_str_eq(nni_print_number(text, -1.25e-7, 9), "-1.25e-07");
    ck_assert_str_eq(nn_csv_number(text, 0.1), "0.1");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double read = nni_read_number(nni_print_number(text, values[i], 17), &end);

        ck_assert(!(read < values[i]) && !(read > values[i]) && !*end);
    }
    (void)nni_read_number("0,5", &end);
    ck_assert_str_eq(end, ",5");
}

static void check_pipeline(void)
{
    nn_augment *a;
    nn_message why;

    ck_assert_msg(!nn_augment_new(&a, "flip p=0.25; affine rotate=-5.5..5", &why), "%s", why.text);
    ck_assert_ptr_nonnull(strstr(nn_augment_text(a), "p=0.25\n"));
    ck_assert_ptr_nonnull(strstr(nn_augment_text(a), "rotate=-5.5..5"));
    nn_augment_free(a);
}

static void check_weights(void)
{
    char path[] = "/tmp/test_comma_XXXXXX", text[2048];
    const nn_pair pair = { "threshold", "0.25" };
    nn_preprocess record = nn_preprocess_default(), back;
    nn_safetensors *file;
    nn_message why;
    double threshold = 0;
    size_t size;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    ck_assert_int_eq(nn_safetensors_write(path, NULL, 0, &pair, 1, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_open(&file, path, NULL, &why), NN_OK);
    ck_assert_msg(!nni_metadata_fraction(file, "threshold", &threshold, &why), "%s", why.text);
    ck_assert_double_eq(threshold, 0.25);
    nn_safetensors_free(file);
    (void)unlink(path);
    ck_assert_int_eq(nn_preprocess_write(&record, text, sizeof text, &size, &why), NN_OK);
    ck_assert_msg(!nn_preprocess_read(&back, text, &why), "%s", why.text);
    ck_assert_double_eq(back.mean[0], 0.485);
    nn_preprocess_free(&back);
}

START_TEST(point)
{
    if (_i && !go_there())
        return;
    check_numbers();
    check_pipeline();
    check_weights();
    /* The program's own numbers are as they were. */
    ck_assert_double_eq(strtod(_i ? "0,5" : "0.5", NULL), 0.5);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("comma");
    Suite *s = suite_create("comma");

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, point, 0, 2);
    suite_add_tcase(s, c);
    return suite_run(s);
}
