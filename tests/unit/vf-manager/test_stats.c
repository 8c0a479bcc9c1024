// SPDX-License-Identifier: GPL-2.0-or-later
/* What VFs receive and send: counted by the PF's driver, by their own interfaces, or by nobody. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/stats.h"

static void setup(void)
{
	world_up();
	carve(3);
	fake_link(&k, "sys/bus/pci/drivers/igb/module", "../../../../module/igb");
}

static struct vfm_stats *stats(void)
{
	struct vfm_stats *s = NULL;

	ck_assert_msg(vfm_stats(v, pf, &s, &e) == 3, "%s", e.text);
	return s;
}

START_TEST(every_counter_has_its_place)
{
	_cleanup_free_ struct vfm_stats *s = NULL;

	k.knobs->pf[0].stats[1] = (struct fake_counters){1, 2, 3, 4, 5, 6, 7, UINT64_MAX};
	s = stats();
	ck_assert_int_eq(s[1].reported, VFM_YES);
	ck_assert_uint_eq(s[1].counted.set, 0xff);
	ck_assert_uint_eq(s[1].counted.value[VFM_RX_PACKETS], 1);
	ck_assert_uint_eq(s[1].counted.value[VFM_TX_PACKETS], 2);
	ck_assert_uint_eq(s[1].counted.value[VFM_RX_BYTES], 3);
	ck_assert_uint_eq(s[1].counted.value[VFM_TX_BYTES], 4);
	ck_assert_uint_eq(s[1].counted.value[VFM_BROADCAST], 5);
	ck_assert_uint_eq(s[1].counted.value[VFM_MULTICAST], 6);
	ck_assert_uint_eq(s[1].counted.value[VFM_RX_DROPPED], 7);
	ck_assert_uint_eq(s[1].counted.value[VFM_TX_DROPPED], UINT64_MAX);
	/* One that counts anything counts for all: this zero is one. */
	ck_assert_int_eq(s[0].reported, VFM_YES);
	ck_assert_uint_eq(s[0].counted.value[VFM_RX_PACKETS], 0);
	ck_assert(bdf_equal(s[1].bdf, vf1) && s[1].index == 1 && bdf_equal(s[1].pf, pf));
	ck_assert_str_eq(s[1].driver, "igb");
}
END_TEST

/* The kernel fills in zeros where the driver has no call: what its functions are called tells. */
static const struct {
	const char *kallsyms;
	enum vfm_tri reported;
} symbols[] = {
	{"0 t igb_open\t[igb]\n0 t igb_ndo_set_vf_mac\t[igb]\n", VFM_NO},
	{"0 t igb_open\t[igb]\n0 t igb_get_vf_stats\t[igb]\n", VFM_YES},
	{"0 t igb_set_vf_state\t[igb]\n0 t igb_get_vf_state\t[igb]\n", VFM_NO},
	{"0 t igb_get_vf_stat\t[igb]\n", VFM_YES},
	{"0 t ice_get_vf_stats\t[ice]\n0 t igb_open\t[igb]\n", VFM_NO},
	{"0 T get_vf_stats\n0 t igb_open\t[igb]", VFM_NO},
	/* Nothing of the driver's own was to be seen. */
	{"0 T start_kernel\n", VFM_UNKNOWN},
	{"", VFM_UNKNOWN},
	{NULL, VFM_UNKNOWN},
	{"\n\n \t \n[igb]\nx\n0 t\n0 t igb_get_vf_stats [igb\n", VFM_YES},
	{"\xff\xfe\x01 garbage", VFM_UNKNOWN},
};

START_TEST(zeros_are_told_from_no_answer)
{
	_cleanup_free_ struct vfm_stats *s = NULL;

	if (symbols[_i].kallsyms)
		fake_puts(&k, "proc/kallsyms", symbols[_i].kallsyms);
	s = stats();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(s[i].reported, symbols[_i].reported);
		ck_assert_uint_eq(s[i].counted.set, symbols[_i].reported == VFM_NO ? 0 : 0xff);
	}
}
END_TEST

