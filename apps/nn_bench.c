/* SPDX-License-Identifier: MIT
 *
 * nn_bench: how long a training step or an inference takes here, and where the time goes.
 */
#include "app.h"
#include "bench_data.h"
#include "network.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *what, *model, *json, *augment, *data;
    struct app_device device;
    int64_t batch, image_size, runs;
    bool profile, no_fuse, recompute;
    double start;
};

enum {
    OPT_IMAGE_SIZE = 256,
    OPT_PRECISION,
    OPT_ISA,
    OPT_JSON,
    OPT_RUNS,
    OPT_PROFILE,
    OPT_DEVICE,
    OPT_NO_FUSE,
    OPT_RECOMPUTE,
    OPT_AUGMENT,
    OPT_DATA
};

static const struct argp_option LIST[] = {
    { "model", 'm', "NAME", 0, "network (efficientnet_b0)", 0 },
    { "batch-size", 'b', "N", 0, "images in a step (8)", 0 },
    { "image-size", OPT_IMAGE_SIZE, "N", 0, "height and width (224)", 0 },
    { "runs", OPT_RUNS, "N", 0, "measured runs after one that warms up (5)", 0 },
    { "profile", OPT_PROFILE, NULL, 0, "print the time of each kind of step", 0 },
    { "recompute", OPT_RECOMPUTE, NULL, 0, "less memory for more time", 0 },
    { "no-fuse", OPT_NO_FUSE, NULL, 0, "without fusion, to see what it brings", 0 },
    { "data", OPT_DATA, "DIR", 0, "data: the folder of images", 0 },
    { "augment", OPT_AUGMENT, "NAME|TEXT|FILE", 0, "data: as for fakereal_train (flip)", 0 },
    { "json", OPT_JSON, "FILE", 0, "also write the result there", 0 },
    { NULL, 0, NULL, 0, "Device:", 2 },
    { "device", OPT_DEVICE, "NAME", 0, APP_DEVICES, 2 },
    { "threads", 't', "N", 0, "threads (one for each processor that it may use)", 2 },
    { "isa", OPT_ISA, APP_ISAS, 0, "instruction set (the best there is)", 2 },
    { "precision", OPT_PRECISION, APP_PRECISIONS, 0, "how activations are stored (fp32)", 2 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'm': o->model = arg; return 0;
    case 'b': o->batch = app_int(state, "batch-size", arg, 1, 4096); return 0;
    case 't': o->device.threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case OPT_IMAGE_SIZE: o->image_size = app_int(state, "image-size", arg, 8, 4096); return 0;
    case OPT_RUNS: o->runs = app_int(state, "runs", arg, 1, 100000); return 0;
    case OPT_PROFILE: o->profile = true; return 0;
    case OPT_NO_FUSE: o->no_fuse = true; return 0;
    case OPT_RECOMPUTE: o->recompute = true; return 0;
    case OPT_JSON: o->json = arg; return 0;
    case OPT_AUGMENT: o->augment = app_input(state, "--augment", arg); return 0;
    case OPT_DATA: o->data = arg; return 0;
    case OPT_ISA: o->device.isa = arg; return 0;
    case OPT_DEVICE: o->device.device = arg; return 0;
    case OPT_PRECISION: o->device.precision = app_precision(state, arg); return 0;
    case ARGP_KEY_ARG:
        if (o->what)
            app_bad_option(state, "one of train, infer, ops and data, not \"%s\" too", arg);
        if (strcmp(arg, "train") && strcmp(arg, "infer") && strcmp(arg, "ops") && strcmp(arg, "data"))
            app_bad_option(state, "\"%s\": this build measures train, infer, ops and data", arg);
        o->what = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->what)
            app_bad_option(state, "say what to measure: train, infer, ops or data");
        if (o->data ? strcmp(o->what, "data") != 0 : !strcmp(o->what, "data"))
            app_bad_option(state, "--data and \"data\" go together");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct kind {
    const char *op;
    int segment;
    double seconds, flops, bytes;
    int64_t steps;
};

static int slower_first(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

/* Sums the rows of a profile by op and segment. */
static void print_profile(const nn_plan *plan)
{
    int64_t n = nn_profile_rows(plan, NULL, 0);
    nn_profile_row *rows = calloc((size_t)n, sizeof *rows);
    struct kind *kinds = calloc((size_t)n, sizeof *kinds);
    double all = 0;
    int count = 0;

    if (!rows || !kinds) {
        free(rows);
        free(kinds);
        return;
    }
    (void)nn_profile_rows(plan, rows, n);
    for (int64_t i = 0; i < n; i++) {
        int k = 0;

        while (k < count && (strcmp(kinds[k].op, rows[i].op) || kinds[k].segment != rows[i].segment))
            k++;
        if (k == count)
            kinds[count++] = (struct kind){ .op = rows[i].op, .segment = rows[i].segment };
        if (rows[i].runs) {
            kinds[k].seconds += rows[i].seconds / (double)rows[i].runs;
            kinds[k].flops += rows[i].flops;
            kinds[k].bytes += rows[i].bytes;
            kinds[k].steps++;
            all += rows[i].seconds / (double)rows[i].runs;
        }
    }
    qsort(kinds, (size_t)count, sizeof *kinds, slower_first);
    printf("%-20s %-8s %6s %10s %6s %9s %8s\n", "op", "segment", "steps", "ms", "share", "GFLOP/s", "GB/s");
    for (int k = 0; k < count; k++)
        printf("%-20s %-8s %6lld %10.2f %5.1f%% %9.1f %8.1f\n", kinds[k].op,
               kinds[k].segment == NN_FORWARD    ? "forward"
               : kinds[k].segment == NN_BACKWARD ? "backward"
                                                 : "update",
               (long long)kinds[k].steps, kinds[k].seconds * 1e3, 100 * kinds[k].seconds / all,
               kinds[k].flops / kinds[k].seconds / 1e9, kinds[k].bytes / kinds[k].seconds / 1e9);
    free(rows);
    free(kinds);
}

static bool same_call(const nn_profile_row *a, const nn_profile_row *b)
{
    return a->segment == b->segment && !strcmp(a->op, b->op) && !strcmp(a->shape, b->shape);
}

static int slower_row_first(const void *a, const void *b)
{
    const nn_profile_row *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

/* Every distinct call of an op in a training step, in place: with the caches as the step leaves them. */
static int print_ops(const struct options *o, const nn_plan *plan, nn_device *device)
{
    int64_t n = nn_profile_rows(plan, NULL, 0), distinct = 0;
    nn_profile_row *rows = calloc((size_t)n, sizeof *rows);
    json_t *list = json_array();
    nn_ceilings top;
    int rc = APP_OK;

    if (!rows || nn_device_ceilings(device, &top)) {
        free(rows);
        json_decref(list);
        return app_fail(APP_DEVICE, "out of memory");
    }
    (void)nn_profile_rows(plan, rows, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = 0;

        while (k < distinct && !same_call(&rows[k], &rows[i]))
            k++;
        if (k < distinct) {
            rows[k].seconds += rows[i].seconds;
            rows[k].runs += rows[i].runs;
        } else {
            rows[distinct++] = rows[i];
        }
    }
    qsort(rows, (size_t)distinct, sizeof *rows, slower_row_first);
    printf("ceilings of this run: %.1f GFLOP/s, %.1f GB/s (%s, %s)\n", top.flops / 1e9, top.bandwidth / 1e9,
           nn_device_isa(device), app_count(nn_device_threads(device), "thread"));
    printf("%-14s %-8s %5s %9s %9s %6s %8s %6s  %s\n", "op", "segment", "calls", "ms each", "GFLOP/s",
           "share", "GB/s", "share", "shape");
    for (int64_t i = 0; i < distinct; i++) {
        const nn_profile_row *r = &rows[i];
        double each = r->runs ? r->seconds / (double)r->runs : 0, rate = each > 0 ? r->flops / each : 0;
        double bytes = each > 0 ? r->bytes / each : 0;
        const char *segment = r->segment == NN_FORWARD    ? "forward"
                              : r->segment == NN_BACKWARD ? "backward"
                                                          : "update";

        printf("%-14s %-8s %5lld %9.3f %9.1f %5.0f%% %8.1f %5.0f%%  %s\n", r->op, segment,
               (long long)(r->runs / o->runs), each * 1e3, rate / 1e9, 100 * rate / top.flops, bytes / 1e9,
               100 * bytes / top.bandwidth, r->shape);
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f}", "op", r->op,
                                                    "segment", segment, "shape", r->shape, "calls",
                                                    (json_int_t)(r->runs / o->runs), "seconds", each,
                                                    "flops_per_second", rate, "bytes_per_second", bytes));
    }
    if (o->json) {
        json_t *j =
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:i, s:f, s:f, s:O}", "what", "ops", "model", o->model,
                      "precision", app_precision_name(o->device.precision), "batch_size",
                      (json_int_t)o->batch, "image_size", (json_int_t)o->image_size, "isa",
                      nn_device_isa(device), "threads", nn_device_threads(device), "ceiling_flops_per_second",
                      top.flops, "ceiling_bytes_per_second", top.bandwidth, "ops", list);
        char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;

        rc = text ? app_write_file(o->json, text) : app_fail(APP_DEVICE, "out of memory");
        free(text);
        json_decref(j);
    }
    json_decref(list);
    free(rows);
    return rc;
}

