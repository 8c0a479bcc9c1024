// SPDX-License-Identifier: GPL-2.0-or-later
/* The virtio network device, Virtio 1.2 §5.1: all of it but the packets. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "devices/virtio.h"
#include "devices/virtio_pci.h"
#include "devices/virtq.h"

#define CLASS_ETHERNET 0x020000u
#define QUEUE_SIZE     256u
#define COMMAND_MAX    4096u /* bytes of a control command */

#define BIT(n) (1ull << (n))

/* What the device adds to what its back end can do, §5.1.3. */
#define OWN_FEATURES                                                                  \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | \
		BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |         \
		BIT(VIRTIO_NET_F_GUEST_ANNOUNCE))
#define FILTER_FEATURES \
	(BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA))

/* What the guest may switch off and on, §5.1.6.5.7. */
#define GUEST_OFFLOADS                                                       \
	(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |       \
		BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) | \
		BIT(VIRTIO_NET_F_GUEST_UFO))

/* §5.1.4, up to mtu. */
struct config {
	uint8_t mac[6];
	uint16_t status, max_pairs, mtu;
};

struct vnet {
	struct vpci v; /* first: the root destroys it */
	char name[48];
	struct net_backend *be;
	struct net_events events;
	const struct gmem *mem;
	struct vnet_config cfg;
	int kick[NET_MAX_PAIRS * 2];
	_Atomic bool link, announce;

	/* v.lock */
	uint8_t mac[6]; /* now: the guest may change it */
	unsigned int pairs_now;
	struct net_filter filter;
	bool be_started;
	unsigned int ctrl; /* index of the control queue; 0 = there is none */
	struct virtq ctrl_q;
	struct virtq_chain chain;
	uint8_t command[COMMAND_MAX];

	_Atomic uint64_t commands, command_errors, features;
	_Atomic unsigned int pairs_stat;
};

static struct vnet *vnet_of(struct vpci *v)
{
	return container_of(v, struct vnet, v);
}

static bool has(const struct vnet *n, unsigned int bit)
{
	return vpci_features(&n->v) >> bit & 1;
}

/* ---- features ---- */

/* §5.1.3.1: the first needs one of the others. */
static const struct {
	unsigned int bit;
	uint64_t needs;
} feature_needs[] = {
	{VIRTIO_NET_F_GUEST_TSO4, BIT(VIRTIO_NET_F_GUEST_CSUM)},
	{VIRTIO_NET_F_GUEST_TSO6, BIT(VIRTIO_NET_F_GUEST_CSUM)},
	{VIRTIO_NET_F_GUEST_UFO, BIT(VIRTIO_NET_F_GUEST_CSUM)},
	{VIRTIO_NET_F_GUEST_ECN, BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6)},
	{VIRTIO_NET_F_HOST_TSO4, BIT(VIRTIO_NET_F_CSUM)},
	{VIRTIO_NET_F_HOST_TSO6, BIT(VIRTIO_NET_F_CSUM)},
	{VIRTIO_NET_F_HOST_UFO, BIT(VIRTIO_NET_F_CSUM)},
	{VIRTIO_NET_F_HOST_ECN, BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6)},
	{VIRTIO_NET_F_CTRL_RX, BIT(VIRTIO_NET_F_CTRL_VQ)},
	{VIRTIO_NET_F_CTRL_RX_EXTRA, BIT(VIRTIO_NET_F_CTRL_VQ)},
	{VIRTIO_NET_F_CTRL_VLAN, BIT(VIRTIO_NET_F_CTRL_VQ)},
	{VIRTIO_NET_F_GUEST_ANNOUNCE, BIT(VIRTIO_NET_F_CTRL_VQ)},
	{VIRTIO_NET_F_MQ, BIT(VIRTIO_NET_F_CTRL_VQ)},
	{VIRTIO_NET_F_CTRL_MAC_ADDR, BIT(VIRTIO_NET_F_CTRL_VQ)},
	{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, BIT(VIRTIO_NET_F_CTRL_VQ)},
};

/* Of @offloads each that needs another one has it. */
static bool needs_met(uint64_t offloads)
{
	for (size_t i = 0; i < ARRAY_SIZE(feature_needs); i++) {
		if (offloads >> feature_needs[i].bit & 1 && !(offloads & feature_needs[i].needs))
			return false;
	}
	return true;
}

/* @f without those that lack what they need. */
static uint64_t features_sound(uint64_t f)
{
	/* What others need stands before them. */
	for (size_t i = 0; i < ARRAY_SIZE(feature_needs); i++) {
		if (!(f & feature_needs[i].needs))
			f &= ~BIT(feature_needs[i].bit);
	}
	return f;
}

