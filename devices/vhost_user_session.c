// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/vhost_user_session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"

#define BIT(n) (UINT64_C(1) << (n))

#define PROTOCOL_FEATURES                                                                    \
	(BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_MTU) | BIT(VU_PF_INFLIGHT_SHMFD) | \
		BIT(VU_PF_STATUS) | BIT(VU_PF_RARP) | BIT(VU_PF_RESET_DEVICE))

/* Features only the device and the guest speak about; no back end need know them. */
#define DEVICE_FEATURES                                                                            \
	(BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_MAC) |   \
		BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | \
		BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |                    \
		BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) |                          \
		BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_SPEED_DUPLEX))

/* More than any ring layout needs: 128 rings of 32768 descriptors at 40 bytes are 160 MiB. */
#define INFLIGHT_MAX (UINT64_C(256) << 20)

#define STATUS_RUNNING                                                                        \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
		VIRTIO_CONFIG_S_DRIVER_OK)

static bool has(const struct vu_session *s, unsigned int protocol_feature)
{
	return s->protocol & BIT(protocol_feature);
}

/* ---- one request ---- */

static int answer_wait(
	struct vu_session *s, const char *name, int64_t deadline, struct err *e, struct vu_msg *ret)
{
	for (;;) {
		int r = vu_recv(s->sock, &s->rx, e, ret);
		struct pollfd p = {.fd = s->sock, .events = POLLIN};
		int64_t left;

		if (r < 0)
			return err_wrap(e, r, "%s", name);
		if (r > 0)
			return 0;
		left = deadline - vu_now_ms();
		if (left <= 0)
			return err_set(
				e, ETIMEDOUT, "%s: no answer within %d ms", name, s->reply_ms);
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return err_sys(e, errno, "%s: wait for the answer", name);
	}
}

/* Send @m and take its answer, which owns its fds. */
static int ask(struct vu_session *s, const struct vu_msg *m, struct err *e, struct vu_msg *ret)
{
	int64_t deadline = vu_now_ms() + s->reply_ms;
	char buf[32];
	const char *name = vu_request_name(m->request, buf, sizeof(buf));
	int r;

	r = vu_send(s->sock, m, deadline, e);
	s->messages++;
	if (r < 0)
		return r;
	r = answer_wait(s, name, deadline, e, ret);
	if (r < 0)
		return r;
	r = ret->request == m->request
		    ? vu_msg_check(ret, VU_BACK_END, e)
		    : err_set(e, EPROTO, "%s was answered by message %u", name, ret->request);
	if (r < 0)
		vu_msg_finish(ret);
	return r;
}

/* A request without an answer of its own: acknowledged where the back end can. */
static int tell(struct vu_session *s, struct vu_msg *m, struct err *e)
{
	struct vu_msg ack;
	char buf[32];
	int r;

	if (!has(s, VU_PF_REPLY_ACK)) {
		s->messages++;
		return vu_send(s->sock, m, vu_now_ms() + s->reply_ms, e);
	}
	m->flags |= VU_FLAG_NEED_REPLY;
	r = ask(s, m, e, &ack);
	if (r == 0 && ack.u64)
		r = err_set(e, EREMOTEIO, "the back end refused %s",
			vu_request_name(m->request, buf, sizeof(buf)));
	return r;
}

static int get_u64(struct vu_session *s, enum vu_request request, struct err *e, uint64_t *ret)
{
	struct vu_msg m = vu_msg_make(request, 0), reply;
	int r = ask(s, &m, e, &reply);

	if (r == 0)
		*ret = reply.u64;
	return r;
}

static int tell_u64(struct vu_session *s, enum vu_request request, uint64_t v, struct err *e)
{
	struct vu_msg m = vu_msg_make(request, sizeof(m.u64));

	m.u64 = v;
	return tell(s, &m, e);
}

static int tell_state(struct vu_session *s, enum vu_request request, unsigned int index,
	uint32_t num, struct err *e)
{
	struct vu_msg m = vu_msg_make(request, sizeof(m.state));

	m.state = (struct vu_vring_state){.index = index, .num = num};
	return tell(s, &m, e);
}

static int tell_fd(
	struct vu_session *s, enum vu_request request, unsigned int index, int fd, struct err *e)
{
	struct vu_msg m = vu_msg_make(request, sizeof(m.u64));

