/* SPDX-License-Identifier: MIT
 *
 * Cases that families of ops share: functions of one element, operands that broadcast, rows, totals,
 * reductions over axes, losses. The test of an op defines record() and oracle(), with the family's macro if
 * it has one, and begins its table with the family's cases.
 */
#ifndef CASES_H
#define CASES_H

#include "op_test.h"

#include <math.h>

/* record() of a call on g and in[]; k is the case's .extra. */
#define RECORD(call)                                                                                         \
    static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)           \
    {                                                                                                        \
        const double *k = c->extra;                                                                          \
                                                                                                             \
        (void)k;                                                                                             \
        return out[0] = (call);                                                                              \
    }

/* ---- one operand ---- */

/* record() and oracle() of a call on in[0] that makes `value` of each element x. */
#define UNARY(call, value)                                                                                   \
    RECORD(call)                                                                                             \
    static void oracle(const op_case *c, const double *const *in, double *const *out)                        \
    {                                                                                                        \
        const double *k = c->extra;                                                                          \
                                                                                                             \
        (void)k;                                                                                             \
        for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++) {                                       \
            double x = in[0][i];                                                                             \
                                                                                                             \
            out[0][i] = (value);                                                                             \
        }                                                                                                    \
    }

#define UNARY_CASES(least, most, constants)                                                                  \
    { .name = "a scalar",                                                                                    \
      .in = { { .shape = { { 0 }, 0 }, .low = least, .high = most } },                                       \
      .ins = 1,                                                                                              \
      .build = record,                                                                                       \
      .oracle = oracle,                                                                                      \
      .extra = constants },                                                                                  \
        { .name = "three",                                                                                   \
          .in = { { .shape = { { 3 }, 1 }, .low = least, .high = most } },                                   \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = constants },                                                                              \
        { .name = "odd",                                                                                     \
          .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .low = least, .high = most, .param = 1 } },              \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = constants },                                                                              \
        { .name = "rank 2",                                                                                  \
          .in = { { .shape = { { 4, 64 }, 2 }, .low = least, .high = most } },                               \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = constants },                                                                              \
        { .name = "several tiles",                                                                           \
          .in = { { .shape = { { 2, 29, 31, 23 }, 4 }, .low = least, .high = most } },                       \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = constants,                                                                                \
          .probes = 12 },                                                                                    \
        { .name = "bytes",                                                                                   \
          .in = { { .shape = { { 6 }, 1 }, .type = NN_U8 } },                                                \
          .build = record,                                                                                   \
          .extra = constants,                                                                                \
          .fails = NN_ESHAPE,                                                                                \
          .says = "U8" },                                                                                    \
    {                                                                                                        \
        .name = "b6", .in = { { .shape = { { 8, 112, 112, 56 }, 4 }, .low = least, .high = most } },         \
        .build = record, .extra = constants, .bench = 1                                                      \
    }

/* An activation that moves into the affine of a batch norm before it. */
#define FUSED_ACTIVATION(builder, reach)                                                                     \
    static nn_tensor *record_affine(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)    \
    {                                                                                                        \
        (void)c;                                                                                             \
        return out[0] = builder(g, nn_affine(g, in[0], in[1], in[2], in[3]));                                \
    }                                                                                                        \
    static const op_case fused[] = { { .name = "after an affine",                                            \
                                       .in = { { .shape = { { 2, 5, 5, 19 }, 4 } },                          \
                                               { .shape = { { 19 }, 1 } },                                   \
                                               { .shape = { { 19 }, 1 }, .low = -(reach), .high = reach },   \
                                               { .shape = { { 19 }, 1 } } },                                 \
                                       .build = record_affine } };

/* ---- operands that broadcast ---- */

/* The common shape of the first `count` inputs. */
static inline nn_shape common_shape(const op_case *c, int count)
{
    nn_shape y = { { 0 }, 0 };

    for (int k = 0; k < count; k++)
        y.rank = c->in[k].shape.rank > y.rank ? c->in[k].shape.rank : y.rank;
    for (int i = 1; i <= y.rank; i++) {
        y.dim[y.rank - i] = 1;
        for (int k = 0; k < count; k++) {
            nn_shape x = c->in[k].shape;

            if (i <= x.rank && x.dim[x.rank - i] > 1)
                y.dim[y.rank - i] = x.dim[x.rank - i];
        }
    }
    return y;
}

