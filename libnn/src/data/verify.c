/* SPDX-License-Identifier: MIT
 *
 * Decoding every image once before a training, so that a damaged one is found now and not after an hour, in
 * the middle of an epoch.
 */
#include <nn/data.h>
#include <nn/vision.h>

#include "base/thread.h"
#include "data.h"

struct verify {
    nn_dataset *data;
    char **why;  /* NULL: usable */
    bool memory; /* false: there was none */
    int64_t next, done;
    pthread_mutex_t lock;
    pthread_cond_t more;
};

/* Images to predict need not be good for training to begin. */
static bool wanted(const nn_sample *s) { return !s->excluded && s->split != NN_SPLIT_TEST; }

static void *verify_some(void *argument)
{
    struct verify *v = argument;

    for (;;) {
        const nn_sample *s;
        nn_image image = { 0 };
        nn_message message;
        int64_t i;
        int rc;

        (void)pthread_mutex_lock(&v->lock);
        i = v->next++;
        (void)pthread_mutex_unlock(&v->lock);
        if (i >= v->data->samples)
            return NULL;
        s = &v->data->sample[i];
        if (!wanted(s))
            continue;
        rc = nn_image_load(&image, s->file, NULL, &message);
        nn_image_free(&image);
        if (rc && rc != NN_ENOMEM)
            v->why[i] = nni_strdup(message.text);
        (void)pthread_mutex_lock(&v->lock);
        v->memory = v->memory && !(rc && !v->why[i]);
        v->done++;
        (void)pthread_cond_signal(&v->more);
        (void)pthread_mutex_unlock(&v->lock);
    }
}

int nn_dataset_verify(nn_dataset *d, int threads, void (*progress)(void *payload, int64_t done, int64_t all),
                      void *payload, nn_message *why)
{
    struct verify v = { .data = d, .memory = true };
    pthread_t thread[NNI_MOST_THREADS];
    int64_t all = 0;
    int started = 0, rc = NN_OK;

    if (!d)
        return nni_null(why, __func__, "the dataset");
    if (threads < 0 || threads > NNI_MOST_THREADS)
        return nni_fail(why, NN_EINVAL, "cannot verify images by %d threads", threads);
    for (int64_t i = 0; i < d->samples; i++)
        all += wanted(&d->sample[i]);
    if (!threads)
        threads = nni_readers();
    v.why = nni_alloc_array((size_t)d->samples + 1, sizeof *v.why);
    if (!v.why)
        return nni_fail(why, NN_ENOMEM, "no memory to verify %lld images", (long long)d->samples);
    (void)pthread_mutex_init(&v.lock, NULL);
    (void)pthread_cond_init(&v.more, NULL);
    while (started < threads && !nni_thread_start(&thread[started], verify_some, &v))
        started++;
    if (!started)
        (void)verify_some(&v);
    (void)pthread_mutex_lock(&v.lock);
    while (v.done < all) {
        int64_t done = v.done;

        if (progress) {
            (void)pthread_mutex_unlock(&v.lock);
            progress(payload, done, all);
            (void)pthread_mutex_lock(&v.lock);
        }
        while (v.done == done)
            (void)pthread_cond_wait(&v.more, &v.lock);
    }
    (void)pthread_mutex_unlock(&v.lock);
    for (int i = 0; i < started; i++)
        (void)pthread_join(thread[i], NULL);
    if (progress)
        progress(payload, all, all);
    (void)pthread_cond_destroy(&v.more);
    (void)pthread_mutex_destroy(&v.lock);
    for (int64_t i = 0; i < d->samples; i++) {
        if (!rc && v.memory && v.why[i])
            rc = nni_dataset_exclude(d, i, v.why[i]);
        nni_free(v.why[i]);
    }
    nni_free(v.why);
    return rc || !v.memory
               ? nni_fail(why, NN_ENOMEM, "no memory to verify %lld images", (long long)d->samples)
               : NN_OK;
}
