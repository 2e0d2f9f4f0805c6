/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: a run that is interrupted and resumed must end with the same bits as one that was
 * not, so everything the next step depends on is here: parameters, state, averages, moments,
 * counters and the seed of the random streams. Nothing random has state of its own. What belongs to
 * the data (position in the epoch, early stopping) is the caller's and travels in its pairs.
 */
#include "core/core.h"
#include "io/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
    const char *prefix;
    nn_base base, state; /* state: the twin that holds what is no parameter, or NONE */
};
static const struct part PARTS[] = { { "model/", NN_BASE_PARAM, NN_BASE_STATE },
                                     { "ema/", NN_BASE_EMA, NN_BASE_STATE_EMA },
                                     { "optim.m1/", NN_BASE_MOMENT1, NN_BASE_NONE },
                                     { "optim.m2/", NN_BASE_MOMENT2, NN_BASE_NONE } };
enum { PART_COUNT = sizeof PARTS / sizeof *PARTS };

#define KEY "libnn.plan."
static const struct {
    const char *key;
    nn_setting setting;
} COUNTERS[] = { { KEY "step", NN_STEP },
                 { KEY "sample", NN_SAMPLE },
                 { KEY "applied", NN_APPLIED },
                 { KEY "skipped", NN_SKIPPED } };
enum { COUNTER_COUNT = sizeof COUNTERS / sizeof *COUNTERS, OWN_PAIRS = COUNTER_COUNT + 3 };

static bool has_part(const nn_plan *p, const nn_model *m, const struct part *part)
{
    if (part->base == NN_BASE_PARAM)
        return true;
    if (part->base == NN_BASE_EMA)
        return p->ema && m->buffer[NN_BASE_EMA] && m->buffer[NN_BASE_STATE_EMA];
    return p->optim.name && p->optim.moments > (part->base == NN_BASE_MOMENT2) && m->buffer[part->base];
}

/* The sum over all tensors of the CRC of (name, type, shape, data) and over all pairs of that of (key, value)
 * does not depend on their order in the file. Pairs count too: one flipped bit in a counter would resume
 * elsewhere. */
static uint32_t checksum(uint32_t sum, const char *name, nn_dtype type, const nn_shape *shape,
                         const void *data)
{
    int64_t head[NN_MAX_RANK + 1] = { (int64_t)type };
    uint32_t crc = nni_crc32c(0, name, strlen(name));

    for (int i = 0; i < shape->rank; i++)
        head[i + 1] = shape->dim[i];
    crc = nni_crc32c(crc, head, sizeof *head * (size_t)(shape->rank + 1));
    return sum + nni_crc32c(crc, data, (size_t)nn_shape_count(*shape) * nn_dtype_size(type));
}

static uint32_t checksum_pair(uint32_t sum, const nn_pair *pair)
{
    return sum +
           nni_crc32c(nni_crc32c(0, pair->key, strlen(pair->key) + 1), pair->value, strlen(pair->value));
}

static int64_t gather(const nn_plan *p, nn_model *m, nn_safetensors_item *item, nni_arena *names,
                      uint32_t *sum)
{
    int64_t n = 0;

    for (int k = 0; k < PART_COUNT; k++) {
        for (int64_t i = 0; i < m->count && has_part(p, m, &PARTS[k]); i++) {
            const nn_segment *s = &m->segment[i];
            nn_base base = s->base == NN_BASE_PARAM ? PARTS[k].base : PARTS[k].state;
            const char *at = base != NN_BASE_NONE ? nni_model_host(m, base) : NULL;

            if (base == NN_BASE_NONE)
                continue;
            if (!at)
                return -1;
            item[n] =
                (nn_safetensors_item){ .name = nni_arena_printf(names, "%s%s", PARTS[k].prefix, s->name),
                                       .type = s->type,
                                       .shape = s->shape,
                                       .data = at + s->offset };
            if (!item[n].name)
                return -1;
            *sum = checksum(*sum, item[n].name, item[n].type, &item[n].shape, item[n].data);
            n++;
        }
    }
    return n;
}

static bool trains(const nn_plan *p, const nn_model *m)
{
    for (int i = 0; i < p->models; i++)
        if (p->model[i] == m)
            return true;
    return false;
}

int nn_checkpoint_save(nn_plan *p, nn_model *m, const char *path, const nn_pair *pairs, int64_t pair_count,
                       nn_message *why)
{
    nni_arena arena = { 0 };
    nn_safetensors_item *item;
    nn_pair *pair;
    int64_t n = 0, k = 0;
    uint32_t sum = 0;
    bool memory;
    int rc;

    if (!p || !m || !path || pair_count < 0 || (pair_count && !pairs))
        return nni_null(why, __func__, "plan, model, path and pairs");
    if (!m->sealed || !trains(p, m))
        return nni_fail(why, NN_ESTATE, "%s: the model %s", path,
                        m->sealed ? "is none of the plan's" : "has no values yet");
    item = nni_arena_take(&arena, (size_t)(m->count * PART_COUNT + 1) * sizeof *item);
    pair = nni_arena_take(&arena, (size_t)(pair_count + OWN_PAIRS) * sizeof *pair);
    memory = item && pair && (n = gather(p, m, item, &arena, &sum)) >= 0;
    if (memory) {
        for (int64_t i = 0; i < pair_count; i++)
            pair[k++] = pairs[i];
        for (int i = 0; i < COUNTER_COUNT; i++)
            pair[k++] = (nn_pair){ COUNTERS[i].key,
                                   nni_arena_printf(&arena, "%.0f", nn_get(p, COUNTERS[i].setting)) };
        pair[k++] =
            (nn_pair){ KEY "seed", nni_arena_printf(&arena, "%llu", (unsigned long long)p->now.seed) };
        pair[k++] = (nn_pair){ KEY "optimizer", p->optim.name ? p->optim.name : "none" };
        for (int64_t i = 0; i < k; i++) {
            memory = memory && (pair[i].value || i < pair_count);
            if (pair[i].key && pair[i].value) /* what the caller left out is refused below */
                sum = checksum_pair(sum, &pair[i]);
        }
        pair[k++] = (nn_pair){ KEY "checksum", nni_arena_printf(&arena, "%08x", (unsigned)sum) };
        memory = memory && pair[k - 1].value;
    }
    rc = memory ? nn_safetensors_write(path, item, n, pair, k, why)
                : nni_fail(why, NN_ENOMEM, "%s: no memory for its table", path);
    nni_arena_free(&arena);
    return rc;
}

