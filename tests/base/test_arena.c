/* SPDX-License-Identifier: MIT
 *
 * The arena: zeroed, aligned, disjoint pieces of any size; failure leaves it usable and freeable.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct nni_seam real;
static int64_t allowed, live;

static void *counted_alloc(size_t size)
{
    void *memory;

    if (allowed == 0)
        return NULL;
    allowed--;
    memory = real.alloc(size);
    /* What an allocator hands out is not zero. */
    if (memory) {
        memset(memory, 0xee, size);
        live++;
    }
    return memory;
}

static void counted_free(void *memory)
{
    live--;
    real.free(memory);
}

static void setup(void)
{
    real = nni_seam;
    nni_seam.alloc = counted_alloc;
    nni_seam.free = counted_free;
    allowed = -1;
    live = 0;
}

static void teardown(void) { nni_seam = real; }

static bool all(const unsigned char *at, size_t size, int value)
{
    bool same = true;

    for (size_t k = 0; k < size; k++)
        same = same && at[k] == value;
    return same;
}

START_TEST(pieces)
{
    enum { N = 2000 };
    nni_arena a = { 0 };
    static unsigned char *piece[N];
    static size_t size[N];

    for (int i = 0; i < N; i++) {
        size[i] = (size_t)(i * 37 % 301) + (i % 400 == 0 ? 100000 : 0);
        piece[i] = nni_arena_take(&a, size[i]);
        ck_assert_ptr_nonnull(piece[i]);
        ck_assert_uint_eq((uintptr_t)piece[i] % 16, 0);
        ck_assert_msg(all(piece[i], size[i], 0), "piece %d is not zero", i);
        memset(piece[i], i % 251 + 1, size[i]);
    }
    for (int i = 0; i < N; i++)
        ck_assert_msg(all(piece[i], size[i], i % 251 + 1), "piece %d was written over", i);
    ck_assert_uint_gt(a.total, 0);
    nni_arena_free(&a);
    ck_assert_int_eq(live, 0);
    ck_assert_uint_eq(a.total, 0);
    nni_arena_free(&a);
}
END_TEST

START_TEST(texts)
{
    nni_arena a = { 0 };
    char from[] = "features.0", *copy = nni_arena_text(&a, from), *made;

    from[0] = 'x';
    ck_assert_str_eq(copy, "features.0");
    made = nni_arena_printf(&a, "%s.%d", copy, 12);
    ck_assert_str_eq(made, "features.0.12");
    ck_assert_str_eq(nni_arena_text(&a, ""), "");
    nni_arena_free(&a);
}
END_TEST

START_TEST(no_memory)
{
    nni_arena a = { 0 };
    char *kept = nni_arena_text(&a, "kept");

    ck_assert_ptr_null(nni_arena_take(&a, SIZE_MAX));
    ck_assert_ptr_null(nni_arena_take(&a, SIZE_MAX / 2));
    allowed = 0;
    ck_assert_ptr_null(nni_arena_take(&a, 1 << 20));
    allowed = 1;
    ck_assert_ptr_nonnull(nni_arena_take(&a, 1 << 20));
    ck_assert_str_eq(kept, "kept");
    nni_arena_free(&a);
    ck_assert_int_eq(live, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("arena");
    TCase *t = tcase_create("arena");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, pieces);
    tcase_add_test(t, texts);
    tcase_add_test(t, no_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
