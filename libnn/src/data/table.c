/* SPDX-License-Identifier: MIT
 *
 * Labelled images that a table names instead of folders: for collections whose folders mean something else,
 * and for choosing part of one.
 */
#include "data.h"

#include <errno.h>
#include <limits.h>
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
        s.size = st.size;
    return nni_dataset_new_sample(d, s);
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
