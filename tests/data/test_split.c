/* SPDX-License-Identifier: MIT
 *
 * Contents, splits and their files: what is a duplicate, what leaks, that a seeded split is what its
 * documentation says, and that split.tsv brings back any file name byte for byte.
 */
#include "tree.h"
#include "suite.h"

#include <math.h>

/* n files train/fake/N.jpg and train/real/N.jpg with distinct contents. */
static void many(int n)
{
    char path[64];

    for (int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof path, "train/fake/%03d.jpg", i);
        put(path, path);
        (void)snprintf(path, sizeof path, "train/real/%03d.jpg", i);
        put(path, path);
    }
}

static void hash(nn_dataset *d) { ck_assert_msg(nn_dataset_hash(d, 2, &why) == NN_OK, "%s", why.text); }

START_TEST(hash_is_sha256)
{
    nn_dataset *d;

    put("train/fake/a.jpg", "abc");
    put("train/real/b.jpg", "");
    d = load("");
    hash(d);
    ck_assert_str_eq(d->sample[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_str_eq(d->sample[1].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    nn_dataset_free(d);
}
END_TEST

START_TEST(vanished_file_is_excluded)
{
    nn_dataset *d;
    nn_sample *s;

    many(3);
    d = load("");
    ck_assert_int_eq(unlink(in_tree("train/fake/001.jpg")), 0);
    hash(d);
    s = sample_of(d, "train/fake/001.jpg");
    ck_assert_ptr_nonnull(s->excluded);
    ck_assert_str_eq(s->sha256, "");
    ck_assert_int_eq(d->bad, 1);
    ck_assert_int_eq(d->excluded, 1);
    ck_assert_int_eq(d->count[NN_SPLIT_TRAIN][NN_LABEL_FAKE], 2);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_EXCLUDED, "fake/001.jpg"), 1);
    nn_dataset_free(d);
}
END_TEST

START_TEST(exclusion)
{
    nn_dataset *d;

    many(2);
    d = load("");
    ck_assert_int_eq(nni_dataset_exclude(d, 0, "cut off"), NN_OK);
    ck_assert_int_eq(nni_dataset_exclude(d, 0, "again"), NN_OK);
    ck_assert_int_eq(nni_dataset_exclude(d, 4, "no such sample"), NN_EINVAL);
    ck_assert_int_eq(nni_dataset_exclude(d, -1, "no such sample"), NN_EINVAL);
    ck_assert_str_eq(d->sample[0].excluded, "cut off");
    ck_assert_int_eq(d->bad, 1);
    ck_assert_int_eq(d->problems, 1);
    ck_assert_str_eq(d->problem[0].text, "cut off");
    ck_assert_int_eq(nn_dataset_check(d, NN_SPLIT_TRAIN, &why), NN_OK);
    ck_assert_int_eq(nni_dataset_exclude(d, 1, "cut off"), NN_OK);
    ck_assert_int_eq(nn_dataset_check(d, NN_SPLIT_TRAIN, &why), NN_EFORMAT);
    nn_dataset_free(d);
}
END_TEST

START_TEST(duplicates_and_leaks)
{
    nn_dataset *d;

    put("main/train/fake/leak.jpg", "one");
    put("main/valid/fake/leak.jpg", "one");
    put("main/train/fake/twice-a.jpg", "two");
    put("main/train/fake/twice-b.jpg", "two");
    put("main/train/real/both.jpg", "three");
    put("main/train/fake/both.jpg", "three");
    put("main/train/real/tested.jpg", "four");
    put("main/test/images/tested.jpg", "four");
    put("main/train/real/alone.jpg", "five");
    put("main/valid/real/alone.jpg", "six");
    put("more/fake/copy.jpg", "two");
    put("more/fake/valid.jpg", "one");
    put("more/fake/test.jpg", "four");
    put("more/fake/new.jpg", "seven");
    put("more/fake/new-b.jpg", "seven");
    put("third/fake/new.jpg", "seven");
    d = load("main");
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("more"), &why), NN_OK);
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("third"), &why), NN_OK);
    hash(d);
    ck_assert_int_eq(nn_dataset_deduplicate(d, &why), NN_OK);

    ck_assert_str_eq(sample_of(d, "train/fake/leak.jpg")->excluded, "same content as valid/fake/leak.jpg");
    ck_assert_ptr_null(sample_of(d, "valid/fake/leak.jpg")->excluded);
    ck_assert_ptr_null(sample_of(d, "train/fake/twice-a.jpg")->excluded);
    ck_assert_ptr_null(sample_of(d, "train/fake/twice-b.jpg")->excluded);
    ck_assert_ptr_null(sample_of(d, "train/real/both.jpg")->excluded);
    ck_assert_ptr_null(sample_of(d, "train/real/tested.jpg")->excluded);
    ck_assert_ptr_nonnull(sample_of(d, "fake/copy.jpg")->excluded);
    ck_assert_ptr_nonnull(sample_of(d, "fake/valid.jpg")->excluded);
    ck_assert_ptr_nonnull(sample_of(d, "fake/test.jpg")->excluded);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_DUPLICATE, "third/fake/new.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_DUPLICATE, "more/fake/new.jpg"), 1); /* listed beside new-b */
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_DUPLICATE, "twice-b.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_DUPLICATE, "twice-a.jpg"), 0);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_LEAK, "train/fake/leak.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_LEAK, "train/real/tested.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_CONFLICT, "train/fake/both.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_CONFLICT, ""), 2); /* and four: real in main, fake in more */
    ck_assert_int_eq(d->excluded, 5);
    ck_assert_int_eq(d->bad, 0);
    ck_assert_int_eq(d->count[NN_SPLIT_TRAIN][NN_LABEL_FAKE], 5);
    nn_dataset_free(d);
}
END_TEST

