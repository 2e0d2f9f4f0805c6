/* SPDX-License-Identifier: MIT
 *
 * Sums: every way in which two shapes can broadcast; the slots of a residual block's end, each present
 * and absent; and that fusion fills them.
 */
#include "cases.h"
#include "ops/list.h"

#include <stdbool.h>
#include <string.h>

BINARY(nn_add(g, in[0], in[1]), a + b)

static nn_tensor *record_double(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_add(g, in[0], in[0]);
}

static void twice(const op_case *c, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = 2 * in[0][i];
}

/* ---- the slots, filled as fusion fills them: a, b, mean, scale, beta, mask ---- */

static nn_tensor *record_slots(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    nn_node *n = nn_apply_all(g, &nn_op_add, NULL, in, 6);

    if (!n)
        return NULL;
    n->act = (uint8_t)c->act;
    return out[0] = n->out[0];
}

static void slots(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    int64_t channels = x.dim[x.rank - 1], count = nn_shape_count(x);

    for (int64_t i = 0; i < count; i++) {
        int64_t k = i % channels, n = i / (count / x.dim[0]);
        double v = in[0][i];

        if (in[2])
            v = in[3][k] * (v - in[2][k]) + (in[4] ? in[4][k] : 0);
        if (in[2] && c->act == NN_ACT_SILU)
            v = v / (1 + exp(-v));
        out[0][i] = (in[5] ? in[5][n] : 1) * v + in[1][i];
    }
}

/* ---- compositions that fusion takes apart ---- */

static nn_tensor *record_normed(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_add(g, nn_affine(g, in[0], in[2], in[3], in[4]), in[1]);
}

#define FULL(...)                                                                                            \
    {                                                                                                        \
        .shape = __VA_ARGS__                                                                                 \
    }
#define VECTOR(c)                                                                                            \
    {                                                                                                        \
        .shape = { { c }, 1 }, .param = 1                                                                    \
    }
#define MASK(n)                                                                                              \
    {                                                                                                        \
        .shape = { { n, 1, 1, 1 }, 4 }, .low = 0, .high = 2, .no_grad = 1                                    \
    }
#define ABSENT                                                                                               \
    {                                                                                                        \
        .absent = 1                                                                                          \
    }
#define SLOTS(what, ...)                                                                                     \
    {                                                                                                        \
        .name = what, .build = record_slots, .oracle = slots, .probes = 16, .in = { __VA_ARGS__ }            \
    }

static const op_case cases[] = {
    BROADCAST_CASES(0, 0),
    { .name = "double",
      .in = { { .shape = { { 7, 11 }, 2 }, .param = 1 } },
      .build = record_double,
      .oracle = twice },
    SLOTS("no slot", FULL({ { 2, 3, 3, 5 }, 4 }), FULL({ { 2, 3, 3, 5 }, 4 }), ABSENT, ABSENT, ABSENT,
          ABSENT),
    SLOTS("affine", FULL({ { 2, 3, 3, 21 }, 4 }), FULL({ { 2, 3, 3, 21 }, 4 }), VECTOR(21), VECTOR(21),
          VECTOR(21), ABSENT),
    SLOTS("affine without beta", FULL({ { 2, 3, 3, 5 }, 4 }), FULL({ { 2, 3, 3, 5 }, 4 }), VECTOR(5),
          VECTOR(5), ABSENT, ABSENT),
    SLOTS("mask slot", FULL({ { 5, 3, 3, 7 }, 4 }), FULL({ { 5, 3, 3, 7 }, 4 }), ABSENT, ABSENT, ABSENT,
          MASK(5)),
    SLOTS("affine and mask", FULL({ { 4, 3, 5, 18 }, 4 }), FULL({ { 4, 3, 5, 18 }, 4 }), VECTOR(18),
          VECTOR(18), VECTOR(18), MASK(4)),
    SLOTS("affine and mask, several tiles", FULL({ { 3, 17, 13, 40 }, 4 }), FULL({ { 3, 17, 13, 40 }, 4 }),
          VECTOR(40), VECTOR(40), VECTOR(40), MASK(3)),
    SLOTS("affine on rank 2", FULL({ { 6, 9 }, 2 }), FULL({ { 6, 9 }, 2 }), VECTOR(9), VECTOR(9), VECTOR(9),
          ABSENT),
    { .name = "affine with an activation and mask",
      .build = record_slots,
      .oracle = slots,
      .act = NN_ACT_SILU,
      .probes = 16,
      .in = { FULL({ { 4, 3, 5, 18 }, 4 }), FULL({ { 4, 3, 5, 18 }, 4 }), VECTOR(18), VECTOR(18), VECTOR(18),
              MASK(4) } },
    { .name = "slot and broadcasting",
      .build = record_slots,
      .fails = NN_ESHAPE,
      .says = "must be equal",
      .in = { FULL({ { 2, 3, 3, 5 }, 4 }), FULL({ { 5 }, 1 }), VECTOR(5), VECTOR(5), VECTOR(5), ABSENT } },
    { .name = "mask of another batch",
      .build = record_slots,
      .fails = NN_ESHAPE,
      .says = "mask [3,1,1,1]",
      .in = { FULL({ { 2, 3, 3, 5 }, 4 }), FULL({ { 2, 3, 3, 5 }, 4 }), ABSENT, ABSENT, ABSENT, MASK(3) } },
    { .name = "b6 affine and mask",
      .build = record_slots,
      .bench = 1,
      .in = { FULL({ { 8, 28, 28, 72 }, 4 }), FULL({ { 8, 28, 28, 72 }, 4 }), VECTOR(72), VECTOR(72),
              VECTOR(72), MASK(8) } },
};

