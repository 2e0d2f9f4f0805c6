/* SPDX-License-Identifier: MIT
 *
 * Mixup (Zhang et al. 2018): each image of a batch is blended with the next one, and so are their labels,
 * which keeps a classifier from being sure where it has no reason to be. One share serves a batch, drawn from
 * a beta distribution that favours shares near 0 and 1 when its parameter is small.
 */
#include "data.h"
#include "vision/transform.h"

#include <math.h>
#include <string.h>

/* The logarithm of a number of the gamma distribution (Marsaglia and Tsang 2000). In logarithms, because for
 * a small shape most numbers are too small to be represented. */
static double log_gamma(struct nni_dice *d, double shape)
{
    double boost = shape < 1 ? log(1 - nni_dice_uniform(d, 0, 1)) / shape : 0;
    double a = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * a);

    for (;;) {
        double x = nni_dice_normal(d), v = (1 + c * x) * (1 + c * x) * (1 + c * x);
        double u = 1 - nni_dice_uniform(d, 0, 1);

        if (v > 0 && log(u) < x * x / 2 + a - a * v + a * log(v))
            return log(a * v) + boost;
    }
}

double nni_mixup_share(double shape, uint64_t seed, int64_t epoch, int64_t first)
{
    static const char name[] = "mixup";
    struct nni_dice dice = { .stream = nni_stream_of(seed, nni_hash(name, strlen(name), NNI_HASH_BASIS)),
                             .sample = (uint64_t)first,
                             .epoch = (uint32_t)epoch };
    double one = log_gamma(&dice, shape), other = log_gamma(&dice, shape);

    return 1 / (1 + exp(other - one));
}

static void mix_bytes(uint8_t *to, const uint8_t *with, int64_t n, float share)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (uint8_t)(share * (float)to[i] + (1 - share) * (float)with[i] + 0.5f);
}

static void mix_floats(float *to, const float *with, int64_t n, float share)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = share * to[i] + (1 - share) * with[i];
}

void nni_mixup(void *pixels, nn_dtype type, int64_t images, int64_t values, double share, void *spare)
{
    size_t bytes = (size_t)values * nn_dtype_size(type);

    memcpy(spare, pixels, bytes); /* the last is mixed with the first as it was */
    for (int64_t k = 0; k < images; k++) {
        char *at = (char *)pixels + (size_t)k * bytes;
        const void *with = k + 1 < images ? at + bytes : spare;

        if (type == NN_F32)
            mix_floats((float *)(void *)at, with, values, (float)share);
        else
            mix_bytes((uint8_t *)at, with, values, (float)share);
    }
}
