// SPDX-License-Identifier: GPL-2.0-or-later
/* Mirrors: which frames are copied, what descriptions are refused, and names that come and go. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/config.h"

static struct mirrors ms;

/* "pN" is port N, unless it is gone. */
static uint16_t gone = MIRROR_NO_PORT;

static uint16_t find(void *ctx, const char *name)
{
	uint16_t no = (uint16_t)atoi(name + 1);

	return no == gone ? MIRROR_NO_PORT : no;
}

static void add(const char *text)
{
	struct mirror_config cfg;
	struct err e = {0};

	ck_assert_msg(!mirror_config_parse("m", text, strlen(text), &e, &cfg), "%s", e.text);
	ck_assert_msg(!mirrors_add(&ms, &cfg, 0, &e), "%s", e.text);
	mirrors_resolve(&ms, find, NULL);
}

static void teardown(void)
{
	mirrors_finish(&ms);
	gone = MIRROR_NO_PORT;
}

START_TEST(mirror_copies_what_its_ports_see_in_its_direction)
{
	add("{name: a, from: [p1, p2], to: p9, direction: in}");
	ck_assert_uint_eq(mirrors_directions(&ms, 1), MIRROR_IN);
	ck_assert_uint_eq(mirrors_directions(&ms, 3), 0);
	ck_assert(mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 60, 0));
	ck_assert(mirror_takes(ms.list[0], 2, MIRROR_IN, 5, 100, 0));
	ck_assert(!mirror_takes(ms.list[0], 1, MIRROR_OUT, 0, 60, 0));
	ck_assert(!mirror_takes(ms.list[0], 9, MIRROR_IN, 0, 60, 0));
	ck_assert_uint_eq(ms.list[0]->frames, 2);
	ck_assert_uint_eq(ms.list[0]->bytes, 160);
	add("{name: b, from: [p1], to: p8, direction: out, reserved: true}");
	ck_assert_uint_eq(mirrors_directions(&ms, 1), MIRROR_IN | MIRROR_OUT);
	ck_assert(mirrors_reserve(&ms, 8) && !mirrors_reserve(&ms, 9));
	ck_assert_int_eq(mirrors_del(&ms, "a", NULL), 0);
	ck_assert_int_eq(mirrors_del(&ms, "a", NULL), -ENOENT);
	ck_assert_str_eq(ms.list[0]->cfg.name, "b");
	ck_assert_uint_eq(mirrors_directions(&ms, 2), 0);
}
END_TEST

START_TEST(mirror_waits_for_ports_that_are_gone)
{
	add("{name: a, from: [p1, p2], to: p9}");
	gone = 9;
	mirrors_resolve(&ms, find, NULL);
	ck_assert(!mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 60, 0));
	gone = 1;
	mirrors_resolve(&ms, find, NULL);
	ck_assert(!mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 60, 0));
	ck_assert(mirror_takes(ms.list[0], 2, MIRROR_OUT, 0, 60, 0));
	gone = MIRROR_NO_PORT;
	mirrors_resolve(&ms, find, NULL);
	ck_assert(mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 60, 0));
}
END_TEST

/* Two switches that mirror to each other would feed each other for ever. */
START_TEST(mirror_does_not_copy_copies_of_another_switch)
{
	add("{name: a, from: [p1], vlan: 99}");
	ck_assert(!mirror_takes(ms.list[0], 1, MIRROR_IN, 99, 60, 0));
	ck_assert(mirror_takes(ms.list[0], 1, MIRROR_IN, 98, 60, 0));
}
END_TEST

START_TEST(mirror_keeps_its_rate)
{
	unsigned int n = 0;

	add("{name: a, from: [p1], to: p2, rate: 8mbit}");
	for (unsigned int i = 0; i < 2000; i++)
		n += mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 1000, 0);
	ck_assert_uint_eq(n, 100); /* a tenth of a second's worth */
	ck_assert_uint_eq(ms.list[0]->limited, 1900);
	ck_assert(mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 1000, 1000000));
	ck_assert(!mirror_takes(ms.list[0], 1, MIRROR_IN, 0, 1000, 1000000));
}
END_TEST