	m.u64 = index;
	if (fd >= 0)
		m.fd[m.fds++] = fd;
	else
		m.u64 |= VU_VRING_NOFD;
	return tell(s, &m, e);
}

/* ---- a new connection ---- */

int vu_session_open(struct vu_session *s, int *sock, int reply_ms, unsigned int pairs, uint16_t mtu,
	struct err *e)
{
	struct vu_msg owner = vu_msg_make(VU_SET_OWNER, 0);
	uint64_t protocol = 0, queues = 1;
	int r;

	*s = (struct vu_session){.sock = fd_steal(sock), .reply_ms = reply_ms};
	r = get_u64(s, VU_GET_FEATURES, e, &s->features);
	if (r < 0)
		return r;
	if (s->features & BIT(VU_F_PROTOCOL_FEATURES)) {
		r = get_u64(s, VU_GET_PROTOCOL_FEATURES, e, &protocol);
		if (r < 0)
			return r;
		/* Not acknowledged: whether it can is what this message settles. */
		r = tell_u64(s, VU_SET_PROTOCOL_FEATURES, protocol & PROTOCOL_FEATURES, e);
		if (r < 0)
			return r;
		s->protocol = protocol & PROTOCOL_FEATURES;
	}
	/* Counted in pairs by every back end there is, whatever "queues" may mean. */
	if (has(s, VU_PF_MQ)) {
		r = get_u64(s, VU_GET_QUEUE_NUM, e, &queues);
		if (r < 0)
			return r;
	}
	if (queues < pairs)
		return err_set(e, ENOTSUP,
			"the back end has %" PRIu64 " queue pairs, the guest was given %u: give "
			"the back end's port as many",
			queues, pairs);
	r = tell(s, &owner, e);
	if (r == 0 && mtu && has(s, VU_PF_MTU) && (s->features & BIT(VIRTIO_NET_F_MTU)))
		r = tell_u64(s, VU_NET_SET_MTU, mtu, e);
	return r;
}

void vu_session_close(struct vu_session *s)
{
	vu_rx_finish(&s->rx);
	s->sock = fd_close(s->sock);
}

/* ---- inflight descriptors ("Inflight I/O tracking") ---- */

void vu_inflight_drop(struct vu_inflight_region *inf)
{
	*inf = (struct vu_inflight_region){.fd = fd_close(inf->fd)};
}

/* We never map it; it goes back to back ends, the next one too, which will. */
static int inflight_check(const struct vu_msg *m, struct err *e)
{
	const struct vu_inflight *d = &m->inflight;
	struct stat st;

	if (m->fds != 1)
		return err_set(e, EPROTO, "GET_INFLIGHT_FD: answered without a file descriptor");
	if (!d->size || d->size > INFLIGHT_MAX || d->offset > INFLIGHT_MAX)
		return err_set(e, EPROTO,
			"GET_INFLIGHT_FD: %" PRIu64 " bytes at %" PRIu64 " is no size for a region",
			d->size, d->offset);
	if (fstat(m->fd[0], &st) < 0)
		return err_sys(e, errno, "GET_INFLIGHT_FD: look at the region");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < d->offset + d->size)
		return err_set(e, EPROTO,
			"GET_INFLIGHT_FD: the file does not hold the %" PRIu64 " bytes announced",
			d->size);
	return 0;
}

static int inflight_get(struct vu_session *s, const struct vu_plan *p,
	struct vu_inflight_region *inf, struct err *e)
{
	struct vu_msg m = vu_msg_make(VU_GET_INFLIGHT_FD, sizeof(m.inflight)), reply;
	int r;

	for (unsigned int i = 0; i < p->n; i++) {
		if (p->ring[i].size > m.inflight.queue_size)
			m.inflight.queue_size = p->ring[i].size;
		if (p->ring[i].index >= m.inflight.queues)
			m.inflight.queues = (uint16_t)(p->ring[i].index + 1);
	}
	r = ask(s, &m, e, &reply);
	if (r < 0)
		return r;
	r = inflight_check(&reply, e);
	if (r == 0) {
		inf->desc = reply.inflight;
		/* These two are ours: a wrong echo must not reach the next back end. */
		inf->desc.queues = m.inflight.queues;
		inf->desc.queue_size = m.inflight.queue_size;
		inf->fd = fd_steal(&reply.fd[0]);
		reply.fds = 0;
	}
	vu_msg_finish(&reply);
	return r;
}

