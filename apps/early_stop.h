/* SPDX-License-Identifier: MIT
 *
 * When a training should end, as plain numbers, so that a checkpoint can hold them.
 */
#ifndef APPS_EARLY_STOP_H
#define APPS_EARLY_STOP_H

#include <stdint.h>

/* Equal to the best or better is an improvement, NaN never is. */
struct early_stop {
    int64_t patience; /* stop after so many epochs in a row without improvement; 0: never */
    int32_t maximize; /* 0: lower is better (a loss), 1: higher is better (a score) */
    int32_t seen;     /* 1 once `best` holds a value */
    double best;
    int64_t best_epoch, bad_epochs, epochs;
};

/* Takes the value of the next epoch. Returns 1 if it is the best so far, else 0. */
int early_stop_update(struct early_stop *s, double value);
/* 1 when it is time to stop. */
int early_stop_done(const struct early_stop *s);

#endif
