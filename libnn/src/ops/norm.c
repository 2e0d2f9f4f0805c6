/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of norm.h. With h = (x - mean)*r, r = 1/sqrt(variance + eps), g = gamma*dy, and means
 * over the set:
 *
 *     dx = r*(g - mean(g) - h*mean(g*h))        dgamma[c] = sum dy*h        dbeta[c] = sum dy
 *
 * Sums are taken in double. The last two run over all samples: tiles leave partial sums, which a second
 * phase adds in order.
 */
#include "ops/norm.h"

#include "cpu/cpu.h"

#include <math.h>
#include <string.h>

enum { X, GAMMA, BETA };

/* A set: `rows` pieces of `cols` elements, `step` apart. */
struct set {
    int64_t at, rows, cols, step, channel;
};

static int64_t sets_of(const nn_step *s, nn_shape x)
{
    const struct nni_norm_attrs *a = s->attrs;

    return nni_rows(x) / a->places * a->groups;
}

static struct set set_of(const nn_step *s, nn_shape x, int64_t index)
{
    const struct nni_norm_attrs *a = s->attrs;
    int64_t channels = nni_channels(x), cols = channels / a->groups, channel = index % a->groups * cols;

    return (struct set){ index / a->groups * a->places * channels + channel, a->places, cols, channels,
                         channel };
}

static void statistics(const nn_real *x, const struct set *v, double eps, double *mean, double *scale)
{
    double count = (double)(v->rows * v->cols), sum = 0, squares = 0;

    for (int64_t r = 0; r < v->rows; r++)
        for (int64_t c = 0; c < v->cols; c++)
            sum += (double)x[r * v->step + c];
    *mean = sum / count;
    for (int64_t r = 0; r < v->rows; r++)
        for (int64_t c = 0; c < v->cols; c++) {
            double d = (double)x[r * v->step + c] - *mean;

            squares += d * d;
        }
    *scale = 1 / sqrt(squares / count + eps);
}

static void forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const struct nni_norm_attrs *a = s->attrs;
    nn_shape shape = s->in[X].shape;
    struct nni_part p = nni_part_of(tile, s->choice[0], sets_of(s, shape));
    const nn_real *gamma = nn_has(&s->in[GAMMA]) ? s->in[GAMMA].at : NULL;
    const nn_real *beta = nn_has(&s->in[BETA]) ? s->in[BETA].at : NULL;

    (void)lane;
    for (int64_t i = p.begin; i < p.begin + p.count; i++) {
        struct set v = set_of(s, shape, i);
        const nn_real *x = (const nn_real *)s->in[X].at + v.at;
        nn_real *y = (nn_real *)s->out[0].at + v.at;
        double mean, scale;

        statistics(x, &v, a->eps, &mean, &scale);
        ((nn_real *)s->save[0].at)[i] = (nn_real)mean;
        ((nn_real *)s->save[1].at)[i] = (nn_real)scale;
        for (int64_t r = 0; r < v.rows; r++)
            for (int64_t c = 0; c < v.cols; c++) {
                double h = ((double)x[r * v.step + c] - mean) * scale;

                y[r * v.step + c] = (nn_real)(h * (gamma ? (double)gamma[v.channel + c] : 1) +
                                              (beta ? (double)beta[v.channel + c] : 0));
            }
    }
}

int nni_norm_forward(nn_step *s)
{
    nn_shape x = s->in[X].shape;
    int64_t sets = sets_of(s, x);

    nn_phase(s, nni_tiles(sets, 1 + 8192 / (nn_shape_count(x) / sets + 1), 64, &s->choice[0]), forward_tile);
    s->flops = 7.0 * (double)nn_shape_count(x);
    return NN_OK;
}

