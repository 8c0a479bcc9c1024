// SPDX-License-Identifier: GPL-2.0-or-later
/* What the fake kernel answers to rtnetlink and devlink requests. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/pci_kernel.h"

#define FAMILY         0x1f /* devlink's number here */
#define ANSWER_MAX     (1u << 20)
#define IFA_PROTO_TYPE 11      /* IFA_PROTO, since Linux 5.18 */
#define MBIT           125000u /* bytes/s; the rates of this hardware are multiples of it */

/* An answer of one or several messages. */
struct answer {
	char *data;
	size_t len;
};

static void answer_add(struct answer *a, struct nl_msg *m)
{
	struct nlmsghdr *h = nlmsg_hdr(m);
	size_t n = NLMSG_ALIGN(h->nlmsg_len);

	a->data = realloc(a->data, a->len + n);
	if (!a->data)
		abort();
	memset(a->data + a->len, 0, n);
	memcpy(a->data + a->len, h, h->nlmsg_len);
	a->len += n;
	nlmsg_free(m);
}

static struct nl_msg *message(const struct nlmsghdr *req, int type, int flags)
{
	struct nl_msg *m = nlmsg_alloc_size(ANSWER_MAX);

	if (!m || !nlmsg_put(m, req->nlmsg_pid, req->nlmsg_seq, type, 0, flags))
		abort();
	return m;
}

static void answer_code(struct answer *a, const struct nlmsghdr *req, int code, const char *why)
{
	struct nl_msg *m =
		message(req, NLMSG_ERROR, NLM_F_CAPPED | (code && why ? NLM_F_ACK_TLVS : 0));
	struct nlmsgerr ne = {.error = code, .msg = *req};

	nlmsg_append(m, &ne, sizeof(ne), NLMSG_ALIGNTO);
	if (code && why)
		nla_put_string(m, NLMSGERR_ATTR_MSG, why);
	answer_add(a, m);
}

static void answer_done(struct answer *a, const struct nlmsghdr *req)
{
	struct nl_msg *m = message(req, NLMSG_DONE, NLM_F_MULTI);
	int code = 0;

	nlmsg_append(m, &code, sizeof(code), NLMSG_ALIGNTO);
	answer_add(a, m);
}

/* --- rtnetlink --- */

