/* SPDX-License-Identifier: MIT
 *
 * See inference.h.
 */
#include "inference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_DEVICE = 1024, OPT_ISA, OPT_PRECISION };

static const struct argp_option LIST[] = {
    { "checkpoint", 'c', "FILE...", 0, "best.safetensors of a run; of several the probabilities are averaged",
      1 },
    { NULL, 0, NULL, 0, "Speed and device:", 8 },
    { "batch-size", 'b', "N", 0, "images the network sees at once (16)", 8 },
    { "threads", 't', "N", 0, "threads (one for each processor that it may use)", 8 },
    { "device", OPT_DEVICE, "NAME", 0, APP_DEVICES, 8 },
    { "isa", OPT_ISA, APP_ISAS, 0, "instruction set (the best there is)", 8 },
    { "precision", OPT_PRECISION, APP_PRECISIONS, 0, "how activations are stored (fp32)", 8 },
    { 0 }
};

void paths_add(struct paths *l, char *text)
{
    /* Doubling at powers of two: a list on standard input may be long. */
    if (!(l->n & (l->n - 1))) {
        l->at = realloc(l->at, (size_t)(l->n ? 2 * l->n : 1) * sizeof *l->at);
        if (!l->at)
            exit(app_fail(APP_DEVICE, "out of memory"));
    }
    l->at[l->n++] = text;
}

