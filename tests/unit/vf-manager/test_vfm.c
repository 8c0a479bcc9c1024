// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"

static const struct bdf plain = {0, 2, 0, 0};

/* Start over with this deadline. */
static void set_timeout(unsigned ms)
{
	vfm_destroy(v);
	k.config.timeout_ms = ms;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
}

static unsigned ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

/* --- inventory --- */

START_TEST(list_shows_a_pf_and_then_its_vfs)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 0xaa};

	carve(2);
	ck_assert_int_eq(vfm_set_mac(v, vf1, mac, NULL), 0);
	ck_assert_int_eq(vfm_bind(v, vf1, "vfio-pci", 0, NULL), 0);
	fake_hold(&k, 4242, "some guest\n", "/dev/vfio/11");
	ck_assert_int_eq(vfm_list(v, 0, &f, &e), 3);
	ck_assert_int_eq(f[0].kind, VFM_PF);
	ck_assert_uint_eq(f[0].num_vfs, 2);
	ck_assert_uint_eq(f[0].total_vfs, FAKE_TOTAL);
	ck_assert_str_eq(f[0].netdev, "eth0");
	ck_assert_str_eq(f[0].link, "up");
	ck_assert_int_eq(f[0].mac[0], 0x52);
	ck_assert_int_eq(f[0].numa_node, -1);
	ck_assert_int_eq(f[1].index, 0);
	ck_assert(bdf_equal(f[2].bdf, vf1) && bdf_equal(f[2].pf, pf));
	ck_assert_int_eq(f[2].index, 1);
	ck_assert_int_eq(f[2].iommu_group, 11);
	ck_assert_str_eq(f[2].driver, "vfio-pci");
	ck_assert(f[2].taken && !*f[2].original_driver);
	ck_assert_mem_eq(f[2].mac, mac, 6);
	ck_assert_int_eq(f[2].holder.pid, 4242);
	ck_assert_str_eq(f[2].holder.comm, "some guest");
	ck_assert_int_eq(f[1].holder.pid, 0);
}
END_TEST

START_TEST(list_all_leaves_bridges_out)
{
	_cleanup_free_ struct vfm_function *f = NULL;

	ck_assert_int_eq(vfm_list(v, VFM_LIST_ALL, &f, &e), 2);
	ck_assert(bdf_equal(f[0].bdf, pf) && bdf_equal(f[1].bdf, plain));
}
END_TEST

/* Reading sriov_numvfs can wait for a carve that never ends: the list must not depend on it. */
START_TEST(list_counts_links_not_numvfs)
{
	_cleanup_free_ struct vfm_function *f = NULL;

	carve(2);
	fake_puts(&k, DEV "0000:01:00.0/sriov_numvfs", "nonsense");
	ck_assert_int_eq(vfm_list(v, 0, &f, &e), 3);
	ck_assert_uint_eq(f[0].num_vfs, 2);
}
END_TEST

static const char *const hostile_attr[] = {"0000:01:00.0/vendor", "0000:01:00.0/class",
	"0000:01:00.0/numa_node", "0000:01:00.0/driver_override", "0000:01:00.0/sriov_totalvfs",
	"0000:01:00.0/sriov_numvfs", "0000:01:00.0/sriov_drivers_autoprobe",
	"0000:01:00.0/net/eth0/ifindex", "0000:01:00.0/net/eth0/operstate",
	"0000:01:00.0/net/eth0/address", "0000:01:00.0/net/eth0/flags", "0000:01:10.0/vendor",
	"0000:01:10.0/driver_override", "0000:01:10.0/numa_node"};

/* Whatever an attribute says, functions are listed, text stays printable and in its bounds. */
START_TEST(list_survives_hostile_text)
{
	static char big[70000];
	static const struct {
		const char *data;
		size_t len;
	} text[] = {{"", 0}, {"\n", 1}, {"\0\0\0", 3}, {"\xff\xfe\x1b[2J", 6}, {"-1", 2},
		{"99999999999999999999999", 23}, {"0x", 2}, {"4294967296", 10}, {big, sizeof(big)},
		{big, 64}, {big, 63}, {"12 34", 5}, {"52:54:00:00:00:0", 16}};
	char path[128];

	memset(big, 'A', sizeof(big));
	carve(2);
	snprintf(path, sizeof(path), DEV "%s", hostile_attr[_i]);
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		_cleanup_free_ struct vfm_function *f = NULL;
		int n;

		fake_put(&k, path, text[i].data, text[i].len);
		n = vfm_list(v, VFM_LIST_ALL, &f, &e);
		ck_assert_int_ge(n, 2);
		for (int j = 0; j < n; j++) {
			for (const char *c = f[j].link; *c; c++)
				ck_assert_int_ge(*c, ' ');
			for (const char *c = f[j].driver_override; *c; c++)
				ck_assert_int_ge(*c, ' ');
			ck_assert_uint_lt(strlen(f[j].driver_override), VFM_NAME_MAX);
		}
	}
}
END_TEST

