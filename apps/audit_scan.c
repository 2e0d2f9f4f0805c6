/* SPDX-License-Identifier: MIT
 *
 * One look at every file, in threads, because folders of a data set can lie on slow disks.
 */
#include "app.h"
#include "audit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct crew {
    int64_t n;
    void (*each)(void *payload, int64_t i);
    void *payload;
    atomic_llong next, done;
};

static void *work(void *of)
{
    struct crew *c = of;
    int64_t i;

    while (!app_interrupted && (i = atomic_fetch_add(&c->next, 1)) < c->n) {
        c->each(c->payload, i);
        atomic_fetch_add(&c->done, 1);
    }
    return NULL;
}

bool audit_each(int64_t n, int threads, const char *what, void (*each)(void *payload, int64_t i),
                void *payload)
{
    enum { MOST = 1024 };
    pthread_t thread[MOST];
    struct crew c = { .n = n, .each = each, .payload = payload };
    struct timespec pause = { .tv_nsec = 10000000 };
    int started = 0;

    while (started < threads && started < MOST && !pthread_create(&thread[started], NULL, work, &c))
        started++;
    while (started && !app_interrupted && atomic_load(&c.next) < n) {
        (void)nanosleep(&pause, NULL);
        app_progress("%s %lld/%lld", what, (long long)atomic_load(&c.done), (long long)n);
    }
    for (int i = 0; i < started; i++)
        (void)pthread_join(thread[i], NULL);
    app_progress_end();
    return atomic_load(&c.done) == n;
}

static void look_at(void *payload, int64_t i)
{
    struct audit *a = payload;
    struct audit_file *f = &a->file[i];
    nn_message why = { .text = "" };

    if (a->until > 0 && app_seconds() >= a->until) {
        atomic_store(&a->late, true);
        return;
    }
    f->status = nn_image_facts_file(&f->facts, a->data->sample[i].file, &why);
    f->walked = !f->status;
    if (f->status)
        f->why = strdup(why.text);
}

int audit_scan(struct audit *a, int threads)
{
    a->file = calloc((size_t)a->data->samples + 1, sizeof *a->file);
    if (!a->file)
        return app_fail(APP_DEVICE, "out of memory");
    if (audit_each(a->data->samples, threads, "reading headers", look_at, a))
        return APP_OK;
    return app_interrupted ? app_fail(128 + app_interrupted, "interrupted")
                           : app_fail(APP_DEVICE, "no thread could be started");
}

void audit_free(struct audit *a)
{
    for (int64_t i = 0; a->file && i < a->data->samples; i++)
        free(a->file[i].why);
    free(a->file);
    a->file = NULL;
}
