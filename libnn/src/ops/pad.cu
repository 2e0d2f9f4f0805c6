/* SPDX-License-Identifier: MIT
 *
 * pad.c on the GPU: zeros, then the image.
 */
#include "cuda/strided.h"
#include "ops/attrs.h"

namespace
{

/* The image x in y. */
nni_strided image_of(const nn_step *s, nn_shape x, nn_shape y)
{
    const nni_pad *a = static_cast<const nni_pad *>(s->attrs);
    int64_t row = x.dim[2] * x.dim[3], padded = y.dim[2] * y.dim[3];

    return {
        3, { x.dim[0], x.dim[1], row },         { x.dim[1] * row, row, 1 }, { y.dim[1] * padded, padded, 1 },
        0, a->top * padded + a->left * x.dim[3]
    };
}

int forward_launch(const nn_step *s, void *stream)
{
    nni_strided image = image_of(s, s->in[0].shape, s->out[0].shape);
    int e = nni_cuda_zero(stream, &s->out[0]);

    return e ? e : nni_cuda_move(stream, &image, &s->in[0], &s->out[0], false);
}

int backward_launch(const nn_step *s, void *stream)
{
    nni_strided image = nni_turned(image_of(s, s->din[0].shape, s->dout[0].shape));

    return nni_cuda_move(stream, &image, &s->dout[0], &s->din[0], nni_adds(s, 0));
}

} // namespace

int nni_cuda_pad_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_pad_backward(nn_step *s)
{
    if (s->din[0].type != NN_F32 || s->dout[0].type != NN_F32)
        return NN_EUNSUPPORTED;
    s->launch = backward_launch;
    return NN_OK;
}