static const struct {
	const char *link, *target;
} hostile_links[] = {
	{"0000:01:00.0/virtfn0", "../../../etc/passwd"},
	{"0000:01:00.0/virtfn0", "../0000:01:00.0"},
	{"0000:01:00.0/virtfn99999999999", "../0000:01:10.0"},
	{"0000:01:10.0/physfn", "../0000:01:10.0"},
	{"0000:01:10.0/physfn", "nowhere"},
	{"0000:01:10.0/iommu_group", "../../x/99999999999"},
	{"0000:01:10.0/iommu_group", "../../x/-3"},
	{"0000:01:10.0/driver", "../../.."},
	{"0000:01:10.0/driver", "a\033[2J"},
};

/*
 * The kernel shows driver_override under the device's lock, and whoever removes the device has that
 * until the last user of a VF lets go. A FIFO that nobody writes to keeps a reader as well.
 */
START_TEST(list_goes_on_while_the_kernel_keeps_a_device_locked)
{
	_cleanup_free_ struct vfm_function *f = NULL, *again = NULL;
	unsigned start;
	char path[256];
	int n;

	carve(3);
	snprintf(path, sizeof(path), "%s/" DEV "0000:01:10.2/driver_override", k.root);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	start = ms_now();
	n = vfm_list(v, 0, &f, &e);
	ck_assert_int_eq(n, 4);
	ck_assert_uint_lt(ms_now() - start, 1500);
	ck_assert_str_eq(f[2].driver_override, "");
	/* What comes behind it is read by another. */
	ck_assert_int_eq(bdf_rid(f[3].bdf), bdf_rid((struct bdf){0, 1, 0x10, 4}));
	ck_assert_int_eq(vfm_bind(v, f[3].bdf, "vfio-pci", 0, &e), 0);
	n = vfm_list(v, 0, &again, &e);
	ck_assert_int_eq(n, 4);
	ck_assert_str_eq(again[3].driver_override, "vfio-pci");
}
END_TEST

START_TEST(list_survives_hostile_links)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	char path[128];
	int n;

	carve(2);
	snprintf(path, sizeof(path), DEV "%s", hostile_links[_i].link);
	fake_link(&k, path, hostile_links[_i].target);
	n = vfm_list(v, VFM_LIST_ALL, &f, &e);
	ck_assert_int_ge(n, 2);
	for (int j = 0; j < n; j++) {
		ck_assert_int_ge(f[j].iommu_group, -1);
		ck_assert_ptr_null(strchr(f[j].driver, '\033'));
	}
}
END_TEST

/* --- carve --- */

START_TEST(carve_keeps_host_drivers_off_and_brings_the_pf_up)
{
	struct vfm_carve_result res;

	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, &res, &e), 0);
	ck_assert(res.changed && res.before == 0 && res.after == 2);
	ck_assert(!k.knobs->autoprobe_at_carve);
	ck_assert(k.knobs->pf[0].up);
	ck_assert(exists(DEV "0000:01:10.2"));
	ck_assert(!exists(DEV "0000:01:10.0/driver"));
	ck_assert(!exists("run/vf/0000:01:00.0.autoprobe"));
}
END_TEST

START_TEST(carve_of_the_same_number_writes_nothing)
{
	struct vfm_carve_result res;

	carve(2);
	k.knobs->calls = 0;
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, &res, &e), 0);
	ck_assert(!res.changed && res.after == 2);
	ck_assert_uint_eq(k.knobs->calls, 0);
}
END_TEST

