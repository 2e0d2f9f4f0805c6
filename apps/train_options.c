/* SPDX-License-Identifier: MIT
 *
 * See train_options.h.
 */
#include "train_options.h"

#include <stdio.h>
#include <string.h>

enum {
    O_EXTRA = 256,
    O_FAKE,
    O_REAL,
    O_TRAIN_CSV,
    O_VALID_CSV,
    O_SPLIT,
    O_NO_AUDIT,
    O_VALID_FRACTION,
    O_RECIPE,
    O_WEIGHTS,
    O_DIALECT,
    O_HEAD,
    O_FREEZE,
    O_UNFREEZE,
    O_LR_SCALE,
    O_IMAGE_SIZE,
    O_MEAN,
    O_STD,
    O_EPOCHS,
    O_OPTIMIZER,
    O_LR,
    O_DECAY,
    O_WARMUP,
    O_SCHEDULE,
    O_STEP_EVERY,
    O_STEP_FACTOR,
    O_AUGMENT,
    O_MIXUP,
    O_MONITOR,
    O_PATIENCE,
    O_CLIP,
    O_EMA,
    O_SMOOTHING,
    O_DEVICE,
    O_ISA,
    O_PRECISION,
    O_LOADERS,
    O_CACHE,
    O_SEED,
    O_RUN_DIR,
    O_RESUME,
    O_EVERY,
    O_MAX_STEPS,
    O_DRY_RUN,
    O_RECOMPUTE
};

