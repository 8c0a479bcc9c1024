// SPDX-License-Identifier: GPL-2.0-or-later
/* A tap interface as back end: one queue of it per pair. Linux Documentation/networking/tuntap.rst */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "devices/net_rings.h"
#include "devices/virtio.h"
#include "devices/virtq.h"

struct tap {
	struct net_backend be;
	struct net_rings *rings;
	unsigned int attached; /* queues that take part */
	int fd[NET_MAX_PAIRS];
	int news_fd; /* netlink: an interface has changed; -1 = it is not to be had */
	const struct net_events *ev;
};

static struct tap *tap_of(struct net_backend *be)
{
	return container_of(be, struct tap, be);
}

/* ---- frames ---- */

static int tap_send(void *ctx, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
	const struct iovec *iov, unsigned int n)
{
	struct tap *t = ctx;
	struct iovec v[VIRTQ_IOV];

	/* The header's place makes one more than writev() takes; no driver sends 1024 pieces. */
	if (n >= VIRTQ_IOV)
		return -EMSGSIZE;
	v[0] = (struct iovec){(void *)(uintptr_t)hdr, sizeof(*hdr)};
	memcpy(v + 1, iov, n * sizeof(*iov));
	return writev(t->fd[pair], v, (int)n + 1) < 0 ? -errno : 0;
}

static ssize_t tap_recv(void *ctx, unsigned int pair, void *buf, size_t len)
{
	struct tap *t = ctx;
	ssize_t n = read(t->fd[pair], buf, len);

	/* EBADFD: the interface was deleted under us. No frame comes any more. */
	return n < 0 ? (errno == EINTR || errno == EBADFD ? -EAGAIN : -errno) : n;
}

static int tap_poll_fd(void *ctx, unsigned int pair)
{
	struct tap *t = ctx;

	return t->fd[pair];
}

/* ---- the link: up while the host has the interface up ---- */