/* The VF number is the first field of each; then what igb's calls do with the rest. */
static int vf_attr_set(struct pci_kernel *k, unsigned pf, struct nlattr *a)
{
	static const struct {
		int type;
		uint32_t bit;
		size_t size;
	} types[] = {
		{IFLA_VF_MAC, VFM_BIT(MAC), sizeof(struct ifla_vf_mac)},
		{IFLA_VF_VLAN, VFM_BIT(VLAN), sizeof(struct ifla_vf_vlan)},
		{IFLA_VF_VLAN_INFO, VFM_BIT(PROTO), sizeof(struct ifla_vf_vlan_info)},
		{IFLA_VF_RATE, VFM_BIT(MAX_RATE), sizeof(struct ifla_vf_rate)},
		{IFLA_VF_SPOOFCHK, VFM_BIT(SPOOFCHK), sizeof(struct ifla_vf_spoofchk)},
		{IFLA_VF_LINK_STATE, VFM_BIT(LINK_STATE), sizeof(struct ifla_vf_link_state)},
		{IFLA_VF_RSS_QUERY_EN, VFM_BIT(RSS_QUERY), sizeof(struct ifla_vf_rss_query_en)},
		{IFLA_VF_TRUST, VFM_BIT(TRUST), sizeof(struct ifla_vf_trust)},
		{IFLA_VF_IB_NODE_GUID, VFM_BIT(NODE_GUID), sizeof(struct ifla_vf_guid)},
		{IFLA_VF_IB_PORT_GUID, VFM_BIT(PORT_GUID), sizeof(struct ifla_vf_guid)},
	};
	struct fake_port *port = &k->knobs->pf[pf];
	const uint32_t *words = nla_data(a);
	struct vfm_settings *vf;
	size_t i = 0;
	bool list = nla_type(a) == IFLA_VF_VLAN_LIST;

	if (list) {
		a = nla_data(a);
		words = nla_data(a);
	}
	while (i < sizeof(types) / sizeof(types[0]) && types[i].type != nla_type(a))
		i++;
	/* IFLA_VF_VLAN_INFO's number is IFLA_VF_MAC's: it is known by where it stands. */
	if (list)
		i = 2;
	if (i == sizeof(types) / sizeof(types[0]) || (size_t)nla_len(a) != types[i].size ||
		words[0] >= fake_num_vfs(k, pf))
		return -EINVAL;
	if (k->knobs->unsupported & types[i].bit)
		return types[i].bit == VFM_BIT(PROTO) ? -EPROTONOSUPPORT : -EOPNOTSUPP;
	vf = &port->vf[words[0]];
	switch (types[i].bit) {
	case VFM_BIT(MAC):
		if (k->knobs->mac_code)
			return -k->knobs->mac_code;
		if (!k->knobs->mac_ignored)
			memcpy(port->mac[words[0]], words + 1, 6);
		break;
	case VFM_BIT(PROTO):
	case VFM_BIT(VLAN):
		if (words[1] > 4095 || words[2] > 7)
			return -EINVAL;
		vf->vlan = (uint16_t)words[1];
		vf->qos = (uint8_t)words[2];
		vf->proto = list ? ntohs(((const struct ifla_vf_vlan_info *)words)->vlan_proto)
				 : VFM_PROTO_8021Q;
		break;
	case VFM_BIT(MAX_RATE):
		if (port->eswitch == DEVLINK_ESWITCH_MODE_SWITCHDEV)
			return -EOPNOTSUPP;
		if (k->knobs->no_link || (words[1] && k->knobs->unsupported & VFM_BIT(MIN_RATE)))
			return -EINVAL;
		vf->min_rate = words[1];
		if (!k->knobs->rate_ignored)
			vf->max_rate = words[2];
		break;
	case VFM_BIT(SPOOFCHK): vf->spoofchk = words[1]; break;
	case VFM_BIT(LINK_STATE): vf->link_state = (uint8_t)words[1]; break;
	case VFM_BIT(RSS_QUERY): vf->rss_query = words[1]; break;
	case VFM_BIT(TRUST): vf->trust = words[1]; break;
	case VFM_BIT(NODE_GUID):
		memcpy(&vf->node_guid, (const uint8_t *)words + offsetof(struct ifla_vf_guid, guid),
			8);
		break;
	default:
		memcpy(&vf->port_guid, (const uint8_t *)words + offsetof(struct ifla_vf_guid, guid),
			8);
	}
	return 0;
}

static void stats_put(struct nl_msg *m, const struct fake_counters *c)
{
	struct nlattr *nest = nla_nest_start(m, IFLA_VF_STATS);

	nla_put_u64(m, IFLA_VF_STATS_RX_PACKETS, c->rx_packets);
	nla_put_u64(m, IFLA_VF_STATS_TX_PACKETS, c->tx_packets);
	nla_put_u64(m, IFLA_VF_STATS_RX_BYTES, c->rx_bytes);
	nla_put_u64(m, IFLA_VF_STATS_TX_BYTES, c->tx_bytes);
	nla_put_u64(m, IFLA_VF_STATS_BROADCAST, c->broadcast);
	nla_put_u64(m, IFLA_VF_STATS_MULTICAST, c->multicast);
	nla_put_u64(m, IFLA_VF_STATS_RX_DROPPED, c->rx_dropped);
	nla_put_u64(m, IFLA_VF_STATS_TX_DROPPED, c->tx_dropped);
	nla_nest_end(m, nest);
}

