/* SPDX-License-Identifier: MIT
 *
 * A weight file turned into a function from pixels to probabilities. The file says which network it belongs
 * to and how its images were made, so the caller cannot get either wrong. This lives among the models, above
 * the library proper, because it is they that it builds; it needs nothing that another program could not use.
 */
#include <nn/classifier.h>

#include "metadata.h"

#include <math.h>
#include <nn/io.h>
#include <nn/models/pretrained.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nn_classifier {
    nn_classifier_info info;
    nn_network known; /* unless the network is the caller's */
    char *network;
    nn_device *own; /* NULL where the device is the caller's */
    nn_model *model;
    nn_plan *plan;
    nn_vision_scratch scratch;
    double *logits; /* [batch,classes] */
    nn_message message;
};

static int fail(nn_message *why, int status, const char *format, ...) NN_PRINTF(3, 4);
static int fail(nn_message *why, int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return status;
}

/* ---- opening ---- */

/* The record that a network of the caller's needs. */
static int read_record(nn_classifier *c, const nn_safetensors *file, const char *path)
{
    const char *record = nn_safetensors_metadata(file, NN_PREPROCESS_KEY);
    const char *network = nn_safetensors_metadata(file, NN_NETWORK_KEY);
    nn_message why;
    int rc;

    if (!record)
        return fail(&c->message, NN_EFORMAT,
                    "%s: not the weights of a classifier: its metadata has no \"%s\"", path,
                    NN_PREPROCESS_KEY);
    rc = nn_preprocess_read(&c->info.preprocess, record, &why);
    c->info.threshold = 0.5;
    if (!rc)
        rc = nni_metadata_fraction(file, NN_THRESHOLD_KEY, &c->info.threshold, &why);
    if (rc)
        return fail(&c->message, rc, "%s: %.400s", path, why.text);
    c->network = strdup(network ? network : "");
    return c->network ? NN_OK : fail(&c->message, NN_ENOMEM, "%s", nn_strerror(NN_ENOMEM));
}

/* A network that is known, with the record that belongs to its weights. */
static int identify(nn_classifier *c, nn_safetensors *file, const char *path, const nn_classifier_opts *o)
{
    nn_pretrained_opts opts = { .path = path, .config = o->config, .dialect = o->dialect };
    nn_pretrained p;
    nn_message why;
    int rc = nn_pretrained_identify(&p, file, &opts, &why);

    if (rc)
        return fail(&c->message, rc, "%s: %.400s", path, why.text);
    c->known = p.network;
    c->info.preprocess = p.preprocess;
    c->info.threshold = p.threshold;
    c->network = strdup(p.network.name);
    return c->network ? NN_OK : fail(&c->message, NN_ENOMEM, "%s", nn_strerror(NN_ENOMEM));
}

/* The same pixels of another size. */
static void scale_record(nn_preprocess *p, int64_t size)
{
    p->resize_height = p->resize_height * size / p->size;
    p->resize_width = p->resize_width * size / p->size;
    p->resize_shorter = p->resize_shorter * size / p->size;
    p->size = size;
}

static int describe(nn_classifier *c, nn_safetensors *file, const char *path, const nn_classifier_opts *o)
{
    int rc = o->network ? read_record(c, file, path) : identify(c, file, path, o);

    if (rc)
        return rc;
    if (!c->info.preprocess.classes)
        return fail(&c->message, NN_EFORMAT, "%s: \"%s\" in its metadata names no classes", path,
                    NN_PREPROCESS_KEY);
    if (o->size)
        scale_record(&c->info.preprocess, o->size);
    rc = nn_preprocess_check(&c->info.preprocess, &c->message);
    if (rc)
        return rc;
    c->info.network = c->network;
    return NN_OK;
}

static int build(nn_classifier *c, nn_device *device, const char *path, const nn_classifier_opts *o)
{
    const nn_preprocess *p = &c->info.preprocess;
    nn_tensor *image, *logits;
    nn_graph *g;
    int rc = nn_model_new(&c->model, device, 0);

    if (!rc)
        rc = nn_graph_new(&g, device, c->model, NN_EVAL);
    if (rc)
        return fail(&c->message, rc, "%s: %s", path, nn_strerror(rc));
    image = nn_input(g, "image", NN_U8, NN_SHAPE4(c->info.batch, p->size, p->size, 3));
    image = nn_normalize(g, image, p->mean, p->std, p->maximum);
    logits = o->network ? o->network(g, image, p->classes) : c->known.record(g, image, &c->known, p->classes);
    if (logits && !nn_shape_equal(nn_shape_get(logits), NN_SHAPE2(c->info.batch, p->classes)))
        logits = nn_graph_fail(g, NN_ESHAPE, "the network has not one output for each of the %lld classes",
                               (long long)p->classes);
    (void)nn_observe(g, "logits", logits);
    rc = nn_graph_status(g);
    if (!rc)
        rc = nn_compile(&c->plan, g, (nn_plan_opts){ .precision = o->precision });
    if (rc)
        (void)fail(&c->message, rc, "%s: %.400s", path, nn_graph_error(g));
    nn_graph_free(g);
    return rc;
}

/* Whether any tensor's name begins so. */
static int has_prefix(const nn_safetensors *file, const char *prefix)
{
    for (int64_t i = 0; i < nn_safetensors_count(file); i++)
        if (!strncmp(nn_safetensors_at(file, i)->name, prefix, strlen(prefix)))
            return 1;
    return 0;
}

