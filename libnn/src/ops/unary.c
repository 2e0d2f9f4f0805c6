/* SPDX-License-Identifier: MIT
 *
 * The ops that are a function of one element and nothing else: y = f(x), dx = dy*f'(x). What the functions
 * are stands in ops/functions.h.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"

#include <float.h>
#include <math.h>

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->in[0].shape));
    struct nni_row x = { .at = { (const nn_real *)s->in[0].at + p.begin }, .step = { 1 } };

    (void)lane;
    nni_cpu_of(s)->function->value(s->attrs, (nn_real *)s->out[0].at + p.begin, &x, p.count);
}

static int forward(nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), forward_tile);
    s->flops = (double)n;
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_operand *of = nn_has(&s->out[0]) ? &s->out[0] : &s->in[0];
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->din[0].shape));
    struct nni_row v = { .at = { (const nn_real *)of->at + p.begin }, .step = { 1 } };
    struct nni_row_grad g = { .dy = (const nn_real *)s->dout[0].at + p.begin,
                              .dy_step = 1,
                              .factor = 1,
                              .d = { (nn_real *)s->din[0].at + p.begin },
                              .add = { s->accumulate & NN_IN(0) } };

    (void)lane;
    nni_cpu_of(s)->function->grad(s->attrs, &g, &v, p.count);
}

static int backward(nn_step *s)
{
    int64_t n = nn_shape_count(s->din[0].shape);

    nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), backward_tile);
    s->flops = 2 * (double)n;
    return NN_OK;
}

/* Constants of which not every number makes sense; the others have none, or 0. */
static int check(nn_node *n)
{
    const struct nni_formula *f = n->attrs;
    double first = (double)f->k[0], second = (double)f->k[1];
    int rc;

    switch (f->f) {
    case NNI_POW: return nni_infer_constant(n, "exponent", first, -FLT_MAX, FLT_MAX);
    case NNI_ELU: return nni_infer_constant(n, "alpha", first, -FLT_MAX, FLT_MAX);
    case NNI_LEAKY_RELU: return nni_infer_constant(n, "slope", first, -FLT_MAX, FLT_MAX);
    case NNI_CLAMP:
        rc = nni_infer_constant(n, "low", first, -INFINITY, INFINITY);
        return rc ? rc : nni_infer_constant(n, "high", second, first, INFINITY);
    default: return NN_OK;
    }
}

static int infer(nn_node *n)
{
    int rc = check(n);

    if (!rc)
        rc = nni_infer_real(n, 0, 0);
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}

/* What backward reads as a result is there; otherwise it is as cheap to compute again as to fetch. */
#define READ_IN NN_IN(0)
#define READ_OUT NN_OUT(0)
#define X(op, NAME, read, value, derivative)                                                                 \
    const nn_op nn_op_##op = {                                                                               \
        .abi = NN_OP_ABI,                                                                                    \
        .name = #op,                                                                                         \
        .inputs = 1,                                                                                         \
        .reads = READ_##read,                                                                                \
        .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,                                                      \
        .flags = READ_##read == NN_IN(0) ? NN_OP_CHEAP : 0,                                                  \
        .attrs_bytes = sizeof(struct nni_formula),                                                           \
        .infer = infer,                                                                                      \
        .forward = { forward, NNI_IF_CUDA(nni_cuda_unary_forward) },                                         \
        .backward = { backward, NNI_IF_CUDA(nni_cuda_unary_backward) },                                      \
    };
NNI_UNARY_LIST(X)
#undef X

/* ---- builders ---- */

static nn_tensor *apply(nn_graph *g, const nn_op *op, enum nni_function f, nn_tensor *x, double k0, double k1)
{
    struct nni_formula formula = { .f = f, .k = { (nn_real)k0, (nn_real)k1 } };

    return nn_apply(g, op, &formula, &x, 1);
}

#define BUILDER(op, NAME)                                                                                    \
    nn_tensor *nn_##op(nn_graph *g, nn_tensor *x) { return apply(g, &nn_op_##op, NNI_##NAME, x, 0, 0); }
#define BUILDER_OF(op, NAME, constant)                                                                       \
    nn_tensor *nn_##op(nn_graph *g, nn_tensor *x, double constant)                                           \
    {                                                                                                        \
        return apply(g, &nn_op_##op, NNI_##NAME, x, constant, 0);                                            \
    }
// clang-format off
BUILDER(exp, EXP)
BUILDER(log, LOG)
BUILDER(sqrt, SQRT)
BUILDER(tanh, TANH)
BUILDER(sin, SIN)
BUILDER(cos, COS)
BUILDER(abs, ABS)
BUILDER(softplus, SOFTPLUS)
BUILDER(mish, MISH)
BUILDER(hardsigmoid, HARDSIGMOID)
BUILDER(hardswish, HARDSWISH)
BUILDER_OF(pow, POW, exponent)
BUILDER_OF(elu, ELU, alpha)
BUILDER_OF(leaky_relu, LEAKY_RELU, slope)
// clang-format on

nn_tensor *nn_gelu(nn_graph *g, nn_tensor *x, int approximate)
{
    return apply(g, &nn_op_gelu, approximate ? NNI_GELU_TANH : NNI_GELU, x, 0, 0);
}

nn_tensor *nn_clamp(nn_graph *g, nn_tensor *x, double low, double high)
{
    return apply(g, &nn_op_clamp, NNI_CLAMP, x, low, high);
}
