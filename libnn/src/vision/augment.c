/* SPDX-License-Identifier: MIT
 *
 * Pipelines of transforms: reading them, printing them back whole, running them on one image.
 *
 * A run that cannot be repeated from what was printed is no experiment. So a pipeline is a small text, its
 * resolved form names every setting, defaults included, and mistakes are errors with their position rather
 * than a transform that quietly does something else.
 */
#include "vision/transform.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 32, MOST_TEXT = 1 << 16 };

struct nn_augment {
    struct nni_step step[MOST_STEPS];
    uint64_t key[MOST_STEPS]; /* hash of name and occurrence */
    int steps;
    char *text;
    const struct nni_step *normalize; /* NULL: bytes come out */
    bool native;                      /* pictures are cut, not resized */
};

static const struct {
    const char *name, *text;
} presets[] = {
    { "none", "" },
    { "flip", "flip" },
    { "entry", "resize\n"
               "advanced_blur\n"
               "color_jitter\n"
               "gauss_noise\n"
               "optical_distortion distort=-0.3..0.3 shift=-0.5..0.5\n"
               "flip\n"
               "affine scale=0.9..2 shift=-0.1..0.1 rotate=-10..10 shear=-20..20\n"
               "elastic alpha=300\n" },
    /* As it was published: 225 for 255, and pictures that are normalised already go through transforms that
     * clip to [0,1]. */
    { "notebook", "resize\n"
                  "normalize maximum=225\n"
                  "rotate angle=-45..45 p=0.3\n"
                  "flip p=0.2\n"
                  "brightness_contrast brightness=-0.2..0.2 contrast=0\n"
                  "color_jitter\n"
                  "cutout holes=3 p=0.3\n"
                  "random_crop\n" },
    { "notebook-fixed", "resize\n"
                        "rotate angle=-45..45 p=0.3\n"
                        "flip p=0.2\n"
                        "brightness_contrast brightness=-0.2..0.2 contrast=0\n"
                        "color_jitter\n"
                        "cutout holes=3 p=0.3\n"
                        "random_crop\n" },
};

static const struct nni_transform *const transforms[] = {
    &nni_transform_resize,
    &nni_transform_normalize,
    &nni_transform_random_crop,
    &nni_transform_random_resized_crop,
    &nni_transform_flip,
    &nni_transform_rotate,
    &nni_transform_affine,
    &nni_transform_optical_distortion,
    &nni_transform_elastic,
    &nni_transform_color_jitter,
    &nni_transform_brightness_contrast,
    &nni_transform_advanced_blur,
    &nni_transform_gauss_noise,
    &nni_transform_cutout,
    &nni_transform_jpeg,
    &nni_transform_gaussian_blur,
    &nni_transform_rescale,
    &nni_transform_erasing,
};

const struct nni_transform *nni_transform_named(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++)
        if (strlen(transforms[i]->name) == length && !memcmp(transforms[i]->name, name, length))
            return transforms[i];
    return NULL;
}

/* ---------------------------------------------------------------------------- resizing as a step */

static int resize(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    nn_image in = { .rgb = c->at, .width = c->width, .height = c->height };
    int64_t size = c->record->size;
    void *to = nni_canvas_next(c, size, size, false);
    nn_message why;
    int rc;

    (void)s;
    (void)drawn;
    if (!to)
        return NN_ENOMEM;
    rc = nn_preprocess_apply(c->record, &in, to, c->scratch, &why);
    if (!rc)
        nni_canvas_turn(c, size, size, false);
    return rc;
}

const struct nni_transform nni_transform_resize = {
    .name = "resize", .p = 1, .fits = true, .bytes = true, .apply = resize
};

/* -------------------------------------------------------------------------------------- reading */

struct reader {
    const char *text, *at;
    nn_message *why;
};

static int bad(const struct reader *r, const char *at, const char *format, const char *name, size_t length)
{
    int line = 1;
    const char *begin = r->text;

    for (const char *c = r->text; c < at; c++)
        if (*c == '\n') {
            line++;
            begin = c + 1;
        }
    return nni_fail(r->why, NN_EFORMAT, format, line, (int)(at - begin) + 1, (int)length, name);
}

static bool ends_step(char c) { return !c || c == ';' || c == '\n' || c == '#'; }

static void skip_spaces(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r')
        r->at++;
}

static size_t word_length(const char *at) { return strcspn(at, " \t\r\n;#="); }

