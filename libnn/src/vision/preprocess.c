/* SPDX-License-Identifier: MIT
 *
 * The preprocessing record. Half of all "the weights do not work" reports are weights fed with other pixels
 * than they were trained on, so the record travels with the weights and is read strictly: what this version
 * does not understand it refuses instead of guessing.
 *
 * JSON by jansson, whose small objects come from its own allocator, not from the seam.
 */
#include "vision.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

nn_preprocess nn_preprocess_default(void)
{
    return (nn_preprocess){
        .kernel = NN_RESIZE_OPENCV_LINEAR,
        .resize_height = 224,
        .resize_width = 224,
        .size = 224,
        .mean = { 0.485, 0.456, 0.406 },
        .std = { 0.229, 0.224, 0.225 },
        .maximum = 255,
    };
}

void nn_preprocess_free(nn_preprocess *record)
{
    if (!record)
        return;
    for (int64_t i = 0; record->class_names && i < record->classes; i++)
        nni_free(record->class_names[i]);
    nni_free(record->class_names);
    record->class_names = NULL;
    record->classes = 0;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* A file can name millions of classes, so each is not compared with all others. */
static int check_unique(const char *const *names, int64_t count, nn_message *why)
{
    const char **sorted = nni_alloc_array((size_t)count, sizeof *sorted);
    int rc = NN_OK;

    if (!sorted)
        return nni_fail(why, NN_ENOMEM, "no memory for class names");
    memcpy(sorted, names, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_text);
    for (int64_t i = 1; !rc && i < count; i++)
        if (!strcmp(sorted[i - 1], sorted[i]))
            rc = nni_fail(why, NN_EINVAL, "class_names: \"%.64s\" appears twice", sorted[i]);
    nni_free(sorted);
    return rc;
}

int nn_preprocess_set_classes(nn_preprocess *record, const char *const *names, int64_t count, nn_message *why)
{
    nn_preprocess fresh = { .classes = 0 };

    if (!record || count < 0 || count > INT32_MAX || (count && !names))
        return nni_fail(why, NN_EINVAL, "no class names");
    for (int64_t i = 0; i < count; i++) {
        json_t *text = names[i] && names[i][0] ? json_string(names[i]) : NULL;

        json_decref(text);
        if (!text)
            return nni_fail(why, NN_EINVAL, "class_names: name %lld is empty or not UTF-8", (long long)i);
    }
    if (count) {
        int rc = check_unique(names, count, why);

        if (rc)
            return rc;
        fresh.class_names = nni_alloc_array((size_t)count, sizeof *fresh.class_names);
        if (!fresh.class_names)
            return nni_fail(why, NN_ENOMEM, "no memory for class names");
    }
    for (; fresh.classes < count; fresh.classes++) {
        fresh.class_names[fresh.classes] = nni_strdup(names[fresh.classes]);
        if (!fresh.class_names[fresh.classes]) {
            nn_preprocess_free(&fresh);
            return nni_fail(why, NN_ENOMEM, "no memory for class names");
        }
    }
    nn_preprocess_free(record);
    record->class_names = fresh.class_names;
    record->classes = fresh.classes;
    return NN_OK;
}

/* Wide enough for all networks and conventions there are, pixels of 0..255 against 0..1 among them; what lies
 * outside comes from a damaged or forged file. It would make every image look the same to the network, or
 * infinite, or take all memory for the resized one. NaN is in no range. */
enum { MOST_SIDE = 4096 };
#define MOST_MEAN 1000.0
#define LEAST_STD 0.0001
#define MOST_STD 1000.0
#define LEAST_MAXIMUM 1.0
#define MOST_MAXIMUM 65535.0

static bool within(double v, double low, double high) { return v >= low && v <= high; }
static bool side(int64_t n) { return n >= 1 && n <= MOST_SIDE; }

int nn_preprocess_check(const nn_preprocess *r, nn_message *why)
{
    bool squash;

    if (!r)
        return nni_fail(why, NN_EINVAL, "no preprocessing record");
    squash = r->resize_height || r->resize_width;
    if ((unsigned)r->kernel >= NN_RESIZE_KERNELS)
        return nni_fail(why, NN_EINVAL, "kernel: %d does not exist", (int)r->kernel);
    if (!side(r->size))
        return nni_fail(why, NN_EINVAL, "size: %lld is outside 1..%d", (long long)r->size, MOST_SIDE);
    if (squash && (!side(r->resize_height) || !side(r->resize_width)))
        return nni_fail(why, NN_EINVAL,
                        "resize_height and resize_width: %lld x %lld; both are 0 or both 1..%d",
                        (long long)r->resize_height, (long long)r->resize_width, MOST_SIDE);
    if (r->resize_shorter && (squash || !side(r->resize_shorter)))
        return nni_fail(why, NN_EINVAL,
                        "resize_shorter: %lld; it is 0, or 1..%d without resize_height and resize_width",
                        (long long)r->resize_shorter, MOST_SIDE);
    if (r->crop != 0 && r->crop != 1)
        return nni_fail(why, NN_EINVAL, "crop: %d; it is 0 or 1", r->crop);
    if (!r->crop && (r->resize_height != r->size || r->resize_width != r->size))
        return nni_fail(why, NN_EINVAL, "crop: without it resize_height and resize_width must equal size");
    for (int i = 0; i < 3; i++) {
        if (!within(r->mean[i], -MOST_MEAN, MOST_MEAN))
            return nni_fail(why, NN_EINVAL, "mean: number %d is %g, outside %g..%g", i, r->mean[i],
                            -MOST_MEAN, MOST_MEAN);
        if (!within(r->std[i], LEAST_STD, MOST_STD))
            return nni_fail(why, NN_EINVAL, "std: number %d is %g, outside %g..%g", i, r->std[i], LEAST_STD,
                            MOST_STD);
    }
    if (!within(r->maximum, LEAST_MAXIMUM, MOST_MAXIMUM))
        return nni_fail(why, NN_EINVAL, "maximum: %g is outside %g..%g", r->maximum, LEAST_MAXIMUM,
                        MOST_MAXIMUM);
    if (r->classes < 0 || (r->classes > 0) != (r->class_names != NULL))
        return nni_fail(why, NN_EINVAL, "classes: %lld does not fit class_names", (long long)r->classes);
    return NN_OK;
}

/* ------------------------------------------------------------------------------------------------ apply */

/* torchvision's Resize(int): the longer side is truncated, and at least as long as the shorter. */
static void keep_proportions(nn_image *to, const nn_image *in, int64_t shorter)
{
    bool tall = in->height > in->width;
    int64_t longer = tall ? shorter * in->height / in->width : shorter * in->width / in->height;

    to->width = tall ? shorter : longer;
    to->height = tall ? longer : shorter;
}

int nn_preprocess_apply(const nn_preprocess *record, const nn_image *in, uint8_t *rgb,
                        nn_vision_scratch *scratch, nn_message *why)
{
    nn_image out = { .rgb = rgb }, resized = { .rgb = NULL };
    int rc = nn_preprocess_check(record, why);

    if (rc)
        return rc;
    if (!in || !in->rgb || in->width < 1 || in->height < 1 || !rgb)
        return nni_fail(why, NN_EINVAL, "no image, or nowhere to put the pixels");
    out.width = out.height = record->size;
    if (!record->resize_height && !record->resize_shorter)
        return nn_image_crop_centre(&out, in, why);
    if (!record->crop)
        return nn_image_resize(&out, in, record->kernel, scratch, why);
    resized.width = record->resize_width;
    resized.height = record->resize_height;
    if (record->resize_shorter)
        keep_proportions(&resized, in, record->resize_shorter);
    if (resized.width == record->size && resized.height == record->size)
        return nn_image_resize(&out, in, record->kernel, scratch, why);
    if (scratch) {
        size_t bytes;

        if (resized.width > NNI_RESIZE_SIDE || resized.height > NNI_RESIZE_SIDE)
            return nni_fail(why, NN_EINVAL, "%lld x %lld pixels are too long and thin to resize",
                            (long long)in->width, (long long)in->height);
        bytes = (size_t)resized.width * (size_t)resized.height * 3;
        resized.rgb = nni_scratch(scratch, 2, bytes);
        if (!resized.rgb)
            return nni_fail(why, NN_ENOMEM, "no memory for %lld x %lld pixels", (long long)resized.width,
                            (long long)resized.height);
    }
    rc = nn_image_resize(&resized, in, record->kernel, scratch, why);
    if (!rc)
        rc = nn_image_crop_centre(&out, &resized, why);
    if (!scratch)
        nn_image_free(&resized);
    return rc;
}

/* ------------------------------------------------------------------------------------------------- text */

static json_t *triple(const double v[3]) { return json_pack("[f,f,f]", v[0], v[1], v[2]); }

int nn_preprocess_write(const nn_preprocess *record, char *text, size_t size, size_t *length, nn_message *why)
{
    json_t *object, *names;
    size_t need;
    int rc;

    if (!length || (size && !text))
        return nni_fail(why, NN_EINVAL, "nowhere to write the preprocessing record");
    *length = 0;
    rc = nn_preprocess_check(record, why);
    if (rc)
        return rc;
    names = json_array();
    for (int64_t i = 0; i < record->classes; i++)
        if (json_array_append_new(names, json_string(record->class_names[i]))) {
            json_decref(names);
            return nni_fail(why, NN_EINVAL, "class_names: name %lld is not UTF-8, or there is no memory",
                            (long long)i);
        }
    object = json_pack("{s:s, s:I, s:I, s:I, s:b, s:I, s:o, s:o, s:f, s:o}", "kernel",
                       nn_resize_name(record->kernel), "resize_height", (json_int_t)record->resize_height,
                       "resize_width", (json_int_t)record->resize_width, "resize_shorter",
                       (json_int_t)record->resize_shorter, "crop", record->crop, "size",
                       (json_int_t)record->size, "mean", triple(record->mean), "std", triple(record->std),
                       "maximum", record->maximum, "class_names", names);
    if (!object)
        return nni_fail(why, NN_ENOMEM, "no memory to write the preprocessing record");
    need = json_dumpb(object, NULL, 0, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (need && need < size) {
        (void)json_dumpb(object, text, need, JSON_COMPACT | JSON_REAL_PRECISION(17));
        text[need] = 0;
    }
    json_decref(object);
    if (!need)
        return nni_fail(why, NN_ENOMEM, "no memory to write the preprocessing record");
    *length = need;
    if (need >= size)
        return nni_fail(why, NN_EINVAL, "the preprocessing record needs %zu bytes, there are %zu", need + 1,
                        size);
    return NN_OK;
}

struct reader {
    const json_t *object;
    nn_message *why;
    int rc;
};

static const char *const keys[] = {
    "kernel", "resize_height", "resize_width", "resize_shorter", "crop",
    "size",   "mean",          "std",          "maximum",        "class_names"
};

static void refuse(struct reader *r, const char *key, const char *what)
{
    if (!r->rc)
        r->rc = nni_fail(r->why, NN_EFORMAT, "preprocessing record: \"%s\" is %s", key, what);
}

static const json_t *get(struct reader *r, const char *key)
{
    const json_t *value = json_object_get(r->object, key);

    if (!value)
        refuse(r, key, "missing");
    return value;
}

static int64_t get_int(struct reader *r, const char *key)
{
    const json_t *value = get(r, key);

    if (value && !json_is_integer(value))
        refuse(r, key, "not a whole number");
    return json_integer_value(value);
}

static double get_number(struct reader *r, const char *key, const json_t *value)
{
    if (value && !json_is_number(value))
        refuse(r, key, "not a number");
    return json_number_value(value);
}

static void get_triple(struct reader *r, const char *key, double out[3])
{
    const json_t *value = get(r, key);

    if (value && json_array_size(value) != 3)
        refuse(r, key, "not a list of three numbers");
    for (size_t i = 0; i < 3 && !r->rc; i++)
        out[i] = get_number(r, key, json_array_get(value, i));
}

static void get_names(struct reader *r, nn_preprocess *out)
{
    const json_t *list = get(r, "class_names");
    size_t count = json_array_size(list);
    const char **names;
    nn_message reason = { .text = "" };
    int rc;

    if (list && !json_is_array(list))
        refuse(r, "class_names", "not a list");
    for (size_t i = 0; i < count; i++)
        if (!json_is_string(json_array_get(list, i)))
            refuse(r, "class_names", "not a list of strings");
    if (r->rc || !count)
        return;
    names = nni_alloc_array(count, sizeof *names);
    if (!names) {
        r->rc = nni_fail(r->why, NN_ENOMEM, "preprocessing record: no memory");
        return;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = json_string_value(json_array_get(list, i));
    rc = nn_preprocess_set_classes(out, names, (int64_t)count, &reason);
    nni_free(names);
    if (rc)
        r->rc = nni_fail(r->why, rc == NN_EINVAL ? NN_EFORMAT : rc, "preprocessing record: %s", reason.text);
}

static void only_known_keys(struct reader *r)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)r->object, key, value)
    {
        bool known = false;

        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            known |= strcmp(key, keys[i]) == 0;
        if (!known && !r->rc)
            r->rc = nni_fail(r->why, NN_EFORMAT,
                             "preprocessing record: key \"%.64s\" is not known; it was written by a newer "
                             "version",
                             key);
    }
}

