/* SPDX-License-Identifier: MIT
 *
 * Cross entropy against its definition, in all combinations of target, smoothing and weights; and
 * against numbers of torch.nn.CrossEntropyLoss (PyTorch 2), which fix the definition itself.
 */
#include "op_test.h"

#include <math.h>

struct options {
    double smoothing;
    int ignore;
    int32_t ignore_index;
};

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const struct options *o = c->extra;

    return out[0] = nn_cross_entropy(g, in[0], in[1],
                                     (nn_ce_opts){ .smoothing = o->smoothing,
                                                   .class_weights = in[2],
                                                   .ignore = o->ignore,
                                                   .ignore_index = o->ignore_index });
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const struct options *o = c->extra;
    nn_shape shape = c->in[0].shape;
    int64_t classes = shape.dim[shape.rank - 1], rows = nn_shape_count(shape) / classes;
    int indices = c->in[1].type == NN_I32;
    double loss = 0, smooth = 0, divisor = 0;

    for (int64_t r = 0; r < rows; r++) {
        const double *z = in[0] + r * classes;
        int64_t y = indices ? (int64_t)in[1][r] : 0;
        double sum = 0;

        if (o->ignore && y == o->ignore_index)
            continue;
        if (indices && (y < 0 || y >= classes)) {
            out[0][0] = NAN;
            return;
        }
        for (int64_t k = 0; k < classes; k++)
            sum += exp(z[k] - z[0]);
        divisor += indices ? (in[2] ? in[2][y] : 1) : 1;
        for (int64_t k = 0; k < classes; k++) {
            double l = z[k] - z[0] - log(sum), w = in[2] ? in[2][k] : 1;

            smooth -= w * l;
            if (indices)
                loss -= k == y ? w * l : 0;
            else
                loss -= w * l * in[1][r * classes + k];
        }
    }
    out[0][0] = ((1 - o->smoothing) * loss + o->smoothing / (double)classes * smooth) / divisor;
}

static const struct options plain = { 0 }, tenth = { .smoothing = 0.1 }, one = { .smoothing = 1 };
static const struct options without = { 0, 1, -100 }, without_2 = { 0.1, 1, 2 };

#define LOGITS(n, c)                                                                                         \
    {                                                                                                        \
        .shape = { { n, c }, 2 }, .low = -3, .high = 3                                                       \
    }
#define INDICES(n, c)                                                                                        \
    {                                                                                                        \
        .shape = { { n }, 1 }, .type = NN_I32, .low = 0, .high = (c)-1                                       \
    }
#define CHANCES(n, c)                                                                                        \
    {                                                                                                        \
        .shape = { { n, c }, 2 }, .simplex = 1                                                               \
    }
#define WEIGHTS(c)                                                                                           \
    {                                                                                                        \
        .shape = { { c }, 1 }, .low = 0.5, .high = 2, .no_grad = 1                                           \
    }
#define NO_WEIGHTS                                                                                           \
    {                                                                                                        \
        .absent = 1                                                                                          \
    }
static const double some[6] = { 0, -100, 3, -100, -100, 4 }, none[4] = { 2, 2, 2, 2 };
static const double low[4] = { 0, -1, 2, 1 }, high[4] = { 0, 5, 2, 1 };
static const double distant[6] = { 900, 901, 899, -900, -905, -902 };

