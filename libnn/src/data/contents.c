/* SPDX-License-Identifier: MIT
 *
 * Images by what is in them. A score means something only if no validation image was trained on, under
 * whatever name, so contents are compared by their SHA-256.
 */
#include "data.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

/* Takes sample i out; `kind`, `text` go into the report, `reason` to the sample. */
static int drop(nn_dataset *d, int64_t i, nn_problem_kind kind, const char *reason)
{
    char *copy = nni_arena_text(&d->memory->arena, reason);

    if (!copy || nni_dataset_problem(d, kind, d->sample[i].file, "%s", reason))
        return NN_ENOMEM;
    d->sample[i].excluded = copy;
    return NN_OK;
}

struct hashing {
    nn_dataset *d;
    int64_t *pending;
    struct verdict {
        int rc;
        char *text; /* NULL when even that found no memory */
    } * verdict;
};

static void hash_one(void *context, int64_t tile, int lane)
{
    struct hashing *h = context;
    nn_sample *s = &h->d->sample[h->pending[tile]];
    nn_message why = { .text = "" };
    int rc = nni_sha256_file(s->file, s->sha256, &why);

    (void)lane;
    if (rc) {
        s->sha256[0] = 0;
        h->verdict[tile] = (struct verdict){ .rc = rc, .text = nni_strdup(why.text) };
    }
}

int nni_dataset_hash(nn_dataset *d, nni_pool *pool, nn_message *why)
{
    struct hashing h = { .d = d };
    int64_t n = 0;
    int rc = NN_OK;

    h.pending = nni_alloc_array((size_t)d->samples, sizeof *h.pending);
    h.verdict = nni_alloc_array((size_t)d->samples, sizeof *h.verdict);
    if (!h.pending || !h.verdict)
        rc = nni_no_memory(why, "the hashes of the images");
    for (int64_t i = 0; !rc && i < d->samples; i++)
        if (!d->sample[i].excluded && !d->sample[i].sha256[0])
            h.pending[n++] = i;
    if (!rc)
        nni_pool_run(pool, n, hash_one, &h);
    for (int64_t i = 0; !rc && i < n; i++) {
        if (!h.verdict[i].rc)
            continue;
        if (h.verdict[i].rc == NN_ENOMEM || !h.verdict[i].text ||
            nni_dataset_exclude(d, h.pending[i], h.verdict[i].text))
            rc = nni_no_memory(why, "the hashes of the images");
    }
    for (int64_t i = 0; h.verdict && i < n; i++)
        nni_free(h.verdict[i].text);
    nni_free(h.pending);
    nni_free(h.verdict);
    return rc;
}

int nn_dataset_hash(nn_dataset *d, int threads, nn_message *why)
{
    nni_pool *pool;
    int rc;

    if (!d)
        return nni_null(why, __func__, "the dataset");
    if (!threads)
        threads = nni_processors();
    rc = nni_pool_new(&pool, threads);
    if (rc)
        return nni_fail(why, rc, "cannot start %d threads to hash images", threads);
    rc = nni_dataset_hash(d, pool, why);
    nni_pool_free(pool);
    return rc;
}

static int by_content(const void *left, const void *right)
{
    const struct nni_content *a = left, *b = right;
    int order = strcmp(a->sha256, b->sha256);

    return order ? order : (a->sample > b->sample) - (a->sample < b->sample);
}

struct nni_content *nni_contents(const nn_dataset *d, int64_t *count)
{
    struct nni_content *c = nni_alloc_array((size_t)d->samples, sizeof *c);

    *count = 0;
    for (int64_t i = 0; c && i < d->samples; i++)
        if (!d->sample[i].excluded && d->sample[i].sha256[0])
            c[(*count)++] = (struct nni_content){ .sha256 = d->sample[i].sha256, .sample = i };
    if (c && *count)
        qsort(c, (size_t)*count, sizeof *c, by_content);
    return c;
}

int64_t nni_contents_end(const struct nni_content *c, int64_t at, int64_t n)
{
    int64_t end = at + 1;

    while (end < n && !strcmp(c[end].sha256, c[at].sha256))
        end++;
    return end;
}

static const char *same_as(nn_dataset *d, const nn_sample *other)
{
    return nni_arena_printf(&d->memory->arena, "same content as %s",
                            other->source ? other->file : other->path);
}

/* First sample of the group's first source that takes part and lies in `split`; NULL if none. Later sources
 * do not count: their copies go anyway. */
static const nn_sample *first_in(const nn_dataset *d, const struct nni_content *group, int64_t n, int split)
{
    for (int64_t i = 0; i < n; i++) {
        const nn_sample *s = &d->sample[group[i].sample];

        if (!s->excluded && s->split == split && s->source == d->sample[group[0].sample].source)
            return s;
    }
    return NULL;
}

/* The group is in dataset order, so an earlier source stands before a later one. */
static int judge_group(nn_dataset *d, const struct nni_content *group, int64_t n)
{
    const nn_sample *first = &d->sample[group[0].sample], *valid, *test;
    const nn_sample *of_label[2] = { NULL, NULL };
    int rc = NN_OK;

    for (int64_t i = 0; i < n; i++) {
        const nn_sample *s = &d->sample[group[i].sample];

        if (s->label < 2 && !of_label[s->label])
            of_label[s->label] = s;
    }
    if (of_label[0] && of_label[1])
        rc = nni_dataset_problem(d, NN_PROBLEM_CONFLICT, of_label[1]->file,
                                 "labelled fake, but %s is labelled real", of_label[0]->file);
    valid = first_in(d, group, n, NN_SPLIT_VALID);
    test = first_in(d, group, n, NN_SPLIT_TEST);
    for (int64_t i = 0; !rc && i < n; i++) {
        const int64_t at = group[i].sample;
        const nn_sample *s = &d->sample[at], *other = NULL;
        nn_problem_kind kind = NN_PROBLEM_DUPLICATE;
        const char *text;
        bool out = true;

        if (s->source != first->source) {
            other = first;
        } else if (s->split == NN_SPLIT_TRAIN && valid) {
            other = valid;
            kind = NN_PROBLEM_LEAK;
        } else if (s->split != NN_SPLIT_TEST && test) {
            other = test;
            kind = NN_PROBLEM_LEAK;
            out = false;
        } else if (s != first && s->split == first->split) {
            other = first;
            out = false;
        }
        if (!other)
            continue;
        text = same_as(d, other);
        if (!text)
            return NN_ENOMEM;
        rc = out ? drop(d, at, kind, text) : nni_dataset_problem(d, kind, s->file, "%s", text);
    }
    return rc;
}

int nn_dataset_deduplicate(nn_dataset *d, nn_message *why)
{
    int64_t n = 0, end;
    struct nni_content *c;
    int rc;

    if (!d)
        return nni_null(why, __func__, "the dataset");
    c = nni_contents(d, &n);
    rc = c ? NN_OK : NN_ENOMEM;
    for (int64_t i = 0; !rc && i < n; i = end) {
        end = nni_contents_end(c, i, n);
        if (end - i > 1)
            rc = judge_group(d, c + i, end - i);
    }
    nni_free(c);
    nni_dataset_count(d);
    return rc ? nni_no_memory(why, "the comparison of the images") : NN_OK;
}
