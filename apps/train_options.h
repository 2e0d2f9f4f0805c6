/* SPDX-License-Identifier: MIT
 *
 * What fakereal_train can be asked for, on the command line or in a recipe.
 */
#ifndef APPS_TRAIN_OPTIONS_H
#define APPS_TRAIN_OPTIONS_H

#include "app.h"

#include <stdbool.h>
#include <stdint.h>

enum { MOST_EXTRA = 32, MOST_PATTERNS = 32, PATTERN_SIZE = 256, WARMUP_AUTO = -1, CACHE_AUTO = -1 };

/* Parameters whose names match learn so many times as fast. */
struct lr_scale {
    char pattern[PATTERN_SIZE];
    double factor;
};

struct options {
    const char *data, *fake_dir, *real_dir, *train_csv, *valid_csv, *extra[MOST_EXTRA], *split;
    const char *model, *weights, *dialect, *head, *optimizer, *schedule, *augment, *monitor, *run_dir,
        *resume;
    const char *freeze[MOST_PATTERNS];
    struct lr_scale lr_scale[MOST_PATTERNS];
    struct app_device device;
    int extras, freezes, lr_scales, loader_threads;
    int64_t image_size, epochs, batch, warmup, patience, checkpoint_every, max_steps, step_every, unfreeze_at;
    int64_t cache; /* bytes, or CACHE_AUTO */
    uint64_t seed;
    double lr, decay, valid_fraction, clip, ema, smoothing, mixup, step_factor, mean[3], std[3];
    bool decay_given, mean_given, std_given, dry_run, no_audit, recompute;
};

/* Defaults, then the recipe, then the command line; a mistake ends the program with APP_USAGE. */
void options_parse(struct options *o, int argc, char **argv);

#endif
