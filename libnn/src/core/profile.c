/* SPDX-License-Identifier: MIT
 *
 * What a plan will need and do, counted when it is compiled, and how long its steps took.
 */
#include "core/core.h"

#include <stdio.h>

static double operand_bytes(const nn_operand *o)
{
    return nn_has(o) ? (double)nni_bytes(o->shape, o->type) : 0;
}

static double step_bytes(const struct nni_planned *s)
{
    double n = 0;

    for (int k = 0; k < NN_MAX_IN; k++)
        n += operand_bytes(&s->step.in[k]) +
             operand_bytes(&s->step.din[k]) * (s->accumulate & NN_IN(k) ? 2 : 1);
    for (int k = 0; k < NN_MAX_OUT; k++)
        n += operand_bytes(&s->step.out[k]) + operand_bytes(&s->step.dout[k]);
    for (int k = 0; k < NN_MAX_SAVE; k++)
        n += operand_bytes(&s->step.save[k]);
    return n;
}

static int put_shape(char *text, size_t size, int at, const char *before, const nn_operand *o)
{
    if (!nn_has(o) || at < 0 || (size_t)at >= size)
        return at;
    at += snprintf(text + at, size - (size_t)at, "%s", before);
    for (int i = 0; i < o->shape.rank && (size_t)at < size; i++)
        at += snprintf(text + at, size - (size_t)at, i ? "x%lld" : "%lld", (long long)o->shape.dim[i]);
    return at;
}

int nni_describe(nn_plan *p)
{
    static const char *const SLOT[NN_SLOTS] = { " +affine", " +gate", " +mask", " +moments" };

    for (int64_t i = 0; i < p->steps; i++) {
        struct nni_planned *s = &p->step[i];
        const nn_step *t = &s->step;
        bool back = s->kind == NNI_BACKWARD_STEP;
        char text[256] = "";
        int at = put_shape(text, sizeof text, 0, "", back && !nn_has(&t->in[0]) ? &t->dout[0] : &t->in[0]);

        at = put_shape(text, sizeof text, at, " > ",
                       back ? nn_has(&t->dout[0]) ? &t->dout[0] : &t->out[0] : &t->out[0]);
        if (t->in[1].base == NN_BASE_PARAM)
            at = put_shape(text, sizeof text, at, " w", &t->in[1]);
        for (int k = 0; k < NN_SLOTS && (size_t)at < sizeof text; k++) {
            int slot = t->op->slot[k];

            if (slot && nn_has(k == NN_SLOT_MOMENTS ? &t->out[slot] : &t->in[slot]))
                at += snprintf(text + at, sizeof text - (size_t)at, "%s", SLOT[k]);
        }
        s->shape = nni_arena_text(&p->arena, text);
        if (!s->shape)
            return NN_ENOMEM;
    }
    return NN_OK;
}

void nni_summarise(nn_plan *p)
{
    nn_summary *s = &p->summary;
    double flops = 0, bytes = 0;
    int64_t w = 0;

    for (int i = 0; i < p->models; i++) {
        const nn_model *m = p->model[i];

        s->parameters += nn_model_parameters(m);
        for (int64_t k = 0; k < m->count; k++, w++)
            if (p->wanted && p->wanted[w])
                s->trainable += m->segment[k].count;
        for (int b = 0; b < NN_BASES; b++)
            if (m->buffer[b])
                s->parameter_bytes += m->bytes[b == NN_BASE_STATE || b == NN_BASE_STATE_EMA];
    }
    for (int64_t i = 0; i < p->forward_steps; i++) {
        const nn_step *t = &p->step[i].step;

        flops += t->flops;
        bytes += step_bytes(&p->step[i]);
        /* Multiply-adds as the field counts them: products with a weight matrix. */
        if (t->in[1].base == NN_BASE_PARAM && t->in[1].shape.rank >= 2)
            s->multiply_adds += t->flops / 2;
    }
    s->activation_bytes = p->memory_bytes;
    s->input_bytes = p->input_bytes;
    s->cache_bytes = p->cache_bytes;
    s->scratch_bytes = p->lane_bytes * (size_t)nni_pool_threads(p->device->pool);
    s->peak_bytes =
        s->activation_bytes + s->input_bytes + s->cache_bytes + s->scratch_bytes + s->parameter_bytes;
    s->steps[0] = p->forward_steps;
    s->steps[1] = p->steps - p->forward_steps;
    s->steps[2] = p->tiles;
    s->arithmetic_intensity = bytes > 0 ? flops / bytes : 0;
}

void nn_plan_summary(const nn_plan *p, nn_summary *out)
{
    if (out)
        *out = p ? p->summary : (nn_summary){ 0 };
}

void nn_profile(nn_plan *p, int on)
{
    if (!p)
        return;
    p->profiling = on != 0;
    if (!on)
        return;
    for (int64_t i = 0; i < p->steps; i++) {
        p->step[i].runs = 0;
        p->step[i].seconds = 0;
    }
    p->update_runs = 0;
    p->update_seconds = 0;
}

int64_t nn_profile_rows(const nn_plan *p, nn_profile_row *rows, int64_t most)
{
    int64_t n = p ? p->steps + (p->optim.name != NULL) : 0;

    if (!p || !rows)
        return n;
    for (int64_t i = 0; i < p->steps && i < most; i++) {
        const struct nni_planned *s = &p->step[i];

        rows[i] = (nn_profile_row){ .name = s->step.name,
                                    .op = s->step.op->name,
                                    .shape = s->shape,
                                    .segment = i < p->forward_steps ? NN_FORWARD : NN_BACKWARD,
                                    .runs = s->runs,
                                    .seconds = s->seconds,
                                    .flops = s->step.flops,
                                    .bytes = step_bytes(s) };
    }
    if (p->optim.name && p->steps < most) {
        double count = (double)p->summary.trainable;

        rows[p->steps] =
            (nn_profile_row){ .name = "",
                              .op = p->optim.name,
                              .shape = "",
                              .segment = NN_UPDATE,
                              .runs = p->update_runs,
                              .seconds = p->update_seconds,
                              .bytes = count * (double)sizeof(nn_real) * (4 + 2 * p->optim.moments) };
    }
    return n;
}
