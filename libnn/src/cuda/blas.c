/* SPDX-License-Identifier: MIT
 *
 * Matrix products by cuBLASLt, which is loaded when a device is opened. For each shape the library's first
 * choice is taken and kept: never the fastest of several, which would make results depend on a measurement.
 * Where it divides the sum of a product, parts stay float and are added up in order. All products share one
 * workspace, as they run one after another.
 *
 * cuBLASLt thinks in columns. A row-major C = A B is a column-major C' = B' A', so operands change places.
 */
#include "base/base.h"
#include "core/core.h"
#include "cuda/cuda.h"
#include "cuda/library.h"

#include <cublasLt.h>
#include <string.h>

#define FUNCTIONS(X)                                                                                         \
    X(Create)                                                                                                \
    X(Destroy)                                                                                               \
    X(MatmulDescCreate)                                                                                      \
    X(MatmulDescDestroy)                                                                                     \
    X(MatmulDescSetAttribute)                                                                                \
    X(MatrixLayoutCreate)                                                                                    \
    X(MatrixLayoutDestroy)                                                                                   \
    X(MatrixLayoutSetAttribute)                                                                              \
    X(MatmulPreferenceCreate)                                                                                \
    X(MatmulPreferenceDestroy)                                                                               \
    X(MatmulPreferenceSetAttribute)                                                                          \
    X(MatmulAlgoGetHeuristic)                                                                                \
    X(Matmul)                                                                                                \
    X(GetStatusString)                                                                                       \
    X(GetVersion)

enum { WORKSPACE = 32 << 20 };
_Static_assert((int)NNI_ALIGNED == (int)NNI_ALIGN, "as memory is planned");

/* A shape and what cuBLASLt does with it. */
struct found {
    struct nni_product shape;
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t a, b, c; /* in the order of cuBLASLt */
    cublasLtMatmulAlgo_t algorithm;
    struct found *next;
};

struct nni_blas {
    void *library;
#define X(name) __typeof__(&cublasLt##name) name;
    FUNCTIONS(X)
#undef X
    cublasLtHandle_t handle;
    void *workspace;
    struct found *list;
};

static int find_functions(struct nni_blas *b, nn_message *why)
{
#define X(name)                                                                                              \
    {                                                                                                        \
        void *at = nni_library_symbol(b->library, "cublasLt" #name);                                         \
                                                                                                             \
        if (!at)                                                                                             \
            return nni_fail(why, NN_EDEVICE, "libcublasLt has no function cublasLt%s: another version?",     \
                            #name);                                                                          \
        memcpy(&b->name, &at, sizeof at);                                                                    \
    }
    FUNCTIONS(X)
#undef X
    return NN_OK;
}

int nni_blas_open(struct nni_blas **out, nn_message *why)
{
    static const char *const names[] = { "libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so", NULL };
    struct nni_blas *b = nni_alloc_zero(sizeof *b);
    nn_message loader = { "" };
    int rc = NN_OK;

    *out = NULL;
    if (!b)
        return nni_fail(why, NN_ENOMEM, "no memory for the device");
    b->library = nni_library_open(names, &loader);
    if (!b->library)
        rc = nni_fail(why, NN_EDEVICE, "a CUDA device needs cuBLASLt: %.400s", loader.text);
    if (!rc)
        rc = find_functions(b, why);
    if (!rc && b->Create(&b->handle) != CUBLAS_STATUS_SUCCESS)
        rc = nni_fail(why, NN_EDEVICE, "cuBLASLt cannot be started on this device");
    if (!rc && cudaMalloc(&b->workspace, WORKSPACE) != cudaSuccess)
        rc = nni_fail(why, NN_ENOMEM, "no %d bytes of device memory for matrix products", (int)WORKSPACE);
    if (rc)
        nni_blas_close(b);
    else
        *out = b;
    return rc;
}

size_t nni_blas_version(const struct nni_blas *b) { return b->GetVersion(); }

static void forget(struct nni_blas *b, struct found *f)
{
    if (f->what)
        (void)b->MatmulDescDestroy(f->what);
    if (f->a)
        (void)b->MatrixLayoutDestroy(f->a);
    if (f->b)
        (void)b->MatrixLayoutDestroy(f->b);
    if (f->c)
        (void)b->MatrixLayoutDestroy(f->c);
    nni_free(f);
}

void nni_blas_close(struct nni_blas *b)
{
    if (!b)
        return;
    for (struct found *f = b->list, *next; f; f = next) {
        next = f->next;
        forget(b, f);
    }
    (void)cudaFree(b->workspace);
    if (b->handle)
        (void)b->Destroy(b->handle);
    if (b->library)
        nni_library_close(b->library);
    nni_free(b);
}

static bool same(const struct nni_product *a, const struct nni_product *b)
{
    return a->ta == b->ta && a->tb == b->tb && a->m == b->m && a->n == b->n && a->k == b->k &&
           a->lda == b->lda && a->ldb == b->ldb && a->ldc == b->ldc && a->type == b->type &&
           a->result == b->result && a->alignment == b->alignment && a->batch.count == b->batch.count &&
           a->batch.a == b->batch.a && a->batch.b == b->batch.b && a->batch.c == b->batch.c;
}

static struct found *look_up(const struct nni_blas *b, const struct nni_product *p)
{
    struct found *f = b->list;

    while (f && !same(&f->shape, p))
        f = f->next;
    return f;
}

/* A matrix of `rows` rows in our order is one of `rows` columns in theirs. */
static bool layout(const struct nni_blas *b, cublasLtMatrixLayout_t *l, nn_dtype type, int64_t rows,
                   int64_t cols, int64_t ld)
{
    return b->MatrixLayoutCreate(l, type == NN_BF16 ? CUDA_R_16BF : CUDA_R_32F, (uint64_t)cols,
                                 (uint64_t)rows, ld) == CUBLAS_STATUS_SUCCESS;
}

static bool repeat(const struct nni_blas *b, cublasLtMatrixLayout_t l, int64_t count, int64_t step)
{
    int32_t n = (int32_t)count;

    return b->MatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &n, sizeof n) ==
               CUBLAS_STATUS_SUCCESS &&
           b->MatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step) ==
               CUBLAS_STATUS_SUCCESS;
}