static void fill(nn_plan *plan, int64_t batch)
{
    size_t bytes;
    uint8_t *image = nn_host(plan, "image", &bytes);
    int32_t *target;
    uint32_t x = 1;

    for (size_t i = 0; i < bytes; i++) {
        x = x * 1664525u + 1013904223u;
        image[i] = (uint8_t)(x >> 24);
    }
    target = nn_host(plan, "target", &bytes);
    for (int64_t i = 0; target && i < batch; i++)
        target[i] = (int32_t)(i % 2);
}

/* One run until its end: a GPU may still be at it when nn_run returns. */
static int run(nn_plan *plan, unsigned what)
{
    int rc = nn_run(plan, what);

    return !rc && isnan(nn_get(plan, NN_APPLIED)) ? NN_EDEVICE : rc;
}

static int measure(struct options *o, struct network *n, nn_plan *plan)
{
    bool ops = !strcmp(o->what, "ops"), train = ops || !strcmp(o->what, "train");
    unsigned what = train ? NN_GRADIENTS | NN_UPDATE : NN_FORWARD;
    double *t = calloc((size_t)o->runs, sizeof *t), first, median, on_device;
    nn_summary summary;
    int rc;

    if (!t)
        return app_fail(APP_DEVICE, "out of memory");
    nn_plan_summary(plan, &summary);
    fill(plan, o->batch);
    (void)nn_set(plan, NN_LEARNING_RATE, 1e-4);
    rc = run(plan, what);
    first = app_seconds() - o->start;
    if (!rc && (o->profile || ops))
        nn_profile(plan, 1);
    for (int64_t i = 0; !rc && i < o->runs; i++) {
        double start = app_seconds();

        rc = run(plan, what);
        t[i] = app_seconds() - start;
        app_progress("%s %lld/%lld  %.1f ms", o->what, (long long)i + 1, (long long)o->runs, t[i] * 1e3);
    }
    app_progress_end();
    if (rc) {
        free(t);
        return app_fail(app_exit_code(rc), "%s", nn_plan_error(plan));
    }
    if (ops) {
        free(t);
        return print_ops(o, plan, n->device);
    }
    if (o->profile)
        print_profile(plan);
    on_device = (double)nn_device_peak_bytes(n->device);
    qsort(t, (size_t)o->runs, sizeof *t, ascending);
    median = o->runs % 2 ? t[o->runs / 2] : (t[o->runs / 2 - 1] + t[o->runs / 2]) / 2;
    printf("%s %s batch %lld at %lld px, %s, %s, %s: median %.1f ms, min %.1f ms, %.2f images/s, first "
           "step after %.2f s, "
           "peak memory %.0f MB",
           o->what, n->net.name, (long long)o->batch, (long long)o->image_size,
           app_precision_name(o->device.precision), nn_device_isa(n->device),
           app_count(nn_device_threads(n->device), "thread"), median * 1e3, t[0] * 1e3,
           (double)o->batch / median, first, app_peak_bytes() / 1e6);
    if (on_device > 0)
        printf(", of the device %.0f MB", on_device / 1e6);
    (void)putchar('\n');
    if (o->json) {
        json_t *j = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                              "what", o->what, "model", n->net.name, "batch_size", (json_int_t)o->batch,
                              "image_size", (json_int_t)o->image_size, "device", nn_device_name(n->device),
                              "isa", nn_device_isa(n->device), "threads", nn_device_threads(n->device),
                              "precision", app_precision_name(o->device.precision), "median_s", median,
                              "min_s", t[0], "images_per_second", (double)o->batch / median, "first_step_s",
                              first, "peak_rss_bytes", app_peak_bytes(), "peak_device_bytes", on_device,
                              "multiply_adds_per_image", summary.multiply_adds / (double)o->batch);
        char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;

        rc = text ? app_write_file(o->json, text) : app_fail(APP_DEVICE, "out of memory");
        free(text);
        json_decref(j);
    }
    free(t);
    return rc;
}

