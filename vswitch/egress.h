/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queue in front of a port whose rate is limited. Any datapath thread may push and run; a thread
 * that pushed runs the queue again when egress_wait_ns() says so. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_EGRESS_H
#define VIADUCT_VSWITCH_EGRESS_H

#include "common/err.h"
#include "vswitch/port.h"

struct worker;

/* Sends @n frames by @p, consumes and counts them. Of the thread that is running. */
typedef void egress_send(struct worker *w, struct port *p, struct rte_mbuf **m, uint16_t n);

/* Control thread: make what @cfg needs before it is applied. Returns 0 or -ENOMEM. */
int egress_prepare(struct port *p, const struct port_config *cfg, struct err *e);

/* Datapath paused: by p->cfg from now on. What waits leaves at the new rate. */
void egress_apply(struct port *p, uint64_t now_ns);

/* Datapath paused, port taken out: drop what waits, free the queue. */
void egress_finish(struct port *p);

/* Queue @n frames, send what may leave. Consumes them; what does not fit is counted as shaped. */
void egress_push(struct worker *w, struct port *p, struct rte_mbuf **m, uint16_t n, uint64_t now_ns,
	egress_send *send);

/* Send what may leave by now. */
void egress_run(struct worker *w, struct port *p, uint64_t now_ns, egress_send *send);

/* How long until egress_run() has something to do, SHAPER_NEVER when nothing waits. */
uint64_t egress_wait_ns(struct port *p, uint64_t now_ns);

#endif
