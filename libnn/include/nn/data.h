/* SPDX-License-Identifier: MIT
 *
 * Images on disk and the numbers about predictions: which files there are, what class and what split
 * they belong to, which of them may be used, in what order an epoch sees them, how predictions are
 * written and how good they are. No pixel is touched here (see nn/vision.h).
 *
 * The class of a labelled image is the name of its folder, never anything in its file name:
 * fake is 1 and the positive class, real is 0.
 *
 * Usual order for training: nn_dataset_add, nn_dataset_add_extra, nn_dataset_hash, nn_dataset_deduplicate,
 * nn_dataset_exclude for files that do not decode, then nn_dataset_split or nn_split_apply, nn_dataset_check,
 * nn_split_write.
 */
#ifndef NN_DATA_H
#define NN_DATA_H

#include <nn/base.h>

NN_C_BEGIN

/* ---------------------------------------------------------------- images on disk (folder.c) */

enum { NN_LABEL_REAL = 0, NN_LABEL_FAKE = 1, NN_LABEL_NONE = 2, NN_LABELS = 3 };
enum { NN_SPLIT_TRAIN, NN_SPLIT_VALID, NN_SPLIT_TEST, NN_SPLITS };

/* "train", "valid", "test"; "?" for another value. The split of that name ("val" too), -1 when there is none.
 */
NN_API const char *nn_split_name(int split);
NN_API int nn_split_named(const char *name);

/* One image file. Paths are bytes as on disk: they may hold spaces, newlines and invalid UTF-8. */
typedef struct nn_sample {
    const char *path;     /* relative to the root of its source; its identity */
    const char *file;     /* what opens it: absolute, except for single files given by name */
    const char *excluded; /* NULL, or why it takes no part */
    uint64_t size;        /* bytes */
    int32_t source;       /* index into nn_dataset.source; 0 is the first added */
    int16_t split, label; /* NN_SPLIT_*, NN_LABEL_* */
    char sha256[65];      /* lower-case hex; "" until nn_dataset_hash */
} nn_sample;

/* What was found on the way and is worth a line in the report. */
#define NN_PROBLEM_LIST(X)                                                                                   \
    X(NN_PROBLEM_FOLDER, "folder ignored") /* neither a class nor a split */                                 \
    X(NN_PROBLEM_UNREADABLE, "cannot be read")                                                               \
    X(NN_PROBLEM_VISITED, "visited twice")      /* a link to a folder already seen */                        \
    X(NN_PROBLEM_SPECIAL, "not a regular file") /* FIFO, socket, device; not opened */                       \
    X(NN_PROBLEM_DEEP, "nested too deep")                                                                    \
    X(NN_PROBLEM_EXCLUDED, "image excluded")                                                                 \
    X(NN_PROBLEM_DUPLICATE, "duplicate content")                                                             \
    X(NN_PROBLEM_LEAK, "also in another split")                                                              \
    X(NN_PROBLEM_CONFLICT, "same content in both classes")

typedef enum nn_problem_kind {
#define X(name, text) name,
    NN_PROBLEM_LIST(X)
#undef X
        NN_PROBLEMS
} nn_problem_kind;
NN_API const char *nn_problem_name(nn_problem_kind kind);

typedef struct nn_problem {
    nn_problem_kind kind;
    const char *file; /* the file or folder it is about */
    const char *text; /* why, or the other file */
} nn_problem;

