/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Can this machine give its devices to guests, and if not, what is to be done? An ordered table of
 * checks, cheap ones first. A check looks, says what it found, and where something is wrong what
 * would put it right; it changes nothing unless the caller allowed probes. What it was not able to
 * see is SKIP, never PASS.
 *
 * Everything is read below the context's root, so that a recorded tree can be examined like this
 * machine. One thread.
 */
#ifndef VIADUCT_VFM_DOCTOR_H
#define VIADUCT_VFM_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bdf.h"
#include "common/err.h"
#include "vf-manager/isolate.h"
#include "vf-manager/vfm.h"

enum doctor_scope {
	DOCTOR_HOST,   /* runs once */
	DOCTOR_DEVICE, /* runs for each device of its kinds */
};

struct doctor;

struct doctor_check {
	const char *id;    /* kebab-case; never changes its meaning */
	const char *title; /* what it asks, a few words for people */
	enum doctor_scope scope;
	/* While it fails no device can be given to a guest safely. */
	bool stop;
	unsigned kinds; /* DOCTOR_DEVICE: 1 << enum vfm_kind */
	/* SKIP when the check of this id failed, and the device has no IOMMU group; NULL: nothing */
	const char *needs;
	void (*run)(struct doctor *d);
};

struct doctor_finding {
	const struct doctor_check *check;
	enum vfm_status status;
	bool has_device;
	struct bdf device;
	char text[512]; /* one line, printable */
	char fix[384];  /* one line, "" when there is nothing to do */
};

struct doctor_config {
	const struct doctor_check *const *checks; /* NULL: doctor_checks() */
	size_t n_checks;
	bool only; /* one device alone ... */
	struct bdf device;
	/*
	 * Permissions and limits as this user has them; NULL: the caller. Another user's than the
	 * caller's can be told by root alone.
	 */
	const char *user;
	uint64_t memory; /* bytes of a guest, for the limits; 0: 1 GiB */
	/*
	 * Let the checks write back what they just read. Of the values nothing changes, but a
	 * driver takes note: see viaduct-doctor(1).
	 */
	bool probe;
	bool here; /* the root is this machine's: what is no file may be asked too */
	/* Each finding as it is made; lives for the call. */
	void (*found)(void *arg, const struct doctor_finding *f);
	void *arg;
};

/* The checks of this module in their order; *ret_n of them. They live for ever. */
const struct doctor_check *const *doctor_checks(size_t *ret_n);

/*
 * Run them: host checks first, then those of each device in address order (PFs, VFs, and what a
 * VFIO driver has; or the one of @c). Returns the worst verdict (0 or more), or -ENODEV (no such
 * device), -ENOTSUP (it is a bridge), -ENOMEM. No PCI bus at all is a finding, not an error.
 */
int doctor_run(struct vfm *v, const struct doctor_config *c, struct err *e);

/* ---- for the checks of other modules ---- */

/*
 * Begin a finding of the check that runs. The fix that follows belongs to it. A check that says
 * nothing passes with its title.
 */
void doctor_say(struct doctor *d, enum vfm_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void doctor_fix(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The worst verdict that the check @id had so far; VFM_SKIP when it did not run. */
enum vfm_status doctor_status_of(const struct doctor *d, const char *id);
/* How many PFs with SR-IOV this machine has. */
size_t doctor_pfs(const struct doctor *d);
bool doctor_is_here(const struct doctor *d);

#endif
