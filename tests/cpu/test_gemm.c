/* SPDX-License-Identifier: MIT
 *
 * The product's seam below any op: sizes around every edge of the register blocks, panels and
 * tiles, against loops over doubles. Small integers make the sums exact, so any difference is a
 * fault and not rounding. Blocks have guard elements on all sides; tiles run in reverse order.
 */
#include "cpu/cpu.h"
#include "suite.h"
#include "op_test.h"

#include <stdlib.h>
#include <string.h>

/* Every assertion that holds is a write to a pipe, too: in loops over elements only failures are told. */
enum { GUARD = 16 };
static const nn_real sentinel = (nn_real)-12345;

/* A rows x cols matrix of small integers in memory that ends where it ends. */
static nn_real *integers(int64_t rows, int64_t cols, uint64_t stream)
{
    nn_real *m = nni_alloc((size_t)(rows * cols) * sizeof *m);

    ck_assert_ptr_nonnull(m);
    for (int64_t i = 0; i < rows * cols; i++)
        m[i] = (nn_real)(int)op_test_uniform(stream, i, -8, 9);
    return m;
}

static nn_real *guarded(int64_t count)
{
    nn_real *m = nni_alloc((size_t)(count + 2 * GUARD) * sizeof *m);

    ck_assert_ptr_nonnull(m);
    for (int64_t i = 0; i < count + 2 * GUARD; i++)
        m[i] = sentinel;
    return m + GUARD;
}

static void release_guarded(nn_real *m, int64_t count, const char *what)
{
    for (int64_t i = 1; i <= GUARD; i++) {
        if (m[-i] != sentinel || m[count + i - 1] != sentinel)
            ck_abort_msg("%s: written %lld before or after the matrix", what, (long long)i);
    }
    nni_free(m - GUARD);
}

struct matrix {
    const nn_real *at;
    nn_real *to;
    int64_t cols;
    int depth; /* of the product that it is loaded for */
};

static void load(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols, nn_real *dst,
                 int64_t ld)
{
    const struct matrix *m = context;

    for (int64_t r = 0; r < rows; r++) {
        uint16_t *words = (uint16_t *)(void *)(dst + r * ld);

        for (int64_t j = 0; j < cols; j++) {
            nn_real x = m->at[(row0 + r) * m->cols + col0 + j];

            if (m->depth > 1)
                words[j] = nni_f32_to_bf16((float)x);
            else
                dst[r * ld + j] = x;
        }
        if (m->depth > 1 && cols % 2)
            words[cols] = 0;
    }
}

static void save(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                 const nn_real *block, int64_t ld)
{
    const struct matrix *m = context;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++) {
            nn_real *to = &m->to[(row0 + r) * m->cols + col0 + j];

            if (*to != sentinel)
                ck_abort_msg("row %lld column %lld is stored twice", (long long)(row0 + r),
                             (long long)(col0 + j));
            *to = block[r * ld + j];
        }
}

/* Looks at a block that is in its place already. */
static void look(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                 const nn_real *block, int64_t ld)
{
    const struct matrix *m = context;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            if (block[r * ld + j] != m->to[(row0 + r) * m->cols + col0 + j])
                ck_abort_msg("row %lld column %lld is not in its place", (long long)(row0 + r),
                             (long long)(col0 + j));
}

static const int64_t sizes[][3] = {
    { 1, 1, 1 },     { 1, 48, 16 },   { 8, 48, 3 },     { 7, 8, 5 },      { 9, 7, 33 },     { 3, 49, 17 },
    { 6, 16, 2 },    { 13, 17, 7 },   { 48, 40, 9 },    { 49, 56, 12 },   { 50, 72, 31 },   { 15, 200, 24 },
    { 31, 344, 5 },  { 97, 103, 19 }, { 200, 24, 4 },   { 5, 129, 200 },  { 1, 600, 70 },   { 2, 1, 1000 },
    { 130, 9, 300 }, { 400, 33, 64 }, { 49, 344, 264 }, { 392, 200, 96 }, { 1000, 48, 40 }, { 3000, 8, 8 },
};

