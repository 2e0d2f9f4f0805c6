/* SPDX-License-Identifier: MIT
 *
 * fakereal_train: a run that is cut anywhere, by any means, and resumed ends with the bits of one that was
 * left alone; records say what happened; bad data, bad options and full disks end it with the right code.
 */
#include "programs.h"
#include "suite.h"

#include <apps/app.h>

#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <time.h>

/* ----------------------------------------------------------------------------- data */

/* A 24x24 PNG of noise around a colour. */
static void put_image(const char *path, unsigned seed, int red, int green, int blue)
{
    enum { W = 24, ROW = 3 * W + 1 };
    const int middle[3] = { red, green, blue };
    uint8_t raw[W * ROW] = { 0 }, packed[8192];
    uLongf size = sizeof packed;
    struct bytes b = { .size = 0 };

    seed = seed * 2654435761u + 1;
    for (int y = 0; y < W; y++)
        for (int x = 0; x < ROW - 1; x++) {
            seed = seed * 1664525u + 1013904223u;
            raw[y * ROW + 1 + x] = (uint8_t)(middle[x % 3] + (int)(seed >> 26));
        }
    begin_png(&b, W, W, 8, 2);
    ck_assert_int_eq(compress(packed, &size, raw, sizeof raw), Z_OK);
    add_chunk(&b, "IDAT", packed, size);
    add_chunk(&b, "IEND", NULL, 0);
    put_bytes(path, b.at, b.size);
}

static void put_class(const char *folder, int n, unsigned seed, int fake)
{
    for (int i = 0; i < n; i++) {
        char path[256];

        (void)snprintf(path, sizeof path, "%s/%s/%03d.png", folder, fake ? "fake_images" : "real_images", i);
        put_image(path, seed + (unsigned)i, fake ? 60 : 130, fake ? 90 : 110, fake ? 150 : 100);
    }
}

/* tree/d: 50 training images (six batches of eight and one of two), 16 to validate. */
static void setup(void)
{
    programs_setup();
    for (int fake = 0; fake < 2; fake++) {
        put_class("d/train", 25, 1000u + 100u * (unsigned)fake, fake);
        put_class("d/valid", 8, 2000u + 100u * (unsigned)fake, fake);
    }
}

#define SMALL "--model", "efficientnet_lite0", "--image-size", "32", "--batch-size", "8"
#define train_in(folder, ...)                                                                                \
    run("fakereal_train", "--data", in_tree("d"), SMALL, "--run-dir", in_tree(folder), "--threads", "1",     \
        __VA_ARGS__, NULL)

/* --------------------------------------------------------------------------- results */

/* metrics.csv without what depends on the clock. */
static char *timeless(const char *folder)
{
    char path[256], *text, *to;
    int field = 0;

    (void)snprintf(path, sizeof path, "%s/metrics.csv", folder);
    text = to = read_text(path);
    for (const char *c = text; *c; c++) {
        field = *c == '\n' ? 0 : field + (*c == ',');
        if (field < 7)
            *to++ = *c;
    }
    *to = 0;
    return text;
}

static bool has_file_like(const char *folder, const char *part)
{
    DIR *d = opendir(in_tree(folder));
    const struct dirent *e;
    bool any = false;

    while (d && (e = readdir(d)))
        any = any || strstr(e->d_name, part);
    if (d)
        (void)closedir(d);
    return any;
}

static void expect_same_run(const char *one, const char *other)
{
    char *a = timeless(one), *b = timeless(other);

    ck_assert_str_eq(a, b);
    expect_same_file(one, other, "last.safetensors");
    expect_same_file(one, other, "best.safetensors");
    expect_same_file(one, other, "valid_predictions.csv");
    ck_assert(!has_file_like(other, ".tmp"));
    free(a);
    free(b);
}

/* A field of metrics.csv, row and column from 0; NaN where it is empty. */
static double metric(const char *folder, int row, int column)
{
    char path[256], *text, *at;
    double value = NAN;

    (void)snprintf(path, sizeof path, "%s/metrics.csv", folder);
    text = at = read_text(path);
    for (int i = 0; at && i <= row; i++)
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    for (int i = 0; at && i < column; i++)
        at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL;
    ck_assert_msg(at && *at, "%s has no row %d", path, row);
    if (*at != ',' && *at != '\n')
        value = strtod(at, NULL);
    free(text);
    return value;
}

static int lines(const char *path)
{
    size_t size;
    char *text = all_of(path, &size);
    int n = 0;

    for (const char *c = text; *c; c++)
        n += *c == '\n';
    free(text);
    return n;
}

/* --------------------------------------------------------------------- exact results */

START_TEST(threads_do_not_matter)
{
    static const char *const folders[] = { "r1", "r2", "r3" }, *const threads[] = { "1", "2", "3" };
    static const char *const loaders[] = { "1", "3", "2" };

    for (int i = 0; i < 3; i++) {
        run("fakereal_train", "--data", in_tree("d"), SMALL, "--run-dir", in_tree(folders[i]), "--threads",
            threads[i], "--loader-threads", loaders[i], "--augment", "entry", "--max-steps", "20", NULL);
        expect_code(0);
        expect_in(ran.out, "/best.safetensors\n");
        if (i)
            expect_same_run("r1", folders[i]);
    }
    /* And augmentation is not for show. */
    train_in("r4", "--augment", "none", "--max-steps", "1");
    expect_code(0);
    ck_assert_double_ne(metric("r4", 0, 2), metric("r1", 0, 2));
}
END_TEST

enum { KINDS = 6, EXTRA = 14 };
static const char *const kinds[KINDS][EXTRA] = {
    { "--augment", "entry", "--precision", "bf16" },
    { "--ema-decay", "0.9", "--schedule", "cosine", "--optimizer", "radam", "--warmup-steps", "5",
      "--monitor", "valid_accuracy", "--clip-norm", "1" },
    { "--schedule", "plateau", "--optimizer", "sgd", "--lr", "0.01", "--patience", "0", "--label-smoothing",
      "0.1" },
    { "--schedule", "step", "--step-every", "1", "--optimizer", "adam", "--patience", "1", "--monitor",
      "valid_macro_f1" },
    { "--augment", "notebook", "--mean", "0.45,0.4,0.4", "--std", "0.2,0.21,0.22" },
    { "--augment", "random_crop; jpeg; erasing", "--mixup", "0.3", "--label-smoothing", "0.1" },
};

static pid_t start_kind(int kind, const char *folder, const char *steps, const char *every)
{
    const char *arguments[63] = {
        "--data",   in_tree("d"), SMALL,      "--run-dir", in_tree(folder),      "--threads", "1",
        "--resume", "auto",       "--epochs", "3",         "--checkpoint-every", every
    };
    int n = 18;

    for (int i = 0; i < EXTRA && kinds[kind][i]; i++)
        arguments[n++] = kinds[kind][i];
    if (steps) {
        arguments[n++] = "--max-steps";
        arguments[n++] = steps;
    }
    arguments[n] = NULL;
    return start("fakereal_train", arguments);
}

static void run_kind(int kind, const char *folder, const char *steps, const char *every)
{
    finish(start_kind(kind, folder, steps, every));
}

