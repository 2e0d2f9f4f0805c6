/* SPDX-License-Identifier: MIT
 *
 * conv1x1.c and linear.c on the GPU: products of cuBLASLt. What the slots do to the input happens in scratch
 * memory before the product, see cuda/slots.h.
 */
#include "cuda/slots.h"
#include "cuda/weight.h"

namespace
{

enum { X, WEIGHT, BIAS, MEAN, SCALE, BETA, GATE };

int64_t rows_of(const nn_step *s) { return nni_rows_of(s->in[X].shape); }
int64_t inputs(const nn_step *s) { return nni_cols(s->in[X].shape); }
int64_t outputs(const nn_step *s) { return s->in[WEIGHT].shape.dim[0]; }

/* By image where a gate may want that. */
nni_split split_of(const nn_step *s)
{
    return nni_split_of(rows_of(s), inputs(s), nn_has(&s->in[GATE]) ? s->in[X].shape.dim[0] : 1);
}

/* Activations and gradients of their type, which the weights are rounded to; the weights' gradient is float.
 */
nni_product forward_product(const nn_step *s)
{
    nn_dtype type = s->in[X].type;

    return { false,      true, rows_of(s), outputs(s),  inputs(s), inputs(s), nni_stride_of(type, inputs(s)),
             outputs(s), type, type,       NNI_ALIGNED, {} };
}
nni_product data_product(const nn_step *s)
{
    nn_dtype type = s->in[X].type;

    return {
        false,     false, rows_of(s), inputs(s),   outputs(s), outputs(s), nni_stride_of(type, inputs(s)),
        inputs(s), type,  type,       NNI_ALIGNED, {}
    };
}
nni_product weight_product(const nn_step *s)
{
    return { true,      false,     outputs(s),    inputs(s), rows_of(s),  outputs(s),
             inputs(s), inputs(s), s->in[X].type, NN_F32,    NNI_ALIGNED, {} };
}

template <class T> struct parts {
    T *a, *g;
    float *moments, *sums, *unread;
    size_t bytes;
};

bool has_moments(const nn_step *s) { return nn_has(&s->out[1]) || nn_has(&s->out[2]); }

template <class T> parts<T> forward_parts(const nn_step *s)
{
    nni_layout l = nni_scratch(s);
    parts<T> p = {};

    if (nni_has_reading(s, MEAN, GATE, 0))
        p.a = l.take<T>(rows_of(s) * inputs(s));
    if (has_moments(s))
        p.moments = l.take<float>(nni_moments_floats(rows_of(s), outputs(s)));
    p.bytes = l.bytes;
    return p;
}

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nni_reading r = nni_reading_of(s, MEAN, GATE, 0);
    nni_product product = forward_product(s);
    nni_split split = split_of(s);
    parts<T> p = forward_parts<T>(s);
    const T *x = nni_at<T>(&s->in[X]);
    T *y = nni_at<T>(&s->out[0]);
    int e = p.a ? nni_cuda_read<T>(stream, &r, &split, x, nullptr, p.a) : 0;

    if (!e)
        e = nni_product_run(s->device, &product, p.a ? p.a : x, nni_weight(s), 0, y, stream);
    if (!e && nn_has(&s->in[BIAS]))
        e = nni_cuda_bias(stream, y, nni_at(&s->in[BIAS]), rows_of(s), outputs(s));
    if (!e && has_moments(s))
        e = nni_cuda_moments(stream, y, rows_of(s), outputs(s), p.moments, nni_at(&s->out[1]),
                             nni_at(&s->out[2]));
    return e;
}

bool wants_data(const nn_step *s) { return nn_has(&s->din[X]) || nni_unreads(s, MEAN, GATE); }

