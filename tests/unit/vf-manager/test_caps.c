// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/caps.h"

static uint8_t cfg[4096];
static struct vfm_caps f;

static void put16(size_t at, uint16_t val)
{
	le_store(cfg + at, 2, val);
}

static void put32(size_t at, uint32_t val)
{
	le_store(cfg + at, 4, val);
}

static void ext_put(size_t at, unsigned id, size_t next)
{
	put32(at, id | 1u << 16 | (uint32_t)next << 20);
}

/* As an 82576: MSI, MSI-X, PCI Express with FLR; ARI, SR-IOV, ACS. */
static void config_make(void)
{
	memset(cfg, 0, sizeof(cfg));
	put32(0, 0x10c98086);
	put16(PCI_STATUS, PCI_STATUS_CAP_LIST);
	cfg[PCI_HEADER_TYPE] = 0x80;
	cfg[PCI_CAPABILITY_LIST] = 0x40;
	put16(0x40, PCI_CAP_ID_MSI | 0x70 << 8);
	put16(0x42, 3 << 1);
	put16(0x70, PCI_CAP_ID_MSIX | 0xa0 << 8);
	put16(0x72, 9);
	put16(0xa0, PCI_CAP_ID_EXP);
	put16(0xa2, 2);
	put32(0xa4, PCI_EXP_DEVCAP_FLR);
	ext_put(0x100, PCI_EXT_CAP_ID_ERR, 0x150);
	ext_put(0x150, PCI_EXT_CAP_ID_ARI, 0x160);
	ext_put(0x160, PCI_EXT_CAP_ID_SRIOV, 0x1a0);
	put16(0x168, PCI_SRIOV_CTRL_ARI);
	put16(0x16c, 8);
	put16(0x16e, 8);
	put16(0x174, 128);
	put16(0x176, 2);
	put16(0x17a, 0x10ca);
	ext_put(0x1a0, PCI_EXT_CAP_ID_ACS, 0);
	put16(0x1a4, 0x5d);
	put16(0x1a6, 0x1d);
}

START_TEST(decode_reads_what_matters)
{
	config_make();
	vfm_caps_decode(cfg, sizeof(cfg), &f);
	ck_assert(f.extended_seen && f.multifunction && !f.bridge);
	ck_assert_int_eq(f.port, VFM_PORT_ENDPOINT);
	ck_assert_int_eq(f.flr, VFM_YES);
	ck_assert_uint_eq(f.msi, 8);
	ck_assert_uint_eq(f.msix, 10);
	ck_assert_int_eq(f.ari, VFM_YES);
	ck_assert_int_eq(f.ari_forwarding, VFM_NO);
	ck_assert_int_eq(f.sriov, VFM_YES);
	ck_assert(f.vf_ari_hierarchy);
	ck_assert_uint_eq(f.total_vfs, 8);
	ck_assert_uint_eq(f.vf_offset, 128);
	ck_assert_uint_eq(f.vf_stride, 2);
	ck_assert_uint_eq(f.vf_device, 0x10ca);
	ck_assert_int_eq(f.acs, VFM_YES);
	ck_assert_uint_eq(f.acs_cap, 0x5d);
	ck_assert_uint_eq(f.acs_ctl, 0x1d);
}
END_TEST

