/* SPDX-License-Identifier: MIT
 *
 * What torch.save writes, read without Python. Files written by torch come out to the bit; then every rule of
 * pickle, zip and legacy stream is broken by a file of its own, which must be refused with the byte at which
 * it is wrong; and files cut at every length and changed in every byte are refused or keep all rules.
 */
#include "base/base.h"
#include "io/torch.h"
#include "suite.h"

#include "../golden/torch.h"
#include "torch_files.h"

#include <fcntl.h>
#include <nn/io.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static nn_message why;
static char path[96];

static int parse(const void *bytes, size_t size, nn_safetensors **out)
{
    return nni_torch_parse(out, bytes, size, "file.pth", false, &why);
}

static const nn_safetensors_entry *entry(const nn_safetensors *f, const char *name)
{
    const nn_safetensors_entry *e = nn_safetensors_at(f, nn_safetensors_find(f, name));

    ck_assert_msg(e != NULL, "there is no tensor %s", name);
    return e;
}

/* ------------------------------------------------------------------ goldens */

static void expect_weights(const nn_safetensors *f)
{
    static const char *const same[] = { "w", "last", "half", "brain", "double" };
    float x[24];
    int64_t n = 0;

    ck_assert_int_eq(nn_safetensors_count(f), 11);
    for (size_t i = 0; i < 5; i++) {
        int64_t at = nn_safetensors_find(f, same[i]);

        ck_assert(nn_shape_equal(entry(f, same[i])->shape, NN_SHAPE4(2, 3, 2, 2)));
        ck_assert_msg(!nn_safetensors_read(f, at, NN_F32, x, 24, &why), "%s", why.text);
        for (int k = 0; k < 24; k++)
            ck_assert_msg(x[k] == (float)k, "%s[%d] is %g", same[i], k, (double)x[k]);
    }
    ck_assert(nn_shape_equal(entry(f, "turned")->shape, NN_SHAPE4(3, 2, 2, 2)));
    ck_assert_int_eq(nn_safetensors_read(f, nn_safetensors_find(f, "turned"), NN_F32, x, 24, &why), 0);
    for (int k = 0; k < 24; k++)
        ck_assert(x[k] == (float)(k / 8 * 4 + k / 4 % 2 * 12 + k % 4));
    ck_assert_int_eq(nn_safetensors_read(f, nn_safetensors_find(f, "part"), NN_F32, x, 12, &why), 0);
    ck_assert(x[0] == 12 && x[11] == 23);
    ck_assert_str_eq(entry(f, "half")->dtype, "F16");
    ck_assert_str_eq(entry(f, "brain")->dtype, "BF16");
    ck_assert_str_eq(entry(f, "flags")->dtype, "BOOL");
    ck_assert_int_eq(nn_safetensors_read(f, nn_safetensors_find(f, "count"), NN_I64, &n, 1, &why), 0);
    ck_assert_int_eq(n, 3);
    ck_assert_int_eq(entry(f, "none")->count, 0);
    ck_assert_int_eq(nn_safetensors_read(f, nn_safetensors_find(f, "parameter"), NN_F32, x, 2, &why), 0);
    ck_assert(x[0] == 0.5f && x[1] == -2);
}

START_TEST(golden_checkpoint)
{
    nn_safetensors *f;
    float x[2];

    ck_assert_msg(!parse(golden_zip, sizeof golden_zip, &f), "%s", why.text);
    expect_weights(f);
    ck_assert_str_eq(nn_safetensors_metadata(f, "torch.arch"), "tf_efficientnet_b0");
    ck_assert_str_eq(nn_safetensors_metadata(f, "torch.epoch"), "3");
    ck_assert_str_eq(nn_safetensors_metadata(f, "torch.loss"), "0.25");
    ck_assert_str_eq(nn_safetensors_metadata(f, "torch.taken"), "state_dict");
    ck_assert_ptr_nonnull(nn_safetensors_metadata(f, "torch.args")); /* of a class that is not known */
    nn_safetensors_free(f);

    ck_assert_msg(!nni_torch_parse(&f, golden_zip, sizeof golden_zip, "x", true, &why), "%s", why.text);
    ck_assert_str_eq(nn_safetensors_metadata(f, "torch.taken"), "state_dict_ema");
    ck_assert_int_eq(nn_safetensors_count(f), 1);
    ck_assert_int_eq(nn_safetensors_read(f, 0, NN_F32, x, 2, &why), 0);
    ck_assert(x[0] == 7 && x[1] == 7);
    nn_safetensors_free(f);
}
END_TEST