static void vf_record_put(
	struct pci_kernel *k, struct nl_msg *m, unsigned pf, uint32_t vf, uint32_t mask)
{
	const struct fake_port *port = &k->knobs->pf[pf];
	const struct vfm_settings *s = &port->vf[vf];
	uint32_t no = k->knobs->unsupported;
	struct ifla_vf_mac mac = {.vf = vf};
	struct ifla_vf_broadcast broadcast;
	struct ifla_vf_vlan vlan = {.vf = vf, .vlan = s->vlan, .qos = s->qos};
	struct ifla_vf_vlan_info info = {.vf = vf,
		.vlan = s->vlan,
		.qos = s->qos,
		.vlan_proto = htons(s->proto ? s->proto : VFM_PROTO_8021Q)};
	struct ifla_vf_rate rate = {vf, s->min_rate, s->max_rate};
	struct ifla_vf_tx_rate tx_rate = {vf, s->max_rate};
	struct ifla_vf_spoofchk spoof = {vf, no & VFM_BIT(SPOOFCHK) ? UINT32_MAX : s->spoofchk};
	struct ifla_vf_link_state link = {vf, s->link_state};
	struct ifla_vf_rss_query_en rss = {vf, no & VFM_BIT(RSS_QUERY) ? UINT32_MAX : s->rss_query};
	struct ifla_vf_trust trust = {vf, no & VFM_BIT(TRUST) ? UINT32_MAX : s->trust};
	struct ifla_vf_guid guid = {.vf = vf, .guid = s->node_guid};
	struct nlattr *list;

	memset(&broadcast, 0xff, sizeof(broadcast));
	memcpy(mac.mac, port->mac[vf], 6);
	nla_put(m, IFLA_VF_MAC, sizeof(mac), &mac);
	nla_put(m, IFLA_VF_BROADCAST, sizeof(broadcast), &broadcast);
	nla_put(m, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	nla_put(m, IFLA_VF_RATE, sizeof(rate), &rate);
	nla_put(m, IFLA_VF_TX_RATE, sizeof(tx_rate), &tx_rate);
	nla_put(m, IFLA_VF_SPOOFCHK, sizeof(spoof), &spoof);
	nla_put(m, IFLA_VF_LINK_STATE, sizeof(link), &link);
	nla_put(m, IFLA_VF_RSS_QUERY_EN, sizeof(rss), &rss);
	nla_put(m, IFLA_VF_TRUST, sizeof(trust), &trust);
	if (!(no & VFM_BIT(NODE_GUID))) {
		nla_put(m, IFLA_VF_IB_NODE_GUID, sizeof(guid), &guid);
		guid.guid = s->port_guid;
		nla_put(m, IFLA_VF_IB_PORT_GUID, sizeof(guid), &guid);
	}
	list = nla_nest_start(m, IFLA_VF_VLAN_LIST);
	nla_put(m, IFLA_VF_VLAN_INFO, sizeof(info), &info);
	nla_nest_end(m, list);
	if (!(mask & RTEXT_FILTER_SKIP_STATS))
		stats_put(m, &port->stats[vf]);
}

static void link_answer(
	struct pci_kernel *k, struct answer *a, const struct nlmsghdr *req, unsigned pf, int flags)
{
	const struct fake_port *port = &k->knobs->pf[pf];
	static const uint8_t zero[6];
	struct nlattr *list, *info, *ext;
	struct ifinfomsg ifi = {.ifi_index = k->pf[pf]->ifindex};
	struct nl_msg *m = message(req, RTM_NEWLINK, flags);
	uint32_t mask, n = fake_num_vfs(k, pf);

	ext = nlmsg_find_attr((struct nlmsghdr *)req, sizeof(ifi), IFLA_EXT_MASK);
	mask = ext ? nla_get_u32(ext) : 0;
	if (port->up)
		ifi.ifi_flags = IFF_UP;
	nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO);
	nla_put_string(m, IFLA_IFNAME, k->pf[pf]->netdev);
	if (memcmp(port->permanent, zero, 6))
		nla_put(m, IFLA_PERM_ADDRESS, 6, port->permanent);
	if (*port->altname) {
		list = nla_nest_start(m, IFLA_PROP_LIST);
		nla_put_string(m, IFLA_ALT_IFNAME, port->altname);
		nla_nest_end(m, list);
	}
	nla_put_u32(m, IFLA_NUM_VF, n);
	if (mask & RTEXT_FILTER_VF && n) {
		list = nla_nest_start(m, IFLA_VFINFO_LIST);
		for (uint32_t i = 0; i < n; i++) {
			info = nla_nest_start(m, IFLA_VF_INFO);
			vf_record_put(k, m, pf, i, mask);
			nla_nest_end(m, info);
		}
		/* As the kernel does: what does not fit in 16 bits is lost. */
		list->nla_len = (uint16_t)((char *)nlmsg_tail(nlmsg_hdr(m)) - (char *)list);
	}
	answer_add(a, m);
}

