/* SPDX-License-Identifier: MIT
 *
 * See network.h.
 */
#include "network.h"

#include "app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOLD = 20 }; /* names that do not meet */

static const char need_less[] =
    "a smaller --batch-size or --image-size, --recompute and --precision bf16 need less";

const char *const network_classes[2] = { "real", "fake" };

int network_new(struct network *n, nn_device *device, const char *name, const nn_preprocess *p, uint64_t seed)
{
    nn_message why;
    int rc;

    *n = (struct network){ .device = device, .pixels = NN_U8 };
    if (nn_network_find(name, &n->net)) {
        (void)app_fail(0, "--model %s: no such network. There are:", name);
        for (int i = 0; !nn_network_at(i, &n->net); i++)
            app_say("    %s", n->net.name);
        return APP_USAGE;
    }
    n->classes = 2;
    n->preprocess = *p;
    n->preprocess.class_names = NULL;
    n->preprocess.classes = 0;
    rc = nn_preprocess_set_classes(&n->preprocess, network_classes, 2, &why);
    if (rc)
        return app_fail(app_exit_code(rc), "%s", why.text);
    rc = nn_model_new(&n->model, device, seed);
    return rc ? app_fail(app_exit_code(rc), "%s", nn_strerror(rc)) : APP_OK;
}

void network_drop_plans(struct network *n)
{
    while (n->plans)
        nn_plan_free(n->plan[--n->plans].plan);
}

void network_free(struct network *n)
{
    network_drop_plans(n);
    nn_model_free(n->model);
    nn_preprocess_free(&n->preprocess);
    *n = (struct network){ 0 };
}

nn_tensor *network_record(struct network *n, nn_graph *g, int64_t batch, nn_tensor **loss)
{
    const nn_preprocess *p = &n->preprocess;
    bool normalized = nn_mode_of(g) == NN_TRAIN && n->pixels == NN_F32;
    nn_tensor *image =
        nn_input(g, "image", normalized ? NN_F32 : NN_U8, NN_SHAPE4(batch, p->size, p->size, 3));
    nn_tensor *x =
        normalized ? nn_cast(g, image, NN_REAL) : nn_normalize(g, image, p->mean, p->std, p->maximum);
    nn_tensor *logits = nn_observe(g, "logits", n->net.record(g, x, &n->net, n->classes));

    *loss = NULL;
    if (nn_mode_of(g) == NN_TRAIN) {
        nn_tensor *target = n->soft ? nn_input(g, "target", NN_REAL, NN_SHAPE2(batch, n->classes))
                                    : nn_input(g, "target", NN_I32, NN_SHAPE1(batch));

        *loss = nn_cross_entropy(g, logits, target, (nn_ce_opts){ .smoothing = n->smoothing });
    }
    return logits;
}

int network_seal(struct network *n)
{
    nn_tensor *loss;
    nn_graph *g;
    int rc = nn_graph_new(&g, n->device, n->model, NN_EVAL);

    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    (void)network_record(n, g, 1, &loss);
    rc = nn_graph_status(g);
    if (rc)
        (void)app_fail(0, "%s", nn_graph_error(g));
    nn_graph_free(g);
    if (!rc && (rc = nn_model_seal(n->model)))
        (void)app_fail(0, "%s", nn_model_error(n->model));
    return app_exit_code(rc);
}

/* Whether "<scope>.*" has parameters and all of them are frozen. */
static bool is_frozen(const nn_model *m, const char *scope, size_t length)
{
    bool any = false;

    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);

        if (s->base != NN_BASE_PARAM || strncmp(s->name, scope, length) != 0 || s->name[length] != '.')
            continue;
        if (s->trainable)
            return false;
        any = true;
    }
    return any;
}

static void hold_frozen_norms(const struct network *n, nn_graph *g)
{
    static const char ending[] = ".running_mean";

    for (int64_t i = 0; i < nn_model_count(n->model); i++) {
        const nn_segment *s = nn_model_segment(n->model, i);
        const char *end = s->base == NN_BASE_STATE ? strstr(s->name, ending) : NULL;
        char scope[256];

        if (!end || !is_frozen(n->model, s->name, (size_t)(end - s->name)))
            continue;
        (void)snprintf(scope, sizeof scope, "%.*s", (int)(end - s->name), s->name);
        nn_use_mode_at(g, scope, NN_EVAL);
    }
}