/* During warm-up, within epochs, at the end of one, with the partial batch next. */
START_TEST(resumed_after_max_steps)
{
    static const char *const cuts[KINDS][4] = { { "1", "6", "7" }, { "2", "10", "14" }, { "9", "13", "15" },
                                                { "3", "7", "8" }, { "3", "10" },       { "4" } };

    run_kind(_i, "whole", NULL, "500");
    expect_code(0);
    for (int i = 0; cuts[_i][i]; i++) {
        run_kind(_i, "cut", cuts[_i][i], "500");
        expect_code(0);
        expect_in(ran.out, "cut/best.safetensors\n");
        ck_assert_int_eq((int)metric("cut", lines("cut/metrics.csv") - 2, 1), atoi(cuts[_i][i]));
    }
    run_kind(_i, "cut", NULL, "500");
    expect_code(0);
    expect_same_run("whole", "cut");
    ck_assert(!has_file_like("cut", "~"));
    ck_assert_int_eq(lines("whole/metrics.csv"), _i == 3 ? lines("cut/metrics.csv") : 4);
    if (_i == 4) { /* evaluation divides by what training did */
        size_t size;
        char *weights = all_of("whole/best.safetensors", &size);

        ck_assert_ptr_nonnull(strstr(weights + 8, "\\\"maximum\\\":225"));
        ck_assert_ptr_nonnull(strstr(weights + 8, "0.45"));
        free(weights);
    }
    /* A finished run stays as it is. */
    run_kind(_i, "cut", NULL, "500");
    expect_code(0);
    expect_in(ran.err, "nothing to do");
    expect_in(ran.out, "/best.safetensors\n");
    expect_same_run("whole", "cut");
}
END_TEST

/* An end within an epoch is an end: its validation counts, and the same command does nothing more. */
START_TEST(max_steps_within_an_epoch)
{
    train_in("r", "--max-steps", "10", "--monitor", "valid_accuracy", "--epochs", "2");
    expect_code(0);
    ck_assert_int_eq(lines("r/metrics.csv"), 3);
    ck_assert_int_eq((int)metric("r", 1, 1), 10);
    train_in("r", "--max-steps", "10", "--monitor", "valid_accuracy", "--epochs", "2", "--resume", "auto");
    expect_code(0);
    expect_in(ran.err, "nothing to do");
    ck_assert_int_eq(lines("r/metrics.csv"), 3);
    /* Another folder goes on from that file, with all that belongs to it. */
    train_in("r", "--max-steps", "14", "--monitor", "valid_accuracy", "--epochs", "2", "--resume", "auto");
    expect_code(0);
    train_in("s", "--max-steps", "10", "--monitor", "valid_accuracy", "--epochs", "2");
    expect_code(0);
    train_in("other", "--monitor", "valid_accuracy", "--epochs", "2", "--resume",
             in_tree("s/last.safetensors"));
    expect_code(0);
    expect_same_run("r", "other");
    train_in("s", "--monitor", "valid_accuracy", "--epochs", "2", "--resume", in_tree("r/last.safetensors"));
    expect_code(2);
    expect_in(ran.err, "is not empty");
}
END_TEST

static void copy_file(const char *from, const char *to)
{
    size_t size;
    char *bytes = all_of(from, &size);

    put_bytes(to, bytes, size);
    free(bytes);
}

/* A longer run would not have validated where a shorter one ended: it goes on with the best of before. */
START_TEST(best_of_before)
{
    static const char *const cuts[] = { "9", "12" };

    train_in("r", "--max-steps", "7", "--monitor", "valid_accuracy", "--resume", "auto");
    expect_code(0);
    copy_file("r/best.safetensors", "kept/best.safetensors~");
    copy_file("r/valid_predictions.csv", "kept/valid_predictions.csv~");
    for (int i = 0; i < 2; i++) {
        train_in("r", "--max-steps", cuts[i], "--monitor", "valid_accuracy", "--resume", "auto");
        expect_code(0);
        ck_assert_double_ge(metric("r", 1, 4), metric("r", 0, 4)); /* or there is nothing to see here */
        expect_same_file("kept", "r", "best.safetensors~");
        expect_same_file("kept", "r", "valid_predictions.csv~");
    }
}
END_TEST

static void wait_some(double seconds)
{
    struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

    (void)nanosleep(&t, NULL);
}

