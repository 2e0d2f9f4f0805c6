/* SPDX-License-Identifier: MIT
 *
 * The shim can fail: planted bugs are caught, each by an error or by results that depend on the order of
 * threads or on what memory began as. And what opening a device and compiling for it say when they cannot.
 */
#include "planted.h"
#include "shim.h"
#include "suite.h"

#include <check.h>
#include <cuda_runtime_api.h>
#include <nn/nn.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 3, COUNT = BLOCKS * 64 };

/* Whether the kernel fails or its results depend on the setting. */
static int caught(int which)
{
    static const struct shim_settings settings[] = {
        { .order = SHIM_ASCENDING, .poison = 0xff, .devices = 1 },
        { .order = SHIM_DESCENDING, .poison = 0xff, .devices = 1 },
        { .order = SHIM_RANDOM, .poison = 0xff, .devices = 1 },
        { .order = SHIM_ASCENDING, .poison = 0x3c, .devices = 1 },
    };
    float first[BLOCKS], now[BLOCKS], values[COUNT];
    int differs = 0;

    for (int i = 0; i < COUNT; i++)
        values[i] = 1.0f / (float)(i + 1);
    for (size_t i = 0; i < sizeof settings / sizeof *settings && !*shim_error(); i++) {
        void *from, *to;
        cudaStream_t s;

        shim_set(settings[i]);
        ck_assert(!cudaMalloc(&from, sizeof values) && !cudaMalloc(&to, sizeof now));
        ck_assert_int_eq(cudaStreamCreateWithFlags(&s, 0), cudaSuccess);
        (void)cudaMemcpyAsync(from, values, sizeof values, cudaMemcpyDefault, s);
        (void)planted_launch(which, from, to, BLOCKS, s);
        (void)cudaMemcpyAsync(now, to, sizeof now, cudaMemcpyDefault, s);
        (void)cudaStreamSynchronize(s);
        if (i == 0)
            memcpy(first, now, sizeof now);
        differs = differs || memcmp(first, now, sizeof now) != 0;
        (void)cudaStreamDestroy(s);
        (void)cudaFree(from);
        (void)cudaFree(to);
    }
    return differs || *shim_error();
}

START_TEST(planted_bug)
{
    static const char *const says[PLANTED] = { NULL, NULL, NULL,     "outside device memory",
                                               NULL, NULL, "barrier" };

    ck_assert_int_eq(caught(_i), _i > 0);
    ck_assert_msg(!says[_i] ? !*shim_error() : strstr(shim_error(), says[_i]) != NULL, "%s", shim_error());
}
END_TEST

/* A host that follows a device pointer dies of it; a sanitizer turns the signal into an exit code. */
#if defined(__SANITIZE_ADDRESS__)
#define DIES_BY_EXIT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DIES_BY_EXIT 1
#endif
#endif
START_TEST(host_access)
{
    void *at;

    ck_assert(!cudaMalloc(&at, 64));
    *(volatile float *)at = 1;
}
END_TEST

/* While a stream records nothing can be waited for, allocated or loaded, and the host's memory not be read.
 */
static void wait_for(cudaStream_t s, float *at) { (void)at, (void)cudaStreamSynchronize(s); }
static void allocate(cudaStream_t s, float *at) { (void)s, (void)cudaMalloc((void **)&at, 64); }
static void load(cudaStream_t s, float *at) { (void)planted_launch(0, at, at + 64, 1, s); }
static void copy(cudaStream_t s, float *at)
{
    static const float host = 1;

    (void)cudaMemcpyAsync(at, &host, sizeof host, cudaMemcpyDefault, s);
}

