/* SPDX-License-Identifier: MIT
 *
 * Scanning folders of images: every layout that is understood, everything odd that a disk can hold, and
 * every failure of memory and folders, on trees built for the purpose.
 */
#include "tree.h"
#include "suite.h"

#include <sys/socket.h>
#include <sys/un.h>

static void competition(const char *root)
{
    static const char *const files[] = {
        "train/fake_images/a.jpg",    "train/fake_images/b.PNG", "train/real_images/c.jpeg",
        "train/real_images/d.jpg",    "train/real_images/e.jpg", "valid/fake_images/f.jpg",
        "valid/real_images/g.jpg",    "test/images/h.jpg",       "test/images/i.jpg",
        "test/sample_submission.csv",
    };
    char path[256];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s%s%s", root, *root ? "/" : "", files[i]);
        put(path, files[i]);
    }
}

static void expect_counts(const nn_dataset *d, int split, int real, int fake, int none)
{
    ck_assert_int_eq(d->count[split][NN_LABEL_REAL], real);
    ck_assert_int_eq(d->count[split][NN_LABEL_FAKE], fake);
    ck_assert_int_eq(d->count[split][NN_LABEL_NONE], none);
}

START_TEST(competition_layout)
{
    nn_dataset *d;
    nn_sample *s;

    competition("");
    d = load("");
    ck_assert_int_eq(d->samples, 9);
    ck_assert_int_eq(d->problems, 0);
    expect_counts(d, NN_SPLIT_TRAIN, 3, 2, 0);
    expect_counts(d, NN_SPLIT_VALID, 1, 1, 0);
    expect_counts(d, NN_SPLIT_TEST, 0, 0, 2);
    s = sample_of(d, "train/fake_images/b.PNG");
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(s->label, 1);
    ck_assert_int_eq(s->split, NN_SPLIT_TRAIN);
    ck_assert_int_eq((int)s->size, (int)strlen("train/fake_images/b.PNG"));
    ck_assert_str_eq(s->file, in_tree("train/fake_images/b.PNG"));
    ck_assert_str_eq(d->source[0].root, tree);
    ck_assert_str_eq(d->source[0].template_csv, in_tree("test/sample_submission.csv"));
    for (int split = 0; split < 2; split++)
        ck_assert_int_eq(nn_dataset_check(d, split, &why), NN_OK);
    nn_dataset_free(d);
}
END_TEST

static const struct {
    const char *train_fake, *train_real, *valid_real;
} layouts[] = {
    { "train/fake/1.jpg", "train/real/0.jpg", "valid/real/2.jpg" },
    { "train/ai/1.jpg", "train/nature/0.jpg", "val/nature/2.jpg" },
    { "train/1_fake/1.jpg", "train/0_real/0.jpg", "val/0_real/2.jpg" },
    { "Train/FAKE/1.JPG", "Train/REAL/0.JPG", "VALID/Real/2.Jpeg" },
    { "a/train/fake/1.jpg", "a/train/real/0.jpg", "a/valid/real/2.jpg" },
    { "a b/c/train/fake/1.jpg", "a b/c/train/real/0.jpg", "a b/c/val/real/2.jpg" },
    { "a/b/c/train/fake_images/1.jpg", "a/b/c/train/real_images/0.jpg", "a/b/c/valid/real/2.jpg" },
};