typedef struct nn_source {
    const char *root;         /* absolute; "" for single files given by name */
    const char *template_csv; /* root/test/sample_submission.csv if there is one, else NULL */
    int64_t hidden;           /* skipped: names beginning with a dot, Thumbs.db */
    int64_t ignored;          /* skipped: neither .jpg, .jpeg nor .png, or outside the class folders */
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
 * where a CLASS folder is fake_images, fake, ai, 1_fake or real_images, real, nature, 0_real. The root, the
 * folder that looks like this, may lie up to three levels down; two equally near ones are NN_EFORMAT, a
 * single-class folder is a root only if nothing else is; a root added before is NN_EINVAL. Folders inside
 * class folders are walked to depth 32, symbolic links are followed, each folder is visited once, only
 * regular files count. NN_ENOTFOUND: no such folder. NN_EFORMAT: no layout found. NN_EIO, NN_ENOMEM. On
 * failure d is unchanged; unreadable folders inside are problems, not failures. */
NN_API int nn_dataset_add(nn_dataset *d, const char *folder, nn_message *why);
/* The same from one folder per class; all NN_SPLIT_TRAIN. Paths are "fake/..." and "real/..." below those
 * folders. */
NN_API int nn_dataset_add_pair(nn_dataset *d, const char *fake_dir, const char *real_dir, nn_message *why);
/* More training images: of `folder` only train (or class folders without splits) is taken. NN_EFORMAT if that
 * is empty. */
NN_API int nn_dataset_add_extra(nn_dataset *d, const char *folder, nn_message *why);
/* Images that a CSV file names, header path,label: paths relative to its folder or absolute, labels 0, real,
 * 1 or fake; all of them get `split`.
 * Whether the files are there is found out when they are opened. NN_EFORMAT names the
 * line: another header, a label that is none, no rows, a path listed twice. */
NN_API int nn_dataset_add_table(nn_dataset *d, const char *file, int split, nn_message *why);
/* Images without label, split NN_SPLIT_TEST: a folder's, or one file whatever its extension (path as given).
 */
NN_API int nn_dataset_add_images(nn_dataset *d, const char *path, nn_message *why);

/* SHA-256 of every sample that takes part and has none yet, by `threads` threads (0: one a processor). Files
 * that cannot be read are excluded. NN_ENOMEM. */
NN_API int nn_dataset_hash(nn_dataset *d, int threads, nn_message *why);
/* SHA-256 over the labelled samples of one source: relative path, content, label and split of each.
 * NN_ESTATE before nn_dataset_hash. */
NN_API int nn_dataset_digest(const nn_dataset *d, int32_t source, char hex[65]);
/* By the hashes: a copy of an image of an earlier source is excluded, and so is a training image whose
 * content is in valid. Listed only: copies within one split of one source, content of train or valid in
 * test, content under both labels. NN_ENOMEM. */
NN_API int nn_dataset_deduplicate(nn_dataset *d, nn_message *why);
/* Takes sample i out and lists it; it counts as bad. NN_ENOMEM. */
NN_API int nn_dataset_exclude(nn_dataset *d, int64_t i, const char *reason);
/* Makes a valid split: of each class of source 0, round(fraction*n) training images, at least one and at
 * most n-1. An image's place depends on (seed, its path) only: the images of the lowest Philox words keyed
 * by them go to valid, so adding or removing files moves few others. Equal contents stay on one side.
 * NN_EINVAL: fraction not in (0,1). NN_ESTATE: there is a valid split. NN_EFORMAT: a class below two images.
 */
NN_API int nn_dataset_split(nn_dataset *d, double fraction, uint64_t seed, nn_message *why);
/* NN_OK if `split` has images of both classes, else NN_EFORMAT with the counts and the remedy. */
NN_API int nn_dataset_check(const nn_dataset *d, int split, nn_message *why);

/* ------------------------------------------------------------- remembered splits (split.c) */

/* Writes all labelled samples as lines "path split label sha256" separated by tabs, below a header line,
 * in dataset order. path: relative for source 0, absolute for the others. split: train, valid, test or
 * excluded. label: 0 or 1. sha256: empty if unknown. In a path, \\ \t \n \r are escapes, and so is \xHH
 * for any other control byte or byte of invalid UTF-8; everything else is as on disk. Atomic. NN_EIO,
 * NN_ENOMEM. */
NN_API int nn_split_write(const nn_dataset *d, const char *file, nn_message *why);
/* Gives d the splits stored in `file`. Labelled samples the file does not know are excluded and listed.
 * NN_EFORMAT, d then unchanged: a damaged line, a path that is not among the samples, another label, or
 * another hash where both sides have one (so call nn_dataset_hash first to compare contents). NN_ENOTFOUND,
 * NN_EIO, NN_ENOMEM. */
NN_API int nn_split_apply(nn_dataset *d, const char *file, nn_message *why);
/* Into *n the number of samples of `split` that take part although their content is a train row of `file`;
 * each is listed. Call nn_dataset_hash first; rows and samples without hash are not compared. */
NN_API int nn_split_leaks(nn_dataset *d, const char *file, int split, int64_t *n, nn_message *why);

/* -------------------------------------------------------------- order of an epoch (order.c) */

/* Writes the order of an epoch: position p sees sample order[p]. A permutation of 0..n-1 that is a pure
 * function of (seed, epoch, n): Fisher-Yates from the top, swapping i=n-1..1 with an unbiased j in [0,i]
 * from Philox. NN_EINVAL unless 0 <= n < 2^32. */
NN_API int nn_epoch_order(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order);

/* --------------------------------------------------------------------------- loader (loader.c) */

struct nn_preprocess;

/* Decodes, preprocesses and augments images in threads of its own, ahead of whoever trains. A
 * batch is a pure function of the options, the epoch and the position: not of the number of threads. */
typedef struct nn_loader nn_loader;

typedef struct nn_loader_opts {
    const nn_dataset *data;                 /* borrowed, and must not change while the loader lives */
    int split;                              /* NN_SPLIT_*: the samples of it that take part */
    const struct nn_preprocess *preprocess; /* borrowed */
    int64_t batch;
    int shuffle; /* nonzero: each epoch in the order of nn_epoch_order(seed, epoch, n), else as in the dataset
                  */
    int flip;    /* nonzero: mirror each image with probability 1/2, drawn from (seed, epoch, sample) */
    int drop_last; /* nonzero: leave out a last batch that is not full */
    uint64_t seed;
    int threads; /* 0: one for each processor, at most 8 */
    int ahead;   /* batches prepared in advance, 0: 3 */
} nn_loader_opts;

/* One batch. Pointers are borrowed until the next call on the loader. */
typedef struct nn_batch {
    int64_t count;          /* images in it */
    int64_t first;          /* position of the first in the epoch */
    const uint8_t *rgb;     /* [count,size,size,3] */
    const int32_t *label;   /* [count] */
    const int64_t *sample;  /* [count], indices into nn_dataset.sample */
    const int *status;      /* [count], NN_OK or why the file could not be used; its pixels are zero then */
    const char *const *why; /* [count], the text of that failure, "" otherwise */
    double waited;          /* seconds this call spent waiting for the threads */
} nn_batch;

/* NN_EFORMAT: no sample takes part; NN_EINVAL, NN_ENOMEM. */
NN_API int nn_loader_new(nn_loader **out, const nn_loader_opts *opts, nn_message *why);
NN_API void nn_loader_free(nn_loader *loader);
/* Samples of an epoch, and its batches. */
NN_API int64_t nn_loader_samples(const nn_loader *loader);
NN_API int64_t nn_loader_batches(const nn_loader *loader);
/* Begins `epoch` at sample position `position` (a multiple of the batch, or the end: the number of samples),
 * dropping what was prepared. */
NN_API int nn_loader_start(nn_loader *loader, int64_t epoch, int64_t position);
/* The next batch; count 0 at the end of the epoch. NN_ESTATE before nn_loader_start. */
NN_API int nn_loader_next(nn_loader *loader, nn_batch *out);

/* Decodes every sample of train and valid that takes part, by `threads` threads, and excludes what cannot be
 * used. `progress` (may be NULL) is told now and then how many are done, from the calling thread. NN_ENOMEM.
 */
NN_API int nn_dataset_verify(nn_dataset *d, int threads,
                             void (*progress)(void *payload, int64_t done, int64_t all), void *payload,
                             nn_message *why);

/* ------------------------------------------------------------------------- metrics (metrics.c) */

typedef struct nn_class_metrics {
    double precision, recall, f1; /* 0 where the denominator is 0 */
    int64_t support;              /* images of that class */
} nn_class_metrics;

/* Fake is positive. A value that does not exist is NaN: write it as null. */
typedef struct nn_metrics {
    int64_t samples;
    int64_t confusion[2][2]; /* [true label][predicted label] */
    double accuracy;
    double balanced_accuracy; /* mean recall of the classes present */
    double macro_f1;          /* mean f1 of both classes, present or not */
    double auc;               /* ROC; ties count half; NaN with one class */
    double loss;              /* mean cross entropy, natural logarithm */
    double threshold;
    nn_class_metrics per_class[2]; /* real, fake */
} nn_metrics;

/* P(fake) = softmax of logits [real, fake], in double, never overflowing. */
NN_API double nn_probability_fake(const double logits[2]);
/* Metrics of n predictions; logits [n,2], label [n] of 0 and 1; predicted fake where P(fake) >= threshold.
 * Equals scikit-learn's. Logits of a NaN make auc and loss NaN and count as predicted real. NN_EINVAL: n < 1
 * or another label. NN_ENOMEM. */
NN_API int nn_metrics_binary(nn_metrics *out, const double *logits, const int32_t *label, int64_t n,
                             double threshold);
/* Where macro_f1 lies for other images of the same kind: the 2.5th and 97.5th percentile over 1000 resamples
 * of the images with replacement (Efron's percentile bootstrap), a function of `seed` and the confusion
 * matrix. NN_EINVAL: no samples. */
NN_API int nn_macro_f1_interval(double interval[2], const nn_metrics *m, uint64_t seed);

/* Early stopping as plain numbers that can be saved and restored. Zeroed: minimise, never stop. Equal to the
 * best or better is an improvement, NaN never is. */
typedef struct nn_early_stop {
    int64_t patience; /* stop after so many epochs in a row without improvement; 0: never */
    int32_t maximize; /* 0: lower is better (a loss), 1: higher is better (a score) */
    int32_t seen;     /* 1 once `best` holds a value */
    double best;
    int64_t best_epoch, bad_epochs, epochs;
} nn_early_stop;

/* Tells the value of the next epoch. Returns 1 if it is the best so far, else 0. */
NN_API int nn_early_stop_update(nn_early_stop *s, double value);
/* 1 when it is time to stop. */
NN_API int nn_early_stop_done(const nn_early_stop *s);

/* --------------------------------------------------------- CSV and submissions (csv.c, template.c) */

/* Writes `text` as an RFC 4180 field (in quotes if it holds a comma, quote, CR or LF; bytes unchanged) into
 * out[size], cut off and terminated like snprintf. Returns the length of the whole field. */
NN_API size_t nn_csv_field(char *out, size_t size, const char *text);
/* "%.9g" with a decimal point in every locale; "" for NaN and infinity. Returns out. */
NN_API const char *nn_csv_number(char out[32], double value);

/* One answer. A NaN probability says that there is none (the image did not decode). */
typedef struct nn_prediction {
    const char *path;
    int32_t label; /* 0 or 1 */
    double probability_fake;
} nn_prediction;

/* "path,label,probability_fake", one line per prediction in the order given; label and probability are
 * empty where there is no answer. Atomic. NN_EIO, NN_ENOMEM. */
NN_API int nn_predictions_write(const char *file, const nn_prediction *p, int64_t n, nn_message *why);

/* A submission template: header ImageId,answer, then one row per image. */
typedef struct nn_template nn_template;

typedef struct nn_template_opts {
    int probabilities; /* answer is P(fake) rather than 0 or 1 */
    const char *fill;  /* answer of missing images; NULL leaves it empty */
} nn_template_opts;

/* Lists are borrowed from the template, until the next call on it. */
typedef struct nn_template_report {
    int64_t rows, answered;
    int64_t missing;               /* rows without a prediction */
    const char *const *missing_id; /* their ImageIds */
    int64_t ambiguous;             /* of the missing: several images could be meant */
    int64_t extra;                 /* predictions that no row asks for */
    const int64_t *extra_index;    /* their indices */
} nn_template_report;

/* NN_EFORMAT names the line: another header, a row that has not two fields, an empty ImageId, a stray quote
 * or carriage return, a zero byte. A byte-order mark, CRLF, quotes and a missing last line end are fine.
 * NN_ENOTFOUND, NN_EIO. */
NN_API int nn_template_read(nn_template **out, const char *file, nn_message *why);
NN_API void nn_template_free(nn_template *t);
NN_API int64_t nn_template_rows(const nn_template *t);
NN_API const char *nn_template_id(const nn_template *t, int64_t row);
/* Writes the template with only its answers changed: every other byte is kept. An ImageId means the
 * prediction of that whole path, else of that file name, else of that name without image extension; a
 * step at which several fit ends the search. report may be NULL. Atomic. NN_EINVAL: a fill that would
 * need quotes. NN_EIO, NN_ENOMEM. */
NN_API int nn_template_write(nn_template *t, const char *file, const nn_prediction *p, int64_t n,
                             const nn_template_opts *opts, nn_template_report *report, nn_message *why);

NN_C_END

#endif
