/* SPDX-License-Identifier: MIT
 *
 * bfloat16 and half against their definitions, evaluated here with frexp and ldexp: all 65536 values
 * of each, and roundings chosen to lie on and beside every boundary.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <string.h>

struct kind {
    const char *name;
    int exponent_bits, mantissa_bits;
    float (*widen)(uint16_t);
    uint16_t (*narrow)(float);
};
static const struct kind kinds[] = {
    { "bfloat16", 8, 7, nni_bf16_to_f32, nni_f32_to_bf16 },
    { "half", 5, 10, nni_f16_to_f32, nni_f32_to_f16 },
};

static double value(const struct kind *k, unsigned x)
{
    int bias = (1 << (k->exponent_bits - 1)) - 1,
        e = (int)(x >> k->mantissa_bits) & ((1 << k->exponent_bits) - 1);
    unsigned m = x & ((1u << k->mantissa_bits) - 1u);
    double sign = x & 0x8000u ? -1 : 1;

    if (e == (1 << k->exponent_bits) - 1)
        return m ? NAN : sign * INFINITY;
    if (e == 0)
        return sign * ldexp((double)m, 1 - bias - k->mantissa_bits);
    return sign * ldexp((double)m + ldexp(1, k->mantissa_bits), e - bias - k->mantissa_bits);
}

static uint32_t bits_of(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

START_TEST(every_value)
{
    const struct kind *k = &kinds[_i];

    for (unsigned x = 0; x < 65536; x++) {
        double expected = value(k, x);
        float got = k->widen((uint16_t)x);

        if (isnan(expected)) {
            ck_assert_msg(isnan(got), "%s %04x is not NaN", k->name, x);
            ck_assert_msg(isnan(k->widen(k->narrow(got))), "%s: NaN %04x did not survive", k->name, x);
            ck_assert_msg((k->narrow(got) & 0x8000u) == (x & 0x8000u), "%s: NaN %04x lost its sign", k->name,
                          x);
            continue;
        }
        ck_assert_msg((double)got == expected && !signbit(got) == !(x & 0x8000u),
                      "%s %04x is %a, expected %a", k->name, x, (double)got, expected);
        ck_assert_msg(k->narrow(got) == x, "%s %04x comes back as %04x", k->name, x, k->narrow(got));
    }
}
END_TEST

/* Between each two neighbours: just below the middle, the middle (to even), just above. */
START_TEST(every_boundary)
{
    const struct kind *k = &kinds[_i];
    unsigned infinity = ((1u << k->exponent_bits) - 1u) << k->mantissa_bits;

    for (unsigned sign = 0; sign <= 0x8000u; sign += 0x8000u)
        for (unsigned x = 0; x < infinity; x++) {
            double low = value(k, x), high = x + 1 < infinity ? value(k, x + 1) : 2 * low - value(k, x - 1);
            float middle = (float)((low + high) / 2);
            unsigned even = x & 1u ? x + 1 : x;
            uint32_t u = bits_of(middle) | sign << 16;

            if (isinf(middle))
                continue;
            ck_assert_msg(k->narrow(float_of(u)) == (even | sign), "%s: %a became %04x, not %04x", k->name,
                          (double)float_of(u), k->narrow(float_of(u)), even | sign);
            if (u & 0x7fffffffu)
                ck_assert_msg(k->narrow(float_of(u - 1)) == (x | sign), "%s: %a became %04x, not %04x",
                              k->name, (double)float_of(u - 1), k->narrow(float_of(u - 1)), x | sign);
            ck_assert_msg(k->narrow(float_of(u + 1)) == ((x + 1) | sign), "%s: %a became %04x, not %04x",
                          k->name, (double)float_of(u + 1), k->narrow(float_of(u + 1)), (x + 1) | sign);
        }
}
END_TEST

/* Random floats against a search for the nearest value. */
START_TEST(nearest)
{
    const struct kind *k = &kinds[_i];
    nni_stream s = nni_stream_of(31, (uint64_t)_i);
    unsigned infinity = ((1u << k->exponent_bits) - 1u) << k->mantissa_bits;

    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t word[4];
        float x;
        double a;
        unsigned low = 0, high = infinity - 1;

        nni_stream_at(&s, 0, 0, i, word);
        x = float_of(word[0]);
        if (!isfinite(x))
            continue;
        a = fabs((double)x);
        while (low < high) { /* the largest value that is not above a */
            unsigned middle = (low + high + 1) / 2;

            if (value(k, middle) <= a)
                low = middle;
            else
                high = middle - 1;
        }
        if (low < infinity - 1) {
            double below = a - value(k, low), above = value(k, low + 1) - a;

            low += above < below || (above == below && (low & 1u));
        } else {
            low += a - value(k, low) >= (value(k, low) - value(k, low - 1)) / 2;
        }
        ck_assert_msg(k->narrow(x) == (low | (signbit(x) ? 0x8000u : 0u)), "%s: %a became %04x, not %04x",
                      k->name, (double)x, k->narrow(x), low);
    }
}
END_TEST

START_TEST(extremes)
{
    ck_assert_uint_eq(nni_f32_to_f16(65519.996f), 0x7bff);
    ck_assert_uint_eq(nni_f32_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(nni_f32_to_f16(-1e30f), 0xfc00);
    ck_assert_uint_eq(nni_f32_to_f16(0x1p-24f), 0x0001);
    ck_assert_uint_eq(nni_f32_to_f16(0x1p-25f), 0x0000);
    ck_assert_uint_eq(nni_f32_to_f16(0x1.000002p-25f), 0x0001);
    ck_assert_uint_eq(nni_f32_to_f16(-0x1p-149f), 0x8000);
    ck_assert_uint_eq(nni_f32_to_bf16(float_of(0x7f7fffff)), 0x7f80);
    ck_assert_uint_eq(nni_f32_to_bf16(float_of(0x7f7f7fff)), 0x7f7f);
    /* A NaN whose bits lie where bfloat16 cuts must not become infinity. */
    ck_assert(isnan(nni_bf16_to_f32(nni_f32_to_bf16(float_of(0x7f800001)))));
    ck_assert(isnan(nni_f16_to_f32(nni_f32_to_f16(float_of(0x7f800001)))));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("format");
    TCase *t = tcase_create("format");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, every_value, 0, 2);
    tcase_add_loop_test(t, every_boundary, 0, 2);
    tcase_add_loop_test(t, nearest, 0, 2);
    tcase_add_test(t, extremes);
    suite_add_tcase(s, t);
    return suite_run(s);
}