START_TEST(carve_changes_the_number_through_zero)
{
	carve(2);
	carve(5);
	ck_assert(exists(DEV "0000:01:00.0/virtfn4"));
	carve(0);
	ck_assert(!exists(DEV "0000:01:00.0/virtfn0"));
}
END_TEST

START_TEST(carve_waits_for_links_that_come_late)
{
	k.knobs->links_delay_ms = 300;
	carve(3);
	ck_assert(exists(DEV "0000:01:00.0/virtfn2"));
	carve(0);
	ck_assert(!exists(DEV "0000:01:00.0/virtfn0"));
}
END_TEST

/* The kernel calls a short count a success. */
START_TEST(carve_notices_a_short_count)
{
	_cleanup_free_ char *before = fake_state(&k), *after = NULL;

	k.knobs->short_count = 2;
	ck_assert_int_eq(vfm_carve(v, pf, 4, 0, NULL, &e), -ENOSPC);
	assert_says("4 VFs asked for, the kernel made 2");
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

static const struct {
	struct bdf bdf;
	unsigned n;
	int code;
	const char *says;
} refused[] = {
	{{0, 9, 0, 0}, 1, ENODEV, "no such PCI function"},
	{{0, 2, 0, 0}, 1, ENOTSUP, "no SR-IOV"},
	{{0, 1, 0, 0}, 8, ERANGE, "7 at most"},
	{{0, 1, 0x10, 0}, 1, ENOTSUP, "this is VF 0 of 0000:01:00.0"},
};

START_TEST(carve_refuses_what_cannot_be)
{
	carve(1);
	k.knobs->calls = 0;
	ck_assert_int_eq(
		vfm_carve(v, refused[_i].bdf, refused[_i].n, 0, NULL, &e), -refused[_i].code);
	assert_says(refused[_i].says);
	ck_assert_uint_eq(k.knobs->calls, 0);
}
END_TEST

/* The write would never return: it must not be made, and the answer come at once. */
START_TEST(carve_refuses_while_a_vf_is_held_and_names_the_holder)
{
	static const unsigned to[] = {0, 1, 3};
	unsigned start;

	carve(2);
	ck_assert_int_eq(vfm_bind(v, vf1, "vfio-pci", 0, &e), 0);
	fake_hold(&k, 4242, "qemu\n", "/dev/vfio/11");
	k.knobs->block_numvfs = true;
	k.knobs->calls = 0;
	start = ms_now();
	ck_assert_int_eq(vfm_carve(v, pf, to[_i], 0, NULL, &e), -EBUSY);
	assert_says("0000:01:10.2 is in use: open in VFIO by qemu (process 4242)");
	ck_assert_uint_eq(k.knobs->calls, 0);
	ck_assert_uint_lt(ms_now() - start, 1000);
	fake_unhold(&k, 4242);
	k.knobs->block_numvfs = false;
	carve(to[_i]);
}
END_TEST

START_TEST(carve_reports_a_write_that_never_returns)
{
	unsigned pid = 0;
	char text[64];

	set_timeout(300);
	k.knobs->block_numvfs = true;
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), -ETIMEDOUT);
	assert_says("still waits for the kernel");
	ck_assert_int_eq(sscanf(strstr(e.text, "process "), "process %u", &pid), 1);
	/* Its child keeps the lock, so nobody else gets stuck behind it. */
	ck_assert_int_eq(vfm_carve(v, pf, 3, 0, NULL, &e), -EBUSY);
	snprintf(text, sizeof(text), "process %u", pid);
	assert_says(text);
	k.knobs->block_numvfs = false;
	ck_assert_int_eq(waitpid((pid_t)pid, NULL, 0), (pid_t)pid);
	set_timeout(20000);
	carve(2);
}
END_TEST

static const struct {
	int code;
	const char *says;
} explained[] = {
	{EBUSY, "another tool"},
	{ENOMEM, "pci=realloc"},
	{EPERM, "MSI-X"},
	{ENOENT, "enable_sriov=1"},
	{EIO, "broken"},
	{EACCES, "run as root"},
};

START_TEST(carve_explains_the_kernels_answer)
{
	_cleanup_free_ char *before = fake_state(&k), *after = NULL;

	k.knobs->fail_at = 3; /* up, autoprobe, numvfs */
	k.knobs->fail_code = explained[_i].code;
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), -explained[_i].code);
	assert_says("carve 0000:01:00.0: write 2 to sriov_numvfs");
	assert_says(explained[_i].says);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

