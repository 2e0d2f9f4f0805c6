/* SPDX-License-Identifier: MIT
 *
 * See run.h.
 */
#include "run.h"

#include "app.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_STATE "libnn.run.state"
#define KEY_CONFIG "libnn.run.config"

/* Exact: floating numbers as hexadecimal text. */
static char *state_text(const struct run_state *s)
{
    char *text = malloc(1024);

    if (text)
        (void)snprintf(text, 1024,
                       "epoch=%" PRId64 " position=%" PRId64 " loss=%a best=%a seen=%" PRId32 " best_epoch=%" PRId64
                       " bad=%" PRId64 " epochs=%" PRId64 " scale=%a plateau=%a plateau_bad=%" PRId64
                       " started=%d finished=%d",
                       s->epoch, s->position, s->loss_sum, s->stop.best, s->stop.seen, s->stop.best_epoch,
                       s->stop.bad_epochs, s->stop.epochs, s->plateau.scale, s->plateau.best, s->plateau.bad,
                       s->plateau.started, s->finished);
    return text;
}

static bool state_read(struct run_state *s, const char *text)
{
    return text && sscanf(text,
                          "epoch=%" SCNd64 " position=%" SCNd64 " loss=%la best=%la seen=%" SCNd32
                          " best_epoch=%" SCNd64 " bad=%" SCNd64 " epochs=%" SCNd64 " scale=%la plateau=%la plateau_bad=%" SCNd64
                          " started=%d finished=%d",
                          &s->epoch, &s->position, &s->loss_sum, &s->stop.best, &s->stop.seen, &s->stop.best_epoch,
                          &s->stop.bad_epochs, &s->stop.epochs, &s->plateau.scale, &s->plateau.best, &s->plateau.bad,
                          &s->plateau.started, &s->finished) == 13;
}

int run_save(struct run *r, const struct network *n, const nn_plan *plan)
{
    char *path = app_join(r->folder, "last.safetensors");
    char *config = json_dumps(r->config, JSON_COMPACT | JSON_SORT_KEYS), *state = state_text(&r->state);
    nn_pair pairs[10];
    nn_message why;
    int64_t count = 0;
    int rc = network_pairs(n, pairs, &count, 0.5);

    if (!rc && config && state) {
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

json_t *run_stored_config(const char *file)
{
    nn_safetensors *f;
    nn_message why;
    json_t *config = NULL;

    if (nn_safetensors_open(&f, file, NULL, &why)) {
        (void)app_fail(0, "%s", why.text);
        return NULL;
    }
    if (nn_safetensors_metadata(f, KEY_CONFIG))
        config = json_loads(nn_safetensors_metadata(f, KEY_CONFIG), JSON_REJECT_DUPLICATES, NULL);
    if (!config)
        (void)app_fail(0, "%s: not a checkpoint of a training run (no \"%s\" in its metadata)", file, KEY_CONFIG);
    nn_safetensors_free(f);
    return config;
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
    return n;
}

int run_resume(struct run *r, struct network *n, nn_plan *plan, const char *file)
{
    nn_early_stop stop = r->state.stop;
    nn_plateau plateau = r->state.plateau;
    json_t *then = run_stored_config(file);
    nn_safetensors *f;
    nn_message why;
    int rc;

    if (!then)
        return APP_DATA;
    rc = differences(r->config, then) ? app_fail(APP_USAGE, "%s was made with other options or other data (above); "
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

/* ------------------------------------------------------------------- records */

static const char HEADER[] = "epoch,step,train_loss,valid_loss,valid_accuracy,valid_macro_f1,learning_rate,"
                             "images_per_second,wait_for_data\n";

int run_add_row(const struct run *r, const struct run_row *row)
{
    char *path = app_join(r->folder, "metrics.csv"), *line = NULL, *text = NULL;
    char n[7][32];
    size_t room = 0, size = 0;
    FILE *in = fopen(path, "r"), *out = open_memstream(&text, &size);
    int rc;

    if (!out)
        return app_fail(APP_DEVICE, "out of memory");
    (void)fputs(HEADER, out);
    while (in && getline(&line, &room, in) >= 0) {
        char *end;
        long long epoch = strtoll(line, &end, 10);

        if (end != line && epoch < row->epoch)
            (void)fputs(line, out);
    }
    if (in)
        (void)fclose(in);
    (void)fprintf(out, "%lld,%lld,%s,%s,%s,%s,%s,%s,%s\n", (long long)row->epoch, (long long)row->step,
                  nn_csv_number(n[0], row->train_loss), nn_csv_number(n[1], row->valid.loss),
                  nn_csv_number(n[2], row->valid.accuracy), nn_csv_number(n[3], row->valid.macro_f1),
                  nn_csv_number(n[4], row->learning_rate), nn_csv_number(n[5], row->images_per_second),
                  nn_csv_number(n[6], row->wait_for_data));
    (void)fclose(out);
    rc = text ? app_write_file(path, text) : app_fail(APP_DEVICE, "out of memory");
    free(line);
    free(text);
    free(path);
    return rc;
}

int run_write_predictions(const struct run *r, const nn_dataset *d, const int64_t *sample, const double *logits,
                          int64_t n)
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
