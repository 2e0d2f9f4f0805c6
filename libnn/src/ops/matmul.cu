/* SPDX-License-Identifier: MIT
 *
 * matmul.c on the GPU: products of cuBLASLt, all places of the leading dimensions in one call. As there,
 * forward and both gradients are one function of three descriptions.
 */
#include "cuda/kernel.h"

namespace
{

enum { A, B };

/* A matrix for each place, one behind the other; stored by rows, or by columns. */
struct matrix {
    const nn_operand *at;
    int64_t rows, cols;
    bool transposed;
};

matrix turned(const matrix &x) { return { x.at, x.cols, x.rows, !x.transposed }; }
int64_t row_of(const matrix &x) { return x.transposed ? x.rows : x.cols; }

struct product {
    matrix a, b;
    const nn_operand *c; /* dense */
    int64_t count;
};

/* One matrix b for all is the same as one product with all the rows of a. */
struct sizes {
    int64_t count, m, n, k;
};

sizes sizes_of(const nn_step *s)
{
    const nn_matmul_opts *o = static_cast<const nn_matmul_opts *>(s->attrs);
    nn_shape a = s->in[A].shape, b = s->in[B].shape;
    int64_t rest = 1;
    sizes z = { 1, a.dim[a.rank - (o->transpose_a ? 1 : 2)], b.dim[b.rank - (o->transpose_b ? 2 : 1)],
                a.dim[a.rank - (o->transpose_a ? 2 : 1)] };

    for (int i = 0; i < a.rank - 2; i++)
        rest *= a.dim[i];
    if (b.rank == 2)
        z.m *= rest;
    else
        z.count = rest;
    return z;
}

product forward_product(const nn_step *s)
{
    const nn_matmul_opts *o = static_cast<const nn_matmul_opts *>(s->attrs);
    sizes z = sizes_of(s);

    return { { &s->in[A], z.m, z.k, o->transpose_a != 0 },
             { &s->in[B], z.k, z.n, o->transpose_b != 0 },
             &s->out[0],
             z.count };
}

/* The gradient of operand `which`, transposed where the operand is stored so. */
product backward_product(const nn_step *s, int which)
{
    const nn_matmul_opts *o = static_cast<const nn_matmul_opts *>(s->attrs);
    product y = forward_product(s);
    matrix dy = { &s->dout[0], y.a.rows, y.b.cols, false };

    if (which == A)
        return o->transpose_a ? product{ y.b, turned(dy), &s->din[A], y.count }
                              : product{ dy, turned(y.b), &s->din[A], y.count };
    return o->transpose_b ? product{ turned(dy), y.a, &s->din[B], y.count }
                          : product{ turned(y.a), dy, &s->din[B], y.count };
}

/* The lowest bit that any distance between matrices has. */
int64_t alignment(const product &p)
{
    int64_t floats = p.count > 1 ? p.a.rows * p.a.cols | p.b.rows * p.b.cols | p.a.rows * p.b.cols : 0;
    int64_t bits = floats * static_cast<int64_t>(sizeof(float)) | NNI_ALIGNED;

    return bits & -bits;
}

nni_product shape_of(const product &p)
{
    nni_batch batch = { p.count, p.a.rows * p.a.cols, p.b.rows * p.b.cols, p.a.rows * p.b.cols };

    return { p.a.transposed, p.b.transposed, p.a.rows, p.b.cols, p.a.cols,     row_of(p.a),
             row_of(p.b),    p.b.cols,       NN_F32,   NN_F32,   alignment(p), batch };
}

int multiply(const nn_step *s, void *stream, const product &p, bool add)
{
    nni_product shape = shape_of(p);

    return nni_product_run(s->device, &shape, nni_at(p.a.at), nni_at(p.b.at), add, nni_at(p.c), stream);
}

int forward_launch(const nn_step *s, void *stream) { return multiply(s, stream, forward_product(s), false); }

int backward_launch(const nn_step *s, void *stream)
{
    int e = 0;

    for (int which = A; !e && which <= B; which++)
        if (nn_has(&s->din[which]))
            e = multiply(s, stream, backward_product(s, which), nni_adds(s, which));
    return e;
}

int ready(nn_step *s, const product &p)
{
    nni_product shape = shape_of(p);

    s->flops += 2 * static_cast<double>(p.count * shape.m) * static_cast<double>(shape.n * shape.k);
    return nni_product_ready(s->device, &shape);
}

} // namespace

int nni_cuda_matmul_forward(nn_step *s)
{
    s->launch = forward_launch;
    return ready(s, forward_product(s));
}

int nni_cuda_matmul_backward(nn_step *s)
{
    int rc = NN_OK;

    for (int which = A; !rc && which <= B; which++)
        if (nn_has(&s->din[which]))
            rc = ready(s, backward_product(s, which));
    s->launch = backward_launch;
    return rc;
}