/* Every PF of the world is one: other domains, no interface, many VFs. */
START_TEST(carve_works_on_every_kind_of_pf)
{
	static const struct fake_pf *const pfs[] = {
		&fake_igb_domain1, &fake_nvme, &fake_switchdev, &fake_many};
	const struct fake_pf *p = pfs[_i];
	unsigned i = fake_pf_add(&k, p);
	struct bdf last = fake_vf_bdf(p, p->total - 1);
	struct vfm_function f;

	ck_assert_msg(vfm_carve(v, p->bdf, p->total, 0, NULL, &e) == 0, "%s", e.text);
	ck_assert_int_eq(vfm_show(v, last, &f, &e), 0);
	ck_assert_int_eq(f.index, (int)p->total - 1);
	ck_assert_str_eq(f.driver, "");
	ck_assert_msg(vfm_bind(v, last, "vfio-pci", 0, &e) == 0, "%s", e.text);
	ck_assert_msg(vfm_release(v, last, 0, NULL, &e) == 0, "%s", e.text);
	ck_assert_int_eq(vfm_carve(v, p->bdf, 0, 0, NULL, &e), 0);
	ck_assert_uint_eq(fake_num_vfs(&k, i), 0);
}
END_TEST

/* Links that came in time would make it a carve that was done before the cancel was seen. */
START_TEST(carve_cancelled_is_undone)
{
	_cleanup_free_ char *before = fake_state(&k), *after = NULL;
	static volatile sig_atomic_t cancel = SIGINT;

	vfm_destroy(v);
	k.config.cancel = &cancel;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	k.knobs->links_missing = true;
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), -EINTR);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
	ck_assert(!exists(DEV "0000:01:00.0/virtfn0"));
}
END_TEST

/* A process is dear: one makes all writes that may block, however many there are. */
START_TEST(all_writes_that_may_block_are_one_process)
{
	carve(3);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	ck_assert_int_eq(vfm_bind(v, vf1, "vfio-pci", 0, &e), 0);
	ck_assert_int_eq(vfm_carve(v, pf, 0, 0, NULL, &e), 0);
	/* And ours, for those that do not. */
	ck_assert_uint_eq(k.knobs->n_writers, 2);
}
END_TEST

START_TEST(a_process_that_was_killed_is_replaced)
{
	carve(3);
	for (unsigned i = 0; i < k.knobs->n_writers; i++)
		if (k.knobs->writer[i] != getpid())
			ck_assert_int_eq(kill(k.knobs->writer[i], SIGKILL), 0);
	ck_assert_msg(vfm_bind(v, vf0, "vfio-pci", 0, &e) == 0, "%s", e.text);
	ck_assert_msg(vfm_carve(v, pf, 0, 0, NULL, &e) == 0, "%s", e.text);
}
END_TEST

/* --- addresses --- */

START_TEST(set_mac_reads_back_what_it_set)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3}, zero[6];
	struct vfm_function f;

	carve(3);
	ck_assert_int_eq(vfm_set_mac(v, vf1, mac, &e), 0);
	ck_assert_mem_eq(k.knobs->pf[0].mac[1], mac, 6);
	ck_assert_int_eq(vfm_show(v, vf1, &f, &e), 0);
	ck_assert_mem_eq(f.mac, mac, 6);
	ck_assert_int_eq(vfm_set_mac(v, vf1, zero, &e), 0);
	ck_assert_mem_eq(k.knobs->pf[0].mac[1], zero, 6);
}
END_TEST

static const struct {
	uint8_t mac[6];
	struct bdf bdf;
	int code;
	const char *says;
} bad_macs[] = {
	{{1, 0, 0, 0, 0, 0}, {0, 1, 0x10, 2}, EINVAL, "multicast"},
	{{0x52, 0x54, 0, 0, 0, 1}, {0, 1, 0x10, 2}, EADDRINUSE, "its PF's interface eth0"},
	{{0x52, 0x54, 0, 0, 0, 2}, {0, 1, 0x10, 2}, EADDRINUSE, "VF 0 of eth0"},
	{{0x52, 0x54, 0, 0, 0, 3}, {0, 1, 0, 0}, ENOTSUP, "not a virtual function"},
	{{0x52, 0x54, 0, 0, 0, 3}, {0, 9, 0, 0}, ENODEV, "no such PCI function"},
};

