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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf-manager/vfattr.h"

#define VFS     8
#define IFINDEX 5
#define SIZE    8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk {
	const uint8_t *p;
	size_t left;
};

/* The next attribute's type and payload; false at the end or where lengths make no sense. */
static bool attr_next(struct walk *w, unsigned *ret_type, struct walk *ret)
{
	uint16_t len, type;
	size_t step;

	if (w->left < 4)
		return false;
	memcpy(&len, w->p, 2);
	memcpy(&type, w->p + 2, 2);
	if (len < 4 || len > w->left)
		return false;
	*ret_type = type & 0x3fff;
	*ret = (struct walk){w->p + 4, len - 4u};
	step = (len + 3u) & ~3u;
	step = step < w->left ? step : w->left;
	w->p += step;
	w->left -= step;
	return true;
}

static void model(struct walk msg, struct vf_attr *vf)
{
	struct walk list, info, a;
	unsigned type;

	while (attr_next(&msg, &type, &list)) {
		while (type == IFLA_VFINFO_LIST && attr_next(&list, &type, &info)) {
			while (type == IFLA_VF_INFO && attr_next(&info, &type, &a)) {
				uint32_t n;

				if (type == IFLA_VF_MAC && a.left >= 36) {
					memcpy(&n, a.p, 4);
					if (n < VFS) {
						vf[n].has_mac = true;
						memcpy(vf[n].mac, a.p + 4, 6);
					}
				}
				type = IFLA_VF_INFO;
			}
			type = IFLA_VFINFO_LIST;
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
		put_attr(p + at + 4, wrong == 3 ? IFLA_VF_VLAN : IFLA_VF_MAC,
			36 - (wrong == 4 ? 4 : 0) + (wrong == 5 ? 100 : 0));
		memset(p + at + 8, vf, 36);
		memcpy(p + at + 8, &index, 4);
		at += 44;
	}
	put_attr(p, IFLA_VFINFO_LIST, at - 4);
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	struct vf_attr got[VFS] = {0}, want[VFS] = {0};
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
	for (size_t i = 0; i < VFS; i++) {
		if (got[i].has_mac != want[i].has_mac || memcmp(got[i].mac, want[i].mac, 6)) {
			fprintf(stderr, "VF %zu differs from the model\n", i);
			abort();
		}
	}
	free(msg);
	return 0;
}
