/* SPDX-License-Identifier: MIT
 *
 * fakereal_train: folders of real and fake images in, a run folder with a classifier out. It can be
 * interrupted at any step and resumed to the same bits.
 */
#include "app.h"
#include "network.h"
#include "problems.h"
#include "run.h"
#include "train_audit.h"
#include "train_data.h"
#include "transfer.h"

#include <errno.h>
#include <math.h>
#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SKIPPED = 20 };

/* ------------------------------------------------------------------ the training */

struct training {
    const struct options *o;
    struct network net;
    struct run run;
    nn_dataset *data;
    struct audit audit; /* of a run that begins */
    nn_augment *augment;
    nn_loader *train, *valid;
    nn_plan *full, *rest, *eval; /* rest: the last, smaller batch of an epoch */
    int64_t warmup, steps_per_epoch, planned;
    bool frozen;      /* some parameters still are, because of --freeze */
    int64_t left_out; /* images of each epoch that no step sees */
    int64_t skipped_before, skipped_in_row;
    double last_train_loss;
    char *last; /* path of the checkpoint */
    double began;
    int64_t steps_here;     /* updates made by this process */
    struct weights weights; /* to start from or, resuming, those of the checkpoint */
};

static double rate(const struct training *t, int64_t k)
{
    const struct options *o = t->o;
    double lr = o->lr;

    if (!strcmp(o->schedule, "cosine"))
        lr = nn_cosine(k, lr, 0, t->planned);
    else if (!strcmp(o->schedule, "step"))
        lr = nn_step_decay(k, lr, o->step_factor, o->step_every * t->steps_per_epoch);
    else if (!strcmp(o->schedule, "plateau") && t->run.state.plateau.started)
        lr *= t->run.state.plateau.scale;
    return nn_warmup(k, lr, t->warmup);
}

static int64_t step_of(const struct training *t) { return (int64_t)nn_get(t->full, NN_STEP); }

enum { COUNTERS = 4 };
static const nn_setting counters[COUNTERS] = { NN_STEP, NN_SAMPLE, NN_APPLIED, NN_SKIPPED };

/* Two plans train one model: the counters of one are those of both. */
static void copy_counters(nn_plan *to, nn_plan *from)
{
    for (int i = 0; to != from && i < COUNTERS; i++)
        (void)nn_set(to, counters[i], nn_get(from, counters[i]));
}

static nn_optim optimizer(const struct options *o)
{
    nn_adam_opts adam = { .decay = o->decay };

    if (!strcmp(o->optimizer, "adam"))
        return nn_adam(adam);
    if (!strcmp(o->optimizer, "radam"))
        return nn_radam(adam);
    if (!strcmp(o->optimizer, "sgd"))
        return nn_sgd((nn_sgd_opts){ .momentum = 0.9, .decay = o->decay });
    return nn_adamw(adam);
}

static int make_plans(struct training *t)
{
    int64_t left = nn_loader_samples(t->train) % t->o->batch;
    nn_plan_opts opts = { .optim = optimizer(t->o),
                          .clip_norm = t->o->clip,
                          .ema_decay = t->o->ema,
                          .seed = t->o->seed,
                          .flags = t->o->recompute ? NN_PLAN_RECOMPUTE : 0 };
    int rc;

    t->rest = NULL;
    t->left_out = 0;
    t->net.smoothing = t->o->smoothing;
    t->net.precision = t->o->device.precision;
    rc = network_plan(&t->net, NN_TRAIN, t->o->batch, &opts, &t->full);
    if (rc == APP_DATA)
        return app_fail(APP_USAGE, "choose a larger --batch-size or --image-size");
    if (rc)
        return rc;
    network_print_summary(&t->net, t->full, "training plan");
    if (left)
        rc = network_plan(&t->net, NN_TRAIN, left, &opts, &t->rest);
    if (rc && rc != APP_DATA)
        return rc;
    if (rc) { /* shapes that do not fit: one value per channel */
        t->rest = NULL;
        t->left_out = left;
        app_say("left out of each epoch: the last %s, too few for batch norm", app_count(left, "image"));
    }
    return network_plan(&t->net, NN_EVAL, t->o->batch, NULL, &t->eval);
}

/* Makes the plans again with nothing frozen. At the beginning of the epoch in which that is due, the
 * optimizer starts afresh: it counts updates that most parameters did not have. A run that is resumed later
 * has moments of its own to go on with. */
