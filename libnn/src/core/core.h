/* SPDX-License-Identifier: MIT
 *
 * The structures behind the opaque names, shared by the phases of the pipeline:
 *
 *     record (graph.c) -> lower (lower.c: copy what is needed) -> fuse (fuse.c) -> precision (precision.c:
 *     insert casts) -> grad (grad.c: what is differentiated) -> schedule (schedule.c: forward, re-emitted and
 *     backward steps) -> memory (memory.c) -> plan (plan.c: bind, run)
 */
#ifndef NNI_CORE_H
#define NNI_CORE_H

#include <nn/nn.h>

#include "base/base.h"

#include <stdatomic.h>

struct nni_cpu;

/* What the core asks of a backend. Kernels see the memory that `alloc` gives. The host may see it or not: it
 * works on a mirror, memory of its own that stands for a piece of the device's (on the CPU they are one).
 * Everything happens in the order of the calls; `copy` and `settle` also wait for it. */
struct nni_backend {
    int kernels; /* NN_DEVICE_CPU ..., the column of an op's prepare functions */
    bool bf16;   /* which take activations in bfloat16, too */
    bool pooled; /* and the gradient of a mean in its producer, see NNI_OP_TAKES_POOLED */
    void *(*alloc)(nn_device *d, size_t bytes);
    void (*free)(nn_device *d, void *at);
    void *(*mirror)(nn_device *d, void *at, size_t bytes);
    void (*unmirror)(nn_device *d, void *mirror);
    int (*copy)(nn_device *d, void *to, const void *from, size_t bytes); /* between any two memories */
    int (*fill)(nn_device *d, void *at, int byte, size_t bytes);
    int (*ready)(nn_plan *p, nn_message *why); /* the plan is compiled: makes what running it takes */
    void (*forget)(nn_plan *p);
    int (*forward)(nn_plan *p, bool stale); /* stale: hoisted steps and kept derived values, too */
    int (*backward)(nn_plan *p, unsigned what);
    int (*update)(nn_plan *p);
    int (*settle)(nn_plan *p); /* p->now is what it is after all runs so far */
    double (*loss)(nn_plan *p);
    size_t (*peak)(nn_device *d); /* nn_device_peak_bytes; NULL: no memory of its own */
    void (*close)(nn_device *d);
};

/* Flags of ops (nn_op.flags). A mean over the rows of each sample, y[n,c] = mean of act(scale*(x-mean)+beta),
 * spreads one gradient over many rows. POOLS marks such a mean, TAKES_POOLED an op whose backward adds what
 * the mean of out[0] contributes to the gradient of out[0] while it reads that: then the mean's step has no
 * din[0], and pooled[] are the gradient of y [N,1,1,C], mean, scale and beta (the last three absent without
 * an affine).
 */
enum { NNI_OP_POOLS = 1 << 8, NNI_OP_TAKES_POOLED = 1 << 9 };

/* What is made on a device lies in a list of it, so that nn_close can free what is left. */
struct nni_link {
    struct nni_link *next, **from; /* from: what points here */
};
void nni_link_in(struct nni_link **list, struct nni_link *link);
void nni_link_out(struct nni_link *link);

struct nn_device {
    const struct nni_backend *backend;
    const char *name, *isa; /* "cpu", "avx512" */
    nni_pool *pool;
    const struct nni_cpu *cpu; /* kernels of the chosen instruction set; NULL: not a CPU */
    nn_log_sink *log;
    void *payload;
    void *own;        /* the backend's */
    atomic_flag busy; /* a plan is running */
    struct nni_link *plans, *graphs, *models;
};

/* To the device's log callback, if there is one. */
void nni_log(const nn_device *device, nn_log_level level, const char *format, ...) NN_PRINTF(3, 4);

/* ------------------------------------------------------------------ model.c */

enum { NNI_ALIGN = 64 };

static inline size_t nni_aligned(size_t bytes) { return (bytes + NNI_ALIGN - 1) & ~(size_t)(NNI_ALIGN - 1); }

/* Adds `bytes`, rounded up to NNI_ALIGN; false: more than there can be. */
static inline bool nni_add_aligned(size_t *total, size_t bytes)
{
    size_t rounded = nni_aligned(bytes);

    return rounded >= bytes && !__builtin_add_overflow(*total, rounded, total) && *total <= PTRDIFF_MAX;
}

static inline size_t nni_bytes(nn_shape shape, nn_dtype type)
{
    return (size_t)nn_shape_count(shape) * nn_dtype_size(type);
}

struct nn_model {
    struct nni_link link; /* first, as in graphs and plans */
    nn_device *device;
    uint64_t seed;
    nni_arena arena;
    nn_segment *segment;
    nn_init *init;
    double *fill;
    int64_t count, room;
    int64_t *slot; /* open-addressing hash table of names: index+1, 0 empty */
    int64_t slots;
    size_t bytes[2];        /* PARAM, STATE */
    void *buffer[NN_BASES]; /* the device's */
    void *mirror[NN_BASES]; /* the host's, NULL until it is asked for; see nni_model_host */
    uint8_t newer[NN_BASES];
    bool sealed;
    uint64_t version; /* rises whenever parameters or state change: derived values are stale then */
    nn_message message;
};