/* Of the last set those that multiply bfloat16, in which these numbers and their sums are exact, too: with
 * the others it is the one before it. */
static const struct nni_gemm_kernels *kernels_of(int isa, nn_device **device)
{
    *device = op_test_device(op_test_isa(isa), 1);
    return (*device)->cpu->gemm[strcmp(op_test_isa(isa), "avx512_bf16") ? NNI_STORED_REAL : NNI_STORED_BF16];
}

static void check(const nn_real *c, const nn_real *a, const nn_real *b, int64_t m, int64_t n, int64_t k,
                  int64_t a_row, int64_t a_col, int64_t b_row, int64_t b_col, double before, const char *what)
{
    for (int64_t r = 0; r < m; r++)
        for (int64_t j = 0; j < n; j++) {
            double sum = before;

            for (int64_t p = 0; p < k; p++)
                sum += (double)a[r * a_row + p * a_col] * (double)b[p * b_row + j * b_col];
            if ((double)c[r * n + j] != sum)
                ck_abort_msg("%s %lldx%lldx%lld: [%lld,%lld] is %g, not %g", what, (long long)m, (long long)n,
                             (long long)k, (long long)r, (long long)j, (double)c[r * n + j], sum);
        }
}

/* Every way in (as it lies, loaded, staged) and out (as it lies, stored), B in both orders. */
START_TEST(products)
{
    nn_device *device;
    const struct nni_gemm_kernels *kernels;

    for (int isa = 0; op_test_isa(isa); isa++) {
        kernels = kernels_of(isa, &device);
        for (size_t q = 0; q < sizeof sizes / sizeof *sizes; q++)
            for (int way = kernels->depth > 1 ? 4 : 0; way < 12; way++) { /* words: not as it lies */
                int64_t m = sizes[q][0], n = sizes[q][1], k = sizes[q][2];
                int turned = way & 1, stored = (way >> 1 & 1) || kernels->depth > 1, in = way / 4;
                nni_gemm g = nni_gemm_of(kernels, m, n, k, in);
                nn_real *a = integers(m, k, 1), *b = integers(k, n, 2), *c = guarded(m * n);
                nn_real *packed = guarded((int64_t)(g.packed_bytes / sizeof *packed));
                nn_real *lane = guarded((int64_t)(g.lane_bytes / sizeof *lane));
                nn_real *stage = guarded((int64_t)(g.stage_bytes / sizeof *stage));
                struct matrix from = { .at = a, .cols = k, .depth = kernels->depth },
                              to = { .to = c, .cols = n };
                struct nni_gemm_b how = {
                    .at = b, .inner = k, .inner_stride = turned ? 1 : n, .n_stride = turned ? k : 1
                };
                nni_gemm_io io = {
                    .load_a = load, .load_context = &from, .store_c = save, .store_context = &to
                };

                if (in == NNI_LOAD_NONE) {
                    io.a = a;
                    io.lda = k;
                }
                if (!stored) {
                    io.c = c;
                    io.ldc = n;
                    io.store_c = turned ? look : NULL;
                }
                for (int64_t p = 0; p < g.panels; p++)
                    nni_gemm_pack(&g, &how, packed, p);
                if (g.stage_tiles) {
                    for (int64_t t = 0; t < g.stage_tiles; t++)
                        nni_gemm_stage(&g, &io, stage, t);
                    io.a = stage;
                    io.lda = g.ld;
                }
                for (int64_t t = nni_gemm_tiles(&g); t-- > 0;)
                    nni_gemm_tile(&g, &io, packed, t, lane);
                check(c, a, b, m, n, k, k, 1, how.inner_stride, how.n_stride, 0, op_test_isa(isa));
                release_guarded(c, m * n, "result");
                release_guarded(packed, (int64_t)(g.packed_bytes / sizeof *packed), "packed");
                release_guarded(lane, (int64_t)(g.lane_bytes / sizeof *lane), "lane");
                release_guarded(stage, (int64_t)(g.stage_bytes / sizeof *stage), "stage");
                nni_free(a);
                nni_free(b);
            }
        nn_close(device);
    }
}
END_TEST

