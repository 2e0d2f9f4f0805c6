/* SPDX-License-Identifier: MIT
 *
 * "cuda" and "cuda:N": the driver's N-th GPU, its memory and its streams. Nothing of CUDA is touched before
 * such a device is opened, so a program built with the backend runs where there is no driver.
 */
#include "cuda/cuda.h"

#include "core/core.h"
#include "cuda/if_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_MAJOR = 8 }; /* compute capability that the kernels are built for */

struct nni_cuda *nni_cuda_of(const nn_device *d)
{
    struct nni_cuda *c = d->own;

    (void)cudaSetDevice(c->index);
    return c;
}

static int status_of(cudaError_t e)
{
    return e == cudaSuccess ? NN_OK : e == cudaErrorMemoryAllocation ? NN_ENOMEM : NN_EDEVICE;
}

/* What is in use includes what the driver and the libraries take for themselves. */
static void look_at_memory(struct nni_cuda *c)
{
    size_t unused, total;

    if (cudaMemGetInfo(&unused, &total) == cudaSuccess && unused < c->least_free)
        c->least_free = unused;
}

size_t nni_cuda_peak(nn_device *d)
{
    struct nni_cuda *c = nni_cuda_of(d);

    look_at_memory(c);
    return c->free_before - c->least_free;
}

void *nni_cuda_alloc(nn_device *d, size_t bytes)
{
    struct nni_cuda *c = nni_cuda_of(d);
    void *at = NULL;

    if (cudaMalloc(&at, bytes ? bytes : 1) != cudaSuccess)
        return NULL;
    look_at_memory(c);
    return at;
}

void nni_cuda_free(nn_device *d, void *at)
{
    (void)nni_cuda_of(d);
    (void)cudaFree(at);
}

void *nni_cuda_mirror(nn_device *d, void *at, size_t bytes)
{
    void *mirror = NULL;

    (void)nni_cuda_of(d);
    (void)at;
    return cudaMallocHost(&mirror, bytes ? bytes : 1) == cudaSuccess ? mirror : NULL;
}

void nni_cuda_unmirror(nn_device *d, void *mirror)
{
    (void)nni_cuda_of(d);
    (void)cudaFreeHost(mirror);
}

int nni_cuda_copy(nn_device *d, void *to, const void *from, size_t bytes)
{
    struct nni_cuda *c = nni_cuda_of(d);
    cudaError_t e = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, c->stream);

    return status_of(e == cudaSuccess ? cudaStreamSynchronize(c->stream) : e);
}

int nni_cuda_fill(nn_device *d, void *at, int byte, size_t bytes)
{
    return status_of(cudaMemsetAsync(at, byte, bytes, nni_cuda_of(d)->stream));
}

/* The number after "cuda:"; -1: none. */
static int index_of(const char *name)
{
    char *end = NULL;
    long n = 0;

    if (!name[4])
        return 0;
    if (name[5] >= '0' && name[5] <= '9')
        n = strtol(name + 5, &end, 10);
    return end && !*end && n < 1024 ? (int)n : -1;
}

static int check_device(int index, struct nni_cuda *c, nn_message *why)
{
    int count = 0, major = 0, minor = 0;
    size_t total;
    cudaError_t e = cudaGetDeviceCount(&count);

    if (e != cudaSuccess)
        return nni_fail(why, NN_EDEVICE, "no CUDA device can be used: %s", cudaGetErrorString(e));
    if (index >= count)
        return nni_fail(why, NN_EDEVICE, "there is no CUDA device %d: this machine has %d", index, count);
    if ((e = cudaSetDevice(index)) != cudaSuccess ||
        (e = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index)) != cudaSuccess ||
        (e = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index)) != cudaSuccess)
        return nni_fail(why, NN_EDEVICE, "CUDA device %d cannot be used: %s", index, cudaGetErrorString(e));
    if ((e = cudaMemGetInfo(&c->free_before, &total)) != cudaSuccess)
        return nni_fail(why, NN_EDEVICE, "CUDA device %d cannot be used: %s", index, cudaGetErrorString(e));
    c->least_free = c->free_before;
    if (major < LEAST_MAJOR)
        return nni_fail(why, NN_EDEVICE, "CUDA device %d is sm_%d%d; the kernels need sm_%d0 or later", index,
                        major, minor, (int)LEAST_MAJOR);
    (void)snprintf(c->isa, sizeof c->isa, "sm_%d%d", major, minor);
    return NN_OK;
}

static void release(struct nni_cuda *c)
{
    nni_dnn_close(c->dnn);
    nni_blas_close(c->blas);
    if (c->stream)
        (void)cudaStreamDestroy(c->stream);
    if (c->feed)
        (void)cudaStreamDestroy(c->feed);
    nni_free(c);
}

int nni_cuda_open(nn_device *d, const char *name, const nn_device_options *options, nn_message *why)
{
    int index = index_of(name), driver = 0, rc;
    struct nni_cuda *c;

    if (index < 0)
        return nni_fail(why, NN_EDEVICE, "no device \"%s\": \"cuda\" or \"cuda:N\" wanted", name);
    if (options->isa)
        return nni_fail(why, NN_EDEVICE, "instruction set \"%s\" is one of the CPU, not of %s", options->isa,
                        name);
    c = nni_alloc_zero(sizeof *c);
    if (!c)
        return nni_fail(why, NN_ENOMEM, "no memory for the device");
    c->index = index;
    rc = check_device(index, c, why);
    if (!rc && (cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking) != cudaSuccess ||
                cudaStreamCreateWithFlags(&c->feed, cudaStreamNonBlocking) != cudaSuccess))
        rc = nni_fail(why, NN_EDEVICE, "CUDA device %d gives no stream", index);
    if (!rc)
        rc = nni_blas_open(&c->blas, why);
    if (rc) {
        release(c);
        return rc;
    }
    d->own = c;
    d->isa = c->isa;
    d->backend = &nni_cuda_backend;
    (void)cudaDriverGetVersion(&driver);
    nni_log(d, NN_LOG_INFO, "cuda: device %d, %s, driver for CUDA %d.%d, cuBLASLt %zu", index, c->isa,
            driver / 1000, driver % 1000 / 10, nni_blas_version(c->blas));
    return NN_OK;
}

void nni_cuda_close(nn_device *d) { release(nni_cuda_of(d)); }
