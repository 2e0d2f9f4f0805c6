/* SPDX-License-Identifier: MIT
 *
 * The optimizers against two judges: a plain reference loop in double, written from the papers'
 * formulas, over every element, and what torch.optim itself made of the same gradients. The rate
 * changes from update to update and the count is no multiple of a block.
 */
#include "../golden/optim.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <nn/optim.h>
#include <stdlib.h>
#include <string.h>

enum family { SGD, ADAM, ADAMW, RADAM };
enum { COUNT = 37, UPDATES = 20 };
static const int picked[] = { 0, 1, 15, 16, 31, 36 };

static double gradient(int t, int i) { return sin(0.7 * t + 1.3 * i) + 0.2 * cos(i); }
static double rate(int t) { return 1e-2 * (t < 4 ? t / 4.0 : 1.0); }

static double ref_sgd(double p, double g, int t, double *b, const nn_sgd_opts *o)
{
    g += o->decay * p;
    if (o->momentum != 0) {
        b[0] = t == 1 ? g : o->momentum * b[0] + (1 - o->dampening) * g;
        g = o->nesterov ? g + o->momentum * b[0] : b[0];
    }
    return p - rate(t) * g;
}

static double ref_adam(double p, double g, int t, double *b, const nn_adam_opts *o, enum family kind)
{
    double mhat, vhat, rho_inf = 2 / (1 - o->beta2) - 1, rho, r;

    if (kind == ADAMW)
        p -= rate(t) * o->decay * p;
    else
        g += o->decay * p;
    b[0] = o->beta1 * b[0] + (1 - o->beta1) * g;
    b[1] = o->beta2 * b[1] + (1 - o->beta2) * g * g;
    mhat = b[0] / (1 - pow(o->beta1, t));
    vhat = b[1] / (1 - pow(o->beta2, t));
    if (kind != RADAM)
        return p - rate(t) * mhat / (sqrt(vhat) + o->eps);
    rho = rho_inf - 2 * t * pow(o->beta2, t) / (1 - pow(o->beta2, t));
    if (rho <= 5)
        return p - rate(t) * mhat;
    r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    return p - rate(t) * mhat * r * sqrt(1 - pow(o->beta2, t)) / (sqrt(b[1]) + o->eps);
}

static const struct test_case {
    const char *name;
    const double *golden;
    enum family family;
    int moments;
    nn_sgd_opts sgd;
    nn_adam_opts adam;
} cases[] = {
    { .name = "sgd", .golden = golden_sgd, .family = SGD, .moments = 0 },
    { .name = "sgd", .golden = golden_sgd_momentum, .family = SGD, .moments = 1, .sgd = { .momentum = 0.9 } },
    { .name = "sgd",
      .golden = golden_sgd_dampened,
      .family = SGD,
      .moments = 1,
      .sgd = { .momentum = 0.8, .dampening = 0.3, .decay = 0.1 } },
    { .name = "sgd",
      .golden = golden_sgd_nesterov,
      .family = SGD,
      .moments = 1,
      .sgd = { .momentum = 0.9, .nesterov = 1, .decay = 0.05 } },
    { .name = "adam", .golden = golden_adam, .family = ADAM, .moments = 2 },
    { .name = "adam",
      .golden = golden_adam_decay,
      .family = ADAM,
      .moments = 2,
      .adam = { .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-2, .decay = 0.1 } },
    { .name = "adamw", .golden = golden_adamw, .family = ADAMW, .moments = 2, .adam = { .decay = 0.01 } },
    { .name = "adamw",
      .golden = golden_adamw_eps,
      .family = ADAMW,
      .moments = 2,
      .adam = { .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-2, .decay = 0.5 } },
    { .name = "radam", .golden = golden_radam, .family = RADAM, .moments = 2 },
    { .name = "radam",
      .golden = golden_radam_decay,
      .family = RADAM,
      .moments = 2,
      .adam = { .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-2, .decay = 0.1 } },
};
enum { CASES = sizeof cases / sizeof *cases };

static nn_optim make(const struct test_case *c)
{
    switch (c->family) {
    case SGD: return nn_sgd(c->sgd);
    case ADAM: return nn_adam(c->adam);
    case ADAMW: return nn_adamw(c->adam);
    default: return nn_radam(c->adam);
    }
}

