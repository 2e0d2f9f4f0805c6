/* SPDX-License-Identifier: MIT
 *
 * Images of real and fake on disk: which there are, what class and split they belong to, in what order an
 * epoch sees them, how good predictions are and how they are written. The class of an image is the name of
 * its folder, never anything in its file name: fake is 1 and the positive class, real is 0.
 *
 * Usual order: nn_dataset_add, nn_dataset_add_extra, nn_dataset_hash, nn_dataset_deduplicate,
 * nn_dataset_verify, then nn_dataset_split or nn_split_apply, nn_dataset_check, nn_split_write.
 */
#ifndef NN_DATA_H
#define NN_DATA_H

#include <nn/base.h>

NN_C_BEGIN

/* ---- images on disk ---- */

enum { NN_LABEL_REAL, NN_LABEL_FAKE, NN_LABEL_NONE, NN_LABELS };
enum { NN_SPLIT_TRAIN, NN_SPLIT_VALID, NN_SPLIT_TEST, NN_SPLITS };

/* "train", "valid", "test", else "?"; and back ("val" too), -1 for none. */
NN_API const char *nn_split_name(int split);
NN_API int nn_split_named(const char *name);

/* One image file. Paths are bytes as on disk: they may hold spaces, newlines and invalid UTF-8. */
typedef struct nn_sample {
    const char *path, *file; /* relative to its source's root, its identity; what opens it, absolute but for
                                single files given by name */
    const char *excluded;    /* NULL, or why it takes no part */
    uint64_t size;           /* bytes */
    uint64_t place[2]; /* device and inode: which file it is, whatever it is called. 0, 0: none was there */
    int32_t source;    /* index into nn_dataset.source; 0 is the first added */
    int16_t split, label; /* NN_SPLIT_*, NN_LABEL_* */
    char sha256[65];      /* lower-case hex; "" until nn_dataset_hash */
} nn_sample;

/* What was found on the way and is worth a line in the report: a folder that is neither a class nor a split;
 * an unreadable one, one seen before through a link, a FIFO or device, too deep a one; an image that is
 * excluded, has the content of another, of another split, of the other class. */
// clang-format off
typedef enum nn_problem_kind {
    NN_PROBLEM_FOLDER, NN_PROBLEM_UNREADABLE, NN_PROBLEM_VISITED, NN_PROBLEM_SPECIAL, NN_PROBLEM_DEEP,
    NN_PROBLEM_EXCLUDED, NN_PROBLEM_DUPLICATE, NN_PROBLEM_LEAK, NN_PROBLEM_CONFLICT, NN_PROBLEMS
} nn_problem_kind;
// clang-format on
NN_API const char *nn_problem_name(nn_problem_kind kind);
typedef struct nn_problem {
    nn_problem_kind kind;
    const char *file, *text; /* the file or folder it is about; why, or the other file */
} nn_problem;

typedef struct nn_source {
    const char *root;         /* absolute; "" for single files given by name */
    const char *template_csv; /* root/test/sample_submission.csv if there is one, else NULL */
    int64_t hidden, ignored;  /* skipped: names beginning with a dot, Thumbs.db; neither .jpg, .jpeg nor .png,
                                 or outside the class folders */
} nn_source;

/* Fields are for reading; the functions below change them. */
typedef struct nn_dataset {
    nn_sample *sample; /* by source, then by path bytewise */
    nn_problem *problem;
    nn_source *source;
    int64_t samples, problems;
    int32_t sources;
    int64_t count[NN_SPLITS][NN_LABELS]; /* samples that take part */
    int64_t excluded, bad;               /* all that do not; of these, the unreadable and undecodable */
    struct nn_dataset_memory *memory;
} nn_dataset;

NN_API int nn_dataset_new(nn_dataset **out);
NN_API void nn_dataset_free(nn_dataset *d);

/* Adds every image below `folder`. Understood, in any letter case:
 *     {train,valid|val,test}/{CLASS folders}, test/images (no label), test/sample_submission.csv
 *     {CLASS folders} alone: all NN_SPLIT_TRAIN
 * where a CLASS folder is fake_images, fake, ai, 1_fake or real_images, real, nature, 0_real. The folder that
 * looks like this may lie up to three levels down. Symbolic links are followed, each folder is visited once,
 * unreadable ones inside are problems, not failures. NN_EINVAL: added before. NN_EFORMAT: no layout found, or
 * two equally near. On failure d is unchanged. */
NN_API int nn_dataset_add(nn_dataset *d, const char *folder, nn_message *why);
/* The same from one folder per class; all NN_SPLIT_TRAIN, paths begin with "fake/" and "real/". */
NN_API int nn_dataset_add_pair(nn_dataset *d, const char *fake_dir, const char *real_dir, nn_message *why);
/* More training images: of `folder` train alone (or class folders without splits). NN_EFORMAT: empty. */
NN_API int nn_dataset_add_extra(nn_dataset *d, const char *folder, nn_message *why);
/* Images that a CSV file names, header path,label, all of them of `split`: paths relative to its folder or
 * absolute, labels 0, real, 1 or fake. Whether they are there is found out when they are opened. NN_EFORMAT
 * names the line, or a file that is listed twice or in d already, under whatever name. */
