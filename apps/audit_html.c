/* SPDX-License-Identifier: MIT
 *
 * The report as one page that needs nothing else: no script, no font, no network. Plots are boxes that are as
 * wide as the page, their text is text, so that a phone shows them, too. Names of files come from strangers
 * and are escaped.
 */
#include "audit.h"
#include "problems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BARS = 32, HIGH = 100 }; /* of histograms; the unit of their height */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Data "
    "audit</title>\n<style>\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 "
    "auto;padding:1rem;color:#222;background:#fff}\n"
    "table{border-collapse:collapse}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid "
    "#ddd}\n"
    "th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}\n"
    ".finding{border-left:.4rem solid #888;padding:.1rem .8rem;margin:1rem 0;overflow-wrap:anywhere}\n"
    ".warning{border-color:#d08700}.error{border-color:#c02020}code{font-size:.85em}\n"
    ".field{display:flex;gap:.6rem;line-height:1.6}.field>:first-child{flex:0 0 10.5rem;text-align:right}\n"
    ".field>:last-child{flex:0 0 3rem}.track{flex:1;position:relative}\n"
    ".track *{position:absolute;top:.2rem;bottom:.2rem;background:#888}.track .over{background:#c02020}\n"
    ".track .limit{top:0;bottom:0;width:1px;background:#d08700}\n"
    ".plot{display:flex;align-items:flex-end;height:8rem}.plot svg{width:100%;height:100%}\n"
    ".axis{display:flex;justify-content:space-between;margin:0}.real{color:#2060c0}.fake{color:#c02020}\n"
    "</style></head><body>\n<h1>Data audit</h1>\n";

/* Bytes of the UTF-8 character beyond ASCII at `s`, 0 when there is none: names of files are any bytes. */
static size_t wide_character(const unsigned char *s)
{
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

    if (s[0] < 0xc2 || s[0] > 0xf4 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static void escape(FILE *f, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        size_t wide = c < 0x80 ? 0 : wide_character((const unsigned char *)text);

        if (wide) {
            (void)fwrite(text, 1, wide, f);
            text += wide - 1;
            continue;
        }

        if (c == '<' || c == '>' || c == '&' || c == '"')
            (void)fprintf(f, "&#%d;", c);
        else if (c < ' ' || c >= 127)
            (void)fprintf(f, "\\x%02x", c);
        else
            (void)fputc(c, f);
    }
}

static void write_findings(FILE *f, const struct audit *a)
{
    int count[AUDIT_ERROR + 1] = { 0 };

    for (int i = 0; i < a->findings; i++)
        count[a->finding[i].severity]++;
    (void)fprintf(f, "<p>%lld images; %d errors, %d warnings, %d notes.</p>\n<h2>Findings</h2>\n",
                  (long long)a->data->samples, count[AUDIT_ERROR], count[AUDIT_WARNING], count[AUDIT_NOTE]);
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
            escape(f, problem_reason(x->example[e].file, x->example[e].why));
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
    (void)fprintf(f,
                  "<h2>Without a look at a pixel</h2>\n<p>%.1f %% balanced accuracy by all fields together; "
                  "each alone below. Chance is 50 %%; the line is the warning at %.1f %%.</p>\n",
                  100 * s->all, 100 * s->warn);
    for (int i = 0; i < AUDIT_FIELDS; i++)
        (void)fprintf(f,
                      "<div class=\"field\"><span>%s</span><span class=\"track\"><i style=\"width:%.1f%%\"%s>"
                      "</i><i class=\"limit\" style=\"left:%.1f%%\"></i></span><span>%.1f</span></div>\n",
                      audit_field_name(i), s->field[i] > 0.5 ? (s->field[i] - 0.5) * 200 : 0,
                      s->field[i] > s->warn ? " class=\"over\"" : "", (s->warn - 0.5) * 200,
                      100 * s->field[i]);
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
                  "<h3>%s</h3>\n<div class=\"plot\"><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
                  "role=\"img\" aria-label=\"%s of both classes\">",
                  title, BARS, HIGH, title);
    for (int label = 0; label < 2; label++)
        for (int i = 0; i < BARS && all[label]; i++) {
            double h = (double)bar[label][i] / (double)all[label] / most * HIGH;

            if (bar[label][i])
                (void)fprintf(f,
                              "<rect x=\"%d\" y=\"%.1f\" width=\".9\" height=\"%.1f\" fill=\"%s\" "
                              "fill-opacity=\".5\"/>",
                              i, HIGH - h, h, colour[label]);
        }
    (void)fprintf(f,
                  "</svg></div>\n<p class=\"axis\"><span>%lld</span><span><b class=\"real\">real</b> "
                  "<b class=\"fake\">fake</b></span><span>%lld</span></p>\n",
                  (long long)low, (long long)high);
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
