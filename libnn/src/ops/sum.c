/* SPDX-License-Identifier: MIT
 *
 * y = sum of all elements of x, or their mean (mean.c): tiles are summed in double, in a fixed
 * number that comes from the shape, and the partial sums merged in the order of tiles.
 *
 * Derivative: dx = dy/divisor everywhere.
 */
#include "cpu/cpu.h"
#include "ops/reduce.h"

#include <nn/ops.h>

/* choice[0]: elements of a tile; choice[1]: the divisor; choice[2]: tiles. */
static void part_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t count = nn_shape_count(s->in[0].shape), at = tile * s->choice[0];
    int64_t end = at + s->choice[0] < count ? at + s->choice[0] : count;
    const nn_real *x = s->in[0].at;
    double *part = s->scratch, sum[4] = { 0 };

    (void)lane;
    for (; at + 4 <= end; at += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += (double)x[at + k];
    for (; at < end; at++)
        sum[0] += (double)x[at];
    part[tile] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    const double *part = s->scratch;
    double sum = 0;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < s->choice[2]; i++)
        sum += part[i];
    *(nn_real *)s->out[0].at = (nn_real)(sum / (double)s->choice[1]);
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t count = nn_shape_count(s->din[0].shape), at = tile * s->choice[0];
    int64_t end = at + s->choice[0] < count ? at + s->choice[0] : count;
    nn_real d = (nn_real)((double)*(const nn_real *)s->dout[0].at / (double)s->choice[1]);
    nn_real *dx = s->din[0].at;

    (void)lane;
    if (s->accumulate & 1u)
        for (; at < end; at++)
            dx[at] += d;
    else
        for (; at < end; at++)
            dx[at] = d;
}

int nni_total_forward(nn_step *s, int64_t divisor)
{
    int64_t count = nn_shape_count(s->in[0].shape);

    s->choice[1] = divisor;
    s->choice[2] = nni_tiles(count, 8192, 256, &s->choice[0]);
    s->scratch_bytes = (size_t)s->choice[2] * sizeof(double);
    s->flops = (double)count;
    nn_phase(s, s->choice[2], part_tile);
    nn_phase(s, 1, merge_tile);
    return NN_OK;
}

int nni_total_backward(nn_step *s, int64_t divisor)
{
    if (s->din[0].type != NN_REAL)
        return NN_EUNSUPPORTED;
    s->choice[1] = divisor;
    nn_phase(s, nni_tiles(nn_shape_count(s->din[0].shape), 8192, 256, &s->choice[0]), back_tile);
    return NN_OK;
}

int nni_total_infer(nn_node *node)
{
    if (nn_type_get(node->in[0]) != NN_REAL)
        return nn_infer_fail(node, "the input is %s; %s wanted", nn_dtype_name(nn_type_get(node->in[0])),
                             nn_dtype_name(NN_REAL));
    return nn_infer_out(node, 0, NN_REAL, NN_SHAPE0());
}

static int forward(nn_step *s) { return nni_total_forward(s, 1); }
static int backward(nn_step *s) { return nni_total_backward(s, 1); }

const nn_op nn_op_sum = {
    .abi = NN_OP_ABI,
    .name = "sum",
    .inputs = 1,
    .infer = nni_total_infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *nn_sum(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_sum, NULL, &x, 1); }
