/* SPDX-License-Identifier: MIT
 *
 * fakereal_predict: what one or several checkpoints say about images, as a table or as a submission in
 * the form of a template. Every image that was asked for has its row in the end, in the order asked: one
 * that cannot be used has an empty answer and is named.
 */
#include "inference.h"
#include "problems.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_TEMPLATE = 256, OPT_PROBABILITIES, OPT_FILL, MOST_NAMES = 50 };

struct options {
    struct paths images;
    const char *template, *output, *fill;
    bool probabilities;
    struct inference run;
};

static const struct argp_option LIST[] = {
    { NULL, 0, NULL, 0, "What to predict:", 1 },
    { "images", 'i', "DIR|FILE|-...", 0,
      "a folder with all below it, an image, or - for paths on standard input, one on each line (or each "
      "before a "
      "zero byte)",
      1 },
    { NULL, 0, NULL, 0, "Output:", 2 },
    { "output", 'o', "FILE", 0, "CSV to write: path,label,probability_fake; or the template with its answers",
      2 },
    { "template", OPT_TEMPLATE, "FILE", 0,
      "sample_submission.csv (ImageId,answer), kept byte for byte but for the answers", 2 },
    { "probabilities", OPT_PROBABILITIES, NULL, 0, "answer P(fake) instead of 0 or 1", 2 },
    { "fill", OPT_FILL, "0|1", 0,
      "the answer for rows without a usable image (they stay empty); the exit code is 3 all the same", 2 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->run; return 0;
    case 'i': paths_add(&o->images, strcmp(arg, "-") ? app_input(state, "--images", arg) : arg); return 0;
    case 'o': o->output = arg; return 0;
    case OPT_TEMPLATE: o->template = app_input(state, "--template", arg); return 0;
    case OPT_PROBABILITIES: o->probabilities = true; return 0;
    case OPT_FILL:
        if (strcmp(arg, "0") != 0 && strcmp(arg, "1") != 0)
            app_bad_option(state, "--fill: \"%s\" is neither 0 nor 1", arg);
        o->fill = arg;
        return 0;
    case ARGP_KEY_ARG: app_bad_option(state, "what is \"%s\"? Every value needs its option", arg); return 0;
    case ARGP_KEY_END:
        if (!o->images.n)
            app_bad_option(state, "--images is missing");
        if (!o->output)
            app_bad_option(state, "--output is missing");
        if (o->fill && !o->template)
            app_bad_option(state, "--fill belongs to --template");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ------------------------------------------------------------------------- images */

/* One row: an image of the dataset, or a path that leads to none. */
struct row {
    const char *path;
    int64_t sample; /* -1: none */
    char *why;      /* then the reason */
};

struct prediction {
    const struct options *o;
    nn_dataset *data;
    struct row *row;
    int64_t rows, room;
    char *standard_input;
    int64_t bad; /* images without an answer */
    struct outcome *outcome;
};

static int add_row(struct prediction *p, struct row row)
{
    if (p->rows == p->room) {
        int64_t room = p->room ? 2 * p->room : 256;
        struct row *grown = realloc(p->row, (size_t)room * sizeof *grown);

        if (!grown)
            return app_fail(APP_DEVICE, "out of memory");
        p->row = grown;
        p->room = room;
    }
    p->row[p->rows++] = row;
    return APP_OK;
}

/* Rows for the samples from number `from` on. */
static int add_rows(struct prediction *p, int64_t from)
{
    int rc = APP_OK;

    for (int64_t i = from; !rc && i < p->data->samples; i++)
        rc = add_row(p, (struct row){ .sample = i });
    return rc;
}

/* The folder of the images to predict if `path` is a whole data set of the competition, else NULL. */
static char *test_folder(const char *path)
{
    nn_dataset *d;
    struct stat st;
    char *found = NULL;

    if (stat(path, &st) || !S_ISDIR(st.st_mode) || nn_dataset_new(&d))
        return NULL;
    if (!nn_dataset_add(d, path, NULL) && d->count[NN_SPLIT_TEST][NN_LABEL_NONE]) {
        for (int64_t i = 0; !found && i < d->samples; i++) {
            const nn_sample *s = &d->sample[i];
            const char *slash = strchr(s->path, '/');

            if (s->label != NN_LABEL_NONE || !slash || !(slash = strchr(slash + 1, '/')))
                continue;
            found = strndup(s->file, strlen(s->file) - strlen(slash));
        }
    }
    nn_dataset_free(d);
    return found;
}

static int add_path(struct prediction *p, const char *path)
{
    int64_t from = p->data->samples, known = p->data->problems, ignored = 0;
    char *inner = test_folder(path);
    nn_message why;
    int rc;

    if (inner)
        app_say("%s is a whole data set: its test images are used, %s", path, inner);
    rc = nn_dataset_add_images(p->data, inner ? inner : path, &why);
    free(inner);
    if (rc)
        return app_fail(rc == NN_ENOMEM ? APP_DEVICE : rc == NN_EIO ? APP_IO : APP_DATA, "%s", why.text);
    p->bad += problems_say(p->data, known);
    ignored = p->data->source[p->data->sources - 1].ignored;
    if (ignored)
        app_say("%s: %s ignored for a name that ends neither in .jpg, .jpeg nor .png", path,
                app_count(ignored, "file"));
    if (p->data->samples == from)
        return app_fail(APP_DATA, "%s: there is no image in it (.jpg, .jpeg, .png)", path);
    return add_rows(p, from);
}

/* Waits for standard input: 1 when there is something or its end, 0 after a signal. Now and then it looks for
 * one, for it may have come just before the waiting began. */
static int wait_for_input(void)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

    while (!app_interrupted) {
        int n = poll(&in, 1, 200);

        if (n > 0 || (n < 0 && errno != EINTR))
            return 1;
    }
    return 0;
}

/* All of standard input, with a zero behind it; errno is set where it broke off. NULL: no memory. */
static char *read_all(size_t *size)
{
    size_t room = 1 << 16;
    char *data = malloc(room);
    ssize_t n = 1;

    *size = 0;
    errno = 0;
    while (data && n && wait_for_input()) {
        n = read(STDIN_FILENO, data + *size, room - *size - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        errno = 0;
        *size += (size_t)n;
        if (room - *size < 2) {
            char *grown = realloc(data, room *= 2);

            if (!grown)
                free(data);
            data = grown;
        }
    }
    if (data)
        data[*size] = 0;
    return data;
}

/* One path of the list. Unlike a path of the command line it may lead nowhere without ending the others. */
static int add_listed(struct prediction *p, char *path)
{
    int64_t from = p->data->samples, known = p->data->problems;
    size_t n = strlen(path);
    struct row none = { .path = path, .sample = -1 };
    nn_message why;
    int rc;

    if (n && path[n - 1] == '\r' && !app_exists(path))
        path[--n] = 0;
    if (!n)
        return APP_OK;
    rc = nn_dataset_add_images(p->data, path, &why);
    if (rc == NN_ENOMEM)
        return app_fail(APP_DEVICE, "%s", why.text);
    if (!rc) {
        p->bad += problems_say(p->data, known);
        return add_rows(p, from);
    }
    none.why = strdup(problem_reason(path, why.text));
    return none.why ? add_row(p, none) : app_fail(APP_DEVICE, "out of memory");
}

static int add_standard_input(struct prediction *p)
{
    size_t size;
    char *end, *next;
    int rc = APP_OK, separator;

    if (p->standard_input)
        return app_fail(APP_USAGE, "--images - can be given once");
    p->standard_input = read_all(&size);
    if (!p->standard_input)
        return app_fail(APP_DEVICE, "out of memory");
    if (app_interrupted)
        return app_fail(128 + (int)app_interrupted,
                        "interrupted while the list was read: nothing is written");
    if (errno)
        return app_fail(APP_IO, "standard input: %s", strerror(errno));
    separator = memchr(p->standard_input, 0, size) ? 0 : '\n';
    end = p->standard_input + size;
    for (char *at = p->standard_input; !rc && at < end; at = next) {
        char *stop = memchr(at, separator, (size_t)(end - at));

        stop = stop ? stop : end;
        *stop = 0;
        next = stop + 1;
        rc = add_listed(p, at);
    }
    return rc;
}

static int list_images(struct prediction *p)
{
    int rc = nn_dataset_new(&p->data);

    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    for (int64_t i = 0; !rc && i < p->o->images.n; i++)
        rc = strcmp(p->o->images.at[i], "-") ? add_path(p, p->o->images.at[i]) : add_standard_input(p);
    if (rc)
        return rc;
    /* Only now, because the list of samples moves while it grows. */
    for (int64_t i = 0; i < p->rows; i++)
        if (p->row[i].sample >= 0)
            p->row[i].path = p->data->sample[p->row[i].sample].path;
    return p->rows ? APP_OK : app_fail(APP_DATA, "there are no images to predict");
}

/* ------------------------------------------------------------------------ answers */

/* Answers row by row; whatever has none is named here. */
static nn_prediction *answers(struct prediction *p, int64_t *complete)
{
    nn_prediction *answer = calloc((size_t)p->rows, sizeof *answer);

    *complete = 0;
    for (int64_t i = 0; answer && i < p->rows; i++) {
        const struct row *r = &p->row[i];
        const char *file = r->sample >= 0 ? p->data->sample[r->sample].file : r->path;
        const char *why = r->sample >= 0 ? p->outcome[r->sample].why : r->why;
        double v = NAN;

        if (why) {
            problem_say(file, why);
            p->bad++;
        } else if (r->sample >= 0 && p->outcome[r->sample].seen == p->o->run.checkpoints.n) {
            v = nn_probability_fake(p->outcome[r->sample].logits);
            ++*complete;
        }
        answer[i] =
            (nn_prediction){ .path = r->path, .label = v >= p->o->run.threshold, .probability_fake = v };
    }
    return answer;
}

static void name_some(const char *what, int64_t i, int64_t all, const char *name)
{
    if (i < MOST_NAMES)
        problem_say(name, what);
    else if (i == MOST_NAMES)
        app_say("... and %lld more", (long long)(all - i));
}

/* Tells how template and images fit together. */
static void compare(const struct prediction *p, const nn_template_report *r, const nn_prediction *answer)
{
    for (int64_t i = 0; i < r->missing; i++)
        name_some(p->o->fill ? "no usable image for this row of the template, filled in"
                             : "no usable image for this row of the template, left empty",
                  i, r->missing, r->missing_id[i]);
    if (r->ambiguous)
        app_say("%s: for %lld of these rows several images could be meant", p->o->template,
                (long long)r->ambiguous);
    for (int64_t i = 0; i < r->extra; i++)
        name_some("no row of the template asks for this image", i, r->extra, answer[r->extra_index[i]].path);
    app_say("%s: %s, %lld answered, %lld without image, %s left over", p->o->template,
            app_count(r->rows, "row"), (long long)r->answered, (long long)r->missing,
            app_count(r->extra, "image"));
}

static int write_answers(struct prediction *p, nn_template *template)
{
    nn_template_opts opts = { .probabilities = p->o->probabilities, .fill = p->o->fill };
    nn_template_report report = { 0 };
    int64_t complete;
    nn_prediction *answer = answers(p, &complete);
    nn_message why;
    int rc;

    if (!answer)
        return app_fail(APP_DEVICE, "out of memory");
    if (app_interrupted && !complete) {
        free(answer);
        return app_fail(128 + (int)app_interrupted,
                        "interrupted before any image was done: nothing is written");
    }
    rc = template ? nn_template_write(template, p->o->output, answer, p->rows, &opts, &report, &why)
                  : nn_predictions_write(p->o->output, answer, p->rows, &why);
    if (rc)
        rc = app_fail(rc == NN_ENOMEM ? APP_DEVICE : APP_IO, "%s", why.text);
    else if (template)
        compare(p, &report, answer);
    free(answer);
    if (rc)
        return rc;
    app_say("%s: %lld of %s predicted", p->o->output, (long long)complete, app_count(p->rows, "image"));
    if (app_interrupted)
        return app_fail(128 + (int)app_interrupted, "interrupted: the images not yet done have no answer");
    return p->bad || report.missing ? APP_DATA : APP_OK;
}

static void prediction_free(struct prediction *p)
{
    inference_free(p->outcome, p->data ? p->data->samples : 0);
    for (int64_t i = 0; i < p->rows; i++)
        free(p->row[i].why);
    free(p->row);
    free(p->standard_input);
    nn_dataset_free(p->data);
}

int main(int argc, char **argv)
{
    struct options o = { .run = INFERENCE_DEFAULTS };
    const struct argp_child children[] = { { &inference_argp, 0, NULL, 0 }, { 0 } };
    const struct argp argp = {
        LIST,
        parse,
        NULL,
        "Says of images whether they are fake (1) or real (0).\n\n"
        "Examples:\n"
        "  $ fakereal_predict -c best.safetensors -i photos -o answers.csv\n"
        "  $ fakereal_predict -c a.safetensors b.safetensors -i photos -o answers.csv\n"
        "  $ fakereal_predict -c a.safetensors -i test --template test.csv -o s.csv\n"
        "  $ find . -name '*.png' | fakereal_predict -c a.safetensors -i - -o a.csv\n"
        "\vAn image is fake when P(fake) reaches the threshold of the (first) checkpoint.\n"
        "Exit status: 0 done; 2 usage; 3 images that cannot be used or rows of the template without image "
        "(the "
        "rest is predicted and written), or a bad checkpoint; 4 input or output; 5 device or memory.",
        children,
        NULL,
        NULL
    };
    struct prediction p = { .o = &o };
    nn_template *template = NULL;
    nn_device *device = NULL;
    nn_message why;
    char **arguments = inference_spread(&argc, argv);
    int rc;

    app_parse(&argp, argc, arguments, &o);
    app_catch_interrupts();
    rc = app_check_output("--output", o.output, false);
    if (!rc && o.template) {
        rc = nn_template_read(&template, o.template, &why);
        if (rc)
            rc = app_fail(rc == NN_ENOMEM ? APP_DEVICE : rc == NN_EIO ? APP_IO : APP_DATA, "%s", why.text);
    }
    if (!rc)
        rc = app_open(&device, &o.run.device);
    if (!rc)
        rc = list_images(&p);
    if (!rc)
        rc = problems_spares("--output", o.output, p.data);
    if (!rc)
        rc = inference_open(&o.run, device, p.rows);
    if (!rc && !(p.outcome = calloc((size_t)p.data->samples + 1, sizeof *p.outcome)))
        rc = app_fail(APP_DEVICE, "out of memory");
    if (!rc)
        rc = inference_run(&o.run, p.data, NN_SPLIT_TEST, "predict", p.outcome);
    if (!rc)
        rc = write_answers(&p, template);
    prediction_free(&p);
    nn_template_free(template);
    inference_close(&o.run);
    nn_close(device);
    free(o.images.at);
    free(arguments);
    return rc;
}
