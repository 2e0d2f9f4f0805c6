/* SPDX-License-Identifier: MIT */
#ifndef DIGITS_H
#define DIGITS_H

enum { DIGITS = 1797, SIDE = 8 };

/* '0' to '9', then SIDE*SIDE letters from 'A' (paper) to 'Q' (ink). */
extern const char *const digits[DIGITS];

#endif