static const struct argp_option LIST[] = {
    { NULL, 0, NULL, 0, "Data (fake = 1 is the positive class, real = 0):", 1 },
    { "data", 'd', "DIR", 0,
      "folder with {train,valid}/{fake_images,real_images} or one of the other known layouts", 1 },
    { "fake-dir", O_FAKE, "DIR", 0, "instead of --data, with --real-dir: a folder of fake images", 1 },
    { "real-dir", O_REAL, "DIR", 0, "a folder of real images, with --fake-dir", 1 },
    { "train-csv", O_TRAIN_CSV, "FILE", 0,
      "instead of --data: a table path,label of training images; paths from its folder", 1 },
    { "valid-csv", O_VALID_CSV, "FILE", 0, "such a table of images to validate on, with --train-csv", 1 },
    { "extra-data", O_EXTRA, "DIR", 0,
      "more training images; copies of known ones are dropped. May be repeated", 1 },
    { "split", O_SPLIT, "FILE", 0, "use the split.tsv of an earlier run", 1 },
    { "valid-fraction", O_VALID_FRACTION, "X", 0,
      "share for validation where the data have no valid folder (0.2)", 1 },
    { "no-audit", O_NO_AUDIT, NULL, 0, "do not look for shortcuts in the files, which fakereal_audit does",
      1 },
    { "augment", O_AUGMENT, "NAME|TEXT|FILE", 0,
      "random transforms of training images: none, flip, entry, notebook, notebook-fixed, or a pipeline of "
      "one's own such as \"flip; affine rotate=-10..10\" (flip)",
      1 },
    { "mixup", O_MIXUP, "X", 0,
      "blend each training image and its label with another, in shares from Beta(X,X); 0.2 is usual (off)",
      1 },
    { "image-size", O_IMAGE_SIZE, "N", 0, "height and width of the network's input (224)", 1 },
    { "mean", O_MEAN, "R,G,B", 0, "mean of pixels in 0..1 (that of --weights, else ImageNet's)", 1 },
    { "std", O_STD, "R,G,B", 0, "standard deviation of pixels; fakereal_audit --mean-std measures both", 1 },
    { NULL, 0, NULL, 0, "Network:", 2 },
    { "model", 'm', "NAME", 0,
      "one of efficientnet_b0 ... b7, entry_b6, efficientnet_lite0 ... lite4, resnet18 ... resnet152, "
      "vgg11_bn ... vgg19_bn (efficientnet_b6)",
      2 },
    { "weights", O_WEIGHTS, "FILE", 0,
      "start from these weights: .safetensors or .pth of torchvision, timm, lukemelas or of an earlier run",
      2 },
    { "dialect", O_DIALECT, "torchvision|timm|timm-tf|timm-tf-ap|lukemelas|lukemelas-ap", 0,
      "what kind of file --weights is, where it does not tell", 2 },
    { "head", O_HEAD, "auto|load|new", 0,
      "auto: take the classifier of --weights if it fits; load: take it; new: begin with a fresh one (auto)",
      2 },
    { NULL, 0, NULL, 0, "Training:", 3 },
    { "recipe", O_RECIPE, "FILE", 0, "read options from lines \"option = value\" first", 3 },
    { "epochs", O_EPOCHS, "N", 0, "at most so many (100)", 3 },
    { "batch-size", 'b', "N", 0, "images in a step (32)", 3 },
    { "optimizer", O_OPTIMIZER, "adam|adamw|radam|sgd", 0, "sgd has a momentum of 0.9 (adamw)", 3 },
    { "lr", O_LR, "X", 0, "learning rate (1e-4)", 3 },
    { "weight-decay", O_DECAY, "X", 0, "(0.01 for adamw, else 0)", 3 },
    { "warmup-steps", O_WARMUP, "auto|N", 0,
      "linear warm-up; auto: a tenth of the planned steps, at most 1500 (auto)", 3 },
    { "schedule", O_SCHEDULE, "constant|cosine|step|plateau", 0,
      "how the learning rate changes after the warm-up (constant)", 3 },
    { "step-every", O_STEP_EVERY, "N", 0, "schedule step: epochs between reductions (10)", 3 },
    { "step-factor", O_STEP_FACTOR, "X", 0, "schedules step and plateau: the reduction (0.1)", 3 },
    { "label-smoothing", O_SMOOTHING, "X", 0, "share of the label that goes to both classes alike (0)", 3 },
    { "clip-norm", O_CLIP, "X", 0, "limit of the gradient's norm (off)", 3 },
    { "freeze", O_FREEZE, "PATTERN", 0,
      "leave parameters of such names as they are, and the statistics of their batch norms (\"features.*\"). "
      "May be repeated",
      3 },
    { "unfreeze-at", O_UNFREEZE, "EPOCH", 0, "from this epoch on, counted from 1, train all of them", 3 },
    { "lr-scale", O_LR_SCALE, "PATTERN=X", 0,
      "X times the learning rate for parameters of such names. May be repeated, the last that fits counts",
      3 },
    { "ema-decay", O_EMA, "X", 0, "validate and keep averaged weights (off)", 3 },
    { "monitor", O_MONITOR, "valid_loss|valid_macro_f1|valid_accuracy", 0,
      "what tells the best epoch, for best.safetensors and --patience (valid_loss)", 3 },
    { "patience", O_PATIENCE, "N", 0, "stop after so many epochs without improvement; 0: never (5)", 3 },
    { "max-steps", O_MAX_STEPS, "N", 0,
      "end after so many updates in all, resumed ones included; the schedule is that of --epochs", 3 },
    { "seed", O_SEED, "N", 0, "of everything random (42)", 3 },
    { NULL, 0, NULL, 0, "Run:", 4 },
    { "run-dir", 'o', "DIR", 0, "run folder (runs/MODEL-DATE)", 4 },
    { "resume", O_RESUME, "auto|FILE", 0,
      "go on from the run folder's last checkpoint if there is one, or from FILE", 4 },
    { "checkpoint-every", O_EVERY, "STEPS", 0,
      "save last.safetensors so often, besides the end of each epoch (500)", 4 },
    { "dry-run", O_DRY_RUN, NULL, 0, "check the data, print the plan and stop", 4 },
    { NULL, 0, NULL, 0, "Device:", 5 },
    { "device", O_DEVICE, "NAME", 0, APP_DEVICES, 5 },
    { "threads", 't', "N", 0, "threads (one for each processor that it may use)", 5 },
    { "loader-threads", O_LOADERS, "N", 0, "threads that decode images (1)", 5 },
    { "cache", O_CACHE, "auto|none|SIZE", 0,
      "memory for decoded images, such as 4G; auto: a quarter of what is free (none)", 5 },
    { "recompute", O_RECOMPUTE, NULL, 0, "less memory for more time; the same result", 5 },
    { "isa", O_ISA, APP_ISAS, 0, "instruction set (the best there is)", 5 },
    { "precision", O_PRECISION, APP_PRECISIONS, 0, "how activations are stored (fp32)", 5 },
    { 0 }
};

/* "PATTERN=X" */
static void parse_lr_scale(struct options *o, const char *arg, const struct argp_state *state)
{
    const char *equals = strrchr(arg, '=');
    struct lr_scale *s = &o->lr_scale[o->lr_scales];

    if (o->lr_scales == MOST_PATTERNS)
        app_bad_option(state, "--lr-scale: at most %d times", MOST_PATTERNS);
    if (!equals || equals == arg || equals - arg >= PATTERN_SIZE)
        app_bad_option(state, "--lr-scale %s: not of the form PATTERN=X, such as \"features.*=0.1\"", arg);
    memcpy(s->pattern, arg, (size_t)(equals - arg));
    s->pattern[equals - arg] = 0;
    s->factor = app_real(state, "lr-scale", equals + 1, 0, 1e6);
    o->lr_scales++;
}

