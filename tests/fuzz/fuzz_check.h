/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has to hold whatever the input: the fuzzer keeps an input that aborts. */
#ifndef VIADUCT_TESTS_FUZZ_CHECK_H
#define VIADUCT_TESTS_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

#endif
