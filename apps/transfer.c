/* SPDX-License-Identifier: MIT
 *
 * See transfer.h. A frozen parameter gets no gradient and no update. A batch norm whose parameters are all
 * frozen is held as well: it normalises by its running statistics, which stay as they are, or the frozen part
 * would still change with every batch (network_plan sees to that).
 */
#include "transfer.h"

#include "app.h"

#include <string.h>

enum { EXAMPLES = 5 }; /* names that are shown where none fits */

/* Names of the network, evenly from its first parameter to its last. */
static int nothing_matches(const nn_model *m, const char *option, const char *pattern)
{
    int64_t parameters = 0, at = 0, shown = 0;

    for (int64_t i = 0; i < nn_model_count(m); i++)
        parameters += nn_model_segment(m, i)->base == NN_BASE_PARAM;
    (void)app_fail(APP_USAGE, "--%s %s: no parameter is called so. Some of those there are:", option,
                   pattern);
    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);

        if (s->base != NN_BASE_PARAM)
            continue;
        if (at++ == shown * (parameters - 1) / (EXAMPLES - 1)) {
            app_say("    %s", s->name);
            shown++;
        }
    }
    return APP_USAGE;
}

static int tell(const nn_model *m, const struct options *o)
{
    enum { FROZEN, HELD, TRAINED, KINDS }; /* held: by a learning rate of 0 */
    int64_t count[KINDS] = { 0 }, tensors[KINDS] = { 0 };

    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);

        int kind = !s->trainable ? FROZEN : s->lr_scale > 0 ? TRAINED : HELD;

        if (s->base == NN_BASE_PARAM) {
            count[kind] += s->count;
            tensors[kind]++;
        }
    }
    if (!tensors[TRAINED])
        return app_fail(APP_USAGE, "%s: nothing is left to train",
                        tensors[HELD] ? "--lr-scale: every parameter is frozen or has a learning rate of 0"
                                      : "--freeze: every parameter is frozen");
    app_say(
        "trained: %lld parameters in %lld tensors; frozen: %lld in %lld; at a learning rate of 0: %lld in "
        "%lld",
        (long long)count[TRAINED], (long long)tensors[TRAINED], (long long)count[FROZEN],
        (long long)tensors[FROZEN], (long long)count[HELD], (long long)tensors[HELD]);
    if (o->unfreeze_at)
        app_say("from epoch %lld on all of them are trained", (long long)o->unfreeze_at);
    for (int i = 0; i < o->lr_scales; i++)
        app_say("learning rate of %s: times %g", o->lr_scale[i].pattern, o->lr_scale[i].factor);
    return APP_OK;
}

int transfer_prepare(struct network *n, const struct options *o)
{
    if (!o->freezes && !o->lr_scales)
        return APP_OK;
    for (int i = 0; i < o->freezes; i++)
        if (!nn_model_set_trainable(n->model, o->freeze[i], 0))
            return nothing_matches(n->model, "freeze", o->freeze[i]);
    for (int i = 0; i < o->lr_scales; i++)
        if (!nn_model_set_lr_scale(n->model, o->lr_scale[i].pattern, o->lr_scale[i].factor))
            return nothing_matches(n->model, "lr-scale", o->lr_scale[i].pattern);
    return tell(n->model, o);
}

void transfer_unfreeze(struct network *n)
{
    (void)nn_model_set_trainable(n->model, "*", 1);
    network_drop_plans(n);
}

void transfer_restart(struct network *n, nn_plan *plan)
{
    static const nn_base moments[] = { NN_BASE_MOMENT1, NN_BASE_MOMENT2 };

    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        size_t bytes;
        void *at = nn_model_buffer(n->model, moments[i], &bytes);

        if (at)
            memset(at, 0, bytes);
    }
    nn_model_changed(n->model);
    (void)nn_set(plan, NN_APPLIED, 0);
}

void transfer_record(const struct options *o, json_t *config)
{
    json_t *freeze = json_array(), *scale = json_array();

    for (int i = 0; i < o->freezes; i++)
        (void)json_array_append_new(freeze, json_string(o->freeze[i]));
    for (int i = 0; i < o->lr_scales; i++)
        (void)json_array_append_new(scale,
                                    json_pack("[s, f]", o->lr_scale[i].pattern, o->lr_scale[i].factor));
    /* Only what was asked for: configurations of runs without stay what they were. */
    if (o->freezes)
        (void)json_object_set(config, "freeze", freeze);
    if (o->unfreeze_at)
        (void)json_object_set_new(config, "unfreeze_at", json_integer((json_int_t)o->unfreeze_at));
    if (o->lr_scales)
        (void)json_object_set(config, "lr_scale", scale);
    json_decref(freeze);
    json_decref(scale);
}