/* "R,G,B" */
static bool parse_triple(const char *option, const char *arg, double least, double out[3],
                         const struct argp_state *state)
{
    char beyond;

    if (sscanf(arg, "%lf,%lf,%lf%c", &out[0], &out[1], &out[2], &beyond) != 3)
        app_bad_option(state, "--%s: \"%s\" is not of the form R,G,B, such as 0.485,0.456,0.406", option,
                       arg);
    for (int i = 0; i < 3; i++)
        if (!(out[i] >= least && out[i] <= 1))
            app_bad_option(state, "--%s: \"%s\" is not within %g to 1", option, arg, least);
    return true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'd': o->data = app_input(state, "--data", arg); return 0;
    case O_FAKE: o->fake_dir = app_input(state, "--fake-dir", arg); return 0;
    case O_REAL: o->real_dir = app_input(state, "--real-dir", arg); return 0;
    case O_TRAIN_CSV: o->train_csv = app_input(state, "--train-csv", arg); return 0;
    case O_VALID_CSV: o->valid_csv = app_input(state, "--valid-csv", arg); return 0;
    case O_EXTRA:
        if (o->extras == MOST_EXTRA)
            app_bad_option(state, "--extra-data: at most %d times", MOST_EXTRA);
        o->extra[o->extras++] = arg;
        return 0;
    case O_SPLIT: o->split = app_input(state, "--split", arg); return 0;
    case O_VALID_FRACTION: o->valid_fraction = app_real(state, "valid-fraction", arg, 0.01, 0.9); return 0;
    case O_RECIPE: return 0; /* read before, see app_parse */
    case 'm': o->model = arg; return 0;
    case O_WEIGHTS: o->weights = app_input(state, "--weights", arg); return 0;
    case O_DIALECT: o->dialect = app_choice(state, "dialect", arg); return 0;
    case O_HEAD: o->head = app_choice(state, "head", arg); return 0;
    case O_FREEZE:
        if (o->freezes == MOST_PATTERNS)
            app_bad_option(state, "--freeze: at most %d times", MOST_PATTERNS);
        o->freeze[o->freezes++] = arg;
        return 0;
    case O_UNFREEZE: o->unfreeze_at = app_int(state, "unfreeze-at", arg, 2, 1000000); return 0;
    case O_LR_SCALE: parse_lr_scale(o, arg, state); return 0;
    case O_IMAGE_SIZE: o->image_size = app_int(state, "image-size", arg, 8, 4096); return 0;
    case O_MEAN: o->mean_given = parse_triple("mean", arg, 0, o->mean, state); return 0;
    case O_STD: o->std_given = parse_triple("std", arg, 0.001, o->std, state); return 0;
    case O_EPOCHS: o->epochs = app_int(state, "epochs", arg, 1, 1000000); return 0;
    case 'b': o->batch = app_int(state, "batch-size", arg, 1, 65536); return 0;
    case O_OPTIMIZER: o->optimizer = app_choice(state, "optimizer", arg); return 0;
    case O_LR:
        o->lr = app_real(state, "lr", arg, 0, 1e6);
        if (!(o->lr > 0))
            app_bad_option(state, "--lr: \"%s\" is not above 0: nothing would be learnt", arg);
        return 0;
    case O_DECAY:
        o->decay = app_real(state, "weight-decay", arg, 0, 1e6);
        o->decay_given = true;
        return 0;
    case O_WARMUP:
        o->warmup =
            strcmp(arg, "auto") ? app_int(state, "warmup-steps", arg, 0, INT64_C(1) << 40) : WARMUP_AUTO;
        return 0;
    case O_SCHEDULE: o->schedule = app_choice(state, "schedule", arg); return 0;
    case O_STEP_EVERY: o->step_every = app_int(state, "step-every", arg, 1, 1000000); return 0;
    case O_STEP_FACTOR: o->step_factor = app_real(state, "step-factor", arg, 1e-6, 1); return 0;
    case O_AUGMENT: o->augment = app_input(state, "--augment", arg); return 0;
    case O_MIXUP: o->mixup = app_real(state, "mixup", arg, 0.01, 1000); return 0;
    case O_MONITOR: o->monitor = app_choice(state, "monitor", arg); return 0;
    case O_PATIENCE: o->patience = app_int(state, "patience", arg, 0, 1000000); return 0;
    case O_CLIP: o->clip = app_real(state, "clip-norm", arg, 0, 1e12); return 0;
    case O_EMA: o->ema = app_real(state, "ema-decay", arg, 0, 0.9999999); return 0;
    case O_SMOOTHING: o->smoothing = app_real(state, "label-smoothing", arg, 0, 0.999); return 0;
    case O_DEVICE: o->device.device = arg; return 0;
    case O_ISA: o->device.isa = arg; return 0;
    case O_PRECISION: o->device.precision = app_precision(state, arg); return 0;
    case 't': o->device.threads = (int)app_int(state, "threads", arg, 1, 1024); return 0;
    case O_LOADERS: o->loader_threads = (int)app_int(state, "loader-threads", arg, 1, 64); return 0;
    case O_CACHE:
        o->cache = !strcmp(arg, "auto")   ? CACHE_AUTO
                   : !strcmp(arg, "none") ? 0
                                          : app_bytes(state, "cache", arg);
        return 0;
    case O_SEED: o->seed = (uint64_t)app_int(state, "seed", arg, 0, INT64_MAX); return 0;
    case 'o': o->run_dir = arg; return 0;
    case O_RESUME: o->resume = app_input(state, "--resume", arg); return 0;
    case O_EVERY:
        o->checkpoint_every = app_int(state, "checkpoint-every", arg, 1, INT64_C(1) << 40);
        return 0;
    case O_MAX_STEPS: o->max_steps = app_int(state, "max-steps", arg, 1, INT64_C(1) << 40); return 0;
    case O_DRY_RUN: o->dry_run = true; return 0;
    case O_NO_AUDIT: o->no_audit = true; return 0;
    case O_RECOMPUTE: o->recompute = true; return 0;
    case ARGP_KEY_ARG:
        app_bad_option(state, "unexpected argument \"%s\": every value needs its option, such as --data",
                       arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->fake_dir != !o->real_dir || (o->valid_csv && !o->train_csv) ||
            !!o->data + !!o->fake_dir + !!o->train_csv != 1)
            app_bad_option(
                state,
                "give --data DIR, or both --fake-dir and --real-dir, or --train-csv (and --valid-csv)");
        if (o->valid_csv && o->train_csv && app_same_file(o->train_csv, o->valid_csv))
            app_bad_option(state, "--train-csv and --valid-csv are one file");
        if (!strcmp(o->head, "load") && !o->weights)
            app_bad_option(state, "--head load: there is nothing to take it from; give --weights as well");
        if (o->unfreeze_at && !o->freezes)
            app_bad_option(state, "--unfreeze-at: nothing is frozen; give --freeze as well");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

void options_parse(struct options *o, int argc, char **argv)
{
    const struct argp argp = { LIST,
                               parse,
                               NULL,
                               "Trains a classifier of real and fake images.\n\n"
                               "Examples:\n"
                               "  $ fakereal_train --data faces --run-dir runs/faces\n"
                               "  $ fakereal_train --data faces --model efficientnet_b0 --epochs 10\n"
                               "  $ fakereal_train --data faces --run-dir runs/faces --resume auto\v"
                               "Exit codes: 0 done; 1 training diverged; 2 usage; 3 bad data or weights, or "
                               "done without the images of "
                               "a folder that cannot be read; 4 input or output; 5 device or memory; 129, "
                               "130, 143 interrupted and saved; a second signal ends at once, unsaved.",
                               NULL,
                               NULL,
                               NULL };

    *o = (struct options){ .model = "efficientnet_b6",
                           .optimizer = "adamw",
                           .schedule = "constant",
                           .augment = "flip",
                           .head = "auto",
                           .monitor = "valid_loss",
                           .image_size = 224,
                           .epochs = 100,
                           .batch = 32,
                           .lr = 1e-4,
                           .warmup = WARMUP_AUTO,
                           .patience = 5,
                           .checkpoint_every = 500,
                           .seed = 42,
                           .valid_fraction = 0.2,
                           .step_every = 10,
                           .step_factor = 0.1,
                           .loader_threads = 1 };
    app_parse(&argp, argc, argv, o);
    if (!o->decay_given)
        o->decay = strcmp(o->optimizer, "adamw") ? 0 : 0.01;
}
