/* SPDX-License-Identifier: MIT
 *
 * The maps of resample.h at work. What a result reads and how it weighs that is written into tables,
 * one for each axis, as a derived value: made once in a plan for evaluation, and cheap otherwise.
 */
#include "ops/resample.h"

#include "cpu/cpu.h"

enum { ROWS, MOST };       /* choice: rows of a tile; longest span along each axis (two) */
enum { CACHED = 8 << 20 }; /* bytes of a result, from which on it goes past the caches */

/* Of the tensor that is read and the one that is written, in either direction. */
struct side {
    const nn_operand *from, *to;
    bool back;
};

static struct side side_of(const nn_step *s)
{
    if (nn_has(&s->dout[0]))
        return (struct side){ &s->dout[0], &s->din[0], true };
    return (struct side){ &s->in[0], &s->out[0], false };
}

static struct nni_axis axis_of(const struct side *d, int k)
{
    int64_t from = d->from->shape.dim[1 + k], to = d->to->shape.dim[1 + k];

    return d->back ? (struct nni_axis){ .in = to, .out = from } : (struct nni_axis){ .in = from, .out = to };
}

struct table {
    struct nni_span *span;
    nn_real *weight; /* [size][most] */
    int64_t size, most;
    size_t bytes;
};

static struct table table_of(const nn_step *s, const struct side *d, int k)
{
    struct table t = { .size = d->to->shape.dim[1 + k], .most = s->choice[MOST + k] };
    size_t before = k ? table_of(s, d, 0).bytes : 0;

    t.bytes = (size_t)t.size * sizeof *t.span + ((size_t)(t.size * t.most) * sizeof *t.weight + 63) / 64 * 64;
    if (s->derived.at) {
        t.span = (struct nni_span *)(void *)((char *)s->derived.at + before);
        t.weight = (nn_real *)(void *)(t.span + t.size);
    }
    return t;
}

/* What result `at` reads. Backward these are the outputs that read input `at`: between calls with rising
 * `at` the cursor, zero at first, moves along. */
static struct nni_span span_of(const struct nni_resampling *map, const void *attrs,
                               const struct nni_axis *axis, bool back, int64_t at, struct nni_span *cursor)
{
    if (!back)
        return map->span(attrs, axis, at);
    while (cursor->begin < axis->out && map->span(attrs, axis, cursor->begin).end <= at)
        cursor->begin++;
    if (cursor->end < cursor->begin)
        cursor->end = cursor->begin;
    while (cursor->end < axis->out && map->span(attrs, axis, cursor->end).begin <= at)
        cursor->end++;
    return *cursor;
}

void nni_resample_tables(const nn_step *s, const struct nni_resampling *map, int64_t tile)
{
    struct side d = side_of(s);
    struct nni_axis axis = axis_of(&d, (int)tile);
    struct table t = table_of(s, &d, (int)tile);
    struct nni_span cursor = { 0 };

    for (int64_t r = 0; r < t.size; r++) {
        t.span[r] = span_of(map, s->attrs, &axis, d.back, r, &cursor);
        for (int64_t i = t.span[r].begin; i < t.span[r].end; i++)
            t.weight[r * t.most + i - t.span[r].begin] =
                (nn_real)(d.back ? map->weight(s->attrs, &axis, i, r) : map->weight(s->attrs, &axis, r, i));
    }
}

static void resample_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct side d = side_of(s);
    const int64_t *from = d.from->shape.dim, *to = d.to->shape.dim, channels = to[3];
    struct table height = table_of(s, &d, 0), width = table_of(s, &d, 1);
    struct nni_part rows = nni_part_of(tile, s->choice[ROWS], to[0] * to[1]);
    struct nni_window w = { .row = from[2] * channels, .channels = channels };
    nn_real *y = (nn_real *)d.to->at + rows.begin * to[2] * channels;
    bool add = d.back && s->accumulate & NN_IN(0);
    size_t bytes = (size_t)nn_shape_count(d.to->shape) * sizeof(nn_real);
    int how = add ? NNI_ADD : bytes < CACHED ? NNI_WRITE : NNI_STREAM;

    (void)lane;
    for (int64_t r = rows.begin; r < rows.begin + rows.count; r++) {
        struct nni_span p = height.span[r % to[1]];
        const nn_real *x = (const nn_real *)d.from->at + (r / to[1] * from[1] + p.begin) * w.row;

        w.rows = p.end - p.begin;
        for (int64_t c = 0; c < to[2]; c++, y += channels) {
            struct nni_span q = width.span[c];

            w.cols = q.end - q.begin;
            nni_cpu_of(s)->pool->weigh(y, x + q.begin * channels, &w, height.weight + r % to[1] * height.most,
                                       width.weight + c * width.most, how);
        }
    }
    nni_cpu_of(s)->pool->streamed();
}

int nni_resample_prepare(nn_step *s, const struct nni_resampling *map, nn_tile *tables)
{
    struct side d = side_of(s);
    nn_shape to = d.to->shape;

    for (int k = 0; k < 2; k++) {
        struct nni_axis axis = axis_of(&d, k);
        struct nni_span cursor = { 0 };

        for (int64_t r = 0; r < to.dim[1 + k]; r++) {
            struct nni_span span = span_of(map, s->attrs, &axis, d.back, r, &cursor);

            if (span.end - span.begin > s->choice[MOST + k])
                s->choice[MOST + k] = span.end - span.begin;
        }
        s->derived.bytes += table_of(s, &d, k).bytes;
    }
    s->derived.tiles = 2;
    s->derived.run = tables;
    nn_phase(s,
             nni_tiles(to.dim[0] * to.dim[1], 1 + 8192 / (to.dim[2] * to.dim[3] + 1), 64, &s->choice[ROWS]),
             resample_tile);
    s->flops = 2.0 * (double)nn_shape_count(to) * (double)s->choice[MOST] * (double)s->choice[MOST + 1];
    return NN_OK;
}

int nni_resample_infer(nn_node *node, int64_t height, int64_t width)
{
    enum { MOST_PIXELS = 1 << 24 };
    nn_shape x = nn_shape_get(node->in[0]);
    nni_text text;
    int rc = nni_infer_real(node, 0, 1);

    if (rc)
        return rc;
    if (x.rank != 4 || x.dim[1] < 1 || x.dim[2] < 1)
        return nn_infer_fail(node, "the input must be [N,H,W,C], not %s", nni_shape_text(x, &text));
    if (height < 1 || width < 1 || height > MOST_PIXELS || width > MOST_PIXELS)
        return nn_infer_fail(node, "the output cannot be %lld x %lld", (long long)height, (long long)width);
    return nn_infer_out(node, 0, NN_REAL, NN_SHAPE4(x.dim[0], height, width, x.dim[3]));
}
