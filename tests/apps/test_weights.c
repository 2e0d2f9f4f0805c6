/* SPDX-License-Identifier: MIT
 *
 * nn_weights and nn_classify as a user runs them: what is printed, what is written, what is refused and how.
 */
#include "programs.h"
#include "suite.h"

/* A network of 1000 classes under torchvision's names, without a word about itself. */
static void make_plain(const char *path)
{
    nn_network net;
    nn_model *m;
    nn_graph *g;

    ck_assert_int_eq(nn_network_find("efficientnet_lite0", &net), NN_OK);
    ck_assert_int_eq(nn_model_new(&m, device, 5), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_EVAL), NN_OK);
    (void)net.record(g, nn_input(g, "image", NN_REAL, NN_SHAPE4(1, 32, 32, 3)), &net, 1000);
    ck_assert_int_eq(nn_graph_status(g), NN_OK);
    nn_graph_free(g);
    ck_assert_msg(!nn_model_save(m, in_tree(path), NN_BASE_NONE, NULL, 0), "%s", nn_model_error(m));
    nn_model_free(m);
}

START_TEST(there_and_back)
{
    make_plain("plain.safetensors");
    run("nn_weights", "info", in_tree("plain.safetensors"), NULL);
    expect_code(0);
    expect_in(ran.out, "tensors\t296\n");
    expect_in(ran.out, "efficientnet_lite0, 1000 classes");
    run("nn_weights", "convert", in_tree("plain.safetensors"), in_tree("a.pth"), NULL);
    expect_code(0);
    expect_in(ran.err, "cannot say that this network pads");
    run("nn_weights", "convert", in_tree("a.pth"), in_tree("b.safetensors"), NULL);
    expect_code(0);
    run("nn_weights", "diff", in_tree("plain.safetensors"), in_tree("b.safetensors"), NULL);
    expect_code(0);
    ck_assert_str_eq(ran.out, "");
    run("nn_weights", "verify", in_tree("a.pth"), NULL);
    expect_code(0);
    expect_in(ran.out, "ok\t296 tensors");
    run("nn_weights", "info", "--all", in_tree("b.safetensors"), NULL);
    expect_in(ran.out, "features.0.0.weight\tF32\t[32,3,3,3]\n");
    expect_in(ran.out, "libnn.pad_mode\tsame\n");
}
END_TEST

START_TEST(differences)
{
    make_checkpoint("a.safetensors", 1, 0.5);
    make_checkpoint("b.safetensors", 2, 0.5);
    run("nn_weights", "diff", in_tree("a.safetensors"), in_tree("b.safetensors"), NULL);
    expect_code(1);
    expect_in(ran.out, "features.0.0.weight\tof different values\n");
    expect_not_in(ran.out, "num_batches_tracked");
    make_plain("c.safetensors");
    run("nn_weights", "diff", in_tree("a.safetensors"), in_tree("c.safetensors"), NULL);
    expect_code(1);
    expect_in(ran.out, "classifier.1.weight\tof different shapes\n");
}
END_TEST

/* What nn_classify says is what the network says, best first. */
START_TEST(classify)
{
    static const char *const fields = "%[^\t]\t%lld\t%lld\t%lg\t%[^\n]\n%n";
    long long rank, index;
    double p, before = 1;
    char image[4096], name[256];
    int n = 0;

    make_plain("plain.safetensors");
    put_png("x.png", 3);
    run("nn_classify", "--weights", in_tree("plain.safetensors"), "--image-size", "64", "--format", "tsv",
        "--top", "3", in_tree("x.png"), NULL);
    expect_code(0);
    for (long long i = 1; i <= 3; i++) {
        const char *at = ran.out + n;
        int step = 0;

        ck_assert_int_eq(sscanf(at, fields, image, &rank, &index, &p, name, &step), 5);
        ck_assert_str_eq(image, in_tree("x.png"));
        ck_assert_int_eq(rank, i);
        ck_assert(p <= before && p > 0);
        ck_assert_str_eq(name, nn_imagenet_class(index));
        before = p;
        n += step;
    }
    ck_assert_str_eq(ran.out + n, "");
    put_bytes("bad.png", "no image", 8);
    run("nn_classify", "-w", in_tree("plain.safetensors"), "--image-size", "64", in_tree("bad.png"),
        in_tree("x.png"), NULL);
    expect_code(3);
    expect_in(ran.err, "bad.png");
    expect_in(ran.out, "x.png");
}
END_TEST

