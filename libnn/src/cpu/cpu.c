/* SPDX-License-Identifier: MIT
 *
 * The CPU device: picks the kernels of the best instruction set this processor has (or the one
 * asked for), starts the threads, and keeps OpenBLAS to one thread while a device is open, because
 * the library divides the work itself.
 */
#include "cpu/cpu.h"
#include "base/isa.h"

#include <cblas.h>
#include <pthread.h>
#include <string.h>

/* `isa`: kernels on activations in nn_real; `narrow`: on those in bfloat16. The double variant has only the
 * former: it exists to check gradients, and 16 bits hold none that could be checked. */
#ifdef NN_REAL_DOUBLE
#define STORED(table, isa, narrow)                                                                           \
    {                                                                                                        \
        &nni_##table##_##isa, NULL                                                                           \
    }
#else
#define STORED(table, isa, narrow)                                                                           \
    {                                                                                                        \
        &nni_##table##_##isa, &nni_##table##_bf16_##narrow                                                   \
    }
#endif
#define KERNELS(isa, narrow)                                                                                 \
    {                                                                                                        \
        .name = #narrow, .gemm = STORED(gemm, isa, narrow), .depthwise = STORED(depthwise, isa, narrow),     \
        .pointwise = STORED(pointwise, isa, narrow), .winograd = STORED(winograd, isa, narrow),              \
        .pool = &nni_pool_##isa, .row = &nni_row_##isa, .function = &nni_function_##isa,                     \
        .ceiling = &nni_ceiling_##isa                                                                        \
    }

static const struct nni_cpu TABLE[] = {
    KERNELS(portable, portable),
#if !defined(NN_REAL_DOUBLE) && defined(__x86_64__)
    KERNELS(avx2, avx2), KERNELS(avx512, avx512),
    KERNELS(avx512, avx512_bf16), /* differs where activations are bfloat16 only */
#endif
};
enum { ISAS = sizeof TABLE / sizeof *TABLE };

const char *nn_device_isas(void)
{
    if (ISAS > 1 && nni_isa_runs("avx512_bf16"))
        return "portable,avx2,avx512,avx512_bf16";
    if (ISAS > 1 && nni_isa_runs("avx512"))
        return "portable,avx2,avx512";
    if (ISAS > 1 && nni_isa_runs("avx2"))
        return "portable,avx2";
    return "portable";
}

/* OpenBLAS has one thread count for the whole process: saved with the first device, restored with
 * the last. */
static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;
static int blas_users, blas_threads;

static void hold_blas(int change)
{
    (void)pthread_mutex_lock(&blas_lock);
    if (change > 0 && blas_users++ == 0) {
        blas_threads = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    if (change < 0 && --blas_users == 0)
        openblas_set_num_threads(blas_threads);
    (void)pthread_mutex_unlock(&blas_lock);
}

static const struct nni_cpu *choose(const char *isa)
{
    for (int i = ISAS - 1; i >= 0; i--)
        if ((!isa || !strcmp(isa, TABLE[i].name)) && nni_isa_runs(TABLE[i].name))
            return &TABLE[i];
    return NULL;
}

int nni_cpu_open(nn_device *d, const char *name, const nn_device_options *options, nn_message *why)
{
    const struct nni_cpu *cpu = choose(options->isa);

    if (strcmp(name, "cpu") != 0)
        return nni_fail(why, NN_EDEVICE, "no device \"%s\": there is one \"cpu\", without a number", name);
    if (!cpu)
        return nni_fail(why, NN_EDEVICE, "instruction set \"%s\" is not available here; this machine has: %s",
                        options->isa, nn_device_isas());
    d->cpu = cpu;
    d->isa = cpu->name;
    d->backend = &nni_cpu_backend;
    hold_blas(1);
    nni_log(d, NN_LOG_INFO, "cpu: %s kernels, %d threads, OpenBLAS %s", cpu->name, nni_pool_threads(d->pool),
            openblas_get_corename());
    return NN_OK;
}

void nni_cpu_close(nn_device *d)
{
    (void)d;
    hold_blas(-1);
}
