/* SPDX-License-Identifier: MIT
 *
 * Whether the backward pass of a graph agrees with its forward pass. A plan of its own gives the gradient of
 * a randomly weighted sum of y; then forward runs alone, moved a little, give slopes (slope.c). In float the
 * results of kernels are rounded, and a difference divides their roundings by the step: so steps are long,
 * the stencil is one of high order, and what rounding can add is worked out for each slope and allowed.
 */
#include "core/core.h"
#include "core/slope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME "nn_gradcheck" /* of y among what is readable; nothing else is */

/* What can be moved: an input, or a parameter. */
struct variable {
    const char *name;
    nn_model *model; /* NULL: an input */
    size_t offset;
    int64_t count;
    double *value, *gradient, *move;
};

struct check {
    nn_gradcheck_opts o;
    nn_graph *graph;
    nn_tensor *y;
    nn_message *why;
    nn_plan *plan;
    nni_arena arena;
    struct variable *variable;
    int variables;
    const struct variable *alone; /* only this one moves, only element `at` of it; NULL: all, along `move` */
    int64_t at;
    struct nni_line line;
    int64_t tried, rough, vague; /* slopes: all; left out for their kinks; as small as rounding */
    int64_t wrong;               /* in disagreement */
    double worst;                /* of all errors, times what is allowed */
    nn_message text;             /* and what it was */
};

static double uniform(const struct check *c, uint64_t stream, int64_t i, double low, double high)
{
    nni_stream s = nni_stream_of(c->o.seed, stream);
    uint32_t word[4];

    nni_stream_at(&s, (uint64_t)i, 0, 0, word);
    return low + (high - low) * nni_uniform(word[0]);
}

/* Where a variable's numbers are now: mirrors of a device's memory come and go. NULL: there is no memory. */
static nn_real *numbers(const struct check *c, const struct variable *v)
{
    char *buffer = v->model ? nn_model_buffer(v->model, NN_BASE_PARAM, NULL) : NULL;

    if (!v->model)
        return nn_host(c->plan, v->name, NULL);
    return buffer ? (nn_real *)(void *)(buffer + v->offset) : NULL;
}

/* Moves what moves by t; 0 puts it back. */
static int place(const struct check *c, double t)
{
    for (int i = 0; i < c->variables; i++) {
        const struct variable *v = &c->variable[i];
        nn_real *x;

        if (c->alone && c->alone != v)
            continue;
        if (!(x = numbers(c, v)))
            return NN_ENOMEM;
        if (c->alone)
            x[c->at] = (nn_real)(v->value[c->at] + t);
        for (int64_t e = 0; !c->alone && e < v->count; e++)
            x[e] = (nn_real)(v->value[e] + t * v->move[e]);
        if (v->model)
            nn_model_changed(v->model);
    }
    return NN_OK;
}

static int value_at(void *context, double t, double *y)
{
    const struct check *c = context;
    int rc = place(c, t);

    (void)nn_set(c->plan, NN_SAMPLE, 0); /* the same masks */
    if (!rc)
        rc = nn_run(c->plan, NN_FORWARD);
    return rc ? rc : nn_read(c->plan, NAME, NN_F64, y, c->line.count[0]);
}

/* How far an element can go. */
static double reach(double x) { return fmin(fabs(x), 1) + 0.1; }

/* Compares the slope along a line with that of the gradient. `size` is that of its terms, `rounded` what
 * rounding the numbers that move does to it. */
static int compare(struct check *c, const char *what, double step, double expected, double size,
                   double rounded)
{
    struct nni_slope s[NN_MAX_OUT];
    double allowed, error;
    int rc = nni_slopes(&c->line, step, s);

    if (rc)
        return rc;
    c->tried++;
    if (!isfinite(size) || !isfinite(rounded)) /* a gradient that is no number allows nothing */
        size = rounded = 0;
    allowed = c->o.tolerance * (fabs(s->fine) + size) + s->noise + rounded / step;
    if (!nni_is_smooth(s, allowed)) {
        c->rough++;
        return NN_OK;
    }
    error = fabs(expected - s->fine);
    c->wrong += !(error <= allowed);
    c->vague +=
        error > 0 && error <= allowed && allowed > fmax(fmax(fabs(expected), fabs(s->fine)), size) / 2;
    error = allowed > 0 ? error / allowed : error > 0 ? (double)INFINITY : error;
    if (!(error <= c->worst)) {
        c->worst = isnan(error) ? (double)INFINITY : error;
        (void)nni_fail(&c->text, NN_OK, "%s is %.7g by backward, %.7g by differences, +-%.1g allowed", what,
                       expected, s->fine, allowed);
    }
    return NN_OK;
}

