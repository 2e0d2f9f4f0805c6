/* SPDX-License-Identifier: MIT
 *
 * Elementwise functions of one to three operands with their derivatives, as kernels over one row.
 * Unary ops, ops that broadcast, losses and the gradients of reductions are all maps of such a
 * function; the ops' files say what each one is, simd/function.c has the code.
 */
#ifndef NNI_FUNCTION_H
#define NNI_FUNCTION_H

#include <nn/op.h>

#include <stdbool.h>

/* Operands are called a, b and c, constants k[0] and k[1]. */
enum nni_function {
    /* of a; derivatives of EXP, SQRT and TANH are functions of the result, which is passed as a */
    NNI_EXP,
    NNI_LOG,
    NNI_SQRT,
    NNI_TANH,
    NNI_GELU,
    NNI_GELU_TANH,
    NNI_HARDSWISH,
    NNI_LEAKY_RELU, /* a, below zero k[0]*a */
    NNI_CLAMP,      /* to [k[0],k[1]] */
    NNI_LINEAR,     /* k[0]*a + k[1] */
    /* of a and b */
    NNI_SUB,
    NNI_DIV,
    NNI_PEAK, /* 1 where a == b, else 0; so is what stands for its derivative: a's part in a maximum b */
    /* of a, b, c */
    NNI_WHERE, /* a ? b : c; no derivative by a */
    /* of prediction a and target b */
    NNI_SQUARED_ERROR,
    NNI_ABSOLUTE_ERROR,
    NNI_SMOOTH_ERROR, /* d = a-b: k[0]*d*d/2 where |d| < k[1], else k[0]*k[1]*(|d| - k[1]/2) */
    NNI_DIVERGENCE,   /* b*(log(b) - a) */
    NNI_BCE           /* of logit a, with the positive class's weight c; no derivative by c */
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
