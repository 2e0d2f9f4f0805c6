/* SPDX-License-Identifier: MIT
 *
 * Submissions: whatever a template looks like, only its answers change; which image an id means; and
 * the small rules of the CSV files that we write ourselves.
 */
#include "tree.h"
#include "suite.h"

#include <math.h>

static const nn_prediction two[] = { { "a.jpg", 1, 0.75 }, { "sub/b.png", 0, 0.1 } };

/* Template `in` (size bytes) filled with p must become `out`. */
static nn_template_report fill(const char *in, const nn_prediction *p, int64_t n, nn_template_opts opts,
                               const char *out)
{
    nn_template_report report;
    nn_template *t = NULL;
    size_t size;
    char *text;

    put("template.csv", in);
    ck_assert_msg(nn_template_read(&t, in_tree("template.csv"), &why) == NN_OK, "%s", why.text);
    ck_assert_int_eq(nn_template_write(t, in_tree("out.csv"), p, n, &opts, &report, &why), NN_OK);
    text = get_bytes("out.csv", &size);
    ck_assert_str_eq(text, out);
    free(text);
    nn_template_free(t);
    return report;
}

static const struct {
    const char *in, *out;
} kept[] = {
    { "ImageId,answer\na.jpg,1\nb.png,1\n", "ImageId,answer\na.jpg,1\nb.png,0\n" },
    { "ImageId,answer\nb.png,1\na.jpg,1", "ImageId,answer\nb.png,0\na.jpg,1" },
    { "ImageId,answer\r\na.jpg,\r\nb.png,0.5\r\n", "ImageId,answer\r\na.jpg,1\r\nb.png,0\r\n" },
    { "\xef\xbb\xbfImageId,answer\r\nb.png,\r\na.jpg,x", "\xef\xbb\xbfImageId,answer\r\nb.png,0\r\na.jpg,1" },
    { "\"ImageId\",\"answer\"\n\"a.jpg\",\"x\"\"\"\n\"b.png\",\n",
      "\"ImageId\",\"answer\"\n\"a.jpg\",\"1\"\n\"b.png\",0\n" },
    { "ImageId,answer\na.jpg,1\r\nb.png,1\n\r\n\n", "ImageId,answer\na.jpg,1\r\nb.png,0\n\r\n\n" },
    { "ImageId,answer\na.jpg,\na.jpg,\nb.png,", "ImageId,answer\na.jpg,1\na.jpg,1\nb.png,0" },
    { "ImageId,answer\na,\nb,\n", "ImageId,answer\na,1\nb,0\n" },
    { "ImageId,answer\na.png,\nsub/b.png,\n", "ImageId,answer\na.png,1\nsub/b.png,0\n" },
    { "ImageId,answer\n", "ImageId,answer\n" },
    { "ImageId,answer", "ImageId,answer" },
};

START_TEST(all_but_the_answers_is_kept)
{
    nn_template_report r = fill(kept[_i].in, two, 2, (nn_template_opts){ 0 }, kept[_i].out);

    ck_assert_int_eq(r.missing, 0);
    ck_assert_int_eq(r.answered, r.rows);
    ck_assert_int_eq(r.extra, r.rows ? 0 : 2);
}
END_TEST

START_TEST(odd_ids)
{
    static const nn_prediction odd[] = { { "x/a \"b\",c\nd.jpg", 1, 1 },
                                         { "\xff.jpg", 1, 1 },
                                         { "a.b.png", 1, 1 } };

    (void)fill("ImageId,answer\n\"a \"\"b\"\",c\nd.jpg\",0\n\xff.jpg,0\na.b,0\n", odd, 3,
               (nn_template_opts){ 0 }, "ImageId,answer\n\"a \"\"b\"\",c\nd.jpg\",1\n\xff.jpg,1\na.b,1\n");
}
END_TEST

START_TEST(probabilities)
{
    static const nn_prediction p[] = { { "a.jpg", 1, 2.0 / 3 }, { "b.jpg", 0, 1e-12 }, { "c.jpg", 1, 1 } };

    (void)fill("ImageId,answer\nc.jpg,0\nb.jpg,0\na.jpg,0\n", p, 3, (nn_template_opts){ .probabilities = 1 },
               "ImageId,answer\nc.jpg,1\nb.jpg,1e-12\na.jpg,0.666666667\n");
}
END_TEST

