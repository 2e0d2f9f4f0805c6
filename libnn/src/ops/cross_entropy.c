/* SPDX-License-Identifier: MIT
 *
 * Mean cross entropy of N rows of C logits z [...,C], as torch.nn.CrossEntropyLoss defines it. With
 * l = log_softmax(z), smoothing s, class weights w (1 when there are none):
 *
 *     row loss L_n = -sum_c q[n,c]*l[n,c]
 *     class indices y:  q[n,c] = (1-s)*w[y_n]*[c = y_n] + s/C*w[c],  loss = sum L_n / sum w[y_n]
 *     probabilities t:  q[n,c] = w[c]*((1-s)*t[n,c] + s/C),          loss = sum L_n / N
 *
 * The divisor D is one thing in one case and another in the other; that asymmetry is the reference's.
 *
 * Derivatives: dz = dloss/D * (exp(l)*sum_c q - q), dt = -dloss/D * (1-s)*w*l. The class weights are
 * constants. An index outside [0,C) makes D not a number, and so the loss and every gradient. Rows with the
 * ignored index add to neither sum, and their gradient is 0 even where D is.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/attrs.h"

#include <nn/ops.h>

#include <math.h>

static int64_t classes_of(nn_shape z) { return z.dim[z.rank - 1]; }
static int64_t rows_of(nn_shape z) { return nn_shape_count(z) / classes_of(z); }

/* What a tile leaves for the merge. */
struct part {
    double loss, divisor;
};

/* Whether row r takes no part. */
static bool is_ignored(const nn_step *s, int64_t r)
{
    const struct nni_cross_entropy *a = s->attrs;

    return a->ignore && ((const int32_t *)s->in[1].at)[r] == a->ignore_index;
}

/* Index of row r, -1 when it is outside [0,C). */
static int64_t class_of(const nn_operand *target, int64_t r, int64_t classes)
{
    int64_t y = ((const int32_t *)target->at)[r];

    return y >= 0 && y < classes ? y : -1;
}

/* What q is made of, looked up once for a row. */
struct row {
    const nn_real *chance, *weight; /* NULL: classes by index; no weights */
    int64_t y;
    double kept, even; /* 1-s and s/C */
};

static struct row row_of(const nn_step *s, int64_t r, int64_t classes)
{
    double smoothing = ((const struct nni_cross_entropy *)s->attrs)->smoothing;
    struct row row = { .y = -1, .kept = 1 - smoothing, .even = smoothing / (double)classes };

    if (s->in[1].type == NN_I32)
        row.y = class_of(&s->in[1], r, classes);
    else
        row.chance = (const nn_real *)s->in[1].at + r * classes;
    if (nn_has(&s->in[2]))
        row.weight = s->in[2].at;
    return row;
}

/* q[r,c] of the comment above. */
static inline double share(const struct row *row, int64_t c)
{
    double target = row->chance ? (double)row->chance[c] : (double)(c == row->y);
    double q = row->kept * target + row->even;

    return row->weight ? q * (double)row->weight[c] : q;
}

/* A tile is choice[0] rows. */
static void rows_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t rows = rows_of(s->in[0].shape), classes = classes_of(s->in[0].shape);
    int64_t end = (tile + 1) * s->choice[0] < rows ? (tile + 1) * s->choice[0] : rows;
    int indices = s->in[1].type == NN_I32;
    struct part *part = (struct part *)s->scratch + tile, sum = { 0, 0 };

    (void)lane;
    for (int64_t r = tile * s->choice[0]; r < end; r++) {
        const nn_real *z = (const nn_real *)s->in[0].at + r * classes;
        nn_real most = z[0];
        struct row row = row_of(s, r, classes);
        bool ignored = is_ignored(s, r);
        double total = 0, offset;

        for (int64_t c = 1; c < classes; c++)
            most = z[c] > most ? z[c] : most;
        for (int64_t c = 0; c < classes; c++)
            total += exp((double)z[c] - (double)most);
        offset = (double)most + log(total);
        for (int64_t c = 0; c < classes; c++) {
            double l = (double)z[c] - offset, q = share(&row, c);

            /* An infinite logit of a class that has no share is no loss when classes are given by index. */
            if (!ignored && (q != 0 || !indices || isnan(l)))
                sum.loss -= q * l;
            if (nn_has(&s->save[0]))
                ((nn_real *)s->save[0].at)[r * classes + c] = (nn_real)l;
        }
        if (!ignored)
            sum.divisor += !indices ? 1 : row.y < 0 ? NAN : row.weight ? (double)row.weight[row.y] : 1;
    }
    *part = sum;
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct part *part = s->scratch;
    double loss = 0, divisor = 0;

    (void)tile;
    (void)lane;
    for (int64_t i = 0; i < s->choice[1]; i++) {
        loss += part[i].loss;
        divisor += part[i].divisor;
    }
    *(nn_real *)s->out[0].at = (nn_real)(loss / divisor);
    if (nn_has(&s->save[1]))
        *(nn_real *)s->save[1].at = (nn_real)divisor;
}