/* A signal comes at moments that differ from run to run: whenever it does, the end is the same. */
static void cut_by(int number, int kind)
{
    unsigned seed = (unsigned)number * 7919u + (unsigned)kind;
    int hits = 0;

    run_kind(kind, "whole", NULL, "2");
    expect_code(0);
    for (int i = 0; i < 6; i++) {
        double whole = ran.seconds;
        pid_t child = start_kind(kind, "cut", NULL, "2");

        seed = seed * 1664525u + 1013904223u;
        wait_some(0.05 + (whole < 4 ? whole : 4) * 0.8 * (seed >> 8) * 0x1p-24);
        (void)kill(child, number);
        finish(child);
        if (ran.code == 0 && hits) /* it was done already */
            break;
        if (ran.code == 0) {
            (void)nftw(in_tree("cut"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
            continue;
        }
        hits++;
        if (number == SIGKILL) {
            ck_assert_int_eq(ran.code, 1000 + SIGKILL);
        } else if (ran.code != 1000 + number || *ran.err) { /* before main had a word it may die */
            expect_code(128 + number);
            expect_in(ran.err, "interrupted");
        }
        ran.seconds = whole;
    }
    ck_assert_int_gt(hits, 0);
    run_kind(kind, "cut", NULL, "2");
    expect_code(0);
    expect_same_run("whole", "cut");
}

START_TEST(resumed_after_interrupt) { cut_by(SIGINT, 1); }
END_TEST

START_TEST(resumed_after_terminate) { cut_by(SIGTERM, 2); }
END_TEST

START_TEST(resumed_after_hangup) { cut_by(SIGHUP, 3); }
END_TEST

START_TEST(resumed_after_kill) { cut_by(SIGKILL, _i); }
END_TEST

/* ----------------------------------------------------------------------- the contract */

START_TEST(run_folders)
{
    train_in("r", "--max-steps", "1", "--resume", "auto");
    expect_code(0);
    train_in("r", "--max-steps", "2");
    expect_code(2);
    expect_in(ran.err, "is not empty");
    train_in("r", "--max-steps", "2", "--resume", "auto", "--lr", "0.5", "--seed", "7", "--augment", "none");
    expect_code(2);
    expect_in(ran.err, "lr: 0.0001");
    expect_in(ran.err, "seed: 42 in the checkpoint, 7 now");
    expect_in(ran.err, "augment: \"resize\\nflip p=0.5\\n\" in the checkpoint, \"resize\\n\" now");
    run("fakereal_train", "--data", in_tree("d"), "--model", "efficientnet_b0", "--image-size", "32",
        "--batch-size", "8", "--run-dir", in_tree("r"), "--resume", "auto", NULL);
    expect_code(2);
    expect_in(ran.err, "model: \"efficientnet_lite0\" in the checkpoint, \"efficientnet_b0\" now");
    put_image("d/train/fake_images/new.png", 9, 1, 2, 3);
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(2);
    expect_in(ran.err, "data_sha256");
    train_in("other", "--resume", in_tree("r/best.safetensors"));
    expect_code(3);
    expect_in(ran.err, "not a checkpoint of a training run");
    train_in("other", "--resume", in_tree("absent.safetensors"));
    expect_code(3);
    run("fakereal_train", "--data", in_tree("d"), "--resume", "auto", NULL);
    expect_code(2);
    expect_in(ran.err, "--run-dir");
    ck_assert_int_ne(access(in_tree("other"), F_OK), 0);
    /* A folder of something else is no run to go on with, a file none to begin. */
    train_in("d", "--resume", "auto");
    expect_code(2);
    expect_in(ran.err, "no last.safetensors to go on from");
    train_in("r/split.tsv/deeper", "--dry-run", "--seed", "42");
    expect_code(4);
    expect_in(ran.err, "Not a directory");
}
END_TEST

/* Killed after its first best weights and before its first checkpoint: nothing of that is taken for a result.
 */
START_TEST(begun_again)
{
    static const char *const left[] = { "best.safetensors", "best.safetensors~", "last.safetensors.tmp.123",
                                        "metrics.csv.tmp", "valid_predictions.csv" };
    char path[64];

    train_in("whole", "--max-steps", "2", "--no-audit");
    expect_code(0);
    put("r/config.json", "{}");
    put("r/audit.json", "{}");
    put("r/metrics.csv", "of before\n");
    put("r/events.jsonl", "{\"event\":\"start\"}\n{\"event\":\"epoch\"}\n");
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        (void)snprintf(path, sizeof path, "r/%s", left[i]);
        put(path, "of before");
    }
    put("r/metrics.csv.tmpl", "mine");
    train_in("r", "--max-steps", "2", "--no-audit", "--resume", "auto", "--dry-run");
    expect_code(0);
    expect_file("r/best.safetensors", "of before");
    train_in("r", "--max-steps", "2", "--no-audit", "--resume", "auto");
    expect_code(0);
    expect_in(ran.err, "holds a run without a checkpoint: it begins again");
    expect_file("r/metrics.csv.tmpl", "mine");
    ck_assert(!unlink(in_tree("r/metrics.csv.tmpl")));
    expect_same_run("whole", "r");
    ck_assert(!has_file_like("r", "~") && !has_file_like("r", "audit"));
    /* A finished run's best may be all that its owner kept. */
    copy_file("r/best.safetensors", "kept/best.safetensors");
    ck_assert(!unlink(in_tree("r/last.safetensors")));
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(2);
    expect_in(ran.err, "no last.safetensors to go on from");
    expect_same_file("kept", "r", "best.safetensors");
}
END_TEST

/* Best weights that cannot be read are as good as gone; what a killed process left goes. */
START_TEST(damaged_best)
{
    for (int i = 0; i < 2; i++) {
        train_in("r", "--max-steps", i ? "21" : "7", "--resume", "auto");
        expect_code(0);
        if (i) {
            ck_assert(!unlink(in_tree("r/best.safetensors")));
            ck_assert(!unlink(in_tree("r/best.safetensors.damaged")));
            put("r/best.safetensors/inside", "of a folder");
        } else {
            ck_assert(!truncate(in_tree("r/best.safetensors"), 1000));
        }
        put("r/last.safetensors.tmp.123", "half");
        train_in("r", "--max-steps", i ? "28" : "14", "--resume", "auto");
        expect_code(0);
        expect_in(ran.err, "it is called");
        expect_in(ran.err, "best.safetensors is gone: the best of the epochs from here on");
        expect_in(ran.err, i ? "in epoch 4;" : "in epoch 2;");
        ck_assert(!has_file_like("r", ".tmp"));
    }
}
END_TEST

/* The first signal asks, and so does what comes with it: timeout sends two. A later one does not wait. */
START_TEST(interrupted_twice)
{
    const char *const arguments[] = { "--data",     in_tree("d"), SMALL, "--run-dir",
                                      in_tree("r"), "--epochs",   "99",  NULL };
    pid_t child = start("fakereal_train", arguments);
    int status;

    while (access(in_tree("r/config.json"), F_OK) && nni_seconds() - ran.start < 100)
        wait_some(0.01);
    ck_assert(!kill(child, SIGSTOP) && !kill(child, SIGINT) && !kill(child, SIGTERM) &&
              !kill(child, SIGCONT));
    finish(child);
    ck_assert_msg(ran.code == 128 + SIGINT || ran.code == 128 + SIGTERM, "exit code %d", ran.code);
    expect_in(ran.err, "interrupted and saved");

    child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        redirect(in_tree("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 2);
        app_catch_interrupts();
        if (raise(SIGINT) || raise(SIGTERM) || app_interrupted != SIGINT)
            _exit(1);
        wait_some(0.6);
        (void)raise(SIGTERM);
        _exit(2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM);
    expect_file("stderr", "interrupted again: not saved\n");
}
END_TEST

START_TEST(resumed_with_other_options)
{
    make_checkpoint("w.safetensors", 1, 0.5);
    train_in("r", "--max-steps", "4", "--epochs", "2", "--schedule", "cosine", "--lr", "0.01");
    expect_code(0);
    expect_in(ran.err, "warm-up 1 step, ");
    train_in("r", "--max-steps", "16", "--epochs", "9", "--schedule", "cosine", "--lr", "0.01", "--resume",
             "auto", "--weights", in_tree("w.safetensors"), "--head", "new");
    expect_code(0);
    expect_in(ran.err, "--weights, --dialect and --head belong to the beginning of a run");
    expect_in(ran.err, "warm-up stays 1 step, ");
    expect_in(ran.err, "with --epochs 9 would have 6");
    expect_in(ran.err, "the schedule stays that of 14 steps");
    ck_assert_double_eq(metric("r", 2, 6), 0);
}
END_TEST

START_TEST(one_process_for_a_folder)
{
    int folder;

    train_in("r", "--max-steps", "1");
    expect_code(0);
    folder = open(in_tree("r"), O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(folder, LOCK_EX | LOCK_NB), 0); /* nobody holds it once the program has ended */
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(2);
    expect_in(ran.err, "another process is training there");
    (void)close(folder);
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(0);
}
END_TEST

/* A table path,label of the images in d/SPLIT. */
static void put_table(const char *split, int n)
{
    char text[8192] = "path,label\n", path[64];
    size_t at = strlen(text);

    for (int i = 0; i < 2 * n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s/%s_images/%03d.png,%d\n", split,
                               i % 2 ? "fake" : "real", i / 2, i % 2);
    (void)snprintf(path, sizeof path, "d/%s.csv", split);
    put(path, text);
}

START_TEST(tables_instead_of_folders)
{
    put_table("train", 25);
    put_table("valid", 8);
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), "--valid-csv", in_tree("d/valid.csv"), SMALL,
        "--run-dir", in_tree("r"), "--threads", "1", "--max-steps", "1", NULL);
    expect_code(0);
    expect_in(ran.err, "train: 25 fake, 25 real");
    expect_in(ran.err, "valid: 8 fake, 8 real");
    run("fakereal_evaluate", "-c", in_tree("r/best.safetensors"), "--csv", in_tree("d/valid.csv"), NULL);
    expect_code(0);
    expect_not_in(ran.out, "LEAK");
    run("fakereal_evaluate", "-c", in_tree("r/best.safetensors"), "--csv", in_tree("d/train.csv"), NULL);
    expect_code(3);
    expect_in(ran.out, "LEAK: 50\n");

    /* Without a table to validate on, a part of the training images is taken. */
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), SMALL, "--run-dir", in_tree("q"),
        "--dry-run", NULL);
    expect_code(0);
    expect_in(ran.err, "train: 20 fake, 20 real");

    /* What is to judge is not trained on. */
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), "--valid-csv", in_tree("d/train.csv"), SMALL,
        "--run-dir", in_tree("q"), NULL);
    expect_code(2);
    expect_in(ran.err, "--train-csv and --valid-csv are one file");
    put("d/some.csv", "path,label\ntrain/fake_images/001.png,1\nvalid/real_images/001.png,0\n");
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), "--valid-csv", in_tree("d/some.csv"), SMALL,
        "--run-dir", in_tree("q"), NULL);
    expect_code(3);
    expect_in(ran.err, "are one file, listed twice in two sources (1 such)");
    put("d/some.csv", "path,label\nvalid/../train/fake_images/001.png,1\nvalid/real_images/001.png,0\n");
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), "--valid-csv", in_tree("d/some.csv"), SMALL,
        "--run-dir", in_tree("q"), NULL);
    expect_code(3);
    expect_in(ran.err, "valid/../train/fake_images/001.png and train/fake_images/001.png are one file");

    put("d/train.csv", "path,label\ntrain/fake_images/000.png,perhaps\n");
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), SMALL, "--run-dir", in_tree("q"), NULL);
    expect_code(3);
    expect_in(ran.err, "d/train.csv: line 2: the label is none of");
    run("fakereal_train", "--train-csv", in_tree("d/train.csv"), "--data", in_tree("d"), NULL);
    expect_code(2);
}
END_TEST

