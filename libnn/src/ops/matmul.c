/* SPDX-License-Identifier: MIT
 *
 * Products of matrices, one for each place of the leading dimensions: Y = A B, with either operand
 * optionally stored transposed. With dY:
 *
 *     dA = dY B^T        dB = A^T dY
 *
 * and the transpose of these where the operand is. Each is again a product of two matrices that lie in
 * memory by rows or by columns, so forward and both gradients are one function of three descriptions.
 */
#include "cuda/if_cuda.h"
#include "ops/product.h"

#include <nn/ops.h>

enum { A, B };
enum { MANY = 32 }; /* products of which each is one tile */

/* Element (i,j) of matrix number t is at t*each + i*row + j*col. */
struct matrix {
    const nn_operand *at;
    int64_t each, row, col;
};

struct product {
    struct matrix a, b;
    int64_t count;       /* of products */
    const nn_operand *c; /* [count, m, n], dense */
    nni_gemm g;
    size_t packed; /* bytes of one B */
    bool whole;    /* many: a tile packs a B for itself and makes all of its product, so B stays in cache */
    bool add;
};

static struct matrix matrix_of(const nn_operand *at, int64_t rows, int64_t cols, int transposed)
{
    return transposed ? (struct matrix){ at, rows * cols, 1, rows }
                      : (struct matrix){ at, rows * cols, cols, 1 };
}

static struct matrix turned(struct matrix x) { return (struct matrix){ x.at, x.each, x.col, x.row }; }

/* The sizes m, n, k and the number of products of a node. One matrix b for all is the same as one product
 * with all the rows of a. */
struct sizes {
    int64_t count, m, n, k;
};

static struct sizes sizes_of(const nn_matmul_opts *o, nn_shape a, nn_shape b)
{
    struct sizes z = { 1, a.dim[a.rank - 2], b.dim[b.rank - 2], a.dim[a.rank - 1] };
    int64_t rest = 1;

    if (o->transpose_a) {
        z.m = a.dim[a.rank - 1];
        z.k = a.dim[a.rank - 2];
    }
    if (!o->transpose_b)
        z.n = b.dim[b.rank - 1];
    for (int i = 0; i < a.rank - 2; i++)
        rest *= a.dim[i];
    if (b.rank == 2)
        z.m *= rest;
    else
        z.count = rest;
    return z;
}

static nn_shape shape_of(const nn_step *s, int i)
{
    return nn_has(&s->in[i]) ? s->in[i].shape : s->din[i].shape;
}

static struct product product_of(const nn_step *s, struct matrix a, struct matrix b, const nn_operand *c,
                                 struct sizes z)
{
    struct product p = { .a = a, .b = b, .count = z.count, .c = c };

    if (a.col == 1 && a.row < z.k) /* a single row, turned: BLAS wants its length all the same */
        p.a.row = z.k;
    p.g = nni_gemm_of(nni_gemm_kernels_of(s), z.m, z.n, z.k, a.col == 1 ? NNI_LOAD_NONE : NNI_LOAD_COPY);
    p.packed = nni_padded(p.g.packed_bytes);
    p.whole = z.count >= MANY;
    if (p.whole)
        p.g.col_tiles = 1;
    return p;
}

static struct product forward_product(const nn_step *s)
{
    const nn_matmul_opts *o = s->attrs;
    struct sizes z = sizes_of(o, s->in[A].shape, s->in[B].shape);

    return product_of(s, matrix_of(&s->in[A], z.m, z.k, o->transpose_a),
                      matrix_of(&s->in[B], z.k, z.n, o->transpose_b), &s->out[0], z);
}

/* The gradient of operand `which`. */
static struct product backward_product(const nn_step *s, int which)
{
    const nn_matmul_opts *o = s->attrs;
    struct sizes z = sizes_of(o, shape_of(s, A), shape_of(s, B));
    struct matrix a = matrix_of(&s->in[A], z.m, z.k, o->transpose_a);
    struct matrix b = matrix_of(&s->in[B], z.k, z.n, o->transpose_b);
    struct matrix dy = matrix_of(&s->dout[0], z.m, z.n, 0);
    struct product p;

