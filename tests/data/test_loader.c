/* SPDX-License-Identifier: MIT
 *
 * The loader: what a batch holds depends on the epoch and the position alone, not on threads, on how far
 * ahead they work, on where the epoch was begun or on what was loaded before; a file that cannot be used is
 * one image's status.
 */
#include "tree.h"
#include "suite.h"

#include "data/data.h"

#include <nn/vision.h>
#include <math.h>
#include <sched.h>
#include <zlib.h>

enum { N = 37, SIZE = 16, BYTES = SIZE * SIZE * 3, BATCH = 5 };

static nn_dataset *data;
static nn_preprocess record;

static void put32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static size_t chunk(uint8_t *at, const char *type, const void *bytes, size_t size)
{
    put32(at, (uint32_t)size);
    memcpy(at + 4, type, 4);
    if (size)
        memcpy(at + 8, bytes, size);
    put32(at + 8 + size, (uint32_t)crc32(0, at + 4, (uInt)size + 4));
    return size + 12;
}

/* A PNG of SIZE x SIZE: pixel (y, x) of image k is (k, y, x), so that a flip shows. */
static void put_image(const char *path, int k)
{
    uint8_t raw[SIZE * (1 + 3 * SIZE)] = { 0 }, packed[4096], head[13] = { 0 }, file[8192];
    uLongf size = sizeof packed;
    size_t at = 8;

    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) {
            uint8_t *p = raw + y * (1 + 3 * SIZE) + 1 + 3 * x;

            p[0] = (uint8_t)k;
            p[1] = (uint8_t)y;
            p[2] = (uint8_t)x;
        }
    ck_assert_int_eq(compress(packed, &size, raw, sizeof raw), Z_OK);
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    put32(head, SIZE);
    put32(head + 4, SIZE);
    head[8] = 8;
    head[9] = 2;
    at += chunk(file + at, "IHDR", head, sizeof head);
    at += chunk(file + at, "IDAT", packed, size);
    at += chunk(file + at, "IEND", NULL, 0);
    put_bytes(path, file, at);
}

/* Sample i of the dataset shows i in its red channel: real ones come after fake ones by name. */
/* None, flip, entry, one whose batches are floats, one that does something before it resizes. */
enum { PIPELINES = 5 };
static nn_augment *pipeline[PIPELINES];

static void setup(void)
{
    char path[64];

    tree_setup();
    nni_seam.open = real_seam.open; /* Check's assertions are not for other threads */
    for (int i = 0; i < N; i++) {
        (void)snprintf(path, sizeof path, "d/train/%s/%03d.png", i < 20 ? "fake" : "real", i);
        put_image(path, i);
    }
    put_image("d/valid/fake/a.png", 100);
    put_image("d/valid/real/b.png", 101);
    data = load("d");
    ck_assert_int_eq(data->samples, N + 2);
    record = nn_preprocess_default();
    record.size = record.resize_width = record.resize_height = SIZE;
    ck_assert_int_eq(nn_augment_new(&pipeline[1], "flip", &why), NN_OK);
    ck_assert_int_eq(nn_augment_new(&pipeline[2], "entry", &why), NN_OK);
    ck_assert_int_eq(nn_augment_new(&pipeline[3], "notebook", &why), NN_OK);
    ck_assert_int_eq(nn_augment_new(&pipeline[4], "flip; affine; resize", &why), NN_OK);
}

static void teardown(void)
{
    for (int i = 1; i < PIPELINES; i++)
        nn_augment_free(pipeline[i]);
    nn_dataset_free(data);
    nn_preprocess_free(&record);
    tree_teardown();
}

static double mixup; /* of loaders made below */
static size_t cache;

static nn_loader *make(int threads, int ahead, int shuffle, int augment)
{
    nn_loader_opts o = { .data = data,
                         .split = NN_SPLIT_TRAIN,
                         .preprocess = &record,
                         .batch = BATCH,
                         .shuffle = shuffle,
                         .augment = pipeline[augment],
                         .mixup = mixup,
                         .seed = 42,
                         .threads = threads,
                         .ahead = ahead,
                         .cache_bytes = cache };
    nn_loader *l = NULL;

    ck_assert_msg(!nn_loader_new(&l, &o, &why), "%s", why.text);
    ck_assert_int_eq(nn_loader_samples(l), N);
    return l;
}

struct epoch {
    int64_t n, sample[N];
    int32_t label[N];
    uint8_t rgb[N][BYTES];
    float real[N][BYTES];
    double share[N];
    int status[N];
};

