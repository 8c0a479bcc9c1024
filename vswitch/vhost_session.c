// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_session.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"

#define BIT(n) (1ull << (n))
#define PACKED BIT(VIRTIO_F_RING_PACKED)

/* Enough for a sentence; the others are shown as a number. */
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
	{VIRTIO_NET_F_MQ, "MQ"},
	{26, "LOG_ALL"},
	{VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM"},
	{VIRTIO_F_RING_PACKED, "RING_PACKED"},
	{VIRTIO_F_IN_ORDER, "IN_ORDER"},
};

void vhost_session_pause(struct vhost_session *s)
{
	assert(!s->paused);
	s->ops->pause(s->ctx);
	s->paused = true;
}

void vhost_session_resume(struct vhost_session *s)
{
	s->ops->changed(s->ctx);
	s->paused = false;
	s->ops->resume(s->ctx);
}

int vhost_session_init(struct vhost_session *s, const struct vhost_offer *offer,
	const struct vhost_session_ops *ops, void *ctx, struct vring_dev *dev, struct err *e)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert(offer->pairs >= 1 && offer->pairs <= VHOST_PAIRS_MAX);
	if (fd < 0)
		return err_sys(e, errno, "eventfd");
	*s = (struct vhost_session){
		.offer = offer, .ops = ops, .ctx = ctx, .dev = dev, .sock = -1, .wake_fd = fd};
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		s->ring[i] = (struct vhost_ring){.kick_fd = -1, .call_fd = -1};
	return 0;
}

void vhost_session_finish(struct vhost_session *s)
{
	s->wake_fd = fd_close(s->wake_fd);
}

void vhost_session_open(struct vhost_session *s, int *sock)
{
	assert(s->sock < 0);
	s->sock = fd_steal(sock);
}

void vhost_session_close(struct vhost_session *s)
{
	uint64_t count;

	vhost_session_pause(s);
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		vhost_ring_forget(s, i);
	vhost_session_resume(s);
	vhost_mem_finish(&s->mem);
	vhost_inflight_finish(&s->inflight);
	vhost_rx_finish(&s->rx);
	vhost_tx_finish(&s->tx);
	s->sock = fd_close(s->sock);
	s->features = 0;
	s->protocol = 0;
	s->has_features = false;
	s->status = 0;
	s->mtu = 0;
	(void)!read(s->wake_fd, &count, sizeof(count));
}

bool vhost_session_blocked(const struct vhost_session *s)
{
	return vhost_tx_pending(&s->tx);
}

bool vhost_session_halfway(const struct vhost_session *s)
{
	return s->rx.have || vhost_tx_pending(&s->tx);
}

int vhost_session_check(struct vhost_session *s, struct err *e)
{
	uint64_t count;
	bool gone = s->inflight.map && atomic_load(&s->inflight.map->guard.gone);

	(void)!read(s->wake_fd, &count, sizeof(count));
	for (unsigned int i = 0; i < VMEM_REGIONS; i++)
		gone |= s->mem.map[i] && atomic_load(&s->mem.map[i]->guard.gone);
	return gone ? err_set(e, EFAULT,
			      "the front end took memory back that it shares: its file was cut "
			      "short, or its file system is full")
		    : 0;
}

static bool ring_live(const struct vhost_session *s, unsigned int i)
{
	/* "Ring states": without the protocol's own feature a ring starts enabled. */
	return vring_running(&s->dev[i]) &&
	       (s->ring[i].enabled || !(s->features & BIT(VHOST_F_PROTOCOL_FEATURES)));
}

/*
 * A ring that runs and is not enabled is left alone, as others do, though the text would have frames
 * taken from it and dropped: between the two messages of a start it would lose some.
 */
void vhost_session_live(const struct vhost_session *s, uint32_t *ret_rx, uint32_t *ret_tx)
{
	uint32_t rx = 0, tx = 0;

	for (unsigned int q = 0; q < VHOST_PAIRS_MAX; q++) {
		tx |= (uint32_t)ring_live(s, q * 2) << q;
		rx |= (uint32_t)ring_live(s, q * 2 + 1) << q;
	}
	*ret_rx = rx;
	*ret_tx = tx;
}

const char *vhost_session_missing(const struct vhost_session *s)
{
	uint32_t rx, tx;

	if (!s->has_features)
		return "connected, but the front end has not said which features it uses";
	if (!s->mem.vmem.nr)
		return "connected, but the front end has not shared the guest's memory";
	if (!vhost_rings_running(s))
		return "connected, but the guest's driver has not set its rings up";
	vhost_session_live(s, &rx, &tx);
	if (!rx || !tx)
		return "connected, but the guest's driver has not enabled its queues";
	return NULL;
}

/* ---- messages ---- */

static void features_list(uint64_t features, char *ret, size_t size)
{
	size_t len = 0;

	*ret = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(feature_names); i++)
		if (features & BIT(feature_names[i].bit) && len < size)
			len += (size_t)snprintf(
				ret + len, size - len, " %s", feature_names[i].name);
}

