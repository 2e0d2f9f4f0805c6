/* SPDX-License-Identifier: MIT
 *
 * How many threads are worth having. A process may be kept to some processors (its affinity mask: taskset,
 * batch systems) and to a share of their time (the quota of a control group: containers). Threads beyond the
 * quota are worse than useless: all of them stop together when its time is used up, and those that wait for
 * the others spend it.
 *
 * Sources: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max), Documentation/scheduler/sched-bwc.rst.
 */
#define _GNU_SOURCE
#include "base.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The processors of the affinity mask; 0: unknown. The kernel refuses a mask shorter than its own, which on
 * large machines is longer than one cpu_set_t. */
static int allowed(void)
{
#ifdef __linux__
    cpu_set_t set[64] = { 0 };

    if (!sched_getaffinity(0, sizeof set, set))
        return CPU_COUNT_S(sizeof set, set);
#endif
    return 0;
}

/* The beginning of a small file, whose size /proc and /sys do not tell. */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = nni_seam.open(path, O_RDONLY, 0);
    size_t got = 0;

    if (fd < 0)
        return false;
    if (nni_read_all(fd, text, size - 1, &got))
        got = 0;
    (void)nni_seam.close(fd);
    text[got] = 0;
    return got > 0;
}

static bool read_in(const char *folder, const char *name, char *text, size_t size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);

    return n > 0 && (size_t)n < sizeof path && read_text(path, text, size);
}

/* Processors' worth of time that the group at `folder` gets: quota over period, in one file (version 2) or
 * two (version 1). No quota, which is "max" or -1, is INFINITY. */
static double quota_at(const char *folder)
{
    char text[64], *rest;
    long long quota, period = 0;

    if (read_in(folder, "cpu.max", text, sizeof text)) {
        quota = strtoll(text, &rest, 10);
        period = strtoll(rest, NULL, 10);
    } else if (read_in(folder, "cpu.cfs_quota_us", text, sizeof text)) {
        quota = strtoll(text, NULL, 10);
        if (read_in(folder, "cpu.cfs_period_us", text, sizeof text))
            period = strtoll(text, NULL, 10);
    } else {
        return INFINITY;
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : (double)INFINITY;
}

/* The smallest quota of the group `path` below `mount` and of all that it lies in. A container may see the
 * path that its host has for the group, but as the mount only what begins there: then the walk ends at the
 * group. */
static double quota_above(const char *mount, const char *path)
{
    char folder[PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, strcmp(path, "/") ? path : "");
    double least = INFINITY;

    if (n < 0 || (size_t)n >= sizeof folder)
        return least;
    for (char *end = folder + n; end; end = strrchr(folder + strlen(mount), '/')) {
        *end = 0;
        least = fmin(least, quota_at(folder));
    }
    return least;
}

/* Whether "cpu" is in a list like "cpu,cpuacct". */
static bool has_cpu(const char *controllers)
{
    for (const char *c = controllers; *c; c += *c == ',') {
        size_t n = strcspn(c, ",");

        if (n == 3 && !memcmp(c, "cpu", n))
            return true;
        c += n;
    }
    return false;
}

/* By the lines of /proc/self/cgroup, "0::/path" (version 2) or "4:cpu,cpuacct:/path" (version 1). */
static double quota_of_process(void)
{
    char text[4096], *next = text;
    double least = INFINITY;

    if (!read_text("/proc/self/cgroup", text, sizeof text))
        return least;
    while (next) {
        char *line = next, *controllers, *path;

        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        controllers = strchr(line, ':');
        path = controllers ? strchr(++controllers, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        if (!*controllers)
            least = fmin(least, quota_above("/sys/fs/cgroup", path));
        else if (has_cpu(controllers))
            least = fmin(least, quota_above("/sys/fs/cgroup/cpu", path));
    }
    return least;
}

int nni_processors(void)
{
    int n = allowed();

    if (n < 1)
        n = (int)fmin((double)sysconf(_SC_NPROCESSORS_ONLN), NNI_MOST_THREADS);
    n = (int)fmin(n, ceil(quota_of_process()));
    return n < 1 ? 1 : n > NNI_MOST_THREADS ? NNI_MOST_THREADS : n;
}
