/* SPDX-License-Identifier: MIT
 *
 * conv2d.c on the GPU: patches and products, a slice of the batch at a time, so that the matrix of patches
 * stays small beside the images. The gradient of x gathers from that of the patches: each pixel adds up, in
 * the order of taps, the places where it was read. Columns of patches are [channel][tap], which is how
 * weights lie. In bfloat16 rows of both are filled up with zeros to multiples of 16 bytes.
 *
 * Where cuDNN is installed it does what it knows instead, but for pictures: their few channels are what its
 * kernels are not made for, and their patches are small.
 */
#include "cuda/slots.h"
#include "cuda/weight.h"

namespace
{

enum { X, WEIGHT, BIAS };
static const int64_t SLICE_BYTES = 64 << 20;

/* The output is as large as it is given: in a transposed convolution it may be smaller than the options say.
 */
nni_conv_geometry geometry(const nn_step *s)
{
    nni_conv_geometry g =
        nni_conv_of(static_cast<const nn_conv_opts *>(s->attrs), s->in[X].shape, s->in[WEIGHT].shape);
    const nn_operand *y = nn_has(&s->out[0]) ? &s->out[0] : &s->dout[0];

    g.oh = y->shape.dim[1];
    g.ow = y->shape.dim[2];
    return g;
}
int64_t patch(const nni_conv_geometry *g) { return g->kh * g->kw * g->c / g->groups; }
int64_t pixels(const nni_conv_geometry *g) { return g->oh * g->ow; } /* rows of patches of an image */

int64_t width(const nn_step *s, const nni_conv_geometry *g) /* of patches as they are stored */
{
    return nni_stride_of(s->in[X].type, patch(g));
}
int64_t size_of(const nn_step *s) { return static_cast<int64_t>(nn_dtype_size(s->in[X].type)); }

int64_t slice_of(const nn_step *s, const nni_conv_geometry *g)
{
    int64_t bytes = pixels(g) * width(s, g) * size_of(s);
    int64_t images = bytes > 0 ? SLICE_BYTES / bytes : 1;

    return images < 1 ? 1 : images > g->n ? g->n : images;
}

/* ---------------------------------------------------------------- by cuDNN */

enum { FEWEST = 8 }; /* channels */

nni_convolution convolution(const nn_step *s, nni_convolution_part part)
{
    return { part, s->in[X].type, geometry(s) };
}

/* What was chosen for a part of the work: 0 patches, else cuDNN and 1 + the bytes that it works in. */
bool by_cudnn(const nn_step *s, nni_convolution_part part) { return s->choice[part] > 0; }

/* A gradient [O,KH,KW,C/groups] to where the parameter's is. */
template <class T> struct returner {
    const T *from;
    float *to;
    int64_t taps, channels;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        int64_t t = i % taps, c = i / taps % channels, o = i / taps / channels;

        nni_put(to + i, add, static_cast<float>(from[(o * taps + t) * channels + c]));
    }
};

/* -------------------------------------------------------------- by patches */

/* Where a column of patches comes from. */
struct tap {
    int64_t channel, i, j;

    __device__ void enter(const nni_conv_geometry &g, int64_t group, int64_t c)
    {
        int64_t taps = g.kh * g.kw, t = c % taps;

        channel = group * (g.c / g.groups) + c / taps;
        i = t / g.kw;
        j = t % g.kw;
    }
};

template <class T> struct patcher {
    enum { SUMS = 0 };
    nni_conv_geometry g;
    const T *x;
    T *to;
    int64_t index, used, cols; /* index: which group of channels; used: without filling */
    tap t;

    __device__ void enter(int64_t, int64_t c) { t.enter(g, index, c); }
    __device__ void row(int64_t r, int64_t c, float *)
    {
        int64_t q = r % g.ow, p = r / g.ow % g.oh, n = r / g.ow / g.oh;
        int64_t y = p * g.stride - g.pad_top + t.i * g.dilation,
                z = q * g.stride - g.pad_left + t.j * g.dilation;
        bool inside = y >= 0 && y < g.h && z >= 0 && z < g.w && c < used;

        to[r * cols + c] = inside ? x[((n * g.h + y) * g.w + z) * g.c + t.channel] : static_cast<T>(0.0f);
    }
};

