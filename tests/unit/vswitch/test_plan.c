// SPDX-License-Identifier: GPL-2.0-or-later
/* Descriptions written back as JSON, words that change one, and the smallest change between two. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/config_json.h"
#include "vswitch/plan.h"

#define TOP "socket: /s\n"

static struct switch_config *take(const char *text)
{
	struct switch_config *c = NULL;
	struct err e = {0};

	ck_assert_msg(switch_config_parse("file", text, strlen(text), &e, &c) == 0, "%s", e.text);
	return c;
}

/* Each line has keys of its own; together they are all a port may have. */
static const char *const described[] = {
	"{name: a, vhost-user: /a, client: true}",
	"{name: a, vhost-user: /a, queues: 2, offloads: [csum], packed: false, socket-mode: "
	"'0660'}",
	"{name: a, vhost-user: /a, offloads: [tso]}",
	"{name: a, tap: t0, mtu: 9000, isolated: true, no-learning: true}",
	"{name: a, pci: '0000:3b:02.1', no-flood: [unknown, multicast], fdb-limit: 0}",
	"{name: a, af-packet: eth0, vlan: {trunk: [1, 3-5, 4094], native: 4}}",
	"{name: a, pcap: {rx: /x, tx: /y}, vlan: {native: 7}}",
	"{name: a, pcap: {tx: /y}, vlan: {access: 4094}}",
	"{name: a, device: 'net_tap0,iface=x', police: {kbit: 77, burst-kb: 99}}",
	"{name: a, tap: t, shape: {rate: 2.5gbit, burst: 32kb, limit: 1mb}}",
	"{name: a, tap: t, storm: {broadcast: 1, multicast: 2, unknown: 3}}",
	"{name: a, tap: t, rx-cores: [1, 0]}",
	"{name: a, tap: t, multicast: {router: always, limit: 9}}",
	"{name: a, tap: t, multicast: {router: never, fast-leave: true}}",
	"{name: a, tap: t, anti-spoofing: {mac: ['02:00:00:00:00:01'], ipv4: [10.0.0.1],\n"
	"  ipv6: ['2001:db8::1', '::'], no-dhcp-server: true, no-router: true}}",
};

/* Who writes down what is so anyway changes nothing, least of all under a guest. */
START_TEST(a_default_written_down_is_the_default)
{
	static const char *const text[] = {"{name: a, vhost-user: /a}",
		"{name: a, vhost-user: /a, client: false, queues: 16, offloads: [csum, tso],\n"
		"  packed: true, socket-mode: '0600', mtu: 1500, vlan: {access: 1}, isolated: no,\n"
		"  no-learning: no, no-flood: [], multicast: {router: auto, limit: 64},\n"
		"  anti-spoofing: {mac: [], no-router: false}}"};
	struct port_config c[2];
	struct err e = {0};

	for (int i = 0; i < 2; i++)
		ck_assert_msg(port_config_parse("x", text[i], strlen(text[i]), &e, &c[i]) == 0,
			"%s", e.text);
	ck_assert_mem_eq(&c[0], &c[1], sizeof(c[0]));
}
END_TEST

/* Otherwise `show` is no input for `apply`, or apply sees no change where there is one. */
START_TEST(config_json_reads_back_as_the_same)
{
	struct port_config a, b;
	struct err e = {0};
	json_t *o;
	char *text;

	ck_assert_msg(port_config_parse("x", described[_i], strlen(described[_i]), &e, &a) == 0,
		"%s", e.text);
	o = port_config_json(&a);
	text = json_dumps(o, 0);
	ck_assert_msg(
		port_config_parse("x", text, strlen(text), &e, &b) == 0, "%s: %s", text, e.text);
	ck_assert_msg(!memcmp(&a, &b, sizeof(a)), "%s", text);
	free(text);
	json_decref(o);
}
END_TEST

