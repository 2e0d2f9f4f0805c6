/* SPDX-License-Identifier: MIT
 *
 * fakereal_train --freeze, --unfreeze-at and --lr-scale: what is frozen keeps its bits, statistics of its
 * batch norms included, what is not learns at the rate it was given, and a run that is cut before, at or
 * after the epoch in which all is trained ends as one that was left alone.
 */
#include "programs.h"
#include "suite.h"

/* tree/d: 18 training images (two batches of eight and one of two), 4 to validate. */
static void setup(void)
{
    static const char *const classes[] = { "real_images", "fake_images" };

    programs_setup();
    for (unsigned i = 0; i < 22; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "d/%s/%s/%u.png", i < 18 ? "train" : "valid", classes[i % 2], i);
        put_png(path, 3 * i + 1);
    }
}

#define train_in(folder, ...)                                                                                \
    run("fakereal_train", "--data", in_tree("d"), "--model", "efficientnet_lite0", "--image-size", "32",     \
        "--batch-size", "8", "--warmup-steps", "0", "--threads", "1", "--run-dir", in_tree(folder),          \
        __VA_ARGS__, NULL)

/* -------------------------------------------------------------------------- checkpoints */

static nn_safetensors *open_last(const char *folder)
{
    nn_safetensors *f;
    char path[256];

    (void)snprintf(path, sizeof path, "%s/last.safetensors", folder);
    ck_assert_msg(!nn_safetensors_open(&f, in_tree(path), NULL, &why), "%s", why.text);
    return f;
}

static const nn_safetensors_entry *entry(const nn_safetensors *f, const char *prefix, const char *name)
{
    char full[256];
    int64_t at;

    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    at = nn_safetensors_find(f, full);
    ck_assert_msg(at >= 0, "%s is missing", full);
    return nn_safetensors_at(f, at);
}

static bool equal(const nn_safetensors_entry *a, const nn_safetensors_entry *b)
{
    return !memcmp(a->data, b->data, (size_t)nn_shape_count(a->shape) * nn_dtype_size(a->type));
}

static const char MODEL[] = "model/";

/* Every tensor of two checkpoints: those that match `pattern` are equal, the others are not. Returns how many
 * matched. */
static int expect_only_others_changed(const char *before, const char *after, const char *pattern)
{
    nn_safetensors *a = open_last(before), *b = open_last(after);
    int matched = 0;

    for (int64_t i = 0; i < nn_safetensors_count(a); i++) {
        const char *name = nn_safetensors_at(a, i)->name + sizeof MODEL - 1;
        bool held;

        if (strncmp(nn_safetensors_at(a, i)->name, MODEL, sizeof MODEL - 1) != 0)
            continue;
        held = nn_match(pattern, name);
        ck_assert_msg(equal(nn_safetensors_at(a, i), entry(b, MODEL, name)) == held, "%s has%s changed", name,
                      held ? "" : " not");
        matched += held;
    }
    nn_safetensors_free(a);
    nn_safetensors_free(b);
    return matched;
}

/* The values that every run here begins with. */
static void train_nothing(const char *folder)
{
    train_in(folder, "--lr", "1e-300", "--freeze", "features.*", "--max-steps", "1");
    expect_code(0);
}

START_TEST(frozen_parts_stay)
{
    train_nothing("before");
    train_in("head", "--freeze", "features.*", "--max-steps", "4", "--lr", "0.01");
    expect_code(0);
    expect_in(ran.err, "trained: 2562 parameters in 2 tensors; frozen: 3371008 in 147");
    ck_assert_int_gt(expect_only_others_changed("before", "head", "features.*"), 200); /* with statistics */
    train_in("part", "--freeze", "features.[0]*", "--max-steps", "1");
    expect_code(2); /* '*' and '?' are all there is */
    train_in("part", "--freeze", "features.0.*", "--freeze", "features.1.*", "--max-steps", "2", "--lr",
             "0.01");
    expect_code(0);
    train_in("whole", "--freeze", "features.0.0.weight", "--max-steps", "2", "--lr", "0.01");
    expect_code(0);
    expect_only_others_changed("before", "whole", "features.0.0.weight");
}
END_TEST

