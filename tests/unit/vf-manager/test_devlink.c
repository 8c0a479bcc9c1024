// SPDX-License-Identifier: GPL-2.0-or-later
/* The switch inside a card: its mode, and what its VFs' ports are given. */
#include <check.h>
#include <errno.h>
#include <linux/devlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/fakes/pci_kernel.h"
#include "tests/unit/check_run.h"
#include "vf-manager/devlink.h"
#include "vf-manager/vfm.h"

static struct pci_kernel k;
static struct vfm *v;
static struct err e;
static struct fake_port *port; /* of the PF that has devlink */
static struct bdf pf, vf1;
static const struct bdf igb = {0, 1, 0, 0};

static void setup(void)
{
	pci_kernel_init(&k);
	port = &k.knobs->pf[fake_pf_add(&k, &fake_switchdev)];
	pf = fake_switchdev.bdf;
	vf1 = fake_vf_bdf(&fake_switchdev, 1);
	k.knobs->unsupported = 0;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_msg(vfm_carve(v, pf, 3, 0, NULL, &e) == 0, "%s", e.text);
	e = (struct err){0};
}

static void teardown(void)
{
	vfm_destroy(v);
	v = NULL;
	pci_kernel_finish(&k);
}

static void assert_says(const char *part)
{
	ck_assert_msg(strstr(e.text, part) != NULL, "'%s' is not in: %s", part, e.text);
}

static void switchdev(void)
{
	bool changed = false;

	ck_assert_msg(
		vfm_eswitch_set(v, pf, VFM_ESWITCH_SWITCHDEV, &changed, &e) == 0, "%s", e.text);
	ck_assert(changed);
}

static int set(const char *text)
{
	struct vfm_settings s = {0};
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		ck_assert_int_eq(vfm_setting_parse(w, &s, &e), 0);
	return vfm_set(v, vf1, &s, NULL, &e);
}

START_TEST(a_mode_that_is_set_is_read_back)
{
	enum vfm_eswitch mode = VFM_ESWITCH_SWITCHDEV;
	bool changed = true;

	ck_assert_msg(vfm_eswitch_get(v, pf, &mode, &e) == 0, "%s", e.text);
	ck_assert_int_eq(mode, VFM_ESWITCH_LEGACY);
	switchdev();
	ck_assert_uint_eq(port->eswitch, DEVLINK_ESWITCH_MODE_SWITCHDEV);
	ck_assert_int_eq(vfm_eswitch_get(v, pf, &mode, &e), 0);
	ck_assert_int_eq(mode, VFM_ESWITCH_SWITCHDEV);
	k.knobs->calls = 0;
	ck_assert_int_eq(vfm_eswitch_set(v, pf, VFM_ESWITCH_SWITCHDEV, &changed, &e), 0);
	ck_assert(!changed);
	ck_assert_uint_eq(k.knobs->calls, 1);
	ck_assert_int_eq(vfm_eswitch_set(v, pf, VFM_ESWITCH_LEGACY, NULL, &e), 0);
	ck_assert_uint_eq(port->eswitch, DEVLINK_ESWITCH_MODE_LEGACY);
}
END_TEST

START_TEST(modes_have_names)
{
	enum vfm_eswitch mode;

	ck_assert_int_eq(vfm_eswitch_parse("switchdev", &mode, &e), 0);
	ck_assert_str_eq(vfm_eswitch_name(mode), "switchdev");
	ck_assert_int_eq(vfm_eswitch_parse("legacy", &mode, &e), 0);
	ck_assert_str_eq(vfm_eswitch_name(mode), "legacy");
	ck_assert_int_eq(vfm_eswitch_parse("Legacy", &mode, &e), -EINVAL);
	assert_says("legacy or switchdev");
}
END_TEST

START_TEST(what_a_driver_has_not_is_unsupported)
{
	enum vfm_eswitch mode;
	struct vfm_port p;

	ck_assert_int_eq(vfm_eswitch_get(v, igb, &mode, &e), -EOPNOTSUPP);
	assert_says("0000:01:00.0");
	assert_says("no such switch");
	ck_assert_int_eq(vfm_eswitch_set(v, igb, VFM_ESWITCH_SWITCHDEV, NULL, &e), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_eswitch_get(v, vf1, &mode, &e), -EOPNOTSUPP);
	assert_says("the PF has the eswitch");
	ck_assert_int_eq(vfm_eswitch_get(v, (struct bdf){0, 9, 0, 0}, &mode, &e), -ENODEV);
	vfm_destroy(v);
	k.knobs->no_devlink = true;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_int_eq(vfm_eswitch_get(v, pf, &mode, &e), -EOPNOTSUPP);
	assert_says("no devlink");
	ck_assert_int_eq(vfm_ports_get(v, pf, &p, 1, &e), -EOPNOTSUPP);
}
END_TEST

