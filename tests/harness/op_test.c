/* SPDX-License-Identifier: MIT
 *
 * The machinery behind the tables of op_test.h. The oracle is evaluated once for a case: its
 * outputs, and the slopes of a sample of input elements for each output by itself, so that any
 * choice of seeded outputs can be compared. Each variant then records, compiles and runs the case
 * in its own way and is held against those numbers, and against the first variant for the elements
 * that were not sampled.
 *
 * Slopes are those of core/slope.h, as nn_gradcheck takes them, of the oracle. Where two step sizes
 * disagree the function has a kink (ReLU) within reach and the element proves nothing; it is left out,
 * and a case that loses a quarter of its elements so is badly chosen and fails.
 */
#include "op_test.h"
#include "suite.h"

#include "core/core.h"
#include "core/slope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far results may be from the expected ones: each from its own, all of them together (in the l2 norm),
 * and the worst from the largest, relatively; and all absolutely. */
struct bound {
    double each, l2, most, floor;
};
#ifdef NN_REAL_DOUBLE
static const struct bound forward_bound = { 0, 1e-12, 1e-11, 1e-13 };
static const struct bound slope_bound = { 0, 1e-5, 1e-5, 1e-7 };
static const struct bound grad_bound = { 0, 1e-11, 1e-10, 1e-12 };
#else
static const struct bound forward_bound = { 0, 3e-6, 3e-5, 1e-6 };
static const struct bound slope_bound = { 0, 1e-5, 1e-4, 2e-6 };
static const struct bound grad_bound = { 0, 1e-5, 1e-4, 2e-6 };
#endif
/* Of two backends: sums in another order, exp and the like with errors of their own. */
static const struct bound other_bound = { 0, 1e-6, 1e-5, 1e-6 };
/* Where activations are bfloat16 an element is good to one rounding of its own, and sums to what the
 * roundings of their terms leave. */
static const struct bound stored_bound = { 0x1p-8, 0x1p-8, 0x1p-11, 1e-5 };
/* Where the processor multiplies bfloat16, weights and what becomes of activations on their way are rounded
 * too. */
static const struct bound product_bound = { 0x1p-8, 0x1p-7, 0x1p-7, 1e-5 };
/* Of two backends there: one more rounding, of what goes from kernel to kernel. */
static const struct bound other_narrow_bound = { 0x1p-7, 0x1p-6, 0x1p-6, 1e-5 };
static struct bound narrow_bound; /* of the instruction set that is being tested */
static int multiplies_bf16(const char *isa) { return !strcmp(isa, "avx512_bf16"); }

enum { PROBES = 40, PROBES_OF_LARGE = 16, PROBES_OF_NARROW = 6, LARGE = 4000, COPY_TILE = 1024 };

struct reference {
    const op_case *c;
    const char *op; /* looked for among the steps */
    int ins, outs;
    uint32_t narrow; /* inputs that are given as bfloat16 */
    nn_shape out_shape[NN_MAX_OUT];
    nn_dtype type[NN_MAX_IN], out_type[NN_MAX_OUT];
    int64_t count[NN_MAX_IN], out_count[NN_MAX_OUT];
    void *data[NN_MAX_IN]; /* as fed */
    double *in[NN_MAX_IN], *out[NN_MAX_OUT], *seed[NN_MAX_OUT];
    int differentiable[NN_MAX_IN], seeded[NN_MAX_OUT];
    int64_t *probe[NN_MAX_IN];
    double *slope[NN_MAX_IN][NN_MAX_OUT];
    int probes[NN_MAX_IN];
    double *direction[NN_MAX_IN];
    double along[NN_MAX_IN][NN_MAX_OUT]; /* NaN where there is a kink on the way */
};

struct variant {
    const char *name;
    unsigned flags;
    int forward_only, twice, copies, params, accumulate;
    int without; /* 1 + the input whose gradient is not wanted */
    int only;    /* 1 + the only output that is seeded */
};

struct result {
    void *out[NN_MAX_OUT];
    nn_real *grad[NN_MAX_IN]; /* NULL: not wanted */
    int64_t steps;
    const nn_op *op; /* of the step that reference.op names, if the plan has one */
};

static char where[256];

#define FAIL(...)                                                                                            \
    do {                                                                                                     \
        char text_[640];                                                                                     \
        (void)snprintf(text_, sizeof text_, __VA_ARGS__);                                                    \
        ck_abort_msg("%s: %s", where, text_);                                                                \
    } while (0)

static void *take(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory)
        ck_abort_msg("%s: no memory for the test", where);
    return memory;
}

static double *take_doubles(int64_t count) { return take((size_t)count * sizeof(double)); }

/* ------------------------------------------------------------------ inputs */

double op_test_uniform(uint64_t stream, int64_t index, double low, double high)
{
    nni_stream s = nni_stream_of(UINT64_C(0x6f705f74657374), stream);
    uint32_t word[4];

    nni_stream_at(&s, (uint64_t)index, 0, 0, word);
    return low + (high - low) * nni_uniform(word[0]);
}

static int floating(nn_dtype type)
{
    return type == NN_F32 || type == NN_F64 || type == NN_BF16 || type == NN_F16;
}

static double load(const void *data, nn_dtype type, int64_t i)
{
    switch (type) {
    case NN_F32: return (double)((const float *)data)[i];
    case NN_F64: return ((const double *)data)[i];
    case NN_BF16: return (double)nni_bf16_to_f32(((const uint16_t *)data)[i]);
    case NN_F16: return (double)nni_f16_to_f32(((const uint16_t *)data)[i]);
    case NN_I32: return (double)((const int32_t *)data)[i];
    case NN_I64: return (double)((const int64_t *)data)[i];
    default: return (double)((const uint8_t *)data)[i];
    }
}

static void store(void *data, nn_dtype type, int64_t i, double x)
{
    switch (type) {
    case NN_F32: ((float *)data)[i] = (float)x; break;
    case NN_F64: ((double *)data)[i] = x; break;
    case NN_BF16: ((uint16_t *)data)[i] = nni_f32_to_bf16((float)x); break;
    case NN_F16: ((uint16_t *)data)[i] = nni_f32_to_f16((float)x); break;
    case NN_I32: ((int32_t *)data)[i] = (int32_t)x; break;
    case NN_I64: ((int64_t *)data)[i] = (int64_t)x; break;
    default: ((uint8_t *)data)[i] = (uint8_t)x; break;
    }
}

