/* SPDX-License-Identifier: MIT
 *
 * Predictions as files. A competition compares a submission with its own template byte by byte or nearly so,
 * so the template is not parsed into a table and printed again: it is kept as it came, and only the bytes of
 * the answers are replaced.
 */
#include "data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const char *id;     /* decoded */
    size_t answer, end; /* bytes of the answer in the text, without its quotes */
};

struct nn_template {
    nni_arena arena;
    char *file, *text;
    size_t size, room;
    struct entry *entry;
    int64_t rows;
    const char **missing_id; /* lists of the last report */
    int64_t *extra_index;
};

void nn_template_free(nn_template *t)
{
    if (!t)
        return;
    nni_arena_free(&t->arena);
    nni_free(t->text);
    nni_free(t->entry);
    nni_free(t->missing_id);
    nni_free(t->extra_index);
    nni_free(t);
}

/* ------------------------------------------------------------------------------------- reading */

static int parse(nn_template *t, nn_message *why)
{
    static const char *const names[2] = { "ImageId", "answer" };
    nni_csv c = {
        .file = t->file, .columns = "ImageId and answer", .text = t->text, .size = t->size, .why = why
    };
    int rc = nni_csv_begin(&c, names);

    while (!rc && nni_csv_more(&c)) {
        int64_t line = c.line;
        struct entry *grown;
        size_t begin[2], end[2];

        rc = nni_csv_row(&c, begin, end);
        if (!rc && begin[0] == end[0])
            rc = nni_csv_fail(&c, line, "the ImageId is empty");
        if (rc)
            break;
        grown = nni_one_more(t->entry, (size_t)t->rows, &t->room, sizeof *grown);
        if (!grown)
            return NN_ENOMEM;
        t->entry = grown;
        t->entry[t->rows] = (struct entry){ .id = nni_csv_text(&c, &t->arena, begin[0], end[0]),
                                            .answer = begin[1],
                                            .end = end[1] };
        if (!t->entry[t->rows++].id)
            return NN_ENOMEM;
    }
    return rc;
}

int nn_template_read(nn_template **out, const char *file, nn_message *why)
{
    nn_template *t;
    void *text;
    int rc;

    if (!out || !file)
        return nni_null(why, __func__, "out and file");
    *out = NULL;
    t = nni_alloc_zero(sizeof *t);
    if (!t)
        return nni_fail(why, NN_ENOMEM, "%s: no memory", file);
    rc = nni_read_file(file, NNI_LIST_BYTES, &text, &t->size, why);
    if (rc) {
        nni_free(t);
        return rc;
    }
    t->text = text;
    t->file = nni_arena_text(&t->arena, file);
    rc = t->file ? parse(t, why) : NN_ENOMEM;
    if (rc == NN_ENOMEM)
        (void)nni_fail(why, rc, "%s: no memory for its rows", file);
    if (rc) {
        nn_template_free(t);
        return rc;
    }
    *out = t;
    return NN_OK;
}

/* ------------------------------------------------------------------------------------ matching */

/* A list of predictions sorted by some part of their path. */
struct key {
    const char *at;
    size_t size;
    int64_t prediction;
};

enum { BY_PATH, BY_NAME, BY_STEM, KEYS };

