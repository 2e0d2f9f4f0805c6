/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: what is saved comes back to the bit and training goes on as if nothing had been; a file that
 * is damaged, of another network or of another optimizer is refused; a save that fails leaves the old file.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <nn/io.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 4, WIDTH = 6, SIDE = 4 };

static nn_device *device;
static char path[64];
static nn_message why;
static struct nni_seam real_seam;

/* A network with parameters, float state and an integer counter, and a plan that trains it. */
struct net {
    nn_model *model;
    nn_plan *plan;
};

static struct net make(uint64_t seed, int64_t width, nn_optim optim, double ema)
{
    struct net n;
    nn_tensor *x, *loss;
    nn_graph *g;
    int rc;

    ck_assert_int_eq(nn_model_new(&n.model, device, seed), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, n.model, NN_TRAIN), NN_OK);
    x = nn_input(g, "image", NN_REAL, NN_SHAPE4(BATCH, SIDE, SIDE, 3));
    x = nn_layer_conv2d(g, "conv", x, (nn_conv2d_opts){ .out = width, .k = 3 });
    x = nn_relu(g, nn_layer_batchnorm(g, "norm", x, (nn_batchnorm_opts){ 0 }));
    x = nn_flatten(g, nn_global_avg_pool(g, x));
    x = nn_layer_linear(g, "classifier", nn_dropout(g, x, 0.3), (nn_linear_opts){ .out = 2 });
    loss = nn_cross_entropy(g, x, nn_input(g, "target", NN_I32, NN_SHAPE1(BATCH)), (nn_ce_opts){ 0 });
    rc = nn_compile(&n.plan, g, (nn_plan_opts){ .loss = loss, .optim = optim, .ema_decay = ema, .seed = 9 });
    ck_assert_msg(rc == NN_OK, "%s", nn_graph_error(g));
    nn_graph_free(g);
    return n;
}

static void drop(struct net *n)
{
    nn_plan_free(n->plan);
    nn_model_free(n->model);
}

static void steps(struct net *n, int from, int to)
{
    nn_real *image = nn_host(n->plan, "image", NULL);
    int32_t *target = nn_host(n->plan, "target", NULL);

    for (int k = from; k < to; k++) {
        uint32_t seed = (uint32_t)k;

        for (int i = 0; i < BATCH * SIDE * SIDE * 3; i++) {
            seed = seed * 1664525u + 1013904223u;
            image[i] = (nn_real)(seed >> 8) * (nn_real)0x1p-24 - (nn_real)0.5;
        }
        for (int i = 0; i < BATCH; i++)
            target[i] = (k + i) % 2;
        (void)nn_set(n->plan, NN_LEARNING_RATE, 0.05);
        ck_assert_msg(!nn_run(n->plan, NN_GRADIENTS | NN_UPDATE), "%s", nn_plan_error(n->plan));
    }
}

static const nn_base ROLES[] = { NN_BASE_PARAM,     NN_BASE_STATE,   NN_BASE_EMA,
                                 NN_BASE_STATE_EMA, NN_BASE_MOMENT1, NN_BASE_MOMENT2 };

static bool same(const struct net *a, const struct net *b)
{
    bool equal = true;

    for (size_t i = 0; i < sizeof ROLES / sizeof *ROLES; i++) {
        size_t n = 0, m = 0;
        const void *x = nn_model_buffer(a->model, ROLES[i], &n), *y = nn_model_buffer(b->model, ROLES[i], &m);

        ck_assert_int_eq(!x, !y);
        equal = equal && (!x || (n == m && !memcmp(x, y, n)));
    }
    for (int i = NN_STEP; i <= NN_SKIPPED; i++)
        equal = equal && nn_get(a->plan, (nn_setting)i) == nn_get(b->plan, (nn_setting)i);
    return equal;
}

static const nn_pair PAIRS[] = { { "run.state", "epoch=3 position=8 \"quoted\"\n" }, { "empty", "" } };

static int save(const struct net *n) { return nn_checkpoint_save(n->plan, n->model, path, PAIRS, 2, &why); }

