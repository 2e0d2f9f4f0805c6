/* SPDX-License-Identifier: MIT
 *
 * How the library starts its threads.
 */
#ifndef NNI_THREAD_H
#define NNI_THREAD_H

#include <pthread.h>

/* pthread_create with the defaults, but no signal meant for the process is handled on the new thread. */
int nni_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
