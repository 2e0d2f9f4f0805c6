/* SPDX-License-Identifier: MIT
 *
 * concat.c on the GPU.
 */
#include "cuda/strided.h"
#include "ops/attrs.h"

namespace
{

const nni_concat *attrs_of(const nn_step *s) { return static_cast<const nni_concat *>(s->attrs); }

/* The parts, and of each the stripe that it is of the whole. */
template <class F> int for_parts(const nn_step *s, nn_shape whole, F f)
{
    const nni_concat *a = attrs_of(s);
    int64_t begin = 0;
    int e = 0;

    for (int k = 0; !e && k < a->count; k++) {
        int64_t length = s->in[k].shape.dim[a->axis];

        e = f(k, nni_stripe_of(whole, a->axis, begin, length));
        begin += length;
    }
    return e;
}

int forward_launch(const nn_step *s, void *stream)
{
    return for_parts(s, s->out[0].shape, [=](int k, const nni_strided &stripe) {
        nni_strided in = nni_turned(stripe);

        return nni_cuda_move(stream, &in, &s->in[k], &s->out[0], false);
    });
}

int backward_launch(const nn_step *s, void *stream)
{
    return for_parts(s, s->dout[0].shape, [=](int k, const nni_strided &stripe) {
        if (!nn_has(&s->din[k]))
            return 0;
        return nni_cuda_move(stream, &stripe, &s->dout[0], &s->din[k], nni_adds(s, k));
    });
}

} // namespace

int nni_cuda_concat_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_concat_backward(nn_step *s)
{
    if (s->dout[0].type != NN_F32)
        return NN_EUNSUPPORTED;
    s->launch = backward_launch;
    return NN_OK;
}
