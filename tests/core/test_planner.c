/* SPDX-License-Identifier: MIT
 *
 * The planner's promises, on thousands of random graphs made of ops that live in this program:
 * no two tensors that are alive together share memory, and a plan that reuses, aliases and
 * re-emits gives the same bits as the debug plan, which does none of it.
 */
#include "core/core.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- four small ops */

static int64_t count(const nn_operand *o) { return nn_shape_count(o->shape); }
static void put(const nn_step *s, int k, int64_t i, nn_real v)
{
    nn_real *d = s->din[k].at;

    d[i] = s->accumulate & NN_IN(k) ? d[i] + v : v;
}

/* y = -x/2, in place both ways, cheap. */
static void neg_forward(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    ((nn_real *)s->out[0].at)[tile] = ((const nn_real *)s->in[0].at)[tile] * (nn_real)-0.5;
}
static void neg_backward(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    put(s, 0, tile, ((const nn_real *)s->dout[0].at)[tile] * (nn_real)-0.5);
}
/* y = a*b */
static void prod_forward(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    ((nn_real *)s->out[0].at)[tile] =
        ((const nn_real *)s->in[0].at)[tile] * ((const nn_real *)s->in[1].at)[tile];
}
static void prod_backward(const nn_step *s, int64_t tile, void *lane)
{
    nn_real a = ((const nn_real *)s->in[0].at)[tile], b = ((const nn_real *)s->in[1].at)[tile];
    nn_real d = ((const nn_real *)s->dout[0].at)[tile];

    (void)lane;
    if (nn_has(&s->din[0]))
        put(s, 0, tile, d * b);
    if (nn_has(&s->din[1]))
        put(s, 1, tile, d * a);
}
/* y = a - b; the gradient of a takes over the memory of y's. */
static void sub_forward(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    ((nn_real *)s->out[0].at)[tile] =
        ((const nn_real *)s->in[0].at)[tile] - ((const nn_real *)s->in[1].at)[tile];
}
static void sub_backward(const nn_step *s, int64_t tile, void *lane)
{
    nn_real d = ((const nn_real *)s->dout[0].at)[tile];

    (void)lane;
    if (nn_has(&s->din[1]))
        put(s, 1, tile, -d);
    if (nn_has(&s->din[0]))
        put(s, 0, tile, d);
}
/* y[i] = x[i] + x[i + n/2] */
static void fold_forward(const nn_step *s, int64_t tile, void *lane)
{
    const nn_real *x = s->in[0].at;

    (void)lane;
    ((nn_real *)s->out[0].at)[tile] = x[tile] + x[tile + count(&s->out[0])];
}
static void fold_backward(const nn_step *s, int64_t tile, void *lane)
{
    nn_real d = ((const nn_real *)s->dout[0].at)[tile];

    (void)lane;
    put(s, 0, tile, d);
    put(s, 0, tile + count(&s->dout[0]), d);
}

static int each_out(nn_step *s, nn_tile *run)
{
    nn_phase(s, count(nn_has(&s->out[0]) ? &s->out[0] : &s->dout[0]), run);
    s->scratch_bytes = 100; /* takes part in the placement */
    return NN_OK;
}
static int neg_f(nn_step *s) { return each_out(s, neg_forward); }
static int neg_b(nn_step *s) { return each_out(s, neg_backward); }
static int prod_f(nn_step *s) { return each_out(s, prod_forward); }
static int prod_b(nn_step *s) { return each_out(s, prod_backward); }
static int sub_f(nn_step *s) { return each_out(s, sub_forward); }
static int sub_b(nn_step *s) { return each_out(s, sub_backward); }
static int fold_f(nn_step *s) { return each_out(s, fold_forward); }
static int fold_b(nn_step *s) { return each_out(s, fold_backward); }

static int same_infer(nn_node *n)
{
    if (n->in[1] && !nn_shape_equal(nn_shape_get(n->in[0]), nn_shape_get(n->in[1])))
        return nn_infer_fail(n, "shapes differ");
    return nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0]));
}
static int fold_infer(nn_node *n) { return nn_infer_out(n, 0, NN_REAL, NN_SHAPE1(nn_dim(n->in[0], 0) / 2)); }

static const nn_op NEG = { .abi = NN_OP_ABI,
                           .name = "neg",
                           .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
                           .flags = NN_OP_CHEAP,
                           .infer = same_infer,
                           .forward = { neg_f },
                           .backward = { neg_b } };
