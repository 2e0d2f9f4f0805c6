/* SPDX-License-Identifier: MIT
 *
 * Metrics against values worked out by hand and against their definitions on random cases (the comparison
 * with scikit-learn itself is tests/parity/metrics.py), and the order of an epoch.
 */
#include "data/data.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/data.h>
#include <stdlib.h>
#include <string.h>

static double lg(double p) { return log(p / (1 - p)); }

START_TEST(by_hand)
{
    /* Probabilities .9 .8 .5 .3 of fakes, .6 .5 .1 of reals: at 0.5, three of four fakes and one of three
     * reals are right. */
    double p[] = { 0.9, 0.8, 0.5, 0.3, 0.6, 0.5, 0.1 }, logits[14];
    int32_t label[] = { 1, 1, 1, 1, 0, 0, 0 };
    nn_metrics m;

    for (int i = 0; i < 7; i++) {
        logits[2 * i] = 3;
        logits[2 * i + 1] = 3 + lg(p[i]);
    }
    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 7, 0.5), NN_OK);
    ck_assert_int_eq(m.samples, 7);
    ck_assert_int_eq(m.confusion[0][0], 1);
    ck_assert_int_eq(m.confusion[0][1], 2);
    ck_assert_int_eq(m.confusion[1][0], 1);
    ck_assert_int_eq(m.confusion[1][1], 3);
    ck_assert_double_eq_tol(m.accuracy, 4.0 / 7, 1e-15);
    ck_assert_double_eq_tol(m.per_class[1].precision, 3.0 / 5, 1e-15);
    ck_assert_double_eq_tol(m.per_class[1].recall, 3.0 / 4, 1e-15);
    ck_assert_double_eq_tol(m.per_class[1].f1, 6.0 / 9, 1e-15);
    ck_assert_double_eq_tol(m.per_class[0].precision, 1.0 / 2, 1e-15);
    ck_assert_double_eq_tol(m.per_class[0].recall, 1.0 / 3, 1e-15);
    ck_assert_double_eq_tol(m.per_class[0].f1, 2.0 / 5, 1e-15);
    ck_assert_int_eq(m.per_class[0].support, 3);
    ck_assert_int_eq(m.per_class[1].support, 4);
    ck_assert_double_eq_tol(m.macro_f1, (6.0 / 9 + 2.0 / 5) / 2, 1e-15);
    ck_assert_double_eq_tol(m.balanced_accuracy, (3.0 / 4 + 1.0 / 3) / 2, 1e-15);
    /* Pairs in order: .9 3, .8 3, .5 1 and a tie, .3 1 = 8.5 of 12. */
    ck_assert_double_eq_tol(m.auc, 8.5 / 12, 1e-15);
    ck_assert_double_eq_tol(
        m.loss, -(log(.9) + log(.8) + log(.5) + log(.3) + log(.4) + log(.5) + log(.9)) / 7, 1e-14);
    ck_assert_double_eq(m.threshold, 0.5);
}
END_TEST

START_TEST(one_class)
{
    double logits[] = { 0, 1, 0, -1, 0, 2 };
    int32_t label[3];
    nn_metrics m;

    for (int i = 0; i < 3; i++)
        label[i] = _i;
    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 3, 0.5), NN_OK);
    ck_assert(isnan(m.auc));
    ck_assert_double_eq_tol(m.balanced_accuracy, _i ? 2.0 / 3 : 1.0 / 3, 1e-15);
    ck_assert_double_eq(m.per_class[1 - _i].precision, 0);
    ck_assert_double_eq(m.per_class[1 - _i].recall, 0);
    ck_assert_double_eq(m.per_class[1 - _i].f1, 0);
    ck_assert_int_eq(m.per_class[1 - _i].support, 0);
    ck_assert_double_eq_tol(m.macro_f1, m.per_class[_i].f1 / 2, 1e-15);
    ck_assert(isfinite(m.loss));
}
END_TEST

START_TEST(never_called_class_has_precision_zero)
{
    double logits[] = { 5, 0, 5, 0 };
    int32_t label[] = { 0, 1 };
    nn_metrics m;

    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 2, 0.5), NN_OK);
    ck_assert_double_eq(m.per_class[1].precision, 0);
    ck_assert_double_eq(m.per_class[1].f1, 0);
    ck_assert_double_eq(m.auc, 0.5);
}
END_TEST

START_TEST(extreme_logits)
{
    double logits[] = { -1e300, 1e300, 800, -800, 0, 0, 1000, 0, 0, 1000 };
    int32_t label[] = { 1, 0, 1, 1, 0 };
    nn_metrics m;
    double nan_logits[] = { NAN, 0, 0, 1 };

    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 5, 0.5), NN_OK);
    ck_assert_double_eq_tol(m.loss, (log(2) + 2000) / 5, 1e-12);
    /* margins of fakes: huge, 0, -1000; of reals: -1600, 1000. In order: 2 + 1 + 1 of 6 pairs. */
    ck_assert_double_eq_tol(m.auc, 4.0 / 6, 1e-15);
    ck_assert_double_eq(nn_probability_fake(logits), 1);
    ck_assert_double_eq(nn_probability_fake(logits + 2), 0);
    ck_assert_double_eq(nn_probability_fake(logits + 4), 0.5);

    ck_assert_int_eq(nn_metrics_binary(&m, nan_logits, label, 2, 0.5), NN_OK);
    ck_assert(isnan(m.loss));
    ck_assert(isnan(m.auc));
    ck_assert_int_eq(m.confusion[1][0], 1); /* the NaN counts as real */
    ck_assert_int_eq(m.confusion[0][1], 1);
}
END_TEST

