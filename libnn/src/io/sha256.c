/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of files. The hash itself is nettle's: a library of cryptographers is the right place for it.
 * The reading goes through the seam, so that tests can make it fail.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <string.h>

enum { BLOCK = 1 << 17 };

int nni_sha256_file(const char *path, char hex[65], nn_message *why)
{
    static const char digits[] = "0123456789abcdef";
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct nni_stat st;
    void *block;
    size_t got = 0;
    int fd, rc = NN_OK;

    hex[0] = 0;
    if (nni_seam.stat(path, &st))
        return nni_fail(why, errno == ENOENT ? NN_ENOTFOUND : NN_EIO, "%s: %s", path, strerror(errno));
    if (!st.is_file)
        return nni_fail(why, NN_EFORMAT, "%s: %s", path,
                        st.is_dir ? "is a folder, not a file" : "not a regular file");
    block = nni_alloc(BLOCK);
    if (!block)
        return nni_fail(why, NN_ENOMEM, "%s: no memory to read it", path);
    fd = nni_seam.open(path, O_RDONLY, 0);
    if (fd < 0) {
        rc = nni_fail(why, NN_EIO, "%s: cannot open: %s", path, strerror(errno));
        nni_free(block);
        return rc;
    }
    sha256_init(&context);
    do {
        if (nni_read_all(fd, block, BLOCK, &got))
            rc = nni_fail(why, NN_EIO, "%s: cannot read: %s", path, strerror(errno));
        else
            sha256_update(&context, got, block);
    } while (!rc && got == BLOCK);
    (void)nni_seam.close(fd);
    nni_free(block);
    if (rc)
        return rc;
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = 0;
    return NN_OK;
}
