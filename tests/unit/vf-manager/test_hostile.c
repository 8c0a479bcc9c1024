// SPDX-License-Identifier: GPL-2.0-or-later
/* The inventory on files that lie, break off, or vanish while they are read. */
#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/topologies/topology.h"
#include "vf-manager/caps.h"
#include "vf-manager/select.h"

#define DEV "sys/bus/pci/devices/"
#define PF  DEV "0000:09:00.0/"
#define VF  DEV "0000:09:10.2/"

static struct topology t;
static struct vfm *v;

static void setup(void)
{
	topology_load(&t, "x58-82576");
	ck_assert_int_eq(
		vfm_create(&(struct vfm_config){.root = t.root, .run_dir = t.run_dir}, &v, NULL),
		0);
}

static void teardown(void)
{
	vfm_destroy(v);
	topology_finish(&t);
}

static char *at(const char *path)
{
	static char buf[512];

	snprintf(buf, sizeof(buf), "%s/%s", t.root, path);
	return buf;
}

static void put(const char *path, const void *data, size_t len)
{
	int fd;

	unlink(at(path));
	fd = open(at(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	/* Where a directory of that name is missing, there is nothing to lie about. */
	if (fd < 0)
		return;
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static void assert_text(const char *s, size_t size)
{
	ck_assert_uint_lt(strnlen(s, size), size);
	for (; *s; s++)
		ck_assert_msg(isprint((unsigned char)*s), "byte %#x", (unsigned char)*s);
}

#define TEXT(field) assert_text(field, sizeof(field))

static void function_check(const struct vfm_function *f)
{
	TEXT(f->driver);
	TEXT(f->driver_override);
	TEXT(f->netdev);
	TEXT(f->link);
	TEXT(f->vfio_cdev);
	TEXT(f->original_driver);
	TEXT(f->holder.comm);
	ck_assert_uint_lt(strnlen(f->name, sizeof(f->name)), sizeof(f->name));
	ck_assert(f->kind == VFM_PF || f->kind == VFM_VF || f->kind == VFM_OTHER);
	ck_assert_int_ge(f->iommu_group, -1);
	ck_assert_int_ge(f->numa_node, -1);
	ck_assert_int_ge(f->ifindex, 0);
	ck_assert_int_ge(f->index, -1);
	ck_assert(f->autoprobe >= -1 && f->autoprobe <= 1);
	ck_assert_uint_le(f->total_vfs, 65535);
	ck_assert_uint_le(f->class, 0xffffff);
}

static void caps_check(struct bdf b)
{
	struct vfm_caps c;
	struct bdf vf;

	if (vfm_caps(v, b, &c, NULL) < 0)
		return;
	TEXT(c.resets);
	ck_assert_int_ge(c.vf_total_msix, -1);
	ck_assert_int_ge(c.vf_msix_count, -1);
	ck_assert_uint_le(c.msix, 2048);
	for (unsigned i = 0; i < 3; i++)
		vfm_predict(v, b, i * 40000, &vf, NULL);
}

/* Everything that `list` and `show` ask. */
static void inventory_take(void)
{
	_cleanup_free_ struct vfm_function *all = NULL;
	int n = vfm_list(v, VFM_LIST_ALL | VFM_LIST_QUICK, &all, NULL);

	for (int i = 0; i < n; i++) {
		_cleanup_free_ struct vfm_settings *settings = NULL;
		_cleanup_free_ struct vfm_function *vfs = NULL;
		_cleanup_free_ char(*selectors)[VFM_SELECTOR_MAX] = NULL;
		struct vfm_function one;
		int vf_count, count;

		function_check(&all[i]);
		caps_check(all[i].bdf);
		if (vfm_show(v, all[i].bdf, &one, NULL) == 0)
			function_check(&one);
		vf_count = vfm_list_pf(v, all[i].bdf, &vfs, &settings, NULL);
		for (int j = 0; j < vf_count; j++)
			function_check(&vfs[j]);
		count = vfm_selectors(v, all[i].bdf, &selectors);
		for (int j = 0; j < count; j++) {
			assert_text(selectors[j], VFM_SELECTOR_MAX);
			ck_assert_int_eq(vfm_selector_check(selectors[j], NULL), 0);
		}
	}
}

static const char *const files[] = {PF "vendor", PF "device", PF "class", PF "driver_override",
	PF "numa_node", PF "sriov_totalvfs", PF "sriov_numvfs", PF "sriov_offset",
	PF "sriov_stride", PF "sriov_vf_device", PF "sriov_vf_total_msix",
	PF "sriov_drivers_autoprobe", PF "reset_method", PF "config", PF "net/eth0/ifindex",
	PF "net/eth0/operstate", PF "net/eth0/flags", PF "net/eth0/address",
	PF "net/eth0/addr_assign_type", PF "net/eth0/phys_port_name", VF "vendor", VF "class",
	VF "numa_node", VF "sriov_vf_msix_count", VF "config"};

/* Long, binary, without a newline, not a number, or no file at all. */
START_TEST(inventory_survives_hostile_text)
{
	static char big[70000], page[4096], path[64];
	static const struct {
		const char *data;
		size_t len;
	} text[] = {{"", 0}, {"\n", 1}, {"\n\n\n", 3}, {"\0\0\0\0", 4}, {"1\0002", 3},
		{"\xff\xfe\x1b[2J\x9b", 7}, {"-1", 2}, {"+1\n", 3}, {" 1\n", 3}, {"0x", 2},
		{"0x1g\n", 5}, {"65536\n", 6}, {"4294967296\n", 11},
		{"99999999999999999999999", 23}, {"1 2\n", 4}, {"7", 1}, {big, sizeof(big)},
		{page, sizeof(page)}, {page, 4095}, {page, 63}, {page, 64}, {page, 65}};

	memset(big, 'A', sizeof(big));
	memset(page, '9', sizeof(page));
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		put(files[_i], text[i].data, text[i].len);
		inventory_take();
	}
	snprintf(path, sizeof(path), "%s", files[_i]);
	unlink(at(path));
	inventory_take();
	if (mkdir(at(path), 0755) == 0)
		inventory_take();
	rmdir(at(path));
	ck_assert(symlink(path, at(path)) == 0 || errno == ENOENT);
	inventory_take();
}
END_TEST

static const struct {
	const char *link, *target;
} links[] = {
	{PF "driver", "a\033[2J"},
	{PF "driver", "../../../../../../.."},
	{PF "driver", "x/"},
	{PF "iommu_group", "../../x/99999999999"},
	{PF "iommu_group", "../../x/-3"},
	{PF "iommu_group", "../../x/7seven"},
	{PF "virtfn0", "../../../etc/passwd"},
	{PF "virtfn0", "../0000:09:00.0"},
	{PF "virtfn1", "../0000:09:10.0"},
	{PF "virtfn99999999999", "../0000:09:10.0"},
	{PF "virtfn3", "../0000:7f:1f.7"},
	{VF "physfn", "../0000:09:10.2"},
	{VF "physfn", "nowhere"},
	{VF "physfn", "../0000:09:10.4"},
	{PF "physfn", "../0000:09:00.0"},
	{DEV "0000:09:00.0", "0000:09:00.0"},
	{DEV "0000:09:00.0", "/"},
	{DEV "zz:zz.z", "../../../devices"},
	{DEV "0000:ff:1f.7", "../../../devices/nowhere"},
	{PF "net", "../../../../../.."},
};

START_TEST(inventory_survives_hostile_links)
{
	char path[128];

	snprintf(path, sizeof(path), "%s", links[_i].link);
	/* A directory stays where it is: the link then goes into it, which is as odd. */
	unlink(at(path));
	ck_assert(symlink(links[_i].target, at(path)) == 0 || errno == EEXIST);
	inventory_take();
}
END_TEST

/* A process's name and what it has open are its own to choose. */
START_TEST(inventory_survives_hostile_processes)
{
	char path[64];

	mkdir(at("dev/vfio"), 0755);
	put("dev/vfio/3", "", 0);
	for (int pid = 1; pid < 6; pid++) {
		snprintf(path, sizeof(path), "proc/%d", pid);
		mkdir(at(path), 0755);
		snprintf(path, sizeof(path), "proc/%d/fd", pid);
		mkdir(at(path), 0755);
		snprintf(path, sizeof(path), "proc/%d/fd/%d", pid, pid);
		ck_assert_int_eq(symlink("/dev/vfio/3", at(path)), 0);
		snprintf(path, sizeof(path), "proc/%d/comm", pid);
		put(path, "\033[2J\0\xff very long name of a process that has none", pid * 9);
	}
	mkdir(at("proc/99999999999999999999"), 0755);
	put("proc/7", "", 0);
	inventory_take();
}
END_TEST

/* What a carve of another tool does to us, as often as it can. */
START_TEST(inventory_survives_functions_that_come_and_go)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char link[512], away[600], net[512], gone[600];

		snprintf(link, sizeof(link), "%s/" DEV "0000:09:10.2", t.root);
		snprintf(away, sizeof(away), "%s.away", link);
		snprintf(net, sizeof(net), "%s/" PF "net", t.root);
		snprintf(gone, sizeof(gone), "%s.gone", net);
		for (;;) {
			rename(link, away);
			rename(net, gone);
			rename(away, link);
			rename(gone, net);
		}
	}
	for (int i = 0; i < 50; i++)
		inventory_take();
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* Config space that cannot be what it says never makes a PF of what is none, nor takes one away. */
START_TEST(capabilities_do_not_follow_a_config_that_lies)
{
	uint8_t config[4096];
	struct vfm_caps c;
	static const struct bdf port = {0, 0, 1, 0}, pf = {0, 9, 0, 0};

	memset(config, 0xff, sizeof(config));
	put(DEV "0000:00:01.0/config", config, sizeof(config));
	put(PF "config", config, 300);
	ck_assert_int_eq(vfm_caps(v, port, &c, NULL), 0);
	ck_assert_int_eq(c.sriov, VFM_UNKNOWN);
	ck_assert_int_eq(c.acs, VFM_UNKNOWN);
	/* sysfs still says so. */
	ck_assert_int_eq(vfm_caps(v, pf, &c, NULL), 0);
	ck_assert_int_eq(c.sriov, VFM_YES);
	ck_assert_int_eq(c.ari, VFM_UNKNOWN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-hostile");
	TCase *tc = tcase_create("hostile");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, inventory_survives_hostile_text, 0, ARRAY_SIZE(files));
	tcase_add_loop_test(tc, inventory_survives_hostile_links, 0, ARRAY_SIZE(links));
	tcase_add_test(tc, inventory_survives_hostile_processes);
	tcase_add_test(tc, inventory_survives_functions_that_come_and_go);
	tcase_add_test(tc, capabilities_do_not_follow_a_config_that_lies);
	return suite_run(s);
}
