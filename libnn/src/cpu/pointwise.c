/* SPDX-License-Identifier: MIT
 *
 * What ops with an affine (their own, or one that fusion put into their slot) do alike.
 */
#include "cpu/cpu.h"

static int infer_type(nn_node *n, int i, int rank, nn_dtype type)
{
    nni_text text;

    if (nn_type_get(n->in[i]) != type)
        return nn_infer_fail(n, "input %d is %s, not %s%s", i, nn_dtype_name(nn_type_get(n->in[i])),
                             nn_dtype_name(type),
                             nn_type_get(n->in[i]) == NN_U8 ? ": nn_cast or nn_normalize makes it so" : "");
    if (nn_shape_get(n->in[i]).rank < rank)
        return nn_infer_fail(n, "input %d %s must have at least %d dimension%s", i,
                             nni_shape_text(nn_shape_get(n->in[i]), &text), rank, rank == 1 ? "" : "s");
    return NN_OK;
}

int nni_infer_real(nn_node *n, int i, int rank) { return infer_type(n, i, rank, NN_REAL); }

int nni_infer_activation(nn_node *n, int i, int rank)
{
    bool narrow = n->graph->device->backend->bf16 && nn_type_get(n->in[0]) == NN_BF16;

    return infer_type(n, i, rank, narrow ? NN_BF16 : NN_REAL);
}

int nni_infer_vector(nn_node *n, int i, int64_t channels)
{
    nni_text text;
    int rc = n->in[i] ? nni_infer_real(n, i, 1) : NN_OK;

    if (rc || !n->in[i] || nn_shape_equal(nn_shape_get(n->in[i]), NN_SHAPE1(channels)))
        return rc;
    return nn_infer_fail(n, "input %d %s must have one value for each of the %lld channels", i,
                         nni_shape_text(nn_shape_get(n->in[i]), &text), (long long)channels);
}

int nni_infer_constant(nn_node *n, const char *name, double value, double low, double high)
{
    if (value >= low && value <= high)
        return NN_OK;
    return nn_infer_fail(n, "%s is %g; it must be from %g to %g", name, value, low, high);
}

int nni_infer_affine(nn_node *n, int k, int64_t channels)
{
    int rc = NN_OK;

    if (!n->in[k] != !n->in[k + 1] || (n->in[k + 2] && !n->in[k]))
        return nn_infer_fail(n, "mean and scale must be given together, and beta only with them");
    for (int i = k; !rc && i < k + 3; i++)
        rc = nni_infer_vector(n, i, channels);
    return rc;
}

struct nni_pointwise_affine nni_affine_operands(const nn_step *s, int k)
{
    struct nni_pointwise_affine v = { 0 };

    if (nn_has(&s->in[k])) {
        v.mean = s->in[k].at;
        v.scale = s->in[k + 1].at;
        v.beta = nn_has(&s->in[k + 2]) ? s->in[k + 2].at : NULL;
        v.act = s->act;
    }
    return v;
}

bool nni_affine_wanted(const nn_step *s, int k)
{
    return nn_has(&s->din[k]) || nn_has(&s->din[k + 1]) || nn_has(&s->din[k + 2]);
}

/* Writes a channel's gradient unless nobody wants it. */
static void give(const nn_step *s, int i, int64_t c, double value)
{
    nn_real *to = s->din[i].at;

    if (nn_has(&s->din[i]))
        to[c] = (nn_real)(s->accumulate & NN_IN(i) ? (double)to[c] + value : value);
}

void nni_affine_merge(const nn_step *s, int k, const nn_real *sums, int64_t tiles, int64_t tile)
{
    const nn_real *scale = s->in[k + 1].at;
    int64_t channels = nn_shape_count(s->in[k].shape);
    struct nni_part p = nni_part_of(tile, NNI_MERGE, channels);
    double dz[NNI_MERGE] = { 0 }, dzx[NNI_MERGE] = { 0 };

    nni_pointwise_of(s)->merge_sums(dz, sums + p.begin, tiles, 2 * channels, p.count);
    nni_pointwise_of(s)->merge_sums(dzx, sums + channels + p.begin, tiles, 2 * channels, p.count);
    for (int64_t c = 0; c < p.count; c++) {
        give(s, k, p.begin + c, -(double)scale[p.begin + c] * dz[c]);
        give(s, k + 1, p.begin + c, dzx[c]);
        give(s, k + 2, p.begin + c, dz[c]);
    }
}
