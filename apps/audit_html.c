/* SPDX-License-Identifier: MIT
 *
 * The report as one page that needs nothing else: no script, no font, no network. Plots are SVG in it. Names
 * of files come from strangers and are escaped.
 */
#include "audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLOT_W = 640, PLOT_H = 150, BASE = 120, BARS = 32 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Data "
    "audit</title>\n<style>\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 "
    "auto;padding:1rem;color:#222;background:#fff}\n"
    "table{border-collapse:collapse}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid "
    "#ddd}\n"
    "th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}svg{max-width:100%;height:auto}\n"
    ".finding{border-left:.4rem solid #888;padding:.1rem .8rem;margin:1rem 0;overflow-wrap:anywhere}\n"
    ".warning{border-color:#d08700}.error{border-color:#c02020}code{font-size:.85em}\n"
    "</style></head><body>\n<h1>Data audit</h1>\n";

static void escape(FILE *f, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '<' || c == '>' || c == '&' || c == '"')
            (void)fprintf(f, "&#%d;", c);
        else if (c < ' ' || c == 127)
            (void)fprintf(f, "\\x%02x", c);
        else
            (void)fputc(c, f);
    }
}

static void write_findings(FILE *f, const struct audit *a)
{
    (void)fputs("<h2>Findings</h2>\n", f);
    if (!a->findings)
        (void)fputs("<p>None.</p>\n", f);
    for (int i = 0; i < a->findings; i++) {
        const struct audit_finding *x = &a->finding[i];

        (void)fprintf(f, "<div class=\"finding %s\"><p><b>%s: %s.</b> ", audit_severity(x->severity),
                      audit_severity(x->severity), x->name);
        escape(f, x->text);
        (void)fputs("</p><p>Remedy: ", f);
        escape(f, x->remedy);
        (void)fputs("</p>", f);
        for (int e = 0; e < x->examples; e++) {
            (void)fputs("<div><code>", f);
            escape(f, x->example[e].file);
            (void)fputs("</code> ", f);
            escape(f, x->example[e].why);
            (void)fputs("</div>", f);
        }
        (void)fputs("</div>\n", f);
    }
}

static void write_groups(FILE *f, const struct audit_group *group, int groups)
{
    (void)fputs("<h2>Files</h2>\n<div class=\"wide\"><table><tr><th></th>", f);
    for (int g = 0; g < groups; g++)
        (void)fprintf(f, "<th>%s %s</th>", nn_split_name(group[g].split), audit_class(group[g].label));
    (void)fputs("</tr>\n<tr><td>files</td>", f);
    for (int g = 0; g < groups; g++)
        (void)fprintf(f, "<td>%lld</td>", (long long)group[g].files);
    (void)fputs("</tr>\n<tr><td>usable</td>", f);
    for (int g = 0; g < groups; g++)
        (void)fprintf(f, "<td>%lld</td>", (long long)group[g].readable);
    (void)fputs("</tr>\n", f);
    for (size_t i = 0; i < sizeof group->count / sizeof *group->count; i++) {
        const char *name = NULL;

        for (int g = 0; g < groups; g++)
            if (group[g].count[i].files)
                name = group[g].count[i].name;
        if (!name)
            continue;
        (void)fprintf(f, "<tr><td>%s</td>", name);
        for (int g = 0; g < groups; g++)
            (void)fprintf(f, "<td>%lld</td>", (long long)group[g].count[i].files);
        (void)fputs("</tr>\n", f);
    }
    (void)fputs("</table></div>\n", f);
}

/* ------------------------------------------------------------------------------------------------ plots */

