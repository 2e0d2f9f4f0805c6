/* SPDX-License-Identifier: MIT
 *
 * Zip archives by libzip, which knows the formats of the directory and checks it against the members' own
 * headers. It reads through a source of ours that remembers where it read last. That tells two things which
 * libzip does not: where in the file it found an error, and where a member's bytes begin. libzip allocates
 * with malloc, not through the seam.
 *
 * Format: PKWARE's APPNOTE.TXT.
 */
#include "zip.h"

#include "tensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

enum {
    MAX_MEMBERS = 1 << 16,
    MAX_NAME = 512,
    HEADER = 30 /* bytes that stand before a member at least */
};

/* What libzip reads from. */
struct source {
    const unsigned char *bytes;
    zip_uint64_t size, at, last; /* `last`: where the latest read began */
    zip_error_t error;
};

static zip_int64_t serve(void *user, void *data, zip_uint64_t size, zip_source_cmd_t command)
{
    struct source *s = user;

    switch (command) {
    case ZIP_SOURCE_OPEN: s->at = 0; return 0;
    case ZIP_SOURCE_READ:
        if (size > s->size - s->at)
            size = s->size - s->at;
        s->last = s->at;
        memcpy(data, s->bytes + s->at, (size_t)size);
        s->at += size;
        return (zip_int64_t)size;
    case ZIP_SOURCE_SEEK: {
        zip_int64_t to = zip_source_seek_compute_offset(s->at, s->size, data, size, &s->error);

        if (to < 0)
            return -1;
        s->at = (zip_uint64_t)to;
        return 0;
    }
    case ZIP_SOURCE_TELL: return (zip_int64_t)s->at;
    case ZIP_SOURCE_STAT:
        zip_stat_init(data);
        ((zip_stat_t *)data)->valid = ZIP_STAT_SIZE;
        ((zip_stat_t *)data)->size = s->size;
        return sizeof(zip_stat_t);
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&s->error, data, size);
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE,
                                              ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
                                              ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    default: zip_error_set(&s->error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

struct archive {
    struct source source;
    const char *label;
    zip_t *zip;
    nni_arena *arena;
    struct nni_member *member;
    int64_t count;
    nn_message *why;
};

static int zip_fail(struct archive *a, zip_error_t *error)
{
    int code = zip_error_code_zip(error);

    if (code == ZIP_ER_MEMORY)
        return nni_fail(a->why, NN_ENOMEM, "%s: no memory for its directory", a->label);
    if (code == ZIP_ER_NOZIP)
        return nni_fail(a->why, NN_EFORMAT,
                        "%s: byte %" PRIu64
                        ": the directory at the end of a zip archive is missing or does not "
                        "fit the members; the file was cut short or damaged: fetch or copy it again",
                        a->label, (uint64_t)a->source.size);
    return nni_fail(a->why, code == ZIP_ER_MULTIDISK ? NN_EUNSUPPORTED : NN_EFORMAT,
                    "%s: byte %" PRIu64 ": damaged zip archive: %s", a->label, (uint64_t)a->source.last,
                    zip_error_strerror(error));
}

static int open_archive(struct archive *a)
{
    zip_source_t *source;
    zip_error_t error;
    int rc = NN_OK;

    zip_error_init(&error);
    zip_error_init(&a->source.error);
    source = zip_source_function_create(serve, &a->source, &error);
    if (source)
        a->zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    if (!a->zip) {
        rc = zip_fail(a, &error);
        zip_source_free(source);
    }
    zip_error_fini(&error);
    return rc;
}

static int member_fail(const struct archive *a, const char *name, uint64_t at, const char *what)
{
    nni_text text;

    return nni_fail(a->why, NN_EFORMAT, "%s: byte %" PRIu64 ": member \"%s\": %s", a->label, at,
                    nni_brief(name, &text), what);
}

static bool is_clean(const char *name)
{
    return *name && strlen(name) <= MAX_NAME && nni_is_utf8(name) && !nni_has_control(name) && *name != '/' &&
           !strchr(name, '\\') && !strstr(name, "..");
}

/* Reads its first byte and looks where libzip found it. */
static int find_payload(struct archive *a, zip_uint64_t index, struct nni_member *m)
{
    zip_file_t *file = zip_fopen_index(a->zip, index, ZIP_FL_COMPRESSED);
    unsigned char first;
    bool found;

    if (!file)
        return zip_fail(a, zip_get_error(a->zip));
    found = !m->size || zip_fread(file, &first, 1) == 1;
    (void)zip_fclose(file);
    if (m->size)
        m->offset = (size_t)a->source.last;
    if (!found || m->offset > a->source.size || m->size > a->source.size - m->offset)
        return member_fail(a, m->name, m->offset, "reaches beyond the end of the file");
    return NN_OK;
}

static int take_member(struct archive *a, zip_uint64_t index)
{
    struct nni_member *m = &a->member[index];
    zip_stat_t s;

    if (zip_stat_index(a->zip, index, ZIP_FL_ENC_RAW, &s))
        return zip_fail(a, zip_get_error(a->zip));
    if (!is_clean(s.name))
        return member_fail(a, "", a->source.last, "a name that is empty, too long, or leads elsewhere");
    if (s.comp_method != ZIP_CM_STORE || s.encryption_method != ZIP_EM_NONE)
        return member_fail(
            a, s.name, a->source.last,
            "compressed or encrypted; torch.save does not do that, torch.jit.save does: save a state_dict()");
    if (s.comp_size != s.size)
        return member_fail(a, s.name, a->source.last, "two different sizes");
    m->name = nni_arena_text(a->arena, s.name);
    if (!m->name)
        return nni_fail(a->why, NN_ENOMEM, "%s: no memory for its directory", a->label);
    if (s.size > a->source.size)
        return member_fail(a, s.name, a->source.last, "larger than the file");
    m->size = (size_t)s.size;
    m->crc = s.crc;
    return find_payload(a, index, m);
}

static int by_place(const void *a, const void *b)
{
    const struct nni_member *x = a, *y = b;

    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct nni_member *)a)->name, ((const struct nni_member *)b)->name);
}