/* B whose k is two nested indices, as the weights of a convolution are read: 3 taps, and more than are packed
 * together. */
START_TEST(nested_rows_of_b)
{
    enum { M = 5, N = 19, INNER = 21 };
    const int64_t outer = _i ? 1100 : 3, k = outer * INNER;
    nn_device *device;

    for (int isa = 0; op_test_isa(isa); isa++) {
        const struct nni_gemm_kernels *kernels = kernels_of(isa, &device);
        nni_gemm g = nni_gemm_of(kernels->plain, M, N, k, NNI_LOAD_NONE);
        nn_real *a = integers(M, k, 3), *w = integers(N, k, 4), *b = integers(k, N, 0), *c = guarded(M * N);
        nn_real *packed = nni_alloc(g.packed_bytes), *lane = nni_alloc(g.lane_bytes);
        struct nni_gemm_b how = {
            .at = w, .inner = INNER, .outer_stride = 1, .inner_stride = outer, .n_stride = k
        };
        struct matrix to = { .to = c, .cols = N };
        nni_gemm_io io = { .a = a, .lda = k, .c = c, .ldc = N };

        for (int64_t n = 0; n < N; n++)
            for (int64_t o = 0; o < outer; o++)
                for (int64_t i = 0; i < INNER; i++)
                    b[(o * INNER + i) * N + n] = w[n * k + i * outer + o];
        if (kernels->depth > 1) { /* stores bfloat16 */
            io.c = NULL;
            io.store_c = save;
            io.store_context = &to;
        }
        for (int64_t p = 0; p < g.panels; p++)
            nni_gemm_pack(&g, &how, packed, p);
        for (int64_t t = 0; t < nni_gemm_tiles(&g); t++)
            nni_gemm_tile(&g, &io, packed, t, lane);
        check(c, a, b, M, N, k, k, 1, N, 1, 0, op_test_isa(isa));
        release_guarded(c, M * N, "result");
        nni_free(a);
        nni_free(w);
        nni_free(b);
        nni_free(packed);
        nni_free(lane);
        nn_close(device);
    }
}
END_TEST

static void transposed(const struct nni_gemm_kernels *kernels, nni_gemm_tn g, int add, const char *what)
{
    int64_t rows = g.rows, o = g.o, i = g.i;
    nn_real *y = integers(rows, o, 5), *x = integers(rows, i, 6), *c = guarded(o * i);
    nn_real *lane = guarded((int64_t)(g.lane_bytes / sizeof *lane));
    nn_real *scratch = guarded((int64_t)(g.scratch_bytes / sizeof *scratch));
    struct matrix my = { .at = y, .cols = o }, mx = { .at = x, .cols = i };
    nni_gemm_tn_io io = { .load_y = load, .y_context = &my, .load_x = load, .x_context = &mx };

    (void)kernels;
    for (int64_t j = 0; add && j < o * i; j++)
        c[j] = 3;
    for (int64_t t = g.tiles; t-- > 0;)
        nni_gemm_tn_tile(&g, &io, c, add, scratch, t, lane);
    for (int64_t t = g.merge_tiles; t-- > 0;)
        nni_gemm_tn_merge(&g, c, add, scratch, t);
    check(c, y, x, o, i, rows, 1, o, i, 1, add ? 3 : 0, what);
    release_guarded(c, o * i, "result");
    release_guarded(lane, (int64_t)(g.lane_bytes / sizeof *lane), "lane");
    release_guarded(scratch, (int64_t)(g.scratch_bytes / sizeof *scratch), "scratch");
    nni_free(y);
    nni_free(x);
}

