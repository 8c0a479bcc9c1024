/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates and sizes as tc(8) writes them: "100mbit", "32kb". Letters may be large or small. */
#ifndef VIADUCT_VSWITCH_UNITS_H
#define VIADUCT_VSWITCH_UNITS_H

#include <stdint.h>

/*
 * A number, with a fraction if you like, and bit (the default), kbit, mbit, gbit, tbit (by 1000), kibit,
 * mibit, gibit, tibit (by 1024), or the same with bps, which counts bytes.
 * Returns 0 with bytes a second in *@ret, or -EINVAL (no such text, less than 1 or too much).
 */
int rate_parse(const char *text, uint64_t *ret);

/*
 * A number and b (the default: bytes), kb or k, mb or m, gb or g (by 1024), kbit, mbit, gbit (by 1000).
 * Returns 0 with bytes in *@ret, or -EINVAL.
 */
int size_parse(const char *text, uint64_t *ret);

#endif