/* Reads from `position` to the end. */
static void read_epoch(nn_loader *l, int64_t epoch, int64_t position, struct epoch *e)
{
    nn_batch b;

    memset(e, 0, sizeof *e);
    e->n = position;
    ck_assert_int_eq(nn_loader_start(l, epoch, position), NN_OK);
    for (;;) {
        ck_assert_int_eq(nn_loader_next(l, &b), NN_OK);
        if (!b.count)
            break;
        ck_assert_int_eq(b.first, e->n);
        ck_assert_int_eq(b.count, N - e->n < BATCH ? N - e->n : BATCH);
        ck_assert_double_ge(b.waited, 0);
        for (int64_t k = 0; k < b.count; k++, e->n++) {
            e->sample[e->n] = b.sample[k];
            e->label[e->n] = b.label[k];
            e->status[e->n] = b.status[k];
            e->share[e->n] = b.share;
            ck_assert((b.rgb != NULL) != (b.real != NULL));
            if (b.rgb)
                memcpy(e->rgb[e->n], b.rgb + k * BYTES, BYTES);
            else
                memcpy(e->real[e->n], b.real + k * BYTES, BYTES * sizeof(float));
            ck_assert_int_eq(b.status[k] != 0, b.why[k][0] != 0);
        }
    }
    ck_assert_int_eq(e->n, N);
    ck_assert_int_eq(nn_loader_next(l, &b), NN_OK); /* and the end stays the end */
    ck_assert_int_eq(b.count, 0);
}

static void expect_same(const struct epoch *a, const struct epoch *b, int64_t from)
{
    ck_assert(!memcmp(a->sample + from, b->sample + from, (size_t)(N - from) * sizeof *a->sample));
    ck_assert(!memcmp(a->label + from, b->label + from, (size_t)(N - from) * sizeof *a->label));
    ck_assert(!memcmp(a->rgb + from, b->rgb + from, (size_t)(N - from) * sizeof *a->rgb));
    ck_assert(!memcmp(a->real + from, b->real + from, (size_t)(N - from) * sizeof *a->real));
}

static struct epoch reference, now;

START_TEST(what_an_epoch_holds)
{
    nn_loader *l = make(2, 0, 1, 1);
    int64_t order[N];
    int flips[3] = { 0 };
    bool changed = false;

    for (int epoch = 0; epoch < 3; epoch++) {
        bool there[N] = { false };

        read_epoch(l, epoch, 0, &now);
        ck_assert_int_eq(nni_epoch_order(42, (uint64_t)epoch, N, order), NN_OK);
        for (int64_t i = 0; i < N; i++) {
            int64_t at = now.sample[i];
            const nn_sample *s = &data->sample[at];
            const uint8_t *p = now.rgb[i];
            bool flipped = p[2] != 0;

            ck_assert(!there[at]);
            there[at] = true;
            ck_assert_int_eq(at, order[i]); /* the training samples come first here */
            ck_assert_int_eq(now.label[i], s->label);
            ck_assert_int_eq(p[0], atoi(strrchr(s->path, '/') + 1));
            flips[epoch] += flipped;
            for (int y = 0; y < SIZE; y++)
                for (int x = 0; x < SIZE; x++) {
                    const uint8_t *q = p + 3 * (y * SIZE + x);

                    ck_assert(q[0] == p[0] && q[1] == y && q[2] == (flipped ? SIZE - 1 - x : x));
                }
        }
        changed = changed || (epoch && memcmp(now.sample, reference.sample, sizeof now.sample) != 0);
        ck_assert(flips[epoch] > N / 5 && flips[epoch] < N - N / 5);
        reference = now;
    }
    ck_assert(changed);
    nn_loader_free(l);
    l = make(1, 0, 0, 0);
    read_epoch(l, 5, 0, &now);
    for (int64_t i = 0; i < N; i++)
        ck_assert(now.sample[i] == i && now.rgb[i][2] == 0);
    nn_loader_free(l);
}
END_TEST

/* Normalised by the record's mean and std and by the maximum of the pipeline. */
START_TEST(floats)
{
    nn_loader *l;

    nn_augment_free(pipeline[3]);
    ck_assert_int_eq(nn_augment_new(&pipeline[3], "resize; normalize maximum=225", &why), NN_OK);
    l = make(2, 0, 1, 3);
    read_epoch(l, 0, 0, &now);
    for (int64_t i = 0; i < N; i++)
        for (int at = 0; at < SIZE * SIZE; at++) {
            const double is[3] = { (double)now.sample[i], at / SIZE, at % SIZE };

            for (int k = 0; k < 3; k++) {
                double want = (is[k] / 225 - record.mean[k]) / record.std[k];

                ck_assert_double_eq_tol((double)now.real[i][3 * at + k], want, 1e-6);
            }
        }
    nn_loader_free(l);
}
END_TEST

