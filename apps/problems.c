/* SPDX-License-Identifier: MIT
 *
 * See problems.h.
 */
#include "problems.h"

#include "app.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_NOTES = 20 };

const char *problem_reason(const char *file, const char *text)
{
    size_t n = strlen(file);

    return !strncmp(text, file, n) && !strncmp(text + n, ": ", 2) ? text + n + 2 : text;
}

void problem_say(const char *file, const char *reason)
{
    app_say("%s: %s", file, problem_reason(file, reason));
}

json_t *problem_json(const char *text)
{
    json_t *j = json_string(text);
    char *copy = j ? NULL : app_visible(text);

    if (copy)
        j = json_string(copy);
    free(copy);
    return j;
}

int64_t problems_say(const nn_dataset *d, int64_t from)
{
    int64_t bad = 0, notes = 0;

    for (int64_t i = from; i < d->problems; i++) {
        const nn_problem *p = &d->problem[i];
        bool is_bad =
            p->kind == NN_PROBLEM_UNREADABLE || p->kind == NN_PROBLEM_EXCLUDED || p->kind == NN_PROBLEM_DEEP;
        char text[4096];

        bad += is_bad;
        if (!is_bad && ++notes > MOST_NOTES)
            continue;
        (void)snprintf(text, sizeof text, "%s: %s", nn_problem_name(p->kind),
                       problem_reason(p->file, p->text));
        problem_say(p->file, text);
    }
    if (notes > MOST_NOTES)
        app_say("... and %lld more", (long long)notes - MOST_NOTES);
    return bad;
}

int64_t problems_folders(const nn_dataset *d)
{
    int64_t n = 0;

    for (int64_t i = 0; i < d->problems; i++) {
        const nn_problem *p = &d->problem[i];
        struct stat st;

        n += p->kind == NN_PROBLEM_DEEP ||
             (p->kind == NN_PROBLEM_UNREADABLE && !stat(p->file, &st) && S_ISDIR(st.st_mode));
    }
    return n;
}

int problems_spares(const char *option, const char *output, const nn_dataset *d)
{
    for (int64_t i = 0; output && app_exists(output) && i < d->samples; i++)
        if (app_same_file(output, d->sample[i].file))
            return app_fail(APP_USAGE, "%s %s is an image that is to be read", option, output);
    return APP_OK;
}
