/* SPDX-License-Identifier: MIT
 *
 * nn_bench data: images a second from files to the pixels a network is trained on.
 */
#ifndef APPS_BENCH_DATA_H
#define APPS_BENCH_DATA_H

#include <stdint.h>

struct bench_data {
    const char *folder, *augment, *json;
    int64_t image_size, runs;
    int threads; /* of the loader */
};
/* 0 or an exit code. */
int bench_data(const struct bench_data *o);

#endif
