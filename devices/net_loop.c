// SPDX-License-Identifier: GPL-2.0-or-later
/* What goes out on a pair comes in on it. Runs on the ring thread alone, so it has no lock. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "devices/net_rings.h"
#include "devices/virtio.h"
#include "devices/virtq.h"

#define LOOP_FRAMES 64u /* that wait for receive buffers; more are dropped */

struct loop_frame {
	size_t len;
	uint8_t *buf;
};

struct loop_pair {
	int fd;
	unsigned int first, n;
	struct loop_frame frame[LOOP_FRAMES];
};

struct loop {
	struct net_backend be;
	struct net_rings *rings;
	struct loop_pair pair[NET_MAX_PAIRS];
};

static struct loop *loop_of(struct net_backend *be)
{
	return container_of(be, struct loop, be);
}

static int loop_send(void *ctx, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
	const struct iovec *iov, unsigned int n)
{
	struct loop *l = ctx;
	struct loop_pair *p = &l->pair[pair];
	struct loop_frame *f = &p->frame[(p->first + p->n) % LOOP_FRAMES];
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (p->n == LOOP_FRAMES)
		return -ENOBUFS;
	f->buf = malloc(sizeof(*hdr) + len);
	if (!f->buf)
		return -ENOMEM;
	memcpy(f->buf, hdr, sizeof(*hdr));
	f->len = sizeof(*hdr) + iov_take(iov, n, 0, f->buf + sizeof(*hdr), len);
	p->n++;
	return eventfd_write(p->fd, 1) < 0 && errno != EAGAIN ? -errno : 0;
}

static ssize_t loop_recv(void *ctx, unsigned int pair, void *buf, size_t len)
{
	struct loop *l = ctx;
	struct loop_pair *p = &l->pair[pair];
	struct loop_frame *f = &p->frame[p->first];
	size_t n = f->len < len ? f->len : len;

	if (!p->n)
		return -EAGAIN;
	memcpy(buf, f->buf, n);
	free(f->buf);
	f->buf = NULL;
	p->first = (p->first + 1) % LOOP_FRAMES;
	p->n--;
	return (ssize_t)n;
}

static int loop_poll_fd(void *ctx, unsigned int pair)
{
	struct loop *l = ctx;

	return l->pair[pair].fd;
}

static const struct net_port_ops loop_port = {
	.send = loop_send,
	.recv = loop_recv,
	.poll_fd = loop_poll_fd,
};

static void loop_attach(struct net_backend *be, const struct net_events *ev)
{
	net_rings_attach(loop_of(be)->rings, ev);
	ev->link(ev->ctx, true);
}

static int loop_start(struct net_backend *be, const struct net_start *s, struct err *e)
{
	return net_rings_start(loop_of(be)->rings, s, e);
}

static void loop_clear(struct loop_pair *p)
{
	for (unsigned int i = 0; i < LOOP_FRAMES; i++) {
		free(p->frame[i].buf);
		p->frame[i].buf = NULL;
	}
	p->n = 0;
}

static void loop_stop(struct net_backend *be, uint16_t *ret_last_avail)
{
	struct loop *l = loop_of(be);

	net_rings_stop(l->rings, ret_last_avail);
	for (unsigned int i = 0; i < be->max_pairs; i++)
		loop_clear(&l->pair[i]);
}

static void loop_set_call(struct net_backend *be, unsigned int index, int fd)
{
	net_rings_set_call(loop_of(be)->rings, index, fd);
}

static int loop_set_pairs(struct net_backend *be, unsigned int pairs)
{
	return net_rings_set_pairs(loop_of(be)->rings, pairs);
}

static void loop_set_filter(struct net_backend *be, const struct net_filter *f)
{
	net_rings_set_filter(loop_of(be)->rings, f);
}

static void loop_stats(struct net_backend *be, struct net_backend_stats *ret)
{
	net_rings_stats(loop_of(be)->rings, ret);
}

static void loop_destroy(struct net_backend *be)
{
	struct loop *l = loop_of(be);

	net_rings_destroy(l->rings);
	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++) {
		loop_clear(&l->pair[i]);
		fd_close(l->pair[i].fd);
	}
	free(l);
}

static const struct net_backend_ops loop_ops = {
	.attach = loop_attach,
	.start = loop_start,
	.stop = loop_stop,
	.set_call = loop_set_call,
	.set_pairs = loop_set_pairs,
	.set_filter = loop_set_filter,
	.stats = loop_stats,
	.destroy = loop_destroy,
};

int net_loop_create(
	unsigned int pairs, const struct gmem *mem, struct err *e, struct net_backend **ret)
{
	struct loop *l;
	int r = 0;

	if (!pairs || pairs > NET_MAX_PAIRS)
		return err_set(
			e, EINVAL, "loop: %u queues; 1 to %u are possible", pairs, NET_MAX_PAIRS);
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_sys(e, ENOMEM, "loop");
	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++)
		l->pair[i].fd = -1;
	l->be.ops = &loop_ops;
	l->be.max_pairs = pairs;
	l->be.port = &loop_port;
	l->be.port_ctx = l;
	l->be.features = NET_RINGS_FEATURES | 1ull << VIRTIO_NET_F_CSUM |
			 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			 1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			 1ull << VIRTIO_NET_F_GUEST_TSO6;
	snprintf(l->be.name, sizeof(l->be.name), "loop");
	for (unsigned int i = 0; r == 0 && i < pairs; i++) {
		l->pair[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (l->pair[i].fd < 0)
			r = err_sys(e, errno, "loop: eventfd");
	}
	if (r == 0)
		r = net_rings_create(l->be.name, mem, pairs, &loop_port, l, e, &l->rings);
	if (r < 0) {
		loop_destroy(&l->be);
		return r;
	}
	*ret = &l->be;
	return 0;
}
