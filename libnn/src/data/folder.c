/* SPDX-License-Identifier: MIT
 *
 * Which images there are. A dataset found on somebody's disk is untidy: the root lies a folder or two
 * deeper than said, folders have other names, links run in circles, there are pipes and files of other
 * programs. The walk below therefore decides by what stat says before it opens anything, opens nothing but
 * folders, holds one folder open at a time, and reports whatever it leaves out.
 *
 * The result depends on the names only, never on the order in which the file system tells them.
 */
#include "data.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 32, ROOT_LEVELS = 3 };

/* ------------------------------------------------------------------------------------ names */

static int label_named(const char *name)
{
    static const char *const names[2][4] = { { "real_images", "real", "nature", "0_real" },
                                             { "fake_images", "fake", "ai", "1_fake" } };

    for (int label = 0; label < 2; label++)
        for (int i = 0; i < 4; i++)
            if (!strcasecmp(name, names[label][i]))
                return label;
    return -1;
}

size_t nni_image_extension(const char *name)
{
    static const char *const extensions[] = { ".jpg", ".jpeg", ".png" };
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        size_t n = strlen(extensions[i]);

        if (length > n && !strcasecmp(name + length - n, extensions[i]))
            return n;
    }
    return 0;
}

static bool is_hidden(const char *name) { return name[0] == '.' || !strcasecmp(name, "Thumbs.db"); }

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

/* ---------------------------------------------------------------------------- one folder's names */

struct names {
    nni_arena arena;
    char **name;
    size_t count, room;
};

