/* SPDX-License-Identifier: MIT
 *
 * The largest over every choice of axes, and what equal ones and NaN do to it and to the smallest.
 */
#include "cases.h"

RECORD_AXES(nn_max(g, in[0], o))

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    FOLD(-INFINITY, fmax(*y, x));
}

static const op_case cases[] = {
    AXES_CASES,
};

/* Rows with three equal ones, and with a NaN, which comes through; min sees them negated. */
static void run_rows(nn_device *d, nn_real sign, nn_real y[2], nn_real dx[8])
{
    static const nn_real rows[8] = { 2, 5, 5, 5, -1, (nn_real)NAN, 7, 0 };
    nn_reduce_opts last = { .axes = NN_AXIS(-1) };
    nn_tensor *in, *out;
    nn_graph *g;
    nn_plan *p;
    nn_real *x;

    ck_assert_int_eq(nn_graph_new(&g, d, NULL, NN_TRAIN), NN_OK);
    in = nn_input(g, "x", NN_REAL, NN_SHAPE2(2, 4));
    out = nn_observe(g, "y", sign > 0 ? nn_max(g, in, last) : nn_min(g, in, last));
    ck_assert_msg(
        !nn_compile(&p, g, (nn_plan_opts){ .inputs = &in, .input_count = 1, .seeds = &out, .seed_count = 1 }),
        "%s", nn_graph_error(g));
    x = nn_host(p, "x", NULL);
    for (int i = 0; i < 8; i++)
        x[i] = sign * rows[i];
    nn_seed(p, 0)[0] = nn_seed(p, 0)[1] = 1;
    ck_assert_int_eq(nn_run(p, NN_GRADIENTS), NN_OK);
    ck_assert_int_eq(nn_read(p, "y", NN_REAL, y, 2), NN_OK);
    ck_assert_int_eq(nn_read_gradient(p, "x", NN_REAL, dx, 8), NN_OK);
    nn_plan_free(p);
    nn_graph_free(g);
}

START_TEST(equal_ones_share)
{
    const char *isa;

    for (int i = 0; (isa = op_test_isa(i)) != NULL; i++) {
        nn_device *d = op_test_device(isa, 1);

        for (int sign = 1; sign >= -1; sign -= 2) {
            nn_real y[2], dx[8];

            run_rows(d, (nn_real)sign, y, dx);
            ck_assert(y[0] == (nn_real)(5 * sign) && isnan(y[1]));
            ck_assert(dx[0] == 0);
            for (int k = 1; k < 4; k++)
                ck_assert_double_eq_tol((double)dx[k], 1.0 / 3, 1e-6);
        }
        nn_close(d);
    }
}
END_TEST

static void more(TCase *t) { tcase_add_test(t, equal_ones_share); }

OP_TEST(max, OP_CASES(cases), .more = more);