static int compare_elements(struct check *c, struct variable *v)
{
    const double unit = NN_REAL == NN_F32 ? 0x1p-23 : 0x1p-52;
    int64_t n = v->count < c->o.elements ? v->count : c->o.elements;
    double size = 0;
    int rc = NN_OK;

    for (int64_t e = 0; e < v->count; e++)
        size += v->gradient[e] * v->gradient[e] / (double)v->count;
    c->alone = v;
    for (int64_t k = 0; !rc && k < n; k++) {
        char what[160];
        double x, g;

        c->at = n == v->count
                    ? k
                    : (int64_t)uniform(c, nni_hash(v->name, strlen(v->name), 1), k, 0, (double)v->count);
        x = v->value[c->at];
        g = v->gradient[c->at];
        (void)snprintf(what, sizeof what, "the gradient of \"%.100s\"[%lld]", v->name, (long long)c->at);
        rc = compare(c, what, c->o.step * reach(x), g, sqrt(size), 2 * unit * fabs(x * g));
        (void)place(c, 0);
    }
    c->alone = NULL;
    return rc;
}

static int compare_direction(struct check *c, int d)
{
    const double unit = NN_REAL == NN_F32 ? 0x1p-23 : 0x1p-52;
    double slope = 0, size = 0, rounded = 0;

    for (int i = 0; i < c->variables; i++) {
        struct variable *v = &c->variable[i];
        uint64_t stream = nni_hash(v->name, strlen(v->name), (uint64_t)d + 2);

        for (int64_t e = 0; e < v->count; e++) {
            double part;

            v->move[e] = uniform(c, stream, e, -1, 1) * reach(v->value[e]);
            part = v->gradient[e] * v->move[e];
            slope += part;
            size += part * part;
            rounded += v->value[e] * v->value[e] * v->gradient[e] * v->gradient[e];
        }
    }
    return compare(c, "the slope along a random direction", c->o.step, slope, sqrt(size),
                   2 * unit * sqrt(rounded));
}

/* ---- what there is ---- */

static struct variable *add(struct check *c, const char *name, int64_t count)
{
    struct variable *v = &c->variable[c->variables];

    *v = (struct variable){ .name = name, .count = count };
    v->value = nni_arena_take(&c->arena, (size_t)count * 3 * sizeof *v->value);
    if (!v->value)
        return NULL;
    v->gradient = v->value + count;
    v->move = v->gradient + count;
    c->variables++;
    return v;
}

static bool is_read(const nn_plan *p, const struct nni_plan_input *in)
{
    for (int64_t i = 0; i < p->steps; i++)
        for (int k = 0; k < NN_MAX_IN; k++)
            if (p->step[i].step.in[k].base == NN_BASE_INPUT && p->step[i].step.in[k].offset == in->offset)
                return true;
    return false;
}

/* Draws the inputs and finds those that have a gradient. */
static int take_inputs(struct check *c)
{
    for (int64_t i = 0; i < c->plan->input_count; i++) {
        const struct nni_plan_input *in = &c->plan->inputs[i];
        int64_t count = nn_shape_count(in->shape);
        uint64_t stream = in->name ? nni_hash(in->name, strlen(in->name), 0) : 0;
        struct variable *v = NULL;

        if (!in->name || !is_read(c->plan, in))
            continue;
        if (in->type != NN_REAL && in->type != NN_U8)
            return nni_fail(c->why, NN_EUNSUPPORTED,
                            "nn_gradcheck: input \"%s\" is %s, whose values it cannot know: record an "
                            "nn_constant instead",
                            in->name, nn_dtype_name(in->type));
        if (in->type == NN_REAL && nn_match(c->o.wrt, in->name) && !(v = add(c, in->name, count)))
            return nni_fail(c->why, NN_ENOMEM, "nn_gradcheck: no memory");
        for (int64_t e = 0; e < count; e++) {
            void *at = nn_host(c->plan, in->name, NULL);

            if (in->type == NN_U8)
                ((uint8_t *)at)[e] = (uint8_t)uniform(c, stream, e, 0, 256);
            else
                ((nn_real *)at)[e] = (nn_real)uniform(c, stream, e, c->o.low, c->o.high);
            if (v)
                v->value[e] = (double)((nn_real *)at)[e];
        }
    }
    return NN_OK;
}

