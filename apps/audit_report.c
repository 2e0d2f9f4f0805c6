/* SPDX-License-Identifier: MIT
 *
 * The findings as text for people and as JSON for programs.
 */
#include "app.h"
#include "audit.h"
#include "problems.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void print_spread(const char *name, const int64_t v[3])
{
    if (!v[2])
        return;
    if (v[0] == v[2])
        printf("    %-13s %lld\n", name, (long long)v[0]);
    else
        printf("    %-13s %lld to %lld, median %lld\n", name, (long long)v[0], (long long)v[2],
               (long long)v[1]);
}

static void print_group(const struct audit_group *g)
{
    const char *between = "    ";

    printf("%s %s: %s", nn_split_name(g->split), audit_class(g->label), app_count(g->files, "file"));
    if (g->readable < g->files)
        printf(", %lld of them not usable", (long long)(g->files - g->readable));
    printf("\n");
    print_spread("width", g->width);
    print_spread("height", g->height);
    print_spread("JPEG quality", g->quality);
    for (int i = 0; i < g->counts; i++)
        if (g->count[i].files) {
            printf("%s%lld %s", between, (long long)g->count[i].files, g->count[i].name);
            between = ", ";
        }
    printf("\n");
}

static void print_score(const struct audit_score *s, const char *what)
{
    if (!s->samples)
        return;
    printf("%s: a classifier that never sees a pixel reaches %.1f %% balanced accuracy (%s, chance "
           "50 %%, warning above %.1f %%)\n",
           what, 100 * s->all, app_count(s->samples, "image"), 100 * s->warn);
    for (int f = 0; f < AUDIT_FIELDS; f++)
        if (s->field[f] > s->warn)
            printf("    %-21s alone %.1f %%: %s\n", audit_field_name(f), 100 * s->field[f],
                   audit_field_remedy(f));
}

static void print_finding(const struct audit_finding *f)
{
    printf("%s: %s: %s\n", audit_severity(f->severity), f->name, f->text);
    for (int i = 0; i < f->examples; i++) {
        printf("    ");
        app_print(stdout, f->example[i].file);
        if (f->example[i].why[0]) {
            printf(": ");
            app_print(stdout, problem_reason(f->example[i].file, f->example[i].why));
        }
        printf("\n");
    }
    printf("    remedy: %s\n", f->remedy);
}

static void print_mean_std(const struct audit *a)
{
    double mean[3], std[3];
    int64_t n = audit_mean_std(a, mean, std);

    printf("\nmean  %.6f %.6f %.6f\nstd   %.6f %.6f %.6f\n", mean[0], mean[1], mean[2], std[0], std[1],
           std[2]);
    printf("(R G B in 0..1; means over %s of each image's own, after a resize to 224x224)\n",
           app_count(n, "training image"));
}

void audit_print(const struct audit *a, const struct audit_group *group, int groups)
{
    int count[3] = { 0 };

    for (int i = 0; i < groups; i++)
        print_group(&group[i]);
    printf("\n");
    print_score(&a->classes, "fake against real");
    print_score(&a->splits, "train against the other splits");
    if (!a->classes.samples)
        printf("fake against real: too few images for a model of the files alone\n");
    printf("\n");
    for (int i = 0; i < a->findings; i++) {
        print_finding(&a->finding[i]);
        count[a->finding[i].severity]++;
    }
    printf("%s, %s, %s\n", app_count(count[AUDIT_ERROR], "error"), app_count(count[AUDIT_WARNING], "warning"),
           app_count(count[AUDIT_NOTE], "note"));
    if (a->decoded)
        print_mean_std(a);
}

/* ---------------------------------------------------------------------------------------------- JSON */

static json_t *triple(const int64_t v[3])
{
    return json_pack("{s:I, s:I, s:I}", "min", (json_int_t)v[0], "median", (json_int_t)v[1], "max",
                     (json_int_t)v[2]);
}

static json_t *group_json(const struct audit_group *g)
{
    json_t *counts = json_object();

    for (int i = 0; i < g->counts; i++)
        (void)json_object_set_new(counts, g->count[i].name, json_integer((json_int_t)g->count[i].files));
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "split", nn_split_name(g->split), "class",
                     audit_class(g->label), "files", (json_int_t)g->files, "usable", (json_int_t)g->readable,
                     "width", triple(g->width), "height", triple(g->height), "jpeg_quality",
                     triple(g->quality), "counts", counts);
}

static json_t *score_json(const struct audit_score *s)
{
    json_t *fields = json_object();

    if (!s->samples) {
        json_decref(fields);
        return json_null();
    }
    for (int f = 0; f < AUDIT_FIELDS; f++)
        (void)json_object_set_new(fields, audit_field_name(f), json_real(s->field[f]));
    return json_pack("{s:f, s:I, s:f, s:o}", "balanced_accuracy", s->all, "samples", (json_int_t)s->samples,
                     "warning_above", s->warn, "fields", fields);
}

static json_t *finding_json(const struct audit_finding *f)
{
    json_t *examples = json_array();

    for (int i = 0; i < f->examples; i++)
        (void)json_array_append_new(examples,
                                    json_pack("{s:o, s:o}", "file", problem_json(f->example[i].file), "why",
                                              problem_json(f->example[i].why)));
    return json_pack("{s:s, s:s, s:I, s:o, s:s, s:o}", "severity", audit_severity(f->severity), "name",
                     f->name, "count", (json_int_t)f->count, "text", problem_json(f->text), "remedy",
                     f->remedy, "examples", examples);
}

char *audit_json(const struct audit *a, const struct audit_group *group, int groups)
{
    json_t *list = json_array(), *findings = json_array(), *root;
    char *out;

    for (int i = 0; i < groups; i++)
        (void)json_array_append_new(list, group_json(&group[i]));
    for (int i = 0; i < a->findings; i++)
        (void)json_array_append_new(findings, finding_json(&a->finding[i]));
    root = json_pack("{s:o, s:o, s:o, s:o}", "groups", list, "classes", score_json(&a->classes), "splits",
                     score_json(&a->splits), "findings", findings);
    if (root && a->decoded) {
        double m[3], s[3];

        (void)audit_mean_std(a, m, s);
        (void)json_object_set_new(root, "mean", json_pack("[f,f,f]", m[0], m[1], m[2]));
        (void)json_object_set_new(root, "std", json_pack("[f,f,f]", s[0], s[1], s[2]));
    }
    out = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return out;
}
