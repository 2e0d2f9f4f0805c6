/* SPDX-License-Identifier: MIT
 *
 * Files that are replaced, not written over: the writer is made to fail at each single call in turn,
 * and in its effects to be cut short there, and afterwards the file must hold all of the old or all
 * of the new contents, nothing must be left beside it, and no memory or descriptor be lost.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct nni_seam real;
static char folder[64], path[128];
static int64_t calls, fail_at; /* the call with this number fails; -1 none */
static int64_t live, open_files;
static int synced, renamed_before_sync, short_io, interrupted, files_only;

static bool fails(void)
{
    bool now = calls++ == fail_at;

    if (now)
        errno = EIO;
    return now;
}

static void *my_alloc(size_t size)
{
    void *memory = fails() ? NULL : real.alloc(size);

    live += memory != NULL;
    return memory;
}

static void my_free(void *memory)
{
    live--;
    real.free(memory);
}

static int my_open(const char *name, int flags, int mode)
{
    int fd = fails() ? -1 : real.open(name, flags, mode);

    open_files += fd >= 0;
    return fd;
}

/* A close that reports failure has closed all the same. */
static int my_close(int fd)
{
    int rc = real.close(fd);

    open_files--;
    return fails() ? -1 : rc;
}

static int64_t my_read(int fd, void *data, size_t size)
{
    if (fails())
        return -1;
    if (short_io && interrupted++ % 2) {
        errno = EINTR;
        return -1;
    }
    return real.read(fd, data, short_io && size > 7 ? 7 : size);
}

static int64_t my_write(int fd, const void *data, size_t size)
{
    if (fails()) {
        /* Half of it got to the disk. */
        (void)real.write(fd, data, size / 2);
        errno = ENOSPC;
        return -1;
    }
    if (short_io && interrupted++ % 2) {
        errno = EINTR;
        return -1;
    }
    return real.write(fd, data, short_io && size > 7 ? 7 : size);
}

