/* SPDX-License-Identifier: MIT
 *
 * Normalisation of pixels; for bytes every one of the 768 possible results must be the correctly
 * rounded one.
 */
#include "op_test.h"

#include <string.h>

struct norm {
    double mean[3], std[3], maximum;
};

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    const struct norm *n = c->extra;

    return out[0] = nn_normalize(g, in[0], n->mean, n->std, n->maximum);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    const struct norm *n = c->extra;

    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = (in[0][i] / n->maximum - n->mean[i % 3]) / n->std[i % 3];
}

static const struct norm imagenet = { { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 }, 255 };
static const struct norm unit = { { 0.5, 0.4, 0.3 }, { 0.5, 0.25, 0.2 }, 1 };
static const struct norm flat = { { 0, 0, 0 }, { 1, 0, 1 }, 255 };
static const struct norm empty = { { 0, 0, 0 }, { 1, 1, 1 }, 0 };

static const op_case cases[] = {
    { .name = "bytes",
      .in = { { .shape = { { 2, 5, 7, 3 }, 4 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = &imagenet,
      .no_backward = 1 },
    { .name = "several tiles of bytes",
      .in = { { .shape = { { 3, 50, 60, 3 }, 4 }, .type = NN_U8 } },
      .build = record,
      .oracle = oracle,
      .extra = &imagenet,
      .no_backward = 1 },
    { .name = "reals",
      .in = { { .shape = { { 2, 5, 7, 3 }, 4 } } },
      .build = record,
      .oracle = oracle,
      .extra = &unit },
    { .name = "several tiles of reals",
      .in = { { .shape = { { 2, 50, 60, 3 }, 4 }, .low = 0, .high = 255 } },
      .build = record,
      .oracle = oracle,
      .extra = &imagenet },
    { .name = "four channels",
      .in = { { .shape = { { 2, 5, 7, 4 }, 4 } } },
      .build = record,
      .extra = &unit,
      .fails = NN_ESHAPE,
      .says = "[2,5,7,4]" },
    { .name = "zero std",
      .in = { { .shape = { { 2, 5, 7, 3 }, 4 } } },
      .build = record,
      .extra = &flat,
      .fails = NN_ESHAPE,
      .says = "channel 1" },
    { .name = "zero maximum",
      .in = { { .shape = { { 2, 5, 7, 3 }, 4 } } },
      .build = record,
      .extra = &empty,
      .fails = NN_ESHAPE,
      .says = "maximum" },
    { .name = "integers",
      .in = { { .shape = { { 2, 5, 7, 3 }, 4 }, .type = NN_I32 } },
      .build = record,
      .extra = &unit,
      .fails = NN_ESHAPE,
      .says = "I32" },
    { .name = "bench bytes 224",
      .in = { { .shape = { { 32, 224, 224, 3 }, 4 }, .type = NN_U8 } },
      .build = record,
      .extra = &imagenet,
      .no_backward = 1,
      .bench = 1 },
    { .name = "bench reals 224",
      .in = { { .shape = { { 8, 224, 224, 3 }, 4 } } },
      .build = record,
      .extra = &imagenet,
      .bench = 1 },
};

START_TEST(every_byte)
{
    nn_device *device = op_test_device(NULL, 1);
    nn_graph *g = NULL;
    nn_plan *p = NULL;
    uint8_t x[768];
    nn_real y[768];

    for (int i = 0; i < 768; i++)
        x[i] = (uint8_t)(i / 3);
    ck_assert_int_eq(nn_graph_new(&g, device, NULL, NN_EVAL), NN_OK);
    (void)nn_observe(g, "y",
                     nn_normalize(g, nn_input(g, "x", NN_U8, NN_SHAPE4(1, 16, 16, 3)), imagenet.mean,
                                  imagenet.std, imagenet.maximum));
    ck_assert_msg(nn_compile(&p, g, (nn_plan_opts){ .seed = 0 }) == NN_OK, "%s", nn_graph_error(g));
    for (int run = 0; run < 2; run++) {
        ck_assert_int_eq(nn_write(p, "x", x, sizeof x), NN_OK);
        ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
        ck_assert_int_eq(nn_read(p, "y", NN_REAL, y, 768), NN_OK);
        for (int i = 0; i < 768; i++) {
            nn_real expected = (nn_real)((x[i] / 255.0 - imagenet.mean[i % 3]) / imagenet.std[i % 3]);

            ck_assert_msg(!memcmp(&y[i], &expected, sizeof expected), "byte %d of channel %d", x[i], i % 3);
        }
    }
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(device);
}
END_TEST

static void more(TCase *t) { tcase_add_test(t, every_byte); }

OP_TEST(normalize, OP_CASES(cases), .more = more);
