/* SPDX-License-Identifier: MIT
 *
 * An op that the library does not have, defined here on its public headers: what docs/adding-an-op.md
 * explains, and the proof that what it says is true. The last test holds the document's code against this
 * file, so neither can change without the other.
 */
#include "op_test.h"
#include "source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nn/nn.h>

/* PReLU (He et al., 2015): y = x where x > 0, else a[c]*x, with one learned slope a for each channel.
 *
 *     dx = dy where x > 0, else a[c]*dy        da[c] = sum over rows of dy*x where x <= 0
 */
enum { ROWS = 256 }; /* of a tile */

static int64_t channels_of(const nn_step *s) { return s->in[1].shape.dim[0]; }
static int64_t rows_of(const nn_step *s) { return nn_shape_count(s->in[0].shape) / channels_of(s); }
static int64_t tiles_of(const nn_step *s) { return (rows_of(s) + ROWS - 1) / ROWS; }

static int64_t end_of(const nn_step *s, int64_t tile)
{
    return (tile + 1) * ROWS < rows_of(s) ? (tile + 1) * ROWS : rows_of(s);
}

static void prelu_forward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at, *a = s->in[1].at;
    nn_real *y = s->out[0].at;
    int64_t channels = channels_of(s), end = end_of(s, tile);

    (void)lane;
    for (int64_t r = tile * ROWS; r < end; r++) {
        for (int64_t c = 0; c < channels; c++) {
            int64_t i = r * channels + c;

            y[i] = x[i] > 0 ? x[i] : a[c] * x[i];
        }
    }
}

static int prelu_forward(nn_step *s)
{
    nn_phase(s, tiles_of(s), prelu_forward_tile);
    s->flops = (double)nn_shape_count(s->in[0].shape);
    return NN_OK;
}

/* The tile's rows of dx, and its part of da into scratch [tiles][C]. */
static void prelu_backward_tile(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at, *a = s->in[1].at, *dy = s->dout[0].at;
    nn_real *dx = s->din[0].at;
    int64_t channels = channels_of(s), end = end_of(s, tile);
    double *da = (double *)s->scratch + tile * channels;
    int add = s->accumulate & NN_IN(0) ? 1 : 0;

    (void)lane;
    for (int64_t c = 0; c < channels; c++)
        da[c] = 0;
    for (int64_t r = tile * ROWS; r < end; r++) {
        for (int64_t c = 0; c < channels; c++) {
            int64_t i = r * channels + c;
            nn_real d = dy[i]; /* before dx[i] is written: they may be one place */

            if (x[i] <= 0)
                da[c] += (double)d * (double)x[i];
            if (nn_has(&s->din[0]))
                dx[i] = (x[i] > 0 ? d : a[c] * d) + (add ? dx[i] : 0);
        }
    }
}

/* The parts of one channel, in the order of tiles. */
static void prelu_merge_tile(const nn_step *s, int64_t channel, void *lane)
{
    nn_real *da = s->din[1].at;
    double sum = 0;

    (void)lane;
    for (int64_t tile = 0; tile < tiles_of(s); tile++)
        sum += ((const double *)s->scratch)[tile * channels_of(s) + channel];
    da[channel] = (nn_real)sum + (s->accumulate & NN_IN(1) ? da[channel] : 0);
}

static int prelu_backward(nn_step *s)
{
    s->scratch_bytes = (size_t)(tiles_of(s) * channels_of(s)) * sizeof(double);
    nn_phase(s, tiles_of(s), prelu_backward_tile);
    if (nn_has(&s->din[1]))
        nn_phase(s, channels_of(s), prelu_merge_tile);
    s->flops = 4 * (double)nn_shape_count(s->in[0].shape);
    return NN_OK;
}

static int prelu_infer(nn_node *n)
{
    nn_shape x = nn_shape_get(n->in[0]), a = nn_shape_get(n->in[1]);

    if (nn_type_get(n->in[0]) != NN_REAL || nn_type_get(n->in[1]) != NN_REAL)
        return nn_infer_fail(n, "x and slope must be %s", nn_dtype_name(NN_REAL));
    if (a.rank != 1 || x.rank < 1 || a.dim[0] != x.dim[x.rank - 1])
        return nn_infer_fail(n, "the slope must be [C], C being the last dimension of x");
    return nn_infer_out(n, 0, NN_REAL, x);
}

static const nn_op op_prelu = {
    .abi = NN_OP_ABI,
    .name = "prelu",
    .reads = NN_IN(0) | NN_IN(1),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .infer = prelu_infer,
    .forward = { prelu_forward },
    .backward = { prelu_backward },
};