static int unfreeze(struct training *t)
{
    double value[COUNTERS];
    int rc;

    for (int i = 0; i < COUNTERS; i++)
        value[i] = nn_get(t->full, counters[i]);
    transfer_unfreeze(&t->net);
    t->full = NULL;
    app_progress_end();
    app_say("epoch %lld: all parameters are trained from here on", (long long)t->run.state.epoch + 1);
    rc = make_plans(t);
    if (rc)
        return rc;
    for (int i = 0; i < COUNTERS; i++)
        (void)nn_set(t->full, counters[i], value[i]);
    if (t->run.state.epoch == t->o->unfreeze_at - 1 && !t->run.state.position)
        transfer_restart(&t->net, t->full);
    if (t->rest)
        copy_counters(t->rest, t->full);
    t->frozen = false;
    return APP_OK;
}

static bool unfreeze_is_due(const struct training *t)
{
    return t->frozen && t->o->unfreeze_at && t->run.state.epoch >= t->o->unfreeze_at - 1;
}

static int save(struct training *t)
{
    int rc = run_save(&t->run, &t->net, t->full);

    if (rc && app_exists(t->last))
        app_say("the previous checkpoint is intact");
    return rc;
}

/* All of them could be read when the run began. */
static int check_images(const nn_batch *b)
{
    for (int64_t i = 0; i < b->count; i++)
        if (b->status[i] == NN_ENOMEM)
            return app_fail(APP_DEVICE, "%s", b->why[i]);
        else if (b->status[i])
            return app_fail(APP_DATA, "%s (it could be read when the run began)", b->why[i]);
    return APP_OK;
}

/* Runs the validation split; logits [n,2] and the samples they belong to are the caller's. */
static int validate(struct training *t, double **logits, int64_t **sample, nn_metrics *m, bool *done)
{
    int64_t n = nn_loader_samples(t->valid), at = 0, b = t->o->batch;
    int32_t *label = calloc((size_t)n, sizeof *label);
    int rc = APP_OK;

    *done = false;
    *logits = calloc((size_t)(n + b) * 2, sizeof **logits);
    *sample = calloc((size_t)n, sizeof **sample);
    if (!label || !*logits || !*sample) {
        free(label);
        return app_fail(APP_DEVICE, "out of memory");
    }
    if (t->o->ema > 0)
        (void)nn_rebind(t->eval, NN_BASE_PARAM, NN_BASE_EMA);
    (void)nn_loader_start(t->valid, 0, 0);
    for (;;) {
        nn_batch batch;
        size_t bytes;
        void *image;

        if (nn_loader_next(t->valid, &batch))
            rc = app_fail(APP_DEVICE, "the loader failed");
        if (rc || !batch.count)
            break;
        rc = check_images(&batch);
        if (rc)
            break;
        /* Rows beyond the batch keep older pixels; samples do not influence each other in evaluation. */
        image = nn_host(t->eval, "image", &bytes);
        memcpy(image, batch.rgb, (size_t)batch.count * (bytes / (size_t)b));
        if (nn_run(t->eval, NN_FORWARD) || nn_read(t->eval, "logits", NN_F64, *logits + 2 * at, 2 * b)) {
            rc = app_fail(APP_DEVICE, "%s", nn_plan_error(t->eval));
            break;
        }
        memcpy(label + at, batch.label, (size_t)batch.count * sizeof *label);
        memcpy(*sample + at, batch.sample, (size_t)batch.count * sizeof **sample);
        at += batch.count;
        app_progress("validating %lld/%lld", (long long)at, (long long)n);
        if (app_interrupted && at < n)
            break;
    }
    *done = !rc && at == n;
    if (*done && nn_metrics_binary(m, *logits, label, n, 0.5))
        rc = app_fail(APP_DEVICE, "metrics: out of memory");
    free(label);
    return rc;
}

static double monitored(const struct training *t, const nn_metrics *m)
{
    if (!strcmp(t->o->monitor, "valid_macro_f1"))
        return m->macro_f1;
    return strcmp(t->o->monitor, "valid_accuracy") ? m->loss : m->accuracy;
}

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

/* Samples of this epoch that steps have seen. */
static int64_t trained(const struct training *t)
{
    int64_t position = t->run.state.position, whole = nn_loader_samples(t->train) - t->left_out;

    return position < whole ? position : whole;
}

/* Of a network that says the same of every image, which its accuracy alone does not tell. */
static const char *said_alike(const nn_metrics *m)
{
    const int64_t(*said)[2] = m->confusion;

    if (!isfinite(m->accuracy))
        return "";
    return !(said[0][0] + said[1][0])   ? "  (all called fake)"
           : !(said[0][1] + said[1][1]) ? "  (all called real)"
                                        : "";
}

/* End of an epoch, or of the run within one: validation, records, best weights. *done: an interrupt did not
 * come before. */
