/* SPDX-License-Identifier: MIT
 *
 * The loader: a ring of batches that its threads fill image by image while the network trains.
 * Threads claim images in the order of the epoch; which thread decodes which image changes
 * nothing, because an image's pixels depend on its file, the epoch and its own index alone.
 *
 * One mutex guards the bookkeeping; decoding happens outside it. Two conditions: `work` wakes
 * threads when a slot of the ring is free, `ready` wakes the consumer when a batch is complete.
 */
#include <nn/data.h>
#include <nn/vision.h>

#include "base/thread.h"
#include "data.h"
#include "data/cache.h"
#include "vision/vision.h"

#include <string.h>

enum { AHEAD = 3, MOST_AHEAD = 1024 };

struct slot {
    int64_t first, count; /* positions in the epoch */
    int64_t done;
    void *pixels;
    int32_t *label;
    int64_t *sample;
    int *status;
    nn_message *message;
    const char **why;
};

struct nn_loader {
    nn_loader_opts o;
    nn_dtype type; /* of pixels */
    int64_t n, batches, image_bytes;
    bool resizes; /* the first step of the pipeline, whose result is what is cached then */
    struct nni_cache *cache;
    int64_t *index; /* the samples that take part */
    int64_t *order; /* of the epoch: positions in index */
    struct slot *slot;
    int slots;
    void *spare; /* an image's memory, for mixup */
    pthread_t *thread;
    int threads;
    pthread_mutex_t lock;
    pthread_cond_t work, ready, idle;
    bool stop, running;
    int64_t epoch;
    int64_t claimed;  /* next position to be claimed */
    int64_t end;      /* first position that is not part of the epoch */
    int64_t begin;    /* position at which the epoch was begun */
    int64_t consumed; /* batches handed out since then, the last one still being read */
    int busy;         /* threads inside a claim */
};

static struct slot *slot_of(const nn_loader *l, int64_t batch) { return &l->slot[batch % l->slots]; }

/* The picture that the rest of the pipeline begins with. */
static int picture(const nn_loader *l, const char *file, nn_image *out, nn_vision_scratch *scratch,
                   nn_message *why)
{
    int64_t size = l->o.preprocess->size;
    nn_image decoded;
    int rc = nn_image_load(&decoded, file, NULL, why);

    if (rc || !l->resizes) {
        *out = decoded;
        return rc;
    }
    *out = (nn_image){ .rgb = nni_alloc((size_t)(3 * size * size)),
                       .width = size,
                       .height = size,
                       .stride = (size_t)(3 * size) };
    rc = out->rgb ? nn_preprocess_apply(l->o.preprocess, &decoded, out->rgb, scratch, why)
                  : nni_fail(why, NN_ENOMEM, "%s: no memory to resize it", file);
    nn_image_free(&decoded);
    if (rc)
        nn_image_free(out);
    return rc;
}

static void load(const nn_loader *l, struct slot *s, int64_t k, int64_t position, nn_vision_scratch *scratch)
{
    int64_t i = l->o.shuffle ? l->order[position] : position, at = l->index[i];
    const nn_sample *sample = &l->o.data->sample[at];
    void *pixels = (uint8_t *)s->pixels + k * l->image_bytes;
    nn_image image;
    nn_message *why = &s->message[k];
    bool cached = l->cache && nni_cache_get(l->cache, i, &image);
    const nn_augment_key key = { .seed = l->o.seed, .sample = (uint64_t)at, .epoch = (uint32_t)l->epoch };

    why->text[0] = 0;
    s->sample[k] = at;
    s->label[k] = sample->label;
    s->status[k] = cached ? NN_OK : picture(l, sample->file, &image, scratch, why);
    if (!s->status[k] && l->o.augment)
        s->status[k] =
            nni_augment_run(l->o.augment, l->o.preprocess, &image, l->resizes, key, pixels, scratch, why);
    else if (!s->status[k])
        memcpy(pixels, image.rgb, (size_t)l->image_bytes);
    if (s->status[k])
        memset(pixels, 0, (size_t)l->image_bytes);
    if (!cached && (s->status[k] || !l->cache || !nni_cache_keep(l->cache, i, &image)))
        nn_image_free(&image);
}

static bool claimable(const nn_loader *l)
{
    return l->running && l->claimed < l->end &&
           (l->claimed - l->begin) / l->o.batch < l->consumed + l->slots - 1;
}