static int load(nn_classifier *c, const nn_safetensors *file, const char *path)
{
    nn_load_opts o = { .from = has_prefix(file, "ema/")     ? "ema/"
                               : has_prefix(file, "model/") ? "model/"
                                                            : "" };
    int rc = nn_model_load_from(c->model, file, &o, NULL);

    return rc ? fail(&c->message, rc, "%s: %.400s", path, nn_model_error(c->model)) : NN_OK;
}

int nn_classifier_open(nn_classifier **out, const char *path, const nn_classifier_opts *opts, nn_message *why)
{
    nn_classifier_opts o = opts ? *opts : (nn_classifier_opts){ 0 };
    nn_device_options device = { .threads = o.threads };
    nn_safetensors *file = NULL;
    nn_classifier *c;
    nn_message unread;
    int rc;

    why = why ? why : &unread;
    if (!out || !path)
        return fail(why, NN_EINVAL, "nn_classifier_open needs a path, and a place for the classifier");
    *out = NULL;
    if (o.batch < 0 || o.batch > INT32_MAX || o.size < 0 || o.size > INT32_MAX)
        return fail(why, NN_EINVAL, "nn_classifier_open: batch %lld and size %lld cannot be",
                    (long long)o.batch, (long long)o.size);
    c = calloc(1, sizeof *c);
    if (!c)
        return fail(why, NN_ENOMEM, "%s", nn_strerror(NN_ENOMEM));
    c->info.batch = o.batch ? o.batch : 1;
    rc = nn_weights_open(&file, path, NULL, &c->message);
    if (!rc)
        rc = describe(c, file, path, &o);
    if (!rc && !o.device)
        rc = nn_open(&c->own, "cpu", &device, &c->message);
    if (!rc)
        rc = build(c, o.device ? o.device : c->own, path, &o);
    if (!rc)
        rc = load(c, file, path);
    nn_safetensors_free(file);
    if (!rc) {
        c->logits = malloc((size_t)(c->info.batch * c->info.preprocess.classes) * sizeof *c->logits);
        if (!c->logits)
            rc = fail(&c->message, NN_ENOMEM, "%s", nn_strerror(NN_ENOMEM));
    }
    if (rc) {
        *why = c->message;
        nn_classifier_close(c);
        return rc;
    }
    *out = c;
    return NN_OK;
}

void nn_classifier_close(nn_classifier *c)
{
    if (!c)
        return;
    nn_plan_free(c->plan);
    nn_model_free(c->model);
    nn_close(c->own);
    nn_preprocess_free(&c->info.preprocess);
    nn_vision_scratch_free(&c->scratch);
    free(c->logits);
    free(c->network);
    free(c);
}

const nn_classifier_info *nn_classifier_about(const nn_classifier *c) { return c ? &c->info : NULL; }

const char *nn_classifier_error(const nn_classifier *c) { return c ? c->message.text : "no classifier"; }

/* ---- running ---- */

/* Runs what lies in the plan's input; the logits of the first `count` images go to c->logits. */
static int forward(nn_classifier *c)
{
    int rc = nn_run(c->plan, NN_FORWARD);

    if (!rc)
        rc = nn_read(c->plan, "logits", NN_F64, c->logits, c->info.batch * c->info.preprocess.classes);
    return rc ? fail(&c->message, rc, "%s", nn_plan_error(c->plan)) : NN_OK;
}

int nn_classifier_logits(nn_classifier *c, const uint8_t *rgb, int64_t count, double *logits)
{
    const nn_preprocess *p;
    int rc;

    if (!c)
        return NN_EINVAL;
    p = &c->info.preprocess;
    if (!rgb || !logits)
        return fail(&c->message, NN_EINVAL, "nn_classifier_logits needs rgb and logits");
    if (count < 0 || count > c->info.batch)
        return fail(&c->message, NN_EINVAL, "%lld images for a classifier opened with a batch of %lld",
                    (long long)count, (long long)c->info.batch);
    memcpy(nn_host(c->plan, "image", NULL), rgb, (size_t)(count * p->size * p->size * 3));
    rc = forward(c);
    if (!rc)
        memcpy(logits, c->logits, (size_t)(count * p->classes) * sizeof *logits);
    return rc;
}

int nn_classifier_run(nn_classifier *c, const uint8_t *rgb, int64_t width, int64_t height, size_t stride,
                      double *probabilities)
{
    nn_image image = { (uint8_t *)(uintptr_t)rgb, width, height, stride }; /* only read */
    double most = -INFINITY, sum = 0;
    const nn_preprocess *p;
    int rc;

    if (!c)
        return NN_EINVAL;
    if (!probabilities)
        return fail(&c->message, NN_EINVAL, "nn_classifier_run needs a place for the probabilities");
    p = &c->info.preprocess;
    rc = nn_preprocess_apply(p, &image, nn_host(c->plan, "image", NULL), &c->scratch, &c->message);
    if (!rc)
        rc = forward(c);
    if (rc)
        return rc;
    for (int64_t i = 0; i < p->classes; i++)
        most = fmax(most, c->logits[i]);
    for (int64_t i = 0; i < p->classes; i++)
        sum += probabilities[i] = exp(c->logits[i] - most);
    for (int64_t i = 0; i < p->classes; i++)
        probabilities[i] /= sum;
    return isfinite(sum) ? NN_OK
                         : fail(&c->message, NN_EFORMAT,
                                "the network gives no number: weights of a training that diverged?");
}
