// SPDX-License-Identifier: GPL-2.0-or-later
/* Pools: which PF is in one, and who gets which VF. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/lease.h"
#include "vf-manager/pool.h"

static struct bdf a, b; /* two PFs of 2 VFs */

static void setup(void)
{
	pci_kernel_init(&k);
	fake_pf_add(&k, &fake_igb_domain1);
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	a = fake_igb.bdf;
	b = fake_igb_domain1.bdf;
	ck_assert_int_eq(vfm_carve(v, a, 2, 0, NULL, NULL), 0);
	ck_assert_int_eq(vfm_carve(v, b, 2, 0, NULL, NULL), 0);
	ck_assert_int_eq(vfm_pool_set(v, a, "fast", NULL), 0);
	ck_assert_int_eq(vfm_pool_set(v, b, "fast", NULL), 0);
	e = (struct err){0};
}

static struct bdf take(enum vfm_numa numa, int *ret_fd)
{
	struct bdf vf = {0};

	*ret_fd = -1;
	ck_assert_msg(vfm_pool_take(v, "fast", numa, "vm", &vf, ret_fd, &e) == 0, "%s", e.text);
	ck_assert_int_ge(*ret_fd, 0);
	return vf;
}

static void node(const struct fake_pf *port, const char *text)
{
	for (unsigned i = 0; i < 2; i++) {
		char path[128], name[BDF_STRLEN];

		snprintf(path, sizeof(path), DEV "%s/numa_node",
			bdf_format(fake_vf_bdf(port, i), name));
		fake_puts(&k, path, text);
	}
}

/* Node @near has all CPUs, the other one that no machine has. */
static void nodes(int near)
{
	fake_puts(&k, "sys/devices/system/node/node0/cpulist", near == 0 ? "0-8191\n" : "9000\n");
	fake_puts(&k, "sys/devices/system/node/node1/cpulist", near == 1 ? "0-8191\n" : "\n");
}

START_TEST(a_pf_is_in_one_pool_until_it_is_another_pf)
{
	_cleanup_free_ struct bdf *m = NULL, *n = NULL, *o = NULL;
	char name[VFM_NAME_MAX];

	ck_assert_int_eq(vfm_pool_members(v, "fast", &m, &e), 2);
	ck_assert(bdf_equal(m[0], a) && bdf_equal(m[1], b));
	ck_assert_int_eq(vfm_pool_set(v, b, "slow", &e), 0);
	vfm_pool_get(v, b, name);
	ck_assert_str_eq(name, "slow");
	ck_assert_int_eq(vfm_pool_members(v, "fast", &n, &e), 1);
	ck_assert_int_eq(vfm_pool_set(v, b, "", &e), 0);
	vfm_pool_get(v, b, name);
	ck_assert_str_eq(name, "");
	vfm_destroy(v);
	fake_puts(&k, "proc/sys/kernel/random/boot_id", "boot-two\n");
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_int_eq(vfm_pool_members(v, "fast", &o, &e), 0);
}
END_TEST

START_TEST(a_pool_that_is_as_wanted_is_not_written_again)
{
	char path[128];
	struct stat before, after;

	snprintf(path, sizeof(path), "%s/run/vf/0000:01:00.0.pool", k.root);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(vfm_pool_set(v, a, "fast", &e), 0);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(vfm_pool_set(v, a, "a b", &e), -EINVAL);
	ck_assert_int_eq(vfm_pool_set(v, (struct bdf){0, 9, 0, 0}, "x", &e), -ENODEV);
}
END_TEST

START_TEST(vfs_are_taken_from_the_pf_with_the_fewest_used)
{
	int fd[4], extra = -1;
	struct bdf vf, seen[4];

	for (int i = 0; i < 4; i++) {
		seen[i] = take(VFM_NUMA_ANY, &fd[i]);
		ck_assert_int_eq(seen[i].domain, i % 2 ? b.domain : a.domain);
		for (int j = 0; j < i; j++)
			ck_assert(!bdf_equal(seen[i], seen[j]));
	}
	ck_assert_int_eq(vfm_pool_take(v, "fast", VFM_NUMA_ANY, "late", &vf, &extra, &e), -EBUSY);
	assert_says("none of its 4 VFs is free");
	ck_assert_int_eq(extra, -1);
	vfm_lease_drop(v, seen[2], &fd[2]);
	vf = take(VFM_NUMA_ANY, &fd[2]);
	ck_assert(bdf_equal(vf, seen[2]));
}
END_TEST