START_TEST(weight_gradients)
{
    static const int64_t forced[][6] = {
        /* rows, o, i, splits, o tiles, i tiles */
        { 700, 50, 60, 3, 2, 2 }, { 1000, 9, 7, 16, 1, 1 },  { 64, 129, 200, 1, 3, 4 },
        { 3, 5, 9, 3, 1, 1 },     { 1200, 97, 49, 2, 2, 1 },
    };
    nn_device *device;

    for (int isa = 0; op_test_isa(isa); isa++) {
        const struct nni_gemm_kernels *kernels = kernels_of(isa, &device)->plain;

        for (size_t q = 0; q < sizeof sizes / sizeof *sizes; q++)
            for (int add = 0; add < 2; add++)
                transposed(kernels,
                           nni_gemm_tn_of(kernels, sizes[q][0], sizes[q][1], sizes[q][2], 4, add ? 30 : 4),
                           add, op_test_isa(isa));
        for (size_t q = 0; q < sizeof forced / sizeof *forced; q++)
            for (int add = 0; add < 2; add++)
                transposed(kernels,
                           nni_gemm_tn_with(kernels, forced[q][0], forced[q][1], forced[q][2], forced[q][3],
                                            forced[q][4], forced[q][5]),
                           add, op_test_isa(isa));
        nn_close(device);
    }
}
END_TEST

struct exchanged {
    struct matrix s, a;
};

static void exchange(const void *context, int64_t row_tile, int64_t row0, int64_t rows, int64_t col0,
                     int64_t cols, const nn_real *s, int64_t lds, nn_real *a, int64_t lda)
{
    const struct exchanged *e = context;

    (void)row_tile;
    if (s)
        save(&e->s, row0, rows, col0, cols, s, lds);
    if (a)
        load(&e->a, row0, rows, col0, cols, a, lda);
}

/* Both products or one of them, G as it lies, loaded or staged, C written or added to. */
static void paired(nni_gemm_pair g, int loaded, int add, const char *what)
{
    int64_t rows = g.rows, o = g.o, i = g.i;
    nn_real *y = integers(rows, o, 5), *w = integers(o, i, 7), *a = integers(rows, i, 6);
    nn_real *c = guarded(o * i), *s = guarded(rows * i);
    nn_real *lane = guarded((int64_t)(g.lane_bytes / sizeof *lane));
    nn_real *scratch = guarded((int64_t)(g.scratch_bytes / sizeof *scratch));
    nn_real *stage = guarded((int64_t)(g.stage_bytes / sizeof *stage));
    struct matrix from = { .at = y, .cols = o, .depth = g.kernels->depth };
    struct exchanged e = { .s = { .to = s, .cols = i }, .a = { .at = a, .cols = i, .depth = from.depth } };
    nni_gemm_pair_io io = {
        .load_g = load, .load_context = &from, .w = w, .exchange = exchange, .context = &e
    };

    for (int64_t j = 0; add && j < o * i; j++)
        c[j] = 3;
    for (int64_t t = g.stage_tiles; t-- > 0;)
        nni_gemm_pair_stage(&g, &io, stage, t);
    if (g.stage_tiles || !loaded) {
        io.g = g.stage_tiles ? stage : y;
        io.ldg = g.stage_tiles ? g.ld : o;
    }
    for (int64_t t = nni_gemm_pair_tiles(&g); t-- > 0;)
        nni_gemm_pair_tile(&g, &io, c, add, scratch, t, lane);
    for (int64_t t = g.merge_tiles; t-- > 0;)
        nni_gemm_pair_merge(&g, c, add, scratch, t);
    if (g.want_s)
        check(s, y, w, rows, i, o, o, 1, i, 1, 0, what);
    if (g.want_c)
        check(c, y, a, o, i, rows, 1, o, i, 1, add ? 3 : 0, what);
    release_guarded(c, o * i, "result");
    release_guarded(s, rows * i, "result");
    release_guarded(lane, (int64_t)(g.lane_bytes / sizeof *lane), "lane");
    release_guarded(scratch, (int64_t)(g.scratch_bytes / sizeof *scratch), "scratch");
    release_guarded(stage, (int64_t)(g.stage_bytes / sizeof *stage), "stage");
    nni_free(y);
    nni_free(w);
    nni_free(a);
}