START_TEST(set_mac_refuses_bad_addresses)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 2};

	carve(2);
	ck_assert_int_eq(vfm_set_mac(v, vf0, mac, &e), 0);
	ck_assert_int_eq(
		vfm_set_mac(v, bad_macs[_i].bdf, bad_macs[_i].mac, &e), -bad_macs[_i].code);
	assert_says(bad_macs[_i].says);
	ck_assert_mem_eq(k.knobs->pf[0].mac[1], "\0\0\0\0\0", 6);
}
END_TEST

START_TEST(set_mac_does_not_believe_an_acknowledgement)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 2};

	carve(2);
	k.knobs->mac_ignored = true;
	ck_assert_int_eq(vfm_set_mac(v, vf0, mac, &e), -EIO);
	assert_says("reports none");
}
END_TEST

START_TEST(set_mac_passes_the_kernels_words_on)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 2};

	carve(2);
	k.knobs->mac_code = EOPNOTSUPP;
	ck_assert_int_eq(vfm_set_mac(v, vf0, mac, &e), -EOPNOTSUPP);
	assert_says("because I said so");
	assert_says("driver cannot do this");
}
END_TEST

START_TEST(set_mac_needs_the_pf_up)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 2};

	carve(2);
	fake_puts(&k, DEV "0000:01:00.0/net/eth0/flags", "0x1002\n");
	ck_assert_int_eq(vfm_set_mac(v, vf0, mac, &e), -ENETDOWN);
	assert_says("ip link set eth0 up");
}
END_TEST

/* --- binding --- */

static const struct {
	const char *driver, *override;
	bool autoprobe;
} originals[] = {
	{"", "(null)", true},
	{"", "(null)", false},
	{"igbvf", "(null)", true},
	{"igbvf", "(null)", false},
	{"igbvf", "igbvf", true},
	{"", "none-at-all", true},
};

static void make_original(int i)
{
	carve(2);
	if (*originals[i].driver)
		ck_assert_int_eq(vfm_bind(v, vf0, "igbvf", 0, &e), 0);
	fake_puts(&k, DEV "0000:01:10.0/driver_override", originals[i].override);
	fake_puts(
		&k, DEV "0000:01:00.0/sriov_drivers_autoprobe", originals[i].autoprobe ? "1" : "0");
	/* As if the host, not we, had bound it. */
	fake_remove(&k, "run/vf/0000:01:10.0.driver");
}

START_TEST(release_restores_what_bind_found)
{
	_cleanup_free_ char *before = NULL, *bound = NULL, *after = NULL;
	char driver[VFM_NAME_MAX];

	make_original(_i);
	before = fake_state(&k);
	ck_assert_msg(vfm_bind(v, vf0, "vfio-pci", 0, &e) == 0, "%s", e.text);
	ck_assert(exists("dev/vfio/10"));
	bound = fake_state(&k);
	ck_assert_ptr_nonnull(strstr(bound, "'vfio-pci' override 'vfio-pci' record yes"));
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	ck_assert_msg(vfm_release(v, vf0, 0, driver, &e) == 0, "%s", e.text);
	ck_assert_str_eq(driver, originals[_i].driver);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(vfm_release(v, vf0, 0, driver, &e), 0);
}
END_TEST

START_TEST(release_without_a_record_lets_the_kernel_choose)
{
	struct vfm_function f;

	carve(2);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	fake_remove(&k, "run/vf/0000:01:10.0.driver");
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), 0);
	ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
	ck_assert_str_eq(f.driver, "igbvf");
	ck_assert_str_eq(f.driver_override, "");
}
END_TEST

