/* SPDX-License-Identifier: MIT
 *
 * y = a*b with NumPy broadcasting; da = sum dy*b and db = sum dy*a, over the places where an element was
 * repeated. A squeeze-and-excite gate is [N,H,W,C] times [N,1,1,C], a row mask times [N,1,1,1]; see
 * broadcast.h for why these are fast.
 *
 * Backward may write da over dy. So whatever else reads dy runs before that, and sums only leave
 * scratch when nobody reads dy any more.
 */
#include "cuda/if_cuda.h"
#include "ops/broadcast.h"

enum { A, B };

static void product(const nn_step *s, int64_t y, int64_t a, int64_t b, const struct nni_pointwise_grid *g)
{
    nni_pointwise_of(s)->mul(nni_at(&s->out[0], y), nni_at(&s->in[A], a), nni_at(&s->in[B], b), g, false);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;

    (void)lane;
    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &g);
    nni_broadcast_tile(s, &g, tile, product);
}

static int forward(nn_step *s)
{
    struct nni_broadcast g;

    nni_broadcast_of(s->in[A].shape, s->in[B].shape, &g);
    nn_phase(s, nni_broadcast_tiles(&g), forward_tile);
    s->flops = (double)nn_shape_count(s->out[0].shape);
    return NN_OK;
}

/* Both gradients in one pass, for equal shapes. */
static void both_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_part p = nni_part_of(tile, s->choice[0], nn_shape_count(s->dout[0].shape));

    (void)lane;
    nni_pointwise_of(s)->mul_grad(nni_at(&s->din[A], p.begin), nni_at(&s->din[B], p.begin),
                                  nni_at(&s->in[A], p.begin), nni_at(&s->in[B], p.begin),
                                  nni_at(&s->dout[0], p.begin), p.count, s->accumulate & NN_IN(A),
                                  s->accumulate & NN_IN(B));
}

/* The gradient of an operand that has the result's shape: dy times the other one. */
static void full(const nn_step *s, int which, int64_t y, int64_t other, const struct nni_pointwise_grid *g)
{
    nni_pointwise_of(s)->mul(nni_at(&s->din[which], y), nni_at(&s->dout[0], y),
                             nni_at(&s->in[1 - which], other), g, s->accumulate & NN_IN(which));
}
static void full_a(const nn_step *s, int64_t y, int64_t dy, int64_t b, const struct nni_pointwise_grid *g)
{
    (void)dy;
    full(s, A, y, b, g);
}
static void full_b(const nn_step *s, int64_t y, int64_t dy, int64_t a, const struct nni_pointwise_grid *g)
{
    (void)dy;
    full(s, B, y, a, g);
}

static void full_a_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;

    (void)lane;
    nni_broadcast_of(s->dout[0].shape, s->in[B].shape, &g);
    nni_broadcast_tile(s, &g, tile, full_a);
}
static void full_b_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct nni_broadcast g;

    (void)lane;
    nni_broadcast_of(s->dout[0].shape, s->in[A].shape, &g);
    nni_broadcast_tile(s, &g, tile, full_b);
}

/* The gradient of an operand that was repeated. b's partial sums lie choice[1] bytes into scratch. */
static nn_real *partial(const nn_step *s, int which)
{
    return (nn_real *)((char *)s->scratch + (which == B ? s->choice[1] : 0));
}

static void sum(const nn_step *s, int which, int64_t tile)
{
    struct nni_reduction r;

    nni_reduction_of(s->in[which].shape, s->in[1 - which].shape, &r);
    nni_reduction_tile(s, &r, tile, partial(s, which), s->dout[0].at, s->in[1 - which].at);
}
static void sum_a_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    sum(s, A, tile);
}
static void sum_b_tile(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    sum(s, B, tile);
}

static void merge(const nn_step *s, int which, int64_t tile)
{
    struct nni_reduction r;

    nni_reduction_of(s->in[which].shape, s->in[1 - which].shape, &r);
    nni_reduction_merge(s, &r, tile, partial(s, which), s->din[which].at, s->din[which].type,
                        s->accumulate & NN_IN(which));
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

static int backward(nn_step *s)
{
    static nn_tile *const sum_tile[2] = { sum_a_tile, sum_b_tile }, *const full_tile[2] = { full_a_tile,
                                                                                            full_b_tile };
    static nn_tile *const merge_of[2] = { merge_a_tile, merge_b_tile };
    int64_t n = nn_shape_count(s->dout[0].shape);
    bool is_full[2];
    struct nni_reduction r[2];

    for (int i = 0; i < 2; i++) {
        is_full[i] = nn_shape_count(s->in[i].shape) == n;
        nni_reduction_of(s->in[i].shape, s->in[1 - i].shape, &r[i]);
    }
    s->flops = ((nn_has(&s->din[A]) ? 2 : 0) + (nn_has(&s->din[B]) ? 2 : 0)) * (double)n;
    if (is_full[A] && is_full[B]) {
        nn_phase(s, nni_tiles(n, 16384, 256, &s->choice[0]), both_tile);
        return NN_OK;
    }
    for (int i = 0; i < 2; i++) {
        if (!nn_has(&s->din[i]) || is_full[i])
            continue;
        if (i == B)
            s->choice[1] = (int64_t)s->scratch_bytes;
        s->scratch_bytes += (r[i].bytes + 63) / 64 * 64;
        nn_phase(s, r[i].tiles, sum_tile[i]);
    }
    for (int i = 0; i < 2; i++) {
        struct nni_broadcast g;

        nni_broadcast_of(s->dout[0].shape, s->in[1 - i].shape, &g);
        if (nn_has(&s->din[i]) && is_full[i])
            nn_phase(s, nni_broadcast_tiles(&g), full_tile[i]);
    }
    for (int i = 0; i < 2; i++)
        if (nn_has(&s->din[i]) && !is_full[i])
            nn_phase(s, r[i].merge_tiles, merge_of[i]);
    return NN_OK;
}

static int infer(nn_node *n)
{
    int rc = nni_infer_activation(n, A, 0);
    nn_shape y;
    nni_text a, b;

    if (!rc)
        rc = nni_infer_activation(n, B, 0);
    if (!rc && !nni_broadcast_shape(nn_shape_get(n->in[A]), nn_shape_get(n->in[B]), &y))
        rc = nn_infer_fail(n, "shapes %s and %s do not broadcast", nni_shape_text(nn_shape_get(n->in[A]), &a),
                           nni_shape_text(nn_shape_get(n->in[B]), &b));
    return rc ? rc : nn_infer_out(n, 0, nn_type_get(n->in[A]), y);
}

const nn_op nn_op_mul = {
    .abi = NN_OP_ABI,
    .name = "mul",
    .inputs = 2,
    .reads = NN_IN(A) | NN_IN(B),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(A) | NN_IN(B),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_mul_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_mul_backward) },
};

nn_tensor *nn_mul(nn_graph *g, nn_tensor *a, nn_tensor *b)
{
    return nn_apply(g, &nn_op_mul, NULL, (nn_tensor *[]){ a, b }, 2);
}