START_TEST(pairs)
{
    static const int64_t divisions[][2] = { { 0, 0 }, { 1, 1 }, { 3, 1 }, { 1, 2 }, { 4, 3 } };
    nn_device *device;

    for (int isa = 0; op_test_isa(isa); isa++) {
        const struct nni_gemm_kernels *kernels = kernels_of(isa, &device);

        for (size_t q = 0; q < sizeof sizes / sizeof *sizes; q++)
            for (size_t d = 0; d < sizeof divisions / sizeof *divisions; d++)
                for (int loaded = kernels->depth > 1; loaded < 2; loaded++) { /* words: not as it lies */
                    int add = (int)(q + d / 2) & 1, want = (int)((q + d) % 3);
                    int64_t most = kernels->units * NNI_GEMM_UNIT, panels = (sizes[q][1] + most - 1) / most;

                    if (divisions[d][1] > panels)
                        continue;
                    paired(nni_gemm_pair_of(kernels, sizes[q][0], sizes[q][2], sizes[q][1],
                                            loaded ? NNI_LOAD_COPY : NNI_LOAD_NONE, want != 1, want != 2,
                                            divisions[d][0], divisions[d][1]),
                           loaded, add, op_test_isa(isa));
                }
        nn_close(device);
    }
}
END_TEST

/* What the shapes of B6 are divided into: enough tiles for 16 threads where there is work for them, and
 * scratch within bounds. */
START_TEST(divisions)
{
    static const int64_t b6[][3] = {
        { 25088, 40, 240 }, { 25088, 240, 40 },  { 6272, 72, 432 },   { 6272, 432, 72 },  { 1568, 144, 864 },
        { 1568, 864, 144 }, { 1568, 200, 1200 }, { 1568, 1200, 200 }, { 392, 344, 2064 }, { 392, 2064, 344 },
        { 392, 576, 3456 }, { 392, 3456, 576 },  { 49, 3456, 576 },   { 49, 576, 3456 },
    };
    nn_device *device;

    for (int isa = 0; op_test_isa(isa); isa++) {
        const struct nni_gemm_kernels *kernels = kernels_of(isa, &device);

        for (size_t q = 0; q < sizeof b6 / sizeof *b6; q++) {
            for (int load_kind = 0; load_kind < 3; load_kind++) {
                nni_gemm g = nni_gemm_of(kernels, b6[q][0], b6[q][1], b6[q][2], load_kind);

                ck_assert_int_ge(nni_gemm_tiles(&g), kernels->units == 16 ? 4 : 12);
                ck_assert_uint_le(g.lane_bytes, 2 << 20);
            }
            for (int load_kind = 0; load_kind < 2; load_kind++) {
                nni_gemm_pair g =
                    nni_gemm_pair_of(kernels, b6[q][0], b6[q][2], b6[q][1], load_kind, 1, 1, 0, 0);

                ck_assert_int_ge(nni_gemm_pair_tiles(&g), kernels->units == 16 ? 4 : 12);
                ck_assert_uint_le(g.scratch_bytes, 32 << 20);
                ck_assert_uint_le(g.lane_bytes, 4 << 20);
            }
            for (int cost = 4; cost <= 30; cost += 26) {
                nni_gemm_tn g = nni_gemm_tn_of(kernels, b6[q][0], b6[q][2], b6[q][1], 4, cost);

                ck_assert_int_ge(g.tiles, 12);
                ck_assert_uint_le(g.scratch_bytes, 32 << 20);
                ck_assert_uint_le(g.lane_bytes, 2 << 20);
            }
        }
        nn_close(device);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm");
    TCase *t = tcase_create("gemm");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, products);
    tcase_add_loop_test(t, nested_rows_of_b, 0, 2);
    tcase_add_test(t, weight_gradients);
    tcase_add_test(t, pairs);
    tcase_add_test(t, divisions);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
