// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/linkinfo.h"

#include <ctype.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "common/cleanup.h"

#define LINK_TIMEOUT_MS 10000 /* a carve of another tool can hold RTNL for seconds */

static void cleanup_msg(struct nl_msg **m)
{
	nlmsg_free(*m);
}

/* One name; dropped when it is no text that a user could type. */
static void alt_add(struct link_info *l, const struct nlattr *a)
{
	const char *s = nla_data(a);
	size_t len = strnlen(s, (size_t)nla_len(a));

	if (l->n_alt == LINK_ALT_MAX || len == 0 || len >= LINK_NAME_MAX)
		return;
	for (size_t i = 0; i < len; i++) {
		if (!isgraph((unsigned char)s[i]))
			return;
	}
	memcpy(l->alt[l->n_alt], s, len);
	l->alt[l->n_alt++][len] = '\0';
}

int link_info_decode(const void *reply, size_t len, int ifindex, struct link_info *ret)
{
	const struct nlmsghdr *h = reply;
	const size_t fixed = sizeof(*h) + NLMSG_ALIGN(sizeof(struct ifinfomsg));
	const struct ifinfomsg *ifi = (const void *)(h + 1);
	struct link_info l = {0};
	const struct nlattr *a, *p;
	int rem, left;

	if (len < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > len ||
		h->nlmsg_len > INT_MAX)
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= sizeof(*h) + sizeof(int)) {
		int code;

		memcpy(&code, h + 1, sizeof(code));
		return code < 0 && code >= -4095 ? code : -EBADMSG;
	}
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < fixed || ifi->ifi_index != ifindex)
		return -EBADMSG;
	nla_for_each_attr(a, (struct nlattr *)((char *)h + fixed), (int)(h->nlmsg_len - fixed), rem)
	{
		/* InfiniBand's is longer. */
		if (nla_type(a) == IFLA_PERM_ADDRESS && nla_len(a) == 6)
			memcpy(l.permanent, nla_data(a), 6);
		if (nla_type(a) != IFLA_PROP_LIST)
			continue;
		nla_for_each_nested(p, (struct nlattr *)a, left)
		{
			if (nla_type(p) == IFLA_ALT_IFNAME)
				alt_add(&l, p);
		}
	}
	*ret = l;
	return 0;
}

int link_info_get(struct vfm *v, int ifindex, struct link_info *ret)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST);
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	_cleanup_free_ void *reply = NULL;
	size_t len;
	int r;

	if (!m || nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
		nla_put_u32(m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0)
		return -ENOMEM;
	r = v->ops->talk(v->ops_ctx, NETLINK_ROUTE, nlmsg_hdr(m), nlmsg_hdr(m)->nlmsg_len,
		LINK_TIMEOUT_MS, &reply, &len);
	return r < 0 ? r : link_info_decode(reply, len, ifindex, ret);
}