/* Where element `i` of the result finds its value in an operand. */
static inline int64_t source(nn_shape y, nn_shape operand, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int k = 1; k <= y.rank; k++) {
        int64_t index = i % y.dim[y.rank - k];

        i /= y.dim[y.rank - k];
        if (k > operand.rank)
            continue;
        at += operand.dim[operand.rank - k] == 1 ? 0 : index * step;
        step *= operand.dim[operand.rank - k];
    }
    return at;
}

/* record() and oracle() of a call on in[0] and in[1] that makes `value` of each a and b. */
#define BINARY(call, value)                                                                                  \
    RECORD(call)                                                                                             \
    static void oracle(const op_case *c, const double *const *in, double *const *out)                        \
    {                                                                                                        \
        nn_shape y = common_shape(c, 2);                                                                     \
                                                                                                             \
        for (int64_t i = 0; i < nn_shape_count(y); i++) {                                                    \
            double a = in[0][source(y, c->in[0].shape, i)], b = in[1][source(y, c->in[1].shape, i)];         \
                                                                                                             \
            out[0][i] = (value);                                                                             \
        }                                                                                                    \
    }

/* Every way in which two shapes can broadcast, for one tile and for several. The range is that of b. */
#define BROADCAST_CASES(least, most)                                                                         \
    { .name = "scalars",                                                                                     \
      .in = { { .shape = { { 0 }, 0 } }, { .shape = { { 0 }, 0 }, .low = least, .high = most } },            \
      .build = record,                                                                                       \
      .oracle = oracle,                                                                                      \
      .ins = 2 },                                                                                            \
        { .name = "equal",                                                                                   \
          .in = { { .shape = { { 2, 3, 3, 5 }, 4 }, .param = 1 },                                            \
                  { .shape = { { 2, 3, 3, 5 }, 4 }, .low = least, .high = most, .param = 1 } },              \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "equal, several tiles",                                                                    \
          .in = { { .shape = { { 3, 13, 11, 93 }, 4 } },                                                     \
                  { .shape = { { 3, 13, 11, 93 }, 4 }, .low = least, .high = most } },                       \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .probes = 10 },                                                                                    \
        { .name = "channels",                                                                                \
          .in = { { .shape = { { 2, 3, 3, 19 }, 4 }, .param = 1 },                                           \
                  { .shape = { { 19 }, 1 }, .low = least, .high = most, .param = 1 } },                      \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "channels first",                                                                          \
          .in = { { .shape = { { 33 }, 1 } },                                                                \
                  { .shape = { { 2, 7, 33 }, 3 }, .low = least, .high = most } },                            \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "channels, many rows",                                                                     \
          .in = { { .shape = { { 3, 23, 17, 31 }, 4 } },                                                     \
                  { .shape = { { 31 }, 1 }, .low = least, .high = most } },                                  \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .probes = 10 },                                                                                    \
        { .name = "gate",                                                                                    \
          .in = { { .shape = { { 3, 5, 4, 37 }, 4 }, .param = 1 },                                           \
                  { .shape = { { 3, 1, 1, 37 }, 4 }, .low = least, .high = most, .param = 1 } },             \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "gate, many rows",                                                                         \
          .in = { { .shape = { { 2, 29, 23, 17 }, 4 } },                                                     \
                  { .shape = { { 2, 1, 1, 17 }, 4 }, .low = least, .high = most } },                         \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .probes = 10 },                                                                                    \
        { .name = "gate first",                                                                              \
          .in = { { .shape = { { 3, 1, 1, 6 }, 4 } },                                                        \
                  { .shape = { { 3, 5, 4, 6 }, 4 }, .low = least, .high = most } },                          \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "mask",                                                                                    \
          .in = { { .shape = { { 4, 5, 3, 7 }, 4 }, .param = 1 },                                            \
                  { .shape = { { 4, 1, 1, 1 }, 4 }, .low = least, .high = most, .param = 1 } },              \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "mask, long rows",                                                                         \
          .in = { { .shape = { { 2, 41, 29, 31 }, 4 } },                                                     \
                  { .shape = { { 2, 1, 1, 1 }, 4 }, .low = least, .high = most } },                          \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .probes = 10 },                                                                                    \
        { .name = "mask first",                                                                              \
          .in = { { .shape = { { 4, 1, 1, 1 }, 4 } },                                                        \
                  { .shape = { { 4, 5, 3, 7 }, 4 }, .low = least, .high = most } },                          \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "scalar",                                                                                  \
          .in = { { .shape = { { 3, 4, 5 }, 3 } }, { .shape = { { 0 }, 0 }, .low = least, .high = most } },  \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .ins = 2 },                                                                                        \
        { .name = "scalar, much",                                                                            \
          .in = { { .shape = { { 0 }, 0 } },                                                                 \
                  { .shape = { { 3, 77, 331 }, 3 }, .low = least, .high = most } },                          \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .ins = 2,                                                                                          \
          .probes = 10 },                                                                                    \
        { .name = "outer",                                                                                   \
          .in = { { .shape = { { 9, 1 }, 2 }, .param = 1 },                                                  \
                  { .shape = { { 1, 35 }, 2 }, .low = least, .high = most, .param = 1 } },                   \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "outer, large",                                                                            \
          .in = { { .shape = { { 300, 1 }, 2 } }, { .shape = { { 301 }, 1 }, .low = least, .high = most } }, \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .probes = 10 },                                                                                    \
        { .name = "interleaved",                                                                             \
          .in = { { .shape = { { 3, 1, 4, 1, 5 }, 5 } },                                                     \
                  { .shape = { { 2, 1, 6, 1 }, 4 }, .low = least, .high = most } },                          \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "interleaved, last dimension repeated",                                                    \
          .in = { { .shape = { { 5, 3, 1, 4, 1 }, 5 } },                                                     \
                  { .shape = { { 3, 7, 1, 6 }, 4 }, .low = least, .high = most } },                          \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "rank 8",                                                                                  \
          .in = { { .shape = { { 2, 1, 3, 1, 2, 1, 3, 1 }, 8 } },                                            \
                  { .shape = { { 1, 2, 1, 3, 1, 2, 1, 2 }, 8 }, .low = least, .high = most } },              \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "rows of one",                                                                             \
          .in = { { .shape = { { 500, 3 }, 2 } },                                                            \
                  { .shape = { { 500, 1 }, 2 }, .low = least, .high = most } },                              \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "do not fit",                                                                              \
          .in = { { .shape = { { 2, 3 }, 2 } }, { .shape = { { 3, 2 }, 2 }, .low = least, .high = most } },  \
          .build = record,                                                                                   \
          .fails = NN_ESHAPE,                                                                                \
          .says = "[2,3] and [3,2] do not broadcast" },                                                      \
        { .name = "bytes",                                                                                   \
          .in = { { .shape = { { 3 }, 1 } },                                                                 \
                  { .shape = { { 3 }, 1 }, .low = least, .high = most, .type = NN_U8 } },                    \
          .build = record,                                                                                   \
          .fails = NN_ESHAPE,                                                                                \
          .says = "U8" },                                                                                    \
        { .name = "b6 gate",                                                                                 \
          .in = { { .shape = { { 8, 28, 28, 432 }, 4 } },                                                    \
                  { .shape = { { 8, 1, 1, 432 }, 4 }, .low = least, .high = most } },                        \
          .build = record,                                                                                   \
          .bench = 1 },                                                                                      \
    {                                                                                                        \
        .name = "b6 equal",                                                                                  \
        .in = { { .shape = { { 8, 28, 28, 72 }, 4 } },                                                       \
                { .shape = { { 8, 28, 28, 72 }, 4 }, .low = least, .high = most } },                         \
        .build = record, .bench = 1                                                                          \
    }