START_TEST(threads_and_positions_do_not_matter)
{
    static const int threads[] = { 1, 2, 7 }, ahead[] = { 0, 1, 9 };
    int augment = 1 + _i;
    nn_loader *l = make(1, 0, 1, augment);

    read_epoch(l, 4, 0, &reference);
    nn_loader_free(l);
    for (int i = 0; i < 9; i++) {
        l = make(threads[i % 3], ahead[i / 3], 1, augment);
        read_epoch(l, 3, 10, &now); /* something else before */
        for (int64_t from = 0; from < N; from += BATCH) {
            read_epoch(l, 4, from, &now);
            expect_same(&now, &reference, from);
        }
        read_epoch(l, 4, N, &now); /* begun at its end: nothing */
        nn_loader_free(l);
    }
}
END_TEST

/* Each image is its share of itself and the rest of the next; shares and pixels do not depend on threads or
 * positions either. */
START_TEST(mixed)
{
    int augment = _i ? 3 : 1;
    nn_loader *l = make(2, 0, 1, augment);

    read_epoch(l, 4, 0, &reference);
    nn_loader_free(l);
    mixup = 0.7;
    l = make(3, 1, 1, augment);
    read_epoch(l, 4, 0, &now);
    for (int64_t i = 0; i < N; i++) {
        int64_t first = i / BATCH * BATCH, count = N - first < BATCH ? N - first : BATCH;
        int64_t next = first + (i - first + 1) % count;
        double share = now.share[i];

        ck_assert(reference.share[i] == 1 && share > 0 && share < 1 && share == now.share[first]);
        ck_assert_int_eq(now.sample[i], reference.sample[i]);
        ck_assert_int_eq(now.label[i], reference.label[i]);
        for (int k = 0; k < BYTES; k++) {
            double is = _i ? (double)now.real[i][k] : now.rgb[i][k];
            double want =
                _i ? share * (double)reference.real[i][k] + (1 - share) * (double)reference.real[next][k]
                   : share * reference.rgb[i][k] + (1 - share) * reference.rgb[next][k];

            if (!(fabs(is - want) <= (_i ? 1e-5 : 0.5001)))
                ck_abort_msg("image %d, value %d: %g instead of %g", (int)i, k, is, want);
        }
    }
    nn_loader_free(l);
    reference = now;
    l = make(7, 0, 1, augment);
    for (int64_t from = 0; from < N; from += BATCH) {
        read_epoch(l, 4, from, &now);
        expect_same(&now, &reference, from);
        ck_assert(!memcmp(now.share + from, reference.share + from, (size_t)(N - from) * sizeof *now.share));
    }
    nn_loader_free(l);
    mixup = 0;
}
END_TEST

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov's test against the three beta distributions with simple formulas. */
START_TEST(shares_are_beta)
{
    enum { DRAWS = 20000 };
    static const double shape[3] = { 0.5, 1, 2 };
    static double x[DRAWS];
    double worst = 0;

    for (int i = 0; i < DRAWS; i++)
        x[i] = nni_mixup_share(shape[_i], 3, i / 100, i % 100 * 8);
    qsort(x, DRAWS, sizeof *x, ascending);
    for (int i = 0; i < DRAWS; i++) {
        double f = _i == 0   ? 2 / 3.14159265358979 * asin(sqrt(x[i]))
                   : _i == 1 ? x[i]
                             : x[i] * x[i] * (3 - 2 * x[i]);

        worst = fmax(worst, fmax(fabs(f - (double)i / DRAWS), fabs(f - (i + 1.0) / DRAWS)));
    }
    ck_assert_double_lt(worst * sqrt(DRAWS), 1.63); /* p = 0.01 */
}
END_TEST

