// SPDX-License-Identifier: GPL-2.0-or-later
/* Carving: what is in use, what goes away meanwhile, autoprobe, and what the kernel's refusals mean. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/explain.h"
#include "vf-manager/lease.h"

static char notes[4096];

static void on_note(void *arg, const char *text)
{
	size_t n = strlen(notes);

	snprintf(notes + n, sizeof(notes) - n, "%s\n", text);
}

static void setup(void)
{
	pci_kernel_init(&k);
	k.config.note = on_note;
	manager_make();
	*notes = '\0';
}

static pid_t lessee; /* a process that has a lease */

static void teardown(void)
{
	if (lessee > 0) {
		kill(lessee, SIGKILL);
		waitpid(lessee, NULL, 0);
		lessee = 0;
	}
	world_down();
}

/* --- in use --- */

static int lease_fd = -1;

static void use_vfio(void)
{
	ck_assert_int_eq(vfm_bind(v, vf1, "vfio-pci", 0, &e), 0);
	fake_hold(&k, 4242, "qemu\n", "/dev/vfio/11");
}

/* Leases are other processes': one's own does not stand in one's way. */
static void use_lease(void)
{
	int ready[2];
	char c;

	ck_assert_int_eq(pipe(ready), 0);
	lessee = fork();
	if (lessee == 0) {
		ck_assert_int_eq(vfm_lease_take(v, vf1, "vm7", 0, &lease_fd, &e), 0);
		ck_assert_int_eq(write(ready[1], "x", 1), 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
}

static void use_netdev_master(void)
{
	fake_puts(&k, DEV "0000:01:10.2/net/eth9/ifindex", "99\n");
	fake_puts(&k, DEV "0000:01:10.2/net/eth9/flags", "0x1003\n");
	fake_link(&k, "sys/devices/0000:01:10.2/net/eth9/master", "../../../br0");
}

/* The kernel takes nearly any name, and what is in use has to be found whatever it is called. */
static void use_odd_name(void)
{
	fake_puts(&k, DEV "0000:01:10.2/net/vf+0/ifindex", "99\n");
	fake_puts(&k, DEV "0000:01:10.2/net/vf+0/flags", "0x1003\n");
	fake_puts(&k, DEV "0000:01:10.2/net/vf+0/upper_a,b", "");
}

static void use_wild_name(void)
{
	fake_puts(&k, DEV "0000:01:10.2/net/vf\033\303\274/ifindex", "99\n");
	fake_link(&k, "sys/devices/0000:01:10.2/net/vf\033\303\274/master", "../../../b\033r");
}

static const struct {
	void (*use)(void);
	const char *says;
} uses[] = {
	{use_vfio, "open in VFIO by qemu (process 4242)"},
	{use_lease, "vm7"},
	{use_netdev_master, "br0"},
	{use_odd_name, "a,b is on its interface vf+0"},
	{use_wild_name, "its interface vf??? is in b?r"},
};

START_TEST(a_vf_in_use_is_not_destroyed_unless_forced)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	carve(2);
	uses[_i].use();
	before = fake_state(&k);
	for (unsigned n = 0; n < 4; n++) {
		if (n == 2)
			continue;
		k.knobs->writes = 0;
		ck_assert_int_eq(vfm_carve(v, pf, n, 0, NULL, &e), -EBUSY);
		assert_says("0000:01:10.2 is in use");
		assert_says(uses[_i].says);
		assert_says("--force");
		ck_assert_uint_eq(k.knobs->writes, 0);
		after = fake_state(&k);
		ck_assert_str_eq(before, after);
		free(after);
		after = NULL;
	}
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), 0);
	*notes = '\0';
	ck_assert_msg(vfm_carve(v, pf, 0, VFM_CARVE_FORCE, NULL, &e) == 0, "%s", e.text);
	ck_assert_msg(strstr(notes, uses[_i].says) && strstr(notes, "forced"), "%s", notes);
	/* Once. */
	ck_assert_ptr_null(strstr(strstr(notes, "forced") + 1, "forced"));
	ck_assert(!exists(DEV "0000:01:10.2"));
}
END_TEST