/* A number, or two with ".." between them. */
static int read_value(struct reader *r, double *low, double *high)
{
    const char *begin = r->at;
    char number[64], *end;
    size_t n = strcspn(begin, " \t\r\n;#"), first;
    const char *dots = strstr(begin, "..");

    first = dots && (size_t)(dots - begin) < n ? (size_t)(dots - begin) : n;
    for (int i = 0; i < 2; i++) {
        const char *from = i && first < n ? begin + first + 2 : begin;
        size_t size = i && first < n ? n - first - 2 : first;

        if (!size || size >= sizeof number)
            return bad(r, begin, "line %d, column %d: \"%.*s\" is neither a number nor a range low..high",
                       begin, n);
        memcpy(number, from, size);
        number[size] = 0;
        *(i ? high : low) = nni_read_number(number, &end);
        if (*end || !isfinite(*(i ? high : low)))
            return bad(r, begin, "line %d, column %d: \"%.*s\" is neither a number nor a range low..high",
                       begin, n);
    }
    if (*low > *high)
        return bad(r, begin, "line %d, column %d: the range \"%.*s\" is upside down", begin, n);
    r->at += n;
    return NN_OK;
}

/* Bit i of *seen: setting i was there before; the last bit is the probability's. */
static int read_setting(struct reader *r, struct nni_step *s, unsigned *seen)
{
    const char *name = r->at, *value;
    size_t n = word_length(name);
    const struct nni_setting *set = s->transform->setting;
    bool probability = n == 1 && *name == 'p' && s->transform->p < 1;
    double low, high;
    int i = probability ? NNI_SETTINGS : 0, rc;

    if (name[n] != '=')
        return bad(r, name, "line %d, column %d: \"%.*s\": a setting is written name=value", name, n);
    while (i < NNI_SETTINGS && set[i].name && (strlen(set[i].name) != n || memcmp(set[i].name, name, n) != 0))
        i++;
    if (!probability && (i == NNI_SETTINGS || !set[i].name))
        return bad(r, name, "line %d, column %d: no setting \"%.*s\" here", name, n);
    if (*seen & 1u << i)
        return bad(r, name, "line %d, column %d: a second \"%.*s\" in one step", name, n);
    *seen |= 1u << i;
    r->at = value = name + n + 1;
    rc = read_value(r, &low, &high);
    if (rc)
        return rc;
    if (probability) {
        if (low != high || low < 0 || low > 1)
            return bad(r, value,
                       "line %d, column %d: the probability is one number from 0 to 1, not \"%.*s\"", value,
                       word_length(value));
        s->p = low;
        return NN_OK;
    }
    if (low < set[i].least || high > set[i].most)
        return bad(r, value, "line %d, column %d: \"%.*s\" is beyond what this setting can be", value,
                   word_length(value));
    if (low != high && set[i].low == set[i].high)
        return bad(r, value, "line %d, column %d: \"%.*s\" is a range, and this setting is a plain number",
                   value, word_length(value));
    s->low[i] = low;
    s->high[i] = high;
    return NN_OK;
}

static struct nni_step fresh_step(const struct nni_transform *t)
{
    struct nni_step s = { .transform = t, .p = t->p };

    for (int i = 0; i < NNI_SETTINGS && t->setting[i].name; i++) {
        s.low[i] = t->setting[i].low;
        s.high[i] = t->setting[i].high;
    }
    return s;
}

/* A second blur must not draw what the first did. */
static uint64_t key_of(const nn_augment *a, const struct nni_transform *t)
{
    uint64_t before = 0, key = nni_hash(t->name, strlen(t->name), NNI_HASH_BASIS);

    for (int i = 0; i < a->steps; i++)
        before += a->step[i].transform == t;
    return before ? nni_hash(&before, sizeof before, key) : key;
}

/* What can stand after the steps so far. */
static int check_place(const struct reader *r, const nn_augment *a, const struct nni_transform *t, size_t n)
{
    bool once = t == &nni_transform_resize || t == &nni_transform_normalize, normalized = false;
    bool fits = t->fits;

    for (int i = 0; i < a->steps; i++) {
        fits = fits || a->step[i].transform->fits;
        normalized = normalized || a->step[i].transform == &nni_transform_normalize;
        if (once && a->step[i].transform == t)
            return bad(r, r->at, "line %d, column %d: a second \"%.*s\"", r->at, n);
    }
    if (normalized && t->bytes)
        return bad(r, r->at, "line %d, column %d: \"%.*s\" takes bytes and cannot come after normalize",
                   r->at, n);
    if (a->steps == (fits ? MOST_STEPS : MOST_STEPS - 1)) /* room for a resize in front */
        return bad(r, r->at, "line %d, column %d: too many steps before \"%.*s\"", r->at, n);
    return NN_OK;
}

