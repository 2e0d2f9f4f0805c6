/* SPDX-License-Identifier: MIT
 *
 * What softmax and log_softmax share: each row of the last dimension is worked on by itself, and backward
 * needs the result alone. The op's file gives the row functions; its attributes are these two.
 */
#ifndef NNI_ROWS_H
#define NNI_ROWS_H

#include "cpu/cpu.h"

struct nni_row_op {
    void (*forward)(const nn_step *s, nn_real *y, const nn_real *x, int64_t n); /* y may be x */
    void (*backward)(const nn_step *s, nn_real *dx, const nn_real *y, const nn_real *dy, int64_t n, bool add);
};

int nni_rows_infer(nn_node *node);
int nni_rows_forward(nn_step *step);
int nni_rows_backward(nn_step *step);

/* y = x - max(x), and the sum of exp(y). */
double nni_rows_shift(const nn_step *s, nn_real *y, const nn_real *x, int64_t n);
/* to = exp(y), and to = factor*y + shift. */
void nni_rows_exp(const nn_step *s, nn_real *to, const nn_real *y, int64_t n);
void nni_rows_linear(const nn_step *s, nn_real *to, const nn_real *y, int64_t n, double factor, double shift);

#endif
