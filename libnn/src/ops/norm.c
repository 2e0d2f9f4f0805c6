/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of norm.h. With h = (x - mean)*r, r = 1/sqrt(variance + eps), g = gamma*dy, and means
 * over the set:
 *
 *     dx = r*(g - mean(g) - h*mean(g*h))        dgamma[c] = sum dy*h        dbeta[c] = sum dy
 *
 * There are two ways. A set of one place is a row in one piece, which a kernel takes as it is (cpu/rows.h). A
 * set of many places is narrow, a few channels of each pixel: then all channels of a sample go through the
 * kernels of batch norm, tile by tile, and their statistics and sums are merged to those of groups. What
 * tiles leave is merged in their order.
 */
#include "ops/norm.h"

#include "cpu/cpu.h"

#include <math.h>
#include <string.h>

enum { X, GAMMA, BETA };
enum { EACH }; /* choice: sets, or places, of a tile */

/* x is [samples, places, channels]; a set has `cols` channels. */
struct view {
    int64_t samples, places, channels, groups, cols, sets;
    int64_t splits; /* tiles of a sample */
    double eps;
};

static struct view view_of(const nn_step *s)
{
    const struct nni_norm_attrs *a = s->attrs;
    nn_shape x = s->in[X].shape;
    struct view v = { .places = a->places, .channels = nni_channels(x), .groups = a->groups, .eps = a->eps };

    v.samples = nni_rows(x) / v.places;
    v.cols = v.channels / v.groups;
    v.sets = v.samples * v.groups;
    v.splits = nni_parts(v.places, s->choice[EACH]);
    return v;
}

static const nn_real *vector(const nn_operand *o, int64_t at)
{
    return nn_has(o) ? (const nn_real *)o->at + at : NULL;
}
static nn_real *mean_at(const nn_step *s, int64_t set) { return (nn_real *)s->save[0].at + set; }
static nn_real *scale_at(const nn_step *s, int64_t set) { return (nn_real *)s->save[1].at + set; }

static void save(const nn_step *s, int64_t set, double mean, double m2, double count)
{
    const struct nni_norm_attrs *a = s->attrs;

    *mean_at(s, set) = (nn_real)mean;
    *scale_at(s, set) = (nn_real)(1 / sqrt(m2 / count + a->eps));
}

/* Adds sums[tiles][2][channels] up to the gradients of gamma and beta. */
static void merge_vectors(const nn_step *s, const nn_real *sums, int64_t tiles, int64_t tile)
{
    int64_t channels = nni_channels(s->in[X].shape);
    struct nni_part p = nni_part_of(tile, NNI_MERGE, channels);

    for (int k = 0; k < 2; k++) {
        double sum[NNI_MERGE] = { 0 };
        nn_real *to = nn_has(&s->din[GAMMA + k]) ? s->din[GAMMA + k].at : NULL;

        nni_pointwise_of(s)->merge_sums(sum, sums + k * channels + p.begin, tiles, 2 * channels, p.count);
        for (int64_t c = 0; to && c < p.count; c++)
            to[p.begin + c] =
                (nn_real)((s->accumulate & NN_IN(GAMMA + k) ? (double)to[p.begin + c] : 0) + sum[c]);
    }
}

static bool wants_vectors(const nn_step *s) { return nn_has(&s->din[GAMMA]) || nn_has(&s->din[BETA]); }

/* ------------------------------------------------------------- sets of one place */

static struct nni_row_norm row_norm(const nn_step *s, const struct view *v, int64_t set)
{
    int64_t channel = set % v->groups * v->cols;

    return (struct nni_row_norm){ .gamma = vector(&s->in[GAMMA], channel),
                                  .beta = vector(&s->in[BETA], channel),
                                  .mean = *mean_at(s, set),
                                  .scale = *scale_at(s, set) };
}