static void back_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_operand *from = nn_has(&s->din[0]) ? &s->din[0] : &s->din[1];
    int64_t rows = rows_of(from->shape), classes = classes_of(from->shape);
    int64_t end = (tile + 1) * s->choice[0] < rows ? (tile + 1) * s->choice[0] : rows;
    double factor = (double)*(const nn_real *)s->dout[0].at / (double)*(const nn_real *)s->save[1].at;
    nn_real *dz = nn_has(&s->din[0]) ? s->din[0].at : NULL, *dt = nn_has(&s->din[1]) ? s->din[1].at : NULL;

    (void)lane;
    for (int64_t r = tile * s->choice[0]; r < end; r++) {
        const nn_real *l = (const nn_real *)s->save[0].at + r * classes;
        struct row row = row_of(s, r, classes);
        bool ignored = is_ignored(s, r);
        double total = 0;

        for (int64_t c = 0; dz && c < classes; c++)
            total += share(&row, c);
        for (int64_t c = 0; dz && c < classes; c++) {
            nn_real d = ignored ? 0 : (nn_real)(factor * (exp((double)l[c]) * total - share(&row, c)));
            nn_real *to = dz + r * classes + c;

            *to = s->accumulate & 1u ? *to + d : d;
        }
        for (int64_t c = 0; dt && c < classes; c++) {
            nn_real d =
                (nn_real)(-factor * row.kept * (row.weight ? (double)row.weight[c] : 1) * (double)l[c]);
            nn_real *to = dt + r * classes + c;

            *to = s->accumulate & 2u ? *to + d : d;
        }
    }
}

static int forward(nn_step *s)
{
    nn_shape z = s->in[0].shape;

    s->choice[1] = nni_tiles(rows_of(z), 1 + 512 / (classes_of(z) + 1), 256, &s->choice[0]);
    s->scratch_bytes = (size_t)s->choice[1] * sizeof(struct part);
    s->flops = 6.0 * (double)nn_shape_count(z);
    nn_phase(s, s->choice[1], rows_tile);
    nn_phase(s, 1, merge_tile);
    return NN_OK;
}

static int backward(nn_step *s)
{
    nn_shape z = nn_has(&s->din[0]) ? s->din[0].shape : s->din[1].shape;

    if (nn_has(&s->din[2]) || (nn_has(&s->din[1]) && s->in[1].type != NN_REAL))
        return NN_EUNSUPPORTED;
    s->flops = 6.0 * (double)nn_shape_count(z);
    nn_phase(s, nni_tiles(rows_of(z), 1 + 512 / (classes_of(z) + 1), 256, &s->choice[0]), back_tile);
    return NN_OK;
}

static int infer(nn_node *node)
{
    const struct nni_cross_entropy *a = node->attrs;
    nn_shape z = nn_shape_get(node->in[0]), t = nn_shape_get(node->in[1]), rows = z;
    nn_dtype type = nn_type_get(node->in[1]);
    nni_text one, two, three;

    if (nn_type_get(node->in[0]) != NN_REAL || z.rank < 2)
        return nn_infer_fail(node, "the logits are %s %s; [...,C] %s wanted", nni_shape_text(z, &one),
                             nn_dtype_name(nn_type_get(node->in[0])), nn_dtype_name(NN_REAL));
    rows.rank--;
    if (!(type == NN_I32 && nn_shape_equal(t, rows)) && !(type == NN_REAL && nn_shape_equal(t, z)))
        return nn_infer_fail(node, "the target is %s %s for logits %s; %s I32 or %s %s wanted",
                             nni_shape_text(t, &one), nn_dtype_name(type), nni_shape_text(z, &two),
                             nni_shape_text(rows, &three), nni_shape_text(z, &two), nn_dtype_name(NN_REAL));
    if (node->in[2] && (nn_type_get(node->in[2]) != NN_REAL ||
                        !nn_shape_equal(nn_shape_get(node->in[2]), NN_SHAPE1(classes_of(z)))))
        return nn_infer_fail(node, "the class weights are %s for logits %s; [C] wanted",
                             nni_shape_text(nn_shape_get(node->in[2]), &one), nni_shape_text(z, &two));
    if (a->ignore && type != NN_I32)
        return nn_infer_fail(node, "ignore_index is for class indices, not for probabilities");
    if (!(a->smoothing >= 0 && a->smoothing < 1))
        return nn_infer_fail(node, "smoothing is %g; it must be in [0,1)", a->smoothing);
    if (nn_infer_save(node, 0, NN_REAL, z) || nn_infer_save(node, 1, NN_REAL, NN_SHAPE0()))
        return NN_ENOMEM;
    return nn_infer_out(node, 0, NN_REAL, NN_SHAPE0());
}

const nn_op nn_op_cross_entropy = {
    .abi = NN_OP_ABI,
    .name = "cross_entropy",
    .inputs = 2,
    .optional = NN_IN(2),
    .reads = NN_IN(1) | NN_IN(2),
    .attrs_bytes = sizeof(struct nni_cross_entropy),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_cross_entropy_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_cross_entropy_backward) },
};

nn_tensor *nn_cross_entropy(nn_graph *g, nn_tensor *logits, nn_tensor *target, nn_ce_opts opts)
{
    struct nni_cross_entropy a = { opts.smoothing, opts.ignore, opts.ignore_index };
    nn_tensor *in[3] = { logits, target, opts.class_weights ? nn_detach(g, opts.class_weights) : NULL };

    return nn_apply(g, &nn_op_cross_entropy, &a, in, 3);
}
