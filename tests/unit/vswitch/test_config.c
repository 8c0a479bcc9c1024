// SPDX-License-Identifier: GPL-2.0-or-later
/* The configuration: what is taken as what, and what is refused with which words. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/config.h"

#define TOP "socket: /s\nports:\n"

static struct switch_config *take(const char *text)
{
	struct switch_config *c = NULL;
	struct err e = {0};

	ck_assert_msg(switch_config_parse("file", text, strlen(text), &e, &c) == 0, "%s", e.text);
	return c;
}

START_TEST(config_defaults_are_those_of_the_manual)
{
	struct switch_config *c = take(TOP "- {name: a, vhost-user: /a}\n");
	const struct port_config *p = &c->ports[0];

	ck_assert_uint_eq(c->nr_cores, 0);
	ck_assert_uint_eq(c->memory_mib, 128);
	ck_assert(!c->hugepages);
	ck_assert_uint_eq(c->fdb_capacity, 16384);
	ck_assert_uint_eq(c->fdb_ageing_s, 300);
	ck_assert_uint_eq(c->nr_ports, 1);
	ck_assert_int_eq(p->kind, PORT_VHOST_USER);
	ck_assert(!p->client && p->forward.present && !p->forward.isolated);
	ck_assert_uint_eq(p->forward.mtu, 1500);
	ck_assert_uint_eq(p->fdb_limit, FDB_LIMIT_NONE);
	ck_assert(p->forward.vlan.access && p->forward.vlan.native == 1);
	ck_assert(!guard_active(&p->forward.guard));
	switch_config_destroy(c);
	switch_config_destroy(NULL);
}
END_TEST

START_TEST(config_takes_everything_it_names)
{
	struct switch_config *c = take(
		"{\"socket\": \"/s\", \"core\": 1, \"memory-mib\": 256, \"hugepages\": true,\n"
		"\"fdb\": {\"capacity\": 99, \"ageing\": 7}, \"ports\": [\n"
		"{\"name\": \"up.1\", \"device\": \"net_tap0,iface=x\", \"mtu\": 9000,\n"
		" \"fdb-limit\": 0, \"no-learning\": true, \"no-flood\": [\"unknown\"],\n"
		" \"vlan\": {\"trunk\": [\"10\", \"20-22\"], \"native\": 5},\n"
		" \"shape\": {\"rate\": \"100mbit\", \"limit\": \"64kb\"},\n"
		" \"isolated\": true, \"police\": {\"kbit\": 8, \"burst-kb\": 10},\n"
		" \"storm\": {\"broadcast\": 3},\n"
		" \"anti-spoofing\": {\"mac\": [\"02:00:00:00:00:0A\"], \"ipv4\": [\"10.0.0.1\"],\n"
		"  \"ipv6\": [\"2001:db8::1\"], \"no-router\": true}}]}");
	const struct port_config *p = &c->ports[0];

	ck_assert_uint_eq(c->nr_cores, 1);
	ck_assert_int_eq(c->cores[0], 1);
	ck_assert(c->hugepages);
	ck_assert_uint_eq(p->shape.rate, 12500000);
	ck_assert_uint_eq(p->shape.burst, 50000);
	ck_assert_uint_eq(p->shape.limit, 65536);
	ck_assert_uint_eq(c->fdb_capacity, 99);
	ck_assert_uint_eq(c->fdb_ageing_s, 7);
	ck_assert_int_eq(p->kind, PORT_DEVICE);
	ck_assert_str_eq(p->device, "net_tap0,iface=x");
	ck_assert_uint_eq(p->fdb_limit, 0);
	ck_assert(p->forward.no_learning && p->forward.isolated);
	ck_assert(p->forward.no_unknown && !p->forward.no_broadcast);
	ck_assert(!p->forward.vlan.access && p->forward.vlan.native == 5);
	ck_assert(vlan_port_has(&p->forward.vlan, 5) && vlan_port_has(&p->forward.vlan, 22) &&
		  vlan_port_has(&p->forward.vlan, 10) && !vlan_port_has(&p->forward.vlan, 11));
	ck_assert_uint_eq(p->forward.police.rate, 1000);
	ck_assert_uint_eq(p->forward.police.burst, 10000);
	ck_assert_uint_eq(p->forward.storm_broadcast.rate, 3);
	ck_assert_uint_eq(p->forward.storm_unknown.rate, 0);
	ck_assert_uint_eq(p->forward.guard.mac[0], 0x02000000000aull);
	ck_assert_uint_eq(p->forward.guard.ipv4[0], 0x0a000001);
	ck_assert_uint_eq(p->forward.guard.ipv6[0][15], 1);
	ck_assert(p->forward.guard.no_router && !p->forward.guard.no_dhcp_server);
	switch_config_destroy(c);
}
END_TEST

static const struct {
	const char *text, *says;
} refused[] = {
	{"", "empty"},
	{"ports: []\n", "socket"},
	{"socket: s\n", "must begin with /"},
	{"socket: /s\nspeed: 3\n", "file:2:1: 'speed' is no key here; there are socket,"},
	{"socket: /s\ncore: a\n", "file:2:7: core: "},
	{"socket: /s\ncore: -1\n", "is no CPU"},
	{"socket: /s\ncores: [0, 1024]\n", "1024 is no CPU"},
	{"socket: /s\ncores: [2, 2]\n", "CPU 2 is there twice"},
	{"socket: /s\ncore: 1\ncores: [2]\n", "give one of them"},
	{"socket: /s\nmemory-mib: 1\n", "memory-mib"},
	{"socket: /s\nfdb: {capacity: 2000000}\n", "capacity"},
	{TOP "- {name: a}\n", "one of vhost-user"},
	{TOP "- {vhost-user: /a}\n", "name"},
	{TOP "- {name: a, vhost-user: /a, device: x}\n", "one of vhost-user"},
	{TOP "- {name: a, vhost-user: a}\n", "must begin with /"},
	{TOP "- {name: a, device: x, client: true}\n", "client"},
	{TOP "- {name: a, vhost-user: /a, queues: 0}\n", "1 to 16"},
	{TOP "- {name: a, vhost-user: /a, queues: 17}\n", "1 to 16"},
	{TOP "- {name: a, vhost-user: /a, offloads: [ufo]}\n", "offloads"},
	{TOP "- {name: a, vhost-user: /a, socket-mode: '0888'}\n", "no mode"},
	{TOP "- {name: a, vhost-user: /a, socket-mode: '7777'}\n", "no mode"},
	{TOP "- {name: a, vhost-user: /a, client: true, socket-mode: '0660'}\n", "not with client"},
	{TOP "- {name: a, tap: t, queues: 1}\n", "go with vhost-user"},
	{TOP "- {name: a, tap: t, packed: true}\n", "go with vhost-user"},
	{TOP "- {name: 'a b', vhost-user: /a}\n", "a name has"},
	{TOP "- {name: a, vhost-user: /a, colour: red}\n", "colour"},
	{TOP "- {name: a, vhost-user: /a}\n- {name: a, vhost-user: /b}\n", "two ports 'a'"},
	{TOP "- {name: a, vhost-user: /a}\n- {name: b, vhost-user: /a}\n", "one socket"},
	{TOP "- {name: a, device: x}\n- {name: b, device: x}\n", "one device"},
	{TOP "- {name: a, vhost-user: /a, mtu: 67}\n", "mtu"},
	{TOP "- {name: a, vhost-user: /a, mtu: 65536}\n", "mtu"},
	{TOP "- {name: a, vhost-user: /a, vlan: {access: 4095}}\n", "1 to 4094"},
	{TOP "- {name: a, vhost-user: /a, vlan: {}}\n", "vlan"},
	{TOP "- {name: a, vhost-user: /a, vlan: {access: 1, native: 2}}\n", "neither"},
	{TOP "- {name: a, vhost-user: /a, vlan: {trunk: ['0']}}\n", "'0' is no VLAN"},
	{TOP "- {name: a, vhost-user: /a, vlan: {trunk: ['4095']}}\n", "'4095' is no VLAN"},
	{TOP "- {name: a, vhost-user: /a, vlan: {trunk: ['9-8']}}\n", "'9-8' is no VLAN"},
	{TOP "- {name: a, vhost-user: /a, vlan: {trunk: ['1x']}}\n", "'1x' is no VLAN"},
	{TOP "- {name: a, vhost-user: /a, no-flood: [all]}\n", "all"},
	{TOP "- {name: a, vhost-user: /a, police: {kbit: 0}}\n", "kbit"},
	{TOP "- {name: a, vhost-user: /a, police: {kbit: 9, burst-kb: 1}}\n", "one frame"},
	{TOP "- {name: a, vhost-user: /a, shape: {burst: 9kb}}\n", "rate"},
	{TOP "- {name: a, vhost-user: /a, multicast: {limit: 0}}\n", "limit must be 1"},
	{TOP "- {name: a, vhost-user: /a, multicast: {router: maybe}}\n", "maybe"},
	{"socket: /s\nmulticast: {snooping: true, unregistered: lose}\n", "lose"},
	{"socket: /s\nmulticast: {ageing: 0}\n", "ageing must be 1"},
	{TOP "- {name: a, vhost-user: /a, shape: {rate: 9mb}}\n", "'9mb' is no rate"},
	{TOP "- {name: a, vhost-user: /a, shape: {rate: 9mbit, burst: x}}\n", "'x' is no size"},
	{TOP "- {name: a, vhost-user: /a, shape: {rate: 9mbit, limit: 1500}}\n", "one frame"},
	{TOP "- {name: a, vhost-user: /a, anti-spoofing: {mac: ['1:2']}}\n", "'1:2' is no"},
	{TOP "- {name: a, vhost-user: /a, anti-spoofing: {mac: ['01:00:00:00:00:01']}}\n",
		"one station"},
	{TOP "- {name: a, vhost-user: /a, anti-spoofing: {ipv4: ['1.2.3']}}\n", "IPv4"},
	{TOP "- {name: a, vhost-user: /a, anti-spoofing: {ipv6: ['1.2.3.4']}}\n", "IPv6"},
	{"socket: /s\nsocket: /t\n", "file:2:1: 'socket' is given twice"},
	{"socket: /s\nhugepages: maybe\n", "file:2:12: this must be true or false"},
	{"socket: /s\nmemory-mib: 1G\n", "file:2:13: memory-mib: '1G' is no whole number"},
	{"socket: /s\ncore: 1.5\n", "file:2:7: core: '1.5' is no whole number"},
	{"socket: /s\ncores: [0, 1x]\n", "file:2:12: cores: '1x' is no whole number"},
	{"socket: /s\nfdb: {ageing: ''}\n", "file:2:15: ageing: '' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, mtu: 9000k}\n", "mtu: '9000k' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, mtu: '1500 '}\n", "mtu: '1500 ' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, mtu: 1.5e3}\n", "mtu: '1.5e3' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, vlan: {access: 10x}}\n", "'10x' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, vlan: {access: 0x}}\n", "'0x' is no whole number"},
	/* 8 to who wrote YAML 1.1, 10 to everybody else */
	{TOP "- {name: a, vhost-user: /a, vlan: {access: 010}}\n", "'010' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, police: {kbit: 10M}}\n", "'10M' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, storm: {unknown: 5.0}}\n", "'5.0' is no whole number"},
	{TOP "- {name: a, vhost-user: /a, storm: {broadcast: 0}}\n", "broadcast must be 1"},
	{TOP "- {name: a, vhost-user: /a, storm: {multicast: 0}}\n", "multicast must be 1"},
	{TOP "- {name: a, vhost-user: /a, storm: {unknown: 0}}\n", "unknown must be 1"},
	{TOP "- {name: a, tap: a}\nmirrors: [{name: \"m\\n\", from: [a], vlan: 7}]\n",
		"a name has"},
	{"{\"socket\": \"/s\\u0000x\"}", "file:1:12: a text with a zero byte"},
	{"{\"socket\\u0000x\": \"/s\"}", "file:1:2: a text with a zero byte"},
	{TOP "- {name: a, vhost-user: /a, vlan: {trunk: [\"1\\02\"]}}\n",
		"a text with a zero byte"},
	{"socket: /s\nports: {\n", "file:3:1: "},
	{"socket: [/s]\n", "file:1:9: socket: "},
	{"- socket\n", "file:1:1: "},
	{"socket: /s\nmemory-mib: 0\n", "file:2:13: memory-mib"},
	{"socket: /s\nfdb:\n  capacity: 0\n", "file:3:13: fdb: capacity"},
	{TOP "- name: a\n  vhost-user: /a\n  vlan:\n    access: 4095\n", "file:6:13: port 'a'"},
	{TOP "- name: a\n  vhost-user: /a\n  vlan:\n    trunk:\n    - 1\n    - 4095\n",
		"file:8:7: port 'a'"},
	{TOP "- name: a\n  vhost-user: /a\n- name: a\n  vhost-user: /b\n",
		"file:5:9: there are two ports 'a'"},
	{TOP "- name: a\n  vhost-user: /a\n- name: b\n  vhost-user: /a\n",
		"file:5:3: ports 'a' and 'b' have one socket, /a"},
	{TOP "- {name: a, tap: a/b}\n", "file:3:18: port 'a': tap: 'a/b' is no name"},
	{TOP "- {name: a, tap: abcdefghijklmnop}\n", "file:3:18: tap: "},
	{TOP "- {name: a, af-packet: 'e,iface=x'}\n", "is no name of an interface"},
	{TOP "- {name: a, pci: 3b}\n", "file:3:18: port 'a': pci: '3b' is no PCI address"},
	{TOP "- {name: a, pcap: {}}\n", "give rx, tx or both"},
	{TOP "- {name: a, pcap: {rx: x}}\n", "file:3:24: port 'a': the path 'x' must begin"},
	{TOP "- {name: a, pcap: {rx: '/a,iface=b'}}\n", "DPDK takes no ','"},
	{TOP "- {name: a, tap: x}\n- {name: b, device: x}\n", "one device"},
	{TOP "- {name: a, tap: x}\nfdb: {static: [{mac: '02:00:00:00:00:01', port: b}]}\n",
		"file:4:49: fdb: there is no port 'b'"},
	{TOP "- {name: a, tap: x}\nfdb: {static: [{mac: '03:00:00:00:00:01', port: a}]}\n",
		"file:4:22: fdb: "},
	{TOP "- {name: a, tap: x}\n"
	     "fdb: {static: [{mac: '02:00:00:00:00:01', port: a, vlan: 7}]}\n",
		"file:4:58: fdb: 02:00:00:00:00:01: port 'a' is not in VLAN 7"},
	{TOP "- {name: a, tap: x}\n"
	     "fdb: {static: [{mac: '02:00:00:00:00:01', port: a},\n"
	     "  {mac: '02:00:00:00:00:01', port: a}]}\n",
		"file:5:9: fdb: 02:00:00:00:00:01 is given twice"},
	{TOP "- &a {name: a, vhost-user: /a}\n- *a\n", "file"},
	{"\xff\xfe", "file"},
};

