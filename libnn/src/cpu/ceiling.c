/* SPDX-License-Identifier: MIT
 *
 * Measures what this device can do at best, so that a benchmark can say how much of it a kernel
 * reaches. All threads work, because they share memory bandwidth and often clock rate.
 */
#include "cpu/cpu.h"

enum { ROUNDS = 200000, REPEATS = 5, COPY_ELEMENTS = 1 << 24, COPY_TILES = 64 };

struct measure {
    const struct nni_ceiling_kernels *kernels;
    nn_real (*sink)[16];
    nn_real *from, *to;
    double operations;
};

static void arithmetic_tile(void *context, int64_t tile, int lane)
{
    struct measure *m = context;
    double n = m->kernels->arithmetic(ROUNDS, m->sink[tile]);

    (void)lane;
    if (!tile)
        m->operations = n;
}

static void copy_tile(void *context, int64_t tile, int lane)
{
    const struct measure *m = context;
    int64_t per = COPY_ELEMENTS / COPY_TILES;

    (void)lane;
    m->kernels->copy(m->to + tile * per, m->from + tile * per, per);
}

static int measure(nn_device *d, nn_ceilings *out)
{
    int threads = nni_pool_threads(d->pool);
    struct measure m = { .kernels = d->cpu->ceiling,
                         .sink = nni_alloc_array((size_t)threads, sizeof *m.sink),
                         .from = nni_alloc_array(COPY_ELEMENTS, sizeof *m.from),
                         .to = nni_alloc_array(COPY_ELEMENTS, sizeof *m.to) };
    int rc = m.sink && m.from && m.to ? NN_OK : NN_ENOMEM;

    for (int i = 0; !rc && i < threads; i++) {
        m.sink[i][0] = (nn_real)0.999;
        m.sink[i][1] = (nn_real)0.001;
    }
    for (int k = 0; !rc && k < REPEATS; k++) {
        double start = nni_seconds(), t;

        nni_pool_run(d->pool, threads, arithmetic_tile, &m);
        t = nni_seconds() - start;
        if (m.operations * threads / t > out->flops)
            out->flops = m.operations * threads / t;
        start = nni_seconds();
        nni_pool_run(d->pool, COPY_TILES, copy_tile, &m);
        t = nni_seconds() - start;
        if (2.0 * COPY_ELEMENTS * sizeof(nn_real) / t > out->bandwidth)
            out->bandwidth = 2.0 * COPY_ELEMENTS * sizeof(nn_real) / t;
    }
    nni_free(m.sink);
    nni_free(m.from);
    nni_free(m.to);
    return rc;
}

int nn_device_ceilings(nn_device *d, nn_ceilings *out)
{
    if (!d || !out)
        return NN_EINVAL;
    *out = (nn_ceilings){ 0 };
    return d->cpu ? measure(d, out) : NN_EUNSUPPORTED;
}