static void fill(struct reference *r, int i)
{
    const op_input *in = &r->c->in[i];
    int64_t n = r->count[i], row = in->shape.rank ? in->shape.dim[in->shape.rank - 1] : 1;
    double low = in->low, high = in->high;

    if (low == 0 && high == 0) {
        low = floating(r->type[i]) ? -1 : 0;
        high = floating(r->type[i]) ? 1 : r->type[i] == NN_U8 ? 255 : 9;
    }
    for (int64_t e = 0; e < n; e++) {
        double x = op_test_uniform((uint64_t)i + 1, e, low, floating(r->type[i]) ? high : high + 1);

        r->in[i][e] = in->values ? in->values[e] : floating(r->type[i]) ? x : floor(x);
    }
    for (int64_t at = 0; in->simplex && at + row <= n; at += row) {
        double sum = 0;

        for (int64_t e = at; e < at + row; e++) {
            r->in[i][e] = op_test_uniform((uint64_t)i + 1, e, 0.05, 1);
            sum += r->in[i][e];
        }
        for (int64_t e = at; e < at + row; e++)
            r->in[i][e] /= sum;
    }
    /* The oracle starts from what the op really gets. */
    for (int64_t e = 0; e < n; e++) {
        if (r->narrow & NN_IN(i))
            r->in[i][e] = (double)nni_bf16_to_f32(nni_f32_to_bf16((float)r->in[i][e]));
        store(r->data[i], r->type[i], e, r->in[i][e]);
        r->in[i][e] = load(r->data[i], r->type[i], e);
    }
}

/* --------------------------------------------------- an identity of our own */

static int64_t copy_tiles(const nn_step *s)
{
    return (nn_shape_count(s->in[0].shape) + COPY_TILE - 1) / COPY_TILE;
}

static void copy_run(const nn_step *s, int64_t tile, void *lane)
{
    size_t size = nn_dtype_size(s->in[0].type), bytes = (size_t)nn_shape_count(s->in[0].shape) * size;
    size_t at = (size_t)tile * COPY_TILE * size, most = COPY_TILE * size;

    (void)lane;
    memcpy((char *)s->out[0].at + at, (const char *)s->in[0].at + at, bytes - at < most ? bytes - at : most);
}

static void copy_back(const nn_step *s, int64_t tile, void *lane)
{
    int64_t count = nn_shape_count(s->din[0].shape), at = tile * COPY_TILE;
    const nn_real *from = s->dout[0].at;
    nn_real *to = s->din[0].at;

    (void)lane;
    for (int64_t e = at; e < count && e < at + COPY_TILE; e++)
        to[e] = from[e] + (s->accumulate & 1u ? to[e] : 0);
}

static int copy_infer(nn_node *node)
{
    return nn_infer_out(node, 0, nn_type_get(node->in[0]), nn_shape_get(node->in[0]));
}

static int copy_forward(nn_step *s)
{
    nn_phase(s, copy_tiles(s), copy_run);
    return NN_OK;
}

static int copy_backward(nn_step *s)
{
    int64_t count = nn_shape_count(s->din[0].shape);

    nn_phase(s, (count + COPY_TILE - 1) / COPY_TILE, copy_back);
    return NN_OK;
}

static const nn_op copy_op = { .abi = NN_OP_ABI,
                               .name = "copy",
                               .infer = copy_infer,
                               .forward = { copy_forward },
                               .backward = { copy_backward } };

/* --------------------------------------------------------------- reference */

/* An op that has kernels on every device, and so can stand between its operands and others. */
static nn_tensor *copy(nn_graph *g, nn_tensor *x)
{
    return g->device->backend->kernels == NN_DEVICE_CPU ? nn_apply(g, &copy_op, NULL, &x, 1)
                                                        : nn_scale(g, x, 1, 0);
}

static nn_tensor *record(const struct reference *r, nn_graph *g, const struct variant *v, nn_tensor **in,
                         nn_tensor *out[2][NN_MAX_OUT])
{
    const op_case *c = r->c;
    nn_tensor *used[NN_MAX_IN] = { NULL };
    nn_tensor *first = NULL;

    for (int i = 0; i < r->ins; i++) {
        char name[32];

        if (c->in[i].absent)
            continue;
        (void)snprintf(name, sizeof name, "in%d", i);
        if (v->params && c->in[i].param)
            in[i] = nn_param(g, name, c->in[i].shape, (nn_init){ .kind = NN_INIT_ZERO });
        else
            in[i] = nn_input(g, name, r->type[i], c->in[i].shape);
        used[i] = v->copies && r->type[i] == NN_REAL ? copy(g, in[i]) : in[i];
        if (r->narrow & NN_IN(i))
            used[i] = nn_cast(g, used[i], NN_BF16);
    }
    for (int k = 0; k < 1 + v->twice; k++) {
        nn_tensor *y = c->build(g, c, used, out[k]);

        if (k == 0)
            first = y;
        for (int j = 0; j < r->outs && !nn_graph_status(g); j++) {
            char name[32];

            if (!out[k][j])
                FAIL("build left out[%d] NULL", j);
            if (r->narrow)
                out[k][j] = nn_cast(g, out[k][j], NN_REAL);
            if (v->copies && nn_type_get(out[k][j]) == NN_REAL)
                out[k][j] = copy(g, out[k][j]);
            (void)snprintf(name, sizeof name, "out%d.%d", j, k);
            out[k][j] = nn_observe(g, name, out[k][j]);
        }
    }
    return first;
}

/* The oracle while one input moves: element e of it, or all along `direction`. */
struct moving {
    struct reference *r;
    int i;
    int64_t e;
    const double *direction;
};

static int oracle_at(void *context, double t, double *y)
{
    const struct moving *m = context;
    struct reference *r = m->r;
    double *x = r->in[m->i], *moved = take_doubles(r->count[m->i]), *out[NN_MAX_OUT];

    memcpy(moved, x, (size_t)r->count[m->i] * sizeof *moved);
    for (int64_t e = 0; m->direction && e < r->count[m->i]; e++)
        moved[e] += t * m->direction[e];
    if (!m->direction)
        moved[m->e] += t;
    for (int j = 0; j < r->outs; y += r->out_count[j++])
        out[j] = y;
    r->in[m->i] = moved;
    r->c->oracle(r->c, (const double *const *)r->in, out);
    r->in[m->i] = x;
    free(moved);
    return NN_OK;
}

