/* SPDX-License-Identifier: MIT
 *
 * The list of samples, sources and problems that everything else in this folder fills and judges.
 */
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const split_names[NN_SPLITS] = { "train", "valid", "test" };

const char *nn_split_name(int split) { return split >= 0 && split < NN_SPLITS ? split_names[split] : "?"; }

int nn_split_named(const char *name)
{
    if (!name)
        return -1;
    for (int i = 0; i < NN_SPLITS; i++)
        if (!strcasecmp(name, split_names[i]))
            return i;
    return strcasecmp(name, "val") ? -1 : NN_SPLIT_VALID;
}

const char *nn_problem_name(nn_problem_kind kind)
{
    static const char *const name[NN_PROBLEMS] = { [NN_PROBLEM_FOLDER] = "folder ignored",
                                                   [NN_PROBLEM_UNREADABLE] = "cannot be read",
                                                   [NN_PROBLEM_VISITED] = "visited twice",
                                                   [NN_PROBLEM_SPECIAL] = "not a regular file",
                                                   [NN_PROBLEM_DEEP] = "nested too deep",
                                                   [NN_PROBLEM_EXCLUDED] = "image excluded",
                                                   [NN_PROBLEM_DUPLICATE] = "duplicate content",
                                                   [NN_PROBLEM_LEAK] = "also in another split",
                                                   [NN_PROBLEM_CONFLICT] = "same content in both classes" };

    return (unsigned)kind < NN_PROBLEMS ? name[kind] : "?";
}

int nn_dataset_new(nn_dataset **out)
{
    nn_dataset *d;

    if (!out)
        return NN_EINVAL;
    *out = NULL;
    d = nni_alloc_zero(sizeof *d);
    if (d)
        d->memory = nni_alloc_zero(sizeof *d->memory);
    if (!d || !d->memory) {
        nni_free(d);
        return NN_ENOMEM;
    }
    *out = d;
    return NN_OK;
}

void nn_dataset_free(nn_dataset *d)
{
    if (!d)
        return;
    nni_arena_free(&d->memory->arena);
    nni_free(d->memory);
    nni_free(d->sample);
    nni_free(d->problem);
    nni_free(d->source);
    nni_free(d);
}

int nni_dataset_problem(nn_dataset *d, nn_problem_kind kind, const char *file, const char *format, ...)
{
    nn_problem p = { .kind = kind, .file = nni_arena_text(&d->memory->arena, file) };
    nn_problem *grown =
        nni_one_more(d->problem, (size_t)d->problems, &d->memory->problem_room, sizeof *grown);
    va_list args;
    char *text = NULL;
    int n;

    if (grown)
        d->problem = grown;
    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0)
        text = nni_arena_take(&d->memory->arena, (size_t)n + 1);
    if (!grown || !p.file || !text)
        return NN_ENOMEM;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    p.text = text;
    d->problem[d->problems++] = p;
    return NN_OK;
}

int nni_no_memory(nn_message *why, const char *what)
{
    return nni_fail(why, NN_ENOMEM, "no memory for %s", what);
}

int nni_dataset_new_source(nn_dataset *d, const char *root)
{
    nn_source s = { .root = nni_arena_text(&d->memory->arena, root) };
    nn_source *grown = nni_one_more(d->source, (size_t)d->sources, &d->memory->source_room, sizeof *grown);

    if (grown)
        d->source = grown;
    if (!grown || !s.root)
        return NN_ENOMEM;
    d->source[d->sources++] = s;
    return NN_OK;
}

int nni_dataset_new_sample(nn_dataset *d, nn_sample s)
{
    nn_sample *grown = nni_one_more(d->sample, (size_t)d->samples, &d->memory->sample_room, sizeof *grown);

    if (!grown)
        return NN_ENOMEM;
    d->sample = grown;
    d->sample[d->samples++] = s;
    return NN_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const nn_sample *)a)->path, ((const nn_sample *)b)->path);
}

void nni_dataset_sort(nn_dataset *d, int64_t first)
{
    if (d->samples > first)
        qsort(d->sample + first, (size_t)(d->samples - first), sizeof *d->sample, by_path);
}

void nni_dataset_count(nn_dataset *d)
{
    memset(d->count, 0, sizeof d->count);
    d->excluded = 0;
    for (int64_t i = 0; i < d->samples; i++) {
        if (d->sample[i].excluded)
            d->excluded++;
        else
            d->count[d->sample[i].split][d->sample[i].label]++;
    }
}

int nni_dataset_exclude(nn_dataset *d, int64_t i, const char *reason)
{
    char *copy;
    int rc;

    if (i < 0 || i >= d->samples)
        return NN_EINVAL;
    if (d->sample[i].excluded)
        return NN_OK;
    copy = nni_arena_text(&d->memory->arena, reason);
    if (!copy)
        return NN_ENOMEM;
    rc = nni_dataset_problem(d, NN_PROBLEM_EXCLUDED, d->sample[i].file, "%s", reason);
    if (rc)
        return rc;
    d->sample[i].excluded = copy;
    d->count[d->sample[i].split][d->sample[i].label]--;
    d->excluded++;
    d->bad++;
    return NN_OK;
}

int nn_dataset_check(const nn_dataset *d, int split, nn_message *why)
{
    const int64_t *n;
    const char *root;

    if (!d)
        return nni_null(why, __func__, "the dataset");
    root = d->sources ? d->source[0].root : "";
    if (split < 0 || split >= NN_SPLITS)
        return nni_fail(why, NN_EINVAL, "split %d does not exist", split);
    n = d->count[split];
    if (n[NN_LABEL_REAL] && n[NN_LABEL_FAKE])
        return NN_OK;
    if (split == NN_SPLIT_VALID && !n[NN_LABEL_REAL] && !n[NN_LABEL_FAKE])
        return nni_fail(why, NN_EFORMAT,
                        "%s: no validation images (train has %lld real and %lld fake): add the folders "
                        "valid/real_images and valid/fake_images, or have a part of train split off",
                        root, (long long)d->count[NN_SPLIT_TRAIN][NN_LABEL_REAL],
                        (long long)d->count[NN_SPLIT_TRAIN][NN_LABEL_FAKE]);
    return nni_fail(why, NN_EFORMAT,
                    "%s: %s has %lld real and %lld fake usable images (%lld excluded in all): both classes "
                    "are needed; put .jpg, .jpeg or .png files into %s/real_images and %s/fake_images",
                    root, nn_split_name(split), (long long)n[NN_LABEL_REAL], (long long)n[NN_LABEL_FAKE],
                    (long long)d->excluded, nn_split_name(split), nn_split_name(split));
}
