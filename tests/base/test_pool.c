/* SPDX-License-Identifier: MIT
 *
 * The thread pool: every tile once, in any number of threads, for jobs of all sizes one right after
 * the other; the same arithmetic in every lane. Run it with SAN=thread to see that nothing races.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { TILES = 5000, LANES = 7 };

struct job {
    int threads;
    _Atomic int runs[TILES];
    int64_t plain[TILES]; /* written without atomics: a second runner of a tile would race */
    atomic_int wrong_lane, busy[LANES], clash;
};

static void count(void *context, int64_t tile, int lane)
{
    struct job *j = context;

    if (lane < 0 || lane >= j->threads) {
        atomic_fetch_add(&j->wrong_lane, 1);
        return;
    }
    /* Two tiles of one lane never run at once: they share its private memory. */
    if (atomic_fetch_add(&j->busy[lane], 1) != 0)
        atomic_fetch_add(&j->clash, 1);
    j->plain[tile] += tile + 1;
    atomic_fetch_add(&j->runs[tile], 1);
    atomic_fetch_sub(&j->busy[lane], 1);
}

START_TEST(each_tile_once)
{
    static const int64_t sizes[] = { 0, 1, 2, 3, 7, 8, 63, 64, 1000, TILES };
    static struct job j;
    nni_pool *p = NULL;
    int threads = _i;

    ck_assert_int_eq(nni_pool_new(&p, threads), NN_OK);
    ck_assert_int_eq(nni_pool_threads(p), threads);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int wrong = 0;

        memset(&j, 0, sizeof j);
        j.threads = threads;
        for (int round = 1; round <= 3; round++)
            nni_pool_run(p, sizes[k], count, &j);
        for (int64_t i = 0; i < TILES; i++)
            wrong += atomic_load(&j.runs[i]) != (i < sizes[k] ? 3 : 0) ||
                     j.plain[i] != (i < sizes[k] ? 3 * (i + 1) : 0);
        ck_assert_int_eq(wrong, 0);
        ck_assert_int_eq(atomic_load(&j.wrong_lane), 0);
        ck_assert_int_eq(atomic_load(&j.clash), 0);
    }
    nni_pool_free(p);
}
END_TEST

static void add(void *context, int64_t tile, int lane)
{
    (void)lane;
    ((int64_t *)context)[tile]++;
}

/* What one job wrote the next one must see, with neither locks nor atomics in the tiles. */
START_TEST(many_tiny_jobs)
{
    enum { JOBS = 5000 };
    int64_t at[5] = { 0 };
    nni_pool *p = NULL;

    ck_assert_int_eq(nni_pool_new(&p, _i), NN_OK);
    for (int k = 0; k < JOBS; k++)
        nni_pool_run(p, k % 5 + 1, add, at);
    for (int k = 0; k < 5; k++)
        ck_assert_int_eq(at[k], JOBS / 5 * (5 - k));
    nni_pool_free(p);
}
END_TEST

/* Workers that have gone to sleep wake up. */
START_TEST(after_a_rest)
{
    int64_t at[64] = { 0 };
    struct timespec rest = { .tv_nsec = 20000000 };
    nni_pool *p = NULL;

    ck_assert_int_eq(nni_pool_new(&p, 4), NN_OK);
    for (int k = 0; k < 10; k++) {
        (void)nanosleep(&rest, NULL);
        nni_pool_run(p, 64, add, at);
    }
    for (int k = 0; k < 64; k++)
        ck_assert_int_eq(at[k], 10);
    nni_pool_free(p);
    /* A pool that never ran anything stops too. */
    ck_assert_int_eq(nni_pool_new(&p, 4), NN_OK);
    nni_pool_free(p);
    nni_pool_free(NULL);
}
END_TEST

#if defined(__x86_64__)
struct arithmetic {
    unsigned csr[TILES];
    atomic_int lanes;
};