/* The slopes of each output; 0 where there is a kink. */
static int slopes(struct reference *r, int i, int64_t e, const double *direction, double h, double *slope)
{
    struct moving m = { r, i, e, direction };
    struct nni_line line = { .value = oracle_at, .context = &m, .parts = r->outs };
    struct nni_slope s[NN_MAX_OUT];
    int64_t all = 0;
    int smooth = 1;
    double *weight;

    for (int j = 0; j < r->outs; j++)
        all += line.count[j] = r->out_count[j];
    line.weight = weight = take_doubles(all);
    for (int64_t j = 0, at = 0; j < r->outs; at += r->out_count[j++])
        memcpy(weight + at, r->seed[j], (size_t)r->out_count[j] * sizeof *weight);
    if (nni_slopes(&line, h, s))
        FAIL("no memory for the differences of the oracle");
    for (int j = 0; j < r->outs; j++) {
        slope[j] = s[j].fine;
        smooth = smooth && nni_is_smooth(&s[j], 0.5e-7 + 0.5e-5 * fabs(s[j].fine));
    }
    free(weight);
    return smooth;
}

static void probe_input(struct reference *r, int i)
{
    int64_t n = r->count[i];
    int most = r->narrow                     ? PROBES_OF_NARROW
               : r->c->probes                ? r->c->probes
               : n + r->out_count[0] > LARGE ? PROBES_OF_LARGE
                                             : PROBES;
    int tried = n < most ? (int)n : most, kinks = 0;

    r->probe[i] = take((size_t)tried * sizeof *r->probe[i]);
    r->direction[i] = take_doubles(n);
    for (int j = 0; j < r->outs; j++)
        r->slope[i][j] = take_doubles(tried);
    for (int k = 0; k < tried; k++) {
        int64_t e = n <= most ? k
                    : k == 0  ? 0
                    : k == 1  ? n - 1
                              : (int64_t)op_test_uniform(100 + (uint64_t)i, k, 0, (double)n);
        double slope[NN_MAX_OUT];

        if (!slopes(r, i, e, NULL, 1e-3 * (fmin(fabs(r->in[i][e]), 1) + 0.1), slope)) {
            kinks++;
            continue;
        }
        r->probe[i][r->probes[i]] = e;
        for (int j = 0; j < r->outs; j++)
            r->slope[i][j][r->probes[i]] = slope[j];
        r->probes[i]++;
    }
    if (kinks * 4 > tried)
        FAIL("the oracle is not smooth at %d of %d elements of input %d: choose another range", kinks, tried,
             i);
    for (int64_t e = 0; e < n; e++)
        r->direction[i][e] =
            op_test_uniform(200 + (uint64_t)i, e, -1, 1) * (fmin(fabs(r->in[i][e]), 1) + 0.1);
    if (!slopes(r, i, 0, r->direction[i], 1e-3, r->along[i]))
        for (int j = 0; j < r->outs; j++)
            r->along[i][j] = NAN;
}

static void free_reference(struct reference *r)
{
    for (int i = 0; i < NN_MAX_IN; i++) {
        free(r->data[i]);
        free(r->in[i]);
        free(r->probe[i]);
        free(r->direction[i]);
        for (int j = 0; j < NN_MAX_OUT; j++)
            free(r->slope[i][j]);
    }
    for (int j = 0; j < NN_MAX_OUT; j++) {
        free(r->out[j]);
        free(r->seed[j]);
    }
    free(r);
}

/* What goes back through a bfloat16 output arrives as it was. */
static double seed_value(const struct reference *r, int j, int64_t e)
{
    nn_real x = (nn_real)op_test_uniform(300 + (uint64_t)j, e, -1, 1);

    return r->narrow ? (double)nni_bf16_to_f32(nni_f32_to_bf16((float)x)) : (double)x;
}

/* Inputs that are activations which the recorded ops take as bfloat16. */
static uint32_t narrow_inputs(const nn_graph *g, nn_tensor *const *in, int ins)
{
    uint32_t found = 0;

    for (int64_t n = 0; n < g->nodes; n++)
        for (int k = 0; k < NN_MAX_IN; k++)
            for (int i = 0; i < ins; i++)
                if (in[i] && g->node[n]->in[k] == in[i] && g->node[n]->op->narrow & NN_IN(k))
                    found |= NN_IN(i);
    return found;
}

/* narrow: with activations as bfloat16, or NULL when the case has none. */
static struct reference *make_reference(const op_case *c, int narrow)
{
    struct reference *r = take(sizeof *r);
    nn_tensor *in[NN_MAX_IN] = { NULL }, *out[2][NN_MAX_OUT] = { { NULL } };
    struct variant plain = { .name = "record" };
    nn_device *device;
    nn_graph *g = NULL;

    (void)snprintf(where, sizeof where, "%s", c->name);
    r->c = c;
    r->outs = c->outs ? c->outs : 1;
    r->ins = c->ins;
    device = op_test_device(NULL, 1);
    for (int i = 0; !c->ins && i < NN_MAX_IN; i++)
        if (c->in[i].shape.rank || c->in[i].absent)
            r->ins = i + 1;
    for (int i = 0; i < r->ins; i++) {
        if (c->in[i].absent)
            continue;
        r->type[i] = c->in[i].type ? c->in[i].type : NN_REAL;
        r->count[i] = nn_shape_count(c->in[i].shape);
        r->in[i] = take_doubles(r->count[i]);
        r->data[i] = take((size_t)r->count[i] * nn_dtype_size(r->type[i]));
        r->differentiable[i] = r->type[i] == NN_REAL && !c->in[i].no_grad && !c->no_backward;
    }
    if (nn_graph_new(&g, device, NULL, c->mode))
        FAIL("no graph");
    (void)record(r, g, &plain, in, out);
    if (narrow && !nn_graph_status(g)) {
        r->narrow = narrow_inputs(g, in, r->ins);
        nn_graph_free(g);
        if (!r->narrow) {
            nn_close(device);
            free_reference(r);
            return NULL;
        }
        if (nn_graph_new(&g, device, NULL, c->mode))
            FAIL("no graph");
        memset(out, 0, sizeof out);
        (void)record(r, g, &plain, in, out);
    }
    for (int i = 0; i < r->ins; i++)
        if (!c->in[i].absent)
            fill(r, i);
    if (nn_graph_status(g))
        FAIL("recording failed: %s", nn_graph_error(g));
    for (int j = 0; j < r->outs; j++) {
        r->out_shape[j] = nn_shape_get(out[0][j]);
        r->out_type[j] = nn_type_get(out[0][j]);
        r->out_count[j] = nn_shape_count(r->out_shape[j]);
        r->seeded[j] = r->out_type[j] == NN_REAL && !c->no_backward;
        if (c->expect[j].rank && !nn_shape_equal(c->expect[j], r->out_shape[j])) {
            nni_text a, b;

            FAIL("out[%d] is %s, not %s", j, nni_shape_text(r->out_shape[j], &a),
                 nni_shape_text(c->expect[j], &b));
        }
        r->out[j] = take_doubles(r->out_count[j]);
        r->seed[j] = take_doubles(r->out_count[j]);
        for (int64_t e = 0; e < r->out_count[j] && r->seeded[j]; e++)
            r->seed[j][e] = seed_value(r, j, e);
    }
    nn_graph_free(g);
    nn_close(device);
    if (c->oracle) {
        c->oracle(c, (const double *const *)r->in, r->out);
        for (int i = 0; i < r->ins; i++)
            if (r->differentiable[i] && r->count[i])
                probe_input(r, i);
    }
    return r;
}