static void names_free(struct names *n)
{
    nni_arena_free(&n->arena);
    nni_free(n->name);
    *n = (struct names){ 0 };
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Sorted names of a folder. NN_OK, NN_ENOMEM, or NN_EIO with errno, and what could be read until then. */
static int names_read(struct names *n, const char *path)
{
    void *folder = nni_seam.opendir(path);
    const char *name;
    int rc = NN_OK, saved;

    *n = (struct names){ 0 };
    if (!folder)
        return errno == ENOMEM ? NN_ENOMEM : NN_EIO;
    while (!rc && (name = nni_seam.readdir(folder))) {
        char **grown = nni_one_more(n->name, n->count, &n->room, sizeof *grown);
        char *copy = is_dots(name) ? NULL : nni_arena_text(&n->arena, name);

        if (grown)
            n->name = grown;
        if (!grown || (!copy && !is_dots(name)))
            rc = NN_ENOMEM;
        else if (copy)
            n->name[n->count++] = copy;
        errno = 0;
    }
    saved = rc ? 0 : errno;
    (void)nni_seam.closedir(folder);
    if (n->count)
        qsort(n->name, n->count, sizeof *n->name, by_bytes);
    errno = saved;
    return rc ? rc : saved ? NN_EIO : NN_OK;
}

/* ------------------------------------------------------------------------------ folders visited */

struct visited {
    struct place {
        uint64_t device, inode;
        bool used;
    } * slot;
    size_t count, room;
};

static struct place *find_place(struct place *slot, size_t room, uint64_t device, uint64_t inode)
{
    uint64_t both[2] = { device, inode };
    size_t at = (size_t)nni_hash(both, sizeof both, NNI_HASH_BASIS) & (room - 1);

    while (slot[at].used && (slot[at].device != device || slot[at].inode != inode))
        at = (at + 1) & (room - 1);
    return &slot[at];
}

/* NN_OK: new, and now known. NN_ESTATE: known. NN_ENOMEM. */
static int visit(struct visited *v, const struct nni_stat *st)
{
    struct place *p;

    if (2 * (v->count + 1) > v->room) {
        size_t room = v->room ? 2 * v->room : 64;
        struct place *slot = nni_alloc_array(room, sizeof *slot);

        if (!slot)
            return NN_ENOMEM;
        for (size_t i = 0; i < v->room; i++)
            if (v->slot[i].used)
                *find_place(slot, room, v->slot[i].device, v->slot[i].inode) = v->slot[i];
        nni_free(v->slot);
        v->slot = slot;
        v->room = room;
    }
    p = find_place(v->slot, v->room, st->device, st->inode);
    if (p->used)
        return NN_ESTATE;
    *p = (struct place){ .device = st->device, .inode = st->inode, .used = true };
    v->count++;
    return NN_OK;
}

/* ------------------------------------------------------------------------------------- the walk */

/* One call of a nn_dataset_add function: where it puts what it finds. */
struct scan {
    nn_dataset *d;
    nn_source *source;
    struct visited visited;
    int16_t split, label;
    /* Class folders to walk. All are known before the first is entered, so that no link in one class can
     * lead the walk through the images of another. */
    struct target {
        char *file, *relative;
        int16_t split, label;
    } * target;
    size_t targets, room;
    nni_arena arena;
};

static char *join(nni_arena *arena, const char *a, const char *b)
{
    size_t n = strlen(a);

    if (!n)
        return nni_arena_text(arena, b);
    return nni_arena_printf(arena, a[n - 1] == '/' ? "%s%s" : "%s/%s", a, b);
}

/* Marks a folder as seen. A folder seen before under any name is a problem, and not *fresh. */
static int claim(struct scan *s, const char *file, const struct nni_stat *st, bool *fresh)
{
    int rc = visit(&s->visited, st);

    *fresh = rc == NN_OK;
    if (rc == NN_ESTATE)
        rc = nni_dataset_problem(s->d, NN_PROBLEM_VISITED, file, "the same folder under another name");
    return rc;
}

static int enter(struct scan *s, const char *file, const char *relative, const struct nni_stat *st,
                 int depth);

static int take_entry(struct scan *s, nni_arena *scratch, const char *folder, const char *relative,
                      const char *name, int depth)
{
    nni_arena *keep = &s->d->memory->arena;
    struct nni_stat st;
    nn_sample sample = { .split = s->split, .label = s->label, .source = s->d->sources - 1 };
    char *file = join(scratch, folder, name), *below = join(scratch, relative, name);

    if (!file || !below)
        return NN_ENOMEM;
    if (is_hidden(name)) {
        s->source->hidden++;
        return NN_OK;
    }
    if (nni_seam.stat(file, &st))
        return nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, file, "%s", strerror(errno));
    if (st.is_dir)
        return enter(s, file, below, &st, depth + 1);
    if (!st.is_file)
        return nni_dataset_problem(s->d, NN_PROBLEM_SPECIAL, file, "a pipe, socket or device");
    if (!nni_image_extension(name)) {
        s->source->ignored++;
        return NN_OK;
    }
    nni_sample_stat(&sample, &st);
    sample.file = nni_arena_text(keep, file);
    sample.path = nni_arena_text(keep, below);
    if (!sample.file || !sample.path)
        return NN_ENOMEM;
    return nni_dataset_new_sample(s->d, sample);
}

/* Everything below a folder that has been claimed. */
static int walk(struct scan *s, const char *file, const char *relative, int depth)
{
    nni_arena scratch = { 0 };
    struct names names;
    int rc = names_read(&names, file);

    if (rc == NN_EIO)
        rc = nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, file, "%s, after %zu names", strerror(errno),
                                 names.count);
    for (size_t i = 0; !rc && i < names.count; i++) {
        rc = take_entry(s, &scratch, file, relative, names.name[i], depth);
        if (scratch.total > 1 << 20)
            nni_arena_free(&scratch);
    }
    names_free(&names);
    nni_arena_free(&scratch);
    return rc;
}

static int enter(struct scan *s, const char *file, const char *relative, const struct nni_stat *st, int depth)
{
    bool fresh;
    int rc;

    if (depth > MAX_DEPTH)
        return nni_dataset_problem(s->d, NN_PROBLEM_DEEP, file, "more than %d folders deep, not entered",
                                   MAX_DEPTH);
    rc = claim(s, file, st, &fresh);
    return rc || !fresh ? rc : walk(s, file, relative, depth);
}

