// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/devices/vhost_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"

static void send_bytes(int sock, const void *buf, size_t len, unsigned int fds)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	union {
		char buf[CMSG_SPACE(sizeof(int) * 32)];
		struct cmsghdr align;
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fds) {
		struct cmsghdr *c;

		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		for (unsigned int i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(sock));
	}
	n = sendmsg(sock, &h, MSG_NOSIGNAL);
	(void)n;
}

/* Send @m as the configured mischief makes it; false: end the connection. */
static bool answer(struct peer *p, struct vu_msg *m, bool bad)
{
	uint8_t buf[VU_HEADER_SIZE + VU_PAYLOAD_MAX + 64] = {0};
	enum mischief mischief = bad ? p->cfg.mischief : WELL_BEHAVED;
	unsigned int fds = 0, times = 1;
	size_t len;

	m->flags = VU_VERSION | VU_FLAG_REPLY;
	if (mischief == WELL_BEHAVED)
		return vu_send(p->sock, m, vu_now_ms() + 1000, NULL) == 0;
	switch (mischief) {
	case WELL_BEHAVED:
	case MISCHIEFS:
	case SAYS_NOTHING: return true;
	case HANGS_UP: return false;
	case HANGS_UP_INSIDE: break;
	case OTHER_NUMBER: m->request ^= 1; break;
	case NO_REPLY_FLAG: m->flags = VU_VERSION; break;
	case WRONG_VERSION: m->flags ^= 3; break;
	case SHORT_PAYLOAD: m->size /= 2; break;
	case LONG_PAYLOAD: m->size += 8; break;
	case HUGE_PAYLOAD: m->size = 0xfffffff0; break;
	case TWO_FDS: fds = 2; break;
	case MANY_FDS: fds = 30; break;
	case ANSWERS_TWICE: times = 2; break;
	case REFUSES: memset(m->bytes, m->size == 8 ? 1 : 0xff, m->size); break;
	}
	len = VU_HEADER_SIZE + (m->size < VU_PAYLOAD_MAX ? m->size : VU_PAYLOAD_MAX);
	memcpy(buf, &m->request, 4);
	memcpy(buf + 4, &m->flags, 4);
	memcpy(buf + 8, &m->size, 4);
	memcpy(buf + 12, m->bytes, len - VU_HEADER_SIZE);
	if (mischief == HANGS_UP_INSIDE)
		len /= 2;
	while (times--)
		send_bytes(p->sock, buf, len, fds);
	return mischief != HANGS_UP_INSIDE;
}

static void fd_replace(int *fd, struct vu_msg *m)
{
	fd_close(*fd);
	*fd = -1;
	if (m->fds)
		*fd = fd_steal(&m->fd[0]);
	m->fds = 0;
}

static void take(struct peer *p, struct vu_msg *m)
{
	struct peer_ring *r = &p->ring[m->size ? m->state.index & 7 : 0];

	switch (m->request) {
	case VU_SET_FEATURES: p->features = m->u64; break;
	case VU_SET_PROTOCOL_FEATURES: p->protocol = m->u64; break;
	case VU_SET_STATUS: p->status = m->u64; break;
	case VU_NET_SET_MTU: p->mtu = m->u64; break;
	case VU_SET_VRING_NUM: r->num = m->state.num; break;
	case VU_SET_VRING_BASE: r->base = m->state.num; break;
	case VU_SET_VRING_ENABLE: r->enabled = m->state.num; break;
	case VU_SET_VRING_ADDR: r->addr = m->addr; break;
	case VU_SET_VRING_KICK: fd_replace(&r->kick, m); break;
	case VU_SET_VRING_CALL: fd_replace(&r->call, m); break;
	case VU_SET_VRING_ERR: fd_replace(&r->err, m); break;
	case VU_SEND_RARP: p->rarp = m->u64; break;
	case VU_SET_MEM_TABLE:
		for (unsigned int i = 0; i < VU_MAX_REGIONS; i++) {
			fd_close(p->mem_fd[i]);
			p->mem_fd[i] = i < m->fds ? m->fd[i] : -1;
		}
		p->mem = m->mem;
		m->fds = 0;
		break;
	case VU_SET_INFLIGHT_FD:
		p->inflight = m->inflight;
		fd_replace(&p->inflight_fd, m);
		break;
	default: break;
	}
}

