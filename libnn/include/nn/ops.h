/* SPDX-License-Identifier: MIT
 *
 * The ops that come with the library, as builders. They have no names and no state; layers (layers.h) declare
 * parameters and call them. Activations are [N,H,W,C] or [N,C]; the channel is always last.
 */
#ifndef NN_OPS_H
#define NN_OPS_H

#include <nn/op.h>

NN_C_BEGIN

/* ---- convolution and linear maps ---- */

typedef enum nn_padding {
    NN_PAD_AUTO,    /* symmetric, dilation*(k-1)/2: keeps the size at stride 1 (torchvision) */
    NN_PAD_VALID,   /* none */
    NN_PAD_SAME,    /* TensorFlow's SAME: out = ceil(in/stride), the odd pixel after */
    NN_PAD_EXPLICIT /* opts.pad on all four sides */
} nn_padding;

typedef struct nn_conv_opts {
    int64_t stride, dilation, groups; /* 0: 1 */
    nn_padding padding;
    int64_t pad; /* with NN_PAD_EXPLICIT */
} nn_conv_opts;

/* x [N,H,W,I], weight [O,I/groups,kh,kw], bias [O] or NULL -> [N,H',W',O]. Becomes conv1x1 or
 * depthwise where it is one. */
NN_API nn_tensor *nn_conv2d(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias, nn_conv_opts opts);
/* torch.nn.functional.conv_transpose2d: x [N,H,W,I], weight [I,O/groups,kh,kw], bias [O] or NULL ->
 * [N,(H-1)*stride-2*pad+dilation*(kh-1)+output_pad+1,W',O]. */
typedef struct nn_conv_transpose_opts {
    int64_t stride, dilation, groups; /* 0: 1 */
    int64_t pad, output_pad;
} nn_conv_transpose_opts;
NN_API nn_tensor *nn_conv_transpose2d(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias,
                                      nn_conv_transpose_opts opts);
/* x [...,I], weight [O,I,1,1] or [O,I], bias [O] or NULL -> [...,O]. */
NN_API nn_tensor *nn_conv1x1(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias);
/* x [N,H,W,C], weight [C,1,k,k], bias [C] or NULL; stride and padding from opts; groups ignored. */
NN_API nn_tensor *nn_depthwise(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias,
                               nn_conv_opts opts);
/* x [...,I], weight [O,I], bias [O] or NULL -> [...,O]. */
NN_API nn_tensor *nn_linear(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias);

/* torch.matmul: a [...,M,K] (transposed: [...,K,M]) times b [...,K,N] ([...,N,K]) -> [...,M,N]. Leading sizes
 * are equal, or b is one matrix for all of an a that is not transposed. */
typedef struct nn_matmul_opts {
    int transpose_a, transpose_b;
} nn_matmul_opts;
NN_API nn_tensor *nn_matmul(nn_graph *g, nn_tensor *a, nn_tensor *b, nn_matmul_opts opts);

/* ---- normalisation of single samples; gamma, beta [C] or NULL ---- */

/* torch.nn.functional.layer_norm over the last dimension. */
NN_API nn_tensor *nn_layer_norm(nn_graph *g, nn_tensor *x, nn_tensor *gamma, nn_tensor *beta, double eps);
/* torch.nn.functional.group_norm, of x [N,...,C]: groups are of neighbouring channels. */
typedef struct nn_group_norm_opts {
    int64_t groups;
    double eps;
} nn_group_norm_opts;
NN_API nn_tensor *nn_group_norm(nn_graph *g, nn_tensor *x, nn_tensor *gamma, nn_tensor *beta,
                                nn_group_norm_opts opts);

/* ---- normalisation, in its parts ---- */

/* Mean and biased variance [C] of x [...,C] over all but the channel (NULL: not wanted). One value per
 * channel is an error. */