START_TEST(missing_extra_and_failed_images)
{
    static const nn_prediction p[] = { { "a.jpg", 1, 0.75 },
                                       { "more.jpg", 1, 0.9 },
                                       { "bad.jpg", 0, NAN },
                                       { "x/same.jpg", 1, 1 },
                                       { "y/same.jpg", 1, 1 } };
    static const char in[] = "ImageId,answer\na.jpg,1\ngone.jpg,1\nbad.jpg,1\nsame.jpg,1\n";
    nn_template_report r;
    nn_template *t;

    r = fill(in, p, 5, (nn_template_opts){ 0 }, "ImageId,answer\na.jpg,1\ngone.jpg,\nbad.jpg,\nsame.jpg,\n");
    ck_assert_int_eq(r.rows, 4);
    ck_assert_int_eq(r.answered, 1);
    ck_assert_int_eq(r.missing, 3);
    ck_assert_int_eq(r.ambiguous, 1);
    ck_assert_int_eq(r.extra, 3);
    r = fill(in, p, 5, (nn_template_opts){ .fill = "0" },
             "ImageId,answer\na.jpg,1\ngone.jpg,0\nbad.jpg,0\nsame.jpg,0\n");
    ck_assert_int_eq(r.missing, 3);

    put("template.csv", in);
    ck_assert_int_eq(nn_template_read(&t, in_tree("template.csv"), &why), NN_OK);
    ck_assert_int_eq(nn_template_write(t, in_tree("o.csv"), p, 5, NULL, &r, &why), NN_OK);
    ck_assert_str_eq(r.missing_id[0], "gone.jpg");
    ck_assert_str_eq(r.missing_id[2], "same.jpg");
    ck_assert_int_eq(r.extra_index[0], 1);
    ck_assert_int_eq(r.extra_index[2], 4);
    ck_assert_int_eq(nn_template_write(t, in_tree("o.csv"), p, 0, NULL, NULL, &why), NN_OK);
    ck_assert_int_eq(
        nn_template_write(t, in_tree("o.csv"), p, 5, &(nn_template_opts){ .fill = "," }, &r, &why),
        NN_EINVAL);
    ck_assert_int_eq(nn_template_write(t, in_tree("no/o.csv"), p, 5, NULL, &r, &why), NN_EIO);
    nn_template_free(t);
}
END_TEST

/* A stem must be unique, and the nearer meaning wins. */
START_TEST(meaning_of_an_id)
{
    static const nn_prediction p[] = {
        { "a.jpg", 1, 1 }, { "a.png", 0, 0 }, { "d/c.jpg", 0, 0 }, { "c", 1, 1 }
    };
    nn_template_report r = fill("ImageId,answer\na.jpg,\na.png,\na,\na.jpeg,\nc,\nc.jpg,\nd/c.jpg,\n", p, 4,
                                (nn_template_opts){ 0 },
                                "ImageId,answer\na.jpg,1\na.png,0\na,\na.jpeg,\nc,1\nc.jpg,0\nd/c.jpg,0\n");

    ck_assert_int_eq(r.ambiguous, 2);
    ck_assert_int_eq(r.missing, 2);
    ck_assert_int_eq(r.extra, 0);
}
END_TEST

static const struct {
    const char *text, *reason;
} malformed[] = {
    { "", "line 1" },
    { "ImageId\n", "line 1: two fields" },
    { "imageid,answer\n", "line 1: the header" },
    { "ImageId,answer,x\n", "line 1: two fields" },
    { "ImageId;answer\n", "line 1" },
    { "ImageId, answer\n", "line 1: the header" },
    { "ImageId,answer\na.jpg\n", "line 2: two fields" },
    { "ImageId,answer\na.jpg,1,2\n", "line 2: two fields" },
    { "ImageId,answer\n,1\n", "line 2: the ImageId" },
    { "ImageId,answer\n\na.jpg,1\n", "line 2: two fields" },
    { "ImageId,answer\na.jpg,1\n\"b\n.jpg\",1\nc,d,e\n", "line 5: two fields" },
    { "ImageId,answer\na\"b\".jpg,1\n", "line 2: a quote" },
    { "ImageId,answer\n\"a\"b,1\n", "line 2: a quote" },
    { "ImageId,answer\n\"a.jpg,1\nb.jpg,1\n", "line 2: a quote is opened" },
    { "ImageId,answer\na.jpg,1\rb.jpg,1\r", "line 2: a carriage return" },
};

