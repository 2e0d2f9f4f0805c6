/* SPDX-License-Identifier: MIT
 *
 * Labelled images named by a CSV file: what is understood, what is refused with its line, and that a refusal
 * or a failed allocation leaves the dataset as it was.
 */
#include "tree.h"
#include "suite.h"

START_TEST(rows_become_samples)
{
    nn_dataset *d;

    put("pictures/b.jpg", "b");
    put("pictures/a, \"b\".png", "quoted");
    put("elsewhere.png", "absolute");
    put("pictures/list.csv", "\xef\xbb\xbfpath,label\r\n"
                             "b.jpg,fake\r\n"
                             "\"a, \"\"b\"\".png\",0\r\n"
                             "not/there.jpg,1\r\n"
                             "\r\n");
    ck_assert_int_eq(nn_dataset_new(&d), NN_OK);
    ck_assert_int_eq(nn_dataset_add_table(d, in_tree("pictures/list.csv"), NN_SPLIT_VALID, &why), NN_OK);
    ck_assert_int_eq(d->samples, 3);
    ck_assert_int_eq(d->count[NN_SPLIT_VALID][NN_LABEL_FAKE], 2);
    ck_assert_int_eq(d->count[NN_SPLIT_VALID][NN_LABEL_REAL], 1);
    ck_assert_str_eq(d->sample[0].path, "a, \"b\".png");
    ck_assert_str_eq(d->sample[0].file, in_tree("pictures/a, \"b\".png"));
    ck_assert_int_eq((int)d->sample[0].size, 6);
    ck_assert_str_eq(d->source[0].root, in_tree("pictures"));

    /* A file that is not there is found when it is to be opened. */
    ck_assert_int_eq(nn_dataset_hash(d, 1, &why), NN_OK);
    ck_assert_int_eq(d->bad, 1);
    ck_assert_str_eq(d->problem[0].file, in_tree("pictures/not/there.jpg"));
    nn_dataset_free(d);
}
END_TEST

START_TEST(absolute_paths)
{
    char text[256];
    nn_dataset *d;

    put("elsewhere.png", "absolute");
    (void)snprintf(text, sizeof text, "path,label\n%s,REAL", in_tree("elsewhere.png"));
    put("list.csv", text);
    ck_assert_int_eq(nn_dataset_new(&d), NN_OK);
    ck_assert_int_eq(nn_dataset_add_table(d, in_tree("list.csv"), NN_SPLIT_TRAIN, &why), NN_OK);
    ck_assert_int_eq(d->samples, 1);
    ck_assert_int_eq(d->sample[0].label, NN_LABEL_REAL);
    ck_assert_str_eq(d->sample[0].file, in_tree("elsewhere.png"));
    nn_dataset_free(d);
}
END_TEST

/* Before a row has taken any memory. */
START_TEST(too_many_rows)
{
    enum { LINES = 4000001 };
    char *text = malloc(2 * (size_t)LINES + 16), *at = text;
    nn_dataset *d;

    ck_assert_ptr_nonnull(text);
    at += sprintf(at, "path,label\n");
    for (int i = 0; i < LINES; i++) {
        *at++ = ',';
        *at++ = '\n';
    }
    *at = 0;
    put("list.csv", text);
    free(text);
    ck_assert_int_eq(nn_dataset_new(&d), NN_OK);
    ck_assert_int_eq(nn_dataset_add_table(d, in_tree("list.csv"), NN_SPLIT_TRAIN, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "more than 4000000 lines") != NULL, "%s", why.text);
    ck_assert_int_eq(d->samples, 0);
    nn_dataset_free(d);
}
END_TEST

static const struct {
    const char *text, *said;
} refused[] = {
    { "", "line 1" },
    { "a.jpg,1\n", "line 1: the header path,label" },
    { "path,label\n", "no rows" },
    { "path,label\na.jpg\n", "line 2: two fields" },
    { "path,label\na.jpg,1,2\n", "line 2: two fields" },
    { "path,label\na.jpg,1\n,0\n", "line 3: the path is empty" },
    { "path,label\na.jpg,2\n", "line 2: the label is none of" },
    { "path,label\na.jpg,\n", "line 2: the label is none of" },
    { "path,label\na.jpg,1\nb.jpg,0\na.jpg,1\n", "a.jpg is listed twice" },
    { "path,label\n\"a.jpg,1\n", "line 2: a quote is opened" },
    { "path,label\nb.jpg,1\nfolder/../b.jpg,1\n",
      "b.jpg and folder/../b.jpg are one file, listed twice in one" },
    { "path,label\nb.jpg,1\n./b.jpg,0\n",
      "./b.jpg and b.jpg are one file, listed twice in one table (1 such)" },
    { "path,label\nb.jpg,1\nsoft.jpg,1\nhard.jpg,1\n", "are one file, listed twice in one table (2 such)" },
    { "path,label\nfolder/../a.jpg,1\n",
      "a.jpg and folder/../a.jpg are one file, listed twice in two sources" },
};

START_TEST(refusals)
{
    nn_dataset *d;

    put("a.jpg", "a");
    put("b.jpg", "b");
    put("folder/c.jpg", "c");
    ck_assert(!symlink("b.jpg", in_tree("soft.jpg")) && !link(in_tree("b.jpg"), in_tree("hard.jpg")));
    put("good.csv", "path,label\na.jpg,1\n");
    put("bad.csv", refused[_i].text);
    ck_assert_int_eq(nn_dataset_new(&d), NN_OK);
    ck_assert_int_eq(nn_dataset_add_table(d, in_tree("good.csv"), NN_SPLIT_TRAIN, &why), NN_OK);
    ck_assert_int_eq(nn_dataset_add_table(d, in_tree("bad.csv"), NN_SPLIT_TRAIN, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, refused[_i].said) && strstr(why.text, "bad.csv"), "%s", why.text);
    ck_assert_int_eq(d->samples, 1);
    ck_assert_int_eq(d->sources, 1);
    nn_dataset_free(d);
}
END_TEST

START_TEST(every_allocation_fails)
{
    int rc = NN_ENOMEM;

    put("a.jpg", "a");
    put("list.csv", "path,label\na.jpg,1\nb.jpg,0\n");
    for (int n = 1; rc == NN_ENOMEM && n < 100; n++) {
        nn_dataset *d;

        ck_assert_int_eq(nn_dataset_new(&d), NN_OK);
        seen.allocs = 0;
        seen.fail_alloc = n;
        rc = nn_dataset_add_table(d, in_tree("list.csv"), NN_SPLIT_TRAIN, &why);
        seen.fail_alloc = 0;
        ck_assert_int_eq(d->samples, rc ? 0 : 2);
        ck_assert(rc == NN_OK || strstr(why.text, "list.csv"));
        nn_dataset_free(d);
    }
    ck_assert_int_eq(rc, NN_OK);
    ck_assert_int_eq(seen.live, 0);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("table");
    Suite *s = suite_create("table");

    tcase_add_checked_fixture(c, tree_setup, tree_teardown);
    tcase_add_test(c, rows_become_samples);
    tcase_add_test(c, absolute_paths);
    tcase_add_test(c, too_many_rows);
    tcase_add_loop_test(c, refusals, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(c, every_allocation_fails);
    suite_add_tcase(s, c);
    return suite_run(s);
}
