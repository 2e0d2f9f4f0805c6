/* SPDX-License-Identifier: MIT
 *
 * mul.c on the GPU. Backward may write da over dy, so sums over dy are taken first, but leave scratch only
 * when nobody reads dy any more.
 */
#include "cuda/broadcast.h"

namespace
{

enum { A, B };

struct product {
    nni_broadcast g;
    const float *a, *b;
    float *y;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;

        nni_locate(g, i, &p, &q);
        y[i] = a[p] * b[q];
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    product f = { {}, nni_at(&s->in[A]), nni_at(&s->in[B]), nni_at(&s->out[0]) };

    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &f.g);
    return nni_map(stream, nn_shape_count(s->out[0].shape), f);
}

/* The gradients of operands that have the result's shape; NULL where there is none. */
struct gradient {
    nni_broadcast g;
    const float *a, *b, *dy;
    float *da, *db;
    bool add_a, add_b;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;
        float d = dy[i], x, y;

        nni_locate(g, i, &p, &q);
        x = a[p];
        y = b[q];
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

int backward_launch(const nn_step *s, void *stream)
{
    nn_shape shape = s->dout[0].shape;
    gradient f = { {},      nni_at(&s->in[A]), nni_at(&s->in[B]), nni_at(&s->dout[0]),
                   nullptr, nullptr,           nni_adds(s, A),    nni_adds(s, B) };
    size_t bytes;
    int e = 0;

    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i))
            e = nni_pieces(stream, nni_repeated_of(s->in[i].shape, shape), f.dy, nni_at(&s->in[1 - i]), shape,
                           s->in[1 - i].shape, partial_of(s, i, &bytes));
    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &f.g);
    f.da = is_whole(s, A) ? nni_at(&s->din[A]) : nullptr;
    f.db = is_whole(s, B) ? nni_at(&s->din[B]) : nullptr;
    if (!e && (f.da || f.db))
        e = nni_map(stream, nn_shape_count(shape), f);
    for (int i = A; !e && i <= B; i++)
        if (nn_has(&s->din[i]) && !is_whole(s, i)) {
            nni_repeated r = nni_repeated_of(s->in[i].shape, shape);

            e = nni_merge<1>(stream, partial_of(s, i, &bytes), 1, r.chunks, r.kept,
                             nni_merge_pieces{ nni_at(&s->din[i]), nni_adds(s, i) });
        }
    return e;
}

} // namespace

int nni_cuda_mul_forward(nn_step *s)
{
    s->flops = static_cast<double>(nn_shape_count(s->out[0].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_mul_backward(nn_step *s)
{
    (void)partial_of(s, A, &s->scratch_bytes);
    s->flops = 2.0 * static_cast<double>(nn_shape_count(s->dout[0].shape)) *
               (nn_has(&s->din[A]) + nn_has(&s->din[B]));
    s->launch = backward_launch;
    return NN_OK;
}