static void read_fields(struct reader *r, nn_preprocess *out)
{
    const json_t *value = get(r, "kernel");
    nn_message reason = { .text = "" };

    if (value && !json_is_string(value))
        refuse(r, "kernel", "not a string");
    if (!r->rc && nn_resize_named(&out->kernel, json_string_value(value), &reason))
        r->rc = nni_fail(r->why, NN_EFORMAT, "preprocessing record: \"kernel\": %s", reason.text);
    out->resize_height = get_int(r, "resize_height");
    out->resize_width = get_int(r, "resize_width");
    out->resize_shorter = get_int(r, "resize_shorter");
    value = get(r, "crop");
    if (value && !json_is_boolean(value))
        refuse(r, "crop", "not true or false");
    out->crop = json_is_true(value);
    out->size = get_int(r, "size");
    get_triple(r, "mean", out->mean);
    get_triple(r, "std", out->std);
    out->maximum = get_number(r, "maximum", get(r, "maximum"));
}

/* The key whose value the byte at `position` lies in or behind. */
static const char *key_before(const char *text, size_t position)
{
    const char *found = "?", *last = text;
    char quoted[32];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", keys[i]);
        for (const char *at = text; (at = strstr(at, quoted)) && (size_t)(at - text) < position; at++)
            if (at >= last) {
                last = at;
                found = keys[i];
            }
    }
    return found;
}

