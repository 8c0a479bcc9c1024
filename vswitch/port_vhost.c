// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's virtio NIC over vhost-user. librte_vhost reads the messages and the rings; every frame is
 * copied out of guest memory before anything looks at it.
 *
 * Checksum and segmentation offloads are not offered: no frame then arrives unfinished that another
 * port could not take.
 */
#include <errno.h>
#include <limits.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vswitch/datapath.h"
#include "vswitch/socket.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_mbuf.h>
#include <rte_vhost.h>

#define BIT(n) (1ull << (n))
#define NO_FEATURES                                                                            \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | \
		BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) |                     \
		BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_GUEST_TSO4) |                    \
		BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |                   \
		BIT(VIRTIO_NET_F_GUEST_UFO))

/* Queue numbers, Virtio 1.2 §5.1.2: the guest receives on even ones. */
static uint16_t guest_rx(unsigned int pair)
{
	return (uint16_t)(pair * 2);
}

static uint16_t guest_tx(unsigned int pair)
{
	return (uint16_t)(pair * 2 + 1);
}

static struct port *port_of_vid(int vid)
{
	struct datapath *dp = datapath_of_process();
	char path[PATH_MAX];

	if (!dp || rte_vhost_get_ifname(vid, path, sizeof(path)) < 0)
		return NULL;
	return datapath_port_of_path(dp, path);
}

static int on_new_device(int vid)
{
	struct port *p = port_of_vid(vid);
	int none = -1;

	if (!p)
		return -1;
	/* A server's socket takes any number of connections; a port is one. */
	if (!atomic_compare_exchange_strong(&p->vid, &none, vid)) {
		log_debug("port '%s': a second connection is refused", p->cfg.name);
		return -1;
	}
	datapath_queues_set(p, atomic_load(&p->rx_live), atomic_load(&p->tx_live));
	return 0;
}

/* When this returns nobody may touch the device's memory. */
static void on_destroy_device(int vid)
{
	struct port *p = port_of_vid(vid);
	int mine = vid;

	if (!p || !atomic_compare_exchange_strong(&p->vid, &mine, -1))
		return;
	datapath_pause(p->dp);
	datapath_resume(p->dp);
}

/* Called with the queues locked, which the datapath may be waiting for: so only note it. */
static int on_queue_state(int vid, uint16_t queue, int enable)
{
	struct port *p = port_of_vid(vid);
	uint32_t rx, tx, *mask = queue & 1 ? &rx : &tx, bit = 1u << (queue / 2 % 32);

	if (!p || queue / 2 >= PORT_QUEUES)
		return 0;
	rx = atomic_load(&p->rx_live);
	tx = atomic_load(&p->tx_live);
	*mask = enable ? *mask | bit : *mask & ~bit;
	datapath_queues_set(p, rx, tx);
	return 0;
}

/*
 * Before the library sees a message. GET_INFLIGHT_FD makes it fill with zeroes as many GiB as the peer
 * says, though we do not offer the feature: ask for none, which it refuses. It is left to the library
 * to refuse because it then also closes what descriptors came along; when we do, nobody does.
 * @msg is laid out as on the wire: request, flags, size, payload.
 */
static enum rte_vhost_msg_result on_message(int vid, void *msg)
{
	enum { GET_INFLIGHT_FD = 31, PAYLOAD = 12, INFLIGHT_QUEUES = 16 };
	uint32_t request;

	memcpy(&request, msg, sizeof(request));
	if (request ==
		GET_INFLIGHT_FD) /* the numbers of queues and of their entries, two bytes each */
		memset((uint8_t *)msg + PAYLOAD + INFLIGHT_QUEUES, 0, 4);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops message_ops = {.pre_msg_handle = on_message};

static int on_connection(int vid)
{
	return rte_vhost_extern_callback_register(vid, &message_ops, NULL);
}

static const struct rte_vhost_device_ops device_ops = {
	.new_connection = on_connection,
	.new_device = on_new_device,
	.destroy_device = on_destroy_device,
	.vring_state_changed = on_queue_state,
};

static uint16_t vhost_rx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	int vid = atomic_load_explicit(&p->vid, memory_order_acquire);

	return vid < 0 ? 0
		       : rte_vhost_dequeue_burst(vid, guest_tx(queue), datapath_pool(p->dp), m, n);
}