/* ---- rows: over the last dimension ---- */

static inline void rows_log_softmax(const op_case *c, const double *from, double *to)
{
    nn_shape shape = c->in[0].shape;
    int64_t n = shape.dim[shape.rank - 1], rows = nn_shape_count(shape) / n;

    for (int64_t r = 0; r < rows; r++) {
        const double *x = from + r * n;
        double most = x[0], sum = 0;

        for (int64_t e = 0; e < n; e++)
            most = fmax(most, x[e]);
        for (int64_t e = 0; e < n; e++)
            sum += exp(x[e] - most);
        for (int64_t e = 0; e < n; e++)
            to[r * n + e] = x[e] - most - log(sum);
    }
}

/* Large and small, not a number, minus infinity. */
static const double rows_far[8] = { 1000, 1001, 999, 1002, -5000, -5001, -4999, -5000.5 };
static const double rows_lost[6] = { 1, NAN, 2, 1, 2, 3 };
static const double rows_masked[6] = { 1, -INFINITY, 2, 1, 2, 3 };

#define ROW_CASES                                                                                            \
    { .name = "two classes",                                                                                 \
      .in = { { .shape = { { 5, 2 }, 2 }, .low = -4, .high = 4 } },                                          \
      .build = record,                                                                                       \
      .oracle = oracle },                                                                                    \
        { .name = "one class", .in = { { .shape = { { 5, 1 }, 2 } } }, .build = record, .oracle = oracle },  \
        { .name = "a row",                                                                                   \
          .in = { { .shape = { { 7 }, 1 }, .param = 1 } },                                                   \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "several tiles",                                                                           \
          .in = { { .shape = { { 9, 1000 }, 2 }, .low = -9, .high = 9 } },                                   \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "four dimensions",                                                                         \
          .in = { { .shape = { { 2, 3, 4, 5 }, 4 } } },                                                      \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "large and small logits",                                                                  \
          .in = { { .shape = { { 2, 4 }, 2 }, .values = rows_far } },                                        \
          .build = record,                                                                                   \
          .oracle = oracle },                                                                                \
        { .name = "NaN stays in its row",                                                                    \
          .in = { { .shape = { { 2, 3 }, 2 }, .values = rows_lost } },                                       \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .no_backward = 1 },                                                                                \
        { .name = "minus infinity",                                                                          \
          .in = { { .shape = { { 2, 3 }, 2 }, .values = rows_masked } },                                     \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .no_backward = 1 },                                                                                \
        { .name = "a scalar",                                                                                \
          .in = { { .shape = { { 0 }, 0 } } },                                                               \
          .ins = 1,                                                                                          \
          .build = record,                                                                                   \
          .fails = NN_ESHAPE,                                                                                \
          .says = "last dimension" },                                                                        \
    {                                                                                                        \
        .name = "bench 1000 classes", .in = { { .shape = { { 256, 1000 }, 2 }, .low = -9, .high = 9 } },     \
        .build = record, .bench = 1                                                                          \
    }

