/* SPDX-License-Identifier: MIT
 *
 * safetensors: every rule of the format has a test that breaks just that rule and looks at the reason
 * given; what the reference package wrote is read and written again byte for byte; and files cut
 * at every length, changed in every byte and mutated at random are either refused or keep all rules.
 */
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <nn/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------ fixture */

static struct nni_seam real;
static char folder[64];
static nn_message why;

/* What the seam saw. Operations are numbered from 1; number `fail_at` fails, all after it too if `forever`.
 */
static struct {
    int allocs, fail_alloc, live;
    size_t largest;
    int calls, fail_at, open;
    bool forever, slow;
    char order[256];
} seen;

static void *count_alloc(size_t size)
{
    void *memory;

    if (++seen.allocs == seen.fail_alloc)
        return NULL;
    memory = real.alloc(size);
    seen.live += memory != NULL;
    if (size > seen.largest)
        seen.largest = size;
    return memory;
}

static void count_free(void *memory)
{
    seen.live--;
    real.free(memory);
}

static bool fails(char what)
{
    if (seen.calls + 1 < (int)sizeof seen.order)
        seen.order[seen.calls] = what;
    seen.calls++;
    if (!seen.fail_at || seen.calls < seen.fail_at || (seen.calls > seen.fail_at && !seen.forever))
        return false;
    errno = EIO;
    return true;
}

static int watch_open(const char *path, int flags, int mode)
{
    int fd = fails('o') ? -1 : real.open(path, flags, mode);

    seen.open += fd >= 0;
    return fd;
}

/* A failing close has closed all the same, as on Linux. */
static int watch_close(int fd)
{
    bool bad = fails('c');

    seen.open--;
    (void)real.close(fd);
    return bad ? -1 : 0;
}