/* --------------------------------------------------------------- comparing */

/* t: factor on the bounds of what is computed; that of a rounding stands. */
static void agree(const char *what, const double *got, const double *expected, int64_t n, struct bound b,
                  double t)
{
    double l2 = b.each > 0 ? b.l2 : t * b.l2, most = t * b.most, floor_each = t * b.floor;
    double error = 0, norm = 0, worst = 0, largest = 0;
    int64_t at = 0;

    for (int64_t e = 0; e < n; e++) {
        double d = got[e] - expected[e];

        if ((isnan(got[e]) && isnan(expected[e])) || (isinf(expected[e]) && got[e] == expected[e]))
            continue;
        if (!isfinite(d))
            FAIL("%s: element %lld is %.9g, expected %.9g", what, (long long)e, got[e], expected[e]);
        error += d * d;
        norm += expected[e] * expected[e];
        if (fabs(expected[e]) > largest)
            largest = fabs(expected[e]);
        if (fabs(d) - b.each * fabs(expected[e]) > worst) {
            worst = fabs(d) - b.each * fabs(expected[e]);
            at = e;
        }
    }
    if (sqrt(error) > l2 * sqrt(norm) + floor_each * sqrt((double)n) || worst > most * largest + floor_each)
        FAIL("%s: relative error %.3g (bound %.3g); element %lld of %lld is %.9g, expected %.9g (largest "
             "%.3g)",
             what, norm > 0 ? sqrt(error / norm) : INFINITY, l2, (long long)at, (long long)n, got[at],
             expected[at], largest);
}

static void check_outputs(const struct reference *r, const struct result *got)
{
    double t = r->c->tolerance > 0 ? r->c->tolerance : 1;

    for (int j = 0; j < r->outs && r->c->oracle; j++) {
        int64_t n = r->out_count[j];
        double *value = take_doubles(n);
        char what[32];

        (void)snprintf(what, sizeof what, "output %d", j);
        for (int64_t e = 0; e < n; e++)
            value[e] = load(got->out[j], r->out_type[j], e);
        if (r->out_type[j] == NN_BF16 || r->out_type[j] == NN_F16)
            agree(what, value, r->out[j], n, (struct bound){ 0, 0x1p-8, 0x1p-8, 0 }, 1);
        else
            agree(what, value, r->out[j], n, r->narrow ? narrow_bound : forward_bound, t);
        free(value);
    }
}

/* Against the differences of the oracle. `only`: 1 + the one output that was seeded. */
static void check_slopes(const struct reference *r, const struct result *got, int only, double factor)
{
    double t = r->c->tolerance > 0 ? r->c->tolerance : 1;
    struct bound bound = r->narrow ? narrow_bound : slope_bound;
    double share = r->narrow ? bound.l2 : 0.3 * grad_bound.l2;

    for (int i = 0; i < r->ins; i++) {
        double *value, *expected, along = 0, sum = 0, size = 0;
        char what[64];

        if (!got->grad[i] || !r->c->oracle)
            continue;
        value = take_doubles(r->probes[i]);
        expected = take_doubles(r->probes[i]);
        for (int k = 0; k < r->probes[i]; k++) {
            value[k] = (double)got->grad[i][r->probe[i][k]];
            for (int j = 0; j < r->outs; j++)
                if (r->seeded[j] && (!only || only == j + 1))
                    expected[k] += factor * r->slope[i][j][k];
        }
        (void)snprintf(what, sizeof what, "gradient of input %d (sampled)", i);
        agree(what, value, expected, r->probes[i], bound, t);
        free(value);
        free(expected);
        for (int j = 0; j < r->outs; j++)
            if (r->seeded[j] && (!only || only == j + 1))
                along += factor * r->along[i][j];
        for (int64_t e = 0; e < r->count[i]; e++) {
            sum += (double)got->grad[i][e] * r->direction[i][e];
            size += fabs((double)got->grad[i][e] * r->direction[i][e]);
        }
        if (r->count[i] && !isnan(along) &&
            !(fabs(sum - along) <= t * (bound.floor * 4 + bound.l2 * fabs(along) + share * size)))
            FAIL("gradient of input %d along a random direction is %.9g, expected %.9g", i, sum, along);
    }
}

/* All elements of `got` against factor times those of `base`. */
static void check_same(const struct reference *r, const struct result *got, const struct result *base,
                       double factor)
{
    double t = r->c->tolerance > 0 ? r->c->tolerance : 1;

    for (int i = 0; i < r->ins; i++) {
        double *value, *expected;
        char what[64];

        if (!got->grad[i] || !base->grad[i])
            continue;
        value = take_doubles(r->count[i]);
        expected = take_doubles(r->count[i]);
        for (int64_t e = 0; e < r->count[i]; e++) {
            value[e] = (double)got->grad[i][e];
            expected[e] = factor * (double)base->grad[i][e];
        }
        (void)snprintf(what, sizeof what, "gradient of input %d (all elements)", i);
        agree(what, value, expected, r->count[i], r->narrow ? narrow_bound : grad_bound, t);
        free(value);
        free(expected);
    }
}

