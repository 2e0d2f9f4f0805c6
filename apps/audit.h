/* SPDX-License-Identifier: MIT
 *
 * What fakereal_audit is made of: facts of every file (audit_scan.c, audit_pixels.c), what they mean
 * (audit_findings.c), how far a model gets on them alone (audit_model.c), and how all that is told
 * (audit_report.c, audit_html.c).
 */
#ifndef APPS_AUDIT_H
#define APPS_AUDIT_H

#include <nn/data.h>
#include <nn/vision.h>

#include <stdatomic.h>
#include <stdbool.h>

enum { AUDIT_NOTE, AUDIT_WARNING, AUDIT_ERROR };
enum { AUDIT_EXAMPLES = 5, AUDIT_FINDINGS = 64, AUDIT_FIELDS = 18 };

struct audit_file {
    nn_image_facts facts;
    bool walked; /* the file is whole as far as headers tell, and these are its facts */
    int status;  /* NN_OK, or why the file could not be used */
    char *why;   /* owned; NULL if it could */
    /* Of the decoded image: */
    double mean[3], std[3]; /* of pixels in 0..1 after the resize to 224 */
    uint64_t look[4];       /* perceptual hash */
};

struct audit_finding {
    const char *name;
    int severity; /* AUDIT_NOTE, ... */
    int64_t count;
    char text[512];     /* what, how much, and the thresholds */
    const char *remedy; /* what to do about it */
    struct {
        const char *file, *why; /* borrowed; why may be "" */
    } example[AUDIT_EXAMPLES];
    int examples;
};

/* How well two groups of images are told apart by facts about their files. */
struct audit_score {
    int64_t samples; /* 0: there were too few to say anything */
    double all;      /* balanced accuracy of the model on images it was not fitted to */
    double field[AUDIT_FIELDS];
    double warn; /* above that chance is no explanation */
};

struct audit {
    nn_dataset *data;        /* the caller's */
    struct audit_file *file; /* [data->samples] */
    int64_t walked;          /* problems of data met before any file was opened */
    double until;            /* app_seconds() at which audit_scan gives up; 0: never */
    atomic_bool late;        /* it did */
    bool decoded;            /* files have been decoded, not only walked */
    struct audit_finding finding[AUDIT_FINDINGS];
    int findings;
    struct audit_score classes; /* real against fake */
    struct audit_score splits;  /* train against the rest */
};

/* Calls each(payload, i) for i of [0,n) in `threads` threads, telling of it as "what i/n". False after an
 * interrupt, with items left out, or without a single thread. */
bool audit_each(int64_t n, int threads, const char *what, void (*each)(void *payload, int64_t i),
                void *payload);

/* Fills a->file, unless it becomes late. 0 or the exit code with the reason printed; also of the next. */
int audit_scan(struct audit *a, int threads);
/* Decodes what audit_scan could use. */
int audit_decode(struct audit *a, int threads);
/* The image takes part in the comparison of classes. */
static inline bool audit_labelled(const struct audit *a, int64_t i)
{
    return !a->file[i].status && !a->data->sample[i].excluded && a->data->sample[i].label < NN_LABEL_NONE;
}
/* Images that are almost equal: calls found(payload, i, j), i < j, in order. `code` as above. */
int audit_near(const struct audit *a, int threads, void (*found)(void *payload, int64_t i, int64_t j),
               void *payload);
/* Mean over the training images of each image's mean and standard deviation; how many there were. */
int64_t audit_mean_std(const struct audit *a, double mean[3], double std[3]);
void audit_free(struct audit *a);

/* Name of field f, and what to do where the classes differ in it. */
const char *audit_field_name(int f);
const char *audit_field_remedy(int f);
/* `group`[i] is 0, 1, or below 0 for images that take no part. False without memory. */
bool audit_separate(const struct audit *a, const int8_t *group, struct audit_score *out);

/* Fills a->finding from all of the above. 0 or the exit code. */
int audit_judge(struct audit *a, int threads);
const char *audit_severity(int severity);

/* What the files of one class in one split have in common. */
struct audit_group {
    int split, label;
    int64_t files, readable;
    int64_t width[3], height[3], quality[3]; /* smallest, median, largest; zero without any */
    struct audit_count {
        const char *name;
        int64_t files;
    } count[16]; /* how many have what */
    int counts;
};
/* Groups that there are, into group[NN_SPLITS*NN_LABELS]; -1 without memory. */
int audit_groups(const struct audit *a, struct audit_group *group);
const char *audit_class(int label);

/* The report to standard output, and as text in memory to be freed, NULL without memory. */
void audit_print(const struct audit *a, const struct audit_group *group, int groups);
char *audit_json(const struct audit *a, const struct audit_group *group, int groups);
char *audit_html(const struct audit *a, const struct audit_group *group, int groups);

#endif