static int port_by_ifindex(struct pci_kernel *k, int ifindex)
{
	for (unsigned i = 0; i < k->knobs->n_pfs; i++)
		if (k->pf[i]->netdev && k->pf[i]->ifindex == ifindex)
			return (int)i;
	return -1;
}

static int link_set(struct pci_kernel *k, struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *list = nlmsg_find_attr(h, sizeof(*ifi), IFLA_VFINFO_LIST);
	int rem, pf = port_by_ifindex(k, ifi->ifi_index);
	struct nlattr *a;

	if (pf < 0)
		return -ENODEV;
	if (ifi->ifi_change & IFF_UP) {
		k->knobs->pf[pf].up = ifi->ifi_flags & IFF_UP;
		fake_netdev_flags(k, (unsigned)pf);
	}
	if (!list)
		return 0;
	/* As do_setvfinfo(): in the order in which the kernel looks for them, up to the first error. */
	nla_for_each_attr(a, nla_data(nla_data(list)), nla_len(nla_data(list)), rem)
	{
		int r = vf_attr_set(k, (unsigned)pf, a);

		if (r < 0)
			return r;
	}
	return 0;
}

static void address_answer(struct answer *a, const struct nlmsghdr *h, const struct fake_address *f)
{
	struct nl_msg *m = message(h, RTM_NEWADDR, NLM_F_MULTI);
	struct ifaddrmsg ifa = {
		.ifa_family = f->family,
		.ifa_prefixlen = f->prefix,
		.ifa_scope = f->scope,
		.ifa_index = (unsigned)f->ifindex,
	};

	nlmsg_append(m, &ifa, sizeof(ifa), NLMSG_ALIGNTO);
	nla_put(m, IFA_ADDRESS, f->family == AF_INET ? 4 : 16, f->bytes);
	if (f->proto)
		nla_put_u8(m, IFA_PROTO_TYPE, f->proto);
	answer_add(a, m);
}

static void route_answer(struct pci_kernel *k, struct answer *a, struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = nlmsg_data(h);
	bool dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	int pf, code;

	if (h->nlmsg_type == RTM_GETLINK && !dump) {
		pf = port_by_ifindex(k, ifi->ifi_index);
		if (pf < 0)
			answer_code(a, h, -ENODEV, NULL);
		else
			link_answer(k, a, h, (unsigned)pf, 0);
		return;
	}
	if (dump) {
		for (unsigned i = 0; h->nlmsg_type == RTM_GETADDR && i < k->knobs->n_addresses; i++)
			address_answer(a, h, &k->knobs->address[i]);
		if (h->nlmsg_type == RTM_GETADDR && k->knobs->address_dump_cut)
			return;
		for (unsigned i = 0; h->nlmsg_type == RTM_GETLINK && i < k->knobs->n_pfs; i++)
			if (k->pf[i]->netdev)
				link_answer(k, a, h, i, NLM_F_MULTI);
		answer_done(a, h);
		return;
	}
	code = link_set(k, h);
	answer_code(a, h, code, "because I said so");
}

/* --- devlink --- */

static struct nl_msg *devlink_message(
	struct pci_kernel *k, const struct nlmsghdr *req, uint8_t cmd, unsigned pf, int flags)
{
	struct genlmsghdr g = {.cmd = cmd, .version = 1};
	struct nl_msg *m = message(req, FAMILY, flags);
	char bdf[BDF_STRLEN];

