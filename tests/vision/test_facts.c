/* SPDX-License-Identifier: MIT
 *
 * What files tell about their writers, by files whose writer is known: Pillow at quality 85, with and without
 * marks planted behind the signature, and every shorter version of such a file.
 */
#include "../data/tree.h"
#include "jpegs.h"
#include "suite.h"

#include <nn/vision.h>

static nn_image_facts facts;

static int look(const void *bytes, size_t size)
{
    put_bytes("image", bytes, size);
    return nn_image_facts_file(&facts, in_tree("image"), &why);
}

/* Behind the signature of `jpeg` a segment is put in. */
static int look_with(const uint8_t *jpeg, size_t size, int marker, const char *data, size_t n)
{
    uint8_t all[4096] = { jpeg[0], jpeg[1], 0xFF, (uint8_t)marker, 0, (uint8_t)(n + 2) };

    ck_assert_uint_lt(size + n + 4, sizeof all);
    memcpy(all + 6, data, n);
    memcpy(all + 6 + n, jpeg + 2, size - 2);
    return look(all, size + n + 4);
}
#define look_marked(jpeg, marker, data) look_with(jpeg, sizeof(jpeg), marker, data, sizeof(data) - 1)

START_TEST(tables_and_sampling)
{
    uint8_t other[sizeof baseline_420];

    ck_assert_int_eq(look(baseline_444, sizeof baseline_444), NN_OK);
    ck_assert_int_eq(facts.quality, 85);
    ck_assert_int_eq(facts.quality_exact, 1);
    ck_assert_int_eq(facts.sampling, 444);
    ck_assert_int_eq(facts.exif, 1);
    ck_assert_uint_eq(facts.size, sizeof baseline_444);
    ck_assert_int_eq(look(grey, sizeof grey), NN_OK);
    ck_assert_int_eq(facts.sampling, 0);
    ck_assert_int_eq(facts.exif, 0);
    memcpy(other, baseline_420, sizeof other);
    for (size_t i = 0; i + 4 < sizeof other; i++)
        if (other[i] == 0xFF && other[i + 1] == 0xDB && !other[i + 4])
            other[i + 5]++;
    ck_assert_int_eq(look(other, sizeof other), NN_OK);
    ck_assert_int_eq(facts.quality, 85);
    ck_assert_int_eq(facts.quality_exact, 0);
    ck_assert_int_eq(facts.sampling, 420);
}
END_TEST

START_TEST(writers)
{
    static const char little[] = "Exif\0\0II*\0\x8\0\0\0\1\0\x31\1\2\0\6\0\0\0\x1a\0\0\0\0\0\0\0Edit\1\0";
    static const char beyond[] = "Exif\0\0II*\0\x8\0\0\0\1\0\x31\1\2\0\6\0\0\0\xff\0\0\0\0\0\0\0Edit\1\0";

    ck_assert_int_eq(look_marked(baseline_420, 0xE1, little), NN_OK);
    ck_assert_str_eq(facts.software, "Edit?");
    ck_assert_int_eq(look_marked(baseline_420, 0xE1, beyond), NN_OK);
    ck_assert_str_eq(facts.software, "");
    ck_assert_int_eq(look_marked(baseline_420, 0xFE, "CREATOR: gd"), NN_OK);
    ck_assert_str_eq(facts.software, "CREATOR: gd");
    ck_assert_int_eq(look_marked(baseline_420, 0xE2, "ICC_PROFILE\0..."), NN_OK);
    ck_assert_int_eq(facts.icc, 1);
    ck_assert_int_eq(look_marked(baseline_420, 0xEB, "JP..jumb..c2pa"), NN_OK);
    ck_assert_int_eq(facts.c2pa, 1);
    ck_assert_str_eq(facts.generator, "");
    ck_assert_int_eq(look_marked(baseline_420, 0xEB, "JP..jumb..c2pa trainedAlgorithmicMedia"), NN_OK);
    ck_assert_str_eq(facts.generator, "trainedAlgorithmicMedia");
}
END_TEST

START_TEST(cut_off)
{
    for (size_t n = 3; n < sizeof baseline_420; n++) {
        ck_assert_int_eq(look(baseline_420, n), NN_EFORMAT);
        ck_assert_ptr_nonnull(strstr(why.text, "get it again"));
    }
    ck_assert_int_eq(look(baseline_420, sizeof baseline_420), NN_OK);
    ck_assert_int_eq(nn_image_facts_file(&facts, in_tree("missing"), &why), NN_ENOTFOUND);
    seen.fail_alloc = 1;
    count_memory();
    ck_assert_int_eq(nn_image_facts_file(&facts, in_tree("image"), &why), NN_ENOMEM);
    ck_assert_int_eq(seen.live, 0);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("facts");
    Suite *s = suite_create("facts");

    tcase_add_checked_fixture(c, tree_setup, tree_teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, tables_and_sampling);
    tcase_add_test(c, writers);
    tcase_add_test(c, cut_off);
    suite_add_tcase(s, c);
    return suite_run(s);
}