/* Its answers would count twice in the mean. */
static void check_once(const struct paths *checkpoints, const struct argp_state *state)
{
    for (int64_t i = 1; i < checkpoints->n; i++)
        for (int64_t k = 0; k < i; k++)
            if (app_same_file(checkpoints->at[k], checkpoints->at[i]))
                app_bad_option(state, "--checkpoint %s is given twice, also as %s", checkpoints->at[i],
                               checkpoints->at[k]);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct inference *o = state->input;

    switch (key) {
    case 'c': paths_add(&o->checkpoints, app_input(state, "--checkpoint", arg)); return 0;
    case 'b': o->batch = app_int(state, "batch-size", arg, 1, 4096); return 0;
    case 't': o->device.threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case OPT_DEVICE: o->device.device = arg; return 0;
    case OPT_ISA: o->device.isa = arg; return 0;
    case OPT_PRECISION: o->device.precision = app_precision(state, arg); return 0;
    case ARGP_KEY_END:
        if (!o->checkpoints.n)
            app_bad_option(state, "--checkpoint is missing");
        check_once(&o->checkpoints, state);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp inference_argp = { LIST, parse, NULL, NULL, NULL, NULL, NULL };

char **inference_spread(int *argc, char **argv)
{
    static const struct {
        const char *name, *alias;
    } many[2] = { { "--checkpoint", "-c" }, { "--images", "-i" } };
    char **out = calloc(2 * (size_t)*argc + 1, sizeof *out);
    int n = 0, open = -1;
    bool ended = false;

    if (!out)
        exit(app_fail(APP_DEVICE, "out of memory"));
    for (int i = 0; i < *argc; i++) {
        char *a = argv[i];
        bool is_value = a[0] != '-' || !a[1];

        if (i && !ended && is_value && open >= 0)
            out[n++] = (char *)(uintptr_t)many[open].name;
        out[n++] = a;
        if (is_value)
            continue;
        open = -1;
        ended = ended || !strcmp(a, "--");
        for (int k = 0; k < 2 && !ended; k++) {
            size_t length = strlen(many[k].name);
            bool whole = !strcmp(a, many[k].name) || !strcmp(a, many[k].alias);

            if (whole || (!strncmp(a, many[k].name, length) && a[length] == '='))
                open = k;
            if (whole && i + 1 < *argc) /* its own value, whatever that looks like */
                out[n++] = argv[++i];
        }
    }
    *argc = n;
    return out;
}

/* --------------------------------------------------------------------- checkpoints */

/* Of a file that may be somebody's only copy. */
static void say_remedy(const char *checkpoint)
{
    char *last = app_beside(checkpoint, "last.safetensors");

    if (app_exists(last) && !app_same_file(last, checkpoint))
        app_say("%s beside it holds the weights of the run's last step, if these will do", last);
    free(last);
}

static int open_one(nn_classifier **out, const struct inference *o, const char *checkpoint)
{
    static const char *const names[2] = { "real", "fake" };
    nn_classifier_opts opts = { .device = o->on, .batch = o->batch, .precision = o->device.precision };
    const nn_preprocess *p;
    nn_message why;
    int rc = nn_classifier_open(out, checkpoint, &opts, &why);

    if (rc) {
        (void)app_fail(0, "%s", why.text);
        if (rc == NN_EFORMAT)
            say_remedy(checkpoint);
        return rc == NN_ENOTFOUND || rc == NN_EINVAL ? APP_DATA : app_exit_code(rc);
    }
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

int inference_open(struct inference *o, nn_device *device, int64_t images)
{
    double *threshold = calloc((size_t)o->checkpoints.n, sizeof *threshold);
    int rc = threshold ? APP_OK : app_fail(APP_DEVICE, "out of memory");

    o->on = device;
    o->batch = images < o->batch ? images : o->batch;
    for (int64_t i = o->checkpoints.n - 1; !rc && i >= 0; i--) {
        rc = open_one(&o->first, o, o->checkpoints.at[i]);
        if (rc)
            break;
        threshold[i] = nn_classifier_about(o->first)->threshold;
        if (i) {
            nn_classifier_close(o->first);
            o->first = NULL;
        }
    }
    for (int64_t i = 1; !rc && i < o->checkpoints.n; i++)
        if (threshold[i] != threshold[0])
            app_say("%s: its threshold is %g; that of %s counts, %g", o->checkpoints.at[i], threshold[i],
                    o->checkpoints.at[0], threshold[0]);
    if (!rc)
        o->threshold = threshold[0];
    free(threshold);
    return rc;
}

void inference_close(struct inference *o)
{
    nn_classifier_close(o->first);
    free(o->checkpoints.at);
    o->first = NULL;
    o->checkpoints = (struct paths){ .n = 0 };
}

/* ---------------------------------------------------------------------------- images */

static bool takes_part(const nn_sample *s, int split) { return s->split == split && !s->excluded; }

static void tell_progress(const char *title, int64_t done, int64_t all, double start)
{
    double seconds = app_seconds() - start, rate = seconds > 0 ? (double)done / seconds : 0;
    char left[32];

    app_progress("%s %lld/%lld  %.1f images/s  %s left", title, (long long)done, (long long)all, rate,
                 app_duration(rate > 0 ? (double)(all - done) / rate : 0, left));
}

/* log(exp(a) + exp(b)) */
static double log_add(double a, double b)
{
    double most = fmax(a, b);

    return most + log(exp(a - most) + exp(b - most));
}

/* Makes the logits those of the mean of their probabilities and of all before, of which there are o->seen. */
static void average(struct outcome *o, const double logits[2])
{
    double before = log_add(o->logits[0], o->logits[1]), now = log_add(logits[0], logits[1]);

    for (int c = 0; c < 2; c++)
        o->logits[c] = o->seen
                           ? log_add(o->logits[c] - before + log(o->seen), logits[c] - now) - log(o->seen + 1)
                           : logits[c];
    o->seen++;
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

        if (b->status[k]) {
            why = b->why[k][0] ? b->why[k] : nn_strerror(b->status[k]);
        } else if (!isfinite(logits[2 * k]) || !isfinite(logits[2 * k + 1])) {
            why = "the network gives no finite number for it";
            o->not_finite = true;
        } else {
            average(o, logits + 2 * k);
        }
        if (why && !o->why && !(o->why = strdup(why)))
            return app_fail(APP_DEVICE, "out of memory");
    }
    return APP_OK;
}

/* Shows one network every image. */
static int run_one(nn_classifier *c, const nn_dataset *d, int split, const struct inference *o,
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

int inference_run(struct inference *o, const nn_dataset *d, int split, const char *title, struct outcome *out)
{
    int64_t n = o->checkpoints.n;
    int rc = APP_OK;

    for (int64_t i = 0; !rc && !app_interrupted && i < n; i++) {
        nn_classifier *c = i ? NULL : o->first;
        char text[64];

        o->first = NULL;
        (void)snprintf(text, sizeof text, n > 1 ? "%s (%lld of %lld)" : "%s", title, (long long)i + 1,
                       (long long)n);
        if (!c)
            rc = open_one(&c, o, o->checkpoints.at[i]);
        if (!rc)
            rc = run_one(c, d, split, o, text, out);
        nn_classifier_close(c);
    }
    return rc;
}

void inference_free(struct outcome *out, int64_t n)
{
    for (int64_t i = 0; out && i < n; i++)
        free(out[i].why);
    free(out);
}
