/* SPDX-License-Identifier: MIT
 *
 * The audit's report as a page.
 */
#include "audit.h"
#include "html.h"
#include "problems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_findings(FILE *f, const struct audit *a)
{
    int count[AUDIT_ERROR + 1] = { 0 };

    for (int i = 0; i < a->findings; i++)
        count[a->finding[i].severity]++;
    (void)fprintf(f, "<p>Images: %lld; errors: %d, warnings: %d, notes: %d.</p>\n<h2>Findings</h2>\n",
                  (long long)a->data->samples, count[AUDIT_ERROR], count[AUDIT_WARNING], count[AUDIT_NOTE]);
    if (!a->findings)
        (void)fputs("<p>None.</p>\n", f);
    for (int i = 0; i < a->findings; i++) {
        const struct audit_finding *x = &a->finding[i];

        (void)fprintf(f, "<div class=\"finding %s\"><p><b>%s: %s.</b> ", audit_severity(x->severity),
                      audit_severity(x->severity), x->name);
        html_escape(f, x->text);
        (void)fputs("</p><p>Remedy: ", f);
        html_escape(f, x->remedy);
        (void)fputs("</p>", f);
        for (int e = 0; e < x->examples; e++) {
            (void)fputs("<div><code>", f);
            html_escape(f, x->example[e].file);
            (void)fputs("</code> ", f);
            html_escape(f, problem_reason(x->example[e].file, x->example[e].why));
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
    (void)fprintf(
        f,
        "<h2>Without a look at a pixel</h2>\n<p>%.1f %% balanced accuracy by all fields together; "
        "each alone below, from 50 %% (chance) to 100 %%. The line is the warning at %.1f %%.</p>\n",
        100 * s->all, 100 * s->warn);
    for (int i = 0; i < AUDIT_FIELDS; i++)
        (void)fprintf(f,
                      "<div class=\"field\"><span>%s</span><span class=\"track\"><i class=\"all\"></i>"
                      "<i style=\"width:%.1f%%\"%s></i><i class=\"limit\" style=\"left:%.1f%%\"></i></span>"
                      "<span>%.1f %%</span></div>\n",
                      audit_field_name(i), s->field[i] > 0.5 ? (s->field[i] - 0.5) * 200 : 0,
                      s->field[i] > s->warn ? " class=\"over\"" : "", (s->warn - 0.5) * 200,
                      100 * s->field[i]);
}

static int64_t width(const nn_image_facts *x) { return x->info.width; }
static int64_t height(const nn_image_facts *x) { return x->info.height; }
static int64_t quality(const nn_image_facts *x) { return x->quality; }

/* What `of` says of the files of each class. */
static void plot_values(FILE *f, const struct audit *a, const char *title,
                        int64_t (*of)(const nn_image_facts *))
{
    int64_t low = INT64_MAX, high = 0, bar[2][HTML_BARS] = { { 0 } };
    char text[2][32];

    for (int64_t i = 0; i < a->data->samples; i++)
        if (audit_labelled(a, i) && of(&a->file[i].facts)) {
            int64_t v = of(&a->file[i].facts);

            low = v < low ? v : low;
            high = v > high ? v : high;
        }
    if (low == high) {
        (void)fprintf(f, "<h3>%s</h3>\n<p>%lld everywhere.</p>\n", title, (long long)low);
        return;
    }
    for (int64_t i = 0; i < a->data->samples; i++)
        if (audit_labelled(a, i) && of(&a->file[i].facts))
            bar[a->data->sample[i].label][(of(&a->file[i].facts) - low) * HTML_BARS / (high - low + 1)]++;
    (void)snprintf(text[0], sizeof text[0], "%lld", (long long)low);
    (void)snprintf(text[1], sizeof text[1], "%lld", (long long)high);
    html_histogram(f, title, bar, text[0], text[1]);
}

char *audit_html(const struct audit *a, const struct audit_group *group, int groups)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    bool bad;

    if (!f)
        return NULL;
    html_begin(f, "Data audit");
    write_findings(f, a);
    if (a->classes.samples)
        plot_fields(f, &a->classes);
    write_groups(f, group, groups);
    plot_values(f, a, "Width", width);
    plot_values(f, a, "Height", height);
    plot_values(f, a, "JPEG quality", quality);
    html_end(f);
    bad = ferror(f) != 0;
    if (fclose(f) || bad) {
        free(text);
        return NULL;
    }
    return text;
}