	nlmsg_append(m, &g, sizeof(g), NLMSG_ALIGNTO);
	nla_put_string(m, DEVLINK_ATTR_BUS_NAME, "pci");
	nla_put_string(m, DEVLINK_ATTR_DEV_NAME, bdf_format(k->pf[pf]->bdf, bdf));
	return m;
}

static void family_answer(struct pci_kernel *k, struct answer *a, struct nlmsghdr *h)
{
	struct nlattr *name = nlmsg_find_attr(h, sizeof(struct genlmsghdr), CTRL_ATTR_FAMILY_NAME);
	struct genlmsghdr g = {.cmd = CTRL_CMD_NEWFAMILY, .version = 2};
	struct nl_msg *m;

	if (!name || strcmp(nla_get_string(name), "devlink") || k->knobs->no_devlink) {
		answer_code(a, h, -ENOENT, NULL);
		return;
	}
	m = message(h, GENL_ID_CTRL, 0);
	nlmsg_append(m, &g, sizeof(g), NLMSG_ALIGNTO);
	nla_put_string(m, CTRL_ATTR_FAMILY_NAME, "devlink");
	nla_put_u16(m, CTRL_ATTR_FAMILY_ID, FAMILY);
	answer_add(a, m);
}

/* The PF that a request names; -1 when devlink has no such device. */
static int devlink_pf(struct pci_kernel *k, struct nlattr **tb)
{
	char bdf[BDF_STRLEN];

	if (!tb[DEVLINK_ATTR_BUS_NAME] || !tb[DEVLINK_ATTR_DEV_NAME] ||
		strcmp(nla_get_string(tb[DEVLINK_ATTR_BUS_NAME]), "pci"))
		return -1;
	for (unsigned i = 0; i < k->knobs->n_pfs; i++)
		if (k->pf[i]->devlink && !strcmp(bdf_format(k->pf[i]->bdf, bdf),
						 nla_get_string(tb[DEVLINK_ATTR_DEV_NAME])))
			return (int)i;
	return -1;
}

/* Port 0 is the wire's; VF i has port i + 1 in switchdev mode. */
static unsigned ports_of(struct pci_kernel *k, unsigned pf)
{
	return 1 + (k->knobs->pf[pf].eswitch == DEVLINK_ESWITCH_MODE_SWITCHDEV ? fake_num_vfs(k, pf)
									       : 0);
}

static void port_answer(
	struct pci_kernel *k, struct answer *a, struct nlmsghdr *h, unsigned pf, unsigned i)
{
	struct nl_msg *m = devlink_message(k, h, DEVLINK_CMD_PORT_NEW, pf, NLM_F_MULTI);
	struct nlattr *function;

	nla_put_u32(m, DEVLINK_ATTR_PORT_INDEX, i);
	nla_put_u16(m, DEVLINK_ATTR_PORT_TYPE, DEVLINK_PORT_TYPE_ETH);
	nla_put_u16(m, DEVLINK_ATTR_PORT_FLAVOUR,
		i ? DEVLINK_PORT_FLAVOUR_PCI_VF : DEVLINK_PORT_FLAVOUR_PHYSICAL);
	if (i) {
		nla_put_u16(m, DEVLINK_ATTR_PORT_PCI_PF_NUMBER, k->pf[pf]->bdf.fn);
		nla_put_u16(m, DEVLINK_ATTR_PORT_PCI_VF_NUMBER, (uint16_t)(i - 1));
		nla_put_u8(m, DEVLINK_ATTR_PORT_EXTERNAL, 0);
		function = nla_nest_start(m, DEVLINK_ATTR_PORT_FUNCTION);
		nla_put(m, DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR, 6, k->knobs->pf[pf].hw_addr[i - 1]);
		nla_nest_end(m, function);
	}
	answer_add(a, m);
}

static void rate_answer(
	struct pci_kernel *k, struct answer *a, struct nlmsghdr *h, unsigned pf, unsigned i)
{
	struct nl_msg *m = devlink_message(k, h, DEVLINK_CMD_RATE_NEW, pf, NLM_F_MULTI);