START_TEST(force_says_what_each_of_several_loses)
{
	carve(3);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	fake_hold(&k, 77, "vmm\n", "/dev/vfio/10");
	use_vfio();
	ck_assert_int_eq(vfm_carve(v, pf, 1, 0, NULL, &e), -EBUSY);
	assert_says("1 more of its VFs");
	*notes = '\0';
	ck_assert_int_eq(vfm_carve(v, pf, 1, VFM_CARVE_FORCE, NULL, &e), 0);
	ck_assert_msg(strstr(notes, "vmm") && strstr(notes, "qemu"), "%s", notes);
}
END_TEST

/* --- the PF goes away --- */

START_TEST(a_pf_pulled_out_while_it_is_carved_is_said_so)
{
	const struct {
		unsigned from, to;
	} ways[] = {{0, 2}, {2, 0}, {2, 3}};

	if (ways[_i].from)
		carve(ways[_i].from);
	k.knobs->vanish_at_numvfs = true;
	ck_assert_int_eq(vfm_carve(v, pf, ways[_i].to, 0, NULL, &e), -ENODEV);
	assert_says("carve 0000:01:00.0: ");
	assert_says("pulled out");
	ck_assert(!strstr(e.text, "not undone"));
	/* Whatever is plugged in there next has no records of this one. */
	ck_assert(!exists("run/vf/0000:01:00.0.autoprobe"));
	ck_assert(!exists("run/vf/0000:01:10.0.driver"));
}
END_TEST

/* --- drivers --- */

START_TEST(a_pf_without_its_driver_is_explained)
{
	carve(2);
	fake_remove(&k, "sys/devices/0000:01:00.0/driver");
	ck_assert_int_eq(vfm_carve(v, pf, 3, 0, NULL, &e), -ENOTSUP);
	assert_says("it has no driver");
	/* What there is stays, and asking for it is no change. */
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), 0);
	fake_link(&k, "sys/devices/0000:01:00.0/driver", "../../bus/pci/drivers/vfio-pci");
	ck_assert_int_eq(vfm_carve(v, pf, 0, 0, NULL, &e), -ENOENT);
	assert_says("enable_sriov=1");
}
END_TEST

START_TEST(autoprobe_gives_new_vfs_to_the_host)
{
	struct vfm_function f;

	fake_puts(&k, DEV "0000:01:00.0/sriov_drivers_autoprobe", _i ? "0\n" : "1\n");
	ck_assert_int_eq(vfm_carve(v, pf, 2, VFM_CARVE_AUTOPROBE, NULL, &e), 0);
	ck_assert(k.knobs->autoprobe_at_carve);
	ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
	ck_assert_str_eq(f.driver, "igbvf");
	ck_assert_int_eq(vfm_show(v, pf, &f, &e), 0);
	ck_assert_int_eq(f.autoprobe, !_i);
	ck_assert(!exists("run/vf/0000:01:00.0.autoprobe"));
}
END_TEST

START_TEST(an_interrupted_carve_with_autoprobe_is_put_right)
{
	fake_puts(&k, DEV "0000:01:00.0/sriov_drivers_autoprobe", "0\n");
	k.knobs->calls = 0;
	k.knobs->kill_at = 3; /* up, autoprobe, numvfs */
	if (fork() == 0) {
		k.knobs->kill_pid = getpid();
		vfm_carve(v, pf, 2, VFM_CARVE_AUTOPROBE, NULL, &e);
		_exit(0);
	}
	while (k.knobs->calls < 3)
		usleep(1000);
	k.knobs->kill_at = 0;
	ck_assert(exists("run/vf/0000:01:00.0.autoprobe"));
	carve(1);
	ck_assert_msg(strstr(notes, "had left sriov_drivers_autoprobe on: off again"), "%s", notes);
	ck_assert(!k.knobs->autoprobe_at_carve);
	ck_assert(!exists("run/vf/0000:01:00.0.autoprobe"));
}
END_TEST

/* --- where time goes --- */

START_TEST(phases_add_up)
{
	struct vfm_carve_result r;

	carve(2);
	k.knobs->links_delay_ms = 40;
	ck_assert_int_eq(vfm_carve(v, pf, 3, 0, &r, &e), 0);
	ck_assert(r.changed && r.before == 2 && r.after == 3);
	ck_assert_uint_ge(r.gone_us, 30000);
	ck_assert_uint_ge(r.links_us, 30000);
	ck_assert_uint_gt(r.make_us, 0);
	ck_assert_uint_gt(r.destroy_us, 0);
	ck_assert_uint_ge(r.total_us, r.check_us + r.up_us + r.destroy_us + r.gone_us + r.make_us +
					      r.links_us + r.carrier_us);
	ck_assert_uint_ge(
		r.ready_ms, (r.destroy_us + r.gone_us + r.make_us + r.links_us) / 1000 - 1);
	ck_assert_int_eq(vfm_carve(v, pf, 3, 0, &r, &e), 0);
	ck_assert(!r.changed && r.make_us == 0 && r.destroy_us == 0);
}
END_TEST

