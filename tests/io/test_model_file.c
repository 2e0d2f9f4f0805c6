/* SPDX-License-Identifier: MIT
 *
 * Loading and saving models: what is written comes back to the bit, and whatever does not fit
 * leaves the model as it was and is named.
 */
#include "core/core.h"
#include "suite.h"

#include <check.h>
#include <nn/io.h>
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static nn_device *device;
static nn_model *m;
static char path[64];
static nn_load_report r;

/* features.weight [2,3], features.count [], classifier.weight [4]; parameters are random. */
static nn_model *make(uint64_t seed, const char *prefix, int64_t head)
{
    nn_model *model;
    nn_graph *g;

    ck_assert_int_eq(nn_model_new(&model, device, seed), NN_OK);
    ck_assert_int_eq(nn_graph_new(&g, device, model, NN_EVAL), NN_OK);
    if (prefix)
        nn_push(g, prefix);
    (void)nn_param(g, "features.weight", NN_SHAPE2(2, 3), (nn_init){ .kind = NN_INIT_UNIFORM, .a = 1 });
    (void)nn_state(g, "features.mean", NN_REAL, NN_SHAPE1(3), 0.5);
    (void)nn_state(g, "features.count", NN_I64, NN_SHAPE0(), 3);
    (void)nn_param(g, "classifier.weight", NN_SHAPE1(head), (nn_init){ .kind = NN_INIT_UNIFORM, .a = 1 });
    ck_assert_int_eq(nn_graph_status(g), NN_OK);
    nn_graph_free(g);
    ck_assert_int_eq(nn_model_seal(model), NN_OK);
    return model;
}

static void setup(void)
{
    ck_assert_int_eq(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, NULL), NN_OK);
    m = make(1, NULL, 4);
    (void)snprintf(path, sizeof path, "/tmp/nn_model_file_%ld", (long)getpid());
}

static void teardown(void)
{
    (void)remove(path);
    nn_model_free(m);
    nn_close(device);
}

static int same(nn_model *a, const char *an, nn_model *b, const char *bn)
{
    nn_real x[8] = { 0 }, y[8] = { 0 };

    ck_assert_int_eq(nn_model_read(a, an, NN_BASE_PARAM, NN_REAL, x), NN_OK);
    ck_assert_int_eq(nn_model_read(b, bn, NN_BASE_PARAM, NN_REAL, y), NN_OK);
    return !memcmp(x, y, sizeof x);
}

static void expect_report(int64_t loaded, int64_t skipped, int64_t missing, int64_t unexpected,
                          int64_t misfit)
{
    ck_assert_int_eq(r.loaded, loaded);
    ck_assert_int_eq(r.skipped, skipped);
    ck_assert_int_eq(r.missing, missing);
    ck_assert_int_eq(r.unexpected, unexpected);
    ck_assert_int_eq(r.misfit, misfit);
}

START_TEST(round_trip)
{
    nn_model *n = make(2, NULL, 4);
    nn_pair note = { "made by", "test" };
    nn_safetensors *file;
    int64_t count = 77;

    ck_assert_int_eq(nn_model_write(m, "features.count", NN_BASE_STATE, NN_I64, &count), NN_OK);
    ck_assert_int_eq(nn_model_save(m, path, 0, &note, 1), NN_OK);
    ck_assert(!same(m, "features.weight", n, "features.weight"));
    ck_assert_msg(!nn_model_load(n, path, NULL, &r), "%s", nn_model_error(n));
    expect_report(4, 0, 0, 0, 0);
    ck_assert(same(m, "features.weight", n, "features.weight"));
    ck_assert(same(m, "classifier.weight", n, "classifier.weight"));
    count = 0;
    ck_assert_int_eq(nn_model_read(n, "features.count", NN_BASE_STATE, NN_I64, &count), NN_OK);
    ck_assert_int_eq(count, 77);
    ck_assert_int_eq(nn_safetensors_open(&file, path, NULL, NULL), NN_OK);
    ck_assert_str_eq(nn_safetensors_metadata(file, "made by"), "test");
    ck_assert_int_eq(nn_model_load_from(n, file, NULL, NULL), NN_OK);
    nn_safetensors_free(file);
    nn_model_free(n);
}
END_TEST