/* `a` is first the input as it was read, then the gradient with respect to that. */
template <class T> parts<T> backward_parts(const nn_step *s)
{
    nni_layout l = nni_scratch(s);
    nni_split split = split_of(s);
    parts<T> p = {};

    if (nni_needs_total(s))
        p.g = l.take<T>(rows_of(s) * outputs(s));
    if (nni_has_reading(s, MEAN, GATE, 0))
        p.a = l.take<T>(rows_of(s) * inputs(s));
    if (nn_has(&s->din[BIAS]))
        p.sums = l.take<float>(nni_sums_floats(rows_of(s), outputs(s)));
    p.unread = l.take<float>(nni_unread_floats(s, MEAN, GATE, &split));
    p.bytes = l.bytes;
    return p;
}

template <class T> int weight_launch(const nn_step *s, void *stream, const parts<T> *p, const T *g)
{
    nni_reading r = nni_reading_of(s, MEAN, GATE, 0);
    nni_product product = weight_product(s);
    nni_split split = split_of(s);
    const T *x = nni_at<T>(&s->in[X]);
    int e = p->a ? nni_cuda_read<T>(stream, &r, &split, x, nullptr, p->a) : 0;

    return e ? e
             : nni_product_run(s->device, &product, g, p->a ? p->a : x, nni_adds(s, WEIGHT),
                               nni_at(&s->din[WEIGHT]), stream);
}

template <class T> int data_launch(const nn_step *s, void *stream, const parts<T> *p, const T *g)
{
    nni_unreading<T> u = nni_unreading_of<T>(s, MEAN, GATE, 0);
    nni_product product = data_product(s);
    nni_split split = split_of(s);
    const void *w = nni_weight(s);
    int e;

    if (!p->a)
        return nni_product_run(s->device, &product, g, w, nni_adds(s, X), nni_at<T>(&s->din[X]), stream);
    e = nni_product_run(s->device, &product, g, w, 0, p->a, stream);
    u.da = p->a;
    return e ? e : nni_cuda_unread(stream, &u, &split, p->unread);
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    parts<T> p = backward_parts<T>(s);
    const T *g;
    int e = nni_cuda_gradient(s, stream, p.g, &g);

    if (!e && nn_has(&s->din[WEIGHT]))
        e = weight_launch(s, stream, &p, g);
    if (!e && nn_has(&s->din[BIAS]))
        e = nni_cuda_sums(stream, g, rows_of(s), outputs(s), p.sums, nni_at(&s->din[BIAS]),
                          nni_adds(s, BIAS));
    if (!e && wants_data(s))
        e = data_launch(s, stream, &p, g);
    return e;
}

template <class T> int prepare_forward(nn_step *s)
{
    nni_product product = forward_product(s);

    nni_need_weight(s);
    s->scratch_bytes = forward_parts<T>(s).bytes;
    s->flops = 2.0 * static_cast<double>(rows_of(s) * inputs(s)) * static_cast<double>(outputs(s));
    s->launch = forward_launch<T>;
    return nni_product_ready(s->device, &product);
}

template <class T> int prepare_backward(nn_step *s)
{
    nni_product data = data_product(s), weight = weight_product(s);
    int rc = wants_data(s) ? nni_product_ready(s->device, &data) : NN_OK;

    if (!rc && nn_has(&s->din[WEIGHT]))
        rc = nni_product_ready(s->device, &weight);
    if (wants_data(s))
        nni_need_weight(s);
    s->scratch_bytes = backward_parts<T>(s).bytes;
    s->flops = 2.0 * static_cast<double>(rows_of(s) * inputs(s)) * static_cast<double>(outputs(s)) *
               (wants_data(s) + nn_has(&s->din[WEIGHT]));
    s->launch = backward_launch<T>;
    return rc;
}

} // namespace

int nni_cuda_conv1x1_forward(nn_step *s) { return NNI_FOR_TYPE(prepare_forward, s->in[X])(s); }
int nni_cuda_conv1x1_backward(nn_step *s) { return NNI_FOR_TYPE(prepare_backward, s->in[X])(s); }