/* A result that nobody got is none. */
static int told(int rc)
{
    return fflush(stdout) && !rc ? app_fail(APP_IO, "standard output cannot be written") : rc;
}

int main(int argc, char **argv)
{
    struct options o = { .model = "efficientnet_b0",
                         .batch = 8,
                         .image_size = 224,
                         .runs = 5,
                         .augment = "flip",
                         .start = app_seconds() };
    const struct argp argp = {
        LIST,
        parse,
        "train|infer|ops|data",
        "Measures a training step, an inference, or each distinct op call of a training step of a "
        "network with random weights; or images a second from files to augmented pixels.\n\n"
        "Examples:\n"
        "  $ nn_bench train --model efficientnet_b6 --batch-size 8 --profile\n"
        "  $ nn_bench ops --model efficientnet_lite0\n"
        "  $ nn_bench data --data photos --augment entry --threads 1\v"
        "Exit codes: 0 done; 2 usage; 3 a network or images that cannot be used; 4 input or output; 5 device "
        "or "
        "memory.",
        NULL,
        NULL,
        NULL
    };
    nn_preprocess p = nn_preprocess_default();
    nn_plan_opts opts = { .optim = nn_adamw((nn_adam_opts){ .decay = 0.01 }) };
    struct network n = { 0 };
    nn_device *device = NULL;
    nn_plan *plan;
    int rc;

    app_parse(&argp, argc, argv, &o);
    rc = o.json ? app_check_output("--json", o.json, true) : APP_OK;
    if (rc)
        return rc;
    if (!strcmp(o.what, "data"))
        return told(bench_data(&(struct bench_data){ .folder = o.data,
                                                     .augment = o.augment,
                                                     .json = o.json,
                                                     .image_size = o.image_size,
                                                     .runs = o.runs,
                                                     .threads = o.device.threads ? o.device.threads : 1 }));
    p.size = p.resize_height = p.resize_width = o.image_size;
    if (o.no_fuse)
        opts.flags |= NN_PLAN_NO_FUSE;
    if (o.recompute)
        opts.flags |= NN_PLAN_RECOMPUTE;
    rc = app_open(&device, &o.device);
    if (!rc)
        rc = network_new(&n, device, o.model, &p, 1);
    n.precision = o.device.precision;
    if (!rc)
        rc = network_plan(&n, strcmp(o.what, "infer") ? NN_TRAIN : NN_EVAL, o.batch, &opts, &plan);
    if (!rc) {
        network_print_summary(&n, plan, o.what);
        rc = measure(&o, &n, plan);
    }
    network_free(&n);
    nn_close(device);
    return told(rc);
}
