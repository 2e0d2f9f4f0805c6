/* SPDX-License-Identifier: MIT
 *
 * report.html of a run folder: how the training went, for those who would rather look than read. It is made
 * of the folder's own files after each epoch, so a resumed run shows all of its epochs.
 */
#include "app.h"
#include "html.h"
#include "run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 9, WORST = 12, MOST_TEXT = 1 << 26 };
enum { EPOCH, STEP, TRAIN_LOSS, VALID_LOSS, ACCURACY, MACRO_F1, RATE, SPEED };

/* metrics.csv, column by column. */
struct history {
    int rows, best; /* best: the row whose epoch the best weights are of, -1 when there is none */
    double *column[COLUMNS];
};

/* valid_predictions.csv. */
struct answer {
    const char *path;
    int32_t label;
    double logits[2], probability;
};
struct answers {
    struct answer *answer;
    int64_t count;
    char *text; /* which paths point into */
};

/* ------------------------------------------------------------------- what the folder holds */

/* Cuts one field off `*at`, quotes removed; NULL at the end of a record. */
static char *next_field(char **at, bool *last)
{
    char *field = *at, *to = field, *from = field;
    bool quoted = *from == '"';

    if (quoted)
        from++;
    for (; *from; from++) {
        if (quoted && *from == '"') {
            if (from[1] != '"') {
                quoted = false;
                continue;
            }
            from++;
        } else if (!quoted && (*from == ',' || *from == '\n')) {
            break;
        }
        *to++ = *from;
    }
    *last = *from != ',';
    *at = *from ? from + 1 : from;
    *to = '\0';
    return field;
}

static char *line_behind(char *at)
{
    at += strcspn(at, "\n");
    return at + (*at == '\n');
}

static double number(const char *text) { return *text ? strtod(text, NULL) : (double)NAN; }

static int count_lines(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* `best_epoch` counts from 0; -2: there is none. */
static bool read_history(struct history *h, char *text, int64_t best_epoch)
{
    int room = count_lines(text) + 1;
    double *all = calloc((size_t)room * COLUMNS, sizeof *all);
    char *at = strchr(text, '\n');

    h->best = -1;
    if (!all || !at) {
        free(all);
        return false;
    }
    for (int c = 0; c < COLUMNS; c++)
        h->column[c] = all + (size_t)c * (size_t)room;
    for (at++; *at;) {
        bool last = false;

        if (*at < '0' || *at > '9') { /* a remark of somebody's */
            at = line_behind(at);
            continue;
        }
        for (int c = 0; c < COLUMNS; c++)
            h->column[c][h->rows] = last ? (double)NAN : number(next_field(&at, &last));
        if (!last)
            at = line_behind(at);
        /* Older runs count from 0 in their file. */
        if ((int64_t)h->column[EPOCH][h->rows] == best_epoch + (h->column[EPOCH][0] > 0))
            h->best = h->rows;
        h->rows++;
    }
    return h->rows > 0;
}

static bool read_answers(struct answers *a, char *text)
{
    char *at = strchr(text, '\n');

    a->answer = calloc((size_t)count_lines(text) + 1, sizeof *a->answer);
    if (!a->answer || !at)
        return false;
    for (at++; *at; a->count++) {
        struct answer *x = &a->answer[a->count];
        bool last = false;
        const char *field[5] = { "", "", "", "", "" };

        for (int c = 0; c < 5 && !last; c++)
            field[c] = next_field(&at, &last);
        x->path = field[0];
        x->label = atoi(field[1]) == NN_LABEL_FAKE;
        x->logits[0] = number(field[2]);
        x->logits[1] = number(field[3]);
        x->probability = number(field[4]);
    }
    return a->count > 0;
}

/* ------------------------------------------------------------------------------ the page */

static void write_configuration(FILE *f, const json_t *config)
{
    const char *key;
    json_t *value;

    (void)fputs("<details><summary>Configuration</summary><table>\n", f);
    json_object_foreach((json_t *)(uintptr_t)config, key, value)
    {
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));

        (void)fprintf(f, "<tr><td>%s</td><td><code>", key);
        html_escape(f, json_is_string(value) ? json_string_value(value) : text ? text : "");
        (void)fputs("</code></td></tr>\n", f);
        free(text);
    }
    (void)fputs("</table></details>\n", f);
}

