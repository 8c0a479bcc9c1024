// SPDX-License-Identifier: GPL-2.0-or-later
/* What a PF gives its VFs: words, messages, and what is made of a kernel's answers. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/vfattr.h"

static void setup(void)
{
	world_up();
	carve(3);
}

/* "vlan=5 qos=3" */
static struct vfm_settings words(const char *text)
{
	struct vfm_settings s = {0};
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		ck_assert_msg(vfm_setting_parse(w, &s, &e) == 0, "%s", e.text);
	return s;
}

static int set(const char *text, uint32_t *ret_changed)
{
	struct vfm_settings s = words(text);

	return vfm_set(v, vf1, &s, ret_changed, &e);
}

/* --- words --- */

static const char *const good_words[] = {"mac=52:54:00:00:00:01", "mac=none", "vlan=4094", "vlan=0",
	"qos=7", "proto=802.1q", "proto=802.1ad", "min-rate=100", "max-rate=4294967295",
	"spoofchk=on", "spoofchk=off", "link-state=auto", "link-state=enable", "link-state=disable",
	"rss-query=on", "trust=off", "node-guid=0011223344556677", "port-guid=ffffffffffffffff"};

START_TEST(a_word_that_is_read_is_written_the_same)
{
	struct vfm_settings s = words(good_words[_i]);
	char value[VFM_VALUE_MAX], back[64];
	unsigned int setting = (unsigned int)__builtin_ctz(s.set);

	ck_assert_int_eq(__builtin_popcount(s.set), 1);
	snprintf(back, sizeof(back), "%s=%s", vfm_setting_name(setting),
		vfm_setting_format(&s, setting, value));
	ck_assert_str_eq(back, good_words[_i]);
}
END_TEST

static const struct {
	const char *word, *says;
} bad_words[] = {
	{"mac", "no setting"},
	{"=on", "no setting"},
	{"ma=on", "no setting"},
	{"macs=on", "KEY one of mac, vlan, qos"},
	{"mac=", "no value of mac"},
	{"mac=52:54:00:00:00", "no value of mac"},
	{"mac=52:54:00:00:00:0g", "no value of mac"},
	{"mac=5:254:00:00:00:01", "no value of mac"},
	{"mac=52-54-00-00-00-01", "no value of mac"},
	{"vlan=4095", "1 to 4094"},
	{"vlan=-1", "no value of vlan"},
	{"vlan=0x10", "no value of vlan"},
	{"vlan=1 ", "no value of vlan"},
	{"qos=8", "0 to 7"},
	{"proto=802.1", "802.1q or 802.1ad"},
	{"max-rate=4294967296", "no value of max-rate"},
	{"max-rate=99999999999999999999999", "no value of max-rate"},
	{"spoofchk=yes", "no value of spoofchk"},
	{"link-state=up", "auto (the PF's), enable or disable"},
	{"node-guid=001122334455667", "16 hexadecimal digits"},
	{"node-guid=00:11:22:33:44:55:66.77", "16 hexadecimal digits"},
};

START_TEST(a_word_that_means_nothing_is_refused_with_what_would)
{
	struct vfm_settings s = {0};

	ck_assert_int_eq(vfm_setting_parse(bad_words[_i].word, &s, &e), -EINVAL);
	assert_says(bad_words[_i].says);
	ck_assert_uint_eq(s.set, 0);
}
END_TEST

START_TEST(a_key_with_two_values_is_refused)
{
	struct vfm_settings s = words("vlan=5 vlan=5");

	ck_assert_int_eq(vfm_setting_parse("vlan=6", &s, &e), -EEXIST);
	ck_assert_uint_eq(s.vlan, 5);
	s = words("node-guid=00:11:22:33:44:55:66:77");
	ck_assert_uint_eq(s.node_guid, 0x0011223344556677);
}
END_TEST

/* --- set --- */

START_TEST(set_changes_what_is_named_and_nothing_else)
{
	const struct vfm_settings *have = &k.knobs->pf[0].vf[1];
	uint32_t changed;

	ck_assert_msg(set("mac=52:54:00:00:00:07 vlan=100 qos=3 max-rate=500 spoofchk=on trust=on",
			      &changed) == 0,
		"%s", e.text);
	ck_assert_uint_eq(changed, VFM_BIT(MAC) | VFM_BIT(VLAN) | VFM_BIT(QOS) | VFM_BIT(MAX_RATE) |
					   VFM_BIT(SPOOFCHK) | VFM_BIT(TRUST));
	ck_assert_uint_eq(have->vlan, 100);
	ck_assert_uint_eq(have->qos, 3);
	ck_assert_uint_eq(have->max_rate, 500);
	ck_assert(have->spoofchk && have->trust);
	ck_assert_int_eq(set("qos=5", &changed), 0);
	ck_assert_uint_eq(have->vlan, 100);
	ck_assert_uint_eq(have->qos, 5);
	k.knobs->unsupported = 0;
	ck_assert_int_eq(set("min-rate=100", NULL), 0);
	ck_assert_uint_eq(have->max_rate, 500);
	ck_assert_int_eq(set("proto=802.1ad", NULL), 0);
	ck_assert_uint_eq(have->proto, VFM_PROTO_8021AD);
	ck_assert_uint_eq(have->vlan, 100);
	/* The VLAN takes what belongs to it along. */
	ck_assert_int_eq(set("vlan=none", NULL), 0);
	ck_assert_uint_eq(have->vlan, 0);
	ck_assert_uint_eq(have->qos, 0);
	ck_assert_uint_eq(have->proto, VFM_PROTO_8021Q);
	ck_assert_uint_eq(k.knobs->pf[0].vf[0].vlan, 0);
}
END_TEST

