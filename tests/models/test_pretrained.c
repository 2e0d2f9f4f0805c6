/* SPDX-License-Identifier: MIT
 *
 * Dialects: a network's tensors under the names of torchvision, timm and lukemelas are recognised, told apart
 * where anything tells, and load into the network that they were made for. What the networks then compute is
 * compared in tests/parity/weights.py.
 */
#include "suite.h"

#include "models/families.h"
#include <check.h>
#include <inttypes.h>
#include <nn/classifier.h>
#include <nn/models/pretrained.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum style { TORCHVISION, TIMM, LUKEMELAS };
enum { CLASSES = 1000 };

static nn_device *device;
static char path[64];
static nn_message why;

static void setup(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    (void)snprintf(path, sizeof path, "/tmp/nn_pretrained_%ld", (long)getpid());
}

static void teardown(void)
{
    (void)remove(path);
    nn_close(device);
}

static nn_model *model_of(const nn_network *c)
{
    nn_model *m;
    nn_graph *g;

    ck_assert_int_eq(nn_model_new(&m, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_EVAL), NN_OK);
    (void)c->record(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(1, 32, 32, 3)), c, CLASSES);
    ck_assert_msg(!nn_graph_status(g), "%s", nn_graph_error(g));
    nn_graph_free(g);
    return m;
}

/* Our name of a tensor in another style: tables of what stands outside of blocks and within. */
static void their_name(enum style style, const nn_efficientnet_config *c, const char *ours, char *theirs)
{
    static const char *const outer[][3] = { { "features.0.0.", "conv_stem.", "_conv_stem." },
                                            { "features.0.1.", "bn1.", "_bn0." },
                                            { "features.8.0.", "conv_head.", "_conv_head." },
                                            { "features.8.1.", "bn2.", "_bn1." },
                                            { "classifier.1.", "classifier.", "_fc." } };
    static const char *const inner[][3] = {
        /* expansion, filter, squeeze-and-excite, projection; the second of timm's is without expansion */
        { "conv_pw", NULL, "_expand_conv" },
        { "bn1", NULL, "_bn0" },
        { "conv_dw", "conv_dw", "_depthwise_conv" },
        { "bn2", "bn1", "_bn1" },
        { "se.conv_reduce", "se.conv_reduce", "_se_reduce" },
        { "se.conv_expand", "se.conv_expand", "_se_expand" },
        { "conv_pwl", "conv_pw", "_project_conv" },
        { "bn3", "bn2", "_bn2" },
    };
    int stage, block, part, before = 0, n = 0, which;
    char kind[16];

    if (style == TORCHVISION) {
        (void)strcpy(theirs, ours);
        return;
    }
    for (size_t i = 0; i < sizeof outer / sizeof *outer; i++) {
        if (strncmp(ours, outer[i][0], strlen(outer[i][0])) != 0)
            continue;
        (void)snprintf(theirs, 128, "%s%s", outer[i][style], ours + strlen(outer[i][0]));
        return;
    }
    ck_assert_int_eq(sscanf(ours, "features.%d.%d.block.%d.%15[^.]%n", &stage, &block, &part, kind, &n), 4);
    for (int s = 1; s < stage; s++)
        before += (int)nn_efficientnet_blocks(c, s);
    part += stage == 1;           /* no expansion there */
    part += c->lite && part == 2; /* no squeeze-and-excite */
    which = 2 * part + (strcmp(kind, "1") == 0 || strcmp(kind, "fc2") == 0);
    if (style == TIMM)
        (void)snprintf(theirs, 128, "blocks.%d.%d.%s%s", stage - 1, block, inner[which][stage == 1],
                       ours + n);
    else
        (void)snprintf(theirs, 128, "_blocks.%d.%s%s", before + block, inner[which][2], ours + n);
}

/* Writes all of a network's tensors, zeros, to `path`. */
static void write_file(const char *network, enum style style, const char *prefix, const nn_pair *pairs,
                       int64_t n)
{
    static float zeros[1 << 22];
    static nn_safetensors_item item[1024];
    static char name[1024][160];
    nn_network net;
    nn_model *m;
    int64_t count;

    ck_assert_int_eq(nn_network_find(network, &net), NN_OK);
    m = model_of(&net);
    count = nn_model_count(m);
    ck_assert_int_le(count, 1024);
    for (int64_t i = 0; i < count; i++) {
        const nn_segment *s = nn_model_segment(m, i);
        char theirs[128];

        their_name(style, nn_efficientnet_find(network), s->name, theirs);
        (void)snprintf(name[i], sizeof name[i], "%s%s", prefix, theirs);
        ck_assert_uint_le((size_t)s->count * 4, sizeof zeros);
        item[i] = (nn_safetensors_item){ name[i], s->type == NN_I64 ? NN_I64 : NN_F32, s->shape, zeros };
    }
    nn_model_free(m);
    ck_assert_msg(!nn_safetensors_write(path, item, count, pairs, n, &why), "%s", why.text);
}

