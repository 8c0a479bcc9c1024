// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rtnetlink answers with VF records: compared with a second reading of the format, written with
 * nothing but offsets and lengths. Input: a mode byte, then either the whole message, or attributes
 * behind a sound header, or pairs (VF number, what is wrong) from which records are made.
 */
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/nlwalk.h"
#include "vf-manager/vfattr.h"

#define VFS     8
#define IFINDEX 5
#define SIZE    8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Which VF a record is of: what its first address attribute says. */
static bool record_number(struct walk info, uint32_t *ret)
{
	struct walk a;
	unsigned type;

	while (attr_next(&info, &type, &a))
		if (type == IFLA_VF_MAC && a.left >= 36) {
			memcpy(ret, a.p, 4);
			return true;
		}
	return false;
}

static void record_model(struct walk info, uint32_t vf, struct vfm_settings *s)
{
	struct walk a;
	unsigned type;
	uint32_t words[3];

	while (attr_next(&info, &type, &a)) {
		if (a.left < 8)
			continue;
		memcpy(words, a.p, a.left < 12 ? 8 : 12);
		if (words[0] != vf)
			continue;
		if (type == IFLA_VF_MAC && a.left >= 36) {
			s->set |= VFM_BIT(MAC);
			memcpy(s->mac, a.p + 4, 6);
		} else if (type == IFLA_VF_VLAN && a.left >= 12) {
			s->set |= VFM_BIT(VLAN) | VFM_BIT(QOS);
			s->vlan = (uint16_t)words[1];
			s->qos = (uint8_t)words[2];
		} else if (type == IFLA_VF_TRUST && words[1] != UINT32_MAX) {
			s->set |= VFM_BIT(TRUST);
			s->trust = words[1];
		}
	}
}

/* Records to the end of the list's length, and on as long as their numbers go on. */
static void model(struct walk msg, struct vfm_settings *vf)
{
	struct walk list, rest, info;
	uint32_t number, next = 0;
	const uint8_t *end;
	unsigned type;

	do {
		if (!attr_next(&msg, &type, &list))
			return;
	} while (type != IFLA_VFINFO_LIST);
	end = list.p + list.left;
	rest = (struct walk){list.p, (size_t)(msg.p + msg.left - list.p)};
	while (attr_next(&rest, &type, &info)) {
		bool inside = info.p + info.left <= end;
		bool record = type == IFLA_VF_INFO && record_number(info, &number);

		if (record && (inside || number == next)) {
			if (number < VFS)
				record_model(info, number, &vf[number]);
			next = number + 1;
		} else if (!inside) {
			return;
		}
	}
}

static size_t put_attr(uint8_t *p, unsigned type, size_t payload)
{
	uint16_t h[2] = {(uint16_t)(4 + payload), (uint16_t)type};

	memcpy(p, h, 4);
	return 4 + ((payload + 3) & ~(size_t)3);
}

/* One record per pair of bytes; the second byte spoils a length or a type now and then. */
static size_t records_make(uint8_t *p, const uint8_t *data, size_t size)
{
	size_t at = 4, n = size / 2 < 100 ? size / 2 : 100;

	for (size_t i = 0; i < n; i++) {
		uint8_t vf = data[2 * i], wrong = data[2 * i + 1];
		uint32_t index = vf % (VFS + 2);

		put_attr(p + at, wrong == 1 ? 7 : IFLA_VF_INFO, 40 + (wrong == 2 ? 5000 : 0));
		put_attr(p + at + 4,
			wrong == 3   ? IFLA_VF_VLAN
			: wrong == 6 ? IFLA_VF_TRUST
				     : IFLA_VF_MAC,
			36 - (wrong == 4 ? 4 : 0) + (wrong == 5 ? 100 : 0));
		memset(p + at + 8, vf, 36);
		memcpy(p + at + 8, &index, 4);
		at += 44;
	}
	/* As the kernel does, the length of a long list wraps around. */
	put_attr(p, IFLA_VFINFO_LIST, (at - 4) & (size && data[0] & 128 ? 0xff : 0xffff));
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	struct vfm_settings got[VFS] = {0}, want[VFS] = {0};
	struct vfm_counters counters[VFS] = {0};
	struct ifinfomsg ifi = {.ifi_index = IFINDEX};
	struct nlmsghdr h = {.nlmsg_type = RTM_NEWLINK};
	struct err e = {0};
	uint8_t *msg, *cut;
	size_t len;
	int r;

	if (size < 1 || size > SIZE / 2)
		return 0;
	/* Its exact size, so that a byte read past it is noticed. */
	msg = calloc(1, SIZE);
	if (!msg)
		return 0;
	if (data[0] % 3 == 0) {
		len = size - 1;
		memcpy(msg, data + 1, len);
	} else {
		if (data[0] % 3 == 1) {
			memcpy(msg + fixed, data + 1, size - 1);
			len = fixed + size - 1;
		} else {
			len = fixed + records_make(msg + fixed, data + 1, size - 1);
		}
		h.nlmsg_len = (uint32_t)len;
		memcpy(msg, &h, sizeof(h));
		memcpy(msg + sizeof(h), &ifi, sizeof(ifi));
	}
	cut = realloc(msg, len ? len : 1);
	if (!cut)
		abort();
	msg = cut;
	r = vf_reply_decode(msg, len, IFINDEX, got, VFS, &e);
	if (r > 0 || r < -4095)
		abort();
	if (len >= sizeof(h))
		memcpy(&h, msg, sizeof(h));
	if (r == 0 && h.nlmsg_type == RTM_NEWLINK)
		model((struct walk){msg + fixed, h.nlmsg_len - fixed}, want);
	if (data[0] % 3 && r != 0)
		abort();
	/* The same records are walked for statistics: a VF is seen when it has one. */
	if (vf_stats_decode(msg, len, IFINDEX, counters, VFS, &e) != r)
		abort();
	for (size_t i = 0; r == 0 && i < VFS; i++)
		if ((want[i].set & VFM_BIT(MAC) && !counters[i].seen) || counters[i].set > 0xff)
			abort();
	for (size_t i = 0; i < VFS; i++) {
		uint32_t bits = VFM_BIT(MAC) | VFM_BIT(VLAN) | VFM_BIT(QOS) | VFM_BIT(TRUST);

		if ((got[i].set ^ want[i].set) & bits || memcmp(got[i].mac, want[i].mac, 6) ||
			got[i].vlan != want[i].vlan || got[i].qos != want[i].qos ||
			got[i].trust != want[i].trust) {
			fprintf(stderr, "VF %zu differs from the model\n", i);
			abort();
		}
	}
	free(msg);
	return 0;
}
