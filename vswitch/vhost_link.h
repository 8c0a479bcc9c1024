/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user port's line to its front end: the socket, at most one session at a time, and what there
 * is to say when the port is down. A peer that sends faster than a front end has reason to, or stops
 * in the middle of a message, takes nothing from other ports. Control thread. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_LINK_H
#define VIADUCT_VSWITCH_VHOST_LINK_H

#include "vswitch/vhost_session.h"

struct sd_event;
struct vhost_link;

struct vhost_link_config {
	const char *name, *path; /* copied */
	bool client;
	unsigned int mode; /* of a server's socket; 0 = this user alone */
	struct vhost_offer offer;
};

struct vhost_link_stats {
	uint64_t connections;
	uint64_t refused; /* a second one while the first stayed */
	uint64_t errors;  /* connections we ended: the front end broke a rule */
	uint64_t messages;
	uint64_t features;      /* in use; 0 = none agreed upon */
	uint16_t mtu;           /* as the front end has told us; 0 = not */
	const char *last_error; /* why the last of them; NULL = none. Until the next call. */
};

/* @dev: VHOST_RINGS_MAX, not running; @dev, @ops and @ctx outlive the link. As vhost_socket_init(). */
int vhost_link_create(const struct vhost_link_config *cfg, struct sd_event *loop,
	const struct vhost_session_ops *ops, void *ctx, struct vring_dev *dev, struct err *e,
	struct vhost_link **ret);

/* From now on front ends come in. */
int vhost_link_start(struct vhost_link *l, struct err *e);

/* Stops the rings. */
void vhost_link_destroy(struct vhost_link *l);

void vhost_link_live(const struct vhost_link *l, uint32_t *ret_rx, uint32_t *ret_tx);

/* NULL when frames can move, else why they cannot; until the next call. */
const char *vhost_link_why_down(struct vhost_link *l);

void vhost_link_stats_get(const struct vhost_link *l, struct vhost_link_stats *ret);

#endif