static bool repeat_all(const struct nni_blas *b, const struct found *f)
{
    const struct nni_batch *all = &f->shape.batch;

    return all->count <= 1 || (all->count <= INT32_MAX && repeat(b, f->a, all->count, all->b) &&
                               repeat(b, f->b, all->count, all->a) && repeat(b, f->c, all->count, all->c));
}

static bool describe(const struct nni_blas *b, struct found *f)
{
    const struct nni_product *p = &f->shape;
    int32_t first = p->tb ? CUBLAS_OP_T : CUBLAS_OP_N, second = p->ta ? CUBLAS_OP_T : CUBLAS_OP_N;

    return b->MatmulDescCreate(&f->what, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           b->MatmulDescSetAttribute(f->what, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first) ==
               CUBLAS_STATUS_SUCCESS &&
           b->MatmulDescSetAttribute(f->what, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second) ==
               CUBLAS_STATUS_SUCCESS &&
           layout(b, &f->a, p->type, p->tb ? p->n : p->k, p->tb ? p->k : p->n, p->ldb) &&
           layout(b, &f->b, p->type, p->ta ? p->k : p->m, p->ta ? p->m : p->k, p->lda) &&
           layout(b, &f->c, p->result, p->m, p->n, p->ldc) && repeat_all(b, f);
}

/* Workspace; how parts of a sum may be joined; what the addresses are multiples of: 256 bytes unless said
 * otherwise. */
static bool prefer(const struct nni_blas *b, cublasLtMatmulPreference_t preference, int64_t alignment)
{
    static const cublasLtMatmulPreferenceAttributes_t which[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
    };
    size_t workspace = WORKSPACE;
    uint32_t bytes = (uint32_t)alignment, joins = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    bool good = b->MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                &workspace, sizeof workspace) == CUBLAS_STATUS_SUCCESS &&
                b->MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                &joins, sizeof joins) == CUBLAS_STATUS_SUCCESS;

    for (size_t i = 0; good && i < sizeof which / sizeof *which; i++)
        good = b->MatmulPreferenceSetAttribute(preference, which[i], &bytes, sizeof bytes) ==
               CUBLAS_STATUS_SUCCESS;
    return good;
}

static bool choose(const struct nni_blas *b, struct found *f)
{
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result;
    bool good = false;
    int got = 0;

    if (b->MatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS &&
        prefer(b, preference, f->shape.alignment) &&
        b->MatmulAlgoGetHeuristic(b->handle, f->what, f->a, f->b, f->c, f->c, preference, 1, &result, &got) ==
            CUBLAS_STATUS_SUCCESS &&
        got > 0)
        good = result.state == CUBLAS_STATUS_SUCCESS;
    if (good)
        f->algorithm = result.algo;
    if (preference)
        (void)b->MatmulPreferenceDestroy(preference);
    return good;
}

int nni_product_ready(nn_device *d, const struct nni_product *p)
{
    struct nni_blas *b = nni_cuda_of(d)->blas;
    struct found *f = look_up(b, p);

    if (f)
        return NN_OK;
    f = nni_alloc_zero(sizeof *f);
    if (!f)
        return NN_ENOMEM;
    f->shape = *p;
    if (!describe(b, f) || !choose(b, f)) {
        forget(b, f);
        return NN_EUNSUPPORTED;
    }
    f->next = b->list;
    b->list = f;
    return NN_OK;
}

int nni_product_run(nn_device *d, const struct nni_product *p, const void *a, const void *b, float beta,
                    void *c, void *stream)
{
    const struct nni_blas *blas = nni_cuda_of(d)->blas;
    const struct found *f = look_up(blas, p);
    cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
    float one = 1;

    if (f)
        status = blas->Matmul(blas->handle, f->what, &one, b, f->a, a, f->b, &beta, c, f->c, c, f->c,
                              &f->algorithm, blas->workspace, WORKSPACE, (cudaStream_t)stream);
    if (status == CUBLAS_STATUS_SUCCESS)
        return cudaSuccess;
    nni_log(d, NN_LOG_ERROR, "cuBLASLt refuses a product (%lld x %lld, inner size %lld): %s", (long long)p->m,
            (long long)p->n, (long long)p->k, blas->GetStatusString(status));
    return cudaErrorLaunchFailure;
}