START_TEST(damaged_checkpoints)
{
    size_t size, head, at[16];
    uint64_t length;
    char *bytes;
    FILE *f;
    int n = 0;

    train_in("r", "--max-steps", "1");
    expect_code(0);
    bytes = all_of("r/last.safetensors", &size);
    memcpy(&length, bytes, 8);
    head = 8 + (size_t)length;
    at[n++] = 3;
    at[n++] = 9;
    at[n++] = (size_t)(strstr(bytes + 8, "epoch=0") - bytes) + 6;
    at[n++] = (size_t)(strstr(bytes + 8, "libnn.plan.step\":\"") - bytes) + 18;
    at[n++] = (size_t)(strstr(bytes + 8, "lr\\\":") - bytes) + 5;
    at[n++] = head / 2;
    at[n++] = head;
    at[n++] = head + (size - head) / 3;
    at[n++] = size - 1;
    for (int i = 0; i < n; i++) {
        f = fopen(in_tree("r/last.safetensors"), "r+b");
        ck_assert_ptr_nonnull(f);
        ck_assert(!fseek(f, (long)at[i], SEEK_SET) && fputc(bytes[at[i]] ^ 1, f) != EOF && !fclose(f));
        train_in("r", "--max-steps", "3", "--resume", "auto");
        ck_assert_msg(ran.code == 3, "byte %zu of %zu: exit code %d: %s", at[i], size, ran.code, ran.err);
        expect_in(ran.err, "last.safetensors");
        expect_in(ran.err, "r/best.safetensors --run-dir ANOTHER");
        f = fopen(in_tree("r/last.safetensors"), "r+b");
        ck_assert(f && !fseek(f, (long)at[i], SEEK_SET) && fputc(bytes[at[i]], f) != EOF && !fclose(f));
    }
    for (int i = 0; i < 4; i++) {
        ck_assert(!truncate(in_tree("r/last.safetensors"),
                            (off_t)(i ? size - (size / 3 + 1) * (size_t)(i - 1) - 1 : 0)));
        train_in("r", "--max-steps", "3", "--resume", "auto");
        expect_code(3);
        expect_in(ran.err, "last.safetensors");
        f = fopen(in_tree("r/last.safetensors"), "wb");
        ck_assert(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
    }
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(0);
    free(bytes);
}
END_TEST

START_TEST(records)
{
    static const char header[] =
        "epoch,step,train_loss,valid_loss,valid_accuracy,valid_macro_f1,learning_rate,"
        "images_per_second,wait_for_data\n";
    json_error_t error;
    json_t *j;
    const json_t *source;
    char *text, *line;
    size_t size;

    train_in("r", "--epochs", "2", "--warmup-steps", "4", "--lr", "8e-4");
    expect_code(0);
    text = read_text("r/metrics.csv");
    ck_assert_msg(!strncmp(text, header, sizeof header - 1), "%s", text);
    free(text);
    ck_assert_int_eq(lines("r/metrics.csv"), 3);
    for (int i = 0; i < 2; i++) {
        ck_assert_double_eq(metric("r", i, 0), i + 1);
        ck_assert_double_eq(metric("r", i, 1), 7 * (i + 1)); /* the partial batch is a step */
        ck_assert_double_gt(metric("r", i, 2), 0);
        ck_assert_double_eq_tol(metric("r", i, 6), 8e-4, 1e-12);
        ck_assert_double_gt(metric("r", i, 7), 0);
        ck_assert_double_ge(metric("r", i, 8), 0);
    }
    ck_assert_int_eq(lines("r/split.tsv"), 67);
    text = read_text("r/valid_predictions.csv");
    ck_assert_msg(
        !strncmp(text, "path,label,logit_real,logit_fake,probability\nvalid/fake_images/000.png,1,", 72),
        "%s", text);
    free(text);
    ck_assert_int_eq(lines("r/valid_predictions.csv"), 17);
    text = read_text("r/report.html");
    expect_in(text, "2 epochs so far");
    expect_in(text, "16 images; accuracy");
    free(text);

    j = json_load_file(in_tree("r/config.json"), JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(j != NULL, "%s", error.text);
    ck_assert_str_eq(json_string_value(json_object_get(j, "model")), "efficientnet_lite0");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "warmup_steps")), 4);
    source = json_array_get(json_object_get(json_object_get(j, "data"), "sources"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(source, "train"), "fake")), 25);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(source, "valid"), "real")), 8);
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(source, "sha256"))), 64);
    json_decref(j);
    text = line = all_of("r/events.jsonl", &size);
    ck_assert_int_eq(lines("r/events.jsonl"), 4);
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        j = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(j && json_object_get(j, "event"), "%s", line);
        json_decref(j);
    }
    free(text);

    /* best.safetensors is what the best row is about. */
    run("fakereal_evaluate", "--checkpoint", in_tree("r/best.safetensors"), "--data", in_tree("d"), "--json",
        in_tree("e.json"), NULL);
    expect_code(0);
    j = json_load_file(in_tree("e.json"), 0, &error);
    ck_assert_ptr_nonnull(j);
    ck_assert_double_eq_tol(json_real_value(json_object_get(j, "loss")),
                            fmin(metric("r", 0, 3), metric("r", 1, 3)), 1e-6);
    json_decref(j);
}
END_TEST

