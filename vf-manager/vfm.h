/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SR-IOV functions of this machine: find them, carve VFs out of a PF, configure them and move them
 * between drivers. The kernel is the database: what a function is and has is read from sysfs and
 * rtnetlink each time. The runtime directory keeps only what the kernel forgets, namely the driver
 * a function had before we took it, so that a later process (or the next one after a kill -9) can
 * put it back.
 *
 * A struct vfm belongs to one thread. Two processes may work at once: carving is serialised per PCI
 * domain, binding per function (flock in the runtime directory).
 */
#ifndef VIADUCT_VFM_H
#define VIADUCT_VFM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bdf.h"
#include "common/err.h"
#include "common/holder.h"
#include "common/sysfs.h"
#include "vf-manager/settings.h"

#define VFM_NAME_MAX 64 /* longest driver or interface name we accept, with its NUL */
#define VFM_RUN_DIR  "/run/viaduct/vf"

struct vfm;

/* How the kernel is changed; one set for the kernel, one for the tests. Reads go through sysfs.h. */
struct vfm_ops {
	/*
	 * Write a sysfs attribute. May block for as long as the kernel likes: the caller runs it
	 * in a child process where that matters. 0 or -errno.
	 */
	int (*write)(
		void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len);
	/*
	 * Send one request of netlink @protocol (NETLINK_ROUTE, NETLINK_GENERIC) and give back all
	 * messages that answer it, one behind the other (malloc'd, the caller frees it): of a dump
	 * those up to its NLMSG_DONE. -ETIMEDOUT after @timeout_ms, -EMSGSIZE a dump without end.
	 */
	int (*talk)(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
		void **ret_reply, size_t *ret_len);
	/* Load the module of @driver. 0 or -errno. */
	int (*load)(void *ctx, const char *driver);
};

struct vfm_config {
	const char *root;          /* NULL: "/"; below it sys/, proc/ and dev/ are read */
	const char *run_dir;       /* NULL: VFM_RUN_DIR; made when first written to */
	const struct vfm_ops *ops; /* NULL: the kernel; below another root files alone */
	void *ops_ctx;
	unsigned timeout_ms; /* for each step the kernel takes its time for; 0: 60 s */
	/* Called from time to time while waiting: what for, and since when. May be NULL. */
	void (*progress)(void *arg, const char *what, unsigned elapsed_ms);
	/* What a user should know though nothing failed ("brought eth0 up"). May be NULL. */
	void (*note)(void *arg, const char *text);
	void *arg;
	/* Becomes non-zero when the user wants out: what was begun is undone. May be NULL. */
	const volatile sig_atomic_t *cancel;
};

/* @c may be NULL. 0, -ENOMEM, or the errno of opening the root. Destroy takes NULL. */
int vfm_create(const struct vfm_config *c, struct vfm **ret, struct err *e);
void vfm_destroy(struct vfm *v);

enum vfm_kind { VFM_OTHER, VFM_PF, VFM_VF };

/*
 * A PCI function as found. An empty string or a negative number says "none" or "unknown"; a driver of
 * "?" is one whose name cannot be read.
 */
struct vfm_function {
	struct bdf bdf;
	enum vfm_kind kind;
	uint16_t vendor, device;
	uint32_t class;
	char name[128]; /* from pci.ids */
	char driver[VFM_NAME_MAX];
	char driver_override[VFM_NAME_MAX];
	char netdev[VFM_NAME_MAX]; /* the first, when there are several */
	int ifindex;
	char link[16]; /* operstate of the interface: up, down, unknown, ... */
	bool admin_up; /* the interface is switched on */
	/*
	 * PF: the address of its interface. VF: the address its PF gives it (all zero: none given,
	 * the VF's driver chooses), whether or not it has an interface now.
	 */
	uint8_t mac[6];
	bool has_mac;
	int iommu_group;
	int numa_node;
	char vfio_cdev[VFM_NAME_MAX]; /* "vfio3" for /dev/vfio/devices/vfio3 */
	/* The process that has its VFIO node open; pid 0: none seen (other users': needs root). */
	struct holder holder;
	/* The driver `release` will give it back to; valid with taken. */
	bool taken;
	char original_driver[VFM_NAME_MAX];
	/* PF */
	unsigned total_vfs, num_vfs;
	int autoprobe; /* 0 or 1 */
	/* VF */
	struct bdf pf;
	int index; /* N of virtfnN */
};

