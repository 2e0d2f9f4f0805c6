/* SPDX-License-Identifier: MIT
 *
 * ResNet and VGG against torchvision's names, shapes and order; the list of all networks; and that a
 * step of each trains everything. What they compute is compared in tests/parity.
 */
#include "../golden/networks.h"
#include "one_step.h"
#include "suite.h"

#include <check.h>
#include <nn/models/networks.h>
#include <nn/nn.h>
#include <stdio.h>
#include <string.h>

static nn_device *device;

static void open_device(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 2 }, NULL), NN_OK);
}
static void close_device(void) { nn_close(device); }

/* Records `name` for images of `size`; its model is declared, not filled. */
static nn_graph *record(const char *name, nn_model **m, nn_mode mode, int64_t size, nn_tensor **logits)
{
    nn_network net;
    nn_graph *g;

    ck_assert_int_eq(nn_network_find(name, &net), NN_OK);
    ck_assert_int_eq(nn_model_new(m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, *m, mode), NN_OK);
    *logits = net.record(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(2, size, size, 3)), &net, 1000);
    return g;
}

static unsigned long long hash_of_names(const nn_model *m)
{
    unsigned long long h = 0xcbf29ce484222325u;

    for (int64_t i = 0; i < nn_model_count(m); i++) {
        const nn_segment *s = nn_model_segment(m, i);
        char line[256];
        int n = snprintf(line, sizeof line, "%s [", s->name);

        for (int k = 0; k < s->shape.rank; k++)
            n +=
                snprintf(line + n, sizeof line - (size_t)n, k ? ",%lld" : "%lld", (long long)s->shape.dim[k]);
        (void)snprintf(line + n, sizeof line - (size_t)n, "]\n");
        for (const char *at = line; *at; at++)
            h = (h ^ (unsigned char)*at) * 0x100000001b3u;
    }
    return h;
}

START_TEST(names_and_shapes)
{
    nn_tensor *logits;
    nn_model *m;
    nn_graph *g = record(golden_networks[_i].name, &m, _i % 2 ? NN_TRAIN : NN_EVAL, 224, &logits);

    ck_assert_msg(logits != NULL, "%s", nn_graph_error(g));
    ck_assert(nn_shape_equal(nn_shape_get(logits), NN_SHAPE2(2, 1000)));
    nn_graph_free(g);
    ck_assert_int_eq(nn_model_parameters(m), golden_networks[_i].parameters);
    ck_assert_int_eq(nn_model_count(m), golden_networks[_i].entries);
    ck_assert_uint_eq(hash_of_names(m), golden_networks[_i].hash);
    nn_model_free(m);
}
END_TEST

START_TEST(list_of_networks)
{
    nn_network at, found;
    int n = 0;

    for (; !nn_network_at(n, &at); n++) {
        ck_assert_int_eq(nn_network_find(at.name, &found), NN_OK);
        ck_assert_str_eq(found.name, at.name);
        ck_assert_int_ge(at.resolution, 224);
    }
    ck_assert_int_eq(n, 14 + 5 + 4);
    ck_assert_int_eq(nn_network_at(-1, &at), NN_ENOTFOUND);
    ck_assert_int_eq(nn_network_find("resnet17", &at), NN_ENOTFOUND);
    ck_assert_ptr_null(at.name);
}
END_TEST

START_TEST(small_image_is_reported)
{
    nn_tensor *logits;
    nn_model *m;
    nn_graph *g = record("vgg16_bn", &m, NN_EVAL, 31, &logits);

    ck_assert_ptr_null(logits);
    ck_assert_msg(strstr(nn_graph_error(g), "window") != NULL, "%s", nn_graph_error(g));
    nn_graph_free(g);
    nn_model_free(m);
}
END_TEST

/* One update of a small training batch changes every weight. */
START_TEST(one_step)
{
    static const char *const name[] = { "resnet18", "resnet50" };
    nn_tensor *loss;
    nn_model *m;
    nn_graph *g = record(name[_i], &m, NN_TRAIN, 40, &loss);
    nn_plan *plan;

    loss = nn_cross_entropy(g, loss, nn_input(g, "target", NN_I32, NN_SHAPE1(2)), (nn_ce_opts){ 0 });
    ck_assert_msg(!nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .optim = nn_sgd((nn_sgd_opts){ 0 }) }),
                  "%s", nn_graph_error(g));
    nn_graph_free(g);
    one_step_changes(plan, m, (int32_t[]){ 7, 1 }, "weight", 30);
    nn_plan_free(plan);
    nn_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("networks");
    TCase *t = tcase_create("networks");

    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, open_device, close_device);
    tcase_add_loop_test(t, names_and_shapes, 0, sizeof golden_networks / sizeof *golden_networks);
    tcase_add_test(t, list_of_networks);
    tcase_add_test(t, small_image_is_reported);
    tcase_add_loop_test(t, one_step, 0, 2);
    suite_add_tcase(s, t);
    return suite_run(s);
}