START_TEST(usage)
{
    static const float one = 1;
    const nn_safetensors_item odd = { "weight", NN_F32, NN_SHAPE1(1), &one };

    make_plain("plain.safetensors");
    ck_assert_int_eq(nn_safetensors_write(in_tree("odd.safetensors"), &odd, 1, NULL, 0, &why), NN_OK);
    put_bytes("html.pth", "<html>Not found</html>", 22);
    run("nn_weights", NULL);
    expect_code(2);
    run("nn_weights", "mend", "x", NULL);
    expect_code(2);
    expect_in(ran.err, "no command \"mend\"");
    run("nn_weights", "diff", in_tree("plain.safetensors"), NULL);
    expect_code(2);
    run("nn_weights", "convert", in_tree("plain.safetensors"), in_tree("x.tflite"), NULL);
    expect_code(2);
    run("nn_weights", "convert", in_tree("plain.safetensors"), in_tree(".onnx"), NULL);
    expect_code(2);
    run("nn_weights", "verify", in_tree("odd.safetensors"), NULL);
    expect_code(3);
    expect_in(ran.err, "no network that is known");
    run("nn_weights", "info", in_tree("html.pth"), NULL);
    expect_code(3);
    expect_in(ran.err, "HTML");
    run("nn_weights", "info", in_tree("nowhere"), NULL);
    expect_code(3);
    run("nn_weights", "convert", in_tree("plain.safetensors"), "/nowhere/x.pth", NULL);
    expect_code(4);
    run("nn_classify", "--weights", in_tree("plain.safetensors"), NULL);
    expect_code(2);
    run("nn_classify", in_tree("x.png"), NULL);
    expect_code(2);
    run("nn_classify", "--weights", in_tree("plain.safetensors"), "--dialect", "timm", in_tree("x.png"),
        NULL);
    expect_code(2);
    expect_in(ran.err, "--dialect");
}
END_TEST

/* A checkpoint in the middle of a training: weights, their averages and moments. */
static void make_moments(const char *path, nn_pair *pairs, int64_t count)
{
    struct network n = small_network(1);
    nn_plan_opts o = { .optim = nn_adam((nn_adam_opts){ 0 }), .ema_decay = 0.5 };
    nn_plan *plan;

    ck_assert_int_eq(network_plan(&n, NN_TRAIN, 2, &o, &plan), 0);
    ck_assert_msg(!nn_checkpoint_save(plan, n.model, in_tree(path), pairs, count, &why), "%s", why.text);
    network_free(&n);
}

static bool holds(const char *data, size_t size, const char *text)
{
    for (size_t n = strlen(text); size >= n; data++, size--)
        if (!memcmp(data, text, n))
            return true;
    return false;
}