/* Affine parameters that are frozen alone do not hold the statistics: their other half still learns. */
START_TEST(half_of_a_batch_norm)
{
    nn_safetensors *a, *b;

    train_nothing("before");
    train_in("r", "--freeze", "features.0.1.weight", "--max-steps", "2", "--lr", "0.01");
    expect_code(0);
    a = open_last("before");
    b = open_last("r");
    ck_assert(equal(entry(a, MODEL, "features.0.1.weight"), entry(b, MODEL, "features.0.1.weight")));
    ck_assert(!equal(entry(a, MODEL, "features.0.1.bias"), entry(b, MODEL, "features.0.1.bias")));
    ck_assert(
        !equal(entry(a, MODEL, "features.0.1.running_mean"), entry(b, MODEL, "features.0.1.running_mean")));
    nn_safetensors_free(a);
    nn_safetensors_free(b);
}
END_TEST

/* --------------------------------------------------------------------- learning rates */

/* After one step of SGD the moment is the gradient, and the parameter has moved by rate times scale times it.
 */
START_TEST(one_step_is_scaled)
{
    static const double RATE = 0.5;
    nn_safetensors *a, *b;
    int met[3] = { 0 };

    train_in("before", "--optimizer", "sgd", "--lr", "1e-300", "--max-steps", "1");
    expect_code(0);
    train_in("r", "--optimizer", "sgd", "--lr", "0.5", "--max-steps", "1", "--lr-scale", "features.*=0.25",
             "--lr-scale", "features.0.*=0");
    expect_code(0);
    expect_in(ran.err, "learning rate of features.*: times 0.25");
    a = open_last("before");
    b = open_last("r");
    for (int64_t i = 0; i < nn_safetensors_count(a); i++) {
        static const char moment[] = "optim.m1/";
        const char *name = nn_safetensors_at(a, i)->name + sizeof moment - 1;
        const float *p, *q, *g;
        int kind;
        double scale;

        if (strncmp(nn_safetensors_at(a, i)->name, moment, sizeof moment - 1) != 0)
            continue;
        kind = nn_match("features.0.*", name) ? 0 : nn_match("features.*", name) ? 1 : 2;
        scale = kind == 0 ? 0 : kind == 1 ? 0.25 : 1;
        p = (const float *)entry(a, MODEL, name)->data;
        q = (const float *)entry(b, MODEL, name)->data;
        g = (const float *)entry(b, moment, name)->data;
        for (int64_t k = 0; k < nn_shape_count(nn_safetensors_at(a, i)->shape); k++) {
            double want = (double)p[k] - RATE * scale * (double)g[k];

            if (fabs((double)q[k] - want) > 0x1p-23 * fmax(fabs(want), fabs((double)p[k])))
                ck_abort_msg("%s[%lld] is %.9g, not %.9g", name, (long long)k, (double)q[k], want);
        }
        met[kind]++;
    }
    ck_assert(met[0] == 3 && met[1] > 100 && met[2] == 2);
    ck_assert(equal(entry(a, MODEL, "features.0.0.weight"), entry(b, MODEL, "features.0.0.weight")));
    ck_assert(!equal(entry(a, MODEL, "features.8.0.weight"), entry(b, MODEL, "features.8.0.weight")));
    nn_safetensors_free(a);
    nn_safetensors_free(b);
}
END_TEST

/* --------------------------------------------------------------------------- resuming */

static const char *const kinds[][6] = {
    { "--lr", "0.01" }, { "--optimizer", "sgd", "--ema-decay", "0.9", "--schedule", "cosine" }
};

static void run_kind(int kind, const char *folder, const char *steps)
{
    const char *const *k = kinds[kind];

    /* The last of an option counts: where a kind has fewer, the first is said again. */
    train_in(folder, "--freeze", "features.*", "--unfreeze-at", "2", "--lr-scale", "features.*=0.1",
             "--resume", "auto", "--epochs", "3", "--max-steps", steps, k[0], k[1], k[2] ? k[2] : k[0],
             k[3] ? k[3] : k[1], k[4] ? k[4] : k[0], k[5] ? k[5] : k[1]);
    expect_code(0);
}

