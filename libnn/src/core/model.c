/* SPDX-License-Identifier: MIT
 *
 * The model: a table of named segments over one contiguous buffer for each role. One table serves
 * weights, gradients, moments and averages alike, so the optimizer is one walk, a checkpoint one
 * list, and rebinding a plan to other weights is one pointer.
 *
 * A role's buffer is the device's. Whoever wants numbers takes the host's mirror of it, and which of the two
 * is newer is remembered, so that nothing is copied that nobody looks at.
 */
#include "core/core.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { NEITHER, HOST, DEVICE }; /* which side of a role is newer */

int nn_match(const char *pattern, const char *name)
{
    const char *star = NULL, *retry = NULL;

    if (!pattern || !name)
        return 0;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++retry;
        } else {
            return 0;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

int nn_model_new(nn_model **out, nn_device *device, uint64_t seed)
{
    nn_model *m;

    if (!out)
        return NN_EINVAL;
    *out = NULL;
    if (!device)
        return NN_EINVAL;
    m = nni_alloc_zero(sizeof *m);
    if (!m)
        return NN_ENOMEM;
    nni_link_in(&device->models, &m->link);
    m->device = device;
    m->seed = seed;
    *out = m;
    return NN_OK;
}

static void drop_role(nn_model *m, nn_base base)
{
    const struct nni_backend *b = m->device->backend;

    b->unmirror(m->device, m->mirror[base]);
    b->free(m->device, m->buffer[base]);
    m->buffer[base] = m->mirror[base] = NULL;
}

void nn_model_free(nn_model *m)
{
    if (!m)
        return;
    nni_link_out(&m->link);
    for (int i = 0; i < NN_BASES; i++)
        drop_role(m, (nn_base)i);
    nni_free(m->segment);
    nni_free(m->init);
    nni_free(m->fill);
    nni_free(m->slot);
    nni_arena_free(&m->arena);
    nni_free(m);
}

const char *nn_model_error(const nn_model *m) { return m ? m->message.text : "no model"; }
int64_t nn_model_count(const nn_model *m) { return m ? m->count : 0; }

const nn_segment *nn_model_segment(const nn_model *m, int64_t index)
{
    return m && index >= 0 && index < m->count ? &m->segment[index] : NULL;
}

/* Index of the name, or -1. The table is open addressing and never more than half full. */
static int64_t find(const nn_model *m, const char *name)
{
    uint64_t h = nni_hash(name, strlen(name), NNI_HASH_BASIS);

    for (int64_t i = 0; i < m->slots; i++) {
        int64_t at = m->slot[(h + (uint64_t)i) & (uint64_t)(m->slots - 1)];

        if (!at)
            return -1;
        if (!strcmp(m->segment[at - 1].name, name))
            return at - 1;
    }
    return -1;
}

static void enter(int64_t *slot, int64_t slots, const char *name, int64_t index)
{
    uint64_t h = nni_hash(name, strlen(name), NNI_HASH_BASIS);

    while (slot[h & (uint64_t)(slots - 1)])
        h++;
    slot[h & (uint64_t)(slots - 1)] = index + 1;
}

static bool make_room(nn_model *m)
{
    int64_t room = m->room ? m->room * 2 : 64, slots = room * 2;
    nn_segment *segment = nni_alloc_array((size_t)room, sizeof *segment);
    nn_init *init = nni_alloc_array((size_t)room, sizeof *init);
    double *fill = nni_alloc_array((size_t)room, sizeof *fill);
    int64_t *slot = nni_alloc_array((size_t)slots, sizeof *slot);

    if (!segment || !init || !fill || !slot) {
        nni_free(segment);
        nni_free(init);
        nni_free(fill);
        nni_free(slot);
        return false;
    }
    for (int64_t i = 0; i < m->count; i++) {
        segment[i] = m->segment[i];
        init[i] = m->init[i];
        fill[i] = m->fill[i];
        enter(slot, slots, segment[i].name, i);
    }
    nni_free(m->segment);
    nni_free(m->init);
    nni_free(m->fill);
    nni_free(m->slot);
    m->segment = segment;
    m->init = init;
    m->fill = fill;
    m->slot = slot;
    m->room = room;
    m->slots = slots;
    return true;
}

int nni_model_declare(nn_model *m, const char *name, nn_base base, nn_dtype type, nn_shape shape,
                      nn_init init, double fill, int64_t *index)
{
    int64_t at = find(m, name), count = nn_shape_count(shape);
    int role = base == NN_BASE_STATE;
    size_t bytes, end = m->bytes[role];
    nn_segment *s;
    nni_text a, b;

    if (at >= 0) {
        s = &m->segment[at];
        if (!nn_shape_equal(s->shape, shape) || s->base != base || s->type != type)
            return nni_fail(&m->message, NN_ESHAPE, "%s: declared as %s %s, now wanted as %s %s", name,
                            nn_dtype_name(s->type), nni_shape_text(s->shape, &a), nn_dtype_name(type),
                            nni_shape_text(shape, &b));
        *index = at;
        return NN_OK;
    }
    if (m->sealed)
        return nni_fail(
            &m->message, NN_ESTATE,
            "%s: not in the model, which is sealed (record every network before the first compile or load)",
            name);
    if (count < 0 || __builtin_mul_overflow((size_t)count, nn_dtype_size(type), &bytes) ||
        !nni_add_aligned(&end, bytes))
        return nni_fail(&m->message, NN_ESHAPE, "%s: impossible shape %s", name, nni_shape_text(shape, &a));
    if (m->count == m->room && !make_room(m))
        return nni_fail(&m->message, NN_ENOMEM, "%s: no memory to declare it", name);
    s = &m->segment[m->count];
    *s = (nn_segment){ .name = nni_arena_text(&m->arena, name),
                       .shape = shape,
                       .type = type,
                       .base = base,
                       .offset = m->bytes[role],
                       .count = count,
                       .lr_scale = 1,
                       .decay_scale = 1,
                       .trainable = base == NN_BASE_PARAM };
    if (!s->name)
        return nni_fail(&m->message, NN_ENOMEM, "%s: no memory to declare it", name);
    m->init[m->count] = init;
    m->fill[m->count] = fill;
    m->bytes[role] = end;
    enter(m->slot, m->slots, s->name, m->count);
    *index = m->count++;
    return NN_OK;
}

const nn_segment *nn_model_find(const nn_model *m, const char *name)
{
    int64_t at = m && name ? find(m, name) : -1;

    return at < 0 ? NULL : &m->segment[at];
}

void nn_model_changed(nn_model *m)
{
    if (!m)
        return;
    m->version++;
    for (int i = 0; i < NN_BASES; i++)
        if (m->mirror[i] && m->newer[i] != DEVICE)
            m->newer[i] = HOST;
}

int64_t nn_model_parameters(const nn_model *m)
{
    int64_t n = 0;

    for (int64_t i = 0; m && i < m->count; i++)
        if (m->segment[i].base == NN_BASE_PARAM)
            n += m->segment[i].count;
    return n;
}

static bool is_state(nn_base base) { return base == NN_BASE_STATE || base == NN_BASE_STATE_EMA; }

void *nni_model_host(nn_model *m, nn_base base)
{
    const struct nni_backend *b = m->device->backend;
    size_t bytes = m->bytes[is_state(base)];
    int rc = NN_OK;

    if (!m->buffer[base])
        return NULL;
    if (!m->mirror[base]) {
        m->mirror[base] = b->mirror(m->device, m->buffer[base], bytes);
        m->newer[base] = DEVICE;
    }
    if (m->mirror[base] && m->newer[base] == DEVICE && m->mirror[base] != m->buffer[base])
        rc = b->copy(m->device, m->mirror[base], m->buffer[base], bytes);
    if (!m->mirror[base] || rc) {
        (void)nni_fail(&m->message, rc ? rc : NN_ENOMEM, "cannot fetch %zu bytes from the device", bytes);
        return NULL;
    }
    if (m->newer[base] == DEVICE) /* what the host wrote may still have to go there */
        m->newer[base] = NEITHER;
    return m->mirror[base];
}

int nni_model_push(nn_model *m)
{
    int rc = NN_OK;

    for (int i = 0; !rc && i < NN_BASES; i++) {
        if (m->newer[i] != HOST)
            continue;
        if (m->mirror[i] != m->buffer[i])
            rc = m->device->backend->copy(m->device, m->buffer[i], m->mirror[i],
                                          m->bytes[is_state((nn_base)i)]);
        m->newer[i] = NEITHER;
    }
    return rc;
}

void nni_model_ran(nn_model *m, nn_base base) { m->newer[base] = DEVICE; }

void *nn_model_buffer(nn_model *m, nn_base base, size_t *bytes)
{
    void *at = m && base >= 0 && base < NN_BASES ? nni_model_host(m, base) : NULL;

    if (bytes)
        *bytes = at ? m->bytes[is_state(base)] : 0;
    return at;
}

/* Numbers of one parameter: element e uses word e%4 (uniform) or the pair e/2%2 (normal) at index e/4 of the
 * stream named after the parameter. */
static void initialise(const nn_model *m, const nn_segment *s, nn_init init, nn_real *data)
{
    nni_stream stream = nni_stream_of(m->seed, nni_hash(s->name, strlen(s->name), NNI_HASH_BASIS));

    for (int64_t e = 0; e < s->count; e += 4) {
        double value[4] = { 0 };
        uint32_t word[4];

        nni_stream_at(&stream, (uint64_t)e >> 34, 0, (uint32_t)(e >> 2), word);
        switch (init.kind) {
        case NN_INIT_ZERO: break;
        case NN_INIT_CONSTANT:
            for (int i = 0; i < 4; i++)
                value[i] = init.a;
            break;
        case NN_INIT_UNIFORM:
            for (int i = 0; i < 4; i++)
                value[i] = init.a * (2 * nni_uniform(word[i]) - 1);
            break;
        case NN_INIT_NORMAL:
            nni_normal2(word, value);
            nni_normal2(word + 2, value + 2);
            for (int i = 0; i < 4; i++)
                value[i] *= init.a;
            break;
        }
        for (int i = 0; i < 4 && e + i < s->count; i++)
            data[e + i] = (nn_real)value[i];
    }
}

static void fill_state(const nn_segment *s, double value, void *data)
{
    for (int64_t e = 0; e < s->count; e++) {
        if (s->type == NN_I64)
            ((int64_t *)data)[e] = (int64_t)value;
        else
            ((nn_real *)data)[e] = (nn_real)value;
    }
}

static void initialise_tile(void *context, int64_t tile, int lane)
{
    const nn_model *m = context;
    const nn_segment *s = &m->segment[tile];
    char *at = (char *)m->mirror[s->base] + s->offset;

    (void)lane;
    if (s->base == NN_BASE_STATE)
        fill_state(s, m->fill[tile], at);
    else
        initialise(m, s, m->init[tile], (nn_real *)(void *)at);
}

/* The buffer of a role, zeroed. */
static int make_role(nn_model *m, nn_base base)
{
    const struct nni_backend *b = m->device->backend;
    size_t bytes = m->bytes[is_state(base)];

    m->buffer[base] = b->alloc(m->device, bytes);
    m->newer[base] = NEITHER;
    return m->buffer[base] ? b->fill(m->device, m->buffer[base], 0, bytes) : NN_ENOMEM;
}

int nn_model_seal(nn_model *m)
{
    if (!m)
        return NN_EINVAL;
    if (m->sealed)
        return NN_OK;
    if (make_role(m, NN_BASE_PARAM) || make_role(m, NN_BASE_STATE) || !nni_model_host(m, NN_BASE_PARAM) ||
        !nni_model_host(m, NN_BASE_STATE)) {
        drop_role(m, NN_BASE_PARAM);
        drop_role(m, NN_BASE_STATE);
        return nni_fail(&m->message, NN_ENOMEM, "no memory for %zu bytes of parameters",
                        m->bytes[0] + m->bytes[1]);
    }
    nni_pool_run(m->device->pool, m->count, initialise_tile, m);
    m->sealed = true;
    nn_model_changed(m);
    return NN_OK;
}

int nni_model_need(nn_model *m, nn_base base)
{
    nn_base from = base == NN_BASE_EMA ? NN_BASE_PARAM : base == NN_BASE_STATE_EMA ? NN_BASE_STATE : base;
    size_t bytes;
    int rc;

    if (base < NN_BASE_PARAM || base > NN_BASE_MOMENT2)
        return nni_fail(&m->message, NN_EINVAL, "base %d is not a role of a model", (int)base);
    rc = nn_model_seal(m);
    if (rc || m->buffer[base])
        return rc;
    bytes = m->bytes[is_state(base)];
    rc = make_role(m, base);
    if (!rc && from != base && !(rc = nni_model_push(m)))
        rc = m->device->backend->copy(m->device, m->buffer[base], m->buffer[from], bytes);
    if (rc) {
        drop_role(m, base);
        return nni_fail(&m->message, rc, "no memory for %zu bytes (gradients, moments or averages)", bytes);
    }
    return NN_OK;
}

int nni_convert(const void *from, nn_dtype from_type, void *to, nn_dtype to_type, int64_t count)
{
    if (from_type == to_type) {
        memcpy(to, from, (size_t)count * nn_dtype_size(to_type));
        return NN_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        double x;

        switch (from_type) {
        case NN_F32: x = (double)((const float *)from)[i]; break;
        case NN_F64: x = ((const double *)from)[i]; break;
        case NN_BF16: x = (double)nni_bf16_to_f32(((const uint16_t *)from)[i]); break;
        case NN_F16: x = (double)nni_f16_to_f32(((const uint16_t *)from)[i]); break;
        default: return NN_EINVAL;
        }
        switch (to_type) {
        case NN_F32: ((float *)to)[i] = (float)x; break;
        case NN_F64: ((double *)to)[i] = x; break;
        case NN_BF16: ((uint16_t *)to)[i] = nni_f32_to_bf16((float)x); break;
        case NN_F16: ((uint16_t *)to)[i] = nni_f32_to_f16((float)x); break;
        default: return NN_EINVAL;
        }
    }
    return NN_OK;
}

/* Address of an entry in a role. */
static int locate(nn_model *m, const char *name, nn_base role, const nn_segment **out, char **at)
{
    const nn_segment *s = nn_model_find(m, name);
    bool state = s && s->base == NN_BASE_STATE;
    nn_base base;

    if (!s)
        return nni_fail(&m->message, NN_ENOTFOUND, "%s: no such entry", name);
    switch (role) {
    case NN_BASE_NONE:
    case NN_BASE_PARAM:
    case NN_BASE_STATE: base = s->base; break;
    case NN_BASE_EMA:
    case NN_BASE_STATE_EMA: base = state ? NN_BASE_STATE_EMA : NN_BASE_EMA; break;
    case NN_BASE_GRAD:
    case NN_BASE_MOMENT1:
    case NN_BASE_MOMENT2:
        if (state)
            return nni_fail(&m->message, NN_EINVAL, "%s: state has no gradient", name);
        base = role;
        break;
    default: return nni_fail(&m->message, NN_EINVAL, "%s: base %d is not a role of a model", name, (int)role);
    }
    if (!m->buffer[base])
        return nni_fail(&m->message, NN_ESTATE, "%s: this role has no buffer yet", name);
    *out = s;
    *at = nni_model_host(m, base);
    if (!*at)
        return NN_ENOMEM;
    *at += s->offset;
    return NN_OK;
}

static int ready(nn_model *m, const char *function, const char *name, const void *data)
{
    if (!m)
        return NN_EINVAL;
    return name && data ? nn_model_seal(m) : nni_null(&m->message, function, "name and data");
}

int nn_model_read(nn_model *m, const char *name, nn_base role, nn_dtype type, void *data)
{
    const nn_segment *s;
    int rc = ready(m, __func__, name, data);
    char *at;

    if (!rc)
        rc = locate(m, name, role, &s, &at);
    if (rc)
        return rc;
    rc = nni_convert(at, s->type, data, type, s->count);
    return rc ? nni_fail(&m->message, rc, "%s: cannot read %s as %s", name, nn_dtype_name(s->type),
                         nn_dtype_name(type))
              : NN_OK;
}

int nn_model_write(nn_model *m, const char *name, nn_base role, nn_dtype type, const void *data)
{
    const nn_segment *s;
    int rc = ready(m, __func__, name, data);
    char *at;

    if (!rc)
        rc = locate(m, name, role, &s, &at);
    if (rc)
        return rc;
    rc = nni_convert(data, type, at, s->type, s->count);
    nn_model_changed(m);
    return rc ? nni_fail(&m->message, rc, "%s: cannot write %s as %s", name, nn_dtype_name(type),
                         nn_dtype_name(s->type))
              : NN_OK;
}

enum what { TRAINABLE, LR_SCALE, DECAY_SCALE };

static int64_t set(nn_model *m, const char *function, const char *pattern, enum what what, double value)
{
    int64_t n = 0;

    if (!m || !pattern)
        return nni_null(m ? &m->message : NULL, function, "a model and the pattern");
    if (!(value >= 0 && value <= DBL_MAX))
        return nni_fail(&m->message, NN_EINVAL, "%s: %g is no scale: 0 or more", pattern, value);
    for (int64_t i = 0; i < m->count; i++) {
        nn_segment *s = &m->segment[i];

        if (s->base != NN_BASE_PARAM || !nn_match(pattern, s->name))
            continue;
        if (what == TRAINABLE)
            s->trainable = value > 0;
        else if (what == LR_SCALE)
            s->lr_scale = value;
        else
            s->decay_scale = value;
        n++;
    }
    return n;
}

int64_t nn_model_set_trainable(nn_model *m, const char *pattern, int trainable)
{
    return set(m, __func__, pattern, TRAINABLE, trainable != 0);
}
int64_t nn_model_set_lr_scale(nn_model *m, const char *pattern, double scale)
{
    return set(m, __func__, pattern, LR_SCALE, scale);
}
int64_t nn_model_set_decay_scale(nn_model *m, const char *pattern, double scale)
{
    return set(m, __func__, pattern, DECAY_SCALE, scale);
}
