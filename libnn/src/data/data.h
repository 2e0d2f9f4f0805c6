/* SPDX-License-Identifier: MIT
 *
 * What the files of this folder share. A dataset's texts live in one arena; its three arrays grow.
 */
#ifndef NNI_DATA_H
#define NNI_DATA_H

#include "base/base.h"

#include <nn/data.h>

struct nn_dataset_memory {
    nni_arena arena;
    size_t sample_room, problem_room, source_room;
};

/* Length of a known image extension at the end of `name`, dot included; 0 when it has none. */
size_t nni_image_extension(const char *name);
/* Appends a problem. The text is copied. NN_ENOMEM. */
int nni_dataset_problem(nn_dataset *d, nn_problem_kind kind, const char *file, const char *format, ...)
    NN_PRINTF(4, 5);
/* Append to the dataset; `root` is copied, texts of the sample must live as long as the dataset. NN_ENOMEM.
 */
int nni_dataset_new_source(nn_dataset *d, const char *root);
int nni_dataset_new_sample(nn_dataset *d, nn_sample s);
static inline void nni_sample_stat(nn_sample *s, const struct nni_stat *st)
{
    s->size = st->size;
    s->place[0] = st->device;
    s->place[1] = st->inode;
}
/* By path, the samples from `first` on. */
void nni_dataset_sort(nn_dataset *d, int64_t first);
/* Recomputes count and excluded from the samples. */
void nni_dataset_count(nn_dataset *d);
/* Takes sample i out and lists it; it counts as bad. NN_ENOMEM. */
int nni_dataset_exclude(nn_dataset *d, int64_t i, const char *reason);
int nni_dataset_hash(nn_dataset *d, nni_pool *pool, nn_message *why);
int nni_no_memory(nn_message *why, const char *what); /* NN_ENOMEM */

/* Hashed samples that take part, by content, then in dataset order; NULL without memory. Where in the list of
 * `n` the content that begins at `at` ends. */
struct nni_content {
    const char *sha256;
    int64_t sample;
};
struct nni_content *nni_contents(const nn_dataset *d, int64_t *n);
int64_t nni_contents_end(const struct nni_content *c, int64_t at, int64_t n);

/* Threads that read and decode images unless the caller says how many: more seldom find the disk faster. */
static inline int nni_readers(void)
{
    const int most = 8, processors = nni_processors();

    return processors < most ? processors : most;
}

/* The order of an epoch: position p sees sample order[p]. A permutation of 0..n-1 that is a pure function of
 * (seed, epoch, n): Fisher-Yates from the top, swapping i=n-1..1 with an unbiased j in [0,i] from Philox.
 * NN_EINVAL unless 0 <= n < 2^32. */
int nni_epoch_order(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order);

/* A small file before it is written. After a failed allocation puts do nothing and nni_buffer_save is
 * NN_ENOMEM. nni_buffer_save writes the file atomically and empties the buffer in any case. */
typedef struct nni_buffer {
    char *data;
    size_t size, room;
    bool failed;
} nni_buffer;
void nni_buffer_put(nni_buffer *b, const void *data, size_t size);
void nni_buffer_text(nni_buffer *b, const char *text);
void nni_buffer_csv_field(nni_buffer *b, const char *text);
int nni_buffer_save(nni_buffer *b, const char *path, nn_message *why);

/* Lists of images: what a row becomes is much longer than the shortest row, so rows are limited, too. */
#define NNI_LIST_BYTES ((size_t)1 << 29)
enum { NNI_LIST_LINES = 4000000 };

/* A CSV file of two columns being read (RFC 4180; a byte order mark and either line end). */
typedef struct nni_csv {
    const char *file, *columns; /* for messages: "ImageId and answer" */
    const char *text;
    size_t size, at;
    int64_t line; /* of the file, from 1 */
    nn_message *why;
} nni_csv;
/* Checks that the text has no zero byte and at most NNI_LIST_LINES lines, steps over a byte order mark and
 * reads the header, which must be name[0],name[1]. */
int nni_csv_begin(nni_csv *c, const char *const name[2]);
/* Whether there is another row; empty lines at the end of the file are none. */
bool nni_csv_more(const nni_csv *c);
/* One row: field i is text[begin[i]..end[i]), where doubled quotes are still doubled. */
int nni_csv_row(nni_csv *c, size_t begin[2], size_t end[2]);
/* A field with its quotes resolved; NULL without memory. */
char *nni_csv_text(const nni_csv *c, nni_arena *arena, size_t begin, size_t end);
int nni_csv_fail(const nni_csv *c, int64_t line, const char *what);

/* A share from Beta(shape, shape) for the batch that begins at `first`. */
double nni_mixup_share(double shape, uint64_t seed, int64_t epoch, int64_t first);
/* Leaves `share` of each image and puts 1 - share of the next to it, of the first to the last. `spare` has
 * room for an image. */
void nni_mixup(void *pixels, nn_dtype type, int64_t images, int64_t values, double share, void *spare);

#endif
