/* SPDX-License-Identifier: MIT
 *
 * An open weight file after its format has been read: looking tensors up, and converting their elements.
 */
#include "tensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------- types */

/* In the rising order of the reference, whose writer sorts by it: mostly by size. */
/* clang-format off */
static const struct nni_raw_type raw_types[] = {
    { "BOOL", 8, NN_DTYPES, NNI_BOOLEAN },     { "F4", 4, NN_DTYPES, NNI_OPAQUE },
    { "F6_E2M3", 6, NN_DTYPES, NNI_OPAQUE },   { "F6_E3M2", 6, NN_DTYPES, NNI_OPAQUE },
    { "U8", 8, NN_U8, NNI_UNSIGNED },          { "I8", 8, NN_DTYPES, NNI_SIGNED },
    { "F8_E5M2", 8, NN_DTYPES, NNI_OPAQUE },   { "F8_E4M3", 8, NN_DTYPES, NNI_OPAQUE },
    { "F8_E8M0", 8, NN_DTYPES, NNI_OPAQUE },   { "F8_E4M3FNUZ", 8, NN_DTYPES, NNI_OPAQUE },
    { "F8_E5M2FNUZ", 8, NN_DTYPES, NNI_OPAQUE }, { "I16", 16, NN_DTYPES, NNI_SIGNED },
    { "U16", 16, NN_DTYPES, NNI_UNSIGNED },    { "F16", 16, NN_F16, NNI_FLOATING },
    { "BF16", 16, NN_BF16, NNI_FLOATING },     { "I32", 32, NN_I32, NNI_SIGNED },
    { "U32", 32, NN_DTYPES, NNI_UNSIGNED },    { "F32", 32, NN_F32, NNI_FLOATING },
    { "C64", 64, NN_DTYPES, NNI_OPAQUE },      { "F64", 64, NN_F64, NNI_FLOATING },
    { "I64", 64, NN_I64, NNI_SIGNED },         { "U64", 64, NN_DTYPES, NNI_UNSIGNED },
};
/* clang-format on */
enum { RAW_TYPES = sizeof raw_types / sizeof raw_types[0] };

const struct nni_raw_type *nni_raw_by_name(const char *name)
{
    for (int i = 0; i < RAW_TYPES; i++)
        if (!strcmp(raw_types[i].name, name))
            return &raw_types[i];
    return NULL;
}

const struct nni_raw_type *nni_raw_by_type(nn_dtype type)
{
    for (int i = 0; i < RAW_TYPES && type < NN_DTYPES; i++)
        if (raw_types[i].type == type)
            return &raw_types[i];
    return NULL;
}

/* -------------------------------------------------------------------- texts */

void nni_shorten(char *to, size_t room, const char *text)
{
    size_t size = strlen(text);

    if (size < room) {
        memcpy(to, text, size + 1);
        return;
    }
    text += size - (room - 4);
    while (((unsigned char)*text & 0xc0u) == 0x80u)
        text++;
    (void)snprintf(to, room, "...%s", text);
}

const char *nni_brief(const char *name, nni_text *text)
{
    nni_shorten(text->s, 100, name);
    return text->s;
}

bool nni_has_control(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
            return true;
    return false;
}

bool nni_is_utf8(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    while (*c) {
        unsigned char lead = *c++, low = 0x80, high = 0xbf;
        int rest = lead < 0x80   ? 0
                   : lead < 0xc2 ? -1
                   : lead < 0xe0 ? 1
                   : lead < 0xf0 ? 2
                   : lead < 0xf5 ? 3
                                 : -1;

        if (rest < 0)
            return false;
        if (lead == 0xe0)
            low = 0xa0;
        else if (lead == 0xed)
            high = 0x9f;
        else if (lead == 0xf0)
            low = 0x90;
        else if (lead == 0xf4)
            high = 0x8f;
        for (; rest; rest--, c++, low = 0x80, high = 0xbf)
            if (*c < low || *c > high)
                return false;
    }
    return true;
}

