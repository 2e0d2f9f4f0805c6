/* SPDX-License-Identifier: MIT
 *
 * See run.h.
 */
#include "run.h"

#include "app.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_STATE "libnn.run.state"
#define KEY_CONFIG "libnn.run.config"

static const char BEST[] = "best.safetensors", PREDICTIONS[] = "valid_predictions.csv";

/* Exact: floating numbers as hexadecimal text. */
static char *state_text(const struct run_state *s)
{
    char *text = malloc(1024);

    if (text)
        (void)snprintf(text, 1024,
                       "epoch=%" PRId64 " position=%" PRId64 " loss=%a best=%a seen=%" PRId32
                       " best_epoch=%" PRId64 " bad=%" PRId64 " epochs=%" PRId64
                       " scale=%a plateau=%a plateau_bad=%" PRId64 " started=%d ended=%" PRId64,
                       s->epoch, s->position, s->loss_sum, s->stop.best, s->stop.seen, s->stop.best_epoch,
                       s->stop.bad_epochs, s->stop.epochs, s->plateau.scale, s->plateau.best, s->plateau.bad,
                       s->plateau.started, s->ended);
    return text;
}

static bool state_read(struct run_state *s, const char *text)
{
    return text && sscanf(text,
                          "epoch=%" SCNd64 " position=%" SCNd64 " loss=%la best=%la seen=%" SCNd32
                          " best_epoch=%" SCNd64 " bad=%" SCNd64 " epochs=%" SCNd64
                          " scale=%la plateau=%la plateau_bad=%" SCNd64 " started=%d ended=%" SCNd64,
                          &s->epoch, &s->position, &s->loss_sum, &s->stop.best, &s->stop.seen,
                          &s->stop.best_epoch, &s->stop.bad_epochs, &s->stop.epochs, &s->plateau.scale,
                          &s->plateau.best, &s->plateau.bad, &s->plateau.started, &s->ended) == 13;
}