/* A new epoch is begun while the threads are at work on the old one, after 0, 1, 2 ... batches of it. */
START_TEST(begun_again_while_threads_work)
{
    nn_loader *l = make(4, 2, 1, 1);
    nn_batch b;

    read_epoch(l, 7, 0, &reference);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(nn_loader_start(l, i, i % 8 * BATCH), NN_OK);
        for (int k = 0; k < i % 4; k++)
            ck_assert_int_eq(nn_loader_next(l, &b), NN_OK);
        if (i % 3 == 0)
            (void)sched_yield();
        if (i % 20 == 19) {
            read_epoch(l, 7, 0, &now);
            expect_same(&now, &reference, 0);
        }
    }
    (void)nn_loader_start(l, 1, 0);
    nn_loader_free(l); /* in the middle of it */
    l = make(4, 2, 1, 1);
    nn_loader_free(l); /* or before the first */
}
END_TEST

static void hide(int i, bool away)
{
    char path[64], other[80];

    (void)snprintf(path, sizeof path, "d/train/%s/%03d.png", i < 20 ? "fake" : "real", i);
    (void)snprintf(other, sizeof other, "%s.away", path);
    ck_assert(!rename(in_tree(away ? path : other), in_tree(away ? other : path)));
}

START_TEST(files_that_go_away)
{
    nn_loader *l;
    int bad = 0;

    ck_assert(!unlink(in_tree("d/train/fake/003.png")));
    put("d/train/real/030.png", "no image any more");
    l = make(3, 0, 1, 1);
    read_epoch(l, 0, 0, &now);
    for (int64_t i = 0; i < N; i++) {
        static const uint8_t zero[BYTES];

        if (!now.status[i])
            continue;
        bad++;
        ck_assert(now.sample[i] == 3 || now.sample[i] == 30);
        ck_assert_int_eq(now.status[i], now.sample[i] == 3 ? NN_ENOTFOUND : NN_EUNSUPPORTED);
        ck_assert(!memcmp(now.rgb[i], zero, BYTES));
    }
    ck_assert_int_eq(bad, 2);
    put_image("d/train/fake/003.png", 3); /* and it may come back */
    read_epoch(l, 0, 0, &now);
    for (int64_t i = 0; i < N; i++)
        ck_assert_int_eq(now.status[i] != 0, now.sample[i] == 30);
    nn_loader_free(l);
}
END_TEST

/* A cache changes nothing but that files are not opened again; those that are gone show what was in it. */
START_TEST(cached)
{
    static const size_t sizes[] = { 1, 5 * BYTES + 1, N * BYTES };
    const int64_t kept = (int64_t)(sizes[_i] / BYTES);
    int64_t opened;
    nn_loader *l, *plain;

    record.resize_width = record.resize_height = 0; /* twice would not be the same as once */
    record.resize_shorter = SIZE + 4;
    record.crop = 1;
    for (int augment = 0; augment < PIPELINES; augment++) {
        cache = 0;
        plain = make(1, 0, 1, augment);
        cache = sizes[_i];
        l = make(3, 0, 1, augment);
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            read_epoch(plain, epoch, 0, &reference);
            read_epoch(l, epoch, 0, &now);
            expect_same(&reference, &now, 0);
        }
        nn_loader_free(plain);
        for (int i = 0; i < N; i++)
            hide(i, true);
        read_epoch(l, 3, 0, &now);
        opened = 0;
        for (int64_t i = 0; i < N; i++)
            opened += now.status[i] != 0;
        ck_assert_int_eq(opened, N - kept);
        for (int i = 0; i < N; i++)
            hide(i, false);
        nn_loader_free(l);
    }
    cache = 0;
}
END_TEST

START_TEST(drop_last)
{
    nn_loader_opts o = {
        .data = data, .split = NN_SPLIT_TRAIN, .preprocess = &record, .batch = 8, .drop_last = 1, .threads = 2
    };
    nn_loader *l;
    nn_batch b;

    ck_assert_int_eq(nn_loader_new(&l, &o, &why), NN_OK);
    ck_assert_int_eq(nn_loader_start(l, 0, 0), NN_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(nn_loader_next(l, &b), NN_OK);
        ck_assert_int_eq(b.count, 8);
    }
    ck_assert_int_eq(nn_loader_next(l, &b), NN_OK);
    ck_assert_int_eq(b.count, 0);
    nn_loader_free(l);
}
END_TEST

