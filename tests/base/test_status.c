/* SPDX-License-Identifier: MIT
 *
 * Status codes, types, shapes, messages and the name hash.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(codes_have_texts)
{
#define X(name, value, text)                                                                                 \
    ck_assert_str_eq(nn_strerror(name), text);                                                               \
    ck_assert_int_eq(name, value);
    NN_STATUS_LIST(X)
#undef X
    ck_assert_str_eq(nn_strerror(1), "unknown status");
    ck_assert_str_eq(nn_strerror(-1000), "unknown status");
    ck_assert_str_eq(nn_version(), NN_VERSION);
}
END_TEST

START_TEST(types)
{
    ck_assert_uint_eq(nn_dtype_size(NN_F32), sizeof(float));
    ck_assert_uint_eq(nn_dtype_size(NN_F64), sizeof(double));
    ck_assert_uint_eq(nn_dtype_size(NN_BF16), 2);
    ck_assert_uint_eq(nn_dtype_size(NN_F16), 2);
    ck_assert_uint_eq(nn_dtype_size(NN_I32), 4);
    ck_assert_uint_eq(nn_dtype_size(NN_I64), 8);
    ck_assert_uint_eq(nn_dtype_size(NN_U8), 1);
    ck_assert_uint_eq(nn_dtype_size(NN_DTYPES), 0);
    ck_assert_uint_eq(nn_dtype_size(NN_REAL), sizeof(nn_real));
    ck_assert_str_eq(nn_dtype_name(NN_BF16), "BF16");
    ck_assert_str_eq(nn_dtype_name(NN_DTYPES), "?");
}
END_TEST

START_TEST(shapes)
{
    nn_shape huge = NN_SHAPE4(INT64_C(1) << 32, INT64_C(1) << 31, 1, 1), s = NN_SHAPE4(2, 3, 4, 5);

    ck_assert_int_eq(nn_shape_count(NN_SHAPE0()), 1);
    ck_assert_int_eq(nn_shape_count(NN_SHAPE1(7)), 7);
    ck_assert_int_eq(nn_shape_count(s), 120);
    ck_assert_int_eq(nn_shape_count(NN_SHAPE2(3, 0)), 0);
    ck_assert_int_eq(nn_shape_count(NN_SHAPE2(3, -1)), -1);
    ck_assert_int_eq(nn_shape_count(huge), -1);
    ck_assert_int_eq(nn_shape_count(NN_SHAPE3(0, INT64_C(1) << 40, INT64_C(1) << 40)), -1);
    s.rank = NN_MAX_RANK + 1;
    ck_assert_int_eq(nn_shape_count(s), -1);
    s.rank = -1;
    ck_assert_int_eq(nn_shape_count(s), -1);
    ck_assert(nn_shape_equal(NN_SHAPE2(2, 3), NN_SHAPE2(2, 3)));
    ck_assert(!nn_shape_equal(NN_SHAPE2(2, 3), NN_SHAPE2(3, 2)));
    ck_assert(!nn_shape_equal(NN_SHAPE2(2, 3), NN_SHAPE3(2, 3, 1)));
    /* Dimensions beyond the rank are zero, whatever was passed. */
    ck_assert_int_eq(nn_shape_of(1, 4, 9, 9, 9).dim[1], 0);
}
END_TEST

START_TEST(texts_of_shapes)
{
    nn_shape large = { .rank = 8 };
    nni_text text;

    ck_assert_str_eq(nni_shape_text(NN_SHAPE0(), &text), "[]");
    ck_assert_str_eq(nni_shape_text(NN_SHAPE4(8, 224, 224, 3), &text), "[8,224,224,3]");
    for (int i = 0; i < 8; i++)
        large.dim[i] = INT64_MIN;
    (void)nni_shape_text(large, &text);
    ck_assert_uint_lt(strlen(text.s), sizeof text.s);
}
END_TEST

START_TEST(messages)
{
    nn_message m;
    char *text = malloc(2000);

    ck_assert_int_eq(nni_fail(&m, NN_EIO, "%s: %d", "file", 3), NN_EIO);
    ck_assert_str_eq(m.text, "file: 3");
    ck_assert_int_eq(nni_fail(NULL, NN_EIO, "%s", "nobody listens"), NN_EIO);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', 1999);
    text[1999] = 0;
    (void)nni_fail(&m, NN_EIO, "%s", text);
    ck_assert_uint_eq(strlen(m.text), sizeof m.text - 1);
    /* A path may be long; what is wrong with it is still to be read. */
    (void)nni_fail(&m, NN_EIO, "first %s: No such file", text);
    ck_assert_uint_eq(strlen(m.text), sizeof m.text - 1);
    ck_assert_ptr_nonnull(strstr(m.text, "x...x"));
    ck_assert(!strncmp(m.text, "first x", 7) && !strcmp(m.text + strlen(m.text) - 15, "x: No such file"));
    text[sizeof m.text - 1] = 0;
    (void)nni_fail(&m, NN_EIO, "%s", text);
    ck_assert_str_eq(m.text, text);
    free(text);
}
END_TEST

/* Test vectors of the FNV-1a page (Fowler, Noll, Vo). */
START_TEST(hash)
{
    ck_assert(nni_hash("", 0, NNI_HASH_BASIS) == UINT64_C(0xcbf29ce484222325));
    ck_assert(nni_hash("a", 1, NNI_HASH_BASIS) == UINT64_C(0xaf63dc4c8601ec8c));
    ck_assert(nni_hash("foobar", 6, NNI_HASH_BASIS) == UINT64_C(0x85944171f73967e8));
    ck_assert(nni_hash("bar", 3, nni_hash("foo", 3, NNI_HASH_BASIS)) == UINT64_C(0x85944171f73967e8));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status");
    TCase *t = tcase_create("status");

    tcase_add_test(t, codes_have_texts);
    tcase_add_test(t, types);
    tcase_add_test(t, shapes);
    tcase_add_test(t, texts_of_shapes);
    tcase_add_test(t, messages);
    tcase_add_test(t, hash);
    suite_add_tcase(s, t);
    return suite_run(s);
}