START_TEST(other_names_and_depths)
{
    nn_dataset *d;

    put(layouts[_i].train_fake, "1");
    put(layouts[_i].train_real, "0");
    put(layouts[_i].valid_real, "2");
    put("README.txt", "beside it");
    d = load("");
    expect_counts(d, NN_SPLIT_TRAIN, 1, 1, 0);
    expect_counts(d, NN_SPLIT_VALID, 1, 0, 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(root_four_levels_down_is_too_far)
{
    nn_dataset *d = new_dataset();

    put("a/b/c/d/train/fake/1.jpg", "1");
    put("a/b/c/d/train/real/1.jpg", "1");
    ck_assert_int_eq(nn_dataset_add(d, tree, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "fake_images"));
    ck_assert_int_eq(d->samples + d->sources + d->problems, 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(two_roots_are_ambiguous)
{
    nn_dataset *d = new_dataset();

    put("one/train/fake/1.jpg", "1");
    put("two/train/fake/1.jpg", "1");
    ck_assert_int_eq(nn_dataset_add(d, tree, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "/one"));
    ck_assert_ptr_nonnull(strstr(why.text, "/two"));
    ck_assert_int_eq(nn_dataset_add(d, in_tree("one"), &why), NN_OK);
    ck_assert_int_eq(nn_dataset_add(d, in_tree("one/."), &why), NN_EINVAL);
    ck_assert_int_eq(d->sources, 1);
    nn_dataset_free(d);
}
END_TEST

START_TEST(folders_without_splits)
{
    nn_dataset *d;

    put("x/fake/1.jpg", "1");
    put("x/real/1.jpg", "1");
    put("x/real/deep/er/1.jpg", "1");
    put("x/other/1.jpg", "1");
    d = load("");
    expect_counts(d, NN_SPLIT_TRAIN, 2, 1, 0);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_FOLDER, "/other"), 1);
    ck_assert_int_eq(nn_dataset_check(d, NN_SPLIT_VALID, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "2 real and 1 fake"));
    nn_dataset_free(d);
}
END_TEST

START_TEST(one_class_and_empty_class)
{
    nn_dataset *d;

    put("one/fake/1.jpg", "1");
    d = load("one");
    expect_counts(d, NN_SPLIT_TRAIN, 0, 1, 0);
    ck_assert_int_eq(nn_dataset_check(d, NN_SPLIT_TRAIN, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "0 real and 1 fake"));
    nn_dataset_free(d);

    put("empty/train/fake/1.jpg", "1");
    make_folders("empty/train/real");
    d = load("empty");
    ck_assert_int_eq(nn_dataset_check(d, NN_SPLIT_TRAIN, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "train/real_images"));
    ck_assert_int_eq(nn_dataset_check(d, 7, &why), NN_EINVAL);
    nn_dataset_free(d);
}
END_TEST

START_TEST(missing_folder_and_file_as_folder)
{
    nn_dataset *d = new_dataset();

    put("file", "x");
    ck_assert_int_eq(nn_dataset_add(d, in_tree("nowhere"), &why), NN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(why.text, "nowhere"));
    ck_assert_int_eq(nn_dataset_add(d, in_tree("file"), &why), NN_EFORMAT);
    make_folders("void");
    ck_assert_int_eq(nn_dataset_add(d, in_tree("void"), &why), NN_EFORMAT);
    nn_dataset_free(d);
}
END_TEST

START_TEST(label_is_never_in_the_file_name)
{
    nn_dataset *d;

    put("train/fake/real_0_nature.jpg", "1");
    put("train/real/fake_1_ai.jpg", "0");
    put("train/real/fake/x.jpg", "0");
    d = load("");
    ck_assert_int_eq(sample_of(d, "train/fake/real_0_nature.jpg")->label, 1);
    ck_assert_int_eq(sample_of(d, "train/real/fake_1_ai.jpg")->label, 0);
    ck_assert_int_eq(sample_of(d, "train/real/fake/x.jpg")->label, 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(order_is_by_bytes_of_the_path)
{
    static const char *const sorted[] = { "train/fake/Z.jpg",        "train/fake/a b.jpg",
                                          "train/fake/a-b.jpg",      "train/fake/a/c.jpg",
                                          "train/fake/a0.jpg",       "train/fake/b\n.jpg",
                                          "train/fake/\x80\xff.jpg", "train/real/0.jpg" };
    size_t n = sizeof sorted / sizeof *sorted;
    nn_dataset *d;

    for (size_t i = 0; i < n; i++)
        put(sorted[n - 1 - i], "x");
    d = load("");
    ck_assert_uint_eq((size_t)d->samples, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(d->sample[i].path, sorted[i]);
    nn_dataset_free(d);
}
END_TEST

START_TEST(hidden_and_foreign_files_are_counted)
{
    nn_dataset *d;

    competition("");
    put("train/fake_images/.DS_Store", "x");
    put("train/fake_images/Thumbs.db", "x");
    put("train/fake_images/._a.jpg", "x");
    put("train/real_images/.git/x.jpg", "x");
    put("train/real_images/notes.txt", "x");
    put("train/real_images/x.webp", "x");
    put("train/real_images/jpg", "x");
    put("train/real_images/.jpg", "x");
    put("train/lost.jpg", "x");
    d = load("");
    ck_assert_int_eq(d->samples, 9);
    ck_assert_int_eq(d->source[0].hidden, 5);
    ck_assert_int_eq(d->source[0].ignored, 4);
    ck_assert_int_eq(d->problems, 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(links_pipes_and_sockets)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    nn_dataset *d;

    competition("");
    put("elsewhere/z.jpg", "z");
    ck_assert_int_eq(symlink("..", in_tree("train/fake_images/up")), 0);
    ck_assert_int_eq(symlink("../real_images", in_tree("train/fake_images/across")), 0);
    ck_assert_int_eq(symlink(".", in_tree("train/fake_images/self")), 0);
    ck_assert_int_eq(symlink("round.jpg", in_tree("train/fake_images/round.jpg")), 0);
    ck_assert_int_eq(symlink("nowhere", in_tree("train/fake_images/dangling.jpg")), 0);
    ck_assert_int_eq(symlink("../../elsewhere", in_tree("train/fake_images/linked")), 0);
    ck_assert_int_eq(symlink("../../elsewhere/z.jpg", in_tree("train/real_images/z.jpg")), 0);
    ck_assert_int_eq(symlink("train", in_tree("val")), 0);
    ck_assert_int_eq(mkfifo(in_tree("train/real_images/never-opened.jpg"), 0666), 0);
    make_folders("train/real_images/folder.jpg");
    put("train/real_images/folder.jpg/inside.jpg", "x");
    ck_assert_int_ge(fd, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s",
                   in_tree("train/real_images/never-opened.png"));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    seen.touched = "never-opened";
    d = load("");
    (void)close(fd);
    ck_assert_ptr_nonnull(sample_of(d, "train/fake_images/linked/z.jpg"));
    ck_assert_ptr_nonnull(sample_of(d, "train/real_images/z.jpg"));
    ck_assert_ptr_nonnull(sample_of(d, "train/real_images/folder.jpg/inside.jpg"));
    /* Real images must not become fake because a link in the fake folder leads to them. */
    expect_counts(d, NN_SPLIT_TRAIN, 5, 3, 0);
    ck_assert_int_eq(sample_of(d, "train/real_images/c.jpeg")->label, NN_LABEL_REAL);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_VISITED, "/up"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_VISITED, "/across"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_VISITED, "/self"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_UNREADABLE, "/round.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_UNREADABLE, "/dangling.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_SPECIAL, "/never-opened.jpg"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_SPECIAL, "/never-opened.png"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_VISITED, "/val"), 1);
    nn_dataset_free(d);
}
END_TEST

START_TEST(nesting_has_a_limit)
{
    char path[512] = "train/fake";
    nn_dataset *d;

    put("train/real/1.jpg", "1");
    for (int i = 0; i < 34; i++) {
        size_t n = strlen(path);

        (void)snprintf(path + n, sizeof path - n, "/d%d", i);
        if (i == 31 || i == 32) {
            n = strlen(path);
            (void)snprintf(path + n, sizeof path - n, "/deep.jpg");
            put(path, "x");
            path[n] = 0;
        }
    }
    d = load("");
    expect_counts(d, NN_SPLIT_TRAIN, 1, 1, 0);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_DEEP, "/d32"), 1);
    nn_dataset_free(d);
}
END_TEST

START_TEST(long_names)
{
    char name[300], path[600];
    nn_dataset *d;

    memset(name, 'n', sizeof name);
    memcpy(name + 251, ".jpg", 5);
    (void)snprintf(path, sizeof path, "train/fake/%s", name);
    put(path, "x");
    put("train/real/1.jpg", "x");
    d = load("");
    ck_assert_ptr_nonnull(sample_of(d, path));
    nn_dataset_free(d);
}
END_TEST

START_TEST(unreadable_folders_are_named)
{
    nn_dataset *d;

    competition("");
    put("train/real_images/closed/x.jpg", "x");
    seen.denied = "closed";
    d = load("");
    ck_assert_int_eq(d->samples, 9);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_UNREADABLE, "/closed"), 1);
    ck_assert_ptr_nonnull(strstr(d->problem[0].text, strerror(EACCES)));
    nn_dataset_free(d);

    d = new_dataset();
    seen.denied = tree;
    ck_assert_int_eq(nn_dataset_add(d, tree, &why), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, strerror(EACCES)));
    ck_assert_int_eq(d->problems, 0);
    nn_dataset_free(d);
}
END_TEST

