/* SPDX-License-Identifier: MIT
 *
 * Remembering which image was used for what. A run can be repeated, and what it has trained on be told from
 * what it has not, only if its split can be written down exactly; so split.tsv holds any file name that a
 * disk can hold.
 */
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "path\tsplit\tlabel\tsha256";

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
        rc = nni_no_memory(why, "the stored split");
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
            rc = nni_no_memory(why, "the stored split");
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
    struct nni_content *c;
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
    c = nni_contents(d, &n);
    if (!c)
        rc = nni_no_memory(why, "the comparison of the images");
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
                rc = nni_no_memory(why, "the comparison of the images");
            ++*leaks;
        }
    }
    nni_free(c);
    nni_free(r.text);
    return rc;
}
