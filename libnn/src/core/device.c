/* SPDX-License-Identifier: MIT
 *
 * Opening a device: by its name one of the backends that this build has. Threads belong to every device: what
 * the host does for it, such as drawing a model's first weights, they do.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*open)(nn_device *d, const char *name, const nn_device_options *options, nn_message *why);
} BACKENDS[] = { { "cpu", nni_cpu_open }, { "cuda", NNI_IF_CUDA(nni_cuda_open) } };
enum { BACKEND_COUNT = sizeof BACKENDS / sizeof *BACKENDS };

/* "cuda" is the backend of "cuda" and of "cuda:1". */
static bool names(const char *backend, const char *device)
{
    size_t n = strlen(backend);

    return !strncmp(backend, device, n) && (!device[n] || device[n] == ':');
}

int nn_open(nn_device **out, const char *name, const nn_device_options *options, nn_message *why)
{
    nn_device_options o = options ? *options : (nn_device_options){ 0 };
    int rc, i = 0, threads = o.threads;
    nn_device *d;

    if (out)
        *out = NULL;
    if (!out || !name)
        return nni_null(why, __func__, "out and name");
    while (i < BACKEND_COUNT && !names(BACKENDS[i].name, name))
        i++;
    if (i == BACKEND_COUNT)
        return nni_fail(why, NN_EDEVICE, "no device \"%s\": there are \"cpu\" and \"cuda\"", name);
    if (!BACKENDS[i].open)
        return nni_fail(why, NN_EDEVICE, "this build has no CUDA backend (make CUDA=1); use \"cpu\"");
    d = nni_alloc_zero(sizeof *d);
    if (!d)
        return nni_fail(why, NN_ENOMEM, "no memory for the device");
    d->log = o.log;
    d->payload = o.payload;
    atomic_flag_clear(&d->busy);
    if (!threads)
        threads = nni_processors();
    rc = nni_pool_new(&d->pool, threads);
    if (rc) {
        nni_free(d);
        return nni_fail(why, rc, "cannot start %d threads: %s", threads, nn_strerror(rc));
    }
    d->name = BACKENDS[i].name;
    rc = BACKENDS[i].open(d, name, &o, why);
    if (rc) {
        nni_pool_free(d->pool);
        nni_free(d);
        return rc;
    }
    *out = d;
    return NN_OK;
}

void nni_link_in(struct nni_link **list, struct nni_link *link)
{
    link->next = *list;
    link->from = list;
    if (link->next)
        link->next->from = &link->next;
    *list = link;
}

void nni_link_out(struct nni_link *link)
{
    *link->from = link->next;
    if (link->next)
        link->next->from = link->from;
}

void nn_close(nn_device *d)
{
    if (!d)
        return;
    while (d->plans)
        nn_plan_free((nn_plan *)d->plans);
    while (d->graphs)
        nn_graph_free((nn_graph *)d->graphs);
    while (d->models)
        nn_model_free((nn_model *)d->models);
    d->backend->close(d);
    nni_pool_free(d->pool);
    nni_free(d);
}

void nni_log(const nn_device *d, nn_log_level level, const char *format, ...)
{
    nn_message text;
    va_list args;

    if (!d->log)
        return;
    va_start(args, format);
    (void)vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    d->log(d->payload, level, text.text);
}

const char *nn_device_name(const nn_device *d) { return d ? d->name : ""; }
const char *nn_device_isa(const nn_device *d) { return d ? d->isa : ""; }
int nn_device_threads(const nn_device *d) { return d ? nni_pool_threads(d->pool) : 0; }
size_t nn_device_peak_bytes(nn_device *d) { return d && d->backend->peak ? d->backend->peak(d) : 0; }
