/* SPDX-License-Identifier: MIT
 *
 * Which dialect a file of weights speaks. What it says of itself comes first, then what came with it, then
 * the name that its publisher gave it; names of tensors tell the rest, where they can. timm has two families
 * with the same names, one padding like TensorFlow, and both of the TensorFlow ports have weights that want
 * other pixels: where nothing tells them apart the caller has to.
 *
 * lukemelas' padding is TensorFlow's computed for one size of image and then kept ("static"). Here it is
 * computed for the size that is used: the same numbers at the network's own size.
 *
 * Sources: torchvision/models/efficientnet.py, timm/models/efficientnet.py and what these two packages say of
 * their weights; efficientnet_pytorch/utils.py; efficientnet_lite_pytorch/utils.py.
 */
#include "families.h"
#include <nn/models/pretrained.h>

#include "metadata.h"
#include "pretrained_names.h"

#include <nn/classifier.h>

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pixels { IMAGENET, HALF }; /* mean and standard deviation */

/* clang-format off */
static const struct dialect {
    const char *name;
    enum naming naming;
    nn_padding padding;
    double eps; /* 0: as in nn_efficientnet's table, which is torchvision's */
    enum pixels pixels;
    int lite;                /* there are Lite networks of it */
    const char *patterns[4]; /* of the names that its files have */
} dialects[] = {
    { "torchvision", NAMES_TORCHVISION, NN_PAD_AUTO, 0, IMAGENET, 0, { NULL } },
    { "timm", NAMES_TIMM, NN_PAD_AUTO, 1e-5, IMAGENET, 1, { "efficientnet_*_ra*", "efficientnet_*.ra*", "efficientnet_b1-533bc792*" } },
    { "timm-tf-ap", NAMES_TIMM, NN_PAD_SAME, 1e-3, HALF, 0, { "tf_efficientnet_b?_ap*", "tf_efficientnet_b?.ap*" } },
    { "timm-tf", NAMES_TIMM, NN_PAD_SAME, 1e-3, IMAGENET, 1, { "tf_efficientnet_*" } },
    { "lukemelas-ap", NAMES_LUKEMELAS, NN_PAD_SAME, 1e-3, HALF, 0, { "adv-efficientnet-b*" } },
    { "lukemelas", NAMES_LUKEMELAS, NN_PAD_SAME, 1e-3, IMAGENET, 1, { "efficientnet-b*" } },
};
/* clang-format on */
enum { DIALECTS = sizeof dialects / sizeof *dialects, TIMM = 1, TIMM_TF_AP = 2 };