int network_plan(struct network *n, nn_mode mode, int64_t batch, const nn_plan_opts *opts, nn_plan **out)
{
    nn_plan_opts o = { 0 };
    nn_graph *g;
    int rc;

    for (int i = 0; i < n->plans; i++) {
        if (n->plan[i].mode == mode && n->plan[i].batch == batch) {
            *out = n->plan[i].plan;
            return APP_OK;
        }
    }
    if (n->plans == NETWORK_PLANS)
        return app_fail(APP_USAGE, "too many batch sizes in one run");
    rc = nn_graph_new(&g, n->device, n->model, mode);
    if (rc)
        return app_fail(app_exit_code(rc), "%s", nn_strerror(rc));
    if (opts && mode == NN_TRAIN)
        o = *opts;
    if (mode == NN_TRAIN)
        hold_frozen_norms(n, g);
    (void)network_record(n, g, batch, &o.loss);
    o.precision = n->precision;
    o.share = n->plans ? n->plan[0].plan : NULL;
    rc = nn_compile(out, g, o);
    if (rc)
        (void)app_fail(0, "cannot build %s for batches of %lld: %s", n->net.name, (long long)batch,
                       nn_graph_error(g));
    if (rc == NN_ENOMEM)
        app_say("%s", need_less);
    nn_graph_free(g);
    if (rc)
        return app_exit_code(rc);
    n->plan[n->plans].plan = *out;
    n->plan[n->plans].mode = mode;
    n->plan[n->plans++].batch = batch;
    return APP_OK;
}

/* What the names of a file begin with, so that they meet the model's: the model's first one tells. */
static void choose_names(const struct network *n, const nn_safetensors *file, nn_load_opts *o)
{
    static const char outer[] = "backbone.";
    const char *first = nn_model_segment(n->model, 0)->name;
    bool backbone = !strncmp(first, outer, strlen(outer)), ours, inner;
    char name[4][256];

    if (backbone)
        first += strlen(outer);
    for (int i = 0; i < 4; i++)
        (void)snprintf(name[i], sizeof name[i], "%s%s%s", i & 1 ? "model/" : "", i & 2 ? outer : "", first);
    ours = nn_safetensors_find(file, name[1]) >= 0 || nn_safetensors_find(file, name[3]) >= 0;
    inner = nn_safetensors_find(file, name[ours ? 3 : 2]) >= 0;

    o->from = ours ? "model/" : "";
    if (backbone && !inner)
        o->into = outer; /* the backbone alone, as ImageNet weights come */
    else if (!backbone && inner)
        o->from = ours ? "model/backbone." : outer;
}

/* Names that do not meet, all of them up to a limit. */
struct meeting {
    int64_t told;
};

static void tell(void *payload, nn_load_outcome outcome, const char *name)
{
    static const char *const what[] = { [NN_LOAD_SKIPPED] = "left out, keeps its fresh values",
                                        [NN_LOAD_MISSING] = "missing",
                                        [NN_LOAD_UNEXPECTED] = "unexpected",
                                        [NN_LOAD_MISFIT] = "of another shape or type" };
    struct meeting *m = payload;

    if (outcome == NN_LOAD_DONE || m->told++ > MOST_TOLD)
        return;
    if (m->told <= MOST_TOLD)
        app_say("  %s: %s", name, what[outcome]);
    else
        app_say("  ...");
}

/* Whether a network can be of these weights: entry_b6 is a B6, and takes those of one. */
static bool fits(const nn_network *a, const nn_network *b)
{
    const nn_efficientnet_config *x = nn_efficientnet_find(a->name), *y = nn_efficientnet_find(b->name);

    return !strcmp(a->name, b->name) ||
           (x && y && !memcmp(&x->width, &y->width, sizeof x->width) &&
            !memcmp(&x->depth, &y->depth, sizeof x->depth) && x->lite == y->lite);
}

int network_adapt(struct network *n, const struct weights *w)
{
    const nn_network *their = &w->about.network;

    if (!their->name)
        return APP_OK;
    if (!fits(&n->net, their))
        return app_fail(APP_USAGE, "%s holds weights of %s; use --model %s", w->path, their->name,
                        their->name);
    n->net.padding = their->padding;
    n->net.eps = their->eps;
    return APP_OK;
}