NN_API int nn_moments(nn_graph *g, nn_tensor *x, nn_tensor **mean, nn_tensor **variance);
/* scale = gamma / sqrt(variance + eps); gamma [C] or NULL (ones). */
NN_API nn_tensor *nn_bn_coeff(nn_graph *g, nn_tensor *variance, nn_tensor *gamma, double eps);
/* scale*(x - mean) + beta with mean, scale [C] and beta [C] or NULL. */
NN_API nn_tensor *nn_affine(nn_graph *g, nn_tensor *x, nn_tensor *mean, nn_tensor *scale, nn_tensor *beta);
/* Effect: running = (1-momentum)*running + momentum*batch, the stored variance being unbiased (times
 * count/(count-1), count values per channel); adds 1 to `batches` [] (I64) unless NULL. A batch whose
 * statistics are not finite changes nothing. */
NN_API void nn_bn_track(nn_graph *g, nn_tensor *mean, nn_tensor *variance, nn_tensor *running_mean,
                        nn_tensor *running_variance, nn_tensor *batches, double momentum, int64_t count);

/* ---- elementwise: torch's functions of these names, with their gradients at corners ---- */

NN_API nn_tensor *nn_silu(nn_graph *g, nn_tensor *x);    /* x*sigmoid(x) */
NN_API nn_tensor *nn_relu(nn_graph *g, nn_tensor *x);    /* max(x,0) */
NN_API nn_tensor *nn_relu6(nn_graph *g, nn_tensor *x);   /* min(max(x,0),6) */
NN_API nn_tensor *nn_sigmoid(nn_graph *g, nn_tensor *x); /* 1/(1+exp(-x)) */
NN_API nn_tensor *nn_exp(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_log(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_sqrt(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_tanh(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_sin(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_cos(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_abs(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_softplus(nn_graph *g, nn_tensor *x);    /* log(1+exp(x)) */
NN_API nn_tensor *nn_mish(nn_graph *g, nn_tensor *x);        /* x*tanh(softplus(x)) */
NN_API nn_tensor *nn_hardsigmoid(nn_graph *g, nn_tensor *x); /* relu6(x+3)/6 */
NN_API nn_tensor *nn_hardswish(nn_graph *g, nn_tensor *x);   /* x*relu6(x+3)/6 */
NN_API nn_tensor *nn_pow(nn_graph *g, nn_tensor *x,
                         double exponent);                         /* NaN where x < 0, unless it is whole */
NN_API nn_tensor *nn_elu(nn_graph *g, nn_tensor *x, double alpha); /* x > 0 ? x : alpha*(exp(x)-1) */
NN_API nn_tensor *nn_gelu(nn_graph *g, nn_tensor *x, int approximate);    /* x*normal cdf(x), or tanh */
NN_API nn_tensor *nn_leaky_relu(nn_graph *g, nn_tensor *x, double slope); /* x > 0 ? x : slope*x */
/* low <= high; either may be infinite. */
NN_API nn_tensor *nn_clamp(nn_graph *g, nn_tensor *x, double low, double high);
/* Broadcasting as in NumPy: dimensions are aligned at the end, and one of a pair may be 1. */
NN_API nn_tensor *nn_add(nn_graph *g, nn_tensor *a, nn_tensor *b);
NN_API nn_tensor *nn_sub(nn_graph *g, nn_tensor *a, nn_tensor *b);
NN_API nn_tensor *nn_mul(nn_graph *g, nn_tensor *a, nn_tensor *b);
NN_API nn_tensor *nn_div(nn_graph *g, nn_tensor *a, nn_tensor *b);
/* a where the mask (NN_REAL or U8, without a gradient) is not 0, else b. */
NN_API nn_tensor *nn_where(nn_graph *g, nn_tensor *mask, nn_tensor *a, nn_tensor *b);
/* factor*x + shift. */
NN_API nn_tensor *nn_scale(nn_graph *g, nn_tensor *x, double factor, double shift);
/* To another floating type; U8 becomes NN_REAL. */
NN_API nn_tensor *nn_cast(nn_graph *g, nn_tensor *x, nn_dtype type);
/* (x/maximum - mean[c])/std[c] with x [N,H,W,3] U8 or NN_REAL -> NN_REAL. */
NN_API nn_tensor *nn_normalize(nn_graph *g, nn_tensor *x, const double mean[3], const double std[3],
                               double maximum);

/* ---- shape ---- */

/* One size may be -1: what is left for it. */
NN_API nn_tensor *nn_reshape(nn_graph *g, nn_tensor *x, nn_shape shape);
/* [N,...] -> [N,rest]. */
NN_API nn_tensor *nn_flatten(nn_graph *g, nn_tensor *x);
/* torch.permute: dimension k of the result is dimension order[k] of x. `order` has as many entries as x has
 * dimensions. */
NN_API nn_tensor *nn_permute(nn_graph *g, nn_tensor *x, const int *order);
/* torch.cat of `count` tensors, at most NN_MAX_IN, that differ along `axis` only; torch.narrow. Here and
 * below an axis counts from 0, or from -1 at the end. */
NN_API nn_tensor *nn_concat(nn_graph *g, nn_tensor *const *x, int count, int axis);
NN_API nn_tensor *nn_slice(nn_graph *g, nn_tensor *x, int axis, int64_t begin, int64_t length);
/* torch.index_select, with `index` (I32 or I64) of any shape, which takes the place of the axis: numpy.take.
 * An index out of range gives NaN. nn_embedding, of weight [V,D], is that along axis 0: [...] -> [...,D]. */
NN_API nn_tensor *nn_gather(nn_graph *g, nn_tensor *x, nn_tensor *index, int axis);
NN_API nn_tensor *nn_embedding(nn_graph *g, nn_tensor *weight, nn_tensor *index);
/* Zeros around H and W of x [N,H,W,C]. */
NN_API nn_tensor *nn_pad(nn_graph *g, nn_tensor *x, int64_t top, int64_t bottom, int64_t left, int64_t right);

/* ---- reductions ---- */

#define NN_AXIS(i) (UINT32_C(1) << ((i)&31)) /* negative: from the end */
typedef struct nn_reduce_opts {
    uint32_t axes; /* NN_AXIS(1) | NN_AXIS(2); 0: all, which makes [] */
    int keep;      /* reduced dimensions stay, as 1 */
} nn_reduce_opts;
NN_API nn_tensor *nn_sum(nn_graph *g, nn_tensor *x, nn_reduce_opts opts);
NN_API nn_tensor *nn_mean(nn_graph *g, nn_tensor *x, nn_reduce_opts opts);
/* The largest and the smallest (torch.amax, torch.amin): equal ones share the gradient. */
NN_API nn_tensor *nn_max(nn_graph *g, nn_tensor *x, nn_reduce_opts opts);
NN_API nn_tensor *nn_min(nn_graph *g, nn_tensor *x, nn_reduce_opts opts);
/* sum (x - mean)^2/(count - correction): torch.var, whose default correction is 1. */
NN_API nn_tensor *nn_variance(nn_graph *g, nn_tensor *x, int64_t correction, nn_reduce_opts opts);
/* [N,H,W,C] -> [N,1,1,C], the mean over H and W. */
NN_API nn_tensor *nn_global_avg_pool(nn_graph *g, nn_tensor *x);
/* Over the last dimension. */
NN_API nn_tensor *nn_softmax(nn_graph *g, nn_tensor *x);
NN_API nn_tensor *nn_log_softmax(nn_graph *g, nn_tensor *x);

/* ---- windows and sizes: x [N,H,W,C] -> [N,H',W',C] ---- */

typedef struct nn_pool_opts {
    int64_t k, stride, pad; /* window k x k; stride 0: k; pad at most k/2 on all four sides */
    int ceil_mode;          /* one more window where pixels are left over */
    int exclude_pad;        /* averages over what is not padding: count_include_pad=False */
} nn_pool_opts;

/* torch.nn.functional.max_pool2d, avg_pool2d and adaptive_avg_pool2d. The gradient of a maximum goes to the
 * first of equal ones. */
NN_API nn_tensor *nn_max_pool2d(nn_graph *g, nn_tensor *x, nn_pool_opts opts);
NN_API nn_tensor *nn_avg_pool2d(nn_graph *g, nn_tensor *x, nn_pool_opts opts);
NN_API nn_tensor *nn_adaptive_avg_pool2d(nn_graph *g, nn_tensor *x, int64_t height, int64_t width);

/* torch.nn.functional.interpolate(size=(height, width)), nearest by default. */
typedef struct nn_upsample_opts {
    int64_t height, width;
    int bilinear, align_corners;
} nn_upsample_opts;
NN_API nn_tensor *nn_upsample(nn_graph *g, nn_tensor *x, nn_upsample_opts opts);

/* ---- losses ---- */

typedef struct nn_ce_opts {
    double smoothing;         /* label smoothing in [0,1) */
    nn_tensor *class_weights; /* [C] or NULL */
    int ignore;               /* nonzero: rows whose target is ignore_index take no part. All ignored: NaN */
    int32_t ignore_index;     /* any number; torch's default is -100 */
} nn_ce_opts;
/* Mean cross entropy of logits [...,C] with target [...] (I32 class indices) or [...,C] (NN_REAL
 * probabilities) -> []. Definition of torch.nn.CrossEntropyLoss, weights, smoothing and ignore_index
 * included. Any other index outside [0,C) makes the loss NaN. */
NN_API nn_tensor *nn_cross_entropy(nn_graph *g, nn_tensor *logits, nn_tensor *target, nn_ce_opts opts);

/* Losses of prediction x and target t of the same shape, with d = x - t; the definitions are those of
 * torch.nn.functional. Both have gradients. Reduced to [], unless NN_REDUCE_NONE keeps the shape. */
typedef enum nn_reduction {
    NN_REDUCE_MEAN,
    NN_REDUCE_SUM,
    NN_REDUCE_BATCH_MEAN, /* the sum divided by the first dimension */
    NN_REDUCE_NONE
} nn_reduction;
NN_API nn_tensor *nn_mse(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_reduction r); /* d^2 */
NN_API nn_tensor *nn_l1(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_reduction r);  /* |d| */
/* d^2/(2*beta) where |d| < beta, else |d| - beta/2. */
NN_API nn_tensor *nn_smooth_l1(nn_graph *g, nn_tensor *x, nn_tensor *t, double beta, nn_reduction r);
/* d^2/2 where |d| < delta, else delta*(|d| - delta/2). */
NN_API nn_tensor *nn_huber(nn_graph *g, nn_tensor *x, nn_tensor *t, double delta, nn_reduction r);
/* t*(log t - x): x are logarithms of probabilities, t probabilities. */
NN_API nn_tensor *nn_kl_div(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_reduction r);
/* -(w*t*log s(x) + (1-t)*log(1-s(x))), s the logistic function. pos_weight w, without a gradient, broadcasts
 * to x, or is NULL: 1. */
NN_API nn_tensor *nn_bce_with_logits(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_tensor *pos_weight,
                                     nn_reduction r);

/* ---- randomness ---- */

/* 0 or 1/(1-p) in each element, 0 with probability p; of the given shape; first dimension = sample. */
NN_API nn_tensor *nn_keep_mask(nn_graph *g, nn_shape shape, double p);
/* x times a keep mask of its shape in a training graph; x itself in evaluation or when p is 0. */
NN_API nn_tensor *nn_dropout(nn_graph *g, nn_tensor *x, double p);
/* Stochastic depth: x times one mask value per row (sample). */
NN_API nn_tensor *nn_drop_path(nn_graph *g, nn_tensor *x, double p);

/* ---- block ops ---- */

/* act(scale*(conv1x1(x, w1) - mean) + beta), then a depthwise convolution, in bands of rows so that the
 * expanded tensor never exists in memory, where mean and scale do not depend on the batch: evaluation and
 * frozen batch norm. x [N,H,W,I], w1 [E,I,1,1], mean/scale/beta [E], w2 [E,1,k,k]. */
typedef struct nn_expand_opts {
    nn_act act;
    nn_conv_opts conv;
} nn_expand_opts;
NN_API nn_tensor *nn_expand_depthwise(nn_graph *g, nn_tensor *x, nn_tensor *w1, nn_tensor *const norm[3],
                                      nn_tensor *w2, nn_expand_opts opts);

NN_C_END

#endif