static int inflight_share(struct vu_session *s, const struct vu_plan *p,
	struct vu_inflight_region *inf, struct err *e)
{
	struct vu_msg m = vu_msg_make(VU_SET_INFLIGHT_FD, sizeof(m.inflight));
	int r;

	if (!has(s, VU_PF_INFLIGHT_SHMFD)) {
		/* What it says ends with the back end that wrote it. */
		vu_inflight_drop(inf);
		return 0;
	}
	if (inf->fd < 0) {
		r = inflight_get(s, p, inf, e);
		if (r < 0)
			return r;
	}
	m.inflight = inf->desc;
	m.fd[m.fds++] = inf->fd;
	return tell(s, &m, e);
}

/* ---- rings ---- */

static const struct {
	unsigned int bit;
	const char *name;
} feature_names[] = {
	{VIRTIO_NET_F_CSUM, "CSUM"},
	{VIRTIO_NET_F_GUEST_CSUM, "GUEST_CSUM"},
	{VIRTIO_NET_F_GUEST_TSO4, "GUEST_TSO4"},
	{VIRTIO_NET_F_GUEST_TSO6, "GUEST_TSO6"},
	{VIRTIO_NET_F_GUEST_ECN, "GUEST_ECN"},
	{VIRTIO_NET_F_GUEST_UFO, "GUEST_UFO"},
	{VIRTIO_NET_F_HOST_TSO4, "HOST_TSO4"},
	{VIRTIO_NET_F_HOST_TSO6, "HOST_TSO6"},
	{VIRTIO_NET_F_HOST_ECN, "HOST_ECN"},
	{VIRTIO_NET_F_HOST_UFO, "HOST_UFO"},
	{VIRTIO_NET_F_MRG_RXBUF, "MRG_RXBUF"},
	{VIRTIO_RING_F_INDIRECT_DESC, "RING_INDIRECT_DESC"},
	{VIRTIO_RING_F_EVENT_IDX, "RING_EVENT_IDX"},
	{VIRTIO_F_VERSION_1, "VERSION_1"},
	{VIRTIO_F_RING_PACKED, "RING_PACKED"},
	{VIRTIO_F_IN_ORDER, "IN_ORDER"},
};

static int features_check(uint64_t need, uint64_t got, struct err *e)
{
	uint64_t missing = need & ~got & ~DEVICE_FEATURES;
	char names[200] = "";
	size_t len = 0;

	if (!missing)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(feature_names); i++) {
		if (missing & BIT(feature_names[i].bit) && len < sizeof(names))
			len += (size_t)snprintf(
				names + len, sizeof(names) - len, " %s", feature_names[i].name);
	}
	return err_set(e, ENOTSUP,
		"the guest uses features this back end lacks (0x%" PRIx64
		":%s): give it back those, or restart the guest",
		missing, names);
}

static int ring_start(
	struct vu_session *s, const struct vu_plan *p, const struct net_ring *n, struct err *e)
{
	struct vu_msg addr = vu_msg_make(VU_SET_VRING_ADDR, sizeof(addr.addr));
	uint32_t base = n->last_avail;
	int r;

	/* "Vring descriptor indices for packed virtqueues": next used above next available. */
	if (p->features & BIT(VIRTIO_F_RING_PACKED))
		base |= base << 16;
	addr.addr = (struct vu_vring_addr){
		.index = n->index,
		.desc = n->desc,
		.used = n->used,
		.avail = n->avail,
	};
	r = tell_state(s, VU_SET_VRING_NUM, n->index, n->size, e);
	if (r == 0)
		r = tell_state(s, VU_SET_VRING_BASE, n->index, base, e);
	if (r == 0)
		r = tell(s, &addr, e);
	if (r == 0)
		r = tell_fd(s, VU_SET_VRING_CALL, n->index, p->call[n->index], e);
	if (r == 0)
		r = tell_fd(s, VU_SET_VRING_ERR, n->index, p->err[n->index], e);
	if (r == 0)
		r = tell_fd(s, VU_SET_VRING_KICK, n->index, n->kick_fd, e);
	return r;
}

int vu_session_call(struct vu_session *s, unsigned int index, int fd, struct err *e)
{
	return tell_fd(s, VU_SET_VRING_CALL, index, fd, e);
}

int vu_session_enable(struct vu_session *s, unsigned int index, bool on, struct err *e)
{
	if (!(s->features & BIT(VU_F_PROTOCOL_FEATURES)))
		return 0;
	return tell_state(s, VU_SET_VRING_ENABLE, index, on, e);
}