static void *work(void *argument)
{
    nn_loader *l = argument;
    nn_vision_scratch scratch = { 0 };

    (void)pthread_mutex_lock(&l->lock);
    for (;;) {
        int64_t position;
        struct slot *s;

        while (!l->stop && !claimable(l))
            (void)pthread_cond_wait(&l->work, &l->lock);
        if (l->stop)
            break;
        position = l->claimed++;
        s = slot_of(l, (position - l->begin) / l->o.batch);
        l->busy++;
        (void)pthread_mutex_unlock(&l->lock);
        load(l, s, (position - l->begin) % l->o.batch, position, &scratch);
        (void)pthread_mutex_lock(&l->lock);
        l->busy--;
        if (++s->done == s->count)
            (void)pthread_cond_signal(&l->ready);
        if (!l->busy)
            (void)pthread_cond_signal(&l->idle);
    }
    (void)pthread_mutex_unlock(&l->lock);
    nn_vision_scratch_free(&scratch);
    return NULL;
}

/* Prepares the ring's slot for a batch; called with the lock held and nobody writing there. */
static void open_slot(nn_loader *l, int64_t batch)
{
    struct slot *s = slot_of(l, batch);
    int64_t left;

    s->first = l->begin + batch * l->o.batch;
    left = l->end - s->first;
    s->count = left < 0 ? 0 : left < l->o.batch ? left : l->o.batch;
    s->done = 0;
}

static bool allocate(nn_loader *l)
{
    size_t b = (size_t)l->o.batch;

    l->slot = nni_alloc_array((size_t)l->slots, sizeof *l->slot);
    l->thread = nni_alloc_array((size_t)l->o.threads, sizeof *l->thread);
    l->order = nni_alloc_array((size_t)l->n, sizeof *l->order);
    if (l->o.mixup > 0)
        l->spare = nni_alloc((size_t)l->image_bytes);
    if (l->o.cache_bytes)
        l->cache = nni_cache_new(l->n, l->o.cache_bytes);
    if (!l->slot || !l->thread || !l->order || (l->o.mixup > 0 && !l->spare) ||
        (l->o.cache_bytes && !l->cache))
        return false;
    for (int i = 0; i < l->slots; i++) {
        struct slot *s = &l->slot[i];

        s->pixels = nni_alloc_array(b, (size_t)l->image_bytes);
        s->label = nni_alloc_array(b, sizeof *s->label);
        s->sample = nni_alloc_array(b, sizeof *s->sample);
        s->status = nni_alloc_array(b, sizeof *s->status);
        s->message = nni_alloc_array(b, sizeof *s->message);
        s->why = nni_alloc_array(b, sizeof *s->why);
        if (!s->pixels || !s->label || !s->sample || !s->status || !s->message || !s->why)
            return false;
        for (size_t k = 0; k < b; k++)
            s->why[k] = s->message[k].text;
    }
    return true;
}

static void release(nn_loader *l)
{
    for (int i = 0; l->slot && i < l->slots; i++) {
        nni_free(l->slot[i].pixels);
        nni_free(l->slot[i].label);
        nni_free(l->slot[i].sample);
        nni_free(l->slot[i].status);
        nni_free(l->slot[i].message);
        nni_free(l->slot[i].why);
    }
    nni_cache_free(l->cache);
    nni_free(l->slot);
    nni_free(l->thread);
    nni_free(l->order);
    nni_free(l->spare);
    nni_free(l->index);
    nni_free(l);
}

static bool collect(nn_loader *l)
{
    const nn_dataset *d = l->o.data;

    l->index = nni_alloc_array((size_t)d->samples + 1, sizeof *l->index);
    for (int64_t i = 0; l->index && i < d->samples; i++)
        if (d->sample[i].split == l->o.split && !d->sample[i].excluded)
            l->index[l->n++] = i;
    return l->index != NULL;
}

static int check_numbers(const nn_loader_opts *o, nn_message *why)
{
    if (o->batch < 1)
        return nni_fail(why, NN_EINVAL, "nn_loader_new: a batch of %lld images", (long long)o->batch);
    if (o->split < 0 || o->split >= NN_SPLITS)
        return nni_fail(why, NN_EINVAL, "nn_loader_new: %d is no split", o->split);
    if (o->threads < 0 || o->threads > NNI_MOST_THREADS)
        return nni_fail(why, NN_EINVAL, "nn_loader_new: %d threads: 0 to %d", o->threads, NNI_MOST_THREADS);
    if (o->ahead < 0 || o->ahead > MOST_AHEAD)
        return nni_fail(why, NN_EINVAL, "nn_loader_new: %d batches ahead: 0 to %d", o->ahead, MOST_AHEAD);
    if (o->mixup != 0 && !(o->mixup >= 0.01 && o->mixup <= 1000))
        return nni_fail(why, NN_EINVAL, "nn_loader_new: a mixup of %g: 0, or 0.01 to 1000", o->mixup);
    return NN_OK;
}