static int restore(struct net *n)
{
    nn_safetensors *file;
    int rc = nn_safetensors_open(&file, path, NULL, &why);

    if (rc)
        return rc;
    rc = nn_checkpoint_load(n->plan, n->model, file, &why);
    nn_safetensors_free(file);
    return rc;
}

static nn_optim optimizer(int which)
{
    switch (which) {
    case 0: return nn_adamw((nn_adam_opts){ .decay = 0.1 });
    case 1: return nn_radam((nn_adam_opts){ 0 });
    case 2: return nn_sgd((nn_sgd_opts){ .momentum = 0.9 });
    default: return nn_sgd((nn_sgd_opts){ 0 });
    }
}

static void setup(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    (void)snprintf(path, sizeof path, "/tmp/nn_checkpoint_%ld", (long)getpid());
    real_seam = nni_seam;
}

static void teardown(void)
{
    nni_seam = real_seam;
    (void)remove(path);
    nn_close(device);
}

START_TEST(resumes_to_the_bit)
{
    double ema = _i % 2 ? 0.9 : 0;
    struct net a = make(1, WIDTH, optimizer(_i / 2), ema), b = make(2, WIDTH, optimizer(_i / 2), ema);
    nn_safetensors *file;

    steps(&a, 0, 5);
    ck_assert_msg(!save(&a), "%s", why.text);
    ck_assert(!same(&a, &b));
    ck_assert_msg(!restore(&b), "%s", why.text);
    ck_assert(same(&a, &b));
    steps(&a, 5, 9);
    steps(&b, 5, 9);
    ck_assert(same(&a, &b));
    ck_assert_int_eq(nn_safetensors_open(&file, path, NULL, &why), NN_OK);
    ck_assert_str_eq(nn_safetensors_metadata(file, PAIRS[0].key), PAIRS[0].value);
    ck_assert_str_eq(nn_safetensors_metadata(file, PAIRS[1].key), "");
    ck_assert_str_eq(nn_safetensors_metadata(file, "libnn.plan.step"), "5");
    nn_safetensors_free(file);
    drop(&a);
    drop(&b);
}
END_TEST

/* The n-th allocation, open, write, sync, close or rename fails: the old file is still there, or (when only
 * the folder's sync failed) the new one, whole; and the message says something. */
static int calls, fail_at;

static bool now(void) { return ++calls == fail_at; }

static void *failing_alloc(size_t size) { return now() ? NULL : real_seam.alloc(size); }

static int failing_open(const char *at, int flags, int mode)
{
    if (!now())
        return real_seam.open(at, flags, mode);
    errno = EACCES;
    return -1;
}

static int64_t failing_write(int fd, const void *data, size_t size)
{
    if (!now())
        return real_seam.write(fd, data, size > 100 ? 100 : size);
    errno = ENOSPC;
    return -1;
}

static int failing_fsync(int fd)
{
    if (!now())
        return real_seam.fsync(fd);
    errno = EIO;
    return -1;
}

static int failing_rename(const char *from, const char *to)
{
    if (!now())
        return real_seam.rename(from, to);
    errno = EROFS;
    return -1;
}

START_TEST(failures_leave_the_old_file)
{
    struct net a = make(1, WIDTH, optimizer(0), 0), b = make(2, WIDTH, optimizer(0), 0),
               old = make(3, WIDTH, optimizer(0), 0);
    int rc = 1, failed = 0;

    steps(&a, 0, 1);
    ck_assert_int_eq(save(&a), NN_OK);
    ck_assert_int_eq(restore(&old), NN_OK);
    steps(&a, 1, 2);
    for (fail_at = 1; rc; fail_at++) {
        char temporary[128];
        glob_t left;

        calls = 0;
        why.text[0] = 0;
        nni_seam.alloc = failing_alloc;
        nni_seam.open = failing_open;
        nni_seam.write = failing_write;
        nni_seam.fsync = failing_fsync;
        nni_seam.rename = failing_rename;
        rc = save(&a);
        nni_seam = real_seam;
        failed += rc != 0;
        ck_assert(!rc || rc == NN_ENOMEM || rc == NN_EIO);
        ck_assert_int_eq(rc != 0, why.text[0] != 0);
        ck_assert_msg(!restore(&b), "after failure %d: %s", fail_at, why.text);
        ck_assert(rc ? same(&b, &old) || same(&b, &a) : same(&b, &a));
        (void)snprintf(temporary, sizeof temporary, "%s.tmp*", path);
        ck_assert_int_eq(glob(temporary, 0, NULL, &left), GLOB_NOMATCH);
        if (rc && same(&b, &a)) { /* the sync of the folder */
            struct net third = make(4, WIDTH, optimizer(0), 0);

            ck_assert_int_eq(restore(&third), NN_OK);
            drop(&third);
        }
    }
    ck_assert_int_gt(failed, 20);
    drop(&a);
    drop(&b);
    drop(&old);
}
END_TEST

