// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rtnetlink messages to a peer that reads and writes them with nothing but offsets and lengths, by the
 * kernel's own rules (rtnetlink.c's ifla_vf_policy, do_setvfinfo(), rtnl_fill_vfinfo()): encode, the
 * peer's decoder, its state, its answer, decode.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "vf-manager/internal.h"
#include "vf-manager/stats.h"

#define MAX_PEER_VFS 1000
#define IFINDEX      5
#define ANSWER_SIZE  (1u << 20)

/* What the peer's driver keeps of a VF. */
struct peer_vf {
	uint8_t mac[32];
	uint32_t vlan, qos, min_rate, max_rate, spoofchk, link_state, rss, trust;
	uint16_t proto; /* as it is on the wire */
	uint64_t node_guid, port_guid;
};

struct peer {
	struct peer_vf vf[MAX_PEER_VFS];
	uint32_t n;
	bool infiniband;
	unsigned requests;
	uint8_t *out;
	size_t len;
};

static struct peer *peer;
static struct vfm *v;
static struct err e;

/* --- the peer reads --- */

struct bytes {
	const uint8_t *p;
	size_t left;
};

static uint32_t word(const uint8_t *p, unsigned i)
{
	uint32_t w;

	memcpy(&w, p + 4 * i, 4);
	return w;
}

/* The next attribute; a length that makes no sense is our bug. */
static bool attr_next(struct bytes *b, uint16_t *ret_type, struct bytes *ret)
{
	uint16_t len, type;
	size_t step;

	if (b->left < 4)
		return false;
	memcpy(&len, b->p, 2);
	memcpy(&type, b->p + 2, 2);
	ck_assert_uint_ge(len, 4);
	ck_assert_uint_le(len, b->left);
	*ret_type = type & 0x3fff; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
	*ret = (struct bytes){b->p + 4, len - 4u};
	step = (len + 3u) & ~3u;
	step = step < b->left ? step : b->left;
	b->p += step;
	b->left -= step;
	return true;
}

static int vlan_list_set(struct peer *p, struct bytes list)
{
	struct bytes a;
	uint16_t type, proto;
	unsigned n = 0;

	while (attr_next(&list, &type, &a)) {
		/* MAX_VLAN_LIST_LEN is 1; 14 bytes of fields in a struct of 16. */
		if (type != IFLA_VF_VLAN_INFO || a.left < 14 || n++)
			return -EINVAL;
		if (word(a.p, 0) >= p->n)
			return -EINVAL;
		memcpy(&proto, a.p + 12, 2);
		if (proto != htons(0x8100) && proto != htons(0x88a8))
			return -EPROTONOSUPPORT;
		p->vf[word(a.p, 0)].vlan = word(a.p, 1);
		p->vf[word(a.p, 0)].qos = word(a.p, 2);
		p->vf[word(a.p, 0)].proto = proto;
	}
	return n ? 0 : -EOPNOTSUPP;
}

