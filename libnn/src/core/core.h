/* SPDX-License-Identifier: MIT
 *
 * The structures behind the opaque names, shared by the phases of the pipeline:
 *
 *     record (graph.c) -> lower (lower.c: copy what is needed) -> fuse (fuse.c) -> grad (grad.c: schedule
 *     forward, re-emitted and backward steps) -> memory (memory.c) -> plan (plan.c: bind, run)
 */
#ifndef NNI_CORE_H
#define NNI_CORE_H

#include <nn/nn.h>

#include "base/base.h"

struct nni_cpu;

struct nn_device {
    nni_pool *pool;
    const struct nni_cpu *cpu; /* kernels of the chosen instruction set */
    nn_log *log;
    void *payload;
};

/* ------------------------------------------------------------------ model.c */

enum { NNI_ALIGN = 64 };

struct nn_model {
    nn_device *device;
    uint64_t seed;
    nni_arena arena;
    nn_segment *segment;
    nn_init *init;
    double *fill;
    int64_t count, room;
    int64_t *slot; /* open-addressing hash table of names: index+1, 0 empty */
    int64_t slots;
    size_t bytes[2]; /* PARAM, STATE */
    void *buffer[NN_BASES];
    bool sealed;
    uint64_t version; /* rises whenever parameters or state change: derived values are stale then */
    nn_message message;
};

/* Finds or declares; NULL with the model's message set on conflict or when sealed. */
const nn_segment *nni_model_declare(nn_model *m, const char *name, nn_base base, nn_dtype type, nn_shape shape,
                                    nn_init init, double fill, int64_t *index);

/* ------------------------------------------------------------------ graph.c */

struct nn_tensor {
    nn_graph *graph;
    nn_node *node; /* producer; NULL for inputs, parameters, state */
    int out;       /* which of its outputs */
    nn_shape shape;
    nn_dtype type;
    uint8_t base, model;
    bool detached; /* same value as node's tensor `of`, no gradient */
    int64_t index; /* segment, or input number */
    const char *name;
    const nn_tensor *of; /* detach: the original */
    int64_t id;          /* dense number within the graph */
};

enum { NNI_MAX_MODELS = 8 };

struct nni_observed {
    const char *name;
    nn_tensor *tensor;
    struct nni_observed *next;
};

struct nni_scope {
    const char *path;
    struct nni_scope *up;
};

struct nn_graph {
    nn_device *device;
    nni_arena arena;
    nn_model *model[NNI_MAX_MODELS];
    int models, current; /* current: index of the model in use, -1 none */
    nn_mode mode;
    struct nni_scope *scope, *spare;
    nn_node **node;
    int64_t nodes, node_room;
    nn_tensor **tensor;
    int64_t tensors, tensor_room;
    struct nni_observed *observed;
    int status;
    nn_message message;
};

#endif
