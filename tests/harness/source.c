/* SPDX-License-Identifier: MIT
 *
 * The top of the source tree: from where the compiler saw this file, or above the working folder.
 */
#include "source.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int source_path(char *path, size_t size, const char *tail)
{
    static const char *const up[] = { "", "../", "../../", "../../../", "../../../../" };
    const char *here = __FILE__, *end = strstr(here, "tests/harness/source.c");

    if (end) {
        (void)snprintf(path, size, "%.*s%s", (int)(end - here), here, tail);
        if (!access(path, R_OK))
            return 1;
    }
    for (size_t i = 0; i < sizeof up / sizeof *up; i++) {
        (void)snprintf(path, size, "%s%s", up[i], tail);
        if (!access(path, R_OK))
            return 1;
    }
    return 0;
}
