/* SPDX-License-Identifier: MIT
 *
 * The output's side of the convolutions. Statistics: each block of a tile is summed while it is in
 * the first-level cache, as mean and squared distance from it; blocks, then tiles, are merged in
 * order by Chan's formula. The bias only shifts the mean, so it is added to that at the end.
 */
#include "ops/product.h"

enum { MERGE_COLS = 64, BIAS_ROWS = 128, BIAS_GROUP = 16 };

struct nni_output nni_output_of(const nn_step *s, void *scratch, int64_t tiles, int64_t tile_rows)
{
    struct nni_output o = { .s = s, .rows = tile_rows, .channels = nni_channels(nni_output_shape(s)) };

    if (nni_wants_moments(s)) {
        o.mean = scratch;
        o.m2 = o.mean + tiles * o.channels;
    }
    return o;
}

void nni_output_look(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                     const nn_real *block, int64_t ld)
{
    const struct nni_output *o = context;
    int64_t at = row0 / o->rows * o->channels + o->first + col0;

    nni_gemm_kernels_of(o->s)->moments(block, ld, rows, cols, row0 % o->rows, o->mean + at, o->m2 + at);
}

void nni_output_store(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                      const nn_real *block, int64_t ld)
{
    const struct nni_output *o = context;
    const nn_real *bias = nni_real_at(&o->s->in[2]);
    int64_t c = o->first + col0;

    nni_gemm_kernels_of(o->s)->store(nni_at(&o->s->out[0], row0 * o->channels + c), o->channels, block, ld,
                                     rows, cols, bias ? bias + c : NULL, 0);
    if (o->mean)
        nni_output_look(context, row0, rows, col0, cols, block, ld);
}

int64_t nni_output_merge_tiles(const nn_step *s)
{
    return nni_wants_moments(s) ? (nni_channels(nni_output_shape(s)) + MERGE_COLS - 1) / MERGE_COLS : 0;
}

void nni_output_merge(const struct nni_output *o, int64_t tile)
{
    const struct nni_gemm_kernels *k = nni_gemm_real(o->s);
    const nn_real *bias = nni_real_at(&o->s->in[2]);
    nn_real *mean = nni_real_at(&o->s->out[1]), *var = nni_real_at(&o->s->out[2]);
    int64_t c = tile * MERGE_COLS, cols = nni_min64(MERGE_COLS, o->channels - c);

    k->moments_merge(o->mean + c, o->m2 + c, o->channels, nni_rows(o->s->out[0].shape), o->rows, cols,
                     mean ? mean + c : NULL, var ? var + c : NULL);
    if (mean && bias)
        k->store(mean + c, cols, bias + c, cols, 1, cols, NULL, 1);
}

void nni_total_gradient(const nn_step *s, const struct nni_gemm_kernels *kernels, int64_t row0, int64_t rows,
                        int64_t col0, int64_t cols, nn_real *dst, int64_t ld)
{
    int64_t channels = nni_channels(nni_output_shape(s)), at = row0 * channels + col0;
    const nn_real *dmean = nni_real_at(&s->dout[1]), *dvar = nni_real_at(&s->dout[2]);
    struct nni_moment_grad m = { .rows = nni_rows(nni_output_shape(s)) };

    if (dmean)
        m.dmean = dmean + col0;
    if (dvar) {
        m.dvar = dvar + col0;
        m.y = nni_at(&s->out[0], at);
        m.mean = (const nn_real *)s->out[1].at + col0;
    }
    kernels->gradient(dst, ld, nni_at(&s->dout[0], at), channels, rows, cols, &m);
}

int64_t nni_bias_tiles(const nn_step *s)
{
    int64_t size;

    return nn_has(&s->din[2]) ? nni_tiles(nni_rows(nni_output_shape(s)), BIAS_ROWS, 32, &size) : 0;
}

size_t nni_bias_lane_bytes(const nn_step *s)
{
    return nn_has(&s->din[2]) ? BIAS_GROUP * (size_t)nni_channels(nni_output_shape(s)) * sizeof(nn_real) : 0;
}

void nni_bias_tile(const nn_step *s, nn_real *partial, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(nni_output_shape(s)), all = nni_rows(nni_output_shape(s)), size;

    (void)nni_tiles(all, BIAS_ROWS, 32, &size);
    for (int64_t r = tile * size; r < nni_min64(all, (tile + 1) * size); r += BIAS_GROUP) {
        int64_t rows = nni_min64(BIAS_GROUP, nni_min64(all, (tile + 1) * size) - r);

        nni_total_gradient(s, nni_gemm_plain(s), r, rows, 0, channels, lane, channels);
        nni_gemm_kernels_of(s)->column_sums(partial + tile * channels, lane, channels, rows, channels, NULL,
                                            r > tile * size);
    }
}

void nni_bias_merge(const nn_step *s, const nn_real *partial)
{
    int64_t channels = nni_channels(nni_output_shape(s));

    nni_gemm_kernels_of(s)->column_sums(s->din[2].at, partial, channels, nni_bias_tiles(s), channels, NULL,
                                        nni_adds(s, 2));
}