int run_lock(const struct run *r)
{
    int folder = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* Kept open: the lock lives as long as the process. Where a file system has no locks there is none. */
    if (folder >= 0 && flock(folder, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return app_fail(APP_USAGE, "%s: another process is training there", r->folder);
    return APP_OK;
}

int run_save(struct run *r, const struct network *n, nn_plan *plan)
{
    char *path = app_join(r->folder, "last.safetensors");
    char *config = json_dumps(r->config, JSON_COMPACT | JSON_SORT_KEYS), *state = state_text(&r->state);
    nn_pair pairs[10];
    nn_message why;
    int64_t count = 0;
    int rc = network_pairs(n, pairs, &count, 0.5);

    if (!rc && (!config || !state))
        rc = app_fail(APP_DEVICE, "cannot save the checkpoint: out of memory");
    if (!rc) {
        int64_t own = count;

        pairs[own++] = (nn_pair){ KEY_CONFIG, config };
        pairs[own++] = (nn_pair){ KEY_STATE, state };
        rc = nn_checkpoint_save(plan, n->model, path, pairs, own, &why);
        if (rc)
            rc = app_fail(app_exit_code(rc), "cannot save the checkpoint: %s", why.text);
    }
    network_pairs_free(pairs, count);
    free(config);
    free(state);
    free(path);
    return rc;
}

int run_save_best(struct run *r, struct network *n, nn_base role, double threshold)
{
    char *path = app_join(r->folder, "best.safetensors");
    nn_pair pairs[8];
    int64_t count = 0;
    int rc = network_pairs(n, pairs, &count, threshold);

    if (!rc) {
        rc = nn_model_save(n->model, path, role, pairs, count);
        if (rc)
            rc = app_fail(app_exit_code(rc), "cannot save the best weights: %s", nn_model_error(n->model));
    }
    network_pairs_free(pairs, count);
    free(path);
    return rc;
}

/* Of a checkpoint that may be somebody's only copy. */
static void say_remedy(const char *file)
{
    char *best = app_beside(file, BEST);

    if (app_exists(best) && !app_same_file(best, file))
        app_say("without a copy of it the run cannot go on; a new one can begin with its best weights: "
                "--weights %s --run-dir ANOTHER",
                best);
    free(best);
}

int run_stored_config(json_t **out, const char *file)
{
    nn_safetensors *f;
    nn_message why;
    const char *text;
    int rc = nn_safetensors_open(&f, file, NULL, &why);

    *out = NULL;
    if (rc) {
        (void)app_fail(0, "%s", why.text);
        if (rc == NN_EFORMAT)
            say_remedy(file);
        return app_exit_code(rc);
    }
    text = nn_safetensors_metadata(f, KEY_CONFIG);
    if (!text)
        rc = app_fail(APP_DATA, "%s: not a checkpoint of a training run (no \"%s\" in its metadata)", file,
                      KEY_CONFIG);
    else if (nn_checkpoint_check(f, &why)) {
        rc = app_fail(APP_DATA, "%s: %s", file, why.text);
        say_remedy(file);
    } else if (!(*out = json_loads(text, JSON_REJECT_DUPLICATES, NULL)))
        rc = app_fail(APP_DATA, "%s: \"%s\" in its metadata is no JSON", file, KEY_CONFIG);
    nn_safetensors_free(f);
    return rc;
}

/* Lists what differs between two configurations; the number of differences. */
static int differences(const json_t *now, const json_t *then)
{
    const char *key;
    json_t *value;
    int n = 0;

    json_object_foreach((json_t *)(uintptr_t)then, key, value)
    {
        const json_t *other = json_object_get(now, key);

        if (other && json_equal(value, other))
            continue;
        char *a = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        char *b = other ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

        app_say("  %s: %s in the checkpoint, %s now", key, a ? a : "?", b ? b : "absent");
        free(a);
        free(b);
        n++;
    }
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        if (!json_object_get(then, key)) {
            app_say("  %s: absent in the checkpoint", key);
            n++;
        }
    }
    return n;
}

int run_resume(struct run *r, struct network *n, nn_plan *plan, const char *file)
{
    struct early_stop stop = r->state.stop;
    nn_plateau plateau = r->state.plateau;
    json_t *then;
    nn_safetensors *f;
    nn_message why;
    int rc = run_stored_config(&then, file);

    if (rc)
        return rc;
    rc = differences(r->config, then) ? app_fail(APP_USAGE,
                                                 "%s was made with other options or other data (above); "
                                                 "repeat those, or begin a new run with --weights",
                                                 file)
                                      : APP_OK;
    json_decref(then);
    if (rc)
        return rc;
    rc = nn_safetensors_open(&f, file, NULL, &why);
    if (rc)
        return app_fail(app_exit_code(rc), "%s", why.text);
    if (!state_read(&r->state, nn_safetensors_metadata(f, KEY_STATE))) {
        rc = app_fail(APP_DATA, "%s: \"%s\" in its metadata is damaged", file, KEY_STATE);
    } else if ((rc = nn_checkpoint_load(plan, n->model, f, &why))) {
        rc = app_fail(app_exit_code(rc), "%s: %s", file, why.text);
    }
    nn_safetensors_free(f);
    r->state.stop.patience = stop.patience;
    r->state.stop.maximize = stop.maximize;
    r->state.plateau.factor = plateau.factor;
    r->state.plateau.patience = plateau.patience;
    return rc;
}

/* --------------------------------------------------------- the best weights and their predictions */

/* Where a file of the best lies while it is put aside. */
static char *aside_of(const char *folder, const char *name)
{
    char tilde[64];

    (void)snprintf(tilde, sizeof tilde, "%s~", name);
    return app_join(folder, tilde);
}

static int put_aside(const char *folder, const char *name)
{
    char *path = app_join(folder, name), *aside = aside_of(folder, name);
    int rc = APP_OK;

    (void)unlink(aside);
    /* A second name keeps the first in place; not every file system has that. */
    if (app_exists(path) && link(path, aside) && rename(path, aside))
        rc = app_fail(APP_IO, "%s: %s", aside, strerror(errno));
    free(path);
    free(aside);
    return rc;
}

int run_put_best_aside(const struct run *r)
{
    int rc = put_aside(r->folder, BEST);

    return rc ? rc : put_aside(r->folder, PREDICTIONS);
}

static int put_back(const char *folder, const char *name, bool wanted)
{
    char *path = app_join(folder, name), *aside = aside_of(folder, name);
    int rc = APP_OK;

    if (wanted && app_exists(aside) && rename(aside, path))
        rc = app_fail(APP_IO, "%s: %s", aside, strerror(errno));
    if (!wanted) {
        (void)unlink(aside);
        if (unlink(path) && errno != ENOENT)
            rc = app_fail(APP_IO, "%s: %s", path, strerror(errno));
    }
    free(path);
    free(aside);
    return rc;
}

/* Copies a file into the run folder; there need be none. */
static int bring(const struct run *r, const char *from, const char *name)
{
    char *to = app_join(r->folder, name);
    char block[1 << 16];
    size_t n;
    int rc = APP_OK;
    FILE *in = app_is_file(from) ? fopen(from, "rb") : NULL, *out = in ? fopen(to, "wb") : NULL;

    if (in) {
        while (out && (n = fread(block, 1, sizeof block, in)) && fwrite(block, 1, n, out) == n)
            ;
        if (!out || ferror(in) || ferror(out))
            rc = app_fail(APP_IO, "%s: cannot copy it to %s: %s", from, to, strerror(errno));
        if (out && fclose(out) && !rc)
            rc = app_fail(APP_IO, "%s: %s", to, strerror(errno));
        (void)fclose(in);
    }
    free(to);
    return rc;
}

static int bring_along(const struct run *r, const char *from)
{
    const char *names[] = { "metrics.csv", BEST, PREDICTIONS };
    int rc = APP_OK;

    for (size_t i = 0; !rc && i < sizeof names / sizeof *names; i++) {
        char *path = app_join(from, names[i]), *aside = aside_of(from, names[i]);

        rc = bring(r, app_exists(aside) ? aside : path, names[i]);
        free(path);
        free(aside);
    }
    return rc;
}

/* What a run writes into its folder. */
static const char *const written[] = {
    "config.json",           "split.tsv",        "audit.json", "events.jsonl",      "metrics.csv",
    "report.html",           "last.safetensors", BEST,         "best.safetensors~", PREDICTIONS,
    "valid_predictions.csv~"
};
enum { WRITTEN = sizeof written / sizeof *written };

int run_check_files(const char *folder)
{
    int rc = APP_OK;

    for (int i = 0; !rc && i < WRITTEN; i++) {
        char *path = app_join(folder, written[i]);
        struct stat st;

        if (!lstat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            rc = app_fail(APP_IO,
                          "%s: %s, and the run would write there what belongs into its folder; remove it",
                          path, S_ISLNK(st.st_mode) ? "a link" : "not a regular file");
        free(path);
    }
    return rc;
}

/* Files that atomic replacing leaves behind when a process is killed: NAME.tmp and NAME.tmp.PROCESS. */
static void remove_leftovers(const char *folder)
{
    DIR *d = opendir(folder);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        for (int i = 0; i < WRITTEN; i++) {
            static const char ending[] = ".tmp";
            size_t n = strlen(written[i]);
            const char *rest = e->d_name + n;

            if (!strncmp(e->d_name, written[i], n) && !strncmp(rest, ending, sizeof ending - 1) &&
                (!rest[sizeof ending - 1] || rest[sizeof ending - 1] == '.')) {
                char *path = app_join(folder, e->d_name);

                (void)unlink(path);
                free(path);
            }
        }
    }
    if (d)
        (void)closedir(d);
}

static bool has(const char *folder, const char *name)
{
    char *path = app_join(folder, name);
    bool there = app_exists(path);

    free(path);
    return there;
}

/* Whether events.jsonl tells of something that comes only after a checkpoint was saved, such as a second
 * epoch. */
static bool had_checkpoint(const char *folder)
{
    char *path = app_join(folder, "events.jsonl"), *line = NULL;
    FILE *f = app_open_text(path);
    size_t room = 0;
    bool had = false;
    int epochs = 0;

    while (f && !had && getline(&line, &room, f) >= 0) {
        json_t *event = json_loads(line, 0, NULL);
        const char *what = json_string_value(json_object_get(event, "event"));

        epochs += what && !strcmp(what, "epoch");
        had = epochs > 1 ||
              (what && (!strcmp(what, "end") || !strcmp(what, "interrupted") || !strcmp(what, "resume")));
        json_decref(event);
    }
    if (f)
        (void)fclose(f);
    free(line);
    free(path);
    return had;
}

bool run_can_begin_again(const char *folder)
{
    return has(folder, "config.json") && (!has(folder, BEST) || !had_checkpoint(folder));
}

int run_clear(const struct run *r)
{
    static const char *const others[] = { "metrics.csv", "report.html", "audit.json" };
    int rc = APP_OK;

    remove_leftovers(r->folder);
    if (!has(r->folder, "config.json"))
        return APP_OK;
    app_say("%s holds a run without a checkpoint: it begins again", r->folder);
    for (size_t i = 0; !rc && i < sizeof others / sizeof *others; i++)
        rc = put_back(r->folder, others[i], false);
    if (!rc)
        rc = put_back(r->folder, BEST, false);
    return rc ? rc : put_back(r->folder, PREDICTIONS, false);
}

/* Weights that cannot be read are as good as none. They make room under another name: they may be a folder,
 * and what they are is not known. */
static int set_damaged_apart(const char *path)
{
    size_t size = strlen(path) + sizeof ".damaged";
    nn_safetensors *f;
    nn_message why;
    char *apart;
    int rc;

    if (!app_exists(path))
        return APP_OK;
    rc = nn_safetensors_open(&f, path, NULL, &why);
    if (!rc) {
        nn_safetensors_free(f);
        return APP_OK;
    }
    if (rc == NN_ENOMEM || !(apart = malloc(size)))
        return app_fail(APP_DEVICE, "%s: out of memory", path);
    (void)snprintf(apart, size, "%s.damaged", path);
    rc = rename(path, apart) ? app_fail(APP_IO, "%s: %s", apart, strerror(errno)) : APP_OK;
    if (!rc)
        app_say("%s; it is called %s now", why.text, apart);
    free(apart);
    return rc;
}

/* The best as it was when the checkpoint was made, or the next one as good as the first. */
static int restore_best(struct run *r)
{
    char *best = app_join(r->folder, BEST);
    int rc = set_damaged_apart(best);

    if (!rc)
        rc = put_back(r->folder, BEST, r->state.stop.seen);
    if (!rc) /* what lay aside can be damaged, too */
        rc = set_damaged_apart(best);
    if (!rc && r->state.stop.seen && !app_exists(best)) {
        app_say("%s is gone: the best of the epochs from here on takes its place", best);
        r->state.stop.seen = 0;
    }
    free(best);
    return rc;
}

int run_restore(struct run *r, const char *file)
{
    char *copy = strdup(file);
    const char *folder = copy ? dirname(copy) : NULL;
    struct stat a, b;
    int rc = APP_OK;

    if (!folder)
        return app_fail(APP_DEVICE, "out of memory");
    if (!stat(folder, &a) && !stat(r->folder, &b) && (a.st_dev != b.st_dev || a.st_ino != b.st_ino))
        rc = bring_along(r, folder);
    free(copy);
    remove_leftovers(r->folder);
    if (!rc)
        rc = restore_best(r);
    return rc ? rc : put_back(r->folder, PREDICTIONS, r->state.stop.seen);
}

/* ------------------------------------------------------------------- records */

static const char HEADER[] = "epoch,step,train_loss,valid_loss,valid_accuracy,valid_macro_f1,learning_rate,"
                             "images_per_second,wait_for_data\n";

int run_add_row(const struct run *r, const struct run_row *row)
{
    char *path = app_join(r->folder, "metrics.csv"), *line = NULL, *text = NULL;
    char n[7][32];
    size_t room = 0, size = 0;
    FILE *in = app_open_text(path), *out = open_memstream(&text, &size);
    int64_t epoch = row->epoch;
    ssize_t length;
    int rc, wrong = !in && errno != ENOENT ? errno : 0;

    if (!out)
        return app_fail(APP_DEVICE, "out of memory");
    (void)fputs(HEADER, out);
    while (errno = 0, in && (length = getline(&line, &room, in)) >= 0) {
        char *end;
        long long earlier = strtoll(line, &end, 10);

        if (end != line && !earlier)
            epoch = row->epoch - 1;
        /* What somebody has written there is not ours to remove. */
        if (end == line ? !strstr(line, "epoch,step,") : earlier < epoch)
            (void)fprintf(out, "%s%s", line, length && line[length - 1] != '\n' ? "\n" : "");
    }
    wrong = wrong ? wrong : errno;
    if (in)
        (void)fclose(in);
    (void)fprintf(out, "%lld,%lld,%s,%s,%s,%s,%s,%s,%s\n", (long long)epoch, (long long)row->step,
                  nn_csv_number(n[0], row->train_loss), nn_csv_number(n[1], row->valid.loss),
                  nn_csv_number(n[2], row->valid.accuracy), nn_csv_number(n[3], row->valid.macro_f1),
                  nn_csv_number(n[4], row->learning_rate), nn_csv_number(n[5], row->images_per_second),
                  nn_csv_number(n[6], row->wait_for_data));
    (void)fclose(out);
    if (wrong) /* written anew, it would lose the rows that are in it */
        rc = app_fail(APP_IO, "%s: %s", path, strerror(wrong));
    else
        rc = text ? app_write_file(path, text) : app_fail(APP_DEVICE, "out of memory");
    free(line);
    free(text);
    free(path);
    return rc;
}

int run_write_predictions(const struct run *r, const nn_dataset *d, const int64_t *sample,
                          const double *logits, int64_t n)
{
    char *path = app_join(r->folder, "valid_predictions.csv"), *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int rc;

    if (!out)
        return app_fail(APP_DEVICE, "out of memory");
    (void)fputs("path,label,logit_real,logit_fake,probability\n", out);
    for (int64_t i = 0; i < n; i++) {
        const nn_sample *s = &d->sample[sample[i]];
        char field[16384], number[3][32];

        (void)nn_csv_field(field, sizeof field, s->path);
        (void)fprintf(out, "%s,%d,%s,%s,%s\n", field, s->label, nn_csv_number(number[0], logits[2 * i]),
                      nn_csv_number(number[1], logits[2 * i + 1]),
                      nn_csv_number(number[2], nn_probability_fake(&logits[2 * i])));
    }
    (void)fclose(out);
    rc = text ? app_write_file(path, text) : app_fail(APP_DEVICE, "out of memory");
    free(text);
    free(path);
    return rc;
}

void run_event(const struct run *r, json_t *event)
{
    char *path = app_join(r->folder, "events.jsonl"), *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    FILE *f = text ? fopen(path, "a") : NULL;

    if (!f || fprintf(f, "%s\n", text) < 0 || fflush(f))
        app_say("events.jsonl: a line was lost (%s)", strerror(errno));
    if (f)
        (void)fclose(f);
    free(text);
    free(path);
    json_decref(event);
}
