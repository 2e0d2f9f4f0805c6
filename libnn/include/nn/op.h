/* SPDX-License-Identifier: MIT
 *
 * What the author of an op reads; an op may live in any program. It is one constant descriptor, at which
 * graph nodes point: there is no enumeration and no registration.
 *
 * Life of an op: `infer` checks the inputs and declares the outputs while the graph is recorded; `forward`
 * and `backward` run once, at compile time, on a step whose operands have shapes and types but no memory yet,
 * and choose kernels and tile counts by them; then the plan runs the step's phases again and again.
 *
 * A tile function must not allocate, check shapes or synchronise, and cannot see the number of threads: what
 * a tile computes depends on its number alone, and partial results are merged in the order of tiles in a
 * later phase. That makes results bit-identical for any thread count.
 *
 * Gradients: din[i] is written, or added to when bit i of `accumulate` is set, and absent when nobody wants
 * it. A dout can be absent too: then that output has no gradient.
 */
#ifndef NN_OP_H
#define NN_OP_H

#include <nn/graph.h>

NN_C_BEGIN

#define NN_OP_ABI 3
enum { NN_MAX_IN = 10, NN_MAX_OUT = 4, NN_MAX_SAVE = 4, NN_MAX_PHASES = 8 };

enum { NN_DEVICE_CPU, NN_DEVICE_CUDA, NN_DEVICES };

typedef struct nn_op nn_op;
typedef struct nn_node nn_node;
typedef struct nn_step nn_step;

/* One tensor as a step sees it. Activations are [N,H,W,C], dense. */
typedef struct nn_operand {
    nn_shape shape;
    nn_dtype type;
    uint8_t base;  /* nn_base; NN_BASE_NONE: absent, or its gradient is not wanted */
    uint8_t model; /* which of the graph's models, for the bases that a model owns */
    size_t offset;
    void *at; /* bound address; not yet known in forward() and backward() */
} nn_operand;

static inline int nn_has(const nn_operand *o) { return o->base != NN_BASE_NONE; }

/* The block of values that change from run to run and that kernels read. */
typedef struct nn_scalars {
    uint64_t seed;    /* of all random streams */
    int64_t step;     /* updates applied or skipped so far */
    int64_t sample;   /* global index of the batch's first sample */
    double loss_seed; /* the gradient of the loss, scale/k for k accumulated runs */
    double learning_rate, ema_decay;
    double grad_norm, grad_factor; /* of the last update, before clipping; what clipping multiplies with */
    int64_t applied, skipped;      /* updates; skipped are those with a gradient that was not finite */
    int32_t skip;                  /* this update is being skipped */
} nn_scalars;

/* Activations that the affine slot can apply, and their derivatives know. */
typedef enum nn_act { NN_ACT_NONE, NN_ACT_RELU, NN_ACT_RELU6, NN_ACT_SILU, NN_ACT_SIGMOID, NN_ACTS } nn_act;

typedef void nn_tile(const nn_step *step, int64_t tile, void *lane);

struct nn_step {
    const nn_op *op;
    const void *attrs;
    nn_device *device;
    const char *name; /* path of the node, for profiles and messages */
    nn_operand in[NN_MAX_IN], out[NN_MAX_OUT], save[NN_MAX_SAVE];
    nn_operand din[NN_MAX_IN], dout[NN_MAX_OUT]; /* backward only */
    nn_operand pooled[4];
    uint32_t accumulate;     /* bit i: add to din[i] */
    uint8_t act, pooled_act; /* activation of the affine slot; that of pooled */
    uint64_t key;            /* random stream: hash(scope path, purpose) */
    const nn_scalars *now;
    /* Filled by forward() or backward(), with nn_phase: they run one after another, their tiles in any order.
     */
    struct {
        int64_t tiles;
        nn_tile *run;
    } phase[NN_MAX_PHASES];
    int phases;
    size_t scratch_bytes; /* shared by all tiles, undefined contents at the first phase */
    size_t lane_bytes;    /* private to whoever runs a tile; contents do not survive it */
    void *scratch;
    /* Values made from attributes and the inputs of `reads` alone (packed weights): run before phase 0.
     * Where those inputs are parameters that the plan cannot change they are made once and kept. */
    struct {
        size_t bytes;
        uint32_t reads; /* NN_IN(i) */
        int64_t tiles;
        nn_tile *run;
        int (*launch)(const nn_step *step, void *stream); /* CUDA, instead of tiles */
        void *at;
    } derived;
    int64_t choice[8]; /* block sizes and the like, chosen in forward() or backward() */
    double flops;      /* arithmetic of one run, for profiles; bytes are counted from the operands */
    /* CUDA, instead of phases: enqueues the step's kernels. Called once and recorded, then replayed: it must
     * not wait, allocate or look at the operands' values. 0 or an error of the CUDA runtime. */
    int (*launch)(const nn_step *step, void *stream);
};

