/* SPDX-License-Identifier: MIT
 *
 * y = a + b with NumPy broadcasting; a gradient is the sum of dy over the places where an element was
 * repeated.
 *
 * It is also where a residual block ends. When a and b have the same shape, fusion may put the last
 * normalisation of the branch and its stochastic depth mask [N,1,1,1] into slots of a:
 *
 *     y = mask[n] * act(scale*(a - mean) + beta) + b
 *
 * With dz = mask[n]*dy*act'(z) the gradients are those of affine.c; db = dy, which usually is dy's own
 * memory. The mask itself gets no gradient: only masks that have none by nature are taken into the slot.
 */
#include "core/core.h"
#include "cuda/if_cuda.h"
#include "ops/broadcast.h"

#include <string.h>

enum { A, B, MEAN, SCALE, BETA, MASK };

static bool has_slot(const nn_step *s) { return nn_has(&s->in[MEAN]) || nn_has(&s->in[MASK]); }

/* Calls for the parts of [begin, begin+count) of the rows that have one value of the mask: the next such
 * part, and its mask. */
static nn_real next_part(const nn_step *s, int64_t rows, int64_t row, int64_t end, int64_t *count)
{
    const nn_real *mask = nn_has(&s->in[MASK]) ? s->in[MASK].at : NULL;
    int64_t each = mask ? rows / nn_shape_count(s->in[MASK].shape) : rows;

    *count = each - row % each < end - row ? each - row % each : end - row;
    return mask ? mask[row / each] : 1;
}

static void slot_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->out[0].shape), rows = nni_rows(s->out[0].shape), count;
    struct nni_part p = nni_part_of(tile, s->choice[0], rows);
    struct nni_pointwise_affine v = nni_affine_operands(s, MEAN);

    (void)lane;
    for (int64_t row = p.begin, end = p.begin + p.count; row < end; row += count) {
        nn_real factor = next_part(s, rows, row, end, &count);
        int64_t at = row * channels;

        nni_pointwise_of(s)->affine(nni_at(&s->out[0], at), nni_at(&s->in[A], at), nni_at(&s->in[B], at),
                                    count, channels, &v, factor);
    }
}

static void sum(const nn_step *s, int64_t y, int64_t a, int64_t b, const struct nni_pointwise_grid *g)
{
    nni_pointwise_of(s)->add(nni_at(&s->out[0], y), nni_at(&s->in[A], a), nni_at(&s->in[B], b), g);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;

    (void)lane;
    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &g);
    nni_broadcast_tile(s, &g, tile, sum);
}

static int forward(nn_step *s)
{
    struct nni_broadcast g;

    s->flops = (double)nn_shape_count(s->out[0].shape) * (nn_has(&s->in[MEAN]) ? 5 : has_slot(s) ? 2 : 1);
    if (has_slot(s)) {
        s->choice[0] = nni_tile_rows(nni_channels(s->out[0].shape));
        nn_phase(s, nni_parts(nni_rows(s->out[0].shape), s->choice[0]), slot_tile);
        return NN_OK;
    }
    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &g);
    nn_phase(s, nni_broadcast_tiles(&g), forward_tile);
    return NN_OK;
}

/* ---- backward ---- */

/* din[i] (+)= dy where both are whole; nothing to do where din[i] took over dy's memory. */
static void pass(const nn_step *s, int i, int64_t begin, int64_t count)
{
    const void *dy = nni_at(&s->dout[0], begin);
    void *to = nni_at(&s->din[i], begin);

    if (s->accumulate & NN_IN(i))
        nni_pointwise_of(s)->scale(to, dy, count, 1, 0, true);
    else if (to != dy)
        memcpy(to, dy, (size_t)count * nn_dtype_size(s->dout[0].type));
}