static int read_step(struct reader *r, nn_augment *a)
{
    const char *begin = r->at, *wrong;
    size_t n = word_length(begin);
    const struct nni_transform *t = nni_transform_named(begin, n);
    struct nni_step *s = &a->step[a->steps];
    unsigned seen = 0;
    int rc = t ? check_place(r, a, t, n)
               : bad(r, r->at, "line %d, column %d: there is no transform \"%.*s\"", r->at, n);

    if (rc)
        return rc;
    *s = fresh_step(t);
    a->key[a->steps] = key_of(a, t);
    r->at += n;
    skip_spaces(r);
    while (!rc && !ends_step(*r->at)) {
        rc = read_setting(r, s, &seen);
        skip_spaces(r);
    }
    if (!rc && t->wrong && (wrong = t->wrong(s)))
        rc = bad(r, begin, "line %d, column %d: %.*s", wrong, strlen(wrong));
    a->steps += !rc;
    return rc;
}

static int read_steps(nn_augment *a, const char *text, nn_message *why)
{
    struct reader r = { .text = text, .at = text, .why = why };
    bool fits = false;
    int rc = NN_OK;

    while (!rc && *r.at) {
        skip_spaces(&r);
        if (*r.at == '#')
            r.at += strcspn(r.at, "\n");
        else if (*r.at == ';' || *r.at == '\n')
            r.at++;
        else if (*r.at)
            rc = read_step(&r, a);
    }
    for (int i = 0; i < a->steps; i++)
        fits = fits || a->step[i].transform->fits;
    if (rc || fits)
        return rc;
    memmove(a->step + 1, a->step, (size_t)a->steps * sizeof *a->step);
    memmove(a->key + 1, a->key, (size_t)a->steps * sizeof *a->key);
    a->step[0] = fresh_step(&nni_transform_resize);
    a->steps++;
    return NN_OK;
}

static void summarise(nn_augment *a)
{
    a->native = true;
    for (int i = 0; i < a->steps; i++) {
        const struct nni_transform *t = a->step[i].transform;

        if (t == &nni_transform_normalize)
            a->normalize = &a->step[i];
        if (t->fits && t != &nni_transform_random_crop)
            a->native = false;
    }
}

/* ------------------------------------------------------------------------------------- printing */

/* A text that reads back as the same number. */
static void print_number(char **to, const char *end, double v)
{
    char text[32];

    for (int digits = 6; digits <= 17; digits++)
        if (nni_read_number(nni_print_number(text, v, digits), NULL) == v)
            break;
    *to += snprintf(*to, (size_t)(end - *to), "%s", text);
}

static bool print_steps(nn_augment *a)
{
    char *to = nni_alloc(MOST_TEXT), *end;

    if (!to)
        return false;
    a->text = to;
    end = to + MOST_TEXT;
    for (int i = 0; i < a->steps; i++) {
        const struct nni_step *s = &a->step[i];

        to += snprintf(to, (size_t)(end - to), "%s", s->transform->name);
        for (int k = 0; k < NNI_SETTINGS && s->transform->setting[k].name; k++) {
            to += snprintf(to, (size_t)(end - to), " %s=", s->transform->setting[k].name);
            print_number(&to, end, s->low[k]);
            if (s->low[k] != s->high[k]) {
                to += snprintf(to, (size_t)(end - to), "..");
                print_number(&to, end, s->high[k]);
            }
        }
        if (s->transform->p < 1) {
            to += snprintf(to, (size_t)(end - to), " p=");
            print_number(&to, end, s->p);
        }
        to += snprintf(to, (size_t)(end - to), "\n");
    }
    return true;
}

int nn_augment_new(nn_augment **out, const char *text, nn_message *why)
{
    nn_augment *a;
    int rc;

    if (!out || !text)
        return nni_fail(why, NN_EINVAL, "no text of a pipeline");
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].name, text)) {
            text = presets[i].text;
            break;
        }
    a = nni_alloc_zero(sizeof *a);
    if (!a)
        return nni_fail(why, NN_ENOMEM, "no memory for a pipeline");
    rc = read_steps(a, text, why);
    summarise(a);
    if (!rc && !print_steps(a))
        rc = nni_fail(why, NN_ENOMEM, "no memory for a pipeline");
    if (rc) {
        nn_augment_free(a);
        return rc;
    }
    *out = a;
    return NN_OK;
}

