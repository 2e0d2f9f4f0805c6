/* SPDX-License-Identifier: MIT
 *
 * What all test programs end with.
 */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>

/* Runs the suite and frees it; the exit code of its program. */
int suite_run(Suite *suite);

#endif
