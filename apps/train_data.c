/* SPDX-License-Identifier: MIT
 *
 * See train_data.h.
 */
#include "train_data.h"

#include "problems.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void tell_verified(void *payload, int64_t done, int64_t all)
{
    (void)payload;
    app_progress("checking images %lld/%lld", (long long)done, (long long)all);
}

static void print_data(const nn_dataset *d)
{
    for (int s = NN_SPLIT_TRAIN; s <= NN_SPLIT_VALID; s++)
        app_say("%-5s: %lld fake, %lld real", nn_split_name(s), (long long)d->count[s][NN_LABEL_FAKE],
                (long long)d->count[s][NN_LABEL_REAL]);
    if (d->excluded)
        app_say("excluded: %lld (%lld of them cannot be used)", (long long)d->excluded, (long long)d->bad);
}

/* The validation table comes first: where a copy of an image is in both, it validates. */
static int add_sources(const struct options *o, nn_dataset *d, nn_message *why)
{
    int rc = NN_OK;

    if (o->data)
        return nn_dataset_add(d, o->data, why);
    if (o->fake_dir)
        return nn_dataset_add_pair(d, o->fake_dir, o->real_dir, why);
    if (o->valid_csv)
        rc = nn_dataset_add_table(d, o->valid_csv, NN_SPLIT_VALID, why);
    return rc ? rc : nn_dataset_add_table(d, o->train_csv, NN_SPLIT_TRAIN, why);
}

int train_data_read(const struct options *o, nn_dataset *d, int64_t *walked)
{
    nn_message why;
    int64_t all = 0;
    int rc = add_sources(o, d, &why);

    for (int i = 0; !rc && i < o->extras; i++)
        rc = nn_dataset_add_extra(d, o->extra[i], &why);
    *walked = d->problems;
    /* Test images take no part and are not decoded. */
    if (!rc)
        rc = nn_dataset_verify(d, o->device.threads, tell_verified, NULL, &why);
    if (!rc)
        rc = nn_dataset_hash(d, o->device.threads, &why);
    if (!rc)
        rc = nn_dataset_deduplicate(d, &why);
    if (!rc && o->split)
        rc = nn_split_apply(d, o->split, &why);
    else if (!rc && !d->count[NN_SPLIT_VALID][NN_LABEL_FAKE] && !d->count[NN_SPLIT_VALID][NN_LABEL_REAL])
        rc = nn_dataset_split(d, o->valid_fraction, o->seed, &why);
    app_progress_end();
    for (int64_t i = 0; i < d->samples; i++)
        all += d->sample[i].split != NN_SPLIT_TEST;
    if (!rc)
        rc = nn_dataset_check(d, NN_SPLIT_TRAIN, &why);
    if (!rc)
        rc = nn_dataset_check(d, NN_SPLIT_VALID, &why);
    (void)problems_say(d, 0);
    if (rc)
        return app_fail(rc == NN_EINVAL ? APP_DATA : app_exit_code(rc), "%s", why.text);
    print_data(d);
    if (problems_folders(d))
        app_say("%s cannot be read: the images in there take no part, and nobody knows how many these are",
                app_count(problems_folders(d), "folder"));
    if (d->bad * 100 > all)
        return app_fail(APP_DATA,
                        "%lld of %s cannot be used, more than 1 %%; mend or remove the files named above",
                        (long long)d->bad, app_count(all, "image"));
    return APP_OK;
}

int train_data_augment(nn_augment **out, const char *option)
{
    nn_message why;
    int rc = nn_augment_new(out, option, &why);
    bool is_file = rc == NN_EFORMAT && app_exists(option);

    if (is_file) {
        char *text = app_read_text(option, 1 << 16);

        if (!text)
            return app_fail(APP_USAGE, "--augment %s: %s", option, strerror(errno));
        rc = nn_augment_new(out, text, &why);
        free(text);
    }
    if (rc == NN_EFORMAT)
        return app_fail(APP_USAGE, "--augment \"%s\": %s%s", option, why.text,
                        is_file ? "" : " (and there is no such file)");
    return rc ? app_fail(app_exit_code(rc), "--augment: %s", why.text) : APP_OK;
}

static double images(const nn_dataset *d, int split)
{
    return (double)(d->count[split][NN_LABEL_FAKE] + d->count[split][NN_LABEL_REAL]);
}

/* Validation first: how much that needs is known, because nothing but the resize happens to its images. */
void train_data_cache(const struct options *o, const nn_dataset *d, const nn_augment *augment, size_t *train,
                      size_t *valid)
{
    double room = o->cache == CACHE_AUTO ? app_available_bytes() / 4 : (double)o->cache;
    double one = 3 * (double)o->image_size * (double)o->image_size;
    double n = images(d, NN_SPLIT_TRAIN), m = images(d, NN_SPLIT_VALID);
    bool resized = !strncmp(nn_augment_text(augment), "resize\n", 7);
    double for_valid = fmin(room, m * one), for_train = room - for_valid;

    if (resized)
        for_train = fmin(for_train, n * one);
    *valid = (size_t)for_valid;
    *train = (size_t)for_train;
    if (room > 0 && resized)
        app_say("cache: %.0f MB for %.0f of %.0f images, resized", (for_valid + for_train) / 1e6,
                floor(for_valid / one) + floor(for_train / one), n + m);
    else if (room > 0)
        app_say(
            "cache: %.0f MB for %.0f of %.0f validation images, at most %.0f MB for training images as they "
            "are in their files",
            for_valid / 1e6, floor(for_valid / one), m, for_train / 1e6);
}

json_t *train_data_describe(const nn_dataset *d, int32_t source)
{
    int64_t n[NN_SPLITS + 1][NN_LABELS] = { { 0 } };
    char hex[65];

    for (int64_t i = 0; i < d->samples; i++)
        if (d->sample[i].source == source)
            n[d->sample[i].excluded ? NN_SPLITS : d->sample[i].split][d->sample[i].label]++;
    (void)nn_dataset_digest(d, source, hex);
    return json_pack(
        "{s:o, s:s, s:{s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}}", "root", problem_json(d->source[source].root),
        "sha256", hex, "train", "fake", (json_int_t)n[NN_SPLIT_TRAIN][NN_LABEL_FAKE], "real",
        (json_int_t)n[NN_SPLIT_TRAIN][NN_LABEL_REAL], "valid", "fake",
        (json_int_t)n[NN_SPLIT_VALID][NN_LABEL_FAKE], "real", (json_int_t)n[NN_SPLIT_VALID][NN_LABEL_REAL],
        "excluded", "fake", (json_int_t)n[NN_SPLITS][NN_LABEL_FAKE], "real",
        (json_int_t)n[NN_SPLITS][NN_LABEL_REAL]);
}