static inline void nn_phase(nn_step *s, int64_t tiles, nn_tile *run)
{
    s->phase[s->phases].tiles = tiles;
    s->phase[s->phases].run = run;
    s->phases++;
}

struct nn_node { /* a recorded op */
    const nn_op *op;
    const void *attrs; /* owned by the graph */
    nn_graph *graph;
    const char *path;
    nn_tensor *in[NN_MAX_IN], *out[NN_MAX_OUT];
    nn_shape save_shape[NN_MAX_SAVE]; /* what forward leaves for backward; rank -1: nothing */
    nn_dtype save_type[NN_MAX_SAVE];
    uint8_t act;
    uint64_t key;
};

/* Flags of an op. Those from 1 << 8 on, and nn_step.pooled, are the library's own. */
enum {
    NN_OP_CHEAP = 1 << 0,     /* recompute before backward rather than keep its output */
    NN_OP_EFFECT = 1 << 1,    /* changes state (its inputs of base STATE); runs exactly once */
    NN_OP_RANDOM = 1 << 2,    /* reads the step's random stream */
    NN_OP_NO_GRAD = 1 << 4,   /* has no derivative by nature (a mask, a counter): backward is absent */
    NN_OP_RECOMPUTE = 1 << 5, /* under NN_PLAN_RECOMPUTE, too, where the output is large */
    /* What a plan of lower precision does with the activations named in `narrow`. Neither: they stay NN_REAL,
     * and are converted where a neighbour stores them otherwise. */
    NN_OP_COMPUTE = 1 << 6, /* stores them in bfloat16 where they are images */
    NN_OP_FOLLOW = 1 << 7   /* does so where one of them already is */
};

/* What backward reads, and what may share memory. */
#define NN_IN(i) (UINT32_C(1) << (i))
#define NN_OUT(i) (UINT32_C(1) << (16 + (i)))
enum {
    NN_ALIAS_FORWARD = 1 << 0,   /* out[0] may be written over in[0] */
    NN_ALIAS_BACKWARD0 = 1 << 1, /* din[0] may be written over dout[0] */
    NN_ALIAS_BACKWARD1 = 1 << 2  /* din[1] may be written over dout[0] */
};

/* Places where fusion puts a neighbour's operands, so that no op needs a fused twin. The number is the index
 * of the slot's first input (output for MOMENTS); 0: no such slot. */
enum {
    NN_SLOT_AFFINE,  /* in[k..k+2] = mean, scale, beta [C]: in[0] is read as act(scale*(in[0]-mean)+beta) */
    NN_SLOT_GATE,    /* in[k] = gate [N,1,1,C]: in[0], after the affine, times the gate */
    NN_SLOT_MASK,    /* in[k] = mask [N,1,1,1]: in[0], after the affine, times the row's mask */
    NN_SLOT_MOMENTS, /* out[k], out[k+1] = mean and biased variance [C] of out[0] over all rows */
    NN_SLOTS
};

struct nn_op {
    uint32_t abi; /* NN_OP_ABI */
    const char *name;
    int inputs;        /* how many inputs a node must have at least; NULL only where `optional` says so */
    uint32_t optional; /* NN_IN(i) for inputs that may be NULL, NN_OUT(i) for outputs made on demand only */
    uint32_t reads;    /* what backward reads; in[0] is added when AFFINE is filled, out[0] when MOMENTS is */
    uint32_t alias, flags;
    uint8_t slot[NN_SLOTS];
    uint8_t activation; /* nn_act when it is nothing but that: may move into an affine slot */
    uint32_t narrow; /* NN_IN(i): activations that may be bfloat16, all of them or none; infer says what then
                        comes out, and kernels look at the operands' types */
    size_t attrs_bytes; /* size of the attribute struct, copied when a node is recorded */
    int (*infer)(nn_node *node);
    /* May `neighbour` move into `slot`? NULL: yes. */
    int (*accepts)(const nn_node *node, int slot, const nn_node *neighbour, const nn_device *device);
    int (*forward[NN_DEVICES])(nn_step *step);
    int (*backward[NN_DEVICES])(nn_step *step);
};

/* Records a node: copies the attributes, runs infer, returns out[0] (NULL on failure). `in` has
 * `count` entries; NULL is allowed where the op says optional. nn_apply_all returns the node. */
NN_API nn_tensor *nn_apply(nn_graph *graph, const nn_op *op, const void *attrs, nn_tensor *const *in,
                           int count);
NN_API nn_node *nn_apply_all(nn_graph *graph, const nn_op *op, const void *attrs, nn_tensor *const *in,
                             int count);

/* Inside infer: declares output i; a value kept for backward; records a failure, prefixed with the node's
 * path and op, and returns NN_ESHAPE. */
NN_API int nn_infer_out(nn_node *node, int i, nn_dtype type, nn_shape shape);
NN_API int nn_infer_save(nn_node *node, int i, nn_dtype type, nn_shape shape);
NN_API int nn_infer_fail(nn_node *node, const char *format, ...) NN_PRINTF(2, 3);

NN_C_END

#endif
