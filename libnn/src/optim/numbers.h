/* SPDX-License-Identifier: MIT
 *
 * Which of an optimizer's own numbers (nn_optim.p) is which, for every device's kernels.
 */
#ifndef NNI_NUMBERS_H
#define NNI_NUMBERS_H

enum { NNI_BETA1, NNI_BETA2, NNI_EPS };             /* Adam and its relatives */
enum { NNI_MOMENTUM, NNI_DAMPENING, NNI_NESTEROV }; /* SGD */

#endif