static int by_key(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    size_t n = a->size < b->size ? a->size : b->size;
    int order = n ? memcmp(a->at, b->at, n) : 0;

    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static struct key key_of(const char *path, int kind)
{
    const char *slash = kind == BY_PATH ? NULL : strrchr(path, '/');
    struct key k = { .at = slash ? slash + 1 : path };

    k.size = strlen(k.at) - (kind == BY_STEM ? nni_image_extension(k.at) : 0);
    return k;
}

/* Predictions whose key equals `wanted`: how many (1 stands for 1, 2 for more), and the first. */
static int look_up(const struct key *keys, int64_t n, struct key wanted, int64_t *first)
{
    int64_t low = 0, high = n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (by_key(&keys[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || by_key(&keys[low], &wanted) != 0)
        return 0;
    *first = keys[low].prediction;
    return low + 1 < n && !by_key(&keys[low + 1], &wanted) ? 2 : 1;
}

/* Into match[row] the prediction that the row means: an index, -1 for none, -2 for several. */
static int match_rows(const nn_template *t, const nn_prediction *p, int64_t n, int64_t *match)
{
    struct key *keys = nni_alloc_array((size_t)n, sizeof *keys);

    if (!keys)
        return NN_ENOMEM;
    for (int64_t row = 0; row < t->rows; row++)
        match[row] = -1;
    for (int kind = 0; kind < KEYS; kind++) {
        for (int64_t i = 0; i < n; i++) {
            keys[i] = key_of(p[i].path, kind);
            keys[i].prediction = i;
        }
        if (n)
            qsort(keys, (size_t)n, sizeof *keys, by_key);
        for (int64_t row = 0; row < t->rows; row++) {
            /* The id itself is a path, a file name or a stem, so only its extension may need cutting. */
            struct key wanted = { .at = t->entry[row].id, .size = strlen(t->entry[row].id) };
            int64_t first;
            int found;

            if (match[row] != -1)
                continue;
            if (kind == BY_STEM)
                wanted.size -= nni_image_extension(wanted.at);
            found = look_up(keys, n, wanted, &first);
            if (found)
                match[row] = found == 1 ? first : -2;
        }
    }
    nni_free(keys);
    return NN_OK;
}

/* ------------------------------------------------------------------------------------- writing */

static int fill_report(nn_template *t, const nn_prediction *p, int64_t n, const int64_t *match,
                       nn_template_report *report)
{
    nn_template_report r = { .rows = t->rows };
    bool *used = nni_alloc_array((size_t)n, sizeof *used);

    nni_free(t->missing_id);
    nni_free(t->extra_index);
    t->missing_id = nni_alloc_array((size_t)t->rows, sizeof *t->missing_id);
    t->extra_index = nni_alloc_array((size_t)n, sizeof *t->extra_index);
    if (!used || !t->missing_id || !t->extra_index) {
        nni_free(used);
        return NN_ENOMEM;
    }
    for (int64_t row = 0; row < t->rows; row++) {
        if (match[row] >= 0)
            used[match[row]] = true;
        if (match[row] >= 0 && !isnan(p[match[row]].probability_fake)) {
            r.answered++;
        } else {
            t->missing_id[r.missing++] = t->entry[row].id;
            r.ambiguous += match[row] == -2;
        }
    }
    for (int64_t i = 0; i < n; i++)
        if (!used[i])
            t->extra_index[r.extra++] = i;
    nni_free(used);
    r.missing_id = t->missing_id;
    r.extra_index = t->extra_index;
    *report = r;
    return NN_OK;
}

static void put_answer(nni_buffer *b, const nn_prediction *p, bool probabilities)
{
    char number[32];

    if (probabilities)
        nni_buffer_text(b, nn_csv_number(number, p->probability_fake));
    else
        nni_buffer_text(b, p->label ? "1" : "0");
}

int nn_template_write(nn_template *t, const char *file, const nn_prediction *p, int64_t n,
                      const nn_template_opts *opts, nn_template_report *report, nn_message *why)
{
    static const nn_template_opts none = { 0 };
    nn_template_report unread;
    nni_buffer b = { 0 };
    int64_t *match;
    size_t kept = 0;
    int rc;

    if (!t || !file || n < 0 || (n && !p))
        return nni_null(why, __func__, "the template, file and predictions");
    opts = opts ? opts : &none;
    if (opts->fill && strpbrk(opts->fill, ",\"\r\n"))
        return nni_fail(why, NN_EINVAL,
                        "the answer of missing images may not hold commas, quotes or line ends");
    match = nni_alloc_array((size_t)t->rows, sizeof *match);
    rc = match ? match_rows(t, p, n, match) : NN_ENOMEM;
    if (!rc)
        rc = fill_report(t, p, n, match, report ? report : &unread);
    if (rc) {
        nni_free(match);
        return nni_fail(why, rc, "%s: no memory to match %lld images", t->file, (long long)n);
    }
    for (int64_t row = 0; row < t->rows; row++) {
        const nn_prediction *answer = match[row] >= 0 ? &p[match[row]] : NULL;

        nni_buffer_put(&b, t->text + kept, t->entry[row].answer - kept);
        kept = t->entry[row].end;
        if (answer && !isnan(answer->probability_fake))
            put_answer(&b, answer, opts->probabilities);
        else if (opts->fill)
            nni_buffer_text(&b, opts->fill);
    }
    nni_buffer_put(&b, t->text + kept, t->size - kept);
    nni_free(match);
    return nni_buffer_save(&b, file, why);
}

int nn_predictions_write(const char *file, const nn_prediction *p, int64_t n, nn_message *why)
{
    nni_buffer b = { 0 };
    char number[32];

    if (!file || n < 0 || (n && !p))
        return nni_null(why, __func__, "file and predictions");
    nni_buffer_text(&b, "path,label,probability_fake\n");
    for (int64_t i = 0; i < n; i++) {
        nni_buffer_csv_field(&b, p[i].path);
        if (isnan(p[i].probability_fake)) {
            nni_buffer_text(&b, ",,\n");
            continue;
        }
        nni_buffer_text(&b, p[i].label ? ",1," : ",0,");
        nni_buffer_text(&b, nn_csv_number(number, p[i].probability_fake));
        nni_buffer_text(&b, "\n");
    }
    return nni_buffer_save(&b, file, why);
}