static int attr_set(struct peer *p, uint16_t type, struct bytes a)
{
	/* ifla_vf_policy: the least number of bytes. */
	static const uint8_t least[] = {[IFLA_VF_MAC] = 36,
		[IFLA_VF_VLAN] = 12,
		[IFLA_VF_RATE] = 12,
		[IFLA_VF_SPOOFCHK] = 8,
		[IFLA_VF_LINK_STATE] = 8,
		[IFLA_VF_RSS_QUERY_EN] = 8,
		[IFLA_VF_TRUST] = 8,
		[IFLA_VF_IB_NODE_GUID] = 16,
		[IFLA_VF_IB_PORT_GUID] = 16};
	struct peer_vf *vf;

	if (type == IFLA_VF_VLAN_LIST)
		return vlan_list_set(p, a);
	if (type >= sizeof(least) || !least[type] || a.left < least[type])
		return -EINVAL;
	if (word(a.p, 0) >= p->n)
		return -EINVAL;
	vf = &p->vf[word(a.p, 0)];
	switch (type) {
	case IFLA_VF_MAC: memcpy(vf->mac, a.p + 4, 32); break;
	case IFLA_VF_VLAN:
		if (word(a.p, 1) > 4095 || word(a.p, 2) > 7)
			return -EINVAL;
		vf->vlan = word(a.p, 1);
		vf->qos = word(a.p, 2);
		vf->proto = htons(0x8100);
		break;
	case IFLA_VF_RATE:
		if (word(a.p, 2) && word(a.p, 1) > word(a.p, 2))
			return -EINVAL;
		vf->min_rate = word(a.p, 1);
		vf->max_rate = word(a.p, 2);
		break;
	case IFLA_VF_SPOOFCHK: vf->spoofchk = word(a.p, 1); break;
	case IFLA_VF_LINK_STATE: vf->link_state = word(a.p, 1); break;
	case IFLA_VF_RSS_QUERY_EN: vf->rss = word(a.p, 1); break;
	case IFLA_VF_TRUST: vf->trust = word(a.p, 1); break;
	case IFLA_VF_IB_NODE_GUID:
		if (!p->infiniband)
			return -EOPNOTSUPP;
		memcpy(&vf->node_guid, a.p + 8, 8);
		break;
	default:
		if (!p->infiniband)
			return -EOPNOTSUPP;
		memcpy(&vf->port_guid, a.p + 8, 8);
	}
	return 0;
}

/* RTM_SETLINK: every attribute of every VF record, until one is refused. */
static int link_set(struct peer *p, struct bytes attrs)
{
	struct bytes list, info, a;
	uint16_t type;
	int r = 0;

	while (attr_next(&attrs, &type, &list)) {
		if (type != IFLA_VFINFO_LIST)
			continue;
		while (r == 0 && attr_next(&list, &type, &info)) {
			if (type != IFLA_VF_INFO)
				return -EINVAL;
			while (r == 0 && attr_next(&info, &type, &a))
				r = attr_set(p, type, a);
		}
	}
	return r;
}

/* --- the peer writes --- */

static size_t begin(struct peer *p, uint16_t type)
{
	memcpy(p->out + p->len + 2, &type, 2);
	p->len += 4;
	return p->len - 4;
}

/* As nla_nest_end() of the kernel: what does not fit in 16 bits is lost. */
static void end(struct peer *p, size_t at)
{
	uint16_t len = (uint16_t)(p->len - at);

	memcpy(p->out + at, &len, 2);
	p->len = (p->len + 3) & ~(size_t)3;
}

static void put(struct peer *p, uint16_t type, const void *data, size_t len)
{
	size_t at = begin(p, type);

	memcpy(p->out + p->len, data, len);
	p->len += len;
	end(p, at);
}

static void put_words(struct peer *p, uint16_t type, unsigned n, uint32_t a, uint32_t b, uint32_t c)
{
	put(p, type, (uint32_t[]){a, b, c}, 4 * n);
}

static void guid_put(struct peer *p, uint16_t type, uint32_t vf, uint64_t guid)
{
	uint8_t b[16] = {0};

	memcpy(b, &vf, 4);
	memcpy(b + 8, &guid, 8);
	put(p, type, b, sizeof(b));
}

