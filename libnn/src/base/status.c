/* SPDX-License-Identifier: MIT
 *
 * Status codes, type names, shapes: the small tables that everything prints from.
 */
#include "base.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *nn_strerror(int status)
{
    switch (status) {
#define X(name, value, text)                                                                                 \
    case value: return text;
        NN_STATUS_LIST(X)
#undef X
    default: return "unknown status";
    }
}

const char *nn_version(void) { return NN_VERSION; }

static const struct {
    size_t bytes;
    const char *name;
} types[NN_DTYPES] = {
    [NN_F32] = { 4, "F32" }, [NN_F64] = { 8, "F64" }, [NN_BF16] = { 2, "BF16" }, [NN_F16] = { 2, "F16" },
    [NN_I32] = { 4, "I32" }, [NN_I64] = { 8, "I64" }, [NN_U8] = { 1, "U8" }
};

size_t nn_dtype_size(nn_dtype type) { return (unsigned)type < NN_DTYPES ? types[type].bytes : 0; }

const char *nn_dtype_name(nn_dtype type) { return (unsigned)type < NN_DTYPES ? types[type].name : "?"; }

nn_shape nn_shape_of(int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    nn_shape s = { .dim = { a, b, c, d }, .rank = rank };

    for (int i = rank < 0 ? 0 : rank; i < NN_MAX_RANK; i++)
        s.dim[i] = 0;
    return s;
}

int64_t nn_shape_count(nn_shape shape)
{
    const int64_t most = INT64_C(1) << 48; /* so that neither bytes nor sums of some thousands overflow, */
    int64_t n = 1;                         /* nor the strides of what is empty */
    bool empty = false;

    if (shape.rank < 0 || shape.rank > NN_MAX_RANK)
        return -1;
    for (int i = 0; i < shape.rank; i++) {
        empty = empty || shape.dim[i] == 0;
        if (shape.dim[i] < 0 || (shape.dim[i] && __builtin_mul_overflow(n, shape.dim[i], &n)))
            return -1;
    }
    return empty ? 0 : n > most ? -1 : n;
}

int nn_shape_equal(nn_shape a, nn_shape b)
{
    if (a.rank != b.rank || a.rank < 0 || a.rank > NN_MAX_RANK)
        return 0;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i])
            return 0;
    return 1;
}

int nni_fail(nn_message *out, int status, const char *format, ...)
{
    enum { HEAD = 120, ROOM = sizeof out->text };
    char whole[3 * PATH_MAX];
    va_list args;
    size_t n;

    if (!out)
        return status;
    va_start(args, format);
    (void)vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    n = strlen(whole);
    if (n >= ROOM) { /* of a long path: what is wrong stands behind it */
        memcpy(whole + HEAD, "...", 3);
        memmove(whole + HEAD + 3, whole + n + 1 - (ROOM - HEAD - 3), ROOM - HEAD - 3);
    }
    memcpy(out->text, whole, strlen(whole) + 1);
    return status;
}

int nni_null(nn_message *out, const char *function, const char *what)
{
    return nni_fail(out, NN_EINVAL, "%s needs %s", function, what);
}

const char *nni_shape_text(nn_shape shape, nni_text *text)
{
    size_t at = 0;
    int n = snprintf(text->s, sizeof text->s, "[");

    for (int i = 0; i < shape.rank && i < NN_MAX_RANK && n >= 0; i++) {
        at += (size_t)n;
        if (at >= sizeof text->s)
            return text->s;
        n = snprintf(text->s + at, sizeof text->s - at, i ? ",%lld" : "%lld", (long long)shape.dim[i]);
    }
    at += n > 0 ? (size_t)n : 0;
    if (at + 1 < sizeof text->s)
        memcpy(text->s + at, "]", 2);
    return text->s;
}

uint64_t nni_hash(const void *data, size_t size, uint64_t basis)
{
    const unsigned char *byte = data;

    for (size_t i = 0; i < size; i++)
        basis = (basis ^ byte[i]) * UINT64_C(0x100000001b3);
    return basis;
}
