/* SPDX-License-Identifier: MIT
 *
 * Models from and to files. A network that trains on half-loaded weights looks almost right for
 * hours, so loading is strict: every name of the file and of the model must meet, unless the caller
 * said which need not, and all values are read aside before the first one replaces another.
 */
#include "core/core.h"
#include "io/io.h"

#include <string.h>

static bool begins(const char *name, const char *prefix) { return !strncmp(name, prefix, strlen(prefix)); }

static bool is_moment(nn_base role) { return role == NN_BASE_MOMENT1 || role == NN_BASE_MOMENT2; }

/* Where an entry of the model lives in a role; NONE for state, of which there are no moments. */
static nn_base base_of(const nn_segment *s, nn_base role)
{
    if (s->base == NN_BASE_PARAM)
        return role;
    return is_moment(role) ? NN_BASE_NONE : role == NN_BASE_EMA ? NN_BASE_STATE_EMA : NN_BASE_STATE;
}

/* Checks the role and makes sure of its buffers. */
static int need(nn_model *m, nn_base *role)
{
    int rc;

    if (*role == NN_BASE_NONE)
        *role = NN_BASE_PARAM;
    if (*role != NN_BASE_PARAM && *role != NN_BASE_EMA && !is_moment(*role))
        return nni_fail(&m->message, NN_EINVAL,
                        "role %d is neither the parameters nor their average nor a moment", (int)*role);
    rc = nni_model_need(m, *role);
    return rc || *role != NN_BASE_EMA ? rc : nni_model_need(m, NN_BASE_STATE_EMA);
}

/* Parameters take any floating type, counters any integer. */
static bool fits(const nn_segment *s, const nn_safetensors_entry *e)
{
    bool floating = e->type == NN_F64 || e->type == NN_F32 || e->type == NN_BF16 || e->type == NN_F16;

    return e->loadable && floating == (s->type == NN_REAL) && nn_shape_equal(s->shape, e->shape);
}

struct load {
    nn_model *model;
    const nn_safetensors *file;
    nn_load_opts opts;
    nn_load_report report;
    nni_arena names;
    nn_message first[NN_LOAD_MISFIT + 1]; /* what the first name of each outcome looks like */
    nn_base bases[2];                     /* that are written, and */
    char *aside[2];                       /* their new contents */
};

static void count(struct load *l, nn_load_outcome outcome, const char *name)
{
    int64_t *n[] = { &l->report.loaded, &l->report.skipped, &l->report.missing, &l->report.unexpected,
                     &l->report.misfit };

    if (!(*n[outcome])++)
        (void)nni_fail(&l->first[outcome], 0, "%.120s", name);
    if (l->opts.each)
        l->opts.each(l->opts.payload, outcome, name);
}

static int load_segment(struct load *l, const nn_segment *s)
{
    nn_base base = base_of(s, l->opts.role);
    const nn_safetensors_entry *e;
    const char *name;
    int64_t at;
    nni_text a, b;

    if (base == NN_BASE_NONE || !begins(s->name, l->opts.into))
        return NN_OK;
    if (l->opts.skip && nn_match(l->opts.skip, s->name)) {
        count(l, NN_LOAD_SKIPPED, s->name);
        return NN_OK;
    }
    name = nni_arena_printf(&l->names, "%s%s", l->opts.from, s->name + strlen(l->opts.into));
    if (!name)
        return nni_fail(&l->model->message, NN_ENOMEM, "%s: no memory to look it up", s->name);
    at = nn_safetensors_find(l->file, name);
    e = nn_safetensors_at(l->file, at);
    if (!e) {
        count(l, NN_LOAD_MISSING, s->name);
        return NN_OK;
    }
    if (!fits(s, e)) {
        count(l, NN_LOAD_MISFIT, s->name);
        if (l->report.misfit == 1)
            (void)nni_fail(&l->first[NN_LOAD_MISFIT], 0, "%.80s: %s %s in the file, %s %s in the model",
                           s->name, e->dtype, nni_shape_text(e->shape, &a), nn_dtype_name(s->type),
                           nni_shape_text(s->shape, &b));
        return NN_OK;
    }
    count(l, NN_LOAD_DONE, s->name);
    return nn_safetensors_read(l->file, at, s->type, l->aside[base == l->bases[1]] + s->offset, s->count,
                               &l->model->message);
}

/* Names of the file that no entry asked for. */
static int find_unexpected(struct load *l)
{
    for (int64_t i = 0; i < nn_safetensors_count(l->file); i++) {
        const char *name = nn_safetensors_at(l->file, i)->name, *own;
        const nn_segment *s;

        if (!begins(name, l->opts.from))
            continue;
        own = nni_arena_printf(&l->names, "%s%s", l->opts.into, name + strlen(l->opts.from));
        if (!own)
            return nni_fail(&l->model->message, NN_ENOMEM, "%s: no memory to look it up", name);
        s = nn_model_find(l->model, own);
        if ((!s || base_of(s, l->opts.role) == NN_BASE_NONE) &&
            !(l->opts.skip && nn_match(l->opts.skip, own)))
            count(l, NN_LOAD_UNEXPECTED, name);
    }
    return NN_OK;
}