/* x [...,C] -> [...,C]; "<name>.weight" [C] begins as 0.25. */
static nn_tensor *prelu(nn_graph *g, const char *name, nn_tensor *x)
{
    nn_tensor *in[2] = { x, NULL };

    nn_push(g, name);
    in[1] = nn_param(g, "weight", NN_SHAPE1(nn_dim(x, -1)), (nn_init){ NN_INIT_CONSTANT, 0.25 });
    x = nn_apply(g, &op_prelu, NULL, in, 2);
    nn_pop(g);
    return x;
}

/* ------------------------------------------------------------------ its test */

static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
{
    (void)c;
    return out[0] = nn_apply(g, &op_prelu, NULL, in, 2);
}

static void oracle(const op_case *c, const double *const *in, double *const *out)
{
    int64_t channels = c->in[1].shape.dim[0];

    for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
        out[0][i] = in[0][i] > 0 ? in[0][i] : in[1][i % channels] * in[0][i];
}

static const op_case cases[] = {
    { .name = "small",
      .in = { { .shape = { { 2, 3, 5 }, 3 } }, { .shape = { { 5 }, 1 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "several tiles",
      .in = { { .shape = { { 2, 19, 23, 7 }, 4 } }, { .shape = { { 7 }, 1 }, .param = 1 } },
      .build = record,
      .oracle = oracle },
    { .name = "wrong slope",
      .in = { { .shape = { { 2, 3 }, 2 } }, { .shape = { { 2 }, 1 } } },
      .build = record,
      .fails = NN_ESHAPE,
      .says = "last dimension" },
};

/* A network with the op learns |x|, which takes the slope from 0.25 to -1. */
START_TEST(learns_a_slope)
{
    nn_device *device;
    nn_model *model;
    nn_graph *g;
    nn_plan *plan;
    nn_tensor *x, *t, *d, *loss;
    nn_real *in, *target, slope[3];

    ck_assert_int_eq(nn_open(&device, "cpu", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_model_new(&model, device, 1), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_TRAIN), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE2(64, 3));
    t = nn_input(g, "t", NN_REAL, NN_SHAPE2(64, 3));
    d = nn_add(g, prelu(g, "act", x), nn_scale(g, t, -1, 0));
    loss = nn_mean(g, nn_mul(g, d, d), (nn_reduce_opts){ 0 });
    ck_assert_msg(nn_compile(&plan, g, (nn_plan_opts){ .loss = loss, .optim = nn_sgd((nn_sgd_opts){ 0 }) }) ==
                      NN_OK,
                  "%s", nn_graph_error(g));
    in = nn_host(plan, "x", NULL);
    target = nn_host(plan, "t", NULL);
    for (int i = 0; i < 64 * 3; i++) {
        in[i] = (nn_real)op_test_uniform(1, i, -1, 1);
        target[i] = (nn_real)fabs((double)in[i]);
    }
    (void)nn_set(plan, NN_LEARNING_RATE, 3);
    for (int k = 0; k < 100; k++)
        ck_assert_int_eq(nn_run(plan, NN_GRADIENTS | NN_UPDATE), NN_OK);
    ck_assert_int_eq(nn_model_read(model, "act.weight", NN_BASE_PARAM, NN_REAL, slope), NN_OK);
    for (int c = 0; c < 3; c++)
        ck_assert_msg(fabs((double)slope[c] + 1) < 1e-3, "slope %d is %g", c, (double)slope[c]);
    nn_plan_free(plan);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
}
END_TEST

/* ------------------------------------------------------------- and its document */

static char *text_of(const char *tail)
{
    char path[512], *text = calloc(1, 1 << 17);
    FILE *f = source_path(path, sizeof path, tail) ? fopen(path, "rb") : NULL;

    ck_assert_msg(f != NULL, "%s was not found: run this from a folder inside the source tree", tail);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_gt(fread(text, 1, (1 << 17) - 1, f), 0);
    (void)fclose(f);
    return text;
}

START_TEST(the_document_shows_this_code)
{
    char *source = text_of("tests/core/test_own_op.c"), *document = text_of("docs/adding-an-op.md");
    int blocks = 0;

    for (char *at = strstr(document, "```c\n"); at; at = strstr(at, "```c\n")) {
        char *end;

        at += 5;
        end = strstr(at, "```");
        ck_assert_ptr_nonnull(end);
        *end = 0;
        ck_assert_msg(strstr(source, at) != NULL,
                      "tests/core/test_own_op.c does not contain this part of docs/adding-an-op.md:\n%s", at);
        at = end + 3;
        blocks++;
    }
    ck_assert_int_ge(blocks, 5);
    free(source);
    free(document);
}
END_TEST

static void more(TCase *t)
{
    tcase_add_test(t, learns_a_slope);
    tcase_add_test(t, the_document_shows_this_code);
}

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "prelu", OP_CASES(cases), .more = more });
}