/* ------------------------------------------------------------------- object */

nn_safetensors *nni_tensors_new(const char *name)
{
    nn_safetensors *f = nni_alloc_zero(sizeof *f);

    if (f)
        nni_shorten(f->label, sizeof f->label, name);
    return f;
}

void nn_safetensors_free(nn_safetensors *file)
{
    if (!file)
        return;
    if (file->map)
        (void)nni_seam.unmap(file->map, file->map_size);
    nni_free(file->memory);
    nni_free(file->tensors);
    nni_free(file->by_name);
    nni_arena_free(&file->arena);
    nni_free(file);
}

struct nni_stored *nni_tensors_add(nn_safetensors *f)
{
    if (f->count == f->room) {
        int64_t room = f->room ? 2 * f->room : 16;
        void *grown =
            nni_grow(f->tensors, (size_t)f->room * sizeof *f->tensors, (size_t)room * sizeof *f->tensors);

        if (!grown)
            return NULL;
        f->tensors = grown;
        f->room = room;
    }
    f->tensors[f->count] = (struct nni_stored){ 0 };
    return &f->tensors[f->count++];
}

static int by_name(const void *a, const void *b)
{
    const struct nni_stored *const *x = a, *const *y = b;

    return strcmp((*x)->entry.name, (*y)->entry.name);
}

int nni_tensors_index(nn_safetensors *f, nn_message *why)
{
    nni_text text;

    nni_free(f->by_name);
    f->by_name = nni_alloc_array((size_t)f->count, sizeof(struct nni_stored *));
    if (!f->by_name)
        return nni_fail(why, NN_ENOMEM, "%s: no memory for the names of its tensors", f->label);
    for (int64_t i = 0; i < f->count; i++)
        f->by_name[i] = &f->tensors[i];
    qsort(f->by_name, (size_t)f->count, sizeof *f->by_name, by_name);
    for (int64_t i = 1; i < f->count; i++)
        if (!by_name(&f->by_name[i - 1], &f->by_name[i]))
            return nni_fail(why, NN_EFORMAT, "%s: tensor \"%s\": occurs twice", f->label,
                            nni_brief(f->by_name[i]->entry.name, &text));
    return NN_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const nn_pair *)a)->key, ((const nn_pair *)b)->key);
}

int nn_safetensors_rename(nn_safetensors *f,
                          const char *(*rename)(void *payload, const char *name, char text[256]),
                          void *payload, nn_message *why)
{
    if (!f || !rename)
        return nni_null(why, __func__, "file and rename");
    for (int64_t i = 0; i < f->count; i++) {
        nn_safetensors_entry *e = &f->tensors[i].entry;
        char text[256];
        const char *name = rename(payload, e->name, text);

        if (name && !(e->name = nni_arena_text(&f->arena, name)))
            return nni_fail(why, NN_ENOMEM, "%s: no memory for the names of its tensors", f->label);
    }
    return nni_tensors_index(f, why);
}

void nni_tensors_sort_metadata(nn_safetensors *f)
{
    qsort(f->metadata, (size_t)f->pairs, sizeof *f->metadata, by_key);
}

int64_t nn_safetensors_count(const nn_safetensors *file) { return file ? file->count : 0; }

const nn_safetensors_entry *nn_safetensors_at(const nn_safetensors *file, int64_t index)
{
    return !file || index < 0 || index >= file->count ? NULL : &file->tensors[index].entry;
}

int64_t nn_safetensors_find(const nn_safetensors *file, const char *name)
{
    struct nni_stored key = { .entry.name = name };
    const struct nni_stored *wanted = &key, *const *found = NULL;

    if (file && name && file->count)
        found = bsearch(&wanted, file->by_name, (size_t)file->count, sizeof *file->by_name, by_name);
    return found ? *found - file->tensors : -1;
}