static int complain(struct load *l)
{
    static const char *const what[] = { "missing", "unexpected", "of another shape or type" };
    const int64_t n[] = { l->report.missing, l->report.unexpected, l->report.misfit };
    nn_message part[3] = { { "" }, { "" }, { "" } }, in_checkpoint;
    bool checkpoint;

    (void)nni_fail(&in_checkpoint, 0, "model/%.120s", l->first[NN_LOAD_MISSING].text);
    checkpoint = nn_safetensors_find(l->file, in_checkpoint.text) >= 0;

    for (int i = 0; i < 3; i++)
        if (n[i])
            (void)nni_fail(&part[i], 0, " %lld %s (%.100s)", (long long)n[i], what[i],
                           l->first[NN_LOAD_MISSING + i].text);
    return nni_fail(
        &l->model->message, NN_EFORMAT, "weights do not fit the model, which is unchanged:%s%s%s; %s",
        part[0].text, part[1].text, part[2].text,
        checkpoint
            ? "it is a checkpoint: nn_checkpoint_load takes all of it, nn_load_opts.from = \"model/\" its "
              "weights"
            : "choose the matching network, skip names, or load partially");
}

int nn_model_load_from(nn_model *m, const nn_safetensors *file, const nn_load_opts *opts,
                       nn_load_report *report)
{
    struct load l = { .model = m, .file = file };
    int rc;

    if (report)
        *report = l.report;
    if (!m || !file)
        return nni_null(m ? &m->message : NULL, __func__, "model and file");
    if (opts)
        l.opts = *opts;
    if (!l.opts.from)
        l.opts.from = "";
    if (!l.opts.into)
        l.opts.into = "";
    rc = need(m, &l.opts.role);
    if (rc)
        return rc;

    l.bases[0] = l.opts.role;
    l.bases[1] = l.opts.role == NN_BASE_EMA ? NN_BASE_STATE_EMA : NN_BASE_STATE;
    for (int i = 0; !rc && i < 2; i++) {
        size_t bytes;
        const void *now = nn_model_buffer(m, l.bases[i], &bytes);

        l.aside[i] = nni_alloc(bytes);
        if (l.aside[i] && now)
            memcpy(l.aside[i], now, bytes);
        else
            rc = nni_fail(&m->message, NN_ENOMEM, "no memory for %zu bytes of weights", bytes);
    }
    for (int64_t i = 0; !rc && i < m->count; i++)
        rc = load_segment(&l, &m->segment[i]);
    if (!rc)
        rc = find_unexpected(&l);
    if (!rc && !l.opts.partial && (l.report.missing || l.report.unexpected || l.report.misfit))
        rc = complain(&l);
    if (!rc) {
        for (int i = 0; i < 2; i++) {
            size_t bytes;
            void *now = nn_model_buffer(m, l.bases[i], &bytes);

            memcpy(now, l.aside[i], bytes);
        }
        nn_model_changed(m);
    }
    if (report)
        *report = l.report;
    nni_free(l.aside[0]);
    nni_free(l.aside[1]);
    nni_arena_free(&l.names);
    return rc;
}

int nn_model_load(nn_model *m, const char *path, const nn_load_opts *opts, nn_load_report *report)
{
    nn_safetensors *file;
    nn_message why;
    int rc;

    if (report)
        *report = (nn_load_report){ 0 };
    if (!m)
        return NN_EINVAL;
    rc = nn_safetensors_open(&file, path, NULL, &m->message);
    if (rc)
        return rc;
    rc = nn_model_load_from(m, file, opts, report);
    nn_safetensors_free(file);
    if (rc) {
        why = m->message;
        (void)nni_fail(&m->message, 0, "%.150s: %.350s", path, why.text);
    }
    return rc;
}

int nn_model_save(nn_model *m, const char *path, nn_base role, const nn_pair *pairs, int64_t pair_count)
{
    nn_safetensors_item *item;
    int64_t n = 0;
    int rc;

    if (!m || !path)
        return nni_null(m ? &m->message : NULL, __func__, "model and path");
    if ((role == NN_BASE_EMA || is_moment(role)) && !m->buffer[role])
        return nni_fail(&m->message, NN_ESTATE,
                        "%s: this model has no %s yet: no plan that was compiled keeps them", path,
                        role == NN_BASE_EMA ? "averages" : "moments");
    rc = need(m, &role);
    if (rc)
        return rc;
    item = nni_alloc_array((size_t)(m->count ? m->count : 1), sizeof *item);
    if (!item)
        return nni_fail(&m->message, NN_ENOMEM, "%s: no memory for its table", path);
    for (int64_t i = 0; i < m->count; i++) {
        const nn_segment *s = &m->segment[i];
        nn_base base = base_of(s, role);
        const char *at = base != NN_BASE_NONE ? nni_model_host(m, base) : NULL;

        if (at)
            item[n++] = (nn_safetensors_item){
                .name = s->name, .type = s->type, .shape = s->shape, .data = at + s->offset
            };
    }
    rc = nn_safetensors_write(path, item, n, pairs, pair_count, &m->message);
    nni_free(item);
    return rc;
}
