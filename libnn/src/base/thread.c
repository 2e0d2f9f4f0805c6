/* SPDX-License-Identifier: MIT
 *
 * Threads of a library in somebody else's program. The kernel gives a signal to any thread that does not
 * block it: a handler would run in the middle of a kernel, and calls of the program's own threads would not
 * be interrupted as it expects. So ours block all signals, but for those that a thread brings upon itself,
 * which crash reporters wait for, and the one by which profilers look at whoever is running.
 */
#include "base/thread.h"

#include <signal.h>

int nni_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    static const int open[] = { SIGBUS, SIGFPE, SIGILL, SIGPROF, SIGSEGV, SIGSYS, SIGTRAP };
    sigset_t blocked, before;
    int rc;

    (void)sigfillset(&blocked);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        (void)sigdelset(&blocked, open[i]);
    rc = pthread_sigmask(SIG_BLOCK, &blocked, &before); /* which the new thread inherits */
    if (rc)
        return rc;
    rc = pthread_create(thread, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