static void slot_back_tile(const nn_step *s, int64_t tile, void *lane)
{
    nn_shape shape = s->dout[0].shape;
    int64_t channels = nni_channels(shape), rows = nni_rows(shape), count;
    struct nni_part p = nni_part_of(tile, s->choice[0], rows);
    struct nni_pointwise_affine v = nni_affine_operands(s, MEAN);
    nn_real *sums = nni_affine_wanted(s, MEAN) ? (nn_real *)s->scratch + tile * 2 * channels : NULL;

    (void)lane;
    if (sums)
        memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
    for (int64_t row = p.begin, end = p.begin + p.count; (nn_has(&s->din[A]) || sums) && row < end;
         row += count) {
        nn_real factor = next_part(s, rows, row, end, &count);
        int64_t at = row * channels;

        nni_pointwise_of(s)->affine_grad(nni_at(&s->din[A], at), sums, nni_at(&s->in[A], at),
                                         nni_at(&s->dout[0], at), channels, count, channels, &v, factor,
                                         s->accumulate & NN_IN(A));
    }
    if (nn_has(&s->din[B]))
        pass(s, B, p.begin * channels, p.count * channels);
}

static void slot_merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_affine_merge(s, MEAN, s->scratch, s->phase[0].tiles, tile);
}

/* Operands of the result's shape, both at once. */
static void pass_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t n = nn_shape_count(s->dout[0].shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], n);

    (void)lane;
    for (int i = A; i <= B; i++)
        if (nn_has(&s->din[i]) && nn_shape_count(s->din[i].shape) == n)
            pass(s, i, p.begin, p.count);
}

/* Operands that were repeated. The other operand's shape is not known here, and need not be: dy has
 * the common one. b's partial sums lie choice[1] bytes into scratch. */
static void reduction_of(const nn_step *s, int i, struct nni_reduction *r)
{
    nni_reduction_of(s->din[i].shape, s->dout[0].shape, r);
}
static nn_real *partial(const nn_step *s, int i)
{
    return (nn_real *)((char *)s->scratch + (i == B ? s->choice[1] : 0));
}

static void sum_back(const nn_step *s, int i, int64_t tile)
{
    struct nni_reduction r;

    reduction_of(s, i, &r);
    nni_reduction_tile(s, &r, tile, partial(s, i), s->dout[0].at, NULL);
}
static void sum_a_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    sum_back(s, A, tile);
}
static void sum_b_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    sum_back(s, B, tile);
}

static void merge(const nn_step *s, int i, int64_t tile)
{
    struct nni_reduction r;

    reduction_of(s, i, &r);
    nni_reduction_merge(s, &r, tile, partial(s, i), s->din[i].at, s->din[i].type, s->accumulate & NN_IN(i));
}
static void merge_a_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    merge(s, A, tile);
}
static void merge_b_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    merge(s, B, tile);
}

static int slot_backward(nn_step *s)
{
    int64_t channels = nni_channels(s->dout[0].shape), tiles;

    if (nn_has(&s->din[MASK]))
        return NN_EUNSUPPORTED;
    s->choice[0] = nni_tile_rows(channels);
    tiles = nni_parts(nni_rows(s->dout[0].shape), s->choice[0]);
    nn_phase(s, tiles, slot_back_tile);
    if (nni_affine_wanted(s, MEAN)) {
        s->scratch_bytes = (size_t)(tiles * 2 * channels) * sizeof(nn_real);
        nn_phase(s, nni_parts(channels, NNI_MERGE), slot_merge_tile);
    }
    s->flops = (double)nn_shape_count(s->dout[0].shape) * (nn_has(&s->in[MEAN]) ? 6 : 1);
    return NN_OK;
}