static int finish_epoch(struct training *t, bool whole, bool *done)
{
    struct run_state *s = &t->run.state;
    struct run_row row = { .epoch = s->epoch + 1, .step = step_of(t) };
    double *logits = NULL, value;
    int64_t *sample = NULL, here = trained(t) - s->from;
    int rc = validate(t, &logits, &sample, &row.valid, done);

    if (rc || !*done) {
        free(logits);
        free(sample);
        return rc;
    }
    row.train_loss = s->position ? s->loss_sum / (double)trained(t) : (double)NAN;
    row.learning_rate = rate(t, row.step ? row.step - 1 : 0);
    row.images_per_second = s->seconds > 0 && here > 0 ? (double)here / s->seconds : (double)NAN;
    row.wait_for_data = s->waited;
    /* Where logits are not finite there is no accuracy either, whatever the labels happen to be. */
    if (!isfinite(row.valid.loss))
        row.valid.loss = row.valid.accuracy = row.valid.macro_f1 = (double)NAN;
    value = monitored(t, &row.valid);
    t->last_train_loss = row.train_loss;
    if (early_stop_update(&s->stop, value)) {
        if (!whole)
            rc = run_put_best_aside(&t->run);
        if (!rc)
            rc = run_save_best(&t->run, &t->net, t->o->ema > 0 ? NN_BASE_EMA : NN_BASE_PARAM, 0.5);
        if (!rc)
            rc = run_write_predictions(&t->run, t->data, sample, logits, row.valid.samples);
    }
    if (whole)
        (void)nn_plateau_next(&s->plateau, s->stop.maximize ? 1 - value : value); /* lower is better there */
    if (!rc)
        rc = run_add_row(&t->run, &row);
    if (!rc)
        run_write_report(&t->run);
    app_progress_end();
    app_say("epoch %lld  step %lld  train loss %.4f  valid loss %.4f  accuracy %.4f  macro F1 %.4f  %.1f "
            "images/s%s%s",
            (long long)row.epoch, (long long)row.step, row.train_loss, row.valid.loss, row.valid.accuracy,
            row.valid.macro_f1, row.images_per_second, s->stop.bad_epochs ? "" : "  (best)",
            said_alike(&row.valid));
    run_event(&t->run,
              json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "event", "epoch", "epoch", (json_int_t)row.epoch,
                        "step", (json_int_t)row.step, "train_loss", number(row.train_loss), "valid_loss",
                        number(row.valid.loss), "valid_macro_f1", number(row.valid.macro_f1)));
    free(logits);
    free(sample);
    return rc;
}

/* Mixup: what the images were mixed of. */
static void mix_labels(const nn_batch *b, int64_t classes, nn_real *target)
{
    memset(target, 0, (size_t)(b->count * classes) * sizeof *target);
    for (int64_t k = 0; k < b->count; k++) {
        target[k * classes + b->label[k]] += (nn_real)b->share;
        target[k * classes + b->label[(k + 1) % b->count]] += (nn_real)(1 - b->share);
    }
}

static int one_step(struct training *t, const nn_batch *batch)
{
    nn_plan *p = batch->count == t->o->batch ? t->full : t->rest;
    struct run_state *s = &t->run.state;
    nn_plan *other = p == t->full ? t->rest : t->full;
    void *image, *target;
    size_t bytes;
    double loss;
    int rc = check_images(batch);

    if (rc)
        return rc;
    image = nn_host(p, "image", &bytes);
    memcpy(image, batch->real ? (const void *)batch->real : batch->rgb, bytes);
    target = nn_host(p, "target", &bytes);
    if (t->net.soft)
        mix_labels(batch, t->net.classes, target);
    else
        memcpy(target, batch->label, bytes);
    (void)nn_set(p, NN_LEARNING_RATE, rate(t, step_of(t)));
    if (nn_run(p, NN_GRADIENTS | NN_UPDATE))
        return app_fail(APP_DEVICE, "%s", nn_plan_error(p));
    if (other)
        copy_counters(other, p);
    loss = nn_loss(p);
    t->skipped_in_row = nn_get(p, NN_SKIPPED) > (double)t->skipped_before ? t->skipped_in_row + 1 : 0;
    t->skipped_before = (int64_t)nn_get(p, NN_SKIPPED);
    s->loss_sum += loss * (double)batch->count;
    s->position += batch->count;
    if (t->skipped_in_row >= MOST_SKIPPED)
        return app_fail(
            APP_NO,
            "training diverged: the gradients of the last %d updates were not finite; none of them was "
            "applied. Try a lower --lr or --clip-norm 1",
            MOST_SKIPPED);
    return APP_OK;
}