static const nn_op PROD = { .abi = NN_OP_ABI,
                            .name = "prod",
                            .reads = NN_IN(0) | NN_IN(1),
                            .flags = NN_OP_CHEAP,
                            .infer = same_infer,
                            .forward = { prod_f },
                            .backward = { prod_b } };
static const nn_op SUB = { .abi = NN_OP_ABI,
                           .name = "sub",
                           .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
                           .infer = same_infer,
                           .forward = { sub_f },
                           .backward = { sub_b } };
static const nn_op FOLD = {
    .abi = NN_OP_ABI, .name = "fold", .infer = fold_infer, .forward = { fold_f }, .backward = { fold_b }
};

/* ------------------------------------------------------------- random graphs */

struct dice {
    nni_stream stream;
    uint32_t index;
};
static uint32_t roll(struct dice *d, uint32_t bound) { return nni_below(&d->stream, 0, 0, &d->index, bound); }

enum { MOST = 40 };

/* Sizes are powers of two so that tensors of equal shape are found; the large ones are above the
 * threshold of re-emission. */
static nn_tensor *record(nn_graph *g, struct dice *d, nn_tensor **x, int64_t largest)
{
    int n = 0, ops = 3 + (int)roll(d, 25);

    x[n++] = nn_param(g, "a", NN_SHAPE1(largest), (nn_init){ NN_INIT_UNIFORM, 1 });
    x[n++] = nn_param(g, "b", NN_SHAPE1(largest), (nn_init){ NN_INIT_UNIFORM, 1 });
    x[n++] = nn_input(g, "x", NN_REAL, NN_SHAPE1(largest));
    for (int i = 0; i < ops; i++) {
        nn_tensor *a =
            x[roll(d, 3) ? (uint32_t)n - 1 - roll(d, (uint32_t)(n < 4 ? n : 4)) : roll(d, (uint32_t)n)];
        nn_tensor *b = NULL;
        uint32_t kind = roll(d, 8);

        for (int tries = 0; tries < 10 && !b; tries++) {
            nn_tensor *t = x[roll(d, (uint32_t)n)];

            if (nn_dim(t, 0) == nn_dim(a, 0))
                b = t;
        }
        if (kind == 0 && nn_dim(a, 0) > 2)
            x[n++] = nn_apply(g, &FOLD, NULL, &a, 1);
        else if (kind < 3 || !b)
            x[n++] = nn_apply(g, &NEG, NULL, &a, 1);
        else
            x[n++] = nn_apply(g, kind & 1 ? &PROD : &SUB, NULL,
                              (nn_tensor *[]){ a, roll(d, 8) ? b : nn_detach(g, b) }, 2);
        if (!roll(d, 12))
            (void)nn_observe(g, nn_namei(g, i), x[n - 1]);
    }
    while (nn_dim(x[n - 1], 0) > 1) {
        x[n] = nn_apply(g, &FOLD, NULL, &x[n - 1], 1);
        n++;
    }
    return x[n - 1];
}

static void check_disjoint(const nn_plan *p)
{
    for (int64_t i = 0; i < p->stores; i++) {
        for (int64_t j = 0; j < i; j++) {
            const struct nni_store *a = &p->store[i], *b = &p->store[j];

            if (a->root != i || b->root != j || a->cache || b->cache)
                continue;
            if (!a->pinned && !b->pinned && (a->birth > b->death || b->birth > a->death))
                continue;
            /* A passed assertion writes to Check's pipe: too slow for millions of them. */
            if (a->offset + a->bytes > b->offset && b->offset + b->bytes > a->offset)
                ck_abort_msg("stores %lld and %lld overlap in time and in memory", (long long)i,
                             (long long)j);
        }
    }
    ck_assert_uint_le(p->memory_bytes, p->memory->bytes);
}

