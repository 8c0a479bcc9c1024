// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Faults in every operation that changes something: each sysfs write and netlink request fails in
 * turn, alone or with all after it, or has its answer spoilt after it acted; or the process dies there.
 * Afterwards all is as it was, or the text says what is not.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/devlink.h"

#define CALLS_MAX 60

static int set(struct bdf vf, const char *text)
{
	struct vfm_settings s = {0};
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		ck_assert_int_eq(vfm_setting_parse(w, &s, NULL), 0);
	return vfm_set(v, vf, &s, NULL, &e);
}

/* --- states to start from --- */

static void bare(void)
{
}

/* Two VFs, the first of which the host's driver had before us. */
static void carved(void)
{
	carve(2);
	ck_assert_int_eq(vfm_bind(v, vf0, "igbvf", 0, &e), 0);
	fake_puts(&k, DEV "0000:01:10.0/driver_override", "(null)");
	fake_remove(&k, "run/vf/0000:01:10.0.driver");
}

static void bound(void)
{
	carved();
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
}

static void configured(void)
{
	k.knobs->unsupported = 0;
	carved();
	ck_assert_msg(set(vf0, "mac=52:54:00:00:00:05 vlan=77 qos=1 min-rate=5 max-rate=10") == 0,
		"%s", e.text);
	/* As if it had been so before us: release would put back what it had. */
	fake_remove(&k, "run/vf/0000:01:10.0.settings");
}

static void with_devlink(void)
{
	fake_pf_add(&k, &fake_switchdev);
	k.knobs->unsupported = 0;
	ck_assert_msg(vfm_carve(v, fake_switchdev.bdf, 2, 0, NULL, &e) == 0, "%s", e.text);
}

static void in_switchdev(void)
{
	with_devlink();
	ck_assert_msg(vfm_eswitch_set(v, fake_switchdev.bdf, VFM_ESWITCH_SWITCHDEV, NULL, &e) == 0,
		"%s", e.text);
	ck_assert_int_eq(
		set(fake_vf_bdf(&fake_switchdev, 0), "mac=52:54:00:00:00:05 max-rate=10"), 0);
	fake_remove(&k, "run/vf/0000:04:00.2.settings");
}

/* --- operations --- */

static int do_carve(void)
{
	return vfm_carve(v, pf, 2, 0, NULL, &e);
}

static int do_carve_autoprobe(void)
{
	return vfm_carve(v, pf, 2, VFM_CARVE_AUTOPROBE, NULL, &e);
}

static int do_recarve(void)
{
	return vfm_carve(v, pf, 3, 0, NULL, &e);
}

static int do_destroy(void)
{
	return vfm_carve(v, pf, 0, VFM_CARVE_FORCE, NULL, &e);
}

static int do_mac(void)
{
	return set(vf0, "mac=52:54:00:00:00:09");
}

static int do_settings(void)
{
	return set(vf0, "mac=52:54:00:00:00:09 vlan=9 qos=2 proto=802.1ad min-rate=1 max-rate=7 "
			"spoofchk=on link-state=disable rss-query=on trust=on "
			"node-guid=0000000000000001 port-guid=0000000000000002");
}

static int do_port_settings(void)
{
	return set(fake_vf_bdf(&fake_switchdev, 0),
		"mac=52:54:00:00:00:09 min-rate=1 max-rate=7 trust=on vlan=9");
}

static int do_eswitch(void)
{
	return vfm_eswitch_set(v, fake_switchdev.bdf, VFM_ESWITCH_SWITCHDEV, NULL, &e);
}

static int do_bind(void)
{
	return vfm_bind(v, vf0, "vfio-pci", 0, &e);
}

static int do_bind_by_id(void)
{
	return vfm_bind(v, vf1, "igbvf", 0, &e);
}

static int do_bind_none(void)
{
	return vfm_bind(v, vf0, "none", 0, &e);
}

static int do_bind_default(void)
{
	return vfm_bind(v, vf1, "default", 0, &e);
}

static int do_release(void)
{
	return vfm_release(v, vf0, 0, NULL, &e);
}

static const struct sweep {
	const char *name;
	void (*start)(void);
	int (*run)(void);
	const char *undo_loses; /* what the text says when the undo cannot be complete */
} sweeps[] = {
	{"carve", bare, do_carve, NULL},
	{"carve with autoprobe", bare, do_carve_autoprobe, NULL},
	{"recarve", carved, do_recarve, "without the addresses and drivers"},
	{"destroy", bound, do_destroy, "without the addresses and drivers"},
	{"mac", carved, do_mac, NULL},
	{"settings", configured, do_settings, NULL},
	{"settings of a port", in_switchdev, do_port_settings, NULL},
	{"eswitch", with_devlink, do_eswitch, NULL},
	{"bind", carved, do_bind, NULL},
	{"bind by id", carved, do_bind_by_id, NULL},
	{"bind none", carved, do_bind_none, NULL},
	{"bind default", carved, do_bind_default, NULL},
	{"release", bound, do_release, NULL},
};