enum vfm_list_flags {
	VFM_LIST_ALL = 1 << 0,   /* every function but bridges, not SR-IOV ones alone */
	VFM_LIST_QUICK = 1 << 1, /* without driver_override */
};

/*
 * The functions of this machine: PFs in address order, each followed by its VFs in index order. A
 * function that goes away while it is read is left out; a part that cannot be read is "unknown".
 * Never waits for a carve that is under way. Free *ret with free(). Returns their number, or
 * -ENOENT (no PCI bus in sysfs), -ENOMEM.
 */
int vfm_list(struct vfm *v, unsigned flags, struct vfm_function **ret, struct err *e);

/*
 * One PF and its VFs, as vfm_list() has them with VFM_LIST_QUICK. *ret_settings (may be NULL) is what it reports it gives
 * them, (*ret_settings)[i] for (*ret)[i]: nothing set where it reports nothing, and for the PF. Free
 * both with free(). Returns 1 plus the number of VFs, -ENODEV, or -ENOMEM.
 */
int vfm_list_pf(struct vfm *v, struct bdf pf, struct vfm_function **ret,
	struct vfm_settings **ret_settings, struct err *e);

/* One function. -ENODEV when there is no such address. */
int vfm_show(struct vfm *v, struct bdf b, struct vfm_function *ret, struct err *e);

/* What happened, and how long each part took; zero when it had not to. */
struct vfm_carve_result {
	unsigned before, after; /* number of VFs */
	bool changed;
	unsigned check_us;   /* who uses them, locks, reading the number */
	unsigned up_us;      /* bringing the PF's interface up */
	unsigned destroy_us; /* the kernel's write of 0 */
	unsigned gone_us;    /* until all links had gone */
	unsigned make_us;    /* the kernel's write of the number */
	unsigned links_us;   /* until all links (and IOMMU groups) were there */
	unsigned carrier_us; /* until the PF's link was back, with VFM_CARVE_WAIT_LINK */
	unsigned total_us;   /* all of it, with what is in none of these */
	unsigned ready_ms;   /* from the first write until all links were there */
};

enum vfm_carve_flags {
	/* Destroy VFs that are in use too; each and what is lost is said through vfm_config.note. */
	VFM_CARVE_FORCE = 1 << 0,
	VFM_CARVE_AUTOPROBE = 1 << 1, /* let the kernel give new VFs to drivers of this host */
	/* Return when the PF's link is back: the carve resets some PFs (igb: about a second). */
	VFM_CARVE_WAIT_LINK = 1 << 2,
};

/*
 * Make @pf have exactly @n VFs, without a driver unless VFM_CARVE_AUTOPROBE is set. The same number
 * is a no-op, 0 destroys them; another number destroys all and makes new ones. That is refused, as
 * 0 is, while one is in use (usage.h) unless VFM_CARVE_FORCE is set. The PF is brought up first when
 * it has an interface: some PFs answer their VFs only then. On failure the number, the autoprobe
 * switch and the interface are as they were, or the text says what is not.
 *
 * -ENODEV no such function, or pulled out meanwhile, -ENOTSUP not an SR-IOV PF or its driver cannot,
 * -ERANGE more than it has, -EBUSY a VF is in use (named) or another carve is under way, -ENOSPC the
 * kernel made fewer, -ETIMEDOUT the kernel did not answer in time (the child that waits for it is
 * named), -EINTR cancelled; else the kernel's errno with its meaning.
 */