/* How well each field alone tells the classes apart, from chance to always. */
static void plot_fields(FILE *f, const struct audit_score *s)
{
    enum { ROW = 22, LEFT = 190, WIDE = 380 };

    (void)fprintf(
        f,
        "<h2>Without a look at a pixel</h2>\n<p>%.1f %% balanced accuracy by all fields together; each "
        "alone below. Chance is 50 %%; the line is the warning at %.1f %%.</p>\n"
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"accuracy by field\" font-size=\"13\">\n",
        100 * s->all, 100 * s->warn, PLOT_W, ROW * AUDIT_FIELDS + 4);
    for (int i = 0; i < AUDIT_FIELDS; i++) {
        double over = s->field[i] > 0.5 ? (s->field[i] - 0.5) * 2 : 0;

        (void)fprintf(
            f,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" "
            "height=\"%d\" fill=\"%s\"/><text x=\"%.1f\" y=\"%d\">%.1f</text>\n",
            LEFT - 8, ROW * i + 16, audit_field_name(i), LEFT, ROW * i + 3, over * WIDE + 1, ROW - 6,
            s->field[i] > s->warn ? "#c02020" : "#888", LEFT + over * WIDE + 6, ROW * i + 16,
            100 * s->field[i]);
    }
    (void)fprintf(f, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\" stroke=\"#d08700\"/></svg>\n",
                  LEFT + (s->warn - 0.5) * 2 * WIDE, LEFT + (s->warn - 0.5) * 2 * WIDE, ROW * AUDIT_FIELDS);
}

static int64_t width(const nn_image_facts *x) { return x->info.width; }
static int64_t height(const nn_image_facts *x) { return x->info.height; }
static int64_t quality(const nn_image_facts *x) { return x->quality; }

/* Two histograms in one: shares of each class, fake in front and see-through. */
static void plot_values(FILE *f, const struct audit *a, const char *title,
                        int64_t (*of)(const nn_image_facts *))
{
    static const char *const colour[2] = { "#2060c0", "#c02020" };
    int64_t low = INT64_MAX, high = 0, bar[2][BARS] = { { 0 } }, all[2] = { 0 };
    double most = 0;

    for (int64_t i = 0; i < a->data->samples; i++)
        if (audit_labelled(a, i) && of(&a->file[i].facts)) {
            int64_t v = of(&a->file[i].facts);

            low = v < low ? v : low;
            high = v > high ? v : high;
        }
    if (!high)
        return;
    for (int64_t i = 0; i < a->data->samples; i++)
        if (audit_labelled(a, i) && of(&a->file[i].facts)) {
            int label = a->data->sample[i].label;

            bar[label][(of(&a->file[i].facts) - low) * BARS / (high - low + 1)]++;
            all[label]++;
        }
    for (int i = 0; i < 2 * BARS; i++) {
        double share = all[i % 2] ? (double)bar[i % 2][i / 2] / (double)all[i % 2] : 0;

        most = share > most ? share : most;
    }
    (void)fprintf(f,
                  "<h3>%s</h3><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s of both classes\" "
                  "font-size=\"13\">\n",
                  title, PLOT_W, PLOT_H, title);
    for (int label = 0; label < 2; label++)
        for (int i = 0; i < BARS && all[label]; i++) {
            double h = (double)bar[label][i] / (double)all[label] / most * BASE;

            if (bar[label][i])
                (void)fprintf(f,
                              "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"%s\" "
                              "fill-opacity=\".5\"/>",
                              i * PLOT_W / BARS, BASE - h, PLOT_W / BARS - 2, h, colour[label]);
        }
    (void)fprintf(
        f,
        "\n<text x=\"0\" y=\"138\">%lld</text><text x=\"%d\" y=\"138\" text-anchor=\"end\">%lld</text>"
        "<text x=\"250\" y=\"138\" fill=\"%s\">real</text><text x=\"300\" y=\"138\" fill=\"%s\">fake"
        "</text></svg>\n",
        (long long)low, PLOT_W, (long long)high, colour[0], colour[1]);
}

char *audit_html(const struct audit *a, const struct audit_group *group, int groups)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    bool bad;

    if (!f)
        return NULL;
    (void)fputs(head, f);
    write_findings(f, a);
    if (a->classes.samples)
        plot_fields(f, &a->classes);
    write_groups(f, group, groups);
    plot_values(f, a, "Width", width);
    plot_values(f, a, "Height", height);
    plot_values(f, a, "JPEG quality", quality);
    (void)fputs("</body></html>\n", f);
    bad = ferror(f) != 0;
    if (fclose(f) || bad) {
        free(text);
        return NULL;
    }
    return text;
}
