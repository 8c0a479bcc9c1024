// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/vfattr.h"

#define TALK_TIMEOUT_MS 10000 /* a carve of another tool can hold RTNL for seconds */

#define ANSWER_MAX (64u << 20) /* no dump of ours comes near; a kernel that never ends does */

struct answer {
	void *data;
	size_t len;
};

static void answer_finish(struct answer *a)
{
	free(a->data);
}

static void cleanup_msg(struct nl_msg **m)
{
	nlmsg_free(*m);
}

static bool ends_answer(const struct nlmsghdr *h)
{
	return !(h->nlmsg_flags & NLM_F_MULTI) || h->nlmsg_type == NLMSG_DONE ||
	       h->nlmsg_type == NLMSG_ERROR;
}

/* Add a datagram to the answer. 1 when it is complete with it, 0, or -errno. */
static int answer_add(struct answer *a, const void *buf, size_t n)
{
	const struct nlmsghdr *h = buf;
	bool end = false;
	int left = (int)n;
	void *p;

	if (a->len + n > ANSWER_MAX)
		return -EMSGSIZE;
	p = realloc(a->data, a->len + n);
	if (!p)
		return -ENOMEM;
	a->data = p;
	memcpy((char *)p + a->len, buf, n);
	a->len += n;
	for (; !end && nlmsg_ok(h, left); h = nlmsg_next((struct nlmsghdr *)h, &left))
		end = ends_answer(h);
	/* Not even one message: nothing more will make sense of it. */
	return end || h == buf;
}

static int socket_open(struct nl_sock *sk, int protocol)
{
	int one = 1, fd;

	if (!sk)
		return -ENOMEM;
	errno = 0;
	if (nl_connect(sk, protocol) < 0)
		return errno ? -errno : -EPROTO;
	fd = nl_socket_get_fd(sk);
	/* Both only improve the answer; kernels before 4.12 lack the first. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	nl_socket_enable_msg_peek(sk);
	return fd;
}

/* The context's socket of @protocol, opened when first asked for; *ret_fd: its descriptor, or -errno. */
static struct nl_sock **socket_of(struct vfm *v, int protocol, int *ret_fd)
{
	struct nl_sock **sk = &v->sock[protocol == NETLINK_GENERIC];

	/* A child's are its parent's, and their numbers may be other files by now. */
	if (v->sock_owner != getpid())
		memset(v->sock, 0, sizeof(v->sock));
	v->sock_owner = getpid();
	if (*sk) {
		*ret_fd = nl_socket_get_fd(*sk);
	} else {
		*sk = nl_socket_alloc();
		*ret_fd = socket_open(*sk, protocol);
	}
	return sk;
}

static int request_put(struct nl_sock *sk, struct nlmsghdr *h, size_t len)
{
	h->nlmsg_seq = nl_socket_use_seq(sk);
	h->nlmsg_pid = nl_socket_get_local_port(sk);
	errno = 0;
	if (nl_sendto(sk, h, len) < 0)
		return errno ? -errno : -EPROTO;
	return 0;
}

/* All that answers request @seq, in time. */
static int answer_take(
	struct nl_sock *sk, uint32_t seq, unsigned start, unsigned timeout_ms, struct answer *a)
{
	int r = 0;

	while (r == 0) {
		struct pollfd p = {.fd = nl_socket_get_fd(sk), .events = POLLIN};
		unsigned elapsed = now_ms() - start;
		struct sockaddr_nl from;
		unsigned char *buf = NULL;
		int n;

		if (elapsed >= timeout_ms)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)(timeout_ms - elapsed));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		errno = 0;
		n = nl_recv(sk, &from, &buf, NULL);
		if (n < 0)
			return errno ? -errno : -EPROTO;
		/* Only the kernel has port 0. */
		if (n >= (int)sizeof(struct nlmsghdr) && from.nl_pid == 0 &&
			((struct nlmsghdr *)(void *)buf)->nlmsg_seq == seq)
			r = answer_add(a, buf, (size_t)n);
		free(buf);
	}
	return r < 0 ? r : 0;
}

