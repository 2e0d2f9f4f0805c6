/* SPDX-License-Identifier: MIT
 *
 * Pages that need nothing else: no script, no font, no network. Plots are boxes as wide as the page whose
 * text is text, so that a phone shows them, too.
 */
#ifndef APPS_HTML_H
#define APPS_HTML_H

#include <stdint.h>
#include <stdio.h>

void html_begin(FILE *f, const char *title);
void html_end(FILE *f);
/* Text that may come from strangers: names of files are any bytes. */
void html_escape(FILE *f, const char *text);

/* Two histograms in one: the share of each bar in its class (real, fake), both see-through. `low` and `high`
 * say what the first and the last bar stand for. Nothing where both are empty. */
enum { HTML_BARS = 32 };
void html_histogram(FILE *f, const char *title, int64_t bar[2][HTML_BARS], const char *low, const char *high);

/* Lines of `points` values each, from left to right; not finite: not drawn. Heights are from `low`, or from
 * the lowest value where that is NaN, to the highest. */
struct html_line {
    const char *name, *colour;
    const double *value;
};
/* The point numbered `mark`, if there is one, gets a vertical line. `axis` says what lies below. */
void html_lines(FILE *f, const char *title, const struct html_line *line, int lines, int points, double low,
                int mark, const char *axis);

#endif
