/* SPDX-License-Identifier: MIT
 *
 * libnn: tensors, automatic differentiation, networks and optimizers in C11. Read the headers in this order.
 */
#ifndef NN_NN_H
#define NN_NN_H

#include <nn/base.h>
#include <nn/device.h>
#include <nn/model.h>
#include <nn/graph.h>
#include <nn/ops.h>
#include <nn/layers.h>
#include <nn/optim.h>
#include <nn/plan.h>
#include <nn/op.h>
#include <nn/io.h>
#include <nn/vision.h>
#include <nn/data.h>
#include <nn/classifier.h>

#endif