START_TEST(a_vf_in_use_is_not_taken_and_counts_as_used)
{
	struct bdf a0 = fake_vf_bdf(&fake_igb, 0), vf;
	int fd[3];

	/* Nobody leased it, but a process has it open. */
	ck_assert_int_eq(vfm_bind(v, a0, "vfio-pci", 0, &e), 0);
	fake_hold(&k, 4242, "qemu\n", "/dev/vfio/10");
	for (int i = 0; i < 3; i++) {
		vf = take(VFM_NUMA_ANY, &fd[i]);
		ck_assert(!bdf_equal(vf, a0));
		if (i == 0)
			ck_assert_int_eq(vf.domain, b.domain);
	}
	ck_assert_int_eq(vfm_pool_take(v, "fast", VFM_NUMA_ANY, "late", &vf, fd, &e), -EBUSY);
	assert_says("qemu (process 4242)");
}
END_TEST

START_TEST(a_pool_without_pfs_or_vfs_says_what_to_do)
{
	struct bdf vf;
	int fd;

	ck_assert_int_eq(vfm_pool_take(v, "none", VFM_NUMA_ANY, "x", &vf, &fd, &e), -ENOENT);
	assert_says("'viaduct vf apply'");
	ck_assert_int_eq(vfm_pool_take(v, "../x", VFM_NUMA_ANY, "x", &vf, &fd, &e), -EINVAL);
	ck_assert_int_eq(vfm_pool_take(v, "fast", VFM_NUMA_ANY, "a b", &vf, &fd, &e), -EINVAL);
	ck_assert_int_eq(vfm_carve(v, a, 0, 0, NULL, &e), 0);
	ck_assert_int_eq(vfm_carve(v, b, 0, 0, NULL, &e), 0);
	ck_assert_int_eq(vfm_pool_take(v, "fast", VFM_NUMA_ANY, "x", &vf, &fd, &e), -ENODEV);
	assert_says("has a VF");
}
END_TEST

/* All CPUs are on one node: prefer takes its VFs first, then the others; strict only those. */
START_TEST(numa_is_preferred_or_strict)
{
	int near = _i, fd[4], extra;
	unsigned want = near ? b.domain : a.domain;
	struct bdf vf;

	nodes(near);
	node(&fake_igb, "0\n");
	node(&fake_igb_domain1, "1\n");
	ck_assert_int_eq(take(VFM_NUMA_PREFER, &fd[0]).domain, want);
	ck_assert_int_eq(take(VFM_NUMA_STRICT, &fd[1]).domain, want);
	ck_assert_int_eq(vfm_pool_take(v, "fast", VFM_NUMA_STRICT, "x", &vf, &extra, &e), -EBUSY);
	assert_says(near ? "on NUMA node 1 is free" : "on NUMA node 0 is free");
	ck_assert_int_ne(take(VFM_NUMA_PREFER, &fd[2]).domain, want);
	node(near ? &fake_igb_domain1 : &fake_igb, "-1\n");
	ck_assert_int_eq(vfm_pool_take(v, "fast", VFM_NUMA_STRICT, "x", &vf, &extra, &e), -ENODEV);
	assert_says("numa=prefer takes another");
}
END_TEST

/* One node, or a machine that does not say: nothing is far. */
START_TEST(numa_of_a_machine_without_nodes_is_no_matter)
{
	int fd[4];

	node(&fake_igb, "7\n");
	for (int i = 0; i < 2; i++)
		take(VFM_NUMA_STRICT, &fd[i]);
	fake_puts(&k, "sys/devices/system/node/node0/cpulist", "0-3\n");
	for (int i = 2; i < 4; i++)
		take(VFM_NUMA_STRICT, &fd[i]);
}
END_TEST