static uint64_t documented_key(uint64_t seed, const char *path)
{
    nni_stream stream = nni_stream_of(seed, nni_hash("valid split", 11, NNI_HASH_BASIS));
    uint32_t word[4];

    nni_stream_at(&stream, nni_hash(path, strlen(path), NNI_HASH_BASIS), 0, 0, word);
    return (uint64_t)word[1] << 32 | word[0];
}

START_TEST(seeded_split)
{
    nn_dataset *d, *again, *other;
    int differ = 0, moved = 0;

    many(25);
    put("more/fake/x.jpg", "x");
    put("more/fake/y.jpg", "y");
    d = load("");
    again = load("");
    other = load("");
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("more"), &why), NN_OK);
    ck_assert_int_eq(nn_dataset_split(d, 0.1, 42, &why), NN_OK);
    ck_assert_int_eq(nn_dataset_split(again, 0.1, 42, &why), NN_OK);
    ck_assert_int_eq(nn_dataset_split(other, 0.1, 43, &why), NN_OK);
    for (int label = 0; label < 2; label++) /* 2.5 rounds to 3 */
        ck_assert_int_eq(d->count[NN_SPLIT_VALID][label], 3);
    ck_assert_int_eq(d->count[NN_SPLIT_TRAIN][NN_LABEL_FAKE], 24);
    for (int64_t i = 0; i < again->samples; i++) {
        ck_assert_int_eq(d->sample[i].split, again->sample[i].split);
        differ += d->sample[i].split != other->sample[i].split;
    }
    ck_assert_int_gt(differ, 0);
    /* The rule as documented: no training image has a lower key than a validation image of its class. */
    for (int64_t i = 0; i < again->samples; i++)
        for (int64_t j = 0; j < again->samples; j++) {
            const nn_sample *a = &again->sample[i], *b = &again->sample[j];

            if (a->label == b->label && a->split == NN_SPLIT_VALID && b->split == NN_SPLIT_TRAIN)
                ck_assert(documented_key(42, a->path) < documented_key(42, b->path));
        }
    ck_assert_int_eq(nn_dataset_split(d, 0.1, 42, &why), NN_ESTATE);
    nn_dataset_free(other);

    /* One more file moves at most one or two others of its class. */
    put("train/real/zzz.jpg", "z");
    other = load("");
    ck_assert_int_eq(nn_dataset_split(other, 0.1, 42, &why), NN_OK);
    for (int64_t i = 0; i < again->samples; i++)
        moved += sample_of(other, again->sample[i].path)->split != again->sample[i].split;
    ck_assert_int_le(moved, 1);
    nn_dataset_free(other);
    nn_dataset_free(again);
    nn_dataset_free(d);
}
END_TEST

