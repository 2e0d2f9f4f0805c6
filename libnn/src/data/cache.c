/* SPDX-License-Identifier: MIT
 *
 * See cache.h.
 */
#include "data/cache.h"

#include <pthread.h>

struct nni_cache {
    int64_t n;
    size_t left;
    pthread_mutex_t lock; /* of `left` */
    nn_image *image;
};

struct nni_cache *nni_cache_new(int64_t n, size_t bytes)
{
    struct nni_cache *c = nni_alloc_zero(sizeof *c);

    if (!c)
        return NULL;
    c->n = n;
    c->left = bytes;
    c->image = nni_alloc_array((size_t)n, sizeof *c->image);
    if (!c->image) {
        nni_free(c);
        return NULL;
    }
    (void)pthread_mutex_init(&c->lock, NULL);
    return c;
}

void nni_cache_free(struct nni_cache *c)
{
    if (!c)
        return;
    for (int64_t i = 0; i < c->n; i++)
        nn_image_free(&c->image[i]);
    (void)pthread_mutex_destroy(&c->lock);
    nni_free(c->image);
    nni_free(c);
}

bool nni_cache_get(const struct nni_cache *c, int64_t i, nn_image *out)
{
    *out = c->image[i];
    return out->rgb != NULL;
}

bool nni_cache_keep(struct nni_cache *c, int64_t i, const nn_image *image)
{
    size_t size = image->stride * (size_t)image->height;
    bool fits;

    (void)pthread_mutex_lock(&c->lock);
    fits = size <= c->left;
    c->left -= fits ? size : 0;
    (void)pthread_mutex_unlock(&c->lock);
    if (fits)
        c->image[i] = *image;
    return fits;
}