static int64_t watch_read(int fd, void *data, size_t size)
{
    if (fails('r'))
        return -1;
    if (seen.slow && seen.calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return real.read(fd, data, seen.slow && size > 7 ? 7 : size);
}

static int64_t watch_write(int fd, const void *data, size_t size)
{
    if (fails('w'))
        return -1;
    if (seen.slow && seen.calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return real.write(fd, data, seen.slow && size > 5 ? 5 : size);
}

static int64_t watch_seek(int fd, int64_t offset) { return fails('k') ? -1 : real.seek(fd, offset); }
static int watch_fsync(int fd) { return fails('s') ? -1 : real.fsync(fd); }
static int watch_unlink(const char *path) { return fails('u') ? -1 : real.unlink(path); }
static int watch_rename(const char *from, const char *to) { return fails('n') ? -1 : real.rename(from, to); }
static int watch_stat(const char *path, struct nni_stat *out)
{
    return fails('t') ? -1 : real.stat(path, out);
}
static void *watch_map(int fd, size_t size) { return fails('m') ? NULL : real.map(fd, size); }

static void watch(void)
{
    memset(&seen, 0, sizeof seen);
    nni_seam.alloc = count_alloc;
    nni_seam.free = count_free;
    nni_seam.open = watch_open;
    nni_seam.close = watch_close;
    nni_seam.read = watch_read;
    nni_seam.write = watch_write;
    nni_seam.seek = watch_seek;
    nni_seam.fsync = watch_fsync;
    nni_seam.unlink = watch_unlink;
    nni_seam.rename = watch_rename;
    nni_seam.stat = watch_stat;
    nni_seam.map = watch_map;
}

static void setup(void)
{
    real = nni_seam;
    memset(&why, 0, sizeof why);
    (void)snprintf(folder, sizeof folder, "/tmp/nn-safetensors-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static const char *in_folder(const char *name, nni_text *text)
{
    (void)snprintf(text->s, sizeof text->s, "%s/%s", folder, name);
    return text->s;
}

/* Number of files in the folder; removes them if asked to. */
static int files(bool clear)
{
    DIR *d = opendir(folder);
    int n = 0;

    ck_assert_ptr_nonnull(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[400];

        if (e->d_name[0] == '.')
            continue;
        n++;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (clear && remove(path))
            ck_abort_msg("cannot remove %s", path);
    }
    (void)closedir(d);
    return n;
}

static void teardown(void)
{
    nni_seam = real;
    (void)files(true);
    (void)rmdir(folder);
}

static void store(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static size_t fetch(const char *path, unsigned char *bytes, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        return 0;
    n = fread(bytes, 1, room, f);
    (void)fclose(f);
    return n;
}

/* ------------------------------------------------------------------ samples */

/* What Python's safetensors 0.8.0 wrote for these nine tensors, given in another order. */
static const char sample_header[] =
    "{\"__metadata__\":{\"format\":\"pt\\n\\u001b\303\274\"},"
    "\"steps\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
    "\"wide\":{\"dtype\":\"F64\",\"shape\":[1,1],\"data_offsets\":[8,16]},"
    "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]},"
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[20,44]},"
    "\"ids\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[44,52]},"
    "\"brain\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[52,56]},"
    "\"half\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[56,60]},"
    "\"none\":{\"dtype\":\"F16\",\"shape\":[0,4],\"data_offsets\":[60,60]},"
    "\"pix\\\"\\\\\303\251\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[60,63]}}  ";
static const unsigned char sample_data[] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0x9a, 0x99, 0x99,
                                             0x99, 0x99, 0x99, 0xb9, 0x3f, 0x00, 0x00, 0x50, 0x40, 0x00, 0x00,
                                             0x00, 0x00, 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0, 0x00,
                                             0x00, 0x00, 0x3f, 0x00, 0x00, 0x80, 0x7f, 0x6f, 0x12, 0x83, 0x3a,
                                             0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 0x00, 0x00, 0xc0, 0x3f, 0xc0,
                                             0x7f, 0x00, 0x3e, 0xff, 0xfb, 0x00, 0x80, 0xff };
static const float a_weight[] = { 3.25f };
static const float b_weight[] = { 0, 1, -2, 0.5f, INFINITY, 1e-3f };
static const int64_t steps[] = { -(INT64_C(1) << 40) };
static const uint16_t half[] = { 0x3e00, 0xfbff };  /* 1.5, -65504 */
static const uint16_t brain[] = { 0x3fc0, 0x7fc0 }; /* 1.5, NaN */
static const double wide[] = { 0.1 };
static const int32_t ids[] = { -1, 7 };
static const uint8_t pix[] = { 0, 128, 255 };
static const nn_safetensors_item sample_items[] = {
    { "b.weight", NN_F32, { { 2, 3 }, 2 }, b_weight }, { "a.weight", NN_F32, { { 1 }, 1 }, a_weight },
    { "steps", NN_I64, { { 0 }, 0 }, steps },          { "half", NN_F16, { { 2 }, 1 }, half },
    { "brain", NN_BF16, { { 1, 2 }, 2 }, brain },      { "none", NN_F16, { { 0, 4 }, 2 }, NULL },
    { "wide", NN_F64, { { 1, 1 }, 2 }, wide },         { "ids", NN_I32, { { 2 }, 1 }, ids },
    { "pix\"\\\303\251", NN_U8, { { 3 }, 1 }, pix },
};
enum { SAMPLE_ITEMS = sizeof sample_items / sizeof sample_items[0] };
static const nn_pair sample_metadata[] = { { "format", "pt\n\x1b\303\274" } };

/* Length, header and data bytes 1, 2, 3 ... in memory of exactly that size, so that a sanitizer sees any
 * step across its end. */
static unsigned char *make(const char *header, size_t header_size, size_t data_size, size_t *size)
{
    unsigned char *file = malloc(8 + header_size + data_size);

    ck_assert_ptr_nonnull(file);
    for (unsigned i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)header_size >> (8 * i));
    memcpy(file + 8, header, header_size);
    for (size_t i = 0; i < data_size; i++)
        file[8 + header_size + i] = (unsigned char)(i + 1);
    *size = 8 + header_size + data_size;
    return file;
}

static unsigned char *make_sample(size_t *size)
{
    unsigned char *file = make(sample_header, strlen(sample_header), sizeof sample_data, size);

    memcpy(file + *size - sizeof sample_data, sample_data, sizeof sample_data);
    return file;
}

static int write_sample(const char *path)
{
    return nn_safetensors_write(path, sample_items, SAMPLE_ITEMS, sample_metadata, 1, &why);
}

static void check_sample(const nn_safetensors *f)
{
    ck_assert_int_eq(nn_safetensors_count(f), SAMPLE_ITEMS);
    for (int i = 0; i < SAMPLE_ITEMS; i++) {
        const nn_safetensors_item *item = &sample_items[i];
        const nn_safetensors_entry *e = nn_safetensors_at(f, nn_safetensors_find(f, item->name));

        ck_assert_ptr_nonnull(e);
        ck_assert_str_eq(e->name, item->name);
        ck_assert_str_eq(e->dtype, nn_dtype_name(item->type));
        ck_assert_int_eq(e->type, item->type);
        ck_assert(e->loadable);
        ck_assert(nn_shape_equal(e->shape, item->shape));
        ck_assert_int_eq(e->count, nn_shape_count(item->shape));
        ck_assert_uint_eq(e->bytes, (size_t)e->count * nn_dtype_size(item->type));
        if (e->bytes)
            ck_assert_mem_eq(e->data, item->data, e->bytes);
    }
    ck_assert_int_eq(nn_safetensors_metadata_count(f), 1);
    ck_assert_str_eq(nn_safetensors_metadata(f, "format"), sample_metadata[0].value);
}

/* Check writes to a pipe at each of its assertions, which the loops below cannot afford. */
#define RULE(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            ck_abort_msg("broken: %s (message: %s)", #condition, why.text);                                  \
    } while (0)

/* The rules, checked over again from what the reader reports and nothing else. */
static void check_rules(const nn_safetensors *f, const unsigned char *file, size_t size)
{
    uint64_t n = 0;
    const unsigned char *at;

    RULE(size >= 8);
    for (unsigned i = 0; i < 8; i++)
        n |= (uint64_t)file[i] << (8 * i);
    RULE(n <= size - 8);
    at = file + 8 + n;
    for (int64_t i = 0; i < nn_safetensors_count(f); i++) {
        const nn_safetensors_entry *e = nn_safetensors_at(f, i);
        static const char *const by_bits[65] = { [4] = "F4 ",
                                                 [6] = "F6_E2M3 F6_E3M2 ",
                                                 [8] = "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ "
                                                       "F8_E5M2FNUZ ",
                                                 [16] = "I16 U16 F16 BF16 ",
                                                 [32] = "I32 U32 F32 ",
                                                 [64] = "C64 F64 I64 U64 " };
        char word[16];
        int64_t elements = 1;
        unsigned bits = 0;

        RULE(snprintf(word, sizeof word, "%s ", e->dtype) < (int)sizeof word);
        for (unsigned b = 0; b <= 64; b++) {
            const char *found = by_bits[b] ? strstr(by_bits[b], word) : NULL;

            if (found && (found == by_bits[b] || found[-1] == ' '))
                bits = b;
        }
        RULE(bits != 0);
        RULE(e->shape.rank >= 0 && e->shape.rank <= NN_MAX_RANK);
        for (int k = 0; k < e->shape.rank; k++) {
            RULE(e->shape.dim[k] >= 0);
            RULE(!__builtin_mul_overflow(elements, e->shape.dim[k], &elements));
        }
        RULE(e->count == elements);
        RULE((uint64_t)e->bytes * 8 == (uint64_t)elements * bits);
        RULE(e->data == at);
        at += e->bytes;
        for (const unsigned char *c = (const unsigned char *)e->name; *c; c++)
            RULE(*c >= 0x20 && *c != 0x7f);
        RULE(nn_safetensors_find(f, e->name) == i); /* hence no name twice */
    }
    RULE(at == file + size);
    for (int64_t i = 1; i < nn_safetensors_metadata_count(f); i++)
        RULE(strcmp(nn_safetensors_metadata_at(f, i - 1)->key, nn_safetensors_metadata_at(f, i)->key) < 0);
}

static int parse_checked(const unsigned char *file, size_t size)
{
    nn_safetensors *f;
    int rc;

    why.text[0] = 0;
    rc = nn_safetensors_parse(&f, file, size, "x.safetensors", NULL, &why);
    if (rc) {
        RULE(!f);
        RULE(!strncmp(why.text, "x.safetensors: ", 15));
        for (const char *c = why.text; *c; c++)
            RULE((unsigned char)*c >= 0x20 && *c != 0x7f);
    } else {
        check_rules(f, file, size);
        nn_safetensors_free(f);
    }
    return rc;
}

/* -------------------------------------------------------- one test per error */

#define T(name, type, shape, offsets)                                                                        \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define NINE "[1,1,1,1,1,1,1,1,1]"

/* Name of the test, header, bytes of data, status, a part of the reason. */
#define REJECT_LIST(X)                                                                                       \
    X(empty_header, "", 0, NN_EFORMAT, "begin with '{'")                                                     \
    X(blank_header, "        ", 0, NN_EFORMAT, "begin with '{'")                                             \
    X(header_is_a_list, "[]", 0, NN_EFORMAT, "begin with '{'")                                               \
    X(header_closed_by_bracket, "{]", 0, NN_EFORMAT, "closed by ']'")                                        \
    X(byte_order_mark, "\357\273\277{}", 0, NN_EFORMAT, "begin with '{'")                                    \
    X(text_behind_header, "{}x", 0, NN_EFORMAT, "behind the header")                                         \
    X(second_object_behind_header, "{}{}", 0, NN_EFORMAT, "behind the header")                               \
    X(header_ends_early, "{" T("a", "U8", "[1]", "[0,1]"), 1, NN_EFORMAT, "ends too early")                  \
    X(header_ends_in_name, "{\"abc", 0, NN_EFORMAT, "inside a name")                                         \
    X(header_ends_in_escape, "{\"abc\\", 0, NN_EFORMAT, "inside a name")                                     \
    X(trailing_comma, "{" T("a", "U8", "[1]", "[0,1]") ",}", 1, NN_EFORMAT, "name is missing")               \
    X(leading_comma, "{," T("a", "U8", "[1]", "[0,1]") "}", 1, NN_EFORMAT, "name is missing")                \
    X(lone_comma, "{,}", 0, NN_EFORMAT, "name is missing")                                                   \
    X(mismatched_brackets, "{\"a\":[}}", 0, NN_EFORMAT, "not valid JSON")                                    \
    X(missing_colon, "{\"a\" {}}", 0, NN_EFORMAT, "not valid JSON")                                          \
    X(missing_comma, "{" T("a", "U8", "[1]", "[0,1]") T("b", "U8", "[0]", "[1,1]") "}", 1, NN_EFORMAT,       \
      "not valid JSON")                                                                                      \
    X(bad_escape, "{\"a\\x\":{}}", 0, NN_EFORMAT, "not valid JSON")                                          \
    X(raw_control_in_text, "{\"a\tb\":{}}", 0, NN_EFORMAT, "not valid JSON")                                 \
    X(comment, "{/**/}", 0, NN_EFORMAT, "only names, lists")                                                 \
    X(literal_true, "{\"a\":true}", 0, NN_EFORMAT, "only names, lists")                                      \
    X(not_a_number, "{\"a\":NaN}", 0, NN_EFORMAT, "only names, lists")                                       \
    X(single_quotes, "{'a':1}", 0, NN_EFORMAT, "only names, lists")                                          \
    X(nul_behind_header, "{}\0", 0, NN_EFORMAT, "behind the header")                                         \
    X(nested_too_deep, "{\"a\":{\"shape\":[[1]]}}", 0, NN_EFORMAT, "deeper")                                 \
    X(invalid_utf8, "{" T("a\xff", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "UTF-8")                        \
    X(overlong_utf8, "{" T("\xc0\xaf", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "UTF-8")                    \
    X(utf8_surrogate, "{" T("\xed\xa0\x80", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "UTF-8")               \
    X(lone_surrogate_escape, "{" T("\\ud800", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "JSON")              \
    X(nul_in_name, "{" T("a\\u0000b", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "NUL")                       \
    X(newline_in_name, "{" T("a\\nb", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "control character")         \
    X(escape_in_name, "{" T("a\\u001b[2J", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "control character")    \
    X(delete_in_name, "{" T("a\177", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "control character")          \
    X(c1_control_in_name, "{" T("a\302\233", "U8", "[0]", "[0,0]") "}", 0, NN_EFORMAT, "control character")  \
    X(name_twice, "{" T("a", "U8", "[1]", "[0,1]") "," T("a", "U8", "[1]", "[1,2]") "}", 2, NN_EFORMAT,      \
      "\"a\": occurs twice")                                                                                 \
    X(name_twice_escaped, "{" T("a", "U8", "[1]", "[0,1]") "," T("\\u0061", "U8", "[1]", "[1,2]") "}", 2,    \
      NN_EFORMAT, "\"a\": occurs twice")                                                                     \
    X(key_twice, "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,      \
      NN_EFORMAT, "same key twice")                                                                          \
    X(metadata_twice, "{\"__metadata__\":{},\"__metadata__\":{}}", 0, NN_EFORMAT, "occurs twice")            \
    X(metadata_key_twice, "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, NN_EFORMAT, "same key twice")   \
    X(metadata_not_object, "{\"__metadata__\":\"a\"}", 0, NN_EFORMAT, "not an object")                       \
    X(metadata_is_a_list, "{\"__metadata__\":[1]}", 0, NN_EFORMAT, "not an object")                          \
    X(metadata_value_number, "{\"__metadata__\":{\"a\":1}}", 0, NN_EFORMAT, "not a text")                    \
    X(metadata_value_object, "{\"__metadata__\":{\"a\":{}}}", 0, NN_EFORMAT, "not a text")                   \
    X(metadata_key_control, "{\"__metadata__\":{\"a\\n\":\"1\"}}", 0, NN_EFORMAT, "control character")       \
    X(metadata_value_nul, "{\"__metadata__\":{\"a\":\"\\u0000\"}}", 0, NN_EFORMAT, "NUL")                    \
    X(tensor_not_object, "{\"a\":[1]}", 0, NN_EFORMAT, "not described by an object")                         \
    X(dtype_missing, "{\"a\":{\"shape\":[0],\"data_offsets\":[0,0]}}", 0, NN_EFORMAT, "dtype is missing")    \
    X(shape_missing, "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0, NN_EFORMAT, "shape is missing") \
    X(offsets_missing, "{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0, NN_EFORMAT, "data_offsets is missing") \
    X(dtype_number, "{\"a\":{\"dtype\":8,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, NN_EFORMAT,             \
      "dtype is not a text")                                                                                 \
    X(shape_number, "{" T("a", "U8", "1", "[0,1]") "}", 1, NN_EFORMAT, "shape is not a list")                \
    X(offsets_number, "{" T("a", "U8", "[1]", "1") "}", 1, NN_EFORMAT, "data_offsets is not a list")         \
    X(unknown_key, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1, NN_EFORMAT, \
      "key other than")                                                                                      \
    X(dimension_text, "{" T("a", "U8", "[\"1\"]", "[0,1]") "}", 1, NN_EFORMAT, "dimension is not a number")  \
    X(offset_text, "{" T("a", "U8", "[1]", "[0,\"1\"]") "}", 1, NN_EFORMAT, "not two numbers")               \
    X(one_offset, "{" T("a", "U8", "[1]", "[1]") "}", 1, NN_EFORMAT, "not two numbers")                      \
    X(three_offsets, "{" T("a", "U8", "[1]", "[0,1,1]") "}", 1, NN_EFORMAT, "not two numbers")               \
    X(no_offsets, "{" T("a", "U8", "[0]", "[]") "}", 0, NN_EFORMAT, "not two numbers")                       \
    X(negative_dimension, "{" T("a", "U8", "[-1]", "[0,1]") "}", 1, NN_EFORMAT, "not negative")              \
    X(negative_zero, "{" T("a", "U8", "[-0]", "[0,0]") "}", 0, NN_EFORMAT, "not negative")                   \
    X(negative_offset, "{" T("a", "U8", "[1]", "[-1,0]") "}", 1, NN_EFORMAT, "not negative")                 \
    X(fraction, "{" T("a", "U8", "[1.0]", "[0,1]") "}", 1, NN_EFORMAT, "must be whole")                      \
    X(exponent, "{" T("a", "U8", "[1e0]", "[0,1]") "}", 1, NN_EFORMAT, "without exponent")                   \
    X(upper_exponent, "{" T("a", "U8", "[1E0]", "[0,1]") "}", 1, NN_EFORMAT, "without exponent")             \
    X(plus_sign, "{" T("a", "U8", "[+1]", "[0,1]") "}", 1, NN_EFORMAT, "must be whole")                      \
    X(leading_zero, "{" T("a", "U8", "[01]", "[0,1]") "}", 1, NN_EFORMAT, "not valid JSON")                  \
    X(hexadecimal, "{" T("a", "U8", "[0x1]", "[0,1]") "}", 1, NN_EFORMAT, "only names, lists")               \
    X(number_of_2_63, "{" T("a", "U8", "[9223372036854775808]", "[0,1]") "}", 1, NN_EFORMAT, "2^63")         \
    X(number_of_2_64, "{" T("a", "U8", "[1]", "[0,18446744073709551617]") "}", 1, NN_EFORMAT, "2^63")        \
    X(rank_nine, "{" T("a", "U8", NINE, "[0,1]") "}", 1, NN_EUNSUPPORTED, "more than 8 numbers")             \
    X(unknown_dtype, "{" T("a", "F31", "[1]", "[0,4]") "}", 4, NN_EUNSUPPORTED, "unknown dtype")             \
    X(lower_case_dtype, "{" T("a", "f32", "[1]", "[0,4]") "}", 4, NN_EUNSUPPORTED, "unknown dtype")          \
    X(unknown_dtype_of_no_size, "{" T("a", "", "[0]", "[0,0]") "}", 0, NN_EUNSUPPORTED, "unknown dtype")     \
    X(offsets_reversed, "{" T("a", "U8", "[1]", "[1,0]") "}", 1, NN_EFORMAT, "end before they begin")        \
    X(end_behind_file, "{" T("a", "U8", "[2]", "[0,2]") "}", 1, NN_EFORMAT, "cut short")                     \
    X(end_addition_wraps, "{" T("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 1,       \
      NN_EFORMAT, "cut short")                                                                               \
    X(shape_larger_than_offsets, "{" T("a", "F32", "[100]", "[0,4]") "}", 4, NN_EFORMAT, "takes 400 bytes")  \
    X(shape_smaller_than_offsets, "{" T("a", "F32", "[1]", "[0,8]") "}", 8, NN_EFORMAT, "takes 4 bytes")     \
    X(zero_shape_with_data, "{" T("a", "F32", "[0]", "[0,8]") "}", 8, NN_EFORMAT, "takes 0 bytes")           \
    X(scalar_without_data, "{" T("a", "F32", "[]", "[0,0]") "}", 0, NN_EFORMAT, "takes 4 bytes")             \
    X(product_overflows, "{" T("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, NN_EFORMAT,            \
      "overflows")                                                                                           \
    X(product_overflows_before_zero, "{" T("a", "U8", "[4294967296,4294967296,0]", "[0,0]") "}", 0,          \
      NN_EFORMAT, "overflows")                                                                               \
    X(bits_overflow, "{" T("a", "F64", "[2305843009213693952]", "[0,0]") "}", 0, NN_EFORMAT, "overflows")    \
    X(bits_not_bytes, "{" T("a", "F4", "[3]", "[0,1]") "}", 1, NN_EFORMAT, "whole bytes")                    \
    X(gap_at_start, "{" T("a", "U8", "[1]", "[1,2]") "}", 2, NN_EFORMAT, "gap")                              \
    X(gap_between, "{" T("a", "U8", "[1]", "[0,1]") "," T("b", "U8", "[1]", "[2,3]") "}", 3, NN_EFORMAT,     \
      "gap")                                                                                                 \
    X(overlap, "{" T("a", "U8", "[2]", "[0,2]") "," T("b", "U8", "[2]", "[1,3]") "}", 3, NN_EFORMAT,         \
      "overlap")                                                                                             \
    X(same_data_twice, "{" T("a", "U8", "[2]", "[0,2]") "," T("b", "U8", "[2]", "[0,2]") "}", 2, NN_EFORMAT, \
      "overlap")                                                                                             \
    X(empty_tensor_inside_other, "{" T("a", "U8", "[2]", "[0,2]") "," T("b", "U8", "[0]", "[1,1]") "}", 2,   \
      NN_EFORMAT, "overlap")                                                                                 \
    X(trailing_bytes, "{" T("a", "U8", "[1]", "[0,1]") "}", 2, NN_EFORMAT, "1 bytes follow")                 \
    X(data_without_tensors, "{}", 5, NN_EFORMAT, "5 bytes follow")

static void expect(const char *header, size_t header_size, size_t data, int status, const char *reason)
{
    size_t size;
    unsigned char *file = make(header, header_size, data, &size);
    nni_text path;

    ck_assert_msg(parse_checked(file, size) == status, "status %d expected, message: %s", status, why.text);
    ck_assert_msg(strstr(why.text, reason) != NULL, "\"%s\" expected in: %s", reason, why.text);

    /* The same from a file. */
    store(in_folder("x", &path), file, size);
    {
        nn_safetensors *f;
        nn_message again = { "" };

        ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &again), status);
        ck_assert_ptr_null(f);
        ck_assert_str_eq(strchr(again.text, ':'), strchr(why.text, ':'));
    }
    free(file);
}

#define X(name, header, data, status, reason)                                                                \
    START_TEST(reject_##name) { expect(header, sizeof(header) - 1, data, status, reason); }                  \
    END_TEST
REJECT_LIST(X)
#undef X

/* ---------------------------------------------------- what is allowed, though odd */

static void accept(const char *header, size_t data)
{
    size_t size;
    unsigned char *file = make(header, strlen(header), data, &size);

    ck_assert_msg(parse_checked(file, size) == NN_OK, "%s", why.text);
    free(file);
}

START_TEST(accepts_odd_but_valid)
{
    accept("{}", 0);
    accept(" \t\r\n{ } \n", 0);
    accept("{\"__metadata__\":{}}", 0);
    accept("{ \"a\" : { \"shape\" : [ 1 ] , \"data_offsets\" : [ 0 , 1 ] , \"dtype\" : \"U8\" } } ", 1);
    accept("{" T("", "U8", "[1]", "[0,1]") "}", 1);
    accept("{" T("a{}[],:\\\"-1.5e", "U8", "[1]", "[0,1]") "}", 1);
    accept("{" T("\\u0061", "U8", "[1]", "[0,1]") "}", 1);
    accept("{" T("\\ud83d\\ude00", "U8", "[1]", "[0,1]") "}", 1);
    accept("{" T("a", "U8", "[1,1,1,1,1,1,1,1]", "[0,1]") "}", 1);
    accept("{" T("a", "F32", "[0,9223372036854775807]", "[0,0]") "}", 0);
    accept("{" T("a", "F4", "[2]", "[0,1]") "," T("b", "F6_E2M3", "[4]", "[1,4]") "}", 4);
    accept("{" T("z", "U8", "[1]", "[1,2]") "," T("a", "U8", "[1]", "[0,1]") "," T("m", "U8", "[0]",
                                                                                   "[1,1]") "}",
           2);
    accept("{" T("a", "U8", "[0]", "[0,0]") "," T("b", "U8", "[0]", "[0,0]") "}", 0);
}
END_TEST

START_TEST(every_type_is_listed)
{
    static const struct {
        const char *name;
        size_t bytes;
        int loadable;
    } types[] = { { "BOOL", 1, 1 },    { "U8", 1, 1 },      { "I8", 1, 1 },          { "F8_E5M2", 1, 0 },
                  { "F8_E4M3", 1, 0 }, { "F8_E8M0", 1, 0 }, { "F8_E4M3FNUZ", 1, 0 }, { "F8_E5M2FNUZ", 1, 0 },
                  { "I16", 2, 1 },     { "U16", 2, 1 },     { "F16", 2, 1 },         { "BF16", 2, 1 },
                  { "I32", 4, 1 },     { "U32", 4, 1 },     { "F32", 4, 1 },         { "C64", 8, 0 },
                  { "F64", 8, 1 },     { "I64", 8, 1 },     { "U64", 8, 1 } };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char header[128];
        size_t size;
        unsigned char *file;
        nn_safetensors *f;
        const nn_safetensors_entry *e;
        double value[8];
        int64_t bad, first;
        int rc;

        (void)snprintf(header, sizeof header, "{" T("t", "%s", "[1]", "[0,%zu]") "}", types[i].name,
                       types[i].bytes);
        file = make(header, strlen(header), types[i].bytes, &size);
        ck_assert_int_eq(nn_safetensors_parse(&f, file, size, NULL, NULL, &why), NN_OK);
        e = nn_safetensors_at(f, 0);
        ck_assert_str_eq(e->dtype, types[i].name);
        ck_assert_uint_eq(e->bytes, types[i].bytes);
        ck_assert_int_eq(e->loadable, types[i].loadable);
        ck_assert_str_eq(e->type == NN_DTYPES ? e->dtype : nn_dtype_name(e->type), types[i].name);
        rc = nn_safetensors_read(
            f, 0, types[i].name[0] == 'F' || types[i].name[0] == 'C' || e->type == NN_BF16 ? NN_F64 : NN_I64,
            value, 1, &why);
        ck_assert_int_eq(rc, types[i].loadable ? NN_OK : NN_EUNSUPPORTED);
        rc = nn_safetensors_nonfinite(f, 0, &bad, &first, &why);
        ck_assert_int_eq(rc, types[i].loadable ? NN_OK : NN_EUNSUPPORTED);
        ck_assert_int_eq(bad, 0);
        nn_safetensors_free(f);
        free(file);
    }
}
END_TEST

START_TEST(lookup)
{
    size_t size;
    unsigned char *file = make_sample(&size);
    nn_safetensors *f;

    ck_assert_int_eq(nn_safetensors_parse(&f, file, size, "sample", NULL, &why), NN_OK);
    check_sample(f);
    check_rules(f, file, size);
    ck_assert_str_eq(nn_safetensors_at(f, 0)->name, "steps");
    ck_assert_str_eq(nn_safetensors_at(f, 8)->name, "pix\"\\\303\251");
    ck_assert_ptr_null(nn_safetensors_at(f, -1));
    ck_assert_ptr_null(nn_safetensors_at(f, 9));
    ck_assert_int_eq(nn_safetensors_find(f, "a.weigh"), -1);
    ck_assert_int_eq(nn_safetensors_find(f, "zzz"), -1);
    ck_assert_int_eq(nn_safetensors_find(f, "__metadata__"), -1);
    ck_assert_ptr_null(nn_safetensors_metadata(f, "nothing"));
    ck_assert_ptr_null(nn_safetensors_metadata_at(f, 1));
    ck_assert_ptr_null(nn_safetensors_metadata_at(f, -1));
    nn_safetensors_free(f);
    free(file);
    nn_safetensors_free(NULL);
}
END_TEST

/* ------------------------------------------------------- length and other files */

static void expect_bytes(const void *bytes, size_t size, const char *reason)
{
    unsigned char *file = malloc(size ? size : 1);
    nn_safetensors *f;
    nni_text path;

    ck_assert_ptr_nonnull(file);
    memcpy(file, bytes, size);
    ck_assert_int_eq(parse_checked(file, size), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, reason) != NULL, "\"%s\" expected in: %s", reason, why.text);
    store(in_folder("other", &path), bytes, size);
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_EFORMAT);
    ck_assert_msg(strstr(why.text, reason) != NULL, "\"%s\" expected in: %s", reason, why.text);
    ck_assert_msg(strstr(why.text, path.s) != NULL, "path expected in: %s", why.text);
    free(file);
}

#define BYTES(text, reason) expect_bytes(text, sizeof(text) - 1, reason)

START_TEST(empty_file) { BYTES("", "empty"); }
END_TEST
START_TEST(seven_bytes) { BYTES("\2\0\0\0\0\0\0", "too few"); }
END_TEST
START_TEST(length_behind_file) { BYTES("\3\0\0\0\0\0\0\0{}", "cut short"); }
END_TEST
START_TEST(length_wraps)
{
    BYTES("\377\377\377\377\377\377\377\377{}", "cut short");
    BYTES("\370\377\377\377\377\377\377\377{}", "cut short");
    BYTES("\372\377\377\377\377\377\377\377{}", "cut short");
    BYTES("\0\0\0\0\0\0\0\200{}", "cut short");
}
END_TEST
START_TEST(html_page)
{
    BYTES("<!DOCTYPE html><html><head><title>Sign in</title></head></html>", "HTML");
    BYTES("\357\273\277\n <html>Not found</html>", "HTML");
    BYTES("<html>", "HTML");
}
END_TEST
START_TEST(lfs_pointer)
{
    BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:"
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nsize 12345\n",
          "git lfs pull");
}
END_TEST
START_TEST(zip_archive) { BYTES("PK\3\4\0\0\10\10\0\0\0\0\0\0archive/data.pkl", ".pth"); }
END_TEST
START_TEST(pickle) { BYTES("\200\2\212\nl\374\234F\371 j\250P\31.", "pickle"); }
END_TEST
START_TEST(other_files)
{
    BYTES("\37\213\10\0\0\0\0\0\0\3rest of it", "gzip");
    BYTES("\211HDF\r\n\32\n\0\0\0\0", "HDF5");
    BYTES("\223NUMPY\1\0v\0{'descr'", "NumPy");
    BYTES("GGUF\3\0\0\0\1\0\0\0", "GGUF");
    BYTES("\10\10\22\5libnn\32\0", "an ONNX model");
    BYTES("\211PNG\r\n\32\n\0\0\0\15IHDR", "PNG");
    BYTES("\377\330\377\340\0\20JFIF", "JPEG");
    BYTES("{\n  \"metadata\": {},\n  \"weight_map\": {}\n}\n", "JSON");
}
END_TEST

START_TEST(directory)
{
    nn_safetensors *f;

    ck_assert_int_eq(nn_safetensors_open(&f, folder, NULL, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "folder"));
    ck_assert_ptr_nonnull(strstr(why.text, folder));
    ck_assert_ptr_null(f);
}
END_TEST

START_TEST(device_file)
{
    nn_safetensors *f;

    ck_assert_int_eq(nn_safetensors_open(&f, "/dev/null", NULL, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "regular"));
}
END_TEST

START_TEST(missing_file)
{
    nn_safetensors *f;
    nni_text path;

    ck_assert_int_eq(nn_safetensors_open(&f, in_folder("absent", &path), NULL, &why), NN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(why.text, "absent"));
}
END_TEST

START_TEST(long_path_keeps_the_reason)
{
    char path[1200];
    nn_safetensors *f;

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    for (size_t i = 0; i < sizeof path - 1; i += 100)
        path[i] = '/';
    ck_assert_int_ne(nn_safetensors_open(&f, path, NULL, &why), NN_OK);
    ck_assert_ptr_nonnull(strstr(why.text, "No such file"));
}
END_TEST

START_TEST(header_limit)
{
    size_t size;
    unsigned char *file = make_sample(&size);
    nn_safetensors *f;
    size_t n = strlen(sample_header);

    ck_assert_int_eq(
        nn_safetensors_parse(&f, file, size, "x", &(nn_safetensors_opts){ .max_header = n }, &why), NN_OK);
    nn_safetensors_free(f);
    ck_assert_int_eq(
        nn_safetensors_parse(&f, file, size, "x", &(nn_safetensors_opts){ .max_header = n - 1 }, &why),
        NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "max_header"));
    free(file);
}
END_TEST

/* 16 MiB and one byte of blanks: refused unless the limit is raised, then valid. */
START_TEST(default_header_limit)
{
    size_t n = ((size_t)16 << 20) + 1, size;
    char *header = malloc(n);
    unsigned char *file;
    nn_safetensors *f;

    ck_assert_ptr_nonnull(header);
    memset(header, ' ', n);
    memcpy(header, "{}", 2);
    file = make(header, n, 0, &size);
    ck_assert_int_eq(nn_safetensors_parse(&f, file, size, "x", NULL, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "max_header"));
    ck_assert_int_eq(
        nn_safetensors_parse(&f, file, size, "x", &(nn_safetensors_opts){ .max_header = n }, &why), NN_OK);
    nn_safetensors_free(f);
    free(file);
    free(header);
}
END_TEST

/* A header of nearly 16 MiB announced by a file of 100 bytes must not cost 16 MiB. */
START_TEST(no_allocation_before_size_check)
{
    unsigned char file[100] = { 0, 0, 0xff };
    nn_safetensors *f;
    nni_text path;

    store(in_folder("liar", &path), file, sizeof file);
    watch();
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_EFORMAT);
    ck_assert_uint_lt(seen.largest, 4096);
    ck_assert_int_eq(seen.live, 0);
    ck_assert_int_eq(seen.open, 0);
}
END_TEST

/* ---------------------------------------------------------- damage of all kinds */

START_TEST(truncated_at_every_length)
{
    size_t size;
    unsigned char *file = make_sample(&size);
    nni_text path;

    for (size_t n = 0; n < size; n++) {
        unsigned char *cut = malloc(n ? n : 1);
        nn_safetensors *f;

        ck_assert_ptr_nonnull(cut);
        memcpy(cut, file, n);
        ck_assert_msg(parse_checked(cut, n) == NN_EFORMAT, "%zu of %zu bytes accepted", n, size);
        store(in_folder("cut", &path), cut, n);
        ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_EFORMAT);
        free(cut);
    }
    free(file);
}
END_TEST

START_TEST(every_byte_changed)
{
    size_t size;
    unsigned char *file = make_sample(&size);
    long accepted = 0, refused = 0;

    for (size_t i = 0; i < size; i++)
        for (unsigned change = 1; change < 256; change++) {
            int rc;

            file[i] ^= (unsigned char)change;
            rc = parse_checked(file, size);
            RULE(rc == NN_OK || rc == NN_EFORMAT || rc == NN_EUNSUPPORTED);
            if (rc)
                refused++;
            else
                accepted++;
            file[i] ^= (unsigned char)change;
        }
    /* Data bytes carry no rule, names and texts few: the rest must be noticed. */
    ck_assert_int_ge(accepted, (long)sizeof sample_data * 255);
    ck_assert_int_ge(refused, 60000);
    free(file);
}
END_TEST

START_TEST(random_mutations)
{
    static const char *const words[] = { "{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         "\"",
                                         ":",
                                         "0",
                                         "[0,0]",
                                         "\\u0",
                                         "-1",
                                         "{}",
                                         "\"a\"",
                                         "\"shape\"",
                                         "__metadata__",
                                         "F64",
                                         "1e",
                                         "\xff",
                                         "9223372036854775807",
                                         "18446744073709551616",
                                         "\"dtype\":\"U8\"," };
    nni_stream stream = nni_stream_of(42, 7);
    size_t size;
    unsigned char *file = make_sample(&size);
    int accepted = 0;

    for (uint64_t run = 0; run < 20000; run++) {
        uint32_t index = 0, edits = 1 + nni_below(&stream, run, 0, &index, 4);
        size_t n = size;
        unsigned char *m = malloc(size + 4 * 32), *exact;

        RULE(m);
        memcpy(m, file, size);
        while (edits--) {
            size_t at = nni_below(&stream, run, 0, &index, (uint32_t)n);
            uint32_t what = nni_below(&stream, run, 0, &index, 5);

            if (what == 0) {
                m[at] ^= (unsigned char)(1u << nni_below(&stream, run, 0, &index, 8));
            } else if (what == 1) {
                m[at] = (unsigned char)nni_below(&stream, run, 0, &index, 256);
            } else if (what == 2) {
                size_t cut = nni_below(&stream, run, 0, &index, 16);

                cut = cut < n - at ? cut : n - at - 1;
                memmove(m + at, m + at + cut, n - at - cut);
                n -= cut;
            } else if (what == 3) {
                const char *word = words[nni_below(&stream, run, 0, &index, sizeof words / sizeof words[0])];
                size_t add = strlen(word);

                memmove(m + at + add, m + at, n - at);
                memcpy(m + at, word, add);
                n += add;
            } else {
                size_t from = nni_below(&stream, run, 0, &index, (uint32_t)n), move = 20;

                move = move < n - at ? move : n - at;
                move = move < n - from ? move : n - from;
                memmove(m + at, m + from, move);
            }
        }
        /* Half of them get a length that fits, or few would come past the first check. */
        if (n > 8 + sizeof sample_data && run % 2)
            for (unsigned i = 0; i < 8; i++)
                m[i] = (unsigned char)((uint64_t)(n - 8 - sizeof sample_data) >> (8 * i));
        exact = malloc(n);
        RULE(exact);
        memcpy(exact, m, n);
        accepted += parse_checked(exact, n) == NN_OK;
        free(exact);
        free(m);
    }
    ck_assert_int_gt(accepted, 100);
    ck_assert_int_lt(accepted, 19000);
    free(file);
}
END_TEST

/* Headers that are large for no reason must stay cheap. */
START_TEST(hostile_headers_are_cheap)
{
    static const char *const units[] = { "[",          "{",  "{\"a\":", ",", "[1,",      "\"\":{},",
                                         "\"a\":[1],", "\"", "\\\"",    "1", "\"a\":\"", "    " };
    enum { BIG = 1 << 20 };

    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        size_t length = strlen(units[u]), size;
        char *header = malloc(BIG);
        unsigned char *file;
        double start;

        ck_assert_ptr_nonnull(header);
        for (size_t i = 0; i < BIG; i++)
            header[i] = units[u][i % length];
        header[0] = '{';
        file = make(header, BIG, 0, &size);
        watch();
        start = nni_seconds();
        ck_assert_int_ne(parse_checked(file, size), NN_OK);
        ck_assert_double_lt(nni_seconds() - start, 1.0);
        ck_assert_uint_lt(seen.largest, (size_t)1 << 20);
        ck_assert_int_eq(seen.live, 0);
        nni_seam = real;
        free(file);
        free(header);
    }
}
END_TEST

/* ----------------------------------------------------------------- reading */

static nn_safetensors *one(const char *type, const void *data, size_t bytes, int64_t n, unsigned char **file)
{
    char header[160];
    size_t size;
    nn_safetensors *f;

    /* A header of odd length puts the data on odd addresses. */
    (void)snprintf(header, sizeof header, "{" T("t", "%s", "[%lld]", "[0,%zu]") "}", type, (long long)n,
                   bytes);
    if (strlen(header) % 2 == 0)
        (void)strcat(header, " ");
    *file = make(header, strlen(header), bytes, &size);
    memcpy(*file + size - bytes, data, bytes);
    ck_assert_msg(!nn_safetensors_parse(&f, *file, size, "one", NULL, &why), "%s", why.text);
    ck_assert_uint_eq((uintptr_t)nn_safetensors_at(f, 0)->data % 2, 1);
    return f;
}

START_TEST(reads_floats)
{
    static const uint16_t f16[] = { 0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff,
                                    0x0001, 0x03ff, 0x7c00, 0xfc00, 0x7e00 };
    static const double f16_value[] = { 0,       -0.0,           1,        -2,        65504,
                                        0x1p-24, 1023 * 0x1p-24, INFINITY, -INFINITY, NAN };
    static const uint16_t bf16[] = { 0x3f80, 0xc040, 0x7f80, 0xffc0, 0x0001 };
    static const double bf16_value[] = { 1, -3, INFINITY, NAN, 0x1p-133 };
    static const double f64[] = { 0.1, 1 + 0x1p-24, 1 + 0x1.8p-23, -INFINITY, NAN, 1e-300 };
    static const float f64_value[] = { 0.1f, 1, 1 + 0x1p-22f, -INFINITY, NAN, 0 };
    float f[10];
    double d[10];
    uint16_t raw[10];
    int64_t bad, first;
    unsigned char *file;
    nn_safetensors *s = one("F16", f16, sizeof f16, 10, &file);

    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F32, f, 10, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F64, d, 10, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F16, raw, 10, &why), NN_OK);
    ck_assert_mem_eq(raw, f16, sizeof f16);
    for (int i = 0; i < 10; i++) {
        ck_assert(isnan(f16_value[i]) ? isnan(f[i]) && isnan(d[i])
                                      : f[i] == (float)f16_value[i] && d[i] == f16_value[i]);
        ck_assert(isnan(f16_value[i]) || signbit(d[i]) == signbit(f16_value[i]));
    }
    ck_assert_int_eq(nn_safetensors_nonfinite(s, 0, &bad, &first, &why), NN_OK);
    ck_assert_int_eq(bad, 3);
    ck_assert_int_eq(first, 7);
    nn_safetensors_free(s);
    free(file);

    s = one("BF16", bf16, sizeof bf16, 5, &file);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F64, d, 5, &why), NN_OK);
    for (int i = 0; i < 5; i++)
        ck_assert(isnan(bf16_value[i]) ? isnan(d[i]) : d[i] == bf16_value[i]);
    ck_assert_int_eq(nn_safetensors_nonfinite(s, 0, &bad, &first, &why), NN_OK);
    ck_assert_int_eq(bad, 2);
    ck_assert_int_eq(first, 2);
    nn_safetensors_free(s);
    free(file);

    s = one("F64", f64, sizeof f64, 6, &file);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F32, f, 6, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F64, d, 6, &why), NN_OK);
    ck_assert_mem_eq(d, f64, sizeof f64);
    for (int i = 0; i < 6; i++)
        ck_assert(isnan(f64_value[i]) ? isnan(f[i]) : f[i] == f64_value[i]);
    ck_assert_int_eq(nn_safetensors_nonfinite(s, 0, &bad, &first, &why), NN_OK);
    ck_assert_int_eq(bad, 2);
    ck_assert_int_eq(first, 3);
    nn_safetensors_free(s);
    free(file);

    s = one("F32", b_weight, sizeof b_weight, 6, &file);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F64, d, 6, &why), NN_OK);
    for (int i = 0; i < 6; i++)
        ck_assert(d[i] == (double)b_weight[i]);
    ck_assert_int_eq(nn_safetensors_nonfinite(s, 0, &bad, &first, &why), NN_OK);
    ck_assert_int_eq(bad, 1);
    ck_assert_int_eq(first, 4);
    nn_safetensors_free(s);
    free(file);
}
END_TEST

