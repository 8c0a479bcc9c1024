// SPDX-License-Identifier: GPL-2.0-or-later
/* The manual's table of drop reasons is the one in the code. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/counters.h"

START_TEST(manual_names_every_drop_reason_and_no_other)
{
	_cleanup_file_ FILE *f = fopen(MANUAL, "r");
	char line[256], want[256];
	unsigned int found = 0;
	bool inside = false;

	ck_assert_msg(f, "%s", MANUAL);
	while (fgets(line, sizeof(line), f)) {
		if (!strcmp(line, ".SH DROP REASONS\n"))
			inside = true;
		else if (!strncmp(line, ".SH", 3))
			inside = false;
		if (!inside || !strchr(line, '\t'))
			continue;
		ck_assert_msg(found < DROP_REASON_COUNT, "not in the code: %s", line);
		snprintf(want, sizeof(want), "%s\t%s\n", drop_reason_name((enum drop_reason)found),
			drop_reason_text((enum drop_reason)found));
		/* roff's hyphens */
		for (char *s = line; (s = strstr(s, "\\-")); s++)
			memmove(s, s + 1, strlen(s));
		ck_assert_str_eq(line, want);
		found++;
	}
	ck_assert_uint_eq(found, DROP_REASON_COUNT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vswitch-counters");
	TCase *tc = tcase_create("core");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, manual_names_every_drop_reason_and_no_other);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
