/* SPDX-License-Identifier: MIT
 *
 * See weights.h.
 */
#include "app.h"
#include "weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFIG = 1 << 20 };

char *weights_config(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, slash ? (size_t)(slash - path) : 0), *name,
         *text = calloc(MOST_CONFIG + 1, 1);
    FILE *f;

    if (!folder || !text)
        exit(app_fail(APP_DEVICE, "out of memory"));
    name = app_join(slash ? folder : ".", "config.json");
    f = fopen(name, "r");
    if (!f || !fread(text, 1, MOST_CONFIG, f)) {
        free(text);
        text = NULL;
    }
    if (f)
        (void)fclose(f);
    free(folder);
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

int weights_check_finite(const struct weights *w)
{
    for (int64_t i = 0; i < nn_safetensors_count(w->file); i++) {
        int64_t bad = 0;
        nn_message why;

        if (nn_safetensors_nonfinite(w->file, i, &bad, &why))
            continue; /* a type that has no such values, or that loading will refuse by name */
        if (bad)
            return app_fail(
                APP_DATA,
                "%s: %s holds %lld values that are not finite: weights of a training that diverged?", w->path,
                nn_safetensors_at(w->file, i)->name, (long long)bad);
    }
    return APP_OK;
}

void weights_describe(const struct weights *w, char text[256])
{
    const nn_pretrained *p = &w->about;

    (void)snprintf(text, 256, "%s, %lld classes, dialect %s (by %s): padding %s, eps %g", p->network.name,
                   (long long)p->classes, p->dialect, p->told_by,
                   p->network.padding == NN_PAD_SAME ? "same" : "symmetric", p->network.eps);
}