static void check_bits(const struct reference *r, const struct result *a, const struct result *b,
                       const char *what)
{
    for (int j = 0; j < r->outs; j++)
        if (memcmp(a->out[j], b->out[j], (size_t)r->out_count[j] * nn_dtype_size(r->out_type[j])) != 0)
            FAIL("%s: output %d differs", what, j);
    for (int i = 0; i < r->ins; i++)
        if (a->grad[i] && b->grad[i] &&
            memcmp(a->grad[i], b->grad[i], (size_t)r->count[i] * sizeof(nn_real)) != 0)
            FAIL("%s: gradient of input %d differs", what, i);
}

static void free_result(struct result *a)
{
    for (int j = 0; j < NN_MAX_OUT; j++)
        free(a->out[j]);
    for (int i = 0; i < NN_MAX_IN; i++)
        free(a->grad[i]);
}

/* ----------------------------------------------------------------- running */

static int wanted(const struct reference *r, const struct variant *v, int i)
{
    return r->differentiable[i] && !v->forward_only && v->without != i + 1;
}

static void feed(const struct reference *r, const struct variant *v, nn_model *m, nn_plan *p)
{
    for (int i = 0; i < r->ins; i++) {
        char name[32];
        int rc;

        if (r->c->in[i].absent)
            continue;
        (void)snprintf(name, sizeof name, "in%d", i);
        if (v->params && r->c->in[i].param)
            rc = nn_model_write(m, name, NN_BASE_PARAM, NN_REAL, r->data[i]);
        else
            rc = nn_write(p, name, r->data[i], (size_t)r->count[i] * nn_dtype_size(r->type[i]));
        if (rc)
            FAIL("cannot feed %s: %s", name, nn_plan_error(p));
    }
}

static void seed(const struct reference *r, const struct variant *v, nn_plan *p)
{
    int at = 0;

    for (int k = 0; k < 1 + v->twice && !v->forward_only; k++)
        for (int j = 0; j < r->outs; j++) {
            nn_real *to;

            if (!r->seeded[j] || (v->only && v->only != j + 1))
                continue;
            to = nn_seed(p, at++);
            if (!to)
                FAIL("output %d cannot be seeded", j);
            for (int64_t e = 0; e < r->out_count[j]; e++)
                to[e] = (nn_real)r->seed[j][e];
        }
}

static void collect(const struct reference *r, const struct variant *v, nn_model *m, nn_plan *p,
                    struct result *got)
{
    for (int j = 0; j < r->outs; j++) {
        char name[32];
        size_t bytes = (size_t)r->out_count[j] * nn_dtype_size(r->out_type[j]);

        got->out[j] = take(bytes);
        for (int k = 0; k < 1 + v->twice; k++) {
            void *again = take(bytes);

            (void)snprintf(name, sizeof name, "out%d.%d", j, k);
            if (nn_read(p, name, r->out_type[j], k ? again : got->out[j], r->out_count[j]))
                FAIL("cannot read %s: %s", name, nn_plan_error(p));
            if (k && memcmp(again, got->out[j], bytes) != 0)
                FAIL("output %d differs when the op is recorded twice", j);
            free(again);
        }
    }
    for (int i = 0; i < r->ins; i++) {
        char name[32];
        int rc;

        if (!wanted(r, v, i))
            continue;
        got->grad[i] = take((size_t)r->count[i] * sizeof(nn_real));
        (void)snprintf(name, sizeof name, "in%d", i);
        if (v->params && r->c->in[i].param)
            rc = nn_model_read(m, name, NN_BASE_GRAD, NN_REAL, got->grad[i]);
        else
            rc = nn_read_gradient(p, name, NN_REAL, got->grad[i], r->count[i]);
        /* An output that does not depend on the input leaves it without a gradient: zero. */
        if (rc == NN_ENOTFOUND && v->only)
            memset(got->grad[i], 0, (size_t)r->count[i] * sizeof(nn_real));
        else if (rc)
            FAIL("cannot read the gradient of %s: %s", name, nn_plan_error(p));
    }
}

static void untouched(const struct reference *r, const struct variant *v, nn_plan *p)
{
    for (int i = 0; i < r->ins; i++) {
        char name[32];
        size_t bytes;
        const void *now;

        if (r->c->in[i].absent || (v->params && r->c->in[i].param))
            continue;
        (void)snprintf(name, sizeof name, "in%d", i);
        now = nn_host(p, name, &bytes);
        if (!now || memcmp(now, r->data[i], bytes) != 0)
            FAIL("input %d was written to", i);
    }
}

static void guards(const struct variant *v, nn_plan *p)
{
    nn_message why = { "" };

    if ((v->flags & NN_PLAN_DEBUG) && nni_plan_check_guards(p, &why))
        FAIL("written beside a tensor: %s", why.text);
}

static nn_plan *compile(const struct reference *r, const struct variant *v, nn_device *device,
                        nn_model **model)
{
    nn_tensor *in[NN_MAX_IN] = { NULL }, *out[2][NN_MAX_OUT] = { { NULL } };
    nn_tensor *inputs[NN_MAX_IN], *seeds[2 * NN_MAX_OUT];
    nn_plan_opts opts = { .inputs = inputs, .seeds = seeds, .flags = v->flags };
    nn_graph *g = NULL;
    nn_plan *p = NULL;

    if (v->params && nn_model_new(model, device, 1))
        FAIL("no model");
    if (nn_graph_new(&g, device, *model, r->c->mode))
        FAIL("no graph");
    (void)record(r, g, v, in, out);
    for (int i = 0; i < r->ins; i++)
        if (wanted(r, v, i) && !(v->params && r->c->in[i].param))
            inputs[opts.input_count++] = in[i];
    for (int k = 0; k < 1 + v->twice && !v->forward_only; k++)
        for (int j = 0; j < r->outs; j++)
            if (r->seeded[j] && (!v->only || v->only == j + 1))
                seeds[opts.seed_count++] = out[k][j];
    if (nn_compile(&p, g, opts))
        FAIL("nn_compile: %s", nn_graph_error(g));
    nn_graph_free(g);
    return p;
}

