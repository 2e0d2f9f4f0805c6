/* SPDX-License-Identifier: MIT
 *
 * Early stopping: patience, ties, both directions, values that are none.
 */
#include "suite.h"

#include <apps/early_stop.h>
#include <check.h>
#include <math.h>

START_TEST(stops_after_patience)
{
    static const double loss[] = { 1.0, 0.8, 0.9, 0.8, 0.85, NAN, 0.81, 0.7 };
    static const int better[] = { 1, 1, 0, 1, 0, 0, 0 };
    struct early_stop s = { .patience = 3 };

    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(early_stop_done(&s), 0);
        ck_assert_int_eq(early_stop_update(&s, loss[i]), better[i]);
    }
    ck_assert_int_eq(early_stop_done(&s), 1);
    ck_assert_int_eq(s.best_epoch, 3); /* the equal value of epoch 3 replaced epoch 1 */
    ck_assert_double_eq(s.best, 0.8);
    ck_assert_int_eq(s.epochs, 7);
}
END_TEST

START_TEST(maximises_and_survives_nan)
{
    struct early_stop s = { .patience = 2, .maximize = 1 };

    ck_assert_int_eq(early_stop_update(&s, NAN), 0);
    ck_assert_int_eq(early_stop_update(&s, -5), 1);
    ck_assert_int_eq(early_stop_update(&s, -6), 0);
    ck_assert_int_eq(early_stop_update(&s, -4), 1);
    ck_assert_int_eq(s.bad_epochs, 0);
    ck_assert_int_eq(s.best_epoch, 3);
    ck_assert_int_eq(early_stop_update(&s, NAN), 0);
    ck_assert_int_eq(early_stop_done(&s), 0);
    ck_assert_int_eq(early_stop_update(&s, NAN), 0);
    ck_assert_int_eq(early_stop_done(&s), 1);
}
END_TEST

START_TEST(zeroed_never_stops)
{
    struct early_stop s = { 0 };

    ck_assert_int_eq(early_stop_update(&s, 1), 1);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(early_stop_update(&s, 2), 0);
        ck_assert_int_eq(early_stop_done(&s), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("early_stop");
    TCase *t = tcase_create("rules");

    tcase_add_test(t, stops_after_patience);
    tcase_add_test(t, maximises_and_survives_nan);
    tcase_add_test(t, zeroed_never_stops);
    suite_add_tcase(s, t);
    return suite_run(s);
}