static void record_put(struct peer *p, uint32_t i, bool stats)
{
	const struct peer_vf *vf = &p->vf[i];
	uint8_t mac[36], broadcast[32], vlan_info[16] = {0};
	size_t at = begin(p, IFLA_VF_INFO), list;

	memcpy(mac, &i, 4);
	memcpy(mac + 4, vf->mac, 32);
	memset(broadcast, 0xff, sizeof(broadcast));
	put(p, IFLA_VF_MAC, mac, sizeof(mac));
	put(p, IFLA_VF_BROADCAST, broadcast, sizeof(broadcast));
	put_words(p, IFLA_VF_VLAN, 3, i, vf->vlan, vf->qos);
	put_words(p, IFLA_VF_RATE, 3, i, vf->min_rate, vf->max_rate);
	put_words(p, IFLA_VF_TX_RATE, 2, i, vf->max_rate, 0);
	put_words(p, IFLA_VF_SPOOFCHK, 2, i, vf->spoofchk, 0);
	put_words(p, IFLA_VF_LINK_STATE, 2, i, vf->link_state, 0);
	put_words(p, IFLA_VF_RSS_QUERY_EN, 2, i, vf->rss, 0);
	put_words(p, IFLA_VF_TRUST, 2, i, vf->trust, 0);
	if (p->infiniband) {
		guid_put(p, IFLA_VF_IB_NODE_GUID, i, vf->node_guid);
		guid_put(p, IFLA_VF_IB_PORT_GUID, i, vf->port_guid);
	}
	list = begin(p, IFLA_VF_VLAN_LIST);
	memcpy(vlan_info, (uint32_t[]){i, vf->vlan, vf->qos}, 12);
	memcpy(vlan_info + 12, &vf->proto, 2);
	put(p, IFLA_VF_VLAN_INFO, vlan_info, sizeof(vlan_info));
	end(p, list);
	if (stats) {
		list = begin(p, IFLA_VF_STATS);
		for (uint16_t c = 0; c < 9; c++) {
			uint64_t value = i * 100u + c;

			/* IFLA_VF_STATS_PAD lies among them. */
			if (c != IFLA_VF_STATS_PAD)
				put(p, c, &value, 8);
			else
				put(p, c, "", 0);
		}
		end(p, list);
	}
	end(p, at);
}

static void answer(struct peer *p, const struct nlmsghdr *h, bool stats)
{
	struct ifinfomsg ifi = {.ifi_index = IFINDEX};
	uint8_t address[6] = {2};
	size_t at;

	p->len = sizeof(struct nlmsghdr);
	memcpy(p->out + p->len, &ifi, sizeof(ifi));
	p->len += sizeof(ifi);
	put(p, IFLA_NUM_VF, &p->n, 4);
	at = begin(p, IFLA_VFINFO_LIST);
	for (uint32_t i = 0; i < p->n; i++)
		record_put(p, i, stats);
	end(p, at);
	put(p, IFLA_ADDRESS, address, sizeof(address));
	*(struct nlmsghdr *)(void *)p->out = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)p->len,
		.nlmsg_type = RTM_NEWLINK,
		.nlmsg_seq = h->nlmsg_seq,
	};
}

static void acknowledge(struct peer *p, const struct nlmsghdr *h, int code)
{
	struct nlmsgerr ne = {.error = code, .msg = *h};

	p->len = sizeof(*h) + sizeof(ne);
	memcpy(p->out + sizeof(*h), &ne, sizeof(ne));
	*(struct nlmsghdr *)(void *)p->out = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)p->len,
		.nlmsg_type = NLMSG_ERROR,
		.nlmsg_flags = NLM_F_CAPPED,
		.nlmsg_seq = h->nlmsg_seq,
	};
}

static int peer_talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	const size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	struct peer *p = ctx;
	struct nlmsghdr *h = req;
	const struct ifinfomsg *ifi = (const void *)(h + 1);
	struct bytes attrs = {(const uint8_t *)req + fixed, len - fixed}, mask;
	uint16_t type;

	ck_assert_int_eq(protocol, NETLINK_ROUTE);
	ck_assert_uint_eq(h->nlmsg_len, len);
	ck_assert_uint_ge(len, fixed);
	ck_assert(h->nlmsg_flags & NLM_F_REQUEST);
	ck_assert_int_eq(ifi->ifi_index, IFINDEX);
	h->nlmsg_seq = 1000 + p->requests++;
	if (h->nlmsg_type == RTM_GETLINK) {
		ck_assert(attr_next(&attrs, &type, &mask));
		ck_assert_uint_eq(type, IFLA_EXT_MASK);
		ck_assert(word(mask.p, 0) & RTEXT_FILTER_VF);
		answer(p, h, !(word(mask.p, 0) & RTEXT_FILTER_SKIP_STATS));
	} else {
		ck_assert_int_eq(h->nlmsg_type, RTM_SETLINK);
		ck_assert(h->nlmsg_flags & NLM_F_ACK);
		acknowledge(p, h, link_set(p, attrs));
	}
	*ret_reply = malloc(p->len);
	memcpy(*ret_reply, p->out, p->len);
	*ret_len = p->len;
	return 0;
}

