/* SPDX-License-Identifier: MIT
 *
 * Running the built programs as a user does and looking at what is left: exit code, both outputs, files.
 * Checkpoints are tiny networks with random weights, made with the programs' own code; what they should
 * say of an image is computed here through the library.
 */
#ifndef TESTS_APPS_PROGRAMS_H
#define TESTS_APPS_PROGRAMS_H

#include "../data/tree.h"
#include "../vision/jpegs.h"

#include <apps/network.h>

#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <zlib.h>

enum { SIDE = 32 };

/* ------------------------------------------------------------------------ programs */

static struct {
    int code; /* exit code; 1000 + number for a signal */
    char *out, *err;
    long peak_kb;
    double seconds;
    double start;
} ran;

static char *read_text(const char *path)
{
    size_t size;

    return get_bytes(path, &size);
}

static void redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags, 0666);

    if (fd < 0 || dup2(fd, to) < 0)
        _exit(99);
    (void)close(fd);
}

/* Starts build/.../apps/NAME with the arguments up to NULL; standard input is tree/stdin if that exists. */
static pid_t start(const char *name, const char *const arguments[])
{
    char self[4096] = { 0 }, program[8192];
    const char *input = in_tree("stdin");
    char *argv[64] = { program };
    int n = 1;
    pid_t child;

    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    (void)snprintf(program, sizeof program, "%s/../../apps/%s", dirname(self), name);
    while ((argv[n] = (char *)(uintptr_t)arguments[n - 1]))
        ck_assert_int_lt(++n, 63);
    ran.start = nni_seconds();
    child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        redirect(access(input, F_OK) ? "/dev/null" : input, O_RDONLY, 0);
        redirect(in_tree("stdout"), O_WRONLY | O_CREAT | O_TRUNC, 1);
        redirect(in_tree("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 2);
        (void)execv(program, argv);
        _exit(99);
    }
    return child;
}

/* Waits for it and looks at what is left. */
static void finish(pid_t child)
{
    struct rusage usage;
    int status;

    ck_assert_int_eq(wait4(child, &status, 0, &usage), child);
    free(ran.out);
    free(ran.err);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    ran.out = read_text("stdout");
    ran.err = read_text("stderr");
    ran.peak_kb = usage.ru_maxrss;
    ran.seconds = nni_seconds() - ran.start;
}

/* Both, with the arguments up to NULL. */
static inline void run(const char *name, ...)
{
    const char *arguments[63];
    va_list args;
    int n = 0;

    va_start(args, name);
    while ((arguments[n] = va_arg(args, const char *)))
        ck_assert_int_lt(++n, 62);
    va_end(args);
    finish(start(name, arguments));
}

#define expect_code(want)                                                                                    \
    ck_assert_msg(ran.code == (want), "exit code %d, not %d; stdout: %s stderr: %s", ran.code, (want),       \
                  ran.out, ran.err)
#define expect_in(text, part)                                                                                \
    ck_assert_msg(strstr((text), (part)) != NULL, "\"%s\" is not in: %s", (part), (text))
#define expect_not_in(text, part) ck_assert_msg(!strstr((text), (part)), "\"%s\" is in: %s", (part), (text))

static inline void expect_file(const char *path, const char *want)
{
    char *got = read_text(path);

    ck_assert_str_eq(got, want);
    free(got);
}

/* A file of the tree of any size, a zero behind it. */
static inline char *all_of(const char *path, size_t *size)
{
    FILE *f = fopen(in_tree(path), "rb");
    struct stat st;
    char *data;

    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    ck_assert(!fstat(fileno(f), &st));
    data = malloc((size_t)st.st_size + 1);
    ck_assert_ptr_nonnull(data);
    *size = fread(data, 1, (size_t)st.st_size, f);
    data[*size] = 0;
    (void)fclose(f);
    return data;
}

static inline void expect_same_file(const char *one, const char *other, const char *name)
{
    char a[256], b[256], *x, *y;
    size_t m, n, i = 0;

    (void)snprintf(a, sizeof a, "%s/%s", one, name);
    (void)snprintf(b, sizeof b, "%s/%s", other, name);
    x = all_of(a, &m);
    y = all_of(b, &n);
    ck_assert_msg(m == n, "%s has %zu bytes, %s %zu", a, m, b, n);
    if (memcmp(x, y, n) != 0)
        while (x[i] == y[i])
            i++;
    ck_assert_msg(!memcmp(x, y, n), "%s and %s differ from byte %zu of %zu", a, b, i, n);
    free(x);
    free(y);
}

/* Root may read and write everything: the programs that this test starts from here on may not. Whether
 * `locked`, which is not to be read, keeps them out now. */
static inline bool forget_privileges(const char *locked)
{
    enum { DAC_OVERRIDE = 1, DAC_READ_SEARCH = 2 }; /* of linux/capability.h */
    char command[4096];

    (void)prctl(PR_CAPBSET_DROP, DAC_OVERRIDE, 0, 0, 0);
    (void)prctl(PR_CAPBSET_DROP, DAC_READ_SEARCH, 0, 0, 0);
    (void)snprintf(command, sizeof command, "ls '%s' >/dev/null 2>&1", locked);
    if (system(command))
        return true;
    (void)printf("SKIPPED: this user reads whatever its rights are\n");
    return false;
}

/* -------------------------------------------------------------------------- images */

struct bytes {
    uint8_t at[1 << 16];
    size_t size;
};

static void add(struct bytes *b, const void *data, size_t size)
{
    ck_assert_uint_le(b->size + size, sizeof b->at);
    if (size)
        memcpy(b->at + b->size, data, size);
    b->size += size;
}

static void add32(struct bytes *b, uint32_t v)
{
    uint8_t big[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

    add(b, big, 4);
}

static void add_chunk(struct bytes *b, const char *type, const void *data, size_t size)
{
    size_t begin;

    add32(b, (uint32_t)size);
    begin = b->size;
    add(b, type, 4);
    add(b, data, size);
    add32(b, (uint32_t)crc32(0, b->at + begin, (uInt)(size + 4)));
}

static void begin_png(struct bytes *b, uint32_t width, uint32_t height, int depth, int colour)
{
    uint8_t palette[768];
    struct bytes head = { .size = 0 };
    uint8_t rest[5] = { (uint8_t)depth, (uint8_t)colour, 0, 0, 0 };

    add(b, "\x89PNG\r\n\x1a\n", 8);
    add32(&head, width);
    add32(&head, height);
    add(&head, rest, 5);
    add_chunk(b, "IHDR", head.at, head.size);
    for (size_t i = 0; i < sizeof palette; i++)
        palette[i] = (uint8_t)(i * 37);
    if (colour == 3)
        add_chunk(b, "PLTE", palette, 3u << depth);
}

/* A 20x20 PNG of that depth and colour type; the pixels depend on `seed`. */
static struct bytes png(int depth, int colour, unsigned seed)
{
    enum { W = 20 };
    int channels = colour == 2 ? 3 : colour == 6 ? 4 : 1;
    size_t row = (size_t)(W * channels * depth + 7) / 8;
    uint8_t raw[W * (1 + W * 8)] = { 0 }, packed[8192];
    uLongf size = sizeof packed;
    struct bytes b = { .size = 0 };

    for (unsigned y = 0; y < W; y++)
        for (size_t x = 0; x < row; x++) {
            seed = seed * 1664525u + 1013904223u;
            raw[y * (row + 1) + 1 + x] = (uint8_t)((seed >> 27) + y * 9 + x * (seed >> 30));
        }
    begin_png(&b, W, W, depth, colour);
    ck_assert_int_eq(compress(packed, &size, raw, W * (row + 1)), Z_OK);
    add_chunk(&b, "IDAT", packed, size);
    add_chunk(&b, "IEND", NULL, 0);
    return b;
}

static inline void put_png(const char *path, unsigned seed)
{
    struct bytes b = png(8, 2, seed);

    put_bytes(path, b.at, b.size);
}

/* --------------------------------------------------------------------- checkpoints */

static nn_device *device;

static void programs_setup(void)
{
    nn_device_options o = { .threads = 1 };

    tree_setup();
    ck_assert_int_eq(nn_open(&device, "cpu", &o, &why), NN_OK);
}

static void programs_teardown(void)
{
    nn_close(device);
    free(ran.out);
    free(ran.err);
    tree_teardown();
}

/* A network of small images with random weights. The running variances are lowered, or hardly anything of the
 * image would come through so many random layers. */
static struct network small_network(uint64_t seed)
{
    static const char ending[] = "running_var";
    static float variance[1 << 14];
    nn_preprocess p = nn_preprocess_default();
    struct network n;

    for (size_t i = 0; i < sizeof variance / sizeof *variance; i++)
        variance[i] = 0.2f;
    p.size = p.resize_width = p.resize_height = SIDE;
    ck_assert_int_eq(network_new(&n, device, "efficientnet_lite0", &p, seed), 0);
    ck_assert_int_eq(network_seal(&n), 0);
    for (int64_t i = 0; i < nn_model_count(n.model); i++) {
        const nn_segment *s = nn_model_segment(n.model, i);
        size_t length = strlen(s->name);

        if (length < sizeof ending || strcmp(s->name + length + 1 - sizeof ending, ending) != 0)
            continue;
        ck_assert_int_le(s->count, (int64_t)(sizeof variance / sizeof *variance));
        ck_assert_int_eq(nn_model_write(n.model, s->name, NN_BASE_PARAM, NN_F32, variance), NN_OK);
    }
    return n;
}

static void save(struct network *n, const char *path, double threshold)
{
    nn_pair pairs[8];
    int64_t count;

    ck_assert_int_eq(network_pairs(n, pairs, &count, threshold), 0);
    ck_assert_msg(!nn_model_save(n->model, in_tree(path), 0, pairs, count), "%s", nn_model_error(n->model));
    network_pairs_free(pairs, count);
}

static inline void make_checkpoint(const char *path, uint64_t seed, double threshold)
{
    struct network n = small_network(seed);

    save(&n, path, threshold);
    network_free(&n);
}

/* What the network says of tree/path. */
static inline void say(struct network *n, const char *path, double logits[2])
{
    nn_image image = { 0 };
    nn_plan *plan;
    size_t bytes;

    ck_assert_int_eq(network_plan(n, NN_EVAL, 1, NULL, &plan), 0);
    ck_assert_msg(!nn_image_load(&image, in_tree(path), NULL, &why), "%s", why.text);
    ck_assert_int_eq(nn_preprocess_apply(&n->preprocess, &image, nn_host(plan, "image", &bytes), NULL, &why),
                     NN_OK);
    nn_image_free(&image);
    ck_assert_int_eq(nn_run(plan, NN_FORWARD), NN_OK);
    ck_assert_int_eq(nn_read(plan, "logits", NN_F64, logits, 2), NN_OK);
}

#endif