NN_API int nn_dataset_add_table(nn_dataset *d, const char *file, int split, nn_message *why);
/* Images without label, NN_SPLIT_TEST: a folder's, or one file whatever its extension (path as given). */
NN_API int nn_dataset_add_images(nn_dataset *d, const char *path, nn_message *why);

/* SHA-256 of every sample that takes part and has none yet, by `threads` threads (0: one a processor).
 * Unreadable files are excluded. */
NN_API int nn_dataset_hash(nn_dataset *d, int threads, nn_message *why);
/* SHA-256 over the labelled samples of one source: relative path, content, label and split of each.
 * NN_ESTATE before nn_dataset_hash. */
NN_API int nn_dataset_digest(const nn_dataset *d, int32_t source, char hex[65]);
/* By the hashes: a copy of an image of an earlier source is excluded, and so is a training image whose
 * content is in valid. Listed only: copies within one split of one source, content of train or valid in
 * test, content under both labels. */
NN_API int nn_dataset_deduplicate(nn_dataset *d, nn_message *why);
/* Makes a valid split: of each class of source 0, round(fraction*n) training images, at least one, at most
 * n-1. An image's place depends on (seed, its path) alone, so adding files moves few others; equal contents
 * stay together. NN_EINVAL: fraction not in (0,1). NN_ESTATE: there is one. NN_EFORMAT: a class below two. */
NN_API int nn_dataset_split(nn_dataset *d, double fraction, uint64_t seed, nn_message *why);
/* NN_OK if `split` has images of both classes, else NN_EFORMAT with the counts and the remedy. */
NN_API int nn_dataset_check(const nn_dataset *d, int split, nn_message *why);

/* Writes all labelled samples in their order, below a header, as lines "path split label sha256" separated by
 * tabs. path: relative for source 0, absolute for others, with \\ \t \n \r and \xHH for control bytes and
 * invalid UTF-8. split may be "excluded". sha256: empty if unknown. */
NN_API int nn_split_write(const nn_dataset *d, const char *file, nn_message *why);
/* Gives d the splits stored in `file`. Labelled samples it does not know are excluded and listed. NN_EFORMAT,
 * d then unchanged: a damaged line, an unknown path, another label, or another hash (where both sides have
 * one, so call nn_dataset_hash first). */
NN_API int nn_split_apply(nn_dataset *d, const char *file, nn_message *why);
/* Into *n the number of samples of `split` that take part although their content is a train row of `file`;
 * each is listed. Call nn_dataset_hash first; rows and samples without hash are not compared. */
NN_API int nn_split_leaks(nn_dataset *d, const char *file, int split, int64_t *n, nn_message *why);

/* ---- the loader ---- */

struct nn_preprocess;

/* Decodes, preprocesses and augments images in threads of its own, ahead of whoever trains. A batch is a
 * function of the options, the epoch and the position, not of the number of threads. */
typedef struct nn_loader nn_loader;

typedef struct nn_loader_opts { /* pointers are borrowed, and data must not change while the loader lives */
    const nn_dataset *data;
    int split; /* NN_SPLIT_*: the samples of it that take part */
    const struct nn_preprocess *preprocess;
    int64_t batch;
    int shuffle; /* nonzero: each epoch in an order drawn from (seed, epoch), else as in the dataset */
    const struct nn_augment *augment; /* NULL: as the preprocessing record says and no more */
    double mixup;                     /* shape of the distribution of nn_batch.share; 0: nothing is mixed */
    int drop_last;                    /* nonzero: leave out a last batch that is not full */
    uint64_t seed;
    int threads;        /* 0: one for each processor, at most 8 */
    int ahead;          /* batches prepared in advance, 0: 3 */
    size_t cache_bytes; /* memory for decoded (and, where the pipeline begins so, resized) images of later
                           epochs; the first that fit are kept. It changes no batch */
} nn_loader_opts;

/* One batch. Pointers are borrowed until the next call on the loader. */
typedef struct nn_batch {
    int64_t count, first;   /* images in it; position of the first in the epoch */
    const uint8_t *rgb;     /* [count,size,size,3], or NULL, */
    const float *real;      /* where the pipeline normalises (nn_augment_type): these */
    const int32_t *label;   /* [count] */
    double share;           /* mixup: image k is that part of image k and 1 - share of the next, the last one
                               of the first, and so are the labels meant; else 1 */
    const int64_t *sample;  /* [count], indices into nn_dataset.sample */
    const int *status;      /* [count], NN_OK or why the file could not be used; its pixels are zero then */
    const char *const *why; /* [count], the text of that failure, "" otherwise */
    double waited;          /* seconds this call spent waiting for the threads */
} nn_batch;