/* Claims the folder and puts it on the list of those to walk, with the current split and label. */
static int add_target(struct scan *s, const char *file, const char *relative)
{
    struct target t = { .split = s->split, .label = s->label };
    struct target *grown;
    struct nni_stat st;
    bool fresh;
    int rc;

    if (nni_seam.stat(file, &st))
        return nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, file, "%s", strerror(errno));
    rc = claim(s, file, &st, &fresh);
    if (rc || !fresh)
        return rc;
    t.file = nni_arena_text(&s->arena, file);
    t.relative = nni_arena_text(&s->arena, relative);
    grown = nni_one_more(s->target, s->targets, &s->room, sizeof *grown);
    if (grown)
        s->target = grown;
    if (!grown || !t.file || !t.relative)
        return NN_ENOMEM;
    s->target[s->targets++] = t;
    return NN_OK;
}

static int walk_targets(struct scan *s)
{
    int rc = NN_OK;

    for (size_t i = 0; !rc && i < s->targets; i++) {
        s->split = s->target[i].split;
        s->label = s->target[i].label;
        rc = walk(s, s->target[i].file, s->target[i].relative, 0);
    }
    return rc;
}

/* What there was before a new source: at the end that is either kept in order or leaves no trace. */
struct transaction {
    int64_t samples, problems;
    int32_t sources;
};

static struct transaction now(const nn_dataset *d)
{
    return (struct transaction){ .samples = d->samples, .problems = d->problems, .sources = d->sources };
}

static int begin(nn_dataset *d, struct scan *s, const char *root)
{
    int rc = nni_dataset_new_source(d, root);

    if (rc)
        return rc;
    *s = (struct scan){ .d = d, .source = &d->source[d->sources - 1] };
    return NN_OK;
}

static int finish(nn_dataset *d, struct scan *s, const struct transaction *t, int rc, nn_message *why)
{
    nni_free(s->visited.slot);
    nni_free(s->target);
    nni_arena_free(&s->arena);
    if (rc) {
        d->samples = t->samples;
        d->problems = t->problems;
        d->sources = t->sources;
        if (rc == NN_ENOMEM)
            (void)nni_fail(why, rc, "no memory to list the images of the data set");
        return rc;
    }
    nni_dataset_sort(d, t->samples);
    nni_dataset_count(d);
    return NN_OK;
}

/* Absolute path of an existing folder, without links, into PATH_MAX bytes. */
static int resolve_folder(const char *path, char *absolute, nn_message *why)
{
    struct nni_stat st;

    if (nni_seam.realpath(path, absolute) || nni_seam.stat(absolute, &st))
        return nni_fail(why, errno == ENOENT ? NN_ENOTFOUND : NN_EIO, "%s: %s", path, strerror(errno));
    if (!st.is_dir)
        return nni_fail(why, NN_EFORMAT, "%s: not a folder", path);
    return NN_OK;
}

/* ------------------------------------------------------------------------------ finding the root */

/* What a folder looks like from inside. */
enum look { NOTHING, ONE_CLASS, CLASSES, SPLIT_FOLDERS };

struct search {
    nn_dataset *d;
    nni_arena arena;
    struct visited visited;
    char **queue;
    size_t head, count, room;
    char *found[2]; /* the first root found on this level and, if any, its rival */
    enum look look;
    char *single; /* the first folder that holds one class */
};

static bool is_folder(const char *path)
{
    struct nni_stat st;

    return !nni_seam.stat(path, &st) && st.is_dir;
}

/* Does the split folder `path` hold a class folder, or images to predict? */
static int holds_classes(nni_arena *scratch, const char *path, int split, bool *yes)
{
    struct names names;
    int rc = names_read(&names, path);

    *yes = false;
    if (rc == NN_EIO)
        rc = NN_OK; /* the walk, or the search on the next level, will report it */
    for (size_t i = 0; !rc && !*yes && i < names.count; i++) {
        bool named = label_named(names.name[i]) >= 0 ||
                     (split == NN_SPLIT_TEST && !strcasecmp(names.name[i], "images"));
        char *file = named ? join(scratch, path, names.name[i]) : NULL;

        if (named && !file)
            rc = NN_ENOMEM;
        *yes = file && is_folder(file);
    }
    names_free(&names);
    return rc;
}