static bool varies(const double *value, int n)
{
    for (int i = 1; i < n; i++)
        if (value[i] < value[0] || value[i] > value[0])
            return true;
    return false;
}

static void write_plots(FILE *f, const struct history *h)
{
    struct html_line loss[] = { { "training", "#888", h->column[TRAIN_LOSS] },
                                { "validation", "#2060c0", h->column[VALID_LOSS] } };
    struct html_line score[] = { { "accuracy", "#888", h->column[ACCURACY] },
                                 { "macro F1", "#2060c0", h->column[MACRO_F1] } };
    struct html_line rate[] = { { "learning rate", "#888", h->column[RATE] } };
    char axis[64];

    (void)snprintf(axis, sizeof axis, "epoch %.0f to %.0f", h->column[EPOCH][0],
                   h->column[EPOCH][h->rows - 1]);
    html_lines(f, "Loss", loss, 2, h->rows, 0, h->best, axis);
    html_lines(f, "Validation", score, 2, h->rows, (double)NAN, h->best, axis);
    if (varies(h->column[RATE], h->rows)) /* else the table says it all */
        html_lines(f, "Learning rate at the end of each epoch", rate, 1, h->rows, 0, h->best, axis);
}

static void write_epochs(FILE *f, const struct history *h)
{
    static const struct {
        const char *name, *format;
        int column;
    } shown[] = { { "epoch", "%.0f", EPOCH },
                  { "step", "%.0f", STEP },
                  { "training loss", "%.4f", TRAIN_LOSS },
                  { "validation loss", "%.4f", VALID_LOSS },
                  { "accuracy", "%.4f", ACCURACY },
                  { "macro F1", "%.4f", MACRO_F1 },
                  { "learning rate", "%.3g", RATE },
                  { "images/s", "%.1f", SPEED } };

    (void)fputs("<h2>Epochs</h2>\n<div class=\"wide\"><table><tr>", f);
    for (size_t c = 0; c < sizeof shown / sizeof *shown; c++)
        (void)fprintf(f, "<th>%s</th>", shown[c].name);
    for (int i = 0; i < h->rows; i++) {
        (void)fprintf(f, "</tr>\n<tr%s>", i == h->best ? " class=\"best\"" : "");
        for (size_t c = 0; c < sizeof shown / sizeof *shown; c++) {
            double v = h->column[shown[c].column][i];
            char text[32] = "";

            if (isfinite(v))
                (void)snprintf(text, sizeof text, shown[c].format, v);
            (void)fprintf(f, "<td>%s</td>", text);
        }
    }
    (void)fputs("</tr></table></div>\n", f);
}

/* The surest mistakes first. */
static int by_error(const void *a, const void *b)
{
    const struct answer *x = a, *y = b;
    double ex = fabs(x->label - x->probability), ey = fabs(y->label - y->probability);

    return (ex < ey) - (ex > ey);
}

static void write_mistakes(FILE *f, struct answers *a)
{
    qsort(a->answer, (size_t)a->count, sizeof *a->answer, by_error);
    if (fabs(a->answer[0].label - a->answer[0].probability) <= 0.5)
        return;
    (void)fputs("<h3>The surest mistakes</h3>\n<div class=\"wide\"><table>"
                "<tr><th>image</th><th>is</th><th>probability of fake</th></tr>\n",
                f);
    for (int64_t i = 0; i < a->count && i < WORST; i++) {
        const struct answer *x = &a->answer[i];

        if (!(fabs(x->label - x->probability) > 0.5))
            break;
        (void)fputs("<tr><td><code>", f);
        html_escape(f, x->path);
        (void)fprintf(f, "</code></td><td>%s</td><td>%.4f</td></tr>\n", x->label ? "fake" : "real",
                      x->probability);
    }
    (void)fputs("</table></div>\n", f);
}