START_TEST(refuses_f64_too_large_for_f32)
{
    static const double f64[] = { 1, 3.5e38 };
    float f[2];
    unsigned char *file;
    nn_safetensors *s = one("F64", f64, sizeof f64, 2, &file);

    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F32, f, 2, &why), NN_EFORMAT);
    ck_assert_ptr_nonnull(strstr(why.text, "element 1"));
    nn_safetensors_free(s);
    free(file);
}
END_TEST

START_TEST(reads_integers)
{
    static const int8_t i8[] = { -128, 127, -1 };
    static const int16_t i16[] = { INT16_MIN, INT16_MAX, -1 };
    static const uint16_t u16[] = { 0, UINT16_MAX, 1 };
    static const int32_t i32[] = { INT32_MIN, INT32_MAX, -1 };
    static const uint32_t u32[] = { 0, UINT32_MAX, 1 };
    static const int64_t i64[] = { INT64_MIN, INT64_MAX, -1 };
    static const uint64_t u64[] = { 0, INT64_MAX, 1 };
    static const uint8_t truth[] = { 0, 1, 1 };
    static const struct {
        const char *type;
        const void *data;
        size_t bytes;
        int64_t value[3];
        bool i32, u8;
    } cases[] = {
        { "I8", i8, sizeof i8, { -128, 127, -1 }, true, false },
        { "I16", i16, sizeof i16, { INT16_MIN, INT16_MAX, -1 }, true, false },
        { "U16", u16, sizeof u16, { 0, UINT16_MAX, 1 }, true, false },
        { "I32", i32, sizeof i32, { INT32_MIN, INT32_MAX, -1 }, true, false },
        { "U32", u32, sizeof u32, { 0, UINT32_MAX, 1 }, false, false },
        { "I64", i64, sizeof i64, { INT64_MIN, INT64_MAX, -1 }, false, false },
        { "U64", u64, sizeof u64, { 0, INT64_MAX, 1 }, false, false },
        { "U8", pix, sizeof pix, { 0, 128, 255 }, true, true },
        { "BOOL", truth, sizeof truth, { 0, 1, 1 }, true, true },
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        int64_t wide_value[3], bad, first;
        int32_t narrow[3];
        uint8_t byte[3];
        float f[3];
        unsigned char *file;
        nn_safetensors *s = one(cases[c].type, cases[c].data, cases[c].bytes, 3, &file);

        ck_assert_int_eq(nn_safetensors_read(s, 0, NN_I64, wide_value, 3, &why), NN_OK);
        ck_assert_mem_eq(wide_value, cases[c].value, sizeof wide_value);
        ck_assert_int_eq(nn_safetensors_read(s, 0, NN_I32, narrow, 3, &why),
                         cases[c].i32 ? NN_OK : NN_EFORMAT);
        ck_assert_int_eq(nn_safetensors_read(s, 0, NN_U8, byte, 3, &why), cases[c].u8 ? NN_OK : NN_EFORMAT);
        for (int i = 0; i < 3; i++) {
            ck_assert(!cases[c].i32 || narrow[i] == cases[c].value[i]);
            ck_assert(!cases[c].u8 || byte[i] == cases[c].value[i]);
        }
        ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F32, f, 3, &why), NN_EUNSUPPORTED);
        ck_assert_int_eq(nn_safetensors_nonfinite(s, 0, &bad, &first, &why), NN_OK);
        ck_assert_int_eq(bad, 0);
        nn_safetensors_free(s);
        free(file);
    }
}
END_TEST

