/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to the SR-IOV functions of this machine, while it happens. A monitor says first what
 * there is, then what changes. It listens to the kernel's uevents, rtnetlink's link messages, the
 * kernel log and the directory of leases; most of these only say where to look, and the difference
 * between what is found and what was known is the event. So a message that is lost costs a moment, not
 * the truth: it is said, all is read again, and what had changed meanwhile is told.
 *
 * A monitor belongs to one thread and uses the struct vfm it was made for.
 */
#ifndef VIADUCT_VFM_MONITOR_H
#define VIADUCT_VFM_MONITOR_H

#include <sys/types.h>

#include "common/dmafault.h"
#include "vf-manager/explain.h"
#include "vf-manager/lease.h"
#include "vf-manager/vfm.h"

/* X(name, word, meaning) */
#define VFM_EVENTS(X)                                                                       \
	X(SNAPSHOT, "snapshot", "all that is known: first of all, and after a loss")        \
	X(LOST, "lost", "messages were lost; what had changed follows, then a snapshot")    \
	X(ADD, "add", "a function is there")                                                \
	X(REMOVE, "remove", "a function is gone")                                           \
	X(VFS, "vfs", "a PF has another number of VFs")                                     \
	X(BIND, "bind", "a driver has a function")                                          \
	X(UNBIND, "unbind", "a driver has let a function go")                               \
	X(INTERFACE, "interface", "a function has another network interface, or none")      \
	X(LINK, "link", "the state of an interface's link is another")                      \
	X(MAC, "mac", "an interface has another address")                                   \
	X(SETTING, "setting", "a PF gives its VF something else")                           \
	X(SETTINGS, "settings", "what a PF gives its VF can be read for the first time")    \
	X(LEASE_TAKEN, "lease-taken", "a function is promised to somebody")                 \
	X(LEASE_FREED, "lease-freed", "a lease was given back")                             \
	X(LEASE_STALE, "lease-stale", "who had a lease is gone, and has not given it back") \
	X(DMA_FAULT, "dma-fault", "the IOMMU stopped a function's access to memory")        \
	X(LOG, "kernel-log", "a warning of the kernel that names a function, and what it means")

enum vfm_event_kind {
#define X(name, word, text) VFM_EVENT_##name,
	VFM_EVENTS(X)
#undef X
		VFM_EVENT_COUNT
};

/* The word of an event, and what it means. Live for ever. */
const char *vfm_event_name(enum vfm_event_kind kind);
const char *vfm_event_text(enum vfm_event_kind kind);

/* What is known of a function. */
struct vfm_watched {
	struct bdf bdf;
	enum vfm_kind kind;
	struct bdf pf; /* of a VF; and its number, -1 = unknown */
	int index;
	unsigned num_vfs;
	char driver[VFM_NAME_MAX]; /* "" = none */
	char netdev[VFM_NAME_MAX];
	int ifindex;
	char link[16]; /* operstate of the interface */
	bool has_mac;
	uint8_t mac[6];               /* of the interface */
	struct vfm_settings settings; /* what the PF gives a VF, as far as it reports that */
};

struct vfm_event {
	enum vfm_event_kind kind;
	uint64_t realtime_us, monotonic_us;
	/* Of one function: its address, and what is known of it after the event (NULL: nothing). */
	bool has_bdf;
	struct bdf bdf;
	const struct vfm_watched *function;
	/* BIND, UNBIND: driver. MAC, LINK: interface. SETTING: key. LOST: where. */
	const char *name;
	/* VFS, INTERFACE, LINK, MAC, SETTING; "" = none */
	const char *before, *after;
	/* The lease taken, freed or stale; else the function's, NULL when it has none. */
	const struct vfm_lease *lease;
	/* DMA_FAULT without a lease: the process that has it open, pid 0 = not seen */
	struct holder holder;
	struct dma_fault fault;
	/* DMA_FAULT, LOG: the kernel's words, its clock, and what they mean (NULL: not known) */
	const char *text;
	const struct vfm_cause *cause;
	uint64_t kernel_us;
	/* SNAPSHOT: what is watched, and what cannot be seen and why ("" = all is seen). */
	const struct vfm_watched *functions;
	size_t n_functions;
	const struct vfm_lease *leases;
	size_t n_leases;
	const char *unseen;
};

enum vfm_monitor_flags {
	VFM_MONITOR_ALL = 1 << 0, /* every function but bridges, not SR-IOV ones alone */
};

/* Where messages come from; one set for the kernel, one for the tests. */
struct vfm_monitor_io {
	int uevent_fd, link_fd, kmsg_fd; /* the monitor closes them */
	/* One message, never waiting. Its length, 0 when there is none, -errno; -ENOBUFS: some lost. */
	ssize_t (*receive)(void *ctx, int fd, void *buf, size_t size);
	void *ctx;
};

struct vfm_monitor_config {
	unsigned flags;
	const struct bdf *only; /* this function, and if it is a PF its VFs; NULL: all */
	/* Called from vfm_monitor_create() and vfm_monitor_run(); @ev lives as long as the call. */
	void (*event)(void *arg, const struct vfm_event *ev);
	void *arg;
	const struct vfm_monitor_io *io; /* NULL: the kernel */
};

struct vfm_monitor;

/*
 * Begin to listen, and tell what there is (a SNAPSHOT). What cannot be listened to for want of
 * rights, such as the kernel log, is named in it. -ENOENT no PCI bus in sysfs, -ENOMEM, or the errno
 * of a socket. Destroy takes NULL.
 */
int vfm_monitor_create(
	struct vfm *v, const struct vfm_monitor_config *c, struct vfm_monitor **ret, struct err *e);
void vfm_monitor_destroy(struct vfm_monitor *m);

/* Readable when vfm_monitor_run() has something to do. It stays the monitor's. */
int vfm_monitor_fd(const struct vfm_monitor *m);

/* Tell what has happened. 0 or -errno, after which only destroying makes sense. */
int vfm_monitor_run(struct vfm_monitor *m, struct err *e);

#endif
