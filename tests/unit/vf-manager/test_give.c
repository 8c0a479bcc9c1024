// SPDX-License-Identifier: GPL-2.0-or-later
/* VFs that are given something together: what that asks of the kernel, and what becomes of each. */
#include <check.h>
#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fakes/pci_kernel.h"
#include "vf-manager/apply.h"
#include "vf-manager/internal.h"

static struct pci_kernel k;
static struct vfm *v;
static struct err e;
static struct vfm_plan *p;

static void setup(void)
{
	pci_kernel_init(&k);
	k.config.cancel = &k.knobs->cancel;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	e = (struct err){0};
}

static void teardown(void)
{
	vfm_plan_free(p);
	p = NULL;
	vfm_destroy(v);
	v = NULL;
	pci_kernel_finish(&k);
}

static int apply(const char *text, bool rollback)
{
	const struct vfm_apply_options o = {.recreate = true, .rollback = rollback};
	struct vfm_desired *want;
	int r;

	vfm_plan_free(p);
	e = (struct err){0};
	ck_assert_msg(vfm_desired_parse("f", text, strlen(text), &want, &e) == 0, "%s", e.text);
	r = vfm_apply(v, want, NULL, &o, &p, &e);
	vfm_desired_free(want);
	return r;
}

/* @n VFs of @pf with an address, a VLAN, a rate and a driver each. */
static void apply_full(const char *pf, int n)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "pfs:\n- pf: %s\n  num-vfs: %d\n  vfs:\n", pf, n);
	for (int i = 0; i < n; i++)
		fprintf(f,
			"  - {index: %d, mac: '52:54:00:01:00:%02x', vlan: %d, max-rate: 100, "
			"driver: vfio-pci}\n",
			i, i, i + 1);
	fclose(f);
	k.knobs->calls = k.knobs->writes = k.knobs->changes = 0;
	ck_assert_msg(apply(text, false) == 0, "%s", e.text);
}

static unsigned requests(void)
{
	return k.knobs->calls - k.knobs->writes;
}

static unsigned questions(void)
{
	return k.knobs->calls - k.knobs->changes;
}

/*
 * An address, a VLAN and a rate for each; all are read before and after the addresses and VLANs, before and
 * after the rates, and once more at the end. A new PF is brought up too.
 */