START_TEST(read_errors)
{
    static const uint64_t huge[] = { UINT64_MAX };
    static const uint8_t untrue[] = { 2 };
    int64_t x[3];
    unsigned char *file;
    nn_safetensors *s = one("U64", huge, sizeof huge, 1, &file);

    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_I64, x, 1, &why), NN_EFORMAT);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_DTYPES, x, 1, &why), NN_EUNSUPPORTED);
    ck_assert_int_eq(nn_safetensors_read(s, 1, NN_I64, x, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_read(s, -1, NN_I64, x, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_nonfinite(s, 1, x, x, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_I64, x, 2, &why), NN_ESHAPE);
    ck_assert_ptr_nonnull(strstr(why.text, "[1]"));
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_I64, x, 0, NULL), NN_ESHAPE);
    nn_safetensors_free(s);
    free(file);
    s = one("BOOL", untrue, 1, 1, &file);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_U8, x, 1, &why), NN_EFORMAT);
    nn_safetensors_free(s);
    free(file);
    s = one("F32", untrue, 0, 0, &file);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F32, NULL, 0, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_read(s, 0, NN_F64, NULL, 0, &why), NN_OK);
    nn_safetensors_free(s);
    free(file);
}
END_TEST

START_TEST(mapped_and_copied)
{
    nni_text path;
    nn_safetensors *f;

    (void)in_folder("s", &path);
    ck_assert_int_eq(write_sample(path.s), NN_OK);
    watch();
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_OK);
    ck_assert_ptr_nonnull(strchr(seen.order, 'm'));
    check_sample(f);
    for (int64_t i = 0; i < nn_safetensors_count(f); i++) { /* what we write is aligned for its type */
        const nn_safetensors_entry *e = nn_safetensors_at(f, i);

        ck_assert_uint_eq((uintptr_t)e->data % nn_dtype_size(e->type), 0);
    }
    nn_safetensors_free(f);
    ck_assert_int_eq(seen.live, 0);

    watch();
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, &(nn_safetensors_opts){ .copy = 1 }, &why), NN_OK);
    ck_assert_ptr_null(strchr(seen.order, 'm'));
    store(path.s, "gone", 4);
    check_sample(f);
    nn_safetensors_free(f);
    ck_assert_int_eq(seen.live, 0);
}
END_TEST

