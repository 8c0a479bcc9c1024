// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/vfattr.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

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

struct nl_msg *vf_mac_encode(int ifindex, unsigned vf, const uint8_t mac[static 6])
{
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct ifla_vf_mac a = {.vf = vf};
	struct nl_msg *m = link_msg(RTM_SETLINK, NLM_F_ACK, &ifi);
	struct nlattr *list, *info;

	if (!m)
		return NULL;
	memcpy(a.mac, mac, 6);
	list = nla_nest_start(m, IFLA_VFINFO_LIST);
	info = list ? nla_nest_start(m, IFLA_VF_INFO) : NULL;
	if (!info || nla_put(m, IFLA_VF_MAC, sizeof(a), &a) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	nla_nest_end(m, info);
	nla_nest_end(m, list);
	return m;
}

struct nl_msg *vf_query_encode(int ifindex)
{
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct nl_msg *m = link_msg(RTM_GETLINK, 0, &ifi);

	/* Statistics double the size, and the nest that holds all VFs has a 16-bit length. */
	if (m && nla_put_u32(m, IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS) < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

static int error_decode(const struct nlmsghdr *h, struct err *e)
{
	const struct nlmsgerr *ne = (const void *)(h + 1);
	size_t len = h->nlmsg_len - sizeof(*h), skip = sizeof(*ne);
	const struct nlattr *a;
	int rem, code;

	if (len < sizeof(*ne))
		return -EBADMSG;
	code = ne->error;
	if (code > 0 || code < -4095)
		return -EBADMSG;
	if (code == 0 || !(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return code;
	/* The request follows the header unless it was capped. */
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		if (ne->msg.nlmsg_len < sizeof(*h) || ne->msg.nlmsg_len > len)
			return code;
		skip += NLMSG_ALIGN(ne->msg.nlmsg_len - sizeof(*h));
	}
	if (skip >= len)
		return code;
	nla_for_each_attr(a, (struct nlattr *)((char *)ne + skip), (int)(len - skip), rem)
	{
		if (nla_type(a) == NLMSGERR_ATTR_MSG) {
			err_set(e, -code, "the kernel says: %.*s", nla_len(a),
				(const char *)nla_data(a));
			break;
		}
	}
	return code;
}

static void info_decode(const struct nlattr *info, struct vf_attr *vf, size_t n)
{
	const struct nlattr *a;
	struct ifla_vf_mac mac;
	int rem;

	nla_for_each_nested(a, (struct nlattr *)info, rem)
	{
		if (nla_type(a) != IFLA_VF_MAC || nla_len(a) < (int)sizeof(mac))
			continue;
		memcpy(&mac, nla_data(a), sizeof(mac));
		if (mac.vf >= n)
			continue;
		vf[mac.vf].has_mac = true;
		memcpy(vf[mac.vf].mac, mac.mac, 6);
	}
}

int vf_reply_decode(
	const void *reply, size_t len, int ifindex, struct vf_attr *vf, size_t n, struct err *e)
{
	const struct nlmsghdr *h = reply;
	const size_t fixed = sizeof(*h) + NLMSG_ALIGN(sizeof(struct ifinfomsg));
	const struct ifinfomsg *ifi = (const void *)(h + 1);
	const struct nlattr *a, *info;
	int rem, rem_info;

	if (len < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > len ||
		h->nlmsg_len > INT_MAX)
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return error_decode(h, e);
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < fixed || ifi->ifi_index != ifindex)
		return -EBADMSG;
	nla_for_each_attr(a, (struct nlattr *)((char *)h + fixed), (int)(h->nlmsg_len - fixed), rem)
	{
		if (nla_type(a) != IFLA_VFINFO_LIST)
			continue;
		nla_for_each_nested(info, (struct nlattr *)a, rem_info)
		{
			if (nla_type(info) == IFLA_VF_INFO)
				info_decode(info, vf, n);
		}
	}
	return 0;
}