int network_start_from(struct network *n, const struct weights *w, enum network_head head)
{
    struct meeting meeting = { 0 };
    nn_load_opts o = { .each = tell, .payload = &meeting };
    const nn_segment *own;
    nn_load_report report;
    char name[256], skip[256];
    int64_t at;
    int rc = weights_check_values(w);

    if (rc)
        return rc;
    choose_names(n, w->file, &o);
    (void)snprintf(name, sizeof name, "%s%s.weight", o.from, n->net.head);
    at = nn_safetensors_find(w->file, name);
    (void)snprintf(name, sizeof name, "%s%s.weight", o.into ? o.into : "", n->net.head);
    (void)snprintf(skip, sizeof skip, "%s%s.*", o.into ? o.into : "", n->net.head);
    own = nn_model_find(n->model, name);
    if (head == HEAD_NEW ||
        (head == HEAD_AUTO &&
         (at < 0 || (own && !nn_shape_equal(nn_safetensors_at(w->file, at)->shape, own->shape)))))
        o.skip = skip;
    rc = nn_model_load_from(n->model, w->file, &o, &report);
    if (rc)
        return app_fail(app_exit_code(rc), "%s: %s", w->path, nn_model_error(n->model));
    app_say("weights: %s from %s", app_count(report.loaded, "tensor"), w->path);
    return APP_OK;
}

static const char *print_number(const char *format, double value)
{
    char text[64];

    (void)snprintf(text, sizeof text, format, value);
    return strdup(text);
}

int network_pairs(const struct network *n, nn_pair pairs[8], int64_t *count, double threshold)
{
    nn_message why;
    size_t length = 0;
    char *text;

    (void)nn_preprocess_write(&n->preprocess, NULL, 0, &length, NULL);
    text = malloc(length + 1);
    if (!text || nn_preprocess_write(&n->preprocess, text, length + 1, &length, &why)) {
        free(text);
        return app_fail(APP_DEVICE, "the preprocessing record cannot be written");
    }
    *count = 0;
    pairs[(*count)++] = (nn_pair){ "format", strdup("pt") };
    pairs[(*count)++] = (nn_pair){ NN_NETWORK_KEY, strdup(n->net.name) };
    pairs[(*count)++] = (nn_pair){ NN_THRESHOLD_KEY, print_number("%.17g", threshold) };
    pairs[(*count)++] = (nn_pair){ NN_PREPROCESS_KEY, text };
    pairs[(*count)++] =
        (nn_pair){ NN_PADDING_KEY, strdup(n->net.padding == NN_PAD_SAME ? "same" : "symmetric") };
    pairs[(*count)++] = (nn_pair){ NN_EPS_KEY, print_number("%.17g", n->net.eps) };
    for (int64_t i = 0; i < *count; i++)
        if (!pairs[i].value)
            return app_fail(APP_DEVICE, "out of memory");
    return APP_OK;
}

void network_pairs_free(nn_pair pairs[8], int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        free((void *)(uintptr_t)pairs[i].value);
}

void network_print_summary(const struct network *n, const nn_plan *plan, const char *title)
{
    double room = app_available_bytes();
    nn_summary s;

    nn_plan_summary(plan, &s);
    app_say("%s: %s, %lld parameters (%lld trainable), %.3f G multiply-adds per image at %lld px", title,
            n->net.name, (long long)s.parameters, (long long)s.trainable,
            s.multiply_adds / 1e9 / (double)(n->plans ? n->plan[n->plans - 1].batch : 1),
            (long long)n->preprocess.size);
    app_say("planned memory: %.0f MB (activations %.0f, parameters and optimizer %.0f, rest %.0f); steps: "
            "%lld forward, "
            "%lld backward",
            (double)s.peak_bytes / 1e6, (double)s.activation_bytes / 1e6, (double)s.parameter_bytes / 1e6,
            (double)(s.input_bytes + s.scratch_bytes + s.cache_bytes) / 1e6, (long long)s.steps[0],
            (long long)s.steps[1]);
    if (room > 0 && !strcmp(nn_device_name(n->device), "cpu") &&
        (double)(s.peak_bytes - s.parameter_bytes) > room)
        app_say("that is more than the %.0f MB that are free; %s", room / 1e6, need_less);
}
