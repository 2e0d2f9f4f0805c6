/* SPDX-License-Identifier: MIT
 *
 * Pictures that are kept in memory so that later epochs need not decode them. An epoch asks for each once, in
 * an order of its own: so nothing is ever driven out, which would cost and gain the same; the first that fit
 * stay.
 */
#ifndef NNI_CACHE_H
#define NNI_CACHE_H

#include "base/base.h"

#include <nn/vision.h>

struct nni_cache;

/* For pictures 0..n-1, in at most `bytes`. NULL without memory. */
struct nni_cache *nni_cache_new(int64_t n, size_t bytes);
void nni_cache_free(struct nni_cache *c);
/* A view on picture i; false if it is not there. Calls for different pictures may overlap. */
bool nni_cache_get(const struct nni_cache *c, int64_t i, nn_image *out);
/* Takes the pixels, which then are a view, too; or false, and they stay the caller's. */
bool nni_cache_keep(struct nni_cache *c, int64_t i, const nn_image *image);

#endif
