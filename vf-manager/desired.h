/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a file wants of this machine's PFs: YAML, of which JSON is a part. `viaduct vf show --json`
 * prints the same shape, so what it printed can be applied.
 *
 *   pfs:
 *     - pf: enp1s0f0            # a selector, see select.h
 *       num-vfs: 7              # absent: leave the number alone
 *       autoprobe: false
 *       exclusive: true         # VFs that are not listed go back to what they had
 *       pool: fast              # `run --assign pool=fast` may take its VFs
 *       eswitch: legacy         # devlink: legacy or switchdev
 *       vfs:
 *         - index: 0            # or "0-3"; an entry for one VF goes over one for several
 *           mac: 52:54:00:00:00:01
 *           vlan: 100           # every key of settings.h
 *           driver: vfio-pci    # or none, or default: what the kernel chooses
 *       status: {...}           # what show found; ignored when read
 */
#ifndef VIADUCT_VFM_DESIRED_H
#define VIADUCT_VFM_DESIRED_H

#include <stdbool.h>
#include <stddef.h>

#include "vf-manager/select.h"
#include "vf-manager/vfm.h"

#define VFM_POOL_MAX  64
#define VFM_POOL_NONE "none" /* out of any pool */
#define VFM_FILE_VFS  65536  /* VFs in one file, at most */

struct vfm_desired_vf {
	unsigned index;
	struct vfm_settings settings;
	char driver[VFM_NAME_MAX]; /* "" = leave alone, "none", "default" or a driver */
	unsigned line, column;     /* in the file */
};

struct vfm_desired_pf {
	char selector[VFM_SELECTOR_MAX];
	int num_vfs;   /* -1 = leave alone */
	int autoprobe; /* -1 = leave alone, 0, 1 */
	bool exclusive;
	char pool[VFM_POOL_MAX];   /* "" = leave alone, VFM_POOL_NONE or a name */
	char eswitch[16];          /* "" = leave alone */
	struct vfm_desired_vf *vf; /* by index, each once */
	size_t n_vfs;
	unsigned line, column;
};

struct vfm_desired {
	char *file; /* its name in messages */
	struct vfm_desired_pf *pf;
	size_t n_pfs;
};

/*
 * Read @path ("-" is standard input). -EINVAL: text says "FILE:LINE:COLUMN: what and what instead";
 * else the errno of reading it, -EFBIG above 4 MiB, -ENOMEM. What is returned makes sense in itself:
 * no VF twice, none beyond num-vfs, no address of two VFs of a PF, no values that cannot be together.
 */
int vfm_desired_load(const char *path, struct vfm_desired **ret, struct err *e);

/* The same from @len bytes that @what names in messages. */
int vfm_desired_parse(
	const char *what, const void *text, size_t len, struct vfm_desired **ret, struct err *e);
void vfm_desired_free(struct vfm_desired *d); /* takes NULL */

#endif
