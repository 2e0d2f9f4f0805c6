/* SPDX-License-Identifier: MIT
 *
 * How much memory there is, and amounts of it as options say them. A container has less than its machine, so
 * that both are asked.
 */
#include "app.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t app_bytes(const struct argp_state *state, const char *option, const char *text)
{
    static const char units[] = "KMG";
    char *end;
    double v = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;

    if (unit) {
        v *= pow(1024, (double)(unit - units + 1));
        end++;
    }
    if (end == text || *end || !(v >= 0 && v <= 0x1p50))
        app_bad_option(state, "--%s: \"%s\" is no amount of memory such as 500M or 4G", option, text);
    return (int64_t)v;
}

/* The number behind `key` in a small file, "" for one that is nothing but a number; infinity without one. */
static double number_in(const char *path, const char *key)
{
    char *text = app_read_text(path, 1 << 16), *at = text ? strstr(text, key) : NULL, *end;
    double v = (double)INFINITY;

    if (at) {
        at += strlen(key);
        v = strtod(at, &end);
        if (end == at)
            v = (double)INFINITY;
    }
    free(text);
    return v;
}

double app_available_bytes(void)
{
    double machine = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    double limit = number_in("/sys/fs/cgroup/memory.max", ""), used = 0, files = 0, most;

    if (isfinite(limit)) {
        used = number_in("/sys/fs/cgroup/memory.current", "");
        files = number_in("/sys/fs/cgroup/memory.stat", "\ninactive_file "); /* which make room for others */
    }
    most = fmin(machine, fmax(0, limit - used + (isfinite(files) ? files : 0)));
    return isfinite(most) ? most : 0;
}
