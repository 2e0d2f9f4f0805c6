/* SPDX-License-Identifier: MIT
 *
 * See planted.cu.
 */
#ifndef PLANTED_H
#define PLANTED_H

#ifdef __cplusplus
extern "C" {
#endif

/* Kernel 0 is right; `from` has 64 numbers for each block. */
enum { PLANTED = 7 };
int planted_launch(int which, const float *from, float *to, int blocks, void *stream);

#ifdef __cplusplus
}
#endif

#endif