START_TEST(golden_legacy_stream)
{
    nn_safetensors *f;

    ck_assert_msg(!parse(golden_legacy, sizeof golden_legacy, &f), "%s", why.text);
    expect_weights(f);
    nn_safetensors_free(f);
    ck_assert_int_eq(nni_torch_parse(&f, golden_legacy, sizeof golden_legacy, "x", true, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "no averaged weights"));
}
END_TEST

/* ------------------------------------------------------------------- writing */

START_TEST(writing)
{
    static const uint16_t half[2] = { 0x3c00, 0xc000 };
    static const int64_t count = 7;
    const nn_safetensors_item item[] = { { "a.weight", NN_F32, NN_SHAPE2(2, 4), eight },
                                         { "a.count", NN_I64, NN_SHAPE0(), &count },
                                         { "a.half", NN_F16, NN_SHAPE1(2), half },
                                         { "a.none", NN_F32, NN_SHAPE2(0, 3), NULL } };
    const nn_safetensors_item twice[] = { item[0], item[0] };
    nn_safetensors *f;

    (void)snprintf(path, sizeof path, "/tmp/nn_torch_%ld.pth", (long)getpid());
    ck_assert_msg(!nn_torch_write(path, item, 4, &why), "%s", why.text);
    ck_assert_msg(!nn_weights_open(&f, path, NULL, &why), "%s", why.text);
    ck_assert_int_eq(nn_safetensors_count(f), 4);
    ck_assert(nn_shape_equal(entry(f, "a.weight")->shape, NN_SHAPE2(2, 4)));
    ck_assert_mem_eq(entry(f, "a.weight")->data, eight, sizeof eight);
    ck_assert_uint_eq((uintptr_t)entry(f, "a.weight")->data % 64, 0);
    ck_assert_mem_eq(entry(f, "a.count")->data, &count, sizeof count);
    ck_assert_str_eq(entry(f, "a.half")->dtype, "F16");
    ck_assert_int_eq(entry(f, "a.none")->count, 0);
    nn_safetensors_free(f);
    ck_assert_int_eq(nn_torch_write(path, twice, 2, &why), NN_EINVAL);
    ck_assert_int_eq(nn_torch_write("/nowhere/x.pth", item, 4, &why), NN_EIO);
    (void)remove(path);
}
END_TEST

/* ------------------------------------------------------------ broken pickles */

#define WEIGHT(value) PROTO "}" TEXT1("w") value "s."
#define VIEW(offset, sizes, strides) WEIGHT(TENSOR(STORAGE, offset, sizes, strides))
#define BIG "\212\10\377\377\377\377\377\377\377\177"
#define MINUS "J\377\377\377\377"

