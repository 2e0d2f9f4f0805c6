/* SPDX-License-Identifier: MIT
 *
 * An op without a kernel, a backward or a test does not land. This walks the list of ops and looks
 * for each one's tests/ops/test_<op>.c, so a missing file fails here and not in somebody's training.
 */
#include "ops/list.h"
#include "source.h"
#include "suite.h"

#include <nn/nn.h>

#include <check.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *symbol;
    const nn_op *op;
} list[] = {
#define X(name) { #name, &nn_op_##name },
    NNI_OP_LIST(X)
#undef X
};
enum { OPS = sizeof list / sizeof *list };

START_TEST(is_complete)
{
    const nn_op *op = list[_i].op;

    ck_assert_uint_eq(op->abi, NN_OP_ABI);
    ck_assert_str_eq(op->name, list[_i].symbol);
    ck_assert_msg(op->infer != NULL, "%s has no infer", op->name);
    ck_assert_msg(op->forward[NN_DEVICE_CPU] != NULL, "%s has no forward kernel for the CPU", op->name);
    ck_assert_msg((op->backward[NN_DEVICE_CPU] == NULL) == !!(op->flags & NN_OP_NO_GRAD),
                  "%s must have either a backward or the flag NN_OP_NO_GRAD", op->name);
    for (int i = 0; i < OPS; i++)
        ck_assert_msg(i == _i || strcmp(op->name, list[i].op->name) != 0, "two ops are called %s", op->name);
    for (int k = 0; k < NN_SLOTS; k++)
        ck_assert_msg(op->slot[k] < NN_MAX_IN, "%s: slot %d is out of range", op->name, k);
    if (op->slot[NN_SLOT_AFFINE])
        ck_assert_msg(op->optional & NN_IN(op->slot[NN_SLOT_AFFINE]), "%s: a slot's inputs are optional",
                      op->name);
}
END_TEST

/* A table compares with an oracle of its own, or with one that a macro of tests/ops/cases.h defines. */
static int has_oracle(const char *text)
{
    static const char *const sign[] = { "oracle(", ".oracle", "UNARY(", "BINARY(", "LOSS(" };

    for (size_t i = 0; i < sizeof sign / sizeof *sign; i++)
        if (strstr(text, sign[i]))
            return 1;
    return 0;
}

START_TEST(has_a_test)
{
    char tail[128], path[512];
    static char text[1 << 20];
    FILE *f;
    size_t n;

    ck_assert_msg(source_path(path, sizeof path, "libnn/include/nn/ops.h"),
                  "the source tree was not found: run this from a folder inside it");
    (void)snprintf(tail, sizeof tail, "tests/ops/test_%s.c", list[_i].op->name);
    ck_assert_msg(source_path(path, sizeof path, tail), "%s is missing", tail);
    f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = 0;
    ck_assert_msg(strstr(text, "OP_TEST(") != NULL, "%s does not use the op test harness", tail);
    /* An effect has no output that a table could compare. */
    ck_assert_msg(list[_i].op->flags & NN_OP_EFFECT || has_oracle(text), "%s compares with no oracle", tail);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("op_list");
    TCase *t = tcase_create("ops");

    tcase_add_loop_test(t, is_complete, 0, OPS);
    tcase_add_loop_test(t, has_a_test, 0, OPS);
    suite_add_tcase(s, t);
    return suite_run(s);
}
