/* SPDX-License-Identifier: MIT
 *
 * Values in and out of a plan: inputs, seeds and settings before a run, what is readable after it.
 */
#include "core/core.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const struct nni_plan_input *find_input(const nn_plan *p, const char *name)
{
    for (int64_t i = 0; name && i < p->input_count; i++)
        if (p->inputs[i].name && !strcmp(p->inputs[i].name, name))
            return &p->inputs[i];
    return NULL;
}

void *nn_host(nn_plan *p, const char *name, size_t *bytes)
{
    const struct nni_plan_input *in = p ? find_input(p, name) : NULL;

    if (bytes)
        *bytes = in ? in->bytes : 0;
    return in ? (char *)p->fed + in->offset : NULL;
}

int nn_write(nn_plan *p, const char *name, const void *data, size_t bytes)
{
    const struct nni_plan_input *in;
    nni_text text;

    if (!p)
        return NN_EINVAL;
    if (!name || !data)
        return nni_null(&p->message, __func__, "name and data");
    in = find_input(p, name);
    if (!in)
        return nni_fail(&p->message, NN_ENOTFOUND, "no input is called \"%s\"", name);
    if (bytes != in->bytes)
        return nni_fail(&p->message, NN_ESHAPE, "input \"%s\" is %s %s, %zu bytes; got %zu", name,
                        nn_dtype_name(in->type), nni_shape_text(in->shape, &text), in->bytes, bytes);
    memcpy((char *)p->fed + in->offset, data, bytes);
    return NN_OK;
}

static int read_operand(nn_plan *p, const char *name, const nn_operand *o, nn_dtype type, void *data,
                        int64_t count)
{
    size_t bytes = nni_bytes(o->shape, o->type);
    const struct nni_backend *b = p->device->backend;
    void *here;
    nni_text text;
    int rc;

    if (!nn_has(o))
        return nni_fail(&p->message, NN_ENOTFOUND, "\"%s\" has no such value in this plan", name);
    if ((o->base == NN_BASE_ACT && p->memory->owner != p) || (o->base == NN_BASE_CACHE && !p->cache_version))
        return nni_fail(&p->message, NN_ESTATE,
                        "\"%s\" is not in memory: this plan has not run, or another one that shares its "
                        "arena has run since",
                        name);
    if (count != nn_shape_count(o->shape))
        return nni_fail(&p->message, NN_ESHAPE, "\"%s\" is %s: not %lld elements", name,
                        nni_shape_text(o->shape, &text), (long long)count);
    here = b->mirror(p->device, o->at, bytes);
    if (!here || (here != o->at && b->copy(p->device, here, o->at, bytes))) {
        b->unmirror(p->device, here);
        return nni_fail(&p->message, here ? NN_EDEVICE : NN_ENOMEM, "cannot fetch \"%s\", %zu bytes", name,
                        bytes);
    }
    rc = nni_convert(here, o->type, data, type, count);
    b->unmirror(p->device, here);
    return rc ? nni_fail(&p->message, rc, "\"%s\" is %s, which cannot be read as %s", name,
                         nn_dtype_name(o->type), nn_dtype_name(type))
              : NN_OK;
}

static int read_named(nn_plan *p, const char *name, bool gradient, nn_dtype type, void *data, int64_t count)
{
    if (!p)
        return NN_EINVAL;
    if (!name || !data)
        return nni_null(&p->message, gradient ? "nn_read_gradient" : "nn_read", "name and data");
    for (int64_t i = 0; i < p->readables; i++)
        if (!strcmp(p->readable[i].name, name)) {
            const nn_operand *o = gradient ? &p->readable[i].gradient : &p->readable[i].value;

            if (gradient && o->base == NN_BASE_ACT && !p->gradients_valid)
                return nni_fail(
                    &p->message, NN_ESTATE,
                    "the gradient of \"%s\" is not there: no backward run since the last forward run", name);
            return read_operand(p, name, o, type, data, count);
        }
    return nni_fail(&p->message, NN_ENOTFOUND,
                    "nothing readable is called \"%s\" (nn_observe it, or compile with NN_PLAN_DEBUG)", name);
}

int nn_read(nn_plan *p, const char *name, nn_dtype type, void *data, int64_t count)
{
    return read_named(p, name, false, type, data, count);
}

int nn_read_gradient(nn_plan *p, const char *name, nn_dtype type, void *data, int64_t count)
{
    return read_named(p, name, true, type, data, count);
}

nn_real *nn_seed(nn_plan *p, int i)
{
    const nn_operand *o = p && i >= 0 && i < p->seed_count ? &p->seed[i] : NULL;

    if (!o || !nn_has(o))
        return NULL;
    if (!p->seeded[i])
        p->seeded[i] = p->device->backend->mirror(p->device, o->at, nni_bytes(o->shape, o->type));
    return p->seeded[i];
}

double nn_loss(nn_plan *p)
{
    return p && p->loss_valid && p->memory->owner == p && nn_has(&p->loss) ? p->device->backend->loss(p)
                                                                           : (double)NAN;
}

int nn_set(nn_plan *p, nn_setting what, double value)
{
    if (!p)
        return NN_EINVAL;
    if (what >= NN_STEP && what <= NN_SKIPPED && !(value >= 0 && value <= 0x1p53))
        return nni_fail(&p->message, NN_EINVAL, "setting %d is a counter: %g is none", (int)what, value);
    if (what == NN_APPLIED || what == NN_SKIPPED) {
        int rc = p->device->backend->settle(p);

        if (rc)
            return rc;
        p->counters_set = true;
    }
    if (what == NN_LEARNING_RATE && !(value >= 0 && value <= DBL_MAX))
        return nni_fail(&p->message, NN_EINVAL, "%g is no learning rate: 0 or more", value);
    if (what == NN_EMA_DECAY && !(value >= 0 && value <= 1))
        return nni_fail(&p->message, NN_EINVAL, "%g is no decay of an average: 0 to 1", value);
    switch (what) {
    case NN_LEARNING_RATE: p->now.learning_rate = value; return NN_OK;
    case NN_LOSS_SEED: p->now.loss_seed = value; return NN_OK;
    case NN_STEP: p->now.step = (int64_t)value; return NN_OK;
    case NN_SAMPLE: p->next_sample = (int64_t)value; return NN_OK;
    case NN_APPLIED: p->now.applied = (int64_t)value; return NN_OK;
    case NN_SKIPPED: p->now.skipped = (int64_t)value; return NN_OK;
    case NN_EMA_DECAY: p->now.ema_decay = value; return NN_OK;
    default:
        return nni_fail(&p->message, NN_EINVAL, "setting %d (%s) cannot be set", (int)what,
                        what == NN_GRAD_NORM ? "NN_GRAD_NORM, to be read" : "unknown");
    }
}

double nn_get(nn_plan *p, nn_setting what)
{
    bool left = what == NN_APPLIED || what == NN_SKIPPED || what == NN_GRAD_NORM;

    if (!p || (left && p->device->backend->settle(p)))
        return (double)NAN;
    switch (what) {
    case NN_LEARNING_RATE: return p->now.learning_rate;
    case NN_LOSS_SEED: return p->now.loss_seed;
    case NN_STEP: return (double)p->now.step;
    case NN_SAMPLE: return (double)p->next_sample;
    case NN_APPLIED: return (double)p->now.applied;
    case NN_SKIPPED: return (double)p->now.skipped;
    case NN_GRAD_NORM: return p->now.grad_norm;
    case NN_EMA_DECAY: return p->now.ema_decay;
    default: return (double)NAN;
    }
}