/* NN_EFORMAT: no sample takes part. */
NN_API int nn_loader_new(nn_loader **out, const nn_loader_opts *opts, nn_message *why);
NN_API void nn_loader_free(nn_loader *loader);
/* Samples of an epoch. */
NN_API int64_t nn_loader_samples(const nn_loader *loader);
/* Begins `epoch` at sample `position` (a multiple of the batch, or the end). */
NN_API int nn_loader_start(nn_loader *loader, int64_t epoch, int64_t position);
/* The next batch; count 0 at the end of the epoch. NN_ESTATE before nn_loader_start. */
NN_API int nn_loader_next(nn_loader *loader, nn_batch *out);

/* Decodes every sample of train and valid that takes part, by `threads` threads, and excludes what cannot be
 * used. `progress` (or NULL) is called by the calling thread, now and then. */
NN_API int nn_dataset_verify(nn_dataset *d, int threads,
                             void (*progress)(void *payload, int64_t done, int64_t all), void *payload,
                             nn_message *why);

/* ---- metrics ---- */

typedef struct nn_class_metrics {
    double precision, recall, f1; /* 0 where the denominator is 0 */
    int64_t support;              /* images of that class */
} nn_class_metrics;

/* Fake is positive. A value that does not exist is NaN: write it as null. */
typedef struct nn_metrics {
    int64_t samples;
    int64_t confusion[2][2];            /* [true label][predicted label] */
    double accuracy, balanced_accuracy; /* balanced: mean recall of the classes present */
    double macro_f1;                    /* mean f1 of both classes, present or not */
    double auc;                         /* ROC; ties count half; NaN with one class */
    double loss, threshold;             /* mean cross entropy, natural logarithm */
    nn_class_metrics per_class[2];      /* real, fake */
} nn_metrics;

/* P(fake) = softmax of logits [real, fake], in double, never overflowing. */
NN_API double nn_probability_fake(const double logits[2]);
/* scikit-learn's metrics of logits [n,2] and label [n] of 0 and 1; predicted fake where P(fake) >= threshold.
 * NaN logits make auc and loss NaN and count as predicted real. NN_EINVAL: n < 1 or another label. */
NN_API int nn_metrics_binary(nn_metrics *out, const double *logits, const int32_t *label, int64_t n,
                             double threshold);
/* Where macro_f1 lies for other images of the same kind: the 2.5th and 97.5th percentile over 1000 resamples
 * of the images with replacement (Efron's percentile bootstrap), a function of `seed` and the confusion
 * matrix. NN_EINVAL: no samples. */
NN_API int nn_macro_f1_interval(double interval[2], const nn_metrics *m, uint64_t seed);

/* ---- CSV and submissions ---- */

/* `text` as a field of RFC 4180, cut off, terminated and counted as by snprintf. */
NN_API size_t nn_csv_field(char *out, size_t size, const char *text);
/* "%.9g" with a decimal point in every locale; "" for NaN and infinity. Returns out. */
NN_API const char *nn_csv_number(char out[32], double value);

/* One answer; with a NaN probability there is none (the image did not decode). */
typedef struct nn_prediction {
    const char *path;
    int32_t label; /* 0 or 1 */
    double probability_fake;
} nn_prediction;

/* Lines "path,label,probability_fake" in the order given, the latter two empty where there is no answer. */
NN_API int nn_predictions_write(const char *file, const nn_prediction *p, int64_t n, nn_message *why);

/* A submission template: header ImageId,answer, then one row per image. */
typedef struct nn_template nn_template;

typedef struct nn_template_opts {
    int probabilities; /* answer is P(fake) rather than 0 or 1 */
    const char *fill;  /* answer of missing images; NULL leaves it empty */
} nn_template_opts;

/* Lists are borrowed from the template, until the next call on it. */
typedef struct nn_template_report {
    int64_t rows, answered, missing, ambiguous; /* missing: rows without a prediction; ambiguous: of these,
                                                   where several images could be meant */
    const char *const *missing_id;              /* ImageIds of the missing */
    int64_t extra;                              /* predictions that no row asks for */
    const int64_t *extra_index;                 /* their indices */
} nn_template_report;

/* NN_EFORMAT names the line. A byte-order mark, CRLF, quotes and a missing last line end are fine. */
NN_API int nn_template_read(nn_template **out, const char *file, nn_message *why);
NN_API void nn_template_free(nn_template *t);
/* Writes the template with only its answers changed. An ImageId means the prediction of that whole path, else
 * of that file name, else of that name without extension; a step at which several fit ends the search.
 * `report` may be NULL. NN_EINVAL: a fill that would need quotes. */
NN_API int nn_template_write(nn_template *t, const char *file, const nn_prediction *p, int64_t n,
                             const nn_template_opts *opts, nn_template_report *report, nn_message *why);

NN_C_END

#endif
