/* SPDX-License-Identifier: MIT
 *
 * fakereal_audit: what is wrong with a data set, told before a night is spent on it. Above all: can fake and
 * real be told apart by how the files were made, without a look at a picture? docs/audit.md describes the
 * findings.
 */
#include "app.h"
#include "audit.h"
#include "problems.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { O_EXTRA = 256, O_JSON, O_HTML, O_DECODE, O_MEAN_STD, MOST_EXTRA = 32 };

struct options {
    const char *data, *extra[MOST_EXTRA], *json, *html;
    int extras, threads;
    bool decode;
};

static const struct argp_option LIST[] = {
    { "data", 'd', "DIR", 0, "folder of the data set", 1 },
    { "extra-data", O_EXTRA, "DIR", 0, "more training images; may be given several times", 1 },
    { "decode", O_DECODE, NULL, 0, "decode all images: damaged pixels, images that look the same; slower",
      1 },
    { "mean-std", O_MEAN_STD, NULL, 0,
      "mean and standard deviation of the training images, to normalise with; decodes", 1 },
    { "threads", 't', "N", 0, "threads (one for each processor that it may use)", 1 },
    { "json", O_JSON, "FILE", 0, "also write the report as JSON", 2 },
    { "html", O_HTML, "FILE", 0, "also write it as one page with plots", 2 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'd': o->data = arg; return 0;
    case O_EXTRA:
        if (o->extras == MOST_EXTRA)
            app_bad_option(state, "--extra-data: at most %d of them", MOST_EXTRA);
        o->extra[o->extras++] = arg;
        return 0;
    case O_DECODE:
    case O_MEAN_STD: o->decode = true; return 0;
    case O_JSON: o->json = arg; return 0;
    case O_HTML: o->html = arg; return 0;
    case 't': o->threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case ARGP_KEY_ARG: app_bad_option(state, "unexpected argument \"%s\"", arg); return 0;
    case ARGP_KEY_END:
        if (!o->data)
            app_bad_option(state, "--data is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int check_outputs(const struct options *o)
{
    int rc = o->json ? app_check_output("--json", o->json, true) : APP_OK;

    if (!rc && o->html)
        rc = app_check_output("--html", o->html, true);
    if (!rc && o->json && o->html && app_same_file(o->json, o->html))
        rc = app_fail(APP_USAGE, "--json and --html are one file");
    return rc;
}

/* All files with their hashes and facts. */
static int examine(const struct options *o, struct audit *a)
{
    nn_message why;
    int rc = nn_dataset_new(&a->data), spared;

    if (rc)
        return app_fail(APP_DEVICE, "out of memory");
    rc = nn_dataset_add(a->data, o->data, &why);
    for (int i = 0; !rc && i < o->extras; i++)
        rc = nn_dataset_add_extra(a->data, o->extra[i], &why);
    a->walked = a->data->problems;
    if (!rc && !a->data->samples) {
        (void)problems_say(a->data, 0);
        return app_fail(APP_DATA, "%s: there is no image in it", o->data);
    }
    if (!rc && ((spared = problems_spares("--json", o->json, a->data)) ||
                (spared = problems_spares("--html", o->html, a->data))))
        return spared;
    if (!rc)
        rc = nn_dataset_hash(a->data, o->threads, &why);
    if (!rc)
        rc = nn_dataset_deduplicate(a->data, &why);
    if (rc)
        return app_fail(rc == NN_EINVAL ? APP_DATA : app_exit_code(rc), "%s", why.text);
    rc = audit_scan(a, o->threads);
    if (!rc && o->decode)
        rc = audit_decode(a, o->threads);
    return rc ? rc : audit_judge(a, o->threads);
}

static int write_file(const char *path, char *text)
{
    int rc = text ? app_write_file(path, text) : app_fail(APP_DEVICE, "out of memory");

    free(text);
    return rc;
}

static int report(const struct options *o, const struct audit *a)
{
    struct audit_group group[NN_SPLITS * NN_LABELS];
    int groups = audit_groups(a, group), rc = APP_OK;

    if (groups < 0)
        return app_fail(APP_DEVICE, "out of memory");
    audit_print(a, group, groups);
    if (fflush(stdout))
        return app_fail(APP_IO, "standard output: %s", strerror(errno));
    if (o->json)
        rc = write_file(o->json, audit_json(a, group, groups));
    if (!rc && o->html)
        rc = write_file(o->html, audit_html(a, group, groups));
    /* Findings come in the order of their severity. */
    return rc || !a->findings || a->finding[0].severity < AUDIT_WARNING ? rc : APP_NO;
}

int main(int argc, char **argv)
{
    const struct argp argp = {
        LIST,
        parse,
        NULL,
        "Looks for what is wrong with a data set of fake and real images: files that cannot be used, copies "
        "and "
        "leaks between splits, wrong names, and above all differences of the classes that have nothing to do "
        "with what the images show.\n\n"
        "Examples:\n"
        "  $ fakereal_audit --data faces\n"
        "  $ fakereal_audit --data faces --decode --json audit.json --html audit.html\n"
        "  $ fakereal_audit --data faces --mean-std\v"
        "Without --decode and --mean-std no image is decoded. Findings are notes, warnings and errors; their "
        "thresholds are printed.\n"
        "Exit codes: 0 no warning; 1 a warning or an error was found; 2 usage; 3 there is no data set; 4 "
        "files; "
        "5 memory; 129, 130, 143 interrupted.",
        NULL,
        NULL,
        NULL
    };
    struct options o = { .threads = (int)sysconf(_SC_NPROCESSORS_ONLN) };
    struct audit a = { .data = NULL };
    int rc;

    app_parse(&argp, argc, argv, &o);
    app_catch_interrupts();
    rc = check_outputs(&o);
    if (!rc)
        rc = examine(&o, &a);
    if (!rc)
        rc = report(&o, &a);
    audit_free(&a);
    nn_dataset_free(a.data);
    return rc;
}
