/* SPDX-License-Identifier: MIT
 *
 * What evaluating and predicting share: running a network over images on disk, and telling about the
 * files that could not be used. No image stops the others: each has its own outcome.
 */
#ifndef APPS_INFERENCE_H
#define APPS_INFERENCE_H

#include "app.h"

#include <nn/classifier.h>
#include <nn/data.h>

/* Values of an option that may have several. */
struct paths {
    char **at; /* the array is owned, the paths are not */
    int64_t n;
};
void paths_add(struct paths *l, char *text);

/* Options of both programs, parsed by the child parser inference_argp; its input is this structure. */
struct inference {
    struct app_device device;
    int64_t batch;
    struct paths checkpoints;
    double threshold;     /* the first checkpoint's */
    nn_device *on;        /* borrowed */
    nn_classifier *first; /* open until it is run: nothing is opened twice for nothing */
};
#define INFERENCE_DEFAULTS ((struct inference){ .batch = 16 })
extern const struct argp inference_argp;
/* "--checkpoint a b" means "--checkpoint a --checkpoint b", and so with --images: a new argument list for
 * app_parse. */
char **inference_spread(int *argc, char **argv);

/* What became of one image of a dataset. */
struct outcome {
    double logits[2]; /* real, fake; of several checkpoints those of the mean of the probabilities */
    int seen;         /* how many checkpoints have answered */
    bool not_finite;  /* one of them with no number */
    char *why;        /* why there is no answer, owned; NULL otherwise */
};

/* Opens every checkpoint for `images` images in all, refusing what is no classifier of real and fake: one
 * that is damaged should not be found after hours. Only one at a time is in memory. Returns an exit code,
 * with the reason printed. */
int inference_open(struct inference *o, nn_device *device, int64_t images);
/* Before the device is closed. */
void inference_close(struct inference *o);
/* Shows each of the networks every image of `split` that takes part; out[i] is told about sample i. Ends
 * early, with APP_OK, when app_interrupted is set. Returns an exit code, with the reason printed. */
int inference_run(struct inference *o, const nn_dataset *d, int split, const char *title,
                  struct outcome *out);
void inference_free(struct outcome *out, int64_t n);

#endif
