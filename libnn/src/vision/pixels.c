/* SPDX-License-Identifier: MIT
 *
 * Which of the kernels of pixels.h run here.
 */
#include "vision/pixels.h"
#include "base/isa.h"

#include <string.h>

#define KERNELS(set)                                                                                         \
    {                                                                                                        \
        .isa = #set, .normals = nni_normals_##set, .add_noise = nni_add_noise_##set,                         \
        .weighted_sum = nni_weighted_sum_##set, .to_bytes = nni_to_bytes_##set,                              \
        .round_places = nni_round_places_##set, .sample = nni_sample_##set,                                  \
        .sample_real = nni_sample_real_##set, .grey_sum = nni_grey_sum_##set,                                \
        .grey_sum_real = nni_grey_sum_real_##set, .saturate = nni_saturate_##set,                            \
        .saturate_real = nni_saturate_real_##set, .turn_hue = nni_turn_hue_##set,                            \
        .turn_hue_real = nni_turn_hue_real_##set, .scale_real = nni_scale_real_##set,                        \
        .normalize = nni_normalize_##set                                                                     \
    }

static const struct nni_pixel_kernels table[] = {
#if !defined(NN_REAL_DOUBLE) && defined(__x86_64__)
    KERNELS(avx512),
    KERNELS(avx2),
#endif
    KERNELS(portable),
};

const struct nni_pixel_kernels *nni_pixels(void)
{
    const struct nni_pixel_kernels *k = table;

    while (!nni_isa_runs(k->isa)) /* the last one does */
        k++;
    return k;
}

const struct nni_pixel_kernels *nni_pixels_of(const char *isa)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].isa, isa) && nni_isa_runs(isa))
            return &table[i];
    return NULL;
}
