/* SPDX-License-Identifier: MIT
 *
 * Weight files. libnn writes safetensors: raw data below a JSON header, so that a file can be mapped and read
 * in place, and loading one can run no code. Such files come from strangers: the reader accepts only what the
 * format promises and believes no size before comparing it with the file's.
 *
 * Format: https://github.com/huggingface/safetensors (README, "Format").
 */
#ifndef NN_IO_H
#define NN_IO_H

#include <nn/plan.h>

NN_C_BEGIN

typedef struct nn_pair { /* a line of a file's text metadata */
    const char *key, *value;
} nn_pair;

/* A file opened for reading. It does not change once open, so threads may share it. */
typedef struct nn_safetensors nn_safetensors;

typedef struct nn_safetensors_opts {
    size_t max_header; /* largest header in bytes, 0: 16 MiB */
    int copy;          /* nonzero: read the data into memory. Zero: map the file, which then must not be
                          cut short by others while open (replacing it by rename is harmless) */
} nn_safetensors_opts;

/* One tensor of a file. */
typedef struct nn_safetensors_entry {
    const char *name, *dtype; /* the type as the file spells it: "BF16", "BOOL", "F8_E4M3" */
    nn_dtype type;            /* the same as nn_dtype, NN_DTYPES where that has none */
    int loadable;             /* whether nn_safetensors_read knows this type */
    nn_shape shape;           /* as stored: weights are [O,I,H,W] or [O,I] */
    int64_t count;            /* elements */
    size_t bytes;
    const void *data; /* little-endian, row-major, in files of others possibly misaligned */
} nn_safetensors_entry;

/* Opens and checks a file, without reading the data. `opts` may be NULL; *out is NULL on failure. NN_EFORMAT:
 * it breaks a rule of the format or is something else, which is named. NN_EUNSUPPORTED: an unknown element
 * type, or more than NN_MAX_RANK dimensions. */
NN_API int nn_safetensors_open(nn_safetensors **out, const char *path, const nn_safetensors_opts *opts,
                               nn_message *why);
/* The same for a file in memory, borrowed until nn_safetensors_free; `name` is for messages. */
NN_API int nn_safetensors_parse(nn_safetensors **out, const void *bytes, size_t size, const char *name,
                                const nn_safetensors_opts *opts, nn_message *why);
NN_API void nn_safetensors_free(nn_safetensors *file);

typedef struct nn_weights_opts {
    int averaged; /* of a checkpoint with a moving average of the weights beside them, take that (of one of
                     ours see that it is there, as "ema/NAME") */
} nn_weights_opts;

/* Opens a weight file of any kind: safetensors, or what torch.save writes (.pth, .pt: a state dict, or a
 * checkpoint that holds one as "state_dict", "model" and the like). No code of the file is run; tensors are
 * used in the mapped file where they lie contiguously there, with any strides otherwise. Texts and numbers
 * beside the weights ("arch", "epoch") become metadata "torch.arch" and so on. When the name of the file ends
 * in eight digits, "-0123abcd.pth", they must be those of its SHA-256. `opts` may be NULL. Failures as of
 * nn_safetensors_open, with the byte at which the file is wrong. */
NN_API int nn_weights_open(nn_safetensors **out, const char *path, const nn_weights_opts *opts,
                           nn_message *why);

/* Tensors are numbered in the order of their data (of a state dict: as there). NULL when `index` is out of
 * range; -1 when none is called `name`. */
NN_API int64_t nn_safetensors_count(const nn_safetensors *file);
NN_API const nn_safetensors_entry *nn_safetensors_at(const nn_safetensors *file, int64_t index);
NN_API int64_t nn_safetensors_find(const nn_safetensors *file, const char *name);

/* Gives tensors other names: `rename` returns the new one, which may be in `text`, or NULL to leave it. No
 * two may then be the same: NN_EFORMAT, and the file is of no more use. To be done before threads share the
 * file. */
NN_API int nn_safetensors_rename(nn_safetensors *file,
                                 const char *(*rename)(void *payload, const char *name, char text[256]),
                                 void *payload, nn_message *why);

/* The text metadata, sorted by key (bytewise). NULL when `index` is out of range or `key` is absent. */
NN_API int64_t nn_safetensors_metadata_count(const nn_safetensors *file);
NN_API const nn_pair *nn_safetensors_metadata_at(const nn_safetensors *file, int64_t index);
NN_API const char *nn_safetensors_metadata(const nn_safetensors *file, const char *key);

/* Writes tensor `index` as `to` into dst[count]; `count` must be that of the tensor (NN_ESHAPE). F16,
 * BF16, F32 and F64 become F32 or F64; integers and BOOL become I64, I32 or U8; any type becomes itself.
 * Other pairs are NN_EUNSUPPORTED. F64 to F32 rounds to nearest even, all else is exact: a value that `to`
 * cannot hold is NN_EFORMAT, dst is undefined then. NaN and infinity pass through. */
NN_API int nn_safetensors_read(const nn_safetensors *file, int64_t index, nn_dtype to, void *dst,
                               int64_t count, nn_message *why);
/* Number of NaN and infinite elements of tensor `index`, and which is the first (-1: none): weights of a run
 * that diverged. */
