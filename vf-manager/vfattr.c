// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/vfattr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "vf-manager/nlreply.h"

static struct nl_msg *link_msg(int type, int flags, const struct ifinfomsg *ifi)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

	if (m && nlmsg_append(m, (void *)ifi, sizeof(*ifi), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

struct nl_msg *link_up_encode(int ifindex, bool up)
{
	struct ifinfomsg ifi = {
		.ifi_index = ifindex,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = IFF_UP,
	};

	return link_msg(RTM_NEWLINK, NLM_F_ACK, &ifi);
}

static int vlan_put(struct nl_msg *m, unsigned vf, const struct vfm_settings *s)
{
	struct ifla_vf_vlan old = {.vf = vf, .vlan = s->vlan, .qos = s->qos};
	struct ifla_vf_vlan_info info = {
		.vf = vf, .vlan = s->vlan, .qos = s->qos, .vlan_proto = htons(s->proto)};
	struct nlattr *list;

	/* Every kernel and driver knows this one; only the other can say which protocol. */
	if (!(s->set & VFM_BIT(PROTO)) || s->proto == VFM_PROTO_8021Q)
		return nla_put(m, IFLA_VF_VLAN, sizeof(old), &old);
	list = nla_nest_start(m, IFLA_VF_VLAN_LIST);
	if (!list || nla_put(m, IFLA_VF_VLAN_INFO, sizeof(info), &info) < 0)
		return -1;
	return nla_nest_end(m, list);
}

static int guid_put(struct nl_msg *m, int type, unsigned vf, uint64_t guid)
{
	struct ifla_vf_guid a = {.vf = vf, .guid = guid};

	return nla_put(m, type, sizeof(a), &a);
}

static int setting_put(struct nl_msg *m, unsigned vf, const struct vfm_settings *s, uint32_t bits)
{
	struct ifla_vf_mac mac = {.vf = vf};
	struct ifla_vf_rate rate = {
		.vf = vf, .min_tx_rate = s->min_rate, .max_tx_rate = s->max_rate};
	struct ifla_vf_spoofchk spoofchk = {.vf = vf, .setting = s->spoofchk};
	struct ifla_vf_link_state link = {.vf = vf, .link_state = s->link_state};
	struct ifla_vf_rss_query_en rss = {.vf = vf, .setting = s->rss_query};
	struct ifla_vf_trust trust = {.vf = vf, .setting = s->trust};

	memcpy(mac.mac, s->mac, 6);
	if (bits & VFM_VLAN_BITS)
		return vlan_put(m, vf, s);
	if (bits & VFM_RATE_BITS)
		return nla_put(m, IFLA_VF_RATE, sizeof(rate), &rate);
	switch (bits) {
	case VFM_BIT(MAC): return nla_put(m, IFLA_VF_MAC, sizeof(mac), &mac);
	case VFM_BIT(SPOOFCHK): return nla_put(m, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	case VFM_BIT(LINK_STATE): return nla_put(m, IFLA_VF_LINK_STATE, sizeof(link), &link);
	case VFM_BIT(RSS_QUERY): return nla_put(m, IFLA_VF_RSS_QUERY_EN, sizeof(rss), &rss);
	case VFM_BIT(TRUST): return nla_put(m, IFLA_VF_TRUST, sizeof(trust), &trust);
	case VFM_BIT(NODE_GUID): return guid_put(m, IFLA_VF_IB_NODE_GUID, vf, s->node_guid);
	case VFM_BIT(PORT_GUID): return guid_put(m, IFLA_VF_IB_PORT_GUID, vf, s->port_guid);
	default: return -1;
	}
}

struct nl_msg *vf_set_encode(int ifindex, unsigned vf, const struct vfm_settings *s, uint32_t bits)
{
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct nl_msg *m = link_msg(RTM_SETLINK, NLM_F_ACK, &ifi);
	struct nlattr *list, *info;

	if (!m)
		return NULL;
	list = nla_nest_start(m, IFLA_VFINFO_LIST);
	info = list ? nla_nest_start(m, IFLA_VF_INFO) : NULL;
	if (!info || setting_put(m, vf, s, bits) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	nla_nest_end(m, info);
	nla_nest_end(m, list);
	return m;
}

static struct nl_msg *query_encode(int ifindex, uint32_t mask)
{
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct nl_msg *m = link_msg(RTM_GETLINK, 0, &ifi);

	if (m && nla_put_u32(m, IFLA_EXT_MASK, mask) < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

struct nl_msg *vf_query_encode(int ifindex)
{
	/* Statistics double the size, and the nest that holds all VFs has a 16-bit length. */
	return query_encode(ifindex, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
}

struct nl_msg *vf_stats_encode(int ifindex)
{
	return query_encode(ifindex, RTEXT_FILTER_VF);
}

/* The VF an attribute is about, if it is @size bytes at least; they all begin with its number. */
static bool about(const struct nlattr *a, size_t size, uint32_t *ret_vf)
{
	if (nla_len(a) < (int)size)
		return false;
	memcpy(ret_vf, nla_data(a), sizeof(*ret_vf));
	return true;
}

static void vlan_list_decode(const struct nlattr *list, uint32_t vf, struct vfm_settings *s)
{
	struct ifla_vf_vlan_info info;
	const struct nlattr *a;
	int rem;

	nla_for_each_nested(a, (struct nlattr *)list, rem)
	{
		if (nla_type(a) != IFLA_VF_VLAN_INFO || nla_len(a) < (int)sizeof(info))
			continue;
		memcpy(&info, nla_data(a), sizeof(info));
		if (info.vf != vf)
			continue;
		s->proto = ntohs(info.vlan_proto);
		s->set |= VFM_BIT(PROTO);
		/* There is no more than one: MAX_VLAN_LIST_LEN. */
		break;
	}
}

/* -1 says that the driver has no such switch. */
static void switch_decode(const struct nlattr *a, bool *to, uint32_t bit, uint32_t *set)
{
	struct ifla_vf_trust t; /* spoofchk and rss_query_en are laid out alike */

	memcpy(&t, nla_data(a), sizeof(t));
	if (t.setting == UINT32_MAX)
		return;
	*to = t.setting;
	*set |= bit;
}

static void guid_decode(const struct nlattr *a, uint64_t *to, uint32_t bit, uint32_t *set)
{
	struct ifla_vf_guid g;

	memcpy(&g, nla_data(a), sizeof(g));
	*to = g.guid;
	*set |= bit;
}

static void attr_decode(const struct nlattr *a, uint32_t vf, struct vfm_settings *s)
{
	struct ifla_vf_mac mac;
	struct ifla_vf_vlan vlan;
	struct ifla_vf_rate rate;
	struct ifla_vf_link_state link;
	const void *data = nla_data(a);
	uint32_t whose;

#define IS(type, size) (nla_type(a) == (type) && about(a, (size), &whose) && whose == vf)
	if (nla_type(a) == IFLA_VF_VLAN_LIST) {
		vlan_list_decode(a, vf, s);
	} else if (IS(IFLA_VF_MAC, sizeof(mac))) {
		memcpy(&mac, data, sizeof(mac));
		memcpy(s->mac, mac.mac, 6);
		s->set |= VFM_BIT(MAC);
	} else if (IS(IFLA_VF_VLAN, sizeof(vlan))) {
		memcpy(&vlan, data, sizeof(vlan));
		s->vlan = (uint16_t)vlan.vlan;
		s->qos = (uint8_t)vlan.qos;
		s->set |= VFM_BIT(VLAN) | VFM_BIT(QOS);
	} else if (IS(IFLA_VF_RATE, sizeof(rate))) {
		memcpy(&rate, data, sizeof(rate));
		s->min_rate = rate.min_tx_rate;
		s->max_rate = rate.max_tx_rate;
		s->set |= VFM_RATE_BITS;
	} else if (IS(IFLA_VF_LINK_STATE, sizeof(link))) {
		memcpy(&link, data, sizeof(link));
		s->link_state = (uint8_t)(link.link_state <= VFM_LINK_DISABLE ? link.link_state
									      : UINT8_MAX);
		s->set |= VFM_BIT(LINK_STATE);
	} else if (IS(IFLA_VF_SPOOFCHK, sizeof(struct ifla_vf_spoofchk))) {
		switch_decode(a, &s->spoofchk, VFM_BIT(SPOOFCHK), &s->set);
	} else if (IS(IFLA_VF_RSS_QUERY_EN, sizeof(struct ifla_vf_rss_query_en))) {
		switch_decode(a, &s->rss_query, VFM_BIT(RSS_QUERY), &s->set);
	} else if (IS(IFLA_VF_TRUST, sizeof(struct ifla_vf_trust))) {
		switch_decode(a, &s->trust, VFM_BIT(TRUST), &s->set);
	} else if (IS(IFLA_VF_IB_NODE_GUID, sizeof(struct ifla_vf_guid))) {
		guid_decode(a, &s->node_guid, VFM_BIT(NODE_GUID), &s->set);
	} else if (IS(IFLA_VF_IB_PORT_GUID, sizeof(struct ifla_vf_guid))) {
		guid_decode(a, &s->port_guid, VFM_BIT(PORT_GUID), &s->set);
	}
#undef IS
}

/* The VF a record is of, which its address says; false when it gives none. */
static bool record_number(const struct nlattr *info, uint32_t *ret_vf)
{
	const struct nlattr *a;
	int rem;

	nla_for_each_nested(a, (struct nlattr *)info,
		rem) if (nla_type(a) == IFLA_VF_MAC &&
			 about(a, sizeof(struct ifla_vf_mac), ret_vf)) return true;
	return false;
}

/*
 * Call @fn for each record of a list of VFs. @left: bytes from the first record to the end of the
 * message. Behind the length the list claims, what looks like the record of the next VF is believed
 * to be it.
 */
static void records_walk(const struct nlattr *list, int left,
	void (*fn)(const struct nlattr *info, uint32_t vf, void *arg), void *arg)
{
	const struct nlattr *info = nla_data(list);
	int claimed = nla_len(list);
	uint32_t next = 0, number;

	while (nla_ok(info, left)) {
		const char *at = (const char *)info;
		bool fits = NLA_HDRLEN + nla_len(info) <= claimed;

		if (nla_type(info) == IFLA_VF_INFO && record_number(info, &number) &&
			(fits || number == next)) {
			fn(info, number, arg);
			next = number + 1;
		} else if (!fits) {
			return;
		}
		info = nla_next(info, &left);
		claimed -= (int)((const char *)info - at);
	}
}

/* Call @fn for each VF in an answer about interface @ifindex; see vf_reply_decode(). */
static int reply_walk(const void *reply, size_t len, int ifindex,
	void (*fn)(const struct nlattr *info, uint32_t vf, void *arg), void *arg, struct err *e)
{
	const size_t fixed = sizeof(struct nlmsghdr) + NLMSG_ALIGN(sizeof(struct ifinfomsg));
	struct nlreply r = {.at = reply, .left = len};
	const struct ifinfomsg *ifi;
	const struct nlmsghdr *h;
	const struct nlattr *a;
	int rem, n = nlreply_next(&r, &h, e);

	if (n <= 0)
		return len ? n : -EBADMSG;
	ifi = (const void *)(h + 1);
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < fixed || ifi->ifi_index != ifindex)
		return -EBADMSG;
	nla_for_each_attr(a, (struct nlattr *)((char *)h + fixed), (int)(h->nlmsg_len - fixed), rem)
	{
		if (nla_type(a) != IFLA_VFINFO_LIST)
			continue;
		records_walk(a, rem - NLA_HDRLEN, fn, arg);
		break;
	}
	return 0;
}

struct settings_arg {
	struct vfm_settings *vf;
	size_t n;
};

static void settings_decode(const struct nlattr *info, uint32_t vf, void *arg)
{
	const struct settings_arg *to = arg;
	const struct nlattr *a;
	int rem;

	if (vf >= to->n)
		return;
	nla_for_each_nested(a, (struct nlattr *)info, rem) attr_decode(a, vf, &to->vf[vf]);
}

int vf_reply_decode(const void *reply, size_t len, int ifindex, struct vfm_settings *vf, size_t n,
	struct err *e)
{
	struct settings_arg to = {vf, n};

	return reply_walk(reply, len, ifindex, settings_decode, &to, e);
}

struct stats_arg {
	struct vfm_counters *vf;
	size_t n;
};

static void counters_decode(const struct nlattr *stats, struct vfm_counters *c)
{
	/* In the order of struct vfm_counters; the kernel pads between them as it likes. */
	static const int types[VFM_COUNTERS] = {IFLA_VF_STATS_RX_PACKETS, IFLA_VF_STATS_TX_PACKETS,
		IFLA_VF_STATS_RX_BYTES, IFLA_VF_STATS_TX_BYTES, IFLA_VF_STATS_BROADCAST,
		IFLA_VF_STATS_MULTICAST, IFLA_VF_STATS_RX_DROPPED, IFLA_VF_STATS_TX_DROPPED};
	const struct nlattr *a;
	int rem;

	nla_for_each_nested(a, (struct nlattr *)stats, rem)
	{
		for (unsigned i = 0; i < VFM_COUNTERS; i++)
			if (nla_type(a) == types[i] && attr_u64(a, &c->value[i]))
				c->set |= 1u << i;
	}
}

static void stats_decode(const struct nlattr *info, uint32_t vf, void *arg)
{
	const struct stats_arg *to = arg;
	const struct nlattr *a;
	int rem;

	if (vf >= to->n)
		return;
	to->vf[vf].seen = true;
	nla_for_each_nested(a, (struct nlattr *)info, rem) if (nla_type(a) == IFLA_VF_STATS)
		counters_decode(a, &to->vf[vf]);
}

int vf_stats_decode(const void *reply, size_t len, int ifindex, struct vfm_counters *vf, size_t n,
	struct err *e)
{
	struct stats_arg to = {vf, n};

	return reply_walk(reply, len, ifindex, stats_decode, &to, e);
}
