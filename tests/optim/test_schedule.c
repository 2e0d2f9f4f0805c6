/* SPDX-License-Identifier: MIT
 *
 * Schedules against the definitions in torch.optim.lr_scheduler and at their edges.
 */
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/optim.h>
#include <stdlib.h>

static int near(double a, double b) { return fabs(a - b) <= 1e-15 * (fabs(a) + fabs(b)); }

START_TEST(warmup)
{
    ck_assert(nn_warmup(0, 1e-4, 1500) == 0);
    ck_assert(near(nn_warmup(1, 1e-4, 1500), 1e-4 / 1500));
    ck_assert(near(nn_warmup(750, 1e-4, 1500), 0.5e-4));
    ck_assert(nn_warmup(1500, 1e-4, 1500) == 1e-4);
    ck_assert(nn_warmup(1 << 30, 1e-4, 1500) == 1e-4);
    ck_assert(nn_warmup(0, 1e-4, 0) == 1e-4);
}
END_TEST

START_TEST(cosine)
{
    ck_assert(nn_cosine(0, 0.1, 0.001, 10) == 0.1);
    ck_assert(near(nn_cosine(5, 0.1, 0.001, 10), 0.0505));
    ck_assert(fabs(nn_cosine(3, 0.1, 0.001, 10) - 0.07959537) <
              1e-8); /* CosineAnnealingLR(T_max=10, eta_min=0.001) */
    ck_assert(nn_cosine(10, 0.1, 0.001, 10) == 0.001);
    ck_assert(nn_cosine(15, 0.1, 0.001, 10) == 0.001);
    ck_assert(nn_cosine(0, 0.1, 0.001, 0) == 0.001);
    for (int k = 0; k < 10; k++)
        ck_assert(nn_cosine(k + 1, 0.1, 0.001, 10) < nn_cosine(k, 0.1, 0.001, 10));
}
END_TEST

START_TEST(step_decay)
{
    ck_assert(nn_step_decay(0, 1, 0.1, 30) == 1);
    ck_assert(nn_step_decay(29, 1, 0.1, 30) == 1);
    ck_assert(near(nn_step_decay(30, 1, 0.1, 30), 0.1));
    ck_assert(near(nn_step_decay(89, 1, 0.1, 30), 0.01));
    ck_assert(nn_step_decay(5, 1, 0.1, 0) == 1);
}
END_TEST

/* The values and factors of torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.5, patience=2). */
START_TEST(plateau)
{
    static const double value[] = { 1, 0.9, 0.91, 0.89995, 0.95, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, NAN };
    static const double scale[] = { 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125, 0.125 };
    nn_plateau p = { .factor = 0.5, .patience = 2 };

    for (size_t i = 0; i < sizeof value / sizeof *value; i++)
        ck_assert_msg(nn_plateau_next(&p, value[i]) == scale[i], "epoch %zu: %g", i, p.scale);
}
END_TEST

START_TEST(plateau_edges)
{
    nn_plateau p = { 0 };

    ck_assert(nn_plateau_next(&p, NAN) == 0.1); /* no patience: the first bad epoch reduces, by 0.1 */
    ck_assert(nn_plateau_next(&p, 3) == 0.1);
    ck_assert(near(nn_plateau_next(&p, INFINITY), 0.01));
    ck_assert(near(nn_plateau_next(&p, 2), 0.01));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("schedule");
    TCase *t = tcase_create("schedule");

    tcase_add_test(t, warmup);
    tcase_add_test(t, cosine);
    tcase_add_test(t, step_decay);
    tcase_add_test(t, plateau);
    tcase_add_test(t, plateau_edges);
    suite_add_tcase(s, t);
    return suite_run(s);
}
