/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What remapping.c reads of a host, for itself and for isolate_host.c. */
#ifndef VIADUCT_VFM_REMAPPING_PRIV_H
#define VIADUCT_VFM_REMAPPING_PRIV_H

#include "vf-manager/hostfacts.h"
#include "vf-manager/remapping.h"

struct remap_facts {
	bool cmdline_seen;
	struct cmdline_facts cmdline;
	unsigned units;  /* IOMMUs in sysfs */
	unsigned no_ir;  /* Intel ones that cannot remap interrupts */
	unsigned can_ir; /* ... and that can */
	struct irq_facts irq;
	const char *irq_source;
	int irq_code;                 /* why /proc/interrupts could not be read, 0 = it was */
	int klog_code;                /* the same of the log */
	char ir_on[160], ir_off[160]; /* what the log said of it, "" = nothing */
	bool acs_warned;
};

void remap_facts_read(struct vfm *v, struct remap_facts *ret);
/* Append the finding "interrupt-remapping". */
enum vfm_tri remapping_find(const struct remap_facts *f, struct vfm_findings *to);

/* A switch of a module, or what the command line says (-1: nothing) of one that is not loaded. */
enum vfm_tri switch_read(
	struct vfm *v, const char *module, const char *name, int cmdline, bool *ret_loaded);

#endif