    if (which == A && !o->transpose_a)
        p = product_of(s, dy, turned(b), &s->din[A], (struct sizes){ z.count, z.m, z.k, z.n });
    else if (which == A)
        p = product_of(s, b, turned(dy), &s->din[A], (struct sizes){ z.count, z.k, z.m, z.n });
    else if (!o->transpose_b)
        p = product_of(s, turned(a), dy, &s->din[B], (struct sizes){ z.count, z.k, z.n, z.m });
    else
        p = product_of(s, turned(dy), a, &s->din[B], (struct sizes){ z.count, z.n, z.k, z.m });
    p.add = nni_adds(s, which);
    return p;
}

static void pack(const struct product *p, void *packed, int64_t t, int64_t panel)
{
    struct nni_gemm_b b = { .at = (const nn_real *)p->b.at->at + t * p->b.each,
                            .inner = p->g.k,
                            .inner_stride = p->b.row,
                            .n_stride = p->b.col };

    nni_gemm_pack(&p->g, &b, packed, panel);
}

static char *packed_at(const struct product *p, void *packed, int64_t t)
{
    return (char *)packed + (size_t)t * p->packed;
}

/* One matrix of A for the loads, one of C for the stores. */
struct one {
    const struct product *p;
    const nn_real *a;
    nn_real *c;
};

/* Rows of an A that lies by columns. */
static void load(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols, nn_real *dst,
                 int64_t ld)
{
    const struct one *o = context;
    const struct matrix *a = &o->p->a;

    o->p->g.kernels->pack(dst, ld, o->a + row0 * a->row + col0 * a->col, a->row, a->col, rows, cols);
}

static void add(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                const nn_real *block, int64_t ld)
{
    const struct one *o = context;

    o->p->g.kernels->store(o->c + row0 * o->p->g.n + col0, o->p->g.n, block, ld, rows, cols, NULL, 1);
}

/* Tile `tile` of product t. */
static void multiply(const struct product *p, const void *packed, int64_t t, int64_t tile, void *lane)
{
    struct one o = { p, (const nn_real *)p->a.at->at + t * p->a.each,
                     (nn_real *)p->c->at + t * p->g.m * p->g.n };
    nni_gemm_io io = { .load_a = load, .load_context = &o, .ldc = p->g.n };

    if (p->a.col == 1) {
        io.a = o.a;
        io.lda = p->a.row;
    }
    if (p->add) {
        io.store_c = add;
        io.store_context = &o;
    } else {
        io.c = o.c;
    }
    nni_gemm_tile(&p->g, &io, packed, tile, lane);
}

static int64_t pack_tiles(const struct product *p) { return p->whole ? 0 : p->count * p->g.panels; }
static int64_t tiles_of(const struct product *p) { return p->count * (p->whole ? 1 : nni_gemm_tiles(&p->g)); }
static size_t bytes_of(const struct product *p) { return p->whole ? 0 : (size_t)p->count * p->packed; }

static void pack_tile(const struct product *p, void *packed, int64_t tile)
{
    int64_t t = tile / p->g.panels;

    pack(p, packed_at(p, packed, t), t, tile % p->g.panels);
}

static void multiply_tile(const struct product *p, void *packed, int64_t tile, void *lane)
{
    int64_t each = nni_gemm_tiles(&p->g);

    if (!p->whole) {
        multiply(p, packed_at(p, packed, tile / each), tile / each, tile % each, lane);
        return;
    }
    for (int64_t i = 0; i < p->g.panels; i++)
        pack(p, lane, tile, i);
    for (int64_t i = 0; i < each; i++)
        multiply(p, lane, tile, i, (char *)lane + p->packed);
}

static void pack_forward(const nn_step *s, int64_t tile, void *lane)
{
    struct product p = forward_product(s);

    (void)lane;
    pack_tile(&p, s->scratch, tile);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct product p = forward_product(s);

    multiply_tile(&p, s->scratch, tile, lane);
}

