/* SPDX-License-Identifier: MIT
 *
 * Replays the corpus of each fuzz target: nothing may crash, and a sanitizer nothing to report.
 */
#include "targets.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct target {
    const char *name;
    void (*run)(const uint8_t *bytes, size_t size);
} targets[] = { { "torch", fuzz_torch }, { "pickle", fuzz_pickle }, { "safetensors", fuzz_safetensors },
                { "image", fuzz_image }, { "csv", fuzz_csv },       { "augment", fuzz_augment } };

/* In memory of exactly its size, so that a sanitizer sees the first byte beyond. */
static void replay(const struct target *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;
    long size;

    ck_assert_msg(f != NULL, "%s cannot be opened", path);
    ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
    size = ftell(f);
    ck_assert_int_ge(size, 0);
    rewind(f);
    bytes = malloc((size_t)size + !size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)size, f), (size_t)size);
    (void)fclose(f);
    t->run(bytes, (size_t)size);
    free(bytes);
}

START_TEST(corpus)
{
    const struct target *t = &targets[_i];
    char folder[64], path[512];
    struct dirent *e;
    int files = 0;
    DIR *d;

    (void)snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", t->name);
    d = opendir(folder);
    ck_assert_msg(d != NULL, "%s is missing; run this in the root of the project", folder);
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%.200s", folder, e->d_name);
        replay(t, path);
        files++;
    }
    (void)closedir(d);
    ck_assert_int_gt(files, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fuzz");
    TCase *t = tcase_create("corpus");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, corpus, 0, (int)(sizeof targets / sizeof *targets));
    suite_add_tcase(s, t);
    return suite_run(s);
}