static void forward_rows(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);
    struct nni_part p = nni_part_of(tile, s->choice[EACH], v.sets);

    (void)lane;
    for (int64_t set = p.begin; set < p.begin + p.count; set++) {
        const nn_real *x = (const nn_real *)s->in[X].at + set * v.cols;
        struct nni_row_norm norm;
        double mean, m2;

        nni_cpu_of(s)->row->moments(&mean, &m2, x, v.cols);
        save(s, set, mean, m2, (double)v.cols);
        norm = row_norm(s, &v, set);
        nni_cpu_of(s)->row->norm((nn_real *)s->out[0].at + set * v.cols, x, &norm, v.cols);
    }
}

/* Leaves the tile's sums of dy*h and dy, [2][channels]. */
static void backward_rows(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);
    struct nni_part p = nni_part_of(tile, s->choice[EACH], v.sets);
    nn_real *sums = (nn_real *)s->scratch + tile * 2 * v.channels;

    (void)lane;
    memset(sums, 0, (size_t)(2 * v.channels) * sizeof *sums);
    for (int64_t set = p.begin; set < p.begin + p.count; set++) {
        struct nni_row_norm norm = row_norm(s, &v, set);
        int64_t at = set * v.cols, channel = set % v.groups * v.cols;

        nni_cpu_of(s)->row->norm_grad(nn_has(&s->din[X]) ? (nn_real *)s->din[X].at + at : NULL,
                                      sums + channel, sums + v.channels + channel, vector(&s->in[X], at),
                                      vector(&s->dout[0], at), &norm, v.cols, s->accumulate & NN_IN(X));
    }
}

static void merge_rows(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    merge_vectors(s, s->scratch, s->phase[0].tiles, tile);
}

/* ------------------------------------------------------------ sets of many places */

/* A tile's places of one sample. */
struct places {
    int64_t sample, at, rows; /* at: its first element */
};

static struct places places_of(const nn_step *s, const struct view *v, int64_t tile)
{
    struct nni_part p = nni_part_of(tile % v->splits, s->choice[EACH], v->places);
    int64_t sample = tile / v->splits;

    return (struct places){ sample, (sample * v->places + p.begin) * v->channels, p.count };
}

/* One vector for all channels, in lane memory, of what groups have. */
static const nn_real *spread(const struct view *v, nn_real *to, const nn_real *of_groups,
                             const nn_real *gamma)
{
    for (int64_t c = 0; c < v->channels; c++)
        to[c] = of_groups[c / v->cols] * (gamma ? gamma[c] : 1);
    return to;
}

static void moments_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);
    struct places p = places_of(s, &v, tile);
    nn_real *mean = (nn_real *)s->scratch + tile * 2 * v.channels;

    nni_pointwise_of(s)->moments(mean, mean + v.channels, lane, vector(&s->in[X], p.at), p.rows, v.channels);
}

/* Statistics of a sample's groups: tiles are merged for each channel, then channels, by Chan's formula. */
static void moments_sample(const nn_step *s, int64_t sample, void *lane)
{
    struct view v = view_of(s);
    const nn_real *from = (const nn_real *)s->scratch + sample * v.splits * 2 * v.channels;
    double mean = 0, m2 = 0, each = (double)v.places, seen = 0;

    (void)lane;
    for (int64_t c0 = 0; c0 < v.channels; c0 += NNI_MERGE) {
        int64_t count = v.channels - c0 < NNI_MERGE ? v.channels - c0 : NNI_MERGE;
        double of_mean[NNI_MERGE], of_m2[NNI_MERGE];

        nni_pointwise_of(s)->merge_moments(of_mean, of_m2, from + c0, from + v.channels + c0, v.splits,
                                           2 * v.channels, count, s->choice[EACH], v.places);
        for (int64_t c = 0; c < count; c++) {
            double d = of_mean[c] - mean;

            m2 += of_m2[c] + d * d * seen * each / (seen + each);
            mean += d * each / (seen + each);
            seen += each;
            if ((c0 + c + 1) % v.cols == 0) {
                save(s, sample * v.groups + (c0 + c) / v.cols, mean, m2, seen);
                mean = m2 = seen = 0;
            }
        }
    }
}