static const struct {
	const char *text, *says;
} refused[] = {
	{"{name: a, from: [p1]}", "one of to"},
	{"{name: a, from: [p1], to: p2, vlan: 3}", "one of to"},
	{"{name: a, from: [], to: p2}", ""},
	{"{name: a, to: p2}", "from"},
	{"{name: a, from: [p1], to: p1}", "itself"},
	{"{name: a, from: [p1, p1], to: p2}", "twice"},
	{"{name: a, from: [p1], vlan: 4095}", "1 to 4094"},
	{"{name: a, from: [p1], vlan: 3, reserved: true}", "reserved"},
	{"{name: a, from: [p1], to: p2, direction: up}", "up"},
	{"{name: a, from: [p1], to: p2, rate: fast}", "fast"},
	{"{name: a, from: [p1], to: p2, colour: red}", "colour"},
};

START_TEST(mirror_refuses_what_contradicts_itself)
{
	struct mirror_config cfg;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const char *text = refused[i].text;
		struct err e = {0};

		ck_assert_msg(mirror_config_parse("m", text, strlen(text), &e, &cfg) == -EINVAL,
			"%s", text);
		ck_assert_msg(strstr(e.text, refused[i].says), "%s: %s", text, e.text);
	}
}
END_TEST

START_TEST(mirrors_have_names_of_their_own_and_an_end)
{
	struct mirror_config cfg;
	char text[64];
	int r = 0;

	for (unsigned int i = 0; i <= MIRRORS_MAX; i++) {
		int n = snprintf(text, sizeof(text), "{name: m%u, from: [p1], to: p2}", i);

		ck_assert_int_eq(mirror_config_parse("m", text, (size_t)n, NULL, &cfg), 0);
		r = mirrors_add(&ms, &cfg, 0, NULL);
		ck_assert_int_eq(r, i < MIRRORS_MAX ? 0 : -ENOSPC);
	}
	strcpy(cfg.name, "m3");
	ck_assert_int_eq(mirrors_add(&ms, &cfg, 0, NULL), -EEXIST);
}
END_TEST

START_TEST(config_checks_mirrors_against_ports)
{
	static const char good[] = "socket: /s\nports:\n- {name: a, vhost-user: /a}\n"
				   "- {name: b, vhost-user: /b}\nmirrors:\n"
				   "- {name: m, from: [a], to: b, rate: 1mbit, direction: out}\n",
			  bad[] = "socket: /s\nports:\n- {name: a, vhost-user: /a}\n"
				  "mirrors:\n- {name: m, from: [a], vlan: 7}\n"
				  "- {name: n, from: [c], vlan: 7}\n";
	struct switch_config *c = NULL;
	struct err e = {0};

	ck_assert_msg(!switch_config_parse("f", good, strlen(good), &e, &c), "%s", e.text);
	ck_assert_uint_eq(c->nr_mirrors, 1);
	ck_assert_str_eq(c->mirrors[0].to, "b");
	ck_assert_uint_eq(c->mirrors[0].rate, 125000);
	ck_assert_uint_eq(c->mirrors[0].directions, MIRROR_OUT);
	switch_config_destroy(c);
	ck_assert_int_eq(switch_config_parse("f", bad, strlen(bad), &e, &c), -EINVAL);
	ck_assert_msg(strstr(e.text, "f:6") && strstr(e.text, "no port 'c'"), "%s", e.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vswitch-mirror");
	TCase *tc = tcase_create("core");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, mirror_copies_what_its_ports_see_in_its_direction);
	tcase_add_test(tc, mirror_waits_for_ports_that_are_gone);
	tcase_add_test(tc, mirror_does_not_copy_copies_of_another_switch);
	tcase_add_test(tc, mirror_keeps_its_rate);
	tcase_add_test(tc, mirror_refuses_what_contradicts_itself);
	tcase_add_test(tc, mirrors_have_names_of_their_own_and_an_end);
	tcase_add_test(tc, config_checks_mirrors_against_ports);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