/* Looks into one folder and puts the folders below it into the queue. */
static int look_into(struct search *s, const char *path, enum look *look)
{
    struct names names;
    bool class[2] = { false, false }, splits = false;
    int rc = names_read(&names, path);

    if (rc == NN_EIO)
        rc = nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, path, "%s", strerror(errno));
    for (size_t i = 0; !rc && i < names.count; i++) {
        const char *name = names.name[i];
        int label = label_named(name), split = nn_split_named(name);
        char **grown;
        char *file;

        /* Thousands of images need no stat to know that they are no folders worth searching. */
        if (is_hidden(name) || nni_image_extension(name))
            continue;
        file = join(&s->arena, path, name);
        grown = nni_one_more(s->queue, s->count, &s->room, sizeof *grown);
        if (grown)
            s->queue = grown;
        if (!file || !grown) {
            rc = NN_ENOMEM;
            break;
        }
        if (!is_folder(file))
            continue;
        s->queue[s->count++] = file;
        if (label >= 0)
            class[label] = true;
        if (split >= 0 && !splits)
            rc = holds_classes(&s->arena, file, split, &splits);
    }
    names_free(&names);
    *look = splits                 ? SPLIT_FOLDERS
            : class[0] && class[1] ? CLASSES
            : class[0] || class[1] ? ONE_CLASS
                                   : NOTHING;
    return rc;
}

/* Breadth first, so that the nearest root wins. */
static int search_root(struct search *s, const char *top)
{
    int rc = NN_OK;

    s->queue = nni_one_more(NULL, 0, &s->room, sizeof *s->queue);
    if (!s->queue)
        return NN_ENOMEM;
    s->queue[s->count] = nni_arena_text(&s->arena, top);
    if (!s->queue[s->count++])
        return NN_ENOMEM;
    for (int level = 0; !rc && level <= ROOT_LEVELS && !s->found[0]; level++) {
        size_t end = s->count;

        for (; !rc && s->head < end; s->head++) {
            char *path = s->queue[s->head];
            enum look look = NOTHING;
            struct nni_stat st;

            if (nni_seam.stat(path, &st))
                continue;
            rc = visit(&s->visited, &st);
            if (rc == NN_ESTATE) {
                rc = NN_OK;
                continue;
            }
            if (!rc)
                rc = look_into(s, path, &look);
            if (!rc && look == ONE_CLASS && !s->single)
                s->single = path;
            if (!rc && look >= CLASSES && !s->found[1]) {
                s->found[s->found[0] ? 1 : 0] = path;
                if (!s->found[1])
                    s->look = look;
            }
        }
    }
    if (!rc && !s->found[0] && s->single) {
        s->found[0] = s->single;
        s->look = ONE_CLASS;
    }
    return rc;
}

/* ----------------------------------------------------------------------------- the known layouts */

/* Lists the class folders, or the images without label, of one folder. */
static int scan_classes(struct scan *s, const char *folder, const char *relative, bool is_root)
{
    nni_arena scratch = { 0 };
    struct names names;
    int rc = names_read(&names, folder);

    if (rc == NN_EIO)
        rc = nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, folder, "%s", strerror(errno));
    for (size_t i = 0; !rc && i < names.count; i++) {
        const char *name = names.name[i];
        char *file = join(&scratch, folder, name), *below = join(&scratch, relative, name);
        bool images = s->split == NN_SPLIT_TEST && !strcasecmp(name, "images");
        int label = label_named(name);

        if (!file || !below) {
            rc = NN_ENOMEM;
        } else if (is_hidden(name)) {
            s->source->hidden++;
        } else if (!is_folder(file)) {
            s->source->ignored += nni_image_extension(name) > 0;
        } else if (label >= 0 || images) {
            s->label = (int16_t)(images ? NN_LABEL_NONE : label);
            rc = add_target(s, file, below);
        } else if (!is_root || nn_split_named(name) < 0) {
            rc = nni_dataset_problem(s->d, NN_PROBLEM_FOLDER, file, "not the name of a class");
        }
    }
    names_free(&names);
    nni_arena_free(&scratch);
    return rc;
}