/* Run @s until none of its calls is the one that @arm makes go wrong. */
static void sweep(const struct sweep *s, void (*arm)(unsigned n, int how), int how, bool single)
{
	bool reached = true;

	for (unsigned n = 1; reached; n++) {
		_cleanup_free_ char *before = NULL, *after = NULL;
		int r;

		ck_assert_uint_lt(n, CALLS_MAX);
		world_up();
		s->start();
		if (s->run == do_carve_autoprobe)
			fake_puts(&k, DEV "0000:01:00.0/sriov_drivers_autoprobe", "0");
		before = fake_state(&k);
		k.knobs->calls = 0;
		arm(n, how);
		e = (struct err){0};
		r = s->run();
		reached = k.knobs->calls >= n;
		after = fake_state(&k);
		if (!reached)
			ck_assert_msg(r == 0, "%s: %s", s->name, e.text);
		if (r < 0 && strcmp(before, after))
			ck_assert_msg(strstr(e.text, "not undone") ||
					      (s->undo_loses && strstr(e.text, s->undo_loses)),
				"%s, call %u: was\n%sis\n%sand only says: %s", s->name, n, before,
				after, e.text);
		/* One fault never stops the undo itself. */
		if (r < 0 && single)
			ck_assert_msg(!strstr(e.text, "not undone"), "%s, call %u: %s", s->name, n,
				e.text);
		if (r < 0)
			for (const char *c = e.text; *c; c++)
				ck_assert_msg(*c >= ' ' && *c < 127, "%s: %s", s->name, e.text);
		world_down();
	}
}

static void arm_one(unsigned n, int how)
{
	k.knobs->fail_at = n;
	k.knobs->fail_for = 0;
	k.knobs->fail_code = how;
}

static void arm_rest(unsigned n, int how)
{
	arm_one(n, how);
	k.knobs->fail_for = 1000;
}

static void arm_garble(unsigned n, int how)
{
	k.knobs->garble_at = n;
	k.knobs->garble = (unsigned)how;
}

START_TEST(every_call_fails_in_turn)
{
	sweep(&sweeps[_i], arm_one, EIO, true);
}
END_TEST

START_TEST(every_call_and_all_after_it_fail)
{
	sweep(&sweeps[_i], arm_rest, EIO, false);
}
END_TEST

/* The request was carried out, but what the kernel says about it makes no sense. */
START_TEST(every_answer_is_spoilt_in_turn)
{
	for (int how = 0; how < FAKE_GARBLES; how++)
		sweep(&sweeps[_i], arm_garble, how, true);
}
END_TEST

/* Killed before or after each call; then the next command finds its way. */
START_TEST(a_kill_at_any_call_can_be_cleared_up)
{
	const struct sweep *s = &sweeps[_i % ARRAY_SIZE(sweeps)];
	bool after = _i >= (int)ARRAY_SIZE(sweeps), done = false;

	for (unsigned n = 1; !done; n++) {
		_cleanup_free_ char *state = NULL;
		struct vfm_function f;
		int status;
		pid_t pid;

		ck_assert_uint_lt(n, CALLS_MAX);
		world_up();
		s->start();
		k.knobs->calls = 0;
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			k.knobs->kill_pid = getpid();
			if (after)
				k.knobs->kill_after = n;
			else
				k.knobs->kill_at = n;
			_exit(s->run() == 0 ? 0 : 1);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		done = WIFEXITED(status);
		k.knobs->kill_at = k.knobs->kill_after = 0;
		if ((s->start == carved || s->start == bound) && s->run != do_destroy &&
			s->run != do_recarve) {
			ck_assert_msg(vfm_release(v, vf0, 0, NULL, &e) == 0, "%s", e.text);
			ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
			ck_assert_msg(!strcmp(f.driver, "igbvf"), "%s, call %u: driver '%s'",
				s->name, n, f.driver);
			ck_assert_str_eq(f.driver_override, "");
			ck_assert_int_eq(vfm_release(v, vf1, 0, NULL, &e), 0);
		}
		/* Whatever it was, the same command can be given again. */
		if (s->run == do_eswitch || s->run == do_port_settings)
			ck_assert_msg(s->run() == 0, "%s, call %u: %s", s->name, n, e.text);
		carve(2);
		carve(0);
		state = fake_state(&k);
		ck_assert(!strncmp(state, "numvfs 0 autoprobe 1 eth0 up\n", 29));
		ck_assert(!exists("run/vf/0000:01:00.0.autoprobe"));
		world_down();
	}
}
END_TEST

/* What the kernel's files say is no better than what its messages say. */
START_TEST(hostile_files_stop_a_carve_before_it_changes_anything)
{
	static const char *const files[] = {"sriov_numvfs", "sriov_totalvfs"};
	static char big[70000];
	static const struct {
		const char *data;
		size_t len;
	} text[] = {{"", 0}, {"\n", 1}, {"\0\0\0", 3}, {"\xff\xfe\x1b[2J", 6}, {"-1", 2},
		{"99999999999999999999999", 23}, {"0x", 2}, {"4294967296", 10}, {big, sizeof(big)},
		{"12 34", 5}};
	char path[128];

	memset(big, '9', sizeof(big));
	snprintf(path, sizeof(path), DEV "0000:01:00.0/%s", files[_i]);
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		world_up();
		fake_put(&k, path, text[i].data, text[i].len);
		ck_assert_int_lt(vfm_carve(v, pf, 2, 0, NULL, &e), 0);
		ck_assert_uint_eq(k.knobs->writes, 0);
		ck_assert(!k.knobs->pf[0].up);
		for (const char *c = e.text; *c; c++)
			ck_assert(*c >= ' ' && *c < 127);
		world_down();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-sweep");
	TCase *t = tcase_create("sweep");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, every_call_fails_in_turn, 0, ARRAY_SIZE(sweeps));
	tcase_add_loop_test(t, every_call_and_all_after_it_fail, 0, ARRAY_SIZE(sweeps));
	tcase_add_loop_test(t, every_answer_is_spoilt_in_turn, 0, ARRAY_SIZE(sweeps));
	tcase_add_loop_test(t, a_kill_at_any_call_can_be_cleared_up, 0, 2 * ARRAY_SIZE(sweeps));
	tcase_add_loop_test(t, hostile_files_stop_a_carve_before_it_changes_anything, 0, 2);
	suite_add_tcase(s, t);
	return suite_run(s);
}
