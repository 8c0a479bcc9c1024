/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mirrors: what is seen at some ports is copied to another port, or flooded in a VLAN of its own for a
 * switch further away. Ports are named, so that one which is deleted and added again is mirrored
 * again; port numbers are looked up when ports change.
 *
 * What changes a mirror happens while the datapath is paused; counters may be read at any time.
 */
#ifndef VIADUCT_VSWITCH_MIRROR_H
#define VIADUCT_VSWITCH_MIRROR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vswitch/meter.h"
#include "vswitch/port_set.h"

#define MIRRORS_MAX     16
#define MIRROR_NAME_MAX 32 /* with its terminating zero; ports' names too */
#define MIRROR_FROM_MAX 64
#define MIRROR_NO_PORT  UINT16_MAX

enum { MIRROR_IN = 1, MIRROR_OUT = 2 }; /* came in at the port, left by it */

struct mirror_config {
	char name[MIRROR_NAME_MAX];
	char from[MIRROR_FROM_MAX][MIRROR_NAME_MAX];
	unsigned int nr_from;
	uint8_t directions;
	char to[MIRROR_NAME_MAX]; /* a port, or "" and */
	uint16_t vlan;            /* a VLAN */
	bool reserved;            /* @to carries nothing else */
	uint64_t rate;            /* bytes a second; 0 = all */
};

struct mirror {
	struct mirror_config cfg;
	struct port_set from;
	uint16_t to; /* MIRROR_NO_PORT: not there now */
	pthread_spinlock_t lock;
	struct meter meter;
	uint64_t frames, bytes; /* copied */
	uint64_t limited;       /* not copied: over the rate */
};

struct mirrors {
	struct mirror *list[MIRRORS_MAX];
	unsigned int nr;
};

/* Is it complete and without contradiction? Returns 0 or -EINVAL. */
int mirror_config_check(const struct mirror_config *cfg, struct err *e);

/* Returns 0, -EINVAL, -EEXIST (the name), -ENOSPC or -ENOMEM. Its ports are not looked up yet. */
int mirrors_add(
	struct mirrors *ms, const struct mirror_config *cfg, uint64_t now_ns, struct err *e);
/* Returns 0 or -ENOENT. */
int mirrors_del(struct mirrors *ms, const char *name, struct err *e);
void mirrors_finish(struct mirrors *ms);

/* Ports have changed: @find tells the number of a name, or MIRROR_NO_PORT. */
void mirrors_resolve(struct mirrors *ms, uint16_t (*find)(void *ctx, const char *name), void *ctx);

/* MIRROR_* of @port in any mirror. */
uint8_t mirrors_directions(const struct mirrors *ms, uint16_t port);
/* Does some mirror keep @port for itself? */
bool mirrors_reserve(const struct mirrors *ms, uint16_t port);

/*
 * Does @m copy a frame of @len bytes, the tag of which says VLAN @vid (0 = none), that is seen at @port
 * in direction @dir? Counts. Any datapath thread.
 */
bool mirror_takes(
	struct mirror *m, uint16_t port, uint8_t dir, uint16_t vid, uint32_t len, uint64_t now_ns);

#endif
