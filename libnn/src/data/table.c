/* SPDX-License-Identifier: MIT
 *
 * Labelled images that a table names instead of folders: for collections whose folders mean something else,
 * and for choosing part of one.
 */
#include "data.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* 0, real, 1 or fake. */
static int label_of(const char *text, size_t size)
{
    static const char *const names[2][2] = { { "0", "real" }, { "1", "fake" } };

    for (int label = 0; label < 2; label++)
        for (int i = 0; i < 2; i++)
            if (strlen(names[label][i]) == size && !strncasecmp(text, names[label][i], size))
                return label;
    return -1;
}

/* One row to a sample. A file that is not there is found out where files are opened, like any other that
 * cannot be used. */
static int take_row(nn_dataset *d, nni_csv *c, const char *folder, int split)
{
    nni_arena *keep = &d->memory->arena;
    nn_sample s = { .source = d->sources - 1, .split = (int16_t)split };
    int64_t line = c->line;
    size_t begin[2], end[2];
    struct nni_stat st;
    int rc = nni_csv_row(c, begin, end), label;

    if (rc)
        return rc;
    label = label_of(c->text + begin[1], end[1] - begin[1]);
    if (begin[0] == end[0])
        return nni_csv_fail(c, line, "the path is empty");
    if (label < 0)
        return nni_csv_fail(c, line, "the label is none of 0, real, 1, fake");
    s.label = (int16_t)label;
    s.path = nni_csv_text(c, keep, begin[0], end[0]);
    if (!s.path)
        return NN_ENOMEM;
    s.file = s.path[0] == '/' ? s.path : nni_arena_printf(keep, "%s/%s", folder, s.path);
    if (!s.file)
        return NN_ENOMEM;
    if (!nni_seam.stat(s.file, &st))
        nni_sample_stat(&s, &st);
    return nni_dataset_new_sample(d, s);
}

static int by_place(const void *left, const void *right)
{
    const nn_sample *a = *(const nn_sample *const *)left, *b = *(const nn_sample *const *)right;

    for (int i = 0; i < 2; i++)
        if (a->place[i] != b->place[i])
            return (a->place[i] > b->place[i]) - (a->place[i] < b->place[i]);
    return (a > b) - (a < b);
}

/* No file is listed twice: it would count twice, and whoever lists one to train on and to judge by does not
 * mean it. Links, "./" and absolute paths are other names of one file. */
static int check_places(const nn_dataset *d, const char *file, nn_message *why)
{
    const nn_sample **s = nni_alloc_array((size_t)d->samples, sizeof *s), *twice = NULL, *first = NULL;
    int64_t n = 0, rows = 0;

    if (!s)
        return NN_ENOMEM;
    for (int64_t i = 0; i < d->samples; i++)
        if (d->sample[i].place[0] || d->sample[i].place[1])
            s[n++] = &d->sample[i];
    if (n)
        qsort(s, (size_t)n, sizeof *s, by_place);
    for (int64_t i = n - 1; i > 0; i--) {
        if (s[i - 1]->place[0] != s[i]->place[0] || s[i - 1]->place[1] != s[i]->place[1])
            continue;
        first = s[i - 1];
        twice = s[i];
        rows++;
    }
    nni_free(s);
    if (!twice)
        return NN_OK;
    return nni_fail(why, NN_EFORMAT, "%s: %s and %s are one file, listed twice %s (%lld such)", file,
                    first->path, twice->path,
                    first->source == twice->source ? "in one table" : "in two sources", (long long)rows);
}

int nn_dataset_add_table(nn_dataset *d, const char *file, int split, nn_message *why)
{
    static const char *const names[2] = { "path", "label" };
    int64_t samples, problems;
    int32_t sources;
    nni_csv c = { .file = file, .columns = "path and label", .why = why };
    char absolute[PATH_MAX], *slash;
    void *text = NULL;
    int rc;

    if (!d || !file)
        return nni_null(why, __func__, "the dataset and file");
    samples = d->samples;
    problems = d->problems;
    sources = d->sources;
    if (split < 0 || split >= NN_SPLITS)
        return nni_fail(why, NN_EINVAL, "%s: %d is no split", file, split);
    if (nni_seam.realpath(file, absolute))
        return nni_fail(why, errno == ENOENT ? NN_ENOTFOUND : NN_EIO, "%s: %s", file, strerror(errno));
    rc = nni_read_file(absolute, NNI_LIST_BYTES, &text, &c.size, why);
    if (rc)
        return rc;
    slash = strrchr(absolute, '/');
    c.text = text;
    rc = nni_csv_begin(&c, names);
    if (!rc) {
        *(slash == absolute ? slash + 1 : slash) = 0;
        rc = nni_dataset_new_source(d, absolute);
    }
    while (!rc && nni_csv_more(&c))
        rc = take_row(d, &c, absolute, split);
    if (!rc && d->samples == samples)
        rc = nni_fail(why, NN_EFORMAT, "%s: no rows below the header", file);
    if (!rc)
        nni_dataset_sort(d, samples);
    for (int64_t i = samples + 1; !rc && i < d->samples; i++)
        if (!strcmp(d->sample[i - 1].path, d->sample[i].path))
            rc = nni_fail(why, NN_EFORMAT, "%s: %s is listed twice", file, d->sample[i].path);
    if (!rc)
        rc = check_places(d, file, why);
    nni_free(text);
    if (rc) {
        d->samples = samples;
        d->problems = problems;
        d->sources = sources;
        return rc == NN_ENOMEM ? nni_fail(why, rc, "%s: no memory for its rows", file) : rc;
    }
    nni_dataset_count(d);
    return NN_OK;
}