/* Whichever folder or name fails to be read, something says so, and nothing crashes. */
START_TEST(every_folder_and_name_fails_once)
{
    int calls[2];
    nn_dataset *d;

    competition("");
    seen.folders = seen.names = 0;
    d = load("");
    nn_dataset_free(d);
    calls[0] = seen.folders;
    calls[1] = seen.names;
    ck_assert_int_gt(calls[0], 6);
    for (int kind = 0; kind < 2; kind++)
        for (int n = 1; n <= calls[kind]; n++) {
            int rc;

            seen.folders = seen.names = 0;
            seen.fail_folder = kind ? 0 : n;
            seen.fail_name = kind ? n : 0;
            seen.error = EIO;
            d = new_dataset();
            rc = nn_dataset_add(d, tree, &why);
            ck_assert_int_eq(seen.open_folders, 0);
            if (rc)
                ck_assert(rc == NN_EIO || rc == NN_EFORMAT);
            else
                ck_assert(d->samples == 9 || d->problems > 0);
            nn_dataset_free(d);
        }
    seen.fail_name = 0;
    seen.folders = 0;
    seen.fail_folder = 1;
    seen.error = ENOMEM;
    d = new_dataset();
    ck_assert_int_eq(nn_dataset_add(d, tree, &why), NN_ENOMEM);
    nn_dataset_free(d);
}
END_TEST