static void forward_places(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);
    struct places p = places_of(s, &v, tile);
    struct nni_pointwise_affine map = { .mean = spread(&v, lane, mean_at(s, p.sample * v.groups), NULL),
                                        .scale = spread(&v, (nn_real *)lane + v.channels,
                                                        scale_at(s, p.sample * v.groups),
                                                        vector(&s->in[GAMMA], 0)),
                                        .beta = vector(&s->in[BETA], 0) };

    nni_pointwise_of(s)->affine((nn_real *)s->out[0].at + p.at, vector(&s->in[X], p.at), NULL, p.rows,
                                v.channels, &map, 1);
}

/* Scratch of backward: sums of tiles [tiles][2][channels], of dy and then of dy*(x - mean); sums of samples
 * [samples][2][channels] and means over groups [samples][2][groups], of dy*h and then of dy. */
struct sums {
    nn_real *tiles, *samples, *groups;
    size_t bytes;
};

static struct sums sums_of(const nn_step *s, const struct view *v)
{
    int64_t tiles = v->samples * v->splits * 2 * v->channels, samples = v->samples * 2 * v->channels;
    nn_real *at = s->scratch;
    struct sums r = { .bytes = (size_t)(tiles + samples + 2 * v->sets) * sizeof *at };

    if (at)
        r = (struct sums){ at, at + tiles, at + tiles + samples, r.bytes };
    return r;
}

static void sums_tile(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);
    struct places p = places_of(s, &v, tile);
    nn_real *to = sums_of(s, &v).tiles + tile * 2 * v.channels;
    struct nni_pointwise_affine map = { .mean = spread(&v, lane, mean_at(s, p.sample * v.groups), NULL),
                                        .scale = spread(&v, (nn_real *)lane + v.channels,
                                                        scale_at(s, p.sample * v.groups), NULL) };

    memset(to, 0, (size_t)(2 * v.channels) * sizeof *to);
    nni_pointwise_of(s)->affine_grad(NULL, to, vector(&s->in[X], p.at), vector(&s->dout[0], p.at), v.channels,
                                     p.rows, v.channels, &map, 1, false);
}

static void sums_sample(const nn_step *s, int64_t sample, void *lane)
{
    struct view v = view_of(s);
    struct sums r = sums_of(s, &v);
    const nn_real *gamma = vector(&s->in[GAMMA], 0);
    double count = (double)(v.places * v.cols);

    (void)lane;
    for (int k = 0; k < 2; k++) {
        const nn_real *from = r.tiles + (sample * v.splits * 2 + !k) * v.channels;
        double all = 0;

        for (int64_t c0 = 0; c0 < v.channels; c0 += NNI_MERGE) {
            int64_t some = v.channels - c0 < NNI_MERGE ? v.channels - c0 : NNI_MERGE;
            double sum[NNI_MERGE] = { 0 };

            nni_pointwise_of(s)->merge_sums(sum, from + c0, v.splits, 2 * v.channels, some);
            for (int64_t c = c0; c < c0 + some; c++) {
                int64_t group = c / v.cols;
                double of_c = sum[c - c0] * (k ? 1 : (double)*scale_at(s, sample * v.groups + group));

                r.samples[(sample * 2 + k) * v.channels + c] = (nn_real)of_c;
                all += of_c * (gamma ? (double)gamma[c] : 1);
                if ((c + 1) % v.cols == 0) {
                    r.groups[(sample * 2 + k) * v.groups + group] = (nn_real)(all / count);
                    all = 0;
                }
            }
        }
    }
}

