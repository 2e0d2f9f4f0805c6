/* SPDX-License-Identifier: MIT
 *
 * loss.c on the GPU.
 */
#include "cuda/elementwise.h"
#include "cuda/formula.h"
#include "ops/loss_attrs.h"

namespace
{

enum { X, TARGET, WEIGHT };

const nni_loss *loss_of(const nn_step *s) { return static_cast<const nni_loss *>(s->attrs); }
nni_formula_map formula_of(const nn_step *s) { return { loss_of(s)->formula }; }
bool is_reduced(const nn_step *s) { return loss_of(s)->reduction != NN_REDUCE_NONE; }
int operands(const nn_step *s) { return nn_has(&s->in[WEIGHT]) ? 3 : 2; }

/* Of all elements into one. */
nni_fold fold_of(const nn_step *s)
{
    nn_shape shape[2] = { s->in[X].shape, NN_SHAPE0() };
    nni_broadcast g;

    nni_broadcast_all(shape, 2, &g);
    return nni_fold_of(g, 1);
}

struct term {
    nni_operands<float> in;
    nni_formula_map f;

    __device__ float operator()(int64_t i, int64_t) const
    {
        float v[NNI_OPERANDS];

        in.load(i, v);
        return f.value(v);
    }
};

struct total {
    float *y;
    double divisor;

    __device__ void operator()(int64_t, double sum) const { *y = static_cast<float>(sum / divisor); }
};

int forward_launch(const nn_step *s, void *stream)
{
    if (!is_reduced(s))
        return nni_elementwise_values(s, stream, operands(s), formula_of(s));
    return nni_fold_all<nni_adding>(
        stream, fold_of(s), static_cast<double *>(s->scratch),
        term{ nni_operands_of<float>(s, operands(s)), formula_of(s) },
        total{ nni_at(&s->out[0]), nni_loss_divisor(loss_of(s), s->in[X].shape) });
}

int backward_launch(const nn_step *s, void *stream)
{
    nni_grad_map<float, nni_formula_map> map = { nni_operands_of<float>(s, operands(s)),
                                                 formula_of(s),
                                                 nni_at(&s->dout[0]),
                                                 !is_reduced(s),
                                                 static_cast<float>(
                                                     1 / nni_loss_divisor(loss_of(s), s->in[X].shape)),
                                                 { nni_at(&s->din[X]), nni_at(&s->din[TARGET]) },
                                                 { nni_adds(s, X), nni_adds(s, TARGET) } };

    return nni_map(stream, nn_shape_count(s->in[X].shape), map);
}

} // namespace

int nni_cuda_loss_forward(nn_step *s)
{
    s->flops = 4 * static_cast<double>(nn_shape_count(s->in[X].shape));
    if (is_reduced(s))
        s->scratch_bytes = static_cast<size_t>(fold_of(s).partials()) * sizeof(double);
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_loss_backward(nn_step *s)
{
    s->flops = 4 * static_cast<double>(nn_shape_count(s->in[X].shape));
    s->launch = backward_launch;
    return NN_OK;
}