/* clang-format off */
static const struct broken {
    const char *pickle;
    size_t size;
    const char *says;
} broken[] = {
#define X(pickle, says) { pickle, sizeof pickle - 1, says },
    X("", "no end")
    X("\200", "its operand ends")
    X("\200\003N.", "protocol 2 only")
    X("\200\004\225\0\0\0\0\0\0\0\0N.", "protocol 2 only")
    X("N.", "not the beginning")
    X(PROTO, "no end")
    X(PROTO "N", "no end")
    X(PROTO ".", "not exactly one")
    X(PROTO "NN.", "not exactly one")
    X(PROTO "N(.", "not exactly one")
    X(PROTO "N.N", "goes on behind")
    X(PROTO "N.", "no dict of tensors")
    X(PROTO "K\1.", "no dict of tensors")
    X(PROTO "}.", "no dict of tensors")
    X(PROTO "t.", "no mark")
    X(PROTO "u.", "no mark")
    X(PROTO "e.", "no mark")
    X(PROTO "\205.", "more than is on the stack")
    X(PROTO "N(\205.", "more than is on the stack")
    X(PROTO "N\207.", "more than is on the stack")
    X(PROTO "a.", "more than is on the stack")
    X(PROTO "(e.", "more than is on the stack")
    X(PROTO "N(s.", "more than is on the stack")
    X(PROTO "(u.", "more than is on the stack")
    X(PROTO "}(Nu.", "more than is on the stack")
    X(PROTO "R.", "more than is on the stack")
    X(PROTO "b.", "more than is on the stack")
    X(PROTO "Q.", "more than is on the stack")
    X(PROTO "q\0.", "more than is on the stack")
    X(PROTO "N" TEXT1("a") "Ns.", "of something that is no dict")
    X(PROTO "]" TEXT1("a") "Ns.", "of something that is no dict")
    X(PROTO ")(" TEXT1("a") "Nu.", "of something that is no dict")
    X(PROTO "}Na.", "something that is no list")
    X(PROTO ")Na.", "something that is no list")
    X(PROTO "})Ns.", "neither a text nor a whole number")
    X(PROTO "}NNs.", "neither a text nor a whole number")
    X(PROTO "Nr\377\377\377\377.", "beyond those in use")
    X(PROTO "Nr\1\0\0\0.", "beyond those in use")
    X(PROTO "Nq\1.", "beyond those in use")
    X(PROTO "h\0.", "not in use")
    X(PROTO "j\377\377\377\377.", "not in use")
    X(PROTO "r\0\0", "its operand ends")
    X(PROTO "X\377\377\377\377a", "longer than any name")
    X(PROTO "X\5\0\0\0abc", "its operand ends")
    X(PROTO "X\2\0\0\0\300\200.", "not UTF-8")
    X(PROTO "X\2\0\0\0a\0.", "not UTF-8")
    X(PROTO "\212\11\1\1\1\1\1\1\1\1\1.", "beyond 64 bits")
    X(PROTO "\212\4\1", "its operand ends")
    X(PROTO "G\0\0\0", "its operand ends")
    X(PROTO "J\0\0", "its operand ends")
    X(PROTO "cos\nsystem", "its operand ends")
    X(PROTO "cos\nsys\1tem\n.", "control characters")
    X(PROTO "cos\nsystem\n.", "an object of class os.system")
    X(PROTO "cos\nsystem\nX\2\0\0\0ls\205R.", "an object of class os.system")
    X(PROTO "cbuiltins\neval\nX\2\0\0\0ls\205R.", "an object of class builtins.eval")
    X(WEIGHT("cos\nsystem\nX\2\0\0\0ls\205R") , "no dict of tensors")
    X(PROTO "}(" TEXT1("w") EIGHT TEXT1("x") "cos\nsystem\nX\2\0\0\0ls\205Ru.", "among the weights")
    X(PROTO "}" TEXT1("x") ORDERED "(" TEXT1("w") "\213usb.", "not one of those")
    X(PROTO "X\2\0\0\0os)R.", "no function")
    X(PROTO "ctorch\nFloatStorage\n)R.", "no function")
    X(PROTO "ccollections\nOrderedDict\n]R.", "no tuple")
    X(PROTO "ccollections\nOrderedDict\n]\205R.", "made from arguments")
    X(PROTO "ctorch\nSize\n)R.", "whole numbers")
    X(PROTO "ctorch\nSize\nN\205\205R.", "whole numbers")
    X(PROTO ")}b.", "attributes of a plain value")
    X(PROTO "})b.", "attributes of a plain value")
    X(PROTO "N)\201.", "no class")
    X(PROTO "ctorch\nSize\n)\201.", "no class")
    X(PROTO "cos\nsystem\nN\201.", "no tuple")
    X(PROTO "cos\nsystem\n)\201}b.", "an object of class os.system")
    X(PROTO "NQ.", "describes no storage")
    X(PROTO ")Q.", "describes no storage")
    X(PROTO "(X\7\0\0\0storagectorch\nFloatStorage\n" TEXT1("0") TEXT1("c") "K\10NtQ.", "describes no storage")
    X(PROTO "(X\7\0\0\0strange" "ctorch\nFloatStorage\n" TEXT1("0") TEXT1("c") "K\10tQ.", "describes no storage")
    X(WEIGHT(TENSOR(STORAGE_OF("ComplexFloatStorage", "0", "K\4"), "K\0", "K\4\205", "K\1\205")), "not supported")
    X(WEIGHT(TENSOR(STORAGE_OF("Size", "0", "K\4"), "K\0", "K\4\205", "K\1\205")), "not supported")
    X(WEIGHT(TENSOR(STORAGE_OF("FloatStorage", "1", "K\10"), "K\0", "K\10\205", "K\1\205")), "not in the file")
    X(WEIGHT(TENSOR(STORAGE_OF("FloatStorage", "0", "K\11"), "K\0", "K\10\205", "K\1\205")), "another size")
    X(WEIGHT(TENSOR(STORAGE_OF("FloatStorage", "0", "K\7"), "K\0", "K\7\205", "K\1\205")), "another size")
    X(WEIGHT(TENSOR(STORAGE_OF("FloatStorage", "0", MINUS), "K\0", "K\7\205", "K\1\205")), "another size")
    X(WEIGHT(TENSOR(STORAGE_OF("FloatStorage", "0", "\212\10\10\0\0\0\0\0\0\100"), "K\0", "K\7\205", "K\1\205")),
      "another size")
    X(WEIGHT(TENSOR("N", "K\0", "K\10\205", "K\1\205")), "not made of storage")
    X(WEIGHT(TENSOR(STORAGE, "N", "K\10\205", "K\1\205")), "not made of storage")
    X(WEIGHT(TENSOR(STORAGE, "K\0", "N\205", "K\1\205")), "not made of storage")
    X(WEIGHT(TENSOR(STORAGE, "K\0", "K\10\205", "K\10K\1\206")), "not made of storage")
    X(WEIGHT(TENSOR(STORAGE, "K\0", "G\0\0\0\0\0\0\0\0\205", "K\1\205")), "not made of storage")
    X(WEIGHT("ctorch._utils\n_rebuild_tensor_v2\n" STORAGE "\205R"), "not made of storage")
    X(WEIGHT("ctorch._utils\n_rebuild_parameter\nN\211}\207R"), "no tensor")
    X(VIEW("K\1", "K\10\205", "K\1\205"), "beyond its storage")
    X(VIEW("K\11", "K\0\205", "K\1\205"), "beyond its storage")
    X(VIEW("K\0", "K\11\205", "K\1\205"), "beyond its storage")
    X(VIEW("K\0", "K\10\205", "K\2\205"), "beyond its storage")
    X(VIEW("K\0", "K\2K\5\206", "K\4K\1\206"), "beyond its storage")
    X(VIEW(MINUS, "K\1\205", "K\1\205"), "overflows")
    X(VIEW("K\0", MINUS "\205", "K\1\205"), "negative")
    X(VIEW("K\0", "K\2\205", MINUS "\205"), "negative")
    X(VIEW("K\0", BIG BIG "\206", "K\1K\1\206"), "overflows")
    X(VIEW("K\0", "K\4\205", BIG "\205"), "strides overflow")
    X(VIEW(BIG, "K\2\205", "K\1\205"), "strides overflow")
    X(VIEW("K\0", "\212\5\0\0\0\0\1\205", "K\0\205"), "far larger than the file")
    X(VIEW("K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"), "more dimensions")
    X(PROTO "}X\0\0\0\0" EIGHT "s.", "a name that is empty")
    X(PROTO "}" TEXT1("\n") EIGHT "s.", "a name that is empty")
    X(PROTO "}K\1" EIGHT "s.", "a tensor without a name")
    X(PROTO "}(" TEXT1("w") EIGHT TEXT1("w") EIGHT "u.", "occurs twice")
#undef X
};
/* clang-format on */
enum { BROKEN = sizeof broken / sizeof *broken };