/* A first carve: one link up, two autoprobe writes, one number; one process reads, one writes. */
START_TEST(a_carve_makes_no_call_in_vain)
{
	k.knobs->calls = 0;
	carve(7);
	ck_assert_uint_eq(k.knobs->calls, 4);
	ck_assert_uint_eq(k.knobs->writes, 3);
}
END_TEST

/* --- what refusals mean --- */

static const struct {
	enum vfm_where where;
	int code;
	const char *klog, *id, *says;
} rows[] = {
	{VFM_AT_NUMVFS, ENOMEM, "not enough MMIO resources for SR-IOV", "numvfs-no-mmio",
		"pci=realloc"},
	{VFM_AT_NUMVFS, ENOMEM, "SR-IOV: IOV BARS not allocated", "numvfs-bars-not-allocated",
		"above-4G"},
	{VFM_AT_NUMVFS, ENOMEM, "can't enable 63 VFs (bus 04 out of range of [bus 03])",
		"numvfs-bus-range", "ARI"},
	{VFM_AT_NUMVFS, ENOMEM, "SR-IOV: bus number out of range", "numvfs-bus-range",
		"pci=assign-busses"},
	{VFM_AT_NUMVFS, ENOMEM, NULL, "numvfs-no-memory", "pci=realloc"},
	{VFM_AT_NUMVFS, EBUSY, NULL, "numvfs-busy", "another tool"},
	{VFM_AT_NUMVFS, EPERM, NULL, "numvfs-refused", "MSI-X"},
	{VFM_AT_NUMVFS, ENOENT, NULL, "numvfs-driver-cannot", "enable_sriov=1"},
	{VFM_AT_NUMVFS, ENOENT, "no driver bound to device; cannot configure SR-IOV",
		"numvfs-no-driver", "no driver"},
	{VFM_AT_NUMVFS, ERANGE, NULL, "numvfs-too-many", "more VFs"},
	{VFM_AT_NUMVFS, EIO, NULL, "numvfs-broken", "broken"},
	{VFM_AT_NUMVFS, ENODEV, NULL, "numvfs-no-pf", "not an SR-IOV PF"},
	{VFM_AT_NUMVFS, ENOSPC, "4 VFs requested; only 2 enabled", "numvfs-short", "fewer"},
	{VFM_AT_NUMVFS, ETIMEDOUT, "Relaying device request to user (#3)", "numvfs-held",
		"end that guest"},
	{VFM_AT_NUMVFS, ETIMEDOUT,
		"No device request channel registered, blocked until released by user",
		"numvfs-held-unasked", "end that guest"},
	{VFM_AT_NUMVFS, ETIMEDOUT, NULL, "numvfs-held", "open in VFIO"},
	{VFM_AT_VFIO_OPEN, EPERM,
		"vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module "
		"param",
		"vfio-no-irq-remapping", "allow_unsafe_interrupts"},
	{VFM_AT_VFIO_OPEN, EPERM,
		"Device is ineligible for IOMMU domain attach due to platform RMRR requirement.",
		"vfio-rmrr", "firmware"},
	{VFM_AT_VFIO_OPEN, EINVAL,
		"Firmware has requested this device have a 1:1 IOMMU mapping, rejecting "
		"configuring",
		"vfio-direct-mapping", "firmware"},
	{VFM_AT_PROBE, EINVAL, NULL, "probe-no-iommu", "intel_iommu=on"},
	{VFM_AT_VFIO_DEVICE, EACCES, "VF token required to access device", "vfio-token-required",
		"token"},
	{VFM_AT_VFIO_DEVICE, EACCES, "Incorrect VF token provided for device", "vfio-token-wrong",
		"token"},
	{VFM_AT_VFIO_DEVICE, EINVAL, "VF token incorrectly provided, PF not bound to vfio-pci",
		"vfio-token-unwanted", "leave the token out"},
	{VFM_AT_VFIO_DEVICE, EAGAIN, NULL, "vfio-reset-contended", "again"},
	{VFM_AT_ATTACH, EBUSY, NULL, "attach-busy", "isolate"},
	{VFM_AT_RTNETLINK, EOPNOTSUPP, NULL, "rtnetlink-unsupported", "driver cannot"},
	{VFM_AT_RTNETLINK, EINVAL, NULL, "rtnetlink-invalid", "PF is down"},
	{VFM_AT_RTNETLINK, EPROTONOSUPPORT, NULL, "rtnetlink-protocol", "802.1q"},
	{VFM_AT_RTNETLINK, EPERM, NULL, "rtnetlink-permission", "CAP_NET_ADMIN"},
	{VFM_AT_DEVLINK, EOPNOTSUPP, NULL, "devlink-unsupported", "driver cannot"},
	{VFM_AT_NUMVFS, EACCES, NULL, "not-root", "run as root"},
	{VFM_AT_OVERRIDE, EROFS, NULL, "read-only", "container"},
};

