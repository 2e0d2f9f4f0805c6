/* SPDX-License-Identifier: MIT
 *
 * The family's names, shapes and sizes against lists made by torchvision and timm: they are what
 * lets a state dict load as it is. What the networks compute is compared in tests/parity.
 */
#include "../golden/efficientnet.h"
#include "one_step.h"
#include "suite.h"

#include <check.h>
#include <nn/models/efficientnet.h>
#include <nn/nn.h>
#include <stdio.h>
#include <string.h>

static nn_device *device;

static void open_device(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 2 }, NULL), NN_OK);
}
static void close_device(void) { nn_close(device); }

/* Records `name` for images of `size` and returns its model; *logits gets the output's shape. */
static nn_model *record(const char *name, int64_t size, nn_mode mode, nn_shape *logits)
{
    const nn_efficientnet_config *c = nn_efficientnet_find(name);
    nn_model *m;
    nn_graph *g;

    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, mode), NN_OK);
    *logits = nn_shape_get(nn_efficientnet(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(2, size, size, 3)), c));
    ck_assert_msg(nn_graph_status(g) == NN_OK, "%s: %s", name, nn_graph_error(g));
    nn_graph_free(g);
    return m;
}

START_TEST(sizes)
{
    const char *name = golden_networks[_i].name;
    nn_shape shape;
    nn_model *m = record(name, nn_efficientnet_find(name)->resolution, _i % 2 ? NN_TRAIN : NN_EVAL, &shape);

    ck_assert_int_eq(nn_model_parameters(m), golden_networks[_i].parameters);
    ck_assert_int_eq(nn_model_count(m), golden_networks[_i].entries);
    ck_assert(nn_shape_equal(shape, NN_SHAPE2(2, 1000)));
    nn_model_free(m);
}
END_TEST

static void print(const nn_segment *s, char *line, size_t size)
{
    int n = snprintf(line, size, "%s [", s->name);

    for (int i = 0; i < s->shape.rank; i++)
        n += snprintf(line + n, size - (size_t)n, i ? ",%lld" : "%lld", (long long)s->shape.dim[i]);
    (void)snprintf(line + n, size - (size_t)n, "]");
}

/* In the order of the state dict, too: a diff of two lists should show real differences only. */
static void check_names(const nn_model *m, const char *prefix)
{
    FILE *list = fopen("tests/golden/efficientnet_b6.names", "r");
    char want[256], have[256];
    int64_t n = 0;

    ck_assert_msg(list != NULL, "run the tests from the root of the repository");
    for (; fgets(want, sizeof want, list); n++) {
        want[strcspn(want, "\n")] = 0;
        ck_assert_int_lt(n, nn_model_count(m));
        print(nn_model_segment(m, n), have, sizeof have);
        ck_assert_int_eq(strncmp(have, prefix, strlen(prefix)), 0);
        ck_assert_str_eq(have + strlen(prefix), want);
    }
    ck_assert_int_eq(n, 986);
    (void)fclose(list);
}

START_TEST(names_of_b6)
{
    nn_shape shape;
    nn_model *m = record("efficientnet_b6", 528, NN_EVAL, &shape);

    check_names(m, "");
    ck_assert_int_eq(nn_model_count(m), 986);
    ck_assert_int_eq(nn_model_parameters(m), 43040704);
    nn_model_free(m);
}
END_TEST

START_TEST(names_of_entry)
{
    nn_shape shape;
    nn_model *m = record("entry_b6", 224, NN_TRAIN, &shape);

    check_names(m, "backbone.");
    ck_assert_int_eq(nn_model_count(m), 988);
    ck_assert_int_eq(nn_model_parameters(m), 43040704 + 2 * 1000 + 2);
    ck_assert_str_eq(nn_model_segment(m, 986)->name, "classifier.weight");
    ck_assert_str_eq(nn_model_segment(m, 987)->name, "classifier.bias");
    ck_assert(nn_shape_equal(shape, NN_SHAPE2(2, 2)));
    nn_model_free(m);
}
END_TEST

