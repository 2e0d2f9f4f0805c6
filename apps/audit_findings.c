/* SPDX-License-Identifier: MIT
 *
 * From facts to findings: what is wrong, how bad it is, and what to do. Severity depends on the share of
 * images concerned; the thresholds stand in one table and are printed with each finding.
 */
#include "app.h"
#include "audit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SMALL_SIDE = 32, LARGE_SIDE = 16384, LARGE_AREA = 64000000, LONG = 3, LOW_QUALITY = 30 };

#define NEVER 2.0 /* no share is above it */

/* Constant, name, share above which it is a warning, an error; what, remedy. */
#define KIND_LIST(X)                                                                                         \
    X(UNREADABLE, "unreadable", 0, 0.01, "files cannot be read", "restore them or their permissions")        \
    X(FOREIGN, "not-an-image", 0, 0.01, "files are neither JPEG nor PNG, whatever their names say",          \
      "convert or remove them; training leaves them out")                                                    \
    X(DAMAGED, "damaged", 0, 0.01, "files are truncated or damaged",                                         \
      "get them again or remove them; training leaves them out")                                             \
    X(HUGE, "too-large", 0, 0.01, "images have more than 16384 pixels on a side or 64 million in all",       \
      "make them smaller; training leaves them out")                                                         \
    X(TINY, "tiny", 0.01, NEVER, "images have a side below 32 pixels",                                       \
      "remove them: enlarged, they show the filter rather than the picture")                                 \
    X(NARROW, "narrow", 0.05, NEVER, "images are more than three times as long as wide",                     \
      "crop them; squashed to a square they look like nothing else")                                         \
    X(EXTENSION, "extension", 0.01, NEVER, "names end like another format than the file has",                \
      "rename them; programs that trust names fail or skip them")                                            \
    X(POOR, "low-quality", 0.05, NEVER, "JPEG files have a quality below 30",                                \
      "make sure that both classes have them, or remove them")                                               \
    X(GREY, "grey", 0.5, NEVER, "images have one channel (grey or palette)",                                 \
      "nothing, if both classes have them: grey is read as three equal channels")                            \
    X(CMYK, "cmyk", 0.01, NEVER, "JPEG files are CMYK",                                                      \
      "convert them to RGB; colours are only approximated")                                                  \
    X(DEEP, "16-bit", NEVER, NEVER, "images have 16 bits per sample", "nothing: the high byte is used")      \
    X(ALPHA, "alpha", 0.5, NEVER, "images have an alpha channel",                                            \
      "flatten them: alpha is dropped, and what it hid becomes visible")                                     \
    X(TURNED, "orientation", NEVER, NEVER, "images are stored turned or mirrored (EXIF)",                    \
      "nothing here: it is undone when reading; other programs may not")                                     \
    X(GENERATOR, "generator", NEVER, NEVER, "files carry the settings of an image generator",                \
      "nothing for training; keep originals, it is the best evidence of origin there is")                    \
    X(C2PA, "c2pa", NEVER, NEVER, "files carry a C2PA manifest", "verify a few with a C2PA tool")            \
    X(DOUBTFUL, "doubtful-label", 0, 0.01, "files labelled real say that a generator made them",             \
      "look at them and move those that are fake")                                                           \
    X(DUPLICATE, "duplicate", 0.01, 0.2, "files have the content of another one in their split",             \
      "remove copies: they weigh double and make scores look more certain than they are")                    \
    X(LEAK, "leak", 0, 0, "files have the content of one in another split",                                  \
      "remove them from train: what a model has seen cannot judge it")                                       \
    X(CONFLICT, "conflict", 0, 0, "contents are in both classes", "find out which label is right")           \
    X(NEAR_COPY, "near-duplicate", 0.01, NEVER, "images look almost the same as another one in their split", \
      "keep one of each group")                                                                              \
    X(NEAR_LEAK, "near-leak", 0, 0.01, "images look almost the same as one in another split",                \
      "put groups of almost equal images into one split")                                                    \
    X(NEAR_CONFLICT, "near-conflict", 0.01, NEVER, "images look almost the same as one of the other class",  \
      "nothing, if fakes were made from these images: then keep both in one split; else check labels")       \
    X(FOLDER, "ignored-folder", 0, NEVER, "folders are neither a class nor a split",                         \
      "rename them fake or real, or move them away")                                                         \
    X(SPECIAL, "skipped", 0, NEVER, "links, special files or deep folders were not followed",                \
      "replace them by the images themselves")                                                               \
    X(OTHER, "ignored-file", 0.01, NEVER,                                                                    \
      "files lie outside class folders or are not called .jpg, .jpeg, .png",                                 \
      "convert them if they are meant to be used")