START_TEST(split_bounds)
{
    static const double bad[] = { 0, 1, -0.5, 2, NAN };
    nn_dataset *d;

    many(2);
    d = load("");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(nn_dataset_split(d, bad[i], 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_dataset_split(d, _i ? 0.999 : 0.001, 1, &why), NN_OK);
    for (int label = 0; label < 2; label++) {
        ck_assert_int_eq(d->count[NN_SPLIT_TRAIN][label], 1);
        ck_assert_int_eq(d->count[NN_SPLIT_VALID][label], 1);
    }
    nn_dataset_free(d);
    ck_assert_int_eq(unlink(in_tree("train/real/000.jpg")), 0);
    d = load("");
    ck_assert_int_eq(nn_dataset_split(d, 0.5, 1, &why), NN_EFORMAT);
    ck_assert_int_eq(d->count[NN_SPLIT_VALID][NN_LABEL_FAKE], 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(equal_contents_stay_on_one_side)
{
    char path[64], text[16];
    nn_dataset *d;

    for (int i = 0; i < 60; i++) {
        (void)snprintf(path, sizeof path, "%s/%02d.jpg", i % 2 ? "train/fake" : "train/real", i);
        (void)snprintf(text, sizeof text, "%d %d", i / 6,
                       i < 30 ? 0 : i % 2); /* half of them in both classes */
        put(path, text);
    }
    d = load("");
    hash(d);
    ck_assert_int_eq(nn_dataset_split(d, 0.4, (uint64_t)_i, &why), NN_OK);
    ck_assert_int_gt(d->count[NN_SPLIT_VALID][NN_LABEL_FAKE], 0);
    for (int64_t i = 0; i < d->samples; i++)
        for (int64_t j = 0; j < i; j++)
            if (!strcmp(d->sample[i].sha256, d->sample[j].sha256))
                ck_assert_int_eq(d->sample[i].split, d->sample[j].split);
    nn_dataset_free(d);
}
END_TEST

/* ------------------------------------------------------------------------------------ split.tsv */

START_TEST(file_as_documented)
{
    static const char expected[] = "path\tsplit\tlabel\tsha256\n"
                                   "train/fake/a.jpg\ttrain\t1\t"
                                   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
                                   "train/real/\\\\t\\t\\n\\r\\x01\\x7f\xc3\xa4\\xff.jpg\texcluded\t0\t\n"
                                   "valid/real/b c.jpg\tvalid\t0\t\n";
    nn_dataset *d;
    size_t size;
    char *text;

    put("train/fake/a.jpg", "abc");
    put("train/real/\\t\t\n\r\x01\x7f\xc3\xa4\xff.jpg", "x");
    put("valid/real/b c.jpg", "y");
    put("test/images/z.jpg", "z");
    d = load("");
    ck_assert_int_eq(nni_dataset_exclude(d, 2, "x"), NN_OK);
    for (int64_t i = 0; i < d->samples; i++)
        if (i != 1)
            strcpy(d->sample[i].sha256, "");
    strcpy(d->sample[1].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(nn_split_write(d, in_tree("split.tsv"), &why), NN_OK);
    text = get_bytes("split.tsv", &size);
    ck_assert_str_eq(text, expected);
    free(text);
    nn_dataset_free(d);
}
END_TEST

START_TEST(any_name_comes_back)
{
    nn_dataset *d, *again;
    char path[64];
    size_t size[2];
    char *text[2];

    /* Every byte that a name can hold, alone and before a continuation byte. */
    for (int c = 1; c < 256; c++) {
        if (c == '/')
            continue;
        (void)snprintf(path, sizeof path, "train/%s/n%c%c.jpg", c % 2 ? "fake" : "real", c,
                       c ^ 0xe0 ? 'x' : '\x80');
        put(path, path);
        (void)snprintf(path, sizeof path, "train/%s/m%c\xa9.jpg", c % 3 ? "fake" : "real", c);
        put(path, path);
    }
    d = load("");
    hash(d);
    ck_assert_int_eq(nn_dataset_split(d, 0.3, 7, &why), NN_OK);
    ck_assert_int_eq(nn_split_write(d, in_tree("split.tsv"), &why), NN_OK);
    again = load("");
    hash(again);
    ck_assert_msg(nn_split_apply(again, in_tree("split.tsv"), &why) == NN_OK, "%s", why.text);
    ck_assert_int_eq(again->problems, 0);
    for (int64_t i = 0; i < d->samples; i++)
        ck_assert_int_eq(again->sample[i].split, d->sample[i].split);
    ck_assert_int_eq(memcmp(again->count, d->count, sizeof d->count), 0);
    ck_assert_int_eq(nn_split_write(again, in_tree("again.tsv"), &why), NN_OK);
    text[0] = get_bytes("split.tsv", &size[0]);
    text[1] = get_bytes("again.tsv", &size[1]);
    ck_assert_str_eq(text[0], text[1]);
    free(text[0]);
    free(text[1]);
    nn_dataset_free(again);
    nn_dataset_free(d);
}
END_TEST

START_TEST(sources_and_exclusions_come_back)
{
    nn_dataset *d, *again;

    many(4);
    put("more/fake/1.jpg", "more");
    put("more/fake/2.jpg", "train/fake/001.jpg");
    put("test/images/1.jpg", "t");
    d = load("");
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("more"), &why), NN_OK);
    hash(d);
    ck_assert_int_eq(nn_dataset_deduplicate(d, &why), NN_OK);
    ck_assert_int_eq(nn_dataset_split(d, 0.25, 3, &why), NN_OK);
    ck_assert_int_eq(nn_split_write(d, in_tree("split.tsv"), &why), NN_OK);

    put("train/real/later.jpg", "new since");
    again = load("");
    ck_assert_int_eq(nn_dataset_add_extra(again, in_tree("more"), &why), NN_OK);
    ck_assert_msg(nn_split_apply(again, in_tree("split.tsv"), &why) == NN_OK, "%s", why.text);
    ck_assert_int_eq(again->excluded, 2);
    ck_assert_ptr_nonnull(strstr(sample_of(again, "train/real/later.jpg")->excluded, "not in"));
    ck_assert_ptr_nonnull(strstr(sample_of(again, "fake/2.jpg")->excluded, "excluded in"));
    ck_assert_int_eq(problems_of(again, NN_PROBLEM_EXCLUDED, ""), 2);
    ck_assert_int_eq(memcmp(again->count, d->count, sizeof d->count), 0);
    ck_assert_int_eq(again->bad, 0);
    nn_dataset_free(again);
    nn_dataset_free(d);
}
END_TEST

START_TEST(changed_and_missing_files)
{
    nn_dataset *d;

    many(3);
    d = load("");
    hash(d);
    ck_assert_int_eq(nn_split_write(d, in_tree("split.tsv"), &why), NN_OK);
    nn_dataset_free(d);

    put("train/fake/001.jpg", "changed");
    d = load("");
    ck_assert_int_eq(nn_split_apply(d, in_tree("split.tsv"), &why), NN_OK); /* not hashed, not compared */
    hash(d);
    ck_assert_int_eq(nn_split_apply(d, in_tree("split.tsv"), &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "fake/001.jpg (line 3)"));
    ck_assert_ptr_nonnull(strstr(why.text, "1 have"));
    nn_dataset_free(d);

    ck_assert_int_eq(unlink(in_tree("train/fake/000.jpg")), 0);
    ck_assert_int_eq(unlink(in_tree("train/fake/002.jpg")), 0);
    d = load("");
    ck_assert_int_eq(nn_split_apply(d, in_tree("split.tsv"), &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "2 of its files"));
    ck_assert_ptr_nonnull(strstr(why.text, "fake/000.jpg (line 2)"));
    ck_assert_int_eq(d->excluded + d->problems, 0);
    nn_dataset_free(d);
}
END_TEST

static const struct {
    const char *text, *reason;
} damaged[] = {
    { "", "header" },
    { "path,split,label,sha256\n", "header" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrain\t1\n", "line 2: four fields" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrain\t1\t\t\n", "line 2: more than four" },
    { "path\tsplit\tlabel\tsha256\n\n", "line 2: four fields" },
    { "path\tsplit\tlabel\tsha256\n\ttrain\t1\t\n", "line 2: the path" },
    { "path\tsplit\tlabel\tsha256\na\\q\ttrain\t1\t\n", "line 2: the path" },
    { "path\tsplit\tlabel\tsha256\na\\\ttrain\t1\t\n", "line 2: the path" },
    { "path\tsplit\tlabel\tsha256\na\\x0\ttrain\t1\t\n", "line 2: the path" },
    { "path\tsplit\tlabel\tsha256\na\\x00\ttrain\t1\t\n", "line 2: the path" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrains\t1\t\n", "line 2: the split" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrain\t2\t\n", "line 2: the label" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrain\t0\t\n", "line 2: labelled real" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrain\t1\tabc\n", "line 2: the sha256" },
    { "path\tsplit\tlabel\tsha256\ntrain/fake/000.jpg\ttrain\t1\t\ntrain/fake/000.jpg\tvalid\t1\t\n",
      "line 3: this path" },
};

START_TEST(damaged_files_name_the_line)
{
    nn_dataset *d;

    many(2);
    put("split.tsv", damaged[_i].text);
    d = load("");
    ck_assert_int_eq(nn_split_apply(d, in_tree("split.tsv"), &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, damaged[_i].reason) != NULL, "%s", why.text);
    ck_assert_int_eq(d->count[NN_SPLIT_TRAIN][NN_LABEL_FAKE], 2);
    ck_assert_int_eq(d->problems, 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(tolerated_files)
{
    nn_dataset *d;

    many(1);
    put("split.tsv", "\xef\xbb\xbfpath\tsplit\tlabel\tsha256\r\ntrain/fake/000.jpg\tval\tfake\t\r\ntrain/"
                     "real/000.jpg\ttest\treal\t");
    d = load("");
    ck_assert_msg(nn_split_apply(d, in_tree("split.tsv"), &why) == NN_OK, "%s", why.text);
    ck_assert_int_eq(sample_of(d, "train/fake/000.jpg")->split, NN_SPLIT_VALID);
    ck_assert_int_eq(sample_of(d, "train/real/000.jpg")->split, NN_SPLIT_TEST);
    put_bytes("split.tsv", "path\0", 5);
    ck_assert_int_eq(nn_split_apply(d, in_tree("split.tsv"), &why), NN_EFORMAT);
    ck_assert_int_eq(nn_split_apply(d, in_tree("none.tsv"), &why), NN_ENOTFOUND);
    nn_dataset_free(d);
}
END_TEST

START_TEST(leaks_into_evaluation)
{
    nn_dataset *d;
    int64_t leaks = -1;

    many(3);
    put("train/fake/002.jpg", "train/fake/001.jpg");
    d = load("");
    hash(d);
    ck_assert_int_eq(nn_split_write(d, in_tree("split.tsv"), &why), NN_OK);
    nn_dataset_free(d);

    put("other/valid/fake/renamed.jpg", "train/fake/001.jpg");
    put("other/valid/real/moved.jpg", "train/real/000.jpg");
    put("other/valid/real/new.jpg", "new");
    put("other/train/real/000.jpg", "train/real/000.jpg");
    d = load("other");
    ck_assert_int_eq(nn_split_leaks(d, in_tree("split.tsv"), NN_SPLIT_VALID, &leaks, &why), NN_OK);
    ck_assert_int_eq(leaks, 0); /* nothing to compare yet */
    hash(d);
    ck_assert_int_eq(nn_split_leaks(d, in_tree("split.tsv"), NN_SPLIT_VALID, &leaks, &why), NN_OK);
    ck_assert_int_eq(leaks, 2);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_LEAK, "valid/fake/renamed.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_LEAK, ""), 2);
    nn_dataset_free(d);
}
END_TEST

/* With the n-th allocation failing, the whole chain says so, loses nothing and leaves a dataset that can be
 * freed. */
START_TEST(every_allocation_fails_once)
{
    int64_t leaks;
    int done = 0;

    many(3);
    put("train/fake/002.jpg", "train/fake/001.jpg");
    put("more/fake/copy.jpg", "train/fake/001.jpg");
    for (int n = 1; !done; n++) {
        nn_dataset *d = load("");
        int rc;

        count_memory();
        seen.fail_alloc = n;
        rc = nn_dataset_add_extra(d, in_tree("more"), &why);
        if (!rc)
            rc = nn_dataset_hash(d, 1, &why);
        if (!rc)
            rc = nn_dataset_deduplicate(d, &why);
        if (!rc)
            rc = nn_dataset_split(d, 0.3, 1, &why);
        if (!rc)
            rc = nn_split_write(d, in_tree("split.tsv"), &why);
        if (!rc)
            rc = nn_split_apply(d, in_tree("split.tsv"), &why);
        if (!rc)
            rc = nn_split_leaks(d, in_tree("split.tsv"), NN_SPLIT_TRAIN, &leaks, &why);
        done = seen.allocs < n;
        ck_assert_int_eq(rc, done ? NN_OK : NN_ENOMEM);
        nni_seam.alloc = real_seam.alloc;
        nni_seam.free = real_seam.free;
        nn_dataset_free(d);
        ck_assert_int_lt(n, 1000);
    }
}
END_TEST

START_TEST(unwritable_split)
{
    nn_dataset *d;

    many(1);
    d = load("");
    ck_assert_int_eq(nn_split_write(d, in_tree("no/such/folder/split.tsv"), &why), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, "no/such/folder"));
    nn_dataset_free(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("split");
    TCase *content = tcase_create("content"), *fresh = tcase_create("new split"),
          *file = tcase_create("split.tsv");
    TCase *all[] = { content, fresh, file };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tcase_add_checked_fixture(all[i], tree_setup, tree_teardown);
        tcase_set_timeout(all[i], 120);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(content, hash_is_sha256);
    tcase_add_test(content, vanished_file_is_excluded);
    tcase_add_test(content, exclusion);
    tcase_add_test(content, duplicates_and_leaks);
    tcase_add_test(fresh, seeded_split);
    tcase_add_loop_test(fresh, split_bounds, 0, 2);
    tcase_add_loop_test(fresh, equal_contents_stay_on_one_side, 0, 8);
    tcase_add_test(file, file_as_documented);
    tcase_add_test(file, any_name_comes_back);
    tcase_add_test(file, sources_and_exclusions_come_back);
    tcase_add_test(file, changed_and_missing_files);
    tcase_add_loop_test(file, damaged_files_name_the_line, 0, (int)(sizeof damaged / sizeof *damaged));
    tcase_add_test(file, tolerated_files);
    tcase_add_test(file, leaks_into_evaluation);
    tcase_add_test(file, every_allocation_fails_once);
    tcase_add_test(file, unwritable_split);
    return suite_run(suite);
}