START_TEST(malformed_rows_name_the_line)
{
    nn_template *t = NULL;

    put("template.csv", malformed[_i].text);
    ck_assert_int_eq(nn_template_read(&t, in_tree("template.csv"), &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, malformed[_i].reason) != NULL, "%s", why.text);
    ck_assert_ptr_null(t);
}
END_TEST

START_TEST(unusable_template_files)
{
    nn_template *t = NULL;

    ck_assert_int_eq(nn_template_read(&t, in_tree("none.csv"), &why), NN_ENOTFOUND);
    ck_assert_int_eq(nn_template_read(&t, tree, &why), NN_EFORMAT);
    put_bytes("zero.csv", "ImageId,answer\na\0b,1\n", 21);
    ck_assert_int_eq(nn_template_read(&t, in_tree("zero.csv"), &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "line 2: a zero byte"));
}
END_TEST

/* Any prefix of a good file is either refused or comes back as it was. */
START_TEST(every_prefix)
{
    static const char whole[] = "\xef\xbb\xbf\"ImageId\",answer\r\n\"a \"\"q\"\".jpg\",\"1\"\r\nb.png,\r\n";

    for (size_t n = 0; n < sizeof whole; n++) {
        nn_template *t = NULL;
        size_t size;
        char *text;
        int rc;

        put_bytes("template.csv", whole, n);
        rc = nn_template_read(&t, in_tree("template.csv"), &why);
        ck_assert(rc == NN_OK || rc == NN_EFORMAT);
        if (rc)
            continue;
        ck_assert_int_eq(
            nn_template_write(t, in_tree("out.csv"), NULL, 0, &(nn_template_opts){ .fill = "1" }, NULL, &why),
            NN_OK);
        text = get_bytes("out.csv", &size);
        ck_assert_uint_ge(size, n);
        ck_assert_int_eq(memcmp(text, whole, 19), 0);
        free(text);
        nn_template_free(t);
    }
}
END_TEST

START_TEST(every_allocation_fails_once)
{
    int done = 0;

    put("template.csv", "ImageId,answer\na.jpg,1\nb.png,1\nc.jpg,1\n");
    for (int n = 1; !done; n++) {
        nn_template_report report;
        nn_template *t = NULL;
        int rc;

        count_memory();
        seen.fail_alloc = n;
        rc = nn_template_read(&t, in_tree("template.csv"), &why);
        if (!rc)
            rc = nn_template_write(t, in_tree("out.csv"), two, 2, NULL, &report, &why);
        if (!rc)
            rc = nn_predictions_write(in_tree("p.csv"), two, 2, &why);
        done = seen.allocs < n;
        ck_assert_int_eq(rc, done ? NN_OK : NN_ENOMEM);
        nn_template_free(t);
        ck_assert_int_eq(seen.live, 0);
        ck_assert_int_lt(n, 100);
    }
}
END_TEST

START_TEST(prediction_file)
{
    static const nn_prediction p[] = { { "a,b \"c\".jpg", 1, 0.123456789123 },
                                       { "d\xff\n.jpg", 0, 0 },
                                       { "plain.jpg", 0, NAN } };
    size_t size;
    char *text;

    ck_assert_int_eq(nn_predictions_write(in_tree("p.csv"), p, 3, &why), NN_OK);
    text = get_bytes("p.csv", &size);
    ck_assert_str_eq(text, "path,label,probability_fake\n\"a,b \"\"c\"\".jpg\",1,0.123456789\n"
                           "\"d\xff\n.jpg\",0,0\nplain.jpg,,\n");
    free(text);
}
END_TEST