static void expect_refused(const struct bytes *b, const char *says)
{
    nn_safetensors *f = NULL;
    int rc = parse(b->at, b->size, &f);

    ck_assert_msg(rc == NN_EFORMAT || rc == NN_EUNSUPPORTED, "status %d, \"%s\" expected", rc, says);
    ck_assert_ptr_null(f);
    ck_assert_msg(strstr(why.text, says) != NULL, "\"%s\" is not in: %s", says, why.text);
    ck_assert_msg(strstr(why.text, "byte ") != NULL || strstr(why.text, "occurs twice") != NULL,
                  "no place in: %s", why.text);
    ck_assert_ptr_nonnull(strstr(why.text, "file.pth"));
}

START_TEST(broken_pickle)
{
    const struct broken *x = &broken[_i];
    struct bytes b = archive(x->pickle, x->size);

    expect_refused(&b, x->says);
    clear(&b);
}
END_TEST

START_TEST(every_other_opcode)
{
    static const char allowed[] = "().te}]aesuXcKMJGNqrhjQRb\200\201\205\206\207\210\211\212";

    for (int c = 0; c < 256; c++) {
        char pickle[] = PROTO "N?.";
        struct bytes b;

        if (c && strchr(allowed, c))
            continue;
        pickle[3] = (char)c;
        b = archive(pickle, sizeof pickle - 1);
        expect_refused(&b, "not one of those");
        clear(&b);
    }
}
END_TEST

