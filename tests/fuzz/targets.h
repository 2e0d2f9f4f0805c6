/* SPDX-License-Identifier: MIT
 *
 * What reads files of strangers, as functions of bytes. libFuzzer drives them (fuzz.c), and the corpus that
 * it found is replayed by `make check` (test_corpus.c). A target looks at all that came out: a length that is
 * wrong shows only when the bytes are touched.
 */
#ifndef TESTS_FUZZ_TARGETS_H
#define TESTS_FUZZ_TARGETS_H

#include "io/pickle.h"
#include "io/torch.h"

#include <nn/io.h>
#include <nn/models/pretrained.h>
#include <nn/vision.h>

#include <stdint.h>

static inline void touch(nn_safetensors *file)
{
    nn_pretrained about;
    nn_message why;

    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        int64_t odd;

        (void)nn_safetensors_nonfinite(file, i, &odd, &why);
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

static inline void fuzz_image(const uint8_t *bytes, size_t size)
{
    nn_image image = { 0 };
    nn_decode_opts opts = { .max_pixels = 1 << 16 };
    nn_message why;

    if (!nn_image_decode(&image, bytes, size, &opts, &why))
        nn_image_free(&image);
}

#endif