static void show(const struct training *t, double loss)
{
    const struct run_state *s = &t->run.state;
    int64_t n = nn_loader_samples(t->train);
    double per_second = s->seconds > 0 ? (double)(s->position - s->from) / s->seconds : 0;
    char left[32];

    app_progress(
        "epoch %lld/%lld  %lld/%lld  step %lld  loss %.4f  %.1f images/s  waiting for data %.0f%%  %s left",
        (long long)s->epoch + 1, (long long)t->o->epochs, (long long)s->position, (long long)n,
        (long long)step_of(t), loss, per_second, s->seconds > 0 ? 100 * s->waited / s->seconds : 0.0,
        app_duration(per_second > 0 ? (double)(n - s->position) / per_second : 0, left));
}

static bool all_steps_made(const struct training *t)
{
    return t->o->max_steps && step_of(t) >= t->o->max_steps;
}

/* Trains from the current position to the end of the epoch, --max-steps or an interrupt. */
static int train_epoch(struct training *t)
{
    struct run_state *s = &t->run.state;
    int64_t n = nn_loader_samples(t->train);
    int rc = nn_loader_start(t->train, s->epoch, s->position);

    if (rc)
        return app_fail(app_exit_code(rc), "the loader cannot start: %s", nn_strerror(rc));
    s->seconds = s->waited = 0;
    s->from = s->position;
    while (s->position < n && !app_interrupted && !all_steps_made(t)) {
        double start = app_seconds();
        nn_batch batch;

        if (nn_loader_next(t->train, &batch))
            return app_fail(APP_DEVICE, "the loader failed");
        if (batch.count < t->o->batch && !t->rest) {
            s->position += batch.count; /* left out, as was said */
            break;
        }
        rc = one_step(t, &batch);
        if (rc)
            return rc;
        s->seconds += app_seconds() - start;
        s->waited += batch.waited;
        if (!t->steps_here++)
            app_say("first step after %.1f s, peak memory %.0f MB", app_seconds() - t->began,
                    app_peak_bytes() / 1e6);
        show(t, nn_loss(batch.count == t->o->batch ? t->full : t->rest));
        if (step_of(t) % t->o->checkpoint_every == 0 && !app_interrupted && save(t))
            app_say("training goes on, and the next checkpoint is tried in its turn");
    }
    return APP_OK;
}

static int interrupted(struct training *t)
{
    int number = app_interrupted, rc = save(t);

    if (!rc) {
        app_say("interrupted and saved after step %lld; go on with --resume auto --run-dir %s",
                (long long)step_of(t), t->run.folder);
        run_event(&t->run, json_pack("{s:s, s:I}", "event", "interrupted", "step", (json_int_t)step_of(t)));
    }
    return rc ? rc : 128 + number;
}

static bool finished(const struct training *t)
{
    const struct run_state *s = &t->run.state;
    bool validated = s->ended || (s->epoch && !s->position);

    return s->epoch >= t->o->epochs || early_stop_done(&s->stop) || (validated && all_steps_made(t));
}

/* The result, for whoever calls this from a script. */
static int print_best(const struct training *t)
{
    if (printf("%s/best.safetensors\n", t->run.folder) < 0 || fflush(stdout))
        return app_fail(APP_IO, "standard output: %s", strerror(errno));
    return APP_OK;
}

/* What the user is left with. */
static int conclude(struct training *t, const struct early_stop *stop)
{
    if (early_stop_done(stop) && !t->run.state.ended)
        app_say("stopped early: %s without improvement", app_count(stop->bad_epochs, "epoch"));
    if (nn_get(t->full, NN_SKIPPED) > 0)
        app_say("updates skipped because a gradient was not finite: %.0f", nn_get(t->full, NN_SKIPPED));
    run_event(&t->run, json_pack("{s:s, s:I}", "event", "end", "step", (json_int_t)step_of(t)));
    if (!stop->seen)
        return app_fail(
            APP_NO,
            "training diverged: %s was never a number, so there are no best weights. Try a lower --lr or "
            "--clip-norm 1",
            t->o->monitor);
    if (t->steps_here && !isfinite(t->last_train_loss))
        return app_fail(
            APP_NO,
            "training diverged: the training loss is no longer a number. The best weights so far are in %s; "
            "try a lower --lr or --clip-norm 1",
            t->run.folder);
    app_say("best %s %.6g in epoch %lld; peak memory %.0f MB", t->o->monitor, stop->best,
            (long long)stop->best_epoch + 1, app_peak_bytes() / 1e6);
    return print_best(t);
}

/* Of a run that is to go on, but has ended. */
static int nothing_left(const struct training *t, const char *file)
{
    char *best = app_join(t->run.folder, "best.safetensors");
    bool there = app_exists(best);

    free(best);
    app_say("%s is finished after %s: nothing to do", file, app_count(step_of(t), "step"));
    return there ? print_best(t) : APP_OK;
}

