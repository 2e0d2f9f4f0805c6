/* SPDX-License-Identifier: MIT
 *
 * The run folder of a training: what was asked for, what happened, and where it stands.
 *
 *     config.json  split.tsv  metrics.csv  valid_predictions.csv  events.jsonl  last.safetensors  best.safetensors
 */
#ifndef APPS_RUN_H
#define APPS_RUN_H

#include "network.h"

#include <jansson.h>
#include <nn/data.h>

/* Where a run stands, beyond what the plan's checkpoint holds. Goes through the checkpoint exactly. */
struct run_state {
    int64_t epoch;    /* being trained, from 0 */
    int64_t position; /* samples of it that are done */
    double loss_sum;  /* over them, of the training loss */
    double seconds, waited; /* of this epoch's training so far; not part of the exact state */
    nn_early_stop stop;
    nn_plateau plateau;
    int finished;
};

struct run {
    const char *folder;
    json_t *config; /* everything that decides the result */
    struct run_state state;
};

/* 0 or an exit code, as everywhere here. */
int run_save(struct run *r, const struct network *n, const nn_plan *plan);
int run_save_best(struct run *r, struct network *n, nn_base role, double threshold);
/* Reads the state and compares the configuration; differences are listed and are an error. */
int run_resume(struct run *r, struct network *n, nn_plan *plan, const char *file);
/* The stored configuration alone; NULL with the reason printed. */
json_t *run_stored_config(const char *file);

/* One row of metrics.csv; rows of this or later epochs, left by an interrupted run, are replaced. */
struct run_row {
    int64_t epoch, step;
    double train_loss;
    nn_metrics valid;
    double learning_rate, images_per_second, wait_for_data;
};
int run_add_row(const struct run *r, const struct run_row *row);
int run_write_predictions(const struct run *r, const nn_dataset *d, const int64_t *sample, const double *logits,
                          int64_t n);
/* Appends one object to events.jsonl; takes the reference. A full disk costs the line, not the run. */
void run_event(const struct run *r, json_t *event);

#endif
