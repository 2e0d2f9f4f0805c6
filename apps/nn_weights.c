/* SPDX-License-Identifier: MIT
 *
 * nn_weights: looks into weight files, compares them and writes them in other formats, without Python and
 * without running anything that a file contains.
 */
#include "app.h"
#include "network.h"
#include "weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a checkpoint of training has in its metadata (nn_checkpoint_save). */
static const char checksum_key[] = "libnn.plan.checksum";

enum { OPT_DIALECT = 256, OPT_AVERAGED };

struct options {
    const char *command, *dialect, *file[2];
    int files;
    bool averaged, all;
};

static const struct argp_option LIST[] = {
    { "dialect", OPT_DIALECT, "torchvision|timm|timm-tf|timm-tf-ap|lukemelas|lukemelas-ap", 0,
      "of the weights, where the file does not tell", 1 },
    { "ema", OPT_AVERAGED, NULL, 0, "the averaged weights of a checkpoint", 1 },
    { "all", 'a', NULL, 0, "info: name every tensor", 1 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case OPT_DIALECT: o->dialect = app_choice(state, "dialect", arg); return 0;
    case OPT_AVERAGED: o->averaged = true; return 0;
    case 'a': o->all = true; return 0;
    case ARGP_KEY_ARG:
        if (!o->command)
            o->command = arg;
        else if (o->files < 2)
            o->file[o->files++] = arg;
        else
            app_bad_option(state, "unexpected argument \"%s\"", arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->command)
            app_bad_option(state, "say what to do: info, convert, diff or verify");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int open_plain(nn_safetensors **file, const char *path, const struct options *o)
{
    nn_weights_opts how = { .averaged = o->averaged };
    nn_message why;
    int rc = nn_weights_open(file, path, &how, &why);

    return rc ? app_fail(weights_exit_code(rc), "%s", why.text) : APP_OK;
}

/* A line of what a file says of itself. */
static void print_pair(const char *key, const char *value)
{
    app_print(stdout, key);
    (void)putchar('\t');
    app_print(stdout, value);
    (void)putchar('\n');
}

static const char *shape_text(const nn_shape *s, char text[128])
{
    size_t n = 0;

    text[0] = 0;
    for (int i = 0; i < s->rank; i++)
        n += (size_t)snprintf(text + n, 128 - n, i ? ",%lld" : "%lld", (long long)s->dim[i]);
    return text;
}

/* --------------------------------------------------------------------- info */

enum { MOST_VALUE = 400 }; /* bytes of a value of the metadata that are shown */

/* How the network wants its images. */
static void print_pixels(const nn_preprocess *p)
{
    (void)printf("pixels\t");
    if (p->resize_shorter)
        (void)printf("shorter side resized to %lld (%s)", (long long)p->resize_shorter,
                     nn_resize_name(p->kernel));
    else if (p->resize_width)
        (void)printf("resized to %lldx%lld (%s)", (long long)p->resize_width, (long long)p->resize_height,
                     nn_resize_name(p->kernel));
    else
        (void)printf("not resized");
    if (p->crop)
        (void)printf(", %lld from the middle", (long long)p->size);
    (void)printf(", mean %g %g %g, std %g %g %g\n", p->mean[0], p->mean[1], p->mean[2], p->std[0], p->std[1],
                 p->std[2]);
}

static int info(const struct options *o)
{
    const char *path = o->file[0];
    nn_safetensors *file;
    nn_pretrained p;
    nn_message why;
    char *config = NULL, shape[128];
    int64_t elements = 0, bytes = 0;
    int rc = open_plain(&file, path, o);

    if (rc)
        return rc;
    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        const nn_safetensors_entry *e = nn_safetensors_at(file, i);

        elements += e->count;
        bytes += (int64_t)e->bytes;
        if (o->all) {
            app_print(stdout, e->name);
            (void)printf("\t%s\t[%s]\n", e->dtype, shape_text(&e->shape, shape));
        }
    }
    (void)printf("tensors\t%lld\nelements\t%lld\nbytes\t%lld\n", (long long)nn_safetensors_count(file),
                 (long long)elements, (long long)bytes);
    for (int64_t i = 0; i < nn_safetensors_metadata_count(file); i++) {
        const nn_pair *pair = nn_safetensors_metadata_at(file, i);
        char value[MOST_VALUE + 4];

        (void)snprintf(value, sizeof value, strlen(pair->value) > MOST_VALUE ? "%.*s..." : "%.*s", MOST_VALUE,
                       pair->value);
        print_pair(pair->key, value);
    }
    config = weights_config(path);
    rc = nn_pretrained_identify(
        &p, file, &(nn_pretrained_opts){ .path = path, .config = config, .dialect = o->dialect }, &why);
    if (!rc) {
        struct weights w = { .path = path, .file = file, .about = p };
        char text[256];

        weights_describe(&w, text);
        print_pair("network", text);
        print_pixels(&p.preprocess);
        nn_preprocess_free(&p.preprocess);
    } else {
        print_pair("network", why.text);
    }
    free(config);
    nn_safetensors_free(file);
    return APP_OK; /* a file can be looked into whatever it holds */
}

/* ------------------------------------------------------------------ convert */

/* Of a name alone: ".onnx" is a hidden file, or a variable of a script that was empty. */
static bool ends_in(const char *path, const char *end)
{
    const char *slash = strrchr(path, '/'), *text = slash ? slash + 1 : path;
    size_t n = strlen(text), m = strlen(end);

    return n > m && !strcmp(text + n - m, end);
}

/* The network of a file, with all of its tensors; of a checkpoint the model's or their averages. Its model is
 * to be freed either way. */
static int load_network(struct network *n, const struct weights *w, bool averaged, nn_device *device,
                        nn_load_report *report)
{
    bool checkpoint = nn_safetensors_metadata(w->file, checksum_key) != NULL;
    nn_load_opts o = { .from = !checkpoint ? "" : averaged ? "ema/" : "model/" };
    nn_message why;
    int rc;

    *n = (struct network){ .device = device,
                           .net = w->about.network,
                           .classes = w->about.classes,
                           .preprocess = w->about.preprocess };
    if (checkpoint && nn_checkpoint_check(w->file, &why))
        return app_fail(APP_DATA, "%s: %s", w->path, why.text);
    rc = nn_model_new(&n->model, device, 0);
    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    rc = network_seal(n);
    if (!rc && (rc = nn_model_load_from(n->model, w->file, &o, report)))
        rc = app_fail(app_exit_code(rc), "%s: %s", w->path, nn_model_error(n->model));
    return rc;
}

/* The formats in which a network can be written; each returns 0 or the exit code, with the reason printed. */

static int write_safetensors(struct network *n, const char *to, double threshold)
{
    nn_pair pairs[8];
    int64_t count = 0;
    int rc = network_pairs(n, pairs, &count, threshold);

    if (!rc && (rc = nn_model_save(n->model, to, NN_BASE_NONE, pairs, count)))
        rc = app_fail(app_exit_code(rc), "%s", nn_model_error(n->model));
    network_pairs_free(pairs, count);
    return rc;
}

static int write_torch(struct network *n, const char *to, double threshold)
{
    int64_t all = nn_model_count(n->model);
    nn_safetensors_item *item = calloc((size_t)all, sizeof *item);
    nn_message why;
    int rc;

    (void)threshold; /* there is no place for it */
    if (!item)
        return app_fail(APP_DEVICE, "out of memory");
    for (int64_t i = 0; i < all; i++) {
        const nn_segment *s = nn_model_segment(n->model, i);

        item[i] = (nn_safetensors_item){ s->name, s->type, s->shape,
                                         (const char *)nn_model_buffer(n->model, s->base, NULL) + s->offset };
    }
    rc = nn_torch_write(to, item, all, &why);
    free(item);
    return rc ? app_fail(app_exit_code(rc), "%s", why.text) : APP_OK;
}

static int write_onnx(struct network *n, const char *to, double threshold)
{
    nn_pair pairs[8];
    int64_t count = 0;
    nn_tensor *loss;
    nn_message why;
    nn_graph *g;
    int rc = nn_graph_new(&g, n->device, n->model, NN_EVAL);

    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    (void)nn_observe(g, "probabilities", nn_softmax(g, network_record(n, g, 1, &loss)));
    rc = network_pairs(n, pairs, &count, threshold);
    if (!rc && (rc = nn_onnx_write(g, to, pairs + 1, count - 1, &why))) /* pairs[0] is for safetensors */
        rc = app_fail(app_exit_code(rc), "%s", why.text);
    network_pairs_free(pairs, count);
    nn_graph_free(g);
    return rc;
}

typedef int write_function(struct network *n, const char *to, double threshold);

/* By the end of a file's name; NULL: no such format. */
static write_function *writer_of(const char *to)
{
    return ends_in(to, ".safetensors")                 ? write_safetensors
           : ends_in(to, ".pth") || ends_in(to, ".pt") ? write_torch
           : ends_in(to, ".onnx")                      ? write_onnx
                                                       : NULL;
}

/* Every tensor of the network as float32, counters as they are; names as torchvision has them. */
static int convert_network(const struct weights *w, const char *to, bool averaged, nn_device *device)
{
    struct network n;
    nn_load_report report;
    int rc = load_network(&n, w, averaged, device, &report);

    if (!rc)
        rc = writer_of(to)(&n, to, w->about.threshold);
    if (!rc)
        app_say("%s: %s", to, app_count(report.loaded, "tensor"));
    nn_model_free(n.model);
    return rc;
}

/* Some dialects are no network of torchvision's: their description is in the metadata, which .pth lacks. */
static void warn_of_loss(const struct weights *w, const char *to)
{
    const nn_network *their = &w->about.network;
    nn_network own;

    if (writer_of(to) != write_torch || nn_network_find(their->name, &own))
        return;
    if (own.padding == their->padding && own.padding == NN_PAD_AUTO && !(own.eps < their->eps) &&
        !(own.eps > their->eps))
        return;
    app_say(
        "note: %s keeps the names of torchvision but cannot say that this network pads \"%s\" with eps %g; "
        "torchvision's does not",
        to, their->padding == NN_PAD_SAME ? "same" : "symmetric", their->eps);
}

static int convert(const struct options *o)
{
    const char *to = o->file[1];
    struct weights w = { .path = NULL };
    nn_device *device = NULL;
    char text[256];
    int rc;

    if (!writer_of(to))
        return app_fail(APP_USAGE, "\"%s\": give it a name that ends in .safetensors, .pth, .pt or .onnx",
                        to);
    app_reads("FROM", o->file[0]);
    rc = app_check_output("convert to", to, false);
    if (rc)
        return rc;
    rc = app_open(&device, &(struct app_device){ .threads = 1 });
    if (rc)
        return rc;
    rc = weights_open(&w, o->file[0], o->dialect, o->averaged);
    if (!rc) {
        weights_describe(&w, text);
        app_say("%s: %s", o->file[0], text);
        warn_of_loss(&w, to);
        rc = weights_check_values(&w);
    }
    if (!rc)
        rc = convert_network(&w, to, o->averaged, device);
    weights_free(&w);
    nn_close(device);
    return rc;
}

/* --------------------------------------------------------------------- diff */

/* How tensor `a` differs from `b`; NULL when it does not. */
static const char *difference(const nn_safetensors_entry *a, const nn_safetensors_entry *b)
{
    if (strcmp(a->dtype, b->dtype) != 0)
        return "of different types";
    if (!nn_shape_equal(a->shape, b->shape))
        return "of different shapes";
    return a->bytes && memcmp(a->data, b->data, a->bytes) != 0 ? "of different values" : NULL;
}

/* Names of one network, whichever dialect each file has; as they are where none is known. */
static void unify(nn_safetensors *file, const char *path, const struct options *o)
{
    char *config = weights_config(path);
    nn_pretrained p;

    if (!nn_pretrained_identify(
            &p, file, &(nn_pretrained_opts){ .path = path, .config = config, .dialect = o->dialect }, NULL))
        nn_preprocess_free(&p.preprocess);
    free(config);
}

/* A file, and what the names of its network begin with where that is all that is compared. */
struct side {
    nn_safetensors *file;
    const char *prefix;
};

/* The name of tensor i without the prefix; NULL: it has none. */
static const char *name_of(const struct side *s, int64_t i)
{
    const char *name = nn_safetensors_at(s->file, i)->name;
    size_t n = strlen(s->prefix);

    return strncmp(name, s->prefix, n) ? NULL : name + n;
}

static const nn_safetensors_entry *counterpart(const struct side *s, const char *name)
{
    char *whole = NULL;
    const nn_safetensors_entry *e;

    if (asprintf(&whole, "%s%s", s->prefix, name) < 0)
        exit(app_fail(APP_DEVICE, "out of memory"));
    e = nn_safetensors_at(s->file, nn_safetensors_find(s->file, whole));
    free(whole);
    return e;
}

/* Tells the tensors of `a` that `b` has not, or if `values` has otherwise. *tensors: how many there are. */
static int64_t tell_differences(const struct side *a, const struct side *b, bool values, const char *absent,
                                int64_t *tensors)
{
    int64_t differ = 0;

    *tensors = 0;
    for (int64_t i = 0; i < nn_safetensors_count(a->file); i++) {
        const char *name = name_of(a, i), *how = NULL;
        const nn_safetensors_entry *other;

        if (!name)
            continue;
        ++*tensors;
        other = counterpart(b, name);
        if (!other)
            how = absent;
        else if (values)
            how = difference(nn_safetensors_at(a->file, i), other);
        if (how && ++differ)
            print_pair(name, how);
    }
    return differ;
}

/* Two checkpoints of training are compared in all that they hold, one and a network in the network. */
static void choose_prefixes(struct side side[2], const struct options *o)
{
    bool checkpoint[2];

    for (int i = 0; i < 2; i++)
        checkpoint[i] = nn_safetensors_metadata(side[i].file, checksum_key) != NULL;
    for (int i = 0; i < 2; i++) {
        side[i].prefix = !checkpoint[i] || checkpoint[!i] ? "" : o->averaged ? "ema/" : "model/";
        if (*side[i].prefix)
            app_say("%s is a checkpoint of a training: its network alone is compared", o->file[i]);
    }
}

static int diff(const struct options *o)
{
    struct side side[2] = { { NULL, "" }, { NULL, "" } };
    int64_t differ = 0, tensors[2];
    int rc = open_plain(&side[0].file, o->file[0], o);

    if (!rc)
        rc = open_plain(&side[1].file, o->file[1], o);
    if (!rc) {
        for (int i = 0; i < 2; i++)
            unify(side[i].file, o->file[i], o);
        choose_prefixes(side, o);
        differ = tell_differences(&side[0], &side[1], true, "only in the first", &tensors[0]) +
                 tell_differences(&side[1], &side[0], false, "only in the second", &tensors[1]);
        app_say("%lld and %s, %lld differ", (long long)tensors[0], app_count(tensors[1], "tensor"),
                (long long)differ);
    }
    for (int i = 0; i < 2; i++)
        nn_safetensors_free(side[i].file);
    return rc ? rc : differ ? APP_NO : APP_OK;
}

/* ------------------------------------------------------------------- verify */

/* Whole, of a known network, with all of its tensors, all values such as a network can have. */
static int verify(const struct options *o)
{
    nn_load_report report;
    struct weights w = { .path = NULL };
    nn_device *device = NULL;
    char text[256];
    int rc = app_open(&device, &(struct app_device){ .threads = 1 });

    if (rc)
        return rc;
    rc = weights_open(&w, o->file[0], o->dialect, o->averaged);
    if (!rc && nn_safetensors_metadata(w.file, NN_NETWORK_KEY) &&
        !nn_safetensors_metadata(w.file, NN_PREPROCESS_KEY))
        rc =
            app_fail(APP_DATA,
                     "%s: names its network, but its metadata has no \"%s\", so nobody knows which images it "
                     "wants: fakereal_evaluate, fakereal_predict and nn_classify refuse it",
                     w.path, NN_PREPROCESS_KEY);
    if (!rc)
        rc = weights_check_values(&w);
    if (!rc) {
        struct network n;

        rc = load_network(&n, &w, o->averaged, device, &report);
        nn_model_free(n.model);
    }
    if (!rc) {
        weights_describe(&w, text);
        app_print(stdout, w.path);
        (void)printf("\tok\t%s\t", app_count(report.loaded, "tensor"));
        app_print(stdout, text);
        (void)putchar('\n');
    }
    weights_free(&w);
    nn_close(device);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct command {
        const char *name;
        int files;
        int (*run)(const struct options *o);
    } commands[] = {
        { "info", 1, info }, { "convert", 2, convert }, { "diff", 2, diff }, { "verify", 1, verify }
    };
    const struct argp argp = { LIST,
                               parse,
                               "info FILE\nconvert FROM TO\ndiff A B\nverify FILE",
                               "Weight files: .safetensors, and .pth of torchvision, timm and lukemelas.\n\n"
                               "Examples:\n"
                               "  $ nn_weights info efficientnet_b0_rwightman-7f5810bc.pth\n"
                               "  $ nn_weights convert tf_efficientnet_b0_ns-c0e6a31c.pth b0.safetensors\n"
                               "  $ nn_weights convert b0.safetensors b0.pth\n"
                               "  $ nn_weights convert runs/first/best.safetensors faces.onnx\n"
                               "  $ nn_weights diff a.safetensors b.pth\v"
                               "convert writes names as torchvision has them; a .safetensors file also says "
                               "how the network pads and "
                               "which pixels it wants, and every program of libnn opens it. Like verify it "
                               "refuses weights that are not finite and variances below zero.\n"
                               "Exit status: 0 done; 1 diff: not every tensor is equal to the bit; 2 usage, "
                               "or the file does not tell "
                               "its dialect; 3 bad weights; 4 input or output; 5 device or memory.",
                               NULL,
                               NULL,
                               NULL };
    struct options o = { .command = NULL };
    int rc = -1;

    app_parse(&argp, argc, argv, &o);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, o.command) != 0)
            continue;
        rc = o.files == commands[i].files ? commands[i].run(&o)
                                          : app_fail(APP_USAGE, "%s takes %s", o.command,
                                                     commands[i].files == 1 ? "a file" : "two files");
    }
    if (rc < 0)
        return app_fail(APP_USAGE, "there is no command \"%s\"; there are info, convert, diff and verify",
                        o.command);
    if (!rc && (fflush(stdout) || ferror(stdout)))
        rc = app_fail(APP_IO, "standard output cannot be written");
    return rc;
}