START_TEST(other_types)
{
    static const uint16_t half[] = { 0x3f80, 0xc000, 0x3f00, 0, 0x3f80, 0x3f80 }; /* bf16: 1 -2 0.5 0 1 1 */
    static const double mean[] = { 1, 2, 3 }, head[] = { 0.25, 0, -1, 8 };
    static const int32_t count = 5;
    const nn_safetensors_item item[] = { { "features.weight", NN_BF16, NN_SHAPE2(2, 3), half },
                                         { "features.mean", NN_F64, NN_SHAPE1(3), mean },
                                         { "features.count", NN_I32, NN_SHAPE0(), &count },
                                         { "classifier.weight", NN_F64, NN_SHAPE1(4), head } };
    float x[6];
    int64_t n;

    ck_assert_int_eq(nn_safetensors_write(path, item, 4, NULL, 0, NULL), NN_OK);
    ck_assert_msg(!nn_model_load(m, path, NULL, &r), "%s", nn_model_error(m));
    ck_assert_int_eq(nn_model_read(m, "features.weight", NN_BASE_PARAM, NN_F32, x), NN_OK);
    ck_assert(x[0] == 1 && x[1] == -2 && x[2] == 0.5f);
    ck_assert_int_eq(nn_model_read(m, "classifier.weight", NN_BASE_PARAM, NN_F32, x), NN_OK);
    ck_assert(x[0] == 0.25f && x[3] == 8);
    ck_assert_int_eq(nn_model_read(m, "features.count", NN_BASE_STATE, NN_I64, &n), NN_OK);
    ck_assert_int_eq(n, 5);
}
END_TEST

static const float ones[] = { 1, 1, 1, 1, 1, 1 };
static const int64_t one = 1;

/* Each case has one fault; the text must name it and the model must not change. */
static const struct fault {
    const char *name; /* of the faulty tensor in the file; NULL: left out */
    nn_dtype type;
    int64_t dim;
    int64_t missing, unexpected, misfit;
    const char *text;
} faults[] = {
    { NULL, NN_F32, 0, 1, 0, 0, "1 missing (classifier.weight)" },
    { "classifier.bias", NN_F32, 4, 1, 1, 0, "1 unexpected (classifier.bias)" },
    { "classifier.weight", NN_F32, 3, 0, 0, 1, "classifier.weight: F32 [3] in the file" },
    { "classifier.weight", NN_I64, 4, 0, 0, 1, "classifier.weight: I64 [4] in the file" },
};

static void write_fault(const struct fault *f)
{
    static const int64_t integers[6] = { 0 };
    const nn_safetensors_item item[] = {
        { "features.weight", NN_F32, NN_SHAPE2(2, 3), ones },
        { "features.mean", NN_F32, NN_SHAPE1(3), ones },
        { "features.count", NN_I64, NN_SHAPE0(), &one },
        { f->name, f->type, NN_SHAPE1(f->dim), f->type == NN_I64 ? (const void *)integers : ones },
    };

    ck_assert_int_eq(nn_safetensors_write(path, item, f->name ? 4 : 3, NULL, 0, NULL), NN_OK);
}

START_TEST(faults_change_nothing)
{
    nn_model *before = make(1, NULL, 4);
    const struct fault *f = &faults[_i];

    write_fault(f);
    ck_assert_int_eq(nn_model_load(m, path, NULL, &r), NN_EFORMAT);
    expect_report(3, 0, f->missing, f->unexpected, f->misfit);
    ck_assert_msg(strstr(nn_model_error(m), f->text) != NULL, "%s", nn_model_error(m));
    ck_assert_msg(strstr(nn_model_error(m), path) != NULL, "%s", nn_model_error(m));
    ck_assert(same(m, "features.weight", before, "features.weight"));
    ck_assert(same(m, "features.mean", before, "features.mean"));
    nn_model_free(before);
}
END_TEST

START_TEST(partial_and_skip)
{
    nn_model *before = make(1, NULL, 4);
    float x[6];

    write_fault(&faults[_i]);
    ck_assert_msg(!nn_model_load(m, path, &(nn_load_opts){ .partial = 1 }, &r), "%s", nn_model_error(m));
    ck_assert_int_eq(r.loaded, 3);
    ck_assert_int_eq(nn_model_read(m, "features.weight", NN_BASE_PARAM, NN_F32, x), NN_OK);
    ck_assert_mem_eq(x, ones, sizeof x);
    ck_assert(same(m, "classifier.weight", before, "classifier.weight"));
    ck_assert_msg(!nn_model_load(m, path, &(nn_load_opts){ .skip = "classifier.*" }, &r), "%s",
                  nn_model_error(m));
    expect_report(3, 1, 0, 0, 0);
    ck_assert(same(m, "classifier.weight", before, "classifier.weight"));
    nn_model_free(before);
}
END_TEST

START_TEST(prefixes)
{
    nn_model *n = make(2, "backbone", 4), *back = make(3, NULL, 4);

    ck_assert_int_eq(nn_model_save(m, path, 0, NULL, 0), NN_OK);
    ck_assert_int_eq(nn_model_load(n, path, NULL, &r), NN_EFORMAT);
    expect_report(0, 0, 4, 4, 0);
    ck_assert_msg(!nn_model_load(n, path, &(nn_load_opts){ .into = "backbone." }, &r), "%s",
                  nn_model_error(n));
    expect_report(4, 0, 0, 0, 0);
    ck_assert(same(m, "features.weight", n, "backbone.features.weight"));
    ck_assert_int_eq(nn_model_save(n, path, 0, NULL, 0), NN_OK);
    ck_assert_msg(!nn_model_load(back, path, &(nn_load_opts){ .from = "backbone." }, &r), "%s",
                  nn_model_error(back));
    ck_assert(same(m, "classifier.weight", back, "classifier.weight"));
    nn_model_free(n);
    nn_model_free(back);
}
END_TEST

