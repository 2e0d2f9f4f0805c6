/* SPDX-License-Identifier: MIT
 *
 * The elementwise functions that all backends share (ops/formula.h) on the GPU: their vectors have one
 * element here.
 */
#ifndef NNI_CUDA_FORMULA_H
#define NNI_CUDA_FORMULA_H

#include "cuda/kernel.h"

#define NNI_FORMULA static __device__ inline
typedef float vec;

NNI_FORMULA vec vset(float x) { return x; }
NNI_FORMULA vec vzero() { return 0; }
NNI_FORMULA vec vselect(bool mask, vec a, vec b) { return mask ? a : b; }
NNI_FORMULA vec vand(bool mask, vec x) { return mask ? x : 0; }
/* b when they are unordered. */
NNI_FORMULA vec vmin(vec a, vec b) { return a < b ? a : b; }
NNI_FORMULA vec vmax(vec a, vec b) { return a > b ? a : b; }
NNI_FORMULA vec vabs(vec x) { return fabsf(x); }
NNI_FORMULA vec vsqrt(vec x) { return sqrtf(x); }
NNI_FORMULA vec vexp(vec x) { return expf(x); }
NNI_FORMULA vec vexpm1(vec x) { return expm1f(x); }
NNI_FORMULA vec vlog(vec x) { return logf(x); }
NNI_FORMULA vec vlog1p(vec x) { return log1pf(x); }
NNI_FORMULA vec vpow(vec x, float e) { return powf(x, e); }
NNI_FORMULA vec vsin(vec x) { return sinf(x); }
NNI_FORMULA vec vcos(vec x) { return cosf(x); }
NNI_FORMULA vec vtanh(vec x) { return tanhf(x); }
NNI_FORMULA vec vsigmoid(vec x) { return nni_sigmoid(x); }
/* The normal distribution function; the tail keeps its digits. */
NNI_FORMULA vec vnormal(vec x) { return 0.5f * erfcf(-0.70710678f * x); }

#include "ops/formula.h"

/* As cuda/elementwise.h wants them. */
struct nni_formula_map {
    nni_formula f;

    __device__ float value(const float *v) const { return nni_value_of(f.f, v[0], v[1], v[2], f.k); }
    __device__ void grad(const float *v, float *d) const { nni_grad_of(f.f, v[0], v[1], v[2], f.k, d); }
};

#endif