enum kind {
#define X(constant, name, warn, fail, what, remedy) constant,
    KIND_LIST(X)
#undef X
        KINDS
};

static const struct {
    const char *name;
    double warn, fail;
    const char *what, *remedy;
} kinds[KINDS] = {
#define X(constant, name, warn, fail, what, remedy) { name, warn, fail, what, remedy },
    KIND_LIST(X)
#undef X
};

struct judge {
    struct audit *a;
    struct audit_finding tally[KINDS];
};

const char *audit_severity(int severity)
{
    static const char *const name[] = { "note", "warning", "error" };

    return name[severity];
}

static void hit(struct judge *j, enum kind k, const char *file, const char *why)
{
    struct audit_finding *f = &j->tally[k];

    f->count++;
    if (f->examples < AUDIT_EXAMPLES) {
        f->example[f->examples].file = file;
        f->example[f->examples++].why = why;
    }
}

/* ---------------------------------------------------------------------------------- one file at a time */

static bool misnamed(const nn_sample *s, const nn_image_info *info)
{
    size_t n = strlen(s->path);
    bool png = n > 4 && !strcasecmp(s->path + n - 4, ".png");

    return png != (info->format == NN_IMAGE_PNG);
}

static bool too_large(const nn_image_info *i)
{
    return i->width > LARGE_SIDE || i->height > LARGE_SIDE || i->width * i->height > LARGE_AREA;
}

/* What is too large to be decoded is not damaged. */
static void judge_bad(struct judge *j, const nn_sample *s, const struct audit_file *f)
{
    const char *why = f->why ? f->why : "";

    if (f->walked && too_large(&f->facts.info))
        hit(j, HUGE, s->file, "");
    else if (f->status == NN_EUNSUPPORTED)
        hit(j, FOREIGN, s->file, why);
    else if (f->status == NN_EFORMAT)
        hit(j, DAMAGED, s->file, why);
    else
        hit(j, UNREADABLE, s->file, why);
}

static void judge_file(struct judge *j, const nn_sample *s, const struct audit_file *file)
{
    const nn_image_facts *f = &file->facts;
    int64_t w = f->info.width, h = f->info.height;
    bool jpeg = f->info.format == NN_IMAGE_JPEG;
    bool generated = f->generator[0] != 0;
    const struct {
        bool is;
        enum kind kind;
        const char *why;
    } tests[] = {
        { too_large(&f->info), HUGE, "" },
        { w < SMALL_SIDE || h < SMALL_SIDE, TINY, "" },
        { w > LONG * h || h > LONG * w, NARROW, "" },
        { misnamed(s, &f->info), EXTENSION, jpeg ? "is a JPEG" : "is a PNG" },
        { jpeg && f->quality && f->quality < LOW_QUALITY, POOR, "" },
        { f->info.channels == 1, GREY, "" },
        { jpeg && f->info.channels == 4, CMYK, "" },
        { f->info.bit_depth == 16, DEEP, "" },
        { f->alpha, ALPHA, "" },
        { f->info.orientation != 1, TURNED, "" },
        { generated, GENERATOR, f->generator },
        { f->c2pa, C2PA, "" },
        { generated && s->label == NN_LABEL_REAL, DOUBTFUL, f->generator },
    };

    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (tests[i].is)
            hit(j, tests[i].kind, s->file, tests[i].why);
}