START_TEST(decode_knows_a_port_and_its_ari_forwarding)
{
	static const struct {
		unsigned type, version;
		uint16_t cap2, ctl2;
		enum vfm_port_type port;
		enum vfm_tri can, on;
	} t[] = {
		{PCI_EXP_TYPE_ROOT_PORT, 2, 0x20, 0x20, VFM_PORT_ROOT, VFM_YES, VFM_YES},
		{PCI_EXP_TYPE_ROOT_PORT, 2, 0x20, 0, VFM_PORT_ROOT, VFM_YES, VFM_NO},
		{PCI_EXP_TYPE_DOWNSTREAM, 2, 0, 0, VFM_PORT_DOWNSTREAM, VFM_NO, VFM_NO},
		/* The first version has no second set of registers: what follows is something else. */
		{PCI_EXP_TYPE_ROOT_PORT, 1, 0x20, 0x20, VFM_PORT_ROOT, VFM_NO, VFM_NO},
		{PCI_EXP_TYPE_UPSTREAM, 2, 0x20, 0x20, VFM_PORT_UPSTREAM, VFM_NO, VFM_NO},
		{PCI_EXP_TYPE_PCI_BRIDGE, 1, 0, 0, VFM_PORT_TO_PCI, VFM_NO, VFM_NO},
		{PCI_EXP_TYPE_RC_END, 2, 0, 0, VFM_PORT_INTEGRATED, VFM_NO, VFM_NO},
		{15, 2, 0, 0, VFM_PORT_UNKNOWN, VFM_UNKNOWN, VFM_UNKNOWN},
	};

	config_make();
	cfg[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	put16(0xa2, (uint16_t)(t[_i].type << 4 | t[_i].version));
	put16(0xa0 + PCI_EXP_DEVCAP2, t[_i].cap2);
	put16(0xa0 + PCI_EXP_DEVCTL2, t[_i].ctl2);
	vfm_caps_decode(cfg, sizeof(cfg), &f);
	ck_assert(f.bridge);
	ck_assert_int_eq(f.port, t[_i].port);
	ck_assert_int_eq(f.ari_forwarding_cap, t[_i].can);
	ck_assert_int_eq(f.ari_forwarding, t[_i].on);
}
END_TEST

/* A user who is not root reads 64 bytes; others may stop anywhere. Never a "no" for what is not seen. */
START_TEST(decode_of_any_length_never_says_no_wrongly)
{
	config_make();
	for (size_t len = 0; len <= sizeof(cfg); len++) {
		_cleanup_free_ uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, cfg, len);
		vfm_caps_decode(copy, len, &f);
		ck_assert_int_ne(f.sriov, VFM_NO);
		ck_assert_int_ne(f.ari, VFM_NO);
		ck_assert_int_ne(f.acs, VFM_NO);
		ck_assert_int_ne(f.flr, VFM_NO);
		ck_assert_int_ne(f.port, VFM_PORT_CONVENTIONAL);
		ck_assert(len < 0xa8 || f.flr == VFM_YES);
		ck_assert(len < 0x1a8 || f.acs == VFM_YES);
	}
}
END_TEST

START_TEST(decode_says_no_when_it_saw_the_whole_chain)
{
	config_make();
	ext_put(0x100, PCI_EXT_CAP_ID_ERR, 0);
	put32(0xa4, 0);
	vfm_caps_decode(cfg, sizeof(cfg), &f);
	ck_assert(f.sriov == VFM_NO && f.ari == VFM_NO && f.acs == VFM_NO && f.flr == VFM_NO);
	put32(0x100, 0);
	vfm_caps_decode(cfg, sizeof(cfg), &f);
	ck_assert(f.sriov == VFM_NO && f.ari == VFM_NO && f.acs == VFM_NO);
	/* 256 bytes are all of a conventional function, and a part of what PCI Express has. */
	vfm_caps_decode(cfg, 256, &f);
	ck_assert(f.sriov == VFM_UNKNOWN && f.ari == VFM_UNKNOWN && f.acs == VFM_UNKNOWN);
	put16(0x70, PCI_CAP_ID_MSIX);
	vfm_caps_decode(cfg, 256, &f);
	ck_assert_int_eq(f.port, VFM_PORT_CONVENTIONAL);
	ck_assert(f.sriov == VFM_NO && f.ari == VFM_NO && f.acs == VFM_NO && f.flr == VFM_NO);
	put16(PCI_STATUS, 0);
	vfm_caps_decode(cfg, 256, &f);
	ck_assert(f.port == VFM_PORT_CONVENTIONAL && f.msix == 0);
}
END_TEST

START_TEST(decode_takes_a_conventional_flr)
{
	config_make();
	put16(0x70, PCI_CAP_ID_AF);
	cfg[0x70 + PCI_AF_CAP] = PCI_AF_CAP_FLR | PCI_AF_CAP_TP;
	vfm_caps_decode(cfg, 256, &f);
	ck_assert_int_eq(f.port, VFM_PORT_CONVENTIONAL);
	ck_assert_int_eq(f.flr, VFM_YES);
}
END_TEST