START_TEST(wrong_calls)
{
    nn_loader_opts o = { .data = data, .split = NN_SPLIT_TRAIN, .preprocess = &record, .batch = BATCH };
    nn_loader *l = NULL;
    nn_batch b;

    o.batch = 0;
    ck_assert_int_eq(nn_loader_new(&l, &o, &why), NN_EINVAL);
    o.batch = BATCH;
    o.mixup = -1;
    ck_assert_int_eq(nn_loader_new(&l, &o, &why), NN_EINVAL);
    o.mixup = 0;
    o.split = NN_SPLIT_TEST;
    ck_assert_int_eq(nn_loader_new(&l, &o, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "test") != NULL, "%s", why.text);
    ck_assert_ptr_null(l);
    l = make(1, 0, 0, 0);
    ck_assert_int_eq(nn_loader_next(l, &b), NN_ESTATE);
    ck_assert_int_eq(nn_loader_start(l, -1, 0), NN_EINVAL);
    ck_assert_int_eq(nn_loader_start(l, 0, 3), NN_EINVAL);
    ck_assert_int_eq(nn_loader_start(l, 0, -BATCH), NN_EINVAL);
    ck_assert_int_eq(nn_loader_start(l, 0, 5 * N), NN_OK); /* beyond the end there is nothing */
    ck_assert_int_eq(nn_loader_next(l, &b), NN_OK);
    ck_assert_int_eq(b.count, 0);
    nn_loader_free(l);
    nn_loader_free(NULL);
}
END_TEST

/* Allocations fail before any thread runs; nothing leaks and *out is not touched. */
START_TEST(without_memory)
{
    nn_loader_opts o = { .data = data,
                         .split = NN_SPLIT_TRAIN,
                         .preprocess = &record,
                         .batch = BATCH,
                         .threads = 1,
                         .mixup = 1,
                         .cache_bytes = 1 };
    nn_loader *l = NULL;
    int rc = 1;

    count_memory();
    for (seen.fail_alloc = 1; rc; seen.fail_alloc++) {
        seen.allocs = 0;
        rc = nn_loader_new(&l, &o, &why);
        if (rc) {
            ck_assert_int_eq(rc, NN_ENOMEM);
            ck_assert_ptr_null(l);
            ck_assert_int_eq(seen.live, 0);
        }
    }
    ck_assert_int_gt(seen.fail_alloc, 10);
    nn_loader_free(l);
    ck_assert_int_eq(seen.live, 0);
}
END_TEST

static int64_t told, told_all;

static void tell(void *payload, int64_t done, int64_t all)
{
    ck_assert_ptr_eq(payload, &told);
    ck_assert_int_ge(done, told);
    told = done;
    told_all = all;
}

START_TEST(verify)
{
    static const int threads[] = { 1, 2, 7, 0, 100 };

    ck_assert(!unlink(in_tree("d/train/fake/003.png")));
    put("d/valid/real/b.png", "no image any more");
    ck_assert_int_eq(nni_dataset_exclude(data, 5, "not wanted"), NN_OK);
    put("d/train/fake/005.png", "not looked at");
    for (int i = 0; i < 5; i++) {
        nn_dataset *d = data;

        if (i) {
            put("d/train/fake/003.png", "bad too");
            put("d/test/images/t.png", "this one's answer will be empty, no more");
            d = load("d");
        }
        told = 0;
        ck_assert_int_eq(nn_dataset_verify(d, threads[i], tell, &told, &why), NN_OK);
        ck_assert_int_eq(told, i ? N + 2 : N + 1); /* one is excluded already */
        ck_assert_int_eq(told_all, told);
        ck_assert_int_eq(d->count[NN_SPLIT_TEST][NN_LABEL_NONE], i > 0);
        ck_assert_int_eq(d->bad, 3);
        ck_assert_int_eq(d->count[NN_SPLIT_TRAIN][NN_LABEL_FAKE], 18);
        ck_assert_int_eq(d->count[NN_SPLIT_VALID][NN_LABEL_REAL], 0);
        ck_assert_int_eq(problems_of(d, NN_PROBLEM_EXCLUDED, "003.png"), 1);
        ck_assert_int_eq(problems_of(d, NN_PROBLEM_EXCLUDED, "b.png"), 1);
        if (i)
            nn_dataset_free(d);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *t = tcase_create("batches");

    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_an_epoch_holds);
    tcase_add_test(t, floats);
    tcase_add_loop_test(t, mixed, 0, 2);
    tcase_add_loop_test(t, shares_are_beta, 0, 3);
    tcase_add_loop_test(t, threads_and_positions_do_not_matter, 0, 3);
    tcase_add_test(t, begun_again_while_threads_work);
    tcase_add_test(t, files_that_go_away);
    tcase_add_loop_test(t, cached, 0, 3);
    tcase_add_test(t, drop_last);
    tcase_add_test(t, wrong_calls);
    tcase_add_test(t, without_memory);
    tcase_add_test(t, verify);
    suite_add_tcase(s, t);
    return suite_run(s);
}
