/* SPDX-License-Identifier: MIT
 *
 * Recording a network: a C function that makes builder calls on a graph; nothing runs while it does. Builders
 * return a tensor; given NULL they return NULL, and the first failure is kept in the graph, so that network
 * code chains freely and checks once. Names come from a stack of scopes: nn_push(g, "features"), nn_pushi(g,
 * 1) and a layer called "0" make "features.1.0.weight".
 */
#ifndef NN_GRAPH_H
#define NN_GRAPH_H

#include <nn/model.h>

NN_C_BEGIN

typedef struct nn_graph nn_graph;
typedef struct nn_tensor nn_tensor;

typedef enum nn_mode { NN_EVAL, NN_TRAIN } nn_mode;

/* A graph on `device` whose layers declare their parameters in `model` (NULL: set one later). It must be
 * freed before the model, and may be right after nn_compile: plans keep what they need. */
NN_API int nn_graph_new(nn_graph **out, nn_device *device, nn_model *model, nn_mode mode);
NN_API void nn_graph_free(nn_graph *graph);
/* The first failure: its status, and a text that names the op's path and the shapes ("" if none). */
NN_API int nn_graph_status(const nn_graph *graph);
NN_API const char *nn_graph_error(const nn_graph *graph);
/* Records a failure of one's own, unless there already is one; returns NULL. For layer authors. */
NN_API nn_tensor *nn_graph_fail(nn_graph *graph, int status, const char *format, ...) NN_PRINTF(3, 4);

/* Model and mode of the calls that follow. A graph may use several models; frozen batch norm is
 * NN_EVAL around some layers of a training graph. They return what was set before. */
NN_API nn_model *nn_use_model(nn_graph *graph, nn_model *model);
NN_API nn_mode nn_use_mode(nn_graph *graph, nn_mode mode);
NN_API nn_mode nn_mode_of(const nn_graph *graph);
/* Layers recorded later whose path matches `pattern` are in this mode whatever nn_use_mode says: for
 * networks whose code is somebody else's. Of several patterns that match, the last one given counts. */
NN_API void nn_use_mode_at(nn_graph *graph, const char *pattern, nn_mode mode);

/* The scope stack. nn_namei formats a number as a name that lives as long as the graph. */
NN_API void nn_push(nn_graph *graph, const char *name);
NN_API void nn_pushi(nn_graph *graph, int64_t index);
NN_API void nn_pop(nn_graph *graph);
NN_API const char *nn_namei(nn_graph *graph, int64_t index);

/* A named value given from outside (see nn_host in plan.h); one that never changes, copied from `data`. */
NN_API nn_tensor *nn_input(nn_graph *graph, const char *name, nn_dtype type, nn_shape shape);
NN_API nn_tensor *nn_constant(nn_graph *graph, nn_dtype type, nn_shape shape, const void *data);
/* Declares or finds "<scope>.<name>" in the graph's model. A second declaration must agree. */
NN_API nn_tensor *nn_param(nn_graph *graph, const char *name, nn_shape shape, nn_init init);
NN_API nn_tensor *nn_state(nn_graph *graph, const char *name, nn_dtype type, nn_shape shape, double fill);

/* Keeps the value and the gradient of `x` readable under `name` (nn_read, nn_read_gradient). */
NN_API nn_tensor *nn_observe(nn_graph *graph, const char *name, nn_tensor *x);
/* What the op made that was recorded last in or below `scope`, "features.4" of somebody else's network. */
NN_API nn_tensor *nn_output_of(nn_graph *graph, const char *scope);
/* The same value without a path for gradients. */
NN_API nn_tensor *nn_detach(nn_graph *graph, nn_tensor *x);

/* Shape and type of a recorded tensor; zeros for NULL. nn_dim counts from 0, or from -1 at the end. */
NN_API nn_shape nn_shape_get(const nn_tensor *x);
NN_API nn_dtype nn_type_get(const nn_tensor *x);
NN_API int64_t nn_dim(const nn_tensor *x, int axis);

NN_C_END

#endif
