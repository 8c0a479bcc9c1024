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
	char name[256], text[256], line[256];
	unsigned int found = 0;
	bool inside = false;

	ck_assert_msg(f, "%s", MANUAL);
	while (fgets(line, sizeof(line), f)) {
		if (*line == '#')
			inside = !strcmp(line, "# DROP REASONS\n");
		/* A row of scdoc's table: "|[ name", ":[ what it means". */
		if (!inside || strncmp(line + 1, "[ ", 2) != 0 || *line == ':')
			continue;
		ck_assert_msg(found < DROP_REASON_COUNT, "not in the code: %s", line);
		ck_assert_int_eq(sscanf(line + 3, "%255[^\n]", name), 1);
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
		ck_assert_int_eq(sscanf(line, ":[ %255[^\n]", text), 1);
		ck_assert_str_eq(name, drop_reason_name((enum drop_reason)found));
		ck_assert_str_eq(text, drop_reason_text((enum drop_reason)found));
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