/* Confident logits whose probabilities round to 1 still have an order. */
START_TEST(auc_sees_beyond_rounded_probabilities)
{
    double logits[] = { 0, 50, 0, 60, 0, 70, 0, 80 };
    int32_t label[] = { 0, 0, 1, 1 };
    nn_metrics m;

    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 4, 0.5), NN_OK);
    ck_assert_double_eq(m.auc, 1);
}
END_TEST

START_TEST(threshold_is_inclusive)
{
    double logits[] = { 0, 0 };
    int32_t label[] = { 1 };
    nn_metrics m;

    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 1, 0.5), NN_OK);
    ck_assert_int_eq(m.confusion[1][1], 1);
    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 1, 0.5000001), NN_OK);
    ck_assert_int_eq(m.confusion[1][0], 1);
}
END_TEST

START_TEST(auc_is_the_share_of_ordered_pairs)
{
    nni_stream s = nni_stream_of(1, (uint64_t)_i);
    uint32_t index = 0;
    int64_t n = 2 + nni_below(&s, 0, 0, &index, 60), support[2] = { 0, 0 };
    double logits[130], pairs = 0;
    int32_t label[65];
    nn_metrics m;

    for (int64_t i = 0; i < n; i++) {
        label[i] = (int32_t)nni_below(&s, 0, 0, &index, 2);
        support[label[i]]++;
        logits[2 * i] = nni_below(&s, 0, 0, &index, 4);
        logits[2 * i + 1] = nni_below(&s, 0, 0, &index, 4);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (label[i] && !label[j]) {
                double a = logits[2 * i + 1] - logits[2 * i], b = logits[2 * j + 1] - logits[2 * j];

                pairs += a > b ? 1 : a == b ? 0.5 : 0;
            }
    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, n, 0.5), NN_OK);
    if (support[0] && support[1])
        ck_assert_double_eq_tol(m.auc, pairs / (double)(support[0] * support[1]), 1e-14);
    else
        ck_assert(isnan(m.auc));
}
END_TEST

static void *no_memory(size_t size)
{
    (void)size;
    return NULL;
}

START_TEST(refused)
{
    void *(*alloc)(size_t size) = nni_seam.alloc;
    double logits[] = { 0, 0 };
    int32_t label[] = { 2 };
    nn_metrics m;
    int rc;

    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 0, 0.5), NN_EINVAL);
    ck_assert_int_eq(nn_metrics_binary(&m, logits, label, 1, 0.5), NN_EINVAL);
    label[0] = 1;
    nni_seam.alloc = no_memory;
    rc = nn_metrics_binary(&m, logits, label, 1, 0.5);
    nni_seam.alloc = alloc;
    ck_assert_int_eq(rc, NN_ENOMEM);
}
END_TEST

/* ----------------------------------------------------------------------------- order of an epoch */

enum { MOST = 5000 };

START_TEST(order_is_a_permutation)
{
    static const int64_t sizes[] = { 0, 1, 2, 3, 17, 1000, MOST };
    static int64_t order[MOST];
    static char seen[MOST];

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        memset(seen, 0, sizeof seen);
        ck_assert_int_eq(nni_epoch_order(7, k, sizes[k], order), NN_OK);
        for (int64_t i = 0; i < sizes[k]; i++) {
            ck_assert(order[i] >= 0 && order[i] < sizes[k] && !seen[order[i]]);
            seen[order[i]] = 1;
        }
    }
    ck_assert_int_eq(nni_epoch_order(7, 0, -1, order), NN_EINVAL);
    ck_assert_int_eq(nni_epoch_order(7, 0, INT64_C(1) << 32, order), NN_EINVAL);
    ck_assert_int_eq(nni_epoch_order(7, 0, 0, NULL), NN_OK);
}
END_TEST

START_TEST(order_depends_on_seed_and_epoch_only)
{
    int64_t a[100], b[100];
    static const struct {
        uint64_t seed, epoch;
    } others[] = { { 42, 1 }, { 43, 0 }, { 42, UINT64_C(1) << 32 }, { UINT64_C(1) << 32 | 42, 0 } };

    ck_assert_int_eq(nni_epoch_order(42, 0, 100, a), NN_OK);
    ck_assert_int_eq(nni_epoch_order(42, 0, 100, b), NN_OK);
    ck_assert_int_eq(memcmp(a, b, sizeof a), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(nni_epoch_order(others[i].seed, others[i].epoch, 100, b), NN_OK);
        ck_assert_int_ne(memcmp(a, b, sizeof a), 0);
    }
}
END_TEST

