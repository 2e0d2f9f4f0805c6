/* SPDX-License-Identifier: MIT
 *
 * Published networks beside EfficientNet on the CUDA backend: one training step of each, loss, gradients and
 * updated parameters held against the CPU's. The networks have their true sizes, images and batches are
 * small.
 */
#include "shim.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/models/networks.h>
#include <nn/nn.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, CLASSES = 5 };

static nn_tensor *resnet18(nn_graph *g, nn_tensor *image)
{
    nn_resnet_config c = *nn_resnet_find("resnet18");

    c.classes = CLASSES;
    return nn_resnet(g, image, &c);
}

static nn_tensor *vgg11_bn(nn_graph *g, nn_tensor *image)
{
    nn_vgg_config c = *nn_vgg_find("vgg11_bn");

    c.classes = CLASSES;
    return nn_vgg(g, image, &c);
}

static const struct {
    const char *name;
    nn_tensor *(*record)(nn_graph *g, nn_tensor *image);
    int64_t side;
} networks[] = { { "resnet18", resnet18, 40 }, { "vgg11_bn", vgg11_bn, 32 } };
enum { NETWORKS = sizeof networks / sizeof *networks };

/* What is left of a step: all gradients, then all parameters. */
struct outcome {
    double loss;
    nn_real *value[2];
    int64_t count;
};

static struct outcome train(const char *name, int which)
{
    static const nn_base roles[2] = { NN_BASE_GRAD, NN_BASE_PARAM };
    int64_t side = networks[which].side;
    nn_plan_opts o = { .optim = nn_sgd((nn_sgd_opts){ .momentum = 0.9 }), .seed = 5 };
    struct outcome out = { 0 };
    nn_message why = { "" };
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *p;
    nn_tensor *x;
    nn_real *image;
    int32_t *target;
    size_t bytes;

    ck_assert_msg(!nn_open(&device, name, &(nn_device_options){ .threads = 2 }, &why), "%s", why.text);
    ck_assert_int_eq(nn_model_new(&model, device, 3), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_TRAIN), NN_OK);
    x = nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, side, side, 3));
    o.loss = nn_cross_entropy(g, networks[which].record(g, x),
                              nn_input(g, "target", NN_I32, NN_SHAPE1(BATCH)), (nn_ce_opts){ 0 });
    ck_assert_msg(!nn_compile(&p, g, o), "%s", nn_graph_error(g));
    nn_graph_free(g);
    image = nn_host(p, "image", &bytes);
    for (size_t i = 0; i < bytes / sizeof *image; i++)
        image[i] = (nn_real)sin((double)(i * i % 977));
    target = nn_host(p, "target", &bytes);
    for (int32_t i = 0; i < BATCH; i++)
        target[i] = i % CLASSES;
    (void)nn_set(p, NN_LEARNING_RATE, 1e-2);
    ck_assert_msg(!nn_run(p, NN_GRADIENTS | NN_UPDATE), "%s: %s", nn_plan_error(p), shim_error());
    out.loss = nn_loss(p);
    for (int r = 0; r < 2; r++) {
        const void *at = nn_model_buffer(model, roles[r], &bytes);

        out.value[r] = malloc(bytes);
        ck_assert(at && out.value[r]);
        memcpy(out.value[r], at, bytes);
        out.count = (int64_t)(bytes / sizeof(nn_real));
    }
    nn_plan_free(p);
    nn_model_free(model);
    nn_close(device);
    return out;
}

static double distance(const nn_real *a, const nn_real *b, int64_t n)
{
    double d = 0, s = 0;

    for (int64_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d / s);
}

START_TEST(one_step)
{
    struct outcome cpu = train("cpu", _i), gpu = train("cuda", _i);

    ck_assert_double_eq_tol(gpu.loss, cpu.loss, 1e-5 * cpu.loss);
    ck_assert_int_eq(gpu.count, cpu.count);
    ck_assert_double_lt(distance(gpu.value[0], cpu.value[0], cpu.count), 1e-4);
    ck_assert_double_lt(distance(gpu.value[1], cpu.value[1], cpu.count), 1e-6);
    ck_assert_msg(!*shim_error(), "%s", shim_error());
    for (int r = 0; r < 2; r++) {
        free(cpu.value[r]);
        free(gpu.value[r]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("networks");
    TCase *t = tcase_create("one step");

    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, one_step, 0, NETWORKS);
    suite_add_tcase(s, t);
    return suite_run(s);
}