static int my_fsync(int fd)
{
    struct stat st;

    if (fails())
        return -1;
    if (files_only && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    synced++;
    return real.fsync(fd);
}

static int my_rename(const char *from, const char *to)
{
    if (fails())
        return -1;
    renamed_before_sync += !synced;
    return real.rename(from, to);
}

static int my_stat(const char *name, struct nni_stat *out) { return fails() ? -1 : real.stat(name, out); }

static void put_file(const char *text, size_t size)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static bool holds(const char *text, size_t size)
{
    static char data[1 << 16];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        return false;
    n = fread(data, 1, sizeof data, f);
    (void)fclose(f);
    return n == size && !memcmp(data, text, size);
}

static int files(void)
{
    DIR *d = opendir(folder);
    int n = 0;

    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

static void setup(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/nn_seam_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/weights", folder);
    real = nni_seam;
    nni_seam.alloc = my_alloc;
    nni_seam.free = my_free;
    nni_seam.open = my_open;
    nni_seam.close = my_close;
    nni_seam.read = my_read;
    nni_seam.write = my_write;
    nni_seam.fsync = my_fsync;
    nni_seam.rename = my_rename;
    nni_seam.stat = my_stat;
    fail_at = -1;
    calls = live = open_files = 0;
    short_io = interrupted = files_only = 0;
}

static void teardown(void)
{
    nni_seam = real;
    (void)unlink(path);
    (void)rmdir(folder);
}

static const char old_text[] = "the old contents";
static const char new_text[] = "the new contents, which are longer than the old ones were";

static int replace(nn_message *why)
{
    nni_writer w;
    int rc = nni_writer_open(&w, path, why);

    if (!rc)
        rc = nni_writer_put(&w, new_text, 20, why);
    if (!rc)
        rc = nni_writer_put(&w, new_text + 20, sizeof new_text - 20, why);
    return rc ? rc : nni_writer_commit(&w, why);
}

START_TEST(writes)
{
    nn_message why = { "" };

    ck_assert_int_eq(replace(&why), NN_OK);
    ck_assert(holds(new_text, sizeof new_text));
    ck_assert_int_eq(replace(&why), NN_OK);
    ck_assert(holds(new_text, sizeof new_text));
    ck_assert_int_eq(files(), 1);
    ck_assert_int_eq(live, 0);
    ck_assert_int_eq(open_files, 0);
}
END_TEST

/* The contents are on the disk before the name points at them, and the name after that. */
START_TEST(order)
{
    nn_message why = { "" };

    synced = renamed_before_sync = 0;
    ck_assert_int_eq(replace(&why), NN_OK);
    ck_assert_int_eq(renamed_before_sync, 0);
    ck_assert_int_eq(synced, 2);
}
END_TEST

/* As on file systems of other machines. */
START_TEST(folders_that_cannot_be_synced)
{
    nn_message why = { "" };

    files_only = 1;
    ck_assert_msg(!replace(&why), "%s", why.text);
    ck_assert(holds(new_text, sizeof new_text));
    ck_assert_int_eq(open_files, 0);
}
END_TEST

START_TEST(old_or_new)
{
    int64_t total;
    int old_left = 0;
    nn_message why = { "" };

    put_file(old_text, sizeof old_text);
    calls = 0;
    ck_assert_int_eq(replace(&why), NN_OK);
    total = calls;
    ck_assert_int_ge(total, 9);
    for (int64_t k = 0; k < total; k++) {
        int rc;

        put_file(old_text, sizeof old_text);
        why.text[0] = 0;
        calls = 0;
        fail_at = k;
        rc = replace(&why);
        fail_at = -1;
        /* Only the last call, closing the folder, cannot matter. */
        ck_assert_msg(rc != NN_OK || k == total - 1, "call %lld of %lld failed and nobody noticed",
                      (long long)k, (long long)total);
        ck_assert_msg(holds(old_text, sizeof old_text) || holds(new_text, sizeof new_text),
                      "after call %lld of %lld", (long long)k, (long long)total);
        ck_assert_msg(rc == NN_OK || strstr(why.text, path), "call %lld: \"%s\" does not name the file",
                      (long long)k, why.text);
        old_left += holds(old_text, sizeof old_text);
        ck_assert_msg(files() == 1, "a temporary file was left after call %lld", (long long)k);
        ck_assert_int_eq(live, 0);
        ck_assert_int_eq(open_files, 0);
    }
    ck_assert_int_ge(old_left, 7);
}
END_TEST

START_TEST(abandoned)
{
    nni_writer w;
    nn_message why = { "" };

    put_file(old_text, sizeof old_text);
    ck_assert_int_eq(nni_writer_open(&w, path, &why), NN_OK);
    ck_assert_int_eq(nni_writer_put(&w, new_text, sizeof new_text, &why), NN_OK);
    ck_assert_uint_eq(w.written, sizeof new_text);
    nni_writer_abort(&w);
    nni_writer_abort(&w);
    ck_assert(holds(old_text, sizeof old_text));
    ck_assert_int_eq(files(), 1);
    ck_assert_int_eq(live, 0);
    ck_assert_int_eq(open_files, 0);
}
END_TEST

/* Two writers of one file do not share the place where they write it, and a name may be as long as a file
 * system allows. */
START_TEST(temporaries)
{
    nni_writer a, b;
    nn_message why = { "" };
    char name[256] = { 0 }, longest[512];

    put_file(old_text, sizeof old_text);
    ck_assert_int_eq(nni_writer_open(&a, path, &why), NN_OK);
    ck_assert_int_eq(nni_writer_open(&b, path, &why), NN_OK);
    ck_assert_str_ne(a.temporary, b.temporary);
    nni_writer_abort(&b);
    ck_assert_int_eq(nni_writer_put(&a, new_text, sizeof new_text, &why), NN_OK);
    ck_assert_int_eq(nni_writer_commit(&a, &why), NN_OK);
    ck_assert(holds(new_text, sizeof new_text));
    ck_assert_int_eq(files(), 1);
    for (int i = 0; i < 3; i++) {
        memset(name, 'n', 255);
        memcpy(name + 98 + i, "\xe2\x82\xac", 3); /* cut before, never within */
        (void)snprintf(longest, sizeof longest, "%s/%s", folder, name);
        ck_assert_msg(!nni_writer_open(&a, longest, &why), "%s", why.text);
        ck_assert_ptr_null(strpbrk(a.temporary, "\xe2\x82\xac"));
        ck_assert_int_eq(nni_writer_put(&a, new_text, sizeof new_text, &why), NN_OK);
        ck_assert_msg(!nni_writer_commit(&a, &why), "%s", why.text);
        ck_assert_int_eq(real.unlink(longest), 0);
    }
    ck_assert_int_eq(live, 0);
}
END_TEST

START_TEST(no_such_folder)
{
    nni_writer w;
    nn_message why = { "" };
    char missing[256];

    (void)snprintf(missing, sizeof missing, "%s/none/weights", folder);
    ck_assert_int_eq(nni_writer_open(&w, missing, &why), NN_EIO);
    ck_assert_msg(strstr(why.text, missing) != NULL, "%s", why.text);
    ck_assert_int_eq(live, 0);
}
END_TEST

START_TEST(reads)
{
    static char large[50000];
    nn_message why = { "" };
    void *data = NULL;
    size_t size = 0;

    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 7);
    put_file(large, sizeof large);
    for (short_io = 0; short_io < 2; short_io++) {
        ck_assert_int_eq(nni_read_file(path, sizeof large, &data, &size, &why), NN_OK);
        ck_assert_uint_eq(size, sizeof large);
        ck_assert_mem_eq(data, large, size);
        ck_assert_int_eq(((char *)data)[size], 0);
        nni_free(data);
    }
    ck_assert_int_eq(nni_read_file(path, sizeof large - 1, &data, &size, &why), NN_EFORMAT);
    ck_assert_int_eq(nni_read_file(folder, sizeof large, &data, &size, &why), NN_EFORMAT);
    (void)unlink(path);
    ck_assert_int_eq(nni_read_file(path, sizeof large, &data, &size, &why), NN_ENOTFOUND);
    put_file("", 0);
    ck_assert_int_eq(nni_read_file(path, 10, &data, &size, &why), NN_OK);
    ck_assert_uint_eq(size, 0);
    nni_free(data);
    ck_assert_int_eq(live, 0);
    ck_assert_int_eq(open_files, 0);
}
END_TEST

START_TEST(reads_fail)
{
    nn_message why = { "" };

    put_file(old_text, sizeof old_text);
    for (int64_t k = 0; k < 4; k++) {
        void *data = NULL;
        size_t size = 0;

        calls = 0;
        fail_at = k;
        ck_assert_int_ne(nni_read_file(path, 1000, &data, &size, &why), NN_OK);
        ck_assert_msg(strstr(why.text, path) != NULL, "%s", why.text);
        ck_assert_ptr_null(data);
        ck_assert_int_eq(live, 0);
        ck_assert_int_eq(open_files, 0);
    }
}
END_TEST

START_TEST(partial_writes)
{
    nn_message why = { "" };

    short_io = 1;
    ck_assert_int_eq(replace(&why), NN_OK);
    ck_assert(holds(new_text, sizeof new_text));
}
END_TEST

START_TEST(memory)
{
    char *at, *copy;

    for (size_t size = 0; size < 300; size += 13) {
        at = nni_alloc_zero(size);
        ck_assert_ptr_nonnull(at);
        ck_assert_uint_eq((uintptr_t)at % 64, 0);
        for (size_t k = 0; k < size; k++)
            ck_assert_int_eq(at[k], 0);
        nni_free(at);
    }
    ck_assert_ptr_null(nni_alloc(SIZE_MAX));
    ck_assert_ptr_null(nni_alloc_array(SIZE_MAX / 2, 3));
    at = nni_alloc(8);
    memcpy(at, "1234567", 8);
    at = nni_grow(at, 8, 5000000);
    ck_assert_str_eq(at, "1234567");
    /* On failure the old block is still there. */
    fail_at = calls;
    ck_assert_ptr_null(nni_grow(at, 8, 16));
    ck_assert_str_eq(at, "1234567");
    copy = nni_strdup(at);
    ck_assert_str_eq(copy, at);
    nni_free(copy);
    nni_free(at);
    nni_free(NULL);
    ck_assert_int_eq(live, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("seam");
    TCase *t = tcase_create("seam");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, writes);
    tcase_add_test(t, order);
    tcase_add_test(t, folders_that_cannot_be_synced);
    tcase_add_test(t, old_or_new);
    tcase_add_test(t, abandoned);
    tcase_add_test(t, temporaries);
    tcase_add_test(t, no_such_folder);
    tcase_add_test(t, reads);
    tcase_add_test(t, reads_fail);
    tcase_add_test(t, partial_writes);
    tcase_add_test(t, memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