/* Programs that grow: the text begins `head`, then so often `again`. */
static void expect_bounded(const char *head, const char *again, size_t size, int times, const char *says)
{
    struct bytes p = { .size = 0 }, b;

    put(&p, PROTO, 2);
    put(&p, head, strlen(head));
    for (int i = 0; i < times; i++)
        put(&p, again, size);
    put(&p, ".", 1);
    b = archive(p.at, p.size);
    expect_refused(&b, says);
    clear(&p);
    clear(&b);
}

static struct nni_seam real;
static size_t live, most;

static void *counted_alloc(size_t size)
{
    size_t *memory = real.alloc(size + 64);

    if (!memory)
        return NULL;
    *memory = size;
    live += size;
    most = live > most ? live : most;
    return (char *)memory + 64;
}

static void counted_free(void *memory)
{
    size_t *at = memory ? (size_t *)(void *)((char *)memory - 64) : NULL;

    live -= at ? *at : 0;
    real.free(at);
}

START_TEST(bombs)
{
    real = nni_seam;
    nni_seam.alloc = counted_alloc;
    nni_seam.free = counted_free;
    expect_bounded("", "(", 1, 1000000, "nested deeper");
    expect_bounded("N", "\205", 1, 1000000, "nested deeper");
    expect_bounded("", "]q\0h\0a", 6, 3, "not exactly one");
    expect_bounded("", "N", 1, 100000, "stack is deeper");
    expect_bounded("]", "Na", 2, 2200000, "more memory");
    expect_bounded("]", ")a", 2, 2200000, "more memory");
    expect_bounded("(", "}", 1, 100000, "stack is deeper");
    nni_seam = real;
    ck_assert_uint_eq(live, 0);
    ck_assert_msg(most < 2 * 4400000 + (16u << 20), "%zu bytes in use", most);
}
END_TEST

START_TEST(a_list_in_itself)
{
    static const char pickle[] = PROTO "]q\0h\0a.";
    struct bytes b = archive(pickle, sizeof pickle - 1);

    expect_refused(&b, "no dict of tensors");
    clear(&b);
}
END_TEST

/* ----------------------------------------------------------- broken archives */

static const char good[] = WEIGHT(EIGHT);
#define PICKLE                                                                                               \
    {                                                                                                        \
        .name = "a/data.pkl", .data = good, .size = sizeof good - 1                                          \
    }
#define DATA                                                                                                 \
    {                                                                                                        \
        .name = "a/data/0", .data = eight, .size = sizeof eight                                              \
    }

static void expect_zip_refused(const struct member *m, size_t n, const char *says)
{
    struct bytes b = zip(m, n);

    expect_refused(&b, says);
    clear(&b);
}

