/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a monitor knows, and how news become events: monitor.c brings the news, this compares. Nothing
 * here reads or waits.
 */
#ifndef VIADUCT_VFM_MONITOR_STATE_H
#define VIADUCT_VFM_MONITOR_STATE_H

#include "vf-manager/monitor.h"
#include "vf-manager/monitor_parse.h"

struct monitor_state {
	bool live; /* false: take in, tell nobody */
	bool has_only;
	struct bdf only;
	void (*event)(void *arg, const struct vfm_event *ev);
	void *arg;
	uint64_t realtime_us, monotonic_us; /* now, for the caller to set */
	struct vfm_watched *f;              /* in address order */
	size_t n, cap;
	struct vfm_lease *lease; /* in address order */
	size_t n_leases;
	unsigned changes; /* grows with every event, told or not */
};

void monitor_state_finish(struct monitor_state *s);

struct vfm_watched *monitor_find(struct monitor_state *s, struct bdf b);
struct vfm_watched *monitor_find_ifindex(struct monitor_state *s, int ifindex);

/*
 * What is there now of the PF (or lone function) @root and its VFs, @root among them: the difference
 * is told. 0 or -ENOMEM.
 */
int monitor_family(
	struct monitor_state *s, struct bdf root, const struct vfm_watched *now, size_t n);
/* @b is gone, and if it is a PF its VFs are. */
void monitor_gone(struct monitor_state *s, struct bdf b);
/* All leases there are now; the array becomes the state's. */
void monitor_leases(struct monitor_state *s, struct vfm_lease *now, size_t n);

/*
 * News that say themselves what is new. True when they were about a function that is watched, or may
 * have to be; *ret is then the PF or lone function to read again, or @u's own address when unknown.
 */
bool monitor_uevent(struct monitor_state *s, const struct uevent *u, struct bdf *ret);
bool monitor_link(struct monitor_state *s, const struct link_note *n, struct bdf *ret);

/*
 * A line of the kernel log. @cause: what is known of it, or NULL. Told are DMA faults of any function,
 * and of functions that are watched what has a known cause or is a warning. @holder: of a fault's device.
 */
void monitor_klog(struct monitor_state *s, const struct klog_record *k,
	const struct vfm_cause *cause, const struct holder *holder);

void monitor_snapshot(struct monitor_state *s, const char *unseen);
void monitor_lost(struct monitor_state *s, const char *where);

#endif