START_TEST(every_allocation_fails_once)
{
    int done = 0;

    competition("");
    put("train/real_images/notes.txt", "x");
    make_folders("train/unknown");
    ck_assert_int_eq(mkfifo(in_tree("train/real_images/pipe"), 0666), 0);
    ck_assert_int_eq(symlink(".", in_tree("train/fake_images/self")), 0);
    for (int n = 1; !done; n++) {
        nn_dataset *d = NULL;
        int rc;

        count_memory();
        seen.fail_alloc = n;
        rc = nn_dataset_new(&d);
        if (!rc)
            rc = nn_dataset_add(d, tree, &why);
        if (!rc)
            rc = nn_dataset_hash(d, 1, &why);
        if (!rc)
            rc = nn_dataset_deduplicate(d, &why);
        done = seen.allocs < n;
        ck_assert_int_eq(rc, done ? NN_OK : NN_ENOMEM);
        nn_dataset_free(d);
        ck_assert_int_eq(seen.live, 0);
        ck_assert_int_eq(seen.open_folders, 0);
        ck_assert_int_lt(n, 1000);
    }
}
END_TEST

START_TEST(a_failed_addition_leaves_no_trace)
{
    nn_dataset *d;
    int64_t samples, problems;

    competition("a");
    make_folders("a/train/unknown");
    put("b/train/fake/1.jpg", "1");
    put("b/train/what/1.jpg", "1");
    d = load("a");
    samples = d->samples;
    problems = d->problems;
    for (int n = 1; n < 6; n++) {
        count_memory();
        seen.fail_alloc = n;
        if (nn_dataset_add_extra(d, in_tree("b"), &why) == NN_OK)
            break;
        nni_seam.alloc = real_seam.alloc;
        ck_assert_int_eq(d->samples, samples);
        ck_assert_int_eq(d->problems, problems);
        ck_assert_int_eq(d->sources, 1);
    }
    nn_dataset_free(d);
}
END_TEST