static int set_features(struct vhost_session *s, uint64_t features, struct err *e)
{
	uint64_t extra = features & ~s->offer->features;
	char names[200];

	if (extra) {
		features_list(extra, names, sizeof(names));
		return err_set(e, EINVAL,
			"SET_FEATURES asks for 0x%" PRIx64
			" (%s ), which this port does not offer; if a guest had them before, give "
			"them back to the port or restart the guest",
			extra, names[0] ? names : " no names");
	}
	if (s->has_features && features == s->features)
		return 0;
	if (vhost_rings_running(s))
		return err_set(e, EBUSY, "SET_FEATURES while rings run");
	s->features = features;
	s->has_features = true;
	return vhost_rings_start(s, e);
}

static int set_protocol_features(struct vhost_session *s, uint64_t features, struct err *e)
{
	if (features & ~s->offer->protocol)
		return err_set(e, EINVAL,
			"SET_PROTOCOL_FEATURES asks for 0x%" PRIx64 ", which is not offered",
			features & ~s->offer->protocol);
	s->protocol = features;
	return 0;
}

/* Put @mem in the place of what there is, under the rings' feet. */
static int mem_replace(struct vhost_session *s, struct vhost_mem *mem, struct err *e)
{
	struct vhost_mem old = s->mem;
	int r;

	vhost_session_pause(s);
	vhost_rings_suspend(s);
	s->mem = *mem;
	r = vhost_rings_start(s, e);
	vhost_session_resume(s);
	vhost_mem_finish(&old);
	return r;
}

static int set_mem_table(struct vhost_session *s, const struct vhost_msg *m, struct err *e)
{
	struct vhost_mem mem = {0};
	int r = 0;

	for (unsigned int i = 0; i < m->mem.regions && r == 0; i++)
		r = vhost_mem_add(&mem, &m->mem.region[i], m->fd[i], s->wake_fd, e);
	if (r < 0) {
		vhost_mem_finish(&mem);
		return err_wrap(e, r, "SET_MEM_TABLE");
	}
	return mem_replace(s, &mem, e);
}

static int mem_reg(struct vhost_session *s, const struct vhost_msg *m, struct err *e)
{
	const struct vhost_region *region = &m->reg.region;
	const char *name = vhost_request_name(m->request, NULL, 0);
	int r, r2;

	vhost_session_pause(s);
	vhost_rings_suspend(s);
	r = m->request == VHOST_ADD_MEM_REG
		    ? vhost_mem_add(&s->mem, region, m->fd[0], s->wake_fd, e)
		    : vhost_mem_del(&s->mem, region, e);
	if (r < 0)
		err_wrap(e, r, "%s", name);
	r2 = vhost_rings_start(s, r < 0 ? NULL : e);
	vhost_session_resume(s);
	return r < 0 ? r : r2;
}

static int set_inflight(struct vhost_session *s, const struct vhost_msg *m, struct err *e)
{
	if (vhost_rings_running(s))
		return err_set(e, EBUSY, "SET_INFLIGHT_FD while rings run");
	return vhost_inflight_set(&s->inflight, s->features & PACKED, s->offer->pairs * 2,
		&m->inflight, m->fd[0], s->wake_fd, e);
}

/* Not an error of the connection's: the front end may ask for less. */
static int set_mtu(struct vhost_session *s, uint64_t mtu, struct err *e)
{
	if (mtu < 68 || mtu > s->offer->mtu)
		return err_set(e, EOPNOTSUPP,
			"NET_SET_MTU: %" PRIu64 " is not from 68 to the port's %u", mtu,
			s->offer->mtu);
	s->mtu = (uint16_t)mtu;
	return 0;
}

static int send_rarp(struct vhost_session *s, const struct vhost_msg *m, struct err *e)
{
	uint64_t mac = 0;

	for (unsigned int i = 0; i < 6; i++)
		mac = mac << 8 | m->bytes[i];
	if (!mac || m->bytes[0] & 1)
		return err_set(
			e, EINVAL, "SEND_RARP: %012" PRIx64 " is no address of one station", mac);
	s->ops->announce(s->ctx, mac);
	return 0;
}

/* RESET_OWNER is kept by some to mean that rings are not used for now. */
static void rings_disable(struct vhost_session *s)
{
	vhost_session_pause(s);
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		s->ring[i].enabled = false;
	vhost_session_resume(s);
}

static void device_reset(struct vhost_session *s)
{
	vhost_session_pause(s);
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		vhost_ring_forget(s, i);
	vhost_session_resume(s);
	vhost_inflight_finish(&s->inflight);
	s->features = 0;
	s->has_features = false;
	s->status = 0;
}

static int set_status(struct vhost_session *s, uint64_t status, struct err *e)
{
	if (status > UINT8_MAX)
		return err_set(e, EINVAL, "SET_STATUS: 0x%" PRIx64 " is no status", status);
	/* Virtio 1.2 §2.1: 0 resets the device. What was agreed is said anew before it starts. */
	if (!status && vhost_rings_running(s)) {
		vhost_session_pause(s);
		for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
			vhost_ring_halt(s, i);
		vhost_session_resume(s);
	}
	s->status = (uint8_t)status;
	return 0;
}

