/* SPDX-License-Identifier: MIT
 *
 * y = x - max - log(sum(exp(x - max))) over the last dimension; the largest element is subtracted so
 * that exp cannot overflow, and what is small keeps its digits, which log(softmax(x)) would lose.
 *
 * Derivative: dx = dy - exp(y) * sum(dy).
 */
#include "cpu/cpu.h"

#include <nn/ops.h>

#include <math.h>

/* A tile is choice[0] rows. Input and output may be one buffer. */
static void log_softmax_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t n = nni_channels(s->in[0].shape), rows = nni_rows(s->in[0].shape);
    int64_t end = (tile + 1) * s->choice[0] < rows ? (tile + 1) * s->choice[0] : rows;

    (void)lane;
    for (int64_t r = tile * s->choice[0]; r < end; r++) {
        const nn_real *x = (const nn_real *)s->in[0].at + r * n;
        nn_real *y = (nn_real *)s->out[0].at + r * n, most = x[0];
        double sum = 0, offset;

        for (int64_t e = 1; e < n; e++)
            most = x[e] > most ? x[e] : most;
        for (int64_t e = 0; e < n; e++)
            sum += exp((double)x[e] - (double)most);
        offset = (double)most + log(sum);
        for (int64_t e = 0; e < n; e++)
            y[e] = (nn_real)((double)x[e] - offset);
    }
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t n = nni_channels(s->din[0].shape), rows = nni_rows(s->din[0].shape);
    int64_t end = (tile + 1) * s->choice[0] < rows ? (tile + 1) * s->choice[0] : rows;
    int add = s->accumulate & 1u;

    (void)lane;
    for (int64_t r = tile * s->choice[0]; r < end; r++) {
        const nn_real *y = (const nn_real *)s->out[0].at + r * n,
                      *dy = (const nn_real *)s->dout[0].at + r * n;
        nn_real *dx = (nn_real *)s->din[0].at + r * n;
        double sum = 0;

        for (int64_t e = 0; e < n; e++)
            sum += (double)dy[e];
        for (int64_t e = 0; e < n; e++) {
            nn_real d = (nn_real)((double)dy[e] - exp((double)y[e]) * sum);

            dx[e] = add ? dx[e] + d : d;
        }
    }
}

static int forward(nn_step *s)
{
    int64_t n = nni_channels(s->in[0].shape);

    s->flops = 4.0 * (double)nn_shape_count(s->in[0].shape);
    nn_phase(s, nni_tiles(nni_rows(s->in[0].shape), 1 + 512 / (n + 1), 256, &s->choice[0]), log_softmax_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    int64_t n = nni_channels(s->din[0].shape);

    s->flops = 4.0 * (double)nn_shape_count(s->din[0].shape);
    nn_phase(s, nni_tiles(nni_rows(s->din[0].shape), 1 + 512 / (n + 1), 256, &s->choice[0]), back_tile);
    return NN_OK;
}

static int infer(nn_node *node)
{
    nn_shape shape = nn_shape_get(node->in[0]);
    nni_text text;

    if (nn_type_get(node->in[0]) != NN_REAL || shape.rank < 1 || shape.dim[shape.rank - 1] < 1)
        return nn_infer_fail(node, "the input is %s %s; %s with a last dimension wanted",
                             nni_shape_text(shape, &text), nn_dtype_name(nn_type_get(node->in[0])),
                             nn_dtype_name(NN_REAL));
    return nn_infer_out(node, 0, NN_REAL, shape);
}

const nn_op nn_op_log_softmax = {
    .abi = NN_OP_ABI,
    .name = "log_softmax",
    .inputs = 1,
    .reads = NN_OUT(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .infer = infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *nn_log_softmax(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_log_softmax, NULL, &x, 1); }