/* Partial sums of a tile: [2, channels] of dy*h and dy. */
static void backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    nn_shape shape = s->in[X].shape;
    int64_t channels = nni_channels(shape);
    struct nni_part p = nni_part_of(tile, s->choice[0], sets_of(s, shape));
    const nn_real *gamma = nn_has(&s->in[GAMMA]) ? s->in[GAMMA].at : NULL;
    nn_real *sums = (nn_real *)s->scratch + tile * 2 * channels;
    bool wants = nn_has(&s->din[X]), add = s->accumulate & NN_IN(X);

    (void)lane;
    memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
    for (int64_t i = p.begin; i < p.begin + p.count; i++) {
        struct set v = set_of(s, shape, i);
        const nn_real *x = (const nn_real *)s->in[X].at + v.at, *dy = (const nn_real *)s->dout[0].at + v.at;
        nn_real *dx = wants ? (nn_real *)s->din[X].at + v.at : NULL;
        double mean = (double)((const nn_real *)s->save[0].at)[i],
               scale = (double)((const nn_real *)s->save[1].at)[i];
        double count = (double)(v.rows * v.cols), g = 0, gh = 0;

        for (int64_t r = 0; r < v.rows; r++)
            for (int64_t c = 0; c < v.cols; c++) {
                int64_t at = r * v.step + c;
                double d = (double)dy[at], h = ((double)x[at] - mean) * scale;
                double weighed = d * (gamma ? (double)gamma[v.channel + c] : 1);

                g += weighed;
                gh += weighed * h;
                sums[v.channel + c] += (nn_real)(d * h);
                sums[channels + v.channel + c] += (nn_real)d;
            }
        for (int64_t r = 0; wants && r < v.rows; r++)
            for (int64_t c = 0; c < v.cols; c++) {
                int64_t at = r * v.step + c;
                double h = ((double)x[at] - mean) * scale;
                double weighed = (double)dy[at] * (gamma ? (double)gamma[v.channel + c] : 1);
                nn_real d = (nn_real)(scale * (weighed - g / count - h * gh / count));

                dx[at] = add ? dx[at] + d : d;
            }
    }
}

static void merge_tile(const nn_step *s, int64_t tile, void *lane)
{
    int64_t channels = nni_channels(s->in[X].shape);
    struct nni_part p = nni_part_of(tile, NNI_MERGE, channels);

    (void)lane;
    for (int k = 0; k < 2; k++) {
        double sum[NNI_MERGE] = { 0 };
        nn_real *to = nn_has(&s->din[GAMMA + k]) ? s->din[GAMMA + k].at : NULL;

        nni_pointwise_of(s)->merge_sums(sum, (const nn_real *)s->scratch + k * channels + p.begin,
                                        s->phase[0].tiles, 2 * channels, p.count);
        for (int64_t c = 0; to && c < p.count; c++)
            to[p.begin + c] =
                (nn_real)((s->accumulate & NN_IN(GAMMA + k) ? (double)to[p.begin + c] : 0) + sum[c]);
    }
}

int nni_norm_backward(nn_step *s)
{
    nn_shape x = s->in[X].shape;
    int64_t sets = sets_of(s, x), channels = nni_channels(x);
    int64_t tiles = nni_tiles(sets, 1 + 8192 / (nn_shape_count(x) / sets + 1), 32, &s->choice[0]);

    s->scratch_bytes = (size_t)(tiles * 2 * channels) * sizeof(nn_real);
    nn_phase(s, tiles, backward_tile);
    if (nn_has(&s->din[GAMMA]) || nn_has(&s->din[BETA]))
        nn_phase(s, nni_parts(channels, NNI_MERGE), merge_tile);
    s->flops = 16.0 * (double)nn_shape_count(x);
    return NN_OK;
}

int nni_norm_infer(nn_node *n, int least_rank)
{
    const struct nni_norm_attrs *a = n->attrs;
    nn_shape x = nn_shape_get(n->in[X]);
    int64_t channels = nni_channels(x), sets;
    int rc = nni_infer_real(n, X, least_rank);

    if (!rc && (channels < 1 || a->groups < 1 || channels % a->groups))
        rc = nn_infer_fail(n, "%lld groups do not divide %lld channels", (long long)a->groups,
                           (long long)channels);
    for (int i = GAMMA; !rc && i <= BETA; i++)
        rc = nni_infer_vector(n, i, channels);
    if (rc)
        return rc;
    sets = nni_rows(x) / a->places * a->groups;
    for (int k = 0; !rc && k < 2; k++)
        rc = nn_infer_save(n, k, NN_REAL, NN_SHAPE1(sets));
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, x);
}
