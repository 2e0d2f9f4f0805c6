/* SPDX-License-Identifier: MIT
 *
 * An answer for each pixel: a U-Net (Ronneberger et al., 2015) finds discs in noise. Down to a quarter of the
 * size and up again, and on the way up what was seen at that size on the way down is laid beside it. A second
 * plan, of the same model in evaluation mode, judges it on images that it has not seen: it has a loss, too,
 * but no gradients.
 */
#include <nn/nn.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 32, BATCH = 8, STEPS = 100, PIXELS = BATCH * SIDE * SIDE };

static void must(int rc, const char *text)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", nn_strerror(rc), text);
    exit(1);
}

static nn_tensor *block(nn_graph *g, const char *name, nn_tensor *x, int64_t out)
{
    nn_conv2d_opts conv = { .out = out, .k = 3 };

    nn_push(g, name);
    x = nn_relu(g, nn_layer_conv2d_norm(g, "1", x, conv, (nn_batchnorm_opts){ 0 }));
    x = nn_relu(g, nn_layer_conv2d_norm(g, "2", x, conv, (nn_batchnorm_opts){ 0 }));
    nn_pop(g);
    return x;
}

/* Twice the size, beside `skip`. */
static nn_tensor *up(nn_graph *g, const char *name, nn_tensor *x, nn_tensor *skip)
{
    nn_conv_transpose2d_opts twice = { .out = nn_dim(skip, -1), .k = 2, .stride = 2, .bias = 1 };
    nn_tensor *both[2] = { nn_layer_conv_transpose2d(g, name, x, twice), skip };

    return nn_concat(g, both, 2, -1);
}

/* Images [N,H,W,1], H and W divisible by 4, to logits of "this pixel is part of a disc", of the same shape.
 */
static nn_tensor *unet(nn_graph *g, nn_tensor *image)
{
    nn_pool_opts half = { .k = 2 };
    nn_tensor *a = block(g, "down1", image, 16);
    nn_tensor *b = block(g, "down2", nn_max_pool2d(g, a, half), 32);
    nn_tensor *c = block(g, "middle", nn_max_pool2d(g, b, half), 64);

    b = block(g, "up2", up(g, "grow2", c, b), 32);
    a = block(g, "up1", up(g, "grow1", b, a), 16);
    return nn_layer_conv2d(g, "head", a, (nn_conv2d_opts){ .out = 1, .k = 1, .bias = 1 });
}

static nn_plan *compile(nn_device *device, nn_model *model, nn_mode mode)
{
    nn_shape shape = NN_SHAPE4(BATCH, SIDE, SIDE, 1);
    nn_plan_opts opts = { 0 };
    nn_tensor *z;
    nn_graph *g;
    nn_plan *p;

    must(nn_graph_new(&g, device, model, mode), "no graph");
    z = nn_observe(g, "logits", unet(g, nn_input(g, "image", NN_REAL, shape)));
    opts.loss = nn_bce_with_logits(g, z, nn_input(g, "mask", NN_REAL, shape), NULL, NN_REDUCE_MEAN);
    if (mode == NN_TRAIN)
        opts.optim = nn_adam((nn_adam_opts){ .rate = 3e-3 });
    else
        opts.wrt = "";
    must(nn_compile(&p, g, opts), nn_graph_error(g));
    nn_graph_free(g);
    return p;
}

/* Three discs in each image, and noise that is stronger than they are. */
static void draw(nn_plan *p)
{
    nn_real *image = nn_host(p, "image", NULL), *mask = nn_host(p, "mask", NULL);

    for (int i = 0; i < PIXELS; i++)
        mask[i] = 0;
    for (int k = 0; k < 3 * BATCH; k++) {
        int x = rand() % SIDE, y = rand() % SIDE, r = 2 + rand() % 4;

        for (int i = 0; i < SIDE * SIDE; i++)
            if ((i % SIDE - x) * (i % SIDE - x) + (i / SIDE - y) * (i / SIDE - y) <= r * r)
                mask[k / 3 * SIDE * SIDE + i] = 1;
    }
    for (int i = 0; i < PIXELS; i++)
        image[i] = mask[i] + (nn_real)(2.5 * rand() / RAND_MAX - 1.25);
}

/* Intersection over union of the discs and what is taken for them. */
static double score(nn_plan *p)
{
    static nn_real logits[PIXELS];
    const nn_real *mask;
    int both = 0, either = 0;

    draw(p);
    mask = nn_host(p, "mask", NULL);
    must(nn_run(p, NN_FORWARD), nn_plan_error(p));
    must(nn_read(p, "logits", NN_REAL, logits, PIXELS), nn_plan_error(p));
    for (int i = 0; i < PIXELS; i++) {
        both += logits[i] > 0 && mask[i] > 0;
        either += logits[i] > 0 || mask[i] > 0;
    }
    return (double)both / either;
}

int main(void)
{
    nn_plan *train, *judge;
    nn_device *device;
    nn_model *model;
    nn_message why;
    double iou = 0;

    must(nn_open(&device, "cpu", &(nn_device_options){ .threads = 1 }, &why), why.text);
    must(nn_model_new(&model, device, 1), "no model");
    train = compile(device, model, NN_TRAIN);
    judge = compile(device, model, NN_EVAL);
    for (int k = 1; k <= STEPS; k++) {
        draw(train);
        must(nn_run(train, NN_GRADIENTS | NN_UPDATE), nn_plan_error(train));
        if (k % 20 == 0) {
            iou = score(judge);
            printf("step %3d: loss %.4f, on new images %.4f; intersection over union %.3f\n", k,
                   nn_loss(train), nn_loss(judge), iou);
        }
    }
    nn_close(device); /* and all that was made on it */
    return iou > 0.7 ? 0 : 1;
}
