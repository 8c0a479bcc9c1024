// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "vf-manager/vfattr.h"

#define TALK_TIMEOUT_MS 10000 /* a carve of another tool can hold RTNL for seconds */

static void cleanup_sock(struct nl_sock **sk)
{
	nl_socket_free(*sk);
}

static void cleanup_msg(struct nl_msg **m)
{
	nlmsg_free(*m);
}

int kernel_talk(
	void *ctx, void *req, size_t len, unsigned timeout_ms, void **ret_reply, size_t *ret_len)
{
	_cleanup_(cleanup_sock) struct nl_sock *sk = nl_socket_alloc();
	struct nlmsghdr *h = req;
	unsigned start = now_ms();
	int one = 1, fd;

	if (!sk)
		return -ENOMEM;
	errno = 0;
	if (nl_connect(sk, NETLINK_ROUTE) < 0)
		return errno ? -errno : -EPROTO;
	fd = nl_socket_get_fd(sk);
	/* Both only improve the answer; kernels before 4.12 lack the first. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	nl_socket_enable_msg_peek(sk);
	h->nlmsg_seq = nl_socket_use_seq(sk);
	h->nlmsg_pid = nl_socket_get_local_port(sk);
	if (nl_sendto(sk, req, len) < 0)
		return errno ? -errno : -EPROTO;
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
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
		n = nl_recv(sk, &from, &buf, NULL);
		if (n < 0)
			return errno ? -errno : -EPROTO;
		/* Only the kernel has port 0. */
		if (n >= (int)sizeof(*h) && from.nl_pid == 0 &&
			((struct nlmsghdr *)(void *)buf)->nlmsg_seq == h->nlmsg_seq) {
			*ret_reply = buf;
			*ret_len = (size_t)n;
			return 0;
		}
		free(buf);
	}
}

static int talk(struct vfm *v, struct nl_msg *m, int ifindex, struct vfm_settings *vf, size_t n,
	struct err *e)
{
	_cleanup_free_ void *reply = NULL;
	struct err said = {0};
	size_t len;
	int r;

	if (!m)
		return err_sys(e, ENOMEM, "rtnetlink request");
	r = v->ops->talk(
		v->ops_ctx, nlmsg_hdr(m), nlmsg_hdr(m)->nlmsg_len, TALK_TIMEOUT_MS, &reply, &len);
	if (r >= 0)
		r = vf_reply_decode(reply, len, ifindex, vf, n, &said);
	if (r >= 0)
		return 0;
	err_sys(e, -r, "rtnetlink");
	if (said.code)
		err_append(e, "%s", said.text);
	if (*explain("rtnetlink", -r, ""))
		err_append(e, "%s", explain("rtnetlink", -r, ""));
	return r;
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