START_TEST(its_own_interface_counts_too)
{
	_cleanup_free_ struct vfm_stats *s = NULL;

	fake_puts(&k, DEV "0000:01:10.2/net/eth9/ifindex", "99\n");
	fake_puts(&k, DEV "0000:01:10.2/net/eth9/statistics/rx_packets", "18446744073709551615\n");
	fake_puts(&k, DEV "0000:01:10.2/net/eth9/statistics/tx_bytes", "17\n");
	fake_puts(&k, DEV "0000:01:10.2/net/eth9/statistics/rx_bytes", "nonsense");
	fake_put(&k, DEV "0000:01:10.2/net/eth9/statistics/tx_packets", "\0\0\0", 3);
	fake_puts(&k, DEV "0000:01:10.2/net/eth9/statistics/multicast", "-3\n");
	s = stats();
	ck_assert_str_eq(s[1].netdev, "eth9");
	ck_assert_uint_eq(s[1].own.set, 1u << VFM_RX_PACKETS | 1u << VFM_TX_BYTES);
	ck_assert_uint_eq(s[1].own.value[VFM_RX_PACKETS], UINT64_MAX);
	ck_assert_uint_eq(s[1].own.value[VFM_TX_BYTES], 17);
	ck_assert_str_eq(s[0].netdev, "");
	ck_assert_uint_eq(s[0].own.set, 0);
}
END_TEST

START_TEST(the_owner_of_a_lease_is_named)
{
	_cleanup_free_ struct vfm_stats *s = NULL;
	int fd = -1;

	ck_assert_msg(vfm_lease_take(v, vf1, "vm7", 0, &fd, &e) == 0, "%s", e.text);
	s = stats();
	ck_assert(s[1].leased && s[1].lease.held);
	ck_assert_str_eq(s[1].lease.owner, "vm7");
	ck_assert(!s[0].leased);
	vfm_lease_drop(v, vf1, &fd);
}
END_TEST

START_TEST(a_pf_without_an_interface_reports_nothing)
{
	_cleanup_free_ struct vfm_stats *s = NULL, *none = NULL;

	fake_pf_add(&k, &fake_nvme);
	ck_assert_int_eq(vfm_stats(v, fake_nvme.bdf, &none, &e), 0);
	ck_assert_int_eq(vfm_carve(v, fake_nvme.bdf, 2, 0, NULL, &e), 0);
	ck_assert_int_eq(vfm_stats(v, fake_nvme.bdf, &s, &e), 2);
	ck_assert_int_eq(s[1].reported, VFM_NO);
	ck_assert_uint_eq(s[1].counted.set, 0);
}
END_TEST

START_TEST(what_cannot_be_asked_is_an_error)
{
	struct vfm_stats *s = NULL;

	ck_assert_int_eq(vfm_stats(v, (struct bdf){0, 9, 0, 0}, &s, &e), -ENODEV);
	ck_assert_int_eq(vfm_stats(v, vf1, &s, &e), -ENOTSUP);
	ck_assert(strstr(e.text, "0000:01:10.2") != NULL);
	for (unsigned how = 0; how < FAKE_GARBLES; how++) {
		k.knobs->calls = 0;
		k.knobs->garble_at = 1;
		k.knobs->garble = how;
		ck_assert_int_lt(vfm_stats(v, pf, &s, &e), 0);
		ck_assert_ptr_null(s);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-stats");
	TCase *t = tcase_create("stats");

	tcase_add_checked_fixture(t, setup, world_down);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, every_counter_has_its_place);
	tcase_add_loop_test(t, zeros_are_told_from_no_answer, 0, ARRAY_SIZE(symbols));
	tcase_add_test(t, its_own_interface_counts_too);
	tcase_add_test(t, the_owner_of_a_lease_is_named);
	tcase_add_test(t, a_pf_without_an_interface_reports_nothing);
	tcase_add_test(t, what_cannot_be_asked_is_an_error);
	suite_add_tcase(s, t);
	return suite_run(s);
}