static int find_template(struct scan *s, const char *test_folder)
{
    char *path = join(&s->d->memory->arena, test_folder, "sample_submission.csv");
    struct nni_stat st;

    if (!path)
        return NN_ENOMEM;
    if (!nni_seam.stat(path, &st) && st.is_file && !s->source->template_csv)
        s->source->template_csv = path;
    return NN_OK;
}

static int scan_splits(struct scan *s, const char *root, bool train_only)
{
    nni_arena scratch = { 0 };
    struct names names;
    int rc = names_read(&names, root);

    if (rc == NN_EIO)
        rc = nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, root, "%s", strerror(errno));
    for (size_t i = 0; !rc && i < names.count; i++) {
        int split = nn_split_named(names.name[i]);
        char *file = join(&scratch, root, names.name[i]);
        struct nni_stat st;
        bool fresh;

        if (!file) {
            rc = NN_ENOMEM;
        } else if (nni_seam.stat(file, &st) || !st.is_dir) {
            continue;
        } else if (split >= 0 && split != NN_SPLIT_TRAIN && train_only) {
            rc = nni_dataset_problem(s->d, NN_PROBLEM_FOLDER, file, "extra data joins training only");
        } else if (split >= 0) {
            s->split = (int16_t)split;
            rc = claim(s, file, &st, &fresh);
            if (!rc && fresh)
                rc = scan_classes(s, file, names.name[i], false);
            if (!rc && split == NN_SPLIT_TEST)
                rc = find_template(s, file);
        } else if (label_named(names.name[i]) >= 0) {
            rc = nni_dataset_problem(s->d, NN_PROBLEM_FOLDER, file, "a class folder beside split folders");
        }
    }
    names_free(&names);
    nni_arena_free(&scratch);
    return rc;
}

/* Lists what is to be walked below the root that the search has found. */
static int list_targets(struct scan *s, const char *root, enum look look, bool train_only)
{
    struct nni_stat st;
    bool fresh;
    int rc;

    if (nni_seam.stat(root, &st))
        return nni_dataset_problem(s->d, NN_PROBLEM_UNREADABLE, root, "%s", strerror(errno));
    rc = claim(s, root, &st, &fresh);
    if (rc)
        return rc;
    return look == SPLIT_FOLDERS ? scan_splits(s, root, train_only) : scan_classes(s, root, "", true);
}

static int no_root(const char *folder, const struct search *search, int64_t problems, nn_message *why)
{
    const nn_dataset *d = search->d;

    if (search->found[1])
        return nni_fail(
            why, NN_EFORMAT,
            "%s: two data sets lie in it, %s and %s; name one of them (and the other as extra data)", folder,
            search->found[0], search->found[1]);
    if (d->problems > problems)
        return nni_fail(why, NN_EIO, "%s: no image folders found; %s cannot be read: %s", folder,
                        d->problem[problems].file, d->problem[problems].text);
    return nni_fail(why, NN_EFORMAT,
                    "%s: no image folders found in it or up to %d levels below; expected "
                    "train/{fake_images,real_images} and valid/{fake_images,real_images}; other names of the "
                    "classes: fake, ai, 1_fake and real, nature, 0_real",
                    folder, ROOT_LEVELS);
}

static int add_folder(nn_dataset *d, const char *folder, bool extra, nn_message *why)
{
    struct search search = { .d = d };
    struct transaction t;
    struct scan s = { 0 };
    char absolute[PATH_MAX];
    int rc;

    if (!d || !folder)
        return nni_null(why, extra ? "nn_dataset_add_extra" : "nn_dataset_add", "the dataset and folder");
    t = now(d);
    if ((rc = resolve_folder(folder, absolute, why)))
        return rc;
    rc = search_root(&search, absolute);
    if (!rc && (!search.found[0] || search.found[1]))
        rc = no_root(folder, &search, t.problems, why);
    for (int32_t i = 0; !rc && i < d->sources; i++)
        if (!strcmp(d->source[i].root, search.found[0]))
            rc = nni_fail(why, NN_EINVAL, "%s: given twice as a data set", search.found[0]);
    if (!rc)
        rc = begin(d, &s, search.found[0]);
    if (!rc)
        rc = list_targets(&s, search.found[0], search.look, extra);
    if (!rc)
        rc = walk_targets(&s);
    if (!rc && extra && d->samples == t.samples)
        rc = nni_fail(why, NN_EFORMAT,
                      "%s: no training images in it: extra data needs train/{fake_images,real_images}",
                      folder);
    rc = finish(d, &s, &t, rc, why);
    nni_arena_free(&search.arena);
    nni_free(search.visited.slot);
    nni_free(search.queue);
    return rc;
}

