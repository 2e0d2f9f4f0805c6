/* SPDX-License-Identifier: MIT
 *
 * cuBLASLt by plain loops. Sums are taken in double, so results are the exact ones rounded once. Pairs of
 * types are those of cuBLASLt's table for CUBLAS_COMPUTE_32F; operands have to begin where the algorithm was
 * told that they do, and those of a batch to keep their distance. Where parts of a sum might pass through the
 * result's type, or be joined in any order, there is no algorithm.
 */
#include "shim.h"

#include "cublasLt.h"
#include "cuda_runtime.h"
#include "number.h"

#include <algorithm>
#include <cstring>
#include <vector>

struct shim_matmul {
    int32_t op[2];
};
struct shim_layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld;
    int32_t count;
    int64_t step; /* elements between matrices of a batch */
};
struct shim_preference {
    size_t workspace;
    uint32_t alignment[4]; /* of A, B, C, D */
    uint32_t joins;        /* cublasLtReductionScheme_t that are allowed */
};
enum { WORKSPACE_ALIGNMENT = 256 };
struct cublasLtContext {
    int unused;
};

static cublasStatus_t status(bool good) { return good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE; }

/* Column-major: op(a) is m x k, op(b) k x n. */
struct product {
    int64_t m, n, k;
    const void *a, *b, *c;
    void *out;
    cudaDataType type, result;
    int64_t lda, ldb, ldc, ldo;
    bool ta, tb;
    float alpha, beta;
    int64_t count, step_a, step_b, step_c;
};

static const void *at_element(const void *base, cudaDataType type, int64_t i)
{
    return static_cast<const char *>(base) + i * (type == CUDA_R_16BF ? 2 : 4);
}

static void multiply_one(const product &p)
{
    std::vector<double> sum(size_t(p.m));
    std::vector<float> row(size_t(p.m) * size_t(p.k));

    /* op(a) by columns, so that the innermost loop is dense. */
    for (int64_t l = 0; l < p.k; l++)
        for (int64_t i = 0; i < p.m; i++)
            row[size_t(l * p.m + i)] = shim_load(p.a, p.type, p.ta ? i * p.lda + l : l * p.lda + i);
    for (int64_t j = 0; j < p.n; j++) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (int64_t l = 0; l < p.k; l++) {
            double b = double(shim_load(p.b, p.type, p.tb ? l * p.ldb + j : j * p.ldb + l));
            const float *a = row.data() + l * p.m;

            for (int64_t i = 0; i < p.m; i++)
                sum[size_t(i)] += double(a[i]) * b;
        }
        for (int64_t i = 0; i < p.m; i++) {
            float before = p.beta != 0 ? p.beta * shim_load(p.c, p.result, j * p.ldc + i) : 0;

            shim_store(p.out, p.result, j * p.ldo + i,
                       float(double(p.alpha) * sum[size_t(i)] + double(before)));
        }
    }
}

static void multiply(const product &all)
{
    for (int64_t t = 0; t < all.count; t++) {
        product p = all;

        p.a = at_element(p.a, p.type, t * p.step_a);
        p.b = at_element(p.b, p.type, t * p.step_b);
        p.c = at_element(p.c, p.result, t * p.step_c);
        p.out = const_cast<void *>(at_element(p.out, p.result, t * p.step_c));
        multiply_one(p);
    }
}

/* A kernel of one thread: device memory is within reach there, and faults have a name. */
static cublasStatus_t launch(const product &p, cudaStream_t stream)
{
    static const char WHO[] = "cublasLtMatmul";
    cudaLaunchConfig_t config = { 1, 1, 0, stream };

    return status(shim_launch(&config, WHO, WHO, [p] { multiply(p); }) == cudaSuccess);
}

extern "C" {

const char *cublasLtGetStatusString(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_SUCCESS ? "no error" : "a product that cannot be";
}
size_t cublasLtGetVersion(void) { return 130000; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    *h = new cublasLtContext();
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t, cudaDataType_t)
{
    *d = new shim_matmul();
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what,
                                              const void *value, size_t size)
{
    if (size != sizeof(int32_t))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&d->op[what == CUBLASLT_MATMUL_DESC_TRANSB], value, size);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
    *l = new shim_layout{ type, rows, cols, ld, 1, 0 };
    return status(rows > 0 && cols > 0 && ld >= int64_t(rows));
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t what, const void *value,
                                                size_t size)
{
    bool count = what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;

    if (size != (count ? sizeof l->count : sizeof l->step))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(count ? static_cast<void *>(&l->count) : &l->step, value, size);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = new shim_preference{ 0, { 256, 256, 256, 256 }, CUBLASLT_REDUCTION_SCHEME_MASK };
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t size)
{
    bool workspace = what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
    void *at = workspace ? static_cast<void *>(&p->workspace)
               : what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
                   ? &p->joins
                   : &p->alignment[what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];

    if (size != (workspace ? sizeof p->workspace : sizeof *p->alignment))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(at, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

static bool fit(cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                cublasLtMatrixLayout_t c, product *p)
{
    p->ta = d->op[0] == CUBLAS_OP_T;
    p->tb = d->op[1] == CUBLAS_OP_T;
    p->m = int64_t(c->rows);
    p->n = int64_t(c->cols);
    p->k = int64_t(p->ta ? a->rows : a->cols);
    p->type = a->type;
    p->result = c->type;
    p->lda = a->ld;
    p->ldb = b->ld;
    p->ldc = p->ldo = c->ld;
    p->count = c->count;
    p->step_a = a->step;
    p->step_b = b->step;
    p->step_c = c->step;
    return a->count == c->count && b->count == c->count && (c->count == 1 || c->step) && a->type == b->type &&
           (c->type == a->type || c->type == CUDA_R_32F) && (p->ta ? a->cols : a->rows) == c->rows &&
           (p->tb ? b->rows : b->cols) == c->cols && int64_t(p->tb ? b->cols : b->rows) == p->k;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *result, int *got)
{
    product p = {};

    *got = wanted > 0 && fit(d, a, b, c, &p) &&
           !(preference->joins & ~uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    memset(result, 0, sizeof *result);
    memcpy(result->algo.data, preference->alignment, sizeof preference->alignment);
    return *got ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb,
                              const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *out,
                              cublasLtMatrixLayout_t lout, const cublasLtMatmulAlgo_t *algorithm,
                              void *workspace, size_t, cudaStream_t stream)
{
    const void *const operand[] = { a, b, c, out };
    product p = {};
    uint32_t alignment[4];

    memcpy(alignment, algorithm->data, sizeof alignment);
    for (int i = 0; i < 4; i++)
        if (reinterpret_cast<uintptr_t>(operand[i]) % alignment[i])
            return CUBLAS_STATUS_INVALID_VALUE;
    if (!fit(d, la, lb, lc, &p) || reinterpret_cast<uintptr_t>(workspace) % WORKSPACE_ALIGNMENT)
        return CUBLAS_STATUS_INVALID_VALUE;
    p.a = a;
    p.b = b;
    p.c = c;
    p.out = out;
    p.ldo = lout->ld;
    p.alpha = *static_cast<const float *>(alpha);
    p.beta = *static_cast<const float *>(beta);
    return launch(p, stream);
}

} // extern "C"