int64_t nn_safetensors_metadata_count(const nn_safetensors *file) { return file ? file->pairs : 0; }

const nn_pair *nn_safetensors_metadata_at(const nn_safetensors *file, int64_t index)
{
    return !file || index < 0 || index >= file->pairs ? NULL : &file->metadata[index];
}

const char *nn_safetensors_metadata(const nn_safetensors *file, const char *key)
{
    nn_pair wanted = { .key = key }, *found = NULL;

    if (file && key && file->pairs)
        found = bsearch(&wanted, file->metadata, (size_t)file->pairs, sizeof wanted, by_key);
    return found ? found->value : NULL;
}

/* Element i, wherever it lies: files of others need not be aligned. */
#define LOAD(type, from, i) load_##type(from, i)
#define DEFINE_LOAD(type)                                                                                    \
    static type load_##type(const unsigned char *from, int64_t i)                                            \
    {                                                                                                        \
        type x;                                                                                              \
        memcpy(&x, from + (size_t)i * sizeof x, sizeof x);                                                   \
        return x;                                                                                            \
    }
DEFINE_LOAD(uint16_t)
DEFINE_LOAD(uint32_t)
DEFINE_LOAD(uint64_t)
DEFINE_LOAD(float)
DEFINE_LOAD(double)

/* Integer i of `raw` as int64; false when that cannot hold it. */
static bool load_integer(const struct nni_raw_type *raw, const unsigned char *from, int64_t i, int64_t *out)
{
    uint64_t bits = 0;

    memcpy(&bits, from + (size_t)i * (raw->bits / 8), raw->bits / 8);
    if (raw->kind == NNI_SIGNED && raw->bits < 64 && bits >> (raw->bits - 1))
        bits |= ~UINT64_C(0) << raw->bits;
    *out = (int64_t)bits;
    return raw->kind == NNI_SIGNED || bits <= INT64_MAX;
}

static bool fits(nn_dtype to, int64_t x)
{
    switch (to) {
    case NN_U8: return x >= 0 && x <= UINT8_MAX;
    case NN_I32: return x >= INT32_MIN && x <= INT32_MAX;
    default: return true;
    }
}

/* The first element that cannot be converted, -1 when all could. */
static int64_t read_integers(const struct nni_stored *t, nn_dtype to, void *dst)
{
    for (int64_t i = 0; i < t->entry.count; i++) {
        int64_t x;

        if (!load_integer(t->raw, t->entry.data, i, &x) || !fits(to, x) ||
            (t->raw->kind == NNI_BOOLEAN && x > 1))
            return i;
        if (to == NN_U8)
            ((uint8_t *)dst)[i] = (uint8_t)x;
        else if (to == NN_I32)
            ((int32_t *)dst)[i] = (int32_t)x;
        else
            ((int64_t *)dst)[i] = x;
    }
    return -1;
}

static int64_t read_floats(const struct nni_stored *t, nn_dtype to, void *dst)
{
    const unsigned char *from = t->entry.data;
    int64_t n = t->entry.count;
    double *wide = dst;
    float *narrow = dst;

    if (t->raw->type == NN_F64) { /* to F32: the only narrowing */
        for (int64_t i = 0; i < n; i++) {
            double x = LOAD(double, from, i);

            narrow[i] = (float)x;
            if (isinf(narrow[i]) && !isinf(x))
                return i;
        }
        return -1;
    }
    for (int64_t i = 0; i < n; i++) {
        float x = t->raw->type == NN_F32    ? LOAD(float, from, i)
                  : t->raw->type == NN_BF16 ? nni_bf16_to_f32(LOAD(uint16_t, from, i))
                                            : nni_f16_to_f32(LOAD(uint16_t, from, i));

        if (to == NN_F32)
            narrow[i] = x;
        else
            wide[i] = (double)x;
    }
    return -1;
}

