/* SPDX-License-Identifier: MIT
 *
 * fakereal_evaluate: how good a checkpoint is on labelled images. A score is worth something only if
 * none of these images was trained on, so contents are compared with the split.tsv of the run.
 */
#include "inference.h"
#include "problems.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_JSON = 256, OPT_SPLIT, OPT_FAKE, OPT_REAL, OPT_CSV, OPT_EXTRA, OPT_THRESHOLD, MOST_LEAKS = 20 };

struct options {
    const char *data, *fake, *real, *csv, *json;
    char **extra;
    int extras;
    int split;
    bool split_given;
    double threshold; /* NaN: the checkpoint's */
    struct inference run;
};

static const struct argp_option LIST[] = {
    { NULL, 0, NULL, 0, "What to evaluate:", 1 },
    { "data", 'd', "DIR", 0, "labelled images: DIR/{train,valid,test}/{fake_images,real_images} and the like",
      1 },
    { "fake-dir", OPT_FAKE, "DIR", 0, "instead of --data, with --real-dir: a folder of fake images", 1 },
    { "real-dir", OPT_REAL, "DIR", 0, "a folder of real images, with --fake-dir", 1 },
    { "csv", OPT_CSV, "FILE", 0, "instead of --data: a table path,label of images; paths from its folder",
      1 },
    { "split-name", OPT_SPLIT, "train|valid|test", 0, "which images of --data (valid)", 1 },
    { "extra-data", OPT_EXTRA, "DIR", 0,
      "the run's extra data, needed only to find the validation images of a run that made its own split", 1 },
    { "threshold", OPT_THRESHOLD, "P", 0, "fake is P(fake) >= P (the checkpoint's)", 1 },
    { NULL, 0, NULL, 0, "Output:", 2 },
    { "json", OPT_JSON, "FILE", 0, "also write the result there", 2 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->run; return 0;
    case 'd': o->data = arg; return 0;
    case OPT_FAKE: o->fake = arg; return 0;
    case OPT_REAL: o->real = arg; return 0;
    case OPT_CSV: o->csv = app_input(state, "--csv", arg); return 0;
    case OPT_JSON: o->json = arg; return 0;
    case OPT_THRESHOLD: o->threshold = app_real(state, "threshold", arg, 0, 1); return 0;
    case OPT_EXTRA:
        o->extra = realloc(o->extra, (size_t)(o->extras + 1) * sizeof *o->extra);
        if (!o->extra)
            exit(app_fail(APP_DEVICE, "out of memory"));
        o->extra[o->extras++] = arg;
        return 0;
    case OPT_SPLIT:
        o->split = nn_split_named(arg);
        o->split_given = true;
        if (o->split < 0)
            app_bad_option(state, "--split-name: \"%s\" is none of train, valid, test", arg);
        return 0;
    case ARGP_KEY_ARG: app_bad_option(state, "what is \"%s\"? Every value needs its option", arg); return 0;
    case ARGP_KEY_END:
        if (!o->fake != !o->real)
            app_bad_option(state, "--fake-dir and --real-dir go together");
        if (!!o->data + !!o->fake + !!o->csv > 1)
            app_bad_option(state, "--data, --fake-dir and --csv exclude each other");
        if (!o->data && !o->fake && !o->csv)
            app_bad_option(state, "--data is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

struct evaluation {
    struct options *o;
    nn_dataset *data;
    int split;
    char *tsv;     /* split.tsv of the first checkpoint's run, NULL when there is none */
    int64_t bad;   /* files that could not be used */
    int64_t leaks; /* -1: unknown */
    char network[64];
    struct outcome *outcome;
    double *logits;
    int32_t *label;
    int64_t n;
    int64_t not_finite; /* of these, images for which the network gave no number */
    nn_metrics metrics;
    double interval[2]; /* of the macro F1 */
    double seconds;
};

/* ------------------------------------------------------------------------- data */

static int load_data(struct evaluation *e)
{
    const struct options *o = e->o;
    nn_message why;
    int rc = nn_dataset_new(&e->data);

    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    if (o->csv)
        rc = nn_dataset_add_table(e->data, o->csv, o->split, &why);
    else if (o->data)
        rc = nn_dataset_add(e->data, o->data, &why);
    else
        rc = nn_dataset_add_pair(e->data, o->fake, o->real, &why);
    for (int i = 0; !rc && i < o->extras; i++)
        rc = nn_dataset_add_extra(e->data, o->extra[i], &why);
    if (rc)
        return app_fail(rc == NN_ENOMEM ? APP_DEVICE : rc == NN_EIO ? APP_IO : APP_DATA, "%s", why.text);
    e->bad += problems_say(e->data, 0);
    return problems_spares("--json", o->json, e->data);
}

/* split.tsv in the folder of the checkpoint, NULL if there is none. */
static char *split_beside(const char *checkpoint)
{
    char *path = app_beside(checkpoint, "split.tsv");

    if (app_exists(path))
        return path;
    free(path);
    return NULL;
}

static char *find_split(const char *checkpoint)
{
    char real[PATH_MAX], *path = split_beside(checkpoint);

    return path || !realpath(checkpoint, real) ? path : split_beside(real);
}

static int64_t labelled(const nn_dataset *d, int split)
{
    return d->count[split][NN_LABEL_REAL] + d->count[split][NN_LABEL_FAKE];
}

/* Which images are evaluated. Data without the wanted split may be those that the run itself divided. */
static int choose_split(struct evaluation *e)
{
    nn_dataset *d = e->data;
    nn_message why;
    int rc;

    e->split = e->o->split;
    if (labelled(d, e->split))
        return APP_OK;
    if (e->tsv && e->split != NN_SPLIT_TRAIN) {
        int64_t known = d->problems;

        rc = nn_dataset_hash(d, e->o->run.device.threads, &why);
        if (rc)
            return app_fail(app_exit_code(rc), "%s", why.text);
        e->bad += problems_say(d, known);
        rc = nn_split_apply(d, e->tsv, &why);
        if (rc)
            app_say("%s", why.text);
        else if (labelled(d, e->split)) {
            app_say("%s images as the run chose them, by %s", nn_split_name(e->split), e->tsv);
            return APP_OK;
        }
    }
    if (!e->o->split_given && labelled(d, NN_SPLIT_TRAIN) && !labelled(d, NN_SPLIT_TEST)) {
        app_say("the data are not divided into splits: all images are evaluated");
        e->split = NN_SPLIT_TRAIN;
        return APP_OK;
    }
    return app_fail(APP_DATA,
                    "%s: no labelled images in the %s split; there are train: %lld, valid: %lld, test: %lld "
                    "(choose with --split-name)",
                    d->source[0].root, nn_split_name(e->split), (long long)labelled(d, NN_SPLIT_TRAIN),
                    (long long)labelled(d, NN_SPLIT_VALID), (long long)labelled(d, NN_SPLIT_TEST));
}

static int by_file(const void *a, const void *b)
{
    const nn_problem *x = *(const nn_problem *const *)a, *y = *(const nn_problem *const *)b;

    return strcmp(x->file, y->file);
}

/* Names the images that a run trained on, and returns how many there are: several runs may share some. -1
 * without memory. */
static int64_t say_leaks(const nn_dataset *set)
{
    const nn_problem **leak = calloc((size_t)set->problems + 1, sizeof *leak);
    int64_t all = 0, n = 0;

    if (!leak)
        return -1;
    for (int64_t i = 0; i < set->problems; i++)
        if (set->problem[i].kind == NN_PROBLEM_LEAK)
            leak[all++] = &set->problem[i];
    qsort(leak, (size_t)all, sizeof *leak, by_file);
    for (int64_t i = 0; i < all; i++)
        if (!n || strcmp(leak[i]->file, leak[n - 1]->file) != 0)
            leak[n++] = leak[i];
    for (int64_t i = 0; i < n && i < MOST_LEAKS; i++)
        problem_say(leak[i]->file, leak[i]->text);
    if (n > MOST_LEAKS)
        app_say("... and %lld more", (long long)n - MOST_LEAKS);
    free(leak);
    return n;
}

/* Compares the set with what each checkpoint's run trained on. */
static int compare_with_runs(struct evaluation *e, nn_dataset *set)
{
    const struct paths *checkpoints = &e->o->run.checkpoints;
    bool all_known = true;
    int rc = APP_OK;

    for (int64_t i = 0; !rc && i < checkpoints->n; i++) {
        char *tsv = find_split(checkpoints->at[i]);
        nn_message why;
        int64_t n;
        int status;

        if (!tsv) {
            app_say("no split.tsv beside %s: whether the run trained on these images cannot be checked",
                    checkpoints->at[i]);
            all_known = false;
        } else if ((status = nn_dataset_hash(set, e->o->run.device.threads, &why)) || /* the first time */
                   (status = nn_split_leaks(set, tsv, NN_SPLIT_TEST, &n, &why))) {
            rc = app_fail(status == NN_ENOMEM ? APP_DEVICE : APP_OK, "%s", why.text);
            e->bad++;
            all_known = false;
        }
        free(tsv);
    }
    if (rc)
        return rc;
    e->leaks = say_leaks(set);
    if (e->leaks < 0)
        return app_fail(APP_DEVICE, "out of memory");
    if (!e->leaks && !all_known)
        e->leaks = -1;
    return APP_OK;
}

/* Only what is evaluated is hashed, as a set of its own: the training images may be a hundred times as many.
 */
static int find_leaks(struct evaluation *e)
{
    nn_dataset *set;
    nn_message why;
    int rc = nn_dataset_new(&set);

    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    for (int64_t i = 0; !rc && i < e->data->samples; i++) {
        const nn_sample *s = &e->data->sample[i];

        if (s->split != e->split || s->excluded || s->label == NN_LABEL_NONE)
            continue;
        if (!app_is_file(
                s->file)) /* a folder's images are not meant; it is named when it is to be decoded, */
            continue;
        rc = nn_dataset_add_images(set, s->file, &why);
        rc = rc == NN_ENOMEM ? rc : NN_OK; /* and so is a file that has gone */
    }
    rc = rc ? app_fail(app_exit_code(rc), "%s", why.text) : compare_with_runs(e, set);
    nn_dataset_free(set);
    return rc;
}

/* ------------------------------------------------------------------------ numbers */

static int measure(struct evaluation *e, double threshold)
{
    const nn_dataset *d = e->data;
    int rc;

    e->logits = calloc(2 * (size_t)d->samples + 1, sizeof *e->logits);
    e->label = calloc((size_t)d->samples + 1, sizeof *e->label);
    if (!e->logits || !e->label)
        return app_fail(APP_DEVICE, "out of memory");
    for (int64_t i = 0; i < d->samples; i++) {
        const struct outcome *o = &e->outcome[i];

        if (o->why) {
            problem_say(d->sample[i].file, o->why);
            e->bad++;
            e->not_finite += o->not_finite;
        }
        if (o->why || !o->seen || d->sample[i].label == NN_LABEL_NONE)
            continue;
        e->logits[2 * e->n] = o->logits[0];
        e->logits[2 * e->n + 1] = o->logits[1];
        e->label[e->n++] = d->sample[i].label;
    }
    if (e->not_finite)
        (void)app_fail(0, "%s: no finite output for %s: a run that diverged?",
                       e->o->run.checkpoints.n > 1 ? "one of the checkpoints" : e->o->run.checkpoints.at[0],
                       app_count(e->not_finite, "image"));
    if (!e->n)
        return app_fail(APP_DATA, "none of the images can be used");
    rc = nn_metrics_binary(&e->metrics, e->logits, e->label, e->n, threshold);
    if (!rc)
        rc = nn_macro_f1_interval(e->interval, &e->metrics, 0);
    return rc ? app_fail(app_exit_code(rc), "metrics: %s", nn_strerror(rc)) : APP_OK;
}

static void print_value(const char *name, double value)
{
    if (isfinite(value))
        printf("%-18s %.6f\n", name, value);
    else
        printf("%-18s -\n", name);
}

static void print_result(const struct evaluation *e)
{
    static const char *const names[2] = { "real", "fake" };
    const nn_metrics *m = &e->metrics;

    if (e->leaks > 0)
        printf("LEAK: %lld\n", (long long)e->leaks);
    for (int64_t i = 0; i < e->o->run.checkpoints.n; i++) {
        printf("%-18s ", i ? "with" : "checkpoint");
        app_print(stdout, e->o->run.checkpoints.at[i]);
        printf("\n");
    }
    printf("%-18s ", "data");
    app_print(stdout, e->data->source[0].root);
    printf(", %s\n", nn_split_name(e->split));
    printf("%-18s %lld (%lld real, %lld fake)", "samples", (long long)m->samples,
           (long long)m->per_class[0].support, (long long)m->per_class[1].support);
    if (e->bad)
        printf(", %lld left out", (long long)e->bad);
    printf("\n");
    if (e->not_finite)
        printf("%-18s %lld of those left out: for them the network gives no finite number\n", "no answer",
               (long long)e->not_finite);
    print_value("accuracy", m->accuracy);
    print_value("balanced accuracy", m->balanced_accuracy);
    printf("%-18s %.6f (95 %% interval %.4f to %.4f)\n", "macro F1", m->macro_f1, e->interval[0],
           e->interval[1]);
    print_value("AUC", m->auc);
    print_value("loss", m->loss);
    print_value("threshold", m->threshold);
    printf("\n%-18s %10s %10s\n", "", "said real", "said fake");
    for (int c = 0; c < 2; c++)
        printf("is %-15s %10lld %10lld\n", names[c], (long long)m->confusion[c][0],
               (long long)m->confusion[c][1]);
    printf("\n%-18s %10s %10s %10s %10s\n", "", "precision", "recall", "F1", "support");
    for (int c = 0; c < 2; c++)
        printf("%-18s %10.6f %10.6f %10.6f %10lld\n", names[c], m->per_class[c].precision,
               m->per_class[c].recall, m->per_class[c].f1, (long long)m->per_class[c].support);
}

/* --------------------------------------------------------------------------- JSON */

static json_t *number(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static json_t *class_object(const nn_class_metrics *c)
{
    return json_pack("{s:o, s:o, s:o, s:I}", "precision", number(c->precision), "recall", number(c->recall),
                     "f1", number(c->f1), "support", (json_int_t)c->support);
}

/* Files left out, with the reason. */
static json_t *excluded(const struct evaluation *e)
{
    const nn_dataset *d = e->data;
    json_t *list = json_array();

    for (int64_t i = 0; i < d->problems; i++) {
        const nn_problem *p = &d->problem[i];

        if (p->kind == NN_PROBLEM_UNREADABLE)
            (void)json_array_append_new(list, json_pack("{s:o, s:o}", "file", problem_json(p->file), "reason",
                                                        problem_json(problem_reason(p->file, p->text))));
    }
    for (int64_t i = 0; i < d->samples; i++) {
        const char *file = d->sample[i].file, *why = e->outcome[i].why;

        if (!why && d->sample[i].split == e->split)
            why = d->sample[i].excluded;
        if (why)
            (void)json_array_append_new(list, json_pack("{s:o, s:o}", "file", problem_json(file), "reason",
                                                        problem_json(problem_reason(file, why))));
    }
    return list;
}

static json_t *checkpoints(const struct evaluation *e)
{
    json_t *list = json_array();

    for (int64_t i = 0; i < e->o->run.checkpoints.n; i++)
        (void)json_array_append_new(list, problem_json(e->o->run.checkpoints.at[i]));
    return list;
}

static int write_json(const struct evaluation *e)
{
    const nn_metrics *m = &e->metrics;
    json_t *j = json_pack(
        "{s:o, s:o, s:s, s:o, s:s, s:I, s:o, s:o, s:o, s:[o,o], s:o, s:o, s:o, s:[[I,I],[I,I]], s:{s:o, "
        "s:o}, s:o, s:o, s:I, s:f}",
        "checkpoint", problem_json(e->o->run.checkpoints.at[0]), "checkpoints", checkpoints(e), "model",
        e->network, "data", problem_json(e->data->source[0].root), "split", nn_split_name(e->split),
        "samples", (json_int_t)m->samples, "accuracy", number(m->accuracy), "balanced_accuracy",
        number(m->balanced_accuracy), "macro_f1", number(m->macro_f1), "macro_f1_interval",
        number(e->interval[0]), number(e->interval[1]), "auc", number(m->auc), "loss", number(m->loss),
        "threshold", number(m->threshold), "confusion", (json_int_t)m->confusion[0][0],
        (json_int_t)m->confusion[0][1], (json_int_t)m->confusion[1][0], (json_int_t)m->confusion[1][1],
        "per_class", "real", class_object(&m->per_class[0]), "fake", class_object(&m->per_class[1]), "leaks",
        e->leaks < 0 ? json_null() : json_integer((json_int_t)e->leaks), "excluded", excluded(e),
        "not_finite", (json_int_t)e->not_finite, "seconds", e->seconds);
    char *dump = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    char *line = NULL;
    int rc;

    if (dump && asprintf(&line, "%s\n", dump) < 0)
        line = NULL;
    rc = line ? app_write_file(e->o->json, line) : app_fail(APP_DEVICE, "out of memory");
    free(line);
    free(dump);
    json_decref(j);
    return rc;
}

static int evaluate(struct evaluation *e)
{
    double start;
    int rc = load_data(e);

    if (rc)
        return rc;
    e->tsv = find_split(e->o->run.checkpoints.at[0]);
    rc = choose_split(e);
    if (!rc)
        rc = find_leaks(e);
    if (rc)
        return rc;
    e->outcome = calloc((size_t)e->data->samples + 1, sizeof *e->outcome);
    if (!e->outcome)
        return app_fail(APP_DEVICE, "out of memory");
    (void)snprintf(e->network, sizeof e->network, "%s", nn_classifier_about(e->o->run.first)->network);
    start = app_seconds();
    rc = inference_run(&e->o->run, e->data, e->split, "evaluate", e->outcome);
    e->seconds = app_seconds() - start;
    if (app_interrupted)
        return app_fail(128 + (int)app_interrupted, "interrupted: there is no result");
    if (!rc)
        rc = measure(e, isnan(e->o->threshold) ? e->o->run.threshold : e->o->threshold);
    if (rc)
        return rc;
    print_result(e);
    if (fflush(stdout))
        rc = app_fail(APP_IO, "the result cannot be printed");
    if (e->o->json) {
        int written = write_json(e);

        rc = rc ? rc : written;
    }
    return rc ? rc : e->leaks > 0 || e->bad ? APP_DATA : APP_OK;
}

int main(int argc, char **argv)
{
    struct options o = { .split = NN_SPLIT_VALID, .threshold = NAN, .run = INFERENCE_DEFAULTS };
    const struct argp_child children[] = { { &inference_argp, 0, NULL, 0 }, { 0 } };
    const struct argp argp = {
        LIST,
        parse,
        NULL,
        "Measures a checkpoint of fakereal_train on labelled images.\n\n"
        "Examples:\n"
        "  $ fakereal_evaluate --checkpoint runs/first/best.safetensors --data faces\n"
        "  $ fakereal_evaluate -c best.safetensors -d other --split-name test\n"
        "  $ fakereal_evaluate -c best.safetensors --fake-dir made --real-dir photos\n"
        "  $ fakereal_evaluate -c runs/*/best.safetensors -d faces\n"
        "\vThe table goes to stdout. If a run trained on any of these images, it begins with \"LEAK: n\".\n"
        "Exit status: 0 done; 2 usage; 3 a leak, files that cannot be used (the rest is measured), or a bad "
        "checkpoint; 4 input or output; 5 device or memory.",
        children,
        NULL,
        NULL
    };
    struct evaluation e = { .o = &o };
    nn_device *device = NULL;
    char **arguments = inference_spread(&argc, argv);
    int rc;

    app_parse(&argp, argc, arguments, &o);
    app_catch_interrupts();
    for (int64_t i = 0; i < o.run.checkpoints.n; i++) {
        char *tsv = find_split(o.run.checkpoints.at[i]);

        if (tsv)
            app_reads("the run's split.tsv", tsv);
        free(tsv);
    }
    rc = o.json ? app_check_output("--json", o.json, true) : APP_OK;
    if (!rc)
        rc = app_open(&device, &o.run.device);
    if (!rc)
        rc = inference_open(&o.run, device, o.run.batch);
    if (!rc)
        rc = evaluate(&e);
    inference_free(e.outcome, e.data ? e.data->samples : 0);
    free(e.logits);
    free(e.label);
    free(e.tsv);
    nn_dataset_free(e.data);
    inference_close(&o.run);
    nn_close(device);
    free(o.extra);
    free(arguments);
    return rc;
}