START_TEST(loading_without_memory)
{
    struct net a = make(1, WIDTH, optimizer(0), 0.9), b = make(2, WIDTH, optimizer(0), 0.9);
    nn_safetensors *file;
    int rc = 1;

    steps(&a, 0, 2);
    ck_assert_int_eq(save(&a), NN_OK);
    ck_assert_int_eq(nn_safetensors_open(&file, path, NULL, &why), NN_OK);
    for (fail_at = 1; rc; fail_at++) {
        calls = 0;
        nni_seam.alloc = failing_alloc;
        rc = nn_checkpoint_load(b.plan, b.model, file, &why);
        nni_seam = real_seam;
        ck_assert(!rc || rc == NN_ENOMEM);
    }
    nn_safetensors_free(file);
    ck_assert(same(&a, &b));
    drop(&a);
    drop(&b);
}
END_TEST

static char *read_bytes(size_t *size)
{
    void *data;

    ck_assert_int_eq(nni_read_file(path, 1 << 24, &data, size, &why), NN_OK);
    return data;
}

/* 2,000 flipped bits, everywhere in the file: each is refused, and nothing has changed. */
START_TEST(flipped_bits)
{
    struct net a = make(1, WIDTH, optimizer(0), 0.9), b = make(2, WIDTH, optimizer(0), 0.9),
               untouched = make(2, WIDTH, optimizer(0), 0.9);
    size_t size, head;
    uint64_t length;
    char *bytes;
    uint32_t seed = 1;
    int spaces = 0;

    steps(&a, 0, 3);
    ck_assert_int_eq(save(&a), NN_OK);
    bytes = read_bytes(&size);
    memcpy(&length, bytes, sizeof length);
    head = 8 + (size_t)length;
    for (int k = 0; k < 4000; k++) {
        nn_safetensors *file = NULL;
        size_t at;
        int bit, rc;
        char kept;

        seed = seed * 1664525u + 1013904223u;
        at = k % 2 ? (seed >> 4) % head : head + (seed >> 4) % (size - head);
        bit = (int)(seed >> 29);
        kept = bytes[at];
        bytes[at] = (char)(kept ^ (1 << bit));
        rc = nn_safetensors_parse(&file, bytes, size, "flipped", NULL, &why);
        if (!rc) {
            rc = nn_checkpoint_check(file, &why);
            ck_assert_int_eq(nn_checkpoint_load(b.plan, b.model, file, &why), rc);
        }
        bytes[at] = kept;
        nn_safetensors_free(file);
        if (!rc && kept == ' ') { /* white space around the header is nothing */
            spaces++;
            ck_assert_int_eq(restore(&b), NN_OK);
            drop(&b);
            b = make(2, WIDTH, optimizer(0), 0.9);
            continue;
        }
        ck_assert_msg(rc == NN_EFORMAT || rc == NN_EUNSUPPORTED, "bit %d of byte %zu (header %zu, %c): %d",
                      bit, at, head, kept, rc);
        ck_assert_uint_gt(strlen(why.text), 10);
    }
    ck_assert(same(&b, &untouched));
    ck_assert_int_lt(spaces, 20);
    for (size_t cut = 0; cut < size; cut += size / 97) {
        nn_safetensors *file = NULL;

        ck_assert_int_ne(nn_safetensors_parse(&file, bytes, cut, "cut", NULL, &why), NN_OK);
    }
    nni_free(bytes);
    drop(&a);
    drop(&b);
    drop(&untouched);
}
END_TEST

