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
/* Room for one more element of `size` bytes after `used`, counted in *room: the array, moved or not, or NULL,
 * and then the old one stays. */
void *nni_one_more(void *array, size_t used, size_t *room, size_t size);
/* Appends a problem. The text is copied. NN_ENOMEM. */
int nni_dataset_problem(nn_dataset *d, nn_problem_kind kind, const char *file, const char *format, ...)
    NN_PRINTF(4, 5);
/* Recomputes count and excluded from the samples. */
void nni_dataset_count(nn_dataset *d);
int nni_dataset_hash(nn_dataset *d, nni_pool *pool, nn_message *why);

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

#endif
