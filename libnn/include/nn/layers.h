/* SPDX-License-Identifier: MIT
 *
 * Layers: names and composition, no arithmetic. Each pushes its name, declares or finds its parameters there
 * (the same name twice shares them), and calls ops. Names, shapes and first values are those of torch.nn.
 */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include <nn/ops.h>

NN_C_BEGIN

/* init_fan_out: as in torchvision's networks, zero biases and weights scaled by the number of outputs,
 * kaiming_normal(fan_out) of convolutions and uniform(1/sqrt(out)) of linear maps. */
typedef struct nn_conv2d_opts {
    int64_t out, k;                   /* output channels, kernel size */
    int64_t stride, dilation, groups; /* 0: 1 */
    nn_padding padding;
    int64_t pad;
    int bias, init_fan_out;
} nn_conv2d_opts;
typedef struct nn_conv_transpose2d_opts {
    int64_t out, k, stride, dilation, groups, pad, output_pad; /* as in nn_conv_transpose_opts */
    int bias, init_fan_out;
} nn_conv_transpose2d_opts;
typedef struct nn_batchnorm_opts {
    double eps, momentum; /* 0: 1e-5, 0.1 */
} nn_batchnorm_opts;
typedef struct nn_linear_opts {
    int64_t out;
    int no_bias, init_fan_out;
    double init_std; /* not 0: weights from a normal distribution of this deviation, and zero biases */
} nn_linear_opts;

typedef struct nn_embedding_opts {
    int64_t count, width; /* rows, and what each becomes */
    double init_std;      /* of the normal distribution that weights are drawn from; 0: 1 */
} nn_embedding_opts;

/* An inverted residual block of MobileNetV2 and EfficientNet. */
typedef struct nn_mbconv_opts {
    int64_t out, k, stride; /* output channels; kernel size and stride of the depthwise convolution */
    int64_t expand;  /* the depthwise convolution's channels for each input channel; 0: 1, no widening */
    int64_t squeeze; /* hidden channels of the squeeze-and-excite; 0: none */
    int relu6;       /* the activation of convolutions, instead of silu */
    nn_padding padding;
    nn_batchnorm_opts norm;
    double drop_path; /* stochastic depth: probability that a sample skips the block, where there is a sum */
} nn_mbconv_opts;

/* "<name>.weight" [out, C/groups, k, k], "<name>.bias" [out]. */
NN_API nn_tensor *nn_layer_conv2d(nn_graph *g, const char *name, nn_tensor *x, nn_conv2d_opts opts);
/* "<name>.weight" [C, out/groups, k, k], "<name>.bias" [out]. */
NN_API nn_tensor *nn_layer_conv_transpose2d(nn_graph *g, const char *name, nn_tensor *x,
                                            nn_conv_transpose2d_opts opts);
/* x [...,I] -> [...,out]: "<name>.weight" [out, I], "<name>.bias" [out]. */
NN_API nn_tensor *nn_layer_linear(nn_graph *g, const char *name, nn_tensor *x, nn_linear_opts opts);
/* index [...] (I32 or I64, below opts.count) -> [...,width]: "<name>.weight" [count, width]. */
NN_API nn_tensor *nn_layer_embedding(nn_graph *g, const char *name, nn_tensor *index, nn_embedding_opts opts);
/* "<name>.weight", ".bias", ".running_mean", ".running_var" [C], ".num_batches_tracked" []. In training
 * mode it normalises with the batch's statistics and tracks them, else with the running ones. */
NN_API nn_tensor *nn_layer_batchnorm(nn_graph *g, const char *name, nn_tensor *x, nn_batchnorm_opts opts);
/* Over the last dimension, or groups of it: "<name>.weight", "<name>.bias" [C]. eps 0: 1e-5. */
NN_API nn_tensor *nn_layer_layernorm(nn_graph *g, const char *name, nn_tensor *x, double eps);
NN_API nn_tensor *nn_layer_groupnorm(nn_graph *g, const char *name, nn_tensor *x, nn_group_norm_opts opts);
/* torchvision's Conv2dNormActivation before the activation: "<name>.0", a convolution, and "<name>.1", its
 * batch norm. */
NN_API nn_tensor *nn_layer_conv2d_norm(nn_graph *g, const char *name, nn_tensor *x, nn_conv2d_opts conv,
                                       nn_batchnorm_opts norm);
/* x * sigmoid(fc2(silu(fc1(mean of x over H and W)))), "<name>.fc1", "<name>.fc2" with biases. */
NN_API nn_tensor *nn_layer_squeeze_excite(nn_graph *g, const char *name, nn_tensor *x, int64_t squeeze);
/* torchvision's MBConv, called as there: "<name>.block.0.0.weight" and on. Widen by a 1x1 convolution, filter
 * each channel by itself, weigh the channels, project; x is added at stride 1, where the shape is still that
 * of x. */
NN_API nn_tensor *nn_layer_mbconv(nn_graph *g, const char *name, nn_tensor *x, nn_mbconv_opts opts);

NN_C_END

#endif
