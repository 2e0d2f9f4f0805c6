/* SPDX-License-Identifier: MIT
 *
 * One vector type for all instruction sets. The files of this folder are compiled once for each of
 * them with NNI_ISA set (portable, avx2, avx512); they are written on `vec`, which holds VEC
 * elements of nn_real, with the compilers' vector arithmetic: a*b+c contracts to a fused multiply-add
 * where the instruction set has one. Only what the compilers cannot express well uses intrinsics.
 *
 * Activations have a type of their own, `elem`. The files are compiled a second time with NNI_BF16 set, and
 * then it is bfloat16: loads widen and stores round (to nearest even, a NaN stays one), arithmetic and
 * everything that is no activation remain nn_real. So there is one source for both kinds of storage.
 *
 * A lane's result never depends on the other lanes, so a tail done with vload_part gives the same
 * bits as the full vector would.
 */
#ifndef NNI_VEC_H
#define NNI_VEC_H

#include <nn/op.h>

#include "base/isa.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { VEC_BYTES = 64 };
#define VEC_SIZE 64
#elif defined(__AVX2__)
enum { VEC_BYTES = 32 };
#define VEC_SIZE 32
#else
enum { VEC_BYTES = 16 };
#define VEC_SIZE 16
#endif
enum { VEC = VEC_BYTES / (int)sizeof(nn_real) };

typedef nn_real vec __attribute__((vector_size(VEC_SIZE)));
typedef nn_real vec_unaligned __attribute__((vector_size(VEC_SIZE), aligned(4), may_alias));
#ifdef NN_REAL_DOUBLE
typedef int64_t ivec __attribute__((vector_size(VEC_SIZE)));
#else
typedef int32_t ivec __attribute__((vector_size(VEC_SIZE)));
#endif

static inline vec vload(const nn_real *p) { return *(const vec_unaligned *)p; }
static inline void vstore(nn_real *p, vec x) { *(vec_unaligned *)p = x; }
static inline vec vset(nn_real a) { return a - (vec){ 0 }; }
static inline vec vzero(void) { return (vec){ 0 }; }

/* n is below VEC, which the compiler cannot see and warns about. */
static inline size_t part_bytes(int n, size_t size) { return (size_t)(n < VEC ? n : VEC) * size; }

/* The first n (0 < n < VEC) elements; the others are zero, or left alone. */
static inline vec vload_part(const nn_real *p, int n)
{
#if defined(__AVX512F__) && !defined(NN_REAL_DOUBLE)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#else
    vec x = { 0 };

    memcpy(&x, p, part_bytes(n, sizeof *p));
    return x;
#endif
}

static inline void vstore_part(nn_real *p, vec x, int n)
{
#if defined(__AVX512F__) && !defined(NN_REAL_DOUBLE)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)x);
#else
    memcpy(p, &x, part_bytes(n, sizeof *p));
#endif
}

/* Past the caches to memory, where the instruction set can; p is on a boundary of VEC_BYTES. Other threads
 * see it after vstreamed(). */
static inline void vstream(nn_real *p, vec x)
{
#if defined(NN_REAL_DOUBLE) || !defined(__AVX2__)
    vstore(p, x);
#elif defined(__AVX512F__)
    _mm512_stream_ps(p, (__m512)x);
#else
    _mm256_stream_ps(p, (__m256)x);
#endif
}

static inline void vstreamed(void)
{
#ifdef __AVX2__
    _mm_sfence();
#endif
}

/* ---- activations ---- */

#ifdef NNI_BF16
typedef uint16_t elem;
typedef uint32_t uvec __attribute__((vector_size(VEC_SIZE)));
typedef uint16_t evec __attribute__((vector_size(VEC_SIZE / 2)));
typedef uint16_t evec_unaligned __attribute__((vector_size(VEC_SIZE / 2), aligned(2), may_alias));

static inline vec vwiden(evec x)
{
#ifdef __AVX512F__
    /* One instruction, of which gcc 12 makes three. */
    return (vec)((uvec)_mm512_cvtepu16_epi32((__m256i)x) << 16);
#else
    return (vec)(__builtin_convertvector(x, uvec) << 16);
#endif
}

static inline evec vnarrow(vec x)
{
#ifdef __AVX512BF16__
    return (evec)_mm512_cvtneps_pbh((__m512)x);
#else
    uvec u = (uvec)x, nan = (uvec)(x != x);
    uvec rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;

    return __builtin_convertvector((rounded & ~nan) | (quiet & nan), evec);
#endif
}

static inline vec eload(const elem *p) { return vwiden(*(const evec_unaligned *)p); }
static inline void estore(elem *p, vec x) { *(evec_unaligned *)p = vnarrow(x); }
static inline vec eload_part(const elem *p, int n)
{
#ifdef __AVX512F__
    return vwiden((evec)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p));
#else
    evec x = { 0 };

    memcpy(&x, p, part_bytes(n, sizeof *p));
    return vwiden(x);
