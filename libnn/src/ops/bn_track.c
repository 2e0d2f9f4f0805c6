/* SPDX-License-Identifier: MIT
 *
 * The running statistics of batch norm, an effect rather than a value:
 *
 *     running = (1 - momentum)*running + momentum*batch      batches += 1
 *
 * The variance that enters is the unbiased one (times count/(count - 1)), as in torch. A batch with
 * a statistic that is not finite changes nothing: the update it belongs to will be skipped, and
 * one NaN in the running statistics would stay there for good. So everything is looked at before
 * anything is stored.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <math.h>

enum { MEAN, VARIANCE, RUNNING_MEAN, RUNNING_VARIANCE, BATCHES };

static void track_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_bn_track *a = s->attrs;
    const nn_real *mean = s->in[MEAN].at, *variance = s->in[VARIANCE].at;
    nn_real *running_mean = s->in[RUNNING_MEAN].at, *running_variance = s->in[RUNNING_VARIANCE].at;
    int64_t *batches = nn_has(&s->in[BATCHES]) ? s->in[BATCHES].at : NULL;
    int64_t channels = nn_shape_count(s->in[MEAN].shape);
    double m = a->momentum, unbias = (double)a->count / (double)(a->count - 1);

    (void)tile;
    (void)lane;
    for (int64_t c = 0; c < channels; c++)
        if (!isfinite(mean[c]) || !isfinite(variance[c]))
            return;
    for (int64_t c = 0; c < channels; c++) {
        running_mean[c] = (nn_real)((1 - m) * (double)running_mean[c] + m * (double)mean[c]);
        running_variance[c] =
            (nn_real)((1 - m) * (double)running_variance[c] + m * unbias * (double)variance[c]);
    }
    if (batches)
        ++*batches;
}

static int forward(nn_step *s)
{
    nn_phase(s, 1, track_tile);
    s->flops = 6 * (double)nn_shape_count(s->in[MEAN].shape);
    return NN_OK;
}

static int infer(nn_node *n)
{
    const struct nni_bn_track *a = n->attrs;
    int rc = nni_infer_real(n, MEAN, 1);

    for (int i = MEAN; !rc && i <= RUNNING_VARIANCE; i++)
        rc = nni_infer_vector(n, i, nn_dim(n->in[MEAN], -1));
    if (!rc)
        rc = nni_infer_constant(n, "momentum", a->momentum, 0, 1);
    if (rc)
        return rc;
    for (int i = RUNNING_MEAN; i <= BATCHES; i++)
        if (n->in[i] && n->in[i]->base != NN_BASE_STATE)
            return nn_infer_fail(n, "input %d is changed in place and must be state", i);
    if (n->in[BATCHES] && (nn_type_get(n->in[BATCHES]) != NN_I64 || nn_shape_get(n->in[BATCHES]).rank))
        return nn_infer_fail(n, "the number of batches must be a scalar of type I64");
    if (a->count < 2)
        return nn_infer_fail(n, "more than one value per channel is needed in training");
    return NN_OK;
}

const nn_op nn_op_bn_track = {
    .abi = NN_OP_ABI,
    .name = "bn_track",
    .inputs = 4,
    .optional = NN_IN(BATCHES),
    .flags = NN_OP_EFFECT | NN_OP_NO_GRAD,
    .attrs_bytes = sizeof(struct nni_bn_track),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_bn_track_forward) },
};

void nn_bn_track(nn_graph *g, nn_tensor *mean, nn_tensor *variance, nn_tensor *running_mean,
                 nn_tensor *running_variance, nn_tensor *batches, double momentum, int64_t count)
{
    (void)nn_apply_all(g, &nn_op_bn_track, &(struct nni_bn_track){ momentum, count },
                       (nn_tensor *[]){ mean, variance, running_mean, running_variance, batches }, 5);
}
