/* SPDX-License-Identifier: MIT
 *
 * gather along every axis with indices of several ranks, entries that are used often and never, and as
 * an embedding; indices out of range.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    return out[0] =
               c->extra ? nn_gather(g, in[0], in[1], *(const int *)c->extra) : nn_embedding(g, in[0], in[1]);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    int axis = c->extra ? (*(const int *)c->extra + x.rank) % x.rank : 0;
    int64_t outer = 1, inner = 1, chosen = nn_shape_count(c->in[1].shape);

    for (int k = 0; k < axis; k++)
        outer *= x.dim[k];
    for (int k = axis + 1; k < x.rank; k++)
        inner *= x.dim[k];
    for (int64_t e = 0; e < outer * chosen * inner; e++) {
        int64_t v = (int64_t)in[1][e / inner % chosen];

        out[0][e] = in[0][(e / inner / chosen * x.dim[axis] + v) * inner + e % inner];
    }
}

#define ALONG(k)                                                                                             \
    .build = record, .oracle = oracle, .extra = &(const int) { k }
#define INDEX(t, most, ...)                                                                                  \
    {                                                                                                        \
        .shape = __VA_ARGS__, .type = t, .low = 0, .high = most                                              \
    }

static const op_case cases[] = {
    { .name = "rows",
      .in = { { .shape = { { 5, 4 }, 2 }, .param = 1 }, INDEX(NN_I32, 4, { { 7 }, 1 }) },
      ALONG(0),
      .expect = { { { 7, 4 }, 2 } } },
    { .name = "columns",
      .in = { { .shape = { { 3, 6 }, 2 } }, INDEX(NN_I64, 5, { { 4 }, 1 }) },
      ALONG(-1),
      .expect = { { { 3, 4 }, 2 } } },
    { .name = "between, an index of two dimensions",
      .in = { { .shape = { { 2, 5, 3 }, 3 } }, INDEX(NN_I32, 4, { { 2, 3 }, 2 }) },
      ALONG(1),
      .expect = { { { 2, 2, 3, 3 }, 4 } } },
    { .name = "a single one",
      .in = { { .shape = { { 4, 3 }, 2 } },
              { .shape = { { 1 }, 1 }, .type = NN_I32, .values = (const double[]){ 2 } } },
      ALONG(0) },
    { .name = "embedding",
      .in = { { .shape = { { 11, 6 }, 2 }, .param = 1 }, INDEX(NN_I32, 10, { { 3, 5 }, 2 }) },
      .build = record,
      .oracle = oracle,
      .expect = { { { 3, 5, 6 }, 3 } } },
    { .name = "several tiles",
      .in = { { .shape = { { 3, 70, 300 }, 3 } }, INDEX(NN_I32, 69, { { 200 }, 1 }) },
      ALONG(1),
      .probes = 8 },
    { .name = "an index of real numbers",
      .in = { { .shape = { { 4, 3 }, 2 } }, { .shape = { { 2 }, 1 } } },
      ALONG(0),
      .fails = NN_ESHAPE,
      .says = "I32 or I64" },
    { .name = "no such axis",
      .in = { { .shape = { { 4, 3 }, 2 } }, INDEX(NN_I32, 1, { { 2 }, 1 }) },
      ALONG(2),
      .fails = NN_ESHAPE,
      .says = "axis" },
    { .name = "a vocabulary",
      .in = { { .shape = { { 30000, 512 }, 2 } }, INDEX(NN_I32, 29999, { { 16, 256 }, 2 }) },
      .build = record,
      .bench = 1 },
};

START_TEST(out_of_range)
{
    nn_device *device = op_test_device(NULL, 2);
    nn_tensor *x, *y;
    const nn_real table[4] = { 1, 2, 3, 4 };
    nn_real value[6], dx[4];
    nn_plan *plan;
    nn_graph *g;

    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_EVAL), NN_OK);
    x = nn_observe(g, "x", nn_input(g, "table", NN_REAL, NN_SHAPE2(2, 2)));
    y = nn_observe(g, "y", nn_embedding(g, x, nn_input(g, "index", NN_I32, NN_SHAPE1(3))));
    ck_assert_int_eq(
        nn_compile(&plan, g, (nn_plan_opts){ .seeds = &y, .seed_count = 1, .inputs = &x, .input_count = 1 }),
        NN_OK);
    nn_graph_free(g);
    ck_assert_int_eq(nn_write(plan, "table", table, sizeof table), NN_OK);
    ck_assert_int_eq(nn_write(plan, "index", (const int32_t[]){ -1, 1, 2 }, 12), NN_OK);
    for (int i = 0; i < 6; i++)
        nn_seed(plan, 0)[i] = 1;
    ck_assert_int_eq(nn_run(plan, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read(plan, "y", NN_REAL, value, 6), NN_OK);
    ck_assert_int_eq(nn_read_gradient(plan, "x", NN_REAL, dx, 4), NN_OK);
    ck_assert(isnan(value[0]) && isnan(value[1]) && isnan(value[4]) && isnan(value[5]));
    ck_assert_double_eq((double)value[2], 3);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq((double)dx[i], i < 2 ? 0 : 1);
    nn_plan_free(plan);
    nn_close(device);
}
END_TEST

static void more(TCase *t) { tcase_add_test(t, out_of_range); }

OP_TEST(gather, OP_CASES(cases), .more = more);