static void expect_initial(const char *path, const char *prefix)
{
    nn_preprocess p = nn_preprocess_default();
    nn_safetensors *file;
    struct network n;
    int compared = 0;

    p.size = p.resize_width = p.resize_height = 32;
    ck_assert_int_eq(network_new(&n, device, "efficientnet_lite0", &p, 42), 0);
    ck_assert_int_eq(network_seal(&n), 0);
    ck_assert_msg(!nn_safetensors_open(&file, in_tree(path), NULL, &why), "%s", why.text);
    for (int64_t i = 0; i < nn_model_count(n.model); i++) {
        const nn_segment *s = nn_model_segment(n.model, i);
        const nn_safetensors_entry *e;
        char name[512];
        float *value;

        if (s->base != NN_BASE_PARAM)
            continue;
        (void)snprintf(name, sizeof name, "%s%s", prefix, s->name);
        e = nn_safetensors_at(file, nn_safetensors_find(file, name));
        ck_assert_msg(e != NULL, "%s", name);
        value = malloc((size_t)s->count * sizeof *value);
        ck_assert_int_eq(nn_model_read(n.model, s->name, NN_BASE_PARAM, NN_F32, value), NN_OK);
        ck_assert_msg(!memcmp(value, e->data, e->bytes), "%s has changed", name);
        free(value);
        compared++;
    }
    ck_assert_int_gt(compared, 50);
    nn_safetensors_free(file);
    network_free(&n);
}

START_TEST(update_0_changes_no_weight)
{
    train_in("r", "--max-steps", "1", "--warmup-steps", "10");
    expect_code(0);
    expect_initial("r/last.safetensors", "model/");
    expect_initial("r/best.safetensors", "");
    train_in("auto", "--max-steps", "1"); /* 100 epochs of 7 steps are planned */
    expect_code(0);
    expect_in(ran.err, "warm-up 70 steps");
    expect_initial("auto/last.safetensors", "model/");
}
END_TEST

START_TEST(early_stopping)
{
    int n;

    train_in("r", "--epochs", "12", "--patience", "1", "--lr", "2e-4");
    expect_code(0);
    expect_in(ran.err, "stopped early: 1 epoch without improvement");
    n = lines("r/metrics.csv") - 1;
    ck_assert_int_ge(n, 2);
    ck_assert_int_lt(n, 12);
    for (int i = 1; i < n; i++) /* only the last one is worse */
        ck_assert_int_eq(metric("r", i, 3) <= metric("r", i - 1, 3), i < n - 1);
}
END_TEST

START_TEST(nan_is_no_improvement)
{
    static float weight[2 * 1280]; /* finite, but whatever comes out of it is not */
    const float bias[2] = { NAN, 0 };
    struct network n = small_network(1);
    char *text;

    for (size_t i = 0; i < sizeof weight / sizeof *weight; i++)
        weight[i] = i < sizeof weight / sizeof *weight / 2 ? 3e38f : -3e38f;
    ck_assert_int_eq(nn_model_write(n.model, "classifier.1.weight", NN_BASE_PARAM, NN_F32, weight), NN_OK);
    save(&n, "huge.safetensors", 0.5);
    ck_assert_int_eq(nn_model_write(n.model, "classifier.1.bias", NN_BASE_PARAM, NN_F32, bias), NN_OK);
    save(&n, "nan.safetensors", 0.5);
    network_free(&n);
    train_in("w", "--weights", in_tree("nan.safetensors"));
    expect_code(3);
    expect_in(ran.err, "classifier.1.bias");
    expect_in(ran.err, "not finite");
    train_in("r", "--epochs", "2", "--patience", "0", "--weights", in_tree("huge.safetensors"));
    expect_code(1);
    expect_in(ran.err, "valid_loss was never a number");
    ck_assert_str_eq(ran.out, "");
    ck_assert_int_eq(lines("r/metrics.csv"), 3);
    ck_assert(isnan(metric("r", 0, 3)));
    ck_assert_int_ne(access(in_tree("r/best.safetensors"), F_OK), 0);
    text = read_text("r/events.jsonl");
    expect_in(text, "\"valid_loss\":null");
    free(text);
    train_in("s", "--epochs", "9", "--patience", "0", "--weights", in_tree("huge.safetensors"));
    expect_code(1);
    expect_in(ran.err, "the gradients of the last 20 updates were not finite");
    train_in("p", "--epochs", "9", "--patience", "1", "--weights", in_tree("huge.safetensors"));
    expect_code(1);
    ck_assert_int_eq(lines("p/metrics.csv"), 2); /* no improvement from the first */
}
END_TEST

/* ------------------------------------------------------------------------- bad data */

/* 200 images below tree/e. */
static void many(void)
{
    for (int fake = 0; fake < 2; fake++) {
        put_class("e/train", 92, 5000u + 500u * (unsigned)fake, fake);
        put_class("e/valid", 8, 7000u + 500u * (unsigned)fake, fake);
    }
}

static void cut(const char *path) { ck_assert(!truncate(in_tree(path), 900)); }

#define train_on(data, folder, ...)                                                                          \
    run("fakereal_train", "--data", in_tree(data), SMALL, "--max-steps", "1", "--run-dir", in_tree(folder),  \
        __VA_ARGS__, NULL)

START_TEST(bad_images)
{
    char *text;

    many();
    cut("e/train/fake_images/017.png");
    train_on("e", "r", "--threads", "2");
    expect_code(0);
    expect_in(ran.err, "train/fake_images/017.png: image excluded");
    expect_in(ran.err, "train: 91 fake, 92 real");
    text = read_text("r/split.tsv");
    expect_in(text, "train/fake_images/017.png\texcluded\t1\t");
    free(text);
    cut("e/valid/real_images/002.png");
    for (int i = 0; i < 9; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "e/test/images/%d.png", i);
        put(path, "not our business");
    }
    train_on("e", "r2", "--threads", "1"); /* 1 % is not above it */
    expect_code(0);
    put("e/train/real_images/005.png", "<html>");
    train_on("e", "r3", "--threads", "1");
    expect_code(3);
    expect_in(ran.err, "3 of 200 images cannot be used");
    expect_in(ran.err, "train/real_images/005.png");
    ck_assert_int_ne(access(in_tree("r3"), F_OK), 0);
    for (int i = 0; i < 8; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "d/valid/fake_images/%03d.png", i);
        put(path, "no image");
    }
    train_on("d", "r4", "--threads", "1");
    expect_code(3);
    expect_in(ran.err, "valid has 8 real and 0 fake");
    train_on("absent", "r5", "--threads", "1");
    expect_code(3);
    expect_in(ran.err, "absent");
}
END_TEST

/* The bytes of a run do not depend on what was kept in memory. */
START_TEST(cached)
{
    train_in("r", "--max-steps", "8", "--augment", "entry", "--cache", "none");
    expect_code(0);
    train_in("s", "--max-steps", "8", "--augment", "entry", "--cache", "100K");
    expect_code(0);
    expect_in(ran.err, "cache: 0 MB for 33 of 66 images, resized"); /* of 3 KiB each */
    expect_same_run("r", "s");
    train_in("t", "--dry-run", "--cache", "auto");
    expect_code(0);
    expect_in(ran.err, "cache: 0 MB for 66 of 66 images, resized");
    train_in("u", "--cache", "4X");
    expect_code(2);
    expect_in(ran.err, "no amount of memory");
}
END_TEST

