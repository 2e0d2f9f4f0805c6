/* SPDX-License-Identifier: MIT
 *
 * Using a trained network where there are only pixels: a file goes in, probabilities come out. The file
 * knows how its images must be resized and normalised and what its classes are called.
 *
 *     classify best.safetensors photo.jpg      what a checkpoint of fakereal_train says about an image
 *     classify                                 the same with a network of one's own
 *
 * The latter trains a small network, saves it with its metadata, opens the file again and asks it.
 */
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 8, BATCH = 32, STEPS = 200 };

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

static void print(const nn_classifier *c, const double *probability)
{
    const nn_preprocess *p = &nn_classifier_about(c)->preprocess;

    for (int64_t i = 0; i < p->classes; i++)
        printf("  %-8s %.4f\n", p->class_names[i], probability[i]);
}

static int classify(const char *weights, const char *file)
{
    nn_image image = { 0 };
    nn_classifier *c;
    nn_message why;
    double *p;

    must(nn_classifier_open(&c, weights, NULL, &why), why.text);
    must(nn_image_load(&image, file, NULL, &why), why.text);
    p = malloc((size_t)nn_classifier_about(c)->preprocess.classes * sizeof *p);
    must(p ? NN_OK : NN_ENOMEM, "");
    must(nn_classifier_run(c, image.rgb, image.width, image.height, image.stride, p), nn_classifier_error(c));
    print(c, p);
    free(p);
    nn_image_free(&image);
    nn_classifier_close(c);
    return 0;
}

/* ---- a network of one's own ---- */

/* Normalised images to logits: the same function serves training and nn_classifier_opts. */
static nn_tensor *network(nn_graph *g, nn_tensor *x, int64_t classes)
{
    x = nn_relu(g, nn_layer_conv2d(g, "1", x, (nn_conv2d_opts){ .out = 8, .k = 3, .stride = 2, .bias = 1 }));
    x = nn_flatten(g, nn_global_avg_pool(g, x));
    return nn_layer_linear(g, "head", x, (nn_linear_opts){ .out = classes });
}

/* Noise in which one colour is brighter on the average. */
static void draw(uint8_t *rgb, int64_t pixels, int colour)
{
    for (int64_t i = 0; i < 3 * pixels; i++)
        rgb[i] = (uint8_t)(rand() % 180 + (i % 3 == colour ? 70 : 0));
}

/* Trains on images as `record` describes them, and writes weights and record to one file. */
static void train_and_save(const char *path, const nn_preprocess *record)
{
    nn_plan_opts opts = { .optim = nn_adam((nn_adam_opts){ 0 }) };
    nn_tensor *x, *class;
    nn_device *device;
    nn_model *model;
    nn_message why;
    nn_graph *g;
    nn_plan *p;
    char text[4096];
    size_t length;

    must(nn_open(&device, "cpu", NULL, &why), why.text);
    must(nn_model_new(&model, device, 5), "no model");
    must(nn_graph_new(&g, device, model, NN_TRAIN), "no graph");
    x = nn_input(g, "image", NN_U8, NN_SHAPE4(BATCH, SIDE, SIDE, 3));
    class = nn_input(g, "class", NN_I32, NN_SHAPE1(BATCH));
    x = network(g, nn_normalize(g, x, record->mean, record->std, record->maximum), record->classes);
    opts.loss = nn_cross_entropy(g, x, class, (nn_ce_opts){ 0 });
    must(nn_compile(&p, g, opts), nn_graph_error(g));
    nn_set(p, NN_LEARNING_RATE, 5e-3);
    for (int k = 0; k < STEPS; k++) {
        uint8_t *image = nn_host(p, "image", NULL);
        int32_t *truth = nn_host(p, "class", NULL);

        for (int n = 0; n < BATCH; n++) {
            truth[n] = rand() % 3;
            draw(image + n * SIDE * SIDE * 3, SIDE * SIDE, truth[n]);
        }
        must(nn_run(p, NN_GRADIENTS | NN_UPDATE), nn_plan_error(p));
    }
    printf("trained: loss %.4f\n", nn_loss(p));
    must(nn_preprocess_write(record, text, sizeof text, &length, &why), why.text);
    must(nn_model_save(model, path, NN_BASE_NONE, &(nn_pair){ NN_PREPROCESS_KEY, text }, 1),
         nn_model_error(model));
    nn_plan_free(p);
    nn_graph_free(g);
    nn_model_free(model);
    nn_close(device);
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "red", "green", "blue" };
    enum { WIDTH = 40, HEIGHT = 30 };
    static uint8_t rgb[WIDTH * HEIGHT * 3];
    nn_preprocess record = nn_preprocess_default();
    const char *path = "classify.safetensors"; /* in the working folder, removed in the end */
    double probability[3];
    nn_classifier *c;
    nn_message why;
    int right = 0;

    if (argc == 3)
        return classify(argv[1], argv[2]);
    record.size = record.resize_width = record.resize_height = SIDE;
    must(nn_preprocess_set_classes(&record, names, 3, &why), why.text);
    train_and_save(path, &record);
    nn_preprocess_free(&record);

    must(nn_classifier_open(&c, path, &(nn_classifier_opts){ .threads = 1, .network = network }, &why),
         why.text);
    for (int colour = 0; colour < 3; colour++) {
        draw(rgb, WIDTH * HEIGHT, colour);
        must(nn_classifier_run(c, rgb, WIDTH, HEIGHT, 0, probability), nn_classifier_error(c));
        printf("an image that is mostly %s:\n", names[colour]);
        print(c, probability);
        right += probability[colour] > 0.5;
    }
    nn_classifier_close(c);
    (void)remove(path);
    return right == 3 ? 0 : 1;
}