/* An open file survives its replacement: the map keeps the old one. */
START_TEST(replaced_while_open)
{
    nni_text path;
    nn_safetensors *f, *g;

    (void)in_folder("s", &path);
    ck_assert_int_eq(write_sample(path.s), NN_OK);
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_write(path.s, NULL, 0, NULL, 0, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_open(&g, path.s, NULL, &why), NN_OK);
    check_sample(f);
    ck_assert_int_eq(nn_safetensors_count(g), 0);
    nn_safetensors_free(f);
    nn_safetensors_free(g);
}
END_TEST

static int stale_stat(const char *path, struct nni_stat *out)
{
    int rc = real.stat(path, out);

    out->size += 1 << 20;
    return rc;
}

/* stat told a size that the file no longer has when it is opened. */
START_TEST(shrunk_between_stat_and_open)
{
    static const char header[] = "{" T("a", "U8", "[1048577]", "[0,1048577]") "}";
    size_t size;
    unsigned char *file = make(header, sizeof header - 1, 1, &size);
    nni_text path;
    nn_safetensors *f;

    store(in_folder("s", &path), file, size);
    nni_seam.stat = stale_stat;
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, "shorter"));
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, &(nn_safetensors_opts){ .copy = 1 }, &why), NN_EIO);
    free(file);
}
END_TEST