START_TEST(seven_vfs_cost_twenty_seven_requests)
{
	apply_full("0000:01:00.0", 7);
	ck_assert_uint_eq(questions(), 5);
	ck_assert_uint_eq(requests(), 7 * 3 + 5 + 1);
	apply_full("0000:01:00.0", 7);
	ck_assert_uint_eq(requests(), 1);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

START_TEST(questions_do_not_grow_with_vfs_but_by_sixty_four)
{
	fake_pf_add(&k, &fake_many);
	apply_full("0000:01:00.0", 2);
	ck_assert_uint_eq(questions(), 5);
	apply_full("eth4", 64);
	ck_assert_uint_eq(questions(), 5);
	/* The plan, before and under the lock, now has VFs to ask about. */
	apply_full("eth4", 130);
	ck_assert_uint_eq(questions(), 2 + 2 * 3 * 2 + 1);
}
END_TEST

static void assert_outcomes(const enum vfm_outcome *outcome)
{
	for (size_t i = 0; i < p->n_steps; i++)
		ck_assert_msg(p->step[i].outcome == outcome[i], "%s: %u", p->step[i].text,
			p->step[i].outcome);
}

#define START "pfs:\n- pf: 0000:01:00.0\n  num-vfs: 3\n"
#define GIVE                                                          \
	START "  vfs:\n  - {index: 0, vlan: 5}\n"                     \
	      "  - {index: 1, mac: '52:54:00:00:00:11', trust: on}\n" \
	      "  - {index: 2, vlan: 7}\n"

static const struct vfm_settings *vf(unsigned i)
{
	return &k.knobs->pf[0].vf[i];
}

START_TEST(the_first_that_is_refused_ends_it_and_those_before_stay)
{
	static const enum vfm_outcome outcome[] = {
		VFM_STEP_DONE, VFM_STEP_FAILED, VFM_STEP_PLANNED};

	ck_assert_int_eq(apply(START, false), 0);
	k.knobs->unsupported |= VFM_BIT(TRUST);
	ck_assert_int_eq(apply(GIVE, false), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(e.text, "set 0000:01:10.2: VF 1 of eth0: trust on"));
	ck_assert_ptr_nonnull(strstr(p->step[1].why, "trust on"));
	assert_outcomes(outcome);
	ck_assert_uint_eq(vf(0)->vlan, 5);
	ck_assert_uint_eq(k.knobs->pf[0].mac[1][5], 0);
	ck_assert_uint_eq(vf(2)->vlan, 0);
}
END_TEST

/* Only the reading after all of them shows it: those behind it are as if they had not been begun. */
START_TEST(one_that_took_nothing_takes_those_after_it_back)
{
	static const enum vfm_outcome outcome[] = {VFM_STEP_DONE, VFM_STEP_FAILED, VFM_STEP_UNDONE};
	struct vfm_settings s;

	ck_assert_int_eq(apply(START, false), 0);
	k.knobs->mac_ignored = true;
	ck_assert_int_eq(apply(GIVE, false), -EIO);
	ck_assert_ptr_nonnull(strstr(e.text, "mac 52:54:00:00:00:11 set, but eth0 reports none"));
	assert_outcomes(outcome);
	ck_assert_uint_eq(vf(0)->vlan, 5);
	ck_assert(!vf(1)->trust);
	ck_assert_uint_eq(vf(2)->vlan, 0);
	/* A record of what is as it was at first would only be in the way. */
	ck_assert_int_eq(journal_read_settings(v, fake_vf_bdf(&fake_igb, 0), &s), 0);
	ck_assert_int_lt(journal_read_settings(v, fake_vf_bdf(&fake_igb, 1), &s), 0);
	ck_assert_int_lt(journal_read_settings(v, fake_vf_bdf(&fake_igb, 2), &s), 0);
	k.knobs->mac_ignored = false;
	ck_assert_int_eq(apply(GIVE, false), 0);
}
END_TEST

START_TEST(with_rollback_none_keeps_anything)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	ck_assert_int_eq(apply(START, false), 0);
	before = fake_state(&k);
	k.knobs->mac_ignored = true;
	ck_assert_int_eq(apply(GIVE, true), -EIO);
	ck_assert_ptr_nonnull(strstr(e.text, "everything was put back"));
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(an_address_goes_from_one_to_the_next_within_one_go)
{
	ck_assert_int_eq(apply(START "  vfs: [{index: 0, mac: '52:54:00:00:00:0a'}]\n", false), 0);
	k.knobs->calls = k.knobs->writes = k.knobs->changes = 0;
	ck_assert_msg(apply(START "  vfs:\n  - {index: 0, mac: none}\n"
				  "  - {index: 1, mac: '52:54:00:00:00:0a'}\n",
			      false) == 0,
		"%s", e.text);
	ck_assert_uint_eq(k.knobs->pf[0].mac[0][5], 0);
	ck_assert_uint_eq(k.knobs->pf[0].mac[1][5], 0xa);
	ck_assert_uint_eq(k.knobs->changes, 2);
}
END_TEST

/* What the kernel says makes no sense, once, in any of the answers: all or nothing, whatever it did. */
START_TEST(every_answer_is_spoilt_in_turn_and_all_is_put_back)
{
	bool reached = true;

	for (unsigned n = 1; reached; n++) {
		_cleanup_free_ char *before = NULL, *after = NULL;
		int r;

		ck_assert_uint_lt(n, 100);
		setup();
		ck_assert_int_eq(apply(START, false), 0);
		before = fake_state(&k);
		k.knobs->calls = 0;
		k.knobs->garble_at = n;
		k.knobs->garble = (unsigned)_i;
		r = apply(GIVE, true);
		reached = k.knobs->calls >= n;
		after = fake_state(&k);
		ck_assert_msg(r < 0 || vf(2)->vlan == 7, "call %u", n);
		ck_assert_msg(reached || r == 0, "%s", e.text);
		ck_assert_msg(r == 0 || !strcmp(before, after), "call %u: was\n%sis\n%s(%s)", n,
			before, after, e.text);
		teardown();
	}
}
END_TEST

/* --- the real kernel's rtnetlink, of which anybody may ask --- */

static unsigned sockets(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		char path[300], to[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		n += readlink(path, to, sizeof(to) - 1) > 0 && !strncmp(to, "socket:", 7);
	}
	closedir(d);
	return n;
}

START_TEST(a_context_asks_the_kernel_through_one_socket)
{
	int lo = (int)if_nametoindex("lo"), status;
	struct vfm_settings s;
	unsigned before;
	struct vfm *real;
	pid_t pid;

	if (!lo)
		return;
	ck_assert_int_eq(vfm_create(NULL, &real, &e), 0);
	before = sockets();
	for (int i = 0; i < 3; i++)
		ck_assert_msg(link_get_vfs(real, lo, &s, 1, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(sockets(), before + 1);
	/* A refusal is an answer like any other. */
	ck_assert_int_eq(link_get_vfs(real, 0x7fffffff, &s, 1, &e), -ENODEV);
	ck_assert_uint_eq(sockets(), before + 1);
	/* A child has one of its own, and takes no answer of its parent's. */
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(link_get_vfs(real, lo, &s, 1, NULL) == 0 && sockets() == before + 2 ? 0 : 1);
	ck_assert_int_eq(link_get_vfs(real, lo, &s, 1, &e), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	vfm_destroy(real);
	ck_assert_uint_eq(sockets(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-give");
	TCase *t = tcase_create("give"), *sweep = tcase_create("sweep");
	TCase *kernel = tcase_create("kernel");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, seven_vfs_cost_twenty_seven_requests);
	tcase_add_test(t, questions_do_not_grow_with_vfs_but_by_sixty_four);
	tcase_add_test(t, the_first_that_is_refused_ends_it_and_those_before_stay);
	tcase_add_test(t, one_that_took_nothing_takes_those_after_it_back);
	tcase_add_test(t, with_rollback_none_keeps_anything);
	tcase_add_test(t, an_address_goes_from_one_to_the_next_within_one_go);
	suite_add_tcase(s, t);
	tcase_set_timeout(sweep, 120);
	tcase_add_loop_test(
		sweep, every_answer_is_spoilt_in_turn_and_all_is_put_back, 0, FAKE_GARBLES);
	suite_add_tcase(s, sweep);
	tcase_add_test(kernel, a_context_asks_the_kernel_through_one_socket);
	suite_add_tcase(s, kernel);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
