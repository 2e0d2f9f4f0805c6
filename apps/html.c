/* SPDX-License-Identifier: MIT
 *
 * See html.h. Drawings are stretched to their box, so they hold nothing that stretching spoils: bars, and
 * lines whose width is that of the screen.
 */
#include "app.h"
#include "html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HIGH = 100 }; /* height of drawings, in their own unit */

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 "
    "auto;padding:1rem;color:#222;background:#fff}\n"
    "table{border-collapse:collapse}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid "
    "#ddd}\n"
    "th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}tr.best{font-weight:bold}\n"
    ".finding{border-left:.4rem solid #888;padding:.1rem .8rem;margin:1rem 0;overflow-wrap:anywhere}\n"
    ".finding div{font-size:.9em;color:#555;margin:.2rem 0}.finding code{color:#222}\n"
    ".warning{border-color:#d08700}.error{border-color:#c02020}code{font-size:.9em;overflow-wrap:anywhere}\n"
    ".field{display:flex;gap:.6rem;line-height:1.6}.field>:first-child{flex:0 0 10.5rem;text-align:right}\n"
    ".field>:last-child{flex:0 0 3.5rem}.track{flex:1;position:relative}\n"
    ".track *{position:absolute;top:.2rem;bottom:.2rem;background:#888}.track "
    ".all{background:#eee;width:100%}\n"
    ".track .over{background:#c02020}.track .limit{top:0;bottom:0;width:2px;background:#d08700}\n"
    ".plot{height:8rem;border-bottom:1px solid #888}.plot svg{display:block;width:100%;height:100%}\n"
    ".lines{margin-left:4rem;position:relative}.plot.lines{height:12rem}\n"
    ".plot span{position:absolute;right:100%;top:-.7em;padding-right:.5rem}.plot "
    "span+span{top:auto;bottom:-.7em}\n"
    ".lines polyline,.lines line{fill:none;stroke-width:2;"
    "vector-effect:non-scaling-stroke}.lines line{stroke:#888;stroke-width:1;stroke-dasharray:4}\n"
    ".axis{display:flex;justify-content:space-between;gap:1rem;margin:0}.axis.lines{margin-left:4rem}.axis "
    "b{margin:0 .4rem}\n"
    ".real{color:#2060c0}.fake{color:#c02020}\n"
    "@media(max-width:30rem){th,td{padding:.2rem "
    ".35rem}.field>:first-child{flex-basis:9rem;font-size:.85em}}\n";

void html_begin(FILE *f, const char *title)
{
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
                f);
    html_escape(f, title);
    (void)fprintf(f, "</title>\n<style>\n%s</style></head><body>\n<h1>", style);
    html_escape(f, title);
    (void)fputs("</h1>\n", f);
}

void html_end(FILE *f) { (void)fputs("</body></html>\n", f); }

void html_escape(FILE *f, const char *text)
{
    char *visible = app_visible(text);

    for (const char *c = visible; c && *c; c++)
        if (strchr("<>&\"", *c))
            (void)fprintf(f, "&#%d;", *c);
        else
            (void)fputc(*c, f);
    free(visible);
}

static void begin_drawing(FILE *f, const char *title, const char *class, int width)
{
    (void)fprintf(
        f,
        "<h3>%s</h3>\n<div class=\"plot%s\"><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
        "role=\"img\" aria-label=\"%s\">",
        title, class, width, HIGH, title);
}

void html_histogram(FILE *f, const char *title, int64_t bar[2][HTML_BARS], const char *low, const char *high)
{
    static const char *const colour[2] = { "#2060c0", "#c02020" };
    double share[2][HTML_BARS] = { { 0 } }, most = 0;

    for (int label = 0; label < 2; label++) {
        int64_t all = 0;

        for (int i = 0; i < HTML_BARS; i++)
            all += bar[label][i];
        for (int i = 0; i < HTML_BARS && all; i++) {
            share[label][i] = (double)bar[label][i] / (double)all;
            most = fmax(most, share[label][i]);
        }
    }
    if (most == 0)
        return;
    begin_drawing(f, title, "", HTML_BARS);
    for (int label = 0; label < 2; label++)
        for (int i = 0; i < HTML_BARS; i++) {
            double h = share[label][i] / most * HIGH;

            if (h > 0)
                (void)fprintf(f,
                              "<rect x=\"%d\" y=\"%.1f\" width=\".9\" height=\"%.1f\" fill=\"%s\" "
                              "fill-opacity=\".5\"/>",
                              i, HIGH - h, h, colour[label]);
        }
    (void)fprintf(f,
                  "</svg></div>\n<p class=\"axis\"><span>%s</span><span><b class=\"real\">real</b>"
                  "<b class=\"fake\">fake</b></span><span>%s</span></p>\n",
                  low, high);
}

void html_lines(FILE *f, const char *title, const struct html_line *line, int lines, int points, double low,
                int mark, const char *axis)
{
    double top = -(double)INFINITY, bottom = (double)INFINITY, height;
    int wide = points > 1 ? points - 1 : 1;

    for (int k = 0; k < lines; k++)
        for (int i = 0; i < points; i++)
            if (isfinite(line[k].value[i])) {
                top = fmax(top, line[k].value[i]);
                bottom = fmin(bottom, line[k].value[i]);
            }
    if (top < bottom)
        return;
    bottom = isnan(low) ? bottom : low;
    height = top > bottom ? top - bottom : 1;
    begin_drawing(f, title, " lines", wide);
    if (mark >= 0)
        (void)fprintf(f, "<line x1=\"%d\" x2=\"%d\" y1=\"0\" y2=\"%d\"/>", mark, mark, HIGH);
    for (int k = 0; k < lines; k++) {
        int drawing = 0;

        for (int i = 0; i < points; i++) {
            double v = line[k].value[i], y = HIGH - (v - bottom) / height * HIGH;

            if (!isfinite(v)) {
                (void)fputs(drawing ? "\"/>" : "", f);
                drawing = 0;
                continue;
            }
            if (!drawing) /* a value between gaps is a short dash of its own */
                (void)fprintf(f, "<polyline stroke=\"%s\" points=\"%.2f,%.2f", line[k].colour,
                              points > 1 ? i - 0.05 : 0.0, y);
            (void)fprintf(f, " %.2f,%.2f", points > 1 ? (double)i : 1.0, y);
            drawing = 1;
        }
        (void)fputs(drawing ? "\"/>" : "", f);
    }
    (void)fprintf(
        f, "</svg><span>%.4g</span><span>%.4g</span></div>\n<p class=\"axis lines\"><span></span><span>", top,
        bottom);
    for (int k = 0; k < lines; k++)
        (void)fprintf(f, "<b style=\"color:%s\">%s</b>", line[k].colour, line[k].name);
    (void)fprintf(f, "</span><span>%s</span></p>\n", axis);
}
