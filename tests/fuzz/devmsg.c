// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * devlink's answers: families, modes, dumps of ports and rates. Ports and rates are compared with a
 * second reading of the format, written with nothing but offsets and lengths. Input: a mode byte, then
 * the whole answer, or attributes of one message behind sound headers, or of one each after every 0xa5.
 */
#include <errno.h>
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/nlwalk.h"
#include "vf-manager/devmsg.h"

#define PORTS 8
#define SIZE  16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The last attribute of a type counts, as everywhere in netlink. */
static bool attr_find(struct walk w, unsigned type, struct walk *ret)
{
	struct walk a;
	bool found = false;
	unsigned t;

	while (attr_next(&w, &t, &a))
		if (t == type) {
			*ret = a;
			found = true;
		}
	return found;
}

static uint64_t number(struct walk w, unsigned type, size_t size, bool *ret_there)
{
	uint64_t n = 0;
	struct walk a;

	*ret_there = attr_find(w, type, &a) && a.left >= size;
	if (*ret_there)
		memcpy(&n, a.p, size); /* of a little-endian machine, as all we build for */
	return n;
}

static bool string_is(struct walk w, unsigned type, const char *s)
{
	struct walk a;

	return attr_find(w, type, &a) && a.left == strlen(s) + 1 && !memcmp(a.p, s, a.left);
}

static void port_model(struct walk m, struct vfm_port *port)
{
	bool flavour, vf, index, there;
	uint64_t f = number(m, DEVLINK_ATTR_PORT_FLAVOUR, 2, &flavour);
	uint64_t n = number(m, DEVLINK_ATTR_PORT_PCI_VF_NUMBER, 2, &vf);
	uint64_t i = number(m, DEVLINK_ATTR_PORT_INDEX, 4, &index);
	uint64_t pf = number(m, DEVLINK_ATTR_PORT_PCI_PF_NUMBER, 2, &there);
	struct walk function, addr, a;
	unsigned type;

	if (!flavour || !vf || !index || f != DEVLINK_PORT_FLAVOUR_PCI_VF || n >= PORTS ||
		number(m, DEVLINK_ATTR_PORT_EXTERNAL, 1, &there) ||
		number(m, DEVLINK_ATTR_PORT_CONTROLLER_NUMBER, 4, &there) ||
		(port[n].there && pf != 0))
		return;
	port[n] = (struct vfm_port){.there = true, .index = (uint32_t)i};
	if (!attr_find(m, DEVLINK_ATTR_PORT_FUNCTION, &function))
		return;
	/* The first one here: nla_find() looks no further. */
	for (addr.p = NULL; !addr.p && attr_next(&function, &type, &a);)
		if (type == DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR)
			addr = a;
	if (addr.p && addr.left == 6) {
		memcpy(port[n].mac, addr.p, 6);
		port[n].has_mac = true;
	}
}

/* 0 and the ports, or -1: the answer is not one that can be read to its end. */
static int model(const uint8_t *p, size_t len, struct vfm_port *port)
{
	while (len) {
		struct nlmsghdr h;
		size_t step;

		if (len < sizeof(h))
			return -1;
		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len || h.nlmsg_flags & NLM_F_DUMP_INTR)
			return -1;
		if (h.nlmsg_type == NLMSG_DONE) {
			int code = 0;

			if (h.nlmsg_len >= sizeof(h) + 4)
				memcpy(&code, p + sizeof(h), 4);
			return code < 0 ? -1 : 0;
		}
		if (h.nlmsg_type == NLMSG_ERROR || h.nlmsg_type == NLMSG_OVERRUN ||
			h.nlmsg_len < sizeof(h) + 4)
			return -1;
		struct walk m = {p + sizeof(h) + 4, h.nlmsg_len - sizeof(h) - 4};

		if (string_is(m, DEVLINK_ATTR_BUS_NAME, "pci") &&
			string_is(m, DEVLINK_ATTR_DEV_NAME, "0000:01:00.0"))
			port_model(m, port);
		step = (h.nlmsg_len + 3u) & ~(size_t)3;
		step = step < len ? step : len;
		p += step;
		len -= step;
	}
	return -1;
}

static size_t put(uint8_t *p, uint16_t type, const void *data, size_t len)
{
	uint16_t h[2] = {(uint16_t)(4 + len), type};

	memcpy(p, h, 4);
	memcpy(p + 4, data, len);
	return 4 + ((len + 3) & ~(size_t)3);
}

