// SPDX-License-Identifier: GPL-2.0-or-later
/* The rings of a connection: their messages, and when they run. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/vhost_session.h"

#define PACKED (1ull << 34) /* VIRTIO_F_RING_PACKED */

static bool is_running(const struct vhost_session *s, unsigned int i)
{
	return vring_running(&s->dev[i]);
}

bool vhost_rings_running(const struct vhost_session *s)
{
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		if (is_running(s, i))
			return true;
	return false;
}

static void ring_stop(struct vhost_session *s, unsigned int i)
{
	if (!is_running(s, i))
		return;
	assert(s->paused);
	s->ring[i].base = vring_stop(&s->dev[i]);
}

void vhost_ring_halt(struct vhost_session *s, unsigned int i)
{
	struct vhost_ring *r = &s->ring[i];

	ring_stop(s, i);
	r->kicked = false;
	r->kick_fd = fd_close(r->kick_fd);
}

void vhost_ring_forget(struct vhost_session *s, unsigned int i)
{
	vhost_ring_halt(s, i);
	fd_close(s->ring[i].call_fd);
	s->ring[i] = (struct vhost_ring){.kick_fd = -1, .call_fd = -1};
}

void vhost_rings_suspend(struct vhost_session *s)
{
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		ring_stop(s, i);
}

static bool ring_ready(const struct vhost_session *s, unsigned int i)
{
	const struct vhost_ring *r = &s->ring[i];

	return s->has_features && s->mem.vmem.nr && r->size && r->has_addr && r->kicked;
}

static int ring_find(const struct vhost_session *s, unsigned int i, const char *what, uint64_t uva,
	uint64_t len, struct err *e, void **ret)
{
	*ret = vmem_uva(&s->mem.vmem, uva, len);
	if (!*ret)
		return err_set(e, EFAULT,
			"ring %u: its %s, %" PRIu64 " bytes at 0x%" PRIx64
			", lies in no shared memory",
			i, what, len, uva);
	return 0;
}

static int ring_start(struct vhost_session *s, unsigned int i, struct err *e)
{
	const struct vhost_ring *r = &s->ring[i];
	bool packed = s->features & PACKED;
	struct vring_setup setup = {
		.mem = &s->mem.vmem,
		.features = s->features,
		.to_guest = !(i & 1),
		.size = r->size,
		.base = r->base,
		.kick_fd = r->kick_fd,
		.call_fd = r->call_fd,
	};
	uint64_t desc, avail, used;
	int n;

	vring_extent(s->features, r->size, &desc, &avail, &used);
	n = ring_find(s, i, packed ? "descriptor ring" : "descriptor table", r->addr.desc, desc, e,
		&setup.desc);
	if (n == 0)
		n = ring_find(s, i, packed ? "driver event" : "available ring", r->addr.avail,
			avail, e, &setup.avail);
	if (n == 0)
		n = ring_find(s, i, packed ? "device event" : "used ring", r->addr.used, used, e,
			&setup.used);
	if (n < 0)
		return n;
	setup.inflight = vhost_inflight_part(&s->inflight, i, r->size, &setup.inflight_size);
	n = vring_start(&s->dev[i], &setup, e);
	return n < 0 ? err_wrap(e, n, "ring %u", i) : 0;
}

int vhost_rings_start(struct vhost_session *s, struct err *e)
{
	bool paused = s->paused;
	int r = 0;

	for (unsigned int i = 0; i < VHOST_RINGS_MAX && r == 0; i++) {
		if (is_running(s, i) || !ring_ready(s, i))
			continue;
		if (!s->paused)
			vhost_session_pause(s);
		r = ring_start(s, i, e);
	}
	if (s->paused && !paused)
		vhost_session_resume(s);
	return r;
}

/*
 * An eventfd or a pipe, and never one that blocks: the datapath writes to it or reads from it. Any
 * other file could make it wait.
 */
static int event_fd_check(const char *name, int fd, struct err *e)
{
	char link[64], target[64] = "";
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s: look at the descriptor", name);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!S_ISFIFO(st.st_mode) && (readlink(link, target, sizeof(target) - 1) < 0 ||
					     strcmp(target, "anon_inode:[eventfd]") != 0))
		return err_set(e, EINVAL, "%s: the descriptor is neither an eventfd nor a pipe%s%s",
			name, target[0] ? " but " : "", target);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "%s: make the descriptor nonblocking", name);
	return 0;
}

/* SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR */
static int fd_message(struct vhost_session *s, struct vhost_msg *m, unsigned int i,
	const char *name, struct err *e)
{
	struct vhost_ring *r = &s->ring[i];
	_cleanup_fd_ int old = -1;
	int checked = m->fds ? event_fd_check(name, m->fd[0], e) : 0;

	if (checked < 0)
		return checked;
	/* What is wrong with a ring is shown with the port. */
	if (m->request == VHOST_SET_VRING_ERR)
		return 0;
	if (is_running(s, i))
		vhost_session_pause(s);
	if (m->request == VHOST_SET_VRING_KICK) {
		old = r->kick_fd;
		r->kick_fd = m->fds ? fd_steal(&m->fd[0]) : -1;
		r->kicked = true;
		if (is_running(s, i))
			vring_kick_fd_set(&s->dev[i], r->kick_fd);
	} else {
		old = r->call_fd;
		r->call_fd = m->fds ? fd_steal(&m->fd[0]) : -1;
		if (is_running(s, i))
			vring_call_fd_set(&s->dev[i], r->call_fd);
	}
	if (s->paused)
		vhost_session_resume(s);
	return 0;
}

/* What changes where a ring is stops it: it runs again from the next SET_VRING_KICK. */
static void ring_still(struct vhost_session *s, unsigned int i)
{
	if (!is_running(s, i))
		return;
	vhost_session_pause(s);
	vhost_ring_halt(s, i);
	vhost_session_resume(s);
}

static int num_message(struct vhost_session *s, unsigned int i, uint32_t num, struct err *e)
{
	if (!num || num > VRING_SIZE_MAX)
		return err_set(e, EINVAL, "SET_VRING_NUM of ring %u: %u is no size, 1 to %u are", i,
			num, VRING_SIZE_MAX);
	if (num != s->ring[i].size)
		ring_still(s, i);
	s->ring[i].size = (uint16_t)num;
	return 0;
}

static int enable_message(struct vhost_session *s, unsigned int i, uint32_t num, struct err *e)
{
	if (num > 1)
		return err_set(
			e, EINVAL, "SET_VRING_ENABLE of ring %u: %u is neither 0 nor 1", i, num);
	if (s->ring[i].enabled == num)
		return 0;
	vhost_session_pause(s);
	s->ring[i].enabled = num;
	vhost_session_resume(s);
	return 0;
}

static void addr_message(struct vhost_session *s, unsigned int i, const struct vhost_ring_addr *a)
{
	struct vhost_ring *r = &s->ring[i];

	/* Said again: the flags are about a log that is not offered. */
	if (r->has_addr && r->addr.desc == a->desc && r->addr.avail == a->avail &&
		r->addr.used == a->used)
		return;
	ring_still(s, i);
	r->addr = *a;
	r->has_addr = true;
}

static void base_get(struct vhost_session *s, unsigned int i, struct vhost_msg *m)
{
	if (is_running(s, i)) {
		vhost_session_pause(s);
		vhost_ring_halt(s, i);
		vhost_session_resume(s);
	} else {
		vhost_ring_halt(s, i);
	}
	/* Packed: of both positions, which are the same now, the driver's alone, as others do. */
	m->state.num = s->ring[i].base & 0xffff;
}

int vhost_ring_message(struct vhost_session *s, struct vhost_msg *m, struct err *e)
{
	bool has_fd = m->request == VHOST_SET_VRING_KICK || m->request == VHOST_SET_VRING_CALL ||
		      m->request == VHOST_SET_VRING_ERR;
	const char *name = vhost_request_name(m->request, NULL, 0);
	/* The index begins each of these payloads; it is judged before it is made smaller. */
	uint32_t i = has_fd ? (uint32_t)(m->u64 & VHOST_RING_MASK) : m->state.index;
	int r = 0;

	if (i >= s->offer->pairs * 2)
		return err_set(e, EINVAL, "%s of ring %u: the port has %u queue pairs, so %u rings",
			name, i, s->offer->pairs, s->offer->pairs * 2);
	switch (m->request) {
	case VHOST_SET_VRING_NUM: r = num_message(s, i, m->state.num, e); break;
	case VHOST_SET_VRING_ADDR: addr_message(s, i, &m->addr); break;
	case VHOST_SET_VRING_BASE:
		ring_still(s, i);
		s->ring[i].base = m->state.num;
		break;
	case VHOST_GET_VRING_BASE: base_get(s, i, m); return 0;
	case VHOST_SET_VRING_ENABLE: r = enable_message(s, i, m->state.num, e); break;
	default: r = fd_message(s, m, i, name, e); break;
	}
	return r < 0 ? r : vhost_rings_start(s, e);
}