/* Columns are the channels of the group, rows the pixels of x. */
template <class T> struct gatherer {
    enum { SUMS = 0 };
    nni_conv_geometry g;
    const T *from;
    T *dx;
    int64_t index, cols;
    bool add;

    __device__ void enter(int64_t, int64_t) {}
    __device__ void row(int64_t r, int64_t c, float *)
    {
        int64_t z = r % g.w, y = r / g.w % g.h, n = r / g.w / g.h, taps = g.kh * g.kw;
        float sum = 0;

        for (int64_t k = 0; k < taps; k++) {
            int64_t p = y + g.pad_top - k / g.kw * g.dilation, q = z + g.pad_left - k % g.kw * g.dilation;

            if (p < 0 || q < 0 || p % g.stride || q % g.stride || p / g.stride >= g.oh ||
                q / g.stride >= g.ow)
                continue;
            sum += static_cast<float>(
                from[((n * g.oh + p / g.stride) * g.ow + q / g.stride) * cols + c * taps + k]);
        }
        nni_put(dx + r * g.c + index * (g.c / g.groups) + c, add, sum);
    }
};

/* Of the addresses of all slices: the lowest bit that any of their distances has. */
int64_t alignment(const nn_step *s, const nni_conv_geometry *g)
{
    int64_t o = g->o / g->groups, bits = NNI_ALIGNED;

    if (slice_of(s, g) < g->n)
        bits |= slice_of(s, g) * pixels(g) * g->o * size_of(s);
    if (g->groups > 1)
        bits |= o * size_of(s) | o * width(s, g) * size_of(s) |
                o * patch(g) * static_cast<int64_t>(sizeof(float));
    return bits & -bits;
}

/* Products of one group for `images` images. Matrices of outputs have rows of all channels. */
nni_product forward_product(const nn_step *s, const nni_conv_geometry *g, int64_t images)
{
    nn_dtype type = s->in[X].type;
    int64_t w = width(s, g);

    return {
        false, true, images * pixels(g), g->o / g->groups, w, w, w, g->o, type, type, alignment(s, g), {}
    };
}
nni_product data_product(const nn_step *s, const nni_conv_geometry *g, int64_t images)
{
    nn_dtype type = s->in[X].type;
    int64_t w = width(s, g);

    return { false, false, images * pixels(g), w, g->o / g->groups, g->o, w, w,
             type,  type,  alignment(s, g),    {} };
}
nni_product weight_product(const nn_step *s, const nni_conv_geometry *g, int64_t images)
{
    return { true,        false,    g->o / g->groups, patch(g), images * pixels(g), g->o,
             width(s, g), patch(g), s->in[X].type,    NN_F32,   alignment(s, g),    {} };
}

typedef nni_product product_of(const nn_step *s, const nni_conv_geometry *g, int64_t images);

/* All slices are equal but for the last. */
int products_ready(const nn_step *s, product_of *of)
{
    nni_conv_geometry g = geometry(s);
    int64_t slice = slice_of(s, &g), last = g.n % slice;
    nni_product whole = of(s, &g, slice), rest = of(s, &g, last);
    int rc = nni_product_ready(s->device, &whole);

    return rc || !last ? rc : nni_product_ready(s->device, &rest);
}

bool has_moments(const nn_step *s) { return nn_has(&s->out[1]) || nn_has(&s->out[2]); }

template <class T> struct parts {
    T *patches, *total, *dw;
    float *moments, *sums;
    char *workspace; /* of cuDNN */
    size_t bytes;
};

bool wants_patches(const nn_step *s, bool backward)
{
    if (!backward)
        return !by_cudnn(s, NNI_CONVOLVE);
    return (nn_has(&s->din[X]) && !by_cudnn(s, NNI_CONVOLVE_DATA)) ||
           (nn_has(&s->din[WEIGHT]) && !by_cudnn(s, NNI_CONVOLVE_WEIGHT));
}

int64_t workspace_of(const nn_step *s)
{
    int64_t bytes = 0;

    for (int part = 0; part < NNI_CONVOLVE_PARTS; part++)
        bytes = s->choice[part] - 1 > bytes ? s->choice[part] - 1 : bytes;
    return bytes;
}

template <class T> parts<T> parts_of(const nn_step *s, bool backward)
{
    nni_conv_geometry g = geometry(s);
    nni_layout l = nni_scratch(s);
    int64_t rows = g.n * pixels(&g);
    parts<T> p = {};

    if (wants_patches(s, backward))
        p.patches = l.take<T>(slice_of(s, &g) * pixels(&g) * width(s, &g));
    p.workspace = l.take<char>(workspace_of(s));
    if (backward && nn_has(&s->din[WEIGHT]) && by_cudnn(s, NNI_CONVOLVE_WEIGHT))
        p.dw = l.take<T>(nn_shape_count(s->in[WEIGHT].shape));
    if (!backward && has_moments(s))
        p.moments = l.take<float>(nni_moments_floats(rows, g.o));
    if (backward && nni_needs_total(s))
        p.total = l.take<T>(rows * g.o);
    if (backward && nn_has(&s->din[BIAS]))
        p.sums = l.take<float>(nni_sums_floats(rows, g.o));
    p.bytes = l.bytes;
    return p;
}

