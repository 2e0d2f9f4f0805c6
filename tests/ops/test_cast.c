/* SPDX-License-Identifier: MIT
 *
 * Casts. What a 16-bit type keeps of a number is taken from its definition here (so many bits of
 * significand, rounded to even), not from the library's conversion.
 */
#include "op_test.h"

#include "base/base.h"

#include <math.h>

struct to {
    nn_dtype type;
    int there_and_back; /* cast to the type and back to NN_REAL: the derivative is 1 all the way */
};

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const struct to *to = c->extra;
    nn_tensor *y = nn_cast(g, in[0], to->type);

    return out[0] = to->there_and_back ? nn_cast(g, y, NN_REAL) : y;
}

/* x to `bits` of significand, to nearest even; normal numbers only. */
static double rounded(double x, int bits)
{
    int e;
    double m = frexp(x, &e);

    return ldexp(nearbyint(ldexp(m, bits)), e - bits);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const struct to *to = c->extra;

    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++) {
        double x = in[0][i];

        out[0][i] = to->type == NN_BF16  ? rounded((double)(float)x, 8)
                    : to->type == NN_F16 ? rounded((double)(float)x, 11)
                    : to->type == NN_F32 ? (double)(float)x
                                         : x;
    }
}

static const struct to real = { NN_REAL, 0 }, bf16 = { NN_BF16, 0 }, f16 = { NN_F16, 0 };
static const struct to through_bf16 = { NN_BF16, 1 }, through_f16 = { NN_F16, 1 };

static const op_case cases[] = {
    { .name = "bytes",
      .in = { { .shape = { { 2, 5, 7, 3 }, 4 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = &real,
      .no_backward = 1 },
    { .name = "many bytes",
      .in = { { .shape = { { 3, 9001 }, 2 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = &real,
      .no_backward = 1 },
    { .name = "to bfloat16",
      .in = { { .shape = { { 9000 }, 1 } } },
      .build = record,
      .oracle = oracle,
      .extra = &bf16,
      .no_backward = 1 },
    { .name = "to half",
      .in = { { .shape = { { 9000 }, 1 }, .low = 0.001, .high = 60000 } },
      .build = record,
      .oracle = oracle,
      .extra = &f16,
      .no_backward = 1 },
    { .name = "from bfloat16",
      .in = { { .shape = { { 77 }, 1 }, .type = NN_BF16 } },
      .build = record,
      .oracle = oracle,
      .extra = &real,
      .no_backward = 1 },
    { .name = "from half",
      .in = { { .shape = { { 77 }, 1 }, .type = NN_F16 } },
      .build = record,
      .oracle = oracle,
      .extra = &real,
      .no_backward = 1 },
    { .name = "bytes to bfloat16",
      .in = { { .shape = { { 300 }, 1 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = &bf16,
      .no_backward = 1 },
    { .name = "from integers",
      .in = { { .shape = { { 3 }, 1 }, .type = NN_I32 } },
      .build = record,
      .extra = &real,
      .fails = NN_ESHAPE,
      .says = "I32" },
    { .name = "bench bytes",
      .in = { { .shape = { { 32, 224, 224, 3 }, 4 }, .type = NN_U8 } },
      .build = record,
      .extra = &real,
      .no_backward = 1,
      .bench = 1 },
    { .name = "bench bfloat16",
      .in = { { .shape = { { 8, 112, 112, 32 }, 4 } } },
      .build = record,
      .extra = &through_bf16,
      .bench = 1 },
};

/* The difference quotient of a rounding says nothing; its derivative here is 1 by definition. What
 * comes back must be the seed, rounded once to the type in between. */
static void straight_through(const struct to *to, int bits)
{
    enum { N = 9000 };
    op_case c = { .extra = to };
    nn_device *device = op_test_device(NULL, 2);
    nn_graph *g = NULL;
    nn_plan *p = NULL;
    nn_tensor *x, *y[1] = { NULL }, *in[1];
    static nn_real data[N], grad[N], seed[N];
    nn_real *at;

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_TRAIN), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE1(N));
    in[0] = x;
    (void)record(g, &c, in, y);
    ck_assert_msg(
        nn_compile(&p, g, (nn_plan_opts){ .inputs = &x, .input_count = 1, .seeds = y, .seed_count = 1 }) ==
            NN_OK,
        "%s", nn_graph_error(g));
    for (int i = 0; i < N; i++) {
        data[i] = (nn_real)op_test_uniform(1, i, 0.5, 3);
        seed[i] = (nn_real)(float)op_test_uniform(2, i, 0.5, 3);
    }
    ck_assert_int_eq(nn_write(p, "x", data, sizeof data), NN_OK);
    at = nn_seed(p, 0);
    ck_assert_ptr_nonnull(at);
    for (int i = 0; i < N; i++)
        at[i] = seed[i];
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read_gradient(p, "x", NN_REAL, grad, N), NN_OK);
    for (int i = 0; i < N; i++)
        ck_assert_double_eq((double)grad[i], rounded((double)seed[i], bits));
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(device);
}

START_TEST(backward)
{
    straight_through(&through_bf16, 8);
    straight_through(&through_f16, 11);
}
END_TEST

START_TEST(same_type_is_no_node)
{
    nn_device *device = op_test_device(NULL, 1);
    nn_graph *g = NULL;
    nn_tensor *x;

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_EVAL), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE1(4));
    ck_assert_ptr_eq(nn_cast(g, x, NN_REAL), x);
    ck_assert_ptr_null(nn_cast(g, x, NN_I32));
    ck_assert_int_eq(nn_graph_status(g), NN_ESHAPE);
    nn_graph_free(g);
    nn_close(device);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, backward);
    tcase_add_test(t, same_type_is_no_node);
}

OP_TEST(cast, OP_CASES(cases), .more = more);