/* Three steps an epoch: cut while frozen, as the second epoch is due, in it, and after it. */
START_TEST(resumed_across_unfreezing)
{
    static const char *const cuts[] = { "1", "3", "4", "6", "9" };
    static const char *const files[] = { "last.safetensors", "best.safetensors", "valid_predictions.csv" };

    run_kind(_i, "whole", "9");
    expect_in(ran.err, "epoch 2: all parameters are trained from here on");
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        run_kind(_i, "cut", cuts[i]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_same_file("whole", "cut", files[i]);
    /* And all has been trained since. */
    train_nothing("before");
    ck_assert_int_eq(expect_only_others_changed("before", "whole", "none"), 0);
}
END_TEST

/* The first update of Adam moves by the rate whatever the gradient is: not so if the optimizer had counted
 * the updates of the frozen epoch. */
START_TEST(optimizer_starts_afresh)
{
    nn_safetensors *a, *b;
    const float *p, *q;
    double most = 0;

    train_in("r", "--freeze", "features.*", "--unfreeze-at", "2", "--max-steps", "3", "--optimizer", "adam",
             "--lr", "0.001", "--resume", "auto");
    expect_code(0);
    a = open_last("r");
    train_in("s", "--freeze", "features.*", "--unfreeze-at", "2", "--max-steps", "4", "--optimizer", "adam",
             "--lr", "0.001", "--resume", "auto");
    expect_code(0);
    b = open_last("s");
    p = (const float *)entry(a, MODEL, "features.8.0.weight")->data;
    q = (const float *)entry(b, MODEL, "features.8.0.weight")->data;
    for (int64_t i = 0; i < 320 * 1280; i++)
        most = fmax(most, fabs((double)q[i] - (double)p[i]));
    ck_assert_double_gt(most, 0.0009);
    ck_assert_double_lt(most, 0.00101);
    nn_safetensors_free(a);
    nn_safetensors_free(b);
}
END_TEST

/* ------------------------------------------------------------------------ the contract */

START_TEST(mistakes)
{
    static const struct {
        const char *option, *value, *says;
    } all[] = {
        { "--freeze", "feature.*", "--freeze feature.*: no parameter is called so" },
        { "--freeze", "*.running_mean", "--freeze *.running_mean: no parameter is called so" },
        { "--freeze", "*", "every parameter is frozen: nothing is left" },
        { "--lr-scale", "*=0", "has a learning rate of 0: nothing is left" },
        { "--lr-scale", "head.*=2", "--lr-scale head.*: no parameter is called so" },
        { "--lr-scale", "classifier.*", "not of the form PATTERN=X" },
        { "--lr-scale", "=2", "not of the form PATTERN=X" },
        { "--lr-scale", "classifier.*=-1", "lr-scale" },
        { "--unfreeze-at", "2", "give --freeze as well" },
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        train_in("r", all[i].option, all[i].value);
        expect_code(2);
        expect_in(ran.err, all[i].says);
    }
    train_in("r", "--freeze", "nowhere");
    expect_in(ran.err, "features.0.0.weight");
    expect_in(ran.err, "classifier.1.bias");
    ck_assert_int_ne(access(in_tree("r"), F_OK), 0);
}
END_TEST

START_TEST(part_of_the_run)
{
    train_in("r", "--freeze", "features.*", "--unfreeze-at", "2", "--lr-scale", "classifier.*=2",
             "--max-steps", "1");
    expect_code(0);
    train_in("r", "--freeze", "features.0.*", "--unfreeze-at", "3", "--lr-scale", "classifier.*=3",
             "--max-steps", "2", "--resume", "auto");
    expect_code(2);
    expect_in(ran.err, "freeze: [\"features.*\"] in the checkpoint, [\"features.0.*\"] now");
    expect_in(ran.err, "unfreeze_at: 2 in the checkpoint, 3 now");
    expect_in(ran.err, "lr_scale: [[\"classifier.*\",2.0]] in the checkpoint");
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(2);
    expect_in(ran.err, "freeze: [\"features.*\"] in the checkpoint, absent now");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transfer");
    TCase *c = tcase_create("transfer");

    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, setup, programs_teardown);
    tcase_add_test(c, frozen_parts_stay);
    tcase_add_test(c, half_of_a_batch_norm);
    tcase_add_test(c, one_step_is_scaled);
    tcase_add_loop_test(c, resumed_across_unfreezing, 0, 2);
    tcase_add_test(c, optimizer_starts_afresh);
    tcase_add_test(c, mistakes);
    tcase_add_test(c, part_of_the_run);
    suite_add_tcase(s, c);
    return suite_run(s);
}
