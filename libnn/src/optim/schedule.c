/* SPDX-License-Identifier: MIT
 *
 * Learning rates as pure functions of the update number: nothing to save, nothing to resume wrongly.
 * Only the plateau rule depends on what happened, so it has a state, which its owner saves.
 *
 * Against torch.optim.lr_scheduler: nn_warmup is LambdaLR with min(k/warmup, 1); nn_cosine is the
 * closed form of CosineAnnealingLR up to `total`, beyond which it stays at `final` instead of rising
 * again; nn_step_decay is StepLR; nn_plateau_next is ReduceLROnPlateau with mode "min" and a
 * relative threshold, but without cool-down, lower limit and least change, and it yields a factor
 * for any other schedule instead of changing a rate in place.
 */
#include <math.h>
#include <nn/optim.h>
#include <stdbool.h>

/* Whether a schedule is asked for update k of a rate that there can be. */
static bool is_asked(int64_t k, double rate) { return k >= 0 && rate >= 0 && isfinite(rate); }

double nn_warmup(int64_t k, double rate, int64_t warmup_steps)
{
    if (!is_asked(k, rate) || warmup_steps < 0)
        return (double)NAN;
    return k < warmup_steps ? rate * ((double)k / (double)warmup_steps) : rate;
}

double nn_cosine(int64_t k, double rate, double final, int64_t total)
{
    const double pi = 3.14159265358979323846;

    if (!is_asked(k, rate) || !is_asked(total, final))
        return (double)NAN;
    if (k >= total)
        return final;
    return final + (rate - final) * (1 + cos(pi * (double)k / (double)total)) / 2;
}

double nn_step_decay(int64_t k, double rate, double factor, int64_t every)
{
    if (!is_asked(k, rate) || !is_asked(every, factor))
        return (double)NAN;
    return every > 0 ? rate * pow(factor, (double)(k / every)) : rate;
}

double nn_plateau_next(nn_plateau *p, double value)
{
    double factor = p && p->factor != 0 ? p->factor : 0.1;
    double threshold = p && p->threshold != 0 ? p->threshold : 1e-4;

    if (!p || !is_asked(p->patience, factor) || !isfinite(threshold))
        return (double)NAN;
    if (!p->started) {
        p->started = 1;
        p->scale = 1;
        p->best = INFINITY;
        p->bad = 0;
    }
    if (value < p->best * (1 - threshold)) { /* never true of a NaN */
        p->best = value;
        p->bad = 0;
    } else if (++p->bad > p->patience) {
        p->scale *= factor;
        p->bad = 0;
    }
    return p->scale;
}