/* How many findings of that name in a run's audit.json are more than notes. */
static int warned_of(const char *folder, const char *name)
{
    char path[256];
    json_error_t error;
    json_t *j, *finding;
    size_t i;
    int found = 0;

    (void)snprintf(path, sizeof path, "%s/audit.json", in_tree(folder));
    j = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(j != NULL, "%s", error.text);
    json_array_foreach(json_object_get(j, "findings"), i, finding) found +=
        !strcmp(json_string_value(json_object_get(finding, "name")), name) &&
        strcmp(json_string_value(json_object_get(finding, "severity")), "note") != 0;
    json_decref(j);
    return found;
}

/* Findings are said and kept, and training goes on. */
START_TEST(audited)
{
    train_in("r", "--max-steps", "1");
    expect_code(0);
    expect_in(ran.err, "audit: warning: tiny: images have a side below 32 pixels: 66, 100 %");
    expect_in(ran.err, "0 errors, 1 warning, 0 notes");
    ck_assert_int_eq(warned_of("r", "tiny"), 1);
    ck_assert_int_eq(warned_of("r", "shortcut"), 0);
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(0);
    ck_assert_ptr_null(strstr(ran.err, "audit"));

    for (int i = 0; i < 25; i++) { /* fakes told by their names */
        char from[64], to[64];

        (void)snprintf(from, sizeof from, "d/train/fake_images/%03d.png", i);
        (void)snprintf(to, sizeof to, "d/train/fake_images/%03d.jpg", i);
        ck_assert(!rename(in_tree(from), in_tree(to)));
    }
    train_in("s", "--max-steps", "1");
    expect_code(0);
    expect_in(ran.err, "audit: error: shortcut: fake against real: ");
    ck_assert_int_eq(warned_of("s", "shortcut"), 1);
    train_in("t", "--dry-run", "--no-audit");
    expect_code(0);
    ck_assert_ptr_null(strstr(ran.err, "audit"));
}
END_TEST

START_TEST(copies)
{
    char *text;

    copy_file("d/valid/real_images/003.png", "d/train/real_images/leak.png");
    put_class("more/train", 4, 9000, 1);
    put_class("more/train", 4, 9500, 0);
    copy_file("d/train/fake_images/000.png", "more/train/fake_images/again.png");
    copy_file("d/valid/fake_images/001.png", "more/train/fake_images/seen.png");
    train_on("d", "r", "--extra-data", in_tree("more"), "--threads", "1");
    expect_code(0);
    expect_in(ran.err, "leak.png: also in another split");
    expect_in(ran.err, "again.png: duplicate content");
    expect_in(ran.err, "seen.png: ");
    expect_in(ran.err, "train: 29 fake, 29 real");
    expect_in(ran.err, "valid: 8 fake, 8 real");
    text = read_text("r/split.tsv");
    expect_in(text, "train/real_images/leak.png\texcluded\t0\t");
    expect_in(text, "more/train/fake_images/again.png\texcluded\t1\t");
    free(text);
    train_on("d", "s", "--threads", "1");
    expect_code(0);
    expect_in(ran.err, "train: 25 fake, 25 real");
}
END_TEST

/* ------------------------------------------------------------------------------ usage */

START_TEST(usage)
{
    static const struct {
        const char *a, *b;
        int code;
        const char *text;
    } cases[] = {
        { "--nonsense", "1", 2, "nonsense" },
        { "--lr", "fast", 2, "--lr: \"fast\" is not a number" },
        { "--lr", "nan", 2, "--lr" },
        { "--lr", "0", 2, "--lr: \"0\" is not above 0" },
        { "--head", "load", 2, "--head load" },
        { "--batch-size", "0", 2, "--batch-size" },
        { "--batch-size", "8x", 2, "--batch-size" },
        { "--epochs", "1.5", 2, "--epochs" },
        { "--warmup-steps", "soon", 2, "--warmup-steps" },
        { "--augment", "mirror", 2,
          "line 1, column 1: there is no transform \"mirror\" (and there is no such file)" },
        { "--augment", "flip p=2", 2, "column 8" },
        { "--augment", "flip p=0.5 p=0.7", 2, "column 12: a second \"p\"" },
        { "--augment", "/dev/zero", 2, "--augment /dev/zero: not a regular file" },
        { "--resume", "--dry-run", 2,
          "--resume has no value; if it is to be \"--dry-run\", write --resume=--dry-run" },
        { "--dat", "--dry-run", 2, "--dat has no value" },
        { "-o", "--dry-run", 2, "write -o--dry-run" },
        { "--augment", "/", 2, "--augment /: Is a directory" },
        { "--model", "vgg11_bn", 2, "choose a larger --image-size than 31" },
        { "--ema-decay", "1", 2, "is not a number from 0 to 0.9999999" },
        { "--mixup", "0", 2, "--mixup" },
        { "--mean", "0.5,0.5", 2, "not of the form R,G,B" },
        { "--mean", "0.5,0.5,0.5,", 2, "not of the form R,G,B" },
        { "--std", "0.2,0,0.2", 2, "not within 0.001 to 1" },
        { "--optimizer", "adam adamw", 2, "--optimizer" },
        { "--optimizer", "", 2, "--optimizer" },
        { "--schedule", "cos", 2, "none of constant|cosine|step|plateau" },
        { "--model", "resnet", 2, "efficientnet_b6" },
        { "--data", "", 3, "" },
        { "--device", "cuda", 5, "no CUDA backend" },
        { "--device", "cuda:1", 5, "no CUDA backend" },
        { "--device", "tpu", 5, "tpu" },
        { "--precision", "int4", 2, "none of fp32|bf16" },
        { "--isa", "nonsense", 5, "nonsense" },
        { "--recipe", "/nowhere", 2, "/nowhere" },
        { "--weights", "/nowhere", 3, "/nowhere" },
        { "stray", "argument", 2, "unexpected argument \"stray\"" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_in("r", "--image-size", "31", cases[i].a, cases[i].b);
        ck_assert_msg(ran.code == cases[i].code, "%s %s: exit code %d: %s", cases[i].a, cases[i].b, ran.code,
                      ran.err);
        expect_in(ran.err, cases[i].text);
        ck_assert_str_eq(ran.out, "");
        ck_assert_int_ne(access(in_tree("r"), F_OK), 0);
    }
    run("fakereal_train", NULL);
    expect_code(2);
    expect_in(ran.err, "--data");
    run("fakereal_train", "--data", in_tree("d"), "--fake-dir", in_tree("d"), "--real-dir", in_tree("d"),
        NULL);
    expect_code(2);
    run("fakereal_train", "--fake-dir", in_tree("d"), NULL);
    expect_code(2);
}
END_TEST

START_TEST(help)
{
    const char *examples;

    run("fakereal_train", "--help", NULL);
    expect_code(0);
    ck_assert_str_eq(ran.err, "");
    examples = strstr(ran.out, "Examples:");
    ck_assert_ptr_nonnull(examples);
    ck_assert(examples < strstr(ran.out, "--data="));
    ck_assert(examples < strstr(ran.out, "--epochs="));
    run("fakereal_train", "--version", NULL);
    expect_code(0);
    ck_assert_str_eq(ran.err, "");
    expect_in(ran.out, NN_VERSION);
}
END_TEST

START_TEST(dry_run)
{
    train_in("r", "--dry-run");
    expect_code(0);
    expect_in(ran.err, "nothing was trained or written");
    expect_in(ran.err, "train: 25 fake, 25 real");
    ck_assert_str_eq(ran.out, "");
    ck_assert_int_ne(access(in_tree("r"), F_OK), 0);
}
END_TEST

/* Where a plan needs more memory than there is, it is said what would need less; mistakes are found before
 * any image is read. */
START_TEST(before_the_data)
{
    static const char *const wrong[][2] = { { "--model", "efficientnet_b9" },
                                            { "--freeze", "nowhere" },
                                            { "--lr-scale", "*=0" } };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        train_in("r", "--dry-run", wrong[i][0], wrong[i][1]);
        expect_code(2);
        expect_not_in(ran.err, "train: 25");
    }
#ifndef __SANITIZE_ADDRESS__ /* which ends a program that asks for so much */
    train_in("r", "--dry-run", "--batch-size", "65536", "--image-size", "64");
    expect_in(ran.err, "--recompute and --precision bf16 need less");
#endif
}
END_TEST

