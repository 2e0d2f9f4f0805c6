/* SPDX-License-Identifier: MIT
 *
 * Numbers of each class in each split side by side: what differs between them is what to look at.
 */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

const char *audit_class(int label)
{
    return label == NN_LABEL_FAKE ? "fake" : label == NN_LABEL_REAL ? "real" : "unlabelled";
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void spread(int64_t out[3], int64_t *value, int64_t n)
{
    if (!n)
        return;
    qsort(value, (size_t)n, sizeof *value, by_value);
    out[0] = value[0];
    out[1] = value[n / 2];
    out[2] = value[n - 1];
}

static void count(struct audit_group *g, const nn_image_facts *f)
{
    bool jpeg = f->info.format == NN_IMAGE_JPEG;
    const struct {
        const char *name;
        bool is;
    } what[] = {
        { "JPEG", jpeg },
        { "PNG", !jpeg },
        { "4:2:0", f->sampling == 420 },
        { "4:2:2", f->sampling == 422 },
        { "4:4:4", f->sampling == 444 },
        { "other tables than libjpeg's", jpeg && !f->quality_exact },
        { "progressive", f->info.progressive != 0 },
        { "grey", f->info.channels == 1 },
        { "alpha", f->alpha != 0 },
        { "EXIF", f->exif != 0 },
        { "turned", f->info.orientation != 1 },
        { "XMP", f->xmp != 0 },
        { "ICC", f->icc != 0 },
        { "C2PA", f->c2pa != 0 },
        { "software named", f->software[0] != 0 },
        { "generator named", f->generator[0] != 0 },
    };

    g->counts = (int)(sizeof what / sizeof *what);
    for (int i = 0; i < g->counts; i++) {
        g->count[i].name = what[i].name;
        g->count[i].files += what[i].is;
    }
}

static void sum_up(const struct audit *a, struct audit_group *g, int64_t *width, int64_t *height,
                   int64_t *quality)
{
    int64_t tables = 0;

    for (int64_t i = 0; i < a->data->samples; i++) {
        const nn_sample *s = &a->data->sample[i];
        const nn_image_facts *f = &a->file[i].facts;

        if (s->split != g->split || s->label != g->label)
            continue;
        g->files++;
        if (a->file[i].status)
            continue;
        width[g->readable] = f->info.width;
        height[g->readable++] = f->info.height;
        if (f->quality)
            quality[tables++] = f->quality;
        count(g, f);
    }
    spread(g->width, width, g->readable);
    spread(g->height, height, g->readable);
    spread(g->quality, quality, tables);
}

int audit_groups(const struct audit *a, struct audit_group *group)
{
    size_t n = (size_t)a->data->samples + 1;
    int64_t *value = calloc(n * 3, sizeof *value);
    int groups = 0;

    if (!value)
        return -1;
    for (int s = NN_SPLIT_TRAIN; s < NN_SPLITS; s++)
        for (int label = NN_LABEL_REAL; label < NN_LABELS; label++) {
            struct audit_group *g = &group[groups];

            *g = (struct audit_group){ .split = s, .label = label };
            sum_up(a, g, value, value + n, value + 2 * n);
            groups += g->files > 0;
        }
    free(value);
    return groups;
}