/* din[1] may lie over dy: all that reads dy comes before what writes a sum. */
static int backward(nn_step *s)
{
    static nn_tile *const sum_of[2] = { sum_a_tile, sum_b_tile }, *const merge_of[2] = { merge_a_tile,
                                                                                         merge_b_tile };
    int64_t n = nn_shape_count(s->dout[0].shape);
    struct nni_reduction r[2];
    bool any = false;

    if (has_slot(s))
        return slot_backward(s);
    for (int i = A; i <= B; i++) {
        if (!nn_has(&s->din[i]))
            continue;
        if (nn_shape_count(s->din[i].shape) == n) {
            any = true;
            continue;
        }
        reduction_of(s, i, &r[i]);
        if (i == B)
            s->choice[1] = (int64_t)s->scratch_bytes;
        s->scratch_bytes += (r[i].bytes + 63) / 64 * 64;
        nn_phase(s, r[i].tiles, sum_of[i]);
        s->flops += (double)n;
    }
    if (any)
        nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), pass_tile);
    for (int i = A; i <= B; i++)
        if (nn_has(&s->din[i]) && nn_shape_count(s->din[i].shape) != n)
            nn_phase(s, r[i].merge_tiles, merge_of[i]);
    return NN_OK;
}

/* ---- the node ---- */

static int infer(nn_node *n)
{
    int rc = nni_infer_activation(n, A, 0);
    nn_shape a = nn_shape_get(n->in[A]), b = nn_shape_get(n->in[B]), y, mask = nn_shape_get(n->in[MASK]);
    nni_text p, q;

    if (!rc)
        rc = nni_infer_activation(n, B, 0);
    if (!rc && !nni_broadcast_shape(a, b, &y))
        rc = nn_infer_fail(n, "shapes %s and %s do not broadcast", nni_shape_text(a, &p),
                           nni_shape_text(b, &q));
    if (!rc && (n->in[MEAN] || n->in[MASK]) && !nn_shape_equal(a, b))
        rc = nn_infer_fail(n, "shapes %s and %s must be equal when the sum has an affine or a mask",
                           nni_shape_text(a, &p), nni_shape_text(b, &q));
    if (!rc)
        rc = nni_infer_affine(n, MEAN, nn_dim(n->in[A], -1));
    if (!rc && n->in[MASK] && !nn_shape_equal(mask, NN_SHAPE4(a.dim[0], 1, 1, 1)))
        rc = nn_infer_fail(n, "mask %s does not fit %s", nni_shape_text(mask, &p), nni_shape_text(a, &q));
    return rc ? rc : nn_infer_out(n, 0, nn_type_get(n->in[A]), y);
}

static int accepts(const nn_node *n, int slot, const nn_node *neighbour, const nn_device *device)
{
    (void)device;
    if (!nn_shape_equal(n->in[A]->shape, n->in[B]->shape))
        return 0;
    if (slot == NN_SLOT_AFFINE)
        return 1;
    /* The mask has rank 4 and one value per sample; is it one without a gradient? */
    for (int i = 0; i < 2; i++) {
        const nn_tensor *mask = neighbour->in[i];

        if (nn_shape_equal(mask->shape, NN_SHAPE4(n->in[A]->shape.dim[0], 1, 1, 1)))
            return mask->node && mask->node->op->flags & NN_OP_NO_GRAD;
    }
    return 0;
}

const nn_op nn_op_add = {
    .abi = NN_OP_ABI,
    .name = "add",
    .inputs = 2,
    .optional = NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA) | NN_IN(MASK),
    .reads = NN_IN(MEAN) | NN_IN(SCALE) | NN_IN(BETA) | NN_IN(MASK),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD1,
    .flags = NN_OP_FOLLOW,
    .slot = { [NN_SLOT_AFFINE] = MEAN, [NN_SLOT_MASK] = MASK },
    .narrow = NN_IN(A) | NN_IN(B),
    .infer = infer,
    .accepts = accepts,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_add_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_add_backward) },
};

nn_tensor *nn_add(nn_graph *g, nn_tensor *a, nn_tensor *b)
{
    return nn_apply(g, &nn_op_add, NULL, (nn_tensor *[]){ a, b }, 2);
}