static int mem_table(struct vu_session *s, const struct vu_plan *p, struct err *e)
{
	struct vu_msg m = vu_msg_make(
		VU_SET_MEM_TABLE, (uint32_t)(8 + p->mem.regions * sizeof(struct vu_region)));

	m.mem = p->mem;
	m.fds = p->mem.regions;
	memcpy(m.fd, p->mem_fd, sizeof(m.fd));
	return tell(s, &m, e);
}

/* Nothing of the start may still be under way when the doorbells ring. */
static int barrier(struct vu_session *s, struct err *e)
{
	uint64_t unused;

	return has(s, VU_PF_REPLY_ACK) ? 0 : get_u64(s, VU_GET_FEATURES, e, &unused);
}

int vu_session_start(struct vu_session *s, const struct vu_plan *p, struct vu_inflight_region *inf,
	struct err *e)
{
	uint64_t features = p->features & s->features;
	int r;

	r = features_check(p->features, s->features, e);
	if (r < 0)
		return r;
	r = tell_u64(s, VU_SET_FEATURES, features | (s->features & BIT(VU_F_PROTOCOL_FEATURES)), e);
	if (r == 0)
		r = mem_table(s, p, e);
	if (r == 0)
		r = inflight_share(s, p, inf, e);
	for (unsigned int i = 0; r == 0 && i < p->n; i++)
		r = ring_start(s, p, &p->ring[i], e);
	for (unsigned int i = 0; r == 0 && i < p->n; i++)
		r = vu_session_enable(s, p->ring[i].index, p->ring[i].index / 2 < p->pairs, e);
	if (r == 0 && has(s, VU_PF_STATUS))
		r = tell_u64(s, VU_SET_STATUS, STATUS_RUNNING, e);
	return r < 0 ? r : barrier(s, e);
}

/* Where the i-th ring of the plan goes on. */
static int base_get(
	struct vu_session *s, const struct vu_plan *p, unsigned int i, struct err *e, uint16_t *ret)
{
	struct vu_msg m = vu_msg_make(VU_GET_VRING_BASE, sizeof(m.state)), reply;
	bool packed = p->features & BIT(VIRTIO_F_RING_PACKED);
	int r;

	m.state.index = p->ring[i].index;
	r = ask(s, &m, e, &reply);
	if (r < 0)
		return r;
	/* Packed: the upper half may be the used index, or nothing at all (DPDK). */
	if (reply.state.index != p->ring[i].index || (!packed && reply.state.num > UINT16_MAX) ||
		(packed && (reply.state.num & 0x7fff) >= p->ring[i].size))
		return err_set(e, EPROTO, "GET_VRING_BASE of ring %u: ring %u at %u",
			p->ring[i].index, reply.state.index, reply.state.num);
	*ret = (uint16_t)reply.state.num;
	return 0;
}

int vu_session_stop(
	struct vu_session *s, const struct vu_plan *p, uint16_t *ret_base, struct err *e)
{
	struct vu_msg reset = vu_msg_make(VU_RESET_DEVICE, 0);
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < p->n; i++)
		r = vu_session_enable(s, p->ring[i].index, false, e);
	for (unsigned int i = 0; r == 0 && i < p->n; i++)
		r = base_get(s, p, i, e, &ret_base[i]);
	/* Either means that the device was reset; the latter came first. */
	if (r == 0 && has(s, VU_PF_STATUS))
		return tell_u64(s, VU_SET_STATUS, 0, e);
	if (r == 0 && has(s, VU_PF_RESET_DEVICE))
		return tell(s, &reset, e);
	return r;
}

int vu_session_announce(struct vu_session *s, const uint8_t *mac, struct err *e)
{
	struct vu_msg m = vu_msg_make(VU_SEND_RARP, sizeof(m.u64));

	if (!has(s, VU_PF_RARP))
		return 0;
	memcpy(m.bytes, mac, 6);
	return tell(s, &m, e);
}

int vu_session_unasked(struct vu_session *s, struct err *e)
{
	struct vu_msg m;
	char buf[32];
	int r = vu_recv(s->sock, &s->rx, e, &m);

	if (r <= 0)
		return r;
	r = err_set(e, EPROTO, "%s came though nothing was asked",
		vu_request_name(m.request, buf, sizeof(buf)));
	vu_msg_finish(&m);
	return r;
}
