/* SPDX-License-Identifier: MIT
 *
 * "libcublasLt" and "libcudnn" as libnn's loader (cuda/library.h) finds them here.
 */
#include "shim.h"

#include "cublasLt.h"
#include "cuda/cudnn_api.h"
#include "cuda/library.h"

#include <cstdio>
#include <cstring>

struct symbol {
    const char *name;
    void *at;
};

#define CUBLASLT(name) { "cublasLt" #name, reinterpret_cast<void *>(cublasLt##name) },
// clang-format off
static const symbol BLAS[] = {
    CUBLASLT(GetVersion) CUBLASLT(GetStatusString) CUBLASLT(Create) CUBLASLT(Destroy)
    CUBLASLT(MatmulDescCreate) CUBLASLT(MatmulDescDestroy) CUBLASLT(MatmulDescSetAttribute)
    CUBLASLT(MatrixLayoutCreate) CUBLASLT(MatrixLayoutDestroy) CUBLASLT(MatrixLayoutSetAttribute)
    CUBLASLT(MatmulPreferenceCreate) CUBLASLT(MatmulPreferenceDestroy) CUBLASLT(MatmulPreferenceSetAttribute)
    CUBLASLT(MatmulAlgoGetHeuristic) CUBLASLT(Matmul) { nullptr, nullptr }
};
// clang-format on

#define X(name) { "cudnn" #name, reinterpret_cast<void *>(cudnn##name) },
static const symbol DNN[] = { NNI_CUDNN_FUNCTIONS(X){ nullptr, nullptr } };
#undef X

void *nni_library_open(const char *const *names, nn_message *why)
{
    bool dnn = strstr(names[0], "cudnn") != nullptr;

    if (dnn ? !shim_dnn() : !shim_blas()) {
        (void)snprintf(why->text, sizeof why->text, "cannot load %s", names[0]);
        return nullptr;
    }
    return const_cast<symbol *>(dnn ? DNN : BLAS);
}

void *nni_library_symbol(void *library, const char *name)
{
    for (const symbol *s = static_cast<const symbol *>(library); s->name; s++)
        if (!strcmp(s->name, name))
            return s->at;
    return nullptr;
}

void nni_library_close(void *) {}
