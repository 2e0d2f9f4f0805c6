/* SPDX-License-Identifier: MIT
 *
 * The one door to the allocator and the file system. nni_seam holds the functions that really do
 * it; tests put their own there to make the n-th call fail or to watch the order of fsync and
 * rename. Everything else in the library calls the nni_ functions below.
 */
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HUGE_PAGE = 1 << 21, MOST_KEPT = 100 };

/* Large blocks are aligned to huge pages: activations and weights are walked from end to end, and
 * page faults and TLB misses are a measurable part of a step otherwise. */
static void *sys_alloc(size_t size)
{
    size_t align = size >= HUGE_PAGE ? HUGE_PAGE : 64;
    void *memory = NULL;

    if (posix_memalign(&memory, align, size ? size : 1))
        return NULL;
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE)
        (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
    return memory;
}

static void sys_free(void *memory) { free(memory); }
static int sys_open(const char *path, int flags, int mode) { return open(path, flags | O_CLOEXEC, mode); }
static int64_t sys_read(int fd, void *data, size_t size) { return (int64_t)read(fd, data, size); }
static int64_t sys_write(int fd, const void *data, size_t size) { return (int64_t)write(fd, data, size); }
static int64_t sys_seek(int fd, int64_t offset) { return (int64_t)lseek(fd, (off_t)offset, SEEK_SET); }
static int sys_mkdir(const char *path, int mode) { return mkdir(path, (mode_t)mode); }

static int sys_stat(const char *path, struct nni_stat *out)
{
    struct stat st;

    if (stat(path, &st))
        return -1;
    *out = (struct nni_stat){
        .size = (uint64_t)st.st_size,
        .device = (uint64_t)st.st_dev,
        .inode = (uint64_t)st.st_ino,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .is_file = S_ISREG(st.st_mode),
        .is_dir = S_ISDIR(st.st_mode),
    };
    return 0;
}

static void *sys_opendir(const char *path) { return opendir(path); }
static int sys_closedir(void *folder) { return closedir(folder); }
static int sys_realpath(const char *path, char *absolute) { return realpath(path, absolute) ? 0 : -1; }

static const char *sys_readdir(void *folder)
{
    struct dirent *entry;

    errno = 0;
    entry = readdir(folder);
    return entry ? entry->d_name : NULL;
}

static void *sys_map(int fd, size_t size)
{
    void *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

    return at == MAP_FAILED ? NULL : at;
}

struct nni_seam nni_seam = {
    .alloc = sys_alloc,
    .free = sys_free,
    .open = sys_open,
    .close = close,
    .read = sys_read,
    .write = sys_write,
    .seek = sys_seek,
    .fsync = fsync,
    .rename = rename,
    .unlink = unlink,
    .mkdir = sys_mkdir,
    .stat = sys_stat,
    .opendir = sys_opendir,
    .readdir = sys_readdir,
    .closedir = sys_closedir,
    .realpath = sys_realpath,
    .map = sys_map,
    .unmap = munmap,
};

void *nni_alloc(size_t size) { return size > PTRDIFF_MAX ? NULL : nni_seam.alloc(size); }

