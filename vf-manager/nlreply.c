// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/nlreply.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <string.h>

#define MAX_ERRNO 4095

/* The kernel's words, as far as they can be printed. */
static void words_copy(const struct nlattr *a, char *buf, size_t size)
{
	size_t n = (size_t)nla_len(a);

	n = strnlen(nla_data(a), n < size - 1 ? n : size - 1);
	memcpy(buf, nla_data(a), n);
	buf[n] = '\0';
	for (char *c = buf; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
}

/* An errno and its words, @skip bytes into the message's payload. */
static int code_decode(const struct nlmsghdr *h, int code, size_t skip, struct err *e)
{
	size_t len = h->nlmsg_len - sizeof(*h);
	const char *payload = (const char *)(h + 1);
	const struct nlattr *a;
	char words[256];
	int rem;

	if (code > 0 || code < -MAX_ERRNO)
		return -EBADMSG;
	if (code == 0 || !(h->nlmsg_flags & NLM_F_ACK_TLVS) || skip >= len)
		return code;
	nla_for_each_attr(a, (struct nlattr *)(payload + skip), (int)(len - skip), rem)
	{
		if (nla_type(a) == NLMSGERR_ATTR_MSG && nla_len(a) > 0) {
			words_copy(a, words, sizeof(words));
			err_set(e, -code, "the kernel says: %s", words);
			break;
		}
	}
	return code;
}

static int error_decode(const struct nlmsghdr *h, struct err *e)
{
	size_t len = h->nlmsg_len - sizeof(*h), skip = sizeof(struct nlmsgerr);
	struct nlmsgerr ne;

	if (len < sizeof(ne))
		return -EBADMSG;
	memcpy(&ne, h + 1, sizeof(ne));
	/* The request follows the header unless it was capped. */
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		if (ne.msg.nlmsg_len < sizeof(*h) || ne.msg.nlmsg_len > len)
			skip = len;
		else
			skip += NLMSG_ALIGN(ne.msg.nlmsg_len - sizeof(*h));
	}
	return code_decode(h, ne.error, skip, e);
}

static int done_decode(const struct nlmsghdr *h, struct err *e)
{
	int code = 0;

	/* Some dumps end without a number. */
	if (h->nlmsg_len - sizeof(*h) >= sizeof(code))
		memcpy(&code, h + 1, sizeof(code));
	return code_decode(h, code < 0 ? code : 0, sizeof(code), e);
}

int nlreply_next(struct nlreply *r, const struct nlmsghdr **ret, struct err *e)
{
	const struct nlmsghdr *h = (const void *)r->at;
	size_t step;

	if (r->left == 0)
		return 0;
	if (r->left < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > r->left ||
		h->nlmsg_len > INT_MAX)
		return -EBADMSG;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EAGAIN;
	switch (h->nlmsg_type) {
	case NLMSG_ERROR: return error_decode(h, e);
	case NLMSG_DONE: r->complete = true; return done_decode(h, e);
	case NLMSG_OVERRUN: return -ENOBUFS;
	default: break;
	}
	step = NLMSG_ALIGN((size_t)h->nlmsg_len);
	step = step < r->left ? step : r->left;
	r->at += step;
	r->left -= step;
	*ret = h;
	return 1;
}

static bool attr_copy(const struct nlattr *a, void *to, size_t size)
{
	if (!a || nla_len(a) < (int)size)
		return false;
	memcpy(to, nla_data(a), size);
	return true;
}

bool attr_u8(const struct nlattr *a, uint8_t *ret)
{
	return attr_copy(a, ret, sizeof(*ret));
}

bool attr_u16(const struct nlattr *a, uint16_t *ret)
{
	return attr_copy(a, ret, sizeof(*ret));
}

bool attr_u32(const struct nlattr *a, uint32_t *ret)
{
	return attr_copy(a, ret, sizeof(*ret));
}

bool attr_u64(const struct nlattr *a, uint64_t *ret)
{
	return attr_copy(a, ret, sizeof(*ret));
}

bool attr_is(const struct nlattr *a, const char *s)
{
	size_t n = strlen(s) + 1;

	return a && nla_len(a) == (int)n && !memcmp(nla_data(a), s, n);
}
