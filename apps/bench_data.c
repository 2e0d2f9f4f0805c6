/* SPDX-License-Identifier: MIT
 *
 * See bench_data.h.
 */
#include "bench_data.h"

#include "app.h"
#include "problems.h"
#include "train_data.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 32 };

/* Seconds of one epoch; *bad is how many images could not be used. */
static int one_epoch(nn_loader *l, int64_t epoch, double *seconds, int64_t *bad)
{
    double start = app_seconds();
    nn_batch b;

    *bad = 0;
    if (nn_loader_start(l, epoch, 0))
        return app_fail(APP_DEVICE, "the loader cannot start");
    do {
        if (nn_loader_next(l, &b))
            return app_fail(APP_DEVICE, "the loader failed");
        for (int64_t i = 0; i < b.count; i++)
            *bad += b.status[i] != 0;
    } while (b.count && !app_interrupted);
    *seconds = app_seconds() - start;
    return app_interrupted ? app_fail(128 + app_interrupted, "interrupted") : APP_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* n: images that could be used. */
static int report(const struct bench_data *o, double *t, int64_t n, int64_t bad, const char *pipeline)
{
    double median;
    int rc = APP_OK;

    if (bad)
        app_say("%s cannot be used: timed, but not counted", app_count(bad, "image"));
    qsort(t, (size_t)o->runs, sizeof *t, ascending);
    median = o->runs % 2 ? t[o->runs / 2] : (t[o->runs / 2 - 1] + t[o->runs / 2]) / 2;
    printf("data ");
    app_print(stdout, o->augment);
    printf(", %s to %lld px, %s: median %.1f images/s, best %.1f images/s, peak memory %.0f MB\n",
           app_count(n, "image"), (long long)o->image_size, app_count(o->threads, "thread"),
           (double)n / median, (double)n / t[0], app_peak_bytes() / 1e6);
    if (o->json) {
        json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:f, s:f, s:f, s:f}", "what", "data",
                              "augment", o->augment, "pipeline", pipeline, "images", (json_int_t)n,
                              "unusable", (json_int_t)bad, "image_size", (json_int_t)o->image_size, "threads",
                              o->threads, "median_s", median, "min_s", t[0], "images_per_second",
                              (double)n / median, "peak_rss_bytes", app_peak_bytes());
        char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;

        rc = text ? app_write_file(o->json, text) : app_fail(APP_DEVICE, "out of memory");
        free(text);
        json_decref(j);
    }
    return rc;
}

int bench_data(const struct bench_data *o)
{
    nn_preprocess record = nn_preprocess_default();
    nn_augment *augment = NULL;
    nn_dataset *data = NULL;
    nn_loader *loader = NULL;
    double *t = calloc((size_t)o->runs, sizeof *t), warm;
    nn_message why;
    int64_t bad = 0;
    int rc = t && !nn_dataset_new(&data) ? APP_OK : app_fail(APP_DEVICE, "out of memory");
    nn_loader_opts l = {
        .split = NN_SPLIT_TEST, .preprocess = &record, .batch = BATCH, .seed = 42, .threads = o->threads
    };

    record.size = record.resize_height = record.resize_width = o->image_size;
    if (!rc)
        rc = train_data_augment(&augment, o->augment);
    l.augment = augment;
    l.data = data;
    if (!rc && (nn_dataset_add_images(data, o->folder, &why) || nn_loader_new(&loader, &l, &why)))
        rc = app_fail(APP_DATA, "%s", why.text);
    if (!rc)
        rc = problems_spares("--json", o->json, data);
    if (!rc)
        rc = one_epoch(loader, 0, &warm, &bad);
    if (!rc && bad == nn_loader_samples(loader))
        rc = app_fail(APP_DATA, "%s: none of %s can be used", o->folder, app_count(bad, "image"));
    for (int64_t i = 0; !rc && i < o->runs; i++) {
        rc = one_epoch(loader, i + 1, &t[i], &bad);
        app_progress("data %lld/%lld", (long long)i + 1, (long long)o->runs);
    }
    app_progress_end();
    if (!rc)
        rc = report(o, t, nn_loader_samples(loader) - bad, bad, nn_augment_text(augment));
    nn_loader_free(loader);
    nn_dataset_free(data);
    nn_augment_free(augment);
    free(t);
    return rc;
}
