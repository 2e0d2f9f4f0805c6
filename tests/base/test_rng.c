/* SPDX-License-Identifier: MIT
 *
 * Random numbers: the published test vectors of Philox4x32-10 (Random123's kat_vectors), and the
 * properties the library relies on.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <string.h>

START_TEST(known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];

        nn_philox(known[i].counter, known[i].key, out);
        ck_assert_mem_eq(out, known[i].out, sizeof out);
    }
}
END_TEST

START_TEST(streams)
{
    nni_stream a = nni_stream_of(1, 2), again = nni_stream_of(1, 2), b = nni_stream_of(1, 3),
               c = nni_stream_of(2, 2);
    nni_stream high = nni_stream_of(UINT64_C(1) << 32 | 1, 2), swapped = nni_stream_of(2, 1);
    uint32_t base[4], word[4];

    ck_assert_mem_eq(&a, &again, sizeof a);
    ck_assert_mem_ne(&a, &b, sizeof a);
    ck_assert_mem_ne(&a, &c, sizeof a);
    ck_assert_mem_ne(&a, &high, sizeof a);
    ck_assert_mem_ne(&a, &swapped, sizeof a);
    nni_stream_at(&a, 5, 6, 7, base);
    nni_stream_at(&a, 5, 6, 7, word);
    ck_assert_mem_eq(base, word, sizeof word);
    nni_stream_at(&a, 4, 6, 7, word);
    ck_assert_mem_ne(base, word, sizeof word);
    nni_stream_at(&a, 5 + (UINT64_C(1) << 32), 6, 7, word);
    ck_assert_mem_ne(base, word, sizeof word);
    nni_stream_at(&a, 5, 5, 7, word);
    ck_assert_mem_ne(base, word, sizeof word);
    nni_stream_at(&a, 5, 6, 8, word);
    ck_assert_mem_ne(base, word, sizeof word);
    /* Sample, step and index are not interchangeable. */
    nni_stream_at(&a, 6, 5, 7, word);
    ck_assert_mem_ne(base, word, sizeof word);
}
END_TEST

START_TEST(uniform)
{
    ck_assert_double_eq(nni_uniform(0), 0);
    ck_assert_double_lt(nni_uniform(UINT32_MAX), 1);
    ck_assert_double_eq(nni_uniform(UINT32_C(1) << 31), 0.5);
}
END_TEST

/* Mean, variance, skewness and kurtosis of 200,000 numbers, within four standard errors. */
START_TEST(normal)
{
    enum { N = 200000 };
    nni_stream s = nni_stream_of(11, 12);
    double sum[5] = { 0 };

    for (uint32_t i = 0; i < N / 4; i++) {
        uint32_t word[4];
        double x[4];

        nni_stream_at(&s, 0, 0, i, word);
        nni_normal2(word, x);
        nni_normal2(word + 2, x + 2);
        for (int k = 0; k < 4; k++)
            for (int power = 1; power <= 4; power++)
                sum[power] += pow(x[k], power);
    }
    ck_assert_double_eq_tol(sum[1] / N, 0, 4 * sqrt(1.0 / N));
    ck_assert_double_eq_tol(sum[2] / N, 1, 4 * sqrt(2.0 / N));
    ck_assert_double_eq_tol(sum[3] / N, 0, 4 * sqrt(15.0 / N));
    ck_assert_double_eq_tol(sum[4] / N, 3, 4 * sqrt(96.0 / N));
}
END_TEST

START_TEST(normal_is_finite)
{
    static const uint32_t edge[] = { 0, 1, UINT32_C(1) << 31, UINT32_MAX };

    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) {
            uint32_t word[2] = { edge[i], edge[k] };
            double x[2];

            nni_normal2(word, x);
            ck_assert(isfinite(x[0]) && isfinite(x[1]));
        }
}
END_TEST

/* Chi-squared with 9 degrees of freedom exceeds 27.9 once in a thousand times. */
START_TEST(below)
{
    enum { N = 100000 };
    nni_stream s = nni_stream_of(21, 22);
    uint32_t index = 0;
    double chi = 0;
    int count[10] = { 0 };

    for (int i = 0; i < N; i++) {
        uint32_t x = nni_below(&s, 1, 2, &index, 10);

        ck_assert_uint_lt(x, 10);
        count[x]++;
    }
    for (int i = 0; i < 10; i++)
        chi += (count[i] - N / 10.0) * (count[i] - N / 10.0) / (N / 10.0);
    ck_assert_double_lt(chi, 27.9);
    ck_assert_uint_ge(index, N);
    index = 0;
    ck_assert_uint_eq(nni_below(&s, 1, 2, &index, 1), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_le(nni_below(&s, 1, 2, &index, UINT32_MAX), UINT32_MAX - 1);
    /* With a bound just above 2^31 half of all words are refused; the two halves stay even. */
    {
        int low = 0;

        for (int i = 0; i < N; i++)
            low += nni_below(&s, 1, 2, &index, (UINT32_C(1) << 31) + 2) <= UINT32_C(1) << 30;
        ck_assert_double_eq_tol(low, N / 2.0, 4 * sqrt(N / 4.0));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rng");
    TCase *t = tcase_create("rng");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, known_answers);
    tcase_add_test(t, streams);
    tcase_add_test(t, uniform);
    tcase_add_test(t, normal);
    tcase_add_test(t, normal_is_finite);
    tcase_add_test(t, below);
    suite_add_tcase(s, t);
    return suite_run(s);
}