static const op_case fused[] = {
    { .name = "affine moves in",
      .build = record_normed,
      .oracle = slots,
      .in = { FULL({ { 2, 3, 3, 21 }, 4 }), FULL({ { 2, 3, 3, 21 }, 4 }), VECTOR(21), VECTOR(21), VECTOR(21),
              ABSENT } },
};

/* ---- stochastic depth: its mask is random, so both plans draw the same one by running once ---- */

enum { N = 16, PIXELS = 9, CHANNELS = 21, COUNT = N * PIXELS * CHANNELS };

struct dropped {
    nn_real y[COUNT], da[COUNT], db[COUNT], dscale[CHANNELS];
    int64_t steps;
};

static void run_dropped(unsigned flags, bool learned, struct dropped *out)
{
    nn_device *d = op_test_device(NULL, 2);
    nn_shape x = NN_SHAPE4(N, 3, 3, CHANNELS), v = NN_SHAPE1(CHANNELS);
    const char *const name[6] = { "a", "b", "mean", "scale", "beta", "mask" };
    nn_tensor *in[6], *wanted[6], *mask, *y;
    nn_summary summary;
    nn_graph *g;
    nn_plan *p;
    nn_real *seed;

    ck_assert_int_eq(nn_graph_new(&g, d, NULL, NN_TRAIN), NN_OK);
    for (int i = 0; i < 6; i++)
        in[i] = nn_input(g, name[i], NN_REAL, i < 2 ? x : i < 5 ? v : NN_SHAPE4(N, 1, 1, 1));
    mask = learned ? in[5] : nn_keep_mask(g, NN_SHAPE4(N, 1, 1, 1), 0.4);
    y = nn_add(g, nn_mul(g, nn_affine(g, in[0], in[2], in[3], in[4]), mask), in[1]);
    nn_observe(g, "y", y);
    memcpy(wanted, in, sizeof wanted);
    ck_assert_msg(!nn_compile(&p, g,
                              (nn_plan_opts){ .inputs = wanted,
                                              .input_count = learned ? 6 : 5,
                                              .seeds = &y,
                                              .seed_count = 1,
                                              .flags = flags,
                                              .seed = 3 }),
                  "%s", nn_graph_error(g));
    for (int i = 0; i < 6; i++) {
        size_t bytes;
        nn_real *at = nn_host(p, name[i], &bytes);

        for (size_t k = 0; at && k < bytes / sizeof *at; k++)
            at[k] = (nn_real)op_test_uniform((uint64_t)i, (int64_t)k, -1, 1);
    }
    seed = nn_seed(p, 0);
    for (int k = 0; k < COUNT; k++)
        seed[k] = (nn_real)op_test_uniform(9, k, -1, 1);
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read(p, "y", NN_REAL, out->y, COUNT), NN_OK);
    ck_assert_int_eq(nn_read_gradient(p, "a", NN_REAL, out->da, COUNT), NN_OK);
    ck_assert_int_eq(nn_read_gradient(p, "b", NN_REAL, out->db, COUNT), NN_OK);
    ck_assert_int_eq(nn_read_gradient(p, "scale", NN_REAL, out->dscale, CHANNELS), NN_OK);
    nn_plan_summary(p, &summary);
    out->steps = summary.steps[0];
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(d);
}

static void close_to(const nn_real *a, const nn_real *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_double_le(fabs((double)(a[i] - b[i])), 1e-5 * (1 + fabs((double)b[i])));
}

START_TEST(mask_moves_in)
{
    static struct dropped plain, moved;
    int64_t gone = 0;

    run_dropped(NN_PLAN_NO_FUSE, false, &plain);
    run_dropped(0, false, &moved);
    /* keep_mask and add are left: affine and mul moved into add. */
    ck_assert_int_eq(plain.steps, 4);
    ck_assert_int_eq(moved.steps, 2);
    close_to(moved.y, plain.y, COUNT);
    close_to(moved.da, plain.da, COUNT);
    close_to(moved.db, plain.db, COUNT);
    close_to(moved.dscale, plain.dscale, CHANNELS);
    for (int64_t n = 0; n < N; n++)
        gone += moved.da[n * PIXELS * CHANNELS] == 0;
    ck_assert_int_gt(gone, 0);
    ck_assert_int_lt(gone, N);
}
END_TEST

/* A mask that wants a gradient must stay where it can get one. */
START_TEST(learned_mask_stays_out)
{
    static struct dropped plain, moved;

    run_dropped(NN_PLAN_NO_FUSE, true, &plain);
    run_dropped(0, true, &moved);
    close_to(moved.y, plain.y, COUNT);
    close_to(moved.da, plain.da, COUNT);
    ck_assert_int_eq(moved.steps, plain.steps);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, mask_moves_in);
    tcase_add_test(t, learned_mask_stays_out);
}

OP_TEST(add, OP_CASES(cases), OP_FUSED(fused), .more = more);
