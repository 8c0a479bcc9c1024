// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's virtio NIC over vhost-user: the link starts and stops the rings from the control thread,
 * between two rounds of the datapath, which moves the frames.
 */
#include "vswitch/port_vhost.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/datapath.h"
#include "vswitch/vhost_link.h"
#include "vswitch/vhost_offer.h"

static_assert(PORT_QUEUES == VHOST_PAIRS_MAX && CONFIG_QUEUES == VHOST_PAIRS_MAX,
	"a ring for each queue");

static void on_pause(void *ctx)
{
	datapath_pause(((struct port *)ctx)->dp);
}

static void on_resume(void *ctx)
{
	datapath_resume(((struct port *)ctx)->dp);
}

static void on_changed(void *ctx)
{
	struct port *p = ctx;
	struct port_vhost *v = p->vhost;
	struct vhost_link_stats s;
	uint32_t rx, tx;

	vhost_link_live(v->link, &rx, &tx);
	vhost_link_stats_get(v->link, &s);
	p->takes = vhost_offer_takes(s.features);
	atomic_store(&v->up, rx && tx);
	datapath_queues_set(p, rx, tx);
}

/* Others learn where @mac is when its announcement comes in here like any frame of the guest's. */
static void on_announce(void *ctx, uint64_t mac)
{
	struct port *p = ctx;
	/* RFC 903: a request by @mac for its own address, to all. */
	uint8_t frame[60] = {
		[12] = 0x80, 0x35, 0, 1, FRAME_TYPE_IPV4 >> 8, FRAME_TYPE_IPV4 & 255, 6, 4, 0, 3};

	memset(frame, 0xff, 6);
	for (unsigned int i = 0; i < 6; i++)
		frame[6 + i] = frame[22 + i] = frame[32 + i] = (uint8_t)(mac >> (40 - 8 * i));
	datapath_pause(p->dp);
	datapath_inject(p->dp, p, frame, sizeof(frame));
	datapath_resume(p->dp);
}

static const struct vhost_session_ops session_ops = {
	.pause = on_pause,
	.resume = on_resume,
	.changed = on_changed,
	.announce = on_announce,
};

static int vhost_start(struct port *p, struct err *e)
{
	int r = vhost_link_start(p->vhost->link, e);

	return r < 0 ? err_wrap(e, r, "port '%s'", p->cfg.name) : 0;
}

static bool vhost_up(const struct port *p, const char **ret_why)
{
	if (atomic_load_explicit(&p->vhost->up, memory_order_relaxed))
		return true;
	*ret_why = "no front end has set its rings up";
	return false;
}

void port_vhost_state(
	struct port *p, bool *ret_up, const char **ret_why, struct vhost_link_stats *ret_stats)
{
	const char *why = vhost_link_why_down(p->vhost->link);

	*ret_up = !why;
	if (why)
		*ret_why = why;
	vhost_link_stats_get(p->vhost->link, ret_stats);
}

static void vhost_destroy(struct port *p)
{
	if (p->vhost)
		vhost_link_destroy(p->vhost->link);
	free(p->vhost);
	free(p);
}

static const struct port_ops vhost_ops = {
	.start = vhost_start,
	.rx = port_vhost_rx,
	.tx = port_vhost_tx,
	.tx_copy = port_vhost_tx_copy,
	.arm = port_vhost_arm,
	.disarm = port_vhost_disarm,
	.up = vhost_up,
	.destroy = vhost_destroy,
};

int port_vhost_create(const struct port_config *cfg, struct datapath *dp, struct sd_event *loop,
	struct err *e, struct port **ret)
{
	struct vhost_link_config link = {.name = cfg->name,
		.path = cfg->path,
		.client = cfg->client,
		.mode = cfg->socket_mode};
	struct port *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, ENOMEM, "port '%s': out of memory", cfg->name);
	p->ops = &vhost_ops;
	p->dp = dp;
	p->cfg = *cfg;
	p->vhost = calloc(1, sizeof(*p->vhost));
	vhost_offer_init(&link.offer, cfg);
	r = p->vhost ? vhost_link_create(
			       &link, loop, &session_ops, p, p->vhost->ring, e, &p->vhost->link)
		     : err_set(e, ENOMEM, "out of memory");
	if (r < 0) {
		vhost_destroy(p);
		return err_wrap(e, r, "port '%s'", cfg->name);
	}
	*ret = p;
	return 0;
}
