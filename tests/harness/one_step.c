/* SPDX-License-Identifier: MIT
 *
 * The image is made of fixed numbers that look random, so that no unit stays silent on all of it.
 */
#include "one_step.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void one_step_changes(nn_plan *plan, nn_model *model, const int32_t *target, const char *part, double most)
{
    size_t bytes;
    nn_real *x = nn_host(plan, "image", &bytes);
    char *before;

    for (size_t i = 0; i < bytes / sizeof *x; i++)
        x[i] = (nn_real)((double)(i * 2654435761 % 1000) / 500 - 1);
    x = nn_host(plan, "target", &bytes);
    memcpy(x, target, bytes);
    (void)nn_model_buffer(model, NN_BASE_PARAM, &bytes);
    before = malloc(bytes);
    ck_assert_ptr_nonnull(before);
    memcpy(before, nn_model_buffer(model, NN_BASE_PARAM, NULL), bytes);
    ck_assert_int_eq(nn_set(plan, NN_LEARNING_RATE, 0.5), NN_OK);
    ck_assert_msg(!nn_run(plan, NN_GRADIENTS | NN_UPDATE), "%s", nn_plan_error(plan));
    ck_assert_double_gt(nn_loss(plan), 0);
    ck_assert_double_lt(nn_loss(plan), most);
    for (int64_t i = 0; i < nn_model_count(model); i++) {
        const nn_segment *s = nn_model_segment(model, i);
        const char *now = nn_model_buffer(model, NN_BASE_PARAM, NULL);

        if (s->base == NN_BASE_PARAM && strstr(s->name, part))
            ck_assert_msg(memcmp(now + s->offset, before + s->offset, (size_t)s->count * sizeof *x) != 0,
                          "%s did not change", s->name);
    }
    free(before);
}