static bool tap_is_up(const struct tap *t)
{
	struct ifreq ifr = {0};

	if (t->news_fd < 0)
		return true;
	/* By the name it has now. */
	return ioctl(t->fd[0], TUNGETIFF, &ifr) == 0 &&
	       ioctl(t->news_fd, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_UP;
}

static int tap_news_fd(void *ctx)
{
	struct tap *t = ctx;

	return t->news_fd;
}

/* Which interface it was is not looked at: asking is cheap. */
static void tap_on_news(void *ctx)
{
	struct tap *t = ctx;
	uint8_t buf[4096];

	/* Also past ENOBUFS: news were lost, the next read goes on. */
	while (recv(t->news_fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
	t->ev->link(t->ev->ctx, tap_is_up(t));
}

static int news_open(void)
{
	const struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	_cleanup_fd_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return -1;
	return fd_steal(&fd);
}

static const struct net_port_ops tap_port = {
	.send = tap_send,
	.recv = tap_recv,
	.poll_fd = tap_poll_fd,
	.news_fd = tap_news_fd,
	.on_news = tap_on_news,
};

/* ---- offloads and queues ---- */

static const struct {
	unsigned int feature, flag;
} offloads[] = {
	{VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM},
	{VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
	{VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},
	{VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
};

/* What the kernel may hand us unfinished: what the guest takes. */
static int tap_offload(struct tap *t, uint64_t features)
{
	unsigned long flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (features >> offloads[i].feature & 1)
			flags |= offloads[i].flag;
	}
	return ioctl(t->fd[0], TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

/* Frames must not be sent to a queue that nobody reads. */
static int tap_pairs(struct tap *t, unsigned int pairs)
{
	for (unsigned int i = 0; i < t->be.max_pairs; i++) {
		bool want = i < pairs, is = i < t->attached;
		struct ifreq ifr = {
			.ifr_flags = want ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
		};

		if (want != is && ioctl(t->fd[i], TUNSETQUEUE, &ifr) < 0)
			return -errno;
	}
	t->attached = pairs;
	return 0;
}

static int tap_start(struct net_backend *be, const struct net_start *s, struct err *e)
{
	struct tap *t = tap_of(be);
	int r = tap_offload(t, s->features);

	if (r < 0)
		return err_sys(e, -r, "%s: TUNSETOFFLOAD", be->name);
	r = tap_pairs(t, s->pairs);
	if (r < 0)
		return err_sys(e, -r, "%s: TUNSETQUEUE", be->name);
	/* Nobody listened while the rings were stopped. What comes from here on their thread reads. */
	t->ev->link(t->ev->ctx, tap_is_up(t));
	return net_rings_start(t->rings, s, e);
}

static void tap_attach(struct net_backend *be, const struct net_events *ev)
{
	struct tap *t = tap_of(be);

	t->ev = ev;
	net_rings_attach(t->rings, ev);
	ev->link(ev->ctx, tap_is_up(t));
}

static void tap_stop(struct net_backend *be, uint16_t *ret_last_avail)
{
	net_rings_stop(tap_of(be)->rings, ret_last_avail);
}

static void tap_set_call(struct net_backend *be, unsigned int index, int fd)
{
	net_rings_set_call(tap_of(be)->rings, index, fd);
}

static int tap_set_pairs(struct net_backend *be, unsigned int pairs)
{
	int r = tap_pairs(tap_of(be), pairs);

	return r < 0 ? r : net_rings_set_pairs(tap_of(be)->rings, pairs);
}

static void tap_set_filter(struct net_backend *be, const struct net_filter *f)
{
	net_rings_set_filter(tap_of(be)->rings, f);
}

static int tap_set_offloads(struct net_backend *be, uint64_t features)
{
	return tap_offload(tap_of(be), features);
}

static void tap_stats(struct net_backend *be, struct net_backend_stats *ret)
{
	net_rings_stats(tap_of(be)->rings, ret);
}

static void tap_destroy(struct net_backend *be)
{
	struct tap *t = tap_of(be);

	net_rings_destroy(t->rings);
	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++)
		fd_close(t->fd[i]);
	fd_close(t->news_fd);
	free(t);
}

static const struct net_backend_ops tap_ops = {
	.attach = tap_attach,
	.start = tap_start,
	.stop = tap_stop,
	.set_call = tap_set_call,
	.set_pairs = tap_set_pairs,
	.set_filter = tap_set_filter,
	.set_offloads = tap_set_offloads,
	.stats = tap_stats,
	.destroy = tap_destroy,
};

/* ---- opening ---- */

static int tap_refused(const char *name, int error, unsigned int pairs, struct err *e)
{
	switch (error) {
	case EBUSY: return err_sys(e, error, "tap %s: another process has it", name);
	case EPERM:
		return err_sys(e, error,
			"tap %s: make it for this user first: ip tuntap add dev %s mode tap user "
			"$USER%s",
			name, name, pairs > 1 ? " multi_queue" : "");
	case EINVAL:
		return err_sys(e, error,
			"tap %s: it exists and is no tap with %s (delete it, or make it with: ip "
			"tuntap add dev %s mode tap%s)",
			name, pairs > 1 ? "many queues" : "one queue", name,
			pairs > 1 ? " multi_queue" : "");
	default: return err_sys(e, error, "tap %s", name);
	}
}

static int tap_open(
	const char *name, unsigned int pairs, const char *dev, struct err *e, int *ret_fd)
{
	_cleanup_fd_ int fd = open(dev, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int size = NET_HDR_LEN, le = 1;
	struct ifreq ifr = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};

	if (fd < 0)
		return err_sys(e, errno, "%s (load the kernel's module tun)", dev);
	if (pairs > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return tap_refused(name, errno, pairs, e);
	/* Virtio 1.0 headers: with num_buffers, little-endian. */
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &le) < 0)
		return err_sys(e, errno, "tap %s: header format", name);
	*ret_fd = fd_steal(&fd);
	return 0;
}

int net_tap_create(const char *name, unsigned int pairs, const struct gmem *mem, struct err *e,
	struct net_backend **ret)
{
	struct tap *t;
	int r = 0;

	/* A '%' would make the kernel choose a number. */
	if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/%: \t\n") || !strcmp(name, ".") ||
		!strcmp(name, ".."))
		return err_set(e, EINVAL,
			"tap '%s': an interface's name has 1 to %u characters, no '/', '%%', ':' "
			"or space",
			name, IFNAMSIZ - 1);
	if (!pairs || pairs > NET_MAX_PAIRS)
		return err_set(e, EINVAL, "tap %s: %u queues; 1 to %u are possible", name, pairs,
			NET_MAX_PAIRS);
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_sys(e, ENOMEM, "tap %s", name);
	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++)
		t->fd[i] = -1;
	t->news_fd = news_open();
	t->be.ops = &tap_ops;
	t->be.max_pairs = t->attached = pairs;
	t->be.port = &tap_port;
	t->be.port_ctx = t;
	snprintf(t->be.name, sizeof(t->be.name), "tap %s", name);
	t->be.features = NET_RINGS_FEATURES | 1ull << VIRTIO_NET_F_CSUM |
			 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_HOST_TSO6 |
			 1ull << VIRTIO_NET_F_HOST_ECN;
	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		t->be.features |= 1ull << offloads[i].feature;
	for (unsigned int i = 0; r == 0 && i < pairs; i++)
		r = tap_open(name, pairs, "/dev/net/tun", e, &t->fd[i]);
	if (r == 0)
		r = net_rings_create(t->be.name, mem, pairs, &tap_port, t, e, &t->rings);
	if (r == 0) {
		r = tap_offload(t, t->be.features);
		if (r < 0)
			err_sys(e, -r, "tap %s: TUNSETOFFLOAD", name);
	}
	if (r < 0) {
		tap_destroy(&t->be);
		return r;
	}
	*ret = &t->be;
	return 0;
}
