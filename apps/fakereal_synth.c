/* SPDX-License-Identifier: MIT
 *
 * fakereal_synth: two classes of pictures that differ in how they were made and in nothing else, in the
 * folders that the other programs read. With them the whole way from files to a judged classifier can be
 * walked on any machine, without anybody's photographs. docs/synth.md describes the pictures.
 */
#include "app.h"
#include "synth.h"

#include <dirent.h>
#include <errno.h>
#include <nn/vision.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { O_COUNT = 256, O_SEED, O_IMAGE_SIZE, O_SHEET, O_SHUFFLE };
enum { SPLITS = 3, CLASSES = 2, SHEET_COLUMNS = 6, SHEET_GAP = 4 };

static const char *const SPLIT[SPLITS] = { "train", "valid", "test" };
static const char *const CLASS[CLASSES] = { "real_images", "fake_images" };
static const char SUBMISSION[] = "test/sample_submission.csv";

struct options {
    const char *output, *sheet;
    int64_t count;
    uint64_t seed;
    int side, threads;
    bool shuffle;
};

static const struct argp_option LIST[] = {
    { "output", 'o', "DIR", 0, "folder to make or an empty one", 1 },
    { "count", O_COUNT, "N", 0, "pictures in all, an even number (4000)", 1 },
    { "image-size", O_IMAGE_SIZE, "N", 0, "height and width, a multiple of 4 (128)", 1 },
    { "seed", O_SEED, "N", 0, "the same seed gives the same bytes (42)", 1 },
    { "sheet", O_SHEET, "FILE", 0, "also one picture (PNG) of a few scenes, photographed above, made below",
      1 },
    { "shuffle-labels", O_SHUFFLE, NULL, 0,
      "for a control: the same pictures, but which class folder each is put in is left to chance", 1 },
    { "threads", 't', "N", 0, "threads (one for each processor that it may use)", 1 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'o': o->output = arg; return 0;
    case O_COUNT:
        o->count = app_int(state, "count", arg, 20, 10000000);
        if (o->count % 2)
            app_bad_option(state, "--count: %s is odd; both classes are of the same size", arg);
        return 0;
    case O_IMAGE_SIZE:
        o->side = (int)app_int(state, "image-size", arg, 16, 2048);
        if (o->side % SYNTH_STEP)
            app_bad_option(state, "--image-size: %s is no multiple of %d", arg, SYNTH_STEP);
        return 0;
    case O_SEED: o->seed = (uint64_t)app_int(state, "seed", arg, 0, INT64_MAX); return 0;
    case O_SHEET: o->sheet = arg; return 0;
    case O_SHUFFLE: o->shuffle = true; return 0;
    case 't': o->threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case ARGP_KEY_ARG: app_bad_option(state, "unexpected argument \"%s\"", arg); return 0;
    case ARGP_KEY_END:
        if (!o->output)
            app_bad_option(state, "--output is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* --------------------------------------------------------------------- what goes where */

struct item {
    uint8_t split, fake, folder; /* folder differs from fake only where labels are shuffled */
};

struct job {
    const struct options *o;
    struct item *item; /* [count]; the index is the number of the scene and the file's name */
    size_t there;      /* bytes of the output's name that name a folder which was there before */
    atomic_llong next, done;
    pthread_mutex_t lock; /* of what follows */
    int code;
    char reason[512];
};

/* Half of the items at `item` get 1 in the field at `offset`, the others 0: which, chance decides. */
static void toss(struct item *item, int64_t n, size_t offset, struct dice *d)
{
    int64_t ones = n / 2;

    for (int64_t i = 0; i < n; i++) {
        bool one = dice_below(d, (int)(n - i)) < ones;

        *((uint8_t *)&item[i] + offset) = one;
        ones -= one;
    }
}

/* 70, 15 and 15 parts of a hundred. */
static void plan_items(struct item *item, const struct options *o)
{
    int64_t held = (o->count * 15 / 100 + 1) / 2 * 2, begin = 0;
    const int64_t size[SPLITS] = { o->count - 2 * held, held, held };

    for (int s = 0; s < SPLITS; begin += size[s++]) {
        struct dice d = dice_new(o->seed, (uint64_t)s, ROLL_CLASSES);

        for (int64_t i = begin; i < begin + size[s]; i++)
            item[i].split = (uint8_t)s;
        toss(item + begin, size[s], offsetof(struct item, fake), &d);
        for (int64_t i = begin; i < begin + size[s]; i++)
            item[i].folder = item[i].fake;
        if (o->shuffle)
            toss(item + begin, size[s], offsetof(struct item, folder), &d);
    }
}

/* Into `path`; PATH_MAX was checked for. */
static void item_path(char *path, size_t size, const struct job *j, int64_t i)
{
    (void)snprintf(path, size, "%s/%s/%s/%07lld.png", j->o->output, SPLIT[j->item[i].split],
                   CLASS[j->item[i].folder], (long long)i);
}

/* ----------------------------------------------------------------------------- files */

static void give_up(struct job *j, int code, const char *reason)
{
    (void)pthread_mutex_lock(&j->lock);
    if (!j->code) {
        j->code = code;
        (void)snprintf(j->reason, sizeof j->reason, "%s", reason);
    }
    (void)pthread_mutex_unlock(&j->lock);
    atomic_store(&j->next, j->o->count);
}

static int save(const char *path, uint8_t *rgb, int64_t width, int64_t height, int level, nn_message *why)
{
    nn_image image = { .rgb = rgb, .width = width, .height = height };

    return nn_image_save_png(&image, path, level, why);
}

static void *make_pictures(void *payload)
{
    struct job *j = payload;
    size_t bytes = (size_t)j->o->side * (size_t)j->o->side * 3;
    struct synth *s = synth_new(j->o->side, j->o->seed);
    uint8_t *rgb = malloc(bytes);
    int64_t i;

    if (!s || !rgb)
        give_up(j, APP_DEVICE, "out of memory");
    while (!app_interrupted && (i = atomic_fetch_add(&j->next, 1)) < j->o->count) {
        char path[4200];
        nn_message why;
        int rc;

        synth_picture(s, (uint64_t)i, j->item[i].fake, rgb);
        item_path(path, sizeof path, j, i);
        rc = save(path, rgb, j->o->side, j->o->side, 0, &why); /* stored: its size says nothing */
        if (rc)
            give_up(j, app_exit_code(rc), why.text);
        atomic_fetch_add(&j->done, 1);
    }
    synth_free(s);
    free(rgb);
    return NULL;
}

static int make_all(struct job *j)
{
    enum { MOST = 1024 };
    pthread_t thread[MOST];
    int threads = j->o->threads, started = 0;
    double start = app_seconds();
    struct timespec pause = { .tv_nsec = 50000000 };

    for (; started < threads; started++)
        if (pthread_create(&thread[started], NULL, make_pictures, j))
            break;
    if (!started)
        give_up(j, APP_DEVICE, "no thread could be started");
    while (started && !app_interrupted && atomic_load(&j->next) < j->o->count) {
        (void)nanosleep(&pause, NULL);
        app_progress("pictures %lld/%lld", (long long)atomic_load(&j->done), (long long)j->o->count);
    }
    for (int i = 0; i < started; i++)
        (void)pthread_join(thread[i], NULL);
    app_progress_end();
    if (app_interrupted)
        return app_fail(128 + app_interrupted, "interrupted; nothing is left of it");
    if (j->code)
        return app_fail(j->code, "%s; nothing is left of it", j->reason);
    app_say("%s of %d px in %.1f s, %s, seed %llu", app_count(j->o->count, "picture"), j->o->side,
            app_seconds() - start, app_count(started, "thread"), (unsigned long long)j->o->seed);
    return APP_OK;
}

/* Runs `each` on every folder of the layout, inner ones behind outer ones or before. */
static int for_folders(const struct options *o, bool inner_first, int (*each)(const char *path))
{
    char path[4200];
    int rc = APP_OK;

    for (int s = 0; !rc && s < SPLITS; s++)
        for (int c = 0; !rc && c < CLASSES; c++) {
            (void)snprintf(path, sizeof path, "%s/%s/%s", o->output, SPLIT[s], CLASS[c]);
            rc = each(path);
            if (inner_first && c == CLASSES - 1) {
                (void)snprintf(path, sizeof path, "%s/%s", o->output, SPLIT[s]);
                rc = each(path);
            }
        }
    return rc;
}

static int remove_folder(const char *path)
{
    (void)rmdir(path);
    return 0;
}

/* Without its last part. */
static void shorten(char *path)
{
    size_t n = strlen(path);

    while (n && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    path[n] = 0;
}

/* A set that is not whole must not be taken for one. */
static void remove_all(const struct job *j)
{
    char path[4200];

    for (int64_t i = 0; i < j->o->count; i++) {
        item_path(path, sizeof path, j, i);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/%s", j->o->output, SUBMISSION);
    (void)unlink(path);
    (void)for_folders(j->o, true, remove_folder);
    (void)snprintf(path, sizeof path, "%s", j->o->output);
    while (strlen(path) > j->there && !rmdir(path))
        shorten(path);
}

/* The template that fakereal_predict fills in. */
static int write_submission(const struct job *j)
{
    char *path = app_join(j->o->output, SUBMISSION), *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    int rc;

    if (f)
        (void)fputs("ImageId,answer\n", f);
    for (int64_t i = 0; f && i < j->o->count; i++)
        if (!strcmp(SPLIT[j->item[i].split], "test"))
            (void)fprintf(f, "%07lld.png,0\n", (long long)i);
    rc = !f || fclose(f) ? app_fail(APP_DEVICE, "out of memory") : app_write_file(path, text);
    free(text);
    free(path);
    return rc;
}

/* Scenes that the set does not hold, each as both kinds. */
static int write_sheet(const struct options *o)
{
    size_t side = (size_t)o->side, row = (side * SHEET_COLUMNS + (size_t)SHEET_GAP * (SHEET_COLUMNS - 1)) * 3;
    size_t height = side * CLASSES + SHEET_GAP;
    struct synth *s = synth_new(o->side, o->seed);
    uint8_t *sheet = malloc(row * height), *rgb = malloc(side * side * 3);
    nn_message why;
    int rc = APP_OK;

    if (s && sheet && rgb) {
        memset(sheet, 255, row * height);
        for (size_t i = 0; i < SHEET_COLUMNS; i++)
            for (size_t fake = 0; fake < CLASSES; fake++) {
                synth_picture(s, (uint64_t)o->count + i, fake, rgb);
                for (size_t y = 0; y < side; y++)
                    memcpy(sheet + (fake * (side + SHEET_GAP) + y) * row + i * (side + SHEET_GAP) * 3,
                           rgb + y * side * 3, side * 3);
            }
        rc = save(o->sheet, sheet, (int64_t)(row / 3), (int64_t)height, 9, &why);
        if (rc)
            rc = app_fail(app_exit_code(rc), "%s", why.text);
    } else {
        rc = app_fail(APP_DEVICE, "out of memory");
    }
    synth_free(s);
    free(sheet);
    free(rgb);
    return rc;
}

/* ----------------------------------------------------------------------- the program */

/* An old set and a new one in one folder would be neither. */
static int claim_output(struct job *j)
{
    const char *path = j->o->output;
    const struct dirent *e;
    char before[4200];
    bool any = false;
    DIR *d;
    int rc;

    if (!*path)
        return app_fail(APP_USAGE, "--output \"\": a folder needs a name");
    if (strlen(path) > 4000)
        return app_fail(APP_USAGE, "--output: the name is too long");
    (void)snprintf(before, sizeof before, "%s", path);
    while (*before && !app_exists(before))
        shorten(before);
    j->there = strlen(before);
    rc = app_make_folder(path);
    if (rc)
        return rc;
    d = opendir(path);
    if (!d)
        return app_fail(APP_IO, "%s: %s", path, strerror(errno));
    while ((e = readdir(d)))
        any = any || (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."));
    (void)closedir(d);
    return any ? app_fail(APP_USAGE, "%s is not empty; choose another --output", path) : APP_OK;
}

/* The sheet would replace a file of the set. The folders are there. */
static int check_sheet(const struct options *o)
{
    char path[4200];

    for (int s = 0; o->sheet && s < SPLITS; s++)
        for (int c = 0; c <= CLASSES; c++) {
            (void)snprintf(path, sizeof path, "%s/%s/%s", o->output, SPLIT[s], c < CLASSES ? CLASS[c] : ".");
            if (app_lies_in(o->sheet, path))
                return app_fail(APP_USAGE, "--sheet %s lies among the files of the set", o->sheet);
        }
    return APP_OK;
}

static void print_counts(const struct job *j)
{
    int64_t n[SPLITS][CLASSES] = { { 0 } };

    for (int64_t i = 0; i < j->o->count; i++)
        n[j->item[i].split][j->item[i].folder]++;
    for (int s = 0; s < SPLITS; s++)
        printf("%s\t%lld fake\t%lld real\n", SPLIT[s], (long long)n[s][1], (long long)n[s][0]);
}

static int make_set(struct job *j)
{
    int rc = claim_output(j);

    if (rc)
        return rc;
    rc = for_folders(j->o, false, app_make_folder);
    if (!rc)
        rc = check_sheet(j->o);
    if (!rc && j->o->sheet)
        rc = app_check_output("--sheet", j->o->sheet, false);
    if (!rc)
        rc = make_all(j);
    if (!rc)
        rc = write_submission(j);
    if (!rc && j->o->sheet)
        rc = write_sheet(j->o);
    if (rc) {
        remove_all(j);
        return rc;
    }
    print_counts(j);
    return fflush(stdout) ? app_fail(APP_IO, "standard output: %s", strerror(errno)) : APP_OK;
}

int main(int argc, char **argv)
{
    const struct argp argp = {
        LIST,
        parse,
        NULL,
        "Makes pictures of two classes: random scenes seen by a simulated camera (real) and made again by a "
        "simulated generator (fake), in DIR/{train,valid,test}/{fake_images,real_images}.\n\n"
        "Examples:\n"
        "  $ fakereal_synth --output synth\n"
        "  $ fakereal_synth --output synth --count 2000 --sheet sheet.png\n"
        "  $ fakereal_train --data synth --model efficientnet_lite0 --image-size 128\v"
        "A classifier of these pictures knows nothing about photographs from the internet. All files have "
        "the "
        "same size; no scene occurs twice. The numbers of each class go to stdout.\n"
        "Exit codes: 0 done; 2 usage, or DIR is not empty; 4 output; 5 memory; 129, 130, 143 interrupted. "
        "Where "
        "the set could not be finished nothing is left of it, except when a second signal ends it at once.",
        NULL,
        NULL,
        NULL
    };
    struct options o = {
        .count = 4000, .side = 128, .seed = 42, .threads = (int)sysconf(_SC_NPROCESSORS_ONLN)
    };
    struct job j = { .o = &o, .lock = PTHREAD_MUTEX_INITIALIZER };
    int rc;

    app_parse(&argp, argc, argv, &o);
    app_catch_interrupts();
    j.item = calloc((size_t)o.count, sizeof *j.item);
    if (!j.item)
        return app_fail(APP_DEVICE, "out of memory");
    plan_items(j.item, &o);
    rc = make_set(&j);
    free(j.item);
    return rc;
}