/* ---- reductions over axes ---- */

/* What such a case has as .extra. */
struct axes_extra {
    nn_reduce_opts opts;
    int64_t correction;
};

/* record() of a call that takes the options o and the correction n. */
#define RECORD_AXES(call)                                                                                    \
    static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)           \
    {                                                                                                        \
        nn_reduce_opts o = ((const struct axes_extra *)c->extra)->opts;                                      \
        int64_t n = ((const struct axes_extra *)c->extra)->correction;                                       \
                                                                                                             \
        (void)n;                                                                                             \
        return out[0] = (call);                                                                              \
    }

/* The shape of the input with reduced dimensions as 1. */
static inline nn_shape kept_shape(const op_case *c)
{
    nn_shape y = c->in[0].shape;
    uint32_t axes = ((const struct axes_extra *)c->extra)->opts.axes;

    for (int i = 0; i < y.rank; i++)
        if (!axes || axes & NN_AXIS(i) || axes & NN_AXIS(i - y.rank))
            y.dim[i] = 1;
    return y;
}

/* In oracle(): results begin as `first`; each element x makes its result *y `fold`. */
#define FOLD(first, fold)                                                                                    \
    do {                                                                                                     \
        nn_shape from = c->in[0].shape, to = kept_shape(c);                                                  \
                                                                                                             \
        for (int64_t i = 0; i < nn_shape_count(to); i++)                                                     \
            out[0][i] = (first);                                                                             \
        for (int64_t i = 0; i < nn_shape_count(from); i++) {                                                 \
            double *y = &out[0][source(from, to, i)], x = in[0][i];                                          \
                                                                                                             \
            *y = (fold);                                                                                     \
        }                                                                                                    \
    } while (0)

/* How many elements make one of the result. */
static inline double each(const op_case *c)
{
    return (double)nn_shape_count(c->in[0].shape) / (double)nn_shape_count(kept_shape(c));
}

static const struct axes_extra axes_all = { { 0 }, 0 }, axes_all_kept = { { .keep = 1 }, 1 };
static const struct axes_extra axes_last = { { .axes = NN_AXIS(-1) }, 1 };
static const struct axes_extra axes_first = { { .axes = NN_AXIS(0) }, 0 };
static const struct axes_extra axes_plane = { { .axes = NN_AXIS(1) | NN_AXIS(2), .keep = 1 }, 1 };
static const struct axes_extra axes_ends = { { .axes = NN_AXIS(0) | NN_AXIS(-1) }, 0 };
static const struct axes_extra axes_rows = { { .axes = NN_AXIS(0) | NN_AXIS(1) | NN_AXIS(2) }, 1 };
static const struct axes_extra axes_wrong = { { .axes = NN_AXIS(4) }, 0 };

