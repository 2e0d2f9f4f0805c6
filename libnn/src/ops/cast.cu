/* SPDX-License-Identifier: MIT
 *
 * cast.c on the GPU. Values pass through double, which holds them all: memory is what is waited for.
 */
#include "cuda/element.h"
#include "ops/attrs.h"

namespace
{

struct converter {
    const void *from;
    void *to;
    nn_dtype from_type, to_type;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        double x = nni_get(from, from_type, i);

        nni_set(to, to_type, i, add ? x + nni_get(to, to_type, i) : x);
    }
};

int convert(void *stream, const nn_operand *from, const nn_operand *to, bool add)
{
    return nni_map(stream, nn_shape_count(to->shape),
                   converter{ from->at, to->at, from->type, to->type, add });
}

int forward_launch(const nn_step *s, void *stream) { return convert(stream, &s->in[0], &s->out[0], false); }

int backward_launch(const nn_step *s, void *stream)
{
    return convert(stream, &s->dout[0], &s->din[0], nni_adds(s, 0));
}

} // namespace

int nni_cuda_cast_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_cast_backward(nn_step *s)
{
    if (!nni_is_floating(s->din[0].type) || !nni_is_floating(s->dout[0].type))
        return NN_EUNSUPPORTED;
    s->launch = backward_launch;
    return NN_OK;
}