/* A key of the schema that the JSON forgets would never be applied. */
START_TEST(config_json_knows_every_key_of_the_schema)
{
	struct port_config p;
	struct err e = {0};
	json_t *seen = json_object();
	char *keys;

	ck_assert_int_lt(port_config_parse("x", "{no-such-key: 1}", 16, &e, &p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(described); i++) {
		json_t *o;

		ck_assert_int_eq(
			port_config_parse("x", described[i], strlen(described[i]), NULL, &p), 0);
		o = port_config_json(&p);
		json_object_update(seen, o);
		json_decref(o);
	}
	keys = strstr(e.text, "there are ") + strlen("there are ");
	for (char *key; (key = strsep(&keys, ", "));)
		ck_assert_msg(!*key || json_object_get(seen, key), "%s", key);
	json_decref(seen);
}
END_TEST

static const struct {
	const char *from, *words[3], *to;
} worded[] = {
	{"{name: a, tap: t}", {"mtu=9000"}, "{name: a, tap: t, mtu: 9000}"},
	{"{name: a, tap: t, mtu: 9000}", {"mtu="}, "{name: a, tap: t}"},
	{"{name: a, tap: t}", {"vlan.access=7"}, "{name: a, tap: t, vlan: {access: 7}}"},
	{"{name: a, tap: t}", {"vlan.trunk=1,3-4", "vlan.native=9"},
		"{name: a, tap: t, vlan: {trunk: [1, 3-4], native: 9}}"},
	{"{name: a, tap: t, vlan: {trunk: [2], native: 9}}", {"vlan.access=7"},
		"{name: a, tap: t, vlan: {access: 7}}"},
	{"{name: a, tap: t, vlan: {access: 2}}", {"vlan="}, "{name: a, tap: t}"},
	{"{name: a, tap: t, police: {kbit: 9000, burst-kb: 20}}", {"police.kbit=8000"},
		"{name: a, tap: t, police: {kbit: 8000, burst-kb: 20}}"},
	{"{name: a, tap: t}", {"anti-spoofing.mac=02:00:00:00:00:01,02:00:00:00:00:02"},
		"{name: a, tap: t, anti-spoofing: {mac: ['02:00:00:00:00:01', "
		"'02:00:00:00:00:02']}}"},
	{"{name: a, tap: t}", {"no-flood=unknown,broadcast", "isolated=true"},
		"{name: a, tap: t, no-flood: [unknown, broadcast], isolated: true}"},
	{"{name: a, tap: t}", {"shape.rate=10mbit"}, "{name: a, tap: t, shape: {rate: 10mbit}}"},
};

START_TEST(port_words_change_what_they_name_and_nothing_else)
{
	struct port_config a, b;
	struct err e = {0};
	size_t n = 0;
	json_t *o;
	char *text;

	ck_assert_int_eq(
		port_config_parse("x", worded[_i].from, strlen(worded[_i].from), &e, &a), 0);
	o = port_config_json(&a);
	while (n < 3 && worded[_i].words[n])
		n++;
	ck_assert_int_eq(port_words_apply(o, worded[_i].words, n, &e), 0);
	text = json_dumps(o, 0);
	ck_assert_msg(port_config_parse("x", text, strlen(text), &e, &a) == 0, "%s", e.text);
	ck_assert_int_eq(port_config_parse("x", worded[_i].to, strlen(worded[_i].to), &e, &b), 0);
	ck_assert_msg(!memcmp(&a, &b, sizeof(a)), "%s", text);
	free(text);
	json_decref(o);
}
END_TEST

START_TEST(port_words_refuse_what_is_no_word)
{
	static const char *const bad[] = {"mtu", "=3", "", ".x=1", "vlan.=1", "mtu=\xff"};
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *o = json_object();

		ck_assert_msg(port_words_apply(o, &bad[i], 1, &e) == -EINVAL, "'%s'", bad[i]);
		json_decref(o);
	}
}
END_TEST

#define A  "- {name: a, vhost-user: /a}\n"
#define B  "- {name: b, vhost-user: /b}\n"
#define M  "mirrors: [{name: m, from: [a], to: b}]\n"
#define FA "fdb: {static: [{mac: '02:00:00:00:00:01', port: a}]}\n"

