// SPDX-License-Identifier: GPL-2.0-or-later
/* The answer of rtnetlink about an interface's names and address: hostile bytes behind a sound head. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vf-manager/linkinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	struct nlmsghdr h = {.nlmsg_type = RTM_NEWLINK};
	struct ifinfomsg ifi = {.ifi_index = 5};
	struct link_info l = {0};
	uint8_t *msg;
	int r;

	if (size < 1 || size > 4096)
		return 0;
	msg = malloc(fixed + size);
	if (!msg)
		return 0;
	h.nlmsg_len = (uint32_t)(fixed + size - 1);
	if (data[0] & 1) {
		memcpy(msg, &h, sizeof(h));
		memcpy(msg + sizeof(h), &ifi, sizeof(ifi));
		memcpy(msg + fixed, data + 1, size - 1);
		r = link_info_decode(msg, h.nlmsg_len, 5, &l);
		if (r != 0)
			abort();
	} else {
		memcpy(msg, data + 1, size - 1);
		r = link_info_decode(msg, size - 1, 5, &l);
	}
	if (r > 0 || l.n_alt > LINK_ALT_MAX)
		abort();
	for (unsigned i = 0; i < l.n_alt; i++) {
		if (strnlen(l.alt[i], LINK_NAME_MAX) == LINK_NAME_MAX || !*l.alt[i])
			abort();
	}
	free(msg);
	return 0;
}
