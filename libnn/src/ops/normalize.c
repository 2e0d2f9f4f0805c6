/* SPDX-License-Identifier: MIT
 *
 * y = (x/maximum - mean[c])/std[c]: pixels to the numbers a network was trained on. Evaluated in
 * double and rounded once, so that it equals what any framework's preprocessing converges to; a
 * byte has 256 values, so for bytes the whole function is a table of 3 x 256 numbers.
 *
 * Derivative (when x is not bytes): dx = dy / (maximum*std[c]).
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <nn/ops.h>

#include <math.h>

/* Pixels of a tile. */
enum { TILE = 4096 };

static double value(const struct nni_normalize *a, double x, int c)
{
    return (x / a->maximum - a->mean[c]) / a->std[c];
}

static void table_run(const nn_step *s, int64_t tile, void *lane)
{
    nn_real *table = s->derived.at;

    (void)tile;
    (void)lane;
    for (int x = 0; x < 256; x++)
        for (int c = 0; c < 3; c++)
            table[x * 3 + c] = (nn_real)value(s->attrs, x, c);
}

static void bytes_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *table = s->derived.at;
    int64_t rows = nni_rows(s->in[0].shape), end = (tile + 1) * TILE < rows ? (tile + 1) * TILE : rows;
    const uint8_t *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    for (int64_t r = tile * TILE; r < end; r++)
        for (int c = 0; c < 3; c++)
            y[r * 3 + c] = table[x[r * 3 + c] * 3 + c];
}

static void reals_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t rows = nni_rows(s->in[0].shape), end = (tile + 1) * TILE < rows ? (tile + 1) * TILE : rows;
    const nn_real *x = s->in[0].at;
    nn_real *y = s->out[0].at;

    (void)lane;
    for (int64_t r = tile * TILE; r < end; r++)
        for (int c = 0; c < 3; c++)
            y[r * 3 + c] = (nn_real)value(s->attrs, (double)x[r * 3 + c], c);
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_normalize *a = s->attrs;
    int64_t rows = nni_rows(s->din[0].shape), end = (tile + 1) * TILE < rows ? (tile + 1) * TILE : rows;
    const nn_real *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at, factor[3];
    int add = s->accumulate & 1u;

    (void)lane;
    for (int c = 0; c < 3; c++)
        factor[c] = (nn_real)(1 / (a->maximum * a->std[c]));
    for (int64_t r = tile * TILE; r < end; r++)
        for (int c = 0; c < 3; c++) {
            nn_real d = dy[r * 3 + c] * factor[c];

            dx[r * 3 + c] = add ? dx[r * 3 + c] + d : d;
        }
}

static int forward(nn_step *s)
{
    int64_t tiles = (nni_rows(s->in[0].shape) + TILE - 1) / TILE;

    if (s->in[0].type == NN_U8) {
        s->derived.bytes = 3 * 256 * sizeof(nn_real);
        s->derived.tiles = 1;
        s->derived.run = table_run;
        nn_phase(s, tiles, bytes_tile);
    } else {
        nn_phase(s, tiles, reals_tile);
        s->flops = 3.0 * (double)nn_shape_count(s->in[0].shape);
    }
    return NN_OK;
}

static int backward(nn_step *s)
{
    if (s->in[0].type == NN_U8 || s->din[0].type != NN_REAL)
        return NN_EUNSUPPORTED;
    nn_phase(s, (nni_rows(s->din[0].shape) + TILE - 1) / TILE, back_tile);
    s->flops = (double)nn_shape_count(s->din[0].shape);
    return NN_OK;
}

static int infer(nn_node *node)
{
    const struct nni_normalize *a = node->attrs;
    nn_shape shape = nn_shape_get(node->in[0]);
    nn_dtype type = nn_type_get(node->in[0]);
    nni_text text;

    if (type != NN_U8 && type != NN_REAL)
        return nn_infer_fail(node, "pixels are %s; U8 or %s wanted", nn_dtype_name(type),
                             nn_dtype_name(NN_REAL));
    if (shape.rank != 4 || shape.dim[3] != 3)
        return nn_infer_fail(node, "pixels are %s; [N,H,W,3] wanted", nni_shape_text(shape, &text));
    if (!(a->maximum > 0) || !isfinite(a->maximum))
        return nn_infer_fail(node, "the maximum value is %g; it must be positive", a->maximum);
    for (int c = 0; c < 3; c++)
        if (!(a->std[c] > 0) || !isfinite(a->std[c]) || !isfinite(a->mean[c]))
            return nn_infer_fail(node, "mean %g and std %g of channel %d; a number and a positive one wanted",
                                 a->mean[c], a->std[c], c);
    return nn_infer_out(node, 0, NN_REAL, shape);
}

const nn_op nn_op_normalize = {
    .abi = NN_OP_ABI,
    .name = "normalize",
    .inputs = 1,
    .attrs_bytes = sizeof(struct nni_normalize),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_normalize_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_normalize_backward) },
};

nn_tensor *nn_normalize(nn_graph *g, nn_tensor *x, const double mean[3], const double std[3], double maximum)
{
    struct nni_normalize a = { .maximum = maximum };

    for (int c = 0; mean && std && c < 3; c++) {
        a.mean[c] = mean[c];
        a.std[c] = std[c];
    }
    return nn_apply(g, &nn_op_normalize, mean && std ? &a : NULL, &x, 1);
}