/* A slice: images first..first+images of one group of channels. */
struct slice {
    nni_conv_geometry g;
    int64_t first, images, index;

    int64_t input() const { return first * g.h * g.w * g.c; }
    int64_t output() const { return first * pixels(&g) * g.o + index * (g.o / g.groups); }
    int64_t weight(int64_t row) const { return index * (g.o / g.groups) * row; }
};

template <class T> int make_patches(const nn_step *s, void *stream, const slice *v, T *to)
{
    int64_t cols = width(s, &v->g);
    patcher<T> f = { v->g, nni_at<T>(&s->in[X]) + v->input(), to, v->index, patch(&v->g), cols, {} };

    return nni_rows(stream, nni_split_of(v->images * pixels(&v->g), cols, 1), f);
}

/* The slice's weights as products take them. */
template <class T> const T *weights(const nn_step *s, const slice *v)
{
    return static_cast<const T *>(nni_weight(s)) + v->weight(width(s, &v->g));
}

template <class T>
using slice_launch = int(const nn_step *s, void *stream, const slice *v, const parts<T> *p, const T *g);

template <class T>
int forward_slice(const nn_step *s, void *stream, const slice *v, const parts<T> *p, const T *)
{
    nni_product product = forward_product(s, &v->g, v->images);
    int e = make_patches(s, stream, v, p->patches);

    return e ? e
             : nni_product_run(s->device, &product, p->patches, weights<T>(s, v), 0,
                               nni_at<T>(&s->out[0]) + v->output(), stream);
}

template <class T>
int weight_slice(const nn_step *s, void *stream, const slice *v, const parts<T> *p, const T *g)
{
    nni_product product = weight_product(s, &v->g, v->images);
    float beta = v->first > 0 || nni_adds(s, WEIGHT);
    int e = make_patches(s, stream, v, p->patches);

    return e ? e
             : nni_product_run(s->device, &product, g + v->output(), p->patches, beta,
                               nni_at(&s->din[WEIGHT]) + v->weight(patch(&v->g)), stream);
}

template <class T>
int data_slice(const nn_step *s, void *stream, const slice *v, const parts<T> *p, const T *g)
{
    nni_product product = data_product(s, &v->g, v->images);
    gatherer<T> f = { v->g,     p->patches,      nni_at<T>(&s->din[X]) + v->input(),
                      v->index, width(s, &v->g), nni_adds(s, X) };
    int e = nni_product_run(s->device, &product, g + v->output(), weights<T>(s, v), 0, p->patches, stream);

    return e ? e : nni_rows(stream, nni_split_of(v->images * v->g.h * v->g.w, v->g.c / v->g.groups, 1), f);
}

template <class T>
int for_slices(const nn_step *s, void *stream, const parts<T> *p, const T *g, slice_launch<T> *launch)
{
    slice v = { geometry(s), 0, 0, 0 };
    int64_t each = slice_of(s, &v.g);
    int e = 0;

    for (v.index = 0; !e && v.index < v.g.groups; v.index++)
        for (v.first = 0; !e && v.first < v.g.n; v.first += each) {
            v.images = v.g.n - v.first < each ? v.g.n - v.first : each;
            e = launch(s, stream, &v, p, g);
        }
    return e;
}

/* ------------------------------------------------------------------- either */

template <class T> int forward_product_launch(const nn_step *s, void *stream, const parts<T> *p)
{
    nni_convolution c = convolution(s, NNI_CONVOLVE);

    if (!by_cudnn(s, c.part))
        return for_slices<T>(s, stream, p, nullptr, forward_slice<T>);
    return nni_convolution_run(s->device, &c, s->in[X].at, nni_weight(s), 0, s->out[0].at, p->workspace,
                               stream);
}

template <class T> int data_launch(const nn_step *s, void *stream, const parts<T> *p, const T *g)
{
    nni_convolution c = convolution(s, NNI_CONVOLVE_DATA);

    if (!by_cudnn(s, c.part))
        return for_slices<T>(s, stream, p, g, data_slice<T>);
    return nni_convolution_run(s->device, &c, g, nni_weight(s), nni_adds(s, X), s->din[X].at, p->workspace,
                               stream);
}