START_TEST(set_of_what_is_there_sends_no_message_but_a_question)
{
	uint32_t changed = 1;

	ck_assert_int_eq(set("vlan=100 trust=on", NULL), 0);
	k.knobs->calls = 0;
	ck_assert_int_eq(set("vlan=100 trust=on", &changed), 0);
	ck_assert_uint_eq(changed, 0);
	ck_assert_uint_eq(k.knobs->calls, 1);
}
END_TEST

static const struct {
	const char *words;
	uint32_t unsupported;
	int code;
	const char *says;
} refusals[] = {
	{"link-state=disable", VFM_BIT(LINK_STATE), EOPNOTSUPP, "link-state disable"},
	{"rss-query=on", VFM_BIT(RSS_QUERY), EOPNOTSUPP, "the PF's driver cannot do this"},
	{"node-guid=0000000000000001", VFM_BIT(NODE_GUID), EOPNOTSUPP, "node-guid"},
	{"vlan=5 proto=802.1ad", VFM_BIT(PROTO), EPROTONOSUPPORT, "vlan 5, proto 802.1ad"},
	{"min-rate=5", VFM_BIT(MIN_RATE), EINVAL, "min-rate 5"},
	{"min-rate=5 max-rate=4", 0, EINVAL, "above max-rate"},
	{"qos=3", 0, EINVAL, "give a vlan too"},
	{"mac=01:00:00:00:00:00", 0, EINVAL, "multicast"},
	{"mac=52:54:00:00:00:01", 0, EADDRINUSE, "eth0"},
	/* The first two are made and taken back. */
	{"mac=52:54:00:00:00:07 vlan=9 trust=on rss-query=on", VFM_BIT(RSS_QUERY), EOPNOTSUPP,
		"rss-query on"},
};

START_TEST(what_is_refused_leaves_the_vf_as_it_was)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	ck_assert_int_eq(set("vlan=77 qos=1 max-rate=10", NULL), 0);
	if (refusals[_i].says[0] == 'g')
		ck_assert_int_eq(set("vlan=0", NULL), 0);
	before = fake_state(&k);
	k.knobs->unsupported = refusals[_i].unsupported;
	ck_assert_int_eq(set(refusals[_i].words, NULL), -refusals[_i].code);
	assert_says(refusals[_i].says);
	assert_says("set 0000:01:10.2: ");
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

