/* SPDX-License-Identifier: MIT
 *
 * conv_transpose2d.c on the GPU, by the convolution whose gradient it is: that one makes a map of an image,
 * this one the image y of the map x. So
 *
 *     y = the convolution's gradient of its input        dx = the convolution of dy
 *     dw = its gradient of the weight, for the image dy and the map's gradient x
 */
#include "cuda/parts.h"
#include "cuda/slots.h"

namespace
{

enum { X, WEIGHT, BIAS };

struct work {
    nni_parts parts;
    nn_conv_opts opts; /* of the convolution */
    nn_operand dx;     /* before it is added to din[X], in scratch */
    float *sums;
};

nn_conv_opts opts_of(const nn_step *s)
{
    const nn_conv_transpose_opts *o = static_cast<const nn_conv_transpose_opts *>(s->attrs);

    return { o->stride, o->dilation, o->groups, NN_PAD_EXPLICIT, o->pad };
}

/* The convolution of an image. Weights may have been converted for it (cuda/weight.h), by this step. */
nn_step conv_of(const nn_step *s, work *w, const nn_operand &image)
{
    nn_step part = nni_beside(s, &nn_op_conv2d, &w->opts);

    part.in[X] = image;
    part.in[WEIGHT] = s->in[WEIGHT];
    return part;
}

/* What the first part has asked for and this step was given. */
void share_weight(const nn_step *s, work *w) { w->parts.step[0].derived.at = s->derived.at; }

int forward_work(const nn_step *s, work *w)
{
    nni_layout l = nni_scratch(s);
    nn_step part;
    int rc;

    *w = {};
    w->opts = opts_of(s);
    part = conv_of(s, w, s->out[0]);
    part.dout[0] = s->in[X];
    part.din[X] = s->out[0];
    w->parts.step[w->parts.count++] = part;
    rc = nni_parts_ready(&w->parts, &l);
    share_weight(s, w);
    return rc;
}

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nn_shape y = s->out[0].shape;
    work w;
    int e = forward_work(s, &w) ? cudaErrorInvalidValue : nni_parts_launch(&w.parts, stream);

    if (!e && nn_has(&s->in[BIAS]))
        e = nni_cuda_bias(stream, nni_at<T>(&s->out[0]), nni_at(&s->in[BIAS]), nni_rows_of(y), nni_cols(y));
    return e;
}

template <class T> int backward_work(const nn_step *s, work *w)
{
    nn_shape y = s->dout[0].shape;
    nni_layout l = nni_scratch(s);
    int rc;

    *w = {};
    w->opts = opts_of(s);
    if (nn_has(&s->din[X])) {
        nn_step part = conv_of(s, w, s->dout[0]);

        w->dx = nni_in_scratch<T>(s->din[X], &l);
        part.out[0] = w->dx;
        w->parts.step[w->parts.count++] = part;
    }
    if (nn_has(&s->din[WEIGHT])) {
        nn_step part = conv_of(s, w, s->dout[0]);

        part.dout[0] = s->in[X];
        nni_give_gradient(&part, WEIGHT, s, WEIGHT);
        w->parts.step[w->parts.count++] = part;
    }
    if (nn_has(&s->din[BIAS]))
        w->sums = l.take<float>(nni_sums_floats(nni_rows_of(y), nni_cols(y)));
    rc = nni_parts_ready(&w->parts, &l);
    share_weight(s, w);
    return rc;
}

template <class T> struct pass {
    const T *from;
    T *to;
    bool add;

    __device__ void operator()(int64_t i) const { nni_put(to + i, add, static_cast<float>(from[i])); }
};

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nn_shape y = s->dout[0].shape;
    work w;
    int e = backward_work<T>(s, &w) ? cudaErrorInvalidValue : nni_parts_launch(&w.parts, stream);

    if (!e && nn_has(&s->din[X]))
        e = nni_map(stream, nn_shape_count(s->din[X].shape),
                    pass<T>{ nni_at<T>(&w.dx), nni_at<T>(&s->din[X]), nni_adds(s, X) });
    if (!e && nn_has(&s->din[BIAS]))
        e = nni_cuda_sums(stream, nni_at<T>(&s->dout[0]), nni_rows_of(y), nni_cols(y), w.sums,
                          nni_at(&s->din[BIAS]), nni_adds(s, BIAS));
    return e;
}

int account(nn_step *s, const work &w, int (*launch)(const nn_step *, void *))
{
    nni_parts_account(s, &w.parts);
    s->derived = w.parts.step[0].derived;
    s->launch = launch;
    return NN_OK;
}

template <class T> int prepare_backward(nn_step *s)
{
    work w;
    int rc = backward_work<T>(s, &w);

    return rc ? rc : account(s, w, backward_launch<T>);
}

} // namespace

int nni_cuda_conv_transpose2d_forward(nn_step *s)
{
    work w;
    int rc = forward_work(s, &w);

    return rc ? rc : account(s, w, NNI_FOR_TYPE(forward_launch, s->in[X]));
}

int nni_cuda_conv_transpose2d_backward(nn_step *s) { return NNI_FOR_TYPE(prepare_backward, s->in[X])(s); }
