/* SPDX-License-Identifier: MIT
 *
 * CRC-32C against the published vectors and against the definition, bit by bit.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* The polynomial division itself. */
static uint32_t slowly(const unsigned char *data, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1u ? UINT32_C(0x82f63b78) : 0u);
    }
    return ~crc;
}

/* RFC 3720, appendix B.4, and the check value of the CRC catalogue. */
START_TEST(published_vectors)
{
    unsigned char block[32];

    ck_assert_uint_eq(nni_crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(nni_crc32c(0, "", 0), 0);
    memset(block, 0, sizeof block);
    ck_assert_uint_eq(nni_crc32c(0, block, 32), 0x8a9136aau);
    memset(block, 0xff, sizeof block);
    ck_assert_uint_eq(nni_crc32c(0, block, 32), 0x62a8ab43u);
    for (unsigned i = 0; i < 32; i++)
        block[i] = (unsigned char)i;
    ck_assert_uint_eq(nni_crc32c(0, block, 32), 0x46dd794eu);
    for (unsigned i = 0; i < 32; i++)
        block[i] = (unsigned char)(31 - i);
    ck_assert_uint_eq(nni_crc32c(0, block, 32), 0x113fdb5cu);
}
END_TEST

START_TEST(every_length_offset_and_split)
{
    unsigned char data[96];

    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + 11);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; n + from <= sizeof data; n++) {
            uint32_t want = slowly(data + from, n);
            unsigned char *exact = malloc(n ? n : 1);
            size_t cut = n / 3;

            ck_assert_ptr_nonnull(exact);
            memcpy(exact, data + from, n);
            ck_assert_uint_eq(nni_crc32c(0, exact, n), want);
            ck_assert_uint_eq(nni_crc32c(nni_crc32c(0, exact, cut), exact + cut, n - cut), want);
            free(exact);
        }
}
END_TEST

START_TEST(one_and_two_flipped_bits_are_seen)
{
    unsigned char data[40] = { 1, 2, 3 };
    uint32_t whole = nni_crc32c(0, data, sizeof data);
    unsigned bits = 8 * sizeof data, missed = 0;

    for (unsigned a = 0; a < bits; a++)
        for (unsigned b = a; b < bits; b++) {
            data[a / 8] ^= (unsigned char)(1u << a % 8);
            if (b != a)
                data[b / 8] ^= (unsigned char)(1u << b % 8);
            missed += nni_crc32c(0, data, sizeof data) == whole;
            data[a / 8] ^= (unsigned char)(1u << a % 8);
            if (b != a)
                data[b / 8] ^= (unsigned char)(1u << b % 8);
        }
    ck_assert_uint_eq(missed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crc32c");
    TCase *tc = tcase_create("crc32c");

    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, published_vectors);
    tcase_add_test(tc, every_length_offset_and_split);
    tcase_add_test(tc, one_and_two_flipped_bits_are_seen);
    return suite_run(suite);
}
