// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attributes that the kernel shows under the device's lock: driver_override and sriov_vf_total_msix
 * (drivers/pci). Whoever removes the device has that lock, and has it for as long as somebody does not
 * let go of a VF; a reader then cannot even be killed. So the worker reads them.
 */
#include <errno.h>
#include <stdio.h>

#include "vf-manager/internal.h"

#define ANSWER_TIMEOUT_MS 250
#define LEFT_MAX          4 /* a machine where more than that are stuck is not asked any more */

struct question {
	struct bdf bdf;
	char attr[48];
};

static int attr_read(struct vfm *v, const void *arg, void *reply)
{
	const struct question *q = arg;
	char path[PATH_MAX];

	return sysfs_read(
		&v->sys, sysfs_pci_path(q->bdf, q->attr, path, sizeof(path)), reply, VFM_NAME_MAX);
}

int dev_read_guarded(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size)
{
	struct question q = {.bdf = b};
	char text[VFM_NAME_MAX] = "";
	const struct worker_call c = {
		.fn = attr_read,
		.arg = &q,
		.arg_size = sizeof(q),
		.reply = text,
		.reply_size = sizeof(text),
		.timeout_ms = ANSWER_TIMEOUT_MS,
	};
	int r;

	*buf = '\0';
	if (v->readers_left >= LEFT_MAX)
		return -ETIMEDOUT;
	snprintf(q.attr, sizeof(q.attr), "%s", attr);
	r = worker_run(v, &c);
	v->readers_left += r == -ETIMEDOUT;
	if (r < 0)
		return r;
	text[sizeof(text) - 1] = '\0';
	copy_printable(buf, size, text);
	return 0;
}
