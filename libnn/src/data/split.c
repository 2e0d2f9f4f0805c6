/* SPDX-License-Identifier: MIT
 *
 * Drawing validation images from those to train on, in the order of a key of each path, so that no folder's
 * order decides; copies of one content go together.
 */
#include "data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct drawn {
    uint64_t key;
    const char *path;
    int64_t sample;
};

static int by_key(const void *left, const void *right)
{
    const struct drawn *a = left, *b = right;

    return a->key != b->key ? (a->key > b->key) - (a->key < b->key) : strcmp(a->path, b->path);
}

static uint64_t key_of(uint64_t seed, const char *path)
{
    static const char name[] = "valid split";
    nni_stream stream = nni_stream_of(seed, nni_hash(name, sizeof name - 1, NNI_HASH_BASIS));
    uint32_t word[4];

    nni_stream_at(&stream, nni_hash(path, strlen(path), NNI_HASH_BASIS), 0, 0, word);
    return (uint64_t)word[1] << 32 | word[0];
}

static bool may_move(const nn_sample *s)
{
    return !s->excluded && !s->source && s->split == NN_SPLIT_TRAIN && s->label < 2;
}

int nn_dataset_split(nn_dataset *d, double fraction, uint64_t seed, nn_message *why)
{
    struct drawn *drawn = NULL;
    struct nni_content *c = NULL;
    int64_t *leader = NULL, groups = 0, n[2] = { 0, 0 }, end;
    bool *moves = NULL;
    int rc = NN_OK;

    if (!d)
        return nni_null(why, __func__, "the dataset");
    if (!(fraction > 0 && fraction < 1))
        return nni_fail(why, NN_EINVAL,
                        "the part of train that becomes valid must lie between 0 and 1, not %g", fraction);
    if (d->count[NN_SPLIT_VALID][NN_LABEL_REAL] || d->count[NN_SPLIT_VALID][NN_LABEL_FAKE])
        return nni_fail(why, NN_ESTATE, "there already are validation images");
    drawn = nni_alloc_array((size_t)d->samples, sizeof *drawn);
    leader = nni_alloc_array((size_t)d->samples, sizeof *leader);
    moves = nni_alloc_array((size_t)d->samples, sizeof *moves);
    c = nni_contents(d, &groups);
    if (!drawn || !leader || !moves || !c) {
        rc = nni_no_memory(why, "the split");
        goto done;
    }
    /* Equal contents follow the first of them, their leader; only leaders are drawn. */
    for (int64_t i = 0; i < d->samples; i++)
        leader[i] = i;
    for (int64_t i = 0; i < groups; i = end) {
        int64_t first = -1;

        end = nni_contents_end(c, i, groups);
        for (int64_t j = i; j < end; j++) {
            if (!may_move(&d->sample[c[j].sample]))
                continue;
            first = first < 0 ? c[j].sample : first;
            leader[c[j].sample] = first;
        }
    }
    for (int label = 0; label < 2; label++) {
        int64_t take;

        for (int64_t i = 0; i < d->samples; i++) {
            const nn_sample *s = &d->sample[i];

            if (may_move(s) && s->label == label && leader[i] == i)
                drawn[n[label]++] =
                    (struct drawn){ .key = key_of(seed, s->path), .path = s->path, .sample = i };
        }
        if (n[label] < 2) {
            rc = nni_fail(why, NN_EFORMAT,
                          "%s: %lld different %s training images cannot be split: at least 2 are needed",
                          d->sources ? d->source[0].root : "data set", (long long)n[label],
                          label ? "fake" : "real");
            goto done;
        }
        qsort(drawn, (size_t)n[label], sizeof *drawn, by_key);
        take = (int64_t)floor(fraction * (double)n[label] + 0.5);
        take = take < 1 ? 1 : take > n[label] - 1 ? n[label] - 1 : take;
        for (int64_t i = 0; i < take; i++)
            moves[drawn[i].sample] = true;
    }
    for (int64_t i = 0; i < d->samples; i++) {
        nn_sample *s = &d->sample[i];

        if (may_move(s) && moves[leader[i]])
            s->split = NN_SPLIT_VALID;
    }
    nni_dataset_count(d);
done:
    nni_free(drawn);
    nni_free(leader);
    nni_free(moves);
    nni_free(c);
    return rc;
}
