/* SPDX-License-Identifier: MIT
 *
 * Which image is used for what, and remembering it. A score means something only if no validation image was
 * trained on, under whatever name, so contents are compared by their SHA-256; and a run can be repeated only
 * if its split can be written down exactly, so split.tsv holds any file name that a disk can hold.
 */
#include "data.h"
#include "io/io.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "path\tsplit\tlabel\tsha256";

static int no_memory(nn_message *why, const char *what)
{
    return nni_fail(why, NN_ENOMEM, "no memory for %s", what);
}

/* Takes sample i out; `kind`, `text` go into the report, `reason` to the sample. */
static int drop(nn_dataset *d, int64_t i, nn_problem_kind kind, const char *reason)
{
    char *copy = nni_arena_text(&d->memory->arena, reason);

    if (!copy || nni_dataset_problem(d, kind, d->sample[i].file, "%s", reason))
        return NN_ENOMEM;
    d->sample[i].excluded = copy;
    return NN_OK;
}

/* -------------------------------------------------------------------------------------- contents */

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
        rc = no_memory(why, "the hashes of the images");
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
            rc = no_memory(why, "the hashes of the images");
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

struct content {
    const char *sha256;
    int64_t sample;
};

static int by_content(const void *left, const void *right)
{
    const struct content *a = left, *b = right;
    int order = strcmp(a->sha256, b->sha256);

    return order ? order : (a->sample > b->sample) - (a->sample < b->sample);
}

/* Hashed samples that take part, by content, then in dataset order. NULL without memory. */
static struct content *sort_contents(const nn_dataset *d, int64_t *count)
{
    struct content *c = nni_alloc_array((size_t)d->samples, sizeof *c);

    *count = 0;
    for (int64_t i = 0; c && i < d->samples; i++)
        if (!d->sample[i].excluded && d->sample[i].sha256[0])
            c[(*count)++] = (struct content){ .sha256 = d->sample[i].sha256, .sample = i };
    if (c && *count)
        qsort(c, (size_t)*count, sizeof *c, by_content);
    return c;
}

static int64_t end_of_group(const struct content *c, int64_t at, int64_t n)
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
static const nn_sample *first_in(const nn_dataset *d, const struct content *group, int64_t n, int split)
{
    for (int64_t i = 0; i < n; i++) {
        const nn_sample *s = &d->sample[group[i].sample];

        if (!s->excluded && s->split == split && s->source == d->sample[group[0].sample].source)
            return s;
    }
    return NULL;
}

/* The group is in dataset order, so an earlier source stands before a later one. */
static int judge_group(nn_dataset *d, const struct content *group, int64_t n)
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
    struct content *c;
    int rc;

    if (!d)
        return nni_null(why, __func__, "the dataset");
    c = sort_contents(d, &n);
    rc = c ? NN_OK : NN_ENOMEM;
    for (int64_t i = 0; !rc && i < n; i = end) {
        end = end_of_group(c, i, n);
        if (end - i > 1)
            rc = judge_group(d, c + i, end - i);
    }
    nni_free(c);
    nni_dataset_count(d);
    return rc ? no_memory(why, "the comparison of the images") : NN_OK;
}