void *nni_alloc_zero(size_t size)
{
    void *memory = nni_alloc(size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void *nni_alloc_array(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return nni_alloc_zero(bytes);
}

void *nni_grow(void *old, size_t old_size, size_t new_size)
{
    void *memory = nni_alloc(new_size);

    if (!memory)
        return NULL;
    if (old)
        memcpy(memory, old, old_size < new_size ? old_size : new_size);
    nni_free(old);
    return memory;
}

void *nni_one_more(void *array, size_t used, size_t *room, size_t size)
{
    size_t wanted = *room ? *room * 2 : 16;
    void *moved;

    if (used < *room)
        return array;
    if (wanted > SIZE_MAX / size)
        return NULL;
    moved = nni_grow(array, used * size, wanted * size);
    if (moved)
        *room = wanted;
    return moved;
}

void nni_free(void *memory)
{
    if (memory)
        nni_seam.free(memory);
}

char *nni_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = nni_alloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

int nni_read_all(int fd, void *data, size_t size, size_t *got)
{
    size_t at = 0;

    while (at < size) {
        int64_t n = nni_seam.read(fd, (char *)data + at, size - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NN_EIO;
        if (n == 0)
            break;
        at += (size_t)n;
    }
    *got = at;
    return NN_OK;
}

int nni_write_all(int fd, const void *data, size_t size)
{
    size_t at = 0;

    while (at < size) {
        int64_t n = nni_seam.write(fd, (const char *)data + at, size - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NN_EIO;
        at += (size_t)n;
    }
    return NN_OK;
}

int nni_read_file(const char *path, size_t limit, void **data, size_t *size, nn_message *why)
{
    struct nni_stat st;
    void *memory = NULL;
    size_t got = 0;
    int fd, rc = NN_OK;

    if (nni_seam.stat(path, &st))
        return nni_fail(why, errno == ENOENT ? NN_ENOTFOUND : NN_EIO, "%s: %s", path, strerror(errno));
    if (!st.is_file)
        return nni_fail(why, NN_EFORMAT, "%s: not a regular file", path);
    if (st.size > limit)
        return nni_fail(why, NN_EFORMAT, "%s: %llu bytes, more than the limit of %zu", path,
                        (unsigned long long)st.size, limit);
    memory = nni_alloc((size_t)st.size + 1);
    if (!memory)
        return nni_fail(why, NN_ENOMEM, "%s: no memory for %llu bytes", path, (unsigned long long)st.size);
    fd = nni_seam.open(path, O_RDONLY, 0);
    if (fd < 0) {
        rc = nni_fail(why, NN_EIO, "%s: %s", path, strerror(errno));
        nni_free(memory);
        return rc;
    }
    if (nni_read_all(fd, memory, (size_t)st.size, &got))
        rc = nni_fail(why, NN_EIO, "%s: %s", path, strerror(errno));
    (void)nni_seam.close(fd);
    if (rc) {
        nni_free(memory);
        return rc;
    }
    ((char *)memory)[got] = 0;
    *data = memory;
    *size = got;
    return NN_OK;
}

static int writer_fail(nni_writer *w, nn_message *why, const char *what)
{
    int rc = nni_fail(why, NN_EIO, "%s: %s: %s", w->path, what, strerror(errno));

    nni_writer_abort(w);
    return rc;
}

char *nni_temporary(const char *path)
{
    static atomic_uint count;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t kept = strlen(name), room;
    char *text;

    if (kept > MOST_KEPT)
        for (kept = MOST_KEPT; kept && ((unsigned char)name[kept] & 0xc0) == 0x80;) /* inside a character */
            kept--;
    kept += (size_t)(name - path);
    room = kept + 48;
    text = nni_alloc(room);
    if (text)
        (void)snprintf(text, room, "%.*s.tmp.%ld.%u", (int)kept, path, (long)getpid(),
                       atomic_fetch_add(&count, 1));
    return text;
}

int nni_writer_open(nni_writer *w, const char *path, nn_message *why)
{
    char target[PATH_MAX];
    struct nni_stat st;

    /* Through a symbolic link the file it points at is replaced, never the link (it may be /dev/stdout). */
    *w = (nni_writer){ .fd = -1 };
    if (!nni_seam.realpath(path, target))
        path = target;
    else if (errno != ENOENT)
        return nni_fail(why, NN_EIO, "%s: %s", path, strerror(errno));
    if (!nni_seam.stat(path, &st)) {
        if (!st.is_file)
            return nni_fail(why, NN_EIO, "%s: exists and is no regular file", path);
    } else if (errno != ENOENT) {
        return nni_fail(why, NN_EIO, "%s: %s", path, strerror(errno));
    }
    *w = (nni_writer){ .fd = -1, .path = nni_strdup(path), .temporary = nni_temporary(path) };
    if (!w->path || !w->temporary) {
        nni_free(w->path);
        nni_free(w->temporary);
        *w = (nni_writer){ .fd = -1 };
        return nni_fail(why, NN_ENOMEM, "%s: no memory", path);
    }
    w->fd = nni_seam.open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (w->fd < 0)
        return writer_fail(w, why, "cannot create");
    return NN_OK;
}

int nni_writer_put(nni_writer *w, const void *data, size_t size, nn_message *why)
{
    if (nni_write_all(w->fd, data, size))
        return writer_fail(w, why, "cannot write");
    w->written += size;
    return NN_OK;
}

/* Folder of `path` into `folder`. */
static void parent(const char *path, char *folder, size_t size)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        (void)snprintf(folder, size, ".");
    else
        (void)snprintf(folder, size, "%.*s", (int)(slash == path ? 1 : slash - path), path);
}

static int sync_folder(const nni_writer *w, nn_message *why)
{
    char folder[PATH_MAX];
    int fd, rc = NN_OK;

    parent(w->path, folder, sizeof folder);
    fd = nni_seam.open(folder, O_RDONLY, 0);
    /* EINVAL: a file system, of another machine mostly, whose folders cannot be synced. */
    if (fd < 0 || (nni_seam.fsync(fd) && errno != EINVAL))
        rc = nni_fail(why, NN_EIO, "%s: cannot sync its folder: %s", w->path, strerror(errno));
    if (fd >= 0)
        (void)nni_seam.close(fd);
    return rc;
}

int nni_writer_commit(nni_writer *w, nn_message *why)
{
    int fd = w->fd, rc;

    if (!w->unsynced && nni_seam.fsync(fd))
        return writer_fail(w, why, "cannot sync");
    w->fd = -1;
    if (nni_seam.close(fd))
        return writer_fail(w, why, "cannot close");
    if (nni_seam.rename(w->temporary, w->path))
        return writer_fail(w, why, "cannot rename the temporary file");
    rc = w->unsynced ? NN_OK : sync_folder(w, why);
    nni_free(w->path);
    nni_free(w->temporary);
    *w = (nni_writer){ .fd = -1 };
    return rc;
}

void nni_writer_abort(nni_writer *w)
{
    if (w->fd >= 0)
        (void)nni_seam.close(w->fd);
    if (w->temporary)
        (void)nni_seam.unlink(w->temporary);
    nni_free(w->path);
    nni_free(w->temporary);
    *w = (nni_writer){ .fd = -1 };
}