NN_API int nn_safetensors_nonfinite(const nn_safetensors *file, int64_t index, int64_t *count, int64_t *first,
                                    nn_message *why);

/* A tensor to be written; `data` is contiguous and row-major, and may be NULL where it has no elements. */
typedef struct nn_safetensors_item {
    const char *name;
    nn_dtype type;
    nn_shape shape;
    const void *data;
} nn_safetensors_item;

/* `items` may be in any order: the bytes are those of the reference writer, with the metadata by key.
 * NN_EINVAL: a name or key is missing, twice there, not UTF-8, has control characters or is reserved, or data
 * are missing. NN_EIO: the old file is still there (only when syncing the folder fails, the new one is,
 * unsynced). */
NN_API int nn_safetensors_write(const char *path, const nn_safetensors_item *items, int64_t n,
                                const nn_pair *metadata, int64_t m, nn_message *why);

/* The same for a state dict of PyTorch: the .pth file that torch.save writes of these tensors, to be read by
 * torch.load(path, weights_only=True). NN_EUNSUPPORTED: 4 GiB or more, or more than 65,000 tensors. */
NN_API int nn_torch_write(const char *path, const nn_safetensors_item *items, int64_t n, nn_message *why);

/* ---- models ---- */

// clang-format off
typedef enum nn_load_outcome {
    NN_LOAD_DONE, NN_LOAD_SKIPPED, NN_LOAD_MISSING, NN_LOAD_UNEXPECTED, NN_LOAD_MISFIT
} nn_load_outcome;
// clang-format on

typedef struct nn_load_opts {
    const char *from; /* what the wanted names begin with in the file ("module."), and */
    const char *into; /* in the model ("backbone."); NULL: nothing. Other names are left alone */
    const char *skip; /* pattern (see nn_match) of the model's names that keep their values, or NULL */
    int partial;      /* nonzero: load what fits. Zero: all or nothing */
    nn_base role;     /* NN_BASE_EMA or a moment instead of the parameters and the state; 0: these */
    void (*each)(void *payload, nn_load_outcome what, const char *name); /* told of every name, or NULL */
    void *payload;
} nn_load_opts;

/* How many names came to which end. Missing ones are in the model alone (named as there), unexpected
 * ones in the file alone (as there); misfits are in both, with another shape or kind of number. */
typedef struct nn_load_report {
    int64_t loaded, skipped, missing, unexpected, misfit;
} nn_load_report;

/* Fills `model`, sealing it, with the tensors of a file, converting between the floating types; on failure it
 * is unchanged. Unless opts->partial, any name that is missing, unexpected or misfit is NN_EFORMAT, with the
 * report filled. The text is in nn_model_error; `opts` and `report` may be NULL. */
NN_API int nn_model_load(nn_model *model, const char *path, const nn_load_opts *opts, nn_load_report *report);
/* The same from an open file, which may hold more than this model. */
NN_API int nn_model_load_from(nn_model *model, const nn_safetensors *file, const nn_load_opts *opts,
                              nn_load_report *report);
/* Writes parameters and state (role 0) or what nn_load_opts.role says to a safetensors file, with
 * `pairs` as its metadata. The text of a failure is in nn_model_error. */
NN_API int nn_model_save(nn_model *model, const char *path, nn_base role, const nn_pair *pairs,
                         int64_t pair_count);

/* Writes what was recorded as an ONNX model (opset 17) for other runtimes, with the values of the graph's
 * model. Its inputs are those of the graph, its outputs what is observed, in the order of nn_observe, all
 * with the names, types and layouts that they have here; their first dimension is free, whatever it was
 * recorded with. `metadata` becomes the model's metadata_props. NN_EUNSUPPORTED: an op that has no
 * counterpart, which the text names (those of evaluation and of the networks in nn/models have one), several
 * models, or 2 GiB and more; NN_ESTATE: the model has no values yet. */
NN_API int nn_onnx_write(const nn_graph *graph, const char *path, const nn_pair *metadata, int64_t m,
                         nn_message *why);

/* ---- checkpoints ---- */

/* All that an exact resume needs, in one safetensors file: "model/NAME" (parameters and state), "ema/NAME",
 * "optim.m1/NAME", "optim.m2/NAME" (what the plan keeps), and in the metadata the plan's counters and seed, a
 * checksum over all that, and `pairs` (keys beginning with "libnn.plan." are reserved). */
NN_API int nn_checkpoint_save(nn_plan *plan, nn_model *model, const char *path, const nn_pair *pairs,
                              int64_t pair_count, nn_message *why);
/* NN_OK if the file is a checkpoint and undamaged, else NN_EFORMAT. */
NN_API int nn_checkpoint_check(const nn_safetensors *file, nn_message *why);
/* Puts all of it back (nn_load_opts.from = "model/" takes the weights alone), after checking it; the network
 * and the optimizer must be those of the file. On NN_EFORMAT nothing has changed unless the text says that
 * the file is from another run. */
NN_API int nn_checkpoint_load(nn_plan *plan, nn_model *model, const nn_safetensors *file, nn_message *why);

NN_C_END

#endif
