// SPDX-License-Identifier: GPL-2.0-or-later
/* Counters as Prometheus reads them, where they may be served, and what a port forgets when it changes. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/address.h"
#include "vswitch/prometheus.h"

START_TEST(prometheus_escapes_labels)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	prometheus_label_write(f, "a\\b\"c\nd");
	fclose(f);
	ck_assert_str_eq(text, "a\\\\b\\\"c\\nd");
	free(text);
}
END_TEST

START_TEST(prometheus_names_port_and_reason)
{
	struct vswitch_port p = {.up = true};
	struct vswitch_stats s = {.fdb_entries = 7};
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	strcpy(p.cfg.name, "a.1");
	p.counters.rx_packets = UINT64_MAX;
	p.counters.drops[DROP_OVERSIZE] = 3;
	prometheus_write(f, &p, 1, &s);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "\nviaduct_port_up{port=\"a.1\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(
		text, "\nviaduct_port_receive_frames_total{port=\"a.1\"} 18446744073709551615\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "\nviaduct_port_drops_total{port=\"a.1\",reason=\"oversize\"} 3\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nviaduct_fdb_entries 7\n"));
	free(text);
}
END_TEST

static const struct {
	const char *text;
	int r;
} addresses[] = {
	{"127.0.0.1:1", 0},
	{"127.9.9.9:65535", 0},
	{"[::1]:9100", 0},
	{"0.0.0.0:9100", -EACCES},
	{"10.0.0.1:9100", -EACCES},
	{"[::]:9100", -EACCES},
	{"[2001:db8::1]:9100", -EACCES},
	{"127.0.0.1", -EINVAL},
	{"127.0.0.1:", -EINVAL},
	{"127.0.0.1:0", -EINVAL},
	{"127.0.0.1:65536", -EINVAL},
	{"127.0.0.1:9100x", -EINVAL},
	{"127.0.0.1:-1", -EINVAL},
	{"localhost:9100", -EINVAL},
	{"::1:9100", -EINVAL},
	{"[::1:9100", -EINVAL},
	{"[]:9100", -EINVAL},
	{"[127.0.0.1]:9100", -EINVAL},
	{":9100", -EINVAL},
	{"", -EINVAL},
	{"1111111111111111111111111111111111111111111111111111111111:1", -EINVAL},
};

START_TEST(address_is_one_that_only_this_machine_reaches)
{
	struct address a;

	ck_assert_msg(
		address_parse(addresses[_i].text, &a) == addresses[_i].r, "%s", addresses[_i].text);
}
END_TEST

static struct forward *world(void)
{
	struct fdb_config cfg = {.capacity = 64, .nr_ports = FORWARD_PORTS_MAX, .ageing_s = 300};
	struct forward *fw;

	ck_assert_int_eq(forward_create(&cfg, &fw), 0);
	for (uint16_t i = 0; i < 2; i++) {
		forward_port_init(&fw->ports[i]);
		vlan_port_trunk(&fw->ports[i].vlan, 1);
		vlan_port_add(&fw->ports[i].vlan, 2, 3);
		fdb_learn(fw->fdb, fdb_key(0x020000000001 + i, 1), i, 1);
		fdb_learn(fw->fdb, fdb_key(0x020000000001 + i, 2), i, 1);
		fdb_add_static(fw->fdb, fdb_key(0x020000000011 + i, 2), i);
	}
	return fw;
}

/* A limit that changes must not make the port's guests unknown. */
START_TEST(port_set_forgets_only_what_it_must)
{
	struct forward *fw = world();
	struct forward_port to = fw->ports[0];

	to.mtu = 9000;
	to.isolated = true;
	forward_port_set(fw, 0, &to);
	ck_assert_uint_eq(fdb_count(fw->fdb), 6);
	vlan_port_trunk(&to.vlan, 1);
	forward_port_set(fw, 0, &to);
	ck_assert_uint_eq(fdb_count(fw->fdb), 4);
	ck_assert_uint_eq(fdb_lookup(fw->fdb, fdb_key(0x020000000001, 1)), 0);
	ck_assert_uint_eq(fdb_lookup(fw->fdb, fdb_key(0x020000000001, 2)), FDB_NO_PORT);
	ck_assert_uint_eq(fdb_lookup(fw->fdb, fdb_key(0x020000000002, 2)), 1);
	to.guard.mac[to.guard.nr_mac++] = 0x0200000000ff;
	forward_port_set(fw, 0, &to);
	ck_assert_uint_eq(fdb_lookup(fw->fdb, fdb_key(0x020000000001, 1)), FDB_NO_PORT);
	ck_assert_uint_eq(fdb_count(fw->fdb), 3);
	forward_destroy(fw);
}
END_TEST

/* Else every change of anything would be a free burst. */
START_TEST(port_set_keeps_what_a_meter_has_used)
{
	struct forward *fw = world();
	struct forward_port to = fw->ports[0];

	meter_init(&to.police, 1000, 5000, 0);
	forward_port_set(fw, 0, &to);
	ck_assert(meter_take(&fw->ports[0].police, 4000, 1));
	to.mtu = 2000;
	forward_port_set(fw, 0, &to);
	ck_assert(!meter_take(&fw->ports[0].police, 4000, 2));
	meter_init(&to.police, 2000, 5000, 0);
	forward_port_set(fw, 0, &to);
	ck_assert(meter_take(&fw->ports[0].police, 4000, 3));
	forward_destroy(fw);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metrics");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, prometheus_escapes_labels);
	tcase_add_test(t, prometheus_names_port_and_reason);
	tcase_add_loop_test(
		t, address_is_one_that_only_this_machine_reaches, 0, ARRAY_SIZE(addresses));
	tcase_add_test(t, port_set_forgets_only_what_it_must);
	tcase_add_test(t, port_set_keeps_what_a_meter_has_used);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