static int check_places(const struct archive *a)
{
    size_t end = 0;

    qsort(a->member, (size_t)a->count, sizeof *a->member, by_place);
    for (int64_t i = 0; i < a->count; i++) {
        const struct nni_member *m = &a->member[i];

        if (!m->size)
            continue;
        if (m->offset < HEADER || m->offset - HEADER < end)
            return member_fail(a, m->name, m->offset, "overlaps another member");
        end = m->offset + m->size;
    }
    qsort(a->member, (size_t)a->count, sizeof *a->member, by_name);
    for (int64_t i = 1; i < a->count; i++)
        if (!by_name(&a->member[i - 1], &a->member[i]))
            return member_fail(a, a->member[i].name, a->member[i].offset, "occurs twice");
    return NN_OK;
}

static uint32_t checksum(const unsigned char *bytes, size_t size)
{
    uLong crc = crc32(0, NULL, 0);

    while (size) {
        uInt n = size < 1u << 30 ? (uInt)size : 1u << 30;

        crc = crc32(crc, bytes, n);
        bytes += n;
        size -= n;
    }
    return (uint32_t)crc;
}

static int check_sums(const struct archive *a)
{
    bool any = false;

    for (int64_t i = 0; i < a->count; i++)
        any |= a->member[i].crc != 0;
    for (int64_t i = 0; any && i < a->count; i++) {
        const struct nni_member *m = &a->member[i];

        if (checksum(a->source.bytes + m->offset, m->size) != m->crc)
            return member_fail(a, m->name, m->offset, "its checksum is wrong: fetch or copy the file again");
    }
    return NN_OK;
}

int nni_zip_members(const void *bytes, size_t size, const char *label, nni_arena *arena,
                    struct nni_member **out, int64_t *count, nn_message *why)
{
    struct archive a = {
        .source = { .bytes = bytes, .size = size }, .label = label, .arena = arena, .why = why
    };
    int rc = open_archive(&a);

    *out = NULL;
    *count = 0;
    if (rc)
        return rc;
    a.count = zip_get_num_entries(a.zip, 0);
    if (a.count > MAX_MEMBERS)
        rc = nni_fail(why, NN_EFORMAT, "%s: byte %" PRIu64 ": %" PRId64 " members, more than any checkpoint",
                      label, (uint64_t)a.source.last, a.count);
    if (!rc) {
        a.member = nni_arena_take(arena, (size_t)a.count * sizeof *a.member);
        if (!a.member)
            rc = nni_fail(why, NN_ENOMEM, "%s: no memory for its directory", label);
    }
    for (int64_t i = 0; !rc && i < a.count; i++)
        rc = take_member(&a, (zip_uint64_t)i);
    zip_discard(a.zip);
    if (!rc)
        rc = check_places(&a);
    if (!rc)
        rc = check_sums(&a);
    if (rc)
        return rc;
    *out = a.member;
    *count = a.count;
    return NN_OK;
}

const struct nni_member *nni_zip_find(const struct nni_member *members, int64_t count, const char *name)
{
    struct nni_member wanted = { .name = name };

    return count ? bsearch(&wanted, members, (size_t)count, sizeof wanted, by_name) : NULL;
}