START_TEST(broken_archive)
{
    struct member m[4] = { PICKLE, DATA };
    char name[600];

    expect_zip_refused(m, 0, "without data.pkl");
    expect_zip_refused(m + 1, 1, "without data.pkl");
    expect_zip_refused(m, 1, "not in the file");
    m[1].crc_xor = 1;
    expect_zip_refused(m, 2, "checksum");
    m[1] = (struct member)DATA;
    m[1].method = 8;
    expect_zip_refused(m, 2, "compressed or encrypted");
    m[1] = (struct member)DATA;
    m[1].flags = 1;
    expect_zip_refused(m, 2, "compressed or encrypted");
    m[1] = (struct member)DATA;
    m[1].size_added = 4;
    expect_zip_refused(m, 2, "zip archive");
    m[1] = (struct member)DATA;
    m[2] = (struct member){ .name = "a/data/0", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "");
    m[2] = (struct member){ .name = "a/data/0", .data = eight, .size = sizeof eight, .same_as = 2 };
    expect_zip_refused(m, 3, "");
    m[2] = (struct member){ .name = "a/data/1", .data = eight, .size = sizeof eight, .same_as = 2 };
    expect_zip_refused(m, 3, "zip archive");
    m[2] = (struct member){ .name = "b/x", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "another folder");
    m[2] = (struct member){ .name = "a/constants.pkl", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "TorchScript");
    m[2] = (struct member){ .name = "a/byteorder", .data = "middle", .size = 6 };
    expect_zip_refused(m, 3, "neither little nor big");
    m[2] = (struct member){ .name = "a/../../x", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "leads elsewhere");
    m[2] = (struct member){ .name = "/a/x", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "leads elsewhere");
    m[2] = (struct member){ .name = "", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "leads elsewhere");
    m[2] = (struct member){ .name = "a/\033[2J", .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "leads elsewhere");
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    m[2] = (struct member){ .name = name, .data = "x", .size = 1 };
    expect_zip_refused(m, 3, "too long");
}
END_TEST

START_TEST(without_checksums)
{
    struct member m[] = { PICKLE, DATA };
    struct bytes b;
    nn_safetensors *f;

    m[0].without_sum = m[1].without_sum = 1;
    b = zip(m, 2);
    ck_assert_msg(!parse(b.at, b.size, &f), "%s", why.text);
    ck_assert_mem_eq(entry(f, "w")->data, eight, sizeof eight);
    nn_safetensors_free(f);
    clear(&b);
}
END_TEST

START_TEST(big_endian)
{
    float turned[8];
    struct member m[] = { PICKLE, DATA, { .name = "a/byteorder", .data = "big", .size = 3 } };
    struct bytes b;
    nn_safetensors *f;

    for (size_t i = 0; i < sizeof eight; i++)
        ((char *)turned)[i] = ((const char *)eight)[i ^ 3u];
    m[1].data = turned;
    b = zip(m, 3);
    ck_assert_msg(!parse(b.at, b.size, &f), "%s", why.text);
    ck_assert_mem_eq(entry(f, "w")->data, eight, sizeof eight);
    nn_safetensors_free(f);
    clear(&b);
}
END_TEST

/* Bytes beyond the end would be seen by the sanitizer: each length has its own block. */
START_TEST(cut_short)
{
    const unsigned char *all = _i ? golden_legacy : golden_zip;
    size_t size = _i ? sizeof golden_legacy : sizeof golden_zip;

    for (size_t n = 0; n < size; n++) {
        unsigned char *copy = malloc(n + 1);
        nn_safetensors *f = NULL;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, all, n);
        if (!parse(copy, n, &f))
            ck_abort_msg("the first %zu of %zu bytes were accepted", n, size);
        free(copy);
    }
}
END_TEST

START_TEST(every_byte_changed)
{
    const unsigned char *all = _i ? golden_legacy : golden_zip;
    size_t size = _i ? sizeof golden_legacy : sizeof golden_zip;
    unsigned char *copy = malloc(size);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, all, size);
    for (size_t n = 0; n < size; n++) {
        static const unsigned char change[] = { 0xff, 0x01, 0x80 };
        nn_safetensors *f = NULL;

        copy[n] ^= change[n % 3];
        if (!parse(copy, size, &f)) {
            for (int64_t i = 0; i < nn_safetensors_count(f); i++) {
                int64_t odd, first;

                ck_assert_int_eq(nn_safetensors_nonfinite(f, i, &odd, &first, &why), NN_OK);
            }
            nn_safetensors_free(f);
        }
        copy[n] = all[n];
    }
    free(copy);
}
END_TEST

/* ------------------------------------------------------------ broken streams */