int nn_loader_new(nn_loader **out, const nn_loader_opts *opts, nn_message *why)
{
    nn_loader *l;
    int rc;

    if (out)
        *out = NULL;
    if (!out || !opts || !opts->data || !opts->preprocess)
        return nni_null(why, __func__, "out, data and a preprocessing record");
    rc = check_numbers(opts, why);
    if (rc)
        return rc;
    rc = nn_preprocess_check(opts->preprocess, why);
    if (rc)
        return rc;
    l = nni_alloc_zero(sizeof *l);
    if (!l)
        return nni_fail(why, NN_ENOMEM, "no memory for the loader");
    l->o = *opts;
    if (!l->o.threads)
        l->o.threads = nni_readers();
    l->slots = (l->o.ahead ? l->o.ahead : AHEAD) + 1;
    l->type = opts->augment ? nn_augment_type(opts->augment) : NN_U8;
    l->image_bytes = (int64_t)nn_dtype_size(l->type) * 3 * opts->preprocess->size * opts->preprocess->size;
    l->resizes = !opts->augment || nni_augment_resizes(opts->augment);
    if (!collect(l) || !allocate(l)) {
        int slots = l->slots;

        release(l);
        return nni_fail(why, NN_ENOMEM, "no memory for %d batches of %lld images", slots,
                        (long long)opts->batch);
    }
    if (!l->n) {
        release(l);
        return nni_fail(why, NN_EFORMAT, "there is no usable image in the %s split",
                        nn_split_name(opts->split));
    }
    l->batches = opts->drop_last ? l->n / opts->batch : (l->n + opts->batch - 1) / opts->batch;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->work, NULL);
    (void)pthread_cond_init(&l->ready, NULL);
    (void)pthread_cond_init(&l->idle, NULL);
    while (l->threads < l->o.threads && !nni_thread_start(&l->thread[l->threads], work, l))
        l->threads++;
    if (!l->threads) {
        nn_loader_free(l);
        return nni_fail(why, NN_ENOMEM, "cannot start a loader thread");
    }
    *out = l;
    return NN_OK;
}

void nn_loader_free(nn_loader *l)
{
    if (!l)
        return;
    (void)pthread_mutex_lock(&l->lock);
    l->stop = true;
    (void)pthread_cond_broadcast(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->threads; i++)
        (void)pthread_join(l->thread[i], NULL);
    (void)pthread_cond_destroy(&l->work);
    (void)pthread_cond_destroy(&l->ready);
    (void)pthread_cond_destroy(&l->idle);
    (void)pthread_mutex_destroy(&l->lock);
    release(l);
}

int64_t nn_loader_samples(const nn_loader *l) { return l ? l->n : 0; }

int nn_loader_start(nn_loader *l, int64_t epoch, int64_t position)
{
    int rc = NN_OK;

    if (!l || epoch < 0 || position < 0 || (position % l->o.batch && position != l->n))
        return NN_EINVAL;
    (void)pthread_mutex_lock(&l->lock);
    l->running = false;
    while (l->busy)
        (void)pthread_cond_wait(&l->idle, &l->lock);
    if (l->o.shuffle)
        rc = nni_epoch_order(l->o.seed, (uint64_t)epoch, l->n, l->order);
    l->epoch = epoch;
    l->end = l->o.drop_last ? l->batches * l->o.batch : l->n;
    l->begin = l->claimed = position < l->end ? position : l->end;
    l->consumed = 0;
    for (int i = 0; i < l->slots; i++)
        open_slot(l, i);
    l->running = !rc;
    (void)pthread_cond_broadcast(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

int nn_loader_next(nn_loader *l, nn_batch *out)
{
    double start = nni_seconds(), share = 1, waited;
    const struct slot *s;

    if (!l || !out)
        return NN_EINVAL;
    *out = (nn_batch){ 0 };
    (void)pthread_mutex_lock(&l->lock);
    if (!l->running) {
        (void)pthread_mutex_unlock(&l->lock);
        return NN_ESTATE;
    }
    /* The batch handed out last is no longer read: its slot takes the one a full ring later. */
    if (l->consumed)
        open_slot(l, l->consumed - 1 + l->slots);
    s = slot_of(l, l->consumed);
    l->consumed++;
    (void)pthread_cond_broadcast(&l->work);
    while (s->done < s->count)
        (void)pthread_cond_wait(&l->ready, &l->lock);
    (void)pthread_mutex_unlock(&l->lock);
    waited = nni_seconds() - start;
    if (l->spare && s->count) {
        share = nni_mixup_share(l->o.mixup, l->o.seed, l->epoch, s->first);
        nni_mixup(s->pixels, l->type, s->count, l->image_bytes / (int64_t)nn_dtype_size(l->type), share,
                  l->spare);
    }
    *out = (nn_batch){ .count = s->count,
                       .first = s->first,
                       .rgb = l->type == NN_U8 ? s->pixels : NULL,
                       .real = l->type == NN_F32 ? s->pixels : NULL,
                       .label = s->label,
                       .share = share,
                       .sample = s->sample,
                       .status = s->status,
                       .why = s->why,
                       .waited = waited };
    return NN_OK;
}
