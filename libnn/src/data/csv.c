/* SPDX-License-Identifier: MIT
 *
 * CSV files (RFC 4180). File names go in and out as the bytes they are; numbers do not depend on the locale
 * of the program that links the library. The reader tells where fields lie rather than copying them, because
 * a submission's template is changed in place.
 */
#include "data.h"

#include <math.h>
#include <string.h>

size_t nn_csv_field(char *out, size_t size, const char *text)
{
    size_t at = 0;
    bool quote;

#define PUT(c)                                                                                               \
    do {                                                                                                     \
        if (at + 1 < size)                                                                                   \
            out[at] = (c);                                                                                   \
        at++;                                                                                                \
    } while (0)
    if (!out)
        size = 0;
    text = text ? text : "";
    quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote)
        PUT('"');
    for (; *text; text++) {
        if (*text == '"')
            PUT('"');
        PUT(*text);
    }
    if (quote)
        PUT('"');
#undef PUT
    if (size)
        out[at < size ? at : size - 1] = 0;
    return at;
}

const char *nn_csv_number(char out[32], double value)
{
    if (!out)
        return "";
    out[0] = 0;
    return isfinite(value) ? nni_print_number(out, value, 9) : out;
}

int nni_csv_fail(const nni_csv *c, int64_t line, const char *what)
{
    return nni_fail(c->why, NN_EFORMAT, "%s: line %lld: %s", c->file, (long long)line, what);
}

/* One field; the cursor then stands on the comma, the line end or the end of the file. */
static int read_field(nni_csv *c, size_t *begin, size_t *end)
{
    const char *s = c->text;
    size_t n = c->size;
    int64_t line = c->line;

    if (c->at < n && s[c->at] == '"') {
        *begin = ++c->at;
        for (; c->at < n && !(s[c->at] == '"' && (c->at + 1 == n || s[c->at + 1] != '"')); c->at++) {
            c->line += s[c->at] == '\n';
            c->at += s[c->at] == '"';
        }
        if (c->at >= n)
            return nni_csv_fail(c, line, "a quote is opened but never closed");
        *end = c->at++;
    } else {
        *begin = c->at;
        while (c->at < n && !strchr(",\r\n\"", s[c->at]))
            c->at++;
        *end = c->at;
    }
    if (c->at == n || s[c->at] == ',' || s[c->at] == '\n' ||
        (s[c->at] == '\r' && c->at + 1 < n && s[c->at + 1] == '\n'))
        return NN_OK;
    return nni_csv_fail(
        c, line, s[c->at] == '\r' ? "a carriage return without a line feed" : "a quote in the wrong place");
}

static int wrong_count(const nni_csv *c, int64_t line, const char *count)
{
    return nni_fail(c->why, NN_EFORMAT, "%s: line %lld: two fields, %s, are expected, not %s", c->file,
                    (long long)line, c->columns, count);
}

int nni_csv_row(nni_csv *c, size_t begin[2], size_t end[2])
{
    int64_t line = c->line;
    int rc = read_field(c, &begin[0], &end[0]);

    if (!rc && (c->at == c->size || c->text[c->at] != ','))
        rc = wrong_count(c, line, "one");
    if (rc)
        return rc;
    c->at++;
    rc = read_field(c, &begin[1], &end[1]);
    if (!rc && c->at < c->size && c->text[c->at] == ',')
        rc = wrong_count(c, line, "more");
    if (rc)
        return rc;
    c->at += c->at < c->size && c->text[c->at] == '\r';
    c->at += c->at < c->size;
    c->line++;
    return NN_OK;
}

int nni_csv_begin(nni_csv *c, const char *const name[2])
{
    size_t begin[2], end[2];
    int rc;

    c->line = 1;
    for (size_t i = 0; i < c->size; i++) {
        if (!c->text[i])
            return nni_csv_fail(c, c->line, "a zero byte: this is no text file");
        c->line += c->text[i] == '\n';
    }
    if (c->line > NNI_LIST_LINES)
        return nni_fail(c->why, NN_EFORMAT, "%s: more than %d lines: divide it", c->file, NNI_LIST_LINES);
    c->line = 1;
    if (c->size >= 3 && !memcmp(c->text, "\xef\xbb\xbf", 3))
        c->at = 3;
    rc = nni_csv_row(c, begin, end);
    for (int i = 0; !rc && i < 2; i++)
        if (end[i] - begin[i] != strlen(name[i]) ||
            memcmp(c->text + begin[i], name[i], end[i] - begin[i]) != 0)
            rc = nni_fail(c->why, NN_EFORMAT, "%s: line 1: the header %s,%s is expected", c->file, name[0],
                          name[1]);
    return rc;
}

bool nni_csv_more(const nni_csv *c)
{
    for (size_t i = c->at; i < c->size; i++)
        if (c->text[i] != '\r' && c->text[i] != '\n')
            return true;
    return false;
}

char *nni_csv_text(const nni_csv *c, nni_arena *arena, size_t begin, size_t end)
{
    char *text = nni_arena_take(arena, end - begin + 1), *to = text;

    for (size_t i = begin; text && i < end; i++) {
        *to++ = c->text[i];
        i += c->text[i] == '"'; /* doubled */
    }
    return text;
}