/* "none" and "default" are no drivers' names; both are undone by release like any other. */
START_TEST(bind_takes_words_for_no_driver_and_the_kernels)
{
	static const struct {
		const char *word, *says;
		bool autoprobe;
	} t[] = {
		{"none", "'' override '(null)' record yes", true},
		{"default", "'igbvf' override '(null)' record yes", true},
		{"default", "'' override '(null)' record yes", false},
	};
	_cleanup_free_ char *before = NULL, *bound = NULL, *after = NULL;

	carve(1);
	fake_puts(&k, DEV "0000:01:10.0/driver_override", "vfio-pci");
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	fake_remove(&k, "run/vf/0000:01:10.0.driver");
	fake_puts(&k, DEV "0000:01:00.0/sriov_drivers_autoprobe", t[_i].autoprobe ? "1" : "0");
	before = fake_state(&k);
	ck_assert_msg(vfm_bind(v, vf0, t[_i].word, 0, &e) == 0, "%s", e.text);
	bound = fake_state(&k);
	ck_assert_msg(strstr(bound, t[_i].says) != NULL, "%s", bound);
	k.knobs->writes = 0;
	ck_assert_msg(vfm_bind(v, vf0, t[_i].word, 0, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(k.knobs->writes, 0);
	ck_assert_msg(vfm_release(v, vf0, 0, NULL, &e) == 0, "%s", e.text);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(bind_default_says_when_no_driver_takes_it)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	carve(1);
	fake_remove(&k, "sys/bus/pci/drivers/igbvf");
	before = fake_state(&k);
	ck_assert_int_eq(vfm_bind(v, vf0, "default", 0, &e), -EIO);
	assert_says("no driver of this kernel takes it");
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

/* After a reboot the VF at that address is another one, and was never ours. */
START_TEST(a_record_of_an_earlier_boot_does_not_count)
{
	struct vfm_function f;

	carve(2);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	vfm_destroy(v);
	fake_puts(&k, "proc/sys/kernel/random/boot_id", "boot-two\n");
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
	ck_assert(!f.taken);
}
END_TEST

START_TEST(a_damaged_record_does_not_count)
{
	static const char *const damage[] = {"", "device boot-one/1\nvalue x", "\n\n\n",
		"value igbvf\noverride \nend\n", "device \nvalue ../../x\noverride \nend\n"};
	struct vfm_function f;

	carve(2);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	fake_puts(&k, "run/vf/0000:01:10.0.driver", damage[_i]);
	ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
	ck_assert(!f.taken);
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), 0);
}
END_TEST

START_TEST(release_refuses_while_held)
{
	carve(2);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	fake_hold(&k, 77, "vmm\n", "/dev/vfio/10");
	k.knobs->calls = 0;
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), -EBUSY);
	assert_says("vmm (process 77)");
	ck_assert_int_eq(vfm_bind(v, vf0, "igbvf", 0, &e), -EBUSY);
	ck_assert_uint_eq(k.knobs->calls, 0);
}
END_TEST

static const struct {
	struct bdf bdf;
	const char *driver;
	unsigned flags;
	int code;
	const char *says;
} unbindable[] = {
	{{0, 9, 0, 0}, "vfio-pci", 0, ENODEV, "no such PCI function"},
	{{0, 0, 0x1c, 0}, "vfio-pci", VFM_BIND_WHOLE, ENOTSUP, "bridge"},
	{{0, 1, 0, 0}, "vfio-pci", VFM_BIND_WHOLE, EBUSY, "it has 2 VFs"},
	{{0, 2, 0, 0}, "vfio-pci", 0, ENOTSUP, "--whole"},
	{{0, 1, 0x10, 0}, "no-such", 0, ENOENT, "no PCI driver no-such"},
	{{0, 1, 0x10, 0}, "../igb", 0, ENOENT, "no driver's name"},
	{{0, 1, 0x10, 0}, "", 0, ENOENT, "no driver's name"},
	{{0, 1, 0x10, 0}, "e1000e", 0, ENODEV, "does not know this device"},
};

START_TEST(bind_refuses_what_must_not_be)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	carve(2);
	before = fake_state(&k);
	ck_assert_int_eq(
		vfm_bind(v, unbindable[_i].bdf, unbindable[_i].driver, unbindable[_i].flags, &e),
		-unbindable[_i].code);
	assert_says(unbindable[_i].says);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(bind_whole_takes_a_function_that_is_no_vf)
{
	struct vfm_function f;

	ck_assert_int_eq(vfm_bind(v, plain, "vfio-pci", VFM_BIND_WHOLE, &e), 0);
	ck_assert_int_eq(vfm_release(v, plain, 0, NULL, &e), 0);
	ck_assert_int_eq(vfm_show(v, plain, &f, &e), 0);
	ck_assert_str_eq(f.driver, "e1000e");
	fake_puts(&k, DEV "0000:02:00.0/net/eth1/flags", "0x1003\n");
	ck_assert_int_eq(vfm_bind(v, plain, "vfio-pci", VFM_BIND_WHOLE, &e), -EBUSY);
	assert_says("ip link set eth1 down");
}
END_TEST