START_TEST(numa_survives_hostile_lists)
{
	static const char *const text[] = {
		"", "\n", "0-99999999999999999999", "-1", "1,,2", "a", "0-", "3-1", "\xff\n"};
	int fd;

	fake_puts(&k, "sys/devices/system/node/node1/cpulist", text[_i]);
	fake_puts(&k, "sys/devices/system/node/node0/cpulist", text[_i]);
	fake_puts(&k, "sys/devices/system/node/node99999999999/cpulist", text[_i]);
	take(VFM_NUMA_PREFER, &fd);
	close(fd);
}
END_TEST

/*
 * As many starters as there are VFs take one and let it go, 200 times each: there is always one free
 * for whoever asks, and never do two have the same.
 */
enum { ROUNDS = 200, STARTERS = 2 };

static int starter(int busy)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct err why = {0};
		struct bdf vf;
		int fd = -1;
		char mark = 0, set = 1, clear = 0;
		off_t at;

		if (vfm_pool_take(v, "fast", VFM_NUMA_PREFER, "starter", &vf, &fd, &why) < 0) {
			fprintf(stderr, "round %d: %s\n", i, why.text);
			return 2;
		}
		/* A byte for each VF: ours alone while we have it. */
		at = (off_t)vf.domain * 65536 + bdf_rid(vf);
		if (pread(busy, &mark, 1, at) == 1 && mark)
			return 3;
		if (pwrite(busy, &set, 1, at) != 1)
			return 4;
		sched_yield();
		if (pwrite(busy, &clear, 1, at) != 1)
			return 4;
		if (i % 2)
			vfm_lease_drop(v, vf, &fd);
		else
			close(fd);
	}
	return 0;
}

START_TEST(two_starters_never_get_the_same_vf_and_never_none)
{
	char path[128];
	pid_t pid[STARTERS];
	int status, busy;

	/* Two VFs in all. */
	ck_assert_int_eq(vfm_carve(v, a, 1, 0, NULL, NULL), 0);
	ck_assert_int_eq(vfm_carve(v, b, 1, 0, NULL, NULL), 0);
	snprintf(path, sizeof(path), "%s/busy", k.root);
	busy = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_ge(busy, 0);
	for (int i = 0; i < STARTERS; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(starter(busy));
	}
	for (int i = 0; i < STARTERS; i++) {
		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert_int_eq(status, 0);
	}
	close(busy);
}
END_TEST

/* What a starter that is killed had is free at once. */
START_TEST(a_killed_starter_leaves_its_vf_free)
{
	ck_assert_int_eq(vfm_carve(v, a, 1, 0, NULL, NULL), 0);
	ck_assert_int_eq(vfm_pool_set(v, b, "", NULL), 0);
	for (int i = 0; i < 20; i++) {
		int p[2], fd;
		pid_t pid;
		char c;

		ck_assert_int_eq(pipe(p), 0);
		pid = fork();
		if (pid == 0) {
			struct bdf vf;

			if (vfm_pool_take(v, "fast", VFM_NUMA_ANY, "dies", &vf, &fd, NULL) == 0)
				(void)!write(p[1], "x", 1);
			pause();
		}
		ck_assert_int_eq(read(p[0], &c, 1), 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(p[0]);
		close(p[1]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *t = tcase_create("pool");

	tcase_add_checked_fixture(t, setup, world_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_pf_is_in_one_pool_until_it_is_another_pf);
	tcase_add_test(t, a_pool_that_is_as_wanted_is_not_written_again);
	tcase_add_test(t, vfs_are_taken_from_the_pf_with_the_fewest_used);
	tcase_add_test(t, a_vf_in_use_is_not_taken_and_counts_as_used);
	tcase_add_test(t, a_pool_without_pfs_or_vfs_says_what_to_do);
	tcase_add_loop_test(t, numa_is_preferred_or_strict, 0, 2);
	tcase_add_test(t, numa_of_a_machine_without_nodes_is_no_matter);
	tcase_add_loop_test(t, numa_survives_hostile_lists, 0, 9);
	tcase_add_test(t, two_starters_never_get_the_same_vf_and_never_none);
	tcase_add_test(t, a_killed_starter_leaves_its_vf_free);
	suite_add_tcase(s, t);

	return suite_run(s);
}