START_TEST(fields)
{
    static const char *const cases[][2] = { { "", "" },           { "a b", "a b" },
                                            { "a,b", "\"a,b\"" }, { "\"", "\"\"\"\"" },
                                            { "\r", "\"\r\"" },   { "\xc3\xa4", "\xc3\xa4" } };
    char out[32];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_uint_eq(nn_csv_field(out, sizeof out, cases[i][0]), strlen(cases[i][1]));
        ck_assert_str_eq(out, cases[i][1]);
    }
    memset(out, '#', sizeof out);
    ck_assert_uint_eq(nn_csv_field(out, 4, "a,b,c"), 7);
    ck_assert_str_eq(out, "\"a,");
    ck_assert_int_eq(out[4], '#');
    ck_assert_uint_eq(nn_csv_field(NULL, 0, "a,b,c"), 7);
}
END_TEST

START_TEST(numbers)
{
    char out[32];

    ck_assert_str_eq(nn_csv_number(out, 0.1), "0.1");
    ck_assert_str_eq(nn_csv_number(out, -1.0 / 3), "-0.333333333");
    ck_assert_str_eq(nn_csv_number(out, 1.5e-300), "1.5e-300");
    ck_assert_str_eq(nn_csv_number(out, 42), "42");
    ck_assert_str_eq(nn_csv_number(out, NAN), "");
    ck_assert_str_eq(nn_csv_number(out, -INFINITY), "");
}
END_TEST

/* The template of the tree named by NN_FACES, filled, differs in its answers only. */
START_TEST(real_faces)
{
    const char *folder = getenv("NN_FACES");
    nn_prediction *p;
    nn_template_report report;
    nn_template *t;
    nn_dataset *d;
    char *before, *after;
    size_t size[2];
    int64_t n = 0;

    if (!folder) {
        (void)fprintf(stderr, "SKIPPED real_faces: NN_FACES names no folder\n");
        return;
    }
    d = new_dataset();
    ck_assert_int_eq(nn_dataset_add(d, folder, &why), NN_OK);
    p = calloc((size_t)d->samples, sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (int64_t i = 0; i < d->samples; i++)
        if (d->sample[i].split == NN_SPLIT_TEST)
            p[n++] = (nn_prediction){ .path = d->sample[i].path, .label = 1, .probability_fake = 1 };
    ck_assert_msg(nn_template_read(&t, d->source[0].template_csv, &why) == NN_OK, "%s", why.text);
    ck_assert_int_eq(nn_template_write(t, in_tree("ones.csv"), p, n, NULL, &report, &why), NN_OK);
    ck_assert_int_eq(report.missing + report.extra, 0);
    ck_assert_int_eq(report.rows, n);
    nn_template_free(t);
    ck_assert_int_eq(nn_template_read(&t, in_tree("ones.csv"), &why), NN_OK);
    for (int64_t i = 0; i < n; i++)
        p[i].label = 0;
    ck_assert_int_eq(nn_template_write(t, in_tree("zeros.csv"), p, n, NULL, &report, &why), NN_OK);
    before = get_bytes("ones.csv", &size[0]);
    after = get_bytes("zeros.csv", &size[1]);
    ck_assert_uint_eq(size[0], size[1]);
    for (size_t i = 0; i < size[0]; i++)
        if (before[i] != after[i])
            ck_assert(i && before[i - 1] == ',' && before[i] == '1' && after[i] == '0');
    free(before);
    free(after);
    nn_template_free(t);
    free(p);
    nn_dataset_free(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("template");
    TCase *template = tcase_create("template"), *csv = tcase_create("csv");
    TCase *all[] = { template, csv };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tcase_add_checked_fixture(all[i], tree_setup, tree_teardown);
        tcase_set_timeout(all[i], 60);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_loop_test(template, all_but_the_answers_is_kept, 0, (int)(sizeof kept / sizeof *kept));
    tcase_add_test(template, odd_ids);
    tcase_add_test(template, probabilities);
    tcase_add_test(template, missing_extra_and_failed_images);
    tcase_add_test(template, meaning_of_an_id);
    tcase_add_loop_test(template, malformed_rows_name_the_line, 0,
                        (int)(sizeof malformed / sizeof *malformed));
    tcase_add_test(template, unusable_template_files);
    tcase_add_test(template, every_prefix);
    tcase_add_test(template, every_allocation_fails_once);
    tcase_add_test(template, real_faces);
    tcase_add_test(csv, prediction_file);
    tcase_add_test(csv, fields);
    tcase_add_test(csv, numbers);
    return suite_run(suite);
}