static int train(struct training *t)
{
    struct run_state *s = &t->run.state;
    struct early_stop stop = s->stop;

    while (!finished(t)) {
        struct run_state before;
        int rc = unfreeze_is_due(t) ? unfreeze(t) : APP_OK;
        bool whole, done = false;

        if (!rc)
            rc = train_epoch(t);
        if (rc)
            return rc;
        whole = s->position == nn_loader_samples(t->train);
        before = *s;
        if (whole || !app_interrupted)
            rc = finish_epoch(t, whole, &done);
        if (rc)
            return rc;
        if (!done)
            return interrupted(t);
        stop = s->stop;
        if (whole) {
            s->epoch++;
            s->position = 0;
            s->loss_sum = 0;
        } else {
            *s = before; /* a longer run would not have validated here */
            s->ended = step_of(t);
        }
        if (app_interrupted && !finished(t))
            return interrupted(t);
        rc = save(t);
        if (rc)
            return rc;
    }
    return conclude(t, &stop);
}

/* ----------------------------------------------------------------- preparation */

/* All that decides the result; what only decides where and how fast it is computed stays out. */
static json_t *configuration(const struct training *t)
{
    const struct options *o = t->o;
    json_t *sources = json_array();
    json_t *j = json_pack("{s:s, s:I, s:I, s:s, s:f, s:f, s:I, s:s, s:I, s:f, s:s, s:I, s:f, s:f, s:f, s:s}",
                          "model", o->model, "image_size", (json_int_t)o->image_size, "batch_size",
                          (json_int_t)o->batch, "optimizer", o->optimizer, "lr", o->lr, "weight_decay",
                          o->decay, "warmup_steps", (json_int_t)t->warmup, "schedule", o->schedule,
                          "step_every", (json_int_t)o->step_every, "step_factor", o->step_factor, "augment",
                          nn_augment_text(t->augment), "seed", (json_int_t)o->seed, "clip_norm", o->clip,
                          "ema_decay", o->ema, "label_smoothing", o->smoothing, "monitor", o->monitor);

    if (!strcmp(o->schedule, "cosine"))
        (void)json_object_set_new(j, "planned_steps", json_integer((json_int_t)t->planned));
    /* Only what was asked for: configurations of runs without stay what they were. */
    if (o->mean_given)
        (void)json_object_set_new(j, "mean", json_pack("[f, f, f]", o->mean[0], o->mean[1], o->mean[2]));
    if (o->std_given)
        (void)json_object_set_new(j, "std", json_pack("[f, f, f]", o->std[0], o->std[1], o->std[2]));
    if (o->mixup > 0)
        (void)json_object_set_new(j, "mixup", json_real(o->mixup));
    (void)json_object_set_new(j, "isa", json_string(nn_device_isa(t->net.device)));
    (void)json_object_set_new(j, "jpeg_decoder", json_string(nn_jpeg_decoder()));
    (void)json_object_set_new(j, "precision", json_string(app_precision_name(o->device.precision)));
    for (int32_t i = 0; i < t->data->sources; i++) {
        char hex[65];

        if (!nn_dataset_digest(t->data, i, hex))
            (void)json_array_append_new(sources, json_string(hex));
    }
    (void)json_object_set_new(j, "data_sha256", sources);
    transfer_record(o, j);
    return j;
}

static int write_config(const struct training *t)
{
    const struct options *o = t->o;
    json_t *j = json_deep_copy(t->run.config), *data = json_object(), *sources = json_array();
    char *path = app_join(t->run.folder, "config.json"), *text;
    int rc;

    for (int s = NN_SPLIT_TRAIN; s <= NN_SPLIT_VALID; s++)
        (void)json_object_set_new(data, nn_split_name(s),
                                  json_pack("{s:I, s:I}", "fake",
                                            (json_int_t)t->data->count[s][NN_LABEL_FAKE], "real",
                                            (json_int_t)t->data->count[s][NN_LABEL_REAL]));
    (void)json_object_set_new(data, "excluded", json_integer((json_int_t)t->data->excluded));
    for (int32_t i = 0; i < t->data->sources; i++)
        (void)json_array_append_new(sources, train_data_describe(t->data, i));
    (void)json_object_set_new(data, "sources", sources);
    (void)json_object_set_new(j, "data", data);
    (void)json_object_set_new(j, "libnn", json_string(nn_version()));
    (void)json_object_set_new(j, "epochs", json_integer((json_int_t)o->epochs));
    (void)json_object_set_new(j, "patience", json_integer((json_int_t)o->patience));
    (void)json_object_set_new(j, "max_steps", json_integer((json_int_t)o->max_steps));
    (void)json_object_set_new(j, "threads", json_integer(nn_device_threads(t->net.device)));
    (void)json_object_set_new(j, "classes", json_pack("[s, s]", "real", "fake"));
    text = json_dumps(j, JSON_INDENT(2));
    rc = text ? app_write_file(path, text) : app_fail(APP_DEVICE, "out of memory");
    free(text);
    free(path);
    json_decref(j);
    return rc;
}