int vfm_carve(struct vfm *v, struct bdf pf, unsigned n, unsigned flags,
	struct vfm_carve_result *ret, struct err *e);

/*
 * What the PF's driver reports it gives VF @vf; a setting that is not in ret->set is one it does not
 * report, or one the kernel left out. -ENODEV, -ENOTSUP (not a VF, or its PF has no interface here).
 */
int vfm_get(struct vfm *v, struct bdf vf, struct vfm_settings *ret, struct err *e);

/*
 * Give VF @vf what @want sets, one after the other in the order of VFM_SETTINGS, leaving the rest
 * alone (a priority alone keeps the VLAN, a maximum alone the minimum); vlan 0 also takes the
 * priority and protocol off. What it has already is not set again. All of it is read back and
 * compared; after a failure what had been set is put back, or the text says what is not. Writes into
 * @ret_changed (may be NULL) what was changed, VFM_BIT()s.
 *
 * -ENODEV, -ENOTSUP (not a VF, or its PF has no interface here), -ENETDOWN the PF's interface is down,
 * -EINVAL values that make no sense, -EADDRINUSE the PF or another VF of it has the address,
 * -EOPNOTSUPP the driver cannot set it, -EPROTONOSUPPORT not with that protocol, -EIO the kernel
 * reports another value afterwards.
 */
int vfm_set(struct vfm *v, struct bdf vf, const struct vfm_settings *want, uint32_t *ret_changed,
	struct err *e);

/* vfm_set() of the address alone; all zero lets its driver choose. */
int vfm_set_mac(struct vfm *v, struct bdf vf, const uint8_t mac[static 6], struct err *e);

enum vfm_bind_flags {
	VFM_BIND_WHOLE = 1 << 0, /* also a function that is no VF: the host loses the device */
	VFM_BIND_FORCE = 1 << 1, /* also one in use (usage.h); what that costs is noted before */
};

/* In place of a driver's name: no driver, or the one that the kernel chooses. */
#define VFM_DRIVER_NONE    "none"
#define VFM_DRIVER_DEFAULT "default"

/*
 * Bind @b to @driver and remember what it had. VFIO and stub drivers are forced on it through
 * driver_override; any other takes it only if it knows the device. VFM_DRIVER_DEFAULT is none
 * for a VF whose PF's autoprobe is off, and a failure when no driver takes it. For a VFIO driver, return
 * when its /dev/vfio node is there. Already so: no-op. On failure it is as it was, or the text says
 * what is not. -ENODEV, -ENOTSUP (a bridge; not a VF and not VFM_BIND_WHOLE; no IOMMU group for
 * VFIO), -ENOENT no such driver, -EBUSY in use, or a PF that has VFs (never forced), -EIO the driver
 * did not take it.
 */
int vfm_bind(struct vfm *v, struct bdf b, const char *driver, unsigned flags, struct err *e);

enum vfm_release_flags {
	VFM_RELEASE_FORCE = 1 << 0,       /* as VFM_BIND_FORCE */
	VFM_RELEASE_DRIVER_ONLY = 1 << 1, /* what its PF gives it stays */
};

/*
 * Undo vfm_set() and vfm_bind(): the settings it had before the first one, and the driver (or none)
 * and the override. A function that vfm_bind() never took is given to the driver the kernel chooses
 * if VFIO has it, else left alone. Writes the driver it has now ("" = none) into @ret_driver
 * (VFM_NAME_MAX bytes, or NULL). -EBUSY in use (named), or a PF that has VFs; on failure as for
 * vfm_bind().
 */
int vfm_release(struct vfm *v, struct bdf b, unsigned flags, char *ret_driver, struct err *e);

/*
 * The functions that vfm_release() would give something back that vfm_bind() or vfm_set() recorded,
 * in address order; free *ret. Their number or -errno.
 */
int vfm_recorded(struct vfm *v, struct bdf **ret, struct err *e);

#endif
