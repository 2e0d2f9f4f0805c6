/* SPDX-License-Identifier: MIT
 *
 * See pretrained_names.h. A block's parts are numbered in torchvision by their place, which depends on what
 * the block has; the others name them by what they do. Two traps: timm's conv_pw expands, but projects in the
 * first stage, which has no expansion; lukemelas' _bn0 is the stem's outside of blocks and the expansion's
 * inside. lukemelas also counts blocks through all stages.
 */
#include "families.h"
#include "pretrained_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Parts of a block, in their order. */
enum part { EXPAND, FILTER, EXCITE, PROJECT };

struct word {
    const char *theirs;
    enum part part;
    const char *ours; /* below the part's number */
};

/* clang-format off */
static const struct word timm_expanded[] = {
    { "conv_pw", EXPAND, "0" }, { "bn1", EXPAND, "1" },
    { "conv_dw", FILTER, "0" }, { "bn2", FILTER, "1" },
    { "se.conv_reduce", EXCITE, "fc1" }, { "se.conv_expand", EXCITE, "fc2" },
    { "conv_pwl", PROJECT, "0" }, { "bn3", PROJECT, "1" },
    { NULL, EXPAND, NULL },
};
static const struct word timm_plain[] = {
    { "conv_dw", FILTER, "0" }, { "bn1", FILTER, "1" },
    { "se.conv_reduce", EXCITE, "fc1" }, { "se.conv_expand", EXCITE, "fc2" },
    { "conv_pw", PROJECT, "0" }, { "bn2", PROJECT, "1" },
    { NULL, EXPAND, NULL },
};
static const struct word lukemelas[] = {
    { "_expand_conv", EXPAND, "0" }, { "_bn0", EXPAND, "1" },
    { "_depthwise_conv", FILTER, "0" }, { "_bn1", FILTER, "1" },
    { "_se_reduce", EXCITE, "fc1" }, { "_se_expand", EXCITE, "fc2" },
    { "_project_conv", PROJECT, "0" }, { "_bn2", PROJECT, "1" },
    { NULL, EXPAND, NULL },
};

/* clang-format on */

/* What lies outside of blocks, in pairs of theirs and ours, and names by which a file is recognised. */
static const struct style {
    const char *stem, *head, *classifier; /* their weights */
    const char *filter, *excite;          /* patterns of one such weight in each block */
    const char *outer[10];
} styles[NAMINGS] = {
    [NAMES_TORCHVISION] = { "features.0.0.weight",
                            "features.8.0.weight",
                            "classifier.1.weight",
                            "features.*.block.0.0.weight",
                            "features.*.block.*.fc1.weight",
                            { NULL } },
    [NAMES_TIMM] = { "conv_stem.weight",
                     "conv_head.weight",
                     "classifier.weight",
                     "blocks.*.conv_dw.weight",
                     "blocks.*.se.conv_reduce.weight",
                     { "conv_stem", "features.0.0", "bn1", "features.0.1", "conv_head", "features.8.0", "bn2",
                       "features.8.1", "classifier", "classifier.1" } },
    [NAMES_LUKEMELAS] = { "_conv_stem.weight",
                          "_conv_head.weight",
                          "_fc.weight",
                          "_blocks.*._depthwise_conv.weight",
                          "_blocks.*._se_reduce.weight",
                          { "_conv_stem", "features.0.0", "_bn0", "features.0.1", "_conv_head",
                            "features.8.0", "_bn1", "features.8.1", "_fc", "classifier.1" } },
};

/* --------------------------------------------------------------- recognising */

/* Whether the `n` characters are made of what training programs put before names. */
static int is_prefix(const char *text, size_t n)
{
    static const char *const known[] = { "module.", "_orig_mod.", "model.", "backbone.", "model/", "ema/" };

    while (n) {
        size_t step = 0;

        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i]) <= n && !strncmp(text, known[i], strlen(known[i])))
                step = strlen(known[i]);
        if (!step)
            return 0;
        text += step;
        n -= step;
    }
    return 1;
}

static const nn_safetensors_entry *find(const struct names *n, const nn_safetensors *file, const char *name)
{
    char text[256];

    (void)snprintf(text, sizeof text, "%s%s", n->prefix, name);
    return nn_safetensors_at(file, nn_safetensors_find(file, text));
}

/* The stem decides: some weight is called like one, behind nothing but a prefix. */
static int find_stem(struct names *n, const nn_safetensors *file)
{
    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        const char *name = nn_safetensors_at(file, i)->name;

        for (int k = 0; k < NAMINGS; k++) {
            size_t whole = strlen(name), stem = strlen(styles[k].stem);

            if (whole < stem || whole - stem >= sizeof n->prefix ||
                strcmp(name + whole - stem, styles[k].stem) != 0 || !is_prefix(name, whole - stem))
                continue;
            n->naming = (enum naming)k;
            (void)snprintf(n->prefix, sizeof n->prefix, "%.*s", (int)(whole - stem), name);
            return 1;
        }
    }
    return 0;
}

