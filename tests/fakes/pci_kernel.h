/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's PCI side in a directory: sysfs, /dev/vfio and /proc as files, and a struct vfm_ops
 * whose writes change them as the kernel's stores would. It has
 *
 *   0000:00:1c.0  a bridge
 *   0000:01:00.0  igb, 7 VFs at 0000:01:10.0, .2, .4, ... whose driver is igbvf; interface eth0
 *   0000:02:00.0  e1000e, no SR-IOV; interface eth1
 *
 * Its knobs and records lie in shared memory, since writes are made in child processes too.
 */
#ifndef VIADUCT_FAKES_PCI_KERNEL_H
#define VIADUCT_FAKES_PCI_KERNEL_H

#include "vf-manager/vfm.h"

#define FAKE_TOTAL 7

struct fake_knobs {
	unsigned calls;          /* writes and netlink requests so far */
	unsigned writes;         /* writes alone */
	unsigned fail_at;        /* this call fails, 1 = the next; 0 = none */
	unsigned fail_for;       /* and so do that many after it */
	int fail_code;           /* with this errno */
	unsigned kill_at;        /* the process that makes this call is killed before it acts */
	unsigned kill_after;     /* the same, after it acted */
	pid_t kill_pid;          /* and this one with it: the parent of a child that writes */
	unsigned short_count;    /* sriov_numvfs makes at most so many; 0 = as many as asked */
	unsigned links_delay_ms; /* the links come so much later than the write returns */
	_Atomic unsigned late;   /* processes that still bring such links */
	bool block_numvfs;       /* a write of sriov_numvfs never returns */
	bool autoprobe_at_carve; /* what sriov_drivers_autoprobe was when VFs were made */
	bool driver_refuses;     /* vfio-pci takes no device */
	bool no_node;            /* and makes no node in /dev/vfio */
	bool mac_ignored;        /* the address is acknowledged, not set */
	int mac_code;            /* setting an address fails with this errno */
	bool eth0_up;
	uint8_t eth0_permanent[6]; /* IFLA_PERM_ADDRESS; zero: none is sent */
	char eth0_altname[128];    /* IFLA_ALT_IFNAME; "" */
	uint8_t mac[FAKE_TOTAL][6];
	struct vfm_settings vf[FAKE_TOTAL]; /* the rest of what the PF gives them */
	/* What its driver has no call for: all but igb's, until a test says otherwise. */
	uint32_t unsupported;
	unsigned rate_ignored; /* a maximum rate is acknowledged, not set */
};

struct pci_kernel {
	char root[64], run_dir[96];
	struct fake_knobs *knobs;
	struct vfm_config config; /* for vfm_create(): root, run_dir, ops; the caller may add */
};

void pci_kernel_init(struct pci_kernel *k);
void pci_kernel_finish(struct pci_kernel *k);

/* Files below the root, by path. */
void fake_put(struct pci_kernel *k, const char *path, const void *data, size_t len);
void fake_puts(struct pci_kernel *k, const char *path, const char *text);
void fake_link(struct pci_kernel *k, const char *path, const char *target);
void fake_remove(struct pci_kernel *k, const char *path);

/* A process that has @node open. */
void fake_hold(struct pci_kernel *k, int pid, const char *comm, const char *node);
void fake_unhold(struct pci_kernel *k, int pid);

/* Everything that a failed call must leave as it was, as text; free it. */
char *fake_state(struct pci_kernel *k);

#endif
