// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/fakes/vf_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX 320

struct out {
	char *at;
};

static void attr_put(struct out *o, int type, const void *data, size_t len)
{
	struct nlattr a = {(uint16_t)(sizeof(a) + len), (uint16_t)type};

	memcpy(o->at, &a, sizeof(a));
	memcpy(o->at + sizeof(a), data, len);
	o->at += NLA_ALIGN(a.nla_len);
}

/* The length wraps around where the kernel's does, at 64 KiB. */
static void nest_end(struct out *o, char *nest, int type)
{
	struct nlattr a = {(uint16_t)(o->at - nest), (uint16_t)type};

	memcpy(nest, &a, sizeof(a));
}

static void record_put(struct out *o, uint32_t vf)
{
	char *info = o->at, *list;
	struct ifla_vf_mac mac = {.vf = vf, .mac = {2, 0, 0, 0, (uint8_t)(vf >> 8), (uint8_t)vf}};
	struct ifla_vf_vlan vlan = {.vf = vf};
	struct ifla_vf_vlan_info tag = {.vf = vf, .vlan_proto = htons(0x8100)};
	struct ifla_vf_rate rate = {.vf = vf};
	struct ifla_vf_tx_rate tx = {.vf = vf};
	struct ifla_vf_spoofchk spoofchk = {vf, 1};
	struct ifla_vf_link_state link = {vf, 0};
	struct ifla_vf_rss_query_en rss = {vf, 0};
	struct ifla_vf_trust trust = {vf, 0};

	o->at += sizeof(struct nlattr);
	attr_put(o, IFLA_VF_MAC, &mac, sizeof(mac));
	attr_put(o, IFLA_VF_VLAN, &vlan, sizeof(vlan));
	attr_put(o, IFLA_VF_RATE, &rate, sizeof(rate));
	attr_put(o, IFLA_VF_TX_RATE, &tx, sizeof(tx));
	attr_put(o, IFLA_VF_SPOOFCHK, &spoofchk, sizeof(spoofchk));
	attr_put(o, IFLA_VF_LINK_STATE, &link, sizeof(link));
	attr_put(o, IFLA_VF_RSS_QUERY_EN, &rss, sizeof(rss));
	attr_put(o, IFLA_VF_TRUST, &trust, sizeof(trust));
	list = o->at;
	o->at += sizeof(struct nlattr);
	attr_put(o, IFLA_VF_VLAN_INFO, &tag, sizeof(tag));
	nest_end(o, list, IFLA_VF_VLAN_LIST);
	nest_end(o, info, IFLA_VF_INFO);
}

static int link_talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	struct vf_link *l = ctx;
	const struct nlmsghdr *h = req;
	struct nlmsghdr answer = {
		.nlmsg_type = RTM_NEWLINK, .nlmsg_seq = h->nlmsg_seq, .nlmsg_pid = h->nlmsg_pid};
	struct ifinfomsg ifi;
	struct out o;
	char *buf, *list;
	uint32_t vfs = l->vfs;

	l->requests++;
	if (protocol != NETLINK_ROUTE || h->nlmsg_type != RTM_GETLINK)
		return -EOPNOTSUPP;
	memcpy(&ifi, h + 1, sizeof(ifi));
	buf = calloc(l->vfs + 1, RECORD_MAX);
	if (!buf)
		return -ENOMEM;
	o.at = buf + sizeof(answer);
	memcpy(o.at, &ifi, sizeof(ifi));
	o.at += NLMSG_ALIGN(sizeof(ifi));
	attr_put(&o, IFLA_NUM_VF, &vfs, sizeof(vfs));
	list = o.at;
	o.at += sizeof(struct nlattr);
	for (uint32_t i = 0; i < vfs; i++)
		record_put(&o, i);
	nest_end(&o, list, IFLA_VFINFO_LIST);
	answer.nlmsg_len = (uint32_t)(o.at - buf);
	memcpy(buf, &answer, sizeof(answer));
	*ret_reply = buf;
	*ret_len = answer.nlmsg_len;
	return 0;
}

static int link_write(
	void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len)
{
	return sysfs_write(s, path, text, len);
}

static int link_load(void *ctx, const char *driver)
{
	return -EOPNOTSUPP;
}

const struct vfm_ops vf_link_ops = {
	.write = link_write,
	.talk = link_talk,
	.load = link_load,
};