/* It has no business in the current folder, but tells of a run folder that it was asked about. */
START_TEST(dry_run_elsewhere)
{
    make_folders("locked");
    ck_assert(!chmod(in_tree("locked"), 0));
    if (!forget_privileges(in_tree("locked")))
        return;
    ck_assert(!chmod(in_tree("locked"), 0555) && !chdir(in_tree("locked")));
    run("fakereal_train", "--data", in_tree("d"), SMALL, "--dry-run", NULL);
    expect_code(0);
    train_in("locked/r", "--dry-run");
    expect_code(4);
    expect_in(ran.err, "Permission denied");
}
END_TEST

/* Nobody knows what is in a folder that cannot be read: the rest is done, and the code says that it is one.
 */
START_TEST(unreadable_folder)
{
    put_class("d/train/fake_images/more", 3, 4000, 1);
    ck_assert(!chmod(in_tree("d/train/fake_images/more"), 0));
    if (!forget_privileges(in_tree("d/train/fake_images/more")))
        return;
    train_in("r", "--max-steps", "1");
    ck_assert(!chmod(in_tree("d/train/fake_images/more"), 0755));
    expect_code(3);
    expect_in(ran.err, "fake_images/more: cannot be read: Permission denied");
    expect_in(ran.err, "1 folder cannot be read: the images in there take no part");
    expect_in(ran.err, "that was without the images of 1 folder that");
    expect_in(ran.out, "r/best.safetensors");
}
END_TEST

/* metrics.csv is the user's as well: what is written or cut in it goes with the run, as do all rows before.
 */
START_TEST(rows_that_are_kept)
{
    char *text, *first, *kept, changed[1024];
    size_t size;

    train_in("r", "--max-steps", "14");
    expect_code(0);
    text = all_of("r/metrics.csv", &size);
    first = strchr(text, '\n') + 1;
    text[size - 1] = 0; /* the last line has no end */
    (void)snprintf(changed, sizeof changed, "\xef\xbb\xbf%.*s# better data from here on\n%s",
                   (int)(first - text), text, first);
    put("r/metrics.csv", changed);
    train_in("r", "--max-steps", "21", "--resume", "auto");
    expect_code(0);
    kept = read_text("r/metrics.csv");
    expect_in(kept, "# better data from here on\n");
    expect_in(kept, first);
    ck_assert_int_eq(lines("r/metrics.csv"), 5);
    ck_assert_msg(!strncmp(kept, "epoch,step,", 11), "%s", kept);
    free(kept);
    free(text);
    /* One that cannot be read is no empty one. */
    ck_assert(!unlink(in_tree("r/metrics.csv")));
    put("r/metrics.csv/inside", "of a folder");
    train_in("r", "--max-steps", "28", "--resume", "auto");
    expect_code(4);
    expect_in(ran.err, "metrics.csv");
}
END_TEST

