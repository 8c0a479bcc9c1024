/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who looks on: mirrors and captures of ports. A port nobody looks at costs one branch a burst; what a
 * mirror or a capture has no room for is lost to it alone. Private to vswitch.
 *
 * Frames that came in are seen as they came, before anything is decided, also those that are dropped
 * then; frames that leave are seen in the form they leave in. Copies are not seen again.
 */
#ifndef VIADUCT_VSWITCH_TAPS_H
#define VIADUCT_VSWITCH_TAPS_H

#include "vswitch/capture.h"
#include "vswitch/mirror.h"
#include "vswitch/port.h"

#define CAPTURES_MAX 8

struct worker;

struct taps {
	struct mirrors mirrors;
	struct capture *captures[CAPTURES_MAX];
	unsigned int nr_captures;
	struct capture *fresh; /* nobody has taken it yet; the control thread's */
};

/* Datapath thread: @n frames are seen at @p in direction @dir (MIRROR_*), which is in p->tapped. */
void taps_see(struct worker *w, struct port *p, uint8_t dir, struct rte_mbuf **m, uint16_t n);

/* Datapath paused: ports have changed. */
void taps_apply(struct datapath *dp);
/* The datapath has ended. */
void taps_finish(struct taps *t);

/*
 * Control thread, the datapath not paused. A mirror's ports must be there when it is added: -ENOENT;
 * otherwise as mirrors_add() and mirrors_del().
 */
int taps_mirror_add(struct datapath *dp, const struct mirror_config *cfg, struct err *e);
int taps_mirror_del(struct datapath *dp, const char *name, struct err *e);
/* Lives until the next change. */
const struct mirrors *taps_mirrors(const struct datapath *dp);

/* See capture_create(). -ENOENT: no such port; -ENOSPC: CAPTURES_MAX. */
int taps_capture_add(struct datapath *dp, const char *port, uint8_t directions, uint32_t snaplen,
	struct err *e, struct capture **ret);
/* The one that was added last and not taken yet, or NULL: it then ends with who asked for it. */
struct capture *taps_capture_take(struct datapath *dp);
void taps_capture_del(struct datapath *dp, struct capture *c);

#endif