/* Offsets beyond 32 bits, in a file that is a hole but for its ends. */
START_TEST(beyond_four_gib)
{
    static const char header[] = "{" T("big", "U8", "[5368709120]", "[0,5368709120]") "," T(
        "tail", "F32", "[1]", "[5368709120,5368709124]") "}";
    size_t size;
    unsigned char *file = make(header, sizeof header - 1, 0, &size);
    nni_text path;
    nn_safetensors *f;
    float tail = 2.5f, got = 0;
    int fd;

    store(in_folder("hole", &path), file, size);
    fd = open(path.s, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, &tail, sizeof tail, (off_t)size + 5368709120), sizeof tail);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_msg(!nn_safetensors_open(&f, path.s, NULL, &why), "%s", why.text);
    ck_assert_int_eq(nn_safetensors_at(f, 0)->count, INT64_C(5368709120));
    ck_assert_int_eq(nn_safetensors_read(f, 1, NN_F32, &got, 1, &why), NN_OK);
    ck_assert(got == tail);
    nn_safetensors_free(f);
    free(file);
}
END_TEST

/* ------------------------------------------------------------------ writing */

START_TEST(writes_what_the_reference_writes)
{
    size_t size;
    unsigned char *file = make_sample(&size), got[2000];
    nn_safetensors_item reversed[SAMPLE_ITEMS];
    nni_text path;

    (void)in_folder("s", &path);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SAMPLE_ITEMS; i++)
            reversed[i] = sample_items[round ? SAMPLE_ITEMS - 1 - i : i];
        ck_assert_msg(!nn_safetensors_write(path.s, reversed, SAMPLE_ITEMS, sample_metadata, 1, &why), "%s",
                      why.text);
        ck_assert_uint_eq(fetch(path.s, got, sizeof got), size);
        ck_assert_mem_eq(got, file, size);
    }
    ck_assert_int_eq(files(false), 1);
    free(file);
}
END_TEST

START_TEST(writes_an_empty_file)
{
    unsigned char got[64];
    nni_text path;

    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), NULL, 0, NULL, 0, &why), NN_OK);
    ck_assert_uint_eq(fetch(path.s, got, sizeof got), 16);
    ck_assert_mem_eq(got, "\10\0\0\0\0\0\0\0{}      ", 16);
}
END_TEST

