/* SPDX-License-Identifier: MIT
 *
 * What softmax and log_softmax share: each row of the last dimension is worked on by itself, and backward
 * needs the result alone. The kernels are those of cpu/rows.h.
 */
#ifndef NNI_ROWS_H
#define NNI_ROWS_H

#include "cpu/cpu.h"

struct nni_row_op {
    bool logarithm; /* log_softmax */
};

int nni_rows_infer(nn_node *node);
int nni_rows_forward(nn_step *step);
int nni_rows_backward(nn_step *step);

#endif