/* Of files that cannot be read, only those that never became samples: the others are judged as files. */
static void judge_problem(struct judge *j, const nn_problem *p, bool walked)
{
    switch (p->kind) {
    case NN_PROBLEM_UNREADABLE:
        if (walked)
            hit(j, UNREADABLE, p->file, p->text);
        break;
    case NN_PROBLEM_FOLDER: hit(j, FOLDER, p->file, p->text); break;
    case NN_PROBLEM_VISITED:
    case NN_PROBLEM_SPECIAL:
    case NN_PROBLEM_DEEP: hit(j, SPECIAL, p->file, p->text); break;
    case NN_PROBLEM_DUPLICATE: hit(j, DUPLICATE, p->file, p->text); break;
    case NN_PROBLEM_LEAK: hit(j, LEAK, p->file, p->text); break;
    case NN_PROBLEM_CONFLICT: hit(j, CONFLICT, p->file, p->text); break;
    default: break;
    }
}

static void judge_near(void *payload, int64_t i, int64_t k)
{
    struct judge *j = payload;
    const nn_sample *one = &j->a->data->sample[i], *two = &j->a->data->sample[k];

    if (one->label != two->label && one->label != NN_LABEL_NONE && two->label != NN_LABEL_NONE)
        hit(j, NEAR_CONFLICT, two->file, one->file);
    else
        hit(j, one->split == two->split ? NEAR_COPY : NEAR_LEAK, two->file, one->file);
}

/* -------------------------------------------------------------------------------------- the set as a whole
 */

static struct audit_finding *add(struct audit *a, const char *name, int severity, int64_t count)
{
    struct audit_finding *f = &a->finding[a->findings++];

    *f = (struct audit_finding){ .name = name, .severity = severity, .count = count };
    return f;
}

static void threshold(char out[32], double share)
{
    if (share >= NEVER)
        (void)snprintf(out, 32, "never");
    else if (share <= 0)
        (void)snprintf(out, 32, "if any");
    else
        (void)snprintf(out, 32, "above %g %%", share * 100);
}

static void add_tallies(struct judge *j)
{
    double all = (double)(j->a->data->samples ? j->a->data->samples : 1);

    for (int k = 0; k < KINDS; k++) {
        struct audit_finding *t = &j->tally[k], *f;
        double share = (double)t->count / all;
        char warn[32], fail[32];

        if (!t->count)
            continue;
        f = add(j->a, kinds[k].name,
                share > kinds[k].fail   ? AUDIT_ERROR
                : share > kinds[k].warn ? AUDIT_WARNING
                                        : AUDIT_NOTE,
                t->count);
        memcpy(f->example, t->example, sizeof f->example);
        f->examples = t->examples;
        f->remedy = kinds[k].remedy;
        threshold(warn, kinds[k].warn);
        threshold(fail, kinds[k].fail);
        (void)snprintf(f->text, sizeof f->text, "%s: %lld, %.3g %% of the images (warning: %s; error: %s)",
                       kinds[k].what, (long long)t->count, share * 100, warn, fail);
    }
}

static void judge_balance(struct audit *a)
{
    const double note = 1.5, warn = 3, fail = 20;

    for (int s = NN_SPLIT_TRAIN; s < NN_SPLITS; s++) {
        double fake = (double)a->data->count[s][NN_LABEL_FAKE],
               real = (double)a->data->count[s][NN_LABEL_REAL];
        double ratio = fmax(fake, real) / fmax(fmin(fake, real), 1);
        struct audit_finding *f;

        if (fake + real <= 0 || (fake > 0 && real > 0 && ratio <= note))
            continue;
        if (fake > 0 && real > 0) {
            f = add(a, "imbalance",
                    ratio > fail   ? AUDIT_ERROR
                    : ratio > warn ? AUDIT_WARNING
                                   : AUDIT_NOTE,
                    (int64_t)fmax(fake, real));
            (void)snprintf(
                f->text, sizeof f->text,
                "%s has %.0f fake and %.0f real images, %.1f to 1 (note above %g, warning above %g, "
                "error above %g)",
                nn_split_name(s), fake, real, ratio, note, warn, fail);
            f->remedy = "take as many of each, and judge by balanced accuracy or macro F1, not by accuracy";
        } else {
            f = add(a, "one-class", AUDIT_ERROR, (int64_t)(fake + real));
            (void)snprintf(f->text, sizeof f->text, "%s has no %s images (error: if so)", nn_split_name(s),
                           fake > 0 ? "real" : "fake");
            f->remedy = "add the other class; one class alone teaches and judges nothing";
        }
    }
}

