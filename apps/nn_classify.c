/* SPDX-License-Identifier: MIT
 *
 * nn_classify: what is in these images, by any network whose weights libnn can read. Small on purpose: what
 * it takes to go from a file of weights and a file of pixels to an answer is nn_classifier_open and
 * nn_classifier_run.
 */
#include "app.h"
#include "weights.h"

#include <nn/classifier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_DIALECT = 256, OPT_FORMAT, OPT_SIZE, OPT_DEVICE, OPT_ISA, OPT_PRECISION };

struct options {
    const char *weights, *dialect, *format;
    struct app_device device;
    int64_t top, size;
    const char **image; /* room for all arguments */
    int count;
};

static const struct argp_option LIST[] = {
    { "weights", 'w', "FILE", 0,
      "of a network: .safetensors or .pth of torchvision, timm, lukemelas or fakereal_train", 1 },
    { "dialect", OPT_DIALECT, "torchvision|timm|timm-tf|timm-tf-ap|lukemelas|lukemelas-ap", 0,
      "of the weights, where the file does not tell", 1 },
    { "top", 'k', "N", 0, "answers for each image (5)", 1 },
    { "image-size", OPT_SIZE, "N", 0, "height and width of the network's input (that of its evaluation)", 1 },
    { "format", OPT_FORMAT, "text|tsv", 0,
      "tsv: image, rank from 1, class index from 0, probability, name (text)", 1 },
    { "device", OPT_DEVICE, "NAME", 0, APP_DEVICES, 2 },
    { "threads", 't', "N", 0, "threads (one for each processor that it may use)", 2 },
    { "isa", OPT_ISA, APP_ISAS, 0, "instruction set (the best there is)", 2 },
    { "precision", OPT_PRECISION, APP_PRECISIONS, 0, "how activations are stored (fp32)", 2 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'w': o->weights = arg; return 0;
    case OPT_DIALECT: o->dialect = app_choice(state, "dialect", arg); return 0;
    case 'k': o->top = app_int(state, "top", arg, 1, 1000000); return 0;
    case OPT_SIZE: o->size = app_int(state, "image-size", arg, 8, 4096); return 0;
    case OPT_FORMAT: o->format = app_choice(state, "format", arg); return 0;
    case OPT_DEVICE: o->device.device = arg; return 0;
    case OPT_ISA: o->device.isa = arg; return 0;
    case OPT_PRECISION: o->device.precision = app_precision(state, arg); return 0;
    case 't': o->device.threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case ARGP_KEY_ARG: o->image[o->count++] = arg; return 0;
    case ARGP_KEY_END:
        if (!o->weights)
            app_bad_option(state, "give --weights FILE");
        if (!o->count)
            app_bad_option(state, "name an image");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Index of the most probable class that has not been told; its probability becomes negative. */
static int64_t take_best(double *p, int64_t classes, double *probability)
{
    int64_t best = 0;

    for (int64_t i = 1; i < classes; i++)
        if (p[i] > p[best])
            best = i;
    *probability = p[best];
    p[best] = -1;
    return best;
}

/* Names of files and classes may hold tabs and line ends, and so forge rows. */
static void print(const struct options *o, const char *image, const nn_preprocess *record, double *p)
{
    bool tsv = !strcmp(o->format, "tsv");

    if (!tsv) {
        app_print(stdout, image);
        (void)putchar('\n');
    }
    for (int64_t rank = 1; rank <= o->top && rank <= record->classes; rank++) {
        double probability;
        int64_t i = take_best(p, record->classes, &probability);

        if (tsv)
            app_print(stdout, image);
        (void)printf(tsv ? "\t%lld\t%lld\t%.9g\t" : "%3lld. %4lld  %.4f  ", (long long)rank, (long long)i,
                     probability);
        app_print(stdout, record->class_names[i]);
        (void)putchar('\n');
    }
}

static int classify(const struct options *o, nn_classifier *c)
{
    const nn_preprocess *record = &nn_classifier_about(c)->preprocess;
    double *p = calloc((size_t)record->classes, sizeof *p);
    int bad = 0;

    if (!p)
        return app_fail(APP_DEVICE, "out of memory");
    for (int i = 0; i < o->count && !app_interrupted; i++) {
        nn_image image = { 0 };
        nn_message why;
        int rc = nn_image_load(&image, o->image[i], NULL, &why);

        if (!rc && (rc = nn_classifier_run(c, image.rgb, image.width, image.height, image.stride, p)))
            (void)snprintf(why.text, sizeof why.text, "%s: %.300s", o->image[i], nn_classifier_error(c));
        nn_image_free(&image);
        if (rc)
            bad = app_fail(APP_DATA, "%s", why.text);
        else
            print(o, o->image[i], record, p);
    }
    free(p);
    if (fflush(stdout) || ferror(stdout))
        return app_fail(APP_IO, "standard output cannot be written");
    return app_interrupted ? app_fail(128 + (int)app_interrupted, "interrupted") : bad;
}

int main(int argc, char **argv)
{
    const struct argp argp = {
        LIST,
        parse,
        "IMAGE...",
        "Says what is in images.\n\n"
        "Examples:\n"
        "  $ nn_classify --weights efficientnet_b0_rwightman-7f5810bc.pth cat.jpg\n"
        "  $ nn_classify --weights tf_efficientnet_lite0-0aa007d2.pth --format tsv *.png\v"
        "Exit status: 0 done; 2 usage, or the weights do not tell their dialect; 3 bad weights, or images "
        "that "
        "cannot be used (the others are answered); 4 input or output; 5 device or memory.",
        NULL,
        NULL,
        NULL
    };
    struct options o = { .top = 5, .format = "text" };
    nn_classifier_opts opts = { 0 };
    nn_classifier *c = NULL;
    nn_device *device = NULL;
    nn_message why;
    char *config;
    int rc;

    o.image = calloc((size_t)argc, sizeof *o.image);
    if (!o.image)
        return app_fail(APP_DEVICE, "out of memory");
    app_parse(&argp, argc, argv, &o);
    app_catch_interrupts();
    rc = app_open(&device, &o.device);
    if (rc)
        return rc;
    config = weights_config(o.weights);
    opts = (nn_classifier_opts){ .device = device,
                                 .precision = o.device.precision,
                                 .dialect = o.dialect,
                                 .config = config,
                                 .size = o.size };
    rc = nn_classifier_open(&c, o.weights, &opts, &why);
    if (rc)
        rc = app_fail(weights_exit_code(rc), "%s%s", why.text, rc == NN_EINVAL ? " (with --dialect)" : "");
    else
        rc = classify(&o, c);
    nn_classifier_close(c);
    nn_close(device);
    free(config);
    free((void *)o.image);
    return rc;
}
