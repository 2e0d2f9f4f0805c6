/* SPDX-License-Identifier: MIT
 *
 * A temporary folder that a test fills with files and links, and a count of the library's
 * allocations, folders and files, any of which can be made to fail.
 */
#ifndef TESTS_DATA_TREE_H
#define TESTS_DATA_TREE_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw */
#endif

#include "data/data.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <nn/data.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree[64];
static nn_message why;
static struct nni_seam real_seam;

/* Calls are numbered from 1; number fail_at fails. Not for several threads. */
static struct {
    int allocs, fail_alloc, live;
    int folders, fail_folder, open_folders;
    int names, fail_name;
    int error;           /* errno of the failing call */
    const char *denied;  /* a folder that opendir refuses: root may read them all */
    const char *touched; /* what open and opendir must never see */
} seen;

static void *seam_alloc(size_t size)
{
    void *memory = ++seen.allocs == seen.fail_alloc ? NULL : real_seam.alloc(size);

    seen.live += memory != NULL;
    return memory;
}

static void seam_free(void *memory)
{
    seen.live--;
    real_seam.free(memory);
}

static void *seam_opendir(const char *path)
{
    void *folder;

    ck_assert(!seen.touched || !strstr(path, seen.touched));
    if (++seen.folders == seen.fail_folder || (seen.denied && strstr(path, seen.denied))) {
        errno = seen.denied ? EACCES : seen.error;
        return NULL;
    }
    folder = real_seam.opendir(path);
    seen.open_folders += folder != NULL;
    return folder;
}

static const char *seam_readdir(void *folder)
{
    if (++seen.names == seen.fail_name) {
        errno = seen.error;
        return NULL;
    }
    return real_seam.readdir(folder);
}

static int seam_closedir(void *folder)
{
    seen.open_folders--;
    return real_seam.closedir(folder);
}

static int seam_open(const char *path, int flags, int mode)
{
    ck_assert(!seen.touched || !strstr(path, seen.touched));
    return real_seam.open(path, flags, mode);
}

static void tree_setup(void)
{
    char absolute[4096];

    strcpy(tree, "/tmp/nn-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(tree));
    ck_assert_ptr_nonnull(realpath(tree, absolute));
    ck_assert_uint_lt(strlen(absolute), sizeof tree);
    strcpy(tree, absolute);
    memset(&seen, 0, sizeof seen);
    real_seam = nni_seam;
    nni_seam.opendir = seam_opendir;
    nni_seam.readdir = seam_readdir;
    nni_seam.closedir = seam_closedir;
    nni_seam.open = seam_open;
}

/* Allocations are counted from here on. */
static inline void count_memory(void)
{
    seen.allocs = seen.live = 0;
    nni_seam.alloc = seam_alloc;
    nni_seam.free = seam_free;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void tree_teardown(void)
{
    nni_seam = real_seam;
    ck_assert_int_eq(seen.open_folders, 0);
    (void)nftw(tree, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* tree/path, in one of a few static buffers. */
static const char *in_tree(const char *path)
{
    static char buffer[8][8192];
    static int turn;
    char *out = buffer[turn++ % 8];

    (void)snprintf(out, sizeof buffer[0], *path ? "%s/%s" : "%s%s", tree, path);
    return out;
}

static inline void make_folders(const char *path)
{
    char copy[8192];

    (void)snprintf(copy, sizeof copy, "%s/", in_tree(path));
    for (char *c = copy + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            ck_assert(!mkdir(copy, 0777) || errno == EEXIST);
            *c = '/';
        }
}

/* A file with these bytes; its folders are made. */
static inline void put_bytes(const char *path, const void *data, size_t size)
{
    const char *slash = strrchr(path, '/');
    char folder[8192];
    FILE *f;

    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    make_folders(folder);
    f = fopen(in_tree(path), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static inline void put(const char *path, const char *text) { put_bytes(path, text, strlen(text)); }

/* The file's bytes and a zero; freed by the caller. */
static inline char *get_bytes(const char *path, size_t *size)
{
    FILE *f = fopen(in_tree(path), "rb");
    char *data = malloc(1 << 20);

    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(data);
    *size = fread(data, 1, (1 << 20) - 1, f);
    data[*size] = 0;
    (void)fclose(f);
    return data;
}

/* Sample of that relative path, or NULL. */
static inline nn_sample *sample_of(const nn_dataset *d, const char *path)
{
    for (int64_t i = 0; i < d->samples; i++)
        if (!strcmp(d->sample[i].path, path))
            return &d->sample[i];
    return NULL;
}

/* Number of problems of a kind whose file ends so. */
static inline int problems_of(const nn_dataset *d, nn_problem_kind kind, const char *end)
{
    int n = 0;

    for (int64_t i = 0; i < d->problems; i++) {
        size_t length = strlen(d->problem[i].file), tail = strlen(end);

        n += d->problem[i].kind == kind && length >= tail && !strcmp(d->problem[i].file + length - tail, end);
    }
    return n;
}

static inline nn_dataset *new_dataset(void)
{
    nn_dataset *d = NULL;

    ck_assert_int_eq(nn_dataset_new(&d), NN_OK);
    return d;
}

/* The data set below tree/path, which must load. */
static inline nn_dataset *load(const char *path)
{
    nn_dataset *d = new_dataset();

    why.text[0] = 0;
    ck_assert_msg(nn_dataset_add(d, in_tree(path), &why) == NN_OK, "%s", why.text);
    return d;
}

#endif