static void account(nn_step *s, const struct product *p)
{
    s->scratch_bytes += bytes_of(p);
    s->lane_bytes = nni_max_size(s->lane_bytes, p->g.lane_bytes + (p->whole ? p->packed : 0));
    s->flops += 2.0 * (double)p->count * (double)p->g.m * (double)p->g.n * (double)p->g.k;
}

static int forward(nn_step *s)
{
    struct product p = forward_product(s);

    account(s, &p);
    if (!p.whole)
        nn_phase(s, pack_tiles(&p), pack_forward);
    nn_phase(s, tiles_of(&p), forward_tile);
    return NN_OK;
}

/* Both gradients, those that are wanted, in the same two phases: that of A first. */
static void backward_do(const nn_step *s, int64_t tile, void *lane, bool packing)
{
    char *packed = s->scratch;

    for (int which = A; which <= B; which++) {
        struct product p;
        int64_t tiles;

        if (!nn_has(&s->din[which]))
            continue;
        p = backward_product(s, which);
        tiles = packing ? pack_tiles(&p) : tiles_of(&p);
        if (tile < tiles) {
            if (packing)
                pack_tile(&p, packed, tile);
            else
                multiply_tile(&p, packed, tile, lane);
            return;
        }
        tile -= tiles;
        packed += bytes_of(&p);
    }
}

static void pack_backward(const nn_step *s, int64_t tile, void *lane) { backward_do(s, tile, lane, true); }
static void backward_tile(const nn_step *s, int64_t tile, void *lane) { backward_do(s, tile, lane, false); }

static int backward(nn_step *s)
{
    int64_t packs = 0, tiles = 0;

    for (int which = A; which <= B; which++)
        if (nn_has(&s->din[which])) {
            struct product p = backward_product(s, which);

            account(s, &p);
            packs += pack_tiles(&p);
            tiles += tiles_of(&p);
        }
    if (packs)
        nn_phase(s, packs, pack_backward);
    nn_phase(s, tiles, backward_tile);
    return NN_OK;
}

static int infer(nn_node *n)
{
    const nn_matmul_opts *o = n->attrs;
    nn_shape a = nn_shape_get(n->in[A]), b = nn_shape_get(n->in[B]), y = a;
    int rc = nni_infer_real(n, A, 2);
    nni_text left, right;
    bool fits;

    if (!rc)
        rc = nni_infer_real(n, B, 2);
    if (rc)
        return rc;
    fits = a.dim[a.rank - (o->transpose_a ? 2 : 1)] == b.dim[b.rank - (o->transpose_b ? 1 : 2)] &&
           (b.rank == a.rank || (b.rank == 2 && !o->transpose_a)) && nn_shape_count(a) > 0 &&
           nn_shape_count(b) > 0;
    for (int i = 0; fits && b.rank > 2 && i < a.rank - 2; i++)
        fits = a.dim[i] == b.dim[i];
    if (!fits)
        return nn_infer_fail(n,
                             "%s%s times %s%s: inner sizes must be equal, and so must leading ones, or b "
                             "be one matrix and a not transposed",
                             nni_shape_text(a, &left), o->transpose_a ? "^T" : "", nni_shape_text(b, &right),
                             o->transpose_b ? "^T" : "");
    y.dim[y.rank - 2] = a.dim[a.rank - (o->transpose_a ? 1 : 2)];
    y.dim[y.rank - 1] = b.dim[b.rank - (o->transpose_b ? 2 : 1)];
    return nn_infer_out(n, 0, NN_REAL, y);
}

const nn_op nn_op_matmul = {
    .abi = NN_OP_ABI,
    .name = "matmul",
    .inputs = 2,
    .reads = NN_IN(A) | NN_IN(B),
    .attrs_bytes = sizeof(nn_matmul_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_matmul_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_matmul_backward) },
};

nn_tensor *nn_matmul(nn_graph *g, nn_tensor *a, nn_tensor *b, nn_matmul_opts opts)
{
    nn_tensor *in[2] = { a, b };

    return nn_apply(g, &nn_op_matmul, &opts, in, 2);
}
