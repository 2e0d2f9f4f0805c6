/* SPDX-License-Identifier: MIT
 *
 * What an open weight file is once its format has been read: named tensors of some element type, in memory
 * that belongs to the file or to the caller. Each reader (safetensors.c, torch.c) fills one in; looking up
 * and converting (tensors.c) is the same for all.
 */
#ifndef NNI_TENSORS_H
#define NNI_TENSORS_H

#include "base/base.h"

#include <nn/io.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data are used as they lie in the file");

enum nni_numbers { NNI_OPAQUE, NNI_BOOLEAN, NNI_UNSIGNED, NNI_SIGNED, NNI_FLOATING };

struct nni_raw_type {
    const char *name; /* as safetensors spells it */
    uint64_t bits;
    nn_dtype type;
    enum nni_numbers kind;
};
/* NULL when there is none. The address grows with the rank by which safetensors' writer sorts. */
const struct nni_raw_type *nni_raw_by_name(const char *name);
const struct nni_raw_type *nni_raw_by_type(nn_dtype type);

struct nni_stored {
    nn_safetensors_entry entry;
    const struct nni_raw_type *raw;
    uint64_t begin, end; /* place in the data of a safetensors file */
};

struct nn_safetensors {
    nni_arena arena; /* names, metadata */
    struct nni_stored *tensors;
    int64_t count, room;
    const struct nni_stored **by_name;
    nn_pair *metadata;
    int64_t pairs;
    bool has_metadata;
    const unsigned char *data; /* data_size bytes behind the header of a safetensors file */
    uint64_t data_size;
    void *map, *memory; /* what the data lie in, if it is ours */
    size_t map_size;
    char label[208]; /* path for messages */
};

/* An empty one that is called `name` in messages; NULL without memory. */
nn_safetensors *nni_tensors_new(const char *name);
/* Makes room for one more; NULL without memory. */
struct nni_stored *nni_tensors_add(nn_safetensors *file);
/* Builds the index of names. NN_EFORMAT when one occurs twice. */
int nni_tensors_index(nn_safetensors *file, nn_message *why);
void nni_tensors_sort_metadata(nn_safetensors *file);

/* A tensor about to be written. */
struct nni_pending {
    const nn_safetensors_item *item;
    const struct nni_raw_type *raw;
    uint64_t bytes;
};
/* Holds the writers to the readers' rules. `pending` receives the items, sorted as safetensors wants them;
 * `order` has room for n pointers. */
int nni_check_items(const char *path, const nn_safetensors_item *items, int64_t n,
                    struct nni_pending *pending, const void **order, nn_message *why);

/* Text for messages: what does not fit loses its beginning, where paths and names differ least. */
void nni_shorten(char *to, size_t room, const char *text);
const char *nni_brief(const char *name, nni_text *text);
/* Names go to terminals, logs and file names: no control characters, C1 and DEL included. */
bool nni_has_control(const char *text);
/* Shortest forms only, no surrogates, at most U+10FFFF (Unicode, table 3-7). */
bool nni_is_utf8(const char *text);

#endif
