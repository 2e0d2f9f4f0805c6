/* SPDX-License-Identifier: MIT
 *
 * Numbers in files are written with a point. The C library reads and writes them as the locale of the program
 * says that links this one, and there it may be a comma: half of Europe could not open what it has saved. So
 * for the moment of reading or writing a number the thread has no locale.
 */
#include "base.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

struct locales {
    locale_t plain, before;
};

static struct locales leave_locale(void)
{
    struct locales l = { .plain = newlocale(LC_ALL_MASK, "C", (locale_t)0) };

    l.before = l.plain ? uselocale(l.plain) : (locale_t)0;
    return l;
}

static void return_to(struct locales l)
{
    if (l.plain) {
        (void)uselocale(l.before);
        freelocale(l.plain);
    }
}

double nni_read_number(const char *text, char **end)
{
    struct locales l = leave_locale();
    double value = strtod(text, end);

    return_to(l);
    return value;
}

const char *nni_print_number(char out[32], double value, int digits)
{
    struct locales l = leave_locale();

    (void)snprintf(out, 32, "%.*g", digits, value);
    return_to(l);
    return out;
}