START_TEST(config_refuses_and_says_why)
{
	struct switch_config *c = NULL;
	struct err e = {0};
	const char *text = refused[_i].text;

	ck_assert_int_eq(switch_config_parse("file", text, strlen(text), &e, &c), -EINVAL);
	ck_assert_msg(
		strstr(e.text, refused[_i].says) && strstr(e.text, "file"), "%s: %s", text, e.text);
	ck_assert_ptr_null(c);
	ck_assert_int_eq(switch_config_parse("file", text, strlen(text), NULL, &c), -EINVAL);
}
END_TEST

START_TEST(config_numbers_may_be_hexadecimal)
{
	struct switch_config *c = take("socket: /s\nmemory-mib: 0x80\ncore: 0\n");

	ck_assert_uint_eq(c->memory_mib, 128);
	ck_assert_int_eq(c->cores[0], 0);
	switch_config_destroy(c);
}
END_TEST

START_TEST(config_names_the_file_it_cannot_read)
{
	struct switch_config *c = NULL;
	struct err e = {0};

	ck_assert_int_eq(switch_config_load("/nonexistent/x", &e, &c), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/x"));
	ck_assert_int_eq(switch_config_load("/dev/zero", &e, &c), -EINVAL);
	ck_assert_int_eq(switch_config_load("/", &e, &c), -EINVAL);
}
END_TEST

START_TEST(mac_is_six_pairs_and_nothing_else)
{
	static const char *const bad[] = {"", "02", "02:00:00:00:00", "02:00:00:00:00:0",
		"02:00:00:00:00:01:", "02-00-00-00-00-01", "0g:00:00:00:00:01",
		" 2:00:00:00:00:01"};
	uint64_t mac;
	char text[18];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(mac_parse(bad[i], &mac), -EINVAL);
	ck_assert_int_eq(mac_parse("fe:dc:ba:98:76:54", &mac), 0);
	ck_assert_uint_eq(mac, 0xfedcba987654ull);
	mac_format(mac, text);
	ck_assert_str_eq(text, "fe:dc:ba:98:76:54");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, config_defaults_are_those_of_the_manual);
	tcase_add_test(tc, config_takes_everything_it_names);
	tcase_add_loop_test(
		tc, config_refuses_and_says_why, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tc, config_numbers_may_be_hexadecimal);
	tcase_add_test(tc, config_names_the_file_it_cannot_read);
	tcase_add_test(tc, mac_is_six_pairs_and_nothing_else);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
