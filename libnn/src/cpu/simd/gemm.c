/* SPDX-License-Identifier: MIT
 *
 * Register blocks of the matrix products, and the prologues and epilogues around them.
 *
 * A block keeps 8 x 48 results (AVX-512; 6 x 16 with AVX2) in registers over the whole of k: each
 * step loads one row of B's panel and broadcasts one column of A, 24 multiply-adds to 11 loads.
 * Panels may be any multiple of 8 columns wide, with a half vector at the end: the channel counts
 * of EfficientNet (40, 56, 72, 200, 344) are multiples of 8 but not of 16. The halves of two rows
 * share a vector, so that no multiply-add is wasted. A is read through pointers to its rows where it lies,
 * so neither an operand without a prologue nor the pixels under the taps of a convolution are copied.
 *
 * The error of a sum in float grows with the root of the number of its terms, and on the way to the gradients
 * of the first layers a network amplifies the errors of its activations hundreds of times. So products for
 * activations and their gradients are summed in pieces of k, one after the other added to C, which is in the
 * first-level cache then: of n pieces of n terms the error grows with the fourth root of their number. Weight
 * gradients do without, for nothing is computed from them, and so do activations in bfloat16, which round far
 * more than sums do.
 *
 * With pairs of bfloat16 (AVX512_BF16) the same blocks work on words of two: only the multiply-add, the
 * packing and the conversion of what was loaded differ.
 *
 * The portable set hands its blocks to OpenBLAS (one thread): it is the path of machines without
 * AVX2 and of the double variant, and the oracle for the others.
 */
#include "cpu/gemm.h"

#include "cpu/simd/vec.h"

#if VEC_SIZE > 16
#define OWN_BLOCKS 1
#else
#define OWN_BLOCKS 0
#include <cblas.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define ALWAYS __attribute__((always_inline)) inline

enum { UNIT = NNI_GEMM_UNIT };

/* Products of pairs of bfloat16, see nni_gemm_kernels.depth. */
#if defined(NNI_BF16) && defined(__AVX512BF16__)
#define PAIRS 1
#else
#define PAIRS 0
#endif

#if OWN_BLOCKS
/* ------------------------------------------------------------ register blocks */

#if VEC_SIZE == 64
enum { ROWS = 8, UNITS = 6, BLOCK = 48 };
#define FOR_ROWS(X) X(8) X(4) X(2) X(1)
#define FOR_UNITS(X, r) X(r, 1) X(r, 2) X(r, 3) X(r, 4) X(r, 5) X(r, 6)
#else
enum { ROWS = 6, UNITS = 2, BLOCK = 96 };
#define FOR_ROWS(X) X(6) X(4) X(2) X(1)
#define FOR_UNITS(X, r) X(r, 1) X(r, 2)
#endif
enum {
    WIDE = UNITS * UNIT / VEC, /* vectors of the widest panel */
    LINE = 64 / (int)sizeof(nn_real),
    DEPTH = 384 /* of k, at most, in one go */
};

typedef nn_real hvec __attribute__((vector_size(VEC_SIZE / 2)));
typedef nn_real hvec_unaligned __attribute__((vector_size(VEC_SIZE / 2), aligned(4), may_alias));

static ALWAYS hvec hload(const nn_real *p) { return *(const hvec_unaligned *)p; }
static ALWAYS void hstore(nn_real *p, hvec x) { *(hvec_unaligned *)p = x; }
static ALWAYS hvec lower(vec x)
{
#if VEC_SIZE == 64
    return (hvec)_mm512_castps512_ps256((__m512)x);
#else
    return (hvec)_mm256_castps256_ps128((__m256)x);
#endif
}
static ALWAYS hvec upper(vec x)
{
#if VEC_SIZE == 64
    return (hvec)_mm512_extractf32x8_ps((__m512)x, 1);
#else
    return (hvec)_mm256_extractf128_ps((__m256)x, 1);
#endif
}
/* The lower half of one vector and the upper one of another; half a vector, twice. */
static ALWAYS vec halves(vec low, vec high)
{
#if VEC_SIZE == 64
    return (vec)_mm512_mask_blend_ps(0xff00, (__m512)low, (__m512)high);
#else
    return (vec)_mm256_blend_ps((__m256)low, (__m256)high, 0xf0);
#endif
}
static ALWAYS vec twice(const nn_real *p)
{
#if VEC_SIZE == 64
    return (vec)_mm512_broadcast_f32x8((__m256)hload(p));
#else
    return (vec)_mm256_broadcast_ps((const __m128 *)(const void *)p);
#endif
}

