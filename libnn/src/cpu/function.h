/* SPDX-License-Identifier: MIT
 *
 * Elementwise functions of one to three operands with their derivatives, as kernels over one row.
 * Unary ops, ops that broadcast, losses and the gradients of reductions are all maps of such a
 * function; the ops' files say what each one is, simd/function.c has the code.
 */
#ifndef NNI_FUNCTION_H
#define NNI_FUNCTION_H

#include "ops/functions.h"

#include <nn/op.h>

#include <stdbool.h>

/* Functions of more operands than one, or that are no op by themselves. Operands are called a, b and c,
 * constants k[0] and k[1]. */
// clang-format off
#define NNI_FUNCTION_LIST(X)                                                                                 \
    X(GELU_TANH) /* of a: the form of GELU with a tanh, x*s(u), u = 2*sqrt(2/pi)*(x + 0.044715*x^3), s the   \
                    logistic function, because (1 + tanh(u/2))/2 = s(u) */                                   \
    X(LINEAR)    /* k[0]*a + k[1] */                                                                         \
    /* of a and b */                                                                                         \
    X(SUB)                                                                                                   \
    X(DIV)                                                                                                   \
    X(PEAK) /* 1 where a == b, else 0, and so what stands for its derivative: a's part in a maximum b */     \
    /* of a, b, c */                                                                                         \
    X(WHERE) /* a ? b : c; no derivative by a */                                                             \
    /* of prediction a and target b */                                                                       \
    X(SQUARED_ERROR)                                                                                         \
    X(ABSOLUTE_ERROR)                                                                                        \
    X(SMOOTH_ERROR) /* d = a-b: k[0]*d*d/2 where |d| < k[1], else k[0]*k[1]*(|d| - k[1]/2) */                \
    X(DIVERGENCE)   /* b*(log(b) - a) */                                                                     \
    X(BCE)          /* of logit a, with the positive class's weight c; no derivative by c */
// clang-format on

enum nni_function {
#define X(op, NAME, reads, value, derivative) NNI_##NAME,
    NNI_UNARY_LIST(X)
#undef X
#define X(NAME) NNI_##NAME,
        NNI_FUNCTION_LIST(X)
#undef X
            NNI_FUNCTIONS
};

/* A function with its constants: the attributes of an op that is nothing else. */
struct nni_formula {
    enum nni_function f;
    nn_real k[2];
};

enum { NNI_OPERANDS = 3 };

/* Where a row of each operand begins. Step 0: its one value counts for the whole row. */
struct nni_row {
    const nn_real *at[NNI_OPERANDS];
    int step[NNI_OPERANDS];
};

/* What a row's gradients are made of and go to. With the value w = factor*dy: d[i] (+)= w * df/d(operand i)
 * unless d[i] is NULL. d[0] may be dy, and two of them may be one place: what has to be read is read
 * first, and they are written in order. */
struct nni_row_grad {
    const nn_real *dy;
    int dy_step;
    nn_real factor;
    nn_real *d[NNI_OPERANDS];
    bool add[NNI_OPERANDS];
};

struct nni_function_kernels {
    /* y[i] = f(a, b, c); y may be an operand of step 1. */
    void (*value)(const struct nni_formula *f, nn_real *y, const struct nni_row *row, int64_t n);
    void (*grad)(const struct nni_formula *f, const struct nni_row_grad *g, const struct nni_row *row,
                 int64_t n);
    /* to[i] = max(to[i], x[i]), and the largest of x and `most`. A NaN is larger than everything. */
    void (*largest)(nn_real *to, const nn_real *x, int64_t n);
    nn_real (*largest_of)(nn_real most, const nn_real *x, int64_t n);
};

extern const struct nni_function_kernels nni_function_portable, nni_function_avx2, nni_function_avx512;

#endif
