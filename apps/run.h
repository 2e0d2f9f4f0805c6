/* SPDX-License-Identifier: MIT
 *
 * The run folder of a training: what was asked for, what happened, and where it stands.
 *
 *     config.json  split.tsv  metrics.csv  valid_predictions.csv  events.jsonl  report.html
 *     last.safetensors  best.safetensors
 *
 * and, after an end by --max-steps within an epoch, best.safetensors~ and valid_predictions.csv~ (see
 * run_put_best_aside).
 */
#ifndef APPS_RUN_H
#define APPS_RUN_H

#include "early_stop.h"
#include "network.h"

#include <jansson.h>
#include <nn/data.h>

/* Where a run stands, beyond what the plan's checkpoint holds. Goes through the checkpoint exactly. */
struct run_state {
    int64_t epoch;          /* being trained, from 0 */
    int64_t position;       /* samples of it that are done */
    double loss_sum;        /* over them, of the training loss */
    double seconds, waited; /* of this process's part of the epoch, which began */
    int64_t from;           /* at this position; not part of the exact state */
    struct early_stop stop;
    nn_plateau plateau;
    int64_t ended; /* step within an epoch at which --max-steps ended the run, validated; 0: it did not */
};

struct run {
    const char *folder;
    json_t *config; /* everything that decides the result */
    struct run_state state;
};

/* 0 or an exit code, as everywhere here. */
/* Takes the folder for this process until it ends: two that train into one would spoil each other's files. */
int run_lock(const struct run *r);
/* That none of the files of a run is a link, by which it would be written somewhere else, or a pipe. */
int run_check_files(const char *folder);
int run_save(struct run *r, const struct network *n, nn_plan *plan);
int run_save_best(struct run *r, struct network *n, nn_base role, double threshold);
/* Reads the state and compares the configuration; differences are listed and are an error. run.folder need
 * not be the folder of `file`. */
int run_resume(struct run *r, struct network *n, nn_plan *plan, const char *file);
/* The stored configuration alone, of a checkpoint that is whole. */
int run_stored_config(json_t **out, const char *file);

/* A run that --max-steps ends within an epoch validates there, and what that finds may replace the best
 * weights. A longer run would not have validated there: so that it can be had by resuming, the best of before
 * is put aside. */
int run_put_best_aside(const struct run *r);
/* Readies the folder for going on from `file`: the best weights are again those of the state, records of the
 * run come along from another folder, and what a killed process left half-written is removed. Best weights
 * that are damaged are set apart, and as good as gone. */
int run_restore(struct run *r, const char *file);
/* Whether a folder without a checkpoint holds a run that never had one: killed before, it left a
 * configuration and perhaps the best of its first epoch. Where events.jsonl tells of a checkpoint the best
 * weights may be all that is left of long work. */
bool run_can_begin_again(const char *folder);
/* Removes what such a run left, and says so; events.jsonl goes on. */
int run_clear(const struct run *r);

/* One row of metrics.csv; rows of this or later epochs, left by an interrupted run, are replaced. Where the
 * file counts from 0, as those of older runs do, it goes on so. */
struct run_row {
    int64_t epoch, step; /* the first epoch is 1 */
    double train_loss;
    nn_metrics valid;
    double learning_rate, images_per_second, wait_for_data;
};
int run_add_row(const struct run *r, const struct run_row *row);
int run_write_predictions(const struct run *r, const nn_dataset *d, const int64_t *sample,
                          const double *logits, int64_t n);
/* Of run_report.c: report.html, made of the folder's metrics.csv and valid_predictions.csv. A page that
 * cannot be written is said and costs nothing else. */
void run_write_report(const struct run *r);
/* Appends one object to events.jsonl; takes the reference. A full disk costs the line, not the run. */
void run_event(const struct run *r, json_t *event);

#endif