static void write_answers(FILE *f, struct answers *a)
{
    int64_t bar[2][HTML_BARS] = { { 0 } };
    double *logits = calloc((size_t)a->count * 2, sizeof *logits);
    int32_t *label = calloc((size_t)a->count, sizeof *label);
    nn_metrics m;

    for (int64_t i = 0; logits && label && i < a->count; i++) {
        const struct answer *x = &a->answer[i];
        int b = (int)(x->probability * HTML_BARS);

        if (isfinite(x->probability))
            bar[x->label][b < HTML_BARS ? b : HTML_BARS - 1]++;
        memcpy(logits + 2 * i, x->logits, sizeof x->logits);
        label[i] = x->label;
    }
    if (logits && label && !nn_metrics_binary(&m, logits, label, a->count, 0.5)) {
        (void)fprintf(f,
                      "<h2>Validation images, with the best weights</h2>\n<p>%s; accuracy %.4f, macro "
                      "F1 %.4f, area under the ROC curve %.4f.</p>\n"
                      "<table><tr><th></th><th>called real</th><th>called fake</th></tr>\n"
                      "<tr><td>real</td><td>%lld</td><td>%lld</td></tr>\n"
                      "<tr><td>fake</td><td>%lld</td><td>%lld</td></tr></table>\n",
                      app_count(m.samples, "image"), m.accuracy, m.macro_f1, m.auc,
                      (long long)m.confusion[0][0], (long long)m.confusion[0][1],
                      (long long)m.confusion[1][0], (long long)m.confusion[1][1]);
        html_histogram(f, "Probability of fake", bar, "0", "1");
        write_mistakes(f, a);
    }
    free(logits);
    free(label);
}

static char *page(const struct run *r, const struct history *h, struct answers *a)
{
    const char *model = json_string_value(json_object_get(r->config, "model"));
    char *text = NULL, title[128];
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    (void)snprintf(title, sizeof title, "Training of %s", model ? model : "a network");
    html_begin(f, title);
    if (h->best >= 0)
        (void)fprintf(f,
                      "<p>%s so far. The best, the vertical line below, is epoch %.0f: validation loss "
                      "%.4f, macro F1 %.4f.</p>\n",
                      app_count(h->rows, "epoch"), h->column[EPOCH][h->best], h->column[VALID_LOSS][h->best],
                      h->column[MACRO_F1][h->best]);
    write_plots(f, h);
    if (a->count)
        write_answers(f, a);
    write_epochs(f, h);
    write_configuration(f, r->config);
    html_end(f);
    if (!fclose(f))
        return text;
    free(text);
    return NULL;
}

void run_write_report(const struct run *r)
{
    char *path = app_join(r->folder, "report.html"), *metrics = app_join(r->folder, "metrics.csv");
    char *predictions = app_join(r->folder, "valid_predictions.csv"), *text = NULL;
    char *rows = app_read_text(metrics, MOST_TEXT);
    struct answers a = { .text = app_read_text(predictions, MOST_TEXT) };
    struct history h = { 0 };

    if (rows && read_history(&h, rows, r->state.stop.seen ? r->state.stop.best_epoch : -2)) {
        if (a.text && !read_answers(&a, a.text))
            a.count = 0;
        text = page(r, &h, &a);
    }
    if (!text || app_write_file(path, text))
        app_say("report.html was not written; training goes on");
    free(h.column[0]);
    free(a.answer);
    free(a.text);
    free(text);
    free(rows);
    free(predictions);
    free(metrics);
    free(path);
}
