// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_NOT_WRITTEN 1

static const char *guarded;

static void output_check(void)
{
	int failed = ferror(stdout), code;

	errno = 0;
	if (!fflush(stdout) && !failed)
		return;
	/* The write that failed may have been an earlier one, whose answer is gone. */
	code = errno;
	fprintf(stderr, "%s: standard output could not be written%s%s\n", guarded, code ? ": " : "",
		code ? strerror(code) : "");
	_exit(EXIT_NOT_WRITTEN);
}

void output_guard(const char *who)
{
	guarded = who;
	atexit(output_check);
}
