/* SPDX-License-Identifier: MIT
 *
 * The two steps that nobody records: the schedule adds them where gradients begin and where they meet.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/gradient.h"

/* Added to the plan where one tensor feeds two inputs of one node: kernels write their gradients
 * independently of each other, so each gets its own memory and this sums them. */
static void add_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t n = nn_shape_count(s->in[0].shape), per = s->choice[0];
    int64_t end = (tile + 1) * per < n ? (tile + 1) * per : n;

    (void)lane;
    nni_pointwise_of(s)->scale(nni_at(&s->out[0], tile * per), nni_at(&s->in[0], tile * per),
                               end - tile * per, 1, 0, true);
}

static int add_prepare(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    s->choice[0] = 1 << 14;
    nn_phase(s, (n + s->choice[0] - 1) / s->choice[0], add_tile);
    return NN_OK;
}

const nn_op nni_op_gradient_sum = { .abi = NN_OP_ABI,
                                    .name = "gradient_sum",
                                    .forward = { add_prepare, NNI_IF_CUDA(nni_cuda_gradient_sum_forward) } };

/* The gradient of the loss itself. */
static void seed_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)tile;
    (void)lane;
    *(nn_real *)s->out[0].at = (nn_real)s->now->loss_seed;
}

static int seed_prepare(nn_step *s)
{
    nn_phase(s, 1, seed_tile);
    return NN_OK;
}

const nn_op nni_op_loss_seed = { .abi = NN_OP_ABI,
                                 .name = "loss_seed",
                                 .forward = { seed_prepare, NNI_IF_CUDA(nni_cuda_loss_seed_forward) } };
