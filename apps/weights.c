/* SPDX-License-Identifier: MIT
 *
 * See weights.h.
 */
#include "app.h"
#include "weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFIG = 1 << 20, MOST_TOLD = 20 };

char *weights_config(const char *path)
{
    char *name = app_beside(path, "config.json"), *text = calloc(MOST_CONFIG + 1, 1);
    FILE *f;

    if (!text)
        exit(app_fail(APP_DEVICE, "out of memory"));
    f = app_open_text(name);
    if (!f || !fread(text, 1, MOST_CONFIG, f)) {
        free(text);
        text = NULL;
    }
    if (f)
        (void)fclose(f);
    free(name);
    return text;
}

int weights_exit_code(int status)
{
    return status == NN_EINVAL ? APP_USAGE : status == NN_ENOTFOUND ? APP_DATA : app_exit_code(status);
}

int weights_open(struct weights *w, const char *path, const char *dialect, bool averaged)
{
    nn_weights_opts how = { .averaged = averaged };
    nn_pretrained_opts opts = { .path = path, .dialect = dialect };
    nn_message why;
    char *config;
    int rc;

    *w = (struct weights){ .path = path };
    rc = nn_weights_open(&w->file, path, &how, &why);
    if (rc)
        return app_fail(weights_exit_code(rc), "%s", why.text);
    opts.config = config = weights_config(path);
    rc = nn_pretrained_identify(&w->about, w->file, &opts, &why);
    free(config);
    if (rc)
        return app_fail(weights_exit_code(rc), "%s: %s%s", path, why.text,
                        rc == NN_EINVAL ? " (with --dialect)" : "");
    return APP_OK;
}

void weights_free(struct weights *w)
{
    nn_safetensors_free(w->file);
    nn_preprocess_free(&w->about.preprocess);
    *w = (struct weights){ .path = NULL };
}

/* How many elements of tensor i are below zero, and the first of them. */
static int64_t count_negative(const nn_safetensors *file, int64_t i, int64_t *first)
{
    int64_t n = nn_safetensors_at(file, i)->count, bad = 0;
    double *value = calloc((size_t)n + 1, sizeof *value);

    if (!value)
        exit(app_fail(APP_DEVICE, "out of memory"));
    if (!nn_safetensors_read(file, i, NN_F64, value, n, NULL))
        for (int64_t k = 0; k < n; k++)
            if (value[k] < 0 && !bad++)
                *first = k;
    free(value);
    return bad;
}

static bool is_variance(const char *name)
{
    static const char end[] = "running_var";
    size_t n = strlen(name), m = strlen(end);

    return n >= m && !strcmp(name + n - m, end);
}

int weights_check_values(const struct weights *w)
{
    int rc = APP_OK, told = 0;

    for (int64_t i = 0; i < nn_safetensors_count(w->file) && told < MOST_TOLD; i++) {
        const nn_safetensors_entry *e = nn_safetensors_at(w->file, i);
        int64_t bad = 0, first = 0;
        const char *what = "not finite: of a training that diverged?";

        if (nn_safetensors_nonfinite(w->file, i, &bad, &first, NULL))
            continue; /* a type that has no such values, or that loading will refuse by name */
        if (!bad && is_variance(e->name)) {
            bad = count_negative(w->file, i, &first);
            what = "negative, which a variance cannot be";
        }
        if (bad && ++told == MOST_TOLD)
            app_say("...");
        else if (bad)
            rc = app_fail(APP_DATA, "%s: %s: %lld of %lld values, the first of them number %lld, are %s",
                          w->path, e->name, (long long)bad, (long long)e->count, (long long)first, what);
    }
    return rc;
}

void weights_describe(const struct weights *w, char text[256])
{
    const nn_pretrained *p = &w->about;

    (void)snprintf(text, 256, "%s, %lld classes, dialect %s (by %s): padding %s, eps %g", p->network.name,
                   (long long)p->classes, p->dialect, p->told_by,
                   p->network.padding == NN_PAD_SAME ? "same" : "symmetric", p->network.eps);
}