#define AXES(what, extra_, probes_, rank_, ...)                                                              \
    {                                                                                                        \
        .name = what, .in = { { .shape = { __VA_ARGS__, rank_ }, .param = 1 } }, .build = record,            \
        .oracle = oracle, .extra = &extra_, .probes = probes_                                                \
    }

#define AXES_CASES                                                                                           \
    AXES("everything", axes_all, 0, 3, { 3, 4, 5 }),                                                         \
        AXES("everything, dimensions kept", axes_all_kept, 0, 2, { 7, 11 }),                                 \
        AXES("everything, several tiles", axes_all, 12, 2, { 37, 2011 }),                                    \
        AXES("last", axes_last, 0, 2, { 9, 21 }), AXES("last, long rows", axes_last, 12, 2, { 3, 40009 }),   \
        AXES("last, many rows", axes_last, 12, 2, { 3001, 3 }), AXES("first", axes_first, 0, 2, { 19, 6 }),  \
        AXES("first, long", axes_first, 12, 2, { 5003, 5 }),                                                 \
        AXES("plane", axes_plane, 0, 4, { 3, 5, 4, 7 }),                                                     \
        AXES("plane, several tiles", axes_plane, 12, 4, { 2, 41, 37, 19 }),                                  \
        AXES("both ends", axes_ends, 0, 3, { 3, 4, 5 }), AXES("rows", axes_rows, 12, 4, { 2, 19, 17, 33 }),  \
        AXES("one element each", axes_first, 0, 2, { 1, 6 }),                                                \
        { .name = "no such axis",                                                                            \
          .in = { { .shape = { { 2, 3 }, 2 } } },                                                            \
          .build = record,                                                                                   \
          .extra = &axes_wrong,                                                                              \
          .fails = NN_ESHAPE,                                                                                \
          .says = "are not all dimensions of [2,3]" },                                                       \
        { .name = "b6 plane",                                                                                \
          .in = { { .shape = { { 8, 56, 56, 192 }, 4 } } },                                                  \
          .build = record,                                                                                   \
          .extra = &axes_plane,                                                                              \
          .bench = 1 },                                                                                      \
    {                                                                                                        \
        .name = "last", .in = { { .shape = { { 4096, 1000 }, 2 } } }, .build = record, .extra = &axes_last,  \
        .bench = 1                                                                                           \
    }

/* Sums: only those in double come out right where large numbers cancel. */
static const double cancelling[6] = { 16777216, 3, -16777216, 5, 1048576, -1048576 };

#define SUM_CASES                                                                                            \
    AXES_CASES,                                                                                              \
        { .name = "a scalar",                                                                                \
          .in = { { .shape = { { 0 }, 0 } } },                                                               \
          .ins = 1,                                                                                          \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = &axes_all },                                                                              \
        { .name = "cancelling",                                                                              \
          .in = { { .shape = { { 6 }, 1 }, .values = cancelling } },                                         \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = &axes_all,                                                                                \
          .no_backward = 1 },                                                                                \
        { .name = "bytes",                                                                                   \
          .in = { { .shape = { { 6 }, 1 }, .type = NN_U8 } },                                                \
          .build = record,                                                                                   \
          .extra = &axes_all,                                                                                \
          .fails = NN_ESHAPE,                                                                                \
          .says = "U8" },                                                                                    \
    {                                                                                                        \
        .name = "everything", .in = { { .shape = { { 8, 112, 112, 32 }, 4 } } }, .build = record,            \
        .extra = &axes_all, .bench = 1                                                                       \
    }

/* ---- losses ---- */

/* What such a case has as .extra: the constant that some losses have. */
struct loss_extra {
    nn_reduction reduction;
    double k;
};

/* record() and oracle() of a call on in[0], in[1], a reduction r and a constant k that makes `value` of each
 * prediction x, target t and, where there is a third input, weight w. */