START_TEST(writes_metadata_by_key)
{
    static const nn_pair pairs[] = { { "b", "2" }, { "a\"", "\b\f\r\t\\\x7f" }, { "", "" } };
    static const char header[] =
        "{\"__metadata__\":{\"\":\"\",\"a\\\"\":\"\\b\\f\\r\\t\\\\\x7f\",\"b\":\"2\"}}";
    unsigned char got[128];
    nn_safetensors *f;
    nni_text path;
    size_t n;

    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), NULL, 0, pairs, 3, &why), NN_OK);
    n = fetch(path.s, got, sizeof got);
    ck_assert_uint_eq(n % 8, 0);
    ck_assert_mem_eq(got + 8, header, sizeof header - 1);
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(nn_safetensors_metadata(f, pairs[i].key), pairs[i].value);
    nn_safetensors_free(f);
}
END_TEST

static void refuse(nn_safetensors_item item, int status, const char *reason)
{
    nni_text path;

    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), &item, 1, NULL, 0, &why), status);
    ck_assert_msg(strstr(why.text, reason) != NULL, "\"%s\" expected in: %s", reason, why.text);
    ck_assert_int_eq(files(false), 0);
}

START_TEST(writer_refuses)
{
    static const float x[4] = { 0 };
    const nn_shape four = { { 4 }, 1 };
    const nn_safetensors_item twice[] = { { "a", NN_F32, four, x },
                                          { "b", NN_U8, four, x },
                                          { "a", NN_U8, four, x } };
    const nn_safetensors_item colossal[] = { { "a", NN_U8, { { INT64_MAX - 8 }, 1 }, x },
                                             { "b", NN_U8, { { INT64_MAX - 8 }, 1 }, x } };
    const nn_pair double_pair[] = { { "a", "1" }, { "a", "2" } };
    const nn_pair bad_pairs[] = {
        { NULL, "" }, { "a", NULL }, { "\xff", "" }, { "a", "\xc3" }, { "a\n", "" }
    };
    nni_text path;

    (void)in_folder("s", &path);
    refuse((nn_safetensors_item){ NULL, NN_F32, four, x }, NN_EINVAL, "no name");
    refuse((nn_safetensors_item){ "a\n", NN_F32, four, x }, NN_EINVAL, "control");
    refuse((nn_safetensors_item){ "a\xc0\xaf", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\xed\xa0\x80", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\xf4\x90\x80\x80", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\xe2\x82", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\xe0\x9f\xbf", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\xf0\x8f\xbf\xbf", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\x80", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "a\xff", NN_F32, four, x }, NN_EINVAL, "UTF-8");
    refuse((nn_safetensors_item){ "__metadata__", NN_F32, four, x }, NN_EINVAL, "reserved");
    refuse((nn_safetensors_item){ "a", NN_DTYPES, four, x }, NN_EINVAL, "type");
    refuse((nn_safetensors_item){ "a", NN_F32, four, NULL }, NN_EINVAL, "no data");
    refuse((nn_safetensors_item){ "a", NN_F32, { { -1 }, 1 }, x }, NN_ESHAPE, "[-1]");
    refuse((nn_safetensors_item){ "a", NN_F32, { { 1 }, NN_MAX_RANK + 1 }, x }, NN_ESHAPE, "rank");
    refuse((nn_safetensors_item){ "a", NN_F64, { { INT64_MAX / 2 }, 1 }, x }, NN_ESHAPE, "shape");
    ck_assert_int_eq(nn_safetensors_write(path.s, twice, 3, NULL, 0, &why), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(why.text, "\"a\" is given twice"));
    ck_assert_int_eq(nn_safetensors_write(path.s, colossal, 2, NULL, 0, &why), NN_ESHAPE);
    ck_assert_int_eq(nn_safetensors_write(path.s, twice, 2, double_pair, 2, &why), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(why.text, "\"a\" is given twice"));
    for (size_t i = 0; i < sizeof bad_pairs / sizeof bad_pairs[0]; i++)
        ck_assert_int_eq(nn_safetensors_write(path.s, twice, 2, &bad_pairs[i], 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_write(path.s, NULL, 1, NULL, 0, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_write(path.s, NULL, 0, NULL, 1, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_write(path.s, NULL, -1, NULL, 0, &why), NN_EINVAL);
    ck_assert_int_eq(nn_safetensors_write(NULL, NULL, 0, NULL, 0, &why), NN_EINVAL);
    ck_assert_int_eq(files(false), 0);
}
END_TEST

START_TEST(writer_refuses_a_header_readers_refuse)
{
    size_t n = (size_t)17 << 20;
    char *value = malloc(n + 1);
    nn_pair pair = { "a", value };
    nni_text path;

    ck_assert_ptr_nonnull(value);
    memset(value, 'x', n);
    value[n] = 0;
    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), NULL, 0, &pair, 1, &why), NN_EINVAL);
    ck_assert_ptr_nonnull(strstr(why.text, "header"));
    ck_assert_int_eq(files(false), 0);
    free(value);
}
END_TEST

/* First and last code points of each length, and those around the surrogates. */
START_TEST(writes_all_of_unicode)
{
    static const nn_pair pairs[] = { { "\x7e\302\240\337\277", "\302\200" },
                                     { "\340\240\200\355\237\277", "\356\200\200\357\277\277" },
                                     { "\360\220\200\200", "\364\217\277\277" } };
    nn_safetensors *f;
    nni_text path;

    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), NULL, 0, pairs, 3, &why), NN_OK);
    ck_assert_msg(!nn_safetensors_open(&f, path.s, NULL, &why), "%s", why.text);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(nn_safetensors_metadata(f, pairs[i].key), pairs[i].value);
    nn_safetensors_free(f);
}
END_TEST

/* Messages cut long names between characters, not inside one. */
START_TEST(long_names_in_messages)
{
    char header[700] = "{\"", *at;
    size_t size;
    unsigned char *file;

    for (int i = 0; i < 150; i++)
        (void)strcat(header, "\303\251");
    (void)strcat(header, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}");
    file = make(header, strlen(header), 1, &size);
    ck_assert_int_eq(parse_checked(file, size), NN_EFORMAT);
    at = strstr(why.text, "\"...");
    ck_assert_ptr_nonnull(at);
    ck_assert(!memcmp(at + 4, "\303\251", 2));
    ck_assert_ptr_nonnull(strstr(why.text, "end before they begin"));
    free(file);
}
END_TEST

START_TEST(many_tensors)
{
    enum { N = 3000 };
    static int32_t value[N];
    static char name[N][32];
    static nn_safetensors_item item[N];
    nn_safetensors *f;
    nni_text path;

    for (int i = 0; i < N; i++) {
        value[i] = i;
        (void)snprintf(name[i], sizeof name[i], "block.%d.weight", i * 7919 % N);
        item[i] = (nn_safetensors_item){ name[i], NN_I32, NN_SHAPE1(1), &value[i] };
    }
    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), item, N, NULL, 0, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_OK);
    ck_assert_int_eq(nn_safetensors_count(f), N);
    for (int i = 0; i < N; i++) {
        int64_t at = nn_safetensors_find(f, name[i]);
        int32_t got;

        ck_assert_int_eq(nn_safetensors_read(f, at, NN_I32, &got, 1, &why), NN_OK);
        ck_assert_int_eq(got, i);
    }
    nn_safetensors_free(f);
}
END_TEST

START_TEST(slow_and_interrupted)
{
    nni_text path;
    nn_safetensors *f;

    watch();
    seen.slow = true;
    ck_assert_int_eq(write_sample(in_folder("s", &path)), NN_OK);
    ck_assert_int_eq(nn_safetensors_open(&f, path.s, &(nn_safetensors_opts){ .copy = 1 }, &why), NN_OK);
    check_sample(f);
    nn_safetensors_free(f);
    ck_assert_int_eq(seen.live, 0);
    ck_assert_int_eq(seen.open, 0);
}
END_TEST

/* ---------------------------------------------------------- failing resources */

START_TEST(order_of_operations)
{
    nni_text path;
    const char *at;

    watch();
    ck_assert_int_eq(write_sample(in_folder("s", &path)), NN_OK);
    at = seen.order;
    at += *at == 't'; /* what is there now? */
    ck_assert_int_eq(*at++, 'o');
    ck_assert_uint_ge(strspn(at, "w"), 2);
    at += strspn(at, "w");
    ck_assert_str_eq(at, "scnosc"); /* sync, close, rename; then open, sync and close the folder */
}
END_TEST

START_TEST(no_second_copy_of_the_data)
{
    size_t n = (size_t)8 << 20;
    void *data = calloc(n, 1);
    nn_safetensors_item item = { "a", NN_U8, NN_SHAPE1((int64_t)n), data };
    nni_text path;

    ck_assert_ptr_nonnull(data);
    watch();
    ck_assert_int_eq(nn_safetensors_write(in_folder("s", &path), &item, 1, NULL, 0, &why), NN_OK);
    ck_assert_uint_lt(seen.largest, 65536);
    free(data);
}
END_TEST

