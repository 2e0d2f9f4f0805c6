/* SPDX-License-Identifier: MIT
 *
 * A plan: a graph compiled for one device, an array of steps over planned memory that is replayed.
 * Three segments: FORWARD, BACKWARD, UPDATE.
 *
 *     nn_compile(&step, g, (nn_plan_opts){ .loss = loss, .optim = nn_adamw((nn_adam_opts){ 0 }) });
 *     for (int64_t k = 0; k < steps; k++) {
 *         fill(nn_host(step, "image", NULL), nn_host(step, "target", NULL));
 *         nn_set(step, NN_LEARNING_RATE, nn_warmup(k, 1e-4, 1500));
 *         nn_run(step, NN_GRADIENTS | NN_UPDATE);
 *     }
 */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include <nn/optim.h>

NN_C_BEGIN

typedef struct nn_plan nn_plan;

enum {
    NN_PLAN_DEBUG = 1 << 0,   /* no fusion, no reuse of memory, guard zones, every tensor readable */
    NN_PLAN_NO_FUSE = 1 << 1, /* each part of DEBUG alone */
    NN_PLAN_NO_REUSE = 1 << 2,
    NN_PLAN_NO_CHEAP = 1 << 3, /* keep every output that backward reads */
    NN_PLAN_RECOMPUTE = 1 << 4 /* less memory for more time, with the same bits: do not keep what widening
                                  convolutions make, compute it again in backward */
};

typedef struct nn_plan_opts {
    nn_tensor *loss; /* scalar to differentiate; NULL: forward only */
    const char *wrt; /* pattern of the trainable parameters that get gradients and updates; NULL: all of them;
                        "": none, to evaluate a loss */
    nn_tensor *const *inputs, *const *seeds; /* other tensors whose gradient is wanted (nn_read_gradient); */
    int input_count, seed_count;             /* and, instead of a loss, whose gradient you write (nn_seed) */
    nn_optim optim;                          /* zero: no UPDATE segment */
    double clip_norm;                        /* 0: off; else the global gradient norm is limited to this */
    double ema_decay;   /* 0: off; else weights and state are averaged after each update */
    nn_plan *share;     /* use the activation arena of this plan: neither may run between a FORWARD of the
                           other and the BACKWARD or nn_read that belongs to it */
    uint64_t seed;      /* of dropout and stochastic depth */
    nn_dtype precision; /* NN_BF16: images (activations of more than one pixel) and their gradients are stored
                           as bfloat16 (docs/architecture.md). nn_read converts. Zero: nothing is */
    uint32_t flags;
} nn_plan_opts;

/* Compiles what `opts` asks for; seals the models. On failure the reason is in nn_graph_error(graph). The
 * plan refers to the models, not to the graph. */
NN_API int nn_compile(nn_plan **out, nn_graph *graph, nn_plan_opts opts);
NN_API void nn_plan_free(nn_plan *plan);
NN_API const char *nn_plan_error(const nn_plan *plan);

/* What nn_run runs. Without NN_ACCUMULATE gradients are overwritten. */
enum {
    NN_FORWARD = 1 << 0,
    NN_BACKWARD = 1 << 1,
    NN_UPDATE = 1 << 2,
    NN_ACCUMULATE = 1 << 3, /* add to the parameters' gradients of earlier runs */
    NN_GRADIENTS = NN_FORWARD | NN_BACKWARD
};
/* Runs segments in order. A forward pass advances NN_SAMPLE by the batch (first dimension of the first input)
 * when it ends. An update whose gradients are not all finite changes nothing and is counted (NN_SKIPPED).
 * NN_ESTATE: no such segment; a backward run without a forward run of its own, or without seeds; another
 * thread is running a plan of this device. */
NN_API int nn_run(nn_plan *plan, unsigned what);

/* Memory of an input, zeros at first, which keeps what is written there; NULL: no input of that name. */
NN_API void *nn_host(nn_plan *plan, const char *name, size_t *bytes);
/* Copies an input in, with the size checked. */
NN_API int nn_write(nn_plan *plan, const char *name, const void *data, size_t bytes);
/* Reads an observed value (in a debug plan, any: "path/op", "path/op#2" for the second such op there) of
 * `count` elements as `type`, converting floating types. */
