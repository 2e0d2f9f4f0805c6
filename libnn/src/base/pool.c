/* SPDX-License-Identifier: MIT
 *
 * The thread pool: numbered tiles, a shared counter, a barrier at the end. Workers spin for a
 * short while between jobs, because a training step is a thousand short jobs, and then sleep.
 *
 * A job is published under the mutex by raising `round`; a worker takes part in a job exactly
 * once, and the caller returns only after every worker has left it, so the job's description can
 * live in the pool without further protection.
 */
#include "base.h"
#include "base/thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct worker {
    pthread_t thread;
    nni_pool *pool;
    int lane;
};

struct nni_pool {
    int threads, started;
    struct worker *worker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint round; /* job number */
    atomic_int active; /* workers that have not left the current job */
    atomic_int asleep; /* workers waiting on the condition */
    atomic_bool stop;
    nni_tile_fn *run;
    void *context;
    int64_t tiles;
    _Alignas(64) atomic_llong next;
};

enum { SPINS = 4000 };

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

/* The control word in which all kernels run: nearest, all exceptions masked, denormals flushed. */
static unsigned enter_arithmetic(void)
{
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();

    _mm_setcsr(0x1f80u | 0x8040u);
    return saved;
#else
    return 0;
#endif
}

static void leave_arithmetic(unsigned saved)
{
#if defined(__x86_64__)
    _mm_setcsr(saved);
#else
    (void)saved;
#endif
}

static void take_tiles(nni_pool *p, int lane)
{
    for (;;) {
        int64_t tile = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);

        if (tile >= p->tiles)
            return;
        p->run(p->context, tile, lane);
    }
}

static void *work(void *argument)
{
    struct worker *w = argument;
    nni_pool *p = w->pool;
    unsigned seen = 0;

    (void)enter_arithmetic();
    for (;;) {
        int spin = 0;

        while (atomic_load_explicit(&p->round, memory_order_acquire) == seen && spin++ < SPINS)
            pause_cpu();
        if (atomic_load_explicit(&p->round, memory_order_acquire) == seen) {
            (void)pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->asleep, 1);
            while (atomic_load(&p->round) == seen)
                (void)pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->asleep, 1);
            (void)pthread_mutex_unlock(&p->lock);
        }
        seen++;
        if (atomic_load(&p->stop))
            return NULL;
        take_tiles(p, w->lane);
        atomic_fetch_sub_explicit(&p->active, 1, memory_order_release);
    }
}

static void publish(nni_pool *p)
{
    atomic_fetch_add(&p->round, 1);
    if (atomic_load(&p->asleep)) {
        (void)pthread_mutex_lock(&p->lock);
        (void)pthread_cond_broadcast(&p->wake);
        (void)pthread_mutex_unlock(&p->lock);
    }
}

void nni_pool_run(nni_pool *p, int64_t tiles, nni_tile_fn *run, void *context)
{
    unsigned saved = enter_arithmetic();

    if (p->threads == 1 || tiles <= 1) {
        for (int64_t i = 0; i < tiles; i++)
            run(context, i, 0);
    } else {
        p->run = run;
        p->context = context;
        p->tiles = tiles;
        atomic_store_explicit(&p->next, 0, memory_order_relaxed);
        atomic_store_explicit(&p->active, p->threads - 1, memory_order_relaxed);
        publish(p);
        take_tiles(p, 0);
        for (int spin = 0; atomic_load_explicit(&p->active, memory_order_acquire) > 0; spin++) {
            pause_cpu();
            if (spin >= SPINS)
                (void)sched_yield();
        }
    }
    leave_arithmetic(saved);
}

int nni_pool_threads(const nni_pool *pool) { return pool->threads; }

void nni_pool_free(nni_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, true);
    publish(p);
    for (int i = 0; i < p->started; i++)
        (void)pthread_join(p->worker[i].thread, NULL);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_mutex_destroy(&p->lock);
    nni_free(p->worker);
    nni_free(p);
}

int nni_pool_new(nni_pool **out, int threads)
{
    nni_pool *p;

    if (threads < 1 || threads > NNI_MOST_THREADS)
        return NN_EINVAL;
    p = nni_alloc_zero(sizeof *p);
    if (!p)
        return NN_ENOMEM;
    p->threads = threads;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->wake, NULL);
    p->worker = nni_alloc_array((size_t)threads, sizeof *p->worker);
    for (int i = 1; p->worker && i < threads; i++) {
        struct worker *w = &p->worker[p->started];

        *w = (struct worker){ .pool = p, .lane = i };
        if (nni_thread_start(&w->thread, work, w))
            break;
        p->started++;
    }
    if (!p->worker || p->started != threads - 1) {
        nni_pool_free(p);
        return NN_ENOMEM;
    }
    *out = p;
    return NN_OK;
}

double nni_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