/* Of a text that is no JSON. */
static int not_json(const char *text, const json_error_t *error, nn_message *why)
{
    switch (json_error_code(error)) {
    case json_error_out_of_memory: return nni_fail(why, NN_ENOMEM, "preprocessing record: no memory");
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return nni_fail(
            why, NN_EFORMAT,
            "preprocessing record: \"%s\": a zero character (\\u0000) in a text that ends at byte "
            "%d, where none may be",
            key_before(text, (size_t)error->position), error->position);
    default:
        return nni_fail(why, NN_EFORMAT, "preprocessing record: %s at byte %d", error->text, error->position);
    }
}

int nn_preprocess_read(nn_preprocess *out, const char *text, nn_message *why)
{
    struct reader r = { .why = why };
    nn_message reason = { .text = "" };
    json_error_t error;
    json_t *object;

    if (!out || !text)
        return nni_fail(why, NN_EINVAL, "no preprocessing record to read");
    *out = (nn_preprocess){ .classes = 0 };
    object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        return not_json(text, &error, why);
    r.object = object;
    if (!json_is_object(object))
        r.rc = nni_fail(why, NN_EFORMAT, "preprocessing record: not a JSON object");
    if (!r.rc)
        only_known_keys(&r);
    if (!r.rc)
        read_fields(&r, out);
    if (!r.rc && nn_preprocess_check(out, &reason))
        r.rc = nni_fail(why, NN_EFORMAT, "preprocessing record: %s", reason.text);
    if (!r.rc)
        get_names(&r, out);
    json_decref(object);
    if (r.rc) {
        nn_preprocess_free(out);
        *out = (nn_preprocess){ .classes = 0 };
    }
    return r.rc;
}