/* What is done, in order, as "do port". */
static const struct {
	const char *now, *want, *steps;
} planned[] = {
	{TOP "ports:\n" A B, TOP "ports:\n" A B, ""},
	{TOP "ports:\n" A B, TOP "ports:\n" B A, ""},
	{TOP "ports:\n" A, TOP "ports:\n- {name: a, vhost-user: /a, mtu: 1500}\n", ""},
	{TOP, TOP "ports:\n" A B, "port-add a; port-add b; "},
	{TOP "ports:\n" A B, TOP, "port-del a; port-del b; "},
	{TOP "ports:\n" A, TOP "ports:\n- {name: a, vhost-user: /a, mtu: 9000}\n", "port-set a; "},
	{TOP "ports:\n" A, TOP "ports:\n- {name: a, vhost-user: /c}\n",
		"port-replace a; port-add a; "},
	{TOP "ports:\n" A, TOP "ports:\n- {name: a, vhost-user: /a, client: true}\n",
		"port-replace a; port-add a; "},
	/* What comes without need of what goes comes first: it may fail. */
	{TOP "ports:\n" A, TOP "ports:\n" B, "port-add b; port-del a; "},
	/* The socket of a port that goes must be free first. */
	{TOP "ports:\n" A, TOP "ports:\n- {name: c, vhost-user: /a}\n", "port-del a; port-add c; "},
	/* Two that change places: each must go before the other comes. */
	{TOP "ports:\n" A B,
		TOP "ports:\n- {name: a, vhost-user: /b}\n- {name: b, vhost-user: /a}\n",
		"port-replace a; port-replace b; port-add a; port-add b; "},
	{TOP "ports:\n" A FA, TOP "ports:\n" A FA, ""},
	{TOP "ports:\n" A, TOP "ports:\n" A FA, "fdb-add a; "},
	{TOP "ports:\n" A FA, TOP "ports:\n" A, "fdb-del a; "},
	/* It goes with its port, and comes again. */
	{TOP "ports:\n" A FA, TOP "ports:\n- {name: a, vhost-user: /c}\n" FA,
		"port-replace a; port-add a; fdb-add a; "},
	{TOP "ports:\n" A B M, TOP "ports:\n" A B M, ""},
	{TOP "ports:\n" A B, TOP "ports:\n" A B M, "mirror-add m; "},
	{TOP "ports:\n" A B M, TOP "ports:\n" A, "mirror-del m; port-del b; "},
	{TOP "ports:\n" A B M, TOP "ports:\n" A B "mirrors: [{name: m, from: [b], to: a}]\n",
		"mirror-del m; mirror-add m; "},
	{TOP, TOP "fdb: {ageing: 5}\n", "fdb-ageing ; "},
};

START_TEST(plan_is_the_smallest_change)
{
	struct switch_config *now = take(planned[_i].now), *want = take(planned[_i].want);
	struct plan *p = NULL;
	struct err e = {0};
	char text[256] = "";
	json_t *list, *step;
	size_t i, n = 0;

	ck_assert_msg(plan_create(now, want, &e, &p) == 0, "%s", e.text);
	list = plan_json(p);
	json_array_foreach(list, i, step)
	{
		const char *port = json_string_value(json_object_get(step, "port"));

		if (!port)
			port = json_string_value(json_object_get(step, "mirror"));

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s; ",
			json_string_value(json_object_get(step, "do")), port ? port : "");
	}
	ck_assert_str_eq(text, planned[_i].steps);
	json_decref(list);
	plan_destroy(p);
	plan_destroy(NULL);
	switch_config_destroy(now);
	switch_config_destroy(want);
}
END_TEST

static const struct {
	const char *want, *says;
} fixed[] = {
	{"socket: /t\n", "socket (\"/s\", not \"/t\")"},
	{TOP "cores: [1]\n", "cores (unset, not [1])"},
	{TOP "memory-mib: 256\n", "memory-mib (128, not 256)"},
	{TOP "hugepages: true\n", "hugepages (unset, not true)"},
	{TOP "fdb: {capacity: 5}\n", "fdb capacity (16384, not 5)"},
	{TOP "group: kvm\n", "group (unset, not \"kvm\")"},
};

START_TEST(plan_names_what_cannot_change)
{
	struct switch_config *now = take(TOP), *want = take(fixed[_i].want);
	struct plan *p = NULL;
	struct err e = {0};

	ck_assert_int_eq(plan_create(now, want, &e, &p), -EBUSY);
	ck_assert_msg(
		strstr(e.text, fixed[_i].says) && strstr(e.text, "start it again"), "%s", e.text);
	ck_assert_ptr_null(p);
	switch_config_destroy(now);
	switch_config_destroy(want);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_default_written_down_is_the_default);
	tcase_add_loop_test(t, config_json_reads_back_as_the_same, 0, ARRAY_SIZE(described));
	tcase_add_test(t, config_json_knows_every_key_of_the_schema);
	tcase_add_loop_test(
		t, port_words_change_what_they_name_and_nothing_else, 0, ARRAY_SIZE(worded));
	tcase_add_test(t, port_words_refuse_what_is_no_word);
	tcase_add_loop_test(t, plan_is_the_smallest_change, 0, ARRAY_SIZE(planned));
	tcase_add_loop_test(t, plan_names_what_cannot_change, 0, ARRAY_SIZE(fixed));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
