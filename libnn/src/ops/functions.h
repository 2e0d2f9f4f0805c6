/* SPDX-License-Identifier: MIT
 *
 * The functions of one element, a row each: with a row, a prototype in nn/ops.h, a line in ops/unary.c and
 * the name in ops/list.h there is the op, for every instruction set and on the GPU.
 *
 *     X(op, NAME, reads, value, derivative)
 *
 *   - op: nn_op_op, nn_op
 *   - NAME: NNI_NAME, the function's number (cpu/function.h)
 *   - reads: what the derivative is written in: IN, the element, or OUT, the result
 *   - value, derivative: in the language of ops/formula.h, vectors on a CPU and single numbers on a GPU. The
 *     operand is a, constants are k[0] and k[1]; zero and one are vectors
 *
 * The definitions are those of torch.nn.functional, at corners too:
 *
 *   - sqrt: NaN below 0; the derivative is infinite at 0
 *   - abs: the derivative is 0 at 0
 *   - pow: x^k[0]; the derivative is 0 everywhere when k[0] is
 *   - softplus: log(1 + exp(x)), and x above 20
 *   - elu: x where x > 0, else k[0]*(exp(x) - 1); Clevert et al., 2015
 *   - gelu: x*P(x) with the normal distribution function P; Hendrycks, Gimpel, 2016
 *   - mish: x*tanh(softplus(x)); Misra, 2019
 *   - hardsigmoid: min(max(x + 3, 0), 6)/6; hardswish: x times that; Howard et al., 2019
 *   - leaky_relu: x where x > 0, else k[0]*x, and so is the derivative at 0
 *   - clamp: min(max(x, k[0]), k[1]); the derivative is 0 at both ends
 */
#ifndef NNI_OPS_FUNCTIONS_H
#define NNI_OPS_FUNCTIONS_H

// clang-format off
#define NNI_UNARY_LIST(X)                                                                                    \
    X(exp, EXP, OUT, vexp(a), a)                                                                             \
    X(log, LOG, IN, vlog(a), one / a)                                                                        \
    X(sqrt, SQRT, OUT, vsqrt(a), vset((nn_real)0.5) / a)                                                     \
    X(tanh, TANH, OUT, vtanh(a), one - a * a)                                                                \
    X(sin, SIN, IN, vsin(a), vcos(a))                                                                        \
    X(cos, COS, IN, vcos(a), -vsin(a))                                                                       \
    X(abs, ABS, IN, vabs(a), vand(a > zero, one) - vand(a < zero, one))                                      \
    X(pow, POW, IN, power(a, k[0]), power_grad(a, k[0]))                                                     \
    X(softplus, SOFTPLUS, IN, vselect(a > vset(20), a, softplus(a)), vselect(a > vset(20), one, vsigmoid(a)))\
    X(elu, ELU, IN, vselect(a > zero, a, vset(k[0]) * vexpm1(vmin(zero, a))),                                \
      vselect(a > zero, one, vset(k[0]) * vexp(a)))                                                          \
    X(gelu, GELU, IN, a * vnormal(a), gelu_grad(a))                                                          \
    X(mish, MISH, IN, mish(a), mish_grad(a))                                                                 \
    X(hardsigmoid, HARDSIGMOID, IN, hardsigmoid(a),                                                          \
      vand((a > vset(-3)) & (a < vset(3)), vset((nn_real)1 / 6)))                                            \
    X(hardswish, HARDSWISH, IN, a * hardsigmoid(a), hardswish_grad(a))                                       \
    X(leaky_relu, LEAKY_RELU, IN, vselect(a > zero, a, vset(k[0]) * a), vselect(a > zero, one, vset(k[0])))  \
    X(clamp, CLAMP, IN, vmin(vset(k[1]), vmax(vset(k[0]), a)),                                               \
      vand((a > vset(k[0])) & (a < vset(k[1])), one))
// clang-format on

#endif