	nla_put_u16(m, DEVLINK_ATTR_RATE_TYPE, DEVLINK_RATE_TYPE_LEAF);
	nla_put_u32(m, DEVLINK_ATTR_PORT_INDEX, i);
	nla_put_u64(m, DEVLINK_ATTR_RATE_TX_SHARE, k->knobs->pf[pf].tx_share[i - 1]);
	nla_put_u64(m, DEVLINK_ATTR_RATE_TX_MAX, k->knobs->pf[pf].tx_max[i - 1]);
	answer_add(a, m);
}

static void devlink_dump(struct pci_kernel *k, struct answer *a, struct nlmsghdr *h, uint8_t cmd)
{
	for (unsigned pf = 0; pf < k->knobs->n_pfs; pf++) {
		if (!k->pf[pf]->devlink)
			continue;
		for (unsigned i = 0; i < ports_of(k, pf); i++) {
			if (cmd == DEVLINK_CMD_PORT_GET)
				port_answer(k, a, h, pf, i);
			else if (cmd == DEVLINK_CMD_RATE_GET && i)
				rate_answer(k, a, h, pf, i);
		}
	}
	answer_done(a, h);
}

static int eswitch_set(struct pci_kernel *k, unsigned pf, struct nlattr *mode, const char **why)
{
	struct fake_port *port = &k->knobs->pf[pf];
	unsigned to = mode ? nla_get_u16(mode) : 2;

	if (to > DEVLINK_ESWITCH_MODE_SWITCHDEV) {
		*why = "Unknown eswitch mode";
		return -EINVAL;
	}
	if (to != port->eswitch) {
		memset(port->hw_addr, 0, sizeof(port->hw_addr));
		memset(port->tx_share, 0, sizeof(port->tx_share));
		memset(port->tx_max, 0, sizeof(port->tx_max));
	}
	if (!k->knobs->eswitch_ignored)
		port->eswitch = to;
	return 0;
}

static int port_set(struct fake_port *port, unsigned vf, struct nlattr *function, const char **why)
{
	struct nlattr *addr = function ? nla_find(nla_data(function), nla_len(function),
						 DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR)
				       : NULL;

	if (!addr || nla_len(addr) != 6) {
		*why = "Port function hardware address must be 6 bytes";
		return -EINVAL;
	}
	memcpy(port->hw_addr[vf], nla_data(addr), 6);
	return 0;
}

static int rate_set(struct fake_port *port, unsigned vf, struct nlattr **tb, const char **why)
{
	struct nlattr *share = tb[DEVLINK_ATTR_RATE_TX_SHARE], *max = tb[DEVLINK_ATTR_RATE_TX_MAX];

	if ((share && nla_get_u64(share) % MBIT) || (max && nla_get_u64(max) % MBIT)) {
		*why = "TX rate value not in link speed units of 1Mbps.";
		return -EINVAL;
	}
	if (share)
		port->tx_share[vf] = nla_get_u64(share);
	if (max)
		port->tx_max[vf] = nla_get_u64(max);
	return 0;
}