START_TEST(every_row_of_the_table_is_found)
{
	const struct vfm_cause *c = vfm_explain(rows[_i].where, rows[_i].code, rows[_i].klog);

	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->id, rows[_i].id);
	ck_assert_msg(strstr(c->text, rows[_i].says) != NULL, "%s", c->text);
	if (!rows[_i].klog)
		return;
	c = vfm_explain_line(rows[_i].klog);
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->id, rows[_i].id);
}
END_TEST

START_TEST(lines_that_are_about_something_else_are_left_alone)
{
	static const char *const lines[] = {"", "igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Up",
		"index out of range", "pci 0000:01:00.0: VF BAR 0 [mem 0xfe000000]: assigned"};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		ck_assert_ptr_null(vfm_explain_line(lines[i]));
	ck_assert_ptr_null(vfm_explain(VFM_AT_NUMVFS, ENOTTY, "whatever"));
}
END_TEST

START_TEST(every_cause_has_an_id_and_a_remedy)
{
	const struct vfm_cause *c;

	for (size_t i = 0; (c = vfm_cause_at(i)); i++) {
		ck_assert_uint_eq(strspn(c->id, "abcdefghijklmnopqrstuvwxyz-"), strlen(c->id));
		ck_assert(*c->cause && *c->fix);
		ck_assert(strstr(c->text, c->cause) && strstr(c->text, c->fix));
	}
}
END_TEST

/* The kernel's errno alone does not tell these apart; its log does. */
START_TEST(the_kernels_log_makes_the_difference)
{
	static const struct {
		int code;
		const char *log, *says;
	} cases[] = {
		{ENOMEM, "not enough MMIO resources for SR-IOV", "above-4G decoding"},
		{ENOMEM, "can't enable 2 VFs (bus 02 out of range of [bus 01])", "turn on ARI"},
		{ENOENT, "no driver bound to device; cannot configure SR-IOV", "no driver that"},
	};

	k.knobs->calls = 0;
	k.knobs->fail_at = 3; /* up, autoprobe, numvfs */
	k.knobs->fail_code = cases[_i].code;
	k.knobs->log = cases[_i].log;
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), -cases[_i].code);
	assert_says(cases[_i].says);
	assert_says("kernel log: igb 0000:01:00.0: ");
	assert_says(cases[_i].log);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-carve");
	TCase *t = tcase_create("carve");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_vf_in_use_is_not_destroyed_unless_forced, 0, ARRAY_SIZE(uses));
	tcase_add_test(t, force_says_what_each_of_several_loses);
	tcase_add_loop_test(t, a_pf_pulled_out_while_it_is_carved_is_said_so, 0, 3);
	tcase_add_test(t, a_pf_without_its_driver_is_explained);
	tcase_add_loop_test(t, autoprobe_gives_new_vfs_to_the_host, 0, 2);
	tcase_add_test(t, an_interrupted_carve_with_autoprobe_is_put_right);
	tcase_add_test(t, phases_add_up);
	tcase_add_test(t, a_carve_makes_no_call_in_vain);
	tcase_add_loop_test(t, every_row_of_the_table_is_found, 0, ARRAY_SIZE(rows));
	tcase_add_test(t, lines_that_are_about_something_else_are_left_alone);
	tcase_add_test(t, every_cause_has_an_id_and_a_remedy);
	tcase_add_loop_test(t, the_kernels_log_makes_the_difference, 0, 3);
	suite_add_tcase(s, t);
	return suite_run(s);
}
