/* SPDX-License-Identifier: MIT */
#ifndef SNAKE_H
#define SNAKE_H

#include <nn/nn.h>

/* x + sin(x)^2 of each element. */
nn_tensor *snake(nn_graph *g, nn_tensor *x);

#endif