static void devlink_answer(struct pci_kernel *k, struct answer *a, struct nlmsghdr *h)
{
	const struct genlmsghdr *g = nlmsg_data(h);
	struct nlattr *tb[DEVLINK_ATTR_MAX + 1];
	const char *why = NULL;
	unsigned port, vf;
	struct nl_msg *m;
	int pf, code = -EOPNOTSUPP;

	if ((h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
		devlink_dump(k, a, h, g->cmd);
		return;
	}
	nlmsg_parse(h, sizeof(*g), tb, DEVLINK_ATTR_MAX, NULL);
	pf = devlink_pf(k, tb);
	if (pf < 0) {
		answer_code(a, h, -ENODEV, NULL);
		return;
	}
	if (g->cmd == DEVLINK_CMD_ESWITCH_GET) {
		m = devlink_message(k, h, g->cmd, (unsigned)pf, 0);
		nla_put_u16(m, DEVLINK_ATTR_ESWITCH_MODE, (uint16_t)k->knobs->pf[pf].eswitch);
		answer_add(a, m);
		return;
	}
	port = tb[DEVLINK_ATTR_PORT_INDEX] ? nla_get_u32(tb[DEVLINK_ATTR_PORT_INDEX]) : 0;
	vf = port - 1;
	if (g->cmd == DEVLINK_CMD_ESWITCH_SET) {
		code = eswitch_set(k, (unsigned)pf, tb[DEVLINK_ATTR_ESWITCH_MODE], &why);
	} else if (!port || port >= ports_of(k, (unsigned)pf)) {
		code = -ENODEV;
		why = "no such port";
	} else if (g->cmd == DEVLINK_CMD_PORT_SET) {
		code = port_set(&k->knobs->pf[pf], vf, tb[DEVLINK_ATTR_PORT_FUNCTION], &why);
	} else if (g->cmd == DEVLINK_CMD_RATE_SET) {
		code = rate_set(&k->knobs->pf[pf], vf, tb, &why);
	}
	answer_code(a, h, code, why);
}

bool fake_is_change(int protocol, const struct nlmsghdr *h)
{
	const struct genlmsghdr *g = nlmsg_data(h);

	if (protocol == NETLINK_ROUTE)
		return (h->nlmsg_type - RTM_BASE) % 4 != 2; /* RTM_GET* */
	return h->nlmsg_type == FAMILY &&
	       (g->cmd == DEVLINK_CMD_ESWITCH_SET || g->cmd == DEVLINK_CMD_PORT_SET ||
		       g->cmd == DEVLINK_CMD_RATE_SET || g->cmd == DEVLINK_CMD_RATE_NEW);
}

void fake_answer(struct pci_kernel *k, int protocol, struct nlmsghdr *h, int code, void **ret_reply,
	size_t *ret_len)
{
	struct answer a = {0};

	if (code)
		answer_code(&a, h, code, "because I said so");
	else if (protocol == NETLINK_ROUTE)
		route_answer(k, &a, h);
	else if (protocol == NETLINK_GENERIC && h->nlmsg_type == GENL_ID_CTRL)
		family_answer(k, &a, h);
	else if (protocol == NETLINK_GENERIC && h->nlmsg_type == FAMILY)
		devlink_answer(k, &a, h);
	else
		answer_code(&a, h, -EOPNOTSUPP, NULL);
	*ret_reply = a.data;
	*ret_len = a.len;
}

void fake_garble(enum fake_garble how, void **reply, size_t *len)
{
	/* Words without an end, then an attribute that is longer than the message. */
	static const uint8_t spoilt[] = {8, 0, NLMSGERR_ATTR_MSG, 0, 0x1b, '[', '2', 'J', 0xff,
		0xff, NLMSGERR_ATTR_MSG, 0, 'x', 'x', 'x', 'x'};
	struct nlmsghdr *h = *reply;
	struct {
		struct nlmsghdr h;
		struct nlmsgerr error;
		uint8_t spoilt[sizeof(spoilt)];
	} e = {.h = *h, .error.error = -EIO};

	e.h.nlmsg_len = sizeof(e);
	e.h.nlmsg_type = NLMSG_ERROR;
	e.h.nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
	memcpy(e.spoilt, spoilt, sizeof(spoilt));
	switch (how) {
	case FAKE_EMPTY: *len = 0; return;
	case FAKE_CUT: *len /= 2; return;
	case FAKE_LONG: h->nlmsg_len = (uint32_t)*len + 16; return;
	case FAKE_SHORT: h->nlmsg_len = 4; return;
	case FAKE_WRONG_SEQ: h->nlmsg_seq += 7; return;
	case FAKE_OVERRUN: h->nlmsg_type = NLMSG_OVERRUN; return;
	case FAKE_POSITIVE: e.error.error = 5; break;
	case FAKE_EXTACK:
	case FAKE_GARBLES: break;
	}
	free(*reply);
	*reply = malloc(sizeof(e));
	if (!*reply)
		abort();
	memcpy(*reply, &e, sizeof(e));
	*len = sizeof(e);
}