/* What is found of that file, called `called`; it must load completely. */
static nn_pretrained identify(nn_pretrained_opts opts)
{
    nn_safetensors *file;
    nn_pretrained p;
    nn_model *m;

    ck_assert_msg(!nn_weights_open(&file, path, NULL, &why), "%s", why.text);
    ck_assert_msg(!nn_pretrained_identify(&p, file, &opts, &why), "%s", why.text);
    m = model_of(&p.network);
    ck_assert_msg(!nn_model_load_from(m, file, NULL, NULL), "%s", nn_model_error(m));
    nn_model_free(m);
    nn_safetensors_free(file);
    return p;
}

static void expect_network(nn_pretrained_opts opts, const char *name)
{
    nn_pretrained p = identify(opts);

    ck_assert_str_eq(p.network.name, name);
    nn_preprocess_free(&p.preprocess);
}

static void expect_refused(nn_pretrained_opts opts, int status, const char *says)
{
    nn_safetensors *file;
    nn_pretrained p;

    ck_assert_msg(!nn_weights_open(&file, path, NULL, &why), "%s", why.text);
    ck_assert_int_eq(nn_pretrained_identify(&p, file, &opts, &why), status);
    ck_assert_msg(strstr(why.text, says) != NULL, "\"%s\" is not in: %s", says, why.text);
    nn_safetensors_free(file);
}

static void expect(nn_pretrained_opts opts, const char *dialect, nn_padding padding, double eps, double mean)
{
    nn_pretrained p = identify(opts);

    ck_assert_str_eq(p.dialect, dialect);
    ck_assert_int_eq(p.network.padding, padding);
    ck_assert_double_eq(p.network.eps, eps);
    ck_assert_double_eq(p.preprocess.mean[0], mean);
    ck_assert_int_eq(p.classes, CLASSES);
    ck_assert_str_eq(p.preprocess.class_names[0], "tench, Tinca tinca");
    nn_preprocess_free(&p.preprocess);
}

#define NAMED(text) ((nn_pretrained_opts){ .path = (text) })
#define CALLED(text) ((nn_pretrained_opts){ .dialect = (text) })

START_TEST(of_torchvision)
{
    write_file("efficientnet_b0", TORCHVISION, "", NULL, 0);
    expect(NAMED("x/efficientnet_b0_rwightman-7f5810bc.pth"), "torchvision", NN_PAD_AUTO, 1e-5, 0.485);
    expect(NAMED(NULL), "torchvision", NN_PAD_AUTO, 1e-5, 0.485);
    expect_refused(CALLED("timm"), NN_EINVAL, "but of: torchvision");
}
END_TEST

START_TEST(of_timm)
{
    static const char config[] =
        "{\"architecture\":\"tf_efficientnet_b0\",\"num_classes\":1000,"
        "\"pretrained_cfg\":{\"tag\":\"x\",\"input_size\":[3,200,200],\"crop_pct\":0.5,"
        "\"interpolation\":\"bilinear\",\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]}}";
    nn_pretrained p;

    write_file("efficientnet_b0", TIMM, "", NULL, 0);
    expect_refused(NAMED("model.safetensors"), NN_EINVAL, "name one of: timm timm-tf-ap timm-tf");
    expect_refused(CALLED("lukemelas"), NN_EINVAL, "not those of the dialect lukemelas");
    expect(NAMED("/a/tf_efficientnet_b0_ns-c0e6a31c.pth"), "timm-tf", NN_PAD_SAME, 1e-3, 0.485);
    expect(NAMED("tf_efficientnet_b0_ap-f262efe1.pth"), "timm-tf-ap", NN_PAD_SAME, 1e-3, 0.5);
    expect(NAMED("efficientnet_b0_ra-3dd342df.pth"), "timm", NN_PAD_AUTO, 1e-5, 0.485);
    expect(CALLED("timm"), "timm", NN_PAD_AUTO, 1e-5, 0.485);
    p = identify((nn_pretrained_opts){ .config = config });
    ck_assert_str_eq(p.dialect, "timm-tf-ap");
    ck_assert_int_eq(p.preprocess.size, 200);
    ck_assert_int_eq(p.preprocess.resize_shorter, 400);
    ck_assert_int_eq(p.preprocess.kernel, NN_RESIZE_PILLOW_BILINEAR);
    nn_preprocess_free(&p.preprocess);
    expect_refused((nn_pretrained_opts){ .config = "{" }, NN_EFORMAT, "config.json");
}
END_TEST