/* sum + x*b, of words. */
static ALWAYS vec madd(vec sum, vec x, vec b)
{
#if PAIRS
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)b);
#else
    return sum + x * b;
#endif
}

/* The first operand of a block: row r at at + r*ld; or at row[r], with pointers to as many that come next
 * behind; or transposed, [k][ld]. */
enum { APART, POINTED, TRANSPOSED };
struct left {
    const nn_real *at;
    int64_t ld;
    const nn_real *const *row;
};

/* Writes the sum of the terms [p, end), or adds it to C. rows, units and how the operand lies are constants
 * at every call, here and below. Where a panel ends in half a vector, the half results of two rows share one.
 */
static ALWAYS void sum_block(const int rows, const int units, const int how, int64_t p, int64_t end,
                             struct left a, const nn_real *const *row, const nn_real *b, int64_t ldb,
                             nn_real *c, int64_t ldc, int add)
{
    const int full = units * UNIT / VEC, half = units * UNIT % VEC != 0;
    vec sum[ROWS][WIDE], bv[WIDE], hsum[(ROWS + 1) / 2], bh = vzero(), even = vzero();

    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int j = 0; j < full; j++)
            sum[r][j] = vzero();
        hsum[r / 2] = vzero();
    }
    for (; p < end; p++) {
        /* Rows are short and far apart, which hardware prefetchers do not follow: fetch those of the next
         * block. */
        if (how != TRANSPOSED && p % LINE == 0) {
            UNROLL
            for (int r = 0; r < rows; r++)
                __builtin_prefetch((how == POINTED ? a.row[rows + r] : row[r] + rows * a.ld) + p);
        }
        UNROLL
        for (int j = 0; j < full; j++)
            bv[j] = vload(b + j * VEC);
        if (half)
            bh = twice(b + full * VEC);
        UNROLL
        for (int r = 0; r < rows; r++) {
            vec x = vset(how == TRANSPOSED ? a.at[r] : row[r][p]);

            UNROLL
            for (int j = 0; j < full; j++)
                sum[r][j] = madd(sum[r][j], x, bv[j]);
            if (r % 2 == 0)
                even = x;
            if (half && (r % 2 || r + 1 == rows))
                hsum[r / 2] = madd(hsum[r / 2], halves(even, x), bh);
        }
        a.at += how == TRANSPOSED ? a.ld : 0;
        b += ldb;
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int j = 0; j < full; j++)
            vstore(c + r * ldc + j * VEC, add ? vload(c + r * ldc + j * VEC) + sum[r][j] : sum[r][j]);
        if (half) {
            hvec h = r % 2 ? upper(hsum[r / 2]) : lower(hsum[r / 2]);

            hstore(c + r * ldc + full * VEC, add ? hload(c + r * ldc + full * VEC) + h : h);
        }
    }
}

/* The same in pieces. */
static ALWAYS void register_block(const int rows, const int units, const int how, int64_t p, int64_t end,
                                  int64_t piece, struct left a, const nn_real *b, int64_t ldb, nn_real *c,
                                  int64_t ldc, int add)
{
    const nn_real *row[ROWS];

    UNROLL
    for (int r = 0; r < rows; r++) {
        row[r] = how == POINTED ? a.row[r] : how == APART ? a.at + r * a.ld : NULL;
        UNROLL
        for (int j = 0; j < units * UNIT; j += VEC)
            __builtin_prefetch(c + r * ldc + j, 1);
    }
    do {
        sum_block(rows, units, how, p, p + piece < end ? p + piece : end, a, row, b, ldb, c, ldc, add);
        p += piece;
        b += piece * ldb;
        add = 1;
    } while (p < end);
}

/* Of struct left by its members: a structure would go through memory. */
typedef void nn_block(int64_t p, int64_t end, int64_t piece, const nn_real *at, int64_t ld,
                      const nn_real *const *row, const nn_real *b, nn_real *c, int64_t ldc, int add);
typedef void tn_block(int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int64_t ldb, nn_real *c,
                      int64_t ldc, int add);

#define DEFINE_NN(name, how, r, u)                                                                           \
    static void name##_##r##_##u(int64_t p, int64_t end, int64_t piece, const nn_real *at, int64_t ld,       \
                                 const nn_real *const *row, const nn_real *b, nn_real *c, int64_t ldc,       \
                                 int add)                                                                    \
    {                                                                                                        \
        register_block(r, u, how, p, end, piece, (struct left){ at, ld, row }, b, u *UNIT, c, ldc, add);     \
    }