/* Records, compiles, runs. The result is that of the last run. */
static struct result run(const struct reference *r, const char *isa, nn_device *device,
                         const struct variant *v)
{
    struct result got = { .steps = 0 }, again = { .steps = 0 };
    unsigned what = v->forward_only || r->c->no_backward ? NN_FORWARD : NN_GRADIENTS;
    nn_model *m = NULL;
    nn_plan *p;
    nn_summary summary;

    (void)snprintf(where, sizeof where, "%s (%s, %d threads, %s%s)", r->c->name, isa,
                   nn_device_threads(device), v->name, v->flags & NN_PLAN_DEBUG ? ", debug plan" : "");
    p = compile(r, v, device, &m);
    nn_plan_summary(p, &summary);
    feed(r, v, m, p);
    for (int k = 0; k < 2; k++) {
        seed(r, v, p);
        if (nn_run(p, what))
            FAIL("nn_run: %s", nn_plan_error(p));
        untouched(r, v, p);
        guards(v, p);
        collect(r, v, m, p, k ? &again : &got);
    }
    check_bits(r, &got, &again, "second run");
    free_result(&again);
    if (v->accumulate) {
        struct result sum = { .steps = 0 };

        seed(r, v, p);
        if (nn_run(p, what | NN_ACCUMULATE))
            FAIL("nn_run: %s", nn_plan_error(p));
        collect(r, v, m, p, &sum);
        /* Gradients of parameters add up; those of inputs belong to one run. */
        for (int i = 0; i < r->ins; i++)
            if (sum.grad[i] && r->c->in[i].param)
                for (int64_t e = 0; e < r->count[i]; e++)
                    sum.grad[i][e] /= 2;
        check_same(r, &sum, &got, 1);
        free_result(&sum);
    }
    got.steps = summary.steps[0];
    for (int64_t i = 0; r->op && i < p->steps; i++)
        if (strcmp(p->step[i].step.op->name, r->op) == 0)
            got.op = p->step[i].step.op;
    nn_plan_free(p);
    nn_model_free(m);
    return got;
}

const char *op_test_isa(int i)
{
    static char name[32];
    const char *at = nn_device_isas();
    size_t n;

    for (; i > 0 && at; i--) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    n = at ? strcspn(at, ",") : 0;
    if (n == 0 || n >= sizeof name)
        return NULL;
    memcpy(name, at, n);
    name[n] = 0;
    return name;
}

static const char *tested = "cpu";

void op_test_on(const char *device) { tested = device; }

static nn_device *open_device(const char *name, const char *isa, int threads)
{
    nn_device_options options = { .threads = threads, .isa = isa };
    nn_device *device = NULL;
    nn_message why = { "" };

    if (nn_open(&device, name, &options, &why))
        ck_abort_msg("cannot open %s (%s): %s", name, isa ? isa : "best", why.text);
    return device;
}

nn_device *op_test_device(const char *isa, int threads)
{
    return open_device(tested, strcmp(tested, "cpu") == 0 ? isa : NULL, threads);
}

static void check_failure(const op_case *c)
{
    struct reference *r = take(sizeof *r);
    nn_tensor *in[NN_MAX_IN] = { NULL }, *out[2][NN_MAX_OUT] = { { NULL } };
    struct variant plain = { .name = "record" };
    nn_device *device = op_test_device(NULL, 1);
    nn_graph *g = NULL;

    (void)snprintf(where, sizeof where, "%s", c->name);
    r->c = c;
    r->ins = c->ins;
    for (int i = 0; i < NN_MAX_IN; i++) {
        if (!c->ins && (c->in[i].shape.rank || c->in[i].absent))
            r->ins = i + 1;
        r->type[i] = c->in[i].type ? c->in[i].type : NN_REAL;
    }
    if (nn_graph_new(&g, device, NULL, c->mode))
        FAIL("no graph");
    if (record(r, g, &plain, in, out) || !nn_graph_status(g))
        FAIL("recording did not fail");
    if (nn_graph_status(g) != c->fails)
        FAIL("failed with %s (%s), not with %s", nn_strerror(nn_graph_status(g)), nn_graph_error(g),
             nn_strerror(c->fails));
    if (c->says && !strstr(nn_graph_error(g), c->says))
        FAIL("the message \"%s\" does not contain \"%s\"", nn_graph_error(g), c->says);
    nn_graph_free(g);
    nn_close(device);
    free(r);
}

/* Inputs that have gradients, and whether any can be a parameter. */
static int gradients(const struct reference *r)
{
    int n = 0;

    for (int i = 0; i < r->ins; i++)
        n += r->differentiable[i];
    return n;
}

static int has_parameters(const struct reference *r)
{
    for (int i = 0; i < r->ins; i++)
        if (r->c->in[i].param)
            return 1;
    return 0;
}

/* A variant against the oracle, and its gradients against `factor` times those of `base`. */
static void run_against(const struct reference *r, const char *isa, nn_device *device, struct variant v,
                        const struct result *base, double factor)
{
    struct result got = run(r, isa, device, &v);

    check_outputs(r, &got);
    check_same(r, &got, base, factor);
    free_result(&got);
}

/* All memory of the library begins as NaN, so that whoever reads what nobody wrote shows it. */
static void *(*plain_alloc)(size_t size);

static void *poisoned_alloc(size_t size)
{
    void *memory = plain_alloc(size);

    return memory ? memset(memory, 0xff, size) : NULL;
}

static void poison(void)
{
    if (plain_alloc)
        return;
    plain_alloc = nni_seam.alloc;
    nni_seam.alloc = poisoned_alloc;
}

/* With activations as bfloat16, for ops that take them so. */
static void run_narrow(const op_case *c)
{
    struct reference *r = NN_REAL == NN_F32 ? make_reference(c, 1) : NULL;
    const char *isa;

    for (int n = 0; r && (isa = op_test_isa(n)) != NULL; n++) {
        nn_device *one = op_test_device(isa, 1), *three = op_test_device(isa, 3);
        struct result base, got;

        narrow_bound = multiplies_bf16(isa) ? product_bound : stored_bound;
        base = run(r, isa, one, &(struct variant){ .name = "bfloat16", .flags = NN_PLAN_DEBUG });
        check_outputs(r, &base);
        check_slopes(r, &base, 0, 1);
        got = run(r, isa, one, &(struct variant){ .name = "bfloat16" });
        check_same(r, &got, &base, 1);
        free_result(&base);
        base = got;
        got = run(r, isa, three, &(struct variant){ .name = "bfloat16" });
        check_bits(r, &got, &base, "three threads instead of one");
        free_result(&got);
        run_against(r, isa, three,
                    (struct variant){ .name = "bfloat16, recorded twice", .twice = 1, .copies = 1 }, &base,
                    2);
        if (has_parameters(r))
            run_against(r, isa, three,
                        (struct variant){
                            .name = "bfloat16, parameters", .params = 1, .accumulate = !c->no_backward },
                        &base, 1);
        free_result(&base);
        nn_close(three);
        nn_close(one);
    }
    if (r)
        free_reference(r);
}