/* Each of these leads nowhere; what the chain would have held is not known. */
START_TEST(decode_survives_damaged_chains)
{
	static const struct {
		size_t at;
		uint32_t value;
		unsigned size;
		bool std;
	} t[] = {
		{PCI_CAPABILITY_LIST, 0x10, 1, true}, /* into the header */
		{PCI_CAPABILITY_LIST, 0xfc, 1, true}, /* ends at once, id 0, no next: see below */
		{0x71, 0x40, 1, true},                /* a loop before PCI Express */
		{0x71, 0x70, 1, true},                /* to itself */
		{0x71, 0x3c, 1, true},                /* into the header */
		{0x70, 0xff, 1, true},                /* no device there */
		{0x150, 0x1000e | 0x100u << 20, 4, false}, /* loops before SR-IOV */
		{0x150, 0x1000e | 0x150u << 20, 4, false},
		{0x150, 0x1000e | 0x40u << 20, 4, false}, /* below 256 */
		{0x150, 0xffffffff, 4, false},
		{0x100, 0xffffffff, 4, false},
	};

	config_make();
	le_store(cfg + t[_i].at, t[_i].size, t[_i].value);
	if (t[_i].at == PCI_CAPABILITY_LIST && t[_i].value == 0xfc)
		put16(0xfc, 0xff);
	vfm_caps_decode(cfg, sizeof(cfg), &f);
	if (t[_i].std) {
		ck_assert_int_eq(f.port, VFM_PORT_UNKNOWN);
		ck_assert_int_eq(f.flr, VFM_UNKNOWN);
		ck_assert_int_eq(f.sriov, VFM_YES);
	} else {
		ck_assert_int_eq(f.flr, VFM_YES);
		ck_assert_int_eq(f.sriov, VFM_UNKNOWN);
		ck_assert_int_eq(f.acs, VFM_UNKNOWN);
		ck_assert_int_ne(f.ari, VFM_NO);
	}
}
END_TEST

START_TEST(decode_of_a_function_that_is_off_knows_nothing)
{
	memset(cfg, 0xff, sizeof(cfg));
	vfm_caps_decode(cfg, sizeof(cfg), &f);
	ck_assert(!f.extended_seen && f.port == VFM_PORT_UNKNOWN && f.sriov == VFM_UNKNOWN);
	ck_assert(!f.bridge && !f.multifunction && f.msix == 0);
}
END_TEST

START_TEST(decode_survives_any_bytes)
{
	unsigned seed = 20 + (unsigned)_i;

	srand(seed);
	for (int round = 0; round < 2000; round++) {
		config_make();
		for (int i = rand() % 40; i >= 0; i--)
			cfg[rand() % 0x1b0] = (uint8_t)rand();
		vfm_caps_decode(cfg, (size_t)rand() % (sizeof(cfg) + 1), &f);
		ck_assert_msg(f.msi <= 32 && f.msix <= 2048, "seed %u", seed);
	}
}
END_TEST

/* --- through sysfs --- */

static const struct bdf plain = {0, 2, 0, 0};

static void setup(void)
{
	world_up();
	config_make();
}

static void config_put(size_t len)
{
	fake_put(&k, DEV "0000:01:00.0/config", cfg, len);
}

START_TEST(caps_without_root_come_from_sysfs)
{
	config_put(64);
	fake_puts(&k, DEV "0000:01:00.0/sriov_offset", "128\n");
	fake_puts(&k, DEV "0000:01:00.0/sriov_stride", "2\n");
	fake_puts(&k, DEV "0000:01:00.0/sriov_vf_device", "10ca\n");
	fake_puts(&k, DEV "0000:01:00.0/reset_method", "flr bus\n");
	ck_assert_int_eq(vfm_caps(v, pf, &f, &e), 0);
	ck_assert(!f.extended_seen);
	ck_assert_int_eq(f.sriov, VFM_YES);
	ck_assert_int_eq(f.acs, VFM_UNKNOWN);
	ck_assert_uint_eq(f.total_vfs, FAKE_TOTAL);
	ck_assert_uint_eq(f.vf_device, 0x10ca);
	ck_assert_uint_eq(f.vf_offset, 128);
	ck_assert_str_eq(f.resets, "flr bus");
	ck_assert_int_eq(f.vf_total_msix, -1);
	ck_assert_int_eq(vfm_caps(v, plain, &f, &e), 0);
	ck_assert_int_eq(f.sriov, VFM_UNKNOWN);
	ck_assert_int_eq(vfm_caps(v, (struct bdf){0, 9, 0, 0}, &f, &e), -ENODEV);
}
END_TEST