#define DEFINE(r, u)                                                                                         \
    DEFINE_NN(apart, APART, r, u)                                                                            \
    DEFINE_NN(pointed, POINTED, r, u)                                                                        \
    static void transposed_##r##_##u(int64_t k, const nn_real *a, int64_t lda, const nn_real *b,             \
                                     int64_t ldb, nn_real *c, int64_t ldc, int add)                          \
    {                                                                                                        \
        register_block(r, u, TRANSPOSED, 0, k, k, (struct left){ a, lda, NULL }, b, ldb, c, ldc, add);       \
    }
#define DEFINE_ROW(r) FOR_UNITS(DEFINE, r)
FOR_ROWS(DEFINE_ROW)

static const struct {
    int rows;
    nn_block *nn[2][UNITS]; /* APART and POINTED */
    tn_block *tn[UNITS];
} block_of[] = {
#define APART_ENTRY(r, u) apart_##r##_##u,
#define POINTED_ENTRY(r, u) pointed_##r##_##u,
#define TN_ENTRY(r, u) transposed_##r##_##u,
#define ENTRY(r)                                                                                             \
    { r, { { FOR_UNITS(APART_ENTRY, r) }, { FOR_UNITS(POINTED_ENTRY, r) } }, { FOR_UNITS(TN_ENTRY, r) } },
    FOR_ROWS(ENTRY)
};

/* Terms of a piece of a sum of k: about as many as there are pieces, so that neither a piece nor the sum of
 * them is long; but not less than a line, for each piece reads and writes C. */
static int64_t piece_of(int64_t k)
{
#ifdef NNI_BF16
    return k;
#else
    int64_t piece = LINE;

    while (2 * piece * piece <= k)
        piece *= 2;
    return piece;
#endif
}

/* Tap by tap, each in one pass or several, so that the part of B stays in the nearest caches for all rows. */
static ALWAYS void gemm_rows(const int how, int64_t m, int64_t taps, int64_t k, struct left a,
                             const nn_real *b, int units, nn_real *c, int64_t ldc)
{
    int64_t passes = (k + DEPTH - 1) / DEPTH, depth = passes ? (k + passes - 1) / passes : 0, p = 0;
    int64_t piece = piece_of(taps * k);

    depth = (depth + LINE - 1) / LINE * LINE;
    for (int64_t tap = 0; tap < taps; tap++, p = 0)
        do {
            int64_t end = p + depth < k ? p + depth : k, r = 0;

            for (int v = 0; r < m; v++)
                for (; m - r >= block_of[v].rows; r += block_of[v].rows)
                    block_of[v].nn[how][units - 1](p, end, piece, how == APART ? a.at + r * a.ld : NULL, a.ld,
                                                   how == POINTED ? a.row + tap * m + r : NULL, b,
                                                   c + r * ldc, ldc, tap + p > 0);
            b += (end - p) * units * UNIT;
            p = end;
        } while (p < k);
}

static void gemm_taps(int64_t m, int64_t taps, int64_t k, const nn_real *const *row, const nn_real *b,
                      int units, nn_real *c, int64_t ldc)
{
    gemm_rows(POINTED, m, taps, k, (struct left){ .row = row }, b, units, c, ldc);
}

static void gemm_nn(int64_t m, int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int units,
                    nn_real *c, int64_t ldc)
{
    gemm_rows(APART, m, 1, k, (struct left){ .at = a, .ld = lda }, b, units, c, ldc);
}

static void gemm_tn(int64_t m, int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int64_t ldb,
                    int units, nn_real *c, int64_t ldc, int64_t cols, int add)
{
    nn_real edge[ROWS * UNITS * UNIT];
    int64_t width = (int64_t)units * UNIT;

    for (int v = 0; m > 0; v++) {
        int64_t rows = block_of[v].rows;

        for (; m >= rows; m -= rows) {
            if (cols == width) {
                block_of[v].tn[units - 1](k, a, lda, b, ldb, c, ldc, add);
            } else {
                block_of[v].tn[units - 1](k, a, lda, b, ldb, edge, width, 0);
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t j = 0; j < cols; j++)
                        c[r * ldc + j] = (add ? c[r * ldc + j] : 0) + edge[r * width + j];
            }
            a += rows;
            c += rows * ldc;
        }
    }
}