/* The order that runs of today are resumed with: a change here breaks every stored run. */
START_TEST(order_is_frozen)
{
    static const int64_t frozen[] = { 11, 9, 5, 3, 6, 7, 0, 1, 10, 4, 8, 2 };
    int64_t order[12];

    ck_assert_int_eq(nni_epoch_order(42, 3, 12, order), NN_OK);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(order[i], frozen[i]);
}
END_TEST

/* Each of the 24 orders of four samples, over many epochs, about equally often (chi-squared, 23 degrees). */
START_TEST(orders_are_equally_likely)
{
    enum { EPOCHS = 24000 };
    int count[256] = { 0 };
    double chi = 0;
    int kinds = 0;

    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t order[4];

        ck_assert_int_eq(nni_epoch_order(1, epoch, 4, order), NN_OK);
        count[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!count[i])
            continue;
        kinds++;
        chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000;
    }
    ck_assert_int_eq(kinds, 24);
    ck_assert_double_lt(chi, 49.7); /* 0.1 % */
}
END_TEST

/* n images of each class, of which `right` in a thousand are recognised. */
static nn_metrics recognised(int64_t n, int64_t right)
{
    nn_metrics m = { .samples = 2 * n };

    for (int c = 0; c < 2; c++) {
        m.confusion[c][c] = n * right / 1000;
        m.confusion[c][1 - c] = n - m.confusion[c][c];
    }
    return m;
}

/* With both classes alike the macro F1 is the share of right answers, whose spread is known. */
START_TEST(interval_is_that_of_a_share)
{
    static const int64_t size[] = { 50, 500, 5000 };

    for (size_t i = 0; i < 3; i++) {
        nn_metrics m = recognised(size[i], 800);
        double half = 1.96 * sqrt(0.8 * 0.2 / (double)m.samples), got[2], again[2], other[2];

        ck_assert_int_eq(nn_macro_f1_interval(got, &m, 1), NN_OK);
        ck_assert_double_eq_tol(got[0], 0.8 - half, 0.2 * half);
        ck_assert_double_eq_tol(got[1], 0.8 + half, 0.2 * half);
        ck_assert_int_eq(nn_macro_f1_interval(again, &m, 1), NN_OK);
        ck_assert_mem_eq(got, again, sizeof got);
        ck_assert_int_eq(nn_macro_f1_interval(other, &m, 2), NN_OK);
        ck_assert(got[0] != other[0] || got[1] != other[1]);
    }
}
END_TEST

START_TEST(interval_of_extremes)
{
    nn_metrics perfect = recognised(10, 1000), wrong = recognised(10, 0), none = { 0 };
    nn_metrics one_cell = { .samples = 7, .confusion = { { 0, 0 }, { 7, 0 } } };
    double got[2];

    ck_assert_int_eq(nn_macro_f1_interval(got, &perfect, 1), NN_OK);
    ck_assert(got[0] == 1 && got[1] == 1);
    ck_assert_int_eq(nn_macro_f1_interval(got, &wrong, 1), NN_OK);
    ck_assert(got[0] == 0 && got[1] == 0);
    ck_assert_int_eq(nn_macro_f1_interval(got, &one_cell, 1), NN_OK);
    ck_assert(got[0] == 0 && got[1] == 0);
    ck_assert_int_eq(nn_macro_f1_interval(got, &none, 1), NN_EINVAL);
}
END_TEST

/* Each cell is drawn as often as it is full: recalls of 0.9 and 0.5 lie on their own sides. */
START_TEST(interval_of_unequal_classes)
{
    nn_metrics m = { .samples = 4000, .confusion = { { 900, 100 }, { 1500, 1500 } } };
    double f1 = (2 * 900.0 / (1800 + 1600) + 2 * 1500.0 / (3000 + 1600)) / 2, got[2];

    ck_assert_int_eq(nn_macro_f1_interval(got, &m, 3), NN_OK);
    ck_assert_double_eq_tol((got[0] + got[1]) / 2, f1, 0.003);
    ck_assert_double_eq_tol(got[1] - got[0], 0.0317, 0.003);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *metrics = tcase_create("metrics"), *order = tcase_create("order");
    TCase *all[] = { metrics, order };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tcase_set_timeout(all[i], 60);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(metrics, by_hand);
    tcase_add_loop_test(metrics, one_class, 0, 2);
    tcase_add_test(metrics, never_called_class_has_precision_zero);
    tcase_add_test(metrics, extreme_logits);
    tcase_add_test(metrics, auc_sees_beyond_rounded_probabilities);
    tcase_add_test(metrics, threshold_is_inclusive);
    tcase_add_loop_test(metrics, auc_is_the_share_of_ordered_pairs, 0, 50);
    tcase_add_test(metrics, refused);
    tcase_add_test(metrics, interval_is_that_of_a_share);
    tcase_add_test(metrics, interval_of_extremes);
    tcase_add_test(metrics, interval_of_unequal_classes);
    tcase_add_test(order, order_is_a_permutation);
    tcase_add_test(order, order_depends_on_seed_and_epoch_only);
    tcase_add_test(order, order_is_frozen);
    tcase_add_test(order, orders_are_equally_likely);
    return suite_run(suite);
}
