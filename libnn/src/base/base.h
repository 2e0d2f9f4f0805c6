/* SPDX-License-Identifier: MIT
 *
 * The floor that all of libnn stands on, internal: memory, files, arena, random numbers, number
 * formats and the thread pool. Nothing here knows of tensors.
 *
 * Every allocation and every file operation of the library goes through the functions of
 * seam.c. Tests replace its table (nni_seam) and so make the n-th call fail.
 */
#ifndef NNI_BASE_H
#define NNI_BASE_H

#include <nn/base.h>

#include <stdarg.h>
#include <stdbool.h>

/* ------------------------------------------------------------------ status.c */

/* Formats into `out` (may be NULL) and returns `status`, so that errors are one statement. What is too long
 * is cut in its middle. */
int nni_fail(nn_message *out, int status, const char *format, ...) NN_PRINTF(3, 4);
/* NN_EINVAL and a text for a caller who passed NULL: `function` is __func__, `what` the arguments that it
 * must be given ("path"). */
int nni_null(nn_message *out, const char *function, const char *what);
/* "[8,224,224,3]" into `text`; returns `text`. */
typedef struct nni_text {
    char s[128];
} nni_text;
const char *nni_shape_text(nn_shape shape, nni_text *text);
/* FNV-1a, for names and keys (not for security). */
uint64_t nni_hash(const void *data, size_t size, uint64_t basis);
#define NNI_HASH_BASIS UINT64_C(0xcbf29ce484222325)

/* -------------------------------------------------------------------- seam.c */

/* 64-byte aligned memory, contents undefined; NULL when there is none. Zero bytes give a valid pointer. */
void *nni_alloc(size_t size);
void *nni_alloc_zero(size_t size);
/* count*size with overflow check, zeroed. */
void *nni_alloc_array(size_t count, size_t size);
/* Moves to a larger block; on failure the old block stays valid and NULL is returned. */
void *nni_grow(void *old, size_t old_size, size_t new_size);
/* Room for one more element of `size` bytes after `used`, counted in *room: the array, moved or not, or NULL,
 * and then the old one stays. */
void *nni_one_more(void *array, size_t used, size_t *room, size_t size);
void nni_free(void *memory);
char *nni_strdup(const char *text);

/* POSIX semantics: -1 and errno on failure. Short reads and writes and EINTR are handled by the
 * *_all functions; reading past the end is a short count there. */
struct nni_stat {
    uint64_t size, device, inode;
    int64_t mtime_ns;
    bool is_file, is_dir;
};
struct nni_seam {
    void *(*alloc)(size_t size);
    void (*free)(void *memory);
    int (*open)(const char *path, int flags, int mode);
    int (*close)(int fd);
    int64_t (*read)(int fd, void *data, size_t size);
    int64_t (*write)(int fd, const void *data, size_t size);
    int64_t (*seek)(int fd, int64_t offset);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, int mode);
    int (*stat)(const char *path, struct nni_stat *out);
    void *(*opendir)(const char *path);
    const char *(*readdir)(void *folder); /* next name; NULL at the end (errno 0) or on failure */
    int (*closedir)(void *folder);
    int (*realpath)(const char *path, char *absolute); /* into PATH_MAX bytes */
    void *(*map)(int fd, size_t size);
    int (*unmap)(void *at, size_t size);
};
extern struct nni_seam nni_seam;

int nni_read_all(int fd, void *data, size_t size, size_t *got);
int nni_write_all(int fd, const void *data, size_t size);
/* Whole regular file into fresh memory (free with nni_free); larger than `limit` is NN_EFORMAT. */
int nni_read_file(const char *path, size_t limit, void **data, size_t *size, nn_message *why);
/* Name of a file beside `path` that no other thread or process writes, to be renamed to it in the end; NULL
 * without memory. A long name is cut: together with its ending it need not fit where `path` does. */