static void one_graph(nn_device *device, uint64_t seed)
{
    struct dice d = { .stream = nni_stream_of(seed, 1) };
    int64_t largest = seed % 50 ? INT64_C(1) << (1 + roll(&d, 6)) : 8192;
    nn_tensor *x[MOST + 20], *loss;
    nn_plan *plan[2] = { NULL };
    nn_model *m;
    nn_graph *g;
    nn_real *grad[2];
    size_t bytes;

    ck_assert_int_eq(nn_model_new(&m, device, seed), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, m, NN_TRAIN), NN_OK);
    loss = record(g, &d, x, largest);
    ck_assert_msg(loss != NULL, "%s", nn_graph_error(g));
    for (int i = 0; i < 2; i++) {
        nn_plan_opts o = { .loss = loss, .inputs = &x[2], .input_count = 1, .flags = i ? NN_PLAN_DEBUG : 0 };
        int rc = nn_compile(&plan[i], g, o);
        nn_real *in;

        ck_assert_msg(rc == NN_OK, "seed %llu: %s", (unsigned long long)seed, nn_graph_error(g));
        check_disjoint(plan[i]);
        in = nn_host(plan[i], "x", &bytes);
        for (int64_t k = 0; k < largest; k++)
            in[k] = (nn_real)(0.25 + (double)(k % 7) * 0.125);
        grad[i] = malloc((size_t)(3 * largest) * sizeof(nn_real));
        ck_assert_int_eq(nni_model_need(m, NN_BASE_GRAD), NN_OK);
        memset(nn_model_buffer(m, NN_BASE_GRAD, &bytes), 0, bytes);
        if (plan[i]->steps > plan[i]->forward_steps) {
            ck_assert_int_eq(nn_run(plan[i], NN_GRADIENTS), NN_OK);
            ck_assert_int_eq(nn_run(plan[i], NN_GRADIENTS), NN_OK); /* a second run finds the memory used */
        } else {
            ck_assert_int_eq(nn_run(plan[i], NN_FORWARD), NN_OK);
        }
        ck_assert_int_eq(nni_plan_check_guards(plan[i], NULL), NN_OK);
        ck_assert_int_eq(nn_model_read(m, "a", NN_BASE_GRAD, NN_REAL, grad[i]), NN_OK);
        ck_assert_int_eq(nn_model_read(m, "b", NN_BASE_GRAD, NN_REAL, grad[i] + largest), NN_OK);
        if (nn_read_gradient(plan[i], "x", NN_REAL, grad[i] + 2 * largest, largest))
            memset(grad[i] + 2 * largest, 0, (size_t)largest * sizeof(nn_real));
    }
    ck_assert_msg(nn_loss(plan[0]) == nn_loss(plan[1]), "seed %llu: loss %.17g, debug plan %.17g",
                  (unsigned long long)seed, nn_loss(plan[0]), nn_loss(plan[1]));
    ck_assert_msg(!memcmp(grad[0], grad[1], (size_t)(3 * largest) * sizeof(nn_real)),
                  "seed %llu: gradients differ from the debug plan's", (unsigned long long)seed);
    for (const struct nni_observed *o = g->observed; o; o = o->next) {
        nn_real *v = malloc((size_t)(2 * largest) * sizeof *v);
        int64_t n = nn_shape_count(o->tensor->shape);

        ck_assert_int_eq(nn_read(plan[0], o->name, NN_REAL, v, n), NN_OK);
        ck_assert_int_eq(nn_read(plan[1], o->name, NN_REAL, v + largest, n), NN_OK);
        ck_assert(!memcmp(v, v + largest, (size_t)n * sizeof *v));
        free(v);
    }
    for (int i = 0; i < 2; i++) {
        free(grad[i]);
        nn_plan_free(plan[i]);
    }
    nn_graph_free(g);
    nn_model_free(m);
}

#ifdef __has_feature
#define FEATURE(x) __has_feature(x)
#else
#define FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || FEATURE(address_sanitizer) ||           \
    FEATURE(thread_sanitizer)
enum { GRAPHS = 1000, GROUPS = 10 }; /* each costs ten times as much */
#else
enum { GRAPHS = 10000, GROUPS = 10 };
#endif

START_TEST(random_graphs)
{
    nn_device *device;

    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    for (uint64_t i = 0; i < GRAPHS / GROUPS; i++)
        one_graph(device, (uint64_t)_i * (GRAPHS / GROUPS) + i);
    nn_close(device);
}
END_TEST

START_TEST(placement_is_tight)
{
    /* Two large stores that never meet and a small one beside both: the bound is large + small. */
    struct nni_store s[3] = { { .bytes = 6400, .birth = 0, .death = 3, .root = 0 },
                              { .bytes = 640, .birth = 2, .death = 6, .root = 1 },
                              { .bytes = 6400, .birth = 4, .death = 8, .root = 2 } };
    nni_arena arena = { 0 };

    ck_assert_uint_eq(nni_place_stores(s, 3, true, &arena), 7040);
    ck_assert_uint_eq(nni_place_stores(s, 3, false, &arena), 13440);
    nni_arena_free(&arena);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("planner");
    TCase *t = tcase_create("planner");

    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, random_graphs, 0, GROUPS);
    tcase_add_test(t, placement_is_tight);
    suite_add_tcase(s, t);
    return suite_run(s);
}