template <class T> int weight_launch(const nn_step *s, void *stream, const parts<T> *p, const T *g)
{
    nni_convolution c = convolution(s, NNI_CONVOLVE_WEIGHT);
    nn_shape w = s->in[WEIGHT].shape;
    int e;

    if (!by_cudnn(s, c.part))
        return for_slices<T>(s, stream, p, g, weight_slice<T>);
    e = nni_convolution_run(s->device, &c, s->in[X].at, g, 0, p->dw, p->workspace, stream);
    return e ? e
             : nni_map(stream, nn_shape_count(w),
                       returner<T>{ p->dw, nni_at(&s->din[WEIGHT]), w.dim[2] * w.dim[3], w.dim[1],
                                    nni_adds(s, WEIGHT) });
}

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    nni_conv_geometry g = geometry(s);
    parts<T> p = parts_of<T>(s, false);
    int64_t rows = g.n * pixels(&g);
    T *y = nni_at<T>(&s->out[0]);
    int e = forward_product_launch<T>(s, stream, &p);

    if (!e && nn_has(&s->in[BIAS]))
        e = nni_cuda_bias(stream, y, nni_at(&s->in[BIAS]), rows, g.o);
    if (!e && has_moments(s))
        e = nni_cuda_moments(stream, y, rows, g.o, p.moments, nni_at(&s->out[1]), nni_at(&s->out[2]));
    return e;
}

double flops(const nni_conv_geometry *g)
{
    return 2.0 * static_cast<double>(g->n * pixels(g) * g->o) * static_cast<double>(patch(g));
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    nni_conv_geometry g = geometry(s);
    parts<T> p = parts_of<T>(s, true);
    const T *total;
    int e = nni_cuda_gradient(s, stream, p.total, &total);

    if (!e && nn_has(&s->din[WEIGHT]))
        e = weight_launch<T>(s, stream, &p, total);
    if (!e && nn_has(&s->din[BIAS]))
        e = nni_cuda_sums(stream, total, g.n * pixels(&g), g.o, p.sums, nni_at(&s->din[BIAS]),
                          nni_adds(s, BIAS));
    if (!e && nn_has(&s->din[X]))
        e = data_launch<T>(s, stream, &p, total);
    return e;
}

/* cuDNN where it knows the part, else products. */
int choose(nn_step *s, nni_convolution_part part, product_of *of)
{
    nni_convolution c = convolution(s, part);
    size_t bytes = 0;
    int rc = c.g.c < FEWEST ? NN_EUNSUPPORTED : nni_convolution_ready(s->device, &c, &bytes);

    s->choice[part] = rc ? 0 : static_cast<int64_t>(bytes) + 1;
    return rc == NN_EUNSUPPORTED ? products_ready(s, of) : rc;
}

void need_weight(nn_step *s, nni_convolution_part part)
{
    if (by_cudnn(s, part))
        nni_need_weight_images(s);
    else
        nni_need_weight(s);
}

template <class T> int prepare_forward(nn_step *s)
{
    nni_conv_geometry g = geometry(s);
    int rc = choose(s, NNI_CONVOLVE, forward_product);

    need_weight(s, NNI_CONVOLVE);
    s->scratch_bytes = parts_of<T>(s, false).bytes;
    s->flops = flops(&g);
    s->launch = forward_launch<T>;
    return rc;
}

template <class T> int prepare_backward(nn_step *s)
{
    nni_conv_geometry g = geometry(s);
    int rc = nn_has(&s->din[WEIGHT]) ? choose(s, NNI_CONVOLVE_WEIGHT, weight_product) : NN_OK;

    if (!rc && nn_has(&s->din[X]))
        rc = choose(s, NNI_CONVOLVE_DATA, data_product);
    if (nn_has(&s->din[X]))
        need_weight(s, NNI_CONVOLVE_DATA);
    s->scratch_bytes = parts_of<T>(s, true).bytes;
    s->flops = flops(&g) * (nn_has(&s->din[WEIGHT]) + nn_has(&s->din[X]));
    s->launch = backward_launch<T>;
    return rc;
}

} // namespace

int nni_cuda_conv2d_forward(nn_step *s) { return NNI_FOR_TYPE(prepare_forward, s->in[X])(s); }
int nni_cuda_conv2d_backward(nn_step *s) { return NNI_FOR_TYPE(prepare_backward, s->in[X])(s); }