static int take_parameters(struct check *c)
{
    int64_t first = 0;

    for (int i = 0; i < c->plan->models; first += c->plan->model[i++]->count)
        for (int64_t k = 0; k < c->plan->model[i]->count; k++) {
            const nn_segment *s = &c->plan->model[i]->segment[k];
            struct variable *v;
            const nn_real *x;

            if (!c->plan->wanted[first + k] || !nn_match(c->o.wrt, s->name))
                continue;
            if (!(v = add(c, s->name, s->count)))
                return nni_fail(c->why, NN_ENOMEM, "nn_gradcheck: no memory");
            v->model = c->plan->model[i];
            v->offset = s->offset;
            if (!(x = numbers(c, v)))
                return nni_fail(c->why, NN_ENOMEM, "nn_gradcheck: no memory");
            for (int64_t e = 0; e < s->count; e++)
                v->value[e] = (double)x[e];
        }
    return NN_OK;
}

static int take_gradients(struct check *c)
{
    nn_real *seed = nn_seed(c->plan, 0);
    int rc;

    if (!seed)
        return nni_fail(c->why, NN_ENOMEM, "nn_gradcheck: no memory");
    for (int64_t e = 0; e < c->line.count[0]; e++)
        seed[e] = (nn_real)c->line.weight[e];
    rc = nn_run(c->plan, NN_GRADIENTS);
    for (int i = 0; !rc && i < c->variables; i++) {
        struct variable *v = &c->variable[i];

        rc = v->model ? nn_model_read(v->model, v->name, NN_BASE_GRAD, NN_F64, v->gradient)
                      : nn_read_gradient(c->plan, v->name, NN_F64, v->gradient, v->count);
        if (rc == NN_ENOTFOUND) { /* no way leads there: zero, and differences will tell */
            memset(v->gradient, 0, (size_t)v->count * sizeof *v->gradient);
            rc = NN_OK;
        }
    }
    return rc ? nni_fail(c->why, rc, "nn_gradcheck: %.400s", nn_plan_error(c->plan)) : NN_OK;
}

/* A plan that computes y and the gradients of all inputs and parameters. */
static int compile(struct check *c)
{
    struct nni_observed mine = { .name = NAME, .tensor = c->y }, *others = c->graph->observed;
    nn_plan_opts opts = { .seeds = &c->y, .seed_count = 1, .flags = c->o.flags };
    nn_tensor **inputs = nni_arena_take(&c->arena, (size_t)(c->graph->tensors + 1) * sizeof *inputs);
    int64_t most = c->graph->tensors;
    double *weight;
    int rc;

    c->line = (struct nni_line){ .value = value_at, .context = c, .parts = 1 };
    c->line.count[0] = nn_shape_count(c->y->shape);
    c->line.weight = weight = nni_arena_take(&c->arena, (size_t)c->line.count[0] * sizeof *weight);
    for (int i = 0; i < c->graph->models; i++)
        most += c->graph->model[i]->count;
    c->variable = nni_arena_take(&c->arena, (size_t)(most + 1) * sizeof *c->variable);
    if (!inputs || !weight || !c->variable)
        return nni_fail(c->why, NN_ENOMEM, "nn_gradcheck: no memory");
    for (int64_t e = 0; e < c->line.count[0]; e++) { /* of either sign, and none that hides its result */
        double w = uniform(c, 1, e, -1, 1);

        weight[e] = (double)(nn_real)(w < 0 ? (w - 1) / 2 : (w + 1) / 2);
    }
    for (int64_t i = 0; i < c->graph->tensors; i++) {
        nn_tensor *t = c->graph->tensor[i];

        if (t->base == NN_BASE_INPUT && t->name && !t->detached && t->type == NN_REAL)
            inputs[opts.input_count++] = t;
    }
    opts.inputs = inputs;
    c->graph->observed = &mine;
    rc = nn_compile(&c->plan, c->graph, opts);
    c->graph->observed = others;
    return rc ? nni_fail(c->why, rc, "nn_gradcheck: %.400s", nn_graph_error(c->graph)) : NN_OK;
}