int nn_checkpoint_check(const nn_safetensors *file, nn_message *why)
{
    const char *text = nn_safetensors_metadata(file, KEY "checksum");
    uint32_t sum = 0;
    char now[16];

    if (!file)
        return nni_null(why, __func__, "file");
    if (!text)
        return nni_fail(why, NN_EFORMAT,
                        "not a checkpoint: its metadata has no \"" KEY "checksum\" (weights alone are "
                        "given with --weights)");
    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        const nn_safetensors_entry *e = nn_safetensors_at(file, i);

        if (e->type == NN_DTYPES)
            return nni_fail(why, NN_EFORMAT, "the checkpoint is damaged: \"%s\" has type %s", e->name,
                            e->dtype);
        sum = checksum(sum, e->name, e->type, &e->shape, e->data);
    }
    for (int64_t i = 0; i < nn_safetensors_metadata_count(file); i++) {
        const nn_pair *pair = nn_safetensors_metadata_at(file, i);

        if (strcmp(pair->key, KEY "checksum") != 0)
            sum = checksum_pair(sum, pair);
    }
    (void)snprintf(now, sizeof now, "%08x", (unsigned)sum);
    if (strcmp(text, now) != 0)
        return nni_fail(why, NN_EFORMAT,
                        "the checkpoint is damaged: checksum %s, recorded %s; use an older one", now, text);
    return NN_OK;
}

static int read_number(const nn_safetensors *file, const char *key, uint64_t *out, nn_message *why)
{
    const char *text = nn_safetensors_metadata(file, key);
    char *end;

    errno = 0;
    *out = text ? strtoull(text, &end, 10) : 0;
    if (!text || !*text || *text == '-' || *end || errno)
        return nni_fail(why, NN_EFORMAT, "\"%s\" in the metadata is missing or no number", key);
    return NN_OK;
}

static bool file_has(const nn_safetensors *file, const char *prefix)
{
    for (int64_t i = 0; i < nn_safetensors_count(file); i++)
        if (!strncmp(nn_safetensors_at(file, i)->name, prefix, strlen(prefix)))
            return true;
    return false;
}

int nn_checkpoint_load(nn_plan *p, nn_model *m, const nn_safetensors *file, nn_message *why)
{
    const char *optim = nn_safetensors_metadata(file, KEY "optimizer");
    uint64_t counter[COUNTER_COUNT], seed;
    int rc;

    if (!p || !m || !file)
        return nni_null(why, __func__, "plan, model and file");
    rc = nn_checkpoint_check(file, why);
    if (!rc && !trains(p, m))
        rc = nni_fail(why, NN_ESTATE, "the model is none of the plan's");
    for (int i = 0; !rc && i < COUNTER_COUNT; i++) {
        rc = read_number(file, COUNTERS[i].key, &counter[i], why);
        if (!rc && counter[i] > UINT64_C(1) << 53)
            rc = nni_fail(why, NN_EFORMAT, "\"%s\" in the metadata is no counter", COUNTERS[i].key);
    }
    if (!rc)
        rc = read_number(file, KEY "seed", &seed, why);
    if (!rc && (!optim || strcmp(optim, p->optim.name ? p->optim.name : "none")))
        rc = nni_fail(why, NN_EFORMAT,
                      "the checkpoint was trained with optimizer \"%s\", this run uses \"%s\"",
                      optim ? optim : "?", p->optim.name ? p->optim.name : "none");
    for (int k = 0; !rc && k < PART_COUNT; k++)
        if (has_part(p, m, &PARTS[k]) != file_has(file, PARTS[k].prefix))
            rc = nni_fail(
                why, NN_EFORMAT,
                "the checkpoint %s \"%s\" and this run %s them: its optimizer or its averages are others",
                file_has(file, PARTS[k].prefix) ? "holds" : "holds no", PARTS[k].prefix,
                has_part(p, m, &PARTS[k]) ? "needs" : "does not use");
    for (int k = 0; !rc && k < PART_COUNT; k++) {
        nn_load_opts o = { .from = PARTS[k].prefix, .role = PARTS[k].base };

        if (!has_part(p, m, &PARTS[k]))
            continue;
        rc = nn_model_load_from(m, file, &o, NULL);
        if (rc)
            rc = nni_fail(why, rc, "%s%s", k ? "from another run: " : "", nn_model_error(m));
    }
    if (rc)
        return rc;
    for (int i = 0; i < COUNTER_COUNT; i++)
        (void)nn_set(p, COUNTERS[i].setting, (double)counter[i]);
    p->now.seed = seed;
    return NN_OK;
}