static bool folder_has_files(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    bool any = false;

    while (d && !any && (e = readdir(d)))
        any = strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    if (d)
        (void)closedir(d);
    return any;
}

/* Whether the run folder is one or can be made, so that this is known before hours of work. */
static int check_folder(const char *path)
{
    char *at = strdup(path), *parent = at;
    struct stat st;
    int rc = APP_OK;

    if (!at)
        return app_fail(APP_DEVICE, "out of memory");
    while (stat(parent, &st) && errno == ENOENT && strcmp(parent, ".") != 0)
        parent = dirname(parent);
    if (!stat(parent, &st) && !S_ISDIR(st.st_mode))
        rc = app_fail(APP_IO, "--run-dir %s: %s is no folder", path, parent);
    else if (access(parent, W_OK | X_OK))
        rc = app_fail(APP_IO, "--run-dir %s: %s: %s", path, parent, strerror(errno));
    free(at);
    return rc ? rc : run_check_files(path);
}

/* Decides whether this is a fresh run or a resumed one; *file is the checkpoint or NULL. */
static int choose_run(struct options *o, char **file)
{
    static char name[PATH_MAX];
    bool automatic = o->resume && !strcmp(o->resume, "auto"), own;

    if (!o->run_dir && automatic)
        return app_fail(APP_USAGE, "--resume auto needs --run-dir");
    if (!o->run_dir && o->resume) {
        (void)snprintf(name, sizeof name, "%s", o->resume);
        o->run_dir = dirname(name);
    } else if (!o->run_dir) {
        time_t now = time(NULL);
        struct tm tm;
        char stamp[32];

        (void)strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
        (void)snprintf(name, sizeof name, "runs/%s-%s", o->model, stamp);
        o->run_dir = name;
    }
    if (!*o->run_dir)
        return app_fail(APP_USAGE, "--run-dir \"\": a folder needs a name");
    *file = automatic ? app_join(o->run_dir, "last.safetensors") : o->resume ? strdup(o->resume) : NULL;
    if (o->resume && !*file)
        return app_fail(APP_DEVICE, "out of memory");
    if (automatic && !app_exists(*file)) { /* nothing to go on from yet */
        free(*file);
        *file = NULL;
    }
    if (automatic && !*file && folder_has_files(o->run_dir) && !run_can_begin_again(o->run_dir))
        return app_fail(APP_USAGE,
                        "%s holds files but no last.safetensors to go on from; choose another --run-dir",
                        o->run_dir);
    own = automatic || (*file && app_lies_in(*file, o->run_dir));
    if (!own && folder_has_files(o->run_dir))
        return app_fail(APP_USAGE, "%s is not empty; choose another --run-dir, or go on with --resume auto",
                        o->run_dir);
    /* A dry run writes nothing, and is told here only what was asked about. */
    return o->dry_run && o->run_dir == name ? APP_OK : check_folder(o->run_dir);
}

static int prepare_plans(struct training *t)
{
    int64_t n = nn_loader_samples(t->train);
    int rc = make_plans(t);

    if (rc)
        return rc;
    /* Where --max-steps ends is no part of the plan, or a run that is resumed with more would be another one.
     */
    t->steps_per_epoch = n / t->o->batch + (t->rest != NULL);
    t->planned = t->o->epochs * t->steps_per_epoch;
    if (!t->planned)
        return app_fail(APP_DATA, "%s: too few for --batch-size %lld", app_count(n, "training image"),
                        (long long)t->o->batch);
    return APP_OK;
}

/* What learning rates follow from: of a run that is resumed, what that meant when it began. The rates so far
 * are made, and another plan would not go on from them. */
static void plan_rates(struct training *t, const json_t *stored)
{
    const json_t *steps = json_object_get(stored, "planned_steps");
    int64_t automatic = t->planned / 10 < 1500 ? t->planned / 10 : 1500, planned = t->planned;

    t->warmup = t->o->warmup != WARMUP_AUTO ? t->o->warmup : automatic;
    if (stored && t->o->warmup == WARMUP_AUTO)
        t->warmup = json_integer_value(json_object_get(stored, "warmup_steps"));
    if (t->o->warmup == WARMUP_AUTO && t->warmup != automatic)
        app_say("warm-up stays %s, as when the run began; a run that began with --epochs %lld would have "
                "%lld",
                app_count(t->warmup, "step"), (long long)t->o->epochs, (long long)automatic);
    if (steps)
        t->planned = json_integer_value(steps);
    if (t->planned != planned)
        app_say("the schedule stays that of %s, as when the run began, and not of the %lld of --epochs "
                "%lld; beyond it the learning rate stays what it is at its end",
                app_count(t->planned, "step"), (long long)planned, (long long)t->o->epochs);
}