char *nni_temporary(const char *path);
/* Replaces `path` so that after any crash it is the old or the new file: temporary sibling, write,
 * fsync, rename, fsync of the folder. */
typedef struct nni_writer {
    int fd;
    char *path, *temporary;
    uint64_t written;
    bool unsynced; /* to be set after opening: what can be made again need not be safe from a crash */
} nni_writer;
int nni_writer_open(nni_writer *w, const char *path, nn_message *why);
int nni_writer_put(nni_writer *w, const void *data, size_t size, nn_message *why);
int nni_writer_commit(nni_writer *w, nn_message *why);
void nni_writer_abort(nni_writer *w);

/* ------------------------------------------------------------------- arena.c */

/* Growing arena for many small objects with one lifetime. Memory is zeroed. */
typedef struct nni_arena {
    struct nni_chunk *chunk;
    size_t total;
} nni_arena;
void *nni_arena_take(nni_arena *arena, size_t size);
char *nni_arena_text(nni_arena *arena, const char *text);
char *nni_arena_printf(nni_arena *arena, const char *format, ...) NN_PRINTF(2, 3);
void nni_arena_free(nni_arena *arena);

/* --------------------------------------------------------------------- rng.c */

/* The library's one convention for streams: (seed, stream) make the key; the words at `index`
 * of sample `sample` in step `step` are independent of everything else. */
typedef struct nni_stream {
    uint32_t key[2];
} nni_stream;
nni_stream nni_stream_of(uint64_t seed, uint64_t stream);
void nni_stream_at(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t index, uint32_t out[4]);
/* [0,1) with 32 bits; never 1. */
static inline double nni_uniform(uint32_t word) { return (double)word * 0x1p-32; }
/* Two standard normal numbers from two words (Box-Muller). */
void nni_normal2(const uint32_t word[2], double out[2]);
/* Unbiased integer in [0,bound) drawn from consecutive indices beginning at *index. */
uint32_t nni_below(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t *index, uint32_t bound);

/* ------------------------------------------------------------------ format.c */

float nni_bf16_to_f32(uint16_t x);
uint16_t nni_f32_to_bf16(float x); /* to nearest even; NaN stays NaN */
float nni_f16_to_f32(uint16_t x);
uint16_t nni_f32_to_f16(float x); /* to nearest even; overflow gives infinity */

/* ------------------------------------------------------------------ number.c */

/* strtod and "%.*g" (at most 17 digits) with a decimal point, whatever the locale. */
double nni_read_number(const char *text, char **end);
const char *nni_print_number(char out[32], double value, int digits);

/* ------------------------------------------------------------------ crc32c.c */

/* CRC-32C of `data`, continuing from `crc` (0 to begin). */
uint32_t nni_crc32c(uint32_t crc, const void *data, size_t size);

/* -------------------------------------------------------------------- pool.c */

/* A fixed set of threads that run numbered tiles. Which thread runs which tile is not defined, so
 * a tile's result must not depend on it; `lane` is in [0,threads). Every thread, the caller
 * included, runs tiles with the same floating-point control word (round to nearest, denormals
 * flushed), so results do not depend on it either. */
typedef struct nni_pool nni_pool;
typedef void nni_tile_fn(void *context, int64_t tile, int lane);
enum { NNI_MOST_THREADS = 1024 };
int nni_pool_new(nni_pool **pool, int threads); /* NN_EINVAL unless 1 to NNI_MOST_THREADS */
void nni_pool_free(nni_pool *pool);
int nni_pool_threads(const nni_pool *pool);
void nni_pool_run(nni_pool *pool, int64_t tiles, nni_tile_fn *run, void *context);
/* Monotonic seconds. */
double nni_seconds(void);

/* -------------------------------------------------------------- processors.c */

/* Threads that this process has processors for, by its affinity mask and its control group's quota: 1 to
 * NNI_MOST_THREADS. */
int nni_processors(void);

#endif