static int64_t dim(const nn_safetensors_entry *e, int axis)
{
    return e && e->shape.rank > axis ? e->shape.dim[axis] : 0;
}

/* The network of 1000 outputs under one more linear layer: "backbone." and beside it "classifier.weight". */
static void find_second_classifier(struct names *n, const nn_safetensors *file)
{
    size_t size = strlen(n->prefix), inner = strlen("backbone.");
    const nn_safetensors_entry *e;
    char text[256];

    if (n->naming != NAMES_TORCHVISION || size < inner || strcmp(n->prefix + size - inner, "backbone.") != 0)
        return;
    (void)snprintf(text, sizeof text, "%.*sclassifier.weight", (int)(size - inner), n->prefix);
    e = nn_safetensors_at(file, nn_safetensors_find(file, text));
    if (!e)
        return;
    n->second_classifier = 1;
    n->classes = dim(e, 0);
    n->prefix[size - inner] = 0;
}

int nni_names_recognise(struct names *n, const nn_safetensors *file, nn_message *why)
{
    const struct style *s;

    *n = (struct names){ .blocks = 0 };
    if (!find_stem(n, file)) {
        if (why)
            (void)snprintf(why->text, sizeof why->text,
                           "no network that is known: its metadata has no \"libnn.arch\", its first tensor "
                           "is \"%.100s\", and "
                           "none is called as an EfficientNet's stem is by torchvision, timm or lukemelas",
                           nn_safetensors_count(file) ? nn_safetensors_at(file, 0)->name : "");
        return NN_EUNSUPPORTED;
    }
    s = &styles[n->naming];
    for (int64_t i = 0; i < nn_safetensors_count(file); i++) {
        const char *name = nn_safetensors_at(file, i)->name;

        if (strncmp(name, n->prefix, strlen(n->prefix)) != 0)
            continue;
        n->blocks += nn_match(s->filter, name + strlen(n->prefix));
        n->excites |= nn_match(s->excite, name + strlen(n->prefix));
    }
    n->last = dim(find(n, file, s->head), 1);
    n->classes = dim(find(n, file, s->classifier), 0);
    find_second_classifier(n, file);
    return NN_OK;
}

/* --------------------------------------------------------------- translating */

struct translation {
    const struct names *names;
    const nn_efficientnet_config *config;
};

/* "features.3.0.block.1.0.weight" from the stage (from 1), the block in it and the rest of their name. */
static const char *in_block(const struct translation *t, int stage, int64_t block, const char *rest,
                            char text[256])
{
    int expanded = stage > 1, lite = t->config->lite;
    const struct word *w = t->names->naming == NAMES_LUKEMELAS ? lukemelas
                           : expanded                          ? timm_expanded
                                                               : timm_plain;
    const int place[] = {
        [EXPAND] = 0, [FILTER] = expanded, [EXCITE] = expanded + 1, [PROJECT] = expanded + 1 + !lite
    };

    for (; w->theirs; w++) {
        size_t n = strlen(w->theirs);

        if (strncmp(rest, w->theirs, n) != 0 || rest[n] != '.' || (w->part == EXPAND && !expanded) ||
            (w->part == EXCITE && lite))
            continue;
        (void)snprintf(text, 256, "features.%d.%" PRId64 ".block.%d.%s%.100s", stage, block, place[w->part],
                       w->ours, rest + n);
        return text;
    }
    return NULL;
}

static const char *block_name(const struct translation *t, const char *name, char text[256])
{
    int64_t block = -1;
    int stage = 0, n = 0;

    if (t->names->naming == NAMES_TIMM) {
        if (sscanf(name, "blocks.%d.%" SCNd64 ".%n", &stage, &block, &n) == 2 && n)
            return in_block(t, stage + 1, block, name + n, text);
        return NULL;
    }
    if (sscanf(name, "_blocks.%" SCNd64 ".%n", &block, &n) != 1 || !n || block < 0)
        return NULL;
    for (stage = 1; stage <= 7; stage++) {
        int64_t here = nn_efficientnet_blocks(t->config, stage);

        if (block < here)
            return in_block(t, stage, block, name + n, text);
        block -= here;
    }
    return NULL;
}

static const char *translate(void *payload, const char *name, char text[256])
{
    const struct translation *t = payload;
    const char *const *outer = styles[t->names->naming].outer, *renamed;
    size_t prefix = strlen(t->names->prefix);

    if (strncmp(name, t->names->prefix, prefix) != 0)
        return NULL;
    name += prefix;
    if (t->names->naming == NAMES_TORCHVISION)
        return name;
    for (int i = 0; i < 10; i += 2) {
        size_t n = strlen(outer[i]);

        if (strncmp(name, outer[i], n) != 0 || name[n] != '.')
            continue;
        (void)snprintf(text, 256, "%s%.100s", outer[i + 1], name + n);
        return text;
    }
    renamed = block_name(t, name, text);
    return renamed ? renamed : name;
}

int nni_names_translate(const struct names *n, const nn_efficientnet_config *c, nn_safetensors *file,
                        nn_message *why)
{
    struct translation t = { n, c };

    return nn_safetensors_rename(file, translate, &t, why);
}
