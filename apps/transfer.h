/* SPDX-License-Identifier: MIT
 *
 * Which parameters a training changes, and how fast each: --freeze, --unfreeze-at and --lr-scale.
 */
#ifndef APPS_TRANSFER_H
#define APPS_TRANSFER_H

#include "network.h"
#include "train_options.h"

#include <jansson.h>

/* Freezes and scales the parameters of a network that is sealed and has no plan yet, if that is wanted. 0 or
 * an exit code, with the reason printed. */
int transfer_prepare(struct network *n, const struct options *o);
/* From here on all is trained: the network's plans are gone and have to be made again. */
void transfer_unfreeze(struct network *n);
/* Makes the optimizer begin anew, as one that has seen none of the parameters. */
void transfer_restart(struct network *n, nn_plan *plan);
/* What belongs to the configuration of the run. */
void transfer_record(const struct options *o, json_t *config);

#endif
