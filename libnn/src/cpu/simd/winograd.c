/* SPDX-License-Identifier: MIT
 *
 * Transforms of Winograd's F(2x2,3x3), see cpu/winograd.h. With
 *
 *     B^T = [ 1  0 -1  0 ]     G = [  1    0    0  ]     A^T = [ 1  1  1  0 ]
 *           [ 0  1  1  0 ]         [ 1/2  1/2  1/2 ]           [ 0  1 -1 -1 ]
 *           [ 0 -1  1  0 ]         [ 1/2 -1/2  1/2 ]
 *           [ 0  1  0 -1 ]         [  0    0    1  ]
 *
 * each is a pass over columns and one over rows, all in registers.
 */
#include "cpu/winograd.h"

#include "cpu/simd/vec.h"

enum { SIDE = 4, TAPS = 3 };

#define ALWAYS __attribute__((always_inline)) inline
#define UNROLL _Pragma("GCC unroll 4")

/* Each of these turns a line of numbers, `step` apart, into another. */
static ALWAYS void line_weights(vec *to, int to_step, const vec *g, int step)
{
    vec outer = (g[0] + g[2 * step]) * vset((nn_real)0.5), inner = g[step] * vset((nn_real)0.5);

    to[0] = g[0];
    to[to_step] = outer + inner;
    to[2 * to_step] = outer - inner;
    to[3 * to_step] = g[2 * step];
}

static ALWAYS void line_input(vec *d, int step)
{
    vec first = d[0] - d[2 * step], last = d[step] - d[3 * step];
    vec sum = d[step] + d[2 * step], difference = d[2 * step] - d[step];

    d[0] = first;
    d[step] = sum;
    d[2 * step] = difference;
    d[3 * step] = last;
}

static ALWAYS void line_output(vec *to, int to_step, const vec *m, int step)
{
    to[0] = m[0] + m[step] + m[2 * step];
    to[to_step] = m[step] - m[2 * step] - m[3 * step];
}

/* The gradients of the first and the last one. */
static ALWAYS void line_weights_back(vec *to, int to_step, const vec *u, int step)
{
    vec sum = (u[step] + u[2 * step]) * vset((nn_real)0.5);

    to[0] = u[0] + sum;
    to[to_step] = (u[step] - u[2 * step]) * vset((nn_real)0.5);
    to[2 * to_step] = sum + u[3 * step];
}

static ALWAYS void line_gradient(vec *to, int to_step, const vec *y, int step)
{
    to[0] = y[0];
    to[to_step] = y[0] + y[step];
    to[2 * to_step] = y[0] - y[step];
    to[3 * to_step] = -y[step];
}

static void weights(nn_real *to, int64_t apart, const nn_real *taps, int64_t ld, int64_t count)
{
    for (int64_t j = 0; j < count; j += VEC) {
        int part = vcount(j, count);
        vec g[TAPS * TAPS], half[SIDE * TAPS], u[SIDE * SIDE];

        for (int i = 0; i < TAPS * TAPS; i++)
            g[i] = vload_some(taps + i * ld + j, part);
        for (int i = 0; i < TAPS; i++)
            line_weights(half + i, TAPS, g + i, TAPS);
        for (int i = 0; i < SIDE; i++)
            line_weights(u + i * SIDE, 1, half + i * TAPS, 1);
        for (int i = 0; i < SIDE * SIDE; i++)
            vstore_some(to + i * apart + j, u[i], part);
    }
}

static void input(nn_real *to, int64_t apart, const void *const *pixel, int64_t channels)
{
    for (int64_t j = 0; j < channels; j += VEC) {
        int part = vcount(j, channels);
        vec d[SIDE * SIDE];

#pragma GCC unroll 16
        for (int i = 0; i < SIDE * SIDE; i++) {
            const elem *from = (const elem *)pixel[i] + j;

            d[i] = eload_some(from, part);
        }
        UNROLL
        for (int i = 0; i < SIDE; i++)
            line_input(d + i, SIDE);
        UNROLL
        for (int i = 0; i < SIDE; i++)
            line_input(d + i * SIDE, 1);
#pragma GCC unroll 16
        for (int i = 0; i < SIDE * SIDE; i++)
            vstore_some(to + i * apart + j, d[i], part);
    }
}

static void output(nn_real *to, nn_real *below, int64_t ld, const nn_real *m, int64_t apart, int64_t channels)
{
    for (int64_t j = 0; j < channels; j += VEC) {
        int part = vcount(j, channels);
        vec x[SIDE * SIDE], half[2 * SIDE], y[4];

#pragma GCC unroll 16
        for (int i = 0; i < SIDE * SIDE; i++)
            x[i] = vload_some(m + i * apart + j, part);
        UNROLL
        for (int i = 0; i < SIDE; i++)
            line_output(half + i, SIDE, x + i, SIDE);
        UNROLL
        for (int i = 0; i < 2; i++)
            line_output(y + 2 * i, 1, half + i * SIDE, 1);
        vstore_some(to + j, y[0], part);
        vstore_some(to + ld + j, y[1], part);
        vstore_some(below + j, y[2], part);
        vstore_some(below + ld + j, y[3], part);
    }
}

static void gradient(nn_real *to, int64_t apart, const void *const *pixel, int64_t channels)
{
    for (int64_t j = 0; j < channels; j += VEC) {
        int part = vcount(j, channels);
        vec y[4], half[2 * SIDE], m[SIDE * SIDE];

        UNROLL
        for (int i = 0; i < 4; i++) {
            const elem *from = (const elem *)pixel[i] + j;

            y[i] = eload_some(from, part);
        }
        UNROLL
        for (int i = 0; i < 2; i++)
            line_gradient(half + i, 2, y + i, 2);
        UNROLL
        for (int i = 0; i < SIDE; i++)
            line_gradient(m + i * SIDE, 1, half + 2 * i, 1);
#pragma GCC unroll 16
        for (int i = 0; i < SIDE * SIDE; i++)
            vstore_some(to + i * apart + j, m[i], part);
    }
}

static void weights_back(nn_real *taps, int64_t ld, const nn_real *u, int64_t apart, int64_t count)
{
    for (int64_t j = 0; j < count; j += VEC) {
        int part = vcount(j, count);
        vec x[SIDE * SIDE], half[SIDE * TAPS], g[TAPS * TAPS];

        for (int i = 0; i < SIDE * SIDE; i++)
            x[i] = vload_some(u + i * apart + j, part);
        for (int i = 0; i < SIDE; i++)
            line_weights_back(half + i, SIDE, x + i, SIDE);
        for (int i = 0; i < TAPS; i++)
            line_weights_back(g + i * TAPS, 1, half + i * SIDE, 1);
        for (int i = 0; i < TAPS * TAPS; i++)
            vstore_some(taps + i * ld + j, g[i], part);
    }
}

const struct nni_winograd_kernels NNI_NAME(nni_winograd) = {
    .weights = weights,
    .input = input,
    .output = output,
    .gradient = gradient,
    .weights_back = weights_back,
};