START_TEST(pair_of_folders)
{
    nn_dataset *d = new_dataset();

    put("here/x.jpg", "x");
    put("there/sub/y.png", "y");
    put("there/a.jpg", "y");
    ck_assert_int_eq(nn_dataset_add_pair(d, in_tree("here"), in_tree("there"), &why), NN_OK);
    ck_assert_int_eq(d->samples, 3);
    ck_assert_str_eq(d->sample[0].path, "fake/x.jpg");
    ck_assert_int_eq(d->sample[0].label, 1);
    ck_assert_str_eq(d->sample[1].path, "real/a.jpg");
    ck_assert_str_eq(d->sample[2].path, "real/sub/y.png");
    ck_assert_str_eq(d->sample[2].file, in_tree("there/sub/y.png"));
    ck_assert_int_eq(d->sample[2].label, 0);
    ck_assert_int_eq(nn_dataset_check(d, NN_SPLIT_TRAIN, &why), NN_OK);
    nn_dataset_free(d);

    d = new_dataset();
    ck_assert_int_eq(nn_dataset_add_pair(d, in_tree("here"), in_tree("there/../here"), &why), NN_EINVAL);
    ck_assert_int_eq(nn_dataset_add_pair(d, in_tree("here"), in_tree("no"), &why), NN_ENOTFOUND);
    ck_assert_int_eq(d->sources, 0);
    nn_dataset_free(d);
}
END_TEST

START_TEST(extra_data_joins_training_only)
{
    nn_dataset *d;

    competition("main");
    put("more/deep/train/fake/1.jpg", "1");
    put("more/deep/train/real/2.jpg", "2");
    put("more/deep/valid/real/3.jpg", "3");
    put("more/deep/test/fake/4.jpg", "4");
    put("flat/real/5.jpg", "5");
    put("evaluation/valid/real/5.jpg", "5");
    put("evaluation/valid/fake/5.jpg", "5");
    d = load("main");
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("more"), &why), NN_OK);
    expect_counts(d, NN_SPLIT_TRAIN, 4, 3, 0);
    expect_counts(d, NN_SPLIT_VALID, 1, 1, 0);
    expect_counts(d, NN_SPLIT_TEST, 0, 0, 2);
    ck_assert_int_eq(sample_of(d, "train/fake/1.jpg")->source, 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_FOLDER, "/valid"), 1);
    ck_assert_int_eq(problems_of(d, NN_PROBLEM_FOLDER, "/test"), 1);
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("flat"), &why), NN_OK);
    expect_counts(d, NN_SPLIT_TRAIN, 5, 3, 0);
    ck_assert_int_eq(nn_dataset_add_extra(d, in_tree("evaluation"), &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "no training images"));
    ck_assert_int_eq(d->sources, 3);
    nn_dataset_free(d);
}
END_TEST

START_TEST(images_without_labels)
{
    nn_dataset *d = new_dataset();

    put("p/2.jpg", "2");
    put("p/sub/1.jpg", "1");
    put("odd.dat", "x");
    ck_assert_int_eq(nn_dataset_add_images(d, in_tree("p"), &why), NN_OK);
    ck_assert_int_eq(nn_dataset_add_images(d, in_tree("odd.dat"), &why), NN_OK);
    ck_assert_int_eq(nn_dataset_add_images(d, in_tree("p/2.jpg"), &why), NN_OK);
    ck_assert_int_eq(nn_dataset_add_images(d, in_tree("p/3.jpg"), &why), NN_ENOTFOUND);
    expect_counts(d, NN_SPLIT_TEST, 0, 0, 4);
    ck_assert_int_eq(d->sources, 2);
    ck_assert_str_eq(d->sample[0].path, "2.jpg");
    ck_assert_str_eq(d->sample[1].path, "sub/1.jpg");
    ck_assert_str_eq(d->sample[2].path, in_tree("odd.dat"));
    ck_assert_int_eq(mkfifo(in_tree("pipe"), 0666), 0);
    seen.touched = "pipe";
    ck_assert_int_eq(nn_dataset_add_images(d, in_tree("pipe"), &why), NN_EFORMAT);
    nn_dataset_free(d);
}
END_TEST