START_TEST(recipes)
{
    static const struct {
        const char *text, *complaint;
    } bad[] = {
        { "# a comment\nlr = 1e-3\n\nlearning-rate = 1\n",
          "recipe.conf:4: there is no option \"learning-rate\"" },
        { "epochs = 2\nlr = fast\n", "recipe.conf:2: --lr: \"fast\"" },
        { "epochs = 2\nlr = \n", "recipe.conf:2: --lr: \"\"" },
        { "schedule = none\n", "recipe.conf:1: --schedule" },
        { "lr 1e-3\n", "recipe.conf:1: expected" },
        { "dry-run = maybe\n", "recipe.conf:1: \"dry-run\" takes no value" },
        { "recipe = other\n", "recipe.conf:1: a recipe cannot" },
        { "--lr = 1\n", "recipe.conf:1: expected" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("recipe.conf", bad[i].text);
        train_in("r", "--recipe", in_tree("recipe.conf"));
        expect_code(2);
        expect_in(ran.err, bad[i].complaint);
    }
    put_bytes("recipe.conf", "# fine\nlr = 0.5\0junk\n", 21);
    train_in("r", "--recipe", in_tree("recipe.conf"));
    expect_code(2);
    expect_in(ran.err, "recipe.conf:2: a zero byte");
    /* As editors of other systems write it. */
    put("recipe.conf", "\xef\xbb\xbf"
                       "lr = 1e-3\r\n\r\n# seed\r\nseed=7\r\n");
    train_in("r", "--recipe", in_tree("recipe.conf"), "--dry-run");
    expect_code(0);
    expect_in(ran.err, "seed 7");
    put("flip.txt", "\xef\xbb\xbf"
                    "flip\r\n");
    train_in("r", "--augment", in_tree("flip.txt"), "--dry-run");
    expect_code(0);
    /* The command line wins, wherever the recipe stands on it; its own mistakes are not the recipe's. */
    put("recipe.conf", "  lr = 1e-3 \r\nseed=7\nmax-steps = 1\n");
    train_in("r", "--seed", "8", "--recip", in_tree("recipe.conf"));
    expect_code(0);
    expect_in(ran.err, "lr 0.001,");
    expect_in(ran.err, "seed 8");
    ck_assert_double_eq(metric("r", 0, 1), 1);
    train_in("s", "--recipe", in_tree("recipe.conf"), "--lr", "fast");
    expect_code(2);
    expect_not_in(ran.err, "recipe.conf");
    train_in("s", "--recipe", in_tree("recipe.conf"), "--recipe", in_tree("recipe.conf"));
    expect_code(2);
}
END_TEST

/* ------------------------------------------------------------------------------ disks */

START_TEST(files_that_may_not_grow)
{
    struct rlimit limit = { 20 << 20, RLIM_INFINITY };

    train_in("r", "--max-steps", "3");
    expect_code(0);
    train_in("whole", "--max-steps", "3");
    expect_code(0);
    ck_assert(!setrlimit(RLIMIT_FSIZE, &limit)); /* the best weights fit, the checkpoint does not */
    train_in("r", "--max-steps", "12", "--checkpoint-every", "2", "--resume", "auto");
    expect_code(4);
    expect_in(ran.err, "last.safetensors");
    expect_in(ran.err, "the previous checkpoint is intact");
    expect_same_file("whole", "r", "last.safetensors");
    ck_assert(!has_file_like("r", ".tmp"));
    limit.rlim_cur = 4 << 20; /* and now not even these */
    ck_assert(!setrlimit(RLIMIT_FSIZE, &limit));
    train_in("r", "--max-steps", "12", "--resume", "auto");
    expect_code(4);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert(!setrlimit(RLIMIT_FSIZE, &limit));
    train_in("r", "--max-steps", "12", "--resume", "auto");
    expect_code(0);
    train_in("whole", "--max-steps", "12", "--resume", "auto");
    expect_code(0);
    expect_same_run("whole", "r");
}
END_TEST

START_TEST(full_disk)
{
    make_folders("small");
    if (mount("none", in_tree("small"), "tmpfs", 0, "size=70m")) {
        (void)fprintf(stderr, "skipped: full_disk (no right to mount: %s)\n", strerror(errno));
        return;
    }
    train_in("small/r", "--max-steps", "3");
    expect_code(0);
    train_in("whole", "--max-steps", "3");
    expect_code(0);
    train_in("small/r", "--max-steps", "9", "--resume", "auto"); /* no room for old and new */
    expect_code(4);
    expect_in(ran.err, "No space left");
    expect_same_file("whole", "small/r", "last.safetensors");
    ck_assert(!has_file_like("small/r", ".tmp"));
    ck_assert(!umount2(in_tree("small"), MNT_DETACH));
}
END_TEST

/* What a run writes stays in its folder, and nothing in there is waited for. */
START_TEST(links_in_the_run_folder)
{
    static const char *const name[] = { "metrics.csv", "events.jsonl", "best.safetensors", "config.json" };
    char path[64];

    train_in("r", "--max-steps", "1");
    expect_code(0);
    put("elsewhere", "of somebody");
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        (void)snprintf(path, sizeof path, "r/%s", name[i]);
        ck_assert(!rename(in_tree(path), in_tree("kept")));
        ck_assert(!symlink(in_tree("elsewhere"), in_tree(path)));
        train_in("r", "--max-steps", "2", "--resume", "auto");
        expect_code(4);
        expect_in(ran.err, name[i]);
        expect_in(ran.err, "a link, and the run would write there");
        expect_file("elsewhere", "of somebody");
        ck_assert(!unlink(in_tree(path)));
        ck_assert(!mkfifo(in_tree(path), 0666));
        train_in("r", "--max-steps", "2", "--resume", "auto");
        expect_code(4);
        expect_in(ran.err, "not a regular file");
        ck_assert(!rename(in_tree("kept"), in_tree(path)));
    }
    train_in("r", "--max-steps", "2", "--resume", "auto");
    expect_code(0);
}
END_TEST

/* A pipe without a writer is refused, not waited for, whatever it is the argument of. */
START_TEST(pipes_as_inputs)
{
    static const char *const option[] = { "--augment",   "--recipe",    "--weights", "--split",
                                          "--train-csv", "--valid-csv", "--resume",  "--data" };

    ck_assert(!mkfifo(in_tree("pipe"), 0666));
    for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
        train_in("r", option[i], in_tree("pipe"));
        expect_code(2);
        expect_in(ran.err, "not a regular file");
    }
    /* Beside weights, where nobody named it. */
    train_in("r", "--max-steps", "1");
    expect_code(0);
    ck_assert(!unlink(in_tree("r/config.json")) && !mkfifo(in_tree("r/config.json"), 0666));
    train_in("q", "--weights", in_tree("r/best.safetensors"), "--dry-run");
    expect_code(0);
}
END_TEST

START_TEST(unwritable)
{
    put("file", "in the way");
    train_in("file/r", "--max-steps", "1");
    expect_code(4);
    expect_in(ran.err, "file");
    ck_assert(!symlink("/dev/full", in_tree("full")));
    (void)unlink(in_tree("stdout"));
    ck_assert(!symlink("/dev/full", in_tree("stdout")));
    train_in("r", "--max-steps", "1");
    expect_code(4);
    expect_in(ran.err, "standard output");
    ck_assert(!unlink(in_tree("stdout")));
    /* An event that cannot be written costs the line, not the run. */
    put("s/config.json", "{}"); /* of a run that got no further */
    make_folders("s/events.jsonl");
    train_in("s", "--max-steps", "1", "--resume", "auto");
    expect_code(0);
    expect_in(ran.err, "a line was lost");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fakereal_train");
    TCase *t = tcase_create("runs");

    tcase_set_timeout(t, 1200);
    tcase_add_checked_fixture(t, setup, programs_teardown);
    tcase_add_test(t, threads_do_not_matter);
    tcase_add_loop_test(t, resumed_after_max_steps, 0, KINDS);
    tcase_add_test(t, max_steps_within_an_epoch);
    tcase_add_test(t, best_of_before);
    tcase_add_test(t, resumed_after_interrupt);
    tcase_add_test(t, resumed_after_terminate);
    tcase_add_test(t, resumed_after_hangup);
    tcase_add_loop_test(t, resumed_after_kill, 0, 2);
    tcase_add_test(t, run_folders);
    tcase_add_test(t, begun_again);
    tcase_add_test(t, damaged_best);
    tcase_add_test(t, interrupted_twice);
    tcase_add_test(t, damaged_checkpoints);
    tcase_add_test(t, tables_instead_of_folders);
    tcase_add_test(t, resumed_with_other_options);
    tcase_add_test(t, one_process_for_a_folder);
    tcase_add_test(t, records);
    tcase_add_test(t, update_0_changes_no_weight);
    tcase_add_test(t, early_stopping);
    tcase_add_test(t, nan_is_no_improvement);
    suite_add_tcase(s, t);
    t = tcase_create("options");
    tcase_set_timeout(t, 1200);
    tcase_add_checked_fixture(t, setup, programs_teardown);
    tcase_add_test(t, bad_images);
    tcase_add_test(t, copies);
    tcase_add_test(t, audited);
    tcase_add_test(t, cached);
    tcase_add_test(t, usage);
    tcase_add_test(t, pipes_as_inputs);
    tcase_add_test(t, links_in_the_run_folder);
    tcase_add_test(t, help);
    tcase_add_test(t, dry_run);
    tcase_add_test(t, before_the_data);
    tcase_add_test(t, dry_run_elsewhere);
    tcase_add_test(t, unreadable_folder);
    tcase_add_test(t, rows_that_are_kept);
    tcase_add_test(t, recipes);
    suite_add_tcase(s, t);
    t = tcase_create("disks");
    tcase_set_timeout(t, 1200);
    tcase_add_checked_fixture(t, setup, programs_teardown);
    tcase_add_test(t, files_that_may_not_grow);
    tcase_add_test(t, full_disk);
    tcase_add_test(t, unwritable);
    suite_add_tcase(s, t);
    return suite_run(s);
}
