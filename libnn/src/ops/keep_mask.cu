/* SPDX-License-Identifier: MIT
 *
 * keep_mask.c on the GPU: the same numbers from the same counters, so masks are equal to the bit. A thread
 * makes the four elements of one draw.
 */
#include "base/philox.h"
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

struct drawer {
    float *y;
    const nn_scalars *now;
    uint64_t stream;
    int64_t width, draws; /* of a row */
    double p;
    float kept;

    __device__ void operator()(int64_t i) const
    {
        /* nni_stream_of and nni_stream_at of base/rng.c */
        const uint32_t own[2] = { 0x6c69626e, 0x6e000001 };
        uint64_t seed = now->seed, sample = static_cast<uint64_t>(now->sample + i / draws);
        uint32_t names[4] = { static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                              static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32) };
        uint32_t word[4], key[2];
        int64_t first = i % draws * 4;

        nni_philox_words(names, own, word);
        key[0] = word[0];
        key[1] = word[1];
        names[0] = static_cast<uint32_t>(i % draws);
        names[1] = static_cast<uint32_t>(now->step);
        names[2] = static_cast<uint32_t>(sample);
        names[3] = static_cast<uint32_t>(sample >> 32);
        nni_philox_words(names, key, word);
        for (int k = 0; k < 4 && first + k < width; k++)
            y[i / draws * width + first + k] = static_cast<double>(word[k]) * 0x1p-32 >= p ? kept : 0;
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    double p = static_cast<const nni_keep_mask *>(s->attrs)->p;
    int64_t rows = s->out[0].shape.dim[0], width = rows ? nn_shape_count(s->out[0].shape) / rows : 0;
    int64_t draws = nni_up(width, 4);

    return nni_map(
        stream, rows * draws,
        drawer{ nni_at(&s->out[0]), s->now, s->key, width, draws, p, static_cast<float>(1 / (1 - p)) });
}

} // namespace

int nni_cuda_keep_mask_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}
