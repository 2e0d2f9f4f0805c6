/* SPDX-License-Identifier: MIT
 *
 * What a generator leaves in a picture. Decoders of autoencoders, adversarial and diffusion networks begin
 * with few, coarse values and alternate between doubling the size and convolving; detail that the coarse
 * values do not hold is made up from injected noise. Doubling leaves traces of period two and four, and the
 * made-up detail is correlated as the kernels are, not as a Bayer filter is.
 */
#include "synth.h"

#include <stddef.h>
#include <string.h>

enum { STAGES = 2 };

struct stage {
    float up[4][4];         /* transposed convolution with stride 2 */
    float conv[3][3][3][3]; /* [out][y][x][in] */
};

static int within(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

/* Doubling is either a repetition of pixels or a kernel near the bilinear one whose phases do not sum to the
 * same, as trained ones hardly ever do. Convolutions are random and make nothing of an even area. */
static struct stage stage_new(struct dice *d)
{
    static const float nearest[4] = { 0, 1, 1, 0 }, bilinear[4] = { 0.25f, 0.75f, 0.75f, 0.25f };
    bool transposed = dice_below(d, 2);
    struct stage s;

    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++)
            s.up[y][x] = transposed ? bilinear[y] * bilinear[x] * (1 + 0.03f * dice_normal(d))
                                    : nearest[y] * nearest[x];
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 3; i++) {
            float sum = 0;

            for (int t = 0; t < 9; t++) {
                s.conv[o][t / 3][t % 3][i] = 0.1f * dice_normal(d);
                sum += s.conv[o][t / 3][t % 3][i];
            }
            for (int t = 0; t < 9; t++)
                s.conv[o][t / 3][t % 3][i] -= sum / 9;
        }
    return s;
}

/* [side,side,3] to a quarter of the side by means of 4x4. */
static void shrink(float *out, const float *in, int side)
{
    int n = side / SYNTH_STEP;

    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++)
            for (int c = 0; c < 3; c++) {
                float sum = 0;

                for (int t = 0; t < SYNTH_STEP * SYNTH_STEP; t++)
                    sum +=
                        in[3 * ((SYNTH_STEP * y + t / SYNTH_STEP) * side + SYNTH_STEP * x + t % SYNTH_STEP) +
                           c];
                out[3 * (y * n + x) + c] = sum / (SYNTH_STEP * SYNTH_STEP);
            }
}

/* [side,side,3] to twice the side. */
static void enlarge(float *out, const float *in, int side, const struct stage *s)
{
    for (int y = 0; y < 2 * side; y++)
        for (int x = 0; x < 2 * side; x++)
            for (int c = 0; c < 3; c++) {
                float sum = 0;

                for (int i = (y + 1) & 1; i < 4; i += 2)
                    for (int j = (x + 1) & 1; j < 4; j += 2)
                        sum += s->up[i][j] *
                               in[3 * (within((y + 1 - i) / 2, side) * side + within((x + 1 - j) / 2, side)) +
                                  c];
                out[3 * (2 * y * side + x) + c] = sum;
            }
}

/* out = in + leaky_relu(conv(in + noise)), with the noise already in `in`. */
static void refine(float *out, const float *in, int side, const struct stage *s)
{
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int o = 0; o < 3; o++) {
                float sum = 0;

                for (int t = 0; t < 9; t++) {
                    const float *from =
                        in + 3 * (within(y + t / 3 - 1, side) * side + within(x + t % 3 - 1, side));

                    for (int c = 0; c < 3; c++)
                        sum += s->conv[o][t / 3][t % 3][c] * from[c];
                }
                out[3 * (y * side + x) + o] = in[3 * (y * side + x) + o] + (sum > 0 ? sum : 0.2f * sum);
            }
}

void generator_make(float *picture, float *work, int side, struct dice *weights, struct dice *d)
{
    float *now = work, *next = work + (size_t)side * (size_t)side * 3;
    float noise = dice_uniform(d, 0.003f, 0.012f);

    shrink(now, picture, side);
    for (int n = side / SYNTH_STEP, i = 0; i < STAGES; i++) {
        struct stage s = stage_new(weights);

        enlarge(next, now, n, &s);
        n *= 2;
        for (int at = 0; at < n * n * 3; at++)
            next[at] += noise * (float)(side / n) * dice_normal(d);
        refine(now, next, n, &s);
    }
    memcpy(picture, now, (size_t)side * (size_t)side * 3 * sizeof *picture);
}