void nn_augment_free(nn_augment *a)
{
    if (!a)
        return;
    nni_free(a->text);
    nni_free(a);
}

const char *nn_augment_text(const nn_augment *a) { return a ? a->text : ""; }

const struct nni_step *nni_augment_step(const nn_augment *a, int i)
{
    return i < a->steps ? &a->step[i] : NULL;
}

nn_dtype nn_augment_type(const nn_augment *a) { return a && a->normalize ? NN_F32 : NN_U8; }

void nn_augment_settle(const nn_augment *a, nn_preprocess *record)
{
    if (!a || !record)
        return;
    if (a->normalize)
        record->maximum = a->normalize->low[0];
    if (a->native) {
        record->resize_height = record->resize_width = record->resize_shorter = 0;
        record->crop = 1;
    }
}

/* -------------------------------------------------------------------------------------- running */

/* The picture to begin with: a copy, or at once the resized one. */
static int begin(struct nni_canvas *c, const nn_image *in, bool resizes, nn_message *why)
{
    int64_t width = resizes ? c->record->size : in->width, height = resizes ? width : in->height;
    uint8_t *to = nni_canvas_next(c, width, height, false);

    if (!to)
        return NN_ENOMEM;
    if (resizes) {
        int rc = nn_preprocess_apply(c->record, in, to, c->scratch, why);

        if (rc)
            return rc;
    } else {
        for (int64_t y = 0; y < height; y++)
            memcpy(to + 3 * width * y, in->rgb + (size_t)y * nni_image_stride(in), (size_t)width * 3);
    }
    nni_canvas_turn(c, width, height, false);
    return NN_OK;
}

static int run_step(const struct nni_step *s, uint64_t key, nn_augment_key k, struct nni_canvas *c)
{
    struct nni_dice dice = { .stream = nni_stream_of(k.seed, key), .sample = k.sample, .epoch = k.epoch };
    struct nni_drawn drawn = { .v = { 0 } };

    if (s->transform->p < 1 && nni_dice_uniform(&dice, 0, 1) < 1 - s->p)
        return NN_OK;
    if (s->transform->draw)
        s->transform->draw(s, &dice, c->width, c->height, &drawn);
    return s->transform->apply(s, &drawn, c);
}

bool nni_augment_resizes(const nn_augment *a) { return a->step[0].transform == &nni_transform_resize; }

int nni_augment_run(const nn_augment *a, const nn_preprocess *record, const nn_image *in, bool resized,
                    nn_augment_key key, void *pixels, nn_vision_scratch *scratch, nn_message *why)
{
    struct nni_canvas c = { .slot = NNI_SCRATCH_CANVAS, .scratch = scratch, .record = record };
    bool first = nni_augment_resizes(a);
    int rc = begin(&c, in, first && !resized, why);

    for (int i = first; !rc && i < a->steps; i++)
        rc = run_step(&a->step[i], a->key[i], key, &c);
    if (rc == NN_ENOMEM)
        (void)nni_fail(why, rc, "no memory to augment %lld x %lld pixels", (long long)c.width,
                       (long long)c.height);
    if (!rc)
        memcpy(pixels, c.at, (size_t)(c.width * c.height) * nni_pixel_bytes(c.real));
    return rc;
}

int nn_augment_apply(const nn_augment *a, const nn_preprocess *record, const nn_image *in, nn_augment_key key,
                     void *pixels, nn_vision_scratch *scratch, nn_message *why)
{
    nn_vision_scratch own = { .size = { 0 } };
    int rc;

    if (!a || !nni_image_usable(in, NNI_RESIZE_SIDE) || !pixels)
        return nni_fail(
            why, NN_EINVAL,
            "no pipeline, no memory for the result, or no image, or one with sides outside 1..%d or "
            "a stride shorter than a row",
            NNI_RESIZE_SIDE);
    rc = nn_preprocess_check(record, why);
    if (!rc)
        rc = nni_augment_run(a, record, in, false, key, pixels, scratch ? scratch : &own, why);
    nn_vision_scratch_free(&own);
    return rc;
}
