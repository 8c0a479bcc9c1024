// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/devmsg.h"

#include <errno.h>
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <string.h>

#include "vf-manager/nlreply.h"

#define CTRL_VERSION    2
#define DEVLINK_VERSION DEVLINK_GENL_VERSION

static struct nl_msg *request(int type, int flags, uint8_t cmd, uint8_t version)
{
	struct nl_msg *m = nlmsg_alloc();

	/* Its number is netlink_talk()'s to give, so none is taken from a socket here. */
	if (m && !genlmsg_put(m, 0, 0, type, 0, NLM_F_REQUEST | flags, cmd, version)) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

static struct nl_msg *device_request(
	uint16_t family, int flags, uint8_t cmd, const struct devlink_handle *h)
{
	struct nl_msg *m = request(family, flags, cmd, DEVLINK_VERSION);

	if (m && (nla_put_string(m, DEVLINK_ATTR_BUS_NAME, h->bus) < 0 ||
			 nla_put_string(m, DEVLINK_ATTR_DEV_NAME, h->dev) < 0)) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

/* @m, or NULL in its place when a part did not go in. */
static struct nl_msg *whole(struct nl_msg *m, int r)
{
	if (m && r < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

struct nl_msg *devmsg_family(void)
{
	struct nl_msg *m = request(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, CTRL_VERSION);

	return whole(m, m ? nla_put_string(m, CTRL_ATTR_FAMILY_NAME, DEVLINK_GENL_NAME) : -ENOMEM);
}

struct nl_msg *devmsg_eswitch_get(uint16_t family, const struct devlink_handle *h)
{
	return device_request(family, 0, DEVLINK_CMD_ESWITCH_GET, h);
}

struct nl_msg *devmsg_eswitch_set(
	uint16_t family, const struct devlink_handle *h, enum vfm_eswitch mode)
{
	struct nl_msg *m = device_request(family, NLM_F_ACK, DEVLINK_CMD_ESWITCH_SET, h);

	return whole(m, m ? nla_put_u16(m, DEVLINK_ATTR_ESWITCH_MODE, (uint16_t)mode) : -ENOMEM);
}

struct nl_msg *devmsg_ports(uint16_t family)
{
	return request(family, NLM_F_DUMP, DEVLINK_CMD_PORT_GET, DEVLINK_VERSION);
}

struct nl_msg *devmsg_rates(uint16_t family)
{
	return request(family, NLM_F_DUMP, DEVLINK_CMD_RATE_GET, DEVLINK_VERSION);
}

struct nl_msg *devmsg_port_mac(
	uint16_t family, const struct devlink_handle *h, uint32_t port, const uint8_t mac[static 6])
{
	struct nl_msg *m = device_request(family, NLM_F_ACK, DEVLINK_CMD_PORT_SET, h);
	struct nlattr *function;
	int r = -ENOMEM;

	if (!m)
		return NULL;
	if (nla_put_u32(m, DEVLINK_ATTR_PORT_INDEX, port) == 0 &&
		(function = nla_nest_start(m, DEVLINK_ATTR_PORT_FUNCTION | NLA_F_NESTED))) {
		r = nla_put(m, DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR, 6, mac);
		nla_nest_end(m, function);
	}
	return whole(m, r);
}

struct nl_msg *devmsg_port_rate(uint16_t family, const struct devlink_handle *h, uint32_t port,
	uint64_t tx_share, uint64_t tx_max)
{
	struct nl_msg *m = device_request(family, NLM_F_ACK, DEVLINK_CMD_RATE_SET, h);

	if (!m)
		return NULL;
	return whole(m, nla_put_u32(m, DEVLINK_ATTR_PORT_INDEX, port) < 0 ||
					nla_put_u64(m, DEVLINK_ATTR_RATE_TX_SHARE, tx_share) < 0 ||
					nla_put_u64(m, DEVLINK_ATTR_RATE_TX_MAX, tx_max) < 0
				? -ENOMEM
				: 0);
}

/*
 * The next message of a family: 1 and its attributes by type, 0 at the end, else as nlreply_next().
 */
static int next(struct nlreply *r, uint8_t *ret_cmd, struct nlattr **tb, int max, struct err *e)
{
	const struct nlmsghdr *h;
	const struct genlmsghdr *g;
	int n = nlreply_next(r, &h, e);

	if (n <= 0)
		return n;
	if (h->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN)
		return -EBADMSG;
	g = (const void *)(h + 1);
	*ret_cmd = g->cmd;
	nla_parse(tb, max, (struct nlattr *)((char *)(h + 1) + GENL_HDRLEN),
		(int)(h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN), NULL);
	return 1;
}

int devmsg_ack_decode(const void *reply, size_t len, struct err *e)
{
	struct nlreply r = {.at = reply, .left = len};
	const struct nlmsghdr *h;
	int n = nlreply_next(&r, &h, e);

	/* No answer is no acknowledgement. */
	return n > 0 || len == 0 ? -EBADMSG : n;
}

int devmsg_family_decode(const void *reply, size_t len, uint16_t *ret, struct err *e)
{
	struct nlreply r = {.at = reply, .left = len};
	struct nlattr *tb[CTRL_ATTR_MAX + 1];
	uint16_t id;
	uint8_t cmd;
	int n = next(&r, &cmd, tb, CTRL_ATTR_MAX, e);

	if (n < 0)
		return n;
	if (n == 0 || cmd != CTRL_CMD_NEWFAMILY ||
		!attr_is(tb[CTRL_ATTR_FAMILY_NAME], DEVLINK_GENL_NAME) ||
		!attr_u16(tb[CTRL_ATTR_FAMILY_ID], &id) || id < NLMSG_MIN_TYPE)
		return -EBADMSG;
	*ret = id;
	return 0;
}

static bool is_of(struct nlattr **tb, const struct devlink_handle *h)
{
	return attr_is(tb[DEVLINK_ATTR_BUS_NAME], h->bus) &&
	       attr_is(tb[DEVLINK_ATTR_DEV_NAME], h->dev);
}

int devmsg_eswitch_decode(const void *reply, size_t len, const struct devlink_handle *h,
	enum vfm_eswitch *ret, struct err *e)
{
	struct nlreply r = {.at = reply, .left = len};
	struct nlattr *tb[DEVLINK_ATTR_MAX + 1];
	uint16_t mode;
	uint8_t cmd;
	int n = next(&r, &cmd, tb, DEVLINK_ATTR_MAX, e);

	if (n < 0)
		return n;
	if (n == 0 || !is_of(tb, h))
		return -EBADMSG;
	/* A driver that has some eswitch setting, but no modes. */
	if (!tb[DEVLINK_ATTR_ESWITCH_MODE])
		return -EOPNOTSUPP;
	if (!attr_u16(tb[DEVLINK_ATTR_ESWITCH_MODE], &mode))
		return -EBADMSG;
	/* Newer kernels have a third one, "inactive", which is no mode a VF could work in. */
	if (mode > DEVLINK_ESWITCH_MODE_SWITCHDEV)
		return -EPROTO;
	*ret = mode == DEVLINK_ESWITCH_MODE_SWITCHDEV ? VFM_ESWITCH_SWITCHDEV : VFM_ESWITCH_LEGACY;
	return 0;
}

static void port_decode(struct nlattr **tb, unsigned pf_number, struct vfm_port *port, size_t n)
{
	struct nlattr *function = tb[DEVLINK_ATTR_PORT_FUNCTION], *addr;
	uint16_t flavour, pf = 0, vf;
	uint32_t index, controller = 0;
	uint8_t external = 0;

	if (!attr_u16(tb[DEVLINK_ATTR_PORT_FLAVOUR], &flavour) ||
		flavour != DEVLINK_PORT_FLAVOUR_PCI_VF ||
		!attr_u16(tb[DEVLINK_ATTR_PORT_PCI_VF_NUMBER], &vf) || vf >= n ||
		!attr_u32(tb[DEVLINK_ATTR_PORT_INDEX], &index))
		return;
	attr_u16(tb[DEVLINK_ATTR_PORT_PCI_PF_NUMBER], &pf);
	attr_u8(tb[DEVLINK_ATTR_PORT_EXTERNAL], &external);
	attr_u32(tb[DEVLINK_ATTR_PORT_CONTROLLER_NUMBER], &controller);
	/* A card with processors of its own shows the host's VFs there, too. */
	if (external || controller || (port[vf].there && pf != pf_number))
		return;
	port[vf] = (struct vfm_port){.there = true, .index = index};
	addr = function ? nla_find(nla_data(function), nla_len(function),
				  DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR)
			: NULL;
	/* InfiniBand's is longer. */
	if (addr && nla_len(addr) == 6) {
		memcpy(port[vf].mac, nla_data(addr), 6);
		port[vf].has_mac = true;
	}
}

int devmsg_ports_decode(const void *reply, size_t len, const struct devlink_handle *h,
	unsigned pf_number, struct vfm_port *port, size_t n, struct err *e)
{
	struct nlreply r = {.at = reply, .left = len};
	struct nlattr *tb[DEVLINK_ATTR_MAX + 1];
	uint8_t cmd;
	int more;

	while ((more = next(&r, &cmd, tb, DEVLINK_ATTR_MAX, e)) > 0)
		if (is_of(tb, h))
			port_decode(tb, pf_number, port, n);
	return more == 0 && !r.complete ? -EBADMSG : more;
}

static void rate_decode(struct nlattr **tb, struct vfm_port *port, size_t n)
{
	uint64_t share = 0, max = 0;
	uint32_t index;
	uint16_t type;

	if (!attr_u16(tb[DEVLINK_ATTR_RATE_TYPE], &type) || type != DEVLINK_RATE_TYPE_LEAF ||
		!attr_u32(tb[DEVLINK_ATTR_PORT_INDEX], &index) ||
		!attr_u64(tb[DEVLINK_ATTR_RATE_TX_SHARE], &share) ||
		!attr_u64(tb[DEVLINK_ATTR_RATE_TX_MAX], &max))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!port[i].there || port[i].index != index)
			continue;
		port[i].tx_share = share;
		port[i].tx_max = max;
		port[i].has_rate = true;
	}
}

int devmsg_rates_decode(const void *reply, size_t len, const struct devlink_handle *h,
	struct vfm_port *port, size_t n, struct err *e)
{
	struct nlreply r = {.at = reply, .left = len};
	struct nlattr *tb[DEVLINK_ATTR_MAX + 1];
	uint8_t cmd;
	int more;

	while ((more = next(&r, &cmd, tb, DEVLINK_ATTR_MAX, e)) > 0)
		if (is_of(tb, h))
			rate_decode(tb, port, n);
	return more == 0 && !r.complete ? -EBADMSG : more;
}