/* All updates, each in two ranges that meet at `split`; gradients are stored times 1/factor. */
static void run(const struct test_case *c, int split, double factor, nn_real *p, nn_real m[2][COUNT])
{
    nn_optim o = make(c);
    nn_real grad[COUNT];

    memset(m, 0, sizeof(nn_real[2][COUNT]));
    for (int i = 0; i < COUNT; i++)
        p[i] = (nn_real)cos(i);
    for (int t = 1; t <= UPDATES; t++) {
        for (int i = 0; i < COUNT; i++)
            grad[i] = (nn_real)(gradient(t, i) / factor);
        for (int part = 0; part < 2; part++) {
            int from = part ? split : 0, to = part ? COUNT : split;
            nn_update u = { .param = p + from,
                            .grad = grad + from,
                            .m1 = o.moments > 0 ? m[0] + from : NULL,
                            .m2 = o.moments > 1 ? m[1] + from : NULL,
                            .count = to - from,
                            .grad_factor = factor,
                            .learning_rate = rate(t),
                            .decay = o.decay,
                            .t = t };

            o.update(&o, &u);
        }
    }
}

static const double tolerance = sizeof(nn_real) == 8 ? 1e-13 : 3e-6;

START_TEST(against_reference)
{
    const struct test_case *c = &cases[_i];
    nn_adam_opts a = c->adam;
    nn_real p[COUNT], m[2][COUNT];

    if (a.beta1 == 0)
        a.beta1 = 0.9;
    if (a.beta2 == 0)
        a.beta2 = 0.999;
    if (a.eps == 0)
        a.eps = 1e-8;
    run(c, COUNT, 1, p, m);
    for (int i = 0; i < COUNT; i++) {
        double want = cos(i), b[2] = { 0 };

        for (int t = 1; t <= UPDATES; t++)
            want = c->family == SGD ? ref_sgd(want, gradient(t, i), t, b, &c->sgd)
                                    : ref_adam(want, gradient(t, i), t, b, &a, c->family);
        ck_assert_msg(fabs((double)p[i] - want) < tolerance, "%s, element %d: %.17g, not %.17g", c->name, i,
                      (double)p[i], want);
    }
}
END_TEST

START_TEST(against_torch)
{
    const struct test_case *c = &cases[_i];
    nn_real p[COUNT], m[2][COUNT];

    run(c, COUNT, 1, p, m);
    for (size_t k = 0; k < sizeof picked / sizeof *picked; k++)
        ck_assert_msg(fabs((double)p[picked[k]] - c->golden[k]) < tolerance,
                      "%s, element %d: %.17g, torch has %.17g", c->name, picked[k], (double)p[picked[k]],
                      c->golden[k]);
}
END_TEST

START_TEST(ranges_change_nothing)
{
    nn_real whole[COUNT], split[COUNT], m[2][COUNT], n[2][COUNT];

    run(&cases[_i], COUNT, 1, whole, m);
    for (int at = 0; at < COUNT; at += 5) {
        run(&cases[_i], at, 1, split, n);
        ck_assert_mem_eq(whole, split, sizeof whole);
        ck_assert_mem_eq(m, n, sizeof m);
    }
}
END_TEST

START_TEST(gradient_factor)
{
    nn_real plain[COUNT], scaled[COUNT], m[2][COUNT];

    run(&cases[_i], COUNT, 1, plain, m);
    run(&cases[_i], COUNT, 0.25, scaled, m); /* a power of two: exact */
    ck_assert_mem_eq(plain, scaled, sizeof plain);
}
END_TEST

START_TEST(descriptor)
{
    nn_optim o = make(&cases[_i]);

    ck_assert_str_eq(o.name, cases[_i].name);
    ck_assert_int_eq(o.moments, cases[_i].moments);
    ck_assert(o.decay == (cases[_i].family == SGD ? cases[_i].sgd.decay : cases[_i].adam.decay));
}
END_TEST

START_TEST(rate_zero_keeps_weights)
{
    nn_optim o = make(&cases[_i]);
    nn_real p[3] = { 1, -2, 3 }, before[3], grad[3] = { 1, 2, -3 }, m[2][3] = { { 0 } };
    nn_update u = { .param = p,
                    .grad = grad,
                    .m1 = m[0],
                    .m2 = m[1],
                    .count = 3,
                    .grad_factor = 1,
                    .decay = o.decay,
                    .t = 1 };

    memcpy(before, p, sizeof p);
    o.update(&o, &u);
    ck_assert_mem_eq(p, before, sizeof p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optim");
    TCase *t = tcase_create("optim");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, against_reference, 0, CASES);
    tcase_add_loop_test(t, against_torch, 0, CASES);
    tcase_add_loop_test(t, ranges_change_nothing, 0, CASES);
    tcase_add_loop_test(t, gradient_factor, 0, CASES);
    tcase_add_loop_test(t, descriptor, 0, CASES);
    tcase_add_loop_test(t, rate_zero_keeps_weights, 0, CASES);
    suite_add_tcase(s, t);
    return suite_run(s);
}
