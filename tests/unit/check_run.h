/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a Check program. */
#ifndef VIADUCT_TESTS_CHECK_RUN_H
#define VIADUCT_TESTS_CHECK_RUN_H

#include <check.h>
#include <stdlib.h>

/* Run @s and free it. Returns the program's exit status. */
static inline int suite_run(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