int nn_safetensors_read(const nn_safetensors *file, int64_t index, nn_dtype to, void *dst, int64_t count,
                        nn_message *why)
{
    const nn_safetensors_entry *entry = nn_safetensors_at(file, index);
    const struct nni_stored *t;
    int64_t bad = -1;
    nni_text name, shape;

    if (!file || (count && !dst))
        return nni_null(why, __func__, "file and dst");
    if (!entry)
        return nni_fail(why, NN_EINVAL, "%s: there is no tensor %" PRId64 " of %" PRId64, file->label, index,
                        file->count);
    t = &file->tensors[index];
    (void)nni_brief(entry->name, &name);
    if (count != entry->count)
        return nni_fail(why, NN_ESHAPE, "%s: tensor \"%s\": %" PRId64 " elements wanted, its shape is %s",
                        file->label, name.s, count, nni_shape_text(entry->shape, &shape));
    if (t->raw->kind == NNI_OPAQUE)
        return nni_fail(why, NN_EUNSUPPORTED,
                        "%s: tensor \"%s\": type %s can be listed but not loaded; convert it to F32 "
                        "or BF16 first",
                        file->label, name.s, t->raw->name);
    if (t->raw->type == to && to < NN_DTYPES) {
        if (count) /* dst may be NULL otherwise */
            memcpy(dst, entry->data, entry->bytes);
    } else if (t->raw->kind == NNI_FLOATING && (to == NN_F32 || to == NN_F64))
        bad = read_floats(t, to, dst);
    else if (t->raw->kind != NNI_FLOATING && (to == NN_I64 || to == NN_I32 || to == NN_U8))
        bad = read_integers(t, to, dst);
    else
        return nni_fail(why, NN_EUNSUPPORTED, "%s: tensor \"%s\": type %s is not converted to %s",
                        file->label, name.s, t->raw->name, nn_dtype_name(to));
    if (bad >= 0)
        return nni_fail(why, NN_EFORMAT,
                        "%s: tensor \"%s\": element %" PRId64 " of type %s has a value that %s cannot hold",
                        file->label, name.s, bad, t->raw->name, nn_dtype_name(to));
    return NN_OK;
}

/* By bit pattern (all exponent bits set), so that compiler flags cannot change the answer. */
static bool is_nonfinite(const unsigned char *from, int64_t i, nn_dtype type)
{
    switch (type) {
    case NN_F64: return (LOAD(uint64_t, from, i) >> 52 & 0x7ffu) == 0x7ffu;
    case NN_F32: return (LOAD(uint32_t, from, i) >> 23 & 0xffu) == 0xffu;
    case NN_BF16: return (LOAD(uint16_t, from, i) >> 7 & 0xff) == 0xff;
    default: return (LOAD(uint16_t, from, i) >> 10 & 0x1f) == 0x1f;
    }
}

int nn_safetensors_nonfinite(const nn_safetensors *file, int64_t index, int64_t *count, int64_t *first,
                             nn_message *why)
{
    const nn_safetensors_entry *entry = nn_safetensors_at(file, index);
    const unsigned char *from;
    const struct nni_raw_type *raw;
    nni_text name;

    if (!file || !count || !first)
        return nni_null(why, __func__, "file, count and first");
    *count = 0;
    *first = -1;
    if (!entry)
        return nni_fail(why, NN_EINVAL, "%s: there is no tensor %" PRId64 " of %" PRId64, file->label, index,
                        file->count);
    raw = file->tensors[index].raw;
    from = entry->data;
    if (raw->kind == NNI_OPAQUE)
        return nni_fail(why, NN_EUNSUPPORTED, "%s: tensor \"%s\": values of type %s cannot be inspected",
                        file->label, nni_brief(entry->name, &name), raw->name);
    if (raw->kind != NNI_FLOATING)
        return NN_OK;
    for (int64_t i = 0; i < entry->count; i++)
        if (is_nonfinite(from, i, raw->type)) {
            *first = *count ? *first : i;
            ++*count;
        }
    return NN_OK;
}
