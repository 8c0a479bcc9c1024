// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/select.h"

static const struct bdf plain = {0, 2, 0, 0};

static void assert_selects(const char *text, struct bdf want)
{
	struct bdf b;
	int r = vfm_select(v, text, &b, &e);

	ck_assert_msg(r == 0 && bdf_equal(b, want), "'%s' gave %d: %s", text, r, e.text);
}

static void assert_fails(const char *text, int code)
{
	struct bdf b;
	int r = vfm_select(v, text, &b, &e);

	ck_assert_msg(r == code, "'%s' gave %d, not %d", text, r, code);
	ck_assert_msg(strstr(e.text, text) || !*text || strlen(text) > 127, "%s", e.text);
}

START_TEST(select_by_address_and_name)
{
	assert_selects("0000:01:00.0", pf);
	assert_selects("01:00.0", pf);
	assert_selects("eth0", pf);
	assert_selects("eth1", plain);
	assert_fails("0000:09:00.0", -ENODEV);
	assert_fails("eth", -ENODEV);
	assert_fails("eth00", -ENODEV);
}
END_TEST

START_TEST(select_by_alternative_name)
{
	assert_fails("enp1s0f0-uplink", -ENODEV);
	strcpy(k.knobs->pf[0].altname, "enp1s0f0-uplink");
	assert_selects("enp1s0f0-uplink", pf);
	/* A name comes before another one's alternative name. */
	strcpy(k.knobs->pf[0].altname, "eth1");
	assert_selects("eth1", plain);
	memset(k.knobs->pf[0].altname, 'a', 127);
	assert_selects(k.knobs->pf[0].altname, pf);
}
END_TEST

/* The permanent address: not the one that somebody set. */
START_TEST(select_by_permanent_address)
{
	assert_selects("mac=52:54:00:00:00:01", pf);
	memcpy(k.knobs->pf[0].permanent, "\x52\x54\x00\x00\x00\x77", 6);
	assert_selects("mac=52:54:00:00:00:77", pf);
	assert_fails("mac=52:54:00:00:00:01", -ENODEV);
	memset(k.knobs->pf[0].permanent, 0, 6);
	fake_puts(&k, DEV "0000:01:00.0/net/eth0/addr_assign_type", "3\n");
	assert_fails("mac=52:54:00:00:00:01", -ENODEV);
	fake_puts(&k, DEV "0000:01:00.0/net/eth0/addr_assign_type", "0\n");
	assert_selects("mac=52:54:00:00:00:01", pf);
	fake_puts(&k, DEV "0000:02:00.0/net/eth1/address", "52:54:00:00:00:01\n");
	assert_fails("mac=52:54:00:00:00:01", -ENOTUNIQ);
	ck_assert_ptr_nonnull(strstr(e.text, "0000:02:00.0"));
}
END_TEST

START_TEST(select_survives_netlink_failing)
{
	k.knobs->fail_at = 1;
	k.knobs->fail_for = 100;
	k.knobs->fail_code = EIO;
	assert_selects("mac=52:54:00:00:00:01", pf);
	assert_fails("an-altname", -ENODEV);
}
END_TEST

/* Buses renumber, the way down to a function stays. */
START_TEST(select_by_path)
{
	static const struct {
		const char *target, *path;
	} t[] = {
		{"../../../devices/pci0000:00/0000:00:1c.0/0000:3b:00.0/0000:3c:02.1",
			"path=0000:00:1c.0/00.0/02.1"},
		{"../../../devices/pci0000:00/0000:00:02.0", "path=0000:00:02.0"},
		/* behind VMD */
		{"../../../devices/pci0000:00/0000:00:0e.0/pci10000:00/10000:00:02.0/10000:01:00.0",
			"path=10000:00:02.0/00.0"},
	};
	char text[256], name[BDF_STRLEN];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *bdf = strrchr(t[i].target, '/') + 1;
		struct bdf b;

		ck_assert_int_eq(bdf_parse(bdf, &b), 0);
		snprintf(text, sizeof(text), DEV "%s", bdf_format(b, name));
		fake_link(&k, text, t[i].target);
		/* Where the link leads, as sysfs has it. */
		snprintf(text, sizeof(text), "sys/devices/%s/vendor",
			t[i].target + strlen("../../../devices/"));
		fake_puts(&k, text, "0x8086\n");
		ck_assert_int_eq(vfm_path_format(v, b, text, sizeof(text)), 0);
		ck_assert_str_eq(text, t[i].path);
		assert_selects(text, b);
		ck_assert_int_eq(vfm_path_format(v, b, text, 12), -ENAMETOOLONG);
	}
	assert_selects("path=00:1c.0/0.0/2.1", (struct bdf){0, 0x3c, 2, 1});
	assert_fails("path=0000:00:1c.0/00.0/02.2", -ENODEV);
	assert_fails("path=0000:00:1c.0/00.0/02.1/00.0", -ENODEV);
	ck_assert_int_eq(vfm_path_format(v, (struct bdf){0, 9, 0, 0}, text, sizeof(text)), -ENODEV);
}
END_TEST

static const char *const bad[] = {"", "mac=", "mac=52:54:00:00:00", "mac=52:54:00:00:00:01x",
	"mac=any", "path=", "path=00.0", "path=0000:00:1c.0/", "path=0000:00:1c.0/0",
	"path=0000:00:1c.0/00.8", "path=0000:00:1c.0/20.0", "path=0000:00:1c.0//00.0",
	"path=0000:00:1c.0/00.0/", "path=0000:00:1c.0/-1.0", "pf=eth0", "3b:02", "0000:3b:20.0",
	"a b", "a/b", ".", "..", "eth0\n", "\xff\xfe"};

START_TEST(selector_check_knows_what_is_none)
{
	ck_assert_int_eq(vfm_selector_check(bad[_i], &e), -EINVAL);
	ck_assert_int_gt((int)strlen(e.text), 20);
	assert_fails(bad[_i], -EINVAL);
}
END_TEST

START_TEST(selector_check_has_a_longest)
{
	char text[300];

	memset(text, 'a', sizeof(text));
	text[127] = '\0';
	ck_assert_int_eq(vfm_selector_check(text, &e), 0);
	text[127] = 'a';
	text[128] = '\0';
	ck_assert_int_eq(vfm_selector_check(text, &e), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-select");
	TCase *t = tcase_create("select");

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, world_up, world_down);
	tcase_add_test(t, select_by_address_and_name);
	tcase_add_test(t, select_by_alternative_name);
	tcase_add_test(t, select_by_permanent_address);
	tcase_add_test(t, select_survives_netlink_failing);
	tcase_add_test(t, select_by_path);
	tcase_add_loop_test(t, selector_check_knows_what_is_none, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, selector_check_has_a_longest);
	return suite_run(s);
}