#define LOSS(call, value, constant)                                                                          \
    static const struct loss_extra loss_mean = { NN_REDUCE_MEAN, constant };                                 \
    static const struct loss_extra loss_sum = { NN_REDUCE_SUM, constant };                                   \
    static const struct loss_extra loss_batch_mean = { NN_REDUCE_BATCH_MEAN, constant };                     \
    static const struct loss_extra loss_none = { NN_REDUCE_NONE, constant };                                 \
                                                                                                             \
    static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)           \
    {                                                                                                        \
        const struct loss_extra *extra = c->extra;                                                           \
        nn_reduction r = extra->reduction;                                                                   \
        double k = extra->k;                                                                                 \
                                                                                                             \
        (void)k;                                                                                             \
        return out[0] = (call);                                                                              \
    }                                                                                                        \
                                                                                                             \
    static void oracle(const op_case *c, const double *const *in, double *const *out)                        \
    {                                                                                                        \
        const struct loss_extra *extra = c->extra;                                                           \
        nn_reduction r = extra->reduction;                                                                   \
        nn_shape shape = c->in[0].shape;                                                                     \
        int64_t n = nn_shape_count(shape);                                                                   \
        double k = extra->k, sum = 0;                                                                        \
                                                                                                             \
        (void)k;                                                                                             \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            double x = in[0][i], t = in[1][i], w = in[2] ? in[2][source(shape, c->in[2].shape, i)] : 1;      \
            double loss = (value);                                                                           \
                                                                                                             \
            (void)w;                                                                                         \
            sum += loss;                                                                                     \
            if (r == NN_REDUCE_NONE)                                                                         \
                out[0][i] = loss;                                                                            \
        }                                                                                                    \
        if (r != NN_REDUCE_NONE)                                                                             \
            out[0][0] = r == NN_REDUCE_MEAN  ? sum / (double)n                                               \
                        : r == NN_REDUCE_SUM ? sum                                                           \
                                             : sum / (double)shape.dim[0];                                   \
    }

#define LOSS_CASE(what, options, probes_, least, most, rank_, ...)                                           \
    {                                                                                                        \
        .name = what,                                                                                        \
        .in = { { .shape = { __VA_ARGS__, rank_ }, .low = -4, .high = 4, .param = 1 },                       \
                { .shape = { __VA_ARGS__, rank_ }, .low = least, .high = most } },                           \
        .build = record, .oracle = oracle, .extra = &options, .probes = probes_                              \
    }

/* The range is that of the target. */
#define LOSS_CASES(least, most)                                                                              \
    LOSS_CASE("mean", loss_mean, 0, least, most, 2, { 5, 7 }),                                               \
        LOSS_CASE("sum", loss_sum, 0, least, most, 3, { 2, 3, 5 }),                                          \
        LOSS_CASE("batch mean", loss_batch_mean, 0, least, most, 2, { 5, 7 }),                               \
        LOSS_CASE("not reduced", loss_none, 0, least, most, 2, { 3, 19 }),                                   \
        LOSS_CASE("not reduced, several tiles", loss_none, 10, least, most, 2, { 3, 23011 }),                \
        LOSS_CASE("mean, several tiles", loss_mean, 10, least, most, 4, { 2, 29, 31, 23 }),                  \
        { .name = "mean of a scalar",                                                                        \
          .in = { { .shape = { { 0 }, 0 } }, { .shape = { { 0 }, 0 }, .low = least, .high = most } },        \
          .ins = 2,                                                                                          \
          .build = record,                                                                                   \
          .oracle = oracle,                                                                                  \
          .extra = &loss_mean },                                                                             \
        { .name = "batch mean of a scalar",                                                                  \
          .in = { { .shape = { { 0 }, 0 } }, { .shape = { { 0 }, 0 } } },                                    \
          .ins = 2,                                                                                          \
          .build = record,                                                                                   \
          .extra = &loss_batch_mean,                                                                         \
          .fails = NN_ESHAPE,                                                                                \
          .says = "at least 1 dimension" },                                                                  \
        { .name = "another shape",                                                                           \
          .in = { { .shape = { { 2, 3 }, 2 } }, { .shape = { { 3 }, 1 } } },                                 \
          .build = record,                                                                                   \
          .extra = &loss_mean,                                                                               \
          .fails = NN_ESHAPE,                                                                                \
          .says = "prediction [2,3] and target [3]" },                                                       \
    {                                                                                                        \
        .name = "images",                                                                                    \
        .in = { { .shape = { { 8, 224, 224, 3 }, 4 } },                                                      \
                { .shape = { { 8, 224, 224, 3 }, 4 }, .low = least, .high = most } },                        \
        .build = record, .extra = &loss_mean, .bench = 1                                                     \
    }

#endif