int nn_dataset_add(nn_dataset *d, const char *folder, nn_message *why)
{
    return add_folder(d, folder, false, why);
}

int nn_dataset_add_extra(nn_dataset *d, const char *folder, nn_message *why)
{
    return add_folder(d, folder, true, why);
}

int nn_dataset_add_pair(nn_dataset *d, const char *fake_dir, const char *real_dir, nn_message *why)
{
    struct {
        const char *folder, *name;
        int16_t label;
    } side[2] = {
        { fake_dir, "fake", NN_LABEL_FAKE },
        { real_dir, "real", NN_LABEL_REAL },
    };
    struct transaction t;
    struct scan s = { 0 };
    char absolute[2][PATH_MAX];
    int rc = NN_OK;

    if (!d || !fake_dir || !real_dir)
        return nni_null(why, __func__, "the dataset, fake_dir and real_dir");
    for (int i = 0; !rc && i < 2; i++)
        rc = resolve_folder(side[i].folder, absolute[i], why);
    if (!rc && !strcmp(absolute[0], absolute[1]))
        rc = nni_fail(why, NN_EINVAL, "%s: the same folder for fake and real", fake_dir);
    if (rc)
        return rc;
    t = now(d);
    rc = begin(d, &s, absolute[0]);
    for (int i = 0; !rc && i < 2; i++) {
        s.label = side[i].label;
        rc = add_target(&s, absolute[i], side[i].name);
    }
    if (!rc)
        rc = walk_targets(&s);
    return finish(d, &s, &t, rc, why);
}

/* A file named by the caller: kept in the order of the calls, in one source for all of them. */
static int add_file(nn_dataset *d, const char *path, const struct nni_stat *st, nn_message *why)
{
    nni_arena *keep = &d->memory->arena;
    bool fits = d->sources && !d->source[d->sources - 1].root[0];
    nn_sample s = { .split = NN_SPLIT_TEST, .label = NN_LABEL_NONE };
    int rc = NN_OK;

    nni_sample_stat(&s, st);
    s.path = s.file = nni_arena_text(keep, path);
    if (!s.path)
        rc = NN_ENOMEM;
    if (!rc && !fits)
        rc = nni_dataset_new_source(d, "");
    s.source = d->sources - 1;
    if (!rc) {
        rc = nni_dataset_new_sample(d, s);
        if (rc && !fits)
            d->sources--;
    }
    if (rc)
        return nni_fail(why, rc, "%s: no memory", path);
    d->count[NN_SPLIT_TEST][NN_LABEL_NONE]++;
    return NN_OK;
}

int nn_dataset_add_images(nn_dataset *d, const char *path, nn_message *why)
{
    struct transaction t;
    struct scan s = { 0 };
    struct nni_stat st;
    char absolute[PATH_MAX];
    int rc;

    if (!d || !path)
        return nni_null(why, __func__, "the dataset and path");
    if (nni_seam.stat(path, &st))
        return nni_fail(why, errno == ENOENT ? NN_ENOTFOUND : NN_EIO, "%s: %s", path, strerror(errno));
    if (st.is_file)
        return add_file(d, path, &st, why);
    if (!st.is_dir)
        return nni_fail(why, NN_EFORMAT, "%s: neither a file nor a folder", path);
    rc = resolve_folder(path, absolute, why);
    if (rc)
        return rc;
    t = now(d);
    rc = begin(d, &s, absolute);
    s.split = NN_SPLIT_TEST;
    s.label = NN_LABEL_NONE;
    if (!rc)
        rc = add_target(&s, absolute, "");
    if (!rc)
        rc = walk_targets(&s);
    return finish(d, &s, &t, rc, why);
}
