/* SPDX-License-Identifier: MIT
 *
 * See library.h. The message is that of the first name, the one that ought to be there. What was loaded stays
 * until the program ends: contexts of the driver know kernels of these libraries, and the next device that is
 * opened wants them again.
 */
#include "cuda/library.h"

#include "base/base.h"

#include <dlfcn.h>

void *nni_library_open(const char *const *names, nn_message *why)
{
    void *library = dlopen(names[0], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

    if (!library)
        (void)nni_fail(why, NN_EDEVICE, "%s", dlerror());
    for (int i = 1; !library && names[i]; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    return library;
}

void *nni_library_symbol(void *library, const char *name) { return dlsym(library, name); }
void nni_library_close(void *library) { (void)dlclose(library); }