/* Allocates (zeroed) the buffer of a role if it is not there. NN_BASE_EMA and
 * NN_BASE_STATE_EMA begin as copies, and are copied anew before the first update that is applied. */
int nni_model_need(nn_model *model, nn_base base);
/* Finds or declares; on conflict or when sealed a status, with the text in the model. */
int nni_model_declare(nn_model *m, const char *name, nn_base base, nn_dtype type, nn_shape shape,
                      nn_init init, double fill, int64_t *index);
/* The host's view of a role, up to date; NULL: no such buffer, or it cannot be had (the reason is in the
 * model). What is written there reaches the device by nni_model_push, after nn_model_changed. */
void *nni_model_host(nn_model *m, nn_base base);
int nni_model_push(nn_model *m);
/* Kernels have changed the role. */
void nni_model_ran(nn_model *m, nn_base base);
/* Elements between the floating types, or a plain copy of equal types; NN_EINVAL for other pairs. */
int nni_convert(const void *from, nn_dtype from_type, void *to, nn_dtype to_type, int64_t count);

/* ------------------------------------------------------------------ graph.c */

struct nn_tensor {
    nn_graph *graph;
    nn_node *node; /* producer; NULL for inputs, parameters, state */
    int out;       /* which of its outputs */
    nn_shape shape;
    nn_dtype type;
    uint8_t base, model;
    bool detached;       /* same value as node's tensor `of`, no gradient */
    int64_t index;       /* segment, or input number */
    const char *name;    /* of inputs, parameters, state; constants have none */
    const void *data;    /* of a constant, which is an input that the plan fills */
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

/* Layers whose path is `pattern` are recorded in `mode`. The latest comes first. */
struct nni_mode_at {
    struct nni_mode_at *next;
    const char *pattern;
    nn_mode mode;
};

struct nn_graph {
    struct nni_link link;
    nn_device *device;
    nni_arena arena;
    nn_model *model[NNI_MAX_MODELS];
    int models, current; /* current: index of the model in use, -1 none */
    nn_mode mode;
    struct nni_mode_at *mode_at; /* exceptions from it */
    struct nni_scope *scope, *spare;
    nn_node **node;
    nn_tensor **tensor;
    int64_t nodes, tensors;
    size_t node_room, tensor_room;
    struct nni_observed *observed;
    int status;
    nn_message message;
};

/* ----------------------------------------------------------------- compiling */

/* A node of the plan's private copy of the graph; fusion rewrites the copy. */
struct nni_cnode {
    nn_node n;         /* first, so that tensor->node leads here */
    uint32_t detached; /* inputs through which no gradient passes */
    bool dead, fused;
};

/* A piece of planned memory: a value, a gradient, a saved value, scratch. */
struct nni_store {
    size_t bytes, offset; /* bytes: what it takes; in a debug plan with guards around what is used */
    size_t used;
    int64_t birth, death; /* steps between which it is in use, inclusive */
    int64_t root;         /* shares the memory of that store; itself when it does not */
    bool pinned;          /* readable after the run: lives for ever, never shared */
    bool cache;           /* made once and kept, outside the arena */
};

enum { NNI_FORWARD_STEP, NNI_REEMIT_STEP, NNI_BACKWARD_STEP };

struct nni_planned {
    nn_step step;
    int kind;
    bool hoisted;            /* depends on parameters alone: runs when they have changed */
    bool derived_cached;     /* likewise its derived value */
    uint32_t run_accumulate; /* din bits that NN_ACCUMULATE adds to `accumulate` */
    uint32_t accumulate;     /* din bits that always accumulate */
    int64_t scratch_store, derived_store;
    int64_t runs;
    double seconds;
    const char *shape; /* for the profile */
};

struct nni_readable {
    const char *name;
    nn_operand value, gradient; /* NONE when there is none */
};

struct nni_plan_input {
    const char *name; /* NULL: a constant */
    nn_dtype type;
    nn_shape shape;
    size_t offset, bytes;
};

/* One activation arena, shared by plans that never run at the same time. */
struct nni_memory {
    void *at;
    size_t bytes;
    const nn_plan *owner; /* whose values are in it: the last one that ran forward */
    nn_plan *first;       /* list of the plans that use it */
};

/* A range of an entry that one tile of the update works on. */
struct nni_update_tile {
    int64_t model, segment, first, count;
};

struct nn_plan {
    struct nni_link link;
    nn_device *device;
    nni_arena arena;
    nn_model *model[NNI_MAX_MODELS];
    int models;
    struct nni_planned *step;
    int64_t steps, forward_steps;
    struct nni_store *store;
    int64_t stores;
    size_t step_room, store_room;
    struct nni_memory *memory;
    nn_plan *next_in_memory;
    size_t memory_bytes, cache_bytes, input_bytes, lane_bytes;
    void *cache, *input, *lanes;
    void *fed; /* mirror of `input` */
    struct nni_plan_input *inputs;
    int64_t input_count;
    struct nni_readable *readable;
    int64_t readables;
    nn_operand loss;
    nn_operand *seed;
    void **seeded; /* their mirrors */
    int seed_count;
    bool loss_valid, gradients_valid; /* of the last forward run */
    nn_scalars now;
    bool counters_set;      /* by nn_set, so the device does not know them */
    int64_t batch;          /* first dimension of the first named input */
    int64_t next_sample;    /* becomes now.sample when the next forward run begins */
    nn_base role[NN_BASES]; /* rebinding */
    uint64_t cache_version; /* of the models when the cache was made */
    uint64_t rebinds;
    nn_optim optim;
    double clip_norm;
    bool ema;
    struct nni_update_tile *tile;
    int64_t tiles, averaged_tiles; /* those of what is trained are the first of those of what is averaged */
    double *partial;               /* one sum of squares for each tile */
    uint8_t *wanted;               /* [model][segment] flattened: has a gradient here */
    struct nni_zero {
        int model;
        int64_t segment;
    } * zero; /* wanted, but the loss does not depend on them */
    int64_t zeros;
    unsigned flags;
    void *run; /* the backend's own */
    bool profiling;
    double update_seconds;
    int64_t update_runs;
    nn_summary summary;
    nn_message message;
};

struct nni_compile {
    nn_graph *graph;
    nn_plan *plan;
    const nn_plan_opts *opts;
    nni_arena arena; /* dies with the compilation */
    struct nni_cnode **node;
    int64_t nodes;
    nn_tensor **tensor; /* copies, by id */
    int64_t tensors;
    nn_tensor *loss, **seed, **input;
    bool backward; /* gradients are wanted of something */
    struct nni_observed *observed;
    /* side tables by tensor id */
    bool *wanted;                  /* a gradient is wanted at or above it */
    bool *changed;                 /* state that an op with an effect changes in the forward run */
    bool *reached;                 /* the loss depends on it through a differentiable path */
    bool *repeated;                /* is emitted again before backward reads it */
    int64_t *value, *again, *grad; /* stores: value, re-emitted value, gradient; -1: none */
    bool *written;                 /* gradient has been written by an earlier backward step */
    const struct nni_cnode *
        *pool; /* the mean of it whose gradient the producer's backward takes in; NULL: none */
};

int nni_lower(struct nni_compile *c);
int nni_fuse(struct nni_compile *c);
/* Something outside the nodes reads the tensor. */
bool nni_held(const struct nni_compile *c, const nn_tensor *t);
int nni_precision(struct nni_compile *c);
/* Attributes of the op cast; they live for ever. */
const void *nni_cast_attrs(nn_dtype type);
int nni_grad(struct nni_compile *c); /* fills wanted, reached and repeated */
/* Whether a gradient goes to input k of the node, and to any of its inputs from any of its outputs. */
bool nni_wants_gradient(const struct nni_compile *c, const struct nni_cnode *n, int k);
bool nni_differentiates(const struct nni_compile *c, const struct nni_cnode *n);
/* What the backward of a node reads: its declaration, and what filled slots imply. */
uint32_t nni_backward_reads(const struct nni_cnode *n);
int nni_schedule(struct nni_compile *c);
/* Operands in planned memory: .offset holds the number of the store until memory is placed. `store` is that
 * of a tensor of base ACT. */
nn_operand nni_operand_in(nn_shape shape, nn_dtype type, int64_t store);
nn_operand nni_operand_of(const struct nni_compile *c, const nn_tensor *t, int64_t store);
/* After the schedule: which parameters the plan trains, and which of these have a gradient of zero because
 * the loss does not depend on them; and what the plan hands out. */
int nni_collect_trained(struct nni_compile *c);
int nni_collect_readable(struct nni_compile *c);
int nni_place(nn_plan *plan, bool reuse);
/* Number of bytes that non-overlapping placement of `count` stores takes; sets their offsets. */
size_t nni_place_stores(struct nni_store *store, int64_t count, bool reuse, nni_arena *arena);
int nni_update_prepare(nn_plan *plan, nn_message *why);
/* Gives each step the text that distinguishes it from other calls of its op; fills the plan's summary. */
int nni_describe(nn_plan *plan);
void nni_summarise(nn_plan *plan);
int nni_update_run(nn_plan *plan); /* on the CPU */
/* NN_ESTATE and a message when a guard zone of a debug plan was overwritten. */
int nni_plan_check_guards(nn_plan *plan, nn_message *why);

enum { NNI_GUARD = 64, NNI_GUARD_BYTE = 0xA5 };

#endif
