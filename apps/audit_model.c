/* SPDX-License-Identifier: MIT
 *
 * How far does one get without seeing a pixel? Facts about the files (format, size, quality, ...) are put
 * into bins, one indicator per bin, and logistic regression separates two groups of images by them. If it
 * does better than chance on images it was not fitted to, the groups were made or collected differently, and
 * a network may learn that instead of what it should.
 *
 * Five folds by content hash, so copies of an image are never on both sides and the result depends on the
 * files alone. Both groups have the same weight however large they are. Images that are alike in all facts
 * are one row with a count, which makes large sets as quick as small ones. File sizes are left out: a
 * compressed size measures pixels.
 */
#include "app.h"
#include "audit.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = AUDIT_FIELDS, BINS = 16, FOLDS = 5, STEPS = 300, FEWEST = 10 };

/* --------------------------------------------------------------------------------------------- fields */

static int64_t text_value(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *text; text++)
        h = (h ^ (unsigned char)tolower((unsigned char)*text)) * 0x100000001b3u;
    return (int64_t)(h >> 1);
}

static int64_t extension(const nn_sample *s)
{
    const char *dot = strrchr(s->path, '.');

    return dot ? text_value(dot) : 0;
}

#define SAVE_ALIKE "decode all images and save them the same way: one format, quality and subsampling"
#define SIZE_ALIKE "bring all images to one size with the same filter, or crop both classes to the same sizes"
#define STRIP                                                                                                \
    "a network does not see it, but it says that the classes come from different places: look for why"

/* Name, value for sample s with facts f, remedy. */
#define FIELD_LIST(X)                                                                                        \
    X("container", f->info.format, SAVE_ALIKE)                                                               \
    X("extension", extension(s), STRIP)                                                                      \
    X("width", f->info.width, SIZE_ALIKE)                                                                    \
    X("height", f->info.height, SIZE_ALIKE)                                                                  \
    X("aspect", f->info.width * 1000 / f->info.height, "crop both classes to the same aspect ratios")        \
    X("channels", f->info.channels, "convert all images to RGB, or balance grey ones between the classes")   \
    X("bit depth", f->info.bit_depth, SAVE_ALIKE)                                                            \
    X("JPEG quality", f->quality, SAVE_ALIKE)                                                                \
    X("JPEG table of libjpeg", f->quality_exact, SAVE_ALIKE)                                                 \
    X("JPEG subsampling", f->sampling, SAVE_ALIKE)                                                           \
    X("progressive", f->info.progressive, STRIP)                                                             \
    X("orientation", f->info.orientation, STRIP)                                                             \
    X("alpha", f->alpha, "flatten all images on the same background")                                        \
    X("EXIF", f->exif, STRIP)                                                                                \
    X("XMP or ICC", f->xmp * 2 + f->icc, STRIP)                                                              \
    X("C2PA", f->c2pa, STRIP)                                                                                \
    X("software", text_value(f->software), STRIP)                                                            \
    X("generator", text_value(f->generator), STRIP)

static void values(const struct audit *a, int64_t i, int64_t out[FIELDS])
{
    const nn_sample *s = &a->data->sample[i];
    const nn_image_facts *f = &a->file[i].facts;
    int n = 0;

#define X(name, value, remedy) out[n++] = (int64_t)(value);
    FIELD_LIST(X)
#undef X
}

const char *audit_field_name(int f)
{
    static const char *const name[FIELDS] = {
#define X(name, value, remedy) name,
        FIELD_LIST(X)
#undef X
    };

    return name[f];
}

const char *audit_field_remedy(int f)
{
    static const char *const text[FIELDS] = {
#define X(name, value, remedy) remedy,
        FIELD_LIST(X)
#undef X
    };

    return text[f];
}

/* ----------------------------------------------------------------------------------------------- rows */

struct row {
    uint8_t bin[FIELDS], fold, group;
    int64_t count;
};

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int by_key(const void *a, const void *b) { return memcmp(a, b, FIELDS + 2); }

/* Lower ends of the bins of `sorted`: one bin per value when there are few, else equal parts. */
static int find_bins(const int64_t *sorted, int64_t n, int64_t low[BINS])
{
    int64_t distinct = 0;
    int bins = 0;

    for (int64_t i = 0; i < n; i++)
        distinct += !i || sorted[i] != sorted[i - 1];
    for (int64_t i = 0; i < n; i++) {
        bool begins = !i || sorted[i] != sorted[i - 1];

        if (begins && (distinct <= BINS || i * BINS >= n * bins) && bins < BINS)
            low[bins++] = sorted[i];
    }
    return bins;
}

static int bin_of(const int64_t *low, int bins, int64_t value)
{
    int b = 0;

    while (b + 1 < bins && low[b + 1] <= value)
        b++;
    return b;
}

/* Fold from the first digits of the content's hash; a file without hash is in the first. */
static int fold_of(const nn_sample *s)
{
    char head[9] = { 0 };

    memcpy(head, s->sha256, 8);
    return (int)(strtoul(head, NULL, 16) % FOLDS);
}

/* One row per image that takes part. `value` is [n] for one field at a time. */
static void fill_rows(const struct audit *a, const int8_t *group, struct row *row, int64_t *value)
{
    for (int f = 0; f < FIELDS; f++) {
        int64_t n = 0, low[BINS], all[FIELDS];
        int bins;

        for (int64_t i = 0; i < a->data->samples; i++)
            if (group[i] >= 0) {
                values(a, i, all);
                value[n++] = all[f];
            }
        qsort(value, (size_t)n, sizeof *value, by_value);
        bins = find_bins(value, n, low);
        n = 0;
        for (int64_t i = 0; i < a->data->samples; i++)
            if (group[i] >= 0) {
                values(a, i, all);
                row[n].bin[f] = (uint8_t)bin_of(low, bins, all[f]);
                row[n].fold = (uint8_t)fold_of(&a->data->sample[i]);
                row[n].group = (uint8_t)group[i];
                row[n++].count = 1;
            }
    }
}