START_TEST(names_of_things)
{
    ck_assert_str_eq(nn_split_name(NN_SPLIT_VALID), "valid");
    ck_assert_str_eq(nn_split_name(-1), "?");
    ck_assert_int_eq(nn_split_named("val"), NN_SPLIT_VALID);
    ck_assert_int_eq(nn_split_named("TEST"), NN_SPLIT_TEST);
    ck_assert_int_eq(nn_split_named("tests"), -1);
    ck_assert_str_eq(nn_problem_name(NN_PROBLEM_SPECIAL), "not a regular file");
    ck_assert_str_eq(nn_problem_name(NN_PROBLEMS), "?");
}
END_TEST

/* The tree named by NN_FACES: the competition's own layout with real photographs. */
START_TEST(real_faces)
{
    const char *folder = getenv("NN_FACES");
    nn_dataset *d;

    if (!folder) {
        (void)fprintf(stderr, "SKIPPED real_faces: NN_FACES names no folder\n");
        return;
    }
    d = new_dataset();
    ck_assert_msg(nn_dataset_add(d, folder, &why) == NN_OK, "%s", why.text);
    for (int split = 0; split < 2; split++)
        ck_assert_msg(nn_dataset_check(d, split, &why) == NN_OK, "%s", why.text);
    ck_assert_int_gt(d->count[NN_SPLIT_TEST][NN_LABEL_NONE], 0);
    ck_assert_ptr_nonnull(d->source[0].template_csv);
    for (int64_t i = 1; i < d->samples; i++)
        ck_assert_int_lt(strcmp(d->sample[i - 1].path, d->sample[i].path), 0);
    ck_assert_int_eq(nn_dataset_hash(d, 2, &why), NN_OK);
    ck_assert_int_eq(nn_dataset_deduplicate(d, &why), NN_OK);
    ck_assert_int_eq(d->bad, 0);
    (void)fprintf(stderr, "real_faces: %lld images, %lld excluded, %lld problems\n", (long long)d->samples,
                  (long long)d->excluded, (long long)d->problems);
    nn_dataset_free(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("folder");
    TCase *layout = tcase_create("layout"), *odd = tcase_create("odd"), *failure = tcase_create("failure");
    TCase *other = tcase_create("other");
    TCase *all[] = { layout, odd, failure, other };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tcase_add_checked_fixture(all[i], tree_setup, tree_teardown);
        tcase_set_timeout(all[i], 120);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(layout, competition_layout);
    tcase_add_loop_test(layout, other_names_and_depths, 0, (int)(sizeof layouts / sizeof *layouts));
    tcase_add_test(layout, root_four_levels_down_is_too_far);
    tcase_add_test(layout, two_roots_are_ambiguous);
    tcase_add_test(layout, folders_without_splits);
    tcase_add_test(layout, one_class_and_empty_class);
    tcase_add_test(layout, missing_folder_and_file_as_folder);
    tcase_add_test(layout, label_is_never_in_the_file_name);
    tcase_add_test(layout, order_is_by_bytes_of_the_path);
    tcase_add_test(odd, hidden_and_foreign_files_are_counted);
    tcase_add_test(odd, links_pipes_and_sockets);
    tcase_add_test(odd, nesting_has_a_limit);
    tcase_add_test(odd, long_names);
    tcase_add_test(failure, unreadable_folders_are_named);
    tcase_add_test(failure, every_folder_and_name_fails_once);
    tcase_add_test(failure, every_allocation_fails_once);
    tcase_add_test(failure, a_failed_addition_leaves_no_trace);
    tcase_add_test(other, pair_of_folders);
    tcase_add_test(other, extra_data_joins_training_only);
    tcase_add_test(other, images_without_labels);
    tcase_add_test(other, names_of_things);
    tcase_add_test(other, real_faces);
    return suite_run(suite);
}