START_TEST(nth_allocation_fails)
{
    size_t size;
    unsigned char *file = make_sample(&size);
    nni_text path;
    bool done[3] = { false };

    (void)in_folder("s", &path);
    for (int n = 1; !done[0] || !done[1] || !done[2]; n++) {
        ck_assert_int_lt(n, 100);
        for (int what = 0; what < 3; what++) {
            nn_safetensors *f = NULL;
            int rc;

            (void)files(true);
            store(path.s, file, size);
            watch();
            seen.fail_alloc = n;
            if (what == 0)
                rc = nn_safetensors_parse(&f, file, size, "x", NULL, &why);
            else if (what == 1)
                rc = nn_safetensors_open(&f, path.s, &(nn_safetensors_opts){ .copy = 1 }, &why);
            else
                rc = write_sample(path.s);
            done[what] = seen.allocs < n;
            ck_assert_int_eq(rc, done[what] ? NN_OK : NN_ENOMEM);
            nn_safetensors_free(f);
            ck_assert_int_eq(seen.live, 0);
            ck_assert_int_eq(seen.open, 0);
            nni_seam = real;
            ck_assert_int_eq(files(false), 1);
            ck_assert_int_eq(nn_safetensors_open(&f, path.s, NULL, &why), NN_OK);
            check_sample(f);
            nn_safetensors_free(f);
        }
    }
    free(file);
}
END_TEST

static int json_allocs, json_fail, json_live;

static void *json_alloc(size_t size)
{
    void *memory = ++json_allocs == json_fail ? NULL : malloc(size);

    json_live += memory != NULL;
    return memory;
}

static void json_free(void *memory)
{
    json_live -= memory != NULL;
    free(memory);
}

/* jansson does not notice every failure of its own allocations. Whatever it makes of one, a name or a text
 * that differs from the file's must not come out. */
START_TEST(nth_allocation_of_jansson_fails)
{
    size_t size;
    static const char header[] =
        "{\"__metadata__\":{\"a key of more than 16 bytes\":\"\\u00e9\\ud83d\\ude00 \\u20ac and a "
        "value that is longer than 32 bytes\"}," T("features.0.0.block.weight", "U8", "[1]", "[0,1]") "}";
    unsigned char *file = make(header, sizeof header - 1, 1, &size);
    int failed = 0;

    json_object_seed(1); /* or the number of allocations would not be the same each time */
    json_set_alloc_funcs(json_alloc, json_free);
    for (json_fail = 1;; json_fail++) {
        nn_safetensors *f;
        int rc;

        json_allocs = 0;
        watch();
        rc = nn_safetensors_parse(&f, file, size, "x", NULL, &why);
        if (!rc) {
            ck_assert_int_eq(nn_safetensors_find(f, "features.0.0.block.weight"), 0);
            ck_assert_str_eq(
                nn_safetensors_metadata(f, "a key of more than 16 bytes"),
                "\303\251\360\237\230\200 \342\202\254 and a value that is longer than 32 bytes");
        }
        failed += rc != NN_OK;
        nn_safetensors_free(f);
        ck_assert_int_eq(json_live, 0);
        ck_assert_int_eq(seen.live, 0);
        nni_seam = real;
        if (json_allocs < json_fail) {
            ck_assert_int_eq(rc, NN_OK);
            break;
        }
    }
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_gt(failed, 20);
    free(file);
}
END_TEST

START_TEST(nth_operation_of_open_fails)
{
    nni_text path;
    bool done = false;

    ck_assert_int_eq(write_sample(in_folder("s", &path)), NN_OK);
    for (int mode = 0; mode < 4; mode++) {
        done = false;
        for (int n = 1; !done; n++) {
            nn_safetensors *f;
            int rc;

            ck_assert_int_lt(n, 100);
            watch();
            seen.fail_at = n;
            seen.forever = mode & 1;
            rc = nn_safetensors_open(&f, path.s, &(nn_safetensors_opts){ .copy = mode >> 1 }, &why);
            done = seen.calls < n;
            /* Two operations may fail: map (then the data are read) and the last close. */
            if (rc) {
                ck_assert_int_eq(rc, NN_EIO);
                ck_assert_ptr_nonnull(strstr(why.text, "Input/output error"));
                ck_assert_ptr_null(f);
            } else {
                ck_assert(done || seen.order[n - 1] == 'm' || seen.order[n - 1] == 'c');
                check_sample(f);
            }
            nn_safetensors_free(f);
            ck_assert_int_eq(seen.live, 0);
            ck_assert_int_eq(seen.open, 0);
            nni_seam = real;
        }
    }
}
END_TEST

START_TEST(nth_operation_of_write_fails)
{
    static const uint8_t other[3] = { 9, 8, 7 };
    const nn_safetensors_item item = { "other", NN_U8, { { 3 }, 1 }, other };
    unsigned char old[2000], new[2000], now[2000];
    nni_text path;
    size_t n_old, n_new, n_now;

    (void)in_folder("s", &path);
    ck_assert_int_eq(nn_safetensors_write(path.s, &item, 1, NULL, 0, &why), NN_OK);
    n_old = fetch(path.s, old, sizeof old);
    ck_assert_int_eq(write_sample(path.s), NN_OK);
    n_new = fetch(path.s, new, sizeof new);
    for (int forever = 0; forever < 2; forever++) {
        bool done = false;

        for (int n = 1; !done; n++) {
            bool replaced;
            int rc;

            ck_assert_int_lt(n, 100);
            (void)files(true);
            store(path.s, old, n_old);
            watch();
            seen.fail_at = n;
            seen.forever = forever;
            rc = write_sample(path.s);
            done = seen.calls < n;
            replaced = strchr(seen.order, 'n') && strchr(seen.order, 'n') - seen.order + 1 < n;
            /* The folder's close carries no data. */
            if (done || (n == (int)strlen(seen.order) && seen.order[n - 1] == 'c' && replaced))
                ck_assert_int_eq(rc, NN_OK);
            else
                ck_assert_int_eq(rc, NN_EIO);
            ck_assert_int_eq(seen.live, 0);
            ck_assert_int_eq(seen.open, 0);
            nni_seam = real;
            n_now = fetch(path.s, now, sizeof now);
            ck_assert_uint_eq(n_now, replaced || done ? n_new : n_old);
            ck_assert_mem_eq(now, replaced || done ? new : old, n_now);
            if (!forever)
                ck_assert_int_eq(files(false), 1);
        }
    }
}
END_TEST

START_TEST(unwritable_folder)
{
    nni_text path;

    ck_assert_int_eq(write_sample(in_folder("absent/s", &path)), NN_EIO);
    ck_assert_ptr_nonnull(strstr(why.text, path.s));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *reject = tcase_create("reject"), *read = tcase_create("read"), *write = tcase_create("write"),
          *fault = tcase_create("fault");
    TCase *all[] = { reject, read, write, fault };

    for (int i = 0; i < 4; i++) {
        tcase_add_checked_fixture(all[i], setup, teardown);
        tcase_set_timeout(all[i], 300);
        suite_add_tcase(suite, all[i]);
    }
#define X(name, header, data, status, reason) tcase_add_test(reject, reject_##name);
    REJECT_LIST(X)
#undef X
    tcase_add_test(reject, empty_file);
    tcase_add_test(reject, seven_bytes);
    tcase_add_test(reject, length_behind_file);
    tcase_add_test(reject, length_wraps);
    tcase_add_test(reject, html_page);
    tcase_add_test(reject, lfs_pointer);
    tcase_add_test(reject, zip_archive);
    tcase_add_test(reject, pickle);
    tcase_add_test(reject, other_files);
    tcase_add_test(reject, directory);
    tcase_add_test(reject, device_file);
    tcase_add_test(reject, missing_file);
    tcase_add_test(reject, long_path_keeps_the_reason);
    tcase_add_test(reject, header_limit);
    tcase_add_test(reject, default_header_limit);
    tcase_add_test(reject, no_allocation_before_size_check);
    tcase_add_test(reject, truncated_at_every_length);
    tcase_add_test(reject, every_byte_changed);
    tcase_add_test(reject, random_mutations);
    tcase_add_test(reject, hostile_headers_are_cheap);
    tcase_add_test(read, accepts_odd_but_valid);
    tcase_add_test(read, every_type_is_listed);
    tcase_add_test(read, lookup);
    tcase_add_test(read, reads_floats);
    tcase_add_test(read, refuses_f64_too_large_for_f32);
    tcase_add_test(read, reads_integers);
    tcase_add_test(read, read_errors);
    tcase_add_test(read, mapped_and_copied);
    tcase_add_test(read, replaced_while_open);
    tcase_add_test(read, shrunk_between_stat_and_open);
    tcase_add_test(read, beyond_four_gib);
    tcase_add_test(write, writes_what_the_reference_writes);
    tcase_add_test(write, writes_an_empty_file);
    tcase_add_test(write, writes_metadata_by_key);
    tcase_add_test(write, writer_refuses);
    tcase_add_test(write, writer_refuses_a_header_readers_refuse);
    tcase_add_test(write, writes_all_of_unicode);
    tcase_add_test(write, long_names_in_messages);
    tcase_add_test(write, many_tensors);
    tcase_add_test(write, slow_and_interrupted);
    tcase_add_test(fault, order_of_operations);
    tcase_add_test(fault, no_second_copy_of_the_data);
    tcase_add_test(fault, nth_allocation_fails);
    tcase_add_test(fault, nth_allocation_of_jansson_fails);
    tcase_add_test(fault, nth_operation_of_open_fails);
    tcase_add_test(fault, nth_operation_of_write_fails);
    tcase_add_test(fault, unwritable_folder);

    return suite_run(suite);
}