static int run(struct check *c)
{
    int rc = compile(c);

    if (rc || (rc = take_inputs(c)) || (rc = take_parameters(c)) || (rc = take_gradients(c)))
        return rc;
    if (!c->variables)
        return nni_fail(c->why, NN_EINVAL, "nn_gradcheck: nothing that \"%s\" names has a gradient",
                        c->o.wrt);
    for (int i = 0; !rc && i < c->variables && c->o.elements > 0; i++)
        rc = compare_elements(c, &c->variable[i]);
    for (int d = 0; !rc && d < c->o.directions; d++)
        rc = compare_direction(c, d);
    (void)place(c, 0);
    if (rc)
        return nni_fail(c->why, rc, "nn_gradcheck: %.400s",
                        rc == NN_ENOMEM ? "no memory" : nn_plan_error(c->plan));
    if (c->wrong)
        return nni_fail(c->why, NN_EDIFFER, "nn_gradcheck: %lld of %lld slopes differ; %.400s",
                        (long long)c->wrong, (long long)c->tried, c->text.text);
    if (c->rough * 4 > c->tried)
        return nni_fail(c->why, NN_EDIFFER,
                        "nn_gradcheck: not smooth at %lld of %lld places: choose another range or a shorter "
                        "step",
                        (long long)c->rough, (long long)c->tried);
    if (c->vague * 2 > c->tried - c->rough)
        return nni_fail(
            c->why, NN_EDIFFER,
            "nn_gradcheck: nothing can be told at %lld of %lld places, where rounding is as large as "
            "the slopes: take a longer step, smaller tensors, or libnn-double",
            (long long)c->vague, (long long)(c->tried - c->rough));
    (void)nni_fail(c->why, NN_OK, "%lld slopes agree, %lld beside kinks were left out; %.400s",
                   (long long)(c->tried - c->rough), (long long)c->rough, c->text.text);
    return NN_OK;
}

/* Running statistics and the like move with each forward run: they are put back. */
static int run_and_restore(struct check *c)
{
    void *kept[NNI_MAX_MODELS] = { NULL };
    size_t bytes[NNI_MAX_MODELS];
    int rc = NN_OK;

    for (int i = 0; !rc && i < c->graph->models; i++) {
        nn_model *m = c->graph->model[i];
        const void *state;

        if ((rc = nn_model_seal(m))) {
            (void)nni_fail(c->why, rc, "nn_gradcheck: %.400s", nn_model_error(m));
            continue;
        }
        state = nn_model_buffer(m, NN_BASE_STATE, &bytes[i]);
        if (state && !(kept[i] = nni_alloc(bytes[i])))
            rc = nni_fail(c->why, NN_ENOMEM, "nn_gradcheck: no memory");
        if (kept[i])
            memcpy(kept[i], state, bytes[i]);
    }
    if (!rc)
        rc = run(c);
    for (int i = 0; i < c->graph->models; i++)
        if (kept[i]) {
            void *state = nn_model_buffer(c->graph->model[i], NN_BASE_STATE, NULL);

            if (state)
                memcpy(state, kept[i], bytes[i]);
            nn_model_changed(c->graph->model[i]);
            nni_free(kept[i]);
        }
    nn_plan_free(c->plan);
    nni_arena_free(&c->arena);
    return rc;
}

int nn_gradcheck(nn_graph *graph, nn_tensor *y, nn_gradcheck_opts o, nn_message *why)
{
    const bool narrow = NN_REAL == NN_F32;
    struct check c = { .graph = graph, .y = y, .why = why, .worst = -1 };

    if (!graph)
        return nni_null(why, __func__, "graph");
    if (graph->status)
        return nni_fail(why, graph->status, "nn_gradcheck: %.400s", graph->message.text);
    if (!y)
        return nni_null(why, __func__, "y");
    if (y->graph != graph || y->type != NN_REAL || !nn_shape_count(y->shape))
        return nni_fail(why, NN_EINVAL, "nn_gradcheck: y must be a tensor of this graph with numbers of %s",
                        nn_dtype_name(NN_REAL));
    if (!(o.low <= o.high) || !isfinite(o.low) || !isfinite(o.high) || o.elements < -1 || o.directions < 0 ||
        !(o.step >= 0 && o.step <= 1) || !(o.tolerance >= 0 && o.tolerance < 1))
        return nni_fail(
            why, NN_EINVAL,
            "nn_gradcheck: from %g to %g, %lld elements, %d directions, step %g, tolerance %g make "
            "no sense",
            o.low, o.high, (long long)o.elements, o.directions, o.step, o.tolerance);
    if (o.low == 0 && o.high == 0) {
        o.low = -1;
        o.high = 1;
    }
    o.wrt = o.wrt ? o.wrt : "*";
    o.elements = o.elements ? o.elements : 32;
    o.directions = o.directions ? o.directions : 2;
    o.step = o.step > 0 ? o.step : narrow ? 1.0 / 64 : 1e-3;
    o.tolerance = o.tolerance > 0 ? o.tolerance : narrow ? 1e-3 : 1e-6;
    c.o = o;
    return run_and_restore(&c);
}
