/* SPDX-License-Identifier: MIT
 *
 * The gradient of the weights in squares, however the rows of squares are divided into splits and chunks:
 * the division that a network's sizes bring about is too large for the tables of the op.
 */
#include "ops/winograd.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { N = 2, SIDE = 9, CHANNELS = 34, COLS = 33, PIXELS = N * SIDE * SIDE };

static nn_real image[PIXELS * CHANNELS], grad[PIXELS * COLS];

static struct nni_winograd_back division_of(const struct nni_winograd *w, int64_t splits, int64_t chunk)
{
    struct nni_winograd_back b = nni_winograd_back_of(w);
    int64_t all = w->n * w->down;

    if (splits) {
        b.rows = (all + splits - 1) / splits;
        b.tiles = b.tiles / b.splits * splits;
        b.splits = splits;
        b.chunk = chunk;
    }
    return b;
}

/* taps [COLS][9][CHANNELS] */
static void weights_gradient(const struct nni_winograd_back *b, nn_real *taps)
{
    const struct nni_winograd_kernels *k = &nni_winograd_portable;
    struct nni_winograd_pixels src = { k, image, sizeof *image }, dst = { k, grad, sizeof *grad };
    size_t lane_bytes = b->lane_bytes * 16;
    nn_real *sums = calloc((size_t)b->splits * 16 * COLS * CHANNELS, sizeof *sums);
    void *lane = calloc(1, lane_bytes);

    ck_assert(sums && lane);
    for (int64_t t = 0; t < b->tiles; t++)
        nni_winograd_back_tile(b, &src, &dst, sums, t, lane);
    for (int64_t o = 0; o < COLS; o++)
        nni_winograd_back_merge(b, k, sums, o, taps + o * 9 * CHANNELS, lane);
    free(sums);
    free(lane);
}

START_TEST(divisions)
{
    static const int64_t splits[] = { 0, 1, 1, 5 }, chunks[] = { 0, 1, 3, 2 };
    static nn_real taps[COLS * 9 * CHANNELS];
    struct nni_winograd w = nni_winograd_of(&nni_gemm_portable, (struct nni_winograd){ .n = N,
                                                                                       .h = SIDE,
                                                                                       .w = SIDE,
                                                                                       .channels = CHANNELS,
                                                                                       .dst_h = SIDE,
                                                                                       .dst_w = SIDE,
                                                                                       .cols = COLS,
                                                                                       .top = 1,
                                                                                       .left = 1 });
    struct nni_winograd_back b = division_of(&w, splits[_i], chunks[_i]);
    double worst = 0;

    for (int i = 0; i < PIXELS * CHANNELS; i++)
        image[i] = (nn_real)((i * 37 % 101 - 50) / 50.0);
    for (int i = 0; i < PIXELS * COLS; i++)
        grad[i] = (nn_real)((i * 53 % 103 - 51) / 50.0);
    weights_gradient(&b, taps);
    for (int o = 0; o < COLS; o++)
        for (int tap = 0; tap < 9; tap++)
            for (int c = 0; c < CHANNELS; c++) {
                double sum = 0;

                for (int r = 0; r < PIXELS; r++) {
                    int y = r / SIDE % SIDE + tap / 3 - 1, x = r % SIDE + tap % 3 - 1;

                    if (y >= 0 && y < SIDE && x >= 0 && x < SIDE)
                        sum += (double)grad[r * COLS + o] *
                               (double)image[((r / SIDE / SIDE * SIDE + y) * SIDE + x) * CHANNELS + c];
                }
                worst = fmax(worst, fabs(sum - (double)taps[(o * 9 + tap) * CHANNELS + c]));
            }
    ck_assert_double_lt(worst, NN_REAL == NN_F32 ? 1e-4 : 1e-12);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("winograd");
    TCase *t = tcase_create("divisions");

    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, divisions, 0, 4);
    suite_add_tcase(s, t);
    return suite_run(s);
}