/* The answer to @m; false: it has none. */
static bool reply_make(struct peer *p, const struct vu_msg *m, struct vu_msg *ret)
{
	*ret = vu_msg_make(m->request, 8);
	switch (m->request) {
	case VU_GET_FEATURES: ret->u64 = p->cfg.features; return true;
	case VU_GET_PROTOCOL_FEATURES: ret->u64 = p->cfg.protocol; return true;
	case VU_GET_QUEUE_NUM: ret->u64 = p->cfg.queues; return true;
	case VU_GET_VRING_BASE:
		ret->state = (struct vu_vring_state){m->state.index, p->cfg.base};
		return true;
	case VU_GET_INFLIGHT_FD:
		ret->size = sizeof(ret->inflight);
		ret->inflight = m->inflight;
		ret->inflight.size = p->cfg.inflight_size;
		ret->fd[0] = memfd_create("inflight", MFD_CLOEXEC);
		if (ret->fd[0] >= 0 && ftruncate(ret->fd[0], 4096) == 0)
			ret->fds = 1;
		return true;
	default: return m->flags & VU_FLAG_NEED_REPLY;
	}
}

static bool serve(struct peer *p, struct vu_msg *m)
{
	bool bad = m->request == p->cfg.at, more = true;
	struct vu_msg reply;

	if (vu_msg_check(m, VU_FRONT_END, NULL) < 0)
		abort();
	take(p, m);
	if (bad && p->cfg.mischief == HANGS_UP)
		return false;
	/* Before the answer: who has it may look at once. */
	p->count[m->request & 63]++;
	p->messages++;
	if (reply_make(p, m, &reply)) {
		more = answer(p, &reply, bad);
		vu_msg_finish(&reply);
	}
	return more;
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	struct vu_rx rx = {0};
	bool more = true;

	while (more) {
		struct pollfd fds[] = {
			{.fd = p->sock, .events = POLLIN},
			{.fd = p->end_fd, .events = POLLIN},
		};
		struct vu_msg m;
		int r;

		poll(fds, 2, -1);
		if (fds[1].revents)
			break;
		r = vu_recv(p->sock, &rx, NULL, &m);
		if (r < 0)
			break;
		if (r == 0)
			continue;
		pthread_mutex_lock(&p->lock);
		more = serve(p, &m);
		pthread_cond_broadcast(&p->changed);
		pthread_mutex_unlock(&p->lock);
		vu_msg_finish(&m);
	}
	vu_rx_finish(&rx);
	pthread_mutex_lock(&p->lock);
	fd_close(p->sock);
	p->over = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct peer *peer_create(const struct peer_config *cfg, int sock)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p || sock < 0)
		abort();
	p->cfg = *cfg;
	p->sock = sock;
	p->end_fd = eventfd(0, EFD_CLOEXEC);
	p->inflight_fd = -1;
	for (unsigned int i = 0; i < VU_MAX_REGIONS; i++)
		p->mem_fd[i] = p->ring[i].kick = p->ring[i].call = p->ring[i].err = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	if (pthread_create(&p->thread, NULL, peer_main, p))
		abort();
	return p;
}

void peer_kill(struct peer *p)
{
	eventfd_write(p->end_fd, 1);
	if (p->thread)
		pthread_join(p->thread, NULL);
	p->thread = 0;
}

void peer_destroy(struct peer *p)
{
	if (!p)
		return;
	peer_kill(p);
	for (unsigned int i = 0; i < VU_MAX_REGIONS; i++) {
		fd_close(p->mem_fd[i]);
		fd_close(p->ring[i].kick);
		fd_close(p->ring[i].call);
		fd_close(p->ring[i].err);
	}
	fd_close(p->inflight_fd);
	fd_close(p->end_fd);
	free(p);
}

static struct timespec in_five_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 5;
	return t;
}

bool peer_saw(struct peer *p, uint32_t request, unsigned int n)
{
	struct timespec t = in_five_seconds();
	bool ok;

	pthread_mutex_lock(&p->lock);
	while (p->count[request & 63] < n && !p->over &&
		pthread_cond_timedwait(&p->changed, &p->lock, &t) == 0)
		;
	ok = p->count[request & 63] >= n;
	pthread_mutex_unlock(&p->lock);
	return ok;
}

bool peer_dropped(struct peer *p)
{
	struct timespec t = in_five_seconds();
	bool ok;

	pthread_mutex_lock(&p->lock);
	while (!p->over && pthread_cond_timedwait(&p->changed, &p->lock, &t) == 0)
		;
	ok = p->over;
	pthread_mutex_unlock(&p->lock);
	return ok;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strcpy(a.sun_path, path);
	return a;
}

int peer_connect(const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (unsigned int i = 0; i < 500; i++) {
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		usleep(10000);
	}
	return fd_close(fd);
}

int peer_listen(const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4))
		abort();
	return fd;
}

int peer_accept(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	return poll(&p, 1, 5000) == 1 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}
