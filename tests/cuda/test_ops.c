/* SPDX-License-Identifier: MIT
 *
 * Every op on the CUDA backend, by the tables of tests/ops: the same cases, fused ones too, held against the
 * CPU, outputs and all gradients, on the shim with threads and blocks in every order. An op of NNI_OP_LIST
 * without a table does not link; one whose kernels no case runs fails.
 *
 * With --errors the program prints how far each op is from the CPU instead; names of ops limit it to these.
 */
#include "ops/list.h"
#include "op_test.h"
#include "shim.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

#define X(op) extern const op_suite op_suite_##op;
NNI_OP_LIST(X)
#undef X

static const op_suite *const suites[] = {
#define X(op) &op_suite_##op,
    NNI_OP_LIST(X)
#undef X
};
enum { SUITES = OP_COUNT(suites) };

static void set(int k)
{
    static const struct shim_settings settings[] = {
        { .order = SHIM_ASCENDING, .poison = 0xff, .devices = 1 },
        { .order = SHIM_DESCENDING, .poison = 0x3c, .devices = 1 },
        { .order = SHIM_RANDOM, .eager = 1, .poison = 0xff, .devices = 1 },
    };

    shim_set(settings[k]);
}
static void set_without_cudnn(int k)
{
    static const struct shim_settings settings[] = {
        { .order = SHIM_ASCENDING, .poison = 0xff, .devices = 1, .no_dnn = 1 },
        { .order = SHIM_RANDOM, .eager = 1, .poison = 0x3c, .devices = 1, .no_dnn = 1 },
    };

    shim_set(settings[k]);
}

static op_errors compare(const op_suite *s, op_other other)
{
    op_errors errors = { 0, 0, 0, 0 };

    other.set(0);

    ck_assert_int_eq(nn_open(&other.cpu, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    ck_assert_int_eq(nn_open(&other.device, "cuda", NULL, NULL), NN_OK);

    for (int i = 0; i < s->count + s->fused_count; i++) {
        const op_case *c = i < s->count ? &s->cases[i] : &s->fused[i - s->count];

        if (!c->bench && !c->fails)
            op_test_other(s, c, &other, &errors);
    }
    nn_close(other.device);
    nn_close(other.cpu);
    return errors;
}

/* Where activations are bfloat16: twice what the shim measures. Sums of many rounded terms that cancel are
 * the exceptions. */
static double narrow_bound(const op_suite *s)
{
    return s == &op_suite_depthwise ? 2e-2 : s == &op_suite_conv1x1 ? 1.4e-2 : 1.1e-2;
}

/* --errors NAME...: a line for each op, or for each of these. */
static int printing, names;
static char **name;

static int is_wanted(const op_suite *s)
{
    int found = names == 0;

    for (int i = 0; i < names; i++)
        found = found || !strcmp(name[i], s->name);
    return found;
}

START_TEST(against_cpu)
{
    const op_suite *s = suites[_i];
    op_errors errors;

    if (!is_wanted(s))
        return;
    errors = compare(s, (op_other){ .settings = 3, .set = set });
    ck_assert_msg(!*shim_error(), "%s: %s", s->name, shim_error());
    ck_assert_msg(errors.cases > 0 || s->more, "%s: no case runs its kernels", s->name);
    ck_assert_double_le(errors.narrow, narrow_bound(s));
    if (printing) {
        printf("%-20s %5d %10.1e %10.1e %10.1e\n", s->name, errors.cases, errors.output, errors.gradient,
               errors.narrow);
        (void)fflush(stdout);
    }
}
END_TEST

/* By patches and products where there is no cuDNN. */
START_TEST(without_cudnn)
{
    const op_suite *const s = _i ? &op_suite_conv_transpose2d : &op_suite_conv2d;
    op_errors errors = compare(s, (op_other){ .settings = 2, .set = set_without_cudnn });

    ck_assert_msg(!*shim_error(), "%s", shim_error());
    ck_assert_int_gt(errors.cases, 0);
    ck_assert_double_le(errors.narrow, 2e-2);
}
END_TEST

static void on_cuda(void) { op_test_on("cuda"); }

int main(int argc, char **argv)
{
    Suite *s = suite_create("ops");
    TCase *t = tcase_create("against the CPU"), *more = tcase_create("on their own");

    printing = argc > 1 && !strcmp(argv[1], "--errors");
    if (printing) {
        names = argc - 2;
        name = argv + 2;
        printf("%-20s %5s %10s %10s %10s\n", "op", "cases", "output", "gradient", "bfloat16");
        (void)fflush(stdout);
    }
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, against_cpu, 0, SUITES);
    tcase_set_timeout(more, 300);
    tcase_add_checked_fixture(more, on_cuda, NULL);
    for (int i = 0; i < SUITES && !printing; i++)
        if (suites[i]->more)
            suites[i]->more(more);
    if (!printing)
        tcase_add_loop_test(t, without_cudnn, 0, 2);
    suite_add_tcase(s, t);
    suite_add_tcase(s, more);
    return suite_run(s);
}