static void look(void *context, int64_t tile, int lane)
{
    struct arithmetic *a = context;
    struct timespec rest = { .tv_nsec = 200000 };

    a->csr[tile] = _mm_getcsr() & ~0x3fu; /* without the flags of past exceptions */
    atomic_fetch_or(&a->lanes, 1 << lane);
    if (tile % 8 == 0) /* lets the others have some */
        (void)nanosleep(&rest, NULL);
}

START_TEST(one_arithmetic)
{
    static struct arithmetic a;
    nni_pool *p = NULL;
    unsigned before = _mm_getcsr();

    /* The caller's own setting (here: round up) must neither leak in nor be lost. */
    _mm_setcsr((before & ~0x6000u) | 0x4000u);
    ck_assert_int_eq(nni_pool_new(&p, _i), NN_OK);
    for (int k = 0; k < 20 && atomic_load(&a.lanes) != (1 << _i) - 1; k++)
        nni_pool_run(p, 200, look, &a);
    ck_assert_uint_eq(_mm_getcsr() & 0x6000u, 0x4000u);
    _mm_setcsr(before);
    ck_assert_int_eq(atomic_load(&a.lanes), (1 << _i) - 1);
    for (int k = 0; k < 200; k++)
        ck_assert_uint_eq(a.csr[k], 0x1f80u | 0x8040u);
    /* A single tile is run by the caller alone, in the same arithmetic. */
    nni_pool_run(p, 1, look, &a);
    ck_assert_uint_eq(a.csr[0], 0x1f80u | 0x8040u);
    nni_pool_free(p);
}
END_TEST
#endif

static int64_t allowed;
static struct nni_seam real;

static void *limited_alloc(size_t size)
{
    if (allowed == 0)
        return NULL;
    allowed--;
    return real.alloc(size);
}

START_TEST(failures)
{
    nni_pool *p = NULL;
    int rc = NN_ENOMEM, tries = 0;

    ck_assert_int_eq(nni_pool_new(&p, 0), NN_EINVAL);
    ck_assert_int_eq(nni_pool_new(&p, -1), NN_EINVAL);
    ck_assert_int_eq(nni_pool_new(&p, 1 << 20), NN_EINVAL);
    ck_assert_ptr_null(p);
    real = nni_seam;
    nni_seam.alloc = limited_alloc;
    for (; rc; tries++) {
        allowed = tries;
        rc = nni_pool_new(&p, 3);
        ck_assert(rc == NN_OK || (rc == NN_ENOMEM && !p));
    }
    nni_seam = real;
    ck_assert_int_gt(tries, 1);
    nni_pool_free(p);
}
END_TEST

START_TEST(time_goes_on)
{
    double a = nni_seconds();

    ck_assert_double_ge(nni_seconds(), a);
}
END_TEST

static volatile sig_atomic_t handled;

static void handle(int number)
{
    (void)number;
    handled = 1;
}

/* A signal to the process waits for a thread of the program, and those of the pool are none. */
START_TEST(signals_are_left_to_the_program)
{
    struct timespec rest = { .tv_nsec = 20000000 };
    struct sigaction action = { .sa_handler = handle };
    sigset_t user, before, after;
    nni_pool *p = NULL;

    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
    ck_assert_int_eq(nni_pool_new(&p, 4), NN_OK);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    ck_assert_int_eq(sigismember(&after, SIGUSR1), sigismember(&before, SIGUSR1));
    (void)sigemptyset(&user);
    (void)sigaddset(&user, SIGUSR1);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &user, NULL), 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
    (void)nanosleep(&rest, NULL);
    ck_assert_int_eq(handled, 0);
    ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &user, NULL), 0);
    ck_assert_int_eq(handled, 1);
    nni_pool_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("pool");

    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, each_tile_once, 1, LANES + 1);
    tcase_add_loop_test(t, many_tiny_jobs, 1, 4);
    tcase_add_test(t, after_a_rest);
#if defined(__x86_64__)
    tcase_add_loop_test(t, one_arithmetic, 1, 5);
#endif
    tcase_add_test(t, failures);
    tcase_add_test(t, time_goes_on);
    tcase_add_test(t, signals_are_left_to_the_program);
    suite_add_tcase(s, t);
    return suite_run(s);
}