static const struct vfm_ops peer_ops = {.talk = peer_talk};

static void setup(void)
{
	peer = calloc(1, sizeof(*peer));
	peer->out = calloc(1, ANSWER_SIZE);
	peer->n = 3;
	for (unsigned i = 0; i < MAX_PEER_VFS; i++)
		peer->vf[i].proto = htons(0x8100);
	ck_assert_int_eq(
		vfm_create(&(struct vfm_config){.ops = &peer_ops, .ops_ctx = peer}, &v, NULL), 0);
	e = (struct err){0};
}

static void teardown(void)
{
	vfm_destroy(v);
	free(peer->out);
	free(peer);
}

/* --- --- */

static struct vfm_settings words(const char *text)
{
	struct vfm_settings s = {0};
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		ck_assert_int_eq(vfm_setting_parse(w, &s, NULL), 0);
	return s;
}

static const struct {
	const char *text;
	uint32_t bits;
} trips[] = {
	{"mac=52:54:00:12:34:56", VFM_BIT(MAC)},
	{"mac=none", VFM_BIT(MAC)},
	{"vlan=1 qos=0 proto=802.1q", VFM_VLAN_BITS},
	{"vlan=4094 qos=7 proto=802.1q", VFM_VLAN_BITS},
	{"vlan=4094 qos=7 proto=802.1ad", VFM_VLAN_BITS},
	{"vlan=2 qos=1 proto=802.1ad", VFM_VLAN_BITS},
	{"vlan=none qos=0 proto=802.1q", VFM_VLAN_BITS},
	{"min-rate=10 max-rate=0", VFM_RATE_BITS},
	{"min-rate=0 max-rate=20", VFM_RATE_BITS},
	{"min-rate=100 max-rate=4294967295", VFM_RATE_BITS},
	{"min-rate=0 max-rate=0", VFM_RATE_BITS},
	{"spoofchk=on", VFM_BIT(SPOOFCHK)},
	{"spoofchk=off", VFM_BIT(SPOOFCHK)},
	{"link-state=auto", VFM_BIT(LINK_STATE)},
	{"link-state=enable", VFM_BIT(LINK_STATE)},
	{"link-state=disable", VFM_BIT(LINK_STATE)},
	{"rss-query=on", VFM_BIT(RSS_QUERY)},
	{"trust=on", VFM_BIT(TRUST)},
	{"trust=off", VFM_BIT(TRUST)},
	{"node-guid=0123456789abcdef", VFM_BIT(NODE_GUID)},
	{"port-guid=fedcba9876543210", VFM_BIT(PORT_GUID)},
};

START_TEST(what_is_set_is_what_is_read)
{
	struct vfm_settings want = words(trips[_i].text), before[3], after[3];

	peer->infiniband = true;
	/* Not what every test begins with. */
	for (unsigned i = 0; i < 3; i++) {
		struct peer_vf *p = &peer->vf[i];

		*p = (struct peer_vf){
			{9, (uint8_t)i}, 7, 5, 3, 4, 1, 1, 0, 1, htons(0x88a8), 77, 88};
	}
	ck_assert_int_eq(link_get_vfs(v, IFINDEX, before, 3, &e), 0);
	ck_assert_msg(link_set_vf(v, IFINDEX, 1, &want, trips[_i].bits, &e) == 0, "%s", e.text);
	ck_assert_int_eq(link_get_vfs(v, IFINDEX, after, 3, &e), 0);
	ck_assert_uint_eq(vfm_settings_differ(&want, &after[1], trips[_i].bits), 0);
	/* And nothing else has changed, there or at its neighbours. */
	ck_assert_uint_eq(
		vfm_settings_differ(&before[1], &after[1], VFM_ALL_BITS & ~trips[_i].bits), 0);
	ck_assert_uint_eq(vfm_settings_differ(&before[0], &after[0], VFM_ALL_BITS), 0);
	ck_assert_uint_eq(vfm_settings_differ(&before[2], &after[2], VFM_ALL_BITS), 0);
}
END_TEST