#endif
}
static inline void estore_part(elem *p, vec x, int n)
{
    evec y = vnarrow(x);

#ifdef __AVX512F__
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), (__m256i)y);
#else
    memcpy(p, &y, part_bytes(n, sizeof *p));
#endif
}
/* One element in all lanes. */
static inline vec eset(const elem *p) { return (vec)((uint32_t)*p << 16 | (uvec){ 0 }); }
#else
typedef nn_real elem;

static inline vec eload(const elem *p) { return vload(p); }
static inline void estore(elem *p, vec x) { vstore(p, x); }
static inline vec eload_part(const elem *p, int n) { return vload_part(p, n); }
static inline void estore_part(elem *p, vec x, int n) { vstore_part(p, x, n); }
static inline vec eset(const elem *p) { return vset(*p); }
#endif

/* ---- whole vectors and the last, shorter one ---- */

#define VEC_SOME static inline __attribute__((always_inline))

/* Elements of the vector at `i` of `count`: VEC of them, or what is left. */
VEC_SOME int vcount(int64_t i, int64_t count) { return count - i < VEC ? (int)(count - i) : VEC; }

/* n is VEC or less, and best a constant where it is VEC. */
VEC_SOME vec vload_some(const nn_real *p, int n) { return n == VEC ? vload(p) : vload_part(p, n); }
VEC_SOME void vstore_some(nn_real *p, vec x, int n)
{
    if (n == VEC)
        vstore(p, x);
    else
        vstore_part(p, x, n);
}
VEC_SOME vec eload_some(const elem *p, int n) { return n == VEC ? eload(p) : eload_part(p, n); }
VEC_SOME void estore_some(elem *p, vec x, int n)
{
    if (n == VEC)
        estore(p, x);
    else
        estore_part(p, x, n);
}

/* a > b ? a : b; b when they are unordered, so a NaN in b comes through. */
static inline vec vmax(vec a, vec b)
{
#if defined(NN_REAL_DOUBLE) || !defined(__AVX2__)
    ivec m = a > b;

    return (vec)(((ivec)a & m) | ((ivec)b & ~m));
#elif defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#endif
}

static inline vec vmin(vec a, vec b)
{
#if defined(NN_REAL_DOUBLE) || !defined(__AVX2__)
    ivec m = a < b;

    return (vec)(((ivec)a & m) | ((ivec)b & ~m));
#elif defined(__AVX512F__)
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
#else
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#endif
}

/* x where the mask of a comparison is set, else 0. */
static inline vec vand(ivec mask, vec x) { return (vec)(mask & (ivec)x); }

/* Sum and largest of the lanes, in a fixed order: halves are joined, so that few operations wait for each
 * other. Compilers make a loop through memory of a loop over halves. */
#if defined(__AVX2__) && !defined(NN_REAL_DOUBLE)
#ifdef __AVX512F__
#define JOIN_HALVES(x, op)                                                                                   \
    _mm256_##op##_ps(_mm512_castps512_ps256((__m512)(x)), _mm512_extractf32x8_ps((__m512)(x), 1))
