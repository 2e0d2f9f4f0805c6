/* SPDX-License-Identifier: MIT
 *
 * What every other header needs: status codes, number types, shapes, messages.
 *
 * Conventions of the whole library:
 *   - a function that can fail returns `int`: NN_OK (0) or a negative NN_E... code;
 *   - what arrives through an out-pointer is yours to free, what a function returns is borrowed
 *     from its first argument;
 *   - `free` functions accept NULL; option structs are valid when zeroed;
 *   - bytes are `size_t`, elements and dimensions are `int64_t`;
 *   - the text of an error lives in the object you passed in, or in the nn_message you passed last;
 *   - what goes without saying below: NN_ENOMEM anywhere; NN_ENOTFOUND and NN_EIO where there is a file;
 *   - files, except images, are written so that after any crash there is the old one or the new;
 *   - NULL for what is needed, a number that makes no sense, an unknown enumerator or flag: NN_EINVAL (while
 *     recording NN_ESHAPE, too) and a text that names the function or op and the argument. Functions without
 *     a status then do nothing and return 0, NULL, "" or NaN. Pointers to freed objects are not noticed;
 *   - the library never prints, exits, aborts or reads the environment.
 */
#ifndef NN_BASE_H
#define NN_BASE_H

#include <stddef.h>
#include <stdint.h>

#define NN_VERSION_MAJOR 0
#define NN_VERSION_MINOR 1
#define NN_VERSION_PATCH 0
#define NN_VERSION "0.1.0"

/* Around the declarations of a header, so that C++ can use it. */
#ifdef __cplusplus
#define NN_C_BEGIN extern "C" {
#define NN_C_END }
#else
#define NN_C_BEGIN
#define NN_C_END
#endif

#if defined(__GNUC__)
#define NN_API __attribute__((visibility("default")))
#define NN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define NN_API
#define NN_PRINTF(f, a)
#endif

NN_C_BEGIN

/* The one list of status codes: name, value, text. */
#define NN_STATUS_LIST(X)                                                                                    \
    X(NN_OK, 0, "success")                                                                                   \
    X(NN_ENOMEM, -1, "out of memory")                                                                        \
    X(NN_EINVAL, -2, "invalid argument")                                                                     \
    X(NN_ESHAPE, -3, "shapes or types do not fit")                                                           \
    X(NN_ENOTFOUND, -4, "not found")                                                                         \
    X(NN_EIO, -5, "input or output failed")                                                                  \
    X(NN_EFORMAT, -6, "malformed or damaged data")                                                           \
    X(NN_EUNSUPPORTED, -7, "not supported")                                                                  \
    X(NN_EDEVICE, -8, "device not available")                                                                \
    X(NN_ESTATE, -9, "called in the wrong order")                                                            \
    X(NN_EDIFFER, -10, "results differ")

enum nn_status {
#define X(name, value, text) name = value,
    NN_STATUS_LIST(X)
#undef X
};

NN_API const char *nn_strerror(int status);
NN_API const char *nn_version(void); /* NN_VERSION as compiled into the library */

/* Where a function that has no object of its own says why it failed. Callers may pass NULL. */
typedef struct nn_message {
    char text[512];
} nn_message;

/* Element types. NN_REAL is the type in which this build of the library computes: NN_F32, or NN_F64 in
 * libnn-double (make REAL=double), which exists for gradient checks. */
typedef enum nn_dtype { NN_F32, NN_F64, NN_BF16, NN_F16, NN_I32, NN_I64, NN_U8, NN_DTYPES } nn_dtype;
#ifdef NN_REAL_DOUBLE
typedef double nn_real;
#define NN_REAL NN_F64
#else
typedef float nn_real;
#define NN_REAL NN_F32
#endif

/* Bytes of one element and its name, "F32"; 0 and "?" for a value that is no type. */
NN_API size_t nn_dtype_size(nn_dtype type);
NN_API const char *nn_dtype_name(nn_dtype type);

/* A shape by value. Activations are [N,H,W,C] or [N,C], weights [O,I,H,W] or [O,I]; rank 0 is a scalar. */
#define NN_MAX_RANK 8
typedef struct nn_shape {
    int64_t dim[NN_MAX_RANK];
    int32_t rank;
} nn_shape;

/* Of up to four dimensions. */
NN_API nn_shape nn_shape_of(int rank, int64_t a, int64_t b, int64_t c, int64_t d);
#define NN_SHAPE0() nn_shape_of(0, 0, 0, 0, 0)
#define NN_SHAPE1(a) nn_shape_of(1, a, 0, 0, 0)
#define NN_SHAPE2(a, b) nn_shape_of(2, a, b, 0, 0)
#define NN_SHAPE3(a, b, c) nn_shape_of(3, a, b, c, 0)
#define NN_SHAPE4(a, b, c, d) nn_shape_of(4, a, b, c, d)

/* Number of elements (1 for a scalar); -1 for what cannot be a shape. */
NN_API int64_t nn_shape_count(nn_shape shape);
NN_API int nn_shape_equal(nn_shape a, nn_shape b);

/* Philox4x32-10 (Salmon et al., SC'11): four random words that are a function of a counter and a key. */
NN_API void nn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Levels of the log callback (see nn_device_options). */
typedef enum nn_log_level { NN_LOG_DEBUG, NN_LOG_INFO, NN_LOG_WARN, NN_LOG_ERROR } nn_log_level;
typedef void nn_log_sink(void *payload, nn_log_level level, const char *text);

NN_C_END

#endif