START_TEST(a_mode_that_is_only_acknowledged_is_an_error)
{
	k.knobs->eswitch_ignored = true;
	ck_assert_int_eq(vfm_eswitch_set(v, pf, VFM_ESWITCH_SWITCHDEV, NULL, &e), -EIO);
	assert_says("kernel reports legacy");
}
END_TEST

START_TEST(a_mode_is_not_changed_under_a_guest)
{
	ck_assert_msg(vfm_bind(v, vf1, "vfio-pci", 0, &e) == 0, "%s", e.text);
	fake_hold(&k, 4242, "qemu\n", "/dev/vfio/74");
	ck_assert_int_eq(vfm_eswitch_set(v, pf, VFM_ESWITCH_SWITCHDEV, NULL, &e), -EBUSY);
	assert_says("qemu");
	ck_assert_uint_eq(port->eswitch, DEVLINK_ESWITCH_MODE_LEGACY);
}
END_TEST

/* In switchdev mode the port has the address and the rates; rtnetlink refuses them. */
START_TEST(settings_go_where_the_mode_has_them)
{
	struct vfm_settings got;
	struct vfm_port p[3];

	ck_assert_msg(
		set("mac=52:54:00:00:00:77 max-rate=500 min-rate=100 trust=on") == 0, "%s", e.text);
	ck_assert_uint_eq(port->vf[1].max_rate, 500);
	ck_assert_uint_eq(port->mac[1][5], 0x77);
	switchdev();
	ck_assert_msg(set("mac=52:54:00:00:00:78 max-rate=700") == 0, "%s", e.text);
	ck_assert_uint_eq(port->tx_max[1], 700u * 125000);
	ck_assert_uint_eq(port->tx_share[1], 0);
	ck_assert_uint_eq(port->hw_addr[1][5], 0x78);
	ck_assert_uint_eq(port->mac[1][5], 0x77);
	ck_assert_msg(set("min-rate=200 trust=off") == 0, "%s", e.text);
	ck_assert_uint_eq(port->tx_share[1], 200u * 125000);
	ck_assert_uint_eq(port->tx_max[1], 700u * 125000);
	ck_assert(!port->vf[1].trust);
	ck_assert_int_eq(vfm_get(v, vf1, &got, &e), 0);
	ck_assert_uint_eq(got.min_rate, 200);
	ck_assert_uint_eq(got.max_rate, 700);
	ck_assert_uint_eq(got.mac[5], 0x78);
	ck_assert_int_eq(vfm_ports_get(v, pf, p, 3, &e), 0);
	ck_assert(p[0].there && p[1].there && p[2].there && p[1].has_mac && p[1].has_rate);
	ck_assert_uint_eq(p[1].tx_max, 700u * 125000);
	ck_assert_uint_eq(p[2].tx_max, 0);
	/* The address of another VF's port is as taken as any. */
	e = (struct err){0};
	ck_assert_int_eq(vfm_set_mac(v, fake_vf_bdf(&fake_switchdev, 2),
				 (uint8_t[6]){0x52, 0x54, 0, 0, 0, 0x78}, &e),
		-EADDRINUSE);
}
END_TEST

/* A rate set by another tool need not be whole Mbit/s: less than one is not none. */
START_TEST(a_small_rate_is_not_shown_as_none)
{
	struct vfm_settings got;

	switchdev();
	port->tx_max[1] = 12500;
	port->tx_share[1] = 125001;
	ck_assert_int_eq(vfm_get(v, vf1, &got, &e), 0);
	ck_assert_uint_eq(got.max_rate, 1);
	ck_assert_uint_eq(got.min_rate, 2);
}
END_TEST

START_TEST(the_kernels_words_are_passed_on)
{
	enum vfm_eswitch mode;

	k.knobs->calls = 0;
	ck_assert_int_eq(vfm_eswitch_get(v, pf, &mode, &e), 0);
	k.knobs->fail_at = k.knobs->calls + 1;
	k.knobs->fail_code = EBUSY;
	ck_assert_int_eq(vfm_eswitch_get(v, pf, &mode, &e), -EBUSY);
	assert_says("because I said so");
	assert_says("eswitch of 0000:04:00.0");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-devlink");
	TCase *t = tcase_create("devlink");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, a_mode_that_is_set_is_read_back);
	tcase_add_test(t, modes_have_names);
	tcase_add_test(t, what_a_driver_has_not_is_unsupported);
	tcase_add_test(t, a_mode_that_is_only_acknowledged_is_an_error);
	tcase_add_test(t, a_mode_is_not_changed_under_a_guest);
	tcase_add_test(t, settings_go_where_the_mode_has_them);
	tcase_add_test(t, a_small_rate_is_not_shown_as_none);
	tcase_add_test(t, the_kernels_words_are_passed_on);
	suite_add_tcase(s, t);
	return suite_run(s);
}
