/* SPDX-License-Identifier: MIT
 *
 * The classifier as the programs use it: a named network over 8-bit images, normalised by its
 * preprocessing record (an augmentation pipeline may have done that in training), with one plan for each
 * (training or not, batch size). Plans of one network never run at the same time and share one activation
 * arena.
 */
#ifndef APPS_NETWORK_H
#define APPS_NETWORK_H

#include <nn/models/networks.h>
#include <nn/io.h>
#include <nn/nn.h>
#include <nn/vision.h>
#include <stdbool.h>

#include "weights.h"

enum { NETWORK_PLANS = 4 };

struct network {
    nn_device *device;
    nn_model *model;
    nn_network net;
    int64_t classes;
    nn_preprocess preprocess;
    double smoothing;
    nn_dtype pixels;    /* of training images: NN_U8, or NN_F32 that are normalised already */
    bool soft;          /* targets in training are probabilities [N,classes], not indices */
    nn_dtype precision; /* of its plans */
    struct {
        nn_plan *plan;
        nn_mode mode;
        int64_t batch;
    } plan[NETWORK_PLANS];
    int plans;
};

extern const char *const network_classes[2]; /* "real", "fake" */

/* A network of these two classes, without values yet; the record's class names are not looked at. Each
 * returns 0 or an exit code, with the reason printed. */
int network_new(struct network *n, nn_device *device, const char *name, const nn_preprocess *p,
                uint64_t seed);
void network_free(struct network *n);
/* Declares every parameter and gives it its first value. */
int network_seal(struct network *n);
/* Records it: 8-bit images "image", normalised as the record says, to "logits", which are returned; *loss is
 * NULL in evaluation. */
nn_tensor *network_record(struct network *n, nn_graph *g, int64_t batch, nn_tensor **loss);
/* The plan for a mode and batch size, compiled at the first call. `opts` is used for training plans: all but
 * loss and share. In training, batch norms whose parameters are all frozen keep their statistics. */
int network_plan(struct network *n, nn_mode mode, int64_t batch, const nn_plan_opts *opts, nn_plan **out);
/* Frees the plans; the next network_plan compiles anew. */
void network_drop_plans(struct network *n);
/* What to do with the file's classifier: take it if it fits, always or never. */
enum network_head { HEAD_AUTO, HEAD_LOAD, HEAD_NEW };
/* Takes over what belongs to weights: padding, eps; the network must be theirs. Before the first plan. */
int network_adapt(struct network *n, const struct weights *w);
/* Starts from weights: bare or "model/" or "backbone." names. Their classifier may be left out, which is
 * said; any other name that is missing, unexpected or of another shape is listed and nothing is loaded. */
int network_start_from(struct network *n, const struct weights *w, enum network_head head);

/* Metadata that makes a file self-describing; free with network_pairs_free. At most 8 pairs. */
int network_pairs(const struct network *n, nn_pair pairs[8], int64_t *count, double threshold);
void network_pairs_free(nn_pair pairs[8], int64_t count);
void network_print_summary(const struct network *n, const nn_plan *plan, const char *title);

#endif
