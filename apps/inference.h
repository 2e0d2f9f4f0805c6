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

/* Options of both programs, parsed by the child parser inference_argp; its input is this structure. */
struct inference {
    struct app_device device;
    int64_t batch;
};
#define INFERENCE_DEFAULTS ((struct inference){ .batch = 16 })
extern const struct argp inference_argp;

/* What became of one image of a dataset. */
struct outcome {
    double logits[2]; /* real, fake */
    bool done;        /* the network has seen it */
    char *why;        /* why there is no answer, owned; NULL otherwise */
};

/* Opens a checkpoint for `images` images in all, refusing what is no classifier of real and fake. */
int inference_open(nn_classifier **out, nn_device *device, const char *checkpoint, const struct inference *o,
                   int64_t images);
/* Shows the network every image of `split` that takes part; out[i] is told about sample i. Ends early, with
 * APP_OK, when app_interrupted is set. Returns an exit code, with the reason printed. */
int inference_run(nn_classifier *c, const nn_dataset *d, int split, const struct inference *o,
                  const char *title, struct outcome *out);
void inference_free(struct outcome *out, int64_t n);

/* APP_OK if a file could be created at `path`, so that this is known before hours of work. */
int inference_can_write(const char *path);

#endif