struct stream {
    const char *version, *machine, *object, *keys;
    size_t sizes[4];
    uint64_t count;
    size_t bytes, extra;
};
#define STREAM                                                                                               \
    {                                                                                                        \
        LEGACY_VERSION, LEGACY_MACHINE, LEGACY_OBJECT, LEGACY_KEYS,                                          \
            { sizeof LEGACY_VERSION - 1, sizeof LEGACY_MACHINE - 1, sizeof LEGACY_OBJECT - 1,                \
              sizeof LEGACY_KEYS - 1 },                                                                      \
            8, 32, 0                                                                                         \
    }

static struct bytes stream(const struct stream *s)
{
    const char *part[] = { s->version, s->machine, s->object, s->keys };
    struct bytes b = { .size = 0 };

    put(&b, LEGACY_MAGIC, sizeof LEGACY_MAGIC - 1);
    for (int i = 0; i < 4; i++)
        put(&b, part[i], s->sizes[i]);
    put_number(&b, s->count, 8);
    put(&b, eight, s->bytes);
    put(&b, "extra", s->extra);
    return b;
}

static void expect_stream_refused(const struct stream *s, const char *says)
{
    struct bytes b = stream(s);

    expect_refused(&b, says);
    clear(&b);
}

START_TEST(broken_stream)
{
    static const char view[] =
        PROTO "}" TEXT1("w") TENSOR("(X\7\0\0\0storagectorch\nFloatStorage\n" TEXT1("0") TEXT1("c") "K\10)tQ",
                                    "K\0", "K\10\205", "K\1\205") "s.";
    static const char twice[] = "\200\002](" TEXT1("0") TEXT1("0") "e.";
    const struct stream fine = STREAM;
    struct stream s = STREAM;
    struct bytes b = stream(&s);
    nn_safetensors *f;

    ck_assert_msg(!parse(b.at, b.size, &f), "%s", why.text);
    ck_assert_mem_eq(entry(f, "w")->data, eight, sizeof eight);
    nn_safetensors_free(f);
    clear(&b);

    s.version = "\200\002M\352\003.";
    expect_stream_refused(&s, "not 1001");
    s = fine;
    s.machine = "\200\002}X\15\0\0\0little_endian\211s.";
    expect_stream_refused(&s, "little_endian");
    s = fine;
    s.keys = "\200\002](X\1\0\0\0001e.";
    expect_stream_refused(&s, "no tensor uses");
    s.keys = "\200\002](K\0e.";
    s.sizes[3] = 8;
    expect_stream_refused(&s, "no tensor uses");
    s.keys = "\200\002N.";
    s.sizes[3] = 4;
    expect_stream_refused(&s, "no list of storages");
    s.keys = twice;
    s.sizes[3] = sizeof twice - 1;
    expect_stream_refused(&s, "missing");
    s.keys = "\200\002].";
    s.sizes[3] = 4;
    expect_stream_refused(&s, "belong to no storage");
    s = fine;
    s.count = 7;
    expect_stream_refused(&s, "another size");
    s.count = UINT64_MAX;
    expect_stream_refused(&s, "another size");
    s = fine;
    s.bytes = 28;
    expect_stream_refused(&s, "cut short");
    s = fine;
    s.extra = 5;
    expect_stream_refused(&s, "belong to no storage");
    s = fine;
    s.object = view;
    s.sizes[2] = sizeof view - 1;
    expect_stream_refused(&s, "a view of a storage");
}
END_TEST

/* ------------------------------------------------------------------ opening */

