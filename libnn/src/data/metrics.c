/* SPDX-License-Identifier: MIT
 *
 * The numbers by which a classifier is judged, defined as in scikit-learn so that they can be compared
 * with what others report.
 *
 * Everything follows from the margin m = logit[fake] - logit[real]: P(fake) = 1/(1+exp(-m)), the cross
 * entropy of label fake is log(1+exp(-m)), and the area under the ROC curve depends on the order of the
 * margins only. Margins are used there rather than probabilities, because confident probabilities
 * round to the same 1.0.
 */
#include "data.h"

#include <math.h>
#include <stdlib.h>

struct scored {
    double margin;
    int32_t label;
};

static double sigmoid(double m)
{
    double e = exp(-fabs(m));

    return m >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* log(1+exp(-m)), the loss of a positive label. */
static double softplus_minus(double m) { return (m < 0 ? -m : 0) + log1p(exp(-fabs(m))); }

double nn_probability_fake(const double logits[2])
{
    return logits ? sigmoid(logits[1] - logits[0]) : (double)NAN;
}

static int by_margin(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;

    return (a->margin > b->margin) - (a->margin < b->margin);
}

/* Mann-Whitney: the share of (fake, real) pairs in the right order. Counted in halves, so that sums are
 * exact. */
static double area_under_roc(struct scored *s, int64_t n, const int64_t support[2])
{
    int64_t halves = 0, real_below = 0;

    qsort(s, (size_t)n, sizeof *s, by_margin);
    for (int64_t i = 0; i < n;) {
        int64_t tied[2] = { 0, 0 };
        double margin = s[i].margin;

        for (; i < n && s[i].margin == margin; i++)
            tied[s[i].label]++;
        halves += tied[NN_LABEL_FAKE] * (2 * real_below + tied[NN_LABEL_REAL]);
        real_below += tied[NN_LABEL_REAL];
    }
    return (double)halves / (2 * (double)support[0] * (double)support[1]);
}

static double ratio(int64_t a, int64_t b) { return b ? (double)a / (double)b : 0; }

static void derive(nn_metrics *m)
{
    int64_t present = 0;

    for (int c = 0; c < 2; c++) {
        int64_t hit = m->confusion[c][c], miss = m->confusion[c][1 - c], wrong = m->confusion[1 - c][c];

        m->per_class[c] = (nn_class_metrics){
            .precision = ratio(hit, hit + wrong),
            .recall = ratio(hit, hit + miss),
            .f1 = ratio(2 * hit, 2 * hit + wrong + miss),
            .support = hit + miss,
        };
        present += hit + miss > 0;
    }
    m->accuracy = ratio(m->confusion[0][0] + m->confusion[1][1], m->samples);
    m->balanced_accuracy = (m->per_class[0].recall + m->per_class[1].recall) / (double)present;
    m->macro_f1 = (m->per_class[0].f1 + m->per_class[1].f1) / 2;
}

int nn_metrics_binary(nn_metrics *out, const double *logits, const int32_t *label, int64_t n,
                      double threshold)
{
    nn_metrics m = { .samples = n, .threshold = threshold, .auc = NAN };
    struct scored *scored;
    double loss = 0;
    bool nan = false;

    if (!out || n < 1 || !logits || !label || isnan(threshold))
        return NN_EINVAL;
    for (int64_t i = 0; i < n; i++)
        if (label[i] != NN_LABEL_REAL && label[i] != NN_LABEL_FAKE)
            return NN_EINVAL;
    scored = nni_alloc_array((size_t)n, sizeof *scored);
    if (!scored)
        return NN_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        double margin = logits[2 * i + 1] - logits[2 * i];
        bool fake = label[i] == NN_LABEL_FAKE;

        scored[i] = (struct scored){ .margin = margin, .label = label[i] };
        nan = nan || isnan(margin);
        loss += softplus_minus(fake ? margin : -margin);
        m.confusion[fake][sigmoid(margin) >= threshold]++;
    }
    m.loss = nan ? NAN : loss / (double)n;
    derive(&m);
    if (!nan && m.per_class[0].support && m.per_class[1].support) {
        int64_t support[2] = { m.per_class[0].support, m.per_class[1].support };

        m.auc = area_under_roc(scored, n, support);
    }
    nni_free(scored);
    *out = m;
    return NN_OK;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* The value below which a share q of the n sorted ones lie, interpolated linearly. */
static double quantile(const double *sorted, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)at;

    return i + 1 < n ? sorted[i] + (sorted[i + 1] - sorted[i]) * (at - i) : sorted[i];
}

int nn_macro_f1_interval(double interval[2], const nn_metrics *m, uint64_t seed)
{
    enum { RESAMPLES = 1000 };
    static const char purpose[] = "macro F1 interval";
    nni_stream stream = nni_stream_of(seed, nni_hash(purpose, sizeof purpose, NNI_HASH_BASIS));
    double f1[RESAMPLES];
    uint64_t end[4]; /* images are numbered by cell of the confusion matrix; each cell's end */

    if (!interval || !m || m->samples < 1 || m->samples > UINT32_MAX)
        return NN_EINVAL;
    for (int c = 0; c < 4; c++)
        end[c] = (uint64_t)m->confusion[c / 2][c % 2] + (c ? end[c - 1] : 0);
    for (uint32_t r = 0; r < RESAMPLES; r++) {
        nn_metrics again = { .samples = m->samples };
        uint32_t word[4];

        for (uint32_t i = 0; i < (uint32_t)m->samples; i++) {
            uint64_t image;

            if (i % 4 == 0)
                nni_stream_at(&stream, r, 0, i / 4, word);
            image = (uint64_t)word[i % 4] * (uint64_t)m->samples >> 32;
            again.confusion[image >= end[1]][image >= end[1] ? image >= end[2] : image >= end[0]]++;
        }
        derive(&again);
        f1[r] = again.macro_f1;
    }
    qsort(f1, RESAMPLES, sizeof *f1, by_value);
    interval[0] = quantile(f1, RESAMPLES, 0.025);
    interval[1] = quantile(f1, RESAMPLES, 0.975);
    return NN_OK;
}