/* *@ret_size: of the answer, for a request that has one. */
static int request_do(struct vhost_session *s, struct vhost_msg *m, struct err *e,
	uint32_t *ret_size, int *ret_fd)
{
	*ret_size = sizeof(m->u64);
	switch ((enum vhost_request)m->request) {
	case VHOST_GET_FEATURES: m->u64 = s->offer->features; return 0;
	case VHOST_SET_FEATURES: return set_features(s, m->u64, e);
	case VHOST_GET_PROTOCOL_FEATURES: m->u64 = s->offer->protocol; return 0;
	case VHOST_SET_PROTOCOL_FEATURES: return set_protocol_features(s, m->u64, e);
	case VHOST_GET_QUEUE_NUM: m->u64 = s->offer->pairs; return 0;
	case VHOST_SET_OWNER: return 0;
	case VHOST_RESET_OWNER: rings_disable(s); return 0;
	case VHOST_SET_MEM_TABLE: return set_mem_table(s, m, e);
	case VHOST_GET_MAX_MEM_SLOTS: m->u64 = VMEM_REGIONS; return 0;
	case VHOST_ADD_MEM_REG:
	case VHOST_REM_MEM_REG: return mem_reg(s, m, e);
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_ADDR:
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
	case VHOST_SET_VRING_ENABLE: return vhost_ring_message(s, m, e);
	case VHOST_SEND_RARP: return send_rarp(s, m, e);
	case VHOST_NET_SET_MTU: return set_mtu(s, m->u64, e);
	case VHOST_GET_INFLIGHT_FD:
		*ret_size = m->size;
		return vhost_inflight_make(
			s->features & PACKED, s->offer->pairs * 2, &m->inflight, e, ret_fd);
	case VHOST_SET_INFLIGHT_FD: return set_inflight(s, m, e);
	case VHOST_RESET_DEVICE: device_reset(s); return 0;
	case VHOST_SET_STATUS: return set_status(s, m->u64, e);
	case VHOST_GET_STATUS: m->u64 = s->status; return 0;
	}
	return err_set(e, EOPNOTSUPP, "message %u is not supported", m->request);
}

/* Some may be sent as soon as the feature is offered, the others when it has been agreed upon. */
static int request_allowed(const struct vhost_session *s, const struct vhost_msg *m, struct err *e)
{
	const uint64_t offered_is_enough =
		BIT(VHOST_PF_MQ) | BIT(VHOST_PF_RARP) | BIT(VHOST_PF_MTU);
	uint64_t have = s->protocol | (s->offer->protocol & offered_is_enough);
	enum vhost_protocol needs = vhost_msg_needs(m);

	if (needs == VHOST_PF_NONE || have & BIT(needs))
		return 0;
	return err_set(e, EOPNOTSUPP, "%s without protocol feature %d",
		vhost_request_name(m->request, NULL, 0), (int)needs);
}

/* 0, or a negative errno that ends the connection. */
static int message_do(struct vhost_session *s, struct vhost_msg *m, struct err *e)
{
	_cleanup_fd_ int fd = -1;
	uint32_t size = sizeof(m->u64);
	bool own = false;
	int r = vhost_msg_check(m, e);

	if (r == 0) {
		own = vhost_msg_has_reply(m);
		r = request_allowed(s, m, e);
	}
	if (r == 0)
		r = request_do(s, m, e, &size, &fd);
	if (r == 0 && own) {
		vhost_tx_reply(&s->tx, m, size, fd >= 0 ? &fd : NULL);
		return 0;
	}
	if (!own && m->flags & VHOST_FLAG_NEED_REPLY && s->protocol & BIT(VHOST_PF_REPLY_ACK)) {
		m->u64 = r < 0;
		vhost_tx_reply(&s->tx, m, sizeof(m->u64), NULL);
		/* It has been told: the rest of the connection is as good as before. */
		return r == -EOPNOTSUPP ? 0 : r;
	}
	/* Whatever it may be, the front end can live without its MTU being agreed upon. */
	return r < 0 && m->request == VHOST_NET_SET_MTU && r == -EOPNOTSUPP ? 0 : r;
}

int vhost_session_serve(struct vhost_session *s, unsigned int max, struct err *e)
{
	unsigned int n = 0;
	int r = 1;

	while (n < max) {
		struct vhost_msg m;
		int done;

		r = vhost_tx_pending(&s->tx) ? vhost_tx_write(&s->tx, s->sock, e) : 1;
		if (r <= 0)
			break;
		r = vhost_rx_read(&s->rx, s->sock, e, &m);
		if (r <= 0)
			break;
		s->messages++;
		n++;
		done = message_do(s, &m, e);
		vhost_msg_finish(&m);
		if (done < 0) {
			if (vhost_tx_pending(&s->tx))
				vhost_tx_write(&s->tx, s->sock, NULL);
			return done;
		}
	}
	return r < 0 ? r : (int)n;
}