#else
/* ------------------------------------------------------------------- OpenBLAS */

enum { ROWS = 8, UNITS = 16, BLOCK = 64 };

#ifdef NN_REAL_DOUBLE
#define blas_gemm cblas_dgemm
#else
#define blas_gemm cblas_sgemm
#endif

static void gemm_nn(int64_t m, int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int units,
                    nn_real *c, int64_t ldc)
{
    int width = units * UNIT;

    blas_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, width, (blasint)k, 1, a, (blasint)lda, b,
              width, 0, c, (blasint)ldc);
}

static void gemm_tn(int64_t m, int64_t k, const nn_real *a, int64_t lda, const nn_real *b, int64_t ldb,
                    int units, nn_real *c, int64_t ldc, int64_t cols, int add)
{
    (void)units;
    blas_gemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)cols, (blasint)k, 1, a,
              (blasint)lda, b, (blasint)ldb, add ? 1 : 0, c, (blasint)ldc);
}
#endif

/* -------------------------------------------------------------------- packing */

#if OWN_BLOCKS
enum { SIDE = 8 };
typedef nn_real side __attribute__((vector_size(32)));
typedef nn_real side_unaligned __attribute__((vector_size(32), aligned(4), may_alias));
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* Eight words of a row. */
static ALWAYS side row_of(const nn_real *from)
{
#if PAIRS
    return (side)vnarrow(vload(from));
#else
    return *(const side_unaligned *)from;
#endif
}

/* to[i][j] = word i of the row at from + j*stride, for i, j < 8. Rows are fetched before they are needed:
 * there are more of them than hardware prefetchers follow. */
