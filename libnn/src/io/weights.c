/* SPDX-License-Identifier: MIT
 *
 * Weight files of any kind, told apart by how they begin, and the digest that some of them carry in their
 * names.
 */
#include "io.h"
#include "tensors.h"
#include "torch.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { HEAD = 512, DIGITS = 8 };

/* The digits of "name-0123abcd.pth", as torch's hub names its files; NULL when there are none. */
static const char *digits_of(const char *path)
{
    size_t n = strlen(path);
    const char *at = n > DIGITS + 5 ? path + n - 4 - DIGITS : NULL;

    if (!at || strcmp(at + DIGITS, ".pth") != 0 || at[-1] != '-' || strspn(at, "0123456789abcdef") != DIGITS)
        return NULL;
    return at;
}

static int check_digest(const char *path, nn_message *why)
{
    const char *wanted = digits_of(path);
    char hex[65];
    int rc;

    if (!wanted)
        return NN_OK;
    rc = nni_sha256_file(path, hex, why);
    if (rc || !strncmp(wanted, hex, DIGITS))
        return rc;
    return nni_fail(
        why, NN_EFORMAT,
        "%s: byte 0: its SHA-256 begins with %.8s, not with the digits of its name; it was damaged "
        "or exchanged, fetch it again",
        path, hex);
}

/* The whole file in memory of `f`; mapped if that is possible. The last byte is read in the ordinary way
 * first, because touching a mapped page behind the end would kill the process. */
static int map_file(const char *path, int fd, size_t size, void **map, void **memory, nn_message *why)
{
    unsigned char last;
    size_t got = 0;

    *map = *memory = NULL;
    if (nni_seam.seek(fd, (int64_t)size - 1) < 0 || nni_read_all(fd, &last, 1, &got))
        return nni_fail(why, NN_EIO, "%s: cannot read: %s", path, strerror(errno));
    if (got == 1)
        *map = nni_seam.map(fd, size);
    if (*map)
        return NN_OK;
    return nni_read_file(path, size, memory, &size, why);
}

static int open_torch(nn_safetensors **out, const char *path, int fd, size_t size, bool averaged,
                      nn_message *why)
{
    void *map, *memory;
    int rc = map_file(path, fd, size, &map, &memory, why);

    if (!rc)
        rc = nni_torch_parse(out, map ? map : memory, size, path, averaged, why);
    if (!rc) {
        (*out)->map = map;
        (*out)->map_size = size;
        (*out)->memory = memory;
        return NN_OK;
    }
    if (map)
        (void)nni_seam.unmap(map, size);
    nni_free(memory);
    return rc;
}

/* What our checkpoints call "ema/..." is taken by that name. */
static int open_safetensors(nn_safetensors **out, const char *path, bool averaged, nn_message *why)
{
    int rc = nn_safetensors_open(out, path, NULL, why);

    for (int64_t i = 0; !rc && averaged && i < (*out)->count; i++)
        if (!strncmp((*out)->tensors[i].entry.name, "ema/", 4))
            return NN_OK;
    if (rc || !averaged)
        return rc;
    nn_safetensors_free(*out);
    *out = NULL;
    return nni_fail(why, NN_EINVAL, "%s: keeps no averaged weights beside others", path);
}

int nn_weights_open(nn_safetensors **out, const char *path, const nn_weights_opts *opts, nn_message *why)
{
    unsigned char head[HEAD] = { 0 };
    struct nni_stat st;
    size_t have = 0;
    int fd, rc;

    if (!out || !path)
        return nni_null(why, __func__, "out and path");
    *out = NULL;
    if (nni_seam.stat(path, &st) || !st.is_file || st.size > PTRDIFF_MAX ||
        (fd = nni_seam.open(path, O_RDONLY, 0)) < 0)
        return nn_safetensors_open(out, path, NULL, why); /* whose texts say what is wrong */
    if (nni_read_all(fd, head, sizeof head, &have))
        rc = nni_fail(why, NN_EIO, "%s: cannot read: %s", path, strerror(errno));
    else if (!nni_is_torch(head, have) && !memcmp(head + 257, "ustar", 5))
        rc = nni_fail(why, NN_EUNSUPPORTED,
                      "%s: byte 257: a tar archive, perhaps of a torch before 0.1.10; save it again", path);
    else if (!nni_is_torch(head, have))
        rc = open_safetensors(out, path, opts && opts->averaged, why);
    else if (!(rc = check_digest(path, why)))
        rc = open_torch(out, path, fd, (size_t)st.size, opts && opts->averaged, why);
    (void)nni_seam.close(fd);
    return rc;
}