/* Equal rows become one; how many are left. */
static int64_t merge(struct row *row, int64_t n)
{
    int64_t kept = 0;

    qsort(row, (size_t)n, sizeof *row, by_key);
    for (int64_t i = 0; i < n; i++)
        if (kept && !by_key(&row[kept - 1], &row[i]))
            row[kept - 1].count += row[i].count;
        else
            row[kept++] = row[i];
    return kept;
}

/* ---------------------------------------------------------------------------------------------- model */

struct weights {
    double bias, of[FIELDS][BINS];
};

/* The fields that the model sees: all, or one alone. */
struct view {
    int first, end;
};

static double score(const struct weights *w, const struct row *r, struct view v)
{
    double z = w->bias;

    for (int f = v.first; f < v.end; f++)
        z += w->of[f][r->bin[f]];
    return z;
}

/* w = y - step * gradient(y), with the gradient of the mean log loss over the rows outside `fold`. */
static void descend(struct weights *w, const struct weights *y, const struct row *row, int64_t n, int fold,
                    struct view v, const double weight[2], double ridge, double step)
{
    *w = *y;
    for (int f = v.first; f < v.end; f++)
        for (int b = 0; b < BINS; b++)
            w->of[f][b] -= step * ridge * y->of[f][b];
    for (int64_t i = 0; i < n; i++) {
        double g;

        if (row[i].fold == fold)
            continue;
        g = (1 / (1 + exp(-score(y, &row[i], v))) - row[i].group) * weight[row[i].group] *
            (double)row[i].count;
        w->bias -= step * g;
        for (int f = v.first; f < v.end; f++)
            w->of[f][row[i].bin[f]] -= step * g;
    }
}

/* Nesterov's accelerated descent; the step is the inverse of a bound on the curvature. */
static void fit(struct weights *w, const struct row *row, int64_t n, int fold, struct view v,
                const double count[2])
{
    const double weight[2] = { 0.5 / count[0], 0.5 / count[1] };
    double ridge = 1 / (count[0] + count[1]), step = 1 / ((v.end - v.first + 1) / 4.0 + ridge), t = 1;
    struct weights y = { .bias = 0 }, last = { .bias = 0 };

    for (int k = 0; k < STEPS && !app_interrupted; k++) {
        double next = (1 + sqrt(1 + 4 * t * t)) / 2, push = (t - 1) / next;

        descend(w, &y, row, n, fold, v, weight, ridge, step);
        y.bias = w->bias + push * (w->bias - last.bias);
        for (int f = v.first; f < v.end; f++)
            for (int b = 0; b < BINS; b++)
                y.of[f][b] = w->of[f][b] + push * (w->of[f][b] - last.of[f][b]);
        last = *w;
        t = next;
    }
}

/* Balanced accuracy over all folds; a score of nothing is half right. */
static double validate(const struct row *row, int64_t n, struct view v)
{
    double right[2] = { 0 }, all[2] = { 0 };

    for (int fold = 0; fold < FOLDS; fold++) {
        double count[2] = { 0 };
        struct weights w = { .bias = 0 };

        app_progress("fitting a model to the files' facts: part %d of %d", fold + 1, FOLDS);
        for (int64_t i = 0; i < n; i++)
            if (row[i].fold != fold)
                count[row[i].group] += (double)row[i].count;
        if (count[0] > 0 && count[1] > 0)
            fit(&w, row, n, fold, v, count);
        for (int64_t i = 0; i < n; i++) {
            double z = score(&w, &row[i], v), c = (double)row[i].count;

            if (row[i].fold != fold)
                continue;
            all[row[i].group] += c;
            right[row[i].group] += fabs(z) < 1e-6 ? c / 2 : (z > 0) == row[i].group ? c : 0;
        }
    }
    return (right[0] / all[0] + right[1] / all[1]) / 2;
}

/* The rows as they look when only field f is seen. */
static int64_t alone(struct row *out, const struct row *row, int64_t n, int f)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = row[i];
        memset(out[i].bin, 0, sizeof out[i].bin);
        out[i].bin[f] = row[i].bin[f];
    }
    return merge(out, n);
}

bool audit_separate(const struct audit *a, const int8_t *group, struct audit_score *out)
{
    size_t room = (size_t)a->data->samples + 1;
    struct row *row = calloc(room, sizeof *row), *one = calloc(room, sizeof *one);
    int64_t *value = calloc(room, sizeof *value), n[2] = { 0 }, rows;
    bool fine = row && one && value;

    *out = (struct audit_score){ .samples = 0 };
    for (int64_t i = 0; i < a->data->samples; i++)
        if (group[i] >= 0)
            n[group[i]]++;
    if (fine && n[0] >= FEWEST && n[1] >= FEWEST) {
        out->samples = n[0] + n[1];
        /* Four standard deviations of what coin tosses reach; below 0.6 nothing is worth a warning. */
        out->warn = fmax(0.6, 0.5 + sqrt(1 / (double)n[0] + 1 / (double)n[1]));
        fill_rows(a, group, row, value);
        rows = merge(row, out->samples);
        out->all = validate(row, rows, (struct view){ 0, FIELDS });
        for (int f = 0; f < FIELDS; f++)
            out->field[f] = validate(one, alone(one, row, rows, f), (struct view){ f, f + 1 });
    }
    free(row);
    free(one);
    free(value);
    return fine;
}