/* The network, without data yet: a mistake in what it is to be should not be found after all images were
 * read. */
static int prepare_network(struct training *t, const struct options *o, const json_t *stored)
{
    nn_preprocess p = nn_preprocess_default();
    int rc;

    if (t->weights.file) { /* the pixels that it knows, of the size that is asked for */
        const nn_preprocess *known = &t->weights.about.preprocess;

        p.kernel = known->kernel;
        p.maximum = known->maximum;
        memcpy(p.mean, known->mean, sizeof p.mean);
        memcpy(p.std, known->std, sizeof p.std);
    }
    p.size = p.resize_height = p.resize_width = o->image_size;
    nn_augment_settle(t->augment, &p);
    if (o->mean_given)
        memcpy(p.mean, o->mean, sizeof p.mean);
    if (o->std_given)
        memcpy(p.std, o->std, sizeof p.std);
    app_say("pixels: mean %g %g %g, std %g %g %g, maximum %g%s", p.mean[0], p.mean[1], p.mean[2], p.std[0],
            p.std[1], p.std[2], p.maximum,
            p.crop ? "; validated on the middle of each image, not resized" : "");
    rc = network_new(&t->net, t->net.device, o->model, &p, o->seed);
    /* A checkpoint of another network is refused later, with all else that differs. */
    if (!rc && t->weights.file && !(stored && strcmp(t->weights.about.network.name, o->model) != 0))
        rc = network_adapt(&t->net, &t->weights);
    if (rc)
        return rc;
    t->net.pixels = nn_augment_type(t->augment);
    t->net.soft = o->mixup > 0;
    rc = network_seal(&t->net);
    if (rc == APP_DATA) /* not even one image goes through */
        return app_fail(APP_USAGE, "choose a larger --image-size than %lld", (long long)o->image_size);
    if (!rc)
        rc = transfer_prepare(&t->net, o);
    t->frozen = o->freezes > 0;
    return rc;
}

static int prepare(struct training *t, const struct options *o, const json_t *stored)
{
    nn_loader_opts l = { .data = t->data, .batch = o->batch, .seed = o->seed, .threads = o->loader_threads };
    size_t cache_train, cache_valid;
    nn_message why;
    int rc;

    train_data_cache(o, t->data, t->augment, &cache_train, &cache_valid);
    l.preprocess = &t->net.preprocess;
    l.split = NN_SPLIT_VALID;
    l.cache_bytes = cache_valid;
    rc = nn_loader_new(&t->valid, &l, &why);
    l.split = NN_SPLIT_TRAIN;
    l.cache_bytes = cache_train;
    l.shuffle = 1;
    l.augment = t->augment;
    l.mixup = o->mixup;
    if (!rc)
        rc = nn_loader_new(&t->train, &l, &why);
    if (rc)
        return app_fail(app_exit_code(rc), "%s", why.text);
    rc = prepare_plans(t);
    if (rc)
        return rc;
    plan_rates(t, stored);
    t->run.config = configuration(t);
    t->run.state.stop =
        (struct early_stop){ .patience = o->patience, .maximize = strcmp(o->monitor, "valid_loss") != 0 };
    t->run.state.plateau = (nn_plateau){ .factor = o->step_factor, .patience = 3 };
    return APP_OK;
}

/* What the network starts from says how it pads and which pixels it knows, so this comes before all else. */
static int open_weights(struct training *t, const char *file)
{
    const struct options *o = t->o;
    const nn_preprocess *p;
    char text[256];
    int rc;

    if (!file && !o->weights)
        return APP_OK;
    rc = file ? weights_open(&t->weights, file, NULL, false)
              : weights_open(&t->weights, o->weights, o->dialect, false);
    if (!rc && file && (o->weights || o->dialect || strcmp(o->head, "auto") != 0))
        app_say(
            "--weights, --dialect and --head belong to the beginning of a run: the weights are those of %s",
            file);
    if (rc || file)
        return rc;
    p = &t->weights.about.preprocess;
    weights_describe(&t->weights, text);
    app_say("%s: %s", o->weights, text);
    app_say("its pixels: %s, mean %g %g %g, std %g %g %g; it was evaluated at %lld px and is used at %lld px",
            nn_resize_name(p->kernel), p->mean[0], p->mean[1], p->mean[2], p->std[0], p->std[1], p->std[2],
            (long long)p->size, (long long)o->image_size);
    return APP_OK;
}

