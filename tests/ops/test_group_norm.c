/* SPDX-License-Identifier: MIT
 *
 * group_norm: from one group to as many as there are channels.
 */
#include "op_test.h"

#include <math.h>

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    nn_group_norm_opts o = { .groups = *(const int64_t *)c->extra, .eps = 1e-5 };

    return out[0] = nn_group_norm(g, in[0], in[1], in[2], o);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    nn_shape x = c->in[0].shape;
    int64_t groups = *(const int64_t *)c->extra, channels = x.dim[x.rank - 1], each = channels / groups;
    int64_t places = nn_shape_count(x) / x.dim[0] / channels;

    for (int64_t s = 0; s < x.dim[0] * groups; s++) {
        int64_t base = s / groups * places * channels + s % groups * each;
        double mean = 0, variance = 0, count = (double)(places * each);

        for (int64_t e = 0; e < places * each; e++)
            mean += in[0][base + e / each * channels + e % each] / count;
        for (int64_t e = 0; e < places * each; e++)
            variance += pow(in[0][base + e / each * channels + e % each] - mean, 2) / count;
        for (int64_t e = 0; e < places * each; e++) {
            int64_t at = base + e / each * channels + e % each, k = s % groups * each + e % each;

            out[0][at] =
                (in[1] ? in[1][k] : 1) * (in[0][at] - mean) / sqrt(variance + 1e-5) + (in[2] ? in[2][k] : 0);
        }
    }
}

#define VECTOR(c)                                                                                            \
    {                                                                                                        \
        .shape = { { c }, 1 }, .param = 1                                                                    \
    }
#define GROUPS(n)                                                                                            \
    .build = record, .oracle = oracle, .extra = &(const int64_t) { n }

static const op_case cases[] = {
    { .name = "two groups", .in = { { .shape = { { 2, 3, 2, 6 }, 4 } }, VECTOR(6), VECTOR(6) }, GROUPS(2) },
    { .name = "one group", .in = { { .shape = { { 2, 2, 3, 5 }, 4 } }, VECTOR(5), VECTOR(5) }, GROUPS(1) },
    { .name = "instance norm",
      .in = { { .shape = { { 2, 3, 3, 4 }, 4 } }, VECTOR(4), VECTOR(4) },
      GROUPS(4) },
    { .name = "rows", .in = { { .shape = { { 3, 8 }, 2 } }, VECTOR(8), VECTOR(8) }, GROUPS(2) },
    { .name = "no gamma, no beta",
      .in = { { .shape = { { 2, 3, 2, 6 }, 4 } }, { .absent = 1 }, { .absent = 1 } },
      GROUPS(3) },
    { .name = "several tiles",
      .in = { { .shape = { { 5, 12, 11, 64 }, 4 } }, VECTOR(64), VECTOR(64) },
      GROUPS(8),
      .probes = 8 },
    { .name = "groups that do not divide",
      .in = { { .shape = { { 2, 3, 2, 6 }, 4 } }, VECTOR(6), VECTOR(6) },
      GROUPS(4),
      .fails = NN_ESHAPE,
      .says = "4 groups" },
    { .name = "bench 32 groups",
      .in = { { .shape = { { 8, 28, 28, 256 }, 4 } }, VECTOR(256), VECTOR(256) },
      .build = record,
      .extra = &(const int64_t){ 32 },
      .bench = 1 },
};

OP_TEST(group_norm, OP_CASES(cases));