NN_API int nn_read(nn_plan *plan, const char *name, nn_dtype type, void *data, int64_t count);
NN_API int nn_read_gradient(nn_plan *plan, const char *name, nn_dtype type, void *data, int64_t count);
/* Gradient buffer of the i-th of opts.seeds, NN_REAL, to be filled before each backward run (another seed
 * that depends on this one adds to it). Valid until another plan joins the arena. NULL: no such seed. */
NN_API nn_real *nn_seed(nn_plan *plan, int i);
/* The loss of the last forward run; NaN before the first one, and once another plan has used the arena. */
NN_API double nn_loss(nn_plan *plan);

typedef enum nn_setting {
    NN_LEARNING_RATE, /* at first the optimizer's */
    NN_LOSS_SEED,     /* gradient of the loss: 1 at first; 1/k when k runs are accumulated */
    NN_STEP,          /* counters, for exact resume */
    NN_SAMPLE,
    NN_APPLIED,
    NN_SKIPPED,
    NN_GRAD_NORM, /* read only */
    NN_EMA_DECAY
} nn_setting;
NN_API int nn_set(nn_plan *plan, nn_setting what, double value);
NN_API double nn_get(nn_plan *plan, nn_setting what);

/* Uses another role's buffers from now on: nn_rebind(p, NN_BASE_PARAM, NN_BASE_EMA) evaluates the averaged
 * weights and state, nn_rebind(p, NN_BASE_PARAM, NN_BASE_PARAM) goes back. NN_EINVAL: the plan has gradients.
 */
NN_API int nn_rebind(nn_plan *plan, nn_base from, nn_base to);

/* What the plan will need and do. */
typedef struct nn_summary {
    int64_t parameters, trainable; /* elements of the models used; of these, with gradients here */
    double multiply_adds, arithmetic_intensity; /* of one forward run; its flops per byte */
    size_t activation_bytes, parameter_bytes;   /* the arena; weights, state, gradients, moments, EMA */
    size_t input_bytes, scratch_bytes, cache_bytes, peak_bytes; /* peak: all of these together */
    int64_t steps[3];                                           /* in each segment */
} nn_summary;
NN_API void nn_plan_summary(const nn_plan *plan, nn_summary *out);

/* nn_profile(p, 1) starts to take times (and forgets earlier ones), 0 stops; rows in order of execution. */
typedef struct nn_profile_row {
    const char *name, *op;
    const char *shape; /* "8x56x56x40 > 8x56x56x240 w240x40x1x1 +affine": in, out, weight, filled slots */
    int segment;       /* NN_FORWARD, NN_BACKWARD or NN_UPDATE */
    int64_t runs;
    double seconds, flops, bytes; /* in all; of one run */
} nn_profile_row;
NN_API void nn_profile(nn_plan *plan, int on);
NN_API int64_t nn_profile_rows(const nn_plan *plan, nn_profile_row *rows, int64_t most);

/* ---- checking gradients ---- */

typedef struct nn_gradcheck_opts {
    double low, high; /* what inputs are drawn from; both 0: -1 to 1 */
    const char *wrt;  /* pattern of the inputs and parameters to differentiate by; NULL: all */
    int64_t elements; /* of each, that are moved one by one; 0: 32, -1: none */
    int directions;   /* random ones, along which all elements of all of them move; 0: 2 */
    double step;      /* how far, times |value| + 0.1 and never more than 1.1; 0: 1/64, in double 1e-3 */
    double tolerance; /* relative to a slope and to the root mean square of the gradient; 0: 1e-3, in
                         double 1e-6. What rounding can add is allowed besides */
    uint64_t seed;    /* of all that is drawn */
    uint32_t flags;   /* NN_PLAN_... */
} nn_gradcheck_opts;
/* Compares the gradients of y, a recorded op, layer, network or loss of any shape, with differences of its
 * values: torch.autograd.gradcheck. Inputs of NN_REAL and U8 are drawn (others have to be nn_constant), masks
 * of dropout are the same each time; parameters have the values of the model, which is sealed and in the end
 * as it was but for its gradients. Where two steps disagree there is a kink, and nothing is compared.
 * NN_OK, and the text says how near they are; NN_EDIFFER: it names the worst, or says that most places are
 * kinks, or slopes as small as what rounding does. */
NN_API int nn_gradcheck(nn_graph *graph, nn_tensor *y, nn_gradcheck_opts opts, nn_message *why);

NN_C_END

#endif