START_TEST(bind_without_an_iommu_is_explained)
{
	carve(2);
	fake_remove(&k, DEV "0000:01:10.0/iommu_group");
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), -ENOTSUP);
	assert_says("intel_iommu=on");
}
END_TEST

/* The probe file says success whatever came of it. */
START_TEST(bind_goes_back_when_the_driver_does_not_take_it)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	make_original(2);
	before = fake_state(&k);
	k.knobs->driver_refuses = true;
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), -EIO);
	assert_says("did not take it");
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(bind_goes_back_when_no_node_appears)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	make_original(2);
	before = fake_state(&k);
	k.knobs->no_node = true;
	set_timeout(1000);
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), -ETIMEDOUT);
	assert_says("no node appeared");
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-manager");
	TCase *t = tcase_create("world");

	tcase_add_checked_fixture(t, world_up, world_down);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, list_shows_a_pf_and_then_its_vfs);
	tcase_add_test(t, list_all_leaves_bridges_out);
	tcase_add_test(t, list_counts_links_not_numvfs);
	tcase_add_loop_test(t, list_survives_hostile_text, 0, ARRAY_SIZE(hostile_attr));
	tcase_add_test(t, list_goes_on_while_the_kernel_keeps_a_device_locked);
	tcase_add_loop_test(t, list_survives_hostile_links, 0, ARRAY_SIZE(hostile_links));
	tcase_add_test(t, carve_keeps_host_drivers_off_and_brings_the_pf_up);
	tcase_add_test(t, carve_of_the_same_number_writes_nothing);
	tcase_add_test(t, carve_changes_the_number_through_zero);
	tcase_add_test(t, carve_waits_for_links_that_come_late);
	tcase_add_test(t, carve_notices_a_short_count);
	tcase_add_loop_test(t, carve_refuses_what_cannot_be, 0, ARRAY_SIZE(refused));
	tcase_add_loop_test(t, carve_refuses_while_a_vf_is_held_and_names_the_holder, 0, 3);
	tcase_add_test(t, carve_reports_a_write_that_never_returns);
	tcase_add_loop_test(t, carve_explains_the_kernels_answer, 0, ARRAY_SIZE(explained));
	tcase_add_loop_test(t, carve_works_on_every_kind_of_pf, 0, 4);
	tcase_add_test(t, carve_cancelled_is_undone);
	tcase_add_test(t, all_writes_that_may_block_are_one_process);
	tcase_add_test(t, a_process_that_was_killed_is_replaced);
	tcase_add_test(t, set_mac_reads_back_what_it_set);
	tcase_add_loop_test(t, set_mac_refuses_bad_addresses, 0, ARRAY_SIZE(bad_macs));
	tcase_add_test(t, set_mac_does_not_believe_an_acknowledgement);
	tcase_add_test(t, set_mac_passes_the_kernels_words_on);
	tcase_add_test(t, set_mac_needs_the_pf_up);
	tcase_add_loop_test(t, release_restores_what_bind_found, 0, ARRAY_SIZE(originals));
	tcase_add_test(t, release_without_a_record_lets_the_kernel_choose);
	tcase_add_loop_test(t, bind_takes_words_for_no_driver_and_the_kernels, 0, 3);
	tcase_add_test(t, bind_default_says_when_no_driver_takes_it);
	tcase_add_test(t, a_record_of_an_earlier_boot_does_not_count);
	tcase_add_loop_test(t, a_damaged_record_does_not_count, 0, 5);
	tcase_add_test(t, release_refuses_while_held);
	tcase_add_loop_test(t, bind_refuses_what_must_not_be, 0, ARRAY_SIZE(unbindable));
	tcase_add_test(t, bind_whole_takes_a_function_that_is_no_vf);
	tcase_add_test(t, bind_without_an_iommu_is_explained);
	tcase_add_test(t, bind_goes_back_when_the_driver_does_not_take_it);
	tcase_add_test(t, bind_goes_back_when_no_node_appears);
	suite_add_tcase(s, t);

	return suite_run(s);
}