void op_test_run(const op_case *c)
{
    struct reference *r;
    const char *isa;

    poison();
    if (c->fails) {
        check_failure(c);
        return;
    }
    run_narrow(c);
    r = make_reference(c, 0);
    /* The one that multiplies bfloat16 is the one before it where there is none. */
    for (int n = 0; (isa = op_test_isa(n)) != NULL && !multiplies_bf16(isa); n++) {
        nn_device *one = op_test_device(isa, 1), *three = op_test_device(isa, 3);
        struct result base, one_thread, got;

        base = run(r, isa, one, &(struct variant){ .name = "alone", .flags = NN_PLAN_DEBUG });
        check_outputs(r, &base);
        check_slopes(r, &base, 0, 1);

        one_thread = run(r, isa, one, &(struct variant){ .name = "alone" });
        check_outputs(r, &one_thread);
        check_slopes(r, &one_thread, 0, 1);
        check_same(r, &one_thread, &base, 1);
        got = run(r, isa, three, &(struct variant){ .name = "alone" });
        check_bits(r, &got, &one_thread, "three threads instead of one");
        free_result(&got);
        free_result(&one_thread);

        run_against(r, isa, three, (struct variant){ .name = "forward only", .forward_only = 1 }, &base, 1);
        run_against(r, isa, three,
                    (struct variant){ .name = "recorded twice", .twice = 1, .flags = NN_PLAN_DEBUG }, &base,
                    2);
        run_against(r, isa, three, (struct variant){ .name = "recorded twice", .twice = 1, .copies = 1 },
                    &base, 2);
        run_against(r, isa, one, (struct variant){ .name = "between copies", .copies = 1 }, &base, 1);
        for (int i = 0; i < r->ins && gradients(r) > 1; i++)
            if (r->differentiable[i])
                run_against(r, isa, one,
                            (struct variant){ .name = "a gradient not wanted", .without = i + 1 }, &base, 1);
        for (int j = 0; j < r->outs && r->outs > 1; j++) {
            if (!r->seeded[j])
                continue;
            got =
                run(r, isa, one,
                    &(struct variant){ .name = "one output seeded", .only = j + 1, .flags = NN_PLAN_DEBUG });
            check_slopes(r, &got, j + 1, 1);
            free_result(&got);
        }
        if (has_parameters(r))
            run_against(r, isa, three,
                        (struct variant){ .name = "parameters", .params = 1, .accumulate = !c->no_backward },
                        &base, 1);
        free_result(&base);
        nn_close(three);
        nn_close(one);
    }
    free_reference(r);
}

void op_test_fused(const op_case *c)
{
    struct reference *r;
    const char *isa;

    poison();
    r = make_reference(c, 0);
    for (int n = 0; (isa = op_test_isa(n)) != NULL && !multiplies_bf16(isa); n++) {
        nn_device *device = op_test_device(isa, 2);
        struct result plain, fused;
        int params = has_parameters(r);

        plain = run(r, isa, device,
                    &(struct variant){ .name = "not fused", .flags = NN_PLAN_NO_FUSE, .params = params });
        check_outputs(r, &plain);
        check_slopes(r, &plain, 0, 1);
        fused = run(r, isa, device, &(struct variant){ .name = "fused", .params = params });
        check_outputs(r, &fused);
        check_slopes(r, &fused, 0, 1);
        check_same(r, &fused, &plain, 1);
        for (int j = 0; j < r->outs && !c->oracle; j++) {
            double t = c->tolerance > 0 ? c->tolerance : 1;
            double *a = take_doubles(r->out_count[j]), *b = take_doubles(r->out_count[j]);

            for (int64_t e = 0; e < r->out_count[j]; e++) {
                a[e] = load(fused.out[j], r->out_type[j], e);
                b[e] = load(plain.out[j], r->out_type[j], e);
            }
            agree("output, fused against not fused", a, b, r->out_count[j], forward_bound, t);
            free(a);
            free(b);
        }
        if (fused.steps >= plain.steps)
            FAIL("nothing was fused: %lld forward steps, %lld without fusion", (long long)fused.steps,
                 (long long)plain.steps);
        free_result(&plain);
        free_result(&fused);
        nn_close(device);
    }
    free_reference(r);
}

/* ---------------------------------------------------------- another device */

static double distance(const double *a, const double *b, int64_t n)
{
    double error = 0, norm = 0;

    for (int64_t e = 0; e < n; e++)
        if (isfinite(b[e])) {
            error += (a[e] - b[e]) * (a[e] - b[e]);
            norm += b[e] * b[e];
        }
    return error > 0 ? sqrt(error / fmax(norm, (double)n * 1e-6)) : 0;
}

/* Of one output or gradient, of any type. */
static double compare(const char *what, const void *got, const void *expected, nn_dtype type, int64_t n,
                      double factor, struct bound bound, double t)
{
    double *a = take_doubles(n), *b = take_doubles(n), d;

    for (int64_t e = 0; e < n; e++) {
        a[e] = load(got, type, e);
        b[e] = factor * load(expected, type, e);
    }
    agree(what, a, b, n, bound, t);
    d = distance(a, b, n);
    free(a);
    free(b);
    return d;
}

/* What the CPU has made and what the other device has; `factor` is on the CPU's gradients. */
static void compare_results(const struct reference *r, const struct result *got, const struct result *cpu,
                            double factor, op_errors *errors)
{
    double t = r->c->tolerance > 0 ? r->c->tolerance : 1;
    double *output = r->narrow ? &errors->narrow : &errors->output,
           *gradient = r->narrow ? &errors->narrow : &errors->gradient;
    struct bound bound = r->narrow ? other_narrow_bound : other_bound;

    for (int j = 0; j < r->outs; j++)
        *output = fmax(*output, compare("output", got->out[j], cpu->out[j], r->out_type[j], r->out_count[j],
                                        1, bound, t));
    for (int i = 0; i < r->ins; i++)
        if (got->grad[i] && cpu->grad[i])
            *gradient = fmax(*gradient, compare("gradient", got->grad[i], cpu->grad[i], NN_REAL, r->count[i],
                                                factor, bound, t));
}

