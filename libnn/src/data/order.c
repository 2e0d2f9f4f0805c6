/* SPDX-License-Identifier: MIT
 *
 * The order in which an epoch sees its samples. It has no state: a resumed run, a run with another
 * batch size or another number of loader threads computes the same permutation again from (seed, epoch).
 */
#include "data.h"

int nni_epoch_order(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order)
{
    static const char name[] = "epoch order";
    nni_stream stream = nni_stream_of(seed, nni_hash(name, sizeof name - 1, NNI_HASH_BASIS));
    uint32_t index = 0;

    if (n < 0 || n > UINT32_MAX || (n && !order))
        return NN_EINVAL;
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = nni_below(&stream, epoch, 0, &index, (uint32_t)(i + 1));
        int64_t moved = order[i];

        order[i] = order[j];
        order[j] = moved;
    }
    return NN_OK;
}