static int begin(struct training *t, const char *file)
{
    const struct options *o = t->o;
    char *split = app_join(t->run.folder, "split.tsv");
    nn_message why;
    int rc = app_make_folder(t->run.folder);

    if (!rc)
        rc = run_lock(&t->run);
    if (!rc)
        rc = file ? run_restore(&t->run, file) : run_clear(&t->run);
    if (!rc)
        rc = write_config(t);
    if (!rc && nn_split_write(t->data, split, &why))
        rc = app_fail(APP_IO, "%s", why.text);
    if (!rc && t->audit.file)
        rc = train_audit_keep(&t->audit, t->run.folder);
    free(split);
    if (rc)
        return rc;
    t->run.state.ended = 0;
    if (file) {
        if (t->rest)
            copy_counters(t->rest, t->full);
        app_say("resuming %s: epoch %lld, %s into it, step %lld", file, (long long)t->run.state.epoch + 1,
                app_count(t->run.state.position, "image"), (long long)step_of(t));
        t->skipped_before = (int64_t)nn_get(t->full, NN_SKIPPED);
    }
    app_say("run folder %s; batch %lld, %s, lr %g, warm-up %s, %s an epoch", t->run.folder,
            (long long)o->batch, o->optimizer, o->lr, app_count(t->warmup, "step"),
            app_count(t->steps_per_epoch, "step"));
    run_event(&t->run, json_pack("{s:s, s:I, s:s, s:i}", "event", file ? "resume" : "start", "step",
                                 (json_int_t)step_of(t), "isa", nn_device_isa(t->net.device), "threads",
                                 nn_device_threads(t->net.device)));
    return train(t);
}

static int run_all(struct options *o, struct training *t)
{
    char *file = NULL;
    json_t *stored = NULL;
    int64_t walked = 0;
    int rc = choose_run(o, &file);

    t->run.folder = o->run_dir;
    t->last = o->run_dir ? app_join(o->run_dir, "last.safetensors") : NULL;
    if (!rc && file)
        rc = run_stored_config(&stored, file);
    if (!rc)
        rc = open_weights(t, file);
    if (!rc)
        rc = app_open(&t->net.device, &o->device);
    if (!rc)
        app_say("libnn %s, cpu %s, %s, seed %llu", nn_version(), nn_device_isa(t->net.device),
                app_count(nn_device_threads(t->net.device), "thread"), (unsigned long long)o->seed);
    if (!rc)
        rc = train_data_augment(&t->augment, o->augment);
    if (!rc)
        rc = prepare_network(t, o, stored);
    if (!rc && nn_dataset_new(&t->data))
        rc = app_fail(APP_DEVICE, "out of memory");
    if (!rc)
        rc = train_data_read(o, t->data, &walked);
    if (!rc && !file && !o->no_audit)
        rc = train_audit(&t->audit, t->data, walked, o->device.threads, TRAIN_AUDIT_SECONDS);
    if (!rc && app_interrupted)
        rc = app_fail(128 + app_interrupted, "interrupted before the first step");
    if (!rc)
        rc = prepare(t, o, stored);
    if (!rc && file)
        rc = run_resume(&t->run, &t->net, t->full, file);
    else if (!rc && o->weights)
        rc = network_start_from(&t->net, &t->weights,
                                !strcmp(o->head, "new")    ? HEAD_NEW
                                : !strcmp(o->head, "load") ? HEAD_LOAD
                                                           : HEAD_AUTO);
    weights_free(&t->weights); /* a checkpoint that stays mapped would keep its place on the disk */
    if (!rc && o->dry_run)
        app_say("dry run: nothing was trained or written");
    else if (!rc && file && finished(t))
        rc = nothing_left(t, file);
    else if (!rc && app_interrupted)
        rc = app_fail(128 + app_interrupted, "interrupted before the first step");
    else if (!rc)
        rc = begin(t, file);
    if (!rc && problems_folders(t->data))
        rc = app_fail(APP_DATA, "that was without the images of %s that cannot be read (named above)",
                      app_count(problems_folders(t->data), "folder"));
    json_decref(stored);
    free(file);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o;
    struct training t = { .o = &o, .began = app_seconds() };
    nn_device *device;
    int rc;

    options_parse(&o, argc, argv);
    app_catch_interrupts();
    rc = run_all(&o, &t);
    device = t.net.device;
    nn_loader_free(t.train);
    nn_loader_free(t.valid);
    weights_free(&t.weights);
    nn_augment_free(t.augment);
    network_free(&t.net);
    audit_free(&t.audit);
    nn_dataset_free(t.data);
    json_decref(t.run.config);
    free(t.last);
    nn_close(device);
    app_progress_end();
    return rc;
}
