/* SPDX-License-Identifier: MIT
 *
 * For programs that have pixels and want probabilities: a trained image classifier as one object, with the
 * preprocessing that belongs to its weights. As of a device: one thread at a time, threads that work side by
 * side open one each.
 *
 *     nn_classifier *c;
 *     double p[2];
 *
 *     if (nn_classifier_open(&c, "best.safetensors", NULL, &why))
 *         return fail(why.text);
 *     if (nn_classifier_run(c, rgb, width, height, 0, p))
 *         return fail(nn_classifier_error(c));
 *     printf("%s %.3f\n", nn_classifier_about(c)->preprocess.class_names[1], p[1]);
 *     nn_classifier_close(c);
 */
#ifndef NN_CLASSIFIER_H
#define NN_CLASSIFIER_H

#include <nn/plan.h>
#include <nn/vision.h>

NN_C_BEGIN

/* What a weight file says of itself in its metadata, as any program can with nn_model_save. */
#define NN_NETWORK_KEY "libnn.arch"        /* a network that comes with libnn, "efficientnet_b6" */
#define NN_THRESHOLD_KEY "libnn.threshold" /* 0 to 1, may be absent: 0.5 */
/* and NN_PREPROCESS_KEY (nn/vision.h), the record with one class name for each output. */

typedef struct nn_classifier nn_classifier;

typedef struct nn_classifier_opts {
    nn_device *device;   /* to run on, open for longer than the classifier; NULL: a CPU device of its own, */
    int threads;         /* with so many threads; 0: one for each processor */
    int64_t batch;       /* images that the network sees at once (nn_classifier_logits); 0: 1 */
    nn_dtype precision;  /* of activations, see nn_plan_opts */
    int64_t size;        /* of the network's input, 0: as the file says. Resizing is scaled likewise */
    const char *dialect; /* of pretrained weights, where they do not tell it, and the contents of the */
    const char *config;  /* config.json that came with them (nn/models/pretrained.h), or NULL */
    /* A network of your own instead of the one that the file names: normalised image [N,size,size,3] ->
     * logits [N,classes]. */
    nn_tensor *(*network)(nn_graph *g, nn_tensor *image, int64_t classes);
} nn_classifier_opts;

typedef struct nn_classifier_info {
    const char *network;      /* as the file names it; "" where it does not */
    nn_preprocess preprocess; /* with .classes outputs called .class_names */
    double threshold;         /* of two classes: the second is meant when its probability reaches this */
    int64_t batch;            /* opts.batch */
} nn_classifier_info;

/* Opens a weight file or checkpoint that describes itself as above (averaged weights are preferred), or
 * pretrained weights of another origin (nn/models/pretrained.h). `opts` may be NULL. NN_EFORMAT: damaged, or
 * not described; NN_EINVAL: opts->dialect is needed; NN_EUNSUPPORTED: no network that is known; NN_ENOTFOUND:
 * no such file, or no such network; NN_EDEVICE. */
NN_API int nn_classifier_open(nn_classifier **out, const char *path, const nn_classifier_opts *opts,
                              nn_message *why);
NN_API void nn_classifier_close(nn_classifier *c);
NN_API const nn_classifier_info *nn_classifier_about(const nn_classifier *c);
NN_API const char *nn_classifier_error(const nn_classifier *c);

/* Pixels [height,width,3] of any size, 8-bit RGB, rows `stride` bytes apart (0: 3*width), into
 * probabilities[classes], which add up to 1. NN_EINVAL: sizes. NN_EFORMAT: the weights give no number.
 * NN_ESTATE: another thread is using the device. */
NN_API int nn_classifier_run(nn_classifier *c, const uint8_t *rgb, int64_t width, int64_t height,
                             size_t stride, double *probabilities);
/* For many images: `count`, at most opts.batch, already preprocessed (nn_preprocess_apply, nn_loader), from
 * rgb[count,size,size,3] into logits[count,classes]. */
NN_API int nn_classifier_logits(nn_classifier *c, const uint8_t *rgb, int64_t count, double *logits);

NN_C_END

#endif