START_TEST(of_another_run)
{
    struct net a = make(1, WIDTH, optimizer(0), 0), sgd = make(2, WIDTH, optimizer(2), 0),
               wide = make(2, WIDTH + 2, optimizer(0), 0);
    struct net averaged = make(2, WIDTH, optimizer(0), 0.9), untouched = make(2, WIDTH, optimizer(2), 0);

    steps(&a, 0, 2);
    ck_assert_int_eq(save(&a), NN_OK);
    ck_assert_int_eq(restore(&sgd), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "adamw") && strstr(why.text, "sgd"), "%s", why.text);
    ck_assert(same(&sgd, &untouched));
    ck_assert_int_eq(restore(&wide), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "conv.weight") != NULL, "%s", why.text);
    ck_assert_int_eq(restore(&averaged), NN_EFORMAT); /* it has no averages */
    ck_assert_msg(strstr(why.text, "ema/") != NULL, "%s", why.text);
    /* Weights alone are no checkpoint. */
    ck_assert_int_eq(nn_model_save(a.model, path, NN_BASE_NONE, NULL, 0), NN_OK);
    ck_assert_int_eq(restore(&sgd), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "not a checkpoint") != NULL, "%s", why.text);
    drop(&a);
    drop(&sgd);
    drop(&wide);
    drop(&averaged);
    drop(&untouched);
}
END_TEST

START_TEST(weights_alone)
{
    struct net a = make(1, 4, nn_adamw((nn_adam_opts){ 0 }), 0.9);
    struct net b = make(2, 4, nn_sgd((nn_sgd_opts){ 0 }), 0);
    nn_load_report report;
    size_t n;

    steps(&a, 0, 2);
    ck_assert_int_eq(save(&a), NN_OK);
    ck_assert_int_eq(nn_model_load(b.model, path, NULL, NULL), NN_EFORMAT);
    ck_assert_msg(strstr(nn_model_error(b.model), "nn_load_opts.from") != NULL, "%s",
                  nn_model_error(b.model));
    ck_assert_msg(!nn_model_load(b.model, path, &(nn_load_opts){ .from = "model/" }, &report), "%s",
                  nn_model_error(b.model));
    ck_assert_int_eq(report.missing + report.unexpected + report.misfit, 0);
    ck_assert_mem_eq(nn_model_buffer(a.model, NN_BASE_PARAM, &n), nn_model_buffer(b.model, NN_BASE_PARAM, &n),
                     n);
    drop(&a);
    drop(&b);
}
END_TEST

START_TEST(wrong_calls)
{
    struct net a = make(1, WIDTH, optimizer(0), 0);
    const nn_pair half = { "key", NULL }, taken = { "libnn.plan.step", "7" };
    nn_model *fresh;

    ck_assert_int_eq(nn_checkpoint_save(a.plan, a.model, path, &half, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_checkpoint_save(a.plan, a.model, path, &taken, 1, &why), NN_EINVAL);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(nn_model_new(&fresh, device, 1), NN_OK);
    ck_assert_int_eq(nn_checkpoint_save(a.plan, fresh, path, NULL, 0, &why), NN_ESTATE);
    nn_model_free(fresh);
    ck_assert_int_eq(nn_checkpoint_save(a.plan, a.model, "/nowhere/at/all", NULL, 0, &why), NN_EIO);
    ck_assert_msg(strstr(why.text, "/nowhere/at/all") != NULL, "%s", why.text);
    drop(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint");
    TCase *t = tcase_create("files");

    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, resumes_to_the_bit, 0, 8);
    tcase_add_test(t, failures_leave_the_old_file);
    tcase_add_test(t, loading_without_memory);
    tcase_add_test(t, flipped_bits);
    tcase_add_test(t, of_another_run);
    tcase_add_test(t, weights_alone);
    tcase_add_test(t, wrong_calls);
    suite_add_tcase(s, t);
    return suite_run(s);
}