/* dx = r*gamma*dy, and then the affine map of x: -r*mean(g) - r*r*mean(g*h)*(x - mean). */
static void backward_places(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);
    struct places p = places_of(s, &v, tile);
    const nn_real *gamma = vector(&s->in[GAMMA], 0), *x = vector(&s->in[X], p.at);
    const nn_real *of_gh = sums_of(s, &v).groups + p.sample * 2 * v.groups,
                  *r = scale_at(s, p.sample * v.groups);
    nn_real *mean = lane, *scale = mean + v.channels, *beta = scale + v.channels;
    nn_real *dx = (nn_real *)s->din[X].at + p.at;
    struct nni_pointwise_affine map = { .mean = mean, .scale = scale };

    (void)spread(&v, mean, mean_at(s, p.sample * v.groups), NULL);
    (void)spread(&v, scale, r, gamma);
    nni_pointwise_of(s)->affine_grad(dx, NULL, x, vector(&s->dout[0], p.at), v.channels, p.rows, v.channels,
                                     &map, 1, s->accumulate & NN_IN(X));
    for (int64_t c = 0; c < v.channels; c++) {
        int64_t g = c / v.cols;

        scale[c] = -r[g] * r[g] * of_gh[g];
        beta[c] = -r[g] * of_gh[v.groups + g];
    }
    map.beta = beta;
    nni_pointwise_of(s)->affine(dx, x, dx, p.rows, v.channels, &map, 1);
}

static void merge_samples(const nn_step *s, int64_t tile, void *lane)
{
    struct view v = view_of(s);

    (void)lane;
    merge_vectors(s, sums_of(s, &v).samples, v.samples, tile);
}

/* ---------------------------------------------------------------------- prepare */

/* Returns whether sets are rows. Tiles of the first phase: some microseconds of work. */
static bool divide(nn_step *s, int64_t most, int64_t *tiles)
{
    const struct nni_norm_attrs *a = s->attrs;
    nn_shape x = s->in[X].shape;
    int64_t channels = nni_channels(x), sets = nni_rows(x) / a->places * a->groups;

    if (a->places == 1) {
        *tiles = nni_tiles(sets, 1 + 8192 / (channels / a->groups), most, &s->choice[EACH]);
        return true;
    }
    s->choice[EACH] = nni_tile_rows(channels);
    *tiles = nni_rows(x) / a->places * nni_parts(a->places, s->choice[EACH]);
    s->lane_bytes = (size_t)(3 * channels) * sizeof(nn_real);
    return false;
}

int nni_norm_forward(nn_step *s)
{
    int64_t tiles;

    s->flops = 7.0 * (double)nn_shape_count(s->in[X].shape);
    if (divide(s, 64, &tiles)) {
        nn_phase(s, tiles, forward_rows);
        return NN_OK;
    }
    s->scratch_bytes = (size_t)(tiles * 2 * nni_channels(s->in[X].shape)) * sizeof(nn_real);
    nn_phase(s, tiles, moments_tile);
    nn_phase(s, view_of(s).samples, moments_sample);
    nn_phase(s, tiles, forward_places);
    return NN_OK;
}

int nni_norm_backward(nn_step *s)
{
    int64_t tiles, channels = nni_channels(s->in[X].shape);
    bool rows = divide(s, 32, &tiles);
    struct view v = view_of(s);

    s->flops = 16.0 * (double)nn_shape_count(s->in[X].shape);
    s->scratch_bytes = rows ? (size_t)(tiles * 2 * channels) * sizeof(nn_real) : sums_of(s, &v).bytes;
    nn_phase(s, tiles, rows ? backward_rows : sums_tile);
    if (!rows) {
        nn_phase(s, v.samples, sums_sample);
        if (nn_has(&s->din[X]))
            nn_phase(s, tiles, backward_places);
    }
    if (wants_vectors(s))
        nn_phase(s, nni_parts(channels, NNI_MERGE), rows ? merge_rows : merge_samples);
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
    if (!rc)
        rc = nni_infer_constant(n, "eps", a->eps, 0, NNI_MOST_EPS);
    if (rc)
        return rc;
    sets = nni_rows(x) / a->places * a->groups;
    for (int k = 0; !rc && k < 2; k++)
        rc = nn_infer_save(n, k, NN_REAL, NN_SHAPE1(sets));
    return rc ? rc : nn_infer_out(n, 0, NN_REAL, x);
}