/* The field that tells most. */
static int strongest(const struct audit_score *s)
{
    int best = 0;

    for (int f = 1; f < AUDIT_FIELDS; f++)
        if (s->field[f] > s->field[best])
            best = f;
    return best;
}

static void judge_score(struct audit *a, const struct audit_score *s, const char *name, const char *what,
                        double fail)
{
    int best = strongest(s);
    double top = fmax(s->all, s->field[best]);
    struct audit_finding *f;

    if (!s->samples || top <= s->warn)
        return;
    f = add(a, name, top > fmax(fail, s->warn) ? AUDIT_ERROR : AUDIT_WARNING, s->samples);
    (void)snprintf(
        f->text, sizeof f->text,
        "%s: a classifier that never sees a pixel reaches %.1f %% balanced accuracy, most by %s (%.1f "
        "%% alone; warning above %.1f %%, error above %.1f %%)",
        what, 100 * top, audit_field_name(best), 100 * s->field[best], 100 * s->warn,
        100 * fmax(fail, s->warn));
    f->remedy = audit_field_remedy(best);
}

static bool separate(struct audit *a)
{
    int64_t n = a->data->samples;
    int8_t *group = malloc((size_t)n + 1);
    bool fine = group != NULL;

    for (int64_t i = 0; fine && i < n; i++)
        group[i] = audit_labelled(a, i) ? a->data->sample[i].label == NN_LABEL_FAKE : -1;
    fine = fine && audit_separate(a, group, &a->classes);
    for (int64_t i = 0; fine && i < n; i++)
        group[i] = a->file[i].status || a->data->sample[i].excluded
                       ? -1
                       : a->data->sample[i].split != NN_SPLIT_TRAIN;
    fine = fine && audit_separate(a, group, &a->splits);
    free(group);
    return fine;
}

static int by_severity(const void *left, const void *right)
{
    const struct audit_finding *a = left, *b = right;

    return a->severity != b->severity ? b->severity - a->severity : strcmp(a->text, b->text);
}

int audit_judge(struct audit *a, int threads)
{
    struct judge j = { .a = a };
    const nn_dataset *d = a->data;
    int rc = APP_OK;

    for (int64_t i = 0; i < d->samples; i++)
        if (a->file[i].status)
            judge_bad(&j, &d->sample[i], &a->file[i]);
        else
            judge_file(&j, &d->sample[i], &a->file[i]);
    for (int64_t i = 0; i < d->problems; i++)
        judge_problem(&j, &d->problem[i], i < a->walked);
    for (int32_t s = 0; s < d->sources; s++)
        for (int64_t i = 0; i < d->source[s].ignored; i++)
            hit(&j, OTHER, d->source[s].root, "");
    j.tally[OTHER].examples = j.tally[OTHER].examples > 0; /* only their number is known */
    if (a->decoded)
        rc = audit_near(a, threads, judge_near, &j);
    if (!rc && !separate(a))
        rc = app_fail(APP_DEVICE, "out of memory");
    app_progress_end();
    if (!rc && app_interrupted)
        rc = app_fail(128 + app_interrupted, "interrupted");
    if (rc)
        return rc;
    add_tallies(&j);
    judge_balance(a);
    judge_score(a, &a->classes, "shortcut", "fake against real", 0.75);
    judge_score(a, &a->splits, "drift", "train against the other splits", 0.9);
    qsort(a->finding, (size_t)a->findings, sizeof *a->finding, by_severity);
    return APP_OK;
}