/* A message of our device with these bytes for attributes. */
static size_t message(uint8_t *p, const uint8_t *data, size_t size)
{
	struct nlmsghdr h = {.nlmsg_type = 0x1f, .nlmsg_flags = NLM_F_MULTI};
	size_t at = sizeof(h) + 4;

	at += put(p + at, DEVLINK_ATTR_BUS_NAME, "pci", 4);
	at += put(p + at, DEVLINK_ATTR_DEV_NAME, "0000:01:00.0", 13);
	memcpy(p + at, data, size);
	at += size;
	h.nlmsg_len = (uint32_t)at;
	memcpy(p, &h, sizeof(h));
	return (at + 3) & ~(size_t)3;
}

/* A port from two bytes: which one, and what is wrong with it. */
static size_t port_make(uint8_t *p, uint8_t which, uint8_t wrong)
{
	uint16_t flavour = DEVLINK_PORT_FLAVOUR_PCI_VF, vf = which % (PORTS + 2), pf = wrong >> 6;
	uint32_t index = which;
	uint8_t a[128], function[16], mac[8] = {2, which, wrong}, external = (wrong & 7) == 1;
	size_t at = 0, n;

	if ((wrong & 7) == 2)
		flavour = DEVLINK_PORT_FLAVOUR_PHYSICAL;
	at += put(a + at, DEVLINK_ATTR_PORT_FLAVOUR, &flavour, (wrong & 7) == 3 ? 1 : 2);
	at += put(a + at, DEVLINK_ATTR_PORT_PCI_VF_NUMBER, &vf, 2);
	at += put(a + at, DEVLINK_ATTR_PORT_PCI_PF_NUMBER, &pf, 2);
	at += put(a + at, DEVLINK_ATTR_PORT_INDEX, &index, 4);
	at += put(a + at, DEVLINK_ATTR_PORT_EXTERNAL, &external, 1);
	n = put(function, DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR, mac, (wrong & 7) == 4 ? 8 : 6);
	at += put(a + at, DEVLINK_ATTR_PORT_FUNCTION, function, n);
	return message(p, a, at);
}

static size_t answer_make(uint8_t *p, uint8_t mode, const uint8_t *data, size_t size)
{
	struct nlmsghdr done = {.nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE};
	size_t at = 0;

	if (mode % 3 == 0) {
		memcpy(p, data, size);
		return size;
	}
	if (mode % 3 == 1)
		at += message(p, data, size);
	for (size_t i = 0; mode % 3 == 2 && i + 1 < size && i < 100; i += 2)
		at += port_make(p + at, data[i], data[i + 1]);
	if (!(mode & 128)) {
		memcpy(p + at, &done, sizeof(done));
		at += sizeof(done);
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct devlink_handle h = {"pci", "0000:01:00.0"};
	struct vfm_port got[PORTS] = {0}, want[PORTS] = {0};
	enum vfm_eswitch mode;
	struct err e = {0};
	uint8_t *msg, *cut;
	uint16_t family;
	size_t len;
	int r;

	if (size < 1 || size > 4000)
		return 0;
	msg = calloc(1, SIZE);
	if (!msg)
		return 0;
	len = answer_make(msg, data[0], data + 1, size - 1);
	/* Its exact size, so that a byte read past it is noticed. */
	cut = realloc(msg, len ? len : 1);
	if (!cut)
		abort();
	r = devmsg_ports_decode(cut, len, &h, 0, got, PORTS, &e);
	if (r > 0 || r < -4095 || (r == 0) != (model(cut, len, want) == 0))
		abort();
	for (size_t i = 0; r == 0 && i < PORTS; i++)
		if (got[i].there != want[i].there || got[i].index != want[i].index ||
			got[i].has_mac != want[i].has_mac || memcmp(got[i].mac, want[i].mac, 6))
			abort();
	devmsg_rates_decode(cut, len, &h, got, PORTS, &e);
	for (size_t i = 0; i < PORTS; i++)
		if (got[i].has_rate && !got[i].there)
			abort();
	if (devmsg_eswitch_decode(cut, len, &h, &mode, &e) == 0 && mode > VFM_ESWITCH_SWITCHDEV)
		abort();
	devmsg_family_decode(cut, len, &family, &e);
	if (devmsg_ack_decode(cut, len, &e) > 0)
		abort();
	for (const char *c = e.text; *c; c++)
		if (*c < ' ' || *c > '~')
			abort();
	free(cut);
	return 0;
}
