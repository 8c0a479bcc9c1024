/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every netlink answer has, read from hostile bytes. Pure functions. */
#ifndef VIADUCT_VFM_NLREPLY_H
#define VIADUCT_VFM_NLREPLY_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nlattr;

/* A place in an answer of one or several messages. */
struct nlreply {
	const char *at;
	size_t left;
	bool complete; /* the end of a dump was seen: what is missing was not cut off */
};

/*
 * The next message that says something: 1 and *ret, which lies whole within the answer. 0 at the
 * end: an acknowledgement, the end of a dump, or nothing more. Else what went wrong: the kernel's
 * negative errno, with its own words in @e when it sent some; -EAGAIN a dump that changed while it
 * was made, -ENOBUFS messages were lost, -EBADMSG what is no message.
 */
int nlreply_next(struct nlreply *r, const struct nlmsghdr **ret, struct err *e);

/* An attribute that holds at least such a number. */
bool attr_u8(const struct nlattr *a, uint8_t *ret);
bool attr_u16(const struct nlattr *a, uint16_t *ret);
bool attr_u32(const struct nlattr *a, uint32_t *ret);
bool attr_u64(const struct nlattr *a, uint64_t *ret);
/* Does it hold this string? */
bool attr_is(const struct nlattr *a, const char *s);

#endif
