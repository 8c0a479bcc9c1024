// SPDX-License-Identifier: GPL-2.0-or-later
/* The doctor's guest on this machine's KVM, whatever that can do. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor_cli.h"

static void assert_no_child_left(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

START_TEST(it_says_what_this_kvm_can_do)
{
	struct kvm_probe p;

	kvm_probe(60000, &p);
	fprintf(stderr, "%s\n", p.text);
	ck_assert(*p.text);
	ck_assert(p.answer != KVM_ABSENT);
	/* What boots Linux has been timed, and gone through all of it. */
	if (p.answer == KVM_BOOTS)
		ck_assert(strstr(p.text, "can boot Linux") != NULL);
	else
		ck_assert(strstr(p.text, "went wrong at") || strstr(p.text, "emulated"));
	assert_no_child_left();
}
END_TEST

/* A guest that hangs is ended with its process, and it is said where it was. */
START_TEST(it_does_not_wait_longer_than_told)
{
	struct kvm_probe p;

	kvm_probe(0, &p);
	ck_assert(p.answer != KVM_BOOTS);
	ck_assert(*p.text);
	assert_no_child_left();
}
END_TEST

START_TEST(it_can_be_asked_again)
{
	struct kvm_probe a, b;

	kvm_probe(60000, &a);
	kvm_probe(60000, &b);
	ck_assert_int_eq(a.answer == KVM_ABSENT, b.answer == KVM_ABSENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("doctor-kvm");
	TCase *tc = tcase_create("kvm");
	SRunner *sr = srunner_create(s);
	int failed;

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		fprintf(stderr, "skipped: /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	tcase_set_timeout(tc, 150);
	tcase_add_test(tc, it_says_what_this_kvm_can_do);
	tcase_add_test(tc, it_does_not_wait_longer_than_told);
	tcase_add_test(tc, it_can_be_asked_again);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
