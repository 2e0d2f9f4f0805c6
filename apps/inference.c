/* SPDX-License-Identifier: MIT
 *
 * See inference.h.
 */
#include "inference.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_DEVICE = 1024, OPT_ISA, OPT_PRECISION };

static const struct argp_option LIST[] = {
    { NULL, 0, NULL, 0, "Speed and device:", 8 },
    { "batch-size", 'b', "N", 0, "images the network sees at once (16)", 8 },
    { "threads", 't', "N", 0, "threads (one for each processor)", 8 },
    { "device", OPT_DEVICE, "NAME", 0, "cpu (default)", 8 },
    { "isa", OPT_ISA, APP_ISAS, 0, "instruction set (the best there is)", 8 },
    { "precision", OPT_PRECISION, APP_PRECISIONS, 0, "how activations are stored (fp32)", 8 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct inference *o = state->input;

    switch (key) {
    case 'b': o->batch = app_int(state, "batch-size", arg, 1, 4096); return 0;
    case 't': o->device.threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case OPT_DEVICE: o->device.device = arg; return 0;
    case OPT_ISA: o->device.isa = arg; return 0;
    case OPT_PRECISION: o->device.precision = app_precision(state, arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp inference_argp = { LIST, parse, NULL, NULL, NULL, NULL, NULL };

int inference_open(nn_classifier **out, nn_device *device, const char *checkpoint, const struct inference *o,
                   int64_t images)
{
    static const char *const names[2] = { "real", "fake" };
    nn_classifier_opts opts = { .device = device,
                                .batch = images < o->batch ? images : o->batch,
                                .precision = o->device.precision };
    const nn_preprocess *p;
    nn_message why;
    int rc = nn_classifier_open(out, checkpoint, &opts, &why);

    if (rc)
        return app_fail(rc == NN_ENOTFOUND || rc == NN_EINVAL ? APP_DATA : app_exit_code(rc), "%s", why.text);
    p = &nn_classifier_about(*out)->preprocess;
    if (p->classes != 2 || strcmp(p->class_names[0], names[0]) || strcmp(p->class_names[1], names[1])) {
        rc = app_fail(APP_DATA,
                      "%s: tells %lld classes apart, the first is \"%s\"; a classifier of real and "
                      "fake is needed",
                      checkpoint, (long long)p->classes, p->class_names[0]);
        nn_classifier_close(*out);
        *out = NULL;
    }
    return rc;
}

static bool takes_part(const nn_sample *s, int split) { return s->split == split && !s->excluded; }

static void tell_progress(const char *title, int64_t done, int64_t all, double start)
{
    double seconds = app_seconds() - start, rate = seconds > 0 ? (double)done / seconds : 0;
    char left[32];

    app_progress("%s %lld/%lld  %.1f images/s  %s left", title, (long long)done, (long long)all, rate,
                 app_duration(rate > 0 ? (double)(all - done) / rate : 0, left));
}

/* Runs one batch. Images that did not decode are zero in it and stay without logits. */
static int run_batch(nn_classifier *c, const nn_batch *b, double *logits, struct outcome *out)
{
    int64_t good = 0;
    int rc;

    for (int64_t k = 0; k < b->count; k++)
        good += !b->status[k];
    rc = good ? nn_classifier_logits(c, b->rgb, b->count, logits) : NN_OK;
    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_classifier_error(c));
    for (int64_t k = 0; k < b->count; k++) {
        struct outcome *o = &out[b->sample[k]];
        const char *why = NULL;

        o->done = !b->status[k];
        if (!o->done)
            why = b->why[k][0] ? b->why[k] : nn_strerror(b->status[k]);
        else if (!isfinite(logits[2 * k]) || !isfinite(logits[2 * k + 1]))
            why = "the network gives no finite number for it";
        else
            memcpy(o->logits, logits + 2 * k, sizeof o->logits);
        if (why && !o->why && !(o->why = strdup(why)))
            return app_fail(APP_DEVICE, "out of memory");
    }
    return APP_OK;
}

int inference_run(nn_classifier *c, const nn_dataset *d, int split, const struct inference *o,
                  const char *title, struct outcome *out)
{
    nn_loader_opts lo = { .data = d,
                          .split = split,
                          .preprocess = &nn_classifier_about(c)->preprocess,
                          .batch = nn_classifier_about(c)->batch,
                          .threads = o->device.threads };
    double *logits = NULL, start = app_seconds();
    nn_loader *loader = NULL;
    nn_message why;
    nn_batch b;
    int64_t all = 0, done = 0;
    int rc;

    for (int64_t i = 0; i < d->samples; i++)
        all += takes_part(&d->sample[i], split);
    if (!all)
        return APP_OK;
    logits = calloc(2 * (size_t)lo.batch, sizeof *logits);
    if (!logits)
        return app_fail(APP_DEVICE, "out of memory");
    rc = nn_loader_new(&loader, &lo, &why);
    if (rc) {
        free(logits);
        return app_fail(app_exit_code(rc), "%s", why.text);
    }
    rc = nn_loader_start(loader, 0, 0);
    if (rc)
        rc = app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    while (!rc && !app_interrupted) {
        rc = nn_loader_next(loader, &b);
        if (rc)
            rc = app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
        if (rc || !b.count)
            break;
        rc = run_batch(c, &b, logits, out);
        done += b.count;
        tell_progress(title, done, all, start);
    }
    app_progress_end();
    nn_loader_free(loader);
    free(logits);
    return rc;
}

void inference_free(struct outcome *out, int64_t n)
{
    for (int64_t i = 0; out && i < n; i++)
        free(out[i].why);
    free(out);
}

/* ----------------------------------------------------------------------- output */

int inference_can_write(const char *path)
{
    size_t size = strlen(path) + 32;
    char *temporary = malloc(size);
    struct stat st;
    int fd, rc = APP_OK;

    if (!temporary)
        return app_fail(APP_DEVICE, "out of memory");
    (void)snprintf(temporary, size, "%s.try.%ld", path, (long)getpid());
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
        rc = app_fail(APP_IO, "%s: exists and is no regular file", path);
    } else {
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd < 0)
            rc = app_fail(APP_IO, "%s: cannot be written: %s", path, strerror(errno));
        else
            (void)close(fd);
        if (fd >= 0)
            (void)unlink(temporary);
    }
    free(temporary);
    return rc;
}