static const op_case cases[] = {
    { .name = "indices",
      .in = { LOGITS(4, 5), INDICES(4, 5), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &plain,
      .expect = { { { 0 }, 0 } } },
    { .name = "indices, smoothing",
      .in = { LOGITS(4, 5), INDICES(4, 5), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &tenth },
    { .name = "indices, weights",
      .in = { LOGITS(4, 5), INDICES(4, 5), WEIGHTS(5) },
      .build = record,
      .oracle = oracle,
      .extra = &plain },
    { .name = "indices, smoothing, weights",
      .in = { LOGITS(6, 3), INDICES(6, 3), WEIGHTS(3) },
      .build = record,
      .oracle = oracle,
      .extra = &tenth },
    { .name = "chances",
      .in = { LOGITS(4, 5), CHANCES(4, 5), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &plain },
    { .name = "chances, smoothing",
      .in = { LOGITS(4, 5), CHANCES(4, 5), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &tenth },
    { .name = "chances, weights",
      .in = { LOGITS(4, 5), CHANCES(4, 5), WEIGHTS(5) },
      .build = record,
      .oracle = oracle,
      .extra = &plain },
    { .name = "chances, smoothing, weights",
      .in = { LOGITS(7, 2), CHANCES(7, 2), WEIGHTS(2) },
      .build = record,
      .oracle = oracle,
      .extra = &tenth },
    { .name = "indices of pixels, weights",
      .in = { { .shape = { { 2, 3, 2, 5 }, 4 }, .low = -3, .high = 3 },
              { .shape = { { 2, 3, 2 }, 3 }, .type = NN_I32, .low = 0, .high = 4 },
              WEIGHTS(5) },
      .build = record,
      .oracle = oracle,
      .extra = &tenth },
    { .name = "chances of tokens",
      .in = { { .shape = { { 2, 6, 3 }, 3 }, .low = -3, .high = 3 },
              { .shape = { { 2, 6, 3 }, 3 }, .simplex = 1 },
              NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &plain },
    { .name = "one sample, one class",
      .in = { LOGITS(1, 1), { .shape = { { 1 }, 1 }, .type = NN_I32, .values = low }, NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &tenth },
    { .name = "several tiles",
      .in = { LOGITS(30, 1000), INDICES(30, 1000), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &tenth,
      .probes = 20 },
    { .name = "many rows",
      .in = { LOGITS(3000, 2), CHANCES(3000, 2), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &tenth,
      .probes = 20 },
    { .name = "large logits",
      .in = { { .shape = { { 2, 3 }, 2 }, .values = distant }, INDICES(2, 3), NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &plain },
    { .name = "index below",
      .in = { LOGITS(4, 5), { .shape = { { 4 }, 1 }, .type = NN_I32, .values = low }, NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &plain,
      .no_backward = 1 },
    { .name = "index above",
      .in = { LOGITS(4, 5), { .shape = { { 4 }, 1 }, .type = NN_I32, .values = high }, NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &tenth,
      .no_backward = 1 },
    { .name = "some ignored",
      .in = { LOGITS(6, 5), { .shape = { { 6 }, 1 }, .type = NN_I32, .values = some }, NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &without },
    { .name = "a class ignored, smoothing, weights, several tiles",
      .in = { LOGITS(400, 5), INDICES(400, 5), WEIGHTS(5) },
      .build = record,
      .oracle = oracle,
      .extra = &without_2,
      .probes = 20 },
    { .name = "all ignored",
      .in = { LOGITS(4, 5), { .shape = { { 4 }, 1 }, .type = NN_I32, .values = none }, NO_WEIGHTS },
      .build = record,
      .oracle = oracle,
      .extra = &without_2,
      .no_backward = 1 },
    { .name = "chances to ignore",
      .in = { LOGITS(4, 5), CHANCES(4, 5), NO_WEIGHTS },
      .build = record,
      .extra = &without,
      .fails = NN_ESHAPE,
      .says = "ignore_index" },
    { .name = "smoothing 1",
      .in = { LOGITS(4, 5), INDICES(4, 5), NO_WEIGHTS },
      .build = record,
      .extra = &one,
      .fails = NN_ESHAPE,
      .says = "[0,1)" },
    { .name = "too few indices",
      .in = { LOGITS(4, 5), INDICES(3, 5), NO_WEIGHTS },
      .build = record,
      .extra = &plain,
      .fails = NN_ESHAPE,
      .says = "[3]" },
    { .name = "too few weights",
      .in = { LOGITS(4, 5), INDICES(4, 5), WEIGHTS(4) },
      .build = record,
      .extra = &plain,
      .fails = NN_ESHAPE,
      .says = "class weights" },
    { .name = "logits of rank 1",
      .in = { { .shape = { { 5 }, 1 } }, INDICES(5, 5), NO_WEIGHTS },
      .build = record,
      .extra = &plain,
      .fails = NN_ESHAPE,
      .says = "logits" },
    { .name = "bench 1000 classes",
      .in = { LOGITS(256, 1000), INDICES(256, 1000), NO_WEIGHTS },
      .build = record,
      .extra = &tenth,
      .bench = 1 },
};

START_TEST(index_out_of_range_spoils_gradients)
{
    nn_device *device = op_test_device(NULL, 1);
    nn_graph *g = NULL;
    nn_plan *p = NULL;
    nn_real z[6] = { 1, 2, 3, 4, 5, 6 }, d[6];
    int32_t y[2] = { 0, 3 };
    nn_tensor *x, *loss;

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_TRAIN), NN_OK);
    x = nn_input(g, "z", NN_REAL, NN_SHAPE2(2, 3));
    loss = nn_cross_entropy(g, x, nn_input(g, "y", NN_I32, NN_SHAPE1(2)), (nn_ce_opts){ .smoothing = 0 });
    ck_assert_msg(nn_compile(&p, g, (nn_plan_opts){ .loss = loss, .inputs = &x, .input_count = 1 }) == NN_OK,
                  "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_write(p, "z", z, sizeof z), NN_OK);
    ck_assert_int_eq(nn_write(p, "y", y, sizeof y), NN_OK);
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert(isnan(nn_loss(p)));
    ck_assert_int_eq(nn_read_gradient(p, "z", NN_REAL, d, 6), NN_OK);
    for (int i = 0; i < 6; i++)
        ck_assert(isnan((double)d[i]));
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(device);
}
END_TEST

/* Loss and gradient of torch.nn.functional.cross_entropy (PyTorch 2, float64) on the numbers below. */
struct golden {
    int chances, weighted;
    double smoothing, loss, grad[6];
};
static const struct golden golden[] = {
    { 0,
      0,
      0.0,
      0.5418165518731914,
      { 0.3018744480743129, 0.015029443784787011, -0.3169038918590999, 0.029534878796255118,
        -0.037996763246066545, 0.008461884449811405 } },
    { 0,
      0,
      0.1,
      0.6876498852065247,
      { 0.28520778140764624, -0.001637222881879655, -0.28357055852576657, 0.012868212129588451,
        -0.004663429912733219, -0.008204782216855262 } },
    { 0,
      1,
      0.0,
      0.43502108638032416,
      { 0.23221111390331764, 0.011561110603682317, -0.24377222450699992, 0.03635062005692938,
        -0.046765247072081906, 0.010414627015152498 } },
    { 0,
      1,
      0.1,
      0.5472997381427938,
      { 0.2270829087751125, -0.008951709909138196, -0.21813119886597426, 0.029859266676589398,
        -0.027062832358160947, -0.002796434318428541 } },
    { 1,
      0,
      0.0,
      2.1043165518731914,
      { 0.2018744480743129, -0.13497055621521298, -0.0669038918590999, -0.4204651212037449,
        0.41200323675393347, 0.008461884449811405 } },
    { 1,
      0,
      0.1,
      2.093899885206525,
      { 0.19520778140764622, -0.13663722288187966, -0.058570558525766564, -0.3921317878704116,
        0.40033657008726686, -0.00820478221685526 } },
    { 1,
      1,
      0.0,
      2.034982213258095,
      { 0.3499836436984646, -0.2800859869851572, -0.06989765671330737, -0.20580232878243418,
        0.20030210389005676, 0.005500224892377413 } },
    { 1,
      1,
      0.1,
      2.084627727583101,
      { 0.3443862520045739, -0.28353204114687647, -0.06085421085769745, -0.1898635693879922,
        0.20468896476195944, -0.014825395373967234 } },
};

START_TEST(as_torch)
{
    static const nn_real z[6] = { 1, -2, (nn_real)0.5, (nn_real)0.25, 3, -1 };
    static const nn_real chances[6] = { (nn_real)0.2, (nn_real)0.3, (nn_real)0.5,
                                        (nn_real)0.9, (nn_real)0.1, 0 };
    static const nn_real weights[3] = { (nn_real)0.5, 2, (nn_real)1.25 };
    static const int32_t indices[2] = { 2, 1 };
    const double bound = sizeof(nn_real) == 8 ? 1e-14 : 4e-7;
    const struct golden *o = &golden[_i];
    nn_device *device = op_test_device(NULL, 1);
    nn_graph *g = NULL;
    nn_plan *p = NULL;
    nn_tensor *x, *t, *loss;
    nn_real d[6];

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_TRAIN), NN_OK);
    x = nn_input(g, "z", NN_REAL, NN_SHAPE2(2, 3));
    t = o->chances ? nn_input(g, "t", NN_REAL, NN_SHAPE2(2, 3)) : nn_input(g, "t", NN_I32, NN_SHAPE1(2));
    loss = nn_cross_entropy(
        g, x, t,
        (nn_ce_opts){ .smoothing = o->smoothing,
                      .class_weights = o->weighted ? nn_input(g, "w", NN_REAL, NN_SHAPE1(3)) : NULL });
    ck_assert_msg(nn_compile(&p, g, (nn_plan_opts){ .loss = loss, .inputs = &x, .input_count = 1 }) == NN_OK,
                  "%s", nn_graph_error(g));
    ck_assert_int_eq(nn_write(p, "z", z, sizeof z), NN_OK);
    ck_assert_int_eq(o->chances ? nn_write(p, "t", chances, sizeof chances)
                                : nn_write(p, "t", indices, sizeof indices),
                     NN_OK);
    if (o->weighted)
        ck_assert_int_eq(nn_write(p, "w", weights, sizeof weights), NN_OK);
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_double_eq_tol(nn_loss(p), o->loss, bound);
    ck_assert_int_eq(nn_read_gradient(p, "z", NN_REAL, d, 6), NN_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq_tol((double)d[i], o->grad[i], bound);
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(device);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, index_out_of_range_spoils_gradients);
    tcase_add_loop_test(t, as_torch, 0, OP_COUNT(golden));
}

OP_TEST(cross_entropy, OP_CASES(cases), .more = more);
