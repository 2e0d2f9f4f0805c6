/* SPDX-License-Identifier: MIT
 *
 * The quick part of fakereal_audit before a training, because nobody looks for a shortcut who is pleased with
 * the scores that it gives.
 */
#ifndef APPS_TRAIN_AUDIT_H
#define APPS_TRAIN_AUDIT_H

#include "audit.h"

enum { TRAIN_AUDIT_SECONDS = 60 };

/* Reads the headers of d's files, judges, and says what deserves a warning; gives up after `seconds` of
 * reading, says so and leaves a->file NULL. `walked`: see struct audit. 0 or an exit code; a finding is no
 * reason for one. */
int train_audit(struct audit *a, nn_dataset *d, int64_t walked, int threads, double seconds);
/* The findings as audit.json in the run folder. 0 or an exit code. */
int train_audit_keep(const struct audit *a, const char *folder);

#endif