static int fail(nn_message *why, int status, const char *format, ...) NN_PRINTF(3, 4);
static int fail(nn_message *why, int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (why)
        (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return status;
}

/* ------------------------------------------------------------------- dialect */

/* What is being identified, and what may tell. */
struct case_at_hand {
    nn_pretrained *out;
    const nn_pretrained_opts *opts;
    nn_safetensors *file;
    struct names names;
    json_t *config;                          /* the file of that name, may be NULL */
    const nn_efficientnet_config *config_of; /* the network's own */
    nn_message *why;
};

static int fits(const struct case_at_hand *k, const struct dialect *d)
{
    return d->naming == k->names.naming && (k->names.excites || d->lite);
}

/* The dialect whose files are called so. */
static const struct dialect *by_name(const struct case_at_hand *k, const char *name)
{
    for (int i = 0; name && i < DIALECTS; i++)
        for (int n = 0; n < 4 && dialects[i].patterns[n]; n++)
            if (fits(k, &dialects[i]) && nn_match(dialects[i].patterns[n], name))
                return &dialects[i];
    return NULL;
}

/* timm's own name of the network, which training programs store: without a tag it still tells the family. */
static const struct dialect *by_architecture(const struct case_at_hand *k, const char *name)
{
    const struct dialect *found = by_name(k, name);

    if (!found && name && k->names.naming == NAMES_TIMM && !strncmp(name, "efficientnet_", 13))
        return &dialects[TIMM];
    return found;
}

/* "0.5" if that is the mean for all colours. */
static int is_half(const json_t *mean)
{
    int half = json_array_size(mean) == 3;

    for (size_t i = 0; half && i < 3; i++)
        half = json_number_value(json_array_get(mean, i)) == 0.5;
    return half;
}

static const json_t *pretrained_cfg(const struct case_at_hand *k)
{
    const json_t *inner = json_object_get(k->config, "pretrained_cfg");

    return inner ? inner : k->config;
}

static const struct dialect *by_config(const struct case_at_hand *k)
{
    const char *name = json_string_value(json_object_get(k->config, "architecture"));
    const struct dialect *found = by_architecture(k, name);

    if (found && found->padding == NN_PAD_SAME && k->names.naming == NAMES_TIMM && k->names.excites &&
        is_half(json_object_get(pretrained_cfg(k), "mean")))
        return &dialects[TIMM_TF_AP];
    return found;
}

static const char *base_of(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash ? slash + 1 : path;
}

static const struct dialect *only_one(const struct case_at_hand *k)
{
    const struct dialect *found = NULL;

    for (int i = 0; i < DIALECTS; i++) {
        if (!fits(k, &dialects[i]))
            continue;
        if (found)
            return NULL;
        found = &dialects[i];
    }
    return found;
}

static const struct dialect torchvision_lite = { .name = "libnn", .padding = NN_PAD_SAME, .pixels = HALF };

static int choose_dialect(const struct case_at_hand *k, const struct dialect **found)
{
    nn_pretrained *p = k->out;
    char list[160] = "";

    if (k->opts->dialect) {
        for (int i = 0; i < DIALECTS; i++)
            if (!strcmp(dialects[i].name, k->opts->dialect) && fits(k, &dialects[i]))
                *found = &dialects[i];
        p->told_by = "the caller";
    } else if ((*found = by_config(k))) {
        p->told_by = "its config.json";
    } else if ((*found = by_architecture(k, nn_safetensors_metadata(k->file, "torch.arch")))) {
        p->told_by = "its metadata";
    } else if ((*found = by_name(k, base_of(k->opts->path)))) {
        p->told_by = "its file name";
    } else if (k->names.naming == NAMES_TORCHVISION && !k->names.excites) {
        *found = &torchvision_lite; /* there is no Lite but ours under these names */
        p->told_by = "its names";
    } else if ((*found = only_one(k))) {
        p->told_by = "its names";
    }
    if (*found)
        return NN_OK;
    for (int i = 0; i < DIALECTS; i++)
        if (fits(k, &dialects[i]))
            (void)snprintf(list + strlen(list), sizeof list - strlen(list), " %s", dialects[i].name);
    if (k->opts->dialect)
        return fail(k->why, NN_EINVAL, "its names are not those of the dialect %.40s%s%s", k->opts->dialect,
                    *list ? " but of:" : "", list);
    return fail(
        k->why, NN_EINVAL,
        "its names are those of several dialects, which pad, normalise or scale otherwise, and nothing "
        "else tells which it is; name one of:%s",
        list);
}

/* -------------------------------------------------------------------- pixels */

/* How large images were when the publishers evaluated: the shorter side is resized to `resize`, and the
 * middle `crop` of it cut out. B0 to B7, then Lite0 to Lite4. */
enum { MEMBERS = 13, FIRST_LITE = 8 };
static const struct sizes {
    int16_t resize[MEMBERS], crop[MEMBERS];
} torchvision_sizes = { { 256, 256, 288, 320, 384, 456, 528, 600, 256, 272, 292, 331, 413 },
                        { 224, 240, 288, 300, 380, 456, 528, 600, 224, 240, 260, 300, 380 } },
  timm_sizes = { { 256, 256, 288, 320, 384, 488, 560, 632, 256, 272, 292, 331, 413 },
                 { 224, 256, 288, 320, 384, 456, 528, 600, 224, 240, 260, 300, 380 } },
  tensorflow_sizes = { { 256, 272, 292, 331, 412, 488, 560, 632, 256, 272, 292, 331, 413 },
                       { 224, 240, 260, 300, 380, 456, 528, 600, 224, 240, 260, 300, 380 } },
  lukemelas_sizes = { { 224, 240, 260, 300, 380, 456, 528, 600, 224, 240, 260, 280, 300 },
                      { 224, 240, 260, 300, 380, 456, 528, 600, 224, 240, 260, 280, 300 } };

static void set_pixels(struct case_at_hand *k, const struct dialect *d)
{
    nn_preprocess *p = &k->out->preprocess;
    const char *name = k->config_of->name;
    int lite = k->config_of->lite, number = name[strlen(name) - 1] - '0';
    int at = strstr(name, "_b6") ? 6 : number + (lite ? FIRST_LITE : 0); /* entry_b6 is one */
    const struct sizes *s = d->naming == NAMES_LUKEMELAS ? &lukemelas_sizes
                            : d->naming != NAMES_TIMM    ? &torchvision_sizes
                            : d->padding == NN_PAD_SAME  ? &tensorflow_sizes
                                                         : &timm_sizes;

    *p = nn_preprocess_default();
    p->resize_height = p->resize_width = 0;
    p->resize_shorter = s->resize[at];
    p->size = s->crop[at];
    p->crop = 1;
    p->kernel = NN_RESIZE_PILLOW_BICUBIC;
    if (lite && d->naming != NAMES_LUKEMELAS && at >= FIRST_LITE + 3)
        p->kernel = NN_RESIZE_PILLOW_BILINEAR;
    if (d->naming == NAMES_TORCHVISION && k->opts->path &&
        nn_match("efficientnet_b1-c27df63c*", base_of(k->opts->path))) { /* torchvision's second recipe */
        p->resize_shorter = 255;
        p->kernel = NN_RESIZE_PILLOW_BILINEAR;
    }
    for (int i = 0; i < 3; i++) {
        /* The Lite networks of TensorFlow: (x - 127) / 128, of which timm made 0.5. */
        if (lite && d->naming == NAMES_LUKEMELAS) {
            p->mean[i] = 127.0 / 255;
            p->std[i] = 128.0 / 255;
        } else if (d->pixels == HALF || (lite && d->padding == NN_PAD_SAME)) {
            p->mean[i] = p->std[i] = 0.5;
        }
    }
}

static void read_three(const json_t *list, double to[3])
{
    for (size_t i = 0; json_array_size(list) == 3 && i < 3; i++)
        to[i] = json_number_value(json_array_get(list, i));
}

/* timm's description of how a model is evaluated. */
static int read_config(struct case_at_hand *k)
{
    nn_preprocess *p = &k->out->preprocess;
    const json_t *cfg = pretrained_cfg(k), *size, *crop;
    const char *kernel = json_string_value(json_object_get(cfg, "interpolation"));
    nn_message why;

    if (!json_object_get(k->config, "architecture") || k->names.naming != NAMES_TIMM)
        return NN_OK;
    size = json_array_get(json_object_get(cfg, "test_input_size"), 1);
    if (!size)
        size = json_array_get(json_object_get(cfg, "input_size"), 1);
    crop = json_object_get(cfg, "test_crop_pct");
    if (!crop)
        crop = json_object_get(cfg, "crop_pct");
    if (json_is_integer(size))
        p->size = json_integer_value(size);
    if (json_is_number(crop) && json_number_value(crop) > 0.1)
        p->resize_shorter = (int64_t)floor((double)p->size / json_number_value(crop));
    if (kernel && !strcmp(kernel, "bilinear"))
        p->kernel = NN_RESIZE_PILLOW_BILINEAR;
    else if (kernel && !strcmp(kernel, "bicubic"))
        p->kernel = NN_RESIZE_PILLOW_BICUBIC;
    else if (kernel)
        return fail(k->why, NN_EUNSUPPORTED, "config.json: images resized by \"%.40s\"", kernel);
    read_three(json_object_get(cfg, "mean"), p->mean);
    read_three(json_object_get(cfg, "std"), p->std);
    return nn_preprocess_check(p, &why) ? fail(k->why, NN_EFORMAT, "config.json: %.200s", why.text) : NN_OK;
}

/* Those of ImageNet, or numbers. */
static int name_classes(struct case_at_hand *k)
{
    int64_t n = k->out->classes = k->names.classes;
    const char **names = calloc((size_t)n + 1, sizeof *names);
    char(*numbers)[32] = calloc((size_t)n + 1, sizeof *numbers);
    int rc = names && numbers ? NN_OK : fail(k->why, NN_ENOMEM, "%s", nn_strerror(NN_ENOMEM));

    if (!rc && n > INT16_MAX)
        rc = fail(k->why, NN_EUNSUPPORTED, "a classifier of %lld classes", (long long)n);
    for (int64_t i = 0; !rc && i < n; i++) {
        (void)snprintf(numbers[i], sizeof numbers[i], "class %lld", (long long)i);
        names[i] = n == 1000 ? nn_imagenet_class(i) : numbers[i];
    }
    if (!rc)
        rc = nn_preprocess_set_classes(&k->out->preprocess, names, n, k->why);
    free((void *)names);
    free(numbers);
    return rc;
}

/* ------------------------------------------------------------------ networks */

static const nn_efficientnet_config *find_network(const struct names *n)
{
    for (int i = 0; nn_efficientnet_at(i); i++) {
        const nn_efficientnet_config *c = nn_efficientnet_at(i);
        int64_t blocks = 0;

        for (int stage = 1; stage <= 7; stage++)
            blocks += nn_efficientnet_blocks(c, stage);
        if (blocks == n->blocks && nn_efficientnet_channels(c, 7) == n->last && c->lite != n->excites &&
            !c->backbone == !n->second_classifier)
            return c;
    }
    return NULL;
}

static int identify_names(struct case_at_hand *k)
{
    const struct dialect *d = NULL;
    const nn_efficientnet_config *c = find_network(&k->names);
    int rc;

    if (!c)
        return fail(
            k->why, NN_EUNSUPPORTED,
            "an EfficientNet of %lld blocks and %lld channels %s squeeze-and-excite, which is none of "
            "B0 to B7 and Lite0 to Lite4",
            (long long)k->names.blocks, (long long)k->names.last, k->names.excites ? "with" : "without");
    k->config_of = c;
    (void)nn_network_find(c->name, &k->out->network);
    rc = choose_dialect(k, &d);
    if (rc)
        return rc;
    k->out->dialect = d->name;
    k->out->network.padding = d->padding;
    k->out->network.eps = d->eps > 0 ? d->eps : c->eps;
    set_pixels(k, d);
    rc = read_config(k);
    if (!rc)
        rc = name_classes(k);
    return rc ? rc : nni_names_translate(&k->names, c, k->file, k->why);
}

/* ---------------------------------------------------------- ResNet and VGG */

static int64_t count_of(const nn_safetensors *file, const char *pattern)
{
    int64_t n = 0;

    for (int64_t i = 0; i < nn_safetensors_count(file); i++)
        n += nn_match(pattern, nn_safetensors_at(file, i)->name);
    return n;
}

/* They are called after their number of layers, and so can be found by counting them. */
static int identify_layers(struct case_at_hand *k)
{
    int64_t blocks = count_of(k->file, "layer?.*.conv1.weight");
    int64_t deep = count_of(k->file, "layer1.0.conv3.weight"),
            filters = count_of(k->file, "features.*.running_mean");
    const nn_safetensors_entry *head;
    nn_preprocess *p = &k->out->preprocess;
    char name[32];

    if (blocks)
        (void)snprintf(name, sizeof name, "resnet%d", (int)(2 + (deep ? 3 : 2) * blocks));
    else
        (void)snprintf(name, sizeof name, "vgg%d_bn", (int)(3 + filters));
    if (nn_network_find(name, &k->out->network))
        return NN_ENOTFOUND;
    head = nn_safetensors_at(k->file,
                             nn_safetensors_find(k->file, blocks ? "fc.weight" : "classifier.6.weight"));
    k->names.classes = head && head->shape.rank ? head->shape.dim[0] : 0;
    k->out->dialect = "torchvision";
    k->out->told_by = "its names";
    *p = nn_preprocess_default();
    p->resize_height = p->resize_width = 0;
    p->resize_shorter = 256;
    p->crop = 1;
    p->kernel = NN_RESIZE_PILLOW_BILINEAR;
    if (k->opts->path && (nn_match("resnet50-11ad3fa6*", base_of(k->opts->path)) ||
                          nn_match("resnet101-cd907fc2*", base_of(k->opts->path)) ||
                          nn_match("resnet152-f82ba261*", base_of(k->opts->path))))
        p->resize_shorter = 232; /* torchvision's second recipe */
    return name_classes(k);
}

/* A file of ours. */
static int read_metadata(struct case_at_hand *k, const char *network)
{
    const char *record = nn_safetensors_metadata(k->file, NN_PREPROCESS_KEY);
    const char *padding = nn_safetensors_metadata(k->file, NN_PADDING_KEY);
    nn_pretrained *p = k->out;
    int rc;

    if (nn_network_find(network, &p->network))
        return fail(k->why, NN_ENOTFOUND, "\"%s\" in its metadata, \"%.100s\", is no network of libnn",
                    NN_NETWORK_KEY, network);
    p->dialect = "libnn";
    p->told_by = "its metadata";
    if (padding && strcmp(padding, "symmetric") != 0 && strcmp(padding, "same") != 0)
        return fail(k->why, NN_EFORMAT, "\"%s\" in its metadata is neither symmetric nor same",
                    NN_PADDING_KEY);
    if (padding)
        p->network.padding = strcmp(padding, "same") ? NN_PAD_AUTO : NN_PAD_SAME;
    rc = nni_metadata_fraction(k->file, NN_EPS_KEY, &p->network.eps, k->why);
    if (!rc && !(p->network.eps > 0))
        rc = fail(k->why, NN_EFORMAT, "\"%s\" in its metadata is 0", NN_EPS_KEY);
    if (!rc)
        rc = nni_metadata_fraction(k->file, NN_THRESHOLD_KEY, &p->threshold, k->why);
    p->preprocess = nn_preprocess_default();
    if (!rc && record)
        rc = nn_preprocess_read(&p->preprocess, record, k->why);
    if (rc)
        return rc;
    p->classes = p->preprocess.classes ? p->preprocess.classes : k->names.classes;
    return NN_OK;
}

int nn_pretrained_identify(nn_pretrained *out, nn_safetensors *file, const nn_pretrained_opts *opts,
                           nn_message *why)
{
    static const nn_pretrained_opts none;
    struct case_at_hand k = { .out = out, .opts = opts ? opts : &none, .file = file, .why = why };
    const char *network = nn_safetensors_metadata(file, NN_NETWORK_KEY);
    json_error_t error;
    int rc;

    if (!out || !file)
        return fail(why, NN_EINVAL, "nn_pretrained_identify needs a file, and a place for what it finds");
    *out = (nn_pretrained){ .threshold = 0.5 };
    rc = nni_names_recognise(&k.names, file, why);
    if (network && !k.opts->dialect)
        rc = read_metadata(&k, network);
    else if (rc == NN_EUNSUPPORTED && !k.opts->dialect) {
        int known = identify_layers(&k);

        rc = known == NN_ENOTFOUND ? rc : known;
    } else if (!rc) {
        if (k.opts->config && !(k.config = json_loads(k.opts->config, JSON_REJECT_DUPLICATES, &error)))
            rc = fail(why, NN_EFORMAT, "config.json: %.100s at byte %d", error.text, error.position);
        if (!rc)
            rc = identify_names(&k);
    }
    json_decref(k.config);
    if (rc)
        nn_preprocess_free(&out->preprocess);
    return rc;
}