START_TEST(recording)
{
    static void (*const forbidden[])(cudaStream_t, float *) = { wait_for, allocate, load, copy };
    cudaStream_t s;
    cudaGraph_t g;
    void *at;

    ck_assert(!cudaMalloc(&at, 65 * sizeof(float)));
    ck_assert(!cudaStreamCreateWithFlags(&s, 0) &&
              !cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    forbidden[_i](s, at);
    ck_assert_msg(strstr(shim_error(), "records") != NULL, "%s", shim_error());
    (void)cudaStreamEndCapture(s, &g);
    (void)cudaGraphDestroy(g);
    (void)cudaStreamDestroy(s);
}
END_TEST

START_TEST(impossible_grid)
{
    cudaStream_t s;

    ck_assert(!cudaStreamCreateWithFlags(&s, 0));
    ck_assert_int_ne(planted_launch(0, NULL, NULL, -1, s), 0);
    ck_assert(strstr(shim_error(), "impossible") != NULL);
    (void)cudaStreamDestroy(s);
}
END_TEST

/* All matrices of a batch are multiplied by one call of cuBLASLt. */
START_TEST(one_call)
{
    nn_device *d;
    nn_graph *g;
    nn_plan *p;
    nn_tensor *x[2], *y;
    long before;

    ck_assert_int_eq(nn_open(&d, "cuda", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, d, NULL, NN_EVAL), NN_OK);
    x[0] = nn_input(g, "a", NN_REAL, NN_SHAPE3(9, 4, 6));
    x[1] = nn_input(g, "b", NN_REAL, NN_SHAPE3(9, 6, 5));
    y = nn_matmul(g, x[0], x[1], (nn_matmul_opts){ 0 });
    (void)nn_observe(g, "y", y);
    ck_assert_msg(!nn_compile(&p, g, (nn_plan_opts){ 0 }), "%s", nn_graph_error(g));
    before = shim_launches();
    ck_assert_int_eq(nn_run(p, NN_FORWARD), NN_OK);
    ck_assert_int_eq(shim_launches() - before, 1);
    nn_plan_free(p);
    nn_graph_free(g);
    nn_close(d);
    ck_assert_msg(!*shim_error(), "%s", shim_error());
}
END_TEST

START_TEST(opening)
{
    static const struct {
        struct shim_settings settings;
        const char *name, *isa, *says;
    } list[] = {
        { { .devices = 0 }, "cuda", NULL, "no CUDA device can be used" },
        { { .devices = 2 }, "cuda:2", NULL, "this machine has 2" },
        { { .devices = 1 }, "cuda:x", NULL, "\"cuda:N\"" },
        { { .devices = 1 }, "cuda:", NULL, "\"cuda:N\"" },
        { { .devices = 1, .old = 1 }, "cuda", NULL, "sm_80" },
        { { .devices = 1, .no_libraries = 1 }, "cuda", NULL, "libcublasLt" },
        { { .devices = 1 }, "cuda", "avx2", "of the CPU" },
        { { .devices = 2 }, "cuda:1", NULL, NULL },
    };
    nn_message why = { "" };
    nn_device *d;
    int rc;

    shim_set(list[_i].settings);
    rc = nn_open(&d, list[_i].name, &(nn_device_options){ .isa = list[_i].isa, .threads = 1 }, &why);
    if (list[_i].says) {
        ck_assert_int_eq(rc, NN_EDEVICE);
        ck_assert_ptr_null(d);
        ck_assert_msg(strstr(why.text, list[_i].says) != NULL, "%s", why.text);
        return;
    }
    ck_assert_msg(!rc, "%s", why.text);
    ck_assert_str_eq(nn_device_name(d), "cuda");
    ck_assert_str_eq(nn_device_isa(d), "sm_90");
    nn_close(d);
}
END_TEST

/* An op without a kernel is an error that names it, never a detour over the CPU. */
static int no_kernel(nn_step *s)
{
    (void)s;
    return NN_OK;
}
static int same_shape(nn_node *n) { return nn_infer_out(n, 0, NN_REAL, nn_shape_get(n->in[0])); }
static const nn_op op_cpu_only = {
    .abi = NN_OP_ABI, .name = "cpu_only", .inputs = 1, .infer = same_shape, .forward = { no_kernel }
};

START_TEST(missing_kernel)
{
    nn_device *d;
    nn_graph *g;
    nn_plan *p;
    nn_tensor *x;

    ck_assert_int_eq(nn_open(&d, "cuda", NULL, NULL), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, d, NULL, NN_EVAL), NN_OK);
    x = nn_input(g, "x", NN_REAL, NN_SHAPE1(4));
    nn_push(g, "here");
    (void)nn_observe(g, "y", nn_apply(g, &op_cpu_only, NULL, &x, 1));
    ck_assert_int_eq(nn_compile(&p, g, (nn_plan_opts){ 0 }), NN_EUNSUPPORTED);
    ck_assert_msg(strstr(nn_graph_error(g), "cpu_only") && strstr(nn_graph_error(g), "here"), "%s",
                  nn_graph_error(g));
    nn_graph_free(g);
    nn_close(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shim");
    TCase *t = tcase_create("shim");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, planted_bug, 0, PLANTED);
#ifdef DIES_BY_EXIT
    tcase_add_exit_test(t, host_access, 1);
#else
    tcase_add_test_raise_signal(t, host_access, 11); /* SIGSEGV */
#endif
    tcase_add_loop_test(t, recording, 0, 4);
    tcase_add_test(t, impossible_grid);
    tcase_add_test(t, one_call);
    tcase_add_loop_test(t, opening, 0, 8);
    tcase_add_test(t, missing_kernel);
    suite_add_tcase(s, t);
    return suite_run(s);
}