/* The same bits in every setting; the first one's result. */
static struct result run_settings(const struct reference *r, const op_other *other)
{
    struct result first = { .steps = 0 };

    for (int k = 0; k < other->settings; k++) {
        struct result got;

        other->set(k);
        got = run(r, nn_device_name(other->device), other->device,
                  &(struct variant){ .name = "alone", .flags = NN_PLAN_DEBUG });
        if (k == 0) {
            first = got;
            continue;
        }
        check_bits(r, &got, &first, "another setting");
        free_result(&got);
    }
    other->set(0);
    return first;
}

static void compare_case(const op_suite *suite, const op_case *c, int narrow, const op_other *other,
                         op_errors *errors)
{
    struct variant list[3 + NN_MAX_IN] = {
        { .name = "recorded twice", .twice = 1, .copies = 1 },
        { .name = "not fused", .flags = NN_PLAN_NO_FUSE },
        { .name = "parameters", .params = 1, .accumulate = !c->no_backward },
    };
    int variants = 3;
    struct reference *r = make_reference(c, narrow);
    struct result cpu, got;

    /* Beside a kink the last bit decides about the whole derivative, and bfloat16 puts inputs on them. */
    if (!r || (narrow && (c->act == NN_ACT_RELU || c->act == NN_ACT_RELU6 || c->cancels)))
        return;
    r->op = suite->name;
    for (int i = 0; i < r->ins && gradients(r) > 1; i++)
        if (r->differentiable[i])
            list[variants++] = (struct variant){ .name = "a gradient not wanted", .without = i + 1 };
    cpu = run(r, "cpu", other->cpu, &(struct variant){ .name = "alone" });
    got = run_settings(r, other);
    errors->cases += got.op != NULL;
    compare_results(r, &got, &cpu, 1, errors);
    free_result(&got);
    for (int k = 0; k < variants; k++) {
        got = run(r, nn_device_name(other->device), other->device, &list[k]);
        compare_results(r, &got, &cpu, list[k].twice ? 2 : 1, errors);
        free_result(&got);
    }
    free_result(&cpu);
    free_reference(r);
}

void op_test_other(const op_suite *suite, const op_case *c, const op_other *other, op_errors *errors)
{
    op_case quick = *c;

    poison();
    quick.oracle = NULL; /* the CPU is that */
    compare_case(suite, &quick, 0, other, errors);
    compare_case(suite, &quick, 1, other, errors);
}

/* -------------------------------------------------------------- benchmarks */

static void bench_case(const op_case *c, const char *op, nn_device *device)
{
    struct reference *r;
    struct variant v = { .name = "bench" };
    op_case quick = *c;
    nn_model *m = NULL;
    nn_plan *p;
    nn_profile_row row[64];
    int64_t rows;
    unsigned what = c->no_backward ? NN_FORWARD : NN_GRADIENTS;
    double begin;

    quick.oracle = NULL;
    r = make_reference(&quick, 0);
    v.params = has_parameters(r);
    p = compile(r, &v, device, &m);
    feed(r, &v, m, p);
    for (int k = 0; k < 3; k++) {
        if (k == 2)
            nn_profile(p, 1);
        /* Once: filling it would let threads fall asleep, and what it holds does not matter here. */
        seed(r, &v, p);
        begin = nni_seconds();
        do {
            if (nn_run(p, what))
                FAIL("nn_run: %s", nn_plan_error(p));
        } while (k == 2 && nni_seconds() - begin < 0.5);
    }
    rows = nn_profile_rows(p, row, 64);
    for (int64_t i = 0; i < rows && i < 64; i++) {
        double seconds = row[i].runs ? row[i].seconds / (double)row[i].runs : 0;

        if (seconds > 0 && row[i].op && strcmp(row[i].op, "copy") != 0)
            printf("%-14s %-28s %-18s %-9s %10.4f ms %9.2f GFLOP/s %8.2f GB/s\n", op, c->name, row[i].op,
                   row[i].segment == NN_FORWARD ? "forward" : "backward", seconds * 1e3,
                   row[i].flops / seconds * 1e-9, row[i].bytes / seconds * 1e-9);
    }
    nn_plan_free(p);
    nn_model_free(m);
    free_reference(r);
}

static int bench(int argc, char **argv, const op_suite *suite)
{
    const char *isa = NULL;
    int threads = 0, large = 0;
    nn_device *device;

    for (int i = 1; i + 1 < argc; i++) {
        if (!strcmp(argv[i], "--isa"))
            isa = argv[i + 1];
        if (!strcmp(argv[i], "--threads"))
            threads = atoi(argv[i + 1]);
    }
    device = op_test_device(isa, threads);
    printf("# %s, %s, %d threads\n", nn_device_name(device), nn_device_isa(device),
           nn_device_threads(device));
    for (int i = 0; i < suite->count; i++)
        large += suite->cases[i].bench;
    for (int i = 0; i < suite->count; i++)
        if (!suite->cases[i].fails && (!large || suite->cases[i].bench))
            bench_case(&suite->cases[i], suite->name, device);
    nn_close(device);
    return 0;
}

/* -------------------------------------------------------------------- main */

static const op_suite *current;

START_TEST(one_case)
{
    if (!current->cases[_i].bench)
        op_test_run(&current->cases[_i]);
}
END_TEST

START_TEST(one_fused)
{
    if (!current->fused[_i].bench)
        op_test_fused(&current->fused[_i]);
}
END_TEST

int op_test_main(int argc, char **argv, const op_suite *suite)
{
    Suite *s;
    TCase *t;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--bench"))
            return bench(argc, argv, suite);
    current = suite;
    s = suite_create(suite->name);
    t = tcase_create("cases");
    tcase_set_timeout(t, 600);
    if (suite->count > 0)
        tcase_add_loop_test(t, one_case, 0, suite->count);
    if (suite->fused_count > 0)
        tcase_add_loop_test(t, one_fused, 0, suite->fused_count);
    if (suite->more)
        suite->more(t);
    suite_add_tcase(s, t);
    return suite_run(s);
}