static void write_path(const char *name, const void *data, size_t size)
{
    FILE *f;

    (void)snprintf(path, sizeof path, "/tmp/nn_torch_%ld%s", (long)getpid(), name);
    f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static void *no_map(int fd, size_t size)
{
    (void)fd;
    (void)size;
    return NULL;
}

START_TEST(opening)
{
    nn_safetensors *f;

    for (int i = 0; i < 4; i++) {
        const void *data = i % 2 ? golden_legacy : golden_zip;

        write_path(".pt", data, i % 2 ? sizeof golden_legacy : sizeof golden_zip);
        real = nni_seam;
        if (i > 1)
            nni_seam.map = no_map;
        ck_assert_msg(!nn_weights_open(&f, path, NULL, &why), "%s", why.text);
        expect_weights(f);
        nn_safetensors_free(f);
        nni_seam = real;
    }
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(nn_weights_open(&f, path, NULL, &why), NN_ENOTFOUND);
    ck_assert_int_eq(nn_weights_open(&f, "/tmp", NULL, &why), NN_EFORMAT);
}
END_TEST

static void expect_other(const char *name, const void *data, size_t size, const char *says)
{
    nn_safetensors *f;
    int rc;

    write_path(name, data, size);
    rc = nn_weights_open(&f, path, NULL, &why);
    (void)remove(path);
    ck_assert_int_ne(rc, NN_OK);
    ck_assert_msg(strstr(why.text, says) != NULL, "\"%s\" is not in: %s", says, why.text);
}

START_TEST(other_files)
{
    static const char html[] = "<!DOCTYPE html><html><body>Not Found</body></html>";
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    char tar[512] = { 0 };

    memcpy(tar + 257, "ustar", 5);
    expect_other("", html, sizeof html - 1, "HTML");
    expect_other("", lfs, sizeof lfs - 1, "git-lfs");
    expect_other("", tar, sizeof tar, "tar archive");
    expect_other("", "", 0, "empty");
    expect_other("", "\x1f\x8b\x08\0\0\0\0\0\0", 9, "gzip");
    expect_other("", "PK\3\4", 4, "cut short");
}
END_TEST

START_TEST(digest_in_the_name)
{
    nn_safetensors *f;

    write_path("-01234567.pth", golden_zip, sizeof golden_zip);
    ck_assert_int_eq(nn_weights_open(&f, path, NULL, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, "SHA-256 begins with " GOLDEN_ZIP_SHA) != NULL, "%s", why.text);
    (void)remove(path);
    write_path("-" GOLDEN_ZIP_SHA ".pth", golden_zip, sizeof golden_zip);
    ck_assert_msg(!nn_weights_open(&f, path, NULL, &why), "%s", why.text);
    nn_safetensors_free(f);
    (void)remove(path);
}
END_TEST

/* -------------------------------------------------------------------- memory */

static int allocs, fail_alloc;

static void *failing_alloc(size_t size) { return ++allocs == fail_alloc ? NULL : counted_alloc(size); }

START_TEST(out_of_memory)
{
    const unsigned char *all = _i ? golden_legacy : golden_zip;
    size_t size = _i ? sizeof golden_legacy : sizeof golden_zip;
    nn_safetensors *f;
    int rc = NN_ENOMEM;

    real = nni_seam;
    nni_seam.alloc = failing_alloc;
    nni_seam.free = counted_free;
    for (fail_alloc = 1; rc == NN_ENOMEM; fail_alloc++) {
        allocs = 0;
        rc = parse(all, size, &f);
        if (!rc)
            nn_safetensors_free(f);
        ck_assert_uint_eq(live, 0);
        ck_assert_int_lt(fail_alloc, 1000);
    }
    ck_assert_msg(!rc, "%s", why.text);
    ck_assert_int_gt(fail_alloc, 5);
    nni_seam = real;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torch");
    TCase *files = tcase_create("files"), *broken_files = tcase_create("broken");

    tcase_set_timeout(files, 60);
    tcase_add_test(files, golden_checkpoint);
    tcase_add_test(files, golden_legacy_stream);
    tcase_add_test(files, without_checksums);
    tcase_add_test(files, big_endian);
    tcase_add_test(files, writing);
    tcase_add_test(files, opening);
    tcase_add_test(files, other_files);
    tcase_add_test(files, digest_in_the_name);
    tcase_add_loop_test(files, out_of_memory, 0, 2);
    suite_add_tcase(suite, files);
    tcase_set_timeout(broken_files, 120);
    tcase_add_loop_test(broken_files, broken_pickle, 0, BROKEN);
    tcase_add_test(broken_files, every_other_opcode);
    tcase_add_test(broken_files, bombs);
    tcase_add_test(broken_files, a_list_in_itself);
    tcase_add_test(broken_files, broken_archive);
    tcase_add_loop_test(broken_files, cut_short, 0, 2);
    tcase_add_loop_test(broken_files, every_byte_changed, 0, 2);
    tcase_add_test(broken_files, broken_stream);
    suite_add_tcase(suite, broken_files);
    return suite_run(suite);
}
