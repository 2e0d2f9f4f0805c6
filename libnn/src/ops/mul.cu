/* SPDX-License-Identifier: MIT
 *
 * mul.c on the GPU. Backward may write da over dy, so sums over dy are taken first, but leave scratch only
 * when nobody reads dy any more.
 */
#include "cuda/broadcast.h"

namespace
{

enum { A, B };

template <class T> struct product {
    nni_broadcast g;
    const T *a, *b;
    T *y;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;

        nni_locate(g, i, &p, &q);
        y[i] = static_cast<T>(static_cast<float>(a[p]) * static_cast<float>(b[q]));
    }
};

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    product<T> f = { {}, nni_at<T>(&s->in[A]), nni_at<T>(&s->in[B]), nni_at<T>(&s->out[0]) };

    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &f.g);
    return nni_map(stream, nn_shape_count(s->out[0].shape), f);
}

/* The gradients of operands that have the result's shape; NULL where there is none. */
template <class T> struct gradient {
    nni_broadcast g;
    const T *a, *b, *dy;
    T *da, *db;
    bool add_a, add_b;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;
        float d = static_cast<float>(dy[i]), x, y;

        nni_locate(g, i, &p, &q);
        x = static_cast<float>(a[p]);
        y = static_cast<float>(b[q]);
        if (da)
            nni_put(da + i, add_a, d * y);
        if (db)
            nni_put(db + i, add_b, d * x);
    }
};

bool is_whole(const nn_step *s, int i)
{
    return nn_shape_count(s->in[i].shape) == nn_shape_count(s->dout[0].shape);
}

/* Scratch of both sums, one after the other. */
float *partial_of(const nn_step *s, int which, size_t *bytes)
{
    nni_layout l = nni_scratch(s);
    float *at[2] = {};

    for (int i = A; i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i)) {
            nni_repeated r = nni_repeated_of(s->in[i].shape, s->dout[0].shape);

            at[i] = l.take<float>(r.kept * r.chunks);
        }
    *bytes = l.bytes;
    return at[which];
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nn_shape shape = s->dout[0].shape;
    gradient<T> f = { {},      nni_at<T>(&s->in[A]), nni_at<T>(&s->in[B]), nni_at<T>(&s->dout[0]), nullptr,
                      nullptr, nni_adds(s, A),       nni_adds(s, B) };
    size_t bytes;
    int e = 0;

    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i))
            e = nni_pieces(stream, nni_repeated_of(s->in[i].shape, shape), f.dy, nni_at<T>(&s->in[1 - i]),
                           shape, s->in[1 - i].shape, partial_of(s, i, &bytes));
    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &f.g);
    f.da = is_whole(s, A) ? nni_at<T>(&s->din[A]) : nullptr;
    f.db = is_whole(s, B) ? nni_at<T>(&s->din[B]) : nullptr;
    if (!e && (f.da || f.db))
        e = nni_map(stream, nn_shape_count(shape), f);
    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i)) {
            nni_repeated r = nni_repeated_of(s->in[i].shape, shape);

            e = nni_merge<1>(stream, partial_of(s, i, &bytes), 1, r.chunks, r.kept,
                             nni_merge_pieces<T>{ nni_at<T>(&s->din[i]), nni_adds(s, i) });
        }
    return e;
}

} // namespace

int nni_cuda_mul_forward(nn_step *s)
{
    s->flops = static_cast<double>(nn_shape_count(s->out[0].shape));
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[A]);
    return NN_OK;
}

int nni_cuda_mul_backward(nn_step *s)
{
    (void)partial_of(s, A, &s->scratch_bytes);
    s->flops = 2.0 * static_cast<double>(nn_shape_count(s->dout[0].shape)) *
               (nn_has(&s->din[A]) + nn_has(&s->din[B]));
    s->launch = NNI_FOR_TYPE(backward_launch, s->dout[0]);
    return NN_OK;
}