#else
#define JOIN_HALVES(x, op) ((__m256)(x))
#endif
#define DEFINE_JOIN(name, op)                                                                                \
    static inline nn_real name(vec x)                                                                        \
    {                                                                                                        \
        __m256 h = JOIN_HALVES(x, op);                                                                       \
        __m128 q = _mm_##op##_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));                    \
                                                                                                             \
        q = _mm_##op##_ps(q, _mm_movehl_ps(q, q));                                                           \
        return _mm_cvtss_f32(_mm_##op##_ps(q, _mm_movehdup_ps(q)));                                          \
    }
DEFINE_JOIN(vsum, add)
DEFINE_JOIN(vlargest, max)
#else
static inline nn_real vsum(vec x)
{
    for (int half = VEC / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}
static inline nn_real vlargest(vec x)
{
    for (int i = 1; i < VEC; i++)
        x[0] = x[i] > x[0] ? x[i] : x[0];
    return x[0];
}
#endif

#if defined(__AVX512F__) && !defined(NN_REAL_DOUBLE)
/* exp(x) for finite x: 2^n p(f) with n + f = x*log2(e), the product kept to twice the precision, and a
 * minimax polynomial for 2^f on [-1/2,1/2] (relative error 1.6e-8). Overflows and underflows by itself. */
static inline vec vexp_finite(vec x)
{
    const vec high = vset(1.442695021629f), low = vset(1.925963033500e-8f); /* log2(e) */
    vec n = (vec)_mm512_roundscale_ps((__m512)(x * high), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    vec f = x * low + (vec)_mm512_fmsub_ps((__m512)x, (__m512)high, (__m512)n), p;

    p = f * vset(1.5353361960e-4f) + vset(1.3398875017e-3f);
    p = p * f + vset(9.6184369177e-3f);
    p = p * f + vset(5.5503323674e-2f);
    p = p * f + vset(2.4022647738e-1f);
    p = p * f + vset(6.9314718246e-1f);
    p = p * f + vset(1.0f);
    return (vec)_mm512_scalef_ps((__m512)p, (__m512)n);
}
#endif

/* exp(x). In float an error below 2 ulp on the range of normal results; 0 and infinity beyond it, NaN for
 * NaN. */
static inline vec vexp(vec x)
{
#ifdef NN_REAL_DOUBLE
    for (int i = 0; i < VEC; i++)
        x[i] = exp(x[i]);
    return x;
#elif defined(__AVX512F__)
    return vexp_finite(vmin(vset(89), vmax(vset(-104), x)));
#else
    const nn_real magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    vec clamped = vmin(vset(89), vmax(vset(-104), x));
    vec t = clamped * vset(1.44269504088896341f) + vset(magic);
    vec n = t - vset(magic);
    vec r = clamped - n * vset(0.693359375f);
    vec p;
    ivec e;

    /* Cody-Waite reduction and a degree-6 polynomial. */
    r = r - n * vset(-2.12194440e-4f);
    p = r * vset(1.9875691500e-4f) + vset(1.3981999507e-3f);
    p = p * r + vset(8.3334519073e-3f);
    p = p * r + vset(4.1665795894e-2f);
    p = p * r + vset(1.6666665459e-1f);
    p = p * r + vset(5.0000001201e-1f);
    p = p * (r * r) + r + vset(1.0f);
    /* The integer is the distance of the bit patterns. 2^n is applied in two halves: n goes from -150 to
     * 128, so that results overflow to infinity and underflow to 0 by themselves. */
    e = (ivec)t - (ivec)vset(magic);
    p = p * (vec)(((e >> 1) + 127) << 23);
    return p * (vec)((((e - (e >> 1))) + 127) << 23);
#endif
}

/* 1/(1 + exp(-x)), error below 4 ulp on the range of normal results; exactly 0 far below it, NaN for NaN. */
static inline vec vsigmoid(vec x)
{
#if defined(__AVX512F__) && !defined(NN_REAL_DOUBLE)
    /* One Newton step takes the 14 bits of the approximate reciprocal to 28: half the time of a division.
     * Where exp overflows the steps make a NaN, which the mask takes away; a NaN in x passes it. */
    __mmask16 some = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-88.5f), _CMP_NLT_UQ);
    vec d = vset(1) + vexp_finite(vmax(vset(-104), -x));
    vec y = (vec)_mm512_rcp14_ps((__m512)d), rest = vset(1) - d * y;

    return (vec)_mm512_maskz_fmadd_ps(some, (__m512)y, (__m512)rest, (__m512)y);
#else
    return vset(1) / (vset(1) + vexp(-x));
#endif
}

/* The same for silu, whose value and derivative are no more precise than an activation is stored: with
 * bfloat16, which keeps 8 bits, an error of 2^-12 is allowed. */
static inline vec vsigmoid_stored(vec x)
{
#if defined(__AVX512F__) && defined(NNI_BF16)
    /* 2^t is 2^floor(t), for which only t is needed, times a minimax cubic of the fraction. */
    vec t = x * vset(-1.44269504f), p;
    vec f = (vec)_mm512_reduce_ps((__m512)t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);

    p = f * vset(7.8024523e-2f) + vset(2.2606716e-1f);
    p = p * f + vset(6.9583354e-1f);
    p = p * f + vset(9.9992522e-1f);
    return (vec)_mm512_rcp14_ps((__m512)(vset(1) + (vec)_mm512_scalef_ps((__m512)p, (__m512)t)));
#else
    return vsigmoid(x);
#endif
}

/* The activations of the affine slot and their derivatives with respect to z. */
static inline vec vact(int act, vec z)
{
    switch (act) {
    case NN_ACT_RELU: return vmax(vzero(), z);
    case NN_ACT_RELU6: return vmin(vset(6), vmax(vzero(), z));
    case NN_ACT_SILU: return z * vsigmoid_stored(z);
    case NN_ACT_SIGMOID: return vsigmoid(z);
    default: return z;
    }
}

/* act(z), and its derivative to *slope: what they share is computed once. */
static inline vec vact_slope(int act, vec z, vec *slope)
{
    vec s, a;

    switch (act) {
    case NN_ACT_RELU: *slope = vand(z > vzero(), vset(1)); return vact(act, z);
    case NN_ACT_RELU6: *slope = vand((z > vzero()) & (z < vset(6)), vset(1)); return vact(act, z);
    case NN_ACT_SILU:
        s = vsigmoid_stored(z);
        a = z * s;
        *slope = s + a * (vset(1) - s);
        return a;
    case NN_ACT_SIGMOID:
        s = vsigmoid(z);
        *slope = s * (vset(1) - s);
        return s;
    default: *slope = vset(1); return z;
    }
}

static inline vec vact_grad(int act, vec z)
{
    vec slope;

    (void)vact_slope(act, z, &slope);
    return slope;
}

#endif
