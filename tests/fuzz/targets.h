/* SPDX-License-Identifier: MIT
 *
 * What reads files of strangers, as functions of bytes. libFuzzer drives them (fuzz.c), and the corpus that
 * it found is replayed by `make check` (test_corpus.c). A target looks at all that came out: a length that is
 * wrong shows only when the bytes are touched.
 */
#ifndef TESTS_FUZZ_TARGETS_H
#define TESTS_FUZZ_TARGETS_H

#include "data/data.h"
#include "io/pickle.h"
#include "io/torch.h"

#include <nn/io.h>
#include <nn/models/pretrained.h>
#include <nn/vision.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void touch(nn_safetensors *file)
{
    nn_pretrained about;
    nn_message why;

    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        const nn_safetensors_entry *e = nn_safetensors_at(file, i);
        float number[64];
        int64_t odd, first;

        (void)nn_safetensors_nonfinite(file, i, &odd, &first, &why);
        if (e->count <= 64)
            (void)nn_safetensors_read(file, nn_safetensors_find(file, e->name), NN_F32, number, e->count,
                                      &why);
    }
    if (!nn_pretrained_identify(&about, file, NULL, &why))
        nn_preprocess_free(&about.preprocess);
    nn_safetensors_free(file);
}

/* The zip archive or stream around a pickle, and its tensors. */
static inline void fuzz_torch(const uint8_t *bytes, size_t size)
{
    nn_safetensors *file;
    nn_message why;

    if (!nni_torch_parse(&file, bytes, size, "fuzz", size % 2 != 0, &why))
        touch(file);
}

/* The interpreter alone: no checksum stands before it. */
static inline void fuzz_pickle(const uint8_t *bytes, size_t size)
{
    nn_message why;
    struct nni_pickle p = { .bytes = bytes,
                            .end = size,
                            .label = "fuzz",
                            .legacy = size % 2 != 0,
                            .limit = size / 2 + (4u << 20),
                            .storages = { .kind = NNI_NODE_LIST },
                            .why = &why };
    struct nni_node *root;
    size_t at = 0;

    (void)nni_pickle_run(&p, &at, &root);
    nni_arena_free(&p.arena);
}

static inline void fuzz_safetensors(const uint8_t *bytes, size_t size)
{
    nn_safetensors *file;
    nn_message why;

    if (!nn_safetensors_parse(&file, bytes, size, "fuzz", NULL, &why))
        touch(file);
}

/* A table of labels or a submission's template; fields are read as far as the rows are in order. */
static inline void fuzz_csv(const uint8_t *bytes, size_t size)
{
    static const char *const header[2] = { "path", "label" };
    nn_message why;
    nni_csv c = {
        .file = "fuzz", .columns = "path and label", .text = (const char *)bytes, .size = size, .why = &why
    };
    nni_arena arena = { 0 };
    size_t begin[2], end[2];
    int rc = nni_csv_begin(&c, header);

    while (!rc && nni_csv_more(&c)) {
        rc = nni_csv_row(&c, begin, end);
        for (int i = 0; !rc && i < 2; i++)
            (void)nni_csv_text(&c, &arena, begin[i], end[i]);
    }
    nni_arena_free(&arena);
}

/* The text of a pipeline; what was understood is said again, and understood again. */
static inline void fuzz_augment(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    nn_augment *a, *b;
    nn_message why;

    if (!text)
        return;
    memcpy(text, bytes, size);
    text[size] = 0;
    if (!nn_augment_new(&a, text, &why)) {
        if (nn_augment_new(&b, nn_augment_text(a), &why) ||
            strcmp(nn_augment_text(a), nn_augment_text(b)) != 0)
            abort();
        nn_augment_free(b);
        nn_augment_free(a);
    }
    free(text);
}

static inline void fuzz_image(const uint8_t *bytes, size_t size)
{
    nn_image image = { 0 };
    nn_decode_opts opts = { .max_pixels = 1 << 16 };
    nn_message why;

    if (!nn_image_decode(&image, bytes, size, &opts, &why))
        nn_image_free(&image);
}

#endif