START_TEST(modes_and_sizes_share_a_model)
{
    nn_efficientnet_config c = *nn_efficientnet_find("efficientnet_b0");
    nn_model *m;
    nn_graph *g;

    c.classes = 2;
    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    for (int i = 0; i < 2; i++) {
        nn_tensor *x;

        ck_assert_int_eq(nn_graph_new(&g, device, m, i ? NN_TRAIN : NN_EVAL), NN_OK);
        x = nn_efficientnet(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(3, 97 + i, 130, 3)), &c);
        ck_assert_msg(nn_graph_status(g) == NN_OK, "%s", nn_graph_error(g));
        ck_assert(nn_shape_equal(nn_shape_get(x), NN_SHAPE2(3, 2)));
        nn_graph_free(g);
        ck_assert_int_eq(nn_model_count(m), 360);
    }
    ck_assert_int_eq(nn_model_parameters(m), 5288548 - 998 * 1281);
    nn_model_free(m);
}
END_TEST

START_TEST(list_of_networks)
{
    int n = 0;

    for (const nn_efficientnet_config *c; (c = nn_efficientnet_at(n)) != NULL; n++)
        ck_assert_ptr_eq(nn_efficientnet_find(c->name), c);
    ck_assert_int_eq(n, 14);
    ck_assert_ptr_null(nn_efficientnet_at(-1));
    ck_assert_ptr_null(nn_efficientnet_find("efficientnet_b8"));
    ck_assert_int_eq(nn_efficientnet_find("efficientnet_b6")->resolution, 528);
}
END_TEST

START_TEST(bad_image_is_reported)
{
    const nn_efficientnet_config *c = nn_efficientnet_find("efficientnet_b0");
    nn_model *m;
    nn_graph *g;

    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_EVAL), NN_OK);
    ck_assert_ptr_null(nn_efficientnet(g, nn_input(g, "image", NN_REAL, NN_SHAPE2(2, 3)), c));
    ck_assert_int_ne(nn_graph_status(g), NN_OK);
    ck_assert_msg(strstr(nn_graph_error(g), "features.0") != NULL, "%s", nn_graph_error(g));
    nn_graph_free(g);
    nn_model_free(m);
}
END_TEST

/* One update of a small training batch changes every trainable parameter and every counter. */
START_TEST(one_step)
{
    nn_efficientnet_config c = *nn_efficientnet_find(_i ? "efficientnet_lite0" : "efficientnet_b0");
    nn_shape image = NN_SHAPE4(4, 64, 64, 3);
    nn_model *m;
    nn_graph *g;
    nn_plan *plan;
    nn_tensor *loss;

    c.classes = 2;
    c.drop_path = 0; /* a block that every sample skips has no gradient */
    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    loss = nn_efficientnet(g, nn_input(g, "image", NN_REAL, image), &c);
    loss = nn_cross_entropy(g, loss, nn_input(g, "target", NN_I32, NN_SHAPE1(4)), (nn_ce_opts){ 0 });
    ck_assert_msg(!nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .optim = nn_sgd((nn_sgd_opts){ 0 }) }),
                  "%s", nn_graph_error(g));
    nn_graph_free(g);

    one_step_changes(plan, m, (int32_t[]){ 0, 1, 1, 0 }, "", 100);
    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);
        const char *at = (const char *)nn_model_buffer(m, s->base, NULL) + s->offset;

        if (s->type == NN_I64)
            ck_assert_int_eq(*(const int64_t *)(const void *)at, 1);
    }
    nn_plan_free(plan);
    nn_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("efficientnet");
    TCase *t = tcase_create("efficientnet");

    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, open_device, close_device);
    tcase_add_loop_test(t, sizes, 0, sizeof golden_networks / sizeof *golden_networks);
    tcase_add_test(t, names_of_b6);
    tcase_add_test(t, names_of_entry);
    tcase_add_test(t, modes_and_sizes_share_a_model);
    tcase_add_test(t, list_of_networks);
    tcase_add_test(t, bad_image_is_reported);
    tcase_add_loop_test(t, one_step, 0, 2);
    suite_add_tcase(s, t);
    return suite_run(s);
}
