/* SPDX-License-Identifier: MIT
 *
 * fakereal_augment: what a pipeline of --augment does to one image, as a sheet of examples. A pipeline is
 * understood by looking at it, and most mistakes in one are seen at once.
 */
#include "app.h"
#include "train_data.h"

#include <errno.h>
#include <nn/vision.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sheet_options {
    const char *image, *augment, *output;
    int64_t rows, columns, size;
    uint64_t seed;
};

enum { O_GRID = 256, O_SIZE, O_SEED, O_AUGMENT, GAP = 4, MOST = 64, MOST_SIDE = 16384 };

static const struct argp_option LIST[] = {
    { "image", 'i', "FILE", 0, "JPEG or PNG", 1 },
    { "augment", O_AUGMENT, "NAME|TEXT|FILE", 0, "as for fakereal_train (entry)", 1 },
    { "grid", O_GRID, "RxC", 0, "rows and columns of the sheet (5x5)", 1 },
    { "image-size", O_SIZE, "N", 0, "height and width of each (224)", 1 },
    { "seed", O_SEED, "N", 0, "(42)", 1 },
    { "output", 'o', "FILE", 0, "PNG to write", 1 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct sheet_options *o = state->input;
    char *cross;

    switch (key) {
    case 'i': o->image = app_input(state, "--image", arg); return 0;
    case 'o': o->output = arg; return 0;
    case O_AUGMENT: o->augment = app_input(state, "--augment", arg); return 0;
    case O_SIZE: o->size = app_int(state, "image-size", arg, 8, 4096); return 0;
    case O_SEED: o->seed = (uint64_t)app_int(state, "seed", arg, 0, INT64_MAX); return 0;
    case O_GRID:
        cross = strchr(arg, 'x');
        if (!cross)
            app_bad_option(state, "--grid: \"%s\" is not of the form 5x5", arg);
        else
            *cross++ = 0;
        o->rows = app_int(state, "grid", arg, 1, MOST);
        o->columns = app_int(state, "grid", cross ? cross : "", 1, MOST);
        return 0;
    case ARGP_KEY_ARG: app_bad_option(state, "unexpected argument \"%s\"", arg); return 0;
    case ARGP_KEY_END:
        if (!o->image || !o->output)
            app_bad_option(state, "--image and --output are needed");
        if (o->rows * (o->size + GAP) > MOST_SIDE || o->columns * (o->size + GAP) > MOST_SIDE)
            app_bad_option(state, "--grid and --image-size: a sheet has at most %d px on a side", MOST_SIDE);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* What a normalised picture looks like: back to bytes, as they were before. */
static void show_floats(const nn_preprocess *p, const float *value, int64_t n, uint8_t *rgb)
{
    for (int64_t i = 0; i < n; i++) {
        double v = ((double)value[i] * p->std[i % 3] + p->mean[i % 3]) * p->maximum + 0.5;

        rgb[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

/* The first place shows the image as validation would, the others as training might. */
static int draw_sheet(const struct sheet_options *o, const nn_augment *a, const nn_image *in, nn_image *sheet)
{
    nn_vision_scratch scratch = { .size = { 0 } };
    nn_preprocess record = nn_preprocess_default();
    int64_t values = 3 * o->size * o->size;
    uint8_t *rgb = malloc((size_t)values);
    float *real = malloc((size_t)values * sizeof *real);
    bool floats = nn_augment_type(a) == NN_F32;
    size_t row = (size_t)sheet->width * 3, part = (size_t)o->size * 3;
    nn_message why;
    int rc = rgb && real ? NN_OK : NN_ENOMEM;

    record.size = record.resize_height = record.resize_width = o->size;
    nn_augment_settle(a, &record);
    for (int64_t i = 0; !rc && i < o->rows * o->columns; i++) {
        uint8_t *to = sheet->rgb + (size_t)(i / o->columns * (o->size + GAP)) * row +
                      (size_t)(i % o->columns * (o->size + GAP)) * 3;
        nn_augment_key key = { .seed = o->seed, .sample = (uint64_t)i };

        rc = i ? nn_augment_apply(a, &record, in, key, floats ? (void *)real : rgb, &scratch, &why)
               : nn_preprocess_apply(&record, in, rgb, &scratch, &why);
        if (!rc && i && floats)
            show_floats(&record, real, values, rgb);
        for (int64_t y = 0; !rc && y < o->size; y++)
            memcpy(to + (size_t)y * row, rgb + (size_t)y * part, part);
    }
    nn_vision_scratch_free(&scratch);
    if (rc)
        rc = app_fail(app_exit_code(rc), "%s", rgb && real ? why.text : "out of memory");
    free(real);
    free(rgb);
    return rc;
}

static int run(const struct sheet_options *o)
{
    nn_augment *a = NULL;
    nn_image in = { 0 };
    nn_image sheet = { .width = o->columns * (o->size + GAP) - GAP,
                       .height = o->rows * (o->size + GAP) - GAP };
    nn_message why;
    int rc;

    rc = app_check_output("--output", o->output, false);
    if (!rc)
        rc = train_data_augment(&a, o->augment);
    if (rc)
        return rc;
    rc = nn_image_load(&in, o->image, NULL, &why);
    if (rc) {
        rc = app_fail(app_exit_code(rc), "%s", why.text);
    } else {
        sheet.rgb = calloc((size_t)sheet.height, (size_t)sheet.width * 3);
        rc = sheet.rgb ? draw_sheet(o, a, &in, &sheet) : app_fail(APP_DEVICE, "out of memory");
    }
    if (!rc) {
        rc = nn_image_save_png(&sheet, o->output, 6, &why);
        rc = rc ? app_fail(app_exit_code(rc), "%s", why.text) : APP_OK;
    }
    if (!rc && (printf("%s", nn_augment_text(a)) < 0 || fflush(stdout)))
        rc = app_fail(APP_IO, "standard output: %s", strerror(errno));
    free(sheet.rgb);
    nn_image_free(&in);
    nn_augment_free(a);
    return rc;
}

int main(int argc, char **argv)
{
    struct sheet_options o = { .augment = "entry", .rows = 5, .columns = 5, .size = 224, .seed = 42 };
    const struct argp argp = {
        LIST,
        parse,
        NULL,
        "Shows what random transforms do to an image: a sheet whose first place is the image as it is "
        "validated, "
        "the others as it may be trained on. Prints the pipeline with all its settings.\n\n"
        "Examples:\n"
        "  $ fakereal_augment -i face.jpg -o sheet.png\n"
        "  $ fakereal_augment -i face.jpg --augment \"jpeg p=1\" -o sheet.png\v"
        "Exit codes: 0 done; 2 usage; 3 bad image; 4 input or output; 5 memory.",
        NULL,
        NULL,
        NULL
    };

    app_parse(&argp, argc, argv, &o);
    return run(&o);
}