/* ----------------------------------------------------------------------------------- a new split */

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
    struct content *c = NULL;
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
    c = sort_contents(d, &groups);
    if (!drawn || !leader || !moves || !c) {
        rc = no_memory(why, "the split");
        goto done;
    }
    /* Equal contents follow the first of them, their leader; only leaders are drawn. */
    for (int64_t i = 0; i < d->samples; i++)
        leader[i] = i;
    for (int64_t i = 0; i < groups; i = end) {
        int64_t first = -1;

        end = end_of_group(c, i, groups);
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

/* ------------------------------------------------------------------------------------- split.tsv */

/* Length of the valid UTF-8 sequence of two or more bytes at `s`, 0 if there is none (Unicode 15, table 3-7).
 */
static size_t utf8_length(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
               : (s[0] & 0xf0) == 0xe0        ? 3
               : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                              : 0;

    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < n; i++) {
        if (s[i] < low || s[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return n;
}

static void put_path(nni_buffer *b, const char *path)
{
    const unsigned char *s = (const unsigned char *)path;

    while (*s) {
        size_t n = *s >= 0x20 && *s < 0x7f && *s != '\\' ? 1 : utf8_length(s);
        char escape[8];

        if (n) {
            nni_buffer_put(b, s, n);
            s += n;
            continue;
        }
        switch (*s) {
        case '\\': nni_buffer_text(b, "\\\\"); break;
        case '\t': nni_buffer_text(b, "\\t"); break;
        case '\n': nni_buffer_text(b, "\\n"); break;
        case '\r': nni_buffer_text(b, "\\r"); break;
        default: (void)snprintf(escape, sizeof escape, "\\x%02x", *s); nni_buffer_text(b, escape);
        }
        s++;
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes put_path in place; false if an escape is none of ours. */
static bool take_path(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        int c = (unsigned char)*from;

        if (c == '\\') {
            from++;
            switch (*from) {
            case '\\': c = '\\'; break;
            case 't': c = '\t'; break;
            case 'n': c = '\n'; break;
            case 'r': c = '\r'; break;
            case 'x':
                if (hex_digit(from[1]) < 0 || hex_digit(from[2]) < 0)
                    return false;
                c = hex_digit(from[1]) * 16 + hex_digit(from[2]);
                from += 2;
                if (!c)
                    return false;
                break;
            default: return false;
            }
        }
        *to++ = (char)c;
    }
    *to = 0;
    return to > text;
}

static const char *identity(const nn_sample *s) { return s->source ? s->file : s->path; }

int nn_split_write(const nn_dataset *d, const char *file, nn_message *why)
{
    nni_buffer b = { 0 };

    if (!d || !file)
        return nni_null(why, __func__, "the dataset and file");
    nni_buffer_text(&b, header);
    nni_buffer_text(&b, "\n");
    for (int64_t i = 0; i < d->samples; i++) {
        const nn_sample *s = &d->sample[i];

        if (s->label == NN_LABEL_NONE)
            continue;
        put_path(&b, identity(s));
        nni_buffer_text(&b, "\t");
        nni_buffer_text(&b, s->excluded ? "excluded" : nn_split_name(s->split));
        nni_buffer_text(&b, s->label == NN_LABEL_FAKE ? "\t1\t" : "\t0\t");
        nni_buffer_text(&b, s->sha256);
        nni_buffer_text(&b, "\n");
    }
    return nni_buffer_save(&b, file, why);
}

enum { EXCLUDED = NN_SPLITS };

struct row {
    const char *path, *sha256;
    int split, label;
};

/* Walks through the text of a split file, which it takes apart. */
struct reader {
    const char *file;
    void *text;
    char *at, *end;
    int64_t line;
};

static int reader_fail(const struct reader *r, nn_message *why, const char *what)
{
    return nni_fail(why, NN_EFORMAT, "%s: line %lld: %s", r->file, (long long)r->line, what);
}

/* The next line, without its end, or NULL. */
static char *next_line(struct reader *r)
{
    char *line = r->at, *end;

    if (line >= r->end)
        return NULL;
    end = memchr(line, '\n', (size_t)(r->end - line));
    end = end ? end : r->end;
    r->at = end + 1;
    if (end > line && end[-1] == '\r')
        end[-1] = 0;
    *end = 0;
    r->line++;
    return line;
}

static int64_t lines_of(const struct reader *r)
{
    int64_t lines = 0;

    for (const char *c = r->at; c < r->end; c++)
        lines += *c == '\n';
    return lines;
}

static int reader_open(struct reader *r, const char *file, nn_message *why)
{
    size_t size;
    char *line;
    int rc;

    *r = (struct reader){ .file = file };
    rc = nni_read_file(file, NNI_LIST_BYTES, &r->text, &size, why);
    if (rc)
        return rc;
    r->at = r->text;
    r->end = r->at + size;
    r->at += size >= 3 && !memcmp(r->at, "\xef\xbb\xbf", 3) ? 3 : 0;
    if (size && memchr(r->text, 0, size)) {
        rc = nni_fail(why, NN_EFORMAT, "%s: holds a zero byte, so it is no split file", file);
    } else if (size > NNI_LIST_LINES && lines_of(r) > NNI_LIST_LINES) {
        rc = nni_fail(why, NN_EFORMAT, "%s: more than %d lines", file, NNI_LIST_LINES);
    } else {
        line = next_line(r);
        if (!line || strcmp(line, header) != 0)
            rc = reader_fail(
                r, why, "the header of a split file is expected: path, split, label, sha256, between tabs");
    }
    if (rc)
        nni_free(r->text);
    return rc;
}

static int parse_row(const struct reader *r, char *line, struct row *row, nn_message *why)
{
    char *field[4];
    int n = 0;

    for (char *tab = line; tab && n < 4; n++) {
        field[n] = tab;
        tab = strchr(tab, '\t');
        if (tab)
            *tab++ = 0;
        if (n == 3 && tab)
            return reader_fail(r, why, "more than four fields");
    }
    if (n < 4)
        return reader_fail(r, why, "four fields between tabs are expected");
    if (!take_path(field[0]))
        return reader_fail(r, why, "the path is empty or holds an unknown escape");
    row->path = field[0];
    row->split = strcmp(field[1], "excluded") ? nn_split_named(field[1]) : EXCLUDED;
    if (row->split < 0)
        return reader_fail(r, why, "the split is none of train, valid, test, excluded");
    if (!strcmp(field[2], "0") || !strcmp(field[2], "real"))
        row->label = NN_LABEL_REAL;
    else if (!strcmp(field[2], "1") || !strcmp(field[2], "fake"))
        row->label = NN_LABEL_FAKE;
    else
        return reader_fail(r, why, "the label is neither 0 (real) nor 1 (fake)");
    row->sha256 = field[3];
    if (field[3][0] && (strlen(field[3]) != 64 || strspn(field[3], "0123456789abcdef") != 64))
        return reader_fail(r, why, "the sha256 is not 64 lower-case hexadecimal digits");
    return NN_OK;
}

struct named {
    const char *name;
    int64_t sample;
};

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

/* What the file says of each sample: 0 nothing, else split + 1. */
static int read_verdicts(const nn_dataset *d, struct reader *r, const struct named *names, int64_t n,
                         char *verdict, nn_message *why)
{
    char *line;
    int64_t missing = 0, changed = 0, first_line = 0;
    const char *first = "";
    struct row row;
    int rc;

    while ((line = next_line(r))) {
        struct named wanted, *found;
        const nn_sample *s;

        rc = parse_row(r, line, &row, why);
        if (rc)
            return rc;
        wanted.name = row.path;
        found = n ? bsearch(&wanted, names, (size_t)n, sizeof *names, by_name) : NULL;
        if (!found) {
            missing++;
            if (missing + changed == 1) {
                first = row.path;
                first_line = r->line;
            }
            continue;
        }
        s = &d->sample[found->sample];
        if (verdict[found->sample])
            return reader_fail(r, why, "this path stands in the file twice");
        if (s->label != row.label)
            return nni_fail(why, NN_EFORMAT, "%s: line %lld: labelled %s there, but %s on disk", r->file,
                            (long long)r->line, row.label ? "fake" : "real", s->label ? "fake" : "real");
        if (row.sha256[0] && s->sha256[0] && strcmp(row.sha256, s->sha256) != 0) {
            changed++;
            if (missing + changed == 1) {
                first = row.path;
                first_line = r->line;
            }
        }
        verdict[found->sample] = (char)(row.split + 1);
    }
    if (missing || changed)
        return nni_fail(why, NN_EFORMAT,
                        "%s: the split does not fit these images: %lld of its files are missing, %lld have "
                        "other contents; the first is %s (line %lld)",
                        r->file, (long long)missing, (long long)changed, first, (long long)first_line);
    return NN_OK;
}

int nn_split_apply(nn_dataset *d, const char *file, nn_message *why)
{
    struct reader r;
    struct named *names = NULL;
    char *verdict = NULL, *reason, *absent;
    int64_t n = 0, problems;
    int rc;

    if (!d || !file)
        return nni_null(why, __func__, "the dataset and file");
    if ((rc = reader_open(&r, file, why)))
        return rc;
    problems = d->problems;
    names = nni_alloc_array((size_t)d->samples, sizeof *names);
    verdict = nni_alloc_array((size_t)d->samples, sizeof *verdict);
    reason = nni_arena_printf(&d->memory->arena, "excluded in %s", file);
    absent = nni_arena_printf(&d->memory->arena, "not in %s", file);
    if (!names || !verdict || !reason || !absent) {
        rc = no_memory(why, "the stored split");
        goto done;
    }
    for (int64_t i = 0; i < d->samples; i++)
        if (d->sample[i].label != NN_LABEL_NONE)
            names[n++] = (struct named){ .name = identity(&d->sample[i]), .sample = i };
    if (n)
        qsort(names, (size_t)n, sizeof *names, by_name);
    rc = read_verdicts(d, &r, names, n, verdict, why);
    /* The report is written first: it alone can fail. */
    for (int64_t i = 0; !rc && i < n; i++) {
        const nn_sample *s = &d->sample[names[i].sample];
        int said = verdict[names[i].sample] - 1;

        if (!s->excluded && (said < 0 || said == EXCLUDED) &&
            nni_dataset_problem(d, NN_PROBLEM_EXCLUDED, s->file, "%s", said < 0 ? absent : reason))
            rc = no_memory(why, "the stored split");
    }
    if (rc) {
        d->problems = problems;
        goto done;
    }
    for (int64_t i = 0; i < n; i++) {
        nn_sample *s = &d->sample[names[i].sample];
        int said = verdict[names[i].sample] - 1;

        if (said >= 0 && said < EXCLUDED)
            s->split = (int16_t)said;
        else if (!s->excluded)
            s->excluded = said < 0 ? absent : reason;
    }
    nni_dataset_count(d);
done:
    nni_free(r.text);
    nni_free(names);
    nni_free(verdict);
    return rc;
}

int nn_split_leaks(nn_dataset *d, const char *file, int split, int64_t *leaks, nn_message *why)
{
    struct reader r;
    struct content *c;
    struct row row;
    int64_t n = 0;
    char *line;
    int rc;

    if (!d || !file || !leaks)
        return nni_null(why, __func__, "the dataset, file and n");
    if (split < 0 || split >= NN_SPLITS)
        return nni_fail(why, NN_EINVAL, "%s: %d is no split", file, split);
    *leaks = 0;
    if ((rc = reader_open(&r, file, why)))
        return rc;
    c = sort_contents(d, &n);
    if (!c)
        rc = no_memory(why, "the comparison of the images");
    while (!rc && (line = next_line(&r))) {
        int64_t low = 0, high = n;

        rc = parse_row(&r, line, &row, why);
        if (rc || row.split != NN_SPLIT_TRAIN || !row.sha256[0])
            continue;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;

            if (strcmp(c[middle].sha256, row.sha256) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        for (; !rc && low < n && c[low].sha256 && !strcmp(c[low].sha256, row.sha256); low++) {
            const nn_sample *s = c[low].sample < 0 ? NULL : &d->sample[c[low].sample];

            if (!s || s->split != split)
                continue;
            c[low].sample = -1; /* two training rows of one content are one leak */
            if (nni_dataset_problem(d, NN_PROBLEM_LEAK, s->file, "trained on as %s", row.path))
                rc = no_memory(why, "the comparison of the images");
            ++*leaks;
        }
    }
    nni_free(c);
    nni_free(r.text);
    return rc;
}