static ALWAYS void transpose(side to[SIDE], const nn_real *from, int64_t stride)
{
    enum { AHEAD = 64 };
    side a[SIDE], b[SIDE];

    UNROLL
    for (int j = 0; j < SIDE; j++)
        __builtin_prefetch(from + j * stride + AHEAD);
    UNROLL
    for (int j = 0; j < SIDE; j++)
        a[j] = row_of(from + j * stride);
    UNROLL
    for (int j = 0; j < SIDE; j += 2) {
        b[j] = SHUFFLE(a[j], a[j + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[j + 1] = SHUFFLE(a[j], a[j + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL
    for (int j = 0; j < SIDE; j += 4) {
        UNROLL
        for (int i = 0; i < 2; i++) {
            a[j + 2 * i] = SHUFFLE(b[j + i], b[j + 2 + i], 0, 1, 8, 9, 4, 5, 12, 13);
            a[j + 2 * i + 1] = SHUFFLE(b[j + i], b[j + 2 + i], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        to[i] = SHUFFLE(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        to[i + 4] = SHUFFLE(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}
#endif

#if PAIRS
enum { WORD = 2 }; /* elements of k in a word */
typedef elem oper; /* element of an operand */

static ALWAYS vec words(vec low, vec high)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);

    return (vec)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
}

/* n (at most 2*VEC) elements of the rows at low and high as words; low alone is paired with zeros. */
static ALWAYS void pair_part(nn_real *to, const elem *low, const elem *high, int64_t n)
{
    const __mmask32 in = n < 2 * VEC ? (1u << n) - 1 : ~(__mmask32)0;
    const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39,
                                           7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    __m512i a = _mm512_maskz_loadu_epi16(in, low), b = _mm512_setzero_si512();

    if (high)
        b = _mm512_maskz_loadu_epi16(in, high);
    _mm512_mask_storeu_epi32(to, (__mmask16)in, _mm512_permutex2var_epi16(a, order, b));
    if (n > VEC)
        _mm512_mask_storeu_epi32(
            to + VEC, (__mmask16)(in >> VEC),
            _mm512_permutex2var_epi16(a, _mm512_add_epi16(order, _mm512_set1_epi16(VEC)), b));
}

static void pair(nn_real *to, int64_t ldt, const nn_real *from, int64_t ldf, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r += 2, to += ldt, from += 2 * ldf) {
        const elem *low = (const elem *)(const void *)from;
        const elem *high = r + 1 < rows ? (const elem *)(const void *)(from + ldf) : NULL;

        for (int64_t j = 0; j < cols; j += 2 * VEC)
            pair_part(to + j, low + j, high ? high + j : NULL, cols - j < 2 * VEC ? cols - j : 2 * VEC);
    }
}
#else
enum { WORD = 1 };
typedef nn_real oper;
#endif

/* The word of `count` elements that lie k_stride apart. */
static nn_real word_of(const nn_real *from, int64_t k_stride, int64_t count)
{
#if PAIRS
    vec low = vset(*from), high = count > 1 ? vset(from[k_stride]) : vzero();

    return words(low, high)[0];
#else
    (void)k_stride;
    (void)count;
    return *from;
#endif
}

/* A vector of them, of neighbouring columns. */
static ALWAYS vec word_vector(const nn_real *from, int64_t k_stride, int64_t count)
{
#if PAIRS
    return words(vload(from), count > 1 ? vload(from + k_stride) : vzero());
#else
    (void)k_stride;
    (void)count;
    return vload(from);
#endif
}

static void pack(nn_real *to, int64_t width, const nn_real *from, int64_t k_stride, int64_t n_stride,
                 int64_t k, int64_t cols)
{
    enum { SOON = 8 }; /* rows of words fetched before they are needed */
    int64_t whole_k = 0, whole_cols = 0;

    if (n_stride == 1) {
        for (int64_t p = 0; p * WORD < k; p++) {
            const nn_real *row = from + p * WORD * k_stride;
            int64_t j = 0;

            /* These rows, too, are short and far apart. */
            for (int i = 0; i < WORD; i++)
                for (int64_t c = 0; c < cols; c += 64 / (int)sizeof(nn_real))
                    __builtin_prefetch(row + (SOON * WORD + i) * k_stride + c);
            for (; j + VEC <= cols; j += VEC)
                vstore(to + p * width + j, word_vector(row + j, k_stride, k - p * WORD));
            for (; j < cols; j++)
                to[p * width + j] = word_of(row + j, k_stride, k - p * WORD);
            for (; j < width; j++)
                to[p * width + j] = 0;
        }
        return;
    }
#if OWN_BLOCKS
    if (k_stride == 1) {
        whole_k = k / (WORD * SIDE) * SIDE;
        whole_cols = cols / SIDE * SIDE;
        for (int64_t p = 0; p < whole_k; p += SIDE)
            for (int64_t j = 0; j < whole_cols; j += SIDE) {
                side turned[SIDE];

                transpose(turned, from + p * WORD + j * n_stride, n_stride);
                UNROLL
                for (int i = 0; i < SIDE; i++)
                    *(side_unaligned *)(to + (p + i) * width + j) = turned[i];
            }
    }
#endif
    for (int64_t p = 0; p * WORD < k; p++)
        for (int64_t j = p < whole_k ? whole_cols : 0; j < width; j++)
            to[p * width + j] =
                j < cols ? word_of(from + p * WORD * k_stride + j * n_stride, k_stride, k - p * WORD) : 0;
}

#if !PAIRS
static void pack_run(nn_real *to, int64_t width, const nn_real *from, int64_t n_stride, const int64_t *row,
                     int64_t count, int64_t cols)
{
    int64_t whole_cols = 0;

#if OWN_BLOCKS
    if (count >= SIDE)
        whole_cols = cols / SIDE * SIDE;
    for (int64_t i = 0; whole_cols && i < count; i += SIDE) {
        int64_t first = i + SIDE <= count ? i : count - SIDE;

        for (int64_t j = 0; j < whole_cols; j += SIDE) {
            side turned[SIDE];

            transpose(turned, from + first + j * n_stride, n_stride);
            UNROLL
            for (int r = 0; r < SIDE; r++)
                if (row[first + r] >= 0)
                    *(side_unaligned *)(to + row[first + r] * width + j) = turned[r];
        }
    }
#endif
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = whole_cols; row[i] >= 0 && j < width; j++)
            to[row[i] * width + j] = j < cols ? from[i + j * n_stride] : 0;
}
#endif

/* ------------------------------------------------- prologues and epilogues */

/* Rows handled together: channel vectors are loaded once for them, and they stay in cache. */
enum { GROUP = 16, SUM = 16 /* of them summed in nn_real */ };

/* Into an operand's rows, and the zero that completes the last word of a row. */
static ALWAYS void put_some(oper *p, vec x, int part)
{
#if PAIRS
    estore_some(p, x, part);
#else
    vstore_some(p, x, part);
#endif
}
static ALWAYS void complete_rows(oper *to, int64_t ld, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; cols % WORD && r < rows; r++)
        to[r * ld + cols] = 0;
}

/* act is a constant at every call. */
static ALWAYS void prologue_act(oper *dst, int64_t ldd, const elem *src, int64_t lds, int64_t rows,
                                int64_t cols, const struct nni_prologue *p, const int act)
{
    for (int64_t r0 = 0; r0 < rows; r0 += GROUP) {
        int64_t r1 = r0 + GROUP < rows ? r0 + GROUP : rows;

        for (int64_t j = 0; j < cols; j += VEC) {
            int part = vcount(j, cols);
            vec mean = vload_some(p->mean + j, part), scale = vload_some(p->scale + j, part);
            vec beta = p->beta ? vload_some(p->beta + j, part) : vzero();
            vec gate = p->gate ? vload_some(p->gate + j, part) : vset(1);

            for (int64_t r = r0; r < r1; r++) {
                vec z = (eload_some(src + r * lds + j, part) - mean) * scale + beta;

                __builtin_prefetch(src + (r + GROUP) * lds + j);
                put_some(dst + r * ldd + j, vact(act, z) * gate, part);
            }
        }
    }
}

static void prologue(nn_real *operand, int64_t ld, const void *from, int64_t lds, int64_t rows, int64_t cols,
                     const struct nni_prologue *p)
{
    const elem *src = from;
    oper *dst = (oper *)(void *)operand;
    int64_t ldd = ld * WORD;

    complete_rows(dst, ldd, rows, cols);
    if (p->mean) {
        switch (p->act) {
        case NN_ACT_NONE: prologue_act(dst, ldd, src, lds, rows, cols, p, NN_ACT_NONE); break;
        case NN_ACT_SILU: prologue_act(dst, ldd, src, lds, rows, cols, p, NN_ACT_SILU); break;
        default: prologue_act(dst, ldd, src, lds, rows, cols, p, p->act); break;
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j += VEC) {
            int part = vcount(j, cols);
            vec x = eload_some(src + r * lds + j, part);

            __builtin_prefetch(src + (r + GROUP) * lds + j);
            put_some(dst + r * ldd + j, p->gate ? x * vload_some(p->gate + j, part) : x, part);
        }
}

/* to[j...] += x, the sum of a few rows. */
static ALWAYS void add_sum(double *to, vec x, int part)
{
    nn_real term[VEC];

    vstore(term, x);
    if (part < VEC)
        for (int i = 0; i < part; i++)
            to[i] += (double)term[i];
    else
        for (int i = 0; i < VEC; i++)
            to[i] += (double)term[i];
}

static ALWAYS void prologue_back_act(elem *dx, int64_t ldx, const nn_real *ds, int64_t lds, const elem *x,
                                     int64_t ldsx, int64_t rows, int64_t cols, const struct nni_prologue *p,
                                     const struct nni_prologue_sums *sums, int add, oper *again, int64_t lda,
                                     const int act)
{
    for (int64_t j = 0; j < cols; j += VEC) {
        int part = vcount(j, cols);
        vec mean = vload_some(p->mean + j, part), scale = vload_some(p->scale + j, part);
        vec beta = p->beta ? vload_some(p->beta + j, part) : vzero();
        vec gate = p->gate ? vload_some(p->gate + j, part) : vset(1);

        for (int64_t r0 = 0; r0 < rows; r0 += SUM) {
            int64_t r1 = r0 + SUM < rows ? r0 + SUM : rows;
            vec sum_scale = vzero(), sum_beta = vzero(), sum_gate = vzero();

            for (int64_t r = r0; r < r1; r++) {
                vec d = eload_some(x + r * ldsx + j, part) - mean, z = d * scale + beta;
                vec g = vload_some(ds + r * lds + j, part), a, slope;

                a = vact_slope(act, z, &slope);
                sum_gate += a * g;
                if (again)
                    put_some(again + r * lda + j, a * gate, part);
                g = g * gate * slope;
                sum_beta += g;
                sum_scale += g * d;
                if (dx) {
                    g = g * scale;
                    estore_some(dx + r * ldx + j, add ? eload_some(dx + r * ldx + j, part) + g : g, part);
                }
            }
            if (sums->scale) {
                add_sum(sums->scale + j, sum_scale, part);
                add_sum(sums->beta + j, sum_beta, part);
            }
            if (sums->gate)
                add_sum(sums->gate + j, sum_gate, part);
        }
    }
}

static void prologue_back(void *to, int64_t ldx, const nn_real *ds, int64_t lds, const void *of, int64_t ldsx,
                          int64_t rows, int64_t cols, const struct nni_prologue *p,
                          const struct nni_prologue_sums *sums, int add, nn_real *operand, int64_t ld)
{
    elem *dx = to;
    const elem *x = of;
    oper *a = (oper *)(void *)operand;
    int64_t lda = ld * WORD;

    if (a)
        complete_rows(a, lda, rows, cols);
    if (p->mean) {
        switch (p->act) {
        case NN_ACT_NONE:
            prologue_back_act(dx, ldx, ds, lds, x, ldsx, rows, cols, p, sums, add, a, lda, NN_ACT_NONE);
            break;
        case NN_ACT_SILU:
            prologue_back_act(dx, ldx, ds, lds, x, ldsx, rows, cols, p, sums, add, a, lda, NN_ACT_SILU);
            break;
        default:
            prologue_back_act(dx, ldx, ds, lds, x, ldsx, rows, cols, p, sums, add, a, lda, p->act);
            break;
        }
        return;
    }
    for (int64_t j = 0; j < cols; j += VEC) {
        int part = vcount(j, cols);
        vec gate = p->gate ? vload_some(p->gate + j, part) : vset(1), sum = vzero();

        for (int64_t r = 0; r < rows; r++) {
            vec g = vload_some(ds + r * lds + j, part), v = eload_some(x + r * ldsx + j, part);

            sum += v * g;
            if (a)
                put_some(a + r * lda + j, v * gate, part);
            if (dx) {
                g = g * gate;
                estore_some(dx + r * ldx + j, add ? eload_some(dx + r * ldx + j, part) + g : g, part);
            }
        }
        if (sums->gate)
            add_sum(sums->gate + j, sum, part);
    }
}

/* Two rows at a time from end to end, as they lie in memory: it is the speed of that which counts here. dy
 * and dvar (whether there is one) are constants at every call. */
static ALWAYS void gradient_rows(oper *dst, int64_t ldd, const elem *dy, const elem *y, int64_t ldy,
                                 const int rows, int64_t cols, const struct nni_moment_grad *m)
{
    enum { AHEAD = 1024 };
    const nn_real inverse = m->rows ? 1 / (nn_real)m->rows : 0;

    for (int64_t j = 0; j < cols; j += VEC) {
        int part = vcount(j, cols);
        vec shift = vzero(), slope = vzero(), mean = vzero();

        if (m->dmean)
            shift = vload_some(m->dmean + j, part) * vset(inverse);
        if (y) {
            slope = vload_some(m->dvar + j, part) * vset(2 * inverse);
            mean = vload_some(m->mean + j, part);
        }
        UNROLL
        for (int r = 0; r < rows; r++) {
            vec g = shift;

            if (dy) {
                g += eload_some(dy + r * ldy + j, part);
                __builtin_prefetch(dy + r * ldy + j + AHEAD);
            }
            if (y) {
                g += slope * (eload_some(y + r * ldy + j, part) - mean);
                __builtin_prefetch(y + r * ldy + j + AHEAD);
            }
            put_some(dst + r * ldd + j, g, part);
        }
    }
}

static void gradient(nn_real *operand, int64_t ld, const void *from, int64_t ldy, int64_t rows, int64_t cols,
                     const struct nni_moment_grad *m)
{
    const elem *dy = from, *y = m->dvar ? m->y : NULL;
    oper *dst = (oper *)(void *)operand;
    int64_t r = 0, ldd = ld * WORD;

    complete_rows(dst, ldd, rows, cols);
    if (dy && y)
        for (; r + 2 <= rows; r += 2)
            gradient_rows(dst + r * ldd, ldd, dy + r * ldy, y + r * ldy, ldy, 2, cols, m);
    for (; r < rows; r++)
        gradient_rows(dst + r * ldd, ldd, dy ? dy + r * ldy : NULL, y ? y + r * ldy : NULL, ldy, 1, cols, m);
}

static void store(void *to, int64_t ldd, const nn_real *tile, int64_t ldt, int64_t rows, int64_t cols,
                  const nn_real *bias, int add)
{
    elem *dst = to;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j += VEC) {
            int part = vcount(j, cols);
            vec x = vload_some(tile + r * ldt + j, part);

            if (bias)
                x += vload_some(bias + j, part);
            if (add)
                x += eload_some(dst + r * ldd + j, part);
            estore_some(dst + r * ldd + j, x, part);
        }
}

/* Chan, Golub, LeVeque 1979: the means and second moments of two sets of `na` and `nb` rows. */
static ALWAYS void chan(int64_t na, int64_t nb, vec *mean_a, vec *m2_a, vec mean_b, vec m2_b)
{
    nn_real share = (nn_real)nb / (nn_real)(na + nb);
    vec d = mean_b - *mean_a;

    *mean_a += d * vset(share);
    *m2_a += m2_b + d * d * vset(share * (nn_real)na);
}

static void moments(const nn_real *tile, int64_t ldt, int64_t rows, int64_t cols, int64_t before,
                    nn_real *mean, nn_real *m2)
{
    nn_real inverse = 1 / (nn_real)rows;

    for (int64_t j = 0; j < cols; j += VEC) {
        int part = vcount(j, cols);
        vec sum[2] = { vzero(), vzero() }, square[2] = { vzero(), vzero() }, all_mean, all_m2, d;
        int64_t r;

        for (r = 0; r + 1 < rows; r += 2) {
            sum[0] += vload_some(tile + r * ldt + j, part);
            sum[1] += vload_some(tile + (r + 1) * ldt + j, part);
        }
        if (r < rows)
            sum[0] += vload_some(tile + r * ldt + j, part);
        sum[0] = (sum[0] + sum[1]) * vset(inverse);
        for (r = 0; r + 1 < rows; r += 2) {
            d = vload_some(tile + r * ldt + j, part) - sum[0];
            square[0] += d * d;
            d = vload_some(tile + (r + 1) * ldt + j, part) - sum[0];
            square[1] += d * d;
        }
        if (r < rows) {
            d = vload_some(tile + r * ldt + j, part) - sum[0];
            square[0] += d * d;
        }
        all_mean = before ? vload_some(mean + j, part) : vzero();
        all_m2 = before ? vload_some(m2 + j, part) : vzero();
        chan(before, rows, &all_mean, &all_m2, sum[0], square[0] + square[1]);
        vstore_some(mean + j, all_mean, part);
        vstore_some(m2 + j, all_m2, part);
    }
}

static void moments_merge(const nn_real *mean, const nn_real *m2, int64_t ld, int64_t rows, int64_t size,
                          int64_t cols, nn_real *mean_out, nn_real *var_out)
{
    for (int64_t j = 0; j < cols; j += VEC) {
        int part = vcount(j, cols);
        vec all_mean = vload_some(mean + j, part), all_m2 = vload_some(m2 + j, part);
        int64_t t = 1;

        for (int64_t done = size; done < rows; done += size, t++)
            chan(done, rows - done < size ? rows - done : size, &all_mean, &all_m2,
                 vload_some(mean + t * ld + j, part), vload_some(m2 + t * ld + j, part));
        if (mean_out)
            vstore_some(mean_out + j, all_mean, part);
        if (var_out)
            vstore_some(var_out + j, all_m2 * vset(1 / (nn_real)rows), part);
    }
}

static void column_sums(nn_real *dst, const nn_real *src, int64_t ld, int64_t rows, int64_t cols,
                        const nn_real *factor, int add)
{
    for (int64_t j = 0; j < cols; j += VEC) {
        int part = vcount(j, cols);
        vec sum = vzero(), lost = vzero();

        /* Compensated: there can be hundreds of partial sums, of either sign. */
        for (int64_t r = 0; r < rows; r++) {
            vec next = vload_some(src + r * ld + j, part) - lost, total = sum + next;

            lost = (total - sum) - next;
            sum = total;
        }
        if (factor)
            sum *= vload_some(factor + j, part);
        vstore_some(dst + j, add ? vload_some(dst + j, part) + sum : sum, part);
    }
}

const struct nni_gemm_kernels NNI_NAME(nni_gemm) = {
    .depth = WORD,
    .rows = ROWS,
    .units = UNITS,
    .quantum = (int)VEC > (int)UNIT ? (int)VEC / (int)UNIT : 1,
    .block = BLOCK,
    .nn = gemm_nn,
#if OWN_BLOCKS
    .taps = gemm_taps,
#endif
    .tn = gemm_tn,
#if PAIRS
    .pair = pair,
    .plain = &nni_gemm_bf16_avx512,
#else
    .plain = &NNI_NAME(nni_gemm),
    .pack_run = pack_run,
#endif
    .pack = pack,
    .prologue = prologue,
    .prologue_back = prologue_back,
    .gradient = gradient,
    .store = store,
    .moments = moments,
    .moments_merge = moments_merge,
    .column_sums = column_sums,
};