START_TEST(roles)
{
    nn_model *n = make(2, NULL, 4);
    nn_real ema[6], raw[6];

    ck_assert_int_eq(nn_model_save(m, path, NN_BASE_MOMENT1, NULL, 0), NN_ESTATE); /* there are none yet */
    ck_assert_int_eq(nn_model_save(m, path, NN_BASE_EMA, NULL, 0), NN_ESTATE);
    ck_assert_int_eq(nni_model_need(m, NN_BASE_MOMENT1), NN_OK);
    ck_assert_int_eq(nn_model_write(m, "features.weight", NN_BASE_MOMENT1, NN_F32, ones), NN_OK);
    ck_assert_int_eq(nn_model_save(m, path, NN_BASE_MOMENT1, NULL, 0), NN_OK);
    ck_assert_msg(!nn_model_load(n, path, &(nn_load_opts){ .role = NN_BASE_MOMENT1 }, &r), "%s",
                  nn_model_error(n));
    expect_report(2, 0, 0, 0, 0);
    ck_assert_int_eq(nn_model_read(n, "features.weight", NN_BASE_MOMENT1, NN_REAL, ema), NN_OK);
    ck_assert(ema[0] == 1);

    ck_assert_int_eq(nn_model_save(m, path, 0, NULL, 0), NN_OK);
    ck_assert_msg(!nn_model_load(n, path, &(nn_load_opts){ .role = NN_BASE_EMA }, &r), "%s",
                  nn_model_error(n));
    expect_report(4, 0, 0, 0, 0);
    ck_assert_int_eq(nn_model_read(n, "features.weight", NN_BASE_EMA, NN_REAL, ema), NN_OK);
    ck_assert_int_eq(nn_model_read(m, "features.weight", NN_BASE_PARAM, NN_REAL, raw), NN_OK);
    ck_assert_mem_eq(ema, raw, sizeof raw);
    ck_assert(!same(m, "features.weight", n, "features.weight"));
    ck_assert_int_eq(nn_model_save(m, path, NN_BASE_GRAD, NULL, 0), NN_EINVAL);
    nn_model_free(n);
}
END_TEST

static int told[NN_LOAD_MISFIT + 1];
static void tell(void *payload, nn_load_outcome outcome, const char *name)
{
    ck_assert_str_eq(payload, "payload");
    ck_assert_ptr_nonnull(name);
    told[outcome]++;
}

START_TEST(every_name_is_told)
{
    char payload[] = "payload";

    write_fault(&faults[1]);
    ck_assert_int_eq(nn_model_load(m, path, &(nn_load_opts){ .each = tell, .payload = payload }, NULL),
                     NN_EFORMAT);
    ck_assert(told[NN_LOAD_DONE] == 3 && told[NN_LOAD_MISSING] == 1 && told[NN_LOAD_UNEXPECTED] == 1);
}
END_TEST

START_TEST(no_such_file)
{
    ck_assert_int_eq(nn_model_load(m, "/nonexistent/weights", NULL, &r), NN_ENOTFOUND);
    ck_assert_msg(strstr(nn_model_error(m), "/nonexistent/weights") != NULL, "%s", nn_model_error(m));
}
END_TEST

static int left;
static void *(*alloc)(size_t);
static void *scarce(size_t size) { return left-- > 0 ? alloc(size) : NULL; }

START_TEST(out_of_memory_changes_nothing)
{
    nn_model *source = make(9, NULL, 4), *before = make(1, NULL, 4);
    int rc = NN_ENOMEM, tries = 0;

    ck_assert_int_eq(nn_model_save(source, path, 0, NULL, 0), NN_OK);
    alloc = nni_seam.alloc;
    for (; rc == NN_ENOMEM; tries++) {
        ck_assert(same(m, "features.weight", before, "features.weight"));
        ck_assert(same(m, "classifier.weight", before, "classifier.weight"));
        left = tries;
        nni_seam.alloc = scarce;
        rc = nn_model_load(m, path, NULL, NULL);
        nni_seam.alloc = alloc;
    }
    ck_assert_int_eq(rc, NN_OK);
    ck_assert_int_gt(tries, 3);
    ck_assert(same(m, "features.weight", source, "features.weight"));
    nn_model_free(source);
    nn_model_free(before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model_file");
    TCase *t = tcase_create("model_file");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, other_types);
    tcase_add_loop_test(t, faults_change_nothing, 0, sizeof faults / sizeof *faults);
    tcase_add_loop_test(t, partial_and_skip, 0, sizeof faults / sizeof *faults);
    tcase_add_test(t, prefixes);
    tcase_add_test(t, roles);
    tcase_add_test(t, every_name_is_told);
    tcase_add_test(t, no_such_file);
    tcase_add_test(t, out_of_memory_changes_nothing);
    suite_add_tcase(s, t);
    return suite_run(s);
}
