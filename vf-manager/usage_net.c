// SPDX-License-Identifier: GPL-2.0-or-later
/* The addresses of this machine's interfaces, by one RTM_GETADDR dump. */
#include "vf-manager/usage_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* linux/if_addr.h since 5.18; the headers we build with may be older than the kernel we run on. */
#define ADDR_PROTO       11
#define PROTO_LINK_LOCAL 3 /* the kernel made it when the interface went up */

struct found {
	int ifindex;
	bool link_local, proto_known, kernel_made;
	char text[INET6_ADDRSTRLEN + 4];
};

static void cleanup_msg(struct nl_msg **m)
{
	nlmsg_free(*m);
}

/* False: no address, or nonsense. */
static bool message_decode(struct nlmsghdr *h, struct found *ret)
{
	const struct ifaddrmsg *ifa;
	struct nlattr *a;
	char addr[INET6_ADDRSTRLEN];
	int size;

	if (h->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(h, sizeof(*ifa)))
		return false;
	ifa = nlmsg_data(h);
	size = ifa->ifa_family == AF_INET ? 4 : 16;
	if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
		return false;
	/* With a peer, IFA_ADDRESS is the peer's. */
	a = nlmsg_find_attr(h, sizeof(*ifa), IFA_LOCAL);
	if (!a)
		a = nlmsg_find_attr(h, sizeof(*ifa), IFA_ADDRESS);
	if (!a || nla_len(a) != size ||
		!inet_ntop(ifa->ifa_family, nla_data(a), addr, sizeof(addr)))
		return false;
	*ret = (struct found){
		.ifindex = (int)ifa->ifa_index,
		.link_local = ifa->ifa_family == AF_INET6 && ifa->ifa_scope == RT_SCOPE_LINK,
	};
	snprintf(ret->text, sizeof(ret->text), "%s/%u", addr, ifa->ifa_prefixlen);
	a = nlmsg_find_attr(h, sizeof(*ifa), ADDR_PROTO);
	ret->proto_known = a && nla_len(a) == 1;
	ret->kernel_made = ret->proto_known && nla_get_u8(a) == PROTO_LINK_LOCAL;
	return true;
}

static int append(struct found **list, size_t *n, const struct found *f)
{
	struct found *p;

	if (!(*n & (*n - 1))) {
		p = realloc(*list, (*n ? *n * 2 : 1) * sizeof(*p));
		if (!p)
			return -ENOMEM;
		*list = p;
	}
	(*list)[(*n)++] = *f;
	return 0;
}

static int reply_decode(void *reply, size_t len, struct found **ret, size_t *ret_n)
{
	struct nlmsghdr *h = reply;
	int rest = len > INT_MAX ? INT_MAX : (int)len, r;

	for (; nlmsg_ok(h, rest); h = nlmsg_next(h, &rest)) {
		const struct nlmsgerr *err = nlmsg_data(h);
		struct found f;

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return nlmsg_datalen(h) >= (int)sizeof(err->error) && err->error < 0
				       ? err->error
				       : -EPROTO;
		if (!message_decode(h, &f))
			continue;
		r = append(ret, ret_n, &f);
		if (r < 0)
			return r;
	}
	/* Cut short: what is missing could be the address that matters. */
	return -EPROTO;
}

int addresses_read(struct vfm *v, struct address **ret, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m =
		nlmsg_alloc_simple(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
	_cleanup_free_ struct found *f = NULL;
	_cleanup_free_ void *reply = NULL;
	struct ifaddrmsg ifa = {.ifa_family = AF_UNSPEC};
	struct address *list;
	size_t len, n = 0, given = 0;
	bool kernel_tells = false;
	int r = m && nlmsg_append(m, &ifa, sizeof(ifa), NLMSG_ALIGNTO) == 0 ? 0 : -ENOMEM;

	if (r == 0)
		r = netlink_talk(v, NETLINK_ROUTE, m, &reply, &len);
	if (r == 0)
		r = reply_decode(reply, len, &f, &n);
	list = r < 0 ? NULL : calloc(n + 1, sizeof(*list));
	if (!list)
		return err_sys(e, r < 0 ? -r : ENOMEM,
			"ask the kernel for the addresses of its interfaces");
	for (size_t i = 0; i < n; i++)
		kernel_tells |= f[i].proto_known;
	/*
	 * Every interface that is up has a link-local address of the kernel's. A kernel that says
	 * who made an address leaves that out for those that a user gave; one that never says it
	 * (before 5.18) leaves us to take all of them for its own.
	 */
	for (size_t i = 0; i < n; i++) {
		if (f[i].kernel_made || (f[i].link_local && !kernel_tells))
			continue;
		list[given].ifindex = f[i].ifindex;
		snprintf(list[given++].text, sizeof(list->text), "%s", f[i].text);
	}
	*ret = list;
	return (int)given;
}
