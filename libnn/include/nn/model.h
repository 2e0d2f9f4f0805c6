/* SPDX-License-Identifier: MIT
 *
 * A model: named parameters and state (running statistics, counters), one contiguous buffer for each role,
 * described by one table of segments in order of registration. Recording a graph declares the entries; the
 * first compile or load seals the table, allocates the buffers and runs the initialisers. Gradients and
 * moments appear when a plan first needs them.
 */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <nn/device.h>

NN_C_BEGIN

typedef struct nn_model nn_model;

/* Where an operand lives; NONE: it is absent. PARAM, GRAD, EMA and MOMENT are laid out alike, so one segment
 * table serves them all; STATE and STATE_EMA hold what is trained by no gradient. Plans own the rest. */
// clang-format off
typedef enum nn_base {
    NN_BASE_NONE, NN_BASE_PARAM, NN_BASE_GRAD, NN_BASE_STATE, NN_BASE_EMA, NN_BASE_STATE_EMA, NN_BASE_MOMENT1,
    NN_BASE_MOMENT2, NN_BASE_ACT, NN_BASE_INPUT, NN_BASE_CACHE, NN_BASES
} nn_base;
// clang-format on

/* One named tensor of a model. */
typedef struct nn_segment {
    const char *name; /* dotted path, "features.0.0.weight" */
    nn_shape shape;
    nn_dtype type;
    nn_base base;                 /* NN_BASE_PARAM or NN_BASE_STATE */
    size_t offset;                /* bytes from the beginning of the role's buffer */
    int64_t count;                /* elements */
    double lr_scale, decay_scale; /* times the learning rate, the weight decay; 1 unless changed */
    int trainable;                /* 0: frozen; state is never trainable */
} nn_segment;

/* How a parameter gets its first value, drawn by the model's seed, the parameter's name and the element. */
typedef enum nn_init_kind { NN_INIT_ZERO, NN_INIT_CONSTANT, NN_INIT_NORMAL, NN_INIT_UNIFORM } nn_init_kind;
typedef struct nn_init {
    nn_init_kind kind;
    double a; /* the constant; the standard deviation; the bound of [-a,a) */
} nn_init;

NN_API int nn_model_new(nn_model **out, nn_device *device, uint64_t seed);
NN_API void nn_model_free(nn_model *model);
NN_API const char *nn_model_error(const nn_model *model);

/* The segment table. Pointers stay valid until the model is freed or (before sealing) another is declared. */
NN_API int64_t nn_model_count(const nn_model *model);
NN_API const nn_segment *nn_model_segment(const nn_model *model, int64_t index);
NN_API const nn_segment *nn_model_find(const nn_model *model, const char *name);
/* Number of elements of all parameters (state not counted). */
NN_API int64_t nn_model_parameters(const nn_model *model);

/* Allocates the buffers and initialises them. Done by the first compile; call it to load first. */
NN_API int nn_model_seal(nn_model *model);
/* Beginning and size of a role's buffer; NULL and 0 when it has not been allocated. On a device with memory
 * of its own this is a copy: ask again after each run. */
NN_API void *nn_model_buffer(nn_model *model, nn_base base, size_t *bytes);
/* Say this after writing through nn_model_buffer: plans keep what they made from the old values otherwise. */
NN_API void nn_model_changed(nn_model *model);

/* Copies one entry in or out (sealing the model), converting between the floating types. `role` picks the
 * value (0, for parameter and state alike), NN_BASE_GRAD, NN_BASE_EMA or a moment. */
NN_API int nn_model_read(nn_model *model, const char *name, nn_base role, nn_dtype type, void *data);
NN_API int nn_model_write(nn_model *model, const char *name, nn_base role, nn_dtype type, const void *data);

/* Settings of every parameter whose name matches `pattern` ('*' matches any run of characters, '?' one). They
 * return how many matched, or NN_EINVAL: a scale must be 0 or more. Plans compiled earlier keep their set of
 * gradients. */
NN_API int64_t nn_model_set_trainable(nn_model *model, const char *pattern, int trainable);
NN_API int64_t nn_model_set_lr_scale(nn_model *model, const char *pattern, double scale);
NN_API int64_t nn_model_set_decay_scale(nn_model *model, const char *pattern, double scale);
/* 1 when `name` matches `pattern`. */
NN_API int nn_match(const char *pattern, const char *name);

NN_C_END

#endif
