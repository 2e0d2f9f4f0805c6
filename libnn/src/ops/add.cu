/* SPDX-License-Identifier: MIT
 *
 * add.c on the GPU. With slots y = b + mask*act(scale*(a - mean) + beta) by row; without them broadcasting.
 * Backward may write db over dy, so it comes after all that reads dy.
 */
#include "cuda/broadcast.h"
#include "cuda/slots.h"

namespace
{

enum { A, B, MEAN, SCALE, BETA, MASK };

bool has_slot(const nn_step *s) { return nn_has(&s->in[MEAN]) || nn_has(&s->in[MASK]); }

/* By image, as a mask wants it. */
nni_split split_of(const nn_step *s, nn_shape shape)
{
    return nni_split_of(nni_rows_of(shape), nni_cols(shape), nn_has(&s->in[MASK]) ? shape.dim[0] : 1);
}

template <class T> struct sum {
    nni_broadcast g;
    const T *a, *b;
    T *y;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;

        nni_locate(g, i, &p, &q);
        y[i] = static_cast<T>(static_cast<float>(a[p]) + static_cast<float>(b[q]));
    }
};

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    sum<T> f = { {}, nni_at<T>(&s->in[A]), nni_at<T>(&s->in[B]), nni_at<T>(&s->out[0]) };

    if (has_slot(s)) {
        nni_reading r = nni_reading_of(s, MEAN, 0, MASK);
        nni_split split = split_of(s, s->out[0].shape);

        return nni_cuda_read(stream, &r, &split, f.a, f.b, f.y);
    }
    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &f.g);
    return nni_map(stream, nn_shape_count(s->out[0].shape), f);
}

template <class T> struct pass {
    const T *dy;
    T *dx;
    bool add;

    __device__ void operator()(int64_t i) const { nni_put(dx + i, add, static_cast<float>(dy[i])); }
};

bool is_whole(const nn_step *s, int i)
{
    return nn_shape_count(s->din[i].shape) == nn_shape_count(s->dout[0].shape);
}

template <class T> int pass_on(const nn_step *s, void *stream, int i)
{
    pass<T> f = { nni_at<T>(&s->dout[0]), nni_at<T>(&s->din[i]), nni_adds(s, i) };

    if (f.dx == f.dy && !f.add)
        return 0;
    return nni_map(stream, nn_shape_count(s->dout[0].shape), f);
}

/* Scratch: pieces of a, pieces of b; with slots the sums of the affine. */
float *partial_of(const nn_step *s, int which, size_t *bytes)
{
    nni_layout l = nni_scratch(s);
    float *at[2] = {};

    if (has_slot(s)) {
        nni_split split = split_of(s, s->dout[0].shape);

        at[A] = l.take<float>(nni_unread_floats(s, MEAN, 0, &split));
    } else {
        for (int i = A; i <= B; i++)
            if (nn_has(&s->din[i]) && !is_whole(s, i)) {
                nni_repeated r = nni_repeated_of(s->din[i].shape, s->dout[0].shape);

                at[i] = l.take<float>(r.kept * r.chunks);
            }
    }
    *bytes = l.bytes;
    return at[which];
}

template <class T> int slot_backward(const nn_step *s, void *stream)
{
    nni_unreading<T> u = nni_unreading_of<T>(s, MEAN, 0, MASK);
    nni_split split = split_of(s, s->dout[0].shape);
    size_t bytes;
    int e;

    u.da = nni_at<T>(&s->dout[0]);
    e = nni_cuda_unread(stream, &u, &split, partial_of(s, A, &bytes));
    return e || !nn_has(&s->din[B]) ? e : pass_on<T>(s, stream, B);
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nn_shape shape = s->dout[0].shape;
    size_t bytes;
    int e = 0;

    if (has_slot(s))
        return slot_backward<T>(s, stream);
    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i))
            e = nni_pieces<T>(stream, nni_repeated_of(s->din[i].shape, shape), nni_at<T>(&s->dout[0]),
                              nullptr, shape, shape, partial_of(s, i, &bytes));
    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && is_whole(s, i))
            e = pass_on<T>(s, stream, i);
    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i)) {
            nni_repeated r = nni_repeated_of(s->din[i].shape, shape);

            e = nni_merge<1>(stream, partial_of(s, i, &bytes), 1, r.chunks, r.kept,
                             nni_merge_pieces<T>{ nni_at<T>(&s->din[i]), nni_adds(s, i) });
        }
    return e;
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
    if (nn_has(&s->din[MASK]) && has_slot(s))
        return NN_EUNSUPPORTED;
    (void)partial_of(s, A, &s->scratch_bytes);
    s->flops = static_cast<double>(nn_shape_count(s->dout[0].shape)) * (has_slot(s) ? 6 : 1);
    s->launch = NNI_FOR_TYPE(backward_launch, s->dout[0]);
    return NN_OK;
}