static uint16_t vhost_tx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	int vid = atomic_load_explicit(&p->vid, memory_order_acquire);
	uint16_t sent = vid < 0 ? 0 : rte_vhost_enqueue_burst(vid, guest_rx(queue), m, n);

	rte_pktmbuf_free_bulk(m, n);
	return sent;
}

static uint16_t vhost_tx_copy(struct port *p, uint16_t queue, struct rte_mbuf *m)
{
	int vid = atomic_load_explicit(&p->vid, memory_order_acquire);

	return vid < 0 ? 0 : rte_vhost_enqueue_burst(vid, guest_rx(queue), &m, 1);
}

static bool vhost_arm(struct port *p, uint16_t queue, int *ret_fd, int *timeout_us)
{
	int vid = atomic_load_explicit(&p->vid, memory_order_acquire);
	struct rte_vhost_vring ring;

	if (vid < 0)
		return false;
	rte_vhost_enable_guest_notification(vid, guest_tx(queue), 1);
	/* Pairs with the guest's, between its avail index and its look at our wish. */
	atomic_thread_fence(memory_order_seq_cst);
	if (rte_vhost_rx_queue_count(vid, guest_tx(queue)))
		return true;
	if (rte_vhost_get_vhost_vring(vid, guest_tx(queue), &ring) < 0 || ring.kickfd < 0)
		*timeout_us = 1000;
	else
		*ret_fd = ring.kickfd;
	return false;
}

static void vhost_disarm(struct port *p, uint16_t queue)
{
	int vid = atomic_load_explicit(&p->vid, memory_order_acquire);
	struct rte_vhost_vring ring;
	uint64_t count;
	struct iovec v = {&count, sizeof(count)};

	if (vid < 0)
		return;
	rte_vhost_enable_guest_notification(vid, guest_tx(queue), 0);
	/* The descriptor is the peer's: it may be of any kind, and it must not block us. */
	if (!rte_vhost_get_vhost_vring(vid, guest_tx(queue), &ring) && ring.kickfd >= 0)
		(void)!preadv2(ring.kickfd, &v, 1, -1, RWF_NOWAIT);
}

static int vhost_start(struct port *p, struct err *e)
{
	/* A client that finds no server tries again from a thread of the library's. */
	if (rte_vhost_driver_start(p->cfg.path) < 0)
		return err_sys(e, errno ? errno : EIO, "port '%s': %s the vhost-user socket %s",
			p->cfg.name, p->cfg.client ? "connect to" : "listen on", p->cfg.path);
	return 0;
}

static bool vhost_up(const struct port *p, const char **ret_why)
{
	if (atomic_load(&p->vid) >= 0)
		return true;
	*ret_why = p->cfg.client ? "no server has accepted us and set its rings up"
				 : "nobody has connected and set its rings up";
	return false;
}

static void vhost_destroy(struct port *p)
{
	/* Closes the connection, through on_destroy_device(), and unlinks a server's socket. */
	if (p->started)
		rte_vhost_driver_unregister(p->cfg.path);
	free(p);
}

static const struct port_ops vhost_ops = {
	.start = vhost_start,
	.rx = vhost_rx,
	.tx = vhost_tx,
	.tx_copy = vhost_tx_copy,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.up = vhost_up,
	.destroy = vhost_destroy,
};

int port_vhost_create(
	const struct port_config *cfg, struct datapath *dp, struct err *e, struct port **ret)
{
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS;
	struct port *p;
	int r;

	if (cfg->client)
		flags |= RTE_VHOST_USER_CLIENT;
	else if ((r = socket_path_clear(cfg->path, e)) < 0)
		return err_wrap(e, r, "port '%s'", cfg->name);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, ENOMEM, "port '%s': out of memory", cfg->name);
	p->ops = &vhost_ops;
	p->dp = dp;
	p->cfg = *cfg;
	p->vid = -1;
	if (rte_vhost_driver_register(cfg->path, flags) < 0) {
		free(p);
		return err_sys(e, errno ? errno : EIO, "port '%s': make the vhost-user socket %s",
			cfg->name, cfg->path);
	}
	p->started = true;
	if (rte_vhost_driver_disable_features(cfg->path, NO_FEATURES) < 0 ||
		rte_vhost_driver_callback_register(cfg->path, &device_ops) < 0) {
		vhost_destroy(p);
		return err_set(e, EIO, "port '%s': librte_vhost refuses %s", cfg->name, cfg->path);
	}
	*ret = p;
	return 0;
}