static bool features_ok(struct vpci *v, uint64_t f)
{
	return !(f & ~v->offered) && f & BIT(VIRTIO_F_VERSION_1) && f == features_sound(f);
}

/* ---- config space ---- */

static void cfg_read(struct vpci *v, unsigned int off, void *buf, unsigned int len)
{
	struct vnet *n = vnet_of(v);
	struct config c = {
		.max_pairs = htole16((uint16_t)n->cfg.pairs),
		.mtu = htole16(n->cfg.mtu),
	};
	uint16_t status = 0;

	memcpy(c.mac, n->mac, sizeof(c.mac));
	if (atomic_load(&n->link))
		status |= VIRTIO_NET_S_LINK_UP;
	if (atomic_load(&n->announce) && has(n, VIRTIO_NET_F_GUEST_ANNOUNCE))
		status |= VIRTIO_NET_S_ANNOUNCE;
	c.status = htole16(status);
	memcpy(buf, (const uint8_t *)&c + off, len);
}

/* §5.1.4.2: all of it is the device's; the MAC is set by command. */
static void cfg_write(struct vpci *v, unsigned int off, const void *buf, unsigned int len)
{
}

/* ---- from the back end ---- */

static void on_link(void *ctx, bool up)
{
	struct vnet *n = ctx;

	if (atomic_exchange(&n->link, up) != up)
		vpci_config_changed(&n->v);
}

static void on_announce(void *ctx)
{
	struct vnet *n = ctx;

	if (!atomic_exchange(&n->announce, true))
		vpci_config_changed(&n->v);
}

static void on_broken(void *ctx, unsigned int index, const char *why)
{
	struct vnet *n = ctx;
	char what[32];

	snprintf(what, sizeof(what), "queue %u", index);
	vpci_broken(&n->v, what, why);
}

/* ---- control queue, §5.1.6.5 ---- */

static bool on_off(const uint8_t *data, size_t len, bool *ret)
{
	if (len != 1)
		return false;
	*ret = data[0] != 0;
	return true;
}

static bool command_rx(struct vnet *n, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net_filter *f = &n->filter;
	bool *const mode[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &f->alluni,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &f->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &f->nouni,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &f->nobcast,
	};
	unsigned int need = cmd >= VIRTIO_NET_CTRL_RX_ALLUNI ? VIRTIO_NET_F_CTRL_RX_EXTRA
							     : VIRTIO_NET_F_CTRL_RX;

	return has(n, need) && cmd < ARRAY_SIZE(mode) && on_off(data, len, mode[cmd]);
}

/* One of the two tables: a count, then so many addresses. More than we keep: all of the kind. */
static bool mac_table(const uint8_t **data, size_t *len, uint8_t (*ret)[6], unsigned int *ret_n,
	bool *ret_overflow)
{
	uint32_t n;

	if (*len < 4)
		return false;
	n = (uint32_t)le_load(*data, 4);
	*data += 4;
	*len -= 4;
	if (n > *len / 6)
		return false;
	*ret_overflow = n > NET_FILTER_MACS;
	*ret_n = *ret_overflow ? 0 : n;
	memcpy(ret, *data, *ret_n * 6);
	*data += n * 6;
	*len -= n * 6;
	return true;
}

static bool command_mac(struct vnet *n, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net_filter f = n->filter;

	switch (cmd) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		if (!has(n, VIRTIO_NET_F_CTRL_RX) ||
			!mac_table(&data, &len, f.uni, &f.n_uni, &f.mac_overflow_uni) ||
			!mac_table(&data, &len, f.multi, &f.n_multi, &f.mac_overflow_multi) || len)
			return false;
		n->filter = f;
		return true;
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (!has(n, VIRTIO_NET_F_CTRL_MAC_ADDR) || len != 6 || data[0] & 1)
			return false;
		memcpy(n->mac, data, 6);
		memcpy(n->filter.mac, data, 6);
		return true;
	default: return false;
	}
}

static bool command_vlan(struct vnet *n, uint8_t cmd, const uint8_t *data, size_t len)
{
	unsigned int id;

	if (!has(n, VIRTIO_NET_F_CTRL_VLAN) || len != 2)
		return false;
	id = (unsigned int)le_load(data, 2);
	if (id > 4095)
		return false;
	switch (cmd) {
	case VIRTIO_NET_CTRL_VLAN_ADD: n->filter.vlan[id / 64] |= 1ull << (id % 64); return true;
	case VIRTIO_NET_CTRL_VLAN_DEL: n->filter.vlan[id / 64] &= ~(1ull << (id % 64)); return true;
	default: return false;
	}
}