START_TEST(predict_tells_addresses_before_and_after_a_carve)
{
	struct bdf b;

	config_put(sizeof(cfg));
	ck_assert_int_eq(vfm_predict(v, pf, 0, &b, &e), 0);
	ck_assert(bdf_equal(b, (struct bdf){0, 1, 0x10, 0}));
	ck_assert_int_eq(vfm_predict(v, pf, 5, &b, &e), 0);
	ck_assert(bdf_equal(b, (struct bdf){0, 1, 0x11, 2}));
	ck_assert_int_eq(vfm_predict(v, pf, 8, &b, &e), -ERANGE);
	/* What is there counts, whatever the device says. */
	fake_link(&k, "sys/devices/0000:01:00.0/virtfn5", "../0000:01:12.3");
	ck_assert_int_eq(vfm_predict(v, pf, 5, &b, &e), 0);
	ck_assert(bdf_equal(b, (struct bdf){0, 1, 0x12, 3}));
	ck_assert_int_eq(vfm_predict(v, plain, 0, &b, &e), -ENOTSUP);
	ck_assert_int_eq(vfm_predict(v, (struct bdf){0, 9, 0, 0}, 0, &b, &e), -ENODEV);
}
END_TEST

START_TEST(predict_crosses_buses_and_stops_at_the_last)
{
	struct bdf b;

	put16(0x16e, 0xffff);
	put16(0x176, 0x100);
	config_put(sizeof(cfg));
	ck_assert_int_eq(vfm_predict(v, pf, 2, &b, &e), 0);
	ck_assert(bdf_equal(b, (struct bdf){0, 3, 0x10, 0}));
	ck_assert_int_eq(vfm_predict(v, pf, 254, &b, &e), 0);
	ck_assert(bdf_equal(b, (struct bdf){0, 255, 0x10, 0}));
	ck_assert_int_eq(vfm_predict(v, pf, 255, &b, &e), -ERANGE);
	ck_assert_int_eq(vfm_predict(v, pf, 65534, &b, &e), -ERANGE);
	ck_assert_int_eq(vfm_predict(v, pf, UINT_MAX, &b, &e), -ERANGE);
}
END_TEST

START_TEST(predict_says_when_it_cannot)
{
	static const char *const bad[] = {
		"", "0\n", "-1\n", "65536\n", "99999999999999999999\n", "12 34\n", "\xff\xff"};
	struct bdf b;

	fake_remove(&k, DEV "0000:01:00.0/sriov_offset");
	ck_assert_int_eq(vfm_predict(v, pf, 0, &b, &e), -ENODATA);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_puts(&k, DEV "0000:01:00.0/sriov_offset", bad[i]);
		ck_assert_int_eq(vfm_predict(v, pf, 0, &b, &e), -ENODATA);
	}
	fake_puts(&k, DEV "0000:01:00.0/sriov_offset", "128\n");
	fake_puts(&k, DEV "0000:01:00.0/sriov_stride", "0\n");
	ck_assert_int_eq(vfm_predict(v, pf, 0, &b, &e), 0);
	ck_assert_int_eq(vfm_predict(v, pf, 1, &b, &e), -ENODATA);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-caps");
	TCase *bytes = tcase_create("bytes"), *sysfs = tcase_create("sysfs");

	suite_add_tcase(s, bytes);
	tcase_add_test(bytes, decode_reads_what_matters);
	tcase_add_loop_test(bytes, decode_knows_a_port_and_its_ari_forwarding, 0, 8);
	tcase_add_test(bytes, decode_of_any_length_never_says_no_wrongly);
	tcase_add_test(bytes, decode_says_no_when_it_saw_the_whole_chain);
	tcase_add_test(bytes, decode_takes_a_conventional_flr);
	tcase_add_loop_test(bytes, decode_survives_damaged_chains, 0, 11);
	tcase_add_test(bytes, decode_of_a_function_that_is_off_knows_nothing);
	tcase_add_loop_test(bytes, decode_survives_any_bytes, 0, 4);
	suite_add_tcase(s, sysfs);
	tcase_add_checked_fixture(sysfs, setup, world_down);
	tcase_add_test(sysfs, caps_without_root_come_from_sysfs);
	tcase_add_test(sysfs, predict_tells_addresses_before_and_after_a_carve);
	tcase_add_test(sysfs, predict_crosses_buses_and_stops_at_the_last);
	tcase_add_test(sysfs, predict_says_when_it_cannot);
	return suite_run(s);
}
