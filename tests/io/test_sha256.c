/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of files: the published vectors, block boundaries, and what is said when a file cannot be read.
 */
#include "io/io.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct nni_seam real;
static char path[64];
static nn_message why;
static int live, calls, fail_at;

static void *count_alloc(size_t size)
{
    live++;
    return real.alloc(size);
}

static void count_free(void *memory)
{
    live--;
    real.free(memory);
}

static void *no_alloc(size_t size)
{
    (void)size;
    return NULL;
}

static int64_t failing_read(int fd, void *data, size_t size)
{
    if (++calls == fail_at) {
        errno = EIO;
        return -1;
    }
    return real.read(fd, data, size > 50000 ? 50000 : size);
}

static void setup(void)
{
    int fd;

    real = nni_seam;
    (void)snprintf(path, sizeof path, "/tmp/nn-sha256-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
}

static void teardown(void)
{
    nni_seam = real;
    (void)remove(path);
}

/* `text` again and again until `size` bytes are written. */
static void store(const char *text, size_t size)
{
    FILE *f = fopen(path, "wb");
    size_t n = strlen(text);

    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < size; i++)
        ck_assert(fputc(text[i % n], f) != EOF);
    ck_assert_int_eq(fclose(f), 0);
}

static void expect(const char *want)
{
    char hex[65];

    ck_assert_msg(!nni_sha256_file(path, hex, &why), "%s", why.text);
    ck_assert_str_eq(hex, want);
}

/* FIPS 180-4 examples; a million a's is the long one. */
START_TEST(published_vectors)
{
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    FILE *f;

    expect("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    store("abc", 3);
    expect("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    store(two_blocks, sizeof two_blocks - 1);
    expect("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 1000; i++) {
        char block[1000];

        memset(block, 'a', sizeof block);
        ck_assert_uint_eq(fwrite(block, 1, sizeof block, f), sizeof block);
    }
    ck_assert_int_eq(fclose(f), 0);
    expect("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

/* A file whose size is a multiple of the reading block, and short reads. */
START_TEST(block_boundary)
{
    char whole[65], pieces[65];
    FILE *f = fopen(path, "wb");
    static char block[1 << 17];

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(block, 1, sizeof block, f), sizeof block);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(nni_sha256_file(path, whole, &why), NN_OK);
    ck_assert_str_eq(whole, "fa43239bcee7b97ca62f007cc68487560a39e19f74f3dde7486db3f98df8e471");
    nni_seam.read = failing_read;
    ck_assert_int_eq(nni_sha256_file(path, pieces, &why), NN_OK);
    ck_assert_str_eq(whole, pieces);
}
END_TEST

START_TEST(errors)
{
    char hex[65];
    static char block[300000];
    FILE *f;

    ck_assert_int_eq(nni_sha256_file("/nonexistent/x", hex, &why), NN_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(why.text, "/nonexistent/x"));
    ck_assert_str_eq(hex, "");
    ck_assert_int_eq(nni_sha256_file("/tmp", hex, &why), NN_EFORMAT);
    nni_seam.alloc = no_alloc;
    ck_assert_int_eq(nni_sha256_file(path, hex, &why), NN_ENOMEM);
    nni_seam = real;

    f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(block, 1, sizeof block, f), sizeof block);
    ck_assert_int_eq(fclose(f), 0);
    nni_seam.alloc = count_alloc;
    nni_seam.free = count_free;
    nni_seam.read = failing_read;
    for (fail_at = 1;; fail_at++) {
        int rc;

        calls = 0;
        rc = nni_sha256_file(path, hex, &why);
        ck_assert_int_eq(live, 0);
        if (calls < fail_at) {
            ck_assert_int_eq(rc, NN_OK);
            break;
        }
        ck_assert_int_eq(rc, NN_EIO);
        ck_assert_str_eq(hex, "");
        ck_assert_ptr_nonnull(strstr(why.text, path));
    }
    ck_assert_int_gt(fail_at, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sha256");
    TCase *tc = tcase_create("sha256");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, published_vectors);
    tcase_add_test(tc, block_boundary);
    tcase_add_test(tc, errors);
    return suite_run(suite);
}