int kernel_talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	_cleanup_(answer_finish) struct answer answer = {0};
	struct nlmsghdr *h = req;
	unsigned start = now_ms();
	int fd, r;
	struct nl_sock **sk = socket_of(ctx, protocol, &fd);

	r = fd < 0 ? fd : request_put(*sk, h, len);
	if (r == 0)
		r = answer_take(*sk, h->nlmsg_seq, start, timeout_ms, &answer);
	if (r < 0) {
		/* What the kernel may still have to say is for nobody. */
		nl_socket_free(*sk);
		*sk = NULL;
		return r;
	}
	*ret_reply = answer.data;
	*ret_len = answer.len;
	answer.data = NULL;
	return 0;
}

void kernel_talk_finish(struct vfm *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(v->sock) && v->sock_owner == getpid(); i++)
		nl_socket_free(v->sock[i]);
}

/* Does every message of the answer have the request's number? What is behind them is for others. */
static bool answers(const struct nlmsghdr *request, const void *reply, size_t len)
{
	const struct nlmsghdr *h = reply;
	int left = len > INT_MAX ? INT_MAX : (int)len;

	for (; nlmsg_ok(h, left); h = nlmsg_next((struct nlmsghdr *)h, &left))
		if (h->nlmsg_seq != request->nlmsg_seq)
			return false;
	return true;
}

int netlink_talk(struct vfm *v, int protocol, struct nl_msg *m, void **ret_reply, size_t *ret_len)
{
	struct nlmsghdr *h = m ? nlmsg_hdr(m) : NULL;
	int r = -ENOMEM;

	*ret_reply = NULL;
	*ret_len = 0;
	if (h)
		r = v->ops->talk(
			v->ops_ctx, protocol, h, h->nlmsg_len, TALK_TIMEOUT_MS, ret_reply, ret_len);
	return r == 0 && !answers(h, *ret_reply, *ret_len) ? -EBADMSG : r;
}

/* What a request came to: @r, or the kernel's answer in @said. */
static int finish(int r, const struct err *said, struct err *e)
{
	if (r >= 0)
		return 0;
	err_sys(e, -r, "rtnetlink");
	if (said->code)
		err_append(e, "%s", said->text);
	if (*explain(VFM_AT_RTNETLINK, -r, ""))
		err_append(e, "%s", explain(VFM_AT_RTNETLINK, -r, ""));
	return r;
}

static int talk(struct vfm *v, struct nl_msg *m, int ifindex, struct vfm_settings *vf, size_t n,
	struct err *e)
{
	_cleanup_free_ void *reply = NULL;
	struct err said = {0};
	size_t len;
	int r = netlink_talk(v, NETLINK_ROUTE, m, &reply, &len);

	if (r >= 0)
		r = vf_reply_decode(reply, len, ifindex, vf, n, &said);
	return finish(r, &said, e);
}

int link_get_stats(struct vfm *v, int ifindex, struct vfm_counters *vf, size_t n, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = vf_stats_encode(ifindex);
	_cleanup_free_ void *reply = NULL;
	struct err said = {0};
	size_t len;
	int r = netlink_talk(v, NETLINK_ROUTE, m, &reply, &len);

	if (r >= 0)
		r = vf_stats_decode(reply, len, ifindex, vf, n, &said);
	return finish(r, &said, e);
}

int link_set_up(struct vfm *v, int ifindex, bool up, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = link_up_encode(ifindex, up);

	return talk(v, m, ifindex, NULL, 0, e);
}

int link_set_vf(struct vfm *v, int ifindex, unsigned vf, const struct vfm_settings *s,
	uint32_t bits, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = vf_set_encode(ifindex, vf, s, bits);

	return talk(v, m, ifindex, NULL, 0, e);
}

int link_get_vfs(struct vfm *v, int ifindex, struct vfm_settings *vf, size_t n, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = vf_query_encode(ifindex);

	memset(vf, 0, n * sizeof(*vf));
	return talk(v, m, ifindex, vf, n, e);
}