static void carrier_write(const char *text)
{
	char path[256];
	FILE *f;

	snprintf(
		path, sizeof(path), "%s/sys/bus/pci/devices/0000:01:00.0/net/eth0/carrier", k.root);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void *link_comes(void *arg)
{
	usleep(100000);
	k.knobs->no_link = false;
	carrier_write("1\n");
	return NULL;
}

START_TEST(a_rate_waits_for_the_link_also_when_it_is_none)
{
	static const char *const rates[] = {"max-rate=100", "max-rate=0"};
	uint32_t changed;
	pthread_t thread;

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		carrier_write("0\n");
		k.knobs->no_link = true;
		ck_assert_int_eq(pthread_create(&thread, NULL, link_comes, NULL), 0);
		ck_assert_msg(set(rates[i], &changed) == 0, "%s: %s", rates[i], e.text);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
}
END_TEST

START_TEST(set_does_not_believe_an_acknowledgement)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	before = fake_state(&k);
	k.knobs->rate_ignored = 1;
	ck_assert_int_eq(set("vlan=5 max-rate=100", NULL), -EIO);
	assert_says("max-rate 100 set, but eth0 reports 0 for it");
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(set_says_when_a_driver_does_not_report_a_switch)
{
	/* It takes it, but cannot be asked. */
	struct vfm_settings got;

	k.knobs->unsupported |= VFM_BIT(SPOOFCHK);
	ck_assert_int_eq(vfm_get(v, vf1, &got, &e), 0);
	ck_assert(!(got.set & VFM_BIT(SPOOFCHK)));
	ck_assert(got.set & VFM_BIT(TRUST));
	ck_assert(!(got.set & VFM_BIT(RSS_QUERY)));
	ck_assert(got.set & VFM_BIT(MAC) && got.set & VFM_BIT(PROTO));
}
END_TEST

START_TEST(every_message_fails_in_turn)
{
	static const char change[] = "mac=52:54:00:00:00:07 vlan=9 qos=2 max-rate=7 trust=on";

	ck_assert_int_eq(set("vlan=77 qos=1 max-rate=10", NULL), 0);
	for (unsigned int at = 1;; at++) {
		_cleanup_free_ char *before = fake_state(&k), *after = NULL;
		int r;

		k.knobs->calls = 0;
		k.knobs->fail_at = at;
		k.knobs->fail_code = EIO;
		r = set(change, NULL);
		k.knobs->fail_at = 0;
		after = fake_state(&k);
		if (r == 0) {
			/* One question, four messages, one more question. */
			ck_assert_uint_eq(at, 7);
			ck_assert(strstr(after, "vlan 9.2 rate 0-7") != NULL);
			return;
		}
		ck_assert_str_eq(before, after);
	}
}
END_TEST

/* --- answers --- */

static size_t attr_put(uint8_t *p, uint16_t type, const void *data, size_t len)
{
	uint16_t h[2] = {(uint16_t)(4 + len), type};

	memcpy(p, h, 4);
	memcpy(p + 4, data, len);
	return 4 + ((len + 3) & ~(size_t)3);
}

/* More VFs than the 16 bits of the list's length can say: the kernel then writes what is left of it. */
START_TEST(answers_with_too_many_vfs_are_read_to_the_end)
{
	enum { VFS = 252, SIZE = 100000 };
	_cleanup_free_ uint8_t *msg = calloc(1, SIZE);
	_cleanup_free_ struct vfm_settings *vf = calloc(VFS, sizeof(*vf));
	size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg), at = fixed + 4;
	struct nlmsghdr h = {.nlmsg_type = RTM_NEWLINK};
	struct ifinfomsg ifi = {.ifi_index = 5};
	uint8_t broadcast[32] = {0xff}, address[6] = {2};
	uint16_t len;

	for (uint32_t i = 0; i < VFS; i++) {
		size_t record = at;
		struct ifla_vf_mac mac = {.vf = i, .mac = {2, 0, 0, 0, 0, (uint8_t)i}};
		struct ifla_vf_trust trust = {.vf = i, .setting = i & 1};
		uint8_t pad[180] = {0};

		at += 4;
		at += attr_put(msg + at, IFLA_VF_MAC, &mac, sizeof(mac));
		at += attr_put(msg + at, IFLA_VF_BROADCAST, broadcast, sizeof(broadcast));
		at += attr_put(msg + at, IFLA_VF_STATS, pad, sizeof(pad));
		at += attr_put(msg + at, IFLA_VF_TRUST, &trust, sizeof(trust));
		len = (uint16_t)(at - record);
		memcpy(msg + record, &len, 2);
		msg[record + 2] = IFLA_VF_INFO;
	}
	ck_assert_uint_gt(at - fixed, 65535);
	len = (uint16_t)(at - fixed);
	memcpy(msg + fixed, &len, 2);
	msg[fixed + 2] = IFLA_VFINFO_LIST;
	/* What follows the list is not a VF, though it has the number of a VF's record. */
	at += attr_put(msg + at, IFLA_ADDRESS, address, sizeof(address));
	h.nlmsg_len = (uint32_t)at;
	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), &ifi, sizeof(ifi));
	ck_assert_int_eq(vf_reply_decode(msg, at, 5, vf, VFS, &e), 0);
	for (uint32_t i = 0; i < VFS; i++) {
		ck_assert_uint_eq(vf[i].set, VFM_BIT(MAC) | VFM_BIT(TRUST));
		ck_assert_uint_eq(vf[i].mac[5], i);
		ck_assert_uint_eq(vf[i].trust, i & 1);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-configure");
	TCase *t = tcase_create("configure");

	tcase_add_checked_fixture(t, setup, world_down);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, a_word_that_is_read_is_written_the_same, 0, ARRAY_SIZE(good_words));
	tcase_add_loop_test(
		t, a_word_that_means_nothing_is_refused_with_what_would, 0, ARRAY_SIZE(bad_words));
	tcase_add_test(t, a_key_with_two_values_is_refused);
	tcase_add_test(t, set_changes_what_is_named_and_nothing_else);
	tcase_add_test(t, set_of_what_is_there_sends_no_message_but_a_question);
	tcase_add_loop_test(t, what_is_refused_leaves_the_vf_as_it_was, 0, ARRAY_SIZE(refusals));
	tcase_add_test(t, a_rate_waits_for_the_link_also_when_it_is_none);
	tcase_add_test(t, set_does_not_believe_an_acknowledgement);
	tcase_add_test(t, set_says_when_a_driver_does_not_report_a_switch);
	tcase_add_test(t, every_message_fails_in_turn);
	tcase_add_test(t, answers_with_too_many_vfs_are_read_to_the_end);
	suite_add_tcase(s, t);
	return suite_run(s);
}