START_TEST(of_lukemelas)
{
    write_file("efficientnet_b0", LUKEMELAS, "", NULL, 0);
    expect_refused(NAMED("weights.safetensors"), NN_EINVAL, "lukemelas-ap lukemelas");
    expect(NAMED("efficientnet-b0-355c32eb.pth"), "lukemelas", NN_PAD_SAME, 1e-3, 0.485);
    expect(NAMED("adv-efficientnet-b0-b64d5a18.pth"), "lukemelas-ap", NN_PAD_SAME, 1e-3, 0.5);
}
END_TEST

START_TEST(lite)
{
    write_file("efficientnet_lite0", LUKEMELAS, "", NULL, 0);
    expect(NAMED(NULL), "lukemelas", NN_PAD_SAME, 1e-3, 127.0 / 255);
    write_file("efficientnet_lite0", TIMM, "", NULL, 0);
    expect_refused(NAMED(NULL), NN_EINVAL, "timm timm-tf");
    expect(NAMED("tf_efficientnet_lite0-0aa007d2.pth"), "timm-tf", NN_PAD_SAME, 1e-3, 0.5);
    expect(NAMED("efficientnet_lite0_ra-37913777.pth"), "timm", NN_PAD_AUTO, 1e-5, 0.485);
    write_file("efficientnet_lite1", TIMM, "", NULL, 0);
    expect_network(CALLED("timm-tf"), "efficientnet_lite1");
    write_file("efficientnet_lite2", TIMM, "", NULL, 0);
    expect_network(CALLED("timm-tf"), "efficientnet_lite2");
}
END_TEST

START_TEST(prefixes_and_notes)
{
    const nn_pair arch = { "torch.arch", "tf_efficientnet_b0" };
    const nn_pair ours[] = { { NN_NETWORK_KEY, "efficientnet_b0" },
                             { NN_PADDING_KEY, "same" },
                             { NN_EPS_KEY, "0.25" } };
    const nn_pair odd[] = { { NN_NETWORK_KEY, "efficientnet_b0" }, { NN_PADDING_KEY, "none" } };
    nn_pretrained p;

    write_file("efficientnet_b0", TIMM, "module.model.", &arch, 1);
    expect(NAMED(NULL), "timm-tf", NN_PAD_SAME, 1e-3, 0.485);
    write_file("efficientnet_b0", TORCHVISION, "_orig_mod.backbone.", NULL, 0);
    expect(NAMED(NULL), "torchvision", NN_PAD_AUTO, 1e-5, 0.485);
    write_file("efficientnet_b0", TORCHVISION, "strange.", NULL, 0);
    expect_refused(NAMED(NULL), NN_EUNSUPPORTED, "no network that is known");
    write_file("efficientnet_b0", TORCHVISION, "", ours, 3);
    p = identify(NAMED(NULL));
    ck_assert_str_eq(p.dialect, "libnn");
    ck_assert_int_eq(p.network.padding, NN_PAD_SAME);
    ck_assert_double_eq(p.network.eps, 0.25);
    write_file("efficientnet_b0", TORCHVISION, "", odd, 2);
    expect_refused(NAMED(NULL), NN_EFORMAT, NN_PADDING_KEY);
}
END_TEST

START_TEST(resnet)
{
    nn_pretrained p;

    write_file("resnet18", TORCHVISION, "", NULL, 0);
    p = identify(NAMED("resnet18-f37072fd.pth"));
    ck_assert_str_eq(p.network.name, "resnet18");
    ck_assert_str_eq(p.dialect, "torchvision");
    ck_assert_int_eq(p.classes, CLASSES);
    nn_preprocess_free(&p.preprocess);
}
END_TEST

START_TEST(lists)
{
    ck_assert_ptr_null(nn_imagenet_class(-1));
    ck_assert_ptr_null(nn_imagenet_class(CLASSES));
    ck_assert_str_eq(nn_imagenet_class(CLASSES - 1), "toilet tissue, toilet paper, bathroom tissue");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pretrained");
    TCase *t = tcase_create("pretrained");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, of_torchvision);
    tcase_add_test(t, of_timm);
    tcase_add_test(t, of_lukemelas);
    tcase_add_test(t, lite);
    tcase_add_test(t, prefixes_and_notes);
    tcase_add_test(t, resnet);
    tcase_add_test(t, lists);
    suite_add_tcase(s, t);
    return suite_run(s);
}
