/* SPDX-License-Identifier: MIT
 *
 * add.c on the GPU. With slots y = b + mask*act(scale*(a - mean) + beta) by row; without them broadcasting.
 * Backward may write db over dy, so it comes after all that reads dy.
 */
#include "cuda/elementwise.h"
#include "cuda/slots.h"

namespace
{

enum { A, B, MEAN, SCALE, BETA, MASK };

struct sum {
    __device__ float value(const float *v) const { return v[A] + v[B]; }
    __device__ void grad(const float *, float *d) const { d[A] = d[B] = 1; }
};

bool has_slot(const nn_step *s) { return nn_has(&s->in[MEAN]) || nn_has(&s->in[MASK]); }

/* By image, as a mask wants it. */
nni_split split_of(const nn_step *s, nn_shape shape)
{
    return nni_split_of(nni_rows_of(shape), nni_cols(shape), nn_has(&s->in[MASK]) ? shape.dim[0] : 1);
}

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nni_reading r = nni_reading_of(s, MEAN, 0, MASK);
    nni_split split = split_of(s, s->out[0].shape);

    if (!has_slot(s))
        return nni_elementwise_values<T>(s, stream, 2, sum{});
    return nni_cuda_read(stream, &r, &split, nni_at<T>(&s->in[A]), nni_at<T>(&s->in[B]),
                         nni_at<T>(&s->out[0]));
}

/* Without the gradients that are dy already, where it lies. */
nn_step remaining(const nn_step *s)
{
    nn_step r = *s;

    for (int i = A; i <= B; i++)
        if (nn_has(&s->din[i]) && nni_is_whole(s, i) && s->din[i].at == s->dout[0].at && !nni_adds(s, i))
            r.din[i].base = NN_BASE_NONE;
    return r;
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nn_step r = remaining(s);
    nni_unreading<T> u;
    nni_split split;
    int e;

    if (!has_slot(s))
        return nni_elementwise_grads<T>(&r, stream, 2, sum{});
    u = nni_unreading_of<T>(s, MEAN, 0, MASK);
    split = split_of(s, s->dout[0].shape);
    u.da = nni_at<T>(&s->dout[0]);
    e = nni_cuda_unread(stream, &u, &split, static_cast<float *>(s->scratch));
    r.din[A].base = NN_BASE_NONE;
    return e ? e : nni_elementwise_grads<T>(&r, stream, 2, sum{});
}

} // namespace

int nni_cuda_add_forward(nn_step *s)
{
    s->flops = static_cast<double>(nn_shape_count(s->out[0].shape)) * (has_slot(s) ? 5 : 1);
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[A]);
    return NN_OK;
}

int nni_cuda_add_backward(nn_step *s)
{
    nni_split split = split_of(s, s->dout[0].shape);

    if (nn_has(&s->din[MASK]) && has_slot(s))
        return NN_EUNSUPPORTED;
    s->scratch_bytes = has_slot(s)
                           ? static_cast<size_t>(nni_unread_floats(s, MEAN, 0, &split)) * sizeof(float)
                           : nni_elementwise_scratch(s, 2);
    s->flops = static_cast<double>(nn_shape_count(s->dout[0].shape)) * (has_slot(s) ? 6 : 1);
    s->launch = NNI_FOR_TYPE(backward_launch, s->dout[0]);
    return NN_OK;
}