START_TEST(onnx)
{
    struct rlimit old, small = { .rlim_cur = 1 << 20 };
    size_t size;
    char *model;

    make_checkpoint("a.safetensors", 1, 0.375);
    run("nn_weights", "convert", in_tree("a.safetensors"), in_tree("a.onnx"), NULL);
    expect_code(0);
    model = all_of("a.onnx", &size);
    ck_assert(holds(model, size, "libnn.threshold\x12\x05" /* five bytes of text */ "0.375"));
    ck_assert(holds(model, size, "\"class_names\":[\"real\",\"fake\"]"));
    free(model);
    run("nn_weights", "info", in_tree("a.onnx"), NULL);
    expect_code(3);
    expect_in(ran.err,
              "a.onnx: not a safetensors file but an ONNX model, which libnn writes but does not read");
    run("nn_weights", "convert", in_tree("a.safetensors"), "/nowhere/x.onnx", NULL);
    expect_code(4);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    run("nn_weights", "convert", in_tree("a.safetensors"), in_tree("full.onnx"), NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    expect_code(4);
    ck_assert_int_ne(access(in_tree("full.onnx"), F_OK), 0);
}
END_TEST

/* Weights that fit a network are no classifier without the record of its images. */
START_TEST(no_record)
{
    struct network n = small_network(1);
    nn_pair pair = { NN_NETWORK_KEY, "efficientnet_lite0" };

    ck_assert_int_eq(nn_model_save(n.model, in_tree("bare.safetensors"), 0, &pair, 1), NN_OK);
    network_free(&n);
    run("nn_weights", "verify", in_tree("bare.safetensors"), NULL);
    expect_code(3);
    expect_in(ran.err, "no \"libnn.preprocess\"");
    put_png("x.png", 1);
    run("fakereal_predict", "-c", in_tree("bare.safetensors"), "-i", in_tree("x.png"), "-o", in_tree("o.csv"),
        NULL);
    expect_code(3);
}
END_TEST

/* What a training can be resumed from holds three networks. */
START_TEST(checkpoints)
{
    nn_pair pairs[8];
    int64_t count;
    struct network n = small_network(1);

    ck_assert_int_eq(network_pairs(&n, pairs, &count, 0.25), 0);
    make_moments("last.safetensors", pairs, count);
    network_pairs_free(pairs, count);
    network_free(&n);
    make_checkpoint("model.safetensors", 1, 0.5);
    for (int i = 0; i < 2; i++) {
        const char *ema = i ? "--ema" : NULL;

        run("nn_weights", "verify", in_tree("last.safetensors"), ema, NULL);
        expect_code(0);
        run("nn_weights", "convert", in_tree("last.safetensors"), in_tree("out.safetensors"), ema, NULL);
        expect_code(0);
        run("nn_weights", "diff", in_tree("out.safetensors"), in_tree("model.safetensors"), NULL);
        expect_code(0);
        run("nn_weights", "info", in_tree("out.safetensors"), NULL);
        expect_in(ran.out, "libnn.threshold\t0.25\n");
        run("nn_weights", "convert", in_tree("last.safetensors"), in_tree("out.onnx"), ema, NULL);
        expect_code(0);
    }
    run("nn_weights", "diff", in_tree("last.safetensors"), in_tree("model.safetensors"), NULL);
    expect_code(0);
    expect_in(ran.err, "last.safetensors is a checkpoint of a training: its network alone is compared");
    run("nn_weights", "diff", in_tree("out.safetensors"), in_tree("last.safetensors"), "--ema", NULL);
    expect_code(2); /* there are none in the first */
    run("nn_weights", "diff", in_tree("last.safetensors"), in_tree("last.safetensors"), NULL);
    expect_code(0);
    expect_not_in(ran.err, "alone");
    /* What a run goes on from is more than what is converted. */
    run("nn_weights", "convert", in_tree("last.safetensors"), in_tree("last.safetensors"), NULL);
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read (FROM)");
    run("nn_weights", "verify", "--ema", in_tree("model.safetensors"), NULL);
    expect_code(2);
    expect_in(ran.err, "keeps no averaged weights");
}
END_TEST

/* Values that no network can have are named, tensor by tensor, and not passed on to other programs. */
START_TEST(impossible_values)
{
    static const char stem[] = "features.0.1.running_var", head[] = "classifier.1.bias";
    struct network n = small_network(1);
    float variance[32], bias[2] = { 1, NAN };

    for (int i = 0; i < 32; i++)
        variance[i] = i < 30 ? 1 : -1e-3f;
    ck_assert_int_eq(nn_model_write(n.model, stem, NN_BASE_PARAM, NN_F32, variance), NN_OK);
    ck_assert_int_eq(nn_model_write(n.model, head, NN_BASE_PARAM, NN_F32, bias), NN_OK);
    save(&n, "odd.safetensors", 0.5);
    network_free(&n);
    for (int i = 0; i < 2; i++) {
        if (i)
            run("nn_weights", "convert", in_tree("odd.safetensors"), in_tree("odd.pth"), NULL);
        else
            run("nn_weights", "verify", in_tree("odd.safetensors"), NULL);
        expect_code(3);
        expect_in(ran.err,
                  "features.0.1.running_var: 2 of 32 values, the first of them number 30, are negative");
        expect_in(ran.err, "classifier.1.bias: 1 of 2 values, the first of them number 1, are not finite");
        ck_assert_str_eq(ran.out, "");
    }
    ck_assert_int_ne(access(in_tree("odd.pth"), F_OK), 0);
    put_png("x.png", 3);
    run("nn_classify", "-w", in_tree("odd.safetensors"), in_tree("x.png"), NULL);
    expect_code(3);
    expect_in(ran.err, "x.png: the network gives no number");
    ck_assert_str_eq(ran.out, "");
}
END_TEST

/* What a file calls things reaches the terminal as text, whatever it was meant to do there. */
START_TEST(names_that_command)
{
    /* Colour, the same with one byte (C1), a carriage return, a change of direction, and a harmless letter.
     */
    static const char name[] = "a\x1b[31m\xc2\x9b\r\xe2\x80\xae\xc3\xa9";
    static const char shown[] = "a\\x1b[31m\\xc2\\x9b\\x0d\\xe2\\x80\\xae\xc3\xa9";
    const char *classes[] = { name, "b\tc\n" };
    const nn_pair pair = { "note", "\x7f \xe2\x80\xae" };
    const float one = 1;
    nn_safetensors_item item = { "weight", NN_F32, NN_SHAPE1(1), &one };
    struct network n = small_network(1);
    char *file;
    size_t size;

    put_png("x.png", 3);
    ck_assert_int_eq(nn_preprocess_set_classes(&n.preprocess, classes, 2, &why), NN_OK);
    save(&n, "n.safetensors", 0.5);
    network_free(&n);
    run("nn_classify", "-w", in_tree("n.safetensors"), "--format", "tsv", in_tree("x.png"), NULL);
    expect_code(0);
    expect_in(ran.out, shown);
    expect_in(ran.out, "\tb\\x09c\\n\n");
    expect_not_in(ran.out, "\x1b");
    run("fakereal_predict", "-c", in_tree("n.safetensors"), "-i", in_tree("x.png"), "-o", in_tree("o.csv"),
        NULL);
    expect_code(3);
    expect_in(ran.err, shown);
    expect_not_in(ran.err, "\x1b");

    ck_assert_int_eq(nn_safetensors_write(in_tree("w.safetensors"), &item, 1, &pair, 1, &why), NN_OK);
    file = all_of("w.safetensors", &size);
    memcpy(strstr(file + 8, "weight"), "\xe2\x80\xaexyz", 6);
    put_bytes("w.safetensors", file, size);
    free(file);
    run("nn_weights", "info", "--all", in_tree("w.safetensors"), NULL);
    expect_code(0);
    expect_in(ran.out, "\\xe2\\x80\\xaexyz\tF32\t[1]\n");
    expect_in(ran.out, "note\t\\x7f \\xe2\\x80\\xae\n");
    make_checkpoint("b.safetensors", 1, 0.5);
    run("nn_weights", "diff", in_tree("w.safetensors"), in_tree("b.safetensors"), NULL);
    expect_code(1);
    expect_in(ran.out, "\\xe2\\x80\\xaexyz\tonly in the first\n");
}
END_TEST

/* A file that says nonsense of itself is not verified, whatever its numbers are. */
START_TEST(nonsense)
{
    static const struct {
        const char *key, *value, *says;
    } lies[] = {
        { NN_THRESHOLD_KEY, "often", "no number from 0 to 1" },
        { NN_THRESHOLD_KEY, "nan", "no number from 0 to 1" },
        { NN_THRESHOLD_KEY, "1.5", "no number from 0 to 1" },
        { NN_EPS_KEY, "0", NN_EPS_KEY },
        { NN_PADDING_KEY, "left", "neither symmetric nor same" },
        { NN_PREPROCESS_KEY, "{}", "kernel" },
        { NN_PREPROCESS_KEY, "{", "preprocess" },
        { NN_PREPROCESS_KEY,
          "{\"kernel\":\"cv2-linear\",\"resize_height\":32,\"resize_width\":32,\"resize_shorter\":0,\"crop\":"
          "false,"
          "\"size\":32,\"mean\":[0,1e300,0],\"std\":[1,1,1],\"maximum\":255,\"class_names\":[\"a\",\"b\"]}",
          "mean: number 1 is 1e+300" },
        { NN_NETWORK_KEY, "efficientnet_b99", "no network of libnn" },
    };
    struct network n = small_network(1);
    nn_pair pairs[8];
    int64_t count;

    ck_assert_int_eq(network_pairs(&n, pairs, &count, 0.5), 0);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        nn_pair told[8];

        memcpy(told, pairs, sizeof told);
        for (int64_t k = 0; k < count; k++)
            if (!strcmp(told[k].key, lies[i].key))
                told[k].value = lies[i].value;
        ck_assert_int_eq(nn_model_save(n.model, in_tree("lie.safetensors"), NN_BASE_NONE, told, count),
                         NN_OK);
        run("nn_weights", "verify", in_tree("lie.safetensors"), NULL);
        expect_code(3);
        expect_in(ran.err, lies[i].says);
        expect_in(ran.err, "lie.safetensors");
    }
    network_pairs_free(pairs, count);
    network_free(&n);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("weights");
    TCase *t = tcase_create("programs");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, programs_setup, programs_teardown);
    tcase_add_test(t, there_and_back);
    tcase_add_test(t, differences);
    tcase_add_test(t, classify);
    tcase_add_test(t, onnx);
    tcase_add_test(t, no_record);
    tcase_add_test(t, checkpoints);
    tcase_add_test(t, impossible_values);
    tcase_add_test(t, names_that_command);
    tcase_add_test(t, nonsense);
    tcase_add_test(t, usage);
    suite_add_tcase(s, t);
    return suite_run(s);
}