/* In the byte order of the wire, whatever that of this machine is. */
START_TEST(the_protocol_is_big_endian)
{
	struct vfm_settings s = words("vlan=5 proto=802.1ad");

	ck_assert_int_eq(link_set_vf(v, IFINDEX, 0, &s, VFM_VLAN_BITS, &e), 0);
	ck_assert_mem_eq(&peer->vf[0].proto, "\x88\xa8", 2);
}
END_TEST

START_TEST(refusals_come_back_as_they_are)
{
	struct vfm_settings s = words("node-guid=0000000000000001 trust=on");

	ck_assert_int_eq(link_set_vf(v, IFINDEX, 0, &s, VFM_BIT(NODE_GUID), &e), -EOPNOTSUPP);
	ck_assert_int_eq(link_set_vf(v, IFINDEX, 3, &s, VFM_BIT(TRUST), &e), -EINVAL);
}
END_TEST

/* From one to more than the kernel can say the length of: 222 and more. */
START_TEST(any_number_of_vfs_is_read)
{
	static const unsigned numbers[] = {0, 1, 64, 127, 128, 221, 222, 252, 256, 300, 500, 1000};
	unsigned n = numbers[_i % 12];
	_cleanup_free_ struct vfm_settings *vf = calloc(n + 1, sizeof(*vf));
	_cleanup_free_ struct vfm_counters *c = calloc(n + 1, sizeof(*c));
	struct vfm_settings s = words("vlan=9 qos=1 proto=802.1ad trust=on");

	peer->n = n;
	peer->infiniband = _i >= 12;
	for (unsigned i = 0; i < n; i++) {
		memcpy(s.mac, (uint8_t[6]){2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}, 6);
		s.max_rate = i;
		s.set |= VFM_BIT(MAC) | VFM_RATE_BITS;
		ck_assert_int_eq(link_set_vf(v, IFINDEX, i, &s, VFM_BIT(MAC), &e), 0);
		ck_assert_int_eq(link_set_vf(v, IFINDEX, i, &s, VFM_VLAN_BITS, &e), 0);
		ck_assert_int_eq(link_set_vf(v, IFINDEX, i, &s, VFM_RATE_BITS, &e), 0);
	}
	ck_assert_msg(link_get_vfs(v, IFINDEX, vf, n + 1, &e) == 0, "%s", e.text);
	ck_assert_msg(link_get_stats(v, IFINDEX, c, n + 1, &e) == 0, "%s", e.text);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_eq(vf[i].mac[4] << 8 | vf[i].mac[5], i);
		ck_assert_uint_eq(vf[i].max_rate, i);
		ck_assert_uint_eq(vf[i].proto, VFM_PROTO_8021AD);
		ck_assert(c[i].seen);
		ck_assert_uint_eq(c[i].set, 0xff);
		ck_assert_uint_eq(c[i].value[VFM_TX_BYTES], i * 100 + IFLA_VF_STATS_TX_BYTES);
		ck_assert_uint_eq(c[i].value[VFM_TX_DROPPED], i * 100 + IFLA_VF_STATS_TX_DROPPED);
	}
	/* One that is not there is not made up. */
	ck_assert_uint_eq(vf[n].set, 0);
	ck_assert(!c[n].seen);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-roundtrip");
	TCase *t = tcase_create("peer");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, what_is_set_is_what_is_read, 0, ARRAY_SIZE(trips));
	tcase_add_test(t, the_protocol_is_big_endian);
	tcase_add_test(t, refusals_come_back_as_they_are);
	tcase_add_loop_test(t, any_number_of_vfs_is_read, 0, 24);
	suite_add_tcase(s, t);
	return suite_run(s);
}