static bool command_mq(struct vnet *n, uint8_t cmd, const uint8_t *data, size_t len)
{
	unsigned int pairs;

	if (!has(n, VIRTIO_NET_F_MQ) || cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || len != 2)
		return false;
	pairs = (unsigned int)le_load(data, 2);
	if (!pairs || pairs > n->cfg.pairs)
		return false;
	if (n->be->ops->set_pairs ? n->be->ops->set_pairs(n->be, pairs) < 0 : pairs > 1)
		return false;
	n->pairs_now = pairs;
	atomic_store(&n->pairs_stat, pairs);
	return true;
}

static bool command_offloads(struct vnet *n, uint8_t cmd, const uint8_t *data, size_t len)
{
	uint64_t offloads;

	if (!has(n, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
		cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || len != 8)
		return false;
	offloads = le_load(data, 8);
	/* §5.1.6.5.7.1: none that was not negotiated. */
	if (offloads & ~(vpci_features(&n->v) & GUEST_OFFLOADS) || !needs_met(offloads))
		return false;
	return n->be->ops->set_offloads(n->be, offloads) == 0;
}

static bool command(struct vnet *n, const uint8_t *data, size_t len)
{
	bool ok = false, filters = false;

	switch (data[0]) {
	case VIRTIO_NET_CTRL_RX: ok = filters = command_rx(n, data[1], data + 2, len - 2); break;
	case VIRTIO_NET_CTRL_MAC: ok = filters = command_mac(n, data[1], data + 2, len - 2); break;
	case VIRTIO_NET_CTRL_VLAN:
		ok = filters = command_vlan(n, data[1], data + 2, len - 2);
		break;
	case VIRTIO_NET_CTRL_ANNOUNCE:
		ok = has(n, VIRTIO_NET_F_GUEST_ANNOUNCE) &&
		     data[1] == VIRTIO_NET_CTRL_ANNOUNCE_ACK && len == 2;
		if (ok)
			atomic_store(&n->announce, false);
		break;
	case VIRTIO_NET_CTRL_MQ: ok = command_mq(n, data[1], data + 2, len - 2); break;
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		ok = command_offloads(n, data[1], data + 2, len - 2);
		break;
	default: break;
	}
	if (filters && n->be->ops->set_filter)
		n->be->ops->set_filter(n->be, &n->filter);
	return ok;
}

/* The guest rang the control queue: on the vCPU's thread, for the driver spins for the answer. */
static void notify(struct vpci *v, unsigned int queue)
{
	struct vnet *n = vnet_of(v);
	struct virtq_chain *c = &n->chain;
	bool call = false;
	int got = 0;

	if (!n->ctrl || queue != n->ctrl)
		return;
	/* The bound is for a guest that adds commands as fast as they are carried out. */
	for (unsigned int i = 0; i < n->ctrl_q.size * 4u; i++) {
		uint8_t ack = VIRTIO_NET_ERR;
		size_t len;

		got = virtq_pop(&n->ctrl_q, c);
		/* With EVENT_IDX each doorbell has to be asked for. */
		if (got == 0 && virtq_listen(&n->ctrl_q))
			continue;
		if (got <= 0)
			break;
		/* §5.1.6.5: class, command, data; and a byte for the answer. */
		if (c->out_len < 2 || c->in_len < 1) {
			n->ctrl_q.broken = "a command without a header or room for the answer";
			got = -EPROTO;
			break;
		}
		len = iov_take(c->out, c->n_out, 0, n->command, sizeof(n->command));
		n->commands++;
		if (c->out_len <= sizeof(n->command) && command(n, n->command, len))
			ack = VIRTIO_NET_OK;
		else
			n->command_errors++;
		iov_put(c->in, c->n_in, 0, &ack, 1);
		virtq_push(&n->ctrl_q, c, 1);
	}
	call = virtq_flush(&n->ctrl_q);
	if (call)
		vpci_call(v, queue);
	if (got < 0) {
		vpci_broken(v, "control queue", n->ctrl_q.broken);
		n->ctrl = 0;
	}
}

/* ---- start and stop ---- */

static int ctrl_start(struct vnet *n, unsigned int index, struct err *e)
{
	const struct vpci_queue *q = &n->v.queue[index];
	const struct virtq_setup s = {
		.size = q->size,
		.desc = q->desc,
		.driver = q->driver,
		.device = q->device,
		.features = vpci_features(&n->v),
		.last_avail = has(n, VIRTIO_F_RING_PACKED) ? 0x8000 : 0,
	};
	int r;

	if (!has(n, VIRTIO_NET_F_CTRL_VQ) || !q->enabled)
		return 0;
	r = virtq_init(&n->ctrl_q, n->mem, &s, e);
	if (r < 0)
		return err_wrap(e, r, "control queue");
	(void)virtq_listen(&n->ctrl_q);
	n->ctrl = index;
	return 0;
}

static void filter_reset(struct vnet *n)
{
	memset(&n->filter, 0, sizeof(n->filter));
	/* §5.1.6.5.1.1: all is received until the driver says otherwise. */
	n->filter.promisc = true;
	memcpy(n->filter.mac, n->mac, 6);
	n->filter.vlan_filter = has(n, VIRTIO_NET_F_CTRL_VLAN);
	if (n->be->ops->set_filter)
		n->be->ops->set_filter(n->be, &n->filter);
}

static int start(struct vpci *v, struct err *e)
{
	struct vnet *n = vnet_of(v);
	struct net_ring ring[NET_MAX_PAIRS * 2];
	/* §5.1.2: without MQ the control queue is the third, whatever max_virtqueue_pairs says. */
	unsigned int pairs = has(n, VIRTIO_NET_F_MQ) ? n->cfg.pairs : 1, ctrl = pairs * 2;
	struct net_start s = {
		.features = vpci_features(v),
		.pairs = 1,
		.ring = ring,
	};
	int r;

	n->pairs_now = 1;
	atomic_store(&n->pairs_stat, 1);
	atomic_store(&n->features, s.features);
	for (unsigned int i = 0; i < v->n_queues; i++)
		v->queue[i].kick_fd = i < ctrl ? n->kick[i] : -1;
	for (unsigned int i = 0; i < ctrl; i++) {
		const struct vpci_queue *q = &v->queue[i];

		if (!q->enabled)
			continue;
		ring[s.n++] = (struct net_ring){
			.index = i,
			.size = q->size,
			.desc = q->desc,
			.avail = q->driver,
			.used = q->device,
			.last_avail = has(n, VIRTIO_F_RING_PACKED) ? 0x8000 : 0,
			.kick_fd = q->kick_fd,
		};
	}
	filter_reset(n);
	r = ctrl_start(n, ctrl, e);
	if (r < 0)
		return r;
	r = n->be->ops->start(n->be, &s, e);
	if (r < 0)
		return r;
	n->be_started = true;
	return 0;
}

static void stop(struct vpci *v)
{
	struct vnet *n = vnet_of(v);
	uint16_t last[NET_MAX_PAIRS * 2];

	if (n->be_started)
		n->be->ops->stop(n->be, last);
	n->be_started = false;
	n->ctrl = 0;
	atomic_store(&n->features, 0);
	atomic_store(&n->announce, false);
	memcpy(n->mac, n->cfg.mac, 6);
}

static void set_call(struct vpci *v, unsigned int queue, int fd)
{
	struct vnet *n = vnet_of(v);

	/* With one pair negotiated ring 2 is the control queue: its fd does no harm there. */
	if (queue < n->cfg.pairs * 2)
		n->be->ops->set_call(n->be, queue, fd);
}

static void vnet_free(struct vnet *n)
{
	net_backend_destroy(n->be);
	for (unsigned int i = 0; i < NET_MAX_PAIRS * 2; i++)
		fd_close(n->kick[i]);
	free(n);
}

static void destroy(struct vpci *v)
{
	struct vnet *n = vnet_of(v);

	stop(v);
	/* Its threads call up until they are gone. */
	net_backend_destroy(n->be);
	n->be = NULL;
	vpci_finish(v);
	vnet_free(n);
}

static const struct vpci_ops vnet_ops = {
	.features_ok = features_ok,
	.start = start,
	.stop = stop,
	.notify = notify,
	.set_call = set_call,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.destroy = destroy,
};

/* ---- making ---- */

static int config_check(const struct vnet_config *cfg, const struct net_backend *be, struct err *e)
{
	static const uint8_t zero[6];

	if (cfg->mac[0] & 1 || !memcmp(cfg->mac, zero, 6))
		return err_set(e, EINVAL,
			"%s: %02x:%02x:%02x:%02x:%02x:%02x is no address for one interface",
			be->name, cfg->mac[0], cfg->mac[1], cfg->mac[2], cfg->mac[3], cfg->mac[4],
			cfg->mac[5]);
	if (cfg->mtu && cfg->mtu < VNET_MTU_MIN)
		return err_set(e, EINVAL, "%s: MTU %u; %u to %u are possible", be->name, cfg->mtu,
			VNET_MTU_MIN, VNET_MTU_MAX);
	if (!cfg->pairs || cfg->pairs > be->max_pairs)
		return err_set(e, EINVAL, "%s: %u queues; it takes 1 to %u", be->name, cfg->pairs,
			be->max_pairs);
	if (cfg->queue_size > VIRTQ_MAX_SIZE || cfg->queue_size & (cfg->queue_size - 1))
		return err_set(e, EINVAL,
			"%s: rings of %u entries; a power of two up to %u is possible", be->name,
			cfg->queue_size, VIRTQ_MAX_SIZE);
	return 0;
}

static uint64_t features_offered(const struct vnet_config *cfg, const struct net_backend *be)
{
	uint64_t f = (be->features & ~cfg->without) | OWN_FEATURES;

	if (be->ops->set_filter)
		f |= FILTER_FEATURES;
	if (be->ops->set_offloads && f & GUEST_OFFLOADS)
		f |= BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (cfg->mtu)
		f |= BIT(VIRTIO_NET_F_MTU);
	if (cfg->pairs > 1)
		f |= BIT(VIRTIO_NET_F_MQ);
	/* A back end may know HOST_ECN and no TSO, and Linux takes all that is offered. */
	return features_sound(f);
}

static int vnet_init(struct vnet *n, const struct vnet_host *host, struct err *e)
{
	struct vpci_config vc = {
		.name = n->name,
		.device_id = VIRTIO_ID_NET,
		.class_code = CLASS_ETHERNET,
		.features = features_offered(&n->cfg, n->be),
		.queues = n->cfg.pairs * 2 + 1,
		.vectors = n->cfg.pairs * 2 + 2, /* one each, and one for config */
		.cfg_len = sizeof(struct config),
		.irq = host->irq,
		.bell = host->bell,
	};
	int r;

	r = config_check(&n->cfg, n->be, e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < n->cfg.pairs * 2; i++) {
		n->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (n->kick[i] < 0)
			return err_sys(e, errno, "%s: eventfd", n->be->name);
	}
	r = pci_root_slot(host->pci, &vc.devfn);
	if (r < 0)
		return err_set(e, -r, "%s: no free slot on the PCI bus", n->be->name);
	snprintf(n->name, sizeof(n->name), "virtio-net 00:%02x.0", vc.devfn >> 3);
	r = vpci_init(&n->v, &vnet_ops, &vc, e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < n->v.n_queues; i++)
		n->v.queue[i].size = n->v.queue[i].max_size =
			i < n->cfg.pairs * 2 ? n->cfg.queue_size : 64;
	return 0;
}

int vnet_create(const struct vnet_host *host, const struct vnet_config *cfg, struct net_backend *be,
	struct err *e, struct vnet **ret)
{
	struct vnet *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		net_backend_destroy(be);
		return err_sys(e, ENOMEM, "virtio-net");
	}
	for (unsigned int i = 0; i < NET_MAX_PAIRS * 2; i++)
		n->kick[i] = -1;
	n->be = be;
	n->mem = host->mem;
	n->cfg = *cfg;
	n->cfg.queue_size = cfg->queue_size ?: QUEUE_SIZE;
	memcpy(n->mac, cfg->mac, 6);
	n->events = (struct net_events){
		.link = on_link,
		.announce = on_announce,
		.broken = on_broken,
		.ctx = n,
	};
	r = vnet_init(n, host, e);
	if (r < 0) {
		vnet_free(n);
		return r;
	}
	be->ops->attach(be, &n->events);
	r = pci_root_add(host->pci, &n->v.pci, e);
	if (r < 0)
		return r; /* the root destroyed it */
	*ret = n;
	return 0;
}

void vnet_stats(struct vnet *n, struct vnet_stats *ret)
{
	*ret = (struct vnet_stats){
		.trapped_kicks = n->v.trapped_kicks,
		.config_irqs = n->v.config_irqs,
		.resets = n->v.resets,
		.broken = n->v.broken,
		.commands = n->commands,
		.command_errors = n->command_errors,
		.features = n->features,
		.pairs = n->pairs_stat,
	};
	if (n->be->ops->stats)
		n->be->ops->stats(n->be, &ret->data);
}

uint8_t vnet_devfn(const struct vnet *n)
{
	return n->v.pci.devfn;
}

struct net_backend *vnet_backend(const struct vnet *n)
{
	return n->be;
}
