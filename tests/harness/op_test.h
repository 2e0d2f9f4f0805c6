/* SPDX-License-Identifier: MIT
 *
 * The test of an op is one table of cases. A case says which inputs there are, how to record the op
 * on them, and what it should compute, as naive loops over doubles. Everything else follows from
 * that and is done here, for each instruction set of this machine:
 *
 *   - outputs against the oracle, in debug plans (guard zones, nothing shared) and in default ones;
 *   - gradients against central differences of the oracle, element by element (a sample of the
 *     elements of large inputs) and along random directions (all elements);
 *   - the same with every input used twice (gradients add up), with the op between two copies (its
 *     operands and their gradients are then planned memory that may be aliased), with each single
 *     gradient not wanted, with a single output seeded, and with parameters as parameters, run
 *     twice with NN_ACCUMULATE;
 *   - the op on bfloat16 activations, where its descriptor says that it takes them (`narrow`);
 *   - two runs, and one and three threads, equal to the bit; inputs unchanged; guard zones intact;
 *     memory that nobody has written is NaN.
 *
 * Run with --bench a test program prints times instead of testing (--isa X, --threads N).
 *
 *     static nn_tensor *record(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out)
 *     {
 *         (void)c;
 *         return out[0] = nn_silu(g, in[0]);
 *     }
 *     static void oracle(const op_case *c, const double *const *in, double *const *out)
 *     {
 *         for (int64_t i = 0; i < nn_shape_count(c->in[0].shape); i++)
 *             out[0][i] = in[0][i] / (1 + exp(-in[0][i]));
 *     }
 *     static const op_case cases[] = {
 *         { .name = "small", .in = { { .shape = { { 2, 3, 5 }, 3 } } }, .build = record, .oracle = oracle },
 *         { .name = "b6", .in = { { .shape = { { 8, 112, 112, 56 }, 4 } } }, .build = record, .bench = 1 },
 *     };
 *     OP_TEST(silu, OP_CASES(cases));
 */
#ifndef OP_TEST_H
#define OP_TEST_H

#include <nn/nn.h>

#include <check.h>

typedef struct op_input {
    nn_shape shape;
    nn_dtype type;    /* zero (NN_F32): NN_REAL */
    double low, high; /* uniform in [low,high); integers in [low,high]. Both 0: [-1,1), U8 0..255, I32 0..9 */
    const double *values; /* instead of random numbers: all elements */
    int simplex;          /* rows (last dimension) are positive and sum to 1 */
    int absent;           /* NULL is passed */
    int no_grad;          /* no gradient wanted, ever (integers never have one) */
    int param;            /* also tested as a parameter of a model */
} op_input;

typedef struct op_case op_case;
struct op_case {
    const char *name;
    op_input in[NN_MAX_IN]; /* `ins` of them; those flagged absent are passed as NULL */
    int ins;                /* 0: up to the last that has a rank or is absent */
    /* Records the op on `in`, fills out[0..outs) and returns out[0] (NULL on failure). May be
     * called more than once for a graph. */
    nn_tensor *(*build)(nn_graph *g, const op_case *c, nn_tensor *const *in, nn_tensor **out);
    /* Element counts of `out` are those of the recorded tensors. `in` is NULL where absent.
     * A case without an oracle is checked for consistency between its variants only. */
    void (*oracle)(const op_case *c, const double *const *in, double *const *out);
    int outs;                    /* 0: 1 */
    nn_shape expect[NN_MAX_OUT]; /* shapes that must come out; rank 0: not checked */
    const void *extra;           /* the case's own options */
    int act;                     /* nn_act, for ops with an affine slot; the harness does not read it */
    nn_mode mode;
    double tolerance; /* factor on all bounds; 0: 1 */
    int no_backward;  /* the op has no derivative */
    int cancels;      /* gradients are sums of terms that cancel: of bfloat16 only rounding is left */
    int probes;       /* elements per input compared with central differences; 0: 40, 16 of large ones */
    int bench;        /* only run by --bench (large shapes) */
    int fails;        /* the status with which recording must fail ... */
    const char *says; /* ... and a part of the message */
};

typedef struct op_suite {
    const char *name; /* of the op */
    const op_case *cases;
    int count;
    const op_case *fused; /* compositions, each checked with and without fusion (op_test_fused) */
    int fused_count;
    void (*more)(TCase *t); /* adds tests of the op's own; may be NULL */
} op_suite;

#define OP_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define OP_CASES(array) .cases = (array), .count = OP_COUNT(array)
#define OP_FUSED(array) .fused = (array), .fused_count = OP_COUNT(array)

/* The suite of an op, op_suite_X, and the main function of its test; weak, because a program of several
 * suites (tests/cuda) has its own. */
#define OP_TEST(op, ...)                                                                                     \
    extern const op_suite op_suite_##op;                                                                     \
    __attribute__((weak)) int main(int argc, char **argv)                                                    \
    {                                                                                                        \
        return op_test_main(argc, argv, &op_suite_##op);                                                     \
    }                                                                                                        \
    const op_suite op_suite_##op = { .name = #op, __VA_ARGS__ }

/* All checks of one case; fails the running Check test with a text that names case and variant. */
void op_test_run(const op_case *c);
/* The same graph with and without fusion: outputs and all gradients agree, and agree with the oracle
 * if there is one; the fused plan must have fewer forward steps. */
void op_test_fused(const op_case *c);
/* The main function of a test program; returns its exit code. */
int op_test_main(int argc, char **argv, const op_suite *suite);

/* Another device against the CPU: outputs and all gradients of a case, fused or not, in every variant; and
 * the same bits in each of `settings` settings of that device. */
typedef struct op_other {
    nn_device *cpu, *device;
    int settings;
    void (*set)(int setting);
} op_other;
typedef struct op_errors {
    double output, gradient; /* the largest so far: relative in the l2 norm, or to 1e-3 in each element */
    double narrow;           /* of either, where activations are bfloat16 */
    int cases;               /* that had the op's own kernels run */
} op_errors;
void op_test_other(const op_suite *suite, const op_case *c, const op_other *other, op_errors *errors);

/* For tests outside the table. A device of the instruction set (NULL: the best), opened or the test fails;
 * the other device instead, for all of them, once its name was given to op_test_on. */
nn_device *op_test_device(const char *isa, int threads);
void op_test_on(const char *device);
/* The instruction sets of this machine, one after another: i from 0, NULL at the end. */
const char *op_test_isa(int i);
/* A uniform number in [low,high) that depends on stream and index only. */
double op_test_uniform(uint64_t stream, int64_t index, double low, double high);

#endif
