/* SPDX-License-Identifier: MIT
 *
 * The factor of batch norm: scale = gamma*r with r = 1/sqrt(variance + eps), and
 *
 *     dgamma = dscale*r      dvariance = -dscale*gamma*r^3/2
 *
 * One value per channel, computed in double: what is lost here is lost in every element of the
 * activation. gamma may be absent (ones).
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <math.h>

enum { VARIANCE, GAMMA };

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_bn_coeff *a = s->attrs;
    const nn_real *variance = s->in[VARIANCE].at, *gamma = nn_has(&s->in[GAMMA]) ? s->in[GAMMA].at : NULL;
    nn_real *scale = s->out[0].at;

    (void)tile;
    (void)lane;
    for (int64_t c = 0, n = nn_shape_count(s->out[0].shape); c < n; c++)
        scale[c] = (nn_real)((gamma ? (double)gamma[c] : 1) / sqrt((double)variance[c] + a->eps));
}

static int forward(nn_step *s)
{
    nn_phase(s, 1, forward_tile);
    s->flops = 3 * (double)nn_shape_count(s->out[0].shape);
    return NN_OK;
}

static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_bn_coeff *a = s->attrs;
    const nn_real *variance = s->in[VARIANCE].at, *gamma = nn_has(&s->in[GAMMA]) ? s->in[GAMMA].at : NULL;
    const nn_real *dscale = s->dout[0].at;
    nn_real *dvariance = nn_has(&s->din[VARIANCE]) ? s->din[VARIANCE].at : NULL;
    nn_real *dgamma = nn_has(&s->din[GAMMA]) ? s->din[GAMMA].at : NULL;

    (void)tile;
    (void)lane;
    for (int64_t c = 0, n = nn_shape_count(s->dout[0].shape); c < n; c++) {
        double v = (double)variance[c] + a->eps, r = 1 / sqrt(v), d = dscale[c];
        double to_variance = -0.5 * d * (gamma ? (double)gamma[c] : 1) * r / v;

        if (dvariance)
            dvariance[c] =
                (nn_real)(s->accumulate & NN_IN(VARIANCE) ? (double)dvariance[c] + to_variance : to_variance);
        if (dgamma)
            dgamma[c] = (nn_real)(s->accumulate & NN_IN(GAMMA) ? (double)dgamma[c] + d * r : d * r);
    }
}

static int backward(nn_step *s)
{
    nn_phase(s, 1, backward_tile);
    s->flops = 8 * (double)nn_shape_count(s->dout[0].shape);
    return NN_OK;
}

static int infer(nn_node *n)
{
    const struct nni_bn_coeff *a = n->attrs;
    int rc = nni_infer_real(n, VARIANCE, 1);

    if (!rc)
        rc = nni_infer_vector(n, VARIANCE, nn_dim(n->in[VARIANCE], -1));
    if (!rc)
        rc = nni_infer_vector(n, GAMMA, nn_dim(n->in[VARIANCE], -1));
    if (!rc)
        rc = nni_infer_constant(n, "eps", a->eps, 0, NNI_MOST_EPS);
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[VARIANCE]));
}

const nn_op nn_op_bn_coeff = {
    .abi = NN_OP_ABI,
    .name = "bn_coeff",
    .inputs = 1,
    .optional = NN_IN(GAMMA),
    .reads = NN_IN(VARIANCE) | NN_IN(GAMMA),
    .attrs_bytes = sizeof(struct nni_bn_coeff),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_bn_coeff_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_bn_coeff_backward) },
};

nn_tensor *nn_bn_coeff(nn_graph *g, nn_tensor *variance, nn_tensor *gamma, double eps)
{
    return nn_apply(g, &nn_op_bn_coeff, &(struct nni_bn_coeff){ eps }, (nn_tensor *[]){ variance, gamma }, 2);
}
